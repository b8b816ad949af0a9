/* matvec_staged: matvec of 4-bit weights where the device copies behind the reader's back, vmt_gpu_caps.has_async_copy:
 * CUDA.  Apple's GPUs have no such copies; there matvec runs.   reference: ops/gpu_matmul_test.c
 *
 * Buffers   kernels/matmul.h.
 * Math      matvec's, by products of matrices (kernels/mma.h), which take fewer instructions: quants are made halves in
 *           pairs, and a scale is applied once a block.  Of W [rows, 512 columns] A has 4 rows, each in 4 pieces of 4
 *           blocks of 32 columns; B has x.  A row's product with a column of B is looked at if both are of one block:
 *
 *             A   row g        row g % 4, piece g / 4 * 2           one block of each piece at a time
 *                 row g + 8    row g % 4, piece g / 4 * 2 + 1
 *             B   column n     piece n / 2, its block n % 2 or 2 + n % 2
 *
 * Grid      threadgroups (any number, num_rows) of 4 simdgroups, which walk blocks tg, tg + number, ... of 8 rows (of 4
 *           of gate and the same 4 of up).  A simdgroup takes 1024 columns of 4 rows at a time, then of the other 4:
 *
 *             columns      0 .. 1023   1024 .. 2047   2048 .. 3071   3072 .. 4095 | the next chunk
 *             simdgroup    0           1              2              3            | 0  1  2  3
 *
 * Memory    threadgroup: of each simdgroup two parts of rows, its own, so that it waits for none of the others: one is
 *           multiplied while the other is on its way, over the ends of chunks and blocks.  A part of x, whose columns
 *           are dealt out to registers; a sum for each simdgroup and row, twice.  W is read once, in runs of 512 or 576
 *           bytes: shorter ones cost bandwidth.
 * Requires  cols a multiple of 1024; rows of W, and of its scales and biases, in whole pieces of 16 bytes, on 16 bytes;
 *           MLX in groups of 64; x, hidden and norm_weight rows on 16 bytes.
 * Numerics  matvec's: x is a T, products are exact, sums are floats. */
#include <metal_stdlib>
#include "kernels/matvec.h"
#include "kernels/mma.h"
#include "kernels/staged.h"
using namespace metal;

constant constexpr uint STAGED_ROWS = VMT_MATVEC_ROWS; /* of a block: two times 4 */
constant constexpr uint STAGED_SIMDGROUPS = 4;
constant constexpr uint STAGED_PART = VMT_MATVEC_STAGED_COLS;
constant constexpr uint STAGED_ROW_BYTES = 608; /* of a part in threadgroup memory: keeps the banks apart */
constant constexpr uint STAGED_STAGE = 2432;    /* bytes of 4 rows */
constant constexpr uint STAGED_X_PAIR = 144;    /* bytes of 64 columns of x: keeps the banks apart */
constant constexpr uint STAGED_X_BYTES = 2304;  /* of a part */

/* What comes next: a part of 4 rows. */
template <typename F> struct staged_cursor {
    F rows[2];
    uint block, part, half_idx;
};

/* Rows lane / 8 and 4 + lane / 8 of a block; past the weight's end its last one. */
template <typename F>
METAL_FUNC void staged_open(constant vmt_matmul_kargs &args, matvec_weights w, uint lane,
                            thread staged_cursor<F> &next) {
    if (next.block >= args.num_blocks) return;
    bool is_gated = args.kind == VMT_MATMUL_GATED;
    matmul_block block = matmul_find_block(args, next.block, is_gated ? STAGED_ROWS / 2 : STAGED_ROWS);
#pragma unroll
    for (uint h = 0; h < 2; h++) {
        uint i = is_gated ? h : block.weight_idx;
        uint row = min(block.first_row + lane / 8 + (is_gated ? 0 : 4 * h), block.num_rows - 1);
        next.rows[h].open(i == 0 ? w.data_0 : i == 1 ? w.data_1 : w.data_2,
                          i == 0 ? w.scales_0 : i == 1 ? w.scales_1 : w.scales_2,
                          i == 0 ? w.biases_0 : i == 1 ? w.biases_1 : w.biases_2, row, args, lane % 8);
    }
}

