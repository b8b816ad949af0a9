/* engine/run_ahead.c: steps for a device: the next one is launched while this one runs.
 *
 *   host     schedule n+1, launch ► collect n, publish ► schedule n+2, launch ► collect n+1 ...
 *   device   ...step n ─────────► step n+1 ────────────────────────────────► step n+2
 *
 * A token that step n samples goes into step n+1 on the device; the host learns it when n is back.  A sequence that
 * turns out to have ended then has a row too many in n+1: its outcome is dropped.  A constrained sequence sits a step
 * out, because its mask follows from the token. */
#include "base/clock.h"
#include "engine/engine_internal.h"

#include <math.h>

/* ---- flights */

static vmt_flight *flight_at(vmt_engine *engine, uint32_t i) {
    return &engine->flights[(engine->first_flight + i) % VMT_FLIGHTS_MAX];
}

static uint32_t slot_of(const vmt_engine *engine, const vmt_flight *flight) {
    return (uint32_t)(flight - engine->flights);
}

void vmt_engine_drop_rows(vmt_engine *engine, vmt_sequence *s) {
    for (uint32_t i = 0; i < VMT_FLIGHTS_MAX; i++) {
        if (s->flight_rows[i] > 0) engine->flights[i].rows[s->flight_rows[i] - 1].s = NULL;
        s->flight_rows[i] = 0;
    }
}

static void take_off(vmt_engine *engine, vmt_flight *flight) {
    for (uint32_t i = 0; i < flight->num_rows; i++) {
        if (flight->rows[i].s) flight->rows[i].s->flight_rows[slot_of(engine, flight)] = 0;
    }
    flight->num_rows = 0;
    engine->first_flight = (engine->first_flight + 1) % VMT_FLIGHTS_MAX;
    engine->num_flights--;
}

/* ---- launch */

/* Running ones first: those that wait must not take the room of one that can go on. */
static void hold_over_budget(vmt_engine *engine, bool is_running, uint32_t *edits_left) {
    for (vmt_link *link = engine->live.head; link; link = link->next) {
        uint32_t n = link->gen->may_be_held ? link->gen->n : 0;
        for (uint32_t i = 0; i < n; i++) {
            vmt_sequence *s = &link->gen->seqs[i];
            if ((s->seq.state == VMT_SEQ_RUNNING) != is_running || s->seq.is_paused || s->seq.is_held) continue;
            uint32_t num_edits = vmt_sample_edits_of(s);
            s->seq.is_held = num_edits > *edits_left;
            if (!s->seq.is_held) *edits_left -= num_edits;
        }
    }
}

/* Who sits the next step out: constrained sequences whose last token is not known, and those whose lists of edits do
 * not fit into one step with the others'. */
static void hold_some(vmt_engine *engine) {
    if (engine->num_holdable == 0) return;
    uint64_t num_edits = 0;
    uint32_t edits_left = vmt_sample_edits_max(engine->runner.vocab, engine->config.sched.max_model_len);
    for (vmt_link *link = engine->live.head; link; link = link->next) {
        uint32_t n = link->gen->may_be_held ? link->gen->n : 0;
        for (uint32_t i = 0; i < n; i++) {
            vmt_sequence *s = &link->gen->seqs[i];
            s->seq.is_held = s->masked && s->seq.num_expected > 0;
            num_edits += vmt_sample_edits_of(s);
        }
    }
    if (num_edits <= edits_left) return;
    hold_over_budget(engine, true, &edits_left);
    hold_over_budget(engine, false, &edits_left);
}

static void take_masks(void *ctx) {
    vmt_engine *engine = ctx;
    vmt_mask_worker_wait(engine->mask_worker);
    vmt_sample_builder_take_masks(engine->samples);
}

