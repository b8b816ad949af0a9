/* text/grammar_schema_string.c: strings: lengths, patterns, formats and excluded values. */
#include "json/json_writer.h"
#include "text/grammar_regex.h"
#include "text/grammar_schema.h"

#include <stdio.h>
#include <stdlib.h>

#define PARTS_MAX VMT_SCHEMA_ATOMS_MAX

static void add_hex(vmt_rules *r, uint32_t from, uint32_t to, uint32_t lo, uint32_t hi) {
    if (lo <= 9) vmt_rules_bytes(r, from, to, (uint8_t)('0' + lo), (uint8_t)('0' + VMT_MIN(hi, 9u)));
    if (hi <= 9) return;
    lo = VMT_MAX(lo, 10u) - 10;
    vmt_rules_bytes(r, from, to, (uint8_t)('a' + lo), (uint8_t)('a' + hi - 10));
    vmt_rules_bytes(r, from, to, (uint8_t)('A' + lo), (uint8_t)('A' + hi - 10));
}

/* \uXXXX, halves of surrogate pairs only together. */
static void add_unicode_escape(vmt_rules *r, uint32_t from, uint32_t to) {
    uint32_t three = vmt_rules_state(r), two = vmt_rules_state(r), one = vmt_rules_state(r);
    uint32_t d = vmt_rules_state(r);
    add_hex(r, from, three, 0, 12);
    add_hex(r, from, three, 14, 15);
    add_hex(r, three, two, 0, 15);
    add_hex(r, two, one, 0, 15);
    add_hex(r, one, to, 0, 15);
    add_hex(r, from, d, 13, 13);
    add_hex(r, d, two, 0, 7);
    uint32_t high = vmt_rules_state(r), high_end = vmt_rules_state(r);
    uint32_t low_d, low_two = vmt_rules_state(r), back = vmt_rules_state(r);
    add_hex(r, d, high, 8, 11);
    add_hex(r, high, high_end, 0, 15);
    add_hex(r, high_end, back, 0, 15);
    uint32_t u = vmt_rules_literal(r, back, VMT_STR("\\u"));
    low_d = vmt_rules_state(r);
    add_hex(r, u, low_d, 13, 13);
    add_hex(r, low_d, low_two, 12, 15);
    add_hex(r, low_two, one, 0, 15);
}

void vmt_schema_string_char(vmt_rules *r, uint32_t from, uint32_t to) {
    static const char shorts[] = "\"\\/bfnrt";
    vmt_rules_chars(r, from, to, 0x20, '"' - 1);
    vmt_rules_chars(r, from, to, '"' + 1, '\\' - 1);
    vmt_rules_chars(r, from, to, '\\' + 1, 0x10FFFF);
    uint32_t escape = vmt_rules_state(r), unicode = vmt_rules_state(r);
    vmt_rules_bytes(r, from, escape, '\\', '\\');
    for (size_t i = 0; i + 1 < sizeof shorts; i++) {
        vmt_rules_bytes(r, escape, to, (uint8_t)shorts[i], (uint8_t)shorts[i]);
    }
    vmt_rules_bytes(r, escape, unicode, 'u', 'u');
    add_unicode_escape(r, unicode, to);
}

/* ---- languages */

struct parts {
    vmt_language_part list[PARTS_MAX + 2];
    uint32_t len;
    vmt_automaton lengths, excluded; /* owned */
};

static vmt_status add_part(vmt_schema *s, struct parts *p, const vmt_automaton *language, bool is_negated) {
    if (p->len == PARTS_MAX) return vmt_schema_no_memory(s);
    p->list[p->len++] = (vmt_language_part){language, is_negated};
    return VMT_OK;
}

