#include "cli/bench_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define TABLE_WIDTH 50
#define SECONDS_MAX 1000000 /* of a run, for the counts per second */

static const struct {
    const char *name, *title, *label;
} metrics[VMT_BENCH_NUM_METRICS] = {
    [VMT_BENCH_TTFT] = {"ttft", "Time to First Token", "TTFT"},
    [VMT_BENCH_TPOT] = {"tpot", "Time per Output Token (excl. 1st token)", "TPOT"},
    [VMT_BENCH_ITL] = {"itl", "Inter-token Latency", "ITL"},
    [VMT_BENCH_E2EL] = {"e2el", "End-to-end Latency", "E2EL"},
};

/* ---- options */

static bool find_metric(vmt_str name, uint32_t *out) {
    for (*out = 0; *out < VMT_BENCH_NUM_METRICS; ++*out) {
        if (vmt_str_eq_c(name, metrics[*out].name)) return true;
    }
    return false;
}

/* The next of the comma-separated parts; false at the end. */
static bool next_part(vmt_str text, size_t *at, vmt_str *part) {
    if (*at > text.len) return false;
    size_t comma = vmt_str_find(text, VMT_STR(","), *at);
    size_t end = comma == SIZE_MAX ? text.len : comma;
    *part = vmt_str_trim(vmt_str_slice(text, *at, end));
    *at = end + 1;
    return true;
}

vmt_status vmt_bench_report_metrics(vmt_bench_report_options *options, vmt_str list, vmt_err *err) {
    vmt_str part;
    uint32_t metric;
    for (size_t at = 0; next_part(list, &at, &part);) {
        if (!find_metric(part, &metric)) {
            return vmt_fail(err, VMT_E_INVALID,
                            "--percentile-metrics: no metric \"%.*s\"; choose from ttft, tpot, itl, e2el",
                            VMT_STR_ARG(part));
        }
        options->shows[metric] = true;
    }
    return VMT_OK;
}

vmt_status vmt_bench_report_percentiles(vmt_bench_report_options *options, vmt_str list, vmt_err *err) {
    vmt_str part;
    options->num_percentiles = 0;
    for (size_t at = 0; next_part(list, &at, &part);) {
        double value;
        if (options->num_percentiles == VMT_BENCH_PERCENTILES_MAX || !vmt_str_to_f64(part, &value) || value < 0 ||
            value > 100) {
            return vmt_fail(err, VMT_E_INVALID,
                            "--metric-percentiles is \"%.*s\"; give at most %u numbers from 0 to 100",
                            VMT_STR_ARG(list), VMT_BENCH_PERCENTILES_MAX);
        }
        options->percentiles[options->num_percentiles++] = value;
    }
    return VMT_OK;
}

vmt_status vmt_bench_report_goal(vmt_bench_report_options *options, vmt_str goal, vmt_err *err) {
    size_t colon = vmt_str_find(goal, VMT_STR(":"), 0);
    uint32_t metric;
    double value;
    bool is_good = colon != SIZE_MAX && find_metric(vmt_str_slice(goal, 0, colon), &metric) &&
                   metric != VMT_BENCH_ITL && vmt_str_to_f64(vmt_str_slice(goal, colon + 1, goal.len), &value) &&
                   value > 0;
    if (!is_good) {
        return vmt_fail(err, VMT_E_INVALID, "--goodput is \"%.*s\"; give ttft:MS, tpot:MS or e2el:MS",
                        VMT_STR_ARG(goal));
    }
    options->goals_ms[metric] = value;
    return VMT_OK;
}

/* ---- the numbers */

/* A request's own value in milliseconds; below 0: it has none. */
static double value_of(const vmt_bench_record *record, vmt_bench_metric metric) {
    switch (metric) {
    case VMT_BENCH_TTFT: return record->ttft_s * 1e3;
    case VMT_BENCH_TPOT:
        return record->output_len > 1
                   ? (record->latency_s - record->ttft_s) * 1e3 / (double)(record->output_len - 1)
                   : -1;
    case VMT_BENCH_E2EL: return record->latency_s * 1e3;
    default: return -1;
    }
}

static bool meets_goals(const vmt_bench_record *record, const vmt_bench_report_options *options) {
    for (int m = 0; m < VMT_BENCH_NUM_METRICS; m++) {
        /* One token has no time per output token: it counts as 0, as in vLLM. */
        if (options->goals_ms[m] > 0 && value_of(record, (vmt_bench_metric)m) > options->goals_ms[m]) return false;
    }
    return true;
}

static size_t collect(vmt_bench_metric metric, const vmt_bench_record *records, uint32_t num, double *out) {
    size_t count = 0;
    for (uint32_t i = 0; i < num; i++) {
        const vmt_bench_record *record = &records[i];
        if (!record->is_good) continue;
        if (metric == VMT_BENCH_ITL) {
            for (size_t k = 0; k < record->num_itls; k++) out[count++] = record->itls_s[k] * 1e3;
        } else if (value_of(record, metric) >= 0) {
            out[count++] = value_of(record, metric);
        }
    }
    return count;
}

