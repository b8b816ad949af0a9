/* engine/publish.c: from the logits of a step to tokens in rings, and the ends of sequences. */
#include "engine/engine_internal.h"

#include <stdio.h>

/* ---- ends */

static void end_all_links(vmt_engine *engine, vmt_generation *gen) {
    vmt_link_remove(&engine->live, &gen->live);
    engine->num_holdable -= gen->may_be_held;
    vmt_inbox_withdraw(gen->inbox, &gen->in);
    gen->out.is_ending = true;
}

void vmt_engine_end_sequence(vmt_engine *engine, vmt_sequence *s, vmt_finish finish, int32_t stop_token_id) {
    VMT_ASSERT(!s->is_ended && s->gen->num_live > 0);
    vmt_scheduler_finish(engine->sched, &s->seq);
    s->is_ended = true;
    vmt_engine_drop_rows(engine, s);
    s->stop_token_id = stop_token_id;
    atomic_store_explicit(&s->finish, (int)finish, memory_order_release);
    atomic_fetch_sub(&engine->num_live_seqs, 1);
    engine->is_settled = false;
    vmt_outbox_note(engine->outbox, &s->gen->out);
    if (--s->gen->num_live == 0) end_all_links(engine, s->gen);
}

void vmt_engine_end_generation(vmt_engine *engine, vmt_generation *gen, vmt_finish finish, const char *message) {
    if (message && gen->error[0] == 0) snprintf(gen->error, sizeof gen->error, "%s", message);
    for (uint32_t i = 0; i < gen->n; i++) {
        if (!gen->seqs[i].is_ended) vmt_engine_end_sequence(engine, &gen->seqs[i], finish, -1);
    }
}

/* ---- tokens */

static void score_prompt(vmt_engine *engine, vmt_sequence *s, const vmt_row_plan *plan, const float *logits) {
    vmt_generation *gen = s->gen;
    uint32_t vocab = engine->runner.vocab;
    uint32_t num_top = vmt_sampling_num_top(gen->sampling.num_prompt_logprobs, vocab);
    for (uint32_t i = 0; i < plan->num_scored; i++) {
        vmt_sample *score = &gen->prompt_scores[plan->first_scored + i];
        score->token_id = s->seq.tokens[plan->first_scored + i];
        vmt_score_row(engine->scratch, logits + (size_t)(plan->first_logit + i) * vocab, num_top, score);
    }
    vmt_engine_note_scores(engine, s, plan);
}

void vmt_engine_note_scores(vmt_engine *engine, vmt_sequence *s, const vmt_row_plan *plan) {
    vmt_generation *gen = s->gen;
    if (plan->num_scored == 0) return;
    gen->num_scored = plan->first_scored + plan->num_scored;
    if (gen->num_scored < gen->num_prompt) return;
    s->seq.skip_prefix_cache = false;
    atomic_store_explicit(&gen->is_prompt_done, true, memory_order_release);
    vmt_outbox_note(engine->outbox, &gen->out);
}

/* Did the last token end the sequence?  In vLLM's order: end of sequence, stop ids, length.  A constraint that allows
 * nothing more is an end of sequence, whatever min_tokens says. */
static vmt_finish end_of(const vmt_sequence *s, int32_t *stop_token_id) {
    const vmt_generation *gen = s->gen;
    uint32_t num_known = s->seq.num_tokens - s->seq.num_expected;
    int32_t token_id = s->seq.tokens[num_known - 1];
    uint32_t i = 0;
    while (i < gen->num_end_ids && gen->end_ids[i] != token_id) i++;
    *stop_token_id = -1;
    if (i < gen->num_end_ids && s->num_output >= gen->sampling.min_tokens) {
        if (i >= gen->num_eos_ids) *stop_token_id = token_id;
        return VMT_FINISH_STOP;
    }
    bool is_whole = s->masked && s->num_unshown == 0;
    if (is_whole && s->masked->constraint.is_ended(s->masked->constraint.self)) return VMT_FINISH_STOP;
    return num_known == s->seq.tokens_cap ? VMT_FINISH_LENGTH : VMT_FINISH_NONE;
}

static bool has_id(const int32_t *ids, uint32_t num_ids, int32_t id) {
    for (uint32_t i = 0; i < num_ids; i++) {
        if (ids[i] == id) return true;
    }
    return false;
}

