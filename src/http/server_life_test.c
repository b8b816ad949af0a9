/* How exchanges live and end: answers that come later, streams, slow and vanishing peers, drain, destroy, TLS. */
#include "base/test.h"
#include "http/sse.h"
#include "http/test_server.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define H           "Host: a\r\n"
#define MS          UINT64_C(1000000)
#define PIECE_BYTES 1000
#define WAIT_MS_MAX 15000

/* What the handlers have seen; one for each case. */
struct seen {
    test_server *server;
    atomic_uint num_requests, num_gone, num_done, num_writable, num_drained;
    atomic_int last_status;
    atomic_ullong bytes_out;
    vmt_http_exchange *held; /* by /hold, until a test lets go of it on the loop */
};

/* The state of one exchange, freed with it. */
struct job {
    struct seen *seen;
    vmt_http_exchange *x;
    vmt_timer *timer;
    uint64_t left;
};

static void job_free(struct job *job) {
    if (job->seen->held == job->x) job->seen->held = NULL;
    vmt_timer_destroy(job->timer);
    free(job);
}

static void on_gone(void *user) {
    struct job *job = user;
    VMT_ASSERT(vmt_http_path(job->x).len > 0); /* the request is still there */
    atomic_fetch_add(&job->seen->num_gone, 1);
    job_free(job);
}

static void answer_later(void *ctx) {
    struct job *job = ctx;
    vmt_http_exchange *x = job->x;
    vmt_str path = vmt_http_path(x);
    char text[100];
    int len = snprintf(text, sizeof text, "late %.*s", VMT_STR_ARG(path));
    job_free(job);
    vmt_http_respond(x, 200, "text/plain", (vmt_str){text, (size_t)len});
}

static void write_pieces(struct job *job, bool waits) {
    static char piece[PIECE_BYTES];
    while (job->left > 0 && (!waits || vmt_http_stream_writable(job->x))) {
        size_t len = (size_t)VMT_MIN(job->left, (uint64_t)sizeof piece);
        memset(piece, 'f', sizeof piece);
        vmt_http_stream_write(job->x, (vmt_str){piece, len});
        job->left -= len;
    }
    if (job->left > 0) return;
    vmt_http_exchange *x = job->x;
    job_free(job);
    vmt_http_stream_end(x);
}

static void on_writable(void *user) {
    struct job *job = user;
    atomic_fetch_add(&job->seen->num_writable, 1);
    write_pieces(job, true);
}

static void tick(void *ctx) {
    struct job *job = ctx;
    vmt_sse_event(job->x, "tick", VMT_STR("{}"));
    vmt_timer_start(job->timer, MS);
}

/*   /later?MS  answers after a while            /hold   answers when the test says so, or never
 *   /events?N  N events in one turn             /ticks  an event each millisecond, for ever
 *   /fire?N    N bytes, waiting when told to    /flood  writes for ever, never waiting */
static void handle(void *ctx, vmt_http_exchange *x) {
    struct seen *seen = ctx;
    atomic_fetch_add(&seen->num_requests, 1);
    vmt_str path = vmt_http_path(x);
    uint64_t n = 0;
    (void)vmt_str_to_u64(vmt_http_query(x), &n);
    if (vmt_str_eq(path, VMT_STR("/events"))) {
        vmt_sse_begin(x);
        for (uint64_t i = 0; i < n; i++) vmt_sse_event(x, NULL, VMT_STR("{\"token\":1}"));
        vmt_sse_ping(x);
        vmt_http_stream_end(x);
        return;
    }
    struct job *job = calloc(1, sizeof *job);
    VMT_ASSERT(job);
    *job = (struct job){.seen = seen, .x = x, .left = n};
    vmt_http_set_user(x, job, on_gone, on_writable);
    VMT_ASSERT(vmt_http_user(x) == job);
    if (vmt_str_eq(path, VMT_STR("/hold"))) {
        seen->held = x;
    } else if (vmt_str_eq(path, VMT_STR("/ticks"))) {
        vmt_sse_begin(x);
        job->timer = vmt_timer_create(test_server_loop(seen->server), tick, job);
        vmt_timer_start(job->timer, MS);
    } else if (vmt_str_eq(path, VMT_STR("/fire")) || vmt_str_eq(path, VMT_STR("/flood"))) {
        vmt_http_stream_begin(x, 200, "application/octet-stream");
        write_pieces(job, vmt_str_eq(path, VMT_STR("/fire")));
    } else {
        job->timer = vmt_timer_create(test_server_loop(seen->server), answer_later, job);
        vmt_timer_start(job->timer, n * MS);
    }
}

