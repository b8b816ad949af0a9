/* cli/bench_stats.h: summaries of measured values, as numpy computes them. */
#ifndef VMT_CLI_BENCH_STATS_H
#define VMT_CLI_BENCH_STATS_H

#include "base/status.h"

typedef struct vmt_bench_summary {
    double mean, median, std; /* std over the population; all 0 without values */
} vmt_bench_summary;

/* Sorts values. */
vmt_bench_summary vmt_bench_summarize(double *values, size_t num);
/* percent in 0..100, linear between neighbours; 0 without values. */
double vmt_bench_percentile(const double *sorted, size_t num, double percent);

#endif
