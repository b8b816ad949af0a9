#include "api/chat_messages.h"

/* Parts that are text, and the member that holds it. */
static const struct {
    const char *type, *member;
} text_parts[] = {
    {"text", "text"},       {"input_text", "text"},   {"output_text", "text"},
    {"refusal", "refusal"}, {"thinking", "thinking"},
};

static bool part_text(vmt_json part, size_t message_idx, vmt_str *text, vmt_fault *fault) {
    if (vmt_json_get_str(part, text)) return true; /* plain strings are taken as text parts */
    vmt_str type;
    if (!vmt_json_get_str(VMT_JSON_AT(part, "type"), &type)) {
        /* vLLM guesses the type of an untyped part from its members. */
        if (vmt_json_get_str(VMT_JSON_AT(part, "text"), text)) return true;
        return vmt_fault_schema(fault, "messages", "body.messages.%zu.content: a part has no type", message_idx);
    }
    for (size_t i = 0; i < VMT_COUNT(text_parts); i++) {
        if (!vmt_str_eq_c(type, text_parts[i].type)) continue;
        vmt_json member = vmt_json_member(part, vmt_str_from(text_parts[i].member));
        if (vmt_json_get_str(member, text)) return true;
        return vmt_fault_schema(fault, "messages",
                                "body.messages.%zu.content: a part of type '%s' needs a string '%s'", message_idx,
                                text_parts[i].type, text_parts[i].member);
    }
    static const char *const media[] = {"image_url",   "input_image", "image_embeds", "image_pil",
                                        "input_audio", "audio_url",   "video_url"};
    for (size_t i = 0; i < VMT_COUNT(media); i++) {
        if (vmt_str_eq_c(type, media[i])) {
            return vmt_fault_rule(fault, "messages", NULL,
                                  "messages[%zu] has a part of type '%s', but this model takes text only.",
                                  message_idx, media[i]);
        }
    }
    return vmt_fault_rule(fault, "messages", NULL, "Unknown part type: %.*s", (int)VMT_MIN(type.len, 64),
                          type.ptr);
}

static bool write_content(vmt_json content, size_t idx, bool as_parts, vmt_json_writer *w, vmt_fault *fault) {
    vmt_str text = {0};
    vmt_json part;
    bool is_list = vmt_json_typeof(content) == VMT_JSON_ARRAY;
    bool is_string = vmt_json_get_str(content, &text);
    if (!is_list && !is_string && vmt_json_exists(content) && !vmt_json_is_null(content)) {
        return vmt_fault_schema(fault, "messages",
                                "body.messages.%zu.content: Input should be a string or a list, got %s", idx,
                                vmt_json_type_name(vmt_json_typeof(content)));
    }
    if (is_list && vmt_json_size(content) > VMT_PARTS_MAX) {
        return vmt_fault_rule(fault, "messages", NULL, "messages[%zu] has %zu parts, the limit is %u.", idx,
                              vmt_json_size(content), VMT_PARTS_MAX);
    }
    if (as_parts) {
        vmt_json_begin_array(w);
        vmt_json_iter it = vmt_json_iter_begin(content);
        while (is_string || (is_list && vmt_json_iter_next(&it, NULL, &part))) {
            if (is_list && !part_text(part, idx, &text, fault)) return false;
            vmt_json_begin_object(w);
            vmt_json_key(w, "type");
            vmt_json_c_str(w, "text");
            vmt_json_key(w, "text");
            vmt_json_str(w, text);
            vmt_json_end_object(w);
            if (is_string) break;
        }
        vmt_json_end_array(w);
        return true;
    }
    if (!is_list) {
        vmt_json_str(w, text);
        return true;
    }
    vmt_buf joined = {0};
    bool is_first = true, ok = true;
    for (vmt_json_iter it = vmt_json_iter_begin(content); ok && vmt_json_iter_next(&it, NULL, &part);) {
        ok = part_text(part, idx, &text, fault);
        if (!ok) break;
        if (!is_first) vmt_buf_append_byte(&joined, '\n');
        vmt_buf_append(&joined, text);
        is_first = false;
    }
    vmt_json_str(w, vmt_buf_str(&joined));
    vmt_buf_free(&joined);
    return ok;
}

