#include "cli/flags_yaml.h"

#include "base/file.h"
#include "json/json_writer.h"

#include <yaml.h>

struct reader {
    yaml_parser_t parser;
    const char *path;
    vmt_arena *arena;
    vmt_err *err;
    yaml_event_t event; /* the current one; owned until the next step */
    bool has_event;
    vmt_buf json; /* the value being read */
    vmt_json_writer writer;
    vmt_str *items; /* [VMT_YAML_ITEMS_MAX] scalars of the value's top sequence */
    uint32_t num_items;
};

static vmt_status fail_at(struct reader *r, const char *what) {
    unsigned long line =
        (unsigned long)(r->has_event ? r->event.start_mark.line : r->parser.problem_mark.line) + 1;
    return vmt_fail(r->err, VMT_E_INVALID, "%.100s, line %lu: %s", r->path, line, what);
}

static vmt_status step(struct reader *r) {
    if (r->has_event) yaml_event_delete(&r->event);
    r->has_event = yaml_parser_parse(&r->parser, &r->event) == 1;
    if (!r->has_event) return fail_at(r, r->parser.problem ? r->parser.problem : "it can't be read");
    if (r->event.type == YAML_ALIAS_EVENT) return fail_at(r, "aliases are not allowed");
    return VMT_OK;
}

static vmt_str scalar_text(const struct reader *r) {
    return (vmt_str){(const char *)r->event.data.scalar.value, r->event.data.scalar.length};
}

