#include "base/status.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void set_message(vmt_err *err, vmt_status code, const char *fmt, va_list args) {
    err->code = code;
    int len = vsnprintf(err->msg, sizeof err->msg, fmt, args);
    if (len < 0) {
        err->msg[0] = 0;
    } else if ((size_t)len >= sizeof err->msg) {
        err->msg[vmt_utf8_complete_prefix((vmt_str){err->msg, sizeof err->msg - 1})] = 0;
    }
}

vmt_status vmt_fail(vmt_err *err, vmt_status code, const char *fmt, ...) {
    if (!err || err->code != VMT_OK) return code;
    va_list args;
    va_start(args, fmt);
    err->param[0] = 0;
    set_message(err, code, fmt, args);
    va_end(args);
    return code;
}

vmt_status vmt_fail_param(vmt_err *err, vmt_status code, const char *param, const char *fmt, ...) {
    if (!err || err->code != VMT_OK) return code;
    va_list args;
    va_start(args, fmt);
    size_t len = strlen(param);
    if (len >= sizeof err->param) len = vmt_utf8_complete_prefix((vmt_str){param, sizeof err->param - 1});
    memcpy(err->param, param, len);
    err->param[len] = 0;
    set_message(err, code, fmt, args);
    va_end(args);
    return code;
}

const char *vmt_status_name(vmt_status status) {
    switch (status) {
    case VMT_OK: return "ok";
    case VMT_E_INVALID: return "invalid";
    case VMT_E_NOT_FOUND: return "not found";
    case VMT_E_UNSUPPORTED: return "unsupported";
    case VMT_E_EXHAUSTED: return "exhausted";
    case VMT_E_NO_MEMORY: return "no memory";
    case VMT_E_IO: return "input/output error";
    case VMT_E_CANCELLED: return "cancelled";
    case VMT_E_INTERNAL: return "internal error";
    }
    return "unknown status";
}

void vmt_assert_failed(const char *expr, const char *file, int line) {
    char text[512];
    int len = snprintf(text, sizeof text, "%s:%d: assertion failed: %s\n", file, line, expr);
    /* stdio may hold a lock that the failing code took; write(2) can't deadlock. */
    if (len > 0) {
        ssize_t ignored = write(STDERR_FILENO, text, VMT_MIN((size_t)len, sizeof text - 1));
        (void)ignored;
    }
    abort();
}
