/* Every scanner against PCRE2 with the pattern it stands for, on random text. */
#include "text/scan.h"
#include "base/rng.h"
#include "base/test.h"
#include "base/utf8.h"
#include "text/regex.h"
#include "text/scratch.h"
#include "text/test_words.h"

static const char *const patterns[] = {VMT_PATTERN_GPT2,   VMT_PATTERN_CL100K, VMT_PATTERN_QWEN2,
                                       VMT_PATTERN_QWEN35, VMT_PATTERN_O200K,  VMT_PATTERN_TEKKEN};

static void scanners_equal_their_patterns(vmt_test *t) {
    vmt_scratch *scratch = vmt_scratch_create(false);
    for (size_t p = 0; p < VMT_COUNT(patterns); p++) {
        vmt_regex *regex;
        vmt_err err = {0};
        vmt_expect_eq(t, vmt_regex_compile(&regex, vmt_str_from(patterns[p]), &err), VMT_OK);
        vmt_scan scan = vmt_scan_for_pattern(vmt_str_from(patterns[p]));
        vmt_expect(t, scan.match != NULL);
        uint64_t rng = t->seed + p;
        for (int round = 0; round < 6000; round++) {
            char bytes[64];
            size_t len = 0;
            for (uint64_t n = 1 + vmt_splitmix64(&rng) % 12; n > 0; n--) {
                len += vmt_utf8_encode(test_code_point(&rng), bytes + len);
            }
            vmt_str text = {bytes, len};
            for (size_t pos = 0; pos < len;) {
                vmt_regex_span want = {0, 0};
                vmt_expect_eq(t, vmt_regex_next(regex, scratch, text, pos, false, &want), VMT_OK);
                size_t end = scan.match((const uint8_t *)bytes, len, pos);
                if (want.begin != pos || want.end != end) {
                    vmt_test_fail(t, __FILE__, __LINE__, "pattern %zu, '%.*s' at %zu: %zu, not %zu", p,
                                  VMT_STR_ARG(text), pos, end, want.end);
                }
                pos = end;
            }
        }
        vmt_regex_destroy(regex);
    }
    vmt_scratch_destroy(scratch);
}

/* All words of a text, as they are found many at a time. */
static void words_of_long_texts_equal_their_patterns(vmt_test *t) {
    vmt_scratch *scratch = vmt_scratch_create(false);
    for (size_t p = 0; p < VMT_COUNT(patterns); p++) {
        vmt_regex *regex;
        vmt_err err = {0};
        vmt_expect_eq(t, vmt_regex_compile(&regex, vmt_str_from(patterns[p]), &err), VMT_OK);
        vmt_scan scan = vmt_scan_for_pattern(vmt_str_from(patterns[p]));
        uint64_t rng = t->seed + p;
        for (int round = 0; round < 1500; round++) {
            char bytes[400];
            vmt_str text = {bytes, test_ascii_text(&rng, bytes, 8 + vmt_splitmix64(&rng) % 392)};
            size_t ends[3 * VMT_ASCII_WINDOW];
            uint32_t ends_max = VMT_ASCII_WINDOW + (uint32_t)(vmt_splitmix64(&rng) % (2 * VMT_ASCII_WINDOW + 1));
            for (size_t pos = 0; pos < text.len;) {
                uint32_t num = vmt_scan_words(scan, (const uint8_t *)bytes, text.len, pos, ends, ends_max);
                vmt_expect(t, num > 0 && num <= ends_max);
                for (uint32_t i = 0; i < num; pos = ends[i++]) {
                    vmt_regex_span want = {0, 0};
                    vmt_expect_eq(t, vmt_regex_next(regex, scratch, text, pos, false, &want), VMT_OK);
                    if (want.begin == pos && want.end == ends[i]) continue;
                    vmt_test_fail(t, __FILE__, __LINE__, "pattern %zu, '%.*s' at %zu: %zu, not %zu", p,
                                  VMT_STR_ARG(text), pos, ends[i], want.end);
                }
            }
        }
        vmt_regex_destroy(regex);
    }
    vmt_scratch_destroy(scratch);
}

static void unknown_patterns_have_no_scanner(vmt_test *t) {
    vmt_expect(t, vmt_scan_for_pattern(VMT_STR("\\p{L}+")).match == NULL);
}

static const vmt_test_case cases[] = {
    {"scanners_equal_their_patterns", scanners_equal_their_patterns},
    {"words_of_long_texts_equal_their_patterns", words_of_long_texts_equal_their_patterns},
    {"unknown_patterns_have_no_scanner", unknown_patterns_have_no_scanner},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
