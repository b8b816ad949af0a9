/* ops/gpu_checks_test.c: the checks pass on devices that are right, and find kernels that are wrong or do not compile.
 * argv[1]: driver, default host. */
#include "ops/gpu_checks.h"

#include <stdio.h>
#include <string.h>

#include "backend/gpu_program.h"
#include "backend/test_gpu.h"
#include "base/log.h"
#include "ops/gpu_matmul.h"

struct report {
    vmt_test *t;
    uint32_t num_wrong;
    char name[64], kernel[64], fallback[64], failure[128];
};

static void note(void *ctx, const vmt_gpu_check_result *result) {
    struct report *r = ctx;
    if (result->is_right) return;
    r->num_wrong++;
    snprintf(r->name, sizeof r->name, "%s", result->name);
    snprintf(r->kernel, sizeof r->kernel, "%s", result->kernel ? result->kernel : "");
    snprintf(r->fallback, sizeof r->fallback, "%s", result->fallback ? result->fallback : "");
    snprintf(r->failure, sizeof r->failure, "%s", result->failure ? result->failure : "");
}

static void expect_right(void *ctx, const vmt_gpu_check_result *result) {
    struct report *r = ctx;
    if (result->is_right) return;
    vmt_test_fail(r->t, __FILE__, __LINE__, "%s: off by %g, %g is allowed; %s", result->name, result->worst,
                  result->tolerance, result->failure ? result->failure : "it ran");
}

static vmt_gpu_check_counts run(vmt_test *t, vmt_gpu *gpu, const vmt_gpu_check_selection *selection,
                                void (*fn)(void *ctx, const vmt_gpu_check_result *result), struct report *report) {
    vmt_gpu_check_counts counts = {0};
    vmt_err err = {0};
    *report = (struct report){.t = t};
    if (vmt_gpu_checks_run(gpu, selection, fn, report, &counts, &err) != VMT_OK) {
        vmt_test_fail(t, __FILE__, __LINE__, "%s", err.msg);
    }
    return counts;
}

/* And every kernel is looked at, whether there is a library that may do its work or not. */
static void all_checks_pass(vmt_test *t) {
    if (!vmt_test_gpu_takes()) return;
    uint32_t num_checks = 0;
    for (uint32_t i = 0; i < 2; i++) {
        vmt_gpu *gpu = vmt_test_gpu_open(t);
        struct report report;
        vmt_gpu_check_selection all = {.type = VMT_NUM_DTYPES};
        gpu->caps.has_gemm = i == 1;
        gpu->caps.has_async_copy = true; /* or some kernels are for other devices */
        vmt_gpu_check_counts counts = run(t, gpu, &all, expect_right, &report);
        vmt_expect_eq(t, counts.num_wrong, 0);
        vmt_expect_eq(t, counts.num_kernels_run, vmt_kernel_count());
        if (i == 1) vmt_expect_eq(t, counts.num_checks, num_checks + 2); /* the library's own */
        num_checks = counts.num_checks;
        vmt_gpu_close(gpu);
    }
}

/* A driver between the checks and the device, that leaves one kernel out or refuses to compile it. */
static struct {
    const vmt_gpu_vtable *real;
    vmt_gpu_vtable vt;
    const char *skipped, *refused;
} fault;

static void faulty_dispatch(vmt_gpu *gpu, const vmt_gpu_dispatch *dispatch) {
    const char *name = dispatch->pipeline->kernel->name;
    if (fault.skipped == NULL || strcmp(name, fault.skipped) != 0) fault.real->dispatch(gpu, dispatch);
}

static vmt_status faulty_pipeline(vmt_gpu *gpu, const vmt_kernel *kernel, vmt_gpu_pipeline **out, vmt_err *err) {
    if (fault.refused != NULL && strcmp(kernel->name, fault.refused) == 0) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "kernel %s does not compile: error: refused", kernel->name);
    }
    return fault.real->pipeline(gpu, kernel, out, err);
}

static vmt_gpu *open_faulty(vmt_test *t, const char *skipped, const char *refused) {
    vmt_log_set_level(VMT_LOG_ERROR); /* each distrusted kernel is a warning */
    vmt_gpu *gpu = vmt_test_gpu_open(t);
    gpu->caps.has_async_copy = true;
    fault.real = gpu->vt;
    fault.vt = *gpu->vt;
    fault.vt.dispatch = faulty_dispatch;
    fault.vt.pipeline = faulty_pipeline;
    fault.skipped = skipped;
    fault.refused = refused;
    gpu->vt = &fault.vt;
    return gpu;
}

static const vmt_gpu_check_selection *half_of(vmt_test *t, vmt_dtype dtype) {
    vmt_gpu_check_selection *s = VMT_ARENA_NEW(t->arena, vmt_gpu_check_selection, 1);
    vmt_matrix *weight = VMT_ARENA_NEW(t->arena, vmt_matrix, 1);
    weight->data.dtype = dtype;
    *s = (vmt_gpu_check_selection){.type = VMT_F16, .weights = weight, .num_weights = 1, .head_dim = 64};
    return s;
}

