/* model/runner.h: what the engine needs of a model: run a batch, give logits.  A real decoder or a scripted fake. */
#ifndef VMT_MODEL_RUNNER_H
#define VMT_MODEL_RUNNER_H

#include "base/status.h"
#include "model/batch.h"

typedef struct vmt_runner {
    void *self;
    uint32_t vocab;         /* columns of the logits */
    uint32_t hidden;        /* > 0: forward() gives final hidden states, F32 [num_logits, hidden], and no logits */
    uint32_t max_model_len; /* the model's own context */
    /* Runs the batch; on success *logits points to F32 [num_logits, vocab], valid until the next call.  The engine may
     * overwrite it.  Allocates nothing once warm. */
    vmt_status (*forward)(void *self, const vmt_batch *batch, float **logits, vmt_err *err);
} vmt_runner;

#endif
