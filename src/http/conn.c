#include "http/internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/loop_base.h"

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define NS_PER_S         UINT64_C(1000000000)
#define READ_BYTES_MAX   ((size_t)1 << 16) /* held unread while a response is pending: pipelined requests */
#define LINGER_NS        (2 * NS_PER_S) /* for the peer to read our last response before a reset could kill it */
#define LINGER_BYTES_MAX ((uint64_t)64 << 20)

static void free_conn(vmt_conn *conn);
static void settle(vmt_conn *conn);

size_t vmt_conn_output_len(const vmt_conn *conn) {
    return evbuffer_get_length(bufferevent_get_output(conn->bev));
}

void vmt_conn_kick(vmt_conn *conn) {
    event_active(conn->kick, 0, 0);
}

/* Only appends: the bufferevent writes from the loop, once for all that a turn has appended. */
void vmt_conn_write(vmt_conn *conn, const void *data, size_t len) {
    if (bufferevent_write(conn->bev, data, len) == 0) return;
    conn->is_overrun = true; /* out of memory: the bytes that follow would be nonsense */
    vmt_conn_kick(conn);
}

void vmt_conn_exchange_ended(vmt_conn *conn, bool keep_alive) {
    conn->has_served = true;
    conn->since_ns = vmt_clock_ns();
    if (!keep_alive) conn->state = CONN_FLUSHING;
    vmt_conn_kick(conn);
}

void vmt_conn_abort(vmt_conn *conn) {
    if (conn->x) vmt_exchange_gone(conn->x);
    free_conn(conn);
}

/* ---- time */

static uint64_t after_s(uint64_t since_ns, uint32_t seconds) {
    return since_ns + seconds * NS_PER_S;
}

/* When the connection's state runs out, the output aside; UINT64_MAX: never. */
static uint64_t state_deadline_ns(const vmt_conn *conn) {
    const vmt_http_config *config = &conn->server->config;
    if (conn->state == CONN_LINGERING) return conn->since_ns + LINGER_NS;
    if (conn->state == CONN_FLUSHING) return UINT64_MAX;
    if (!conn->x) {
        return after_s(conn->since_ns,
                       conn->has_served ? config->keep_alive_timeout_s : config->request_timeout_s);
    }
    return conn->x->state == EXCHANGE_READING ? after_s(conn->x->arrived_ns, config->request_timeout_s)
                                              : UINT64_MAX;
}

static uint64_t write_deadline_ns(const vmt_conn *conn) {
    if (vmt_conn_output_len(conn) == 0) return UINT64_MAX;
    return after_s(conn->last_write_ns, conn->server->config.write_timeout_s);
}

/* A timer that is early is left alone: it looks again when it fires.  So a busy connection costs no heap updates. */
static void arm_timer(vmt_conn *conn) {
    uint64_t at_ns = VMT_MIN(state_deadline_ns(conn), write_deadline_ns(conn));
    if (at_ns == UINT64_MAX || (conn->timer_at_ns != 0 && conn->timer_at_ns <= at_ns)) return;
    uint64_t now_ns = vmt_clock_ns();
    struct timeval delay = vmt_timeval_from_ns(at_ns > now_ns ? at_ns - now_ns : 0);
    if (event_add(conn->timer, &delay) == 0) conn->timer_at_ns = at_ns;
}

static void timer_fired(evutil_socket_t fd, short what, void *arg) {
    vmt_conn *conn = arg;
    conn->timer_at_ns = 0;
    uint64_t now_ns = vmt_clock_ns();
    if (now_ns >= write_deadline_ns(conn)) {
        vmt_log_debug("http peer takes no bytes peer=%s pending_bytes=%zu", conn->peer, vmt_conn_output_len(conn));
        vmt_conn_abort(conn);
        return;
    }
    if (now_ns >= state_deadline_ns(conn)) {
        if (!conn->x) {
            free_conn(conn); /* idle, or lingered long enough */
            return;
        }
        vmt_exchange_refuse(conn->x, 408, VMT_STR("the request did not arrive in time"));
    }
    settle(conn);
}

/* ---- the end */

