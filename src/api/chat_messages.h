/* api/chat_messages.h: OpenAI messages in the plain form that chat templates read.
 *
 * Content becomes a string (text parts joined by newlines) or a list of {"type":"text"} parts, as the template wants;
 * a null content is the empty one.  Tool calls get their arguments as objects.  reasoning and reasoning_content are
 * given under both names, and as thinking where gpt-oss's template takes that.  What templates don't know is dropped,
 * as vLLM drops it. */
#ifndef VMT_API_CHAT_MESSAGES_H
#define VMT_API_CHAT_MESSAGES_H

#include "api/error.h"
#include "json/json_writer.h"

#define VMT_MESSAGES_MAX   16384u
#define VMT_PARTS_MAX      16384u /* of one message */
#define VMT_TOOL_CALLS_MAX 1024u  /* of one message */
#define VMT_TOOLS_MAX      1024u
#define VMT_TOOL_NAME_MAX  256u /* bytes */

/* Gives the reasoning that a client left out of a message with tool calls. */
typedef struct vmt_chat_recall {
    bool (*reasoning)(void *ctx, vmt_json message, vmt_buf *out); /* NULL: nobody knows */
    void *ctx;
} vmt_chat_recall;
typedef struct vmt_chat_messages_options {
    bool as_parts;
    vmt_chat_recall recall;
} vmt_chat_messages_options;

/* Appends the messages as JSON. */
bool vmt_chat_messages_write(vmt_json messages, const vmt_chat_messages_options *options, vmt_json_writer *w,
                             vmt_fault *fault);
/* Checks tools and appends them in the canonical order of their fields. */
bool vmt_chat_tools_write(vmt_json tools, vmt_json_writer *w, vmt_fault *fault);
/* Who decides about calls.  Without tools nobody calls; with tools and no choice it is AUTO. */
typedef enum vmt_tool_choice_kind {
    VMT_TOOLS_NONE,
    VMT_TOOLS_AUTO,
    VMT_TOOLS_REQUIRED,
    VMT_TOOLS_NAMED,
} vmt_tool_choice_kind;
typedef struct vmt_tool_choice {
    vmt_tool_choice_kind kind;
    vmt_str name; /* of the tool that is NAMED; in the document */
} vmt_tool_choice;
/* tools absent: tool_choice must be, too. */
bool vmt_chat_tool_choice_read(vmt_json tools, vmt_json tool_choice, vmt_tool_choice *choice, vmt_fault *fault);
/* The text of the last message's content, as written above; the slice lies in text.  false if it has none. */
bool vmt_chat_content_text(vmt_json message, vmt_buf *text, vmt_str *role);

#endif
