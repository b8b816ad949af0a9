/* The server over real sockets: framing, keep-alive, limits, timeouts.  Lifetimes are in server_life_test.c. */
#include "base/rng.h"
#include "base/test.h"
#include "http/test_server.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define H "Host: a\r\n"

static void echo(vmt_http_exchange *x) {
    vmt_buf text;
    vmt_buf_init(&text, 0);
    vmt_str method = vmt_http_method(x), path = vmt_http_path(x), query = vmt_http_query(x);
    vmt_buf_printf(&text, "%.*s %.*s?%.*s ", VMT_STR_ARG(method), VMT_STR_ARG(path), VMT_STR_ARG(query));
    vmt_buf_append(&text, vmt_http_body(x));
    vmt_http_respond(x, 200, "text/plain", vmt_buf_str(&text));
    vmt_buf_free(&text);
}

static void add_headers(vmt_http_exchange *x) {
    vmt_http_add_header(x, "x-good", VMT_STR("yes"));
    vmt_http_add_header(x, "x-split", VMT_STR("a\r\nx-evil: 1"));
    vmt_http_add_header(x, "x-nul", (vmt_str){"a\0b", 3});
    vmt_http_add_header(x, "bad name", VMT_STR("b"));
    if (vmt_str_eq(vmt_http_query(x), VMT_STR("close"))) vmt_http_add_header(x, "connection", VMT_STR("close"));
    vmt_http_respond(x, 404, NULL, (vmt_str){0});
}

/* /big?N, /events?N, /none, /headers, and everything else is echoed. */
static void handle(void *ctx, vmt_http_exchange *x) {
    vmt_str path = vmt_http_path(x), query = vmt_http_query(x);
    uint64_t n = 0;
    (void)vmt_str_to_u64(query, &n);
    if (vmt_str_eq(path, VMT_STR("/none"))) {
        vmt_http_respond(x, 204, NULL, (vmt_str){0});
    } else if (vmt_str_eq(path, VMT_STR("/headers"))) {
        add_headers(x);
    } else if (vmt_str_eq(path, VMT_STR("/big"))) {
        char *body = malloc(n + 1);
        VMT_ASSERT(body);
        memset(body, 'b', n);
        vmt_http_respond(x, 200, "text/plain", (vmt_str){body, n});
        free(body);
    } else if (vmt_str_eq(path, VMT_STR("/events"))) {
        vmt_http_stream_begin(x, 200, "text/plain");
        for (uint64_t i = 0; i < n; i++) vmt_http_stream_write(x, VMT_STR("event\n"));
        vmt_http_stream_end(x);
    } else {
        echo(x);
    }
}

static void json_error(void *ctx, const vmt_http_exchange *x, int status, vmt_str message, vmt_buf *out) {
    vmt_buf_printf(out, "{\"error\":{\"code\":%d,\"message\":\"%.*s\"}}", status, VMT_STR_ARG(message));
}

static vmt_http_config base_config(void) {
    vmt_http_config config = test_server_config();
    config.on_request = handle;
    config.error_body = json_error;
    return config;
}

/* The next response on a connection: status, and body against want unless that is NULL. */
static void expect_response(vmt_test *t, int fd, vmt_buf *text, int status, const char *want) {
    vmt_buf body;
    vmt_buf_init(&body, 0);
    int got = client_read_response(t, fd, text, &body);
    vmt_str copy = vmt_arena_dup(t->arena, vmt_buf_str(&body));
    vmt_buf_free(&body);
    vmt_expect_eq(t, got, status);
    if (want) vmt_expect_slice(t, copy, vmt_str_from(want));
}

/* ---- framing */

/* Each is refused with one response, and the connection closes although more was pipelined behind it. */
static void bad_framing_is_refused_once(vmt_test *t) {
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", 400},
        {"GET / HTTP/1.1\nHost: a\n\n", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\n", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 99999999999\r\n\r\n", 413},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Expect: the-unexpected\r\nContent-Length: 1\r\n\r\na", 417},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\n" H "\r\n", 505},
        {"\x16\x03\x01\x02\x01", 400},
        {"hello\r\n\r\n", 400},
    };
    vmt_http_config config = base_config();
    test_server *s = test_server_start(t, &config);
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        vmt_str request = vmt_arena_printf(t->arena, "%sGET /behind HTTP/1.1\r\n" H "\r\n", cases[i].text);
        vmt_str response = client_talk(t, test_server_port(s), request);
        bool is_right = client_status(response) == cases[i].status && client_count(response, "date: ") == 1 &&
                        client_count(response, "connection: close\r\n") == 1 &&
                        client_count(response, "application/json") == 1 && client_count(response, "\"code\"") == 1;
        if (!is_right) vmt_test_fail(t, __FILE__, __LINE__, "%s\n gave %s", cases[i].text, response.ptr);
    }
    test_server_stop(s);
}

