#include "engine/sampler.h"
#include "base/checked.h"
#include "base/rng.h"
#include "engine/logit_row.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#define TEMPERATURE_MIN 1e-5f /* below it the best token is all there is */
#define NUM_CANDIDATES  512u  /* top_p looks among this many best tokens before it looks at all of them */
#define NARROW_NATS     20.0f /* below the maximum: what is further down has no weight to speak of */
#define NARROW_ROUNDS   6u    /* each leaves a fifth: 20 nats become 0.0013, and few of them are left */

struct vmt_sampler_scratch {
    uint32_t vocab;
    float *block_max;          /* [blocks] */
    double *block_sums;        /* [blocks] */
    vmt_logit_key *block_keys; /* [blocks] */
    vmt_logit_key *keys;       /* [vocab] */
    float *raw;                /* [vocab] the row before it was edited; also the logits of allowed ids */
    float *weights;            /* [blocks * 64] */
};

vmt_sampling vmt_sampling_default(void) {
    return (vmt_sampling){
        .temperature = 1.0f,
        .top_p = 1.0f,
        .repetition_penalty = 1.0f,
        .max_tokens = UINT32_MAX, /* as far as the context goes */
        .num_logprobs = -1,
        .num_prompt_logprobs = -1,
    };
}

bool vmt_sampling_has_penalties(const vmt_sampling *s) {
    return s->repetition_penalty != 1.0f || s->presence_penalty != 0.0f || s->frequency_penalty != 0.0f;
}

vmt_sampler_scratch *vmt_sampler_scratch_create(uint32_t vocab) {
    VMT_ASSERT(vocab >= 1);
    vmt_sampler_scratch *scratch = calloc(1, sizeof *scratch);
    if (!scratch) return NULL;
    uint32_t num_blocks = VMT_ROW_BLOCKS(vocab);
    scratch->vocab = vocab;
    scratch->block_max = malloc(num_blocks * sizeof *scratch->block_max);
    scratch->block_sums = malloc(num_blocks * sizeof *scratch->block_sums);
    scratch->block_keys = malloc(num_blocks * sizeof *scratch->block_keys);
    scratch->keys = malloc(vocab * sizeof *scratch->keys);
    scratch->raw = malloc(vocab * sizeof *scratch->raw);
    scratch->weights = malloc((size_t)num_blocks * VMT_ROW_BLOCK * sizeof *scratch->weights);
    if (!scratch->block_max || !scratch->block_sums || !scratch->block_keys || !scratch->keys || !scratch->raw ||
        !scratch->weights) {
        vmt_sampler_scratch_destroy(scratch);
        return NULL;
    }
    return scratch;
}

void vmt_sampler_scratch_destroy(vmt_sampler_scratch *scratch) {
    if (!scratch) return;
    free(scratch->block_max);
    free(scratch->block_sums);
    free(scratch->block_keys);
    free(scratch->keys);
    free(scratch->raw);
    free(scratch->weights);
    free(scratch);
}

/* ---- counts */

bool vmt_token_counts_init(vmt_token_counts *counts, vmt_arena *arena, uint32_t num_tokens_max) {
    uint64_t size = 2;
    while (size < 2 * (uint64_t)num_tokens_max) size *= 2;
    if (size > UINT32_MAX) return false;
    *counts = (vmt_token_counts){.index_mask = (uint32_t)size - 1};
    counts->counts = vmt_arena_alloc(arena, (size_t)num_tokens_max * sizeof *counts->counts);
    counts->index = VMT_ARENA_NEW(arena, uint32_t, (size_t)size);
    return counts->counts && counts->index;
}

void vmt_token_counts_add(vmt_token_counts *counts, int32_t token_id, bool is_output) {
    uint32_t i = (uint32_t)token_id * 2654435761u & counts->index_mask;
    while (counts->index[i] != 0 && counts->counts[counts->index[i] - 1].token_id != token_id) {
        i = (i + 1) & counts->index_mask;
    }
    if (counts->index[i] == 0) {
        counts->counts[counts->num_counts++] = (vmt_token_count){.token_id = token_id};
        counts->index[i] = counts->num_counts;
    }
    counts->counts[counts->index[i] - 1].num_output += is_output;
}

/* ---- edits of the row, in order */

