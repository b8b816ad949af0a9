/* text/jinja_filters_seq.c: filters on sequences. */
#include "text/jinja_ast.h"
#include "text/jinja_run.h"
#include "text/jinja_unicode.h"

static const vmt_jval absent = {.kind = VMT_JABSENT};

static vmt_status self_list(vmt_jrun *run, const vmt_jcall *call, vmt_jlist **out) {
    return vmt_jlist_from(run, call->self, out);
}

/* What Python's reversed() takes, as a list; a generator is refused. */
static vmt_status reversible(vmt_jrun *run, vmt_jval v, vmt_jlist **out) {
    if (v.kind == VMT_JGENERATOR) return vmt_jinvalid(run, "'generator' object is not reversible");
    return vmt_jlist_from(run, v, out);
}

static vmt_status filter_length(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    *out = vmt_jint(0);
    return vmt_jlen(run, call->self, &out->i);
}

static vmt_status filter_list(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    *out = (vmt_jval){.kind = VMT_JLIST};
    return self_list(run, call, &out->list);
}

static vmt_status filter_first(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_jiter it;
    bool got;
    VMT_TRY(vmt_jiter_init(run, &it, call->self));
    VMT_TRY(vmt_jiter_next(run, &it, out, &got));
    if (!got) *out = vmt_jundef(VMT_JUNDEF_HINT, VMT_STR("No first item, sequence was empty."));
    return VMT_OK;
}

static vmt_status filter_last(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_jlist *list;
    vmt_jval v = call->self;
    if (v.kind == VMT_JSTR) {
        VMT_TRY(vmt_jgetitem(run, v, vmt_jint(-1), out));
    } else if (vmt_jis_seq(v)) {
        *out = v.list->count > 0 ? v.list->items[v.list->count - 1] : (vmt_jval){.kind = VMT_JUNDEF};
    } else {
        VMT_TRY(reversible(run, v, &list));
        *out = list->count > 0 ? list->items[list->count - 1] : (vmt_jval){.kind = VMT_JUNDEF};
    }
    bool is_empty = v.kind == VMT_JSTR ? v.s.len == 0 : out->kind == VMT_JUNDEF && out->s.ptr == NULL;
    if (is_empty) *out = vmt_jundef(VMT_JUNDEF_HINT, VMT_STR("No last item, sequence was empty."));
    return VMT_OK;
}

static vmt_status filter_reverse(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_jlist *list;
    if (call->self.kind == VMT_JSTR) {
        const vmt_jval bounds[3] = {absent, absent, vmt_jint(-1)};
        return vmt_jslice(run, call->self, bounds, out);
    }
    /* A generator becomes a list, the rest an iterator, as in Python. */
    bool is_list = call->self.kind == VMT_JGENERATOR;
    VMT_TRY(self_list(run, call, &list));
    for (size_t i = 0; i < list->count / 2; i++) {
        vmt_jval swap = list->items[i];
        list->items[i] = list->items[list->count - 1 - i];
        list->items[list->count - 1 - i] = swap;
    }
    *out = vmt_jof_list(is_list ? VMT_JLIST : VMT_JGENERATOR, list);
    return VMT_OK;
}

static vmt_status filter_items(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_jlist *list;
    vmt_jval pair;
    if (call->self.kind != VMT_JDICT && call->self.kind != VMT_JUNDEF) {
        return vmt_jinvalid(run, "Can only get item pairs from a mapping.");
    }
    VMT_TRY(vmt_jlist_new(run, 4, &list));
    for (size_t i = 0; call->self.kind == VMT_JDICT && i < call->self.dict->count; i++) {
        VMT_TRY(vmt_jpair(run, call->self.dict->entries[i].key, call->self.dict->entries[i].value, &pair));
        VMT_TRY(vmt_jlist_push(run, list, pair));
    }
    *out = vmt_jof_list(VMT_JGENERATOR, list);
    return VMT_OK;
}

