/* ops/gpu_check_matmul.c: checks of fragments, of matmuls and embeddings in every format.  gpu_checks.h */
#include "kernels/probe_kargs.h"
#include "ops/gpu_check_rig.h"
#include "ops/gpu_dequantize.h"
#include "ops/gpu_embed.h"
#include "ops/gpu_type.h"

#include "base/rng.h"
#include "kernels/matmul_kargs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ROWS       70u /* more than a tile's 64; with a bias and no multiple of 8 it stays with the kernels */
#define COLS       256u
#define LONG_COLS  1280u /* past VMT_MATVEC_NARROW_COLS, and no whole parts of matvec_staged */
#define GROUP_SIZE 64u

static const vmt_dtype types[] = {VMT_F32, VMT_F16, VMT_BF16};
#define NUM_TYPES VMT_COUNT(types)

/* ---- weights */

/* Where a block has its float16 scale and minimum, -1 if not, and the greatest number that the scale multiplies. */
static const struct format {
    const char *name;
    vmt_dtype dtype;
    uint32_t bits; /* MLX */
    bool is_fp4;   /* MLX's */
    int scale_at, min_at;
    float greatest;
} formats[] = {
    {"f32", VMT_F32, 0, false, -1, -1, 0},           {"f16", VMT_F16, 0, false, -1, -1, 0},
    {"bf16", VMT_BF16, 0, false, -1, -1, 0},         {"mlx2", VMT_U32, 2, false, -1, -1, 0},
    {"mlx3", VMT_U32, 3, false, -1, -1, 0},          {"mlx4", VMT_U32, 4, false, -1, -1, 0},
    {"mlx5", VMT_U32, 5, false, -1, -1, 0},          {"mlx6", VMT_U32, 6, false, -1, -1, 0},
    {"mlx8", VMT_U32, 8, false, -1, -1, 0},          {"mlxfp4", VMT_U32, 4, true, -1, -1, 0},
    {"mxfp4", VMT_MXFP4, 0, false, -1, -1, 0},       {"q8_0", VMT_Q8_0, 0, false, 0, -1, 127},
    {"q4_0", VMT_Q4_0, 0, false, 0, -1, 8},          {"q4_1", VMT_Q4_1, 0, false, 0, 2, 15},
    {"q5_0", VMT_Q5_0, 0, false, 0, -1, 16},         {"q5_1", VMT_Q5_1, 0, false, 0, 2, 31},
    {"q4_k", VMT_Q4_K, 0, false, 0, 2, 15 * 63},     {"q5_k", VMT_Q5_K, 0, false, 0, 2, 31 * 63},
    {"q6_k", VMT_Q6_K, 0, false, 208, -1, 32 * 127},
};
#define NUM_FORMATS VMT_COUNT(formats)

static bool wants_format(const vmt_gpu_check_rig *rig, const struct format *f) {
    const vmt_gpu_check_selection *s = rig->selection;
    bool found = s->weights == NULL;
    for (uint32_t i = 0; i < s->num_weights && !found; i++) {
        const vmt_matrix *w = &s->weights[i];
        bool is_fp4 = w->bits != 0 && w->biases.buffer == NULL;
        found = w->data.dtype == f->dtype && w->bits == f->bits && is_fp4 == f->is_fp4;
    }
    return found;
}

static void fill_bytes(vmt_gpu_check_rig *rig, const vmt_tensor *t) {
    uint8_t *at = vmt_tensor_data(t);
    for (size_t i = 0; i < vmt_tensor_bytes(t); i++) at[i] = (uint8_t)vmt_splitmix64(&rig->rng);
}

/* Exponents that keep weights near 1. */
static uint8_t exponent(vmt_gpu_check_rig *rig) {
    return (uint8_t)(122 + vmt_splitmix64(&rig->rng) % 4);
}

