/* text/grammar_schema_array.c: arrays: the first items one by one, then a loop with a counter. */
#include "text/grammar_schema.h"

struct items {
    vmt_schema *s;
    const vmt_atoms *atoms;
    uint32_t num_prefix; /* positions of their own */
    uint32_t min, max;
};

/* The list that gives a schema atom's first items, and what it says of those after; old drafts spell both `items`. */
static void items_of(const vmt_atom *atom, vmt_json *prefix, vmt_json *rest) {
    vmt_json items = vmt_atom_get(atom, "items");
    *prefix = vmt_atom_get(atom, "prefixItems");
    *rest = items;
    if (vmt_json_typeof(items) == VMT_JSON_ARRAY) {
        *prefix = items;
        *rest = vmt_atom_get(atom, "additionalItems");
    }
}

/* unevaluatedItems speaks of what no schema under the same atom has spoken of. */
static vmt_status add_unevaluated(const struct items *x, const vmt_atom *atom, uint32_t position, vmt_atoms *out) {
    vmt_json unevaluated = vmt_atom_get(atom, "unevaluatedItems"), prefix, rest;
    if (!vmt_json_exists(unevaluated)) return VMT_OK;
    for (uint32_t i = 0; i < x->atoms->len; i++) {
        const vmt_atom *other = &x->atoms->list[i];
        if (!vmt_atoms_is_under(other, atom)) continue;
        items_of(other, &prefix, &rest);
        if (vmt_json_exists(rest) || position < vmt_json_size(prefix)) return VMT_OK;
        if (other != atom && vmt_json_exists(vmt_atom_get(other, "unevaluatedItems"))) return VMT_OK;
    }
    return vmt_atoms_add_schema(x->s, out, unevaluated, atom->place);
}

/* The rule of the item at a position; num_prefix: of all later ones. */
static vmt_status item_rule(const struct items *x, uint32_t position, uint32_t *rule) {
    vmt_atoms atoms = {0};
    for (uint32_t i = 0; i < x->atoms->len; i++) {
        const vmt_atom *atom = &x->atoms->list[i];
        vmt_json prefix, rest, item, found = {0};
        vmt_str key;
        uint32_t k = 0;
        items_of(atom, &prefix, &rest);
        for (vmt_json_iter it = vmt_json_iter_begin(prefix); vmt_json_iter_next(&it, &key, &item); k++) {
            if (k == position) found = item;
        }
        if (!vmt_json_exists(found)) found = rest;
        const vmt_schema_place *place = vmt_schema_place_in(x->s, atom->place, VMT_STR("items"), (vmt_json){0});
        if (vmt_json_exists(found)) VMT_TRY(vmt_atoms_add_schema(x->s, &atoms, found, place));
        VMT_TRY(add_unevaluated(x, atom, position, &atoms));
    }
    return vmt_schema_rule(x->s, &atoms, rule);
}

static void end_list(vmt_rules *r, uint32_t from, uint32_t to) {
    vmt_rules_bytes(r, from, to, ']', ']');
}

/* The items after the first num_prefix, any number of them within the bounds; at is behind the last of those, or behind
 * the bracket.  With bounds, this is a rule of its own whose counter says how many items came before this one. */
static vmt_status add_loop(const struct items *x, uint32_t at, uint32_t to, uint32_t rule) {
    vmt_schema *s = x->s;
    vmt_rules *r = s->rules;
    uint32_t min = x->min > x->num_prefix ? x->min - x->num_prefix : 0;
    uint32_t max = x->max == VMT_REPEAT_FOR_EVER ? x->max : x->max - x->num_prefix;
    bool is_counted = min > 1 || max != VMT_REPEAT_FOR_EVER;
    uint32_t from = at, end = to;
    if (max == 0) return VMT_OK;
    if (is_counted) {
        uint32_t loop_rule = vmt_rules_rule(r);
        if (r->status != VMT_OK) return vmt_rules_status(r, s->err);
        r->rules[loop_rule].is_counted = true;
        r->rules[loop_rule].count_min = min > 0 ? min - 1 : 0;
        r->rules[loop_rule].count_max = max == VMT_REPEAT_FOR_EVER ? max : max - 1;
        vmt_rules_call(r, at, to, loop_rule);
        from = r->rules[loop_rule].start;
        end = r->rules[loop_rule].end;
    }
    uint32_t after = vmt_rules_state(r), comma = vmt_rules_state(r), closed = vmt_rules_state(r);
    vmt_rules_call(r, from, after, rule);
    uint32_t last = vmt_schema_space(s, after);
    vmt_rules_bytes(r, last, comma, ',', ',');
    vmt_rules_call(r, vmt_schema_space_after(s, comma), after, rule);
    end_list(r, last, closed);
    vmt_rules_epsilon(r, closed, end);
    if (r->status == VMT_OK && is_counted) {
        r->states[after].counting = VMT_COUNT_UP;
        r->states[comma].counting = VMT_COUNT_ROOM;
        r->states[closed].counting = VMT_COUNT_ENOUGH;
    }
    return vmt_rules_status(r, s->err);
}

vmt_status vmt_schema_array(vmt_schema *s, const vmt_atoms *atoms, uint32_t from, uint32_t to) {
    vmt_rules *r = s->rules;
    struct items x = {.s = s, .atoms = atoms};
    uint32_t rule;
    bool flag, is_unique = false;
    VMT_TRY(vmt_schema_counts(s, atoms, "minItems", "maxItems", &x.min, &x.max));
    for (uint32_t i = 0; i < atoms->len; i++) {
        vmt_json prefix, rest;
        items_of(&atoms->list[i], &prefix, &rest);
        x.num_prefix = VMT_MAX(x.num_prefix, (uint32_t)vmt_json_size(prefix));
        if (vmt_json_get_bool(vmt_atom_get(&atoms->list[i], "uniqueItems"), &flag) && flag) is_unique = true;
    }
    VMT_ASSERT(!is_unique || x.max <= 1);
    if (x.min > x.max) return VMT_OK;
    x.num_prefix = VMT_MIN(x.num_prefix, x.max);
    uint32_t open = vmt_rules_state(r);
    vmt_rules_bytes(r, from, open, '[', '[');
    uint32_t at = vmt_schema_space(s, open);
    if (x.min == 0) end_list(r, at, to);
    for (uint32_t i = 0; i < x.num_prefix; i++) {
        VMT_TRY(item_rule(&x, i, &rule));
        if (rule == VMT_NO_INDEX) return vmt_rules_status(r, s->err);
        uint32_t after = vmt_rules_state(r);
        vmt_rules_call(r, at, after, rule);
        at = vmt_schema_space(s, after);
        if (i + 1 >= x.min) end_list(r, at, to);
        uint32_t comma = vmt_rules_state(r);
        vmt_rules_bytes(r, at, comma, ',', ',');
        at = vmt_schema_space_after(s, comma);
        VMT_TRY(vmt_rules_status(r, s->err));
    }
    VMT_TRY(item_rule(&x, x.num_prefix, &rule));
    if (rule == VMT_NO_INDEX) return vmt_rules_status(r, s->err);
    return add_loop(&x, at, to, rule);
}
