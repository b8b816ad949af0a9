/* text/jinja_access.c: attributes, items and slices, as jinja2's sandbox looks them up. */
#include "text/jinja_run.h"
#include "text/jinja_unicode.h"

/* Methods that change their object; the immutable sandbox hides them. */
static bool is_mutating(vmt_jval object, vmt_str name) {
    static const char *const of_dict[] = {"clear", "pop", "popitem", "setdefault", "update", NULL};
    static const char *const of_list[] = {"append", "clear",  "pop",    "reverse", "insert",
                                          "sort",   "extend", "remove", NULL};
    const char *const *names = object.kind == VMT_JDICT ? of_dict : object.kind == VMT_JLIST ? of_list : NULL;
    for (; names != NULL && *names != NULL; names++) {
        if (vmt_str_eq_c(name, *names)) return true;
    }
    return false;
}

static vmt_status range_attr(const vmt_jrange *range, vmt_str name, vmt_jval *out, bool *found) {
    *found = true;
    if (vmt_str_eq_c(name, "start"))
        *out = vmt_jint(range->start);
    else if (vmt_str_eq_c(name, "stop"))
        *out = vmt_jint(range->stop);
    else if (vmt_str_eq_c(name, "step"))
        *out = vmt_jint(range->step);
    else
        *found = false;
    return VMT_OK;
}

/* What Python's getattr() finds. */
static vmt_status attribute_of(vmt_jrun *run, vmt_jval object, vmt_str name, vmt_jval *out, bool *found) {
    *found = false;
    if (object.kind == VMT_JNAMESPACE) {
        const vmt_jval *value;
        VMT_TRY(vmt_jdict_get(run, object.dict, vmt_jstr(name), &value));
        *found = value != NULL;
        if (*found) *out = *value;
        return VMT_OK;
    }
    const vmt_jbuiltin *method = vmt_jmethod_find(object, name);
    if (method != NULL) {
        *found = true;
        *out = (vmt_jval){.kind = VMT_JMETHOD};
        VMT_TRY(VMT_JNEW(run, 1, &out->method));
        *out->method = (vmt_jmethod){object, method};
        return VMT_OK;
    }
    if (is_mutating(object, name)) {
        *found = true;
        *out = vmt_jundef(VMT_JUNDEF_UNSAFE, name);
        return VMT_OK;
    }
    switch (object.kind) {
    case VMT_JLOOP: return vmt_jloop_attr(run, object.loop, name, out, found);
    case VMT_JRANGE: return range_attr(object.range, name, out, found);
    case VMT_JTUPLE:
        *found = object.sub == 1 && (vmt_str_eq_c(name, "grouper") || vmt_str_eq_c(name, "list"));
        if (*found) *out = object.list->items[vmt_str_eq_c(name, "list")];
        return VMT_OK;
    case VMT_JCYCLER:
        *found = vmt_str_eq_c(name, "current");
        if (*found) *out = object.cycler->items->items[object.cycler->pos];
        return VMT_OK;
    default: return VMT_OK;
    }
}

vmt_status vmt_jgetattr(vmt_jrun *run, vmt_jval object, vmt_str name, vmt_jval *out) {
    if (object.kind == VMT_JUNDEF) return vmt_jundef_fail(run, object);
    bool found;
    VMT_TRY(attribute_of(run, object, name, out, &found));
    if (found) return VMT_OK;
    if (object.kind == VMT_JDICT) {
        const vmt_jval *value;
        VMT_TRY(vmt_jdict_get(run, object.dict, vmt_jstr(name), &value));
        if (value != NULL) {
            *out = *value;
            return VMT_OK;
        }
    }
    *out = vmt_jundef_attr(object, name);
    return VMT_OK;
}

/* The code point at a character index, counted from the end if negative. */
static bool str_at(vmt_str s, int64_t i, vmt_jval *out) {
    size_t pos = i < 0 ? s.len : 0;
    if (i >= (int64_t)s.len || i < -(int64_t)s.len) return false;
    for (; i < 0 && pos > 0; i++) vmt_juni_prev(s, &pos);
    if (i < 0) return false;
    for (; i > 0 && pos < s.len; i--) vmt_utf8_next(s, &pos);
    if (pos >= s.len) return false;
    size_t begin = pos;
    vmt_utf8_next(s, &pos);
    *out = vmt_jstr(vmt_str_slice(s, begin, pos));
    return true;
}

