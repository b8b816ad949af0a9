/* api/chat_request.h: from a chat body to a generation, for dialects that translate their requests into one.
 *
 * Text thread.  The dialect reads its own body, writes the same request as /v1/chat/completions takes it, and hands it
 * over: every rule about sampling, tools and templates is chat's own. */
#ifndef VMT_API_CHAT_REQUEST_H
#define VMT_API_CHAT_REQUEST_H

#include "api/fim.h"
#include "api/job.h"

typedef struct vmt_chat_request_options {
    int64_t max_tokens; /* VMT_FIELD_UNSET: what is left of the context.  More than that is cut to it. */
    const char *max_tokens_param;
    vmt_logprobs_wish logprobs; /* param NULL: none */
    /* Tools that the model has no known way to call are no error: agents always bring theirs, and the answer is
     * text. */
    bool tools_are_a_wish;
    const vmt_fim_style *fim; /* the raw prompt asks for a middle, in this way */
    vmt_str raw_prompt;       /* if there: the prompt itself, and the body has no messages */
} vmt_chat_request_options;

/* Takes the text of chat_body.  false: job->fault. */
bool vmt_chat_request_prepare(vmt_job *job, vmt_buf *chat_body, const vmt_chat_request_options *options);
/* Only counts the tokens of the prompt, which may be longer than the context. */
bool vmt_chat_request_count(vmt_job *job, vmt_buf *chat_body, uint64_t *num_tokens);

/* ---- for translating */

/* Members that mean the same in both forms: those of names that are there. */
void vmt_chat_request_copy(vmt_json_writer *w, vmt_json from, const char *const *names, size_t num_names);
/* "reasoning_effort", if it is a word that chat knows; others come and go with the clients and are passed over. */
void vmt_chat_request_effort(const vmt_job *job, vmt_json_writer *w, vmt_json effort);
/* "strict" of a tool, if it is. */
void vmt_chat_request_strict(vmt_json_writer *w, vmt_json tool);
/* "response_format" for a JSON schema. */
void vmt_chat_request_schema(vmt_json_writer *w, vmt_str name, vmt_json schema);

#endif
