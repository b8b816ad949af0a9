/* engine/mask_worker.h: a thread that asks constraints for their masks while the model runs.
 *
 *   engine   post ─► forward ──────────────► wait ─► sample, accept
 *   worker        mask, mask, mask ────────►
 *
 * Between post() and wait() the jobs are the worker's, at all other times the engine thread's. */
#ifndef VMT_ENGINE_MASK_WORKER_H
#define VMT_ENGINE_MASK_WORKER_H

#include "base/arena.h"
#include "engine/constraint.h"

/* A sequence's constraint and the answer for its next token. */
typedef struct vmt_masked {
    vmt_constraint constraint;
    uint32_t *bits; /* [num_words] */
    uint32_t num_words;
    bool is_free; /* any token may come; bits say nothing */
    vmt_status status;
    vmt_err err;
} vmt_masked;

/* NULL: the arena is full. */
vmt_masked *vmt_masked_create(vmt_arena *arena, const vmt_constraint *constraint, uint32_t vocab);

typedef struct vmt_mask_worker vmt_mask_worker;

/* num_jobs_max: of one post. */
vmt_status vmt_mask_worker_create(vmt_mask_worker **out, uint32_t num_jobs_max, vmt_err *err);
/* Stops the thread, if there is one. */
void vmt_mask_worker_destroy(vmt_mask_worker *worker);

/* Adds a job to the next post. */
void vmt_mask_worker_add(vmt_mask_worker *worker, vmt_masked *job);
/* Hands over what was added.  The thread starts with the first post; where the system refuses it, wait() does the
 * work. */
void vmt_mask_worker_post(vmt_mask_worker *worker);
/* Every job that was posted is done.  Does itself what the thread has not begun. */
void vmt_mask_worker_wait(vmt_mask_worker *worker);

#endif