/* Copies what comes next to a stage of the ring, and goes on. */
template <typename F>
METAL_FUNC void staged_copy(constant vmt_matmul_kargs &args, matvec_weights w, threadgroup uchar *stage, uint sg,
                            uint step, uint lane, thread staged_cursor<F> &next) {
    if (next.block < args.num_blocks && next.part * STAGED_PART < args.cols) {
        threadgroup uchar *to = stage + lane / 8 * STAGED_ROW_BYTES;
        if (next.half_idx == 0)
            next.rows[0].copy(to, next.part, lane % 8);
        else
            next.rows[1].copy(to, next.part, lane % 8);
    }
    copy_commit();
    next.half_idx ^= 1;
    if (next.half_idx != 0) return;
    next.part += STAGED_SIMDGROUPS;
    if (next.part * STAGED_PART < args.cols) return;
    next.part = sg;
    next.block += step;
    staged_open(args, w, lane, next);
}

/* What a lane has of x in a part, of spans 2u and 2u + 1: its column n of B, block n / 2 % 2 * 4 + 2 * p + n % 2 of
 * span n / 4, and sums of block t % 2 * 4 + i of span t / 2. */
struct staged_x {
    uint words[2][2][4]; /* [u][p] */
    float zeros[2][4], sums[2][4];
};

template <typename T> METAL_FUNC uint staged_pair(float a, float b) {
    return uint(as_type<ushort>(T(a))) | uint(as_type<ushort>(T(b))) << 16;
}

/* Where a simdgroup has the 8 columns of lane in span s of a part of x. */
METAL_FUNC threadgroup uchar *staged_x_place(threadgroup uchar *tile, uint s, uint lane) {
    return tile + (4 * s + lane / 8) * STAGED_X_PAIR + lane % 8 * 16;
}

/* 8 neighbours of hidden times the norm's weight, a 64th of it. */
template <typename T>
METAL_FUNC uint4 staged_norm_x(const device float *hidden, const device float *norm_weight, ulong x_base, uint column,
                               thread float *squares) {
    const device float4 *h = (const device float4 *)(hidden + x_base + column);
    const device float4 *w = (const device float4 *)(norm_weight + column);
    float4 a = h[0], b = h[1], c = w[0] * 0.015625f, d = w[1] * 0.015625f;
    *squares += a.x * a.x + a.y * a.y + a.z * a.z + a.w * a.w + b.x * b.x + b.y * b.y + b.z * b.z + b.w * b.w;
    return uint4(staged_pair<T>(a.x * c.x, a.y * c.y), staged_pair<T>(a.z * c.z, a.w * c.w),
                 staged_pair<T>(b.x * d.x, b.y * d.y), staged_pair<T>(b.z * d.z, b.w * d.w));
}

template <typename T> METAL_FUNC void staged_copy_x(const device T *x, threadgroup uchar *tile, uint lane) {
#pragma unroll
    for (uint s = 0; s < 4; s++)
        copy_16_cached(staged_x_place(tile, s, lane), (const device uchar *)(x + s * 256 + lane * 8));
}

/* tile: a part of x. */
template <typename F, typename T>
METAL_FUNC void staged_deal_x(const threadgroup uchar *tile, uint lane, thread staged_x &v) {
    uint t = lane % 4, g = lane / 4;
#pragma unroll
    for (uint u = 0; u < 2; u++) {
#pragma unroll
        for (uint i = 0; i < 16; i++) {
            uint block = g / 2 % 2 * 4 + i / 8 * 2 + g % 2, at = F::column(block, t, i % 8);
            const threadgroup uchar *pair = tile + (4 * (2 * u + g / 4) + at / 64) * STAGED_X_PAIR;
            uint bits = staged_ushort(pair + at % 64 * 2);
            thread uint &word = v.words[u][i / 8][i % 8 / 2];
            word = i % 2 == 0 ? bits : word | bits << 16;
        }
#pragma unroll
        for (uint p = 0; p < 2; p++) {
            uint block = g / 2 % 2 * 4 + p * 2 + g % 2;
            float zeros = 0.0f, sums = 0.0f;
#pragma unroll
            for (uint i = 0; i < 8; i++) {
                uint word = v.words[u][p][i / 2];
                float value = element<T>::of_bits(i % 2 == 0 ? word & 0xffffu : word >> 16);
                sums += value;
                zeros = fma(F::zero(block, i), value, zeros);
            }
            zeros += simd_shuffle_xor(zeros, ushort(1));
            zeros += simd_shuffle_xor(zeros, ushort(2));
            v.zeros[u][2 * p] = simd_shuffle(zeros, ushort(t * 8));
            v.zeros[u][2 * p + 1] = simd_shuffle(zeros, ushort(t * 8 + 4));
            if (F::HAS_BIAS) {
                sums += simd_shuffle_xor(sums, ushort(1));
                sums += simd_shuffle_xor(sums, ushort(2));
                v.sums[u][2 * p] = simd_shuffle(sums, ushort(t * 8));
                v.sums[u][2 * p + 1] = simd_shuffle(sums, ushort(t * 8 + 4));
            }
        }
    }
}

