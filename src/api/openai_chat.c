/* POST /v1/chat/completions. */
#include "api/chat_messages.h"
#include "api/chat_render.h"
#include "api/openai.h"
#include "api/openai_format.h"
#include "api/prompt.h"
#include "api/turns.h"

#define CHUNK_OBJECT "chat.completion.chunk"

struct chat {
    vmt_json tool_choice;
    int64_t max_completion_tokens, max_tokens, top_logprobs;
    bool logprobs, add_special_tokens, echo, return_prompt_text, parallel_tool_calls, include_reasoning;
    vmt_tool_choice calls;
    vmt_str echo_text; /* in the arena */
};

#define FIELD(kind, name)           {#name, VMT_FIELD_##kind, offsetof(struct chat, name), NULL, 0, 0, false}
#define RANGE(name, text, min, max) {#name, VMT_FIELD_INT, offsetof(struct chat, name), text, min, max, false}
static const vmt_field chat_table[] = {
    FIELD(ANY, tool_choice),
    RANGE(max_completion_tokens, "at least 1", 1, UINT32_MAX),
    RANGE(max_tokens, "at least 1", 1, UINT32_MAX),
    RANGE(top_logprobs, "a non-negative value or -1", -1, INT32_MAX),
    FIELD(BOOL, logprobs),
    FIELD(BOOL, add_special_tokens),
    FIELD(BOOL, echo),
    FIELD(BOOL, return_prompt_text),
    FIELD(BOOL, parallel_tool_calls),
    FIELD(BOOL, include_reasoning),
};

static bool read_request(vmt_job *job, struct chat *chat, vmt_conversation *conversation) {
    vmt_json body;
    if (!vmt_job_read_common(job, &body)) return false;
    *chat = (struct chat){.max_completion_tokens = VMT_FIELD_UNSET,
                          .max_tokens = VMT_FIELD_UNSET,
                          .parallel_tool_calls = true,
                          .include_reasoning = true};
    if (!vmt_fields_read(chat_table, VMT_COUNT(chat_table), body, chat, &job->fault) ||
        !vmt_conversation_read(conversation, body, &job->fault) ||
        !vmt_chat_tool_choice_read(conversation->tools, chat->tool_choice, &chat->calls, &job->fault)) {
        return false;
    }
    if (chat->top_logprobs != 0 && !chat->logprobs) {
        return vmt_fault_rule(&job->fault, "top_logprobs", NULL,
                              "when using `top_logprobs`, `logprobs` must be set to true.");
    }
    if (chat->calls.kind == VMT_TOOLS_NONE && job->api->config.exclude_tools_when_tool_choice_none) {
        conversation->tools = (vmt_json){0};
    }
    conversation->wants_echo = chat->echo;
    return true;
}

/* Renders and tokenizes the one prompt. */
static bool make_prompt(vmt_job *job, struct chat *chat, vmt_conversation *conversation) {
    vmt_buf prompt = {0}, echo = {0};
    conversation->prompt = &prompt;
    conversation->echo = &echo;
    job->prompts = vmt_job_alloc(job, 1, sizeof *job->prompts);
    const vmt_answer_rules rules = {chat->calls, chat->parallel_tool_calls, chat->include_reasoning};
    bool ok = job->prompts != NULL && vmt_conversation_render(job, conversation) &&
              vmt_conversation_wish(job, conversation, &rules);
    if (ok) {
        job->num_prompts = 1;
        ok = vmt_turns_encode(job, conversation, chat->add_special_tokens);
        job->prompts[0].text = (vmt_str){0};
    }
    if (ok && chat->return_prompt_text) {
        job->prompts[0].text = vmt_job_dup(job, vmt_buf_str(&prompt));
        ok = job->prompts[0].text.ptr != NULL;
    }
    if (ok && chat->echo) {
        chat->echo_text = vmt_job_dup(job, vmt_buf_str(&echo));
        ok = chat->echo_text.ptr != NULL;
    }
    vmt_buf_free(&prompt);
    vmt_buf_free(&echo);
    return ok;
}

