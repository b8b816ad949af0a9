#include "text/grammar_schema.h"
#include "text/grammar_private.h"
#include "text/grammar_regex.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- errors and places */

static void describe_place(const vmt_schema_place *place, char *out, size_t cap) {
    const vmt_schema_place *steps[24];
    uint32_t n = 0;
    size_t len = 0;
    for (; place && place->parent && n < VMT_COUNT(steps); place = place->parent) {
        if (place->step.len > 0) steps[n++] = place;
    }
    out[0] = 0;
    if (n == 0)
        snprintf(out, cap, "at the root");
    else
        len = (size_t)snprintf(out, cap, "at ");
    while (n-- > 0 && len < cap) {
        len += (size_t)snprintf(out + len, cap - len, "/%.*s", (int)VMT_MIN(steps[n]->step.len, (size_t)40),
                                steps[n]->step.ptr);
    }
}

vmt_status vmt_schema_unsupported(vmt_schema *s, const vmt_schema_place *place, const char *keyword,
                                  const char *why) {
    char where[120];
    describe_place(place, where, sizeof where);
    return vmt_fail(s->err, VMT_E_UNSUPPORTED, "schema keyword %s is not supported %s: %s", keyword, where, why);
}

vmt_status vmt_schema_invalid(vmt_schema *s, const vmt_schema_place *place, const char *keyword, const char *why) {
    char where[120];
    describe_place(place, where, sizeof where);
    return vmt_fail(s->err, VMT_E_INVALID, "schema keyword %s %s: %s", keyword, where, why);
}

vmt_status vmt_schema_no_memory(vmt_schema *s) {
    return vmt_fail(s->err, VMT_E_EXHAUSTED, "the schema needs more than %zu bytes while it is compiled",
                    VMT_SCHEMA_BYTES_MAX);
}

const vmt_schema_place *vmt_schema_place_in(vmt_schema *s, const vmt_schema_place *parent, vmt_str step,
                                            vmt_json source) {
    vmt_schema_place *place = VMT_ARENA_NEW(s->arena, vmt_schema_place, 1);
    if (place) *place = (vmt_schema_place){.parent = parent, .step = step, .schema = source};
    return place ? place : parent;
}

/* ---- pieces that every schema needs */

uint32_t vmt_schema_space(vmt_schema *s, uint32_t from) {
    vmt_rules *r = s->rules;
    if (s->options.space == VMT_SPACE_COMPACT) return from;
    uint32_t to = vmt_rules_state(r);
    vmt_rules_epsilon(r, from, to);
    if (s->has_space_pattern) {
        vmt_language_emit(r, from, to, &s->space);
        return to;
    }
    vmt_rules_bytes(r, to, to, '\t', '\n');
    vmt_rules_bytes(r, to, to, '\r', '\r');
    vmt_rules_bytes(r, to, to, ' ', ' ');
    return to;
}

uint32_t vmt_schema_space_after(vmt_schema *s, uint32_t from) {
    if (s->options.space != VMT_SPACE_COMPACT) return vmt_schema_space(s, from);
    uint32_t to = vmt_rules_state(s->rules);
    vmt_rules_epsilon(s->rules, from, to);
    vmt_rules_bytes(s->rules, from, to, ' ', ' ');
    return to;
}

static void build_string(vmt_rules *r, uint32_t rule) {
    uint32_t open = vmt_rules_state(r);
    vmt_rules_bytes(r, r->rules[rule].start, open, '"', '"');
    vmt_schema_string_char(r, open, open);
    vmt_rules_bytes(r, open, r->rules[rule].end, '"', '"');
}

