/* text/grammar_atoms.c: conjunctions of schemas: what they are made of, and the choices that split them. */
#include "json/json_writer.h"
#include "text/grammar_schema.h"

/* ---- lists */

vmt_status vmt_atoms_add(vmt_schema *s, vmt_atoms *atoms, vmt_atom atom) {
    for (uint32_t i = 0; i < atoms->len; i++) {
        const vmt_atom *a = &atoms->list[i];
        if (a->kind == atom.kind && a->json.doc_ == atom.json.doc_ && a->json.idx_ == atom.json.idx_ &&
            a->types == atom.types && vmt_str_eq(a->name, atom.name)) {
            return VMT_OK;
        }
    }
    if (atoms->len == VMT_SCHEMA_ATOMS_MAX) {
        return vmt_fail(s->err, VMT_E_EXHAUSTED, "more than %u schemas apply to one value", VMT_SCHEMA_ATOMS_MAX);
    }
    if (atoms->len == atoms->cap) {
        uint32_t cap = VMT_MAX(8u, atoms->cap * 2);
        vmt_atom *list = vmt_arena_alloc(s->arena, cap * sizeof *list);
        if (!list) return vmt_schema_no_memory(s);
        if (atoms->len > 0) memcpy(list, atoms->list, atoms->len * sizeof *list);
        atoms->list = list;
        atoms->cap = cap;
    }
    atoms->list[atoms->len++] = atom;
    return VMT_OK;
}

vmt_status vmt_atoms_copy(vmt_schema *s, vmt_atoms *to, const vmt_atoms *from) {
    *to = (vmt_atoms){.is_never = from->is_never, .cap = from->len + 8};
    to->list = vmt_arena_alloc(s->arena, to->cap * sizeof *to->list);
    if (!to->list) return vmt_schema_no_memory(s);
    if (from->len > 0) memcpy(to->list, from->list, from->len * sizeof *to->list);
    to->len = from->len;
    return VMT_OK;
}

static void drop(vmt_atoms *atoms, uint32_t i) {
    atoms->len--;
    memmove(atoms->list + i, atoms->list + i + 1, (atoms->len - i) * sizeof *atoms->list);
}

vmt_status vmt_atoms_add_schema(vmt_schema *s, vmt_atoms *atoms, vmt_json json, const vmt_schema_place *place) {
    bool flag;
    if (vmt_json_get_bool(json, &flag)) {
        if (!flag) atoms->is_never = true;
        return VMT_OK;
    }
    if (vmt_json_typeof(json) != VMT_JSON_OBJECT) {
        return vmt_schema_invalid(s, place, "here", "a schema must be an object, true or false");
    }
    if (vmt_json_size(json) == 0) return VMT_OK;
    return vmt_atoms_add(s, atoms, (vmt_atom){.kind = VMT_ATOM_SCHEMA, .json = json, .place = place});
}

bool vmt_atoms_have(const vmt_atoms *atoms, const char *keyword) {
    for (uint32_t i = 0; i < atoms->len; i++) {
        if (vmt_json_exists(vmt_atom_get(&atoms->list[i], keyword))) return true;
    }
    return false;
}

static bool same(vmt_json a, vmt_json b) {
    return a.doc_ == b.doc_ && a.idx_ == b.idx_;
}

bool vmt_atoms_is_under(const vmt_atom *atom, const vmt_atom *ancestor) {
    if (atom->kind == VMT_ATOM_SCHEMA && same(atom->json, ancestor->json)) return true;
    for (const vmt_schema_place *p = atom->place; p; p = p->parent) {
        if (p->is_detached) return false;
        if (same(p->schema, ancestor->json)) return true;
    }
    return false;
}

/* ---- types */

static uint8_t type_of_name(vmt_str name) {
    static const struct {
        const char *name;
        uint8_t type;
    } types[] = {
        {"null", VMT_TYPE_NULL},     {"boolean", VMT_TYPE_BOOL},  {"integer", VMT_TYPE_INTEGER},
        {"number", VMT_TYPE_NUMBER}, {"string", VMT_TYPE_STRING}, {"array", VMT_TYPE_ARRAY},
        {"object", VMT_TYPE_OBJECT},
    };
    for (size_t i = 0; i < VMT_COUNT(types); i++) {
        if (vmt_str_eq_c(name, types[i].name)) return types[i].type;
    }
    return 0;
}

