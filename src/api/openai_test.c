/* The server in this process: whole answers and streams of chat and completions, byte for byte. */
#include "api/test_api.h"
#include "json/json_writer.h"

#include <stdio.h>

#define CHAT        "/v1/chat/completions"
#define COMPLETIONS "/v1/completions"
#define FINGERPRINT "vmetal-" VMT_VERSION "-"
#define USER(text)  "\"messages\":[{\"role\":\"user\",\"content\":\"" text "\"}]"

/* What a completion's object ends with, after its choices. */
#define COMPLETION_TAIL(prompt, total, output)                                                                 \
    "],\"service_tier\":null,\"system_fingerprint\":\"" FINGERPRINT "H\",\"usage\":{\"prompt_tokens\":" prompt \
    ",\"total_tokens\":" total ",\"completion_tokens\":" output                                                \
    ",\"prompt_tokens_details\":{\"cached_tokens\":0}},\"kv_transfer_params\":null}"
#define COMPLETION_HEAD \
    "{\"id\":\"cmpl-t\",\"object\":\"text_completion\",\"created\":0,\"model\":\"letters\",\"choices\":["
#define CHUNK_HEAD                                                                                     \
    "data: "                                                                                           \
    "{\"id\":\"chatcmpl-t\",\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":\"letters\"," \
    "\"choices\":["
#define TEXT_CHUNK_HEAD "data: " COMPLETION_HEAD

/* The answer with its date and the hash of its fingerprint taken out. */
static vmt_str golden(vmt_test *t, vmt_str body) {
    vmt_str undated = test_undated(t, body);
    vmt_buf out = {0};
    size_t from = 0, at;
    while ((at = vmt_str_find(undated, VMT_STR(FINGERPRINT), from)) != SIZE_MAX) {
        at += sizeof FINGERPRINT - 1;
        vmt_buf_append(&out, vmt_str_slice(undated, from, at));
        vmt_buf_append_byte(&out, 'H');
        from = at + 8;
    }
    vmt_buf_append(&out, vmt_str_slice(undated, from, undated.len));
    vmt_str copy = vmt_arena_dup(t->arena, vmt_buf_str(&out));
    vmt_buf_free(&out);
    return copy;
}

