#include "http/internal.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

#define HEADERS_OUT_BYTES_MAX ((size_t)1 << 16) /* what a handler may add to one response */
#define BODY_RESERVED_MIN     ((size_t)1 << 20) /* bodies from here on get their room at once */
#define RESPONSE_HEAD_MAX     512               /* status line and our own headers */
/* A stream whose handler ignores stream_writable() is cut off here. */
#define OVERRUN_BYTES_MIN ((size_t)16 << 20)
#define OVERRUN_FACTOR    8

static vmt_http_server *server_of(const vmt_http_exchange *x) {
    return x->conn->server;
}

static void assert_alive(const vmt_http_exchange *x) {
    VMT_ASSERT(x && x->alive == VMT_EXCHANGE_ALIVE);
}

vmt_http_exchange *vmt_exchange_create(vmt_conn *conn) {
    vmt_http_exchange *x = calloc(1, sizeof *x);
    if (!x) return NULL;
    const vmt_http_config *config = &conn->server->config;
    x->alive = VMT_EXCHANGE_ALIVE;
    x->conn = conn;
    x->arrived_ns = vmt_clock_ns();
    vmt_h1_head_init(&x->head, config->header_bytes_max, config->header_count_max);
    vmt_buf_init(&x->body, (size_t)VMT_MIN(config->body_bytes_max, (uint64_t)VMT_BUF_CAP_MAX));
    vmt_buf_init(&x->headers_out, HEADERS_OUT_BYTES_MAX);
    return x;
}

static void exchange_free(vmt_http_exchange *x) {
    server_of(x)->bodies_bytes -= vmt_http_body_len(x);
    vmt_h1_head_reset(&x->head);
    vmt_buf_free(&x->body);
    vmt_buf_free(&x->headers_out);
    x->alive = 0;
    free(x);
}

/* Reports the exchange, takes it off the connection and frees it. */
static void finish(vmt_http_exchange *x) {
    vmt_http_server *server = server_of(x);
    vmt_conn *conn = x->conn;
    VMT_ASSERT(conn->x == x);
    if (vmt_exchange_is_handed(x)) server->num_open--;
    x->state = EXCHANGE_ENDED;
    if (server->config.on_done) {
        server->num_calls++;
        server->config.on_done(server->config.ctx, x, x->status, vmt_clock_ns() - x->arrived_ns, x->bytes_out);
        server->num_calls--;
    }
    bool keep_alive = x->keep_alive;
    conn->x = NULL;
    exchange_free(x);
    vmt_conn_exchange_ended(conn, keep_alive);
}

void vmt_exchange_gone(vmt_http_exchange *x) {
    assert_alive(x);
    vmt_http_server *server = server_of(x);
    vmt_conn *conn = x->conn;
    x->keep_alive = false;
    if (!vmt_exchange_is_handed(x)) {
        conn->x = NULL;
        exchange_free(x);
        vmt_conn_exchange_ended(conn, false);
        return;
    }
    server->num_open--;
    x->state = EXCHANGE_ENDED;
    server->num_calls++;
    if (x->on_gone) x->on_gone(x->user);
    server->num_calls--;
    if (x->status == 0) x->status = 499; /* nginx's word for it in access logs */
    finish(x);
}

/* ---- reading the request */

static void hand_out(vmt_http_exchange *x) {
    vmt_http_server *server = server_of(x);
    vmt_conn *conn = x->conn;
    x->state = EXCHANGE_HANDED;
    x->keep_alive = x->head.keep_alive;
    server->num_open++;
    server->num_calls++;
    server->config.on_request(server->config.ctx, x);
    server->num_calls--;
    /* No second exchange can have begun on this connection meanwhile: conn->in_process holds. */
    VMT_ASSERT(conn->x == NULL || conn->x->on_gone != NULL); /* who answers later must hear that the peer left */
}

/* A large body gets its room at once: memory that is not written costs nothing, and copying what has come again and
 * again would keep the loop from everybody else.  Without the room it grows as it comes. */
static void reserve_body(vmt_http_exchange *x, uint64_t len) {
    if (len < BODY_RESERVED_MIN || vmt_buf_reserve(&x->body, (size_t)len - x->body.len)) return;
    x->body.failed = false;
}

