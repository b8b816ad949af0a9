/* text/jinja_repr.c: str() and repr() as Python prints them. */
#include "text/jinja_ast.h"
#include "text/jinja_run.h"
#include "text/jinja_unicode.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The fewest digits that read back as f, and the decimal exponent of the first one. */
static int shortest_digits(double f, char digits[20], int *exponent) {
    char text[40];
    for (int precision = 14; precision <= 16; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, f);
        if (strtod(text, NULL) == f) break;
    }
    int n = 0;
    char *p = text;
    for (; *p != 'e'; p++) {
        if (*p != '.') digits[n++] = *p;
    }
    *exponent = (int)strtol(p + 1, NULL, 10);
    while (n > 1 && digits[n - 1] == '0') n--;
    return n;
}

size_t vmt_jfloat_repr(double f, char out[VMT_JFLOAT_TEXT_MAX]) {
    if (isnan(f)) return (size_t)snprintf(out, VMT_JFLOAT_TEXT_MAX, "nan");
    if (isinf(f)) return (size_t)snprintf(out, VMT_JFLOAT_TEXT_MAX, f < 0 ? "-inf" : "inf");
    size_t len = 0;
    if (signbit(f)) out[len++] = '-';
    f = fabs(f);
    char digits[20];
    int exponent, n = shortest_digits(f, digits, &exponent);
    if (exponent < -4 || exponent >= 16) {
        out[len++] = digits[0];
        if (n > 1) out[len++] = '.';
        for (int i = 1; i < n; i++) out[len++] = digits[i];
        return len + (size_t)snprintf(out + len, VMT_JFLOAT_TEXT_MAX - len, "e%c%02d", exponent < 0 ? '-' : '+',
                                      abs(exponent));
    }
    if (exponent < 0) {
        out[len++] = '0';
        out[len++] = '.';
        for (int i = -1; i > exponent; i--) out[len++] = '0';
        for (int i = 0; i < n; i++) out[len++] = digits[i];
        return len;
    }
    for (int i = 0; i < n || i <= exponent; i++) {
        if (i == exponent + 1) out[len++] = '.';
        out[len++] = i < n ? digits[i] : '0';
    }
    if (n <= exponent + 1) {
        out[len++] = '.';
        out[len++] = '0';
    }
    return len;
}

static void write_str_repr(vmt_buf *buf, vmt_str s) {
    bool has_single = s.len > 0 && memchr(s.ptr, '\'', s.len) != NULL;
    bool has_double = s.len > 0 && memchr(s.ptr, '"', s.len) != NULL;
    char quote = has_single && !has_double ? '"' : '\'';
    vmt_buf_append_byte(buf, quote);
    for (size_t pos = 0; pos < s.len;) {
        size_t begin = pos;
        uint32_t c = vmt_utf8_next(s, &pos);
        if (c == (uint32_t)quote || c == '\\') vmt_buf_append_byte(buf, '\\');
        if (c == '\n')
            vmt_buf_append_c(buf, "\\n");
        else if (c == '\r')
            vmt_buf_append_c(buf, "\\r");
        else if (c == '\t')
            vmt_buf_append_c(buf, "\\t");
        else if (vmt_juni_is_printable(c))
            vmt_buf_append(buf, vmt_str_slice(s, begin, pos));
        else if (c < 0x100)
            vmt_buf_printf(buf, "\\x%02x", c);
        else if (c < 0x10000)
            vmt_buf_printf(buf, "\\u%04x", c);
        else
            vmt_buf_printf(buf, "\\U%08x", c);
    }
    vmt_buf_append_byte(buf, quote);
}

static vmt_status write_items(vmt_jrun *run, const vmt_jlist *list, const char *open, const char *close) {
    vmt_buf_append_c(&run->out, open);
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0) vmt_buf_append_c(&run->out, ", ");
        VMT_TRY(vmt_jwrite_repr(run, list->items[i]));
    }
    vmt_buf_append_c(&run->out, close);
    return VMT_OK;
}

static vmt_status write_dict(vmt_jrun *run, const vmt_jdict *dict) {
    vmt_buf_append_byte(&run->out, '{');
    for (size_t i = 0; i < dict->count; i++) {
        if (i > 0) vmt_buf_append_c(&run->out, ", ");
        VMT_TRY(vmt_jwrite_repr(run, dict->entries[i].key));
        vmt_buf_append_c(&run->out, ": ");
        VMT_TRY(vmt_jwrite_repr(run, dict->entries[i].value));
    }
    vmt_buf_append_byte(&run->out, '}');
    return VMT_OK;
}

