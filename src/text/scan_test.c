/* Every scanner against PCRE2 with the pattern it stands for, on random text. */
#include "text/scan.h"
#include "base/rng.h"
#include "base/test.h"
#include "base/utf8.h"
#include "text/regex.h"
#include "text/scratch.h"

static const char *const patterns[] = {VMT_PATTERN_GPT2,   VMT_PATTERN_CL100K, VMT_PATTERN_QWEN2,
                                       VMT_PATTERN_QWEN35, VMT_PATTERN_O200K,  VMT_PATTERN_TEKKEN};

static uint32_t random_code_point(uint64_t *rng) {
    static const uint32_t pool[] = {' ',    ' ',    ' ',     '\n',   '\r',   '\t',   '\'',   's',    'S',
                                    'r',    'e',    'E',     'l',    'a',    'Z',    '1',    '9',    '.',
                                    '/',    '$',    0x17F,   0xE9,   0xC9,   0x1C5,  0x2B0,  0x4E2D, 0x301,
                                    0x903,  0x20E3, 0x661,   0x2167, 0xB2,   0xA0,   0x3000, 0x85,   0x2028,
                                    0x2014, 0x20AC, 0x1F600, 0x200B, 0xE000, 0x3042, 0x30FC, 0};
    return pool[vmt_splitmix64(rng) % VMT_COUNT(pool)];
}

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
                len += vmt_utf8_encode(random_code_point(&rng), bytes + len);
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

static void unknown_patterns_have_no_scanner(vmt_test *t) {
    vmt_expect(t, vmt_scan_for_pattern(VMT_STR("\\p{L}+")).match == NULL);
}

static const vmt_test_case cases[] = {
    {"scanners_equal_their_patterns", scanners_equal_their_patterns},
    {"unknown_patterns_have_no_scanner", unknown_patterns_have_no_scanner},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
