/* text/grammar_schema_object.c: objects: named properties in the order the schemas name them, then others.
 *
 *   before i   a property with number >= i must come: the next one, or, if that is optional, one further on
 *   after i    those below i are settled: a comma and `before i`, or, if all from i on are optional, the end
 *
 * With minProperties or maxProperties there is a copy of both for every count, so that no state is a dead end. */
#include "json/json_writer.h"
#include "text/grammar_regex.h"
#include "text/grammar_schema.h"

#include <stdlib.h>

struct property {
    vmt_str name;
    uint32_t rule; /* VMT_NO_INDEX: it must not be there */
    bool is_required;
};

/* Names that no property has, by the patterns they match. */
struct others {
    uint32_t key, value; /* rules */
};

struct object {
    vmt_schema *s;
    const vmt_atoms *atoms;
    struct property *properties;
    size_t properties_cap;
    uint32_t num_properties, num_required;
    uint32_t *table; /* property + 1, by name */
    uint32_t table_mask;
    vmt_str patterns[VMT_SCHEMA_PATTERNS_MAX];
    uint32_t num_patterns;
    struct others others[1u << VMT_SCHEMA_PATTERNS_MAX];
    uint32_t num_others;
    uint32_t min, max;
    bool is_never;
};

/* ---- names */

static vmt_status rehash(struct object *o) {
    uint32_t mask = VMT_MAX(o->table_mask * 2 + 1, 31u);
    uint32_t *table = calloc((size_t)mask + 1, sizeof *table);
    if (!table) return vmt_schema_no_memory(o->s);
    for (uint32_t i = 0; i < o->num_properties; i++) {
        uint32_t at = (uint32_t)vmt_hash_fast(o->properties[i].name.ptr, o->properties[i].name.len) & mask;
        while (table[at] != 0) at = (at + 1) & mask;
        table[at] = i + 1;
    }
    free(o->table);
    o->table = table;
    o->table_mask = mask;
    return VMT_OK;
}

static vmt_status add_name(struct object *o, vmt_str name, struct property **out) {
    if (((size_t)o->num_properties + 1) * 2 > o->table_mask) VMT_TRY(rehash(o));
    uint32_t at = (uint32_t)vmt_hash_fast(name.ptr, name.len) & o->table_mask;
    for (; o->table[at] != 0; at = (at + 1) & o->table_mask) {
        *out = &o->properties[o->table[at] - 1];
        if (vmt_str_eq((*out)->name, name)) return VMT_OK;
    }
    if (vmt_array_grow((void **)&o->properties, &o->properties_cap, (size_t)o->num_properties + 1,
                       sizeof *o->properties, VMT_GRAMMAR_RULES_MAX) != VMT_OK) {
        return vmt_schema_no_memory(o->s);
    }
    *out = &o->properties[o->num_properties++];
    **out = (struct property){.name = name};
    o->table[at] = o->num_properties;
    return VMT_OK;
}

static vmt_status collect_names(struct object *o) {
    struct property *property;
    vmt_str key, name;
    vmt_json item;
    for (uint32_t i = 0; i < o->atoms->len; i++) {
        const vmt_atom *atom = &o->atoms->list[i];
        vmt_json properties = vmt_atom_get(atom, "properties");
        if (vmt_json_exists(properties) && vmt_json_typeof(properties) != VMT_JSON_OBJECT) {
            return vmt_schema_invalid(o->s, atom->place, "properties", "it must be an object");
        }
        for (vmt_json_iter it = vmt_json_iter_begin(properties); vmt_json_iter_next(&it, &key, &item);) {
            VMT_TRY(add_name(o, key, &property));
        }
    }
    for (uint32_t i = 0; i < o->atoms->len; i++) {
        const vmt_atom *atom = &o->atoms->list[i];
        vmt_json required = vmt_atom_get(atom, "required");
        for (vmt_json_iter it = vmt_json_iter_begin(required); vmt_json_iter_next(&it, &key, &item);) {
            if (!vmt_json_get_str(item, &name)) {
                return vmt_schema_invalid(o->s, atom->place, "required", "it must be a list of names");
            }
            VMT_TRY(add_name(o, name, &property));
            property->is_required = true;
        }
        bool names_one =
            atom->kind == VMT_ATOM_REQUIRE || atom->kind == VMT_ATOM_FORBID || atom->kind == VMT_ATOM_NOT_MEMBER;
        if (!names_one) continue;
        VMT_TRY(add_name(o, atom->name, &property));
        if (atom->kind == VMT_ATOM_REQUIRE) property->is_required = true;
    }
    return VMT_OK;
}

