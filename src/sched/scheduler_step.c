/* sched/scheduler_step.c: one step over the running sequences.
 *
 * Decode rows come first, so that a long prefill never holds a running answer up: since max_num_batched_tokens is at
 * least max_num_seqs, each of them fits, and prefills share what is left, or less, in order of admission. */
#include "sched/scheduler_internal.h"

uint32_t vmt_sched_chunk(const vmt_scheduler *sched, const vmt_seq *seq, uint32_t remaining) {
    const vmt_sched_config *c = &sched->config;
    /* Rows of logits are the larger memory: such a sequence goes in pieces even without chunked prefill. */
    bool is_row_limited = seq->skip_prefix_cache && c->max_num_logit_rows > 0;
    uint32_t n = remaining;
    if (is_row_limited) n = VMT_MIN(n, sched->logit_rows_left);
    if (c->enable_chunked_prefill || is_row_limited) {
        if (c->long_prefill_token_threshold > 0) n = VMT_MIN(n, c->long_prefill_token_threshold);
        n = VMT_MIN(n, sched->token_budget);
    }
    return n <= sched->token_budget ? n : 0;
}

void vmt_sched_take(vmt_scheduler *sched, vmt_seq *seq, uint32_t num_new_tokens) {
    VMT_ASSERT(num_new_tokens > 0 && num_new_tokens <= sched->token_budget);
    sched->scheduled[sched->num_scheduled++] = (vmt_scheduled){
        .seq = seq,
        .num_new_tokens = num_new_tokens,
        .samples = seq->num_computed_tokens + num_new_tokens == seq->num_tokens,
    };
    sched->token_budget -= num_new_tokens;
    if (seq->skip_prefix_cache) sched->logit_rows_left -= VMT_MIN(num_new_tokens, sched->logit_rows_left);
}

/* A victim may have got its rows in this very step: they go back. */
static void untake(vmt_scheduler *sched, const vmt_seq *seq) {
    uint32_t i = 0;
    while (i < sched->num_scheduled && sched->scheduled[i].seq != seq) i++;
    if (i == sched->num_scheduled) return;
    sched->token_budget += sched->scheduled[i].num_new_tokens;
    if (seq->skip_prefix_cache) sched->logit_rows_left += sched->scheduled[i].num_new_tokens;
    sched->num_scheduled--;
    memmove(&sched->scheduled[i], &sched->scheduled[i + 1], (sched->num_scheduled - i) * sizeof *sched->scheduled);
}

vmt_seq *vmt_sched_victim(const vmt_scheduler *sched) {
    vmt_seq *victim = NULL;
    for (vmt_seq *s = sched->running.head; s; s = s->next) {
        bool is_better =
            !victim || (s->is_paused != victim->is_paused ? s->is_paused : !vmt_sched_precedes(sched, s, victim));
        if (is_better) victim = s;
    }
    return victim;
}

void vmt_sched_preempt(vmt_scheduler *sched, vmt_seq *seq) {
    VMT_ASSERT(seq->state == VMT_SEQ_RUNNING);
    untake(sched, seq);
    vmt_sched_list_remove(&sched->running, seq);
    vmt_block_pool_release(sched->pool, seq->num_blocks, seq->blocks);
    seq->num_blocks = seq->num_published = 0;
    seq->num_computed_tokens = 0;
    seq->num_preemptions++;
    seq->state = VMT_SEQ_PREEMPTED;
    vmt_sched_queue_waiting(sched, seq);
    sched->preempted[sched->num_preempted++] = seq;
    sched->num_preemptions++;
}

