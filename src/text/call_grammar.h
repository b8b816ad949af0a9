/* text/call_grammar.h: tool calls as formats of a structural tag, in a dialect's syntax.  Internal to src/text. */
#ifndef VMT_TEXT_CALL_GRAMMAR_H
#define VMT_TEXT_CALL_GRAMMAR_H

#include "json/json_writer.h"
#include "text/answer_grammar.h"
#include "text/output_scan.h"

typedef struct vmt_format_writer {
    vmt_json_writer w;
    const vmt_answer_form *form;
    vmt_err *err;
} vmt_format_writer;

/* ---- answer_grammar.c: formats; list is the member that has elements, ended by vmt_format_end() */

void vmt_format_begin(vmt_format_writer *f, const char *type, const char *list);
void vmt_format_end(vmt_format_writer *f);
void vmt_format_text(vmt_format_writer *f, vmt_str text);
void vmt_format_regex(vmt_format_writer *f, const char *pattern);
void vmt_format_any_text(vmt_format_writer *f, const char *const *excludes); /* NULL: none */
/* Its content is the format written between the two. */
void vmt_format_begin_tag(vmt_format_writer *f, vmt_str begin);
void vmt_format_end_tag(vmt_format_writer *f, const char *end);
/* Ends a tags_with_separator. */
void vmt_format_end_separated(vmt_format_writer *f, const char *separator, bool at_least_one, bool only_one);

/* ---- call_grammar.c */

/* A format: one call or more. */
vmt_status vmt_calls_write(vmt_format_writer *f);
/* Tags that each begin with the dialect's marker, as elements of a list. */
vmt_status vmt_calls_write_regions(vmt_format_writer *f);
/* Tags, each a message of harmony. */
vmt_status vmt_calls_write_harmony(vmt_format_writer *f);

/* ---- argument_grammar.c */

/* The tool that a call is of. */
typedef struct vmt_called_tool {
    vmt_str name;
    vmt_json parameters;
    bool is_strict;
    bool is_loose; /* any arguments will do */
} vmt_called_tool;

/* The schema of all arguments as a format: an object. */
vmt_status vmt_arguments_write_json(vmt_format_writer *f, const vmt_called_tool *tool);
/* Arguments with markup of their own, as elements of a sequence. */
vmt_status vmt_arguments_write(vmt_format_writer *f, const vmt_called_tool *tool);

#endif
