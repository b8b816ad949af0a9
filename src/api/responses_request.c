/* A Responses request as a chat body. */
#include "api/chat_builder.h"
#include "api/chat_request.h"
#include "api/response_store.h"
#include "api/responses.h"

#include <stdio.h>

#define NAMESPACE_SEPARATOR "__"
#define ECHO_BYTES_MAX      ((size_t)256 << 10) /* of one member */

struct fields {
    vmt_str instructions, previous_response_id;
    vmt_json input, tools, tool_choice, reasoning, text, prompt, include;
    int64_t max_output_tokens, top_logprobs;
    bool stream, store, background;
};

#define FIELD(kind, name) {#name, VMT_FIELD_##kind, offsetof(struct fields, name), NULL, 0, 0, false}
static const vmt_field responses_table[] = {
    FIELD(STRING, instructions),
    FIELD(STRING, previous_response_id),
    FIELD(ANY, input),
    FIELD(ARRAY, tools),
    FIELD(ANY, tool_choice),
    FIELD(OBJECT, reasoning),
    FIELD(OBJECT, text),
    FIELD(ANY, prompt),
    FIELD(ARRAY, include),
    {"top_logprobs", VMT_FIELD_INT, offsetof(struct fields, top_logprobs), "0 to 20", 0, 20, false},
    {"max_output_tokens", VMT_FIELD_INT, offsetof(struct fields, max_output_tokens), "at least 1", 1, UINT32_MAX,
     false},
    FIELD(BOOL, stream),
    FIELD(BOOL, store),
    FIELD(BOOL, background),
};

static bool type_is(vmt_json value, const char *type) {
    vmt_str own;
    return vmt_json_get_str(VMT_JSON_AT(value, "type"), &own) && vmt_str_eq_c(own, type);
}

static vmt_str str_or_none(vmt_json object, const char *member) {
    vmt_str text = {0};
    vmt_json_get_str(vmt_json_member(object, vmt_str_from(member)), &text);
    return text;
}

/* ---- items */

struct place {
    size_t idx;
    vmt_fault *fault;
};

static bool part_text(vmt_json part, const struct place *place, vmt_str *text) {
    static const char *const media[] = {"input_image", "input_file", "input_audio"};
    *text = (vmt_str){0};
    if (vmt_json_get_str(part, text) || vmt_json_get_str(VMT_JSON_AT(part, "text"), text) ||
        vmt_json_get_str(VMT_JSON_AT(part, "refusal"), text)) {
        return true;
    }
    for (size_t i = 0; i < VMT_COUNT(media); i++) {
        if (!type_is(part, media[i])) continue;
        char param[VMT_ERR_PARAM_MAX];
        snprintf(param, sizeof param, "input.%zu.content", place->idx);
        return vmt_fault_rule(place->fault, param, NULL,
                              "input.%zu.content has a part of type '%s', but this model takes text only.",
                              place->idx, media[i]);
    }
    return true; /* kinds that nobody has heard of yet */
}

/* Content of a message or an output: a string or parts. */
static bool add_content(vmt_chat_builder *b, vmt_json content, const struct place *place) {
    vmt_str text;
    vmt_json part;
    if (vmt_json_get_str(content, &text)) {
        vmt_chat_builder_text(b, text);
        return true;
    }
    for (vmt_json_iter it = vmt_json_iter_begin(content); vmt_json_iter_next(&it, NULL, &part);) {
        if (!part_text(part, place, &text)) return false;
        if (text.ptr) vmt_chat_builder_text(b, text);
    }
    return true;
}

static bool add_message(vmt_chat_builder *b, vmt_json item, const struct place *place) {
    static const struct {
        const char *role, *chat_role;
    } roles[] = {{"user", "user"}, {"assistant", "assistant"}, {"system", "system"}, {"developer", "system"}};
    vmt_str role = str_or_none(item, "role");
    for (size_t i = 0; i < VMT_COUNT(roles); i++) {
        if (!vmt_str_eq_c(role, roles[i].role)) continue;
        if (i == 1) {
            vmt_chat_builder_continue(b, roles[i].chat_role);
        } else {
            vmt_chat_builder_open(b, roles[i].chat_role);
        }
        return add_content(b, VMT_JSON_AT(item, "content"), place);
    }
    return vmt_fault_schema(place->fault, "input",
                            "body.input.%zu.role: Input should be 'user', 'assistant', 'system' or 'developer'",
                            place->idx);
}

