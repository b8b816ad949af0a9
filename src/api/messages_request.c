/* A Messages request as a chat body.
 *
 * Clients re-send the whole conversation each turn, so the same blocks must always give the same text: nothing here
 * depends on the time, on ids or on what the rest of the request holds. */
#include "api/chat_builder.h"
#include "api/chat_request.h"
#include "api/messages.h"

#include <stdio.h>

#define BILLING_PREFIX "x-anthropic-billing-header" /* its hash differs with each request */
/* Claude Code's notes beside tool results.  As a message of the user's they would end the tool loop, and templates
 * that drop reasoning of former loops would change the prompt from there on. */
#define REMINDER_PREFIX   "<system-reminder>"
#define BLOCK_NESTING_MAX 4u /* documents in results in messages */

#define FIELD(kind, name) {#name, VMT_FIELD_##kind, offsetof(vmt_messages_fields, name), NULL, 0, 0, false}
static const vmt_field messages_table[] = {
    FIELD(STRING, model),
    {"max_tokens", VMT_FIELD_INT, offsetof(vmt_messages_fields, max_tokens), "at least 1", 1, UINT32_MAX, false},
    FIELD(BOOL, stream),
    FIELD(ARRAY, messages),
    FIELD(ANY, system),
    FIELD(ARRAY, stop_sequences),
    FIELD(ARRAY, tools),
    FIELD(OBJECT, tool_choice),
    FIELD(OBJECT, output_config),
    FIELD(OBJECT, output_format),
    FIELD(OBJECT, thinking),
    FIELD(OBJECT, chat_template_kwargs),
};

static bool is_type(vmt_json block, const char *type) {
    vmt_str own;
    return vmt_json_get_str(VMT_JSON_AT(block, "type"), &own) && vmt_str_eq_c(own, type);
}

static bool given(vmt_json value) {
    return vmt_json_exists(value) && !vmt_json_is_null(value);
}

struct place {
    size_t message_idx;
    vmt_fault *fault;
};

static bool refuse_image(const struct place *place) {
    char param[VMT_ERR_PARAM_MAX];
    snprintf(param, sizeof param, "messages.%zu.content", place->message_idx);
    return vmt_fault_rule(place->fault, param, NULL,
                          "messages.%zu.content has a block of type 'image', but this model takes text only.",
                          place->message_idx);
}

/* ---- content blocks */

static void add_text(vmt_str text, vmt_buf *out) {
    if (out->len) vmt_buf_append_byte(out, '\n');
    vmt_buf_append(out, text);
}

/* The text of a block that is not one of ours, or of a list of blocks; lines in order of appearance. */
static bool gather_text(vmt_json value, uint32_t depth, const struct place *place, vmt_buf *out) {
    vmt_str text;
    vmt_json block;
    if (depth > BLOCK_NESTING_MAX) return true;
    if (vmt_json_get_str(value, &text)) {
        add_text(text, out);
        return true;
    }
    if (vmt_json_typeof(value) == VMT_JSON_ARRAY) {
        for (vmt_json_iter it = vmt_json_iter_begin(value); vmt_json_iter_next(&it, NULL, &block);) {
            if (!gather_text(block, depth + 1, place, out)) return false;
        }
        return true;
    }
    if (is_type(value, "image")) return refuse_image(place);
    if (vmt_json_get_str(VMT_JSON_AT(value, "text"), &text) ||
        vmt_json_get_str(VMT_JSON_AT(value, "tool_name"), &text)) {
        add_text(text, out);
        return true;
    }
    vmt_json source = VMT_JSON_AT(value, "source");
    if (is_type(source, "text") && vmt_json_get_str(VMT_JSON_AT(source, "data"), &text)) add_text(text, out);
    return (!is_type(source, "content") || gather_text(VMT_JSON_AT(source, "content"), depth + 1, place, out)) &&
           (!vmt_json_exists(VMT_JSON_AT(value, "content")) ||
            gather_text(VMT_JSON_AT(value, "content"), depth + 1, place, out));
}

