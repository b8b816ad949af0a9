#include "base/buf.h"
#include "base/test.h"
#include "json/json.h"

static vmt_json_doc *parse(vmt_test *t, const char *text) {
    vmt_json_doc *doc;
    vmt_err err = {0};
    if (vmt_json_parse(&doc, vmt_str_from(text), &err) != VMT_OK) {
        vmt_test_fail(t, __FILE__, __LINE__, "%s: %s", text, err.msg);
    }
    return doc;
}

static void types(vmt_test *t) {
    static const struct {
        const char *text;
        vmt_json_type type;
    } rows[] = {
        {"null", VMT_JSON_NULL},
        {"true", VMT_JSON_BOOL},
        {"false", VMT_JSON_BOOL},
        {"0", VMT_JSON_INT},
        {"-9223372036854775808", VMT_JSON_INT},
        {"9223372036854775807", VMT_JSON_INT},
        {"9223372036854775808", VMT_JSON_UINT},
        {"18446744073709551615", VMT_JSON_UINT},
        {"18446744073709551616", VMT_JSON_DOUBLE},
        {"-9223372036854775809", VMT_JSON_DOUBLE},
        {"1.0", VMT_JSON_DOUBLE},
        {"1e2", VMT_JSON_DOUBLE},
        {"\"\"", VMT_JSON_STRING},
        {"[]", VMT_JSON_ARRAY},
        {" \t\r\n{} \n", VMT_JSON_OBJECT},
    };
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        vmt_json_doc *doc = parse(t, rows[i].text);
        vmt_expect_eq(t, vmt_json_typeof(vmt_json_root(doc)), rows[i].type);
        vmt_json_doc_destroy(doc);
    }
}

static void numbers(vmt_test *t) {
    vmt_json_doc *doc = parse(t, "[-5, 18446744073709551615, 0.1, 7, 1000000000000000019884624838656, \"7\"]");
    vmt_json v[6];
    size_t n = 0;
    for (vmt_json_iter it = vmt_json_iter_begin(vmt_json_root(doc)); vmt_json_iter_next(&it, NULL, &v[n]);) n++;
    vmt_expect_eq(t, n, 6);
    int64_t i = 99;
    uint64_t u = 99;
    double d = 99;
    vmt_expect(t, vmt_json_get_i64(v[0], &i) && i == -5);
    vmt_expect(t, !vmt_json_get_u64(v[0], &u) && u == 99);
    vmt_expect(t, vmt_json_get_f64(v[0], &d) && d == -5);
    vmt_expect(t, !vmt_json_get_i64(v[1], &i) && i == -5);
    vmt_expect(t, vmt_json_get_u64(v[1], &u) && u == UINT64_MAX);
    vmt_expect(t, !vmt_json_get_i64(v[2], &i) && !vmt_json_get_u64(v[2], &u));
    vmt_expect(t, vmt_json_get_f64(v[2], &d) && d == 0.1);
    vmt_expect(t, vmt_json_get_u64(v[3], &u) && u == 7);
    vmt_expect(t, vmt_json_get_f64(v[4], &d) && d == 1e30);
    vmt_expect(t, !vmt_json_get_f64(v[5], &d) && d == 1e30);
    vmt_json_doc_destroy(doc);
}

/* Digits in strings, fractions and exponents are no integers, and widening must leave them alone. */
static void big_integers_beside_lookalikes(vmt_test *t) {
    vmt_json_doc *doc =
        parse(t, "{\"99999999999999999999\": \"\\\"99999999999999999999\", \"a\":"
                 "0.99999999999999999999, \"b\": 99999999999999999999,\"c\": 1e-00000000000000000000000005,"
                 "\"d\":99999999999999999999.5}");
    vmt_json root = vmt_json_root(doc);
    vmt_str s;
    double d;
    vmt_expect(t, vmt_json_get_str(VMT_JSON_AT(root, "99999999999999999999"), &s));
    vmt_expect_slice(t, s, VMT_STR("\"99999999999999999999"));
    vmt_expect(t, vmt_json_get_f64(VMT_JSON_AT(root, "a"), &d) && d == 1.0);
    vmt_expect(t, vmt_json_get_f64(VMT_JSON_AT(root, "b"), &d) && d == 1e20);
    vmt_expect(t, vmt_json_get_f64(VMT_JSON_AT(root, "c"), &d) && d == 1e-5);
    vmt_expect(t, vmt_json_get_f64(VMT_JSON_AT(root, "d"), &d) && d == 1e20);
    vmt_json_doc_destroy(doc);
}

