/* api/responses.h: OpenAI's Responses API. */
#ifndef VMT_API_RESPONSES_H
#define VMT_API_RESPONSES_H

#include "api/job.h"
#include "api/response_items.h"

extern const vmt_dialect vmt_responses;                       /* POST /v1/responses */
void vmt_get_response(vmt_api *api, vmt_http_exchange *x);    /* GET /v1/responses/{id} */
void vmt_delete_response(vmt_api *api, vmt_http_exchange *x); /* DELETE /v1/responses/{id} */
void vmt_post_response(vmt_api *api, vmt_http_exchange *x);   /* POST /v1/responses/{id}/cancel */

/* What a request leaves behind for its answer; slices lie in the job's arena. */
typedef struct vmt_responses_request {
    vmt_response_items items;
    vmt_buf history; /* JSON items of the conversation, joined by commas; if it is to be kept */
    vmt_str echo;    /* members of the response object that repeat the request */
    int64_t max_output_tokens, top_logprobs; /* VMT_LOGPROBS_NONE: no log probabilities */
    /* Of tokens whose text is not yet known to be the message's, and what was there when the last one came. */
    vmt_buf pending_logprobs;
    size_t text_seen, reasoning_seen;
    uint32_t calls_seen;
    bool stream, store, is_cut_short;
} vmt_responses_request;

/* Text thread.  Reads job->body and writes the request as a chat body.  false: job->fault. */
bool vmt_responses_translate(vmt_job *job, vmt_responses_request *request, vmt_buf *chat_body);

#endif