/* -?(0|[1-9][0-9]*), then for numbers a fraction and an exponent of at most 307. */
static void build_number(vmt_rules *r, uint32_t rule, bool is_integer) {
    uint32_t start = r->rules[rule].start, end = r->rules[rule].end;
    uint32_t sign = vmt_rules_state(r), whole = vmt_rules_state(r), zero = vmt_rules_state(r);
    vmt_rules_epsilon(r, start, sign);
    vmt_rules_bytes(r, start, sign, '-', '-');
    vmt_rules_bytes(r, sign, zero, '0', '0');
    vmt_rules_bytes(r, sign, whole, '1', '9');
    vmt_rules_bytes(r, whole, whole, '0', '9');
    vmt_rules_epsilon(r, whole, zero);
    vmt_rules_epsilon(r, zero, end);
    if (is_integer) return;
    uint32_t point = vmt_rules_state(r), fraction = vmt_rules_state(r), e = vmt_rules_state(r);
    uint32_t power = vmt_rules_state(r), one = vmt_rules_state(r), two = vmt_rules_state(r);
    uint32_t three = vmt_rules_state(r), low = vmt_rules_state(r);
    vmt_rules_bytes(r, zero, point, '.', '.');
    vmt_rules_bytes(r, point, fraction, '0', '9');
    vmt_rules_bytes(r, fraction, fraction, '0', '9');
    vmt_rules_epsilon(r, fraction, end);
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t from = i == 0 ? zero : fraction;
        vmt_rules_bytes(r, from, e, 'e', 'e');
        vmt_rules_bytes(r, from, e, 'E', 'E');
    }
    vmt_rules_epsilon(r, e, power);
    vmt_rules_bytes(r, e, power, '+', '+');
    vmt_rules_bytes(r, e, power, '-', '-');
    vmt_rules_bytes(r, power, one, '0', '9');
    vmt_rules_bytes(r, power, two, '1', '2');
    vmt_rules_bytes(r, power, three, '3', '3');
    vmt_rules_bytes(r, two, one, '0', '9');
    vmt_rules_bytes(r, three, low, '0', '0');
    vmt_rules_bytes(r, low, end, '0', '7');
    vmt_rules_bytes(r, one, end, '0', '9');
    vmt_rules_epsilon(r, one, end);
}

static void build_container(vmt_schema *s, uint32_t rule, bool is_object) {
    vmt_rules *r = s->rules;
    uint32_t value = vmt_schema_builtin_rule(s, VMT_BUILTIN_VALUE);
    uint32_t string = vmt_schema_builtin_rule(s, VMT_BUILTIN_STRING);
    if (r->status != VMT_OK) return;
    uint32_t start = r->rules[rule].start, end = r->rules[rule].end;
    uint32_t open = vmt_rules_state(r), item = vmt_rules_state(r), after = vmt_rules_state(r);
    uint8_t opener = is_object ? '{' : '[', closer = is_object ? '}' : ']';
    vmt_rules_bytes(r, start, open, opener, opener);
    uint32_t first = vmt_schema_space(s, open);
    vmt_rules_bytes(r, first, end, closer, closer);
    vmt_rules_epsilon(r, first, item);
    uint32_t at = item;
    if (is_object) {
        uint32_t key = vmt_rules_state(r), colon = vmt_rules_state(r);
        vmt_rules_call(r, at, key, string);
        vmt_rules_bytes(r, vmt_schema_space(s, key), colon, ':', ':');
        at = vmt_schema_space_after(s, colon);
    }
    vmt_rules_call(r, at, after, value);
    uint32_t last = vmt_schema_space(s, after), comma = vmt_rules_state(r);
    vmt_rules_bytes(r, last, end, closer, closer);
    vmt_rules_bytes(r, last, comma, ',', ',');
    vmt_rules_epsilon(r, vmt_schema_space_after(s, comma), item);
}

static void build_value(vmt_schema *s, uint32_t rule) {
    static const char *const words[] = {"null", "true", "false"};
    static const vmt_schema_builtin parts[] = {VMT_BUILTIN_STRING, VMT_BUILTIN_NUMBER, VMT_BUILTIN_OBJECT,
                                               VMT_BUILTIN_ARRAY};
    vmt_rules *r = s->rules;
    for (size_t i = 0; i < VMT_COUNT(parts); i++) {
        uint32_t part = vmt_schema_builtin_rule(s, parts[i]);
        if (r->status == VMT_OK) vmt_rules_call(r, r->rules[rule].start, r->rules[rule].end, part);
    }
    for (size_t i = 0; i < VMT_COUNT(words) && r->status == VMT_OK; i++) {
        uint32_t end = vmt_rules_literal(r, r->rules[rule].start, vmt_str_from(words[i]));
        vmt_rules_epsilon(r, end, r->rules[rule].end);
    }
}

