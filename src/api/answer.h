/* api/answer.h: what a choice says, taken apart, for dialects that answer in blocks or items.
 *
 * Calls are announced with their name, then their arguments come as fragments of JSON; what ends with CALL_END has
 * arguments that are one JSON object, and CALL_BROKEN takes a call back and gives the model's own text in its place. */
#ifndef VMT_API_ANSWER_H
#define VMT_API_ANSWER_H

#include "api/job.h"

typedef enum vmt_answer_kind {
    VMT_ANSWER_REASONING,   /* text */
    VMT_ANSWER_CONTENT,     /* text */
    VMT_ANSWER_CALL_START,  /* name; id if the model gave one */
    VMT_ANSWER_CALL_ARGS,   /* text: a fragment of the arguments' JSON */
    VMT_ANSWER_CALL_END,    /* nothing */
    VMT_ANSWER_CALL_BROKEN, /* text */
} vmt_answer_kind;

typedef struct vmt_answer_event {
    vmt_answer_kind kind;
    vmt_str text, name, id; /* live for the call */
} vmt_answer_event;

typedef void (*vmt_answer_sink)(void *ctx, const vmt_answer_event *event);

/* What the choice has said since the last delta, or all of it, as events: the rest of an open call, reasoning, text,
 * calls.  Ends of calls are marked in the choice's output. */
void vmt_answer_read(vmt_job *job, vmt_choice *choice, vmt_answer_sink sink, void *ctx);

/* prefix and 24 random hexadecimal digits, for items and calls. */
#define VMT_ANSWER_ID_BYTES 40
void vmt_answer_make_id(char id[VMT_ANSWER_ID_BYTES], const char *prefix);

#endif
