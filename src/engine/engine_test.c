/* engine/engine_test.c: the whole engine over a fake model: exact tokens, ends, pauses, errors.
 *
 * The fake model's greedy token is a pure function of all tokens before it, so every text is known beforehand. */
#include "engine/engine.h"
#include "base/clock.h"
#include "base/rng.h"
#include "base/test.h"
#include "engine/fake_runner.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* ---- a rig: fake model, engine, and this thread as the consumer */

#define VOCAB    97u
#define GENS_MAX 300u
#define TEXT_MAX 512u

struct text {
    int32_t tokens[TEXT_MAX];
    float logprobs[TEXT_MAX];
    uint32_t ranks[TEXT_MAX];
    uint32_t len, num_ends;
    vmt_finish finish;
    int32_t stop_token_id;
};

struct rig {
    vmt_test *t;
    vmt_fake_runner_config fake_config;
    vmt_engine_config config;
    vmt_fake_runner *fake;
    vmt_engine *engine;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t num_wakes;
    vmt_generation *gens[GENS_MAX];
    struct text *texts[GENS_MAX]; /* [n] */
    bool is_slow[GENS_MAX];       /* not read until told */
    uint32_t num_gens;
};

static void on_progress(void *ctx) {
    struct rig *rig = ctx;
    pthread_mutex_lock(&rig->lock);
    rig->num_wakes++;
    pthread_cond_signal(&rig->changed);
    pthread_mutex_unlock(&rig->lock);
}

static const int32_t eos_ids[1] = {3};

/* Every case runs twice: over a model on the CPU, and over a device that runs a step ahead of what the host knows. */
static bool is_device;

static struct rig *rig_of(vmt_test *t) {
    struct rig *rig = VMT_ARENA_NEW(t->arena, struct rig, 1);
    rig->t = t;
    rig->fake_config =
        (vmt_fake_runner_config){.vocab = VOCAB, .max_model_len = 512, .peak = 5, .is_device = is_device};
    rig->config = (vmt_engine_config){
        .sched = {.num_blocks = 400,
                  .block_size = 16,
                  .max_num_seqs = 8,
                  .max_num_batched_tokens = 64,
                  .max_model_len = 400,
                  .enable_prefix_caching = true,
                  .enable_chunked_prefill = true,
                  .hash_key = {1, 2}},
        .waiting_max = 1000,
        .eos_ids = eos_ids,
        .num_eos_ids = 0,
        .on_progress = on_progress,
        .on_progress_ctx = rig,
    };
    pthread_mutex_init(&rig->lock, NULL);
    pthread_cond_init(&rig->changed, NULL);
    return rig;
}

static void open_rig(struct rig *rig) {
    vmt_sched_config *c = &rig->config.sched;
    rig->fake_config.num_blocks = c->num_blocks;
    rig->fake_config.block_size = c->block_size;
    rig->fake_config.num_logits_max = c->max_num_seqs + VMT_PROMPT_LOGIT_ROWS;
    vmt_err err = {0};
    vmt_expect_eq(rig->t, vmt_fake_runner_create(&rig->fake, &rig->fake_config, &err), VMT_OK);
    vmt_expect_eq(rig->t, vmt_engine_create(&rig->engine, &rig->config, vmt_fake_runner_face(rig->fake), &err),
                  VMT_OK);
}

static void start_rig(struct rig *rig) {
    vmt_err err = {0};
    vmt_expect_eq(rig->t, vmt_engine_start(rig->engine, &err), VMT_OK);
}

static void close_rig(struct rig *rig) {
    vmt_engine_stop(rig->engine);
    vmt_sched_stats stats = vmt_engine_get_stats(rig->engine).sched;
    vmt_expect_eq(rig->t, stats.num_blocks_used + stats.num_running + stats.num_waiting, 0);
    for (uint32_t i = 0; i < rig->num_gens; i++) {
        vmt_expect(rig->t, vmt_generation_ended(rig->gens[i]));
        vmt_generation_destroy(rig->gens[i]);
    }
    vmt_engine_destroy(rig->engine);
    vmt_fake_runner_destroy(rig->fake);
    pthread_cond_destroy(&rig->changed);
    pthread_mutex_destroy(&rig->lock);
}

static vmt_generation_params params_of(struct rig *rig, uint32_t num_prompt, int32_t first) {
    int32_t *prompt = VMT_ARENA_NEW(rig->t->arena, int32_t, num_prompt);
    for (uint32_t i = 0; i < num_prompt; i++) prompt[i] = (first + (int32_t)(i * i)) % (int32_t)VOCAB;
    vmt_generation_params p = {.prompt = prompt, .num_prompt = num_prompt, .n = 1};
    p.sampling = vmt_sampling_default();
    p.sampling.temperature = 0;
    p.sampling.max_tokens = 20;
    return p;
}

static uint32_t create(struct rig *rig, vmt_generation_params p) {
    vmt_err err = {0};
    uint32_t i = rig->num_gens++;
    p.user = (void *)(uintptr_t)i;
    vmt_status status = vmt_generation_create(&rig->gens[i], rig->engine, &p, rig->t->arena, &err);
    if (status != VMT_OK) vmt_test_fail(rig->t, __FILE__, __LINE__, "%s", err.msg);
    rig->texts[i] = VMT_ARENA_NEW(rig->t->arena, struct text, p.n);
    return i;
}