/* Lends seq the blocks to hold num_tokens, preempting others for it.  false: it was the last in line itself. */
static bool ensure_blocks(vmt_scheduler *sched, vmt_seq *seq, uint32_t num_tokens) {
    uint32_t need = vmt_sched_blocks_for(sched, num_tokens);
    if (need <= seq->num_blocks) return true;
    uint32_t num_more = need - seq->num_blocks;
    while (vmt_block_pool_acquire(sched->pool, num_more, seq->blocks + seq->num_blocks) != VMT_OK) {
        vmt_seq *victim = vmt_sched_victim(sched);
        vmt_sched_preempt(sched, victim);
        if (victim == seq) return false;
    }
    seq->num_blocks = need;
    return true;
}

/* The token being sampled is its last: there is nothing more to compute. */
static bool is_complete(const vmt_seq *seq) {
    return seq->num_expected > 0 && seq->num_tokens == seq->tokens_cap;
}

static void schedule_running(vmt_scheduler *sched, uint32_t num_running, bool decodes) {
    for (uint32_t i = 0; i < num_running && sched->token_budget > 0; i++) {
        vmt_seq *seq = sched->order[i];
        if (seq->state != VMT_SEQ_RUNNING || seq->is_paused || seq->is_held || is_complete(seq)) continue;
        uint32_t remaining = seq->num_tokens - seq->num_computed_tokens;
        if (remaining == 0 || (remaining == 1) != decodes) continue;
        uint32_t n = vmt_sched_chunk(sched, seq, remaining);
        if (n == 0 || !ensure_blocks(sched, seq, seq->num_computed_tokens + n)) continue;
        vmt_sched_take(sched, seq, n);
    }
}

/* Single rows first, longer ones after, each in the order they were scheduled. */
static void put_decodes_first(vmt_scheduler *sched) {
    uint32_t num_decodes = 0, num_prefills = 0;
    for (uint32_t i = 0; i < sched->num_scheduled; i++) {
        if (sched->scheduled[i].num_new_tokens == 1) {
            sched->scheduled[num_decodes++] = sched->scheduled[i];
        } else {
            sched->prefills[num_prefills++] = sched->scheduled[i];
        }
    }
    memcpy(sched->scheduled + num_decodes, sched->prefills, num_prefills * sizeof *sched->prefills);
}

/* Tokens of the budget that prefills may not have, so that who decodes beside them waits for few.  A prompt that has to
 * go in one piece would wait for ever. */
static uint32_t hold_back(const vmt_scheduler *sched) {
    const vmt_sched_config *c = &sched->config;
    if (c->mixed_prefill_tokens == 0 || !c->enable_chunked_prefill || sched->num_scheduled == 0) return 0;
    uint64_t most = VMT_MAX(c->mixed_prefill_tokens, (uint64_t)VMT_PREFILL_PER_DECODE * sched->num_scheduled);
    return sched->token_budget - (uint32_t)VMT_MIN(most, sched->token_budget);
}

vmt_step vmt_scheduler_schedule(vmt_scheduler *sched) {
    VMT_ASSERT(!sched->is_in_step);
    const vmt_sched_config *c = &sched->config;
    sched->token_budget = c->max_num_batched_tokens;
    sched->logit_rows_left = c->max_num_logit_rows;
    sched->num_scheduled = sched->num_preempted = 0;

    uint32_t num_running = 0;
    for (vmt_seq *s = sched->running.head; s; s = s->next) sched->order[num_running++] = s;
    schedule_running(sched, num_running, true);
    uint32_t num_held_back = hold_back(sched);
    sched->token_budget -= num_held_back;
    schedule_running(sched, num_running, false);
    /* After a preemption blocks are short: whoever came in now would be the next to go. */
    if (sched->num_preempted == 0) vmt_sched_admit_waiting(sched);
    put_decodes_first(sched);

    sched->is_in_step = sched->num_scheduled > 0;
    return (vmt_step){
        .scheduled = sched->scheduled,
        .num_scheduled = sched->num_scheduled,
        .num_tokens = c->max_num_batched_tokens - num_held_back - sched->token_budget,
        .preempted = sched->preempted,
        .num_preempted = sched->num_preempted,
    };
}
