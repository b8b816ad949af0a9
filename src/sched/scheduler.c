#include "sched/scheduler.h"
#include "sched/scheduler_internal.h"

#include <stdlib.h>

/* ---- lists */

void vmt_sched_list_append(vmt_seq_list *list, vmt_seq *seq) {
    seq->prev = list->tail;
    seq->next = NULL;
    *(list->tail ? &list->tail->next : &list->head) = seq;
    list->tail = seq;
    list->count++;
}

void vmt_sched_list_remove(vmt_seq_list *list, vmt_seq *seq) {
    *(seq->prev ? &seq->prev->next : &list->head) = seq->next;
    *(seq->next ? &seq->next->prev : &list->tail) = seq->prev;
    seq->prev = seq->next = NULL;
    list->count--;
}

static void insert_after(vmt_seq_list *list, vmt_seq *at, vmt_seq *seq) {
    if (at == list->tail) {
        vmt_sched_list_append(list, seq);
        return;
    }
    seq->prev = at;
    seq->next = at ? at->next : list->head;
    seq->next->prev = seq;
    *(at ? &at->next : &list->head) = seq;
    list->count++;
}

bool vmt_sched_precedes(const vmt_scheduler *sched, const vmt_seq *a, const vmt_seq *b) {
    if (sched->config.policy == VMT_SCHED_PRIORITY && a->priority != b->priority) return a->priority < b->priority;
    return a->arrival < b->arrival;
}

void vmt_sched_queue_waiting(vmt_scheduler *sched, vmt_seq *seq) {
    vmt_seq *at;
    if (seq->state == VMT_SEQ_PREEMPTED) { /* it ran before, so its place is near the head */
        at = NULL;
        for (vmt_seq *s = sched->waiting.head; s && !vmt_sched_precedes(sched, seq, s); s = s->next) at = s;
    } else {
        at = sched->waiting.tail;
        while (at && vmt_sched_precedes(sched, seq, at)) at = at->prev;
    }
    insert_after(&sched->waiting, at, seq);
}

/* ---- create, destroy */

static vmt_status check_config(const vmt_sched_config *c, vmt_err *err) {
    if (c->block_size < 1 || c->block_size > VMT_BLOCK_SIZE_MAX) {
        return vmt_fail_param(err, VMT_E_INVALID, "block_size", "block size is %u, it must be 1 to %u",
                              c->block_size, VMT_BLOCK_SIZE_MAX);
    }
    if (c->num_blocks < 2 || c->num_blocks > VMT_BLOCKS_MAX) {
        return vmt_fail_param(err, VMT_E_INVALID, "num_blocks", "number of blocks is %u, it must be 2 to %u",
                              c->num_blocks, VMT_BLOCKS_MAX);
    }
    if (c->max_num_seqs < 1 || c->max_model_len < 1) {
        return vmt_fail(err, VMT_E_INVALID, "max_num_seqs is %u and max_model_len is %u, both must be at least 1",
                        c->max_num_seqs, c->max_model_len);
    }
    if (c->max_num_batched_tokens < c->max_num_seqs) {
        return vmt_fail_param(err, VMT_E_INVALID, "max_num_batched_tokens",
                              "max_num_batched_tokens is %u, it must be at least max_num_seqs, %u",
                              c->max_num_batched_tokens, c->max_num_seqs);
    }
    if (!c->enable_chunked_prefill && c->max_num_batched_tokens < c->max_model_len) {
        return vmt_fail_param(err, VMT_E_INVALID, "max_num_batched_tokens",
                              "max_num_batched_tokens is %u, without chunked prefill it must be at least "
                              "max_model_len, %u",
                              c->max_num_batched_tokens, c->max_model_len);
    }
    return VMT_OK;
}

vmt_status vmt_scheduler_create(vmt_scheduler **out, const vmt_sched_config *config, vmt_err *err) {
    *out = NULL;
    VMT_TRY(check_config(config, err));
    vmt_scheduler *sched = calloc(1, sizeof *sched);
    if (!sched) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the scheduler");
    sched->config = *config;
    sched->order = calloc(config->max_num_seqs, sizeof *sched->order);
    sched->scheduled = calloc(config->max_num_seqs, sizeof *sched->scheduled);
    sched->prefills = calloc(config->max_num_seqs, sizeof *sched->prefills);
    sched->preempted = calloc(config->max_num_seqs, sizeof *sched->preempted);
    vmt_status status = VMT_OK;
    if (!sched->order || !sched->scheduled || !sched->prefills || !sched->preempted) {
        status = vmt_fail(err, VMT_E_NO_MEMORY, "no memory to schedule %u sequences", config->max_num_seqs);
    }
    if (status == VMT_OK)
        status = vmt_block_pool_create(&sched->pool, config->num_blocks, config->block_size, err);
    if (status != VMT_OK) {
        vmt_scheduler_destroy(sched);
        return status;
    }
    *out = sched;
    return VMT_OK;
}

