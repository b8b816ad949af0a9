/* cli/bench_load.h: load on a server: requests that arrive at a rate, many streams in one thread. */
#ifndef VMT_CLI_BENCH_LOAD_H
#define VMT_CLI_BENCH_LOAD_H

#include "cli/bench_dataset.h"
#include "cli/openai_request.h"

#define VMT_BENCH_CONCURRENCY_MAX 65536

typedef struct vmt_bench_load_options {
    vmt_openai_target target;
    vmt_str path;  /* behind the target's url: "completions" or "chat/completions" */
    vmt_str model; /* name sent with each request */
    bool is_chat, ignore_eos;
    double temperature;
    vmt_str extra_body;      /* JSON object whose members join each body; or empty */
    double request_rate;     /* per second; infinite: all at once */
    double burstiness;       /* shape of the gamma distribution between arrivals; 1: Poisson arrivals */
    int64_t max_concurrency; /* 0: no bound but the named one */
    int64_t seed;
    bool shows_progress, keeps_text;
} vmt_bench_load_options;

typedef struct vmt_bench_record {
    double start_s, ttft_s, latency_s; /* start since the run's begin; the others since start */
    double *itls_s;                    /* [num_itls] between pieces of text; owned */
    size_t num_itls, cap_itls;
    int64_t input_len, output_len;
    bool is_good;
    char error[VMT_ERR_MESSAGE_MAX];
    vmt_buf text; /* if keeps_text */
} vmt_bench_record;

/* Runs the first num prompts; records [num] are zeroed by the caller and filled.  A failed request is a record, not an
 * error.  *seconds is from the first request to the end of the last. */
vmt_status vmt_bench_load_run(const vmt_bench_load_options *options, const vmt_bench_dataset *dataset,
                              uint32_t num, vmt_bench_record *records, double *seconds, vmt_err *err);
void vmt_bench_records_free(vmt_bench_record *records, uint32_t num);

/* Seconds until the next arrival; advances *state. */
double vmt_bench_interval(uint64_t *state, double rate, double burstiness);

#endif
