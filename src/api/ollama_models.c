/* Ollama's routes about models: there is one, it is in memory, and it stays. */
#include "api/fim.h"
#include "api/ollama.h"
#include "base/clock.h"
#include "base/hash.h"

#include <stdio.h>
#include <time.h>

/* The release whose API this is; some programs ask for a minimum. */
#define OLLAMA_VERSION "0.14.0"
#define DEFAULT_TAG    ":latest"
#define NS_PER_S       1000000000
#define FOREVER        "2318-01-01T00:00:00Z" /* what Ollama says of models that are never unloaded */
#define DIGEST_BYTES   65
#define MILLION        1000000
#define BILLION        1000000000

#define SCHEMA_PREFIX "1 validation error:\n  "

/* ---- shared */

void vmt_ollama_error_body(const vmt_fault *fault, vmt_buf *out) {
    vmt_str message = vmt_str_from(fault->msg);
    if (vmt_str_starts(message, VMT_STR(SCHEMA_PREFIX))) {
        message = vmt_str_slice(message, sizeof SCHEMA_PREFIX - 1, message.len);
    }
    vmt_json_writer w;
    vmt_json_writer_init(&w, out);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "error");
    vmt_json_str(&w, message);
    vmt_json_end_object(&w);
}

void vmt_ollama_time(int64_t unix_ns, char text[VMT_OLLAMA_TIME_BYTES]) {
    time_t seconds = (time_t)(unix_ns / NS_PER_S);
    struct tm utc;
    char date[24];
    gmtime_r(&seconds, &utc);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text, VMT_OLLAMA_TIME_BYTES, "%s.%09lldZ", date, (long long)(unix_ns % NS_PER_S));
}

static bool has_tag(vmt_str name) {
    for (size_t i = name.len; i-- > 0 && name.ptr[i] != '/';) {
        if (name.ptr[i] == ':') return true;
    }
    return false;
}

static bool is_latest_of(vmt_str tagged, vmt_str name) {
    return !has_tag(name) && vmt_str_ends(tagged, VMT_STR(DEFAULT_TAG)) &&
           vmt_str_eq(vmt_str_slice(tagged, 0, tagged.len - (sizeof DEFAULT_TAG - 1)), name);
}

int32_t vmt_ollama_find_model(const vmt_api_config *config, vmt_str name) {
    int32_t idx = name.len ? vmt_api_find_model(config, name) : -1;
    for (uint32_t i = 0; name.len && idx < 0 && i < config->num_served_names; i++) {
        vmt_str served = config->served_names[i];
        if (is_latest_of(name, served) || is_latest_of(served, name)) idx = (int32_t)i;
    }
    return idx;
}

bool vmt_ollama_read_model(vmt_job *job, vmt_json body, vmt_str *given, vmt_str *served) {
    *given = (vmt_str){0};
    if (!vmt_json_get_str(VMT_JSON_AT(body, "model"), given)) vmt_json_get_str(VMT_JSON_AT(body, "name"), given);
    if (given->len == 0) return vmt_fault_rule(&job->fault, NULL, NULL, "model is required");
    int32_t idx = vmt_ollama_find_model(&job->api->config, *given);
    if (idx < 0) {
        return vmt_fault_other(&job->fault, VMT_FAULT_NOT_FOUND, "model", "model '%.*s' not found",
                               (int)VMT_MIN(given->len, 256), given->ptr);
    }
    *served = job->api->config.served_names[idx];
    return true;
}

static void write_key_c(vmt_json_writer *w, const char *key, const char *value) {
    vmt_json_key(w, key);
    vmt_json_c_str(w, value);
}

/* Clients compare digests to see whether a model has changed; they don't check them. */
static void make_digest(const vmt_api *api, char digest[DIGEST_BYTES]) {
    vmt_str root = api->config.model_root;
    unsigned long long hash = vmt_hash_fast(root.ptr ? root.ptr : "", root.len);
    for (size_t i = 0; i < 4; i++, hash = hash * 0x9E3779B97F4A7C15u + 1)
        snprintf(digest + 16 * i, 17, "%016llx", hash);
}

