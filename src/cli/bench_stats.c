#include "cli/bench_stats.h"

#include <math.h>
#include <stdlib.h>

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

vmt_bench_summary vmt_bench_summarize(double *values, size_t num) {
    if (num == 0) return (vmt_bench_summary){0};
    qsort(values, num, sizeof *values, compare);
    double sum = 0, squares = 0;
    for (size_t i = 0; i < num; i++) sum += values[i];
    double mean = sum / (double)num;
    for (size_t i = 0; i < num; i++) squares += (values[i] - mean) * (values[i] - mean);
    return (vmt_bench_summary){mean, vmt_bench_percentile(values, num, 50), sqrt(squares / (double)num)};
}

double vmt_bench_percentile(const double *sorted, size_t num, double percent) {
    VMT_ASSERT(percent >= 0 && percent <= 100);
    if (num == 0) return 0;
    double at = percent / 100 * (double)(num - 1);
    size_t below = (size_t)at;
    if (below + 1 >= num) return sorted[num - 1];
    return sorted[below] + (at - (double)below) * (sorted[below + 1] - sorted[below]);
}
