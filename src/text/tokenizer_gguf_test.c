/* Tokenizers from the fields of GGUF files: scores, merges, byte tokens, defaults. */
#include "base/test.h"
#include "text/tokenizer.h"
#include <stdio.h>

#define LOWER_BLOCK "\xE2\x96\x81"

static vmt_tokenizer_gguf empty_spec(const char *model) {
    return (vmt_tokenizer_gguf){.model = vmt_str_from(model),
                                .bos_id = -1,
                                .eos_id = -1,
                                .unk_id = -1,
                                .pad_id = -1,
                                .add_bos = -1,
                                .add_eos = -1,
                                .add_space_prefix = -1};
}

static void expect_ids(vmt_test *t, const vmt_tokenizer *tok, const char *text, const int32_t *want,
                       size_t num_want) {
    vmt_tokens got = {0};
    vmt_err err = {0};
    vmt_encode_options options = {.add_special = true};
    vmt_expect_eq(t, vmt_tokenizer_encode(tok, vmt_str_from(text), options, &got, &err), VMT_OK);
    vmt_expect_eq(t, got.len, num_want);
    for (size_t i = 0; i < num_want; i++) vmt_expect_eq(t, got.ids[i], want[i]);
    vmt_tokens_free(&got);
}

static void best_score_joins_first(vmt_test *t) {
    /* "ab" is worth more than "bc", so "abc" is "ab" and "c"; "xx" ties go to the left. */
    enum { FIRST_BYTE = 12, NUM = FIRST_BYTE + 256 };
    static const char *const words[FIRST_BYTE] = {"<unk>", "<s>", "</s>", LOWER_BLOCK, "a",  "b",
                                                  "c",     "ab",  "bc",   "x",         "xx", LOWER_BLOCK "a"};
    static const float worth[FIRST_BYTE] = {0, 0, 0, -1, -2, -3, -4, -5, -6, -7, -8, -9};
    vmt_str *tokens = VMT_ARENA_NEW(t->arena, vmt_str, NUM);
    float *scores = VMT_ARENA_NEW(t->arena, float, NUM);
    int32_t *kinds = VMT_ARENA_NEW(t->arena, int32_t, NUM);
    for (int i = 0; i < NUM; i++) {
        tokens[i] =
            i < FIRST_BYTE ? vmt_str_from(words[i]) : vmt_arena_printf(t->arena, "<0x%02X>", i - FIRST_BYTE);
        scores[i] = i < FIRST_BYTE ? worth[i] : 0;
        kinds[i] = i == 0           ? VMT_TOKEN_UNKNOWN
                   : i < 3          ? VMT_TOKEN_CONTROL
                   : i < FIRST_BYTE ? VMT_TOKEN_NORMAL
                                    : VMT_TOKEN_BYTE;
    }
    vmt_tokenizer_gguf spec = empty_spec("llama");
    spec.tokens = tokens;
    spec.scores = scores;
    spec.kinds = kinds;
    spec.num_tokens = NUM;
    spec.bos_id = 1;
    spec.eos_id = 2;
    spec.unk_id = 0;
    vmt_tokenizer *tok;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_tokenizer_from_gguf(&tok, &spec, &err), VMT_OK);
    expect_ids(t, tok, "bcabc", (int32_t[]){1, 3, 8, 7, 6}, 5);
    expect_ids(t, tok, "xxx", (int32_t[]){1, 3, 10, 9}, 4);
    expect_ids(t, tok, "a a\n", (int32_t[]){1, 11, 11, FIRST_BYTE + 10}, 4);
    expect_ids(t, tok, "</s>\xC3\xA9", (int32_t[]){1, 2, 3, FIRST_BYTE + 0xC3, FIRST_BYTE + 0xA9}, 5);
    vmt_buf out;
    vmt_buf_init(&out, 0);
    vmt_tokenizer_decode(tok, (int32_t[]){1, 11, 11, FIRST_BYTE + 0xC3, FIRST_BYTE + 0xA9}, 5, true, &out);
    vmt_expect_slice(t, vmt_buf_str(&out), VMT_STR("a a\xC3\xA9"));
    vmt_buf_free(&out);
    vmt_tokenizer_destroy(tok);
}

