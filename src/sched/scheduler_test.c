/* sched/scheduler_test.c: single decisions, with exact rows, blocks, order.  scheduler_sim_test.c has the weather. */
#include "sched/scheduler.h"
#include "base/test.h"

#include <stdio.h>

#define SEQS_MAX 8
#define LEN_MAX  128

struct bench {
    vmt_test *t;
    vmt_sched_config config;
    vmt_scheduler *sched;
    vmt_seq seqs[SEQS_MAX];
    int32_t tokens[SEQS_MAX][LEN_MAX];
    vmt_step step;
};

/* 4-token blocks, 4 seats, 16 tokens a step, room for 128 tokens. */
static struct bench *bench_of(vmt_test *t, void (*change)(vmt_sched_config *config)) {
    struct bench *b = VMT_ARENA_NEW(t->arena, struct bench, 1);
    b->t = t;
    b->config = (vmt_sched_config){
        .num_blocks = 33,
        .block_size = 4,
        .max_num_seqs = 4,
        .max_num_batched_tokens = 16,
        .max_model_len = 100,
        .enable_prefix_caching = true,
        .enable_chunked_prefill = true,
    };
    if (change) change(&b->config);
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_scheduler_create(&b->sched, &b->config, &err), VMT_OK);
    return b;
}

static void done(struct bench *b) {
    for (int i = 0; i < SEQS_MAX; i++) vmt_scheduler_finish(b->sched, &b->seqs[i]);
    vmt_scheduler_check(b->sched);
    vmt_scheduler_destroy(b->sched);
}

/* Sequence i has prompt first, first+1, ... */
static vmt_seq *add(struct bench *b, int i, uint32_t num_prompt, int32_t first, vmt_seq *parent) {
    vmt_seq *seq = &b->seqs[i];
    for (uint32_t k = 0; k < num_prompt; k++) b->tokens[i][k] = first + (int32_t)k;
    seq->id = seq->arrival = (uint64_t)i + 1;
    seq->tokens = b->tokens[i];
    seq->tokens_cap = b->config.max_model_len;
    seq->num_prompt_tokens = num_prompt;
    seq->fork_of = parent;
    vmt_err err = {0};
    vmt_expect_eq(b->t, vmt_scheduler_add(b->sched, seq, &err), VMT_OK);
    vmt_scheduler_check(b->sched);
    return seq;
}

/* Runs a step, gives token 7 to whoever samples, and tells it as "index:rows ..." with + for a preempted one. */
static const char *step(struct bench *b) {
    static char text[128];
    int n = 0;
    text[0] = 0;
    b->step = vmt_scheduler_schedule(b->sched);
    for (uint32_t i = 0; i < b->step.num_scheduled; i++) {
        const vmt_scheduled *s = &b->step.scheduled[i];
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%d:%u", i ? " " : "", (int)(s->seq - b->seqs),
                      s->num_new_tokens);
    }
    for (uint32_t i = 0; i < b->step.num_preempted; i++) {
        n += snprintf(text + n, sizeof text - (size_t)n, " +%d", (int)(b->step.preempted[i] - b->seqs));
    }
    vmt_scheduler_commit(b->sched, &b->step);
    for (uint32_t i = 0; i < b->step.num_scheduled; i++) {
        if (b->step.scheduled[i].samples) vmt_scheduler_append(b->sched, b->step.scheduled[i].seq, 7);
    }
    vmt_scheduler_check(b->sched);
    return text;
}

static void prefills_in_chunks_beside_decodes(vmt_test *t) {
    struct bench *b = bench_of(t, NULL);
    add(b, 0, 5, 100, NULL);
    add(b, 1, 30, 200, NULL);
    add(b, 2, 3, 300, NULL);
    vmt_expect_str(t, step(b), "0:5 1:11");
    vmt_expect_str(t, step(b), "0:1 1:15");
    vmt_expect_str(t, step(b), "0:1 1:4 2:3"); /* the last arrival takes what is left */
    vmt_expect_str(t, step(b), "0:1 1:1 2:1");
    vmt_expect_eq(t, b->seqs[0].num_tokens, 9);
    vmt_expect_eq(t, b->seqs[1].num_tokens, 32);
    done(b);
}

static void with_few_beside_decodes(vmt_sched_config *c) {
    c->mixed_prefill_tokens = 5;
    c->max_num_seqs = 8;
    c->max_num_batched_tokens = 40;
}

