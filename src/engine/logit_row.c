#include "engine/logit_row.h"

#include <float.h>
#include <math.h>
#include <string.h>

typedef float f4 __attribute__((vector_size(16)));
typedef int32_t i4 __attribute__((vector_size(16)));

#define LANES     4u
#define ROW_LANES 16u /* four vectors side by side hide the latency of an add */

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

static inline f4 f4_load(const float *p) {
    f4 v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline f4 f4_all(float x) {
    return (f4){x, x, x, x};
}

static inline f4 f4_keep(i4 mask, f4 v) {
    return (f4)((i4)v & mask);
}

/* exp(x) for x <= 0 (Cephes' expf): 2^n times a polynomial on [-ln2/2, ln2/2]; 0 below -87 and for NaN. */
static inline f4 f4_exp(f4 x) {
    const f4 magic = f4_all(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    i4 is_kept = x > f4_all(-87.0f);
    x = f4_keep(is_kept, x);
    f4 shifted = x * f4_all(1.44269504088896341f) + magic;
    f4 n = shifted - magic;
    f4 r = x - n * f4_all(0.693359375f);
    r = r - n * f4_all(-2.12194440e-4f);
    f4 p = f4_all(1.9875691500e-4f);
    p = p * r + f4_all(1.3981999507e-3f);
    p = p * r + f4_all(8.3334519073e-3f);
    p = p * r + f4_all(4.1665795894e-2f);
    p = p * r + f4_all(1.6666665459e-1f);
    p = p * r + f4_all(5.0000001201e-1f);
    p = p * (r * r) + r + f4_all(1.0f);
    i4 exponent = ((i4)shifted - (i4)magic + 127) << 23;
    return f4_keep(is_kept, p * (f4)exponent);
}

static inline f4 weigh(const vmt_row_weights *w, const float *p) {
    return f4_exp((f4_load(p) - f4_all(w->max)) * f4_all(w->inv_temp));
}

float vmt_row_weight(const vmt_row_weights *w, float logit) {
    f4 e = f4_exp((f4_all(logit) - f4_all(w->max)) * f4_all(w->inv_temp));
    return e[0];
}

/* ---- passes */

/* Block b of the row: in place, or for a last short one a copy filled up with minus infinity. */
static inline const float *block_at(const float *row, uint32_t n, uint32_t b, float padded[VMT_ROW_BLOCK]) {
    uint32_t begin = b * VMT_ROW_BLOCK;
    if (VMT_LIKELY(n - begin >= VMT_ROW_BLOCK)) return row + begin;
    for (uint32_t i = 0; i < VMT_ROW_BLOCK; i++) padded[i] = begin + i < n ? row[begin + i] : -INFINITY;
    return padded;
}

float vmt_row_block_max(const float *row, uint32_t n, float *block_max) {
    float padded[VMT_ROW_BLOCK];
    float max = -INFINITY;
    for (uint32_t b = 0; b < VMT_ROW_BLOCKS(n); b++) {
        const float *p = block_at(row, n, b, padded);
        float lane[ROW_LANES];
        for (uint32_t j = 0; j < ROW_LANES; j++) lane[j] = -INFINITY;
        for (uint32_t i = 0; i < VMT_ROW_BLOCK; i += ROW_LANES) {
            /* A comparison with a NaN is false, which keeps the old maximum. */
            for (uint32_t j = 0; j < ROW_LANES; j++) lane[j] = p[i + j] > lane[j] ? p[i + j] : lane[j];
        }
        for (uint32_t j = 0; j < 8; j++) lane[j] = lane[j + 8] > lane[j] ? lane[j + 8] : lane[j];
        for (uint32_t j = 0; j < 4; j++) lane[j] = lane[j + 4] > lane[j] ? lane[j + 4] : lane[j];
        float a = lane[0] > lane[1] ? lane[0] : lane[1], c = lane[2] > lane[3] ? lane[2] : lane[3];
        block_max[b] = a > c ? a : c;
        if (block_max[b] > max) max = block_max[b];
    }
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
    float padded[VMT_ROW_BLOCK];
    i4 count = {0};
    f4 bound = f4_all(logit);
    for (uint32_t b = 0; b < VMT_ROW_BLOCKS(n); b++) {
        const float *p = block_at(row, n, b, padded);
        for (uint32_t i = 0; i < VMT_ROW_BLOCK; i += LANES) count -= f4_load(p + i) > bound;
    }
    return (uint32_t)(count[0] + count[1] + count[2] + count[3]);
}

/* Sum over a block of weights of logits >= floor. */
static inline double block_sum(const vmt_row_weights *w, const float *p, f4 floor) {
    f4 sum[4] = {{0}, {0}, {0}, {0}};
    for (uint32_t i = 0; i < VMT_ROW_BLOCK; i += ROW_LANES) {
        for (uint32_t j = 0; j < 4; j++) {
            const float *q = p + i + j * LANES;
            sum[j] += f4_keep(f4_load(q) >= floor, weigh(w, q));
        }
    }
    f4 all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    return ((double)all[0] + (double)all[1]) + ((double)all[2] + (double)all[3]);
}

/* The weight of one logit of block p, if its key is kept. */
static inline double kept_weight(const vmt_row_weights *w, uint32_t id, vmt_logit_key cut) {
    float logit = w->row[id];
    return !(logit > -INFINITY) || vmt_logit_key_of(logit, id) < cut ? 0.0 : (double)vmt_row_weight(w, logit);
}

double vmt_row_sums(const vmt_row_weights *w, const float *block_max, vmt_logit_key cut, double *block_sums) {
    float padded[VMT_ROW_BLOCK];
    float cut_logit = vmt_logit_key_logit(cut);
    uint32_t cut_block = vmt_logit_key_id(cut) / VMT_ROW_BLOCK;
    /* Ties with the cut are kept up to its id: before its block all, behind it none, inside it one by one. */
    f4 floor = f4_all(cut_logit), floor_behind = f4_all(nextafterf(cut_logit, INFINITY));
    double total = 0;
    for (uint32_t b = 0; b < VMT_ROW_BLOCKS(w->n); b++) {
        double sum = 0;
        if (block_max[b] >= cut_logit) {
            if (b == cut_block) {
                uint32_t end = VMT_MIN(w->n, (b + 1) * VMT_ROW_BLOCK);
                for (uint32_t id = b * VMT_ROW_BLOCK; id < end; id++) sum += kept_weight(w, id, cut);
            } else {
                sum = block_sum(w, block_at(w->row, w->n, b, padded), b < cut_block ? floor : floor_behind);
            }
        }
        block_sums[b] = sum;
        total += sum;
    }
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

uint32_t vmt_row_collect(const float *row, uint32_t n, const float *block_max, float floor, vmt_logit_key *keys) {
    uint32_t num_keys = 0;
    if (floor < -FLT_MAX) floor = -FLT_MAX;
    for (uint32_t b = 0; b < VMT_ROW_BLOCKS(n); b++) {
        if (block_max[b] < floor) continue;
        uint32_t end = VMT_MIN(n, (b + 1) * VMT_ROW_BLOCK);
        for (uint32_t id = b * VMT_ROW_BLOCK; id < end; id++) {
            if (row[id] >= floor) keys[num_keys++] = vmt_logit_key_of(row[id], id);
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
