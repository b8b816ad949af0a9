#include "api/job.h"
#include "api/constraint.h"
#include "api/turns.h"
#include "api/usage.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/sse.h"

#include <stdlib.h>

#define FORMAT_ON_LOOP_BYTES_MAX \
    ((size_t)256 << 10) /* more than this is formatted on a text thread: 5 ms of loop time */
#define RETRY_AFTER_S "1"
#define NUMBER_BYTES  12u /* of a number of a vector, about */
#define TOKEN_BYTES   4u  /* of a token's text, about */
#define NS_PER_MS     1000000ull
#define TURN_NS_MAX   (2 * NS_PER_MS) /* of news dealt with in one go */

/* ---- memory */

void *vmt_job_alloc(vmt_job *job, size_t count, size_t elem_bytes) {
    void *memory = vmt_arena_calloc(job->arena, count, elem_bytes);
    if (!memory) {
        vmt_fault_rule(&job->fault, NULL, NULL, "the request needs more than the %zu MiB of memory it may have",
                       VMT_JOB_ARENA_BYTES_MAX >> 20);
    }
    return memory;
}

vmt_str vmt_job_dup(vmt_job *job, vmt_str s) {
    vmt_str copy = vmt_arena_dup(job->arena, s);
    if (!copy.ptr) {
        vmt_fault_rule(&job->fault, NULL, NULL, "the request needs more than the %zu MiB of memory it may have",
                       VMT_JOB_ARENA_BYTES_MAX >> 20);
    }
    return copy;
}

bool vmt_job_parse_json(vmt_job *job, vmt_str text, const char *what, vmt_json *out) {
    vmt_err err = {0};
    VMT_ASSERT(job->num_docs < VMT_JOB_DOCS_MAX);
    if (vmt_json_parse(&job->docs[job->num_docs], text, &err) != VMT_OK) {
        return vmt_fault_schema(&job->fault, what, "%s: JSON decode error: %s", what, err.msg);
    }
    *out = vmt_json_root(job->docs[job->num_docs++]);
    return true;
}

static void drop_request_text(vmt_job *job) {
    for (uint32_t i = 0; i < job->num_docs; i++) vmt_json_doc_destroy(job->docs[i]);
    job->num_docs = 0;
    vmt_buf_free(&job->body);
}

static void free_job(vmt_job *job) {
    vmt_api *api = job->api;
    if (job->dialect->on_free && job->request) job->dialect->on_free(job);
    for (uint32_t i = 0; job->gens && i < job->num_prompts; i++) {
        if (job->gens[i].gen) vmt_generation_destroy(job->gens[i].gen);
    }
    vmt_job_free_constraints(job);
    for (uint32_t i = 0; i < job->num_choices; i++) {
        vmt_choice *choice = &job->choices[i];
        vmt_buf_free(&choice->text);
        vmt_choice_output_free(&choice->output);
        vmt_tokens_free(&choice->said);
        vmt_buf_free(&choice->token_ids);
        vmt_buf_free(&choice->chat_logprobs);
        vmt_logprobs_lists_free(&choice->logprobs);
    }
    for (uint32_t i = 0; job->prompts && i < job->num_prompts; i++) vmt_tokens_free(&job->prompts[i].tokens);
    drop_request_text(job);
    vmt_json_doc_destroy(job->output.tools);
    vmt_buf_free(&job->out);
    if (job->prev) {
        job->prev->next = job->next;
    } else {
        api->jobs = job->next;
    }
    if (job->next) job->next->prev = job->prev;
    api->num_jobs--;
    vmt_arena_destroy(job->arena);
    free(job);
}

/* The engine still owns a submitted generation until it says that it ended. */
static void free_if_done(vmt_job *job) {
    if (job->stage != VMT_JOB_ANSWERED) return;
    for (uint32_t i = 0; job->gens && i < job->num_prompts; i++) {
        if (job->gens[i].is_submitted && !job->gens[i].has_ended) return;
    }
    free_job(job);
}

