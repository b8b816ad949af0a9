#include "api/chat_render.h"
#include "api/chat_messages.h"
#include "api/turns.h"
#include "base/clock.h"

#define FIXED_VARS_MAX 16u

#define FIELD(kind, name) {#name, VMT_FIELD_##kind, offsetof(vmt_conversation, name), NULL, 0, 0, false}
static const vmt_field conversation_table[] = {
    FIELD(ARRAY, messages),
    FIELD(ARRAY, tools),
    FIELD(ARRAY, documents),
    FIELD(STRING, chat_template),
    FIELD(STRING, reasoning_effort),
    FIELD(BOOL, add_generation_prompt),
    FIELD(BOOL, continue_final_message),
    {"chat_template_kwargs", VMT_FIELD_OBJECT, offsetof(vmt_conversation, template_kwargs), NULL, 0, 0, false},
};

static bool check_kwargs(vmt_json kwargs, vmt_fault *fault) {
    if (!vmt_json_exists(kwargs)) return true;
    size_t count = vmt_json_size(kwargs);
    if (count > VMT_TEMPLATE_KWARGS_MAX) {
        return vmt_fault_rule(fault, "chat_template_kwargs", NULL,
                              "chat_template_kwargs has %zu members, the limit is %u.", count,
                              VMT_TEMPLATE_KWARGS_MAX);
    }
    vmt_buf text;
    vmt_buf_init(&text, VMT_TEMPLATE_KWARGS_BYTES_MAX);
    vmt_json_writer w;
    vmt_json_writer_init(&w, &text);
    vmt_json_value(&w, kwargs);
    bool fits = !text.failed;
    vmt_buf_free(&text);
    return fits || vmt_fault_rule(fault, "chat_template_kwargs", NULL,
                                  "chat_template_kwargs is larger than %zu bytes.", VMT_TEMPLATE_KWARGS_BYTES_MAX);
}

bool vmt_reasoning_effort_is_known(vmt_str effort) {
    static const char *const efforts[] = {"none", "minimal", "low", "medium", "high", "xhigh", "max"};
    for (size_t i = 0; i < VMT_COUNT(efforts); i++) {
        if (vmt_str_eq_c(effort, efforts[i])) return true;
    }
    return false;
}

bool vmt_conversation_read(vmt_conversation *c, vmt_json body, vmt_fault *fault) {
    c->add_generation_prompt = true;
    if (!vmt_fields_read(conversation_table, VMT_COUNT(conversation_table), body, c, fault)) return false;
    if (c->add_generation_prompt && c->continue_final_message) {
        return vmt_fault_rule(fault, "continue_final_message", NULL,
                              "Cannot set both `continue_final_message` and `add_generation_prompt` to True.");
    }
    bool is_known = !c->reasoning_effort.ptr || vmt_reasoning_effort_is_known(c->reasoning_effort);
    if (!is_known) {
        return vmt_fault_schema(
            fault, "reasoning_effort",
            "body.reasoning_effort: Input should be 'none', 'minimal', 'low', 'medium', 'high', "
            "'xhigh' or 'max'");
    }
    return check_kwargs(c->template_kwargs, fault);
}

struct vars {
    vmt_template_var *list;
    uint32_t count, cap;
};

static void add(struct vars *vars, vmt_template_var var) {
    VMT_ASSERT(vars->count < vars->cap);
    vars->list[vars->count++] = var;
}

static void add_members(struct vars *vars, vmt_json object) {
    vmt_str key;
    vmt_json value;
    for (vmt_json_iter it = vmt_json_iter_begin(object); vmt_json_iter_next(&it, &key, &value);) {
        add(vars, (vmt_template_var){.name = key, .json = value});
    }
}

static void add_token(struct vars *vars, const vmt_tokenizer *tok, vmt_str name, int32_t id) {
    if (id >= 0) add(vars, (vmt_template_var){.name = name, .text = vmt_tokenizer_spelling(tok, id)});
}

