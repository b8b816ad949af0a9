/* ops/gpu_sample_test.c: kernels of sampling against the scalar reference, bit for bit where sums don't decide. */
#include "ops/gpu_sample.h"
#include "backend/test_rig.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS      6u
#define EDITS_MAX 4096u
#define TOPS      20u

struct bench {
    vmt_test_rig rig;
    vmt_gpu_sample_args args;
    vmt_sample_batch batch;
    vmt_row_sample samples[ROWS];
    vmt_row_edits edited[ROWS];
    vmt_row_score scored[ROWS];
    vmt_edit edits[EDITS_MAX];
    uint32_t *masks[2];
    int32_t previous[ROWS];
    uint32_t vocab;
    float *logits;
    uint64_t rng;
};

static uint32_t below(struct bench *b, uint32_t n) {
    return (uint32_t)(vmt_splitmix64(&b->rng) % n);
}

static float unit(struct bench *b) {
    return (float)(vmt_splitmix64(&b->rng) >> 40) * 0x1p-24f;
}

/* Logits about as a model has them; kind 1 ties a lot, kind 2 has NaNs and infinities, kind 3 is one value alone. */
static void draw_logits(struct bench *b, uint32_t kind) {
    for (uint32_t i = 0; i < ROWS * b->vocab; i++) {
        float x = (unit(b) + unit(b) + unit(b) - 1.5f) * 8.0f;
        if (kind == 1) x = floorf(x * 2) / 2;
        if (kind == 2 && below(b, 50) == 0) x = below(b, 2) ? NAN : -INFINITY;
        if (kind == 3) x = -2.5f;
        b->logits[i] = x;
    }
}

static void open_bench(struct bench *b, vmt_test *t, uint32_t vocab, uint64_t seed) {
    vmt_test_rig_open(&b->rig, t);
    b->vocab = vocab;
    b->rng = seed;
    uint32_t words = (vocab + 31) / 32;
    b->logits = vmt_arena_alloc(t->arena, ROWS * (size_t)vocab * sizeof(float));
    for (uint32_t i = 0; i < 2; i++) {
        b->masks[i] = VMT_ARENA_NEW(t->arena, uint32_t, words);
        for (uint32_t k = 0; k < words; k++)
            b->masks[i][k] = (uint32_t)vmt_splitmix64(&b->rng) | (i ? 0 : below(b, 99));
    }
    vmt_test_rig *rig = &b->rig;
    b->args = (vmt_gpu_sample_args){
        .logits = vmt_test_rig_zeros(rig, VMT_F32, ROWS, vocab),
        .samples = vmt_test_rig_zeros(rig, VMT_I32, ROWS, sizeof(vmt_row_sample) / 4),
        .edited = vmt_test_rig_zeros(rig, VMT_I32, ROWS, sizeof(vmt_row_edits) / 4),
        .edits = vmt_test_rig_zeros(rig, VMT_I32, EDITS_MAX, sizeof(vmt_edit) / 4),
        .masks = vmt_test_rig_zeros(rig, VMT_I32, 2, words),
        .scored = vmt_test_rig_zeros(rig, VMT_I32, ROWS, sizeof(vmt_row_score) / 4),
        .previous = vmt_test_rig_zeros(rig, VMT_I32, ROWS, 1),
        .saved = vmt_test_rig_zeros(rig, VMT_I32, EDITS_MAX + ROWS, 1),
        .best = vmt_test_rig_zeros(rig, VMT_I32, ROWS * vmt_gpu_sample_chunks(vocab), 2),
        .sampled = vmt_test_rig_zeros(rig, VMT_I32, ROWS, 1),
        .scores = vmt_test_rig_zeros(rig, VMT_I32, ROWS, sizeof(vmt_score) / 4),
        .tops = vmt_test_rig_zeros(rig, VMT_I32, ROWS * TOPS, sizeof(vmt_top) / 4),
    };
    vmt_err err = {0};
    vmt_test_rig_recorded(rig, vmt_gpu_sample(rig->program, &b->args, &err), &err);
    b->batch = (vmt_sample_batch){.samples = b->samples,
                                  .edited = b->edited,
                                  .edits = b->edits,
                                  .masks = (const uint32_t *const *)b->masks,
                                  .num_masks = 2,
                                  .scored = b->scored};
}