/* ---- the end */

static vmt_finished_reason reason_of(const vmt_choice *choice) {
    switch (choice->finish) {
    case VMT_FINISH_STOP: return VMT_FINISHED_STOP;
    case VMT_FINISH_LENGTH: return VMT_FINISHED_LENGTH;
    case VMT_FINISH_ERROR: return VMT_FINISHED_ERROR;
    case VMT_FINISH_NONE:
    case VMT_FINISH_ABORT: break;
    }
    return VMT_FINISHED_ABORT;
}

static void count_prompt(vmt_job *job, vmt_job_gen *gen) {
    if (gen->is_counted) return;
    gen->is_counted = true;
    vmt_generation_stats stats = vmt_generation_get_stats(gen->gen);
    vmt_metrics_on_prompt(&job->api->metrics, &stats);
}

static void record(vmt_job *job) {
    uint64_t now_ns = vmt_clock_ns();
    uint32_t num_tokens_max = 0;
    for (uint32_t i = 0; i < job->num_choices; i++)
        num_tokens_max = VMT_MAX(num_tokens_max, job->choices[i].num_tokens);
    for (uint32_t i = 0; i < job->num_choices; i++) {
        vmt_choice *choice = &job->choices[i];
        if (!choice->gen->is_submitted) continue;
        const vmt_sequence_record sequence = {
            .reason = reason_of(choice),
            .num_tokens = choice->num_tokens,
            .num_tokens_max = num_tokens_max,
            .n = job->n,
            .max_tokens = job->sampling.max_tokens,
            .arrived_ns = job->arrived_ns,
            .now_ns = now_ns,
            .stats = vmt_generation_get_stats(choice->gen->gen),
        };
        if (sequence.stats.scheduled_ns) count_prompt(job, choice->gen);
        vmt_metrics_on_finished(&job->api->metrics, &sequence);
    }
    if (!job->api->config.log_requests) return;
    vmt_usage usage = vmt_usage_of_job(job);
    const char *finish = job->num_choices ? vmt_choice_finish_name(&job->choices[0]) : NULL;
    vmt_log_info(
        "request=%.*s api=%s prompt_tokens=%llu cached_tokens=%llu completion_tokens=%llu choices=%u finish=%s "
        "duration_ms=%.1f",
        VMT_STR_ARG(job->id), job->dialect->name, (unsigned long long)usage.prompt_tokens,
        (unsigned long long)usage.cached_tokens, (unsigned long long)usage.completion_tokens, job->num_choices,
        finish ? finish : "none", (double)(now_ns - job->arrived_ns) * 1e-6);
}

/* Nothing more will be said to the peer.  The job stays until the engine lets go. */
static void set_answered(vmt_job *job) {
    job->x = NULL;
    job->stage = VMT_JOB_ANSWERED;
    job->wants_pump = false;
    if (job->is_counted) {
        job->is_counted = false;
        job->api->num_generating--;
        record(job);
    }
    for (uint32_t i = 0; job->gens && i < job->num_prompts; i++) {
        vmt_job_gen *gen = &job->gens[i];
        if (gen->is_submitted && !gen->has_ended && !vmt_generation_ended(gen->gen)) {
            vmt_engine_cancel(job->api->config.engine, gen->gen, -1);
        }
    }
}

static void respond(vmt_job *job, int status, const vmt_buf *body) {
    vmt_http_exchange *x = job->x;
    const char *content_type = status == 200 ? job->dialect->content_type : NULL;
    if (!content_type) content_type = "application/json";
    set_answered(job);
    vmt_http_respond(x, status, content_type, vmt_buf_str(body));
}

static void set_busy_status(const vmt_dialect *dialect, vmt_fault *fault) {
    if (fault->kind == VMT_FAULT_BUSY) fault->status = dialect->busy_status;
}