/* JSON of ours, parsed so that the template can read it. */
static bool normalised(vmt_job *job, vmt_buf *text, const char *what, vmt_json *out) {
    if (text->failed) {
        vmt_buf_free(text);
        return vmt_fault_other(&job->fault, VMT_FAULT_BUSY, what, "no memory for %s", what);
    }
    bool ok = vmt_job_parse_json(job, vmt_buf_str(text), what, out);
    vmt_buf_free(text);
    return ok;
}

struct recall {
    vmt_job *job;
    vmt_json tools;
};

static bool recall_reasoning(void *ctx, vmt_json message, vmt_buf *out) {
    const struct recall *recall = ctx;
    return vmt_turns_recall_reasoning(recall->job, recall->tools, message, out);
}

static bool normalise(vmt_job *job, const vmt_conversation *c, const vmt_chat_template *tmpl, vmt_json *messages,
                      vmt_json *tools) {
    int format = job->api->config.content_format;
    bool as_parts = format == 2 || (format == 0 && vmt_chat_template_wants_parts(tmpl));
    vmt_buf text = {0};
    vmt_json_writer w;
    vmt_json_writer_init(&w, &text);
    struct recall recall = {job, c->tools};
    const vmt_chat_messages_options options = {as_parts, {recall_reasoning, &recall}};
    if (!vmt_chat_messages_write(c->messages, &options, &w, &job->fault)) {
        vmt_buf_free(&text);
        return false;
    }
    if (!normalised(job, &text, "messages", messages)) return false;
    if (!vmt_json_exists(c->tools)) return true;
    vmt_json_writer_init(&w, &text);
    if (!vmt_chat_tools_write(c->tools, &w, &job->fault)) {
        vmt_buf_free(&text);
        return false;
    }
    return normalised(job, &text, "tools", tools);
}

/* Cuts the rendering off after the final message's content, which transformers looks for as we do: the last place
 * where that content stands, with its trailing white space if the template kept it. */
static bool cut_after_final(vmt_job *job, vmt_buf *prompt, size_t begin, vmt_json last_message) {
    vmt_buf content = {0};
    vmt_str role;
    bool found = vmt_chat_content_text(last_message, &content, &role);
    vmt_str whole = vmt_buf_str(&content), stripped = vmt_str_trim(whole);
    vmt_str rendered = vmt_str_slice(vmt_buf_str(prompt), begin, prompt->len);
    size_t at = SIZE_MAX;
    for (size_t i = rendered.len + 1; found && i-- > 0;) {
        if (vmt_str_starts(vmt_str_slice(rendered, i, rendered.len), stripped)) {
            at = i;
            break;
        }
    }
    if (at != SIZE_MAX) {
        size_t leading = stripped.len ? (size_t)(stripped.ptr - whole.ptr) : whole.len;
        vmt_str without_leading = vmt_str_slice(whole, leading, whole.len);
        bool keeps = vmt_str_starts(vmt_str_slice(rendered, at, rendered.len), without_leading);
        prompt->len = begin + at + (keeps ? without_leading.len : stripped.len);
    }
    vmt_buf_free(&content);
    return at != SIZE_MAX ||
           vmt_fault_rule(&job->fault, "continue_final_message", NULL,
                          "continue_final_message is set but the final message does not appear in the chat after "
                          "applying the chat template!");
}

static vmt_json last_of(vmt_json list) {
    vmt_json element, last = {0};
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, NULL, &element);) last = element;
    return last;
}

