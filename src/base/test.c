#include "base/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#if defined(VMT_TEST_PLAIN)
#include <pthread.h>
#else
#include <setjmp.h>
#include <cmocka.h>
#endif

#define ARENA_CAP_BYTES ((size_t)1 << 32) /* room for a case on large tensors, a stop for a runaway one */
#define MESSAGE_MAX     2048
#define SHOWN_MAX       400 /* bytes of a string shown in a message */
#define SEED_DEFAULT    UINT64_C(0x5EED0F7E575EED01)

enum outcome { OUTCOME_PASSED, OUTCOME_FAILED, OUTCOME_SKIPPED };

struct job {
    vmt_test test; /* first: a case gives back a pointer to it, and the plain runner wants the rest */
    const vmt_test_case *test_case;
    enum outcome outcome;
};

VMT_NORETURN static void end_case(vmt_test *t, enum outcome outcome, const char *message);

static void job_start(struct job *job, const vmt_test_case *test_case) {
    const char *seed_text = getenv("VMT_TEST_SEED");
    *job = (struct job){.test_case = test_case, .test = {.seed = SEED_DEFAULT}};
    if (seed_text) job->test.seed = strtoull(seed_text, NULL, 0);
    job->test.arena = vmt_arena_create(ARENA_CAP_BYTES);
    VMT_ASSERT(job->test.arena);
}

#if defined(VMT_TEST_PLAIN)

/* Each case has a thread, so that a failed expectation deep inside ends the case and the next one still runs. */
#define CASE_STACK_BYTES ((size_t)8 << 20)

static void end_case(vmt_test *t, enum outcome outcome, const char *message) {
    ((struct job *)t)->outcome = outcome;
    fprintf(stderr, "%s\n", message);
    pthread_exit(NULL);
}

static void *run_job(void *arg) {
    struct job *job = arg;
    job->test_case->run(&job->test);
    return NULL;
}

static enum outcome run_case(const vmt_test_case *test_case) {
    struct job job;
    job_start(&job, test_case);
    pthread_attr_t attr;
    pthread_t thread;
    VMT_ASSERT(pthread_attr_init(&attr) == 0);
    VMT_ASSERT(pthread_attr_setstacksize(&attr, CASE_STACK_BYTES) == 0);
    VMT_ASSERT(pthread_create(&thread, &attr, run_job, &job) == 0);
    VMT_ASSERT(pthread_join(thread, NULL) == 0);
    pthread_attr_destroy(&attr);
    vmt_arena_destroy(job.test.arena);
    return job.outcome;
}

int vmt_test_run(const char *file, const vmt_test_case *cases, int argc, char **argv) {
    static const char *const words[] = {"ok     ", "FAILED ", "skipped"};
    int num_failed = 0;
    for (const vmt_test_case *c = cases; c->name; c++) {
        if (argc > 1 && strcmp(argv[1], c->name) != 0) continue;
        enum outcome outcome = run_case(c);
        num_failed += outcome == OUTCOME_FAILED;
        printf("%s %s\n", words[outcome], c->name);
        fflush(stdout);
    }
    if (num_failed) printf("%s: %d failed\n", file, num_failed);
    return num_failed != 0;
}

#else

static void end_case(vmt_test *t, enum outcome outcome, const char *message) {
    (void)t;
    print_error("%s\n", message);
    if (outcome == OUTCOME_SKIPPED) _skip(__FILE__, __LINE__);
    _fail(__FILE__, __LINE__);
    abort();
}

static int case_setup(void **state) {
    struct job *job = malloc(sizeof *job);
    if (!job) return -1;
    job_start(job, *state);
    *state = job;
    return 0;
}

static void case_run(void **state) {
    struct job *job = *state;
    job->test_case->run(&job->test);
}

static int case_teardown(void **state) {
    struct job *job = *state;
    vmt_arena_destroy(job->test.arena);
    free(job);
    return 0;
}

int vmt_test_run(const char *file, const vmt_test_case *cases, int argc, char **argv) {
    size_t num_cases = 0;
    while (cases[num_cases].name) num_cases++;
    struct CMUnitTest *tests = calloc(num_cases + 1, sizeof *tests);
    VMT_ASSERT(tests);
    for (size_t i = 0; i < num_cases; i++) {
        tests[i] = (struct CMUnitTest){.name = cases[i].name,
                                       .test_func = case_run,
                                       .setup_func = case_setup,
                                       .teardown_func = case_teardown,
                                       .initial_state = (void *)&cases[i]};
    }
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    int num_failed = _cmocka_run_group_tests(file, tests, num_cases, NULL, NULL);
    free(tests);
    return num_failed != 0;
}

#endif

void vmt_test_fail(vmt_test *t, const char *file, int line, const char *fmt, ...) {
    char text[MESSAGE_MAX];
    int at = snprintf(text, sizeof text, "%s:%d: ", file, line);
    VMT_ASSERT(at > 0 && (size_t)at < sizeof text);
    va_list args;
    va_start(args, fmt);
    vsnprintf(text + at, sizeof text - (size_t)at, fmt, args);
    va_end(args);
    end_case(t, OUTCOME_FAILED, text);
}

void vmt_test_skip(vmt_test *t, const char *fmt, ...) {
    char text[MESSAGE_MAX];
    int at = snprintf(text, sizeof text, "skipped: ");
    va_list args;
    va_start(args, fmt);
    vsnprintf(text + at, sizeof text - (size_t)at, fmt, args);
    va_end(args);
    end_case(t, OUTCOME_SKIPPED, text);
}

void vmt_expect_at(vmt_test *t, bool cond, const char *text, const char *file, int line) {
    if (!cond) vmt_test_fail(t, file, line, "expected %s", text);
}

void vmt_expect_eq_at(vmt_test *t, int64_t a, int64_t b, const char *a_text, const char *b_text, const char *file,
                      int line) {
    if (a == b) return;
    vmt_test_fail(t, file, line, "%s is %lld, expected %s, which is %lld", a_text, (long long)a, b_text,
                  (long long)b);
}

void vmt_expect_str_at(vmt_test *t, vmt_str a, vmt_str b, const char *file, int line) {
    if (vmt_str_eq(a, b)) return;
    size_t same = 0;
    while (same < a.len && same < b.len && a.ptr[same] == b.ptr[same]) same++;
    vmt_str shown_a = vmt_str_slice(a, 0, VMT_MIN(a.len, SHOWN_MAX));
    vmt_str shown_b = vmt_str_slice(b, 0, VMT_MIN(b.len, SHOWN_MAX));
    vmt_test_fail(t, file, line, "\"%.*s\" (%zu bytes), expected \"%.*s\" (%zu bytes); they differ at byte %zu",
                  VMT_STR_ARG(shown_a), a.len, VMT_STR_ARG(shown_b), b.len, same);
}

void vmt_expect_near_at(vmt_test *t, double a, double b, double tol, const char *a_text, const char *b_text,
                        const char *file, int line) {
    /* Equality first, for infinities; a NaN on either side fails both. */
    if (a == b || fabs(a - b) <= tol) return;
    vmt_test_fail(t, file, line, "%s is %.9g, expected %s, which is %.9g, within %.3g", a_text, a, b_text, b, tol);
}
