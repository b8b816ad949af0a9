/* sched/scheduler_sim_test.c: the scheduler under scripted weather: arrivals, aborts, pauses, forks, tiny pools.
 *
 * The fake model keeps one word per KV slot: the digest of everything up to that position, made from the word before
 * it, which is read through the block table.  The next token is a function of the last word.  A prefix hit, fork or
 * resumed sequence that reads a wrong or unwritten slot therefore samples other tokens than the reference, which
 * knows the prompt alone. */
#include "sched/scheduler.h"
#include "base/rng.h"
#include "base/test.h"

#include <stdlib.h>

#define LIVE_MAX      48
#define LEN_MAX       64
#define NUM_SALTS     3
#define NUM_TEMPLATES 4

struct request {
    vmt_seq seq; /* first: a scheduled vmt_seq is its request */
    int32_t tokens[LEN_MAX];
    uint32_t salt;
    uint32_t num_sampled;
    bool is_live;
    bool was_decode; /* one token short of up to date when the step began */
    uint32_t id;     /* of this use of the place: rows in flight may outlive their request */
    bool knows_all;  /* sits out while a token of it is being sampled, as a constrained one does */
};

/* A row of a launched step, and what the device sampled for it. */
struct flight_row {
    struct request *r;
    uint32_t id, num_new_tokens, num_computed;
    bool samples;
    int32_t token;
};
struct flight {
    struct flight_row rows[LIVE_MAX];
    uint32_t num_rows;
};

struct sim {
    vmt_test *t;
    vmt_sched_config config;
    vmt_scheduler *sched;
    uint64_t rng;
    uint64_t *slots; /* [num_blocks * block_size] */
    int32_t templates[NUM_TEMPLATES][LEN_MAX];
    struct request requests[LIVE_MAX];
    uint64_t num_arrived, num_ended, num_hits, num_preempted;
    uint32_t vocab;
    struct flight flight; /* launched and not collected */
};

static const char *const salts[NUM_SALTS] = {"", "blue", "red"};

static uint32_t below(struct sim *sim, uint32_t n) {
    return (uint32_t)(vmt_splitmix64(&sim->rng) % n);
}

static uint64_t mix(uint64_t word, uint64_t with) {
    uint64_t state = word * 31 + with;
    return vmt_splitmix64(&state);
}

static int32_t token_after(const struct sim *sim, uint64_t word) {
    return (int32_t)(word % sim->vocab);
}

/* ---- the fake model */

static uint64_t *slot_of(const struct sim *sim, const vmt_seq *seq, uint32_t position) {
    uint32_t size = sim->config.block_size;
    vmt_expect(sim->t, position / size < seq->num_blocks);
    return &sim->slots[(size_t)seq->blocks[position / size] * size + position % size];
}

static void run_rows(struct sim *sim, const vmt_scheduled *row) {
    const struct request *r = (const struct request *)row->seq;
    for (uint32_t i = 0; i < row->num_new_tokens; i++) {
        uint32_t position = row->seq->num_computed_tokens + i;
        uint64_t before = position > 0 ? *slot_of(sim, row->seq, position - 1) : r->salt;
        /* A token that the host does not know yet is the one that follows from what the slots hold. */
        int32_t token = r->tokens[position];
        if (token == VMT_TOKEN_EXPECTED) token = token_after(sim, before);
        *slot_of(sim, row->seq, position) = mix(before, (uint64_t)token);
    }
}

/* Every computed position of every running sequence reads right; the tokens are what the prompt leads to. */
static void check_contents(struct sim *sim, const struct request *r) {
    uint64_t word = r->salt;
    for (uint32_t p = 0; p < r->seq.num_tokens - r->seq.num_expected; p++) {
        if (p >= r->seq.num_prompt_tokens) vmt_expect_eq(sim->t, r->tokens[p], token_after(sim, word));
        word = mix(word, (uint64_t)r->tokens[p]);
        if (p < r->seq.num_computed_tokens) vmt_expect(sim->t, *slot_of(sim, &r->seq, p) == word);
    }
}

/* ---- arrivals and ends */