static void note_flight(vmt_engine *engine, const vmt_step *step, const vmt_row_plan *plans,
                        const vmt_sample_plan *samples, bool needs_logits) {
    vmt_flight *flight = flight_at(engine, engine->num_flights++);
    flight->num_rows = step->num_scheduled;
    flight->num_tokens = step->num_tokens;
    flight->needs_logits = needs_logits;
    flight->launched_ns = vmt_clock_ns();
    for (uint32_t i = 0; i < step->num_scheduled; i++) {
        const vmt_scheduled *scheduled = &step->scheduled[i];
        vmt_sequence *s = (vmt_sequence *)scheduled->seq;
        flight->rows[i] = (vmt_flight_row){
            .s = s,
            .num_new_tokens = scheduled->num_new_tokens,
            .num_computed = s->seq.num_computed_tokens,
            .plan = plans[i],
            .sample = samples[i],
            .is_echo_end = scheduled->samples && s->gen->echo_only,
        };
        s->flight_rows[slot_of(engine, flight)] = i + 1;
        if (!plans[i].samples) continue;
        vmt_scheduler_expect(engine->sched, &s->seq);
        s->last_sample = samples[i].sample;
    }
}

/* Decides the next step and gives it to the device.  false: nothing could run. */
static bool launch_next(vmt_engine *engine, bool *has_preempted) {
    uint64_t begin_ns = vmt_clock_ns();
    hold_some(engine);
    vmt_step step = vmt_scheduler_schedule(engine->sched);
    vmt_engine_note_scheduled(&step, begin_ns);
    *has_preempted = step.num_preempted > 0;
    if (step.num_scheduled == 0) return false;

    const vmt_row_plan *plans;
    const vmt_sample_plan *sample_plans;
    const vmt_batch *batch = vmt_step_batch_fill(engine->batch, &step, &plans);
    const vmt_sample_batch *filled = vmt_sample_builder_fill(engine->samples, &step, plans, &sample_plans);
    vmt_sample_batch samples = *filled;
    samples.wait_for_masks = take_masks;
    samples.wait_ctx = engine;
    vmt_err err = {0};
    vmt_engine_ask_for_masks(engine, &step, plans);
    vmt_status status = engine->runner.launch(engine->runner.self, batch, &samples, &err);
    vmt_mask_worker_wait(engine->mask_worker); /* also where launch() failed before it came to that */
    if (status != VMT_OK) {
        vmt_engine_fail_step(engine, &step, &err);
        return false;
    }
    vmt_scheduler_launch(engine->sched, &step);
    note_flight(engine, &step, plans, sample_plans, samples.needs_logits);
    return true;
}

/* ---- collect */

static float logprob_of(const vmt_score *score, float logit) {
    return (float)((double)logit - (double)score->max - log((double)score->sum));
}

static void take_score(const vmt_score *score, const vmt_top *tops, vmt_sample *out) {
    out->logprob = logprob_of(score, score->logit);
    out->rank = score->rank;
    out->num_top = score->num_top;
    for (uint32_t i = 0; i < score->num_top; i++) {
        out->top[i] = (vmt_token_logprob){tops[i].token_id, logprob_of(score, tops[i].logit)};
    }
}

/* Score i of a row, of `num_tops_before` best tokens that belong to the scores before it. */
static void read_score(vmt_engine *engine, const vmt_flight_row *row, const vmt_sample_outcome *outcome,
                       uint32_t i, uint32_t num_tops_before, uint32_t num_top, vmt_sample *out) {
    if (row->sample.on_host) {
        const float *logits = outcome->logits + (size_t)(row->plan.first_logit + i) * engine->runner.vocab;
        vmt_score_row(engine->scratch, logits, num_top, out);
    } else {
        take_score(&outcome->scores[row->sample.first_score + i],
                   outcome->tops + row->sample.first_top + num_tops_before, out);
    }
}

