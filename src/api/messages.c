/* POST /v1/messages and /v1/messages/count_tokens. */
#include "api/messages.h"
#include "api/chat_request.h"
#include "api/messages_blocks.h"
#include "api/usage.h"

/* Of schema faults; paths are shown without the last one, as Anthropic shows them. */
#define SCHEMA_PREFIX "1 validation error:\n  "
#define BODY_PREFIX   "body."

struct messages {
    vmt_blocks blocks; /* of a stream */
    bool is_cut_short; /* the context ends before max_tokens */
};

/* ---- errors */

#define OVERLOADED_STATUS 529 /* Anthropic's own: a queue is full */

static const struct {
    int status;
    const char *type;
} error_types[] = {
    {400, "invalid_request_error"},
    {401, "authentication_error"},
    {403, "permission_error"},
    {404, "not_found_error"},
    {413, "request_too_large"},
    {429, "rate_limit_error"},
    {500, "api_error"},
    {503, "overloaded_error"},
    {504, "timeout_error"},
    {OVERLOADED_STATUS, "overloaded_error"},
};

static void write_error(vmt_json_writer *w, const vmt_fault *fault) {
    const char *type = "api_error";
    vmt_str message = vmt_str_from(fault->msg);
    for (size_t i = 0; i < VMT_COUNT(error_types); i++) {
        if (error_types[i].status == vmt_fault_status(fault)) type = error_types[i].type;
    }
    if (vmt_str_starts(message, VMT_STR(SCHEMA_PREFIX))) {
        message = vmt_str_slice(message, sizeof SCHEMA_PREFIX - 1, message.len);
    }
    if (vmt_str_starts(message, VMT_STR(BODY_PREFIX))) {
        message = vmt_str_slice(message, sizeof BODY_PREFIX - 1, message.len);
    }
    vmt_json_begin_object(w);
    vmt_json_key(w, "type");
    vmt_json_c_str(w, "error");
    vmt_json_key(w, "error");
    vmt_json_begin_object(w);
    vmt_json_key(w, "type");
    vmt_json_c_str(w, type);
    vmt_json_key(w, "message");
    vmt_json_str(w, message);
    vmt_json_end_object(w);
    vmt_json_end_object(w);
}

void vmt_messages_error_body(const vmt_fault *fault, vmt_buf *out) {
    vmt_json_writer w;
    vmt_json_writer_init(&w, out);
    write_error(&w, fault);
}

static void on_stream_error(vmt_job *job) {
    vmt_buf_clear(&job->out);
    vmt_messages_error_body(&job->fault, &job->out);
    vmt_job_send(job, "error", &job->out);
}

/* ---- requests */

static void send_event(void *ctx, const char *name, const vmt_buf *data) {
    vmt_job_send(ctx, name, data);
}

static bool parse(vmt_job *job) {
    vmt_messages_fields fields;
    vmt_buf chat_body = {0};
    struct messages *m = vmt_job_alloc(job, 1, sizeof *m);
    job->request = m;
    bool ok = m && vmt_messages_translate(job, &fields, false, &chat_body);
    if (ok) {
        const vmt_chat_request_options options = {
            .max_tokens = fields.max_tokens, .max_tokens_param = "max_tokens", .tools_are_a_wish = true};
        m->blocks.send = fields.stream ? send_event : NULL;
        m->blocks.ctx = job;
        ok = vmt_chat_request_prepare(job, &chat_body, &options);
        m->is_cut_short = ok && (int64_t)job->sampling.max_tokens < fields.max_tokens;
    }
    vmt_buf_free(&chat_body);
    return ok;
}

static bool parse_count(vmt_job *job) {
    vmt_messages_fields fields;
    vmt_buf chat_body = {0};
    uint64_t num_tokens = 0;
    bool ok = vmt_messages_translate(job, &fields, true, &chat_body) &&
              vmt_chat_request_count(job, &chat_body, &num_tokens);
    vmt_buf_free(&chat_body);
    if (!ok) return false;
    vmt_json_writer w;
    vmt_json_writer_init(&w, &job->out);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "input_tokens");
    vmt_json_u64(&w, num_tokens);
    vmt_json_key(&w, "context_management");
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "original_input_tokens");
    vmt_json_u64(&w, num_tokens);
    vmt_json_end_object(&w);
    vmt_json_end_object(&w);
    return true;
}

static void on_free(vmt_job *job) {
    struct messages *m = job->request;
    vmt_blocks_free(&m->blocks);
}

/* ---- answers */

static void write_usage(vmt_json_writer *w, const vmt_usage *usage) {
    vmt_json_key(w, "usage");
    vmt_json_begin_object(w);
    vmt_json_key(w, "input_tokens");
    vmt_json_u64(w, usage->prompt_tokens - VMT_MIN(usage->cached_tokens, usage->prompt_tokens));
    vmt_json_key(w, "cache_creation_input_tokens");
    vmt_json_u64(w, 0);
    vmt_json_key(w, "cache_read_input_tokens");
    vmt_json_u64(w, usage->cached_tokens);
    vmt_json_key(w, "output_tokens");
    vmt_json_u64(w, usage->completion_tokens);
    vmt_json_end_object(w);
}

