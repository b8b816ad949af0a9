/* session_test.c: chat and load against a server in this process that answers from a script. */
#include "base/test.h"

#include "cli/bench_load.h"
#include "cli/session.h"
#include "http/server.h"
#include "http/sse.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct fake {
    vmt_loop *loop;
    vmt_http_server *server;
    vmt_waker *stopper;
    pthread_t thread;
    char url[64];
    uint32_t num_requests;
};

static void answer_chat(vmt_http_exchange *x) {
    vmt_sse_begin(x);
    vmt_sse_event(x, NULL, VMT_STR("{\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}"));
    vmt_sse_ping(x);
    vmt_sse_event(x, NULL, VMT_STR("{\"choices\":[{\"delta\":{\"content\":\"Par\"}}]}"));
    vmt_sse_event(x, NULL, VMT_STR("{\"choices\":[{\"delta\":{\"content\":\"is\"},\"finish_reason\":\"stop\"}]}"));
    vmt_sse_event(x, NULL, VMT_STR("{\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}"));
    vmt_sse_event(x, NULL, VMT_STR("[DONE]"));
    vmt_http_stream_end(x);
}

static void on_request(void *ctx, vmt_http_exchange *x) {
    struct fake *fake = ctx;
    vmt_str path = vmt_http_path(x), body = vmt_http_body(x);
    fake->num_requests++;
    if (!vmt_str_eq_c(vmt_http_header(x, "authorization"), "Bearer secret")) {
        vmt_http_respond(x, 401, "application/json", VMT_STR("{\"error\":\"Unauthorized\"}"));
    } else if (vmt_str_eq_c(path, "/v1/models")) {
        vmt_http_respond(x, 200, "application/json", VMT_STR("{\"data\":[{\"id\":\"tiny\"}]}"));
    } else if (vmt_str_find(body, VMT_STR("\"too long\""), 0) != SIZE_MAX) {
        vmt_http_respond(x, 400, "application/json", VMT_STR("{\"error\":{\"message\":\"prompt is 9 tokens\"}}"));
    } else if (vmt_str_find(body, VMT_STR("\"break\""), 0) != SIZE_MAX) {
        vmt_sse_begin(x);
        vmt_sse_event(x, NULL, VMT_STR("{\"error\":{\"message\":\"the model failed\"}}"));
        vmt_http_stream_end(x);
    } else if (vmt_str_eq_c(path, "/v1/completions")) {
        vmt_http_respond(x, 200, "application/json", VMT_STR("{\"choices\":[{\"text\":\"Lyon\"}]}"));
    } else {
        answer_chat(x);
    }
}

static void stop(void *ctx) {
    struct fake *fake = ctx;
    vmt_loop_stop(fake->loop);
}

static void *serve(void *ctx) {
    struct fake *fake = ctx;
    vmt_err err = {0};
    vmt_status status = vmt_loop_run(fake->loop, &err);
    VMT_ASSERT(status == VMT_OK);
    return NULL;
}

static void start(vmt_test *t, struct fake *fake) {
    vmt_err err = {0};
    vmt_http_config config = vmt_http_config_default();
    *fake = (struct fake){0};
    config.host = VMT_STR("127.0.0.1");
    config.port = 0;
    config.on_request = on_request;
    config.ctx = fake;
    vmt_expect_eq(t, vmt_loop_create(&fake->loop, &err), VMT_OK);
    vmt_expect_eq(t, vmt_http_server_create(&fake->server, fake->loop, &config, &err), VMT_OK);
    fake->stopper = vmt_waker_create(fake->loop, stop, fake);
    snprintf(fake->url, sizeof fake->url, "http://127.0.0.1:%u/v1", vmt_http_server_port(fake->server));
    vmt_expect_eq(t, pthread_create(&fake->thread, NULL, serve, fake), 0);
}

static void finish(struct fake *fake) {
    vmt_waker_wake(fake->stopper);
    pthread_join(fake->thread, NULL);
    vmt_http_server_destroy(fake->server);
    vmt_waker_destroy(fake->stopper);
    vmt_loop_destroy(fake->loop);
}

