/* vmetal bench serve: load on a running server, and what it did to latencies. */
#include "base/clock.h"
#include "cli/bench_output.h"
#include "cli/bench_report.h"
#include "cli/command_error.h"
#include "cli/commands.h"
#include "cli/environment.h"

#include <math.h>
#include <time.h>

#define READY_POLL_US 500000

typedef struct bench_options {
    vmt_bench_dataset_options dataset;
    vmt_str backend, base_url, host, endpoint, model, served_model_name, api_key;
    int64_t port;
    double request_rate, burstiness, temperature;
    int64_t max_concurrency, num_warmups, ready_check_timeout_s;
    bool ignore_eos, quiet;
    vmt_str extra_body;
    vmt_str percentile_metrics, metric_percentiles;
    vmt_flag_list goodput, metadata;
    bool save_result, save_detailed;
    vmt_str result_dir, result_filename, label;
} bench_options;

static const bench_options defaults = {
    .dataset = VMT_BENCH_DATASET_DEFAULTS,
    .backend = {"openai", 6},
    .host = {"127.0.0.1", 9},
    .port = 8000,
    .request_rate = INFINITY,
    .burstiness = 1,
    .percentile_metrics = {"ttft,tpot,itl", 13},
    .metric_percentiles = {"99", 2},
};

#define ROW(g, n, k, v, f, d, h)                                                           \
    .name = n, .kind = VMT_FLAG_##k, .group = g, .value = v, .default_text = d, .help = h, \
    .offset = offsetof(bench_options, f)

#define IGNORED(n, k, v, why)               \
    {.name = n,                             \
     .kind = VMT_FLAG_##k,                  \
     .group = "Accepted for compatibility", \
     .value = v,                            \
     .help = "",                            \
     .ignored = why}

static const vmt_flag flags[] = {
    {ROW("Server", "backend", STR, "NAME", backend, "openai", "API to use: completions, or chat completions"),
     .choices = "openai|vllm|openai-chat", .refused = "only text generation is measured"},
    {ROW("Server", "base-url", STR, "URL", base_url, NULL, "the server, instead of host and port")},
    {ROW("Server", "host", STR, "HOST", host, "127.0.0.1", "the server's host")},
    {ROW("Server", "port", INT, "PORT", port, "8000", "the server's port"), .min = 1, .max = 65535},
    {ROW("Server", "endpoint", STR, "PATH", endpoint, "/v1/completions or /v1/chat/completions",
         "path of the API")},
    {ROW("Server", "model", STR, "NAME", model, "the server's first", "the model to ask")},
    {ROW("Server", "served-model-name", STR, "NAME", served_model_name, NULL,
         "name to send instead of the model's")},
    {ROW("Server", "api-key", STR, "KEY", api_key, "VLLM_API_KEY or OPENAI_API_KEY", "the server's key")},
    {ROW("Server", "ready-check-timeout-sec", INT, "S", ready_check_timeout_s, "0", "wait so long for the server"),
     .min = 0, .max = 86400},
#define OWNER bench_options
#include "cli/bench_flags.def"
#undef OWNER
    {ROW("Load", "request-rate", FLOAT, "R", request_rate, "inf", "requests per second; inf: all at once"),
     .min = 1e-9, .max = INFINITY},
    {ROW("Load", "burstiness", FLOAT, "X", burstiness, "1.0",
         "1: Poisson arrivals; less: in bursts; more: evenly"),
     .min = 1e-3, .max = 1e6},
    {ROW("Load", "max-concurrency", INT, "N", max_concurrency, "no bound", "requests in progress at most"),
     .min = 1, .max = VMT_BENCH_CONCURRENCY_MAX},
    {ROW("Load", "num-warmups", INT, "N", num_warmups, "0", "requests before the measured ones"), .min = 0,
     .max = VMT_BENCH_PROMPTS_MAX},
    {ROW("Load", "ignore-eos", BOOL, NULL, ignore_eos, NULL, "answers go on to their full length")},
    {ROW("Load", "temperature", FLOAT, "T", temperature, "0", "of the sampling"), .min = 0, .max = 100},
    {ROW("Load", "extra-body", JSON, "JSON", extra_body, NULL, "members to add to each request")},
    {ROW("Output", "percentile-metrics", STR, "LIST", percentile_metrics, "ttft,tpot,itl",
         "what to show, of ttft, tpot, itl, e2el")},
    {ROW("Output", "metric-percentiles", STR, "LIST", metric_percentiles, "99",
         "percentiles to show, e.g. 50,90,99")},
    {ROW("Output", "goodput", LIST, "METRIC:MS", goodput, NULL, "count the requests within these bounds")},
    {ROW("Output", "save-result", BOOL, NULL, save_result, NULL, "write the result as JSON")},
    {ROW("Output", "save-detailed", BOOL, NULL, save_detailed, NULL, "also what each request measured")},
    {ROW("Output", "result-dir", STR, "DIR", result_dir, NULL, "folder for the JSON")},
    {ROW("Output", "result-filename", STR, "FILE", result_filename, NULL, "name of the JSON")},
    {ROW("Output", "metadata", LIST, "KEY=VALUE", metadata, NULL, "members to add to the JSON")},
    {ROW("Output", "label", STR, "TEXT", label, "the backend", "begins the JSON file's name")},
    {ROW("Output", "quiet", BOOL, NULL, quiet, NULL, "no progress line"), .alias = "disable-tqdm"},
    IGNORED("tokenizer", STR, "NAME", "random prompts are token ids; the server counts tokens"),
    IGNORED("tokenizer-mode", STR, "MODE", "random prompts are token ids; the server counts tokens"),
    IGNORED("trust-remote-code", BOOL, NULL, "there is no Python code to load"),
    IGNORED("profile", BOOL, NULL, "the server has no built-in profiler"),
    IGNORED("skip-tokenizer-init", BOOL, NULL, "no tokenizer is needed"),
    IGNORED("disable-shuffle", BOOL, NULL, "prompts keep their order"),
    IGNORED("append-result", BOOL, NULL, "a result is written to a file of its own"),
};