/* A constraint may end the text with a token of it, or with an end-of-sequence id that the request ignores. */
static bool is_end_mark(const vmt_engine *engine, const vmt_generation *gen, int32_t token_id) {
    return has_id(gen->end_ids, gen->num_end_ids, token_id) ||
           has_id(engine->config.eos_ids, engine->config.num_eos_ids, token_id);
}

/* Ends a sequence whose constraint has failed. */
static void fail_sequence(vmt_engine *engine, vmt_sequence *s, const char *message) {
    if (s->gen->error[0] == 0) snprintf(s->gen->error, sizeof s->gen->error, "%s", message);
    vmt_engine_end_sequence(engine, s, VMT_FINISH_ERROR, -1);
}

static bool allows_nothing(const vmt_masked *masked, uint32_t vocab) {
    for (uint32_t i = 0; i < masked->num_words; i++) {
        uint32_t in_vocab = vocab - i * 32 >= 32 ? UINT32_MAX : ((uint32_t)1 << (vocab - i * 32)) - 1;
        if (masked->bits[i] & in_vocab) return false;
    }
    return true;
}

bool vmt_engine_check_mask(vmt_engine *engine, vmt_sequence *s) {
    const vmt_masked *masked = s->masked;
    if (!masked) return true;
    if (masked->status != VMT_OK) {
        fail_sequence(engine, s, masked->err.msg[0] ? masked->err.msg : "the constraint failed");
    } else if (!masked->is_free && allows_nothing(masked, engine->runner.vocab)) {
        fail_sequence(engine, s, "the constraint allows no token of the vocabulary");
    } else {
        return true;
    }
    return false;
}

/* false: the constraint refused what was sampled, which only a broken one does: a device's is checked here alone. */
static bool accept_token(vmt_engine *engine, vmt_sequence *s, int32_t token_id) {
    vmt_err err = {0};
    if (!s->masked) return true;
    const vmt_constraint *c = &s->masked->constraint;
    if (c->accept(c->self, token_id, &err) == VMT_OK) return true;
    fail_sequence(engine, s, err.msg[0] ? err.msg : "the constraint failed");
    return false;
}

/* Shows the token in the slot, which was accepted. */
static void push_token(vmt_engine *engine, vmt_sequence *s, vmt_sample *slot) {
    vmt_generation *gen = s->gen;
    int32_t token_id = slot->token_id;
    if (s->seq.num_expected > 0) {
        vmt_scheduler_supply(engine->sched, &s->seq, token_id);
    } else {
        vmt_scheduler_append(engine->sched, &s->seq, token_id);
    }
    if (vmt_sampling_has_penalties(&gen->sampling)) vmt_token_counts_add(&s->counts, token_id, true);
    s->num_output++;
    /* The reader may take the token before the end is published: it must know to wait for that. */
    int32_t stop_token_id;
    vmt_finish finish = end_of(s, &stop_token_id);
    slot->is_end = finish != VMT_FINISH_NONE;
    slot->is_end_mark = finish == VMT_FINISH_STOP && is_end_mark(engine, gen, token_id);
    vmt_output_ring_push(&s->ring);
    engine->work.num_generated_tokens++;
}

/* Whose log probabilities are wanted must be computed one by one. */
static bool may_be_forced(const vmt_sequence *s) {
    return s->masked && s->masked->constraint.forced && s->gen->sampling.num_logprobs < 0;
}

/* Tokens that may come with the next one, and those that a device samples already.  There is always room for them, so
 * that what a slow reader leaves unread does not change the text. */
static uint32_t num_coming(const vmt_sequence *s) {
    uint32_t num_left = s->seq.tokens_cap - s->seq.num_tokens;
    uint32_t num_forced = may_be_forced(s) && num_left > 0 ? VMT_MIN(num_left - 1, VMT_CONSTRAINT_FORCED_MAX) : 0;
    return num_forced + s->seq.num_expected;
}

