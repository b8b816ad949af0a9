#include "cli/openai_request.h"

#include "base/clock.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECT_TIMEOUT_MS 10000L
#define GET_TIMEOUT_MS     30000L

/* ---- the answer */

static int64_t integer_at(vmt_json object, vmt_str key) {
    int64_t value = -1;
    vmt_json_get_i64(vmt_json_member(object, key), &value);
    return value;
}

static void take_text(vmt_openai_request *r, vmt_str text) {
    if (text.len == 0) return;
    r->last_ns = vmt_clock_ns();
    if (r->first_ns == 0) r->first_ns = r->last_ns;
    r->num_chunks++;
    if (r->on_text != NULL) r->on_text(r->ctx, text);
}

static void take_choice(vmt_openai_request *r, vmt_json choice) {
    static const char *const holders[] = {"delta", "message"};
    static const char *const names[] = {"reasoning_content", "reasoning", "content"};
    vmt_str text;
    if (vmt_json_get_str(VMT_JSON_AT(choice, "text"), &text)) take_text(r, text);
    for (size_t h = 0; h < VMT_COUNT(holders); h++) {
        vmt_json holder = vmt_json_member(choice, vmt_str_from(holders[h]));
        for (size_t i = 0; i < VMT_COUNT(names); i++) {
            if (vmt_json_get_str(vmt_json_member(holder, vmt_str_from(names[i])), &text)) take_text(r, text);
        }
    }
    if (vmt_json_get_str(VMT_JSON_AT(choice, "finish_reason"), &text)) {
        snprintf(r->finish_reason, sizeof r->finish_reason, "%.*s", VMT_STR_ARG(text));
    }
}

/* The server's words: {"error": {"message": ...}}, {"error": "..."} or {"message": ...}. */
static bool error_words(vmt_json root, vmt_str *out) {
    vmt_json error = VMT_JSON_AT(root, "error");
    return vmt_json_get_str(error, out) || vmt_json_get_str(VMT_JSON_AT(error, "message"), out) ||
           vmt_json_get_str(VMT_JSON_AT(root, "message"), out);
}

static void take_json(vmt_openai_request *r, vmt_str text) {
    vmt_json_doc *doc = NULL;
    vmt_err why = {0};
    if (vmt_json_parse(&doc, text, &why) != VMT_OK) {
        r->has_failed = true;
        vmt_fail(&r->failure, VMT_E_IO, "the server sent something that is not JSON: %.160s", why.msg);
        return;
    }
    vmt_json root = vmt_json_root(doc), choice, usage = VMT_JSON_AT(root, "usage");
    vmt_str words;
    if (vmt_json_exists(VMT_JSON_AT(root, "error")) && error_words(root, &words)) {
        r->has_failed = true;
        vmt_fail(&r->failure, VMT_E_IO, "%.*s", VMT_STR_ARG(words));
    }
    vmt_json choices = VMT_JSON_AT(root, "choices");
    for (vmt_json_iter it = vmt_json_iter_begin(choices); vmt_json_iter_next(&it, NULL, &choice);) {
        take_choice(r, choice);
    }
    if (vmt_json_typeof(usage) == VMT_JSON_OBJECT) {
        r->num_prompt_tokens = integer_at(usage, VMT_STR("prompt_tokens"));
        r->num_output_tokens = integer_at(usage, VMT_STR("completion_tokens"));
    }
    vmt_json_doc_destroy(doc);
}

static void take_line(vmt_openai_request *r, vmt_str line) {
    if (vmt_str_ends(line, VMT_STR("\r"))) line.len--;
    if (!vmt_str_starts(line, VMT_STR("data:"))) return;
    vmt_str data = vmt_str_trim(vmt_str_slice(line, 5, line.len));
    if (vmt_str_eq_c(data, "[DONE]")) {
        r->is_done = true;
    } else if (data.len > 0) {
        take_json(r, data);
    }
}

static size_t on_bytes(char *bytes, size_t size, size_t count, void *ctx) {
    vmt_openai_request *r = ctx;
    vmt_str rest = {bytes, size * count};
    long status = 0;
    char *type = NULL;
    if (r->http_status == 0) {
        curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(r->curl, CURLINFO_CONTENT_TYPE, &type);
        r->http_status = (int)status;
        r->is_stream = status == 200 && type != NULL && strncmp(type, "text/event-stream", 17) == 0;
    }
    if (!r->is_stream) {
        vmt_buf_append(&r->whole, rest);
        return r->whole.failed ? 0 : size * count;
    }
    while (rest.len > 0) {
        size_t newline = vmt_str_find(rest, VMT_STR("\n"), 0);
        size_t end = newline == SIZE_MAX ? rest.len : newline;
        vmt_buf_append(&r->line, vmt_str_slice(rest, 0, end));
        if (r->line.failed) return 0;
        if (newline == SIZE_MAX) break;
        take_line(r, vmt_buf_str(&r->line));
        vmt_buf_clear(&r->line);
        rest = vmt_str_slice(rest, newline + 1, rest.len);
    }
    return size * count;
}

/* ---- the request */