/* A part of row lane / 4 % 4 times x, as far as the lane has seen it.  Lanes with t / 2 != g / 4 have looked at none of
 * their own: what they return means nothing. */
template <typename F, typename T>
METAL_FUNC float staged_multiply(const threadgroup uchar *row, const thread staged_x &v, uint2 above, uint lane) {
    uint t = lane % 4, upper = t % 2;
    float sum = 0.0f;
#pragma unroll
    for (uint u = 0; u < 2; u++) {
        uint span_idx = 2 * u + lane / 16;
        const threadgroup uchar *span = row + span_idx * STAGED_SPAN_BYTES;
        float c[4][4], scale[4], bias[4];
#pragma unroll
        for (uint p = 0; p < 2; p++) {
            uint words[2][2], q[2][8];
            F::load(span, p, t, words[0]);
            F::load(span, p + 2, t, words[1]);
            F::decode(words[0], above, q[0]);
            F::decode(words[1], above, q[1]);
#pragma unroll
            for (uint b = 0; b < 2; b++) {
                thread float *sums = c[2 * p + b];
#pragma unroll
                for (uint i = 0; i < 4; i++) sums[i] = 0.0f;
#pragma unroll
                for (uint m = 0; m < 2; m++) {
                    uint at = 4 * b + 2 * m;
                    uint a[4] = {q[0][at], q[1][at], q[0][at + 1], q[1][at + 1]};
                    mma_16x8x16<T>(sums, a, &v.words[u][p][2 * m], lane);
                }
            }
        }
        F::scales(row, span, span_idx, upper, scale, bias);
#pragma unroll
        for (uint j = 0; j < 4; j++) {
            float dot = upper == 0 ? c[j][j % 2] : c[j][2 + j % 2];
            sum = fma(scale[j], dot - v.zeros[u][j], sum);
            if (F::HAS_BIAS) sum = fma(bias[j], v.sums[u][j], sum);
        }
    }
    return sum;
}