/* The builtins know each other: each is numbered before it is built, so the calls end after one round. */
uint32_t vmt_schema_builtin_rule(vmt_schema *s, vmt_schema_builtin builtin) {
    if (s->builtins[builtin] != 0) return s->builtins[builtin] - 1;
    uint32_t rule = vmt_rules_rule(s->rules);
    if (s->rules->status != VMT_OK) return 0;
    s->builtins[builtin] = rule + 1;
    if (builtin == VMT_BUILTIN_STRING)
        build_string(s->rules, rule);
    else if (builtin == VMT_BUILTIN_INTEGER)
        build_number(s->rules, rule, true);
    else if (builtin == VMT_BUILTIN_NUMBER)
        build_number(s->rules, rule, false);
    else if (builtin == VMT_BUILTIN_VALUE)
        build_value(s, rule);
    else
        build_container(s, rule, builtin == VMT_BUILTIN_OBJECT);
    return rule;
}

uint32_t vmt_schema_any_object(vmt_schema *s) {
    return vmt_schema_builtin_rule(s, VMT_BUILTIN_OBJECT);
}

vmt_status vmt_schema_pattern_of(vmt_schema *s, vmt_str text, bool is_search, const vmt_automaton **out) {
    for (uint32_t i = 0; i < s->num_patterns; i++) {
        if (s->patterns[i].is_search != is_search || !vmt_str_eq(s->patterns[i].text, text)) continue;
        *out = &s->patterns[i].language;
        return VMT_OK;
    }
    if (vmt_array_grow((void **)&s->patterns, &s->patterns_cap, (size_t)s->num_patterns + 1, sizeof *s->patterns,
                       VMT_GRAMMAR_RULES_MAX) != VMT_OK) {
        return vmt_schema_no_memory(s);
    }
    vmt_schema_pattern *p = &s->patterns[s->num_patterns];
    *p = (vmt_schema_pattern){.text = text, .is_search = is_search};
    VMT_TRY(vmt_regex_language(&p->language, text, is_search, s->err));
    s->num_patterns++;
    *out = &p->language;
    return VMT_OK;
}

vmt_status vmt_schema_synthesize(vmt_schema *s, vmt_str text, vmt_json *out) {
    uint32_t i = 0;
    while (i < s->num_texts && !vmt_str_eq(s->texts[i].text, text)) i++;
    if (i == s->num_texts) {
        if (vmt_array_grow((void **)&s->texts, &s->texts_cap, (size_t)i + 1, sizeof *s->texts,
                           VMT_GRAMMAR_RULES_MAX) != VMT_OK) {
            return vmt_schema_no_memory(s);
        }
        s->texts[i] = (vmt_schema_text){.text = vmt_arena_dup(s->arena, text)};
        if (!s->texts[i].text.ptr) return vmt_schema_no_memory(s);
        VMT_TRY(vmt_json_parse(&s->texts[i].doc, text, s->err));
        s->num_texts++;
    }
    *out = vmt_json_root(s->texts[i].doc);
    return VMT_OK;
}

vmt_status vmt_schema_counts(vmt_schema *s, const vmt_atoms *atoms, const char *min_keyword,
                             const char *max_keyword, uint32_t *min, uint32_t *max) {
    *min = 0;
    *max = VMT_REPEAT_FOR_EVER;
    for (uint32_t i = 0; i < atoms->len; i++) {
        for (uint32_t k = 0; k < 2; k++) {
            const char *keyword = k == 0 ? min_keyword : max_keyword;
            vmt_json value = vmt_atom_get(&atoms->list[i], keyword);
            double count;
            if (!vmt_json_exists(value)) continue;
            if (!vmt_json_get_f64(value, &count) || count < 0 || count != (double)(uint64_t)count) {
                return vmt_schema_invalid(s, atoms->list[i].place, keyword, "it must be a whole number");
            }
            uint32_t n = count >= (double)VMT_REPEAT_FOR_EVER ? VMT_REPEAT_FOR_EVER - 1 : (uint32_t)count;
            if (k == 0)
                *min = VMT_MAX(*min, n);
            else
                *max = VMT_MIN(*max, n);
        }
    }
    return VMT_OK;
}

