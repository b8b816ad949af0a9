/* ops/gpu_matmul_test.c: every format, type and regime against sums in double over dequantized weights and against MLX;
 * fused norms, row gathers, biases, residuals, gates, logits; the embedding gather.  argv[1]: driver, default host. */
#include "ops/gpu_embed.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/test_gpu.h"
#include "base/rng.h"
#include "kernels/matmul_kargs.h"
#include "tensor/test_mlx.h"

static const struct {
    vmt_dtype dtype;
    uint32_t bits; /* MLX */
    bool is_fp4;
    uint32_t multiple; /* of columns */
} formats[] = {
    {VMT_F32, 0, false, 8},    {VMT_F16, 0, false, 8},    {VMT_BF16, 0, false, 8},   {VMT_U32, 2, false, 32},
    {VMT_U32, 3, false, 32},   {VMT_U32, 4, false, 32},   {VMT_U32, 5, false, 32},   {VMT_U32, 6, false, 32},
    {VMT_U32, 8, false, 32},   {VMT_U32, 4, true, 32},    {VMT_MXFP4, 0, false, 32}, {VMT_Q8_0, 0, false, 32},
    {VMT_Q4_0, 0, false, 32},  {VMT_Q4_1, 0, false, 32},  {VMT_Q5_0, 0, false, 32},  {VMT_Q5_1, 0, false, 32},
    {VMT_Q4_K, 0, false, 256}, {VMT_Q5_K, 0, false, 256}, {VMT_Q6_K, 0, false, 256},
};
#define MLX4        5u
#define NUM_FORMATS VMT_COUNT(formats)

static const vmt_dtype types[] = {VMT_F32, VMT_F16, VMT_BF16};

/* ---- data */

static float uniform(uint64_t *state) {
    return (float)(vmt_splitmix64(state) >> 40) * 0x1p-23f - 1.0f;
}

static void put(void *at, vmt_dtype type, size_t i, float v) {
    if (type == VMT_F32) ((float *)at)[i] = v;
    if (type == VMT_F16) ((uint16_t *)at)[i] = vmt_f32_to_f16(v);
    if (type == VMT_BF16) ((uint16_t *)at)[i] = vmt_f32_to_bf16(v);
}

static float get(const void *at, vmt_dtype type, size_t i) {
    return type == VMT_F32   ? ((const float *)at)[i]
           : type == VMT_F16 ? vmt_f16_to_f32(((const uint16_t *)at)[i])
                             : vmt_bf16_to_f32(((const uint16_t *)at)[i]);
}

typedef struct fixture {
    vmt_test *t;
    vmt_gpu *gpu;
    uint64_t state;
    vmt_buffer buffers[32];
    uint32_t num_buffers;
} fixture;

static vmt_tensor new_tensor(fixture *f, vmt_dtype dtype, uint64_t rows, uint64_t cols) {
    vmt_tensor shape = {.dtype = dtype, .ndim = 2, .shape = {rows, cols}};
    vmt_expect(f->t, f->num_buffers < VMT_COUNT(f->buffers));
    vmt_buffer *b = &f->buffers[f->num_buffers++];
    *b = vmt_test_gpu_buffer(f->t, f->gpu, vmt_tensor_bytes(&shape), NULL);
    shape.buffer = b;
    return shape;
}

static vmt_tensor new_random(fixture *f, vmt_dtype dtype, uint64_t rows, uint64_t cols, float low, float high) {
    vmt_tensor tensor = new_tensor(f, dtype, rows, cols);
    for (uint64_t i = 0; i < rows * cols; i++) {
        put(tensor.buffer->host, dtype, i, low + (high - low) * (uniform(&f->state) * 0.5f + 0.5f));
    }
    return tensor;
}

static void drop_buffers(fixture *f) {
    for (uint32_t i = 0; i < f->num_buffers; i++) vmt_gpu_release(f->gpu, &f->buffers[i]);
    f->num_buffers = 0;
}

/* Random quants under scales near 0.02, at the places where a block has its f16 fields. */
static void fill_blocks(fixture *f, const vmt_tensor *data) {
    const vmt_dtype_info *info = vmt_dtype_get(data->dtype);
    uint8_t *at = vmt_tensor_data(data), *end = at + vmt_tensor_bytes(data);
    for (uint8_t *p = at; p < end; p++) *p = (uint8_t)vmt_splitmix64(&f->state);
    uint32_t max = data->dtype == VMT_Q8_0 ? 127 : data->dtype == VMT_Q6_K ? 32 * 127 : 15;
    if (data->dtype == VMT_Q4_K || data->dtype == VMT_Q5_K) max = 15 * 63;
    for (; at < end; at += info->block_bytes) {
        if (data->dtype == VMT_MXFP4) {
            *at = (uint8_t)(122 + *at % 4);
            continue;
        }
        uint16_t d = vmt_f32_to_f16((1.0f + 0.5f * uniform(&f->state)) / (float)max);
        uint16_t low = vmt_f32_to_f16((-1.0f + 0.5f * uniform(&f->state)) *
                                      (data->dtype == VMT_Q4_K || data->dtype == VMT_Q5_K ? -1.0f / 63 : 1));
        memcpy(at + (data->dtype == VMT_Q6_K ? 208 : 0), &d, 2);
        bool has_min = data->dtype == VMT_Q4_1 || data->dtype == VMT_Q5_1 || data->dtype == VMT_Q4_K ||
                       data->dtype == VMT_Q5_K;
        if (has_min) memcpy(at + 2, &low, 2);
    }
}