static void strings(vmt_test *t) {
    vmt_json_doc *doc =
        parse(t, "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\", \"a\\u0000b\", \"\\u20ac\\uD83D\\uDE00\", \"\xC3\xA9\"]");
    static const vmt_str want[] = {
        {"\"\\/\b\f\n\r\t", 8}, {"a\0b", 3}, {"\xE2\x82\xAC\xF0\x9F\x98\x80", 7}, {"\xC3\xA9", 2}};
    vmt_json value;
    size_t n = 0;
    for (vmt_json_iter it = vmt_json_iter_begin(vmt_json_root(doc)); vmt_json_iter_next(&it, NULL, &value); n++) {
        vmt_str s;
        vmt_expect(t, vmt_json_get_str(value, &s));
        vmt_expect_slice(t, s, want[n]);
    }
    vmt_expect_eq(t, n, VMT_COUNT(want));
    vmt_json_doc_destroy(doc);
}

static void members(vmt_test *t) {
    vmt_json_doc *doc = parse(t, "{\"a\":1,\"b\":{\"a\":[9,8]},\"a\":3,\"\":4,\"n\":null}");
    vmt_json root = vmt_json_root(doc);
    int64_t i;
    vmt_expect(t, vmt_json_get_i64(VMT_JSON_AT(root, "a"), &i) && i == 3);
    vmt_expect(t, vmt_json_get_i64(VMT_JSON_AT(root, ""), &i) && i == 4);
    vmt_expect(t, vmt_json_is_null(VMT_JSON_AT(root, "n")));
    vmt_expect_eq(t, vmt_json_size(root), 5);
    vmt_expect_eq(t, vmt_json_size(VMT_JSON_AT(VMT_JSON_AT(root, "b"), "a")), 2);
    vmt_json missing = VMT_JSON_AT(root, "zz");
    vmt_expect(t, !vmt_json_exists(missing) && !vmt_json_is_null(missing));
    vmt_expect_eq(t, vmt_json_typeof(VMT_JSON_AT(VMT_JSON_AT(missing, "x"), "y")), VMT_JSON_ABSENT);
    vmt_expect_eq(t, vmt_json_size(missing), 0);
    vmt_expect(t, !vmt_json_exists(VMT_JSON_AT(VMT_JSON_AT(root, "a"), "x")));

    vmt_buf keys;
    vmt_buf_init(&keys, 0);
    vmt_str key;
    vmt_json value;
    for (vmt_json_iter it = vmt_json_iter_begin(root); vmt_json_iter_next(&it, &key, &value);) {
        vmt_buf_append(&keys, key);
        vmt_buf_append_byte(&keys, ',');
    }
    vmt_expect_slice(t, vmt_buf_str(&keys), VMT_STR("a,b,a,,n,"));
    vmt_buf_free(&keys);
    vmt_json_doc_destroy(doc);
}

static void text_need_not_outlive_parse(vmt_test *t) {
    vmt_str text = vmt_arena_dup(t->arena, VMT_STR("{\"key\":\"value\"}"));
    vmt_json_doc *doc = parse(t, text.ptr);
    memset((char *)text.ptr, 'x', text.len);
    vmt_str s;
    vmt_expect(t, vmt_json_get_str(VMT_JSON_AT(vmt_json_root(doc), "key"), &s));
    vmt_expect_slice(t, s, VMT_STR("value"));
    vmt_json_doc_destroy(doc);
}

static vmt_status parse_nested(vmt_test *t, size_t depth, const char *open, const char *inner, const char *close) {
    vmt_buf text;
    vmt_buf_init(&text, 0);
    for (size_t i = 0; i < depth; i++) vmt_buf_append_c(&text, open);
    vmt_buf_append_c(&text, inner);
    for (size_t i = 0; i < depth; i++) vmt_buf_append_c(&text, close);
    vmt_json_doc *doc;
    vmt_err err = {0};
    vmt_status status = vmt_json_parse(&doc, vmt_buf_str(&text), &err);
    if (status != VMT_OK) vmt_expect(t, doc == NULL && strstr(err.msg, "256") != NULL);
    vmt_json_doc_destroy(doc);
    vmt_buf_free(&text);
    return status;
}