static uint32_t submit(struct rig *rig, vmt_generation_params p) {
    vmt_err err = {0};
    uint32_t i = create(rig, p);
    vmt_expect_eq(rig->t, vmt_engine_submit(rig->engine, rig->gens[i], &err), VMT_OK);
    return i;
}

static void read_generation(struct rig *rig, uint32_t i) {
    vmt_generation *gen = rig->gens[i];
    for (uint32_t k = 0; k < vmt_generation_n(gen); k++) {
        struct text *text = &rig->texts[i][k];
        vmt_output_token token;
        while (vmt_generation_next(gen, k, &token)) {
            vmt_expect(rig->t, text->finish == VMT_FINISH_NONE && text->len < TEXT_MAX);
            text->logprobs[text->len] = token.logprob;
            text->ranks[text->len] = token.rank;
            text->tokens[text->len++] = token.token_id;
        }
        if (text->finish != VMT_FINISH_NONE) continue;
        text->finish = vmt_generation_finish(gen, k, &text->stop_token_id);
        text->num_ends += text->finish != VMT_FINISH_NONE;
    }
}

/* Reads whatever has news; waits for some if there is none. */
static void read_some(struct rig *rig) {
    vmt_generation *gen = vmt_engine_take_ready(rig->engine);
    if (!gen) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 20;
        pthread_mutex_lock(&rig->lock);
        int rc = 0;
        while (rig->num_wakes == 0 && rc == 0) rc = pthread_cond_timedwait(&rig->changed, &rig->lock, &until);
        rig->num_wakes = 0;
        pthread_mutex_unlock(&rig->lock);
        if (rc != 0) vmt_test_fail(rig->t, __FILE__, __LINE__, "no news for 20 seconds");
        gen = vmt_engine_take_ready(rig->engine);
    }
    for (; gen; gen = vmt_engine_take_ready(rig->engine)) {
        uint32_t i = (uint32_t)(uintptr_t)vmt_generation_user(gen);
        if (!rig->is_slow[i]) read_generation(rig, i);
    }
}

static void read_until_ended(struct rig *rig, uint32_t i) {
    while (!vmt_generation_ended(rig->gens[i])) read_some(rig);
    read_generation(rig, i);
}

static void read_all(struct rig *rig) {
    for (uint32_t i = 0; i < rig->num_gens; i++) read_until_ended(rig, i);
}

/* A sequence's text is what greedy decoding of the prompt leads to. */
static void expect_greedy(struct rig *rig, const vmt_generation_params *p, const struct text *text) {
    int32_t tokens[TEXT_MAX * 2];
    uint32_t n = p->num_prompt;
    memcpy(tokens, p->prompt, n * sizeof *tokens);
    for (uint32_t i = 0; i < text->len; i++) {
        tokens[n] = vmt_fake_next(&rig->fake_config, tokens, n);
        vmt_expect_eq(rig->t, text->tokens[i], tokens[n]);
        n++;
    }
    vmt_expect(rig->t, text->num_ends <= 1);
}

/* ---- cases */

static void gives_exact_tokens_from_a_tiny_pool(vmt_test *t) {
    struct rig *rig = rig_of(t);
    rig->config.sched.num_blocks = 30; /* far too few for eight at once */
    rig->config.sched.max_model_len = 300;
    open_rig(rig);
    start_rig(rig);
    vmt_generation_params p[40];
    for (int i = 0; i < 40; i++) {
        p[i] = params_of(rig, 10 + (uint32_t)(i * 37) % 150, i % 5);
        p[i].sampling.max_tokens = 1 + (uint32_t)(i * 13) % 90;
        submit(rig, p[i]);
    }
    read_all(rig);
    for (uint32_t i = 0; i < 40; i++) {
        const struct text *text = rig->texts[i];
        expect_greedy(rig, &p[i], text);
        vmt_expect_eq(t, text->len, p[i].sampling.max_tokens);
        vmt_expect_eq(t, text->finish, VMT_FINISH_LENGTH);
        vmt_generation_stats stats = vmt_generation_get_stats(rig->gens[i]);
        vmt_expect(t, stats.submitted_ns <= stats.scheduled_ns && stats.scheduled_ns <= stats.first_token_ns);
        vmt_expect(t, stats.first_token_ns <= stats.last_token_ns);
    }
    vmt_engine_stats stats = vmt_engine_get_stats(rig->engine);
    vmt_expect(t, stats.sched.num_preemptions > 0 && stats.sched.prefix_hit_tokens > 0);
    close_rig(rig);
}

static void ends_at_stop_ids_and_the_context(vmt_test *t) {
    struct rig *rig = rig_of(t);
    rig->config.num_eos_ids = 0;
    open_rig(rig);
    start_rig(rig);
    vmt_generation_params p = params_of(rig, 7, 1);
    p.sampling.max_tokens = 200;
    uint32_t whole = submit(rig, p);
    read_all(rig);
    const struct text *text = rig->texts[whole];
    /* The third token as a stop id ends the text there, unless the same id came before. */
    int32_t stop = text->tokens[2];
    uint32_t first = 0;
    while (text->tokens[first] != stop) first++;
    p.sampling.stop_token_ids = &stop;
    p.sampling.num_stop_token_ids = 1;
    uint32_t stopped = submit(rig, p);
    p.sampling.min_tokens = 10; /* bans the id: greedy takes another */
    uint32_t later = submit(rig, p);
    p = params_of(rig, 390, 1);
    p.sampling.max_tokens = 4000;
    uint32_t full = submit(rig, p);
    read_all(rig);
    vmt_expect_eq(t, rig->texts[stopped]->len, first + 1);
    vmt_expect_eq(t, rig->texts[stopped]->tokens[first], stop);
    vmt_expect_eq(t, rig->texts[stopped]->finish, VMT_FINISH_STOP);
    vmt_expect_eq(t, rig->texts[stopped]->stop_token_id, stop);
    vmt_expect(t, rig->texts[later]->len >= 10);
    for (uint32_t i = 0; i < 10; i++) vmt_expect(t, rig->texts[later]->tokens[i] != stop);
    vmt_expect_eq(t, rig->texts[full]->len, 10);
    vmt_expect_eq(t, rig->texts[full]->finish, VMT_FINISH_LENGTH);
    close_rig(rig);
}

