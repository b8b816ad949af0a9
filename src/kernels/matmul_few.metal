/* matmul_few: out = epilogue(x W^T) for up to 16 rows of x at a time: each weight is read and dequantized once for all
 * of them.                                                                    reference: ops/gpu_matmul_test.c
 *
 * Buffers   kernels/matmul.h.
 * Grid      threadgroups (num_blocks, ceil(num_rows / 16)).  A block is 16 rows of one weight, or 8 of gate and the
 *           same 8 of up.  The 4 simdgroups (2 for float) share out k: simdgroup s has the steps s, s + 4, ... of 128
 *           columns, and their fragments of sums are added up at the end.
 *
 *             step      0 .. 31     32 .. 63    64 .. 95    96 .. 127      columns: of four lanes in each of two rows,
 *             columns   4 f .. + 4  4 f .. + 4  4 f .. + 4  4 f .. + 4     which are 16 values of k for fragment f
 *
 *           What k a value is does not matter, as long as W and x agree: a lane's weights go from its registers into
 *           its elements of a fragment, and x is laid out to match.
 * Memory    threadgroup: a step of 16 rows of x as T for each simdgroup; the fragments of sums.
 * Requires  cols a multiple of 8; x, hidden and norm_weight rows on 16 bytes.
 * Numerics  weights are rounded to T, sums are float.  With a norm x * norm_weight is rounded to T as a 64th, so that
 *           the residual stream's outliers stay within half's range. */
#include <metal_stdlib>
#include "kernels/frag.h"
#include "kernels/matmul.h"
#include "kernels/matmul_instances.h"
using namespace metal;

constant constexpr uint FEW_COLS = 128;      /* of a step: 32 of each of a row's four lanes */
constant constexpr uint FEW_STRIDE = 136;    /* of a row of the tile */
constant constexpr uint FEW_SUM_STRIDE = 20; /* of a fragment's rows */

/* Columns 4 f .. + 4 of lane quarter q's 32 of a row of x, where the fragments have them. */
template <typename T> METAL_FUNC void few_put(threadgroup T *tile, uint r, uint f, uint q, vec<T, 4> v) {
    threadgroup T *to = tile + r * FEW_STRIDE + f * 16 + 2 * q;
    to[0] = v.x;
    to[1] = v.y;
    to[8] = v.z;
    to[9] = v.w;
}

METAL_FUNC ulong few_row(constant vmt_matmul_kargs &args, const device int *row_ids, uint row) {
    bool has_ids = (args.flags & VMT_MATMUL_HAS_ROW_IDS) != 0;
    return ulong(has_ids ? uint(row_ids[row]) : row) * args.x_stride;
}

/* A step of x, zeros past the end; 8 rows, or 4 with a norm, are on their way at a time. */
template <typename F, typename T>
METAL_FUNC void few_stage_x(constant vmt_matmul_kargs &args, const device T *x, const device float *hidden,
                            const device float *norm_weight, const device int *row_ids, uint first_row,
                            uint num_rows, uint step, uint lane, threadgroup T *tile) {
    uint q = lane / 8, f = lane % 8, i = f * 4;
    uint segment = step * (FEW_COLS / F::VALUES) + i / F::VALUES * 4 + q;
    bool is_inside = segment < args.cols / F::VALUES;
    uint column = is_inside ? F::column(segment) + F::at(i % F::VALUES) : 0;
    if ((args.flags & VMT_MATMUL_HAS_NORM) != 0) {
        float4 w = float4(0.0f);
        if (is_inside) w = *(const device float4 *)(norm_weight + column) * 0.015625f;
        for (uint begin = 0; begin < num_rows; begin += 4) {
            float4 h[4];
#pragma unroll
            for (uint r = 0; r < 4; r++) {
                uint row = first_row + min(begin + r, num_rows - 1);
                h[r] = *(const device float4 *)(hidden + few_row(args, row_ids, row) + column);
            }
#pragma unroll
            for (uint r = 0; r < 4; r++) few_put<T>(tile, begin + r, f, q, vec4_cast<T>(h[r] * w));
        }
        return;
    }
    for (uint begin = 0; begin < num_rows; begin += 8) {
        vec<T, 4> v[8];
#pragma unroll
        for (uint r = 0; r < 8; r++) {
            uint row = first_row + min(begin + r, num_rows - 1);
            v[r] = *(const device vec<T, 4> *)(x + few_row(args, row_ids, row) + column);
            if (!is_inside) v[r] = vec4_cast<T>(float4(0.0f));
        }
#pragma unroll
        for (uint r = 0; r < 8; r++) few_put<T>(tile, begin + r, f, q, v[r]);
    }
}