static vmt_status index_of(vmt_jrun *run, vmt_jval object, int64_t i, vmt_jval *out, bool *found) {
    *found = false;
    if (object.kind == VMT_JSTR) {
        VMT_TRY(vmt_jrun_charge(run, VMT_MIN((uint64_t)(i < 0 ? -(i + 1) : i), object.s.len) / 32));
        *found = str_at(object.s, i, out);
        return VMT_OK;
    }
    int64_t count = vmt_jis_seq(object)         ? (int64_t)object.list->count
                    : object.kind == VMT_JRANGE ? object.range->count
                                                : 0;
    if (i < 0) i += count;
    if (i < 0 || i >= count) return VMT_OK;
    *found = true;
    if (object.kind == VMT_JRANGE)
        *out = vmt_jint(object.range->start + i * object.range->step);
    else
        *out = object.list->items[i];
    return VMT_OK;
}

static vmt_status no_element(vmt_jrun *run, vmt_jval object, vmt_jval key, vmt_jval *out) {
    vmt_str text;
    size_t begin = vmt_jtext_begin(run);
    vmt_buf_printf(&run->out, "%s%s has no element ", vmt_jtype_name(object),
                   object.kind == VMT_JNONE ? "" : " object");
    if (vmt_jis_number(key))
        VMT_TRY(vmt_jwrite_repr(run, key));
    else
        vmt_buf_append_c(&run->out, vmt_jtype_name(key));
    VMT_TRY(vmt_jtext_end(run, begin, &text));
    *out = vmt_jundef(VMT_JUNDEF_HINT, text);
    return VMT_OK;
}

vmt_status vmt_jgetitem(vmt_jrun *run, vmt_jval object, vmt_jval key, vmt_jval *out) {
    if (object.kind == VMT_JUNDEF) return vmt_jundef_fail(run, object);
    bool found = false;
    int64_t i;
    if (object.kind == VMT_JDICT) {
        const vmt_jval *value;
        VMT_TRY(vmt_jdict_get(run, object.dict, key, &value));
        if (value != NULL) {
            *out = *value;
            return VMT_OK;
        }
    } else if (vmt_jget_int(key, &i)) {
        VMT_TRY(index_of(run, object, i, out, &found));
        if (found) return VMT_OK;
    }
    if (key.kind != VMT_JSTR) return no_element(run, object, key, out);
    VMT_TRY(attribute_of(run, object, key.s, out, &found));
    if (!found) *out = vmt_jundef_attr(object, key.s);
    return VMT_OK;
}

/* Python's slice.indices(): start, the number of items, and the step. */
static vmt_status slice_indices(vmt_jrun *run, const vmt_jval bounds[3], int64_t length, int64_t *start,
                                int64_t *count, int64_t *step) {
    int64_t given[3] = {0};
    bool is_given[3];
    for (int i = 0; i < 3; i++) {
        is_given[i] = bounds[i].kind != VMT_JABSENT && bounds[i].kind != VMT_JNONE;
        if (is_given[i] && !vmt_jget_int(bounds[i], &given[i])) {
            if (bounds[i].kind == VMT_JUNDEF) return vmt_jundef_fail(run, bounds[i]);
            return vmt_jinvalid(run, "slice indices must be integers or None");
        }
    }
    *step = is_given[2] ? given[2] : 1;
    if (*step == 0) return vmt_jinvalid(run, "slice step cannot be zero");
    if (*step == INT64_MIN) *step = -INT64_MAX;
    int64_t low = *step < 0 ? -1 : 0, high = *step < 0 ? length - 1 : length;
    int64_t ends[2] = {*step < 0 ? high : low, *step < 0 ? low : high};
    for (int i = 0; i < 2; i++) {
        if (!is_given[i]) continue;
        if (given[i] < 0) given[i] += length;
        ends[i] = given[i] < low ? low : given[i] > high ? high : given[i];
    }
    *start = ends[0];
    *count = 0;
    if (*step > 0 && ends[0] < ends[1]) *count = (ends[1] - ends[0] - 1) / *step + 1;
    if (*step < 0 && ends[1] < ends[0]) *count = (ends[0] - ends[1] - 1) / -*step + 1;
    return VMT_OK;
}

