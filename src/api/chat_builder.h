/* api/chat_builder.h: writes the messages of a chat request in OpenAI's form, for dialects that translate theirs.
 *
 * One message is open at a time and grows part by part; text for the same role without a new open() becomes parts
 * of one message.  Text of the assistant is joined as it was generated, without separators. */
#ifndef VMT_API_CHAT_BUILDER_H
#define VMT_API_CHAT_BUILDER_H

#include "api/error.h"
#include "json/json_writer.h"

typedef struct vmt_chat_builder {
    vmt_json_writer *w;    /* where the list is written */
    const char *role;      /* of the open message; NULL: none */
    vmt_str call_id, name; /* of a tool message */
    vmt_buf text;          /* assistant: text; others: parts as JSON, joined by commas */
    vmt_buf reasoning, calls;
    uint32_t num_messages; /* opened so far */
} vmt_chat_builder;

/* Writes "messages":[ */
void vmt_chat_builder_begin(vmt_chat_builder *b, vmt_json_writer *w);
/* Closes the open message and the list, and frees what the builder holds. */
void vmt_chat_builder_end(vmt_chat_builder *b);
/* After an error, in place of end(). */
void vmt_chat_builder_free(vmt_chat_builder *b);

/* A new message, which exists even if nothing is added to it. */
void vmt_chat_builder_open(vmt_chat_builder *b, const char *role);
/* The open message if it has that role, else a new one. */
void vmt_chat_builder_continue(vmt_chat_builder *b, const char *role);
void vmt_chat_builder_open_tool(vmt_chat_builder *b, vmt_str call_id, vmt_str name);

void vmt_chat_builder_text(vmt_chat_builder *b, vmt_str text);
/* Of the assistant. */
void vmt_chat_builder_reasoning(vmt_chat_builder *b, vmt_str text);
/* arguments: an object, or a string that holds one; absent: {}. */
void vmt_chat_builder_call(vmt_chat_builder *b, vmt_str id, vmt_str name, vmt_json arguments);
/* A call of a tool that takes plain text: {"input": text}. */
void vmt_chat_builder_call_text(vmt_chat_builder *b, vmt_str id, vmt_str name, vmt_str text);

#endif
