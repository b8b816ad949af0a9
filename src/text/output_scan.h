/* text/output_scan.h: what the output parser and its dialects share.  Internal to src/text.
 *
 * Outside of calls the parser looks for a dialect's opening markers.  One that is found begins a region, whose
 * bytes go to the dialect's scanner until that says the region is over.  The parser keeps the text of the call in
 * the making ("raw"), so that it can be given back.  Scanners build calls with the vmt_call verbs. */
#ifndef VMT_TEXT_OUTPUT_SCAN_H
#define VMT_TEXT_OUTPUT_SCAN_H

#include "json/json_scan.h"
#include "text/output_parser.h"

#define VMT_MARKER_MAX  64u /* bytes of the longest marker */
#define VMT_MARKERS_MAX 8u
#define VMT_HEADER_MAX  1024u /* bytes before a call's arguments: names, ids, channels */
#define VMT_NEST_MAX    64u   /* of values in dialects that are no JSON */

/* ---- markers in a stream */

typedef struct vmt_matcher {
    const char *const *markers; /* NULL-terminated; none is a prefix of another */
    uint32_t num_held;
    char held[VMT_MARKER_MAX];
} vmt_matcher;

void vmt_matcher_init(vmt_matcher *m, const char *const *markers);
/* The marker that the byte completes, or -1.  Bytes that can't be part of one any more are appended to out. */
int32_t vmt_matcher_push(vmt_matcher *m, char byte, vmt_buf *out);
void vmt_matcher_flush(vmt_matcher *m, vmt_buf *out);

/* ---- scanners */

typedef enum vmt_step {
    VMT_STEP_MORE,
    VMT_STEP_END,        /* the region ends with this byte */
    VMT_STEP_END_BEFORE, /* it ended before this byte, which belongs to what follows */
    VMT_STEP_FAIL,       /* no call: the region so far is text; the byte is looked at again */
} vmt_step;

typedef struct vmt_scanner {
    void (*begin)(vmt_output_parser *p, uint32_t marker_idx); /* an opening marker was seen */
    vmt_step (*step)(vmt_output_parser *p, char byte);
    vmt_step (*finish)(vmt_output_parser *p, bool was_cut); /* END, or FAIL: what is unfinished is text */
} vmt_scanner;

/* ---- rows */

/* How calls are written, where a model is made to call: answer_grammar.c.
 *   open [call ... call_end separator call ... call_end] close between open ... */
typedef struct vmt_call_frame {
    const char *open, *close; /* around a region */
    const char *between;      /* regions; NULL: one region has all calls */
    const char *call, *call_end, *separator;
    const char *args_member; /* the call is {"name": f, args_member: {...}}; else NULL: f after_name ... */
    const char *after_name;
    const char *index_end; /* a number stands between after_name and this, or NULL */
    /* Arguments with markup of their own; key NULL: they are one JSON object. */
    const char *key, *key_end, *value_end;
    const char *key_end_json;    /* of values that are JSON; NULL: the same */
    const char *comma;           /* between arguments; NULL: none is needed */
    const char *quote;           /* around strings; NULL: see strings_are_json */
    const char *const *excludes; /* what a raw string must not contain */
    bool strings_are_json;
} vmt_call_frame;

struct vmt_tool_dialect {
    const char *name;
    const vmt_scanner *scanner;
    const void *syntax;          /* the scanner's own row */
    const vmt_call_frame *frame; /* NULL: the scanner's writer knows: harmony */
    const char *const *opens;    /* markers that begin a region */
    char bare_open;              /* or this character, as the first of the answer */
    bool from_start;             /* the whole answer is one region: harmony */
    bool names_known;            /* a call must name one of the request's tools: there is no marker */
    vmt_call_id_style id_style;
    const char *detect[3]; /* all of them stand in the template; NULL: never detected */
};

struct vmt_reasoning_style {
    const char *name, *open, *close;
    const char *ends_at;   /* a tool marker that ends it too, or NULL */
    const char *skip_line; /* dropped after open: "thought\n" */
    bool begins_inside;    /* unless the prompt or the request says otherwise */
    bool keeps_markers;    /* everything is content, markers too */
    const char *detect;
};

/* ---- the call in the making */

typedef struct vmt_call {
    bool is_started, is_ended;
    vmt_buf name, id;
    vmt_buf args;        /* not yet sent: the call has no name so far */
    vmt_json parameters; /* schema; absent if the tool has none */
    bool has_args;       /* "{" and a member were sent: typed dialects */
} vmt_call;

struct json_call {      /* dialect_json.c, dialect_mistral.c */
    int state, key;     /* key: which member's value this is */
    vmt_json_scan scan; /* of the object around, or of the arguments */
    bool in_value;      /* of a member that matters */
    bool has_args;      /* they are whole, in call.args or sent */
    vmt_matcher match;
};
struct xml_call { /* dialect_xml.c */
    int state;
    int value; /* how the value at hand is read */
    bool is_first, holds_newline;
    vmt_matcher match;
};
struct nested_call { /* dialect_pythonic.c, dialect_gemma.c */
    int state;
    uint32_t depth;
    char stack[VMT_NEST_MAX]; /* '{' or '[' */
    bool need_comma;          /* before the next element of the innermost */
    char quote;
    uint32_t num_hex; /* digits of an escape still to come */
    bool is_key;      /* the string at hand is a dict's key */
    vmt_matcher match;
};
struct harmony { /* dialect_harmony.c */
    int state, channel;
    bool had_message, had_channel;
    vmt_json_scan scan;
    vmt_matcher match;
};

