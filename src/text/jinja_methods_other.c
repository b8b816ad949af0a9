/* text/jinja_methods_other.c: methods of dict, list, tuple, range, float, loop and cycler. */
#include "text/jinja_run.h"

#include <math.h>

#define DICT   VMT_JKIND_BIT(VMT_JDICT)
#define SEQ    (VMT_JKIND_BIT(VMT_JLIST) | VMT_JKIND_BIT(VMT_JTUPLE))
#define RANGE  VMT_JKIND_BIT(VMT_JRANGE)
#define LOOP   VMT_JKIND_BIT(VMT_JLOOP)
#define CYCLER VMT_JKIND_BIT(VMT_JCYCLER)

static vmt_status make_view(vmt_jrun *run, vmt_jcall *call, enum vmt_jview which, vmt_jval *out) {
    const vmt_jdict *dict = call->self.dict;
    *out = (vmt_jval){.kind = VMT_JVIEW, .sub = (uint8_t)which};
    VMT_TRY(vmt_jlist_new(run, dict->count, &out->list));
    VMT_TRY(vmt_jrun_charge(run, dict->count));
    for (size_t i = 0; i < dict->count; i++) {
        vmt_jval item = which == VMT_JVIEW_KEYS ? dict->entries[i].key : dict->entries[i].value;
        if (which == VMT_JVIEW_ITEMS) VMT_TRY(vmt_jpair(run, dict->entries[i].key, item, &item));
        out->list->items[out->list->count++] = item;
    }
    return VMT_OK;
}

static vmt_status dict_items(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return make_view(run, call, VMT_JVIEW_ITEMS, out);
}

static vmt_status dict_keys(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return make_view(run, call, VMT_JVIEW_KEYS, out);
}

static vmt_status dict_values(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return make_view(run, call, VMT_JVIEW_VALUES, out);
}

static vmt_status dict_get(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    const vmt_jval *found;
    vmt_jval key = call->param[0];
    if (key.kind == VMT_JLIST || key.kind == VMT_JDICT) {
        return vmt_jinvalid(run, "unhashable type: '%s'", vmt_jtype_name(key));
    }
    VMT_TRY(vmt_jdict_get(run, call->self.dict, key, &found));
    if (found != NULL)
        *out = *found;
    else
        *out = call->param[1].kind == VMT_JABSENT ? vmt_jnone() : call->param[1];
    return VMT_OK;
}

/* Values never change, so a copy can be the thing itself. */
static vmt_status same(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    *out = call->self;
    return VMT_OK;
}

static vmt_status seq_count(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_jiter it;
    *out = vmt_jint(0);
    VMT_TRY(vmt_jiter_init(run, &it, call->self));
    for (;;) {
        vmt_jval item;
        bool got, equal;
        VMT_TRY(vmt_jiter_next(run, &it, &item, &got));
        if (!got) return VMT_OK;
        VMT_TRY(vmt_jequal(run, item, call->param[0], &equal));
        out->i += equal;
    }
}

static vmt_status seq_index(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    int64_t start, stop, count;
    VMT_TRY(vmt_jlen(run, call->self, &count));
    VMT_TRY(vmt_jparam_int(run, call, 1, 0, &start));
    VMT_TRY(vmt_jparam_int(run, call, 2, count, &stop));
    if (start < 0) start = VMT_MAX(start + count, 0);
    if (stop < 0) stop = VMT_MAX(stop + count, 0);
    for (int64_t i = start; i < stop && i < count; i++) {
        vmt_jval item;
        bool equal;
        VMT_TRY(vmt_jgetitem(run, call->self, vmt_jint(i), &item));
        VMT_TRY(vmt_jequal(run, item, call->param[0], &equal));
        if (!equal) continue;
        *out = vmt_jint(i);
        return VMT_OK;
    }
    return vmt_jinvalid(run, "the value is not in the %s", vmt_jtype_name(call->self));
}

static vmt_status float_is_integer(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    *out = vmt_jbool(isfinite(call->self.f) && floor(call->self.f) == call->self.f);
    return VMT_OK;
}

static vmt_status loop_cycle(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    if (call->num_args == 0) return vmt_jinvalid(run, "no items for cycling given");
    *out = call->args[(size_t)call->self.loop->index0 % call->num_args];
    return VMT_OK;
}

static vmt_status loop_changed(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_jlist *seen;
    bool equal = false;
    vmt_jloop *loop = call->self.loop;
    VMT_TRY(vmt_jlist_new(run, call->num_args, &seen));
    for (size_t i = 0; i < call->num_args; i++) VMT_TRY(vmt_jlist_push(run, seen, call->args[i]));
    vmt_jval now = vmt_jof_list(VMT_JTUPLE, seen);
    if (loop->changed.kind != VMT_JABSENT) VMT_TRY(vmt_jequal(run, loop->changed, now, &equal));
    loop->changed = now;
    *out = vmt_jbool(!equal);
    return VMT_OK;
}

static vmt_status cycler_next(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_jcycler *cycler = call->self.cycler;
    *out = cycler->items->items[cycler->pos];
    cycler->pos = (cycler->pos + 1) % cycler->items->count;
    return VMT_OK;
}

static vmt_status cycler_reset(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    call->self.cycler->pos = 0;
    *out = vmt_jnone();
    return VMT_OK;
}

const vmt_jbuiltin vmt_jmethods_other[] = {
    {"items", dict_items, "", 0, DICT},
    {"keys", dict_keys, "", 0, DICT},
    {"values", dict_values, "", 0, DICT},
    {"get", dict_get, "key default", 1, DICT},
    {"copy", same, "", 0, DICT | VMT_JKIND_BIT(VMT_JLIST)},
    {"count", seq_count, "value", 1, SEQ | RANGE},
    {"index", seq_index, "value start stop", 1, SEQ | RANGE},
    {"is_integer", float_is_integer, "", 0, VMT_JKIND_BIT(VMT_JFLOAT)},
    {"cycle", loop_cycle, NULL, 0, LOOP},
    {"changed", loop_changed, NULL, 0, LOOP},
    {"next", cycler_next, "", 0, CYCLER},
    {"reset", cycler_reset, "", 0, CYCLER},
    {0},
};
