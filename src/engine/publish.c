/* engine/publish.c: from the logits of a step to tokens in rings, and the ends of sequences. */
#include "engine/engine_internal.h"

#include <stdio.h>

/* ---- ends */

static void end_all_links(vmt_engine *engine, vmt_generation *gen) {
    vmt_link_remove(&engine->live, &gen->live);
    vmt_inbox_withdraw(gen->inbox, &gen->in);
    gen->out.is_ending = true;
}

void vmt_engine_end_sequence(vmt_engine *engine, vmt_sequence *s, vmt_finish finish, int32_t stop_token_id) {
    VMT_ASSERT(!s->is_ended && s->gen->num_live > 0);
    vmt_scheduler_finish(engine->sched, &s->seq);
    s->is_ended = true;
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
    int32_t token_id = s->seq.tokens[s->seq.num_tokens - 1];
    uint32_t i = 0;
    while (i < gen->num_end_ids && gen->end_ids[i] != token_id) i++;
    *stop_token_id = -1;
    if (i < gen->num_end_ids && s->num_output >= gen->sampling.min_tokens) {
        if (i >= gen->num_eos_ids) *stop_token_id = token_id;
        return VMT_FINISH_STOP;
    }
    if (s->masked && s->masked->constraint.is_ended(s->masked->constraint.self)) return VMT_FINISH_STOP;
    return s->seq.num_tokens == s->seq.tokens_cap ? VMT_FINISH_LENGTH : VMT_FINISH_NONE;
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

/* false: the constraint has failed or allows no token, and the sequence has ended. */
static bool check_mask(vmt_engine *engine, vmt_sequence *s) {
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

/* false: the constraint refused what was sampled, which only a broken one does. */
static bool accept_token(vmt_engine *engine, vmt_sequence *s, int32_t token_id) {
    vmt_err err = {0};
    if (!s->masked) return true;
    const vmt_constraint *c = &s->masked->constraint;
    if (c->accept(c->self, token_id, &err) == VMT_OK) return true;
    fail_sequence(engine, s, err.msg[0] ? err.msg : "the constraint failed");
    return false;
}

/* false: the sequence has ended without a token. */
static bool sample_token(vmt_engine *engine, vmt_sequence *s, float *row) {
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
    if (!check_mask(engine, s)) return false;
    vmt_sample *slot = vmt_output_ring_slot(&s->ring);
    vmt_sample_row(engine->scratch, &args, row, slot);
    int32_t token_id = slot->token_id;
    if (!accept_token(engine, s, token_id)) return false;
    vmt_scheduler_append(engine->sched, &s->seq, token_id);
    if (vmt_sampling_has_penalties(&gen->sampling)) vmt_token_counts_add(&s->counts, token_id, true);
    s->num_output++;
    /* The reader may take the token before the end is published: it must know to wait for that. */
    int32_t stop_token_id;
    slot->is_end = end_of(s, &stop_token_id) != VMT_FINISH_NONE;
    vmt_output_ring_push(&s->ring);
    return true;
}

static void end_or_go_on(vmt_engine *engine, vmt_sequence *s) {
    int32_t stop_token_id;
    vmt_finish finish = end_of(s, &stop_token_id);
    if (finish != VMT_FINISH_NONE) {
        vmt_engine_end_sequence(engine, s, finish, stop_token_id);
    } else {
        s->seq.is_paused = vmt_output_ring_is_full(&s->ring);
    }
}

static void note_times(vmt_generation *gen, uint64_t now_ns) {
    if (atomic_load_explicit(&gen->first_token_ns, memory_order_relaxed) == 0) {
        atomic_store_explicit(&gen->first_token_ns, now_ns, memory_order_relaxed);
    }
    atomic_store_explicit(&gen->last_token_ns, now_ns, memory_order_relaxed);
}

/* The rows of a pooled prompt go into its vector, which is whole with the last of them. */
static void pool_rows(vmt_engine *engine, const vmt_scheduled *scheduled, const vmt_row_plan *plan,
                      const float *rows, uint64_t now_ns) {
    vmt_generation *gen = ((vmt_sequence *)scheduled->seq)->gen;
    vmt_pool_take(&gen->pool, rows + (size_t)plan->first_logit * gen->pool.width, plan->num_pooled);
    if (!scheduled->samples) return;
    note_times(gen, now_ns);
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
            pool_rows(engine, scheduled, plan, logits, now_ns);
            continue;
        }
        score_prompt(engine, s, plan, logits);
        if (plan->samples) {
            note_times(s->gen, now_ns);
            float *row = logits + (size_t)(plan->first_logit + plan->num_scored) * engine->runner.vocab;
            if (!sample_token(engine, s, row)) continue;
            engine->work.num_generated_tokens++;
            vmt_outbox_note(engine->outbox, &s->gen->out);
            end_or_go_on(engine, s);
        } else if (scheduled->samples) { /* echo_only, and the prompt is through */
            vmt_engine_end_generation(engine, s->gen, VMT_FINISH_LENGTH, NULL);
        }
    }
}
