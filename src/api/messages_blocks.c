#include "api/messages_blocks.h"
#include "base/hash.h"
#include "json/json_writer.h"

#include <stdio.h>

#define SIGNATURE_BYTES 24

static const char *const type_names[] = {
    [VMT_BLOCK_TEXT] = "text",
    [VMT_BLOCK_THINKING] = "thinking",
    [VMT_BLOCK_TOOL_USE] = "tool_use",
};

static vmt_json_writer begin_event(vmt_blocks *b, const char *name) {
    vmt_json_writer w;
    vmt_buf_clear(&b->data);
    vmt_json_writer_init(&w, &b->data);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "type");
    vmt_json_c_str(&w, name);
    vmt_json_key(&w, "index");
    vmt_json_u64(&w, b->num_blocks - 1);
    return w;
}

static void end_event(vmt_blocks *b, vmt_json_writer *w, const char *name) {
    vmt_json_end_object(w);
    b->send(b->ctx, name, &b->data);
}

static vmt_str text_of(const vmt_buf *buf) {
    return buf->len ? vmt_buf_str(buf) : VMT_STR("");
}

static void send_start(vmt_blocks *b) {
    vmt_json_writer w = begin_event(b, "content_block_start");
    vmt_json_key(&w, "content_block");
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "type");
    vmt_json_c_str(&w, type_names[b->open]);
    if (b->open == VMT_BLOCK_TOOL_USE) {
        vmt_json_key(&w, "id");
        vmt_json_str(&w, text_of(&b->id));
        vmt_json_key(&w, "name");
        vmt_json_str(&w, text_of(&b->name));
        vmt_json_key(&w, "input");
        vmt_json_begin_object(&w);
        vmt_json_end_object(&w);
    } else {
        vmt_json_key(&w, type_names[b->open]);
        vmt_json_c_str(&w, "");
    }
    if (b->open == VMT_BLOCK_THINKING) {
        vmt_json_key(&w, "signature");
        vmt_json_c_str(&w, "");
    }
    vmt_json_end_object(&w);
    end_event(b, &w, "content_block_start");
}

static void send_delta(vmt_blocks *b, const char *type, const char *member, vmt_str text) {
    vmt_json_writer w = begin_event(b, "content_block_delta");
    vmt_json_key(&w, "delta");
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "type");
    vmt_json_c_str(&w, type);
    vmt_json_key(&w, member);
    vmt_json_str(&w, text);
    vmt_json_end_object(&w);
    end_event(b, &w, "content_block_delta");
}

static void open_block(vmt_blocks *b, vmt_block_kind kind) {
    b->open = kind;
    b->num_blocks++;
    vmt_buf_clear(&b->text);
    if (b->send) send_start(b);
}

/* Clients hand it back and nobody checks it; it says which text it belongs to. */
static void sign(const vmt_blocks *b, char signature[SIGNATURE_BYTES]) {
    snprintf(signature, SIGNATURE_BYTES, "vmetal%016llx",
             (unsigned long long)vmt_hash_fast(b->text.ptr ? b->text.ptr : "", b->text.len));
}

static void collect(vmt_blocks *b) {
    vmt_json_writer w;
    char signature[SIGNATURE_BYTES];
    vmt_json_writer_init(&w, &b->content);
    w.need_comma = b->content.len > 0;
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "type");
    vmt_json_c_str(&w, type_names[b->open]);
    if (b->open == VMT_BLOCK_TOOL_USE) {
        vmt_json_key(&w, "id");
        vmt_json_str(&w, text_of(&b->id));
        vmt_json_key(&w, "name");
        vmt_json_str(&w, text_of(&b->name));
        vmt_json_key(&w, "input");
        vmt_json_raw(&w, b->text.len ? vmt_buf_str(&b->text) : VMT_STR("{}"));
    } else {
        vmt_json_key(&w, type_names[b->open]);
        vmt_json_str(&w, text_of(&b->text));
    }
    if (b->open == VMT_BLOCK_THINKING) {
        sign(b, signature);
        vmt_json_key(&w, "signature");
        vmt_json_c_str(&w, signature);
    }
    vmt_json_end_object(&w);
}

static void close_block(vmt_blocks *b) {
    char signature[SIGNATURE_BYTES];
    if (b->open == VMT_BLOCK_NONE) return;
    if (!b->send) {
        collect(b);
    } else {
        if (b->open == VMT_BLOCK_THINKING) {
            sign(b, signature);
            send_delta(b, "signature_delta", "signature", vmt_str_from(signature));
        }
        vmt_json_writer w = begin_event(b, "content_block_stop");
        end_event(b, &w, "content_block_stop");
    }
    b->open = VMT_BLOCK_NONE;
}

static void add(vmt_blocks *b, vmt_block_kind kind, vmt_str text) {
    if (text.len == 0) return;
    if (b->open != kind) {
        close_block(b);
        open_block(b, kind);
    }
    /* A stream's text was sent; only what signs it is kept. */
    if (!b->send || kind == VMT_BLOCK_THINKING) vmt_buf_append(&b->text, text);
    if (!b->send) return;
    if (kind == VMT_BLOCK_THINKING) {
        send_delta(b, "thinking_delta", "thinking", text);
    } else {
        send_delta(b, "text_delta", "text", text);
    }
}

static void begin_call(vmt_blocks *b, const vmt_answer_event *event) {
    char own[VMT_ANSWER_ID_BYTES];
    vmt_answer_make_id(own, "toolu_");
    close_block(b);
    vmt_buf_clear(&b->name);
    vmt_buf_append(&b->name, event->name);
    vmt_buf_clear(&b->id);
    vmt_buf_append(&b->id, event->id.len ? event->id : vmt_str_from(own));
    open_block(b, VMT_BLOCK_TOOL_USE);
}

void vmt_blocks_take(void *ctx, const vmt_answer_event *event) {
    vmt_blocks *b = ctx;
    switch (event->kind) {
    case VMT_ANSWER_REASONING: add(b, VMT_BLOCK_THINKING, event->text); break;
    case VMT_ANSWER_CONTENT: add(b, VMT_BLOCK_TEXT, event->text); break;
    case VMT_ANSWER_CALL_START: begin_call(b, event); break;
    case VMT_ANSWER_CALL_ARGS:
        if (b->send) {
            send_delta(b, "input_json_delta", "partial_json", event->text);
        } else {
            vmt_buf_append(&b->text, event->text);
        }
        break;
    case VMT_ANSWER_CALL_END:
        b->num_calls++;
        close_block(b);
        break;
    case VMT_ANSWER_CALL_BROKEN:
        /* What was sent can't be taken back; a whole answer never shows the call. */
        if (b->send) {
            close_block(b);
        } else {
            b->open = VMT_BLOCK_NONE;
        }
        add(b, VMT_BLOCK_TEXT, event->text);
        break;
    }
}

void vmt_blocks_finish(vmt_blocks *b) {
    bool is_empty = b->send ? b->num_blocks == 0 : b->content.len == 0 && b->open == VMT_BLOCK_NONE;
    if (is_empty) open_block(b, VMT_BLOCK_TEXT);
    close_block(b);
}

void vmt_blocks_free(vmt_blocks *b) {
    vmt_buf *bufs[] = {&b->content, &b->text, &b->data, &b->name, &b->id};
    for (size_t i = 0; i < VMT_COUNT(bufs); i++) vmt_buf_free(bufs[i]);
}

bool vmt_blocks_failed(const vmt_blocks *b) {
    return b->content.failed || b->text.failed || b->data.failed || b->name.failed || b->id.failed;
}
