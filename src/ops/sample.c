#include "ops/sample.h"

#include <math.h>
#include <stdlib.h>

#define LISTS_MAX \
    20000u /* bans and biases of one row: the request's ceilings (engine/sampling.h) and the model's ends */
#define EDITS_MIN ((uint32_t)1 << 18)

uint32_t vmt_sample_edits_max(uint32_t vocab, uint32_t max_model_len) {
    uint32_t num_counts = vocab < max_model_len ? vocab : max_model_len;
    return num_counts + LISTS_MAX > EDITS_MIN ? num_counts + LISTS_MAX : EDITS_MIN;
}

/* ---- edits */

static float penalized(const vmt_row_edits *row, float logit, uint32_t count) {
    logit = logit > 0 ? logit / row->repetition : logit * row->repetition;
    if (count > 0) {
        logit -= row->frequency * (float)count;
        logit -= row->presence;
    }
    return logit;
}

static void edit_row(const vmt_row_edits *row, const vmt_edit *edits, int32_t expected, float *logits) {
    const vmt_edit *e = edits + row->first_edit;
    for (uint32_t i = 0; i < row->num_bans; i++, e++) {
        if (e->u.condition == -1 || e->u.condition == expected) logits[e->token_id] = -INFINITY;
    }
    for (uint32_t i = 0; i < row->num_biases; i++, e++) logits[e->token_id] += e->u.bias;
    bool is_listed = expected < 0;
    for (uint32_t i = 0; i < row->num_counts; i++, e++) {
        bool is_expected = e->token_id == expected;
        is_listed |= is_expected;
        logits[e->token_id] = penalized(row, logits[e->token_id], e->u.count + is_expected);
    }
    if (!is_listed) logits[expected] = penalized(row, logits[expected], 1);
}

/* ---- sampling */

struct candidate {
    float logit, weight;
    uint32_t id;
};

