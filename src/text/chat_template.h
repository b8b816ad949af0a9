/* text/chat_template.h: a Hugging Face chat template, compiled once, rendered per request.
 *
 * The dialect is jinja2's as transformers configures it: trim_blocks, lstrip_blocks, sandboxed immutable values,
 * `break` and `continue`, the generation tag, tojson without HTML escaping, strftime_now, raise_exception.
 * Rendering has budgets for steps, depth and output: a template cannot hang or crash the process.  A compiled template
 * is immutable; any number of threads may render it. */
#ifndef VMT_TEXT_CHAT_TEMPLATE_H
#define VMT_TEXT_CHAT_TEMPLATE_H

#include "base/arena.h"
#include "base/buf.h"
#include "json/json.h"

typedef struct vmt_chat_template vmt_chat_template;

#define VMT_TEMPLATE_SOURCE_MAX (1u << 20)  /* bytes of template text */
#define VMT_TEMPLATE_STEPS_MAX  20000000u   /* evaluated nodes per rendering */
#define VMT_TEMPLATE_DEPTH_MAX  200u        /* nesting while parsing, calls while rendering */
#define VMT_TEMPLATE_OUTPUT_MAX (64u << 20) /* bytes rendered, and memory for values */

/* The error gives the line: "chat template, line 12: unknown filter 'foo'". */
vmt_status vmt_chat_template_compile(vmt_chat_template **out, vmt_str source, vmt_err *err);
void vmt_chat_template_destroy(vmt_chat_template *tmpl);

/* One name and its value for the rendering: strings or JSON.  Later entries win. */
typedef struct vmt_template_var {
    vmt_str name;
    vmt_json json; /* used if it exists */
    vmt_str text;  /* else this string, if ptr != NULL */
    int boolean;   /* else 0 or 1; -1: None */
} vmt_template_var;

typedef struct vmt_render_options {
    const vmt_template_var *vars; /* messages, tools, bos_token, add_generation_prompt, enable_thinking, ... */
    uint32_t num_vars;
    int64_t now_unix_s; /* what strftime_now sees; local time zone */
} vmt_render_options;

/* Appends the rendered text to out.  raise_exception('...') gives VMT_E_INVALID with the template's own words. */
vmt_status vmt_chat_template_render(const vmt_chat_template *tmpl, const vmt_render_options *options, vmt_buf *out,
                                    vmt_err *err);

/* Facts a server asks of a template without rendering it: does its text use this variable or string? */
bool vmt_chat_template_mentions(const vmt_chat_template *tmpl, vmt_str word);
/* The template iterates over message.content parts ({"type": "text", ...}) rather than taking a string. */
bool vmt_chat_template_wants_parts(const vmt_chat_template *tmpl);

#endif
