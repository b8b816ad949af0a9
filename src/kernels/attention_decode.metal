/* attention_decode.metal: one query row of a sequence against its paged KV.   reference: ops/gpu_attention_test.c */
#include <metal_stdlib>
#include "kernels/attention.h"
#include "kernels/pack8.h"
using namespace metal;

constant constexpr uint DECODE_SIMDGROUPS = 4;

/* attention_decode: a part of a row's context.
 *
 *   q                 [.., q_stride]                                      T      turned; heads from column 0
 *   k_cache, v_cache  [num_blocks, block_size, num_kv_heads, head_dim]    C      T, or int8
 *   k_scale, v_scale  [num_blocks, block_size, num_kv_heads]              float  with int8
 *   block_tables      [num_seqs, table_stride]                            int32
 *   parts             [num_rows]                                          vmt_attention_part
 *   sinks             [num_heads]                                         float  if args.has_sinks
 *   out               [.., out_stride]                                    T
 *   partials          [.., num_heads, head_dim + 4]                       float  sum of weights * v, maximum, sum
 *
 * Math      softmax(scale * q k^T) v with running maximum and sum (arXiv:1805.02867).
 * Grid      (num_kv_heads * head_chunks, num_rows): a threadgroup takes HEADS query heads of one KV head; 128 threads.
 * Work      LANES lanes share a key, 8 elements each (PIECES times), so 32 / LANES keys lie side by side; a step takes
 *           STEPS of those, all loads first.  Each set of LANES lanes has its own maximum and sum until the end: in the
 *           loop lanes exchange nothing but the log2(LANES) sums of a score.  Simdgroups take steps in turn.
 * Memory    threadgroup: 4 * (LANES * PIECES * 8 + 2) floats.  A key and a value are read once for HEADS heads.
 * Requires  head_dim a multiple of 8, at most LANES * PIECES * 8; key_begin a multiple of 16; blocks of 8 keys or more.
 * Numerics  float. */

METAL_FUNC float dot8(thread const float *q, floats8 k) {
    return q[0] * k.lo.x + q[1] * k.lo.y + q[2] * k.lo.z + q[3] * k.lo.w + q[4] * k.hi.x + q[5] * k.hi.y +
           q[6] * k.hi.z + q[7] * k.hi.w;
}

METAL_FUNC void add8(thread float *o, float weight, floats8 v) {
    o[0] += weight * v.lo.x;
    o[1] += weight * v.lo.y;
    o[2] += weight * v.lo.z;
    o[3] += weight * v.lo.w;
    o[4] += weight * v.hi.x;
    o[5] += weight * v.hi.y;
    o[6] += weight * v.hi.z;
    o[7] += weight * v.hi.w;
}

/* Where a lane works: its elements of its key's head. */
struct decode_lane {
    uint elem, key; /* first element; key of the ones side by side */
    uint kv_head, num_kv_heads, head_dim, block_shift;
    int first_key, key_end;
};

template <uint HEADS, uint ELEMS> struct decode_state {
    float query[HEADS][ELEMS], o[HEADS][ELEMS];
    float top[HEADS], sum[HEADS];
};

/* A step's keys and values as loaded. */
template <typename C, uint STEPS, uint PIECES> struct decode_tile {
    pack8<C> keys[STEPS][PIECES], values[STEPS][PIECES];
    float key_scales[STEPS], value_scales[STEPS];
    bool seen[STEPS];
};

template <typename T, uint LANES, uint PIECES, uint HEADS>
METAL_FUNC void begin_state(thread decode_state<HEADS, PIECES * 8> &state, const device T *q, uint heads, uint elem,
                            uint head_dim) {
#pragma unroll
    for (uint h = 0; h < HEADS; h++) {
        const device T *from = q + min(h, heads - 1u) * head_dim + elem; /* a head too many is not written */
#pragma unroll
        for (uint p = 0; p < PIECES; p++) {
            pack8<T> raw;
            zero8(raw);
            if (elem + p * LANES * 8 < head_dim) raw = load8(from + p * LANES * 8);
            to_array(unpack8(raw), &state.query[h][p * 8]);
        }
        state.top[h] = ATTENTION_NO_SCORE;
        state.sum[h] = 0.0f;
#pragma unroll
        for (uint e = 0; e < PIECES * 8; e++) state.o[h][e] = 0.0f;
    }
}

