/* text/jinja_run.c: budgets, text under construction, and the binding of arguments to built-in functions. */
#include "text/jinja_run.h"

#include <stdio.h>

vmt_status vmt_jrun_fail(vmt_jrun *run, vmt_status code, const char *fmt, ...) {
    if (run->code != VMT_OK) return run->code;
    run->code = code;
    va_list args;
    va_start(args, fmt);
    vsnprintf(run->msg, sizeof run->msg, fmt, args);
    va_end(args);
    return code;
}

vmt_status vmt_jrun_charge(vmt_jrun *run, uint64_t steps) {
    if (VMT_LIKELY(steps <= run->steps_left)) {
        run->steps_left -= steps;
        return VMT_OK;
    }
    run->steps_left = 0;
    return vmt_jrun_fail(run, VMT_E_EXHAUSTED, "rendering takes more than %u steps", VMT_TEMPLATE_STEPS_MAX);
}

static vmt_status out_of_memory(vmt_jrun *run) {
    return vmt_jrun_fail(run, VMT_E_EXHAUSTED, "rendering takes more than %u MiB of memory",
                         VMT_TEMPLATE_OUTPUT_MAX >> 20);
}

vmt_status vmt_jrun_alloc(vmt_jrun *run, size_t bytes, void **out) {
    /* No count * size of a caller can have wrapped around below this. */
    *out = bytes <= VMT_TEMPLATE_OUTPUT_MAX ? vmt_arena_alloc(run->arena, bytes) : NULL;
    return VMT_LIKELY(*out != NULL) ? VMT_OK : out_of_memory(run);
}

vmt_status vmt_jtext_end(vmt_jrun *run, size_t begin, vmt_str *out) {
    if (run->out.failed) return out_of_memory(run);
    size_t len = run->out.len - begin;
    char *text;
    VMT_TRY(VMT_JNEW(run, len, &text));
    if (len > 0) memcpy(text, run->out.ptr + begin, len);
    run->out.len = begin;
    *out = (vmt_str){text, len};
    return VMT_OK;
}

vmt_status vmt_jtext_end_value(vmt_jrun *run, size_t begin, vmt_jval *out) {
    vmt_str text;
    VMT_TRY(vmt_jtext_end(run, begin, &text));
    *out = vmt_jstr(text);
    return VMT_OK;
}

vmt_status vmt_jtext_repeat(vmt_jrun *run, vmt_str s, int64_t n) {
    if (n <= 0 || s.len == 0) return VMT_OK;
    if ((uint64_t)n > VMT_TEMPLATE_OUTPUT_MAX / s.len) return out_of_memory(run);
    VMT_TRY(vmt_jrun_charge(run, (uint64_t)n));
    if (!vmt_buf_reserve(&run->out, s.len * (size_t)n)) return out_of_memory(run);
    for (int64_t i = 0; i < n; i++) vmt_buf_append(&run->out, s);
    return VMT_OK;
}

vmt_status vmt_jconcat(vmt_jrun *run, vmt_str a, vmt_str b, vmt_str *out) {
    if (b.len == 0 || a.len == 0) {
        *out = b.len == 0 ? a : b;
        return VMT_OK;
    }
    VMT_TRY(vmt_jrun_charge(run, b.len / 256));
    if (a.ptr + a.len == run->tail_end && b.len <= run->tail_room) {
        memcpy(run->tail_end, b.ptr, b.len);
    } else {
        /* Room to grow: text is often built piece by piece in a loop. */
        size_t len = a.len + b.len, room = len < 256 ? len : len * 2;
        char *text;
        VMT_TRY(vmt_jrun_charge(run, a.len / 256));
        VMT_TRY(VMT_JNEW(run, len + room, &text));
        memcpy(text, a.ptr, a.len);
        memcpy(text + a.len, b.ptr, b.len);
        a.ptr = text;
        run->tail_end = text + a.len;
        run->tail_room = b.len + room;
    }
    run->tail_end += b.len;
    run->tail_room -= b.len;
    *out = (vmt_str){a.ptr, a.len + b.len};
    return VMT_OK;
}

/* The i-th word of "width first blank"; empty past the end. */
static vmt_str param_name(const char *params, uint32_t i) {
    for (;;) {
        size_t len = strcspn(params, " ");
        if (i == 0 || len == 0) return (vmt_str){params, len};
        params += len + (params[len] == ' ');
        i--;
    }
}

