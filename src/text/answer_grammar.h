/* text/answer_grammar.h: what a whole answer must look like, as a structural tag (grammar.h): reasoning first, if the
 * model reasons, then content of one format, or tool calls.
 *
 * Calls are written in the surface syntax of the model's dialect, so that the dialect's scanner reads what the model
 * was made to say.  Where arguments are one JSON object, the tool's schema holds in full.  Where each argument has
 * markup of its own, strings are written raw: their enum and const hold, while a pattern, format or length of a string
 * can't be held; a strict tool that has one is refused by name.  Properties come in the schema's order and no others
 * are offered. */
#ifndef VMT_TEXT_ANSWER_GRAMMAR_H
#define VMT_TEXT_ANSWER_GRAMMAR_H

#include "text/output_parser.h"

typedef enum vmt_call_rule {
    VMT_CALLS_NONE,
    VMT_CALLS_MAY,  /* content, or calls; tools that are not strict may be given any arguments */
    VMT_CALLS_MUST, /* calls and nothing else */
} vmt_call_rule;

typedef enum vmt_reasoning_place {
    VMT_REASONING_NONE,
    VMT_REASONING_MAY,    /* the answer may begin with reasoning */
    VMT_REASONING_INSIDE, /* it begins inside */
} vmt_reasoning_place;

typedef struct vmt_answer_form {
    const vmt_tool_dialect *dialect;      /* NULL: none; calls must be NONE */
    const vmt_reasoning_style *reasoning; /* NULL: place is NONE */
    vmt_reasoning_place place;
    vmt_json tools; /* [{"function": {"name", "parameters", "strict"}}] */
    vmt_str named;  /* calls are of this tool; empty: of any */
    vmt_call_rule calls;
    bool only_one_call;
    vmt_str content; /* the content's format as JSON; empty: any text */
} vmt_answer_form;

/* Appends {"format": ...}.  VMT_E_UNSUPPORTED names what the dialect can't express. */
vmt_status vmt_answer_grammar_write(const vmt_answer_form *form, vmt_buf *out, vmt_err *err);

#endif
