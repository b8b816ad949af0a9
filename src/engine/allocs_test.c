/* engine/allocs_test.c: a step of 256 running sequences, sampled in every way there is, allocates nothing outside the
 * model: neither over one on the CPU nor over a device that runs ahead. */
#include "base/test.h"
#include "base/test_allocs.h"
#include "engine/engine.h"
#include "engine/fake_runner.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define VOCAB      97u
#define NUM_SEQS   256u
#define NUM_PROMPT 20u
#define NUM_TOKENS 100u

/* ---- a model whose own allocations don't count */

static vmt_runner model;
static _Thread_local uint64_t num_of_model;
static bool is_leaky; /* and one more each step, that does */

static uint64_t count_outside_model(void) {
    return vmt_test_num_allocs() - num_of_model;
}

static void allocate_one(void) {
    void *volatile memory = malloc(1); /* volatile: or the pair goes away */
    free(memory);
}

static vmt_status forward(void *self, const vmt_batch *batch, float **logits, vmt_err *err) {
    uint64_t num_before = vmt_test_num_allocs();
    vmt_status status = model.forward(self, batch, logits, err);
    num_of_model += vmt_test_num_allocs() - num_before;
    if (is_leaky) allocate_one();
    return status;
}

static vmt_status launch(void *self, const vmt_batch *batch, const vmt_sample_batch *samples, vmt_err *err) {
    uint64_t num_before = vmt_test_num_allocs();
    vmt_status status = model.launch(self, batch, samples, err);
    num_of_model += vmt_test_num_allocs() - num_before;
    if (is_leaky) allocate_one();
    return status;
}

/* ---- a constraint that lets even ids pass */

static vmt_status mask_odd(void *self, uint32_t *bits, uint32_t num_words, bool *is_free, vmt_err *err) {
    (void)self;
    (void)err;
    for (uint32_t i = 0; i < num_words; i++) bits[i] = 0x55555555;
    *is_free = false;
    return VMT_OK;
}

static vmt_status accept_even(void *self, int32_t token_id, vmt_err *err) {
    (void)self;
    return token_id % 2 == 0 ? VMT_OK : vmt_fail(err, VMT_E_INVALID, "%d is odd", token_id);
}

static bool is_never_ended(const void *self) {
    (void)self;
    return false;
}

/* ---- ways to sample */

static const int32_t allowed[] = {1, 2, 3, 5, 8, 13, 21, 34, 55, 89}, unlikely[] = {4, 6};
static const vmt_logit_bias biases[] = {{7, 2.0f}, {9, -3.0f}};
static const vmt_token_run bad_words[] = {{unlikely, 2}};
static const vmt_constraint even = {NULL, mask_odd, accept_even, is_never_ended, NULL};

static const struct way {
    vmt_sampling sampling;
    bool is_constrained;
} ways[] = {
    {{.temperature = 0}, false},
    {{.temperature = 1, .has_seed = true, .seed = 11}, false},
    {{.temperature = 0.7f, .top_k = 20}, false},
    {{.temperature = 1, .top_p = 0.9f}, false},
    {{.temperature = 1, .min_p = 0.1f, .num_logprobs = 5}, false},
    {{.temperature = 0, .repetition_penalty = 1.2f}, false},
    {{.temperature = 1, .presence_penalty = 0.5f, .frequency_penalty = 0.25f}, false},
    {{.temperature = 1, .logit_bias = biases, .num_logit_bias = VMT_COUNT(biases)}, false},
    {{.temperature = 1, .allowed_token_ids = allowed, .num_allowed_token_ids = VMT_COUNT(allowed)}, false},
    {{.temperature = 1, .bad_words = bad_words, .num_bad_words = VMT_COUNT(bad_words)}, false},
    {{.temperature = 0, .stop_token_ids = unlikely, .num_stop_token_ids = 1, .min_tokens = NUM_TOKENS}, false},
    {{.temperature = 1}, true},
    {{.temperature = 0, .num_logprobs = INT32_MAX}, true},
};

/* ways[] says what differs from the defaults. */
static vmt_sampling sampling_of(const struct way *way) {
    vmt_sampling s = way->sampling, defaults = vmt_sampling_default();
    if (s.top_p == 0) s.top_p = defaults.top_p;
    if (s.repetition_penalty == 0) s.repetition_penalty = defaults.repetition_penalty;
    if (s.num_logprobs == 0) s.num_logprobs = defaults.num_logprobs;
    s.num_prompt_logprobs = defaults.num_prompt_logprobs;
    s.max_tokens = NUM_TOKENS;
    return s;
}

/* ---- a run: all sequences at once, this thread as the consumer */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool has_news;
} news = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};

static void on_progress(void *ctx) {
    (void)ctx;
    pthread_mutex_lock(&news.lock);
    news.has_news = true;
    pthread_cond_signal(&news.changed);
    pthread_mutex_unlock(&news.lock);
}

