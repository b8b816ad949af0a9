#include "engine/sample_batch.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>

#define TEMPERATURE_MIN 1e-5f /* as the CPU's sampler has it */

struct vmt_sample_builder {
    uint32_t vocab, num_edits_max, num_scored_max;
    vmt_row_sample *samples; /* [max_num_seqs] */
    vmt_row_edits *edited;   /* [max_num_seqs] */
    vmt_edit *edits;         /* [num_edits_max] */
    const uint32_t **masks;  /* [2 * max_num_seqs] */
    vmt_row_score *scored;   /* [num_scored_max] */
    vmt_sample_plan *plans;  /* [max_num_seqs] */
    vmt_masked **masked;     /* [max_num_seqs] of each sample, or NULL */
    vmt_sample_batch view;
};

vmt_status vmt_sample_builder_create(vmt_sample_builder **out, const vmt_sched_config *c, uint32_t vocab,
                                     vmt_err *err) {
    *out = NULL;
    vmt_sample_builder *b = calloc(1, sizeof *b);
    if (!b) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the step's samples");
    uint32_t num_seqs = c->max_num_seqs;
    b->vocab = vocab;
    b->num_edits_max = vmt_sample_edits_max(vocab, c->max_model_len);
    b->num_scored_max = num_seqs + c->max_num_logit_rows;
    b->samples = calloc(num_seqs, sizeof *b->samples);
    b->edited = calloc(num_seqs, sizeof *b->edited);
    b->edits = calloc(b->num_edits_max, sizeof *b->edits);
    b->masks = calloc(2 * (size_t)num_seqs, sizeof *b->masks);
    b->scored = calloc(b->num_scored_max, sizeof *b->scored);
    b->plans = calloc(num_seqs, sizeof *b->plans);
    b->masked = calloc(num_seqs, sizeof *b->masked);
    if (!b->masked || !b->samples || !b->edited || !b->edits || !b->masks || !b->scored || !b->plans) {
        vmt_sample_builder_destroy(b);
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory to sample %u sequences", num_seqs);
    }
    *out = b;
    return VMT_OK;
}

void vmt_sample_builder_destroy(vmt_sample_builder *b) {
    if (!b) return;
    free(b->samples);
    free(b->edited);
    free(b->edits);
    free((void *)b->masks);
    free(b->scored);
    free(b->plans);
    free(b->masked);
    free(b);
}

/* ---- edits */

uint32_t vmt_sample_edits_of(const vmt_sequence *s) {
    const vmt_generation *gen = s->gen;
    if (!gen->may_be_held) return 0;
    return gen->num_end_ids + gen->sampling.num_bad_words + gen->num_biases + s->counts.num_counts;
}

static void add_edit(vmt_sample_builder *b, vmt_edit edit) {
    VMT_ASSERT(b->view.num_edits < b->num_edits_max);
    b->edits[b->view.num_edits++] = edit;
}

/* A run bans its last id while the output ends with the rest of it.  The output's last token may be expected: then the
 * device decides. */
static void ban_bad_words(vmt_sample_builder *b, const vmt_sequence *s, bool is_expecting) {
    const vmt_sampling *sampling = &s->gen->sampling;
    const int32_t *end = s->seq.tokens + s->gen->num_prompt + s->num_output;
    for (uint32_t i = 0; i < sampling->num_bad_words; i++) {
        const vmt_token_run *run = &sampling->bad_words[i];
        uint32_t num_before = run->len - 1;
        bool is_conditional = is_expecting && num_before > 0;
        uint32_t num_known = num_before - is_conditional;
        if (num_known > s->num_output) continue;
        if (num_known > 0 && memcmp(end - num_known, run->ids, num_known * sizeof *end) != 0) continue;
        add_edit(b,
                 (vmt_edit){run->ids[num_before], {.condition = is_conditional ? run->ids[num_before - 1] : -1}});
    }
}

static void edit_row(vmt_sample_builder *b, const vmt_sequence *s, uint32_t logit_row, bool is_expecting) {
    const vmt_generation *gen = s->gen;
    const vmt_sampling *sampling = &gen->sampling;
    bool has_penalties = vmt_sampling_has_penalties(sampling);
    uint32_t first = b->view.num_edits;
    if (s->num_output + is_expecting < sampling->min_tokens) {
        for (uint32_t i = 0; i < gen->num_end_ids; i++)
            add_edit(b, (vmt_edit){gen->end_ids[i], {.condition = -1}});
    }
    ban_bad_words(b, s, is_expecting);
    uint32_t num_bans = b->view.num_edits - first;
    for (uint32_t i = 0; i < gen->num_biases; i++) add_edit(b, gen->biases[i]);
    uint32_t end_biases = b->view.num_edits;
    bool counts_prompt = sampling->repetition_penalty != 1.0f;
    for (uint32_t i = 0; i < s->counts.num_counts; i++) {
        const vmt_token_count *count = &s->counts.counts[i];
        if (count->num_output > 0 || counts_prompt)
            add_edit(b, (vmt_edit){count->token_id, {.count = count->num_output}});
    }
    if (b->view.num_edits == first && !(has_penalties && is_expecting)) return;
    b->edited[b->view.num_edited++] = (vmt_row_edits){
        .logit_row = logit_row,
        .expected = is_expecting ? (int32_t)s->last_sample : -1,
        .first_edit = first,
        .num_bans = num_bans,
        .num_biases = gen->num_biases,
        .num_counts = b->view.num_edits - end_biases,
        .repetition = sampling->repetition_penalty,
        .presence = sampling->presence_penalty,
        .frequency = sampling->frequency_penalty,
    };
}

