#include "ops/gpu_checks.h"

#include "ops/gpu_check_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_BYTES ((size_t)8 << 20)
#define ARENA_MAX    ((size_t)64 << 20)
#define SEED         UINT64_C(20240917)

static const vmt_gpu_check_kind *const kinds[] = {
    &vmt_gpu_check_frag,       &vmt_gpu_check_matmul,  &vmt_gpu_check_fused,  &vmt_gpu_check_embed,
    &vmt_gpu_check_dequantize, &vmt_gpu_check_library, &vmt_gpu_check_norm,   &vmt_gpu_check_act,
    &vmt_gpu_check_bias,       &vmt_gpu_check_gather,  &vmt_gpu_check_rope,   &vmt_gpu_check_angles,
    &vmt_gpu_check_attention,  &vmt_gpu_check_sample,  &vmt_gpu_check_tokens, &vmt_gpu_check_upload,
};

/* By the beginning of a kernel's name, what runs in its place: the other regimes of a matmul (ops/gpu_matmul.c), rows
 * one by one for tiles of attention.  Nothing depends on the probe itself. */
static const struct {
    const char *kernel, *fallback;
} fallbacks[] = {
    {"matmul_tiled_", "matmul_few_"},
    {"matmul_few_", "matvec_"},
    {"matvec_staged_", "matvec_"},
    {"matvec_", "matmul_few_"},
    {"dequantize_", "matmul_tiled_"},
    {"attention_prefill_", "attention_decode_"},
    {"probe_", "kernels that need no fragments"},
};

struct runner {
    vmt_gpu_check_rig rig;
    void (*report)(void *ctx, const vmt_gpu_check_result *result);
    void *ctx;
    vmt_gpu_check_counts counts;
};

static const char *fallback_of(const vmt_gpu *gpu, const char *kernel) {
    for (size_t i = 0; i < VMT_COUNT(fallbacks); i++) {
        size_t len = strlen(fallbacks[i].kernel);
        if (strncmp(kernel, fallbacks[i].kernel, len) != 0) continue;
        char other[96];
        snprintf(other, sizeof other, "%s%s", fallbacks[i].fallback, kernel + len);
        return vmt_gpu_trusts(gpu, other) ? fallbacks[i].fallback : NULL;
    }
    return NULL;
}

/* What to blame: the kernel that can't be had, or the first that ran, which did most of the work. */
static void blame(struct runner *r, vmt_gpu_check_result *result, const vmt_err *why) {
    vmt_gpu_check_rig *rig = &r->rig;
    if (result->failure == NULL && rig->num_kernels > 0) {
        const vmt_kernel *kernel = rig->kernels[0];
        char reason[160];
        snprintf(reason, sizeof reason, "%s: off by %.3g, %.3g is allowed", rig->name, rig->worst, rig->tolerance);
        vmt_gpu_distrust(rig->gpu, kernel, reason);
        result->kernel = kernel->name;
    } else {
        for (uint32_t i = 0; i < vmt_kernel_count(); i++) {
            const char *at = strstr(why->msg, vmt_kernel_at(i)->name);
            size_t len = strlen(vmt_kernel_at(i)->name);
            if (at != NULL && (at[len] == ' ' || at[len] == ':' || at[len] == 0))
                result->kernel = vmt_kernel_at(i)->name;
        }
    }
    if (result->kernel != NULL) result->fallback = fallback_of(rig->gpu, result->kernel);
    r->counts.num_wrong++;
    r->counts.num_stuck += result->fallback == NULL;
}

static vmt_status run_variant(struct runner *r, const vmt_gpu_check_kind *kind, uint32_t variant, vmt_err *err) {
    vmt_gpu_check_rig *rig = &r->rig;
    vmt_err why = {0};
    bool is_wanted = true;
    rig->used = 0;
    rig->worst = 0;
    rig->num_kernels = 0;
    rig->rng = SEED + variant;
    vmt_arena_reset(rig->arena);
    VMT_TRY(vmt_gpu_program_create(&rig->program, rig->gpu, err));
    vmt_status status = kind->run(rig, variant, &is_wanted, &why);
    vmt_gpu_program_destroy(rig->program);
    if (status != VMT_OK && status != VMT_E_UNSUPPORTED)
        return vmt_fail(err, status, "%s: %s", rig->name, why.msg);
    if (!is_wanted) return VMT_OK;
    vmt_gpu_check_result result = {
        .name = rig->name,
        .worst = rig->worst,
        .tolerance = rig->tolerance,
        .failure = status == VMT_OK ? NULL : why.msg,
        .is_right = status == VMT_OK && rig->worst <= rig->tolerance,
    };
    r->counts.num_checks++;
    if (!result.is_right) blame(r, &result, &why);
    if (r->report) r->report(r->ctx, &result);
    return VMT_OK;
}

static vmt_status run_all(struct runner *r, vmt_err *err) {
    for (size_t k = 0; k < VMT_COUNT(kinds); k++) {
        for (uint32_t v = 0; v < kinds[k]->num_variants; v++) VMT_TRY(run_variant(r, kinds[k], v, err));
    }
    for (uint32_t i = 0; i < vmt_kernel_count(); i++) r->counts.num_kernels_run += r->rig.has_run[i];
    return VMT_OK;
}

vmt_status vmt_gpu_checks_run(vmt_gpu *gpu, const vmt_gpu_check_selection *selection,
                              void (*report)(void *ctx, const vmt_gpu_check_result *result), void *ctx,
                              vmt_gpu_check_counts *out, vmt_err *err) {
    struct runner r = {.rig = {.gpu = gpu, .selection = selection}, .report = report, .ctx = ctx};
    vmt_gpu_check_rig *rig = &r.rig;
    rig->arena = vmt_arena_create(ARENA_MAX);
    rig->has_run = calloc(VMT_MAX(vmt_kernel_count(), 1u), 1);
    vmt_status status = VMT_OK;
    if (rig->arena == NULL || rig->has_run == NULL)
        status = vmt_fail(err, VMT_E_NO_MEMORY, "no memory for checks");
    if (status == VMT_OK) status = vmt_gpu_alloc(gpu, &rig->memory, MEMORY_BYTES, VMT_GPU_SHARED, err);
    if (status == VMT_OK) status = run_all(&r, err);
    vmt_gpu_release(gpu, &rig->memory);
    vmt_arena_destroy(rig->arena);
    free(rig->has_run);
    *out = r.counts;
    return status;
}

vmt_status vmt_gpu_checks_compile(vmt_gpu *gpu, void (*report)(void *ctx, const char *kernel, const char *reason),
                                  void *ctx, uint32_t *num_failed, vmt_err *err) {
    *num_failed = 0;
    for (uint32_t i = 0; i < vmt_kernel_count(); i++) {
        vmt_gpu_pipeline *pipeline;
        vmt_err why = {0};
        const char *name = vmt_kernel_at(i)->name;
        vmt_status status = vmt_gpu_pipeline_get(gpu, name, &pipeline, &why);
        if (status == VMT_OK) continue;
        if (status != VMT_E_UNSUPPORTED) return vmt_fail(err, status, "%s", why.msg);
        ++*num_failed;
        report(ctx, name, why.msg);
    }
    return VMT_OK;
}
