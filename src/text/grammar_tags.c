/* text/grammar_tags.c: structural tags: free text, and between a begin and an end what a schema says.
 *
 * A format is compiled into a rule of its own; formats within wait in a list.  A tag's begin or end that is spelled
 * like a special token may be written as that token, or as its text. */
#include "json/json.h"
#include "text/grammar_private.h"
#include "text/grammar_regex.h"
#include "text/grammar_schema.h"

#include <stdlib.h>

#define FORMATS_MAX VMT_GRAMMAR_RULES_MAX
#define STOPS_MAX   64u

struct format {
    vmt_json json;
    uint32_t rule;
    vmt_json stops; /* what free text must not contain: the end, or ends, of the tag it is in */
};

struct tags {
    vmt_rules *rules;
    vmt_schema schema;
    const vmt_grammar_vocab *vocab;
    struct format *formats;
    size_t formats_cap;
    uint32_t num_formats;
    vmt_err *err;
};

static vmt_status invalid(struct tags *t, const char *field, const char *what) {
    return vmt_fail_param(t->err, VMT_E_INVALID, field, "structural tag: %s %s", field, what);
}

static vmt_status add_format(struct tags *t, vmt_json json, vmt_json stops, uint32_t *rule) {
    *rule = vmt_rules_rule(t->rules);
    VMT_TRY(vmt_rules_status(t->rules, t->err));
    if (vmt_array_grow((void **)&t->formats, &t->formats_cap, (size_t)t->num_formats + 1, sizeof *t->formats,
                       FORMATS_MAX) != VMT_OK) {
        return vmt_fail(t->err, VMT_E_EXHAUSTED, "structural tag: more than %u formats", FORMATS_MAX);
    }
    t->formats[t->num_formats++] = (struct format){json, *rule, stops};
    return VMT_OK;
}

/* ---- text and tokens */

/* The longest special token that text begins with, in bytes. */
static size_t special_prefix(const struct tags *t, vmt_str text) {
    if (!t->vocab) return 0;
    for (size_t len = text.len; len > 1; len--) {
        if (vmt_vocab_has_special(t->vocab, vmt_str_slice(text, 0, len))) return len;
    }
    return 0;
}

/* Text in which special tokens may stand for their spelling. */
static uint32_t add_text(struct tags *t, uint32_t from, vmt_str text) {
    vmt_rules *r = t->rules;
    for (size_t pos = 0; pos < text.len && r->status == VMT_OK;) {
        size_t len = special_prefix(t, vmt_str_slice(text, pos, text.len));
        vmt_str piece = vmt_str_slice(text, pos, pos + VMT_MAX(len, (size_t)1));
        uint32_t to = vmt_rules_literal(r, from, piece);
        if (len > 0) {
            uint32_t mark = vmt_rules_state(r);
            vmt_rules_bytes(r, from, mark, (uint8_t)VMT_SPECIAL_BYTE, (uint8_t)VMT_SPECIAL_BYTE);
            vmt_rules_epsilon(r, vmt_rules_literal(r, mark, piece), to);
        }
        from = to;
        pos += piece.len;
    }
    return from;
}

/* The strings of a list, or one string. */
static vmt_status strings_of(struct tags *t, vmt_json json, const char *field, vmt_str *out, uint32_t *num) {
    vmt_json item;
    vmt_str key;
    *num = 0;
    if (!vmt_json_exists(json)) return VMT_OK;
    if (vmt_json_get_str(json, &out[0])) {
        *num = 1;
        return VMT_OK;
    }
    if (vmt_json_typeof(json) != VMT_JSON_ARRAY) return invalid(t, field, "must be a string or a list of strings");
    for (vmt_json_iter it = vmt_json_iter_begin(json); vmt_json_iter_next(&it, &key, &item); (*num)++) {
        if (*num == STOPS_MAX) return invalid(t, field, "has more than 64 members");
        if (!vmt_json_get_str(item, &out[*num])) return invalid(t, field, "must be a list of strings");
    }
    return VMT_OK;
}