static void ban_bad_words(const vmt_sample_args *args, float *row) {
    const vmt_sampling *s = args->sampling;
    for (uint32_t i = 0; i < s->num_bad_words; i++) {
        const vmt_token_run *run = &s->bad_words[i];
        uint32_t num_before = run->len - 1;
        if (num_before > args->num_output) continue;
        const int32_t *tail = args->output + (args->num_output - num_before);
        if (num_before > 0 && memcmp(tail, run->ids, num_before * sizeof *tail) != 0) continue;
        row[run->ids[num_before]] = -INFINITY;
    }
}

static void keep_allowed(vmt_sampler_scratch *scratch, const vmt_sampling *s, float *row) {
    float *kept = (float *)scratch->keys; /* raw may hold the row itself */
    uint32_t n = VMT_MIN(s->num_allowed_token_ids, 2 * scratch->vocab);
    VMT_ASSERT(n == s->num_allowed_token_ids);
    for (uint32_t i = 0; i < n; i++) kept[i] = row[s->allowed_token_ids[i]];
    for (uint32_t i = 0; i < scratch->vocab; i++) row[i] = -INFINITY;
    for (uint32_t i = 0; i < n; i++) row[s->allowed_token_ids[i]] = kept[i];
}

/* As vLLM has them: repetition scales what occurred anywhere, the others count the output alone. */
static void apply_penalties(const vmt_sampling *s, const vmt_token_counts *counts, float *row) {
    for (uint32_t i = 0; i < counts->num_counts; i++) {
        const vmt_token_count *c = &counts->counts[i];
        float logit = row[c->token_id];
        logit = logit > 0 ? logit / s->repetition_penalty : logit * s->repetition_penalty;
        if (c->num_output > 0) {
            logit -= s->frequency_penalty * (float)c->num_output;
            logit -= s->presence_penalty;
        }
        row[c->token_id] = logit;
    }
}

static bool has_edits(const vmt_sample_args *args) {
    const vmt_sampling *s = args->sampling;
    return (args->num_output < s->min_tokens && args->num_end_ids > 0) || s->num_bad_words > 0 ||
           s->allowed_token_ids || args->allowed || s->num_logit_bias > 0 || vmt_sampling_has_penalties(s);
}

static void mask_row(const uint32_t *allowed, float *row, uint32_t vocab) {
    for (uint32_t i = 0; i < vocab; i += 32) {
        uint32_t word = allowed[i / 32], n = VMT_MIN(32u, vocab - i);
        if (word == UINT32_MAX) continue;
        for (uint32_t k = 0; k < n; k++) row[i + k] = word >> k & 1 ? row[i + k] : -INFINITY;
    }
}

/* What is left when the other edits ban all that a mask allows: the mask is kept. */
static int32_t first_allowed(const uint32_t *allowed, uint32_t vocab) {
    for (uint32_t i = 0; allowed && i < VMT_CONSTRAINT_WORDS(vocab); i++) {
        if (allowed[i] == 0) continue;
        uint32_t id = i * 32 + (uint32_t)__builtin_ctz(allowed[i]);
        return id < vocab ? (int32_t)id : 0;
    }
    return 0;
}

static void edit_row(vmt_sampler_scratch *scratch, const vmt_sample_args *args, float *row) {
    const vmt_sampling *s = args->sampling;
    if (args->num_output < s->min_tokens) {
        for (uint32_t i = 0; i < args->num_end_ids; i++) row[args->end_ids[i]] = -INFINITY;
    }
    ban_bad_words(args, row);
    if (s->allowed_token_ids) keep_allowed(scratch, s, row);
    for (uint32_t i = 0; i < s->num_logit_bias; i++) row[s->logit_bias[i].token_id] += s->logit_bias[i].bias;
    if (vmt_sampling_has_penalties(s)) apply_penalties(s, args->counts, row);
    if (args->allowed) mask_row(args->allowed, row, scratch->vocab);
}

/* ---- candidates */

/* Keys of at least the k best logits (all there are, if fewer), given block_max.  The k-th best block maximum is a
 * logit, and k logits reach it: so does the k-th best logit. */