static void prefills_leave_decodes_the_time(vmt_test *t) {
    struct bench *b = bench_of(t, with_few_beside_decodes);
    add(b, 0, 30, 100, NULL);
    vmt_expect_str(t, step(b), "0:30"); /* nobody waits for it */
    add(b, 1, 4, 200, NULL);
    add(b, 2, 20, 300, NULL);
    vmt_expect_str(t, step(b), "0:1 2:1 1:4");
    vmt_expect_str(t, step(b), "0:1 1:1 2:8"); /* four for each that decodes */
    vmt_expect_eq(t, b->step.num_tokens, 10);
    vmt_expect_str(t, step(b), "0:1 1:1 2:8");
    vmt_expect_str(t, step(b), "0:1 1:1 2:3");
    done(b);
}

static void with_whole_prompts(vmt_sched_config *c) {
    with_few_beside_decodes(c);
    c->enable_chunked_prefill = false;
    c->max_num_batched_tokens = 100;
}

static void a_prompt_in_one_piece_is_not_held_back(vmt_test *t) {
    struct bench *b = bench_of(t, with_whole_prompts);
    add(b, 0, 5, 100, NULL);
    vmt_expect_str(t, step(b), "0:5");
    add(b, 1, 50, 200, NULL);
    vmt_expect_str(t, step(b), "0:1 1:50");
    done(b);
}

static void with_threshold(vmt_sched_config *c) {
    c->long_prefill_token_threshold = 6;
}

static void the_threshold_lets_short_prompts_by(vmt_test *t) {
    struct bench *b = bench_of(t, with_threshold);
    add(b, 0, 20, 100, NULL);
    add(b, 1, 5, 200, NULL);
    vmt_expect_str(t, step(b), "0:6 1:5");
    vmt_expect_str(t, step(b), "1:1 0:6");
    done(b);
}

static void without_chunks(vmt_sched_config *c) {
    c->enable_chunked_prefill = false;
    c->max_num_batched_tokens = 100;
}

static void whole_prompts_wait_for_a_step_of_their_own(vmt_test *t) {
    struct bench *b = bench_of(t, without_chunks);
    add(b, 0, 60, 1000, NULL);
    add(b, 1, 50, 2000, NULL);
    add(b, 2, 5, 3000, NULL);
    vmt_expect_str(t, step(b), "0:60"); /* 1 does not fit, and 2 may not pass it */
    vmt_expect_str(t, step(b), "0:1 1:50 2:5");
    done(b);
}

static void seats_are_limited(vmt_test *t) {
    struct bench *b = bench_of(t, NULL);
    for (int i = 0; i < 6; i++) add(b, i, 2, 100 * i, NULL);
    vmt_expect_str(t, step(b), "0:2 1:2 2:2 3:2");
    vmt_scheduler_finish(b->sched, &b->seqs[1]);
    vmt_expect_str(t, step(b), "0:1 2:1 3:1 4:2");
    done(b);
}

static void a_hit_leaves_one_token_to_compute(vmt_test *t) {
    struct bench *b = bench_of(t, NULL);
    add(b, 0, 12, 100, NULL);
    vmt_expect_str(t, step(b), "0:12");
    add(b, 1, 12, 100, NULL); /* all of it is known, yet the last block is computed again for its logits */
    add(b, 2, 14, 100, NULL);
    vmt_expect_str(t, step(b), "0:1 1:4 2:2");
    vmt_expect_eq(t, b->seqs[1].num_cached_tokens, 8);
    vmt_expect_eq(t, b->seqs[2].num_cached_tokens, 12);
    for (int i = 0; i < 2; i++) vmt_expect_eq(t, b->seqs[1].blocks[i], b->seqs[0].blocks[i]);
    vmt_expect(t, b->seqs[1].blocks[2] != b->seqs[0].blocks[2]);
    vmt_sched_stats stats = vmt_scheduler_stats(b->sched);
    vmt_expect_eq(t, stats.prefix_query_tokens, 38);
    vmt_expect_eq(t, stats.prefix_hit_tokens, 20);
    done(b);
}

