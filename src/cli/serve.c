/* vmetal serve: wires the modules, runs the loop, shuts down.
 *
 * The socket is open before the model is loaded: /health says 503 until then.  Loading runs on its own thread, which
 * hands its result to the loop through a waker and touches nothing afterwards. */
#include "cli/serve_options.h"

#include "base/clock.h"
#include "base/log.h"
#include "cli/environment.h"
#include "cli/model_argument.h"
#include "model/families.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NUM_TEXT_THREADS 2u
#define ABORT_GRACE_NS   5000000000ull /* aborted requests get so long to say goodbye */
#define DEATH_GRACE_S    2             /* and those that failed with the GPU */

struct server {
    const vmt_serve_options *options;
    uint64_t started_ns;
    vmt_arena *arena;
    vmt_loop *loop;
    vmt_http_server *http;
    vmt_api *api;
    vmt_api_config api_config;
    vmt_bundle_options bundle_options;
    vmt_bundle bundle;
    vmt_engine *engine;
    /* the loader's result, read by the loop after loaded wakes it */
    pthread_t loader;
    bool loader_runs;
    vmt_status load_status;
    vmt_err load_err;
    vmt_waker *loaded, *died;
    vmt_timer *deadline, *stats;
    vmt_engine_stats last_stats;
    uint64_t last_stats_ns;
    bool is_stopping, failed;
    bool has_died; /* the GPU is lost: the supervisor is told by the exit code */
};

static void on_progress(void *ctx) {
    struct server *s = ctx;
    vmt_api_on_progress(s->api);
    if (s->bundle.gpu != NULL && vmt_engine_get_stats(s->engine).is_dead) vmt_waker_wake(s->died);
}

static void *load_model(void *ctx) {
    struct server *s = ctx;
    s->load_status = vmt_bundle_open(&s->bundle, &s->bundle_options, &s->load_err);
    if (s->load_status == VMT_OK) s->load_status = vmt_bundle_load(&s->bundle, &s->bundle_options, &s->load_err);
    if (s->load_status == VMT_OK) {
        s->load_status =
            vmt_bundle_engine(&s->bundle, &s->bundle_options, on_progress, s, &s->engine, &s->load_err);
    }
    if (s->load_status == VMT_OK) s->load_status = vmt_engine_start(s->engine, &s->load_err);
    vmt_waker_wake(s->loaded);
    return NULL;
}

static const char *address(const struct server *s, char *out, size_t cap) {
    if (s->options->uds.len > 0) {
        snprintf(out, cap, "unix:%.*s", VMT_STR_ARG(s->options->uds));
    } else {
        vmt_str host = s->options->host.len > 0 ? s->options->host : VMT_STR("127.0.0.1");
        bool any = vmt_str_eq_c(host, "0.0.0.0") || vmt_str_eq_c(host, "::");
        bool v6 = !any && vmt_str_find(host, VMT_STR(":"), 0) != SIZE_MAX;
        if (any) host = VMT_STR("127.0.0.1");
        snprintf(out, cap, "%s://%s%.*s%s:%u", s->options->ssl_certfile.len > 0 ? "https" : "http", v6 ? "[" : "",
                 VMT_STR_ARG(host), v6 ? "]" : "", vmt_http_server_port(s->http));
    }
    return out;
}

/* What a person does next, once; silent in scripts' logs but for the ready line. */
static void print_ready(const struct server *s) {
    char where[256];
    address(s, where, sizeof where);
    double seconds = (double)(vmt_clock_ns() - s->started_ns) * 1e-9;
    vmt_str name = s->api_config.served_names[0];
    vmt_log_info("event=ready address=%s model=%.*s seconds=%.3f", where, VMT_STR_ARG(name), seconds);
    if (s->bundle_options.quiet || s->options->uds.len > 0) return;
    static const struct {
        const char *path, *body;
    } tries[] = {
        [VMT_TASK_GENERATE] = {"chat/completions",
                               "\"stream\": true, \"temperature\": 0, \"messages\": [{\"role\": "
                               "\"user\", \"content\": \"Why is the sky blue?\"}]"},
        [VMT_TASK_EMBED] = {"embeddings", "\"input\": \"Why is the sky blue?\""},
        [VMT_TASK_SCORE] = {"rerank", "\"query\": \"Why is the sky blue?\", \"documents\": [\"Air scatters blue "
                                      "light.\", \"Grass is green.\"]"},
    };
    vmt_task task = s->api_config.pooling.task;
    printf("\nvmetal is ready at %s (%.2f s).  Try it:\n\n"
           "  curl -N %s%s/v1/%s -H 'Content-Type: application/json' \\\n"
           "    -d '{\"model\": \"%.*s\", %s}'\n\n",
           where, seconds, where, s->options->root_path.len > 0 ? s->options->root_path.ptr : "", tries[task].path,
           VMT_STR_ARG(name), tries[task].body);
    fflush(stdout);
}

