#include "base/test.h"
#include "json/json_writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static vmt_str rewrite(vmt_test *t, const char *text) {
    vmt_json_doc *doc;
    vmt_err err = {0};
    if (vmt_json_parse(&doc, vmt_str_from(text), &err) != VMT_OK) {
        vmt_test_fail(t, __FILE__, __LINE__, "%s: %s", text, err.msg);
    }
    vmt_buf buf;
    vmt_json_writer w;
    vmt_buf_init(&buf, 0);
    vmt_json_writer_init(&w, &buf);
    vmt_json_value(&w, vmt_json_root(doc));
    vmt_str out = vmt_arena_dup(t->arena, vmt_buf_str(&buf));
    vmt_buf_free(&buf);
    vmt_json_doc_destroy(doc);
    return out;
}

static void commas_and_nesting(vmt_test *t) {
    vmt_buf buf;
    vmt_json_writer w;
    vmt_buf_init(&buf, 0);
    vmt_json_writer_init(&w, &buf);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "a");
    vmt_json_begin_array(&w);
    vmt_json_i64(&w, INT64_MIN);
    vmt_json_u64(&w, UINT64_MAX);
    vmt_json_begin_object(&w);
    vmt_json_end_object(&w);
    vmt_json_begin_array(&w);
    vmt_json_end_array(&w);
    vmt_json_bool(&w, true);
    vmt_json_bool(&w, false);
    vmt_json_null(&w);
    vmt_json_end_array(&w);
    vmt_json_key_str(&w, VMT_STR("b\"c"));
    vmt_json_str(&w, VMT_STR("x"));
    vmt_json_key(&w, "c");
    vmt_json_c_str(&w, NULL);
    vmt_json_key(&w, "d");
    vmt_json_raw(&w, VMT_STR("{\"r\":1}"));
    vmt_json_key(&w, "e");
    vmt_json_value(&w, (vmt_json){0});
    vmt_json_end_object(&w);
    vmt_expect_str(t, buf.ptr,
                   "{\"a\":[-9223372036854775808,18446744073709551615,{},[],true,false,null],"
                   "\"b\\\"c\":\"x\",\"c\":null,\"d\":{\"r\":1},\"e\":null}");
    vmt_buf_free(&buf);
}

static void escapes(vmt_test *t) {
    static const struct {
        vmt_str text;
        const char *want;
    } rows[] = {
        {{"", 0}, "\"\""},
        {{NULL, 0}, "\"\""},
        {{"\"\\/\b\f\n\r\t", 8}, "\"\\\"\\\\/\\b\\f\\n\\r\\t\""},
        {{"\0\x1f\x7f", 3}, "\"\\u0000\\u001f\x7f\""},
        {{"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9}, "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\""},
        {{"a\xFF"
          "b\xE2\x82",
          5},
         "\"a\xEF\xBF\xBD"
         "b\xEF\xBF\xBD\""},
        {{"\xED\xA0\x80", 3}, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {{"\xEF\xBF\xBD", 3}, "\"\xEF\xBF\xBD\""},
    };
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        vmt_buf buf;
        vmt_buf_init(&buf, 0);
        vmt_json_escape(&buf, rows[i].text);
        vmt_expect_str(t, buf.ptr, rows[i].want);
        vmt_buf_free(&buf);
    }
}

static void every_byte_round_trips(vmt_test *t) {
    char text[128];
    for (int i = 0; i < 128; i++) text[i] = (char)i;
    vmt_buf buf;
    vmt_buf_init(&buf, 0);
    vmt_json_escape(&buf, (vmt_str){text, sizeof text});
    vmt_json_doc *doc;
    vmt_str back;
    vmt_expect_eq(t, vmt_json_parse(&doc, vmt_buf_str(&buf), NULL), VMT_OK);
    vmt_expect(t, vmt_json_get_str(vmt_json_root(doc), &back));
    vmt_expect_slice(t, back, ((vmt_str){text, sizeof text}));
    vmt_json_doc_destroy(doc);
    vmt_buf_free(&buf);
}

static void shortest_numbers(vmt_test *t) {
    static const struct {
        double value;
        const char *want;
    } rows[] = {
        {0.1, "0.1"},
        {1, "1.0"},
        {-0.0, "-0.0"},
        {1e20, "1e+20"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1.0 / 3, "0.3333333333333333"},
        {123456, "123456.0"},
        {1e-7, "1e-07"},
        {NAN, "null"},
        {-INFINITY, "null"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
    };
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        vmt_buf buf;
        vmt_json_writer w;
        vmt_buf_init(&buf, 0);
        vmt_json_writer_init(&w, &buf);
        vmt_json_f64(&w, rows[i].value);
        vmt_expect_str(t, buf.ptr, rows[i].want);
        vmt_buf_free(&buf);
    }
    vmt_buf buf;
    vmt_json_writer w;
    vmt_buf_init(&buf, 0);
    vmt_json_writer_init(&w, &buf);
    vmt_json_f32(&w, 0.1f);
    vmt_json_f32(&w, 16777216.0f);
    vmt_json_f32(&w, 1.17549435e-38f);
    vmt_json_f32(&w, INFINITY);
    vmt_expect_str(t, buf.ptr, "0.1,16777216.0,1.1754944e-38,null");
    vmt_buf_free(&buf);
}

static void numbers_read_back_the_same(vmt_test *t) {
    uint64_t state = t->seed;
    vmt_buf buf;
    vmt_buf_init(&buf, 0);
    for (int i = 0; i < 20000; i++) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
        uint64_t bits = state ^ state >> 29;
        uint32_t bits32 = (uint32_t)(bits >> 32);
        double d, back = 0;
        float f;
        memcpy(&d, &bits, sizeof d);
        memcpy(&f, &bits32, sizeof f);
        if (!isfinite(d) || !isfinite(f)) continue;
        vmt_json_writer w;
        vmt_buf_clear(&buf);
        vmt_json_writer_init(&w, &buf);
        vmt_json_f64(&w, d);
        vmt_json_doc *doc;
        vmt_expect_eq(t, vmt_json_parse(&doc, vmt_buf_str(&buf), NULL), VMT_OK);
        vmt_expect(t, vmt_json_get_f64(vmt_json_root(doc), &back) && memcmp(&back, &d, sizeof d) == 0);
        vmt_json_doc_destroy(doc);
        vmt_buf_clear(&buf);
        vmt_json_writer_init(&w, &buf);
        vmt_json_f32(&w, f);
        vmt_expect(t, strtof(buf.ptr, NULL) == f);
    }
    vmt_buf_free(&buf);
}