/* ---- samples and scores */

/* What is left when the other edits ban all that a mask allows: the mask is kept. */
static int32_t first_allowed(const uint32_t *bits, uint32_t vocab) {
    for (uint32_t i = 0; bits && i < VMT_CONSTRAINT_WORDS(vocab); i++) {
        if (bits[i] == 0) continue;
        uint32_t id = i * 32 + (uint32_t)__builtin_ctz(bits[i]);
        return id < vocab ? (int32_t)id : 0;
    }
    return 0;
}

static int32_t add_mask(vmt_sample_builder *b, const uint32_t *bits) {
    if (!bits) return -1;
    b->masks[b->view.num_masks] = bits;
    return (int32_t)b->view.num_masks++;
}

static void sample_row(vmt_sample_builder *b, const vmt_sequence *s, uint32_t logit_row, bool is_expecting) {
    const vmt_generation *gen = s->gen;
    const vmt_sampling *sampling = &gen->sampling;
    bool is_greedy = sampling->temperature < TEMPERATURE_MIN;
    b->masked[b->view.num_samples] = s->masked;
    b->samples[b->view.num_samples++] = (vmt_row_sample){
        .logit_row = logit_row,
        .mask = s->masked ? add_mask(b, s->masked->bits) : -1,
        .allowed = add_mask(b, gen->allowed),
        .inv_temp = is_greedy ? 0 : 1.0f / sampling->temperature,
        .floor_nats = sampling->min_p > 0 ? logf(sampling->min_p) * sampling->temperature : VMT_SAMPLE_NO_FLOOR,
        .top_p = sampling->top_p,
        .top_k = sampling->top_k > 0 ? (uint32_t)sampling->top_k : 0,
        .uniform = (float)vmt_rng_uniform(gen->seed, s->idx, s->num_output + is_expecting),
    };
}

static void score_row(vmt_sample_builder *b, vmt_row_score row) {
    VMT_ASSERT(b->view.num_scored < b->num_scored_max);
    row.first_top = b->view.num_tops;
    b->view.num_tops += row.num_top;
    b->scored[b->view.num_scored++] = row;
}

static void score_prompt(vmt_sample_builder *b, const vmt_sequence *s, const vmt_row_plan *row) {
    uint32_t num_top = vmt_sampling_num_top(s->gen->sampling.num_prompt_logprobs, b->vocab);
    for (uint32_t i = 0; i < row->num_scored; i++) {
        score_row(b, (vmt_row_score){.logit_row = row->first_logit + i,
                                     .sample = -1,
                                     .token_id = s->seq.tokens[row->first_scored + i],
                                     .num_top = num_top});
    }
}

static vmt_sample_plan plan_row(vmt_sample_builder *b, const vmt_sequence *s, const vmt_row_plan *row) {
    const vmt_sampling *sampling = &s->gen->sampling;
    uint32_t num_top = vmt_sampling_num_top(sampling->num_logprobs, b->vocab);
    uint32_t num_prompt_top = vmt_sampling_num_top(sampling->num_prompt_logprobs, b->vocab);
    bool scores_output = row->samples && sampling->num_logprobs >= 0;
    vmt_sample_plan plan = {
        .sample = b->view.num_samples,
        .first_score = b->view.num_scored,
        .first_top = b->view.num_tops,
    };
    plan.on_host = (scores_output && num_top > VMT_SCORE_TOPS_MAX) ||
                   (row->num_scored > 0 && num_prompt_top > VMT_SCORE_TOPS_MAX);
    b->view.needs_logits |= plan.on_host || row->num_pooled > 0;
    if (!plan.on_host) score_prompt(b, s, row);
    if (!row->samples) return plan;
    bool is_expecting = s->seq.num_expected > 0;
    uint32_t logit_row = row->first_logit + row->num_scored;
    edit_row(b, s, logit_row, is_expecting);
    sample_row(b, s, logit_row, is_expecting);
    if (scores_output && !plan.on_host) {
        score_row(b, (vmt_row_score){.logit_row = logit_row, .sample = (int32_t)plan.sample, .num_top = num_top});
    }
    return plan;
}

void vmt_sample_builder_take_masks(vmt_sample_builder *b) {
    for (uint32_t i = 0; i < b->view.num_samples; i++) {
        vmt_masked *masked = b->masked[i];
        if (!masked) continue;
        /* A constraint that failed ends its sequence when the step is back. */
        if (masked->is_free || masked->status != VMT_OK) {
            memset(masked->bits, 0xff, masked->num_words * sizeof *masked->bits);
        }
        b->samples[i].fallback = masked->is_free ? 0 : first_allowed(masked->bits, b->vocab);
    }
}

const vmt_sample_batch *vmt_sample_builder_fill(vmt_sample_builder *b, const vmt_step *step,
                                                const vmt_row_plan *rows, const vmt_sample_plan **plans) {
    b->view = (vmt_sample_batch){
        .samples = b->samples, .edited = b->edited, .edits = b->edits, .masks = b->masks, .scored = b->scored};
    for (uint32_t i = 0; i < step->num_scheduled; i++) {
        b->plans[i] = plan_row(b, (const vmt_sequence *)step->scheduled[i].seq, &rows[i]);
    }
    *plans = b->plans;
    return &b->view;
}
