/* engine/logit_row_test.c: all instruction sets give the same bits; keys, passes and selection against plain loops. */
#include "engine/logit_row.h"
#include "base/rng.h"
#include "base/test.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#define NUM_BLOCKS 40u
#define N          (NUM_BLOCKS * VMT_ROW_BLOCK)

static float uniform(uint64_t *rng) {
    return (float)(vmt_splitmix64(rng) >> 40) * 0x1p-24f;
}

static void fill(uint64_t *rng, float *row, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) row[i] = 40 * (uniform(rng) - 0.5f) * uniform(rng);
    row[vmt_splitmix64(rng) % n] = NAN;
    row[vmt_splitmix64(rng) % n] = -INFINITY;
}

#if defined(__x86_64__)
static void expect_same_bits(vmt_test *t, const vmt_logit_passes *a, const vmt_logit_passes *b) {
    uint64_t rng = t->seed;
    float row[N], max_a[NUM_BLOCKS], max_b[NUM_BLOCKS], weights_a[N], weights_b[N];
    double sums_a[NUM_BLOCKS], sums_b[NUM_BLOCKS];
    for (int i = 0; i < 50; i++) {
        fill(&rng, row, N);
        a->block_max(row, NUM_BLOCKS, max_a);
        b->block_max(row, NUM_BLOCKS, max_b);
        vmt_expect(t, memcmp(max_a, max_b, sizeof max_a) == 0);
        float floor = i % 2 ? -FLT_MAX : 3 * uniform(&rng);
        a->weigh(row, NUM_BLOCKS, 20, 0.7f, floor, weights_a, sums_a);
        b->weigh(row, NUM_BLOCKS, 20, 0.7f, floor, weights_b, sums_b);
        vmt_expect(t, memcmp(weights_a, weights_b, sizeof weights_a) == 0);
        vmt_expect(t, memcmp(sums_a, sums_b, sizeof sums_a) == 0);
        float bounds[VMT_NUM_THRESHOLDS] = {5, 2, 0, -3};
        double above_a[VMT_NUM_THRESHOLDS] = {0}, above_b[VMT_NUM_THRESHOLDS] = {0};
        a->sums_above(row, weights_a, N, bounds, above_a);
        b->sums_above(row, weights_a, N, bounds, above_b);
        vmt_expect(t, memcmp(above_a, above_b, sizeof above_a) == 0);
        vmt_expect_eq(t, a->count_greater(row, NUM_BLOCKS, 1), b->count_greater(row, NUM_BLOCKS, 1));
        vmt_expect_eq(t, a->has_between(row, 9, 9.5f), b->has_between(row, 9, 9.5f));
    }
}

static void instruction_sets_agree_to_the_bit(vmt_test *t) {
    bool has_avx2 = __builtin_cpu_supports("avx2");
    bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
    if (has_avx2) expect_same_bits(t, &vmt_logit_passes_base, &vmt_logit_passes_avx2);
    if (has_avx512) expect_same_bits(t, &vmt_logit_passes_base, &vmt_logit_passes_avx512);
    if (!has_avx2) vmt_test_skip(t, "this processor has one instruction set of them");
}
#else
static void instruction_sets_agree_to_the_bit(vmt_test *t) {
    vmt_test_skip(t, "this processor has one instruction set of them");
}
#endif

