/* api/messages_blocks.h: events to the content blocks of a Messages answer.
 *
 *   event        block                  in a stream
 *   reasoning    thinking               thinking_delta ..., at the end a signature_delta
 *   content      text                   text_delta ...
 *   call         tool_use               input_json_delta ...
 *
 * Blocks never overlap and are numbered from 0.  An answer that says nothing is one empty text block. */
#ifndef VMT_API_MESSAGES_BLOCKS_H
#define VMT_API_MESSAGES_BLOCKS_H

#include "api/answer.h"

typedef enum vmt_block_kind {
    VMT_BLOCK_NONE,
    VMT_BLOCK_TEXT,
    VMT_BLOCK_THINKING,
    VMT_BLOCK_TOOL_USE
} vmt_block_kind;

typedef struct vmt_blocks {
    /* Stream: an event, with its data.  NULL: a whole answer, whose blocks are collected. */
    void (*send)(void *ctx, const char *event_name, const vmt_buf *data);
    void *ctx;
    vmt_buf content; /* whole: finished blocks as JSON, joined by commas */
    vmt_buf text;    /* of the open block */
    vmt_buf data;    /* scratch */
    vmt_buf name, id;
    vmt_block_kind open;
    uint32_t num_blocks; /* opened so far */
    uint32_t num_calls;  /* that are whole */
} vmt_blocks;

void vmt_blocks_take(void *blocks, const vmt_answer_event *event); /* a vmt_answer_sink */
/* Closes the last block. */
void vmt_blocks_finish(vmt_blocks *b);
void vmt_blocks_free(vmt_blocks *b);
/* Memory has run out on the way. */
bool vmt_blocks_failed(const vmt_blocks *b);

#endif
