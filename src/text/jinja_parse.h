/* text/jinja_parse.h: the parser's state, shared by its two files: statements and expressions. */
#ifndef VMT_TEXT_JINJA_PARSE_H
#define VMT_TEXT_JINJA_PARSE_H

#include "text/jinja_ast.h"
#include <stdio.h>

typedef struct vmt_jparser {
    vmt_chat_template *tmpl;
    vmt_err *err;
    vmt_jlexer lexer;
    vmt_jtoken cur, ahead;
    uint32_t depth; /* of the parser's own recursion */
    uint32_t soft;  /* inside an if: jinja2 lets unknown filters and tests pass until they are used */
    uint32_t loops; /* for statements around, up to the function: break is legal */
    uint8_t uses;   /* vmt_juses of the function being parsed */
    vmt_hash_key key;
    uint32_t *name_index; /* open addressing: name id + 1 */
    size_t name_index_cap;
} vmt_jparser;

vmt_status vmt_jparse_fail(vmt_jparser *p, const char *fmt, ...) VMT_PRINTF(2, 3);
vmt_status vmt_jparse_advance(vmt_jparser *p);
bool vmt_jparse_at_name(const vmt_jparser *p, const char *name);
vmt_status vmt_jparse_skip_name(vmt_jparser *p, const char *name, bool *skipped);
vmt_status vmt_jparse_expect(vmt_jparser *p, vmt_jtoken_type type, const char *what);
/* One more level of nesting; the caller takes it back from p->depth. */
vmt_status vmt_jparse_enter(vmt_jparser *p);
vmt_status vmt_jparse_name_id(vmt_jparser *p, vmt_str name, uint32_t *id);
vmt_status vmt_jparse_keep_text(vmt_jparser *p, vmt_str text);

vmt_status vmt_jnode_new(vmt_jparser *p, vmt_jnode_type type, uint32_t line, vmt_jnode **out);
vmt_status vmt_jnode_hang(vmt_jparser *p, vmt_jnode *node, const vmt_jnode *child);
vmt_status vmt_jnode_append(vmt_jparser *p, vmt_jnode *parent, vmt_jnode ***tail, vmt_jnode *child);

/* Statements up to a tag named in ends (NULL: up to the end of the source); stops before that name. */
vmt_status vmt_jparse_statements(vmt_jparser *p, vmt_jnode *parent, vmt_jnode **body, const char *const ends[],
                                 uint32_t *which);

enum vmt_jtuple_mode {
    VMT_JTUPLE_NO_COND = 1,        /* no inline if */
    VMT_JTUPLE_PRIMARY = 2,        /* names and literals only: a target */
    VMT_JTUPLE_NAMESPACE = 4,      /* with PRIMARY: ns.attr too */
    VMT_JTUPLE_PARENS = 8,         /* inside (): may be empty */
    VMT_JTUPLE_ENDS_IN = 16,       /* `in` ends it */
    VMT_JTUPLE_ENDS_RECURSIVE = 32 /* `recursive` ends it */
};
vmt_status vmt_jparse_tuple(vmt_jparser *p, uint32_t mode, vmt_jnode **out);
vmt_status vmt_jparse_expression(vmt_jparser *p, vmt_jnode **out);
vmt_status vmt_jparse_target(vmt_jparser *p, bool ends_in, bool with_namespace, vmt_jnode **out);
/* | filter | filter ... on input (NULL: a block's text).  starts_inline: the first has no bar. */
vmt_status vmt_jparse_filters(vmt_jparser *p, vmt_jnode *input, bool starts_inline, vmt_jnode **out);

#endif
