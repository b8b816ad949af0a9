#include "api/chat_merge.h"

#define SEPARATOR      "\n\n"
#define REMINDER_BEGIN "<system-reminder>\n"
#define REMINDER_END   "\n</system-reminder>"

static bool has_role(vmt_json message, const char *role) {
    vmt_str own;
    return vmt_json_get_str(VMT_JSON_AT(message, "role"), &own) && vmt_str_eq_c(own, role);
}

/* ---- what a template does */

static bool renders_in_order(const vmt_chat_template *tmpl, const vmt_tokenizer *tok, vmt_json messages,
                             const char *const *texts, size_t num_texts) {
    vmt_template_var vars[] = {
        {.name = VMT_STR("messages"), .json = messages},
        {.name = VMT_STR("add_generation_prompt"), .boolean = 1},
        {.name = VMT_STR("tools"), .boolean = -1},
        {.name = VMT_STR("documents"), .boolean = -1},
        {.name = VMT_STR("bos_token"), .text = VMT_STR("")},
        {.name = VMT_STR("eos_token"), .text = VMT_STR("")},
    };
    const int32_t ids[] = {vmt_tokenizer_bos(tok), vmt_tokenizer_eos(tok)};
    for (size_t i = 0; i < VMT_COUNT(ids); i++) {
        if (ids[i] >= 0) vars[VMT_COUNT(vars) - VMT_COUNT(ids) + i].text = vmt_tokenizer_spelling(tok, ids[i]);
    }
    const vmt_render_options options = {vars, VMT_COUNT(vars), 0};
    vmt_buf prompt = {0};
    bool ok = vmt_chat_template_render(tmpl, &options, &prompt, NULL) == VMT_OK;
    size_t at = 0;
    for (size_t i = 0; ok && i < num_texts; i++) {
        at = vmt_str_find(vmt_buf_str(&prompt), vmt_str_from(texts[i]), at);
        ok = at != SIZE_MAX;
    }
    vmt_buf_free(&prompt);
    return ok;
}

bool vmt_chat_takes_late_systems(const vmt_chat_template *tmpl, const vmt_tokenizer *tok) {
    static const char *const roles[] = {"system", "user", "assistant", "system", "user"};
    static const char *const texts[] = {"qz-one", "qz-two", "qz-three", "qz-four", "qz-five"};
    bool as_parts = vmt_chat_template_wants_parts(tmpl), takes = false;
    vmt_buf json = {0};
    vmt_buf_append_byte(&json, '[');
    for (size_t i = 0; i < VMT_COUNT(texts); i++) {
        vmt_buf_printf(&json, "%s{\"role\":\"%s\",\"content\":%s\"%s\"%s}", i ? "," : "", roles[i],
                       as_parts ? "[{\"type\":\"text\",\"text\":" : "", texts[i], as_parts ? "}]" : "");
    }
    vmt_buf_append_byte(&json, ']');
    vmt_json_doc *doc = NULL;
    if (!json.failed && vmt_json_parse(&doc, vmt_buf_str(&json), NULL) == VMT_OK) {
        takes = renders_in_order(tmpl, tok, vmt_json_root(doc), texts, VMT_COUNT(texts));
    }
    vmt_json_doc_destroy(doc);
    vmt_buf_free(&json);
    return takes;
}

bool vmt_chat_has_late_systems(vmt_json messages) {
    vmt_json message;
    size_t idx = 0;
    for (vmt_json_iter it = vmt_json_iter_begin(messages); vmt_json_iter_next(&it, NULL, &message); idx++) {
        if (idx > 0 && has_role(message, "system")) return true;
    }
    return false;
}

/* ---- merging */

/* Messages are written one behind: what follows may still become part of the last. */
struct merge {
    vmt_json_writer w;
    const char *role; /* of the open message; NULL: none */
    vmt_buf text;     /* of the open message */
    vmt_json open;    /* a tool's message, whose other members are kept */
};

