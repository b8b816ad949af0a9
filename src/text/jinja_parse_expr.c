/* text/jinja_parse_expr.c: expressions, loosest binding first, as jinja2/parser.py nests them. */
#include "text/jinja_parse.h"
#include "text/jinja_run.h"
#include "text/jinja_unicode.h"

static vmt_status parse_unary(vmt_jparser *p, bool with_filter, vmt_jnode **out);
static vmt_status parse_or(vmt_jparser *p, vmt_jnode **out);

/* a op b op c ... of one level, as one node of OPERANDs; a alone stays a. */
typedef vmt_status (*parse_level)(vmt_jparser *p, vmt_jnode **out);

static vmt_status add_operand(vmt_jparser *p, vmt_jnode *parent, vmt_jnode ***tail, vmt_jtoken_type op,
                              vmt_jnode *value) {
    vmt_jnode *operand;
    VMT_TRY(vmt_jnode_new(p, VMT_JN_OPERAND, value->line, &operand));
    operand->op = (uint8_t)op;
    operand->a = value;
    /* An operand is not a level of its own: it is read by its parent. */
    operand->height = value->height;
    parent->num_kids++;
    return vmt_jnode_append(p, parent, tail, operand);
}

static vmt_status parse_chain(vmt_jparser *p, vmt_jtoken_type first, vmt_jtoken_type last, parse_level next,
                              vmt_jnode **out) {
    uint32_t line = p->cur.line;
    VMT_TRY(next(p, out));
    if (p->cur.type < first || p->cur.type > last) return VMT_OK;
    vmt_jnode *node, *value;
    VMT_TRY(vmt_jnode_new(p, VMT_JN_MATH, line, &node));
    vmt_jnode **tail = &node->kids;
    VMT_TRY(add_operand(p, node, &tail, VMT_JT_EOF, *out));
    while (p->cur.type >= first && p->cur.type <= last) {
        vmt_jtoken_type op = p->cur.type;
        VMT_TRY(vmt_jparse_advance(p));
        VMT_TRY(next(p, &value));
        VMT_TRY(add_operand(p, node, &tail, op, value));
    }
    *out = node;
    return VMT_OK;
}

static vmt_status parse_unary_filtered(vmt_jparser *p, vmt_jnode **out) {
    return parse_unary(p, true, out);
}

static vmt_status parse_pow(vmt_jparser *p, vmt_jnode **out) {
    return parse_chain(p, VMT_JT_POW, VMT_JT_POW, parse_unary_filtered, out);
}

static vmt_status parse_math2(vmt_jparser *p, vmt_jnode **out) {
    return parse_chain(p, VMT_JT_MUL, VMT_JT_MOD, parse_pow, out);
}

/* a ~ b ~ c, or `and`, or `or`: a list of plain values. */
static vmt_status parse_list_level(vmt_jparser *p, vmt_jnode_type type, const char *word, parse_level next,
                                   vmt_jnode **out) {
    uint32_t line = p->cur.line;
    VMT_TRY(next(p, out));
    vmt_jnode *node = NULL, **tail = NULL, *value;
    while (word != NULL ? vmt_jparse_at_name(p, word) : p->cur.type == VMT_JT_TILDE) {
        if (node == NULL) {
            VMT_TRY(vmt_jnode_new(p, type, line, &node));
            tail = &node->kids;
            VMT_TRY(vmt_jnode_append(p, node, &tail, *out));
            *out = node;
        }
        VMT_TRY(vmt_jparse_advance(p));
        VMT_TRY(next(p, &value));
        VMT_TRY(vmt_jnode_append(p, node, &tail, value));
    }
    return VMT_OK;
}

static vmt_status parse_concat(vmt_jparser *p, vmt_jnode **out) {
    return parse_list_level(p, VMT_JN_CONCAT, NULL, parse_math2, out);
}

static vmt_status parse_math1(vmt_jparser *p, vmt_jnode **out) {
    return parse_chain(p, VMT_JT_ADD, VMT_JT_SUB, parse_concat, out);
}