static bool parse(vmt_job *job) {
    vmt_conversation conversation = {0};
    struct chat *chat = vmt_job_alloc(job, 1, sizeof *chat);
    job->request = chat;
    if (!chat || !read_request(job, chat, &conversation) || !make_prompt(job, chat, &conversation)) return false;
    if (job->output.reasoning && job->output.drops_reasoning) chat->logprobs = false;
    bool is_completion = chat->max_completion_tokens != VMT_FIELD_UNSET;
    const vmt_prepare_options options = {
        .max_tokens = is_completion ? chat->max_completion_tokens : chat->max_tokens,
        .max_tokens_param = is_completion ? "max_completion_tokens" : "max_tokens",
        .logprobs = {chat->logprobs ? chat->top_logprobs : VMT_LOGPROBS_NONE, "top_logprobs"},
    };
    return vmt_job_prepare(job, &options);
}

static void on_token(vmt_job *job, vmt_choice *choice, const vmt_output_token *token) {
    if (!job->wants_logprobs) return;
    vmt_json_writer w;
    vmt_json_writer_init(&w, &choice->chat_logprobs);
    w.need_comma = choice->chat_logprobs.len > 0;
    vmt_logprobs_chat_entry(&w, &job->logprobs_style, token);
}

static void write_logprobs(vmt_json_writer *w, const vmt_job *job, const vmt_choice *choice) {
    vmt_json_key(w, "logprobs");
    if (!job->wants_logprobs) {
        vmt_json_null(w);
        return;
    }
    vmt_json_begin_object(w);
    vmt_json_key(w, "content");
    vmt_json_begin_array(w);
    if (choice->chat_logprobs.len) vmt_json_raw(w, vmt_buf_str(&choice->chat_logprobs));
    vmt_json_end_array(w);
    vmt_json_end_object(w);
}

/* ---- stream */

/* Opens a chunk with one choice, up to its delta. */
static void begin_chunk(vmt_json_writer *w, vmt_job *job, const vmt_choice *choice) {
    vmt_buf_clear(&job->out);
    vmt_json_writer_init(w, &job->out);
    vmt_openai_begin(w, job, CHUNK_OBJECT);
    vmt_json_key(w, "choices");
    vmt_json_begin_array(w);
    vmt_json_begin_object(w);
    vmt_json_key(w, "index");
    vmt_json_u64(w, choice->index);
    vmt_json_key(w, "delta");
    vmt_json_begin_object(w);
}

static void end_choice(vmt_json_writer *w) {
    vmt_json_end_object(w);
    vmt_json_end_array(w);
}

static void end_chunk(vmt_json_writer *w, vmt_job *job, const vmt_choice *choice) {
    if (job->fields.continuous_usage_stats && job->fields.include_usage) {
        vmt_usage usage = vmt_usage_of_choice(job, choice);
        if (!choice->has_role_sent) usage.completion_tokens = 0; /* the role comes before any token */
        vmt_openai_usage(w, job, &usage, true);
    }
    vmt_json_end_object(w);
    vmt_job_send(job, NULL, &job->out);
}

static void send_role(vmt_job *job, vmt_choice *choice) {
    vmt_json_writer w;
    begin_chunk(&w, job, choice);
    vmt_json_key(&w, "role");
    vmt_json_str(&w, job->api->config.response_role);
    vmt_json_key(&w, "content");
    vmt_json_c_str(&w, "");
    vmt_json_end_object(&w);
    vmt_json_key(&w, "logprobs");
    vmt_json_null(&w);
    vmt_json_key(&w, "finish_reason");
    vmt_json_null(&w);
    end_choice(&w);
    vmt_openai_prompt_ids(&w, &job->prompts[0], job->fields.return_token_ids);
    end_chunk(&w, job, choice);
    choice->has_role_sent = true;
}

static void send_echo(vmt_job *job, vmt_choice *choice, vmt_str text) {
    vmt_json_writer w;
    begin_chunk(&w, job, choice);
    vmt_json_key(&w, "content");
    vmt_json_str(&w, text);
    vmt_json_end_object(&w);
    vmt_json_key(&w, "logprobs");
    vmt_json_null(&w);
    vmt_json_key(&w, "finish_reason");
    vmt_json_null(&w);
    end_choice(&w);
    end_chunk(&w, job, choice);
}

static void on_start(vmt_job *job) {
    const struct chat *chat = job->request;
    for (uint32_t i = 0; i < job->num_choices; i++) send_role(job, &job->choices[i]);
    for (uint32_t i = 0; chat->echo_text.len && i < job->num_choices; i++) {
        send_echo(job, &job->choices[i], chat->echo_text);
    }
}

