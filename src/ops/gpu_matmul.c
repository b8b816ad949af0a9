/* ops/gpu_matmul.c: checks, the choice of a kernel, the deal of rows to threadgroups. */
#include "ops/gpu_matmul.h"
#include "kernels/matmul_kargs.h"
#include "ops/gpu_act.h"
#include "ops/gpu_dequantize.h"

#include <stdio.h>

#define NUM_BUFFERS 15u

/* A library multiplies plain weights by two rows of x and more; others, which it costs the same time to make plain for
 * few rows as for many, by more rows than matmul_few is for. */
#define FEW_ROWS_MAX 16u
#define PIECE_ROWS   64u /* of a weight that is made plain piece by piece: a multiple of it */

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
    {"q4_k", VMT_Q4_K, 0, false, 256, 16}, {"q5_k", VMT_Q5_K, 0, false, 256, 16},
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

/* Threadgroups of matvec, each of which reads x once and walks its blocks: enough to fill the largest GPU at hand. */
#define MATVEC_GROUPS_MAX 528u
/* Of matvec_staged: this many for each core, or one less where a core has fewer blocks to do then. */
#define MATVEC_STAGED_GROUPS_MAX 4u

/* Which kernel for how many rows of x.  A block: the rows of W that a threadgroup, or a part of it, has at a time. */
static const struct regime {
    const char *kernel;
    uint32_t rows_max; /* of x, that it is the best for */
    uint32_t block_rows, blocks_per_group, x_rows_per_group, groups_max;
} regimes[] = {
    {"matvec", 1, VMT_MATVEC_ROWS, 1, 1, MATVEC_GROUPS_MAX},
    {"matmul_few", FEW_ROWS_MAX, VMT_MATMUL_FEW_ROWS, 1, VMT_MATMUL_FEW_X_ROWS, UINT32_MAX},
    {"matmul_tiled", UINT32_MAX, VMT_MATMUL_TILED_ROWS, 1, VMT_MATMUL_TILED_X_ROWS, UINT32_MAX},
};
/* matvec where a row is short. */
static const struct regime narrow_matvec = {
    "matvec_narrow", 1, VMT_MATVEC_NARROW_ROWS, VMT_MATVEC_NARROW_BLOCKS, 1, MATVEC_GROUPS_MAX,
};

/* matvec where the device copies behind the kernel. */
static const struct regime staged_matvec = {
    "matvec_staged", 1, VMT_MATVEC_ROWS, 1, 1, MATVEC_STAGED_GROUPS_MAX,
};

#define NUM_REGIMES VMT_COUNT(regimes)

/* Weights [begin, end) of args, which are alike: a dispatch.  Their rows begin at this column of out. */
struct part {
    const vmt_gpu_matmul_args *args;
    uint32_t begin, end, column;
    bool is_library; /* made for it: tiles, of any number of rows */
};

static bool is_aligned(const vmt_tensor *t, size_t row_bytes) {
    return t->buffer == NULL || (t->offset % 16 == 0 && row_bytes % 16 == 0);
}

/* Whole parts, and rows in pieces of 16 bytes. */
static bool can_be_staged(const vmt_gpu *gpu, const struct part *part) {
    const vmt_gpu_weight *w = &part->args->weights[part->begin];
    char name[64];
    vmt_gpu_weight_kernel(staged_matvec.kernel, w, part->args->type, name, sizeof name);
    bool can = gpu->caps.has_async_copy && vmt_kernel_find(name) != NULL && w->cols > VMT_MATVEC_NARROW_COLS &&
               w->cols % VMT_MATVEC_STAGED_COLS == 0 && (w->bits == 0 || w->group_size == VMT_MATVEC_STAGED_GROUP);
    for (uint32_t i = part->begin; i < part->end && can; i++) {
        size_t row_bytes = 0, affine_bytes = w->group_size ? w->cols / w->group_size * 2 : 0;
        w = &part->args->weights[i];
        can = vmt_dtype_row_bytes(w->data.dtype, w->data.shape[1], &row_bytes) &&
              is_aligned(&w->data, row_bytes) && is_aligned(&w->scales, affine_bytes) &&
              is_aligned(&w->biases, affine_bytes);
    }
    return can;
}

