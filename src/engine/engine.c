#include "engine/engine.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine/engine_internal.h"

#include <stdlib.h>

#define FAILURES_MAX 3u /* of forward() in a row: then the model is gone for good */

static const uint32_t iteration_buckets[] = VMT_ITERATION_BUCKETS;

/* ---- create, destroy */

static vmt_status adopt_config(vmt_engine *engine, const vmt_engine_config *config, vmt_err *err) {
    engine->config = *config;
    vmt_sched_config *c = &engine->config.sched;
    VMT_ASSERT(engine->runner.vocab >= 1 && engine->runner.max_model_len >= 2);
    c->max_model_len = VMT_MIN(c->max_model_len, engine->runner.max_model_len);
    if (c->num_blocks >= 2 && c->block_size >= 1) { /* else the scheduler says what is wrong */
        uint64_t num_slots = (uint64_t)(c->num_blocks - 1) * c->block_size;
        c->max_model_len = (uint32_t)VMT_MIN(c->max_model_len, num_slots);
    }
    if (c->max_num_logit_rows == 0) c->max_num_logit_rows = VMT_PROMPT_LOGIT_ROWS;
    int32_t *eos_ids = malloc((config->num_eos_ids + 1) * sizeof *eos_ids);
    if (!eos_ids) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the engine");
    engine->config.eos_ids = eos_ids;
    for (uint32_t i = 0; i < config->num_eos_ids; i++) {
        if (config->eos_ids[i] < 0 || (uint32_t)config->eos_ids[i] >= engine->runner.vocab) {
            engine->config.num_eos_ids = 0;
            return vmt_fail(err, VMT_E_INVALID, "end-of-sequence id %d is not in the vocabulary of %u",
                            config->eos_ids[i], engine->runner.vocab);
        }
        eos_ids[i] = config->eos_ids[i];
    }
    return VMT_OK;
}

/* What running a device ahead takes. */
static vmt_status take_flights(vmt_engine *engine, vmt_err *err) {
    uint32_t num_seqs = engine->config.sched.max_num_seqs;
    for (uint32_t i = 0; i < VMT_FLIGHTS_MAX; i++) {
        engine->flights[i].rows = calloc(num_seqs, sizeof *engine->flights[i].rows);
        if (!engine->flights[i].rows) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for %u rows", num_seqs);
    }
    return vmt_sample_builder_create(&engine->samples, &engine->config.sched, engine->runner.vocab, err);
}

static vmt_status take_memory(vmt_engine *engine, vmt_err *err) {
    engine->inbox = vmt_inbox_create();
    engine->outbox = vmt_outbox_create();
    engine->scratch = vmt_sampler_scratch_create(engine->runner.vocab);
    if (!engine->inbox || !engine->outbox || !engine->scratch) {
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the engine");
    }
    VMT_TRY(vmt_mask_worker_create(&engine->mask_worker, engine->config.sched.max_num_seqs, err));
    VMT_TRY(vmt_scheduler_create(&engine->sched, &engine->config.sched, err));
    if (engine->runner.launch) VMT_TRY(take_flights(engine, err));
    return vmt_step_batch_create(&engine->batch, &engine->config.sched, err);
}

vmt_status vmt_engine_create(vmt_engine **out, const vmt_engine_config *config, vmt_runner runner, vmt_err *err) {
    *out = NULL;
    vmt_engine *engine = calloc(1, sizeof *engine);
    if (!engine) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the engine");
    engine->runner = runner;
    VMT_ASSERT(pthread_mutex_init(&engine->stats_lock, NULL) == 0);
    vmt_status status = adopt_config(engine, config, err);
    if (status == VMT_OK) status = take_memory(engine, err);
    if (status != VMT_OK) {
        vmt_engine_destroy(engine);
        return status;
    }
    engine->stats.sched = vmt_scheduler_stats(engine->sched);
    *out = engine;
    return VMT_OK;
}

