/* text/jinja_eval.c: the value of an expression. */
#include "text/jinja_ast.h"
#include "text/jinja_run.h"

static vmt_status eval_name(vmt_jrun *run, const vmt_jnode *node, vmt_jval *out) {
    const vmt_jval *local = vmt_jframe_find(run->frame, node->id);
    if (local != NULL) {
        *out = *local;
        return VMT_OK;
    }
    *out = run->globals[node->id];
    if (out->kind == VMT_JABSENT) *out = vmt_jundef(VMT_JUNDEF_NAME, node->name);
    return VMT_OK;
}

static vmt_status eval_getitem(vmt_jrun *run, const vmt_jnode *node, vmt_jval *out) {
    vmt_jval object, key;
    VMT_TRY(vmt_jeval(run, node->a, &object));
    if (node->b->type != VMT_JN_SLICE) {
        VMT_TRY(vmt_jeval(run, node->b, &key));
        return vmt_jgetitem(run, object, key, out);
    }
    vmt_jval bounds[3] = {{.kind = VMT_JABSENT}, {.kind = VMT_JABSENT}, {.kind = VMT_JABSENT}};
    if (node->b->a != NULL) VMT_TRY(vmt_jeval(run, node->b->a, &bounds[0]));
    if (node->b->b != NULL) VMT_TRY(vmt_jeval(run, node->b->b, &bounds[1]));
    if (node->b->c != NULL) VMT_TRY(vmt_jeval(run, node->b->c, &bounds[2]));
    return vmt_jslice(run, object, bounds, out);
}

static vmt_status eval_math(vmt_jrun *run, const vmt_jnode *node, vmt_jval *out) {
    vmt_jval left, right;
    const vmt_jnode *kid = node->kids;
    VMT_TRY(vmt_jeval(run, kid->a, &left));
    for (kid = kid->next; kid != NULL; kid = kid->next) {
        VMT_TRY(vmt_jeval(run, kid->a, &right));
        VMT_TRY(vmt_jarith(run, kid->op, left, right, &left));
    }
    *out = left;
    return VMT_OK;
}

static vmt_status eval_concat(vmt_jrun *run, const vmt_jnode *node, vmt_jval *out) {
    vmt_str text = VMT_STR("");
    for (const vmt_jnode *kid = node->kids; kid != NULL; kid = kid->next) {
        vmt_jval value;
        vmt_str part;
        VMT_TRY(vmt_jeval(run, kid, &value));
        VMT_TRY(vmt_jto_str(run, value, &part));
        VMT_TRY(vmt_jconcat(run, text, part, &text));
    }
    *out = vmt_jstr(text);
    return VMT_OK;
}

static vmt_status compare_one(vmt_jrun *run, int op, vmt_jval left, vmt_jval right, bool *out) {
    int order = 0;
    switch (op) {
    case VMT_JT_EQ: return vmt_jequal(run, left, right, out);
    case VMT_JT_NE:
        VMT_TRY(vmt_jequal(run, left, right, out));
        *out = !*out;
        return VMT_OK;
    case VMT_JT_IN: return vmt_jcontains(run, right, left, out);
    case VMT_JT_NOT_IN:
        VMT_TRY(vmt_jcontains(run, right, left, out));
        *out = !*out;
        return VMT_OK;
    default: break;
    }
    VMT_TRY(vmt_jcompare(run, left, right, &order));
    /* An order of 2 is a NaN's: every comparison is false. */
    if (op == VMT_JT_LT)
        *out = order < 0;
    else if (op == VMT_JT_LE)
        *out = order <= 0;
    else if (op == VMT_JT_GT)
        *out = order == 1;
    else
        *out = order == 0 || order == 1;
    return VMT_OK;
}

static vmt_status eval_compare(vmt_jrun *run, const vmt_jnode *node, vmt_jval *out) {
    vmt_jval left, right;
    bool holds = true;
    const vmt_jnode *kid = node->kids;
    VMT_TRY(vmt_jeval(run, kid->a, &left));
    for (kid = kid->next; kid != NULL && holds; kid = kid->next) {
        VMT_TRY(vmt_jeval(run, kid->a, &right));
        VMT_TRY(compare_one(run, kid->op, left, right, &holds));
        left = right;
    }
    *out = vmt_jbool(holds);
    return VMT_OK;
}

static vmt_status eval_logic(vmt_jrun *run, const vmt_jnode *node, bool stops_at, vmt_jval *out) {
    for (const vmt_jnode *kid = node->kids; kid != NULL; kid = kid->next) {
        VMT_TRY(vmt_jeval(run, kid, out));
        if (vmt_jtruthy(*out) == stops_at) return VMT_OK;
    }
    return VMT_OK;
}

static vmt_status eval_cond(vmt_jrun *run, const vmt_jnode *node, vmt_jval *out) {
    vmt_jval test;
    VMT_TRY(vmt_jeval(run, node->a, &test));
    if (vmt_jtruthy(test)) return vmt_jeval(run, node->b, out);
    if (node->c != NULL) return vmt_jeval(run, node->c, out);
    *out = vmt_jundef(VMT_JUNDEF_HINT,
                      VMT_STR("the inline if-expression evaluated to false and no else section was defined."));
    return VMT_OK;
}

