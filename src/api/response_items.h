/* api/response_items.h: events to the output items of a response.
 *
 *   event        item             in a stream
 *   reasoning    reasoning        reasoning_part.added, reasoning_text.delta ..., .done, reasoning_part.done
 *   content      message          content_part.added, output_text.delta ..., .done, content_part.done
 *   call         function_call    function_call_arguments.delta ..., .done
 *
 * each between output_item.added and output_item.done.  Finished items are collected as JSON in every case: the
 * response object at the end has all of them.  A response that says nothing has one empty message. */
#ifndef VMT_API_RESPONSE_ITEMS_H
#define VMT_API_RESPONSE_ITEMS_H

#include "api/answer.h"

typedef enum vmt_item_kind { VMT_ITEM_NONE, VMT_ITEM_REASONING, VMT_ITEM_MESSAGE, VMT_ITEM_CALL } vmt_item_kind;

/* A function that was given inside a namespace: the model knows it as "namespace__name". */
typedef struct vmt_response_tool {
    vmt_str flat_name, name_space, name;
} vmt_response_tool;

typedef struct vmt_response_items {
    /* Stream: an event, with its data.  NULL: a whole answer. */
    void (*send)(void *ctx, const char *event_name, const vmt_buf *data);
    void *ctx;
    const vmt_response_tool *tools; /* those in namespaces */
    size_t num_tools;
    uint64_t sequence_number; /* of the next event, of whatever kind */
    vmt_buf output;           /* finished items as JSON, joined by commas */
    vmt_buf text;             /* of the open item */
    vmt_buf data;             /* scratch */
    vmt_buf name, call_id;
    vmt_buf fresh_logprobs; /* entries for the next piece of the message, joined by commas */
    vmt_buf logprobs;       /* of the open message */
    char item_id[VMT_ANSWER_ID_BYTES];
    vmt_item_kind open;
    uint32_t output_index; /* of the open item, or of the next */
} vmt_response_items;

void vmt_response_items_take(void *items, const vmt_answer_event *event); /* a vmt_answer_sink */
/* Closes the last item; status is its own: "completed", or "incomplete" where generation was cut off. */
void vmt_response_items_finish(vmt_response_items *items, const char *status);
void vmt_response_items_free(vmt_response_items *items);
bool vmt_response_items_failed(const vmt_response_items *items);

#endif
