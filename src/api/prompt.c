#include "api/prompt.h"
#include "api/constraint.h"
#include "base/hash.h"
#include "base/rng.h"
#include "base/utf8.h"

#include <stdio.h>

#define RANDOM_ID_BYTES    16u
#define DETOK_PRIME_TOKENS 4u /* of the prompt's end, which decide whether the answer continues a text */

static bool read_model(vmt_job *job) {
    const vmt_api_config *config = &job->api->config;
    int32_t idx = vmt_api_find_model(config, job->fields.model);
    if (idx < 0) {
        return vmt_fault_other(&job->fault, VMT_FAULT_NOT_FOUND, "model", "The model `%.*s` does not exist.",
                               (int)VMT_MIN(job->fields.model.len, 256), job->fields.model.ptr);
    }
    job->model = config->served_names[idx];
    return true;
}

static bool make_id(vmt_job *job) {
    char random_hex[2 * RANDOM_ID_BYTES + 1];
    vmt_str own = job->header_id.len ? job->header_id : job->fields.request_id;
    if (own.len > VMT_REQUEST_ID_MAX) {
        return vmt_fault_rule(&job->fault, "request_id", NULL, "request_id has %zu bytes, the limit is %u.",
                              own.len, VMT_REQUEST_ID_MAX);
    }
    if (own.len == 0) {
        unsigned char bytes[RANDOM_ID_BYTES];
        vmt_random_bytes(bytes, sizeof bytes);
        for (size_t i = 0; i < sizeof bytes; i++) snprintf(random_hex + 2 * i, 3, "%02x", bytes[i]);
        own = vmt_str_from(random_hex);
    }
    job->id = vmt_arena_printf(job->arena, "%s%.*s", job->dialect->id_prefix, VMT_STR_ARG(own));
    return job->id.ptr || vmt_fault_other(&job->fault, VMT_FAULT_BUSY, NULL, "no memory for the request id");
}

static bool identify(vmt_job *job) {
    if (!read_model(job) || !make_id(job)) return false;
    if (job->fields.cache_salt.len == 0) return true;
    job->cache_salt = vmt_job_dup(job, job->fields.cache_salt);
    return job->cache_salt.ptr != NULL;
}

bool vmt_job_read_common(vmt_job *job, vmt_json *body) {
    return vmt_job_parse_json(job, vmt_buf_str(&job->body), "body", body) &&
           vmt_sampling_fields_read(&job->fields, *body, &job->fault) && identify(job) &&
           vmt_stop_strings_read(job->fields.stop, job->arena, &job->stop_strings, &job->num_stop_strings,
                                 &job->fault);
}

bool vmt_job_read_request(vmt_job *job, vmt_json *body) {
    return vmt_job_parse_json(job, vmt_buf_str(&job->body), "body", body) &&
           vmt_request_fields_read(&job->fields, *body, &job->fault) && identify(job);
}

static bool refuse_length(vmt_job *job, size_t num_prompt, bool at_least, int64_t max_tokens) {
    uint32_t context = vmt_engine_max_model_len(job->api->config.engine);
    char value[32];
    snprintf(value, sizeof value, "%zu", num_prompt);
    if (max_tokens == VMT_FIELD_UNSET || num_prompt >= context) {
        return vmt_fault_rule(
            &job->fault, "input_tokens", value,
            "This model's maximum context length is %u tokens. However, your request has %s%zu input "
            "tokens. Please reduce the length of the input messages.",
            context, at_least ? "at least " : "", num_prompt);
    }
    return vmt_fault_rule(
        &job->fault, "input_tokens", value,
        "This model's maximum context length is %u tokens. However, you requested %lld output tokens "
        "and your prompt contains %zu input tokens, for a total of %lld tokens. Please reduce the "
        "length of the input prompt or the number of requested output tokens.",
        context, (long long)max_tokens, num_prompt, (long long)max_tokens + (long long)num_prompt);
}

