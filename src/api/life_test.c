/* How requests live and end: leaving peers, slow readers, crowds, failures, full queues, shutdown. */
#include "api/test_api.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CHAT        "/v1/chat/completions"
#define COMPLETIONS "/v1/completions"
#define STEP_NS     2000000u /* slow enough to be caught in the act */
#define WAIT_MS     10000u

static uint32_t num_blocks_used(test_api *a) {
    return vmt_engine_get_stats(test_api_engine(a)).sched.num_blocks_used;
}

static void leaving_gives_the_blocks_back(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.step_ns = STEP_NS});
    static const char *const requests[] = {
        "{\"prompt\":\"a\",\"max_tokens\":500,\"stream\":true}",
        "{\"prompt\":\"a\",\"max_tokens\":500}",
        "{\"prompt\":[\"a\",\"b\",\"c\"],\"n\":4,\"temperature\":1,\"max_tokens\":500,\"stream\":true}",
    };
    for (size_t i = 0; i < VMT_COUNT(requests); i++) {
        int fd = test_open(t, a, COMPLETIONS, requests[i]);
        for (uint32_t ms = 0; num_blocks_used(a) == 0 && ms < WAIT_MS; ms++) client_sleep_ms(1);
        vmt_expect(t, num_blocks_used(a) > 0);
        close(fd);
        test_api_wait_idle(t, a);
    }
    vmt_expect(t, vmt_engine_get_stats(test_api_engine(a)).num_generated_tokens < 500);
    test_answer x = test_get(t, a, "/metrics");
    vmt_expect(
        t, vmt_str_find(x.body,
                        VMT_STR("vllm:request_success_total{engine=\"0\",model_name=\"letters\",finished_reason="
                                "\"abort\"} 14"),
                        0) != SIZE_MAX);
    test_api_stop(a);
}

/* A stop string frees its sequence alone; the answer does not wait for the others' sake longer than needed. */
static void stop_string_cancels_one_of_many(vmt_test *t) {
    test_api *a = test_api_start(t, NULL);
    test_answer x = test_post(
        t, a, COMPLETIONS, "{\"prompt\":[\"a\",\"0\",\"!\"],\"max_tokens\":20,\"stop\":[\"cd\"],\"stream\":true}");
    vmt_expect_slice(t, test_stream_text(t, x.body, 0), VMT_STR("b"));
    vmt_expect_slice(t, test_stream_text(t, x.body, 1), VMT_STR("12345678901234567890"));
    vmt_expect_slice(t, test_stream_text(t, x.body, 2), VMT_STR(""));
    vmt_expect_eq(t, client_count(x.body, "\"stop_reason\":\"cd\""), 1);
    vmt_expect_eq(t, client_count(x.body, "\"finish_reason\":\"stop\""), 2);
    vmt_expect_eq(t, client_count(x.body, "\"finish_reason\":\"length\""), 1);
    vmt_expect(t, vmt_str_ends(x.body, VMT_STR("data: [DONE]\n\n")));
    test_api_wait_idle(t, a);
    test_api_stop(a);
}

/* 16 sequences, about 2.5 KB of logprobs a token: more than the kernel takes.  They pause, and lose nothing. */
static void slow_reader_pauses_itself(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.write_high_bytes = 1 << 16});
    int fd =
        test_open(t, a, CHAT,
                  "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"n\":16,\"temperature\":1,\"top_k\":1,"
                  "\"max_tokens\":500,\"stream\":true,\"logprobs\":true,\"top_logprobs\":20}");
    uint64_t num_tokens = 0;
    bool is_paused = false;
    for (uint32_t ms = 0; !is_paused && ms < WAIT_MS; ms += 50) {
        client_sleep_ms(50);
        vmt_engine_stats stats = vmt_engine_get_stats(test_api_engine(a));
        is_paused = num_tokens > 0 && stats.num_generated_tokens == num_tokens && stats.sched.num_running > 0;
        num_tokens = stats.num_generated_tokens;
    }
    vmt_expect(t, is_paused);
    vmt_expect(t, num_tokens < 16 * 500);
    /* Others are not held up by it. */
    vmt_expect_eq(t, test_post(t, a, COMPLETIONS, "{\"prompt\":\"W\"}").status, 200);
    vmt_str response = client_read_all(t, fd);
    close(fd);
    vmt_str body = client_dechunk(t, response);
    for (int64_t i = 0; i < 16; i++) {
        vmt_str text = test_stream_text(t, body, i);
        vmt_expect_eq(t, text.len, 500);
        vmt_expect(t, vmt_str_starts(text, VMT_STR("bcdefghijklmnopqrstuvwxyz abc")));
    }
    vmt_expect_eq(t, client_count(body, "\"finish_reason\":\"length\""), 16);
    vmt_expect(t, vmt_str_ends(body, VMT_STR("data: [DONE]\n\n")));
    test_api_wait_idle(t, a);
    test_api_stop(a);
}