static vmt_status filter_join(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_str separator = VMT_STR(""), text = VMT_STR(""), part;
    vmt_jiter it;
    if (call->param[0].kind != VMT_JABSENT) VMT_TRY(vmt_jto_str(run, call->param[0], &separator));
    VMT_TRY(vmt_jiter_init(run, &it, call->self));
    for (bool first = true;; first = false) {
        vmt_jval item;
        bool got;
        VMT_TRY(vmt_jiter_next(run, &it, &item, &got));
        if (!got) break;
        VMT_TRY(vmt_jattr_path(run, item, call->param[1], absent, &item));
        VMT_TRY(vmt_jto_str(run, item, &part));
        if (!first) VMT_TRY(vmt_jconcat(run, text, separator, &text));
        VMT_TRY(vmt_jconcat(run, text, part, &text));
    }
    *out = vmt_jstr(text);
    return VMT_OK;
}

/* Strings in lower case unless case counts; the rest as it is. */
static vmt_status fold_case(vmt_jrun *run, bool case_sensitive, vmt_jval *v) {
    if (case_sensitive || v->kind != VMT_JSTR) return VMT_OK;
    VMT_TRY(vmt_jrun_charge(run, v->s.len / 16));
    size_t begin = vmt_jtext_begin(run);
    vmt_juni_append_cased(&run->out, VMT_JUNI_LOWER, v->s);
    return vmt_jtext_end_value(run, begin, v);
}

static vmt_status pairs_to_values(vmt_jlist *pairs, vmt_jval *out) {
    for (size_t i = 0; i < pairs->count; i++) pairs->items[i] = pairs->items[i].list->items[1];
    *out = vmt_jof_list(VMT_JLIST, pairs);
    return VMT_OK;
}

static vmt_status filter_dictsort(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_str by;
    vmt_jlist *pairs;
    vmt_jval v = call->self;
    VMT_TRY(vmt_jparam_str(run, call, 1, VMT_STR("key"), &by));
    bool by_value = vmt_str_eq_c(by, "value");
    if (!by_value && !vmt_str_eq_c(by, "key")) {
        return vmt_jinvalid(run, "You can only sort by either \"key\" or \"value\"");
    }
    if (v.kind == VMT_JUNDEF) return vmt_jundef_fail(run, v);
    if (v.kind != VMT_JDICT) return vmt_jinvalid(run, "'%s' object has no attribute 'items'", vmt_jtype_name(v));
    VMT_TRY(vmt_jlist_new(run, v.dict->count, &pairs));
    for (size_t i = 0; i < v.dict->count; i++) {
        vmt_jval item, key = by_value ? v.dict->entries[i].value : v.dict->entries[i].key, pair;
        VMT_TRY(vmt_jpair(run, v.dict->entries[i].key, v.dict->entries[i].value, &item));
        VMT_TRY(fold_case(run, vmt_jparam_true(call, 0), &key));
        VMT_TRY(vmt_jpair(run, key, item, &pair));
        VMT_TRY(vmt_jlist_push(run, pairs, pair));
    }
    VMT_TRY(vmt_jsort_pairs(run, pairs, vmt_jparam_true(call, 2)));
    return pairs_to_values(pairs, out);
}

/* The key to sort an item by: one value per comma-separated path, as a list. */
static vmt_status sort_key(vmt_jrun *run, vmt_jval item, vmt_jval path, bool case_sensitive, vmt_jval *out) {
    vmt_jlist *keys;
    VMT_TRY(vmt_jlist_new(run, 1, &keys));
    vmt_str rest = path.kind == VMT_JSTR ? path.s : VMT_STR("");
    for (bool more = true; more;) {
        vmt_jval part = path, key;
        more = false;
        if (path.kind == VMT_JSTR) {
            size_t comma = vmt_str_find(rest, VMT_STR(","), 0);
            more = comma != SIZE_MAX;
            part.s = more ? vmt_str_slice(rest, 0, comma) : rest;
            if (more) rest = vmt_str_slice(rest, comma + 1, rest.len);
        }
        VMT_TRY(vmt_jattr_path(run, item, part, absent, &key));
        VMT_TRY(fold_case(run, case_sensitive, &key));
        VMT_TRY(vmt_jlist_push(run, keys, key));
    }
    *out = vmt_jof_list(VMT_JLIST, keys);
    return VMT_OK;
}

static vmt_status filter_sort(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_jlist *list;
    VMT_TRY(self_list(run, call, &list));
    for (size_t i = 0; i < list->count; i++) {
        vmt_jval key;
        VMT_TRY(sort_key(run, list->items[i], call->param[2], vmt_jparam_true(call, 1), &key));
        VMT_TRY(vmt_jpair(run, key, list->items[i], &list->items[i]));
    }
    VMT_TRY(vmt_jsort_pairs(run, list, vmt_jparam_true(call, 0)));
    return pairs_to_values(list, out);
}

