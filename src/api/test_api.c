#include "api/test_api.h"
#include "base/clock.h"
#include "base/utf8.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_SIZE   16u
#define NUM_SEQS_MAX 64u
#define BATCHED_MAX  512u
#define LOGITS_MAX   1024u
#define PEAK         8.0f
#define IDLE_WAIT_MS 10000u

struct test_api {
    test_server *server;
    vmt_api *api;
    vmt_engine *engine;
    vmt_tokenizer *tok;
    vmt_chat_template *tmpl;
    vmt_api_config config;
    vmt_str name;
    float *logits; /* [LOGITS_MAX, TEST_VOCAB] */
    _Atomic uint64_t step_ns;
    _Atomic uint32_t num_failures;
};

/* ---- the model */

static int32_t next_token(int32_t id) {
    if ((id >= 'a' && id < 'z') || (id >= 'A' && id < 'Z') || (id >= '0' && id < '9')) return id + 1;
    switch (id) {
    case 'z': return ' ';
    case ' ': return 'a';
    case '9': return '0';
    case 'Z':
    case '!': return TEST_EOS;
    case 0xC3: return 0xA9;
    case 0xA9: return 0xC3;
    default: return 'A';
    }
}

/* In slices of a millisecond: test_api_set_step_ns() holds for the step that runs, too. */
static void take_time(test_api *a) {
    const uint64_t begin_ns = vmt_clock_ns(), slice_ns = 1000000;
    for (;;) {
        uint64_t ns = atomic_load(&a->step_ns), spent_ns = vmt_clock_ns() - begin_ns;
        if (spent_ns >= ns) return;
        struct timespec pause = {.tv_nsec = (long)(ns - spent_ns < slice_ns ? ns - spent_ns : slice_ns)};
        nanosleep(&pause, NULL);
    }
}

static vmt_status forward(void *self, const vmt_batch *batch, float **logits, vmt_err *err) {
    test_api *a = self;
    take_time(a);
    if (atomic_load(&a->num_failures) > 0) {
        atomic_fetch_sub(&a->num_failures, 1);
        return vmt_fail(err, VMT_E_IO, "the model failed as it was told");
    }
    VMT_ASSERT(batch->num_logits <= LOGITS_MAX);
    for (uint32_t k = 0; k < batch->num_logits; k++) {
        int32_t id = batch->token_ids[batch->logit_rows[k]];
        float *row = a->logits + (size_t)k * TEST_VOCAB;
        for (uint32_t i = 0; i < TEST_VOCAB; i++) row[i] = -0.0625f * (float)((i * 7 + (uint32_t)id) % 64);
        row[next_token(id)] += PEAK;
    }
    *logits = a->logits;
    return VMT_OK;
}

/* GPT-2's spelling of bytes: the printable ones of Latin-1 are themselves, the rest come from U+0100 on. */
static vmt_tokenizer *make_tokenizer(vmt_test *t, const char *const spares[2]) {
    const char *const specials[] = {"<|end|>", "<|begin|>", spares[0] ? spares[0] : "<|spare0|>",
                                    spares[1] ? spares[1] : "<|spare1|>"};
    static char spelling[256][4];
    vmt_str tokens[TEST_VOCAB];
    int32_t kinds[TEST_VOCAB];
    uint32_t num_others = 0;
    for (uint32_t b = 0; b < 256; b++) {
        bool is_itself = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        size_t len = vmt_utf8_encode(is_itself ? b : 256 + num_others++, spelling[b]);
        tokens[b] = (vmt_str){spelling[b], len};
        kinds[b] = VMT_TOKEN_NORMAL;
    }
    for (uint32_t i = 0; i < 4; i++) {
        tokens[256 + i] = vmt_str_from(specials[i]);
        kinds[256 + i] = VMT_TOKEN_CONTROL;
    }
    const vmt_tokenizer_gguf spec = {
        .model = VMT_STR("gpt2"),
        .pre = VMT_STR("gpt-2"),
        .tokens = tokens,
        .kinds = kinds,
        .num_tokens = TEST_VOCAB,
        .bos_id = TEST_BOS,
        .eos_id = TEST_EOS,
        .unk_id = -1,
        .pad_id = -1,
        .add_bos = 0,
        .add_eos = 0,
        .add_space_prefix = 0,
    };
    vmt_tokenizer *tok = NULL;
    vmt_err err = {0};
    if (vmt_tokenizer_from_gguf(&tok, &spec, &err)) vmt_test_fail(t, __FILE__, __LINE__, "%s", err.msg);
    return tok;
}