/* And if it leaves while paused, everything comes back. */
static void slow_reader_leaves(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.write_high_bytes = 1 << 16});
    int fd =
        test_open(t, a, COMPLETIONS,
                  "{\"prompt\":\"a\",\"n\":16,\"temperature\":1,\"top_k\":1,\"max_tokens\":500,\"stream\":true,"
                  "\"logprobs\":20}");
    client_sleep_ms(300);
    close(fd);
    test_api_wait_idle(t, a);
    test_api_stop(a);
}

/* ---- a crowd */

#define CROWD 32

struct visitor {
    const test_api *a;
    uint32_t idx;
    bool ok;
};

/* Raw, since a test's arena and expectations belong to its own thread. */
static void *visit(void *arg) {
    struct visitor *v = arg;
    vmt_test t = {.arena = vmt_arena_create((size_t)64 << 20)};
    char letter = (char)('a' + v->idx % 26);
    bool stream = v->idx % 2 == 0;
    v->ok = true;
    for (int round = 0; round < 4; round++) {
        vmt_str request = vmt_arena_printf(t.arena, "{\"prompt\":\"%c\",\"max_tokens\":%u,\"stream\":%s}", letter,
                                           50 + v->idx, stream ? "true" : "false");
        test_answer x = test_post(&t, v->a, COMPLETIONS, request.ptr);
        vmt_str text = {0};
        vmt_json_doc *doc = NULL;
        if (stream) {
            text = test_stream_text(&t, x.body, 0);
        } else {
            doc = test_parse(&t, x.body);
            vmt_json choice = {0};
            vmt_json_iter it = vmt_json_iter_begin(VMT_JSON_AT(vmt_json_root(doc), "choices"));
            vmt_json_iter_next(&it, NULL, &choice);
            vmt_json_get_str(VMT_JSON_AT(choice, "text"), &text);
        }
        char want = letter;
        v->ok = v->ok && x.status == 200 && text.len == 50 + v->idx;
        for (size_t i = 0; i < text.len; i++) {
            want = want == 'z' ? ' ' : want == ' ' ? 'a' : (char)(want + 1);
            v->ok = v->ok && text.ptr[i] == want;
        }
        vmt_json_doc_destroy(doc);
    }
    vmt_arena_destroy(t.arena);
    return NULL;
}

static void thirty_two_at_once(vmt_test *t) {
    test_api *a = test_api_start(t, NULL);
    pthread_t threads[CROWD];
    struct visitor visitors[CROWD];
    for (uint32_t i = 0; i < CROWD; i++) {
        visitors[i] = (struct visitor){.a = a, .idx = i};
        vmt_expect_eq(t, pthread_create(&threads[i], NULL, visit, &visitors[i]), 0);
    }
    for (uint32_t i = 0; i < CROWD; i++) pthread_join(threads[i], NULL);
    for (uint32_t i = 0; i < CROWD; i++) vmt_expect(t, visitors[i].ok);
    test_api_wait_idle(t, a);
    test_api_stop(a);
}

/* ---- failures */