static void push_forced(vmt_engine *engine, vmt_sequence *s) {
    int32_t ids[VMT_CONSTRAINT_FORCED_MAX], stop_token_id;
    uint32_t num_max = VMT_MIN(s->seq.tokens_cap - s->seq.num_tokens, VMT_CONSTRAINT_FORCED_MAX);
    VMT_ASSERT(!s->masked || s->seq.num_expected == 0);
    if (!may_be_forced(s) || num_max == 0 || end_of(s, &stop_token_id) != VMT_FINISH_NONE) return;
    uint32_t num = s->masked->constraint.forced(s->masked->constraint.self, ids, num_max);
    VMT_ASSERT(num <= num_max);
    s->num_unshown = num;
    for (uint32_t i = 0; i < num && end_of(s, &stop_token_id) == VMT_FINISH_NONE; i++) {
        vmt_sample *slot = vmt_output_ring_slot(&s->ring);
        *slot = (vmt_sample){.token_id = ids[i], .top = slot->top};
        s->num_unshown--;
        push_token(engine, s, slot);
    }
}

static void end_or_go_on(vmt_engine *engine, vmt_sequence *s) {
    int32_t stop_token_id;
    vmt_finish finish = end_of(s, &stop_token_id);
    if (finish != VMT_FINISH_NONE) {
        vmt_engine_end_sequence(engine, s, finish, stop_token_id);
    } else {
        s->seq.is_paused = vmt_output_ring_is_full(&s->ring, num_coming(s));
    }
}

void vmt_engine_take_token(vmt_engine *engine, vmt_sequence *s, vmt_sample *slot) {
    if (!accept_token(engine, s, slot->token_id)) return;
    push_token(engine, s, slot);
    push_forced(engine, s);
    vmt_outbox_note(engine->outbox, &s->gen->out);
    end_or_go_on(engine, s);
}

static void sample_token(vmt_engine *engine, vmt_sequence *s, float *row) {
    vmt_generation *gen = s->gen;
    vmt_sample_args args = {
        .sampling = &gen->sampling,
        .end_ids = gen->end_ids,
        .num_end_ids = gen->num_end_ids,
        .output = s->seq.tokens + gen->num_prompt,
        .num_output = s->num_output,
        .allowed = s->masked && !s->masked->is_free ? s->masked->bits : NULL,
        .counts = &s->counts,
        .seed = gen->seed,
        .seq_idx = s->idx,
    };
    if (!vmt_engine_check_mask(engine, s)) return;
    vmt_sample *slot = vmt_output_ring_slot(&s->ring);
    vmt_sample_row(engine->scratch, &args, row, slot);
    vmt_engine_take_token(engine, s, slot);
}

void vmt_engine_note_times(vmt_generation *gen, uint64_t now_ns) {
    if (atomic_load_explicit(&gen->first_token_ns, memory_order_relaxed) == 0) {
        atomic_store_explicit(&gen->first_token_ns, now_ns, memory_order_relaxed);
    }
    atomic_store_explicit(&gen->last_token_ns, now_ns, memory_order_relaxed);
}

void vmt_engine_pool_rows(vmt_engine *engine, vmt_generation *gen, const vmt_row_plan *plan, const float *rows,
                          bool is_last, uint64_t now_ns) {
    vmt_pool_take(&gen->pool, rows + (size_t)plan->first_logit * gen->pool.width, plan->num_pooled);
    if (!is_last) return;
    vmt_engine_note_times(gen, now_ns);
    vmt_pool_finish(&gen->pool);
    vmt_engine_end_generation(engine, gen, VMT_FINISH_STOP, NULL);
}

void vmt_engine_publish(vmt_engine *engine, const vmt_step *step, const vmt_row_plan *plans, float *logits,
                        uint64_t now_ns) {
    for (uint32_t i = 0; i < step->num_scheduled; i++) {
        const vmt_scheduled *scheduled = &step->scheduled[i];
        vmt_sequence *s = (vmt_sequence *)scheduled->seq;
        const vmt_row_plan *plan = &plans[i];
        /* A prompt counts once, cached or not, however often its rows were computed. */
        if (scheduled->samples && s->num_output == 0) engine->work.num_prompt_tokens += s->gen->num_prompt;
        if (s->gen->pool.kind != VMT_POOL_NONE) {
            vmt_engine_pool_rows(engine, s->gen, plan, logits, scheduled->samples, now_ns);
            continue;
        }
        score_prompt(engine, s, plan, logits);
        if (plan->samples) {
            vmt_engine_note_times(s->gen, now_ns);
            float *row = logits + (size_t)(plan->first_logit + plan->num_scored) * engine->runner.vocab;
            sample_token(engine, s, row);
        } else if (scheduled->samples) { /* echo_only, and the prompt is through */
            vmt_engine_end_generation(engine, s->gen, VMT_FINISH_LENGTH, NULL);
        }
    }
}
