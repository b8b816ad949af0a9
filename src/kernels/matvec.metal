/* matvec: out = epilogue(W x) for one row of x at a time.   reference: ops/gpu_matmul_test.c
 *
 * Buffers   kernels/matmul.h.
 * Math      sums of scale * (q . x' - zeros . x) + bias * sum(x) over segments, where x' is x times the segment's
 *           factors.
 * Grid      threadgroups (any number, num_rows) of 4 simdgroups, which walk blocks tg, tg + number, ...  A block: 8
 *           rows of one weight, or 4 of gate and the same 4 of up.  All threads share out a row, 32 columns each:
 *
 *             columns   0 .. 31   32 .. 63   ...  4064 .. 4095 | the next chunk, where rows are longer
 *             thread    0         1          ...  127          | 0  1  ...
 *
 *           (a plain matrix's in 4 segments of 8 columns, 1024 columns apart: loads of neighbours are neighbours).
 *           matvec_narrow is for rows of up to 1024 columns: a simdgroup spans one, and each has blocks of its own, of
 *           4 rows.
 *
 *           Two rows at a time: the next two are loaded while these are multiplied, over the ends of chunks and blocks.
 *           x stays in registers where a row is one chunk.
 * Memory    threadgroup: a sum for each simdgroup and row, twice; with a norm a chunk of x.  W is read once.
 * Requires  cols a whole number of segments; x, hidden and norm_weight rows on 16 bytes.
 * Numerics  float sums.  Within the type's own rounding of the reference: x is read as T (with a norm x * norm_weight
 *           is rounded to T as a 64th, so that the residual stream's outliers stay within half's range), out is rounded
 *           to T. */
#include <metal_stdlib>
#include "kernels/copy.h"
#include "kernels/matmul.h"
#include "kernels/matmul_instances.h"
#include "kernels/matvec.h"
#include "kernels/pack8.h"
using namespace metal;

constant constexpr uint MATVEC_COLS = 32;   /* of a thread */
constant constexpr uint MATVEC_STRIDE = 40; /* of 32 columns in threadgroup memory: keeps the banks apart */

/* The rows of a block: of one weight, or the first half of gate and the others of up. */
template <typename F> struct matvec_rows {
    F gate, up;
    uint last; /* past the weight's end it is read again */
};

template <typename F, uint ROWS>
METAL_FUNC void matvec_open(constant vmt_matmul_kargs &args, matvec_weights w, uint block_idx,
                            thread matvec_rows<F> &rows) {
    bool is_gated = args.kind == VMT_MATMUL_GATED;
    matmul_block block = matmul_find_block(args, block_idx, is_gated ? ROWS / 2 : ROWS);
    uint i = block.weight_idx;
    rows.gate.open(i == 0 ? w.data_0 : i == 1 ? w.data_1 : w.data_2,
                   i == 0 ? w.scales_0 : i == 1 ? w.scales_1 : w.scales_2,
                   i == 0 ? w.biases_0 : i == 1 ? w.biases_1 : w.biases_2, block.first_row, args.row_bytes,
                   args.cols, args.group_shift);
    rows.up = rows.gate;
    if (is_gated)
        rows.up.open(w.data_1, w.scales_1, w.biases_1, block.first_row, args.row_bytes, args.cols, args.group_shift);
    rows.last = block.num_rows - 1 - block.first_row;
}

/* BATCH rows from the block's r on: of each the segments first, first + threads, ...; past the end the last one. */
template <typename F, uint ROWS, uint BATCH, uint SEGMENTS>
METAL_FUNC void matvec_load(constant vmt_matmul_kargs &args, const thread matvec_rows<F> &rows, uint r, uint first,
                            uint threads, thread uint (*words)[SEGMENTS][F::WORDS]) {
    bool is_gated = args.kind == VMT_MATMUL_GATED;
#pragma unroll
    for (uint i = 0; i < BATCH; i++) {
        bool is_upper = r + i >= ROWS / 2;
        uint row = min(is_gated && is_upper ? r + i - ROWS / 2 : r + i, rows.last);
#pragma unroll
        for (uint j = 0; j < SEGMENTS; j++) {
            uint segment = min(first + j * threads, args.cols / F::VALUES - 1);
            if (is_upper)
                rows.up.load(row, segment, words[i][j]);
            else
                rows.gate.load(row, segment, words[i][j]);
        }
    }
}

