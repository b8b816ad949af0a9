/* engine/engine_internal.h: the engine's insides, shared by engine.c (life cycle, inbox, loop) and publish.c (from
 * logits to tokens and ends).  Engine thread only, but for what says otherwise. */
#ifndef VMT_ENGINE_ENGINE_INTERNAL_H
#define VMT_ENGINE_ENGINE_INTERNAL_H

#include "engine/generation.h"
#include "engine/step_batch.h"

#include <pthread.h>

struct vmt_engine {
    vmt_engine_config config; /* eos_ids points to our copy; limits are what the model and the pool allow */
    vmt_runner runner;
    vmt_inbox *inbox;   /* any thread */
    vmt_outbox *outbox; /* any thread */
    vmt_scheduler *sched;
    vmt_step_batch *batch;
    vmt_sampler_scratch *scratch;
    vmt_mask_worker *mask_worker; /* writes masks while the model runs */

    vmt_link_list live; /* generations not ended, in order of arrival */
    uint64_t num_arrivals;
    uint32_t num_failures; /* of forward(), in a row */
    bool is_settled;       /* nothing arrived or ended in this turn of the loop */
    vmt_engine_stats work; /* the numbers of this thread */

    /* any thread */
    pthread_t thread;
    bool is_started;
    _Atomic bool is_stopping, is_dead, wants_prefix_reset;
    _Atomic uint32_t num_live_seqs;
    pthread_mutex_t stats_lock;
    vmt_engine_stats stats; /* a copy of work, under stats_lock */
};

/* Samples, scores and publishes every row of a step that ran. */
void vmt_engine_publish(vmt_engine *engine, const vmt_step *step, const vmt_row_plan *plans, float *logits,
                        uint64_t now_ns);
/* Ends one sequence; with its last one the generation ends, when the news go out. */
void vmt_engine_end_sequence(vmt_engine *engine, vmt_sequence *s, vmt_finish finish, int32_t stop_token_id);
/* Ends what is left of a generation; message (borrowed) is kept for VMT_FINISH_ERROR. */
void vmt_engine_end_generation(vmt_engine *engine, vmt_generation *gen, vmt_finish finish, const char *message);

#endif
