#include "base/test.h"
#include "base/utf8.h"

static void round_trip_of_every_scalar(vmt_test *t) {
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        if (c >= 0xD800 && c <= 0xDFFF) continue;
        char text[4];
        vmt_str s = {text, vmt_utf8_encode(c, text)};
        size_t pos = 0;
        if (vmt_utf8_next(s, &pos) != c || pos != s.len || !vmt_utf8_valid(s)) {
            vmt_test_fail(t, __FILE__, __LINE__, "U+%04X does not survive", (unsigned)c);
        }
    }
}

static void encode_refuses_surrogates_and_beyond(vmt_test *t) {
    char text[4];
    static const uint32_t bad[] = {0xD800, 0xDFFF, 0x110000, 0xFFFFFFFF};
    for (size_t i = 0; i < VMT_COUNT(bad); i++) {
        vmt_expect_slice(t, ((vmt_str){text, vmt_utf8_encode(bad[i], text)}), VMT_STR("\xEF\xBF\xBD"));
    }
}

/* num_bad: how many U+FFFD the maximal-subpart rule gives (Unicode 15, 3.9, tables 3-8 to 3-11, and its kin). */
static void ill_formed_sequences(vmt_test *t) {
    static const struct {
        const char *text;
        int count, num_bad;
    } rows[] = {
        {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", 9, 8}, /* overlong forms */
        {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", 9, 8}, /* surrogates */
        {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", 9, 7}, /* beyond U+10FFFF */
        {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", 5, 4}, /* truncated */
        {"a\xF1\x80\x80\xE1\x80\xC2z\x80", 6, 4},
        {"\xC1\xBF", 2, 2},
        {"\xF8\x88\x80\x80\x80", 5, 5},
        {"\xF0\x90\x80", 1, 1},
        {"\xF0\x8F\xBF\xBF", 4, 4},
        {"\xFE", 1, 1},
        {"\xE2\x82\xAC", 1, 0},
        {"", 0, 0},
    };
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        vmt_str s = vmt_str_from(rows[i].text);
        int count = 0, num_bad = 0;
        for (size_t pos = 0; pos < s.len; count++) num_bad += vmt_utf8_next(s, &pos) == VMT_REPLACEMENT_CHAR;
        vmt_expect_eq(t, count, rows[i].count);
        vmt_expect_eq(t, num_bad, rows[i].num_bad);
        vmt_expect_eq(t, vmt_utf8_count(s), rows[i].count);
        vmt_expect_eq(t, vmt_utf8_valid(s), rows[i].num_bad == 0);
    }
}

static void valid_accepts_the_replacement_char(vmt_test *t) {
    vmt_expect(t, vmt_utf8_valid(VMT_STR("\xEF\xBF\xBD")));
    vmt_expect(t, vmt_utf8_valid(VMT_STR("a\0b")));
    vmt_expect(t, vmt_utf8_valid((vmt_str){NULL, 0}));
}

static void complete_prefix(vmt_test *t) {
    static const struct {
        const char *text;
        size_t want;
    } rows[] = {
        {"", 0},
        {"abc", 3},
        {"a\xC3", 1},
        {"a\xC3\xA9", 3},
        {"a\xE2", 1},
        {"a\xE2\x82", 1},
        {"a\xE2\x82\xAC", 4},
        {"a\xF0", 1},
        {"a\xF0\x9F", 1},
        {"a\xF0\x9F\x98", 1},
        {"a\xF0\x9F\x98\x80", 5},
        {"a\x80", 2},
        {"a\xFF", 2},
        {"a\xC0", 2},
        {"a\xE0\x80", 3},
        {"a\xED\xA0", 3},
        {"a\xF4\x90", 3},
        {"\x80\x80\x80\x80", 4},
        {"\xC3\xA9\xA9", 3},
    };
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        vmt_expect_eq(t, vmt_utf8_complete_prefix(vmt_str_from(rows[i].text)), rows[i].want);
    }
}

/* Whatever the bytes, cutting at the complete prefix and going on later gives the same characters. */
static void split_anywhere(vmt_test *t) {
    static const uint8_t alphabet[] = {'a', 0x80, 0x9F, 0xA0, 0xBF, 0xC2, 0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0xFF};
    enum { len = 4 };
    char text[len];
    for (uint32_t code = 0; code < 12 * 12 * 12 * 12; code++) {
        uint32_t rest = code;
        for (int i = 0; i < len; i++, rest /= 12) text[i] = (char)alphabet[rest % 12];
        vmt_str s = {text, len};
        for (size_t cut = 1; cut < len; cut++) {
            size_t at = vmt_utf8_complete_prefix(vmt_str_slice(s, 0, cut));
            size_t count = vmt_utf8_count(vmt_str_slice(s, 0, at)) + vmt_utf8_count(vmt_str_slice(s, at, len));
            vmt_expect_eq(t, count, vmt_utf8_count(s));
        }
    }
}

static const vmt_test_case cases[] = {
    {"round_trip_of_every_scalar", round_trip_of_every_scalar},
    {"encode_refuses_surrogates_and_beyond", encode_refuses_surrogates_and_beyond},
    {"ill_formed_sequences", ill_formed_sequences},
    {"valid_accepts_the_replacement_char", valid_accepts_the_replacement_char},
    {"complete_prefix", complete_prefix},
    {"split_anywhere", split_anywhere},
    {0},
};
VMT_TEST_MAIN(cases)
