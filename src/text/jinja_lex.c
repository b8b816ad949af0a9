/* text/jinja_lex.c: jinja2's lexer with trim_blocks and lstrip_blocks: the rules of jinja2/lexer.py by hand. */
#include "text/jinja_ast.h"
#include "text/jinja_unicode.h"

#include <stdio.h>
#include <stdlib.h>

vmt_status vmt_jsyntax(vmt_err *err, uint32_t line, vmt_status code, const char *fmt, ...) {
    char msg[VMT_ERR_MESSAGE_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(msg, sizeof msg, fmt, args);
    va_end(args);
    return vmt_fail(err, code, "chat template, line %u: %s", line, msg);
}

vmt_status vmt_jlexer_init(vmt_jlexer *lexer, vmt_arena *arena, vmt_str source, vmt_err *err) {
    *lexer = (vmt_jlexer){.arena = arena, .line = 1, .starts_line = true};
    char *text = vmt_arena_alloc(arena, source.len + 1);
    if (text == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "chat template: no memory for %zu bytes", source.len);
    size_t len = 0;
    for (size_t i = 0; i < source.len; i++) {
        char c = source.ptr[i];
        if (c == '\r') {
            if (i + 1 < source.len && source.ptr[i + 1] == '\n') i++;
            c = '\n';
        }
        text[len++] = c;
    }
    if (len > 0 && text[len - 1] == '\n') len--;
    lexer->source = (vmt_str){text, len};
    return VMT_OK;
}

/* Lines are counted up to pos; pos never goes back. */
static uint32_t line_at(vmt_jlexer *lexer, size_t pos) {
    for (; lexer->line_pos < pos; lexer->line_pos++) {
        if (lexer->source.ptr[lexer->line_pos] == '\n') lexer->line++;
    }
    return lexer->line;
}

static bool at(const vmt_jlexer *lexer, size_t pos, const char *text) {
    size_t len = strlen(text);
    return pos + len <= lexer->source.len && memcmp(lexer->source.ptr + pos, text, len) == 0;
}

static size_t skip_space(const vmt_jlexer *lexer, size_t pos) {
    while (pos < lexer->source.len) {
        size_t next = pos;
        if (!vmt_juni_is_space(vmt_utf8_next(lexer->source, &next))) break;
        pos = next;
    }
    return pos;
}

static bool is_word_byte(char c) {
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (unsigned char)c >= 0x80;
}

/* The end of a tag at pos: `-%}` and the space after it, `%}` and (if trim) one newline, and `+%}` if plus is
 * allowed.  0: no such end here. */
static size_t match_end(const vmt_jlexer *lexer, size_t pos, const char *mark, bool plus, bool trim) {
    size_t len = strlen(mark);
    if (at(lexer, pos, "-") && at(lexer, pos + 1, mark)) return skip_space(lexer, pos + 1 + len);
    if (plus && at(lexer, pos, "+") && at(lexer, pos + 1, mark)) return pos + 1 + len;
    if (!at(lexer, pos, mark)) return 0;
    pos += len;
    return trim && at(lexer, pos, "\n") ? pos + 1 : pos;
}

/* `{%` [sign] space name space, then the end of the tag: raw and endraw.  0: something else. */
static size_t match_raw_tag(const vmt_jlexer *lexer, size_t pos, const char *name, bool is_end) {
    pos += 2;
    if (at(lexer, pos, "-") || at(lexer, pos, "+")) pos++;
    pos = skip_space(lexer, pos);
    if (!at(lexer, pos, name)) return 0;
    pos = skip_space(lexer, pos + strlen(name));
    return match_end(lexer, pos, "%}", is_end, is_end);
}

/* What is left of the text before a tag, after white space control.  sign is the tag's '-', '+' or anything else. */
static vmt_str strip_before(const vmt_jlexer *lexer, size_t begin, size_t end, char sign, bool is_variable) {
    vmt_str text = vmt_str_slice(lexer->source, begin, end);
    if (sign == '-') return vmt_juni_strip(text, NULL, false, true);
    if (sign == '+' || is_variable) return text;
    size_t line = text.len;
    while (line > 0 && text.ptr[line - 1] != '\n') line--;
    if (line == 0 && !lexer->starts_line) return text;
    vmt_str last = vmt_str_slice(text, line, text.len);
    return vmt_juni_strip(last, NULL, true, true).len == 0 ? vmt_str_slice(text, 0, line) : text;
}

static void note_line_start(vmt_jlexer *lexer, size_t match_end_pos) {
    lexer->starts_line = match_end_pos > 0 && lexer->source.ptr[match_end_pos - 1] == '\n';
}

/* Comment at pos (after its opening mark). */
static vmt_status skip_comment(vmt_jlexer *lexer, vmt_err *err) {
    uint32_t line = line_at(lexer, lexer->pos);
    for (size_t pos = lexer->pos; pos < lexer->source.len; pos++) {
        size_t end = match_end(lexer, pos, "#}", true, true);
        if (end == 0) continue;
        lexer->pos = end;
        note_line_start(lexer, end);
        return VMT_OK;
    }
    return vmt_jsyntax(err, line, VMT_E_INVALID, "missing end of comment tag");
}

/* The text of a raw block, up to its end tag. */
static vmt_status lex_raw(vmt_jlexer *lexer, vmt_jtoken *out, vmt_err *err) {
    size_t begin = lexer->pos;
    uint32_t line = line_at(lexer, begin);
    for (size_t pos = begin; pos + 1 < lexer->source.len; pos++) {
        if (!at(lexer, pos, "{%")) continue;
        size_t end = match_raw_tag(lexer, pos, "endraw", true);
        if (end == 0) continue;
        *out = (vmt_jtoken){.type = VMT_JT_DATA, .line = line};
        out->text = strip_before(lexer, begin, pos, lexer->source.ptr[pos + 2], false);
        lexer->pos = end;
        lexer->state = VMT_JLEX_ROOT;
        note_line_start(lexer, end);
        return VMT_OK;
    }
    return vmt_jsyntax(err, line, VMT_E_INVALID, "missing end of raw directive");
}

/* The next `{{`, `{%` or `{#` at or after pos, or the end of the source. */
static size_t find_tag(const vmt_jlexer *lexer, size_t pos) {
    for (; pos + 1 < lexer->source.len; pos++) {
        if (lexer->source.ptr[pos] != '{') continue;
        char c = lexer->source.ptr[pos + 1];
        if (c == '{' || c == '%' || c == '#') return pos;
    }
    return lexer->source.len;
}

/* Text up to the next tag, and the tag's beginning. */
static vmt_status lex_root(vmt_jlexer *lexer, vmt_jtoken *out, vmt_err *err) {
    size_t begin = lexer->pos;
    size_t tag = find_tag(lexer, begin);
    *out = (vmt_jtoken){.type = VMT_JT_DATA, .line = line_at(lexer, begin)};
    if (tag == lexer->source.len) {
        out->text = vmt_str_slice(lexer->source, begin, tag);
        lexer->pos = tag;
        return VMT_OK;
    }
    char kind = lexer->source.ptr[tag + 1];
    char sign = tag + 2 < lexer->source.len ? lexer->source.ptr[tag + 2] : 0;
    out->text = strip_before(lexer, begin, tag, sign, kind == '{');
    size_t raw_end = kind == '%' ? match_raw_tag(lexer, tag, "raw", false) : 0;
    lexer->pos = raw_end != 0 ? raw_end : tag + 2 + (sign == '-' || sign == '+');
    note_line_start(lexer, lexer->pos);
    if (raw_end != 0) {
        lexer->state = VMT_JLEX_RAW;
        return VMT_OK;
    }
    if (kind == '#') return skip_comment(lexer, err);
    lexer->state = kind == '{' ? VMT_JLEX_VARIABLE : VMT_JLEX_BLOCK;
    lexer->has_pending = true;
    lexer->pending =
        (vmt_jtoken){.type = kind == '{' ? VMT_JT_VAR_BEGIN : VMT_JT_BLOCK_BEGIN, .line = line_at(lexer, tag)};
    return VMT_OK;
}

/* `digits` with single underscores between them, of one base; the end, or pos if there is none. */
static size_t skip_digits(const vmt_jlexer *lexer, size_t pos, int base) {
    size_t end = pos;
    for (size_t i = pos; i < lexer->source.len; i++) {
        char c = lexer->source.ptr[i];
        int digit = c >= '0' && c <= '9'                   ? c - '0'
                    : ((c | 32) >= 'a' && (c | 32) <= 'f') ? (c | 32) - 'a' + 10
                                                           : 99;
        if (digit < base)
            end = i + 1;
        else if (c != '_' || end != i || i == pos)
            break;
    }
    return end;
}

/* The end of a float at pos, or pos. */
static size_t match_float(const vmt_jlexer *lexer, size_t pos) {
    if (pos > 0 && lexer->source.ptr[pos - 1] == '.') return pos;
    size_t end = skip_digits(lexer, pos, 10);
    if (end == pos) return pos;
    bool is_float = false;
    if (at(lexer, end, ".")) {
        size_t fraction = skip_digits(lexer, end + 1, 10);
        if (fraction > end + 1) {
            end = fraction;
            is_float = true;
        }
    }
    if (at(lexer, end, "e") || at(lexer, end, "E")) {
        size_t digits = end + 1;
        if (at(lexer, digits, "+") || at(lexer, digits, "-")) digits++;
        size_t exponent = skip_digits(lexer, digits, 10);
        if (exponent > digits) {
            end = exponent;
            is_float = true;
        }
    }
    return is_float ? end : pos;
}

static vmt_status lex_number(vmt_jlexer *lexer, vmt_jtoken *out, vmt_err *err) {
    size_t begin = lexer->pos, end = match_float(lexer, begin);
    int base = 10;
    out->type = end > begin ? VMT_JT_FLOAT : VMT_JT_INT;
    if (end == begin) {
        char mark = begin + 1 < lexer->source.len && lexer->source.ptr[begin] == '0'
                        ? (char)(lexer->source.ptr[begin + 1] | 32)
                        : 0;
        base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 10;
        size_t digits = begin + (base != 10 ? 2 : 0);
        if (base != 10 && at(lexer, digits, "_")) digits++; /* 0x_ff */
        end = skip_digits(lexer, digits, base);
        if (base != 10 && end == digits) base = 10, end = begin + 1;
        if (base == 10 && lexer->source.ptr[begin] == '0') {
            /* Zeros only: in 007 the 7 is a number of its own. */
            end = begin + 1;
            while (at(lexer, end, "0") || at(lexer, end, "_0")) end += at(lexer, end, "0") ? 1 : 2;
        }
    }
    char digits[512];
    size_t num_digits = 0;
    for (size_t i = begin; i < end; i++) {
        if (lexer->source.ptr[i] == '_') continue;
        if (num_digits + 1 >= sizeof digits) {
            return vmt_jsyntax(err, out->line, VMT_E_UNSUPPORTED, "a number of more than 511 digits");
        }
        digits[num_digits++] = lexer->source.ptr[i];
    }
    digits[num_digits] = 0;
    out->text = vmt_str_slice(lexer->source, begin, end);
    lexer->pos = end;
    if (out->type == VMT_JT_FLOAT) {
        if (!vmt_str_to_f64((vmt_str){digits, num_digits}, &out->f)) out->f = strtod(digits, NULL);
        return VMT_OK;
    }
    uint64_t value = 0;
    for (char *p = digits + (base != 10 ? 2 : 0); *p; p++) {
        uint64_t digit = (uint64_t)(*p <= '9' ? *p - '0' : (*p | 32) - 'a' + 10);
        if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
            __builtin_add_overflow(value, digit, &value) || value > INT64_MAX) {
            return vmt_jsyntax(err, out->line, VMT_E_UNSUPPORTED, "the number %s exceeds 64 bits", digits);
        }
    }
    out->i = (int64_t)value;
    return VMT_OK;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One escape sequence of s at *pos (after the backslash) into out, as Python's unicode-escape codec has it. */
static const char *unescape_one(vmt_str s, size_t *pos, char *out, size_t *len) {
    static const char simple[] = "n\nt\tr\r\\\\''\"\"a\ab\bf\fv\v";
    size_t begin = *pos;
    char c = s.ptr[(*pos)++];
    if (c == '\n') return NULL;
    for (const char *p = simple; *p; p += 2) {
        if (*p == c) {
            out[(*len)++] = p[1];
            return NULL;
        }
    }
    uint32_t code = 0;
    if (c >= '0' && c <= '7') {
        *pos = begin;
        for (int i = 0; i < 3 && *pos < s.len && s.ptr[*pos] >= '0' && s.ptr[*pos] <= '7'; i++) {
            code = code * 8 + (uint32_t)(s.ptr[(*pos)++] - '0');
        }
        *len += vmt_utf8_encode(code, out + *len);
        return NULL;
    }
    if (c == 'N') return "\\N{...} in a string is not supported";
    if (c != 'x' && c != 'u' && c != 'U') {
        out[(*len)++] = '\\';
        out[(*len)++] = c;
        if ((unsigned char)c < 0x80) return NULL;
        /* Python escapes the character first, so its own escape shows: a quirk kept. */
        *pos = begin;
        uint32_t wide = vmt_utf8_next(s, pos);
        const char *form = wide < 0x100 ? "x%02x" : wide < 0x10000 ? "u%04x" : "U%08x";
        *len += (size_t)snprintf(out + *len - 1, 10, form, wide) - 1;
        return NULL;
    }
    int digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
    for (int i = 0; i < digits; i++) {
        int digit = *pos < s.len ? hex_digit(s.ptr[*pos]) : -1;
        if (digit < 0) return "truncated escape in a string";
        code = code * 16 + (uint32_t)digit;
        (*pos)++;
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return "an escape in a string is no character";
    *len += vmt_utf8_encode(code, out + *len);
    return NULL;
}

static vmt_status lex_string(vmt_jlexer *lexer, vmt_jtoken *out, vmt_err *err) {
    char quote = lexer->source.ptr[lexer->pos];
    size_t begin = lexer->pos + 1, end = begin;
    while (end < lexer->source.len && lexer->source.ptr[end] != quote)
        end += lexer->source.ptr[end] == '\\' ? 2 : 1;
    if (end >= lexer->source.len) return vmt_jsyntax(err, out->line, VMT_E_INVALID, "a string has no end");
    vmt_str raw = vmt_str_slice(lexer->source, begin, end);
    lexer->pos = end + 1;
    out->type = VMT_JT_STRING;
    /* A backslash and a two-byte character become five bytes: the worst ratio, below twice. */
    char *text = vmt_arena_alloc(lexer->arena, raw.len * 2 + 16);
    if (text == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "chat template: no memory for a string");
    size_t len = 0;
    for (size_t pos = 0; pos < raw.len;) {
        if (raw.ptr[pos] != '\\') {
            text[len++] = raw.ptr[pos++];
            continue;
        }
        pos++;
        const char *problem = unescape_one(raw, &pos, text, &len);
        if (problem != NULL) return vmt_jsyntax(err, out->line, VMT_E_INVALID, "%s", problem);
    }
    out->text = (vmt_str){text, len};
    return VMT_OK;
}

static const struct {
    const char *text;
    vmt_jtoken_type type;
} operators[] = {
    {"//", VMT_JT_FLOORDIV}, {"**", VMT_JT_POW},      {"==", VMT_JT_EQ},    {"!=", VMT_JT_NE},
    {">=", VMT_JT_GE},       {"<=", VMT_JT_LE},       {"+", VMT_JT_ADD},    {"-", VMT_JT_SUB},
    {"/", VMT_JT_DIV},       {"*", VMT_JT_MUL},       {"%", VMT_JT_MOD},    {"~", VMT_JT_TILDE},
    {"[", VMT_JT_LBRACKET},  {"]", VMT_JT_RBRACKET},  {"(", VMT_JT_LPAREN}, {")", VMT_JT_RPAREN},
    {"{", VMT_JT_LBRACE},    {"}", VMT_JT_RBRACE},    {">", VMT_JT_GT},     {"<", VMT_JT_LT},
    {"=", VMT_JT_ASSIGN},    {".", VMT_JT_DOT},       {":", VMT_JT_COLON},  {"|", VMT_JT_PIPE},
    {",", VMT_JT_COMMA},     {";", VMT_JT_SEMICOLON},
};

static vmt_status lex_operator(vmt_jlexer *lexer, vmt_jtoken *out, vmt_err *err) {
    size_t i = 0;
    while (i < VMT_COUNT(operators) && !at(lexer, lexer->pos, operators[i].text)) i++;
    if (i == VMT_COUNT(operators)) {
        return vmt_jsyntax(err, out->line, VMT_E_INVALID, "unexpected character '%c'",
                           lexer->source.ptr[lexer->pos]);
    }
    char c = operators[i].text[0];
    if (c == '(' || c == '[' || c == '{') {
        if (lexer->num_brackets == VMT_TEMPLATE_DEPTH_MAX) {
            return vmt_jsyntax(err, out->line, VMT_E_EXHAUSTED, "brackets are nested deeper than %u",
                               VMT_TEMPLATE_DEPTH_MAX);
        }
        lexer->brackets[lexer->num_brackets++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    }
    if (c == ')' || c == ']' || c == '}') {
        if (lexer->num_brackets == 0) return vmt_jsyntax(err, out->line, VMT_E_INVALID, "unexpected '%c'", c);
        char want = lexer->brackets[--lexer->num_brackets];
        if (want != c)
            return vmt_jsyntax(err, out->line, VMT_E_INVALID, "unexpected '%c', expected '%c'", c, want);
    }
    out->type = operators[i].type;
    out->text = vmt_str_slice(lexer->source, lexer->pos, lexer->pos + strlen(operators[i].text));
    lexer->pos += out->text.len;
    return VMT_OK;
}

static void lex_name(vmt_jlexer *lexer, vmt_jtoken *out) {
    size_t begin = lexer->pos;
    while (lexer->pos < lexer->source.len && is_word_byte(lexer->source.ptr[lexer->pos])) lexer->pos++;
    out->type = VMT_JT_NAME;
    out->text = vmt_str_slice(lexer->source, begin, lexer->pos);
}

/* A token inside {{ }} or {% %}. */
static vmt_status lex_tag(vmt_jlexer *lexer, vmt_jtoken *out, vmt_err *err) {
    bool is_block = lexer->state == VMT_JLEX_BLOCK;
    for (;;) {
        /* The end mark comes before white space: `-%}` is an end and not a minus.  Inside brackets it is neither. */
        size_t end = lexer->num_brackets > 0 ? 0
                     : is_block              ? match_end(lexer, lexer->pos, "%}", true, true)
                                             : match_end(lexer, lexer->pos, "}}", false, false);
        *out = (vmt_jtoken){.line = line_at(lexer, lexer->pos)};
        if (end != 0) {
            out->type = is_block ? VMT_JT_BLOCK_END : VMT_JT_VAR_END;
            lexer->pos = end;
            lexer->state = VMT_JLEX_ROOT;
            note_line_start(lexer, end);
            return VMT_OK;
        }
        size_t next = skip_space(lexer, lexer->pos);
        if (next == lexer->pos) break;
        lexer->pos = next;
    }
    if (lexer->pos == lexer->source.len) return VMT_OK; /* end of file inside a tag: the parser complains */
    char c = lexer->source.ptr[lexer->pos];
    if (c >= '0' && c <= '9') return lex_number(lexer, out, err);
    if (is_word_byte(c)) {
        lex_name(lexer, out);
        return VMT_OK;
    }
    if (c == '\'' || c == '"') return lex_string(lexer, out, err);
    return lex_operator(lexer, out, err);
}

vmt_status vmt_jlexer_next(vmt_jlexer *lexer, vmt_jtoken *out, vmt_err *err) {
    for (;;) {
        if (lexer->has_pending) {
            lexer->has_pending = false;
            *out = lexer->pending;
            return VMT_OK;
        }
        switch (lexer->state) {
        case VMT_JLEX_BLOCK:
        case VMT_JLEX_VARIABLE: return lex_tag(lexer, out, err);
        case VMT_JLEX_RAW: VMT_TRY(lex_raw(lexer, out, err)); break;
        case VMT_JLEX_ROOT:
            if (lexer->pos == lexer->source.len) {
                *out = (vmt_jtoken){.type = VMT_JT_EOF, .line = line_at(lexer, lexer->pos)};
                return VMT_OK;
            }
            VMT_TRY(lex_root(lexer, out, err));
            break;
        }
        if (out->text.len > 0) return VMT_OK;
    }
}