static vmt_status set_up(vmt_openai_request *r, const vmt_openai_target *target, const char *path, vmt_err *err) {
    vmt_buf text;
    vmt_str url = target->url;
    vmt_buf_init(&r->line, VMT_OPENAI_LINE_MAX);
    vmt_buf_init(&r->whole, VMT_OPENAI_LINE_MAX);
    r->num_prompt_tokens = r->num_output_tokens = -1;
    r->curl = curl_easy_init();
    vmt_buf_init(&text, 0);
    while (vmt_str_ends(url, VMT_STR("/"))) url.len--;
    vmt_buf_printf(&text, "%.*s/%s", VMT_STR_ARG(url), path);
    if (r->curl == NULL || text.failed) {
        vmt_buf_free(&text);
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a request");
    }
    curl_easy_setopt(r->curl, CURLOPT_URL, text.ptr);
    curl_easy_setopt(r->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(r->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(r->curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(r->curl, CURLOPT_USERAGENT, "vmetal/" VMT_VERSION);
    curl_easy_setopt(r->curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(r->curl, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(r->curl, CURLOPT_PRIVATE, r);
    if (target->insecure) {
        curl_easy_setopt(r->curl, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(r->curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    /* Without this curl waits up to a second for "100 Continue" before it sends a long prompt. */
    headers = curl_slist_append(headers, "Expect:");
    if (target->api_key.len > 0) {
        vmt_buf_clear(&text);
        vmt_buf_printf(&text, "Authorization: Bearer %.*s", VMT_STR_ARG(target->api_key));
        if (!text.failed) headers = curl_slist_append(headers, text.ptr);
    }
    vmt_buf_free(&text);
    r->headers = headers;
    curl_easy_setopt(r->curl, CURLOPT_HTTPHEADER, headers);
    return VMT_OK;
}

vmt_status vmt_openai_request_start(vmt_openai_request *r, const vmt_openai_target *target, const char *path,
                                    vmt_str body, vmt_err *err) {
    *r = (vmt_openai_request){.on_text = r->on_text, .ctx = r->ctx};
    VMT_TRY(set_up(r, target, path, err));
    curl_easy_setopt(r->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
    if (curl_easy_setopt(r->curl, CURLOPT_COPYPOSTFIELDS, body.ptr) != CURLE_OK) {
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a request of %zu bytes", body.len);
    }
    r->started_ns = vmt_clock_ns();
    return VMT_OK;
}

static vmt_status http_failure(vmt_openai_request *r, const vmt_openai_target *target, vmt_err *err) {
    vmt_json_doc *doc = NULL;
    vmt_str words = {0};
    bool has_words =
        vmt_json_parse(&doc, vmt_buf_str(&r->whole), NULL) == VMT_OK && error_words(vmt_json_root(doc), &words);
    if (has_words) {
        vmt_fail(err, VMT_E_IO, "the server answered %d: %.*s", r->http_status, (int)VMT_MIN(words.len, 200),
                 words.ptr);
    } else if (r->http_status == 404) {
        vmt_fail(err, VMT_E_IO, "the server answered 404: is %.*s the address of its API, with /v1 at the end?",
                 VMT_STR_ARG(target->url));
    } else {
        vmt_fail(err, VMT_E_IO, "the server answered %d", r->http_status);
    }
    vmt_json_doc_destroy(doc);
    return VMT_E_IO;
}

vmt_status vmt_openai_request_result(vmt_openai_request *r, const vmt_openai_target *target, int curl_code,
                                     vmt_err *err) {
    if (curl_code == CURLE_ABORTED_BY_CALLBACK) return vmt_fail(err, VMT_E_CANCELLED, "stopped");
    if (curl_code == CURLE_COULDNT_CONNECT) {
        return vmt_fail(err, VMT_E_IO, "nothing answers at %.*s; start it with: vmetal serve",
                        VMT_STR_ARG(target->url));
    }
    if (curl_code != CURLE_OK) {
        return vmt_fail(err, VMT_E_IO, "%.*s: %s", VMT_STR_ARG(target->url),
                        curl_easy_strerror((CURLcode)curl_code));
    }
    long status = 0;
    curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
    r->http_status = (int)status;
    if (status != 200) return http_failure(r, target, err);
    if (!r->is_stream && r->whole.len > 0) take_json(r, vmt_buf_str(&r->whole));
    if (r->has_failed) return vmt_fail(err, r->failure.code, "%s", r->failure.msg);
    if (r->is_stream && !r->is_done) return vmt_fail(err, VMT_E_IO, "the server ended the answer too early");
    return VMT_OK;
}

void vmt_openai_request_reset(vmt_openai_request *r) {
    if (r->curl != NULL) curl_easy_cleanup(r->curl);
    curl_slist_free_all(r->headers);
    vmt_buf_free(&r->line);
    vmt_buf_free(&r->whole);
    r->curl = r->headers = NULL;
}

vmt_status vmt_openai_get(const vmt_openai_target *target, const char *path, vmt_json_doc **doc, vmt_err *err) {
    vmt_openai_request r = {0};
    vmt_status status = set_up(&r, target, path, err);
    if (status == VMT_OK) {
        curl_easy_setopt(r.curl, CURLOPT_TIMEOUT_MS, GET_TIMEOUT_MS);
        int code = (int)curl_easy_perform(r.curl);
        status = vmt_openai_request_result(&r, target, code, err);
    }
    if (status == VMT_OK) status = vmt_json_parse(doc, vmt_buf_str(&r.whole), err);
    vmt_openai_request_reset(&r);
    return status;
}
