/* GET /v1/models and /v1/models/{id}. */
#include "api/endpoints.h"
#include "base/clock.h"
#include "json/json_writer.h"

static void write_permission(vmt_json_writer *w, int64_t now_s) {
    static const struct {
        const char *name;
        bool is_allowed;
    } rights[] = {{"allow_create_engine", false},  {"allow_sampling", true}, {"allow_logprobs", true},
                  {"allow_search_indices", false}, {"allow_view", true},     {"allow_fine_tuning", false}};
    vmt_json_begin_object(w);
    vmt_json_key(w, "id");
    vmt_json_c_str(w, "modelperm-vmetal");
    vmt_json_key(w, "object");
    vmt_json_c_str(w, "model_permission");
    vmt_json_key(w, "created");
    vmt_json_i64(w, now_s);
    for (size_t i = 0; i < VMT_COUNT(rights); i++) {
        vmt_json_key(w, rights[i].name);
        vmt_json_bool(w, rights[i].is_allowed);
    }
    vmt_json_key(w, "organization");
    vmt_json_c_str(w, "*");
    vmt_json_key(w, "group");
    vmt_json_null(w);
    vmt_json_key(w, "is_blocking");
    vmt_json_bool(w, false);
    vmt_json_end_object(w);
}

static void write_card(vmt_json_writer *w, const vmt_api_config *config, vmt_str name) {
    int64_t now_s = vmt_clock_unix_s();
    vmt_json_begin_object(w);
    vmt_json_key(w, "id");
    vmt_json_str(w, name);
    vmt_json_key(w, "object");
    vmt_json_c_str(w, "model");
    vmt_json_key(w, "created");
    vmt_json_i64(w, now_s);
    vmt_json_key(w, "owned_by");
    vmt_json_c_str(w, "vllm"); /* clients look for it */
    vmt_json_key(w, "root");
    vmt_json_str(w, config->model_root);
    vmt_json_key(w, "parent");
    vmt_json_null(w);
    vmt_json_key(w, "max_model_len");
    if (config->engine) {
        vmt_json_u64(w, vmt_engine_max_model_len(config->engine));
    } else {
        vmt_json_null(w);
    }
    vmt_json_key(w, "permission");
    vmt_json_begin_array(w);
    write_permission(w, now_s);
    vmt_json_end_array(w);
    vmt_json_end_object(w);
}

void vmt_get_models(vmt_api *api, vmt_http_exchange *x) {
    vmt_buf body = {0};
    vmt_json_writer w;
    vmt_json_writer_init(&w, &body);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "object");
    vmt_json_c_str(&w, "list");
    vmt_json_key(&w, "data");
    vmt_json_begin_array(&w);
    for (uint32_t i = 0; i < api->config.num_served_names; i++)
        write_card(&w, &api->config, api->config.served_names[i]);
    vmt_json_end_array(&w);
    vmt_json_end_object(&w);
    vmt_api_respond_json(x, 200, &body);
    vmt_buf_free(&body);
}

void vmt_get_model(vmt_api *api, vmt_http_exchange *x) {
    vmt_str path = vmt_api_path(api, x);
    vmt_str name = vmt_str_slice(path, sizeof "/v1/models/" - 1, path.len);
    int32_t idx = vmt_api_find_model(&api->config, name);
    vmt_buf body = {0};
    int status = 200;
    if (idx < 0) {
        vmt_fault fault = {0};
        vmt_fault_other(&fault, VMT_FAULT_NOT_FOUND, "model", "The model `%.*s` does not exist.",
                        (int)VMT_MIN(name.len, 256), name.ptr);
        status = vmt_fault_status(&fault);
        vmt_fault_openai_body(&fault, &body);
    } else {
        vmt_json_writer w;
        vmt_json_writer_init(&w, &body);
        write_card(&w, &api->config, api->config.served_names[idx]);
    }
    vmt_api_respond_json(x, status, &body);
    vmt_buf_free(&body);
}
