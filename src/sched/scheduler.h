/* sched/scheduler.h: who runs in the next step, with how many tokens, in which blocks.
 *
 * There is no prefill phase and no decode phase.  Each sequence has tokens known (prompt, then sampled and forced ones)
 * and tokens computed; a step lets the second catch up with the first, within a token budget.  Chunked prefill, prefix
 * hits and preemption fall out of it.  Deterministic, no device, no clock of its own; engine thread only; steady decode
 * allocates nothing.
 *
 *   tokens   [ cached prefix | computed | scheduled this step | still to come ]
 *            0               num_computed_tokens ........................ num_tokens
 *
 * A device may be given the next step before this one's tokens are known.  Then launch() and expect() stand where
 * commit() and append() would, and the tokens follow:
 *
 *   schedule ► launch ► expect ► (next) schedule ► launch ► expect ► land, supply (of the first)
 *
 * Device work runs in the order of its launches, so blocks may be lent again as soon as nobody holds them. */
#ifndef VMT_SCHED_SCHEDULER_H
#define VMT_SCHED_SCHEDULER_H

#include "kv/prefix_cache.h"

/* About as many rows of a prompt cost what one decoding row and its cache do: prefills get half of a step's time. */
#define VMT_PREFILL_PER_DECODE 4u

typedef enum vmt_sched_policy { VMT_SCHED_FCFS, VMT_SCHED_PRIORITY } vmt_sched_policy;

typedef struct vmt_sched_config {
    uint32_t num_blocks, block_size;       /* pool size, the null block included */
    uint32_t max_num_seqs;                 /* running at once */
    uint32_t max_num_batched_tokens;       /* per step */
    uint32_t max_model_len;                /* longest sequence, prompt and output */
    uint32_t long_prefill_token_threshold; /* 0: none; else most prompt tokens of one sequence per step */
    /* Most prompt tokens of a step in which others decode, or VMT_PREFILL_PER_DECODE for each of those where that is
     * more; 0: no limit.  Only with chunked prefill. */
    uint32_t mixed_prefill_tokens;
    uint32_t max_num_logit_rows; /* per step, of all sequences that skip the prefix cache; 0: no limit */
    bool enable_prefix_caching;
    bool enable_chunked_prefill;
    vmt_sched_policy policy;
    vmt_hash_key hash_key;
} vmt_sched_config;

typedef enum vmt_seq_state {
    VMT_SEQ_NEW,
    VMT_SEQ_WAITING,
    VMT_SEQ_RUNNING,
    VMT_SEQ_PREEMPTED,
    VMT_SEQ_DONE
} vmt_seq_state;

/* One sequence.  The owner embeds it, fills the first part before add(), and keeps it until finish() returned. */
typedef struct vmt_seq {
    /* the owner's */
    uint64_t id;
    int32_t *tokens;     /* [tokens_cap] prompt, then output; never moves */
    uint32_t tokens_cap; /* at most max_model_len */
    uint32_t num_prompt_tokens;
    int64_t priority;   /* lower runs earlier; only under VMT_SCHED_PRIORITY */
    uint64_t arrival;   /* order of arrival; breaks ties */
    vmt_str cache_salt; /* empty: none */
    bool
        skip_prefix_cache; /* prompt_logprobs: must compute every position; still publishes.  Until the owner clears
                              * it, the rows of a step count against max_num_logit_rows */
    bool is_paused;        /* not scheduled while set, keeps its blocks; the owner may flip it between steps */
    bool is_held;          /* the same for a moment: nobody's first choice to lose its blocks */
    struct vmt_seq
        *fork_of; /* n > 1: shares the prompt's blocks of this sequence once its prefill is done; or NULL */
    /* the scheduler's */
    vmt_seq_state state;
    uint32_t num_tokens;
    uint32_t num_expected; /* the last ones of these tokens: being sampled, not known yet */
    uint32_t num_computed_tokens;
    uint32_t num_cached_tokens; /* prefix hit when first scheduled */
    uint32_t num_preemptions;
    vmt_block_id *blocks; /* block table, grows only while running */
    uint32_t num_blocks, blocks_cap;
    uint32_t num_published; /* leading blocks that were offered to the prefix cache */
    vmt_hash128 *hashes;    /* [blocks_cap] of the leading full blocks of tokens; they outlive a preemption */
    uint32_t num_hashes;
    struct vmt_seq *prev, *next; /* in waiting or running */
} vmt_seq;