static bool refuse_member(const struct place *place, const char *type, const char *member) {
    return vmt_fault_schema(place->fault, "messages", "body.messages.%zu.content: a block of type '%s' needs '%s'",
                            place->message_idx, type, member);
}

static bool add_tool_result(vmt_chat_builder *b, vmt_json block, const struct place *place) {
    vmt_str id;
    if (!vmt_json_get_str(VMT_JSON_AT(block, "tool_use_id"), &id)) {
        return refuse_member(place, "tool_result", "tool_use_id");
    }
    vmt_buf text = {0};
    bool ok = gather_text(VMT_JSON_AT(block, "content"), 0, place, &text);
    vmt_chat_builder_open_tool(b, id, (vmt_str){0});
    if (ok && text.len) vmt_chat_builder_text(b, vmt_buf_str(&text));
    vmt_buf_free(&text);
    return ok;
}

static bool add_tool_use(vmt_chat_builder *b, vmt_json block, const struct place *place) {
    vmt_str id = {0}, name;
    if (!vmt_json_get_str(VMT_JSON_AT(block, "name"), &name)) return refuse_member(place, "tool_use", "name");
    vmt_json_get_str(VMT_JSON_AT(block, "id"), &id);
    vmt_chat_builder_call(b, id, name, VMT_JSON_AT(block, "input"));
    return true;
}

static bool add_other(vmt_chat_builder *b, const char *role, vmt_json block, const struct place *place) {
    vmt_buf text = {0};
    bool ok = gather_text(block, 0, place, &text);
    if (ok && text.len) {
        vmt_chat_builder_continue(b, role);
        vmt_chat_builder_text(b, vmt_buf_str(&text));
    }
    vmt_buf_free(&text);
    return ok;
}

static bool add_block(vmt_chat_builder *b, const char *role, vmt_json block, const struct place *place) {
    bool is_assistant = strcmp(role, "assistant") == 0;
    vmt_str text;
    if (vmt_json_typeof(block) != VMT_JSON_OBJECT && vmt_json_typeof(block) != VMT_JSON_STRING) {
        return vmt_fault_schema(place->fault, "messages",
                                "body.messages.%zu.content: Input should be blocks, got %s", place->message_idx,
                                vmt_json_type_name(vmt_json_typeof(block)));
    }
    if (is_type(block, "text")) {
        if (!vmt_json_get_str(VMT_JSON_AT(block, "text"), &text)) return refuse_member(place, "text", "text");
        bool joins_result =
            b->role && strcmp(b->role, "tool") == 0 && vmt_str_starts(text, VMT_STR(REMINDER_PREFIX));
        if (!joins_result) vmt_chat_builder_continue(b, role);
        vmt_chat_builder_text(b, text);
        return true;
    }
    if (is_type(block, "tool_result")) return add_tool_result(b, block, place);
    if (is_type(block, "redacted_thinking")) return true;
    if (is_assistant && is_type(block, "tool_use")) return add_tool_use(b, block, place);
    if (is_type(block, "thinking")) {
        if (is_assistant && vmt_json_get_str(VMT_JSON_AT(block, "thinking"), &text)) {
            vmt_chat_builder_reasoning(b, text);
        }
        return true;
    }
    return add_other(b, role, block, place);
}