static vmt_status next_compare_op(vmt_jparser *p, vmt_jtoken_type *op) {
    *op = VMT_JT_EOF;
    if (p->cur.type >= VMT_JT_EQ && p->cur.type <= VMT_JT_LE)
        *op = p->cur.type;
    else if (vmt_jparse_at_name(p, "in"))
        *op = VMT_JT_IN;
    else if (vmt_jparse_at_name(p, "not") && p->ahead.type == VMT_JT_NAME && vmt_str_eq_c(p->ahead.text, "in")) {
        *op = VMT_JT_NOT_IN;
        VMT_TRY(vmt_jparse_advance(p));
    }
    return *op == VMT_JT_EOF ? VMT_OK : vmt_jparse_advance(p);
}

static vmt_status parse_compare(vmt_jparser *p, vmt_jnode **out) {
    uint32_t line = p->cur.line;
    VMT_TRY(parse_math1(p, out));
    vmt_jnode *node = NULL, **tail = NULL, *value;
    for (;;) {
        vmt_jtoken_type op;
        VMT_TRY(next_compare_op(p, &op));
        if (op == VMT_JT_EOF) return VMT_OK;
        if (node == NULL) {
            VMT_TRY(vmt_jnode_new(p, VMT_JN_COMPARE, line, &node));
            tail = &node->kids;
            VMT_TRY(add_operand(p, node, &tail, VMT_JT_EOF, *out));
            *out = node;
        }
        VMT_TRY(parse_math1(p, &value));
        VMT_TRY(add_operand(p, node, &tail, op, value));
    }
}

static vmt_status parse_not(vmt_jparser *p, vmt_jnode **out) {
    if (!vmt_jparse_at_name(p, "not")) return parse_compare(p, out);
    VMT_TRY(vmt_jnode_new(p, VMT_JN_NOT, p->cur.line, out));
    VMT_TRY(vmt_jparse_enter(p));
    VMT_TRY(vmt_jparse_advance(p));
    VMT_TRY(parse_not(p, &(*out)->a));
    p->depth--;
    return vmt_jnode_hang(p, *out, (*out)->a);
}

static vmt_status parse_and(vmt_jparser *p, vmt_jnode **out) {
    return parse_list_level(p, VMT_JN_AND, "and", parse_not, out);
}

static vmt_status parse_or(vmt_jparser *p, vmt_jnode **out) {
    return parse_list_level(p, VMT_JN_OR, "or", parse_and, out);
}

vmt_status vmt_jparse_expression(vmt_jparser *p, vmt_jnode **out) {
    uint32_t line = p->cur.line;
    VMT_TRY(vmt_jparse_enter(p));
    VMT_TRY(parse_or(p, out));
    for (;;) {
        bool is_cond, has_else;
        VMT_TRY(vmt_jparse_skip_name(p, "if", &is_cond));
        if (!is_cond) break;
        vmt_jnode *node;
        VMT_TRY(vmt_jnode_new(p, VMT_JN_COND, line, &node));
        node->b = *out;
        p->soft++;
        VMT_TRY(parse_or(p, &node->a));
        VMT_TRY(vmt_jparse_skip_name(p, "else", &has_else));
        if (has_else) VMT_TRY(vmt_jparse_expression(p, &node->c));
        p->soft--;
        VMT_TRY(vmt_jnode_hang(p, node, node->a));
        VMT_TRY(vmt_jnode_hang(p, node, node->b));
        VMT_TRY(vmt_jnode_hang(p, node, node->c));
        *out = node;
    }
    p->depth--;
    return VMT_OK;
}

static bool ends_tuple(const vmt_jparser *p, uint32_t mode) {
    if (p->cur.type == VMT_JT_VAR_END || p->cur.type == VMT_JT_BLOCK_END || p->cur.type == VMT_JT_RPAREN)
        return true;
    if ((mode & VMT_JTUPLE_ENDS_IN) && vmt_jparse_at_name(p, "in")) return true;
    return (mode & VMT_JTUPLE_ENDS_RECURSIVE) && vmt_jparse_at_name(p, "recursive");
}

static vmt_status parse_primary(vmt_jparser *p, bool with_namespace, vmt_jnode **out);