/* arguments: a JSON object in a string, as OpenAI has it, or an object already. */
static bool write_arguments(vmt_json arguments, size_t idx, vmt_json_writer *w, vmt_fault *fault) {
    vmt_str text;
    if (!vmt_json_get_str(arguments, &text)) {
        if (vmt_json_typeof(arguments) == VMT_JSON_OBJECT) {
            vmt_json_value(w, arguments);
        } else {
            vmt_json_raw(w, VMT_STR("{}"));
        }
        return true;
    }
    if (vmt_str_trim(text).len == 0) {
        vmt_json_raw(w, VMT_STR("{}"));
        return true;
    }
    vmt_json_doc *doc = NULL;
    vmt_err err = {0};
    if (vmt_json_parse(&doc, text, &err) != VMT_OK || vmt_json_typeof(vmt_json_root(doc)) != VMT_JSON_OBJECT) {
        vmt_json_doc_destroy(doc);
        return vmt_fault_rule(fault, "messages", NULL,
                              "messages[%zu].tool_calls: function.arguments must be a JSON object in a string.",
                              idx);
    }
    vmt_json_value(w, vmt_json_root(doc));
    vmt_json_doc_destroy(doc);
    return true;
}

static bool write_tool_call(vmt_json call, size_t idx, vmt_json_writer *w, vmt_fault *fault) {
    vmt_str key, name;
    vmt_json value, function = VMT_JSON_AT(call, "function");
    if (!vmt_json_get_str(VMT_JSON_AT(function, "name"), &name)) {
        return vmt_fault_schema(fault, "messages", "body.messages.%zu.tool_calls: function.name: Field required",
                                idx);
    }
    vmt_json_begin_object(w);
    for (vmt_json_iter it = vmt_json_iter_begin(call); vmt_json_iter_next(&it, &key, &value);) {
        vmt_json_key_str(w, key);
        if (!vmt_str_eq_c(key, "function")) {
            vmt_json_value(w, value);
            continue;
        }
        vmt_json_begin_object(w);
        vmt_json_key(w, "name");
        vmt_json_str(w, name);
        vmt_json_key(w, "arguments");
        if (!write_arguments(VMT_JSON_AT(function, "arguments"), idx, w, fault)) return false;
        vmt_json_end_object(w);
    }
    vmt_json_end_object(w);
    return true;
}

static bool write_tool_calls(vmt_json calls, size_t idx, vmt_json_writer *w, vmt_fault *fault) {
    if (vmt_json_typeof(calls) != VMT_JSON_ARRAY) {
        return vmt_fault_schema(fault, "messages", "body.messages.%zu.tool_calls: Input should be a list", idx);
    }
    if (vmt_json_size(calls) > VMT_TOOL_CALLS_MAX) {
        return vmt_fault_rule(fault, "messages", NULL, "messages[%zu] has %zu tool calls, the limit is %u.", idx,
                              vmt_json_size(calls), VMT_TOOL_CALLS_MAX);
    }
    vmt_json_key(w, "tool_calls");
    vmt_json_begin_array(w);
    vmt_json call;
    for (vmt_json_iter it = vmt_json_iter_begin(calls); vmt_json_iter_next(&it, NULL, &call);) {
        if (!write_tool_call(call, idx, w, fault)) return false;
    }
    vmt_json_end_array(w);
    return true;
}

static void copy_string(vmt_json message, const char *member, vmt_json_writer *w) {
    vmt_str text;
    if (!vmt_json_get_str(vmt_json_member(message, vmt_str_from(member)), &text)) return;
    vmt_json_key(w, member);
    vmt_json_str(w, text);
}

static bool given(vmt_json value) {
    return vmt_json_exists(value) && !vmt_json_is_null(value);
}

static bool has_text(vmt_json content) {
    vmt_str text;
    return vmt_json_get_str(content, &text) ? text.len > 0 : vmt_json_size(content) > 0;
}

static void write_reasoning(vmt_json message, const vmt_chat_messages_options *options, vmt_json_writer *w) {
    static const char *const names[] = {"reasoning", "reasoning_content", "thinking"};
    vmt_json reasoning = VMT_JSON_AT(message, "reasoning"), calls = VMT_JSON_AT(message, "tool_calls");
    vmt_buf recalled = {0};
    vmt_str text;
    if (!given(reasoning)) reasoning = VMT_JSON_AT(message, "reasoning_content");
    bool is_known = vmt_json_get_str(reasoning, &text);
    if (!is_known && options->recall.reasoning && vmt_json_size(calls)) {
        is_known = options->recall.reasoning(options->recall.ctx, message, &recalled);
        text = vmt_buf_str(&recalled);
    }
    /* gpt-oss's template refuses thinking beside both text and calls. */
    bool is_refused = vmt_json_size(calls) && has_text(VMT_JSON_AT(message, "content"));
    for (size_t i = 0; is_known && i < VMT_COUNT(names) - is_refused; i++) {
        vmt_json_key(w, names[i]);
        vmt_json_str(w, text);
    }
    vmt_buf_free(&recalled);
}