void vmt_scheduler_destroy(vmt_scheduler *sched) {
    if (!sched) return;
    VMT_ASSERT(sched->waiting.count == 0 && sched->running.count == 0);
    vmt_block_pool_destroy(sched->pool);
    free(sched->order);
    free(sched->scheduled);
    free(sched->prefills);
    free(sched->preempted);
    free(sched);
}

/* ---- a sequence comes and goes */

vmt_status vmt_scheduler_add(vmt_scheduler *sched, vmt_seq *seq, vmt_err *err) {
    VMT_ASSERT(!sched->is_in_step && seq->state == VMT_SEQ_NEW);
    VMT_ASSERT(seq->num_prompt_tokens >= 1 && seq->num_prompt_tokens <= seq->tokens_cap);
    VMT_ASSERT(seq->fork_of != seq && (!seq->fork_of || seq->fork_of->state != VMT_SEQ_NEW));
    if (seq->tokens_cap > sched->config.max_model_len) {
        return vmt_fail(err, VMT_E_INVALID, "the sequence may grow to %u tokens, the context is %u",
                        seq->tokens_cap, sched->config.max_model_len);
    }
    uint32_t blocks_cap = vmt_sched_blocks_for(sched, seq->tokens_cap);
    if (blocks_cap > vmt_block_pool_num_total(sched->pool)) {
        return vmt_fail(err, VMT_E_INVALID, "the sequence may grow to %u blocks, the KV cache has %u", blocks_cap,
                        vmt_block_pool_num_total(sched->pool));
    }
    seq->hashes = malloc(blocks_cap * (sizeof *seq->hashes + sizeof *seq->blocks)); /* hashes, then blocks */
    if (!seq->hashes) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a table of %u blocks", blocks_cap);
    seq->blocks = (vmt_block_id *)(seq->hashes + blocks_cap);
    seq->blocks_cap = blocks_cap;
    seq->num_tokens = seq->num_prompt_tokens;
    seq->num_computed_tokens = seq->num_cached_tokens = seq->num_preemptions = 0;
    seq->num_blocks = seq->num_published = seq->num_hashes = seq->num_expected = 0;
    seq->state = VMT_SEQ_WAITING;
    if (seq->fork_of) sched->num_forks++;
    vmt_sched_queue_waiting(sched, seq);
    return VMT_OK;
}

static void forget_parent(vmt_scheduler *sched, vmt_seq_list *list, const vmt_seq *parent) {
    for (vmt_seq *s = list->head; s; s = s->next) {
        if (s->fork_of != parent) continue;
        s->fork_of = NULL;
        sched->num_forks--;
    }
}

void vmt_scheduler_finish(vmt_scheduler *sched, vmt_seq *seq) {
    VMT_ASSERT(!sched->is_in_step);
    vmt_seq_state state = seq->state;
    seq->state = VMT_SEQ_DONE;
    if (state == VMT_SEQ_NEW || state == VMT_SEQ_DONE) return;

    vmt_sched_list_remove(state == VMT_SEQ_RUNNING ? &sched->running : &sched->waiting, seq);
    vmt_block_pool_release(sched->pool, seq->num_blocks, seq->blocks);
    seq->num_blocks = seq->blocks_cap = 0;
    free(seq->hashes);
    seq->hashes = NULL;
    seq->blocks = NULL;
    if (sched->stuck == seq) sched->stuck = NULL;
    if (seq->fork_of) sched->num_forks--;
    seq->fork_of = NULL;
    if (sched->num_forks > 0) {
        forget_parent(sched, &sched->waiting, seq);
        forget_parent(sched, &sched->running, seq);
    }
}

/* ---- after a step */

vmt_hash128 vmt_sched_block_hash(vmt_scheduler *sched, vmt_seq *seq, uint32_t i) {
    VMT_ASSERT(i < seq->blocks_cap);
    uint32_t size = sched->config.block_size;
    for (; seq->num_hashes <= i; seq->num_hashes++) {
        uint32_t k = seq->num_hashes;
        vmt_hash128 parent = k > 0 ? seq->hashes[k - 1] : vmt_prefix_root(sched->config.hash_key, seq->cache_salt);
        seq->hashes[k] = vmt_prefix_next(sched->config.hash_key, parent, seq->tokens + (size_t)k * size, size);
    }
    return seq->hashes[i];
}