static void write_stop(vmt_json_writer *w, const vmt_job *job, uint32_t num_calls) {
    const struct messages *m = job->request;
    const vmt_choice *choice = &job->choices[0];
    const char *reason = NULL;
    if (choice->is_finished && choice->finish == VMT_FINISH_LENGTH) {
        reason = m->is_cut_short ? "model_context_window_exceeded" : "max_tokens";
    } else if (choice->is_finished && choice->finish == VMT_FINISH_STOP) {
        reason = choice->stop_string_idx >= 0 ? "stop_sequence" : num_calls ? "tool_use" : "end_turn";
    }
    vmt_json_key(w, "stop_reason");
    vmt_json_c_str(w, reason);
    vmt_json_key(w, "stop_sequence");
    if (choice->stop_string_idx >= 0) {
        vmt_json_str(w, job->stop_strings[choice->stop_string_idx]);
    } else {
        vmt_json_null(w);
    }
}

static void begin_message(vmt_json_writer *w, const vmt_job *job) {
    vmt_json_begin_object(w);
    vmt_json_key(w, "id");
    vmt_json_str(w, job->id);
    vmt_json_key(w, "type");
    vmt_json_c_str(w, "message");
    vmt_json_key(w, "role");
    vmt_json_c_str(w, "assistant");
    vmt_json_key(w, "model");
    vmt_json_str(w, job->model);
    vmt_json_key(w, "content");
    vmt_json_begin_array(w);
}

static vmt_json_writer begin_event(vmt_job *job, const char *type) {
    vmt_json_writer w;
    vmt_buf_clear(&job->out);
    vmt_json_writer_init(&w, &job->out);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "type");
    vmt_json_c_str(&w, type);
    return w;
}

static void end_event(vmt_job *job, vmt_json_writer *w, const char *type) {
    vmt_json_end_object(w);
    vmt_job_send(job, type, &job->out);
}

static void on_start(vmt_job *job) {
    vmt_json_writer w = begin_event(job, "message_start");
    vmt_json_key(&w, "message");
    begin_message(&w, job);
    vmt_json_end_array(&w);
    vmt_json_key(&w, "stop_reason");
    vmt_json_null(&w);
    vmt_json_key(&w, "stop_sequence");
    vmt_json_null(&w);
    vmt_usage usage = vmt_usage_of_job(job);
    usage.completion_tokens = 0;
    write_usage(&w, &usage);
    vmt_json_end_object(&w);
    end_event(job, &w, "message_start");
}

static void on_ping(vmt_job *job) {
    vmt_json_writer w = begin_event(job, "ping");
    end_event(job, &w, "ping");
}

static void on_delta(vmt_job *job, vmt_choice *choice) {
    struct messages *m = job->request;
    vmt_answer_read(job, choice, vmt_blocks_take, &m->blocks);
}

static void on_end(vmt_job *job) {
    struct messages *m = job->request;
    vmt_blocks_finish(&m->blocks);
    vmt_json_writer w = begin_event(job, "message_delta");
    vmt_json_key(&w, "delta");
    vmt_json_begin_object(&w);
    write_stop(&w, job, m->blocks.num_calls);
    vmt_json_end_object(&w);
    vmt_usage usage = vmt_usage_of_job(job);
    write_usage(&w, &usage);
    end_event(job, &w, "message_delta");
    w = begin_event(job, "message_stop");
    end_event(job, &w, "message_stop");
}

static void on_final(vmt_job *job) {
    struct messages *m = job->request;
    vmt_answer_read(job, &job->choices[0], vmt_blocks_take, &m->blocks);
    vmt_blocks_finish(&m->blocks);
    vmt_json_writer w;
    vmt_buf_clear(&job->out);
    vmt_json_writer_init(&w, &job->out);
    begin_message(&w, job);
    vmt_json_raw(&w, vmt_buf_str(&m->blocks.content));
    vmt_json_end_array(&w);
    write_stop(&w, job, m->blocks.num_calls);
    vmt_usage usage = vmt_usage_of_job(job);
    write_usage(&w, &usage);
    vmt_json_end_object(&w);
    if (vmt_blocks_failed(&m->blocks)) job->out.failed = true;
}

const vmt_dialect vmt_messages = {
    .name = "messages",
    .id_prefix = "msg_",
    .parse = parse,
    .on_start = on_start,
    .on_delta = on_delta,
    .on_end = on_end,
    .on_final = on_final,
    .on_ping = on_ping,
    .on_error = vmt_messages_error_body,
    .busy_status = OVERLOADED_STATUS,
    .on_stream_error = on_stream_error,
    .on_free = on_free,
};

const vmt_dialect vmt_messages_count_tokens = {
    .name = "messages_count_tokens",
    .id_prefix = "msg_",
    .no_engine = true,
    .parse = parse_count,
    .on_error = vmt_messages_error_body,
    .busy_status = OVERLOADED_STATUS,
};