/* As Ollama writes counts: 134.52M, 8.0B. */
static void write_parameter_size(vmt_json_writer *w, uint64_t count) {
    char text[32] = "";
    if (count >= BILLION) {
        snprintf(text, sizeof text, "%.1fB", (double)count / BILLION);
    } else if (count >= MILLION) {
        snprintf(text, sizeof text, "%.2fM", (double)count / MILLION);
    } else if (count) {
        snprintf(text, sizeof text, "%llu", (unsigned long long)count);
    }
    write_key_c(w, "parameter_size", text);
}

static void write_details(vmt_json_writer *w, const vmt_api *api) {
    const vmt_model_card *card = &api->config.card;
    bool is_gguf = vmt_str_ends(api->config.model_root, VMT_STR(".gguf"));
    vmt_json_key(w, "details");
    vmt_json_begin_object(w);
    write_key_c(w, "parent_model", "");
    write_key_c(w, "format", is_gguf ? "gguf" : "safetensors");
    write_key_c(w, "family", card->architecture ? card->architecture : "");
    vmt_json_key(w, "families");
    vmt_json_begin_array(w);
    if (card->architecture) vmt_json_c_str(w, card->architecture);
    vmt_json_end_array(w);
    write_parameter_size(w, card->num_parameters);
    write_key_c(w, "quantization_level", card->quantization ? card->quantization : "");
    vmt_json_end_object(w);
}

static void write_model_info(vmt_json_writer *w, const vmt_api *api) {
    const vmt_model_card *card = &api->config.card;
    const char *arch = card->architecture ? card->architecture : "vmetal";
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"context_length", vmt_engine_max_model_len(api->config.engine)},
        {"embedding_length", card->hidden},
        {"block_count", card->num_layers},
        {"attention.head_count", card->num_heads},
        {"attention.head_count_kv", card->num_kv_heads},
    };
    vmt_json_key(w, "model_info");
    vmt_json_begin_object(w);
    write_key_c(w, "general.architecture", arch);
    if (card->num_parameters) {
        vmt_json_key(w, "general.parameter_count");
        vmt_json_u64(w, card->num_parameters);
    }
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        char name[64];
        snprintf(name, sizeof name, "%s.%s", arch, rows[i].name);
        if (rows[i].value == 0) continue;
        vmt_json_key(w, name);
        vmt_json_u64(w, rows[i].value);
    }
    vmt_json_end_object(w);
}

static void write_capabilities(vmt_json_writer *w, const vmt_api *api) {
    vmt_json_key(w, "capabilities");
    vmt_json_begin_array(w);
    vmt_json_c_str(w, api->config.pooling.task == VMT_TASK_GENERATE ? "completion" : "embedding");
    if (api->output_rules.dialect) vmt_json_c_str(w, "tools");
    if (api->config.tokenizer && vmt_fim_find(api->config.tokenizer)) vmt_json_c_str(w, "insert");
    if (api->output_rules.reasoning) vmt_json_c_str(w, "thinking");
    vmt_json_end_array(w);
}

/* Opens an entry of a list of models, up to what the lists have in common. */
static void begin_model(vmt_json_writer *w, const vmt_api *api, vmt_str name) {
    char digest[DIGEST_BYTES];
    vmt_buf tagged = {0};
    make_digest(api, digest);
    vmt_buf_append(&tagged, name);
    if (!has_tag(name)) vmt_buf_append_c(&tagged, DEFAULT_TAG);
    vmt_json_begin_object(w);
    vmt_json_key(w, "name");
    vmt_json_str(w, vmt_buf_str(&tagged));
    vmt_json_key(w, "model");
    vmt_json_str(w, vmt_buf_str(&tagged));
    vmt_json_key(w, "size");
    vmt_json_u64(w, api->model_bytes);
    write_key_c(w, "digest", digest);
    write_details(w, api);
    vmt_buf_free(&tagged);
}