static void ends_at_the_end_of_sequence_unless_ignored(vmt_test *t) {
    struct rig *rig = rig_of(t);
    rig->config.num_eos_ids = 1;
    open_rig(rig);
    start_rig(rig);
    vmt_generation_params p = params_of(rig, 9, 4);
    p.sampling.max_tokens = 380;
    uint32_t ended = submit(rig, p);
    p.sampling.ignore_eos = true;
    uint32_t ignored = submit(rig, p);
    read_all(rig);
    const struct text *a = rig->texts[ended], *b = rig->texts[ignored];
    vmt_expect_eq(t, b->len, 380);
    uint32_t first = 0;
    while (first < b->len && b->tokens[first] != eos_ids[0]) first++;
    vmt_expect(t, first < b->len);
    vmt_expect_eq(t, a->len, first + 1);
    vmt_expect_eq(t, a->finish, VMT_FINISH_STOP);
    vmt_expect_eq(t, a->stop_token_id, -1);
    close_rig(rig);
}

static void seeds_decide_alone_or_in_a_batch(vmt_test *t) {
    struct text alone[4] = {0};
    for (int round = 0; round < 2; round++) {
        struct rig *rig = rig_of(t);
        rig->fake_config.peak = 1; /* nearly flat */
        open_rig(rig);
        start_rig(rig);
        for (int i = 0; round == 1 && i < 20; i++) {
            vmt_generation_params other = params_of(rig, 5 + (uint32_t)i, i);
            other.sampling.temperature = 1;
            other.sampling.max_tokens = 30 + (uint32_t)i;
            submit(rig, other);
        }
        vmt_generation_params p = params_of(rig, 33, 2);
        p.n = 4;
        p.sampling.temperature = 0.8f;
        p.sampling.top_p = 0.9f;
        p.sampling.has_seed = true;
        p.sampling.seed = 1234;
        p.sampling.frequency_penalty = 0.3f;
        p.sampling.max_tokens = 60;
        uint32_t i = submit(rig, p);
        read_all(rig);
        for (int k = 0; k < 4; k++) {
            vmt_expect_eq(t, rig->texts[i][k].len, 60);
            if (round == 0) alone[k] = rig->texts[i][k];
            vmt_expect(t, memcmp(alone[k].tokens, rig->texts[i][k].tokens, 60 * sizeof(int32_t)) == 0);
            for (int j = 0; j < k; j++) {
                vmt_expect(t, memcmp(alone[k].tokens, alone[j].tokens, 60 * sizeof(int32_t)) != 0);
            }
        }
        close_rig(rig);
    }
}

static void forks_give_the_same_greedy_text(vmt_test *t) {
    struct rig *rig = rig_of(t);
    rig->config.sched.enable_prefix_caching = false;
    open_rig(rig);
    start_rig(rig);
    vmt_generation_params p = params_of(rig, 120, 2);
    p.n = 12; /* more than there are seats */
    submit(rig, p);
    read_all(rig);
    for (uint32_t k = 0; k < 12; k++) {
        expect_greedy(rig, &p, &rig->texts[0][k]);
        vmt_expect_eq(t, rig->texts[0][k].len, 20);
    }
    close_rig(rig);
}

static void a_slow_reader_pauses_itself_alone(vmt_test *t) {
    struct rig *rig = rig_of(t);
    rig->config.sched.max_model_len = 512;
    rig->config.sched.max_num_seqs = 2;
    open_rig(rig);
    start_rig(rig);
    vmt_generation_params slow = params_of(rig, 4, 1);
    slow.sampling.max_tokens = 500;
    rig->is_slow[submit(rig, slow)] = true;
    vmt_generation_params p = params_of(rig, 4, 2);
    p.sampling.max_tokens = 500;
    for (int i = 0; i < 3; i++) submit(rig, p);
    for (uint32_t i = 1; i < 4; i++) read_until_ended(rig, i);
    vmt_expect_eq(t, vmt_generation_pending(rig->gens[0], 0), VMT_OUTPUT_RING);
    vmt_expect(t, !vmt_generation_ended(rig->gens[0]));
    rig->is_slow[0] = false;
    while (!vmt_generation_ended(rig->gens[0])) { /* wakes the engine without news of its own */
        read_generation(rig, 0);
        usleep(100);
    }
    read_generation(rig, 0);
    vmt_expect_eq(t, rig->texts[0]->len, 500);
    expect_greedy(rig, &slow, rig->texts[0]);
    for (uint32_t i = 1; i < 4; i++) expect_greedy(rig, &p, rig->texts[i]);
    close_rig(rig);
}

