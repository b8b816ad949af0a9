#include "cli/doctor_checks.h"

#include "backend/metal/selectors.h"
#include "cli/command_error.h"
#include "ops/gpu_checks.h"

#include <string.h>

struct self_test {
    vmt_gpu *gpu;
    uint32_t num_wrong; /* of all kinds */
};

/* ---- selectors */

static void show_missing(void *ctx, const char *receiver, const char *selector, bool is_optional) {
    (void)ctx;
    printf("%-40s %s of %s\n", selector, is_optional ? "absent, done without" : "MISSING", receiver);
}

static vmt_status check_selectors(struct self_test *s, vmt_err *err) {
    vmt_selectors_report report = {.missing = show_missing};
    if (strcmp(s->gpu->driver, "metal") != 0) return VMT_OK;
    VMT_TRY(vmt_metal_selectors_check(s->gpu, &report, err));
    printf("selectors: %u asked for, %u missing\n", report.num_asked, report.num_missing);
    s->num_wrong += report.num_missing;
    return VMT_OK;
}

/* ---- kernels */

static void show_uncompiled(void *ctx, const char *kernel, const char *reason) {
    (void)ctx;
    printf("%-40s DOES NOT COMPILE: %s\n", kernel, reason);
}

static vmt_status compile(struct self_test *s, vmt_err *err) {
    uint32_t num_failed;
    VMT_TRY(vmt_gpu_checks_compile(s->gpu, show_uncompiled, NULL, &num_failed, err));
    printf("kernels: %u compiled, %u failed\n", vmt_kernel_count() - num_failed, num_failed);
    s->num_wrong += num_failed;
    return VMT_OK;
}

static void show_result(void *ctx, const vmt_gpu_check_result *r) {
    (void)ctx;
    if (r->failure != NULL) {
        printf("%-40s CAN'T RUN: %s", r->name, r->failure);
    } else {
        printf("%-40s worst %-9.2g allowed %-9.2g %s", r->name, r->worst, r->tolerance,
               r->is_right ? "ok" : "WRONG");
    }
    if (!r->is_right && r->fallback != NULL) printf("; %s takes its place", r->fallback);
    if (!r->is_right && r->fallback == NULL) printf("; nothing takes its place: --device cpu");
    printf("\n");
}

static vmt_status check_kernels(struct self_test *s, vmt_err *err) {
    vmt_gpu_check_selection all = {.type = VMT_NUM_DTYPES};
    vmt_gpu_check_counts counts;
    VMT_TRY(vmt_gpu_checks_run(s->gpu, &all, show_result, NULL, &counts, err));
    printf("checks: %u passed, %u failed; they ran %u of %u kernels\n", counts.num_checks - counts.num_wrong,
           counts.num_wrong, counts.num_kernels_run, vmt_kernel_count());
    s->num_wrong += counts.num_wrong;
    return VMT_OK;
}

/* ---- all */

static const char *auto_driver(void) {
#if defined(__APPLE__)
    return "metal";
#else
    return "host";
#endif
}

static vmt_status run(struct self_test *s, vmt_err *err) {
    printf("device: %s (%s)\n", s->gpu->caps.name, s->gpu->driver);
    VMT_TRY(check_selectors(s, err));
    VMT_TRY(compile(s, err));
    return check_kernels(s, err);
}

int vmt_doctor_self_test_of(vmt_gpu *gpu) {
    struct self_test s = {.gpu = gpu};
    vmt_err err = {0};
    vmt_status status = run(&s, &err);
    if (status != VMT_OK) return vmt_command_fail("doctor", status, &err);
    if (s.num_wrong > 0) {
        printf("\n%u thing%s wrong\n", s.num_wrong, s.num_wrong == 1 ? " is" : "s are");
        return EXIT_FAILURE;
    }
    printf("\nall is well\n");
    return EXIT_SUCCESS;
}

int vmt_doctor_self_test(vmt_str device) {
    char driver[16];
    vmt_gpu *gpu;
    vmt_err err = {0};
    snprintf(driver, sizeof driver, "%.*s", VMT_STR_ARG(device));
    vmt_status status = vmt_gpu_open(&gpu, vmt_str_eq_c(device, "auto") ? auto_driver() : driver, &err);
    if (status != VMT_OK) return vmt_command_fail("doctor", status, &err);
    int code = vmt_doctor_self_test_of(gpu);
    vmt_gpu_close(gpu);
    return code;
}
