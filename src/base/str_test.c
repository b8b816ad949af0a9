#include "base/str.h"
#include "base/test.h"

static void compare_and_find(vmt_test *t) {
    vmt_expect(t, vmt_str_compare(VMT_STR("a"), VMT_STR("b")) < 0);
    vmt_expect(t, vmt_str_compare(VMT_STR("ab"), VMT_STR("a")) > 0);
    vmt_expect(t, vmt_str_compare(VMT_STR("\xff"), VMT_STR("a")) > 0);
    vmt_expect_eq(t, vmt_str_compare((vmt_str){NULL, 0}, VMT_STR("")), 0);
    vmt_expect(t, vmt_str_eq_nocase(VMT_STR("Content-TYPE"), VMT_STR("content-type")));
    vmt_expect(t, !vmt_str_eq_nocase(VMT_STR("[a"), VMT_STR("{a")));

    vmt_str s = VMT_STR("abcabc");
    vmt_expect_eq(t, vmt_str_find(s, VMT_STR("bc"), 0), 1);
    vmt_expect_eq(t, vmt_str_find(s, VMT_STR("bc"), 2), 4);
    vmt_expect(t, vmt_str_find(s, VMT_STR("bc"), 5) == SIZE_MAX);
    vmt_expect(t, vmt_str_find(s, VMT_STR("x"), SIZE_MAX) == SIZE_MAX);
    vmt_expect_eq(t, vmt_str_find(s, VMT_STR(""), 6), 6);
    vmt_expect_slice(t, vmt_str_trim(VMT_STR(" \t a b\r\n")), VMT_STR("a b"));
    vmt_expect_slice(t, vmt_str_trim(VMT_STR(" \n ")), VMT_STR(""));
}

static void integers(vmt_test *t) {
    int64_t i = 5;
    uint64_t u = 5;
    vmt_expect(t, vmt_str_to_i64(VMT_STR("-9223372036854775808"), &i) && i == INT64_MIN);
    vmt_expect(t, vmt_str_to_i64(VMT_STR("9223372036854775807"), &i) && i == INT64_MAX);
    vmt_expect(t, vmt_str_to_u64(VMT_STR("18446744073709551615"), &u) && u == UINT64_MAX);
    static const char *const bad_i64[] = {
        "", "-", "+1", " 1", "1 ", "9223372036854775808", "-9223372036854775809", "0x1", "--1", "1.0"};
    for (size_t k = 0; k < VMT_COUNT(bad_i64); k++) {
        vmt_expect(t, !vmt_str_to_i64(vmt_str_from(bad_i64[k]), &i) && i == INT64_MAX);
    }
    vmt_expect(t, !vmt_str_to_u64(VMT_STR("18446744073709551616"), &u) && u == UINT64_MAX);
    vmt_expect(t, !vmt_str_to_u64(VMT_STR("-1"), &u));
}

static void doubles(vmt_test *t) {
    double d = 5;
    vmt_expect(t, vmt_str_to_f64(VMT_STR("-2.5e-3"), &d) && d == -2.5e-3);
    vmt_expect(t, vmt_str_to_f64((vmt_str){"0.75x", 4}, &d) && d == 0.75);
    static const char *const bad[] = {"", " 1", "1 ", "nan", "inf", "0x10", "1e999", "1e", "e5", "1.2.3", "-"};
    for (size_t k = 0; k < VMT_COUNT(bad); k++) {
        vmt_expect(t, !vmt_str_to_f64(vmt_str_from(bad[k]), &d) && d == 0.75);
    }
    vmt_expect(t, !vmt_str_to_f64(VMT_STR("1\0"
                                          "2"),
                                  &d));
}

static void errors_keep_the_first_cause(vmt_test *t) {
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_fail_param(&err, VMT_E_INVALID, "messages[0].role", "%d is bad", 7), VMT_E_INVALID);
    vmt_expect_eq(t, vmt_fail(&err, VMT_E_IO, "later"), VMT_E_IO);
    vmt_expect_eq(t, err.code, VMT_E_INVALID);
    vmt_expect_str(t, err.param, "messages[0].role");
    vmt_expect_str(t, err.msg, "7 is bad");
    vmt_expect_eq(t, vmt_fail(NULL, VMT_E_IO, "nobody reads this"), VMT_E_IO);
}

static void long_errors_are_cut_between_characters(vmt_test *t) {
    char text[600];
    text[0] = 'x';
    for (size_t i = 1; i + 3 <= 598; i += 3) memcpy(text + i, "\xE2\x82\xAC", 4);
    vmt_err err = {0};
    vmt_fail_param(&err, VMT_E_INVALID, text, "%s", text);
    vmt_expect_eq(t, strlen(err.msg), 253);
    vmt_expect_eq(t, strlen(err.param), 61);
}

static const vmt_test_case cases[] = {
    {"compare_and_find", compare_and_find},
    {"integers", integers},
    {"doubles", doubles},
    {"errors_keep_the_first_cause", errors_keep_the_first_cause},
    {"long_errors_are_cut_between_characters", long_errors_are_cut_between_characters},
    {0},
};
VMT_TEST_MAIN(cases)