/* One final message for what went wrong, in the form that the answer has by now. */
static void fail(vmt_job *job) {
    if (!job->x) {
        set_answered(job);
        return;
    }
    set_busy_status(job->dialect, &job->fault);
    int status = vmt_fault_status(&job->fault);
    if (job->fault.kind == VMT_FAULT_BUSY) job->api->metrics.admission_rejections++;
    vmt_buf_clear(&job->out);
    job->dialect->on_error(&job->fault, &job->out);
    if (!job->has_begun) {
        if (job->fault.kind == VMT_FAULT_BUSY) vmt_http_add_header(job->x, "Retry-After", VMT_STR(RETRY_AFTER_S));
        respond(job, status, &job->out);
        return;
    }
    if (job->dialect->on_stream_error) {
        job->dialect->on_stream_error(job);
    } else {
        vmt_sse_event(job->x, NULL, vmt_buf_str(&job->out));
    }
    if (job->dialect->end_of_stream) vmt_sse_event(job->x, NULL, vmt_str_from(job->dialect->end_of_stream));
    vmt_http_exchange *x = job->x;
    set_answered(job);
    vmt_http_stream_end(x);
}

/* ---- text threads */

static void run_parse(vmt_text_work *work) {
    vmt_job *job = (vmt_job *)(void *)work;
    if (!job->dialect->parse(job)) VMT_ASSERT(job->fault.kind != VMT_FAULT_NONE);
    drop_request_text(job);
}

static void run_final(vmt_text_work *work) {
    vmt_job *job = (vmt_job *)(void *)work;
    job->dialect->on_final(job);
}

/* ---- running */

const char *vmt_choice_finish_name(const vmt_choice *choice) {
    if (!choice->is_finished) return NULL;
    /* Calls that were forced and cut off are an answer that is too long. */
    bool is_regular = choice->finish == VMT_FINISH_STOP ||
                      (choice->finish == VMT_FINISH_LENGTH && !choice->gen->job->output.must_call);
    if (is_regular && choice->output.num_whole) return "tool_calls";
    switch (choice->finish) {
    case VMT_FINISH_NONE: return NULL;
    case VMT_FINISH_STOP: return "stop";
    case VMT_FINISH_LENGTH: return "length";
    case VMT_FINISH_ABORT: return "abort";
    case VMT_FINISH_ERROR: return "error";
    }
    return NULL;
}

static void begin_stream(vmt_job *job) {
    if (job->has_begun) return;
    job->has_begun = true;
    if (job->dialect->is_ndjson) {
        vmt_http_stream_begin(job->x, 200, "application/x-ndjson");
    } else {
        vmt_sse_begin(job->x);
    }
}

void vmt_job_send(vmt_job *job, const char *event_name, const vmt_buf *data) {
    begin_stream(job);
    job->last_write_ns = vmt_clock_ns();
    if (job->dialect->is_ndjson) {
        vmt_http_stream_write(job->x, vmt_buf_str(data));
    } else {
        vmt_sse_event(job->x, event_name, vmt_buf_str(data));
    }
}

/* Text of one token through the stop strings.  Output up to min_tokens can't stop anything. */
static void add_text(vmt_job *job, vmt_choice *choice, int32_t token_id) {
    bool may_stop = choice->stop && choice->num_tokens > job->sampling.min_tokens;
    if (!may_stop && !choice->output.parser) {
        vmt_detokenizer_push(&choice->detok, token_id, &choice->text);
        return;
    }
    vmt_buf fresh = {0}, shown = {0};
    vmt_detokenizer_push(&choice->detok, token_id, &fresh);
    if (may_stop) choice->stop_string_idx = vmt_stop_push(choice->stop, vmt_buf_str(&fresh), &shown);
    vmt_choice_output_push(&choice->output, vmt_buf_str(may_stop ? &shown : &fresh));
    vmt_choice_output_count(&choice->output);
    vmt_buf_free(&fresh);
    vmt_buf_free(&shown);
}