static bool render_with(vmt_job *job, const vmt_conversation *c, const vmt_chat_template *tmpl) {
    const vmt_api_config *config = &job->api->config;
    vmt_json messages = {0}, tools = {0}, defaults = {0};
    if (!normalise(job, c, tmpl, &messages, &tools)) return false;
    if (config->default_chat_template_kwargs.len &&
        !vmt_job_parse_json(job, config->default_chat_template_kwargs, "default_chat_template_kwargs",
                            &defaults)) {
        return false;
    }
    struct vars vars = {.cap = FIXED_VARS_MAX +
                               (uint32_t)(vmt_json_size(defaults) + vmt_json_size(c->template_kwargs))};
    vars.list = vmt_job_alloc(job, vars.cap, sizeof *vars.list);
    if (!vars.list) return false;
    add_token(&vars, config->tokenizer, VMT_STR("bos_token"), vmt_tokenizer_bos(config->tokenizer));
    add_token(&vars, config->tokenizer, VMT_STR("eos_token"), vmt_tokenizer_eos(config->tokenizer));
    add(&vars, (vmt_template_var){.name = VMT_STR("add_generation_prompt"), .boolean = c->add_generation_prompt});
    add(&vars,
        (vmt_template_var){.name = VMT_STR("continue_final_message"), .boolean = c->continue_final_message});
    if (c->reasoning_effort.ptr) {
        bool thinks = !vmt_str_eq_c(c->reasoning_effort, "none");
        add(&vars, (vmt_template_var){.name = VMT_STR("reasoning_effort"), .text = c->reasoning_effort});
        add(&vars, (vmt_template_var){.name = VMT_STR("enable_thinking"), .boolean = thinks});
    }
    add_members(&vars, defaults);
    add_members(&vars, c->template_kwargs);
    add(&vars, (vmt_template_var){.name = VMT_STR("messages"), .json = messages});
    add(&vars, (vmt_template_var){.name = VMT_STR("tools"), .json = tools, .boolean = -1});
    add(&vars, (vmt_template_var){.name = VMT_STR("documents"), .json = c->documents, .boolean = -1});
    const vmt_render_options options = {vars.list, vars.count, vmt_clock_unix_s()};
    vmt_err err = {0};
    size_t begin = c->prompt->len;
    vmt_status status = vmt_chat_template_render(tmpl, &options, c->prompt, &err);
    if (status == VMT_E_EXHAUSTED) {
        return vmt_fault_rule(&job->fault, "messages", NULL, "%s", err.msg);
    }
    if (status != VMT_OK || c->prompt->failed) return vmt_fault_from_err(&job->fault, &err, "messages");
    vmt_json last = last_of(messages);
    if (c->continue_final_message && !cut_after_final(job, c->prompt, begin, last)) return false;
    vmt_str role = VMT_STR("");
    if (c->wants_echo && vmt_json_get_str(VMT_JSON_AT(last, "role"), &role) &&
        vmt_str_eq(role, config->response_role)) {
        vmt_chat_content_text(last, c->echo, &role);
    }
    return true;
}

bool vmt_conversation_render(vmt_job *job, const vmt_conversation *c) {
    const vmt_api_config *config = &job->api->config;
    if (!c->chat_template.ptr) {
        if (!config->chat_template) {
            return vmt_fault_rule(
                &job->fault, "messages", NULL,
                "This model has no chat template, so it can't take messages. Start the server with "
                "--chat-template, or use /v1/completions.");
        }
        return render_with(job, c, config->chat_template);
    }
    if (!config->trust_request_chat_template) {
        return vmt_fault_rule(
            &job->fault, "chat_template", NULL,
            "Chat template is passed with request, but --trust-request-chat-template is not set. "
            "Refused request with untrusted chat template.");
    }
    vmt_chat_template *own = NULL;
    vmt_err err = {0};
    if (vmt_chat_template_compile(&own, c->chat_template, &err) != VMT_OK) {
        return vmt_fault_rule(&job->fault, "chat_template", NULL, "%s", err.msg);
    }
    bool ok = render_with(job, c, own);
    vmt_chat_template_destroy(own);
    return ok;
}

/* ---- the answer */

static bool says_no(vmt_json kwargs, bool otherwise) {
    static const char *const names[] = {"enable_thinking", "thinking"};
    bool value;
    for (size_t i = 0; i < VMT_COUNT(names); i++) {
        if (vmt_json_get_bool(vmt_json_member(kwargs, vmt_str_from(names[i])), &value)) return !value;
    }
    return otherwise;
}

