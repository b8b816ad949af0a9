/* text/jinja_parse.c: statements of the template language: jinja2/parser.py's grammar, by recursive descent.
 * Expressions are in jinja_parse_expr.c. */
#include "text/jinja_parse.h"

vmt_status vmt_jparse_fail(vmt_jparser *p, const char *fmt, ...) {
    char msg[VMT_ERR_MESSAGE_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(msg, sizeof msg, fmt, args);
    va_end(args);
    return vmt_jsyntax(p->err, p->cur.line, VMT_E_INVALID, "%s", msg);
}

vmt_status vmt_jparse_advance(vmt_jparser *p) {
    p->cur = p->ahead;
    return vmt_jlexer_next(&p->lexer, &p->ahead, p->err);
}

bool vmt_jparse_at_name(const vmt_jparser *p, const char *name) {
    return p->cur.type == VMT_JT_NAME && vmt_str_eq_c(p->cur.text, name);
}

vmt_status vmt_jparse_skip_name(vmt_jparser *p, const char *name, bool *skipped) {
    *skipped = vmt_jparse_at_name(p, name);
    return *skipped ? vmt_jparse_advance(p) : VMT_OK;
}

vmt_status vmt_jparse_expect(vmt_jparser *p, vmt_jtoken_type type, const char *what) {
    if (p->cur.type == type) return vmt_jparse_advance(p);
    if (p->cur.type == VMT_JT_EOF) return vmt_jparse_fail(p, "unexpected end of template, expected %s", what);
    vmt_str got = p->cur.text;
    if (got.len > 40) got.len = 40;
    if (got.len == 0) return vmt_jparse_fail(p, "expected %s", what);
    return vmt_jparse_fail(p, "expected %s, got '%.*s'", what, VMT_STR_ARG(got));
}

vmt_status vmt_jparse_enter(vmt_jparser *p) {
    if (++p->depth <= VMT_TEMPLATE_DEPTH_MAX) return VMT_OK;
    return vmt_jsyntax(p->err, p->cur.line, VMT_E_EXHAUSTED, "nested deeper than %u", VMT_TEMPLATE_DEPTH_MAX);
}

vmt_status vmt_jnode_new(vmt_jparser *p, vmt_jnode_type type, uint32_t line, vmt_jnode **out) {
    *out = VMT_ARENA_NEW(p->tmpl->arena, vmt_jnode, 1);
    if (*out == NULL) return vmt_jsyntax(p->err, line, VMT_E_EXHAUSTED, "the template is too large");
    (*out)->type = (uint8_t)type;
    (*out)->line = line;
    (*out)->height = 1;
    return VMT_OK;
}

/* Notes that child (may be NULL) hangs below node. */
vmt_status vmt_jnode_hang(vmt_jparser *p, vmt_jnode *node, const vmt_jnode *child) {
    if (child != NULL && child->height + 1 > node->height) node->height = (uint16_t)(child->height + 1);
    if (node->height <= VMT_TEMPLATE_DEPTH_MAX) return VMT_OK;
    return vmt_jsyntax(p->err, node->line, VMT_E_EXHAUSTED, "nested deeper than %u", VMT_TEMPLATE_DEPTH_MAX);
}

vmt_status vmt_jnode_append(vmt_jparser *p, vmt_jnode *parent, vmt_jnode ***tail, vmt_jnode *child) {
    **tail = child;
    *tail = &child->next;
    return vmt_jnode_hang(p, parent, child);
}

vmt_status vmt_jparse_keep_text(vmt_jparser *p, vmt_str text) {
    if (text.len == 0) return VMT_OK;
    vmt_jtext *kept = VMT_ARENA_NEW(p->tmpl->arena, vmt_jtext, 1);
    if (kept == NULL) return vmt_jsyntax(p->err, p->cur.line, VMT_E_EXHAUSTED, "the template is too large");
    *kept = (vmt_jtext){p->tmpl->texts, text};
    p->tmpl->texts = kept;
    return VMT_OK;
}

static bool grow_name_table(vmt_jparser *p) {
    size_t cap = p->name_index_cap ? p->name_index_cap * 2 : 64;
    uint32_t *index = VMT_ARENA_NEW(p->tmpl->arena, uint32_t, cap);
    vmt_str *names = VMT_ARENA_NEW(p->tmpl->arena, vmt_str, cap / 2);
    if (index == NULL || names == NULL) return false;
    for (uint32_t i = 0; i < p->tmpl->num_names; i++) {
        names[i] = p->tmpl->names[i];
        size_t slot = vmt_siphash64(p->key, names[i].ptr, names[i].len) & (cap - 1);
        while (index[slot] != 0) slot = (slot + 1) & (cap - 1);
        index[slot] = i + 1;
    }
    p->tmpl->names = names;
    p->name_index = index;
    p->name_index_cap = cap;
    return true;
}

vmt_status vmt_jparse_name_id(vmt_jparser *p, vmt_str name, uint32_t *id) {
    if (p->tmpl->num_names * 2 >= p->name_index_cap && !grow_name_table(p)) {
        return vmt_jsyntax(p->err, p->cur.line, VMT_E_EXHAUSTED, "the template is too large");
    }
    size_t slot = vmt_siphash64(p->key, name.ptr, name.len) & (p->name_index_cap - 1);
    while (p->name_index[slot] != 0) {
        *id = p->name_index[slot] - 1;
        if (vmt_str_eq(p->tmpl->names[*id], name)) return VMT_OK;
        slot = (slot + 1) & (p->name_index_cap - 1);
    }
    *id = p->tmpl->num_names++;
    p->tmpl->names[*id] = name;
    p->name_index[slot] = *id + 1;
    return VMT_OK;
}

/* `:`? `%}` statements, up to and including the tag name that ends them: one of ends.  *which says which. */
static vmt_status parse_body(vmt_jparser *p, vmt_jnode *parent, vmt_jnode **body, const char *const ends[],
                             uint32_t *which) {
    uint32_t line = p->cur.line;
    if (p->cur.type == VMT_JT_COLON) VMT_TRY(vmt_jparse_advance(p));
    VMT_TRY(vmt_jparse_expect(p, VMT_JT_BLOCK_END, "end of statement block"));
    VMT_TRY(vmt_jparse_enter(p));
    vmt_jnode *list = NULL;
    VMT_TRY(vmt_jparse_statements(p, parent, &list, ends, which));
    p->depth--;
    *body = list;
    if (p->cur.type == VMT_JT_EOF) {
        return vmt_jsyntax(p->err, p->cur.line, VMT_E_INVALID,
                           "unexpected end of template, '%s' is missing (line %u)", ends[0], line);
    }
    return vmt_jparse_advance(p);
}

static vmt_status parse_for(vmt_jparser *p, uint32_t line, vmt_jnode **out) {
    static const char *const ends[] = {"endfor", "else", NULL};
    vmt_jnode *node;
    VMT_TRY(vmt_jnode_new(p, VMT_JN_FOR, line, &node));
    VMT_TRY(vmt_jparse_target(p, true, false, &node->a));
    if (!vmt_jparse_at_name(p, "in")) return vmt_jparse_fail(p, "expected 'in'");
    VMT_TRY(vmt_jparse_advance(p));
    VMT_TRY(vmt_jparse_tuple(p, VMT_JTUPLE_NO_COND | VMT_JTUPLE_ENDS_RECURSIVE, &node->b));
    VMT_TRY(vmt_jnode_hang(p, node, node->b));
    bool has_test, is_recursive;
    VMT_TRY(vmt_jparse_skip_name(p, "if", &has_test));
    if (has_test) {
        VMT_TRY(vmt_jparse_expression(p, &node->c));
        VMT_TRY(vmt_jnode_hang(p, node, node->c));
    }
    VMT_TRY(vmt_jparse_skip_name(p, "recursive", &is_recursive));
    if (is_recursive) return vmt_jsyntax(p->err, line, VMT_E_UNSUPPORTED, "recursive loops are not supported");
    uint32_t which, loops = p->loops;
    p->loops++;
    VMT_TRY(parse_body(p, node, &node->kids, ends, &which));
    p->loops = loops;
    if (which == 1) VMT_TRY(parse_body(p, node, &node->alt, (const char *const[]){"endfor", NULL}, &which));
    *out = node;
    return VMT_OK;
}

static vmt_status parse_if(vmt_jparser *p, uint32_t line, vmt_jnode **out) {
    static const char *const ends[] = {"endif", "else", "elif", NULL};
    vmt_jnode *node;
    VMT_TRY(vmt_jnode_new(p, VMT_JN_IF, line, &node));
    *out = node;
    p->soft++;
    for (uint32_t which = 2; which == 2;) {
        VMT_TRY(vmt_jparse_tuple(p, VMT_JTUPLE_NO_COND, &node->a));
        VMT_TRY(vmt_jnode_hang(p, *out, node->a));
        VMT_TRY(parse_body(p, *out, &node->kids, ends, &which));
        if (which == 1)
            VMT_TRY(parse_body(p, *out, &node->alt, (const char *const[]){"endif", NULL}, &which));
        else if (which == 2) {
            vmt_jnode *elif;
            VMT_TRY(vmt_jnode_new(p, VMT_JN_IF, p->cur.line, &elif));
            elif->op = 1;
            node->alt = elif;
            node = elif;
        }
    }
    p->soft--;
    return VMT_OK;
}

static vmt_status parse_set(vmt_jparser *p, uint32_t line, vmt_jnode **out) {
    vmt_jnode *node;
    VMT_TRY(vmt_jnode_new(p, VMT_JN_SET, line, &node));
    *out = node;
    VMT_TRY(vmt_jparse_target(p, false, true, &node->a));
    if (p->cur.type == VMT_JT_ASSIGN) {
        VMT_TRY(vmt_jparse_advance(p));
        VMT_TRY(vmt_jparse_tuple(p, 0, &node->b));
        return vmt_jnode_hang(p, node, node->b);
    }
    node->type = VMT_JN_SET_BLOCK;
    VMT_TRY(vmt_jparse_filters(p, NULL, false, &node->b));
    VMT_TRY(vmt_jnode_hang(p, node, node->b));
    uint32_t which, loops = p->loops;
    p->loops = 0; /* the body is a function in jinja2: no break through it */
    VMT_TRY(parse_body(p, node, &node->kids, (const char *const[]){"endset", NULL}, &which));
    p->loops = loops;
    return VMT_OK;
}

/* A body that is a function of its own, and the special names it uses. */
static vmt_status parse_function_body(vmt_jparser *p, vmt_jnode *node, const char *end) {
    uint32_t which, loops = p->loops;
    uint8_t uses = p->uses;
    p->loops = 0;
    p->uses = 0;
    VMT_TRY(parse_body(p, node, &node->kids, (const char *const[]){end, NULL}, &which));
    node->op = p->uses;
    p->uses = uses | node->op;
    p->loops = loops;
    return VMT_OK;
}

static vmt_status parse_signature(vmt_jparser *p, vmt_jnode *node) {
    vmt_jnode **tail = &node->alt;
    bool has_default = false;
    VMT_TRY(vmt_jparse_expect(p, VMT_JT_LPAREN, "'('"));
    while (p->cur.type != VMT_JT_RPAREN) {
        if (node->alt != NULL) VMT_TRY(vmt_jparse_expect(p, VMT_JT_COMMA, "','"));
        vmt_jnode *param;
        VMT_TRY(vmt_jnode_new(p, VMT_JN_PARAM, p->cur.line, &param));
        param->name = p->cur.text;
        VMT_TRY(vmt_jparse_expect(p, VMT_JT_NAME, "a parameter's name"));
        VMT_TRY(vmt_jparse_name_id(p, param->name, &param->id));
        if (p->cur.type == VMT_JT_ASSIGN) {
            VMT_TRY(vmt_jparse_advance(p));
            VMT_TRY(vmt_jparse_expression(p, &param->a));
            VMT_TRY(vmt_jnode_hang(p, param, param->a));
            has_default = true;
        } else if (has_default) {
            return vmt_jparse_fail(p, "non-default argument follows default argument");
        }
        VMT_TRY(vmt_jnode_append(p, node, &tail, param));
        node->num_kids++;
    }
    return vmt_jparse_advance(p);
}

static vmt_status parse_macro(vmt_jparser *p, uint32_t line, vmt_jnode **out) {
    vmt_jnode *node;
    VMT_TRY(vmt_jnode_new(p, VMT_JN_MACRO, line, &node));
    *out = node;
    node->name = p->cur.text;
    VMT_TRY(vmt_jparse_expect(p, VMT_JT_NAME, "the macro's name"));
    VMT_TRY(vmt_jparse_name_id(p, node->name, &node->id));
    VMT_TRY(parse_signature(p, node));
    return parse_function_body(p, node, "endmacro");
}

static vmt_status parse_call_block(vmt_jparser *p, uint32_t line, vmt_jnode **out) {
    vmt_jnode *node;
    VMT_TRY(vmt_jnode_new(p, VMT_JN_CALL_BLOCK, line, &node));
    *out = node;
    if (p->cur.type == VMT_JT_LPAREN) VMT_TRY(parse_signature(p, node));
    VMT_TRY(vmt_jparse_expression(p, &node->a));
    if (node->a->type != VMT_JN_CALL) return vmt_jsyntax(p->err, line, VMT_E_INVALID, "expected call");
    VMT_TRY(vmt_jnode_hang(p, node, node->a));
    node->name = VMT_STR("caller");
    return parse_function_body(p, node, "endcall");
}

static vmt_status parse_filter_block(vmt_jparser *p, uint32_t line, vmt_jnode **out) {
    vmt_jnode *node;
    uint32_t which;
    VMT_TRY(vmt_jnode_new(p, VMT_JN_FILTER_BLOCK, line, &node));
    *out = node;
    VMT_TRY(vmt_jparse_filters(p, NULL, true, &node->a));
    VMT_TRY(vmt_jnode_hang(p, node, node->a));
    return parse_body(p, node, &node->kids, (const char *const[]){"endfilter", NULL}, &which);
}

static vmt_status parse_with(vmt_jparser *p, uint32_t line, vmt_jnode **out) {
    vmt_jnode *node;
    uint32_t which;
    VMT_TRY(vmt_jnode_new(p, VMT_JN_WITH, line, &node));
    *out = node;
    vmt_jnode **tail = &node->alt;
    while (p->cur.type != VMT_JT_BLOCK_END) {
        vmt_jnode *pair;
        if (node->alt != NULL) VMT_TRY(vmt_jparse_expect(p, VMT_JT_COMMA, "','"));
        VMT_TRY(vmt_jnode_new(p, VMT_JN_PAIR, p->cur.line, &pair));
        VMT_TRY(vmt_jparse_target(p, false, false, &pair->a));
        VMT_TRY(vmt_jparse_expect(p, VMT_JT_ASSIGN, "'='"));
        VMT_TRY(vmt_jparse_expression(p, &pair->b));
        VMT_TRY(vmt_jnode_hang(p, pair, pair->b));
        VMT_TRY(vmt_jnode_append(p, node, &tail, pair));
    }
    return parse_body(p, node, &node->kids, (const char *const[]){"endwith", NULL}, &which);
}

/* The generation tag marks what an assistant said; for rendering it is only a scope. */
static vmt_status parse_generation(vmt_jparser *p, uint32_t line, vmt_jnode **out) {
    VMT_TRY(vmt_jnode_new(p, VMT_JN_SCOPE, line, out));
    uint32_t which, loops = p->loops;
    p->loops = 0;
    VMT_TRY(parse_body(p, *out, &(*out)->kids, (const char *const[]){"endgeneration", NULL}, &which));
    p->loops = loops;
    return VMT_OK;
}

static vmt_status parse_loop_control(vmt_jparser *p, uint32_t line, vmt_jnode_type type, vmt_jnode **out) {
    if (p->loops == 0) return vmt_jsyntax(p->err, line, VMT_E_INVALID, "break or continue outside a loop");
    return vmt_jnode_new(p, type, line, out);
}

static vmt_status parse_break(vmt_jparser *p, uint32_t line, vmt_jnode **out) {
    return parse_loop_control(p, line, VMT_JN_BREAK, out);
}

static vmt_status parse_continue(vmt_jparser *p, uint32_t line, vmt_jnode **out) {
    return parse_loop_control(p, line, VMT_JN_CONTINUE, out);
}

static vmt_status parse_print(vmt_jparser *p, uint32_t line, vmt_jnode **out) {
    VMT_TRY(vmt_jnode_new(p, VMT_JN_PRINT, line, out));
    VMT_TRY(vmt_jnode_new(p, VMT_JN_CONCAT, line, &(*out)->a));
    vmt_jnode **tail = &(*out)->a->kids;
    while (p->cur.type != VMT_JT_BLOCK_END) {
        vmt_jnode *item;
        if ((*out)->a->kids != NULL) VMT_TRY(vmt_jparse_expect(p, VMT_JT_COMMA, "','"));
        VMT_TRY(vmt_jparse_expression(p, &item));
        VMT_TRY(vmt_jnode_append(p, (*out)->a, &tail, item));
    }
    return vmt_jnode_hang(p, *out, (*out)->a);
}

static const struct {
    const char *name;
    vmt_status (*parse)(vmt_jparser *p, uint32_t line, vmt_jnode **out); /* NULL: refused */
} tags[] = {
    {"if", parse_if},           {"for", parse_for},
    {"set", parse_set},         {"macro", parse_macro},
    {"call", parse_call_block}, {"filter", parse_filter_block},
    {"with", parse_with},       {"generation", parse_generation},
    {"break", parse_break},     {"continue", parse_continue},
    {"print", parse_print},     {"include", NULL},
    {"import", NULL},           {"from", NULL},
    {"extends", NULL},          {"block", NULL},
    {"autoescape", NULL},
};

static vmt_status parse_statement(vmt_jparser *p, vmt_jnode **out) {
    if (p->cur.type != VMT_JT_NAME) return vmt_jparse_fail(p, "tag name expected");
    uint32_t line = p->cur.line;
    for (size_t i = 0; i < VMT_COUNT(tags); i++) {
        if (!vmt_jparse_at_name(p, tags[i].name)) continue;
        if (tags[i].parse == NULL) {
            return vmt_jsyntax(p->err, line, VMT_E_UNSUPPORTED, "the tag '%s' is not supported", tags[i].name);
        }
        VMT_TRY(vmt_jparse_advance(p));
        return tags[i].parse(p, line, out);
    }
    return vmt_jparse_fail(p, "unknown tag '%.*s'", (int)VMT_MIN(p->cur.text.len, 60), p->cur.text.ptr);
}

static bool at_one_of(const vmt_jparser *p, const char *const ends[], uint32_t *which) {
    for (uint32_t i = 0; ends != NULL && ends[i] != NULL; i++) {
        if (!vmt_jparse_at_name(p, ends[i])) continue;
        *which = i;
        return true;
    }
    return false;
}

vmt_status vmt_jparse_statements(vmt_jparser *p, vmt_jnode *parent, vmt_jnode **body, const char *const ends[],
                                 uint32_t *which) {
    vmt_jnode **tail = body, *node;
    while (p->cur.type != VMT_JT_EOF) {
        uint32_t line = p->cur.line;
        if (p->cur.type == VMT_JT_DATA) {
            VMT_TRY(vmt_jnode_new(p, VMT_JN_DATA, line, &node));
            node->value = vmt_jstr(p->cur.text);
            VMT_TRY(vmt_jparse_keep_text(p, p->cur.text));
            VMT_TRY(vmt_jparse_advance(p));
        } else if (p->cur.type == VMT_JT_VAR_BEGIN) {
            VMT_TRY(vmt_jparse_advance(p));
            VMT_TRY(vmt_jnode_new(p, VMT_JN_PRINT, line, &node));
            VMT_TRY(vmt_jparse_tuple(p, 0, &node->a));
            VMT_TRY(vmt_jnode_hang(p, node, node->a));
            VMT_TRY(vmt_jparse_expect(p, VMT_JT_VAR_END, "end of print statement"));
        } else {
            VMT_TRY(vmt_jparse_advance(p)); /* {% */
            if (at_one_of(p, ends, which)) return VMT_OK;
            VMT_TRY(parse_statement(p, &node));
            VMT_TRY(vmt_jparse_expect(p, VMT_JT_BLOCK_END, "end of statement block"));
        }
        if (parent != NULL)
            VMT_TRY(vmt_jnode_append(p, parent, &tail, node));
        else
            *tail = node, tail = &node->next;
    }
    return VMT_OK;
}

vmt_status vmt_jparse(vmt_chat_template *tmpl, vmt_str source, vmt_err *err) {
    static const char *const fixed[VMT_JNAMES_FIXED] = {
        [VMT_JNAME_LOOP] = "loop",
        [VMT_JNAME_CALLER] = "caller",
        [VMT_JNAME_VARARGS] = "varargs",
        [VMT_JNAME_KWARGS] = "kwargs",
    };
    vmt_jparser parser = {.tmpl = tmpl, .err = err, .key = vmt_hash_key_random()};
    vmt_jparser *p = &parser;
    for (uint32_t i = 0, id; i < VMT_JNAMES_FIXED; i++) {
        VMT_TRY(vmt_jparse_name_id(p, vmt_str_from(fixed[i]), &id));
        VMT_ASSERT(id == i);
    }
    VMT_TRY(vmt_jlexer_init(&p->lexer, tmpl->arena, source, err));
    VMT_TRY(vmt_jlexer_next(&p->lexer, &p->cur, err));
    VMT_TRY(vmt_jlexer_next(&p->lexer, &p->ahead, err));
    uint32_t which;
    return vmt_jparse_statements(p, NULL, &tmpl->body, NULL, &which);
}
