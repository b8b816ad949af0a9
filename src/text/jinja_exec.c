/* text/jinja_exec.c: statements, scopes and macro calls.
 *
 * Scopes are jinja2's: a for, with, macro, block set and generation body has its own; an if has none.  A name set
 * inside is gone outside; reading looks outward, at the time of reading. */
#include "text/jinja_ast.h"
#include "text/jinja_run.h"

vmt_status vmt_jframe_new(vmt_jrun *run, vmt_jframe *parent, uint32_t cap, vmt_jframe **out) {
    VMT_TRY(VMT_JNEW(run, 1, out));
    **out = (vmt_jframe){.parent = parent, .cap = cap};
    return cap > 0 ? VMT_JNEW(run, cap, &(*out)->slots) : VMT_OK;
}

vmt_status vmt_jframe_set(vmt_jrun *run, vmt_jframe *frame, uint32_t name_id, vmt_jval value) {
    for (uint32_t i = 0; i < frame->count; i++) {
        if (frame->slots[i].name_id != name_id) continue;
        frame->slots[i].value = value;
        return VMT_OK;
    }
    if (frame->count == frame->cap) {
        vmt_jslot *slots;
        uint32_t cap = frame->cap ? frame->cap * 2 : 4;
        VMT_TRY(VMT_JNEW(run, cap, &slots));
        if (frame->count > 0) memcpy(slots, frame->slots, frame->count * sizeof *slots);
        frame->slots = slots;
        frame->cap = cap;
    }
    frame->slots[frame->count++] = (vmt_jslot){name_id, value};
    return vmt_jrun_charge(run, frame->count / 32);
}

const vmt_jval *vmt_jframe_find(const vmt_jframe *frame, uint32_t name_id) {
    for (; frame != NULL; frame = frame->parent) {
        for (uint32_t i = 0; i < frame->count; i++) {
            if (frame->slots[i].name_id == name_id) return &frame->slots[i].value;
        }
    }
    return NULL;
}

static void capture(vmt_jframe *frame) {
    for (; frame != NULL && !frame->is_captured; frame = frame->parent) frame->is_captured = true;
}

static vmt_status assign_attr(vmt_jrun *run, const vmt_jnode *target, vmt_jval value) {
    const vmt_jval *space = vmt_jframe_find(run->frame, target->id);
    if (space == NULL) space = &run->globals[target->id];
    if (space->kind != VMT_JNAMESPACE) {
        return vmt_jinvalid(run, "cannot assign attribute on non-namespace object");
    }
    if (target->name.len > 0 && target->name.ptr[0] == '_') {
        return vmt_jinvalid(run, "a namespace can't have the attribute '%.*s'", VMT_STR_ARG(target->name));
    }
    return vmt_jdict_set(run, space->dict, vmt_jstr(target->name), value);
}

static vmt_status unpack(vmt_jrun *run, const vmt_jnode *target, vmt_jval value) {
    vmt_jiter it;
    vmt_jval item;
    bool got;
    VMT_TRY(vmt_jiter_init(run, &it, value));
    uint32_t n = 0;
    for (const vmt_jnode *kid = target->kids; kid != NULL; kid = kid->next, n++) {
        VMT_TRY(vmt_jiter_next(run, &it, &item, &got));
        if (!got) {
            return vmt_jinvalid(run, "not enough values to unpack (expected %u, got %u)", target->num_kids, n);
        }
        VMT_TRY(vmt_jassign(run, kid, item));
    }
    VMT_TRY(vmt_jiter_next(run, &it, &item, &got));
    if (got) return vmt_jinvalid(run, "too many values to unpack (expected %u)", target->num_kids);
    return VMT_OK;
}

vmt_status vmt_jassign(vmt_jrun *run, const vmt_jnode *target, vmt_jval value) {
    if (target->type == VMT_JN_NAME) return vmt_jframe_set(run, run->frame, target->id, value);
    if (target->type == VMT_JN_TUPLE) return unpack(run, target, value);
    return assign_attr(run, target, value);
}

