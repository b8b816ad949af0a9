#include "api/response_items.h"
#include "json/json_writer.h"

static const struct kind {
    const char *type, *id_prefix, *part_type;
    const char *part_added, *delta, *done, *part_done; /* events; part_added NULL: an item without parts */
    const char *done_member;
} kinds[] = {
    [VMT_ITEM_REASONING] = {"reasoning", "rs_", "reasoning_text", "response.reasoning_part.added",
                            "response.reasoning_text.delta", "response.reasoning_text.done",
                            "response.reasoning_part.done", "text"},
    [VMT_ITEM_MESSAGE] = {"message", "msg_", "output_text", "response.content_part.added",
                          "response.output_text.delta", "response.output_text.done", "response.content_part.done",
                          "text"},
    [VMT_ITEM_CALL] = {"function_call", "fc_", NULL, NULL, "response.function_call_arguments.delta",
                       "response.function_call_arguments.done", NULL, "arguments"},
};

static vmt_str text_of(const vmt_buf *buf) {
    return buf->len ? vmt_buf_str(buf) : VMT_STR("");
}

static void write_key_c(vmt_json_writer *w, const char *key, const char *value) {
    vmt_json_key(w, key);
    vmt_json_c_str(w, value);
}

/* ---- items as JSON */

/* entries NULL: none. */
static void write_logprobs(vmt_json_writer *w, const vmt_buf *entries) {
    vmt_json_key(w, "logprobs");
    vmt_json_begin_array(w);
    if (entries && entries->len) vmt_json_raw(w, vmt_buf_str(entries));
    vmt_json_end_array(w);
}

static void write_part(vmt_json_writer *w, const vmt_response_items *items, vmt_str text) {
    vmt_json_begin_object(w);
    write_key_c(w, "type", kinds[items->open].part_type);
    vmt_json_key(w, "text");
    vmt_json_str(w, text);
    if (items->open == VMT_ITEM_MESSAGE) {
        vmt_json_key(w, "annotations");
        vmt_json_begin_array(w);
        vmt_json_end_array(w);
        write_logprobs(w, text.len ? &items->logprobs : NULL);
    }
    vmt_json_end_object(w);
}

/* The name that the client gave the open call's function; *name_space is empty if it has none. */
static vmt_str name_of_call(const vmt_response_items *items, vmt_str *name_space) {
    vmt_str flat = text_of(&items->name);
    *name_space = (vmt_str){0};
    for (size_t i = 0; i < items->num_tools; i++) {
        if (!vmt_str_eq(items->tools[i].flat_name, flat)) continue;
        *name_space = items->tools[i].name_space;
        return items->tools[i].name;
    }
    return flat;
}

static void write_call(vmt_json_writer *w, const vmt_response_items *items) {
    vmt_str name_space, name = name_of_call(items, &name_space);
    vmt_json_key(w, "call_id");
    vmt_json_str(w, text_of(&items->call_id));
    vmt_json_key(w, "name");
    vmt_json_str(w, name);
    if (name_space.ptr) {
        vmt_json_key(w, "namespace");
        vmt_json_str(w, name_space);
    }
    vmt_json_key(w, "arguments");
    vmt_json_str(w, text_of(&items->text));
}

/* The open item; while it is in progress without its text. */
static void write_item(vmt_json_writer *w, const vmt_response_items *items, const char *status) {
    bool has_text = strcmp(status, "in_progress") != 0;
    vmt_json_begin_object(w);
    write_key_c(w, "type", kinds[items->open].type);
    write_key_c(w, "id", items->item_id);
    if (items->open == VMT_ITEM_CALL) {
        write_call(w, items);
    } else {
        if (items->open == VMT_ITEM_MESSAGE) write_key_c(w, "role", "assistant");
        if (items->open == VMT_ITEM_REASONING) {
            vmt_json_key(w, "summary");
            vmt_json_begin_array(w);
            vmt_json_end_array(w);
        }
        vmt_json_key(w, "content");
        vmt_json_begin_array(w);
        if (has_text) write_part(w, items, text_of(&items->text));
        vmt_json_end_array(w);
        if (items->open == VMT_ITEM_REASONING) {
            vmt_json_key(w, "encrypted_content");
            vmt_json_null(w);
        }
    }
    write_key_c(w, "status", status);
    vmt_json_end_object(w);
}

/* ---- events */

static vmt_json_writer begin_event(vmt_response_items *items, const char *name) {
    vmt_json_writer w;
    vmt_buf_clear(&items->data);
    vmt_json_writer_init(&w, &items->data);
    vmt_json_begin_object(&w);
    write_key_c(&w, "type", name);
    vmt_json_key(&w, "sequence_number");
    vmt_json_u64(&w, items->sequence_number++);
    vmt_json_key(&w, "output_index");
    vmt_json_u64(&w, items->output_index);
    return w;
}

/* An event inside an item. */
static vmt_json_writer begin_inner(vmt_response_items *items, const char *name) {
    vmt_json_writer w = begin_event(items, name);
    write_key_c(&w, "item_id", items->item_id);
    if (kinds[items->open].part_type) {
        vmt_json_key(&w, "content_index");
        vmt_json_u64(&w, 0);
    }
    return w;
}

static void end_event(vmt_response_items *items, vmt_json_writer *w, const char *name) {
    vmt_json_end_object(w);
    items->send(items->ctx, name, &items->data);
}

