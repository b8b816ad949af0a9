/* text/grammar_schema_enum.c: enum and const: values written out. */
#include "json/json_writer.h"
#include "text/grammar_schema.h"

#include <math.h>

static vmt_str text_of(vmt_schema *s, vmt_json value) {
    vmt_buf buf;
    vmt_json_writer writer;
    vmt_buf_init(&buf, VMT_SCHEMA_BYTES_MAX);
    vmt_json_writer_init(&writer, &buf);
    vmt_json_value(&writer, value);
    vmt_str text = buf.failed ? (vmt_str){0} : vmt_arena_dup(s->arena, vmt_buf_str(&buf));
    vmt_buf_free(&buf);
    return text;
}

bool vmt_schema_values_equal(vmt_schema *s, vmt_json a, vmt_json b) {
    double x, y;
    vmt_str p, q;
    if (vmt_json_get_f64(a, &x) && vmt_json_get_f64(b, &y)) return x == y;
    if (vmt_json_get_str(a, &p) && vmt_json_get_str(b, &q)) return vmt_str_eq(p, q);
    if (vmt_json_typeof(a) != vmt_json_typeof(b)) return false;
    p = text_of(s, a);
    q = text_of(s, b);
    return p.ptr && vmt_str_eq(p, q);
}

static bool list_has(vmt_schema *s, vmt_json list, vmt_json value) {
    vmt_json item;
    vmt_str key;
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, &key, &item);) {
        if (vmt_schema_values_equal(s, item, value)) return true;
    }
    return false;
}

static uint8_t type_of(vmt_json value) {
    double number;
    switch (vmt_json_typeof(value)) {
    case VMT_JSON_NULL: return VMT_TYPE_NULL;
    case VMT_JSON_BOOL: return VMT_TYPE_BOOL;
    case VMT_JSON_INT:
    case VMT_JSON_UINT: return VMT_TYPE_INTEGER;
    case VMT_JSON_DOUBLE:
        vmt_json_get_f64(value, &number);
        return number == floor(number) ? VMT_TYPE_INTEGER : VMT_TYPE_FRACTION;
    case VMT_JSON_STRING: return VMT_TYPE_STRING;
    case VMT_JSON_ARRAY: return VMT_TYPE_ARRAY;
    case VMT_JSON_OBJECT: return VMT_TYPE_OBJECT;
    case VMT_JSON_ABSENT: break;
    }
    return 0;
}

/* Lists and objects among the values are not taken apart: whatever else is said of them is refused. */
static vmt_status check_container(vmt_schema *s, const vmt_atoms *atoms, bool is_object) {
    static const char *const of_objects[] = {
        "properties",    "required",          "additionalProperties", "propertyNames",
        "minProperties", "patternProperties", "maxProperties",        "unevaluatedProperties"};
    static const char *const of_arrays[] = {"items", "prefixItems", "minItems", "maxItems", "unevaluatedItems"};
    const char *const *keywords = is_object ? of_objects : of_arrays;
    size_t n = is_object ? VMT_COUNT(of_objects) : VMT_COUNT(of_arrays);
    for (uint32_t i = 0; i < atoms->len; i++) {
        const vmt_atom *atom = &atoms->list[i];
        bool is_about_members =
            atom->kind == VMT_ATOM_REQUIRE || atom->kind == VMT_ATOM_FORBID || atom->kind == VMT_ATOM_NOT_MEMBER;
        if (is_object && is_about_members) {
            return vmt_schema_unsupported(s, atom->place, "enum", "of objects beside conditions on their members");
        }
        for (size_t k = 0; k < n; k++) {
            if (!vmt_json_exists(vmt_atom_get(atom, keywords[k]))) continue;
            return vmt_schema_unsupported(s, atom->place, keywords[k], "beside an enum with lists or objects");
        }
    }
    return VMT_OK;
}