static vmt_status slice_str(vmt_jrun *run, vmt_str s, int64_t start, int64_t count, int64_t step, vmt_jval *out) {
    VMT_TRY(vmt_jrun_charge(run, s.len / 64 + 1));
    *out = vmt_jstr(VMT_STR(""));
    if (count == 0) return VMT_OK;
    size_t pos = 0;
    for (int64_t i = 0; i < start; i++) vmt_utf8_next(s, &pos);
    size_t begin = pos;
    if (step == 1) {
        for (int64_t i = 0; i < count; i++) vmt_utf8_next(s, &pos);
        *out = vmt_jstr(vmt_str_slice(s, begin, pos));
        return VMT_OK;
    }
    VMT_TRY(vmt_jrun_charge(run, (uint64_t)count));
    size_t text = vmt_jtext_begin(run);
    for (int64_t n = 0; n < count; n++) {
        size_t next = pos;
        vmt_utf8_next(s, &next);
        vmt_buf_append(&run->out, vmt_str_slice(s, pos, next));
        if (n + 1 == count) break;
        for (int64_t i = 0; i < step; i++) vmt_utf8_next(s, &pos);
        for (int64_t i = 0; i > step; i--) vmt_juni_prev(s, &pos);
    }
    return vmt_jtext_end_value(run, text, out);
}

static vmt_status slice_list(vmt_jrun *run, vmt_jval object, int64_t start, int64_t count, int64_t step,
                             vmt_jval *out) {
    vmt_jlist *list;
    if (step == 1) {
        /* Items never change, so a plain slice is a window on them. */
        VMT_TRY(VMT_JNEW(run, 1, &list));
        *list = (vmt_jlist){.items = object.list->items + start, .count = (size_t)count, .cap = (size_t)count};
    } else {
        VMT_TRY(vmt_jrun_charge(run, (uint64_t)count));
        VMT_TRY(vmt_jlist_new(run, (size_t)count, &list));
        for (int64_t i = 0; i < count; i++) list->items[list->count++] = object.list->items[start + i * step];
    }
    *out = vmt_jof_list(object.kind, list);
    return VMT_OK;
}

vmt_status vmt_jslice(vmt_jrun *run, vmt_jval object, const vmt_jval bounds[3], vmt_jval *out) {
    if (object.kind == VMT_JUNDEF) return vmt_jundef_fail(run, object);
    int64_t length, start = 0, count = 0, step = 1;
    if (object.kind != VMT_JSTR && !vmt_jis_seq(object) && object.kind != VMT_JRANGE) {
        return vmt_jinvalid(run, "'%s' object can't be sliced", vmt_jtype_name(object));
    }
    VMT_TRY(vmt_jlen(run, object, &length));
    VMT_TRY(slice_indices(run, bounds, length, &start, &count, &step));
    if (object.kind == VMT_JSTR) return slice_str(run, object.s, start, count, step, out);
    if (object.kind != VMT_JRANGE) return slice_list(run, object, start, count, step, out);
    const vmt_jrange *from = object.range;
    *out = (vmt_jval){.kind = VMT_JRANGE};
    VMT_TRY(VMT_JNEW(run, 1, &out->range));
    int64_t stride, span;
    if (__builtin_mul_overflow(from->step, step, &stride) || __builtin_mul_overflow(stride, count, &span) ||
        __builtin_add_overflow(from->start + start * from->step, span, &span)) {
        return vmt_jinvalid(run, "a slice of a range exceeds 64 bits");
    }
    *out->range = (vmt_jrange){from->start + start * from->step, span, stride, count};
    return VMT_OK;
}
