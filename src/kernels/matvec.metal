/* matvec: out = epilogue(W x) for one row of x at a time.   reference: ops/gpu_matmul_test.c
 *
 * Buffers   kernels/matmul.h.
 * Math      sums of scale * (q . x') + bias * sum(x) over segments, where x' is x times the segment's factors.
 * Grid      threadgroups (ceil(num_blocks / 4), num_rows); 4 simdgroups, each has a block: 4 rows of one weight, or 2
 *           of gate and the same 2 of up.  Lane l takes segments l, l + 32, ...
 * Memory    no threadgroup memory.  W is read once, x once by every simdgroup.
 * Requires  cols a whole number of segments; x and hidden rows on 16 bytes.
 * Numerics  float sums.  Within the type's own rounding of the reference: x is read as T, out is rounded to T. */
#include <metal_stdlib>
#include "kernels/matmul.h"
#include "kernels/matmul_instances.h"
using namespace metal;

template <typename F, typename T>
[[kernel, max_total_threads_per_threadgroup(VMT_MATVEC_SIMDGROUPS * 32)]]
void matvec(const device uchar *data_0 [[buffer(0)]],
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
    const uint ROWS = VMT_MATVEC_ROWS;
    uint block_idx = tg.x * VMT_MATVEC_SIMDGROUPS + sg;
    if (block_idx >= args.num_blocks) return;
    bool is_gated = args.kind == VMT_MATMUL_GATED;
    matmul_block block = matmul_find_block(args, block_idx, is_gated ? ROWS / 2 : ROWS);

    F rows[ROWS];
#pragma unroll
    for (uint r = 0; r < ROWS; r++) {
        uint weight = is_gated ? r / (ROWS / 2) : block.weight_idx;
        uint row = min(block.first_row + (is_gated ? r % (ROWS / 2) : r), block.num_rows - 1);
        rows[r].open(weight == 0 ? data_0 : weight == 1 ? data_1 : data_2,
                     weight == 0 ? scales_0 : weight == 1 ? scales_1 : scales_2,
                     weight == 0 ? biases_0 : weight == 1 ? biases_1 : biases_2, row, args.row_bytes, args.cols,
                     args.group_shift);
    }
    uint x_row = (args.flags & VMT_MATMUL_HAS_ROW_IDS) != 0 ? uint(row_ids[tg.y]) : tg.y;
    ulong x_base = ulong(x_row) * args.x_stride;

    float sums[ROWS] = {0.0f, 0.0f, 0.0f, 0.0f}, squares = 0.0f;
    for (uint segment = lane; segment < args.cols / F::VALUES; segment += 32) {
        const uint PART = F::VALUES / F::PARTS;
        float v[F::VALUES], part_sums[F::PARTS];
        matmul_load_x<F, T>(args, x, hidden, norm_weight, x_base, segment, v, &squares);
#pragma unroll
        for (uint p = 0; p < F::PARTS; p++) {
            part_sums[p] = 0.0f;
            for (uint i = p * PART; i < (p + 1) * PART; i++) {
                part_sums[p] += v[i];
                v[i] *= F::factor(i);
            }
        }
#pragma unroll
        for (uint r = 0; r < ROWS; r++) {
            float q[F::VALUES], scale[F::PARTS], offset[F::PARTS];
            rows[r].raw(segment, q, scale, offset);
#pragma unroll
            for (uint p = 0; p < F::PARTS; p++) {
                float dot = 0.0f;
                for (uint i = p * PART; i < (p + 1) * PART; i++) dot = fma(q[i], v[i], dot);
                sums[r] = fma(scale[p], dot, sums[r]);
                if (F::HAS_BIAS) sums[r] = fma(offset[p], part_sums[p], sums[r]);
            }
        }
    }
    for (uint r = 0; r < ROWS; r++) sums[r] = simd_sum(sums[r]);
    float norm_scale = matmul_norm_scale(args, (args.flags & VMT_MATMUL_HAS_NORM) != 0 ? simd_sum(squares) : 0.0f);
    if (lane != 0) return;
    for (uint r = 0; r < (is_gated ? ROWS / 2 : ROWS); r++) {
        uint row = block.first_row + r, column = block.out_column + row;
        if (row >= block.num_rows) return;
        float v = fma(sums[r], norm_scale, matmul_bias(args, bias, column));
        if (is_gated) {
            float up = fma(sums[r + ROWS / 2], norm_scale, matmul_bias(args, bias, column + args.rows_0));
            v = activate(v, args.act) * up;
        }
        matmul_store<T>(args, out, tg.y, column, v);
    }
}

// ---- instantiations
#define MATVEC(format, type, T)                                     \
    template [[host_name("matvec_" #format "_" #type)]] [[kernel]] \
    decltype(matvec<quant_##format<T>, T>) matvec<quant_##format<T>, T>;
VMT_MATMUL_FORMATS(MATVEC)
