/* The client against our own server: whole and streamed replies, errors in words, many calls at once. */
#include "base/test.h"
#include "cli/http_client.h"
#include "cli/sse_reader.h"
#include "http/sse.h"
#include "http/test_server.h"

#include <stdio.h>
#include <string.h>

static void ignore(void *user) {}

static void handle(void *ctx, vmt_http_exchange *x) {
    vmt_str path = vmt_http_path(x);
    if (vmt_str_eq(path, VMT_STR("/echo"))) {
        vmt_buf text;
        vmt_buf_init(&text, 0);
        vmt_str method = vmt_http_method(x), key = vmt_http_header(x, "authorization"), body = vmt_http_body(x);
        vmt_str type = vmt_http_header(x, "content-type"), id = vmt_http_header(x, "x-request-id");
        vmt_buf_printf(&text, "%.*s|%.*s|%.*s|%.*s|%.*s", VMT_STR_ARG(method), VMT_STR_ARG(key), VMT_STR_ARG(type),
                       VMT_STR_ARG(id), VMT_STR_ARG(body));
        vmt_http_respond(x, 200, "text/plain", vmt_buf_str(&text));
        vmt_buf_free(&text);
    } else if (vmt_str_eq(path, VMT_STR("/events"))) {
        vmt_sse_begin(x);
        for (int i = 0; i < 50; i++) vmt_sse_event(x, i % 2 ? "odd" : NULL, VMT_STR("{\"x\":1}"));
        vmt_sse_event(x, NULL, VMT_STR("[DONE]"));
        vmt_http_stream_end(x);
    } else if (vmt_str_eq(path, VMT_STR("/hang"))) {
        vmt_http_set_user(x, NULL, ignore, NULL);
    } else if (vmt_str_eq(path, VMT_STR("/openai"))) {
        vmt_http_respond(x, 404, "application/json",
                         VMT_STR("{\"error\":{\"message\":\"no such model\",\"code\":404}}"));
    } else if (vmt_str_eq(path, VMT_STR("/plain"))) {
        vmt_http_respond(x, 401, "application/json", VMT_STR("{\"error\":\"Unauthorized\"}"));
    } else {
        vmt_http_respond(x, 500, "text/html", VMT_STR("<html>"));
    }
}

struct fixture {
    test_server *server;
    vmt_http_client *client;
    char url[100];
};

static void open_fixture(vmt_test *t, struct fixture *f) {
    vmt_http_config config = test_server_config();
    config.on_request = handle;
    f->server = test_server_start(t, &config);
    vmt_expect_eq(t, vmt_http_client_create(&f->client, NULL, NULL), VMT_OK);
}

static void close_fixture(struct fixture *f) {
    vmt_http_client_destroy(f->client);
    test_server_stop(f->server);
}

static vmt_http_call call_to(struct fixture *f, const char *path) {
    snprintf(f->url, sizeof f->url, "http://127.0.0.1:%u%s", test_server_port(f->server), path);
    return (vmt_http_call){.url = f->url};
}

static void expect_body(vmt_test *t, struct fixture *f, const vmt_http_call *call, const char *want) {
    vmt_http_reply reply;
    vmt_err err = {0};
    if (vmt_http_client_call(f->client, call, &reply, &err)) vmt_test_fail(t, __FILE__, __LINE__, "%s", err.msg);
    vmt_str copy = vmt_arena_dup(t->arena, vmt_buf_str(&reply.body));
    vmt_buf_free(&reply.body);
    vmt_expect_eq(t, reply.status, 200);
    vmt_expect_slice(t, copy, vmt_str_from(want));
}

static void waits_for_a_reply(vmt_test *t) {
    struct fixture f;
    open_fixture(t, &f);
    vmt_http_call call = call_to(&f, "/echo");
    expect_body(t, &f, &call, "GET||||");
    call.json = VMT_STR("{\"a\":1}");
    call.bearer = "key";
    call.request_id = "r1";
    expect_body(t, &f, &call, "POST|Bearer key|application/json|r1|{\"a\":1}");
    call.json = VMT_STR("");
    expect_body(t, &f, &call, "POST|Bearer key|application/json|r1|");
    call.bearer = "key\r\nX-Evil: 1";
    vmt_expect_eq(t, vmt_http_client_call(f.client, &call, NULL, NULL), VMT_E_INVALID);
    close_fixture(&f);
}