/* The best regime first, then those that do as well: few rows before one, and tiles where no norm has to be fused. */
static uint32_t rank_regimes(const vmt_gpu *gpu, const struct part *part,
                             const struct regime *out[NUM_REGIMES + 1]) {
    bool has_norm = part->args->norm_weight.buffer != NULL;
    uint32_t best = part->is_library ? NUM_REGIMES - 1 : 0, num = 0;
    while (part->args->rows_max > regimes[best].rows_max) best++;
    if (best == 0 && can_be_staged(gpu, part)) out[num++] = &staged_matvec;
    out[num++] = &regimes[best];
    if (best != 1) out[num++] = &regimes[1];
    if (best != 0) out[num++] = &regimes[0];
    if (best != 2 && !has_norm) out[num++] = &regimes[2];
    return num;
}

static uint32_t blocks_of(uint32_t rows, uint32_t block_rows) {
    return (rows + block_rows - 1) / block_rows;
}

static vmt_matmul_kargs make_kargs(const struct part *part, const struct regime *regime) {
    const vmt_gpu_matmul_args *args = part->args;
    const vmt_gpu_weight *w = &args->weights[part->begin];
    uint32_t n = part->end - part->begin;
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
        .out_column = part->column,
        .kind = (uint32_t)args->kind,
        .flags = (args->norm_weight.buffer ? VMT_MATMUL_HAS_NORM : 0) |
                 (args->row_ids.buffer ? VMT_MATMUL_HAS_ROW_IDS : 0) |
                 (args->bias.buffer ? VMT_MATMUL_HAS_BIAS : 0),
        .act = (uint32_t)args->act,
        .norm_eps = args->norm_eps,
        .scale = args->scale,
    };
    k.begin_1 = blocks_of(k.rows_0, block_rows);
    k.begin_2 = is_gated ? k.begin_1 : k.begin_1 + blocks_of(k.rows_1, block_rows);
    k.num_blocks = k.begin_2 + blocks_of(k.rows_2, block_rows);
    return k;
}

