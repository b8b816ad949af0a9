#include "engine/logit_row.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* The compiler's own table of what the processor can do: a load and a test. */
static inline const vmt_logit_passes *passes(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) return &vmt_logit_passes_avx512;
    if (__builtin_cpu_supports("avx2")) return &vmt_logit_passes_avx2;
#endif
    return &vmt_logit_passes_base;
}

/* ---- keys */

vmt_logit_key vmt_logit_key_of(float logit, uint32_t id) {
    float canonical = logit + 0.0f; /* -0 becomes +0: they tie */
    uint32_t bits;
    memcpy(&bits, &canonical, sizeof bits);
    /* Flips all bits of a negative number and the sign of others: integers in the floats' order. */
    bits ^= (uint32_t)-(int32_t)(bits >> 31) | 0x80000000u;
    return (vmt_logit_key)bits << 32 | (uint32_t)~id;
}

float vmt_logit_key_logit(vmt_logit_key key) {
    uint32_t bits = (uint32_t)(key >> 32);
    bits ^= (bits >> 31) ? 0x80000000u : 0xFFFFFFFFu;
    float logit;
    memcpy(&logit, &bits, sizeof logit);
    return logit;
}

/* ---- exp */

/* The exponential of logit_passes.inc for one number: the same operations, so the same bits. */
float vmt_row_weight(const vmt_row_weights *w, float logit) {
    const float magic = 12582912.0f;
    float x = (logit - w->max) * w->inv_temp;
    if (!(x > -87.0f)) return 0;
    float shifted = x * 1.44269504088896341f + magic;
    float n = shifted - magic;
    float r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    int32_t bits, magic_bits;
    memcpy(&bits, &shifted, sizeof bits);
    memcpy(&magic_bits, &magic, sizeof magic_bits);
    bits = (bits - magic_bits + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

/* ---- passes */

/* A last block that is not whole, filled up with minus infinity; NULL when the row has none. */
static const float *short_block(const float *row, uint32_t n, float padded[VMT_ROW_BLOCK]) {
    uint32_t num_left = n % VMT_ROW_BLOCK;
    if (num_left == 0) return NULL;
    const float *p = row + (n - num_left);
    for (uint32_t i = 0; i < VMT_ROW_BLOCK; i++) padded[i] = i < num_left ? p[i] : -INFINITY;
    return padded;
}

float vmt_row_block_max(const float *row, uint32_t n, float *block_max) {
    const vmt_logit_passes *pass = passes();
    uint32_t num_whole = n / VMT_ROW_BLOCK;
    float padded[VMT_ROW_BLOCK];
    const float *tail = short_block(row, n, padded);
    pass->block_max(row, num_whole, block_max);
    if (tail) pass->block_max(tail, 1, block_max + num_whole);
    float max = -INFINITY;
    for (uint32_t b = 0; b < VMT_ROW_BLOCKS(n); b++) max = block_max[b] > max ? block_max[b] : max;
    return max;
}

uint32_t vmt_row_first(const float *row, uint32_t n, const float *block_max, float max) {
    uint32_t b = 0;
    while (block_max[b] != max) b++;
    uint32_t id = b * VMT_ROW_BLOCK;
    while (row[id] != max) id++;
    VMT_ASSERT(id < n);
    return id;
}

uint32_t vmt_row_count_greater(const float *row, uint32_t n, float logit) {
    const vmt_logit_passes *pass = passes();
    float padded[VMT_ROW_BLOCK];
    const float *tail = short_block(row, n, padded);
    uint32_t count = pass->count_greater(row, n / VMT_ROW_BLOCK, logit);
    return count + (tail ? pass->count_greater(tail, 1, logit) : 0);
}

void vmt_row_weigh(const vmt_row_weights *w, float floor, float *weights) {
    const vmt_logit_passes *pass = passes();
    uint32_t num_whole = w->n / VMT_ROW_BLOCK;
    float padded[VMT_ROW_BLOCK];
    const float *tail = short_block(w->row, w->n, padded);
    pass->weigh(w->row, num_whole, w->max, w->inv_temp, floor, weights, NULL);
    if (tail) pass->weigh(tail, 1, w->max, w->inv_temp, floor, weights + num_whole * VMT_ROW_BLOCK, NULL);
}

void vmt_row_sums_above(const vmt_row_weights *w, const float *weights, const float bounds[VMT_NUM_THRESHOLDS],
                        double sums[VMT_NUM_THRESHOLDS]) {
    const vmt_logit_passes *pass = passes();
    uint32_t num_whole = w->n - w->n % VMT_ROW_BLOCK;
    float padded[VMT_ROW_BLOCK];
    const float *tail = short_block(w->row, w->n, padded);
    for (uint32_t k = 0; k < VMT_NUM_THRESHOLDS; k++) sums[k] = 0;
    pass->sums_above(w->row, weights, num_whole, bounds, sums);
    if (tail) pass->sums_above(tail, weights + num_whole, VMT_ROW_BLOCK, bounds, sums);
}

/* The weight of one logit, if its key is kept. */
static inline double kept_weight(const vmt_row_weights *w, uint32_t id, vmt_logit_key cut) {
    float logit = w->row[id];
    return !(logit > -INFINITY) || vmt_logit_key_of(logit, id) < cut ? 0.0 : (double)vmt_row_weight(w, logit);
}

/* Sums of blocks [begin, end), all whole, whose maximum reaches floor, in runs as long as they come. */
static void sum_whole_blocks(const vmt_row_weights *w, const float *block_max, uint32_t begin, uint32_t end,
                             float floor, double *block_sums) {
    const vmt_logit_passes *pass = passes();
    for (uint32_t b = begin; b < end;) {
        uint32_t run = b;
        while (run < end && block_max[run] >= floor) run++;
        if (run > b) {
            pass->weigh(w->row + (size_t)b * VMT_ROW_BLOCK, run - b, w->max, w->inv_temp, floor, NULL,
                        block_sums + b);
        }
        for (b = run; b < end && !(block_max[b] >= floor); b++) block_sums[b] = 0;
    }
}

double vmt_row_sums(const vmt_row_weights *w, const float *block_max, vmt_logit_key cut, double *block_sums) {
    uint32_t num_blocks = VMT_ROW_BLOCKS(w->n), num_whole = w->n / VMT_ROW_BLOCK;
    float floor = vmt_logit_key_logit(cut);
    uint32_t cut_block = vmt_logit_key_id(cut) / VMT_ROW_BLOCK;
    /* Ties with the cut are kept up to its id: before its block all, behind it none, inside it one by one. */
    sum_whole_blocks(w, block_max, 0, VMT_MIN(cut_block, num_whole), floor, block_sums);
    sum_whole_blocks(w, block_max, cut_block + 1, num_whole, nextafterf(floor, INFINITY), block_sums);
    for (uint32_t b = VMT_MIN(cut_block, num_whole); b < num_blocks; b = b < num_whole ? num_whole : num_blocks) {
        uint32_t begin = b * VMT_ROW_BLOCK, end = VMT_MIN(w->n, begin + VMT_ROW_BLOCK);
        block_sums[b] = 0;
        for (uint32_t id = begin; id < end; id++) block_sums[b] += kept_weight(w, id, cut);
    }
    double total = 0;
    for (uint32_t b = 0; b < num_blocks; b++) total += block_sums[b];
    return total;
}

uint32_t vmt_row_draw(const vmt_row_weights *w, vmt_logit_key cut, const double *block_sums, double target) {
    double before = 0;
    uint32_t chosen = 0;
    for (uint32_t b = 0; b < VMT_ROW_BLOCKS(w->n); b++) {
        if (block_sums[b] == 0) continue;
        chosen = b;
        if (before + block_sums[b] >= target) break;
        before += block_sums[b];
    }
    uint32_t begin = chosen * VMT_ROW_BLOCK, end = VMT_MIN(w->n, begin + VMT_ROW_BLOCK), drawn = begin;
    for (uint32_t id = begin; id < end; id++) {
        double weight = kept_weight(w, id, cut);
        if (weight == 0) continue;
        /* Rounding may leave the target just out of the block's reach: then it is the last that has any weight. */
        drawn = id;
        before += weight;
        if (before >= target) break;
    }
    return drawn;
}

uint32_t vmt_row_collect(const float *row, uint32_t n, const float *block_max, float floor, float ceiling,
                         vmt_logit_key *keys) {
    const vmt_logit_passes *pass = passes();
    uint32_t num_keys = 0;
    if (floor < -FLT_MAX) floor = -FLT_MAX;
    for (uint32_t b = 0; b < VMT_ROW_BLOCKS(n); b++) {
        uint32_t begin = b * VMT_ROW_BLOCK, end = VMT_MIN(n, begin + VMT_ROW_BLOCK);
        if (block_max[b] < floor) continue;
        if (block_max[b] > ceiling && end - begin == VMT_ROW_BLOCK &&
            !pass->has_between(row + begin, floor, ceiling)) {
            continue;
        }
        for (uint32_t id = begin; id < end; id++) {
            if (row[id] >= floor && row[id] <= ceiling) keys[num_keys++] = vmt_logit_key_of(row[id], id);
        }
    }
    return num_keys;
}

/* ---- selection among keys, greatest first.  Keys differ (an id stands once), so that Hoare's partition needs no care
 * for ties; the middle of three spread keys is the pivot, and a bad row costs time, never the result. */

static inline void swap_keys(vmt_logit_key *a, vmt_logit_key *b) {
    vmt_logit_key t = *a;
    *a = *b;
    *b = t;
}

/* n >= 2.  Returns m, 1 <= m < n: every key of [0, m) is at least every key of [m, n). */
static uint32_t partition(vmt_logit_key *keys, uint32_t n) {
    vmt_logit_key a = keys[0], b = keys[n / 2], c = keys[n - 1];
    vmt_logit_key pivot = a < b ? (b < c ? b : (a < c ? c : a)) : (a < c ? a : (b < c ? c : b));
    uint32_t i = 0, j = n - 1;
    for (;;) {
        while (keys[i] > pivot) i++;
        while (keys[j] < pivot) j--;
        if (i >= j) break;
        swap_keys(&keys[i++], &keys[j--]);
    }
    /* [0, i) >= pivot >= (j, n); the pivot itself may stand at i. */
    return i == 0 ? 1 : (i == n ? n - 1 : i);
}

void vmt_keys_select(vmt_logit_key *keys, uint32_t n, uint32_t k) {
    VMT_ASSERT(k <= n);
    while (n > 1 && k > 0 && k < n) {
        uint32_t m = partition(keys, n);
        if (m > k) {
            n = m;
        } else {
            keys += m;
            n -= m;
            k -= m;
        }
    }
}

void vmt_keys_sort(vmt_logit_key *keys, uint32_t n) {
    while (n > 16) {
        uint32_t m = partition(keys, n);
        /* The smaller half by recursion: at most 32 deep. */
        if (m < n - m) {
            vmt_keys_sort(keys, m);
            keys += m;
            n -= m;
        } else {
            vmt_keys_sort(keys + m, n - m);
            n = m;
        }
    }
    for (uint32_t i = 1; i < n; i++) {
        vmt_logit_key key = keys[i];
        uint32_t j = i;
        for (; j > 0 && keys[j - 1] < key; j--) keys[j] = keys[j - 1];
        keys[j] = key;
    }
}

vmt_logit_key vmt_keys_select_mass(const vmt_row_weights *w, vmt_logit_key *keys, uint32_t n, double target) {
    VMT_ASSERT(n >= 1);
    double before = 0;
    while (n > 1) {
        uint32_t m = partition(keys, n);
        double head = 0;
        for (uint32_t i = 0; i < m; i++) head += (double)vmt_row_weight(w, vmt_logit_key_logit(keys[i]));
        if (before + head >= target) {
            n = m;
        } else {
            before += head;
            keys += m;
            n -= m;
        }
    }
    return keys[0];
}