static bool is_plain(const struct reader *r) {
    return r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static bool is_null(const struct reader *r) {
    vmt_str text = scalar_text(r);
    return is_plain(r) && (text.len == 0 || vmt_str_eq_c(text, "~") || vmt_str_eq_nocase(text, VMT_STR("null")));
}

/* A plain scalar has the type it looks like (YAML 1.1, as PyYAML reads it), a quoted one is a string. */
static void write_scalar(struct reader *r) {
    static const char *const truths[] = {"true", "yes", "on"}, *const lies[] = {"false", "no", "off"};
    vmt_str text = scalar_text(r);
    int64_t integer;
    double real;
    if (is_null(r)) {
        vmt_json_null(&r->writer);
        return;
    }
    if (is_plain(r)) {
        for (size_t i = 0; i < VMT_COUNT(truths); i++) {
            bool yes = vmt_str_eq_nocase(text, vmt_str_from(truths[i]));
            if (!yes && !vmt_str_eq_nocase(text, vmt_str_from(lies[i]))) continue;
            vmt_json_bool(&r->writer, yes);
            return;
        }
        if (vmt_str_to_i64(text, &integer)) {
            vmt_json_i64(&r->writer, integer);
            return;
        }
        if (vmt_str_to_f64(text, &real)) {
            vmt_json_f64(&r->writer, real);
            return;
        }
    }
    vmt_json_str(&r->writer, text);
}

static vmt_status keep_item(struct reader *r) {
    if (r->num_items == VMT_YAML_ITEMS_MAX) return fail_at(r, "a list of more than 4096 items");
    vmt_str copy = vmt_arena_dup(r->arena, scalar_text(r));
    if (copy.ptr == NULL) return vmt_fail(r->err, VMT_E_NO_MEMORY, "no memory for %.100s", r->path);
    r->items[r->num_items++] = copy;
    return VMT_OK;
}

/* Writes the value that begins at the current event as JSON, and keeps the scalars of its top level. */
static vmt_status read_value(struct reader *r) {
    struct {
        bool is_map, expects_key;
    } open[VMT_YAML_DEPTH_MAX];
    uint32_t depth = 0;
    for (;;) {
        bool is_key = depth > 0 && open[depth - 1].is_map && open[depth - 1].expects_key;
        bool ends = r->event.type == YAML_SEQUENCE_END_EVENT || r->event.type == YAML_MAPPING_END_EVENT;
        bool begins = r->event.type == YAML_SEQUENCE_START_EVENT || r->event.type == YAML_MAPPING_START_EVENT;
        if (begins) {
            if (is_key) return fail_at(r, "a key must be a plain word");
            if (depth == VMT_YAML_DEPTH_MAX) return fail_at(r, "nested more than 16 deep");
            bool is_map = r->event.type == YAML_MAPPING_START_EVENT;
            open[depth].is_map = open[depth].expects_key = is_map;
            depth++;
            if (is_map) {
                vmt_json_begin_object(&r->writer);
            } else {
                vmt_json_begin_array(&r->writer);
            }
        } else if (ends) {
            if (open[--depth].is_map) {
                vmt_json_end_object(&r->writer);
            } else {
                vmt_json_end_array(&r->writer);
            }
        } else if (is_key) {
            vmt_json_key_str(&r->writer, scalar_text(r));
        } else {
            write_scalar(r);
            if (depth == 0 || (depth == 1 && !open[0].is_map)) VMT_TRY(keep_item(r));
        }
        if (depth == 0) return VMT_OK;
        /* A key is followed by its value; a value, or the end of one, by the next key. */
        if (!begins && open[depth - 1].is_map) open[depth - 1].expects_key = ends || !is_key;
        VMT_TRY(step(r));
    }
}

static vmt_status read_entry(struct reader *r, vmt_yaml_entry *entry, bool *is_kept) {
    if (r->event.type != YAML_SCALAR_EVENT) return fail_at(r, "a key must be a plain word");
    entry->key = vmt_arena_dup(r->arena, scalar_text(r));
    VMT_TRY(step(r));
    *is_kept = r->event.type != YAML_SCALAR_EVENT || !is_null(r);
    entry->is_scalar = r->event.type == YAML_SCALAR_EVENT;
    r->num_items = 0;
    vmt_buf_clear(&r->json);
    vmt_json_writer_init(&r->writer, &r->json);
    VMT_TRY(read_value(r));
    vmt_str *items = VMT_ARENA_NEW(r->arena, vmt_str, r->num_items);
    entry->json = r->json.failed ? (vmt_str){0} : vmt_arena_dup(r->arena, vmt_buf_str(&r->json));
    if (items == NULL || entry->key.ptr == NULL || entry->json.ptr == NULL) {
        return vmt_fail(r->err, VMT_E_NO_MEMORY, "no memory for %.100s", r->path);
    }
    if (r->num_items > 0) memcpy(items, r->items, r->num_items * sizeof *items);
    entry->values = (vmt_flag_list){items, r->num_items};
    return VMT_OK;
}

static vmt_status read_document(struct reader *r, vmt_yaml_entry *entries, uint32_t *num) {
    do {
        VMT_TRY(step(r));
    } while (r->event.type == YAML_STREAM_START_EVENT || r->event.type == YAML_DOCUMENT_START_EVENT);
    if (r->event.type == YAML_STREAM_END_EVENT) return VMT_OK;
    if (r->event.type == YAML_SCALAR_EVENT && is_null(r)) return VMT_OK;
    if (r->event.type != YAML_MAPPING_START_EVENT) return fail_at(r, "it must hold \"flag: value\" lines");
    for (;;) {
        VMT_TRY(step(r));
        if (r->event.type == YAML_MAPPING_END_EVENT) break;
        if (*num == VMT_YAML_ENTRIES_MAX) return fail_at(r, "more than 512 keys");
        bool is_kept = false;
        VMT_TRY(read_entry(r, &entries[*num], &is_kept));
        if (is_kept) ++*num;
    }
    VMT_TRY(step(r));
    VMT_TRY(step(r));
    return r->event.type == YAML_STREAM_END_EVENT ? VMT_OK : fail_at(r, "more than one document");
}

vmt_status vmt_flags_yaml_read(const char *path, vmt_arena *arena, vmt_yaml_entry **out, uint32_t *num,
                               vmt_err *err) {
    struct reader r = {.path = path, .arena = arena, .err = err};
    vmt_buf text;
    *num = 0;
    vmt_buf_init(&text, 0);
    vmt_buf_init(&r.json, VMT_YAML_BYTES_MAX * 8);
    vmt_status status = vmt_file_read(&text, path, VMT_YAML_BYTES_MAX, err);
    if (status != VMT_OK) {
        vmt_buf_free(&text);
        return status;
    }
    *out = VMT_ARENA_NEW(arena, vmt_yaml_entry, VMT_YAML_ENTRIES_MAX);
    r.items = VMT_ARENA_NEW(arena, vmt_str, VMT_YAML_ITEMS_MAX);
    if (*out == NULL || r.items == NULL || yaml_parser_initialize(&r.parser) != 1) {
        vmt_buf_free(&text);
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for %.100s", path);
    }
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.ptr ? text.ptr : ""), text.len);
    status = read_document(&r, *out, num);
    if (r.has_event) yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    vmt_buf_free(&r.json);
    vmt_buf_free(&text);
    return status;
}
