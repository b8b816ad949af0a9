/* bench_test.c: the numbers of a benchmark: percentiles as numpy has them, arrivals, datasets, the report. */
#include "base/test.h"

#include "cli/bench_report.h"

#include <math.h>
#include <stdlib.h>

static void percentiles_are_linear(vmt_test *t) {
    static const struct {
        double values[5];
        size_t num;
        double percent, want;
    } cases[] = {
        {{0}, 0, 50, 0},
        {{7}, 1, 99, 7},
        {{1, 2}, 2, 50, 1.5},
        {{1, 2, 3, 4}, 4, 25, 1.75},
        {{1, 2, 3, 4, 10}, 5, 99, 9.76},
        {{1, 2, 3, 4, 10}, 5, 100, 10},
    };
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        vmt_expect_near(t, vmt_bench_percentile(cases[i].values, cases[i].num, cases[i].percent), cases[i].want,
                        1e-12);
    }
}

static void summaries_sort(vmt_test *t) {
    double values[] = {4, 1, 3, 2};
    vmt_bench_summary s = vmt_bench_summarize(values, VMT_COUNT(values));
    vmt_expect_near(t, s.mean, 2.5, 1e-12);
    vmt_expect_near(t, s.median, 2.5, 1e-12);
    vmt_expect_near(t, s.std, sqrt(1.25), 1e-12);
    vmt_expect_near(t, values[0], 1, 0);
    s = vmt_bench_summarize(values, 0);
    vmt_expect_near(t, s.mean + s.median + s.std, 0, 0);
}

/* Mean 1/rate whatever the shape; the variance tells the shapes apart. */
static void arrivals_have_their_rate(vmt_test *t) {
    static const struct {
        double rate, burstiness;
    } cases[] = {{10, 1}, {10, 0.5}, {4, 3}};
    enum { DRAWS = 200000 };
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        uint64_t state = t->seed;
        double sum = 0, squares = 0, mean = 1 / cases[i].rate;
        for (int k = 0; k < DRAWS; k++) {
            double x = vmt_bench_interval(&state, cases[i].rate, cases[i].burstiness);
            vmt_expect(t, x >= 0);
            sum += x;
            squares += (x - mean) * (x - mean);
        }
        vmt_expect_near(t, sum / DRAWS, mean, mean * 0.02);
        vmt_expect_near(t, squares / DRAWS, mean * mean / cases[i].burstiness,
                        mean * mean * 0.1 / cases[i].burstiness);
    }
    uint64_t state = 1;
    vmt_expect_near(t, vmt_bench_interval(&state, INFINITY, 1), 0, 0);
}

static void random_prompts_repeat_with_the_seed(vmt_test *t) {
    vmt_bench_dataset_options options = VMT_BENCH_DATASET_DEFAULTS;
    vmt_bench_dataset a, b;
    vmt_err err = {0};
    options.num_prompts = 3;
    options.input_len = 20;
    options.prefix_len = 4;
    vmt_expect_eq(t, vmt_bench_dataset_create(&a, &options, false, 0, &err), VMT_OK);
    vmt_expect_eq(t, vmt_bench_dataset_create(&b, &options, false, 0, &err), VMT_OK);
    for (uint32_t i = 0; i < 3; i++) {
        vmt_expect_eq(t, a.prompts[i].num_ids, 24);
        vmt_expect_eq(t, a.prompts[i].output_len, 128);
        vmt_expect(t, memcmp(a.prompts[i].ids, b.prompts[i].ids, 24 * sizeof(int32_t)) == 0);
        vmt_expect(t, memcmp(a.prompts[i].ids, a.prompts[0].ids, 4 * sizeof(int32_t)) == 0);
        for (uint32_t k = 0; k < 24; k++) {
            vmt_expect(t, a.prompts[i].ids[k] >= VMT_BENCH_ID_MIN && a.prompts[i].ids[k] < VMT_BENCH_ID_MAX);
        }
    }
    vmt_expect(t, memcmp(a.prompts[0].ids, a.prompts[1].ids, 24 * sizeof(int32_t)) != 0);
    vmt_bench_dataset_free(&a);
    vmt_bench_dataset_free(&b);
    options.range_ratio = 0.5;
    vmt_expect_eq(t, vmt_bench_dataset_create(&a, &options, true, 300, &err), VMT_OK);
    for (uint32_t i = 0; i < 3; i++) {
        vmt_expect(t, a.prompts[i].ids == NULL && a.prompts[i].text.len > 0);
        vmt_expect(t, a.prompts[i].output_len >= 64 && a.prompts[i].output_len <= 192);
    }
    vmt_bench_dataset_free(&a);
}

static void prefixes_take_turns(vmt_test *t) {
    vmt_bench_dataset_options options = VMT_BENCH_DATASET_DEFAULTS;
    vmt_bench_dataset d;
    vmt_err err = {0};
    options.name = VMT_STR("prefix_repetition");
    options.num_prompts = 5;
    options.repetition_num_prefixes = 2;
    options.repetition_prefix_len = 16;
    options.repetition_suffix_len = 3;
    vmt_expect_eq(t, vmt_bench_dataset_create(&d, &options, false, 0, &err), VMT_OK);
    vmt_expect_eq(t, d.prompts[4].num_ids, 19);
    vmt_expect(t, memcmp(d.prompts[0].ids, d.prompts[2].ids, 16 * sizeof(int32_t)) == 0);
    vmt_expect(t, memcmp(d.prompts[0].ids, d.prompts[1].ids, 16 * sizeof(int32_t)) != 0);
    vmt_expect(t, memcmp(d.prompts[0].ids + 16, d.prompts[2].ids + 16, 3 * sizeof(int32_t)) != 0);
    vmt_bench_dataset_free(&d);
}

