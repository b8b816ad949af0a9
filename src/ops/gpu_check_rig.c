#include "ops/gpu_check_rig.h"

#include "base/rng.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ALIGN        256u
#define STEP_WAIT_NS UINT64_C(60000000000)

void vmt_gpu_check_name(vmt_gpu_check_rig *rig, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(rig->name, sizeof rig->name, fmt, args);
    va_end(args);
}

bool vmt_gpu_check_wants_type(const vmt_gpu_check_rig *rig, vmt_dtype type) {
    return rig->selection->type == VMT_NUM_DTYPES || rig->selection->type == type;
}

/* ---- tensors */

vmt_tensor vmt_gpu_check_zeros(vmt_gpu_check_rig *rig, vmt_dtype dtype, uint64_t rows, uint64_t cols) {
    vmt_tensor t = {&rig->memory, rig->used, dtype, 2, {rows, cols}};
    size_t bytes = vmt_tensor_bytes(&t);
    VMT_ASSERT(bytes <= rig->memory.bytes - rig->used);
    memset(vmt_tensor_data(&t), 0, bytes);
    rig->used = (rig->used + bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    return t;
}

vmt_tensor vmt_gpu_check_random(vmt_gpu_check_rig *rig, vmt_dtype dtype, uint64_t rows, uint64_t cols, double low,
                                double high) {
    vmt_tensor t = vmt_gpu_check_zeros(rig, dtype, rows, cols);
    for (uint64_t i = 0; i < rows * cols; i++) {
        double unit = (double)(vmt_splitmix64(&rig->rng) >> 11) * 0x1p-53;
        vmt_tensor_put(&t, i, low + (high - low) * unit);
    }
    return t;
}

/* ---- running */

static void note_kernels(vmt_gpu_check_rig *rig, const uint32_t *counts) {
    rig->num_kernels = vmt_gpu_program_kernels(rig->program, counts, rig->kernels, VMT_COUNT(rig->kernels));
    VMT_ASSERT(rig->num_kernels <= VMT_COUNT(rig->kernels));
    for (uint32_t i = 0; i < rig->num_kernels; i++) {
        for (uint32_t k = 0; k < vmt_kernel_count(); k++) {
            if (vmt_kernel_at(k) == rig->kernels[i]) rig->has_run[k] = 1;
        }
    }
}

vmt_status vmt_gpu_check_replay(vmt_gpu_check_rig *rig, const uint32_t *counts, vmt_err *err) {
    uint64_t ticket;
    VMT_TRY(vmt_gpu_begin(rig->gpu, err));
    vmt_gpu_program_replay(rig->program, counts);
    note_kernels(rig, counts);
    VMT_TRY(vmt_gpu_commit(rig->gpu, &ticket, err));
    return vmt_gpu_wait(rig->gpu, ticket, STEP_WAIT_NS, err);
}

void vmt_gpu_check_tolerate(vmt_gpu_check_rig *rig, vmt_dtype type) {
    rig->tolerance = type == VMT_F32 ? 1e-3 : type == VMT_F16 ? 1.5e-2 : 3e-2;
}

void vmt_gpu_check_compare(vmt_gpu_check_rig *rig, double got, double want) {
    double off = fabs(got - want) / (1 + fabs(want));
    if (isnan(off)) off = INFINITY;
    rig->worst = fmax(rig->worst, off);
}