static uint32_t collect_best(vmt_sampler_scratch *scratch, const float *row, uint32_t k) {
    uint32_t num_blocks = VMT_ROW_BLOCKS(scratch->vocab);
    float floor = -FLT_MAX;
    if (k < num_blocks) {
        for (uint32_t b = 0; b < num_blocks; b++) {
            scratch->block_keys[b] = vmt_logit_key_of(scratch->block_max[b], b);
        }
        vmt_keys_select(scratch->block_keys, num_blocks, k);
        vmt_logit_key least = UINT64_MAX;
        for (uint32_t i = 0; i < k; i++) least = VMT_MIN(least, scratch->block_keys[i]);
        floor = vmt_logit_key_logit(least);
    }
    return vmt_row_collect(row, scratch->vocab, scratch->block_max, floor, INFINITY, scratch->keys);
}

static vmt_logit_key least_key(const vmt_logit_key *keys, uint32_t n) {
    vmt_logit_key least = UINT64_MAX;
    for (uint32_t i = 0; i < n; i++) least = VMT_MIN(least, keys[i]);
    return least;
}

static double mass_of(const vmt_row_weights *w, const vmt_logit_key *keys, uint32_t n) {
    double mass = 0;
    for (uint32_t i = 0; i < n; i++) mass += (double)vmt_row_weight(w, vmt_logit_key_logit(keys[i]));
    return mass;
}

/* A flat distribution: narrows down where p is reached, five pieces a pass, and looks only into the last piece.
 * Always mass(logits >= high) < target; low is where enough is above it, or the floor. */
static vmt_logit_key cut_by_narrowing(vmt_sampler_scratch *scratch, const vmt_row_weights *w, vmt_logit_key cut,
                                      double target) {
    float floor = vmt_logit_key_logit(cut);
    float low = floor, high = INFINITY, narrow_low = VMT_MAX(floor, w->max - NARROW_NATS / w->inv_temp),
          narrow_high = w->max;
    double before = 0;
    vmt_row_weigh(w, floor, scratch->weights);
    for (uint32_t round = 0; round < NARROW_ROUNDS; round++) {
        float bounds[VMT_NUM_THRESHOLDS]; /* descending */
        double sums[VMT_NUM_THRESHOLDS];
        float piece = (narrow_high - narrow_low) / (VMT_NUM_THRESHOLDS + 1);
        for (uint32_t k = 0; k < VMT_NUM_THRESHOLDS; k++) {
            bounds[k] =
                round == 0 && k + 1 == VMT_NUM_THRESHOLDS ? narrow_low : narrow_high - piece * (float)(k + 1);
        }
        vmt_row_sums_above(w, scratch->weights, bounds, sums);
        uint32_t k = 0;
        while (k < VMT_NUM_THRESHOLDS && sums[k] < target) k++;
        if (k > 0) {
            high = narrow_high = bounds[k - 1];
            before = sums[k - 1];
        }
        if (k < VMT_NUM_THRESHOLDS) low = narrow_low = bounds[k];
        if (round == 0 && k == VMT_NUM_THRESHOLDS) break; /* not even all of the 20 nats: down to the floor */
    }
    float ceiling = nextafterf(high, -INFINITY);
    uint32_t n = vmt_row_collect(w->row, w->n, scratch->block_max, low, ceiling, scratch->keys);
    return n == 0 ? cut : vmt_keys_select_mass(w, scratch->keys, n, target - before);
}

static vmt_logit_key cut_at_top_p(vmt_sampler_scratch *scratch, const vmt_row_weights *w, vmt_logit_key cut,
                                  float top_p) {
    double target = (double)top_p * vmt_row_sums(w, scratch->block_max, cut, scratch->block_sums);
    uint32_t n = collect_best(scratch, w->row, NUM_CANDIDATES);
    vmt_logit_key least = VMT_MAX(cut, least_key(scratch->keys, n));
    if (least == cut || mass_of(w, scratch->keys, n) >= target) {
        return VMT_MAX(cut, vmt_keys_select_mass(w, scratch->keys, n, target));
    }
    return cut_by_narrowing(scratch, w, cut, target);
}

static vmt_logit_key cut_at_top_k(vmt_sampler_scratch *scratch, const vmt_row_weights *w, vmt_logit_key cut,
                                  uint32_t top_k, float top_p) {
    uint32_t n = collect_best(scratch, w->row, top_k);
    uint32_t k = VMT_MIN(n, top_k);
    vmt_keys_select(scratch->keys, n, k);
    uint32_t num_kept = 0;
    for (uint32_t i = 0; i < k; i++) {
        if (scratch->keys[i] >= cut) scratch->keys[num_kept++] = scratch->keys[i];
    }
    VMT_ASSERT(num_kept > 0); /* the maximum is above every floor */
    if (top_p < 1.0f) {
        double target = (double)top_p * mass_of(w, scratch->keys, num_kept);
        return vmt_keys_select_mass(w, scratch->keys, num_kept, target);
    }
    return least_key(scratch->keys, num_kept);
}

