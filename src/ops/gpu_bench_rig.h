/* ops/gpu_bench_rig.h: what benchmarks of GPU ops share: a device, private memory, its clock, the rate of a copy.
 *
 * A benchmark takes the driver's name: `host` runs sizes that an emulation can and says nothing about speed. */
#ifndef VMT_OPS_GPU_BENCH_RIG_H
#define VMT_OPS_GPU_BENCH_RIG_H

#include <string.h>

#include "backend/gpu_program.h"
#include "ops/gpu_act.h"

#define VMT_BENCH_BUFFERS_MAX 48u
#define VMT_BENCH_WAIT_NS     UINT64_C(60000000000)

typedef struct vmt_bench {
    vmt_gpu *gpu;
    vmt_gpu_program *program;
    vmt_buffer buffers[VMT_BENCH_BUFFERS_MAX];
    uint32_t num_buffers;
    bool is_small; /* the host driver */
    vmt_err err;
} vmt_bench;

static inline vmt_tensor vmt_bench_tensor(vmt_bench *b, vmt_gpu_memory memory, vmt_dtype dtype, uint64_t rows,
                                          uint64_t cols) {
    VMT_ASSERT(b->num_buffers < VMT_BENCH_BUFFERS_MAX);
    vmt_buffer *buffer = &b->buffers[b->num_buffers++];
    vmt_tensor tensor = {buffer, 0, dtype, 2, {rows, cols}};
    VMT_ASSERT(vmt_gpu_alloc(b->gpu, buffer, vmt_tensor_bytes(&tensor), memory, &b->err) == VMT_OK);
    return tensor;
}
static inline vmt_tensor vmt_bench_private(vmt_bench *b, vmt_dtype dtype, uint64_t rows, uint64_t cols) {
    return vmt_bench_tensor(b, VMT_GPU_PRIVATE, dtype, rows, cols);
}
/* Filled by the caller, before it is run. */
static inline vmt_tensor vmt_bench_shared(vmt_bench *b, vmt_dtype dtype, uint64_t rows, uint64_t cols) {
    return vmt_bench_tensor(b, VMT_GPU_SHARED, dtype, rows, cols);
}

/* A fresh program for what is recorded next. */
static inline void vmt_bench_begin(vmt_bench *b) {
    vmt_gpu_program_destroy(b->program);
    VMT_ASSERT(vmt_gpu_program_create(&b->program, b->gpu, &b->err) == VMT_OK);
}
static inline void vmt_bench_end(vmt_bench *b) { /* gives the tensors back */
    for (uint32_t i = 0; i < b->num_buffers; i++) vmt_gpu_release(b->gpu, &b->buffers[i]);
    b->num_buffers = 0;
}

static inline bool vmt_bench_run(vmt_bench *b, const uint32_t *counts, uint32_t rounds) {
    uint64_t ticket;
    if (vmt_gpu_begin(b->gpu, &b->err) != VMT_OK) return false;
    for (uint32_t i = 0; i < rounds; i++) {
        if (i > 0) vmt_gpu_barrier(b->gpu);
        vmt_gpu_program_replay(b->program, counts);
    }
    return vmt_gpu_commit(b->gpu, &ticket, &b->err) == VMT_OK &&
           vmt_gpu_wait(b->gpu, ticket, VMT_BENCH_WAIT_NS, &b->err) == VMT_OK;
}

/* Seconds of the device for one run of the program, the best of a few; 0 when it fails, and err says why. */
static inline double vmt_bench_seconds(vmt_bench *b, const uint32_t *counts) {
    uint32_t rounds = b->is_small ? 1 : 20;
    double best = 0;
    if (!vmt_bench_run(b, counts, 1)) return 0; /* compiles, warms up */
    for (uint32_t i = 0; i < (b->is_small ? 1 : 5); i++) {
        uint64_t before = b->gpu->counts.gpu_ns;
        if (!vmt_bench_run(b, counts, rounds)) return 0;
        double seconds = (double)(b->gpu->counts.gpu_ns - before) * 1e-9 / rounds;
        if (i == 0 || seconds < best) best = seconds;
    }
    return best;
}

/* What the host has filled, where the device reads it fast: a copy in its own memory unless they share one.  Replaces
 * what was recorded. */
static inline vmt_tensor vmt_bench_upload(vmt_bench *b, vmt_tensor tensor) {
    if (b->gpu->caps.is_unified) return tensor;
    vmt_tensor copy = vmt_bench_private(b, tensor.dtype, tensor.shape[0], tensor.shape[1]);
    uint64_t bytes = vmt_tensor_bytes(&tensor) / 16 * 16; /* the caller's rows make whole vectors */
    vmt_gpu_gather_args args = {
        .x = {tensor.buffer, 0, VMT_F32, 2, {1, bytes / 4}},
        .out = {copy.buffer, 0, VMT_F32, 2, {1, bytes / 4}},
    };
    uint32_t counts[VMT_NUM_STEP_COUNTS] = {0};
    vmt_bench_begin(b);
    VMT_ASSERT(bytes == vmt_tensor_bytes(&tensor) && vmt_gpu_gather(b->program, &args, &b->err) == VMT_OK);
    VMT_ASSERT(vmt_bench_run(b, counts, 1));
    return copy;
}

/* GB/s of reading and writing that a copy reaches: what the others are measured against. */
static inline double vmt_bench_copy_rate(vmt_bench *b) {
    uint64_t rows = b->is_small ? 16 : 32768; /* CUDA has no more than 65535 groups along y */
    vmt_bench_begin(b);
    vmt_gpu_gather_args args = {
        .x = vmt_bench_private(b, VMT_F32, rows, 4096),
        .out = vmt_bench_private(b, VMT_F32, rows, 4096),
    };
    VMT_ASSERT(vmt_gpu_gather(b->program, &args, &b->err) == VMT_OK);
    uint32_t counts[VMT_NUM_STEP_COUNTS] = {0};
    double rate = 2.0 * (double)vmt_tensor_bytes(&args.x) / vmt_bench_seconds(b, counts) * 1e-9;
    vmt_bench_end(b);
    return rate;
}

/* False: err says why. */
static inline bool vmt_bench_open(vmt_bench *b, const char *driver) {
    *b = (vmt_bench){.is_small = strcmp(driver, "host") == 0};
    return vmt_gpu_open(&b->gpu, driver, &b->err) == VMT_OK;
}
static inline void vmt_bench_close(vmt_bench *b) {
    vmt_gpu_program_destroy(b->program);
    vmt_bench_end(b);
    vmt_gpu_close(b->gpu);
}

#endif
