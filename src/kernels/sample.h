/* kernels/sample.h: one threadgroup looks at one row of logits: sums over what is kept, the cut of the k best or of a
 * share of the weight, and the place in order of ids that a running sum reaches.  No sort.
 *
 * Logits are read as bits and compared as keys: integers in the floats' order, so that no arithmetic ever meets an
 * infinity or a NaN.  What is kept: keys above `cut`, and those equal to it up to the id `cut_id`. */
#ifndef VMT_KERNELS_SAMPLE_H
#define VMT_KERNELS_SAMPLE_H

#include <metal_stdlib>
#include "kernels/sample_kargs.h"
using namespace metal;

constant constexpr uint ROW_THREADS = 1024;
constant constexpr uint ROW_SIMDGROUPS = 32;
constant constexpr uint ROW_THRESHOLDS = 8;      /* that one pass weighs */
constant constexpr uint ROW_COLUMNS = 10;        /* ROW_THRESHOLDS, and two more */
constant constexpr uint KEY_ABSENT = 0x007fffff; /* of minus infinity; NaNs have 0 */
constant constexpr uint KEY_INFINITE = 0xff800000;
constant constexpr uint ID_MAX = 0xffffffff;

METAL_FUNC uint key_of(uint bits) {
    if ((bits & 0x7fffffff) > 0x7f800000) return 0;
    if (bits == 0x80000000) bits = 0; /* zeros tie */
    return (bits >> 31) != 0 ? ~bits : bits | 0x80000000;
}

METAL_FUNC float logit_of(uint key) {
    return as_type<float>((key >> 31) != 0 ? key & 0x7fffffff : ~key);
}

/* A row and what of it is kept. */
struct logit_row {
    const device uint *logits; /* [vocab] bits */
    const device uint *mask, *allowed;
    bool has_mask, has_allowed;
    uint vocab, cut, cut_id;
    float max, inv_temp;
    uint tid, lane, sg;
};

/* The key, or 0 when a mask bans the token. */
METAL_FUNC uint row_key(thread const logit_row &row, uint id) {
    if (row.has_mask && ((row.mask[id / 32] >> (id % 32)) & 1) == 0) return 0;
    if (row.has_allowed && ((row.allowed[id / 32] >> (id % 32)) & 1) == 0) return 0;
    return key_of(row.logits[id]);
}

METAL_FUNC bool row_keeps(thread const logit_row &row, uint key, uint id) {
    return key > row.cut || (key == row.cut && id <= row.cut_id);
}

METAL_FUNC float row_weight(thread const logit_row &row, uint key) {
    return exp((logit_of(key) - row.max) * row.inv_temp);
}

/* What the functions below share; a kernel declares one of each at its top:
 *   parts [ROW_SIMDGROUPS * ROW_COLUMNS], totals [ROW_COLUMNS], bounds [2] */
struct row_memory {
    threadgroup float *parts, *totals;
    threadgroup uint *bounds; /* [2 * ROW_SIMDGROUPS] */
};

/* The sum of v over the threadgroup, to all. */
METAL_FUNC float row_sum(thread const logit_row &row, thread const row_memory &m, float v) {
    v = simd_sum(v);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (row.lane == 0) m.parts[row.sg] = v;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return simd_sum(m.parts[row.lane]);
}

METAL_FUNC uint row_max(thread const logit_row &row, thread const row_memory &m, uint v) {
    v = simd_max(v);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (row.lane == 0) m.bounds[row.sg] = v;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return simd_max(m.bounds[row.lane]);
}

METAL_FUNC uint row_min(thread const logit_row &row, thread const row_memory &m, uint v) {
    return ~row_max(row, m, ~v);
}

/* How many are kept, or their weight. */
METAL_FUNC float row_total(thread const logit_row &row, thread const row_memory &m, bool by_count) {
    float sum = 0.0f;
    for (uint id = row.tid; id < row.vocab; id += ROW_THREADS) {
        uint key = row_key(row, id);
        if (row_keeps(row, key, id)) sum += by_count ? 1.0f : row_weight(row, key);
    }
    return row_sum(row, m, sum);
}

/* One pass over the kept keys: into totals, the sums of those from each threshold upwards; and the least and greatest
 * in [low, high). */