static void begin_body(vmt_http_exchange *x, bool more_is_here) {
    const vmt_http_config *config = &server_of(x)->config;
    x->has_head = true;
    if (x->head.has_length && x->head.content_length > config->body_bytes_max) {
        char message[128];
        int len = snprintf(message, sizeof message, "the request body has %llu bytes, the limit is %llu",
                           (unsigned long long)x->head.content_length, (unsigned long long)config->body_bytes_max);
        vmt_exchange_refuse(x, 413, (vmt_str){message, (size_t)len});
        return;
    }
    if (x->head.has_length) reserve_body(x, x->head.content_length);
    bool has_body = x->head.is_chunked || x->head.content_length > 0;
    if (!has_body) {
        hand_out(x);
    } else if (x->head.expects_continue && x->head.minor == 1 && !more_is_here) {
        static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
        vmt_conn_write(x->conn, text, sizeof text - 1);
    }
}

/* false: refused, and the exchange is gone. */
static bool append_body(vmt_http_exchange *x, vmt_str data) {
    vmt_http_server *server = server_of(x);
    const vmt_http_config *config = &server->config;
    if (data.len > config->body_bytes_max - x->body.len) {
        char message[128];
        int len = snprintf(message, sizeof message, "the request body is larger than the limit of %llu bytes",
                           (unsigned long long)config->body_bytes_max);
        vmt_exchange_refuse(x, 413, (vmt_str){message, (size_t)len});
        return false;
    }
    bool fits = server->bodies_bytes <= config->bodies_bytes_max &&
                data.len <= config->bodies_bytes_max - server->bodies_bytes;
    size_t len_before = x->body.len, len = len_before + data.len;
    if (x->head.is_chunked && len_before < BODY_RESERVED_MIN && len >= BODY_RESERVED_MIN) {
        reserve_body(x, config->body_bytes_max);
    }
    if (fits) vmt_buf_append(&x->body, data);
    if (!fits || x->body.failed) {
        vmt_exchange_refuse(x, 503, VMT_STR("the server has no room for another request body now"));
        return false;
    }
    server->bodies_bytes += x->body.len - len_before;
    return true;
}

static size_t feed_chunked(vmt_http_exchange *x, vmt_str in) {
    size_t at = 0;
    while (at < in.len) {
        size_t used;
        vmt_str data;
        vmt_chunked_result result = vmt_chunked_next(&x->chunked, vmt_str_slice(in, at, in.len), &used, &data);
        at += used;
        if (result == VMT_CHUNKED_BAD) {
            vmt_exchange_refuse(x, 400, VMT_STR("malformed chunked body"));
            return at;
        }
        if (result == VMT_CHUNKED_DATA && !append_body(x, data)) return at;
        if (result == VMT_CHUNKED_DONE) {
            hand_out(x);
            return at;
        }
    }
    return at;
}

static size_t feed_sized(vmt_http_exchange *x, vmt_str in) {
    uint64_t left = x->head.content_length - x->body.len;
    size_t len = (size_t)VMT_MIN(left, (uint64_t)in.len);
    if (append_body(x, vmt_str_slice(in, 0, len)) && x->body.len == x->head.content_length) hand_out(x);
    return len;
}

size_t vmt_exchange_feed(vmt_http_exchange *x, vmt_str in) {
    VMT_ASSERT(x->state == EXCHANGE_READING);
    if (x->has_head) return x->head.is_chunked ? feed_chunked(x, in) : feed_sized(x, in);
    size_t used;
    switch (vmt_h1_head_feed(&x->head, in, &used)) {
    case VMT_H1_MORE: break;
    case VMT_H1_DONE: begin_body(x, used < in.len); break;
    case VMT_H1_REFUSED: vmt_exchange_refuse(x, x->head.status, vmt_str_from(x->head.reason)); break;
    }
    return used;
}

void vmt_exchange_refuse(vmt_http_exchange *x, int status, vmt_str message) {
    const vmt_http_config *config = &server_of(x)->config;
    /* The message may lie in the head, which respond() frees. */
    vmt_buf body;
    vmt_buf_init(&body, HEADERS_OUT_BYTES_MAX);
    if (config->error_body) {
        config->error_body(config->ctx, x, status, message, &body);
    } else {
        vmt_buf_append(&body, message);
    }
    vmt_log_debug("http refused peer=%s status=%d reason=\"%.*s\"", x->conn->peer, status, VMT_STR_ARG(message));
    x->keep_alive = false;
    x->state = EXCHANGE_HANDED;
    server_of(x)->num_open++;
    const char *type = config->error_body ? "application/json" : "text/plain; charset=utf-8";
    vmt_http_respond(x, status, type, body.failed ? (vmt_str){0} : vmt_buf_str(&body));
    vmt_buf_free(&body);
}

