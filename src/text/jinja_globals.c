/* text/jinja_globals.c: the functions every template can call. */
#include "text/jinja_run.h"

#include <time.h>

#define RANGE_COUNT_MAX 100000 /* as jinja2's sandbox has it */

static vmt_status call_range(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    int64_t bounds[3] = {0, 0, 1};
    if (call->num_kwargs > 0) return vmt_jinvalid(run, "range() takes no keyword arguments");
    if (call->num_args < 1 || call->num_args > 3) {
        return vmt_jinvalid(run, "range expected 1 to 3 arguments, got %zu", call->num_args);
    }
    for (size_t i = 0; i < call->num_args; i++) {
        vmt_jval v = call->args[i];
        if (v.kind == VMT_JUNDEF) return vmt_jundef_fail(run, v);
        if (!vmt_jget_int(v, &bounds[call->num_args == 1 ? 1 : i])) {
            return vmt_jinvalid(run, "'%s' object cannot be interpreted as an integer", vmt_jtype_name(v));
        }
    }
    int64_t start = bounds[0], stop = bounds[1], step = bounds[2];
    if (step == 0) return vmt_jinvalid(run, "range() arg 3 must not be zero");
    uint64_t span = step > 0 ? (uint64_t)stop - (uint64_t)start : (uint64_t)start - (uint64_t)stop;
    uint64_t stride = step > 0 ? (uint64_t)step : -(uint64_t)step;
    bool is_empty = step > 0 ? start >= stop : start <= stop;
    uint64_t count = is_empty ? 0 : (span - 1) / stride + 1;
    if (count > RANGE_COUNT_MAX) {
        return vmt_jrun_fail(run, VMT_E_EXHAUSTED, "range of %llu items, the limit is %d",
                             (unsigned long long)count, RANGE_COUNT_MAX);
    }
    *out = (vmt_jval){.kind = VMT_JRANGE};
    VMT_TRY(VMT_JNEW(run, 1, &out->range));
    *out->range = (vmt_jrange){start, stop, step, (int64_t)count};
    return VMT_OK;
}

/* dict(mapping or pairs, **kwargs) */
static vmt_status make_dict(vmt_jrun *run, vmt_jcall *call, vmt_jdict **out) {
    VMT_TRY(vmt_jdict_new(run, call->num_kwargs, out));
    if (call->num_args > 1) return vmt_jinvalid(run, "dict expected at most 1 argument, got %zu", call->num_args);
    if (call->num_args == 1 && call->args[0].kind == VMT_JDICT) {
        const vmt_jdict *from = call->args[0].dict;
        for (size_t i = 0; i < from->count; i++) {
            VMT_TRY(vmt_jdict_set(run, *out, from->entries[i].key, from->entries[i].value));
        }
    } else if (call->num_args == 1) {
        vmt_jlist *pairs, *pair;
        VMT_TRY(vmt_jlist_from(run, call->args[0], &pairs));
        for (size_t i = 0; i < pairs->count; i++) {
            VMT_TRY(vmt_jlist_from(run, pairs->items[i], &pair));
            if (pair->count != 2)
                return vmt_jinvalid(run, "dictionary update sequence element #%zu has length %zu; 2 is required",
                                    i, pair->count);
            VMT_TRY(vmt_jdict_set(run, *out, pair->items[0], pair->items[1]));
        }
    }
    for (size_t i = 0; i < call->num_kwargs; i++) {
        VMT_TRY(vmt_jdict_set(run, *out, vmt_jstr(call->kwargs[i].name), call->kwargs[i].value));
    }
    return VMT_OK;
}

static vmt_status call_dict(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    *out = (vmt_jval){.kind = VMT_JDICT};
    return make_dict(run, call, &out->dict);
}

