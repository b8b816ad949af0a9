/* http/test_server.h: for tests: a server on a thread of its own, and a client that speaks raw bytes.
 *
 * The thread runs a loop with one server.  The test's thread talks to it through sockets, and through
 * test_server_call(), which runs a function on the loop. */
#ifndef VMT_HTTP_TEST_SERVER_H
#define VMT_HTTP_TEST_SERVER_H

#include "base/test.h"
#include "http/server.h"

typedef struct test_server test_server;

/* A config with a free port on 127.0.0.1 and no handler. */
vmt_http_config test_server_config(void);
/* Fails the case when it can't start. */
test_server *test_server_start(vmt_test *t, const vmt_http_config *config);
/* Destroys the server on its loop, then ends the thread. */
void test_server_stop(test_server *s);
/* Runs fn on the loop and waits for it. */
void test_server_call(test_server *s, void (*fn)(test_server *s, void *ctx), void *ctx);
/* For use on the loop: */
vmt_http_server *test_server_http(test_server *s);
vmt_loop *test_server_loop(test_server *s);
/* The server is gone already, by the handler's doing. */
void test_server_forget(test_server *s);
uint16_t test_server_port(const test_server *s);

/* ---- the client: blocking sockets, which give up after CLIENT_WAIT_S */
int client_connect(vmt_test *t, uint16_t port);
void client_send(vmt_test *t, int fd, vmt_str bytes);
/* One read of at most max bytes appended; 0 at the end of the stream, -1 on a reset or after the wait. */
int client_read(int fd, vmt_buf *out, size_t max);
/* Everything until the server closes; fails the case if it does not. */
vmt_str client_read_all(vmt_test *t, int fd);
/* Until text holds needle, or the stream ends: whether it does. */
bool client_read_until(int fd, vmt_buf *text, const char *needle);
/* One response that has a Content-Length; what follows stays in text.  Returns the status. */
int client_read_response(vmt_test *t, int fd, vmt_buf *text, vmt_buf *body);
/* Connect, send, read all, close. */
vmt_str client_talk(vmt_test *t, uint16_t port, vmt_str request);
/* Of a response's first line; 0 if there is none. */
int client_status(vmt_str response);
/* A chunked body put together; fails the case if it is malformed or has no end. */
vmt_str client_dechunk(vmt_test *t, vmt_str response);
uint32_t client_count(vmt_str text, const char *needle);
void client_sleep_ms(uint32_t ms);

#endif
