/* text/jinja_container.c: lists and dicts under construction, and JSON turned into them. */
#include "text/jinja_run.h"

#define INDEX_MIN   16u        /* dicts this large get a hash index */
#define ENTRIES_MAX (1u << 31) /* entry numbers are 32 bits */

vmt_status vmt_jlist_new(vmt_jrun *run, size_t cap, vmt_jlist **out) {
    VMT_TRY(VMT_JNEW(run, 1, out));
    **out = (vmt_jlist){.cap = cap};
    return VMT_JNEW(run, cap, &(*out)->items);
}

vmt_status vmt_jlist_push(vmt_jrun *run, vmt_jlist *list, vmt_jval v) {
    if (list->count == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 4;
        vmt_jval *items;
        VMT_TRY(VMT_JNEW(run, cap, &items));
        if (list->count > 0) memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        list->cap = cap;
    }
    list->items[list->count++] = v;
    return VMT_OK;
}

static size_t known_count(vmt_jval v) {
    switch (v.kind) {
    case VMT_JLIST:
    case VMT_JTUPLE:
    case VMT_JVIEW: return v.list->count;
    case VMT_JGENERATOR: return v.list->count - v.list->pos;
    case VMT_JDICT: return v.dict->count;
    case VMT_JRANGE: return (size_t)v.range->count;
    default: return 0;
    }
}

vmt_status vmt_jlist_from(vmt_jrun *run, vmt_jval iterable, vmt_jlist **out) {
    vmt_jiter it;
    VMT_TRY(vmt_jiter_init(run, &it, iterable));
    VMT_TRY(vmt_jlist_new(run, known_count(iterable), out));
    for (;;) {
        vmt_jval item;
        bool got;
        VMT_TRY(vmt_jiter_next(run, &it, &item, &got));
        if (!got) return VMT_OK;
        VMT_TRY(vmt_jlist_push(run, *out, item));
    }
}

vmt_status vmt_jpair(vmt_jrun *run, vmt_jval a, vmt_jval b, vmt_jval *out) {
    vmt_jlist *pair;
    VMT_TRY(vmt_jlist_new(run, 2, &pair));
    pair->items[0] = a;
    pair->items[1] = b;
    pair->count = 2;
    *out = vmt_jof_list(VMT_JTUPLE, pair);
    return VMT_OK;
}

/* Numbers that are equal hash alike; containers by address, as only tuples among them are allowed as keys. */
static vmt_status hash_of(vmt_jrun *run, vmt_jval key, uint64_t *out) {
    switch (key.kind) {
    case VMT_JSTR: *out = vmt_siphash64(run->hash_key, key.s.ptr, key.s.len); return VMT_OK;
    case VMT_JLIST:
    case VMT_JDICT: return vmt_jinvalid(run, "unhashable type: '%s'", vmt_jtype_name(key));
    case VMT_JTUPLE: {
        uint64_t hash = key.list->count, item;
        if (++run->value_depth > VMT_JVALUE_DEPTH_MAX) {
            return vmt_jrun_fail(run, VMT_E_EXHAUSTED, "values are nested deeper than %u", VMT_JVALUE_DEPTH_MAX);
        }
        VMT_TRY(vmt_jrun_charge(run, key.list->count));
        for (size_t i = 0; i < key.list->count; i++) {
            VMT_TRY(hash_of(run, key.list->items[i], &item));
            hash = hash * 31 + item;
        }
        run->value_depth--;
        *out = hash;
        return VMT_OK;
    }
    default: break;
    }
    if (vmt_jis_number(key)) {
        double number = vmt_jget_float(key);
        if (number == 0) number = 0; /* -0.0 */
        *out = vmt_siphash64(run->hash_key, &number, sizeof number);
        return VMT_OK;
    }
    *out = key.kind;
    return VMT_OK;
}

static vmt_status index_dict(vmt_jrun *run, vmt_jdict *dict) {
    size_t cap = dict->cap * 2;
    VMT_TRY(VMT_JNEW(run, cap, &dict->index));
    memset(dict->index, 0, cap * sizeof *dict->index);
    dict->index_cap = cap;
    for (size_t i = 0; i < dict->count; i++) {
        size_t slot = dict->entries[i].hash & (cap - 1);
        while (dict->index[slot] != 0) slot = (slot + 1) & (cap - 1);
        dict->index[slot] = (uint32_t)i + 1;
    }
    return VMT_OK;
}

vmt_status vmt_jdict_new(vmt_jrun *run, size_t cap, vmt_jdict **out) {
    size_t rounded = 4;
    while (rounded < cap && rounded < ENTRIES_MAX) rounded *= 2;
    VMT_TRY(VMT_JNEW(run, 1, out));
    **out = (vmt_jdict){.cap = rounded};
    return VMT_JNEW(run, rounded, &(*out)->entries);
}