/* Keys from `base` on; ids: their blocks, one for 8 keys. */
template <typename C, uint LANES, uint PIECES, uint STEPS>
METAL_FUNC void load_tile(thread decode_tile<C, STEPS, PIECES> &tile, thread const uint *ids, int base,
                          thread const decode_lane &at, const device C *k_cache, const device C *v_cache,
                          const device float *k_scale, const device float *v_scale) {
    constexpr uint KEYS = 32 / LANES;
#pragma unroll
    for (uint s = 0; s < STEPS; s++) {
        int key = base + int(s * KEYS + at.key);
        tile.seen[s] = key >= at.first_key && key < at.key_end;
        ulong slot = (ulong(ids[s * KEYS / 8]) << at.block_shift) + (uint(key) & ((1u << at.block_shift) - 1u));
        ulong head = slot * at.num_kv_heads + at.kv_head;
        const device C *k = k_cache + head * at.head_dim + at.elem;
        const device C *v = v_cache + head * at.head_dim + at.elem;
#pragma unroll
        for (uint p = 0; p < PIECES; p++) {
            bool is_there = tile.seen[s] && at.elem + p * LANES * 8 < at.head_dim;
            zero8(tile.keys[s][p]);
            zero8(tile.values[s][p]);
            if (is_there) tile.keys[s][p] = load8(k + p * LANES * 8);
            if (is_there) tile.values[s][p] = load8(v + p * LANES * 8);
        }
        tile.key_scales[s] = tile.value_scales[s] = 1.0f;
        if (sizeof(C) == 1 && tile.seen[s]) {
            tile.key_scales[s] = k_scale[head];
            tile.value_scales[s] = v_scale[head];
        }
    }
}

template <typename C, uint LANES, uint PIECES, uint HEADS, uint STEPS>
METAL_FUNC void add_tile(thread decode_state<HEADS, PIECES * 8> &state,
                         thread const decode_tile<C, STEPS, PIECES> &tile, float scale, float soft_cap) {
    float weights[HEADS][STEPS];
#pragma unroll
    for (uint s = 0; s < STEPS; s++) {
#pragma unroll
        for (uint h = 0; h < HEADS; h++) weights[h][s] = 0.0f;
#pragma unroll
        for (uint p = 0; p < PIECES; p++) {
            floats8 k = unpack8(tile.keys[s][p]);
#pragma unroll
            for (uint h = 0; h < HEADS; h++) weights[h][s] += dot8(&state.query[h][p * 8], k);
        }
#pragma unroll
        for (uint h = 0; h < HEADS; h++) {
            float x = weights[h][s];
#pragma unroll
            for (uint mask = LANES / 2; mask > 0; mask /= 2) x += simd_shuffle_xor(x, ushort(mask));
            x = attention_score(x * tile.key_scales[s], scale, soft_cap);
            weights[h][s] = tile.seen[s] ? x : ATTENTION_NO_SCORE;
        }
    }
#pragma unroll
    for (uint h = 0; h < HEADS; h++) {
        float top = state.top[h];
#pragma unroll
        for (uint s = 0; s < STEPS; s++) top = max(top, weights[h][s]);
        float keep = exp2(state.top[h] - top);
        state.top[h] = top;
        state.sum[h] *= keep;
#pragma unroll
        for (uint s = 0; s < STEPS; s++) {
            float weight = tile.seen[s] ? exp2(weights[h][s] - top) : 0.0f;
            state.sum[h] += weight;
            weights[h][s] = weight * tile.value_scales[s];
        }
#pragma unroll
        for (uint e = 0; e < PIECES * 8; e++) state.o[h][e] *= keep;
    }
#pragma unroll
    for (uint s = 0; s < STEPS; s++) {
#pragma unroll
        for (uint p = 0; p < PIECES; p++) {
            floats8 v = unpack8(tile.values[s][p]);
#pragma unroll
            for (uint h = 0; h < HEADS; h++) add8(&state.o[h][p * 8], weights[h][s], v);
        }
    }
}