static void on_done(void *ctx, vmt_http_exchange *x, int status, uint64_t duration_ns, uint64_t bytes_out) {
    struct seen *seen = ctx;
    atomic_store(&seen->last_status, status);
    atomic_store(&seen->bytes_out, bytes_out);
    atomic_fetch_add(&seen->num_done, 1);
}

static void start(vmt_test *t, struct seen *seen, vmt_http_config config) {
    config.on_request = handle;
    config.on_done = on_done;
    config.ctx = seen;
    *seen = (struct seen){0};
    /* The port is not known to anybody before this returns, so no handler looks at seen->server too early. */
    seen->server = test_server_start(t, &config);
}

static void wait_for(vmt_test *t, atomic_uint *count, uint32_t want) {
    for (int waited = 0; atomic_load(count) < want; waited++) {
        vmt_expect(t, waited < WAIT_MS_MAX);
        client_sleep_ms(1);
    }
    vmt_expect_eq(t, atomic_load(count), want);
}

static int ask(vmt_test *t, struct seen *seen, const char *target) {
    int fd = client_connect(t, test_server_port(seen->server));
    client_send(t, fd, vmt_arena_printf(t->arena, "GET %s HTTP/1.1\r\n" H "\r\n", target));
    return fd;
}

static void num_open(test_server *s, void *ctx) {
    *(uint32_t *)ctx = vmt_http_server_num_open(test_server_http(s));
}

/* ---- answers */

static void answers_may_come_later(vmt_test *t) {
    struct seen seen;
    start(t, &seen, test_server_config());
    int fd = client_connect(t, test_server_port(seen.server));
    client_send(t, fd,
                VMT_STR("GET /later/1?20 HTTP/1.1\r\n" H "\r\nGET /later/2?0 HTTP/1.1\r\n" H "\r\n"
                        "GET /events?2 HTTP/1.1\r\n" H "\r\nGET /later/3?1 HTTP/1.0\r\n\r\n"));
    vmt_str all = client_read_all(t, fd);
    size_t one = vmt_str_find(all, VMT_STR("late /later/1"), 0),
           two = vmt_str_find(all, VMT_STR("late /later/2"), 0);
    size_t events = vmt_str_find(all, VMT_STR("data: {\"token\":1}\n\n"), 0);
    vmt_expect(t, one < two && two < events && vmt_str_ends(all, VMT_STR("late /later/3")));
    vmt_expect_eq(t, atomic_load(&seen.num_requests), 4);
    vmt_expect_eq(t, atomic_load(&seen.num_done), 4);
    vmt_expect_eq(t, atomic_load(&seen.num_gone), 0);
    close(fd);
    test_server_stop(seen.server);
}

static void many_connections_at_once(vmt_test *t) {
    enum { NUM = 200 };
    struct seen seen;
    start(t, &seen, test_server_config());
    int fds[NUM];
    for (int i = 0; i < NUM; i++) {
        fds[i] = ask(t, &seen, vmt_arena_printf(t->arena, "/later/%d?%d", i, i % 50).ptr);
    }
    vmt_buf text, body;
    vmt_buf_init(&text, 0);
    vmt_buf_init(&body, 0);
    for (int i = NUM - 1; i >= 0; i--) {
        vmt_buf_clear(&text);
        vmt_expect_eq(t, client_read_response(t, fds[i], &text, &body), 200);
        vmt_expect_slice(t, vmt_buf_str(&body), vmt_arena_printf(t->arena, "late /later/%d", i));
    }
    for (int i = 0; i < NUM; i++) close(fds[i]);
    vmt_buf_free(&text);
    vmt_buf_free(&body);
    test_server_stop(seen.server);
}

/* All that a turn writes goes out together: the first read has it all. */
static void a_turn_is_one_write(vmt_test *t) {
    struct seen seen;
    start(t, &seen, test_server_config());
    int fd = ask(t, &seen, "/events?100");
    vmt_buf text;
    vmt_buf_init(&text, 0);
    vmt_expect(t, client_read(fd, &text, 1 << 16) > 0);
    vmt_str body = client_dechunk(t, vmt_buf_str(&text));
    vmt_expect_eq(t, client_count(body, "data: {\"token\":1}\n\n"), 100);
    vmt_expect(t, vmt_str_ends(body, VMT_STR("\n\n: ping\n\n")));
    vmt_expect_eq(t, client_count(vmt_buf_str(&text), "text/event-stream; charset=utf-8"), 1);
    vmt_buf_free(&text);
    close(fd);
    test_server_stop(seen.server);
}

/* ---- slow peers */