static void says_what_went_wrong(vmt_test *t) {
    static const struct {
        const char *path;
        vmt_status status;
        const char *message;
    } cases[] = {
        {"/openai", VMT_E_NOT_FOUND, "no such model (HTTP status 404)"},
        {"/plain", VMT_E_INVALID, "Unauthorized (HTTP status 401)"},
        {"/other", VMT_E_IO, "the server answered with HTTP status 500"},
    };
    struct fixture f;
    open_fixture(t, &f);
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        vmt_http_call call = call_to(&f, cases[i].path);
        vmt_err err = {0};
        vmt_expect_eq(t, vmt_http_client_call(f.client, &call, NULL, &err), cases[i].status);
        vmt_expect_str(t, err.msg, cases[i].message);
    }
    vmt_http_call call = {.url = "http://127.0.0.1:1/"};
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_http_client_call(f.client, &call, NULL, &err), VMT_E_IO);
    vmt_expect(t, strstr(err.msg, "Failed to connect") || strstr(err.msg, "Couldn't connect"));
    call = call_to(&f, "/hang");
    call.idle_timeout_s = 1;
    err = (vmt_err){0};
    vmt_expect_eq(t, vmt_http_client_call(f.client, &call, NULL, &err), VMT_E_IO);
    vmt_expect(t, strstr(err.msg, "no answer") != NULL);
    call = call_to(&f, "/events");
    call.body_bytes_max = 100;
    err = (vmt_err){0};
    vmt_expect_eq(t, vmt_http_client_call(f.client, &call, NULL, &err), VMT_E_EXHAUSTED);
    close_fixture(&f);
}

struct stream {
    vmt_sse_reader reader;
    uint32_t num_events, num_odd, stop_after;
    bool is_done;
};

static void on_event(void *ctx, vmt_str name, vmt_str data) {
    struct stream *stream = ctx;
    stream->num_events++;
    stream->num_odd += vmt_str_eq(name, VMT_STR("odd"));
    stream->is_done = vmt_str_eq(data, VMT_STR("[DONE]"));
}

static bool on_bytes(void *ctx, vmt_str bytes) {
    struct stream *stream = ctx;
    return vmt_sse_reader_feed(&stream->reader, bytes, NULL) == VMT_OK &&
           (stream->stop_after == 0 || stream->num_events < stream->stop_after);
}

static void streams_events(vmt_test *t) {
    struct fixture f;
    open_fixture(t, &f);
    for (uint32_t stop_after = 0; stop_after < 2; stop_after++) {
        struct stream stream = {.stop_after = stop_after};
        vmt_sse_reader_init(&stream.reader, 1000, on_event, &stream);
        vmt_http_call call = call_to(&f, "/events");
        call.on_bytes = on_bytes;
        call.ctx = &stream;
        vmt_err err = {0};
        vmt_expect_eq(t, vmt_http_client_call(f.client, &call, NULL, &err), stop_after ? VMT_E_CANCELLED : VMT_OK);
        vmt_sse_reader_reset(&stream.reader);
        if (stop_after) continue;
        vmt_expect_eq(t, stream.num_events, 51);
        vmt_expect_eq(t, stream.num_odd, 25);
        vmt_expect(t, stream.is_done);
    }
    close_fixture(&f);
}

struct batch {
    struct fixture *f;
    uint32_t num_done, num_left;
};

static void next_one(void *ctx, const vmt_http_reply *reply) {
    struct batch *batch = ctx;
    batch->num_done += reply->status == 200 && vmt_str_eq(vmt_buf_str(&reply->body), VMT_STR("GET||||"));
    if (batch->num_left == 0) return;
    batch->num_left--;
    vmt_http_call call = call_to(batch->f, "/echo");
    call.on_done = next_one;
    call.ctx = batch;
    VMT_ASSERT(vmt_http_client_start(batch->f->client, &call, NULL) == VMT_OK);
}

static void many_calls_at_once(vmt_test *t) {
    struct fixture f;
    open_fixture(t, &f);
    struct batch batch = {.f = &f, .num_left = 200};
    for (int i = 0; i < 50; i++) {
        vmt_http_call call = call_to(&f, "/echo");
        call.on_done = next_one;
        call.ctx = &batch;
        vmt_expect_eq(t, vmt_http_client_start(f.client, &call, NULL), VMT_OK);
    }
    while (vmt_http_client_poll(f.client, 1000) > 0) {}
    vmt_expect_eq(t, batch.num_done, 250);
    vmt_http_call call = call_to(&f, "/hang"); /* still running when the client goes */
    vmt_expect_eq(t, vmt_http_client_start(f.client, &call, NULL), VMT_OK);
    vmt_http_client_poll(f.client, 20);
    close_fixture(&f);
}

static const vmt_test_case cases[] = {
    {"waits_for_a_reply", waits_for_a_reply},
    {"says_what_went_wrong", says_what_went_wrong},
    {"streams_events", streams_events},
    {"many_calls_at_once", many_calls_at_once},
    {0},
};

VMT_TEST_MAIN(cases)