static vmt_status collect_patterns(struct object *o) {
    vmt_str key;
    vmt_json item;
    for (uint32_t i = 0; i < o->atoms->len; i++) {
        const vmt_atom *atom = &o->atoms->list[i];
        vmt_json patterns = vmt_atom_get(atom, "patternProperties");
        for (vmt_json_iter it = vmt_json_iter_begin(patterns); vmt_json_iter_next(&it, &key, &item);) {
            uint32_t k = 0;
            while (k < o->num_patterns && !vmt_str_eq(o->patterns[k], key)) k++;
            if (k < o->num_patterns) continue;
            if (k == VMT_SCHEMA_PATTERNS_MAX) {
                return vmt_fail(o->s->err, VMT_E_EXHAUSTED,
                                "schema keyword patternProperties: more than %u patterns for one object",
                                VMT_SCHEMA_PATTERNS_MAX);
            }
            o->patterns[o->num_patterns++] = key;
        }
    }
    return VMT_OK;
}

/* ---- what the schemas say of a member */

/* A member is a name, or all other names that match exactly the patterns in matched. */
struct member {
    bool is_named;
    vmt_str name;
    uint32_t matched; /* bits of patterns */
};

static uint32_t pattern_bit(const struct object *o, vmt_str pattern) {
    for (uint32_t k = 0; k < o->num_patterns; k++) {
        if (vmt_str_eq(o->patterns[k], pattern)) return 1u << k;
    }
    return 0;
}

/* Does the atom itself speak of the member, its additionalProperties aside? */
static bool speaks_of(const struct object *o, const vmt_atom *atom, const struct member *m) {
    vmt_str key;
    vmt_json item;
    if (m->is_named && vmt_json_exists(vmt_json_member(vmt_atom_get(atom, "properties"), m->name))) return true;
    vmt_json patterns = vmt_atom_get(atom, "patternProperties");
    for (vmt_json_iter it = vmt_json_iter_begin(patterns); vmt_json_iter_next(&it, &key, &item);) {
        if (m->matched & pattern_bit(o, key)) return true;
    }
    return false;
}

static vmt_status add_unevaluated(const struct object *o, const vmt_atom *atom, const struct member *m,
                                  const vmt_schema_place *place, vmt_atoms *out) {
    vmt_json unevaluated = vmt_atom_get(atom, "unevaluatedProperties");
    if (!vmt_json_exists(unevaluated)) return VMT_OK;
    for (uint32_t i = 0; i < o->atoms->len; i++) {
        const vmt_atom *other = &o->atoms->list[i];
        if (!vmt_atoms_is_under(other, atom)) continue;
        if (speaks_of(o, other, m) || vmt_json_exists(vmt_atom_get(other, "additionalProperties"))) return VMT_OK;
        if (other != atom && vmt_json_exists(vmt_atom_get(other, "unevaluatedProperties"))) return VMT_OK;
    }
    return vmt_atoms_add_schema(o->s, out, unevaluated, place);
}

/* Nobody says what other properties there may be, and the options make that a no. */
static bool is_closed(const struct object *o) {
    return o->s->options.closed_objects && vmt_atoms_have(o->atoms, "properties") &&
           !vmt_atoms_have(o->atoms, "additionalProperties") &&
           !vmt_atoms_have(o->atoms, "unevaluatedProperties") && !vmt_atoms_have(o->atoms, "patternProperties");
}