static void a_full_queue_is_an_answer(vmt_test *t) {
    struct rig *rig = rig_of(t);
    rig->config.sched.max_num_seqs = 2;
    rig->config.waiting_max = 3;
    open_rig(rig); /* not started: nothing ends */
    vmt_generation_params p = params_of(rig, 4, 1);
    p.n = 2;
    submit(rig, p);
    submit(rig, p);
    vmt_err err = {0};
    uint32_t refused = create(rig, p);
    vmt_expect_eq(t, vmt_engine_submit(rig->engine, rig->gens[refused], &err), VMT_E_EXHAUSTED);
    vmt_expect_str(t, err.msg, "the queue is full: 4 sequences run or wait, 2 came, the limit is 5");
    vmt_generation_destroy(rig->gens[refused]);
    rig->num_gens--;
    p.n = 1;
    submit(rig, p);
    close_rig(rig);
    for (uint32_t i = 0; i < 3; i++) vmt_expect_eq(t, rig->texts[i]->len, 0);
}

static void stop_ends_everything(vmt_test *t) {
    struct rig *rig = rig_of(t);
    rig->fake_config.forward_ns = 100000;
    open_rig(rig);
    start_rig(rig);
    vmt_generation_params p = params_of(rig, 50, 1);
    p.sampling.max_tokens = 300;
    for (int i = 0; i < 20; i++) submit(rig, p);
    read_some(rig);
    vmt_engine_stop(rig->engine);
    for (uint32_t i = 0; i < 20; i++) {
        vmt_expect(t, vmt_generation_ended(rig->gens[i]));
        read_generation(rig, i);
        vmt_expect(t, rig->texts[i]->finish == VMT_FINISH_ABORT || rig->texts[i]->len == 300);
        expect_greedy(rig, &p, rig->texts[i]);
    }
    vmt_err err = {0};
    uint32_t late = create(rig, p);
    vmt_expect_eq(t, vmt_engine_submit(rig->engine, rig->gens[late], &err), VMT_E_CANCELLED);
    vmt_generation_destroy(rig->gens[late]);
    rig->num_gens--;
    close_rig(rig);
}

static void cancelled_at_any_time_ends_once(vmt_test *t) {
    uint64_t rng = t->seed;
    struct rig *rig = rig_of(t);
    rig->config.sched.num_blocks = 40;
    rig->config.sched.max_model_len = 300;
    open_rig(rig);
    start_rig(rig);
    vmt_generation_params p[200];
    for (uint32_t i = 0; i < 200; i++) {
        p[i] = params_of(rig, 1 + (uint32_t)(vmt_splitmix64(&rng) % 100), (int32_t)(vmt_splitmix64(&rng) % 3));
        p[i].n = 1 + (uint32_t)(vmt_splitmix64(&rng) % 3);
        p[i].sampling.max_tokens = 1 + (uint32_t)(vmt_splitmix64(&rng) % 60);
        submit(rig, p[i]);
        uint32_t victim = (uint32_t)(vmt_splitmix64(&rng) % (i + 1));
        uint64_t how = vmt_splitmix64(&rng) % 6;
        if (how < 3) vmt_engine_cancel(rig->engine, rig->gens[victim], -1);
        if (how == 3) vmt_engine_cancel(rig->engine, rig->gens[victim], (int32_t)(p[victim].n - 1));
        if (how == 4) read_some(rig);
        if (how == 5) usleep((useconds_t)(vmt_splitmix64(&rng) % 200));
    }
    read_all(rig);
    for (uint32_t i = 0; i < 200; i++) {
        for (uint32_t k = 0; k < p[i].n; k++) {
            const struct text *text = &rig->texts[i][k];
            expect_greedy(rig, &p[i], text);
            vmt_expect_eq(t, text->num_ends, 1);
            vmt_expect(t, text->finish == VMT_FINISH_ABORT || text->len == p[i].sampling.max_tokens);
        }
    }
    close_rig(rig);
}

static void lower_priority_numbers_come_first(vmt_test *t) {
    struct rig *rig = rig_of(t);
    rig->config.sched.policy = VMT_SCHED_PRIORITY;
    rig->config.sched.max_num_seqs = 1;
    open_rig(rig);
    for (int i = 0; i < 5; i++) {
        vmt_generation_params p = params_of(rig, 5, i);
        p.priority = (i * 3) % 5; /* 0 3 1 4 2 */
        submit(rig, p);
    }
    start_rig(rig);
    read_all(rig);
    static const uint32_t order[5] = {0, 2, 4, 1, 3};
    for (int i = 1; i < 5; i++) {
        vmt_expect(t, vmt_generation_get_stats(rig->gens[order[i - 1]]).last_token_ns <
                          vmt_generation_get_stats(rig->gens[order[i]]).first_token_ns);
    }
    close_rig(rig);
}

static double naive_logprob(const float *row, int32_t token_id, uint32_t *rank) {
    double sum = 0;
    *rank = 1;
    for (uint32_t i = 0; i < VOCAB; i++) {
        sum += exp((double)row[i]);
        *rank += row[i] > row[token_id];
    }
    return (double)row[token_id] - log(sum);
}