static vmt_status filter_unique(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_jlist *list, *kept;
    vmt_jdict *seen;
    VMT_TRY(self_list(run, call, &list));
    VMT_TRY(vmt_jlist_new(run, list->count, &kept));
    VMT_TRY(vmt_jdict_new(run, list->count, &seen));
    for (size_t i = 0; i < list->count; i++) {
        vmt_jval key;
        size_t before = seen->count;
        VMT_TRY(vmt_jattr_path(run, list->items[i], call->param[1], absent, &key));
        VMT_TRY(fold_case(run, vmt_jparam_true(call, 0), &key));
        VMT_TRY(vmt_jdict_set(run, seen, key, vmt_jnone()));
        if (seen->count > before) VMT_TRY(vmt_jlist_push(run, kept, list->items[i]));
    }
    *out = vmt_jof_list(VMT_JGENERATOR, kept);
    return VMT_OK;
}

static vmt_status extreme(vmt_jrun *run, vmt_jcall *call, bool want_max, vmt_jval *out) {
    vmt_jiter it;
    vmt_jval best = absent;
    VMT_TRY(vmt_jiter_init(run, &it, call->self));
    *out = vmt_jundef(VMT_JUNDEF_HINT, VMT_STR("No aggregated item, sequence was empty."));
    for (;;) {
        vmt_jval item, key;
        bool got;
        int order = 0;
        VMT_TRY(vmt_jiter_next(run, &it, &item, &got));
        if (!got) return VMT_OK;
        VMT_TRY(vmt_jattr_path(run, item, call->param[1], absent, &key));
        VMT_TRY(fold_case(run, vmt_jparam_true(call, 0), &key));
        if (best.kind != VMT_JABSENT) VMT_TRY(vmt_jcompare(run, key, best, &order));
        if (best.kind != VMT_JABSENT && (want_max ? order != 1 : order >= 0)) continue;
        best = key;
        *out = item;
    }
}

static vmt_status filter_min(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return extreme(run, call, false, out);
}

static vmt_status filter_max(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    return extreme(run, call, true, out);
}

static vmt_status filter_sum(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_jiter it;
    vmt_jval sum = call->param[1].kind == VMT_JABSENT ? vmt_jint(0) : call->param[1];
    if (sum.kind == VMT_JSTR) return vmt_jinvalid(run, "sum() can't sum strings");
    VMT_TRY(vmt_jiter_init(run, &it, call->self));
    for (;;) {
        vmt_jval item;
        bool got;
        VMT_TRY(vmt_jiter_next(run, &it, &item, &got));
        if (!got) break;
        VMT_TRY(vmt_jattr_path(run, item, call->param[0], absent, &item));
        VMT_TRY(vmt_jarith(run, VMT_JT_ADD, sum, item, &sum));
    }
    *out = sum;
    return VMT_OK;
}

static vmt_status push_fill(vmt_jrun *run, vmt_jlist *list, vmt_jval fill, int64_t n) {
    if (fill.kind == VMT_JABSENT || fill.kind == VMT_JNONE) return VMT_OK;
    for (int64_t i = 0; i < n; i++) {
        VMT_TRY(vmt_jrun_charge(run, 1));
        VMT_TRY(vmt_jlist_push(run, list, fill));
    }
    return VMT_OK;
}

static vmt_status filter_batch(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_jlist *list, *rows, *row = NULL;
    int64_t width;
    VMT_TRY(vmt_jparam_int(run, call, 0, 1, &width));
    VMT_TRY(self_list(run, call, &list));
    VMT_TRY(vmt_jlist_new(run, 4, &rows));
    for (size_t i = 0; i < list->count; i++) {
        if (row == NULL || (int64_t)row->count == width) {
            VMT_TRY(vmt_jlist_new(run, 4, &row));
            VMT_TRY(vmt_jlist_push(run, rows, vmt_jof_list(VMT_JLIST, row)));
        }
        VMT_TRY(vmt_jlist_push(run, row, list->items[i]));
    }
    if (row != NULL) VMT_TRY(push_fill(run, row, call->param[1], width - (int64_t)row->count));
    *out = vmt_jof_list(VMT_JGENERATOR, rows);
    return VMT_OK;
}

