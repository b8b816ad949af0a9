/* matvec_staged: matvec where the device copies behind the reader's back and multiplies matrices of 16 bits.
 * reference: ops/gpu_matmul_test.c */
#include <metal_stdlib>
#include "kernels/matvec.h"
#include "kernels/mma.h"
#include "kernels/staged.h"
using namespace metal;

constant constexpr uint STAGED_ROWS = 8;
constant constexpr uint STAGED_SPAN = 256;
constant constexpr uint STAGED_X_BLOCK = 80; /* bytes of 32 columns of x: keeps the banks apart */

/* Row lane / 4 of a block; past the weight's end its last one. */
template <typename F>
METAL_FUNC void staged_open(constant vmt_matmul_kargs &args, matvec_weights w, uint block_idx, uint lane,
                            thread F &row) {
    bool is_gated = args.kind == VMT_MATMUL_GATED;
    matmul_block block = matmul_find_block(args, block_idx, is_gated ? STAGED_ROWS / 2 : STAGED_ROWS);
    uint r = lane / 4, i = is_gated ? r / (STAGED_ROWS / 2) : block.weight_idx;
    uint row_idx = min(block.first_row + (is_gated ? r % (STAGED_ROWS / 2) : r), block.num_rows - 1);
    row.open(i == 0 ? w.data_0 : i == 1 ? w.data_1 : w.data_2, i == 0 ? w.scales_0 : i == 1 ? w.scales_1 : w.scales_2,
             i == 0 ? w.biases_0 : i == 1 ? w.biases_1 : w.biases_2, row_idx, args, lane % 4);
}

/* What a lane has of x in a part of a row. */
template <typename F> struct staged_x {
    uint words[F::SPANS][4]; /* of the block whose column of B is its own */
    float zeros[F::SPANS][2], sums[F::SPANS][2]; /* of blocks t and t + 4 */
};

template <typename T> METAL_FUNC uint staged_pair(float a, float b) {
    return uint(as_type<ushort>(T(a))) | uint(as_type<ushort>(T(b))) << 16;
}

/* 8 neighbours of x; with a norm hidden times the norm's weight, a 64th of it. */
template <typename T>
METAL_FUNC uint4 staged_fetch_x(constant vmt_matmul_kargs &args, const device T *x, const device float *hidden,
                                const device float *norm_weight, ulong x_base, uint column, thread float *squares) {
    if ((args.flags & VMT_MATMUL_HAS_NORM) == 0) return *(const device uint4 *)(x + x_base + column);
    const device float4 *h = (const device float4 *)(hidden + x_base + column);
    const device float4 *w = (const device float4 *)(norm_weight + column);
    float4 a = h[0], b = h[1], c = w[0] * 0.015625f, d = w[1] * 0.015625f;
    *squares += a.x * a.x + a.y * a.y + a.z * a.z + a.w * a.w + b.x * b.x + b.y * b.y + b.z * b.z + b.w * b.w;
    return uint4(staged_pair<T>(a.x * c.x, a.y * c.y), staged_pair<T>(a.z * c.z, a.w * c.w),
                 staged_pair<T>(b.x * d.x, b.y * d.y), staged_pair<T>(b.z * d.z, b.w * d.w));
}

/* fetched: 8 neighbours in each lane of a span; tile: the simdgroup's.  Column 2 * b of B is x in block b, column
 * 2 * b + 1 in block b + 4. */
template <typename F, typename T>
METAL_FUNC void staged_deal_x(uint4 fetched, threadgroup uchar *tile, uint lane, uint s, thread staged_x<F> &v) {
    uint t = lane % 4, block = lane / 8 + lane / 4 % 2 * 4;
    float zeros = 0.0f, sums = 0.0f;
    simdgroup_barrier(mem_flags::mem_threadgroup);
    *(threadgroup uint4 *)(tile + lane / 4 * STAGED_X_BLOCK + t * 16) = fetched;
    simdgroup_barrier(mem_flags::mem_threadgroup);
#pragma unroll
    for (uint i = 0; i < 8; i++) {
        uint bits = staged_ushort(tile + block * STAGED_X_BLOCK + F::column(block, t, i) % 32 * 2);
        v.words[s][i / 2] = i % 2 == 0 ? bits : v.words[s][i / 2] | bits << 16;
        float value = element<T>::of_bits(bits);
        sums += value;
        zeros = fma(F::zero(block, i), value, zeros);
    }
    zeros += simd_shuffle_xor(zeros, ushort(1));
    zeros += simd_shuffle_xor(zeros, ushort(2));
    v.zeros[s][0] = simd_shuffle(zeros, ushort(t * 8));
    v.zeros[s][1] = simd_shuffle(zeros, ushort(t * 8 + 4));
    if (F::HAS_BIAS) {
        sums += simd_shuffle_xor(sums, ushort(1));
        sums += simd_shuffle_xor(sums, ushort(2));
        v.sums[s][0] = simd_shuffle(sums, ushort(t * 8));
        v.sums[s][1] = simd_shuffle(sums, ushort(t * 8 + 4));
    }
}

