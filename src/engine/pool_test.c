/* engine/pool_test.c: vectors of prompts over a fake model, bit for bit: alone, in pieces, in company, and again. */
#include "engine/pool.h"
#include "base/test.h"
#include "engine/fake_runner.h"

#include <pthread.h>
#include <time.h>

#define WIDTH      61u
#define LEN_MAX    200u
#define WAIT_S_MAX 20

struct rig {
    vmt_test *t;
    vmt_fake_runner *fake;
    vmt_engine *engine;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t num_wakes;
};

struct rig_options {
    uint32_t batched_tokens, logit_rows;
    bool has_logits; /* the runner gives logits, not hidden states */
};

/* Every case runs twice: over a model on the CPU, and over a device. */
static bool is_device;

static void on_progress(void *ctx) {
    struct rig *rig = ctx;
    pthread_mutex_lock(&rig->lock);
    rig->num_wakes++;
    pthread_cond_signal(&rig->changed);
    pthread_mutex_unlock(&rig->lock);
}

static struct rig *open_rig(vmt_test *t, const struct rig_options *options) {
    struct rig *rig = VMT_ARENA_NEW(t->arena, struct rig, 1);
    vmt_err err = {0};
    rig->t = t;
    pthread_mutex_init(&rig->lock, NULL);
    pthread_cond_init(&rig->changed, NULL);
    const vmt_engine_config config = {
        .sched = {.num_blocks = 300,
                  .block_size = 16,
                  .max_num_seqs = 4,
                  .max_num_batched_tokens = options->batched_tokens,
                  .max_model_len = LEN_MAX,
                  .max_num_logit_rows = options->logit_rows,
                  .enable_prefix_caching = true,
                  .enable_chunked_prefill = true,
                  .hash_key = {1, 2}},
        .waiting_max = 100,
        .on_progress = on_progress,
        .on_progress_ctx = rig,
    };
    const vmt_fake_runner_config fake = {
        .vocab = WIDTH,
        .max_model_len = LEN_MAX,
        .num_blocks = 300,
        .block_size = 16,
        .num_logits_max = 4 + (options->logit_rows ? options->logit_rows : VMT_PROMPT_LOGIT_ROWS),
        .peak = 3,
        .is_device = is_device,
    };
    vmt_expect_eq(t, vmt_fake_runner_create(&rig->fake, &fake, &err), VMT_OK);
    vmt_runner face = vmt_fake_runner_face(rig->fake);
    if (!options->has_logits) face.hidden = WIDTH;
    vmt_expect_eq(t, vmt_engine_create(&rig->engine, &config, face, &err), VMT_OK);
    vmt_expect_eq(t, vmt_engine_start(rig->engine, &err), VMT_OK);
    return rig;
}

static void close_rig(struct rig *rig) {
    vmt_engine_stop(rig->engine);
    vmt_expect_eq(rig->t, vmt_engine_get_stats(rig->engine).sched.num_blocks_used, 0);
    vmt_engine_destroy(rig->engine);
    vmt_fake_runner_destroy(rig->fake);
    pthread_cond_destroy(&rig->changed);
    pthread_mutex_destroy(&rig->lock);
}

static vmt_generation_params params_of(struct rig *rig, uint32_t num_prompt, uint32_t first, vmt_pool_kind kind) {
    int32_t *prompt = VMT_ARENA_NEW(rig->t->arena, int32_t, num_prompt);
    for (uint32_t i = 0; i < num_prompt; i++) prompt[i] = (int32_t)((first + i * i) % WIDTH);
    return (vmt_generation_params){
        .prompt = prompt, .num_prompt = num_prompt, .n = 1, .sampling = vmt_sampling_default(), .pooling = kind};
}

static vmt_generation *submit(struct rig *rig, const vmt_generation_params *p) {
    vmt_generation *gen;
    vmt_err err = {0};
    if (vmt_generation_create(&gen, rig->engine, p, rig->t->arena, &err) != VMT_OK ||
        vmt_engine_submit(rig->engine, gen, &err) != VMT_OK) {
        vmt_test_fail(rig->t, __FILE__, __LINE__, "%s", err.msg);
    }
    return gen;
}

