/* ops/gpu_matmul.c: checks, the choice of a kernel, the deal of rows to threadgroups. */
#include "ops/gpu_matmul.h"
#include "kernels/matmul_kargs.h"

#include <stdio.h>

#define NUM_BUFFERS 15u

/* ---- formats */

/* What the kernels' formats are called and need; src/kernels/quant_*.h has them.  Alignment is that of their widest
 * load; a binding's own is 4. */
static const struct format {
    const char *name;
    vmt_dtype dtype;        /* of data */
    uint32_t bits;          /* MLX, else 0 */
    bool has_biases;        /* MLX */
    uint32_t cols_multiple; /* MLX: the group's size as well */
    uint32_t alignment;
} formats[] = {
    {"f32", VMT_F32, 0, false, 8, 8},      {"f16", VMT_F16, 0, false, 8, 8},
    {"bf16", VMT_BF16, 0, false, 8, 8},    {"mlx2", VMT_U32, 2, true, 32, 4},
    {"mlx3", VMT_U32, 3, true, 32, 4},     {"mlx4", VMT_U32, 4, true, 32, 8},
    {"mlx5", VMT_U32, 5, true, 32, 4},     {"mlx6", VMT_U32, 6, true, 32, 4},
    {"mlx8", VMT_U32, 8, true, 32, 8},     {"mlxfp4", VMT_U32, 4, false, 32, 8},
    {"mxfp4", VMT_MXFP4, 0, false, 32, 4}, {"q8_0", VMT_Q8_0, 0, false, 32, 4},
    {"q4_0", VMT_Q4_0, 0, false, 32, 4},   {"q4_1", VMT_Q4_1, 0, false, 32, 4},
    {"q5_0", VMT_Q5_0, 0, false, 32, 4},   {"q5_1", VMT_Q5_1, 0, false, 32, 4},
    {"q4_k", VMT_Q4_K, 0, false, 256, 8},  {"q5_k", VMT_Q5_K, 0, false, 256, 8},
    {"q6_k", VMT_Q6_K, 0, false, 256, 4},
};

static const struct format *find_format(const vmt_gpu_weight *w) {
    for (size_t i = 0; i < VMT_COUNT(formats); i++) {
        const struct format *f = &formats[i];
        if (f->dtype == w->data.dtype && f->bits == w->bits && f->has_biases == (w->biases.buffer != NULL))
            return f;
    }
    return NULL;
}

static const char *type_name(vmt_dtype type) {
    return type == VMT_F32 ? "f32" : type == VMT_F16 ? "f16" : type == VMT_BF16 ? "bf16" : NULL;
}

uint32_t vmt_gpu_weight_alignment(const vmt_gpu_weight *weight) {
    const struct format *f = find_format(weight);
    return f != NULL ? f->alignment : 4;
}

bool vmt_gpu_weights_alike(const vmt_gpu_weight *a, const vmt_gpu_weight *b) {
    return find_format(a) == find_format(b) && a->group_size == b->group_size && a->cols == b->cols;
}

static vmt_status check_place(const vmt_tensor *t, uint32_t alignment, const char *what, vmt_err *err) {
    if (t->offset % alignment == 0) return VMT_OK;
    return vmt_fail(err, VMT_E_INVALID, "%s lies at byte %zu of its buffer, not a multiple of %u", what, t->offset,
                    alignment);
}

vmt_status vmt_gpu_weight_check(const vmt_gpu_weight *weight, vmt_dtype type, vmt_err *err) {
    const struct format *f = find_format(weight);
    char text[96];
    if (f == NULL) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "the GPU has no matmul for %s",
                        vmt_matrix_describe(weight, text, sizeof text));
    }
    uint32_t multiple = VMT_MAX(f->cols_multiple, weight->group_size);
    if (weight->rows == 0 || weight->cols == 0 || weight->cols % multiple != 0) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "a weight of [%u, %u]: columns must be a multiple of %u for %s",
                        weight->rows, weight->cols, multiple, vmt_matrix_describe(weight, text, sizeof text));
    }
    if (f->has_biases && (weight->scales.dtype != type || weight->biases.dtype != type)) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "scales of %s with activations of %s",
                        vmt_dtype_get(weight->scales.dtype)->name, vmt_dtype_get(type)->name);
    }
    VMT_TRY(check_place(&weight->data, f->alignment, "a weight", err));
    if (f->bits != 0) VMT_TRY(check_place(&weight->scales, 4, "a weight's scales", err));
    if (f->has_biases) VMT_TRY(check_place(&weight->biases, 4, "a weight's biases", err));
    return VMT_OK;
}

