/* vmetal bench latency: how long one batch takes from prompt to last token, again and again. */
#include "cli/bench_engine.h"
#include "cli/bench_output.h"
#include "cli/bench_stats.h"
#include "cli/command_error.h"
#include "cli/commands.h"
#include "cli/model_argument.h"

#define ITERATIONS_MAX 100000

static const int percents[] = {10, 25, 50, 75, 90, 99};

typedef struct latency_options {
    vmt_flag_list model_args;
    vmt_str model;
    vmt_bundle_options bundle;
    int64_t input_len, output_len, batch_size, n, num_iters_warmup, num_iters;
    vmt_str output_json;
} latency_options;

static const latency_options defaults = {.bundle = VMT_BUNDLE_DEFAULTS,
                                         .input_len = 32,
                                         .output_len = 128,
                                         .batch_size = 8,
                                         .n = 1,
                                         .num_iters_warmup = 10,
                                         .num_iters = 30};

#define ROW(n, k, v, f, d, h)                                                                    \
    .name = n, .kind = VMT_FLAG_##k, .group = "Batch", .value = v, .default_text = d, .help = h, \
    .offset = offsetof(latency_options, f)

static const vmt_flag flags[] = {
    {.name = "model",
     .kind = VMT_FLAG_STR,
     .group = "Model",
     .value = "MODEL",
     .help = "the model, as in serve",
     .default_text = VMT_DEFAULT_MODEL,
     .offset = offsetof(latency_options, model)},
#define OWNER latency_options
#include "cli/bundle_flags.def"
#undef OWNER
    {ROW("input-len", INT, "N", input_len, "32", "tokens per prompt"), .min = 1, .max = VMT_BENCH_LEN_MAX},
    {ROW("output-len", INT, "N", output_len, "128", "tokens per answer"), .min = 1, .max = VMT_BENCH_LEN_MAX},
    {ROW("batch-size", INT, "N", batch_size, "8", "prompts per batch"), .min = 1, .max = 65536},
    {ROW("n", INT, "N", n, "1", "answers per prompt"), .min = 1, .max = VMT_GENERATION_N_MAX},
    {ROW("num-iters-warmup", INT, "N", num_iters_warmup, "10", "batches before the measured ones"), .min = 0,
     .max = ITERATIONS_MAX},
    {ROW("num-iters", INT, "N", num_iters, "30", "measured batches"), .min = 1, .max = ITERATIONS_MAX},
    {.name = "output-json",
     .kind = VMT_FLAG_STR,
     .group = "Output",
     .value = "FILE",
     .help = "also write the result as JSON",
     .offset = offsetof(latency_options, output_json)},
#include "cli/engine_compat_flags.def"
    IGNORED("seed", INT, "N", "prompts are the same in every run", "0")
#include "cli/compat_flags_end.def"
};

static vmt_status write_json(vmt_str path, const double *latencies, const double *sorted, size_t num, double mean,
                             vmt_err *err) {
    vmt_buf text;
    vmt_json_writer w;
    char name[16];
    vmt_buf_init(&text, 0);
    vmt_json_writer_init(&w, &text);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "avg_latency");
    vmt_json_f64(&w, mean);
    vmt_json_key(&w, "latencies");
    vmt_json_begin_array(&w);
    for (size_t i = 0; i < num; i++) vmt_json_f64(&w, latencies[i]);
    vmt_json_end_array(&w);
    vmt_json_key(&w, "percentiles");
    vmt_json_begin_object(&w);
    for (size_t i = 0; i < VMT_COUNT(percents); i++) {
        snprintf(name, sizeof name, "%d", percents[i]);
        vmt_json_key(&w, name);
        vmt_json_f64(&w, vmt_bench_percentile(sorted, num, percents[i]));
    }
    vmt_json_end_object(&w);
    vmt_json_end_object(&w);
    return vmt_bench_save(path, &text, err);
}

static vmt_status measure(const latency_options *o, vmt_bench_engine *engine, vmt_bench_dataset *dataset,
                          double *latencies, double *sorted, vmt_err *err) {
    vmt_bundle_options bundle = o->bundle;
    bundle.model = vmt_model_argument(o->model_args, o->model);
    bundle.enable_prefix_caching = false; /* the same prompts come again: each batch is to compute them */
    vmt_bench_dataset_options shape = VMT_BENCH_DATASET_DEFAULTS;
    shape.num_prompts = o->batch_size;
    shape.input_len = o->input_len;
    shape.output_len = o->output_len;
    VMT_TRY(vmt_bench_engine_open(engine, &bundle, err));
    VMT_TRY(vmt_bench_dataset_create(dataset, &shape, false, vmt_engine_vocab(engine->engine), err));
    for (int64_t i = -o->num_iters_warmup; i < o->num_iters; i++) {
        vmt_bench_run run;
        VMT_TRY(vmt_bench_engine_run(engine, dataset, (uint32_t)o->n, &run, err));
        if (i >= 0) latencies[i] = run.seconds;
    }
    size_t num = (size_t)o->num_iters;
    memcpy(sorted, latencies, num * sizeof *sorted);
    vmt_bench_summary summary = vmt_bench_summarize(sorted, num);
    printf("Avg latency: %.4f seconds\n", summary.mean);
    for (size_t i = 0; i < VMT_COUNT(percents); i++) {
        printf("%d%% percentile latency: %.4f seconds\n", percents[i],
               vmt_bench_percentile(sorted, num, percents[i]));
    }
    return o->output_json.len > 0 ? write_json(o->output_json, latencies, sorted, num, summary.mean, err) : VMT_OK;
}

static int run_latency(const void *opts) {
    const latency_options *o = opts;
    vmt_bench_engine engine = {0};
    vmt_bench_dataset dataset = {0};
    vmt_err err = {0};
    double *latencies = calloc((size_t)o->num_iters * 2, sizeof *latencies);
    vmt_status status = latencies == NULL
                            ? vmt_fail(&err, VMT_E_NO_MEMORY, "no memory for the result")
                            : measure(o, &engine, &dataset, latencies, latencies + o->num_iters, &err);
    vmt_bench_engine_close(&engine);
    vmt_bench_dataset_free(&dataset);
    free(latencies);
    return status == VMT_OK ? EXIT_SUCCESS : vmt_command_fail("bench latency", status, &err);
}

const vmt_command vmt_bench_latency_command = {
    .name = "bench latency",
    .summary = "measures one batch in this process, from prompt to last token",
    .usage = "vmetal bench latency [MODEL] [flags]",
    .positional = "MODEL",
    .flags = flags,
    .num_flags = VMT_COUNT(flags),
    .positional_offset = offsetof(latency_options, model_args),
    .positionals_max = 1,
    .example = "vmetal bench latency --batch-size 1 --num-iters 5",
    .run = run_latency,
    .defaults = &defaults,
    .options_bytes = sizeof(latency_options),
};