/* A body in a scope of its own, its text into *out. */
static vmt_status render_scope(vmt_jrun *run, const vmt_jnode *body, const vmt_jnode *filters, vmt_jval *out) {
    vmt_jframe *outer = run->frame;
    VMT_TRY(vmt_jframe_new(run, outer, 0, &run->frame));
    size_t begin = vmt_jtext_begin(run);
    VMT_TRY(vmt_jexec(run, body));
    VMT_TRY(vmt_jtext_end_value(run, begin, out));
    if (filters != NULL) {
        vmt_jval saved = run->block_input;
        run->block_input = *out;
        VMT_TRY(vmt_jeval(run, filters, out));
        run->block_input = saved;
    }
    run->frame = outer;
    return VMT_OK;
}

static vmt_status exec_scope(vmt_jrun *run, const vmt_jnode *body) {
    vmt_jframe *outer = run->frame;
    VMT_TRY(vmt_jframe_new(run, outer, 0, &run->frame));
    VMT_TRY(vmt_jexec(run, body));
    run->frame = outer;
    return VMT_OK;
}

static vmt_status exec_for(vmt_jrun *run, const vmt_jnode *node) {
    vmt_jframe *outer = run->frame, *frame;
    vmt_jval over, item;
    vmt_jloop *loop;
    bool got, completed = false;
    VMT_TRY(vmt_jeval(run, node->b, &over));
    VMT_TRY(VMT_JNEW(run, 1, &loop));
    *loop = (vmt_jloop){.node = node, .index0 = -1, .length = -1};
    if (over.kind == VMT_JLOOP) return vmt_jrun_fail(run, VMT_E_UNSUPPORTED, "iterating a loop is not supported");
    VMT_TRY(vmt_jiter_init(run, &loop->it, over));
    if (node->c != NULL) VMT_TRY(vmt_jframe_new(run, outer, 4, &loop->test_frame));
    VMT_TRY(vmt_jframe_new(run, outer, 4, &frame));
    for (;;) {
        VMT_TRY(vmt_jloop_next(run, loop, &item, &got));
        if (!got) break;
        if (frame->is_captured) VMT_TRY(vmt_jframe_new(run, outer, 4, &frame));
        frame->count = 0;
        run->frame = frame;
        VMT_TRY(vmt_jframe_set(run, frame, VMT_JNAME_LOOP, (vmt_jval){.kind = VMT_JLOOP, .loop = loop}));
        VMT_TRY(vmt_jassign(run, node->a, item));
        VMT_TRY(vmt_jexec(run, node->kids));
        run->frame = outer;
        int flow = run->flow;
        run->flow = VMT_JFLOW_NEXT;
        if (flow == VMT_JFLOW_BREAK) break;
        /* jinja2 marks the loop as entered at the end of the body: `continue` skips that too. */
        if (flow == VMT_JFLOW_NEXT) completed = true;
    }
    if (completed || node->alt == NULL) return VMT_OK;
    return exec_scope(run, node->alt);
}

static vmt_status exec_if(vmt_jrun *run, const vmt_jnode *node) {
    for (;;) {
        vmt_jval test;
        VMT_TRY(vmt_jeval(run, node->a, &test));
        if (vmt_jtruthy(test)) return vmt_jexec(run, node->kids);
        if (node->alt == NULL) return VMT_OK;
        if (node->alt->type != VMT_JN_IF || node->alt->op != 1) return vmt_jexec(run, node->alt);
        node = node->alt;
    }
}

static vmt_status make_macro(vmt_jrun *run, const vmt_jnode *node, vmt_jval *out) {
    *out = (vmt_jval){.kind = VMT_JMACRO};
    VMT_TRY(VMT_JNEW(run, 1, &out->macro));
    *out->macro = (vmt_jmacro){node, run->frame};
    capture(run->frame);
    return VMT_OK;
}

static vmt_status exec_call_block(vmt_jrun *run, const vmt_jnode *node) {
    vmt_jkwarg caller = {.name = VMT_STR("caller")};
    vmt_jval result;
    VMT_TRY(make_macro(run, node, &caller.value));
    VMT_TRY(vmt_jeval_call_node(run, node->a, &caller, &result));
    return vmt_jwrite_str(run, result);
}