static void finish_choice(vmt_job *job, vmt_choice *choice, vmt_finish finish, int32_t stop_token_id) {
    /* A character cut off by the end of generation is not shown, as in vLLM. */
    if (choice->stop && choice->stop_string_idx < 0) {
        vmt_buf held = {0};
        vmt_stop_flush(choice->stop, &held);
        vmt_choice_output_push(&choice->output, vmt_buf_str(&held));
        vmt_buf_free(&held);
    }
    vmt_choice_output_finish(&choice->output, finish != VMT_FINISH_STOP);
    vmt_turns_keep(job, choice, finish);
    if (job->output.has_tools) {
        vmt_metrics_on_tool_parse(&job->api->metrics, job->dialect->name, job->fields.stream,
                                  choice->output.num_whole > 0);
    }
    choice->is_finished = true;
    choice->finish = finish;
    choice->stop_token_id = stop_token_id;
    job->num_finished++;
}

static void take_token(vmt_job *job, vmt_choice *choice, const vmt_output_token *token) {
    vmt_generation *gen = choice->gen->gen;
    int32_t stop_token_id = -1;
    vmt_finish finish = vmt_generation_finish(gen, choice->seq_idx, &stop_token_id);
    choice->num_tokens++;
    choice->num_unsent++;
    if (job->fields.return_token_ids) {
        vmt_buf_printf(&choice->token_ids, choice->token_ids.len ? ",%d" : "%d", (int)token->token_id);
    }
    if (job->dialect->on_token) job->dialect->on_token(job, choice, token);
    vmt_turns_hear(job, choice, token->token_id);
    /* The token that ended it by being an end or stop token is counted and listed but not shown. */
    if (!token->is_end_mark || job->fields.include_stop_str_in_output) add_text(job, choice, token->token_id);
    if (choice->stop_string_idx >= 0) {
        if (finish == VMT_FINISH_NONE) vmt_engine_cancel(job->api->config.engine, gen, (int32_t)choice->seq_idx);
        finish_choice(job, choice, VMT_FINISH_STOP, -1);
    } else if (finish != VMT_FINISH_NONE) {
        finish_choice(job, choice, finish, stop_token_id);
    }
}

static void count_tokens(vmt_job *job, vmt_choice *choice, uint32_t num_before) {
    vmt_metrics *m = &job->api->metrics;
    uint32_t num_new = choice->num_tokens - num_before;
    if (num_new == 0) return;
    count_prompt(job, choice->gen);
    m->generation_tokens_total += num_new;
    uint64_t now_ns = vmt_clock_ns();
    if (num_before == 0) {
        vmt_generation_stats stats = vmt_generation_get_stats(choice->gen->gen);
        uint64_t first_ns = stats.first_token_ns ? stats.first_token_ns : now_ns;
        if (choice->seq_idx == 0) {
            vmt_histogram_add(&m->time_to_first_token,
                              first_ns > job->arrived_ns ? (double)(first_ns - job->arrived_ns) * 1e-9 : 0);
        }
        num_new--;
        choice->last_token_ns = VMT_MIN(first_ns, now_ns);
    }
    if (num_new) {
        double each_s = (double)(now_ns - choice->last_token_ns) * 1e-9 / num_new;
        vmt_histogram_add_many(&m->inter_token_latency, each_s, num_new);
        choice->last_token_ns = now_ns;
    }
}

static bool choice_failed(const vmt_choice *choice) {
    return choice->text.failed || choice->output.failed || choice->token_ids.failed ||
           choice->chat_logprobs.failed || vmt_logprobs_lists_failed(&choice->logprobs);
}

/* The next token that can be dealt with.  How one that ends its sequence is shown depends on the kind of end, which
 * the engine publishes a moment later, with news of its own. */