static void scores_prompt_and_output(vmt_test *t) {
    struct rig *rig = rig_of(t);
    rig->config.sched.max_num_logit_rows = 13; /* the prompt goes in pieces */
    open_rig(rig);
    start_rig(rig);
    vmt_generation_params p = params_of(rig, 70, 3);
    submit(rig, p); /* warms the prefix cache, which scores must not use */
    read_all(rig);
    p.sampling.num_prompt_logprobs = 3;
    p.sampling.num_logprobs = 2;
    p.n = 2;
    uint32_t both = submit(rig, p);
    p.n = 3;
    p.echo_only = true;
    p.sampling.max_tokens = 0;
    uint32_t echo = submit(rig, p);
    read_all(rig);
    float row[VOCAB];
    uint32_t rank;
    for (uint32_t position = 1; position < 70; position++) {
        vmt_output_token a, b;
        vmt_expect(t, vmt_generation_prompt_logprob(rig->gens[both], position, &a));
        vmt_expect(t, vmt_generation_prompt_logprob(rig->gens[echo], position, &b));
        vmt_fake_row(rig->fake, p.prompt, position, row);
        double want = naive_logprob(row, p.prompt[position], &rank);
        vmt_expect_eq(t, a.token_id, p.prompt[position]);
        vmt_expect_near(t, a.logprob, want, 1e-5);
        vmt_expect_near(t, b.logprob, want, 1e-5);
        vmt_expect_eq(t, a.rank, rank);
        vmt_expect_eq(t, a.num_top, 3);
        vmt_expect_eq(t, a.top[0].token_id, vmt_fake_next(&rig->fake_config, p.prompt, position));
        vmt_expect(t, a.top[0].logprob >= a.top[1].logprob && a.top[1].logprob >= a.top[2].logprob);
    }
    for (uint32_t k = 0; k < 3; k++) {
        vmt_expect_eq(t, rig->texts[echo][k].len, 0);
        vmt_expect_eq(t, rig->texts[echo][k].finish, VMT_FINISH_LENGTH);
    }
    const struct text *text = &rig->texts[both][1];
    vmt_fake_row(rig->fake, p.prompt, 70, row);
    vmt_expect_near(t, text->logprobs[0], naive_logprob(row, text->tokens[0], &rank), 1e-5);
    vmt_expect_eq(t, text->ranks[0], 1);
    close_rig(rig);
}

static void a_failed_step_fails_its_batch_alone(vmt_test *t) {
    struct rig *rig = rig_of(t);
    rig->config.sched.max_num_seqs = 1;
    rig->fake_config.forward_ns = 2000000; /* all are submitted before the model is gone for good */
    open_rig(rig);
    vmt_fake_runner_fail(rig->fake, 2);
    vmt_generation_params p = params_of(rig, 40, 3);
    for (int i = 0; i < 4; i++) submit(rig, p);
    start_rig(rig);
    read_all(rig);
    for (uint32_t i = 0; i < 2; i++) {
        vmt_expect_eq(t, rig->texts[i]->finish, VMT_FINISH_ERROR);
        vmt_expect_str(t, vmt_generation_error(rig->gens[i]), "the fake model failed as it was told");
    }
    for (uint32_t i = 2; i < 4; i++) {
        vmt_expect_eq(t, rig->texts[i]->len, 20); /* and no block of the failed steps was taken for a hit */
        expect_greedy(rig, &p, rig->texts[i]);
    }
    vmt_expect(t, !vmt_engine_get_stats(rig->engine).is_dead);
    vmt_fake_runner_fail(rig->fake, 1000);
    for (int i = 0; i < 6; i++) submit(rig, p);
    read_all(rig);
    for (uint32_t i = 4; i < 10; i++) vmt_expect_eq(t, rig->texts[i]->finish, VMT_FINISH_ERROR);
    vmt_expect(t, vmt_engine_get_stats(rig->engine).is_dead);
    vmt_err err = {0};
    uint32_t late = create(rig, p);
    vmt_expect_eq(t, vmt_engine_submit(rig->engine, rig->gens[late], &err), VMT_E_INTERNAL);
    vmt_generation_destroy(rig->gens[late]);
    rig->num_gens--;
    close_rig(rig);
}

static void decodes_256_sequences_at_once(vmt_test *t) {
    struct rig *rig = rig_of(t);
    rig->config.sched.max_num_seqs = 256;
    rig->config.sched.max_num_batched_tokens = 512;
    rig->config.sched.num_blocks = 4000;
    open_rig(rig);
    start_rig(rig);
    vmt_generation_params p[256];
    for (int i = 0; i < 256; i++) {
        p[i] = params_of(rig, 20, i);
        p[i].sampling.max_tokens = 100;
        submit(rig, p[i]);
    }
    read_all(rig);
    for (uint32_t i = 0; i < 256; i++) {
        expect_greedy(rig, &p[i], rig->texts[i]);
        vmt_expect_eq(t, rig->texts[i]->len, 100);
    }
    vmt_engine_stats stats = vmt_engine_get_stats(rig->engine);
    vmt_expect_eq(t, stats.num_generated_tokens, 25600);
    vmt_expect_eq(t, stats.num_prompt_tokens, 256 * 20);
    vmt_expect(t, stats.num_steps >= 100);
    close_rig(rig);
}

