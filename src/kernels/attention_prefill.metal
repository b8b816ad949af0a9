/* attention_prefill.metal: tiles of query rows of a sequence against its paged KV.
 *                                                                           reference: ops/gpu_attention_test.c
 *
 *   q                 [.., q_stride]                                      T      turned; heads from column 0
 *   k_cache, v_cache  [num_blocks, block_size, num_kv_heads, head_dim]    C      T, or int8
 *   k_scale, v_scale  [num_blocks, block_size, num_kv_heads]              float  with int8
 *   block_tables      [num_seqs, table_stride]                            int32
 *   tiles             [num_rows]                                          vmt_attention_tile
 *   sinks             [num_heads]                                         float  if args.has_sinks
 *   out               [.., out_stride]                                    T
 *
 * Math      softmax(scale * q k^T) v with running maximum and sum (arXiv:1805.02867).
 * Grid      (num_kv_heads * head_chunks, num_rows); 128 threads.
 * Work      A tile has tile_heads query heads of one KV head for each of its rows: fragment row r is row
 *           r / tile_heads, head r % tile_heads, so that a group's heads share the staged keys.  SPLIT simdgroups share
 *           16 fragment rows and own D / SPLIT elements of the head each: they add up their shares of the scores in
 *           threadgroup memory, and then each has all weights for its share of the output.  Keys are walked in steps
 *           of BK from a multiple of BK, so a row's sums do not depend on how its prefill was cut.
 * Memory    threadgroup: BK keys and BK values of T, in 2 PLACES or one after the other in one, and the shares of the
 *           scores.  q, scores, weights and output stay in fragments.
 * Requires  head_dim = D, (rows of a tile) * tile_heads <= 64 / SPLIT.
 * Numerics  float sums; weights are rounded to T for the second product. */
#include <metal_stdlib>
#include "kernels/attention.h"
#include "kernels/copy.h"
#include "kernels/frag.h"
#include "kernels/pack8.h"
using namespace metal;

constant constexpr uint PREFILL_THREADS = 128;

/* Where the tile's keys are. */
struct prefill_keys {
    uint kv_head, num_kv_heads, block_shift;
    int end; /* keys of the sequence that the tile's last row sees */
};

/* What a thread stages: packs tid, tid + 128, ... of a tile's BK * D / 8; the heads they are of, found a tile ahead. */
template <uint COUNT> struct prefill_heads {
    ulong heads[COUNT]; /* heads of a cache before it */
    bool seen[COUNT];
};

template <uint D, uint BK, uint COUNT>
METAL_FUNC void find_heads(thread prefill_heads<COUNT> &found, const device int *table,
                           thread const prefill_keys &keys, int begin, uint tid) {
#pragma unroll
    for (uint i = 0; i < COUNT; i++) {
        uint pack = tid + i * PREFILL_THREADS;
        int key = begin + int(pack / (D / 8));
        found.seen[i] = pack < BK * (D / 8) && key < keys.end;
        uint block = found.seen[i] ? uint(table[key >> keys.block_shift]) : 0u;
        ulong slot = (ulong(block) << keys.block_shift) + (uint(key) & ((1u << keys.block_shift) - 1u));
        found.heads[i] = slot * keys.num_kv_heads + keys.kv_head;
    }
}

/* In the background where the device can: ends with copy_commit(). */
METAL_FUNC void stage_pack(threadgroup float *to, const device float *from, float) {
    copy_16(to, from);
    copy_16(to + 4, from + 4);
}
METAL_FUNC void stage_pack(threadgroup half *to, const device half *from, float) {
    copy_16(to, from);
}
METAL_FUNC void stage_pack(threadgroup bfloat *to, const device bfloat *from, float) {
    copy_16(to, from);
}
template <typename T> METAL_FUNC void stage_pack(threadgroup T *to, const device char *from, float scale) {
    stage8(to, load8(from), scale);
}