static void edit_row(struct bench *b, uint32_t row) {
    vmt_row_edits *e = &b->edited[b->batch.num_edited++];
    *e = (vmt_row_edits){
        .logit_row = row,
        .expected = below(b, 2) ? (int32_t)below(b, ROWS) : -1,
        .first_edit = b->batch.num_edits,
        .num_bans = below(b, 9),
        .num_biases = below(b, VMT_MIN(b->vocab, 40)),
        .num_counts = below(b, VMT_MIN(b->vocab, 300)),
        .repetition = below(b, 2) ? 1.25f : 1.0f,
        .presence = below(b, 2) ? 0.5f : 0,
        .frequency = below(b, 2) ? 0.125f : 0,
    };
    for (uint32_t i = 0; i < e->num_bans; i++) {
        int32_t condition = below(b, 2) ? -1 : b->previous[below(b, ROWS)];
        b->edits[b->batch.num_edits++] = (vmt_edit){(int32_t)below(b, b->vocab), {.condition = condition}};
    }
    /* Ids of a kind differ: so many in turn from a place of their own. */
    uint32_t first = below(b, b->vocab);
    for (uint32_t i = 0; i < e->num_biases; i++) {
        int32_t id = (int32_t)((first + i) % b->vocab);
        b->edits[b->batch.num_edits++] = (vmt_edit){id, {.bias = unit(b) * 8 - 4}};
    }
    first = below(b, 2) ? (uint32_t)b->previous[0] : below(b, b->vocab);
    for (uint32_t i = 0; i < e->num_counts; i++) {
        int32_t id = (int32_t)((first + i) % b->vocab);
        b->edits[b->batch.num_edits++] = (vmt_edit){id, {.count = below(b, 4)}};
    }
}

static void sample_row(struct bench *b, uint32_t row) {
    float temperature = 0.3f + unit(b);
    b->samples[b->batch.num_samples++] = (vmt_row_sample){
        .logit_row = row,
        .mask = below(b, 3) ? -1 : (int32_t)below(b, 2),
        .allowed = below(b, 3) ? -1 : (int32_t)below(b, 2),
        .fallback = 1,
        .inv_temp = below(b, 4) ? 1 / temperature : 0,
        .floor_nats = below(b, 3) ? VMT_SAMPLE_NO_FLOOR : -4 * unit(b),
        .top_p = below(b, 2) ? 1 : 0.3f + 0.7f * unit(b),
        .top_k = below(b, 2) ? 0 : 1 + below(b, 80),
        .uniform = unit(b),
    };
}

static void put(const vmt_tensor *t, const void *data, size_t bytes) {
    VMT_ASSERT(bytes <= vmt_tensor_bytes(t));
    memcpy(vmt_tensor_data(t), data, bytes);
}

static void run(struct bench *b) {
    const vmt_sample_batch *batch = &b->batch;
    size_t mask_bytes = (b->vocab + 31) / 32 * 4;
    put(&b->args.logits, b->logits, ROWS * (size_t)b->vocab * sizeof(float));
    put(&b->args.samples, b->samples, sizeof b->samples);
    put(&b->args.edited, b->edited, sizeof b->edited);
    put(&b->args.edits, b->edits, batch->num_edits * sizeof(vmt_edit));
    put(&b->args.scored, b->scored, sizeof b->scored);
    put(&b->args.previous, b->previous, sizeof b->previous);
    for (uint32_t i = 0; i < 2; i++) {
        memcpy((uint8_t *)vmt_tensor_data(&b->args.masks) + i * mask_bytes, b->masks[i], mask_bytes);
    }
    uint32_t counts[VMT_NUM_STEP_COUNTS] = {[VMT_COUNT_SAMPLES] = batch->num_samples,
                                            [VMT_COUNT_EDITED] = batch->num_edited,
                                            [VMT_COUNT_SCORED] = batch->num_scored};
    vmt_test_rig_run(&b->rig, counts);
}

static void expect_reference(struct bench *b) {
    vmt_test *t = b->rig.t;
    int32_t sampled[ROWS];
    vmt_score scores[ROWS];
    vmt_top tops[ROWS * TOPS];
    const int32_t *got = vmt_tensor_data(&b->args.sampled);
    const vmt_score *got_scores = vmt_tensor_data(&b->args.scores);
    const vmt_top *got_tops = vmt_tensor_data(&b->args.tops);
    vmt_expect(t, memcmp(vmt_tensor_data(&b->args.logits), b->logits, ROWS * (size_t)b->vocab * 4) == 0);
    vmt_expect_eq(t, vmt_sample_reference(&b->batch, b->vocab, b->logits, b->previous, sampled, scores, tops),
                  VMT_OK);
    for (uint32_t i = 0; i < b->batch.num_samples; i++) vmt_expect_eq(t, got[i], sampled[i]);
    for (uint32_t i = 0; i < b->batch.num_scored; i++) {
        const vmt_score *s = &scores[i], *g = &got_scores[i];
        vmt_expect(t, memcmp(&g->logit, &s->logit, 4) == 0 && g->max == s->max);
        vmt_expect_near(t, g->sum / s->sum, 1, 1e-5);
        vmt_expect_eq(t, g->rank, s->rank);
        vmt_expect_eq(t, g->num_top, s->num_top);
        for (uint32_t k = b->scored[i].first_top; k < b->scored[i].first_top + s->num_top; k++) {
            vmt_expect_eq(t, got_tops[k].token_id, tops[k].token_id);
            vmt_expect(t, got_tops[k].logit == tops[k].logit);
        }
    }
}