static vmt_gpu_weight new_weight(fixture *f, size_t format, vmt_dtype type, uint32_t rows, uint32_t cols,
                                 uint32_t group) {
    vmt_dtype dtype = formats[format].dtype;
    uint32_t bits = formats[format].bits;
    if (dtype == VMT_F32 || dtype == VMT_F16 || dtype == VMT_BF16) {
        vmt_tensor data = new_random(f, dtype, rows, cols, -1, 1);
        return vmt_matrix_of(&data);
    }
    vmt_tensor data = new_tensor(f, dtype, rows, bits ? (uint64_t)cols * bits / 32 : cols);
    if (bits == 0) {
        fill_blocks(f, &data);
        return vmt_matrix_of(&data);
    }
    for (size_t i = 0; i < data.buffer->bytes; i++) data.buffer->host[i] = (uint8_t)vmt_splitmix64(&f->state);
    vmt_gpu_weight w;
    vmt_err err = {0};
    if (formats[format].is_fp4) {
        vmt_tensor scales = new_tensor(f, VMT_U8, rows, cols / 32);
        for (size_t i = 0; i < scales.buffer->bytes; i++)
            scales.buffer->host[i] = (uint8_t)(122 + vmt_splitmix64(&f->state) % 4);
        vmt_expect_eq(f->t, vmt_matrix_of_mlx(&w, &data, &scales, NULL, 4, 32, &err), VMT_OK);
    } else {
        float max = (float)((1u << bits) - 1);
        vmt_tensor scales = new_random(f, type, rows, cols / group, 1.0f / max, 3.0f / max);
        vmt_tensor biases = new_random(f, type, rows, cols / group, -1.5f, -0.5f);
        vmt_expect_eq(f->t, vmt_matrix_of_mlx(&w, &data, &scales, &biases, bits, group, &err), VMT_OK);
    }
    return w;
}

/* ---- reference */

static double activate(vmt_activation act, double v) {
    if (act == VMT_ACT_SILU) return v / (1 + exp(-v));
    if (act == VMT_ACT_GELU) return 0.5 * v * (1 + erf(v * M_SQRT1_2));
    return 0.5 * v * (1 + tanh(0.7978845608028654 * (v + 0.044715 * v * v * v)));
}

static double norm_scale(const vmt_gpu_matmul_args *args, const float *row) {
    double sum = 0;
    uint32_t cols = args->weights[0].cols;
    for (uint32_t i = 0; i < cols; i++) sum += (double)row[i] * row[i];
    return 1 / sqrt(sum / cols + args->norm_eps);
}

/* sums [rows of x, rows of all weights], with bias. */
static double *reference(fixture *f, const vmt_gpu_matmul_args *args, uint32_t num_rows) {
    uint32_t total = 0, cols = args->weights[0].cols, at = 0;
    for (uint32_t i = 0; i < args->num_weights; i++) total += args->weights[i].rows;
    double *sums = VMT_ARENA_NEW(f->t->arena, double, (size_t)num_rows *total);
    double *x = VMT_ARENA_NEW(f->t->arena, double, (size_t)num_rows *cols);
    float *w = VMT_ARENA_NEW(f->t->arena, float, cols);
    for (uint32_t m = 0; m < num_rows; m++) {
        uint32_t row = args->row_ids.buffer ? ((const uint32_t *)vmt_tensor_data(&args->row_ids))[m] : m;
        size_t base = row * args->x.shape[1];
        for (uint32_t k = 0; k < cols; k++)
            x[m * cols + k] = get(vmt_tensor_data(&args->x), args->x.dtype, base + k);
        if (args->norm_weight.buffer == NULL) continue;
        double scale = norm_scale(args, (const float *)vmt_tensor_data(&args->x) + base);
        for (uint32_t k = 0; k < cols; k++)
            x[m * cols + k] *= scale * ((const float *)vmt_tensor_data(&args->norm_weight))[k];
    }
    for (uint32_t i = 0; i < args->num_weights; i++) {
        for (uint32_t n = 0; n < args->weights[i].rows; n++, at++) {
            vmt_matrix_row(&args->weights[i], n, w);
            for (uint32_t m = 0; m < num_rows; m++) {
                double sum = args->bias.buffer ? ((const float *)vmt_tensor_data(&args->bias))[at] : 0;
                for (uint32_t k = 0; k < cols; k++) sum += x[m * cols + k] * (double)w[k];
                sums[m * total + at] = sum;
            }
        }
    }
    return sums;
}

/* ---- one problem */

static void run(fixture *f, const vmt_gpu_matmul_args *args, uint32_t num_rows) {
    vmt_gpu_program *program;
    vmt_err err = {0};
    uint32_t counts[VMT_NUM_STEP_COUNTS] = {[VMT_COUNT_TOKENS] = num_rows, [VMT_COUNT_LOGITS] = num_rows};
    vmt_expect_eq(f->t, vmt_gpu_program_create(&program, f->gpu, &err), VMT_OK);
    if (vmt_gpu_matmul(program, args, &err) != VMT_OK) vmt_test_fail(f->t, __FILE__, __LINE__, "%s", err.msg);
    vmt_expect_eq(f->t, vmt_gpu_begin(f->gpu, &err), VMT_OK);
    vmt_gpu_program_replay(program, counts);
    vmt_test_gpu_finish(f->t, f->gpu);
    vmt_gpu_program_destroy(program);
}

typedef struct tolerance {
    double absolute, relative;
} tolerance;

/* Of what is rounded to that type: the result; W in all regimes but matvec; there x with its norm. */
static tolerance tolerance_of(vmt_dtype out) {
    return out == VMT_F32   ? (tolerance){1e-3, 1e-3}
           : out == VMT_F16 ? (tolerance){1.5e-2, 2e-2}
                            : (tolerance){3e-2, 2e-2};
}

