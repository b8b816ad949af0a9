#include "cli/sse_reader.h"

#define NAME_BYTES_MAX 256

void vmt_sse_reader_init(vmt_sse_reader *r, size_t event_bytes_max,
                         void (*on_event)(void *ctx, vmt_str name, vmt_str data), void *ctx) {
    *r = (vmt_sse_reader){.on_event = on_event, .ctx = ctx};
    vmt_buf_init(&r->line, event_bytes_max);
    vmt_buf_init(&r->name, NAME_BYTES_MAX);
    vmt_buf_init(&r->data, event_bytes_max);
}

void vmt_sse_reader_reset(vmt_sse_reader *r) {
    vmt_buf_free(&r->line);
    vmt_buf_free(&r->name);
    vmt_buf_free(&r->data);
    r->has_data = r->after_cr = r->is_begun = false;
}

static void end_event(vmt_sse_reader *r) {
    if (r->has_data) r->on_event(r->ctx, vmt_buf_str(&r->name), vmt_buf_str(&r->data));
    vmt_buf_clear(&r->name);
    vmt_buf_clear(&r->data);
    r->has_data = false;
}

static void end_line(vmt_sse_reader *r) {
    vmt_str line = vmt_buf_str(&r->line);
    if (!r->is_begun && vmt_str_starts(line, VMT_STR("\xEF\xBB\xBF"))) line = vmt_str_slice(line, 3, line.len);
    r->is_begun = true;
    if (line.len == 0) {
        end_event(r);
        return;
    }
    size_t colon = VMT_MIN(vmt_str_find(line, VMT_STR(":"), 0), line.len);
    vmt_str field = vmt_str_slice(line, 0, colon);
    vmt_str value = vmt_str_slice(line, VMT_MIN(colon + 1, line.len), line.len);
    if (vmt_str_starts(value, VMT_STR(" "))) value = vmt_str_slice(value, 1, value.len);
    if (vmt_str_eq(field, VMT_STR("data"))) {
        if (r->has_data) vmt_buf_append_byte(&r->data, '\n');
        vmt_buf_append(&r->data, value);
        r->has_data = true;
    } else if (vmt_str_eq(field, VMT_STR("event"))) {
        vmt_buf_clear(&r->name);
        vmt_buf_append(&r->name, value);
    } /* comments (an empty field), id, retry: nothing to do */
}

vmt_status vmt_sse_reader_feed(vmt_sse_reader *r, vmt_str bytes, vmt_err *err) {
    size_t begin = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        char c = bytes.ptr[i];
        bool is_end = c == '\n' || c == '\r';
        bool was_cr = r->after_cr;
        r->after_cr = c == '\r';
        if (!is_end) continue;
        if (c == '\n' && was_cr) { /* the second half of CR LF */
            begin = i + 1;
            continue;
        }
        vmt_buf_append(&r->line, vmt_str_slice(bytes, begin, i));
        if (!r->line.failed) end_line(r);
        if (r->line.failed || r->data.failed || r->name.failed) break;
        vmt_buf_clear(&r->line);
        begin = i + 1;
    }
    if (!r->line.failed) vmt_buf_append(&r->line, vmt_str_slice(bytes, VMT_MIN(begin, bytes.len), bytes.len));
    if (!r->line.failed && !r->data.failed && !r->name.failed) return VMT_OK;
    return vmt_fail(err, VMT_E_EXHAUSTED, "an event of the stream is over %zu bytes", r->data.cap_max);
}
