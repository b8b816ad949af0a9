/* kernels/matmul_kargs.h: arguments of matvec, matmul_few and matmul_tiled.  Read by the host and by kernels.
 *
 * Rows of the weights are dealt out in blocks; blocks of weights[1] begin at begin_1, of weights[2] at begin_2, and
 * num_blocks is the end.  A gated block has as many rows of gate as of up. */
#ifndef VMT_KERNELS_MATMUL_KARGS_H
#define VMT_KERNELS_MATMUL_KARGS_H

#define VMT_MATMUL_STORE    0u /* out = scale * v */
#define VMT_MATMUL_RESIDUAL 1u /* out += scale * v, in floats */
#define VMT_MATMUL_GATED    2u /* out = act(v of gate) * v of up */
#define VMT_MATMUL_LOGITS   3u /* out = scale * v, in floats */

#define VMT_MATMUL_HAS_NORM    1u /* x is hidden * norm_weight, and v is multiplied by 1 / rms(hidden) */
#define VMT_MATMUL_HAS_ROW_IDS 2u
#define VMT_MATMUL_HAS_BIAS    4u

/* Rows of W in a block, which is a threadgroup's work; matvec walks several.  Where a row has no more columns than
 * NARROW_COLS, a simdgroup of matvec spans it alone, and each of 4 has its blocks.  matvec_staged takes whole parts
 * of STAGED_COLS columns, MLX's in groups of STAGED_GROUP. */
#define VMT_MATVEC_ROWS          8u
#define VMT_MATVEC_NARROW_ROWS   4u
#define VMT_MATVEC_NARROW_COLS   1024u
#define VMT_MATVEC_NARROW_BLOCKS 4u /* that a threadgroup has at a time */
#define VMT_MATVEC_STAGED_COLS   1024u
#define VMT_MATVEC_STAGED_GROUP  64u
#define VMT_MATMUL_FEW_ROWS      16u
#define VMT_MATMUL_TILED_ROWS    64u
/* Rows of x that a threadgroup takes. */
#define VMT_MATMUL_FEW_X_ROWS   16u
#define VMT_MATMUL_TILED_X_ROWS 64u

typedef struct vmt_matmul_kargs {
    uint32_t num_rows; /* of x; a step's count */
    uint32_t cols;
    uint32_t row_bytes;              /* of W's data */
    uint32_t group_shift;            /* MLX: log2 of the group's size */
    uint32_t rows_0, rows_1, rows_2; /* of the weights */
    uint32_t begin_1, begin_2, num_blocks;
    uint32_t x_stride, out_stride; /* elements */
    uint32_t out_column;           /* of weights[0]'s first row in a row of out, and in bias */
    uint32_t kind, flags, act;     /* act: as kernels/activation.h has them */
    float norm_eps, scale;
} vmt_matmul_kargs;

#endif
