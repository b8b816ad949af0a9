/* text/jinja_parts.c: does a template iterate over the parts of a message's content?
 *
 * A name stands for content if it was set from one, or is the parameter of a macro that is called with one; a loop
 * over content or over such a name means yes.  Names are collected until nothing new turns up. */
#include "text/jinja_ast.h"

typedef struct scan {
    bool *is_content;         /* by name id */
    const vmt_jnode **macros; /* by name id: the macro seen last, or NULL */
    bool has_changed, found;
} scan;

/* message.content, message['content'], a name that holds it; filters and alternatives of these. */
static bool is_content(const scan *s, const vmt_jnode *node) {
    if (node == NULL) return false;
    switch (node->type) {
    case VMT_JN_NAME: return s->is_content[node->id];
    case VMT_JN_GETATTR: return vmt_str_eq_c(node->name, "content");
    case VMT_JN_GETITEM:
        if (node->b->type == VMT_JN_SLICE) return is_content(s, node->a);
        return node->b->type == VMT_JN_CONST && node->b->value.kind == VMT_JSTR &&
               vmt_str_eq_c(node->b->value.s, "content");
    case VMT_JN_FILTER: return vmt_str_eq_c(node->name, "selectattr") && is_content(s, node->a);
    case VMT_JN_COND: return is_content(s, node->b) || is_content(s, node->c);
    default: return false;
    }
}

static void mark(scan *s, uint32_t id) {
    if (s->is_content[id]) return;
    s->is_content[id] = true;
    s->has_changed = true;
}

static void scan_list(scan *s, const vmt_jnode *node);

/* Parameters of a macro that get content. */
static void mark_params(scan *s, const vmt_jnode *call) {
    const vmt_jnode *macro = s->macros[call->a->id];
    if (macro == NULL) return;
    const vmt_jnode *param = macro->alt;
    for (const vmt_jnode *arg = call->kids; arg != NULL && param != NULL; arg = arg->next, param = param->next) {
        if (arg->type != VMT_JN_KEYWORD && is_content(s, arg)) mark(s, param->id);
    }
}

static void scan_node(scan *s, const vmt_jnode *node) {
    if (node == NULL) return;
    if (node->type == VMT_JN_FOR && is_content(s, node->b)) s->found = true;
    if (node->type == VMT_JN_SET && node->a->type == VMT_JN_NAME && is_content(s, node->b)) mark(s, node->a->id);
    if (node->type == VMT_JN_CALL && node->a->type == VMT_JN_NAME) mark_params(s, node);
    if (node->type == VMT_JN_MACRO) s->macros[node->id] = node;
    scan_node(s, node->a);
    scan_node(s, node->b);
    scan_node(s, node->c);
    scan_list(s, node->kids);
    /* A chain of elifs is long, not deep. */
    const vmt_jnode *alt = node->alt;
    while (alt != NULL && alt->type == VMT_JN_IF && alt->op == 1) {
        scan_node(s, alt->a);
        scan_list(s, alt->kids);
        alt = alt->alt;
    }
    scan_list(s, alt);
}

static void scan_list(scan *s, const vmt_jnode *node) {
    for (; node != NULL && !s->found; node = node->next) scan_node(s, node);
}

#define PASSES_MAX 8 /* content handed from name to name more often than that is no template we know */

bool vmt_jwants_parts(const vmt_chat_template *tmpl) {
    scan s = {.is_content = VMT_ARENA_NEW(tmpl->arena, bool, tmpl->num_names),
              .macros = VMT_ARENA_NEW(tmpl->arena, const vmt_jnode *, tmpl->num_names)};
    if (s.is_content == NULL || s.macros == NULL) return false;
    s.has_changed = true;
    for (int pass = 0; pass < PASSES_MAX && s.has_changed && !s.found; pass++) {
        s.has_changed = false;
        scan_list(&s, tmpl->body);
    }
    return s.found;
}
