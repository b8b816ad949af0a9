/* kernels/matmul.h: what matvec, matmul_few and matmul_tiled share: their buffers, which rows of which weight a block
 * has, how x is read, and what is done with a sum.
 *
 *   data_i, scales_i, biases_i   of up to three weights (tensor/matrix.h); an absent one is never read
 *   x          [.., x_stride]    T       unless VMT_MATMUL_HAS_NORM
 *   hidden     [.., x_stride]    float   with it: the residual stream, and
 *   norm_weight [cols]           float
 *   row_ids    [num_rows]        int     row i of x or hidden is the row_ids[i]th
 *   bias       [sum of rows]     float
 *   out        [.., out_stride]  T       STORE, GATED
 *                                float   RESIDUAL, LOGITS
 *
 * A fused norm costs no pass of its own: x * norm_weight is multiplied, the squares of x are summed on the way, and the
 * sums are scaled at the end. */
#ifndef VMT_KERNELS_MATMUL_H
#define VMT_KERNELS_MATMUL_H

#include "kernels/activation.h"
#include "kernels/load.h"
#include "kernels/matmul_kargs.h"

/* A block's weight and its rows there. */
struct matmul_block {
    uint weight_idx, first_row, num_rows; /* num_rows: of the weight */
    uint out_column;                      /* of the weight's row 0 */
};

METAL_FUNC matmul_block matmul_find_block(constant vmt_matmul_kargs &args, uint block_idx, uint rows_per_block) {
    matmul_block b;
    b.weight_idx = block_idx < args.begin_1 ? 0 : block_idx < args.begin_2 ? 1 : 2;
    uint begin = b.weight_idx == 0 ? 0 : b.weight_idx == 1 ? args.begin_1 : args.begin_2;
    b.first_row = (block_idx - begin) * rows_per_block;
    b.num_rows = b.weight_idx == 0 ? args.rows_0 : b.weight_idx == 1 ? args.rows_1 : args.rows_2;
    b.out_column = args.out_column + (b.weight_idx > 0 ? args.rows_0 : 0) + (b.weight_idx > 1 ? args.rows_1 : 0);
    return b;
}

METAL_FUNC float matmul_norm_scale(constant vmt_matmul_kargs &args, float squares) {
    return (args.flags & VMT_MATMUL_HAS_NORM) != 0 ? precise::rsqrt(squares / float(args.cols) + args.norm_eps)
                                                   : 1.0f;
}

METAL_FUNC float matmul_bias(constant vmt_matmul_kargs &args, const device float *bias, uint column) {
    return (args.flags & VMT_MATMUL_HAS_BIAS) != 0 ? bias[column] : 0.0f;
}

/* What a residual is added to. */
METAL_FUNC float matmul_had(constant vmt_matmul_kargs &args, const device uchar *out, uint row, uint column) {
    ulong at = ulong(row) * args.out_stride + column;
    return args.kind == VMT_MATMUL_RESIDUAL ? ((const device float *)out)[at] : 0.0f;
}

/* v: the sum with its bias, of this row and column of out; had: matmul_had() of them. */
template <typename T>
METAL_FUNC void matmul_store(constant vmt_matmul_kargs &args, device uchar *out, uint row, uint column, float v,
                             float had) {
    ulong at = ulong(row) * args.out_stride + column;
    if (args.kind == VMT_MATMUL_RESIDUAL)
        ((device float *)out)[at] = had + args.scale * v;
    else if (args.kind == VMT_MATMUL_LOGITS)
        ((device float *)out)[at] = args.scale * v;
    else
        ((device T *)out)[at] = T(args.scale * v);
}
template <typename T>
METAL_FUNC void matmul_store(constant vmt_matmul_kargs &args, device uchar *out, uint row, uint column, float v) {
    matmul_store<T>(args, out, row, column, v, matmul_had(args, out, row, column));
}

#endif