static vmt_status bind_kwarg(vmt_jrun *run, const vmt_jbuiltin *row, vmt_jcall *call, const vmt_jkwarg *kwarg) {
    for (uint32_t i = 0; i < VMT_JPARAMS_MAX; i++) {
        vmt_str name = param_name(row->params, i);
        if (name.len == 0) break;
        if (!vmt_str_eq(name, kwarg->name)) continue;
        if (call->param[i].kind != VMT_JABSENT) {
            return vmt_jinvalid(run, "%s() got multiple values for argument '%.*s'", row->name, VMT_STR_ARG(name));
        }
        call->param[i] = kwarg->value;
        return VMT_OK;
    }
    return vmt_jinvalid(run, "%s() got an unexpected keyword argument '%.*s'", row->name,
                        (int)VMT_MIN(kwarg->name.len, 60), kwarg->name.ptr);
}

vmt_status vmt_jbuiltin_call(vmt_jrun *run, const vmt_jbuiltin *row, vmt_jcall *call, vmt_jval *out) {
    VMT_TRY(vmt_jrun_charge(run, 1));
    for (uint32_t i = 0; i < VMT_JPARAMS_MAX; i++) call->param[i] = (vmt_jval){.kind = VMT_JABSENT};
    if (row->params == NULL) return row->run(run, call, out);
    for (uint32_t i = 0; i < call->num_args; i++) {
        if (i >= VMT_JPARAMS_MAX || param_name(row->params, i).len == 0) {
            return vmt_jinvalid(run, "%s() takes at most %u arguments, %zu given", row->name, i, call->num_args);
        }
        call->param[i] = call->args[i];
    }
    for (size_t i = 0; i < call->num_kwargs; i++) VMT_TRY(bind_kwarg(run, row, call, &call->kwargs[i]));
    for (uint32_t i = 0; i < row->required; i++) {
        if (call->param[i].kind != VMT_JABSENT) continue;
        return vmt_jinvalid(run, "%s() is missing the argument '%.*s'", row->name,
                            VMT_STR_ARG(param_name(row->params, i)));
    }
    return row->run(run, call, out);
}

vmt_status vmt_jcall_value(vmt_jrun *run, vmt_jval callee, vmt_jcall *call, vmt_jval *out) {
    switch (callee.kind) {
    case VMT_JUNDEF: return vmt_jundef_fail(run, callee);
    case VMT_JFUNCTION: return vmt_jbuiltin_call(run, callee.builtin, call, out);
    case VMT_JMETHOD:
        call->self = callee.method->self;
        return vmt_jbuiltin_call(run, callee.method->builtin, call, out);
    case VMT_JMACRO: return vmt_jmacro_call(run, callee.macro, call, out);
    case VMT_JJOINER:
        if (call->num_args + call->num_kwargs > 0) return vmt_jinvalid(run, "a joiner takes no arguments");
        *out = callee.cycler->pos++ == 0 ? vmt_jstr(VMT_STR("")) : callee.cycler->items->items[0];
        return VMT_OK;
    default: return vmt_jinvalid(run, "'%s' object is not callable", vmt_jtype_name(callee));
    }
}

vmt_status vmt_jparam_int(vmt_jrun *run, const vmt_jcall *call, uint32_t i, int64_t fallback, int64_t *out) {
    vmt_jval v = call->param[i];
    *out = fallback;
    if (v.kind == VMT_JABSENT || v.kind == VMT_JNONE) return VMT_OK;
    if (v.kind == VMT_JUNDEF) return vmt_jundef_fail(run, v);
    if (vmt_jget_int(v, out)) return VMT_OK;
    return vmt_jinvalid(run, "'%s' object cannot be interpreted as an integer", vmt_jtype_name(v));
}

bool vmt_jparam_true(const vmt_jcall *call, uint32_t i) {
    return vmt_jtruthy(call->param[i]);
}

vmt_status vmt_jparam_str(vmt_jrun *run, const vmt_jcall *call, uint32_t i, vmt_str fallback, vmt_str *out) {
    vmt_jval v = call->param[i];
    *out = v.kind == VMT_JSTR ? v.s : fallback;
    if (v.kind == VMT_JABSENT || v.kind == VMT_JSTR) return VMT_OK;
    if (v.kind == VMT_JUNDEF) return vmt_jundef_fail(run, v);
    return vmt_jinvalid(run, "argument must be str, not %s", vmt_jtype_name(v));
}
