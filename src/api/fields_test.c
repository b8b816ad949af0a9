/* Field tables, sampling fields, messages and tools, without a server. */
#include "api/chat_messages.h"
#include "api/sampling_fields.h"
#include "base/test.h"

#include <math.h>

struct target {
    bool flag;
    int64_t whole;
    double number;
    vmt_str text;
    vmt_json list;
};

#define FIELD(kind, name) {#name, VMT_FIELD_##kind, offsetof(struct target, name), NULL, 0, 0, false}
static const vmt_field table[] = {
    FIELD(BOOL, flag),
    {"whole", VMT_FIELD_INT, offsetof(struct target, whole), "at least 1", 1, 1e18, false},
    {"number", VMT_FIELD_NUMBER, offsetof(struct target, number), "in (0, 1]", 0, 1, true},
    FIELD(STRING, text),
    FIELD(ARRAY, list),
};

static vmt_json_doc *parse(vmt_test *t, const char *text) {
    vmt_json_doc *doc = NULL;
    vmt_err err = {0};
    if (vmt_json_parse(&doc, vmt_str_from(text), &err))
        vmt_test_fail(t, __FILE__, __LINE__, "%s: %s", text, err.msg);
    return doc;
}

static void lenient_types(vmt_test *t) {
    static const struct {
        const char *json;
        bool flag;
        int64_t whole;
        double number;
    } cases[] = {
        {"{}", true, 7, 0.25},
        {"{\"flag\":null,\"whole\":null,\"number\":null,\"text\":null,\"list\":null}", true, 7, 0.25},
        {"{\"flag\":false,\"whole\":3,\"number\":1}", false, 3, 1},
        {"{\"flag\":0,\"whole\":3.0,\"number\":\"0.5\"}", false, 3, 0.5},
        {"{\"flag\":\"False\",\"whole\":\"9\"}", false, 9, 0.25},
        {"{\"whole\":5,\"whole\":6}", true, 6, 0.25},
    };
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        struct target x = {.flag = true, .whole = 7, .number = 0.25};
        vmt_fault fault = {0};
        vmt_json_doc *doc = parse(t, cases[i].json);
        vmt_expect(t, vmt_fields_read(table, VMT_COUNT(table), vmt_json_root(doc), &x, &fault));
        vmt_expect_eq(t, x.flag, cases[i].flag);
        vmt_expect_eq(t, x.whole, cases[i].whole);
        vmt_expect_near(t, x.number, cases[i].number, 0);
        vmt_json_doc_destroy(doc);
    }
}

static void wrong_types_and_ranges(vmt_test *t) {
    static const struct {
        const char *json, *message;
        vmt_fault_kind kind;
    } cases[] = {
        {"[]", "1 validation error:\n  body: Input should be an object, got an array", VMT_FAULT_SCHEMA},
        {"{\"flag\":2}", "1 validation error:\n  body.flag: Input should be a boolean, got an integer",
         VMT_FAULT_SCHEMA},
        {"{\"whole\":true}", "1 validation error:\n  body.whole: Input should be an integer, got a boolean",
         VMT_FAULT_SCHEMA},
        {"{\"whole\":0}", "whole must be at least 1, got 0. (parameter=whole, value=0)", VMT_FAULT_RULE},
        {"{\"number\":0}", "number must be in (0, 1], got 0. (parameter=number, value=0)", VMT_FAULT_RULE},
        {"{\"number\":1.5}", "number must be in (0, 1], got 1.5. (parameter=number, value=1.5)", VMT_FAULT_RULE},
        {"{\"number\":\"nan\"}",
         "1 validation error:\n  body.number: Input should be a finite number, got a string", VMT_FAULT_SCHEMA},
        {"{\"text\":1}", "1 validation error:\n  body.text: Input should be a string, got an integer",
         VMT_FAULT_SCHEMA},
        {"{\"list\":{}}", "1 validation error:\n  body.list: Input should be an array, got an object",
         VMT_FAULT_SCHEMA},
    };
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        struct target x = {0};
        vmt_fault fault = {0};
        vmt_json_doc *doc = parse(t, cases[i].json);
        vmt_expect(t, !vmt_fields_read(table, VMT_COUNT(table), vmt_json_root(doc), &x, &fault));
        vmt_expect_str(t, fault.msg, cases[i].message);
        vmt_expect_eq(t, fault.kind, cases[i].kind);
        vmt_json_doc_destroy(doc);
    }
}