static void wrong_kernels_are_distrusted(vmt_test *t) {
    static const struct {
        const char *kernel, *check, *fallback;
        uint32_t num_stuck;
        vmt_dtype weights;
    } faults[] = {
        {"matvec_q8_0_f16", "matvec q8_0 f16", "matmul_few_", 0, VMT_Q8_0},
        {"matvec_narrow_q8_0_f16", "matvec_narrow q8_0 f16", "matmul_few_", 0, VMT_Q8_0},
        {"matvec_staged_q4_0_f16", "matvec_staged q4_0 f16", "matvec_", 0, VMT_Q4_0},
        {"matmul_few_q8_0_f16", "matmul_few q8_0 f16", "matvec_", 0, VMT_Q8_0},
        {"matmul_tiled_q8_0_f16", "matmul_tiled q8_0 f16", "matmul_few_", 0, VMT_Q8_0},
        {"attention_prefill_d64_f16", "attention prefill d64 x2 f16", "attention_decode_", 0, VMT_Q8_0},
        {"attention_prefill_d64_i8_f16", "attention prefill d64 x2 i8 f16", "attention_decode_", 0, VMT_Q8_0},
        {"attention_decode_d64_h1_f16", "attention decode d64 x1 f16", "", 1, VMT_Q8_0},
        {"rms_norm_f16", "rms_norm 260 f16", "", 1, VMT_Q8_0},
        {"probe_frag_f16", "probe_frag f16", "kernels that need no fragments", 0, VMT_Q8_0},
    };
    for (size_t i = 0; i < VMT_COUNT(faults) * 2; i++) {
        if (!vmt_test_gpu_takes()) continue;
        bool is_refused = i % 2;
        const char *kernel = faults[i / 2].kernel;
        vmt_gpu *gpu = open_faulty(t, is_refused ? NULL : kernel, is_refused ? kernel : NULL);
        struct report report;
        vmt_gpu_check_counts counts = run(t, gpu, half_of(t, faults[i / 2].weights), note, &report);
        vmt_expect_eq(t, counts.num_wrong, 1);
        vmt_expect_eq(t, counts.num_stuck, faults[i / 2].num_stuck);
        vmt_expect_str(t, report.name, faults[i / 2].check);
        vmt_expect_str(t, report.kernel, kernel);
        vmt_expect_str(t, report.fallback, faults[i / 2].fallback);
        vmt_expect(t, (report.failure[0] != 0) == is_refused);
        vmt_expect(t, !vmt_gpu_trusts(gpu, kernel));
        vmt_expect(t, vmt_gpu_trusts(gpu, "matmul_few_q8_0_bf16"));
        gpu->vt = fault.real;
        vmt_gpu_close(gpu);
    }
}

/* With every kernel refused but one regime: that one does the work of all; without any, the first says why. */
static void a_matmul_takes_the_regime_that_works(vmt_test *t) {
    static const char *const regimes[] = {"matvec", "matmul_few", "matmul_tiled"};
    static const uint32_t rows_max[] = {1, 16, 40};
    vmt_buffer memory = {.bytes = 1 << 20};
    vmt_tensor data = {&memory, 0, VMT_Q8_0, 2, {64, 1280}};
    for (uint32_t i = 0; i < 9; i++) {
        if (!vmt_test_gpu_takes()) continue;
        vmt_gpu *gpu = vmt_test_gpu_open(t);
        char name[64];
        for (uint32_t k = 0; k < 3; k++) {
            snprintf(name, sizeof name, "%s_q8_0_f16", regimes[k]);
            if (k != i / 3) vmt_gpu_distrust(gpu, vmt_kernel_find(name), "the test says so");
        }
        snprintf(name, sizeof name, "%s_q8_0_f16", regimes[i / 3]);
        vmt_gpu_matmul_args args = {
            .weights = {vmt_matrix_of(&data)},
            .num_weights = 1,
            .type = VMT_F16,
            .x = {&memory, 0, VMT_F16, 2, {40, 1280}},
            .scale = 1,
            .out = {&memory, 0, VMT_F16, 2, {40, 64}},
            .rows_max = rows_max[i % 3],
        };
        vmt_gpu_program *program;
        vmt_err err = {0};
        const vmt_kernel *kernel = NULL;
        uint32_t counts[VMT_NUM_STEP_COUNTS] = {0};
        vmt_expect_eq(t, vmt_gpu_program_create(&program, gpu, &err), VMT_OK);
        vmt_expect_eq(t, vmt_gpu_matmul(program, &args, &err), VMT_OK);
        vmt_expect_eq(t, vmt_gpu_program_kernels(program, counts, &kernel, 1), 1);
        vmt_expect_str(t, kernel->name, name);
        vmt_gpu_distrust(gpu, kernel, "the test says so");
        vmt_expect_eq(t, vmt_gpu_matmul(program, &args, &err), VMT_E_UNSUPPORTED);
        vmt_expect(t, strstr(err.msg, "does not work on") != NULL);
        vmt_gpu_program_destroy(program);
        vmt_gpu_close(gpu);
    }
}

static void note_kernel(void *ctx, const char *kernel, const char *reason) {
    struct report *r = ctx;
    snprintf(r->kernel, sizeof r->kernel, "%s", kernel);
    snprintf(r->failure, sizeof r->failure, "%s", reason);
}

static void every_kernel_compiles(vmt_test *t) {
    if (!vmt_test_gpu_takes()) return;
    vmt_gpu *gpu = open_faulty(t, NULL, "gather_rows");
    struct report report = {0};
    uint32_t num_failed;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_gpu_checks_compile(gpu, note_kernel, &report, &num_failed, &err), VMT_OK);
    vmt_expect_eq(t, num_failed, 1);
    vmt_expect_str(t, report.kernel, "gather_rows");
    vmt_expect_str(t, report.failure, "kernel gather_rows does not compile: error: refused");
    gpu->vt = fault.real;
    vmt_gpu_close(gpu);
}

static const vmt_test_case cases[] = {
    {"all_checks_pass", all_checks_pass},
    {"wrong_kernels_are_distrusted", wrong_kernels_are_distrusted},
    {"a_matmul_takes_the_regime_that_works", a_matmul_takes_the_regime_that_works},
    {"every_kernel_compiles", every_kernel_compiles},
    {NULL, NULL},
};
VMT_GPU_TEST_MAIN(cases)