static vmt_status parse_tuple_item(vmt_jparser *p, uint32_t mode, vmt_jnode **out) {
    if (mode & VMT_JTUPLE_PRIMARY) return parse_primary(p, (mode & VMT_JTUPLE_NAMESPACE) != 0, out);
    if (mode & VMT_JTUPLE_NO_COND) return parse_or(p, out);
    return vmt_jparse_expression(p, out);
}

vmt_status vmt_jparse_tuple(vmt_jparser *p, uint32_t mode, vmt_jnode **out) {
    vmt_jnode *tuple, *item, **tail;
    bool is_tuple = false;
    VMT_TRY(vmt_jparse_enter(p));
    VMT_TRY(vmt_jnode_new(p, VMT_JN_TUPLE, p->cur.line, &tuple));
    tail = &tuple->kids;
    for (;;) {
        if (tuple->kids != NULL) VMT_TRY(vmt_jparse_expect(p, VMT_JT_COMMA, "','"));
        if (ends_tuple(p, mode)) break;
        VMT_TRY(parse_tuple_item(p, mode, &item));
        VMT_TRY(vmt_jnode_append(p, tuple, &tail, item));
        tuple->num_kids++;
        if (p->cur.type != VMT_JT_COMMA) break;
        is_tuple = true;
    }
    p->depth--;
    *out = is_tuple || tuple->kids == NULL ? tuple : tuple->kids;
    if (!is_tuple && tuple->kids == NULL && !(mode & VMT_JTUPLE_PARENS)) {
        return vmt_jparse_fail(p, "expected an expression");
    }
    return VMT_OK;
}

static vmt_status parse_list(vmt_jparser *p, vmt_jnode **out) {
    vmt_jnode *item, **tail;
    VMT_TRY(vmt_jnode_new(p, VMT_JN_LIST, p->cur.line, out));
    VMT_TRY(vmt_jparse_advance(p));
    tail = &(*out)->kids;
    while (p->cur.type != VMT_JT_RBRACKET) {
        if ((*out)->kids != NULL) VMT_TRY(vmt_jparse_expect(p, VMT_JT_COMMA, "','"));
        if (p->cur.type == VMT_JT_RBRACKET) break;
        VMT_TRY(vmt_jparse_expression(p, &item));
        VMT_TRY(vmt_jnode_append(p, *out, &tail, item));
        (*out)->num_kids++;
    }
    return vmt_jparse_advance(p);
}

static vmt_status parse_dict(vmt_jparser *p, vmt_jnode **out) {
    vmt_jnode *pair, **tail;
    VMT_TRY(vmt_jnode_new(p, VMT_JN_DICT, p->cur.line, out));
    VMT_TRY(vmt_jparse_advance(p));
    tail = &(*out)->kids;
    while (p->cur.type != VMT_JT_RBRACE) {
        if ((*out)->kids != NULL) VMT_TRY(vmt_jparse_expect(p, VMT_JT_COMMA, "','"));
        if (p->cur.type == VMT_JT_RBRACE) break;
        VMT_TRY(vmt_jnode_new(p, VMT_JN_PAIR, p->cur.line, &pair));
        VMT_TRY(vmt_jparse_expression(p, &pair->a));
        VMT_TRY(vmt_jparse_expect(p, VMT_JT_COLON, "':'"));
        VMT_TRY(vmt_jparse_expression(p, &pair->b));
        VMT_TRY(vmt_jnode_hang(p, pair, pair->a));
        VMT_TRY(vmt_jnode_hang(p, pair, pair->b));
        VMT_TRY(vmt_jnode_append(p, *out, &tail, pair));
        (*out)->num_kids++;
    }
    return vmt_jparse_advance(p);
}

static vmt_status parse_strings(vmt_jparser *p, vmt_jnode *node) {
    vmt_str text = p->cur.text;
    VMT_TRY(vmt_jparse_advance(p));
    while (p->cur.type == VMT_JT_STRING) {
        size_t len = text.len + p->cur.text.len;
        char *joined = vmt_arena_alloc(p->tmpl->arena, len + 1);
        if (joined == NULL) return vmt_jsyntax(p->err, node->line, VMT_E_EXHAUSTED, "the template is too large");
        if (text.len > 0) memcpy(joined, text.ptr, text.len);
        if (p->cur.text.len > 0) memcpy(joined + text.len, p->cur.text.ptr, p->cur.text.len);
        text = (vmt_str){joined, len};
        VMT_TRY(vmt_jparse_advance(p));
    }
    node->value = vmt_jstr(text);
    return vmt_jparse_keep_text(p, text);
}

