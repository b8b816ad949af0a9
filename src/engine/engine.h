/* engine/engine.h: the engine thread: inbox, step loop, sampler; and what other threads see of it.
 *
 *   drain inbox ► schedule ► batch ► forward ► sample ► publish
 *
 * A generation is one accepted request: a prompt and n sequences.  Its creator keeps it until it has ended.  Tokens
 * come back through one ring per sequence: the engine writes, one consumer reads.  A consumer that stops reading fills
 * its ring, and the engine leaves that sequence out of steps until there is room: a slow reader pauses itself alone.
 * Steady decode allocates nothing on the engine thread.
 *
 * A pooled generation samples nothing: its prompt runs, and one vector made of its rows is the answer. */
#ifndef VMT_ENGINE_ENGINE_H
#define VMT_ENGINE_ENGINE_H

#include "engine/constraint.h"
#include "engine/sampling.h"
#include "model/runner.h"
#include "sched/scheduler.h"

typedef struct vmt_engine vmt_engine;
typedef struct vmt_generation vmt_generation;

typedef struct vmt_engine_config {
    vmt_sched_config sched;
    uint32_t waiting_max;   /* sequences queued beyond the running ones; submit() past it is VMT_E_EXHAUSTED */
    const int32_t *eos_ids; /* [num_eos_ids] the model's end-of-sequence ids; copied */
    uint32_t num_eos_ids;
    /* Called on the engine thread after a step that published something, once per step; must not block. */
    void (*on_progress)(void *ctx);
    void *on_progress_ctx;
    uint64_t (*count_allocations)(void); /* tests: the calling thread's allocations so far; else NULL */
} vmt_engine_config;

vmt_status vmt_engine_create(vmt_engine **out, const vmt_engine_config *config, vmt_runner runner, vmt_err *err);
vmt_status vmt_engine_start(vmt_engine *engine, vmt_err *err); /* starts the thread */
/* Aborts what is left, joins the thread.  Generations end with VMT_FINISH_ABORT, and on_progress runs once more, on the
 * caller's thread. */
void vmt_engine_stop(vmt_engine *engine);
void vmt_engine_destroy(vmt_engine *engine); /* after stop() and after every generation was destroyed */

typedef enum vmt_finish {
    VMT_FINISH_NONE,
    VMT_FINISH_STOP,   /* end-of-sequence, a stop token, or a constraint that allows no more */
    VMT_FINISH_LENGTH, /* max_tokens or the context is full */
    VMT_FINISH_ABORT,  /* cancelled */
    VMT_FINISH_ERROR,  /* the model or the constraint failed; vmt_generation_error() says why */
} vmt_finish;

/* What becomes of the hidden states that the runner gives for a prompt. */
typedef enum vmt_pool_kind {
    VMT_POOL_NONE,
    VMT_POOL_LAST, /* the row of the prompt's last token */
    VMT_POOL_MEAN, /* of all rows, summed in order of position: the same bits however the prompt was cut */
    VMT_POOL_CLS,  /* the row of the prompt's first token */
} vmt_pool_kind;

typedef struct vmt_generation_params {
    const int32_t *prompt; /* [num_prompt]; copied; ids must lie below the vocabulary's size */
    uint32_t num_prompt;   /* >= 1 */
    uint32_t n;            /* sequences, 1 .. VMT_GENERATION_N_MAX */
    vmt_sampling sampling; /* arrays are copied */
    int64_t priority;
    /* [n] one for each sequence, or NULL; copied.  What they point to is used until the generation has ended. */
    const vmt_constraint *constraints;
    vmt_str cache_salt;    /* copied */
    bool echo_only;        /* max_tokens 0: compute prompt logprobs and stop */
    vmt_pool_kind pooling; /* unless NONE: n is 1, nothing is sampled, vmt_generation_pooled() has the answer */
    void *user;            /* the creator's */
} vmt_generation_params;

#define VMT_GENERATION_N_MAX  128u
#define VMT_PROMPT_LOGIT_ROWS 128u /* max_num_logit_rows of a step when the configuration leaves it at 0 */
#define VMT_OUTPUT_RING       256u /* tokens a sequence may run ahead of its reader; fewer with many logprobs */

/* Allocates everything the generation will need, rings included, from arena (borrowed until destroy).  Any thread.
 * VMT_E_INVALID names the rule broken: prompt too long, id outside the vocabulary, ... */
vmt_status vmt_generation_create(vmt_generation **out, const vmt_engine *engine,
                                 const vmt_generation_params *params, vmt_arena *arena, vmt_err *err);