/* Random quants under scales that keep weights within [-2, 2]. */
static void fill_blocks(vmt_gpu_check_rig *rig, const struct format *f, const vmt_tensor *data) {
    uint32_t block_bytes = vmt_dtype_get(f->dtype)->block_bytes;
    uint8_t *at = vmt_tensor_data(data), *end = at + vmt_tensor_bytes(data);
    bool is_k =
        f->dtype == VMT_Q4_K || f->dtype == VMT_Q5_K; /* their minimum is multiplied by 6 bits and taken off */
    fill_bytes(rig, data);
    for (; at < end; at += block_bytes) {
        if (f->scale_at < 0) {
            *at = exponent(rig);
            continue;
        }
        float unit = (float)(vmt_splitmix64(&rig->rng) >> 40) * 0x1p-24f;
        uint16_t scale = vmt_f32_to_f16((0.5f + unit) / f->greatest);
        uint16_t min = vmt_f32_to_f16(is_k ? (0.5f + unit) / 63 : -0.5f - unit);
        memcpy(at + f->scale_at, &scale, sizeof scale);
        if (f->min_at >= 0) memcpy(at + f->min_at, &min, sizeof min);
    }
}

static vmt_gpu_weight make_long_weight(vmt_gpu_check_rig *rig, const struct format *f, vmt_dtype type,
                                       uint32_t cols) {
    vmt_gpu_weight w;
    if (vmt_gpu_type_name(f->dtype) != NULL) {
        vmt_tensor data = vmt_gpu_check_random(rig, f->dtype, ROWS, cols, -1, 1);
        return vmt_matrix_of(&data);
    }
    vmt_tensor data = vmt_gpu_check_zeros(rig, f->dtype, ROWS, f->bits ? cols * f->bits / 32 : cols);
    if (f->bits == 0) {
        fill_blocks(rig, f, &data);
        return vmt_matrix_of(&data);
    }
    fill_bytes(rig, &data);
    vmt_status status;
    if (f->is_fp4) {
        vmt_tensor scales = vmt_gpu_check_zeros(rig, VMT_U8, ROWS, cols / 32);
        for (uint32_t i = 0; i < ROWS * cols / 32; i++) ((uint8_t *)vmt_tensor_data(&scales))[i] = exponent(rig);
        status = vmt_matrix_of_mlx(&w, &data, &scales, NULL, f->bits, 32, NULL);
    } else {
        double greatest = (double)((1u << f->bits) - 1);
        vmt_tensor scales = vmt_gpu_check_random(rig, type, ROWS, cols / GROUP_SIZE, 1 / greatest, 3 / greatest);
        vmt_tensor biases = vmt_gpu_check_random(rig, type, ROWS, cols / GROUP_SIZE, -1.5, -0.5);
        status = vmt_matrix_of_mlx(&w, &data, &scales, &biases, f->bits, GROUP_SIZE, NULL);
    }
    VMT_ASSERT(status == VMT_OK);
    return w;
}

static vmt_gpu_weight make_weight(vmt_gpu_check_rig *rig, const struct format *f, vmt_dtype type) {
    return make_long_weight(rig, f, type, COLS);
}

/* ---- matmul */

static const struct {
    const char *name;
    uint32_t num_rows, cols;
} regimes[] = {
    {"matvec", 1, LONG_COLS},   {"matvec_staged", 1, 2 * VMT_MATVEC_STAGED_COLS},
    {"matvec_narrow", 1, COLS}, {"matmul_few", 5, COLS},
    {"matmul_tiled", 40, COLS},
};
#define NUM_REGIMES VMT_COUNT(regimes)

/* Not every format and device has every regime. */
static bool has_regime(const vmt_gpu_check_rig *rig, const char *regime, const char *format, vmt_dtype type) {
    char kernel[64];
    if (strcmp(regime, "matvec_staged") != 0) return true;
    snprintf(kernel, sizeof kernel, "%s_%s_%s", regime, format, vmt_gpu_type_name(type));
    return rig->gpu->caps.has_async_copy && vmt_kernel_find(kernel) != NULL;
}