static vmt_status member_rule(const struct object *o, const struct member *m, uint32_t *rule) {
    vmt_schema *s = o->s;
    vmt_atoms atoms = {.is_never = !m->is_named && is_closed(o)};
    vmt_str key, step = m->is_named ? m->name : VMT_STR("additionalProperties");
    vmt_json item;
    for (uint32_t i = 0; i < o->atoms->len; i++) {
        const vmt_atom *atom = &o->atoms->list[i];
        bool is_about = m->is_named && vmt_str_eq(atom->name, m->name);
        if (atom->kind == VMT_ATOM_FORBID && is_about) atoms.is_never = true;
        const vmt_schema_place *place = vmt_schema_place_in(s, atom->place, step, (vmt_json){0});
        if (atom->kind == VMT_ATOM_NOT_MEMBER && is_about) {
            VMT_TRY(
                vmt_atoms_add(s, &atoms, (vmt_atom){.kind = VMT_ATOM_NOT, .json = atom->json, .place = place}));
        }
        if (atom->kind != VMT_ATOM_SCHEMA) continue;
        if (m->is_named) {
            item = vmt_json_member(vmt_atom_get(atom, "properties"), m->name);
            if (vmt_json_exists(item)) VMT_TRY(vmt_atoms_add_schema(s, &atoms, item, place));
        }
        vmt_json patterns = vmt_atom_get(atom, "patternProperties");
        for (vmt_json_iter it = vmt_json_iter_begin(patterns); vmt_json_iter_next(&it, &key, &item);) {
            if (m->matched & pattern_bit(o, key)) VMT_TRY(vmt_atoms_add_schema(s, &atoms, item, place));
        }
        vmt_json additional = vmt_atom_get(atom, "additionalProperties");
        if (vmt_json_exists(additional) && !speaks_of(o, atom, m)) {
            VMT_TRY(vmt_atoms_add_schema(s, &atoms, additional, place));
        }
        VMT_TRY(add_unevaluated(o, atom, m, place, &atoms));
    }
    return vmt_schema_rule(s, &atoms, rule);
}

/* ---- names of properties */

/* All that propertyNames says, as atoms on the name. */
static vmt_status name_atoms(const struct object *o, vmt_atoms *out) {
    *out = (vmt_atoms){0};
    for (uint32_t i = 0; i < o->atoms->len; i++) {
        const vmt_atom *atom = &o->atoms->list[i];
        vmt_json names = vmt_atom_get(atom, "propertyNames");
        if (vmt_json_exists(names)) VMT_TRY(vmt_atoms_add_schema(o->s, out, names, atom->place));
    }
    VMT_TRY(vmt_atoms_expand(o->s, out));
    if ((vmt_atoms_types(out) & VMT_TYPE_STRING) == 0) out->is_never = true;
    for (uint32_t i = 0; i < out->len; i++) {
        static const char *const choices[] = {"anyOf", "oneOf", "if"};
        for (size_t k = 0; k < VMT_COUNT(choices); k++) {
            if (!vmt_json_exists(vmt_atom_get(&out->list[i], choices[k]))) continue;
            return vmt_schema_unsupported(o->s, out->list[i].place, "propertyNames", "with alternatives");
        }
        if (out->list[i].kind == VMT_ATOM_NOT && (out->list[i].done & VMT_DONE_ANY_OF) == 0) {
            return vmt_schema_unsupported(o->s, out->list[i].place, "propertyNames", "with this negation");
        }
    }
    return VMT_OK;
}

/* The strings that an enum or const of the names lists, if there is one. */
static vmt_status listed_names(const struct object *o, const vmt_atoms *names, vmt_automaton *out,
                               bool *has_list) {
    vmt_rules rules;
    vmt_str key, text;
    vmt_json item;
    *has_list = false;
    *out = (vmt_automaton){0};
    for (uint32_t i = 0; i < names->len && !*has_list; i++) {
        vmt_json list = vmt_atom_get(&names->list[i], "enum"), one = vmt_atom_get(&names->list[i], "const");
        if (!vmt_json_exists(list) && !vmt_json_exists(one)) continue;
        *has_list = true;
        vmt_rules_init(&rules);
        uint32_t start = vmt_rules_state(&rules), end = vmt_rules_state(&rules);
        if (vmt_json_get_str(one, &text)) vmt_rules_epsilon(&rules, vmt_rules_literal(&rules, start, text), end);
        for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, &key, &item);) {
            if (!vmt_json_get_str(item, &text)) continue;
            vmt_rules_epsilon(&rules, vmt_rules_literal(&rules, start, text), end);
        }
        vmt_status status = vmt_language_compile(out, &rules, (vmt_fragment){start, end}, o->s->err);
        vmt_rules_free(&rules);
        VMT_TRY(status);
    }
    return VMT_OK;
}

