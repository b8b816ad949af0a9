/* sample.metal: tokens drawn from a step's logits.   reference: vmt_sample_reference() in ops/sample.c
 *
 *   resolve_tokens   ids that the step before sampled take their places
 *   sample_edit      bans, biases and penalties of rows; what was there is saved
 *   sample_max       the best of each chunk of a row
 *   sample_pick      the token: the best, or a draw from what min_p, top_k and top_p leave
 *   sample_restore   the logits as the model gave them
 *   score_rows       log probability and rank of a token, and the best ones */
#include <metal_stdlib>
#include "kernels/copy.h"
#include "kernels/sample.h"
using namespace metal;

constant constexpr uint SAMPLE_THREADS = 256;
constant constexpr uint SAMPLE_SIMDGROUPS = 8;

/* resolve_tokens: where a row's token is not known to the host yet.
 *
 *   token_ids  [num_rows]  int32
 *   sources    [num_rows]  int32   -1, or an index of previous
 *   previous   [..]        int32   what the step before sampled
 *   out        [num_rows]  int32
 *
 * Grid      (ceil(num_rows / 256)); 256 threads. */
template <uint N>
[[kernel, max_total_threads_per_threadgroup(SAMPLE_THREADS)]]
void resolve_tokens(const device int *token_ids [[buffer(0)]],
                    const device int *sources [[buffer(1)]],
                    const device int *previous [[buffer(2)]],
                    device int *out [[buffer(3)]],
                    constant vmt_resolve_tokens_kargs &args [[buffer(4)]],
                    uint3 tg [[threadgroup_position_in_grid]],
                    uint tid [[thread_index_in_threadgroup]]) {
    wait_for_previous();
    uint i = tg.x * N + tid;
    if (i < args.num_rows) out[i] = sources[i] >= 0 ? previous[sources[i]] : token_ids[i];
}

METAL_FUNC uint ban_bits() {
    return 0xff800000;
}

METAL_FUNC uint penalized(const device vmt_row_edits &row, uint bits, uint count) {
    uint key = key_of(bits);
    if (key <= KEY_ABSENT || key >= KEY_INFINITE) return bits;
    float logit = as_type<float>(bits);
    logit = logit > 0.0f ? precise::divide(logit, row.repetition) : logit * row.repetition;
    if (count > 0) logit = logit - row.frequency * float(count) - row.presence;
    return as_type<uint>(logit);
}

METAL_FUNC uint biased(uint bits, float bias) {
    uint key = key_of(bits);
    if (key <= KEY_ABSENT || key >= KEY_INFINITE) return bits;
    return as_type<uint>(as_type<float>(bits) + bias);
}

/* sample_edit: one row's list of edits, in order; every touched logit is saved first.
 *
 *   logits    [.., vocab]           bits of float, edited in place
 *   edited    [num_rows]            vmt_row_edits; logit rows differ
 *   edits     [..]                  vmt_edit
 *   previous  [..]                  int32   what the step before sampled
 *   saved     [edits_max + num_rows] bits of float
 *
 * Grid      (num_rows); 256 threads. */
template <uint N>
[[kernel, max_total_threads_per_threadgroup(SAMPLE_THREADS)]]
void sample_edit(device uint *logits [[buffer(0)]],
                 const device vmt_row_edits *edited [[buffer(1)]],
                 const device vmt_edit *edits [[buffer(2)]],
                 const device int *previous [[buffer(3)]],
                 device uint *saved [[buffer(4)]],
                 constant vmt_sample_edit_kargs &args [[buffer(5)]],
                 uint3 tg [[threadgroup_position_in_grid]],
                 uint tid [[thread_index_in_threadgroup]]) {
    threadgroup atomic_uint is_listed;
    wait_for_previous();
    const device vmt_row_edits &row = edited[tg.x];
    device uint *p = logits + ulong(row.logit_row) * args.vocab;
    int expected = row.expected >= 0 ? previous[row.expected] : -1;
    uint begin = row.first_edit, end_bans = begin + row.num_bans, end_biases = end_bans + row.num_biases;
    uint end = end_biases + row.num_counts;
    if (tid == 0) atomic_store_explicit(&is_listed, 0, memory_order_relaxed);
    for (uint i = begin + tid; i < end; i += N) saved[i] = p[edits[i].token_id];
    if (tid == 0 && expected >= 0) saved[args.edits_max + tg.x] = p[expected];
    threadgroup_barrier(mem_flags::mem_device | mem_flags::mem_threadgroup);
    for (uint i = begin + tid; i < end_bans; i += N) {
        int condition = edits[i].u.condition;
        if (condition == -1 || condition == expected) p[edits[i].token_id] = ban_bits();
    }
    threadgroup_barrier(mem_flags::mem_device);
    for (uint i = end_bans + tid; i < end_biases; i += N) {
        p[edits[i].token_id] = biased(p[edits[i].token_id], edits[i].u.bias);
    }
    threadgroup_barrier(mem_flags::mem_device);
    for (uint i = end_biases + tid; i < end; i += N) {
        int id = edits[i].token_id;
        bool is_expected = id == expected;
        if (is_expected) atomic_store_explicit(&is_listed, 1, memory_order_relaxed);
        p[id] = penalized(row, p[id], edits[i].u.count + (is_expected ? 1 : 0));
    }
    threadgroup_barrier(mem_flags::mem_device | mem_flags::mem_threadgroup);
    if (tid == 0 && expected >= 0 && atomic_load_explicit(&is_listed, memory_order_relaxed) == 0) {
        p[expected] = penalized(row, p[expected], 1);
    }
}

