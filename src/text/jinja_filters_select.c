/* text/jinja_filters_select.c: map, select, reject, selectattr, rejectattr.  They are lazy in jinja2; here the work is
 * done at once, and the result is a generator: true, without length, to be walked once. */
#include "text/jinja_run.h"

/* The next part of "a.b.0"; digits are an index. */
static vmt_jval path_part(vmt_str *rest) {
    size_t dot = vmt_str_find(*rest, VMT_STR("."), 0);
    vmt_str part = dot == SIZE_MAX ? *rest : vmt_str_slice(*rest, 0, dot);
    *rest = dot == SIZE_MAX ? VMT_STR("") : vmt_str_slice(*rest, dot + 1, rest->len);
    int64_t index;
    bool is_number = part.len > 0 && part.ptr[0] >= '0' && part.ptr[0] <= '9' && vmt_str_to_i64(part, &index);
    return is_number ? vmt_jint(index) : vmt_jstr(part);
}

vmt_status vmt_jattr_path(vmt_jrun *run, vmt_jval item, vmt_jval path, vmt_jval fallback, vmt_jval *out) {
    *out = item;
    if (path.kind == VMT_JABSENT || path.kind == VMT_JNONE) return VMT_OK;
    vmt_str rest = path.kind == VMT_JSTR ? path.s : VMT_STR("");
    for (bool more = true; more;) {
        vmt_jval key = path;
        more = false;
        if (path.kind == VMT_JSTR) {
            more = vmt_str_find(rest, VMT_STR("."), 0) != SIZE_MAX;
            key = path_part(&rest);
        }
        VMT_TRY(vmt_jgetitem(run, *out, key, out));
        bool has_fallback = fallback.kind != VMT_JABSENT && fallback.kind != VMT_JNONE;
        if (out->kind == VMT_JUNDEF && has_fallback) *out = fallback;
    }
    return VMT_OK;
}

static vmt_status map_attribute(vmt_jrun *run, vmt_jcall *call, vmt_jlist *items) {
    vmt_jval path = {.kind = VMT_JABSENT}, fallback = {.kind = VMT_JABSENT};
    for (size_t i = 0; i < call->num_kwargs; i++) {
        vmt_str name = call->kwargs[i].name;
        if (vmt_str_eq_c(name, "attribute"))
            path = call->kwargs[i].value;
        else if (vmt_str_eq_c(name, "default"))
            fallback = call->kwargs[i].value;
        else
            return vmt_jinvalid(run, "Unexpected keyword argument '%.*s'", VMT_STR_ARG(name));
    }
    if (path.kind == VMT_JABSENT) return vmt_jinvalid(run, "map requires a filter argument");
    for (size_t i = 0; i < items->count; i++) {
        VMT_TRY(vmt_jattr_path(run, items->items[i], path, fallback, &items->items[i]));
    }
    return VMT_OK;
}

static vmt_status filter_map(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_jlist *items;
    *out = (vmt_jval){.kind = VMT_JGENERATOR};
    if (!vmt_jtruthy(call->self)) return vmt_jlist_new(run, 0, &out->list);
    VMT_TRY(vmt_jlist_from(run, call->self, &items));
    out->list = items;
    if (call->num_args == 0) return map_attribute(run, call, items);
    vmt_jval name = call->args[0];
    const vmt_jbuiltin *row = name.kind == VMT_JSTR ? vmt_jfilter_find(name.s) : NULL;
    if (row == NULL) {
        return vmt_jrun_fail(run, VMT_E_UNSUPPORTED, "unknown filter '%.*s' in map",
                             VMT_STR_ARG(name.kind == VMT_JSTR ? name.s : VMT_STR("?")));
    }
    for (size_t i = 0; i < items->count; i++) {
        vmt_jcall one = {.self = items->items[i],
                         .args = call->args + 1,
                         .num_args = call->num_args - 1,
                         .kwargs = call->kwargs,
                         .num_kwargs = call->num_kwargs};
        VMT_TRY(vmt_jbuiltin_call(run, row, &one, &items->items[i]));
    }
    return VMT_OK;
}

/* How select and its kin decide: on the item or one of its attributes, by a test or by truth. */
static vmt_status choose(vmt_jrun *run, vmt_jcall *call, bool by_attr, bool keeps, vmt_jval *out) {
    vmt_jlist *items, *kept;
    vmt_jval none = {.kind = VMT_JABSENT};
    *out = (vmt_jval){.kind = VMT_JGENERATOR};
    VMT_TRY(vmt_jlist_new(run, 0, &kept));
    out->list = kept;
    if (!vmt_jtruthy(call->self)) return VMT_OK;
    size_t skip = by_attr;
    if (call->num_args < skip) return vmt_jinvalid(run, "Missing parameter for attribute name");
    const vmt_jbuiltin *row = NULL;
    if (call->num_args > skip) {
        vmt_jval name = call->args[skip];
        row = name.kind == VMT_JSTR ? vmt_jtest_find(name.s) : NULL;
        if (row == NULL) {
            return vmt_jrun_fail(run, VMT_E_UNSUPPORTED, "unknown test '%.*s'",
                                 VMT_STR_ARG(name.kind == VMT_JSTR ? name.s : VMT_STR("?")));
        }
        skip++;
    }
    VMT_TRY(vmt_jlist_from(run, call->self, &items));
    for (size_t i = 0; i < items->count; i++) {
        vmt_jval value, verdict;
        VMT_TRY(vmt_jattr_path(run, items->items[i], by_attr ? call->args[0] : none, none, &value));
        verdict = value;
        if (row != NULL) {
            vmt_jcall one = {.self = value,
                             .args = call->args + skip,
                             .num_args = call->num_args - skip,
                             .kwargs = call->kwargs,
                             .num_kwargs = call->num_kwargs};
            VMT_TRY(vmt_jbuiltin_call(run, row, &one, &verdict));
        }
        if (vmt_jtruthy(verdict) == keeps) VMT_TRY(vmt_jlist_push(run, kept, items->items[i]));
    }
    return VMT_OK;
}

static vmt_status filter_select(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return choose(run, call, false, true, out);
}

static vmt_status filter_reject(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return choose(run, call, false, false, out);
}

static vmt_status filter_selectattr(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return choose(run, call, true, true, out);
}

static vmt_status filter_rejectattr(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return choose(run, call, true, false, out);
}

const vmt_jbuiltin vmt_jfilters_select[] = {
    {"map", filter_map, NULL, 0, 0},
    {"reject", filter_reject, NULL, 0, 0},
    {"rejectattr", filter_rejectattr, NULL, 0, 0},
    {"select", filter_select, NULL, 0, 0},
    {"selectattr", filter_selectattr, NULL, 0, 0},
    {0},
};
