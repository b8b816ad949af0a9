/* api/error.h: what went wrong with a request, and how a client is told.
 *
 * A fault is the API's error: wider than vmt_err, because OpenAI clients are shown which of several kinds of refusal
 * they met.  error.c owns the only table from kind to HTTP status and body. */
#ifndef VMT_API_ERROR_H
#define VMT_API_ERROR_H

#include "base/buf.h"

typedef enum vmt_fault_kind {
    VMT_FAULT_NONE,
    VMT_FAULT_SCHEMA,      /* the body is not what the schema says: type "Bad Request" */
    VMT_FAULT_RULE,        /* a rule broken after parsing: "BadRequestError" */
    VMT_FAULT_NOT_FOUND,   /* unknown model or adapter */
    VMT_FAULT_NO_RESPONSE, /* unknown response id */
    VMT_FAULT_UNSUPPORTED, /* this model can't do that task */
    VMT_FAULT_BUSY,        /* a queue is full: 503 with Retry-After */
    VMT_FAULT_LOADING,     /* no model yet, or going down: 503 */
    VMT_FAULT_INTERNAL,    /* ours or the device's */
    VMT_FAULT_HTTP,        /* the HTTP server's own refusal, with its status */
} vmt_fault_kind;

#define VMT_FAULT_MESSAGE_MAX 768

typedef struct vmt_fault {
    vmt_fault_kind kind;
    int status;                      /* where it is not the kind's; else 0 */
    char param[VMT_ERR_PARAM_MAX];   /* JSON field at fault; empty: null */
    char msg[VMT_FAULT_MESSAGE_MAX]; /* NUL-terminated */
} vmt_fault;

/* Each fills fault and returns false, so that `return vmt_fault_rule(...)` reads well in functions that return whether
 * they succeeded.  The first cause wins. */
bool vmt_fault_schema(vmt_fault *fault, const char *param, const char *fmt, ...) VMT_PRINTF(3, 4);
/* value is what was found in param, as shown in "(parameter=..., value=...)"; NULL: not shown.  param may be NULL. */
bool vmt_fault_rule(vmt_fault *fault, const char *param, const char *value, const char *fmt, ...) VMT_PRINTF(4, 5);
bool vmt_fault_other(vmt_fault *fault, vmt_fault_kind kind, const char *param, const char *fmt, ...)
    VMT_PRINTF(4, 5);
/* An error from below; param, if not NULL, stands in where err names none. */
bool vmt_fault_from_err(vmt_fault *fault, const vmt_err *err, const char *param);

bool vmt_fault_http(vmt_fault *fault, int status, vmt_str message);

int vmt_fault_status(const vmt_fault *fault);
/* {"error":{"message","type","param","code"}} */
void vmt_fault_openai_body(const vmt_fault *fault, vmt_buf *out);

#endif