static const struct golden_case {
    const char *path, *request, *answer;
} goldens[] = {
    {CHAT, "{\"model\":\"letters\"," USER("W") "}",
     "{\"id\":\"chatcmpl-t\",\"object\":\"chat.completion\",\"created\":0,\"model\":\"letters\",\"choices\":[{"
     "\"index\":0,"
     "\"message\":{\"role\":\"assistant\",\"content\":\"XYZ\",\"refusal\":null,\"annotations\":null,\"audio\":"
     "null,"
     "\"function_call\":null,\"reasoning\":null},\"logprobs\":null,\"finish_reason\":\"stop\",\"stop_reason\":"
     "null,"
     "\"token_ids\":null}],\"service_tier\":null,\"system_fingerprint\":\"" FINGERPRINT "H\",\"usage\":{"
     "\"prompt_tokens\":7,\"total_tokens\":11,\"completion_tokens\":4,\"prompt_tokens_details\":{\"cached_"
     "tokens\":0}},"
     "\"prompt_logprobs\":null,\"prompt_token_ids\":null,\"prompt_text\":null,\"kv_transfer_params\":null,"
     "\"metrics\":null}"},
    /* Parts are joined by a newline; ids and the prompt's text on demand; a forgotten stop_reason is null. */
    {CHAT,
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\","
     "\"text\":\"x\"}]}],"
     "\"max_completion_tokens\":1,\"max_tokens\":9,\"return_token_ids\":true,\"return_prompt_text\":true}",
     "{\"id\":\"chatcmpl-t\",\"object\":\"chat.completion\",\"created\":0,\"model\":\"letters\",\"choices\":[{"
     "\"index\":0,"
     "\"message\":{\"role\":\"assistant\",\"content\":\"y\",\"refusal\":null,\"annotations\":null,\"audio\":null,"
     "\"function_call\":null,\"reasoning\":null},\"logprobs\":null,\"finish_reason\":\"length\",\"stop_reason\":"
     "null,"
     "\"token_ids\":[121]}],\"service_tier\":null,\"system_fingerprint\":\"" FINGERPRINT "H\",\"usage\":{"
     "\"prompt_tokens\":9,\"total_tokens\":10,\"completion_tokens\":1,\"prompt_tokens_details\":{\"cached_"
     "tokens\":0}},"
     "\"prompt_logprobs\":null,\"prompt_token_ids\":[60,117,115,101,114,62,97,10,120],\"prompt_text\":\"<user>"
     "a\\nx\","
     "\"kv_transfer_params\":null,\"metrics\":null}"},
    /* All tokens in one chunk after the first: it ends within the interval. */
    {CHAT, "{" USER("!") ",\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
     CHUNK_HEAD "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
                "\"finish_reason\":null}],\"prompt_token_ids\":null}\n\n" CHUNK_HEAD
                "{\"index\":0,\"delta\":{\"content\":\"\"},\"logprobs\":null,\"finish_reason\":\"stop\","
                "\"stop_reason\":null,\"token_ids\":null}]}\n\n" CHUNK_HEAD
                "],\"system_fingerprint\":\"" FINGERPRINT "H\",\"usage\":{\"prompt_tokens\":7,\"total_tokens\":8,"
                "\"completion_tokens\":1,\"prompt_tokens_details\":{\"cached_tokens\":0}}}\n\n"
                "data: [DONE]\n\n"},
    /* Without a usage chunk the last one has the fingerprint; a stop id is the stop reason; running usage. */
    {CHAT, "{" USER("a") ",\"stream\":true,\"stop_token_ids\":[98],\"return_token_ids\":true}",
     CHUNK_HEAD "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
                "\"finish_reason\":null}],\"prompt_token_ids\":[60,117,115,101,114,62,97]}\n\n" CHUNK_HEAD
                "{\"index\":0,\"delta\":{\"content\":\"\"},\"logprobs\":null,\"finish_reason\":\"stop\","
                "\"stop_reason\":98,\"token_ids\":[98]}],\"system_fingerprint\":\"" FINGERPRINT "H\"}\n\n"
                "data: [DONE]\n\n"},
    {CHAT,
     "{" USER("a") ",\"stream\":true,\"max_tokens\":1,\"stream_options\":{\"include_usage\":true,"
                   "\"continuous_usage_stats\":true}}",
     CHUNK_HEAD
     "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
     "\"finish_reason\":null}],\"prompt_token_ids\":null,\"usage\":{\"prompt_tokens\":7,\"total_tokens\":7,"
     "\"completion_tokens\":0,\"prompt_tokens_details\":{\"cached_tokens\":0}}}\n\n" CHUNK_HEAD
     "{\"index\":0,\"delta\":{\"content\":\"b\"},\"logprobs\":null,\"finish_reason\":\"length\","
     "\"stop_reason\":null,\"token_ids\":null}],\"usage\":{\"prompt_tokens\":7,\"total_tokens\":8,"
     "\"completion_tokens\":1,\"prompt_tokens_details\":{\"cached_tokens\":0}}}\n\n" CHUNK_HEAD
     "],\"system_fingerprint\":\"" FINGERPRINT "H\",\"usage\":{\"prompt_tokens\":7,\"total_tokens\":8,"
     "\"completion_tokens\":1,\"prompt_tokens_details\":{\"cached_tokens\":0}}}\n\n"
     "data: [DONE]\n\n"},
    {COMPLETIONS, "{\"prompt\":\"W\",\"user\":\"me\",\"best_of\":3,\"unknown\":{}}",
     COMPLETION_HEAD
     "{\"index\":0,\"text\":\"XYZ\",\"logprobs\":null,\"finish_reason\":\"stop\",\"stop_reason\":null,"
     "\"token_ids\":null,\"prompt_logprobs\":null,\"prompt_token_ids\":null}" COMPLETION_TAIL("1", "5", "4")},
    /* Prompt i, sample j is choice i * n + j; prompts of ids. */
    {COMPLETIONS,
     "{\"prompt\":[[97,98],[88]],\"max_tokens\":3,\"return_token_ids\":true,\"n\":2,\"temperature\":1,\"top_k\":"
     "1}",
     COMPLETION_HEAD "{\"index\":0,\"text\":\"cde\",\"logprobs\":null,\"finish_reason\":\"length\",\"stop_"
                     "reason\":null,\"token_ids\":[99,"
                     "100,101],\"prompt_logprobs\":null,\"prompt_token_ids\":[97,98]},"
                     "{\"index\":1,\"text\":\"cde\",\"logprobs\":null,\"finish_reason\":\"length\",\"stop_"
                     "reason\":null,\"token_ids\":[99,"
                     "100,101],\"prompt_logprobs\":null,\"prompt_token_ids\":[97,98]},"
                     "{\"index\":2,\"text\":\"YZ\",\"logprobs\":null,\"finish_reason\":\"stop\",\"stop_reason\":"
                     "null,\"token_ids\":[89,90,"
                     "256],\"prompt_logprobs\":null,\"prompt_token_ids\":[88]},"
                     "{\"index\":3,\"text\":\"YZ\",\"logprobs\":null,\"finish_reason\":\"stop\",\"stop_reason\":"
                     "null,\"token_ids\":[89,90,"
                     "256],\"prompt_logprobs\":null,\"prompt_token_ids\":[88]}" COMPLETION_TAIL("3", "15", "12")},
    {COMPLETIONS, "{\"prompt\":\"hi\",\"max_tokens\":0,\"echo\":true}",
     COMPLETION_HEAD
     "{\"index\":0,\"text\":\"hi\",\"logprobs\":null,\"finish_reason\":\"length\",\"stop_reason\":null,"
     "\"token_ids\":null,\"prompt_logprobs\":null,\"prompt_token_ids\":null}" COMPLETION_TAIL("2", "2", "0")},
    {COMPLETIONS, "{\"prompt\":\"a\",\"stream\":true,\"max_tokens\":1,\"echo\":true,\"return_token_ids\":true}",
     TEXT_CHUNK_HEAD
     "{\"index\":0,\"text\":\"a\",\"logprobs\":null,\"finish_reason\":null,\"stop_reason\":null,"
     "\"prompt_token_ids\":[97],\"token_ids\":[97]}],\"usage\":null}\n\n" TEXT_CHUNK_HEAD
     "{\"index\":0,\"text\":\"b\",\"logprobs\":null,\"finish_reason\":\"length\",\"stop_reason\":null,"
     "\"prompt_token_ids\":null,\"token_ids\":[98]}],\"usage\":null}\n\n"
     "data: [DONE]\n\n"},
    {"/tokenize", "{\"prompt\":\"hi\\n\",\"return_token_strs\":true}",
     "{\"count\":3,\"max_model_len\":512,\"tokens\":[104,105,10],\"token_strs\":[\"h\",\"i\",\"\xC4\x8A\"]}"},
    {"/tokenize", "{" USER("W") "}",
     "{\"count\":7,\"max_model_len\":512,\"tokens\":[60,117,115,101,114,62,87],\"token_strs\":null}"},
    {"/detokenize", "{\"tokens\":[104,105,256]}", "{\"prompt\":\"hi<|end|>\"}"},
};

