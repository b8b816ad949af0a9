/* base/test.h: a thin layer over cmocka for foo_test.c files.
 *
 * A test file defines its cases, the last one {0}, and ends with VMT_TEST_MAIN(cases).  Each file is one process
 * under ctest; an argument picks the case of that name.  With VMT_TEST_PLAIN (cross builds, where cmocka is not at
 * hand) the same file runs with a plain loop. */
#ifndef VMT_BASE_TEST_H
#define VMT_BASE_TEST_H

#include "base/arena.h"

typedef struct vmt_test {
    vmt_arena *arena; /* fresh for each case */
    uint64_t seed;    /* fixed; VMT_TEST_SEED overrides it */
} vmt_test;

typedef struct vmt_test_case {
    const char *name;
    void (*run)(vmt_test *t);
} vmt_test_case;

/* A failed expectation prints file, line and message, and ends the case. */
#define vmt_expect(t, cond)       vmt_expect_at((t), (cond), #cond, __FILE__, __LINE__)
#define vmt_expect_eq(t, a, b)    vmt_expect_eq_at((t), (int64_t)(a), (int64_t)(b), #a, #b, __FILE__, __LINE__)
#define vmt_expect_str(t, a, b)   vmt_expect_str_at((t), vmt_str_from(a), vmt_str_from(b), __FILE__, __LINE__)
#define vmt_expect_slice(t, a, b) vmt_expect_str_at((t), (a), (b), __FILE__, __LINE__)
#define vmt_expect_near(t, a, b, tol) \
    vmt_expect_near_at((t), (double)(a), (double)(b), (double)(tol), #a, #b, __FILE__, __LINE__)

void vmt_expect_at(vmt_test *t, bool cond, const char *text, const char *file, int line);
void vmt_expect_eq_at(vmt_test *t, int64_t a, int64_t b, const char *a_text, const char *b_text, const char *file,
                      int line);
void vmt_expect_str_at(vmt_test *t, vmt_str a, vmt_str b, const char *file, int line);
void vmt_expect_near_at(vmt_test *t, double a, double b, double tol, const char *a_text, const char *b_text,
                        const char *file, int line);
VMT_NORETURN void vmt_test_fail(vmt_test *t, const char *file, int line, const char *fmt, ...) VMT_PRINTF(4, 5);
/* Ends the case as skipped, with the reason. */
VMT_NORETURN void vmt_test_skip(vmt_test *t, const char *fmt, ...) VMT_PRINTF(2, 3);

int vmt_test_run(const char *file, const vmt_test_case *cases, int argc, char **argv);
#define VMT_TEST_MAIN(cases)                                \
    int main(int argc, char **argv) {                       \
        return vmt_test_run(__FILE__, (cases), argc, argv); \
    }

#endif
