/* engine/engine_internal.h: the engine's insides, shared by engine.c (life cycle, inbox, loop) and publish.c (from
 * logits to tokens and ends).  Engine thread only, but for what says otherwise. */
#ifndef VMT_ENGINE_ENGINE_INTERNAL_H
#define VMT_ENGINE_ENGINE_INTERNAL_H

#include "engine/generation.h"
#include "engine/sample_batch.h"
#include "engine/step_batch.h"

#include <pthread.h>

/* A sequence's row of a step in flight. */
typedef struct vmt_flight_row {
    vmt_sequence *s; /* NULL: it ended meanwhile */
    uint32_t num_new_tokens, num_computed;
    vmt_row_plan plan;
    vmt_sample_plan sample;
    bool is_echo_end; /* echo_only, and the prompt is through */
} vmt_flight_row;

/* A step that a device runs. */
typedef struct vmt_flight {
    vmt_flight_row *rows; /* [num_rows] */
    uint32_t num_rows, num_tokens;
    bool needs_logits; /* so that no other step may be launched before it is back */
    uint64_t launched_ns;
} vmt_flight;

struct vmt_engine {
    vmt_engine_config config; /* eos_ids points to our copy; limits are what the model and the pool allow */
    vmt_runner runner;
    vmt_inbox *inbox;   /* any thread */
    vmt_outbox *outbox; /* any thread */
    vmt_scheduler *sched;
    vmt_step_batch *batch;
    vmt_sampler_scratch *scratch;
    vmt_mask_worker *mask_worker; /* writes masks while the model runs */

    /* a device's: flights[first_flight] is the oldest of num_flights */
    vmt_sample_builder *samples;
    vmt_flight flights[VMT_FLIGHTS_MAX];
    uint32_t first_flight, num_flights;
    uint32_t num_holdable; /* live generations that may be held */
    uint64_t collected_ns; /* the last one */

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

/* The masks of the tokens that this step will sample. */
void vmt_engine_ask_for_masks(vmt_engine *engine, const vmt_step *step, const vmt_row_plan *plans);
/* What statistics want to know of a step that was scheduled, and of one that ran. */
void vmt_engine_note_scheduled(const vmt_step *step, uint64_t now_ns);
void vmt_engine_note_iteration(vmt_engine *engine, uint32_t num_tokens);
/* A step failed: counts it.  true: the model is gone for good, and every generation has ended. */
bool vmt_engine_note_failure(vmt_engine *engine, uint32_t num_seqs, const char *message);
/* The generations of a step that could not run end; the others have lost nothing and go on. */
void vmt_engine_fail_step(vmt_engine *engine, const vmt_step *step, const vmt_err *err);

/* run_ahead.c.  false: nobody can run until something comes in. */
bool vmt_engine_run_ahead(vmt_engine *engine);
/* Waits for what is in flight and forgets it. */
void vmt_engine_drain_flights(vmt_engine *engine);
/* A sequence ends: its rows in flight are nobody's. */
void vmt_engine_drop_rows(vmt_engine *engine, vmt_sequence *s);

/* publish.c, row by row.  check_mask false: the constraint has failed or allows no token, and the sequence has ended.
 * take_token: slot is the ring's next, filled. */
bool vmt_engine_check_mask(vmt_engine *engine, vmt_sequence *s);
void vmt_engine_take_token(vmt_engine *engine, vmt_sequence *s, vmt_sample *slot);
void vmt_engine_note_scores(vmt_engine *engine, vmt_sequence *s, const vmt_row_plan *plan);
/* The rows of a pooled prompt go into its vector, which is whole with the last of them: then the generation ends. */
void vmt_engine_pool_rows(vmt_engine *engine, vmt_generation *gen, const vmt_row_plan *plan, const float *rows,
                          bool is_last, uint64_t now_ns);
void vmt_engine_note_times(vmt_generation *gen, uint64_t now_ns);

/* Samples, scores and publishes every row of a step that ran. */
void vmt_engine_publish(vmt_engine *engine, const vmt_step *step, const vmt_row_plan *plans, float *logits,
                        uint64_t now_ns);
/* Ends one sequence; with its last one the generation ends, when the news go out. */
void vmt_engine_end_sequence(vmt_engine *engine, vmt_sequence *s, vmt_finish finish, int32_t stop_token_id);
/* Ends what is left of a generation; message (borrowed) is kept for VMT_FINISH_ERROR. */
void vmt_engine_end_generation(vmt_engine *engine, vmt_generation *gen, vmt_finish finish, const char *message);

#endif
