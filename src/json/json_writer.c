#include "json/json_writer.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NUMBER_TEXT_MAX 40 /* sign, 17 digits, point, exponent, and slack */

void vmt_json_writer_init(vmt_json_writer *w, vmt_buf *buf) {
    *w = (vmt_json_writer){.buf = buf};
}

static void separate(vmt_json_writer *w) {
    if (w->need_comma) vmt_buf_append_byte(w->buf, ',');
    w->need_comma = true;
}

static void begin(vmt_json_writer *w, char bracket) {
    separate(w);
    vmt_buf_append_byte(w->buf, bracket);
    w->need_comma = false;
}

static void end(vmt_json_writer *w, char bracket) {
    vmt_buf_append_byte(w->buf, bracket);
    w->need_comma = true;
}

void vmt_json_begin_object(vmt_json_writer *w) {
    begin(w, '{');
}

void vmt_json_end_object(vmt_json_writer *w) {
    end(w, '}');
}

void vmt_json_begin_array(vmt_json_writer *w) {
    begin(w, '[');
}

void vmt_json_end_array(vmt_json_writer *w) {
    end(w, ']');
}

void vmt_json_key(vmt_json_writer *w, const char *key) {
    vmt_json_key_str(w, vmt_str_from(key));
}

void vmt_json_key_str(vmt_json_writer *w, vmt_str key) {
    separate(w);
    vmt_json_escape(w->buf, key);
    vmt_buf_append_byte(w->buf, ':');
    w->need_comma = false;
}

void vmt_json_str(vmt_json_writer *w, vmt_str value) {
    separate(w);
    vmt_json_escape(w->buf, value);
}

void vmt_json_c_str(vmt_json_writer *w, const char *value) {
    if (value) {
        vmt_json_str(w, vmt_str_from(value));
    } else {
        vmt_json_null(w);
    }
}

void vmt_json_i64(vmt_json_writer *w, int64_t value) {
    separate(w);
    vmt_buf_printf(w->buf, "%lld", (long long)value);
}

void vmt_json_u64(vmt_json_writer *w, uint64_t value) {
    separate(w);
    vmt_buf_printf(w->buf, "%llu", (unsigned long long)value);
}

/* A whole number keeps a ".0", so that it reads back as the double it was and -0.0 keeps its sign. */
static void write_number(vmt_json_writer *w, const char *text) {
    vmt_json_raw(w, vmt_str_from(text));
    if (!strpbrk(text, ".e")) vmt_buf_append(w->buf, VMT_STR(".0"));
}

void vmt_json_f64(vmt_json_writer *w, double value) {
    if (!isfinite(value)) {
        vmt_json_null(w);
        return;
    }
    char text[NUMBER_TEXT_MAX];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    write_number(w, text);
}

/* The text of whole / 10^places. */
static void put_decimal(char *text, bool is_negative, uint64_t whole, uint32_t places) {
    char reversed[NUMBER_TEXT_MAX];
    uint32_t n = 0;
    for (; places > 0 && whole % 10 == 0; places--) whole /= 10; /* zeros at the end say nothing */
    for (uint32_t i = 0; i < places; i++, whole /= 10) reversed[n++] = (char)('0' + whole % 10);
    if (places > 0) reversed[n++] = '.';
    do {
        reversed[n++] = (char)('0' + whole % 10);
        whole /= 10;
    } while (whole > 0);
    if (is_negative) reversed[n++] = '-';
    while (n > 0) *text++ = reversed[--n];
    *text = 0;
}

/* The common range without printf and strtof, which take more than a microsecond: a vector has thousands of numbers.
 * Whole numbers over powers of ten are exact in a double, so the quotient lies on the same side of the neighbours'
 * midpoints as the decimal. */
static bool put_f32(char *text, float value) {
    static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12};
    float near = fabsf(value);
    double exact = (double)near;
    if (!(near >= 1e-4f && near < 1e6f)) return false;
    double low = (exact + (double)nextafterf(near, 0)) / 2,
           high = (exact + (double)nextafterf(near, INFINITY)) / 2;
    int32_t exponent = 5; /* of the first digit */
    while (exponent > 0 && exact < powers[exponent]) exponent--;
    if (exact < 1) exponent = exact < 1e-3 ? -4 : exact < 1e-2 ? -3 : exact < 1e-1 ? -2 : -1;
    for (int32_t digits = 6; digits <= 9; digits++) {
        int32_t places = digits - 1 - exponent;
        uint64_t whole = (uint64_t)rint(exact * powers[places]);
        double back = (double)whole / powers[places];
        if (!(back > low && back < high)) continue;
        put_decimal(text, signbit(value), whole, (uint32_t)places);
        return true;
    }
    return false;
}

