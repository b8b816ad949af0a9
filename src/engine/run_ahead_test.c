/* engine/run_ahead_test.c: a device that runs a step ahead of the host gives the CPU's texts, and is kept busy.
 *
 * engine_test.c runs all its cases over a device, too. */
#include "base/test.h"
#include "engine/engine.h"
#include "engine/fake_runner.h"

#include <pthread.h>
#include <time.h>

#define GENS_MAX   256u
#define TEXT_MAX   64u
#define WAIT_S_MAX 20

struct text {
    int32_t tokens[TEXT_MAX];
    float logprobs[TEXT_MAX];
    uint32_t ranks[TEXT_MAX];
    uint32_t len;
    vmt_finish finish;
    int32_t stop_token_id;
};

/* An engine over a fake model, and this thread as its consumer. */
struct rig {
    vmt_test *t;
    vmt_fake_runner_config fake_config;
    vmt_fake_runner *fake;
    vmt_engine *engine;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t num_wakes;
    vmt_generation *gens[GENS_MAX];
    struct text *texts; /* [GENS_MAX] */
    uint32_t num_gens;
};

static void on_progress(void *ctx) {
    struct rig *rig = ctx;
    pthread_mutex_lock(&rig->lock);
    rig->num_wakes++;
    pthread_cond_signal(&rig->changed);
    pthread_mutex_unlock(&rig->lock);
}

static struct rig *open_rig(vmt_test *t, vmt_fake_runner_config fake) {
    struct rig *rig = VMT_ARENA_NEW(t->arena, struct rig, 1);
    vmt_err err = {0};
    rig->t = t;
    rig->texts = VMT_ARENA_NEW(t->arena, struct text, GENS_MAX);
    pthread_mutex_init(&rig->lock, NULL);
    pthread_cond_init(&rig->changed, NULL);
    const vmt_engine_config config = {
        .sched = {.num_blocks = 400,
                  .block_size = 16,
                  .max_num_seqs = 20,
                  .max_num_batched_tokens = 64,
                  .max_model_len = 400,
                  .enable_prefix_caching = true,
                  .enable_chunked_prefill = true,
                  .hash_key = {1, 2}},
        .waiting_max = 1000,
        .on_progress = on_progress,
        .on_progress_ctx = rig,
    };
    fake.max_model_len = 400;
    fake.num_blocks = 400;
    fake.block_size = 16;
    fake.num_logits_max = 20 + VMT_PROMPT_LOGIT_ROWS;
    rig->fake_config = fake;
    vmt_expect_eq(t, vmt_fake_runner_create(&rig->fake, &fake, &err), VMT_OK);
    vmt_expect_eq(t, vmt_engine_create(&rig->engine, &config, vmt_fake_runner_face(rig->fake), &err), VMT_OK);
    vmt_expect_eq(t, vmt_engine_start(rig->engine, &err), VMT_OK);
    return rig;
}

static void close_rig(struct rig *rig) {
    vmt_engine_stop(rig->engine);
    for (uint32_t i = 0; i < rig->num_gens; i++) vmt_generation_destroy(rig->gens[i]);
    vmt_engine_destroy(rig->engine);
    vmt_fake_runner_destroy(rig->fake);
    pthread_cond_destroy(&rig->changed);
    pthread_mutex_destroy(&rig->lock);
}

static uint32_t submit(struct rig *rig, const vmt_sampling *sampling, uint32_t num_prompt, uint32_t first) {
    int32_t *prompt = VMT_ARENA_NEW(rig->t->arena, int32_t, num_prompt);
    for (uint32_t i = 0; i < num_prompt; i++) prompt[i] = (int32_t)((first + i * i) % rig->fake_config.vocab);
    vmt_generation_params p = {.prompt = prompt, .num_prompt = num_prompt, .n = 1, .sampling = *sampling};
    vmt_err err = {0};
    uint32_t i = rig->num_gens++;
    vmt_status status = vmt_generation_create(&rig->gens[i], rig->engine, &p, rig->t->arena, &err);
    if (status == VMT_OK) status = vmt_engine_submit(rig->engine, rig->gens[i], &err);
    if (status != VMT_OK) vmt_test_fail(rig->t, __FILE__, __LINE__, "%s", err.msg);
    return i;
}