/* sample_restore: what sample_edit saved goes back.  Parameters and grid are its. */
template <uint N>
[[kernel, max_total_threads_per_threadgroup(SAMPLE_THREADS)]]
void sample_restore(device uint *logits [[buffer(0)]],
                    const device vmt_row_edits *edited [[buffer(1)]],
                    const device vmt_edit *edits [[buffer(2)]],
                    const device int *previous [[buffer(3)]],
                    const device uint *saved [[buffer(4)]],
                    constant vmt_sample_edit_kargs &args [[buffer(5)]],
                    uint3 tg [[threadgroup_position_in_grid]],
                    uint tid [[thread_index_in_threadgroup]]) {
    wait_for_previous();
    const device vmt_row_edits &row = edited[tg.x];
    device uint *p = logits + ulong(row.logit_row) * args.vocab;
    int expected = row.expected >= 0 ? previous[row.expected] : -1;
    uint end = row.first_edit + row.num_bans + row.num_biases + row.num_counts;
    for (uint i = row.first_edit + tid; i < end; i += N) p[edits[i].token_id] = saved[i];
    if (tid == 0 && expected >= 0) p[expected] = saved[args.edits_max + tg.x];
}

METAL_FUNC uint mask_words(uint vocab) {
    return (vocab + 31) / 32;
}

/* sample_max: the best logit that no mask bans in a chunk of a row, and the lowest id that has it.
 *
 *   logits   [.., vocab]             bits of float
 *   samples  [num_rows]              vmt_row_sample
 *   masks    [.., (vocab + 31) / 32] uint32
 *   best     [num_rows, num_chunks]  vmt_sample_best
 *
 * Grid      (num_rows, num_chunks); 256 threads. */
