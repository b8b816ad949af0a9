/* http/sse.h: server-sent events on a stream. */
#ifndef VMT_HTTP_SSE_H
#define VMT_HTTP_SSE_H

#include "http/server.h"

void vmt_sse_begin(vmt_http_exchange *x);
/* "event: NAME\n" if name is not NULL, then "data: ...\n\n"; data holds no newline (JSON written compactly). */
void vmt_sse_event(vmt_http_exchange *x, const char *name, vmt_str data);
/* A comment line, which clients skip: keeps proxies and idle timers quiet during a long prefill. */
void vmt_sse_ping(vmt_http_exchange *x);

#endif
