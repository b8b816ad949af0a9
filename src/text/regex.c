#include "text/regex.h"
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

struct vmt_regex {
    pcre2_code *code;
    vmt_buf literal; /* instead of code */
};

static bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* White space as Unicode has it today; PCRE2's own \s takes in U+180E. */
#define SPACES \
    "\\x09-\\x0D\\x20\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}"

/* Oniguruma writes a code point as \uHHHH, PCRE2 as \x{HHHH}; and its \h is a hexadecimal digit. */
static void translate(vmt_str pattern, vmt_buf *out) {
    bool in_class = false;
    for (size_t i = 0; i < pattern.len; i++) {
        const char *p = pattern.ptr + i;
        size_t left = pattern.len - i;
        if (*p != '\\' || left < 2) {
            if (*p == '[') in_class = true;
            if (*p == ']') in_class = false;
            vmt_buf_append_byte(out, *p);
            continue;
        }
        if (p[1] == 'u' && left >= 6 && is_hex(p[2]) && is_hex(p[3]) && is_hex(p[4]) && is_hex(p[5])) {
            vmt_buf_printf(out, "\\x{%.4s}", p + 2);
            i += 5;
            continue;
        }
        if (p[1] == 'h' || p[1] == 's') {
            const char *members = p[1] == 'h' ? "0-9a-fA-F" : SPACES;
            vmt_buf_printf(out, in_class ? "%s" : "[%s]", members);
        } else if (p[1] == 'S' && !in_class) {
            vmt_buf_append_c(out, "[^" SPACES "]");
        } else {
            vmt_buf_append(out, (vmt_str){p, 2});
        }
        i++;
    }
}

vmt_status vmt_regex_compile(vmt_regex **out, vmt_str pattern, vmt_err *err) {
    *out = NULL;
    if (pattern.len > VMT_REGEX_PATTERN_MAX) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "tokenizer: a pattern of %zu bytes, the limit is %u", pattern.len,
                        VMT_REGEX_PATTERN_MAX);
    }
    vmt_regex *regex = calloc(1, sizeof *regex);
    vmt_buf text;
    vmt_buf_init(&text, 0);
    translate(pattern, &text);
    if (!regex || text.failed) {
        free(regex);
        vmt_buf_free(&text);
        return vmt_fail(err, VMT_E_NO_MEMORY, "tokenizer: no memory for a pattern");
    }
    int code = 0;
    PCRE2_SIZE offset = 0;
    regex->code =
        pcre2_compile((PCRE2_SPTR)(text.ptr ? text.ptr : ""), text.len,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK | PCRE2_NEVER_BACKSLASH_C, &code, &offset, NULL);
    vmt_buf_free(&text);
    if (!regex->code) {
        free(regex);
        PCRE2_UCHAR why[120] = {0};
        pcre2_get_error_message(code, why, sizeof why);
        return vmt_fail(err, VMT_E_UNSUPPORTED, "tokenizer: pattern not understood at byte %zu: %s: %.*s",
                        (size_t)offset, (char *)why, (int)VMT_MIN(pattern.len, 80), pattern.ptr);
    }
    pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE); /* without it, matching is just slower */
    *out = regex;
    return VMT_OK;
}

vmt_status vmt_regex_compile_literal(vmt_regex **out, vmt_str text, vmt_err *err) {
    *out = NULL;
    vmt_regex *regex = calloc(1, sizeof *regex);
    if (!regex) return vmt_fail(err, VMT_E_NO_MEMORY, "tokenizer: no memory for a pattern");
    vmt_buf_init(&regex->literal, 0);
    vmt_buf_append(&regex->literal, text);
    if (regex->literal.failed) {
        vmt_regex_destroy(regex);
        return vmt_fail(err, VMT_E_NO_MEMORY, "tokenizer: no memory for a pattern");
    }
    *out = regex;
    return VMT_OK;
}

void vmt_regex_destroy(vmt_regex *regex) {
    if (!regex) return;
    if (regex->code) pcre2_code_free(regex->code);
    vmt_buf_free(&regex->literal);
    free(regex);
}

static vmt_status next_literal(const vmt_regex *regex, vmt_str text, size_t from, bool not_empty_at_from,
                               vmt_regex_span *out) {
    vmt_str literal = vmt_buf_str(&regex->literal);
    if (literal.len == 0) { /* between any two characters */
        if (not_empty_at_from) {
            if (from >= text.len) return VMT_E_NOT_FOUND;
            do from++;
            while (from < text.len && ((uint8_t)text.ptr[from] & 0xC0) == 0x80);
        }
        *out = (vmt_regex_span){from, from};
        return VMT_OK;
    }
    /* The first byte by memchr: markers and spaces are short, and memmem is slow to start. */
    while (text.len - from >= literal.len) {
        const char *hit = memchr(text.ptr + from, literal.ptr[0], text.len - from - literal.len + 1);
        if (!hit) return VMT_E_NOT_FOUND;
        from = (size_t)(hit - text.ptr);
        if (memcmp(hit, literal.ptr, literal.len) == 0) {
            *out = (vmt_regex_span){from, from + literal.len};
            return VMT_OK;
        }
        from++;
    }
    return VMT_E_NOT_FOUND;
}

vmt_status vmt_regex_next(const vmt_regex *regex, vmt_scratch *s, vmt_str text, size_t from,
                          bool not_empty_at_from, vmt_regex_span *out) {
    if (from > text.len) return VMT_E_NOT_FOUND;
    if (!regex->code) return next_literal(regex, text, from, not_empty_at_from, out);
    if (!s->regex_match) {
        s->regex_match = pcre2_match_data_create(1, NULL);
        pcre2_match_context *context = pcre2_match_context_create(NULL);
        s->regex_context = context;
        if (!s->regex_match || !context)
            return vmt_fail(s->err, VMT_E_NO_MEMORY, "no memory for pattern matching");
        pcre2_set_match_limit(context, VMT_REGEX_STEPS_MAX);
        pcre2_set_depth_limit(context, VMT_REGEX_DEPTH_MAX);
        pcre2_set_heap_limit(context, VMT_REGEX_HEAP_KIB_MAX);
    }
    uint32_t options = PCRE2_NO_UTF_CHECK | (not_empty_at_from ? PCRE2_NOTEMPTY_ATSTART : 0);
    PCRE2_SPTR subject = (PCRE2_SPTR)(text.ptr ? text.ptr : "");
    int rc = pcre2_match(regex->code, subject, text.len, from, options, s->regex_match, s->regex_context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
        rc = pcre2_match(regex->code, subject, text.len, from, options | PCRE2_NO_JIT, s->regex_match,
                         s->regex_context);
    }
    if (rc == PCRE2_ERROR_NOMATCH) return VMT_E_NOT_FOUND;
    if (rc < 0) {
        return vmt_fail(s->err, VMT_E_EXHAUSTED, "the tokenizer's pattern took too many steps on this text");
    }
    PCRE2_SIZE *bounds = pcre2_get_ovector_pointer(s->regex_match);
    *out = (vmt_regex_span){bounds[0], VMT_MAX(bounds[0], bounds[1])};
    return VMT_OK;
}
