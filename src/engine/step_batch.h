/* engine/step_batch.h: a step of the scheduler as the arrays a model runs.  Filled on the engine thread; all memory is
 * taken in create(). */
#ifndef VMT_ENGINE_STEP_BATCH_H
#define VMT_ENGINE_STEP_BATCH_H

#include "model/batch.h"
#include "sched/scheduler.h"

/* Where a scheduled sequence's logits are: first the scores of its prompt, then the row to sample from. */
typedef struct vmt_row_plan {
    uint32_t first_logit;
    uint32_t first_scored, num_scored; /* prompt positions whose logprob this step brings */
    uint32_t num_pooled;               /* rows, from first_logit on, for the generation's pool */
    bool samples;
} vmt_row_plan;

typedef struct vmt_step_batch vmt_step_batch;

vmt_status vmt_step_batch_create(vmt_step_batch **out, const vmt_sched_config *config, vmt_err *err);
void vmt_step_batch_destroy(vmt_step_batch *batch);

/* The batch of this step and, in plans [num_scheduled], what to do with its logits; both valid until the next call. */
const vmt_batch *vmt_step_batch_fill(vmt_step_batch *batch, const vmt_step *step, const vmt_row_plan **plans);

#endif
