/* cli/openai_request.h: one request to an OpenAI-compatible server, from its JSON body to the text of the answer.
 *
 * It lives on a curl handle of its own: chat performs it alone, a benchmark adds many to one multi handle.  Streamed
 * answers (SSE) and whole ones are both read; text arrives through on_text as it comes. */
#ifndef VMT_CLI_OPENAI_REQUEST_H
#define VMT_CLI_OPENAI_REQUEST_H

#include "base/buf.h"
#include "json/json.h"

#define VMT_OPENAI_LINE_MAX ((size_t)64 << 20) /* bytes of one SSE line, or of a whole answer */

typedef struct vmt_openai_target {
    vmt_str url;     /* "http://localhost:8000/v1" */
    vmt_str api_key; /* sent as a bearer token; or empty */
    bool insecure;   /* TLS certificates are not checked */
} vmt_openai_target;

typedef struct vmt_openai_request {
    /* set by the caller before start() */
    void (*on_text)(void *ctx, vmt_str text); /* may be NULL */
    void *ctx;
    /* the result, complete once the transfer is */
    int http_status;
    int64_t num_prompt_tokens, num_output_tokens; /* from usage; -1 unknown */
    uint32_t num_chunks;                          /* pieces of text */
    uint64_t started_ns, first_ns, last_ns;       /* of text; 0: none came */
    char finish_reason[32];                       /* empty: none came */
    /* internal */
    void *curl, *headers;
    vmt_buf line, whole;
    bool is_stream, is_done, has_failed;
    vmt_err failure;
} vmt_openai_request;

/* The whole answer of GET url/path, parsed; *doc is the caller's. */
vmt_status vmt_openai_get(const vmt_openai_target *target, const char *path, vmt_json_doc **doc, vmt_err *err);

/* Sets up POST url/path; body is copied.  on_text and ctx survive, the rest is made anew. */
vmt_status vmt_openai_request_start(vmt_openai_request *r, const vmt_openai_target *target, const char *path,
                                    vmt_str body, vmt_err *err);
/* What became of it, given curl's code for the transfer: an error names the server's own words. */
vmt_status vmt_openai_request_result(vmt_openai_request *r, const vmt_openai_target *target, int curl_code,
                                     vmt_err *err);
void vmt_openai_request_reset(vmt_openai_request *r); /* frees what start() took; a zeroed one is fine */

#endif