struct bench {
    const bench_options *options;
    vmt_arena *arena;
    vmt_http_client *client;
    vmt_bench_dataset dataset;
    vmt_bench_load_options load;
    vmt_bench_report_options report_options;
    vmt_bench_record *records;
    vmt_bench_report report;
    vmt_err *err;
};

static vmt_status no_memory(struct bench *b) {
    return vmt_fail(b->err, VMT_E_NO_MEMORY, "no memory for the benchmark");
}

/* The target's url and the path behind it: vLLM names the path from the server's root. */
static vmt_status choose_target(struct bench *b) {
    const bench_options *o = b->options;
    vmt_bench_load_options *load = &b->load;
    load->is_chat =
        vmt_str_eq_c(o->backend, "openai-chat") || vmt_str_ends(o->endpoint, VMT_STR("/chat/completions"));
    vmt_str path = o->endpoint.len > 0 ? o->endpoint
                   : load->is_chat     ? VMT_STR("/v1/chat/completions")
                                       : VMT_STR("/v1/completions");
    vmt_str url = o->base_url;
    if (url.len == 0) {
        bool is_v6 = vmt_str_find(o->host, VMT_STR(":"), 0) != SIZE_MAX;
        url = vmt_arena_printf(b->arena, "http://%s%.*s%s:%lld", is_v6 ? "[" : "", VMT_STR_ARG(o->host),
                               is_v6 ? "]" : "", (long long)o->port);
    }
    while (vmt_str_ends(url, VMT_STR("/"))) url.len--;
    if (vmt_str_ends(url, VMT_STR("/v1"))) url.len -= 3;
    while (vmt_str_starts(path, VMT_STR("/"))) path = vmt_str_slice(path, 1, path.len);
    load->target = (vmt_openai_target){url, o->api_key};
    if (load->target.api_key.ptr == NULL) load->target.api_key = vmt_environment_get("VLLM_API_KEY");
    if (load->target.api_key.ptr == NULL) load->target.api_key = vmt_environment_get("OPENAI_API_KEY");
    load->path = path;
    return url.ptr ? VMT_OK : no_memory(b);
}