/* BK heads into threadgroup memory; zeros behind the end. */
template <typename T, typename C, uint D, uint BK, uint COUNT>
METAL_FUNC void stage_tile(threadgroup T *to, const device C *cache, const device float *scales,
                           thread const prefill_heads<COUNT> &found, uint tid) {
#pragma unroll
    for (uint i = 0; i < COUNT; i++) {
        uint pack = tid + i * PREFILL_THREADS;
        threadgroup T *at = to + pack / (D / 8) * (D + 8) + pack % (D / 8) * 8;
        if (found.seen[i]) {
            float scale = sizeof(C) == 1 ? scales[found.heads[i]] : 1.0f;
            stage_pack(at, cache + found.heads[i] * D + pack % (D / 8) * 8, scale);
        } else if (pack < BK * (D / 8)) {
#pragma unroll
            for (uint e = 0; e < 8; e++) at[e] = T(0.0f);
        }
    }
    copy_commit();
}

/* A lane's two fragment rows. */
struct prefill_rows {
    uint first, second; /* heads * row + head in the tile; cut to the last one, which is then not written */
    bool has_first, has_second;
    int first_position, second_position;
};

METAL_FUNC prefill_rows rows_of_lane(uint lane, uint frag_begin, uint tile_heads, uint num_rows, int position) {
    prefill_rows rows;
    uint end = num_rows * tile_heads;
    rows.first = frag_begin + frag_row(lane, 0);
    rows.second = frag_begin + frag_row(lane, 2);
    rows.has_first = rows.first < end;
    rows.has_second = rows.second < end;
    rows.first = min(rows.first, end - 1u);
    rows.second = min(rows.second, end - 1u);
    rows.first_position = position + int(rows.first / tile_heads);
    rows.second_position = position + int(rows.second / tile_heads);
    return rows;
}

template <typename T, uint FRAGS>
METAL_FUNC void load_queries(thread frag_a<T> *queries, const device T *first, const device T *second, uint lane) {
#pragma unroll
    for (uint f = 0; f < FRAGS; f++) {
#pragma unroll
        for (uint i = 0; i < 8; i++) {
            frag_set(queries[f], i, ((i >> 1 & 1) ? second : first)[f * 16 + frag_col(lane, i)]);
        }
    }
}

template <uint KFRAGS> METAL_FUNC void cap_scores(thread frag_c *scores, float scale, float soft_cap) {
#pragma unroll
    for (uint k = 0; k < KFRAGS; k++) {
#pragma unroll
        for (uint i = 0; i < 8; i++) frag_set(scores[k], i, attention_score(frag_get(scores[k], i), scale, soft_cap));
    }
}

/* Masked products get a score too small for any weight. */
template <uint KFRAGS>
METAL_FUNC void mask_scores(thread frag_c *scores, thread const prefill_rows &rows, int begin, uint sliding_window,
                            uint lane) {
    const int first_key = attention_first_key(rows.first_position, sliding_window);
    const int second_key = attention_first_key(rows.second_position, sliding_window);
#pragma unroll
    for (uint k = 0; k < KFRAGS; k++) {
#pragma unroll
        for (uint i = 0; i < 8; i++) {
            int key = begin + int(k * 16 + frag_col(lane, i));
            bool is_second = (i >> 1 & 1) != 0;
            bool seen = key <= (is_second ? rows.second_position : rows.first_position) &&
                        key >= (is_second ? second_key : first_key);
            if (!seen) frag_set(scores[k], i, ATTENTION_NO_SCORE);
        }
    }
}

/* Scores, which times `unit` are in units of log2, to weights, in place; the running maximum and sum follow.  Gives the
 * factor of what was summed up before.  sum holds the lane's own columns alone. */
template <uint KFRAGS>
METAL_FUNC float2 weigh(thread frag_c *scores, thread float2 &top, thread float2 &sum, float unit) {
    float2 best = top;
#pragma unroll
    for (uint k = 0; k < KFRAGS; k++) {
        float2 tops = frag_row_max(scores[k]) * unit;
        best = float2(max(best.x, tops.x), max(best.y, tops.y));
    }
    float2 keep = float2(exp2(top.x - best.x), exp2(top.y - best.y));
    top = best;
    sum = sum * keep;
    /* Where a row has seen no key yet, its weights are to be 0 all the same. */
    float first = best.x > ATTENTION_NO_SCORE * 0.5f * unit ? best.x : 0.0f;
    float second = best.y > ATTENTION_NO_SCORE * 0.5f * unit ? best.y : 0.0f;
#pragma unroll
    for (uint k = 0; k < KFRAGS; k++) {
#pragma unroll
        for (uint i = 0; i < 8; i++) {
            bool is_second = (i >> 1 & 1) != 0;
            float weight = exp2(frag_get(scores[k], i) * unit - (is_second ? second : first));
            frag_set(scores[k], i, weight);
            if (is_second) {
                sum.y += weight;
            } else {
                sum.x += weight;
            }
        }
    }
    return keep;
}