static void write_tag(vmt_json_writer *w, const vmt_api *api) {
    char modified[VMT_OLLAMA_TIME_BYTES];
    vmt_ollama_time(api->created_unix_ns, modified);
    write_key_c(w, "modified_at", modified);
    write_capabilities(w, api);
}

static void write_loaded(vmt_json_writer *w, const vmt_api *api) {
    write_key_c(w, "expires_at", FOREVER);
    vmt_json_key(w, "size_vram");
    vmt_json_u64(w, api->model_bytes);
    vmt_json_key(w, "context_length");
    vmt_json_u64(w, api->config.engine ? vmt_engine_max_model_len(api->config.engine) : 0);
}

static void list_models(vmt_api *api, vmt_http_exchange *x,
                        void (*write_rest)(vmt_json_writer *w, const vmt_api *api)) {
    vmt_buf body = {0};
    vmt_json_writer w;
    vmt_json_writer_init(&w, &body);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "models");
    vmt_json_begin_array(&w);
    for (uint32_t i = 0; i < api->config.num_served_names; i++) {
        begin_model(&w, api, api->config.served_names[i]);
        write_rest(&w, api);
        vmt_json_end_object(&w);
    }
    vmt_json_end_array(&w);
    vmt_json_end_object(&w);
    vmt_api_respond_json(x, 200, &body);
    vmt_buf_free(&body);
}

/* ---- routes */

void vmt_ollama_root(vmt_api *api, vmt_http_exchange *x) {
    vmt_http_respond(x, 200, "text/plain; charset=utf-8", VMT_STR("Ollama is running")); /* clients look for it */
}

void vmt_ollama_version(vmt_api *api, vmt_http_exchange *x) {
    vmt_http_respond(x, 200, "application/json", VMT_STR("{\"version\":\"" OLLAMA_VERSION "\"}"));
}

void vmt_ollama_tags(vmt_api *api, vmt_http_exchange *x) {
    list_models(api, x, write_tag);
}

void vmt_ollama_ps(vmt_api *api, vmt_http_exchange *x) {
    list_models(api, x, write_loaded);
}

void vmt_ollama_refuse(vmt_api *api, vmt_http_exchange *x) {
    vmt_fault fault = {0};
    vmt_buf body = {0};
    vmt_str path = vmt_api_path(api, x);
    vmt_fault_other(&fault, VMT_FAULT_UNSUPPORTED, NULL, "%.*s is not supported by this server",
                    (int)VMT_MIN(path.len, 64), path.ptr);
    vmt_ollama_error_body(&fault, &body);
    vmt_api_respond_json(x, vmt_fault_status(&fault), &body);
    vmt_buf_free(&body);
}

static bool read_named(vmt_job *job) {
    vmt_json body;
    vmt_str given, served;
    return vmt_job_parse_json(job, vmt_buf_str(&job->body), "body", &body) &&
           vmt_ollama_read_model(job, body, &given, &served);
}

static bool parse_show(vmt_job *job) {
    const vmt_api *api = job->api;
    if (!read_named(job)) return false;
    vmt_json_writer w;
    vmt_json_writer_init(&w, &job->out);
    vmt_json_begin_object(&w);
    write_key_c(&w, "modelfile", "");
    write_key_c(&w, "parameters", "");
    write_key_c(&w, "template", "");
    write_details(&w, api);
    write_model_info(&w, api);
    write_tag(&w, api);
    vmt_json_end_object(&w);
    return true;
}

static bool parse_pull(vmt_job *job) {
    if (!read_named(job)) return false;
    vmt_buf_append_c(&job->out, "{\"status\":\"success\"}\n");
    return true;
}

const vmt_dialect vmt_ollama_show = {
    .name = "ollama_show",
    .id_prefix = "ollama-",
    .no_engine = true,
    .parse = parse_show,
    .on_error = vmt_ollama_error_body,
};
const vmt_dialect vmt_ollama_pull = {
    .name = "ollama_pull",
    .id_prefix = "ollama-",
    .no_engine = true,
    .content_type = "application/x-ndjson",
    .parse = parse_pull,
    .on_error = vmt_ollama_error_body,
};