static bool next_token(vmt_choice *choice, vmt_output_token *token) {
    vmt_generation *gen = choice->gen->gen;
    if (!choice->is_holding) {
        if (!vmt_generation_next(gen, choice->seq_idx, &choice->held)) return false;
        choice->is_holding = true;
    }
    if (choice->held.is_end && vmt_generation_finish(gen, choice->seq_idx, NULL) == VMT_FINISH_NONE) return false;
    choice->is_holding = false;
    *token = choice->held;
    return true;
}

/* Takes what the ring holds.  false: the job has failed and is answered. */
static bool drain(vmt_job *job, vmt_choice *choice) {
    vmt_generation *gen = choice->gen->gen;
    uint32_t num_before = choice->num_tokens;
    vmt_output_token token;
    while (!choice->is_finished && next_token(choice, &token)) take_token(job, choice, &token);
    count_tokens(job, choice, num_before);
    if (!choice->is_finished && !choice->is_holding) {
        int32_t stop_token_id = -1;
        vmt_finish finish = vmt_generation_finish(gen, choice->seq_idx, &stop_token_id);
        if (finish != VMT_FINISH_NONE) finish_choice(job, choice, finish, stop_token_id);
    }
    if (choice->is_finished && choice->finish == VMT_FINISH_ERROR) {
        const char *why = vmt_generation_error(gen);
        vmt_fault_other(&job->fault, VMT_FAULT_INTERNAL, NULL, "%s", why && why[0] ? why : "the model failed");
    } else if (choice->is_finished && choice->finish == VMT_FINISH_ABORT && job->dialect->tasks) {
        /* Half a text is an answer, half a vector is none. */
        vmt_fault_other(&job->fault, VMT_FAULT_LOADING, NULL, "the server is shutting down");
    } else if (choice_failed(choice)) {
        vmt_fault_other(&job->fault, VMT_FAULT_INTERNAL, NULL, "the answer is longer than this server can hold");
    }
    if (job->fault.kind == VMT_FAULT_NONE) return true;
    fail(job);
    return false;
}

static void clear_sent(vmt_choice *choice) {
    vmt_buf_clear(&choice->text);
    vmt_choice_output_clear(&choice->output);
    vmt_buf_clear(&choice->token_ids);
    vmt_buf_clear(&choice->chat_logprobs);
    vmt_logprobs_lists_clear(&choice->logprobs);
    choice->num_unsent = 0;
    choice->has_sent = true;
}

/* Later, after other work had its turn. */
static void pump_again(vmt_job *job) {
    job->wants_pump = true;
    vmt_waker_wake(job->api->progress_waker);
}

static void start_stream(vmt_job *job) {
    if (!job->dialect->on_start || job->has_started) return;
    job->has_started = true;
    job->dialect->on_start(job);
}

/* false: nothing more may be sent now, or the job is answered. */
static bool stream_choice(vmt_job *job, vmt_choice *choice) {
    if (job->has_begun && !vmt_http_stream_writable(job->x))
        return false; /* on_writable pumps again; the ring fills and pauses it */
    bool was_finished = choice->is_finished && choice->num_unsent == 0 && choice->has_sent;
    if (was_finished) return true;
    if (!choice->is_finished && !drain(job, choice)) return false;
    bool is_due = choice->is_finished || (choice->num_unsent > 0 && !choice->has_sent) ||
                  choice->num_unsent >= job->stream_interval;
    if (!is_due) return true;
    start_stream(job);
    if (job->dialect->on_prompt && !choice->has_prompt_sent) {
        if (job->dialect->on_prompt(job, choice)) {
            pump_again(job);
            return false;
        }
        choice->has_prompt_sent = true;
    }
    job->dialect->on_delta(job, choice);
    clear_sent(choice);
    return true;
}