static bool write_message(vmt_json message, size_t idx, const vmt_chat_messages_options *options,
                          vmt_json_writer *w, vmt_fault *fault) {
    vmt_str role;
    if (vmt_json_typeof(message) != VMT_JSON_OBJECT) {
        return vmt_fault_schema(fault, "messages", "body.messages.%zu: Input should be an object, got %s", idx,
                                vmt_json_type_name(vmt_json_typeof(message)));
    }
    if (!vmt_json_get_str(VMT_JSON_AT(message, "role"), &role)) {
        return vmt_fault_schema(fault, "messages", "body.messages.%zu.role: Field required", idx);
    }
    bool is_tool = vmt_str_eq_c(role, "tool"), is_assistant = vmt_str_eq_c(role, "assistant");
    vmt_json content = VMT_JSON_AT(message, "content"), calls = VMT_JSON_AT(message, "tool_calls");
    if (!vmt_json_exists(content) && !is_assistant) {
        return vmt_fault_schema(fault, "messages", "body.messages.%zu.content: Field required", idx);
    }
    vmt_json_begin_object(w);
    vmt_json_key(w, "role");
    vmt_json_str(w, role);
    vmt_json_key(w, "content");
    if (!write_content(content, idx, options->as_parts && !is_tool, w, fault)) return false;
    if (is_assistant && given(calls) && !write_tool_calls(calls, idx, w, fault)) return false;
    if (is_assistant) write_reasoning(message, options, w);
    if (is_tool) copy_string(message, "tool_call_id", w);
    copy_string(message, "name", w);
    if (vmt_str_eq_c(role, "developer") && given(VMT_JSON_AT(message, "tools"))) {
        vmt_json_key(w, "tools");
        vmt_json_value(w, VMT_JSON_AT(message, "tools"));
    }
    vmt_json_end_object(w);
    return true;
}

bool vmt_chat_messages_write(vmt_json messages, const vmt_chat_messages_options *options, vmt_json_writer *w,
                             vmt_fault *fault) {
    size_t count = vmt_json_size(messages), idx = 0;
    if (!given(messages)) return vmt_fault_schema(fault, "messages", "body.messages: Field required");
    if (count == 0) return vmt_fault_rule(fault, "messages", NULL, "messages must not be empty.");
    if (count > VMT_MESSAGES_MAX) {
        return vmt_fault_rule(fault, "messages", NULL, "messages has %zu entries, the limit is %u.", count,
                              VMT_MESSAGES_MAX);
    }
    vmt_json message;
    vmt_json_begin_array(w);
    for (vmt_json_iter it = vmt_json_iter_begin(messages); vmt_json_iter_next(&it, NULL, &message); idx++) {
        if (!write_message(message, idx, options, w, fault)) return false;
    }
    vmt_json_end_array(w);
    return true;
}

static bool write_tool(vmt_json tool, size_t idx, vmt_json_writer *w, vmt_fault *fault) {
    vmt_str type = VMT_STR("function"), name, key;
    vmt_json function = VMT_JSON_AT(tool, "function"), value;
    vmt_json_get_str(VMT_JSON_AT(tool, "type"), &type);
    if (!vmt_str_eq_c(type, "function")) {
        return vmt_fault_schema(fault, "tools", "body.tools.%zu.type: Input should be 'function'", idx);
    }
    if (!vmt_json_get_str(VMT_JSON_AT(function, "name"), &name)) {
        return vmt_fault_schema(fault, "tools", "body.tools.%zu.function.name: Field required", idx);
    }
    if (name.len > VMT_TOOL_NAME_MAX) {
        return vmt_fault_rule(fault, "tools", NULL, "tools[%zu].function.name has %zu bytes, the limit is %u.",
                              idx, name.len, VMT_TOOL_NAME_MAX);
    }
    vmt_json parameters = VMT_JSON_AT(function, "parameters");
    if (given(parameters) && vmt_json_typeof(parameters) != VMT_JSON_OBJECT) {
        return vmt_fault_schema(fault, "tools", "body.tools.%zu.function.parameters: Input should be an object",
                                idx);
    }
    static const char *const first[] = {"name", "description", "parameters"};
    vmt_json_begin_object(w);
    vmt_json_key(w, "type");
    vmt_json_c_str(w, "function");
    vmt_json_key(w, "function");
    vmt_json_begin_object(w);
    for (size_t i = 0; i < VMT_COUNT(first); i++) {
        value = vmt_json_member(function, vmt_str_from(first[i]));
        if (!given(value)) continue;
        vmt_json_key(w, first[i]);
        vmt_json_value(w, value);
    }
    for (vmt_json_iter it = vmt_json_iter_begin(function); vmt_json_iter_next(&it, &key, &value);) {
        bool is_first = false;
        for (size_t i = 0; i < VMT_COUNT(first); i++) is_first = is_first || vmt_str_eq_c(key, first[i]);
        if (is_first || !given(value)) continue;
        vmt_json_key_str(w, key);
        vmt_json_value(w, value);
    }
    vmt_json_end_object(w);
    vmt_json_end_object(w);
    return true;
}