static void send_item(vmt_response_items *items, const char *name, const char *status) {
    vmt_json_writer w = begin_event(items, name);
    vmt_json_key(&w, "item");
    write_item(&w, items, status);
    end_event(items, &w, name);
}

static void send_part(vmt_response_items *items, const char *name, vmt_str text) {
    vmt_json_writer w = begin_inner(items, name);
    vmt_json_key(&w, "part");
    write_part(&w, items, text);
    end_event(items, &w, name);
}

/* ---- the machine */

static void open_item(vmt_response_items *items, vmt_item_kind kind) {
    items->open = kind;
    vmt_buf_clear(&items->text);
    vmt_buf_clear(&items->logprobs);
    vmt_answer_make_id(items->item_id, kinds[kind].id_prefix);
    if (!items->send) return;
    send_item(items, "response.output_item.added", "in_progress");
    if (kinds[kind].part_added) send_part(items, kinds[kind].part_added, VMT_STR(""));
}

static void close_item(vmt_response_items *items, const char *status) {
    if (items->open == VMT_ITEM_NONE) return;
    const struct kind *kind = &kinds[items->open];
    if (items->send) {
        vmt_json_writer w = begin_inner(items, kind->done);
        vmt_json_key(&w, kind->done_member);
        vmt_json_str(&w, text_of(&items->text));
        if (items->open == VMT_ITEM_CALL) {
            vmt_str name_space;
            vmt_json_key(&w, "name");
            vmt_json_str(&w, name_of_call(items, &name_space));
        }
        if (items->open == VMT_ITEM_MESSAGE) write_logprobs(&w, &items->logprobs);
        end_event(items, &w, kind->done);
        if (kind->part_done) send_part(items, kind->part_done, text_of(&items->text));
        send_item(items, "response.output_item.done", status);
    }
    vmt_json_writer w;
    vmt_json_writer_init(&w, &items->output);
    w.need_comma = items->output.len > 0;
    write_item(&w, items, status);
    items->open = VMT_ITEM_NONE;
    items->output_index++;
}

static void add(vmt_response_items *items, vmt_item_kind kind, vmt_str text) {
    if (text.len == 0) return;
    if (items->open != kind) {
        close_item(items, "completed");
        open_item(items, kind);
    }
    vmt_buf_append(&items->text, text);
    if (kind == VMT_ITEM_MESSAGE && items->fresh_logprobs.len) {
        if (items->logprobs.len) vmt_buf_append_byte(&items->logprobs, ',');
        vmt_buf_append(&items->logprobs, vmt_buf_str(&items->fresh_logprobs));
    }
    if (items->send) {
        vmt_json_writer w = begin_inner(items, kinds[kind].delta);
        vmt_json_key(&w, "delta");
        vmt_json_str(&w, text);
        if (kind == VMT_ITEM_MESSAGE) write_logprobs(&w, &items->fresh_logprobs);
        end_event(items, &w, kinds[kind].delta);
    }
    if (kind == VMT_ITEM_MESSAGE) vmt_buf_clear(&items->fresh_logprobs);
}

static void begin_call(vmt_response_items *items, const vmt_answer_event *event) {
    char own[VMT_ANSWER_ID_BYTES];
    vmt_answer_make_id(own, "call_");
    close_item(items, "completed");
    vmt_buf_clear(&items->name);
    vmt_buf_append(&items->name, event->name);
    vmt_buf_clear(&items->call_id);
    vmt_buf_append(&items->call_id, event->id.len ? event->id : vmt_str_from(own));
    open_item(items, VMT_ITEM_CALL);
}

/* A stream has announced the call, so it ends as an incomplete item; a whole answer never shows it. */
static void break_call(vmt_response_items *items, vmt_str text) {
    if (items->send) {
        close_item(items, "incomplete");
    } else {
        items->open = VMT_ITEM_NONE;
    }
    add(items, VMT_ITEM_MESSAGE, text);
}

void vmt_response_items_take(void *ctx, const vmt_answer_event *event) {
    vmt_response_items *items = ctx;
    switch (event->kind) {
    case VMT_ANSWER_REASONING: add(items, VMT_ITEM_REASONING, event->text); break;
    case VMT_ANSWER_CONTENT: add(items, VMT_ITEM_MESSAGE, event->text); break;
    case VMT_ANSWER_CALL_START: begin_call(items, event); break;
    case VMT_ANSWER_CALL_ARGS: add(items, VMT_ITEM_CALL, event->text); break;
    case VMT_ANSWER_CALL_END: close_item(items, "completed"); break;
    case VMT_ANSWER_CALL_BROKEN: break_call(items, event->text); break;
    }
}

void vmt_response_items_finish(vmt_response_items *items, const char *status) {
    if (items->output_index == 0 && items->open == VMT_ITEM_NONE) open_item(items, VMT_ITEM_MESSAGE);
    close_item(items, status);
}

void vmt_response_items_free(vmt_response_items *items) {
    vmt_buf *bufs[] = {&items->output,  &items->text,           &items->data,    &items->name,
                       &items->call_id, &items->fresh_logprobs, &items->logprobs};
    for (size_t i = 0; i < VMT_COUNT(bufs); i++) vmt_buf_free(bufs[i]);
}

bool vmt_response_items_failed(const vmt_response_items *items) {
    return items->output.failed || items->text.failed || items->data.failed || items->name.failed ||
           items->call_id.failed || items->fresh_logprobs.failed || items->logprobs.failed;
}