static void depth_is_capped(vmt_test *t) {
    vmt_expect_eq(t, parse_nested(t, VMT_JSON_DEPTH_MAX, "[", "1", "]"), VMT_OK);
    vmt_expect_eq(t, parse_nested(t, VMT_JSON_DEPTH_MAX, "[", "", "]"), VMT_OK);
    vmt_expect_eq(t, parse_nested(t, VMT_JSON_DEPTH_MAX, "[", "[],{}", "]"), VMT_E_EXHAUSTED);
    vmt_expect_eq(t, parse_nested(t, VMT_JSON_DEPTH_MAX + 1, "[", "1", "]"), VMT_E_EXHAUSTED);
    vmt_expect_eq(t, parse_nested(t, VMT_JSON_DEPTH_MAX, "{\"a\":", "1", "}"), VMT_OK);
    vmt_expect_eq(t, parse_nested(t, VMT_JSON_DEPTH_MAX, "{\"a\":", "{}", "}"), VMT_E_EXHAUSTED);
    vmt_expect_eq(t, parse_nested(t, 1000000, "[", "", "]"), VMT_E_EXHAUSTED);
}

static void invalid_input(vmt_test *t) {
    static const char *const rows[] = {
        "",
        " ",
        "nul",
        "tru",
        "falsey",
        "True",
        "[",
        "]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{\"a\":1,}",
        "{1:2}",
        "1 1",
        "[] []",
        "[1]x",
        "{}]",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "0x1",
        "NaN",
        "Infinity",
        "1e999",
        "'a'",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\x01\"",
        "\"\n\"",
        "\"\xFF\"",
        "\"\xC0\x80\"",
        "\"\xED\xA0\x80\"",
        "\xEF\xBB\xBF{}",
        "// c\n1",
        "[1]/**/",
        "99999999999999999999x",
        "[099999999999999999999]",
    };
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        vmt_json_doc *doc;
        vmt_err err = {0};
        vmt_status status = vmt_json_parse(&doc, vmt_str_from(rows[i]), &err);
        if (status != VMT_E_INVALID || doc || !err.msg[0]) {
            vmt_test_fail(t, __FILE__, __LINE__, "accepted: %s", rows[i]);
        }
    }
    static const vmt_str with_nul[] = {{"1\0", 2}, {"{}\0", 3},  {"true\0x", 6},
                                       {"\0", 1},  {"[1\0]", 4}, {"\"a\0\"", 4}};
    for (size_t i = 0; i < VMT_COUNT(with_nul); i++) {
        vmt_json_doc *doc;
        vmt_expect_eq(t, vmt_json_parse(&doc, with_nul[i], NULL), VMT_E_INVALID);
        vmt_expect(t, doc == NULL);
    }
}

/* Random edits of a good text: any answer will do, as long as nothing breaks under the sanitizers. */
static void mutations_never_crash(vmt_test *t) {
    static const char good[] =
        "{\"a\":[1,-2.5e3,{\"b\":\"x\\u20ac\\n\"}],\"big\":123456789012345678901,\"c\":null}";
    uint64_t state = t->seed;
    for (int round = 0; round < 20000; round++) {
        char text[sizeof good];
        memcpy(text, good, sizeof good);
        for (int edit = 0; edit < 3; edit++) {
            state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
            static const char bytes[] = "\"\\{}[],:0919.eE-u \n\x80\xED\xFFtfn";
            text[(state >> 33) % (sizeof good - 1)] = bytes[(state >> 20) % (sizeof bytes - 1)];
        }
        vmt_json_doc *doc;
        if (vmt_json_parse(&doc, (vmt_str){text, sizeof good - 1 - (state >> 60)}, NULL) != VMT_OK) continue;
        (void)vmt_json_size(vmt_json_root(doc));
        vmt_json_doc_destroy(doc);
    }
}

static const vmt_test_case cases[] = {
    {"types", types},
    {"numbers", numbers},
    {"big_integers_beside_lookalikes", big_integers_beside_lookalikes},
    {"strings", strings},
    {"members", members},
    {"text_need_not_outlive_parse", text_need_not_outlive_parse},
    {"depth_is_capped", depth_is_capped},
    {"invalid_input", invalid_input},
    {"mutations_never_crash", mutations_never_crash},
    {0},
};
VMT_TEST_MAIN(cases)