METAL_FUNC void row_weigh(thread const logit_row &row, thread const row_memory &m, bool by_count, uint low,
                          uint high, uint step, thread uint &least, thread uint &greatest) {
    float sums[ROW_THRESHOLDS];
    for (uint k = 0; k < ROW_THRESHOLDS; k++) sums[k] = 0.0f;
    uint first = ID_MAX, last = 0;
    for (uint id = row.tid; id < row.vocab; id += ROW_THREADS) {
        uint key = row_key(row, id);
        if (key < low || !row_keeps(row, key, id)) continue;
        float w = by_count ? 1.0f : row_weight(row, key);
        for (uint k = 0; k < ROW_THRESHOLDS; k++) sums[k] += key >= low + step * (k + 1) ? w : 0.0f;
        if (key < high) {
            first = min(first, key);
            last = max(last, key);
        }
    }
    least = row_min(row, m, first);
    greatest = row_max(row, m, last);
    for (uint k = 0; k < ROW_THRESHOLDS; k++) {
        float sum = simd_sum(sums[k]);
        if (row.lane == 0) m.parts[row.sg * ROW_COLUMNS + k] = sum;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    float total = simd_sum(m.parts[row.lane * ROW_COLUMNS + min(row.sg, ROW_THRESHOLDS - 1)]);
    if (row.lane == 0 && row.sg < ROW_THRESHOLDS) m.totals[row.sg] = total;
    threadgroup_barrier(mem_flags::mem_threadgroup);
}

/* The greatest key such that the kept ones from it upwards reach target; all of them together do.  The bracket
 * [low, high) keeps: from low upwards it is reached, from high upwards it is not. */
METAL_FUNC uint row_search(thread const logit_row &row, thread const row_memory &m, bool by_count, uint max_key,
                           float target) {
    uint low = row.cut, high = max_key + 1;
    while (high - low > 1) {
        uint step = max((high - low) / (ROW_THRESHOLDS + 1), uint(1));
        uint least, greatest;
        row_weigh(row, m, by_count, low, high, step, least, greatest);
        uint next_low = low, next_high = high;
        for (uint k = 0; k < ROW_THRESHOLDS; k++) {
            uint bound = low + step * (k + 1);
            if (bound >= high) break;
            if (m.totals[k] >= target)
                next_low = bound;
            else if (next_high == high)
                next_high = bound;
        }
        /* What the bracket really holds. */
        if (least == greatest) {
            next_low = least;
            next_high = least + 1;
        } else {
            next_low = max(next_low, least);
            next_high = min(next_high, greatest + 1);
        }
        low = next_low;
        high = next_high;
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    return low;
}

/* The first id, in order of ids, up to which the weights reach fraction * their sum; with ties, the first up to which
 * so many keys are equal to the cut. */
METAL_FUNC uint row_find(thread const logit_row &row, thread const row_memory &m, bool of_ties, float fraction) {
    uint begin = 0, end = row.vocab;
    float target = fraction, before = 0.0f;
    bool is_first = !of_ties;
    while (true) {
        bool is_last = end - begin <= 32;
        uint piece = is_last ? 32 : ((end - begin + ROW_SIMDGROUPS - 1) / ROW_SIMDGROUPS + 31) / 32 * 32;
        uint from = is_last ? begin : begin + row.sg * piece, to = min(from + piece, end);
        float sum = 0.0f;
        for (uint id = from + row.lane; id < to; id += 32) {
            uint key = row_key(row, id);
            if (of_ties)
                sum += key == row.cut ? 1.0f : 0.0f;
            else if (row_keeps(row, key, id))
                sum += row_weight(row, key);
        }
        if (is_last && !is_first) {
            float running = before + simd_prefix_inclusive_sum(sum);
            uint reached = simd_min(sum > 0.0f && running >= target ? row.lane : 32);
            uint last = simd_max(sum > 0.0f ? row.lane : 0); /* rounding may leave the target out of reach */
            return begin + (reached < 32 ? reached : last);
        }
        sum = simd_sum(sum);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (row.lane == 0) m.parts[row.sg] = sum;
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (is_first) {
            float total = is_last ? m.parts[0] : simd_sum(m.parts[row.lane]);
            target = fraction * total;
            is_first = false;
            if (is_last) continue;
        }
        uint chosen = 0;
        float before_chosen = before, running = before;
        for (uint i = 0; i < ROW_SIMDGROUPS; i++) {
            float part = m.parts[i];
            if (part > 0.0f) {
                chosen = i;
                before_chosen = running;
                running += part;
                if (running >= target) break;
            }
        }
        before = before_chosen;
        begin = begin + chosen * piece;
        end = min(begin + piece, end);
    }
}

/* Keeps the k best, or the shortest head whose weight reaches a share of all that is kept. */
METAL_FUNC void row_keep_best(thread logit_row &row, thread const row_memory &m, bool by_count, uint max_key,
                              float target) {
    uint cut = row_search(row, m, by_count, max_key, target);
    float above = 0.0f, num_ties = 0.0f;
    for (uint id = row.tid; id < row.vocab; id += ROW_THREADS) {
        uint key = row_key(row, id);
        if (!row_keeps(row, key, id)) continue;
        if (key > cut) above += by_count ? 1.0f : row_weight(row, key);
        if (key == cut) num_ties += 1.0f;
    }
    above = row_sum(row, m, above);
    num_ties = row_sum(row, m, num_ties);
    float wanted = (target - above) / (by_count ? 1.0f : row_weight(row, cut));
    wanted = max(ceil(wanted), 1.0f);
    uint cut_id = cut == row.cut ? row.cut_id : ID_MAX;
    row.cut = cut;
    row.cut_id = cut_id;
    if (wanted < num_ties) row.cut_id = row_find(row, m, true, wanted);
}

#endif
