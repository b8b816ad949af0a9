/* text/grammar_disjoint.c: can one value satisfy two conjunctions?  "Yes" may be wrong, "no" never is. */
#include "text/grammar_schema.h"

#include <math.h>

static vmt_json values_of(const vmt_atoms *atoms, bool *is_one) {
    for (uint32_t i = 0; i < atoms->len; i++) {
        vmt_json one = vmt_atom_get(&atoms->list[i], "const"), list = vmt_atom_get(&atoms->list[i], "enum");
        *is_one = vmt_json_exists(one);
        if (*is_one) return one;
        if (vmt_json_exists(list)) return list;
    }
    return (vmt_json){0};
}

static bool has_value(vmt_schema *s, vmt_json values, bool is_one, vmt_json value) {
    vmt_json item;
    vmt_str key;
    if (is_one) return vmt_schema_values_equal(s, values, value);
    for (vmt_json_iter it = vmt_json_iter_begin(values); vmt_json_iter_next(&it, &key, &item);) {
        if (vmt_schema_values_equal(s, item, value)) return true;
    }
    return false;
}

static bool values_are_disjoint(vmt_schema *s, const vmt_atoms *a, const vmt_atoms *b) {
    bool a_is_one, b_is_one;
    vmt_json x = values_of(a, &a_is_one), y = values_of(b, &b_is_one), item;
    vmt_str key;
    if (!vmt_json_exists(x) || !vmt_json_exists(y)) return false;
    if (a_is_one) return !has_value(s, y, b_is_one, x);
    for (vmt_json_iter it = vmt_json_iter_begin(x); vmt_json_iter_next(&it, &key, &item);) {
        if (has_value(s, y, b_is_one, item)) return false;
    }
    return true;
}

static void range_of(const vmt_atoms *atoms, const char *low, const char *high, double *lo, double *hi) {
    double value;
    *lo = -INFINITY;
    *hi = INFINITY;
    for (uint32_t i = 0; i < atoms->len; i++) {
        if (vmt_json_get_f64(vmt_atom_get(&atoms->list[i], low), &value)) *lo = fmax(*lo, value);
        if (vmt_json_get_f64(vmt_atom_get(&atoms->list[i], high), &value)) *hi = fmin(*hi, value);
    }
}

static bool ranges_are_disjoint(const vmt_atoms *a, const vmt_atoms *b, const char *low, const char *high) {
    double a_lo, a_hi, b_lo, b_hi;
    range_of(a, low, high, &a_lo, &a_hi);
    range_of(b, low, high, &b_lo, &b_hi);
    return a_hi < b_lo || b_hi < a_lo;
}

static bool strings_are_disjoint(vmt_schema *s, const vmt_atoms *a, const vmt_atoms *b) {
    vmt_automaton x, y, both;
    bool x_limited, y_limited, is_empty = false;
    vmt_err *err = s->err;
    s->err = NULL; /* what can't be told here is told when the rule is built */
    if (vmt_schema_string_language(s, a, &x, &x_limited) == VMT_OK) {
        if (vmt_schema_string_language(s, b, &y, &y_limited) == VMT_OK) {
            vmt_language_part parts[2] = {{&x, false}, {&y, false}};
            if (x_limited && y_limited && vmt_language_intersect(&both, parts, 2, NULL) == VMT_OK) {
                is_empty = both.num_states == 0;
                vmt_automaton_free(&both);
            }
            vmt_automaton_free(&y);
        }
        vmt_automaton_free(&x);
    }
    s->err = err;
    return is_empty;
}

/* Without a look at the members of objects. */
static bool are_disjoint_outside(vmt_schema *s, const vmt_atoms *a, const vmt_atoms *b) {
    if (a->is_never || b->is_never) return true;
    uint8_t types = vmt_atoms_types(a) & vmt_atoms_types(b);
    if (types == 0 || values_are_disjoint(s, a, b)) return true;
    if (types == VMT_TYPE_STRING) return strings_are_disjoint(s, a, b);
    if (types == VMT_TYPE_ARRAY) return ranges_are_disjoint(a, b, "minItems", "maxItems");
    if ((types & ~VMT_TYPE_NUMBER) == 0) return ranges_are_disjoint(a, b, "minimum", "maximum");
    return false;
}

static bool
    requires(const vmt_atoms *atoms, vmt_str name)
{
    vmt_json item;
    vmt_str key, text;
    for (uint32_t i = 0; i < atoms->len; i++) {
        const vmt_atom *atom = &atoms->list[i];
        if (atom->kind == VMT_ATOM_REQUIRE && vmt_str_eq(atom->name, name)) return true;
        vmt_json list = vmt_atom_get(atom, "required");
        for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, &key, &item);) {
            if (vmt_json_get_str(item, &text) && vmt_str_eq(text, name)) return true;
        }
    }
    return false;
}

/* What the atoms say of a member: its schemas, or never. */
static vmt_status member_of(vmt_schema *s, const vmt_atoms *atoms, vmt_str name, vmt_atoms *out) {
    bool flag;
    *out = (vmt_atoms){0};
    for (uint32_t i = 0; i < atoms->len; i++) {
        const vmt_atom *atom = &atoms->list[i];
        if (atom->kind == VMT_ATOM_FORBID && vmt_str_eq(atom->name, name)) out->is_never = true;
        vmt_json member = vmt_json_member(vmt_atom_get(atom, "properties"), name);
        if (vmt_json_exists(member))
            VMT_TRY(vmt_atoms_add_schema(s, out, member, atom->place));
        else if (vmt_json_get_bool(vmt_atom_get(atom, "additionalProperties"), &flag) && !flag &&
                 !vmt_json_exists(vmt_atom_get(atom, "patternProperties"))) {
            out->is_never = true;
        }
    }
    return vmt_atoms_expand(s, out);
}

static bool members_are_disjoint(vmt_schema *s, const vmt_atoms *a, const vmt_atoms *b, vmt_str name) {
    vmt_atoms x, y;
    vmt_err *err = s->err;
    if (!requires(a, name) && !requires(b, name)) return false;
    s->err = NULL;
    bool is_disjoint = member_of(s, a, name, &x) == VMT_OK && member_of(s, b, name, &y) == VMT_OK &&
                       are_disjoint_outside(s, &x, &y);
    s->err = err;
    return is_disjoint;
}

bool vmt_atoms_are_disjoint(vmt_schema *s, const vmt_atoms *a, const vmt_atoms *b) {
    if (are_disjoint_outside(s, a, b)) return true;
    if ((vmt_atoms_types(a) & vmt_atoms_types(b)) != VMT_TYPE_OBJECT) return false;
    vmt_json item;
    vmt_str key, name;
    for (uint32_t k = 0; k < 2; k++) {
        const vmt_atoms *atoms = k == 0 ? a : b;
        for (uint32_t i = 0; i < atoms->len; i++) {
            vmt_json list = vmt_atom_get(&atoms->list[i], "required");
            for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, &key, &item);) {
                if (vmt_json_get_str(item, &name) && members_are_disjoint(s, a, b, name)) return true;
            }
        }
    }
    return false;
}
