/* api/messages.h: Anthropic's Messages API. */
#ifndef VMT_API_MESSAGES_H
#define VMT_API_MESSAGES_H

#include "api/job.h"

extern const vmt_dialect vmt_messages;              /* POST /v1/messages */
extern const vmt_dialect vmt_messages_count_tokens; /* POST /v1/messages/count_tokens */

/* {"type":"error","error":{"type","message"}} */
void vmt_messages_error_body(const vmt_fault *fault, vmt_buf *out);

typedef struct vmt_messages_fields {
    vmt_str model;
    int64_t max_tokens;
    bool stream;
    vmt_json messages, system, stop_sequences, tools, tool_choice, output_config, output_format, thinking,
        chat_template_kwargs;
} vmt_messages_fields;

/* Text thread.  Writes the request as a chat body; is_count: nothing is generated.  false: job->fault. */
bool vmt_messages_translate(vmt_job *job, vmt_messages_fields *fields, bool is_count, vmt_buf *chat_body);

#endif