/* ---- rules by their atoms */

static uint32_t hash_atoms(const vmt_atoms *atoms) {
    uint64_t h = atoms->len;
    for (uint32_t i = 0; i < atoms->len; i++) {
        const vmt_atom *a = &atoms->list[i];
        uint64_t parts[3] = {a->json.idx_,
                             (uint64_t)a->num_dependents_done << 32 | (uint32_t)a->kind << 16 |
                                 (uint32_t)a->done << 8 | a->types,
                             (uint64_t)(uintptr_t)a->json.doc_};
        h = h * 0x9E3779B97F4A7C15u + vmt_hash_fast(parts, sizeof parts) + vmt_hash_fast(a->name.ptr, a->name.len);
    }
    return (uint32_t)(h ^ h >> 32);
}

static bool atoms_equal(const vmt_atoms *a, const vmt_atoms *b) {
    if (a->len != b->len) return false;
    for (uint32_t i = 0; i < a->len; i++) {
        const vmt_atom *x = &a->list[i], *y = &b->list[i];
        if (x->json.doc_ != y->json.doc_ || x->json.idx_ != y->json.idx_ || x->kind != y->kind ||
            x->done != y->done || x->types != y->types || x->num_dependents_done != y->num_dependents_done ||
            !vmt_str_eq(x->name, y->name)) {
            return false;
        }
    }
    return true;
}

static vmt_status rehash(vmt_schema *s) {
    uint32_t mask = VMT_MAX(s->table_mask * 2 + 1, 255u);
    uint32_t *table = calloc((size_t)mask + 1, sizeof *table);
    if (!table) return vmt_schema_no_memory(s);
    for (uint32_t i = 0; i < s->num_requests; i++) {
        uint32_t at = s->requests[i].hash & mask;
        while (table[at] != 0) at = (at + 1) & mask;
        table[at] = i + 1;
    }
    free(s->table);
    s->table = table;
    s->table_mask = mask;
    return VMT_OK;
}

vmt_status vmt_schema_rule(vmt_schema *s, const vmt_atoms *atoms, uint32_t *rule) {
    *rule = VMT_NO_INDEX;
    if (atoms->is_never) return VMT_OK;
    if (atoms->len == 0) {
        *rule = vmt_schema_builtin_rule(s, VMT_BUILTIN_VALUE);
        return vmt_rules_status(s->rules, s->err);
    }
    if (atoms->len == 1 && atoms->list[0].kind == VMT_ATOM_SCHEMA) {
        uint8_t type = vmt_schema_plain_type(atoms->list[0].json);
        if (type != 0) {
            *rule = vmt_schema_builtin_rule(s, type == VMT_TYPE_STRING    ? VMT_BUILTIN_STRING
                                               : type == VMT_TYPE_INTEGER ? VMT_BUILTIN_INTEGER
                                                                          : VMT_BUILTIN_NUMBER);
            return vmt_rules_status(s->rules, s->err);
        }
    }
    if (((size_t)s->num_requests + 1) * 2 > s->table_mask) VMT_TRY(rehash(s));
    uint32_t hash = hash_atoms(atoms), at = hash & s->table_mask;
    for (; s->table[at] != 0; at = (at + 1) & s->table_mask) {
        const vmt_schema_request *known = &s->requests[s->table[at] - 1];
        if (known->hash != hash || !atoms_equal(&known->atoms, atoms)) continue;
        *rule = known->rule;
        return VMT_OK;
    }
    if (vmt_array_grow((void **)&s->requests, &s->requests_cap, (size_t)s->num_requests + 1, sizeof *s->requests,
                       VMT_GRAMMAR_RULES_MAX) != VMT_OK) {
        vmt_rules_fail(s->rules, VMT_E_EXHAUSTED);
        return vmt_rules_status(s->rules, s->err);
    }
    vmt_schema_request *request = &s->requests[s->num_requests];
    *request = (vmt_schema_request){.rule = vmt_rules_rule(s->rules), .hash = hash};
    request->atoms.list = vmt_arena_alloc(s->arena, atoms->len * sizeof *atoms->list);
    if (!request->atoms.list) return vmt_schema_no_memory(s);
    memcpy(request->atoms.list, atoms->list, atoms->len * sizeof *atoms->list);
    request->atoms.len = request->atoms.cap = atoms->len;
    s->table[at] = ++s->num_requests;
    *rule = request->rule;
    return vmt_rules_status(s->rules, s->err);
}