static void long_messages_are_cut_between_characters(vmt_test *t) {
    vmt_fault fault = {0};
    char text[2 * VMT_FAULT_MESSAGE_MAX];
    memset(text, 'x', sizeof text);
    for (size_t i = 1; i + 2 < sizeof text; i += 2) memcpy(text + i, "\xC3\xA9", 2);
    text[sizeof text - 1] = 0;
    vmt_fault_rule(&fault, "p", "v", "%s", text);
    size_t len = strlen(fault.msg);
    vmt_expect(t, len < VMT_FAULT_MESSAGE_MAX && len > VMT_FAULT_MESSAGE_MAX - 4);
    vmt_expect_eq(t, (unsigned char)fault.msg[len - 1], 0xA9);
    /* The first cause wins. */
    vmt_fault_other(&fault, VMT_FAULT_INTERNAL, NULL, "later");
    vmt_expect_eq(t, fault.kind, VMT_FAULT_RULE);
}

static void sampling_resolves(vmt_test *t) {
    const vmt_api_config config = {
        .defaults = {.temperature = 0.7f, .top_p = 0.8f, .top_k = 20, .repetition_penalty = 1.1f},
        .max_logprobs = 20};
    const vmt_sampling_context context = {&config, t->arena, 100};
    static const struct {
        const char *json;
        float temperature, top_p;
        int32_t top_k;
        bool has_seed;
    } cases[] = {
        {"{}", 0.7f, 0.8f, 20, false},
        {"{\"temperature\":1.5,\"top_p\":1,\"top_k\":-1,\"seed\":3}", 1.5f, 1, 0, true},
        {"{\"temperature\":0,\"seed\":-1}", 0, 1, 0, false},
        {"{\"temperature\":0.000001}", 0, 1, 0, false},
        {"{\"temperature\":0.001}", 0.01f, 0.8f, 20, false},
    };
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        vmt_sampling_fields fields;
        vmt_sampling s;
        vmt_fault fault = {0};
        vmt_json_doc *doc = parse(t, cases[i].json);
        vmt_expect(t, vmt_sampling_fields_read(&fields, vmt_json_root(doc), &fault));
        vmt_expect(t, vmt_sampling_resolve(&s, &fields, &context,
                                           (vmt_logprobs_wish){VMT_LOGPROBS_NONE, "logprobs"}, &fault));
        vmt_expect_near(t, s.temperature, cases[i].temperature, 0);
        vmt_expect_near(t, s.top_p, cases[i].top_p, 0);
        vmt_expect_eq(t, s.top_k, cases[i].top_k);
        vmt_expect_eq(t, s.has_seed, cases[i].has_seed);
        vmt_expect_near(t, s.repetition_penalty, 1.1f, 0);
        vmt_expect_eq(t, s.num_logprobs, -1);
        vmt_json_doc_destroy(doc);
    }
}

static void logit_bias_is_clamped(vmt_test *t) {
    const vmt_api_config config = {.defaults = {.temperature = 1, .top_p = 1, .repetition_penalty = 1},
                                   .max_logprobs = -1};
    const vmt_sampling_context context = {&config, t->arena, 100};
    vmt_sampling_fields fields;
    vmt_sampling s;
    vmt_fault fault = {0};
    vmt_json_doc *doc =
        parse(t, "{\"logit_bias\":{\"5\":1000,\"6\":-1e9,\"7\":2.5},\"allowed_token_ids\":[1,99]}");
    vmt_expect(t, vmt_sampling_fields_read(&fields, vmt_json_root(doc), &fault));
    vmt_expect(t, vmt_sampling_resolve(&s, &fields, &context, (vmt_logprobs_wish){-1, "logprobs"}, &fault));
    vmt_expect_eq(t, s.num_logit_bias, 3);
    vmt_expect_eq(t, s.logit_bias[0].token_id, 5);
    vmt_expect_near(t, s.logit_bias[0].bias, 100, 0);
    vmt_expect_near(t, s.logit_bias[1].bias, -100, 0);
    vmt_expect_near(t, s.logit_bias[2].bias, 2.5, 0);
    vmt_expect_eq(t, s.num_allowed_token_ids, 2);
    vmt_expect_eq(t, s.num_logprobs, INT32_MAX);
    vmt_json_doc_destroy(doc);
}

/* ---- messages */