static vmt_status find_entry(vmt_jrun *run, const vmt_jdict *dict, vmt_jval key, uint64_t hash, vmt_jentry **out) {
    *out = NULL;
    bool equal = false;
    if (dict->index == NULL) {
        VMT_TRY(vmt_jrun_charge(run, 1));
        for (size_t i = 0; i < dict->count && !equal; i++) {
            if (dict->entries[i].hash != hash) continue;
            VMT_TRY(vmt_jequal(run, dict->entries[i].key, key, &equal));
            if (equal) *out = &dict->entries[i];
        }
        return VMT_OK;
    }
    for (size_t slot = hash & (dict->index_cap - 1); dict->index[slot] != 0;
         slot = (slot + 1) & (dict->index_cap - 1)) {
        vmt_jentry *entry = &dict->entries[dict->index[slot] - 1];
        VMT_TRY(vmt_jrun_charge(run, 1));
        if (entry->hash != hash) continue;
        VMT_TRY(vmt_jequal(run, entry->key, key, &equal));
        if (!equal) continue;
        *out = entry;
        return VMT_OK;
    }
    return VMT_OK;
}

vmt_status vmt_jdict_set(vmt_jrun *run, vmt_jdict *dict, vmt_jval key, vmt_jval value) {
    uint64_t hash;
    vmt_jentry *entry;
    VMT_TRY(hash_of(run, key, &hash));
    VMT_TRY(find_entry(run, dict, key, hash, &entry));
    if (entry != NULL) {
        entry->value = value;
        return VMT_OK;
    }
    if (dict->count == dict->cap) {
        vmt_jentry *entries;
        if (dict->cap >= ENTRIES_MAX / 2) return vmt_jrun_fail(run, VMT_E_EXHAUSTED, "a dict is too large");
        VMT_TRY(VMT_JNEW(run, dict->cap * 2, &entries));
        memcpy(entries, dict->entries, dict->count * sizeof *entries);
        dict->entries = entries;
        dict->cap *= 2;
        dict->index = NULL;
    }
    dict->entries[dict->count++] = (vmt_jentry){.key = key, .value = value, .hash = hash};
    if (dict->index == NULL) return dict->count >= INDEX_MIN ? index_dict(run, dict) : VMT_OK;
    size_t slot = hash & (dict->index_cap - 1);
    while (dict->index[slot] != 0) slot = (slot + 1) & (dict->index_cap - 1);
    dict->index[slot] = (uint32_t)dict->count;
    return VMT_OK;
}

vmt_status vmt_jdict_get(vmt_jrun *run, const vmt_jdict *dict, vmt_jval key, const vmt_jval **out) {
    *out = NULL;
    if (key.kind == VMT_JLIST || key.kind == VMT_JDICT) return VMT_OK;
    uint64_t hash;
    vmt_jentry *entry;
    VMT_TRY(hash_of(run, key, &hash));
    VMT_TRY(find_entry(run, dict, key, hash, &entry));
    if (entry != NULL) *out = &entry->value;
    return VMT_OK;
}

const vmt_jval *vmt_jdict_find(vmt_jrun *run, const vmt_jdict *dict, vmt_str key) {
    const vmt_jval *found;
    return vmt_jdict_get(run, dict, vmt_jstr(key), &found) == VMT_OK ? found : NULL;
}

static vmt_status array_from_json(vmt_jrun *run, vmt_json json, vmt_jval *out) {
    vmt_jlist *list;
    vmt_json item;
    VMT_TRY(vmt_jlist_new(run, vmt_json_size(json), &list));
    for (vmt_json_iter it = vmt_json_iter_begin(json); vmt_json_iter_next(&it, NULL, &item);) {
        vmt_jval value;
        VMT_TRY(vmt_jfrom_json(run, item, &value));
        VMT_TRY(vmt_jlist_push(run, list, value));
    }
    *out = vmt_jof_list(VMT_JLIST, list);
    return VMT_OK;
}

static vmt_status object_from_json(vmt_jrun *run, vmt_json json, vmt_jval *out) {
    vmt_jdict *dict;
    vmt_json item;
    vmt_str key;
    VMT_TRY(vmt_jdict_new(run, vmt_json_size(json), &dict));
    for (vmt_json_iter it = vmt_json_iter_begin(json); vmt_json_iter_next(&it, &key, &item);) {
        vmt_jval value;
        VMT_TRY(vmt_jfrom_json(run, item, &value));
        VMT_TRY(vmt_jdict_set(run, dict, vmt_jstr(key), value));
    }
    *out = vmt_jof_dict(dict);
    return VMT_OK;
}

vmt_status vmt_jfrom_json(vmt_jrun *run, vmt_json json, vmt_jval *out) {
    *out = vmt_jnone();
    VMT_TRY(vmt_jrun_charge(run, 1));
    switch (vmt_json_typeof(json)) {
    case VMT_JSON_BOOL:
        out->kind = VMT_JBOOL;
        vmt_json_get_bool(json, &out->b);
        return VMT_OK;
    case VMT_JSON_INT:
        out->kind = VMT_JINT;
        vmt_json_get_i64(json, &out->i);
        return VMT_OK;
    case VMT_JSON_UINT:
        out->kind = VMT_JUINT;
        vmt_json_get_u64(json, &out->u);
        return VMT_OK;
    case VMT_JSON_DOUBLE:
        out->kind = VMT_JFLOAT;
        vmt_json_get_f64(json, &out->f);
        return VMT_OK;
    case VMT_JSON_STRING:
        out->kind = VMT_JSTR;
        vmt_json_get_str(json, &out->s);
        return VMT_OK;
    case VMT_JSON_ARRAY: return array_from_json(run, json, out);
    case VMT_JSON_OBJECT: return object_from_json(run, json, out);
    default: return VMT_OK;
    }
}
