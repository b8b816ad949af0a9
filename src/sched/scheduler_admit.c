/* sched/scheduler_admit.c: waiting sequences become running ones, in order, while seats, tokens and blocks allow.
 *
 * A sequence is let in when there is room for every token it knows, beside what those already running still lack for
 * theirs: prefills that would starve one another are not begun.  What its blocks are made of:
 *
 *   [ prefix cache hits | the parent's prompt, if a fork | acquired for this step | acquired in later steps ]
 *     full blocks only, and at least one token is left to compute */
#include "sched/scheduler_internal.h"

enum admission { ADMITTED, NOT_NOW, NO_ROOM };

/* Every fork waits for the prompt's blocks, unless its parent may not get on by itself. */
static bool waits_for_parent(const vmt_seq *seq) {
    const vmt_seq *parent = seq->fork_of;
    if (!parent || parent->is_paused || seq->skip_prefix_cache) return false;
    if (parent->state == VMT_SEQ_RUNNING) return parent->num_computed_tokens < parent->num_prompt_tokens;
    return parent->state == VMT_SEQ_WAITING || parent->state == VMT_SEQ_PREEMPTED;
}

/* Fills the front of the block table with blocks that hold the right content already; says how many. */
static uint32_t take_known_blocks(vmt_scheduler *sched, vmt_seq *seq) {
    if (seq->skip_prefix_cache) return 0;
    uint32_t size = sched->config.block_size;
    uint32_t num_max = (seq->num_tokens - 1) / size;
    uint32_t n = 0;
    while (sched->config.enable_prefix_caching && n < num_max) {
        vmt_hash128 hash = vmt_sched_block_hash(sched, seq, n);
        vmt_block_id id = vmt_block_pool_share(sched->pool, hash, seq->tokens + (size_t)n * size);
        if (id == 0) break;
        seq->blocks[n++] = id;
    }
    const vmt_seq *parent = seq->fork_of;
    if (!parent || parent->state != VMT_SEQ_RUNNING || parent->num_computed_tokens < parent->num_prompt_tokens) {
        return n;
    }
    VMT_ASSERT(parent->num_prompt_tokens == seq->num_prompt_tokens);
    for (uint32_t num_shared = VMT_MIN(num_max, seq->num_prompt_tokens / size); n < num_shared; n++) {
        vmt_block_pool_retain(sched->pool, parent->blocks[n]);
        seq->blocks[n] = parent->blocks[n];
    }
    return n;
}

/* Free blocks that no running sequence needs for tokens it knows; below zero when they need more than there are. */
static int64_t room(const vmt_scheduler *sched) {
    int64_t num_lacking = 0;
    for (const vmt_seq *s = sched->running.head; s; s = s->next) num_lacking += vmt_sched_blocks_lacking(sched, s);
    return (int64_t)vmt_block_pool_num_free(sched->pool) - num_lacking;
}

/* A paused sequence holds a seat and blocks that it does not use: they go to one that would. */
static bool preempt_paused(vmt_scheduler *sched) {
    vmt_seq *victim = vmt_sched_victim(sched);
    if (!victim || !victim->is_paused) return false;
    vmt_sched_preempt(sched, victim);
    return true;
}

static void start_running(vmt_scheduler *sched, vmt_seq *seq, uint32_t num_known, uint32_t num_new_tokens) {
    uint32_t num_known_tokens = num_known * sched->config.block_size;
    uint32_t num_blocks = vmt_sched_blocks_for(sched, num_known_tokens + num_new_tokens);
    if (num_blocks > num_known) {
        vmt_status status = vmt_block_pool_acquire(sched->pool, num_blocks - num_known, seq->blocks + num_known);
        VMT_ASSERT(status == VMT_OK);
    }
    seq->num_blocks = num_blocks;
    seq->num_published = num_known;
    seq->num_computed_tokens = num_known_tokens;
    if (seq->num_preemptions == 0) {
        seq->num_cached_tokens = num_known_tokens;
        if (sched->config.enable_prefix_caching) {
            sched->prefix_query_tokens += seq->num_tokens;
            sched->prefix_hit_tokens += num_known_tokens;
        }
    }
    vmt_sched_list_remove(&sched->waiting, seq);
    vmt_sched_list_append(&sched->running, seq);
    seq->state = VMT_SEQ_RUNNING;
    sched->stuck = NULL;
    vmt_sched_take(sched, seq, num_new_tokens);
}

static enum admission try_admit(vmt_scheduler *sched, vmt_seq *seq) {
    const vmt_seq *idlest = vmt_sched_victim(sched);
    bool has_paused = idlest && idlest->is_paused;
    if (sched->running.count == sched->config.max_num_seqs && !has_paused) return NO_ROOM;
    if (sched->stuck == seq && sched->running.count > 0 && !has_paused && room(sched) <= sched->stuck_room) {
        return NO_ROOM;
    }

    uint32_t num_known = take_known_blocks(sched, seq);
    uint32_t n = vmt_sched_chunk(sched, seq, seq->num_tokens - num_known * sched->config.block_size);
    enum admission answer = ADMITTED;
    if (n == 0) answer = seq->skip_prefix_cache && sched->logit_rows_left == 0 ? NOT_NOW : NO_ROOM;
    uint32_t num_lacking = vmt_sched_blocks_for(sched, seq->num_tokens) - num_known;
    while (answer == ADMITTED &&
           (room(sched) < num_lacking || sched->running.count == sched->config.max_num_seqs)) {
        if (!preempt_paused(sched)) answer = NO_ROOM;
    }
    if (answer == ADMITTED) {
        start_running(sched, seq, num_known, n);
    } else {
        vmt_block_pool_release(sched->pool, num_known, seq->blocks);
    }
    if (answer == NO_ROOM && n > 0) {
        sched->stuck = seq;
        sched->stuck_room = room(sched);
    }
    return answer;
}

void vmt_sched_admit_waiting(vmt_scheduler *sched) {
    vmt_seq *seq = sched->waiting.head;
    while (seq && sched->token_budget > 0) {
        vmt_seq *next = seq->next;
        /* One preempted while its token was being sampled is let in when that is known. */
        bool can_run = !seq->is_paused && !seq->is_held && seq->num_expected == 0 && !waits_for_parent(seq);
        if (can_run && try_admit(sched, seq) == NO_ROOM) return;
        seq = next;
    }
}