/* Runs args over num_rows rows and compares; also that nothing beside the output's columns was written. */
static void expect_right(fixture *f, const vmt_gpu_matmul_args *args, uint32_t num_rows, const char *what) {
    uint32_t total = 0, stride = (uint32_t)args->out.shape[1];
    for (uint32_t i = 0; i < args->num_weights; i++) total += args->weights[i].rows;
    bool is_gated = args->kind == VMT_GPU_MATMUL_GATED, is_residual = args->kind == VMT_GPU_MATMUL_RESIDUAL;
    uint32_t width = is_gated ? total / 2 : total;
    for (uint64_t i = 0; i < vmt_tensor_elems(&args->out); i++) {
        put(args->out.buffer->host, args->out.dtype, i, is_residual ? uniform(&f->state) : 77);
    }
    uint8_t *before = vmt_arena_alloc(f->t->arena, args->out.buffer->bytes);
    memcpy(before, args->out.buffer->host, args->out.buffer->bytes);
    double *sums = reference(f, args, num_rows);
    run(f, args, num_rows);
    bool is_rounded = args->rows_max > 1 || args->norm_weight.buffer != NULL;
    tolerance tol = tolerance_of(is_rounded ? args->type : args->out.dtype);
    for (uint64_t m = 0; m < args->out.shape[0]; m++) {
        for (uint32_t n = 0; n < stride; n++) {
            double had = get(before, args->out.dtype, m * stride + n), want = had;
            if (m < num_rows && n < width) {
                const double *row = sums + m * total;
                want = is_gated ? activate(args->act, row[n]) * row[n + width] : row[n];
                want = args->scale * want + (is_residual ? had : 0);
            }
            double got = get(args->out.buffer->host, args->out.dtype, m * stride + n);
            if (fabs(got - want) <= tol.absolute + tol.relative * fabs(want)) continue;
            vmt_test_fail(f->t, __FILE__, __LINE__, "%s: row %u column %u is %.6g, expected %.6g", what,
                          (uint32_t)m, n, got, want);
        }
    }
}

static fixture open_fixture(vmt_test *t) {
    return (fixture){.t = t, .gpu = vmt_test_gpu_open(t), .state = t->seed};
}

static void close_fixture(fixture *f) {
    drop_buffers(f);
    vmt_gpu_close(f->gpu);
}

typedef struct shape {
    uint32_t rows, cols, num_rows, rows_max, group;
} shape;

static const char *name_of(fixture *f, size_t format, vmt_dtype type, const shape *s) {
    return vmt_arena_printf(f->t->arena, "%s %u bits%s, %s, [%u, %u] x %u of %u, groups of %u",
                            vmt_dtype_get(formats[format].dtype)->name, formats[format].bits,
                            formats[format].is_fp4 ? " fp4" : "", vmt_dtype_get(type)->name, s->rows, s->cols,
                            s->num_rows, s->rows_max, s->group)
        .ptr;
}

/* Plain products. */
static void try_shape(fixture *f, size_t format, vmt_dtype type, const shape *shape) {
    if (!vmt_test_gpu_takes()) return;
    vmt_gpu_matmul_args args = {
        .weights = {new_weight(f, format, type, shape->rows, shape->cols, shape->group)},
        .num_weights = 1,
        .type = type,
        .x = new_random(f, type, shape->num_rows, shape->cols + 8, -0.5f, 0.5f),
        .kind = VMT_GPU_MATMUL_STORE,
        .scale = 1,
        .out = new_tensor(f, type, shape->num_rows + 1, shape->rows + 3),
        .count = VMT_COUNT_TOKENS,
        .rows_max = shape->rows_max,
    };
    expect_right(f, &args, shape->num_rows, name_of(f, format, type, shape));
    drop_buffers(f);
}

/* cols: in units of what the format wants a row to be a multiple of. */
static void try_shapes(vmt_test *t, const shape *shapes, size_t num_shapes) {
    fixture f = open_fixture(t);
    for (size_t format = 0; format < NUM_FORMATS; format++) {
        for (size_t i = 0; i < VMT_COUNT(types); i++) {
            for (size_t s = 0; s < num_shapes; s++) {
                shape shape = shapes[s];
                uint32_t multiple = VMT_MAX(formats[format].multiple, formats[format].bits ? shape.group : 0);
                shape.cols *= multiple;
                try_shape(&f, format, types[i], &shape);
            }
        }
    }
    close_fixture(&f);
}

static void one_row_in_every_format(vmt_test *t) {
    static const shape shapes[] = {{1, 1, 1, 1, 32}, {37, 3, 1, 1, 64}, {16, 5, 1, 1, 128}, {9, 9, 3, 1, 32}};
    try_shapes(t, shapes, VMT_COUNT(shapes));
}

/* Rows that a threadgroup of matvec spans as a whole, and ones that it takes in chunks. */
static void long_rows_in_every_format(vmt_test *t) {
    static const uint32_t cols_min[] = {VMT_MATVEC_NARROW_COLS + 1, 2050, 4097};
    fixture f = open_fixture(t);
    for (size_t format = 0; format < NUM_FORMATS; format++) {
        for (size_t i = 0; i < VMT_COUNT(cols_min); i++) {
            uint32_t multiple = formats[format].multiple,
                     cols = (cols_min[i] + multiple - 1) / multiple * multiple;
            shape shape = {11, cols, 1, 1, 32};
            try_shape(&f, format, types[(format + i) % VMT_COUNT(types)], &shape);
        }
    }
    close_fixture(&f);
}

/* What matvec_staged takes: whole parts; more and fewer of them than simdgroups, more blocks than threadgroups. */
static void staged_rows(vmt_test *t) {
    static const size_t mixes[][2] = {{12, 1}, {16, 1}, {11, 1}, {MLX4, 1}, {MLX4, 2}}; /* Q4_0, Q4_K, Q8_0: F16 */
    static const shape shapes[] = {{11, 2048, 2, 1, 64}, {37, 4096, 1, 1, 64},   {9, 5120, 1, 1, 64},
                                   {8, 10240, 1, 1, 64}, {4240, 1280, 1, 1, 64}, {4300, 2048, 1, 1, 64}};
    fixture f = open_fixture(t);
    for (size_t i = 0; i < VMT_COUNT(mixes); i++) {
        for (size_t s = 0; s < VMT_COUNT(shapes); s++) try_shape(&f, mixes[i][0], types[mixes[i][1]], &shapes[s]);
    }
    close_fixture(&f);
}

