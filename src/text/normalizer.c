#include "text/normalizer.h"
#include "base/utf8.h"
#include "text/unicode_class.h"
#include <utf8proc.h>
#include <stdlib.h>

#define LOWER_BLOCK "\xE2\x96\x81" /* U+2581, SentencePiece's space */

/* Characters that the normalizer of the tokenizers library is too old to know, while utf8proc has rules for them:
 * they pass unchanged. */
static const uint32_t young[][2] = {
    {0x898, 0x898},     {0x89C, 0x89F},     {0x8CA, 0x8CE},     {0x9FE, 0x9FE},     {0x1AC1, 0x1AC2},
    {0x1AC5, 0x1AC9},   {0x1ACB, 0x1ACE},   {0x1DF6, 0x1DF8},   {0x32FF, 0x32FF},   {0xA7F2, 0xA7F4},
    {0xAB69, 0xAB69},   {0x10781, 0x10785}, {0x10787, 0x107B0}, {0x107B2, 0x107BA}, {0x10D24, 0x10D27},
    {0x10EAB, 0x10EAC}, {0x10F48, 0x10F4A}, {0x10F4C, 0x10F4C}, {0x10F82, 0x10F82}, {0x10F84, 0x10F84},
    {0x1145E, 0x1145E}, {0x11930, 0x11930}, {0x11935, 0x11935}, {0x11938, 0x11938}, {0x1E030, 0x1E06D},
    {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4ED},
    {0x1E4EF, 0x1E4EF}, {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9},
};

static bool is_young(uint32_t c) {
    if (c < young[0][0]) return false;
    for (size_t lo = 0, hi = VMT_COUNT(young); lo < hi;) {
        size_t mid = (lo + hi) / 2;
        if (c < young[mid][0]) {
            hi = mid;
        } else if (c > young[mid][1]) {
            lo = mid + 1;
        } else {
            return true;
        }
    }
    return false;
}

static size_t ascii_prefix(vmt_str s, size_t pos) {
    for (; pos + 8 <= s.len; pos += 8) {
        uint64_t v;
        memcpy(&v, s.ptr + pos, 8);
        if (v & 0x8080808080808080u) break;
    }
    while (pos < s.len && (uint8_t)s.ptr[pos] < 0x80) pos++;
    return pos;
}

static vmt_status no_memory(vmt_scratch *s) {
    return vmt_fail(s->err, VMT_E_NO_MEMORY, "no memory to normalize the text");
}

static vmt_status map_span(vmt_scratch *s, vmt_str span, int options, vmt_buf *out) {
    if (span.len == 0) return VMT_OK;
    utf8proc_uint8_t *mapped = NULL;
    utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)span.ptr, (utf8proc_ssize_t)span.len, &mapped,
                                      (utf8proc_option_t)options);
    if (n < 0) return no_memory(s);
    vmt_buf_append(out, (vmt_str){(char *)mapped, (size_t)n});
    free(mapped);
    return VMT_OK;
}

/* NFC touches only characters that are marked active, each together with what stands before it: a span is one
 * inactive character and the active ones behind it, and everything else is copied. */
static vmt_status nfc(vmt_scratch *s, vmt_str text, vmt_buf *out, bool *changed) {
    size_t copied = 0, last = 0; /* last: where the character before pos begins */
    bool last_young = false;
    for (size_t pos = ascii_prefix(text, 0); pos < text.len;) {
        if (pos > 0 && last < pos && (uint8_t)text.ptr[pos - 1] < 0x80) last = pos - 1, last_young = false;
        const uint8_t *p = (const uint8_t *)text.ptr;
        uint32_t n, c = vmt_utf8_decode_valid(p + pos, &n);
        if (!(vmt_unicode_facts_of(c) & VMT_UNICODE_NFC_ACTIVE)) {
            last = pos;
            last_young = is_young(c);
            pos = ascii_prefix(text, pos + n);
            continue;
        }
        size_t begin = last_young || pos == 0 ? pos : last, end = pos;
        while (end < text.len) {
            c = vmt_utf8_decode_valid(p + end, &n);
            if (!(vmt_unicode_facts_of(c) & VMT_UNICODE_NFC_ACTIVE)) break;
            end += n;
        }
        begin = VMT_MAX(begin, copied);
        vmt_buf_append(out, vmt_str_slice(text, copied, begin));
        VMT_TRY(map_span(s, vmt_str_slice(text, begin, end), UTF8PROC_STABLE | UTF8PROC_COMPOSE, out));
        copied = last = pos = end;
        last_young = true; /* nothing before the next character is open any more */
        pos = ascii_prefix(text, pos);
    }
    *changed = copied > 0;
    if (copied > 0) vmt_buf_append(out, vmt_str_slice(text, copied, text.len));
    return VMT_OK;
}

