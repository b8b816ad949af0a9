#include "text/grammar_regex.h"
#include "base/utf8.h"
#include "text/grammar.h"
#include "text/grammar_charset.h"

#include <stdlib.h>

/* A group that is open; index 0 is the whole pattern. */
struct group {
    uint32_t first; /* its states begin here */
    uint32_t start, end;
    uint32_t at; /* where the current alternative has come to */
};

struct parser {
    vmt_str text;
    size_t pos;
    vmt_rules rules;
    vmt_charset set;
    struct group groups[VMT_GRAMMAR_NEST_MAX];
    uint32_t depth;
    vmt_err *err;
};

static vmt_status invalid(struct parser *p, const char *what) {
    return vmt_fail(p->err, VMT_E_INVALID, "regex: %s at byte %zu", what, p->pos);
}

static vmt_status unsupported(struct parser *p, const char *what) {
    return vmt_fail(p->err, VMT_E_UNSUPPORTED, "regex: %s is not supported (byte %zu)", what, p->pos);
}

static int peek(const struct parser *p, size_t ahead) {
    return p->pos + ahead < p->text.len ? (uint8_t)p->text.ptr[p->pos + ahead] : -1;
}

static bool take(struct parser *p, const char *literal) {
    vmt_str want = vmt_str_from(literal);
    if (!vmt_str_starts(vmt_str_slice(p->text, p->pos, p->text.len), want)) return false;
    p->pos += want.len;
    return true;
}

static vmt_fragment fresh(struct parser *p) {
    uint32_t start = vmt_rules_state(&p->rules);
    return (vmt_fragment){start, vmt_rules_state(&p->rules)};
}

/* ---- escapes */

