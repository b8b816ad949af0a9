/* POST /v1/responses, GET and DELETE /v1/responses/{id}, POST /v1/responses/{id}/cancel. */
#include "api/responses.h"
#include "api/chat_request.h"
#include "api/response_store.h"
#include "api/usage.h"

#define PATH_PREFIX   "/v1/responses/"
#define CANCEL_SUFFIX "/cancel"

/* ---- the response object */

static void write_usage(vmt_json_writer *w, const vmt_job *job) {
    vmt_usage usage = vmt_usage_of_job(job);
    vmt_json_begin_object(w);
    vmt_json_key(w, "input_tokens");
    vmt_json_u64(w, usage.prompt_tokens);
    vmt_json_key(w, "input_tokens_details");
    vmt_json_begin_object(w);
    vmt_json_key(w, "cached_tokens");
    vmt_json_u64(w, usage.cached_tokens);
    vmt_json_end_object(w);
    vmt_json_key(w, "output_tokens");
    vmt_json_u64(w, usage.completion_tokens);
    vmt_json_key(w, "output_tokens_details");
    vmt_json_begin_object(w);
    vmt_json_key(w, "reasoning_tokens");
    vmt_json_u64(w, usage.reasoning_tokens);
    vmt_json_end_object(w);
    vmt_json_key(w, "total_tokens");
    vmt_json_u64(w, usage.prompt_tokens + usage.completion_tokens);
    vmt_json_end_object(w);
}

static const char *status_of(const vmt_job *job) {
    const vmt_choice *choice = &job->choices[0];
    if (job->fault.kind != VMT_FAULT_NONE) return "failed";
    if (!choice->is_finished) return "in_progress";
    if (choice->finish == VMT_FINISH_LENGTH) return "incomplete";
    return choice->finish == VMT_FINISH_ABORT ? "cancelled" : "completed";
}

static void write_error(vmt_json_writer *w, const vmt_fault *fault) {
    vmt_json_begin_object(w);
    vmt_json_key(w, "code");
    vmt_json_c_str(w, vmt_fault_status(fault) >= 500 ? "server_error" : "invalid_prompt");
    vmt_json_key(w, "message");
    vmt_json_c_str(w, fault->msg);
    vmt_json_end_object(w);
}

static void write_response(vmt_json_writer *w, const vmt_job *job) {
    const vmt_responses_request *request = job->request;
    const char *status = status_of(job);
    bool is_over = strcmp(status, "in_progress") != 0;
    vmt_json_begin_object(w);
    vmt_json_key(w, "id");
    vmt_json_str(w, job->id);
    vmt_json_key(w, "object");
    vmt_json_c_str(w, "response");
    vmt_json_key(w, "created_at");
    vmt_json_i64(w, job->created_unix_s);
    vmt_json_key(w, "status");
    vmt_json_c_str(w, status);
    vmt_json_key(w, "error");
    if (job->fault.kind != VMT_FAULT_NONE) {
        write_error(w, &job->fault);
    } else {
        vmt_json_null(w);
    }
    vmt_json_key(w, "incomplete_details");
    if (strcmp(status, "incomplete") == 0) {
        vmt_json_begin_object(w);
        vmt_json_key(w, "reason");
        vmt_json_c_str(w, "max_output_tokens");
        vmt_json_end_object(w);
    } else {
        vmt_json_null(w);
    }
    vmt_json_key(w, "model");
    vmt_json_str(w, job->model);
    vmt_json_key(w, "output");
    vmt_json_begin_array(w);
    if (is_over && request->items.output.len) vmt_json_raw(w, vmt_buf_str(&request->items.output));
    vmt_json_end_array(w);
    vmt_json_raw(w, request->echo);
    vmt_json_key(w, "usage");
    if (is_over) {
        write_usage(w, job);
    } else {
        vmt_json_null(w);
    }
    vmt_json_end_object(w);
}

/* ---- requests */

static void send_event(void *ctx, const char *name, const vmt_buf *data) {
    vmt_job_send(ctx, name, data);
}