static void salts_and_prompt_logprobs_do_not_share(vmt_test *t) {
    struct bench *b = bench_of(t, NULL);
    add(b, 0, 9, 100, NULL);
    step(b);
    b->seqs[1].cache_salt = VMT_STR("tenant");
    b->seqs[2].skip_prefix_cache = true;
    add(b, 1, 5, 100, NULL);
    add(b, 2, 9, 100, NULL);
    vmt_expect_str(t, step(b), "0:1 1:5 2:9");
    done(b);
}

static void without_caching(vmt_sched_config *c) {
    c->enable_prefix_caching = false;
}

static void forks_share_the_prompt_also_without_caching(vmt_test *t) {
    struct bench *b = bench_of(t, without_caching);
    vmt_seq *parent = add(b, 0, 22, 100, NULL);
    add(b, 1, 22, 100, parent);
    add(b, 2, 3, 500, NULL);
    vmt_expect_str(t, step(b), "0:16");
    vmt_expect_str(t, step(b), "0:6 2:3"); /* the fork waits, others pass it */
    vmt_expect_str(t, step(b), "0:1 2:1 1:2");
    for (int i = 0; i < 5; i++) vmt_expect_eq(t, b->seqs[1].blocks[i], parent->blocks[i]);
    vmt_expect(t, b->seqs[1].blocks[5] != parent->blocks[5]);
    vmt_expect_eq(t, b->seqs[1].num_cached_tokens, 20);
    done(b);
}

static void a_fork_without_a_parent_runs_by_itself(vmt_test *t) {
    struct bench *b = bench_of(t, without_caching);
    vmt_seq *parent = add(b, 0, 12, 100, NULL);
    add(b, 1, 12, 100, parent);
    vmt_scheduler_finish(b->sched, parent);
    vmt_expect(t, b->seqs[1].fork_of == NULL);
    vmt_expect_str(t, step(b), "1:12");
    done(b);
}

static void small_pool(vmt_sched_config *c) {
    c->num_blocks = 8;
    c->max_model_len = 28;
}

static void the_latest_is_preempted_and_comes_back_first(vmt_test *t) {
    struct bench *b = bench_of(t, small_pool);
    for (int i = 0; i < 3; i++) add(b, i, i == 2 ? 4 : 8, 100 * (i + 1), NULL);
    vmt_expect_str(t, step(b), "0:8 1:8"); /* 2 + 2 of 7 blocks */
    vmt_expect_str(t, step(b), "0:1 1:1 2:4");
    vmt_expect_str(t, step(b), "0:1 1:1 +2"); /* its second block is one too many */
    vmt_expect_eq(t, b->seqs[2].num_tokens, 5);
    vmt_expect_str(t, step(b), "0:1 1:1"); /* one block is free, it would need two */
    vmt_scheduler_finish(b->sched, &b->seqs[0]);
    vmt_expect_str(t, step(b), "1:1 2:1"); /* all but the sampled token was still cached */
    vmt_expect_eq(t, b->seqs[2].num_preemptions, 1);
    vmt_expect_eq(t, b->seqs[2].num_tokens, 6);
    done(b);
}

static void by_priority(vmt_sched_config *c) {
    c->policy = VMT_SCHED_PRIORITY;
    c->max_num_seqs = 2;
}

static void lower_numbers_run_earlier(vmt_test *t) {
    struct bench *b = bench_of(t, by_priority);
    b->seqs[0].priority = 5;
    b->seqs[1].priority = 1;
    b->seqs[2].priority = 3;
    for (int i = 0; i < 3; i++) add(b, i, 4, 100 * i, NULL);
    vmt_expect_str(t, step(b), "1:4 2:4");
    vmt_scheduler_finish(b->sched, &b->seqs[1]);
    vmt_expect_str(t, step(b), "2:1 0:4");
    done(b);
}

static void two_seats(vmt_sched_config *c) {
    c->max_num_seqs = 2;
}

static void a_paused_one_makes_way(vmt_test *t) {
    struct bench *b = bench_of(t, two_seats);
    add(b, 0, 8, 100, NULL);
    add(b, 1, 4, 200, NULL);
    vmt_expect_str(t, step(b), "0:8 1:4");
    b->seqs[0].is_paused = true;
    vmt_expect_str(t, step(b), "1:1"); /* nobody else wants the seat */
    vmt_expect_eq(t, vmt_scheduler_stats(b->sched).num_paused, 1);
    add(b, 2, 4, 300, NULL);
    vmt_expect_str(t, step(b), "1:1 2:4 +0");
    vmt_expect_str(t, step(b), "1:1 2:1");
    b->seqs[0].is_paused = false;
    vmt_scheduler_finish(b->sched, &b->seqs[1]);
    vmt_expect_str(t, step(b), "2:1 0:1"); /* 8 of its 9 tokens were cached */
    done(b);
}

