/* engine/generation.h: the insides of a generation, shared by the engine's files.
 *
 * Written once by create(), then shared between the engine thread and the consumer.  Each field below says whose it
 * is; what both touch is atomic or in a ring.  Everything lives in the creator's arena. */
#ifndef VMT_ENGINE_GENERATION_H
#define VMT_ENGINE_GENERATION_H

#include "engine/mask_worker.h"
#include "engine/outbox.h"
#include "engine/output_ring.h"
#include "engine/pool.h"

typedef struct vmt_sequence {
    vmt_seq seq; /* first: the scheduler's vmt_seq is its vmt_sequence */
    vmt_generation *gen;
    uint32_t idx;
    vmt_output_ring ring;
    vmt_token_counts counts; /* the engine's; unused without penalties */
    uint32_t num_unshown;    /* tokens that the constraint has accepted and the reader has not seen */
    vmt_masked *masked;      /* the engine's; NULL without a constraint */
    uint32_t num_output;     /* the engine's */
    /* A device's steps, the engine's: its row in each step in flight, plus one, and its sample in the newest. */
    uint32_t flight_rows[VMT_FLIGHTS_MAX];
    uint32_t last_sample;
    bool is_ended; /* the engine's: the scheduler has let go of it */
    _Atomic bool is_cancelled;
    int32_t stop_token_id; /* before finish */
    _Atomic int finish;    /* vmt_finish, stored once */
} vmt_sequence;

struct vmt_generation {
    /* constant after create() */
    vmt_inbox *inbox;
    vmt_outbox *outbox;
    vmt_sampling sampling;
    const int32_t *end_ids; /* [num_end_ids] what ends a sequence: first the model's own, then the request's */
    uint32_t num_end_ids, num_eos_ids;
    uint32_t n, num_prompt, tokens_cap;
    uint64_t seed;
    bool echo_only;
    void *user;
    vmt_sequence *seqs; /* [n] */
    /* for a device, else NULL: logit_bias with each id once, and allowed_token_ids as bits */
    const vmt_edit *biases; /* [num_biases] */
    uint32_t num_biases;
    const uint32_t *allowed;
    bool may_be_held; /* constrained, or with edits: it may have to sit a step out */

    vmt_inbox_entry in;
    vmt_outbox_entry out;

    /* the engine's */
    vmt_link live;
    uint32_t num_live; /* sequences not ended */

    /* prompt logprobs: position i is written before num_scored passes it */
    vmt_sample *prompt_scores;   /* [num_prompt] or NULL */
    uint32_t num_scored;         /* the engine's; position 0 counts */
    _Atomic bool is_prompt_done; /* every score is there */

    vmt_pool pool; /* the engine's until finish */

    char error[VMT_ERR_MESSAGE_MAX]; /* before finish */

    _Atomic uint32_t num_cached_tokens, num_preemptions;
    _Atomic uint64_t submitted_ns, scheduled_ns, first_token_ns, last_token_ns;
};

/* What create() needs to know of the engine. */
typedef struct vmt_generation_limits {
    vmt_inbox *inbox;
    vmt_outbox *outbox;
    uint32_t vocab, hidden, max_model_len; /* hidden: see vmt_runner */
    const int32_t *eos_ids;                /* [num_eos_ids] */
    uint32_t num_eos_ids;
    bool is_device; /* it runs steps ahead */
} vmt_generation_limits;
vmt_generation_limits vmt_engine_limits(const vmt_engine *engine);

/* Rules of the parameters alone; the error names the field as a client knows it. */
vmt_status vmt_generation_params_check(const vmt_generation_params *params, const vmt_generation_limits *limits,
                                       vmt_err *err);

#endif
