/* ops/gpu_matmul.h: out = epilogue(x W^T) on a GPU, with W read where the file has it.
 *
 * Up to three weights that read the same input run as one dispatch where their formats are alike, else as one for each
 * run of alike ones; their rows stand one after the other in a row of out.
 *
 *   T, the type of activations: F32, F16 or BF16, one per model.  An MLX matrix's scales and biases are of T.
 *
 * Three regimes, chosen by rows_max, the most rows that the program will be replayed with:
 *   1        matvec.metal        a threadgroup spans a row of W and walks them, x stays in registers
 *   2 .. 16  matmul_few.metal    weights are dequantized once for all rows of x, k shared out to simdgroups
 *   more     matmul_tiled.metal  tiles staged in threadgroup memory, 16x16 fragments
 * Every regime is right for any number of rows: rows_max is about speed.
 *
 * On a device whose vendor has a library for it (vmt_gpu_caps.has_gemm: matmul_tiled of plain weights is a call of it)
 * plain weights of T go there from two rows on, others are dequantized for it where there are more than 16.
 *
 * The engine's thread, while recording. */
#ifndef VMT_OPS_GPU_MATMUL_H
#define VMT_OPS_GPU_MATMUL_H

#include "backend/gpu_program.h"
#include "ops/elementwise.h"
#include "tensor/matrix.h"

/* A matrix whose tensors lie in buffers of the GPU (wrapped maps, or copies). */
typedef vmt_matrix vmt_gpu_weight;

#define VMT_GPU_MATMUL_WEIGHTS_MAX 3u
#define VMT_GPU_MATMUL_NORM_ROWS   16u /* the norm can be fused when rows_max is at most this */
#define VMT_GPU_MATMUL_SCRATCH_MAX \
    ((size_t)256 << 20) /* bytes that weights are dequantized into, a piece at a time */

typedef enum vmt_gpu_matmul_kind {
    VMT_GPU_MATMUL_STORE,    /* out[T] = scale * (x W^T + bias) */
    VMT_GPU_MATMUL_RESIDUAL, /* out[F32] += scale * (x W^T + bias) */
    VMT_GPU_MATMUL_GATED,    /* out[T] = act(x W0^T + bias) * (x W1^T + bias): gate is weights[0], up weights[1] */
    VMT_GPU_MATMUL_LOGITS,   /* out[F32] = scale * (x W^T + bias) */
} vmt_gpu_matmul_kind;

typedef struct vmt_gpu_matmul_args {
    vmt_gpu_weight weights[VMT_GPU_MATMUL_WEIGHTS_MAX]; /* of equal cols */
    uint32_t num_weights;
    vmt_dtype type; /* T */

    /* With a norm weight x is the residual stream, F32, and x * rsqrt(mean(x^2) + eps) * norm_weight is multiplied. */
    vmt_tensor x;           /* T, or F32 with a norm: [rows, stride], stride >= cols and a multiple of 8 */
    vmt_tensor norm_weight; /* F32 [cols]; buffer NULL: x is ready */
    float norm_eps;
    vmt_tensor row_ids; /* I32 [rows]: row i of x is x[row_ids[i]]; buffer NULL: it is x[i] */
    vmt_tensor bias;    /* F32 [sum of the weights' rows]; buffer NULL: none */

    vmt_gpu_matmul_kind kind;
    vmt_activation act; /* GATED */
    float scale;        /* 1 usually */
    vmt_tensor out;     /* [rows, stride]: the weights' rows one after the other; GATED: weights[0].rows wide */

    vmt_tensor
        scratch; /* T [1, elements]: what a library multiplies is dequantized here; buffer NULL: nothing is */

    vmt_step_count count; /* VMT_COUNT_TOKENS or VMT_COUNT_LOGITS; VMT_COUNT_FIXED: rows_max rows */
    uint32_t rows_max;
} vmt_gpu_matmul_args;

/* What the kernels need of a weight, said as an error: a format they know, cols in whole groups, tensors that start on
 * vmt_gpu_weight_alignment() bytes of their buffer, MLX scales of T. */
vmt_status vmt_gpu_weight_check(const vmt_gpu_weight *weight, vmt_dtype type, vmt_err *err);
/* Bytes that the matrix's tensors must start on in a buffer (every buffer starts on 16).  A tensor which a file has
 * elsewhere must be copied: the loads of a kernel are as wide as this. */
uint32_t vmt_gpu_weight_alignment(const vmt_gpu_weight *weight);
/* One dispatch can take both.  GATED demands it of gate and up; where they differ use two plain matmuls and the
 * activation op. */
bool vmt_gpu_weights_alike(const vmt_gpu_weight *a, const vmt_gpu_weight *b);

/* A library multiplies these where the op has neither a norm nor a gate nor picked rows: the caller then does these
 * apart.  Weights of another type than T need args.scratch for it, of so many bytes; 0: nothing is made plain. */
bool vmt_gpu_matmul_has_library(vmt_gpu *gpu, const vmt_gpu_weight *weights, uint32_t num_weights, vmt_dtype type,
                                uint32_t rows_max);
size_t vmt_gpu_matmul_scratch_bytes(vmt_gpu *gpu, const vmt_gpu_weight *weights, uint32_t num_weights,
                                    vmt_dtype type, uint32_t rows_max);

/* "matvec_mlx4_bf16" for "matvec", into out.  The weight has been checked. */
const char *vmt_gpu_weight_kernel(const char *kernel, const vmt_gpu_weight *weight, vmt_dtype type, char *out,
                                  size_t cap);

/* Records the dispatches.  VMT_E_INVALID and VMT_E_UNSUPPORTED say what does not fit. */
vmt_status vmt_gpu_matmul(vmt_gpu_program *program, const vmt_gpu_matmul_args *args, vmt_err *err);

#endif