/* Takes what there is; true: the text has ended. */
static bool read_text(struct rig *rig, uint32_t i) {
    struct text *text = &rig->texts[i];
    vmt_output_token token;
    while (vmt_generation_next(rig->gens[i], 0, &token)) {
        vmt_expect(rig->t, text->len < TEXT_MAX);
        text->logprobs[text->len] = token.logprob;
        text->ranks[text->len] = token.rank;
        text->tokens[text->len++] = token.token_id;
    }
    text->finish = vmt_generation_finish(rig->gens[i], 0, &text->stop_token_id);
    return text->finish != VMT_FINISH_NONE && vmt_generation_ended(rig->gens[i]);
}

static void read_all(struct rig *rig) {
    for (uint32_t i = 0; i < rig->num_gens;) {
        while (vmt_engine_take_ready(rig->engine) != NULL) {}
        if (read_text(rig, i)) {
            i++;
            continue;
        }
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += WAIT_S_MAX;
        pthread_mutex_lock(&rig->lock);
        int rc = 0;
        while (rig->num_wakes == 0 && rc == 0) rc = pthread_cond_timedwait(&rig->changed, &rig->lock, &until);
        rig->num_wakes = 0;
        pthread_mutex_unlock(&rig->lock);
        if (rc != 0) vmt_test_fail(rig->t, __FILE__, __LINE__, "no news for %d seconds", WAIT_S_MAX);
    }
}

/* What sampling depends on, each alone and some together; the prompt has 12 tokens. */
static vmt_sampling sampling_of(int i) {
    static const int32_t one[] = {5}, run[] = {7, 9}, long_run[] = {7, 9, 11},
                         allowed[] = {2, 3, 5, 7, 9, 11, 13, 17};
    static const vmt_token_run words[] = {{one, 1}, {run, 2}, {long_run, 3}};
    static const vmt_logit_bias biases[] = {{7, 4}, {9, 3}, {11, 3}, {7, 1}, {60, -50}};
    vmt_sampling s = vmt_sampling_default();
    s.has_seed = true;
    s.seed = 77 + (uint64_t)i;
    s.max_tokens = 40;
    if (i & 1) s.temperature = 0.7f;
    if (i & 2) s.top_k = 9;
    if (i & 4) s.top_p = 0.8f;
    if (i & 8) s.min_p = 0.2f;
    if (i & 16) s.repetition_penalty = 1.3f;
    if (i & 32) s.presence_penalty = 0.5f, s.frequency_penalty = 0.25f;
    if (i & 64) s.logit_bias = biases, s.num_logit_bias = VMT_COUNT(biases);
    if (i & 128) s.bad_words = words, s.num_bad_words = VMT_COUNT(words);
    if (i & 256) s.allowed_token_ids = allowed, s.num_allowed_token_ids = VMT_COUNT(allowed);
    if (i & 512) s.stop_token_ids = run, s.num_stop_token_ids = 2, s.min_tokens = 25;
    if (i % 5 == 0) s.num_logprobs = i % 15;
    if (i % 7 == 0) s.temperature = 0;
    return s;
}

static struct rig *sample_every_way(vmt_test *t, uint32_t num_ways, bool is_device) {
    /* Nearly flat: penalties and bans decide. */
    vmt_fake_runner_config fake = {.vocab = 97, .peak = 1.5f, .window = 1, .is_device = is_device};
    struct rig *rig = open_rig(t, fake);
    for (uint32_t i = 0; i < num_ways; i++) {
        vmt_sampling sampling = sampling_of((int)(i * 1021 % 1024));
        submit(rig, &sampling, 12, i);
    }
    read_all(rig);
    return rig;
}