void vmt_engine_destroy(vmt_engine *engine) {
    if (!engine) return;
    VMT_ASSERT(!engine->is_started && engine->live.head == NULL);
    for (uint32_t i = 0; i < VMT_FLIGHTS_MAX; i++) free(engine->flights[i].rows);
    vmt_sample_builder_destroy(engine->samples);
    vmt_step_batch_destroy(engine->batch);
    vmt_scheduler_destroy(engine->sched);
    vmt_mask_worker_destroy(engine->mask_worker);
    vmt_sampler_scratch_destroy(engine->scratch);
    vmt_outbox_destroy(engine->outbox);
    vmt_inbox_destroy(engine->inbox);
    pthread_mutex_destroy(&engine->stats_lock);
    free((void *)engine->config.eos_ids);
    free(engine);
}

/* ---- the inbox */

static void accept(vmt_engine *engine, vmt_generation *gen) {
    vmt_link_append(&engine->live, &gen->live);
    engine->num_holdable += gen->may_be_held;
    engine->is_settled = false;
    if (atomic_load(&engine->is_dead)) {
        vmt_engine_end_generation(engine, gen, VMT_FINISH_ERROR, "the model failed for good");
        return;
    }
    /* An echo is the same for every sequence: the first one's end is the end of all. */
    uint32_t num_added = gen->echo_only ? 1 : gen->n;
    for (uint32_t i = 0; i < num_added; i++) {
        vmt_seq *seq = &gen->seqs[i].seq;
        seq->id = seq->arrival = ++engine->num_arrivals;
        vmt_err err = {0};
        if (vmt_scheduler_add(engine->sched, seq, &err) == VMT_OK) continue;
        vmt_engine_end_generation(engine, gen, VMT_FINISH_ERROR, err.msg);
        return;
    }
}

static void drop_cancelled(vmt_engine *engine, vmt_generation *gen) {
    for (uint32_t i = 0; i < gen->n; i++) {
        vmt_sequence *s = &gen->seqs[i];
        if (!s->is_ended && atomic_load(&s->is_cancelled))
            vmt_engine_end_sequence(engine, s, VMT_FINISH_ABORT, -1);
    }
}

static void resume_paused(vmt_generation *gen) {
    for (uint32_t i = 0; i < gen->n; i++) {
        vmt_sequence *s = &gen->seqs[i];
        if (s->seq.is_paused && !vmt_output_ring_wants_room(&s->ring)) s->seq.is_paused = false;
    }
}

static void drain_inbox(vmt_engine *engine) {
    vmt_generation *gen;
    uint32_t notes;
    while ((gen = vmt_inbox_take(engine->inbox, &notes)) != NULL) {
        if (notes & VMT_POST_SUBMIT) accept(engine, gen);
        if (notes & VMT_POST_CANCEL) drop_cancelled(engine, gen);
        if (notes & VMT_POST_ROOM) resume_paused(gen);
    }
    if (atomic_exchange(&engine->wants_prefix_reset, false)) vmt_scheduler_forget_prefixes(engine->sched);
}

/* ---- a step */

static void end_everything(vmt_engine *engine, vmt_finish finish, const char *message) {
    while (engine->live.head) vmt_engine_end_generation(engine, engine->live.head->gen, finish, message);
}

bool vmt_engine_note_failure(vmt_engine *engine, uint32_t num_seqs, const char *message) {
    vmt_log_error("event=forward_failed sequences=%u in_a_row=%u reason=\"%s\"", num_seqs,
                  engine->num_failures + 1, message);
    if (++engine->num_failures < FAILURES_MAX) return false;
    atomic_store(&engine->is_dead, true);
    engine->work.is_dead = true;
    end_everything(engine, VMT_FINISH_ERROR, message);
    return true;
}

void vmt_engine_fail_step(vmt_engine *engine, const vmt_step *step, const vmt_err *err) {
    vmt_scheduler_abandon(engine->sched, step);
    const char *message = err->msg[0] ? err->msg : "the model failed";
    if (vmt_engine_note_failure(engine, step->num_scheduled, message)) return;
    for (uint32_t i = 0; i < step->num_scheduled; i++) {
        vmt_sequence *s = (vmt_sequence *)step->scheduled[i].seq;
        vmt_engine_end_generation(engine, s->gen, VMT_FINISH_ERROR, message);
    }
}

