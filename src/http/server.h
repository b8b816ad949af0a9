/* http/server.h: an HTTP/1.1 server that knows nothing of models.
 *
 * An exchange is one request and its response.  It is handed to the handler when its body is complete, and its pointer
 * is the handler's until the response has ended or on_gone has told that the peer left, whichever comes first.  A
 * handler that does not answer inside on_request must have set on_gone by then.
 *
 * Lifetimes, in order:  on_request → [stream_begin → stream_write ...] → respond() or stream_end()  → exchange is freed
 *                       on_request → ... → on_gone (peer closed or stalled) → exchange is freed when on_gone returns
 * After respond(), stream_end() or on_gone the pointer is dead.  All on the loop's thread.  No verb of the response
 * calls a handler back: on_gone and on_writable come from the loop.  A peer that closes its sending side is gone.
 *
 * Framing is strict (llhttp, plus what it leaves to us): two Content-Lengths, Content-Length with Transfer-Encoding,
 * white space before a colon, folded headers, NUL in a value, two Hosts, HTTP/1.1 without Host: 400 and close. */
#ifndef VMT_HTTP_SERVER_H
#define VMT_HTTP_SERVER_H

#include "base/buf.h"
#include "http/loop.h"

typedef struct vmt_http_server vmt_http_server;
typedef struct vmt_http_exchange vmt_http_exchange;

typedef struct vmt_http_config {
    vmt_str host;  /* empty: 127.0.0.1; "0.0.0.0", "::", a name */
    uint16_t port; /* 0: any free one, see vmt_http_server_port() */
    vmt_str uds;   /* a Unix socket's path instead of host and port; a stale one is replaced */
    vmt_str ssl_cert_file, ssl_key_file; /* both or none */
    uint32_t connections_max;            /* more are answered 503 and closed */
    uint32_t header_bytes_max;           /* request line and headers together: 431 */
    uint32_t header_count_max;           /* 431 */
    uint64_t body_bytes_max;             /* 413 */
    uint64_t bodies_bytes_max;           /* all connections' bodies together: 503 */
    uint32_t keep_alive_timeout_s;       /* idle connection */
    uint32_t request_timeout_s;          /* from the first byte to the whole request: 408 */
    uint32_t write_timeout_s;            /* a peer that takes no byte for so long is gone */
    uint32_t write_high_bytes;           /* above: stream_writable() is false */
    uint32_t write_low_bytes;            /* falling to it: on_writable */
    uint32_t drain_timeout_s;            /* 0: drain() ends open exchanges at once */
    void (*on_request)(void *ctx, vmt_http_exchange *x);
    void *ctx;
    /* Once per exchange, before it is freed, for logs and metrics; may be NULL.  Also for the server's own refusals
     * (method and path may then be empty).  A peer that left before the response began has status 499. */
    void (*on_done)(void *ctx, vmt_http_exchange *x, int status, uint64_t duration_ns, uint64_t bytes_out);
    /* Body of the server's own refusals (bad framing, limits): appends a JSON error object to out.  The exchange's
     * path may be empty.  May be NULL. */
    void (*error_body)(void *ctx, const vmt_http_exchange *x, int status, vmt_str message, vmt_buf *out);
} vmt_http_config;

vmt_http_config vmt_http_config_default(void);
/* Binds and listens; requests are served once the loop runs.  Errors name the address. */
vmt_status vmt_http_server_create(vmt_http_server **out, vmt_loop *loop, const vmt_http_config *config,
                                  vmt_err *err);
/* Closes everything; on_gone for open exchanges.  Not from inside a handler; from drain's done() it is fine. */
void vmt_http_server_destroy(vmt_http_server *server);
uint16_t vmt_http_server_port(const vmt_http_server *server);
/* Stops accepting, closes idle connections; done(ctx) runs once, from the loop, when the last exchange has ended and
 * its response is written, or at drain_timeout_s.  At most once per server. */
void vmt_http_server_drain(vmt_http_server *server, void (*done)(void *ctx), void *ctx);
uint32_t vmt_http_server_num_open(const vmt_http_server *server); /* exchanges in progress */

/* ---- the request: borrowed until the exchange ends */
vmt_str vmt_http_method(const vmt_http_exchange *x);
/* Percent-decoded, without the query; no control characters, no ".." segments. */
vmt_str vmt_http_path(const vmt_http_exchange *x);
vmt_str vmt_http_query(const vmt_http_exchange *x); /* raw, without '?' */
vmt_str vmt_http_body(const vmt_http_exchange *x);
/* The body becomes the caller's; it counts among the server's until the exchange ends. */
vmt_buf vmt_http_take_body(vmt_http_exchange *x);
uint64_t vmt_http_body_len(const vmt_http_exchange *x); /* taken or not */
/* First header of that name (any case), or an empty slice with ptr NULL. */
vmt_str vmt_http_header(const vmt_http_exchange *x, const char *name);
vmt_str vmt_http_peer(const vmt_http_exchange *x); /* "127.0.0.1:53122" or "unix" */
uint64_t vmt_http_arrived_ns(const vmt_http_exchange *x);

/* ---- the handler's state on the exchange */
void vmt_http_set_user(vmt_http_exchange *x, void *user, void (*on_gone)(void *user),
                       void (*on_writable)(void *user));
void *vmt_http_user(const vmt_http_exchange *x);

/* ---- the response */
/* Adds a header to the coming response; name and value are copied.  Values with CR, LF or NUL are dropped.  Not for
 * Content-Length and Transfer-Encoding, which are the server's; "Connection: close" is heeded. */
void vmt_http_add_header(vmt_http_exchange *x, const char *name, vmt_str value);
/* Whole response; body is copied.  content_type may be NULL for an empty body. */
void vmt_http_respond(vmt_http_exchange *x, int status, const char *content_type, vmt_str body);
/* A stream: chunked on HTTP/1.1, until close on 1.0. */
void vmt_http_stream_begin(vmt_http_exchange *x, int status, const char *content_type);
/* Bytes are copied, and written once per turn of the loop.  A handler that writes far past write_high_bytes loses the
 * peer (on_gone). */
void vmt_http_stream_write(vmt_http_exchange *x, vmt_str bytes);
/* false while the peer is slow: stop producing until on_writable. */
bool vmt_http_stream_writable(const vmt_http_exchange *x);
void vmt_http_stream_end(vmt_http_exchange *x);

#endif