/* Only before submit() or after vmt_generation_ended(). */
void vmt_generation_destroy(vmt_generation *gen);

/* Any thread.  VMT_E_EXHAUSTED: the queue is full (503); the generation is still the caller's and was never seen. */
vmt_status vmt_engine_submit(vmt_engine *engine, vmt_generation *gen, vmt_err *err);
/* Any thread, any time after submit(); asynchronous and idempotent.  Blocks are back within one step.  seq_idx -1: all
 * sequences; else that one alone ends (a stop string was found in it). */
void vmt_engine_cancel(vmt_engine *engine, vmt_generation *gen, int32_t seq_idx);

/* ---- the consumer's side: one thread */

/* A generation with news, or NULL.  Each is given out once per piece of news; call until NULL after on_progress. */
vmt_generation *vmt_engine_take_ready(vmt_engine *engine);

typedef struct vmt_output_token {
    int32_t token_id;
    float logprob;                /* of token_id; 0 when none were asked for */
    uint32_t rank;                /* 1 is the most likely */
    bool is_end;                  /* it ended its sequence: vmt_generation_finish() will say how, if not yet */
    bool is_end_mark;             /* and it did so by being an end-of-sequence or stop id: no part of the text */
    const vmt_token_logprob *top; /* [num_top] most likely first; valid until the next call for this sequence */
    uint32_t num_top;
} vmt_output_token;

/* Takes the next token of sequence seq_idx, or false.  Makes room in the ring and wakes the engine if it waited. */
bool vmt_generation_next(vmt_generation *gen, uint32_t seq_idx, vmt_output_token *out);
/* Tokens waiting in the ring. */
uint32_t vmt_generation_pending(const vmt_generation *gen, uint32_t seq_idx);
/* NONE until the sequence ended and every token of it was taken.  *stop_token_id: the stop token id that ended it
 * (not an end-of-sequence id), or -1.  The stop or end token itself is not among the tokens unless it was sampled
 * visibly: EOS and stop ids are delivered as a last token, so that token counts and ids agree with vLLM. */
vmt_finish vmt_generation_finish(const vmt_generation *gen, uint32_t seq_idx, int32_t *stop_token_id);
/* Every sequence ended and the engine will not touch the generation again. */
bool vmt_generation_ended(const vmt_generation *gen);
const char *vmt_generation_error(const vmt_generation *gen); /* after VMT_FINISH_ERROR */
void *vmt_generation_user(const vmt_generation *gen);
uint32_t vmt_generation_n(const vmt_generation *gen);

/* Prompt position i (1 .. num_prompt-1); false until the prefill is done or when none were asked for. */
bool vmt_generation_prompt_logprob(const vmt_generation *gen, uint32_t position, vmt_output_token *out);

/* The vector of a pooled generation that ended with VMT_FINISH_STOP, [*len], valid until destroy. */
const float *vmt_generation_pooled(const vmt_generation *gen, uint32_t *len);

typedef struct vmt_generation_stats { /* complete once the first token is out; times are vmt_clock_ns() */
    uint32_t num_prompt_tokens, num_cached_tokens, num_preemptions;
    uint64_t submitted_ns, scheduled_ns, first_token_ns, last_token_ns;
} vmt_generation_stats;
vmt_generation_stats vmt_generation_get_stats(const vmt_generation *gen);

/* Upper bounds, inclusive, of the counts of tokens per step. */
#define VMT_ITERATION_BUCKETS {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536}

typedef struct vmt_engine_stats { /* a consistent snapshot, any thread */
    vmt_sched_stats sched;
    uint64_t num_steps, num_prompt_tokens, num_generated_tokens;
    uint64_t step_ns_total, forward_ns_total;
    uint64_t num_allocations; /* on the engine thread in steps without arrivals or ends; counted in test builds */
    uint64_t iteration_tokens_buckets[16]; /* counts at VMT_ITERATION_BUCKETS' bounds, last: above */
    bool is_dead;                          /* the model failed for good */
    uint32_t num_live; /* sequences submitted and not ended, whether or not the engine has seen them yet */
} vmt_engine_stats;
vmt_engine_stats vmt_engine_get_stats(vmt_engine *engine);
/* Forgets cached prefixes of blocks not in use; asynchronous. */
void vmt_engine_reset_prefix_cache(vmt_engine *engine);
uint32_t vmt_engine_max_model_len(const vmt_engine *engine);
uint32_t vmt_engine_vocab(const vmt_engine *engine);
/* [*num_ids] the model's end-of-sequence ids; the engine's own. */
const int32_t *vmt_engine_eos_ids(const vmt_engine *engine, uint32_t *num_ids);

#endif