/* Of each row of hidden the squares that a simdgroup adds up. */
template <uint THREADS>
METAL_FUNC void few_squares(constant vmt_matmul_kargs &args, const device float *hidden, const device int *row_ids,
                            uint first_row, uint num_rows, uint tid, uint lane, threadgroup float *squares) {
    for (uint begin = 0; begin < num_rows; begin += 4) {
        float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        for (uint column = tid * 4; column < args.cols; column += THREADS * 4) {
#pragma unroll
            for (uint r = 0; r < 4; r++) {
                uint row = first_row + min(begin + r, num_rows - 1);
                float4 h = *(const device float4 *)(hidden + few_row(args, row_ids, row) + column);
                sums[r] += h.x * h.x + h.y * h.y + h.z * h.z + h.w * h.w;
            }
        }
#pragma unroll
        for (uint r = 0; r < 4; r++) {
            float sum = simd_sum(sums[r]);
            if (lane == 0) squares[begin + r] = sum;
        }
    }
}

/* A step's segments of a lane's two rows; past the end the last one. */
template <typename F, uint SEGMENTS>
METAL_FUNC void few_load(const thread F *rows, uint first, uint num_segments,
                         thread uint (*words)[SEGMENTS][F::WORDS]) {
#pragma unroll
    for (uint r = 0; r < 2; r++) {
#pragma unroll
        for (uint j = 0; j < SEGMENTS; j++) rows[r].load(0, min(first + 4 * j, num_segments - 1), words[r][j]);
    }
}

/* sum += the segments of two rows of W times the step of x in the tile. */
template <typename F, typename T, uint SEGMENTS>
METAL_FUNC void few_multiply(thread uint (*words)[SEGMENTS][F::WORDS], uint first, uint2 exponents,
                             const threadgroup T *tile, thread frag_c &sum) {
    const uint PART = F::VALUES / F::PARTS;
#pragma unroll
    for (uint j = 0; j < SEGMENTS; j++) {
        float w[2][F::VALUES];
#pragma unroll
        for (uint r = 0; r < 2; r++) {
            float scale[F::PARTS], bias[F::PARTS];
            F::decode(first + 4 * j, exponents, words[r][j], w[r], scale, bias);
#pragma unroll
            for (uint i = 0; i < F::VALUES; i++) {
                uint p = i / PART;
                float factor = scale[p] * F::factor(i), offset = F::HAS_BIAS ? bias[p] : 0.0f;
                if (F::HAS_ZERO) offset = fma(-F::zero(i), scale[p], offset);
                w[r][i] = F::HAS_ZERO || F::HAS_BIAS ? fma(factor, w[r][i], offset) : factor * w[r][i];
            }
        }
#pragma unroll
        for (uint f = 0; f < F::VALUES / 4; f++) {
            frag_a<T> a;
            frag_b<T> b;
#pragma unroll
            for (uint i = 0; i < 4; i++) {
                uint k = 4 * f + i / 2 * 2;
                frag_set2(a, 2 * i, w[i % 2][k], w[i % 2][k + 1]);
            }
            frag_load_bt(b, tile + (j * (F::VALUES / 4) + f) * 16, FEW_STRIDE);
            frag_mma(sum, a, b);
        }
    }
}

template <typename F, typename T, uint SPLIT>
[[kernel, max_total_threads_per_threadgroup(SPLIT * 32)]]
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
    threadgroup T x_tiles[SPLIT * 16 * FEW_STRIDE];
    threadgroup float sums[SPLIT * 16 * FEW_SUM_STRIDE];
    threadgroup float row_squares[SPLIT * 16];
    const uint ROWS = VMT_MATMUL_FEW_ROWS, X_ROWS = VMT_MATMUL_FEW_X_ROWS, SEGMENTS = 32 / F::VALUES;
    bool is_gated = args.kind == VMT_MATMUL_GATED, has_norm = (args.flags & VMT_MATMUL_HAS_NORM) != 0;
    uint block_rows = is_gated ? ROWS / 2 : ROWS, first_x = tg.y * X_ROWS;
    uint num_x = min(args.num_rows - first_x, X_ROWS);
    matmul_block block = matmul_find_block(args, tg.x, block_rows);

    F rows[2];
