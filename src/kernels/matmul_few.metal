/* matmul_few: out = epilogue(x W^T) for a few rows of x: each weight is dequantized once and used for all of them.
 *                                                                                reference: ops/gpu_matmul_test.c
 * Buffers   kernels/matmul.h.
 * Grid      threadgroups (ceil(num_blocks / 4), ceil(num_rows / 8)); 4 simdgroups, each has a block: 8 rows of one
 *           weight, or 4 of gate and the same 4 of up.  A simdgroup is 4 groups of 8 lanes; a group has 2 rows, its
 *           lane k takes segments k, k + 8, ... so that the four groups ask for the same addresses of x.
 * Memory    no threadgroup memory.  W is read once for 8 rows of x.
 * Requires  cols a whole number of segments; x and hidden rows on 16 bytes.
 * Numerics  float sums, as matvec. */
#include <metal_stdlib>
#include "kernels/matmul.h"
#include "kernels/matmul_instances.h"
using namespace metal;

template <typename F, typename T>
[[kernel, max_total_threads_per_threadgroup(VMT_MATVEC_SIMDGROUPS * 32)]]
void matmul_few(const device uchar *data_0 [[buffer(0)]],
                const device uchar *data_1 [[buffer(1)]],
                const device uchar *data_2 [[buffer(2)]],
                const device uchar *scales_0 [[buffer(3)]],
                const device uchar *scales_1 [[buffer(4)]],
                const device uchar *scales_2 [[buffer(5)]],
                const device uchar *biases_0 [[buffer(6)]],
                const device uchar *biases_1 [[buffer(7)]],
                const device uchar *biases_2 [[buffer(8)]],
                const device T *x [[buffer(9)]],
                const device float *hidden [[buffer(10)]],
                const device float *norm_weight [[buffer(11)]],
                const device int *row_ids [[buffer(12)]],
                const device float *bias [[buffer(13)]],
                device uchar *out [[buffer(14)]],
                constant vmt_matmul_kargs &args [[buffer(15)]],
                uint3 tg [[threadgroup_position_in_grid]],
                uint lane [[thread_index_in_simdgroup]],
                uint sg [[simdgroup_index_in_threadgroup]]) {
    const uint ROWS = VMT_MATMUL_FEW_ROWS / 4, X_ROWS = VMT_MATMUL_FEW_X_ROWS;
    uint block_idx = tg.x * VMT_MATVEC_SIMDGROUPS + sg;
    if (block_idx >= args.num_blocks) return;
    bool is_gated = args.kind == VMT_MATMUL_GATED, has_norm = (args.flags & VMT_MATMUL_HAS_NORM) != 0;
    matmul_block block =
        matmul_find_block(args, block_idx, is_gated ? VMT_MATMUL_FEW_ROWS / 2 : VMT_MATMUL_FEW_ROWS);
    uint k_lane = lane % 8, group_row = block.first_row + lane / 8 * (is_gated ? 1 : ROWS);

    F rows[ROWS];
#pragma unroll
    for (uint r = 0; r < ROWS; r++) {
        uint weight = is_gated ? r : block.weight_idx;
        uint row = min(group_row + (is_gated ? 0 : r), block.num_rows - 1);
        rows[r].open(weight == 0 ? data_0 : weight == 1 ? data_1 : data_2,
                     weight == 0 ? scales_0 : weight == 1 ? scales_1 : scales_2,
                     weight == 0 ? biases_0 : weight == 1 ? biases_1 : biases_2, row, args.row_bytes, args.cols,
                     args.group_shift);
    }
    uint first_x = tg.y * X_ROWS, num_x = min(args.num_rows - first_x, X_ROWS), x_rows[X_ROWS];
    float sums[ROWS * X_ROWS], squares[X_ROWS];
#pragma unroll
    for (uint m = 0; m < X_ROWS; m++) {
        uint row = first_x + min(m, num_x - 1);
        x_rows[m] = (args.flags & VMT_MATMUL_HAS_ROW_IDS) != 0 ? uint(row_ids[row]) : row;
        squares[m] = 0.0f;
        for (uint r = 0; r < ROWS; r++) sums[r * X_ROWS + m] = 0.0f;
    }

    for (uint segment = k_lane; segment < args.cols / F::VALUES; segment += 8) {
        const uint PART = F::VALUES / F::PARTS;
        float w[ROWS * F::VALUES];
#pragma unroll
        for (uint r = 0; r < ROWS; r++) {
            float scale[F::PARTS], offset[F::PARTS];
            rows[r].raw(segment, w + r * F::VALUES, scale, offset);
#pragma unroll
            for (uint i = 0; i < F::VALUES; i++) {
                float s = scale[i / PART] * F::factor(i), q = w[r * F::VALUES + i];
                w[r * F::VALUES + i] = F::HAS_BIAS ? fma(s, q, offset[i / PART]) : s * q;
            }
        }
#pragma unroll
        for (uint m = 0; m < X_ROWS; m++) {
            if (m >= num_x) continue;
            float v[F::VALUES];
            matmul_load_x<F, T>(args, x, hidden, norm_weight, ulong(x_rows[m]) * args.x_stride, segment, v,
                                &squares[m]);
#pragma unroll
            for (uint r = 0; r < ROWS; r++) {
                float sum = sums[r * X_ROWS + m];
                for (uint i = 0; i < F::VALUES; i++) sum = fma(w[r * F::VALUES + i], v[i], sum);
                sums[r * X_ROWS + m] = sum;
            }
        }
    }

    /* Over the 8 lanes of a group; then lane k of it has row k of x. */
#pragma unroll
    for (uint m = 0; m < X_ROWS; m++) {
        for (uint r = 0; r < ROWS; r++) {
            float sum = sums[r * X_ROWS + m];
            for (ushort step = 1; step < 8; step *= 2) sum += simd_shuffle_xor(sum, step);
            sums[r * X_ROWS + m] = sum;
        }
        if (has_norm) {
            for (ushort step = 1; step < 8; step *= 2) squares[m] += simd_shuffle_xor(squares[m], step);
        }
    }
#pragma unroll
    for (uint m = 0; m < X_ROWS; m++) {
        if (m != k_lane || m >= num_x) continue;
        float norm_scale = matmul_norm_scale(args, squares[m]);
        for (uint r = 0; r < (is_gated ? 1 : ROWS); r++) {
            uint row = group_row + r, column = block.out_column + row;
            if (row >= block.num_rows) continue;
            float v = fma(sums[r * X_ROWS + m], norm_scale, matmul_bias(args, bias, column));
            if (is_gated) {
                float up = fma(sums[X_ROWS + m], norm_scale, matmul_bias(args, bias, column + args.rows_0));
                v = activate(v, args.act) * up;
            }
            matmul_store<T>(args, out, first_x + m, column, v);
        }
    }
}

// ---- instantiations
#define MATMUL_FEW(format, type, T)                                     \
    template [[host_name("matmul_few_" #format "_" #type)]] [[kernel]] \
    decltype(matmul_few<quant_##format<T>, T>) matmul_few<quant_##format<T>, T>;
VMT_MATMUL_FORMATS(MATMUL_FEW)
