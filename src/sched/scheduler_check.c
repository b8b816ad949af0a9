#include "sched/scheduler_internal.h"

#include <stdlib.h>

static void check_seq(const vmt_scheduler *sched, const vmt_seq *seq) {
    uint32_t size = sched->config.block_size;
    VMT_ASSERT(seq->num_prompt_tokens >= 1 && seq->num_tokens >= seq->num_prompt_tokens);
    VMT_ASSERT(seq->num_tokens <= seq->tokens_cap && seq->num_computed_tokens <= seq->num_tokens);
    VMT_ASSERT(seq->num_blocks <= seq->blocks_cap);
    VMT_ASSERT((uint64_t)seq->num_blocks * size >= seq->num_computed_tokens);
    VMT_ASSERT(seq->num_published * size <= seq->num_computed_tokens);
    VMT_ASSERT(seq->num_hashes * size + seq->num_expected <= seq->num_tokens);
    for (uint32_t i = 1; i <= seq->num_expected; i++) {
        VMT_ASSERT(seq->tokens[seq->num_tokens - i] == VMT_TOKEN_EXPECTED);
    }
    if (seq->state != VMT_SEQ_RUNNING) {
        VMT_ASSERT(seq->num_blocks == 0 && seq->num_computed_tokens == 0);
        VMT_ASSERT((seq->state == VMT_SEQ_PREEMPTED) == (seq->num_preemptions > 0));
    }
}

/* Links agree in both directions; returns how many point at a parent; adds each table's blocks to num_refs. */
static uint32_t check_list(const vmt_scheduler *sched, const vmt_seq_list *list, bool is_running,
                           uint32_t *num_refs) {
    uint32_t count = 0, num_forks = 0;
    const vmt_seq *prev = NULL;
    for (const vmt_seq *s = list->head; s; prev = s, s = s->next) {
        VMT_ASSERT(s->prev == prev && ++count <= list->count); /* a sequence twice would run in a circle */
        VMT_ASSERT(is_running ? s->state == VMT_SEQ_RUNNING
                              : s->state == VMT_SEQ_WAITING || s->state == VMT_SEQ_PREEMPTED);
        if (!is_running && prev) VMT_ASSERT(!vmt_sched_precedes(sched, s, prev));
        check_seq(sched, s);
        for (uint32_t i = 0; i < s->num_blocks; i++) num_refs[s->blocks[i]]++;
        if (!s->fork_of) continue;
        num_forks++;
        VMT_ASSERT(s->fork_of->state != VMT_SEQ_NEW && s->fork_of->state != VMT_SEQ_DONE);
    }
    VMT_ASSERT(list->tail == prev && list->count == count);
    return num_forks;
}

void vmt_scheduler_check(const vmt_scheduler *sched) {
    uint32_t num_blocks = sched->config.num_blocks;
    uint32_t *num_refs = calloc(num_blocks, sizeof *num_refs);
    VMT_ASSERT(num_refs);
    VMT_ASSERT(sched->running.count <= sched->config.max_num_seqs);
    uint32_t num_forks = check_list(sched, &sched->running, true, num_refs);
    num_forks += check_list(sched, &sched->waiting, false, num_refs);
    VMT_ASSERT(sched->num_forks == num_forks);

    uint32_t num_free = 0;
    for (uint32_t i = 0; i < num_blocks; i++) {
        VMT_ASSERT(vmt_block_pool_num_refs(sched->pool, (vmt_block_id)i) == num_refs[i]);
        num_free += i > 0 && num_refs[i] == 0;
    }
    VMT_ASSERT(vmt_block_pool_num_free(sched->pool) == num_free);
    vmt_block_pool_check(sched->pool);
    free(num_refs);
}