static const struct {
    const char *in;
    bool as_parts;
    const char *out;
} messages[] = {
    {"[{\"role\":\"user\",\"content\":\"hi\",\"name\":\"bob\",\"other\":1}]", false,
     "[{\"role\":\"user\",\"content\":\"hi\",\"name\":\"bob\"}]"},
    {"[{\"role\":\"user\",\"content\":\"hi\"}]", true,
     "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}]"},
    {"[{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"input_text\",\"text\":"
     "\"b\"},\"c\","
     "{\"type\":\"refusal\",\"refusal\":\"d\"},{\"type\":\"thinking\",\"thinking\":\"e\"}]}]",
     false, "[{\"role\":\"system\",\"content\":\"a\\nb\\nc\\nd\\ne\"}]"},
    {"[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\",\"function\":{"
     "\"name\":"
     "\"f\",\"arguments\":\"{\\\"x\\\": "
     "1}\"}},{\"id\":\"2\",\"function\":{\"name\":\"g\",\"arguments\":\"\"}},{\"id\":\"3\","
     "\"function\":{\"name\":\"h\",\"arguments\":{\"y\":2}}}]}]",
     false,
     "[{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\",\"function\":{"
     "\"name\":"
     "\"f\",\"arguments\":{\"x\":1}}},{\"id\":\"2\",\"function\":{\"name\":\"g\",\"arguments\":{}}},{\"id\":\"3\","
     "\"function\":{\"name\":\"h\",\"arguments\":{\"y\":2}}}]}]"},
    {"[{\"role\":\"assistant\",\"reasoning_content\":\"hm\",\"content\":\"x\"},{\"role\":\"assistant\","
     "\"reasoning\":\"ha\"}]",
     false,
     "[{\"role\":\"assistant\",\"content\":\"x\",\"reasoning\":\"hm\",\"reasoning_content\":\"hm\",\"thinking\":"
     "\"hm\"},{\"role\":\"assistant\",\"content\":\"\",\"reasoning\":\"ha\",\"reasoning_content\":\"ha\","
     "\"thinking\":"
     "\"ha\"}]"},
    {"[{\"role\":\"assistant\",\"reasoning\":\"hm\",\"content\":\"x\",\"tool_calls\":[{\"function\":{\"name\":"
     "\"f\"}}]}]",
     false,
     "[{\"role\":\"assistant\",\"content\":\"x\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{}}}]"
     ","
     "\"reasoning\":\"hm\",\"reasoning_content\":\"hm\"}]"},
    {"[{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"text\":\"b\"}]"
     "}]",
     true, "[{\"role\":\"tool\",\"content\":\"a\\nb\",\"tool_call_id\":\"1\"}]"},
    {"[{\"role\":\"developer\",\"content\":\"x\",\"tools\":[{}]},{\"role\":\"critic\",\"content\":\"y\"}]", false,
     "[{\"role\":\"developer\",\"content\":\"x\",\"tools\":[{}]},{\"role\":\"critic\",\"content\":\"y\"}]"},
};

static void messages_are_normalised(vmt_test *t) {
    for (size_t i = 0; i < VMT_COUNT(messages); i++) {
        vmt_fault fault = {0};
        vmt_buf out = {0};
        vmt_json_writer w;
        vmt_json_writer_init(&w, &out);
        vmt_json_doc *doc = parse(t, messages[i].in);
        bool ok = vmt_chat_messages_write(
            vmt_json_root(doc), &(vmt_chat_messages_options){.as_parts = messages[i].as_parts}, &w, &fault);
        vmt_str copy = vmt_arena_dup(t->arena, vmt_buf_str(&out));
        vmt_buf_free(&out);
        vmt_json_doc_destroy(doc);
        if (!ok) vmt_test_fail(t, __FILE__, __LINE__, "%s: %s", messages[i].in, fault.msg);
        vmt_expect_slice(t, copy, vmt_str_from(messages[i].out));
    }
}

static const vmt_test_case cases[] = {
    {"lenient_types", lenient_types},
    {"wrong_types_and_ranges", wrong_types_and_ranges},
    {"long_messages_are_cut_between_characters", long_messages_are_cut_between_characters},
    {"sampling_resolves", sampling_resolves},
    {"logit_bias_is_clamped", logit_bias_is_clamped},
    {"messages_are_normalised", messages_are_normalised},
    {0},
};
VMT_TEST_MAIN(cases)