static void passes_agree_with_plain_loops(vmt_test *t) {
    uint64_t rng = t->seed + 1;
    float row[N], block_max[NUM_BLOCKS];
    double sums[NUM_BLOCKS];
    static const uint32_t sizes[] = {1, 2, 63, 64, 65, 127, 1000, N};
    for (uint32_t k = 0; k < VMT_COUNT(sizes) * 20; k++) {
        uint32_t n = sizes[k % VMT_COUNT(sizes)], num_greater = 0, first = 0;
        fill(&rng, row, n);
        row[vmt_splitmix64(&rng) % n] = 7; /* one that is a number */
        float max = -INFINITY;
        for (uint32_t i = 0; i < n; i++) {
            if (row[i] > max) max = row[i], first = i;
            num_greater += row[i] > 0.5f;
        }
        vmt_expect_eq(t, vmt_row_block_max(row, n, block_max) == max, true);
        vmt_expect_eq(t, vmt_row_first(row, n, block_max, max), first);
        vmt_expect_eq(t, vmt_row_count_greater(row, n, 0.5f), num_greater);

        vmt_row_weights w = {.row = row, .n = n, .max = max, .inv_temp = 0.5f};
        uint32_t cut_id = (uint32_t)(vmt_splitmix64(&rng) % n);
        vmt_logit_key cut = vmt_logit_key_of(row[cut_id] > -INFINITY ? row[cut_id] : -FLT_MAX, cut_id);
        double want = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (!(row[i] > -INFINITY) || vmt_logit_key_of(row[i], i) < cut) continue;
            double exact = exp(((double)row[i] - (double)max) * 0.5);
            vmt_expect_near(t, vmt_row_weight(&w, row[i]), exact, 3e-6 * exact + 1e-30);
            want += exact;
        }
        vmt_expect_near(t, vmt_row_sums(&w, block_max, cut, sums), want, 1e-6 * want);
    }
}

static void keys_keep_the_order_of_logits(vmt_test *t) {
    static const float logits[] = {INFINITY, 1e30f, 2, 1e-30f, 0, -1e-30f, -3, -1e30f, -INFINITY};
    for (uint32_t i = 0; i < VMT_COUNT(logits); i++) {
        vmt_logit_key key = vmt_logit_key_of(logits[i], 5);
        vmt_expect(t, vmt_logit_key_logit(key) == logits[i] && vmt_logit_key_id(key) == 5);
        vmt_expect(t, vmt_logit_key_of(logits[i], 4) > key);
        if (i > 0) vmt_expect(t, vmt_logit_key_of(logits[i - 1], 9) > key);
    }
    vmt_expect(t, vmt_logit_key_of(-0.0f, 3) == vmt_logit_key_of(0.0f, 3));
}

static int descending(const void *a, const void *b) {
    vmt_logit_key x = *(const vmt_logit_key *)a, y = *(const vmt_logit_key *)b;
    return x > y ? -1 : x < y;
}

static void selects_and_sorts(vmt_test *t) {
    uint64_t rng = t->seed + 2;
    vmt_logit_key keys[600], want[600], work[600];
    for (int i = 0; i < 3000; i++) {
        uint32_t n = 1 + (uint32_t)(vmt_splitmix64(&rng) % 600), shape = (uint32_t)i % 4;
        for (uint32_t k = 0; k < n; k++) {
            float logit = shape == 0   ? uniform(&rng)
                          : shape == 1 ? (float)k
                          : shape == 2 ? -(float)k
                                       : (float)(k % 3);
            keys[k] = want[k] = vmt_logit_key_of(logit, k);
        }
        qsort(want, n, sizeof *want, descending);
        memcpy(work, keys, n * sizeof *keys);
        vmt_keys_sort(work, n);
        vmt_expect(t, memcmp(work, want, n * sizeof *want) == 0);
        uint32_t num_best = (uint32_t)(vmt_splitmix64(&rng) % (n + 1));
        memcpy(work, keys, n * sizeof *keys);
        vmt_keys_select(work, n, num_best);
        qsort(work, num_best, sizeof *work, descending);
        vmt_expect(t, memcmp(work, want, num_best * sizeof *want) == 0);

        vmt_row_weights w = {.max = 600, .inv_temp = 0.01f};
        double target = uniform(&rng) * 3, head = 0;
        uint32_t last = 0;
        while (last + 1 < n && (head += (double)vmt_row_weight(&w, vmt_logit_key_logit(want[last]))) < target)
            last++;
        vmt_logit_key got = vmt_keys_select_mass(&w, keys, n, target);
        vmt_expect(t, got == want[last] || fabs(head - target) < 1e-9);
    }
}

static const vmt_test_case cases[] = {
    {"instruction_sets_agree_to_the_bit", instruction_sets_agree_to_the_bit},
    {"passes_agree_with_plain_loops", passes_agree_with_plain_loops},
    {"keys_keep_the_order_of_logits", keys_keep_the_order_of_logits},
    {"selects_and_sorts", selects_and_sorts},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
