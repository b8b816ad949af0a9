#include "api/chat_request.h"
#include "api/chat_merge.h"
#include "api/chat_messages.h"
#include "api/chat_render.h"
#include "api/prompt.h"
#include "api/turns.h"

static void take_body(vmt_job *job, vmt_buf *chat_body) {
    vmt_buf_free(&job->body);
    job->body = *chat_body;
    *chat_body = (vmt_buf){0};
}

static bool render_merged(vmt_job *job, vmt_conversation *conversation, vmt_chat_merge_depth depth) {
    vmt_buf merged = {0};
    vmt_json messages;
    vmt_chat_merge(conversation->messages, depth, &merged);
    job->fault = (vmt_fault){0};
    bool ok = vmt_job_parse_json(job, merged.failed ? VMT_STR("") : vmt_buf_str(&merged), "messages", &messages);
    vmt_buf_free(&merged);
    if (!ok) return false;
    conversation->messages = messages;
    return vmt_conversation_render(job, conversation);
}

/* Messages stay as they are where the template takes them; what it says of the last attempt is its word, but that of
 * the first is about what the client sent. */
static bool render(vmt_job *job, vmt_conversation *conversation) {
    size_t begin = conversation->prompt->len;
    bool is_strict =
        !job->api->output_rules.takes_late_systems && vmt_chat_has_late_systems(conversation->messages);
    if (!is_strict && vmt_conversation_render(job, conversation)) return true;
    vmt_fault first = job->fault;
    if (first.kind != VMT_FAULT_NONE && first.kind != VMT_FAULT_RULE) return false;
    for (int depth = VMT_MERGE_SYSTEMS; depth <= VMT_MERGE_USERS; depth++) {
        conversation->prompt->len = begin;
        if (render_merged(job, conversation, (vmt_chat_merge_depth)depth)) return true;
        if (first.kind == VMT_FAULT_NONE) first = job->fault;
    }
    job->fault = first;
    return false;
}

static bool read_conversation(vmt_job *job, vmt_json body, vmt_conversation *conversation,
                              vmt_answer_rules *rules) {
    static const vmt_field table[] = {
        {"parallel_tool_calls", VMT_FIELD_BOOL, offsetof(vmt_answer_rules, parallel_tool_calls), NULL, 0, 0,
         false},
        {"include_reasoning", VMT_FIELD_BOOL, offsetof(vmt_answer_rules, include_reasoning), NULL, 0, 0, false},
    };
    *rules = (vmt_answer_rules){.parallel_tool_calls = true, .include_reasoning = true};
    if (!vmt_fields_read(table, VMT_COUNT(table), body, rules, &job->fault) ||
        !vmt_conversation_read(conversation, body, &job->fault) ||
        !vmt_chat_tool_choice_read(conversation->tools, VMT_JSON_AT(body, "tool_choice"), &rules->tool_choice,
                                   &job->fault)) {
        return false;
    }
    if (rules->tool_choice.kind == VMT_TOOLS_NONE && job->api->config.exclude_tools_when_tool_choice_none) {
        conversation->tools = (vmt_json){0};
    }
    return true;
}

/* options NULL: nothing will be answered. */
static bool read_and_render(vmt_job *job, vmt_buf *chat_body, const vmt_chat_request_options *options,
                            vmt_conversation *conversation) {
    vmt_answer_rules rules;
    vmt_json body;
    if (chat_body->failed) {
        vmt_buf_free(chat_body);
        return vmt_fault_other(&job->fault, VMT_FAULT_BUSY, NULL, "no memory for the request");
    }
    /* The old body's document holds the raw prompt, not the body itself. */
    take_body(job, chat_body);
    if (!vmt_job_read_common(job, &body)) return false;
    if (options && options->raw_prompt.ptr) {
        vmt_buf_append(conversation->prompt, options->raw_prompt);
        return true;
    }
    if (!read_conversation(job, body, conversation, &rules) || !render(job, conversation)) return false;
    if (!options) return true;
    bool is_wish = options->tools_are_a_wish && rules.tool_choice.kind == VMT_TOOLS_AUTO;
    if (is_wish && !job->api->output_rules.dialect) rules.tool_choice.kind = VMT_TOOLS_NONE;
    return vmt_conversation_wish(job, conversation, &rules);
}