static void draws_what_the_reference_draws(vmt_test *t) {
    /* One chunk and many, whole words and a rest, fewer ids than lanes. */
    static const uint32_t vocabs[] = {3, 32, 97, 1000, 4097, 33000};
    for (uint32_t round = 0; round < VMT_COUNT(vocabs) * 12; round++) {
        if (!vmt_test_gpu_takes()) continue;
        struct bench *b = VMT_ARENA_NEW(t->arena, struct bench, 1);
        open_bench(b, t, vocabs[round % VMT_COUNT(vocabs)], t->seed + round);
        draw_logits(b, round / VMT_COUNT(vocabs) % 4);
        for (uint32_t i = 0; i < ROWS; i++) b->previous[i] = (int32_t)below(b, b->vocab);
        for (uint32_t i = 0; i < ROWS; i++) {
            if (below(b, 2)) edit_row(b, i);
            if (i > 0) sample_row(b, i);
        }
        for (uint32_t i = 0; i < ROWS; i++) {
            uint32_t num_top = below(b, TOPS + 1);
            bool is_sampled = i < b->batch.num_samples && below(b, 2);
            b->scored[b->batch.num_scored++] =
                (vmt_row_score){.logit_row = is_sampled ? b->samples[i].logit_row : i,
                                .sample = is_sampled ? (int32_t)i : -1,
                                .token_id = (int32_t)below(b, b->vocab),
                                .num_top = num_top,
                                .first_top = b->batch.num_tops};
            b->batch.num_tops += num_top;
        }
        run(b);
        expect_reference(b);
        vmt_test_rig_close(&b->rig);
    }
}

static void a_row_without_choice_falls_back(vmt_test *t) {
    struct bench *b = VMT_ARENA_NEW(t->arena, struct bench, 1);
    open_bench(b, t, 100, 5);
    draw_logits(b, 0);
    for (uint32_t i = 0; i < 100; i++) b->logits[i] = i & 1 ? NAN : -INFINITY;
    memset(b->masks[1], 0, 16);
    b->logits[200 + 42] = INFINITY;
    for (uint32_t i = 0; i < 3; i++) {
        b->samples[i] = (vmt_row_sample){
            .logit_row = i, .mask = i == 1 ? 1 : -1, .allowed = -1, .fallback = 7, .inv_temp = 1, .top_p = 1};
        b->samples[i].floor_nats = VMT_SAMPLE_NO_FLOOR;
    }
    b->batch.num_samples = 3;
    run(b);
    const int32_t *got = vmt_tensor_data(&b->args.sampled);
    vmt_expect_eq(t, got[0], 7);
    vmt_expect_eq(t, got[1], 7);
    vmt_expect_eq(t, got[2], 42);
    vmt_test_rig_close(&b->rig);
}

static void unknown_tokens_take_their_places(vmt_test *t) {
    vmt_test_rig rig;
    vmt_test_rig_open(&rig, t);
    int32_t ids[300], sources[300], previous[4] = {70, 71, 72, 73};
    for (int32_t i = 0; i < 300; i++) {
        ids[i] = i;
        sources[i] = i % 7 == 0 ? i % 4 : -1;
    }
    vmt_gpu_resolve_tokens_args args = {
        .token_ids = vmt_test_rig_ints(&rig, ids, 300, 1),
        .sources = vmt_test_rig_ints(&rig, sources, 300, 1),
        .previous = vmt_test_rig_ints(&rig, previous, 4, 1),
        .out = vmt_test_rig_zeros(&rig, VMT_I32, 300, 1),
    };
    vmt_err err = {0};
    vmt_test_rig_recorded(&rig, vmt_gpu_resolve_tokens(rig.program, &args, &err), &err);
    vmt_test_rig_run(&rig, (uint32_t[VMT_NUM_STEP_COUNTS]){[VMT_COUNT_TOKENS] = 299});
    const int32_t *out = vmt_tensor_data(&args.out);
    for (int32_t i = 0; i < 299; i++) vmt_expect_eq(t, out[i], i % 7 == 0 ? previous[i % 4] : i);
    vmt_expect_eq(t, out[299], 0);
    vmt_test_rig_close(&rig);
}

static const vmt_test_case cases[] = {
    {"draws_what_the_reference_draws", draws_what_the_reference_draws},
    {"a_row_without_choice_falls_back", a_row_without_choice_falls_back},
    {"unknown_tokens_take_their_places", unknown_tokens_take_their_places},
    {NULL, NULL},
};
VMT_GPU_TEST_MAIN(cases)
