/* POST /api/chat and /api/generate: lines of JSON, streamed unless the request says otherwise. */
#include "api/ollama.h"
#include "api/chat_request.h"
#include "api/usage.h"
#include "base/clock.h"

struct ollama {
    vmt_str model; /* as the client calls it */
    bool is_chat;
    /* Of a whole answer, and of a call until it is whole. */
    vmt_buf content, thinking, calls, args, name, id;
    uint32_t num_calls;
};

/* ---- requests */

/* Keeps what the answer needs of the request. */
static bool remember(vmt_job *job, struct ollama *o, vmt_str given) {
    o->model = vmt_job_dup(job, given);
    return o->model.ptr != NULL;
}

static void write_head(vmt_json_writer *w, const struct ollama *o) {
    char now[VMT_OLLAMA_TIME_BYTES];
    vmt_ollama_time(vmt_clock_unix_ns(), now);
    vmt_json_begin_object(w);
    vmt_json_key(w, "model");
    vmt_json_str(w, o->model);
    vmt_json_key(w, "created_at");
    vmt_json_c_str(w, now);
}

static void write_str(vmt_json_writer *w, const char *key, const vmt_buf *text) {
    vmt_json_key(w, key);
    vmt_json_str(w, text && text->len ? vmt_buf_str(text) : VMT_STR(""));
}

/* The message, or its text; NULL or empty buffers are left out, but for the text. */
static void write_said(vmt_json_writer *w, const struct ollama *o, const vmt_buf *content, const vmt_buf *thinking,
                       const vmt_buf *calls) {
    if (o->is_chat) {
        vmt_json_key(w, "message");
        vmt_json_begin_object(w);
        vmt_json_key(w, "role");
        vmt_json_c_str(w, "assistant");
    }
    write_str(w, o->is_chat ? "content" : "response", content);
    if (thinking && thinking->len) write_str(w, "thinking", thinking);
    if (calls && calls->len) {
        vmt_json_key(w, "tool_calls");
        vmt_json_begin_array(w);
        vmt_json_raw(w, vmt_buf_str(calls));
        vmt_json_end_array(w);
    }
    if (o->is_chat) vmt_json_end_object(w);
}

static void write_done(vmt_json_writer *w, const char *reason) {
    vmt_json_key(w, "done");
    vmt_json_bool(w, true);
    vmt_json_key(w, "done_reason");
    vmt_json_c_str(w, reason);
}

/* Nothing to answer: the client only wants the model in memory, or out of it, which it stays all the same. */
static bool answer_load(vmt_job *job, const struct ollama *o, const vmt_ollama_fields *fields) {
    vmt_json_writer w;
    int64_t keep_alive = 1;
    vmt_field_to_int(fields->keep_alive, &keep_alive);
    vmt_json_writer_init(&w, &job->out);
    write_head(&w, o);
    write_said(&w, o, NULL, NULL, NULL);
    write_done(&w, keep_alive == 0 ? "unload" : "load");
    vmt_json_end_object(&w);
    vmt_buf_append_byte(&job->out, '\n');
    return true;
}

static bool ask_for_middle(vmt_job *job, const vmt_ollama_fields *f, vmt_buf *prompt,
                           vmt_chat_request_options *options) {
    options->fim = vmt_fim_find(job->api->config.tokenizer);
    if (!options->fim) {
        return vmt_fault_rule(&job->fault, "suffix", NULL,
                              "suffix needs a model that fills in the middle, and this one has no tokens for it.");
    }
    vmt_fim_write(options->fim, f->prompt, f->suffix, prompt);
    options->raw_prompt = vmt_buf_str(prompt);
    return !prompt->failed || vmt_fault_other(&job->fault, VMT_FAULT_BUSY, "suffix", "no memory for the prompt");
}

static bool parse(vmt_job *job, bool is_chat) {
    vmt_ollama_fields fields;
    vmt_str given, served;
    vmt_json body;
    struct ollama *o = vmt_job_alloc(job, 1, sizeof *o);
    job->request = o;
    if (!o || !vmt_ollama_read(job, &fields, &given, &served, &body) || !remember(job, o, given)) return false;
    o->is_chat = is_chat;
    if (is_chat ? vmt_json_size(fields.messages) == 0 : fields.prompt.len + fields.suffix.len == 0)
        return answer_load(job, o, &fields);
    if (vmt_json_size(fields.tools) > 0 && !job->api->output_rules.dialect) {
        return vmt_fault_rule(&job->fault, NULL, NULL, "%.*s does not support tools", VMT_STR_ARG(o->model));
    }
    vmt_buf chat_body = {0}, middle = {0};
    vmt_chat_request_options options = {
        .max_tokens = fields.num_predict,
        .max_tokens_param = "num_predict",
        .raw_prompt = fields.raw && !is_chat ? fields.prompt : (vmt_str){0},
    };
    if (!is_chat && fields.suffix.len && !ask_for_middle(job, &fields, &middle, &options)) return false;
    bool ok = is_chat ? vmt_ollama_translate_chat(job, &fields, served, &chat_body)
                      : vmt_ollama_translate_generate(job, &fields, served, &chat_body);
    ok = ok && vmt_chat_request_prepare(job, &chat_body, &options);
    vmt_buf_free(&chat_body);
    vmt_buf_free(&middle);
    return ok;
}

static bool parse_chat(vmt_job *job) {
    return parse(job, true);
}

static bool parse_generate(vmt_job *job) {
    return parse(job, false);
}

static void on_free(vmt_job *job) {
    struct ollama *o = job->request;
    vmt_buf *bufs[] = {&o->content, &o->thinking, &o->calls, &o->args, &o->name, &o->id};
    for (size_t i = 0; i < VMT_COUNT(bufs); i++) vmt_buf_free(bufs[i]);
}