static void stop_loop(void *ctx) {
    struct server *s = ctx;
    vmt_loop_stop(s->loop);
}

static vmt_model_card card_of(const vmt_bundle *bundle) {
    const vmt_model_config *config = bundle->config;
    vmt_model_card card = {
        .architecture = config->family->gguf_arch,
        .quantization = vmt_dtype_get(config->dtype)->name,
        .num_layers = config->num_layers,
        .hidden = config->hidden,
        .num_heads = config->num_heads,
        .num_kv_heads = config->num_kv_heads,
        .context_max = config->context_max,
    };
    for (uint32_t i = 0; i < vmt_weight_file_count(bundle->weights); i++) {
        vmt_tensor tensor;
        if (!vmt_weight_file_find(bundle->weights, vmt_weight_file_name(bundle->weights, i), &tensor)) continue;
        uint64_t count = 1;
        for (uint32_t d = 0; d < tensor.ndim; d++) count *= tensor.shape[d];
        card.num_parameters += count;
    }
    return card;
}

static void on_loaded(void *ctx) {
    struct server *s = ctx;
    pthread_join(s->loader, NULL);
    s->loader_runs = false;
    if (s->load_status != VMT_OK) {
        s->failed = true;
        vmt_loop_stop(s->loop);
        return;
    }
    if (s->is_stopping) return;
    vmt_api_config *c = &s->api_config;
    c->engine = s->engine;
    c->tokenizer = s->bundle.tokenizer;
    c->chat_template = s->bundle.chat_template;
    c->tokenizer_config_json = vmt_buf_str(&s->bundle.tokenizer_config_json);
    c->defaults = s->bundle.defaults;
    c->card = card_of(&s->bundle);
    c->pooling = s->bundle.pooling;
    c->block_size = s->bundle.block_size;
    c->num_blocks = s->bundle.num_blocks;
    c->kv_dtype_name = vmt_dtype_get(s->bundle.kv_dtype)->name;
    vmt_api_ready(s->api, c);
    print_ready(s);
}

/* Ends what runs, then the loop.  grace_s 0: requests are aborted at once. */
static void shut_down(struct server *s, int64_t grace_s) {
    if (s->loader_runs) {
        /* Loading can't be interrupted, and nothing is at stake yet. */
        vmt_log_info("event=stopped note=\"while loading\"");
        _exit(0);
    }
    bool first = !s->is_stopping;
    s->is_stopping = true;
    if (grace_s == 0) vmt_api_abort_all(s->api);
    vmt_timer_start(s->deadline, grace_s > 0 ? (uint64_t)grace_s * 1000000000ull : ABORT_GRACE_NS);
    if (first) vmt_http_server_drain(s->http, stop_loop, s);
}

/* Requests in progress have got their errors; they are let out before the process ends. */
static void on_died(void *ctx) {
    struct server *s = ctx;
    if (s->has_died) return;
    s->has_died = true;
    vmt_log_error("event=device_lost note=\"the server ends\"");
    shut_down(s, DEATH_GRACE_S);
}

static void on_signal(void *ctx, int number) {
    struct server *s = ctx;
    bool drains = number == SIGTERM && !s->is_stopping && s->options->shutdown_timeout_s > 0;
    vmt_log_info("event=signal signal=%s action=%s open=%u", number == SIGTERM ? "SIGTERM" : "SIGINT",
                 drains ? "drain" : "abort", vmt_http_server_num_open(s->http));
    shut_down(s, drains ? s->options->shutdown_timeout_s : 0);
}

static void on_deadline(void *ctx) {
    struct server *s = ctx;
    vmt_log_warn("event=stop_deadline open=%u", vmt_http_server_num_open(s->http));
    vmt_loop_stop(s->loop);
}