static const struct {
    const char *name;
    uint8_t kind;
    bool b;
} constants[] = {
    {"true", VMT_JBOOL, true},   {"True", VMT_JBOOL, true},  {"false", VMT_JBOOL, false},
    {"False", VMT_JBOOL, false}, {"none", VMT_JNONE, false}, {"None", VMT_JNONE, false},
};

static bool is_name(vmt_str s) {
    for (size_t pos = 0; pos < s.len;) {
        uint32_t c = vmt_utf8_next(s, &pos);
        if (c >= 0x80 && !vmt_juni_is_word(c)) return false;
    }
    return true;
}

static vmt_status parse_name(vmt_jparser *p, bool with_namespace, vmt_jnode *node) {
    vmt_str name = p->cur.text;
    if (!is_name(name)) return vmt_jparse_fail(p, "invalid character in a name");
    VMT_TRY(vmt_jparse_advance(p));
    for (size_t i = 0; i < VMT_COUNT(constants); i++) {
        if (!vmt_str_eq_c(name, constants[i].name)) continue;
        node->type = VMT_JN_CONST;
        node->value = constants[i].kind == VMT_JNONE ? vmt_jnone() : vmt_jbool(constants[i].b);
        return VMT_OK;
    }
    node->type = VMT_JN_NAME;
    node->name = name;
    VMT_TRY(vmt_jparse_name_id(p, name, &node->id));
    if (node->id == VMT_JNAME_CALLER) p->uses |= VMT_JUSES_CALLER;
    if (node->id == VMT_JNAME_VARARGS) p->uses |= VMT_JUSES_VARARGS;
    if (node->id == VMT_JNAME_KWARGS) p->uses |= VMT_JUSES_KWARGS;
    if (!with_namespace || p->cur.type != VMT_JT_DOT) return VMT_OK;
    VMT_TRY(vmt_jparse_advance(p));
    node->type = VMT_JN_NSREF;
    node->name = p->cur.text;
    return vmt_jparse_expect(p, VMT_JT_NAME, "an attribute's name");
}

static vmt_status parse_primary(vmt_jparser *p, bool with_namespace, vmt_jnode **out) {
    if (p->cur.type == VMT_JT_LBRACKET) return parse_list(p, out);
    if (p->cur.type == VMT_JT_LBRACE) return parse_dict(p, out);
    if (p->cur.type == VMT_JT_LPAREN) {
        VMT_TRY(vmt_jparse_advance(p));
        VMT_TRY(vmt_jparse_tuple(p, VMT_JTUPLE_PARENS, out));
        return vmt_jparse_expect(p, VMT_JT_RPAREN, "')'");
    }
    vmt_jnode *node;
    VMT_TRY(vmt_jnode_new(p, VMT_JN_CONST, p->cur.line, &node));
    *out = node;
    switch (p->cur.type) {
    case VMT_JT_NAME: return parse_name(p, with_namespace, node);
    case VMT_JT_STRING: return parse_strings(p, node);
    case VMT_JT_INT: node->value = vmt_jint(p->cur.i); return vmt_jparse_advance(p);
    case VMT_JT_FLOAT: node->value = vmt_jfloat(p->cur.f); return vmt_jparse_advance(p);
    case VMT_JT_EOF: return vmt_jparse_fail(p, "unexpected end of template in a tag");
    default:
        if (p->cur.text.len == 0) return vmt_jparse_fail(p, "expected an expression");
        return vmt_jparse_fail(p, "unexpected '%.*s'", VMT_STR_ARG(p->cur.text));
    }
}