/* Bytes in which none of the stops occurs.  Bytes, and not characters: whoever writes freely may stop anywhere. */
static vmt_status add_free_text(struct tags *t, uint32_t from, uint32_t to, const vmt_str *stops, uint32_t num) {
    vmt_rules rules;
    vmt_automaton any = {0}, stopped = {0}, text = {0};
    vmt_rules_init(&rules);
    uint32_t a = vmt_rules_state(&rules), b = vmt_rules_state(&rules), c = vmt_rules_state(&rules);
    vmt_rules_bytes(&rules, a, a, 0, 0xF4);
    vmt_rules_bytes(&rules, b, b, 0, 0xF4);
    vmt_rules_bytes(&rules, c, c, 0, 0xF4);
    for (uint32_t i = 0; i < num; i++) {
        if (stops[i].len > 0) vmt_rules_epsilon(&rules, vmt_rules_literal(&rules, b, stops[i]), c);
    }
    vmt_status status = vmt_language_compile(&any, &rules, (vmt_fragment){a, a}, t->err);
    if (status == VMT_OK) status = vmt_language_compile(&stopped, &rules, (vmt_fragment){b, c}, t->err);
    vmt_language_part parts[2] = {{&any, false}, {&stopped, true}};
    if (status == VMT_OK) status = vmt_language_intersect(&text, parts, 2, t->err);
    if (status == VMT_OK) vmt_language_emit(t->rules, from, to, &text);
    vmt_rules_free(&rules);
    vmt_automaton_free(&any);
    vmt_automaton_free(&stopped);
    vmt_automaton_free(&text);
    return status == VMT_OK ? vmt_rules_status(t->rules, t->err) : status;
}

/* ---- tags */

/* What follows a tag's begin: its content, then its end.  skip: bytes of the begin that were written already. */
static vmt_status add_tag(struct tags *t, vmt_json tag, size_t skip, uint32_t from, uint32_t to) {
    vmt_rules *r = t->rules;
    vmt_str begin, ends[STOPS_MAX];
    uint32_t num_ends, rule;
    vmt_json content = VMT_JSON_AT(tag, "content"), end = VMT_JSON_AT(tag, "end");
    vmt_json schema = VMT_JSON_AT(tag, "schema");
    if (!vmt_json_get_str(VMT_JSON_AT(tag, "begin"), &begin)) return invalid(t, "begin", "must be a string");
    VMT_TRY(strings_of(t, end, "end", ends, &num_ends));
    uint32_t at = add_text(t, from, vmt_str_slice(begin, skip, begin.len)), after = vmt_rules_state(r);
    if (vmt_json_exists(content)) {
        VMT_TRY(add_format(t, content, end, &rule));
    } else if (vmt_json_exists(schema)) { /* the older spelling */
        VMT_TRY(vmt_schema_add(&t->schema, schema, &rule));
    } else {
        return invalid(t, "content", "is missing");
    }
    vmt_rules_call(r, at, after, rule);
    if (num_ends == 0) vmt_rules_epsilon(r, after, to);
    for (uint32_t i = 0; i < num_ends; i++) vmt_rules_epsilon(r, add_text(t, after, ends[i]), to);
    return vmt_rules_status(r, t->err);
}

/* Free text; where a trigger appears, one of the tags that begin with it. */
static vmt_status add_triggered(struct tags *t, vmt_json json, vmt_json tags, uint32_t from, uint32_t to) {
    vmt_rules *r = t->rules;
    vmt_str stops[2 * STOPS_MAX], begin, key;
    uint32_t num_triggers, num_excludes;
    bool at_least_one = false, stop_after_first = false;
    vmt_json tag;
    vmt_json_get_bool(VMT_JSON_AT(json, "at_least_one"), &at_least_one);
    vmt_json_get_bool(VMT_JSON_AT(json, "stop_after_first"), &stop_after_first);
    VMT_TRY(strings_of(t, VMT_JSON_AT(json, "triggers"), "triggers", stops, &num_triggers));
    if (num_triggers == 0) return invalid(t, "triggers", "must name one at least");
    VMT_TRY(strings_of(t, VMT_JSON_AT(json, "excludes"), "excludes", stops + num_triggers, &num_excludes));
    uint32_t first = vmt_rules_state(r), text = vmt_rules_state(r), later = vmt_rules_state(r);
    vmt_rules_epsilon(r, from, first);
    VMT_TRY(add_free_text(t, first, text, stops, num_triggers + num_excludes));
    uint32_t later_text = text;
    if (at_least_one) {
        later_text = vmt_rules_state(r);
        VMT_TRY(add_free_text(t, later, later_text, stops, num_triggers + num_excludes));
    } else {
        vmt_rules_epsilon(r, later, first);
    }
    vmt_rules_epsilon(r, later_text, to);
    /* A rule for all that may follow a trigger, so that both kinds of text can call it. */
    for (uint32_t i = 0; i < num_triggers; i++) {
        uint32_t rule = vmt_rules_rule(r), num_tags = 0;
        VMT_TRY(vmt_rules_status(r, t->err));
        for (vmt_json_iter it = vmt_json_iter_begin(tags); vmt_json_iter_next(&it, &key, &tag);) {
            if (!vmt_json_get_str(VMT_JSON_AT(tag, "begin"), &begin))
                return invalid(t, "begin", "must be a string");
            if (!vmt_str_starts(begin, stops[i])) continue;
            vmt_rule ends = r->rules[rule];
            VMT_TRY(add_tag(t, tag, stops[i].len, ends.start, ends.end));
            num_tags++;
        }
        if (num_tags == 0) return invalid(t, "triggers", "has a member that no tag begins with");
        uint32_t next = stop_after_first ? to : later;
        vmt_rules_call(r, add_text(t, text, stops[i]), next, rule);
        if (later_text != text) vmt_rules_call(r, add_text(t, later_text, stops[i]), next, rule);
    }
    for (vmt_json_iter it = vmt_json_iter_begin(tags); vmt_json_iter_next(&it, &key, &tag);) {
        uint32_t i = 0;
        if (!vmt_json_get_str(VMT_JSON_AT(tag, "begin"), &begin)) begin = (vmt_str){0};
        while (i < num_triggers && !vmt_str_starts(begin, stops[i])) i++;
        if (i == num_triggers) return invalid(t, "begin", "does not begin with a trigger");
    }
    return vmt_rules_status(r, t->err);
}

