#include "cli/bench_engine.h"

#include "base/clock.h"

#include <stdlib.h>
#include <time.h>

#define GENERATION_ARENA_MAX ((size_t)256 << 20)
#define RETRY_NS             50000000 /* full queue, or a wake-up that got lost: look again */

struct job {
    vmt_arena *arena;
    vmt_generation *gen;
    bool has_finished; /* all its tokens were taken */
};

static void on_progress(void *ctx) {
    vmt_bench_engine *b = ctx;
    pthread_mutex_lock(&b->lock);
    b->news = true;
    pthread_cond_signal(&b->has_news);
    pthread_mutex_unlock(&b->lock);
}

static void wait_for_news(vmt_bench_engine *b) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += RETRY_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&b->lock);
    int rc = 0;
    while (!b->news && rc == 0) rc = pthread_cond_timedwait(&b->has_news, &b->lock, &until);
    b->news = false;
    pthread_mutex_unlock(&b->lock);
}

vmt_status vmt_bench_engine_open(vmt_bench_engine *b, const vmt_bundle_options *options, vmt_err *err) {
    *b = (vmt_bench_engine){.news = false};
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->has_news, NULL);
    VMT_TRY(vmt_bundle_open(&b->bundle, options, err));
    if (b->bundle.pooling.task != VMT_TASK_GENERATE) {
        return vmt_fail_param(err, VMT_E_UNSUPPORTED, "--runner",
                              "the model's files say that it pools, and this benchmark generates: add --runner "
                              "generate");
    }
    VMT_TRY(vmt_bundle_load(&b->bundle, options, err));
    VMT_TRY(vmt_bundle_engine(&b->bundle, options, on_progress, b, &b->engine, err));
    return vmt_engine_start(b->engine, err);
}

void vmt_bench_engine_close(vmt_bench_engine *b) {
    if (b->engine != NULL) {
        vmt_engine_stop(b->engine);
        vmt_engine_destroy(b->engine);
    }
    vmt_bundle_close(&b->bundle);
    pthread_cond_destroy(&b->has_news);
    pthread_mutex_destroy(&b->lock);
}

static vmt_status create_job(vmt_bench_engine *b, const vmt_bench_prompt *prompt, uint32_t n, struct job *job,
                             vmt_err *err) {
    vmt_tokens tokens = {0};
    job->arena = vmt_arena_create(GENERATION_ARENA_MAX);
    if (job->arena == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a request");
    vmt_generation_params params = {.prompt = prompt->ids, .num_prompt = prompt->num_ids, .n = n, .user = job};
    params.sampling = vmt_sampling_default();
    params.sampling.temperature = 0;
    params.sampling.ignore_eos = true;
    params.sampling.max_tokens = prompt->output_len;
    params.sampling.num_logprobs = params.sampling.num_prompt_logprobs = -1;
    vmt_status status = VMT_OK;
    if (prompt->ids == NULL) {
        vmt_encode_options options = {.add_special = true};
        status = vmt_tokenizer_encode(b->bundle.tokenizer, prompt->text, options, &tokens, err);
        params.prompt = tokens.ids;
        params.num_prompt = (uint32_t)tokens.len;
    }
    if (status == VMT_OK) status = vmt_generation_create(&job->gen, b->engine, &params, job->arena, err);
    vmt_tokens_free(&tokens);
    return status;
}

/* Takes the tokens that are ready and counts them. */
static vmt_status take_news(vmt_bench_engine *b, vmt_bench_run *run, vmt_err *err) {
    vmt_status status = VMT_OK;
    for (vmt_generation *gen; (gen = vmt_engine_take_ready(b->engine)) != NULL;) {
        struct job *job = vmt_generation_user(gen);
        job->has_finished = true;
        for (uint32_t seq = 0; seq < vmt_generation_n(gen); seq++) {
            vmt_output_token token;
            int32_t stop_token_id;
            while (vmt_generation_next(gen, seq, &token)) run->num_output_tokens++;
            vmt_finish finish = vmt_generation_finish(gen, seq, &stop_token_id);
            job->has_finished &= finish != VMT_FINISH_NONE;
            if (finish == VMT_FINISH_ERROR) {
                status = vmt_fail(err, VMT_E_INTERNAL, "the model failed: %.200s", vmt_generation_error(gen));
            }
        }
    }
    return status;
}

/* Destroys the generations that the engine has let go of; how many there were. */
static uint32_t reap(struct job *jobs, uint32_t num_submitted, vmt_bench_run *run) {
    uint32_t num_ended = 0;
    for (uint32_t i = 0; i < num_submitted; i++) {
        struct job *job = &jobs[i];
        if (job->gen == NULL || !job->has_finished || !vmt_generation_ended(job->gen)) continue;
        run->num_prompt_tokens += vmt_generation_get_stats(job->gen).num_prompt_tokens;
        vmt_generation_destroy(job->gen);
        job->gen = NULL;
        num_ended++;
    }
    return num_ended;
}

static vmt_status drive(vmt_bench_engine *b, struct job *jobs, uint32_t num, vmt_bench_run *run, vmt_err *err) {
    uint32_t num_submitted = 0, num_ended = 0;
    uint64_t started = vmt_clock_ns();
    vmt_status failed = VMT_OK;
    while (num_ended < num_submitted || (num_submitted < num && failed == VMT_OK)) {
        while (num_submitted < num && failed == VMT_OK) {
            vmt_err why = {0};
            vmt_status status = vmt_engine_submit(b->engine, jobs[num_submitted].gen, &why);
            if (status == VMT_OK) {
                num_submitted++;
                continue;
            }
            /* A full queue drains; with nothing in it, it is no matter of waiting. */
            if (status != VMT_E_EXHAUSTED || num_ended == num_submitted)
                failed = vmt_fail(err, status, "%s", why.msg);
            break;
        }
        if (num_ended == num_submitted) break;
        wait_for_news(b);
        vmt_status status = take_news(b, run, err);
        if (failed == VMT_OK) failed = status;
        num_ended += reap(jobs, num_submitted, run);
    }
    run->seconds = (double)(vmt_clock_ns() - started) * 1e-9;
    return failed;
}

vmt_status vmt_bench_engine_run(vmt_bench_engine *b, const vmt_bench_dataset *dataset, uint32_t n,
                                vmt_bench_run *out, vmt_err *err) {
    *out = (vmt_bench_run){0};
    struct job *jobs = calloc(dataset->num, sizeof *jobs);
    if (jobs == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for %u requests", dataset->num);
    vmt_status status = VMT_OK;
    for (uint32_t i = 0; i < dataset->num && status == VMT_OK; i++) {
        status = create_job(b, &dataset->prompts[i], n, &jobs[i], err);
    }
    if (status == VMT_OK) status = drive(b, jobs, dataset->num, out, err);
    for (uint32_t i = 0; i < dataset->num; i++) {
        if (jobs[i].gen != NULL) vmt_generation_destroy(jobs[i].gen);
        vmt_arena_destroy(jobs[i].arena);
    }
    free(jobs);
    return status;
}