static vmt_status call_namespace(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    *out = (vmt_jval){.kind = VMT_JNAMESPACE};
    VMT_TRY(make_dict(run, call, &out->dict));
    for (size_t i = 0; i < out->dict->count; i++) {
        vmt_jval key = out->dict->entries[i].key;
        if (key.kind != VMT_JSTR || key.s.len == 0 || key.s.ptr[0] != '_') continue;
        return vmt_jinvalid(run, "a namespace can't have the attribute '%.*s'", (int)VMT_MIN(key.s.len, 60),
                            key.s.ptr);
    }
    return VMT_OK;
}

static vmt_status make_cycler(vmt_jrun *run, vmt_jkind kind, const vmt_jval *items, size_t count, vmt_jval *out) {
    *out = (vmt_jval){.kind = (uint8_t)kind};
    VMT_TRY(VMT_JNEW(run, 1, &out->cycler));
    *out->cycler = (vmt_jcycler){0};
    VMT_TRY(vmt_jlist_new(run, count, &out->cycler->items));
    for (size_t i = 0; i < count; i++) VMT_TRY(vmt_jlist_push(run, out->cycler->items, items[i]));
    return VMT_OK;
}

static vmt_status call_cycler(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    if (call->num_kwargs > 0) return vmt_jinvalid(run, "cycler() takes no keyword arguments");
    if (call->num_args == 0) return vmt_jinvalid(run, "at least one item has to be provided");
    return make_cycler(run, VMT_JCYCLER, call->args, call->num_args, out);
}

static vmt_status call_joiner(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_jval separator = call->param[0].kind == VMT_JABSENT ? vmt_jstr(VMT_STR(", ")) : call->param[0];
    return make_cycler(run, VMT_JJOINER, &separator, 1, out);
}

static vmt_status call_raise_exception(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_str text;
    VMT_TRY(vmt_jto_str(run, call->param[0], &text));
    text.len = vmt_utf8_complete_prefix((vmt_str){text.ptr, VMT_MIN(text.len, VMT_ERR_MESSAGE_MAX - 1)});
    run->is_raised = run->code == VMT_OK;
    return vmt_jinvalid(run, "%.*s", VMT_STR_ARG(text));
}

/* datetime.now().strftime(format): a naive time, so %z and %Z are empty, and whole seconds. */
static vmt_status call_strftime_now(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_str format;
    VMT_TRY(vmt_jparam_str(run, call, 0, VMT_STR(""), &format));
    time_t now = (time_t)run->now_unix_s;
    struct tm local;
    if (localtime_r(&now, &local) == NULL) return vmt_jinvalid(run, "strftime_now: the time is out of range");
    size_t begin = vmt_jtext_begin(run);
    for (size_t i = 0; i < format.len; i++) {
        if (format.ptr[i] != '%' || i + 1 == format.len) {
            vmt_buf_append_byte(&run->out, format.ptr[i]);
            continue;
        }
        char directive[4] = {'%', format.ptr[++i], 0, 0}, text[128];
        if (directive[1] == '-' && i + 1 < format.len)
            directive[2] = format.ptr[++i]; /* glibc and macOS: no padding */
        if (directive[1] == 'f')
            vmt_buf_append_c(&run->out, "000000");
        else if (directive[1] == '%')
            vmt_buf_append_byte(&run->out, '%');
        else if (directive[1] != 'z' && directive[1] != 'Z') {
            vmt_buf_append(&run->out, (vmt_str){text, strftime(text, sizeof text, directive, &local)});
        }
    }
    return vmt_jtext_end_value(run, begin, out);
}

static const vmt_jbuiltin globals[] = {
    {"range", call_range, NULL, 0, 0},
    {"dict", call_dict, NULL, 0, 0},
    {"namespace", call_namespace, NULL, 0, 0},
    {"cycler", call_cycler, NULL, 0, 0},
    {"joiner", call_joiner, "sep", 0, 0},
    {"raise_exception", call_raise_exception, "message", 1, 0},
    {"strftime_now", call_strftime_now, "format", 1, 0},
};

const vmt_jbuiltin *vmt_jglobal_find(vmt_str name) {
    for (size_t i = 0; i < VMT_COUNT(globals); i++) {
        if (vmt_str_eq_c(name, globals[i].name)) return &globals[i];
    }
    return NULL;
}
