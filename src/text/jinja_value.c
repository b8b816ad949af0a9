/* text/jinja_value.c: truth, equality, order, and iteration of values. */
#include "text/jinja_run.h"
#include "text/jinja_unicode.h"

static const char *const type_names[] = {
    [VMT_JABSENT] = "missing",
    [VMT_JUNDEF] = "Undefined",
    [VMT_JNONE] = "NoneType",
    [VMT_JBOOL] = "bool",
    [VMT_JINT] = "int",
    [VMT_JUINT] = "int",
    [VMT_JFLOAT] = "float",
    [VMT_JSTR] = "str",
    [VMT_JLIST] = "list",
    [VMT_JTUPLE] = "tuple",
    [VMT_JDICT] = "dict",
    [VMT_JRANGE] = "range",
    [VMT_JVIEW] = "dict_items",
    [VMT_JGENERATOR] = "generator",
    [VMT_JNAMESPACE] = "Namespace",
    [VMT_JLOOP] = "LoopContext",
    [VMT_JMACRO] = "Macro",
    [VMT_JMETHOD] = "builtin_function_or_method",
    [VMT_JFUNCTION] = "function",
    [VMT_JCYCLER] = "Cycler",
    [VMT_JJOINER] = "Joiner",
};

const char *vmt_jtype_name(vmt_jval v) {
    if (v.kind == VMT_JVIEW && v.sub != VMT_JVIEW_ITEMS)
        return v.sub == VMT_JVIEW_KEYS ? "dict_keys" : "dict_values";
    return type_names[v.kind];
}

vmt_status vmt_jundef_fail(vmt_jrun *run, vmt_jval undef) {
    vmt_str s = undef.s;
    if (s.len > 120) s.len = vmt_utf8_complete_prefix((vmt_str){s.ptr, 120});
    switch (undef.sub) {
    case VMT_JUNDEF_NAME: return vmt_jinvalid(run, "'%.*s' is undefined", VMT_STR_ARG(s));
    case VMT_JUNDEF_ATTR: {
        vmt_jval object = {.kind = undef.aux};
        if (undef.aux == VMT_JNONE) return vmt_jinvalid(run, "'None' has no attribute '%.*s'", VMT_STR_ARG(s));
        return vmt_jinvalid(run, "'%s object' has no attribute '%.*s'", vmt_jtype_name(object), VMT_STR_ARG(s));
    }
    case VMT_JUNDEF_UNSAFE: return vmt_jinvalid(run, "access to attribute '%.*s' is unsafe", VMT_STR_ARG(s));
    default: return vmt_jinvalid(run, "%.*s", VMT_STR_ARG(s));
    }
}

bool vmt_jtruthy(vmt_jval v) {
    switch (v.kind) {
    case VMT_JABSENT:
    case VMT_JUNDEF:
    case VMT_JNONE: return false;
    case VMT_JBOOL: return v.b;
    case VMT_JINT: return v.i != 0;
    case VMT_JFLOAT: return v.f != 0;
    case VMT_JSTR: return v.s.len > 0;
    case VMT_JLIST:
    case VMT_JTUPLE:
    case VMT_JVIEW: return v.list->count > 0;
    case VMT_JDICT: return v.dict->count > 0;
    case VMT_JRANGE: return v.range->count > 0;
    default: return true;
    }
}

bool vmt_jget_int(vmt_jval v, int64_t *out) {
    if (v.kind == VMT_JINT)
        *out = v.i;
    else if (v.kind == VMT_JBOOL)
        *out = v.b;
    else
        return false;
    return true;
}

double vmt_jget_float(vmt_jval v) {
    switch (v.kind) {
    case VMT_JBOOL: return v.b;
    case VMT_JINT: return (double)v.i;
    case VMT_JUINT: return (double)v.u;
    case VMT_JFLOAT: return v.f;
    default: return 0;
    }
}

bool vmt_jsame(vmt_jval a, vmt_jval b) {
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case VMT_JNONE: return true;
    case VMT_JBOOL: return a.b == b.b;
    case VMT_JINT:
    case VMT_JUINT: return a.u == b.u;
    case VMT_JFLOAT: return a.f == b.f;
    case VMT_JUNDEF:
    case VMT_JSTR: return vmt_str_eq(a.s, b.s);
    default: return a.list == b.list;
    }
}

bool vmt_jhas_len(vmt_jval v) {
    switch (v.kind) {
    case VMT_JUNDEF:
    case VMT_JSTR:
    case VMT_JLIST:
    case VMT_JTUPLE:
    case VMT_JVIEW:
    case VMT_JDICT:
    case VMT_JRANGE:
    case VMT_JLOOP: return true;
    default: return false;
    }
}