template <typename F, typename T>
METAL_FUNC void staged_run(matvec_weights weights, const device T *x, const device float *hidden,
                           const device float *norm_weight, const device int *row_ids, const device float *bias,
                           device uchar *out, constant vmt_matmul_kargs &args, threadgroup uchar *ring,
                           threadgroup uchar *x_tile, threadgroup float *partials,
                           threadgroup float *simdgroup_squares, uint3 tg, uint3 grid, uint tid, uint lane, uint sg) {
    const uint CHUNK = STAGED_SIMDGROUPS * STAGED_PART;
    bool is_gated = args.kind == VMT_MATMUL_GATED, has_norm = (args.flags & VMT_MATMUL_HAS_NORM) != 0;
    uint2 above = staged_constants(args.cols >> 31, F::LOW, F::HIGH);
    uint slot = 0, parity = 0;
    float squares = 0.0f;
    staged_x v;

    staged_cursor<F> next;
    next.block = tg.x;
    next.part = sg;
    next.half_idx = 0;
    staged_open(args, weights, lane, next);
    staged_copy(args, weights, ring, sg, grid.x, lane, next);
    wait_for_previous();
    uint x_row = (args.flags & VMT_MATMUL_HAS_ROW_IDS) != 0 ? uint(row_ids[tg.y]) : tg.y;
    ulong x_base = ulong(x_row) * args.x_stride;

    for (uint block_idx = tg.x; block_idx < args.num_blocks; block_idx += grid.x) {
        bool is_first = block_idx == tg.x, is_finisher = tid < (is_gated ? STAGED_ROWS / 2 : STAGED_ROWS);
        matmul_block block = matmul_find_block(args, block_idx, is_gated ? STAGED_ROWS / 2 : STAGED_ROWS);
        float had = is_finisher ? matvec_had(args, block, tid, out, tg.y) : 0.0f;
        float sums[2] = {0.0f, 0.0f};
        for (uint begin = 0; begin < args.cols; begin += CHUNK) {
            uint first = begin + sg * STAGED_PART;
            if (first >= args.cols) continue;
            if (is_first || args.cols > CHUNK) {
                bool is_start = is_first && begin == 0;
                uint4 normed[4];
                float more = 0.0f;
                if (has_norm) {
#pragma unroll
                    for (uint s = 0; s < 4; s++)
                        normed[s] = staged_norm_x<T>(hidden, norm_weight, x_base, first + s * 256 + lane * 8, &more);
                    squares += is_first ? more : 0.0f;
                } else if (is_start) {
                    staged_copy_x(x + x_base + first, x_tile, lane);
                }
                if (is_start) {
                    copy_commit();
                    staged_copy(args, weights, ring + STAGED_STAGE, sg, grid.x, lane, next);
                }
                if (has_norm) {
#pragma unroll
                    for (uint s = 0; s < 4; s++)
                        *(threadgroup uint4 *)staged_x_place(x_tile, s, lane) = normed[s];
                }
                copy_wait<1>();
                simdgroup_barrier(mem_flags::mem_threadgroup);
                staged_deal_x<F, T>(x_tile, lane, v);
                simdgroup_barrier(mem_flags::mem_threadgroup);
                /* The next part goes with that of W. */
                bool is_within = first + CHUNK < args.cols;
                bool has_more = is_within || block_idx + grid.x < args.num_blocks;
                uint after = is_within ? first + CHUNK : sg * STAGED_PART;
                if (!has_norm && args.cols > CHUNK && has_more) staged_copy_x(x + x_base + after, x_tile, lane);
            }
#pragma unroll 1
            for (uint h = 0; h < 2; h++) {
                copy_wait<1>();
                simdgroup_barrier(mem_flags::mem_threadgroup);
                threadgroup uchar *stage = ring + slot * STAGED_STAGE;
                float sum = staged_multiply<F, T>(stage + lane / 4 % 4 * STAGED_ROW_BYTES, v, above, lane);
                sums[0] += h == 0 ? sum : 0.0f;
                sums[1] += h == 0 ? 0.0f : sum;
                simdgroup_barrier(mem_flags::mem_threadgroup);
                staged_copy(args, weights, stage, sg, grid.x, lane, next);
                slot ^= 1;
            }
        }
#pragma unroll
        for (uint h = 0; h < 2; h++) {
            float sum = lane / 2 % 2 == lane / 16 ? sums[h] : 0.0f;
            sum += simd_shuffle_xor(sum, ushort(16));
            sum += simd_shuffle_xor(sum, ushort(2));
            sum += simd_shuffle_xor(sum, ushort(1));
            uint at = (parity * STAGED_SIMDGROUPS + sg) * STAGED_ROWS + 4 * h + lane / 4;
            if (lane < 16 && lane % 4 == 0) partials[at] = sum;
        }
        if (has_norm && is_first) {
            squares = simd_sum(squares);
            if (lane == 0) simdgroup_squares[sg] = squares;
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (is_finisher) {
            float all_squares = 0.0f;
            for (uint s = 0; s < STAGED_SIMDGROUPS && has_norm; s++) all_squares += simdgroup_squares[s];
            matvec_finish<T, STAGED_ROWS, STAGED_SIMDGROUPS>(args, block,
                                                             partials + parity * STAGED_SIMDGROUPS * STAGED_ROWS, tid,
                                                             all_squares, had, bias, out, tg.y);
        }
        parity ^= 1;
    }
}

template <typename F, typename T>
[[kernel, max_total_threads_per_threadgroup(STAGED_SIMDGROUPS * 32)]]
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
    threadgroup uint4 ring[STAGED_SIMDGROUPS * 2 * STAGED_STAGE / 16];
    threadgroup uint4 x_tiles[STAGED_SIMDGROUPS * STAGED_X_BYTES / 16];
    threadgroup float partials[2 * STAGED_SIMDGROUPS * STAGED_ROWS];
    threadgroup float simdgroup_squares[STAGED_SIMDGROUPS];
    matvec_weights weights = {data_0,   data_1,   data_2,   scales_0, scales_1,
                              scales_2, biases_0, biases_1, biases_2};
    staged_run<F, T>(weights, x, hidden, norm_weight, row_ids, bias, out, args,
                                   (threadgroup uchar *)ring + sg * (2 * STAGED_STAGE),
                                   (threadgroup uchar *)x_tiles + sg * STAGED_X_BYTES, partials, simdgroup_squares, tg,
                                   grid, tid, lane, sg);
}

// ---- instantiations
#define STAGED(format, type, T)                                           \
    template [[host_name("matvec_staged_" #format "_" #type)]] [[kernel]] \
    decltype(matvec_staged<staged_##format<T>, T>) matvec_staged<staged_##format<T>, T>;
STAGED(q4_0, f16, half)
STAGED(q4_k, f16, half)
STAGED(mlx4, f16, half)
STAGED(mlx4, bf16, bfloat)