template <uint N>
[[kernel, max_total_threads_per_threadgroup(SAMPLE_THREADS)]]
void sample_max(const device uint *logits [[buffer(0)]],
                const device vmt_row_sample *samples [[buffer(1)]],
                const device uint *masks [[buffer(2)]],
                device vmt_sample_best *best [[buffer(3)]],
                constant vmt_sample_kargs &args [[buffer(4)]],
                uint3 tg [[threadgroup_position_in_grid]],
                uint tid [[thread_index_in_threadgroup]],
                uint lane [[thread_index_in_simdgroup]],
                uint sg [[simdgroup_index_in_threadgroup]]) {
    threadgroup uint keys[SAMPLE_SIMDGROUPS];
    threadgroup uint ids[SAMPLE_SIMDGROUPS];
    wait_for_previous();
    const device vmt_row_sample &sample = samples[tg.x];
    logit_row row;
    row.logits = logits + ulong(sample.logit_row) * args.vocab;
    row.has_mask = sample.mask >= 0;
    row.has_allowed = sample.allowed >= 0;
    row.mask = masks + (row.has_mask ? ulong(sample.mask) * mask_words(args.vocab) : 0);
    row.allowed = masks + (row.has_allowed ? ulong(sample.allowed) * mask_words(args.vocab) : 0);
    uint key = 0, id = ID_MAX;
    uint begin = tg.y * VMT_SAMPLE_CHUNK, end = min(begin + VMT_SAMPLE_CHUNK, args.vocab);
    for (uint i = begin + tid; i < end; i += N) {
        uint k = row_key(row, i);
        if (k > key) {
            key = k;
            id = i;
        }
    }
    uint best_key = simd_max(key);
    uint best_id = simd_min(key == best_key ? id : ID_MAX);
    if (lane == 0) {
        keys[sg] = best_key;
        ids[sg] = best_id;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (tid == 0) {
        for (uint i = 0; i < SAMPLE_SIMDGROUPS; i++) {
            if (keys[i] > best_key || (keys[i] == best_key && ids[i] < best_id)) {
                best_key = keys[i];
                best_id = ids[i];
            }
        }
        ulong at = ulong(tg.x) * args.num_chunks + tg.y;
        best[at].key = best_key;
        best[at].id = best_id;
    }
}

/* sample_pick: a row's token, given its chunks' best.
 *
 *   sampled  [num_rows]  int32; the others as in sample_max
 *
 * Math      weight exp((logit - max) * inv_temp).  min_p: logits from max + floor_nats; of these the top_k best, lower
 *           ids first on ties; of these the shortest head whose weight reaches top_p of all; then, in order of ids, the
 *           first whose running weight reaches uniform of all.
 * Grid      (num_rows); 1024 threads.
 * Memory    threadgroup: 1.6 KB.  A greedy row reads its chunks' best; others are read once for a draw, and about five
 *           times each for top_k and top_p.
 * Numerics  float sums in a fixed order. */
template <uint N>
[[kernel, max_total_threads_per_threadgroup(ROW_THREADS)]]
void sample_pick(const device uint *logits [[buffer(0)]],
                 const device vmt_row_sample *samples [[buffer(1)]],
                 const device uint *masks [[buffer(2)]],
                 const device vmt_sample_best *best [[buffer(3)]],
                 device int *sampled [[buffer(4)]],
                 constant vmt_sample_kargs &args [[buffer(5)]],
                 uint3 tg [[threadgroup_position_in_grid]],
                 uint tid [[thread_index_in_threadgroup]],
                 uint lane [[thread_index_in_simdgroup]],
                 uint sg [[simdgroup_index_in_threadgroup]]) {
    threadgroup float parts[ROW_SIMDGROUPS * ROW_COLUMNS];
    threadgroup float totals[ROW_COLUMNS];
    threadgroup uint bounds[ROW_SIMDGROUPS];
    wait_for_previous();
    row_memory m;
    m.parts = parts;
    m.totals = totals;
    m.bounds = bounds;
    const device vmt_row_sample &sample = samples[tg.x];
    logit_row row;
    row.logits = logits + ulong(sample.logit_row) * args.vocab;
    row.has_mask = sample.mask >= 0;
    row.has_allowed = sample.allowed >= 0;
    row.mask = masks + (row.has_mask ? ulong(sample.mask) * mask_words(args.vocab) : 0);
    row.allowed = masks + (row.has_allowed ? ulong(sample.allowed) * mask_words(args.vocab) : 0);
    row.vocab = args.vocab;
    row.tid = tid;
    row.lane = lane;
    row.sg = sg;
    row.inv_temp = sample.inv_temp;

    uint key = 0, id = ID_MAX;
    for (uint i = tid; i < args.num_chunks; i += ROW_THREADS) {
        ulong at = ulong(tg.x) * args.num_chunks + i;
        if (best[at].key > key) {
            key = best[at].key;
            id = best[at].id;
        }
    }
    uint max_key = row_max(row, m, key);
    uint token = row_min(row, m, key == max_key ? id : ID_MAX);
    if (max_key <= KEY_ABSENT) {
        token = uint(sample.fallback);
    } else if (sample.inv_temp > 0.0f && max_key != KEY_INFINITE) {
        row.max = logit_of(max_key);
        row.cut = KEY_ABSENT + 1;
        row.cut_id = ID_MAX;
        if (sample.floor_nats > -2.9e38f) {
            uint floor_key = key_of(as_type<uint>(row.max + sample.floor_nats));
            row.cut = max(row.cut, min(floor_key, max_key));
        }
        if (sample.top_k > 0 && sample.top_k < args.vocab) {
            float num_kept = row_total(row, m, true);
            if (float(sample.top_k) < num_kept) row_keep_best(row, m, true, max_key, float(sample.top_k));
        }
        if (sample.top_p < 1.0f) {
            float mass = row_total(row, m, false);
            row_keep_best(row, m, false, max_key, sample.top_p * mass);
        }
        token = row_find(row, m, false, sample.uniform);
    }
    if (tid == 0) sampled[tg.x] = int(token);
}

/* score_rows: where a token stands in a row of logits.
 *
 *   logits   [.., vocab]  bits of float
 *   scored   [num_rows]   vmt_row_score
 *   sampled  [..]         int32
 *   scores   [num_rows]   vmt_score
 *   tops     [..]         vmt_top      scored[i].num_top from first_top on
 *
 * Grid      (num_rows); 1024 threads.
 * Memory    threadgroup: 2.6 KB.  The row is read twice, and about six times more where the best are wanted.
 * Numerics  float sums in a fixed order. */
template <uint N>
[[kernel, max_total_threads_per_threadgroup(ROW_THREADS)]]
void score_rows(const device uint *logits [[buffer(0)]],
                const device vmt_row_score *scored [[buffer(1)]],
                const device int *sampled [[buffer(2)]],
                device vmt_score *scores [[buffer(3)]],
                device vmt_top *tops [[buffer(4)]],
                constant vmt_score_kargs &args [[buffer(5)]],
                uint3 tg [[threadgroup_position_in_grid]],
                uint tid [[thread_index_in_threadgroup]],
                uint lane [[thread_index_in_simdgroup]],
                uint sg [[simdgroup_index_in_threadgroup]]) {
    threadgroup float parts[ROW_SIMDGROUPS * ROW_COLUMNS];
    threadgroup float totals[ROW_COLUMNS];
    threadgroup uint bounds[ROW_SIMDGROUPS];
    threadgroup uint top_keys[N];
    threadgroup uint top_ids[N];
    threadgroup atomic_uint num_found;
    wait_for_previous();
    row_memory m;
    m.parts = parts;
    m.totals = totals;
    m.bounds = bounds;
    const device vmt_row_score &score = scored[tg.x];
    logit_row row;
    row.logits = logits + ulong(score.logit_row) * args.vocab;
    row.has_mask = row.has_allowed = false;
    row.mask = row.allowed = logits;
    row.vocab = args.vocab;
    row.tid = tid;
    row.lane = lane;
    row.sg = sg;
    row.inv_temp = 1.0f;
    row.cut = KEY_ABSENT + 1;
    row.cut_id = ID_MAX;

    uint token = score.sample >= 0 ? uint(sampled[score.sample]) : uint(score.token_id);
    uint token_key = row_key(row, token), key = 0;
    for (uint id = tid; id < args.vocab; id += ROW_THREADS) key = max(key, row_key(row, id));
    uint max_key = row_max(row, m, key);
    row.max = max_key > KEY_ABSENT && max_key != KEY_INFINITE ? logit_of(max_key) : 0.0f;
    float num_greater = 0.0f, num_present = 0.0f;
    for (uint id = tid; id < args.vocab; id += ROW_THREADS) {
        uint k = row_key(row, id);
        num_greater += token_key > 0 && k > token_key ? 1.0f : 0.0f; /* nothing is greater than a NaN */
        num_present += k > KEY_ABSENT ? 1.0f : 0.0f;
    }
    float sum = row_total(row, m, false);
    num_greater = row_sum(row, m, num_greater);
    num_present = row_sum(row, m, num_present);
    uint num_top = min(uint(score.num_top), min(uint(num_present), N));
    if (num_top > 0) {
        if (float(num_top) < num_present) row_keep_best(row, m, true, max_key, float(num_top));
        if (tid == 0) atomic_store_explicit(&num_found, 0, memory_order_relaxed);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (uint id = tid; id < args.vocab; id += ROW_THREADS) {
            uint k = row_key(row, id);
            if (!row_keeps(row, k, id)) continue;
            uint at = atomic_fetch_add_explicit(&num_found, 1, memory_order_relaxed);
            if (at < N) {
                top_keys[at] = k;
                top_ids[at] = id;
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (tid < num_top) {
            uint place = 0, k = top_keys[tid], id = top_ids[tid];
            for (uint i = 0; i < num_top; i++) {
                if (top_keys[i] > k || (top_keys[i] == k && top_ids[i] < id)) place++;
            }
            tops[score.first_top + place].token_id = int(id);
            tops[score.first_top + place].logit = logit_of(k);
        }
    }
    if (tid == 0) {
        scores[tg.x].logit = as_type<float>(row.logits[token]);
        scores[tg.x].max = row.max;
        scores[tg.x].sum = sum;
        scores[tg.x].rank = 1 + uint(num_greater);
        scores[tg.x].num_top = num_top;
    }
}

// ---- instantiations
#define SAMPLE_KERNEL(name, kernel_name, n) \
    template [[host_name(name)]] [[kernel]] decltype(kernel_name<n>) kernel_name<n>;
SAMPLE_KERNEL("resolve_tokens", resolve_tokens, SAMPLE_THREADS)
SAMPLE_KERNEL("sample_edit", sample_edit, SAMPLE_THREADS)
SAMPLE_KERNEL("sample_restore", sample_restore, SAMPLE_THREADS)
SAMPLE_KERNEL("sample_max", sample_max, SAMPLE_THREADS)
SAMPLE_KERNEL("sample_pick", sample_pick, 0)
SAMPLE_KERNEL("score_rows", score_rows, VMT_SCORE_TOPS_MAX)