static void model_failure(vmt_test *t) {
    test_api *a = test_api_start(t, NULL);
    test_api_fail(a, 1);
    test_answer x = test_post(t, a, COMPLETIONS, "{\"prompt\":\"a\"}");
    vmt_expect_eq(t, x.status, 500);
    vmt_expect_slice(t, x.body,
                     VMT_STR("{\"error\":{\"message\":\"the model failed as it was told\",\"type\":"
                             "\"InternalServerError\",\"param\":null,\"code\":500}}"));
    /* Before the first token a stream is still a plain answer. */
    test_api_fail(a, 1);
    x = test_post(t, a, COMPLETIONS, "{\"prompt\":\"a\",\"stream\":true}");
    vmt_expect_eq(t, x.status, 500);
    vmt_expect_eq(t, test_get(t, a, "/health").status, 200);
    /* After it, one event with the error and the end. */
    test_api_set_step_ns(a, STEP_NS);
    int fd = test_open(t, a, COMPLETIONS, "{\"prompt\":\"a\",\"stream\":true,\"max_tokens\":400}");
    vmt_buf text = {0};
    vmt_expect(t, client_read_until(fd, &text, "\"text\":"));
    test_api_fail(a, 1);
    vmt_expect(t, client_read_until(fd, &text, "[DONE]"));
    vmt_expect(t,
               vmt_str_find(vmt_buf_str(&text),
                            VMT_STR("data: {\"error\":{\"message\":\"the model failed as it was told\",\"type\":"
                                    "\"InternalServerError\",\"param\":null,\"code\":500}}\n\n"),
                            0) != SIZE_MAX);
    close(fd);
    vmt_buf_free(&text);
    test_api_wait_idle(t, a);
    /* A model that fails again and again is dead. */
    test_api_fail(a, 100);
    for (int i = 0; i < 3; i++) test_post(t, a, COMPLETIONS, "{\"prompt\":\"a\"}");
    vmt_expect_eq(t, test_get(t, a, "/health").status, 503);
    x = test_post(t, a, COMPLETIONS, "{\"prompt\":\"a\"}");
    vmt_expect_eq(t, x.status, 503);
    test_api_stop(a);
}

static void few_requests(vmt_api_config *config) {
    config->requests_max = 1;
}

static void too_many(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.adjust = few_requests, .step_ns = STEP_NS});
    int fd = test_open(t, a, COMPLETIONS, "{\"prompt\":\"a\",\"max_tokens\":500}");
    for (uint32_t ms = 0; num_blocks_used(a) == 0 && ms < WAIT_MS; ms++) client_sleep_ms(1);
    test_answer x = test_post(t, a, COMPLETIONS, "{\"prompt\":\"a\"}");
    vmt_expect_eq(t, x.status, 503);
    vmt_expect(t, vmt_str_find(x.head, VMT_STR("Retry-After: 1"), 0) != SIZE_MAX);
    vmt_expect_slice(
        t, x.body,
        VMT_STR("{\"error\":{\"message\":\"too many requests are in progress, try again later\",\"type\":"
                "\"ServiceUnavailableError\",\"param\":null,\"code\":503}}"));
    close(fd);
    test_api_wait_idle(t, a);
    test_api_stop(a);
}

/* 64 sequences run and 4 wait: of 3 prompts with 32 each the third finds no place, and the first two are taken back. */
static void full_engine(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.waiting_max = 4, .step_ns = STEP_NS});
    test_answer x = test_post(
        t, a, COMPLETIONS,
        "{\"prompt\":[\"a\",\"b\",\"c\"],\"n\":32,\"temperature\":1,\"max_tokens\":400,\"stream\":true}");
    vmt_expect_eq(t, x.status, 503);
    vmt_expect(t, vmt_str_find(x.head, VMT_STR("Retry-After: 1"), 0) != SIZE_MAX);
    vmt_expect(t, vmt_str_find(x.body, VMT_STR("the queue is full"), 0) != SIZE_MAX);
    test_api_wait_idle(t, a);
    vmt_expect_eq(t, test_post(t, a, COMPLETIONS, "{\"prompt\":\"W\"}").status, 200);
    test_api_stop(a);
}

