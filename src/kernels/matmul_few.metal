/* matmul_few: out = epilogue(x W^T) for up to 16 rows of x at a time: each weight is read and dequantized once for all
 * of them.                                                                    reference: ops/gpu_matmul_test.c
 *
 * Buffers   kernels/matmul.h.
 * Grid      threadgroups (num_blocks, ceil(num_rows / 16)).  A block is 16 rows of one weight, or 8 of gate and the
 *           same 8 of up.  The 4 simdgroups share out k: simdgroup s has columns 128 i + 32 s .. + 32, multiplies them
 *           in one fragment, and the four fragments are added up at the end.
 * Memory    threadgroup: 32 columns of 16 rows of x and of W, dequantized to T, for each simdgroup; the four fragments.
 *           The next columns are loaded while these are multiplied.
 * Requires  cols a multiple of 8; x and hidden rows on 16 bytes.
 * Numerics  weights are rounded to T, sums are float.  With a norm x * norm_weight is rounded to T as a 64th, so that
 *           the residual stream's outliers stay within half's range. */
#include <metal_stdlib>
#include "kernels/frag.h"
#include "kernels/matmul.h"
#include "kernels/matmul_instances.h"
using namespace metal;

constant constexpr uint FEW_SIMDGROUPS = 4;
constant constexpr uint FEW_COLS = 32;       /* of a simdgroup's tiles */
constant constexpr uint FEW_STRIDE = 40;     /* of their rows */
constant constexpr uint FEW_SUM_STRIDE = 20; /* of a fragment's rows */

/* 16 columns of a row of x, zeros past cols. */
template <typename T>
METAL_FUNC void few_load_x(constant vmt_matmul_kargs &args, const device T *x, const device float *hidden,
                           const device float *norm_weight, ulong row_base, uint column, thread vec<T, 4> *values,
                           thread float *squares) {
    bool has_norm = (args.flags & VMT_MATMUL_HAS_NORM) != 0;
#pragma unroll
    for (uint i = 0; i < 4; i++) {
        uint at = column + 4 * i;
        if (at >= args.cols) {
            values[i] = vec4_cast<T>(float4(0.0f));
        } else if (has_norm) {
            float4 h = load4(hidden + row_base + at), w = load4(norm_weight + at);
            *squares += h.x * h.x + h.y * h.y + h.z * h.z + h.w * h.w;
            values[i] = vec4_cast<T>(h * w * 0.015625f);
        } else {
            values[i] = *(const device vec<T, 4> *)(x + row_base + at);
        }
    }
}