static struct request *free_request(struct sim *sim) {
    for (uint32_t i = 0; i < LIVE_MAX; i++) {
        if (!sim->requests[i].is_live) return &sim->requests[i];
    }
    return NULL;
}

static struct request *arrive(struct sim *sim, struct request *parent) {
    struct request *r = free_request(sim);
    if (!r) return NULL;
    memset(r, 0, sizeof *r);
    uint32_t len_max = sim->config.max_model_len;
    uint32_t num_prompt = 1 + below(sim, len_max);
    memcpy(r->tokens, sim->templates[below(sim, NUM_TEMPLATES)], sizeof r->tokens);
    if (num_prompt > 3 && below(sim, 2)) r->tokens[below(sim, num_prompt)] ^= 1;
    r->salt = below(sim, 3) ? 0 : below(sim, NUM_SALTS);
    r->seq.priority = below(sim, 4);
    r->seq.skip_prefix_cache = below(sim, 8) == 0;
    if (parent) {
        num_prompt = parent->seq.num_prompt_tokens;
        memcpy(r->tokens, parent->tokens, sizeof r->tokens);
        r->salt = parent->salt;
        r->seq.priority = parent->seq.priority;
        r->seq.fork_of = &parent->seq;
        r->seq.skip_prefix_cache = false;
    }
    r->is_live = true;
    r->knows_all = below(sim, 4) == 0;
    r->id = (uint32_t)++sim->num_arrived;
    r->seq.id = r->seq.arrival = sim->num_arrived;
    r->seq.tokens = r->tokens;
    r->seq.num_prompt_tokens = num_prompt;
    r->seq.tokens_cap = num_prompt + below(sim, len_max - num_prompt + 1);
    r->seq.cache_salt = vmt_str_from(salts[r->salt]);
    vmt_err err = {0};
    vmt_status status = vmt_scheduler_add(sim->sched, &r->seq, &err);
    if (status != VMT_OK) vmt_test_fail(sim->t, __FILE__, __LINE__, "%s", err.msg);
    return r;
}

static void end(struct sim *sim, struct request *r) {
    vmt_expect(sim->t, r->is_live);
    sim->num_hits += r->seq.num_cached_tokens;
    sim->num_preempted += r->seq.num_preemptions;
    vmt_scheduler_finish(sim->sched, &r->seq);
    vmt_expect_eq(sim->t, r->seq.state, VMT_SEQ_DONE);
    memset(&r->seq, 0xee, sizeof r->seq); /* whoever still looks at it will stumble */
    r->is_live = false;
    sim->num_ended++;
}

static void weather(struct sim *sim, bool is_closing) {
    if (!is_closing && below(sim, 3) == 0) {
        struct request *parent = arrive(sim, NULL);
        for (uint32_t n = below(sim, 3) ? 0 : below(sim, 4); parent && n > 0; n--) arrive(sim, parent);
    }
    for (uint32_t i = 0; i < LIVE_MAX; i++) {
        struct request *r = &sim->requests[i];
        if (!r->is_live) continue;
        if (below(sim, 150) == 0) {
            end(sim, r);
            continue;
        }
        if (r->seq.is_paused ? is_closing || below(sim, 8) == 0 : !is_closing && below(sim, 60) == 0) {
            r->seq.is_paused = !r->seq.is_paused;
        }
        r->seq.is_held = r->knows_all && r->seq.num_expected > 0;
        uint32_t remaining = r->seq.num_tokens - r->seq.num_computed_tokens;
        bool is_complete = r->seq.num_expected > 0 && r->seq.num_tokens == r->seq.tokens_cap;
        r->was_decode = r->seq.state == VMT_SEQ_RUNNING && !r->seq.is_paused && !r->seq.is_held && !is_complete &&
                        remaining == 1;
    }
    if (below(sim, 500) == 0) vmt_scheduler_forget_prefixes(sim->sched);
}

/* ---- a step */