static int32_t draw(vmt_sampler_scratch *scratch, const vmt_sample_args *args, const float *row, float max) {
    const vmt_sampling *s = args->sampling;
    vmt_row_weights w = {.row = row, .n = scratch->vocab, .max = max, .inv_temp = 1.0f / s->temperature};
    float floor = -FLT_MAX;
    if (s->min_p > 0) {
        float nats = logf(s->min_p) * s->temperature;
        floor = VMT_MIN(max, VMT_MAX(floor, max + nats));
    }
    /* What is kept are the keys from cut upwards: at first all that min_p leaves. */
    vmt_logit_key cut = vmt_logit_key_of(floor, scratch->vocab - 1);
    if (s->top_k > 0 && (uint32_t)s->top_k < scratch->vocab) {
        cut = cut_at_top_k(scratch, &w, cut, (uint32_t)s->top_k, s->top_p);
    } else if (s->top_p < 1.0f) {
        cut = cut_at_top_p(scratch, &w, cut, s->top_p);
    }
    double total = vmt_row_sums(&w, scratch->block_max, cut, scratch->block_sums);
    double uniform = vmt_rng_uniform(args->seed, args->seq_idx, args->num_output);
    return (int32_t)vmt_row_draw(&w, cut, scratch->block_sums, uniform * total);
}

/* ---- verbs */

void vmt_score_row(vmt_sampler_scratch *scratch, const float *row, uint32_t num_top, vmt_sample *out) {
    VMT_ASSERT((uint32_t)out->token_id < scratch->vocab && num_top <= scratch->vocab);
    float max = vmt_row_block_max(row, scratch->vocab, scratch->block_max);
    if (!isfinite(max)) max = 0;
    vmt_row_weights w = {.row = row, .n = scratch->vocab, .max = max, .inv_temp = 1.0f};
    vmt_logit_key all = vmt_logit_key_of(-FLT_MAX, scratch->vocab - 1);
    double norm = (double)max + log(vmt_row_sums(&w, scratch->block_max, all, scratch->block_sums));
    out->logprob = (float)((double)row[out->token_id] - norm);
    out->rank = 1 + vmt_row_count_greater(row, scratch->vocab, row[out->token_id]);
    out->num_top = 0;
    if (num_top == 0) return;

    uint32_t n = collect_best(scratch, row, num_top);
    out->num_top = VMT_MIN(n, num_top);
    vmt_keys_select(scratch->keys, n, out->num_top);
    vmt_keys_sort(scratch->keys, out->num_top);
    for (uint32_t i = 0; i < out->num_top; i++) {
        out->top[i] = (vmt_token_logprob){
            .token_id = (int32_t)vmt_logit_key_id(scratch->keys[i]),
            .logprob = (float)((double)vmt_logit_key_logit(scratch->keys[i]) - norm),
        };
    }
}

void vmt_sample_row(vmt_sampler_scratch *scratch, const vmt_sample_args *args, float *row, vmt_sample *out) {
    const vmt_sampling *s = args->sampling;
    const float *raw = row;
    if (has_edits(args)) {
        if (s->num_logprobs >= 0) raw = memcpy(scratch->raw, row, scratch->vocab * sizeof *row);
        edit_row(scratch, args, row);
    }
    out->logprob = 0;
    out->rank = out->num_top = 0;

    float max = vmt_row_block_max(row, scratch->vocab, scratch->block_max);
    if (max == -INFINITY) {
        out->token_id = first_allowed(args->allowed, scratch->vocab);
    } else if (s->temperature < TEMPERATURE_MIN || max == INFINITY) {
        out->token_id = (int32_t)vmt_row_first(row, scratch->vocab, scratch->block_max, max);
    } else {
        out->token_id = draw(scratch, args, row, max);
    }
    if (s->num_logprobs >= 0)
        vmt_score_row(scratch, raw, vmt_sampling_num_top(s->num_logprobs, scratch->vocab), out);
}