static void golden_answers(vmt_test *t) {
    test_api *a = test_api_start(t, NULL);
    for (size_t i = 0; i < VMT_COUNT(goldens); i++) {
        test_answer x = test_post(t, a, goldens[i].path, goldens[i].request);
        vmt_expect_slice(t, golden(t, x.body), vmt_str_from(goldens[i].answer));
        vmt_expect_eq(t, x.status, 200);
    }
    test_api_stop(a);
}

/* request's members after "prompt"; what the one choice holds. */
static const struct text_case {
    const char *prompt, *members, *text, *finish, *stop_reason;
    int64_t num_tokens;
} texts[] = {
    {"a", "\"max_tokens\":3", "bcd", "length", "null", 3},
    {"y", "\"max_tokens\":4", "z ab", "length", "null", 4},
    {"W", "\"max_tokens\":9,\"ignore_eos\":true,\"skip_special_tokens\":false", "XYZ<|end|>ABCDE", "length",
     "null", 9},
    {"W", "\"max_tokens\":9,\"ignore_eos\":true", "XYZABCDE", "length", "null", 9},
    {"W", "\"skip_special_tokens\":false", "XYZ", "stop", "null", 4},
    {"W", "\"skip_special_tokens\":false,\"include_stop_str_in_output\":true", "XYZ<|end|>", "stop", "null", 4},
    {"a", "\"stop\":[\"gh\",\"ij\"]", "bcdef", "stop", "gh", 7},
    {"a", "\"stop\":\"gh\",\"include_stop_str_in_output\":true", "bcdefgh", "stop", "gh", 7},
    {"a", "\"stop\":\"bc\",\"min_tokens\":5,\"stop_token_ids\":[104]", "bcdefg", "stop", "104", 7},
    {"a", "\"stop\":\"defx\",\"max_tokens\":4", "bcde", "length", "null", 4}, /* held back, then shown */
    {"\xC3", NULL, NULL, NULL, NULL, 0},
    {"\xC3\xA9", "\"max_tokens\":4", "\xC3\xA9\xC3\xA9", "length", "null", 4},
    {"\xC3\xA9", "\"max_tokens\":3", "\xC3\xA9", "length", "null", 3}, /* half a character is never shown */
    {"a", "\"max_tokens\":4,\"logit_bias\":{\"120\":100}", "xxxx", "length", "null", 4},
    {"a", "\"max_tokens\":4,\"allowed_token_ids\":[65,66]", "ABAB", "length", "null", 4},
    {"a", "\"max_tokens\":2,\"bad_words\":[\"b\"]", NULL, "length", "null", 2},
    {"abcdef", "\"max_tokens\":1,\"truncate_prompt_tokens\":2,\"truncation_side\":\"right\"", "c", "length",
     "null", 1},
    {"abcdef", "\"max_tokens\":1,\"truncate_prompt_tokens\":-1", "g", "length", "null", 1},
    {"a", "\"max_tokens\":2,\"cache_salt\":\"x\",\"priority\":3,\"seed\":-1,\"temperature\":0.0", "bc", "length",
     "null", 2},
    {"a", "\"max_tokens\":\"2\",\"temperature\":1,\"seed\":5,\"top_k\":1,\"top_p\":1,\"min_p\":\"0\"", "bc",
     "length", "null", 2},
    {"a", "\"max_tokens\":2.0,\"response_format\":{\"type\":\"text\"},\"stop\":null", "bc", "length", "null", 2},
};