static bool add_reasoning(vmt_chat_builder *b, vmt_json item, const struct place *place) {
    vmt_json content = VMT_JSON_AT(item, "content"), part;
    vmt_str text;
    vmt_chat_builder_continue(b, "assistant");
    for (vmt_json_iter it = vmt_json_iter_begin(content); vmt_json_iter_next(&it, NULL, &part);) {
        if (vmt_json_get_str(VMT_JSON_AT(part, "text"), &text)) vmt_chat_builder_reasoning(b, text);
    }
    return true;
}

static bool add_call(vmt_chat_builder *b, vmt_json item, const struct place *place) {
    vmt_str name = str_or_none(item, "name"), name_space = str_or_none(item, "namespace");
    /* A call that was cut off; its text, if any, is a message of its own. */
    if (vmt_str_eq_c(str_or_none(item, "status"), "incomplete")) return true;
    if (!name.ptr) {
        return vmt_fault_schema(place->fault, "input", "body.input.%zu.name: Field required", place->idx);
    }
    vmt_chat_builder_continue(b, "assistant");
    vmt_buf flat = {0};
    if (name_space.len) vmt_buf_printf(&flat, "%.*s" NAMESPACE_SEPARATOR, VMT_STR_ARG(name_space));
    vmt_buf_append(&flat, name);
    vmt_chat_builder_call(b, str_or_none(item, "call_id"), vmt_buf_str(&flat), VMT_JSON_AT(item, "arguments"));
    vmt_buf_free(&flat);
    return true;
}

static bool add_call_output(vmt_chat_builder *b, vmt_json item, const struct place *place) {
    vmt_chat_builder_open_tool(b, str_or_none(item, "call_id"), (vmt_str){0});
    return add_content(b, VMT_JSON_AT(item, "output"), place);
}

/* What a client's own kinds of calls said, in the words of a function call; the model has seen it as such. */
static bool add_custom_call(vmt_chat_builder *b, vmt_json item, const struct place *place) {
    vmt_str name = str_or_none(item, "name");
    if (!name.ptr) return true;
    vmt_chat_builder_continue(b, "assistant");
    vmt_chat_builder_call_text(b, str_or_none(item, "call_id"), name, str_or_none(item, "input"));
    return true;
}

static bool add_shell_call(vmt_chat_builder *b, vmt_json item, const struct place *place) {
    vmt_chat_builder_continue(b, "assistant");
    vmt_chat_builder_call(b, str_or_none(item, "call_id"), VMT_STR("local_shell"), VMT_JSON_AT(item, "action"));
    return true;
}

/* Kinds not listed (web_search_call, item_reference, what is to come) say nothing that a model could read. */
static const struct {
    const char *type;
    bool (*add)(vmt_chat_builder *b, vmt_json item, const struct place *place);
} item_kinds[] = {
    {"message", add_message},
    {"reasoning", add_reasoning},
    {"function_call", add_call},
    {"function_call_output", add_call_output},
    {"custom_tool_call", add_custom_call},
    {"custom_tool_call_output", add_call_output},
    {"local_shell_call", add_shell_call},
    {"local_shell_call_output", add_call_output},
};

static bool add_item(vmt_chat_builder *b, vmt_json item, const struct place *place) {
    if (vmt_json_typeof(item) != VMT_JSON_OBJECT) {
        return vmt_fault_schema(place->fault, "input", "body.input.%zu: Input should be an object, got %s",
                                place->idx, vmt_json_type_name(vmt_json_typeof(item)));
    }
    if (!vmt_json_exists(VMT_JSON_AT(item, "type"))) return add_message(b, item, place);
    for (size_t i = 0; i < VMT_COUNT(item_kinds); i++) {
        if (type_is(item, item_kinds[i].type)) return item_kinds[i].add(b, item, place);
    }
    return true;
}