static void a_slow_reader_holds_the_handler(vmt_test *t) {
    vmt_http_config config = test_server_config();
    config.write_high_bytes = 50000;
    config.write_low_bytes = 10000;
    struct seen seen;
    start(t, &seen, config);
    uint64_t total = (uint64_t)24 << 20; /* more than the kernel's buffers take */
    int fd = ask(t, &seen, vmt_arena_printf(t->arena, "/fire?%llu", (unsigned long long)total).ptr);
    client_sleep_ms(200);
    uint32_t num_writable = atomic_load(&seen.num_writable);
    vmt_expect_eq(t, atomic_load(&seen.num_done), 0); /* it waits for us */
    client_send(t, fd, VMT_STR("GET /later HTTP/1.0\r\n\r\n"));
    vmt_str all = client_read_all(t, fd);
    size_t end = vmt_str_find(all, VMT_STR("0\r\n\r\nHTTP/1.1 200"), 0);
    vmt_expect(t, end != SIZE_MAX);
    vmt_expect_eq(t, client_dechunk(t, vmt_str_slice(all, 0, end + 5)).len, total);
    vmt_expect(t, atomic_load(&seen.num_writable) > num_writable);
    close(fd);
    test_server_stop(seen.server);
}

static void a_peer_that_takes_nothing_is_gone(vmt_test *t) {
    vmt_http_config config = test_server_config();
    config.write_timeout_s = 1;
    struct seen seen;
    start(t, &seen, config);
    int fd = ask(t, &seen, "/fire?100000000");
    int flooded = ask(t, &seen, "/flood?100000000"); /* far past the limit: need not wait for the timeout */
    wait_for(t, &seen.num_gone, 1);
    wait_for(t, &seen.num_done, 2);
    vmt_expect_eq(t, atomic_load(&seen.last_status), 200);
    close(fd);
    close(flooded);
    test_server_stop(seen.server);
}

/* ---- peers that leave */

static void end_by_reset(int fd) {
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
}

static void peers_that_leave_are_noticed(vmt_test *t) {
    static const char *const targets[] = {"/hold", "/ticks", "/fire?100000000"};
    struct seen seen;
    start(t, &seen, test_server_config());
    uint32_t want = 0;
    for (size_t i = 0; i < VMT_COUNT(targets); i++) {
        for (int how = 0; how < 3; how++) {
            int fd = ask(t, &seen, targets[i]);
            wait_for(t, &seen.num_requests, ++want);
            if (i > 0) {
                vmt_buf text;
                vmt_buf_init(&text, 0);
                vmt_expect(t, client_read_until(fd, &text, "\r\n\r\n"));
                vmt_buf_free(&text);
            }
            if (how == 0) close(fd);
            if (how == 1) end_by_reset(fd);
            if (how == 2) shutdown(fd, SHUT_WR);
            /* A peer that reads no more, with a full pipe, shows by its reset at the latest. */
            wait_for(t, &seen.num_gone, want);
            wait_for(t, &seen.num_done, want);
            vmt_expect_eq(t, atomic_load(&seen.last_status), i == 0 ? 499 : 200);
            if (how == 2) close(fd);
        }
    }
    uint32_t open = 1;
    test_server_call(seen.server, num_open, &open);
    vmt_expect_eq(t, open, 0);
    test_server_stop(seen.server);
}

static void a_half_close_after_the_answer_still_gets_it(vmt_test *t) {
    struct seen seen;
    start(t, &seen, test_server_config());
    int fd = client_connect(t, test_server_port(seen.server));
    client_send(t, fd, VMT_STR("GET /events?5 HTTP/1.1\r\n" H "\r\nGET /events?5 HTTP/1.1\r\n" H "\r\nGET /ev"));
    shutdown(fd, SHUT_WR);
    vmt_str all = client_read_all(t, fd);
    vmt_expect_eq(t, client_count(all, "data: {"), 10);
    vmt_expect_eq(t, client_count(all, "HTTP/1.1 200"), 2);
    close(fd);
    test_server_stop(seen.server);
}

/* ---- the end of the server */

static void drained(void *ctx) {
    struct seen *seen = ctx;
    atomic_fetch_add(&seen->num_drained, 1);
}

static void drained_destroys(void *ctx) {
    struct seen *seen = ctx;
    vmt_http_server_destroy(test_server_http(seen->server));
    test_server_forget(seen->server);
    atomic_fetch_add(&seen->num_drained, 1);
}

static void begin_drain(test_server *s, void *ctx) {
    vmt_http_server_drain(test_server_http(s), drained, ctx);
}

static void begin_drain_destroying(test_server *s, void *ctx) {
    vmt_http_server_drain(test_server_http(s), drained_destroys, ctx);
}