static void names_the_rule_that_was_broken(vmt_test *t) {
    struct rig *rig = rig_of(t);
    open_rig(rig);
    vmt_generation_params good = params_of(rig, 10, 1);
    static const int32_t beyond = VOCAB;
    vmt_generation_params bad[8];
    for (int i = 0; i < 8; i++) bad[i] = good;
    bad[0].num_prompt = 400;
    bad[0].prompt = params_of(rig, 400, 1).prompt;
    bad[1].prompt = &beyond;
    bad[1].num_prompt = 1;
    bad[2].n = 0;
    bad[3].sampling.top_p = 0;
    bad[4].sampling.temperature = NAN;
    bad[5].sampling.min_tokens = 21;
    bad[6].sampling.allowed_token_ids = &beyond;
    bad[6].sampling.num_allowed_token_ids = 1;
    bad[7].sampling.max_tokens = 0;
    static const struct {
        const char *param, *msg;
    } want[8] = {
        {"prompt", "the prompt is 400 tokens, the model's context is 400 with the answer"},
        {"prompt", "token id 97 is not in the vocabulary of 97"},
        {"n", "n is 0, it must be 1 to 128"},
        {"top_p", "top_p is 0, it must be above 0 and at most 1"},
        {"temperature", "temperature is nan, it must be at least 0 and at most 1e+30"},
        {"min_tokens", "min_tokens is 21, more than max_tokens, 20"},
        {"allowed_token_ids", "token id 97 is not in the vocabulary of 97"},
        {"max_tokens", "max_tokens is 0, it must be at least 1"},
    };
    for (int i = 0; i < 8; i++) {
        vmt_generation *gen;
        vmt_err err = {0};
        vmt_expect_eq(t, vmt_generation_create(&gen, rig->engine, &bad[i], t->arena, &err), VMT_E_INVALID);
        vmt_expect_str(t, err.param, want[i].param);
        vmt_expect_str(t, err.msg, want[i].msg);
    }
    vmt_arena *small = vmt_arena_create(100);
    vmt_generation *gen;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_generation_create(&gen, rig->engine, &good, small, &err), VMT_E_NO_MEMORY);
    vmt_arena_destroy(small);
    close_rig(rig);
}

static void whole_vocabularies_fit_through_the_ring(vmt_test *t) {
    struct rig *rig = rig_of(t);
    open_rig(rig);
    start_rig(rig);
    vmt_generation_params p = params_of(rig, 10, 1);
    p.sampling.num_logprobs = INT32_MAX;
    p.sampling.max_tokens = 300;
    uint32_t i = submit(rig, p);
    rig->is_slow[i] = true;
    uint32_t len = 0;
    vmt_output_token token;
    while (!vmt_generation_ended(rig->gens[i]) || vmt_generation_pending(rig->gens[i], 0) > 0) {
        if (!vmt_generation_next(rig->gens[i], 0, &token)) {
            usleep(50);
            continue;
        }
        len++;
        double sum = 0;
        vmt_expect_eq(t, token.num_top, VOCAB);
        for (uint32_t k = 0; k < VOCAB; k++) sum += exp((double)token.top[k].logprob);
        vmt_expect_near(t, sum, 1, 1e-4);
        vmt_expect_eq(t, token.top[0].token_id, token.token_id);
    }
    vmt_expect_eq(t, len, 300);
    close_rig(rig);
}

static void an_ended_generation_is_let_go_of(vmt_test *t) {
    uint64_t rng = t->seed;
    struct rig *rig = rig_of(t);
    open_rig(rig);
    start_rig(rig);
    vmt_generation_params p = params_of(rig, 20, 1);
    for (uint32_t i = 0; i < 300; i++) {
        vmt_err err = {0};
        vmt_generation *gen;
        vmt_arena *arena = vmt_arena_create(1 << 20);
        p.sampling.max_tokens = 1 + i % 5;
        vmt_expect_eq(t, vmt_generation_create(&gen, rig->engine, &p, arena, &err), VMT_OK);
        vmt_expect_eq(t, vmt_engine_submit(rig->engine, gen, &err), VMT_OK);
        /* A note may come in while the generation ends; its memory goes at once, and so would the engine's peace. */
        while (!vmt_generation_ended(gen)) {
            if (i % 2) vmt_engine_cancel(rig->engine, gen, (int32_t)(vmt_splitmix64(&rng) % 2) - 1);
        }
        vmt_engine_cancel(rig->engine, gen, -1);
        vmt_generation_destroy(gen);
        vmt_arena_destroy(arena);
    }
    vmt_expect(t, vmt_engine_take_ready(rig->engine) == NULL);
    close_rig(rig);
}

static void forgets_prefixes_when_told(vmt_test *t) {
    struct rig *rig = rig_of(t);
    open_rig(rig);
    start_rig(rig);
    vmt_generation_params p = params_of(rig, 50, 1);
    static const uint32_t want[3] = {0, 48, 0};
    for (uint32_t i = 0; i < 3; i++) {
        if (i == 2) vmt_engine_reset_prefix_cache(rig->engine);
        submit(rig, p);
        read_all(rig);
        vmt_expect_eq(t, vmt_generation_get_stats(rig->gens[i]).num_cached_tokens, want[i]);
    }
    close_rig(rig);
}

/* ---- constraints */

/* Allows multiples of `step`, ends after len_max tokens, and fails when told to. */
struct toy {
    uint32_t step, len_max, len, fail_at;
    bool allows_nothing, is_free, refuses;
    uint32_t num_masks, num_forced_each, num_forced;
};

