#include "base/log.h"
#include "base/test.h"

struct capture {
    int num_lines;
    vmt_log_level level;
    size_t len;
    char text[2048];
};

static void capture_line(void *ctx, vmt_log_level level, const char *line, size_t len) {
    struct capture *capture = ctx;
    capture->num_lines++;
    capture->level = level;
    capture->len = len;
    memcpy(capture->text, line, len + 1);
}

static void levels_filter(vmt_test *t) {
    struct capture got = {0};
    vmt_log_set_sink(capture_line, &got);
    vmt_log_set_level(VMT_LOG_WARN);
    vmt_log_info("unseen");
    vmt_log_debug("unseen");
    vmt_log_error("event=lost id=%d", 7);
    vmt_log_set_sink(NULL, NULL);
    vmt_expect_eq(t, got.num_lines, 1);
    vmt_expect_eq(t, got.level, VMT_LOG_ERROR);
    vmt_expect_str(t, got.text, "event=lost id=7");
    vmt_expect(t, vmt_log_on(VMT_LOG_WARN) && !vmt_log_on(VMT_LOG_INFO));
}

static void a_line_stays_one_line(vmt_test *t) {
    struct capture got = {0};
    char text[3000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    vmt_log_set_sink(capture_line, &got);
    vmt_log_error("a=%s", "1\nerror forged\x1b[0m");
    vmt_expect_str(t, got.text, "a=1 error forged [0m");
    vmt_log_error("%s", text);
    vmt_log_set_sink(NULL, NULL);
    vmt_expect_eq(t, got.len, 1024);
}

static const vmt_test_case cases[] = {
    {"levels_filter", levels_filter},
    {"a_line_stays_one_line", a_line_stays_one_line},
    {0},
};
VMT_TEST_MAIN(cases)
