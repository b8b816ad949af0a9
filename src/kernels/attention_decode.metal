/* attention_decode.metal: one query row of a sequence against its paged KV.   reference: ops/gpu_attention_test.c */
#include <metal_stdlib>
#include "kernels/copy.h"
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
 *           STEPS of those, all loads first.  Lanes add up scores so that each ends with its share of them, and pass on
 *           weights.  Each set of LANES lanes has maxima and sums of its own until the end.  Simdgroups take turns.
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
    uint first_score; /* of those it holds */
    uint kv_head, num_kv_heads, head_dim, block_shift;
    int first_key, key_end;
};

/* The scores of a step, head * STEPS + step, are shared out: HELD neighbours to every SPREAD-th of the LANES lanes.  So
 * a score is masked, and its weight computed, by one lane and not by all. */
template <uint HEADS, uint ELEMS> struct decode_state {
    float query[HEADS][ELEMS], o[HEADS][ELEMS];
    float top, sum; /* of the head whose scores the lane holds; sum: of the lane's own */
};

/* A step's keys and values as loaded. */
template <typename C, uint STEPS, uint PIECES, uint HELD> struct decode_tile {
    pack8<C> keys[STEPS][PIECES], values[STEPS][PIECES];
    float key_scales[HELD], value_scales[HELD]; /* of the scores that the lane holds */
    bool seen[HELD];
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
#pragma unroll
        for (uint e = 0; e < PIECES * 8; e++) state.o[h][e] = 0.0f;
    }
    state.top = ATTENTION_NO_SCORE;
    state.sum = 0.0f;
}

/* Where a key's head begins, in heads; ids: the blocks of the keys from `base` on, one for 8. */
METAL_FUNC ulong head_of_key(thread const uint *ids, uint offset, int base, thread const decode_lane &at, uint keys) {
    uint key = uint(base) + offset;
    uint id = keys > 8u && offset >= 8u ? ids[1] : ids[0];
    ulong slot = (ulong(id) << at.block_shift) + (key & ((1u << at.block_shift) - 1u));
    return slot * at.num_kv_heads + at.kv_head;
}

template <typename C, uint LANES, uint PIECES, uint STEPS, uint HELD>
METAL_FUNC void load_tile(thread decode_tile<C, STEPS, PIECES, HELD> &tile, thread const uint *ids, int base,
                          thread const decode_lane &at, const device C *k_cache, const device C *v_cache,
                          const device float *k_scale, const device float *v_scale) {
    constexpr uint KEYS = 32 / LANES;
#pragma unroll
    for (uint s = 0; s < STEPS; s++) {
        int key = base + int(s * KEYS + at.key);
        ulong head = head_of_key(ids, s * KEYS + at.key, base, at, KEYS * STEPS);
        const device C *k = k_cache + head * at.head_dim + at.elem;
        const device C *v = v_cache + head * at.head_dim + at.elem;
#pragma unroll
        for (uint p = 0; p < PIECES; p++) {
            bool is_there = key >= at.first_key && key < at.key_end && at.elem + p * LANES * 8 < at.head_dim;
            zero8(tile.keys[s][p]);
            zero8(tile.values[s][p]);
            if (is_there) tile.keys[s][p] = load8(k + p * LANES * 8);
            if (is_there) tile.values[s][p] = load8(v + p * LANES * 8);
        }
    }
#pragma unroll
    for (uint i = 0; i < HELD; i++) {
        uint offset = (at.first_score % STEPS + i) * KEYS + at.key;
        int key = base + int(offset);
        tile.seen[i] = key >= at.first_key && key < at.key_end;
        tile.key_scales[i] = tile.value_scales[i] = 1.0f;
        if (sizeof(C) == 1 && tile.seen[i]) {
            ulong head = head_of_key(ids, offset, base, at, KEYS * STEPS);
            tile.key_scales[i] = k_scale[head];
            tile.value_scales[i] = v_scale[head];
        }
    }
}

