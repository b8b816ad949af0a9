/* engine/sampler.h: one row of logits in, one token out.
 *
 * Pure: the outcome depends on the arguments alone, so rows may be spread over threads, one scratch each.  No sort of
 * the vocabulary: a first pass keeps the maximum of every 64 logits, and the k-th of those maxima bounds the k-th best
 * logit from below, so that few logits are left to look at.  Candidates stand in one order everywhere: higher logit
 * first, lower id on ties; top_k takes exactly k of it, top_p the shortest head whose probability reaches p. */
#ifndef VMT_ENGINE_SAMPLER_H
#define VMT_ENGINE_SAMPLER_H

#include "engine/constraint.h"
#include "engine/sampling.h"

/* Memory for one row at a time. */
typedef struct vmt_sampler_scratch vmt_sampler_scratch;
/* NULL for lack of memory; about 20 bytes per token of the vocabulary. */
vmt_sampler_scratch *vmt_sampler_scratch_create(uint32_t vocab);
void vmt_sampler_scratch_destroy(vmt_sampler_scratch *scratch);

/* How often each token occurred, for the penalties: distinct ids in order of appearance, and a hash index on them. */
typedef struct vmt_token_count {
    int32_t token_id;
    uint32_t num_output; /* 0: in the prompt only */
} vmt_token_count;

typedef struct vmt_token_counts {
    vmt_token_count *counts; /* [num_counts] */
    uint32_t *index;         /* [index_mask + 1] position in counts, plus one; 0 is empty */
    uint32_t num_counts, index_mask;
} vmt_token_counts;

/* Room for num_tokens_max tokens, prompt and output.  false: the arena is full. */
VMT_MUST_USE bool vmt_token_counts_init(vmt_token_counts *counts, vmt_arena *arena, uint32_t num_tokens_max);
void vmt_token_counts_add(vmt_token_counts *counts, int32_t token_id, bool is_output);

typedef struct vmt_sample_args {
    const vmt_sampling *sampling;
    const int32_t *end_ids; /* [num_end_ids] what min_tokens bans: end-of-sequence ids unless ignored, stop ids */
    uint32_t num_end_ids;
    const int32_t *output; /* [num_output] sampled so far: bad_words, min_tokens and the draw depend on it */
    uint32_t num_output;
    const uint32_t *allowed;        /* bit id: the token may come, [VMT_CONSTRAINT_WORDS(vocab)]; NULL: all may */
    const vmt_token_counts *counts; /* NULL only when vmt_sampling_has_penalties() is false */
    uint64_t seed;
    uint32_t seq_idx;
} vmt_sample_args;

typedef struct vmt_sample {
    int32_t token_id;
    float logprob;          /* of the raw logits; 0 unless asked for */
    uint32_t rank;          /* 1 + how many raw logits are strictly greater; 0 unless asked for */
    vmt_token_logprob *top; /* the caller's, room for num_logprobs (at most vocab) */
    uint32_t num_top;
    bool is_end;      /* the engine's: the token ended its sequence */
    bool is_end_mark; /* and it is an end-of-sequence or stop id: no part of the text */
} vmt_sample;

bool vmt_sampling_has_penalties(const vmt_sampling *sampling);
/* Entries of `top` that num_logprobs asks for. */
static inline uint32_t vmt_sampling_num_top(int32_t num_logprobs, uint32_t vocab) {
    return num_logprobs <= 0 ? 0 : VMT_MIN((uint32_t)num_logprobs, vocab);
}

/* row [vocab] is overwritten.  A NaN counts as minus infinity; a row of nothing else gives token 0. */
void vmt_sample_row(vmt_sampler_scratch *scratch, const vmt_sample_args *args, float *row, vmt_sample *out);
/* The log probability and rank of out->token_id, and the num_top best, of a row of raw logits. */
void vmt_score_row(vmt_sampler_scratch *scratch, const float *row, uint32_t num_top, vmt_sample *out);

#endif