const char *vmt_gpu_weight_kernel(const char *kernel, const vmt_gpu_weight *weight, vmt_dtype type, char *out,
                                  size_t cap) {
    snprintf(out, cap, "%s_%s_%s", kernel, find_format(weight)->name, type_name(type));
    return out;
}

/* ---- checks */

static uint32_t sum_rows(const vmt_gpu_matmul_args *args) {
    uint32_t rows = 0;
    for (uint32_t i = 0; i < args->num_weights; i++) rows += args->weights[i].rows;
    return rows;
}

static bool is_float_out(vmt_gpu_matmul_kind kind) {
    return kind == VMT_GPU_MATMUL_RESIDUAL || kind == VMT_GPU_MATMUL_LOGITS;
}

static vmt_status check_weights(const vmt_gpu_matmul_args *args, vmt_err *err) {
    if (args->num_weights < 1 || args->num_weights > VMT_GPU_MATMUL_WEIGHTS_MAX || type_name(args->type) == NULL) {
        return vmt_fail(err, VMT_E_INVALID, "matmul of %u weights with activations of %s", args->num_weights,
                        vmt_dtype_get(args->type)->name);
    }
    for (uint32_t i = 0; i < args->num_weights; i++) {
        VMT_TRY(vmt_gpu_weight_check(&args->weights[i], args->type, err));
        if (args->weights[i].cols != args->weights[0].cols) {
            return vmt_fail(err, VMT_E_INVALID, "matmul of weights of %u and %u columns", args->weights[0].cols,
                            args->weights[i].cols);
        }
    }
    if (args->kind != VMT_GPU_MATMUL_GATED) return VMT_OK;
    if (args->num_weights != 2 || args->weights[0].rows != args->weights[1].rows) {
        return vmt_fail(err, VMT_E_INVALID, "a gated matmul takes two weights of equal rows");
    }
    if (!vmt_gpu_weights_alike(&args->weights[0], &args->weights[1])) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "a gated matmul of two formats");
    }
    return VMT_OK;
}

static vmt_status check_vector(const vmt_tensor *t, vmt_dtype dtype, uint64_t elems, const char *what,
                               vmt_err *err) {
    if (t->buffer == NULL || (t->dtype == dtype && vmt_tensor_elems(t) >= elems)) return VMT_OK;
    char text[96];
    return vmt_fail(err, VMT_E_INVALID, "matmul: %s is %s, expected %llu of %s", what,
                    vmt_tensor_describe(t, text, sizeof text), (unsigned long long)elems,
                    vmt_dtype_get(dtype)->name);
}

static vmt_status check_rows(const vmt_tensor *t, vmt_dtype dtype, uint64_t cols, const char *what, vmt_err *err) {
    if (t->buffer != NULL && t->ndim == 2 && t->dtype == dtype && t->shape[1] >= cols &&
        t->shape[1] <= UINT32_MAX) {
        return VMT_OK;
    }
    char text[96];
    return vmt_fail(err, VMT_E_INVALID, "matmul: %s is %s, expected rows of %llu %s", what,
                    vmt_tensor_describe(t, text, sizeof text), (unsigned long long)cols,
                    vmt_dtype_get(dtype)->name);
}