/* One line per interval while something happens. */
static void on_stats(void *ctx) {
    struct server *s = ctx;
    vmt_timer_start(s->stats, (uint64_t)s->options->log_stats_interval_s * 1000000000ull);
    if (s->engine == NULL) return;
    uint64_t now = vmt_clock_ns();
    vmt_engine_stats stats = vmt_engine_get_stats(s->engine), last = s->last_stats;
    double seconds = (double)(now - s->last_stats_ns) * 1e-9;
    s->last_stats = stats;
    s->last_stats_ns = now;
    if (stats.num_steps == last.num_steps || seconds <= 0) return;
    uint64_t queries = stats.sched.prefix_query_tokens - last.sched.prefix_query_tokens;
    uint64_t hits = stats.sched.prefix_hit_tokens - last.sched.prefix_hit_tokens;
    vmt_log_info("event=stats prompt_tok_s=%.1f generated_tok_s=%.1f running=%u waiting=%u kv_used=%.3f "
                 "prefix_hit=%.3f",
                 (double)(stats.num_prompt_tokens - last.num_prompt_tokens) / seconds,
                 (double)(stats.num_generated_tokens - last.num_generated_tokens) / seconds,
                 stats.sched.num_running, stats.sched.num_waiting,
                 (double)stats.sched.num_blocks_used / (double)VMT_MAX(stats.sched.num_blocks_total, 1u),
                 queries > 0 ? (double)hits / (double)queries : 0.0);
}

/* uvicorn's names for our four levels. */
static vmt_log_level log_level(vmt_str name) {
    static const struct {
        const char *name;
        vmt_log_level level;
    } names[] = {
        {"critical", VMT_LOG_ERROR}, {"error", VMT_LOG_ERROR}, {"warning", VMT_LOG_WARN},
        {"warn", VMT_LOG_WARN},      {"debug", VMT_LOG_DEBUG}, {"trace", VMT_LOG_DEBUG},
    };
    for (size_t i = 0; i < VMT_COUNT(names); i++) {
        if (vmt_str_eq_c(name, names[i].name)) return names[i].level;
    }
    return VMT_LOG_INFO;
}

