#include "api/error.h"
#include "base/utf8.h"
#include "json/json_writer.h"

#include <stdio.h>

static const struct row {
    int status;
    const char *type;
} rows[] = {
    [VMT_FAULT_NONE] = {500, "InternalServerError"},
    [VMT_FAULT_SCHEMA] = {400, "Bad Request"},
    [VMT_FAULT_RULE] = {400, "BadRequestError"},
    [VMT_FAULT_NOT_FOUND] = {404, "NotFoundError"},
    [VMT_FAULT_NO_RESPONSE] = {404, "invalid_request_error"},
    [VMT_FAULT_UNSUPPORTED] = {501, "NotImplementedError"},
    [VMT_FAULT_BUSY] = {503, "ServiceUnavailableError"},
    [VMT_FAULT_LOADING] = {503, "ServiceUnavailableError"},
    [VMT_FAULT_INTERNAL] = {500, "InternalServerError"},
    [VMT_FAULT_HTTP] = {400, "Bad Request"},
};

static const vmt_fault_kind kind_of_status[] = {
    [VMT_OK] = VMT_FAULT_INTERNAL,         [VMT_E_INVALID] = VMT_FAULT_RULE,
    [VMT_E_NOT_FOUND] = VMT_FAULT_RULE,    [VMT_E_UNSUPPORTED] = VMT_FAULT_RULE,
    [VMT_E_EXHAUSTED] = VMT_FAULT_BUSY,    [VMT_E_NO_MEMORY] = VMT_FAULT_BUSY,
    [VMT_E_IO] = VMT_FAULT_INTERNAL,       [VMT_E_CANCELLED] = VMT_FAULT_LOADING,
    [VMT_E_INTERNAL] = VMT_FAULT_INTERNAL,
};

static const struct {
    int status;
    const char *phrase;
} phrases[] = {
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {411, "Length Required"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

/* Cuts a text that snprintf may have ended inside a character. */
static void end_on_a_character(char *text, size_t cap) {
    size_t len = strnlen(text, cap - 1);
    text[vmt_utf8_complete_prefix((vmt_str){text, len})] = 0;
}

static bool set(vmt_fault *fault, vmt_fault_kind kind, const char *param) {
    if (fault->kind != VMT_FAULT_NONE) return false;
    fault->kind = kind;
    snprintf(fault->param, sizeof fault->param, "%s", param ? param : "");
    end_on_a_character(fault->param, sizeof fault->param);
    return true;
}

bool vmt_fault_schema(vmt_fault *fault, const char *param, const char *fmt, ...) {
    if (!set(fault, VMT_FAULT_SCHEMA, param)) return false;
    int used = snprintf(fault->msg, sizeof fault->msg, "1 validation error:\n  ");
    va_list args;
    va_start(args, fmt);
    vsnprintf(fault->msg + used, sizeof fault->msg - (size_t)used, fmt, args);
    va_end(args);
    end_on_a_character(fault->msg, sizeof fault->msg);
    return false;
}

bool vmt_fault_rule(vmt_fault *fault, const char *param, const char *value, const char *fmt, ...) {
    if (!set(fault, VMT_FAULT_RULE, param)) return false;
    va_list args;
    va_start(args, fmt);
    vsnprintf(fault->msg, sizeof fault->msg, fmt, args);
    va_end(args);
    end_on_a_character(fault->msg, sizeof fault->msg);
    size_t len = strlen(fault->msg);
    if (param && value) {
        snprintf(fault->msg + len, sizeof fault->msg - len, " (parameter=%s, value=%.128s)", param, value);
    } else if (param) {
        snprintf(fault->msg + len, sizeof fault->msg - len, " (parameter=%s)", param);
    }
    end_on_a_character(fault->msg, sizeof fault->msg);
    return false;
}

bool vmt_fault_other(vmt_fault *fault, vmt_fault_kind kind, const char *param, const char *fmt, ...) {
    if (!set(fault, kind, param)) return false;
    va_list args;
    va_start(args, fmt);
    vsnprintf(fault->msg, sizeof fault->msg, fmt, args);
    va_end(args);
    end_on_a_character(fault->msg, sizeof fault->msg);
    return false;
}

bool vmt_fault_from_err(vmt_fault *fault, const vmt_err *err, const char *param) {
    vmt_fault_kind kind =
        (size_t)err->code < VMT_COUNT(kind_of_status) ? kind_of_status[err->code] : VMT_FAULT_INTERNAL;
    return vmt_fault_other(fault, kind, err->param[0] ? err->param : param, "%s",
                           err->msg[0] ? err->msg : vmt_status_name(err->code));
}

bool vmt_fault_http(vmt_fault *fault, int status, vmt_str message) {
    fault->status = status;
    return vmt_fault_other(fault, VMT_FAULT_HTTP, NULL, "%.*s", VMT_STR_ARG(message));
}

int vmt_fault_status(const vmt_fault *fault) {
    return fault->status ? fault->status : rows[fault->kind].status;
}

static void write_body(vmt_buf *out, vmt_str message, const char *type, const char *param, int code) {
    vmt_json_writer w;
    vmt_json_writer_init(&w, out);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "error");
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "message");
    vmt_json_str(&w, message);
    vmt_json_key(&w, "type");
    vmt_json_c_str(&w, type);
    vmt_json_key(&w, "param");
    vmt_json_c_str(&w, param);
    vmt_json_key(&w, "code");
    vmt_json_i64(&w, code);
    vmt_json_end_object(&w);
    vmt_json_end_object(&w);
}

static const char *phrase_of(int status) {
    for (size_t i = 0; i < VMT_COUNT(phrases); i++) {
        if (phrases[i].status == status) return phrases[i].phrase;
    }
    return "Bad Request";
}

void vmt_fault_openai_body(const vmt_fault *fault, vmt_buf *out) {
    int status = vmt_fault_status(fault);
    const char *type = fault->kind == VMT_FAULT_HTTP ? phrase_of(status) : rows[fault->kind].type;
    write_body(out, vmt_str_from(fault->msg), type, fault->param[0] ? fault->param : NULL, status);
}
