/* POST /v1/completions. */
#include "api/openai.h"
#include "api/openai_format.h"
#include "api/prompt.h"

#define OBJECT             "text_completion"
#define MAX_TOKENS_DEFAULT 16
#define ECHO_TOKENS_A_TURN \
    1024u /* logprobs of so many prompt tokens are formatted before other work has its turn */

struct completion {
    vmt_json prompt;
    int64_t max_tokens, logprobs;
    bool echo, add_special_tokens;
    vmt_str suffix;
    const vmt_fim_style *fim; /* with a suffix */
    vmt_json prompt_embeds;
};

#define FIELD(kind, name) {#name, VMT_FIELD_##kind, offsetof(struct completion, name), NULL, 0, 0, false}
#define RANGE(name, text, min, max) \
    {#name, VMT_FIELD_INT, offsetof(struct completion, name), text, min, max, false}
static const vmt_field completion_table[] = {
    FIELD(ANY, prompt),
    RANGE(max_tokens, "at least 0", 0, UINT32_MAX),
    RANGE(logprobs, "a non-negative value or -1", -1, INT32_MAX),
    FIELD(BOOL, echo),
    FIELD(BOOL, add_special_tokens),
    FIELD(STRING, suffix),
    FIELD(ANY, prompt_embeds),
};

static bool read_suffix(vmt_job *job, struct completion *c) {
    c->fim = vmt_fim_find(job->api->config.tokenizer);
    if (!c->fim) {
        return vmt_fault_rule(&job->fault, "suffix", NULL,
                              "suffix needs a model that fills in the middle, and this one has no tokens for it.");
    }
    return !c->echo || vmt_fault_rule(&job->fault, "echo", NULL, "echo can't be combined with suffix.");
}

static bool read_request(vmt_job *job, struct completion *c) {
    vmt_json body;
    if (!vmt_job_read_common(job, &body)) return false;
    *c = (struct completion){
        .max_tokens = MAX_TOKENS_DEFAULT, .logprobs = VMT_LOGPROBS_NONE, .add_special_tokens = true};
    if (!vmt_fields_read(completion_table, VMT_COUNT(completion_table), body, c, &job->fault)) return false;
    if (c->suffix.len && !read_suffix(job, c)) return false;
    if (vmt_json_exists(c->prompt_embeds)) {
        return vmt_fault_rule(&job->fault, "prompt_embeds", NULL, "prompt_embeds is not supported yet.");
    }
    if (job->fields.thinking_token_budget != VMT_FIELD_UNSET && job->fields.thinking_token_budget >= 0) {
        return vmt_fault_rule(
            &job->fault, "thinking_token_budget", NULL,
            "thinking_token_budget needs a chat: a completion is not split into reasoning and text.");
    }
    if (c->max_tokens == 0 && !c->echo) {
        return vmt_fault_rule(&job->fault, "max_tokens", "0", "max_tokens must be at least 1, got 0.");
    }
    job->has_echo = c->echo;
    return true;
}

static bool refuse_prompt(vmt_job *job) {
    return vmt_fault_schema(
        &job->fault, "prompt",
        "body.prompt: Input should be a string, a list of strings, a list of token ids or a list of "
        "lists of token ids");
}

/* The text that echo shows for a prompt of ids. */
static bool decode_for_echo(vmt_job *job, vmt_prompt *prompt) {
    vmt_buf text = {0};
    vmt_tokenizer_decode(job->api->config.tokenizer, prompt->tokens.ids, prompt->tokens.len, false, &text);
    prompt->text = vmt_job_dup(job, vmt_buf_str(&text));
    vmt_buf_free(&text);
    return prompt->text.ptr != NULL;
}

static bool add_fim_prompt(vmt_job *job, const struct completion *c, uint32_t idx, vmt_str prefix) {
    vmt_buf text = {0};
    vmt_fim_write(c->fim, prefix, c->suffix, &text);
    bool ok = text.failed ? vmt_fault_other(&job->fault, VMT_FAULT_BUSY, "suffix", "no memory for the prompt")
                          : vmt_prompt_encode(job, idx, vmt_buf_str(&text), c->add_special_tokens);
    job->prompts[idx].text = (vmt_str){0};
    vmt_buf_free(&text);
    return ok;
}

static bool add_prompt(vmt_job *job, const struct completion *c, vmt_json value) {
    uint32_t idx = job->num_prompts++;
    vmt_str text;
    if (c->fim) return vmt_json_get_str(value, &text) ? add_fim_prompt(job, c, idx, text) : refuse_prompt(job);
    if (vmt_json_get_str(value, &text)) {
        if (!vmt_prompt_encode(job, idx, text, c->add_special_tokens)) return false;
        /* The document goes when parsing is over. */
        job->prompts[idx].text = c->echo ? vmt_job_dup(job, text) : (vmt_str){0};
        return !c->echo || job->prompts[idx].text.ptr != NULL;
    }
    if (vmt_json_typeof(value) != VMT_JSON_ARRAY) return refuse_prompt(job);
    if (!vmt_prompt_read_ids(job, idx, value, "prompt")) return refuse_prompt(job);
    return !c->echo || decode_for_echo(job, &job->prompts[idx]);
}

static bool read_prompts(vmt_job *job, const struct completion *c) {
    vmt_json first = {0};
    vmt_json_iter it = vmt_json_iter_begin(c->prompt);
    bool is_list = vmt_json_typeof(c->prompt) == VMT_JSON_ARRAY && vmt_json_iter_next(&it, NULL, &first);
    vmt_json_type first_type = vmt_json_typeof(first);
    /* A list of numbers is one prompt, and so is a string. */
    bool is_several = is_list && (first_type == VMT_JSON_STRING || first_type == VMT_JSON_ARRAY);
    vmt_str text;
    bool is_empty = !vmt_json_exists(c->prompt) || (vmt_json_get_str(c->prompt, &text) && text.len == 0) ||
                    (vmt_json_typeof(c->prompt) == VMT_JSON_ARRAY && !is_list);
    if (is_empty && !(c->fim && vmt_json_get_str(c->prompt, &text))) {
        return vmt_fault_rule(&job->fault, "prompt", NULL,
                              "Either prompt or prompt_embeds must be provided and non-empty.");
    }
    size_t count = is_several ? vmt_json_size(c->prompt) : 1;
    if (count > VMT_PROMPTS_MAX) {
        return vmt_fault_rule(&job->fault, "prompt", NULL, "prompt has %zu prompts, the limit is %u.", count,
                              VMT_PROMPTS_MAX);
    }
    job->prompts = vmt_job_alloc(job, count, sizeof *job->prompts);
    if (!job->prompts) return false;
    if (!is_several) return add_prompt(job, c, c->prompt);
    vmt_json value;
    for (it = vmt_json_iter_begin(c->prompt); vmt_json_iter_next(&it, NULL, &value);) {
        if (vmt_json_typeof(value) != first_type) return refuse_prompt(job);
        if (!add_prompt(job, c, value)) return false;
    }
    return true;
}

static bool parse(vmt_job *job) {
    struct completion *c = vmt_job_alloc(job, 1, sizeof *c);
    job->request = c;
    if (!c || !read_request(job, c) || !read_prompts(job, c)) return false;
    const vmt_prepare_options options = {
        .max_tokens = c->max_tokens,
        .max_tokens_param = "max_tokens",
        .fim = c->fim,
        .logprobs = {c->logprobs, "logprobs"},
        .echo_only = c->max_tokens == 0,
        .echo_logprobs = c->echo && c->logprobs != VMT_LOGPROBS_NONE,
    };
    return vmt_job_prepare(job, &options);
}

static void on_token(vmt_job *job, vmt_choice *choice, const vmt_output_token *token) {
    if (job->wants_logprobs) vmt_logprobs_lists_add(&choice->logprobs, &job->logprobs_style, token, true);
}

/* Prompt tokens [begin, end) with their logprobs. */
static void add_echoed(const vmt_job *job, const vmt_choice *choice, vmt_logprobs_lists *lists, uint32_t begin,
                       uint32_t end) {
    const vmt_prompt *prompt = &job->prompts[choice->gen->prompt_idx];
    for (uint32_t i = begin; i < end; i++) {
        vmt_output_token token;
        bool has_logprob = i > 0 && vmt_generation_prompt_logprob(choice->gen->gen, i, &token);
        if (!has_logprob) token = (vmt_output_token){.token_id = prompt->tokens.ids[i]};
        vmt_logprobs_lists_add(lists, &job->logprobs_style, &token, has_logprob);
    }
}

static void append_ids(vmt_buf *list, const vmt_tokens *tokens) {
    for (size_t i = 0; i < tokens->len; i++) vmt_buf_printf(list, i ? ",%d" : "%d", (int)tokens->ids[i]);
}

struct chunk {
    vmt_str text;
    const vmt_logprobs_lists *logprobs;
    vmt_str token_ids;
    bool is_last, has_prompt_ids;
};

static void write_list(vmt_json_writer *w, const char *key, vmt_str elements) {
    vmt_json_key(w, key);
    vmt_json_begin_array(w);
    if (elements.len) vmt_json_raw(w, elements);
    vmt_json_end_array(w);
}

static void send_chunk(vmt_job *job, const vmt_choice *choice, const struct chunk *chunk) {
    vmt_json_writer w;
    vmt_buf_clear(&job->out);
    vmt_json_writer_init(&w, &job->out);
    vmt_openai_begin(&w, job, OBJECT);
    vmt_json_key(&w, "choices");
    vmt_json_begin_array(&w);
    vmt_json_begin_object(&w);
    vmt_json_key(&w, "index");
    vmt_json_u64(&w, choice->index);
    vmt_json_key(&w, "text");
    vmt_json_str(&w, chunk->text);
    vmt_json_key(&w, "logprobs");
    if (job->wants_logprobs) {
        vmt_logprobs_lists_write(chunk->logprobs, &w);
    } else {
        vmt_json_null(&w);
    }
    vmt_json_key(&w, "finish_reason");
    vmt_json_c_str(&w, chunk->is_last ? vmt_choice_finish_name(choice) : NULL);
    if (chunk->is_last) {
        vmt_openai_stop_reason(&w, job, choice);
    } else {
        vmt_json_key(&w, "stop_reason");
        vmt_json_null(&w);
    }
    vmt_openai_prompt_ids(&w, &job->prompts[choice->gen->prompt_idx],
                          job->fields.return_token_ids && chunk->has_prompt_ids);
    if (job->fields.return_token_ids) {
        write_list(&w, "token_ids", chunk->token_ids);
    } else {
        vmt_json_key(&w, "token_ids");
        vmt_json_null(&w);
    }
    vmt_json_end_object(&w);
    vmt_json_end_array(&w);
    if (job->fields.continuous_usage_stats && job->fields.include_usage) {
        vmt_usage usage = vmt_usage_of_choice(job, choice);
        vmt_openai_usage(&w, job, &usage, false);
    } else {
        vmt_json_key(&w, "usage");
        vmt_json_null(&w);
    }
    vmt_json_end_object(&w);
    vmt_job_send(job, NULL, &job->out);
}

/* With echo the prompt comes first: its text at once, its logprobs a slice a turn. */
static bool on_prompt(vmt_job *job, vmt_choice *choice) {
    if (!job->has_echo) return false;
    const vmt_prompt *prompt = &job->prompts[choice->gen->prompt_idx];
    uint32_t len = (uint32_t)prompt->tokens.len, begin = choice->num_echoed;
    uint32_t end = job->wants_logprobs ? VMT_MIN(len, begin + ECHO_TOKENS_A_TURN) : len;
    vmt_logprobs_lists lists = {.next_offset = choice->echo_offset};
    vmt_buf ids = {0};
    if (job->wants_logprobs) add_echoed(job, choice, &lists, begin, end);
    if (begin == 0 && job->fields.return_token_ids) append_ids(&ids, &prompt->tokens);
    const struct chunk chunk = {
        .text = begin == 0 ? prompt->text : VMT_STR(""),
        .logprobs = &lists,
        .token_ids = vmt_buf_str(&ids),
        .has_prompt_ids = begin == 0,
    };
    send_chunk(job, choice, &chunk);
    choice->num_echoed = end;
    choice->echo_offset = lists.next_offset;
    vmt_logprobs_lists_free(&lists);
    vmt_buf_free(&ids);
    return end < len;
}

static void on_delta(vmt_job *job, vmt_choice *choice) {
    const struct chunk chunk = {
        .text = vmt_buf_str(&choice->text),
        .logprobs = &choice->logprobs,
        .token_ids = vmt_buf_str(&choice->token_ids),
        .is_last = choice->is_finished,
        .has_prompt_ids = !choice->has_sent && !job->has_echo,
    };
    send_chunk(job, choice, &chunk);
}

static void on_end(vmt_job *job) {
    vmt_openai_end_stream(job, OBJECT, false);
}

static void append_list(vmt_buf *list, const vmt_buf *more) {
    if (list->len && more->len) vmt_buf_append_byte(list, ',');
    vmt_buf_append(list, vmt_buf_str(more));
}

static void write_whole_logprobs(vmt_json_writer *w, const vmt_job *job, const vmt_choice *choice) {
    vmt_json_key(w, "logprobs");
    if (!job->wants_logprobs) {
        vmt_json_null(w);
        return;
    }
    if (!job->has_echo) {
        vmt_logprobs_lists_write(&choice->logprobs, w);
        return;
    }
    vmt_logprobs_lists all = {0};
    add_echoed(job, choice, &all, 0, (uint32_t)job->prompts[choice->gen->prompt_idx].tokens.len);
    append_list(&all.text_offset, &choice->logprobs.text_offset);
    append_list(&all.token_logprobs, &choice->logprobs.token_logprobs);
    append_list(&all.tokens, &choice->logprobs.tokens);
    append_list(&all.top_logprobs, &choice->logprobs.top_logprobs);
    vmt_logprobs_lists_write(&all, w);
    if (vmt_logprobs_lists_failed(&all)) w->buf->failed = true;
    vmt_logprobs_lists_free(&all);
}

static void write_choice(vmt_json_writer *w, const vmt_job *job, const vmt_choice *choice) {
    const vmt_prompt *prompt = &job->prompts[choice->gen->prompt_idx];
    vmt_buf text = {0}, ids = {0};
    if (job->has_echo) vmt_buf_append(&text, prompt->text);
    vmt_buf_append(&text, vmt_buf_str(&choice->text));
    vmt_json_begin_object(w);
    vmt_json_key(w, "index");
    vmt_json_u64(w, choice->index);
    vmt_json_key(w, "text");
    vmt_json_str(w, vmt_buf_str(&text));
    write_whole_logprobs(w, job, choice);
    vmt_openai_finish_reason(w, choice);
    vmt_openai_stop_reason(w, job, choice);
    if (job->fields.return_token_ids) {
        if (job->has_echo) append_ids(&ids, &prompt->tokens);
        append_list(&ids, &choice->token_ids);
        write_list(w, "token_ids", vmt_buf_str(&ids));
    } else {
        vmt_json_key(w, "token_ids");
        vmt_json_null(w);
    }
    vmt_openai_prompt_logprobs(w, job, choice->gen);
    vmt_openai_prompt_ids(w, prompt, job->fields.return_token_ids);
    vmt_json_end_object(w);
    if (text.failed || ids.failed) w->buf->failed = true;
    vmt_buf_free(&text);
    vmt_buf_free(&ids);
}

static void on_final(vmt_job *job) {
    vmt_json_writer w;
    vmt_buf_clear(&job->out);
    vmt_json_writer_init(&w, &job->out);
    vmt_openai_begin(&w, job, OBJECT);
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
    vmt_json_key(&w, "kv_transfer_params");
    vmt_json_null(&w);
    vmt_json_end_object(&w);
}

const vmt_dialect vmt_openai_completions = {
    .name = "completions",
    .id_prefix = "cmpl-",
    .parse = parse,
    .on_token = on_token,
    .on_prompt = on_prompt,
    .on_delta = on_delta,
    .on_end = on_end,
    .on_final = on_final,
    .on_error = vmt_fault_openai_body,
    .end_of_stream = "[DONE]",
};
