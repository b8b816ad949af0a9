/* ops/sample.h: a step's sampling as plain arrays: what a device is given and brings back, and its scalar reference.
 *
 * Order: edits of logits, sampling, edits undone, scoring.  The draw is the CPU sampler's (engine/sampler.h): what is
 * kept stands in order of ids, and the token is the first whose running weight reaches uniform * total.  Weights are
 * floats here and summed in another order, so a draw within rounding (about 1e-6 of the total) of the border between
 * two tokens may fall to the other one. */
#ifndef VMT_OPS_SAMPLE_H
#define VMT_OPS_SAMPLE_H

#include "base/status.h"
#include "kernels/sample_kargs.h"

#include <stdbool.h>

#define VMT_SAMPLE_NO_FLOOR (-3e38f)

typedef struct vmt_sample_batch {
    uint32_t num_samples, num_edited, num_edits, num_masks, num_scored, num_tops;
    const vmt_row_sample *samples; /* [num_samples] */
    const vmt_row_edits *edited;   /* [num_edited] logit rows differ */
    const vmt_edit *edits;         /* [num_edits] */
    const uint32_t *const *masks;  /* [num_masks] of (vocab + 31) / 32 words each */
    const vmt_row_score *scored;   /* [num_scored] */
    bool needs_logits;             /* the outcome has the logits, too */
    /* Masks and samples may be written until this returns; called by launch(), once.  NULL: they are there. */
    void (*wait_for_masks)(void *ctx);
    void *wait_ctx;
} vmt_sample_batch;

/* Valid until the next collect(). */
typedef struct vmt_sample_outcome {
    const int32_t *sampled;  /* [num_samples] */
    const vmt_score *scores; /* [num_scored] */
    const vmt_top *tops;     /* [num_tops] */
    const float *logits;     /* [num_logits, vocab] as the model gave them, if needs_logits; else NULL */
} vmt_sample_outcome;

/* Most edits of a step: room for the longest lists of one row, at least. */
uint32_t vmt_sample_edits_max(uint32_t vocab, uint32_t max_model_len);

/* The reference.  logits [.., vocab] are edited and restored; previous [..] is what the step before sampled.  sampled,
 * scores and tops have room for the batch.  VMT_E_NO_MEMORY is its only failure. */
vmt_status vmt_sample_reference(const vmt_sample_batch *batch, uint32_t vocab, float *logits,
                                const int32_t *previous, int32_t *sampled, vmt_score *scores, vmt_top *tops);

#endif