static vmt_status check(const vmt_gpu_matmul_args *args, vmt_err *err) {
    VMT_TRY(check_weights(args, err));
    bool has_norm = args->norm_weight.buffer != NULL, is_gated = args->kind == VMT_GPU_MATMUL_GATED;
    uint32_t cols = args->weights[0].cols, rows = sum_rows(args);
    VMT_TRY(check_rows(&args->x, has_norm ? VMT_F32 : args->type, cols, "x", err));
    VMT_TRY(check_rows(&args->out, is_float_out(args->kind) ? VMT_F32 : args->type, is_gated ? rows / 2 : rows,
                       "out", err));
    VMT_TRY(check_vector(&args->norm_weight, VMT_F32, cols, "norm_weight", err));
    VMT_TRY(check_vector(&args->row_ids, VMT_I32, 1, "row_ids", err));
    VMT_TRY(check_vector(&args->bias, VMT_F32, rows, "bias", err));
    if (args->x.shape[1] % 8 != 0 || args->x.offset % 16 != 0 || args->norm_weight.offset % 16 != 0) {
        return vmt_fail(err, VMT_E_INVALID,
                        "matmul: rows of x must start on multiples of 8 elements and 16 bytes");
    }
    if (args->rows_max == 0 || (has_norm && args->rows_max > VMT_GPU_MATMUL_NORM_ROWS)) {
        return vmt_fail(err, VMT_E_INVALID, "matmul: %u rows%s", args->rows_max,
                        has_norm ? " with the norm fused" : "");
    }
    return VMT_OK;
}

/* ---- plan */

/* Which kernel for how many rows of x.  A block: the rows of W that a simdgroup of matvec, or a threadgroup, has. */
static const struct regime {
    const char *kernel;
    uint32_t rows_max; /* of x, that it is the best for */
    uint32_t block_rows, blocks_per_group, x_rows_per_group;
} regimes[] = {
    {"matvec", 1, VMT_MATVEC_ROWS, VMT_MATVEC_SIMDGROUPS, 1},
    {"matmul_few", 16, VMT_MATMUL_FEW_ROWS, 1, VMT_MATMUL_FEW_X_ROWS},
    {"matmul_tiled", UINT32_MAX, VMT_MATMUL_TILED_ROWS, 1, VMT_MATMUL_TILED_X_ROWS},
};

#define NUM_REGIMES VMT_COUNT(regimes)

/* The best regime first, then those that do as well: few rows before one, and tiles where no norm has to be fused. */
static uint32_t rank_regimes(const vmt_gpu_matmul_args *args, const struct regime *out[NUM_REGIMES]) {
    bool has_norm = args->norm_weight.buffer != NULL;
    uint32_t best = 0, num = 0;
    while (args->rows_max > regimes[best].rows_max) best++;
    out[num++] = &regimes[best];
    if (best != 1) out[num++] = &regimes[1];
    if (best != 0) out[num++] = &regimes[0];
    if (best != 2 && !has_norm) out[num++] = &regimes[2];
    return num;
}

static uint32_t blocks_of(uint32_t rows, uint32_t block_rows) {
    return (rows + block_rows - 1) / block_rows;
}

/* Weights [begin, end) of args, which are alike. */
static vmt_matmul_kargs make_kargs(const vmt_gpu_matmul_args *args, const struct regime *regime, uint32_t begin,
                                   uint32_t end) {
    const vmt_gpu_weight *w = &args->weights[begin];
    uint32_t n = end - begin;
    bool is_gated = args->kind == VMT_GPU_MATMUL_GATED;
    uint32_t block_rows = is_gated ? regime->block_rows / 2 : regime->block_rows;
    size_t row_bytes = 0;
    bool fits = vmt_dtype_row_bytes(w->data.dtype, w->data.shape[1], &row_bytes);
    VMT_ASSERT(fits && row_bytes <= UINT32_MAX);
    vmt_matmul_kargs k = {
        .num_rows = args->rows_max,
        .cols = w->cols,
        .row_bytes = (uint32_t)row_bytes,
        .group_shift = w->group_size ? (uint32_t)__builtin_ctz(w->group_size) : 0,
        .rows_0 = w[0].rows,
        .rows_1 = n > 1 ? w[1].rows : 0,
        .rows_2 = n > 2 ? w[2].rows : 0,
        .x_stride = (uint32_t)args->x.shape[1],
        .out_stride = (uint32_t)args->out.shape[1],
        .kind = (uint32_t)args->kind,
        .flags = (args->norm_weight.buffer ? VMT_MATMUL_HAS_NORM : 0) |
                 (args->row_ids.buffer ? VMT_MATMUL_HAS_ROW_IDS : 0) |
                 (args->bias.buffer ? VMT_MATMUL_HAS_BIAS : 0),
        .act = (uint32_t)args->act,
        .norm_eps = args->norm_eps,
        .scale = args->scale,
    };
    for (uint32_t i = 0; i < begin; i++) k.out_column += args->weights[i].rows;
    k.begin_1 = blocks_of(k.rows_0, block_rows);
    k.begin_2 = is_gated ? k.begin_1 : k.begin_1 + blocks_of(k.rows_1, block_rows);
    k.num_blocks = k.begin_2 + blocks_of(k.rows_2, block_rows);
    return k;
}

