/* text/grammar_ebnf.c: GBNF and Lark.
 *
 *   GBNF   name ::= "text" [a-z^0-9] . (group) other-rule | x* x+ x? x{2,5}      # comment
 *   Lark   name: "text"i /regex/ "a".."z" (group) [optional] other | x* x+ x? x~2..5 -> alias      // comment
 *
 * A rule ends where the next one begins, so line breaks mean nothing.  Terminals of Lark are rules like any other:
 * there is no lexer, and %ignore, which needs one, is refused. */
#include "base/utf8.h"
#include "text/grammar_charset.h"
#include "text/grammar_private.h"
#include "text/grammar_regex.h"

#include <stdlib.h>

struct name {
    vmt_str text;
    uint32_t rule;
    bool is_defined;
};

struct group {
    uint32_t first, start, end, at;
    char closer;
};

struct parser {
    vmt_str text;
    size_t pos;
    bool is_lark;
    vmt_rules *rules;
    vmt_charset set;
    struct name *names;
    size_t names_cap;
    uint32_t num_names;
    uint32_t *table; /* name + 1 */
    struct group groups[VMT_GRAMMAR_NEST_MAX];
    uint32_t depth;
    vmt_err *err;
};

#define TABLE_LEN (4u * VMT_GRAMMAR_RULES_MAX)

static uint32_t line_of(const struct parser *p) {
    uint32_t line = 1;
    for (size_t i = 0; i < p->pos && i < p->text.len; i++) line += p->text.ptr[i] == '\n';
    return line;
}

static vmt_status invalid(struct parser *p, const char *what) {
    return vmt_fail(p->err, VMT_E_INVALID, "grammar: %s in line %u", what, line_of(p));
}

static vmt_status unsupported(struct parser *p, const char *what) {
    return vmt_fail(p->err, VMT_E_UNSUPPORTED, "grammar: %s is not supported (line %u)", what, line_of(p));
}

static int peek(const struct parser *p) {
    return p->pos < p->text.len ? (uint8_t)p->text.ptr[p->pos] : -1;
}

static bool take(struct parser *p, const char *literal) {
    vmt_str want = vmt_str_from(literal);
    if (!vmt_str_starts(vmt_str_slice(p->text, p->pos, p->text.len), want)) return false;
    p->pos += want.len;
    return true;
}

static void skip_line(struct parser *p) {
    while (p->pos < p->text.len && p->text.ptr[p->pos] != '\n') p->pos++;
}

static void skip_space(struct parser *p) {
    for (;;) {
        int c = peek(p);
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
            p->pos++;
        else if (p->is_lark ? take(p, "//") : take(p, "#"))
            skip_line(p);
        else
            return;
    }
}