bool vmt_prompt_encode(vmt_job *job, uint32_t prompt_idx, vmt_str text, bool add_special) {
    vmt_prompt *prompt = &job->prompts[prompt_idx];
    prompt->text = text.ptr ? text : VMT_STR("");
    /* Text that will not be cut is given up as soon as it is clear that it can't fit. */
    uint32_t context = vmt_engine_max_model_len(job->api->config.engine);
    bool is_cut = job->fields.truncate_prompt_tokens != VMT_FIELD_UNSET;
    vmt_encode_options options = {.add_special = add_special,
                                  .tokens_max = is_cut ? VMT_PROMPT_TOKENS_MAX : context};
    vmt_err err = {0};
    vmt_status status = vmt_tokenizer_encode(job->api->config.tokenizer, text, options, &prompt->tokens, &err);
    if (status == VMT_E_EXHAUSTED) {
        if (!is_cut) return refuse_length(job, (size_t)context + 1, true, VMT_FIELD_UNSET);
        return vmt_fault_rule(&job->fault, "prompt", NULL, "a prompt has more than %u tokens before truncation.",
                              VMT_PROMPT_TOKENS_MAX);
    }
    return status == VMT_OK || vmt_fault_from_err(&job->fault, &err, NULL);
}

bool vmt_prompt_read_ids(vmt_job *job, uint32_t prompt_idx, vmt_json list, const char *param) {
    vmt_prompt *prompt = &job->prompts[prompt_idx];
    size_t count = vmt_json_size(list), cap = 0;
    uint32_t vocab = vmt_engine_vocab(job->api->config.engine);
    void *ids = NULL;
    if (count > VMT_PROMPT_TOKENS_MAX) {
        return vmt_fault_rule(&job->fault, param, NULL, "a prompt has %zu tokens, the limit is %u.", count,
                              VMT_PROMPT_TOKENS_MAX);
    }
    if (count && vmt_array_grow(&ids, &cap, count, sizeof(int32_t), VMT_PROMPT_TOKENS_MAX) != VMT_OK) {
        return vmt_fault_other(&job->fault, VMT_FAULT_BUSY, param, "no memory for %zu token ids", count);
    }
    prompt->tokens = (vmt_tokens){.ids = ids, .cap = cap};
    vmt_json value;
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, NULL, &value);) {
        int64_t id;
        if (!vmt_json_get_i64(value, &id)) return false;
        if (id < 0 || id >= (int64_t)vocab) {
            return vmt_fault_rule(&job->fault, param, NULL, "Token id %lld is out of vocabulary (size %u)",
                                  (long long)id, vocab);
        }
        prompt->tokens.ids[prompt->tokens.len++] = (int32_t)id;
    }
    return true;
}

/* Cuts to the wanted number of tokens: "left" keeps the last ones. */
static bool truncate(vmt_job *job, vmt_prompt *prompt, int64_t max_tokens) {
    int64_t wanted = job->fields.truncate_prompt_tokens;
    if (wanted == VMT_FIELD_UNSET) return true;
    int64_t budget = (int64_t)vmt_engine_max_model_len(job->api->config.engine) -
                     (max_tokens == VMT_FIELD_UNSET ? 1 : VMT_MAX(max_tokens, 0));
    if (wanted > budget) {
        char value[32];
        snprintf(value, sizeof value, "%lld", (long long)wanted);
        return vmt_fault_rule(
            &job->fault, "truncate_prompt_tokens", value,
            "truncate_prompt_tokens value (%lld) is greater than the input budget of %lld tokens. "
            "Please, select a smaller truncation size.",
            (long long)wanted, (long long)budget);
    }
    size_t keep = (size_t)VMT_MAX(wanted == -1 ? budget : wanted, 0);
    vmt_tokens *tokens = &prompt->tokens;
    if (tokens->len <= keep) return true;
    if (!vmt_str_eq_c(job->fields.truncation_side, "right")) {
        memmove(tokens->ids, tokens->ids + (tokens->len - keep), keep * sizeof *tokens->ids);
    }
    tokens->len = keep;
    return true;
}

static bool check_length(vmt_job *job, const vmt_prompt *prompt, int64_t max_tokens, const char *param) {
    uint32_t context = vmt_engine_max_model_len(job->api->config.engine);
    size_t len = prompt->tokens.len;
    if (len == 0) {
        return vmt_fault_rule(&job->fault, "prompt", NULL,
                              "Either prompt or prompt_embeds must be provided and "
                              "non-empty: the prompt has no tokens.");
    }
    if (max_tokens != VMT_FIELD_UNSET && max_tokens > (int64_t)context) {
        char value[32];
        snprintf(value, sizeof value, "%lld", (long long)max_tokens);
        return vmt_fault_rule(
            &job->fault, param, value,
            "%s=%lld cannot be greater than the model's maximum context length of %u tokens. Please "
            "request fewer output tokens.",
            param, (long long)max_tokens, context);
    }
    int64_t least = max_tokens == VMT_FIELD_UNSET ? 1 : max_tokens;
    return (int64_t)len + least <= (int64_t)context || refuse_length(job, len, false, max_tokens);
}