static vmt_status exec_with(vmt_jrun *run, const vmt_jnode *node) {
    vmt_jframe *outer = run->frame, *inner;
    VMT_TRY(vmt_jframe_new(run, outer, 4, &inner));
    for (const vmt_jnode *pair = node->alt; pair != NULL; pair = pair->next) {
        vmt_jval value;
        run->frame = outer;
        VMT_TRY(vmt_jeval(run, pair->b, &value));
        run->frame = inner;
        VMT_TRY(vmt_jassign(run, pair->a, value));
    }
    run->frame = inner;
    VMT_TRY(vmt_jexec(run, node->kids));
    run->frame = outer;
    return VMT_OK;
}

static vmt_status exec_one(vmt_jrun *run, const vmt_jnode *node) {
    vmt_jval value;
    switch (node->type) {
    case VMT_JN_DATA: vmt_buf_append(&run->out, node->value.s); return VMT_OK;
    case VMT_JN_PRINT: VMT_TRY(vmt_jeval(run, node->a, &value)); return vmt_jwrite_str(run, value);
    case VMT_JN_IF: return exec_if(run, node);
    case VMT_JN_FOR: return exec_for(run, node);
    case VMT_JN_SET: VMT_TRY(vmt_jeval(run, node->b, &value)); return vmt_jassign(run, node->a, value);
    case VMT_JN_SET_BLOCK:
        VMT_TRY(render_scope(run, node->kids, node->b, &value));
        return vmt_jassign(run, node->a, value);
    case VMT_JN_MACRO:
        VMT_TRY(make_macro(run, node, &value));
        return vmt_jframe_set(run, run->frame, node->id, value);
    case VMT_JN_CALL_BLOCK: return exec_call_block(run, node);
    case VMT_JN_FILTER_BLOCK:
        VMT_TRY(render_scope(run, node->kids, node->a, &value));
        return vmt_jwrite_str(run, value);
    case VMT_JN_WITH: return exec_with(run, node);
    case VMT_JN_SCOPE: return exec_scope(run, node->kids);
    case VMT_JN_BREAK: run->flow = VMT_JFLOW_BREAK; return VMT_OK;
    case VMT_JN_CONTINUE: run->flow = VMT_JFLOW_CONTINUE; return VMT_OK;
    default: return vmt_jrun_fail(run, VMT_E_INTERNAL, "node type %u is no statement", node->type);
    }
}

vmt_status vmt_jexec(vmt_jrun *run, const vmt_jnode *body) {
    if (++run->depth > VMT_JRUN_DEPTH_MAX) {
        return vmt_jrun_fail(run, VMT_E_EXHAUSTED, "evaluation is nested deeper than %u", VMT_JRUN_DEPTH_MAX);
    }
    for (const vmt_jnode *node = body; node != NULL && run->flow == VMT_JFLOW_NEXT; node = node->next) {
        vmt_status status = vmt_jrun_charge(run, 1);
        if (status == VMT_OK) status = exec_one(run, node);
        if (VMT_UNLIKELY(status == VMT_OK && run->out.failed)) {
            status = vmt_jrun_fail(run, VMT_E_EXHAUSTED, "the rendered text exceeds %u MiB",
                                   VMT_TEMPLATE_OUTPUT_MAX >> 20);
        }
        if (status == VMT_OK) continue;
        if (run->line == 0) run->line = node->line;
        return status;
    }
    run->depth--;
    return VMT_OK;
}

/* Where a keyword argument of a macro goes: its parameter, caller, or kwargs. */
static vmt_status bind_macro_kwarg(vmt_jrun *run, const vmt_jnode *node, const vmt_jcall *call, size_t i,
                                   vmt_jdict *kwargs) {
    const vmt_jkwarg *kwarg = &call->kwargs[i];
    uint32_t n = 0;
    bool has_caller_param = false;
    for (const vmt_jnode *param = node->alt; param != NULL; param = param->next, n++) {
        has_caller_param |= param->id == VMT_JNAME_CALLER;
        if (n < call->num_args || !vmt_str_eq(param->name, kwarg->name)) continue;
        return vmt_jframe_set(run, run->frame, param->id, kwarg->value);
    }
    if (vmt_str_eq_c(kwarg->name, "caller") && (node->op & VMT_JUSES_CALLER) && !has_caller_param) {
        return vmt_jframe_set(run, run->frame, VMT_JNAME_CALLER, kwarg->value);
    }
    if (kwargs != NULL) return vmt_jdict_set(run, kwargs, vmt_jstr(kwarg->name), kwarg->value);
    return vmt_jinvalid(run, "macro '%.*s' takes no keyword argument '%.*s'", VMT_STR_ARG(node->name),
                        (int)VMT_MIN(kwarg->name.len, 60), kwarg->name.ptr);
}