static void append_content(vmt_json content, vmt_buf *out) {
    vmt_str text;
    vmt_json part;
    if (vmt_json_get_str(content, &text)) {
        vmt_buf_append(out, text);
        return;
    }
    bool is_first = true;
    for (vmt_json_iter it = vmt_json_iter_begin(content); vmt_json_iter_next(&it, NULL, &part);) {
        if (!vmt_json_get_str(VMT_JSON_AT(part, "text"), &text)) continue;
        if (!is_first) vmt_buf_append_byte(out, '\n');
        vmt_buf_append(out, text);
        is_first = false;
    }
}

static void append_reminder(vmt_json content, vmt_buf *out) {
    vmt_buf text = {0};
    append_content(content, &text);
    bool is_marked = vmt_str_starts(vmt_buf_str(&text), VMT_STR("<system-reminder>"));
    if (!is_marked) vmt_buf_append_c(out, REMINDER_BEGIN);
    vmt_buf_append(out, vmt_buf_str(&text));
    if (!is_marked) vmt_buf_append_c(out, REMINDER_END);
    if (text.failed) out->failed = true;
    vmt_buf_free(&text);
}

static void close_message(struct merge *m) {
    vmt_str key;
    vmt_json value;
    if (!m->role) return;
    if (m->text.failed) m->w.buf->failed = true;
    vmt_json_begin_object(&m->w);
    vmt_json_key(&m->w, "role");
    vmt_json_c_str(&m->w, m->role);
    vmt_json_key(&m->w, "content");
    vmt_json_str(&m->w, m->text.len ? vmt_buf_str(&m->text) : VMT_STR(""));
    for (vmt_json_iter it = vmt_json_iter_begin(m->open); vmt_json_iter_next(&it, &key, &value);) {
        if (vmt_str_eq_c(key, "role") || vmt_str_eq_c(key, "content")) continue;
        vmt_json_key_str(&m->w, key);
        vmt_json_value(&m->w, value);
    }
    vmt_json_end_object(&m->w);
    m->role = NULL;
    m->open = (vmt_json){0};
    vmt_buf_clear(&m->text);
}

/* The open message, if it has that role and may grow; else a new one. */
static void open_message(struct merge *m, const char *role, bool may_join) {
    if (may_join && m->role && strcmp(m->role, role) == 0) {
        vmt_buf_append_c(&m->text, SEPARATOR);
        return;
    }
    close_message(m);
    m->role = role;
}

static void add_system(struct merge *m, vmt_json message, bool is_front, vmt_chat_merge_depth depth) {
    vmt_json content = VMT_JSON_AT(message, "content");
    if (is_front) {
        open_message(m, "system", true);
        append_content(content, &m->text);
        return;
    }
    bool is_after_tool = m->role && strcmp(m->role, "tool") == 0;
    open_message(m, is_after_tool ? "tool" : "user", is_after_tool || depth == VMT_MERGE_USERS);
    append_reminder(content, &m->text);
}

void vmt_chat_merge(vmt_json messages, vmt_chat_merge_depth depth, vmt_buf *out) {
    struct merge m = {0};
    vmt_json message;
    bool is_front = true;
    vmt_json_writer_init(&m.w, out);
    vmt_json_begin_array(&m.w);
    for (vmt_json_iter it = vmt_json_iter_begin(messages); vmt_json_iter_next(&it, NULL, &message);) {
        bool is_system = has_role(message, "system"), is_tool = has_role(message, "tool");
        is_front = is_front && is_system;
        if (is_system) {
            add_system(&m, message, is_front, depth);
        } else if (is_tool || (has_role(message, "user") && depth == VMT_MERGE_USERS)) {
            open_message(&m, is_tool ? "tool" : "user", !is_tool);
            append_content(VMT_JSON_AT(message, "content"), &m.text);
            if (is_tool) m.open = message;
        } else {
            close_message(&m);
            vmt_json_value(&m.w, message);
        }
    }
    close_message(&m);
    vmt_json_end_array(&m.w);
    vmt_buf_free(&m.text);
}