bool vmt_chat_tools_write(vmt_json tools, vmt_json_writer *w, vmt_fault *fault) {
    size_t count = vmt_json_size(tools), idx = 0;
    if (count == 0) {
        return vmt_fault_rule(
            fault, "tools", NULL,
            "`tools` must not be an empty array. Either provide at least one tool or omit the field "
            "entirely.");
    }
    if (count > VMT_TOOLS_MAX) {
        return vmt_fault_rule(fault, "tools", NULL, "tools has %zu entries, the limit is %u.", count,
                              VMT_TOOLS_MAX);
    }
    vmt_json tool;
    vmt_json_begin_array(w);
    for (vmt_json_iter it = vmt_json_iter_begin(tools); vmt_json_iter_next(&it, NULL, &tool); idx++) {
        if (!write_tool(tool, idx, w, fault)) return false;
    }
    vmt_json_end_array(w);
    return true;
}

static bool has_tool(vmt_json tools, vmt_str name) {
    vmt_json tool;
    vmt_str own;
    for (vmt_json_iter it = vmt_json_iter_begin(tools); vmt_json_iter_next(&it, NULL, &tool);) {
        vmt_json function = VMT_JSON_AT(tool, "function");
        if (vmt_json_get_str(VMT_JSON_AT(function, "name"), &own) && vmt_str_eq(own, name)) return true;
    }
    return false;
}

bool vmt_chat_tool_choice_read(vmt_json tools, vmt_json tool_choice, vmt_tool_choice *choice, vmt_fault *fault) {
    *choice = (vmt_tool_choice){.kind = given(tools) ? VMT_TOOLS_AUTO : VMT_TOOLS_NONE};
    if (!given(tool_choice)) return true;
    vmt_str word, name;
    bool is_word = vmt_json_get_str(tool_choice, &word);
    if (is_word && vmt_str_eq_c(word, "none")) {
        choice->kind = VMT_TOOLS_NONE;
        return true;
    }
    if (!given(tools)) {
        return vmt_fault_rule(fault, "tool_choice", NULL, "When using `tool_choice`, `tools` must be set.");
    }
    if (is_word) {
        if (vmt_str_eq_c(word, "auto")) return true;
        if (vmt_str_eq_c(word, "required")) {
            choice->kind = VMT_TOOLS_REQUIRED;
            return true;
        }
        return vmt_fault_rule(fault, "tool_choice", NULL,
                              "Invalid value for `tool_choice`: %.*s! Only named tools, \"none\", \"auto\" or "
                              "\"required\" are supported.",
                              (int)VMT_MIN(word.len, 64), word.ptr);
    }
    vmt_json function = VMT_JSON_AT(tool_choice, "function");
    if (!vmt_json_get_str(VMT_JSON_AT(function, "name"), &name)) {
        return vmt_fault_schema(fault, "tool_choice", "body.tool_choice.function.name: Field required");
    }
    if (!has_tool(tools, name)) {
        return vmt_fault_rule(fault, "tool_choice", NULL,
                              "The tool specified in `tool_choice` does not match any of the specified `tools`");
    }
    *choice = (vmt_tool_choice){VMT_TOOLS_NAMED, name};
    return true;
}

bool vmt_chat_content_text(vmt_json message, vmt_buf *text, vmt_str *role) {
    vmt_str part;
    vmt_json content = VMT_JSON_AT(message, "content"), element, last = {0};
    *role = VMT_STR("");
    vmt_json_get_str(VMT_JSON_AT(message, "role"), role);
    if (vmt_json_get_str(content, &part)) {
        vmt_buf_append(text, part);
        return true;
    }
    for (vmt_json_iter it = vmt_json_iter_begin(content); vmt_json_iter_next(&it, NULL, &element);) last = element;
    if (!vmt_json_get_str(VMT_JSON_AT(last, "text"), &part)) return false;
    vmt_buf_append(text, part);
    return true;
}