/* As the template is told: the request's kwargs, else the server's, else reasoning_effort. */
static bool thinking_is_off(vmt_job *job, const vmt_conversation *c) {
    bool is_off = c->reasoning_effort.ptr && vmt_str_eq_c(c->reasoning_effort, "none");
    vmt_json_doc *doc = NULL;
    if (job->api->config.default_chat_template_kwargs.len &&
        vmt_json_parse(&doc, job->api->config.default_chat_template_kwargs, NULL) == VMT_OK) {
        is_off = says_no(vmt_json_root(doc), is_off);
    }
    vmt_json_doc_destroy(doc);
    return says_no(c->template_kwargs, is_off);
}

static bool keep_tools(vmt_job *job, vmt_json tools) {
    vmt_buf text = {0};
    vmt_json_writer w;
    vmt_json_writer_init(&w, &text);
    vmt_json_value(&w, tools);
    vmt_err err = {0};
    bool ok = !text.failed && vmt_json_parse(&job->output.tools, vmt_buf_str(&text), &err) == VMT_OK;
    vmt_buf_free(&text);
    return ok || vmt_fault_other(&job->fault, VMT_FAULT_BUSY, "tools", "no memory for tools");
}

static bool wish_calls(vmt_job *job, const vmt_tool_choice *choice) {
    vmt_output_wish *wish = &job->output;
    wish->has_tools = choice->kind != VMT_TOOLS_NONE;
    wish->must_call = choice->kind == VMT_TOOLS_REQUIRED || choice->kind == VMT_TOOLS_NAMED;
    if (wish->has_tools && !job->api->output_rules.dialect) {
        return vmt_fault_rule(
            &job->fault, "tool_choice", NULL,
            wish->must_call ? "tool_choice=\"required\" and named functions require --tool-call-parser to be set"
                            : "\"auto\" tool choice requires --enable-auto-tool-choice and "
                              "--tool-call-parser to be set");
    }
    if (choice->name.len == 0) return true;
    wish->named_tool = vmt_job_dup(job, choice->name);
    return wish->named_tool.ptr != NULL;
}

bool vmt_conversation_wish(vmt_job *job, const vmt_conversation *c, const vmt_answer_rules *rules) {
    const vmt_output_rules *own = &job->api->output_rules;
    vmt_output_wish *wish = &job->output;
    bool is_whole_answer = vmt_tool_dialect_is_whole_answer(own->dialect);
    if (!wish_calls(job, &rules->tool_choice)) return false;
    bool has_effort = vmt_str_eq_c(c->reasoning_effort, "low") || vmt_str_eq_c(c->reasoning_effort, "medium") ||
                      vmt_str_eq_c(c->reasoning_effort, "high");
    if (is_whole_answer && c->reasoning_effort.ptr && !has_effort) {
        return vmt_fault_rule(&job->fault, "reasoning_effort", NULL,
                              "this model takes the reasoning efforts 'low', 'medium' and 'high'");
    }
    wish->dialect = wish->has_tools || is_whole_answer ? own->dialect : NULL;
    wish->reasoning = own->reasoning;
    wish->only_first_call = !rules->parallel_tool_calls;
    wish->drops_reasoning = !rules->include_reasoning;
    const vmt_reasoning_hints hints = {
        .prompt = vmt_buf_str(c->prompt),
        .chosen_by_name = own->reasoning_by_name,
        .thinking_is_off = own->reasoning_by_name && thinking_is_off(job, c),
    };
    wish->begins_in_reasoning = vmt_reasoning_begins_inside(wish->reasoning, &hints);
    wish->may_begin_reasoning = vmt_reasoning_may_begin(wish->reasoning, hints.prompt);
    /* Markers are special tokens in most families: they must stand in the text to be found. */
    if (wish->dialect || wish->reasoning) job->fields.skip_special_tokens = false;
    if (wish->reasoning && wish->drops_reasoning) job->fields.return_token_ids = false;
    return !wish->has_tools || keep_tools(job, c->tools);
}
