#include "api/score_prompt.h"
#include "base/clock.h"
#include "json/json_writer.h"

#define TEMPLATE_VARS_MAX 256u /* members of chat_template_kwargs */
#define FIXED_VARS        5u

/* The prompt of the model's own description. */
#define QWEN3_SYSTEM                                                                                             \
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. Note that " \
    "the answer can only be \"yes\" or \"no\"."
#define QWEN3_INSTRUCTION "Given a web search query, retrieve relevant passages that answer the query"

static void write_qwen3(const vmt_score_pair *pair, vmt_buf *out) {
    vmt_buf_append_c(out, "<|im_start|>system\n" QWEN3_SYSTEM "<|im_end|>\n<|im_start|>user\n<Instruct>: ");
    vmt_buf_append(out, pair->instruction.len ? pair->instruction : VMT_STR(QWEN3_INSTRUCTION));
    vmt_buf_append_c(out, "\n<Query>: ");
    vmt_buf_append(out, pair->query);
    vmt_buf_append_c(out, "\n<Document>: ");
    vmt_buf_append(out, pair->document);
    vmt_buf_append_c(out, "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n");
}

static void write_message(vmt_json_writer *w, const char *role, vmt_str content) {
    vmt_json_begin_object(w);
    vmt_json_key(w, "role");
    vmt_json_c_str(w, role);
    vmt_json_key(w, "content");
    vmt_json_str(w, content);
    vmt_json_end_object(w);
}

static vmt_status parse_messages(const vmt_score_pair *pair, vmt_json_doc **doc, vmt_err *err) {
    vmt_buf text = {0};
    vmt_json_writer w;
    vmt_json_writer_init(&w, &text);
    vmt_json_begin_array(&w);
    write_message(&w, "query", pair->query);
    write_message(&w, "document", pair->document);
    vmt_json_end_array(&w);
    vmt_status status = text.failed ? vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a pair of texts")
                                    : vmt_json_parse(doc, vmt_buf_str(&text), err);
    vmt_buf_free(&text);
    return status;
}

static bool render(vmt_job *job, const vmt_score_pair *pair, vmt_json messages, vmt_buf *out) {
    const vmt_api_config *config = &job->api->config;
    vmt_template_var vars[FIXED_VARS + TEMPLATE_VARS_MAX];
    const struct {
        vmt_str name;
        int32_t id;
    } tokens[] = {{VMT_STR("bos_token"), vmt_tokenizer_bos(config->tokenizer)},
                  {VMT_STR("eos_token"), vmt_tokenizer_eos(config->tokenizer)}};
    uint32_t n = 0;
    vmt_str key;
    vmt_json value;
    for (size_t i = 0; i < VMT_COUNT(tokens); i++) {
        if (tokens[i].id < 0) continue;
        vmt_str text = vmt_tokenizer_spelling(config->tokenizer, tokens[i].id);
        vars[n++] = (vmt_template_var){.name = tokens[i].name, .text = text};
    }
    for (vmt_json_iter it = vmt_json_iter_begin(pair->template_kwargs); vmt_json_iter_next(&it, &key, &value);) {
        if (n == FIXED_VARS - 3 + TEMPLATE_VARS_MAX) {
            return vmt_fault_rule(&job->fault, "chat_template_kwargs", NULL,
                                  "chat_template_kwargs has more than %u members.", TEMPLATE_VARS_MAX);
        }
        vars[n++] = (vmt_template_var){.name = key, .json = value};
    }
    vars[n++] = (vmt_template_var){.name = VMT_STR("add_generation_prompt")};
    vars[n++] = (vmt_template_var){.name = VMT_STR("messages"), .json = messages};
    if (pair->instruction.len) {
        vars[n++] = (vmt_template_var){.name = VMT_STR("instruction"), .text = pair->instruction};
    }
    const vmt_render_options options = {vars, n, vmt_clock_unix_s()};
    vmt_err err = {0};
    vmt_status status = vmt_chat_template_render(config->chat_template, &options, out, &err);
    if (status == VMT_OK) return true;
    /* A prompt too long to render is the request's fault, not a full queue's. */
    if (status == VMT_E_EXHAUSTED) return vmt_fault_rule(&job->fault, NULL, NULL, "%s", err.msg);
    return vmt_fault_from_err(&job->fault, &err, NULL);
}

bool vmt_score_prompt_write(vmt_job *job, const vmt_score_pair *pair, vmt_buf *out) {
    const vmt_pooling_rules *rules = &job->api->config.pooling;
    if (rules->has_score_template && job->api->config.chat_template) {
        vmt_json_doc *doc = NULL;
        vmt_err err = {0};
        if (parse_messages(pair, &doc, &err) != VMT_OK) return vmt_fault_from_err(&job->fault, &err, NULL);
        bool ok = render(job, pair, vmt_json_root(doc), out);
        vmt_json_doc_destroy(doc);
        return ok;
    }
    if (rules->has_qwen3_prompt) {
        write_qwen3(pair, out);
    } else {
        vmt_buf_append(out, pair->query);
        vmt_buf_append(out, pair->document);
    }
    return !out->failed || vmt_fault_other(&job->fault, VMT_FAULT_BUSY, NULL, "no memory for a pair of texts");
}
