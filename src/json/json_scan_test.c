/* json/json_scan_test.c: the automaton agrees with the reader about what is JSON. */
#include "base/buf.h"
#include "base/rng.h"
#include "base/test.h"
#include "json/json_scan.h"

static bool scan_says(vmt_str text) {
    vmt_json_scan scan;
    vmt_json_scan_init(&scan);
    for (size_t i = 0; i < text.len; i++) vmt_json_scan_push(&scan, text.ptr[i]);
    return vmt_json_scan_is_whole(&scan);
}

static bool reader_says(vmt_str text) {
    vmt_json_doc *doc = NULL;
    bool ok = vmt_json_parse(&doc, text, NULL) == VMT_OK;
    vmt_json_doc_destroy(doc);
    return ok;
}

static const char *const texts[] = {
    "{}",
    "[]",
    " [1, -0.5e+3, 0, 10, 1E2 ] ",
    "{\"a\": [true, false, null], \"b\\n\\u00e9\": {\"c\": \"d\"}}",
    "\"x\"",
    "12",
    "-1.5",
    "null",
    "01",
    "[1,]",
    "{\"a\":}",
    "{,}",
    "1.",
    "-",
    "[}",
    "\"a\nb\"",
    "\"\\x\"",
    "nul",
    "{} {}",
    "1 2",
    "",
    "[1 2]",
    "{\"a\" 1}",
};

static void agrees_with_the_reader(vmt_test *t) {
    for (size_t i = 0; i < VMT_COUNT(texts); i++) {
        vmt_str text = vmt_str_from(texts[i]);
        if (scan_says(text) != reader_says(text)) {
            vmt_test_fail(t, __FILE__, __LINE__, "%s: scan %d, reader %d", texts[i], scan_says(text),
                          reader_says(text));
        }
    }
}

static void agrees_on_damaged_text(vmt_test *t) {
    static const char letters[] = "{}[]\",:0123456789.eE+-tfnul \n\\x";
    uint64_t rng = t->seed;
    for (uint32_t round = 0; round < 40000; round++) {
        vmt_str from = vmt_str_from(texts[vmt_splitmix64(&rng) % VMT_COUNT(texts)]);
        vmt_buf text = {0};
        vmt_buf_append(&text, from);
        for (uint64_t n = vmt_splitmix64(&rng) % 4; text.len && n > 0; n--) {
            text.ptr[vmt_splitmix64(&rng) % text.len] = letters[vmt_splitmix64(&rng) % (sizeof letters - 1)];
        }
        vmt_str s = vmt_buf_str(&text);
        bool has_range =
            vmt_str_find(s, VMT_STR("e"), 0) != SIZE_MAX || vmt_str_find(s, VMT_STR("E"), 0) != SIZE_MAX;
        bool has_escape = vmt_str_find(s, VMT_STR("\\u"), 0) != SIZE_MAX;
        /* The reader also refuses numbers out of range and halves of surrogate pairs. */
        bool want = reader_says(s), got = scan_says(s);
        if (want != got && !(got && (has_range || has_escape))) {
            vmt_test_fail(t, __FILE__, __LINE__, "%.*s: scan %d, reader %d", VMT_STR_ARG(s), got, want);
        }
        vmt_buf_free(&text);
    }
}

static void depth_is_capped(vmt_test *t) {
    vmt_json_scan scan;
    vmt_json_scan_init(&scan);
    for (uint32_t i = 0; i < VMT_JSON_DEPTH_MAX; i++) {
        vmt_expect(t, vmt_json_scan_push(&scan, '[') != VMT_SCAN_BAD);
    }
    vmt_expect_eq(t, vmt_json_scan_push(&scan, '['), VMT_SCAN_BAD);
    vmt_buf text = {0};
    for (uint32_t i = 0; i < VMT_JSON_DEPTH_MAX; i++) vmt_buf_append_byte(&text, '[');
    for (uint32_t i = 0; i < VMT_JSON_DEPTH_MAX; i++) vmt_buf_append_byte(&text, ']');
    vmt_expect(t, scan_says(vmt_buf_str(&text)));
    vmt_expect(t, reader_says(vmt_buf_str(&text)));
    vmt_buf_free(&text);
}

static const vmt_test_case cases[] = {
    {"agrees_with_the_reader", agrees_with_the_reader},
    {"agrees_on_damaged_text", agrees_on_damaged_text},
    {"depth_is_capped", depth_is_capped},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