static vmt_status find_model(struct bench *b) {
    const bench_options *o = b->options;
    vmt_json_doc *doc = NULL;
    vmt_json model = {0};
    vmt_str id;
    uint64_t until_ns = vmt_clock_ns() + (uint64_t)o->ready_check_timeout_s * 1000000000ull;
    vmt_status status;
    VMT_TRY(vmt_http_client_create(&b->client, NULL, b->err));
    for (;;) {
        vmt_err why = {0};
        status = vmt_openai_get(b->client, &b->load.target, "v1/models", &doc, &why);
        if (status == VMT_OK) break;
        if (vmt_clock_ns() >= until_ns) return vmt_fail(b->err, status, "%s", why.msg);
        struct timespec pause = {0, READY_POLL_US * 1000L};
        nanosleep(&pause, NULL);
    }
    vmt_json_iter it = vmt_json_iter_begin(VMT_JSON_AT(vmt_json_root(doc), "data"));
    bool is_found = vmt_json_iter_next(&it, NULL, &model) && vmt_json_get_str(VMT_JSON_AT(model, "id"), &id);
    b->load.model = o->served_model_name.len > 0 ? o->served_model_name
                    : o->model.len > 0           ? o->model
                    : is_found                   ? vmt_arena_dup(b->arena, id)
                                                 : (vmt_str){0};
    vmt_json_doc_destroy(doc);
    if (b->load.model.len > 0) return VMT_OK;
    return vmt_fail(b->err, VMT_E_NOT_FOUND, "the server lists no model; name one with --model");
}

static vmt_status prepare(struct bench *b) {
    const bench_options *o = b->options;
    VMT_TRY(vmt_bench_report_metrics(&b->report_options, o->percentile_metrics, b->err));
    VMT_TRY(vmt_bench_report_percentiles(&b->report_options, o->metric_percentiles, b->err));
    for (uint32_t i = 0; i < o->goodput.num; i++) {
        VMT_TRY(vmt_bench_report_goal(&b->report_options, o->goodput.items[i], b->err));
    }
    VMT_TRY(choose_target(b));
    VMT_TRY(find_model(b));
    b->load.ignore_eos = o->ignore_eos;
    b->load.temperature = o->temperature;
    b->load.extra_body = o->extra_body;
    b->load.request_rate = o->request_rate;
    b->load.burstiness = o->burstiness;
    b->load.max_concurrency = o->max_concurrency;
    b->load.seed = o->dataset.seed;
    VMT_TRY(vmt_bench_dataset_create(&b->dataset, &o->dataset, b->load.is_chat, 0, b->err));
    b->records = calloc(b->dataset.num, sizeof *b->records);
    return b->records ? VMT_OK : no_memory(b);
}

static vmt_status warm_up(struct bench *b) {
    uint32_t num = (uint32_t)VMT_MIN(b->options->num_warmups, (int64_t)b->dataset.num);
    if (num == 0) return VMT_OK;
    double seconds;
    vmt_bench_load_options load = b->load;
    load.request_rate = INFINITY;
    vmt_bench_record *records = calloc(num, sizeof *records);
    if (records == NULL) return no_memory(b);
    vmt_status status = vmt_bench_load_run(&load, &b->dataset, num, records, &seconds, b->err);
    vmt_bench_records_free(records, num);
    return status;
}

static void string_member(vmt_json_writer *w, const char *key, vmt_str value) {
    vmt_json_key(w, key);
    vmt_json_str(w, value);
}

static void write_result(const struct bench *b, const char *date, vmt_buf *text) {
    const bench_options *o = b->options;
    vmt_json_writer w;
    vmt_json_writer_init(&w, text);
    vmt_json_begin_object(&w);
    string_member(&w, "date", vmt_str_from(date));
    string_member(&w, "endpoint_type", o->backend);
    string_member(&w, "backend", o->backend);
    if (o->label.ptr != NULL) string_member(&w, "label", o->label);
    string_member(&w, "model_id", b->load.model);
    string_member(&w, "tokenizer_id", b->load.model);
    vmt_json_key(&w, "num_prompts");
    vmt_json_u64(&w, b->dataset.num);
    for (uint32_t i = 0; i < o->metadata.num; i++) {
        vmt_str pair = o->metadata.items[i];
        size_t equals = vmt_str_find(pair, VMT_STR("="), 0);
        if (equals == SIZE_MAX) continue;
        vmt_json_key_str(&w, vmt_str_slice(pair, 0, equals));
        vmt_json_str(&w, vmt_str_slice(pair, equals + 1, pair.len));
    }
    vmt_json_key(&w, "request_rate");
    if (isinf(o->request_rate)) {
        vmt_json_c_str(&w, "inf");
    } else {
        vmt_json_f64(&w, o->request_rate);
    }
    vmt_json_key(&w, "burstiness");
    vmt_json_f64(&w, o->burstiness);
    vmt_json_key(&w, "max_concurrency");
    if (o->max_concurrency > 0) {
        vmt_json_i64(&w, o->max_concurrency);
    } else {
        vmt_json_null(&w);
    }
    vmt_bench_report_json(&b->report, &b->report_options, b->records, b->dataset.num, o->save_detailed, &w);
    vmt_json_end_object(&w);
}