/* More blocks than matvec has threadgroups: each walks several. */
static void more_rows_than_threadgroups(vmt_test *t) {
    static const shape shapes[] = {{8500, 8, 2, 1, 0}, {4250, VMT_MATVEC_NARROW_COLS + 8, 1, 1, 0}};
    fixture f = open_fixture(t);
    for (size_t i = 0; i < VMT_COUNT(shapes); i++) try_shape(&f, 1, VMT_F16, &shapes[i]);
    close_fixture(&f);
}

static void few_rows_in_every_format(vmt_test *t) {
    static const shape shapes[] = {
        {1, 1, 2, 2, 32}, {37, 3, 5, 16, 64}, {16, 5, 8, 8, 128}, {41, 2, 16, 16, 32}, {8, 1, 1, 4, 32}};
    try_shapes(t, shapes, VMT_COUNT(shapes));
}

static void many_rows_in_every_format(vmt_test *t) {
    static const shape shapes[] = {
        {1, 1, 17, 17, 32}, {69, 3, 67, 100, 64}, {64, 2, 64, 64, 128}, {130, 1, 1, 99, 32}};
    try_shapes(t, shapes, VMT_COUNT(shapes));
}

/* ---- prologues and epilogues */

/* rows_max 1, 8 and 64 pick the three regimes; each gets one row more than fits its groups where it can. */
static const struct {
    uint32_t num_rows, rows_max;
} regimes[] = {{1, 1}, {3, 1}, {8, 8}, {13, 16}, {70, 128}};

static vmt_tensor new_ids(fixture *f, uint32_t count, uint32_t below) {
    vmt_tensor ids = new_tensor(f, VMT_I32, 1, count);
    for (uint32_t i = 0; i < count; i++)
        ((int32_t *)vmt_tensor_data(&ids))[i] = (int32_t)(vmt_splitmix64(&f->state) % below);
    return ids;
}

static void stacks_weights_with_bias(vmt_test *t) {
    static const size_t mixes[][3] = {{MLX4, MLX4, MLX4}, {16, 16, 18}, {0, 1, 2}}; /* 16, 18: Q4_K, Q6_K */
    fixture f = open_fixture(t);
    for (size_t r = 0; r < VMT_COUNT(regimes); r++) {
        for (size_t i = 0; i < VMT_COUNT(mixes); i++) {
            if (!vmt_test_gpu_takes()) continue;
            uint32_t num_rows = regimes[r].num_rows;
            vmt_gpu_matmul_args args = {
                .weights = {new_weight(&f, mixes[i][0], VMT_F16, 70, 256, 64),
                            new_weight(&f, mixes[i][1], VMT_F16, 5, 256, 64),
                            new_weight(&f, mixes[i][2], VMT_F16, 33, 256, 64)},
                .num_weights = 3,
                .type = VMT_F16,
                .x = new_random(&f, VMT_F16, num_rows, 256, -0.5f, 0.5f),
                .bias = new_random(&f, VMT_F32, 1, 108, -3, 3),
                .kind = VMT_GPU_MATMUL_STORE,
                .scale = 0.5f,
                .out = new_tensor(&f, VMT_F16, num_rows, 110),
                .count = VMT_COUNT_TOKENS,
                .rows_max = regimes[r].rows_max,
            };
            expect_right(&f, &args, num_rows, vmt_arena_printf(t->arena, "mix %zu, %u rows", i, num_rows).ptr);
            drop_buffers(&f);
        }
    }
    close_fixture(&f);
}

static void gates_with_every_activation(vmt_test *t) {
    static const vmt_activation acts[] = {VMT_ACT_SILU, VMT_ACT_GELU_TANH, VMT_ACT_GELU};
    fixture f = open_fixture(t);
    for (size_t r = 0; r < VMT_COUNT(regimes); r++) {
        for (size_t i = 0; i < VMT_COUNT(acts) + 1; i++) {
            if (!vmt_test_gpu_takes()) continue;
            uint32_t num_rows = regimes[r].num_rows, cols = i < VMT_COUNT(acts) ? 192 : 1152;
            vmt_gpu_matmul_args args = {
                .weights = {new_weight(&f, MLX4, VMT_F32, 75, cols, 64),
                            new_weight(&f, MLX4, VMT_F32, 75, cols, 64)},
                .num_weights = 2,
                .type = VMT_F32,
                .x = new_random(&f, VMT_F32, num_rows, cols, -1, 1),
                .bias = new_random(&f, VMT_F32, 1, 150, -3, 3),
                .kind = VMT_GPU_MATMUL_GATED,
                .act = acts[i % VMT_COUNT(acts)],
                .scale = 1,
                .out = new_tensor(&f, VMT_F32, num_rows, 80),
                .count = VMT_COUNT_TOKENS,
                .rows_max = regimes[r].rows_max,
            };
            ((float *)vmt_tensor_data(&args.bias))[0] = -200; /* activations far out stay finite */
            ((float *)vmt_tensor_data(&args.bias))[1] = 200;
            expect_right(&f, &args, num_rows, vmt_arena_printf(t->arena, "act %zu, %u rows", i, num_rows).ptr);
            drop_buffers(&f);
        }
    }
    close_fixture(&f);
}