/* What comes behind the delta.  with_token: the logprobs and ids of the tokens belong to this chunk. */
static void end_delta(vmt_json_writer *w, vmt_job *job, vmt_choice *choice, bool with_token, bool is_last) {
    vmt_json_end_object(w);
    if (with_token) {
        write_logprobs(w, job, choice);
    } else {
        vmt_json_key(w, "logprobs");
        vmt_json_null(w);
    }
    bool finishes = is_last && choice->is_finished;
    if (finishes) {
        vmt_openai_finish_reason(w, choice);
        vmt_openai_stop_reason(w, job, choice);
    } else {
        vmt_json_key(w, "finish_reason");
        vmt_json_null(w);
    }
    vmt_openai_choice_ids(w, choice, with_token && job->fields.return_token_ids);
    end_choice(w);
    if (finishes && !vmt_openai_wants_usage_chunk(job)) {
        vmt_json_key(w, "system_fingerprint");
        vmt_json_c_str(w, job->api->fingerprint);
    }
    end_chunk(w, job, choice);
}

/* One chunk for each thing that is new: reasoning, text, the beginning of a call, a piece of its arguments. */
struct pieces {
    vmt_job *job;
    vmt_choice *choice;
    vmt_json_writer w;
    bool is_open; /* a chunk whose delta waits to be ended: it may be the last */
    bool has_sent;
};

static void begin_piece(struct pieces *p) {
    if (p->is_open) {
        end_delta(&p->w, p->job, p->choice, !p->has_sent, false);
        p->has_sent = true;
    }
    begin_chunk(&p->w, p->job, p->choice);
    p->is_open = true;
}

static void begin_call_piece(struct pieces *p, uint32_t call_idx) {
    begin_piece(p);
    vmt_json_key(&p->w, "tool_calls");
    vmt_json_begin_array(&p->w);
    vmt_json_begin_object(&p->w);
    vmt_json_key(&p->w, "index");
    vmt_json_u64(&p->w, call_idx);
}

static void string_member(struct pieces *p, const char *key, vmt_str text) {
    vmt_json_key(&p->w, key);
    vmt_json_str(&p->w, text);
}

static void end_call_piece(struct pieces *p) {
    vmt_json_end_object(&p->w);
    vmt_json_end_object(&p->w);
    vmt_json_end_array(&p->w);
}

static void send_call(struct pieces *p, const vmt_choice_call *call, uint32_t call_idx) {
    if (call->is_void && !call->is_sent) return; /* it is in the text */
    if (!call->is_sent) {
        begin_call_piece(p, call_idx);
        string_member(p, "id", vmt_str_from(call->id));
        string_member(p, "type", VMT_STR("function"));
        vmt_json_key(&p->w, "function");
        vmt_json_begin_object(&p->w);
        string_member(p, "name", call->name);
        string_member(p, "arguments", VMT_STR(""));
        end_call_piece(p);
    }
    if (call->args.len == 0) return;
    begin_call_piece(p, call_idx);
    vmt_json_key(&p->w, "function");
    vmt_json_begin_object(&p->w);
    string_member(p, "arguments", vmt_buf_str(&call->args));
    end_call_piece(p);
}

static void on_delta(vmt_job *job, vmt_choice *choice) {
    const vmt_choice_output *output = &choice->output;
    struct pieces p = {.job = job, .choice = choice};
    if (output->reasoning.len) {
        begin_piece(&p);
        string_member(&p, "reasoning", vmt_buf_str(&output->reasoning));
    }
    if (choice->text.len || !output->parser) {
        begin_piece(&p);
        string_member(&p, "content", vmt_buf_str(&choice->text));
    }
    for (uint32_t i = output->first_unsent; i < output->num_calls; i++) send_call(&p, &output->calls[i], i);
    /* Text that is held back makes no chunk, unless its tokens do. */
    bool has_tokens = job->wants_logprobs || job->fields.return_token_ids;
    if (!p.is_open && (choice->is_finished || has_tokens)) begin_piece(&p);
    if (p.is_open) end_delta(&p.w, job, choice, !p.has_sent, true);
}

static void on_end(vmt_job *job) {
    vmt_openai_end_stream(job, CHUNK_OBJECT, true);
}

/* ---- whole */

static void write_nulls(vmt_json_writer *w, const char *const *keys, size_t count) {
    for (size_t i = 0; i < count; i++) {
        vmt_json_key(w, keys[i]);
        vmt_json_null(w);
    }
}

