#include "api/routes.h"
#include "api/embeddings.h"
#include "api/endpoints.h"
#include "api/messages.h"
#include "api/ollama.h"
#include "api/openai.h"
#include "api/rerank.h"
#include "api/responses.h"

const vmt_route vmt_routes[] = {
    {"POST", "/v1/chat/completions", NULL, &vmt_openai_chat, 0},
    {"POST", "/v1/completions", NULL, &vmt_openai_completions, 0},
    {"POST", "/v1/messages", NULL, &vmt_messages, 0},
    {"POST", "/v1/messages/count_tokens", NULL, &vmt_messages_count_tokens, 0},
    {"POST", "/v1/responses", NULL, &vmt_responses, 0},
    {"POST", "/v1/responses/", vmt_post_response, NULL, VMT_ROUTE_PREFIX},
    {"GET", "/v1/responses/", vmt_get_response, NULL, VMT_ROUTE_PREFIX},
    {"DELETE", "/v1/responses/", vmt_delete_response, NULL, VMT_ROUTE_PREFIX},
    {"POST", "/v1/embeddings", NULL, &vmt_embeddings, 0},
    {"POST", "/score", NULL, &vmt_scoring, 0},
    {"POST", "/v1/score", NULL, &vmt_scoring, 0},
    {"POST", "/rerank", NULL, &vmt_rerank, 0},
    {"POST", "/v1/rerank", NULL, &vmt_rerank, 0},
    {"POST", "/v2/rerank", NULL, &vmt_rerank, 0},
    {"GET", "/v1/models", vmt_get_models, NULL, 0},
    {"GET", "/v1/models/", vmt_get_model, NULL, VMT_ROUTE_PREFIX},
    {"POST", "/tokenize", NULL, &vmt_tokenize, 0},
    {"POST", "/detokenize", NULL, &vmt_detokenize, 0},
    {"GET", "/tokenizer_info", vmt_get_tokenizer_info, NULL, VMT_ROUTE_TOKENIZER_INFO},
    {"GET", "/health", vmt_get_health, NULL, VMT_ROUTE_NO_HTTP_METRICS},
    {"GET", "/ping", vmt_get_health, NULL, VMT_ROUTE_NO_HTTP_METRICS},
    {"POST", "/ping", vmt_get_health, NULL, VMT_ROUTE_NO_HTTP_METRICS},
    {"GET", "/version", vmt_get_version, NULL, VMT_ROUTE_NO_HTTP_METRICS},
    {"GET", "/load", vmt_get_load, NULL, VMT_ROUTE_NO_HTTP_METRICS},
    {"GET", "/metrics", vmt_get_metrics, NULL, VMT_ROUTE_NO_HTTP_METRICS},
    {"GET", "/", vmt_ollama_root, NULL, VMT_ROUTE_NO_HTTP_METRICS},
    {"HEAD", "/", vmt_ollama_root, NULL, VMT_ROUTE_NO_HTTP_METRICS},
    {"GET", "/api/version", vmt_ollama_version, NULL, VMT_ROUTE_NO_HTTP_METRICS},
    {"HEAD", "/api/version", vmt_ollama_version, NULL, VMT_ROUTE_NO_HTTP_METRICS},
    {"GET", "/api/tags", vmt_ollama_tags, NULL, 0},
    {"HEAD", "/api/tags", vmt_ollama_tags, NULL, 0},
    {"GET", "/api/ps", vmt_ollama_ps, NULL, 0},
    {"HEAD", "/api/ps", vmt_ollama_ps, NULL, 0},
    {"POST", "/api/chat", NULL, &vmt_ollama_chat, VMT_ROUTE_ANY_MEDIA},
    {"POST", "/api/generate", NULL, &vmt_ollama_generate, VMT_ROUTE_ANY_MEDIA},
    {"POST", "/api/show", NULL, &vmt_ollama_show, VMT_ROUTE_ANY_MEDIA},
    {"POST", "/api/pull", NULL, &vmt_ollama_pull, VMT_ROUTE_ANY_MEDIA},
    {"POST", "/api/embed", NULL, &vmt_ollama_embed, VMT_ROUTE_ANY_MEDIA},
    {"POST", "/api/embeddings", NULL, &vmt_ollama_embeddings, VMT_ROUTE_ANY_MEDIA},
    {"POST", "/api/create", vmt_ollama_refuse, NULL, 0},
    {"POST", "/api/copy", vmt_ollama_refuse, NULL, 0},
    {"POST", "/api/push", vmt_ollama_refuse, NULL, 0},
    {"DELETE", "/api/delete", vmt_ollama_refuse, NULL, 0},
    {"POST", "/api/blobs/", vmt_ollama_refuse, NULL, VMT_ROUTE_PREFIX},
    {"HEAD", "/api/blobs/", vmt_ollama_refuse, NULL, VMT_ROUTE_PREFIX},
    {"POST", "/reset_prefix_cache", vmt_post_reset_prefix_cache, NULL, VMT_ROUTE_DEV_MODE},
    {"GET", "/server_info", vmt_get_server_info, NULL, VMT_ROUTE_DEV_MODE | VMT_ROUTE_NO_HTTP_METRICS},
};
const uint32_t vmt_num_routes = VMT_COUNT(vmt_routes);

_Static_assert(VMT_COUNT(vmt_routes) < VMT_METRICS_ROUTES_MAX, "a route has no place in the metrics");

static bool exists(const vmt_route *route, const vmt_api_config *config) {
    if ((route->flags & VMT_ROUTE_DEV_MODE) && !config->dev_mode) return false;
    return !(route->flags & VMT_ROUTE_TOKENIZER_INFO) || config->tokenizer_info_endpoint;
}

static bool matches(const vmt_route *route, vmt_str path) {
    vmt_str own = vmt_str_from(route->path);
    if (route->flags & VMT_ROUTE_PREFIX) return path.len > own.len && vmt_str_starts(path, own);
    return vmt_str_eq(path, own);
}

int32_t vmt_route_find(const vmt_api_config *config, vmt_str method, vmt_str path, int *status,
                       const char **allowed) {
    *status = 404;
    *allowed = NULL;
    for (uint32_t i = 0; i < vmt_num_routes; i++) {
        const vmt_route *route = &vmt_routes[i];
        if (!exists(route, config) || !matches(route, path)) continue;
        if (vmt_str_eq_c(method, route->method)) return (int32_t)i;
        *status = 405;
        *allowed = route->method;
    }
    return -1;
}

/* What one path segment, and the slash before it, leaves of a path. */
static vmt_str without_segment(vmt_str path) {
    size_t end = vmt_str_find(path, VMT_STR("/"), 1);
    return end == SIZE_MAX ? VMT_STR("") : vmt_str_slice(path, end, path.len);
}

static bool is_engine_path(vmt_str path) {
    return vmt_str_starts(path, VMT_STR("/v1/")) || vmt_str_eq_c(path, "/rerank") || vmt_str_eq_c(path, "/score");
}

vmt_str vmt_route_rewrite(vmt_str path) {
    static const char anthropic[] = "/anthropic", engines[] = "/engines";
    if (vmt_str_starts(path, VMT_STR("/anthropic/v1/"))) {
        return vmt_str_slice(path, sizeof anthropic - 1, path.len);
    }
    if (!vmt_str_starts(path, VMT_STR("/engines/"))) return path;
    vmt_str rest = vmt_str_slice(path, sizeof engines - 1, path.len);
    if (is_engine_path(rest)) return rest;
    vmt_str after_backend = without_segment(rest);
    return is_engine_path(after_backend) ? after_backend : path;
}