static void adds_to_the_residual(vmt_test *t) {
    fixture f = open_fixture(t);
    for (size_t r = 0; r < VMT_COUNT(regimes); r++) {
        if (!vmt_test_gpu_takes()) continue;
        uint32_t num_rows = regimes[r].num_rows;
        vmt_gpu_matmul_args args = {
            .weights = {new_weight(&f, 11, VMT_BF16, 67, 96, 0)}, /* Q8_0 */
            .num_weights = 1,
            .type = VMT_BF16,
            .x = new_random(&f, VMT_BF16, 2 * num_rows, 104, -0.5f, 0.5f),
            .row_ids = new_ids(&f, num_rows, 2 * num_rows),
            .bias = new_random(&f, VMT_F32, 1, 67, -1, 1),
            .kind = VMT_GPU_MATMUL_RESIDUAL,
            .scale = 0.25f,
            .out = new_tensor(&f, VMT_F32, num_rows, 67),
            .count = VMT_COUNT_LOGITS,
            .rows_max = regimes[r].rows_max,
        };
        expect_right(&f, &args, num_rows, vmt_arena_printf(t->arena, "residual, %u rows", num_rows).ptr);
        drop_buffers(&f);
    }
    close_fixture(&f);
}

static void fuses_the_norm(vmt_test *t) {
    static const size_t mixes[] = {1, MLX4, 12, 16, 18}; /* F16, mlx4, Q4_0, Q4_K, Q6_K */
    static const uint32_t widths[] = {512, 1280, 4352};
    fixture f = open_fixture(t);
    for (size_t r = 0; r < VMT_COUNT(regimes) && regimes[r].rows_max <= VMT_GPU_MATMUL_NORM_ROWS; r++) {
        for (size_t i = 0; i < VMT_COUNT(mixes) * VMT_COUNT(widths); i++) {
            if (!vmt_test_gpu_takes()) continue;
            size_t mix = mixes[i % VMT_COUNT(mixes)];
            uint32_t num_rows = regimes[r].num_rows, cols = widths[i / VMT_COUNT(mixes)];
            vmt_gpu_matmul_args args = {
                .weights = {new_weight(&f, mix, VMT_F16, 50, cols, 128)},
                .num_weights = 1,
                .type = VMT_F16,
                .x = new_random(&f, VMT_F32, 2 * num_rows, cols, -40, 60),
                .row_ids = new_ids(&f, num_rows, 2 * num_rows),
                .norm_weight = new_random(&f, VMT_F32, 1, cols, 0.5f, 1.5f),
                .norm_eps = 1e-5f,
                .kind = VMT_GPU_MATMUL_LOGITS,
                .scale = 0.125f,
                .out = new_tensor(&f, VMT_F32, num_rows, 50),
                .count = VMT_COUNT_LOGITS,
                .rows_max = regimes[r].rows_max,
            };
            expect_right(&f, &args, num_rows,
                         vmt_arena_printf(t->arena, "norm, format %zu, %u rows of %u", mix, num_rows, cols).ptr);
            drop_buffers(&f);
        }
    }
    close_fixture(&f);
}

/* ---- by a library: on other devices than its own the kernel does what the library would */

static fixture open_library(vmt_test *t) {
    fixture f = open_fixture(t);
    f.gpu->caps.has_gemm = true;
    return f;
}

/* Every format, made plain in one piece and in several. */
static void makes_every_format_plain(vmt_test *t) {
    static const uint32_t rooms[] = {70, 24, 70 + 69};
    fixture f = open_library(t);
    for (size_t format = 0; format < NUM_FORMATS; format++) {
        for (size_t i = 1; i < VMT_COUNT(types); i++) {
            for (size_t r = 0; r < VMT_COUNT(rooms); r++) {
                if (!vmt_test_gpu_takes()) continue;
                uint32_t cols = formats[format].multiple * (formats[format].multiple == 8 ? 5 : 2), num_rows = 33;
                cols = formats[format].bits ? VMT_MAX(cols, 64) : cols;
                vmt_gpu_matmul_args args = {
                    .weights = {new_weight(&f, format, types[i], 70, cols, 64)},
                    .num_weights = 1,
                    .type = types[i],
                    .x = new_random(&f, types[i], num_rows, cols + 8, -0.5f, 0.5f),
                    .kind = VMT_GPU_MATMUL_STORE,
                    .scale = 0.5f,
                    .out = new_tensor(&f, types[i], num_rows + 1, 72),
                    .scratch = new_tensor(&f, types[i], 1, (uint64_t)rooms[r] * cols),
                    .count = VMT_COUNT_TOKENS,
                    .rows_max = 40,
                };
                shape shape = {70, cols, num_rows, 40, 64};
                expect_right(&f, &args, num_rows, name_of(&f, format, types[i], &shape));
                drop_buffers(&f);
            }
        }
    }
    close_fixture(&f);
}

/* Plain weights and others together, into floats and onto them. */
static void mixes_what_a_library_multiplies(vmt_test *t) {
    static const size_t mixes[][3] = {{16, 16, 18}, {1, 12, 1}, {1, 1, 1}, {MLX4, 2, 11}}; /* 1: F16 as x is */
    static const vmt_gpu_matmul_kind kinds[] = {VMT_GPU_MATMUL_STORE, VMT_GPU_MATMUL_RESIDUAL,
                                                VMT_GPU_MATMUL_LOGITS};
    static const uint32_t rooms[] = {33, 75, 200};
    fixture f = open_library(t);
    for (size_t i = 0; i < VMT_COUNT(mixes) * VMT_COUNT(kinds) * VMT_COUNT(rooms); i++) {
        if (!vmt_test_gpu_takes()) continue;
        const size_t *mix = mixes[i % VMT_COUNT(mixes)];
        vmt_gpu_matmul_kind kind = kinds[i / VMT_COUNT(mixes) % VMT_COUNT(kinds)];
        uint32_t room = rooms[i / VMT_COUNT(mixes) / VMT_COUNT(kinds)], num_rows = 21;
        vmt_gpu_matmul_args args = {
            .weights = {new_weight(&f, mix[0], VMT_F16, 70, 256, 64), new_weight(&f, mix[1], VMT_F16, 5, 256, 64),
                        new_weight(&f, mix[2], VMT_F16, 29, 256, 64)},
            .num_weights = 3,
            .type = VMT_F16,
            .x = new_random(&f, VMT_F16, num_rows, 256, -0.5f, 0.5f),
            .bias = i % 2 ? (vmt_tensor){0} : new_random(&f, VMT_F32, 1, 104, -3, 3),
            .kind = kind,
            .scale = 0.5f,
            .out = new_tensor(&f, kind == VMT_GPU_MATMUL_STORE ? VMT_F16 : VMT_F32, num_rows, 112),
            .scratch = new_tensor(&f, VMT_F16, 1, room * 256),
            .count = VMT_COUNT_LOGITS,
            .rows_max = 50,
        };
        expect_right(&f, &args, num_rows, vmt_arena_printf(t->arena, "mix %zu, room %u", i, room).ptr);
        drop_buffers(&f);
    }
    close_fixture(&f);
}