static void few_rows(vmt_sched_config *c) {
    c->max_num_logit_rows = 5;
}

static void rows_of_logits_are_limited(vmt_test *t) {
    struct bench *b = bench_of(t, few_rows);
    b->seqs[0].skip_prefix_cache = b->seqs[1].skip_prefix_cache = true;
    add(b, 0, 8, 100, NULL);
    add(b, 1, 4, 200, NULL);
    add(b, 2, 4, 300, NULL);
    vmt_expect_str(t, step(b), "0:5 2:4");
    vmt_expect_str(t, step(b), "2:1 0:3 1:2");
    done(b);
}

static void an_abandoned_step_changes_nothing(vmt_test *t) {
    struct bench *b = bench_of(t, NULL);
    add(b, 0, 8, 100, NULL);
    vmt_step first = vmt_scheduler_schedule(b->sched);
    vmt_expect_eq(t, first.num_scheduled, 1);
    vmt_scheduler_abandon(b->sched, &first);
    vmt_expect_eq(t, b->seqs[0].num_computed_tokens, 0);
    add(b, 1, 8, 100, NULL); /* nothing was published */
    vmt_expect_str(t, step(b), "0:8 1:8");
    done(b);
}

/* A step for a device: its rows as "index:rows ...", each that samples with a token to come. */
static const char *launch(struct bench *b) {
    static char text[128];
    int n = 0;
    text[0] = 0;
    b->step = vmt_scheduler_schedule(b->sched);
    vmt_scheduler_launch(b->sched, &b->step);
    for (uint32_t i = 0; i < b->step.num_scheduled; i++) {
        const vmt_scheduled *s = &b->step.scheduled[i];
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%d:%u", i ? " " : "", (int)(s->seq - b->seqs),
                      s->num_new_tokens);
        if (s->samples) vmt_scheduler_expect(b->sched, s->seq);
    }
    vmt_scheduler_check(b->sched);
    return text;
}

static void a_step_is_decided_before_its_token_is_known(vmt_test *t) {
    struct bench *b = bench_of(t, NULL);
    vmt_seq *a = add(b, 0, 7, 1, NULL);
    a->tokens_cap = 9;
    vmt_expect_str(t, launch(b), "0:7");
    vmt_expect_str(t, launch(b), "0:1"); /* with the token that the first one samples */
    vmt_expect_eq(t, a->num_expected, 2);
    vmt_expect_eq(t, a->num_blocks, 2);
    vmt_expect_str(t, launch(b), ""); /* the second token is its last */
    /* Blocks can be found when their step is back, and only with tokens that are known. */
    vmt_seq *same = add(b, 1, 7, 1, NULL);
    vmt_expect_str(t, launch(b), "1:7");
    vmt_expect_eq(t, same->num_cached_tokens, 0);
    vmt_scheduler_land(b->sched, a, 7);
    vmt_scheduler_supply(b->sched, a, 8);
    vmt_expect_eq(t, a->tokens[7], 8);
    vmt_expect_eq(t, a->num_published, 1);
    vmt_seq *later = add(b, 2, 9, 1, NULL);
    vmt_expect_str(t, launch(b), "1:1 2:5");
    vmt_expect_eq(t, later->num_cached_tokens, 4);
    vmt_scheduler_land(b->sched, a, 8); /* prompt 1 .. 7, and the token 8 */
    vmt_scheduler_supply(b->sched, a, 9);
    vmt_expect_eq(t, a->num_published, 2);
    vmt_scheduler_finish(b->sched, a); /* its owner knows that it is full */
    vmt_seq *last = add(b, 3, 9, 1, NULL);
    vmt_expect_str(t, launch(b), "1:1 2:1 3:1");
    vmt_expect_eq(t, last->num_cached_tokens, 8);
    done(b);
}