/* A part of row lane / 4, in threadgroup memory, times x: a lane's sum over blocks t and t + 4. */
template <typename F, typename T>
METAL_FUNC float staged_multiply(const threadgroup uchar *row, const thread staged_x<F> &v, uint2 above, uint lane) {
    uint t = lane % 4;
    float sum = 0.0f;
#pragma unroll
    for (uint s = 0; s < F::SPANS; s++) {
        float c[4][4], scale[2], bias[2];
#pragma unroll
        for (uint pair = 0; pair < 2; pair++) {
            uint words[2][F::WORDS], q[2][8];
            F::load(row, s, pair, t, words[0]);
            F::load(row, s, pair + 2, t, words[1]);
            F::decode(words[0], above, q[0]);
            F::decode(words[1], above, q[1]);
#pragma unroll
            for (uint b = 0; b < 2; b++) {
                thread float *sums = c[2 * pair + b];
#pragma unroll
                for (uint i = 0; i < 4; i++) sums[i] = 0.0f;
#pragma unroll
                for (uint m = 0; m < 2; m++) {
                    uint at = 4 * b + 2 * m;
                    uint a[4] = {q[0][at], q[1][at], q[0][at + 1], q[1][at + 1]};
                    mma_16x8x16<T>(sums, a, &v.words[s][2 * m], lane);
                }
            }
        }
        F::scales(row, s, t, scale, bias);
        float low = t == 0 ? c[0][0] : t == 1 ? c[1][0] : t == 2 ? c[2][0] : c[3][0];
        float high = t == 0 ? c[0][3] : t == 1 ? c[1][3] : t == 2 ? c[2][3] : c[3][3];
        sum = fma(scale[0], low - v.zeros[s][0], sum);
        sum = fma(scale[1], high - v.zeros[s][1], sum);
        if (F::HAS_BIAS) sum = fma(bias[0], v.sums[s][0], fma(bias[1], v.sums[s][1], sum));
    }
    return sum;
}

