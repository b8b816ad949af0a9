/* engine/sampler_bench.c: microseconds per row of a 151,936-token vocabulary, for the usual settings. */
#include "engine/sampler.h"
#include "base/clock.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VOCAB    151936u
#define NUM_ROWS 8u
#define NUM_RUNS 60u

static float *rows, *work;

/* Roughly normal logits; a peaked row has a model's usual long tail below a few likely tokens. */
static void fill(float spread, float peak) {
    uint64_t rng = 1;
    for (size_t i = 0; i < (size_t)NUM_ROWS * VOCAB; i++) {
        float sum = -6;
        for (int k = 0; k < 12; k++) sum += (float)(vmt_splitmix64(&rng) >> 40) * 0x1p-24f;
        rows[i] = sum * spread;
    }
    for (uint32_t r = 0; r < NUM_ROWS; r++) {
        for (int k = 0; k < 40; k++) rows[(size_t)r * VOCAB + vmt_splitmix64(&rng) % VOCAB] += peak;
    }
}

static void measure(const char *name, vmt_sampling sampling) {
    vmt_sampler_scratch *scratch = vmt_sampler_scratch_create(VOCAB);
    vmt_token_logprob top[64];
    uint64_t best = UINT64_MAX;
    for (uint32_t run = 0; run < NUM_RUNS; run++) {
        const float *row = rows + (size_t)(run % NUM_ROWS) * VOCAB;
        memcpy(work, row, VOCAB * sizeof *row);
        vmt_sample_args args = {.sampling = &sampling, .seed = run};
        vmt_sample out = {.top = top};
        uint64_t begin = vmt_clock_ns();
        vmt_sample_row(scratch, &args, work, &out);
        uint64_t took = vmt_clock_ns() - begin;
        best = VMT_MIN(best, took);
    }
    printf("%-28s %7.1f us\n", name, (double)best / 1e3);
    vmt_sampler_scratch_destroy(scratch);
}

static void measure_all(const char *title) {
    printf("-- %s\n", title);
    vmt_sampling s = vmt_sampling_default();
    s.temperature = 0;
    measure("greedy", s);
    s.num_logprobs = 5;
    measure("greedy, 5 logprobs", s);
    s = vmt_sampling_default();
    measure("temperature 1", s);
    s.min_p = 0.05f;
    measure("min_p 0.05", s);
    s.min_p = 0;
    s.top_k = 50;
    measure("top_k 50", s);
    s.top_p = 0.95f;
    measure("top_k 50, top_p 0.95", s);
    s.top_k = 0;
    measure("top_p 0.95", s);
    s.temperature = 0.7f;
    s.top_p = 0.8f;
    s.top_k = 20;
    measure("0.7, top_k 20, top_p 0.8", s);
}

int main(void) {
    rows = malloc((size_t)NUM_ROWS * VOCAB * sizeof *rows);
    work = malloc(VOCAB * sizeof *work);
    if (!rows || !work) return 1;
    fill(1.5f, 16.0f);
    measure_all("peaked");
    fill(1.0f, 0.0f);
    measure_all("flat");
    free(rows);
    free(work);
    return 0;
}
