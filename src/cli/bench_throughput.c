/* vmetal bench throughput: how much an engine in this process computes when all requests are there at once. */
#include "cli/bench_engine.h"
#include "cli/bench_output.h"
#include "cli/command_error.h"
#include "cli/commands.h"
#include "cli/model_argument.h"

typedef struct throughput_options {
    vmt_flag_list model_args;
    vmt_str model;
    vmt_bundle_options bundle;
    vmt_bench_dataset_options dataset;
    int64_t n;
    vmt_str output_json;
} throughput_options;

static const throughput_options defaults = {
    .bundle = VMT_BUNDLE_DEFAULTS, .dataset = VMT_BENCH_DATASET_DEFAULTS, .n = 1};

static const vmt_flag flags[] = {
    {.name = "model",
     .kind = VMT_FLAG_STR,
     .group = "Model",
     .value = "MODEL",
     .help = "the model, as in serve",
     .default_text = VMT_DEFAULT_MODEL,
     .offset = offsetof(throughput_options, model)},
#define OWNER throughput_options
#include "cli/bundle_flags.def"
#include "cli/bench_flags.def"
#undef OWNER
    {.name = "n",
     .kind = VMT_FLAG_INT,
     .group = "Dataset",
     .value = "N",
     .help = "answers per prompt",
     .default_text = "1",
     .min = 1,
     .max = VMT_GENERATION_N_MAX,
     .offset = offsetof(throughput_options, n)},
    {.name = "output-json",
     .kind = VMT_FLAG_STR,
     .group = "Output",
     .value = "FILE",
     .help = "also write the result as JSON",
     .offset = offsetof(throughput_options, output_json)},
#include "cli/engine_compat_flags.def"
    IGNORED("async-engine", BOOL, NULL, "there is one engine", "true|false")
        IGNORED("backend", STR, "NAME", "the engine in this process is measured", "vllm|vllm-chat")
#include "cli/compat_flags_end.def"
};

static vmt_status write_json(vmt_str path, uint64_t num_requests, const vmt_bench_run *run, vmt_err *err) {
    vmt_buf text;
    vmt_json_writer w;
    double tokens = (double)(run->num_prompt_tokens + run->num_output_tokens);
    vmt_buf_init(&text, 0);
    vmt_json_writer_init(&w, &text);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "elapsed_time");
    vmt_json_f64(&w, run->seconds);
    vmt_json_key(&w, "num_requests");
    vmt_json_u64(&w, num_requests);
    vmt_json_key(&w, "total_num_tokens");
    vmt_json_f64(&w, tokens);
    vmt_json_key(&w, "requests_per_second");
    vmt_json_f64(&w, (double)num_requests / run->seconds);
    vmt_json_key(&w, "tokens_per_second");
    vmt_json_f64(&w, tokens / run->seconds);
    vmt_json_end_object(&w);
    return vmt_bench_save(path, &text, err);
}

static vmt_status measure(const throughput_options *o, vmt_bench_engine *engine, vmt_bench_dataset *dataset,
                          vmt_err *err) {
    vmt_bundle_options bundle = o->bundle;
    bundle.model = vmt_model_argument(o->model_args, o->model);
    VMT_TRY(vmt_bench_engine_open(engine, &bundle, err));
    VMT_TRY(vmt_bench_dataset_create(dataset, &o->dataset, false, vmt_engine_vocab(engine->engine), err));
    vmt_bench_run run;
    VMT_TRY(vmt_bench_engine_run(engine, dataset, (uint32_t)o->n, &run, err));
    double requests = (double)dataset->num / run.seconds, output = (double)run.num_output_tokens / run.seconds;
    double total = (double)(run.num_prompt_tokens + run.num_output_tokens) / run.seconds;
    printf("Throughput: %.2f requests/s, %.2f total tokens/s, %.2f output tokens/s\n", requests, total, output);
    printf("Total num prompt tokens:  %llu\nTotal num output tokens:  %llu\n",
           (unsigned long long)run.num_prompt_tokens, (unsigned long long)run.num_output_tokens);
    return o->output_json.len > 0 ? write_json(o->output_json, dataset->num, &run, err) : VMT_OK;
}

static int run_throughput(const void *options) {
    vmt_bench_engine engine = {0};
    vmt_bench_dataset dataset = {0};
    vmt_err err = {0};
    vmt_status status = measure(options, &engine, &dataset, &err);
    vmt_bench_engine_close(&engine);
    vmt_bench_dataset_free(&dataset);
    return status == VMT_OK ? EXIT_SUCCESS : vmt_command_fail("bench throughput", status, &err);
}

const vmt_command vmt_bench_throughput_command = {
    .name = "bench throughput",
    .summary = "measures an engine in this process, all requests at once",
    .usage = "vmetal bench throughput [MODEL] [flags]",
    .positional = "MODEL",
    .flags = flags,
    .num_flags = VMT_COUNT(flags),
    .positional_offset = offsetof(throughput_options, model_args),
    .positionals_max = 1,
    .example = "vmetal bench throughput --num-prompts 64 --input-len 128 --output-len 64",
    .run = run_throughput,
    .defaults = &defaults,
    .options_bytes = sizeof(throughput_options),
};