/* Columns begin .. of hidden times the norm's weight into threadgroup memory, a 64th of it; zeros past the end. */
template <typename T, uint COLS, uint THREADS>
METAL_FUNC void matvec_stage_x(constant vmt_matmul_kargs &args, const device float *hidden,
                               const device float *norm_weight, ulong row_base, uint begin, uint tid,
                               threadgroup T *tile, thread float *squares) {
    for (uint at = tid * 4; at < COLS; at += THREADS * 4) {
        uint column = begin + at;
        float4 v = float4(0.0f);
        if (column < args.cols) {
            float4 h = *(const device float4 *)(hidden + row_base + column);
            float4 w = *(const device float4 *)(norm_weight + column);
            *squares += h.x * h.x + h.y * h.y + h.z * h.z + h.w * h.w;
            v = h * w * 0.015625f;
        }
        store4(tile + at / 32 * MATVEC_STRIDE + at % 32, v);
    }
}

/* x of the thread's segments times their factors, and its sums.  With a norm x is staged, else in memory. */
template <typename F, typename T, uint SEGMENTS>
METAL_FUNC void matvec_load_x(constant vmt_matmul_kargs &args, const device T *x, const threadgroup T *tile,
                              ulong row_base, uint begin, uint position, uint threads,
                              thread float (*v)[F::VALUES], thread float (*part_sums)[F::PARTS],
                              thread float (*part_zeros)[F::PARTS]) {
    const uint PART = F::VALUES / F::PARTS;
    bool has_norm = (args.flags & VMT_MATMUL_HAS_NORM) != 0;
#pragma unroll
    for (uint j = 0; j < SEGMENTS; j++) {
        uint from = F::column(position + j * threads);
        bool is_inside = begin + from < args.cols;
        if (has_norm) {
#pragma unroll
            for (uint i = 0; i < F::VALUES; i += 4) {
                uint at = from + F::at(i);
                float4 four = tile4(tile + at / 32 * MATVEC_STRIDE + at % 32);
#pragma unroll
                for (uint k = 0; k < 4; k++) v[j][i + k] = four[k];
            }
        } else {
#pragma unroll
            for (uint i = 0; i < F::VALUES; i += 8) {
                pack8<T> eight;
                zero8(eight);
                if (is_inside) eight = load8(x + row_base + begin + from + F::at(i));
                to_array(unpack8(eight), &v[j][i]);
            }
        }
#pragma unroll
        for (uint p = 0; p < F::PARTS; p++) {
            part_sums[j][p] = part_zeros[j][p] = 0.0f;
#pragma unroll
            for (uint i = p * PART; i < (p + 1) * PART; i++) {
                part_sums[j][p] += v[j][i];
                part_zeros[j][p] = fma(-F::zero(i), v[j][i], part_zeros[j][p]);
                v[j][i] *= F::factor(i);
            }
        }
    }
}

/* The sums of ROWS rows over a simdgroup: row lane / (32 / ROWS) in every lane, in log2 steps that halve the rows. */
template <uint ROWS> METAL_FUNC float matvec_reduce(thread float *sums, uint lane) {
    uint mask = 16;
#pragma unroll
    for (uint n = ROWS / 2; n > 0; n /= 2) {
        bool is_upper = (lane & mask) != 0;
#pragma unroll
        for (uint r = 0; r < n; r++) {
            float keep = is_upper ? sums[r + n] : sums[r], give = is_upper ? sums[r] : sums[r + n];
            sums[r] = keep + simd_shuffle_xor(give, ushort(mask));
        }
        mask /= 2;
    }
#pragma unroll
    for (uint m = 16 / ROWS; m > 0; m /= 2) sums[0] += simd_shuffle_xor(sums[0], ushort(m));
    return sums[0];
}

