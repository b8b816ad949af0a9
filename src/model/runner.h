/* model/runner.h: what the engine needs of a model: run a batch, give logits.  A real decoder or a scripted fake.
 *
 * The CPU runs a step in forward(), and the engine samples from its logits.  A device takes steps ahead: launch() gives
 * it a step with its sampling, collect() waits for the oldest one.  What a step sampled is the input of the next one
 * without the host knowing it.  Steps run in the order of their launches. */
#ifndef VMT_MODEL_RUNNER_H
#define VMT_MODEL_RUNNER_H

#include "base/status.h"
#include "model/batch.h"
#include "ops/sample.h"

#define VMT_FLIGHTS_MAX 2u /* steps launched and not collected */

typedef struct vmt_runner {
    void *self;
    uint32_t vocab;         /* columns of the logits */
    uint32_t hidden;        /* > 0: final hidden states, F32 [num_logits, hidden], stand where logits would */
    uint32_t max_model_len; /* the model's own context */
    /* Runs the batch; on success *logits points to F32 [num_logits, vocab], valid until the next call.  The engine may
     * overwrite it.  Allocates nothing once warm. */
    vmt_status (*forward)(void *self, const vmt_batch *batch, float **logits, vmt_err *err);

    /* A device, instead of forward(); NULL on the CPU.  What launch() is given is copied.  After a failure of launch()
     * the step was not begun.  collect() waits no longer than the device's time limit for a step; after its failure the
     * step, and what the steps launched after it bring, is lost, and they must be collected still. */
    vmt_status (*launch)(void *self, const vmt_batch *batch, const vmt_sample_batch *samples, vmt_err *err);
    vmt_status (*collect)(void *self, vmt_sample_outcome *out, vmt_err *err);
} vmt_runner;

#endif