struct vmt_output_parser {
    vmt_output_options options;
    const vmt_tool_dialect *dialect;
    /* deltas on their way out, joined while they are of one kind */
    bool has_pending;
    vmt_output_event_kind pending_kind;
    vmt_buf pending;
    /* reasoning */
    const char *reasoning_markers[4];
    vmt_matcher reasoning_match;
    int reasoning_state;
    uint32_t skip_idx;
    vmt_buf lead; /* what the matcher let go */
    /* content */
    bool had_text;  /* since the beginning or the last call */
    vmt_buf spaces; /* white space before any */
    vmt_matcher outer;
    vmt_buf passed; /* what it let go */
    bool at_start, in_region;
    uint32_t num_region_calls;
    vmt_buf raw;
    uint32_t num_calls; /* announced */
    bool any_call;
    vmt_call call;
    vmt_buf key, value; /* scanners' captures */
    union {
        struct json_call json;
        struct xml_call xml;
        struct nested_call nested;
        struct harmony harmony;
    } u;
    bool failed;
};

extern const vmt_scanner vmt_scan_json, vmt_scan_named, vmt_scan_mistral, vmt_scan_xml, vmt_scan_glm,
    vmt_scan_pythonic, vmt_scan_gemma, vmt_scan_harmony;

/* Rows of syntax, in dialects.c. */
typedef struct vmt_json_syntax {
    const char *const *markers; /* that may stand between calls */
    int32_t num_ends;           /* the first ones end the region; the rest are passed over */
} vmt_json_syntax;
typedef struct vmt_named_syntax { /* BETWEEN[0] name SEPARATOR {arguments} CLOSE[0], and again */
    const char *const *between;   /* [0] begins a call, [1] ends the region */
    const char *const *separator;
    const char *const *close; /* [0] ends a call, [1] the region too */
    const char *strip_to;     /* what stands before the name, up to and with this */
    bool has_index;           /* "functions.NAME:IDX" */
    bool is_bare_start;       /* the region's opening begins the call */
} vmt_named_syntax;
typedef struct vmt_xml_syntax {
    const char *const *between; /* [0] begins a call; the rest end the region */
    const char *const *body;    /* [0] begins a parameter, [1] ends the call, the rest the region too */
    const char *const *value;   /* end a value; [1] the call too */
    bool quoted;                /* name="f" rather than =f */
    bool strips_newline;        /* one on each side of a value */
} vmt_xml_syntax;
typedef struct vmt_pythonic_syntax {
    const char *const *ends; /* empty: the closing bracket is the end */
} vmt_pythonic_syntax;
typedef struct vmt_gemma_syntax {
    const char *const *quote; /* around strings */
    const char *const *ends;
} vmt_gemma_syntax;

/* ---- verbs of scanners */

void vmt_call_reset(vmt_output_parser *p);
/* The name is known.  false: no such name is possible here. */
bool vmt_call_set_name(vmt_output_parser *p, vmt_str name);
/* Announces the call; sends what args holds. */
void vmt_call_start(vmt_output_parser *p);
void vmt_call_args(vmt_output_parser *p, vmt_str json);
void vmt_call_arg_byte(vmt_output_parser *p, char byte);
void vmt_call_end(vmt_output_parser *p);
/* A member of the arguments: comma and key; the value is the caller's. */
void vmt_call_key(vmt_output_parser *p, vmt_str key);
/* A byte of a string's text; the quotes around it are the caller's. */
void vmt_call_string_byte(vmt_output_parser *p, char byte);
/* "}", or "{}" if there was no member; then the call's end. */
void vmt_call_close(vmt_output_parser *p);
/* A whole member whose text is typed by the tool's schema. */
void vmt_call_typed(vmt_output_parser *p, vmt_str key, vmt_str text);
/* Text as JSON by a schema: null, integer, number, boolean, object, array, string, the first that is allowed and
 * fits. */
void vmt_typed_value(vmt_json schema, vmt_str text, vmt_buf *out);
vmt_json vmt_call_property(const vmt_output_parser *p, vmt_str key);
bool vmt_typed_is_string(vmt_json schema); /* and nothing else */
bool vmt_typed_may_be_string(vmt_json schema);
/* A JSON number, true, false or null. */
bool vmt_is_json_scalar(vmt_str text);
/* Arguments byte by byte through the scan: control characters inside strings are escaped, as models forget to. */
vmt_json_scan_state vmt_args_push(vmt_output_parser *p, vmt_json_scan *scan, char byte, vmt_buf *out);

/* Arguments that are one JSON object: white space, then the object.  The call, named before, is announced with its
 * first byte and ended with its last, where END is returned. */
vmt_step vmt_args_step(vmt_output_parser *p, vmt_json_scan *scan, char byte);
/* Everything in text is white space or one of the bytes in also. */
bool vmt_is_filler(vmt_str text, const char *also);
/* A marker ended the text of the last call: it needs no giving back. */
void vmt_region_forget(vmt_output_parser *p);

void vmt_output_emit(vmt_output_parser *p, vmt_output_event_kind kind, vmt_str text);
void vmt_output_content(vmt_output_parser *p, vmt_str text);
/* Bytes for the dialect. */
void vmt_output_content_byte(vmt_output_parser *p, char byte);
void vmt_reasoning_init(vmt_output_parser *p);
void vmt_reasoning_byte(vmt_output_parser *p, char byte);
void vmt_reasoning_finish(vmt_output_parser *p);

bool vmt_harmony_in_reasoning(const vmt_output_parser *p);

static inline bool vmt_is_space(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

#endif