static void free_conn(vmt_conn *conn) {
    vmt_http_server *server = conn->server;
    VMT_ASSERT(conn->x == NULL && !conn->in_process);
    if (conn->prev) conn->prev->next = conn->next;
    if (conn->next) conn->next->prev = conn->prev;
    if (server->conns == conn) server->conns = conn->next;
    server->num_conns--;
    if (conn->state == CONN_LINGERING) server->num_lingering--;

    evbuffer_remove_cb(bufferevent_get_output(conn->bev), NULL, conn);
    event_free(conn->timer);
    event_free(conn->kick);
    bufferevent_free(conn->bev);
    free(conn);
    vmt_server_check_drained(server);
}

/* All is written: says so to the peer, and waits a while for it to close. */
static void begin_linger(vmt_conn *conn) {
    conn->state = CONN_LINGERING;
    conn->server->num_lingering++;
    conn->since_ns = vmt_clock_ns();
    if (conn->ssl) {
        SSL_set_shutdown(conn->ssl, SSL_RECEIVED_SHUTDOWN | SSL_get_shutdown(conn->ssl));
        SSL_shutdown(conn->ssl);
    }
    shutdown(bufferevent_getfd(conn->bev), SHUT_WR);
    vmt_server_check_drained(conn->server);
}

static void discard_input(vmt_conn *conn) {
    struct evbuffer *input = bufferevent_get_input(conn->bev);
    size_t len = evbuffer_get_length(input);
    conn->discarded_bytes += len;
    evbuffer_drain(input, len);
}

/* Does what the state asks for after anything has happened.  May free the connection. */
static void settle(vmt_conn *conn) {
    bool is_idle = conn->state == CONN_OPEN && !conn->x;
    if (is_idle && conn->server->is_draining) conn->state = CONN_FLUSHING;
    if (conn->state != CONN_OPEN) discard_input(conn);
    if (conn->state == CONN_FLUSHING && vmt_conn_output_len(conn) == 0) {
        if (conn->saw_eof || !conn->has_served) {
            free_conn(conn);
            return;
        }
        begin_linger(conn);
    }
    if (conn->state == CONN_LINGERING && conn->discarded_bytes > LINGER_BYTES_MAX) {
        free_conn(conn);
        return;
    }
    arm_timer(conn);
}

/* ---- requests */

/* Feeds what has arrived to requests, one exchange at a time.  A peer that sends requests and does not read the
 * responses is held here, and then by the read watermark. */
static void process(vmt_conn *conn) {
    VMT_ASSERT(!conn->in_process);
    struct evbuffer *input = bufferevent_get_input(conn->bev);
    conn->in_process = true;
    while (conn->state == CONN_OPEN && (!conn->x || conn->x->state == EXCHANGE_READING) && !conn->is_overrun &&
           vmt_conn_output_len(conn) <= conn->server->config.write_low_bytes) {
        size_t len = evbuffer_get_contiguous_space(input);
        if (len == 0) break;
        vmt_str in = {(const char *)evbuffer_pullup(input, (ev_ssize_t)len), len};
        size_t used = 0;
        if (!conn->x) {
            used = vmt_h1_skip_empty_lines(in);
            if (used < len && !conn->server->is_draining) conn->x = vmt_exchange_create(conn);
            if (used < len && !conn->x) conn->state = CONN_FLUSHING;
        }
        if (conn->x) used += vmt_exchange_feed(conn->x, vmt_str_slice(in, used, len));
        evbuffer_drain(input, used);
    }
    conn->in_process = false;
}

static void advance(vmt_conn *conn) {
    if (conn->is_overrun) {
        vmt_conn_abort(conn);
        return;
    }
    process(conn);
    settle(conn);
}

/* ---- what the loop reports */

static void kicked(evutil_socket_t fd, short what, void *arg) {
    advance(arg);
}

static void on_readable(struct bufferevent *bev, void *arg) {
    advance(arg);
}