/* ---- building */

static bool excludes_bool(const vmt_atoms *atoms, bool value) {
    bool flag;
    for (uint32_t i = 0; i < atoms->len; i++) {
        const vmt_atom *atom = &atoms->list[i];
        if (atom->kind == VMT_ATOM_NOT_VALUE && vmt_json_get_bool(atom->json, &flag) && flag == value) return true;
    }
    return false;
}

/* Excluded values are kept out of strings, integers, true, false and null; the rest can't be. */
static vmt_status check_excluded(vmt_schema *s, const vmt_atoms *atoms, uint8_t types) {
    for (uint32_t i = 0; i < atoms->len; i++) {
        const vmt_atom *atom = &atoms->list[i];
        if (atom->kind != VMT_ATOM_NOT_VALUE) continue;
        vmt_json_type type = vmt_json_typeof(atom->json);
        bool is_number = type == VMT_JSON_INT || type == VMT_JSON_UINT || type == VMT_JSON_DOUBLE;
        if ((is_number && (types & VMT_TYPE_FRACTION)) || (type == VMT_JSON_ARRAY && (types & VMT_TYPE_ARRAY)) ||
            (type == VMT_JSON_OBJECT && (types & VMT_TYPE_OBJECT))) {
            return vmt_schema_unsupported(s, atom->place, "not",
                                          "of a number with a fraction, a list or an object");
        }
    }
    return VMT_OK;
}

static vmt_status build_types(vmt_schema *s, const vmt_atoms *atoms, uint8_t types, uint32_t from, uint32_t to) {
    vmt_rules *r = s->rules;
    VMT_TRY(check_excluded(s, atoms, types));
    if (types & VMT_TYPE_NULL) vmt_rules_epsilon(r, vmt_rules_literal(r, from, VMT_STR("null")), to);
    for (uint32_t i = 0; i < 2 && (types & VMT_TYPE_BOOL); i++) {
        if (excludes_bool(atoms, i == 1)) continue;
        vmt_rules_epsilon(r, vmt_rules_literal(r, from, i == 1 ? VMT_STR("true") : VMT_STR("false")), to);
    }
    if (types & VMT_TYPE_NUMBER) {
        VMT_TRY(vmt_schema_number(s, atoms, (types & VMT_TYPE_FRACTION) == 0, from, to));
    }
    if (types & VMT_TYPE_STRING) VMT_TRY(vmt_schema_string(s, atoms, from, to));
    if (types & VMT_TYPE_ARRAY) VMT_TRY(vmt_schema_array(s, atoms, from, to));
    if (types & VMT_TYPE_OBJECT) VMT_TRY(vmt_schema_object(s, atoms, from, to));
    return vmt_rules_status(r, s->err);
}

static vmt_status build(vmt_schema *s, uint32_t rule, const vmt_atoms *given) {
    vmt_atoms atoms;
    bool is_split, has_enum;
    VMT_TRY(vmt_atoms_copy(s, &atoms, given));
    VMT_TRY(vmt_atoms_expand(s, &atoms));
    if (atoms.is_never) return VMT_OK;
    VMT_TRY(vmt_atoms_split(s, &atoms, rule, &is_split));
    if (is_split) return VMT_OK;
    uint32_t from = s->rules->rules[rule].start, to = s->rules->rules[rule].end;
    uint8_t types = vmt_atoms_types(&atoms);
    VMT_TRY(vmt_schema_enum(s, &atoms, types, from, to, &has_enum));
    return has_enum ? VMT_OK : build_types(s, &atoms, types, from, to);
}