static void check_step(struct sim *sim, const vmt_step *step) {
    const vmt_sched_config *c = &sim->config;
    uint32_t num_tokens = 0, num_rows = 0;
    bool is_past_decodes = false;
    vmt_expect(sim->t, step->num_scheduled <= c->max_num_seqs);
    for (uint32_t i = 0; i < step->num_scheduled; i++) {
        const vmt_scheduled *row = &step->scheduled[i];
        const vmt_seq *seq = row->seq;
        vmt_expect(sim->t, row->num_new_tokens >= 1 && seq->state == VMT_SEQ_RUNNING);
        vmt_expect(sim->t, !seq->is_paused && !seq->is_held);
        vmt_expect(sim->t, !(row->num_new_tokens == 1 && is_past_decodes));
        is_past_decodes = row->num_new_tokens > 1;
        vmt_expect_eq(sim->t, row->samples, seq->num_computed_tokens + row->num_new_tokens == seq->num_tokens);
        if (c->enable_chunked_prefill && c->long_prefill_token_threshold > 0) {
            vmt_expect(sim->t, row->num_new_tokens <= c->long_prefill_token_threshold);
        }
        if (!c->enable_chunked_prefill && !seq->skip_prefix_cache) vmt_expect(sim->t, row->samples);
        num_tokens += row->num_new_tokens;
        if (seq->skip_prefix_cache) num_rows += row->num_new_tokens;
        for (uint32_t j = 0; j < i; j++) vmt_expect(sim->t, step->scheduled[j].seq != seq);
    }
    vmt_expect_eq(sim->t, step->num_tokens, num_tokens);
    vmt_expect(sim->t, num_tokens <= c->max_num_batched_tokens);
    if (c->max_num_logit_rows > 0) vmt_expect(sim->t, num_rows <= c->max_num_logit_rows);
    for (uint32_t i = 0; i < step->num_preempted; i++) {
        vmt_expect_eq(sim->t, step->preempted[i]->state, VMT_SEQ_PREEMPTED);
    }
}

/* Decodes run in every step; nothing runs only when nobody could. */
static void check_fairness(struct sim *sim, const vmt_step *step) {
    for (uint32_t i = 0; i < LIVE_MAX; i++) {
        struct request *r = &sim->requests[i];
        if (!r->is_live) continue;
        bool is_scheduled = false;
        for (uint32_t j = 0; j < step->num_scheduled; j++) is_scheduled |= step->scheduled[j].seq == &r->seq;
        if (r->was_decode && !r->seq.skip_prefix_cache) {
            vmt_expect(sim->t, is_scheduled || r->seq.state == VMT_SEQ_PREEMPTED);
        }
        if (step->num_scheduled + step->num_preempted == 0 && sim->flight.num_rows == 0) {
            vmt_expect(sim->t, r->seq.is_paused);
        }
    }
}

static void sample(struct sim *sim, struct request *r) {
    uint64_t word = *slot_of(sim, &r->seq, r->seq.num_tokens - 1);
    if (r->seq.num_tokens == r->seq.tokens_cap || (r->num_sampled > 0 && below(sim, 40) == 0)) {
        end(sim, r);
        return;
    }
    /* Now and then it is known at once what comes next. */
    uint32_t num_forced = below(sim, 8) == 0 ? below(sim, 6) : 0;
    for (uint32_t i = 0; i <= num_forced && r->seq.num_tokens < r->seq.tokens_cap; i++) {
        int32_t token_id = token_after(sim, word);
        vmt_scheduler_append(sim->sched, &r->seq, token_id);
        word = mix(word, (uint64_t)token_id);
        r->num_sampled++;
    }
}

static void one_step(struct sim *sim, bool is_closing) {
    weather(sim, is_closing);
    vmt_step step = vmt_scheduler_schedule(sim->sched);
    check_step(sim, &step);
    check_fairness(sim, &step);
    if (below(sim, 60) == 0) {
        vmt_scheduler_abandon(sim->sched, &step);
        vmt_scheduler_check(sim->sched);
        return;
    }
    for (uint32_t i = 0; i < step.num_scheduled; i++) run_rows(sim, &step.scheduled[i]);
    vmt_scheduler_commit(sim->sched, &step);
    for (uint32_t i = 0; i < step.num_scheduled; i++) check_contents(sim, (struct request *)step.scheduled[i].seq);
    for (uint32_t i = 0; i < step.num_scheduled; i++) {
        if (step.scheduled[i].samples) sample(sim, (struct request *)step.scheduled[i].seq);
    }
    vmt_scheduler_check(sim->sched);
}

