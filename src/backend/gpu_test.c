/* backend/gpu_test.c: a driver end to end: memory, dispatches, order, results; fragments and simd functions. */
#include "backend/test_gpu.h"
#include "backend/test_kargs.h"
#include "kernels/norm_kargs.h"
#include "tensor/dtype.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ROWS   3u
#define HIDDEN 1004u
#define SIDE   16u /* of a fragment */
#define LANES  64u

static float *floats(const vmt_buffer *buffer) {
    return (float *)(void *)buffer->host;
}

static void bind(vmt_gpu_dispatch *d, const vmt_buffer *buffers, uint32_t num_buffers) {
    for (uint32_t i = 0; i < num_buffers; i++) d->buffers[i].buffer = &buffers[i];
}

/* The kernel's row ids and bias are not read: anything stands in for them. */
static void bind_norm(vmt_gpu_dispatch *d, const vmt_buffer *x, const vmt_buffer *weight, const vmt_buffer *out) {
    const vmt_buffer *buffers[] = {x, x, weight, weight, out};
    for (uint32_t i = 0; i < VMT_COUNT(buffers); i++) d->buffers[i].buffer = buffers[i];
}

static void release(vmt_gpu *gpu, vmt_buffer *buffers, uint32_t num_buffers) {
    for (uint32_t i = 0; i < num_buffers; i++) vmt_gpu_release(gpu, &buffers[i]);
}

static void runs_a_kernel(vmt_test *t) {
    vmt_gpu *gpu = vmt_test_gpu_open(t);
    vmt_buffer buffers[3];
    buffers[0] = vmt_test_gpu_buffer(t, gpu, ROWS * HIDDEN * sizeof(float), NULL);
    buffers[1] = vmt_test_gpu_buffer(t, gpu, HIDDEN * sizeof(float), NULL);
    buffers[2] = vmt_test_gpu_buffer(t, gpu, ROWS * HIDDEN * sizeof(float), NULL);
    float *in = floats(&buffers[0]), *w = floats(&buffers[1]), *got = floats(&buffers[2]);
    for (uint32_t i = 0; i < ROWS * HIDDEN; i++) in[i] = (float)(i * 37 % 101) / 101.0f - 0.5f;
    for (uint32_t i = 0; i < HIDDEN; i++) w[i] = 1.0f + (float)(i % 7);

    vmt_norm_kargs args = {.num_rows = ROWS, .cols = HIDDEN, .eps = 1e-5f};
    vmt_gpu_dispatch dispatch = {
        .pipeline = vmt_test_gpu_pipeline(t, gpu, "rms_norm_f32"), .args = &args, .grid = {ROWS, 1, 1}};
    bind_norm(&dispatch, &buffers[0], &buffers[1], &buffers[2]);
    vmt_expect_eq(t, vmt_gpu_begin(gpu, NULL), VMT_OK);
    vmt_gpu_dispatch_add(gpu, &dispatch);
    vmt_test_gpu_finish(t, gpu);

    for (uint32_t row = 0; row < ROWS; row++) {
        double sum = 0;
        for (uint32_t i = 0; i < HIDDEN; i++) sum += (double)in[row * HIDDEN + i] * in[row * HIDDEN + i];
        double scale = 1.0 / sqrt(sum / HIDDEN + 1e-5);
        for (uint32_t i = 0; i < HIDDEN; i++) {
            vmt_expect_near(t, got[row * HIDDEN + i], in[row * HIDDEN + i] * scale * w[i], 1e-4);
        }
    }
    release(gpu, buffers, 3);
    vmt_gpu_close(gpu);
}

/* ---- fragments */

struct element {
    const char *name;
    vmt_dtype dtype;
    float tolerance; /* of the second product, whose left side was rounded */
};
static const struct element elements[] = {
    {"f32", VMT_F32, 1e-4f}, {"f16", VMT_F16, 0.05f}, {"bf16", VMT_BF16, 0.4f}};

/* Small whole numbers and halves: exact in every type. */
static float exact(uint32_t i) {
    return (float)(i * 7 % 11) * 0.5f - 2.0f;
}