static vmt_status run_matmul(vmt_gpu_check_rig *rig, uint32_t variant, bool *is_wanted, vmt_err *err) {
    uint32_t regime = variant % NUM_REGIMES, num_rows = regimes[regime].num_rows, cols = regimes[regime].cols;
    vmt_dtype type = types[variant / NUM_REGIMES % NUM_TYPES];
    const struct format *f = &formats[variant / NUM_REGIMES / NUM_TYPES];
    vmt_gpu_check_name(rig, "%s %s %s", regimes[regime].name, f->name, vmt_gpu_type_name(type));
    *is_wanted = vmt_gpu_check_wants_type(rig, type) && wants_format(rig, f) &&
                 has_regime(rig, regimes[regime].name, f->name, type);
    if (!*is_wanted) return VMT_OK;
    vmt_gpu_matmul_args args = {
        .weights = {make_long_weight(rig, f, type, cols)},
        .num_weights = 1,
        .type = type,
        .x = vmt_gpu_check_random(rig, type, num_rows, cols, -0.5, 0.5),
        .bias = vmt_gpu_check_random(rig, VMT_F32, 1, ROWS, -3, 3),
        .kind = VMT_GPU_MATMUL_STORE,
        .scale = 1,
        .out = vmt_gpu_check_zeros(rig, type, num_rows, ROWS),
        .rows_max = num_rows,
    };
    char kernel[64];
    vmt_gpu_weight_kernel(regimes[regime].name, &args.weights[0], type, kernel, sizeof kernel);
    VMT_TRY(vmt_gpu_matmul(rig->program, &args, err));
    VMT_TRY(vmt_gpu_check_replay(rig, (uint32_t[VMT_NUM_STEP_COUNTS]){0}, err));
    if (strcmp(rig->kernels[0]->name, kernel) != 0) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "kernel %s does not compile", kernel);
    }
    vmt_gpu_check_tolerate(rig, type);
    float *w = VMT_ARENA_NEW(rig->arena, float, cols);
    for (uint32_t n = 0; n < ROWS; n++) {
        vmt_matrix_row(&args.weights[0], n, w);
        for (uint32_t m = 0; m < num_rows; m++) {
            double sum = vmt_tensor_at(&args.bias, n);
            for (uint32_t k = 0; k < cols; k++) sum += vmt_tensor_at(&args.x, m * cols + k) * (double)w[k];
            vmt_gpu_check_compare(rig, vmt_tensor_at(&args.out, m * ROWS + n), sum);
        }
    }
    return VMT_OK;
}

const vmt_gpu_check_kind vmt_gpu_check_matmul = {NUM_REGIMES * NUM_TYPES * NUM_FORMATS, run_matmul};

/* ---- what is fused into a matmul: norm and gate, residual and picked rows; in the first format that is wanted */

static double silu(double x) {
    return x / (1 + exp(-x));
}

/* out = silu(gate) * up of rows that are normed, where few rows are for that; else as they are. */
static void compare_gated(vmt_gpu_check_rig *rig, const vmt_gpu_matmul_args *a, uint32_t num_rows) {
    float *gate = VMT_ARENA_NEW(rig->arena, float, COLS), *up = VMT_ARENA_NEW(rig->arena, float, COLS);
    bool has_norm = a->norm_weight.buffer != NULL;
    for (uint32_t n = 0; n < ROWS; n++) {
        vmt_matrix_row(&a->weights[0], n, gate);
        vmt_matrix_row(&a->weights[1], n, up);
        for (uint32_t m = 0; m < num_rows; m++) {
            double squares = 0, sum[2] = {0, 0};
            for (uint32_t k = 0; k < COLS; k++) {
                double x = vmt_tensor_at(&a->x, m * COLS + k);
                squares += x * x;
                if (has_norm) x *= vmt_tensor_at(&a->norm_weight, k);
                sum[0] += x * (double)gate[k];
                sum[1] += x * (double)up[k];
            }
            double scale = has_norm ? 1 / sqrt(squares / COLS + (double)a->norm_eps) : 1;
            double want = silu(scale * sum[0]) * scale * sum[1];
            vmt_gpu_check_compare(rig, vmt_tensor_at(&a->out, m * ROWS + n), want);
        }
    }
}

static vmt_status run_gated(vmt_gpu_check_rig *rig, uint32_t regime, const struct format *f, vmt_dtype type,
                            vmt_err *err) {
    uint32_t num_rows = regimes[regime].num_rows;
    bool has_norm = num_rows <= VMT_GPU_MATMUL_NORM_ROWS;
    vmt_gpu_matmul_args args = {
        .weights = {make_weight(rig, f, type), make_weight(rig, f, type)},
        .num_weights = 2,
        .type = type,
        .x = vmt_gpu_check_random(rig, has_norm ? VMT_F32 : type, num_rows, COLS, -0.25, 0.25),
        .kind = VMT_GPU_MATMUL_GATED,
        .act = VMT_ACT_SILU,
        .scale = 1,
        .out = vmt_gpu_check_zeros(rig, type, num_rows, ROWS),
        .rows_max = num_rows,
    };
    if (has_norm) {
        args.norm_weight = vmt_gpu_check_random(rig, VMT_F32, 1, COLS, 0.05, 0.15);
        args.norm_eps = 1e-5f;
    }
    VMT_TRY(vmt_gpu_matmul(rig->program, &args, err));
    VMT_TRY(vmt_gpu_check_replay(rig, (uint32_t[VMT_NUM_STEP_COUNTS]){0}, err));
    compare_gated(rig, &args, num_rows);
    return VMT_OK;
}