static void byte_level_with_digits(vmt_test *t) {
    static const char *const words[] = {"1",
                                        "2",
                                        "12",
                                        "\xC4\xA0",
                                        "a",
                                        "\xC4\xA0"
                                        "a",
                                        "<|end|>"};
    static const char *const pairs[] = {"1 2", "\xC4\xA0 a"};
    static const int32_t kinds[] = {1, 1, 1, 1, 1, 1, VMT_TOKEN_CONTROL};
    vmt_str tokens[VMT_COUNT(words)], merges[VMT_COUNT(pairs)];
    for (size_t i = 0; i < VMT_COUNT(words); i++) tokens[i] = vmt_str_from(words[i]);
    for (size_t i = 0; i < VMT_COUNT(pairs); i++) merges[i] = vmt_str_from(pairs[i]);
    vmt_tokenizer_gguf spec = empty_spec("gpt2");
    spec.tokens = tokens;
    spec.num_tokens = VMT_COUNT(words);
    spec.merges = merges;
    spec.num_merges = VMT_COUNT(pairs);
    spec.kinds = kinds;
    vmt_tokenizer *tok;
    vmt_err err = {0};
    spec.pre = VMT_STR("smollm");
    vmt_expect_eq(t, vmt_tokenizer_from_gguf(&tok, &spec, &err), VMT_OK);
    expect_ids(t, tok, "12 a<|end|>", (int32_t[]){0, 1, 5, 6}, 4);
    vmt_tokenizer_destroy(tok);
    spec.pre = VMT_STR("gpt-2");
    vmt_expect_eq(t, vmt_tokenizer_from_gguf(&tok, &spec, &err), VMT_OK);
    expect_ids(t, tok, "12 a", (int32_t[]){2, 5}, 2);
    vmt_tokenizer_destroy(tok);
    spec.pre = VMT_STR("nobody-knows");
    vmt_expect_eq(t, vmt_tokenizer_from_gguf(&tok, &spec, &err), VMT_E_UNSUPPORTED);
    vmt_expect_str(t, err.msg, "tokenizer.ggml.pre 'nobody-knows' is not supported");
}

static void every_known_pre_tokenizer_loads(vmt_test *t) {
    static const char *const names[] = {"",           "default",  "llama-bpe",   "gpt-4o",         "tekken",
                                        "qwen2",      "qwen35",   "deepseek-v3", "deepseek-coder", "smollm",
                                        "gpt-2",      "falcon",   "bloom",       "viking",         "bailingmoe",
                                        "seed-coder", "superbpe", "olmo"};
    vmt_str tokens[] = {VMT_STR("a"), VMT_STR("1")};
    for (size_t i = 0; i < VMT_COUNT(names); i++) {
        vmt_tokenizer_gguf spec = empty_spec("gpt2");
        spec.pre = vmt_str_from(names[i]);
        spec.tokens = tokens;
        spec.num_tokens = VMT_COUNT(tokens);
        vmt_tokenizer *tok;
        vmt_err err = {0};
        if (vmt_tokenizer_from_gguf(&tok, &spec, &err) != VMT_OK)
            vmt_test_fail(t, __FILE__, __LINE__, "%s", err.msg);
        expect_ids(t, tok, "aa111a", (int32_t[]){0, 0, 1, 1, 1, 0}, 6);
        vmt_tokenizer_destroy(tok);
    }
}

static void ids_outside_the_vocabulary_are_refused(vmt_test *t) {
    vmt_tokenizer_gguf spec = empty_spec("gpt2");
    spec.bos_id = 3;
    vmt_tokenizer *tok;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_tokenizer_from_gguf(&tok, &spec, &err), VMT_E_INVALID);
    vmt_expect_str(t, err.msg, "tokenizer.ggml.bos_token_id 3 is outside the 0 tokens");
}

static const vmt_test_case cases[] = {
    {"best_score_joins_first", best_score_joins_first},
    {"byte_level_with_digits", byte_level_with_digits},
    {"every_known_pre_tokenizer_loads", every_known_pre_tokenizer_loads},
    {"ids_outside_the_vocabulary_are_refused", ids_outside_the_vocabulary_are_refused},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
