/* kernels/sample_kargs.h: what the sampling kernels take: rows of a step to edit, sample and score.
 *
 * Plain C that the host and the kernels share.  A logit is "absent" when it is minus infinity or not a number. */
#ifndef VMT_KERNELS_SAMPLE_KARGS_H
#define VMT_KERNELS_SAMPLE_KARGS_H

#include <stdint.h>

#define VMT_SAMPLE_CHUNK   4096u /* ids that one threadgroup of sample_max looks at */
#define VMT_SCORE_TOPS_MAX 128u  /* best tokens that a scored row may ask for */

/* One token to draw from a row of logits. */
typedef struct vmt_row_sample {
    uint32_t logit_row;
    int32_t mask, allowed; /* rows of the step's bit masks that must both have the token's bit; -1: none */
    int32_t fallback;      /* the token when every logit is absent */
    float inv_temp;        /* 0: greedy */
    float floor_nats;      /* logits below the maximum plus this are out (min_p); -3e38: none */
    float top_p;           /* 1: off */
    uint32_t top_k;        /* 0: off */
    float uniform;         /* [0, 1): where in the kept weights, in order of ids, the draw falls */
} vmt_row_sample;

/* Changes of a row before it is sampled: entries [first_edit, + num_bans + num_biases + num_counts) of the step's
 * edits, in this order. */
typedef struct vmt_row_edits {
    uint32_t logit_row;
    int32_t expected; /* the sample of the step before whose token counts as output too; -1: none */
    uint32_t first_edit, num_bans, num_biases, num_counts;
    float repetition, presence, frequency;
} vmt_row_edits;

/* Ban:   condition: -1, or the token that the expected one must be.
 * Bias:  what is added; ids of a row differ.
 * Count: how often the output has the token, 0 for one in the prompt alone; ids of a row differ. */
typedef struct vmt_edit {
    int32_t token_id;
    union {
        int32_t condition;
        float bias;
        uint32_t count;
    } u;
} vmt_edit;

/* A row of logits, as the model gave them, to score a token in. */
typedef struct vmt_row_score {
    uint32_t logit_row;
    int32_t sample; /* the token is what this sample drew; -1: it is token_id */
    int32_t token_id;
    uint32_t num_top, first_top; /* entries of the step's tops: at most VMT_SCORE_TOPS_MAX */
} vmt_row_score;

typedef struct vmt_score { /* log probability: logit - max - log(sum) */
    float logit, max, sum; /* of the token; the greatest; of exp(logit - max) */
    uint32_t rank;         /* 1 + how many are strictly greater */
    uint32_t num_top;      /* fewer than asked for when the others are absent */
} vmt_score;

typedef struct vmt_top { /* most likely first, lower id on ties */
    int32_t token_id;
    float logit;
} vmt_top;

typedef struct vmt_sample_best { /* of one chunk of a row */
    uint32_t key, id;            /* key: an order-preserving form of the logit (sample.h) */
} vmt_sample_best;

/* ---- arguments; num_rows is the step's count of samples, edited rows or scored rows */

typedef struct vmt_resolve_tokens_kargs {
    uint32_t num_rows;
} vmt_resolve_tokens_kargs;

typedef struct vmt_sample_edit_kargs {
    uint32_t num_rows, vocab;
    uint32_t edits_max; /* the saved logit of row i's expected token is at edits_max + i */
} vmt_sample_edit_kargs;

typedef struct vmt_sample_kargs {
    uint32_t num_rows, vocab;
    uint32_t num_chunks; /* of VMT_SAMPLE_CHUNK ids */
} vmt_sample_kargs;

typedef struct vmt_score_kargs {
    uint32_t num_rows, vocab;
} vmt_score_kargs;

#endif
