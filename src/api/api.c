#include "api/api.h"
#include "api/error.h"
#include "api/job.h"
#include "api/response_store.h"
#include "api/routes.h"
#include "api/turn_store.h"
#include "base/clock.h"
#include "base/hash.h"
#include "json/json_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define MODEL_LEN_UNKNOWN 131072u /* bounds of token histograms before the model is loaded */
#define NS_PER_MS         1000000ull
#define MODEL_PATH_MAX    4096

/* ---- shared by endpoints */

void vmt_api_respond_json(vmt_http_exchange *x, int status, const vmt_buf *body) {
    if (body->failed) {
        vmt_http_respond(x, 500, "application/json", VMT_STR("{\"detail\":\"Internal Server Error\"}"));
        return;
    }
    vmt_http_respond(x, status, "application/json", vmt_buf_str(body));
}

void vmt_api_respond_detail(vmt_http_exchange *x, int status, const char *detail) {
    vmt_buf body = {0};
    vmt_json_writer w;
    vmt_json_writer_init(&w, &body);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "detail");
    vmt_json_c_str(&w, detail);
    vmt_json_end_object(&w);
    vmt_api_respond_json(x, status, &body);
    vmt_buf_free(&body);
}

vmt_str vmt_api_path(const vmt_api *api, const vmt_http_exchange *x) {
    vmt_str path = vmt_http_path(x), root = api->config.root_path;
    while (root.len && root.ptr[root.len - 1] == '/') root.len--;
    if (root.len && vmt_str_starts(path, root) && path.len > root.len && path.ptr[root.len] == '/') {
        path = vmt_str_slice(path, root.len, path.len);
    }
    return vmt_route_rewrite(path);
}

int32_t vmt_api_find_model(const vmt_api_config *config, vmt_str name) {
    if (name.len == 0) return config->num_served_names ? 0 : -1;
    for (uint32_t i = 0; i < config->num_served_names; i++) {
        if (vmt_str_eq(config->served_names[i], name)) return (int32_t)i;
    }
    return -1;
}

bool vmt_api_is_ready(const vmt_api *api) {
    return api->config.engine && !vmt_engine_get_stats(api->config.engine).is_dead;
}

/* ---- requests */

static void refuse_media_type(vmt_http_exchange *x, const vmt_dialect *dialect) {
    vmt_fault fault = {0};
    vmt_buf body = {0};
    vmt_fault_schema(&fault, NULL, "Unsupported Media Type: Only 'application/json' is allowed");
    dialect->on_error(&fault, &body);
    vmt_api_respond_json(x, vmt_fault_status(&fault), &body);
    vmt_buf_free(&body);
}

static bool is_json(vmt_http_exchange *x) {
    vmt_str type = vmt_http_header(x, "Content-Type");
    size_t end = vmt_str_find(type, VMT_STR(";"), 0);
    if (end != SIZE_MAX) type = vmt_str_slice(type, 0, end);
    return vmt_str_eq_nocase(vmt_str_trim(type), VMT_STR("application/json"));
}

static void echo_request_id(const vmt_api *api, vmt_http_exchange *x) {
    if (!api->config.request_id_headers) return;
    vmt_str own = vmt_http_header(x, "X-Request-Id");
    char hex[33];
    if (own.len == 0) {
        unsigned char bytes[16];
        vmt_random_bytes(bytes, sizeof bytes);
        for (size_t i = 0; i < sizeof bytes; i++) snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
        own = vmt_str_from(hex);
    }
    vmt_http_add_header(x, "X-Request-Id", own);
}