static void finish_job(vmt_job *job) {
    if (job->fields.stream) {
        job->dialect->on_end(job);
        vmt_http_exchange *x = job->x;
        set_answered(job);
        vmt_http_stream_end(x);
        return;
    }
    size_t num_bytes = 0;
    for (uint32_t i = 0; i < job->num_choices; i++) {
        const vmt_choice *choice = &job->choices[i];
        num_bytes += choice->text.len + choice->output.reasoning.len + choice->token_ids.len +
                     choice->chat_logprobs.len + choice->logprobs.tokens.len + choice->logprobs.top_logprobs.len;
    }
    for (uint32_t i = 0; i < job->num_prompts; i++) {
        size_t per_token = (job->sampling.num_prompt_logprobs >= 0 ? 256 : 0) +
                           (job->fields.return_token_ids ? 8 : 0) + (job->has_echo ? 8 : 0);
        num_bytes += job->prompts[i].tokens.len * per_token;
        uint32_t pooled_len;
        (void)vmt_generation_pooled(job->gens[i].gen, &pooled_len);
        /* A ranking shows its documents again. */
        if (pooled_len) num_bytes += (size_t)pooled_len * NUMBER_BYTES + job->prompts[i].tokens.len * TOKEN_BYTES;
    }
    if (num_bytes > FORMAT_ON_LOOP_BYTES_MAX) {
        job->stage = VMT_JOB_FORMATTING;
        job->work.run = run_final;
        if (vmt_text_pool_push(job->api->text_pool, &job->work)) return;
        job->stage = VMT_JOB_RUNNING;
    }
    job->dialect->on_final(job);
    respond(job, 200, &job->out);
}

/* Choices [first, end) have news. */
static void pump(vmt_job *job, uint32_t first, uint32_t end) {
    if (job->stage != VMT_JOB_RUNNING) return;
    for (uint32_t i = first; i < end; i++) {
        vmt_choice *choice = &job->choices[i];
        if (job->fields.stream) {
            if (!stream_choice(job, choice)) break;
        } else if (!choice->is_finished && !drain(job, choice)) {
            break;
        }
    }
    if (job->stage != VMT_JOB_RUNNING || job->num_finished < job->num_choices) return;
    for (uint32_t i = 0; job->fields.stream && i < job->num_choices; i++) {
        if (!job->choices[i].has_sent || job->choices[i].num_unsent) return;
    }
    finish_job(job);
}

/* Many at once take turns with the rest of the loop. */
static bool is_time_up(vmt_waker *waker, uint64_t begin_ns) {
    if (vmt_clock_ns() - begin_ns < TURN_NS_MAX) return false;
    vmt_waker_wake(waker);
    return true;
}

void vmt_jobs_on_progress(void *ctx) {
    vmt_api *api = ctx;
    if (!api->config.engine) return;
    vmt_generation *generation;
    uint64_t begin_ns = vmt_clock_ns();
    while ((generation = vmt_engine_take_ready(api->config.engine)) != NULL) {
        vmt_job_gen *gen = vmt_generation_user(generation);
        vmt_job *job = gen->job;
        gen->has_ended = vmt_generation_ended(generation);
        pump(job, gen->prompt_idx * job->n, (gen->prompt_idx + 1) * job->n);
        free_if_done(job);
        if (is_time_up(api->progress_waker, begin_ns)) break;
    }
    for (vmt_job *job = api->jobs, *next; job; job = next) {
        next = job->next;
        if (!job->wants_pump) continue;
        job->wants_pump = false;
        pump(job, 0, job->num_choices);
        free_if_done(job);
    }
}

static void on_writable(void *user) {
    vmt_job *job = user;
    pump_again(job); /* from the loop, not from inside the server's write path */
}

static void on_gone(void *user) {
    vmt_job *job = user;
    job->x = NULL;
    if (job->stage != VMT_JOB_RUNNING) return; /* a text thread has it; or it is answered */
    set_answered(job);
    free_if_done(job);
}

/* ---- the beginning */