static void summarize(vmt_bench_report *out, const vmt_bench_report_options *options,
                      const vmt_bench_record *records, uint32_t num, double *scratch) {
    for (int m = 0; m < VMT_BENCH_NUM_METRICS; m++) {
        size_t count = collect((vmt_bench_metric)m, records, num, scratch);
        out->summaries[m] = vmt_bench_summarize(scratch, count);
        for (uint32_t p = 0; p < options->num_percentiles; p++) {
            out->percentiles[m][p] = vmt_bench_percentile(scratch, count, options->percentiles[p]);
        }
    }
}

/* Tokens that arrived, and requests that were open, in each second of the run. */
static void find_peaks(vmt_bench_report *out, const vmt_bench_record *records, uint32_t num, uint32_t *tokens,
                       uint32_t *open, size_t num_seconds) {
    for (uint32_t i = 0; i < num; i++) {
        const vmt_bench_record *record = &records[i];
        if (!record->is_good) continue;
        double at = record->start_s + record->ttft_s, end = record->start_s + record->latency_s;
        tokens[VMT_MIN((size_t)at, num_seconds - 1)]++;
        for (size_t k = 0; k < record->num_itls; k++) {
            at += record->itls_s[k];
            tokens[VMT_MIN((size_t)at, num_seconds - 1)]++;
        }
        for (size_t s = (size_t)record->start_s; s <= (size_t)end && s < num_seconds; s++) open[s]++;
    }
    for (size_t s = 0; s < num_seconds; s++) {
        out->peak_output_tokens_s = VMT_MAX(out->peak_output_tokens_s, (double)tokens[s]);
        out->peak_concurrency = VMT_MAX(out->peak_concurrency, open[s]);
    }
}

vmt_status vmt_bench_report_make(vmt_bench_report *out, const vmt_bench_report_options *options,
                                 const vmt_bench_record *records, uint32_t num, double seconds, vmt_err *err) {
    size_t num_values = (size_t)num + 1, num_seconds = (size_t)VMT_MIN(seconds, SECONDS_MAX) + 2;
    *out = (vmt_bench_report){.seconds = seconds, .request_rate = INFINITY};
    for (uint32_t i = 0; i < num; i++) {
        const vmt_bench_record *record = &records[i];
        num_values += record->num_itls;
        out->num_completed += record->is_good;
        out->num_failed += !record->is_good;
        out->num_good += record->is_good && meets_goals(record, options);
        out->num_input_tokens += record->input_len;
        out->num_output_tokens += record->output_len;
    }
    double *scratch = calloc(num_values, sizeof *scratch);
    uint32_t *tokens = calloc(num_seconds, sizeof *tokens), *open = calloc(num_seconds, sizeof *open);
    vmt_status status = VMT_OK;
    if (scratch == NULL || tokens == NULL || open == NULL) {
        status = vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the report");
    } else {
        summarize(out, options, records, num, scratch);
        find_peaks(out, records, num, tokens, open, num_seconds);
    }
    free(scratch);
    free(tokens);
    free(open);
    return status;
}

/* ---- the table */

static void rule(vmt_buf *out, const char *title, char fill) {
    size_t len = strlen(title), left = len < TABLE_WIDTH ? (TABLE_WIDTH - len) / 2 : 0;
    for (size_t i = 0; i < left; i++) vmt_buf_append_byte(out, fill);
    vmt_buf_append_c(out, title);
    for (size_t i = left + len; i < TABLE_WIDTH; i++) vmt_buf_append_byte(out, fill);
    vmt_buf_append_byte(out, '\n');
}

static void count_row(vmt_buf *out, const char *label, int64_t value) {
    vmt_buf_printf(out, "%-40s %-10lld\n", label, (long long)value);
}

static void real_row(vmt_buf *out, const char *label, double value) {
    vmt_buf_printf(out, "%-40s %-10.2f\n", label, value);
}

static bool has_goals(const vmt_bench_report_options *options) {
    for (int m = 0; m < VMT_BENCH_NUM_METRICS; m++) {
        if (options->goals_ms[m] > 0) return true;
    }
    return false;
}

static void metric_rows(const vmt_bench_report *r, const vmt_bench_report_options *options, int m, vmt_buf *out) {
    char label[48];
    rule(out, metrics[m].title, '-');
    snprintf(label, sizeof label, "Mean %s (ms):", metrics[m].label);
    real_row(out, label, r->summaries[m].mean);
    snprintf(label, sizeof label, "Median %s (ms):", metrics[m].label);
    real_row(out, label, r->summaries[m].median);
    for (uint32_t p = 0; p < options->num_percentiles; p++) {
        snprintf(label, sizeof label, "P%g %s (ms):", options->percentiles[p], metrics[m].label);
        real_row(out, label, r->percentiles[m][p]);
    }
}

