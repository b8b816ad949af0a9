/* sched/scheduler_internal.h: the scheduler's insides, shared by its files only.
 *
 *   scheduler.c         create, add, commit, append, finish, stats
 *   scheduler_step.c    one step: running sequences, preemption
 *   scheduler_admit.c   one step: waiting sequences, prefix hits, forks
 *   scheduler_check.c   the invariants */
#ifndef VMT_SCHED_SCHEDULER_INTERNAL_H
#define VMT_SCHED_SCHEDULER_INTERNAL_H

#include "sched/scheduler.h"

typedef struct vmt_seq_list {
    vmt_seq *head, *tail;
    uint32_t count;
} vmt_seq_list;

struct vmt_scheduler {
    vmt_sched_config config;
    vmt_block_pool *pool;
    vmt_seq_list waiting; /* in the order they will run */
    vmt_seq_list running; /* in the order they were admitted */
    uint32_t num_forks;   /* sequences in either list that point at a parent */

    /* the step being decided or run */
    bool is_in_step;
    uint32_t token_budget, logit_rows_left;
    vmt_seq **order;          /* [max_num_seqs] running, as it was when the step began */
    vmt_scheduled *scheduled; /* [max_num_seqs] */
    vmt_scheduled *prefills;  /* [max_num_seqs] scratch: the rows that move behind the decodes */
    vmt_seq **preempted;      /* [max_num_seqs] */
    uint32_t num_scheduled, num_preempted;

    /* The head that did not fit, and the room there was: not tried again before there is more. */
    const vmt_seq *stuck;
    int64_t stuck_room;

    uint64_t num_preemptions, prefix_query_tokens, prefix_hit_tokens;
};

static inline uint32_t vmt_sched_blocks_for(const vmt_scheduler *sched, uint32_t num_tokens) {
    return num_tokens / sched->config.block_size + (num_tokens % sched->config.block_size != 0);
}
/* Blocks a sequence lacks to hold every token it knows. */
static inline uint32_t vmt_sched_blocks_lacking(const vmt_scheduler *sched, const vmt_seq *seq) {
    uint32_t need = vmt_sched_blocks_for(sched, seq->num_tokens);
    return need > seq->num_blocks ? need - seq->num_blocks : 0;
}

/* Puts a sequence where the policy wants it. */
void vmt_sched_queue_waiting(vmt_scheduler *sched, vmt_seq *seq);
void vmt_sched_list_append(vmt_seq_list *list, vmt_seq *seq);
void vmt_sched_list_remove(vmt_seq_list *list, vmt_seq *seq);
/* True when a runs before b. */
bool vmt_sched_precedes(const vmt_scheduler *sched, const vmt_seq *a, const vmt_seq *b);
/* The hash of full block i of a sequence's tokens. */
vmt_hash128 vmt_sched_block_hash(vmt_scheduler *sched, vmt_seq *seq, uint32_t i);

/* How many of `remaining` tokens this step can take; 0: none. */
uint32_t vmt_sched_chunk(const vmt_scheduler *sched, const vmt_seq *seq, uint32_t remaining);
void vmt_sched_take(vmt_scheduler *sched, vmt_seq *seq, uint32_t num_new_tokens);
/* The running sequence that others would miss least, a paused one first, or NULL. */
vmt_seq *vmt_sched_victim(const vmt_scheduler *sched);
void vmt_sched_preempt(vmt_scheduler *sched, vmt_seq *seq);
void vmt_sched_admit_waiting(vmt_scheduler *sched);

#endif