template <typename F, typename T>
[[kernel, max_total_threads_per_threadgroup(128)]]
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
                uint tid [[thread_index_in_threadgroup]],
                uint lane [[thread_index_in_simdgroup]],
                uint sg [[simdgroup_index_in_threadgroup]]) {
    threadgroup T x_tiles[FEW_SIMDGROUPS * 16 * FEW_STRIDE];
    threadgroup T w_tiles[FEW_SIMDGROUPS * 16 * FEW_STRIDE];
    threadgroup float sums[FEW_SIMDGROUPS * 16 * FEW_SUM_STRIDE];
    threadgroup float row_squares[FEW_SIMDGROUPS * 16];
    const uint ROWS = VMT_MATMUL_FEW_ROWS, X_ROWS = VMT_MATMUL_FEW_X_ROWS;
    bool is_gated = args.kind == VMT_MATMUL_GATED, has_norm = (args.flags & VMT_MATMUL_HAS_NORM) != 0;
    uint block_rows = is_gated ? ROWS / 2 : ROWS;
    matmul_block block = matmul_find_block(args, tg.x, block_rows);

    /* Each lane fills 16 columns of one row of both of its simdgroup's tiles. */
    uint tile_row = lane / 2, tile_col = lane % 2 * 16, first_x = tg.y * X_ROWS;
    uint weight = is_gated ? tile_row / block_rows : block.weight_idx;
    uint w_row = min(block.first_row + tile_row % block_rows, block.num_rows - 1);
    F row;
    row.open(weight == 0 ? data_0 : weight == 1 ? data_1 : data_2,
             weight == 0 ? scales_0 : weight == 1 ? scales_1 : scales_2,
             weight == 0 ? biases_0 : weight == 1 ? biases_1 : biases_2, w_row, args.row_bytes, args.cols,
             args.group_shift);
    bool has_x = first_x + tile_row < args.num_rows;
    uint x_row = has_x ? first_x + tile_row : 0;
    if ((args.flags & VMT_MATMUL_HAS_ROW_IDS) != 0) x_row = uint(row_ids[x_row]);
    ulong x_base = ulong(x_row) * args.x_stride;
    threadgroup T *x_tile = x_tiles + sg * 16 * FEW_STRIDE, *w_tile = w_tiles + sg * 16 * FEW_STRIDE;
    uint tile_at = tile_row * FEW_STRIDE + tile_col;

    frag_c sum;
    frag_fill(sum, 0.0f);
    float w[16], squares = 0.0f;
    vec<T, 4> v[4];
#pragma unroll
    for (uint i = 0; i < 16; i++) w[i] = 0.0f;
#pragma unroll
    for (uint i = 0; i < 4; i++) v[i] = vec4_cast<T>(float4(0.0f));
    uint column = sg * FEW_COLS + tile_col;
    if (column < args.cols) row.run(column, w);
    if (has_x) few_load_x<T>(args, x, hidden, norm_weight, x_base, column, v, &squares);
    for (uint k = 0; k < args.cols; k += FEW_SIMDGROUPS * FEW_COLS) {
#pragma unroll
        for (uint i = 0; i < 4; i++) {
            *(threadgroup vec<T, 4> *)(x_tile + tile_at + 4 * i) = v[i];
            store4(w_tile + tile_at + 4 * i, float4(w[4 * i], w[4 * i + 1], w[4 * i + 2], w[4 * i + 3]));
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        column += FEW_SIMDGROUPS * FEW_COLS;
        if (column < args.cols) {
            row.run(column, w);
        } else {
#pragma unroll
            for (uint i = 0; i < 16; i++) w[i] = 0.0f;
        }
        if (has_x) few_load_x<T>(args, x, hidden, norm_weight, x_base, column, v, &squares);
#pragma unroll
        for (uint kk = 0; kk < FEW_COLS; kk += 16) {
            frag_a<T> a;
            frag_b<T> b;
            frag_load_a(a, x_tile + kk, FEW_STRIDE);
            frag_load_bt(b, w_tile + kk, FEW_STRIDE);
            frag_mma(sum, a, b);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }

    frag_store(sum, sums + sg * 16 * FEW_SUM_STRIDE, FEW_SUM_STRIDE, lane);
    squares += simd_shuffle_xor(squares, 1);
    if (lane % 2 == 0) row_squares[sg * 16 + tile_row] = squares;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint i = tid; i < X_ROWS * block_rows; i += 128) {
        uint m = i / block_rows, n = i % block_rows, out_row = first_x + m, out_n = block.first_row + n;
        if (out_row >= args.num_rows || out_n >= block.num_rows) continue;
        float total = 0.0f, up = 0.0f, all_squares = 0.0f;
        for (uint s = 0; s < FEW_SIMDGROUPS; s++) {
            total += sums[(s * 16 + m) * FEW_SUM_STRIDE + n];
            up += sums[(s * 16 + m) * FEW_SUM_STRIDE + n % 8 + 8];
            all_squares += row_squares[s * 16 + m];
        }
        float scale = has_norm ? 64.0f * matmul_norm_scale(args, all_squares) : 1.0f;
        uint at = block.out_column + out_n;
        total = fma(total, scale, matmul_bias(args, bias, at));
        if (is_gated) {
            up = fma(up, scale, matmul_bias(args, bias, at + args.rows_0));
            total = activate(total, args.act) * up;
        }
        matmul_store<T>(args, out, out_row, at, total);
    }
}

// ---- instantiations
#define MATMUL_FEW(format, type, T)                                     \
    template [[host_name("matmul_few_" #format "_" #type)]] [[kernel]] \
    decltype(matmul_few<quant_##format<T>, T>) matmul_few<quant_##format<T>, T>;
VMT_MATMUL_FORMATS(MATMUL_FEW)
