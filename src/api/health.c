/* Probes and numbers: /health, /ping, /version, /load, /metrics. */
#include "api/endpoints.h"
#include "api/routes.h"

void vmt_get_health(vmt_api *api, vmt_http_exchange *x) {
    vmt_http_respond(x, vmt_api_is_ready(api) ? 200 : 503, NULL, VMT_STR(""));
}

void vmt_get_version(vmt_api *api, vmt_http_exchange *x) {
    vmt_http_respond(x, 200, "application/json", VMT_STR("{\"version\":\"" VMT_VERSION "\"}"));
}

void vmt_get_load(vmt_api *api, vmt_http_exchange *x) {
    vmt_buf body = {0};
    vmt_buf_printf(&body, "{\"server_load\":%u}", api->config.server_load_tracking ? api->num_generating : 0);
    vmt_api_respond_json(x, 200, &body);
    vmt_buf_free(&body);
}

void vmt_get_metrics(vmt_api *api, vmt_http_exchange *x) {
    vmt_engine_stats stats;
    vmt_route_name names[VMT_METRICS_ROUTES_MAX];
    uint32_t num_names = 0;
    for (; num_names < vmt_num_routes; num_names++) {
        const vmt_route *route = &vmt_routes[num_names];
        bool is_model = (route->flags & VMT_ROUTE_PREFIX) != 0;
        names[num_names] = (vmt_route_name){is_model ? "/v1/models/{id}" : route->path, route->method};
    }
    names[num_names++] = (vmt_route_name){"none", "OTHER"}; /* what no route took */
    if (api->config.engine) stats = vmt_engine_get_stats(api->config.engine);
    vmt_buf body = {0};
    vmt_metrics_write(&api->metrics, &api->config, api->config.engine ? &stats : NULL, names, num_names, &body);
    vmt_http_respond(x, body.failed ? 500 : 200, "text/plain; version=0.0.4; charset=utf-8", vmt_buf_str(&body));
    vmt_buf_free(&body);
}