/* ---- run-ahead: a step is decided and launched while the one before it has not come back */

static void collect(struct sim *sim) {
    for (uint32_t i = 0; i < sim->flight.num_rows; i++) {
        struct flight_row *row = &sim->flight.rows[i];
        struct request *r = row->r;
        if (!r->is_live || r->id != row->id) continue; /* it ended while its row ran */
        vmt_scheduler_land(sim->sched, &r->seq, row->num_computed);
        if (!row->samples) continue;
        vmt_scheduler_supply(sim->sched, &r->seq, row->token);
        r->num_sampled++;
        uint32_t num_known = r->seq.num_tokens - r->seq.num_expected;
        if (num_known == r->seq.tokens_cap || below(sim, 40) == 0) end(sim, r);
    }
    sim->flight.num_rows = 0;
    for (uint32_t i = 0; i < LIVE_MAX; i++) {
        if (sim->requests[i].is_live) check_contents(sim, &sim->requests[i]);
    }
}

static void launch(struct sim *sim, const vmt_step *step, struct flight *flight) {
    flight->num_rows = step->num_scheduled;
    for (uint32_t i = 0; i < step->num_scheduled; i++) run_rows(sim, &step->scheduled[i]);
    vmt_scheduler_launch(sim->sched, step);
    for (uint32_t i = 0; i < step->num_scheduled; i++) {
        struct request *r = (struct request *)step->scheduled[i].seq;
        struct flight_row *row = &flight->rows[i];
        *row =
            (struct flight_row){r, r->id, step->scheduled[i].num_new_tokens, r->seq.num_computed_tokens, false, 0};
        row->samples = step->scheduled[i].samples && r->seq.num_tokens < r->seq.tokens_cap;
        if (step->scheduled[i].samples && !row->samples) { /* nothing to sample: it is through */
            end(sim, r);
            continue;
        }
        if (!row->samples) continue;
        row->token = token_after(sim, *slot_of(sim, &r->seq, r->seq.num_computed_tokens - 1));
        vmt_scheduler_expect(sim->sched, &r->seq);
    }
}

/* The step did not come back: those it held end, the one launched after it is taken back. */
static void fail(struct sim *sim, const struct flight *newest) {
    for (uint32_t i = 0; i < sim->flight.num_rows; i++) {
        struct flight_row *row = &sim->flight.rows[i];
        if (row->r->is_live && row->r->id == row->id) end(sim, row->r);
    }
    for (uint32_t i = 0; i < newest->num_rows; i++) {
        const struct flight_row *row = &newest->rows[i];
        if (!row->r->is_live || row->r->id != row->id) continue;
        vmt_scheduler_retract(sim->sched, &row->r->seq, row->num_new_tokens, row->samples);
    }
    sim->flight.num_rows = 0;
}

static void one_step_ahead(struct sim *sim, bool is_closing) {
    struct flight newest = {.num_rows = 0};
    weather(sim, is_closing);
    vmt_step step = vmt_scheduler_schedule(sim->sched);
    check_step(sim, &step);
    check_fairness(sim, &step);
    launch(sim, &step, &newest);
    vmt_scheduler_check(sim->sched);
    if (sim->flight.num_rows > 0 && below(sim, 60) == 0) {
        fail(sim, &newest);
    } else {
        collect(sim);
        sim->flight = newest;
    }
    vmt_scheduler_check(sim->sched);
}

