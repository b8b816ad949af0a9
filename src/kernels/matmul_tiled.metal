/* matmul_tiled: out = epilogue(x W^T) for many rows of x, in tiles.   reference: ops/gpu_matmul_test.c
 *
 * Buffers   kernels/matmul.h; the norm can't be fused, so hidden and norm_weight are never read.
 * Grid      threadgroups (num_blocks, ceil(num_rows / 64)); 4 simdgroups.  A block is 64 rows of one weight, or 32 of
 *           gate and the same 32 of up.  Simdgroup s has rows 32 (s / 2) .. + 32 of x; of the block's rows it has 16 at
 *           16 (s % 2) and 16 at 32 + 16 (s % 2), which makes gate and up of one output meet in one lane.
 * Memory    threadgroup: 32 columns of 64 rows of x and of W, dequantized to T; rows 8 elements apart in the banks.
 * Requires  cols a multiple of 8; x rows on 16 bytes.
 * Numerics  weights are rounded to T, sums are float. */
#include <metal_stdlib>
#include "kernels/frag.h"
#include "kernels/matmul.h"
#include "kernels/matmul_instances.h"
using namespace metal;

constant constexpr uint TILE_COLS = 32;   /* along k */
constant constexpr uint TILE_STRIDE = 40;

template <typename F, typename T>
[[kernel, max_total_threads_per_threadgroup(128)]]
void matmul_tiled(const device uchar *data_0 [[buffer(0)]],
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
                  uint tid [[thread_index_in_threadgroup]],
                  uint lane [[thread_index_in_simdgroup]],
                  uint sg [[simdgroup_index_in_threadgroup]]) {
    threadgroup T x_tile[VMT_MATMUL_TILED_X_ROWS * TILE_STRIDE];
    threadgroup T w_tile[VMT_MATMUL_TILED_ROWS * TILE_STRIDE];
    const uint HALF = VMT_MATMUL_TILED_ROWS / 2;
    bool is_gated = args.kind == VMT_MATMUL_GATED;
    matmul_block block = matmul_find_block(args, tg.x, is_gated ? HALF : VMT_MATMUL_TILED_ROWS);

    /* Each thread fills 16 columns of one row of both tiles. */
    uint tile_row = tid / 2, tile_col = tid % 2 * 16, first_x = tg.y * VMT_MATMUL_TILED_X_ROWS;
    uint weight = is_gated ? tile_row / HALF : block.weight_idx;
    uint w_row = block.first_row + (is_gated ? tile_row % HALF : tile_row);
    F row;
    row.open(weight == 0 ? data_0 : weight == 1 ? data_1 : data_2,
             weight == 0 ? scales_0 : weight == 1 ? scales_1 : scales_2,
             weight == 0 ? biases_0 : weight == 1 ? biases_1 : biases_2, min(w_row, block.num_rows - 1),
             args.row_bytes, args.cols, args.group_shift);
    bool has_x = first_x + tile_row < args.num_rows;
    uint x_row = has_x ? first_x + tile_row : 0;
    if ((args.flags & VMT_MATMUL_HAS_ROW_IDS) != 0) x_row = uint(row_ids[x_row]);
    const device T *x_from = x + ulong(x_row) * args.x_stride;
    threadgroup T *x_to = x_tile + tile_row * TILE_STRIDE + tile_col;
    threadgroup T *w_to = w_tile + tile_row * TILE_STRIDE + tile_col;

    frag_c sums[4]; /* [rows of x][gate, up] */
#pragma unroll
    for (uint i = 0; i < 4; i++) frag_fill(sums[i], 0.0f);
    for (uint k = 0; k < args.cols; k += TILE_COLS) {
        uint column = k + tile_col;
        threadgroup_barrier(mem_flags::mem_threadgroup);
        float w[16];
        if (column < args.cols) row.run(column, w);
#pragma unroll
        for (uint i = 0; i < 16; i += 4) {
            bool is_inside = column + i < args.cols;
            if (has_x && is_inside) {
                *(threadgroup vec<T, 4> *)(x_to + i) = *(const device vec<T, 4> *)(x_from + column + i);
            } else {
                store4(x_to + i, float4(0.0f));
            }
            store4(w_to + i, is_inside ? float4(w[i], w[i + 1], w[i + 2], w[i + 3]) : float4(0.0f));
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
#pragma unroll
        for (uint kk = 0; kk < TILE_COLS; kk += 16) {
            frag_a<T> a[2];
            frag_b<T> b[2];
            for (uint i = 0; i < 2; i++) {
                frag_load_a(a[i], x_tile + (sg / 2 * 32 + i * 16) * TILE_STRIDE + kk, TILE_STRIDE);
                frag_load_bt(b[i], w_tile + (i * HALF + sg % 2 * 16) * TILE_STRIDE + kk, TILE_STRIDE);
            }
            for (uint i = 0; i < 4; i++) frag_mma(sums[i], a[i / 2], b[i % 2]);
        }
    }

#pragma unroll
    for (uint m = 0; m < 2; m++) {
#pragma unroll
        for (uint i = 0; i < 8; i++) {
            uint out_row = first_x + sg / 2 * 32 + m * 16 + frag_row(lane, i);
            if (out_row >= args.num_rows) continue;
            uint n = block.first_row + sg % 2 * 16 + frag_col(lane, i);
            float low = frag_get(sums[2 * m], i), high = frag_get(sums[2 * m + 1], i);
            if (n < block.num_rows) {
                low += matmul_bias(args, bias, block.out_column + n);
                if (is_gated) {
                    high += matmul_bias(args, bias, block.out_column + n + args.rows_0);
                    low = activate(low, args.act) * high;
                }
                matmul_store<T>(args, out, out_row, block.out_column + n, low);
            }
            if (!is_gated && n + HALF < block.num_rows) {
                high += matmul_bias(args, bias, block.out_column + n + HALF);
                matmul_store<T>(args, out, out_row, block.out_column + n + HALF, high);
            }
        }
    }
}

// ---- instantiations
#define MATMUL_TILED(format, type, T)                                     \
    template [[host_name("matmul_tiled_" #format "_" #type)]] [[kernel]] \
    decltype(matmul_tiled<quant_##format<T>, T>) matmul_tiled<quant_##format<T>, T>;
VMT_MATMUL_FORMATS(MATMUL_TILED)
