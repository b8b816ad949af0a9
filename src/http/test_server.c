#include "http/test_server.h"
#include "http/chunked.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define CLIENT_WAIT_S 20

struct test_server {
    vmt_loop *loop;
    vmt_http_server *http;
    vmt_waker *door;
    pthread_t thread;
    uint16_t port;

    pthread_mutex_t lock;
    pthread_cond_t done;
    void (*fn)(test_server *s, void *ctx); /* under lock; NULL: done */
    void *ctx;
};

static void run_call(void *arg) {
    test_server *s = arg;
    pthread_mutex_lock(&s->lock);
    if (s->fn) s->fn(s, s->ctx);
    s->fn = NULL;
    pthread_cond_broadcast(&s->done);
    pthread_mutex_unlock(&s->lock);
}

void test_server_call(test_server *s, void (*fn)(test_server *s, void *ctx), void *ctx) {
    pthread_mutex_lock(&s->lock);
    s->fn = fn;
    s->ctx = ctx;
    vmt_waker_wake(s->door);
    while (s->fn) pthread_cond_wait(&s->done, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static void *run_loop(void *arg) {
    test_server *s = arg;
    VMT_ASSERT(vmt_loop_run(s->loop, NULL) == VMT_OK);
    return NULL;
}

vmt_http_config test_server_config(void) {
    vmt_http_config config = vmt_http_config_default();
    config.port = 0;
    return config;
}

test_server *test_server_start(vmt_test *t, const vmt_http_config *config) {
    test_server *s = calloc(1, sizeof *s);
    VMT_ASSERT(s != NULL);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->done, NULL);
    vmt_err err = {0};
    if (vmt_loop_create(&s->loop, &err) || vmt_http_server_create(&s->http, s->loop, config, &err)) {
        vmt_test_fail(t, __FILE__, __LINE__, "%s", err.msg);
    }
    s->port = vmt_http_server_port(s->http);
    s->door = vmt_waker_create(s->loop, run_call, s);
    VMT_ASSERT(s->door != NULL);
    VMT_ASSERT(pthread_create(&s->thread, NULL, run_loop, s) == 0);
    return s;
}

static void end_server(test_server *s, void *ctx) {
    vmt_http_server_destroy(s->http);
    vmt_loop_stop(s->loop);
}

void test_server_stop(test_server *s) {
    test_server_call(s, end_server, NULL);
    pthread_join(s->thread, NULL);
    vmt_waker_destroy(s->door);
    vmt_loop_destroy(s->loop);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->done);
    free(s);
}

void test_server_forget(test_server *s) {
    s->http = NULL;
}

vmt_http_server *test_server_http(test_server *s) {
    return s->http;
}

vmt_loop *test_server_loop(test_server *s) {
    return s->loop;
}

uint16_t test_server_port(const test_server *s) {
    return s->port;
}

/* ---- the client */

int client_connect(vmt_test *t, uint16_t port) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    vmt_expect(t, fd >= 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct timeval wait = {.tv_sec = CLIENT_WAIT_S};
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    vmt_expect_eq(t, connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

void client_send(vmt_test *t, int fd, vmt_str bytes) {
    /* A server that has refused may close while we still send: the response is what counts. */
    while (bytes.len > 0) {
        ssize_t put = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0 && (errno == EPIPE || errno == ECONNRESET)) return;
        vmt_expect(t, put > 0);
        bytes = vmt_str_slice(bytes, (size_t)put, bytes.len);
    }
}

int client_read(int fd, vmt_buf *out, size_t max) {
    VMT_ASSERT(vmt_buf_reserve(out, max));
    ssize_t got;
    do got = recv(fd, out->ptr + out->len, max, 0);
    while (got < 0 && errno == EINTR);
    if (got > 0) out->len += (size_t)got;
    return got < 0 ? -1 : (int)got;
}

vmt_str client_read_all(vmt_test *t, int fd) {
    vmt_buf text;
    vmt_buf_init(&text, 0);
    int got;
    do got = client_read(fd, &text, 1 << 16);
    while (got > 0);
    if (got < 0) {
        vmt_buf_free(&text);
        vmt_test_fail(t, __FILE__, __LINE__, "the server did not close: %s", strerror(errno));
    }
    vmt_str copy = vmt_arena_dup(t->arena, vmt_buf_str(&text));
    vmt_buf_free(&text);
    return copy;
}

bool client_read_until(int fd, vmt_buf *text, const char *needle) {
    while (vmt_str_find(vmt_buf_str(text), vmt_str_from(needle), 0) == SIZE_MAX) {
        if (client_read(fd, text, 1 << 16) <= 0) return false;
    }
    return true;
}

int client_read_response(vmt_test *t, int fd, vmt_buf *text, vmt_buf *body) {
    vmt_expect(t, client_read_until(fd, text, "\r\n\r\n"));
    vmt_str all = vmt_buf_str(text);
    size_t head_len = vmt_str_find(all, VMT_STR("\r\n\r\n"), 0) + 4;
    int status = client_status(all);
    vmt_str name = VMT_STR("content-length: ");
    size_t at = vmt_str_find(vmt_str_slice(all, 0, head_len), name, 0);
    size_t len = 0;
    if (at != SIZE_MAX) len = strtoul(text->ptr + at + name.len, NULL, 10);
    while (text->len < head_len + len) vmt_expect(t, client_read(fd, text, 1 << 16) > 0);
    vmt_buf_clear(body);
    vmt_buf_append(body, vmt_str_slice(vmt_buf_str(text), head_len, head_len + len));
    vmt_buf_drop_front(text, head_len + len);
    return status;
}

vmt_str client_talk(vmt_test *t, uint16_t port, vmt_str request) {
    int fd = client_connect(t, port);
    client_send(t, fd, request);
    vmt_str response = client_read_all(t, fd);
    close(fd);
    return response;
}

int client_status(vmt_str response) {
    if (!vmt_str_starts(response, VMT_STR("HTTP/1.1 ")) || response.len < 12) return 0;
    return (int)strtol(response.ptr + 9, NULL, 10);
}

vmt_str client_dechunk(vmt_test *t, vmt_str response) {
    size_t head_end = vmt_str_find(response, VMT_STR("\r\n\r\n"), 0);
    vmt_expect(t, head_end != SIZE_MAX);
    vmt_str in = vmt_str_slice(response, head_end + 4, response.len);
    vmt_buf body;
    vmt_buf_init(&body, 0);
    vmt_chunked c = {0};
    vmt_chunked_result result = VMT_CHUNKED_DATA;
    while (result == VMT_CHUNKED_DATA) {
        size_t used = 0;
        vmt_str data;
        result = vmt_chunked_next(&c, in, &used, &data);
        vmt_buf_append(&body, data);
        in = vmt_str_slice(in, used, in.len);
    }
    vmt_str copy = vmt_arena_dup(t->arena, vmt_buf_str(&body));
    vmt_buf_free(&body);
    vmt_expect_eq(t, result, VMT_CHUNKED_DONE);
    vmt_expect_eq(t, in.len, 0);
    return copy;
}

uint32_t client_count(vmt_str text, const char *needle) {
    uint32_t count = 0;
    vmt_str n = vmt_str_from(needle);
    for (size_t at = vmt_str_find(text, n, 0); at != SIZE_MAX; at = vmt_str_find(text, n, at + n.len)) count++;
    return count;
}

void client_sleep_ms(uint32_t ms) {
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&left, NULL);
}