/* Each of the SPLIT simdgroups that share rows has a share of the scores: all get the sum, in one order. */
template <uint SPLIT, uint KFRAGS>
METAL_FUNC void sum_shares(thread frag_c *scores, threadgroup float *shares, uint sg, uint lane) {
    constexpr uint STRIDE = KFRAGS * 16 + 4, SHARE = 16 * STRIDE;
#pragma unroll
    for (uint k = 0; k < KFRAGS; k++) frag_store(scores[k], shares + sg * SHARE + k * 16, STRIDE, lane);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    threadgroup const float *first = shares + sg / SPLIT * SPLIT * SHARE;
#pragma unroll
    for (uint k = 0; k < KFRAGS; k++) {
#pragma unroll
        for (uint i = 0; i < 8; i++) {
            float x = 0.0f;
            uint at = frag_row(lane, i) * STRIDE + k * 16 + frag_col(lane, i);
#pragma unroll
            for (uint s = 0; s < SPLIT; s++) x += first[s * SHARE + at];
            frag_set(scores[k], i, x);
        }
    }
}

template <typename T, uint FRAGS, uint KFRAGS, uint STRIDE>
METAL_FUNC void multiply_keys(thread frag_c *scores, thread const frag_a<T> *queries, const threadgroup T *keys) {
#pragma unroll
    for (uint k = 0; k < KFRAGS; k++) {
        frag_fill(scores[k], 0.0f);
#pragma unroll
        for (uint f = 0; f < FRAGS; f++) {
            frag_b<T> b;
            frag_load_bt(b, keys + k * 16 * STRIDE + f * 16, STRIDE);
            frag_mma(scores[k], queries[f], b);
        }
    }
}

template <typename T, uint FRAGS, uint KFRAGS, uint STRIDE>
METAL_FUNC void multiply_values(thread frag_c *output, thread const frag_c *scores, const threadgroup T *values) {
#pragma unroll
    for (uint k = 0; k < KFRAGS; k++) {
        frag_a<T> weights;
        frag_from_c(weights, scores[k]);
#pragma unroll
        for (uint f = 0; f < FRAGS; f++) {
            frag_b<T> b;
            frag_load_b(b, values + k * 16 * STRIDE + f * 16, STRIDE);
            frag_mma(output[f], weights, b);
        }
    }
}

/* The lanes' own sums together, and the sink: gives what the output is to be multiplied with. */
METAL_FUNC float2 finish_rows(float2 top, float2 sum, bool has_sinks, float first_sink, float second_sink) {
    frag_c sums;
    frag_fill(sums, 0.0f);
    frag_set(sums, 0, sum.x);
    frag_set(sums, 2, sum.y);
    sum = frag_row_sum(sums);
    if (!has_sinks) return float2(1.0f / sum.x, 1.0f / sum.y);
    float2 sink = float2(first_sink * M_LOG2E_F, second_sink * M_LOG2E_F);
    float2 best = float2(max(top.x, sink.x), max(top.y, sink.y));
    float2 keep = float2(exp2(top.x - best.x), exp2(top.y - best.y));
    sum = sum * keep + float2(exp2(sink.x - best.x), exp2(sink.y - best.y));
    return float2(keep.x / sum.x, keep.y / sum.y);
}