static vmt_status toy_mask(void *self, uint32_t *bits, uint32_t num_words, bool *is_free, vmt_err *err) {
    struct toy *toy = self;
    toy->num_masks++;
    if (toy->fail_at > 0 && toy->len == toy->fail_at) return vmt_fail(err, VMT_E_EXHAUSTED, "the toy is tired");
    *is_free = toy->is_free;
    if (toy->is_free) return VMT_OK;
    memset(bits, 0, num_words * sizeof *bits);
    for (uint32_t id = 0; id < num_words * 32 && !toy->allows_nothing; id += toy->step) {
        bits[id / 32] |= (uint32_t)1 << (id % 32);
    }
    return VMT_OK;
}

static vmt_status toy_accept(void *self, int32_t token_id, vmt_err *err) {
    struct toy *toy = self;
    if (toy->refuses) return vmt_fail(err, VMT_E_INVALID, "the toy refuses %d", token_id);
    toy->len++;
    return VMT_OK;
}

static bool toy_is_ended(const void *self) {
    const struct toy *toy = self;
    return toy->len >= toy->len_max;
}

/* After each token, so many of `step`, until len_max. */
static uint32_t toy_forced(void *self, int32_t *ids, uint32_t num_max) {
    struct toy *toy = self;
    uint32_t n = VMT_MIN(VMT_MIN(toy->num_forced_each, num_max), toy->len_max - VMT_MIN(toy->len, toy->len_max));
    for (uint32_t i = 0; i < n; i++) ids[i] = (int32_t)toy->step;
    toy->len += n;
    toy->num_forced += n;
    return n;
}

static vmt_constraint constraint_of(struct toy *toy) {
    return (vmt_constraint){toy, toy_mask, toy_accept, toy_is_ended, toy_forced};
}

static void constraints_mask_and_end_each_sequence(vmt_test *t) {
    struct rig *rig = rig_of(t);
    struct toy toys[3] = {
        {.step = 2, .len_max = 5}, {.step = 7, .len_max = 100}, {.len_max = 100, .is_free = true}};
    vmt_constraint constraints[3];
    for (int i = 0; i < 3; i++) constraints[i] = constraint_of(&toys[i]);
    rig->config.sched.num_blocks = 30; /* with preemptions: what was accepted stays so */
    rig->config.sched.max_model_len = 300;
    rig->fake_config.peak = 1;
    open_rig(rig);
    start_rig(rig);
    for (uint32_t i = 0; i < 12; i++) {
        vmt_generation_params other = params_of(rig, 60 + i, (int32_t)i);
        other.sampling.max_tokens = 60;
        submit(rig, other);
    }
    vmt_generation_params p = params_of(rig, 9, 4);
    p.n = 3;
    p.constraints = constraints;
    p.sampling.temperature = 1;
    p.sampling.min_tokens = 8; /* an end of the constraint is one all the same */
    p.sampling.num_logprobs = 1;
    uint32_t gen = submit(rig, p);
    read_all(rig);
    vmt_expect_eq(t, rig->texts[gen][0].len, 5);
    vmt_expect_eq(t, rig->texts[gen][0].finish, VMT_FINISH_STOP);
    for (uint32_t k = 0; k < 3; k++) {
        const struct text *text = &rig->texts[gen][k];
        vmt_expect_eq(t, toys[k].len, text->len);
        vmt_expect_eq(t, toys[k].num_masks, text->len);
        for (uint32_t i = 0; i < text->len && k < 2; i++)
            vmt_expect_eq(t, text->tokens[i] % (int32_t)toys[k].step, 0);
        if (k > 0) vmt_expect_eq(t, text->len, 20);
    }
    close_rig(rig);
}

static void a_mask_wins_over_other_edits(vmt_test *t) {
    struct rig *rig = rig_of(t);
    struct toy toy = {.step = 96, .len_max = 3}; /* 0 and 96 */
    vmt_constraint constraint = constraint_of(&toy);
    int32_t banned[] = {1, 2, 3};
    open_rig(rig);
    start_rig(rig);
    vmt_generation_params p = params_of(rig, 9, 4);
    p.constraints = &constraint;
    p.sampling.allowed_token_ids = banned; /* none of which the mask allows */
    p.sampling.num_allowed_token_ids = 3;
    uint32_t gen = submit(rig, p);
    read_all(rig);
    vmt_expect_eq(t, rig->texts[gen]->len, 3);
    for (uint32_t i = 0; i < 3; i++) vmt_expect_eq(t, rig->texts[gen]->tokens[i], 0);
    close_rig(rig);
}

/* Forced tokens stand in the text, cost no masks, and what follows them is what would follow if they had been sampled;
 * with preemptions, and with a reader that is late. */
static void forced_tokens_are_computed_together(vmt_test *t) {
    struct rig *rig = rig_of(t);
    struct toy toys[3] = {{.step = 3, .len_max = 40, .num_forced_each = 5},
                          {.step = 5, .len_max = 1000, .num_forced_each = 40},
                          {.step = 2, .len_max = 30, .num_forced_each = 1}};
    vmt_constraint constraints[3];
    for (int i = 0; i < 3; i++) constraints[i] = constraint_of(&toys[i]);
    rig->config.sched.num_blocks = 60;
    rig->config.sched.max_model_len = 400;
    open_rig(rig);
    start_rig(rig);
    for (uint32_t i = 0; i < 12; i++) {
        vmt_generation_params other = params_of(rig, 60 + i, (int32_t)i);
        other.sampling.max_tokens = 60;
        submit(rig, other);
    }
    vmt_generation_params p = params_of(rig, 9, 4);
    p.n = 3;
    p.constraints = constraints;
    p.sampling.temperature = 1;
    p.sampling.max_tokens = 300;
    uint32_t gen = submit(rig, p);
    read_all(rig);
    static const uint32_t wanted[] = {40, 300, 30};
    for (uint32_t k = 0; k < 3; k++) {
        const struct text *text = &rig->texts[gen][k];
        vmt_expect_eq(t, text->len, wanted[k]);
        vmt_expect_eq(t, text->finish, k == 1 ? VMT_FINISH_LENGTH : VMT_FINISH_STOP);
        vmt_expect(t, toys[k].num_forced > 0);
        vmt_expect_eq(t, toys[k].num_masks + toys[k].num_forced, text->len);
        for (uint32_t i = 0; i < text->len; i++) vmt_expect_eq(t, text->tokens[i] % (int32_t)toys[k].step, 0);
    }
    close_rig(rig);
}

