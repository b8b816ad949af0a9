/* text/output_parser.h: what a model says, taken apart: reasoning, content, tool calls.
 *
 *   text ─► reasoning ("<think>" and its kin) ─► content ─► tool-call dialect ─► events
 *
 * A parser takes one choice's text as it is generated and gives events.  It goes byte by byte, so how the text was
 * cut into chunks changes nothing but how the deltas are cut: their concatenation is the same.  Text that may be
 * the beginning of a marker is held back until it is decided.
 *
 * The arguments of a call leave as JSON text while they are generated.  A call is announced once its name is known
 * and its arguments have begun as they must; text that looked like a call and turned out to be none before that is
 * content.  If it breaks later, or ends in the middle, CALL_BROKEN gives the model's own text: that call is void,
 * and the text is what a reader is shown in its place.  What ends with CALL_END has arguments that are one JSON
 * object.
 *
 * White space that stands alone before, between or after calls is dropped; without calls it is content.
 *
 * Dialects and reasoning families are rows of tables in dialects.c; a kind of dialect is a scanner in a file of
 * its own. */
#ifndef VMT_TEXT_OUTPUT_PARSER_H
#define VMT_TEXT_OUTPUT_PARSER_H

#include "base/buf.h"
#include "json/json.h"

#define VMT_CALLS_PER_CHOICE_MAX 1024u              /* later ones are text */
#define VMT_CALL_NAME_MAX        256u               /* bytes */
#define VMT_CALL_TEXT_MAX        ((size_t)64 << 20) /* one call as the model writes it */

typedef struct vmt_tool_dialect vmt_tool_dialect;       /* a row of dialects.c */
typedef struct vmt_reasoning_style vmt_reasoning_style; /* likewise */
typedef struct vmt_output_parser vmt_output_parser;

typedef enum vmt_output_event_kind {
    VMT_OUTPUT_REASONING,   /* text */
    VMT_OUTPUT_CONTENT,     /* text */
    VMT_OUTPUT_CALL_START,  /* call_idx, name; id if the model gave one */
    VMT_OUTPUT_CALL_ARGS,   /* call_idx, text: a fragment of the arguments' JSON */
    VMT_OUTPUT_CALL_END,    /* call_idx: its fragments are one JSON object */
    VMT_OUTPUT_CALL_BROKEN, /* call_idx: void; text is what the model wrote */
} vmt_output_event_kind;

typedef struct vmt_output_event {
    vmt_output_event_kind kind;
    uint32_t call_idx; /* of calls announced, from 0 */
    vmt_str text, name, id;
} vmt_output_event;

typedef struct vmt_output_options {
    const vmt_tool_dialect *dialect;      /* NULL: no tool calls */
    const vmt_reasoning_style *reasoning; /* NULL: no reasoning */
    bool begins_in_reasoning;             /* as vmt_reasoning_begins_inside() says */
    vmt_json tools;                       /* [{"function": {"name", "parameters"}}]; outlives the parser */
    void (*on_event)(void *ctx, const vmt_output_event *event); /* slices live for the call */
    void *ctx;
} vmt_output_options;

/* NULL only for lack of memory. */
vmt_output_parser *vmt_output_parser_create(const vmt_output_options *options);
void vmt_output_parser_destroy(vmt_output_parser *parser); /* NULL is fine */
/* text is whole UTF-8 characters.  false: no memory, or a call passes VMT_CALL_TEXT_MAX. */
bool vmt_output_parser_push(vmt_output_parser *parser, vmt_str text);
/* The text ends here.  was_cut: by a limit, not by the model; an unclosed call is then broken, while a model that
 * ends itself may leave off end markers.  Once. */
bool vmt_output_parser_finish(vmt_output_parser *parser, bool was_cut);
/* The text so far ends inside reasoning. */
bool vmt_output_parser_in_reasoning(const vmt_output_parser *parser);

/* ---- tables */

typedef enum vmt_call_id_style {
    VMT_CALL_ID_OPENAI,  /* chatcmpl-tool-<32 hex> */
    VMT_CALL_ID_MISTRAL, /* 9 alphanumerics */
    VMT_CALL_ID_KIMI,    /* functions.NAME:IDX */
} vmt_call_id_style;

/* By a name that --tool-call-parser knows, or NULL. */
const vmt_tool_dialect *vmt_tool_dialect_find(vmt_str name);
const vmt_reasoning_style *vmt_reasoning_find(vmt_str name);
const char *vmt_tool_dialect_name(const vmt_tool_dialect *dialect);
const char *vmt_reasoning_name(const vmt_reasoning_style *style);
const char *vmt_reasoning_close(const vmt_reasoning_style *style); /* the marker that ends it */
vmt_call_id_style vmt_tool_dialect_id_style(const vmt_tool_dialect *dialect);
/* It splits off reasoning as well and reads every answer, with tools and without: harmony. */
bool vmt_tool_dialect_is_whole_answer(const vmt_tool_dialect *dialect);
/* Every name, for messages: "deepseek_v3, deepseek_v31, ..." */
void vmt_tool_dialect_names(vmt_buf *out);
void vmt_reasoning_names(vmt_buf *out);

/* By the markers that a chat template writes: `mentions` answers whether its text holds a string.  NULL: none
 * known. */
typedef struct vmt_template_facts {
    bool (*mentions)(const void *ctx, vmt_str word);
    const void *ctx;
} vmt_template_facts;
const vmt_tool_dialect *vmt_tool_dialect_detect(const vmt_template_facts *facts);
const vmt_reasoning_style *vmt_reasoning_detect(const vmt_template_facts *facts);

/* Does an answer to this prompt begin inside reasoning?  The prompt's last marker decides; without one the
 * family's rule does, where it was chosen by name and thinking was not turned off. */
typedef struct vmt_reasoning_hints {
    vmt_str prompt;
    bool chosen_by_name, thinking_is_off;
} vmt_reasoning_hints;
bool vmt_reasoning_begins_inside(const vmt_reasoning_style *style, const vmt_reasoning_hints *hints);
/* Bytes at the prompt's end that open reasoning, or open and close it with nothing inside. */
size_t vmt_reasoning_lead(const vmt_reasoning_style *style, vmt_str prompt);
/* May an answer that does not begin inside begin with reasoning of its own?  Not when the prompt has closed it. */
bool vmt_reasoning_may_begin(const vmt_reasoning_style *style, vmt_str prompt);

#endif
