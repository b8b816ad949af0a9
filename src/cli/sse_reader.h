/* cli/sse_reader.h: server-sent events from bytes that come in any pieces (WHATWG HTML, "event stream"). */
#ifndef VMT_CLI_SSE_READER_H
#define VMT_CLI_SSE_READER_H

#include "base/buf.h"

typedef struct vmt_sse_reader {
    /* name is empty for an event without one.  Both slices live until it returns. */
    void (*on_event)(void *ctx, vmt_str name, vmt_str data);
    void *ctx;
    vmt_buf line, name, data;
    bool has_data, after_cr, is_begun;
} vmt_sse_reader;

/* event_bytes_max bounds one event's data and one line. */
void vmt_sse_reader_init(vmt_sse_reader *r, size_t event_bytes_max,
                         void (*on_event)(void *ctx, vmt_str name, vmt_str data), void *ctx);
void vmt_sse_reader_reset(vmt_sse_reader *r);
/* VMT_E_EXHAUSTED when an event is too large.  An event that the stream ends within is no event. */
vmt_status vmt_sse_reader_feed(vmt_sse_reader *r, vmt_str bytes, vmt_err *err);

#endif