void vmt_api_on_request(void *ctx, vmt_http_exchange *x) {
    vmt_api *api = ctx;
    vmt_str path = vmt_api_path(api, x);
    if (vmt_cors_handle(&api->cors, x)) return;
    echo_request_id(api, x);
    if (!vmt_auth_allows(&api->auth, path, x)) {
        vmt_http_respond(x, 401, "application/json", vmt_auth_refusal(path));
        return;
    }
    int status;
    const char *allowed;
    int32_t idx = vmt_route_find(&api->config, vmt_http_method(x), path, &status, &allowed);
    if (idx < 0) {
        if (allowed) vmt_http_add_header(x, "Allow", vmt_str_from(allowed));
        vmt_api_respond_detail(x, status, status == 405 ? "Method Not Allowed" : "Not Found");
        return;
    }
    const vmt_route *route = &vmt_routes[idx];
    if (route->handler) {
        route->handler(api, x);
    } else if (!(route->flags & VMT_ROUTE_ANY_MEDIA) && !is_json(x)) {
        refuse_media_type(x, route->dialect);
    } else {
        vmt_job_start(api, x, route->dialect);
    }
}

void vmt_api_on_done(void *ctx, vmt_http_exchange *x, int status, uint64_t duration_ns, uint64_t bytes_out) {
    vmt_api *api = ctx;
    int ignored;
    const char *allowed;
    int32_t idx = vmt_route_find(&api->config, vmt_http_method(x), vmt_api_path(api, x), &ignored, &allowed);
    if (idx >= 0 && (vmt_routes[idx].flags & VMT_ROUTE_NO_HTTP_METRICS)) return;
    const vmt_http_record record = {
        .route_idx = idx >= 0 ? (uint32_t)idx : vmt_num_routes,
        .status = status,
        .duration_ns = duration_ns,
        .request_bytes = vmt_http_body_len(x),
        .response_bytes = bytes_out,
    };
    vmt_metrics_on_http(&api->metrics, &record);
}

void vmt_api_error_body(void *ctx, const vmt_http_exchange *x, int status, vmt_str message, vmt_buf *out) {
    const vmt_api *api = ctx;
    vmt_fault fault = {0};
    const char *allowed;
    int ignored;
    vmt_fault_http(&fault, status, message);
    int32_t idx = vmt_route_find(&api->config, vmt_http_method(x), vmt_api_path(api, x), &ignored, &allowed);
    if (idx >= 0 && vmt_routes[idx].dialect) {
        vmt_routes[idx].dialect->on_error(&fault, out);
    } else {
        vmt_fault_openai_body(&fault, out);
    }
}

/* ---- life */

void vmt_api_on_progress(void *ctx) {
    vmt_api *api = ctx;
    vmt_waker_wake(api->progress_waker);
}

static void wake_for_text(void *ctx) {
    vmt_api *api = ctx;
    vmt_waker_wake(api->text_waker);
}

/* Once, at start: the loop must not ask a file system that may hang. */
static void look_at_model(vmt_api *api) {
    char path[MODEL_PATH_MAX];
    struct stat st;
    vmt_str root = api->config.model_root;
    api->created_unix_ns = vmt_clock_unix_ns();
    if (root.len == 0 || root.len >= sizeof path) return;
    memcpy(path, root.ptr, root.len);
    path[root.len] = 0;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) api->model_bytes = (uint64_t)st.st_size;
}

static void make_fingerprint(vmt_api *api) {
    vmt_str root = api->config.model_root;
    unsigned hash = (unsigned)vmt_hash_fast(root.ptr, root.len);
    snprintf(api->fingerprint, sizeof api->fingerprint, "vmetal-%s-%08x", VMT_VERSION, hash);
}

static vmt_status check_config(const vmt_api_config *config, vmt_err *err) {
    if (config->num_served_names < 1 || config->num_served_names > VMT_SERVED_NAMES_MAX) {
        return vmt_fail_param(err, VMT_E_INVALID, "--served-model-name", "%u served model names, must be 1 to %u",
                              config->num_served_names, VMT_SERVED_NAMES_MAX);
    }
    if (config->requests_max < 1) {
        return vmt_fail(err, VMT_E_INVALID, "the limit on requests in progress must be at least 1");
    }
    if (config->default_chat_template_kwargs.len == 0) return VMT_OK;
    vmt_json_doc *doc = NULL;
    VMT_TRY(vmt_json_parse(&doc, config->default_chat_template_kwargs, err));
    bool is_object = vmt_json_typeof(vmt_json_root(doc)) == VMT_JSON_OBJECT;
    vmt_json_doc_destroy(doc);
    if (is_object) return VMT_OK;
    return vmt_fail_param(err, VMT_E_INVALID, "--default-chat-template-kwargs",
                          "--default-chat-template-kwargs must be a JSON object");
}

