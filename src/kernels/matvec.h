/* kernels/matvec.h: what matvec and matvec_staged share. */
#ifndef VMT_KERNELS_MATVEC_H
#define VMT_KERNELS_MATVEC_H

#include "kernels/matmul.h"

struct matvec_weights {
    const device uchar *data_0, *data_1, *data_2, *scales_0, *scales_1, *scales_2, *biases_0, *biases_1, *biases_2;
};

/* matmul_had() of the block's row r. */
METAL_FUNC float matvec_had(constant vmt_matmul_kargs &args, matmul_block block, uint r, const device uchar *out,
                            uint x_row) {
    uint row = block.first_row + r;
    return row < block.num_rows ? matmul_had(args, out, x_row, block.out_column + row) : 0.0f;
}

/* The simdgroups' sums of a block, partials [SIMDGROUPS, ROWS], added up for its row r, which in a gated block is one
 * of the first half.  squares: the sum over hidden, if there is a norm: x was taken as a 64th of itself then.  had:
 * matvec_had(). */
template <typename T, uint ROWS, uint SIMDGROUPS>
METAL_FUNC void matvec_finish(constant vmt_matmul_kargs &args, matmul_block block,
                              const threadgroup float *partials, uint r, float squares, float had,
                              const device float *bias, device uchar *out, uint x_row) {
    bool has_norm = (args.flags & VMT_MATMUL_HAS_NORM) != 0;
    uint row = block.first_row + r, column = block.out_column + row;
    if (row >= block.num_rows) return;
    float total = 0.0f, up = 0.0f;
    for (uint s = 0; s < SIMDGROUPS; s++) {
        total += partials[s * ROWS + r];
        up += partials[s * ROWS + r % (ROWS / 2) + ROWS / 2];
    }
    float norm_scale = has_norm ? 64.0f * matmul_norm_scale(args, squares) : 1.0f;
    total = fma(total, norm_scale, matmul_bias(args, bias, column));
    if (args.kind == VMT_MATMUL_GATED) {
        up = fma(up, norm_scale, matmul_bias(args, bias, column + args.rows_0));
        total = activate(total, args.act) * up;
    }
    matmul_store<T>(args, out, x_row, column, total, had);
}

#endif