static void draw_config(struct sim *sim) {
    vmt_sched_config *c = &sim->config;
    c->block_size = 1 + below(sim, 8);
    c->num_blocks = 4 + below(sim, 60);
    c->max_num_seqs = 1 + below(sim, 12);
    uint32_t capacity = (c->num_blocks - 1) * c->block_size;
    uint32_t len_max = 2 + below(sim, LEN_MAX - 1);
    c->max_model_len = VMT_MIN(capacity, len_max);
    c->max_num_batched_tokens = c->max_num_seqs + below(sim, 40);
    c->enable_chunked_prefill = below(sim, 4) > 0;
    if (!c->enable_chunked_prefill) {
        c->max_num_batched_tokens = VMT_MAX(c->max_num_batched_tokens, c->max_model_len);
    }
    c->long_prefill_token_threshold = below(sim, 3) ? 0 : 1 + below(sim, 12);
    c->mixed_prefill_tokens = below(sim, 2) ? 0 : 1 + below(sim, 20);
    c->max_num_logit_rows = below(sim, 3) ? 4 + below(sim, 8) : 0;
    c->enable_prefix_caching = below(sim, 4) > 0;
    c->policy = below(sim, 2) ? VMT_SCHED_FCFS : VMT_SCHED_PRIORITY;
    c->hash_key = (vmt_hash_key){sim->rng, 7};
}

typedef void (*step_fn)(struct sim *sim, bool is_closing);

static void run_weather(vmt_test *t, uint64_t seed, step_fn take_step, uint32_t num_steps, uint64_t totals[3]) {
    struct sim *sim = VMT_ARENA_NEW(t->arena, struct sim, 1);
    sim->t = t;
    sim->rng = seed;
    draw_config(sim);
    sim->vocab = 2 + below(sim, 30);
    for (uint32_t i = 0; i < NUM_TEMPLATES; i++) {
        for (uint32_t j = 0; j < LEN_MAX; j++) sim->templates[i][j] = (int32_t)below(sim, sim->vocab);
    }
    sim->slots = VMT_ARENA_NEW(t->arena, uint64_t, (size_t)sim->config.num_blocks * sim->config.block_size);
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_scheduler_create(&sim->sched, &sim->config, &err), VMT_OK);

    for (uint32_t i = 0; i < num_steps; i++) take_step(sim, false);
    /* With no more arrivals and pauses everyone finishes, within as many steps as one at a time would need. */
    uint32_t steps_left = LIVE_MAX * LEN_MAX * 4;
    while (sim->num_ended < sim->num_arrived && steps_left-- > 0) take_step(sim, true);
    vmt_expect_eq(t, sim->num_ended, sim->num_arrived);
    vmt_sched_stats stats = vmt_scheduler_stats(sim->sched);
    vmt_expect_eq(t, stats.num_blocks_used + stats.num_running + stats.num_waiting, 0);
    vmt_expect_eq(t, stats.num_preemptions, sim->num_preempted);
    vmt_scheduler_destroy(sim->sched);
    totals[0] += sim->num_ended;
    totals[1] += sim->num_hits;
    totals[2] += sim->num_preempted;
    vmt_arena_reset(t->arena);
}

static void everyone_gets_his_tokens(vmt_test *t, step_fn take_step) {
    const char *num_seeds_text = getenv("VMT_SIM_SEEDS");
    uint64_t num_seeds = num_seeds_text ? strtoull(num_seeds_text, NULL, 10) : 150;
    uint64_t totals[3] = {0};
    for (uint64_t seed = 0; seed < num_seeds; seed++) run_weather(t, mix(t->seed, seed), take_step, 1000, totals);
    /* The weather was worth the name. */
    vmt_expect(t, totals[0] > num_seeds * 20 && totals[1] > num_seeds * 20 && totals[2] > num_seeds * 20);
}

static void everyone_gets_exactly_his_tokens(vmt_test *t) {
    everyone_gets_his_tokens(t, one_step);
}

static void everyone_gets_exactly_his_tokens_ahead_of_the_device(vmt_test *t) {
    everyone_gets_his_tokens(t, one_step_ahead);
}

static const vmt_test_case cases[] = {
    {"everyone_gets_exactly_his_tokens", everyone_gets_exactly_his_tokens},
    {"everyone_gets_exactly_his_tokens_ahead_of_the_device", everyone_gets_exactly_his_tokens_ahead_of_the_device},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