/* ---- what handlers ask */

vmt_str vmt_http_method(const vmt_http_exchange *x) {
    assert_alive(x);
    return x->head.method;
}

vmt_str vmt_http_path(const vmt_http_exchange *x) {
    assert_alive(x);
    return x->has_head ? x->head.path : (vmt_str){0};
}

vmt_str vmt_http_query(const vmt_http_exchange *x) {
    assert_alive(x);
    return x->has_head ? x->head.query : (vmt_str){0};
}

uint64_t vmt_http_body_len(const vmt_http_exchange *x) {
    assert_alive(x);
    return x->body.len + x->taken_bytes;
}

vmt_buf vmt_http_take_body(vmt_http_exchange *x) {
    assert_alive(x);
    vmt_buf body = x->body;
    x->taken_bytes += body.len;
    x->body = (vmt_buf){0};
    return body;
}

vmt_str vmt_http_body(const vmt_http_exchange *x) {
    assert_alive(x);
    return vmt_buf_str(&x->body);
}

vmt_str vmt_http_header(const vmt_http_exchange *x, const char *name) {
    assert_alive(x);
    return x->has_head ? vmt_h1_head_get(&x->head, vmt_str_from(name)) : (vmt_str){0};
}

vmt_str vmt_http_peer(const vmt_http_exchange *x) {
    assert_alive(x);
    return vmt_str_from(x->conn->peer);
}

uint64_t vmt_http_arrived_ns(const vmt_http_exchange *x) {
    assert_alive(x);
    return x->arrived_ns;
}

void vmt_http_set_user(vmt_http_exchange *x, void *user, void (*on_gone)(void *user),
                       void (*on_writable)(void *user)) {
    assert_alive(x);
    x->user = user;
    x->on_gone = on_gone;
    x->on_writable = on_writable;
}

void *vmt_http_user(const vmt_http_exchange *x) {
    assert_alive(x);
    return x->user;
}

/* ---- the response */

static void put(vmt_http_exchange *x, vmt_str bytes) {
    if (bytes.len == 0) return;
    vmt_conn_write(x->conn, bytes.ptr, bytes.len);
    x->bytes_out += bytes.len;
}

void vmt_http_add_header(vmt_http_exchange *x, const char *name, vmt_str value) {
    assert_alive(x);
    VMT_ASSERT(x->state == EXCHANGE_HANDED);
    vmt_str n = vmt_str_from(name);
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == '\r' || value.ptr[i] == '\n' || value.ptr[i] == 0) return;
    }
    if (!vmt_h1_is_token(n)) return;
    /* Framing is ours. */
    VMT_ASSERT(!vmt_str_eq_nocase(n, VMT_STR("content-length")) &&
               !vmt_str_eq_nocase(n, VMT_STR("transfer-encoding")));
    if (vmt_str_eq_nocase(n, VMT_STR("connection"))) {
        if (vmt_str_eq_nocase(value, VMT_STR("close"))) x->keep_alive = false;
        return;
    }
    size_t len = n.len + value.len + 4;
    if (len > HEADERS_OUT_BYTES_MAX - x->headers_out.len) {
        vmt_log_warn("http dropped a response header name=%s bytes=%zu", name, value.len);
        return;
    }
    vmt_buf_append(&x->headers_out, n);
    vmt_buf_append(&x->headers_out, VMT_STR(": "));
    vmt_buf_append(&x->headers_out, value);
    vmt_buf_append(&x->headers_out, VMT_STR("\r\n"));
}

static const char *status_phrase(int status) {
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < VMT_COUNT(phrases); i++) {
        if (phrases[i].status == status) return phrases[i].phrase;
    }
    return "Status";
}