static bool add_message(vmt_chat_builder *b, vmt_json message, const struct place *place) {
    static const char *const roles[] = {"user", "assistant", "system"};
    vmt_str own, text;
    const char *role = NULL;
    vmt_json content = VMT_JSON_AT(message, "content"), block;
    if (!vmt_json_get_str(VMT_JSON_AT(message, "role"), &own)) {
        return vmt_fault_schema(place->fault, "messages", "body.messages.%zu.role: Field required",
                                place->message_idx);
    }
    for (size_t i = 0; i < VMT_COUNT(roles); i++) {
        if (vmt_str_eq_c(own, roles[i])) role = roles[i];
    }
    if (!role) {
        return vmt_fault_schema(place->fault, "messages",
                                "body.messages.%zu.role: Input should be 'user', 'assistant' or 'system'",
                                place->message_idx);
    }
    if (vmt_json_get_str(content, &text)) {
        vmt_chat_builder_open(b, role);
        vmt_chat_builder_text(b, text);
        return true;
    }
    if (vmt_json_typeof(content) != VMT_JSON_ARRAY) {
        return vmt_fault_schema(place->fault, "messages",
                                "body.messages.%zu.content: Input should be a string or a list",
                                place->message_idx);
    }
    /* A message of results alone must not leave an empty one behind. */
    bool begins_with_result = false;
    vmt_json_iter first = vmt_json_iter_begin(content);
    if (vmt_json_iter_next(&first, NULL, &block)) begins_with_result = is_type(block, "tool_result");
    if (!begins_with_result) vmt_chat_builder_open(b, role);
    for (vmt_json_iter it = vmt_json_iter_begin(content); vmt_json_iter_next(&it, NULL, &block);) {
        if (!add_block(b, role, block, place)) return false;
    }
    return true;
}

/* ---- the rest */

static bool add_system(vmt_chat_builder *b, vmt_json system, vmt_fault *fault) {
    vmt_buf joined = {0};
    vmt_str text;
    vmt_json block;
    bool ok = true;
    if (vmt_json_get_str(system, &text)) {
        vmt_buf_append(&joined, text);
    } else if (vmt_json_typeof(system) != VMT_JSON_ARRAY) {
        ok = vmt_fault_schema(fault, "system", "body.system: Input should be a string or a list, got %s",
                              vmt_json_type_name(vmt_json_typeof(system)));
    }
    for (vmt_json_iter it = vmt_json_iter_begin(system); ok && vmt_json_iter_next(&it, NULL, &block);) {
        if (!vmt_json_get_str(VMT_JSON_AT(block, "text"), &text)) continue;
        if (!vmt_str_starts(text, VMT_STR(BILLING_PREFIX))) vmt_buf_append(&joined, text);
    }
    if (ok && joined.len) {
        vmt_chat_builder_open(b, "system");
        vmt_chat_builder_text(b, vmt_buf_str(&joined));
    }
    vmt_buf_free(&joined);
    return ok;
}

static void write_schema(vmt_json_writer *w, vmt_json schema) {
    vmt_str key;
    vmt_json value;
    vmt_json_begin_object(w);
    if (!given(VMT_JSON_AT(schema, "type"))) {
        vmt_json_key(w, "type");
        vmt_json_c_str(w, "object");
    }
    for (vmt_json_iter it = vmt_json_iter_begin(schema); vmt_json_iter_next(&it, &key, &value);) {
        if (vmt_str_eq_c(key, "type") && !given(value)) continue;
        vmt_json_key_str(w, key);
        vmt_json_value(w, value);
    }
    vmt_json_end_object(w);
}

/* A tool of the server's own kind has a type and no schema: it is not ours to run. */
static bool is_client_tool(vmt_json tool) {
    return vmt_json_typeof(VMT_JSON_AT(tool, "input_schema")) == VMT_JSON_OBJECT;
}

/* The number of tools written. */
static size_t write_tools(vmt_json_writer *w, vmt_json tools) {
    vmt_json tool;
    size_t count = 0;
    static const char *const texts[] = {"name", "description"};
    for (vmt_json_iter it = vmt_json_iter_begin(tools); vmt_json_iter_next(&it, NULL, &tool);) {
        count += is_client_tool(tool);
    }
    if (count == 0) return 0;
    vmt_json_key(w, "tools");
    vmt_json_begin_array(w);
    for (vmt_json_iter it = vmt_json_iter_begin(tools); vmt_json_iter_next(&it, NULL, &tool);) {
        if (!is_client_tool(tool)) continue;
        vmt_json_begin_object(w);
        vmt_json_key(w, "type");
        vmt_json_c_str(w, "function");
        vmt_json_key(w, "function");
        vmt_json_begin_object(w);
        vmt_chat_request_copy(w, tool, texts, VMT_COUNT(texts));
        vmt_json_key(w, "parameters");
        write_schema(w, VMT_JSON_AT(tool, "input_schema"));
        vmt_chat_request_strict(w, tool);
        vmt_json_end_object(w);
        vmt_json_end_object(w);
    }
    vmt_json_end_array(w);
    return count;
}