vmt_status vmt_schema_add(vmt_schema *s, vmt_json root, uint32_t *rule) {
    static const char *const old_drafts[] = {"draft-03", "draft-04", "draft-06", "draft-07"};
    vmt_str draft;
    s->root = root;
    s->is_old = false;
    if (vmt_json_get_str(VMT_JSON_AT(root, "$schema"), &draft)) {
        for (size_t i = 0; i < VMT_COUNT(old_drafts); i++) {
            if (vmt_str_find(draft, vmt_str_from(old_drafts[i]), 0) != SIZE_MAX) s->is_old = true;
        }
    }
    vmt_atoms atoms = {0};
    VMT_TRY(vmt_atoms_add_schema(s, &atoms, root, vmt_schema_place_in(s, NULL, (vmt_str){0}, (vmt_json){0})));
    VMT_TRY(vmt_schema_rule(s, &atoms, rule));
    if (*rule == VMT_NO_INDEX) {
        return vmt_fail(s->err, VMT_E_INVALID, "the schema is false: no value satisfies it");
    }
    for (; s->num_built < s->num_requests; s->num_built++) {
        vmt_schema_request request = s->requests[s->num_built];
        VMT_TRY(build(s, request.rule, &request.atoms));
    }
    return vmt_rules_status(s->rules, s->err);
}

vmt_status vmt_schema_open(vmt_schema *s, vmt_rules *rules, const vmt_grammar_options *options, vmt_err *err) {
    *s = (vmt_schema){.rules = rules, .err = err};
    if (options) s->options = *options;
    s->arena = vmt_arena_create(VMT_SCHEMA_BYTES_MAX);
    if (!s->arena) return vmt_schema_no_memory(s);
    if (s->options.space_pattern.len == 0) return VMT_OK;
    VMT_TRY(vmt_regex_language(&s->space, s->options.space_pattern, false, err));
    s->has_space_pattern = true;
    s->options.space = VMT_SPACE_ANY;
    return VMT_OK;
}

void vmt_schema_close(vmt_schema *s) {
    for (uint32_t i = 0; i < s->num_patterns; i++) vmt_automaton_free(&s->patterns[i].language);
    vmt_automaton_free(&s->space);
    for (uint32_t i = 0; i < s->num_texts; i++) vmt_json_doc_destroy(s->texts[i].doc);
    free(s->patterns);
    free(s->texts);
    free(s->requests);
    free(s->table);
    vmt_arena_destroy(s->arena);
}

vmt_status vmt_grammar_from_schema(vmt_grammar **out, vmt_str text, const vmt_grammar_options *options,
                                   vmt_err *err) {
    *out = NULL;
    if (text.len > VMT_GRAMMAR_SOURCE_MAX) {
        return vmt_fail(err, VMT_E_EXHAUSTED, "the schema is %zu bytes, the limit is %zu", text.len,
                        VMT_GRAMMAR_SOURCE_MAX);
    }
    vmt_json_doc *doc = NULL;
    VMT_TRY(vmt_json_parse(&doc, text, err));
    vmt_rules rules;
    vmt_schema schema;
    uint32_t root = 0;
    vmt_rules_init(&rules);
    vmt_status status = vmt_schema_open(&schema, &rules, options, err);
    if (status == VMT_OK) status = vmt_schema_add(&schema, vmt_json_root(doc), &root);
    vmt_schema_close(&schema);
    vmt_json_doc_destroy(doc);
    return vmt_grammar_finish(out, &rules, root, status, err);
}

vmt_status vmt_grammar_from_json_object(vmt_grammar **out, const vmt_grammar_options *options, vmt_err *err) {
    *out = NULL;
    vmt_rules rules;
    vmt_schema schema;
    uint32_t root = 0;
    vmt_rules_init(&rules);
    vmt_status status = vmt_schema_open(&schema, &rules, options, err);
    if (status == VMT_OK) root = vmt_schema_any_object(&schema);
    vmt_schema_close(&schema);
    return vmt_grammar_finish(out, &rules, root, status, err);
}