static vmt_status types_of(vmt_schema *s, vmt_json json, const vmt_schema_place *place, uint8_t *types) {
    vmt_str name, key;
    vmt_json item;
    *types = 0;
    if (vmt_json_get_str(json, &name)) *types = type_of_name(name);
    for (vmt_json_iter it = vmt_json_iter_begin(json); vmt_json_iter_next(&it, &key, &item);) {
        uint8_t type = vmt_json_get_str(item, &name) ? type_of_name(name) : 0;
        if (type == 0) return vmt_schema_invalid(s, place, "type", "it names no JSON type");
        *types |= type;
    }
    return *types ? VMT_OK : vmt_schema_invalid(s, place, "type", "it names no JSON type");
}

uint8_t vmt_atoms_types(const vmt_atoms *atoms) {
    uint8_t types = VMT_TYPE_ALL;
    for (uint32_t i = 0; i < atoms->len; i++) {
        const vmt_atom *atom = &atoms->list[i];
        if (atom->kind == VMT_ATOM_TYPES) types &= atom->types;
        if (atom->kind == VMT_ATOM_NOT_VALUE && vmt_json_is_null(atom->json)) types &= (uint8_t)~VMT_TYPE_NULL;
    }
    return types;
}

static vmt_status add_types(vmt_schema *s, vmt_atoms *atoms, uint8_t types, const vmt_schema_place *place) {
    if (types == 0) atoms->is_never = true;
    return vmt_atoms_add(s, atoms, (vmt_atom){.kind = VMT_ATOM_TYPES, .types = types, .place = place});
}

/* ---- schemas: their parts become atoms */

static vmt_status add_parts(vmt_schema *s, vmt_atoms *atoms, const vmt_atom *atom) {
    vmt_json json = atom->json, item;
    vmt_str ref, key;
    uint8_t types;
    const vmt_schema_place *place = vmt_schema_place_in(s, atom->place, (vmt_str){0}, json);
    VMT_TRY(vmt_schema_check_keywords(s, json, atom->place));
    if (vmt_json_get_str(VMT_JSON_AT(json, "$ref"), &ref)) {
        VMT_TRY(vmt_schema_resolve(s, ref, atom->place, &item));
        VMT_TRY(vmt_atoms_add_schema(s, atoms, item, place));
        if (s->is_old) return VMT_OK;
    }
    vmt_json type = VMT_JSON_AT(json, "type");
    if (vmt_json_exists(type)) {
        VMT_TRY(types_of(s, type, atom->place, &types));
        VMT_TRY(add_types(s, atoms, types, atom->place));
    }
    vmt_json all_of = VMT_JSON_AT(json, "allOf"), negation = VMT_JSON_AT(json, "not");
    if (vmt_json_exists(all_of) && vmt_json_typeof(all_of) != VMT_JSON_ARRAY) {
        return vmt_schema_invalid(s, atom->place, "allOf", "it must be a list");
    }
    for (vmt_json_iter it = vmt_json_iter_begin(all_of); vmt_json_iter_next(&it, &key, &item);) {
        VMT_TRY(vmt_atoms_add_schema(s, atoms, item, place));
    }
    if (!vmt_json_exists(negation)) return VMT_OK;
    return vmt_atoms_add(s, atoms, (vmt_atom){.kind = VMT_ATOM_NOT, .json = negation, .place = place});
}

/* ---- negations of one keyword, outright */

static vmt_status add_not_values(vmt_schema *s, vmt_atoms *atoms, const vmt_atom *atom, vmt_json list) {
    vmt_json item;
    vmt_str key;
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, &key, &item);) {
        VMT_TRY(
            vmt_atoms_add(s, atoms, (vmt_atom){.kind = VMT_ATOM_NOT_VALUE, .json = item, .place = atom->place}));
    }
    return VMT_OK;
}