/* The conversation before this request, then its own input. */
static bool gather_history(vmt_job *job, const struct fields *f, vmt_buf *history) {
    vmt_str text, previous = f->previous_response_id;
    vmt_json item;
    if (previous.len && !vmt_response_store_get(job->api->responses, previous, history, NULL)) {
        return vmt_fault_other(&job->fault, VMT_FAULT_NO_RESPONSE, "response_id",
                               "Response with id '%.*s' not found.", (int)VMT_MIN(previous.len, 256),
                               previous.ptr);
    }
    vmt_json_writer w;
    vmt_json_writer_init(&w, history);
    w.need_comma = history->len > 0;
    if (vmt_json_get_str(f->input, &text)) {
        vmt_json_begin_object(&w);
        vmt_json_key(&w, "type");
        vmt_json_c_str(&w, "message");
        vmt_json_key(&w, "role");
        vmt_json_c_str(&w, "user");
        vmt_json_key(&w, "content");
        vmt_json_str(&w, text);
        vmt_json_end_object(&w);
        return true;
    }
    if (vmt_json_typeof(f->input) != VMT_JSON_ARRAY) {
        return vmt_fault_schema(&job->fault, "input", "body.input: Input should be a string or a list, got %s",
                                vmt_json_type_name(vmt_json_typeof(f->input)));
    }
    for (vmt_json_iter it = vmt_json_iter_begin(f->input); vmt_json_iter_next(&it, NULL, &item);) {
        vmt_json_value(&w, item);
    }
    return true;
}

static bool write_messages(vmt_job *job, const struct fields *f, const vmt_buf *history, vmt_json_writer *w) {
    vmt_buf list = {0};
    vmt_json items, item;
    vmt_buf_append_byte(&list, '[');
    if (history->len) vmt_buf_append(&list, vmt_buf_str(history));
    vmt_buf_append_byte(&list, ']');
    bool ok = vmt_job_parse_json(job, vmt_buf_str(&list), "input", &items);
    vmt_buf_free(&list);
    if (!ok) return false;
    vmt_chat_builder b;
    vmt_chat_builder_begin(&b, w);
    if (f->instructions.len) {
        vmt_chat_builder_open(&b, "system");
        vmt_chat_builder_text(&b, f->instructions);
    }
    struct place place = {.fault = &job->fault};
    for (vmt_json_iter it = vmt_json_iter_begin(items); ok && vmt_json_iter_next(&it, NULL, &item);) {
        ok = add_item(&b, item, &place);
        place.idx++;
    }
    /* Clients probe a server with an empty input. */
    if (ok && b.num_messages == 0) vmt_chat_builder_open(&b, "user");
    if (ok) {
        vmt_chat_builder_end(&b);
    } else {
        vmt_chat_builder_free(&b);
    }
    return ok;
}

/* ---- tools */

static void write_tool(vmt_json_writer *w, vmt_json tool, vmt_str name) {
    static const char *const rest[] = {"description", "parameters"};
    vmt_json_begin_object(w);
    vmt_json_key(w, "type");
    vmt_json_c_str(w, "function");
    vmt_json_key(w, "function");
    vmt_json_begin_object(w);
    vmt_json_key(w, "name");
    vmt_json_str(w, name);
    vmt_chat_request_copy(w, tool, rest, VMT_COUNT(rest));
    vmt_chat_request_strict(w, tool);
    vmt_json_end_object(w);
    vmt_json_end_object(w);
}

struct tools {
    vmt_response_tool *list; /* those in namespaces */
    size_t count, cap, num_written;
    vmt_str wanted; /* by tool_choice */
    bool has_wanted;
};

static bool add_tool(vmt_job *job, vmt_json_writer *w, struct tools *tools, vmt_json tool, vmt_str name_space) {
    vmt_str name = str_or_none(tool, "name");
    if (!type_is(tool, "function") || !name.len) return true; /* not ours to run */
    if (name_space.len) {
        VMT_ASSERT(tools->count < tools->cap);
        vmt_response_tool *own = &tools->list[tools->count++];
        own->name_space = vmt_job_dup(job, name_space);
        own->name = vmt_job_dup(job, name);
        own->flat_name = vmt_arena_printf(job->arena, "%.*s" NAMESPACE_SEPARATOR "%.*s", VMT_STR_ARG(name_space),
                                          VMT_STR_ARG(name));
        if (!own->name_space.ptr || !own->name.ptr) return false;
        if (!own->flat_name.ptr)
            return vmt_fault_other(&job->fault, VMT_FAULT_BUSY, "tools", "no memory for tools");
        name = own->flat_name;
    }
    tools->has_wanted = tools->has_wanted || vmt_str_eq(name, tools->wanted);
    if (tools->num_written++ == 0) {
        vmt_json_key(w, "tools");
        vmt_json_begin_array(w);
    }
    write_tool(w, tool, name);
    return true;
}