/* The sampling of one prompt: the shared one with max_tokens filled in. */
static bool resolve_max_tokens(vmt_job *job, const vmt_prompt *prompt, const vmt_prepare_options *options,
                               vmt_sampling *sampling) {
    uint32_t left = vmt_engine_max_model_len(job->api->config.engine) - (uint32_t)prompt->tokens.len;
    uint32_t model_max = job->api->config.defaults.max_new_tokens;
    if (options->max_tokens != VMT_FIELD_UNSET) {
        sampling->max_tokens = (uint32_t)options->max_tokens;
    } else {
        sampling->max_tokens = model_max ? VMT_MIN(left, model_max) : left;
    }
    if (sampling->min_tokens > sampling->max_tokens) {
        char value[32];
        snprintf(value, sizeof value, "%u", sampling->min_tokens);
        return vmt_fault_rule(&job->fault, "min_tokens", value,
                              "min_tokens must be less than or equal to max_tokens=%u, got %u.",
                              sampling->max_tokens, sampling->min_tokens);
    }
    return true;
}

/* vLLM primes its detokenizer with the prompt's last tokens: only when those show nothing is the answer the beginning
 * of a text, whose leading space some tokenizers strip. */
static bool answer_begins_text(const vmt_job *job, const vmt_prompt *prompt) {
    if (!job->fields.skip_special_tokens) return false;
    size_t len = prompt->tokens.len;
    for (size_t i = len > DETOK_PRIME_TOKENS ? len - DETOK_PRIME_TOKENS : 0; i < len; i++) {
        if (!vmt_tokenizer_is_special(job->api->config.tokenizer, prompt->tokens.ids[i])) return false;
    }
    return true;
}

static bool init_choice(vmt_job *job, vmt_choice *choice, vmt_job_gen *gen, uint32_t seq_idx) {
    const vmt_prompt *prompt = &job->prompts[gen->prompt_idx];
    const vmt_tokenizer *tok = job->api->config.tokenizer;
    choice->gen = gen;
    choice->seq_idx = seq_idx;
    choice->index = gen->prompt_idx * job->n + seq_idx;
    choice->stop_token_id = choice->stop_string_idx = -1;
    choice->logprobs.next_offset = prompt->num_chars;
    vmt_buf *bufs[] = {&choice->text, &choice->token_ids, &choice->chat_logprobs, &choice->logprobs.top_logprobs};
    for (size_t i = 0; i < VMT_COUNT(bufs); i++) vmt_buf_init(bufs[i], VMT_JOB_ANSWER_BYTES_MAX);
    if (answer_begins_text(job, prompt)) {
        vmt_detokenizer_init(&choice->detok, tok, job->fields.skip_special_tokens);
    } else {
        vmt_detokenizer_init_mid_text(&choice->detok, tok, job->fields.skip_special_tokens);
    }
    if (!vmt_choice_output_init(&choice->output, &job->output, job->arena, &choice->text)) {
        return vmt_fault_other(&job->fault, VMT_FAULT_BUSY, NULL, "no memory for another choice");
    }
    if (job->num_stop_strings == 0) return true;
    choice->stop = vmt_stop_create(job->arena, job->stop_strings, job->num_stop_strings,
                                   job->fields.include_stop_str_in_output);
    return choice->stop || vmt_fault_other(&job->fault, VMT_FAULT_BUSY, "stop", "no memory for stop strings");
}

/* Code points of the prompt's token texts: where the first generated token's text begins. */
static uint64_t count_chars(const vmt_job *job, const vmt_prompt *prompt) {
    uint64_t num_chars = 0;
    vmt_buf text = {0};
    for (size_t i = 0; i < prompt->tokens.len; i++) {
        vmt_buf_clear(&text);
        vmt_logprobs_token_text(&job->logprobs_style, prompt->tokens.ids[i], &text);
        num_chars += vmt_utf8_count(vmt_buf_str(&text));
    }
    vmt_buf_free(&text);
    return num_chars;
}

