/* vmetal chat: a conversation with a server. */
#include "cli/command_error.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "json/json_writer.h"

#define CONVERSATION_MAX ((size_t)256 << 20) /* bytes of all messages */

typedef struct chat_options {
    vmt_session_options session;
    vmt_str system_prompt;
    int64_t max_tokens;
    double temperature; /* below 0: the server's default */
} chat_options;

static const chat_options defaults = {.session = VMT_SESSION_DEFAULTS, .temperature = -1};

static const vmt_flag flags[] = {
#define OWNER chat_options
#include "cli/session_flags.def"
#undef OWNER
    {.name = "system-prompt",
     .kind = VMT_FLAG_STR,
     .group = "Options",
     .value = "TEXT",
     .help = "what the model is told before the conversation",
     .offset = offsetof(chat_options, system_prompt)},
    {.name = "max-tokens",
     .kind = VMT_FLAG_INT,
     .group = "Options",
     .value = "N",
     .help = "longest answer, in tokens",
     .default_text = "the server's",
     .min = 1,
     .max = 1e9,
     .offset = offsetof(chat_options, max_tokens)},
    {.name = "temperature",
     .kind = VMT_FLAG_FLOAT,
     .group = "Options",
     .value = "T",
     .help = "0: always the likeliest token",
     .default_text = "the server's",
     .min = 0,
     .max = 100,
     .offset = offsetof(chat_options, temperature)},
};

struct chat {
    const chat_options *options;
    vmt_session session;
    vmt_buf messages; /* JSON objects with commas between them */
};

static void add_message(struct chat *c, const char *role, vmt_str text) {
    vmt_json_writer w;
    if (c->messages.len > 0) vmt_buf_append_byte(&c->messages, ',');
    vmt_json_writer_init(&w, &c->messages);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "role");
    vmt_json_c_str(&w, role);
    vmt_json_key(&w, "content");
    vmt_json_str(&w, text);
    vmt_json_end_object(&w);
}

static void begin(struct chat *c) {
    vmt_buf_clear(&c->messages);
    if (c->options->system_prompt.len > 0) add_message(c, "system", c->options->system_prompt);
}

static void write_body(const struct chat *c, vmt_buf *body) {
    vmt_json_writer w;
    vmt_json_writer_init(&w, body);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "model");
    vmt_json_str(&w, c->session.model);
    vmt_json_key(&w, "messages");
    vmt_json_begin_array(&w);
    vmt_json_raw(&w, vmt_buf_str(&c->messages));
    vmt_json_end_array(&w);
    vmt_json_key(&w, "stream");
    vmt_json_bool(&w, true);
    vmt_json_key(&w, "stream_options");
    vmt_json_raw(&w, VMT_STR("{\"include_usage\":true}"));
    if (c->options->max_tokens > 0) {
        vmt_json_key(&w, "max_tokens");
        vmt_json_i64(&w, c->options->max_tokens);
    }
    if (c->options->temperature >= 0) {
        vmt_json_key(&w, "temperature");
        vmt_json_f64(&w, c->options->temperature);
    }
    vmt_json_end_object(&w);
}

/* Sends text; a failed question is taken out again, an interrupted answer stays as far as it came. */
static vmt_status ask(struct chat *c, vmt_str text, vmt_err *err) {
    vmt_buf body, answer;
    size_t before = c->messages.len;
    vmt_buf_init(&body, 0);
    vmt_buf_init(&answer, CONVERSATION_MAX);
    add_message(c, "user", text);
    write_body(c, &body);
    vmt_status status = VMT_E_EXHAUSTED;
    if (c->messages.failed || body.failed) {
        vmt_fail(err, status, "the conversation has more than %zu bytes", CONVERSATION_MAX);
    } else {
        status = vmt_session_ask(&c->session, "chat/completions", vmt_buf_str(&body), &answer, err);
    }
    if (status == VMT_OK || (status == VMT_E_CANCELLED && answer.len > 0)) {
        add_message(c, "assistant", vmt_buf_str(&answer));
    } else {
        c->messages.failed = false;
        c->messages.len = before;
    }
    vmt_buf_free(&answer);
    vmt_buf_free(&body);
    return status;
}

/* Until the end of input, /exit, or Ctrl-C twice in a row. */
static void converse(struct chat *c) {
    vmt_buf line;
    bool was_interrupted = false, is_second = false;
    vmt_buf_init(&line, 0);
    fprintf(stderr, "%.*s at %.*s; /reset forgets, /exit or Ctrl-D ends, Ctrl-C stops an answer\n",
            VMT_STR_ARG(c->session.model), VMT_STR_ARG(c->session.target.url));
    for (;;) {
        bool is_read = vmt_session_read_line("> ", &line, &was_interrupted);
        if (was_interrupted && !is_second) {
            fprintf(stderr, "\n(Ctrl-C again ends the chat)\n");
            is_second = true;
            clearerr(stdin);
            continue;
        }
        vmt_str text = vmt_str_trim(vmt_buf_str(&line));
        if (!is_read || was_interrupted || vmt_str_eq_c(text, "/exit") || vmt_str_eq_c(text, "/quit")) break;
        is_second = false;
        if (text.len == 0) continue;
        if (vmt_str_eq_c(text, "/reset")) {
            begin(c);
            continue;
        }
        vmt_err err = {0};
        vmt_status status = ask(c, text, &err);
        is_second = status == VMT_E_CANCELLED;
        if (is_second) fprintf(stderr, "(stopped; Ctrl-C again ends the chat)\n");
        if (status != VMT_OK && !is_second) fprintf(stderr, "vmetal chat: %s\n", err.msg);
    }
    vmt_buf_free(&line);
}

static int run(const void *options) {
    struct chat c = {.options = options};
    vmt_err err = {0};
    vmt_buf_init(&c.messages, CONVERSATION_MAX);
    vmt_status status = vmt_session_open(&c.session, &c.options->session, &err);
    if (status == VMT_OK) {
        begin(&c);
        if (c.options->session.quick.ptr != NULL) {
            status = ask(&c, c.options->session.quick, &err);
        } else {
            converse(&c);
        }
    }
    vmt_session_close(&c.session);
    vmt_buf_free(&c.messages);
    return status == VMT_OK ? EXIT_SUCCESS : vmt_command_fail("chat", status, &err);
}

const vmt_command vmt_chat_command = {
    .name = "chat",
    .summary = "talks with a running server",
    .usage = "vmetal chat [flags]",
    .flags = flags,
    .num_flags = VMT_COUNT(flags),
    .example = "vmetal chat -q \"What is the capital of France?\" --stats",
    .run = run,
    .defaults = &defaults,
    .options_bytes = sizeof(chat_options),
};