static bool write_tools(vmt_job *job, vmt_json_writer *w, struct tools *tools, vmt_json given) {
    vmt_json tool, inner;
    for (vmt_json_iter it = vmt_json_iter_begin(given); vmt_json_iter_next(&it, NULL, &tool);) {
        if (type_is(tool, "namespace")) tools->cap += vmt_json_size(VMT_JSON_AT(tool, "tools"));
    }
    tools->list = vmt_job_alloc(job, tools->cap, sizeof *tools->list);
    if (!tools->list) return false;
    for (vmt_json_iter it = vmt_json_iter_begin(given); vmt_json_iter_next(&it, NULL, &tool);) {
        if (!type_is(tool, "namespace")) {
            if (!add_tool(job, w, tools, tool, (vmt_str){0})) return false;
            continue;
        }
        vmt_json members = VMT_JSON_AT(tool, "tools");
        for (vmt_json_iter in = vmt_json_iter_begin(members); vmt_json_iter_next(&in, NULL, &inner);) {
            if (!add_tool(job, w, tools, inner, str_or_none(tool, "name"))) return false;
        }
    }
    if (tools->num_written) vmt_json_end_array(w);
    return true;
}

static bool write_tool_choice(vmt_json_writer *w, const struct tools *tools, vmt_json choice, vmt_fault *fault) {
    vmt_str word = {0};
    vmt_json_get_str(choice, &word);
    bool is_named = type_is(choice, "function"), is_required = vmt_str_eq_c(word, "required");
    if ((is_named && !tools->has_wanted) || (is_required && tools->num_written == 0)) {
        return vmt_fault_rule(fault, "tool_choice", NULL,
                              "The tool specified in `tool_choice` does not match any of the specified `tools`");
    }
    if (tools->num_written == 0 || (!word.ptr && !is_named)) return true;
    vmt_json_key(w, "tool_choice");
    if (!is_named) {
        vmt_json_str(w, word);
        return true;
    }
    vmt_json_begin_object(w);
    vmt_json_key(w, "type");
    vmt_json_c_str(w, "function");
    vmt_json_key(w, "function");
    vmt_json_begin_object(w);
    vmt_json_key(w, "name");
    vmt_json_str(w, tools->wanted);
    vmt_json_end_object(w);
    vmt_json_end_object(w);
    return true;
}

/* ---- the rest */

static void write_format(vmt_json_writer *w, vmt_json format) {
    vmt_str type = str_or_none(format, "type"), name = str_or_none(format, "name");
    if (type.len == 0 || vmt_str_eq_c(type, "text")) return;
    if (vmt_str_eq_c(type, "json_schema")) {
        vmt_chat_request_schema(w, name.len ? name : VMT_STR("output"), VMT_JSON_AT(format, "schema"));
        return;
    }
    vmt_json_key(w, "response_format");
    vmt_json_begin_object(w);
    vmt_json_key(w, "type");
    vmt_json_str(w, type);
    vmt_json_end_object(w);
}

/* Members of the response object that say again what was asked for, or what that amounts to.  Every event with the
 * object repeats them, so what is very large is said as if it were not there. */
static bool make_echo(vmt_job *job, vmt_json body, vmt_responses_request *request) {
    static const struct {
        const char *name, *otherwise;
    } members[] = {
        {"background", "false"},
        {"instructions", "null"},
        {"max_output_tokens", "null"},
        {"max_tool_calls", "null"},
        {"metadata", "{}"},
        {"parallel_tool_calls", "true"},
        {"previous_response_id", "null"},
        {"prompt_cache_key", "null"},
        {"reasoning", "{\"effort\":null,\"summary\":null}"},
        {"safety_identifier", "null"},
        {"service_tier", "\"auto\""},
        {"store", "true"},
        {"temperature", "null"},
        {"text", "{\"format\":{\"type\":\"text\"}}"},
        {"tool_choice", "\"auto\""},
        {"tools", "[]"},
        {"top_logprobs", "0"},
        {"top_p", "null"},
        {"truncation", "\"disabled\""},
        {"user", "null"},
    };
    vmt_buf text = {0};
    vmt_json_writer w;
    vmt_json_writer_init(&w, &text);
    for (size_t i = 0; i < VMT_COUNT(members); i++) {
        vmt_json value = vmt_json_member(body, vmt_str_from(members[i].name));
        vmt_json_key(&w, members[i].name);
        size_t begin = text.len;
        bool need_comma = w.need_comma, is_given = vmt_json_exists(value) && !vmt_json_is_null(value);
        if (is_given) vmt_json_value(&w, value);
        if (is_given && text.len - begin <= ECHO_BYTES_MAX) continue;
        text.len = begin;
        w.need_comma = need_comma;
        vmt_json_raw(&w, vmt_str_from(members[i].otherwise));
    }
    request->echo = vmt_job_dup(job, text.failed ? VMT_STR("") : vmt_buf_str(&text));
    vmt_buf_free(&text);
    return request->echo.ptr != NULL;
}

