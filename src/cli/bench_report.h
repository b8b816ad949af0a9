/* cli/bench_report.h: what a run of `bench serve` comes to: the table and the JSON that vLLM's scripts read. */
#ifndef VMT_CLI_BENCH_REPORT_H
#define VMT_CLI_BENCH_REPORT_H

#include "cli/bench_load.h"
#include "cli/bench_stats.h"
#include "json/json_writer.h"

#define VMT_BENCH_PERCENTILES_MAX 16u

typedef enum vmt_bench_metric {
    VMT_BENCH_TTFT,
    VMT_BENCH_TPOT,
    VMT_BENCH_ITL,
    VMT_BENCH_E2EL,
    VMT_BENCH_NUM_METRICS
} vmt_bench_metric;

typedef struct vmt_bench_report_options {
    bool shows[VMT_BENCH_NUM_METRICS];             /* --percentile-metrics */
    double percentiles[VMT_BENCH_PERCENTILES_MAX]; /* --metric-percentiles */
    uint32_t num_percentiles;
    double goals_ms[VMT_BENCH_NUM_METRICS]; /* --goodput; 0: none */
} vmt_bench_report_options;

typedef struct vmt_bench_report {
    double seconds, request_rate;
    int64_t max_concurrency; /* 0: none was set */
    uint32_t num_completed, num_failed, num_good, peak_concurrency;
    int64_t num_input_tokens, num_output_tokens;
    double peak_output_tokens_s;
    vmt_bench_summary summaries[VMT_BENCH_NUM_METRICS]; /* milliseconds */
    double percentiles[VMT_BENCH_NUM_METRICS][VMT_BENCH_PERCENTILES_MAX];
} vmt_bench_report;

/* "ttft,itl" and "50,99,99.9" into options. */
vmt_status vmt_bench_report_metrics(vmt_bench_report_options *options, vmt_str metrics, vmt_err *err);
vmt_status vmt_bench_report_percentiles(vmt_bench_report_options *options, vmt_str percentiles, vmt_err *err);
/* "ttft:200". */
vmt_status vmt_bench_report_goal(vmt_bench_report_options *options, vmt_str goal, vmt_err *err);

vmt_status vmt_bench_report_make(vmt_bench_report *out, const vmt_bench_report_options *options,
                                 const vmt_bench_record *records, uint32_t num, double seconds, vmt_err *err);
/* A table 50 columns wide. */
void vmt_bench_report_table(const vmt_bench_report *report, const vmt_bench_report_options *options, vmt_buf *out);
/* Members of the open object; with_records: also what each request measured. */
void vmt_bench_report_json(const vmt_bench_report *report, const vmt_bench_report_options *options,
                           const vmt_bench_record *records, uint32_t num, bool with_records, vmt_json_writer *w);

#endif