/* ---- start and stop */

static void on_request(void *ctx, vmt_http_exchange *x) {
    vmt_api_on_request(((test_api *)ctx)->api, x);
}

static void on_done(void *ctx, vmt_http_exchange *x, int status, uint64_t duration_ns, uint64_t bytes_out) {
    vmt_api_on_done(((test_api *)ctx)->api, x, status, duration_ns, bytes_out);
}

static void error_body(void *ctx, const vmt_http_exchange *x, int status, vmt_str message, vmt_buf *out) {
    vmt_api_error_body(((test_api *)ctx)->api, x, status, message, out);
}

static void on_progress(void *ctx) {
    vmt_api_on_progress(((test_api *)ctx)->api);
}

static void make_engine(vmt_test *t, test_api *a, const test_api_options *options) {
    static const int32_t eos_ids[] = {TEST_EOS};
    const vmt_engine_config config = {
        .sched = {.num_blocks = TEST_BLOCKS,
                  .block_size = BLOCK_SIZE,
                  .max_num_seqs = NUM_SEQS_MAX,
                  .max_num_batched_tokens = BATCHED_MAX,
                  .max_model_len = TEST_MODEL_LEN,
                  .enable_prefix_caching = true,
                  .enable_chunked_prefill = true},
        .waiting_max = options->waiting_max ? options->waiting_max : 4096,
        .eos_ids = eos_ids,
        .num_eos_ids = VMT_COUNT(eos_ids),
        .on_progress = on_progress,
        .on_progress_ctx = a,
    };
    const vmt_runner runner = {
        .self = a,
        .vocab = TEST_VOCAB,
        .hidden = options->is_headless ? TEST_VOCAB : 0,
        .max_model_len = TEST_MODEL_LEN,
        .forward = forward,
    };
    vmt_err err = {0};
    if (vmt_engine_create(&a->engine, &config, runner, &err)) vmt_test_fail(t, __FILE__, __LINE__, "%s", err.msg);
}

static void make_api(test_server *s, void *ctx) {
    test_api *a = ctx;
    a->config.loop = test_server_loop(s);
    vmt_err err = {0};
    VMT_ASSERT(vmt_api_create(&a->api, &a->config, &err) == VMT_OK);
}

static void fill_config(test_api *a) {
    a->name = VMT_STR(TEST_NAME);
    a->config = (vmt_api_config){
        .engine = a->engine,
        .tokenizer = a->tok,
        .chat_template = a->tmpl,
        .served_names = &a->name,
        .num_served_names = 1,
        .model_root = VMT_STR("/models/letters"),
        .defaults = {.temperature = 0, .top_p = 1, .repetition_penalty = 1},
        .max_logprobs = 20,
        .stream_interval = 1,
        .num_text_threads = 2,
        .requests_max = 256,
        .enable_prompt_tokens_details = true,
        .block_size = BLOCK_SIZE,
        .num_blocks = TEST_BLOCKS,
        .kv_dtype_name = "f16",
        .enable_prefix_caching = true,
    };
}