/* One index or slice between brackets. */
static vmt_status parse_subscript(vmt_jparser *p, vmt_jnode **out) {
    if (p->cur.type != VMT_JT_COLON) {
        VMT_TRY(vmt_jparse_expression(p, out));
        if (p->cur.type != VMT_JT_COLON) return VMT_OK;
    } else {
        *out = NULL;
    }
    vmt_jnode *slice;
    VMT_TRY(vmt_jnode_new(p, VMT_JN_SLICE, p->cur.line, &slice));
    slice->a = *out;
    *out = slice;
    for (int i = 0; i < 2 && p->cur.type == VMT_JT_COLON; i++) {
        vmt_jnode **bound = i == 0 ? &slice->b : &slice->c;
        VMT_TRY(vmt_jparse_advance(p));
        if (p->cur.type == VMT_JT_COLON || p->cur.type == VMT_JT_RBRACKET || p->cur.type == VMT_JT_COMMA) continue;
        VMT_TRY(vmt_jparse_expression(p, bound));
    }
    VMT_TRY(vmt_jnode_hang(p, slice, slice->a));
    VMT_TRY(vmt_jnode_hang(p, slice, slice->b));
    return vmt_jnode_hang(p, slice, slice->c);
}

static vmt_status parse_subscripts(vmt_jparser *p, vmt_jnode *object, vmt_jnode **out) {
    vmt_jnode *node, *item, **tail;
    VMT_TRY(vmt_jnode_new(p, VMT_JN_GETITEM, p->cur.line, &node));
    node->a = object;
    vmt_jnode *keys;
    VMT_TRY(vmt_jnode_new(p, VMT_JN_TUPLE, p->cur.line, &keys));
    tail = &keys->kids;
    VMT_TRY(vmt_jparse_advance(p));
    while (p->cur.type != VMT_JT_RBRACKET) {
        if (keys->kids != NULL) VMT_TRY(vmt_jparse_expect(p, VMT_JT_COMMA, "','"));
        VMT_TRY(parse_subscript(p, &item));
        VMT_TRY(vmt_jnode_append(p, keys, &tail, item));
        keys->num_kids++;
    }
    node->b = keys->num_kids == 1 ? keys->kids : keys;
    if (keys->num_kids != 1) {
        for (item = keys->kids; item != NULL; item = item->next) {
            if (item->type == VMT_JN_SLICE) return vmt_jparse_fail(p, "a slice inside a tuple is not supported");
        }
    }
    VMT_TRY(vmt_jparse_advance(p));
    VMT_TRY(vmt_jnode_hang(p, node, node->a));
    *out = node;
    return vmt_jnode_hang(p, node, node->b);
}

static vmt_status parse_dot(vmt_jparser *p, vmt_jnode *object, vmt_jnode **out) {
    vmt_jnode *node;
    VMT_TRY(vmt_jnode_new(p, VMT_JN_GETATTR, p->cur.line, &node));
    node->a = object;
    *out = node;
    VMT_TRY(vmt_jparse_advance(p));
    if (p->cur.type == VMT_JT_NAME) {
        node->name = p->cur.text;
        VMT_TRY(vmt_jparse_keep_text(p, node->name));
    } else if (p->cur.type == VMT_JT_INT) {
        node->type = VMT_JN_GETITEM;
        VMT_TRY(vmt_jnode_new(p, VMT_JN_CONST, p->cur.line, &node->b));
        node->b->value = vmt_jint(p->cur.i);
    } else {
        return vmt_jparse_fail(p, "expected name or number");
    }
    VMT_TRY(vmt_jparse_advance(p));
    return vmt_jnode_hang(p, node, object);
}

