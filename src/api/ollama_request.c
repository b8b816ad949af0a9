/* Ollama's requests as chat bodies. */
#include "api/chat_builder.h"
#include "api/chat_request.h"
#include "api/ollama.h"

#define FIELD(kind, name) {#name, VMT_FIELD_##kind, offsetof(vmt_ollama_fields, name), NULL, 0, 0, false}
static const vmt_field ollama_table[] = {
    FIELD(STRING, prompt),
    FIELD(STRING, suffix),
    FIELD(STRING, system),
    {"template", VMT_FIELD_STRING, offsetof(vmt_ollama_fields, template_text), NULL, 0, 0, false},
    FIELD(ARRAY, messages),
    FIELD(ARRAY, tools),
    FIELD(ARRAY, images),
    FIELD(OBJECT, options),
    FIELD(ANY, format),
    FIELD(ANY, think),
    FIELD(ANY, keep_alive),
    FIELD(BOOL, stream),
    FIELD(BOOL, raw),
};

static bool refuse_images(vmt_fault *fault) {
    return vmt_fault_rule(fault, "images", NULL, "images were given, but this model takes text only.");
}

/* Refused by name: leaving them out would answer another question than the one that was asked. */
static bool check(const vmt_ollama_fields *f, vmt_fault *fault) {
    const struct {
        const char *name;
        vmt_str value;
    } refused[] = {{"template", f->template_text}};
    for (size_t i = 0; i < VMT_COUNT(refused); i++) {
        if (refused[i].value.len) {
            return vmt_fault_rule(fault, refused[i].name, NULL, "%s is not supported.", refused[i].name);
        }
    }
    return vmt_json_size(f->images) == 0 || refuse_images(fault);
}

bool vmt_ollama_read(vmt_job *job, vmt_ollama_fields *f, vmt_str *given, vmt_str *served, vmt_json *body) {
    *f = (vmt_ollama_fields){.stream = true, .num_predict = VMT_FIELD_UNSET};
    if (!vmt_job_parse_json(job, vmt_buf_str(&job->body), "body", body) ||
        !vmt_fields_read(ollama_table, VMT_COUNT(ollama_table), *body, f, &job->fault) ||
        !vmt_ollama_read_model(job, *body, given, served) || !check(f, &job->fault)) {
        return false;
    }
    int64_t num_predict;
    if (vmt_field_to_int(VMT_JSON_AT(f->options, "num_predict"), &num_predict) && num_predict > 0) {
        f->num_predict = num_predict;
    }
    return true;
}

static void write_options(vmt_json_writer *w, const vmt_ollama_fields *f) {
    static const char *const same[] = {"temperature",       "top_p", "top_k", "min_p", "presence_penalty",
                                       "frequency_penalty", "seed",  "stop"};
    vmt_chat_request_copy(w, f->options, same, VMT_COUNT(same));
    vmt_json penalty = VMT_JSON_AT(f->options, "repeat_penalty");
    if (vmt_json_exists(penalty) && !vmt_json_is_null(penalty)) {
        vmt_json_key(w, "repetition_penalty");
        vmt_json_value(w, penalty);
    }
}

static bool write_format(vmt_json_writer *w, vmt_json format, vmt_fault *fault) {
    vmt_str word;
    bool is_word = vmt_json_get_str(format, &word);
    if (is_word && word.len && !vmt_str_eq_c(word, "json")) {
        return vmt_fault_rule(fault, "format", NULL, "invalid format: expected \"json\" or a JSON schema object");
    }
    if (vmt_json_typeof(format) == VMT_JSON_OBJECT) {
        vmt_chat_request_schema(w, VMT_STR("output"), format);
    } else if (is_word && word.len) {
        vmt_json_key(w, "response_format");
        vmt_json_raw(w, VMT_STR("{\"type\":\"json_object\"}"));
    }
    return true;
}

static void write_think(const vmt_job *job, vmt_json_writer *w, vmt_json think) {
    bool is_on;
    if (!vmt_json_get_bool(think, &is_on)) {
        vmt_chat_request_effort(job, w, think);
        return;
    }
    vmt_json_key(w, "chat_template_kwargs");
    vmt_json_begin_object(w);
    vmt_json_key(w, "enable_thinking");
    vmt_json_bool(w, is_on);
    vmt_json_end_object(w);
}