/* ---- answers */

static void finish_call(struct ollama *o) {
    vmt_json_writer w;
    vmt_json_writer_init(&w, &o->calls);
    w.need_comma = o->calls.len > 0;
    vmt_json_begin_object(&w);
    write_str(&w, "id", &o->id);
    vmt_json_key(&w, "function");
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "index");
    vmt_json_u64(&w, o->num_calls++);
    write_str(&w, "name", &o->name);
    vmt_json_key(&w, "arguments");
    vmt_json_raw(&w, o->args.len ? vmt_buf_str(&o->args) : VMT_STR("{}"));
    vmt_json_end_object(&w);
    vmt_json_end_object(&w);
}

static void collect(void *ctx, const vmt_answer_event *event) {
    struct ollama *o = ctx;
    char own[VMT_ANSWER_ID_BYTES];
    switch (event->kind) {
    case VMT_ANSWER_REASONING: vmt_buf_append(&o->thinking, event->text); break;
    case VMT_ANSWER_CONTENT:
    case VMT_ANSWER_CALL_BROKEN: vmt_buf_append(&o->content, event->text); break;
    case VMT_ANSWER_CALL_START:
        vmt_answer_make_id(own, "call_");
        vmt_buf_clear(&o->args);
        vmt_buf_clear(&o->name);
        vmt_buf_clear(&o->id);
        vmt_buf_append(&o->name, event->name);
        vmt_buf_append(&o->id, event->id.len ? event->id : vmt_str_from(own));
        break;
    case VMT_ANSWER_CALL_ARGS: vmt_buf_append(&o->args, event->text); break;
    case VMT_ANSWER_CALL_END: finish_call(o); break;
    }
}

static void write_counts(vmt_json_writer *w, const vmt_job *job) {
    const vmt_choice *choice = &job->choices[0];
    vmt_generation_stats stats = vmt_generation_get_stats(choice->gen->gen);
    uint64_t now_ns = vmt_clock_ns();
    uint64_t first_ns = stats.first_token_ns ? stats.first_token_ns : now_ns;
    uint64_t scheduled_ns = stats.scheduled_ns ? stats.scheduled_ns : first_ns;
    const struct {
        const char *key;
        uint64_t value;
    } rows[] = {
        {"total_duration", now_ns > job->arrived_ns ? now_ns - job->arrived_ns : 0},
        {"load_duration", 0},
        {"prompt_eval_count", job->prompts[0].tokens.len},
        {"prompt_eval_duration", first_ns > scheduled_ns ? first_ns - scheduled_ns : 0},
        {"eval_count", choice->num_tokens},
        {"eval_duration", now_ns > first_ns ? now_ns - first_ns : 0},
    };
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        vmt_json_key(w, rows[i].key);
        vmt_json_u64(w, rows[i].value);
    }
}

static const char *done_reason(const vmt_job *job) {
    return job->choices[0].finish == VMT_FINISH_LENGTH ? "length" : "stop";
}

static vmt_json_writer begin_line(vmt_job *job) {
    vmt_json_writer w;
    vmt_buf_clear(&job->out);
    vmt_json_writer_init(&w, &job->out);
    write_head(&w, job->request);
    return w;
}

static void send_line(vmt_job *job, vmt_json_writer *w) {
    vmt_json_end_object(w);
    vmt_buf_append_byte(&job->out, '\n');
    vmt_job_send(job, NULL, &job->out);
}

static void on_delta(vmt_job *job, vmt_choice *choice) {
    struct ollama *o = job->request;
    vmt_answer_read(job, choice, collect, o);
    if (o->content.len == 0 && o->thinking.len == 0 && o->calls.len == 0) return;
    vmt_json_writer w = begin_line(job);
    write_said(&w, o, &o->content, &o->thinking, &o->calls);
    vmt_json_key(&w, "done");
    vmt_json_bool(&w, false);
    send_line(job, &w);
    vmt_buf_clear(&o->content);
    vmt_buf_clear(&o->thinking);
    vmt_buf_clear(&o->calls);
}

static void on_end(vmt_job *job) {
    vmt_json_writer w = begin_line(job);
    write_said(&w, job->request, NULL, NULL, NULL);
    write_done(&w, done_reason(job));
    write_counts(&w, job);
    send_line(job, &w);
}

static void on_final(vmt_job *job) {
    struct ollama *o = job->request;
    vmt_answer_read(job, &job->choices[0], collect, o);
    vmt_json_writer w = begin_line(job);
    write_said(&w, o, &o->content, &o->thinking, &o->calls);
    write_done(&w, done_reason(job));
    write_counts(&w, job);
    vmt_json_end_object(&w);
    if (o->content.failed || o->thinking.failed || o->calls.failed || o->args.failed) job->out.failed = true;
}

static void on_stream_error(vmt_job *job) {
    vmt_buf_clear(&job->out);
    vmt_ollama_error_body(&job->fault, &job->out);
    vmt_buf_append_byte(&job->out, '\n');
    vmt_job_send(job, NULL, &job->out);
}

#define OLLAMA_DIALECT(dialect_name, parse_function) \
    {                                                \
        .name = dialect_name,                        \
        .id_prefix = "ollama-",                      \
        .is_ndjson = true,                           \
        .parse = parse_function,                     \
        .on_delta = on_delta,                        \
        .on_end = on_end,                            \
        .on_final = on_final,                        \
        .on_error = vmt_ollama_error_body,           \
        .on_stream_error = on_stream_error,          \
        .on_free = on_free,                          \
    }
const vmt_dialect vmt_ollama_chat = OLLAMA_DIALECT("ollama_chat", parse_chat);
const vmt_dialect vmt_ollama_generate = OLLAMA_DIALECT("ollama_generate", parse_generate);
