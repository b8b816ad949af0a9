/* Many words at a time beside one at a time, by the scanners that scan_test.c holds against PCRE2.  Without a library,
 * so that it runs for each kind of processor. */
#include "text/ascii_words.h"
#include "base/rng.h"
#include "base/test.h"
#include "text/scan.h"
#include "text/test_words.h"

static const char *const patterns[] = {VMT_PATTERN_CL100K, VMT_PATTERN_QWEN2, VMT_PATTERN_QWEN35,
                                       VMT_PATTERN_O200K, VMT_PATTERN_TEKKEN};

static void ends_equal_the_scanners(vmt_test *t) {
    for (size_t p = 0; p < VMT_COUNT(patterns); p++) {
        vmt_scan scan = vmt_scan_for_pattern(vmt_str_from(patterns[p]));
        vmt_expect(t, scan.ascii.known);
        uint64_t rng = t->seed + p;
        for (int round = 0; round < 6000; round++) {
            char bytes[4 * VMT_ASCII_WINDOW] = {0};
            size_t len = test_ascii_text(&rng, bytes, sizeof bytes);
            const uint8_t *s = (const uint8_t *)bytes;
            for (size_t begin = 0; len - begin >= VMT_ASCII_WINDOW;) {
                size_t at = begin;
                for (uint64_t found = vmt_ascii_word_ends(scan.ascii, s + begin); found; found &= found - 1) {
                    size_t end = begin + (size_t)__builtin_ctzll(found), want = scan.match(s, len, at);
                    if (want != end) {
                        vmt_test_fail(t, __FILE__, __LINE__, "pattern %zu, '%.*s' at %zu: %zu, not %zu", p,
                                      (int)len, bytes, at, end, want);
                    }
                    at = end;
                }
                begin = at > begin ? at : scan.match(s, len, begin);
            }
        }
    }
}

/* So that a window that finds nothing is no success: bit i is the mark under s[i]. */
static void plain_text_is_found_to_its_last_word(vmt_test *t) {
    static const char text[] = "In 1969, two men (and a flag) stood: it was the Moon.\n\n  Next x = y;";
    static const char mark[] = "  ||  |||   |   | |  | |    ||     ||  |   |   |    |  ||    |      ";
    vmt_expect(t, sizeof text > VMT_ASCII_WINDOW && sizeof mark == sizeof text);
    uint64_t want = 0;
    for (size_t i = 0; i < VMT_ASCII_WINDOW; i++) want |= (uint64_t)(mark[i] == '|') << i;
    vmt_scan scan = vmt_scan_for_pattern(VMT_STR(VMT_PATTERN_CL100K));
    vmt_expect_eq(t, vmt_ascii_word_ends(scan.ascii, (const uint8_t *)text), want);
}

static const vmt_test_case cases[] = {
    {"ends_equal_the_scanners", ends_equal_the_scanners},
    {"plain_text_is_found_to_its_last_word", plain_text_is_found_to_its_last_word},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