/* Sums each of COUNT values over LANES lanes; afterwards a lane has those that it is to hold, from x[0] on. */
template <uint LANES, uint COUNT> METAL_FUNC void share_out(thread float *x, uint lane) {
    uint count = COUNT;
#pragma unroll
    for (uint mask = LANES / 2; mask > 0; mask /= 2) {
        if (count == 1) {
            x[0] += simd_shuffle_xor(x[0], ushort(mask));
            continue;
        }
        count /= 2;
        bool takes_upper = (lane & mask) != 0u;
#pragma unroll
        for (uint i = 0; i < COUNT / 2; i++) {
            if (i >= count) break;
            float given = takes_upper ? x[i] : x[i + count];
            float kept = takes_upper ? x[i + count] : x[i];
            x[i] = kept + simd_shuffle_xor(given, ushort(mask));
        }
    }
}

/* Scores to weights, in place.  Gives the factor of what the head has summed up before. */
template <typename C, uint LANES, uint PIECES, uint HEADS, uint STEPS, uint HELD>
METAL_FUNC float weigh(thread float *scores, thread decode_state<HEADS, PIECES * 8> &state,
                       thread const decode_tile<C, STEPS, PIECES, HELD> &tile, float scale, float soft_cap) {
    constexpr uint SPREAD = HEADS * STEPS < LANES ? LANES / (HEADS * STEPS) : 1;
    float top = state.top;
#pragma unroll
    for (uint i = 0; i < HELD; i++) {
        float x = attention_score(scores[i] * tile.key_scales[i], scale, soft_cap);
        scores[i] = tile.seen[i] ? x : ATTENTION_NO_SCORE;
        top = max(top, scores[i]);
    }
#pragma unroll
    for (uint mask = SPREAD; mask < SPREAD * STEPS / HELD; mask *= 2) {
        top = max(top, simd_shuffle_xor(top, ushort(mask)));
    }
    float keep = exp2(state.top - top);
    state.top = top;
    state.sum *= keep;
#pragma unroll
    for (uint i = 0; i < HELD; i++) {
        float weight = tile.seen[i] ? exp2(scores[i] - top) : 0.0f;
        state.sum += weight;
        scores[i] = weight * tile.value_scales[i];
    }
    return keep;
}

template <typename C, uint LANES, uint PIECES, uint HEADS, uint STEPS, uint HELD>
METAL_FUNC void add_tile(thread decode_state<HEADS, PIECES * 8> &state,
                         thread const decode_tile<C, STEPS, PIECES, HELD> &tile, float scale, float soft_cap,
                         uint lane) {
    constexpr uint SPREAD = HEADS * STEPS < LANES ? LANES / (HEADS * STEPS) : 1;
    const uint key_lane = lane & ~(LANES - 1u); /* the first of the lanes that share this lane's keys */
    float scores[HEADS * STEPS];
#pragma unroll
    for (uint s = 0; s < STEPS; s++) {
#pragma unroll
        for (uint h = 0; h < HEADS; h++) scores[h * STEPS + s] = 0.0f;
#pragma unroll
        for (uint p = 0; p < PIECES; p++) {
            floats8 k = unpack8(tile.keys[s][p]);
#pragma unroll
            for (uint h = 0; h < HEADS; h++) scores[h * STEPS + s] += dot8(&state.query[h][p * 8], k);
        }
    }
    share_out<LANES, HEADS * STEPS>(scores, lane);
    float keep = weigh<C, LANES, PIECES, HEADS, STEPS, HELD>(scores, state, tile, scale, soft_cap);
    if (simd_any(keep != 1.0f)) { /* rare once the maxima are found */
#pragma unroll
        for (uint h = 0; h < HEADS; h++) {
            float factor = simd_shuffle(keep, ushort(key_lane + h * STEPS / HELD * SPREAD));
#pragma unroll
            for (uint e = 0; e < PIECES * 8; e++) state.o[h][e] *= factor;
        }
    }
#pragma unroll
    for (uint s = 0; s < STEPS; s++) {
        float weights[HEADS];
#pragma unroll
        for (uint h = 0; h < HEADS; h++) {
            uint score = h * STEPS + s;
            weights[h] = simd_shuffle(scores[score % HELD], ushort(key_lane + score / HELD * SPREAD));
        }
#pragma unroll
        for (uint p = 0; p < PIECES; p++) {
            floats8 v = unpack8(tile.values[s][p]);
#pragma unroll
            for (uint h = 0; h < HEADS; h++) add8(&state.o[h][p * 8], weights[h], v);
        }
    }
}

