/* engine/sample_batch.h: how the rows of a step are sampled and scored, as the arrays a device runs.  Engine thread;
 * all memory is taken in create(). */
#ifndef VMT_ENGINE_SAMPLE_BATCH_H
#define VMT_ENGINE_SAMPLE_BATCH_H

#include "engine/generation.h"
#include "engine/step_batch.h"

typedef struct vmt_sample_builder vmt_sample_builder;

vmt_status vmt_sample_builder_create(vmt_sample_builder **out, const vmt_sched_config *config, uint32_t vocab,
                                     vmt_err *err);
void vmt_sample_builder_destroy(vmt_sample_builder *builder);

/* What of a sequence's row in a step comes back, and where. */
typedef struct vmt_sample_plan {
    uint32_t sample; /* of the outcome's, if the row samples */
    /* of the outcome's: the prompt's scores, then the sampled token's */
    uint32_t first_score, first_top;
    bool on_host; /* too many best tokens for a device: the host scores, and the step brings its logits */
} vmt_sample_plan;

/* The most entries that the sequence's next row may need; a step has room for vmt_sample_edits_max(). */
uint32_t vmt_sample_edits_of(const vmt_sequence *s);

/* The batch of this step; plans [num_scheduled] say what to do with its outcome.  Both valid until the next call, but
 * masks may still be written. */
const vmt_sample_batch *vmt_sample_builder_fill(vmt_sample_builder *builder, const vmt_step *step,
                                                const vmt_row_plan *rows, const vmt_sample_plan **plans);
/* The masks of the batch are written: whatever depends on them is filled in. */
void vmt_sample_builder_take_masks(vmt_sample_builder *builder);

#endif
