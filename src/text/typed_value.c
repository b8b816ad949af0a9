/* text/typed_value.c: argument values that models write as plain text, as JSON by the tool's schema. */
#include "text/output_scan.h"
#include "json/json_writer.h"

#include <stdio.h>

#define SCHEMA_DEPTH_MAX 4u /* of anyOf in anyOf */

enum { T_NULL = 1, T_INT = 2, T_NUMBER = 4, T_BOOL = 8, T_OBJECT = 16, T_ARRAY = 32, T_STRING = 64 };

static unsigned type_bit(vmt_str name) {
    static const struct {
        const char *name;
        unsigned bit;
    } rows[] = {
        {"null", T_NULL},     {"integer", T_INT}, {"number", T_NUMBER}, {"boolean", T_BOOL},
        {"object", T_OBJECT}, {"array", T_ARRAY}, {"string", T_STRING},
    };
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        if (vmt_str_eq_c(name, rows[i].name)) return rows[i].bit;
    }
    return 0;
}

static unsigned type_bits(vmt_json type) {
    vmt_str name;
    vmt_json element;
    if (vmt_json_get_str(type, &name)) return type_bit(name);
    unsigned bits = 0;
    if (vmt_json_typeof(type) != VMT_JSON_ARRAY) return 0;
    for (vmt_json_iter it = vmt_json_iter_begin(type); vmt_json_iter_next(&it, NULL, &element);) {
        if (vmt_json_get_str(element, &name)) bits |= type_bit(name);
    }
    return bits;
}

/* The types that a schema allows, with those of its alternatives; alternatives of theirs are looked at once more. */
static unsigned schema_types(vmt_json schema) {
    static const char *const unions[] = {"anyOf", "oneOf"};
    vmt_json level[SCHEMA_DEPTH_MAX] = {schema}, option;
    unsigned bits = 0;
    uint32_t num = 1;
    for (uint32_t i = 0; i < num; i++) {
        bits |= type_bits(VMT_JSON_AT(level[i], "type"));
        for (size_t u = 0; u < VMT_COUNT(unions); u++) {
            vmt_json list = vmt_json_member(level[i], vmt_str_from(unions[u]));
            if (vmt_json_typeof(list) != VMT_JSON_ARRAY) continue;
            for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, NULL, &option);) {
                bits |= type_bits(VMT_JSON_AT(option, "type"));
                bool nests =
                    vmt_json_exists(VMT_JSON_AT(option, "anyOf")) || vmt_json_exists(VMT_JSON_AT(option, "oneOf"));
                if (nests && num < SCHEMA_DEPTH_MAX) level[num++] = option;
            }
        }
    }
    return bits;
}

bool vmt_typed_is_string(vmt_json schema) {
    unsigned bits = schema_types(schema);
    return bits == 0 || bits == T_STRING;
}

bool vmt_typed_may_be_string(vmt_json schema) {
    return vmt_typed_is_string(schema) || (schema_types(schema) & T_STRING) != 0;
}

static bool scan_whole(vmt_str text) {
    vmt_json_scan scan;
    vmt_json_scan_init(&scan);
    for (size_t i = 0; i < text.len; i++) {
        if (vmt_json_scan_push(&scan, text.ptr[i]) == VMT_SCAN_BAD) return false;
    }
    return vmt_json_scan_is_whole(&scan);
}

static bool is_number(vmt_str text) {
    return text.len && (text.ptr[0] == '-' || (text.ptr[0] >= '0' && text.ptr[0] <= '9')) && scan_whole(text);
}

static bool is_integer(vmt_str text) {
    if (!is_number(text)) return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '.' || text.ptr[i] == 'e' || text.ptr[i] == 'E') return false;
    }
    return true;
}

bool vmt_is_json_scalar(vmt_str text) {
    return vmt_str_eq_c(text, "true") || vmt_str_eq_c(text, "false") || vmt_str_eq_c(text, "null") ||
           is_number(text);
}

void vmt_typed_value(vmt_json schema, vmt_str text, vmt_buf *out) {
    unsigned bits = schema_types(schema);
    vmt_str trimmed = vmt_str_trim(text);
    bool is_true = vmt_str_eq_nocase(trimmed, VMT_STR("true"));
    bool is_false = vmt_str_eq_nocase(trimmed, VMT_STR("false"));
    char first = trimmed.len ? trimmed.ptr[0] : '\0';
    if ((bits & T_NULL) && vmt_str_eq_nocase(trimmed, VMT_STR("null"))) {
        vmt_buf_append_c(out, "null");
    } else if (((bits & T_INT) && is_integer(trimmed)) || ((bits & T_NUMBER) && is_number(trimmed))) {
        vmt_buf_append(out, trimmed);
    } else if ((bits & T_BOOL) && (is_true || is_false)) {
        vmt_buf_append_c(out, is_true ? "true" : "false");
    } else if ((((bits & T_OBJECT) && first == '{') || ((bits & T_ARRAY) && first == '[')) &&
               scan_whole(trimmed)) {
        vmt_buf_append(out, trimmed);
    } else {
        vmt_json_escape(out, text);
    }
}

/* ---- members of a call's arguments */

vmt_json vmt_call_property(const vmt_output_parser *p, vmt_str key) {
    return vmt_json_member(VMT_JSON_AT(p->call.parameters, "properties"), key);
}

void vmt_call_key(vmt_output_parser *p, vmt_str key) {
    vmt_buf text = {0};
    vmt_buf_append_c(&text, p->call.has_args ? ", " : "{");
    vmt_json_escape(&text, key);
    vmt_buf_append_c(&text, ": ");
    p->call.has_args = true;
    p->failed = p->failed || text.failed;
    vmt_call_args(p, vmt_buf_str(&text));
    vmt_buf_free(&text);
}

void vmt_call_string_byte(vmt_output_parser *p, char byte) {
    char text[8] = {byte};
    size_t len = 1;
    if (byte == '"' || byte == '\\') {
        text[0] = '\\';
        text[1] = byte;
        len = 2;
    } else if ((unsigned char)byte < 0x20) {
        static const char plain[] = "\b\f\n\r\t";
        const char *at = byte == '\0' ? NULL : strchr(plain, byte);
        text[0] = '\\';
        text[1] = at ? "bfnrt"[at - plain] : 'u';
        len = at ? 2 : (size_t)snprintf(text, sizeof text, "\\u%04x", (unsigned)byte);
    }
    vmt_call_args(p, (vmt_str){text, len});
}

void vmt_call_typed(vmt_output_parser *p, vmt_str key, vmt_str text) {
    vmt_buf value = {0};
    vmt_typed_value(vmt_call_property(p, key), text, &value);
    vmt_call_key(p, key);
    p->failed = p->failed || value.failed;
    vmt_call_args(p, vmt_buf_str(&value));
    vmt_buf_free(&value);
}

void vmt_call_close(vmt_output_parser *p) {
    if (!p->call.is_started) vmt_call_start(p);
    vmt_call_args(p, vmt_str_from(p->call.has_args ? "}" : "{}"));
    vmt_call_end(p);
}