/* out += x[ids] W^T, the ids last row first. */
static vmt_status run_residual(vmt_gpu_check_rig *rig, uint32_t regime, const struct format *f, vmt_dtype type,
                               vmt_err *err) {
    uint32_t num_rows = regimes[regime].num_rows;
    vmt_gpu_matmul_args args = {
        .weights = {make_weight(rig, f, type)},
        .num_weights = 1,
        .type = type,
        .x = vmt_gpu_check_random(rig, type, num_rows + 2, COLS, -0.5, 0.5),
        .row_ids = vmt_gpu_check_zeros(rig, VMT_I32, num_rows, 1),
        .kind = VMT_GPU_MATMUL_RESIDUAL,
        .scale = 0.5f,
        .out = vmt_gpu_check_random(rig, VMT_F32, num_rows, ROWS, -1, 1),
        .rows_max = num_rows,
    };
    for (uint32_t m = 0; m < num_rows; m++) vmt_tensor_put(&args.row_ids, m, num_rows + 1 - m);
    double *had = VMT_ARENA_NEW(rig->arena, double, num_rows *ROWS);
    for (uint32_t i = 0; i < num_rows * ROWS; i++) had[i] = vmt_tensor_at(&args.out, i);
    VMT_TRY(vmt_gpu_matmul(rig->program, &args, err));
    VMT_TRY(vmt_gpu_check_replay(rig, (uint32_t[VMT_NUM_STEP_COUNTS]){0}, err));
    float *w = VMT_ARENA_NEW(rig->arena, float, COLS);
    for (uint32_t n = 0; n < ROWS; n++) {
        vmt_matrix_row(&args.weights[0], n, w);
        for (uint32_t m = 0; m < num_rows; m++) {
            double sum = 0;
            for (uint32_t k = 0; k < COLS; k++) {
                sum += vmt_tensor_at(&args.x, (num_rows + 1 - m) * COLS + k) * (double)w[k];
            }
            vmt_gpu_check_compare(rig, vmt_tensor_at(&args.out, m * ROWS + n), had[m * ROWS + n] + 0.5 * sum);
        }
    }
    return VMT_OK;
}

static vmt_status run_fused(vmt_gpu_check_rig *rig, uint32_t variant, bool *is_wanted, vmt_err *err) {
    uint32_t regime = variant % 3, i = 0;
    bool is_gated = variant / 3 % 2;
    vmt_dtype type = types[variant / 6];
    char kernel[64];
    while (i < NUM_FORMATS && !wants_format(rig, &formats[i])) i++;
    *is_wanted = vmt_gpu_check_wants_type(rig, type) && i < NUM_FORMATS;
    if (!*is_wanted) return VMT_OK;
    const char *type_name = vmt_gpu_type_name(type);
    vmt_gpu_check_name(rig, "%s %s %s %s", regimes[regime].name, is_gated ? "gated" : "residual", formats[i].name,
                       type_name);
    snprintf(kernel, sizeof kernel, "%s_%s_%s", regimes[regime].name, formats[i].name, type_name);
    *is_wanted = vmt_gpu_trusts(rig->gpu, kernel); /* else another regime would run in its place */
    if (!*is_wanted) return VMT_OK;
    vmt_gpu_check_tolerate(rig, type);
    return (is_gated ? run_gated : run_residual)(rig, regime, &formats[i], type, err);
}

const vmt_gpu_check_kind vmt_gpu_check_fused = {3 * 2 * NUM_TYPES, run_fused};

/* ---- what a library does in a kernel's place: sums onto floats, without what only the kernel can */