static vmt_json first_choice(const vmt_json_doc *doc) {
    vmt_json_iter it = vmt_json_iter_begin(VMT_JSON_AT(vmt_json_root(doc), "choices"));
    vmt_json choice = {0};
    vmt_json_iter_next(&it, NULL, &choice);
    return choice;
}

static void expect_member(vmt_test *t, vmt_json object, const char *member, const char *want) {
    vmt_buf text = {0};
    vmt_json_writer w;
    vmt_json_writer_init(&w, &text);
    vmt_str string;
    vmt_json value = vmt_json_member(object, vmt_str_from(member));
    if (vmt_json_get_str(value, &string)) {
        vmt_buf_append(&text, string);
    } else {
        vmt_json_value(&w, value);
    }
    vmt_str copy = vmt_arena_dup(t->arena, vmt_buf_str(&text));
    vmt_buf_free(&text);
    vmt_expect_str(t, copy.ptr, want);
}

static void texts_and_ends(vmt_test *t) {
    test_api *a = test_api_start(t, NULL);
    for (size_t i = 0; i < VMT_COUNT(texts); i++) {
        const struct text_case *c = &texts[i];
        if (!c->members) continue;
        for (int stream = 0; stream < 2; stream++) {
            vmt_str request = vmt_arena_printf(t->arena, "{\"prompt\":\"%s\",%s,\"stream\":%s}", c->prompt,
                                               c->members, stream ? "true" : "false");
            test_answer x = test_post(t, a, COMPLETIONS, request.ptr);
            if (x.status != 200)
                vmt_test_fail(t, __FILE__, __LINE__, "%s: %.*s", request.ptr, VMT_STR_ARG(x.body));
            if (stream) {
                if (c->text) vmt_expect_slice(t, test_stream_text(t, x.body, 0), vmt_str_from(c->text));
                continue;
            }
            vmt_json_doc *doc = test_parse(t, x.body);
            vmt_json choice = first_choice(doc);
            if (c->text) expect_member(t, choice, "text", c->text);
            expect_member(t, choice, "finish_reason", c->finish);
            expect_member(t, choice, "stop_reason", c->stop_reason);
            int64_t num_tokens = -1;
            vmt_json usage = VMT_JSON_AT(vmt_json_root(doc), "usage");
            vmt_json_get_i64(VMT_JSON_AT(usage, "completion_tokens"), &num_tokens);
            vmt_expect_eq(t, num_tokens, c->num_tokens);
            vmt_json_doc_destroy(doc);
        }
    }
    test_api_stop(a);
}