static void a_held_one_sits_out_and_keeps_its_blocks(vmt_test *t) {
    struct bench *b = bench_of(t, NULL);
    vmt_seq *a = add(b, 0, 3, 1, NULL);
    add(b, 1, 3, 50, NULL);
    vmt_expect_str(t, launch(b), "0:3 1:3");
    a->is_held = true;
    vmt_expect_str(t, launch(b), "1:1");
    vmt_expect_eq(t, a->num_blocks, 1);
    vmt_scheduler_supply(b->sched, a, 4);
    a->is_held = false;
    vmt_scheduler_supply(b->sched, &b->seqs[1], 53);
    vmt_expect_str(t, launch(b), "0:1 1:1");
    done(b);
}

static void a_lost_step_is_taken_back(vmt_test *t) {
    struct bench *b = bench_of(t, NULL);
    vmt_seq *a = add(b, 0, 3, 1, NULL);
    vmt_expect_str(t, launch(b), "0:3");
    vmt_scheduler_land(b->sched, a, 3);
    vmt_scheduler_supply(b->sched, a, 4);
    vmt_expect_str(t, launch(b), "0:1");
    vmt_scheduler_retract(b->sched, a, 1, true);
    vmt_expect_eq(t, a->num_computed_tokens, 3);
    vmt_expect_eq(t, a->num_tokens, 4);
    vmt_scheduler_check(b->sched);
    vmt_expect_str(t, launch(b), "0:1");
    done(b);
}

static void refuses_what_could_never_fit(vmt_test *t) {
    struct bench *b = bench_of(t, small_pool);
    b->config.max_model_len = 100;
    vmt_scheduler_destroy(b->sched);
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_scheduler_create(&b->sched, &b->config, &err), VMT_OK);
    vmt_seq seq = {.tokens = b->tokens[0], .tokens_cap = 101, .num_prompt_tokens = 3};
    vmt_expect_eq(t, vmt_scheduler_add(b->sched, &seq, &err), VMT_E_INVALID);
    vmt_expect_str(t, err.msg, "the sequence may grow to 101 tokens, the context is 100");
    seq.tokens_cap = 29;
    err = (vmt_err){0};
    vmt_expect_eq(t, vmt_scheduler_add(b->sched, &seq, &err), VMT_E_INVALID);
    vmt_expect_str(t, err.msg, "the sequence may grow to 8 blocks, the KV cache has 7");
    done(b);

    vmt_scheduler *none;
    vmt_sched_config c = b->config;
    c.max_num_batched_tokens = 3;
    err = (vmt_err){0};
    vmt_expect_eq(t, vmt_scheduler_create(&none, &c, &err), VMT_E_INVALID);
    vmt_expect_str(t, err.msg, "max_num_batched_tokens is 3, it must be at least max_num_seqs, 4");
}

static const vmt_test_case cases[] = {
    {"prefills_in_chunks_beside_decodes", prefills_in_chunks_beside_decodes},
    {"prefills_leave_decodes_the_time", prefills_leave_decodes_the_time},
    {"a_prompt_in_one_piece_is_not_held_back", a_prompt_in_one_piece_is_not_held_back},
    {"the_threshold_lets_short_prompts_by", the_threshold_lets_short_prompts_by},
    {"whole_prompts_wait_for_a_step_of_their_own", whole_prompts_wait_for_a_step_of_their_own},
    {"seats_are_limited", seats_are_limited},
    {"a_hit_leaves_one_token_to_compute", a_hit_leaves_one_token_to_compute},
    {"salts_and_prompt_logprobs_do_not_share", salts_and_prompt_logprobs_do_not_share},
    {"forks_share_the_prompt_also_without_caching", forks_share_the_prompt_also_without_caching},
    {"a_fork_without_a_parent_runs_by_itself", a_fork_without_a_parent_runs_by_itself},
    {"the_latest_is_preempted_and_comes_back_first", the_latest_is_preempted_and_comes_back_first},
    {"lower_numbers_run_earlier", lower_numbers_run_earlier},
    {"a_paused_one_makes_way", a_paused_one_makes_way},
    {"rows_of_logits_are_limited", rows_of_logits_are_limited},
    {"an_abandoned_step_changes_nothing", an_abandoned_step_changes_nothing},
    {"a_step_is_decided_before_its_token_is_known", a_step_is_decided_before_its_token_is_known},
    {"a_held_one_sits_out_and_keeps_its_blocks", a_held_one_sits_out_and_keeps_its_blocks},
    {"a_lost_step_is_taken_back", a_lost_step_is_taken_back},
    {"refuses_what_could_never_fit", refuses_what_could_never_fit},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