test_api *test_api_start(vmt_test *t, const test_api_options *options) {
    static const test_api_options none = {0};
    if (!options) options = &none;
    test_api *a = calloc(1, sizeof *a);
    VMT_ASSERT(a != NULL);
    atomic_init(&a->step_ns, options->step_ns);
    a->logits = calloc((size_t)LOGITS_MAX * TEST_VOCAB, sizeof *a->logits);
    VMT_ASSERT(a->logits != NULL);
    a->tok = make_tokenizer(t, options->spares);
    vmt_err err = {0};
    if (vmt_chat_template_compile(&a->tmpl, VMT_STR(TEST_TEMPLATE), &err)) {
        vmt_test_fail(t, __FILE__, __LINE__, "%s", err.msg);
    }
    make_engine(t, a, options);
    fill_config(a);
    if (options->adjust) options->adjust(&a->config);
    vmt_http_config http = test_server_config();
    http.on_request = on_request;
    http.on_done = on_done;
    http.error_body = error_body;
    http.ctx = a;
    if (options->write_high_bytes) {
        http.write_high_bytes = options->write_high_bytes;
        http.write_low_bytes = options->write_high_bytes / 2;
    }
    a->server = test_server_start(t, &http);
    test_server_call(a->server, make_api, a);
    vmt_expect_eq(t, vmt_engine_start(a->engine, &err), VMT_OK);
    return a;
}

static void close_all(test_server *s, void *ctx) {
    test_api *a = ctx;
    vmt_http_server_destroy(test_server_http(s));
    test_server_forget(s);
    vmt_engine_stop(a->engine);
    vmt_api_destroy(a->api);
}

void test_api_stop(test_api *a) {
    test_server_call(a->server, close_all, a);
    test_server_stop(a->server);
    VMT_ASSERT(vmt_engine_get_stats(a->engine).sched.num_blocks_used == 0);
    vmt_engine_destroy(a->engine);
    vmt_chat_template_destroy(a->tmpl);
    vmt_tokenizer_destroy(a->tok);
    free(a->logits);
    free(a);
}

uint16_t test_api_port(const test_api *a) {
    return test_server_port(a->server);
}

vmt_engine *test_api_engine(test_api *a) {
    return a->engine;
}

void test_api_fail(test_api *a, uint32_t num_steps) {
    atomic_store(&a->num_failures, num_steps);
}

void test_api_set_step_ns(test_api *a, uint64_t step_ns) {
    atomic_store(&a->step_ns, step_ns);
}

static void abort_all(test_server *s, void *ctx) {
    vmt_api_abort_all(((test_api *)ctx)->api);
}

void test_api_abort_all(test_api *a) {
    test_server_call(a->server, abort_all, a);
}

void test_api_wait_idle(vmt_test *t, test_api *a) {
    for (uint32_t ms = 0; ms < IDLE_WAIT_MS; ms += 5) {
        vmt_engine_stats stats = vmt_engine_get_stats(a->engine);
        const vmt_sched_stats *s = &stats.sched;
        if (stats.num_live == 0 && s->num_blocks_used == 0 && s->num_running == 0 && s->num_waiting == 0) return;
        client_sleep_ms(5);
    }
    vmt_test_fail(t, __FILE__, __LINE__, "the engine still runs something");
}

/* ---- the client */

static vmt_str compose(vmt_test *t, const char *method, const char *path, const char *headers, vmt_str body) {
    return vmt_arena_printf(
        t->arena, "%s %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%.*s", method,
        path, headers ? headers : "", body.len, VMT_STR_ARG(body));
}

test_answer test_request(vmt_test *t, const test_api *a, const char *method, const char *path, const char *headers,
                         vmt_str body) {
    vmt_str response = client_talk(t, test_api_port(a), compose(t, method, path, headers, body));
    size_t head_len = vmt_str_find(response, VMT_STR("\r\n\r\n"), 0);
    vmt_expect(t, head_len != SIZE_MAX);
    test_answer answer = {
        .status = client_status(response),
        .head = vmt_str_slice(response, 0, head_len),
        .body = vmt_str_slice(response, head_len + 4, response.len),
    };
    bool is_chunked = vmt_str_find(answer.head, VMT_STR("transfer-encoding: chunked"), 0) != SIZE_MAX;
    if (is_chunked) answer.body = client_dechunk(t, response);
    return answer;
}

