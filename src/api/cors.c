#include "api/cors.h"
#include "base/buf.h"
#include "json/json.h"

#define ARENA_BYTES_MAX ((size_t)1 << 20)
#define MAX_AGE_S       "600"

static vmt_status read_list(vmt_cors *cors, vmt_str json, const char *flag, vmt_cors_list *out, vmt_err *err) {
    if (json.len == 0) json = VMT_STR("[\"*\"]");
    vmt_json_doc *doc = NULL;
    VMT_TRY(vmt_json_parse(&doc, json, err));
    vmt_json list = vmt_json_root(doc), value;
    size_t count = vmt_json_size(list);
    vmt_status status = VMT_OK;
    if (vmt_json_typeof(list) != VMT_JSON_ARRAY || count > VMT_CORS_ENTRIES_MAX) {
        status = vmt_fail_param(err, VMT_E_INVALID, flag, "%s must be a JSON list of at most %u strings", flag,
                                VMT_CORS_ENTRIES_MAX);
    }
    out->entries = VMT_ARENA_NEW(cors->arena, vmt_str, count);
    if (status == VMT_OK && !out->entries) status = vmt_fail(err, VMT_E_NO_MEMORY, "no memory for %s", flag);
    for (vmt_json_iter it = vmt_json_iter_begin(list);
         status == VMT_OK && vmt_json_iter_next(&it, NULL, &value);) {
        vmt_str text;
        if (!vmt_json_get_str(value, &text)) {
            status = vmt_fail_param(err, VMT_E_INVALID, flag, "%s must be a JSON list of strings", flag);
            break;
        }
        out->entries[out->num_entries] = vmt_arena_dup(cors->arena, text);
        if (!out->entries[out->num_entries++].ptr)
            status = vmt_fail(err, VMT_E_NO_MEMORY, "no memory for %s", flag);
        out->any = out->any || vmt_str_eq_c(text, "*");
    }
    vmt_json_doc_destroy(doc);
    return status;
}

static vmt_str join(vmt_arena *arena, const vmt_cors_list *list) {
    vmt_buf text = {0};
    for (uint32_t i = 0; i < list->num_entries; i++) {
        if (i) vmt_buf_append_c(&text, ", ");
        vmt_buf_append(&text, list->entries[i]);
    }
    vmt_str out = vmt_arena_dup(arena, vmt_buf_str(&text));
    vmt_buf_free(&text);
    return out;
}

vmt_status vmt_cors_init(vmt_cors *cors, const vmt_cors_config *config, vmt_err *err) {
    *cors = (vmt_cors){.arena = vmt_arena_create(ARENA_BYTES_MAX), .credentials = config->credentials};
    if (!cors->arena) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for CORS");
    VMT_TRY(read_list(cors, config->origins, "--allowed-origins", &cors->origins, err));
    VMT_TRY(read_list(cors, config->methods, "--allowed-methods", &cors->methods, err));
    VMT_TRY(read_list(cors, config->headers, "--allowed-headers", &cors->headers, err));
    cors->methods_text = cors->methods.any ? VMT_STR("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")
                                           : join(cors->arena, &cors->methods);
    cors->headers_text = join(cors->arena, &cors->headers);
    return VMT_OK;
}

void vmt_cors_reset(vmt_cors *cors) {
    vmt_arena_destroy(cors->arena);
    *cors = (vmt_cors){0};
}

static bool allows(const vmt_cors_list *list, vmt_str value) {
    if (list->any) return true;
    for (uint32_t i = 0; i < list->num_entries; i++) {
        if (vmt_str_eq(list->entries[i], value)) return true;
    }
    return false;
}

bool vmt_cors_handle(const vmt_cors *cors, vmt_http_exchange *x) {
    vmt_str origin = vmt_http_header(x, "Origin");
    if (!origin.ptr) return false;
    bool is_allowed = allows(&cors->origins, origin);
    /* With credentials the origin is named, since browsers then refuse the star. */
    bool star = cors->origins.any && !cors->credentials;
    if (is_allowed) vmt_http_add_header(x, "Access-Control-Allow-Origin", star ? VMT_STR("*") : origin);
    if (is_allowed && cors->credentials)
        vmt_http_add_header(x, "Access-Control-Allow-Credentials", VMT_STR("true"));
    if (!star) vmt_http_add_header(x, "Vary", VMT_STR("Origin"));

    vmt_str wanted = vmt_http_header(x, "Access-Control-Request-Method");
    if (!wanted.ptr || !vmt_str_eq_c(vmt_http_method(x), "OPTIONS")) return false;
    vmt_str headers = vmt_http_header(x, "Access-Control-Request-Headers");
    vmt_http_add_header(x, "Access-Control-Allow-Methods", cors->methods_text);
    vmt_http_add_header(x, "Access-Control-Max-Age", VMT_STR(MAX_AGE_S));
    if (cors->headers.any) {
        if (headers.ptr) vmt_http_add_header(x, "Access-Control-Allow-Headers", headers);
    } else {
        vmt_http_add_header(x, "Access-Control-Allow-Headers", cors->headers_text);
    }
    if (!is_allowed) {
        vmt_http_respond(x, 400, "text/plain; charset=utf-8", VMT_STR("Disallowed CORS origin"));
    } else if (!allows(&cors->methods, wanted)) {
        vmt_http_respond(x, 400, "text/plain; charset=utf-8", VMT_STR("Disallowed CORS method"));
    } else {
        vmt_http_respond(x, 200, "text/plain; charset=utf-8", VMT_STR("OK"));
    }
    return true;
}