void vmt_scheduler_land(vmt_scheduler *sched, vmt_seq *seq, uint32_t num_computed) {
    uint32_t size = sched->config.block_size;
    /* A preempted sequence has lost what it computed. */
    if (!sched->config.enable_prefix_caching || seq->state != VMT_SEQ_RUNNING) return;
    VMT_ASSERT(num_computed <= seq->num_computed_tokens && num_computed + seq->num_expected <= seq->num_tokens);
    for (uint32_t num_full = num_computed / size; seq->num_published < num_full; seq->num_published++) {
        uint32_t i = seq->num_published;
        vmt_hash128 hash = vmt_sched_block_hash(sched, seq, i);
        vmt_block_pool_publish(sched->pool, seq->blocks[i], hash, seq->tokens + (size_t)i * size);
    }
}

void vmt_scheduler_launch(vmt_scheduler *sched, const vmt_step *step) {
    VMT_ASSERT(sched->is_in_step == (step->num_scheduled > 0));
    sched->is_in_step = false;
    for (uint32_t i = 0; i < step->num_scheduled; i++) {
        vmt_seq *seq = step->scheduled[i].seq;
        seq->num_computed_tokens += step->scheduled[i].num_new_tokens;
        VMT_ASSERT(seq->num_computed_tokens <= seq->num_tokens);
    }
}

void vmt_scheduler_commit(vmt_scheduler *sched, const vmt_step *step) {
    vmt_scheduler_launch(sched, step);
    for (uint32_t i = 0; i < step->num_scheduled; i++) {
        vmt_seq *seq = step->scheduled[i].seq;
        vmt_scheduler_land(sched, seq, seq->num_computed_tokens);
    }
}

void vmt_scheduler_abandon(vmt_scheduler *sched, const vmt_step *step) {
    VMT_ASSERT(sched->is_in_step == (step->num_scheduled > 0));
    sched->is_in_step = false;
}

void vmt_scheduler_append(vmt_scheduler *sched, vmt_seq *seq, int32_t token_id) {
    VMT_ASSERT(!sched->is_in_step && (seq->state == VMT_SEQ_RUNNING || seq->state == VMT_SEQ_PREEMPTED));
    VMT_ASSERT(seq->num_computed_tokens <= seq->num_tokens && seq->num_tokens < seq->tokens_cap);
    seq->tokens[seq->num_tokens++] = token_id;
}

void vmt_scheduler_expect(vmt_scheduler *sched, vmt_seq *seq) {
    vmt_scheduler_append(sched, seq, VMT_TOKEN_EXPECTED);
    seq->num_expected++;
}

void vmt_scheduler_supply(vmt_scheduler *sched, vmt_seq *seq, int32_t token_id) {
    VMT_ASSERT(!sched->is_in_step && seq->num_expected > 0);
    seq->tokens[seq->num_tokens - seq->num_expected--] = token_id;
}

void vmt_scheduler_retract(vmt_scheduler *sched, vmt_seq *seq, uint32_t num_new_tokens, bool is_expecting) {
    VMT_ASSERT(!sched->is_in_step && seq->num_expected >= is_expecting);
    seq->num_tokens -= is_expecting;
    seq->num_expected -= is_expecting;
    if (seq->state == VMT_SEQ_RUNNING) seq->num_computed_tokens -= num_new_tokens;
}

/* ---- what others see */

vmt_sched_stats vmt_scheduler_stats(const vmt_scheduler *sched) {
    uint32_t num_paused = 0;
    for (const vmt_seq *s = sched->running.head; s; s = s->next) num_paused += s->is_paused;
    uint32_t num_total = vmt_block_pool_num_total(sched->pool);
    return (vmt_sched_stats){
        .num_running = sched->running.count,
        .num_waiting = sched->waiting.count,
        .num_paused = num_paused,
        .num_blocks_used = num_total - vmt_block_pool_num_free(sched->pool),
        .num_blocks_total = num_total,
        .num_preemptions = sched->num_preemptions,
        .prefix_query_tokens = sched->prefix_query_tokens,
        .prefix_hit_tokens = sched->prefix_hit_tokens,
    };
}

void vmt_scheduler_forget_prefixes(vmt_scheduler *sched) {
    vmt_block_pool_forget_all(sched->pool);
}