static vmt_status known_names(const struct object *o, vmt_automaton *out) {
    vmt_rules rules;
    vmt_rules_init(&rules);
    uint32_t start = vmt_rules_state(&rules), end = vmt_rules_state(&rules);
    for (uint32_t i = 0; i < o->num_properties; i++) {
        vmt_rules_epsilon(&rules, vmt_rules_literal(&rules, start, o->properties[i].name), end);
    }
    vmt_status status = vmt_language_compile(out, &rules, (vmt_fragment){start, end}, o->s->err);
    vmt_rules_free(&rules);
    return status;
}

static vmt_status any_string(vmt_schema *s, vmt_automaton *out) {
    vmt_rules rules;
    vmt_rules_init(&rules);
    vmt_status status = vmt_language_compile(out, &rules, vmt_any_chars(&rules, 0, VMT_REPEAT_FOR_EVER), s->err);
    vmt_rules_free(&rules);
    return status;
}

/* What the names of other properties are: parts[0] is the base of the intersection. */
struct name_parts {
    vmt_automaton base, allowed, listed, known;
    vmt_language_part list[4 + VMT_SCHEMA_PATTERNS_MAX];
    uint32_t len;
    bool is_any; /* nothing is said at all */
};

static void free_name_parts(struct name_parts *p) {
    vmt_automaton_free(&p->base);
    vmt_automaton_free(&p->allowed);
    vmt_automaton_free(&p->listed);
    vmt_automaton_free(&p->known);
}

static vmt_status find_name_parts(const struct object *o, const vmt_atoms *names, struct name_parts *p) {
    bool is_limited, has_list;
    *p = (struct name_parts){0};
    VMT_TRY(vmt_schema_string_language(o->s, names, &p->allowed, &is_limited));
    VMT_TRY(any_string(o->s, &p->base));
    VMT_TRY(listed_names(o, names, &p->listed, &has_list));
    p->list[p->len++] = (vmt_language_part){&p->base, false};
    if (is_limited) p->list[p->len++] = (vmt_language_part){&p->allowed, false};
    if (has_list) p->list[p->len++] = (vmt_language_part){&p->listed, false};
    if (o->num_properties > 0) {
        VMT_TRY(known_names(o, &p->known));
        p->list[p->len++] = (vmt_language_part){&p->known, true};
    }
    p->is_any = p->len == 1 && o->num_patterns == 0;
    return VMT_OK;
}

static vmt_status add_others_class(struct object *o, struct name_parts *p, uint32_t matched) {
    vmt_schema *s = o->s;
    vmt_automaton names;
    struct member m = {.matched = matched};
    struct others *others = &o->others[o->num_others];
    VMT_TRY(member_rule(o, &m, &others->value));
    if (others->value == VMT_NO_INDEX) return VMT_OK;
    if (p->is_any) {
        others->key = vmt_schema_builtin_rule(s, VMT_BUILTIN_STRING);
        o->num_others++;
        return VMT_OK;
    }
    uint32_t len = p->len;
    for (uint32_t k = 0; k < o->num_patterns; k++) {
        const vmt_automaton *language;
        VMT_TRY(vmt_schema_pattern_of(s, o->patterns[k], true, &language));
        p->list[len++] = (vmt_language_part){language, (matched >> k & 1) == 0};
    }
    VMT_TRY(vmt_language_intersect(&names, p->list, len, s->err));
    if (names.num_states > 0) {
        vmt_rules *r = s->rules;
        others->key = vmt_rules_rule(r);
        if (r->status == VMT_OK) {
            uint32_t open = vmt_rules_state(r), close = vmt_rules_state(r);
            vmt_rules_bytes(r, r->rules[others->key].start, open, '"', '"');
            vmt_language_emit_json(r, open, close, &names);
            vmt_rules_bytes(r, close, r->rules[others->key].end, '"', '"');
            o->num_others++;
        }
    }
    vmt_automaton_free(&names);
    return vmt_rules_status(s->rules, s->err);
}