/* A limit turned round: not {minLength: 3} is a string with {maxLength: 2}. */
static vmt_status negate_limit(vmt_schema *s, vmt_atoms *atoms, const vmt_atom *atom, vmt_str keyword,
                               vmt_json value, bool *is_done) {
    static const struct {
        const char *keyword, *type, *opposite;
        int step; /* from the limit to its opposite, in whole numbers */
    } limits[] = {
        {"minimum", "number", "exclusiveMaximum", 0},
        {"exclusiveMinimum", "number", "maximum", 0},
        {"maximum", "number", "exclusiveMinimum", 0},
        {"exclusiveMaximum", "number", "minimum", 0},
        {"minLength", "string", "maxLength", -1},
        {"maxLength", "string", "minLength", 1},
        {"minItems", "array", "maxItems", -1},
        {"maxItems", "array", "minItems", 1},
        {"minProperties", "object", "maxProperties", -1},
        {"maxProperties", "object", "minProperties", 1},
    };
    size_t i = 0;
    double number;
    vmt_json made;
    while (i < VMT_COUNT(limits) && !vmt_str_eq_c(keyword, limits[i].keyword)) i++;
    if (i == VMT_COUNT(limits) || !vmt_json_get_f64(value, &number)) {
        return vmt_schema_unsupported(s, atom->place, "not", "the negation of this schema is no automaton");
    }
    *is_done = true;
    if (number + limits[i].step < 0 && limits[i].step != 0) {
        atoms->is_never = true;
        return VMT_OK;
    }
    vmt_buf text;
    vmt_json_writer w;
    vmt_buf_init(&text, 0);
    vmt_json_writer_init(&w, &text);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "type");
    vmt_json_c_str(&w, limits[i].type);
    vmt_json_key(&w, limits[i].opposite);
    if (limits[i].step == 0)
        vmt_json_value(&w, value);
    else
        vmt_json_f64(&w, number + limits[i].step);
    vmt_json_end_object(&w);
    vmt_status status =
        text.failed ? vmt_schema_no_memory(s) : vmt_schema_synthesize(s, vmt_buf_str(&text), &made);
    vmt_buf_free(&text);
    return status == VMT_OK ? vmt_atoms_add_schema(s, atoms, made, atom->place) : status;
}

/* Values that satisfy not {keyword: value}; is_done false: it is a choice, for split(). */
static vmt_status negate_keyword(vmt_schema *s, vmt_atoms *atoms, const vmt_atom *atom, vmt_str keyword,
                                 bool *is_done) {
    vmt_json value = vmt_json_member(atom->json, keyword), item;
    vmt_str key, text;
    uint8_t types;
    *is_done = true;
    if (vmt_str_eq_c(keyword, "type")) {
        VMT_TRY(types_of(s, value, atom->place, &types));
        /* No automaton here writes numbers that are no integers only. */
        if (types & VMT_TYPE_INTEGER) types |= VMT_TYPE_NUMBER;
        return add_types(s, atoms, VMT_TYPE_ALL & ~types, atom->place);
    }
    if (vmt_str_eq_c(keyword, "enum")) return add_not_values(s, atoms, atom, value);
    if (vmt_str_eq_c(keyword, "const")) {
        return vmt_atoms_add(s, atoms,
                             (vmt_atom){.kind = VMT_ATOM_NOT_VALUE, .json = value, .place = atom->place});
    }
    if (vmt_str_eq_c(keyword, "not")) {
        vmt_schema_place *place = VMT_ARENA_NEW(s->arena, vmt_schema_place, 1);
        if (!place) return vmt_schema_no_memory(s);
        *place = (vmt_schema_place){.parent = atom->place, .is_detached = true};
        return vmt_atoms_add_schema(s, atoms, value, place);
    }
    if (vmt_str_eq_c(keyword, "pattern") && vmt_json_get_str(value, &text)) {
        VMT_TRY(add_types(s, atoms, VMT_TYPE_STRING, atom->place));
        return vmt_atoms_add(s, atoms,
                             (vmt_atom){.kind = VMT_ATOM_NOT_PATTERN, .name = text, .place = atom->place});
    }
    if (vmt_str_eq_c(keyword, "anyOf")) {
        for (vmt_json_iter it = vmt_json_iter_begin(value); vmt_json_iter_next(&it, &key, &item);) {
            VMT_TRY(vmt_atoms_add(s, atoms, (vmt_atom){.kind = VMT_ATOM_NOT, .json = item, .place = atom->place}));
        }
        return VMT_OK;
    }
    if (vmt_str_eq_c(keyword, "$ref") && vmt_json_get_str(value, &text)) {
        VMT_TRY(vmt_schema_resolve(s, text, atom->place, &item));
        return vmt_atoms_add(s, atoms, (vmt_atom){.kind = VMT_ATOM_NOT, .json = item, .place = atom->place});
    }
    *is_done = false;
    if (vmt_str_eq_c(keyword, "required") || vmt_str_eq_c(keyword, "properties") ||
        vmt_str_eq_c(keyword, "allOf")) {
        return VMT_OK;
    }
    return negate_limit(s, atoms, atom, keyword, value, is_done);
}