static vmt_finish wait_for(struct rig *rig, vmt_generation *gen) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S_MAX;
    while (!vmt_generation_ended(gen)) {
        while (vmt_engine_take_ready(rig->engine)) {}
        pthread_mutex_lock(&rig->lock);
        int rc = 0;
        while (rig->num_wakes == 0 && rc == 0) rc = pthread_cond_timedwait(&rig->changed, &rig->lock, &until);
        rig->num_wakes = 0;
        pthread_mutex_unlock(&rig->lock);
        if (rc != 0) vmt_test_fail(rig->t, __FILE__, __LINE__, "the prompt did not end");
    }
    return vmt_generation_finish(gen, 0, NULL);
}

/* What the vector must be, by the fake model's own rows. */
static void expect_vector(struct rig *rig, const vmt_generation_params *p, vmt_generation *gen) {
    float row[WIDTH], want[WIDTH];
    double sums[WIDTH] = {0};
    uint32_t len, first = 1, end = p->num_prompt;
    vmt_expect_eq(rig->t, wait_for(rig, gen), VMT_FINISH_STOP);
    const float *got = vmt_generation_pooled(gen, &len);
    if (p->pooling == VMT_POOL_LAST) first = end;
    if (p->pooling == VMT_POOL_CLS) end = first;
    for (uint32_t n = first; n <= end; n++) {
        vmt_fake_row(rig->fake, p->prompt, n, row);
        for (uint32_t i = 0; i < WIDTH; i++) sums[i] += (double)row[i];
    }
    for (uint32_t i = 0; i < WIDTH; i++) want[i] = (float)(sums[i] / (end - first + 1));
    vmt_expect_eq(rig->t, len, WIDTH);
    vmt_expect(rig->t, memcmp(got, want, sizeof want) == 0);
}

static void vectors_are_the_same_however_prompts_are_cut(vmt_test *t) {
    static const vmt_pool_kind kinds[] = {VMT_POOL_LAST, VMT_POOL_MEAN, VMT_POOL_CLS};
    static const struct rig_options options[] = {
        {400, 400, false}, {64, 64, false}, {7, 7, false}, {64, 3, false}, {4, 0, false}};
    static const uint32_t lens[] = {1, 2, 16, 17, 33, 150, LEN_MAX};
    enum { NUM = VMT_COUNT(kinds) * VMT_COUNT(lens) };
    for (size_t o = 0; o < VMT_COUNT(options); o++) {
        struct rig *rig = open_rig(t, &options[o]);
        vmt_generation_params params[NUM];
        vmt_generation *gens[NUM];
        for (uint32_t i = 0; i < NUM; i++) {
            params[i] = params_of(rig, lens[i / VMT_COUNT(kinds)], i / 3 % 5, kinds[i % VMT_COUNT(kinds)]);
            gens[i] = submit(rig, &params[i]);
        }
        for (uint32_t i = 0; i < NUM; i++) expect_vector(rig, &params[i], gens[i]);
        for (uint32_t i = 0; i < NUM; i++) vmt_generation_destroy(gens[i]);
        close_rig(rig);
    }
}

static void a_cached_prefix_changes_no_bit(vmt_test *t) {
    static const vmt_pool_kind kinds[] = {VMT_POOL_LAST, VMT_POOL_MEAN, VMT_POOL_CLS};
    struct rig *rig = open_rig(t, &(struct rig_options){64, 64, false});
    for (size_t k = 0; k < VMT_COUNT(kinds); k++) {
        for (uint32_t again = 0; again < 2; again++) {
            vmt_generation_params p = params_of(rig, 100, (uint32_t)k, kinds[k]);
            vmt_generation *gen = submit(rig, &p);
            expect_vector(rig, &p, gen);
            /* The rows that a hit leaves out are those that a mean needs. */
            bool hits = again && kinds[k] == VMT_POOL_LAST;
            vmt_expect_eq(t, vmt_generation_get_stats(gen).num_cached_tokens, hits ? 96 : 0);
            vmt_generation_destroy(gen);
        }
    }
    close_rig(rig);
}