static void publish_row(vmt_engine *engine, const vmt_flight_row *row, const vmt_sample_outcome *outcome,
                        uint64_t now_ns) {
    vmt_sequence *s = row->s;
    vmt_generation *gen = s->gen;
    const vmt_row_plan *plan = &row->plan;
    uint32_t vocab = engine->runner.vocab;
    uint32_t num_prompt_top = vmt_sampling_num_top(gen->sampling.num_prompt_logprobs, vocab);
    vmt_scheduler_land(engine->sched, &s->seq, row->num_computed);
    if ((plan->samples || row->is_echo_end) && s->num_output == 0) {
        engine->work.num_prompt_tokens += gen->num_prompt;
    }
    if (gen->pool.kind != VMT_POOL_NONE) {
        static const float no_rows[1];
        const float *rows = plan->num_pooled > 0 ? outcome->logits : no_rows;
        vmt_engine_pool_rows(engine, gen, plan, rows, row->is_echo_end, now_ns);
        return;
    }
    for (uint32_t i = 0; i < plan->num_scored; i++) {
        vmt_sample *score = &gen->prompt_scores[plan->first_scored + i];
        score->token_id = s->seq.tokens[plan->first_scored + i];
        read_score(engine, row, outcome, i, i * num_prompt_top, num_prompt_top, score);
    }
    vmt_engine_note_scores(engine, s, plan);
    if (row->is_echo_end) vmt_engine_end_generation(engine, gen, VMT_FINISH_LENGTH, NULL);
    if (!plan->samples) return;

    vmt_engine_note_times(gen, now_ns);
    if (!vmt_engine_check_mask(engine, s)) return;
    vmt_sample *slot = vmt_output_ring_slot(&s->ring);
    slot->token_id = outcome->sampled[row->sample.sample];
    slot->logprob = 0;
    slot->rank = slot->num_top = 0;
    if (gen->sampling.num_logprobs >= 0) {
        uint32_t num_top = vmt_sampling_num_top(gen->sampling.num_logprobs, vocab);
        read_score(engine, row, outcome, plan->num_scored, plan->num_scored * num_prompt_top, num_top, slot);
    }
    vmt_engine_take_token(engine, s, slot);
}

/* The step did not come back: the generations in it end, and what was launched upon it is taken back. */
static void fail_flight(vmt_engine *engine, vmt_flight *failed, const vmt_err *err) {
    const char *message = err->msg[0] ? err->msg : "the device failed";
    uint32_t num_rows = failed->num_rows;
    for (uint32_t i = 0; i < failed->num_rows; i++) {
        vmt_sequence *s = failed->rows[i].s;
        if (s) vmt_engine_end_generation(engine, s->gen, VMT_FINISH_ERROR, message);
    }
    take_off(engine, failed);
    while (engine->num_flights > 0) {
        vmt_flight *flight = flight_at(engine, 0);
        for (uint32_t i = 0; i < flight->num_rows; i++) {
            const vmt_flight_row *row = &flight->rows[i];
            if (!row->s) continue;
            vmt_scheduler_retract(engine->sched, &row->s->seq, row->num_new_tokens, row->plan.samples);
        }
        vmt_sample_outcome ignored;
        (void)engine->runner.collect(engine->runner.self, &ignored, NULL);
        take_off(engine, flight);
    }
    vmt_engine_note_failure(engine, num_rows, message);
}

static void collect_oldest(vmt_engine *engine) {
    vmt_flight *flight = flight_at(engine, 0);
    vmt_sample_outcome outcome;
    vmt_err err = {0};
    vmt_status status = engine->runner.collect(engine->runner.self, &outcome, &err);
    uint64_t now_ns = vmt_clock_ns();
    /* The device had it from its launch, or from the end of the step before. */
    uint64_t ran_ns = now_ns - VMT_MAX(flight->launched_ns, engine->collected_ns);
    engine->collected_ns = now_ns;
    engine->work.num_steps++;
    engine->work.forward_ns_total += ran_ns;
    engine->work.step_ns_total += ran_ns;
    vmt_engine_note_iteration(engine, flight->num_tokens);
    if (status != VMT_OK) {
        fail_flight(engine, flight, &err);
        return;
    }
    engine->num_failures = 0;
    for (uint32_t i = 0; i < flight->num_rows; i++) {
        if (flight->rows[i].s) publish_row(engine, &flight->rows[i], &outcome, now_ns);
    }
    take_off(engine, flight);
}

void vmt_engine_drain_flights(vmt_engine *engine) {
    while (engine->num_flights > 0) {
        vmt_sample_outcome ignored;
        (void)engine->runner.collect(engine->runner.self, &ignored, NULL);
        take_off(engine, flight_at(engine, 0));
    }
}

/* ---- the loop's turn */

bool vmt_engine_run_ahead(vmt_engine *engine) {
    bool has_preempted = false, has_launched = launch_next(engine, &has_preempted);
    bool may_wait = has_launched && !flight_at(engine, engine->num_flights - 1)->needs_logits;
    uint32_t num_left = may_wait ? VMT_FLIGHTS_MAX - 1 : 0;
    bool has_collected = engine->num_flights > num_left;
    while (engine->num_flights > num_left) collect_oldest(engine);
    return has_launched || has_collected || has_preempted;
}