/* Absent tensors are bound to one that is there, and not looked at. */
static void bind(const vmt_gpu_matmul_args *args, uint32_t begin, uint32_t end, vmt_tensor buffers[NUM_BUFFERS]) {
    for (uint32_t i = 0; i < VMT_GPU_MATMUL_WEIGHTS_MAX; i++) {
        const vmt_gpu_weight *w = &args->weights[begin + i < end ? begin + i : begin];
        buffers[i] = w->data;
        buffers[3 + i] = w->scales.buffer ? w->scales : w->data;
        buffers[6 + i] = w->biases.buffer ? w->biases : w->data;
    }
    buffers[9] = buffers[10] = args->x;
    buffers[11] = args->norm_weight.buffer ? args->norm_weight : args->x;
    buffers[12] = args->row_ids.buffer ? args->row_ids : args->x;
    buffers[13] = args->bias.buffer ? args->bias : args->x;
    buffers[14] = args->out;
}

static vmt_status record_regime(vmt_gpu_program *program, const vmt_gpu_matmul_args *args,
                                const struct regime *regime, uint32_t begin, uint32_t end, vmt_err *err) {
    vmt_matmul_kargs kargs = make_kargs(args, regime, begin, end);
    char name[64];
    vmt_gpu_op op = {
        .kernel = vmt_gpu_weight_kernel(regime->kernel, &args->weights[begin], args->type, name, sizeof name),
        .num_buffers = NUM_BUFFERS,
        .args = &kargs,
        .args_bytes = sizeof kargs,
        .grid = {blocks_of(kargs.num_blocks, regime->blocks_per_group),
                 blocks_of(args->rows_max, regime->x_rows_per_group), 1},
        .count = args->count,
        .axis = 1,
        .per_group = regime->x_rows_per_group,
    };
    bind(args, begin, end, op.buffers);
    for (uint32_t i = begin; i < end; i++) op.bytes_read += vmt_matrix_bytes(&args->weights[i]);
    return vmt_gpu_program_add(program, &op, err);
}

/* In the best regime whose kernel works on this device. */
static vmt_status record(vmt_gpu_program *program, const vmt_gpu_matmul_args *args, uint32_t begin, uint32_t end,
                         vmt_err *err) {
    const struct regime *ranked[NUM_REGIMES];
    uint32_t num = rank_regimes(args, ranked);
    vmt_err why = {0};
    vmt_status status = record_regime(program, args, ranked[0], begin, end, &why);
    for (uint32_t i = 1; i < num && status == VMT_E_UNSUPPORTED; i++) {
        status = record_regime(program, args, ranked[i], begin, end, NULL);
    }
    return status == VMT_OK ? VMT_OK : vmt_fail(err, status, "%s", why.msg);
}

vmt_status vmt_gpu_matmul(vmt_gpu_program *program, const vmt_gpu_matmul_args *args, vmt_err *err) {
    VMT_TRY(check(args, err));
    for (uint32_t begin = 0, end; begin < args->num_weights; begin = end) {
        for (end = begin + 1; end < args->num_weights; end++) {
            if (!vmt_gpu_weights_alike(&args->weights[begin], &args->weights[end])) break;
        }
        VMT_TRY(record(program, args, begin, end, err));
    }
    return VMT_OK;
}