/* What goes to the library: names of kernels in the order of their dispatch. */
static void expect_kernels(fixture *f, const vmt_gpu_matmul_args *args, const char *want) {
    vmt_gpu_program *program;
    uint32_t counts[VMT_NUM_STEP_COUNTS] = {[VMT_COUNT_TOKENS] = args->rows_max};
    const vmt_kernel *kernels[16];
    char got[512] = "";
    vmt_expect_eq(f->t, vmt_gpu_program_create(&program, f->gpu, NULL), VMT_OK);
    vmt_expect_eq(f->t, vmt_gpu_matmul(program, args, NULL), VMT_OK);
    uint32_t count = vmt_gpu_program_kernels(program, counts, kernels, VMT_COUNT(kernels));
    vmt_expect(f->t, count <= VMT_COUNT(kernels));
    for (uint32_t i = 0; i < count; i++) {
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i ? " " : "", kernels[i]->name);
    }
    vmt_expect_str(f->t, got, want);
    vmt_gpu_program_destroy(program);
}

/* What matvec_staged is for, and what forbids it. */
static void stages_what_it_can(vmt_test *t) {
    fixture f = open_fixture(t);
    const vmt_gpu_matmul_args good = {
        .weights = {new_weight(&f, 12, VMT_F16, 20, 2048, 0)}, /* Q4_0 */
        .num_weights = 1,
        .type = VMT_F16,
        .x = new_random(&f, VMT_F16, 1, 4096, -1, 1),
        .out = new_tensor(&f, VMT_F16, 1, 20),
        .scale = 1,
        .count = VMT_COUNT_TOKENS,
        .rows_max = 1,
    };
    bool can = f.gpu->caps.has_async_copy;
    vmt_gpu_matmul_args args = good;
    expect_kernels(&f, &args, can ? "matvec_staged_q4_0_f16" : "matvec_q4_0_f16");
    args.weights[0].data.offset = 4; /* of the 20 rows 19 are left */
    args.weights[0].rows = 19;
    args.weights[0].data.shape[0] = 19;
    expect_kernels(&f, &args, "matvec_q4_0_f16");
    args = good;
    args.weights[0] = new_weight(&f, 12, VMT_F16, 20, 1024, 0);
    expect_kernels(&f, &args, "matvec_narrow_q4_0_f16");
    args.weights[0] = new_weight(&f, 12, VMT_F16, 20, 1536, 0);
    expect_kernels(&f, &args, "matvec_q4_0_f16");
    args.weights[0] = new_weight(&f, MLX4, VMT_F16, 20, 2048, 64);
    expect_kernels(&f, &args, can ? "matvec_staged_mlx4_f16" : "matvec_mlx4_f16");
    args.weights[0] = new_weight(&f, MLX4, VMT_F16, 20, 2048, 32);
    expect_kernels(&f, &args, "matvec_mlx4_f16");
    args.weights[0] = new_weight(&f, 11, VMT_F16, 20, 2048, 0);
    expect_kernels(&f, &args, "matvec_q8_0_f16");
    args = good;
    if (can) {
        vmt_gpu_distrust(f.gpu, vmt_kernel_find("matvec_staged_q4_0_f16"), "the test says so");
        expect_kernels(&f, &args, "matvec_q4_0_f16");
    }
    f.gpu->caps.has_async_copy = false;
    args.weights[0] = new_weight(&f, MLX4, VMT_F16, 20, 2048, 64);
    expect_kernels(&f, &args, "matvec_mlx4_f16");
    close_fixture(&f);
}

#define PLAIN "matmul_tiled_f16_f16"
#define MADE  "dequantize_q4_k_f16"