static vmt_status add_separated(struct tags *t, vmt_json json, uint32_t from, uint32_t to) {
    vmt_rules *r = t->rules;
    vmt_str separator = {0}, key;
    vmt_json tag;
    bool at_least_one = false, stop_after_first = false;
    vmt_json_get_bool(VMT_JSON_AT(json, "at_least_one"), &at_least_one);
    vmt_json_get_bool(VMT_JSON_AT(json, "stop_after_first"), &stop_after_first);
    if (!vmt_json_get_str(VMT_JSON_AT(json, "separator"), &separator)) {
        return invalid(t, "separator", "must be a string");
    }
    uint32_t before = vmt_rules_state(r), after = vmt_rules_state(r);
    vmt_rules_epsilon(r, from, before);
    if (!at_least_one) vmt_rules_epsilon(r, from, to);
    for (vmt_json_iter it = vmt_json_iter_begin(VMT_JSON_AT(json, "tags")); vmt_json_iter_next(&it, &key, &tag);) {
        VMT_TRY(add_tag(t, tag, 0, before, after));
    }
    vmt_rules_epsilon(r, after, to);
    if (!stop_after_first) vmt_rules_epsilon(r, add_text(t, after, separator), before);
    return vmt_rules_status(r, t->err);
}

/* ---- formats */

static vmt_status add_elements(struct tags *t, const struct format *f, bool is_sequence, uint32_t from,
                               uint32_t to) {
    vmt_json elements = VMT_JSON_AT(f->json, "elements"), item, nothing = {0};
    vmt_str key;
    uint32_t rule, at = from;
    size_t left = vmt_json_size(elements);
    if (left == 0) return invalid(t, "elements", "must be a list with members");
    for (vmt_json_iter it = vmt_json_iter_begin(elements); vmt_json_iter_next(&it, &key, &item); left--) {
        /* Only what comes last stands before the end of the tag around it. */
        VMT_TRY(add_format(t, item, is_sequence && left > 1 ? nothing : f->stops, &rule));
        uint32_t next = is_sequence && left > 1 ? vmt_rules_state(t->rules) : to;
        vmt_rules_call(t->rules, at, next, rule);
        if (is_sequence) at = next;
    }
    return vmt_rules_status(t->rules, t->err);
}

static vmt_status add_choice(struct tags *t, vmt_json choices, uint32_t from, uint32_t to) {
    vmt_json item;
    vmt_str text;
    if (vmt_json_size(choices) == 0) return invalid(t, "choices", "must be a list with members");
    for (vmt_json_iter it = vmt_json_iter_begin(choices); vmt_json_iter_next(&it, NULL, &item);) {
        if (!vmt_json_get_str(item, &text)) return invalid(t, "choices", "must be a list of strings");
        vmt_rules_epsilon(t->rules, vmt_rules_literal(t->rules, from, text), to);
    }
    return vmt_rules_status(t->rules, t->err);
}

static vmt_status add_any_text(struct tags *t, const struct format *f, uint32_t from, uint32_t to) {
    vmt_str stops[2 * STOPS_MAX];
    uint32_t num_stops, num_excludes;
    VMT_TRY(strings_of(t, f->stops, "end", stops, &num_stops));
    VMT_TRY(strings_of(t, VMT_JSON_AT(f->json, "excludes"), "excludes", stops + num_stops, &num_excludes));
    return add_free_text(t, from, to, stops, num_stops + num_excludes);
}

static vmt_status add_regex(struct tags *t, vmt_str pattern, uint32_t from, uint32_t to) {
    vmt_automaton language;
    VMT_TRY(vmt_regex_language(&language, pattern, false, t->err));
    vmt_language_emit(t->rules, from, to, &language);
    vmt_automaton_free(&language);
    return vmt_rules_status(t->rules, t->err);
}