static vmt_json_writer begin_body(const vmt_ollama_fields *f, vmt_str served, vmt_buf *chat_body) {
    vmt_json_writer w;
    vmt_json_writer_init(&w, chat_body);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "model");
    vmt_json_str(&w, served);
    vmt_json_key(&w, "stream");
    vmt_json_bool(&w, f->stream);
    write_options(&w, f);
    return w;
}

static bool end_body(vmt_job *job, vmt_json_writer *w, const vmt_ollama_fields *f) {
    job->format_param = "format";
    if (!write_format(w, f->format, &job->fault)) return false;
    write_think(job, w, f->think);
    vmt_json_end_object(w);
    return true;
}

static vmt_str str_or_none(vmt_json object, const char *member) {
    vmt_str text = {0};
    vmt_json_get_str(vmt_json_member(object, vmt_str_from(member)), &text);
    return text;
}

static bool add_message(vmt_chat_builder *b, vmt_json message, size_t idx, vmt_fault *fault) {
    static const char *const roles[] = {"system", "user", "assistant"};
    vmt_str role = str_or_none(message, "role"), text;
    vmt_json call, calls = VMT_JSON_AT(message, "tool_calls");
    const char *known = NULL;
    for (size_t i = 0; i < VMT_COUNT(roles); i++) {
        if (vmt_str_eq_c(role, roles[i])) known = roles[i];
    }
    if (vmt_json_size(VMT_JSON_AT(message, "images")) > 0) return refuse_images(fault);
    if (vmt_str_eq_c(role, "tool")) {
        vmt_chat_builder_open_tool(b, str_or_none(message, "tool_call_id"), str_or_none(message, "tool_name"));
    } else if (known) {
        vmt_chat_builder_open(b, known);
    } else {
        return vmt_fault_schema(fault, "messages",
                                "body.messages.%zu.role: Input should be 'system', 'user', 'assistant' or 'tool'",
                                idx);
    }
    if (vmt_json_get_str(VMT_JSON_AT(message, "content"), &text)) vmt_chat_builder_text(b, text);
    if (!known || strcmp(known, "assistant") != 0) return true;
    if (vmt_json_get_str(VMT_JSON_AT(message, "thinking"), &text)) vmt_chat_builder_reasoning(b, text);
    for (vmt_json_iter it = vmt_json_iter_begin(calls); vmt_json_iter_next(&it, NULL, &call);) {
        vmt_json function = VMT_JSON_AT(call, "function");
        vmt_str name = str_or_none(function, "name");
        if (!name.ptr) {
            return vmt_fault_schema(fault, "messages",
                                    "body.messages.%zu.tool_calls: function.name: Field required", idx);
        }
        vmt_chat_builder_call(b, str_or_none(call, "id"), name, VMT_JSON_AT(function, "arguments"));
    }
    return true;
}

bool vmt_ollama_translate_chat(vmt_job *job, const vmt_ollama_fields *f, vmt_str served, vmt_buf *chat_body) {
    vmt_json_writer w = begin_body(f, served, chat_body);
    vmt_chat_builder b;
    vmt_json message;
    size_t idx = 0;
    bool ok = true;
    vmt_chat_builder_begin(&b, &w);
    for (vmt_json_iter it = vmt_json_iter_begin(f->messages); ok && vmt_json_iter_next(&it, NULL, &message);) {
        ok = add_message(&b, message, idx++, &job->fault);
    }
    if (!ok) {
        vmt_chat_builder_free(&b);
        return false;
    }
    vmt_chat_builder_end(&b);
    if (vmt_json_size(f->tools) > 0) {
        vmt_json_key(&w, "tools");
        vmt_json_value(&w, f->tools);
    }
    return end_body(job, &w, f);
}

bool vmt_ollama_translate_generate(vmt_job *job, const vmt_ollama_fields *f, vmt_str served, vmt_buf *chat_body) {
    vmt_json_writer w = begin_body(f, served, chat_body);
    vmt_chat_builder b;
    if (!f->raw) {
        vmt_chat_builder_begin(&b, &w);
        if (f->system.len) {
            vmt_chat_builder_open(&b, "system");
            vmt_chat_builder_text(&b, f->system);
        }
        vmt_chat_builder_open(&b, "user");
        vmt_chat_builder_text(&b, f->prompt);
        vmt_chat_builder_end(&b);
    }
    return end_body(job, &w, f);
}