/* The output has fallen to the low mark, or is gone. */
static void on_written(struct bufferevent *bev, void *arg) {
    vmt_conn *conn = arg;
    vmt_http_exchange *x = conn->x;
    if (x && x->state == EXCHANGE_STREAMING && x->is_blocked && !conn->is_overrun) {
        x->is_blocked = false;
        conn->server->num_calls++;
        if (x->on_writable) x->on_writable(x->user);
        conn->server->num_calls--;
    }
    advance(conn);
}

static void on_event(struct bufferevent *bev, short what, void *arg) {
    vmt_conn *conn = arg;
    if (what & BEV_EVENT_CONNECTED) return; /* the TLS handshake is done */
    conn->saw_eof = true;
    /* A clean end after the last response still lets what is queued go out; everything else is the end at once. */
    bool is_handed = conn->x && vmt_exchange_is_handed(conn->x);
    if ((what & BEV_EVENT_ERROR) || is_handed || conn->state == CONN_LINGERING) {
        vmt_conn_abort(conn);
        return;
    }
    if (conn->x) vmt_exchange_gone(conn->x);
    conn->state = CONN_FLUSHING;
    settle(conn);
}

static void output_changed(struct evbuffer *output, const struct evbuffer_cb_info *info, void *arg) {
    vmt_conn *conn = arg;
    if (info->n_deleted > 0 || info->orig_size == 0) conn->last_write_ns = vmt_clock_ns();
}

/* ---- the beginning */

static struct bufferevent *make_bufferevent(vmt_conn *conn, evutil_socket_t fd) {
    vmt_http_server *server = conn->server;
    struct event_base *base = vmt_loop_base(server->loop);
    if (!server->tls) return bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    conn->ssl = SSL_new(server->tls);
    if (!conn->ssl) return NULL;
    struct bufferevent *bev =
        bufferevent_openssl_socket_new(base, fd, conn->ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    /* A peer that just closes is an end of file, as on a plain socket: Content-Length and chunks tell truncation. */
    if (bev) bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    return bev;
}

/* Takes fd, also when it fails. */
vmt_status vmt_conn_create(vmt_http_server *server, evutil_socket_t fd, const char *peer) {
    vmt_conn *conn = calloc(1, sizeof *conn);
    if (!conn) {
        evutil_closesocket(fd);
        return VMT_E_NO_MEMORY;
    }
    conn->server = server;
    conn->since_ns = vmt_clock_ns();
    snprintf(conn->peer, sizeof conn->peer, "%s", peer);
    struct event_base *base = vmt_loop_base(server->loop);
    conn->timer = evtimer_new(base, timer_fired, conn);
    conn->kick = event_new(base, -1, 0, kicked, conn);
    if (conn->timer && conn->kick) conn->bev = make_bufferevent(conn, fd);
    struct evbuffer *output = conn->bev ? bufferevent_get_output(conn->bev) : NULL;
    if (!output || !evbuffer_add_cb(output, output_changed, conn)) {
        if (conn->timer) event_free(conn->timer);
        if (conn->kick) event_free(conn->kick);
        if (conn->bev) bufferevent_free(conn->bev);
        if (!conn->bev && conn->ssl) SSL_free(conn->ssl);
        if (!conn->bev) evutil_closesocket(fd);
        free(conn);
        return VMT_E_NO_MEMORY;
    }
    if (!server->uds_path) {
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    conn->next = server->conns;
    if (conn->next) conn->next->prev = conn;
    server->conns = conn;
    server->num_conns++;

    bufferevent_setcb(conn->bev, on_readable, on_written, on_event, conn);
    bufferevent_setwatermark(conn->bev, EV_READ, 0, READ_BYTES_MAX);
    bufferevent_setwatermark(conn->bev, EV_WRITE, server->config.write_low_bytes, 0);
    bufferevent_set_max_single_read(conn->bev, READ_BYTES_MAX);
    bufferevent_enable(conn->bev, EV_READ | EV_WRITE);

    if (server->num_conns - server->num_lingering > server->config.connections_max) {
        conn->x = vmt_exchange_create(conn);
        if (conn->x) vmt_exchange_refuse(conn->x, 503, VMT_STR("the server has too many connections"));
        conn->state = CONN_FLUSHING;
    }
    vmt_conn_kick(conn);
    return VMT_OK;
}