/* ( arguments ) into node's kids, b and c. */
static vmt_status parse_call_args(vmt_jparser *p, vmt_jnode *node) {
    vmt_jnode **tail = &node->kids, *arg;
    bool has_kwargs = false, need_comma = false;
    VMT_TRY(vmt_jparse_advance(p));
    while (p->cur.type != VMT_JT_RPAREN) {
        if (need_comma) {
            VMT_TRY(vmt_jparse_expect(p, VMT_JT_COMMA, "','"));
            if (p->cur.type == VMT_JT_RPAREN) break;
        }
        need_comma = true;
        if (p->cur.type == VMT_JT_MUL || p->cur.type == VMT_JT_POW) {
            vmt_jnode **spread = p->cur.type == VMT_JT_MUL ? &node->b : &node->c;
            if (*spread != NULL || node->c != NULL) return vmt_jparse_fail(p, "invalid syntax in a call");
            VMT_TRY(vmt_jparse_advance(p));
            VMT_TRY(vmt_jparse_expression(p, spread));
            VMT_TRY(vmt_jnode_hang(p, node, *spread));
            continue;
        }
        if (p->cur.type == VMT_JT_NAME && p->ahead.type == VMT_JT_ASSIGN) {
            if (node->c != NULL) return vmt_jparse_fail(p, "invalid syntax in a call");
            VMT_TRY(vmt_jnode_new(p, VMT_JN_KEYWORD, p->cur.line, &arg));
            arg->name = p->cur.text;
            VMT_TRY(vmt_jparse_advance(p));
            VMT_TRY(vmt_jparse_advance(p));
            VMT_TRY(vmt_jparse_expression(p, &arg->a));
            arg->height = arg->a->height;
            has_kwargs = true;
        } else {
            if (has_kwargs || node->b != NULL || node->c != NULL) {
                return vmt_jparse_fail(p, "invalid syntax in a call");
            }
            VMT_TRY(vmt_jparse_expression(p, &arg));
        }
        VMT_TRY(vmt_jnode_append(p, node, &tail, arg));
        node->num_kids++;
    }
    return vmt_jparse_advance(p);
}

static vmt_status parse_call(vmt_jparser *p, vmt_jnode *callee, vmt_jnode **out) {
    VMT_TRY(vmt_jnode_new(p, VMT_JN_CALL, p->cur.line, out));
    (*out)->a = callee;
    VMT_TRY(vmt_jnode_hang(p, *out, callee));
    return parse_call_args(p, *out);
}

static vmt_status parse_postfix(vmt_jparser *p, vmt_jnode **out) {
    for (;;) {
        if (p->cur.type == VMT_JT_DOT)
            VMT_TRY(parse_dot(p, *out, out));
        else if (p->cur.type == VMT_JT_LBRACKET)
            VMT_TRY(parse_subscripts(p, *out, out));
        else if (p->cur.type == VMT_JT_LPAREN)
            VMT_TRY(parse_call(p, *out, out));
        else
            return VMT_OK;
    }
}

/* name.name as one word. */
static vmt_status parse_dotted(vmt_jparser *p, vmt_str *out) {
    *out = p->cur.text;
    VMT_TRY(vmt_jparse_expect(p, VMT_JT_NAME, "a name"));
    while (p->cur.type == VMT_JT_DOT) {
        VMT_TRY(vmt_jparse_advance(p));
        *out = vmt_arena_printf(p->tmpl->arena, "%.*s.%.*s", VMT_STR_ARG(*out), VMT_STR_ARG(p->cur.text));
        VMT_TRY(vmt_jparse_expect(p, VMT_JT_NAME, "a name"));
    }
    return VMT_OK;
}

vmt_status vmt_jparse_filters(vmt_jparser *p, vmt_jnode *input, bool starts_inline, vmt_jnode **out) {
    *out = input;
    while (p->cur.type == VMT_JT_PIPE || starts_inline) {
        vmt_jnode *node;
        if (!starts_inline) VMT_TRY(vmt_jparse_advance(p));
        starts_inline = false;
        VMT_TRY(vmt_jnode_new(p, VMT_JN_FILTER, p->cur.line, &node));
        VMT_TRY(parse_dotted(p, &node->name));
        node->builtin = vmt_jfilter_find(node->name);
        if (node->builtin == NULL && p->soft == 0) {
            return vmt_jsyntax(p->err, node->line, VMT_E_UNSUPPORTED, "unknown filter '%.*s'",
                               VMT_STR_ARG(node->name));
        }
        node->a = *out;
        *out = node;
        VMT_TRY(vmt_jnode_hang(p, node, node->a));
        if (p->cur.type == VMT_JT_LPAREN) VMT_TRY(parse_call_args(p, node));
    }
    return VMT_OK;
}

static bool starts_test_argument(const vmt_jparser *p) {
    switch (p->cur.type) {
    case VMT_JT_STRING:
    case VMT_JT_INT:
    case VMT_JT_FLOAT:
    case VMT_JT_LBRACKET:
    case VMT_JT_LBRACE: return true;
    case VMT_JT_NAME:
        return !vmt_jparse_at_name(p, "else") && !vmt_jparse_at_name(p, "or") && !vmt_jparse_at_name(p, "and");
    default: return false;
    }
}