static vmt_status fill_api_config(struct server *s, vmt_err *err) {
    const vmt_serve_options *o = s->options;
    vmt_flag_list keys = o->api_key;
    if (keys.num == 0) {
        vmt_str *env = VMT_ARENA_NEW(s->arena, vmt_str, 1);
        if (env == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the API key");
        *env = vmt_environment_get("VLLM_API_KEY");
        if (env->len > 0) keys = (vmt_flag_list){env, 1};
    }
    vmt_str *model = VMT_ARENA_NEW(s->arena, vmt_str, 1);
    if (model == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the model's name");
    *model = s->bundle_options.model;
    bool named = o->served_model_name.num > 0;
    s->api_config = (vmt_api_config){
        .loop = s->loop,
        .served_names = named ? o->served_model_name.items : model,
        .num_served_names = named ? o->served_model_name.num : 1,
        .model_root = *model,
        .api_keys = keys.items,
        .num_api_keys = keys.num,
        .root_path = o->root_path,
        .default_chat_template_kwargs = o->default_chat_template_kwargs,
        .response_role = o->response_role,
        .cors_origins = o->allowed_origins,
        .cors_methods = o->allowed_methods,
        .cors_headers = o->allowed_headers,
        .cors_credentials = o->allow_credentials,
        .defaults = {.temperature = 1, .top_p = 1, .repetition_penalty = 1},
        .max_logprobs = (int32_t)o->max_logprobs,
        .default_seed = (uint64_t)o->seed,
        .stream_interval = (uint32_t)o->stream_interval,
        .num_text_threads = NUM_TEXT_THREADS,
        .requests_max = (uint32_t)o->max_requests,
        .ping_interval_ms = (uint32_t)o->ping_interval_ms,
        .trust_request_chat_template = o->trust_request_chat_template,
        .enable_prompt_tokens_details = o->enable_prompt_tokens_details,
        .force_include_usage = o->force_include_usage,
        .tokenizer_info_endpoint = o->tokenizer_info_endpoint,
        .server_load_tracking = o->server_load_tracking,
        .request_id_headers = o->request_id_headers,
        .return_tokens_as_token_ids = o->return_tokens_as_token_ids,
        .log_requests = o->log_requests,
        .dev_mode = vmt_str_eq_c(vmt_environment_get("VLLM_SERVER_DEV_MODE"), "1"),
        .tool_call_parser = o->tool_call_parser,
        .reasoning_parser = o->reasoning_parser,
        .exclude_tools_when_tool_choice_none = o->exclude_tools_when_tool_choice_none,
        .content_format = vmt_str_eq_c(o->content_format, "string")   ? 1
                          : vmt_str_eq_c(o->content_format, "openai") ? 2
                                                                      : 0,
        .enable_prefix_caching = o->bundle.enable_prefix_caching,
    };
    return VMT_OK;
}

static vmt_status open_server(struct server *s, vmt_err *err) {
    const vmt_serve_options *o = s->options;
    VMT_TRY(fill_api_config(s, err));
    VMT_TRY(vmt_loop_create(&s->loop, err));
    s->api_config.loop = s->loop;
    VMT_TRY(vmt_api_create(&s->api, &s->api_config, err));
    vmt_http_config http = vmt_http_config_default();
    http.host = o->host;
    http.port = (uint16_t)o->port;
    http.uds = o->uds;
    http.ssl_cert_file = o->ssl_certfile;
    http.ssl_key_file = o->ssl_keyfile;
    http.connections_max = (uint32_t)o->max_connections;
    http.header_bytes_max = (uint32_t)o->max_incomplete_event_size;
    http.header_count_max = (uint32_t)o->max_header_count;
    http.body_bytes_max = (uint64_t)o->max_body_bytes;
    http.on_request = vmt_api_on_request;
    http.on_done = vmt_api_on_done;
    http.error_body = vmt_api_error_body;
    http.ctx = s->api;
    VMT_TRY(vmt_http_server_create(&s->http, s->loop, &http, err));
    VMT_TRY(vmt_loop_on_signal(s->loop, SIGINT, on_signal, s, err));
    VMT_TRY(vmt_loop_on_signal(s->loop, SIGTERM, on_signal, s, err));
    s->loaded = vmt_waker_create(s->loop, on_loaded, s);
    s->died = vmt_waker_create(s->loop, on_died, s);
    s->deadline = vmt_timer_create(s->loop, on_deadline, s);
    s->stats = vmt_timer_create(s->loop, on_stats, s);
    if (s->loaded == NULL || s->died == NULL || s->deadline == NULL || s->stats == NULL) {
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the event loop");
    }
    char where[256];
    vmt_log_info("event=listening note=\"Starting vLLM server on %s\"", address(s, where, sizeof where));
    if (!o->disable_log_stats && o->log_stats_interval_s > 0) {
        s->last_stats_ns = vmt_clock_ns();
        vmt_timer_start(s->stats, (uint64_t)o->log_stats_interval_s * 1000000000ull);
    }
    if (pthread_create(&s->loader, NULL, load_model, s) != 0) {
        return vmt_fail(err, VMT_E_EXHAUSTED, "the system refuses a thread to load the model");
    }
    s->loader_runs = true;
    return VMT_OK;
}

static void close_server(struct server *s) {
    if (s->http != NULL) vmt_http_server_destroy(s->http);
    if (s->engine != NULL) vmt_engine_stop(s->engine);
    if (s->api != NULL) vmt_api_destroy(s->api);
    if (s->engine != NULL) vmt_engine_destroy(s->engine);
    vmt_bundle_close(&s->bundle);
    if (s->stats != NULL) vmt_timer_destroy(s->stats);
    if (s->deadline != NULL) vmt_timer_destroy(s->deadline);
    if (s->died != NULL) vmt_waker_destroy(s->died);
    if (s->loaded != NULL) vmt_waker_destroy(s->loaded);
    if (s->loop != NULL) vmt_loop_destroy(s->loop);
    vmt_arena_destroy(s->arena);
}

int vmt_serve_run(const void *options) {
    struct server s = {.options = options, .started_ns = vmt_clock_ns(), .arena = vmt_arena_create(1 << 20)};
    vmt_err err = {0};
    s.bundle_options = s.options->bundle;
    s.bundle_options.model = vmt_model_argument(s.options->model_args, s.options->model);
    vmt_log_set_level(log_level(s.options->log_level));
    vmt_status status = s.arena == NULL ? VMT_E_NO_MEMORY : open_server(&s, &err);
    if (status == VMT_OK) status = vmt_loop_run(s.loop, &err);
    if (s.failed) {
        status = s.load_status;
        err = s.load_err;
    }
    if (s.has_died) {
        fprintf(stderr, "vmetal: the GPU is lost\n");
        fflush(stderr);
        _exit(1); /* what it may still run must not be waited for */
    }
    close_server(&s);
    if (status != VMT_OK) {
        fprintf(stderr, "vmetal: %s\n", err.msg[0] != '\0' ? err.msg : vmt_status_name(status));
        return 1;
    }
    vmt_log_info("event=stopped");
    return 0;
}