void vmt_engine_note_scheduled(const vmt_step *step, uint64_t now_ns) {
    for (uint32_t i = 0; i < step->num_scheduled; i++) {
        const vmt_sequence *s = (const vmt_sequence *)step->scheduled[i].seq;
        vmt_generation *gen = s->gen;
        if (s->idx > 0 || atomic_load_explicit(&gen->scheduled_ns, memory_order_relaxed) != 0) continue;
        atomic_store_explicit(&gen->scheduled_ns, now_ns, memory_order_relaxed);
        atomic_store_explicit(&gen->num_cached_tokens, s->seq.num_cached_tokens, memory_order_relaxed);
    }
    for (uint32_t i = 0; i < step->num_preempted; i++) {
        vmt_generation *gen = ((vmt_sequence *)step->preempted[i])->gen;
        atomic_fetch_add_explicit(&gen->num_preemptions, 1, memory_order_relaxed);
    }
}

void vmt_engine_note_iteration(vmt_engine *engine, uint32_t num_tokens) {
    uint32_t i = 0;
    while (i < VMT_COUNT(iteration_buckets) && num_tokens > iteration_buckets[i]) i++;
    _Static_assert(VMT_COUNT(iteration_buckets) + 1 ==
                       VMT_COUNT(((vmt_engine_stats *)0)->iteration_tokens_buckets),
                   "one bucket more than bounds");
    engine->work.iteration_tokens_buckets[i]++;
}

void vmt_engine_ask_for_masks(vmt_engine *engine, const vmt_step *step, const vmt_row_plan *plans) {
    for (uint32_t i = 0; i < step->num_scheduled; i++) {
        vmt_sequence *s = (vmt_sequence *)step->scheduled[i].seq;
        if (plans[i].samples && s->masked) vmt_mask_worker_add(engine->mask_worker, s->masked);
    }
    vmt_mask_worker_post(engine->mask_worker);
}

/* false: nobody can run until something comes in. */
static bool run_step(vmt_engine *engine) {
    uint64_t begin_ns = vmt_clock_ns();
    vmt_step step = vmt_scheduler_schedule(engine->sched);
    vmt_engine_note_scheduled(&step, begin_ns);
    /* Blocks that a preemption gave back may let someone else run at once. */
    if (step.num_scheduled == 0) return step.num_preempted > 0;

    const vmt_row_plan *plans;
    const vmt_batch *batch = vmt_step_batch_fill(engine->batch, &step, &plans);
    float *logits = NULL;
    vmt_err err = {0};
    vmt_engine_ask_for_masks(engine, &step, plans);
    uint64_t forward_ns = vmt_clock_ns();
    vmt_status status = engine->runner.forward(engine->runner.self, batch, &logits, &err);
    vmt_mask_worker_wait(engine->mask_worker);
    uint64_t done_ns = vmt_clock_ns();
    if (status == VMT_OK) {
        engine->num_failures = 0;
        vmt_scheduler_commit(engine->sched, &step);
        vmt_engine_publish(engine, &step, plans, logits, done_ns);
    } else {
        vmt_engine_fail_step(engine, &step, &err);
    }
    engine->work.num_steps++;
    engine->work.forward_ns_total += done_ns - forward_ns;
    engine->work.step_ns_total += vmt_clock_ns() - begin_ns;
    vmt_engine_note_iteration(engine, step.num_tokens);
    return true;
}

/* ---- the loop */

static void show_news(vmt_engine *engine) {
    engine->work.sched = vmt_scheduler_stats(engine->sched);
    pthread_mutex_lock(&engine->stats_lock);
    engine->stats = engine->work;
    pthread_mutex_unlock(&engine->stats_lock);
    bool has_news = vmt_outbox_send(engine->outbox);
    if (has_news && engine->config.on_progress) engine->config.on_progress(engine->config.on_progress_ctx);
}

static uint64_t allocations(const vmt_engine *engine) {
    return engine->config.count_allocations ? engine->config.count_allocations() : 0;
}

static void *run_thread(void *arg) {
    vmt_engine *engine = arg;
    bool is_idle = true;
    while (!atomic_load(&engine->is_stopping)) {
        if (is_idle) vmt_inbox_wait(engine->inbox);
        uint64_t num_before = allocations(engine);
        engine->is_settled = true;
        drain_inbox(engine);
        is_idle = !(engine->samples ? vmt_engine_run_ahead(engine) : run_step(engine));
        show_news(engine);
        if (engine->is_settled) engine->work.num_allocations += allocations(engine) - num_before;
    }
    vmt_engine_drain_flights(engine);
    return NULL;
}