static void knows_what_a_library_can(vmt_test *t) {
    fixture f = open_library(t);
    const vmt_gpu_matmul_args good = {
        .weights = {new_weight(&f, 1, VMT_F16, 64, 256, 0), new_weight(&f, 16, VMT_F16, 64, 256, 0),
                    new_weight(&f, 16, VMT_F16, 64, 256, 0)},
        .num_weights = 1,
        .type = VMT_F16,
        .x = new_random(&f, VMT_F16, 32, 256, -1, 1),
        .out = new_tensor(&f, VMT_F16, 32, 192),
        .scratch = new_tensor(&f, VMT_F16, 1, 64 * 256),
        .scale = 1,
        .count = VMT_COUNT_TOKENS,
        .rows_max = 17,
    };
    vmt_gpu_matmul_args args = good;
    expect_kernels(&f, &args, PLAIN);
    args.rows_max = 2;
    expect_kernels(&f, &args, PLAIN);
    args.rows_max = 1; /* a kernel of ours is as fast, and takes the norm and the gate with it */
    expect_kernels(&f, &args, "matvec_narrow_f16_f16");
    args = good;
    args.num_weights = 3; /* room for one at a time: the first is multiplied with the plain one */
    expect_kernels(&f, &args, MADE " " PLAIN " " MADE " " PLAIN);
    vmt_expect_eq(t, vmt_gpu_matmul_scratch_bytes(f.gpu, args.weights, 3, VMT_F16, 17), 2 * 64 * 256 * 2);
    vmt_expect_eq(t, vmt_gpu_matmul_scratch_bytes(f.gpu, args.weights, 3, VMT_F16, 16), 0);
    args.scratch = new_tensor(&f, VMT_F16, 1, 128 * 256);
    expect_kernels(&f, &args, MADE " " MADE " " PLAIN);
    args.rows_max = 16; /* few rows of weights that are not plain */
    expect_kernels(&f, &args, "matmul_few_f16_f16 matmul_few_q4_k_f16");
    args = good;
    args.num_weights = 3;
    args.scratch = (vmt_tensor){0};
    expect_kernels(&f, &args, "matmul_tiled_f16_f16 matmul_tiled_q4_k_f16");
    args = good;
    args.weights[0] = good.weights[1];
    vmt_gpu_distrust(f.gpu, vmt_kernel_find("dequantize_q4_k_f16"), "the test says so");
    expect_kernels(&f, &args, "matmul_tiled_q4_k_f16");
    close_fixture(&f);
}

static void counts_dispatches(vmt_test *t) {
    fixture f = open_fixture(t);
    vmt_gpu_program *program;
    uint32_t counts[VMT_NUM_STEP_COUNTS] = {[VMT_COUNT_TOKENS] = 1};
    vmt_gpu_matmul_args args = {
        .weights = {new_weight(&f, 16, VMT_F16, 8, 256, 0), new_weight(&f, 16, VMT_F16, 8, 256, 0),
                    new_weight(&f, 18, VMT_F16, 8, 256, 0)},
        .num_weights = 2,
        .type = VMT_F16,
        .x = new_random(&f, VMT_F16, 1, 256, -1, 1),
        .out = new_tensor(&f, VMT_F16, 1, 24),
        .scale = 1,
        .count = VMT_COUNT_TOKENS,
        .rows_max = 1,
    };
    for (uint32_t n = 2; n <= 3; n++) { /* q and k in Q4_K are one dispatch, v in Q6_K another */
        args.num_weights = n;
        vmt_expect_eq(t, vmt_gpu_program_create(&program, f.gpu, NULL), VMT_OK);
        vmt_expect_eq(t, vmt_gpu_matmul(program, &args, NULL), VMT_OK);
        vmt_gpu_program_stats stats = vmt_gpu_program_get_stats(program, counts);
        vmt_expect_eq(t, stats.num_dispatches, n - 1);
        vmt_expect_eq(t, stats.bytes_read, 2 * 8 * 144 + (n == 3 ? 8 * 210 : 0));
        vmt_gpu_program_destroy(program);
    }
    close_fixture(&f);
}

static void refuse(fixture *f, const vmt_gpu_matmul_args *args, const char *why) {
    vmt_gpu_program *program;
    vmt_err err = {0};
    vmt_expect_eq(f->t, vmt_gpu_program_create(&program, f->gpu, NULL), VMT_OK);
    vmt_expect(f->t, vmt_gpu_matmul(program, args, &err) != VMT_OK);
    vmt_expect_str(f->t, err.msg, why);
    vmt_gpu_program_destroy(program);
}

static void refuses_what_no_kernel_takes(vmt_test *t) {
    fixture f = open_fixture(t);
    const vmt_gpu_matmul_args good = {
        .weights = {new_weight(&f, MLX4, VMT_F16, 8, 64, 32), new_weight(&f, 11, VMT_F16, 8, 64, 0)},
        .num_weights = 1,
        .type = VMT_F16,
        .x = new_random(&f, VMT_F16, 1, 64, -1, 1),
        .out = new_tensor(&f, VMT_F16, 1, 16),
        .scale = 1,
        .count = VMT_COUNT_TOKENS,
        .rows_max = 1,
    };
    vmt_gpu_matmul_args args = good;
    args.type = VMT_BF16;
    refuse(&f, &args, "scales of F16 with activations of BF16");
    args = good;
    args.weights[0].data.offset = 4;
    refuse(&f, &args, "a weight lies at byte 4 of its buffer, not a multiple of 8");
    args = good;
    args.weights[0].cols = 48;
    refuse(&f, &args,
           "a weight of [8, 48]: columns must be a multiple of 32 for affine 4-bit, groups of 32, F16 scales");
    args = good;
    args.num_weights = 2;
    args.kind = VMT_GPU_MATMUL_GATED;
    refuse(&f, &args, "a gated matmul of two formats");
    args = good;
    args.out.shape[1] = 7;
    refuse(&f, &args, "matmul: out is [1, 7] F16, expected rows of 8 F16");
    args = good;
    args.x.dtype = VMT_F32;
    refuse(&f, &args, "matmul: x is [1, 64] F32, expected rows of 64 F16");
    args = good;
    args.norm_weight = args.x = new_random(&f, VMT_F32, 1, 64, 0, 1);
    args.rows_max = VMT_GPU_MATMUL_NORM_ROWS + 1;
    refuse(&f, &args, "matmul: 17 rows with the norm fused");
    args = good;
    args.weights[0] = vmt_matrix_of(&good.out);
    args.weights[0].data.dtype = VMT_I8;
    refuse(&f, &args, "the GPU has no matmul for I8");
    close_fixture(&f);
}

/* ---- MLX's own numbers */

static vmt_tensor to_device(fixture *f, const vmt_tensor *from) {
    if (from->buffer == NULL) return *from;
    vmt_tensor to = new_tensor(f, from->dtype, from->shape[0], from->shape[1]);
    memcpy(vmt_tensor_data(&to), vmt_tensor_data(from), vmt_tensor_bytes(from));
    return to;
}

