/* cli/bench_engine.h: an engine in this process, for benchmarks: runs a set of prompts to their ends.
 *
 * The caller's thread is the engine's one consumer. */
#ifndef VMT_CLI_BENCH_ENGINE_H
#define VMT_CLI_BENCH_ENGINE_H

#include "cli/bench_dataset.h"
#include "cli/bundle.h"

#include <pthread.h>

typedef struct vmt_bench_engine {
    vmt_bundle bundle;
    vmt_engine *engine;
    pthread_mutex_t lock;
    pthread_cond_t has_news;
    bool news;
} vmt_bench_engine;

typedef struct vmt_bench_run {
    double seconds;
    uint64_t num_prompt_tokens, num_output_tokens;
} vmt_bench_run;

vmt_status vmt_bench_engine_open(vmt_bench_engine *b, const vmt_bundle_options *options, vmt_err *err);
void vmt_bench_engine_close(vmt_bench_engine *b); /* also after a failed open() */
/* Submits every prompt at once (text ones are tokenized first, outside the clock), n sequences each, greedy, end of
 * text ignored, and waits for all. */
vmt_status vmt_bench_engine_run(vmt_bench_engine *b, const vmt_bench_dataset *dataset, uint32_t n,
                                vmt_bench_run *out, vmt_err *err);

#endif