static vmt_status save(struct bench *b) {
    const bench_options *o = b->options;
    char date[32], rate[32], concurrency[32] = "";
    time_t now = (time_t)vmt_clock_unix_s();
    struct tm local;
    strftime(date, sizeof date, "%Y%m%d-%H%M%S", localtime_r(&now, &local));
    vmt_str name = o->result_filename, label = o->label.len > 0 ? o->label : o->backend, model = b->load.model;
    for (size_t slash; (slash = vmt_str_find(model, VMT_STR("/"), 0)) != SIZE_MAX;) {
        model = vmt_str_slice(model, slash + 1, model.len);
    }
    snprintf(rate, sizeof rate, "%g", o->request_rate);
    if (o->max_concurrency > 0) {
        snprintf(concurrency, sizeof concurrency, "-concurrency%lld", (long long)o->max_concurrency);
    }
    if (name.len == 0) {
        name = vmt_arena_printf(b->arena, "%.*s-%sqps%s-%.*s-%s.json", VMT_STR_ARG(label), rate, concurrency,
                                VMT_STR_ARG(model), date);
    }
    if (o->result_dir.len > 0) {
        name = vmt_arena_printf(b->arena, "%.*s/%.*s", VMT_STR_ARG(o->result_dir), VMT_STR_ARG(name));
    }
    vmt_buf text;
    vmt_buf_init(&text, 0);
    write_result(b, date, &text);
    return vmt_bench_save(name, &text, b->err);
}

static vmt_status measure(struct bench *b) {
    const bench_options *o = b->options;
    double seconds;
    vmt_buf table;
    VMT_TRY(prepare(b));
    VMT_TRY(warm_up(b));
    b->load.shows_progress = !o->quiet;
    b->load.keeps_text = o->save_detailed;
    VMT_TRY(vmt_bench_load_run(&b->load, &b->dataset, b->dataset.num, b->records, &seconds, b->err));
    VMT_TRY(vmt_bench_report_make(&b->report, &b->report_options, b->records, b->dataset.num, seconds, b->err));
    b->report.request_rate = o->request_rate;
    b->report.max_concurrency = o->max_concurrency;
    vmt_buf_init(&table, 0);
    vmt_bench_report_table(&b->report, &b->report_options, &table);
    printf("%.*s", VMT_STR_ARG(vmt_buf_str(&table)));
    vmt_buf_free(&table);
    if (o->save_result || o->save_detailed || o->result_filename.len > 0) VMT_TRY(save(b));
    if (b->report.num_completed > 0) return VMT_OK;
    return vmt_fail(b->err, VMT_E_IO, "every request failed; the first: %.200s", b->records[0].error);
}

static int run(const void *options) {
    vmt_err err = {0};
    struct bench b = {.options = options, .arena = vmt_arena_create((size_t)1 << 20), .err = &err};
    vmt_status status = b.arena ? measure(&b) : no_memory(&b);
    vmt_bench_records_free(b.records, b.dataset.num);
    vmt_bench_dataset_free(&b.dataset);
    vmt_http_client_destroy(b.client);
    vmt_arena_destroy(b.arena);
    if (status == VMT_OK) return EXIT_SUCCESS;
    vmt_command_fail("bench serve", status, &err);
    return status == VMT_E_INVALID ? VMT_EXIT_USAGE : EXIT_FAILURE;
}

const vmt_command vmt_bench_serve_command = {
    .name = "bench serve",
    .summary = "puts load on a running server and measures it",
    .usage = "vmetal bench serve [flags]",
    .flags = flags,
    .num_flags = VMT_COUNT(flags),
    .example = "vmetal bench serve --num-prompts 100 --random-input-len 128 --max-concurrency 8 --ignore-eos",
    .run = run,
    .defaults = &defaults,
    .options_bytes = sizeof(bench_options),
};