static bool write_tool_choice(vmt_json_writer *w, vmt_json choice, size_t num_tools, vmt_fault *fault) {
    static const struct {
        const char *type, *word;
    } words[] = {{"auto", "auto"}, {"any", "required"}, {"none", "none"}};
    vmt_str name;
    if (!given(choice)) return true;
    bool is_single = false;
    if (vmt_json_get_bool(VMT_JSON_AT(choice, "disable_parallel_tool_use"), &is_single) && is_single) {
        vmt_json_key(w, "parallel_tool_calls");
        vmt_json_bool(w, false);
    }
    for (size_t i = 0; i < VMT_COUNT(words); i++) {
        if (!is_type(choice, words[i].type)) continue;
        if (num_tools == 0 && i == 0) return true; /* nothing to choose from, and nothing forced */
        vmt_json_key(w, "tool_choice");
        vmt_json_c_str(w, words[i].word);
        return true;
    }
    if (!is_type(choice, "tool")) {
        return vmt_fault_schema(fault, "tool_choice",
                                "body.tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'");
    }
    if (!vmt_json_get_str(VMT_JSON_AT(choice, "name"), &name)) {
        return vmt_fault_schema(fault, "tool_choice", "body.tool_choice.name: Field required");
    }
    vmt_json_key(w, "tool_choice");
    vmt_json_begin_object(w);
    vmt_json_key(w, "type");
    vmt_json_c_str(w, "function");
    vmt_json_key(w, "function");
    vmt_json_begin_object(w);
    vmt_json_key(w, "name");
    vmt_json_str(w, name);
    vmt_json_end_object(w);
    vmt_json_end_object(w);
    return true;
}

/* output_format is the name that output_config.format had first. */
static bool write_format(vmt_json_writer *w, const vmt_messages_fields *f, vmt_fault *fault) {
    vmt_json format = VMT_JSON_AT(f->output_config, "format");
    if (!given(format)) format = f->output_format;
    if (!given(format) || is_type(format, "text")) return true;
    if (!is_type(format, "json_schema")) {
        return vmt_fault_schema(fault, "output_config.format",
                                "body.output_config.format.type: Input should be 'json_schema'");
    }
    if (!given(VMT_JSON_AT(format, "schema"))) {
        return vmt_fault_schema(fault, "output_config.format", "body.output_config.format.schema: Field required");
    }
    vmt_chat_request_schema(w, VMT_STR("output"), VMT_JSON_AT(format, "schema"));
    return true;
}

static void write_budget(vmt_json_writer *w, const vmt_messages_fields *f) {
    int64_t budget;
    if (!is_type(f->thinking, "enabled") ||
        !vmt_json_get_i64(VMT_JSON_AT(f->thinking, "budget_tokens"), &budget)) {
        return;
    }
    vmt_json_key(w, "thinking_token_budget");
    vmt_json_i64(w, VMT_MAX(budget, 0));
}

/* What the request says about thinking, over what it says to the template itself. */
static void write_template_kwargs(vmt_json_writer *w, const vmt_messages_fields *f) {
    bool is_on = is_type(f->thinking, "enabled"), is_off = is_type(f->thinking, "disabled");
    vmt_str key;
    vmt_json value;
    if (!is_on && !is_off && !vmt_json_exists(f->chat_template_kwargs)) return;
    vmt_json_key(w, "chat_template_kwargs");
    vmt_json_begin_object(w);
    for (vmt_json_iter it = vmt_json_iter_begin(f->chat_template_kwargs); vmt_json_iter_next(&it, &key, &value);) {
        if ((is_on || is_off) && vmt_str_eq_c(key, "enable_thinking")) continue;
        vmt_json_key_str(w, key);
        vmt_json_value(w, value);
    }
    if (is_on || is_off) {
        vmt_json_key(w, "enable_thinking");
        vmt_json_bool(w, is_on);
    }
    vmt_json_end_object(w);
}