static void put(uint8_t *out, vmt_dtype dtype, uint32_t i, float value) {
    uint16_t narrow = dtype == VMT_F16 ? vmt_f32_to_f16(value) : vmt_f32_to_bf16(value);
    if (dtype == VMT_F32)
        memcpy(out + i * sizeof value, &value, sizeof value);
    else
        memcpy(out + i * sizeof narrow, &narrow, sizeof narrow);
}

static void check_frag(vmt_test *t, const vmt_buffer *buffers, const struct element *e, bool is_transposed) {
    const float *got = floats(&buffers[2]), *next = floats(&buffers[3]), *rows = floats(&buffers[4]);
    for (uint32_t row = 0; row < SIDE; row++) {
        float want[SIDE], most = -1e30f, sum = 0;
        for (uint32_t col = 0; col < SIDE; col++) {
            want[col] = 0;
            for (uint32_t k = 0; k < SIDE; k++) {
                want[col] += exact(row * SIDE + k) * exact(3 + (is_transposed ? col * SIDE + k : k * SIDE + col));
            }
            vmt_expect_near(t, got[row * SIDE + col], want[col], 1e-5);
            most = fmaxf(most, want[col]);
            sum += want[col];
        }
        vmt_expect_near(t, rows[row], most, 1e-5);
        vmt_expect_near(t, rows[SIDE + row], sum, 1e-3);
        for (uint32_t col = 0; col < SIDE; col++) {
            float product = 0;
            for (uint32_t k = 0; k < SIDE; k++) {
                product += want[k] * exact(3 + (is_transposed ? col * SIDE + k : k * SIDE + col));
            }
            vmt_expect_near(t, next[row * SIDE + col], 0.25f * product, e->tolerance);
        }
    }
}

static void multiplies_fragments(vmt_test *t) {
    vmt_gpu *gpu = vmt_test_gpu_open(t);
    for (uint32_t i = 0; i < 2 * VMT_COUNT(elements); i++) {
        const struct element *e = &elements[i / 2];
        char name[32];
        snprintf(name, sizeof name, "test_frag_%s%s", i % 2 ? "t_" : "", e->name);
        vmt_buffer buffers[5];
        for (uint32_t b = 0; b < 5; b++)
            buffers[b] = vmt_test_gpu_buffer(t, gpu, SIDE * SIDE * sizeof(float), NULL);
        for (uint32_t j = 0; j < SIDE * SIDE; j++) {
            put(buffers[0].host, e->dtype, j, exact(j));
            put(buffers[1].host, e->dtype, j, exact(3 + j));
        }
        vmt_test_kargs args = {.scale = 0.25f};
        vmt_gpu_dispatch dispatch = {
            .pipeline = vmt_test_gpu_pipeline(t, gpu, name), .args = &args, .grid = {1, 1, 1}};
        bind(&dispatch, buffers, 5);
        vmt_expect_eq(t, vmt_gpu_begin(gpu, NULL), VMT_OK);
        vmt_gpu_dispatch_add(gpu, &dispatch);
        vmt_test_gpu_finish(t, gpu);
        check_frag(t, buffers, e, i % 2);
        release(gpu, buffers, 5);
    }
    vmt_gpu_close(gpu);
}

/* ---- simd functions: x[i] = i */

enum { SIMD_ROWS = 17 };

static float sum_to(uint32_t begin, uint32_t end) {
    float sum = 0;
    for (uint32_t i = begin; i < end; i++) sum += (float)i;
    return sum;
}

static void expected_simd(uint32_t tid, float *want) {
    uint32_t first = tid & ~31u, lane = tid & 31u, quad = tid & ~3u;
    float v = (float)tid;
    float all[SIMD_ROWS] = {
        sum_to(first, first + 32),
        (float)(first + 31),
        (float)first,
        (float)(first + 31 - lane),
        (float)(first + (lane ^ 5)),
        (float)(lane + 3 < 32 ? tid + 3 : tid),
        (float)(lane >= 3 ? tid - 3 : tid),
        (float)(first + 7),
        sum_to(first, tid + 1),
        sum_to(first, tid),
        1.0f,
        first == 32 ? 1.0f : 0.0f,
        sum_to(quad, quad + 4),
        sum_to(first, first + 32),
        (float)first + 31 - 100,
        /* w = (v, 1, 2, 3) / 2 + 1 */
        (v * 0.5f + 1) + 1.5f + 2 + 2.5f + (float)(uint32_t)(v * 0.5f + 1) + 2 + 1.5f,
        -v + 2 + 0.5f + fminf(fmaxf(v, 1), 2) + 1 + 3 + 31 + (lane > 3 ? 1 : 0) + fminf(v, 3) + 10,
    };
    memcpy(want, all, sizeof all);
}

