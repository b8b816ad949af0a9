/* text/jinja_json.c: the tojson filter: Python's json.dumps(). */
#include "text/jinja_run.h"
#include "text/jinja_unicode.h"

#include <math.h>
#include <stdlib.h>

static void write_escape(vmt_buf *buf, uint32_t c) {
    switch (c) {
    case '"': vmt_buf_append_c(buf, "\\\""); break;
    case '\\': vmt_buf_append_c(buf, "\\\\"); break;
    case '\n': vmt_buf_append_c(buf, "\\n"); break;
    case '\r': vmt_buf_append_c(buf, "\\r"); break;
    case '\t': vmt_buf_append_c(buf, "\\t"); break;
    case '\f': vmt_buf_append_c(buf, "\\f"); break;
    case '\b': vmt_buf_append_c(buf, "\\b"); break;
    default:
        if (c >= 0x10000) {
            vmt_buf_printf(buf, "\\u%04x", 0xD800 + ((c - 0x10000) >> 10));
            c = 0xDC00 + ((c - 0x10000) & 0x3FF);
        }
        vmt_buf_printf(buf, "\\u%04x", c);
    }
}

static void write_string(vmt_buf *buf, const vmt_jdump *how, vmt_str s) {
    vmt_buf_append_byte(buf, '"');
    size_t plain = 0;
    for (size_t pos = 0; pos < s.len;) {
        size_t begin = pos;
        uint32_t c = (unsigned char)s.ptr[pos];
        if (c < 0x80)
            pos++;
        else
            c = vmt_utf8_next(s, &pos);
        bool escape = c < 0x20 || c == '"' || c == '\\' || (how->ascii_only && c >= 0x7F);
        if (!escape) continue;
        vmt_buf_append(buf, vmt_str_slice(s, plain, begin));
        write_escape(buf, c);
        plain = pos;
    }
    vmt_buf_append(buf, vmt_str_slice(s, plain, s.len));
    vmt_buf_append_byte(buf, '"');
}

static void write_float(vmt_buf *buf, double f) {
    char text[VMT_JFLOAT_TEXT_MAX];
    if (isnan(f))
        vmt_buf_append_c(buf, "NaN");
    else if (isinf(f))
        vmt_buf_append_c(buf, f < 0 ? "-Infinity" : "Infinity");
    else
        vmt_buf_append(buf, (vmt_str){text, vmt_jfloat_repr(f, text)});
}

static vmt_status write_newline(vmt_jrun *run, const vmt_jdump *how, uint32_t level) {
    if (!how->is_indented) return VMT_OK;
    vmt_buf_append_byte(&run->out, '\n');
    return vmt_jtext_repeat(run, how->indent, level);
}

static vmt_status write_value(vmt_jrun *run, const vmt_jdump *how, vmt_jval v, uint32_t level);

static vmt_status write_list(vmt_jrun *run, const vmt_jdump *how, const vmt_jlist *list, uint32_t level) {
    if (list->count == 0) {
        vmt_buf_append_c(&run->out, "[]");
        return VMT_OK;
    }
    vmt_buf_append_byte(&run->out, '[');
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0) vmt_buf_append(&run->out, how->item_separator);
        VMT_TRY(write_newline(run, how, level + 1));
        VMT_TRY(write_value(run, how, list->items[i], level + 1));
    }
    VMT_TRY(write_newline(run, how, level));
    vmt_buf_append_byte(&run->out, ']');
    return VMT_OK;
}

static vmt_status write_key(vmt_jrun *run, const vmt_jdump *how, vmt_jval key) {
    vmt_buf *buf = &run->out;
    switch (key.kind) {
    case VMT_JSTR: write_string(buf, how, key.s); return VMT_OK;
    case VMT_JNONE: vmt_buf_append_c(buf, "\"null\""); return VMT_OK;
    case VMT_JBOOL: vmt_buf_append_c(buf, key.b ? "\"true\"" : "\"false\""); return VMT_OK;
    case VMT_JINT:
    case VMT_JUINT:
    case VMT_JFLOAT:
        vmt_buf_append_byte(buf, '"');
        VMT_TRY(write_value(run, how, key, 0));
        vmt_buf_append_byte(buf, '"');
        return VMT_OK;
    default: return vmt_jinvalid(run, "keys must be str, int, float, bool or None, not %s", vmt_jtype_name(key));
    }
}

static vmt_status sorted_entries(vmt_jrun *run, const vmt_jdict *dict, vmt_jlist **out) {
    vmt_jval pair;
    VMT_TRY(vmt_jlist_new(run, dict->count, out));
    for (size_t i = 0; i < dict->count; i++) {
        VMT_TRY(vmt_jpair(run, dict->entries[i].key, dict->entries[i].value, &pair));
        VMT_TRY(vmt_jlist_push(run, *out, pair));
    }
    return vmt_jsort_pairs(run, *out, false);
}

static vmt_status write_dict(vmt_jrun *run, const vmt_jdump *how, const vmt_jdict *dict, uint32_t level) {
    if (dict->count == 0) {
        vmt_buf_append_c(&run->out, "{}");
        return VMT_OK;
    }
    vmt_jlist *sorted = NULL;
    if (how->sort_keys) VMT_TRY(sorted_entries(run, dict, &sorted));
    vmt_buf_append_byte(&run->out, '{');
    for (size_t i = 0; i < dict->count; i++) {
        const vmt_jval *pair = sorted ? sorted->items[i].list->items : NULL;
        if (i > 0) vmt_buf_append(&run->out, how->item_separator);
        VMT_TRY(write_newline(run, how, level + 1));
        VMT_TRY(write_key(run, how, pair ? pair[0] : dict->entries[i].key));
        vmt_buf_append(&run->out, how->key_separator);
        VMT_TRY(write_value(run, how, pair ? pair[1] : dict->entries[i].value, level + 1));
    }
    VMT_TRY(write_newline(run, how, level));
    vmt_buf_append_byte(&run->out, '}');
    return VMT_OK;
}

static vmt_status write_value(vmt_jrun *run, const vmt_jdump *how, vmt_jval v, uint32_t level) {
    vmt_buf *buf = &run->out;
    VMT_TRY(vmt_jrun_charge(run, 1));
    if (buf->failed) return vmt_jrun_fail(run, VMT_E_EXHAUSTED, "the text is too long");
    if (level > VMT_JVALUE_DEPTH_MAX) {
        return vmt_jrun_fail(run, VMT_E_EXHAUSTED, "values are nested deeper than %u", VMT_JVALUE_DEPTH_MAX);
    }
    switch (v.kind) {
    case VMT_JNONE: vmt_buf_append_c(buf, "null"); return VMT_OK;
    case VMT_JBOOL: vmt_buf_append_c(buf, v.b ? "true" : "false"); return VMT_OK;
    case VMT_JINT:
    case VMT_JUINT: return vmt_jwrite_repr(run, v);
    case VMT_JFLOAT: write_float(buf, v.f); return VMT_OK;
    case VMT_JSTR: write_string(buf, how, v.s); return vmt_jrun_charge(run, v.s.len / 64);
    case VMT_JLIST:
    case VMT_JTUPLE: return write_list(run, how, v.list, level);
    case VMT_JDICT: return write_dict(run, how, v.dict, level);
    default: return vmt_jinvalid(run, "Object of type %s is not JSON serializable", vmt_jtype_name(v));
    }
}

vmt_status vmt_jdump_write(vmt_jrun *run, const vmt_jdump *how, vmt_jval v) {
    return write_value(run, how, v, 0);
}