void vmt_bench_report_table(const vmt_bench_report *r, const vmt_bench_report_options *options, vmt_buf *out) {
    rule(out, " Serving Benchmark Result ", '=');
    count_row(out, "Successful requests:", r->num_completed);
    count_row(out, "Failed requests:", r->num_failed);
    if (r->max_concurrency > 0) count_row(out, "Maximum request concurrency:", r->max_concurrency);
    if (!isinf(r->request_rate)) real_row(out, "Request rate configured (RPS):", r->request_rate);
    real_row(out, "Benchmark duration (s):", r->seconds);
    count_row(out, "Total input tokens:", r->num_input_tokens);
    count_row(out, "Total generated tokens:", r->num_output_tokens);
    real_row(out, "Request throughput (req/s):", (double)r->num_completed / r->seconds);
    if (has_goals(options)) real_row(out, "Request goodput (req/s):", (double)r->num_good / r->seconds);
    real_row(out, "Output token throughput (tok/s):", (double)r->num_output_tokens / r->seconds);
    real_row(out, "Peak output token throughput (tok/s):", r->peak_output_tokens_s);
    real_row(out, "Peak concurrent requests:", r->peak_concurrency);
    real_row(out,
             "Total token throughput (tok/s):", (double)(r->num_input_tokens + r->num_output_tokens) / r->seconds);
    for (int m = 0; m < VMT_BENCH_NUM_METRICS; m++) {
        if (options->shows[m]) metric_rows(r, options, m, out);
    }
    rule(out, "", '=');
}

/* ---- JSON */

static void real_member(vmt_json_writer *w, const char *key, double value) {
    vmt_json_key(w, key);
    vmt_json_f64(w, value);
}

static void write_metric(const vmt_bench_report *r, const vmt_bench_report_options *options, int m,
                         vmt_json_writer *w) {
    char key[48];
    snprintf(key, sizeof key, "mean_%s_ms", metrics[m].name);
    real_member(w, key, r->summaries[m].mean);
    snprintf(key, sizeof key, "median_%s_ms", metrics[m].name);
    real_member(w, key, r->summaries[m].median);
    snprintf(key, sizeof key, "std_%s_ms", metrics[m].name);
    real_member(w, key, r->summaries[m].std);
    for (uint32_t p = 0; p < options->num_percentiles; p++) {
        snprintf(key, sizeof key, "p%g_%s_ms", options->percentiles[p], metrics[m].name);
        real_member(w, key, r->percentiles[m][p]);
    }
}

static void write_records(const vmt_bench_record *records, uint32_t num, vmt_json_writer *w) {
    static const char *const keys[] = {"input_lens",  "output_lens",     "ttfts", "itls",
                                       "start_times", "generated_texts", "errors"};
    for (size_t k = 0; k < VMT_COUNT(keys); k++) {
        vmt_json_key(w, keys[k]);
        vmt_json_begin_array(w);
        for (uint32_t i = 0; i < num; i++) {
            const vmt_bench_record *record = &records[i];
            if (k == 0) vmt_json_i64(w, record->input_len);
            if (k == 1) vmt_json_i64(w, record->output_len);
            if (k == 2) vmt_json_f64(w, record->ttft_s);
            if (k == 4) vmt_json_f64(w, record->start_s);
            if (k == 5) vmt_json_str(w, vmt_buf_str(&record->text));
            if (k == 6) vmt_json_c_str(w, record->error);
            if (k != 3) continue;
            vmt_json_begin_array(w);
            for (size_t n = 0; n < record->num_itls; n++) vmt_json_f64(w, record->itls_s[n]);
            vmt_json_end_array(w);
        }
        vmt_json_end_array(w);
    }
}

void vmt_bench_report_json(const vmt_bench_report *r, const vmt_bench_report_options *options,
                           const vmt_bench_record *records, uint32_t num, bool with_records, vmt_json_writer *w) {
    real_member(w, "duration", r->seconds);
    vmt_json_key(w, "completed");
    vmt_json_u64(w, r->num_completed);
    vmt_json_key(w, "failed");
    vmt_json_u64(w, r->num_failed);
    vmt_json_key(w, "total_input_tokens");
    vmt_json_i64(w, r->num_input_tokens);
    vmt_json_key(w, "total_output_tokens");
    vmt_json_i64(w, r->num_output_tokens);
    real_member(w, "request_throughput", (double)r->num_completed / r->seconds);
    vmt_json_key(w, "request_goodput");
    if (has_goals(options)) {
        vmt_json_f64(w, (double)r->num_good / r->seconds);
    } else {
        vmt_json_null(w);
    }
    real_member(w, "output_throughput", (double)r->num_output_tokens / r->seconds);
    real_member(w, "total_token_throughput", (double)(r->num_input_tokens + r->num_output_tokens) / r->seconds);
    real_member(w, "max_output_tokens_per_s", r->peak_output_tokens_s);
    vmt_json_key(w, "max_concurrent_requests");
    vmt_json_u64(w, r->peak_concurrency);
    if (with_records) write_records(records, num, w);
    for (int m = 0; m < VMT_BENCH_NUM_METRICS; m++) {
        if (options->shows[m]) write_metric(r, options, m, w);
    }
}
