/* api/chat_merge.h: conversations in the form that stricter templates take.
 *
 * Agents send system messages in the middle of a conversation.  Most templates write them where they stand.  Some
 * refuse them, some leave them out, and some gather them at the front, where each new one would change the prompt's
 * beginning, and with it all that the prefix cache holds.  For those, what a late one says stays in its place as part
 * of the tool's result before it, or as a user's message, in <system-reminder> marks. */
#ifndef VMT_API_CHAT_MERGE_H
#define VMT_API_CHAT_MERGE_H

#include "json/json_writer.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

/* The template writes a system message between others where it stands. */
bool vmt_chat_takes_late_systems(const vmt_chat_template *tmpl, const vmt_tokenizer *tok);
/* A system message stands behind another message, or behind a second system message. */
bool vmt_chat_has_late_systems(vmt_json messages);

typedef enum vmt_chat_merge_depth {
    VMT_MERGE_SYSTEMS, /* one system message at the front, what later ones say in its place */
    VMT_MERGE_USERS,   /* users' messages that follow each other are one, too */
} vmt_chat_merge_depth;
void vmt_chat_merge(vmt_json messages, vmt_chat_merge_depth depth, vmt_buf *out);

#endif
