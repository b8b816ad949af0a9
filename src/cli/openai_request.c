#include "cli/openai_request.h"

#include "base/clock.h"

#include <stdio.h>

#define ADDRESS_MAX 4096 /* bytes of a URL, or of a key */

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

/* An error after the answer's begin: {"error": {"message": ...}} or {"error": "..."}. */
static void take_error(vmt_openai_request *r, vmt_json error) {
    vmt_str words = VMT_STR("the server reported an error");
    if (!vmt_json_get_str(error, &words)) vmt_json_get_str(VMT_JSON_AT(error, "message"), &words);
    vmt_fail(&r->err, VMT_E_IO, "%.*s", VMT_STR_ARG(words));
}

static void take_json(vmt_openai_request *r, vmt_str text) {
    vmt_json_doc *doc = NULL;
    vmt_err why = {0};
    if (vmt_json_parse(&doc, text, &why) != VMT_OK) {
        vmt_fail(&r->err, VMT_E_IO, "the server sent something that is not JSON: %.160s", why.msg);
        return;
    }
    vmt_json root = vmt_json_root(doc), choice;
    vmt_json error = VMT_JSON_AT(root, "error"), usage = VMT_JSON_AT(root, "usage");
    if (vmt_json_exists(error) && !vmt_json_is_null(error)) take_error(r, error);
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

static void on_event(void *ctx, vmt_str name, vmt_str data) {
    vmt_openai_request *r = ctx;
    data = vmt_str_trim(data);
    if (vmt_str_eq_c(data, "[DONE]")) {
        r->is_done = true;
    } else if (data.len > 0) {
        take_json(r, data);
    }
}

/* No event stream begins with a brace, and every JSON answer does. */
static bool on_bytes(void *ctx, vmt_str bytes) {
    vmt_openai_request *r = ctx;
    vmt_str text = r->is_begun ? bytes : vmt_str_trim(bytes);
    if (!r->is_begun && text.len > 0) {
        r->is_begun = true;
        r->is_stream = text.ptr[0] != '{';
    }
    if (r->is_stream) return vmt_sse_reader_feed(&r->events, bytes, &r->err) == VMT_OK;
    vmt_buf_append(&r->whole, bytes);
    return !r->whole.failed;
}

/* ---- the request */

/* The transport's reason, with what a person would try next. */
static void explain(const vmt_openai_target *target, const vmt_http_reply *reply, vmt_err *err) {
    vmt_err why = {0};
    vmt_status status = vmt_http_reply_check(reply, &why);
    if (status == VMT_OK || status == VMT_E_CANCELLED) {
        *err = why;
    } else if (reply->status == 0) {
        vmt_fail(err, status, "nothing answers at %.80s: %.100s; start it with: vmetal serve", target->url.ptr,
                 why.msg);
    } else if (reply->status == 401) {
        vmt_fail(err, status, "%.150s; give the server's key with --api-key", why.msg);
    } else {
        *err = why;
    }
}

static void on_done(void *ctx, const vmt_http_reply *reply) {
    vmt_openai_request *r = ctx;
    if (r->err.code == VMT_OK) explain(r->target, reply, &r->err);
    if (r->err.code == VMT_OK && !r->is_stream && r->whole.len > 0) take_json(r, vmt_buf_str(&r->whole));
    if (r->err.code == VMT_OK && r->is_stream && !r->is_done) {
        vmt_fail(&r->err, VMT_E_IO, "the server ended the answer too early");
    }
    r->has_ended = true;
    if (r->on_end != NULL) r->on_end(r->ctx);
}

/* Fills NUL-terminated copies; false: too long. */
static bool address(const vmt_openai_target *target, const char *path, char *url, char *key) {
    vmt_str base = target->url;
    while (vmt_str_ends(base, VMT_STR("/"))) base.len--;
    int url_len = snprintf(url, ADDRESS_MAX, "%.*s/%s", VMT_STR_ARG(base), path);
    int key_len = snprintf(key, ADDRESS_MAX, "%.*s", VMT_STR_ARG(target->api_key));
    return url_len < ADDRESS_MAX && key_len < ADDRESS_MAX;
}

vmt_status vmt_openai_request_start(vmt_openai_request *r, vmt_http_client *client,
                                    const vmt_openai_target *target, const char *path, vmt_str body,
                                    vmt_err *err) {
    char url[ADDRESS_MAX], key[ADDRESS_MAX];
    *r = (vmt_openai_request){.on_text = r->on_text, .on_end = r->on_end, .ctx = r->ctx, .target = target};
    r->num_prompt_tokens = r->num_output_tokens = -1;
    vmt_sse_reader_init(&r->events, VMT_OPENAI_ANSWER_MAX, on_event, r);
    vmt_buf_init(&r->whole, VMT_OPENAI_ANSWER_MAX);
    if (!address(target, path, url, key)) return vmt_fail(err, VMT_E_INVALID, "the server's address is too long");
    vmt_http_call call = {
        .url = url, .json = body, .bearer = key, .on_bytes = on_bytes, .on_done = on_done, .ctx = r};
    r->started_ns = vmt_clock_ns();
    return vmt_http_client_start(client, &call, err);
}

void vmt_openai_request_reset(vmt_openai_request *r) {
    vmt_sse_reader_reset(&r->events);
    vmt_buf_free(&r->whole);
}

vmt_status vmt_openai_get(vmt_http_client *client, const vmt_openai_target *target, const char *path,
                          vmt_json_doc **doc, vmt_err *err) {
    char url[ADDRESS_MAX], key[ADDRESS_MAX];
    vmt_http_reply reply = {0};
    vmt_err why = {0};
    if (!address(target, path, url, key)) return vmt_fail(err, VMT_E_INVALID, "the server's address is too long");
    vmt_http_call call = {.url = url, .bearer = key};
    vmt_status status = vmt_http_client_call(client, &call, &reply, &why);
    if (status == VMT_OK) {
        status = vmt_json_parse(doc, vmt_buf_str(&reply.body), err);
    } else if (reply.status == 404) {
        vmt_fail(err, status, "the server has no %.100s: is that the address of its API?", url);
    } else {
        vmt_err words = {0};
        explain(target, &reply, &words);
        vmt_fail(err, status, "%s", words.code != VMT_OK ? words.msg : why.msg);
    }
    vmt_buf_free(&reply.body);
    return status;
}