static vmt_status init(vmt_api *api, vmt_err *err) {
    const vmt_api_config *config = &api->config;
    VMT_TRY(check_config(config, err));
    VMT_TRY(vmt_output_rules_resolve(&api->output_rules, config, err));
    VMT_TRY(vmt_grammars_init(&api->grammars, err));
    VMT_TRY(vmt_auth_init(&api->auth, config->api_keys, config->num_api_keys, err));
    const vmt_cors_config cors = {config->cors_origins, config->cors_methods, config->cors_headers,
                                  config->cors_credentials};
    VMT_TRY(vmt_cors_init(&api->cors, &cors, err));
    api->text_waker = vmt_waker_create(config->loop, vmt_jobs_on_text_done, api);
    api->progress_waker = vmt_waker_create(config->loop, vmt_jobs_on_progress, api);
    if (config->ping_interval_ms) api->ping_timer = vmt_timer_create(config->loop, vmt_jobs_on_ping_timer, api);
    api->responses = vmt_response_store_create();
    if (!api->responses) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the store of responses");
    api->turns = vmt_turn_store_create();
    if (!api->turns) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the store of turns");
    if (!api->text_waker || !api->progress_waker || (config->ping_interval_ms && !api->ping_timer)) {
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the API's wakers");
    }
    if (api->ping_timer) vmt_timer_start(api->ping_timer, config->ping_interval_ms * NS_PER_MS);
    uint32_t num_threads = VMT_MAX(config->num_text_threads, 1u);
    return vmt_text_pool_create(&api->text_pool, num_threads, config->requests_max, wake_for_text, api, err);
}

vmt_status vmt_api_create(vmt_api **out, const vmt_api_config *config, vmt_err *err) {
    *out = NULL;
    vmt_api *api = calloc(1, sizeof *api);
    if (!api) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the API");
    api->config = *config;
    if (api->config.response_role.len == 0) api->config.response_role = VMT_STR("assistant");
    make_fingerprint(api);
    look_at_model(api);
    vmt_metrics_init(&api->metrics, config->engine ? vmt_engine_max_model_len(config->engine) : MODEL_LEN_UNKNOWN);
    vmt_status status = init(api, err);
    if (status != VMT_OK) {
        vmt_api_destroy(api);
        return status;
    }
    *out = api;
    return VMT_OK;
}

void vmt_api_destroy(vmt_api *api) {
    if (!api) return;
    vmt_text_pool_destroy(api->text_pool);
    vmt_jobs_destroy_all(api);
    if (api->ping_timer) vmt_timer_destroy(api->ping_timer);
    if (api->text_waker) vmt_waker_destroy(api->text_waker);
    if (api->progress_waker) vmt_waker_destroy(api->progress_waker);
    vmt_response_store_destroy(api->responses);
    vmt_turn_store_destroy(api->turns);
    vmt_grammars_reset(&api->grammars);
    vmt_cors_reset(&api->cors);
    free(api);
}

void vmt_api_ready(vmt_api *api, const vmt_api_config *config) {
    api->config.tokenizer = config->tokenizer;
    api->config.chat_template = config->chat_template;
    api->config.tokenizer_config_json = config->tokenizer_config_json;
    api->config.defaults = config->defaults;
    api->config.card = config->card;
    api->config.pooling = config->pooling;
    api->config.block_size = config->block_size;
    api->config.num_blocks = config->num_blocks;
    api->config.kv_dtype_name = config->kv_dtype_name;
    api->config.enable_prefix_caching = config->enable_prefix_caching;
    api->config.engine = config->engine;
    vmt_status status = vmt_output_rules_resolve(&api->output_rules, &api->config, NULL);
    VMT_ASSERT(status == VMT_OK);
    vmt_metrics_init(&api->metrics, vmt_engine_max_model_len(config->engine));
}

void vmt_api_abort_all(vmt_api *api) {
    vmt_jobs_abort_all(api);
}