static vmt_status eval_sequence(vmt_jrun *run, const vmt_jnode *node, vmt_jval *out) {
    vmt_jlist *list;
    VMT_TRY(vmt_jlist_new(run, node->num_kids, &list));
    for (const vmt_jnode *kid = node->kids; kid != NULL; kid = kid->next) {
        vmt_jval item;
        VMT_TRY(vmt_jeval(run, kid, &item));
        VMT_TRY(vmt_jlist_push(run, list, item));
    }
    *out = vmt_jof_list(node->type == VMT_JN_LIST ? VMT_JLIST : VMT_JTUPLE, list);
    return VMT_OK;
}

static vmt_status eval_dict(vmt_jrun *run, const vmt_jnode *node, vmt_jval *out) {
    vmt_jdict *dict;
    VMT_TRY(vmt_jdict_new(run, node->num_kids, &dict));
    for (const vmt_jnode *kid = node->kids; kid != NULL; kid = kid->next) {
        vmt_jval key, value;
        VMT_TRY(vmt_jeval(run, kid->a, &key));
        VMT_TRY(vmt_jeval(run, kid->b, &value));
        VMT_TRY(vmt_jdict_set(run, dict, key, value));
    }
    *out = vmt_jof_dict(dict);
    return VMT_OK;
}

/* Room for n arguments: on the rendering's stack of arguments, or in the arena if that is full. */
static vmt_status reserve_args(vmt_jrun *run, size_t n, vmt_jval **args) {
    if (run->arg_stack != NULL && n <= VMT_JARGS_MAX - run->num_args) {
        *args = run->arg_stack + run->num_args;
        run->num_args += n;
        return VMT_OK;
    }
    return VMT_JNEW(run, n, args);
}

/* *args of a call, after the n plain ones. */
static vmt_status spread_args(vmt_jrun *run, const vmt_jnode *node, vmt_jval **args, size_t *n) {
    vmt_jval spread, *all;
    vmt_jlist *list;
    VMT_TRY(vmt_jeval(run, node->b, &spread));
    VMT_TRY(vmt_jlist_from(run, spread, &list));
    VMT_TRY(VMT_JNEW(run, *n + list->count, &all));
    if (*n > 0) memcpy(all, *args, *n * sizeof *all);
    if (list->count > 0) memcpy(all + *n, list->items, list->count * sizeof *all);
    *args = all;
    *n += list->count;
    return VMT_OK;
}

/* name=value, then the extra one, then **dict. */
static vmt_status collect_kwargs(vmt_jrun *run, const vmt_jnode *node, const vmt_jkwarg *extra, vmt_jcall *call) {
    size_t n = extra != NULL;
    vmt_jval spread = {.kind = VMT_JABSENT};
    for (const vmt_jnode *kid = node->kids; kid != NULL; kid = kid->next) n += kid->type == VMT_JN_KEYWORD;
    if (node->c != NULL) {
        VMT_TRY(vmt_jeval(run, node->c, &spread));
        if (spread.kind != VMT_JDICT) return vmt_jinvalid(run, "argument after ** must be a mapping");
        n += spread.dict->count;
    }
    if (n == 0) return VMT_OK;
    vmt_jkwarg *kwargs;
    VMT_TRY(VMT_JNEW(run, n, &kwargs));
    n = 0;
    for (const vmt_jnode *kid = node->kids; kid != NULL; kid = kid->next) {
        if (kid->type != VMT_JN_KEYWORD) continue;
        kwargs[n].name = kid->name;
        VMT_TRY(vmt_jeval(run, kid->a, &kwargs[n++].value));
    }
    if (extra != NULL) kwargs[n++] = *extra;
    for (size_t i = 0; spread.kind == VMT_JDICT && i < spread.dict->count; i++) {
        if (spread.dict->entries[i].key.kind != VMT_JSTR) return vmt_jinvalid(run, "keywords must be strings");
        kwargs[n++] = (vmt_jkwarg){spread.dict->entries[i].key.s, spread.dict->entries[i].value};
    }
    call->kwargs = kwargs;
    call->num_kwargs = n;
    return VMT_OK;
}

vmt_status vmt_jeval_call(vmt_jrun *run, const vmt_jnode *node, const vmt_jtarget *target, vmt_jval *out) {
    size_t mark = run->num_args, n = 0;
    vmt_jval *args = NULL;
    vmt_jcall call = {.self = target->self};
    for (const vmt_jnode *kid = node->kids; kid != NULL && kid->type != VMT_JN_KEYWORD; kid = kid->next) n++;
    if (n > 0) VMT_TRY(reserve_args(run, n, &args));
    n = 0;
    for (const vmt_jnode *kid = node->kids; kid != NULL && kid->type != VMT_JN_KEYWORD; kid = kid->next) {
        VMT_TRY(vmt_jeval(run, kid, &args[n++]));
    }
    if (node->b != NULL) VMT_TRY(spread_args(run, node, &args, &n));
    call.args = args;
    call.num_args = n;
    if (n != node->num_kids || node->c != NULL || target->extra != NULL) {
        VMT_TRY(collect_kwargs(run, node, target->extra, &call));
    }
    if (target->row != NULL)
        VMT_TRY(vmt_jbuiltin_call(run, target->row, &call, out));
    else
        VMT_TRY(vmt_jcall_value(run, target->callee, &call, out));
    run->num_args = mark;
    return VMT_OK;
}