static vmt_status filter_slice(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_jlist *list, *rows;
    int64_t slices;
    VMT_TRY(vmt_jparam_int(run, call, 0, 1, &slices));
    VMT_TRY(self_list(run, call, &list));
    if (slices == 0) return vmt_jinvalid(run, "integer division or modulo by zero");
    VMT_TRY(vmt_jlist_new(run, 4, &rows));
    int64_t count = (int64_t)list->count, pos = 0;
    for (int64_t i = 0; i < slices; i++) {
        vmt_jlist *row;
        int64_t extra = count % slices, end = pos + count / slices + (i < extra);
        VMT_TRY(vmt_jrun_charge(run, 1));
        VMT_TRY(vmt_jlist_new(run, (size_t)(end - pos), &row));
        for (; pos < end; pos++) VMT_TRY(vmt_jlist_push(run, row, list->items[pos]));
        if (i >= extra) VMT_TRY(push_fill(run, row, call->param[1], 1));
        VMT_TRY(vmt_jlist_push(run, rows, vmt_jof_list(VMT_JLIST, row)));
    }
    *out = vmt_jof_list(VMT_JGENERATOR, rows);
    return VMT_OK;
}

static vmt_status filter_groupby(vmt_jrun *run, vmt_jcall *call, vmt_jval *out) {
    vmt_jlist *pairs, *groups, *group = NULL;
    vmt_jval path = call->param[0], fallback = call->param[1], key, last = absent;
    bool case_sensitive = vmt_jparam_true(call, 2), equal = false;
    VMT_TRY(self_list(run, call, &pairs));
    for (size_t i = 0; i < pairs->count; i++) {
        VMT_TRY(vmt_jattr_path(run, pairs->items[i], path, fallback, &key));
        VMT_TRY(fold_case(run, case_sensitive, &key));
        VMT_TRY(vmt_jpair(run, key, pairs->items[i], &pairs->items[i]));
    }
    VMT_TRY(vmt_jsort_pairs(run, pairs, false));
    VMT_TRY(vmt_jlist_new(run, 4, &groups));
    for (size_t i = 0; i < pairs->count; i++) {
        vmt_jval item = pairs->items[i].list->items[1];
        key = pairs->items[i].list->items[0];
        if (group != NULL) VMT_TRY(vmt_jequal(run, key, last, &equal));
        last = key;
        if (group == NULL || !equal) {
            vmt_jval grouper, pair;
            VMT_TRY(vmt_jlist_new(run, 4, &group));
            VMT_TRY(vmt_jattr_path(run, item, path, fallback, &grouper));
            VMT_TRY(vmt_jpair(run, grouper, vmt_jof_list(VMT_JLIST, group), &pair));
            pair.sub = 1;
            VMT_TRY(vmt_jlist_push(run, groups, pair));
        }
        VMT_TRY(vmt_jlist_push(run, group, item));
    }
    *out = vmt_jof_list(VMT_JLIST, groups);
    return VMT_OK;
}

const vmt_jbuiltin vmt_jfilters_seq[] = {
    {"batch", filter_batch, "linecount fill_with", 1, 0},
    {"count", filter_length, "", 0, 0},
    {"dictsort", filter_dictsort, "case_sensitive by reverse", 0, 0},
    {"first", filter_first, "", 0, 0},
    {"groupby", filter_groupby, "attribute default case_sensitive", 1, 0},
    {"items", filter_items, "", 0, 0},
    {"join", filter_join, "d attribute", 0, 0},
    {"last", filter_last, "", 0, 0},
    {"length", filter_length, "", 0, 0},
    {"list", filter_list, "", 0, 0},
    {"max", filter_max, "case_sensitive attribute", 0, 0},
    {"min", filter_min, "case_sensitive attribute", 0, 0},
    {"reverse", filter_reverse, "", 0, 0},
    {"slice", filter_slice, "slices fill_with", 1, 0},
    {"sort", filter_sort, "reverse case_sensitive attribute", 0, 0},
    {"sum", filter_sum, "attribute start", 0, 0},
    {"unique", filter_unique, "case_sensitive attribute", 0, 0},
    {0},
};