template <typename F, typename T, uint SIMDGROUPS, uint DEPTH, uint HELD>
METAL_FUNC void staged_run(matvec_weights weights, const device T *x, const device float *hidden,
                           const device float *norm_weight, const device int *row_ids, const device float *bias,
                           device uchar *out, constant vmt_matmul_kargs &args, threadgroup uchar *ring,
                           threadgroup uchar *x_tile, threadgroup float *partials,
                           threadgroup float *simdgroup_squares, uint3 tg, uint3 grid, uint tid, uint lane, uint sg) {
    const uint STAGE = STAGED_ROWS * F::ROW_BYTES;
    bool is_gated = args.kind == VMT_MATMUL_GATED, has_norm = (args.flags & VMT_MATMUL_HAS_NORM) != 0;
    uint num_parts = args.cols / (F::SPANS * STAGED_SPAN), t = lane % 4;
    threadgroup uchar *place = ring + (sg * DEPTH * STAGE + lane / 4 * F::ROW_BYTES);

    uint2 above = staged_constants(args.cols >> 31, F::LOW, F::HIGH);

    /* The next part to copy. */
    F row;
    uint next_block = tg.x, next_part = sg, slot = 0, parity = 0;
    staged_open(args, weights, min(next_block, args.num_blocks - 1), lane, row);
#pragma unroll
    for (uint i = 0; i < DEPTH; i++) {
        if (next_part >= num_parts) {
            next_part = sg;
            next_block += grid.x;
            if (next_block < args.num_blocks) staged_open(args, weights, next_block, lane, row);
        }
        if (next_block < args.num_blocks && next_part < num_parts) row.copy(place + i * STAGE + t * 16, next_part, t);
        copy_commit();
        next_part += SIMDGROUPS;
    }

    wait_for_previous();
    uint x_row = (args.flags & VMT_MATMUL_HAS_ROW_IDS) != 0 ? uint(row_ids[tg.y]) : tg.y;
    ulong x_base = ulong(x_row) * args.x_stride;
    staged_x<F> v[HELD];
    float squares = 0.0f;
    for (uint block_idx = tg.x; block_idx < args.num_blocks; block_idx += grid.x) {
        bool is_first = block_idx == tg.x;
        float sum = 0.0f;
        for (uint begin = 0; begin < num_parts; begin += SIMDGROUPS * HELD) {
            if (is_first || num_parts > SIMDGROUPS * HELD) {
                uint4 fetched[HELD][F::SPANS]; /* zeros past the end */
                float more = 0.0f;
#pragma unroll
                for (uint i = 0; i < HELD * F::SPANS; i++) {
                    uint part = begin + i / F::SPANS * SIMDGROUPS + sg;
                    fetched[i / F::SPANS][i % F::SPANS] = uint4(0u);
                    if (part < num_parts)
                        fetched[i / F::SPANS][i % F::SPANS] =
                            staged_fetch_x(args, x, hidden, norm_weight, x_base,
                                           (part * F::SPANS + i % F::SPANS) * STAGED_SPAN + lane * 8, &more);
                }
#pragma unroll
                for (uint i = 0; i < HELD * F::SPANS; i++)
                    staged_deal_x<F, T>(fetched[i / F::SPANS][i % F::SPANS], x_tile, lane, i % F::SPANS,
                                        v[i / F::SPANS]);
                squares += is_first ? more : 0.0f;
            }
#pragma unroll
            for (uint i = 0; i < HELD; i++) {
                if (begin + i * SIMDGROUPS + sg < num_parts) {
                    copy_wait<DEPTH - 1>();
                    simdgroup_barrier(mem_flags::mem_threadgroup);
                    sum += staged_multiply<F, T>(place + slot * STAGE, v[i], above, lane);
                    simdgroup_barrier(mem_flags::mem_threadgroup);
                    if (next_part >= num_parts) {
                        next_part = sg;
                        next_block += grid.x;
                        if (next_block < args.num_blocks) staged_open(args, weights, next_block, lane, row);
                    }
                    if (next_block < args.num_blocks) row.copy(place + slot * STAGE + t * 16, next_part, t);
                    copy_commit();
                    next_part += SIMDGROUPS;
                    slot = slot + 1 == DEPTH ? 0 : slot + 1;
                }
            }
        }
        matmul_block block = matmul_find_block(args, block_idx, is_gated ? STAGED_ROWS / 2 : STAGED_ROWS);
        sum += simd_shuffle_xor(sum, ushort(1));
        sum += simd_shuffle_xor(sum, ushort(2));
        if (t == 0) partials[(parity * SIMDGROUPS + sg) * STAGED_ROWS + lane / 4] = sum;
        if (has_norm && is_first) {
            squares = simd_sum(squares);
            if (lane == 0) simdgroup_squares[sg] = squares;
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (tid < (is_gated ? STAGED_ROWS / 2 : STAGED_ROWS)) {
            float all_squares = 0.0f;
            for (uint s = 0; s < SIMDGROUPS && has_norm; s++) all_squares += simdgroup_squares[s];
            matvec_finish<T, STAGED_ROWS, SIMDGROUPS>(args, block, partials + parity * SIMDGROUPS * STAGED_ROWS, tid,
                                                      all_squares, bias, out, tg.y);
        }
        parity ^= 1;
    }
}

template <typename F, typename T, uint SIMDGROUPS, uint DEPTH, uint HELD, uint ROW_BYTES>
[[kernel, max_total_threads_per_threadgroup(SIMDGROUPS * 32)]]
void matvec_staged(const device uchar *data_0 [[buffer(0)]],
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
                   uint3 grid [[threadgroups_per_grid]],
                   uint tid [[thread_index_in_threadgroup]],
                   uint lane [[thread_index_in_simdgroup]],
                   uint sg [[simdgroup_index_in_threadgroup]]) {
    threadgroup uint4 ring[SIMDGROUPS * DEPTH * ROW_BYTES / 2];
    threadgroup uint4 x_tiles[SIMDGROUPS * 40];
    threadgroup float partials[2 * SIMDGROUPS * 8];
    threadgroup float simdgroup_squares[SIMDGROUPS];
    matvec_weights weights = {data_0,   data_1,   data_2,   scales_0, scales_1,
                              scales_2, biases_0, biases_1, biases_2};
    staged_run<F, T, SIMDGROUPS, DEPTH, HELD>(weights, x, hidden, norm_weight, row_ids, bias, out, args,
                                              (threadgroup uchar *)ring, (threadgroup uchar *)(x_tiles + sg * 40),
                                              partials, simdgroup_squares, tg, grid, tid, lane, sg);
}

// ---- instantiations
#define STAGED_NAMED(name, F, T, ...)       \
    template [[host_name(name)]] [[kernel]] \
    decltype(matvec_staged<F, T, __VA_ARGS__>) matvec_staged<F, T, __VA_ARGS__>;
#define STAGED(format, type, T, SPANS, ...) \
    STAGED_NAMED("matvec_staged_" #format "_" #type, format##_of_##SPANS<T>, T, __VA_ARGS__)
STAGED(q4_0, f16, half, 2, 4, 3, 2, 304)
STAGED(q4_k, f16, half, 2, 4, 3, 2, 304)
STAGED(mlx4, f16, half, 2, 4, 3, 2, 304)
STAGED(mlx4, bf16, bfloat, 2, 4, 3, 2, 304)
STAGED(q8_0, f16, half, 1, 4, 3, 4, 272)
