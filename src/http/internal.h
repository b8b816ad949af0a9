/* http/internal.h: what the server, its connections and their exchanges share.  For this folder only.
 *
 *   server ──< conn ──  at most one exchange
 *
 * A connection reads one request into its exchange, hands it out, and reads on when the response has ended.  Verbs
 * that handlers call (respond, stream_write, ...) never free a connection and never call a handler back: they append
 * to the output, change state, and kick the connection, which then acts from the loop: only event callbacks free. */
#ifndef VMT_HTTP_INTERNAL_H
#define VMT_HTTP_INTERNAL_H

#include "http/chunked.h"
#include "http/h1.h"
#include "http/server.h"

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <openssl/ssl.h>

#define VMT_HTTP_LISTENERS_MAX 8  /* addresses that one host name stands for */
#define VMT_HTTP_PEER_MAX      64 /* "[ipv6]:port" and its NUL */
#define VMT_HTTP_DATE_MAX      40

typedef struct vmt_conn vmt_conn;

enum conn_state {
    CONN_OPEN,      /* idle, reading a request, or waiting for its response */
    CONN_FLUSHING,  /* no more requests; closed once the output is gone */
    CONN_LINGERING, /* our side is shut; what still arrives is thrown away, so that the peer reads our last words */
};

struct vmt_conn {
    vmt_http_server *server;
    vmt_conn *prev, *next;
    struct bufferevent *bev;
    struct event *timer, *kick;
    vmt_http_exchange *x; /* NULL between requests */
    SSL *ssl;             /* owned by bev; NULL for plain sockets */
    enum conn_state state;
    bool in_process; /* vmt_conn_process is on the stack */
    bool has_served; /* at least one response has ended */
    bool is_overrun; /* a stream wrote far above its limit */
    bool saw_eof;
    uint64_t since_ns;        /* the state's clock: accepted, idle or lingering since */
    uint64_t last_write_ns;   /* the peer took bytes, or output turned non-empty */
    uint64_t timer_at_ns;     /* 0: not armed */
    uint64_t discarded_bytes; /* while lingering */
    char peer[VMT_HTTP_PEER_MAX];
};

enum exchange_state {
    EXCHANGE_READING,   /* the request is not complete; the handler does not know of it */
    EXCHANGE_HANDED,    /* the handler owes a response */
    EXCHANGE_STREAMING, /* between stream_begin and stream_end */
    EXCHANGE_ENDED,     /* on its way out: answered, or the peer is gone */
};

#define VMT_EXCHANGE_ALIVE 0x41584548u

struct vmt_http_exchange {
    uint32_t alive; /* VMT_EXCHANGE_ALIVE, or the pointer is dead */
    enum exchange_state state;
    vmt_conn *conn;
    vmt_h1_head head;
    bool has_head;
    vmt_chunked chunked;
    uint64_t taken_bytes; /* of the body, by take_body() */
    vmt_buf body;
    uint64_t arrived_ns;

    void *user;
    void (*on_gone)(void *user);
    void (*on_writable)(void *user);

    vmt_buf headers_out;
    int status;
    uint64_t bytes_out;
    bool keep_alive, has_no_body, is_chunked_out, is_blocked;
};

struct vmt_http_server {
    vmt_loop *loop;
    vmt_http_config config; /* the strings are NULL: they were borrowed for create() */
    struct evconnlistener *listeners[VMT_HTTP_LISTENERS_MAX];
    uint32_t num_listeners;
    uint16_t port;
    char *uds_path; /* NULL for TCP */
    uint64_t uds_dev, uds_ino;
    SSL_CTX *tls;

    vmt_conn *conns;
    uint32_t num_conns, num_lingering;
    uint32_t num_open;     /* exchanges that are handed out */
    uint64_t bodies_bytes; /* held by all exchanges */
    uint32_t num_calls;    /* handlers on the stack */

    struct event *resume; /* accepting again after a lack of descriptors */
    bool is_paused;

    bool is_draining, is_drained;
    struct event *drain_timer, *drain_done;
    void (*done)(void *ctx);
    void *done_ctx;

    int64_t date_s; /* the second that date shows */
    char date[VMT_HTTP_DATE_MAX];
};

/* ---- conn.c */
vmt_status vmt_conn_create(vmt_http_server *server, evutil_socket_t fd, const char *peer);
/* Ends the exchange with on_gone, if the handler has it, and frees the connection. */
void vmt_conn_abort(vmt_conn *conn);
/* Acts on the connection's state soon, from the loop. */
void vmt_conn_kick(vmt_conn *conn);
size_t vmt_conn_output_len(const vmt_conn *conn);
void vmt_conn_write(vmt_conn *conn, const void *data, size_t len);
/* The exchange has ended: conn->x is NULL. */
void vmt_conn_exchange_ended(vmt_conn *conn, bool keep_alive);

/* ---- exchange.c: from the first byte of a request to the end of its response */
vmt_http_exchange *vmt_exchange_create(vmt_conn *conn);
/* Takes bytes of the request; hands it to the handler when complete, after which the exchange may be gone. */
size_t vmt_exchange_feed(vmt_http_exchange *x, vmt_str in);
/* The server's own answer to a request that did not reach the handler; closes the connection. */
void vmt_exchange_refuse(vmt_http_exchange *x, int status, vmt_str message);
/* The peer left: on_gone if the handler has it. */
void vmt_exchange_gone(vmt_http_exchange *x);
static inline bool vmt_exchange_is_handed(const vmt_http_exchange *x) {
    return x->state == EXCHANGE_HANDED || x->state == EXCHANGE_STREAMING;
}

/* ---- server.c */
void vmt_server_accept(vmt_http_server *server, evutil_socket_t fd, const char *peer);
void vmt_server_check_drained(vmt_http_server *server);
const char *vmt_server_date(vmt_http_server *server);

/* ---- listen.c */
vmt_status vmt_server_listen(vmt_http_server *server, const vmt_http_config *config, vmt_err *err);
void vmt_server_close_listeners(vmt_http_server *server);

/* ---- tls.c */
vmt_status vmt_tls_context_create(SSL_CTX **out, vmt_str cert_file, vmt_str key_file, vmt_err *err);

#endif