vmt_status vmt_jeval_call_node(vmt_jrun *run, const vmt_jnode *node, const vmt_jkwarg *extra, vmt_jval *out) {
    vmt_jtarget target = {.extra = extra};
    if (node->a->type == VMT_JN_GETATTR) {
        /* object.method(...) without making a bound method. */
        VMT_TRY(vmt_jeval(run, node->a->a, &target.self));
        target.row = vmt_jmethod_find(target.self, node->a->name);
        if (target.row == NULL) VMT_TRY(vmt_jgetattr(run, target.self, node->a->name, &target.callee));
    } else {
        VMT_TRY(vmt_jeval(run, node->a, &target.callee));
    }
    return vmt_jeval_call(run, node, &target, out);
}

static vmt_status eval_filter(vmt_jrun *run, const vmt_jnode *node, vmt_jval *out) {
    vmt_jtarget target = {.row = node->builtin, .self = run->block_input};
    if (node->builtin == NULL) {
        return vmt_jrun_fail(run, VMT_E_UNSUPPORTED, "unknown filter '%.*s'", VMT_STR_ARG(node->name));
    }
    if (node->a != NULL) VMT_TRY(vmt_jeval(run, node->a, &target.self));
    return vmt_jeval_call(run, node, &target, out);
}

static vmt_status eval_test(vmt_jrun *run, const vmt_jnode *node, vmt_jval *out) {
    vmt_jtarget target = {.row = node->builtin};
    if (node->builtin == NULL) {
        return vmt_jrun_fail(run, VMT_E_UNSUPPORTED, "unknown test '%.*s'", VMT_STR_ARG(node->name));
    }
    VMT_TRY(vmt_jeval(run, node->a, &target.self));
    return vmt_jeval_call(run, node, &target, out);
}

static vmt_status eval_unary(vmt_jrun *run, const vmt_jnode *node, vmt_jval *out) {
    vmt_jval value;
    VMT_TRY(vmt_jeval(run, node->a, &value));
    if (node->type == VMT_JN_NOT) {
        *out = vmt_jbool(!vmt_jtruthy(value));
        return VMT_OK;
    }
    if (node->type == VMT_JN_NEG) return vmt_jnegate(run, value, out);
    VMT_TRY(vmt_jnegate(run, value, out)); /* +x fails for the same kinds */
    return vmt_jnegate(run, *out, out);
}

static vmt_status eval_kind(vmt_jrun *run, const vmt_jnode *node, vmt_jval *out) {
    switch (node->type) {
    case VMT_JN_CONST: *out = node->value; return VMT_OK;
    case VMT_JN_NAME: return eval_name(run, node, out);
    case VMT_JN_GETATTR: {
        vmt_jval object;
        VMT_TRY(vmt_jeval(run, node->a, &object));
        return vmt_jgetattr(run, object, node->name, out);
    }
    case VMT_JN_GETITEM: return eval_getitem(run, node, out);
    case VMT_JN_CALL: return vmt_jeval_call_node(run, node, NULL, out);
    case VMT_JN_FILTER: return eval_filter(run, node, out);
    case VMT_JN_TEST: return eval_test(run, node, out);
    case VMT_JN_NOT:
    case VMT_JN_NEG:
    case VMT_JN_POS: return eval_unary(run, node, out);
    case VMT_JN_AND: return eval_logic(run, node, false, out);
    case VMT_JN_OR: return eval_logic(run, node, true, out);
    case VMT_JN_MATH: return eval_math(run, node, out);
    case VMT_JN_CONCAT: return eval_concat(run, node, out);
    case VMT_JN_COMPARE: return eval_compare(run, node, out);
    case VMT_JN_COND: return eval_cond(run, node, out);
    case VMT_JN_LIST:
    case VMT_JN_TUPLE: return eval_sequence(run, node, out);
    case VMT_JN_DICT: return eval_dict(run, node, out);
    default: return vmt_jrun_fail(run, VMT_E_INTERNAL, "node type %u is no expression", node->type);
    }
}

vmt_status vmt_jeval(vmt_jrun *run, const vmt_jnode *node, vmt_jval *out) {
    vmt_status status = VMT_OK;
    if (++run->depth > VMT_JRUN_DEPTH_MAX) {
        status = vmt_jrun_fail(run, VMT_E_EXHAUSTED, "evaluation is nested deeper than %u", VMT_JRUN_DEPTH_MAX);
    }
    if (status == VMT_OK) status = vmt_jrun_charge(run, 1);
    if (status == VMT_OK) status = eval_kind(run, node, out);
    run->depth--;
    if (VMT_UNLIKELY(status != VMT_OK) && run->line == 0) run->line = node->line;
    return status;
}