static const struct {
    const char *path, *body, *answer, *message;
} asks[] = {
    {"chat/completions", "{\"messages\":[]}", "Paris", NULL},
    {"completions", "{\"prompt\":\"x\"}", "Lyon", NULL},
    {"chat/completions", "{\"messages\":[\"too long\"]}", "", "prompt is 9 tokens (HTTP status 400)"},
    {"chat/completions", "{\"messages\":[\"break\"]}", "", "the model failed"},
};

static void answers_are_read(vmt_test *t) {
    struct fake fake;
    vmt_session session;
    vmt_err err = {0};
    start(t, &fake);
    vmt_session_options options = {.url = vmt_str_from(fake.url), .api_key = VMT_STR("secret")};
    vmt_expect_eq(t, vmt_session_open(&session, &options, &err), VMT_OK);
    vmt_expect_slice(t, session.model, VMT_STR("tiny"));
    for (size_t i = 0; i < VMT_COUNT(asks); i++) {
        vmt_buf answer;
        err = (vmt_err){0};
        vmt_buf_init(&answer, 0);
        vmt_status status = vmt_session_ask(&session, asks[i].path, vmt_str_from(asks[i].body), &answer, &err);
        vmt_expect_eq(t, status == VMT_OK, asks[i].message == NULL);
        vmt_expect_str(t, err.msg, asks[i].message ? asks[i].message : "");
        vmt_expect_slice(t, vmt_buf_str(&answer), vmt_str_from(asks[i].answer));
        vmt_buf_free(&answer);
    }
    vmt_session_close(&session);
    finish(&fake);
}

static void refusals_say_what_to_do(vmt_test *t) {
    struct fake fake;
    vmt_session session;
    vmt_err err = {0};
    start(t, &fake);
    vmt_session_options options = {.url = vmt_str_from(fake.url), .api_key = VMT_STR("wrong")};
    vmt_expect(t, vmt_session_open(&session, &options, &err) != VMT_OK);
    vmt_expect_str(t, err.msg, "Unauthorized (HTTP status 401); give the server's key with --api-key");
    vmt_session_close(&session);
    finish(&fake);
    err = (vmt_err){0};
    vmt_expect_eq(t, vmt_session_open(&session, &options, &err), VMT_E_IO);
    vmt_expect(t, vmt_str_ends(vmt_str_from(err.msg), VMT_STR("; start it with: vmetal serve")));
    vmt_session_close(&session);
}

static void load_is_counted(vmt_test *t) {
    enum { NUM = 40 };
    struct fake fake;
    vmt_bench_dataset dataset;
    vmt_bench_dataset_options shape = VMT_BENCH_DATASET_DEFAULTS;
    vmt_err err = {0};
    double seconds;
    start(t, &fake);
    shape.num_prompts = NUM;
    shape.input_len = 8;
    vmt_expect_eq(t, vmt_bench_dataset_create(&dataset, &shape, true, 0, &err), VMT_OK);
    vmt_bench_load_options options = {
        .target = {vmt_str_from(fake.url), VMT_STR("secret")},
        .path = VMT_STR("chat/completions"),
        .model = VMT_STR("tiny"),
        .is_chat = true,
        .extra_body = VMT_STR("{\"top_k\":1}"),
        .request_rate = 2000,
        .burstiness = 1,
        .max_concurrency = 4,
        .keeps_text = true,
    };
    vmt_bench_record *records = calloc(NUM, sizeof *records);
    vmt_expect_eq(t, vmt_bench_load_run(&options, &dataset, NUM, records, &seconds, &err), VMT_OK);
    vmt_expect_eq(t, fake.num_requests, NUM);
    vmt_expect(t, seconds > 0);
    for (uint32_t i = 0; i < NUM; i++) {
        vmt_expect(t, records[i].is_good);
        vmt_expect_eq(t, records[i].input_len, 5);
        vmt_expect_eq(t, records[i].output_len, 2);
        vmt_expect_eq(t, records[i].num_itls, 1);
        vmt_expect_slice(t, vmt_buf_str(&records[i].text), VMT_STR("Paris"));
        vmt_expect(t, records[i].ttft_s <= records[i].latency_s);
    }
    vmt_bench_records_free(records, NUM);
    vmt_bench_dataset_free(&dataset);
    finish(&fake);
}

static const vmt_test_case cases[] = {
    {"answers_are_read", answers_are_read},
    {"refusals_say_what_to_do", refusals_say_what_to_do},
    {"load_is_counted", load_is_counted},
    {0},
};
VMT_TEST_MAIN(cases)