/* Absent tensors are bound to one that is there, and not looked at. */
static void bind(const struct part *part, vmt_tensor buffers[NUM_BUFFERS]) {
    const vmt_gpu_matmul_args *args = part->args;
    for (uint32_t i = 0; i < VMT_GPU_MATMUL_WEIGHTS_MAX; i++) {
        const vmt_gpu_weight *w = &args->weights[part->begin + i < part->end ? part->begin + i : part->begin];
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

static uint32_t staged_groups(uint32_t num_cores, uint32_t num_blocks) {
    uint32_t most = MATVEC_STAGED_GROUPS_MAX, fewer = most - 1;
    uint64_t blocks = (uint64_t)blocks_of(num_blocks, num_cores * most) * most;
    bool is_fewer = (uint64_t)blocks_of(num_blocks, num_cores * fewer) * fewer < blocks;
    return num_cores * (is_fewer ? fewer : most);
}

static vmt_status record_regime(vmt_gpu_program *program, const struct part *part, const struct regime *regime,
                                vmt_err *err) {
    const vmt_gpu_matmul_args *args = part->args;
    if (regime == &regimes[0] && args->weights[part->begin].cols <= VMT_MATVEC_NARROW_COLS)
        regime = &narrow_matvec;
    vmt_matmul_kargs kargs = make_kargs(part, regime);
    uint32_t groups_max = regime->groups_max;
    if (regime == &staged_matvec)
        groups_max = staged_groups(vmt_gpu_program_gpu(program)->caps.num_cores, kargs.num_blocks);
    char name[64];
    vmt_gpu_op op = {
        .kernel =
            vmt_gpu_weight_kernel(regime->kernel, &args->weights[part->begin], args->type, name, sizeof name),
        .num_buffers = NUM_BUFFERS,
        .args = &kargs,
        .args_bytes = sizeof kargs,
        .grid = {VMT_MIN(blocks_of(kargs.num_blocks, regime->blocks_per_group), groups_max),
                 blocks_of(args->rows_max, regime->x_rows_per_group), 1},
        .is_spread = regime == &staged_matvec,
        .count = args->count,
        .axis = 1,
        .per_group = regime->x_rows_per_group,
    };
    bind(part, op.buffers);
    for (uint32_t i = part->begin; i < part->end; i++) op.bytes_read += vmt_matrix_bytes(&args->weights[i]);
    return vmt_gpu_program_add(program, &op, err);
}

/* In the best regime whose kernel works on this device. */
static vmt_status record(vmt_gpu_program *program, const struct part *part, vmt_err *err) {
    const struct regime *ranked[NUM_REGIMES + 1];
    uint32_t num = rank_regimes(vmt_gpu_program_gpu(program), part, ranked);
    vmt_err why = {0};
    vmt_status status = record_regime(program, part, ranked[0], &why);
    for (uint32_t i = 1; i < num && status == VMT_E_UNSUPPORTED; i++) {
        status = record_regime(program, part, ranked[i], NULL);
    }
    return status == VMT_OK ? VMT_OK : vmt_fail(err, status, "%s", why.msg);
}

/* One dispatch for each run of alike weights, from this column of out on. */
static vmt_status record_runs(vmt_gpu_program *program, const vmt_gpu_matmul_args *args, uint32_t column,
                              bool is_library, vmt_err *err) {
    struct part part = {args, 0, 0, column, is_library};
    for (; part.begin < args->num_weights; part.begin = part.end) {
        uint32_t rows = args->weights[part.begin].rows;
        for (part.end = part.begin + 1; part.end < args->num_weights; part.end++) {
            if (!vmt_gpu_weights_alike(&args->weights[part.begin], &args->weights[part.end])) break;
            rows += args->weights[part.end].rows;
        }
        VMT_TRY(record(program, &part, err));
        part.column += rows;
    }
    return VMT_OK;
}

/* ---- by a library */

static bool is_plain(const vmt_gpu_weight *w, vmt_dtype type) {
    return w->data.dtype == type;
}

static bool can_dequantize(vmt_gpu *gpu, const vmt_gpu_weight *w, vmt_dtype type) {
    char name[64];
    vmt_gpu_pipeline *pipeline;
    vmt_gpu_weight_kernel("dequantize", w, type, name, sizeof name);
    return vmt_gpu_pipeline_get(gpu, name, &pipeline, NULL) == VMT_OK;
}

bool vmt_gpu_matmul_has_library(vmt_gpu *gpu, const vmt_gpu_weight *weights, uint32_t num_weights, vmt_dtype type,
                                uint32_t rows_max) {
    bool can = gpu->caps.has_gemm && (type == VMT_F16 || type == VMT_BF16);
    for (uint32_t i = 0; i < num_weights && can; i++) {
        can = is_plain(&weights[i], type) ? rows_max > 1
                                          : rows_max > FEW_ROWS_MAX && can_dequantize(gpu, &weights[i], type);
    }
    return can;
}

size_t vmt_gpu_matmul_scratch_bytes(vmt_gpu *gpu, const vmt_gpu_weight *weights, uint32_t num_weights,
                                    vmt_dtype type, uint32_t rows_max) {
    size_t bytes = 0;
    if (!vmt_gpu_matmul_has_library(gpu, weights, num_weights, type, rows_max)) return 0;
    for (uint32_t i = 0; i < num_weights; i++) {
        if (is_plain(&weights[i], type)) continue;
        bytes += (size_t)weights[i].rows * weights[i].cols * vmt_dtype_get(type)->block_bytes;
    }
    return VMT_MIN(bytes, VMT_GPU_MATMUL_SCRATCH_MAX);
}

/* Rows of these columns that the scratch holds. */
static uint32_t room_of(const vmt_gpu_matmul_args *args) {
    uint64_t rows = vmt_tensor_elems(&args->scratch) / args->weights[0].cols;
    return args->scratch.buffer != NULL ? (uint32_t)VMT_MIN(rows, UINT32_MAX) : 0;
}

static bool goes_to_library(vmt_gpu *gpu, const vmt_gpu_matmul_args *args) {
    bool needs_room = false;
    for (uint32_t i = 0; i < args->num_weights; i++) {
        needs_room = needs_room || !is_plain(&args->weights[i], args->type);
    }
    if (args->kind == VMT_GPU_MATMUL_GATED || args->norm_weight.buffer || args->row_ids.buffer) return false;
    if (needs_room && room_of(args) == 0) return false;
    if (args->bias.buffer && (sum_rows(args) % 8 != 0 || args->out.shape[1] % 8 != 0)) return false;
    return vmt_gpu_matmul_has_library(gpu, args->weights, args->num_weights, args->type, args->rows_max);
}

/* What has been made plain and is not multiplied yet. */
struct pending {
    vmt_gpu_matmul_args args; /* of the caller, but for the weights */
    uint32_t rows;            /* of the scratch in use */
    uint32_t column;          /* of out, of the first weight */
};

static vmt_status flush(vmt_gpu_program *program, struct pending *p, vmt_err *err) {
    VMT_TRY(record_runs(program, &p->args, p->column, true, err));
    for (uint32_t i = 0; i < p->args.num_weights; i++) p->column += p->args.weights[i].rows;
    p->args.num_weights = p->rows = 0;
    return VMT_OK;
}

/* A weight in equal pieces, as few as the scratch allows; their columns of out begin on whole vectors. */
static vmt_status make_plain(vmt_gpu_program *program, struct pending *p, const vmt_gpu_weight *w, vmt_err *err) {
    uint32_t room = room_of(&p->args), num_pieces = blocks_of(w->rows, room);
    uint32_t piece_rows = VMT_MIN(room, blocks_of(blocks_of(w->rows, num_pieces), PIECE_ROWS) * PIECE_ROWS);
    for (uint32_t row = 0; row < w->rows; row += piece_rows) {
        uint32_t num_rows = VMT_MIN(piece_rows, w->rows - row);
        if (p->args.num_weights == VMT_GPU_MATMUL_WEIGHTS_MAX || num_rows > room - p->rows) {
            VMT_TRY(flush(program, p, err));
        }
        vmt_dtype type = p->args.type;
        size_t row_bytes = (size_t)w->cols * vmt_dtype_get(type)->block_bytes;
        size_t offset = p->args.scratch.offset + p->rows * row_bytes;
        vmt_gpu_dequantize_args dequantize = {
            .weight = *w,
            .first_row = row,
            .out = {p->args.scratch.buffer, offset, type, 2, {num_rows, w->cols}},
        };
        VMT_TRY(vmt_gpu_dequantize(program, &dequantize, err));
        p->args.weights[p->args.num_weights++] = vmt_matrix_of(&dequantize.out);
        p->rows += num_rows;
    }
    return VMT_OK;
}

static vmt_status record_library(vmt_gpu_program *program, const vmt_gpu_matmul_args *args, vmt_err *err) {
    struct pending p = {.args = *args};
    p.args.num_weights = 0;
    p.args.bias = (vmt_tensor){0};
    for (uint32_t i = 0; i < args->num_weights; i++) {
        const vmt_gpu_weight *w = &args->weights[i];
        if (!is_plain(w, args->type)) {
            VMT_TRY(make_plain(program, &p, w, err));
            continue;
        }
        if (p.args.num_weights == VMT_GPU_MATMUL_WEIGHTS_MAX) VMT_TRY(flush(program, &p, err));
        p.args.weights[p.args.num_weights++] = *w;
    }
    VMT_TRY(flush(program, &p, err));
    if (args->bias.buffer == NULL) return VMT_OK;
    vmt_gpu_add_bias_args bias = {
        .bias = args->bias, .out = args->out, .scale = args->scale, .count = args->count};
    bias.bias.ndim = 1;
    bias.bias.shape[0] = sum_rows(args);
    return vmt_gpu_add_bias(program, &bias, err);
}

vmt_status vmt_gpu_matmul(vmt_gpu_program *program, const vmt_gpu_matmul_args *args, vmt_err *err) {
    VMT_TRY(check(args, err));
    if (goes_to_library(vmt_gpu_program_gpu(program), args)) return record_library(program, args, err);
    return record_runs(program, args, 0, false, err);
}