static void submit(vmt_job *job) {
    vmt_api *api = job->api;
    vmt_err err = {0};
    job->stage = VMT_JOB_RUNNING;
    job->is_counted = true;
    api->num_generating++;
    for (uint32_t i = 0; i < job->num_prompts; i++) {
        if (vmt_engine_submit(api->config.engine, job->gens[i].gen, &err) != VMT_OK) {
            vmt_fault_from_err(&job->fault, &err, NULL);
            fail(job);
            return;
        }
        job->gens[i].is_submitted = true;
    }
    if (job->fields.stream && job->dialect->starts_early) start_stream(job);
}

static void after_parse(vmt_job *job) {
    if (!job->x) {
        set_answered(job);
    } else if (job->fault.kind != VMT_FAULT_NONE) {
        fail(job);
    } else if (job->out.failed) {
        vmt_fault_other(&job->fault, VMT_FAULT_INTERNAL, NULL, "the answer is longer than this server can hold");
        fail(job);
    } else if (job->num_prompts == 0 || job->dialect->no_engine) {
        respond(job, 200, &job->out);
    } else if (job->is_aborted || !vmt_api_is_ready(job->api)) {
        vmt_fault_other(&job->fault, VMT_FAULT_LOADING, NULL, "the server is shutting down");
        fail(job);
    } else {
        submit(job);
    }
}

void vmt_jobs_on_text_done(void *ctx) {
    vmt_api *api = ctx;
    vmt_text_work *work;
    uint64_t begin_ns = vmt_clock_ns();
    while (!is_time_up(api->text_waker, begin_ns) && (work = vmt_text_pool_take_done(api->text_pool)) != NULL) {
        vmt_job *job = (vmt_job *)(void *)work;
        if (job->stage == VMT_JOB_PARSING) {
            after_parse(job);
        } else if (!job->x) {
            set_answered(job);
        } else if (job->out.failed) {
            vmt_fault_other(&job->fault, VMT_FAULT_INTERNAL, NULL,
                            "the answer is longer than this server can hold");
            fail(job);
        } else {
            respond(job, 200, &job->out);
        }
        free_if_done(job);
    }
}

static void refuse(vmt_api *api, vmt_http_exchange *x, const vmt_dialect *dialect, vmt_fault_kind kind,
                   const char *message) {
    vmt_fault fault = {0};
    vmt_buf body = {0};
    vmt_fault_other(&fault, kind, NULL, "%s", message);
    set_busy_status(dialect, &fault);
    dialect->on_error(&fault, &body);
    vmt_http_add_header(x, "Retry-After", VMT_STR(RETRY_AFTER_S));
    api->metrics.admission_rejections++;
    vmt_http_respond(x, vmt_fault_status(&fault), "application/json", vmt_buf_str(&body));
    vmt_buf_free(&body);
}

static vmt_job *create(vmt_api *api, vmt_http_exchange *x, const vmt_dialect *dialect) {
    vmt_job *job = calloc(1, sizeof *job);
    if (!job) return NULL;
    *job = (vmt_job){
        .work = {.run = run_parse},
        .api = api,
        .dialect = dialect,
        .x = x,
        .arena = vmt_arena_create(VMT_JOB_ARENA_BYTES_MAX),
        .created_unix_s = vmt_clock_unix_s(),
        .arrived_ns = vmt_http_arrived_ns(x),
        .last_write_ns = vmt_clock_ns(),
    };
    vmt_str own_id = vmt_http_header(x, "X-Request-Id");
    if (job->arena && own_id.len && own_id.len <= VMT_REQUEST_ID_MAX) {
        job->header_id = vmt_arena_dup(job->arena, own_id);
    }
    if (!job->arena || (own_id.len && own_id.len <= VMT_REQUEST_ID_MAX && !job->header_id.ptr)) {
        vmt_arena_destroy(job->arena);
        free(job);
        return NULL;
    }
    job->body = vmt_http_take_body(x);
    job->next = api->jobs;
    if (api->jobs) api->jobs->prev = job;
    api->jobs = job;
    api->num_jobs++;
    return job;
}

