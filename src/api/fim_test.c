/* Fill in the middle: the families that are known by their tokens, and what the API makes of a suffix. */
#include "api/fim.h"
#include "api/test_api.h"

static const struct {
    const char *tokens[4]; /* of the vocabulary */
    const char *prompt;    /* for P and S; NULL: no such model */
    int32_t end;
} families[] = {
    {{"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "x"},
     "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>",
     -1},
    {{"<fim_prefix>", "<fim_middle>", "<fim_suffix>", "x"}, "<fim_prefix>P<fim_suffix>S<fim_middle>", -1},
    {{"<fim-prefix>", "<fim-middle>", "<fim-suffix>", "x"}, "<fim-prefix>P<fim-suffix>S<fim-middle>", -1},
    {{"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", "x"},
     "<｜fim▁begin｜>P<｜fim▁hole｜>S<｜fim▁end｜>",
     -1},
    {{"▁<PRE>", "▁<MID>", "▁<SUF>", "▁<EOT>"}, "▁<PRE>P▁<SUF>S▁<MID>", 3},
    {{"[SUFFIX]", "[PREFIX]", "x", "y"}, "[SUFFIX]S[PREFIX]P", -1},
    {{"<fim_prefix>", "<fim_suffix>", "x", "y"}, NULL, -1}, /* one is missing */
    {{"x", "y", "z", "w"}, NULL, -1},
};

static void known_by_their_tokens(vmt_test *t) {
    for (size_t i = 0; i < VMT_COUNT(families); i++) {
        vmt_str tokens[4];
        const int32_t kinds[4] = {VMT_TOKEN_CONTROL, VMT_TOKEN_CONTROL, VMT_TOKEN_CONTROL, VMT_TOKEN_CONTROL};
        for (size_t k = 0; k < 4; k++) tokens[k] = vmt_str_from(families[i].tokens[k]);
        const vmt_tokenizer_gguf spec = {.model = VMT_STR("gpt2"),
                                         .pre = VMT_STR("gpt-2"),
                                         .tokens = tokens,
                                         .kinds = kinds,
                                         .num_tokens = 4,
                                         .bos_id = -1,
                                         .eos_id = -1,
                                         .unk_id = -1,
                                         .pad_id = -1};
        vmt_tokenizer *tok = NULL;
        vmt_buf prompt = {0};
        vmt_expect_eq(t, vmt_tokenizer_from_gguf(&tok, &spec, NULL), VMT_OK);
        const vmt_fim_style *style = vmt_fim_find(tok);
        vmt_expect_eq(t, style != NULL, families[i].prompt != NULL);
        if (style) {
            vmt_fim_write(style, VMT_STR("P"), VMT_STR("S"), &prompt);
            vmt_expect_slice(t, vmt_buf_str(&prompt), vmt_str_from(families[i].prompt));
            vmt_expect_eq(t, vmt_fim_end(style, tok), families[i].end);
        }
        vmt_buf_free(&prompt);
        vmt_tokenizer_destroy(tok);
    }
}

static bool holds(test_answer x, const char *text) {
    return vmt_str_find(x.body, vmt_str_from(text), 0) != SIZE_MAX;
}

static void a_suffix_stands_behind_the_middle(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.spares = {"[PREFIX]", "[SUFFIX]"}});
    test_answer x =
        test_post(t, a, "/v1/completions", "{\"prompt\":\"W\",\"suffix\":\"b\",\"return_token_ids\":true}");
    vmt_expect_eq(t, x.status, 200);
    vmt_expect(t, holds(x, "\"text\":\"XYZ\""));
    vmt_expect(t, holds(x, "\"prompt_token_ids\":[259,98,258,87]")); /* [SUFFIX] b [PREFIX] W */
    x = test_post(t, a, "/v1/completions", "{\"prompt\":[\"W\",\"X\"],\"suffix\":\"b\"}");
    vmt_expect(t, holds(x, "\"text\":\"XYZ\"") && holds(x, "\"text\":\"YZ\""));
    x = test_post(t, a, "/v1/completions", "{\"prompt\":\"W\",\"suffix\":\"\"}"); /* none */
    vmt_expect(t, holds(x, "\"text\":\"XYZ\""));
    x = test_post(t, a, "/api/generate",
                  "{\"model\":\"letters\",\"prompt\":\"W\",\"suffix\":\"b\",\"stream\":false}");
    vmt_expect(t, x.status == 200 && holds(x, "\"response\":\"XYZ\""));
    x = test_post(t, a, "/api/show", "{\"model\":\"letters\"}");
    vmt_expect(t, holds(x, "\"insert\""));
    x = test_post(t, a, "/v1/completions", "{\"prompt\":[87],\"suffix\":\"b\"}");
    vmt_expect(t, x.status == 400 && holds(x, "\"param\":\"prompt\""));
    x = test_post(t, a, "/v1/completions", "{\"prompt\":\"W\",\"suffix\":\"b\",\"echo\":true}");
    vmt_expect(t, x.status == 400 && holds(x, "\"param\":\"echo\""));
    test_api_stop(a);
}

static const vmt_test_case cases[] = {
    {"known_by_their_tokens", known_by_their_tokens},
    {"a_suffix_stands_behind_the_middle", a_suffix_stands_behind_the_middle},
    {0},
};
VMT_TEST_MAIN(cases)