static vmt_status build_format(struct tags *t, const struct format *f) {
    vmt_rules *r = t->rules;
    uint32_t from = r->rules[f->rule].start, to = r->rules[f->rule].end, rule;
    vmt_str type, text;
    if (!vmt_json_get_str(VMT_JSON_AT(f->json, "type"), &type)) return invalid(t, "type", "must be a string");
    if (vmt_str_eq_c(type, "const_string")) {
        if (!vmt_json_get_str(VMT_JSON_AT(f->json, "value"), &text))
            return invalid(t, "value", "must be a string");
        vmt_rules_epsilon(r, add_text(t, from, text), to);
        return vmt_rules_status(r, t->err);
    }
    if (vmt_str_eq_c(type, "json_schema")) {
        vmt_str style;
        if (vmt_json_get_str(VMT_JSON_AT(f->json, "style"), &style) && !vmt_str_eq_c(style, "json")) {
            return vmt_fail(t->err, VMT_E_UNSUPPORTED, "structural tag: the style %.*s is not supported",
                            (int)VMT_MIN(style.len, (size_t)40), style.ptr);
        }
        VMT_TRY(vmt_schema_add(&t->schema, VMT_JSON_AT(f->json, "json_schema"), &rule));
        vmt_rules_call(r, from, to, rule);
        return vmt_rules_status(r, t->err);
    }
    if (vmt_str_eq_c(type, "regex")) {
        if (!vmt_json_get_str(VMT_JSON_AT(f->json, "pattern"), &text))
            return invalid(t, "pattern", "must be a string");
        return add_regex(t, text, from, to);
    }
    if (vmt_str_eq_c(type, "grammar")) {
        if (!vmt_json_get_str(VMT_JSON_AT(f->json, "grammar"), &text))
            return invalid(t, "grammar", "must be a string");
        VMT_TRY(vmt_rules_add_ebnf(r, text, &rule, t->err));
        vmt_rules_call(r, from, to, rule);
        return vmt_rules_status(r, t->err);
    }
    if (vmt_str_eq_c(type, "choice")) return add_choice(t, VMT_JSON_AT(f->json, "choices"), from, to);
    if (vmt_str_eq_c(type, "any_text")) return add_any_text(t, f, from, to);
    if (vmt_str_eq_c(type, "sequence")) return add_elements(t, f, true, from, to);
    if (vmt_str_eq_c(type, "or")) return add_elements(t, f, false, from, to);
    if (vmt_str_eq_c(type, "tag")) return add_tag(t, f->json, 0, from, to);
    if (vmt_str_eq_c(type, "triggered_tags")) {
        return add_triggered(t, f->json, VMT_JSON_AT(f->json, "tags"), from, to);
    }
    if (vmt_str_eq_c(type, "tags_with_separator")) return add_separated(t, f->json, from, to);
    return vmt_fail(t->err, VMT_E_UNSUPPORTED, "structural tag: the format %.*s is not supported",
                    (int)VMT_MIN(type.len, (size_t)40), type.ptr);
}

static vmt_status build(struct tags *t, vmt_json json, uint32_t *root) {
    vmt_json nothing = {0}, format = VMT_JSON_AT(json, "format"), structures = VMT_JSON_AT(json, "structures");
    if (vmt_json_exists(structures)) {
        *root = vmt_rules_rule(t->rules);
        VMT_TRY(vmt_rules_status(t->rules, t->err));
        vmt_rule rule = t->rules->rules[*root];
        VMT_TRY(add_triggered(t, json, structures, rule.start, rule.end));
    } else if (vmt_json_exists(format)) {
        VMT_TRY(add_format(t, format, nothing, root));
    } else {
        return invalid(t, "format", "is missing");
    }
    for (uint32_t i = 0; i < t->num_formats; i++) {
        struct format f = t->formats[i];
        VMT_TRY(build_format(t, &f));
    }
    return vmt_rules_status(t->rules, t->err);
}

vmt_status vmt_grammar_from_tags(vmt_grammar **out, vmt_str text, const vmt_grammar_options *options,
                                 vmt_err *err) {
    *out = NULL;
    if (text.len > VMT_GRAMMAR_SOURCE_MAX) {
        return vmt_fail(err, VMT_E_EXHAUSTED, "the structural tag is %zu bytes, the limit is %zu", text.len,
                        VMT_GRAMMAR_SOURCE_MAX);
    }
    vmt_json_doc *doc;
    VMT_TRY(vmt_json_parse(&doc, text, err));
    vmt_rules rules;
    struct tags t = {.rules = &rules, .err = err, .vocab = options ? options->vocab : NULL};
    uint32_t root = 0;
    vmt_rules_init(&rules);
    vmt_status status = vmt_schema_open(&t.schema, &rules, options, err);
    if (status == VMT_OK) status = build(&t, vmt_json_root(doc), &root);
    vmt_schema_close(&t.schema);
    free(t.formats);
    vmt_json_doc_destroy(doc);
    return vmt_grammar_finish(out, &rules, root, status, err);
}