/* The device knows of the last token what the host does not. */
static void every_way_of_sampling_gives_the_cpus_text(vmt_test *t) {
    enum { NUM_WAYS = 250 };
    struct rig *cpu = sample_every_way(t, NUM_WAYS, false), *device = sample_every_way(t, NUM_WAYS, true);
    uint32_t num_tokens = 0;
    for (uint32_t i = 0; i < NUM_WAYS; i++) {
        const struct text *got = &device->texts[i], *want = &cpu->texts[i];
        num_tokens += got->len;
        vmt_expect_eq(t, got->len, want->len);
        for (uint32_t k = 0; k < got->len; k++) {
            vmt_expect_eq(t, got->tokens[k], want->tokens[k]);
            vmt_expect_eq(t, got->ranks[k], want->ranks[k]);
            vmt_expect_near(t, got->logprobs[k], want->logprobs[k], 1e-5);
        }
        vmt_expect_eq(t, got->finish, want->finish);
        vmt_expect_eq(t, got->stop_token_id, want->stop_token_id);
    }
    vmt_expect(t, num_tokens > NUM_WAYS * 25);
    vmt_expect(t, vmt_fake_runner_num_ahead(device->fake) > 0);
    close_rig(cpu);
    close_rig(device);
}

/* Lists of edits that do not fit into one step together: their sequences take turns, and each gets its text. */
static void long_lists_take_turns(vmt_test *t) {
    enum { NUM_SEQS = 20, NUM_BIASES = VMT_LOGIT_BIAS_MAX };
    struct rig *rig = open_rig(t, (vmt_fake_runner_config){.vocab = 20000, .peak = 5, .is_device = true});
    vmt_expect(t, NUM_SEQS * NUM_BIASES > vmt_sample_edits_max(20000, 400));
    vmt_logit_bias *biases = VMT_ARENA_NEW(t->arena, vmt_logit_bias, NUM_SEQS * NUM_BIASES);
    for (int i = 0; i < NUM_SEQS; i++) {
        for (int k = 0; k < NUM_BIASES; k++) {
            biases[i * NUM_BIASES + k] = (vmt_logit_bias){k + i, k == 100 ? 50.0f : -1.0f};
        }
        vmt_sampling sampling = vmt_sampling_default();
        sampling.temperature = 0;
        sampling.max_tokens = 3;
        sampling.logit_bias = biases + i * NUM_BIASES;
        sampling.num_logit_bias = NUM_BIASES;
        submit(rig, &sampling, 5, (uint32_t)i);
    }
    read_all(rig);
    for (uint32_t i = 0; i < NUM_SEQS; i++) {
        vmt_expect_eq(t, rig->texts[i].len, 3);
        for (uint32_t k = 0; k < 3; k++) vmt_expect_eq(t, rig->texts[i].tokens[k], 100 + (int32_t)i);
    }
    close_rig(rig);
}

/* The host's work hides behind the device's. */
static void a_device_always_has_its_next_step(vmt_test *t) {
    vmt_fake_runner_config fake = {.vocab = 300, .peak = 5, .forward_ns = 1000000, .is_device = true};
    struct rig *rig = open_rig(t, fake);
    vmt_sampling sampling = vmt_sampling_default();
    sampling.temperature = 0;
    sampling.max_tokens = 60;
    sampling.num_logprobs = INT32_MAX; /* more than a device scores: the host does, and waits for each step */
    submit(rig, &sampling, 20, 5);
    read_all(rig);
    vmt_expect_eq(t, vmt_fake_runner_num_ahead(rig->fake), 0);
    sampling.num_logprobs = -1;
    submit(rig, &sampling, 20, 5);
    read_all(rig);
    for (uint32_t k = 0; k < 60; k++) vmt_expect_eq(t, rig->texts[1].tokens[k], rig->texts[0].tokens[k]);
    /* All but the first of 60 were launched while another ran. */
    vmt_expect_eq(t, vmt_fake_runner_num_ahead(rig->fake), 59);
    close_rig(rig);
}

static const vmt_test_case cases[] = {
    {"every_way_of_sampling_gives_the_cpus_text", every_way_of_sampling_gives_the_cpus_text},
    {"long_lists_take_turns", long_lists_take_turns},
    {"a_device_always_has_its_next_step", a_device_always_has_its_next_step},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