/* A rule for every named property, and the classes of others. */
static vmt_status find_members(struct object *o) {
    vmt_schema *s = o->s;
    vmt_atoms names;
    const vmt_automaton *language;
    bool admits;
    VMT_TRY(name_atoms(o, &names));
    for (uint32_t i = 0; i < o->num_properties; i++) {
        struct property *property = &o->properties[i];
        struct member m = {.is_named = true, .name = property->name};
        for (uint32_t k = 0; k < o->num_patterns; k++) {
            VMT_TRY(vmt_schema_pattern_of(s, o->patterns[k], true, &language));
            if (vmt_language_has(language, property->name)) m.matched |= 1u << k;
        }
        VMT_TRY(member_rule(o, &m, &property->rule));
        if (names.is_never) property->rule = VMT_NO_INDEX;
        if (names.len > 0 && property->rule != VMT_NO_INDEX) {
            vmt_automaton listed;
            bool has_list;
            VMT_TRY(vmt_schema_admits_string(s, &names, property->name, &admits));
            VMT_TRY(listed_names(o, &names, &listed, &has_list));
            if (!admits || (has_list && !vmt_language_has(&listed, property->name))) property->rule = VMT_NO_INDEX;
            vmt_automaton_free(&listed);
        }
        o->num_required += property->is_required;
        if (property->is_required && property->rule == VMT_NO_INDEX) o->is_never = true;
    }
    if (names.is_never || o->is_never) return VMT_OK;
    struct name_parts *parts = calloc(1, sizeof *parts);
    if (!parts) return vmt_schema_no_memory(s);
    vmt_status status = find_name_parts(o, &names, parts);
    for (uint32_t matched = 0; matched < 1u << o->num_patterns && status == VMT_OK; matched++) {
        status = add_others_class(o, parts, matched);
    }
    free_name_parts(parts);
    free(parts);
    return status;
}

/* ---- the rule */

struct layout {
    uint32_t *before, *after; /* [num_properties + 1][num_counts] */
    uint32_t num_counts;
};

static uint32_t add_member_head(struct object *o, uint32_t after_key) {
    vmt_rules *r = o->s->rules;
    uint32_t colon = vmt_rules_state(r);
    vmt_rules_bytes(r, vmt_schema_space(o->s, after_key), colon, ':', ':');
    return vmt_schema_space_after(o->s, colon);
}

/* The count after one more; VMT_NO_INDEX: that would be too many. */
static uint32_t count_up(const struct object *o, const struct layout *l, uint32_t count) {
    if (o->max != VMT_REPEAT_FOR_EVER) return count < o->max ? count + 1 : VMT_NO_INDEX;
    return VMT_MIN(count + 1, l->num_counts - 1);
}

static vmt_status add_property(struct object *o, const struct layout *l, uint32_t i, uint32_t count) {
    vmt_rules *r = o->s->rules;
    const struct property *p = &o->properties[i];
    uint32_t next = count_up(o, l, count), n = l->num_counts;
    if (!p->is_required) vmt_rules_epsilon(r, l->before[i * n + count], l->before[(i + 1) * n + count]);
    if (next == VMT_NO_INDEX || p->rule == VMT_NO_INDEX) return VMT_OK;
    vmt_buf buf;
    vmt_buf_init(&buf, 0);
    vmt_json_escape(&buf, p->name);
    if (buf.failed) return vmt_schema_no_memory(o->s);
    uint32_t at = vmt_rules_literal(r, l->before[i * n + count], vmt_buf_str(&buf));
    vmt_buf_free(&buf);
    at = add_member_head(o, at);
    vmt_rules_call(r, at, l->after[(i + 1) * n + next], p->rule);
    return vmt_rules_status(r, o->s->err);
}

static void add_others(struct object *o, const struct layout *l, uint32_t count) {
    vmt_rules *r = o->s->rules;
    uint32_t next = count_up(o, l, count), last = o->num_properties * l->num_counts;
    for (uint32_t k = 0; k < o->num_others && next != VMT_NO_INDEX; k++) {
        uint32_t key = vmt_rules_state(r);
        vmt_rules_call(r, l->before[last + count], key, o->others[k].key);
        uint32_t at = add_member_head(o, key);
        vmt_rules_call(r, at, l->after[last + next], o->others[k].value);
    }
}

