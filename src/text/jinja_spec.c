/* text/jinja_spec.c: Python's format specification mini-language, for text, integers and floats. */
#include "text/jinja_spec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static bool is_align(char c) {
    return c == '<' || c == '>' || c == '^' || c == '=';
}

static vmt_status parse_number(vmt_jrun *run, vmt_str text, size_t *pos, int64_t *out) {
    int64_t n = 0;
    for (; *pos < text.len && text.ptr[*pos] >= '0' && text.ptr[*pos] <= '9'; ++*pos) {
        n = n * 10 + (text.ptr[*pos] - '0');
        if (n > VMT_TEMPLATE_OUTPUT_MAX) return vmt_jinvalid(run, "too many decimal digits in format string");
    }
    *out = n;
    return VMT_OK;
}

vmt_status vmt_jspec_parse(vmt_jrun *run, vmt_str text, vmt_jspec *out) {
    *out = (vmt_jspec){.fill = VMT_STR(" "), .sign = '-', .precision = -1};
    size_t pos = 0, after_first = 0;
    if (text.len > 0) vmt_utf8_next(text, &after_first);
    if (after_first > 0 && after_first < text.len && is_align(text.ptr[after_first])) {
        out->fill = vmt_str_slice(text, 0, after_first);
        out->align = text.ptr[after_first];
        pos = after_first + 1;
    } else if (text.len > 0 && is_align(text.ptr[0])) {
        out->align = text.ptr[pos++];
    }
    if (pos < text.len && (text.ptr[pos] == '+' || text.ptr[pos] == '-' || text.ptr[pos] == ' ')) {
        out->sign = text.ptr[pos++];
    }
    if (pos < text.len && text.ptr[pos] == '#') {
        out->alternate = true;
        pos++;
    }
    if (pos < text.len && text.ptr[pos] == '0') {
        if (out->align == 0) {
            out->fill = VMT_STR("0");
            out->align = '=';
        }
        pos++;
    }
    VMT_TRY(parse_number(run, text, &pos, &out->width));
    if (pos < text.len && (text.ptr[pos] == ',' || text.ptr[pos] == '_')) out->grouping = text.ptr[pos++];
    if (pos < text.len && text.ptr[pos] == '.') {
        size_t before = ++pos;
        VMT_TRY(parse_number(run, text, &pos, &out->precision));
        if (pos == before) return vmt_jinvalid(run, "Format specifier missing precision");
    }
    if (pos < text.len) out->type = text.ptr[pos++];
    if (pos < text.len) return vmt_jinvalid(run, "Invalid format specifier");
    return VMT_OK;
}

/* prefix (sign, 0x) and body, padded to the width. */
static vmt_status write_padded(vmt_jrun *run, const vmt_jspec *spec, vmt_str prefix, vmt_str body,
                               char own_align) {
    int64_t count = (int64_t)(vmt_utf8_count(body) + prefix.len), missing = VMT_MAX(spec->width - count, 0);
    char align = spec->align ? spec->align : own_align;
    int64_t left = align == '>' ? missing : align == '^' ? missing / 2 : 0;
    VMT_TRY(vmt_jtext_repeat(run, spec->fill, left));
    vmt_buf_append(&run->out, prefix);
    if (align == '=') VMT_TRY(vmt_jtext_repeat(run, spec->fill, missing));
    vmt_buf_append(&run->out, body);
    return align == '=' ? VMT_OK : vmt_jtext_repeat(run, spec->fill, missing - left);
}

vmt_status vmt_jspec_write_str(vmt_jrun *run, const vmt_jspec *spec, vmt_str s) {
    if (spec->align == '=' && spec->fill.ptr[0] != '0') {
        return vmt_jinvalid(run, "'=' alignment not allowed in string format specifier");
    }
    if (spec->grouping) return vmt_jinvalid(run, "Cannot specify '%c' with 's'.", spec->grouping);
    if (spec->precision >= 0) {
        size_t pos = 0;
        for (int64_t i = 0; i < spec->precision && pos < s.len; i++) vmt_utf8_next(s, &pos);
        s.len = pos;
    }
    vmt_jspec left = *spec;
    if (left.align == '=') left.align = '<';
    return write_padded(run, &left, VMT_STR(""), s, '<');
}

static vmt_str sign_of(const vmt_jspec *spec, bool is_negative) {
    if (is_negative) return VMT_STR("-");
    return spec->sign == '+' ? VMT_STR("+") : spec->sign == ' ' ? VMT_STR(" ") : VMT_STR("");
}

/* A separator between every three digits (four for bases 2, 8, 16) of the leading digits. */
static size_t group_digits(const char *digits, size_t len, char separator, size_t every, char *out) {
    size_t whole = 0, n = 0;
    while (whole < len && ((digits[whole] >= '0' && digits[whole] <= '9') || (digits[whole] | 32) >= 'a')) {
        if ((digits[whole] | 32) == 'e' && every == 3) break;
        whole++;
    }
    for (size_t i = 0; i < len; i++) {
        if (i > 0 && i < whole && (whole - i) % every == 0) out[n++] = separator;
        out[n++] = digits[i];
    }
    return n;
}

static size_t digits_of(uint64_t magnitude, unsigned base, bool upper, char *out) {
    char reversed[64];
    size_t n = 0;
    do {
        reversed[n++] = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[magnitude % base];
        magnitude /= base;
    } while (magnitude > 0);
    for (size_t i = 0; i < n; i++) out[i] = reversed[n - 1 - i];
    return n;
}