template <typename T, typename C, uint D, uint SPLIT, uint BK, uint PLACES>
[[kernel, max_total_threads_per_threadgroup(PREFILL_THREADS)]] void
attention_prefill(const device T *q [[buffer(0)]], const device C *k_cache [[buffer(1)]],
                  const device C *v_cache [[buffer(2)]], const device float *k_scale [[buffer(3)]],
                  const device float *v_scale [[buffer(4)]], const device int *block_tables [[buffer(5)]],
                  const device vmt_attention_tile *tiles [[buffer(6)]], const device float *sinks [[buffer(7)]],
                  device T *out [[buffer(8)]], constant vmt_attention_kargs &args [[buffer(9)]],
                  uint3 tg [[threadgroup_position_in_grid]], uint tid [[thread_index_in_threadgroup]],
                  uint lane [[thread_index_in_simdgroup]], uint sg [[simdgroup_index_in_threadgroup]]) {
    constexpr uint FRAGS = D / SPLIT / 16, KFRAGS = BK / 16, STRIDE = D + 8;
    constexpr uint PACKS = (BK * (D / 8) + PREFILL_THREADS - 1) / PREFILL_THREADS; /* a thread's share of a tile */
    threadgroup T staged[PLACES * BK * (D + 8)];
    threadgroup float shares[SPLIT == 1 ? 4 : 4 * 16 * (BK + 4)];
    threadgroup T *k_tile = staged;
    threadgroup T *v_tile = staged + (PLACES - 1) * BK * STRIDE;

    const uint group = args.num_heads / args.num_kv_heads, num_rows = uint(tiles[tg.y].num_rows);
    const uint first_head = (tg.x % args.head_chunks) * args.tile_heads;
    const uint tile_heads = min(args.tile_heads, group - first_head);
    const int position = tiles[tg.y].position, last_position = position + int(num_rows) - 1;
    prefill_keys keys;
    keys.kv_head = tg.x / args.head_chunks;
    keys.num_kv_heads = args.num_kv_heads;
    keys.block_shift = args.block_shift;
    keys.end = last_position + 1;
    const device int *table = block_tables + ulong(uint(tiles[tg.y].seq)) * args.table_stride;
    const uint head = keys.kv_head * group + first_head, slice = sg % SPLIT * (D / SPLIT);
    const prefill_rows rows = rows_of_lane(lane, sg / SPLIT * 16, tile_heads, num_rows, position);
    const ulong row_begin = ulong(uint(tiles[tg.y].row));
    const uint first_column = (head + rows.first % tile_heads) * D + slice;
    const uint second_column = (head + rows.second % tile_heads) * D + slice;
    const ulong first_row = row_begin + rows.first / tile_heads, second_row = row_begin + rows.second / tile_heads;

    frag_a<T> queries[FRAGS];
    frag_c output[FRAGS];
    load_queries<T, FRAGS>(queries, q + first_row * args.q_stride + first_column,
                           q + second_row * args.q_stride + second_column, lane);
#pragma unroll
    for (uint f = 0; f < FRAGS; f++) frag_fill(output[f], 0.0f);
    const float unit = args.soft_cap != 0.0f ? 1.0f : args.scale * M_LOG2E_F;
    float2 top = float2(ATTENTION_NO_SCORE * unit), sum = float2(0.0f);

    const int begin_all = attention_first_key(position, args.sliding_window) / int(BK) * int(BK);
    const int unmasked_from = attention_first_key(last_position, args.sliding_window);
    prefill_heads<PACKS> heads;
    find_heads<D, BK, PACKS>(heads, table, keys, begin_all, tid);
    stage_tile<T, C, D, BK, PACKS>(k_tile, k_cache, k_scale, heads, tid);
    for (int begin = begin_all; begin < keys.end; begin += int(BK)) {
        if (PLACES == 2) { /* values arrive while keys are multiplied, the next keys while values are */
            stage_tile<T, C, D, BK, PACKS>(v_tile, v_cache, v_scale, heads, tid);
            find_heads<D, BK, PACKS>(heads, table, keys, begin + int(BK), tid);
        }
        copy_wait<PLACES - 1>();
        threadgroup_barrier(mem_flags::mem_threadgroup);
        frag_c scores[KFRAGS];
        multiply_keys<T, FRAGS, KFRAGS, STRIDE>(scores, queries, k_tile + slice);
        if (SPLIT > 1) sum_shares<SPLIT, KFRAGS>(scores, shares, sg, lane);
        threadgroup_barrier(mem_flags::mem_threadgroup); /* the keys were read */
        if (PLACES == 2) {
            stage_tile<T, C, D, BK, PACKS>(k_tile, k_cache, k_scale, heads, tid);
        } else {
            stage_tile<T, C, D, BK, PACKS>(v_tile, v_cache, v_scale, heads, tid);
            find_heads<D, BK, PACKS>(heads, table, keys, begin + int(BK), tid);
        }
        if (args.soft_cap != 0.0f) cap_scores<KFRAGS>(scores, args.scale, args.soft_cap);
        if (begin + int(BK) - 1 > position || begin < unmasked_from) {
            mask_scores<KFRAGS>(scores, rows, begin, args.sliding_window, lane);
        }
        const float2 keep = weigh<KFRAGS>(scores, top, sum, unit);
        if (simd_any(keep.x != 1.0f || keep.y != 1.0f)) { /* rare once the maxima are found */
#pragma unroll
            for (uint f = 0; f < FRAGS; f++) frag_scale_rows(output[f], keep);
        }
        copy_wait<PLACES - 1>();
        threadgroup_barrier(mem_flags::mem_threadgroup);
        multiply_values<T, FRAGS, KFRAGS, STRIDE>(output, scores, v_tile + slice);
        threadgroup_barrier(mem_flags::mem_threadgroup); /* the values were read */
        if (PLACES == 1) stage_tile<T, C, D, BK, PACKS>(k_tile, k_cache, k_scale, heads, tid);
    }
    const bool has_sinks = args.has_sinks != 0u;
    const float2 scale = finish_rows(top, sum, has_sinks, has_sinks ? sinks[head + rows.first % tile_heads] : 0.0f,
                                     has_sinks ? sinks[head + rows.second % tile_heads] : 0.0f);
    device T *first_out = out + first_row * args.out_stride + first_column;
    device T *second_out = out + second_row * args.out_stride + second_column;
#pragma unroll
    for (uint f = 0; f < FRAGS; f++) {
        frag_scale_rows(output[f], scale);
#pragma unroll
        for (uint i = 0; i < 8; i++) {
            bool is_second = (i >> 1 & 1) != 0;
            device T *to = is_second ? second_out : first_out;
            if (is_second ? rows.has_second : rows.has_first) {
                to[f * 16 + frag_col(lane, i)] = T(frag_get(output[f], i));
            }
        }
    }
}

