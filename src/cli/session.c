#include "cli/session.h"

#include "base/clock.h"
#include "cli/environment.h"

#include <editline/readline.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define POLL_MS        100u               /* how late Ctrl-C may be noticed */
#define LINE_MAX_BYTES ((size_t)16 << 20) /* one message typed or piped in */

static volatile sig_atomic_t num_interrupts;

static void on_interrupt(int number) {
    (void)number;
    num_interrupts++;
}

bool vmt_session_interrupted(void) {
    bool was = num_interrupts > 0;
    num_interrupts = 0;
    return was;
}

static vmt_status first_model(vmt_session *s, vmt_err *err) {
    vmt_json_doc *doc = NULL;
    vmt_json model = {0};
    vmt_str id;
    VMT_TRY(vmt_openai_get(s->client, &s->target, "models", &doc, err));
    vmt_json_iter it = vmt_json_iter_begin(VMT_JSON_AT(vmt_json_root(doc), "data"));
    bool is_found = vmt_json_iter_next(&it, NULL, &model) && vmt_json_get_str(VMT_JSON_AT(model, "id"), &id);
    if (is_found) s->model = (vmt_str){strndup(id.ptr, id.len), id.len};
    vmt_json_doc_destroy(doc);
    if (!is_found) return vmt_fail(err, VMT_E_NOT_FOUND, "the server lists no model; name one with --model-name");
    return s->model.ptr ? VMT_OK : vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the model's name");
}

vmt_status vmt_session_open(vmt_session *s, const vmt_session_options *options, vmt_err *err) {
    *s = (vmt_session){.shows_stats = options->stats};
    s->target = (vmt_openai_target){options->url, options->api_key};
    if (s->target.api_key.ptr == NULL) s->target.api_key = vmt_environment_get("VLLM_API_KEY");
    if (s->target.api_key.ptr == NULL) s->target.api_key = vmt_environment_get("OPENAI_API_KEY");
    VMT_TRY(vmt_http_client_create(&s->client, NULL, err));
    if (options->model_name.len == 0) {
        VMT_TRY(first_model(s, err));
    } else {
        s->model = (vmt_str){strndup(options->model_name.ptr, options->model_name.len), options->model_name.len};
        if (s->model.ptr == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the model's name");
    }
    /* No SA_RESTART: a read at the prompt has to come back. */
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
    num_interrupts = 0;
    return VMT_OK;
}

void vmt_session_close(vmt_session *s) {
    vmt_http_client_destroy(s->client);
    free((char *)s->model.ptr);
    *s = (vmt_session){0};
    signal(SIGINT, SIG_DFL);
}

static void on_text(void *ctx, vmt_str text) {
    vmt_session *s = ctx;
    fwrite(text.ptr, 1, text.len, stdout);
    fflush(stdout);
    if (s->answer != NULL) vmt_buf_append(s->answer, text);
}

static void print_stats(const vmt_openai_request *r) {
    if (r->first_ns == 0) return;
    double ttft = (double)(r->first_ns - r->started_ns) * 1e-6, rest = (double)(r->last_ns - r->first_ns) * 1e-9;
    int64_t num_tokens = r->num_output_tokens >= 0 ? r->num_output_tokens : (int64_t)r->num_chunks;
    /* The first token's time is TTFT's; the rate is that of the others. */
    double tps = rest > 0 && num_tokens > 1 ? (double)(num_tokens - 1) / rest : 0;
    fflush(stdout);
    fprintf(stderr, "[TTFT %.0f ms, TPS %.1f tokens/s, %lld tokens]\n", ttft, tps, (long long)num_tokens);
}

/* Ctrl-C drops the client with the request in it, and makes a new one. */
static vmt_status wait_for_answer(vmt_session *s, vmt_openai_request *r, vmt_err *err) {
    while (!r->has_ended) {
        vmt_http_client_poll(s->client, POLL_MS);
        if (r->has_ended || num_interrupts == 0) continue;
        vmt_http_client_destroy(s->client);
        VMT_TRY(vmt_http_client_create(&s->client, NULL, err));
        return vmt_fail(err, VMT_E_CANCELLED, "stopped");
    }
    return r->err.code == VMT_OK ? VMT_OK : vmt_fail(err, r->err.code, "%s", r->err.msg);
}

vmt_status vmt_session_ask(vmt_session *s, const char *path, vmt_str body, vmt_buf *answer, vmt_err *err) {
    vmt_openai_request r = {.on_text = on_text, .ctx = s};
    s->answer = answer;
    num_interrupts = 0;
    vmt_status status = vmt_openai_request_start(&r, s->client, &s->target, path, body, err);
    if (status == VMT_OK) status = wait_for_answer(s, &r, err);
    if (r.num_chunks > 0) printf("\n");
    fflush(stdout);
    if (s->shows_stats) print_stats(&r);
    vmt_openai_request_reset(&r);
    s->answer = NULL;
    return status;
}

static bool read_edited(const char *prompt, vmt_buf *out) {
    char *line = readline(prompt);
    if (line == NULL) return false;
    if (line[0] != '\0') add_history(line);
    vmt_buf_append_c(out, line);
    free(line);
    return true;
}

static bool read_plain(vmt_buf *out) {
    int c;
    while ((c = getchar()) != EOF && c != '\n') vmt_buf_append_byte(out, (char)c);
    return c != EOF || out->len > 0;
}

bool vmt_session_read_line(const char *prompt, vmt_buf *out, bool *was_interrupted) {
    vmt_buf_free(out);
    vmt_buf_init(out, LINE_MAX_BYTES);
    num_interrupts = 0;
    bool is_terminal = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
    bool is_read = is_terminal ? read_edited(prompt, out) : read_plain(out);
    *was_interrupted = vmt_session_interrupted();
    return is_read && !out->failed;
}