static vmt_status add_format(vmt_schema *s, struct parts *p, const vmt_atom *atom) {
    vmt_str name;
    const vmt_automaton *language;
    vmt_json format = vmt_atom_get(atom, "format");
    if (!vmt_json_exists(format)) return VMT_OK;
    if (!vmt_json_get_str(format, &name)) {
        return vmt_schema_invalid(s, atom->place, "format", "it must be a string");
    }
    const char *regex = vmt_schema_format(name);
    if (!regex) {
        char keyword[64];
        snprintf(keyword, sizeof keyword, "format \"%.*s\"", (int)VMT_MIN(name.len, (size_t)40), name.ptr);
        return vmt_schema_unsupported(s, atom->place, keyword, "its texts are no regular language known here");
    }
    if (regex[0] == 0) return VMT_OK;
    VMT_TRY(vmt_schema_pattern_of(s, vmt_str_from(regex), false, &language));
    return add_part(s, p, language, false);
}

static vmt_status add_patterns(vmt_schema *s, const vmt_atoms *atoms, struct parts *p) {
    vmt_str text;
    const vmt_automaton *language;
    for (uint32_t i = 0; i < atoms->len; i++) {
        const vmt_atom *atom = &atoms->list[i];
        vmt_json pattern = vmt_atom_get(atom, "pattern");
        if (vmt_json_exists(pattern)) {
            if (!vmt_json_get_str(pattern, &text)) {
                return vmt_schema_invalid(s, atom->place, "pattern", "it must be a string");
            }
            VMT_TRY(vmt_schema_pattern_of(s, text, true, &language));
            VMT_TRY(add_part(s, p, language, false));
        }
        if (atom->kind == VMT_ATOM_NOT_PATTERN) {
            VMT_TRY(vmt_schema_pattern_of(s, atom->name, true, &language));
            VMT_TRY(add_part(s, p, language, true));
        }
        VMT_TRY(add_format(s, p, atom));
    }
    return VMT_OK;
}

/* All strings of min to max characters. */
static vmt_status length_language(vmt_schema *s, uint32_t min, uint32_t max, vmt_automaton *out) {
    vmt_rules rules;
    vmt_rules_init(&rules);
    vmt_fragment all = vmt_any_chars(&rules, min, max);
    vmt_status status = vmt_language_compile(out, &rules, all, s->err);
    vmt_rules_free(&rules);
    return status;
}

static vmt_status excluded_language(vmt_schema *s, const vmt_atoms *atoms, vmt_automaton *out, bool *has_any) {
    vmt_str text;
    vmt_rules rules;
    vmt_rules_init(&rules);
    uint32_t start = vmt_rules_state(&rules);
    vmt_fragment all = {start, vmt_rules_state(&rules)};
    *has_any = false;
    for (uint32_t i = 0; i < atoms->len; i++) {
        const vmt_atom *atom = &atoms->list[i];
        if (atom->kind != VMT_ATOM_NOT_VALUE || !vmt_json_get_str(atom->json, &text)) continue;
        vmt_rules_epsilon(&rules, vmt_rules_literal(&rules, all.start, text), all.end);
        *has_any = true;
    }
    vmt_status status = VMT_OK;
    if (*has_any) status = vmt_language_compile(out, &rules, all, s->err);
    vmt_rules_free(&rules);
    return status;
}

static vmt_status intersect(vmt_schema *s, const vmt_atoms *atoms, uint32_t min, uint32_t max, struct parts *p,
                            vmt_automaton *out, bool *is_limited) {
    bool has_excluded;
    /* The first part is the one that must be there, whatever the length. */
    p->len = 1;
    VMT_TRY(add_patterns(s, atoms, p));
    VMT_TRY(excluded_language(s, atoms, &p->excluded, &has_excluded));
    if (has_excluded) VMT_TRY(add_part(s, p, &p->excluded, true));
    *is_limited = p->len > 1 || min > 0 || max != VMT_REPEAT_FOR_EVER;
    if (!*is_limited) return VMT_OK;
    VMT_TRY(length_language(s, min, max, &p->lengths));
    p->list[0] = (vmt_language_part){&p->lengths, false};
    return vmt_language_intersect(out, p->list, p->len, s->err);
}