#pragma unroll
    for (uint r = 0; r < 2; r++) {
        uint n = frag_row(lane, r * 2), weight = is_gated ? n / block_rows : block.weight_idx;
        rows[r].open(weight == 0 ? data_0 : weight == 1 ? data_1 : data_2,
                     weight == 0 ? scales_0 : weight == 1 ? scales_1 : scales_2,
                     weight == 0 ? biases_0 : weight == 1 ? biases_1 : biases_2,
                     min(block.first_row + n % block_rows, block.num_rows - 1), args.row_bytes, args.cols,
                     args.group_shift);
    }
    threadgroup T *tile = x_tiles + sg * 16 * FEW_STRIDE;
    for (uint i = lane; i < 16 * FEW_STRIDE; i += 32) tile[i] = T(0.0f);
    if (has_norm)
        few_squares<SPLIT * 32>(args, hidden, row_ids, first_x, num_x, tid, lane, row_squares + sg * 16);
    frag_c sum;
    frag_fill(sum, 0.0f);

    uint2 exponents = nibble_exponents(args.cols >> 31);
    uint num_segments = args.cols / F::VALUES, num_steps = (args.cols + FEW_COLS - 1) / FEW_COLS;
    const uint STEP_SEGMENTS = FEW_COLS / F::VALUES;
    uint words[2][SEGMENTS][F::WORDS], first = sg * STEP_SEGMENTS + frag_col(lane, 0) / 2;
    few_load<F, SEGMENTS>(rows, first, num_segments, words);
    for (uint step = sg; step < num_steps; step += SPLIT) {
        uint next[2][SEGMENTS][F::WORDS];
        simdgroup_barrier(mem_flags::mem_threadgroup);
        few_stage_x<F, T>(args, x, hidden, norm_weight, row_ids, first_x, num_x, step, lane, tile);
        few_load<F, SEGMENTS>(rows, first + SPLIT * STEP_SEGMENTS, num_segments, next);
        simdgroup_barrier(mem_flags::mem_threadgroup);
        few_multiply<F, T, SEGMENTS>(words, first, exponents, tile, sum);
        first += SPLIT * STEP_SEGMENTS;
#pragma unroll
        for (uint r = 0; r < 2; r++) {
#pragma unroll
            for (uint j = 0; j < SEGMENTS; j++) {
#pragma unroll
                for (uint i = 0; i < F::WORDS; i++) words[r][j][i] = next[r][j][i];
            }
        }
    }

    frag_store(sum, sums + sg * 16 * FEW_SUM_STRIDE, FEW_SUM_STRIDE, lane);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint i = tid; i < num_x * block_rows; i += SPLIT * 32) {
        uint m = i / block_rows, n = i % block_rows, out_n = block.first_row + n;
        if (out_n >= block.num_rows) continue;
        float total = 0.0f, up = 0.0f, all_squares = 0.0f;
        for (uint s = 0; s < SPLIT; s++) {
            total += sums[(s * 16 + n) * FEW_SUM_STRIDE + m];
            up += sums[(s * 16 + n % 8 + 8) * FEW_SUM_STRIDE + m];
            if (has_norm) all_squares += row_squares[s * 16 + m];
        }
        float scale = has_norm ? 64.0f * matmul_norm_scale(args, all_squares) : 1.0f;
        uint at = block.out_column + out_n;
        total = fma(total, scale, matmul_bias(args, bias, at));
        if (is_gated) {
            up = fma(up, scale, matmul_bias(args, bias, at + args.rows_0));
            total = activate(total, args.act) * up;
        }
        matmul_store<T>(args, out, first_x + m, at, total);
    }
}

// ---- instantiations
#define FEW_SPLIT_f32  2 /* simdgroups */
#define FEW_SPLIT_f16  4
#define FEW_SPLIT_bf16 4
#define MATMUL_FEW(format, type, T)                                     \
    template [[host_name("matmul_few_" #format "_" #type)]] [[kernel]] \
    decltype(matmul_few<quant_##format<T>, T, FEW_SPLIT_##type>) matmul_few<quant_##format<T>, T, FEW_SPLIT_##type>;
VMT_MATMUL_FORMATS(MATMUL_FEW)