/* Stands among a sequence's tokens for one that is being sampled. */
#define VMT_TOKEN_EXPECTED (-1)

typedef struct vmt_scheduled {
    vmt_seq *seq;
    uint32_t num_new_tokens; /* rows in this step: positions [num_computed_tokens, + num_new_tokens) */
    bool samples;            /* the last row is the sequence's last known token: its logits are wanted */
} vmt_scheduled;

/* What one step runs: a plain value, valid until the next schedule(). */
typedef struct vmt_step {
    const vmt_scheduled *scheduled; /* [num_scheduled] decode rows first, then prefills */
    uint32_t num_scheduled;
    uint32_t num_tokens;
    vmt_seq *const *preempted; /* [num_preempted] lost their blocks in this call */
    uint32_t num_preempted;
} vmt_step;

typedef struct vmt_sched_stats {
    uint32_t num_running, num_waiting, num_paused;
    uint32_t num_blocks_used, num_blocks_total;
    uint64_t num_preemptions, prefix_query_tokens, prefix_hit_tokens; /* since create */
} vmt_sched_stats;

typedef struct vmt_scheduler vmt_scheduler;

vmt_status vmt_scheduler_create(vmt_scheduler **out, const vmt_sched_config *config, vmt_err *err);
void vmt_scheduler_destroy(vmt_scheduler *sched); /* asserts that every sequence finished */

/* Takes its block table's memory now.  VMT_E_INVALID when the sequence could never fit (longer than the context or
 * than all blocks together); the message says both numbers. */
vmt_status vmt_scheduler_add(vmt_scheduler *sched, vmt_seq *seq, vmt_err *err);
/* Decides a step.  num_scheduled 0: nothing can run now. */
vmt_step vmt_scheduler_schedule(vmt_scheduler *sched);
/* The step ran: computed counts move, full blocks become findable. */
void vmt_scheduler_commit(vmt_scheduler *sched, const vmt_step *step);
/* Instead of commit(): the step did not run.  Its sequences stand where they stood and may run again or finish. */
void vmt_scheduler_abandon(vmt_scheduler *sched, const vmt_step *step);
/* A sampled token after commit(); seq must have been in the step with samples set.  Tokens that are known to follow it
 * may be appended too: the next step computes them together. */
void vmt_scheduler_append(vmt_scheduler *sched, vmt_seq *seq, int32_t token_id);
/* Run-ahead, instead of commit(): the step was given to the device; computed counts move. */
void vmt_scheduler_launch(vmt_scheduler *sched, const vmt_step *step);
/* Instead of append(): a token is being sampled in the step that was launched last. */
void vmt_scheduler_expect(vmt_scheduler *sched, vmt_seq *seq);
/* The launched step that took the sequence to num_computed tokens has run: full blocks become findable. */
void vmt_scheduler_land(vmt_scheduler *sched, vmt_seq *seq, uint32_t num_computed);
/* The oldest expected token.  The sequence may have been preempted meanwhile. */
void vmt_scheduler_supply(vmt_scheduler *sched, vmt_seq *seq, int32_t token_id);
/* The newest launched step of this sequence, of num_new_tokens rows, did not run: it stands where it stood before. */
void vmt_scheduler_retract(vmt_scheduler *sched, vmt_seq *seq, uint32_t num_new_tokens, bool is_expecting);

/* Done or aborted, in any state, but not between schedule() and commit(), launch() or abandon().  Blocks go back at
 * once. */
void vmt_scheduler_finish(vmt_scheduler *sched, vmt_seq *seq);

vmt_sched_stats vmt_scheduler_stats(const vmt_scheduler *sched);
void vmt_scheduler_forget_prefixes(vmt_scheduler *sched);
/* Blocks conserved, lists and counts agree, no sequence twice.  O(everything). */
void vmt_scheduler_check(const vmt_scheduler *sched);

#endif
