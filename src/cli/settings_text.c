#include "cli/settings_text.h"

#include "json/json.h"
#include "json/json_writer.h"

#include <stdlib.h>

/* The word "joined" tells remove_block that the newline before the block is ours too. */
#define BEGIN  ">>> vmetal"
#define END    "<<< vmetal"
#define JOINED ", joined"

static const char indent_text[] = "                ";

static int indent_of(uint32_t level) {
    return (int)VMT_MIN(2 * level, sizeof indent_text - 1);
}

static vmt_status check_size(vmt_str text, vmt_err *err) {
    if (text.len <= VMT_SETTINGS_BYTES_MAX) return VMT_OK;
    return vmt_fail(err, VMT_E_EXHAUSTED, "the file has %zu bytes, the limit is %zu", text.len,
                    VMT_SETTINGS_BYTES_MAX);
}

static vmt_status finish(const vmt_buf *out, vmt_err *err) {
    return out->failed ? vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the new settings") : VMT_OK;
}

/* ---- JSON with comments */

/* text[from..to) becomes blanks, so that every other byte keeps its place. */
static void blank(char *text, size_t from, size_t to) {
    memset(text + from, ' ', to - from);
}

static size_t string_end(vmt_str s, size_t at) {
    for (at++; at < s.len && s.ptr[at] != '"'; at++) {
        if (s.ptr[at] == '\\') at++;
    }
    return VMT_MIN(at + 1, s.len);
}

/* A copy of the same length that is plain JSON: comments and trailing commas are blanks.  NULL: no memory. */
static char *plain_copy(vmt_str s) {
    char *out = malloc(s.len + 1);
    size_t comma = SIZE_MAX;
    if (out == NULL) return NULL;
    if (s.len > 0) memcpy(out, s.ptr, s.len);
    out[s.len] = '\0';
    for (size_t at = 0; at < s.len;) {
        size_t begin = at;
        bool is_comment = s.ptr[at] == '/' && at + 1 < s.len && (s.ptr[at + 1] == '/' || s.ptr[at + 1] == '*');
        if (is_comment) {
            bool is_line = s.ptr[at + 1] == '/';
            size_t end = vmt_str_find(s, is_line ? VMT_STR("\n") : VMT_STR("*/"), at + 2);
            if (end == SIZE_MAX && !is_line) return out; /* never closed: the parser will say so */
            at = end == SIZE_MAX ? s.len : end + (is_line ? 0 : 2);
            blank(out, begin, at);
        } else if (s.ptr[at] == '"') {
            at = string_end(s, at);
            comma = SIZE_MAX;
        } else {
            char c = s.ptr[at++];
            if ((c == '}' || c == ']') && comma != SIZE_MAX) out[comma] = ' ';
            if (c == ',') {
                comma = begin;
            } else if (c != ' ' && c != '\t' && c != '\r' && c != '\n') {
                comma = SIZE_MAX;
            }
        }
    }
    return out;
}

static size_t skip_space(vmt_str s, size_t at) {
    while (at < s.len && (s.ptr[at] == ' ' || s.ptr[at] == '\t' || s.ptr[at] == '\r' || s.ptr[at] == '\n')) at++;
    return at;
}

/* Past the value at `at` of a text that has been parsed. */
static size_t skip_value(vmt_str s, size_t at) {
    uint32_t depth = 0;
    do {
        char c = s.ptr[at];
        if (c == '"') {
            at = string_end(s, at);
        } else {
            if (c == '{' || c == '[') depth++;
            if (c == '}' || c == ']') depth--;
            at++;
        }
        /* A number or a word ends before the next comma or bracket. */
    } while (at < s.len && (depth > 0 || (s.ptr[at] != ',' && s.ptr[at] != '}' && s.ptr[at] != ']')));
    return at;
}

/* In the object that opens at `at`: where the value of `name` begins, or SIZE_MAX. */
static size_t find_member(vmt_str s, size_t at, const char *name, bool *is_empty) {
    *is_empty = true;
    for (at = skip_space(s, at + 1); at < s.len && s.ptr[at] != '}'; at = skip_space(s, at)) {
        if (s.ptr[at] == ',') {
            at++;
            continue;
        }
        *is_empty = false;
        size_t end = string_end(s, at);
        vmt_str key = vmt_str_slice(s, at + 1, end - 1);
        at = skip_space(s, skip_space(s, end) + 1);
        if (vmt_str_eq_c(key, name)) return at;
        at = skip_value(s, at);
    }
    return SIZE_MAX;
}

struct place {
    size_t open;    /* of the deepest object that exists: its brace */
    uint32_t level; /* how many of the path's names lead there */
    bool is_empty;
};