static vmt_status lay_out(struct object *o, const struct layout *l, uint32_t from, uint32_t to) {
    vmt_schema *s = o->s;
    vmt_rules *r = s->rules;
    uint32_t n = o->num_properties, num_counts = l->num_counts, last_required = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (o->properties[i].is_required) last_required = i + 1;
    }
    for (uint32_t i = 0; i < (n + 1) * num_counts; i++) {
        l->before[i] = vmt_rules_state(r);
        l->after[i] = vmt_rules_state(r);
    }
    VMT_TRY(vmt_rules_status(r, s->err));
    for (uint32_t i = 0; i <= n; i++) {
        for (uint32_t c = 0; c < num_counts; c++) {
            if (i < n)
                VMT_TRY(add_property(o, l, i, c));
            else
                add_others(o, l, c);
            if (i == 0) continue; /* nothing has come yet: see below */
            uint32_t at = vmt_schema_space(s, l->after[i * num_counts + c]), comma = vmt_rules_state(r);
            if (i >= last_required && c >= VMT_MIN(o->min, num_counts - 1)) vmt_rules_bytes(r, at, to, '}', '}');
            vmt_rules_bytes(r, at, comma, ',', ',');
            vmt_rules_epsilon(r, vmt_schema_space_after(s, comma), l->before[i * num_counts + c]);
            VMT_TRY(vmt_rules_status(r, s->err));
        }
    }
    /* Without named properties the first and the last place are one. */
    if (n == 0) {
        for (uint32_t c = 1; c < num_counts || c == 1; c++) {
            uint32_t at_count = VMT_MIN(c, num_counts - 1);
            uint32_t at = vmt_schema_space(s, l->after[at_count]), comma = vmt_rules_state(r);
            if (at_count >= VMT_MIN(o->min, num_counts - 1)) vmt_rules_bytes(r, at, to, '}', '}');
            vmt_rules_bytes(r, at, comma, ',', ',');
            vmt_rules_epsilon(r, vmt_schema_space_after(s, comma), l->before[at_count]);
            VMT_TRY(vmt_rules_status(r, s->err));
        }
    }
    uint32_t open = vmt_rules_state(r);
    vmt_rules_bytes(r, from, open, '{', '{');
    uint32_t at = vmt_schema_space(s, open);
    if (last_required == 0 && o->min == 0) vmt_rules_bytes(r, at, to, '}', '}');
    vmt_rules_epsilon(r, at, l->before[0]);
    return vmt_rules_status(r, s->err);
}

/* Other properties may repeat a name, so only one of them counts towards minProperties for sure. */
static vmt_status check_min(struct object *o) {
    if (o->num_others == 0 || o->min <= o->num_required + 1) return VMT_OK;
    return vmt_schema_unsupported(o->s, o->atoms->list[0].place, "minProperties",
                                  "above the required properties plus one, where unnamed ones are allowed");
}

static vmt_status build(struct object *o, uint32_t from, uint32_t to) {
    VMT_TRY(collect_names(o));
    VMT_TRY(collect_patterns(o));
    VMT_TRY(find_members(o));
    if (o->is_never || o->min > o->max || o->num_required > o->max) return VMT_OK;
    if (o->min <= o->num_required) o->min = 0; /* those are there anyway */
    VMT_TRY(check_min(o));
    struct layout l = {.num_counts = 1 + (o->max != VMT_REPEAT_FOR_EVER ? o->max : o->min)};
    if (o->num_others == 0 && o->max != VMT_REPEAT_FOR_EVER && o->max >= o->num_properties) {
        o->max = VMT_REPEAT_FOR_EVER;
        l.num_counts = 1 + o->min;
    }
    uint64_t num = ((uint64_t)o->num_properties + 1) * l.num_counts;
    if (num > VMT_SCHEMA_COUNTS_MAX) {
        return vmt_fail(
            o->s->err, VMT_E_EXHAUSTED,
            "schema keywords minProperties and maxProperties: %u named properties need more than %u states",
            o->num_properties, VMT_SCHEMA_COUNTS_MAX);
    }
    l.before = malloc(2 * num * sizeof *l.before);
    if (!l.before) return vmt_schema_no_memory(o->s);
    l.after = l.before + num;
    vmt_status status = lay_out(o, &l, from, to);
    free(l.before);
    return status;
}

vmt_status vmt_schema_object(vmt_schema *s, const vmt_atoms *atoms, uint32_t from, uint32_t to) {
    struct object *o = calloc(1, sizeof *o);
    if (!o) return vmt_schema_no_memory(s);
    o->s = s;
    o->atoms = atoms;
    vmt_status status = vmt_schema_counts(s, atoms, "minProperties", "maxProperties", &o->min, &o->max);
    if (status == VMT_OK) status = build(o, from, to);
    free(o->properties);
    free(o->table);
    free(o);
    return status;
}