/* The one keyword of a schema that asserts something; num is how many there are. */
static vmt_str only_assertion(vmt_json json, uint32_t *num) {
    vmt_str key, found = {0};
    vmt_json value;
    *num = 0;
    for (vmt_json_iter it = vmt_json_iter_begin(json); vmt_json_iter_next(&it, &key, &value);) {
        if (vmt_schema_is_annotation(key)) continue;
        found = key;
        (*num)++;
    }
    return found;
}

static vmt_status expand_not(vmt_schema *s, vmt_atoms *atoms, uint32_t i) {
    vmt_atom atom = atoms->list[i];
    bool flag, is_done = false;
    uint32_t num = 1;
    if (vmt_json_get_bool(atom.json, &flag)) {
        drop(atoms, i);
        if (flag) atoms->is_never = true;
        return VMT_OK;
    }
    vmt_str keyword = atom.name;
    if (keyword.len == 0) keyword = only_assertion(atom.json, &num);
    if (num == 0) {
        atoms->is_never = true;
        return VMT_OK;
    }
    atoms->list[i].done |= VMT_DONE_PARTS;
    if (num > 1) return VMT_OK; /* a choice of which keyword fails */
    atoms->list[i].name = keyword;
    VMT_TRY(negate_keyword(s, atoms, &atom, keyword, &is_done));
    if (is_done) atoms->list[i].done |= VMT_DONE_ANY_OF;
    return VMT_OK;
}

vmt_status vmt_atoms_expand(vmt_schema *s, vmt_atoms *atoms) {
    for (uint32_t i = 0; i < atoms->len && !atoms->is_never; i++) {
        vmt_atom atom = atoms->list[i];
        if (atom.done & VMT_DONE_PARTS) continue;
        if (atom.kind == VMT_ATOM_SCHEMA) {
            atoms->list[i].done |= VMT_DONE_PARTS;
            VMT_TRY(add_parts(s, atoms, &atom));
            /* What stands beside an old $ref must not be read by anyone. */
            if (s->is_old && vmt_json_exists(VMT_JSON_AT(atom.json, "$ref"))) {
                atoms->list[i].kind = VMT_ATOM_TYPES;
                atoms->list[i].types = VMT_TYPE_ALL;
            }
        } else if (atom.kind == VMT_ATOM_NOT) {
            uint32_t len = atoms->len;
            VMT_TRY(expand_not(s, atoms, i));
            if (atoms->len < len) i--;
        }
    }
    return VMT_OK;
}

/* ---- choices */

struct choice {
    vmt_schema *s;
    const vmt_atoms *atoms;
    uint32_t idx; /* of the atom that chooses */
    uint8_t done;
    uint32_t rule;
    const vmt_schema_place *place;
};

/* The atoms with the choice marked as made. */
static vmt_status begin_alternative(const struct choice *c, vmt_atoms *out) {
    VMT_TRY(vmt_atoms_copy(c->s, out, c->atoms));
    out->list[c->idx].done |= c->done;
    return VMT_OK;
}

static vmt_status end_alternative(const struct choice *c, const vmt_atoms *atoms) {
    uint32_t rule;
    VMT_TRY(vmt_schema_rule(c->s, atoms, &rule));
    if (rule == VMT_NO_INDEX) return VMT_OK;
    const vmt_rule *from = &c->s->rules->rules[c->rule];
    vmt_rules_call(c->s->rules, from->start, from->end, rule);
    return vmt_rules_status(c->s->rules, c->s->err);
}

static vmt_status add_alternative(const struct choice *c, vmt_json json) {
    vmt_atoms atoms;
    VMT_TRY(begin_alternative(c, &atoms));
    VMT_TRY(vmt_atoms_add_schema(c->s, &atoms, json, c->place));
    return end_alternative(c, &atoms);
}

static vmt_status split_any_of(const struct choice *c, vmt_json list) {
    vmt_json item;
    vmt_str key;
    if (vmt_json_typeof(list) != VMT_JSON_ARRAY || vmt_json_size(list) == 0) {
        return vmt_schema_invalid(c->s, c->place, "anyOf", "it must be a list with members");
    }
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, &key, &item);) {
        VMT_TRY(add_alternative(c, item));
    }
    return VMT_OK;
}

/* Alternatives of oneOf that no value satisfies together need nothing more; of any other pair, each excludes the other
 * by its negation. */