vmt_status vmt_jlen(vmt_jrun *run, vmt_jval v, int64_t *out) {
    switch (v.kind) {
    case VMT_JUNDEF: *out = 0; return VMT_OK;
    case VMT_JSTR: *out = (int64_t)vmt_utf8_count(v.s); return vmt_jrun_charge(run, v.s.len / 64);
    case VMT_JLIST:
    case VMT_JTUPLE:
    case VMT_JVIEW: *out = (int64_t)v.list->count; return VMT_OK;
    case VMT_JDICT: *out = (int64_t)v.dict->count; return VMT_OK;
    case VMT_JRANGE: *out = v.range->count; return VMT_OK;
    case VMT_JLOOP: return vmt_jloop_length(run, v.loop, out);
    default: return vmt_jinvalid(run, "object of type '%s' has no len()", vmt_jtype_name(v));
    }
}

/* One more container inside the ones being compared. */
static vmt_status enter_value(vmt_jrun *run) {
    if (++run->value_depth <= VMT_JVALUE_DEPTH_MAX) return VMT_OK;
    return vmt_jrun_fail(run, VMT_E_EXHAUSTED, "values are nested deeper than %u", VMT_JVALUE_DEPTH_MAX);
}

static int compare_numbers(vmt_jval a, vmt_jval b) {
    if (a.kind == VMT_JFLOAT || b.kind == VMT_JFLOAT) {
        double x = vmt_jget_float(a), y = vmt_jget_float(b);
        return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2; /* 2: not comparable, a NaN */
    }
    if (a.kind == VMT_JUINT || b.kind == VMT_JUINT) {
        if (a.kind != b.kind) return a.kind == VMT_JUINT ? 1 : -1;
        return a.u < b.u ? -1 : a.u > b.u;
    }
    int64_t x = 0, y = 0;
    vmt_jget_int(a, &x);
    vmt_jget_int(b, &y);
    return x < y ? -1 : x > y;
}

static vmt_status equal_lists(vmt_jrun *run, const vmt_jlist *a, const vmt_jlist *b, bool *out) {
    *out = a->count == b->count;
    if (a == b) return VMT_OK;
    VMT_TRY(enter_value(run));
    for (size_t i = 0; *out && i < a->count; i++) VMT_TRY(vmt_jequal(run, a->items[i], b->items[i], out));
    run->value_depth--;
    return VMT_OK;
}

static vmt_status equal_dicts(vmt_jrun *run, const vmt_jdict *a, const vmt_jdict *b, bool *out) {
    *out = a->count == b->count;
    if (a == b) return VMT_OK;
    VMT_TRY(enter_value(run));
    for (size_t i = 0; *out && i < a->count; i++) {
        const vmt_jval *other;
        VMT_TRY(vmt_jdict_get(run, b, a->entries[i].key, &other));
        *out = other != NULL;
        if (*out) VMT_TRY(vmt_jequal(run, a->entries[i].value, *other, out));
    }
    run->value_depth--;
    return VMT_OK;
}

static bool equal_ranges(const vmt_jrange *a, const vmt_jrange *b) {
    if (a->count != b->count) return false;
    return a->count == 0 || (a->start == b->start && (a->count == 1 || a->step == b->step));
}

vmt_status vmt_jequal(vmt_jrun *run, vmt_jval a, vmt_jval b, bool *out) {
    VMT_TRY(vmt_jrun_charge(run, 1));
    *out = false;
    if (vmt_jis_number(a) && vmt_jis_number(b)) {
        *out = compare_numbers(a, b) == 0;
        return VMT_OK;
    }
    if (a.kind != b.kind) return VMT_OK;
    switch (a.kind) {
    case VMT_JNONE:
    case VMT_JUNDEF: *out = true; return VMT_OK;
    case VMT_JSTR: *out = vmt_str_eq(a.s, b.s); return vmt_jrun_charge(run, *out ? a.s.len / 256 : 0);
    case VMT_JLIST:
    case VMT_JTUPLE: return equal_lists(run, a.list, b.list, out);
    case VMT_JDICT: return equal_dicts(run, a.dict, b.dict, out);
    case VMT_JRANGE: *out = equal_ranges(a.range, b.range); return VMT_OK;
    default: *out = a.list == b.list; return VMT_OK;
    }
}

static vmt_status compare_lists(vmt_jrun *run, const vmt_jlist *a, const vmt_jlist *b, int *out) {
    VMT_TRY(enter_value(run));
    for (size_t i = 0; i < a->count && i < b->count; i++) {
        bool equal;
        VMT_TRY(vmt_jequal(run, a->items[i], b->items[i], &equal));
        if (equal) continue;
        VMT_TRY(vmt_jcompare(run, a->items[i], b->items[i], out));
        run->value_depth--;
        return VMT_OK;
    }
    run->value_depth--;
    *out = a->count < b->count ? -1 : a->count > b->count;
    return VMT_OK;
}

