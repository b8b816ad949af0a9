/* vmetal complete: lets a server continue a text. */
#include "cli/command_error.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "json/json_writer.h"

typedef struct complete_options {
    vmt_session_options session;
    int64_t max_tokens;
    double temperature; /* below 0: the server's default */
} complete_options;

static const complete_options defaults = {.session = VMT_SESSION_DEFAULTS, .temperature = -1};

static const vmt_flag flags[] = {
#define OWNER complete_options
#include "cli/session_flags.def"
#undef OWNER
    {.name = "max-tokens",
     .kind = VMT_FLAG_INT,
     .group = "Options",
     .value = "N",
     .help = "longest continuation, in tokens",
     .default_text = "the server's",
     .min = 1,
     .max = 1e9,
     .offset = offsetof(complete_options, max_tokens)},
    {.name = "temperature",
     .kind = VMT_FLAG_FLOAT,
     .group = "Options",
     .value = "T",
     .help = "0: always the likeliest token",
     .default_text = "the server's",
     .min = 0,
     .max = 100,
     .offset = offsetof(complete_options, temperature)},
};

static vmt_status ask(vmt_session *session, const complete_options *o, vmt_str prompt, vmt_err *err) {
    vmt_buf body;
    vmt_json_writer w;
    vmt_buf_init(&body, 0);
    vmt_json_writer_init(&w, &body);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "model");
    vmt_json_str(&w, session->model);
    vmt_json_key(&w, "prompt");
    vmt_json_str(&w, prompt);
    vmt_json_key(&w, "stream");
    vmt_json_bool(&w, true);
    vmt_json_key(&w, "stream_options");
    vmt_json_raw(&w, VMT_STR("{\"include_usage\":true}"));
    if (o->max_tokens > 0) {
        vmt_json_key(&w, "max_tokens");
        vmt_json_i64(&w, o->max_tokens);
    }
    if (o->temperature >= 0) {
        vmt_json_key(&w, "temperature");
        vmt_json_f64(&w, o->temperature);
    }
    vmt_json_end_object(&w);
    vmt_status status = body.failed ? vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the prompt")
                                    : vmt_session_ask(session, "completions", vmt_buf_str(&body), NULL, err);
    vmt_buf_free(&body);
    return status;
}

static void continue_lines(vmt_session *session, const complete_options *o) {
    vmt_buf line;
    bool was_interrupted = false;
    vmt_buf_init(&line, 0);
    while (vmt_session_read_line("> ", &line, &was_interrupted) && !was_interrupted) {
        vmt_err err = {0};
        if (line.len == 0) continue;
        vmt_status status = ask(session, o, vmt_buf_str(&line), &err);
        if (status != VMT_OK && status != VMT_E_CANCELLED) fprintf(stderr, "vmetal complete: %s\n", err.msg);
    }
    vmt_buf_free(&line);
}

static int run(const void *opts) {
    const complete_options *o = opts;
    vmt_session session;
    vmt_err err = {0};
    vmt_status status = vmt_session_open(&session, &o->session, &err);
    if (status == VMT_OK && o->session.quick.ptr != NULL) {
        status = ask(&session, o, o->session.quick, &err);
    } else if (status == VMT_OK) {
        continue_lines(&session, o);
    }
    vmt_session_close(&session);
    return status == VMT_OK ? EXIT_SUCCESS : vmt_command_fail("complete", status, &err);
}

const vmt_command vmt_complete_command = {
    .name = "complete",
    .summary = "lets a running server continue a text",
    .usage = "vmetal complete [flags]",
    .flags = flags,
    .num_flags = VMT_COUNT(flags),
    .example = "vmetal complete -q \"Once upon a time\" --max-tokens 40",
    .run = run,
    .defaults = &defaults,
    .options_bytes = sizeof(complete_options),
};