static vmt_status other_form(vmt_scratch *s, vmt_str text, int options, vmt_buf *out, bool *changed) {
    *changed = ascii_prefix(text, 0) < text.len;
    if (!*changed) return VMT_OK;
    size_t begin = 0;
    for (size_t pos = 0; pos < text.len;) {
        uint32_t n, c = vmt_utf8_decode_valid((const uint8_t *)text.ptr + pos, &n);
        if (is_young(c) || c == 0) {
            VMT_TRY(map_span(s, vmt_str_slice(text, begin, pos), options, out));
            vmt_buf_append(out, vmt_str_slice(text, pos, pos + n));
            begin = pos + n;
        }
        pos += n;
    }
    return map_span(s, vmt_str_slice(text, begin, text.len), options, out);
}

static vmt_status replace(const vmt_norm_step *step, vmt_scratch *s, vmt_str text, vmt_buf *out, bool *changed) {
    size_t copied = 0, from = 0;
    vmt_str with = vmt_buf_str(&step->text);
    bool not_empty = false;
    for (;;) {
        vmt_regex_span m;
        vmt_status status = vmt_regex_next(step->regex, s, text, from, not_empty, &m);
        if (status == VMT_E_NOT_FOUND) break;
        VMT_TRY(status);
        vmt_buf_append(out, vmt_str_slice(text, copied, m.begin));
        vmt_buf_append(out, with);
        copied = from = m.end;
        not_empty = true;
        *changed = true;
    }
    if (*changed) vmt_buf_append(out, vmt_str_slice(text, copied, text.len));
    return VMT_OK;
}

static void append_code_point(vmt_buf *out, uint32_t c) {
    char bytes[4];
    vmt_buf_append(out, (vmt_str){bytes, vmt_utf8_encode(c, bytes)});
}