void vmt_json_f32(vmt_json_writer *w, float value) {
    if (!isfinite(value)) {
        vmt_json_null(w);
        return;
    }
    char text[NUMBER_TEXT_MAX];
    if (put_f32(text, value)) {
        write_number(w, text);
        return;
    }
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value) break;
    }
    write_number(w, text);
}

void vmt_json_bool(vmt_json_writer *w, bool value) {
    vmt_json_raw(w, value ? VMT_STR("true") : VMT_STR("false"));
}

void vmt_json_null(vmt_json_writer *w) {
    vmt_json_raw(w, VMT_STR("null"));
}

void vmt_json_raw(vmt_json_writer *w, vmt_str json) {
    separate(w);
    vmt_buf_append(w->buf, json);
}

static void write_scalar(vmt_json_writer *w, vmt_json value) {
    bool truth = false;
    int64_t i64 = 0;
    uint64_t u64 = 0;
    double f64 = 0;
    vmt_str str = {0};
    switch (vmt_json_typeof(value)) {
    case VMT_JSON_BOOL:
        vmt_json_get_bool(value, &truth);
        vmt_json_bool(w, truth);
        break;
    case VMT_JSON_INT:
        vmt_json_get_i64(value, &i64);
        vmt_json_i64(w, i64);
        break;
    case VMT_JSON_UINT:
        vmt_json_get_u64(value, &u64);
        vmt_json_u64(w, u64);
        break;
    case VMT_JSON_DOUBLE:
        vmt_json_get_f64(value, &f64);
        vmt_json_f64(w, f64);
        break;
    case VMT_JSON_STRING:
        vmt_json_get_str(value, &str);
        vmt_json_str(w, str);
        break;
    default: vmt_json_null(w); break;
    }
}

static bool is_container(vmt_json_type type) {
    return type == VMT_JSON_ARRAY || type == VMT_JSON_OBJECT;
}

void vmt_json_value(vmt_json_writer *w, vmt_json value) {
    if (!is_container(vmt_json_typeof(value))) {
        write_scalar(w, value);
        return;
    }
    /* The reader bounds the depth, so the containers that are open fit a fixed array. */
    vmt_json_iter open[VMT_JSON_DEPTH_MAX];
    size_t depth = 0;
    open[depth++] = vmt_json_iter_begin(value);
    begin(w, open[0].is_object_ ? '{' : '[');
    while (depth > 0) {
        vmt_json_iter *it = &open[depth - 1];
        vmt_str key;
        vmt_json child;
        if (!vmt_json_iter_next(it, &key, &child)) {
            end(w, it->is_object_ ? '}' : ']');
            depth--;
            continue;
        }
        if (it->is_object_) vmt_json_key_str(w, key);
        if (!is_container(vmt_json_typeof(child))) {
            write_scalar(w, child);
            continue;
        }
        VMT_ASSERT(depth < VMT_COUNT(open));
        open[depth] = vmt_json_iter_begin(child);
        begin(w, open[depth].is_object_ ? '{' : '[');
        depth++;
    }
}

static void append_escaped(vmt_buf *buf, char c) {
    static const char letters[][2] = {{'"', '"'},  {'\\', '\\'}, {'\n', 'n'}, {'\r', 'r'},
                                      {'\t', 't'}, {'\b', 'b'},  {'\f', 'f'}};
    for (size_t i = 0; i < VMT_COUNT(letters); i++) {
        if (letters[i][0] != c) continue;
        vmt_buf_append(buf, (vmt_str){(char[]){'\\', letters[i][1]}, 2});
        return;
    }
    vmt_buf_printf(buf, "\\u%04x", (unsigned)(unsigned char)c);
}

void vmt_json_escape(vmt_buf *buf, vmt_str s) {
    vmt_buf_append_byte(buf, '"');
    size_t copied = 0; /* [0, copied) is written, [copied, pos) needs no change */
    for (size_t pos = 0; pos < s.len;) {
        unsigned char c = (unsigned char)s.ptr[pos];
        size_t begin_at = pos;
        if (c >= 0x80) {
            if (vmt_utf8_next(s, &pos) != VMT_REPLACEMENT_CHAR) continue;
            vmt_buf_append(buf, vmt_str_slice(s, copied, begin_at));
            vmt_buf_append(buf, VMT_STR("\xEF\xBF\xBD"));
        } else {
            pos++;
            if (c >= 0x20 && c != '"' && c != '\\') continue;
            vmt_buf_append(buf, vmt_str_slice(s, copied, begin_at));
            append_escaped(buf, (char)c);
        }
        copied = pos;
    }
    vmt_buf_append(buf, vmt_str_slice(s, copied, s.len));
    vmt_buf_append_byte(buf, '"');
}