static int hex_value(int c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool take_hex(struct parser *p, uint32_t num_digits, uint32_t *out) {
    uint32_t value = 0;
    for (uint32_t i = 0; i < num_digits; i++) {
        int digit = hex_value(peek(p, i));
        if (digit < 0) return false;
        value = value << 4 | (uint32_t)digit;
    }
    p->pos += num_digits;
    *out = value;
    return true;
}

/* After \u. */
static vmt_status take_unicode(struct parser *p, uint32_t *out) {
    if (take(p, "{")) {
        uint32_t value = 0, n = 0;
        for (int digit; (digit = hex_value(peek(p, 0))) >= 0 && value <= 0x10FFFF; p->pos++, n++) {
            value = value << 4 | (uint32_t)digit;
        }
        if (n == 0 || value > 0x10FFFF || !take(p, "}")) return invalid(p, "a bad \\u{...}");
        *out = value;
        return VMT_OK;
    }
    if (!take_hex(p, 4, out)) return invalid(p, "\\u without four digits");
    if (*out < 0xD800 || *out > 0xDFFF) return VMT_OK;
    uint32_t low;
    if (*out > 0xDBFF || !take(p, "\\u") || !take_hex(p, 4, &low) || low < 0xDC00 || low > 0xDFFF) {
        return unsupported(p, "half a surrogate pair");
    }
    *out = 0x10000 + ((*out & 0x3FF) << 10) + (low & 0x3FF);
    return VMT_OK;
}

/* After a backslash: one character, or false in *is_char when a class went into the set. */
static vmt_status take_escape(struct parser *p, bool in_class, uint32_t *out, bool *is_char) {
    static const char letters[] = "t\tn\nr\rf\fv\v";
    int c = peek(p, 0);
    *is_char = true;
    if (c < 0) return invalid(p, "a backslash that ends the pattern");
    for (size_t i = 0; i + 1 < sizeof letters; i += 2) {
        if (c != letters[i]) continue;
        p->pos++;
        *out = (uint8_t)letters[i + 1];
        return VMT_OK;
    }
    if (c >= 0x80) {
        *out = vmt_utf8_next(p->text, &p->pos);
        return VMT_OK;
    }
    p->pos++;
    if (c == 'd' || c == 'D' || c == 'w' || c == 'W' || c == 's' || c == 'S') {
        vmt_charset_add_class(&p->set, (char)c);
        *is_char = false;
        return VMT_OK;
    }
    if (c == 'p' || c == 'P') {
        size_t begin = p->pos + 1;
        size_t end = take(p, "{") ? vmt_str_find(p->text, VMT_STR("}"), p->pos) : SIZE_MAX;
        if (end == SIZE_MAX) return invalid(p, "\\p without {name}");
        if (!vmt_charset_add_category(&p->set, vmt_str_slice(p->text, begin, end), c == 'P')) {
            return vmt_fail(p->err, VMT_E_UNSUPPORTED, "regex: the property \\%c{%.*s} is not supported", c,
                            (int)VMT_MIN(end - begin, (size_t)40), p->text.ptr + begin);
        }
        p->pos = end + 1;
        *is_char = false;
        return VMT_OK;
    }
    if (c == 'u') return take_unicode(p, out);
    if (c == 'x') return take_hex(p, 2, out) ? VMT_OK : invalid(p, "\\x without two digits");
    if (c == 'c') {
        int letter = peek(p, 0) | 0x20;
        if (letter < 'a' || letter > 'z') return invalid(p, "\\c without a letter");
        p->pos++;
        *out = (uint32_t)letter & 31;
        return VMT_OK;
    }
    if (c == 'b' && in_class) {
        *out = 8;
        return VMT_OK;
    }
    if (c == 'b' || c == 'B') return unsupported(p, "the word border \\b");
    if (c == '0' && (peek(p, 0) < '0' || peek(p, 0) > '9')) {
        *out = 0;
        return VMT_OK;
    }
    if (c == 'k' || (c >= '0' && c <= '9')) return unsupported(p, "a back-reference");
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') return invalid(p, "an unknown escape");
    *out = (uint32_t)c;
    return VMT_OK;
}

/* ---- atoms */

static vmt_status take_class_item(struct parser *p, uint32_t *out, bool *is_char) {
    *is_char = true;
    if (take(p, "\\")) return take_escape(p, true, out, is_char);
    if (p->pos >= p->text.len) return invalid(p, "a class without its ]");
    *out = vmt_utf8_next(p->text, &p->pos);
    return VMT_OK;
}

/* After [. */
static vmt_status take_class(struct parser *p, vmt_fragment *atom) {
    vmt_charset_clear(&p->set);
    bool is_negated = take(p, "^");
    while (!take(p, "]")) {
        uint32_t lo, hi;
        bool is_char, is_range_end;
        VMT_TRY(take_class_item(p, &lo, &is_char));
        if (!is_char) continue;
        hi = lo;
        if (peek(p, 0) == '-' && peek(p, 1) != ']' && peek(p, 1) >= 0) {
            p->pos++;
            VMT_TRY(take_class_item(p, &hi, &is_range_end));
            if (!is_range_end) {
                vmt_charset_add(&p->set, '-', '-');
                hi = lo;
            }
        }
        if (hi < lo) return invalid(p, "a class range that runs backwards");
        vmt_charset_add(&p->set, lo, hi);
    }
    if (is_negated) vmt_charset_negate(&p->set);
    *atom = fresh(p);
    vmt_charset_emit(&p->set, &p->rules, atom->start, atom->end);
    return VMT_OK;
}

static vmt_fragment one_char(struct parser *p, uint32_t c) {
    vmt_fragment atom = fresh(p);
    vmt_rules_chars(&p->rules, atom.start, atom.end, c, c);
    return atom;
}

static vmt_fragment border(struct parser *p, vmt_edge_kind kind) {
    vmt_fragment atom = fresh(p);
    vmt_rules_border(&p->rules, atom.start, atom.end, kind);
    return atom;
}

static vmt_status take_escaped_atom(struct parser *p, vmt_fragment *atom) {
    uint32_t c;
    bool is_char;
    if (take(p, "A")) {
        *atom = border(p, VMT_EDGE_BEGIN);
        return VMT_OK;
    }
    if (take(p, "z") || take(p, "Z")) {
        *atom = border(p, VMT_EDGE_END);
        return VMT_OK;
    }
    vmt_charset_clear(&p->set);
    VMT_TRY(take_escape(p, false, &c, &is_char));
    if (is_char) {
        *atom = one_char(p, c);
        return VMT_OK;
    }
    *atom = fresh(p);
    vmt_charset_emit(&p->set, &p->rules, atom->start, atom->end);
    return VMT_OK;
}

static vmt_fragment any_but_line_ends(struct parser *p) {
    vmt_charset_clear(&p->set);
    vmt_charset_add(&p->set, '\n', '\n');
    vmt_charset_add(&p->set, '\r', '\r');
    vmt_charset_add(&p->set, 0x2028, 0x2029);
    vmt_charset_negate(&p->set);
    vmt_fragment atom = fresh(p);
    vmt_charset_emit(&p->set, &p->rules, atom.start, atom.end);
    return atom;
}

/* ---- groups */

static vmt_status open_group(struct parser *p) {
    if (take(p, "?")) {
        if (take(p, "<") || take(p, "P<")) {
            if (peek(p, 0) == '=' || peek(p, 0) == '!') return unsupported(p, "look-behind");
            size_t end = vmt_str_find(p->text, VMT_STR(">"), p->pos);
            if (end == SIZE_MAX) return invalid(p, "a group name without >");
            p->pos = end + 1;
        } else if (peek(p, 0) == '=' || peek(p, 0) == '!') {
            return unsupported(p, "look-ahead");
        } else if (!take(p, ":")) {
            return unsupported(p, "this kind of group, (?");
        }
    }
    if (p->depth == VMT_GRAMMAR_NEST_MAX) {
        return vmt_fail(p->err, VMT_E_EXHAUSTED, "regex: groups nest deeper than %u", VMT_GRAMMAR_NEST_MAX);
    }
    struct group *g = &p->groups[p->depth++];
    g->first = p->rules.num_states;
    vmt_fragment whole = fresh(p);
    g->start = g->at = whole.start;
    g->end = whole.end;
    return VMT_OK;
}

static vmt_fragment close_group(struct parser *p, uint32_t *first) {
    struct group *g = &p->groups[--p->depth];
    vmt_rules_epsilon(&p->rules, g->at, g->end);
    *first = g->first;
    return (vmt_fragment){g->start, g->end};
}

/* ---- repeats */

static bool take_number(struct parser *p, uint32_t *out) {
    uint64_t value = 0;
    size_t begin = p->pos;
    for (int c; (c = peek(p, 0)) >= '0' && c <= '9'; p->pos++) {
        value = VMT_MIN(value * 10 + (uint64_t)(c - '0'), (uint64_t)UINT32_MAX - 1);
    }
    *out = (uint32_t)value;
    return p->pos > begin;
}

/* {n}, {n,} or {n,m}; anything else is text. */
static bool take_braces(struct parser *p, uint32_t *min, uint32_t *max) {
    size_t begin = p->pos;
    if (take(p, "{") && take_number(p, min)) {
        *max = *min;
        if (take(p, ",") && !take_number(p, max)) *max = VMT_REPEAT_FOR_EVER;
        if (take(p, "}")) return true;
    }
    p->pos = begin;
    return false;
}

static vmt_status take_repeats(struct parser *p, vmt_fragment *atom, uint32_t first) {
    for (bool is_first = true;; is_first = false) {
        uint32_t min = 0, max = VMT_REPEAT_FOR_EVER;
        if (take(p, "+"))
            min = 1;
        else if (take(p, "?"))
            max = 1;
        else if (!take(p, "*") && !take_braces(p, &min, &max))
            return VMT_OK;
        if (!is_first) return invalid(p, "a repeat of a repeat");
        if (max < min) return invalid(p, "a repeat whose bounds are the wrong way round");
        if (min > VMT_GRAMMAR_REPEAT_MAX || (max != VMT_REPEAT_FOR_EVER && max > VMT_GRAMMAR_REPEAT_MAX)) {
            return vmt_fail(p->err, VMT_E_EXHAUSTED, "regex: a repeat of more than %u", VMT_GRAMMAR_REPEAT_MAX);
        }
        if (!take(p, "?") && peek(p, 0) == '+') return unsupported(p, "a possessive repeat");
        *atom = vmt_rules_repeat(&p->rules, *atom, first, min, max);
    }
}

/* One atom with its repeats, or an alternation sign, or the start of a group. */
static vmt_status take_piece(struct parser *p) {
    struct group *g = &p->groups[p->depth - 1];
    vmt_fragment atom;
    uint32_t first = p->rules.num_states;
    if (take(p, "(")) return open_group(p);
    if (take(p, "|")) {
        vmt_rules_epsilon(&p->rules, g->at, g->end);
        g->at = g->start;
        return VMT_OK;
    }
    int c = peek(p, 0);
    uint32_t min, max;
    size_t pos = p->pos;
    if (c == '*' || c == '+' || c == '?' || take_braces(p, &min, &max)) {
        p->pos = pos;
        return invalid(p, "a repeat of nothing");
    }
    if (take(p, ")")) {
        if (p->depth == 1) return invalid(p, "a ) that closes nothing");
        atom = close_group(p, &first);
        g = &p->groups[p->depth - 1];
    } else if (take(p, "[")) {
        VMT_TRY(take_class(p, &atom));
    } else if (take(p, "\\")) {
        VMT_TRY(take_escaped_atom(p, &atom));
    } else if (take(p, "^")) {
        atom = border(p, VMT_EDGE_BEGIN);
    } else if (take(p, "$")) {
        atom = border(p, VMT_EDGE_END);
    } else if (take(p, ".")) {
        atom = any_but_line_ends(p);
    } else {
        atom = one_char(p, vmt_utf8_next(p->text, &p->pos));
    }
    VMT_TRY(take_repeats(p, &atom, first));
    vmt_rules_epsilon(&p->rules, g->at, atom.start);
    g->at = atom.end;
    return vmt_rules_status(&p->rules, p->err);
}

vmt_fragment vmt_any_chars(vmt_rules *rules, uint32_t min, uint32_t max) {
    uint32_t first = rules->num_states;
    uint32_t start = vmt_rules_state(rules);
    vmt_fragment any = {start, vmt_rules_state(rules)};
    vmt_rules_chars(rules, any.start, any.end, 0, 0x10FFFF);
    return vmt_rules_repeat(rules, any, first, min, max);
}

static vmt_status parse(struct parser *p) {
    struct group *whole = &p->groups[p->depth++];
    vmt_fragment all = fresh(p);
    *whole = (struct group){.start = all.start, .end = all.end, .at = all.start};
    while (p->pos < p->text.len) VMT_TRY(take_piece(p));
    if (p->depth != 1) return invalid(p, "a ( without its )");
    vmt_rules_epsilon(&p->rules, whole->at, whole->end);
    return VMT_OK;
}

vmt_status vmt_regex_language(vmt_automaton *out, vmt_str pattern, bool is_search, vmt_err *err) {
    *out = (vmt_automaton){0};
    if (pattern.len > VMT_GRAMMAR_SOURCE_MAX) {
        return vmt_fail(err, VMT_E_EXHAUSTED, "the regex is %zu bytes, the limit is %zu", pattern.len,
                        VMT_GRAMMAR_SOURCE_MAX);
    }
    if (!vmt_utf8_valid(pattern)) return vmt_fail(err, VMT_E_INVALID, "the regex is not UTF-8");
    struct parser *p = calloc(1, sizeof *p);
    if (!p) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory to compile the regex");
    p->text = pattern;
    p->err = err;
    vmt_rules_init(&p->rules);
    vmt_status status = parse(p);
    vmt_fragment all = {p->groups[0].start, p->groups[0].end};
    if (status == VMT_OK && is_search) {
        vmt_fragment before = vmt_any_chars(&p->rules, 0, VMT_REPEAT_FOR_EVER);
        vmt_fragment after = vmt_any_chars(&p->rules, 0, VMT_REPEAT_FOR_EVER);
        vmt_rules_epsilon(&p->rules, before.end, all.start);
        vmt_rules_epsilon(&p->rules, all.end, after.start);
        all = (vmt_fragment){before.start, after.end};
    }
    if (status == VMT_OK) status = vmt_language_compile(out, &p->rules, all, err);
    vmt_rules_free(&p->rules);
    vmt_charset_free(&p->set);
    free(p);
    return status;
}