/* null when there is nothing to read and something else: calls, or reasoning alone. */
static void write_content(vmt_json_writer *w, const vmt_job *job, const vmt_choice *choice) {
    const struct chat *chat = job->request;
    vmt_json_key(w, "content");
    bool has_else = choice->output.num_whole || choice->output.num_reasoning_tokens;
    if (choice->text.len == 0 && chat->echo_text.len == 0 && has_else) {
        vmt_json_null(w);
        return;
    }
    vmt_buf text = {0};
    vmt_buf_append(&text, chat->echo_text);
    vmt_buf_append(&text, vmt_buf_str(&choice->text));
    vmt_json_str(w, vmt_buf_str(&text));
    vmt_buf_free(&text);
}

static void write_reasoning(vmt_json_writer *w, const vmt_choice *choice) {
    vmt_json_key(w, "reasoning");
    if (choice->output.reasoning.len) {
        vmt_json_str(w, vmt_buf_str(&choice->output.reasoning));
    } else {
        vmt_json_null(w);
    }
}

static void write_calls(vmt_json_writer *w, const vmt_choice_output *output) {
    if (output->num_whole == 0) return;
    vmt_json_key(w, "tool_calls");
    vmt_json_begin_array(w);
    for (uint32_t i = 0; i < output->num_calls; i++) {
        const vmt_choice_call *call = &output->calls[i];
        if (!call->is_whole) continue;
        vmt_json_begin_object(w);
        vmt_json_key(w, "id");
        vmt_json_c_str(w, call->id);
        vmt_json_key(w, "type");
        vmt_json_c_str(w, "function");
        vmt_json_key(w, "function");
        vmt_json_begin_object(w);
        vmt_json_key(w, "name");
        vmt_json_str(w, call->name);
        vmt_json_key(w, "arguments");
        vmt_json_str(w, vmt_buf_str(&call->args));
        vmt_json_end_object(w);
        vmt_json_end_object(w);
    }
    vmt_json_end_array(w);
}

static void write_choice(vmt_json_writer *w, const vmt_job *job, const vmt_choice *choice) {
    static const char *const unset[] = {"refusal", "annotations", "audio", "function_call"};
    vmt_json_begin_object(w);
    vmt_json_key(w, "index");
    vmt_json_u64(w, choice->index);
    vmt_json_key(w, "message");
    vmt_json_begin_object(w);
    vmt_json_key(w, "role");
    vmt_json_str(w, job->api->config.response_role);
    write_content(w, job, choice);
    write_nulls(w, unset, VMT_COUNT(unset));
    write_reasoning(w, choice);
    write_calls(w, &choice->output);
    vmt_json_end_object(w);
    write_logprobs(w, job, choice);
    vmt_openai_finish_reason(w, choice);
    vmt_openai_stop_reason(w, job, choice);
    vmt_openai_choice_ids(w, choice, job->fields.return_token_ids);
    vmt_json_end_object(w);
}

static void on_final(vmt_job *job) {
    const struct chat *chat = job->request;
    vmt_json_writer w;
    vmt_buf_clear(&job->out);
    vmt_json_writer_init(&w, &job->out);
    vmt_openai_begin(&w, job, "chat.completion");
    vmt_json_key(&w, "choices");
    vmt_json_begin_array(&w);
    for (uint32_t i = 0; i < job->num_choices; i++) write_choice(&w, job, &job->choices[i]);
    vmt_json_end_array(&w);
    vmt_json_key(&w, "service_tier");
    vmt_json_null(&w);
    vmt_json_key(&w, "system_fingerprint");
    vmt_json_c_str(&w, job->api->fingerprint);
    vmt_usage usage = vmt_usage_of_job(job);
    vmt_openai_usage(&w, job, &usage, false);
    vmt_openai_prompt_logprobs(&w, job, &job->gens[0]);
    vmt_openai_prompt_ids(&w, &job->prompts[0], job->fields.return_token_ids);
    vmt_json_key(&w, "prompt_text");
    if (chat->return_prompt_text) {
        vmt_json_str(&w, job->prompts[0].text);
    } else {
        vmt_json_null(&w);
    }
    static const char *const unset[] = {"kv_transfer_params", "metrics"};
    write_nulls(&w, unset, VMT_COUNT(unset));
    vmt_json_end_object(&w);
}

const vmt_dialect vmt_openai_chat = {
    .name = "chat_completions",
    .id_prefix = "chatcmpl-",
    .parse = parse,
    .on_token = on_token,
    .on_start = on_start,
    .on_delta = on_delta,
    .on_end = on_end,
    .on_final = on_final,
    .on_error = vmt_fault_openai_body,
    .end_of_stream = "[DONE]",
};