static void let_go(test_server *s, void *ctx) {
    struct seen *seen = ctx;
    vmt_http_exchange *x = seen->held;
    VMT_ASSERT(x);
    job_free(vmt_http_user(x));
    vmt_http_respond(x, 200, "text/plain", VMT_STR("let go"));
}

static void drain_finishes_what_has_begun(vmt_test *t) {
    struct seen seen;
    start(t, &seen, test_server_config());
    int held = ask(t, &seen, "/hold");
    wait_for(t, &seen.num_requests, 1);
    int half = client_connect(t, test_server_port(seen.server)),
        idle = client_connect(t, test_server_port(seen.server));
    client_send(t, half, VMT_STR("GET /events?1 HTTP/1.1\r\n"));
    int used = ask(t, &seen, "/events?1");
    vmt_buf text;
    vmt_buf_init(&text, 0);
    vmt_expect(t, client_read_until(used, &text, "0\r\n\r\n"));
    vmt_buf_free(&text);
    client_sleep_ms(20);
    test_server_call(seen.server, begin_drain_destroying, &seen);
    vmt_expect_eq(t, client_read_all(t, idle).len, 0);
    vmt_expect_eq(t, client_read_all(t, used).len, 0);
    client_send(t, half, VMT_STR(H "\r\n"));
    vmt_str r = client_read_all(t, half);
    vmt_expect(t, client_status(r) == 200 && client_count(r, "connection: close") == 1);
    vmt_expect_eq(t, atomic_load(&seen.num_drained), 0);
    test_server_call(seen.server, let_go, &seen);
    r = client_read_all(t, held);
    vmt_expect(t, vmt_str_ends(r, VMT_STR("let go")) && client_count(r, "connection: close") == 1);
    wait_for(t, &seen.num_drained, 1);
    close(held);
    close(half);
    close(idle);
    close(used);
    test_server_stop(seen.server);
    vmt_expect_eq(t, atomic_load(&seen.num_gone), 0);
}

static void drain_has_an_end(vmt_test *t) {
    for (uint32_t timeout_s = 0; timeout_s < 2; timeout_s++) {
        vmt_http_config config = test_server_config();
        config.drain_timeout_s = timeout_s;
        struct seen seen;
        start(t, &seen, config);
        int held = ask(t, &seen, "/hold"), ticks = ask(t, &seen, "/ticks");
        wait_for(t, &seen.num_requests, 2);
        test_server_call(seen.server, begin_drain, &seen);
        wait_for(t, &seen.num_drained, 1);
        vmt_expect_eq(t, atomic_load(&seen.num_gone), 2);
        close(held);
        close(ticks);
        test_server_stop(seen.server);
    }
    struct seen seen;
    start(t, &seen, test_server_config());
    test_server_call(seen.server, begin_drain, &seen); /* with nothing open */
    wait_for(t, &seen.num_drained, 1);
    test_server_stop(seen.server);
}

static void destroy_ends_open_exchanges(vmt_test *t) {
    struct seen seen;
    start(t, &seen, test_server_config());
    int fds[4] = {ask(t, &seen, "/hold"), ask(t, &seen, "/ticks"), ask(t, &seen, "/fire?100000000"),
                  client_connect(t, test_server_port(seen.server))};
    client_send(t, fds[3], VMT_STR("POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nab"));
    wait_for(t, &seen.num_requests, 3);
    client_sleep_ms(20);
    test_server_stop(seen.server);
    vmt_expect_eq(t, atomic_load(&seen.num_gone), 3);
    for (int i = 0; i < 4; i++) close(fds[i]);
}

/* ---- TLS */

static void make_certificate(vmt_test *t, const char *cert_path, const char *key_path) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    vmt_expect(t, key && cert);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME *name = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    vmt_expect(t, X509_sign(cert, key, EVP_sha256()) > 0);
    FILE *file = fopen(cert_path, "w");
    vmt_expect(t, file && PEM_write_X509(file, cert) == 1 && fclose(file) == 0);
    file = fopen(key_path, "w");
    vmt_expect(t, file && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(file) == 0);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static SSL *tls_connect(vmt_test *t, SSL_CTX *tls, uint16_t port) {
    SSL *ssl = SSL_new(tls);
    vmt_expect(t, ssl && SSL_set_fd(ssl, client_connect(t, port)) == 1);
    vmt_expect_eq(t, SSL_connect(ssl), 1);
    return ssl;
}

static void tls_close(SSL *ssl) {
    int fd = SSL_get_fd(ssl);
    SSL_free(ssl);
    close(fd);
}

