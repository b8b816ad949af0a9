/* engine/engine_bench.c: what a step costs outside the model, with 256 running sequences: time, and allocations of the
 * steps in which nothing arrives or ends.
 *
 * The fake model's vocabulary is tiny, so that sampling does not hide the rest; sampler_bench.c measures rows of the
 * usual size. */
#include "base/arena.h"
#include "base/test_allocs.h"
#include "engine/engine.h"
#include "engine/fake_runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NUM_SEQS   256u
#define NUM_TOKENS 1000u
#define NUM_PROMPT 200u

static void run(uint32_t vocab, bool is_random) {
    vmt_engine_config config = {
        .sched = {.num_blocks = 24000,
                  .block_size = 16,
                  .max_num_seqs = NUM_SEQS,
                  .max_num_batched_tokens = 8192,
                  .max_model_len = 4096,
                  .enable_prefix_caching = true,
                  .enable_chunked_prefill = true,
                  .hash_key = {1, 2}},
        .waiting_max = NUM_SEQS,
        .count_allocations = vmt_test_num_allocs,
    };
    vmt_fake_runner_config fake_config = {
        .vocab = vocab,
        .max_model_len = 4096,
        .num_blocks = config.sched.num_blocks,
        .block_size = config.sched.block_size,
        .num_logits_max = NUM_SEQS + VMT_PROMPT_LOGIT_ROWS,
        .window = 4,
        .peak = 5,
    };
    vmt_fake_runner *fake;
    vmt_engine *engine;
    vmt_err err = {0};
    if (vmt_fake_runner_create(&fake, &fake_config, &err) != VMT_OK ||
        vmt_engine_create(&engine, &config, vmt_fake_runner_face(fake), &err) != VMT_OK) {
        fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    vmt_arena *arena = vmt_arena_create((size_t)1 << 30);
    vmt_generation *gens[NUM_SEQS];
    int32_t prompt[NUM_PROMPT];
    for (uint32_t i = 0; i < NUM_SEQS; i++) {
        for (uint32_t k = 0; k < NUM_PROMPT; k++) prompt[k] = (int32_t)((i * 7 + k * k) % vocab);
        vmt_generation_params params = {.prompt = prompt, .num_prompt = NUM_PROMPT, .n = 1};
        params.sampling = vmt_sampling_default();
        params.sampling.temperature = is_random ? 1 : 0;
        params.sampling.top_k = is_random ? 20 : 0;
        params.sampling.max_tokens = NUM_TOKENS;
        if (vmt_generation_create(&gens[i], engine, &params, arena, &err) != VMT_OK ||
            vmt_engine_submit(engine, gens[i], &err) != VMT_OK) {
            fprintf(stderr, "%s\n", err.msg);
            exit(1);
        }
    }
    if (vmt_engine_start(engine, &err) != VMT_OK) exit(1);
    for (uint32_t num_ended = 0; num_ended < NUM_SEQS;) {
        vmt_generation *gen;
        vmt_output_token token;
        usleep(500);
        while ((gen = vmt_engine_take_ready(engine)) != NULL) {
            while (vmt_generation_next(gen, 0, &token)) {}
            num_ended += vmt_generation_ended(gen);
        }
    }
    vmt_engine_stop(engine);
    vmt_engine_stats s = vmt_engine_get_stats(engine);
    uint64_t outside_ns = s.step_ns_total - s.forward_ns_total;
    printf("vocabulary %6u, %-9s %6.1f us a step outside the model, %5.2f us a token; %.1f sequences a step; ",
           vocab, is_random ? "top_k 20:" : "greedy:", (double)outside_ns / 1e3 / (double)s.num_steps,
           (double)outside_ns / 1e3 / (double)s.num_generated_tokens,
           (double)s.num_generated_tokens / (double)s.num_steps);
    if (vmt_test_can_count_allocs())
        printf("%llu allocations\n", (unsigned long long)s.num_allocations);
    else
        printf("allocations not counted\n");
    for (uint32_t i = 0; i < NUM_SEQS; i++) vmt_generation_destroy(gens[i]);
    vmt_engine_destroy(engine);
    vmt_fake_runner_destroy(fake);
    vmt_arena_destroy(arena);
}

int main(void) {
    run(64, false);
    run(64, true);
    run(8192, false);
    return 0;
}