static bool check(const struct fields *f, vmt_json body, vmt_fault *fault) {
    vmt_str type = str_or_none(VMT_JSON_AT(f->text, "format"), "type");
    if (!vmt_json_exists(f->input)) return vmt_fault_schema(fault, "input", "body.input: Field required");
    if (vmt_json_exists(f->prompt)) {
        return vmt_fault_rule(fault, "prompt", NULL, "prompt template is not supported");
    }
    bool has_form = type.len > 0 && !vmt_str_eq_c(type, "text");
    if (has_form && vmt_json_exists(VMT_JSON_AT(body, "structured_outputs"))) {
        return vmt_fault_rule(fault, "structured_outputs", NULL,
                              "text.format and structured_outputs can't both say what the answer is.");
    }
    if (f->background) {
        return vmt_fault_rule(fault, "background", NULL, "background responses are not supported.");
    }
    return true;
}

static bool write_body(vmt_job *job, const struct fields *f, vmt_json body, vmt_responses_request *request,
                       vmt_json_writer *w) {
    static const char *const same[] = {
        "model",
        "stream",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "presence_penalty",
        "seed",
        "stop",
        "frequency_penalty",
        "ignore_eos",
        "logit_bias",
        "repetition_penalty",
        "request_id",
        "priority",
        "structured_outputs",
        "thinking_token_budget",
        "chat_template_kwargs",
        "parallel_tool_calls",
        "include_reasoning",
        "cache_salt",
    };
    struct tools tools = {.wanted = str_or_none(f->tool_choice, "name")};
    vmt_json_begin_object(w);
    vmt_chat_request_copy(w, body, same, VMT_COUNT(same));
    if (!gather_history(job, f, &request->history) || !write_messages(job, f, &request->history, w) ||
        !write_tools(job, w, &tools, f->tools) || !write_tool_choice(w, &tools, f->tool_choice, &job->fault)) {
        return false;
    }
    request->items.tools = tools.list;
    request->items.num_tools = tools.count;
    vmt_chat_request_effort(job, w, VMT_JSON_AT(f->reasoning, "effort"));
    write_format(w, VMT_JSON_AT(f->text, "format"));
    vmt_json_end_object(w);
    return true;
}

static bool wants_logprobs(vmt_json include) {
    vmt_json element;
    vmt_str word;
    for (vmt_json_iter it = vmt_json_iter_begin(include); vmt_json_iter_next(&it, NULL, &element);) {
        if (vmt_json_get_str(element, &word) && vmt_str_eq_c(word, "message.output_text.logprobs")) return true;
    }
    return false;
}

bool vmt_responses_translate(vmt_job *job, vmt_responses_request *request, vmt_buf *chat_body) {
    vmt_json body;
    struct fields f = {.max_output_tokens = VMT_FIELD_UNSET, .store = true};
    vmt_json_writer w;
    vmt_json_writer_init(&w, chat_body);
    if (!vmt_job_parse_json(job, vmt_buf_str(&job->body), "body", &body) ||
        !vmt_fields_read(responses_table, VMT_COUNT(responses_table), body, &f, &job->fault) ||
        !check(&f, body, &job->fault) || !write_body(job, &f, body, request, &w) ||
        !make_echo(job, body, request)) {
        return false;
    }
    job->format_param = "text.format";
    request->max_output_tokens = f.max_output_tokens;
    request->top_logprobs = wants_logprobs(f.include) ? f.top_logprobs : VMT_LOGPROBS_NONE;
    request->stream = f.stream;
    request->store = f.store;
    return true;
}