/* Folds the state of the lanes `mask` away into this one's. */
template <uint HEADS, uint ELEMS> METAL_FUNC void fold_lanes(thread decode_state<HEADS, ELEMS> &state, ushort mask) {
#pragma unroll
    for (uint h = 0; h < HEADS; h++) {
        float other = simd_shuffle_xor(state.top[h], mask);
        float top = max(state.top[h], other);
        float mine = exp2(state.top[h] - top), theirs = exp2(other - top);
        state.top[h] = top;
        state.sum[h] = state.sum[h] * mine + simd_shuffle_xor(state.sum[h], mask) * theirs;
#pragma unroll
        for (uint e = 0; e < ELEMS; e++) {
            state.o[h][e] = state.o[h][e] * mine + simd_shuffle_xor(state.o[h][e], mask) * theirs;
        }
    }
}

/* The weights of the simdgroups' results among one another; gives the sum of all weights, and the maximum. */
METAL_FUNC float2 merge_simdgroups(thread float *weights, threadgroup const float *tops, threadgroup const float *sums,
                                   bool has_sink, float sink) {
    float top = has_sink ? sink : ATTENTION_NO_SCORE;
#pragma unroll
    for (uint i = 0; i < DECODE_SIMDGROUPS; i++) top = max(top, tops[i]);
    float sum = has_sink ? exp2(sink - top) : 0.0f;
#pragma unroll
    for (uint i = 0; i < DECODE_SIMDGROUPS; i++) {
        weights[i] = exp2(tops[i] - top);
        sum += sums[i] * weights[i];
    }
    return float2(sum, top);
}