vmt_status vmt_engine_start(vmt_engine *engine, vmt_err *err) {
    VMT_ASSERT(!engine->is_started && !atomic_load(&engine->is_stopping));
    if (pthread_create(&engine->thread, NULL, run_thread, engine) != 0) {
        return vmt_fail(err, VMT_E_EXHAUSTED, "the system refused the engine's thread");
    }
    engine->is_started = true;
    return VMT_OK;
}

void vmt_engine_stop(vmt_engine *engine) {
    atomic_store(&engine->is_stopping, true);
    vmt_inbox_close(engine->inbox);
    if (engine->is_started) pthread_join(engine->thread, NULL);
    engine->is_started = false;
    drain_inbox(engine); /* what was submitted and never seen */
    end_everything(engine, VMT_FINISH_ABORT, NULL);
    show_news(engine);
}

/* ---- any thread */

vmt_status vmt_engine_submit(vmt_engine *engine, vmt_generation *gen, vmt_err *err) {
    if (atomic_load(&engine->is_dead)) return vmt_fail(err, VMT_E_INTERNAL, "the model failed for good");
    uint32_t num_max = engine->config.sched.max_num_seqs + engine->config.waiting_max;
    uint32_t num_before = atomic_fetch_add(&engine->num_live_seqs, gen->n);
    if ((uint64_t)num_before + gen->n > num_max) {
        atomic_fetch_sub(&engine->num_live_seqs, gen->n);
        return vmt_fail(err, VMT_E_EXHAUSTED,
                        "the queue is full: %u sequences run or wait, %u came, the limit is %u", num_before,
                        gen->n, num_max);
    }
    atomic_store_explicit(&gen->submitted_ns, vmt_clock_ns(), memory_order_relaxed);
    if (vmt_inbox_post(engine->inbox, &gen->in, VMT_POST_SUBMIT)) return VMT_OK;
    atomic_store_explicit(&gen->submitted_ns, 0, memory_order_relaxed);
    atomic_fetch_sub(&engine->num_live_seqs, gen->n);
    return vmt_fail(err, VMT_E_CANCELLED, "the engine has stopped");
}

void vmt_engine_cancel(vmt_engine *engine, vmt_generation *gen, int32_t seq_idx) {
    VMT_ASSERT(seq_idx >= -1 && (seq_idx < 0 || (uint32_t)seq_idx < gen->n));
    for (uint32_t i = 0; i < gen->n; i++) {
        if (seq_idx == -1 || (uint32_t)seq_idx == i) atomic_store(&gen->seqs[i].is_cancelled, true);
    }
    /* A closed inbox ends everything anyway. */
    (void)vmt_inbox_post(engine->inbox, &gen->in, VMT_POST_CANCEL);
}

vmt_generation *vmt_engine_take_ready(vmt_engine *engine) {
    return vmt_outbox_take(engine->outbox);
}

vmt_engine_stats vmt_engine_get_stats(vmt_engine *engine) {
    pthread_mutex_lock(&engine->stats_lock);
    vmt_engine_stats stats = engine->stats;
    pthread_mutex_unlock(&engine->stats_lock);
    stats.num_live = atomic_load(&engine->num_live_seqs);
    return stats;
}

void vmt_engine_reset_prefix_cache(vmt_engine *engine) {
    atomic_store(&engine->wants_prefix_reset, true);
    vmt_inbox_kick(engine->inbox);
}

uint32_t vmt_engine_max_model_len(const vmt_engine *engine) {
    return engine->config.sched.max_model_len;
}

uint32_t vmt_engine_vocab(const vmt_engine *engine) {
    return engine->runner.vocab;
}

const int32_t *vmt_engine_eos_ids(const vmt_engine *engine, uint32_t *num_ids) {
    *num_ids = engine->config.num_eos_ids;
    return engine->config.eos_ids;
}

vmt_generation_limits vmt_engine_limits(const vmt_engine *engine) {
    return (vmt_generation_limits){
        .inbox = engine->inbox,
        .outbox = engine->outbox,
        .vocab = engine->runner.vocab,
        .hidden = engine->runner.hidden,
        .max_model_len = engine->config.sched.max_model_len,
        .eos_ids = engine->config.eos_ids,
        .num_eos_ids = engine->config.num_eos_ids,
        .is_device = engine->runner.launch != NULL,
    };
}