/* What a body holds is never read as a request. */
static void bodies_are_not_requests(vmt_test *t) {
    static const char inner[] = "GET /inner HTTP/1.1\r\nHost: a\r\n\r\n"; /* 34 = 0x22 bytes */
    vmt_http_config config = base_config();
    test_server *s = test_server_start(t, &config);
    int fd = client_connect(t, test_server_port(s));
    vmt_buf text;
    vmt_buf_init(&text, 0);
    client_send(t, fd,
                vmt_arena_printf(t->arena,
                                 "POST /1 HTTP/1.1\r\n" H "Content-Length: %zu\r\n\r\n%s"
                                 "\r\n\r\nPOST /2 HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
                                 "%zx;ext=1\r\n%s\r\n0\r\nTrailer: GET /t HTTP/1.1\r\n\r\n"
                                 "GET /3 HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n",
                                 sizeof inner - 1, inner, sizeof inner - 1, inner));
    expect_response(t, fd, &text, 200, "POST /1? GET /inner HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_response(t, fd, &text, 200, "POST /2? GET /inner HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_response(t, fd, &text, 200, "GET /3? ");
    vmt_expect_eq(t, text.len, 0);
    close(fd);
    vmt_buf_free(&text);
    test_server_stop(s);
}

static void bytes_may_come_one_by_one(vmt_test *t) {
    static const char request[] = "POST /a%20b?q HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
                                  "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX: y\r\n\r\n";
    vmt_http_config config = base_config();
    test_server *s = test_server_start(t, &config);
    int fd = client_connect(t, test_server_port(s));
    for (size_t i = 0; i + 1 < sizeof request; i++) client_send(t, fd, (vmt_str){request + i, 1});
    vmt_buf text;
    vmt_buf_init(&text, 0);
    expect_response(t, fd, &text, 200, "POST /a b?q hello world");
    vmt_buf_free(&text);
    close(fd);
    test_server_stop(s);
}

static void pipelined_requests_are_answered_in_order(vmt_test *t) {
    vmt_http_config config = base_config();
    config.write_low_bytes = 512; /* the server must stop and go on in the midst of them */
    test_server *s = test_server_start(t, &config);
    int fd = client_connect(t, test_server_port(s));
    vmt_buf requests, text;
    vmt_buf_init(&requests, 0);
    vmt_buf_init(&text, 0);
    for (int i = 0; i < 3000; i++)
        vmt_buf_printf(&requests, "POST /%d HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nab", i);
    client_send(t, fd, vmt_buf_str(&requests));
    for (int i = 0; i < 3000; i++) {
        expect_response(t, fd, &text, 200, vmt_arena_printf(t->arena, "POST /%d? ab", i).ptr);
    }
    vmt_buf_free(&requests);
    vmt_buf_free(&text);
    close(fd);
    test_server_stop(s);
}

static void versions_and_methods(vmt_test *t) {
    vmt_http_config config = base_config();
    test_server *s = test_server_start(t, &config);
    uint16_t port = test_server_port(s);
    /* HTTP/1.0: closes; streams have no chunks. */
    vmt_str r = client_talk(t, port, VMT_STR("GET /x HTTP/1.0\r\n\r\n"));
    vmt_expect(t, client_status(r) == 200 && client_count(r, "connection: close") == 1);
    r = client_talk(t, port, VMT_STR("GET /events?3 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    vmt_expect(t, vmt_str_ends(r, VMT_STR("\r\n\r\nevent\nevent\nevent\n")));
    vmt_expect_eq(t, client_count(r, "chunked"), 0);
    vmt_expect_eq(t, client_count(r, "connection: close"), 1);
    r = client_talk(t, port, VMT_STR("GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /y HTTP/1.0\r\n\r\n"));
    vmt_expect_eq(t, client_count(r, "HTTP/1.1 200 OK"), 2);
    vmt_expect_eq(t, client_count(r, "connection: keep-alive"), 1);
    /* HEAD: the length of what GET would say, and nothing of it; also for streams. */
    r = client_talk(t, port,
                    VMT_STR("HEAD /big?77 HTTP/1.1\r\n" H "\r\nHEAD /events?2 HTTP/1.1\r\n" H "\r\n"
                            "GET /last HTTP/1.1\r\n" H "Connection: close\r\n\r\n"));
    vmt_expect_eq(t, client_count(r, "content-length: 77\r\n"), 1);
    vmt_expect(t, client_count(r, "bbb") == 0 && client_count(r, "event\n") == 0);
    vmt_expect_eq(t, client_count(r, "\r\n\r\nHTTP/1.1 "), 2);
    vmt_expect(t, vmt_str_ends(r, VMT_STR("\r\n\r\nGET /last? ")));
    /* Nothing after "close" is served. */
    r = client_talk(t, port,
                    VMT_STR("GET /x HTTP/1.1\r\n" H "Connection: close\r\n\r\nGET /y HTTP/1.1\r\n" H "\r\n"));
    vmt_expect_eq(t, client_count(r, "HTTP/1.1 "), 1);
    /* 204 has neither length nor type. */
    r = client_talk(t, port, VMT_STR("GET /none HTTP/1.1\r\n" H "Connection: close\r\n\r\n"));
    vmt_expect(t, client_status(r) == 204 && client_count(r, "content-") == 0);
    vmt_expect_eq(t, client_count(r, "date: "), 1);
    r = client_talk(t, port, VMT_STR("GET /headers?close HTTP/1.1\r\n" H "\r\n"));
    vmt_expect(t, client_status(r) == 404 && client_count(r, "x-good: yes\r\n") == 1);
    vmt_expect(t, client_count(r, "evil") + client_count(r, "x-nul") + client_count(r, "bad name") == 0);
    vmt_expect_eq(t, client_count(r, "content-length: 0"), 1);
    test_server_stop(s);
}

static void continues_when_expected(vmt_test *t) {
    vmt_http_config config = base_config();
    config.body_bytes_max = 10;
    test_server *s = test_server_start(t, &config);
    int fd = client_connect(t, test_server_port(s));
    vmt_buf text;
    vmt_buf_init(&text, 0);
    client_send(t, fd, VMT_STR("POST / HTTP/1.1\r\n" H "Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n"));
    vmt_expect(t, client_read_until(fd, &text, "\r\n\r\n"));
    vmt_expect_slice(t, vmt_buf_str(&text), VMT_STR("HTTP/1.1 100 Continue\r\n\r\n"));
    vmt_buf_clear(&text);
    client_send(t, fd, VMT_STR("hello"));
    expect_response(t, fd, &text, 200, "POST /? hello");
    /* The body is there already: no need to say so. */
    client_send(t, fd, VMT_STR("POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nagain"));
    expect_response(t, fd, &text, 200, "POST /? again");
    /* Too large: refused instead. */
    client_send(t, fd, VMT_STR("POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 11\r\n\r\n"));
    expect_response(t, fd, &text, 413, NULL);
    close(fd);
    vmt_buf_free(&text);
    test_server_stop(s);
}

/* ---- limits */

static vmt_str filler(vmt_test *t, size_t len) {
    char *text = vmt_arena_alloc(t->arena, len + 1);
    memset(text, 'x', len);
    text[len] = 0;
    return (vmt_str){text, len};
}

static void limits_have_their_status(vmt_test *t) {
    vmt_http_config config = base_config();
    config.header_bytes_max = 1000;
    config.header_count_max = 10;
    config.body_bytes_max = 100000;
    config.bodies_bytes_max = 60000;
    test_server *s = test_server_start(t, &config);
    uint16_t port = test_server_port(s);
    const char *x1000 = filler(t, 1000).ptr;
    vmt_str r = client_talk(t, port, vmt_arena_printf(t->arena, "GET /%s HTTP/1.1\r\n" H "\r\n", x1000));
    vmt_expect_eq(t, client_status(r), 431);
    r = client_talk(t, port, vmt_arena_printf(t->arena, "GET / HTTP/1.1\r\n" H "X: %s\r\n\r\n", x1000));
    vmt_expect_eq(t, client_status(r), 431);
    r = client_talk(
        t, port,
        VMT_STR("GET / HTTP/1.1\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\n" H "\r\n"));
    vmt_expect_eq(t, client_status(r), 431);
    r = client_talk(t, port, VMT_STR("POST / HTTP/1.1\r\n" H "Content-Length: 100001\r\n\r\n"));
    vmt_expect_eq(t, client_status(r), 413);
    r = client_talk(t, port,
                    vmt_arena_printf(t->arena,
                                     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
                                     "7530\r\n%s\r\n7530\r\n%s\r\n1\r\na\r\n0\r\n\r\n",
                                     filler(t, 0x7530).ptr, filler(t, 0x7530).ptr));
    vmt_expect_eq(t, client_status(r), 503); /* 30,000 twice and one: over what all bodies may have */
    r = client_talk(
        t, port,
        vmt_arena_printf(t->arena, "POST / HTTP/1.0\r\nContent-Length: 60000\r\n\r\n%s", filler(t, 60000).ptr));
    vmt_expect_eq(t, client_status(r), 200);
    test_server_stop(s);

    config.bodies_bytes_max = (uint64_t)1 << 20;
    s = test_server_start(t, &config);
    r = client_talk(t, test_server_port(s),
                    vmt_arena_printf(t->arena,
                                     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
                                     "186a0\r\n%s\r\n1\r\na\r\n0\r\n\r\n",
                                     filler(t, 100000).ptr));
    vmt_expect_eq(t, client_status(r), 413);
    test_server_stop(s);
}

static void too_many_connections(vmt_test *t) {
    vmt_http_config config = base_config();
    config.connections_max = 3;
    test_server *s = test_server_start(t, &config);
    uint16_t port = test_server_port(s);
    int fds[3];
    vmt_buf text;
    vmt_buf_init(&text, 0);
    for (int i = 0; i < 3; i++) {
        fds[i] = client_connect(t, port);
        client_send(t, fds[i], VMT_STR("GET / HTTP/1.1\r\n" H "\r\n"));
        expect_response(t, fds[i], &text, 200, NULL);
    }
    vmt_str r = client_talk(t, port, VMT_STR("GET / HTTP/1.1\r\n" H "\r\n"));
    vmt_expect(t, client_status(r) == 503 && client_count(r, "too many connections") == 1);
    for (int i = 0; i < 3; i++) close(fds[i]);
    do {
        client_sleep_ms(5);
        r = client_talk(t, port, VMT_STR("GET / HTTP/1.0\r\n\r\n"));
    } while (client_status(r) == 503);
    vmt_expect_eq(t, client_status(r), 200);
    vmt_buf_free(&text);
    test_server_stop(s);
}

static void slow_requests_time_out(vmt_test *t) {
    vmt_http_config config = base_config();
    config.request_timeout_s = 1;
    config.keep_alive_timeout_s = 1;
    test_server *s = test_server_start(t, &config);
    uint16_t port = test_server_port(s);
    int silent = client_connect(t, port), idle = client_connect(t, port), body = client_connect(t, port);
    vmt_buf text;
    vmt_buf_init(&text, 0);
    client_send(t, idle, VMT_STR("GET / HTTP/1.1\r\n" H "\r\n"));
    expect_response(t, idle, &text, 200, NULL);
    client_send(t, body, VMT_STR("POST / HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\nabc"));
    /* A byte now and then does not help: the time runs from the first. */
    int loris = client_connect(t, port);
    static const char request[] = "GET / HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for (size_t i = 0; i < 13; i++) {
        client_send(t, loris, (vmt_str){request + i, 1});
        client_sleep_ms(100);
    }
    vmt_expect_eq(t, client_status(client_read_all(t, loris)), 408);
    vmt_expect_eq(t, client_status(client_read_all(t, body)), 408);
    vmt_expect_eq(t, client_read_all(t, silent).len, 0);
    vmt_expect_eq(t, client_read_all(t, idle).len, 0);
    close(silent);
    close(idle);
    close(body);
    close(loris);
    vmt_buf_free(&text);
    test_server_stop(s);
}

static void big_bodies_both_ways(vmt_test *t) {
    vmt_http_config config = base_config();
    test_server *s = test_server_start(t, &config);
    size_t len = (size_t)16 << 20;
    char *body = malloc(len);
    vmt_expect(t, body != NULL);
    uint64_t rng = t->seed;
    for (size_t i = 0; i < len; i++) body[i] = (char)vmt_splitmix64(&rng);
    int fd = client_connect(t, test_server_port(s));
    vmt_buf text, got;
    vmt_buf_init(&text, 0);
    vmt_buf_init(&got, 0);
    client_send(t, fd, vmt_arena_printf(t->arena, "POST /b HTTP/1.1\r\n" H "Content-Length: %zu\r\n\r\n", len));
    client_send(t, fd, (vmt_str){body, len});
    vmt_expect_eq(t, client_read_response(t, fd, &text, &got), 200);
    vmt_expect_eq(t, got.len, len + 9);
    vmt_expect(t, memcmp(got.ptr + 9, body, len) == 0);
    close(fd);
    free(body);
    vmt_buf_free(&text);
    vmt_buf_free(&got);
    test_server_stop(s);
}

/* ---- listening */

static void unix_sockets(vmt_test *t) {
    char dir[] = "/tmp/vmetal_http_XXXXXX";
    vmt_expect(t, mkdtemp(dir) != NULL);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/s", dir);
    vmt_http_config config = base_config();
    config.uds = vmt_str_from(address.sun_path);

    vmt_loop *loop;
    vmt_http_server *server;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_loop_create(&loop, &err), VMT_OK);
    int file = open(address.sun_path, O_CREAT | O_WRONLY, 0600);
    close(file);
    vmt_expect_eq(t, vmt_http_server_create(&server, loop, &config, &err), VMT_E_INVALID);
    vmt_expect(t, vmt_str_find(vmt_str_from(err.msg), VMT_STR("is not a socket"), 0) != SIZE_MAX);
    unlink(address.sun_path);

    /* A stale socket: bound once, and its owner is gone. */
    int stale = socket(AF_UNIX, SOCK_STREAM, 0);
    vmt_expect_eq(t, bind(stale, (struct sockaddr *)&address, sizeof address), 0);
    close(stale);
    test_server *s = test_server_start(t, &config);
    struct stat info;
    vmt_expect_eq(t, stat(address.sun_path, &info), 0);
    vmt_expect_eq(t, info.st_mode & 0777, 0660);
    err = (vmt_err){0};
    vmt_expect_eq(t, vmt_http_server_create(&server, loop, &config, &err), VMT_E_IO); /* it is served */
    vmt_loop_destroy(loop);

    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    vmt_expect_eq(t, connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    client_send(t, fd, VMT_STR("GET /u HTTP/1.0\r\n\r\n"));
    vmt_expect(t, vmt_str_ends(client_read_all(t, fd), VMT_STR("GET /u? ")));
    close(fd);
    test_server_stop(s);
    vmt_expect(t, lstat(address.sun_path, &info) != 0);
    rmdir(dir);
}

static void addresses(vmt_test *t) {
    static const char *const good[] = {"", "127.0.0.1", "localhost", "0.0.0.0", "::", "::1"};
    vmt_loop *loop;
    vmt_expect_eq(t, vmt_loop_create(&loop, NULL), VMT_OK);
    for (size_t i = 0; i < VMT_COUNT(good); i++) {
        vmt_http_config config = base_config();
        config.host = vmt_str_from(good[i]);
        vmt_http_server *server;
        vmt_err err = {0};
        vmt_status status = vmt_http_server_create(&server, loop, &config, &err);
        if (status != VMT_OK && strchr(good[i], ':')) continue; /* a machine without IPv6 */
        vmt_expect_str(t, err.msg, "");
        vmt_expect(t, vmt_http_server_port(server) != 0);
        /* The port is taken now. */
        config.port = vmt_http_server_port(server);
        vmt_http_server *second;
        vmt_expect_eq(t, vmt_http_server_create(&second, loop, &config, &err), VMT_E_IO);
        vmt_expect(t, strstr(err.msg, "cannot listen on") && strstr(err.msg, "in use"));
        vmt_http_server_destroy(server);
    }
    vmt_http_config config = base_config();
    config.host = VMT_STR("no such host");
    vmt_http_server *server;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_http_server_create(&server, loop, &config, &err), VMT_E_INVALID);
    vmt_expect(t, strstr(err.msg, "'no such host'") != NULL);
    config.ssl_cert_file = VMT_STR("/nonexistent.pem");
    err = (vmt_err){0};
    vmt_expect_eq(t, vmt_http_server_create(&server, loop, &config, &err), VMT_E_INVALID);
    config.ssl_key_file = config.ssl_cert_file;
    err = (vmt_err){0};
    vmt_expect_eq(t, vmt_http_server_create(&server, loop, &config, &err), VMT_E_INVALID);
    vmt_expect(t, strstr(err.msg, "/nonexistent.pem") != NULL);
    vmt_loop_destroy(loop);
}

/* Out of descriptors: connections wait in the backlog and are served when there are some again. */
static void a_lack_of_descriptors_passes(vmt_test *t) {
    vmt_http_config config = base_config();
    test_server *s = test_server_start(t, &config);
    struct rlimit before;
    vmt_expect_eq(t, getrlimit(RLIMIT_NOFILE, &before), 0);
    int fds[8];
    for (int i = 0; i < 8; i++) fds[i] = client_connect(t, test_server_port(s));
    client_sleep_ms(50); /* all accepted */
    int last = dup(fds[0]);
    int waiting = socket(AF_INET, SOCK_STREAM, 0);
    struct rlimit tight = {.rlim_cur = (rlim_t)waiting + 1, .rlim_max = before.rlim_max};
    close(last);
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    vmt_expect_eq(t, getpeername(fds[0], (struct sockaddr *)&address, &len), 0);
    int filler_fds[64], num_fillers = 0;
    vmt_expect_eq(t, setrlimit(RLIMIT_NOFILE, &tight), 0);
    for (int fd; num_fillers < 64 && (fd = dup(fds[0])) >= 0;) filler_fds[num_fillers++] = fd;
    vmt_expect_eq(t, connect(waiting, (struct sockaddr *)&address, len), 0);
    client_send(t, waiting, VMT_STR("GET /w HTTP/1.0\r\n\r\n"));
    client_sleep_ms(250); /* several pauses */
    vmt_expect_eq(t, setrlimit(RLIMIT_NOFILE, &before), 0);
    vmt_expect_eq(t, client_status(client_read_all(t, waiting)), 200);
    for (int i = 0; i < num_fillers; i++) close(filler_fds[i]);
    for (int i = 0; i < 8; i++) close(fds[i]);
    close(waiting);
    test_server_stop(s);
}

/* ---- anything at all */

static void mutate(uint64_t *rng, char *text, size_t len) {
    static const char spice[] = "\r\n\r\n :;\t%/?,0123459afxGH\x00\x7f\xff";
    for (uint64_t n = vmt_splitmix64(rng) % 5; n > 0; n--) {
        text[vmt_splitmix64(rng) % len] = spice[vmt_splitmix64(rng) % (sizeof spice - 1)];
    }
}

static void random_requests_do_no_harm(vmt_test *t) {
    static const char *const seeds[] = {
        "GET /x?y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /z HTTP/1.0\r\n\r\n",
        "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello worldGET /n HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: x\r\n\r\n",
        "HEAD /events?3 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    };
    vmt_http_config config = base_config();
    config.header_bytes_max = 200;
    config.body_bytes_max = 64;
    test_server *s = test_server_start(t, &config);
    uint64_t rng = t->seed;
    for (int round = 0; round < 1500; round++) {
        char text[256];
        const char *seed = seeds[vmt_splitmix64(&rng) % VMT_COUNT(seeds)];
        size_t len = strlen(seed);
        memcpy(text, seed, len);
        mutate(&rng, text, len);
        int fd = client_connect(t, test_server_port(s));
        size_t cut = vmt_splitmix64(&rng) % len;
        client_send(t, fd, (vmt_str){text, cut});
        client_send(t, fd, (vmt_str){text + cut, len - cut});
        if (vmt_splitmix64(&rng) % 4) {
            shutdown(fd, SHUT_WR);
            vmt_str response = client_read_all(t, fd);
            vmt_expect(t, response.len == 0 || client_status(response) >= 100);
        }
        close(fd);
    }
    vmt_expect_eq(t, client_status(client_talk(t, test_server_port(s), VMT_STR("GET / HTTP/1.0\r\n\r\n"))), 200);
    test_server_stop(s);
}

static const vmt_test_case cases[] = {
    {"bad_framing_is_refused_once", bad_framing_is_refused_once},
    {"bodies_are_not_requests", bodies_are_not_requests},
    {"bytes_may_come_one_by_one", bytes_may_come_one_by_one},
    {"pipelined_requests_are_answered_in_order", pipelined_requests_are_answered_in_order},
    {"versions_and_methods", versions_and_methods},
    {"continues_when_expected", continues_when_expected},
    {"limits_have_their_status", limits_have_their_status},
    {"too_many_connections", too_many_connections},
    {"slow_requests_time_out", slow_requests_time_out},
    {"big_bodies_both_ways", big_bodies_both_ways},
    {"unix_sockets", unix_sockets},
    {"addresses", addresses},
    {"a_lack_of_descriptors_passes", a_lack_of_descriptors_passes},
    {"random_requests_do_no_harm", random_requests_do_no_harm},
    {0},
};

VMT_TEST_MAIN(cases)
