/* api/structured_fields.h: response_format, structured_outputs and guided_*: which form an answer must have.
 *
 * Reading checks shapes and finds the one form that is asked for; nothing is compiled.  Text thread. */
#ifndef VMT_API_STRUCTURED_FIELDS_H
#define VMT_API_STRUCTURED_FIELDS_H

#include "api/error.h"
#include "json/json.h"
#include "text/grammar.h"

typedef struct vmt_structured_fields { /* absent: not given */
    vmt_json response_format, structured_outputs;
    vmt_json guided_json, guided_regex, guided_choice, guided_grammar, guided_whitespace_pattern;
    const char *format_param; /* what the API calls response_format; NULL: that */
} vmt_structured_fields;

typedef struct vmt_structured {
    bool is_given;
    const char *param; /* the field it came from, for errors */
    vmt_grammar_kind kind;
    vmt_str source; /* as vmt_grammar_cache_get() wants it; in the arena */
    vmt_grammar_options options;
} vmt_structured;

/* false: fault names the field. */
bool vmt_structured_read(vmt_structured *out, const vmt_structured_fields *fields, vmt_arena *arena,
                         vmt_fault *fault);

/* The form as a format of a structural tag (grammar.h), appended to out. */
bool vmt_structured_write_format(const vmt_structured *structured, vmt_buf *out, vmt_fault *fault);

#endif