static vmt_status find_place(vmt_str plain, const char *const *path, uint32_t depth, const char *name,
                             struct place *out, vmt_err *err) {
    *out = (struct place){.open = skip_space(plain, 0)};
    for (;;) {
        bool is_last = out->level == depth;
        const char *wanted = is_last ? name : path[out->level];
        size_t value = find_member(plain, out->open, wanted, &out->is_empty);
        if (value == SIZE_MAX) return VMT_OK;
        if (is_last) {
            return vmt_fail(err, VMT_E_INVALID, "it has settings called \"%s\" that vmetal did not write", name);
        }
        if (plain.ptr[value] != '{') return vmt_fail(err, VMT_E_INVALID, "its \"%s\" is not an object", wanted);
        out->open = value;
        out->level++;
    }
}

/* The block's lines, each with its newline. */
static void append_member(vmt_buf *out, const struct place *place, const char *const *path, uint32_t depth,
                          const char *name, vmt_str value, bool is_joined) {
    int indent = indent_of(place->level + 1);
    vmt_buf_printf(out, "%.*s// " BEGIN "%s\n%.*s", indent, indent_text, is_joined ? JOINED : "", indent,
                   indent_text);
    for (uint32_t i = place->level; i < depth; i++) vmt_buf_printf(out, "\"%s\": {", path[i]);
    vmt_buf_printf(out, "\"%s\": ", name);
    vmt_buf_append(out, value);
    for (uint32_t i = place->level; i < depth; i++) vmt_buf_append_byte(out, '}');
    vmt_buf_printf(out, "%s\n%.*s// " END "\n", place->is_empty ? "" : ",", indent, indent_text);
}

static vmt_status parse_plain(vmt_str plain, vmt_err *err) {
    vmt_json_doc *doc = NULL;
    vmt_err reason = {0};
    vmt_status status = vmt_json_parse(&doc, plain, &reason);
    if (status != VMT_OK) {
        status = vmt_fail(err, VMT_E_INVALID, "it is not JSON with comments: %s", reason.msg);
    } else if (vmt_json_typeof(vmt_json_root(doc)) != VMT_JSON_OBJECT) {
        status = vmt_fail(err, VMT_E_INVALID, "it holds no JSON object");
    }
    vmt_json_doc_destroy(doc);
    return status;
}