/* ---- logprobs: shapes are exact, numbers are the model's */

static vmt_str between(vmt_test *t, vmt_str body, const char *begin, const char *end) {
    size_t at = vmt_str_find(body, vmt_str_from(begin), 0);
    vmt_expect(t, at != SIZE_MAX);
    size_t stop = vmt_str_find(body, vmt_str_from(end), at);
    vmt_expect(t, stop != SIZE_MAX);
    return vmt_str_slice(body, at, stop);
}

static void chat_logprobs(vmt_test *t) {
    test_api *a = test_api_start(t, NULL);
    test_answer x = test_post(t, a, CHAT, "{" USER("x") ",\"max_tokens\":1,\"logprobs\":true,\"top_logprobs\":2}");
    vmt_expect_slice(
        t, between(t, x.body, "\"logprobs\":", ",\"finish_reason\""),
        VMT_STR("\"logprobs\":{\"content\":[{\"token\":\"y\",\"logprob\":-0.033388834,\"bytes\":[121],"
                "\"top_logprobs\":[{\"token\":\"y\",\"logprob\":-0.033388834,\"bytes\":[121]},"
                "{\"token\":\"8\",\"logprob\":-7.5958886,\"bytes\":[56]}]}]}"));
    x = test_post(t, a, CHAT,
                  "{" USER("\xC3\xA9") ",\"max_tokens\":1,\"logprobs\":true,\"return_tokens_as_token_ids\":true}");
    vmt_expect_slice(t, between(t, x.body, "\"logprobs\":", ",\"finish_reason\""),
                     VMT_STR("\"logprobs\":{\"content\":[{\"token\":\"token_id:195\",\"logprob\":-0.71791434,"
                             "\"bytes\":[195],\"top_logprobs\":[]}]}"));
    x = test_post(t, a, CHAT, "{" USER("W") ",\"stream\":true,\"logprobs\":true}");
    vmt_expect_eq(t, client_count(x.body, "\"bytes\":["), 4); /* the end token has one, too */
    vmt_expect_slice(t, test_stream_text(t, x.body, 0), VMT_STR("XYZ"));
    x = test_post(t, a, CHAT, "{" USER("a") ",\"max_tokens\":1,\"prompt_logprobs\":1}");
    vmt_str list = between(t, x.body, "\"prompt_logprobs\":[", "],\"prompt_token_ids\"");
    vmt_expect(t, vmt_str_starts(list, VMT_STR("\"prompt_logprobs\":[null,{\"117\":{\"logprob\":")));
    vmt_expect_eq(t, client_count(list, "\"decoded_token\""), 12); /* six tokens, none of them the likeliest */
    vmt_expect_eq(t, client_count(list, "\"rank\":1,"), 6);
    test_api_stop(a);
}

