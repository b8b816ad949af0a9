#include "api/chat_builder.h"

void vmt_chat_builder_begin(vmt_chat_builder *b, vmt_json_writer *w) {
    *b = (vmt_chat_builder){.w = w};
    vmt_json_key(w, "messages");
    vmt_json_begin_array(w);
}

static void write_text(vmt_json_writer *w, const vmt_buf *text) {
    vmt_json_str(w, text->len ? vmt_buf_str(text) : VMT_STR(""));
}

static void close_message(vmt_chat_builder *b) {
    if (!b->role) return;
    bool is_assistant = strcmp(b->role, "assistant") == 0;
    if (b->text.failed || b->reasoning.failed || b->calls.failed) b->w->buf->failed = true;
    vmt_json_begin_object(b->w);
    vmt_json_key(b->w, "role");
    vmt_json_c_str(b->w, b->role);
    vmt_json_key(b->w, "content");
    if (is_assistant) {
        write_text(b->w, &b->text);
    } else if (b->text.len == 0) {
        vmt_json_c_str(b->w, "");
    } else {
        vmt_json_begin_array(b->w);
        vmt_json_raw(b->w, vmt_buf_str(&b->text));
        vmt_json_end_array(b->w);
    }
    if (b->reasoning.len) {
        vmt_json_key(b->w, "reasoning");
        write_text(b->w, &b->reasoning);
    }
    if (b->calls.len) {
        vmt_json_key(b->w, "tool_calls");
        vmt_json_begin_array(b->w);
        vmt_json_raw(b->w, vmt_buf_str(&b->calls));
        vmt_json_end_array(b->w);
    }
    if (b->call_id.ptr) {
        vmt_json_key(b->w, "tool_call_id");
        vmt_json_str(b->w, b->call_id);
    }
    if (b->name.ptr) {
        vmt_json_key(b->w, "name");
        vmt_json_str(b->w, b->name);
    }
    vmt_json_end_object(b->w);
    b->role = NULL;
    b->call_id = b->name = (vmt_str){0};
    vmt_buf_clear(&b->text);
    vmt_buf_clear(&b->reasoning);
    vmt_buf_clear(&b->calls);
}

void vmt_chat_builder_end(vmt_chat_builder *b) {
    close_message(b);
    vmt_json_end_array(b->w);
    vmt_chat_builder_free(b);
}

void vmt_chat_builder_free(vmt_chat_builder *b) {
    vmt_buf_free(&b->text);
    vmt_buf_free(&b->reasoning);
    vmt_buf_free(&b->calls);
}

void vmt_chat_builder_open(vmt_chat_builder *b, const char *role) {
    close_message(b);
    b->role = role;
    b->num_messages++;
}

void vmt_chat_builder_continue(vmt_chat_builder *b, const char *role) {
    if (!b->role || strcmp(b->role, role) != 0) vmt_chat_builder_open(b, role);
}

void vmt_chat_builder_open_tool(vmt_chat_builder *b, vmt_str call_id, vmt_str name) {
    vmt_chat_builder_open(b, "tool");
    b->call_id = call_id;
    b->name = name;
}

/* A writer that goes on with a list whose elements lie in buf. */
static vmt_json_writer resume(vmt_buf *buf) {
    vmt_json_writer w;
    vmt_json_writer_init(&w, buf);
    w.need_comma = buf->len > 0;
    return w;
}

void vmt_chat_builder_text(vmt_chat_builder *b, vmt_str text) {
    VMT_ASSERT(b->role);
    if (strcmp(b->role, "assistant") == 0) {
        vmt_buf_append(&b->text, text);
        return;
    }
    vmt_json_writer w = resume(&b->text);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "type");
    vmt_json_c_str(&w, "text");
    vmt_json_key(&w, "text");
    vmt_json_str(&w, text);
    vmt_json_end_object(&w);
}

void vmt_chat_builder_reasoning(vmt_chat_builder *b, vmt_str text) {
    vmt_buf_append(&b->reasoning, text);
}

/* A call up to its arguments, whose value follows. */
static vmt_json_writer begin_call(vmt_chat_builder *b, vmt_str id, vmt_str name) {
    vmt_json_writer w = resume(&b->calls);
    vmt_json_begin_object(&w);
    if (id.ptr) {
        vmt_json_key(&w, "id");
        vmt_json_str(&w, id);
    }
    vmt_json_key(&w, "type");
    vmt_json_c_str(&w, "function");
    vmt_json_key(&w, "function");
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "name");
    vmt_json_str(&w, name);
    vmt_json_key(&w, "arguments");
    return w;
}

static void end_call(vmt_json_writer *w) {
    vmt_json_end_object(w);
    vmt_json_end_object(w);
}

void vmt_chat_builder_call(vmt_chat_builder *b, vmt_str id, vmt_str name, vmt_json arguments) {
    vmt_json_writer w = begin_call(b, id, name);
    if (vmt_json_exists(arguments)) {
        vmt_json_value(&w, arguments);
    } else {
        vmt_json_raw(&w, VMT_STR("{}"));
    }
    end_call(&w);
}

void vmt_chat_builder_call_text(vmt_chat_builder *b, vmt_str id, vmt_str name, vmt_str text) {
    vmt_json_writer w = begin_call(b, id, name);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "input");
    vmt_json_str(&w, text.ptr ? text : VMT_STR(""));
    vmt_json_end_object(&w);
    end_call(&w);
}