static void no_tokens_are_forced_beside_logprobs(vmt_test *t) {
    struct rig *rig = rig_of(t);
    struct toy toy = {.step = 3, .len_max = 20, .num_forced_each = 5};
    vmt_constraint constraint = constraint_of(&toy);
    open_rig(rig);
    start_rig(rig);
    vmt_generation_params p = params_of(rig, 9, 4);
    p.constraints = &constraint;
    p.sampling.num_logprobs = 0;
    p.sampling.max_tokens = 30;
    uint32_t gen = submit(rig, p);
    read_all(rig);
    vmt_expect_eq(t, rig->texts[gen]->len, 20);
    vmt_expect_eq(t, toy.num_forced, 0);
    close_rig(rig);
}

static void failing_constraints_end_their_sequence(vmt_test *t) {
    struct rig *rig = rig_of(t);
    struct toy tired = {.step = 1, .len_max = 100, .fail_at = 4}, empty = {.allows_nothing = true, .len_max = 9};
    struct toy stubborn = {.step = 1, .len_max = 9, .refuses = true};
    struct toy *toys[] = {&tired, &empty, &stubborn};
    static const char *const messages[] = {"the toy is tired", "the constraint allows no token of the vocabulary",
                                           "the toy refuses"};
    static const uint32_t lens[] = {4, 0, 0};
    open_rig(rig);
    start_rig(rig);
    vmt_generation_params other = params_of(rig, 30, 2);
    uint32_t healthy = submit(rig, other);
    for (uint32_t i = 0; i < 3; i++) {
        vmt_constraint constraint = constraint_of(toys[i]);
        vmt_generation_params p = params_of(rig, 9, 4);
        p.constraints = &constraint;
        uint32_t gen = submit(rig, p);
        read_until_ended(rig, gen);
        vmt_expect_eq(t, rig->texts[gen]->finish, VMT_FINISH_ERROR);
        vmt_expect_eq(t, rig->texts[gen]->len, lens[i]);
        vmt_expect(t, strncmp(vmt_generation_error(rig->gens[gen]), messages[i], strlen(messages[i])) == 0);
    }
    read_all(rig);
    expect_greedy(rig, &other, rig->texts[healthy]);
    vmt_expect_eq(t, rig->texts[healthy]->finish, VMT_FINISH_LENGTH);
    close_rig(rig);
}

static const vmt_test_case cases[] = {
    {"gives_exact_tokens_from_a_tiny_pool", gives_exact_tokens_from_a_tiny_pool},
    {"ends_at_stop_ids_and_the_context", ends_at_stop_ids_and_the_context},
    {"ends_at_the_end_of_sequence_unless_ignored", ends_at_the_end_of_sequence_unless_ignored},
    {"seeds_decide_alone_or_in_a_batch", seeds_decide_alone_or_in_a_batch},
    {"forks_give_the_same_greedy_text", forks_give_the_same_greedy_text},
    {"a_slow_reader_pauses_itself_alone", a_slow_reader_pauses_itself_alone},
    {"a_full_queue_is_an_answer", a_full_queue_is_an_answer},
    {"stop_ends_everything", stop_ends_everything},
    {"cancelled_at_any_time_ends_once", cancelled_at_any_time_ends_once},
    {"lower_priority_numbers_come_first", lower_priority_numbers_come_first},
    {"scores_prompt_and_output", scores_prompt_and_output},
    {"a_failed_step_fails_its_batch_alone", a_failed_step_fails_its_batch_alone},
    {"decodes_256_sequences_at_once", decodes_256_sequences_at_once},
    {"names_the_rule_that_was_broken", names_the_rule_that_was_broken},
    {"whole_vocabularies_fit_through_the_ring", whole_vocabularies_fit_through_the_ring},
    {"an_ended_generation_is_let_go_of", an_ended_generation_is_let_go_of},
    {"forgets_prefixes_when_told", forgets_prefixes_when_told},
    {"constraints_mask_and_end_each_sequence", constraints_mask_and_end_each_sequence},
    {"a_mask_wins_over_other_edits", a_mask_wins_over_other_edits},
    {"forced_tokens_are_computed_together", forced_tokens_are_computed_together},
    {"no_tokens_are_forced_beside_logprobs", no_tokens_are_forced_beside_logprobs},
    {"failing_constraints_end_their_sequence", failing_constraints_end_their_sequence},
    {NULL, NULL},
};

int main(int argc, char **argv) {
    int rc = vmt_test_run(__FILE__, cases, argc, argv);
    is_device = true;
    return vmt_test_run(__FILE__, cases, argc, argv) | rc;
}
