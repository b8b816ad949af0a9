/* api/chat_render.h: a conversation to prompt text, for every API that speaks in messages.  Text thread. */
#ifndef VMT_API_CHAT_RENDER_H
#define VMT_API_CHAT_RENDER_H

#include "api/chat_messages.h"
#include "api/job.h"

#define VMT_TEMPLATE_KWARGS_MAX       256u              /* names in chat_template_kwargs, and as many defaults */
#define VMT_TEMPLATE_KWARGS_BYTES_MAX ((size_t)1 << 20) /* of them as JSON */

/* What a request says about its conversation; absent values are {0}. */
typedef struct vmt_conversation {
    vmt_json messages, tools, documents, template_kwargs;
    vmt_str chat_template; /* the request's own, if that is trusted */
    vmt_str reasoning_effort;
    bool add_generation_prompt, continue_final_message;
    bool wants_echo; /* fill echo */
    vmt_buf *prompt; /* out: the rendered text is appended */
    vmt_buf *echo;   /* out: text of the last message, if its role is the responder's */
} vmt_conversation;

/* Fields of the body that make a conversation; shared by chat and /tokenize. */
bool vmt_conversation_read(vmt_conversation *conversation, vmt_json body, vmt_fault *fault);
bool vmt_reasoning_effort_is_known(vmt_str effort);
/* What job->output becomes for an answer to this conversation, whose rendered prompt stands in conversation->prompt. */
typedef struct vmt_answer_rules {
    vmt_tool_choice tool_choice;
    bool parallel_tool_calls, include_reasoning;
} vmt_answer_rules;
bool vmt_conversation_wish(vmt_job *job, const vmt_conversation *conversation, const vmt_answer_rules *rules);
/* false: job->fault. */
bool vmt_conversation_render(vmt_job *job, const vmt_conversation *conversation);

#endif
