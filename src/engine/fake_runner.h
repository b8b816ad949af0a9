/* engine/fake_runner.h: a model that is no model: for tests of the engine and for serving without weights.
 *
 * It keeps the ids of all positions in its KV slots and reads them back through the block tables, so that a wrong block
 * shows as a wrong token.  A row's logits are noise plus a peak at the id that follows from the last `window` tokens:
 * vmt_fake_next() says which.  As a device it keeps what a step sampled to itself until that is collected, and takes
 * the next step's tokens from there. */
#ifndef VMT_ENGINE_FAKE_RUNNER_H
#define VMT_ENGINE_FAKE_RUNNER_H

#include "model/runner.h"

#include <stdatomic.h>
#include <stdbool.h>

typedef struct vmt_fake_runner_config {
    uint32_t vocab, max_model_len;
    uint32_t num_blocks, block_size; /* as the scheduler's */
    uint32_t num_logits_max;         /* max_num_seqs + max_num_logit_rows */
    uint32_t window;                 /* tokens that decide the next one; 0: all */
    float peak;                      /* above the noise, which lies in [0, 1) */
    uint64_t forward_ns;             /* how long a step takes */
    bool is_device;                  /* steps are launched, and their tokens come back later */
} vmt_fake_runner_config;

typedef struct vmt_fake_runner vmt_fake_runner;

vmt_status vmt_fake_runner_create(vmt_fake_runner **out, const vmt_fake_runner_config *config, vmt_err *err);
void vmt_fake_runner_destroy(vmt_fake_runner *fake);
vmt_runner vmt_fake_runner_face(vmt_fake_runner *fake);

/* Any thread: the next num_steps steps fail; a device's with those launched upon them. */
void vmt_fake_runner_fail(vmt_fake_runner *fake, uint32_t num_steps);
/* Steps of a device that were launched while another was in flight.  With no step in flight. */
uint64_t vmt_fake_runner_num_ahead(const vmt_fake_runner *fake);
/* The id at the peak after these tokens. */
int32_t vmt_fake_next(const vmt_fake_runner_config *config, const int32_t *tokens, uint32_t num_tokens);
/* The logits after these tokens, into row [vocab]. */
void vmt_fake_row(const vmt_fake_runner *fake, const int32_t *tokens, uint32_t num_tokens, float *row);

#endif