static void wait_for_news(vmt_test *t) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    int rc = 0;
    pthread_mutex_lock(&news.lock);
    while (!news.has_news && rc == 0) rc = pthread_cond_timedwait(&news.changed, &news.lock, &until);
    news.has_news = false;
    pthread_mutex_unlock(&news.lock);
    if (rc != 0) vmt_test_fail(t, __FILE__, __LINE__, "no news for 60 seconds");
}

static void submit(vmt_test *t, vmt_engine *engine, uint32_t i, vmt_generation **out) {
    const struct way *way = &ways[i % VMT_COUNT(ways)];
    int32_t prompt[NUM_PROMPT];
    vmt_err err = {0};
    for (uint32_t k = 0; k < NUM_PROMPT; k++) prompt[k] = (int32_t)((i + k * k) % VOCAB);
    vmt_generation_params p = {.prompt = prompt, .num_prompt = NUM_PROMPT, .n = 1, .sampling = sampling_of(way)};
    if (way->is_constrained) p.constraints = &even;
    if (vmt_generation_create(out, engine, &p, t->arena, &err) != VMT_OK ||
        vmt_engine_submit(engine, *out, &err) != VMT_OK) {
        vmt_test_fail(t, __FILE__, __LINE__, "way %u: %s", i, err.msg);
    }
}

static void read_all(vmt_test *t, vmt_engine *engine) {
    for (uint32_t num_ended = 0; num_ended < NUM_SEQS;) {
        vmt_generation *gen = vmt_engine_take_ready(engine);
        if (gen == NULL) {
            wait_for_news(t);
            continue;
        }
        vmt_output_token token;
        while (vmt_generation_next(gen, 0, &token)) {}
        int32_t stop_token_id;
        if (!vmt_generation_ended(gen)) continue;
        vmt_expect_eq(t, vmt_generation_finish(gen, 0, &stop_token_id), VMT_FINISH_LENGTH);
        num_ended++;
    }
}

/* Allocations of the engine's thread in steps in which nothing arrives or ends. */
static uint64_t count_run(vmt_test *t, bool is_device) {
    vmt_engine_config config = {
        .sched = {.num_blocks = 4000,
                  .block_size = 16,
                  .max_num_seqs = NUM_SEQS,
                  .max_num_batched_tokens = 512,
                  .max_model_len = 400,
                  .enable_prefix_caching = true,
                  .enable_chunked_prefill = true,
                  .hash_key = {1, 2}},
        .on_progress = on_progress,
        .count_allocations = count_outside_model,
    };
    vmt_fake_runner_config fake_config = {.vocab = VOCAB,
                                          .max_model_len = 512,
                                          .num_blocks = config.sched.num_blocks,
                                          .block_size = config.sched.block_size,
                                          .num_logits_max = NUM_SEQS + VMT_PROMPT_LOGIT_ROWS,
                                          .peak = 5,
                                          .is_device = is_device};
    vmt_fake_runner *fake;
    vmt_engine *engine;
    vmt_generation *gens[NUM_SEQS];
    vmt_expect_eq(t, vmt_fake_runner_create(&fake, &fake_config, NULL), VMT_OK);
    vmt_runner counted = model = vmt_fake_runner_face(fake);
    if (counted.forward) counted.forward = forward;
    if (counted.launch) counted.launch = launch;
    vmt_expect_eq(t, vmt_engine_create(&engine, &config, counted, NULL), VMT_OK);
    for (uint32_t i = 0; i < NUM_SEQS; i++) submit(t, engine, i, &gens[i]);
    vmt_expect_eq(t, vmt_engine_start(engine, NULL), VMT_OK);
    read_all(t, engine);
    vmt_engine_stop(engine);
    vmt_engine_stats stats = vmt_engine_get_stats(engine);
    vmt_expect_eq(t, stats.num_generated_tokens, NUM_SEQS * NUM_TOKENS);
    for (uint32_t i = 0; i < NUM_SEQS; i++) vmt_generation_destroy(gens[i]);
    vmt_engine_destroy(engine);
    vmt_fake_runner_destroy(fake);
    return stats.num_allocations;
}

/* ---- cases */

static void a_steady_step_allocates_nothing(vmt_test *t) {
    is_leaky = false;
    for (int is_device = 0; is_device < 2; is_device++) vmt_expect_eq(t, count_run(t, is_device), 0);
}

/* Or the case above would show nothing. */
static void an_allocation_in_a_step_is_seen(vmt_test *t) {
    if (!vmt_test_can_count_allocs()) vmt_test_skip(t, "allocations can't be counted in this build");
    is_leaky = true;
    for (int is_device = 0; is_device < 2; is_device++) {
        vmt_expect(t, count_run(t, is_device) >= NUM_TOKENS - 10); /* but for the few with arrivals and ends */
    }
}

static const vmt_test_case cases[] = {
    {"a_steady_step_allocates_nothing", a_steady_step_allocates_nothing},
    {"an_allocation_in_a_step_is_seen", an_allocation_in_a_step_is_seen},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
