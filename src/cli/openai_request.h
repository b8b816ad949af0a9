/* cli/openai_request.h: one request to an OpenAI-compatible server, from its JSON body to the text of the answer.
 *
 * Streamed answers (SSE) and whole ones are both read; text arrives through on_text as it comes. */
#ifndef VMT_CLI_OPENAI_REQUEST_H
#define VMT_CLI_OPENAI_REQUEST_H

#include "cli/http_client.h"
#include "cli/sse_reader.h"
#include "json/json.h"

#define VMT_OPENAI_ANSWER_MAX ((size_t)64 << 20) /* bytes of one event, or of a whole answer */

typedef struct vmt_openai_target {
    vmt_str url;     /* "http://localhost:8000/v1" */
    vmt_str api_key; /* sent as a bearer token; or empty */
} vmt_openai_target;

typedef struct vmt_openai_request {
    /* set by the caller before start() */
    void (*on_text)(void *ctx, vmt_str text); /* may be NULL */
    void (*on_end)(void *ctx);                /* the result is complete; may be NULL */
    void *ctx;
    /* the result */
    bool has_ended;
    vmt_err err;                                  /* code VMT_OK: the whole answer came */
    int64_t num_prompt_tokens, num_output_tokens; /* from usage; -1 unknown */
    uint32_t num_chunks;                          /* pieces of text */
    uint64_t started_ns, first_ns, last_ns;       /* of text; 0: none came */
    char finish_reason[32];                       /* empty: none came */
    /* internal */
    const vmt_openai_target *target;
    vmt_sse_reader events;
    vmt_buf whole;
    bool is_begun, is_stream, is_done;
} vmt_openai_request;

/* The whole answer of GET url/path, parsed; *doc is the caller's. */
vmt_status vmt_openai_get(vmt_http_client *client, const vmt_openai_target *target, const char *path,
                          vmt_json_doc **doc, vmt_err *err);

/* Begins POST url/path; body is copied, target is borrowed.  on_text, on_end and ctx survive, the rest is made anew.
 * The request runs while the client is polled. */
vmt_status vmt_openai_request_start(vmt_openai_request *r, vmt_http_client *client,
                                    const vmt_openai_target *target, const char *path, vmt_str body, vmt_err *err);
void vmt_openai_request_reset(vmt_openai_request *r); /* frees what start() took; a zeroed one is fine */

#endif