static bool create_generation(vmt_job *job, uint32_t prompt_idx, const vmt_prepare_options *options) {
    vmt_prompt *prompt = &job->prompts[prompt_idx];
    vmt_job_gen *gen = &job->gens[prompt_idx];
    *gen = (vmt_job_gen){.job = job, .prompt_idx = prompt_idx};
    vmt_sampling sampling = job->sampling;
    if (!truncate(job, prompt, options->max_tokens) ||
        !check_length(job, prompt, options->max_tokens, options->max_tokens_param) ||
        !resolve_max_tokens(job, prompt, options, &sampling)) {
        return false;
    }
    if (prompt_idx == 0) job->sampling.max_tokens = sampling.max_tokens;
    if (options->echo_logprobs) prompt->num_chars = count_chars(job, prompt);
    for (uint32_t s = 0; s < job->n; s++) {
        if (!init_choice(job, &job->choices[prompt_idx * job->n + s], gen, s)) return false;
    }
    const vmt_constraint *constraints;
    if (!vmt_job_create_constraints(job, prompt_idx, &constraints)) return false;
    const vmt_generation_params params = {
        .prompt = prompt->tokens.ids,
        .num_prompt = (uint32_t)prompt->tokens.len,
        .n = job->n,
        .sampling = sampling,
        .priority = job->fields.priority,
        .constraints = constraints,
        .cache_salt = job->cache_salt,
        .echo_only = options->echo_only,
        .pooling = options->pooling,
        .user = gen,
    };
    vmt_err err = {0};
    vmt_status status = vmt_generation_create(&gen->gen, job->api->config.engine, &params, job->arena, &err);
    if (status == VMT_OK) return true;
    /* It is the request that is too large, not the server that is too busy. */
    if (status == VMT_E_NO_MEMORY) return vmt_fault_rule(&job->fault, NULL, NULL, "%s", err.msg);
    return vmt_fault_from_err(&job->fault, &err, NULL);
}

/* One more token ends the answer. */
static bool add_stop_id(vmt_job *job, int32_t id) {
    uint32_t count = job->sampling.num_stop_token_ids;
    if (id < 0) return true;
    int32_t *ids = vmt_job_alloc(job, (size_t)count + 1, sizeof *ids);
    if (!ids) return false;
    if (count) memcpy(ids, job->sampling.stop_token_ids, count * sizeof *ids);
    ids[count] = id;
    job->sampling.stop_token_ids = ids;
    job->sampling.num_stop_token_ids = count + 1;
    return true;
}

bool vmt_job_prepare(vmt_job *job, const vmt_prepare_options *options) {
    vmt_api *api = job->api;
    const vmt_sampling_context context = {&api->config, job->arena, vmt_engine_vocab(api->config.engine)};
    if (!vmt_sampling_resolve(&job->sampling, &job->fields, &context, options->logprobs, &job->fault))
        return false;
    if (options->fim && !add_stop_id(job, vmt_fim_end(options->fim, api->config.tokenizer))) return false;
    if (options->echo_logprobs) job->sampling.num_prompt_logprobs = job->sampling.num_logprobs;
    if (!job->sampling.has_seed) {
        uint64_t state = api->config.default_seed + atomic_fetch_add(&api->num_seeds, 1);
        job->sampling.seed = vmt_splitmix64(&state);
        job->sampling.has_seed = true;
    }
    job->n = (uint32_t)job->fields.n;
    job->wants_logprobs = options->logprobs.num_logprobs != VMT_LOGPROBS_NONE;
    job->logprobs_style = (vmt_logprobs_style){
        .tok = api->config.tokenizer,
        .num_top = options->logprobs.num_logprobs == -1 ? -1 : (int32_t)VMT_MAX(options->logprobs.num_logprobs, 0),
        .as_token_id = job->fields.return_tokens_as_token_ids || api->config.return_tokens_as_token_ids,
    };
    job->stream_interval = (uint32_t)VMT_MAX((int64_t)api->config.stream_interval, job->fields.stream_interval);
    size_t num_choices = (size_t)job->num_prompts * job->n;
    if (num_choices > VMT_JOB_CHOICES_MAX) {
        return vmt_fault_rule(&job->fault, "n", NULL, "%u prompts times n=%u are %zu choices, the limit is %u.",
                              job->num_prompts, job->n, num_choices, VMT_JOB_CHOICES_MAX);
    }
    job->gens = vmt_job_alloc(job, job->num_prompts, sizeof *job->gens);
    job->choices = vmt_job_alloc(job, num_choices, sizeof *job->choices);
    if (!job->gens || !job->choices) return false;
    job->num_choices = (uint32_t)num_choices;
    if (!vmt_job_compile_constraints(job)) return false;
    for (uint32_t i = 0; i < job->num_prompts; i++) {
        if (!create_generation(job, i, options)) return false;
    }
    return true;
}
