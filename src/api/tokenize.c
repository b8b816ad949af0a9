/* POST /tokenize and /detokenize, GET /tokenizer_info. */
#include "api/chat_render.h"
#include "api/endpoints.h"
#include "api/prompt.h"

struct tokenize {
    vmt_str prompt;
    vmt_json tokens;
    bool add_special_tokens, return_token_strs;
};

#define FIELD(kind, name) {#name, VMT_FIELD_##kind, offsetof(struct tokenize, name), NULL, 0, 0, false}
static const vmt_field tokenize_table[] = {
    FIELD(STRING, prompt),
    FIELD(BOOL, add_special_tokens),
    FIELD(BOOL, return_token_strs),
};
static const vmt_field detokenize_table[] = {
    FIELD(ARRAY, tokens),
};

static void write_tokens(vmt_job *job, const struct tokenize *t, const vmt_tokens *tokens) {
    const vmt_api_config *config = &job->api->config;
    vmt_json_writer w;
    vmt_json_writer_init(&w, &job->out);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "count");
    vmt_json_u64(&w, tokens->len);
    vmt_json_key(&w, "max_model_len");
    vmt_json_u64(&w, vmt_engine_max_model_len(config->engine));
    vmt_json_key(&w, "tokens");
    vmt_json_begin_array(&w);
    for (size_t i = 0; i < tokens->len; i++) vmt_json_i64(&w, tokens->ids[i]);
    vmt_json_end_array(&w);
    vmt_json_key(&w, "token_strs");
    if (t->return_token_strs) {
        vmt_json_begin_array(&w);
        for (size_t i = 0; i < tokens->len; i++) {
            vmt_json_str(&w, vmt_tokenizer_spelling(config->tokenizer, tokens->ids[i]));
        }
        vmt_json_end_array(&w);
    } else {
        vmt_json_null(&w);
    }
    vmt_json_end_object(&w);
}

static bool parse_tokenize(vmt_job *job) {
    vmt_json body;
    if (!vmt_job_read_common(job, &body)) return false;
    bool is_chat = vmt_json_exists(VMT_JSON_AT(body, "messages"));
    struct tokenize t = {.add_special_tokens = !is_chat};
    vmt_conversation conversation = {0};
    vmt_buf rendered = {0};
    if (!vmt_fields_read(tokenize_table, VMT_COUNT(tokenize_table), body, &t, &job->fault)) return false;
    if (!is_chat && !t.prompt.ptr) return vmt_fault_schema(&job->fault, "prompt", "body.prompt: Field required");
    if (is_chat) {
        conversation.prompt = &rendered;
        if (!vmt_conversation_read(&conversation, body, &job->fault) ||
            !vmt_conversation_render(job, &conversation)) {
            vmt_buf_free(&rendered);
            return false;
        }
    }
    vmt_tokens tokens = {0};
    vmt_err err = {0};
    const vmt_encode_options options = {.add_special = t.add_special_tokens, .tokens_max = VMT_PROMPT_TOKENS_MAX};
    vmt_status status = vmt_tokenizer_encode(job->api->config.tokenizer,
                                             is_chat ? vmt_buf_str(&rendered) : t.prompt, options, &tokens, &err);
    if (status == VMT_OK) {
        write_tokens(job, &t, &tokens);
    } else if (status == VMT_E_EXHAUSTED) {
        vmt_fault_rule(&job->fault, "prompt", NULL, "the text has more than %u tokens.", VMT_PROMPT_TOKENS_MAX);
    } else {
        vmt_fault_from_err(&job->fault, &err, "prompt");
    }
    vmt_tokens_free(&tokens);
    vmt_buf_free(&rendered);
    return status == VMT_OK;
}

static bool parse_detokenize(vmt_job *job) {
    vmt_json body, value;
    struct tokenize t = {0};
    if (!vmt_job_read_common(job, &body) ||
        !vmt_fields_read(detokenize_table, VMT_COUNT(detokenize_table), body, &t, &job->fault)) {
        return false;
    }
    if (!vmt_json_exists(t.tokens)) return vmt_fault_schema(&job->fault, "tokens", "body.tokens: Field required");
    size_t count = vmt_json_size(t.tokens), num_ids = 0;
    if (count > VMT_PROMPT_TOKENS_MAX) {
        return vmt_fault_rule(&job->fault, "tokens", NULL, "tokens has %zu entries, the limit is %u.", count,
                              VMT_PROMPT_TOKENS_MAX);
    }
    int32_t *ids = vmt_job_alloc(job, count, sizeof *ids);
    if (!ids) return false;
    for (vmt_json_iter it = vmt_json_iter_begin(t.tokens); vmt_json_iter_next(&it, NULL, &value);) {
        int64_t id;
        if (!vmt_field_to_int(value, &id) || id < 0 || id > INT32_MAX) {
            return vmt_fault_schema(&job->fault, "tokens",
                                    "body.tokens.%zu: Input should be an integer greater than or equal to 0",
                                    num_ids);
        }
        ids[num_ids++] = (int32_t)id;
    }
    vmt_buf text = {0};
    vmt_tokenizer_decode(job->api->config.tokenizer, ids, num_ids, false, &text);
    vmt_json_writer w;
    vmt_json_writer_init(&w, &job->out);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "prompt");
    vmt_json_str(&w, vmt_buf_str(&text));
    vmt_json_end_object(&w);
    if (text.failed) job->out.failed = true;
    vmt_buf_free(&text);
    return true;
}

const vmt_dialect vmt_tokenize = {
    .name = "tokenize",
    .id_prefix = "tokn-",
    .no_engine = true,
    .parse = parse_tokenize,
    .on_error = vmt_fault_openai_body,
};
const vmt_dialect vmt_detokenize = {
    .name = "detokenize",
    .id_prefix = "tokn-",
    .no_engine = true,
    .parse = parse_detokenize,
    .on_error = vmt_fault_openai_body,
};

void vmt_get_tokenizer_info(vmt_api *api, vmt_http_exchange *x) {
    vmt_str info = api->config.tokenizer_config_json;
    vmt_http_respond(x, 200, "application/json", info.len ? info : VMT_STR("{}"));
}