static bool serves(const vmt_api *api, const vmt_dialect *dialect) {
    unsigned tasks = dialect->tasks ? dialect->tasks : 1u << VMT_TASK_GENERATE;
    return dialect->no_engine || (tasks >> api->config.pooling.task & 1);
}

static void refuse_task(const vmt_api *api, vmt_http_exchange *x, const vmt_dialect *dialect) {
    static const char *const wanted[] = {
        [VMT_TASK_GENERATE] = "it generates text; embeddings and scores need --runner pooling",
        [VMT_TASK_EMBED] = "it makes embeddings; text needs --runner generate",
        [VMT_TASK_SCORE] = "it scores pairs of texts; text needs --runner generate",
    };
    vmt_fault fault = {0};
    vmt_buf body = {0};
    vmt_fault_other(&fault, VMT_FAULT_UNSUPPORTED, NULL, "The model is not served for %s: %s.", dialect->name,
                    wanted[api->config.pooling.task]);
    dialect->on_error(&fault, &body);
    vmt_api_respond_json(x, vmt_fault_status(&fault), &body);
    vmt_buf_free(&body);
}

void vmt_job_start(vmt_api *api, vmt_http_exchange *x, const vmt_dialect *dialect) {
    if (!vmt_api_is_ready(api)) {
        refuse(api, x, dialect, VMT_FAULT_LOADING, "the model is not ready");
        return;
    }
    if (!serves(api, dialect)) {
        refuse_task(api, x, dialect);
        return;
    }
    if (api->num_jobs >= api->config.requests_max) {
        refuse(api, x, dialect, VMT_FAULT_BUSY, "too many requests are in progress, try again later");
        return;
    }
    vmt_job *job = create(api, x, dialect);
    if (!job) {
        refuse(api, x, dialect, VMT_FAULT_BUSY, "no memory for another request");
        return;
    }
    vmt_http_set_user(x, job, on_gone, on_writable);
    if (!vmt_text_pool_push(api->text_pool, &job->work)) {
        vmt_fault_other(&job->fault, VMT_FAULT_BUSY, NULL, "too many requests are in progress, try again later");
        fail(job);
        free_if_done(job);
    }
}

/* ---- all of them */

void vmt_jobs_on_ping_timer(void *ctx) {
    vmt_api *api = ctx;
    uint64_t interval_ns = api->config.ping_interval_ms * NS_PER_MS;
    uint64_t now_ns = vmt_clock_ns();
    for (vmt_job *job = api->jobs, *next; job; job = next) {
        next = job->next;
        if (job->stage != VMT_JOB_RUNNING || !job->fields.stream || !job->x) continue;
        if (now_ns - job->last_write_ns < interval_ns) continue;
        if (job->has_begun && !vmt_http_stream_writable(job->x)) continue;
        job->last_write_ns = now_ns;
        if (job->dialect->on_ping) {
            job->dialect->on_ping(job);
        } else if (!job->dialect->is_ndjson) {
            begin_stream(job);
            vmt_sse_ping(job->x);
        }
    }
    vmt_timer_start(api->ping_timer, VMT_MAX(interval_ns / 2, NS_PER_MS));
}

void vmt_jobs_abort_all(vmt_api *api) {
    for (vmt_job *job = api->jobs; job; job = job->next) {
        job->is_aborted = true;
        if (job->stage != VMT_JOB_RUNNING) continue;
        for (uint32_t i = 0; i < job->num_prompts; i++) {
            if (job->gens[i].is_submitted) vmt_engine_cancel(api->config.engine, job->gens[i].gen, -1);
        }
    }
}

void vmt_jobs_destroy_all(vmt_api *api) {
    while (api->jobs) free_job(api->jobs);
}