vmt_status vmt_schema_string_language(vmt_schema *s, const vmt_atoms *atoms, vmt_automaton *out,
                                      bool *is_limited) {
    uint32_t min, max;
    *out = (vmt_automaton){0};
    *is_limited = true;
    VMT_TRY(vmt_schema_counts(s, atoms, "minLength", "maxLength", &min, &max));
    if (max < min) return VMT_OK; /* no string at all */
    struct parts *p = calloc(1, sizeof *p);
    if (!p) return vmt_schema_no_memory(s);
    vmt_status status = intersect(s, atoms, min, max, p, out, is_limited);
    vmt_automaton_free(&p->lengths);
    vmt_automaton_free(&p->excluded);
    free(p);
    return status;
}

/* ---- rules */

/* A string known by its length alone: a loop with a counter. */
static void add_counted(vmt_schema *s, uint32_t from, uint32_t to, uint32_t min, uint32_t max) {
    vmt_rules *r = s->rules;
    uint32_t rule = vmt_rules_rule(r);
    if (r->status != VMT_OK) return;
    r->rules[rule].is_counted = true;
    r->rules[rule].count_min = min;
    r->rules[rule].count_max = max;
    uint32_t loop = vmt_rules_state(r), closed = vmt_rules_state(r), first = r->num_states;
    vmt_rules_bytes(r, r->rules[rule].start, loop, '"', '"');
    vmt_schema_string_char(r, loop, loop);
    vmt_rules_bytes(r, loop, closed, '"', '"');
    vmt_rules_epsilon(r, closed, r->rules[rule].end);
    if (r->status != VMT_OK) return;
    r->states[loop].counting = VMT_COUNT_UP;
    r->states[closed].counting = VMT_COUNT_ENOUGH;
    for (uint32_t i = first; i < r->num_states; i++) r->states[i].counting = VMT_COUNT_ROOM;
    vmt_rules_call(r, from, to, rule);
}

static bool has_parts(const vmt_atoms *atoms) {
    vmt_str text;
    for (uint32_t i = 0; i < atoms->len; i++) {
        const vmt_atom *atom = &atoms->list[i];
        if (atom->kind == VMT_ATOM_NOT_PATTERN) return true;
        if (atom->kind == VMT_ATOM_NOT_VALUE && vmt_json_get_str(atom->json, &text)) return true;
        if (vmt_json_exists(vmt_atom_get(atom, "pattern"))) return true;
        bool is_hint = false;
        if (vmt_json_get_str(vmt_atom_get(atom, "format"), &text)) {
            const char *regex = vmt_schema_format(text);
            is_hint = regex && regex[0] == 0;
        }
        if (vmt_json_exists(vmt_atom_get(atom, "format")) && !is_hint) return true;
    }
    return false;
}

vmt_status vmt_schema_string(vmt_schema *s, const vmt_atoms *atoms, uint32_t from, uint32_t to) {
    vmt_rules *r = s->rules;
    uint32_t min, max;
    VMT_TRY(vmt_schema_counts(s, atoms, "minLength", "maxLength", &min, &max));
    if (max < min) return VMT_OK;
    if (!has_parts(atoms)) {
        if (min > 0 || max != VMT_REPEAT_FOR_EVER)
            add_counted(s, from, to, min, max);
        else
            vmt_rules_call(r, from, to, vmt_schema_builtin_rule(s, VMT_BUILTIN_STRING));
        return vmt_rules_status(r, s->err);
    }
    vmt_automaton language;
    bool is_limited;
    VMT_TRY(vmt_schema_string_language(s, atoms, &language, &is_limited));
    uint32_t open = vmt_rules_state(r), close = vmt_rules_state(r);
    vmt_rules_bytes(r, from, open, '"', '"');
    vmt_language_emit_json(r, open, close, &language);
    vmt_rules_bytes(r, close, to, '"', '"');
    vmt_automaton_free(&language);
    return vmt_rules_status(r, s->err);
}

vmt_status vmt_schema_admits_string(vmt_schema *s, const vmt_atoms *atoms, vmt_str text, bool *admits) {
    vmt_automaton language;
    bool is_limited;
    VMT_TRY(vmt_schema_string_language(s, atoms, &language, &is_limited));
    *admits = !is_limited || vmt_language_has(&language, text);
    vmt_automaton_free(&language);
    return VMT_OK;
}