static void computes_simd_functions(vmt_test *t) {
    vmt_gpu *gpu = vmt_test_gpu_open(t);
    for (uint32_t e = 0; e < VMT_COUNT(elements); e++) {
        char name[32];
        snprintf(name, sizeof name, "test_simd_%s", elements[e].name);
        vmt_buffer buffers[3];
        buffers[0] = vmt_test_gpu_buffer(t, gpu, LANES * sizeof(float), NULL);
        buffers[1] = vmt_test_gpu_buffer(t, gpu, SIMD_ROWS * LANES * sizeof(float), NULL);
        buffers[2] = vmt_test_gpu_buffer(t, gpu, 2 * sizeof(uint32_t), NULL);
        for (uint32_t i = 0; i < LANES; i++) put(buffers[0].host, elements[e].dtype, i, (float)i);
        vmt_test_kargs args = {.scale = 0.5f};
        vmt_gpu_dispatch dispatch = {
            .pipeline = vmt_test_gpu_pipeline(t, gpu, name), .args = &args, .grid = {1, 1, 1}};
        bind(&dispatch, buffers, 3);
        vmt_expect_eq(t, vmt_gpu_begin(gpu, NULL), VMT_OK);
        vmt_gpu_dispatch_add(gpu, &dispatch);
        vmt_test_gpu_finish(t, gpu);
        for (uint32_t tid = 0; tid < LANES; tid++) {
            float want[SIMD_ROWS];
            expected_simd(tid, want);
            for (uint32_t row = 0; row < SIMD_ROWS; row++) {
                float got = floats(&buffers[1])[row * LANES + tid];
                if (fabsf(got - want[row]) > 1e-4f) {
                    vmt_test_fail(t, __FILE__, __LINE__, "%s: row %u, lane %u: %g, expected %g", name, row, tid,
                                  (double)got, (double)want[row]);
                }
            }
        }
        uint32_t counts[2];
        memcpy(counts, buffers[2].host, sizeof counts);
        vmt_expect_eq(t, counts[0], LANES * (LANES - 1) / 2);
        vmt_expect_eq(t, counts[1], LANES - 1);
        release(gpu, buffers, 3);
    }
    vmt_gpu_close(gpu);
}

/* ---- order and completion */