static bool is_chinese(uint32_t c) {
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
           (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
           (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

static void nmt(uint32_t c, vmt_buf *out) {
    bool dropped =
        (c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
    bool spaced = c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
                  (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF ||
                  c == 0xFFFD;
    if (!dropped) append_code_point(out, spaced ? ' ' : c);
}

static void lowercase(uint32_t c, vmt_buf *out) {
    if (c < 0x80) {
        vmt_buf_append_byte(out, (char)(c >= 'A' && c <= 'Z' ? c + 32 : c));
    } else if (c == 0x130) { /* the one lower case of two characters */
        vmt_buf_append_c(out, "i\xCC\x87");
    } else {
        append_code_point(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)c));
    }
}

static void each_character(const vmt_norm_step *step, vmt_str text, vmt_buf *out) {
    for (size_t pos = 0; pos < text.len;) {
        uint32_t n, c = vmt_utf8_decode_valid((const uint8_t *)text.ptr + pos, &n);
        pos += n;
        uint32_t gc = vmt_unicode_gc_bit(c);
        switch (step->kind) {
        case VMT_NORM_LOWERCASE: lowercase(c, out); break;
        case VMT_NORM_STRIP_MARKS:
            if (!(gc & VMT_GC_MASK_M)) append_code_point(out, c);
            break;
        case VMT_NORM_STRIP_ACCENTS:
            if (!(gc & VMT_GC_BIT(VMT_GC_MN))) append_code_point(out, c);
            break;
        case VMT_NORM_NMT: nmt(c, out); break;
        case VMT_NORM_CLEAN:
            if (c == '\t' || c == '\n' || c == '\r') {
                vmt_buf_append_byte(out, ' ');
            } else if (c != 0 && c != VMT_REPLACEMENT_CHAR &&
                       (!(gc & VMT_GC_MASK_C) || gc == VMT_GC_BIT(VMT_GC_CN))) {
                append_code_point(out, vmt_unicode_is_space(c) ? ' ' : c);
            }
            break;
        default:
            if (is_chinese(c)) vmt_buf_append_byte(out, ' ');
            append_code_point(out, c);
            if (is_chinese(c)) vmt_buf_append_byte(out, ' ');
        }
    }
}

static vmt_str strip(const vmt_norm_step *step, vmt_str text) {
    const uint8_t *p = (const uint8_t *)text.ptr;
    size_t begin = 0, end = text.len;
    for (uint32_t n = 0; step->left && begin < end; begin += n) {
        if (!vmt_unicode_is_space(vmt_utf8_decode_valid(p + begin, &n))) break;
    }
    while (step->right && end > begin) {
        size_t last = end - 1;
        while ((p[last] & 0xC0) == 0x80) last--;
        uint32_t n;
        if (!vmt_unicode_is_space(vmt_utf8_decode_valid(p + last, &n))) break;
        end = last;
    }
    return vmt_str_slice(text, begin, end);
}

static vmt_status run_step(const vmt_norm_step *step, vmt_scratch *s, vmt_str text, vmt_buf *out, bool *changed) {
    switch (step->kind) {
    case VMT_NORM_NFC: return nfc(s, text, out, changed);
    case VMT_NORM_NFD: return other_form(s, text, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, out, changed);
    case VMT_NORM_NFKC:
        return other_form(s, text, UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT, out, changed);
    case VMT_NORM_NFKD:
        return other_form(s, text, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, out, changed);
    case VMT_NORM_REPLACE: return replace(step, s, text, out, changed);
    case VMT_NORM_PREPEND:
        vmt_buf_append(out, vmt_buf_str(&step->text));
        vmt_buf_append(out, text);
        break;
    case VMT_NORM_CHARSMAP: vmt_charsmap_apply(step->map, text, out); break;
    default: each_character(step, text, out);
    }
    *changed = true;
    return VMT_OK;
}

vmt_status vmt_normalize(const vmt_normalizer *norm, vmt_scratch *s, vmt_str text, vmt_str *out) {
    *out = text;
    uint32_t turn = 0;
    for (uint32_t i = 0; i < norm->num_steps && out->len > 0; i++) {
        const vmt_norm_step *step = &norm->steps[i];
        if (step->kind == VMT_NORM_STRIP) {
            *out = strip(step, *out);
            continue;
        }
        vmt_buf *buf = &s->text[turn];
        vmt_buf_clear(buf);
        bool changed = false;
        VMT_TRY(run_step(step, s, *out, buf, &changed));
        if (buf->failed) return no_memory(s);
        if (!changed) continue;
        *out = vmt_buf_str(buf);
        turn ^= 1;
    }
    return VMT_OK;
}

static vmt_status add_step(vmt_normalizer *norm, vmt_norm_kind kind, vmt_norm_step **out, vmt_err *err) {
    if (norm->num_steps == VMT_TEXT_STAGES_MAX) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "tokenizer: more than %u normalizers in a row",
                        VMT_TEXT_STAGES_MAX);
    }
    *out = &norm->steps[norm->num_steps++];
    memset(*out, 0, sizeof **out);
    (*out)->kind = kind;
    return VMT_OK;
}

vmt_status vmt_normalizer_add_replace(vmt_normalizer *norm, vmt_str what, vmt_str with, vmt_err *err) {
    vmt_norm_step *step = NULL;
    VMT_TRY(add_step(norm, VMT_NORM_REPLACE, &step, err));
    vmt_buf_append(&step->text, with);
    vmt_buf_append(&step->literal, what);
    return vmt_regex_compile_literal(&step->regex, what, err);
}

vmt_status vmt_normalizer_add_prepend(vmt_normalizer *norm, vmt_str what, vmt_err *err) {
    vmt_norm_step *step = NULL;
    VMT_TRY(add_step(norm, VMT_NORM_PREPEND, &step, err));
    vmt_buf_append(&step->text, what);
    return step->text.failed ? vmt_fail(err, VMT_E_NO_MEMORY, "tokenizer: no memory") : VMT_OK;
}

bool vmt_normalizer_take_marker(vmt_normalizer *norm) {
    if (norm->num_steps == 0) return false;
    vmt_norm_step *last = &norm->steps[norm->num_steps - 1];
    if (last->kind != VMT_NORM_REPLACE || !vmt_str_eq_c(vmt_buf_str(&last->literal), " ") ||
        !vmt_str_eq_c(vmt_buf_str(&last->text), LOWER_BLOCK)) {
        return false;
    }
    vmt_regex *back;
    if (vmt_regex_compile_literal(&back, VMT_STR(LOWER_BLOCK), NULL) != VMT_OK) return false;
    vmt_regex_destroy(last->regex);
    last->regex = back;
    vmt_buf_clear(&last->text);
    vmt_buf_append_byte(&last->text, ' '); /* shorter than what was there: cannot fail */
    return true;
}

void vmt_normalizer_reset(vmt_normalizer *norm) {
    for (uint32_t i = 0; i < norm->num_steps; i++) {
        vmt_regex_destroy(norm->steps[i].regex);
        vmt_buf_free(&norm->steps[i].text);
        vmt_buf_free(&norm->steps[i].literal);
        vmt_charsmap_destroy(norm->steps[i].map);
    }
    memset(norm, 0, sizeof *norm);
}