static vmt_status run_library(vmt_gpu_check_rig *rig, uint32_t variant, bool *is_wanted, vmt_err *err) {
    const uint32_t num_rows = 40;
    vmt_dtype type = types[1 + variant]; /* of 16 bits */
    vmt_gpu_check_name(rig, "matmul of the library %s", vmt_gpu_type_name(type));
    *is_wanted = rig->gpu->caps.has_gemm && vmt_gpu_check_wants_type(rig, type);
    if (!*is_wanted) return VMT_OK;
    vmt_tensor weight = vmt_gpu_check_random(rig, type, ROWS, COLS, -1, 1);
    vmt_gpu_matmul_args args = {
        .weights = {vmt_matrix_of(&weight)},
        .num_weights = 1,
        .type = type,
        .x = vmt_gpu_check_random(rig, type, num_rows, COLS, -0.5, 0.5),
        .kind = VMT_GPU_MATMUL_RESIDUAL,
        .scale = 0.5f,
        .out = vmt_gpu_check_random(rig, VMT_F32, num_rows, ROWS, -1, 1),
        .rows_max = num_rows,
    };
    double *want = VMT_ARENA_NEW(rig->arena, double, num_rows *ROWS);
    for (uint32_t i = 0; i < num_rows * ROWS; i++) {
        want[i] = 0;
        for (uint32_t k = 0; k < COLS; k++) {
            want[i] += vmt_tensor_at(&args.x, i / ROWS * COLS + k) * vmt_tensor_at(&weight, i % ROWS * COLS + k);
        }
        want[i] = vmt_tensor_at(&args.out, i) + 0.5 * want[i];
    }
    VMT_TRY(vmt_gpu_matmul(rig->program, &args, err));
    VMT_TRY(vmt_gpu_check_replay(rig, (uint32_t[VMT_NUM_STEP_COUNTS]){0}, err));
    vmt_gpu_check_tolerate(rig, VMT_F32);
    for (uint32_t i = 0; i < num_rows * ROWS; i++) {
        vmt_gpu_check_compare(rig, vmt_tensor_at(&args.out, i), want[i]);
    }
    return VMT_OK;
}

const vmt_gpu_check_kind vmt_gpu_check_library = {2, run_library};

/* ---- weights made plain */

static vmt_status run_dequantize(vmt_gpu_check_rig *rig, uint32_t variant, bool *is_wanted, vmt_err *err) {
    vmt_dtype type = types[1 + variant % 2]; /* of 16 bits */
    const struct format *f = &formats[variant / 2];
    const uint32_t first_row = 3, num_rows = ROWS - 5;
    vmt_gpu_check_name(rig, "dequantize %s %s", f->name, vmt_gpu_type_name(type));
    *is_wanted = f->dtype != type && vmt_gpu_check_wants_type(rig, type) && wants_format(rig, f);
    if (!*is_wanted) return VMT_OK;
    vmt_gpu_dequantize_args args = {
        .weight = make_weight(rig, f, type),
        .first_row = first_row,
        .out = vmt_gpu_check_zeros(rig, type, num_rows, COLS),
    };
    VMT_TRY(vmt_gpu_dequantize(rig->program, &args, err));
    VMT_TRY(vmt_gpu_check_replay(rig, (uint32_t[VMT_NUM_STEP_COUNTS]){0}, err));
    vmt_gpu_check_tolerate(rig, type);
    float *w = VMT_ARENA_NEW(rig->arena, float, COLS);
    for (uint32_t n = 0; n < num_rows; n++) {
        vmt_matrix_row(&args.weight, first_row + n, w);
        for (uint32_t k = 0; k < COLS; k++) {
            vmt_gpu_check_compare(rig, vmt_tensor_at(&args.out, n * COLS + k), (double)w[k]);
        }
    }
    return VMT_OK;
}

const vmt_gpu_check_kind vmt_gpu_check_dequantize = {2 * NUM_FORMATS, run_dequantize};

/* ---- embeddings */