static bool parse(vmt_job *job) {
    vmt_buf chat_body = {0};
    vmt_responses_request *request = vmt_job_alloc(job, 1, sizeof *request);
    job->request = request;
    bool ok = request && vmt_responses_translate(job, request, &chat_body);
    if (ok) {
        const vmt_chat_request_options options = {.max_tokens = request->max_output_tokens,
                                                  .max_tokens_param = "max_output_tokens",
                                                  .logprobs = {request->top_logprobs, "top_logprobs"},
                                                  .tools_are_a_wish = true};
        request->items.send = request->stream ? send_event : NULL;
        request->items.ctx = job;
        ok = vmt_chat_request_prepare(job, &chat_body, &options);
    }
    vmt_buf_free(&chat_body);
    if (request && !(ok && request->store)) vmt_buf_free(&request->history); /* it may be large: not on the loop */
    return ok;
}

static void on_free(vmt_job *job) {
    vmt_responses_request *request = job->request;
    vmt_response_items_free(&request->items);
    vmt_buf_free(&request->history);
    vmt_buf_free(&request->pending_logprobs);
}

/* Keeps what was said, and the object in job->out or part of it. */
static void keep(vmt_job *job, vmt_str object) {
    vmt_responses_request *request = job->request;
    if (!request->store || object.len == 0) return;
    vmt_buf *history = &request->history;
    if (history->len && request->items.output.len) vmt_buf_append_byte(history, ',');
    vmt_buf_append(history, vmt_buf_str(&request->items.output));
    if (!history->failed) vmt_response_store_put(job->api->responses, job->id, vmt_buf_str(history), object);
}

/* ---- answers */

/* An event that holds the response object; the object's place in job->out is returned. */
static vmt_str send_response(vmt_job *job, const char *name) {
    vmt_responses_request *request = job->request;
    vmt_json_writer w;
    vmt_buf_clear(&job->out);
    vmt_json_writer_init(&w, &job->out);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "type");
    vmt_json_c_str(&w, name);
    vmt_json_key(&w, "sequence_number");
    vmt_json_u64(&w, request->items.sequence_number++);
    vmt_json_key(&w, "response");
    size_t begin = job->out.len;
    write_response(&w, job);
    size_t end = job->out.len;
    vmt_json_end_object(&w);
    if (job->out.failed) return (vmt_str){0};
    vmt_job_send(job, name, &job->out);
    return vmt_str_slice(vmt_buf_str(&job->out), begin, end);
}

static void on_start(vmt_job *job) {
    send_response(job, "response.created");
    send_response(job, "response.in_progress");
}

static void see(vmt_responses_request *request, const vmt_choice *choice) {
    request->text_seen = choice->text.len;
    request->reasoning_seen = choice->output.reasoning.len;
    request->calls_seen = choice->output.num_calls;
}

/* Tokens belong to the message once text of it came of them, and to nobody whose logprobs are shown once reasoning or a
 * call did. */
static void settle_logprobs(vmt_responses_request *request, const vmt_choice *choice) {
    vmt_buf *pending = &request->pending_logprobs, *fresh = &request->items.fresh_logprobs;
    bool is_text = choice->text.len > request->text_seen;
    bool is_other =
        choice->output.reasoning.len > request->reasoning_seen || choice->output.num_calls > request->calls_seen;
    if (is_text && pending->len) {
        if (fresh->len) vmt_buf_append_byte(fresh, ',');
        vmt_buf_append(fresh, vmt_buf_str(pending));
    }
    if (is_text || is_other) vmt_buf_clear(pending);
    see(request, choice);
}

static void on_token(vmt_job *job, vmt_choice *choice, const vmt_output_token *token) {
    vmt_responses_request *request = job->request;
    if (!job->wants_logprobs) return;
    settle_logprobs(request, choice);
    bool is_stop = token->is_end && vmt_generation_finish(choice->gen->gen, 0, NULL) == VMT_FINISH_STOP;
    const vmt_output_parser *parser = choice->output.parser;
    if (is_stop || (parser && vmt_output_parser_in_reasoning(parser))) return;
    vmt_json_writer w;
    vmt_json_writer_init(&w, &request->pending_logprobs);
    w.need_comma = request->pending_logprobs.len > 0;
    vmt_logprobs_chat_entry(&w, &job->logprobs_style, token);
    if (request->pending_logprobs.failed) choice->text.failed = true;
}

static void on_delta(vmt_job *job, vmt_choice *choice) {
    vmt_responses_request *request = job->request;
    settle_logprobs(request, choice);
    vmt_answer_read(job, choice, vmt_response_items_take, &request->items);
    /* What was read is forgotten when it is sent. */
    request->text_seen = request->reasoning_seen = 0;
}