static double itls[] = {0.01, 0.03};
static const vmt_bench_record records[] = {
    {.start_s = 0,
     .ttft_s = 0.1,
     .latency_s = 0.14,
     .itls_s = itls,
     .num_itls = 2,
     .input_len = 10,
     .output_len = 3,
     .is_good = true},
    {.start_s = 0.5, .ttft_s = 0.3, .latency_s = 0.3, .input_len = 20, .output_len = 1, .is_good = true},
    {.start_s = 1.5, .error = "nothing answers"},
};

static void reports_add_up(vmt_test *t) {
    vmt_bench_report_options options = {0};
    vmt_bench_report report;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_bench_report_metrics(&options, VMT_STR("ttft,tpot,itl"), &err), VMT_OK);
    vmt_expect_eq(t, vmt_bench_report_percentiles(&options, VMT_STR("50,99.9"), &err), VMT_OK);
    vmt_expect_eq(t, vmt_bench_report_goal(&options, VMT_STR("ttft:200"), &err), VMT_OK);
    vmt_expect_eq(t, vmt_bench_report_make(&report, &options, records, VMT_COUNT(records), 2, &err), VMT_OK);
    vmt_expect_eq(t, report.num_completed, 2);
    vmt_expect_eq(t, report.num_failed, 1);
    vmt_expect_eq(t, report.num_good, 1);
    vmt_expect_near(t, report.summaries[VMT_BENCH_TTFT].mean, 200, 1e-9);
    vmt_expect_near(t, report.summaries[VMT_BENCH_TPOT].mean, 20, 1e-9); /* one token has none */
    vmt_expect_near(t, report.summaries[VMT_BENCH_ITL].median, 20, 1e-9);
    vmt_expect_near(t, report.peak_output_tokens_s, 4, 0);
    vmt_expect_eq(t, report.peak_concurrency, 2);

    vmt_buf text;
    vmt_json_writer w;
    vmt_json_doc *doc;
    double value = 0;
    vmt_buf_init(&text, 0);
    vmt_json_writer_init(&w, &text);
    vmt_json_begin_object(&w);
    vmt_bench_report_json(&report, &options, records, VMT_COUNT(records), true, &w);
    vmt_json_end_object(&w);
    vmt_expect_eq(t, vmt_json_parse(&doc, vmt_buf_str(&text), &err), VMT_OK);
    vmt_json root = vmt_json_root(doc);
    static const char *const keys[] = {"duration",
                                       "completed",
                                       "failed",
                                       "total_input_tokens",
                                       "total_output_tokens",
                                       "request_throughput",
                                       "request_goodput",
                                       "output_throughput",
                                       "total_token_throughput",
                                       "max_output_tokens_per_s",
                                       "max_concurrent_requests",
                                       "mean_ttft_ms",
                                       "median_tpot_ms",
                                       "std_itl_ms",
                                       "p50_ttft_ms",
                                       "p99.9_itl_ms",
                                       "input_lens",
                                       "output_lens",
                                       "ttfts",
                                       "itls",
                                       "errors"};
    for (size_t i = 0; i < VMT_COUNT(keys); i++) {
        if (!vmt_json_exists(vmt_json_member(root, vmt_str_from(keys[i])))) {
            vmt_test_fail(t, __FILE__, __LINE__, "no member %s", keys[i]);
        }
    }
    vmt_expect(t, vmt_json_get_f64(VMT_JSON_AT(root, "request_goodput"), &value));
    vmt_expect_near(t, value, 0.5, 0);
    vmt_json_doc_destroy(doc);

    vmt_buf_clear(&text);
    vmt_bench_report_table(&report, &options, &text);
    vmt_expect(
        t, vmt_str_starts(vmt_buf_str(&text), VMT_STR("============ Serving Benchmark Result ============\n")));
    vmt_expect(t, vmt_str_find(vmt_buf_str(&text),
                               VMT_STR("Request goodput (req/s):                 0.50      \n"), 0) != SIZE_MAX);
    vmt_expect(t, vmt_str_find(vmt_buf_str(&text), VMT_STR("P99.9 ITL (ms):"), 0) != SIZE_MAX);
    vmt_buf_free(&text);
}

static void bad_options_are_named(vmt_test *t) {
    vmt_bench_report_options options = {0};
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_bench_report_metrics(&options, VMT_STR("ttft,x"), &err), VMT_E_INVALID);
    vmt_expect_eq(t, vmt_bench_report_percentiles(&options, VMT_STR("101"), &err), VMT_E_INVALID);
    vmt_expect_eq(t, vmt_bench_report_goal(&options, VMT_STR("itl:5"), &err), VMT_E_INVALID);
}

static const vmt_test_case cases[] = {
    {"percentiles_are_linear", percentiles_are_linear},
    {"summaries_sort", summaries_sort},
    {"arrivals_have_their_rate", arrivals_have_their_rate},
    {"random_prompts_repeat_with_the_seed", random_prompts_repeat_with_the_seed},
    {"prefixes_take_turns", prefixes_take_turns},
    {"reports_add_up", reports_add_up},
    {"bad_options_are_named", bad_options_are_named},
    {0},
};
VMT_TEST_MAIN(cases)