static vmt_str tls_talk(vmt_test *t, SSL_CTX *tls, uint16_t port, vmt_str request) {
    SSL *ssl = tls_connect(t, tls, port);
    vmt_expect_eq(t, SSL_write(ssl, request.ptr, (int)request.len), request.len);
    vmt_buf text;
    vmt_buf_init(&text, 0);
    for (;;) {
        vmt_expect(t, vmt_buf_reserve(&text, 1 << 16));
        int got = SSL_read(ssl, text.ptr + text.len, 1 << 16);
        if (got <= 0) {
            vmt_expect_eq(t, SSL_get_error(ssl, got), SSL_ERROR_ZERO_RETURN); /* the server said goodbye */
            break;
        }
        text.len += (size_t)got;
    }
    vmt_str copy = vmt_arena_dup(t->arena, vmt_buf_str(&text));
    vmt_buf_free(&text);
    tls_close(ssl);
    return copy;
}

static void serves_tls(vmt_test *t) {
    char dir[] = "/tmp/vmetal_tls_XXXXXX";
    vmt_expect(t, mkdtemp(dir) != NULL);
    const char *cert = vmt_arena_printf(t->arena, "%s/cert.pem", dir).ptr;
    const char *key = vmt_arena_printf(t->arena, "%s/key.pem", dir).ptr;
    make_certificate(t, cert, key);
    vmt_http_config config = test_server_config();
    config.ssl_cert_file = vmt_str_from(cert);
    config.ssl_key_file = vmt_str_from(key);
    config.write_high_bytes = 50000;
    config.write_low_bytes = 10000;
    struct seen seen;
    start(t, &seen, config);
    uint16_t port = test_server_port(seen.server);
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    vmt_str r = tls_talk(t, tls, port,
                         VMT_STR("GET /later/x?5 HTTP/1.1\r\n" H "\r\nGET /events?3 HTTP/1.1\r\n" H "\r\n"
                                 "GET /fire?5000000 HTTP/1.1\r\n" H "Connection: close\r\n\r\n"));
    vmt_expect_eq(t, client_count(r, "HTTP/1.1 200 OK"), 3);
    vmt_expect_eq(t, client_count(r, "data: {"), 3);
    size_t last = vmt_str_find(r, VMT_STR("HTTP/1.1 200"), vmt_str_find(r, VMT_STR("data: {"), 0));
    vmt_expect_eq(t, client_dechunk(t, vmt_str_slice(r, last, r.len)).len, 5000000);
    r = tls_talk(t, tls, port, VMT_STR("GET / HTTP/1.1\r\n\r\n"));
    vmt_expect_eq(t, client_status(r), 400);
    /* A client that vanishes, and one that speaks no TLS. */
    SSL *gone = tls_connect(t, tls, port);
    uint32_t num_requests = atomic_load(&seen.num_requests);
    vmt_expect(t, SSL_write(gone, "GET /ticks HTTP/1.1\r\n" H "\r\n", 32) == 32);
    wait_for(t, &seen.num_requests, num_requests + 1);
    tls_close(gone);
    wait_for(t, &seen.num_gone, 1);
    int plain = client_connect(t, port);
    client_send(t, plain, VMT_STR("GET / HTTP/1.1\r\n" H "\r\n"));
    vmt_buf text;
    vmt_buf_init(&text, 0);
    while (client_read(plain, &text, 1000) > 0) {}
    vmt_expect_eq(t, client_status(vmt_buf_str(&text)), 0);
    vmt_buf_free(&text);
    close(plain);
    SSL_CTX_free(tls);
    test_server_stop(seen.server);
    unlink(cert);
    unlink(key);
    rmdir(dir);
}

static const vmt_test_case cases[] = {
    {"answers_may_come_later", answers_may_come_later},
    {"many_connections_at_once", many_connections_at_once},
    {"a_turn_is_one_write", a_turn_is_one_write},
    {"a_slow_reader_holds_the_handler", a_slow_reader_holds_the_handler},
    {"a_peer_that_takes_nothing_is_gone", a_peer_that_takes_nothing_is_gone},
    {"peers_that_leave_are_noticed", peers_that_leave_are_noticed},
    {"a_half_close_after_the_answer_still_gets_it", a_half_close_after_the_answer_still_gets_it},
    {"drain_finishes_what_has_begun", drain_finishes_what_has_begun},
    {"drain_has_an_end", drain_has_an_end},
    {"destroy_ends_open_exchanges", destroy_ends_open_exchanges},
    {"serves_tls", serves_tls},
    {0},
};

VMT_TEST_MAIN(cases)
