/* cli/doctor_checks_test.c: the self-test over a mock of Metal: what is right passes, what is wrong fails. */
#include "cli/doctor_checks.h"

#include <stdlib.h>

#include "backend/metal/metal_gpu.h"
#include "backend/metal/mock_metal.h"
#include "base/log.h"
#include "base/test.h"

/* host NULL: nothing runs, so that every result is wrong. */
static int self_test(vmt_test *t, const vmt_mock_options *options, vmt_gpu *host) {
    vmt_objc objc;
    vmt_gpu *gpu;
    vmt_err err = {0};
    vmt_log_set_level(VMT_LOG_ERROR); /* each distrusted kernel is a warning */
    vmt_mock_start(options, host, &objc);
    vmt_expect_eq(t, vmt_objc_init(&objc, &err), VMT_OK);
    vmt_expect_eq(t, vmt_metal_gpu_open_with(&gpu, &objc, &err), VMT_OK);
    int code = vmt_doctor_self_test_of(gpu);
    vmt_gpu_close(gpu);
    vmt_expect_str(t, vmt_mock_complaint(true), "");
    vmt_mock_stop();
    vmt_gpu_close(host);
    return code;
}

static vmt_gpu *open_host(vmt_test *t) {
    vmt_gpu *host;
    vmt_err err = {0};
    if (vmt_gpu_open(&host, "host", &err) != VMT_OK) vmt_test_skip(t, "%s", err.msg);
    return host;
}

static void passes_where_all_is_right(vmt_test *t) {
    vmt_expect_eq(t, self_test(t, &(vmt_mock_options){0}, open_host(t)), EXIT_SUCCESS);
    vmt_expect_eq(t, self_test(t, &(vmt_mock_options){.macos_major = 14}, open_host(t)), EXIT_SUCCESS);
}

static void fails_where_a_selector_is_missing(vmt_test *t) {
    vmt_mock_options options = {.missing_selector = "memoryBarrierWithScope:"};
    vmt_expect_eq(t, self_test(t, &options, open_host(t)), EXIT_FAILURE);
}

static void fails_where_kernels_are_wrong(vmt_test *t) {
    vmt_expect_eq(t, self_test(t, &(vmt_mock_options){0}, NULL), EXIT_FAILURE);
}

static void fails_where_the_device_does(vmt_test *t) {
    vmt_expect_eq(t, self_test(t, &(vmt_mock_options){.fails_commands = true}, NULL), EXIT_FAILURE);
    vmt_expect_eq(t, self_test(t, &(vmt_mock_options){.refuses_source = true}, NULL), EXIT_FAILURE);
}

static const vmt_test_case cases[] = {
    {"passes_where_all_is_right", passes_where_all_is_right},
    {"fails_where_a_selector_is_missing", fails_where_a_selector_is_missing},
    {"fails_where_kernels_are_wrong", fails_where_kernels_are_wrong},
    {"fails_where_the_device_does", fails_where_the_device_does},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