test_answer test_get(vmt_test *t, const test_api *a, const char *path) {
    return test_request(t, a, "GET", path, NULL, VMT_STR(""));
}

#define JSON_HEADERS "Content-Type: application/json\r\nX-Request-Id: t\r\n"

test_answer test_post(vmt_test *t, const test_api *a, const char *path, const char *body) {
    return test_request(t, a, "POST", path, JSON_HEADERS, vmt_str_from(body));
}

int test_open(vmt_test *t, const test_api *a, const char *path, const char *body) {
    int fd = client_connect(t, test_api_port(a));
    client_send(t, fd, compose(t, "POST", path, JSON_HEADERS, vmt_str_from(body)));
    return fd;
}

vmt_str test_quoted(vmt_test *t, const char *text) {
    size_t len = strlen(text);
    char *bytes = vmt_arena_alloc(t->arena, len + 1);
    for (size_t i = 0; i <= len; i++) bytes[i] = (char)(text[i] == '\'' ? '"' : text[i]);
    return (vmt_str){bytes, len};
}

vmt_str test_undated(vmt_test *t, vmt_str body) {
    static const char key[] = "\"created\":";
    vmt_buf out = {0};
    size_t from = 0, at;
    while ((at = vmt_str_find(body, VMT_STR(key), from)) != SIZE_MAX) {
        size_t end = at + sizeof key - 1;
        vmt_buf_append(&out, vmt_str_slice(body, from, end));
        vmt_buf_append_byte(&out, '0');
        while (end < body.len && body.ptr[end] >= '0' && body.ptr[end] <= '9') end++;
        from = end;
    }
    vmt_buf_append(&out, vmt_str_slice(body, from, body.len));
    vmt_str copy = vmt_arena_dup(t->arena, vmt_buf_str(&out));
    vmt_buf_free(&out);
    return copy;
}

vmt_json_doc *test_parse(vmt_test *t, vmt_str body) {
    vmt_json_doc *doc = NULL;
    vmt_err err = {0};
    if (vmt_json_parse(&doc, body, &err)) {
        vmt_test_fail(t, __FILE__, __LINE__, "no JSON (%s): %.*s", err.msg, (int)VMT_MIN(body.len, 200), body.ptr);
    }
    return doc;
}

static void add_deltas(vmt_json chunk, int64_t choice, vmt_buf *out) {
    vmt_json entry;
    vmt_json choices = VMT_JSON_AT(chunk, "choices");
    for (vmt_json_iter it = vmt_json_iter_begin(choices); vmt_json_iter_next(&it, NULL, &entry);) {
        int64_t index = -1;
        vmt_str text = {0};
        vmt_json delta = VMT_JSON_AT(entry, "delta");
        if (!vmt_json_get_i64(VMT_JSON_AT(entry, "index"), &index) || index != choice) continue;
        if (!vmt_json_get_str(VMT_JSON_AT(delta, "content"), &text)) {
            vmt_json_get_str(VMT_JSON_AT(entry, "text"), &text);
        }
        vmt_buf_append(out, text);
    }
}

vmt_str test_stream_text(vmt_test *t, vmt_str body, int64_t choice) {
    vmt_buf out = {0};
    for (size_t at = 0; at < body.len;) {
        size_t end = vmt_str_find(body, VMT_STR("\n\n"), at);
        vmt_expect(t, end != SIZE_MAX);
        vmt_str event = vmt_str_slice(body, at, end);
        at = end + 2;
        if (!vmt_str_starts(event, VMT_STR("data: {"))) continue;
        vmt_json_doc *doc = test_parse(t, vmt_str_slice(event, 6, event.len));
        add_deltas(vmt_json_root(doc), choice, &out);
        vmt_json_doc_destroy(doc);
    }
    vmt_str copy = vmt_arena_dup(t->arena, vmt_buf_str(&out));
    vmt_buf_free(&out);
    return copy;
}