/* The quick way for common sizes writes what printf with the fewest digits would. */
static void floats_are_written_as_printf_would(vmt_test *t) {
    uint64_t state = 5;
    vmt_buf buf = {0};
    for (int i = 0; i < 100000; i++) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
        /* Exponents of 2^-17 to 2^22, and decimals of few digits. */
        uint32_t bits = (uint32_t)(state >> 32 & 0x807FFFFF) | (uint32_t)(110 + state % 40) << 23;
        float value;
        memcpy(&value, &bits, sizeof value);
        if (i % 4 == 0) value = (float)(state % 100000) / (i % 8 == 0 ? 1000.0f : 1000000.0f);
        char want[40];
        for (int digits = 6; digits <= 9; digits++) {
            snprintf(want, sizeof want, "%.*g", digits, (double)value);
            if (strtof(want, NULL) == value) break;
        }
        vmt_json_writer w;
        vmt_buf_clear(&buf);
        vmt_json_writer_init(&w, &buf);
        vmt_json_f32(&w, value);
        const char *tail = strpbrk(want, ".e") ? "" : ".0";
        vmt_expect_slice(t, vmt_buf_str(&buf), vmt_arena_printf(t->arena, "%s%s", want, tail));
    }
    vmt_buf_free(&buf);
}

static void values_round_trip(vmt_test *t) {
    static const char *const rows[] = {
        "null",         "\"x\"",
        "-1",           "18446744073709551615",
        "2.0",          "-0.0",
        "[]",           "{}",
        "[[],{},[{}]]", "{\"a\":[1,2.5,\"t\\u0000\",null,true,{\"b\":{}}],\"a\":false,\"\":\"\xE2\x82\xAC\"}",
    };
    for (size_t i = 0; i < VMT_COUNT(rows); i++) vmt_expect_slice(t, rewrite(t, rows[i]), vmt_str_from(rows[i]));
    vmt_expect_slice(t, rewrite(t, " { \"a\" : [ 1 , 2 ] , \"b\" : { } } "), VMT_STR("{\"a\":[1,2],\"b\":{}}"));
}

static void deepest_value_round_trips(vmt_test *t) {
    char text[2 * VMT_JSON_DEPTH_MAX + 1];
    memset(text, '[', VMT_JSON_DEPTH_MAX);
    memset(text + VMT_JSON_DEPTH_MAX, ']', VMT_JSON_DEPTH_MAX);
    text[2 * VMT_JSON_DEPTH_MAX] = 0;
    vmt_expect_slice(t, rewrite(t, text), vmt_str_from(text));
}

static const vmt_test_case cases[] = {
    {"commas_and_nesting", commas_and_nesting},
    {"escapes", escapes},
    {"every_byte_round_trips", every_byte_round_trips},
    {"shortest_numbers", shortest_numbers},
    {"numbers_read_back_the_same", numbers_read_back_the_same},
    {"floats_are_written_as_printf_would", floats_are_written_as_printf_would},
    {"values_round_trip", values_round_trip},
    {"deepest_value_round_trips", deepest_value_round_trips},
    {0},
};
VMT_TEST_MAIN(cases)