static bool is_name_char(int c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static vmt_str take_name(struct parser *p) {
    size_t begin = p->pos;
    while (is_name_char(peek(p))) {
        /* In Lark a minus is the arrow of an alias. */
        if (p->is_lark && peek(p) == '-') break;
        p->pos++;
    }
    return vmt_str_slice(p->text, begin, p->pos);
}

static vmt_status find_name(struct parser *p, vmt_str text, struct name **out) {
    uint32_t at = (uint32_t)vmt_hash_fast(text.ptr, text.len) & (TABLE_LEN - 1);
    for (; p->table[at] != 0; at = (at + 1) & (TABLE_LEN - 1)) {
        *out = &p->names[p->table[at] - 1];
        if (vmt_str_eq((*out)->text, text)) return VMT_OK;
    }
    if (vmt_array_grow((void **)&p->names, &p->names_cap, (size_t)p->num_names + 1, sizeof *p->names,
                       VMT_GRAMMAR_RULES_MAX) != VMT_OK) {
        vmt_rules_fail(p->rules, VMT_E_EXHAUSTED);
        return vmt_rules_status(p->rules, p->err);
    }
    *out = &p->names[p->num_names++];
    **out = (struct name){.text = text, .rule = vmt_rules_rule(p->rules)};
    p->table[at] = p->num_names;
    return vmt_rules_status(p->rules, p->err);
}

static vmt_fragment fresh(struct parser *p) {
    uint32_t start = vmt_rules_state(p->rules);
    return (vmt_fragment){start, vmt_rules_state(p->rules)};
}

/* ---- characters */

static int hex_value(int c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One character of a literal or class.  \x80 and above are characters here, as llama.cpp has them. */
static vmt_status take_char(struct parser *p, uint32_t *out) {
    static const char letters[] = "n\nt\tr\rf\fv\v0";
    if (p->pos >= p->text.len) return invalid(p, "a literal or class without its end");
    if (!take(p, "\\")) {
        *out = vmt_utf8_next(p->text, &p->pos);
        return VMT_OK;
    }
    int c = peek(p);
    if (c < 0) return invalid(p, "a backslash at the end");
    uint32_t num_digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (num_digits > 0) {
        uint32_t value = 0;
        p->pos++;
        for (uint32_t i = 0; i < num_digits; i++, p->pos++) {
            int digit = hex_value(peek(p));
            if (digit < 0) return invalid(p, "an escape without its digits");
            value = value << 4 | (uint32_t)digit;
        }
        if (value > 0x10FFFF) return invalid(p, "an escape above U+10FFFF");
        *out = value;
        return VMT_OK;
    }
    for (size_t i = 0; i + 1 < sizeof letters; i += 2) {
        if (c != letters[i]) continue;
        p->pos++;
        *out = (uint8_t)letters[i + 1];
        return VMT_OK;
    }
    *out = vmt_utf8_next(p->text, &p->pos);
    return VMT_OK;
}

/* ASCII letters in either case. */
static void add_char(struct parser *p, uint32_t from, uint32_t to, uint32_t c, bool any_case) {
    vmt_rules_chars(p->rules, from, to, c, c);
    uint32_t lower = c | 0x20;
    if (any_case && lower >= 'a' && lower <= 'z') vmt_rules_chars(p->rules, from, to, c ^ 0x20, c ^ 0x20);
}

/* After the quote.  In Lark an i may follow, and "a".."z" is a range. */
static vmt_status take_literal(struct parser *p, char quote, vmt_fragment *atom) {
    size_t begin = p->pos;
    uint32_t c = 0, last = 0, num = 0;
    char end[2] = {quote, 0};
    while (!take(p, end)) VMT_TRY(take_char(p, &c));
    bool any_case = p->is_lark && peek(p) == 'i' &&
                    (p->pos + 1 == p->text.len || !is_name_char((uint8_t)p->text.ptr[p->pos + 1]));
    size_t after = p->pos + any_case;
    *atom = fresh(p);
    uint32_t at = atom->start;
    p->pos = begin;
    for (; !take(p, end); num++) {
        VMT_TRY(take_char(p, &c));
        last = c;
        uint32_t next = vmt_rules_state(p->rules);
        add_char(p, at, next, c, any_case);
        at = next;
        VMT_TRY(vmt_rules_status(p->rules, p->err));
    }
    p->pos = after;
    if (p->is_lark && take(p, "..")) {
        uint32_t hi;
        char quotes[2] = {(char)peek(p), 0};
        if (num != 1 || (quotes[0] != '"' && quotes[0] != '\''))
            return invalid(p, "a range not of two characters");
        p->pos++;
        VMT_TRY(take_char(p, &hi));
        if (!take(p, quotes) || hi < last) return invalid(p, "a range not of two characters");
        *atom = fresh(p);
        vmt_rules_chars(p->rules, atom->start, atom->end, last, hi);
        return VMT_OK;
    }
    vmt_rules_epsilon(p->rules, at, atom->end);
    return VMT_OK;
}

/* After [ of GBNF. */
static vmt_status take_class(struct parser *p, vmt_fragment *atom) {
    vmt_charset_clear(&p->set);
    bool is_negated = take(p, "^");
    while (!take(p, "]")) {
        uint32_t lo, hi;
        VMT_TRY(take_char(p, &lo));
        hi = lo;
        if (peek(p) == '-' && p->pos + 1 < p->text.len && p->text.ptr[p->pos + 1] != ']') {
            p->pos++;
            VMT_TRY(take_char(p, &hi));
        }
        if (hi < lo) return invalid(p, "a class range that runs backwards");
        vmt_charset_add(&p->set, lo, hi);
    }
    if (is_negated) vmt_charset_negate(&p->set);
    *atom = fresh(p);
    vmt_charset_emit(&p->set, p->rules, atom->start, atom->end);
    return VMT_OK;
}

static vmt_status add_regex(struct parser *p, vmt_str pattern, vmt_fragment *atom) {
    vmt_automaton language;
    VMT_TRY(vmt_regex_language(&language, pattern, false, p->err));
    *atom = fresh(p);
    vmt_language_emit(p->rules, atom->start, atom->end, &language);
    vmt_automaton_free(&language);
    return VMT_OK;
}

/* After / of Lark. */
static vmt_status take_regex(struct parser *p, vmt_fragment *atom) {
    size_t begin = p->pos;
    bool in_class = false;
    for (; p->pos < p->text.len && (in_class || p->text.ptr[p->pos] != '/'); p->pos++) {
        char c = p->text.ptr[p->pos];
        if (c == '\\')
            p->pos++;
        else if (c == '[')
            in_class = true;
        else if (c == ']')
            in_class = false;
        else if (c == '\n')
            break;
    }
    if (p->pos >= p->text.len || p->text.ptr[p->pos] != '/') return invalid(p, "a regex without its /");
    vmt_str pattern = vmt_str_slice(p->text, begin, p->pos++);
    if (is_name_char(peek(p))) return unsupported(p, "a flag of a regex");
    return add_regex(p, pattern, atom);
}

/* ---- groups and repeats */

static vmt_status open_group(struct parser *p, char closer) {
    if (p->depth == VMT_GRAMMAR_NEST_MAX) {
        return vmt_fail(p->err, VMT_E_EXHAUSTED, "grammar: groups nest deeper than %u", VMT_GRAMMAR_NEST_MAX);
    }
    struct group *g = &p->groups[p->depth++];
    g->first = p->rules->num_states;
    vmt_fragment whole = fresh(p);
    *g = (struct group){g->first, whole.start, whole.end, whole.start, closer};
    return VMT_OK;
}

static bool take_number(struct parser *p, uint32_t *out) {
    uint64_t value = 0;
    size_t begin = p->pos;
    for (int c; (c = peek(p)) >= '0' && c <= '9'; p->pos++) {
        value = VMT_MIN(value * 10 + (uint64_t)(c - '0'), (uint64_t)UINT32_MAX - 1);
    }
    *out = (uint32_t)value;
    return p->pos > begin;
}

/* Bounds after an atom; false: there are none. */
static vmt_status take_bounds(struct parser *p, uint32_t *min, uint32_t *max, bool *has_bounds) {
    *min = 0;
    *max = VMT_REPEAT_FOR_EVER;
    *has_bounds = true;
    size_t pos = p->pos;
    skip_space(p);
    if (take(p, "*")) return VMT_OK;
    if (take(p, "+")) {
        *min = 1;
        return VMT_OK;
    }
    /* In Lark ?name: begins a rule. */
    if (peek(p) == '?' && (!p->is_lark || pos == p->pos)) {
        p->pos++;
        *max = 1;
        return VMT_OK;
    }
    bool is_braces = !p->is_lark && take(p, "{"), is_tilde = p->is_lark && take(p, "~");
    if (!is_braces && !is_tilde) {
        *has_bounds = false;
        p->pos = pos;
        return VMT_OK;
    }
    skip_space(p);
    bool has_min = take_number(p, min);
    skip_space(p);
    *max = *min;
    if (is_braces ? take(p, ",") : take(p, "..")) {
        skip_space(p);
        if (!take_number(p, max)) *max = VMT_REPEAT_FOR_EVER;
        skip_space(p);
        has_min = true;
    }
    if (!has_min || (is_braces && !take(p, "}")) || *max < *min) return invalid(p, "a repeat with bad bounds");
    if (*min > VMT_GRAMMAR_REPEAT_MAX || (*max != VMT_REPEAT_FOR_EVER && *max > VMT_GRAMMAR_REPEAT_MAX)) {
        return vmt_fail(p->err, VMT_E_EXHAUSTED, "grammar: a repeat of more than %u", VMT_GRAMMAR_REPEAT_MAX);
    }
    return VMT_OK;
}

static vmt_status end_atom(struct parser *p, vmt_fragment atom, uint32_t first) {
    uint32_t min, max;
    bool has_bounds;
    for (;;) {
        VMT_TRY(take_bounds(p, &min, &max, &has_bounds));
        if (!has_bounds) break;
        atom = vmt_rules_repeat(p->rules, atom, first, min, max);
        VMT_TRY(vmt_rules_status(p->rules, p->err));
    }
    struct group *g = &p->groups[p->depth - 1];
    vmt_rules_epsilon(p->rules, g->at, atom.start);
    g->at = atom.end;
    return vmt_rules_status(p->rules, p->err);
}

static vmt_status close_group(struct parser *p, char closer) {
    struct group *g = &p->groups[p->depth - 1];
    if (p->depth == 1 || g->closer != closer) return invalid(p, "a bracket that closes nothing");
    vmt_rules_epsilon(p->rules, g->at, g->end);
    if (closer == ']') vmt_rules_epsilon(p->rules, g->start, g->end);
    vmt_fragment atom = {g->start, g->end};
    uint32_t first = g->first;
    p->depth--;
    return end_atom(p, atom, first);
}

/* ---- rules */

static vmt_status import_terminal(struct parser *p) {
    static const struct {
        const char *name, *regex;
    } common[] = {
        {"DIGIT", "[0-9]"},
        {"HEXDIGIT", "[0-9A-Fa-f]"},
        {"INT", "[0-9]+"},
        {"SIGNED_INT", "[+-]?[0-9]+"},
        {"DECIMAL", "[0-9]+\\.[0-9]*|\\.[0-9]+"},
        {"FLOAT", "[0-9]+[eE][+-]?[0-9]+|([0-9]+\\.[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]+)?"},
        {"NUMBER", "[0-9]+([eE][+-]?[0-9]+)?|([0-9]+\\.[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]+)?"},
        {"SIGNED_NUMBER", "[+-]?([0-9]+([eE][+-]?[0-9]+)?|([0-9]+\\.[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]+)?)"},
        {"ESCAPED_STRING", "\"([^\"\\\\\\n]|\\\\.)*\""},
        {"LCASE_LETTER", "[a-z]"},
        {"UCASE_LETTER", "[A-Z]"},
        {"LETTER", "[A-Za-z]"},
        {"WORD", "[A-Za-z]+"},
        {"CNAME", "[A-Za-z_][A-Za-z0-9_]*"},
        {"WS_INLINE", "[ \\t]+"},
        {"WS", "[ \\t\\f\\r\\n]+"},
        {"CR", "\\r"},
        {"LF", "\\n"},
        {"NEWLINE", "(\\r?\\n)+"},
    };
    struct name *name;
    vmt_fragment atom;
    skip_space(p);
    if (!take(p, "common.")) return unsupported(p, "%import of anything but common");
    vmt_str text = take_name(p);
    size_t i = 0;
    while (i < VMT_COUNT(common) && !vmt_str_eq_c(text, common[i].name)) i++;
    if (i == VMT_COUNT(common)) return unsupported(p, "this terminal of common");
    skip_space(p);
    if (take(p, "->")) {
        skip_space(p);
        text = take_name(p);
    }
    VMT_TRY(find_name(p, text, &name));
    name->is_defined = true;
    uint32_t rule = name->rule;
    VMT_TRY(add_regex(p, vmt_str_from(common[i].regex), &atom));
    vmt_rules_epsilon(p->rules, p->rules->rules[rule].start, atom.start);
    vmt_rules_epsilon(p->rules, atom.end, p->rules->rules[rule].end);
    return vmt_rules_status(p->rules, p->err);
}

/* The head of a rule at this place: its name, and the position behind `::=` or `:`.  Nothing is taken. */
static bool see_head(struct parser *p, vmt_str *name, size_t *after) {
    size_t begin = p->pos;
    if (p->is_lark && (peek(p) == '?' || peek(p) == '!')) p->pos++;
    *name = take_name(p);
    uint32_t priority;
    if (p->is_lark && name->len > 0 && take(p, ".")) (void)take_number(p, &priority);
    skip_space(p);
    bool is_head = name->len > 0 && (p->is_lark ? take(p, ":") : take(p, "::="));
    *after = p->pos;
    p->pos = begin;
    return is_head;
}

static vmt_status take_reference(struct parser *p) {
    struct name *name;
    uint32_t first = p->rules->num_states;
    vmt_str text = take_name(p);
    if (text.len == 0) return invalid(p, "something that is no part of a rule");
    VMT_TRY(find_name(p, text, &name));
    uint32_t rule = name->rule;
    /* A new rule's own states lie in between: the fragment begins behind them. */
    first = p->rules->num_states;
    vmt_fragment atom = fresh(p);
    vmt_rules_call(p->rules, atom.start, atom.end, rule);
    return end_atom(p, atom, first);
}

static vmt_status take_piece(struct parser *p) {
    struct group *g = &p->groups[p->depth - 1];
    vmt_fragment atom;
    uint32_t first = p->rules->num_states;
    if (take(p, "|")) {
        vmt_rules_epsilon(p->rules, g->at, g->end);
        g->at = g->start;
        return VMT_OK;
    }
    if (take(p, "(")) {
        if (peek(p) == '=') return unsupported(p, "look-ahead");
        return open_group(p, ')');
    }
    if (take(p, ")")) return close_group(p, ')');
    if (p->is_lark && take(p, "[")) return open_group(p, ']');
    if (p->is_lark && take(p, "]")) return close_group(p, ']');
    if (p->is_lark && take(p, "->")) {
        skip_space(p);
        (void)take_name(p);
        return VMT_OK;
    }
    if (take(p, ";")) return VMT_OK;
    if (peek(p) == '<') return unsupported(p, "a token by name, <...>");
    if (take(p, "\"")) {
        VMT_TRY(take_literal(p, '"', &atom));
        return end_atom(p, atom, first);
    }
    if (p->is_lark && take(p, "'")) {
        VMT_TRY(take_literal(p, '\'', &atom));
        return end_atom(p, atom, first);
    }
    if (p->is_lark && take(p, "/")) {
        VMT_TRY(take_regex(p, &atom));
        return end_atom(p, atom, first);
    }
    if (take(p, "[")) {
        VMT_TRY(take_class(p, &atom));
        return end_atom(p, atom, first);
    }
    if (take(p, ".")) {
        atom = fresh(p);
        vmt_rules_chars(p->rules, atom.start, atom.end, 0, 0x10FFFF);
        return end_atom(p, atom, first);
    }
    return take_reference(p);
}

static vmt_status take_rule(struct parser *p, vmt_str text, size_t after) {
    struct name *name;
    size_t next;
    VMT_TRY(find_name(p, text, &name));
    if (name->is_defined) {
        return vmt_fail(p->err, VMT_E_INVALID, "grammar: the rule %.*s is defined twice", VMT_STR_ARG(text));
    }
    name->is_defined = true;
    const vmt_rule *rule = &p->rules->rules[name->rule];
    p->depth = 1;
    p->groups[0] = (struct group){.start = rule->start, .end = rule->end, .at = rule->start};
    p->pos = after;
    for (skip_space(p); p->pos < p->text.len; skip_space(p)) {
        if (p->depth == 1 && (see_head(p, &text, &next) || (p->is_lark && peek(p) == '%'))) break;
        VMT_TRY(take_piece(p));
    }
    if (p->depth > 1) return invalid(p, "a bracket that is not closed");
    vmt_rules_epsilon(p->rules, p->groups[0].at, p->groups[0].end);
    return vmt_rules_status(p->rules, p->err);
}

static vmt_status parse(struct parser *p) {
    vmt_str text;
    size_t after;
    for (skip_space(p); p->pos < p->text.len; skip_space(p)) {
        if (p->is_lark && take(p, "%import"))
            VMT_TRY(import_terminal(p));
        else if (p->is_lark && take(p, "%"))
            return unsupported(p, "this % directive");
        else if (take(p, ";"))
            continue;
        else if (!see_head(p, &text, &after))
            return invalid(p, "no rule where one should begin");
        else
            VMT_TRY(take_rule(p, text, after));
    }
    if (p->num_names == 0) return invalid(p, "no rule");
    for (uint32_t i = 0; i < p->num_names; i++) {
        if (p->names[i].is_defined) continue;
        return vmt_fail(p->err, VMT_E_INVALID, "grammar: the rule %.*s is used and not defined",
                        (int)VMT_MIN(p->names[i].text.len, (size_t)80), p->names[i].text.ptr);
    }
    return VMT_OK;
}

static uint32_t root_of(const struct parser *p) {
    static const char *const roots[] = {"root", "start"};
    for (size_t k = 0; k < VMT_COUNT(roots); k++) {
        for (uint32_t i = 0; i < p->num_names; i++) {
            if (vmt_str_eq_c(p->names[i].text, roots[k])) return p->names[i].rule;
        }
    }
    return p->num_names > 0 ? p->names[0].rule : 0;
}

vmt_status vmt_rules_add_ebnf(vmt_rules *rules, vmt_str source, uint32_t *root, vmt_err *err) {
    if (source.len > VMT_GRAMMAR_SOURCE_MAX) {
        return vmt_fail(err, VMT_E_EXHAUSTED, "the grammar is %zu bytes, the limit is %zu", source.len,
                        VMT_GRAMMAR_SOURCE_MAX);
    }
    if (!vmt_utf8_valid(source)) return vmt_fail(err, VMT_E_INVALID, "the grammar is not UTF-8");
    struct parser *p = calloc(1, sizeof *p);
    if (p) p->table = calloc(TABLE_LEN, sizeof *p->table);
    if (!p || !p->table) {
        free(p);
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory to compile the grammar");
    }
    p->text = source;
    p->rules = rules;
    p->err = err;
    p->is_lark = vmt_str_find(source, VMT_STR("::="), 0) == SIZE_MAX;
    vmt_status status = parse(p);
    *root = root_of(p);
    vmt_charset_free(&p->set);
    free(p->names);
    free(p->table);
    free(p);
    return status;
}

vmt_status vmt_grammar_from_ebnf(vmt_grammar **out, vmt_str source, vmt_err *err) {
    vmt_rules rules;
    uint32_t root;
    vmt_rules_init(&rules);
    vmt_status status = vmt_rules_status(&rules, err);
    if (status == VMT_OK) status = vmt_rules_add_ebnf(&rules, source, &root, err);
    return vmt_grammar_finish(out, &rules, status == VMT_OK ? root : 0, status, err);
}
