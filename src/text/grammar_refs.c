/* text/grammar_refs.c: $ref: JSON pointers and anchors within the document. */
#include "text/grammar_schema.h"

#include <stdio.h>

static vmt_status bad_ref(vmt_schema *s, vmt_str ref, const vmt_schema_place *place, const char *what) {
    char why[120];
    snprintf(why, sizeof why, "\"%.*s\" %s", (int)VMT_MIN(ref.len, (size_t)60), ref.ptr, what);
    return vmt_schema_invalid(s, place, "$ref", why);
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One step of a pointer inside a URI: %XX, then ~1 and ~0. */
static bool decode_step(vmt_schema *s, vmt_str step, vmt_str *out) {
    char *bytes = vmt_arena_alloc(s->arena, step.len + 1);
    size_t n = 0;
    if (!bytes) return false;
    for (size_t i = 0; i < step.len; i++) {
        char c = step.ptr[i];
        if (c == '%' && i + 2 < step.len + 0 && hex_value(step.ptr[i + 1]) >= 0 &&
            hex_value(step.ptr[i + 2]) >= 0) {
            c = (char)(hex_value(step.ptr[i + 1]) << 4 | hex_value(step.ptr[i + 2]));
            i += 2;
        }
        bytes[n++] = c;
    }
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '~' && i + 1 < n && (bytes[i + 1] == '0' || bytes[i + 1] == '1')) {
            bytes[m++] = bytes[++i] == '0' ? '~' : '/';
        } else {
            bytes[m++] = bytes[i];
        }
    }
    *out = (vmt_str){bytes, m};
    return true;
}

static vmt_json follow(vmt_json at, vmt_str step) {
    if (vmt_json_typeof(at) != VMT_JSON_ARRAY) return vmt_json_member(at, step);
    uint64_t want, i = 0;
    vmt_str key;
    vmt_json item;
    if (!vmt_str_to_u64(step, &want)) return (vmt_json){0};
    for (vmt_json_iter it = vmt_json_iter_begin(at); vmt_json_iter_next(&it, &key, &item); i++) {
        if (i == want) return item;
    }
    return (vmt_json){0};
}

/* The object whose member `keyword` is the string `value`, anywhere in the document. */
static vmt_json find_named(vmt_json root, const char *keyword, vmt_str value) {
    vmt_json_iter stack[VMT_JSON_DEPTH_MAX + 1];
    uint32_t depth = 0;
    vmt_json at = root, item;
    vmt_str key, text;
    for (;;) {
        if (vmt_json_get_str(vmt_json_member(at, vmt_str_from(keyword)), &text) && vmt_str_eq(text, value))
            return at;
        stack[depth++] = vmt_json_iter_begin(at);
        while (!vmt_json_iter_next(&stack[depth - 1], &key, &item)) {
            if (--depth == 0) return (vmt_json){0};
        }
        at = item;
    }
}

static vmt_status follow_pointer(vmt_schema *s, vmt_json at, vmt_str ref, vmt_str pointer,
                                 const vmt_schema_place *place, vmt_json *out) {
    for (size_t pos = 1; pos <= pointer.len;) {
        size_t end = vmt_str_find(pointer, VMT_STR("/"), pos);
        end = VMT_MIN(end, pointer.len);
        vmt_str step;
        if (!decode_step(s, vmt_str_slice(pointer, pos, end), &step)) return vmt_schema_no_memory(s);
        at = follow(at, step);
        if (!vmt_json_exists(at)) return bad_ref(s, ref, place, "names nothing in the schema");
        pos = end + 1;
    }
    *out = at;
    return VMT_OK;
}

vmt_status vmt_schema_resolve(vmt_schema *s, vmt_str ref, const vmt_schema_place *place, vmt_json *out) {
    vmt_str id, rest = ref;
    vmt_json base = s->root;
    size_t hash = VMT_MIN(vmt_str_find(ref, VMT_STR("#"), 0), ref.len);
    vmt_str document = vmt_str_slice(ref, 0, hash);
    if (!vmt_json_get_str(VMT_JSON_AT(s->root, "$id"), &id)) id = (vmt_str){0};
    if (vmt_str_ends(id, VMT_STR("#"))) id = vmt_str_slice(id, 0, id.len - 1);
    if (document.len > 0 && !vmt_str_eq(document, id)) {
        return vmt_schema_unsupported(s, place, "$ref", "it leads out of the document");
    }
    rest = vmt_str_slice(ref, hash, ref.len);
    if (rest.len <= 1) {
        *out = base;
        return VMT_OK;
    }
    vmt_str fragment = vmt_str_slice(rest, 1, rest.len);
    if (fragment.ptr[0] == '/') return follow_pointer(s, base, ref, fragment, place, out);
    *out = find_named(base, "$anchor", fragment);
    if (!vmt_json_exists(*out)) *out = find_named(base, "$id", rest);
    if (!vmt_json_exists(*out)) return bad_ref(s, ref, place, "names nothing in the schema");
    return VMT_OK;
}