/* The status of an item that generation ended in. */
static const char *item_status(const vmt_job *job) {
    return strcmp(status_of(job), "completed") == 0 ? "completed" : "incomplete";
}

static void on_end(vmt_job *job) {
    vmt_responses_request *request = job->request;
    vmt_response_items_finish(&request->items, item_status(job));
    bool is_incomplete = strcmp(status_of(job), "incomplete") == 0;
    keep(job, send_response(job, is_incomplete ? "response.incomplete" : "response.completed"));
}

static void on_final(vmt_job *job) {
    vmt_responses_request *request = job->request;
    settle_logprobs(request, &job->choices[0]);
    vmt_answer_read(job, &job->choices[0], vmt_response_items_take, &request->items);
    vmt_response_items_finish(&request->items, item_status(job));
    vmt_json_writer w;
    vmt_buf_clear(&job->out);
    vmt_json_writer_init(&w, &job->out);
    write_response(&w, job);
    if (vmt_response_items_failed(&request->items)) job->out.failed = true;
    if (!job->out.failed) keep(job, vmt_buf_str(&job->out));
}

static void on_stream_error(vmt_job *job) {
    send_response(job, "response.failed");
}

const vmt_dialect vmt_responses = {
    .name = "responses",
    .id_prefix = "resp_",
    .starts_early = true,
    .parse = parse,
    .on_token = on_token,
    .on_start = on_start,
    .on_delta = on_delta,
    .on_end = on_end,
    .on_final = on_final,
    .on_error = vmt_fault_openai_body,
    .on_stream_error = on_stream_error,
    .on_free = on_free,
};

/* ---- kept responses */

static vmt_str id_of(const vmt_api *api, const vmt_http_exchange *x) {
    vmt_str path = vmt_api_path(api, x);
    return vmt_str_slice(path, sizeof PATH_PREFIX - 1, path.len);
}

static void respond_fault(vmt_http_exchange *x, const vmt_fault *fault) {
    vmt_buf body = {0};
    vmt_fault_openai_body(fault, &body);
    vmt_api_respond_json(x, vmt_fault_status(fault), &body);
    vmt_buf_free(&body);
}

static void respond_not_found(vmt_http_exchange *x, vmt_str id) {
    vmt_fault fault = {0};
    vmt_fault_other(&fault, VMT_FAULT_NO_RESPONSE, "response_id", "Response with id '%.*s' not found.",
                    (int)VMT_MIN(id.len, 256), id.ptr);
    respond_fault(x, &fault);
}

void vmt_get_response(vmt_api *api, vmt_http_exchange *x) {
    vmt_buf body = {0};
    vmt_str id = id_of(api, x);
    if (vmt_response_store_get(api->responses, id, NULL, &body)) {
        vmt_api_respond_json(x, 200, &body);
    } else {
        respond_not_found(x, id);
    }
    vmt_buf_free(&body);
}

void vmt_delete_response(vmt_api *api, vmt_http_exchange *x) {
    vmt_str id = id_of(api, x);
    if (!vmt_response_store_remove(api->responses, id)) {
        respond_not_found(x, id);
        return;
    }
    vmt_buf body = {0};
    vmt_json_writer w;
    vmt_json_writer_init(&w, &body);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "id");
    vmt_json_str(&w, id);
    vmt_json_key(&w, "object");
    vmt_json_c_str(&w, "response");
    vmt_json_key(&w, "deleted");
    vmt_json_bool(&w, true);
    vmt_json_end_object(&w);
    vmt_api_respond_json(x, 200, &body);
    vmt_buf_free(&body);
}

void vmt_post_response(vmt_api *api, vmt_http_exchange *x) {
    vmt_str id = id_of(api, x);
    if (!vmt_str_ends(id, VMT_STR(CANCEL_SUFFIX))) {
        vmt_api_respond_detail(x, 404, "Not Found");
        return;
    }
    id.len -= sizeof CANCEL_SUFFIX - 1;
    if (!vmt_response_store_get(api->responses, id, NULL, NULL)) {
        respond_not_found(x, id);
        return;
    }
    vmt_fault fault = {0};
    vmt_fault_rule(&fault, "response_id", NULL, "Cannot cancel a synchronous response.");
    respond_fault(x, &fault);
}
