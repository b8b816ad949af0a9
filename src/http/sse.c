#include "http/sse.h"

#define EVENT_ON_STACK_MAX 4096

void vmt_sse_begin(vmt_http_exchange *x) {
    vmt_http_add_header(x, "cache-control", VMT_STR("no-cache"));
    vmt_http_add_header(x, "x-accel-buffering", VMT_STR("no")); /* nginx would collect the events otherwise */
    vmt_http_stream_begin(x, 200, "text/event-stream; charset=utf-8");
}

/* One write per event, so that an event is one chunk. */
void vmt_sse_event(vmt_http_exchange *x, const char *name, vmt_str data) {
    VMT_ASSERT(data.len == 0 || (!memchr(data.ptr, '\n', data.len) && !memchr(data.ptr, '\r', data.len)));
    const vmt_str parts[] = {
        name ? VMT_STR("event: ") : (vmt_str){0},
        vmt_str_from(name),
        name ? VMT_STR("\n") : (vmt_str){0},
        VMT_STR("data: "),
        data,
        VMT_STR("\n\n"),
    };
    size_t len = 0;
    for (size_t i = 0; i < VMT_COUNT(parts); i++) len += parts[i].len;

    char on_stack[EVENT_ON_STACK_MAX];
    vmt_buf buf;
    vmt_buf_init(&buf, 0);
    char *at = len <= sizeof on_stack ? on_stack : vmt_buf_reserve(&buf, len) ? buf.ptr : NULL;
    if (at) {
        char *text = at;
        for (size_t i = 0; i < VMT_COUNT(parts); i++) {
            if (parts[i].len) memcpy(at, parts[i].ptr, parts[i].len);
            at += parts[i].len;
        }
        vmt_http_stream_write(x, (vmt_str){text, len});
    } else {
        for (size_t i = 0; i < VMT_COUNT(parts); i++) vmt_http_stream_write(x, parts[i]);
    }
    vmt_buf_free(&buf);
}

void vmt_sse_ping(vmt_http_exchange *x) {
    vmt_http_stream_write(x, VMT_STR(": ping\n\n"));
}