static void completion_logprobs(vmt_test *t) {
    test_api *a = test_api_start(t, NULL);
    static const char want[] =
        "\"logprobs\":{\"text_offset\":[0,1,2,3],\"token_logprobs\":[null,-0.05395615,-0.087639496,"
        "-0.14079809],\"tokens\":[\"a\",\"b\",\"c\",\"d\"],\"top_logprobs\":[null,{\"b\":-0.05395615},"
        "{\"c\":-0.087639496},{\"d\":-0.14079809}]}";
    test_answer x =
        test_post(t, a, COMPLETIONS, "{\"prompt\":\"a\",\"max_tokens\":3,\"echo\":true,\"logprobs\":1}");
    vmt_expect_slice(t, between(t, x.body, "\"logprobs\":", ",\"finish_reason\""), VMT_STR(want));
    /* A sampled token that is not among the best comes first in its map. */
    x = test_post(t, a, COMPLETIONS,
                  "{\"prompt\":\"a\",\"max_tokens\":1,\"logprobs\":1,\"logit_bias\":{\"122\":100}}");
    vmt_str map = between(t, x.body, "\"top_logprobs\":[{", "]");
    vmt_expect(t, vmt_str_starts(map, VMT_STR("\"top_logprobs\":[{\"z\":-")));
    vmt_expect(t, vmt_str_find(map, VMT_STR("\"b\":-0.05395615"), 0) != SIZE_MAX);
    /* Bytes that are no character: one key for those that look alike. */
    x = test_post(t, a, COMPLETIONS, "{\"prompt\":\"\xC3\xA9\",\"max_tokens\":2,\"logprobs\":5}");
    vmt_expect_slice(t, between(t, x.body, "\"tokens\":[", ",\"top_logprobs\""),
                     VMT_STR("\"tokens\":[\"\xEF\xBF\xBD\",\"\xEF\xBF\xBD\"]"));
    /* lm-eval's loglikelihood. */
    x = test_post(t, a, COMPLETIONS,
                  "{\"prompt\":[[97,98,99],[65]],\"max_tokens\":1,\"temperature\":0,\"logprobs\":1,"
                  "\"echo\":true,\"seed\":1234}");
    vmt_expect_eq(t, client_count(x.body, "\"token_logprobs\":[null,"), 2);
    vmt_expect(t, vmt_str_find(x.body, VMT_STR("\"tokens\":[\"a\",\"b\",\"c\",\"d\"]"), 0) != SIZE_MAX);
    vmt_expect(t, vmt_str_find(x.body, VMT_STR("\"tokens\":[\"A\",\"B\"]"), 0) != SIZE_MAX);
    test_api_stop(a);
}

/* A stream with echo sends the prompt's logprobs in slices; together they are the whole. */
static void echo_in_slices(vmt_test *t) {
    test_api *a = test_api_start(t, NULL);
    vmt_buf request = {0};
    vmt_buf_append_c(&request, "{\"max_tokens\":4,\"echo\":true,\"logprobs\":0,\"stream\":true,\"prompt\":\"");
    for (int i = 0; i < 400; i++) vmt_buf_append_byte(&request, (char)('a' + i % 26));
    vmt_buf_append_c(&request, "\"}");
    test_answer x = test_post(t, a, COMPLETIONS, request.ptr);
    vmt_buf_free(&request);
    vmt_str text = test_stream_text(t, x.body, 0);
    vmt_expect_eq(t, text.len, 404);
    vmt_expect(t, vmt_str_find(x.body, VMT_STR("\"text_offset\":[400"), 0) != SIZE_MAX);
    test_api_stop(a);
}

static void continues_and_echoes_a_message(vmt_test *t) {
    test_api *a = test_api_start(t, NULL);
    test_answer x =
        test_post(t, a, CHAT,
                  "{\"messages\":[{\"role\":\"user\",\"content\":\"?\"},{\"role\":\"assistant\",\"content\":"
                  "\"ABC \"}],\"add_generation_prompt\":false,\"continue_final_message\":true,\"max_tokens\":2,"
                  "\"echo\":true,\"return_prompt_text\":true}");
    vmt_expect_eq(t, x.status, 200);
    vmt_expect(t, vmt_str_find(x.body, VMT_STR("\"content\":\"ABC ab\""), 0) != SIZE_MAX);
    vmt_expect(t, vmt_str_find(x.body, VMT_STR("\"prompt_text\":\"<user>?<assistant>ABC \""), 0) != SIZE_MAX);
    test_api_stop(a);
}

static const vmt_test_case cases[] = {
    {"golden_answers", golden_answers},
    {"texts_and_ends", texts_and_ends},
    {"chat_logprobs", chat_logprobs},
    {"completion_logprobs", completion_logprobs},
    {"echo_in_slices", echo_in_slices},
    {"continues_and_echoes_a_message", continues_and_echoes_a_message},
    {0},
};
VMT_TEST_MAIN(cases)
