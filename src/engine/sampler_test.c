/* engine/sampler_test.c: against a naive reference that sorts everything and adds in double precision.
 *
 * A case counts only where rounding cannot decide: when a draw or a cut lies within 1e-6 of a border, either side of it
 * is right and the case is passed over; few are. */
#include "engine/sampler.h"
#include "base/rng.h"
#include "base/test.h"

#include <math.h>
#include <stdlib.h>

#define VOCAB_MAX 70000u
#define NEAR      1e-6

/* ---- the reference */

struct candidate {
    float logit;
    int32_t id;
    double weight;
};

static int by_rank(const void *a, const void *b) {
    const struct candidate *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static int by_id(const void *a, const void *b) {
    const struct candidate *x = a, *y = b;
    return x->id < y->id ? -1 : 1;
}

static bool has_id(const int32_t *ids, uint32_t n, int32_t id) {
    for (uint32_t i = 0; i < n; i++) {
        if (ids[i] == id) return true;
    }
    return false;
}

static void ref_edit(const vmt_sample_args *args, const int32_t *prompt, uint32_t num_prompt, float *row,
                     uint32_t vocab) {
    const vmt_sampling *s = args->sampling;
    for (int32_t id = 0; id < (int32_t)vocab; id++) {
        if (args->num_output < s->min_tokens && has_id(args->end_ids, args->num_end_ids, id)) row[id] = -INFINITY;
        for (uint32_t i = 0; i < s->num_bad_words; i++) {
            const vmt_token_run *run = &s->bad_words[i];
            if (run->ids[run->len - 1] != id || run->len - 1 > args->num_output) continue;
            bool is_tail = true;
            for (uint32_t k = 0; k + 1 < run->len; k++) {
                is_tail &= args->output[args->num_output - (run->len - 1) + k] == run->ids[k];
            }
            if (is_tail) row[id] = -INFINITY;
        }
        if (s->allowed_token_ids && !has_id(s->allowed_token_ids, s->num_allowed_token_ids, id))
            row[id] = -INFINITY;
        for (uint32_t i = 0; i < s->num_logit_bias; i++) {
            if (s->logit_bias[i].token_id == id) row[id] += s->logit_bias[i].bias;
        }
        uint32_t num_output = 0;
        for (uint32_t i = 0; i < args->num_output; i++) num_output += args->output[i] == id;
        if (num_output > 0 || has_id(prompt, num_prompt, id)) {
            row[id] = row[id] > 0 ? row[id] / s->repetition_penalty : row[id] * s->repetition_penalty;
        }
        row[id] -= s->frequency_penalty * (float)num_output;
        if (num_output > 0) row[id] -= s->presence_penalty;
    }
}

/* The token, or -1 where rounding may decide. */
static int32_t ref_draw(const vmt_sample_args *args, const float *row, uint32_t vocab, struct candidate *c) {
    const vmt_sampling *s = args->sampling;
    uint32_t n = 0;
    for (uint32_t id = 0; id < vocab; id++) {
        if (row[id] > -INFINITY) c[n++] = (struct candidate){.logit = row[id], .id = (int32_t)id};
    }
    qsort(c, n, sizeof *c, by_rank);
    if (s->temperature == 0) return c[0].id;
    for (uint32_t i = 0; i < n; i++) {
        c[i].weight = exp(((double)c[i].logit - (double)c[0].logit) / (double)s->temperature);
    }
    for (uint32_t i = 0; s->min_p > 0 && i < n; i++) {
        if (c[i].weight < 1 && fabs(c[i].weight / (double)s->min_p - 1) < NEAR) return -1;
        if (c[i].weight < (double)s->min_p) n = i;
    }
    if (s->top_k > 0) n = VMT_MIN(n, (uint32_t)s->top_k);
    double total = 0, head = 0;
    for (uint32_t i = 0; i < n; i++) total += c[i].weight;
    for (uint32_t i = 0; s->top_p < 1 && i < n; i++) {
        head += c[i].weight;
        if (fabs(head / total - (double)s->top_p) < NEAR) return -1;
        if (head >= (double)s->top_p * total) n = i + 1;
    }
    qsort(c, n, sizeof *c, by_id);
    total = head = 0;
    for (uint32_t i = 0; i < n; i++) total += c[i].weight;
    double target = vmt_rng_uniform(args->seed, args->seq_idx, args->num_output) * total;
    for (uint32_t i = 0; i < n; i++) {
        head += c[i].weight;
        if (fabs(head - target) < NEAR * total) return -1;
        if (head >= target) return c[i].id;
    }
    return -1;
}

/* ---- random cases */

struct dice {
    uint64_t rng;
};

static uint32_t below(struct dice *d, uint32_t n) {
    return (uint32_t)(vmt_splitmix64(&d->rng) % n);
}

static float uniform(struct dice *d) {
    return (float)(vmt_splitmix64(&d->rng) >> 40) * 0x1p-24f;
}

static void draw_row(struct dice *d, float *row, uint32_t vocab) {
    float spread = 1 + 12 * uniform(d);
    bool has_ties = below(d, 3) == 0;
    for (uint32_t i = 0; i < vocab; i++) {
        float x = (uniform(d) + uniform(d) + uniform(d) - 1.5f) * spread;
        row[i] = has_ties ? roundf(x) : x;
    }
    for (uint32_t i = below(d, 5); i > 0; i--) row[below(d, vocab)] = below(d, 2) ? -INFINITY : spread * 3;
}

static void draw_filters(struct dice *d, vmt_sampling *s, uint32_t vocab) {
    static const float temperatures[] = {0, 0.3f, 0.7f, 1, 1, 2};
    static const float top_ps[] = {1, 1, 0.1f, 0.5f, 0.9f, 0.99f};
    static const float min_ps[] = {0, 0, 0.02f, 0.2f, 1};
    s->temperature = temperatures[below(d, VMT_COUNT(temperatures))];
    s->top_p = top_ps[below(d, VMT_COUNT(top_ps))];
    s->min_p = min_ps[below(d, VMT_COUNT(min_ps))];
    if (below(d, 2)) s->top_k = (int32_t)(1 + below(d, below(d, 2) ? 60 : 2 * vocab));
}

static const uint32_t vocabs[] = {1, 5, 63, 64, 65, 130, 1000, 5000, 40000};

static void agrees_with_the_reference(vmt_test *t) {
    struct dice d = {t->seed};
    float *row = VMT_ARENA_NEW(t->arena, float, VOCAB_MAX), *copy = VMT_ARENA_NEW(t->arena, float, VOCAB_MAX);
    struct candidate *c = VMT_ARENA_NEW(t->arena, struct candidate, VOCAB_MAX);
    uint32_t num_compared = 0, num_cases = 0;
    for (uint32_t v = 0; v < VMT_COUNT(vocabs); v++) {
        uint32_t vocab = vocabs[v];
        vmt_sampler_scratch *scratch = vmt_sampler_scratch_create(vocab);
        for (uint32_t i = 0; i < (vocab > 1000 ? 60u : 600u); i++) {
            vmt_sampling s = vmt_sampling_default();
            draw_filters(&d, &s, vocab);
            vmt_sample_args args = {.sampling = &s, .seed = vmt_splitmix64(&d.rng), .seq_idx = below(&d, 4)};
            draw_row(&d, row, vocab);
            memcpy(copy, row, vocab * sizeof *row);
            vmt_sample out = {0};
            vmt_sample_row(scratch, &args, row, &out);
            int32_t want = ref_draw(&args, copy, vocab, c);
            num_cases++;
            if (want < 0) continue;
            num_compared++;
            if (out.token_id == want) continue;
            vmt_test_fail(t, __FILE__, __LINE__,
                          "vocab %u case %u: %d, expected %d (temp %g top_k %d top_p %g min_p %g)", vocab, i,
                          out.token_id, want, (double)s.temperature, s.top_k, (double)s.top_p, (double)s.min_p);
        }
        vmt_sampler_scratch_destroy(scratch);
    }
    vmt_expect(t, num_compared * 10 > num_cases * 8);
}

static void edits_as_the_reference_does(vmt_test *t) {
    enum { VOCAB = 200, PROMPT = 30, OUTPUT = 12 };
    struct dice d = {t->seed + 1};
    vmt_sampler_scratch *scratch = vmt_sampler_scratch_create(VOCAB);
    uint32_t num_compared = 0;
    for (uint32_t i = 0; i < 3000; i++) {
        int32_t prompt[PROMPT], output[OUTPUT], end_ids[3], allowed[20], runs[3][2];
        vmt_logit_bias bias[5];
        vmt_token_run bad_words[3];
        for (int k = 0; k < PROMPT; k++) prompt[k] = (int32_t)below(&d, VOCAB);
        for (int k = 0; k < OUTPUT; k++) output[k] = (int32_t)below(&d, 20);
        for (int k = 0; k < 3; k++) end_ids[k] = (int32_t)below(&d, VOCAB);
        for (int k = 0; k < 20; k++) allowed[k] = (int32_t)below(&d, VOCAB);
        for (int k = 0; k < 5; k++) bias[k] = (vmt_logit_bias){(int32_t)below(&d, VOCAB), 10 * uniform(&d) - 5};
        for (int k = 0; k < 3; k++) {
            runs[k][0] = below(&d, 2) ? output[OUTPUT - 1] : (int32_t)below(&d, 20);
            runs[k][1] = (int32_t)below(&d, VOCAB);
            bad_words[k] = k == 0 ? (vmt_token_run){&runs[k][1], 1} : (vmt_token_run){runs[k], 2};
        }
        vmt_sampling s = vmt_sampling_default();
        draw_filters(&d, &s, VOCAB);
        if (below(&d, 2)) s.repetition_penalty = 0.5f + uniform(&d) * 1.5f;
        if (below(&d, 2)) s.presence_penalty = 2 * uniform(&d);
        if (below(&d, 2)) s.frequency_penalty = 2 * uniform(&d) - 0.5f;
        s.min_tokens = below(&d, 20);
        if (below(&d, 2)) s.logit_bias = bias, s.num_logit_bias = 5;
        if (below(&d, 2)) s.bad_words = bad_words, s.num_bad_words = 3;
        if (below(&d, 3) == 0) s.allowed_token_ids = allowed, s.num_allowed_token_ids = 20;
        uint32_t num_output = below(&d, OUTPUT + 1);
        vmt_token_counts counts;
        vmt_arena *arena = vmt_arena_create(1 << 20);
        vmt_expect(t, vmt_token_counts_init(&counts, arena, PROMPT + OUTPUT));
        for (int k = 0; k < PROMPT; k++) vmt_token_counts_add(&counts, prompt[k], false);
        for (uint32_t k = 0; k < num_output; k++) vmt_token_counts_add(&counts, output[k], true);
        vmt_sample_args args = {.sampling = &s,
                                .end_ids = end_ids,
                                .num_end_ids = 3,
                                .output = output,
                                .num_output = num_output,
                                .counts = &counts,
                                .seed = i};
        float row[VOCAB], copy[VOCAB];
        struct candidate c[VOCAB];
        draw_row(&d, row, VOCAB);
        memcpy(copy, row, sizeof row);
        ref_edit(&args, prompt, PROMPT, copy, VOCAB);
        int32_t want = ref_draw(&args, copy, VOCAB, c);
        vmt_sample out = {0};
        vmt_sample_row(scratch, &args, row, &out);
        vmt_arena_destroy(arena);
        if (want < 0) continue;
        num_compared++;
        vmt_expect_eq(t, out.token_id, want);
    }
    vmt_expect(t, num_compared > 2000);
    vmt_sampler_scratch_destroy(scratch);
}

static void reports_raw_logprobs_and_ranks(vmt_test *t) {
    struct dice d = {t->seed + 2};
    static const int32_t num_logprobs[] = {0, 1, 5, 20, 900, INT32_MAX};
    uint32_t vocab = 70000;
    float *row = VMT_ARENA_NEW(t->arena, float, vocab), *raw = VMT_ARENA_NEW(t->arena, float, vocab);
    struct candidate *c = VMT_ARENA_NEW(t->arena, struct candidate, vocab);
    vmt_token_logprob *top = VMT_ARENA_NEW(t->arena, vmt_token_logprob, vocab);
    vmt_sampler_scratch *scratch = vmt_sampler_scratch_create(vocab);
    for (uint32_t i = 0; i < 36; i++) {
        for (uint32_t k = 0; k < vocab; k++) row[k] = raw[k] = 10 * uniform(&d);
        if (i % 2) row[17] = raw[17] = 40;
        vmt_logit_bias bias = {.token_id = (int32_t)below(&d, vocab), .bias = 50}; /* the raw value is reported */
        vmt_sampling s = vmt_sampling_default();
        s.num_logprobs = num_logprobs[i % VMT_COUNT(num_logprobs)];
        if (i % 3 == 0) s.logit_bias = &bias, s.num_logit_bias = 1;
        vmt_sample_args args = {.sampling = &s, .seed = i};
        vmt_sample out = {.top = top};
        vmt_sample_row(scratch, &args, row, &out);

        double sum = 0;
        uint32_t rank = 1;
        for (uint32_t k = 0; k < vocab; k++) {
            c[k] = (struct candidate){.logit = raw[k], .id = (int32_t)k};
            sum += exp((double)raw[k]);
            rank += raw[k] > raw[out.token_id];
        }
        vmt_expect_near(t, out.logprob, (double)raw[out.token_id] - log(sum), 1e-5);
        vmt_expect_eq(t, out.rank, rank);
        if (i % 3 == 0) vmt_expect_eq(t, out.token_id, bias.token_id);
        vmt_expect_eq(t, out.num_top, VMT_MIN((uint32_t)s.num_logprobs, vocab));
        qsort(c, vocab, sizeof *c, by_rank);
        for (uint32_t k = 0; k < out.num_top; k++) {
            vmt_expect_eq(t, out.top[k].token_id, c[k].id);
            vmt_expect_near(t, out.top[k].logprob, (double)c[k].logit - log(sum), 1e-5);
        }
    }
    vmt_sampler_scratch_destroy(scratch);
}

static void draws_with_the_right_frequencies(vmt_test *t) {
    enum { VOCAB = 300, DRAWS = 200000 };
    float logits[VOCAB], row[VOCAB];
    uint32_t counts[VOCAB] = {0};
    struct dice d = {t->seed + 3};
    double sum = 0, chi2 = 0;
    for (int i = 0; i < VOCAB; i++) logits[i] = 4 * uniform(&d);
    for (int i = 0; i < VOCAB; i++) sum += exp((double)logits[i] / 0.8);
    vmt_sampler_scratch *scratch = vmt_sampler_scratch_create(VOCAB);
    vmt_sampling s = vmt_sampling_default();
    s.temperature = 0.8f;
    vmt_sample out = {0};
    for (uint32_t i = 0; i < DRAWS; i++) {
        vmt_sample_args args = {.sampling = &s, .seed = 99, .seq_idx = i % 7, .num_output = i / 7};
        memcpy(row, logits, sizeof row);
        vmt_sample_row(scratch, &args, row, &out);
        counts[out.token_id]++;
    }
    for (int i = 0; i < VOCAB; i++) {
        double want = exp((double)logits[i] / 0.8) / sum * DRAWS;
        chi2 += (counts[i] - want) * (counts[i] - want) / want;
    }
    /* 299 degrees of freedom: mean 299, standard deviation 24.5; four of them up. */
    vmt_expect(t, chi2 < 299 + 98);
    vmt_sampler_scratch_destroy(scratch);
}

static void takes_the_lowest_id_on_ties(vmt_test *t) {
    float row[1000];
    vmt_sampler_scratch *scratch = vmt_sampler_scratch_create(1000);
    vmt_sampling s = vmt_sampling_default();
    vmt_sample_args args = {.sampling = &s};
    vmt_sample out = {0};
    for (int i = 0; i < 1000; i++) row[i] = i == 421 || i == 422 || i == 999 ? 2 : -0.0f;
    s.temperature = 0;
    vmt_sample_row(scratch, &args, row, &out);
    vmt_expect_eq(t, out.token_id, 421);
    s.temperature = 1;
    s.top_k = 2; /* of three equals the two lowest stay */
    bool seen[2] = {false, false};
    for (args.num_output = 0; args.num_output < 64; args.num_output++) {
        vmt_sample_row(scratch, &args, row, &out);
        vmt_expect(t, out.token_id == 421 || out.token_id == 422);
        seen[out.token_id - 421] = true;
    }
    vmt_expect(t, seen[0] && seen[1]);
    vmt_sampler_scratch_destroy(scratch);
}

static void survives_what_no_model_should_say(vmt_test *t) {
    float row[130];
    vmt_sampler_scratch *scratch = vmt_sampler_scratch_create(130);
    vmt_token_logprob top[130];
    for (int what = 0; what < 4; what++) {
        for (int greedy = 0; greedy < 2; greedy++) {
            vmt_sampling s = vmt_sampling_default();
            s.temperature = greedy ? 0 : 1;
            s.num_logprobs = 5;
            s.top_p = 0.9f;
            vmt_sample_args args = {.sampling = &s};
            vmt_sample out = {.top = top};
            for (int i = 0; i < 130; i++) row[i] = what < 2 ? (what ? NAN : -INFINITY) : (i % 2 ? NAN : 1.0f);
            if (what == 3) row[77] = INFINITY;
            vmt_sample_row(scratch, &args, row, &out);
            if (what < 2) vmt_expect_eq(t, out.token_id, 0);
            if (what == 2) vmt_expect(t, out.token_id % 2 == 0);
            if (what == 3) vmt_expect_eq(t, out.token_id, 77);
        }
    }
    vmt_sampler_scratch_destroy(scratch);
}

static const vmt_test_case cases[] = {
    {"agrees_with_the_reference", agrees_with_the_reference},
    {"edits_as_the_reference_does", edits_as_the_reference_does},
    {"reports_raw_logprobs_and_ranks", reports_raw_logprobs_and_ranks},
    {"draws_with_the_right_frequencies", draws_with_the_right_frequencies},
    {"takes_the_lowest_id_on_ties", takes_the_lowest_id_on_ties},
    {"survives_what_no_model_should_say", survives_what_no_model_should_say},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