static void abort_on_shutdown(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.step_ns = STEP_NS});
    int whole = test_open(t, a, COMPLETIONS, "{\"prompt\":\"a\",\"max_tokens\":500}");
    int stream = test_open(t, a, COMPLETIONS, "{\"prompt\":\"a\",\"max_tokens\":500,\"stream\":true}");
    vmt_buf text = {0};
    vmt_expect(t, client_read_until(stream, &text, "\"text\":"));
    for (uint32_t ms = 0; num_blocks_used(a) < 2 && ms < WAIT_MS; ms++) client_sleep_ms(1);
    test_api_abort_all(a);
    vmt_expect(t, client_read_until(stream, &text, "[DONE]"));
    vmt_expect_eq(t, client_count(vmt_buf_str(&text), "\"finish_reason\":\"abort\""), 1);
    vmt_str response = client_read_all(t, whole);
    vmt_expect_eq(t, client_status(response), 200);
    vmt_expect_eq(t, client_count(response, "\"finish_reason\":\"abort\""), 1);
    vmt_buf_free(&text);
    close(whole);
    close(stream);
    test_api_wait_idle(t, a);
    test_api_stop(a);
}

/* Stops with requests in every stage of life. */
static void stop_in_the_middle(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.step_ns = STEP_NS});
    int fds[12];
    for (size_t i = 0; i < VMT_COUNT(fds); i++) {
        fds[i] = test_open(t, a, COMPLETIONS,
                           i % 2 ? "{\"prompt\":\"a\",\"max_tokens\":500}"
                                 : "{\"prompt\":\"a\",\"max_tokens\":500,\"stream\":true}");
        if (i == 5) client_sleep_ms(20);
    }
    test_api_stop(a);
    for (size_t i = 0; i < VMT_COUNT(fds); i++) close(fds[i]);
}

static void with_pings(vmt_api_config *config) {
    config->ping_interval_ms = 20;
}

static void pings_during_a_long_prefill(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.adjust = with_pings, .step_ns = 150000000});
    test_answer x = test_post(t, a, COMPLETIONS, "{\"prompt\":\"a\",\"max_tokens\":1,\"stream\":true}");
    vmt_expect_eq(t, x.status, 200);
    vmt_expect(t, vmt_str_starts(x.body, VMT_STR(": ping\n\n: ping\n\n")));
    vmt_expect_slice(t, test_stream_text(t, x.body, 0), VMT_STR("b"));
    /* Once begun, a stream tells its error as an event. */
    test_api_fail(a, 1);
    x = test_post(t, a, COMPLETIONS, "{\"prompt\":\"a\",\"max_tokens\":1,\"stream\":true}");
    vmt_expect_eq(t, x.status, 200);
    vmt_expect(t, vmt_str_ends(x.body, VMT_STR("\"code\":500}}\n\ndata: [DONE]\n\n")));
    test_api_stop(a);
}

/* An answer too large for the loop is put together on a text thread. */
static void large_answer(vmt_test *t) {
    test_api *a = test_api_start(t, NULL);
    test_answer x =
        test_post(t, a, COMPLETIONS,
                  "{\"prompt\":\"a\",\"n\":8,\"temperature\":1,\"top_k\":1,\"max_tokens\":400,\"logprobs\":20}");
    vmt_expect_eq(t, x.status, 200);
    vmt_expect(t, x.body.len > 500000);
    vmt_json_doc *doc = test_parse(t, x.body);
    vmt_expect_eq(t, vmt_json_size(VMT_JSON_AT(vmt_json_root(doc), "choices")), 8);
    vmt_json_doc_destroy(doc);
    test_api_stop(a);
}

static const vmt_test_case cases[] = {
    {"leaving_gives_the_blocks_back", leaving_gives_the_blocks_back},
    {"stop_string_cancels_one_of_many", stop_string_cancels_one_of_many},
    {"slow_reader_pauses_itself", slow_reader_pauses_itself},
    {"slow_reader_leaves", slow_reader_leaves},
    {"thirty_two_at_once", thirty_two_at_once},
    {"model_failure", model_failure},
    {"too_many", too_many},
    {"full_engine", full_engine},
    {"abort_on_shutdown", abort_on_shutdown},
    {"stop_in_the_middle", stop_in_the_middle},
    {"pings_during_a_long_prefill", pings_during_a_long_prefill},
    {"large_answer", large_answer},
    {0},
};
VMT_TEST_MAIN(cases)