/* rms_norm of its own output again and again: each needs the one before it. */
static void keeps_order_across_barriers_and_command_buffers(vmt_test *t) {
    vmt_gpu *gpu = vmt_test_gpu_open(t);
    vmt_buffer buffers[3];
    for (uint32_t b = 0; b < 3; b++) buffers[b] = vmt_test_gpu_buffer(t, gpu, HIDDEN * sizeof(float), NULL);
    float *in = floats(&buffers[0]), *w = floats(&buffers[1]), *out = floats(&buffers[2]);
    for (uint32_t i = 0; i < HIDDEN; i++) {
        in[i] = 3.0f;
        w[i] = 2.0f;
    }
    vmt_norm_kargs args = {.num_rows = 1, .cols = HIDDEN};
    vmt_gpu_dispatch there = {
        .pipeline = vmt_test_gpu_pipeline(t, gpu, "rms_norm_f32"), .args = &args, .grid = {1, 1, 1}};
    bind_norm(&there, &buffers[0], &buffers[1], &buffers[2]);
    vmt_gpu_dispatch back = there;
    bind_norm(&back, &buffers[2], &buffers[1], &buffers[0]);
    uint64_t first = 0, ticket = 0;
    for (uint32_t i = 0; i < 2 * VMT_GPU_IN_FLIGHT_MAX; i++) {
        vmt_expect_eq(t, vmt_gpu_begin(gpu, NULL), VMT_OK);
        vmt_gpu_dispatch_add(gpu, &there);
        vmt_gpu_barrier(gpu);
        vmt_gpu_dispatch_add(gpu, &back);
        vmt_gpu_barrier(gpu);
        vmt_gpu_dispatch_add(gpu, &there);
        vmt_expect_eq(t, vmt_gpu_commit(gpu, &ticket, NULL), VMT_OK);
        if (i == 0) first = ticket;
        vmt_expect_eq(t, ticket, first + i);
    }
    vmt_expect_eq(t, vmt_gpu_wait(gpu, ticket, VMT_TEST_GPU_WAIT_NS, NULL), VMT_OK);
    vmt_expect_eq(t, vmt_gpu_wait(gpu, first, 0, NULL), VMT_OK);
    for (uint32_t i = 0; i < HIDDEN; i++) {
        vmt_expect_near(t, out[i], 2.0f, 1e-5);
        vmt_expect_near(t, in[i], 2.0f, 1e-5);
    }
    vmt_expect_eq(t, gpu->counts.num_dispatches, 6 * VMT_GPU_IN_FLIGHT_MAX);
    vmt_expect_eq(t, gpu->counts.num_barriers, 4 * VMT_GPU_IN_FLIGHT_MAX);
    vmt_expect(t, gpu->counts.gpu_ns > 0);
    release(gpu, buffers, 3);
    vmt_gpu_close(gpu);
}

static void names_what_it_does_not_have(vmt_test *t) {
    vmt_gpu *gpu = vmt_test_gpu_open(t);
    vmt_gpu_pipeline *pipeline;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_gpu_pipeline_get(gpu, "rms_norm_f99", &pipeline, &err), VMT_E_NOT_FOUND);
    vmt_expect_str(t, err.msg, "there is no kernel named rms_norm_f99");
    vmt_gpu *other;
    vmt_expect_eq(t, vmt_gpu_open(&other, "abacus", NULL), VMT_E_UNSUPPORTED);
    vmt_expect(t, other == NULL);
    vmt_gpu_close(gpu);
}

/* The table is sorted, or kernels could not be found. */
static void finds_every_kernel(vmt_test *t) {
    for (uint32_t i = 0; i < vmt_kernel_count(); i++) {
        const vmt_kernel *kernel = vmt_kernel_at(i);
        vmt_expect(t, vmt_kernel_find(kernel->name) == kernel);
        vmt_expect(t, kernel->threads % 32 == 0 && kernel->threads <= 1024);
        vmt_expect(t, kernel->threadgroup_bytes <= VMT_GPU_THREADGROUP_MAX && kernel->args_bytes > 0);
    }
    const vmt_kernel *norm = vmt_kernel_find("rms_norm_bf16");
    vmt_expect(t, norm != NULL);
    vmt_expect_eq(t, norm->threads, 256);
    vmt_expect_eq(t, norm->num_buffers, 5);
    vmt_expect_eq(t, norm->written, 1u << 4);
    vmt_expect_eq(t, norm->args_bytes, sizeof(vmt_norm_kargs));
    vmt_expect_eq(t, norm->threadgroup_bytes, 32);
    vmt_expect(t, strstr(norm->source, "#include <metal_stdlib>") != NULL);
    vmt_expect(t, strstr(norm->source, "host_name") == NULL);
    vmt_expect_str(t, norm->instantiation,
                   "template [[host_name(\"rms_norm_bf16\")]] [[kernel]] decltype(norm_rows<bfloat, false, 256>) "
                   "norm_rows<bfloat, false, 256>;");
}

static const vmt_test_case cases[] = {
    {"runs_a_kernel", runs_a_kernel},
    {"multiplies_fragments", multiplies_fragments},
    {"computes_simd_functions", computes_simd_functions},
    {"keeps_order_across_barriers_and_command_buffers", keeps_order_across_barriers_and_command_buffers},
    {"names_what_it_does_not_have", names_what_it_does_not_have},
    {"finds_every_kernel", finds_every_kernel},
    {0},
};
VMT_GPU_TEST_MAIN(cases)