bool vmt_chat_request_prepare(vmt_job *job, vmt_buf *chat_body, const vmt_chat_request_options *options) {
    vmt_buf prompt = {0};
    vmt_conversation conversation = {.prompt = &prompt};
    bool ok = read_and_render(job, chat_body, options, &conversation);
    if (ok) {
        job->prompts = vmt_job_alloc(job, 1, sizeof *job->prompts);
        ok = job->prompts != NULL;
    }
    if (ok) {
        job->num_prompts = 1;
        ok = vmt_turns_encode(job, &conversation, options->raw_prompt.ptr != NULL);
        job->prompts[0].text = (vmt_str){0};
    }
    vmt_buf_free(&prompt);
    if (!ok) return false;
    vmt_prepare_options prepare = {
        .max_tokens = options->max_tokens,
        .max_tokens_param = options->max_tokens_param,
        .fim = options->fim,
        .logprobs = options->logprobs.param ? options->logprobs : (vmt_logprobs_wish){VMT_LOGPROBS_NONE, NULL},
    };
    int64_t left =
        (int64_t)vmt_engine_max_model_len(job->api->config.engine) - (int64_t)job->prompts[0].tokens.len;
    /* A prompt that fills the context is refused as if no limit were given. */
    if (prepare.max_tokens != VMT_FIELD_UNSET && prepare.max_tokens > left) {
        prepare.max_tokens = left > 0 ? left : VMT_FIELD_UNSET;
    }
    return vmt_job_prepare(job, &prepare);
}

bool vmt_chat_request_count(vmt_job *job, vmt_buf *chat_body, uint64_t *num_tokens) {
    vmt_buf prompt = {0};
    vmt_conversation conversation = {.prompt = &prompt};
    bool ok = read_and_render(job, chat_body, NULL, &conversation);
    if (ok) {
        vmt_tokens tokens = {0};
        vmt_err err = {0};
        const vmt_encode_options options = {.tokens_max = VMT_PROMPT_TOKENS_MAX};
        vmt_status status =
            vmt_tokenizer_encode(job->api->config.tokenizer, vmt_buf_str(&prompt), options, &tokens, &err);
        *num_tokens = tokens.len;
        vmt_tokens_free(&tokens);
        ok = status == VMT_OK || vmt_fault_from_err(&job->fault, &err, "messages");
    }
    vmt_buf_free(&prompt);
    return ok;
}

void vmt_chat_request_copy(vmt_json_writer *w, vmt_json from, const char *const *names, size_t num_names) {
    for (size_t i = 0; i < num_names; i++) {
        vmt_json value = vmt_json_member(from, vmt_str_from(names[i]));
        if (!vmt_json_exists(value) || vmt_json_is_null(value)) continue;
        vmt_json_key(w, names[i]);
        vmt_json_value(w, value);
    }
}

/* Models that know three efforts get the nearest one: agents choose from a longer list, whatever the model. */
static vmt_str nearest_effort(const vmt_job *job, vmt_str word) {
    static const struct {
        const char *asked, *nearest;
    } rows[] = {{"none", "low"}, {"minimal", "low"}, {"xhigh", "high"}, {"max", "high"}};
    if (!vmt_tool_dialect_is_whole_answer(job->api->output_rules.dialect)) return word;
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        if (vmt_str_eq_c(word, rows[i].asked)) return vmt_str_from(rows[i].nearest);
    }
    return word;
}

void vmt_chat_request_effort(const vmt_job *job, vmt_json_writer *w, vmt_json effort) {
    vmt_str word;
    if (!vmt_json_get_str(effort, &word) || !vmt_reasoning_effort_is_known(word)) return;
    word = nearest_effort(job, word);
    vmt_json_key(w, "reasoning_effort");
    vmt_json_str(w, word);
}

void vmt_chat_request_strict(vmt_json_writer *w, vmt_json tool) {
    bool is_strict = false;
    if (!vmt_json_get_bool(VMT_JSON_AT(tool, "strict"), &is_strict) || !is_strict) return;
    vmt_json_key(w, "strict");
    vmt_json_bool(w, true);
}

void vmt_chat_request_schema(vmt_json_writer *w, vmt_str name, vmt_json schema) {
    vmt_json_key(w, "response_format");
    vmt_json_begin_object(w);
    vmt_json_key(w, "type");
    vmt_json_c_str(w, "json_schema");
    vmt_json_key(w, "json_schema");
    vmt_json_begin_object(w);
    vmt_json_key(w, "name");
    vmt_json_str(w, name);
    vmt_json_key(w, "schema");
    vmt_json_value(w, schema);
    vmt_json_end_object(w);
    vmt_json_end_object(w);
}