/* Parameters, caller, varargs and kwargs into the new frame. */
static vmt_status bind_macro(vmt_jrun *run, const vmt_jnode *node, vmt_jcall *call) {
    uint32_t num_params = 0;
    for (const vmt_jnode *param = node->alt; param != NULL; param = param->next, num_params++) {
        if (num_params >= call->num_args) continue;
        VMT_TRY(vmt_jframe_set(run, run->frame, param->id, call->args[num_params]));
    }
    if (call->num_args > num_params && !(node->op & VMT_JUSES_VARARGS)) {
        return vmt_jinvalid(run, "macro '%.*s' takes not more than %u argument(s)", VMT_STR_ARG(node->name),
                            num_params);
    }
    if (node->op & VMT_JUSES_CALLER) {
        vmt_jval none = vmt_jundef(VMT_JUNDEF_HINT, VMT_STR("No caller defined"));
        bool is_param = false;
        for (const vmt_jnode *param = node->alt; param != NULL; param = param->next) {
            is_param |= param->id == VMT_JNAME_CALLER;
        }
        if (!is_param) VMT_TRY(vmt_jframe_set(run, run->frame, VMT_JNAME_CALLER, none));
    }
    vmt_jdict *kwargs = NULL;
    if (node->op & VMT_JUSES_KWARGS) VMT_TRY(vmt_jdict_new(run, call->num_kwargs, &kwargs));
    for (size_t i = 0; i < call->num_kwargs; i++) VMT_TRY(bind_macro_kwarg(run, node, call, i, kwargs));
    if (kwargs != NULL) VMT_TRY(vmt_jframe_set(run, run->frame, VMT_JNAME_KWARGS, vmt_jof_dict(kwargs)));
    if (node->op & VMT_JUSES_VARARGS) {
        vmt_jlist *rest;
        VMT_TRY(vmt_jlist_new(run, call->num_args, &rest));
        for (size_t i = num_params; i < call->num_args; i++) VMT_TRY(vmt_jlist_push(run, rest, call->args[i]));
        VMT_TRY(vmt_jframe_set(run, run->frame, VMT_JNAME_VARARGS, vmt_jof_list(VMT_JTUPLE, rest)));
    }
    /* Defaults last, and in order: one may use the parameters before it. */
    for (const vmt_jnode *param = node->alt; param != NULL; param = param->next) {
        vmt_jframe only_own = *run->frame;
        only_own.parent = NULL;
        if (vmt_jframe_find(&only_own, param->id) != NULL) continue;
        vmt_jval value = vmt_jundef(VMT_JUNDEF_HINT, VMT_STR("a macro's parameter was not provided"));
        if (param->a != NULL) VMT_TRY(vmt_jeval(run, param->a, &value));
        VMT_TRY(vmt_jframe_set(run, run->frame, param->id, value));
    }
    return VMT_OK;
}

vmt_status vmt_jmacro_call(vmt_jrun *run, vmt_jmacro *macro, vmt_jcall *call, vmt_jval *out) {
    vmt_jframe *outer = run->frame;
    VMT_TRY(vmt_jframe_new(run, macro->frame, 4, &run->frame));
    VMT_TRY(bind_macro(run, macro->node, call));
    size_t begin = vmt_jtext_begin(run);
    VMT_TRY(vmt_jexec(run, macro->node->kids));
    VMT_TRY(vmt_jtext_end_value(run, begin, out));
    run->frame = outer;
    return VMT_OK;
}