static vmt_status split_one_of(const struct choice *c, vmt_json list) {
    vmt_schema *s = c->s;
    vmt_json item;
    vmt_str key;
    size_t n = vmt_json_size(list), i = 0;
    if (vmt_json_typeof(list) != VMT_JSON_ARRAY || n == 0 || n > VMT_SCHEMA_ATOMS_MAX) {
        return vmt_schema_invalid(s, c->place, "oneOf", "it must be a list of 1 to 256 members");
    }
    vmt_atoms *branches = VMT_ARENA_NEW(s->arena, vmt_atoms, n);
    vmt_json *items = VMT_ARENA_NEW(s->arena, vmt_json, n);
    if (!branches || !items) return vmt_schema_no_memory(s);
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, &key, &item); i++) {
        items[i] = item;
        VMT_TRY(begin_alternative(c, &branches[i]));
        VMT_TRY(vmt_atoms_add_schema(s, &branches[i], item, c->place));
        VMT_TRY(vmt_atoms_expand(s, &branches[i]));
    }
    for (i = 0; i < n; i++) {
        vmt_atoms atoms;
        VMT_TRY(begin_alternative(c, &atoms));
        VMT_TRY(vmt_atoms_add_schema(s, &atoms, items[i], c->place));
        for (size_t k = 0; k < n; k++) {
            if (k == i || vmt_atoms_are_disjoint(s, &branches[i], &branches[k])) continue;
            VMT_TRY(
                vmt_atoms_add(s, &atoms, (vmt_atom){.kind = VMT_ATOM_NOT, .json = items[k], .place = c->place}));
        }
        VMT_TRY(end_alternative(c, &atoms));
    }
    return VMT_OK;
}

static vmt_status split_if(const struct choice *c, vmt_json json) {
    vmt_json condition = VMT_JSON_AT(json, "if"), branch;
    vmt_atoms atoms;
    VMT_TRY(begin_alternative(c, &atoms));
    VMT_TRY(vmt_atoms_add_schema(c->s, &atoms, condition, c->place));
    branch = VMT_JSON_AT(json, "then");
    if (vmt_json_exists(branch)) VMT_TRY(vmt_atoms_add_schema(c->s, &atoms, branch, c->place));
    VMT_TRY(end_alternative(c, &atoms));
    VMT_TRY(begin_alternative(c, &atoms));
    VMT_TRY(vmt_atoms_add(c->s, &atoms, (vmt_atom){.kind = VMT_ATOM_NOT, .json = condition, .place = c->place}));
    branch = VMT_JSON_AT(json, "else");
    if (vmt_json_exists(branch)) VMT_TRY(vmt_atoms_add_schema(c->s, &atoms, branch, c->place));
    return end_alternative(c, &atoms);
}

/* Either the property is not there, or what depends on it holds. */
static vmt_status split_dependent(const struct choice *c, vmt_str name, vmt_json dependent) {
    vmt_schema *s = c->s;
    vmt_atoms atoms;
    vmt_json item;
    vmt_str key, other;
    uint8_t kinds[2] = {VMT_ATOM_FORBID, VMT_ATOM_REQUIRE};
    for (uint32_t i = 0; i < 2; i++) {
        VMT_TRY(begin_alternative(c, &atoms));
        atoms.list[c->idx].num_dependents_done++;
        VMT_TRY(vmt_atoms_add(s, &atoms, (vmt_atom){.kind = kinds[i], .name = name, .place = c->place}));
        if (i == 1 && vmt_json_typeof(dependent) == VMT_JSON_ARRAY) {
            for (vmt_json_iter it = vmt_json_iter_begin(dependent); vmt_json_iter_next(&it, &key, &item);) {
                if (!vmt_json_get_str(item, &other)) continue;
                VMT_TRY(vmt_atoms_add(s, &atoms,
                                      (vmt_atom){.kind = VMT_ATOM_REQUIRE, .name = other, .place = c->place}));
            }
        } else if (i == 1) {
            VMT_TRY(vmt_atoms_add_schema(s, &atoms, dependent, c->place));
        }
        /* Without objects there is nothing to depend on; the first alternative keeps the other types. */
        if (i == 1) VMT_TRY(add_types(s, &atoms, VMT_TYPE_OBJECT, c->place));
        VMT_TRY(end_alternative(c, &atoms));
    }
    return VMT_OK;
}

static bool next_dependent(const vmt_atom *atom, vmt_str *name, vmt_json *dependent) {
    static const char *const keywords[] = {"dependentRequired", "dependentSchemas", "dependencies"};
    uint32_t n = 0;
    for (size_t k = 0; k < VMT_COUNT(keywords); k++) {
        vmt_json all = vmt_json_member(atom->json, vmt_str_from(keywords[k]));
        for (vmt_json_iter it = vmt_json_iter_begin(all); vmt_json_iter_next(&it, name, dependent);) {
            if (n++ == atom->num_dependents_done) return true;
        }
    }
    return false;
}