vmt_status vmt_settings_add_member(vmt_str text, const char *const *path, uint32_t depth, const char *name,
                                   vmt_str value, vmt_buf *out, vmt_err *err) {
    VMT_ASSERT(depth <= VMT_SETTINGS_PATH_MAX);
    VMT_TRY(check_size(text, err));
    char *copy = plain_copy(text);
    if (copy == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the settings");
    vmt_str plain = {copy, text.len};
    struct place place;
    if (vmt_str_trim(plain).len == 0) {
        /* Nothing but comments: they stay in front. */
        vmt_buf_append(out, text);
        if (text.len > 0 && text.ptr[text.len - 1] != '\n') vmt_buf_append_byte(out, '\n');
        place = (struct place){.is_empty = true};
        vmt_buf_append_c(out, "{\n");
        append_member(out, &place, path, depth, name, value, false);
        vmt_buf_append_c(out, "}\n");
        free(copy);
        return finish(out, err);
    }
    vmt_status status = parse_plain(plain, err);
    if (status == VMT_OK) status = find_place(plain, path, depth, name, &place, err);
    if (status == VMT_OK) {
        size_t at = place.open + 1;
        while (at < plain.len && (plain.ptr[at] == ' ' || plain.ptr[at] == '\t' || plain.ptr[at] == '\r')) at++;
        bool is_joined = at == plain.len || plain.ptr[at] != '\n';
        at = is_joined ? place.open + 1 : at + 1;
        vmt_buf_append(out, vmt_str_slice(text, 0, at));
        if (is_joined) vmt_buf_append_byte(out, '\n');
        append_member(out, &place, path, depth, name, value, is_joined);
        vmt_buf_append(out, vmt_str_slice(text, at, text.len));
        status = finish(out, err);
    }
    free(copy);
    return status;
}

/* ---- YAML */

/* The line at `at`, without its newline; *next is where the following one begins. */
static vmt_str line_at(vmt_str s, size_t at, size_t *next) {
    size_t end = vmt_str_find(s, VMT_STR("\n"), at);
    *next = end == SIZE_MAX ? s.len : end + 1;
    return vmt_str_slice(s, at, end == SIZE_MAX ? s.len : end);
}

static bool is_blank_or_comment(vmt_str line) {
    vmt_str t = vmt_str_trim(line);
    return t.len == 0 || t.ptr[0] == '#';
}

/* How deep the list's items are indented, from the lines at `at`; 2 where there are none. */
static uint32_t item_indent(vmt_str s, size_t at) {
    for (size_t next; at < s.len; at = next) {
        vmt_str line = line_at(s, at, &next);
        if (is_blank_or_comment(line)) continue;
        size_t indent = 0;
        while (indent < line.len && line.ptr[indent] == ' ') indent++;
        bool is_item = indent < line.len && line.ptr[indent] == '-';
        return is_item && indent < sizeof indent_text ? (uint32_t)indent : 2;
    }
    return 2;
}

static void append_item(vmt_buf *out, vmt_str item, uint32_t indent) {
    for (size_t at = 0, next; at < item.len; at = next) {
        vmt_str line = line_at(item, at, &next);
        vmt_buf_printf(out, "%.*s%s%.*s\n", (int)indent, indent_text, at == 0 ? "- " : "  ", VMT_STR_ARG(line));
    }
}

/* Where the line "list:" is; SIZE_MAX: nowhere. */
static size_t find_list(vmt_str s, vmt_str list, size_t *after, vmt_str *rest) {
    for (size_t at = 0, next; at < s.len; at = next) {
        vmt_str line = line_at(s, at, &next);
        if (!vmt_str_starts(line, list) || line.len == list.len || line.ptr[list.len] != ':') continue;
        *after = next;
        *rest = vmt_str_slice(line, list.len + 1, line.len);
        return at;
    }
    return SIZE_MAX;
}

vmt_status vmt_settings_add_item(vmt_str text, const char *list, vmt_str item, vmt_str head, vmt_buf *out,
                                 vmt_err *err) {
    VMT_TRY(check_size(text, err));
    size_t at = text.len;
    vmt_str rest, trimmed = vmt_str_trim(text);
    bool is_new = find_list(text, vmt_str_from(list), &at, &rest) == SIZE_MAX;
    bool is_flow = trimmed.len > 0 && (trimmed.ptr[0] == '{' || trimmed.ptr[0] == '[');
    if (is_flow || (!is_new && !is_blank_or_comment(rest))) {
        return vmt_fail(err, VMT_E_INVALID, "its %s are not written as a list of lines", list);
    }
    uint32_t indent = is_new ? 0 : item_indent(text, at);
    bool is_joined = at > 0 && text.ptr[at - 1] != '\n';
    vmt_buf_append(out, vmt_str_slice(text, 0, at));
    if (is_joined) vmt_buf_append_byte(out, '\n');
    vmt_buf_printf(out, "%.*s# " BEGIN "%s\n", (int)indent, indent_text, is_joined ? JOINED : "");
    if (trimmed.len == 0) vmt_buf_append(out, head);
    if (is_new) vmt_buf_printf(out, "%s:\n", list);
    append_item(out, item, is_new ? 2 : indent);
    vmt_buf_printf(out, "%.*s# " END "\n", (int)indent, indent_text);
    vmt_buf_append(out, vmt_str_slice(text, at, text.len));
    return finish(out, err);
}

/* ---- both */

static bool is_marker(vmt_str line, vmt_str marker) {
    vmt_str t = vmt_str_trim(line);
    if (vmt_str_starts(t, VMT_STR("//"))) t = vmt_str_slice(t, 2, t.len);
    if (vmt_str_starts(t, VMT_STR("#"))) t = vmt_str_slice(t, 1, t.len);
    return vmt_str_starts(vmt_str_trim(t), marker);
}

vmt_status vmt_settings_remove_block(vmt_str text, vmt_buf *out, bool *found, vmt_err *err) {
    VMT_TRY(check_size(text, err));
    size_t begin = SIZE_MAX, end = SIZE_MAX;
    for (size_t at = 0, next; at < text.len && end == SIZE_MAX; at = next) {
        vmt_str line = line_at(text, at, &next);
        if (begin == SIZE_MAX && is_marker(line, VMT_STR(BEGIN))) {
            begin = at;
            if (vmt_str_ends(vmt_str_trim(line), VMT_STR(JOINED)) && at > 0) begin--;
        } else if (begin != SIZE_MAX && is_marker(line, VMT_STR(END))) {
            end = next;
        }
    }
    *found = begin != SIZE_MAX;
    if (*found && end == SIZE_MAX) {
        return vmt_fail(err, VMT_E_INVALID, "its line \"" BEGIN "\" has no \"" END "\" after it");
    }
    vmt_buf_append(out, vmt_str_slice(text, 0, *found ? begin : text.len));
    if (*found) vmt_buf_append(out, vmt_str_slice(text, end, text.len));
    return finish(out, err);
}