vmt_status vmt_jspec_write_int(vmt_jrun *run, const vmt_jspec *spec, vmt_jval v) {
    int64_t i = 0;
    bool is_negative = vmt_jget_int(v, &i) && i < 0;
    uint64_t magnitude = v.kind == VMT_JUINT ? v.u : is_negative ? -(uint64_t)i : (uint64_t)i;
    unsigned base = spec->type == 'x' || spec->type == 'X' ? 16
                    : spec->type == 'o'                    ? 8
                    : spec->type == 'b'                    ? 2
                                                           : 10;
    char digits[64], grouped[128], prefix[4];
    size_t n = digits_of(magnitude, base, spec->type == 'X', digits), prefix_len = 0;
    vmt_str sign = sign_of(spec, is_negative);
    if (sign.len > 0) prefix[prefix_len++] = sign.ptr[0];
    if (spec->alternate && base != 10) {
        prefix[prefix_len++] = '0';
        prefix[prefix_len++] = spec->type;
    }
    vmt_str body = {digits, n};
    if (spec->grouping) {
        body = (vmt_str){grouped, group_digits(digits, n, spec->grouping, base == 10 ? 3 : 4, grouped)};
    }
    return write_padded(run, spec, (vmt_str){prefix, prefix_len}, body, '>');
}

vmt_status vmt_jspec_write_float(vmt_jrun *run, const vmt_jspec *spec, double f) {
    char text[768], grouped[1024], form[8];
    if (spec->precision > VMT_JSPEC_PRECISION_MAX) {
        return vmt_jrun_fail(run, VMT_E_UNSUPPORTED, "a precision of more than %d digits",
                             VMT_JSPEC_PRECISION_MAX);
    }
    bool is_percent = spec->type == '%', is_negative = signbit(f) && !isnan(f);
    double magnitude = fabs(f) * (is_percent ? 100 : 1);
    int precision = spec->precision < 0 ? 6 : (int)spec->precision;
    char type = is_percent ? 'f' : spec->type == 'n' || spec->type == 0 ? 'g' : spec->type;
    size_t n;
    if (isnan(f) || isinf(f)) {
        bool upper = type == 'F' || type == 'E' || type == 'G';
        n = (size_t)snprintf(text, sizeof text, "%s", isnan(f) ? (upper ? "NAN" : "nan") : upper ? "INF" : "inf");
    } else if (spec->type == 0 && spec->precision < 0) {
        n = vmt_jfloat_repr(magnitude, text);
    } else {
        snprintf(form, sizeof form, "%%%s.*%c", spec->alternate ? "#" : "", type);
        n = (size_t)snprintf(text, sizeof text, form, precision, magnitude);
        /* No type: like g, but always with a fraction. */
        if (spec->type == 0 && memchr(text, '.', n) == NULL && memchr(text, 'e', n) == NULL) {
            n += (size_t)snprintf(text + n, sizeof text - n, ".0");
        }
    }
    if (is_percent && n + 1 < sizeof text) text[n++] = '%';
    vmt_str body = {text, n};
    if (spec->grouping && isfinite(f))
        body = (vmt_str){grouped, group_digits(text, n, spec->grouping, 3, grouped)};
    return write_padded(run, spec, sign_of(spec, is_negative), body, '>');
}

static vmt_status write_char(vmt_jrun *run, const vmt_jspec *spec, vmt_jval v) {
    int64_t code;
    char bytes[4];
    if (!vmt_jget_int(v, &code) || code < 0 || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
        return vmt_jinvalid(run, "%%c arg not in range(0x110000)");
    }
    vmt_jspec left = *spec;
    if (left.align == '=') left.align = '<';
    return write_padded(run, &left, VMT_STR(""), (vmt_str){bytes, vmt_utf8_encode((uint32_t)code, bytes)}, '<');
}

vmt_status vmt_jspec_write(vmt_jrun *run, const vmt_jspec *spec, vmt_jval v) {
    if (v.kind == VMT_JSTR) {
        if (spec->type != 0 && spec->type != 's') {
            return vmt_jinvalid(run, "Unknown format code '%c' for object of type 'str'", spec->type);
        }
        return vmt_jspec_write_str(run, spec, v.s);
    }
    if (!vmt_jis_number(v)) {
        return vmt_jinvalid(run, "unsupported format string passed to %s.__format__", vmt_jtype_name(v));
    }
    bool is_float_type = spec->type != 0 && strchr("eEfFgG%", spec->type) != NULL;
    bool is_int_type = spec->type != 0 && strchr("bdoxX", spec->type) != NULL;
    if (v.kind == VMT_JFLOAT ? is_float_type || spec->type == 0 || spec->type == 'n' : is_float_type) {
        return vmt_jspec_write_float(run, spec, vmt_jget_float(v));
    }
    if (v.kind != VMT_JFLOAT && (is_int_type || spec->type == 0 || spec->type == 'n')) {
        if (spec->precision >= 0) return vmt_jinvalid(run, "Precision not allowed in integer format specifier");
        return vmt_jspec_write_int(run, spec, v);
    }
    if (v.kind != VMT_JFLOAT && spec->type == 'c') return write_char(run, spec, v);
    return vmt_jinvalid(run, "Unknown format code '%c' for object of type '%s'", spec->type, vmt_jtype_name(v));
}