vmt_status vmt_jcompare(vmt_jrun *run, vmt_jval a, vmt_jval b, int *out) {
    VMT_TRY(vmt_jrun_charge(run, 1));
    if (a.kind == VMT_JUNDEF) return vmt_jundef_fail(run, a);
    if (b.kind == VMT_JUNDEF) return vmt_jundef_fail(run, b);
    if (vmt_jis_number(a) && vmt_jis_number(b)) {
        *out = compare_numbers(a, b);
        return VMT_OK;
    }
    if (a.kind == VMT_JSTR && b.kind == VMT_JSTR) {
        /* Bytes of UTF-8 order as code points do. */
        int order = vmt_str_compare(a.s, b.s);
        *out = order < 0 ? -1 : order > 0;
        return vmt_jrun_charge(run, VMT_MIN(a.s.len, b.s.len) / 256);
    }
    if (a.kind == b.kind && vmt_jis_seq(a)) return compare_lists(run, a.list, b.list, out);
    return vmt_jinvalid(run, "values of types '%s' and '%s' have no order", vmt_jtype_name(a), vmt_jtype_name(b));
}

vmt_status vmt_jcontains(vmt_jrun *run, vmt_jval container, vmt_jval item, bool *out) {
    *out = false;
    if (container.kind == VMT_JSTR) {
        if (item.kind == VMT_JUNDEF)
            return vmt_jinvalid(run, "'in <string>' requires string as left operand, not Undefined");
        if (item.kind != VMT_JSTR) {
            return vmt_jinvalid(run, "'in <string>' requires string as left operand, not %s",
                                vmt_jtype_name(item));
        }
        *out = vmt_str_find(container.s, item.s, 0) != SIZE_MAX;
        return vmt_jrun_charge(run, container.s.len / 64);
    }
    if (container.kind == VMT_JDICT) {
        if (item.kind == VMT_JLIST || item.kind == VMT_JDICT) {
            return vmt_jinvalid(run, "unhashable type: '%s'", vmt_jtype_name(item));
        }
        const vmt_jval *found;
        VMT_TRY(vmt_jdict_get(run, container.dict, item, &found));
        *out = found != NULL;
        return VMT_OK;
    }
    if (!vmt_jis_iterable(container)) {
        return vmt_jinvalid(run, "argument of type '%s' is not iterable", vmt_jtype_name(container));
    }
    vmt_jiter it;
    VMT_TRY(vmt_jiter_init(run, &it, container));
    for (;;) {
        vmt_jval next;
        bool got;
        VMT_TRY(vmt_jiter_next(run, &it, &next, &got));
        if (!got) return VMT_OK;
        VMT_TRY(vmt_jequal(run, next, item, out));
        if (*out) return VMT_OK;
    }
}

bool vmt_jis_iterable(vmt_jval v) {
    switch (v.kind) {
    case VMT_JUNDEF:
    case VMT_JSTR:
    case VMT_JLIST:
    case VMT_JTUPLE:
    case VMT_JVIEW:
    case VMT_JGENERATOR:
    case VMT_JDICT:
    case VMT_JRANGE: return true;
    default: return false;
    }
}

vmt_status vmt_jiter_init(vmt_jrun *run, vmt_jiter *it, vmt_jval over) {
    *it = (vmt_jiter){.over = over};
    if (vmt_jis_iterable(over)) return VMT_OK;
    return vmt_jinvalid(run, "'%s' object is not iterable", vmt_jtype_name(over));
}

vmt_status vmt_jiter_next(vmt_jrun *run, vmt_jiter *it, vmt_jval *item, bool *got) {
    const vmt_jval *over = &it->over;
    VMT_TRY(vmt_jrun_charge(run, 1));
    *got = false;
    switch (over->kind) {
    case VMT_JSTR:
        *got = it->pos < over->s.len;
        if (*got) {
            size_t begin = it->pos;
            vmt_utf8_next(over->s, &it->pos);
            *item = vmt_jstr(vmt_str_slice(over->s, begin, it->pos));
        }
        return VMT_OK;
    case VMT_JGENERATOR:
        *got = over->list->pos < over->list->count;
        if (*got) *item = over->list->items[over->list->pos++];
        return VMT_OK;
    case VMT_JLIST:
    case VMT_JTUPLE:
    case VMT_JVIEW:
        *got = it->pos < over->list->count;
        if (*got) *item = over->list->items[it->pos++];
        return VMT_OK;
    case VMT_JDICT:
        *got = it->pos < over->dict->count;
        if (*got) *item = over->dict->entries[it->pos++].key;
        return VMT_OK;
    case VMT_JRANGE:
        *got = (int64_t)it->pos < over->range->count;
        if (*got) *item = vmt_jint(over->range->start + (int64_t)it->pos++ * over->range->step);
        return VMT_OK;
    default: return VMT_OK; /* undefined: empty */
    }
}