/* The state of one head over all keys of the simdgroup, in every lane: gives (maximum, sum), o alike. */
template <uint LANES, uint HEADS, uint STEPS, uint HELD, uint ELEMS>
METAL_FUNC float2 fold_head(thread decode_state<HEADS, ELEMS> &state, uint h, uint lane) {
    constexpr uint SPREAD = HEADS * STEPS < LANES ? LANES / (HEADS * STEPS) : 1;
    ushort holder = ushort((lane & ~(LANES - 1u)) + h * STEPS / HELD * SPREAD);
    float top = simd_shuffle(state.top, holder), sum = state.sum;
#pragma unroll
    for (uint mask = SPREAD; mask < SPREAD * STEPS / HELD; mask *= 2) sum += simd_shuffle_xor(sum, ushort(mask));
    sum = simd_shuffle(sum, holder);
#pragma unroll
    for (uint mask = LANES; mask < 32; mask *= 2) {
        float other = simd_shuffle_xor(top, ushort(mask));
        float best = max(top, other);
        float mine = exp2(top - best), theirs = exp2(other - best);
        top = best;
        sum = sum * mine + simd_shuffle_xor(sum, ushort(mask)) * theirs;
#pragma unroll
        for (uint e = 0; e < ELEMS; e++) {
            state.o[h][e] = state.o[h][e] * mine + simd_shuffle_xor(state.o[h][e], ushort(mask)) * theirs;
        }
    }
    return float2(top, sum);
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
    wait_for_previous();
    constexpr uint STEP_KEYS = 32 / LANES * STEPS; /* 2, 4, 8 or 16 */
    constexpr uint IDS = (STEP_KEYS + 7) / 8;      /* blocks have 8 keys or more, so 8 aligned keys share one */
    constexpr uint HELD = HEADS * STEPS > LANES ? HEADS * STEPS / LANES : 1;
    constexpr uint SPREAD = HEADS * STEPS < LANES ? LANES / (HEADS * STEPS) : 1;
    threadgroup float shared_o[DECODE_SIMDGROUPS][LANES * PIECES * 8];
    threadgroup float tops[DECODE_SIMDGROUPS];
    threadgroup float sums[DECODE_SIMDGROUPS];

    const uint group = args.num_heads / args.num_kv_heads, first_head = (tg.x % args.head_chunks) * HEADS;
    const uint heads = min(HEADS, group - first_head);
    const uint row = uint(parts[tg.y].row);
    decode_lane at;
    at.elem = (lane % LANES) * 8;
    at.key = lane / LANES;
    at.first_score = lane % LANES / SPREAD * HELD;
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
        decode_tile<C, STEPS, PIECES, HELD> tile;
        load_tile<C, LANES, PIECES, STEPS, HELD>(tile, ids, base, at, k_cache, v_cache, k_scale, v_scale);
        base += int(STEP_KEYS * DECODE_SIMDGROUPS);
#pragma unroll
        for (uint i = 0; i < IDS; i++) { /* the next step's blocks, while the loads run */
            ids[i] = uint(table[min(base + int(i * 8), at.key_end - 1) >> args.block_shift]);
        }
        add_tile<C, LANES, PIECES, HEADS, STEPS, HELD>(state, tile, args.scale, args.soft_cap, lane);
    }
    const int partial = parts[tg.y].partial;
#pragma unroll
    for (uint h = 0; h < HEADS; h++) {
        float2 own = fold_head<LANES, HEADS, STEPS, HELD, PIECES * 8>(state, h, lane);
        threadgroup_barrier(mem_flags::mem_threadgroup); /* the head before was read */
        if (lane < LANES) {
#pragma unroll
            for (uint e = 0; e < PIECES * 8; e++) shared_o[sg][e / 8 * LANES * 8 + at.elem + e % 8] = state.o[h][e];
        }
        if (lane == 0) {
            tops[sg] = own.x;
            sums[sg] = own.y;
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
    wait_for_previous();
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