/* Does the conversation end in the middle of the assistant's turn, which is to go on?  Then it ends in text. */
static bool ends_in_prefill(vmt_json messages) {
    vmt_json element, last = {0}, block = {0};
    vmt_str role, text = {0};
    for (vmt_json_iter it = vmt_json_iter_begin(messages); vmt_json_iter_next(&it, NULL, &element);)
        last = element;
    if (!vmt_json_get_str(VMT_JSON_AT(last, "role"), &role) || !vmt_str_eq_c(role, "assistant")) return false;
    vmt_json content = VMT_JSON_AT(last, "content");
    for (vmt_json_iter it = vmt_json_iter_begin(content); vmt_json_iter_next(&it, NULL, &element);)
        block = element;
    return (vmt_json_get_str(content, &text) || vmt_json_get_str(VMT_JSON_AT(block, "text"), &text)) &&
           vmt_str_trim(text).len > 0;
}

static bool write_body(vmt_job *job, const vmt_messages_fields *f, vmt_json body, bool is_count,
                       vmt_json_writer *w) {
    static const char *const same[] = {"model",      "stream", "temperature", "top_p",          "top_k",
                                       "cache_salt", "seed",   "min_p",       "stop_token_ids", "request_id"};
    vmt_chat_builder b;
    vmt_json message;
    vmt_json_begin_object(w);
    vmt_chat_request_copy(w, body, same, VMT_COUNT(same));
    if (vmt_json_exists(f->stop_sequences)) {
        vmt_json_key(w, "stop");
        vmt_json_value(w, f->stop_sequences);
    }
    vmt_chat_builder_begin(&b, w);
    struct place place = {.fault = &job->fault};
    bool ok = !vmt_json_exists(f->system) || add_system(&b, f->system, &job->fault);
    for (vmt_json_iter it = vmt_json_iter_begin(f->messages); ok && vmt_json_iter_next(&it, NULL, &message);) {
        ok = add_message(&b, message, &place);
        place.message_idx++;
    }
    if (!ok) {
        vmt_chat_builder_free(&b);
        return false;
    }
    vmt_chat_builder_end(&b);
    size_t num_tools = write_tools(w, f->tools);
    if (!write_tool_choice(w, f->tool_choice, num_tools, &job->fault)) return false;
    vmt_chat_request_effort(job, w, VMT_JSON_AT(f->output_config, "effort"));
    if (!write_format(w, f, &job->fault)) return false;
    write_template_kwargs(w, f);
    write_budget(w, f);
    if (!is_count && ends_in_prefill(f->messages)) {
        vmt_json_key(w, "add_generation_prompt");
        vmt_json_bool(w, false);
        vmt_json_key(w, "continue_final_message");
        vmt_json_bool(w, true);
    }
    vmt_json_end_object(w);
    return true;
}

bool vmt_messages_translate(vmt_job *job, vmt_messages_fields *f, bool is_count, vmt_buf *chat_body) {
    vmt_json body;
    *f = (vmt_messages_fields){.max_tokens = VMT_FIELD_UNSET};
    if (!vmt_job_parse_json(job, vmt_buf_str(&job->body), "body", &body) ||
        !vmt_fields_read(messages_table, VMT_COUNT(messages_table), body, f, &job->fault)) {
        return false;
    }
    if (f->model.len == 0) return vmt_fault_schema(&job->fault, "model", "body.model: Field required");
    if (!vmt_json_exists(f->messages)) {
        return vmt_fault_schema(&job->fault, "messages", "body.messages: Field required");
    }
    if (!is_count && f->max_tokens == VMT_FIELD_UNSET) {
        return vmt_fault_schema(&job->fault, "max_tokens", "body.max_tokens: Field required");
    }
    vmt_json_writer w;
    vmt_json_writer_init(&w, chat_body);
    job->format_param = "output_config.format";
    return write_body(job, f, body, is_count, &w);
}