static vmt_status parse_test(vmt_jparser *p, vmt_jnode *input, vmt_jnode **out) {
    vmt_jnode *node;
    bool is_negated;
    VMT_TRY(vmt_jnode_new(p, VMT_JN_TEST, p->cur.line, &node));
    VMT_TRY(vmt_jparse_advance(p));
    VMT_TRY(vmt_jparse_skip_name(p, "not", &is_negated));
    VMT_TRY(parse_dotted(p, &node->name));
    node->builtin = vmt_jtest_find(node->name);
    if (node->builtin == NULL && p->soft == 0) {
        return vmt_jsyntax(p->err, node->line, VMT_E_UNSUPPORTED, "unknown test '%.*s'", VMT_STR_ARG(node->name));
    }
    node->a = input;
    if (p->cur.type == VMT_JT_LPAREN) {
        VMT_TRY(parse_call_args(p, node));
    } else if (starts_test_argument(p)) {
        if (vmt_jparse_at_name(p, "is")) return vmt_jparse_fail(p, "tests with 'is' can't be chained");
        VMT_TRY(parse_primary(p, false, &node->kids));
        VMT_TRY(parse_postfix(p, &node->kids));
        VMT_TRY(vmt_jnode_hang(p, node, node->kids));
        node->num_kids = 1;
    }
    VMT_TRY(vmt_jnode_hang(p, node, input));
    *out = node;
    if (!is_negated) return VMT_OK;
    VMT_TRY(vmt_jnode_new(p, VMT_JN_NOT, node->line, out));
    (*out)->a = node;
    return vmt_jnode_hang(p, *out, node);
}

static vmt_status parse_unary(vmt_jparser *p, bool with_filter, vmt_jnode **out) {
    if (p->cur.type == VMT_JT_SUB || p->cur.type == VMT_JT_ADD) {
        vmt_jnode *node;
        VMT_TRY(vmt_jnode_new(p, p->cur.type == VMT_JT_SUB ? VMT_JN_NEG : VMT_JN_POS, p->cur.line, &node));
        VMT_TRY(vmt_jparse_enter(p));
        VMT_TRY(vmt_jparse_advance(p));
        VMT_TRY(parse_unary(p, false, &node->a));
        p->depth--;
        VMT_TRY(vmt_jnode_hang(p, node, node->a));
        *out = node;
    } else {
        VMT_TRY(parse_primary(p, false, out));
    }
    VMT_TRY(parse_postfix(p, out));
    while (with_filter) {
        if (p->cur.type == VMT_JT_PIPE)
            VMT_TRY(vmt_jparse_filters(p, *out, false, out));
        else if (vmt_jparse_at_name(p, "is"))
            VMT_TRY(parse_test(p, *out, out));
        else if (p->cur.type == VMT_JT_LPAREN)
            VMT_TRY(parse_call(p, *out, out));
        else
            break;
    }
    return VMT_OK;
}

static vmt_status check_target(vmt_jparser *p, const vmt_jnode *node, bool with_namespace) {
    if (node->type == VMT_JN_NAME || node->type == VMT_JN_NSREF) return VMT_OK;
    if (node->type != VMT_JN_TUPLE) return vmt_jsyntax(p->err, node->line, VMT_E_INVALID, "can't assign to this");
    for (const vmt_jnode *kid = node->kids; kid != NULL; kid = kid->next) {
        VMT_TRY(check_target(p, kid, with_namespace));
    }
    return VMT_OK;
}

vmt_status vmt_jparse_target(vmt_jparser *p, bool ends_in, bool with_namespace, vmt_jnode **out) {
    uint32_t mode = VMT_JTUPLE_PRIMARY;
    if (ends_in) mode |= VMT_JTUPLE_ENDS_IN;
    if (with_namespace) mode |= VMT_JTUPLE_NAMESPACE;
    uint8_t uses = p->uses; /* assigning to `caller` is no use of it */
    VMT_TRY(vmt_jparse_tuple(p, mode, out));
    p->uses = uses;
    return check_target(p, *out, with_namespace);
}