static vmt_status write_container(vmt_jrun *run, vmt_jval v) {
    vmt_buf *buf = &run->out;
    switch (v.kind) {
    case VMT_JLIST: return write_items(run, v.list, "[", "]");
    case VMT_JTUPLE: return write_items(run, v.list, "(", v.list->count == 1 ? ",)" : ")");
    case VMT_JDICT: return write_dict(run, v.dict);
    case VMT_JVIEW: vmt_buf_append_c(buf, vmt_jtype_name(v)); return write_items(run, v.list, "([", "])");
    case VMT_JNAMESPACE:
        vmt_buf_append_c(buf, "<Namespace ");
        VMT_TRY(write_dict(run, v.dict));
        vmt_buf_append_byte(buf, '>');
        return VMT_OK;
    case VMT_JRANGE:
        vmt_buf_printf(buf, "range(%lld, %lld", (long long)v.range->start, (long long)v.range->stop);
        if (v.range->step != 1) vmt_buf_printf(buf, ", %lld", (long long)v.range->step);
        vmt_buf_append_byte(buf, ')');
        return VMT_OK;
    case VMT_JMACRO:
        if (v.macro->node->type == VMT_JN_CALL_BLOCK)
            vmt_buf_append_c(buf, "<Macro anonymous>");
        else
            vmt_buf_printf(buf, "<Macro '%.*s'>", VMT_STR_ARG(v.macro->node->name));
        return VMT_OK;
    case VMT_JLOOP: {
        int64_t length;
        VMT_TRY(vmt_jloop_length(run, v.loop, &length));
        vmt_buf_printf(buf, "<LoopContext %lld/%lld>", (long long)v.loop->index0 + 1, (long long)length);
        return VMT_OK;
    }
    default:
        /* Python would print an address. */
        vmt_buf_printf(buf, "<%s>", vmt_jtype_name(v));
        return VMT_OK;
    }
}

vmt_status vmt_jwrite_repr(vmt_jrun *run, vmt_jval v) {
    VMT_TRY(vmt_jrun_charge(run, 1));
    vmt_buf *buf = &run->out;
    switch (v.kind) {
    case VMT_JUNDEF: vmt_buf_append_c(buf, "Undefined"); return VMT_OK;
    case VMT_JNONE: vmt_buf_append_c(buf, "None"); return VMT_OK;
    case VMT_JBOOL: vmt_buf_append_c(buf, v.b ? "True" : "False"); return VMT_OK;
    case VMT_JINT: vmt_buf_printf(buf, "%lld", (long long)v.i); return VMT_OK;
    case VMT_JUINT: vmt_buf_printf(buf, "%llu", (unsigned long long)v.u); return VMT_OK;
    case VMT_JFLOAT: {
        char text[VMT_JFLOAT_TEXT_MAX];
        vmt_buf_append(buf, (vmt_str){text, vmt_jfloat_repr(v.f, text)});
        return VMT_OK;
    }
    case VMT_JSTR: write_str_repr(buf, v.s); return vmt_jrun_charge(run, v.s.len / 16);
    default: break;
    }
    if (++run->value_depth > VMT_JVALUE_DEPTH_MAX) {
        return vmt_jrun_fail(run, VMT_E_EXHAUSTED, "values are nested deeper than %u", VMT_JVALUE_DEPTH_MAX);
    }
    if (buf->failed) return vmt_jrun_fail(run, VMT_E_EXHAUSTED, "the text is too long");
    VMT_TRY(write_container(run, v));
    run->value_depth--;
    return VMT_OK;
}

vmt_status vmt_jwrite_str(vmt_jrun *run, vmt_jval v) {
    if (v.kind == VMT_JUNDEF) return VMT_OK;
    if (v.kind != VMT_JSTR) return vmt_jwrite_repr(run, v);
    vmt_buf_append(&run->out, v.s);
    return vmt_jrun_charge(run, v.s.len / 256);
}

vmt_status vmt_jto_str(vmt_jrun *run, vmt_jval v, vmt_str *out) {
    if (v.kind == VMT_JSTR) {
        *out = v.s;
        return VMT_OK;
    }
    size_t begin = vmt_jtext_begin(run);
    VMT_TRY(vmt_jwrite_str(run, v));
    return vmt_jtext_end(run, begin, out);
}