static int compare(const void *a, const void *b) {
    const struct candidate *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static int compare_ids(const void *a, const void *b) {
    const struct candidate *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

static bool has_bit(const vmt_sample_batch *batch, int32_t mask, uint32_t id) {
    return mask < 0 || (batch->masks[mask][id / 32] >> (id % 32) & 1);
}

static bool is_absent(float logit) {
    return !(logit > -INFINITY);
}

static double total_of(const struct candidate *c, uint32_t n) {
    double total = 0;
    for (uint32_t i = 0; i < n; i++) total += (double)c[i].weight;
    return total;
}

/* c [n] in order of logits, best first. */
static int32_t draw(const vmt_row_sample *row, struct candidate *c, uint32_t n) {
    float max = c[0].logit;
    if (row->inv_temp == 0 || max == INFINITY) return (int32_t)c[0].id;
    float floor = fminf(max, max + row->floor_nats);
    uint32_t num_kept = 0;
    while (num_kept < n && c[num_kept].logit >= floor) num_kept++;
    if (row->top_k > 0 && row->top_k < num_kept) num_kept = row->top_k;
    for (uint32_t i = 0; i < num_kept; i++) c[i].weight = expf((c[i].logit - max) * row->inv_temp);
    if (row->top_p < 1) {
        double target = (double)row->top_p * total_of(c, num_kept), mass = 0;
        uint32_t i = 0;
        while (i < num_kept && mass < target) mass += (double)c[i++].weight;
        num_kept = i > 0 ? i : 1;
    }
    qsort(c, num_kept, sizeof *c, compare_ids);
    double target = (double)row->uniform * total_of(c, num_kept), mass = 0;
    uint32_t drawn = 0;
    for (uint32_t i = 0; i < num_kept; i++) {
        if (c[i].weight == 0) continue;
        drawn = i;
        mass += (double)c[i].weight;
        if (mass >= target) break;
    }
    return (int32_t)c[drawn].id;
}

static int32_t sample(const vmt_sample_batch *batch, const vmt_row_sample *row, uint32_t vocab,
                      const float *logits, struct candidate *c) {
    uint32_t n = 0;
    for (uint32_t id = 0; id < vocab; id++) {
        if (is_absent(logits[id]) || !has_bit(batch, row->mask, id) || !has_bit(batch, row->allowed, id)) continue;
        c[n++] = (struct candidate){.logit = logits[id], .id = id};
    }
    if (n == 0) return row->fallback;
    qsort(c, n, sizeof *c, compare);
    return draw(row, c, n);
}

/* ---- scoring */

static vmt_score score(const vmt_row_score *row, uint32_t token_id, uint32_t vocab, const float *logits,
                       struct candidate *c, vmt_top *tops) {
    uint32_t n = 0;
    for (uint32_t id = 0; id < vocab; id++) {
        if (!is_absent(logits[id])) c[n++] = (struct candidate){.logit = logits[id], .id = id};
    }
    qsort(c, n, sizeof *c, compare);
    vmt_score s = {.logit = logits[token_id], .max = n > 0 && isfinite(c[0].logit) ? c[0].logit : 0, .rank = 1};
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += exp((double)c[i].logit - (double)s.max);
    s.sum = (float)sum;
    while (s.rank - 1 < n && c[s.rank - 1].logit > s.logit) s.rank++;
    s.num_top = row->num_top < n ? row->num_top : n;
    for (uint32_t i = 0; i < s.num_top; i++) tops[i] = (vmt_top){(int32_t)c[i].id, c[i].logit};
    return s;
}

/* ---- the step */

static uint32_t num_entries(const vmt_row_edits *row) {
    return row->num_bans + row->num_biases + row->num_counts;
}

vmt_status vmt_sample_reference(const vmt_sample_batch *batch, uint32_t vocab, float *logits,
                                const int32_t *previous, int32_t *sampled, vmt_score *scores, vmt_top *tops) {
    struct candidate *c = malloc(vocab * sizeof *c);
    size_t num_saved = batch->num_edits + (size_t)batch->num_edited;
    float *saved = malloc((num_saved + 1) * sizeof *saved);
    if (!c || !saved) {
        free(c);
        free(saved);
        return VMT_E_NO_MEMORY;
    }
    float *expected_raw = saved + batch->num_edits; /* [num_edited] */
    for (uint32_t i = 0; i < batch->num_edited; i++) {
        const vmt_row_edits *row = &batch->edited[i];
        float *p = logits + (size_t)row->logit_row * vocab;
        int32_t expected = row->expected >= 0 ? previous[row->expected] : -1;
        for (uint32_t k = row->first_edit; k < row->first_edit + num_entries(row); k++) {
            saved[k] = p[batch->edits[k].token_id];
        }
        if (expected >= 0) expected_raw[i] = p[expected];
        edit_row(row, batch->edits, expected, p);
    }
    for (uint32_t i = 0; i < batch->num_samples; i++) {
        const vmt_row_sample *row = &batch->samples[i];
        sampled[i] = sample(batch, row, vocab, logits + (size_t)row->logit_row * vocab, c);
    }
    for (uint32_t i = 0; i < batch->num_edited; i++) {
        const vmt_row_edits *row = &batch->edited[i];
        float *p = logits + (size_t)row->logit_row * vocab;
        for (uint32_t k = row->first_edit; k < row->first_edit + num_entries(row); k++) {
            p[batch->edits[k].token_id] = saved[k];
        }
        if (row->expected >= 0) p[previous[row->expected]] = expected_raw[i];
    }
    for (uint32_t i = 0; i < batch->num_scored; i++) {
        const vmt_row_score *row = &batch->scored[i];
        int32_t token_id = row->sample >= 0 ? sampled[row->sample] : row->token_id;
        scores[i] = score(row, (uint32_t)token_id, vocab, logits + (size_t)row->logit_row * vocab, c,
                          tops + row->first_top);
    }
    free(c);
    free(saved);
    return VMT_OK;
}