template <typename T, typename C, uint LANES, uint PIECES, uint HEADS, uint STEPS>
[[kernel, max_total_threads_per_threadgroup(DECODE_SIMDGROUPS * 32)]] void
attention_decode(const device T *q [[buffer(0)]], const device C *k_cache [[buffer(1)]],
                 const device C *v_cache [[buffer(2)]], const device float *k_scale [[buffer(3)]],
                 const device float *v_scale [[buffer(4)]], const device int *block_tables [[buffer(5)]],
                 const device vmt_attention_part *parts [[buffer(6)]], const device float *sinks [[buffer(7)]],
                 device T *out [[buffer(8)]], device float *partials [[buffer(9)]],
                 constant vmt_attention_kargs &args [[buffer(10)]], uint3 tg [[threadgroup_position_in_grid]],
                 uint tid [[thread_index_in_threadgroup]], uint lane [[thread_index_in_simdgroup]],
                 uint sg [[simdgroup_index_in_threadgroup]]) {
    constexpr uint STEP_KEYS = 32 / LANES * STEPS; /* 2, 4, 8 or 16 */
    constexpr uint IDS = (STEP_KEYS + 7) / 8;      /* blocks have 8 keys or more, so 8 aligned keys share one */
    threadgroup float shared_o[DECODE_SIMDGROUPS][LANES * PIECES * 8];
    threadgroup float tops[DECODE_SIMDGROUPS];
    threadgroup float sums[DECODE_SIMDGROUPS];

    const uint group = args.num_heads / args.num_kv_heads, first_head = (tg.x % args.head_chunks) * HEADS;
    const uint heads = min(HEADS, group - first_head);
    const uint row = uint(parts[tg.y].row);
    decode_lane at;
    at.elem = (lane % LANES) * 8;
    at.key = lane / LANES;
    at.kv_head = tg.x / args.head_chunks;
    at.num_kv_heads = args.num_kv_heads;
    at.head_dim = args.head_dim;
    at.block_shift = args.block_shift;
    at.first_key = max(parts[tg.y].key_begin, attention_first_key(parts[tg.y].num_keys - 1, args.sliding_window));
    at.key_end = parts[tg.y].key_end;
    const uint head_begin = at.kv_head * group + first_head;
    decode_state<HEADS, PIECES * 8> state;
    begin_state<T, LANES, PIECES, HEADS>(state, q + ulong(row) * args.q_stride + head_begin * args.head_dim, heads,
                                         at.elem, args.head_dim);

    const device int *table = block_tables + ulong(uint(parts[tg.y].seq)) * args.table_stride;
    int base = (at.first_key / int(STEP_KEYS) + int(sg)) * int(STEP_KEYS);
    uint ids[IDS];
#pragma unroll
    for (uint i = 0; i < IDS; i++) ids[i] = uint(table[min(base + int(i * 8), at.key_end - 1) >> args.block_shift]);
    while (base < at.key_end) {
        decode_tile<C, STEPS, PIECES> tile;
        load_tile<C, LANES, PIECES, STEPS>(tile, ids, base, at, k_cache, v_cache, k_scale, v_scale);
        base += int(STEP_KEYS * DECODE_SIMDGROUPS);
#pragma unroll
        for (uint i = 0; i < IDS; i++) { /* the next step's blocks, while the loads run */
            ids[i] = uint(table[min(base + int(i * 8), at.key_end - 1) >> args.block_shift]);
        }
        add_tile<C, LANES, PIECES, HEADS, STEPS>(state, tile, args.scale, args.soft_cap);
    }
#pragma unroll
    for (uint mask = LANES; mask < 32; mask *= 2) fold_lanes<HEADS, PIECES * 8>(state, ushort(mask));

    const int partial = parts[tg.y].partial;
#pragma unroll
    for (uint h = 0; h < HEADS; h++) {
        threadgroup_barrier(mem_flags::mem_threadgroup); /* the head before was read */
        if (lane < LANES) {
#pragma unroll
            for (uint e = 0; e < PIECES * 8; e++) shared_o[sg][e / 8 * LANES * 8 + at.elem + e % 8] = state.o[h][e];
        }
        if (lane == 0) {
            tops[sg] = state.top[h];
            sums[sg] = state.sum[h];
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (h >= heads) continue;
        const uint head = head_begin + h;
        const bool has_sink = partial < 0 && args.has_sinks != 0u; /* else the merge adds it */
        float weights[DECODE_SIMDGROUPS];
        float2 all = merge_simdgroups(weights, tops, sums, has_sink, has_sink ? sinks[head] * M_LOG2E_F : 0.0f);
        const ulong result = (ulong(uint(max(partial, 0))) * args.num_heads + head) *
                             (args.head_dim + VMT_ATTENTION_PARTIAL_PAD);
        for (uint d = tid; d < args.head_dim; d += 32 * DECODE_SIMDGROUPS) {
            float x = 0.0f;
#pragma unroll
            for (uint i = 0; i < DECODE_SIMDGROUPS; i++) x += shared_o[i][d] * weights[i];
            if (partial < 0) {
                out[ulong(row) * args.out_stride + head * args.head_dim + d] = T(x / all.x);
            } else {
                partials[result + d] = x;
            }
        }
        if (partial >= 0 && tid == 0) {
            partials[result + args.head_dim] = all.y;
            partials[result + args.head_dim + 1] = all.x;
        }
    }
}

/* attention_merge: a row's partial results.
 *
 *   partials  as above;  merges [num_rows] vmt_attention_merge;  sinks [num_heads] float
 *   out       [.., out_stride]  T
 *
 * Grid      (num_heads, num_rows); 128 threads: a thread a part, then a thread an element.
 * Requires  at most 128 parts a row.  A part that saw no key has sum 0. */
template <typename T>
[[kernel, max_total_threads_per_threadgroup(128)]] void
attention_merge(const device float *partials [[buffer(0)]], const device vmt_attention_merge *merges [[buffer(1)]],
                const device float *sinks [[buffer(2)]], device T *out [[buffer(3)]],
                constant vmt_attention_kargs &args [[buffer(4)]], uint3 tg [[threadgroup_position_in_grid]],
                uint tid [[thread_index_in_threadgroup]], uint lane [[thread_index_in_simdgroup]],
                uint sg [[simdgroup_index_in_threadgroup]]) {
    threadgroup float weights[VMT_ATTENTION_PARTS_MAX];
    threadgroup float shared[4];
    const int row = merges[tg.y].row, begin = merges[tg.y].partial_begin, end = merges[tg.y].partial_end;
    const uint stride = args.head_dim + VMT_ATTENTION_PARTIAL_PAD, parts = uint(end - begin);
    const device float *first = partials + (ulong(uint(begin)) * args.num_heads + tg.x) * stride;
    const ulong part_stride = ulong(args.num_heads) * stride;
    float mine = ATTENTION_NO_SCORE, sum = 0.0f;
    if (tid < parts) {
        mine = first[tid * part_stride + args.head_dim];
        sum = first[tid * part_stride + args.head_dim + 1];
    }
    float top = simd_max(mine);
    if (lane == 0) shared[sg] = top;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    top = max(max(shared[0], shared[1]), max(shared[2], shared[3]));
    if (args.has_sinks != 0u) top = max(top, sinks[tg.x] * M_LOG2E_F);
    float weight = sum > 0.0f ? exp2(mine - top) : 0.0f;
    weights[tid] = weight;
    sum = simd_sum(sum * weight);
    threadgroup_barrier(mem_flags::mem_threadgroup); /* the maxima were read */
    if (lane == 0) shared[sg] = sum;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    sum = shared[0] + shared[1] + shared[2] + shared[3];
    if (args.has_sinks != 0u) sum += exp2(sinks[tg.x] * M_LOG2E_F - top);
    const float inv = 1.0f / sum;
    for (uint d = tid; d < args.head_dim; d += 128) {
        float x = 0.0f;
        for (uint i = 0; i < parts; i++) x += weights[i] * first[i * part_stride + d];
        out[ulong(uint(row)) * args.out_stride + tg.x * args.head_dim + d] = T(x * inv);
    }
}

// ---- instantiations
/* Head sizes up to 64, 128, 256 and 512; 1, 2 or 4 query heads that share a key. */
#define DECODE(name, T, C, lanes, pieces, heads, steps)                            \
    template [[host_name(name)]] [[kernel]] decltype(                              \
        attention_decode<T, C, lanes, pieces, heads, steps>)                       \
        attention_decode<T, C, lanes, pieces, heads, steps>;
#define DECODE_HEADS(heads, suffix, T, C)                                          \
    DECODE("attention_decode_d64_h" #heads suffix, T, C, 8, 1, heads, 4)           \
    DECODE("attention_decode_d128_h" #heads suffix, T, C, 16, 1, heads, 4)         \
    DECODE("attention_decode_d256_h" #heads suffix, T, C, 32, 1, heads, 4)         \
    DECODE("attention_decode_d512_h" #heads suffix, T, C, 32, 2, heads, 2)
#define DECODE_TYPE(type, T)                                                       \
    DECODE_HEADS(1, "_" #type, T, T)                                               \
    DECODE_HEADS(2, "_" #type, T, T)                                               \
    DECODE_HEADS(4, "_" #type, T, T)                                               \
    DECODE_HEADS(1, "_i8_" #type, T, char)                                         \
    DECODE_HEADS(2, "_i8_" #type, T, char)                                         \
    DECODE_HEADS(4, "_i8_" #type, T, char)                                         \
    template [[host_name("attention_merge_" #type)]] [[kernel]] decltype(attention_merge<T>) attention_merge<T>;
DECODE_TYPE(f32, float)
DECODE_TYPE(f16, half)
DECODE_TYPE(bf16, bfloat)