static void a_preempted_prompt_takes_no_row_twice(vmt_test *t) {
    static const struct {
        vmt_pool_kind kind;
        uint32_t num_taken, begin, end, num_rows, first;
    } rows[] = {
        {VMT_POOL_MEAN, 0, 0, 10, 10, 0},   {VMT_POOL_MEAN, 10, 10, 30, 20, 10}, {VMT_POOL_MEAN, 30, 0, 10, 0, 30},
        {VMT_POOL_MEAN, 30, 20, 35, 5, 30}, {VMT_POOL_CLS, 0, 0, 10, 1, 0},      {VMT_POOL_CLS, 1, 0, 10, 0, 0},
        {VMT_POOL_CLS, 1, 10, 20, 0, 0},    {VMT_POOL_LAST, 0, 0, 49, 0, 49},    {VMT_POOL_LAST, 0, 49, 50, 1, 49},
    };
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        const vmt_pool pool = {.kind = rows[i].kind, .num_taken = rows[i].num_taken};
        uint32_t first;
        vmt_expect_eq(t, vmt_pool_rows(&pool, rows[i].begin, rows[i].end, 50, &first), rows[i].num_rows);
        vmt_expect_eq(t, first, rows[i].first);
    }
}

static void ends_with_an_error_or_a_cancel(vmt_test *t) {
    struct rig *rig = open_rig(t, &(struct rig_options){8, 8, false});
    vmt_generation_params p = params_of(rig, 150, 1, VMT_POOL_MEAN);
    vmt_fake_runner_fail(rig->fake, 1);
    vmt_generation *gen = submit(rig, &p);
    vmt_expect_eq(t, wait_for(rig, gen), VMT_FINISH_ERROR);
    vmt_generation_destroy(gen);
    gen = submit(rig, &p);
    vmt_engine_cancel(rig->engine, gen, -1);
    vmt_finish finish = wait_for(rig, gen);
    vmt_expect(t, finish == VMT_FINISH_ABORT || finish == VMT_FINISH_STOP);
    vmt_generation_destroy(gen);
    close_rig(rig);
}

static void names_what_can_not_be_pooled(vmt_test *t) {
    struct rig *hidden = open_rig(t, &(struct rig_options){64, 64, false});
    struct rig *logits = open_rig(t, &(struct rig_options){64, 64, true});
    struct {
        struct rig *rig;
        vmt_pool_kind kind;
        uint32_t n;
        const char *message;
    } cases[] = {
        {hidden, VMT_POOL_NONE, 1, "the model was loaded to pool hidden states, it can't generate"},
        {logits, VMT_POOL_LAST, 1, "the model was loaded to generate, it gives no hidden states"},
        {hidden, VMT_POOL_LAST, 2, "n is 2, a pooled prompt has one answer"},
    };
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        vmt_generation_params p = params_of(cases[i].rig, 5, 0, VMT_POOL_NONE);
        vmt_generation *gen;
        vmt_err err = {0};
        p.pooling = cases[i].kind;
        p.n = cases[i].n;
        p.sampling.max_tokens = 1;
        vmt_expect(t, vmt_generation_create(&gen, cases[i].rig->engine, &p, t->arena, &err) != VMT_OK);
        vmt_expect_str(t, err.msg, cases[i].message);
    }
    close_rig(hidden);
    close_rig(logits);
}

static const vmt_test_case cases[] = {
    {"vectors_are_the_same_however_prompts_are_cut", vectors_are_the_same_however_prompts_are_cut},
    {"a_cached_prefix_changes_no_bit", a_cached_prefix_changes_no_bit},
    {"a_preempted_prompt_takes_no_row_twice", a_preempted_prompt_takes_no_row_twice},
    {"ends_with_an_error_or_a_cancel", ends_with_an_error_or_a_cancel},
    {"names_what_can_not_be_pooled", names_what_can_not_be_pooled},
    {NULL, NULL},
};

int main(int argc, char **argv) {
    int rc = vmt_test_run(__FILE__, cases, argc, argv);
    is_device = true;
    return vmt_test_run(__FILE__, cases, argc, argv) | rc;
}