static void products_are_those_of_mlx(vmt_test *t) {
    static vmt_mlx_vector vectors[VMT_MLX_VECTORS_MAX];
    static const uint32_t rows_max[] = {1, 16};
    uint32_t count = vmt_test_mlx_vectors(t, vectors);
    fixture f = open_fixture(t);
    for (uint32_t i = 0; i < count * VMT_COUNT(rows_max); i++) {
        if (!vmt_test_gpu_takes()) continue;
        const vmt_mlx_vector *v = &vectors[i / VMT_COUNT(rows_max)];
        vmt_matrix m = v->matrix;
        m.data = to_device(&f, &v->matrix.data);
        m.scales = to_device(&f, &v->matrix.scales);
        m.biases = to_device(&f, &v->matrix.biases);
        vmt_gpu_matmul_args args = {
            .weights = {m},
            .num_weights = 1,
            .type = v->x.dtype,
            .x = to_device(&f, &v->x),
            .kind = VMT_GPU_MATMUL_LOGITS,
            .scale = 1,
            .out = new_tensor(&f, VMT_F32, v->num_x, m.rows),
            .count = VMT_COUNT_TOKENS,
            .rows_max = rows_max[i % VMT_COUNT(rows_max)],
        };
        if (args.rows_max > 1 && args.type != VMT_F32) { /* weights are rounded to T there */
            drop_buffers(&f);
            continue;
        }
        run(&f, &args, v->num_x);
        const float *out = vmt_tensor_data(&args.out);
        for (uint32_t n = 0; n < v->num_x * m.rows; n++) {
            /* Nibbles lose a few bits unless activations are floats. */
            double tolerance = args.type == VMT_F32 ? 1e-4 : 4e-4;
            if (fabs((double)out[n] - v->y[n]) <= tolerance * (1 + fabs((double)v->y[n]))) continue;
            vmt_test_fail(t, __FILE__, __LINE__, "%s: element %u is %g, MLX has %g", v->name, n, (double)out[n],
                          (double)v->y[n]);
        }
        drop_buffers(&f);
    }
    close_fixture(&f);
}

/* ---- embedding */

static void gathers_embeddings_of_every_format(vmt_test *t) {
    fixture f = open_fixture(t);
    for (size_t format = 0; format < NUM_FORMATS; format++) {
        for (size_t i = 0; i < VMT_COUNT(types); i++) {
            enum { VOCAB = 19, NUM_TOKENS = 5 };
            if (!vmt_test_gpu_takes()) continue;
            uint32_t cols = formats[format].multiple * (formats[format].multiple == 256 ? 9
                                                        : formats[format].bits          ? 4
                                                                                        : 3);
            vmt_gpu_embed_args args = {
                .weight = new_weight(&f, format, types[i], VOCAB, cols, 64),
                .type = types[i],
                .token_ids = new_ids(&f, NUM_TOKENS, VOCAB),
                .out = new_tensor(&f, VMT_F32, NUM_TOKENS, cols),
                .scale = 1.5f,
                .count = VMT_COUNT_TOKENS,
                .rows_max = NUM_TOKENS,
            };
            vmt_gpu_program *program;
            vmt_err err = {0};
            uint32_t counts[VMT_NUM_STEP_COUNTS] = {[VMT_COUNT_TOKENS] = NUM_TOKENS};
            ((int32_t *)vmt_tensor_data(&args.token_ids))[0] = VOCAB - 1;
            vmt_expect_eq(t, vmt_gpu_program_create(&program, f.gpu, &err), VMT_OK);
            if (vmt_gpu_embed(program, &args, &err) != VMT_OK) vmt_test_fail(t, __FILE__, __LINE__, "%s", err.msg);
            vmt_expect_eq(t, vmt_gpu_begin(f.gpu, &err), VMT_OK);
            vmt_gpu_program_replay(program, counts);
            vmt_test_gpu_finish(t, f.gpu);
            float *want = VMT_ARENA_NEW(t->arena, float, cols), *got = vmt_tensor_data(&args.out);
            for (uint32_t m = 0; m < NUM_TOKENS; m++) {
                vmt_matrix_row(&args.weight, ((const uint32_t *)vmt_tensor_data(&args.token_ids))[m], want);
                for (uint32_t k = 0; k < cols; k++) {
                    vmt_expect_near(t, got[m * cols + k], 1.5 * (double)want[k],
                                    1e-6 + 1e-6 * fabs((double)want[k]));
                }
            }
            vmt_gpu_program_destroy(program);
            drop_buffers(&f);
        }
    }
    close_fixture(&f);
}

static const vmt_test_case cases[] = {
    {"one_row_in_every_format", one_row_in_every_format},
    {"long_rows_in_every_format", long_rows_in_every_format},
    {"staged_rows", staged_rows},
    {"more_rows_than_threadgroups", more_rows_than_threadgroups},
    {"few_rows_in_every_format", few_rows_in_every_format},
    {"many_rows_in_every_format", many_rows_in_every_format},
    {"stacks_weights_with_bias", stacks_weights_with_bias},
    {"gates_with_every_activation", gates_with_every_activation},
    {"adds_to_the_residual", adds_to_the_residual},
    {"fuses_the_norm", fuses_the_norm},
    {"products_are_those_of_mlx", products_are_those_of_mlx},
    {"makes_every_format_plain", makes_every_format_plain},
    {"mixes_what_a_library_multiplies", mixes_what_a_library_multiplies},
    {"stages_what_it_can", stages_what_it_can},
    {"knows_what_a_library_can", knows_what_a_library_can},
    {"counts_dispatches", counts_dispatches},
    {"refuses_what_no_kernel_takes", refuses_what_no_kernel_takes},
    {"gathers_embeddings_of_every_format", gathers_embeddings_of_every_format},
    {0},
};
VMT_GPU_TEST_MAIN(cases)