/* One keyword of the negated schema fails. */
static vmt_status split_not(const struct choice *c, const vmt_atom *atom) {
    vmt_schema *s = c->s;
    vmt_json item, value;
    vmt_str key, name;
    vmt_atoms atoms;
    if (atom->name.len == 0) {
        for (vmt_json_iter it = vmt_json_iter_begin(atom->json); vmt_json_iter_next(&it, &key, &item);) {
            if (vmt_schema_is_annotation(key)) continue;
            VMT_TRY(begin_alternative(c, &atoms));
            VMT_TRY(vmt_atoms_add(
                s, &atoms, (vmt_atom){.kind = VMT_ATOM_NOT, .json = atom->json, .name = key, .place = c->place}));
            VMT_TRY(end_alternative(c, &atoms));
        }
        return VMT_OK;
    }
    value = vmt_json_member(atom->json, atom->name);
    for (vmt_json_iter it = vmt_json_iter_begin(value); vmt_json_iter_next(&it, &key, &item);) {
        VMT_TRY(begin_alternative(c, &atoms));
        if (vmt_str_eq_c(atom->name, "required") && vmt_json_get_str(item, &name)) {
            VMT_TRY(add_types(s, &atoms, VMT_TYPE_OBJECT, c->place));
            VMT_TRY(
                vmt_atoms_add(s, &atoms, (vmt_atom){.kind = VMT_ATOM_FORBID, .name = name, .place = c->place}));
        } else if (vmt_str_eq_c(atom->name, "properties")) {
            VMT_TRY(add_types(s, &atoms, VMT_TYPE_OBJECT, c->place));
            VMT_TRY(
                vmt_atoms_add(s, &atoms, (vmt_atom){.kind = VMT_ATOM_REQUIRE, .name = key, .place = c->place}));
            VMT_TRY(vmt_atoms_add(
                s, &atoms, (vmt_atom){.kind = VMT_ATOM_NOT_MEMBER, .json = item, .name = key, .place = c->place}));
        } else {
            VMT_TRY(vmt_atoms_add(s, &atoms, (vmt_atom){.kind = VMT_ATOM_NOT, .json = item, .place = c->place}));
        }
        VMT_TRY(end_alternative(c, &atoms));
    }
    return VMT_OK;
}

vmt_status vmt_atoms_split(vmt_schema *s, const vmt_atoms *atoms, uint32_t rule, bool *split) {
    *split = true;
    for (uint32_t i = 0; i < atoms->len; i++) {
        const vmt_atom *atom = &atoms->list[i];
        struct choice c = {.s = s, .atoms = atoms, .idx = i, .rule = rule};
        c.place = vmt_schema_place_in(s, atom->place, (vmt_str){0}, atom->json);
        if (atom->kind == VMT_ATOM_NOT && (atom->done & VMT_DONE_ANY_OF) == 0) {
            c.done = VMT_DONE_ANY_OF;
            return split_not(&c, atom);
        }
        if (atom->kind != VMT_ATOM_SCHEMA) continue;
        vmt_json any_of = vmt_atom_get(atom, "anyOf"), one_of = vmt_atom_get(atom, "oneOf");
        vmt_json condition = vmt_atom_get(atom, "if"), dependent;
        bool has_branch =
            vmt_json_exists(vmt_atom_get(atom, "then")) || vmt_json_exists(vmt_atom_get(atom, "else"));
        vmt_str name;
        if (vmt_json_exists(any_of) && (atom->done & VMT_DONE_ANY_OF) == 0) {
            c.done = VMT_DONE_ANY_OF;
            return split_any_of(&c, any_of);
        }
        if (vmt_json_exists(one_of) && (atom->done & VMT_DONE_ONE_OF) == 0) {
            c.done = VMT_DONE_ONE_OF;
            return split_one_of(&c, one_of);
        }
        if (vmt_json_exists(condition) && has_branch && (atom->done & VMT_DONE_IF) == 0) {
            c.done = VMT_DONE_IF;
            return split_if(&c, atom->json);
        }
        if (next_dependent(atom, &name, &dependent)) return split_dependent(&c, name, dependent);
    }
    *split = false;
    return VMT_OK;
}