// ---- instantiations
#define PREFILL(name, T, C, d, split, bk, places)                          \
    template [[host_name(name)]] [[kernel]] decltype(                         \
        attention_prefill<T, C, d, split, bk, places>)                     \
        attention_prefill<T, C, d, split, bk, places>;
#define PREFILL_BOTH(d, split, bk, places, type, T)                        \
    PREFILL("attention_prefill_d" #d "_" #type, T, T, d, split, bk, places) \
    PREFILL("attention_prefill_d" #d "_i8_" #type, T, char, d, split, bk, places)
/* float has steps of 16 keys for its size, and no heads of 512. */
#define PREFILL_TYPE(type, T, bk)                                             \
    PREFILL_BOTH(16, 1, bk, 2, type, T)                                   \
    PREFILL_BOTH(32, 1, bk, 2, type, T)                                   \
    PREFILL_BOTH(64, 1, bk, 2, type, T)                                   \
    PREFILL_BOTH(80, 1, bk, 2, type, T)                                   \
    PREFILL_BOTH(96, 1, bk, 2, type, T)                                   \
    PREFILL_BOTH(112, 1, bk, 2, type, T)                                  \
    PREFILL_BOTH(128, 1, bk, 2, type, T)                                  \
    PREFILL_BOTH(192, 2, 16, 2, type, T)
PREFILL_TYPE(f32, float, 16)
PREFILL_TYPE(f16, half, 32)
PREFILL_TYPE(bf16, bfloat, 32)
PREFILL_BOTH(256, 2, 16, 1, f32, float)
PREFILL_BOTH(256, 2, 16, 2, f16, half)
PREFILL_BOTH(256, 2, 16, 2, bf16, bfloat)
PREFILL_BOTH(512, 4, 16, 1, f16, half)
PREFILL_BOTH(512, 4, 16, 1, bf16, bfloat)
