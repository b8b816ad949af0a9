#include "cli/flags_json.h"

#include "json/json_writer.h"

static void write_value(vmt_json_writer *w, vmt_str text) {
    vmt_json_doc *doc = NULL;
    if (vmt_json_parse(&doc, text, NULL) == VMT_OK) {
        vmt_json_value(w, vmt_json_root(doc));
    } else {
        vmt_json_str(w, text);
    }
    vmt_json_doc_destroy(doc);
}

static void write_appended(vmt_json_writer *w, vmt_json current, vmt_str value) {
    vmt_json_begin_array(w);
    vmt_json item;
    if (vmt_json_typeof(current) == VMT_JSON_ARRAY) {
        for (vmt_json_iter it = vmt_json_iter_begin(current); vmt_json_iter_next(&it, NULL, &item);) {
            vmt_json_value(w, item);
        }
    }
    for (size_t begin = 0; begin <= value.len;) {
        size_t comma = vmt_str_find(value, VMT_STR(","), begin);
        size_t end = comma == SIZE_MAX ? value.len : comma;
        write_value(w, vmt_str_slice(value, begin, end));
        begin = end + 1;
    }
    vmt_json_end_array(w);
}

/* Recursion is as deep as the path, which the caller has bounded. */
static void write_set(vmt_json_writer *w, vmt_json current, vmt_str path, vmt_str value) {
    size_t dot = vmt_str_find(path, VMT_STR("."), 0);
    vmt_str key = vmt_str_slice(path, 0, dot == SIZE_MAX ? path.len : dot);
    vmt_str rest = dot == SIZE_MAX ? (vmt_str){0} : vmt_str_slice(path, dot + 1, path.len);
    bool append = dot == SIZE_MAX && vmt_str_ends(key, VMT_STR("+"));
    if (append) key.len--;

    vmt_json_begin_object(w);
    vmt_json member, old = {0};
    vmt_str name;
    if (vmt_json_typeof(current) == VMT_JSON_OBJECT) {
        for (vmt_json_iter it = vmt_json_iter_begin(current); vmt_json_iter_next(&it, &name, &member);) {
            if (vmt_str_eq(name, key)) {
                old = member;
                continue;
            }
            vmt_json_key_str(w, name);
            vmt_json_value(w, member);
        }
    }
    vmt_json_key_str(w, key);
    if (rest.len > 0) {
        write_set(w, old, rest, value);
    } else if (append) {
        write_appended(w, old, value);
    } else {
        write_value(w, value);
    }
    vmt_json_end_object(w);
}

static vmt_status check_path(vmt_str path, vmt_err *err) {
    uint32_t num_keys = 1;
    bool key_empty = true;
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] == '.') {
            if (key_empty) break;
            num_keys++;
            key_empty = true;
        } else if (path.ptr[i] != '+' || i + 1 < path.len) {
            key_empty = false;
        }
    }
    if (key_empty) return vmt_fail(err, VMT_E_INVALID, "an empty key in \"%.*s\"", VMT_STR_ARG(path));
    if (num_keys > VMT_FLAGS_JSON_KEYS_MAX) {
        return vmt_fail(err, VMT_E_INVALID, "%u nested keys, at most %u are allowed", num_keys,
                        VMT_FLAGS_JSON_KEYS_MAX);
    }
    return VMT_OK;
}

vmt_status vmt_flags_json_set(vmt_arena *arena, vmt_str current, vmt_str path, vmt_str value, vmt_str *out,
                              vmt_err *err) {
    vmt_json_doc *doc = NULL;
    if (path.len == 0) {
        VMT_TRY(vmt_json_parse(&doc, value, err));
        vmt_json_type type = vmt_json_typeof(vmt_json_root(doc));
        vmt_json_doc_destroy(doc);
        if (type != VMT_JSON_OBJECT) {
            return vmt_fail(err, VMT_E_INVALID, "it must be a JSON object, not %s", vmt_json_type_name(type));
        }
        *out = vmt_arena_dup(arena, value);
        return out->ptr ? VMT_OK : vmt_fail(err, VMT_E_NO_MEMORY, "no memory for %zu bytes", value.len);
    }
    VMT_TRY(check_path(path, err));
    if (current.len > 0) VMT_TRY(vmt_json_parse(&doc, current, err));
    vmt_buf text;
    vmt_json_writer writer;
    vmt_buf_init(&text, 0);
    vmt_json_writer_init(&writer, &text);
    write_set(&writer, doc ? vmt_json_root(doc) : (vmt_json){0}, path, value);
    vmt_json_doc_destroy(doc);
    *out = text.failed ? (vmt_str){0} : vmt_arena_dup(arena, vmt_buf_str(&text));
    vmt_buf_free(&text);
    return out->ptr ? VMT_OK : vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a JSON value");
}