static vmt_status admits(vmt_schema *s, const vmt_atoms *atoms, uint8_t types, vmt_json value, bool *ok) {
    uint8_t type = type_of(value);
    vmt_str text;
    *ok = (type & types) != 0;
    for (uint32_t i = 0; i < atoms->len && *ok; i++) {
        const vmt_atom *atom = &atoms->list[i];
        vmt_json list = vmt_atom_get(atom, "enum"), one = vmt_atom_get(atom, "const");
        if (vmt_json_exists(list) && !list_has(s, list, value)) *ok = false;
        if (vmt_json_exists(one) && !vmt_schema_values_equal(s, one, value)) *ok = false;
        if (atom->kind == VMT_ATOM_NOT_VALUE && vmt_schema_values_equal(s, atom->json, value)) *ok = false;
    }
    if (!*ok) return VMT_OK;
    if (type & VMT_TYPE_NUMBER) return vmt_schema_admits_number(s, atoms, value, ok);
    if (vmt_json_get_str(value, &text)) return vmt_schema_admits_string(s, atoms, text, ok);
    if (type & (VMT_TYPE_ARRAY | VMT_TYPE_OBJECT)) return check_container(s, atoms, type == VMT_TYPE_OBJECT);
    return VMT_OK;
}

/* A list or object as text, with white space where JSON has it; strings within are copied whole. */
static uint32_t add_container(vmt_schema *s, uint32_t at, vmt_str text) {
    vmt_rules *r = s->rules;
    bool in_string = false;
    for (size_t i = 0; i < text.len && r->status == VMT_OK; i++) {
        char c = text.ptr[i];
        if (!in_string && (c == ']' || c == '}' || c == ':' || c == ',') && i > 0) at = vmt_schema_space(s, at);
        at = vmt_rules_literal(r, at, vmt_str_slice(text, i, i + 1));
        if (in_string && c == '\\')
            at = vmt_rules_literal(r, at, vmt_str_slice(text, i + 1, i + 2)), i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '[' || c == '{'))
            at = vmt_schema_space(s, at);
        else if (!in_string && (c == ':' || c == ','))
            at = vmt_schema_space_after(s, at);
    }
    return at;
}

static vmt_status add_value(vmt_schema *s, vmt_json value, uint32_t from, uint32_t to) {
    vmt_rules *r = s->rules;
    vmt_str text = text_of(s, value);
    uint8_t type = type_of(value);
    if (!text.ptr) return vmt_schema_no_memory(s);
    if (type & (VMT_TYPE_ARRAY | VMT_TYPE_OBJECT)) {
        vmt_rules_epsilon(r, add_container(s, from, text), to);
    } else {
        vmt_rules_epsilon(r, vmt_rules_literal(r, from, text), to);
    }
    return vmt_rules_status(r, s->err);
}

/* The shortest list of values that the result must be among. */
static vmt_json find_values(const vmt_atoms *atoms, bool *is_one) {
    vmt_json best = {0};
    size_t best_len = SIZE_MAX;
    *is_one = false;
    for (uint32_t i = 0; i < atoms->len; i++) {
        vmt_json list = vmt_atom_get(&atoms->list[i], "enum"), one = vmt_atom_get(&atoms->list[i], "const");
        if (vmt_json_exists(one)) {
            *is_one = true;
            return one;
        }
        if (!vmt_json_exists(list) || vmt_json_size(list) >= best_len) continue;
        best = list;
        best_len = vmt_json_size(list);
    }
    return best;
}

vmt_status vmt_schema_enum(vmt_schema *s, const vmt_atoms *atoms, uint8_t types, uint32_t from, uint32_t to,
                           bool *has_enum) {
    bool is_one, ok;
    vmt_json values = find_values(atoms, &is_one), item;
    vmt_str key;
    *has_enum = vmt_json_exists(values);
    if (!*has_enum) return VMT_OK;
    if (is_one) {
        VMT_TRY(admits(s, atoms, types, values, &ok));
        return ok ? add_value(s, values, from, to) : VMT_OK;
    }
    if (vmt_json_typeof(values) != VMT_JSON_ARRAY) {
        return vmt_schema_invalid(s, atoms->list[0].place, "enum", "it must be a list");
    }
    for (vmt_json_iter it = vmt_json_iter_begin(values); vmt_json_iter_next(&it, &key, &item);) {
        VMT_TRY(admits(s, atoms, types, item, &ok));
        if (ok) VMT_TRY(add_value(s, item, from, to));
    }
    return VMT_OK;
}