static vmt_status run_embed(vmt_gpu_check_rig *rig, uint32_t variant, bool *is_wanted, vmt_err *err) {
    static const int32_t ids[] = {0, 69, 17, 17, 68};
    vmt_dtype type = types[variant % NUM_TYPES];
    const struct format *f = &formats[variant / NUM_TYPES];
    vmt_gpu_check_name(rig, "embed_gather %s %s", f->name, vmt_gpu_type_name(type));
    *is_wanted = vmt_gpu_check_wants_type(rig, type) && wants_format(rig, f);
    if (!*is_wanted) return VMT_OK;
    vmt_gpu_embed_args args = {
        .weight = make_weight(rig, f, type),
        .type = type,
        .token_ids = vmt_gpu_check_zeros(rig, VMT_I32, VMT_COUNT(ids), 1),
        .out = vmt_gpu_check_zeros(rig, VMT_F32, VMT_COUNT(ids), COLS),
        .scale = 1.5f,
        .rows_max = VMT_COUNT(ids),
    };
    memcpy(vmt_tensor_data(&args.token_ids), ids, sizeof ids);
    VMT_TRY(vmt_gpu_embed(rig->program, &args, err));
    VMT_TRY(vmt_gpu_check_replay(rig, (uint32_t[VMT_NUM_STEP_COUNTS]){0}, err));
    vmt_gpu_check_tolerate(rig, VMT_F32);
    float *w = VMT_ARENA_NEW(rig->arena, float, COLS);
    for (uint32_t i = 0; i < VMT_COUNT(ids); i++) {
        vmt_matrix_row(&args.weight, (uint32_t)ids[i], w);
        for (uint32_t k = 0; k < COLS; k++) {
            vmt_gpu_check_compare(rig, vmt_tensor_at(&args.out, i * COLS + k), 1.5 * (double)w[k]);
        }
    }
    return VMT_OK;
}

const vmt_gpu_check_kind vmt_gpu_check_embed = {NUM_TYPES * NUM_FORMATS, run_embed};

/* ---- fragments */

/* a through the elements of C and A, the product, each element's place, and the rows' maxima and sums. */
static void compare_probe(vmt_gpu_check_rig *rig, const vmt_tensor *a, const vmt_tensor *b, const vmt_tensor *out,
                          const vmt_tensor *rows) {
    for (uint32_t r = 0; r < 16; r++) {
        double most = -INFINITY, total = 0;
        for (uint32_t c = 0; c < 16; c++) {
            double sum = 0;
            for (uint32_t k = 0; k < 16; k++) {
                sum += vmt_tensor_at(a, r * 16 + k) * vmt_tensor_at(b, k * 16 + c);
            }
            most = fmax(most, sum);
            total += sum;
            vmt_gpu_check_compare(rig, vmt_tensor_at(out, r * 16 + c), vmt_tensor_at(a, r * 16 + c));
            vmt_gpu_check_compare(rig, vmt_tensor_at(out, 256 + r * 16 + c), sum);
            vmt_gpu_check_compare(rig, vmt_tensor_at(out, 512 + r * 16 + c), r * 16 + c);
        }
        vmt_gpu_check_compare(rig, vmt_tensor_at(rows, r), most);
        vmt_gpu_check_compare(rig, vmt_tensor_at(rows, 16 + r), total);
    }
}

static vmt_status run_frag(vmt_gpu_check_rig *rig, uint32_t variant, bool *is_wanted, vmt_err *err) {
    vmt_dtype type = types[variant];
    vmt_gpu_check_name(rig, "probe_frag %s", vmt_gpu_type_name(type));
    *is_wanted = vmt_gpu_check_wants_type(rig, type);
    if (!*is_wanted) return VMT_OK;
    char kernel[32];
    snprintf(kernel, sizeof kernel, "probe_frag_%s", vmt_gpu_type_name(type));
    vmt_probe_kargs kargs = {16};
    vmt_tensor a = vmt_gpu_check_random(rig, type, 16, 16, -1, 1),
               b = vmt_gpu_check_random(rig, type, 16, 16, -1, 1);
    vmt_tensor out = vmt_gpu_check_random(rig, VMT_F32, 48, 16, 1e3, 2e3);
    vmt_tensor rows = vmt_gpu_check_random(rig, VMT_F32, 2, 16, 1e3, 2e3);
    vmt_gpu_op op = {
        .kernel = kernel,
        .buffers = {a, b, out, rows},
        .num_buffers = 4,
        .args = &kargs,
        .args_bytes = sizeof kargs,
        .grid = {1, 1, 1},
    };
    VMT_TRY(vmt_gpu_program_add(rig->program, &op, err));
    VMT_TRY(vmt_gpu_check_replay(rig, (uint32_t[VMT_NUM_STEP_COUNTS]){0}, err));
    vmt_gpu_check_tolerate(rig, VMT_F32); /* accumulated in float from what was rounded */
    compare_probe(rig, &a, &b, &out, &rows);
    return VMT_OK;
}

const vmt_gpu_check_kind vmt_gpu_check_frag = {NUM_TYPES, run_frag};
