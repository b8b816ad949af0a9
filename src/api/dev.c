/* Routes of the development mode. */
#include "api/endpoints.h"
#include "json/json_writer.h"

void vmt_post_reset_prefix_cache(vmt_api *api, vmt_http_exchange *x) {
    bool has_engine = api->config.engine != NULL;
    if (has_engine) vmt_engine_reset_prefix_cache(api->config.engine);
    vmt_http_respond(x, 200, "application/json",
                     has_engine ? VMT_STR("{\"success\":true}") : VMT_STR("{\"success\":false}"));
}

void vmt_get_server_info(vmt_api *api, vmt_http_exchange *x) {
    const vmt_api_config *c = &api->config;
    vmt_buf body = {0};
    vmt_json_writer w;
    vmt_json_writer_init(&w, &body);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "vllm_config");
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "model");
    vmt_json_str(&w, c->model_root);
    vmt_json_key(&w, "max_model_len");
    vmt_json_u64(&w, c->engine ? vmt_engine_max_model_len(c->engine) : 0);
    vmt_json_key(&w, "block_size");
    vmt_json_u64(&w, c->block_size);
    vmt_json_key(&w, "num_gpu_blocks");
    vmt_json_u64(&w, c->num_blocks);
    vmt_json_key(&w, "kv_cache_dtype");
    vmt_json_c_str(&w, c->kv_dtype_name);
    vmt_json_key(&w, "enable_prefix_caching");
    vmt_json_bool(&w, c->enable_prefix_caching);
    vmt_json_end_object(&w);
    static const char *const empty[] = {"vllm_env", "system_env"};
    for (size_t i = 0; i < VMT_COUNT(empty); i++) {
        vmt_json_key(&w, empty[i]);
        vmt_json_begin_object(&w);
        vmt_json_end_object(&w);
    }
    vmt_json_end_object(&w);
    vmt_api_respond_json(x, 200, &body);
    vmt_buf_free(&body);
}