/* GROUPS times SPLIT simdgroups; a group spans a row, ROWS of them make a block, BATCH are loaded at a time. */
template <typename F, typename T, uint SPLIT, uint GROUPS, uint ROWS, uint BATCH>
METAL_FUNC void matvec_run(matvec_weights weights, const device T *x, const device float *hidden,
                           const device float *norm_weight, const device int *row_ids, const device float *bias,
                           device uchar *out, constant vmt_matmul_kargs &args, threadgroup T *x_tile,
                           threadgroup float *partials, threadgroup float *simdgroup_squares, uint3 tg, uint3 grid,
                           uint tid, uint lane, uint sg) {
    const uint THREADS = SPLIT * 32, SEGMENTS = MATVEC_COLS / F::VALUES, PART = F::VALUES / F::PARTS;
    const uint CHUNK = THREADS * MATVEC_COLS, STEP = GROUPS * grid.x;
    bool is_gated = args.kind == VMT_MATMUL_GATED, has_norm = (args.flags & VMT_MATMUL_HAS_NORM) != 0;
    const uint group = GROUPS == 1 ? 0 : sg / SPLIT, position = GROUPS == 1 ? tid : tid % THREADS;
    uint x_row = (args.flags & VMT_MATMUL_HAS_ROW_IDS) != 0 ? uint(row_ids[tg.y]) : tg.y;
    ulong x_base = ulong(x_row) * args.x_stride;

    uint words[2][BATCH][SEGMENTS][F::WORDS], parity = 0;
    uint2 exponents = nibble_exponents(args.cols >> 31);
    float v[SEGMENTS][F::VALUES], part_sums[SEGMENTS][F::PARTS], part_zeros[SEGMENTS][F::PARTS], squares = 0.0f;
    matvec_rows<F> rows;
    matvec_open<F, ROWS>(args, weights, min(tg.x * GROUPS + group, args.num_blocks - 1), rows);
    matvec_load<F, ROWS, BATCH, SEGMENTS>(args, rows, 0, position, THREADS, words[0]);
    for (uint first_block = tg.x * GROUPS; first_block < args.num_blocks; first_block += STEP) {
        uint block_idx = GROUPS == 1 ? first_block : min(first_block + group, args.num_blocks - 1);
        bool is_first = first_block == tg.x * GROUPS;
        float sums[ROWS];
#pragma unroll
        for (uint r = 0; r < ROWS; r++) sums[r] = 0.0f;
        for (uint begin = 0; begin < args.cols; begin += CHUNK) {
            uint first = begin / F::VALUES + position;
            if (is_first || args.cols > CHUNK) {
                if (has_norm) {
                    float more = 0.0f;
                    threadgroup_barrier(mem_flags::mem_threadgroup);
                    matvec_stage_x<T, CHUNK, THREADS * GROUPS>(args, hidden, norm_weight, x_base, begin, tid, x_tile,
                                                               &more);
                    threadgroup_barrier(mem_flags::mem_threadgroup);
                    squares += is_first ? more : 0.0f;
                }
                matvec_load_x<F, T, SEGMENTS>(args, x, x_tile, x_base, begin, position, THREADS, v, part_sums,
                                              part_zeros);
            }
#pragma unroll
            for (uint b = 0; b < ROWS / BATCH; b++) {
                /* What comes next is on its way while this is multiplied. */
                if ((b + 1) * BATCH < ROWS) {
                    matvec_load<F, ROWS, BATCH, SEGMENTS>(args, rows, (b + 1) * BATCH, first, THREADS,
                                                          words[(b + 1) % 2]);
                } else if (begin + CHUNK < args.cols) {
                    matvec_load<F, ROWS, BATCH, SEGMENTS>(args, rows, 0, first + CHUNK / F::VALUES, THREADS,
                                                          words[0]);
                } else if (first_block + STEP < args.num_blocks) {
                    matvec_open<F, ROWS>(args, weights, min(block_idx + STEP, args.num_blocks - 1), rows);
                    matvec_load<F, ROWS, BATCH, SEGMENTS>(args, rows, 0, position, THREADS, words[0]);
                }
#pragma unroll
                for (uint r = 0; r < BATCH; r++) {
#pragma unroll
                    for (uint j = 0; j < SEGMENTS; j++) {
                        float q[F::VALUES], scale[F::PARTS], offset[F::PARTS];
                        F::decode(first + j * THREADS, exponents, words[b % 2][r][j], q, scale, offset);
#pragma unroll
                        for (uint p = 0; p < F::PARTS; p++) {
                            float dot = F::HAS_ZERO ? part_zeros[j][p] : 0.0f;
#pragma unroll
                            for (uint i = p * PART; i < (p + 1) * PART; i++) dot = fma(q[i], v[j][i], dot);
                            sums[b * BATCH + r] = fma(scale[p], dot, sums[b * BATCH + r]);
                            if (F::HAS_BIAS)
                                sums[b * BATCH + r] = fma(offset[p], part_sums[j][p], sums[b * BATCH + r]);
                        }
                    }
                }
            }
        }
        matmul_block block = matmul_find_block(args, block_idx, is_gated ? ROWS / 2 : ROWS);
        float sum = matvec_reduce<ROWS>(sums, lane);
        if (lane % (32 / ROWS) == 0)
            partials[(parity * SPLIT * GROUPS + sg) * ROWS + lane / (32 / ROWS)] = sum;
        if (has_norm && is_first) {
            squares = simd_sum(squares);
            if (lane == 0) simdgroup_squares[sg] = squares;
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (position < (is_gated ? ROWS / 2 : ROWS) && (GROUPS == 1 || first_block + group < args.num_blocks)) {
            float all_squares = 0.0f;
            for (uint s = 0; s < SPLIT * GROUPS && has_norm; s++) all_squares += simdgroup_squares[s];
            matvec_finish<T, ROWS, SPLIT>(args, block, partials + (parity * GROUPS + group) * SPLIT * ROWS, position,
                                          all_squares, matvec_had(args, block, position, out, tg.y), bias, out, tg.y);
        }
        parity ^= 1;
    }
}

template <typename F, typename T, uint SPLIT, uint GROUPS, uint ROWS>
[[kernel, max_total_threads_per_threadgroup(SPLIT * GROUPS * 32)]]
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
            uint3 grid [[threadgroups_per_grid]],
            uint tid [[thread_index_in_threadgroup]],
            uint lane [[thread_index_in_simdgroup]],
            uint sg [[simdgroup_index_in_threadgroup]]) {
    threadgroup T x_tile[SPLIT * 32 * MATVEC_STRIDE];
    threadgroup float partials[2 * SPLIT * GROUPS * ROWS];
    threadgroup float simdgroup_squares[SPLIT * GROUPS];
    wait_for_previous();
    matvec_weights weights = {data_0,   data_1,   data_2,   scales_0, scales_1,
                              scales_2, biases_0, biases_1, biases_2};
    matvec_run<F, T, SPLIT, GROUPS, ROWS, 2>(weights, x, hidden, norm_weight, row_ids, bias, out, args, x_tile,
                                             partials, simdgroup_squares, tg, grid, tid, lane, sg);
}

// ---- instantiations
#define MATVEC_NAMED(name, F, T, ...)             \
    template [[host_name(name)]] [[kernel]] \
    decltype(matvec<F, T, __VA_ARGS__>) matvec<F, T, __VA_ARGS__>;
#define MATVEC(format, type, T)                                                                      \
    MATVEC_NAMED("matvec_" #format "_" #type, quant_##format<T>, T, 4, 1, VMT_MATVEC_ROWS)           \
    MATVEC_NAMED("matvec_narrow_" #format "_" #type, quant_##format<T>, T, 1, VMT_MATVEC_NARROW_BLOCKS, \
                 VMT_MATVEC_NARROW_ROWS)
VMT_MATMUL_FORMATS(MATVEC)