/* Status line and headers.  body_len is SIZE_MAX for a stream. */
static void put_head(vmt_http_exchange *x, int status, const char *content_type, size_t body_len) {
    VMT_ASSERT(status >= 200 && status <= 599);
    vmt_http_server *server = server_of(x);
    bool is_stream = body_len == SIZE_MAX;
    bool is_bodiless = status == 204 || status == 304;
    x->status = status;
    x->has_no_body = is_bodiless || vmt_str_eq(x->head.method, VMT_STR("HEAD"));
    x->is_chunked_out = is_stream && !is_bodiless && x->head.minor == 1;
    if (is_stream && !x->is_chunked_out && !x->has_no_body) x->keep_alive = false; /* the end is the close */
    if (server->is_draining) x->keep_alive = false;

    vmt_buf text;
    vmt_buf_init(&text, 0);
    vmt_buf_reserve(&text, RESPONSE_HEAD_MAX);
    vmt_buf_printf(&text, "HTTP/1.1 %d %s\r\ndate: %s\r\n", status, status_phrase(status),
                   vmt_server_date(server));
    if (content_type && !is_bodiless) vmt_buf_printf(&text, "content-type: %s\r\n", content_type);
    if (!is_stream && !is_bodiless) vmt_buf_printf(&text, "content-length: %zu\r\n", body_len);
    if (x->is_chunked_out) vmt_buf_append(&text, VMT_STR("transfer-encoding: chunked\r\n"));
    if (!x->keep_alive) {
        vmt_buf_append(&text, VMT_STR("connection: close\r\n"));
    } else if (x->head.minor == 0) {
        vmt_buf_append(&text, VMT_STR("connection: keep-alive\r\n"));
    }
    vmt_buf_append(&text, vmt_buf_str(&x->headers_out));
    vmt_buf_append(&text, VMT_STR("\r\n"));
    if (text.failed) {
        x->keep_alive = false; /* out of memory: a bare line is all there is */
        x->has_no_body = true;
        put(x, VMT_STR("HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"));
    } else {
        put(x, vmt_buf_str(&text));
    }
    vmt_buf_free(&text);
}

void vmt_http_respond(vmt_http_exchange *x, int status, const char *content_type, vmt_str body) {
    assert_alive(x);
    VMT_ASSERT(x->state == EXCHANGE_HANDED);
    put_head(x, status, content_type, body.len);
    if (!x->has_no_body) put(x, body);
    finish(x);
}

void vmt_http_stream_begin(vmt_http_exchange *x, int status, const char *content_type) {
    assert_alive(x);
    VMT_ASSERT(x->state == EXCHANGE_HANDED);
    x->state = EXCHANGE_STREAMING;
    put_head(x, status, content_type, SIZE_MAX);
}

void vmt_http_stream_write(vmt_http_exchange *x, vmt_str bytes) {
    assert_alive(x);
    VMT_ASSERT(x->state == EXCHANGE_STREAMING);
    if (bytes.len == 0 || x->has_no_body || x->conn->is_overrun) return;
    const vmt_http_config *config = &server_of(x)->config;
    size_t overrun = VMT_MAX(OVERRUN_BYTES_MIN, (size_t)config->write_high_bytes * OVERRUN_FACTOR);
    size_t pending = vmt_conn_output_len(x->conn);
    if (pending > 0 && bytes.len > overrun - VMT_MIN(pending, overrun)) {
        vmt_log_warn("http stream cut: a slow peer and a handler that does not wait peer=%s pending_bytes=%zu",
                     x->conn->peer, pending);
        x->conn->is_overrun = true;
        vmt_conn_kick(x->conn);
        return;
    }
    if (x->is_chunked_out) {
        char line[24];
        int len = snprintf(line, sizeof line, "%zx\r\n", bytes.len);
        put(x, (vmt_str){line, (size_t)len});
    }
    put(x, bytes);
    if (x->is_chunked_out) put(x, VMT_STR("\r\n"));
    if (vmt_conn_output_len(x->conn) > config->write_high_bytes) x->is_blocked = true;
}

bool vmt_http_stream_writable(const vmt_http_exchange *x) {
    assert_alive(x);
    return !x->is_blocked && !x->conn->is_overrun;
}

void vmt_http_stream_end(vmt_http_exchange *x) {
    assert_alive(x);
    VMT_ASSERT(x->state == EXCHANGE_STREAMING);
    /* A stream that lost bytes must not look complete. */
    if (x->is_chunked_out && !x->has_no_body && !x->conn->is_overrun) put(x, VMT_STR("0\r\n\r\n"));
    finish(x);
}
