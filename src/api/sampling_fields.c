#include "api/sampling_fields.h"
#include "base/utf8.h"
#include "text/stop.h"

#include <math.h>
#include <stdio.h>

#define N_MAX               16384 /* vLLM's ceiling on n; ours is VMT_GENERATION_N_MAX and named when met */
#define GREEDY_BELOW        1e-5  /* smaller temperatures are greedy */
#define TEMPERATURE_MIN     0.01  /* and those between are raised, lest exp() overflows */
#define LOGIT_BIAS_BOUND    100.0
#define NUM_REQUEST_FIELDS  6                       /* the first rows of the table */
#define BAD_WORDS_FIELD_MAX (VMT_BAD_WORDS_MAX / 2) /* each may become two runs */

#define FIELD(kind, name) {#name, VMT_FIELD_##kind, offsetof(vmt_sampling_fields, name), NULL, 0, 0, false}
#define RANGE(kind, name, text, min, max) \
    {#name, VMT_FIELD_##kind, offsetof(vmt_sampling_fields, name), text, min, max, false}
#define OPEN_RANGE(kind, name, text, min, max) \
    {#name, VMT_FIELD_##kind, offsetof(vmt_sampling_fields, name), text, min, max, true}
#define STRUCTURED(kind, name) \
    {#name, VMT_FIELD_##kind, offsetof(vmt_sampling_fields, structured.name), NULL, 0, 0, false}

static const vmt_field fields_table[] = {
    /* of every request: NUM_REQUEST_FIELDS */
    FIELD(STRING, model),
    RANGE(INT, truncate_prompt_tokens, "at least -1", -1, UINT32_MAX),
    FIELD(STRING, truncation_side),
    FIELD(INT, priority),
    FIELD(STRING, request_id),
    FIELD(STRING, cache_salt),
    /* of those that generate */
    FIELD(BOOL, stream),
    FIELD(OBJECT, stream_options),
    RANGE(NUMBER, temperature, "in [0, 2]", 0, 2),
    OPEN_RANGE(NUMBER, top_p, "in (0, 1]", 0, 1),
    RANGE(NUMBER, min_p, "in [0, 1]", 0, 1),
    RANGE(INT, top_k, "0 (disable), or at least 1", -1, INT32_MAX),
    RANGE(NUMBER, presence_penalty, "in [-2, 2]", -2, 2),
    RANGE(NUMBER, frequency_penalty, "in [-2, 2]", -2, 2),
    OPEN_RANGE(NUMBER, repetition_penalty, "greater than zero", 0, 3e38),
    FIELD(INT, seed),
    RANGE(INT, n, "at least 1 and at most 16384", 1, N_MAX),
    RANGE(INT, min_tokens, "greater than or equal to 0", 0, UINT32_MAX),
    RANGE(INT, prompt_logprobs, "a non-negative value or -1", -1, INT32_MAX),
    RANGE(INT, stream_interval, "at least 1", 1, UINT32_MAX),
    FIELD(ANY, stop),
    FIELD(ARRAY, stop_token_ids),
    FIELD(OBJECT, logit_bias),
    FIELD(ARRAY, allowed_token_ids),
    FIELD(ARRAY, bad_words),
    FIELD(BOOL, include_stop_str_in_output),
    FIELD(BOOL, ignore_eos),
    FIELD(BOOL, skip_special_tokens),
    FIELD(BOOL, return_token_ids),
    FIELD(BOOL, return_tokens_as_token_ids),
    STRUCTURED(OBJECT, response_format),
    STRUCTURED(OBJECT, structured_outputs),
    STRUCTURED(ANY, guided_json),
    STRUCTURED(ANY, guided_regex),
    STRUCTURED(ANY, guided_choice),
    STRUCTURED(ANY, guided_grammar),
    STRUCTURED(ANY, guided_whitespace_pattern),
    FIELD(ARRAY, logprob_token_ids),
    RANGE(INT, thinking_token_budget, "a non-negative value or -1", -1, UINT32_MAX),
    FIELD(OBJECT, repetition_detection),
    FIELD(BOOL, use_beam_search),
};

static const vmt_field stream_options_table[] = {
    FIELD(BOOL, include_usage),
    FIELD(BOOL, continuous_usage_stats),
};

static bool check_cache_salt(vmt_str salt, vmt_fault *fault) {
    if (!salt.ptr) return true;
    if (salt.len == 0) {
        return vmt_fault_rule(fault, "cache_salt", NULL,
                              "Parameter 'cache_salt' must be a non-empty string if provided.");
    }
    if (vmt_utf8_count(salt) > VMT_CACHE_SALT_MAX) {
        return vmt_fault_rule(fault, "cache_salt", NULL, "cache_salt has %zu characters, the limit is %u.",
                              vmt_utf8_count(salt), VMT_CACHE_SALT_MAX);
    }
    for (size_t i = 0; i < salt.len; i++) {
        if (salt.ptr[i] == 0 || strchr("@/\\", salt.ptr[i])) {
            return vmt_fault_rule(fault, "cache_salt", NULL, "cache_salt must not contain '@', '/', '\\' or NUL.");
        }
    }
    return true;
}

/* Fields that are understood but have no implementation behind them yet. */
static bool refuse_unsupported(const vmt_sampling_fields *f, vmt_fault *fault) {
    const struct {
        const char *name;
        bool given;
    } refused[] = {
        {"logprob_token_ids", vmt_json_exists(f->logprob_token_ids)},
        {"repetition_detection", vmt_json_exists(f->repetition_detection)},
        {"use_beam_search", f->use_beam_search},
    };
    for (size_t i = 0; i < VMT_COUNT(refused); i++) {
        if (refused[i].given) {
            return vmt_fault_rule(fault, refused[i].name, NULL, "%s is not supported yet.", refused[i].name);
        }
    }
    return true;
}

static void set_defaults(vmt_sampling_fields *f) {
    *f = (vmt_sampling_fields){
        .temperature = NAN,
        .top_p = NAN,
        .min_p = NAN,
        .repetition_penalty = NAN,
        .presence_penalty = NAN,
        .frequency_penalty = NAN,
        .top_k = VMT_FIELD_UNSET,
        .seed = -1,
        .n = 1,
        .prompt_logprobs = VMT_FIELD_UNSET,
        .truncate_prompt_tokens = VMT_FIELD_UNSET,
        .stream_interval = 1,
        .thinking_token_budget = VMT_FIELD_UNSET,
        .skip_special_tokens = true,
    };
}

static bool check_request_fields(const vmt_sampling_fields *f, vmt_fault *fault) {
    if (f->truncation_side.ptr && !vmt_str_eq_c(f->truncation_side, "left") &&
        !vmt_str_eq_c(f->truncation_side, "right")) {
        return vmt_fault_schema(fault, "truncation_side",
                                "body.truncation_side: Input should be 'left' or 'right'");
    }
    return check_cache_salt(f->cache_salt, fault);
}

bool vmt_request_fields_read(vmt_sampling_fields *f, vmt_json body, vmt_fault *fault) {
    set_defaults(f);
    return vmt_fields_read(fields_table, NUM_REQUEST_FIELDS, body, f, fault) && check_request_fields(f, fault);
}

bool vmt_sampling_fields_read(vmt_sampling_fields *f, vmt_json body, vmt_fault *fault) {
    set_defaults(f);
    if (!vmt_fields_read(fields_table, VMT_COUNT(fields_table), body, f, fault)) return false;
    if (vmt_json_exists(f->stream_options)) {
        if (!f->stream) {
            return vmt_fault_rule(fault, "stream_options", NULL,
                                  "Stream options can only be defined when `stream=True`.");
        }
        if (!vmt_fields_read(stream_options_table, VMT_COUNT(stream_options_table), f->stream_options, f, fault)) {
            return false;
        }
    }
    if (f->stream && f->prompt_logprobs != VMT_FIELD_UNSET && f->prompt_logprobs != 0) {
        return vmt_fault_rule(fault, "prompt_logprobs", NULL,
                              "`prompt_logprobs` are not available when `stream=True`.");
    }
    if (f->n > VMT_GENERATION_N_MAX) {
        return vmt_fault_rule(fault, "n", NULL, "n is %lld, this server's limit is %u.", (long long)f->n,
                              VMT_GENERATION_N_MAX);
    }
    return check_request_fields(f, fault) && refuse_unsupported(f, fault);
}

/* A list of token ids as int32 in the arena. */
static bool read_ids(const vmt_sampling_context *c, vmt_json list, const char *param, uint32_t count_max,
                     const int32_t **ids, uint32_t *num_ids, vmt_fault *fault) {
    size_t count = vmt_json_size(list);
    if (count > count_max) {
        return vmt_fault_rule(fault, param, NULL, "%s has %zu entries, the limit is %u.", param, count, count_max);
    }
    int32_t *out = VMT_ARENA_NEW(c->arena, int32_t, count);
    if (!out) return vmt_fault_other(fault, VMT_FAULT_BUSY, param, "no memory for %zu token ids", count);
    vmt_json value;
    size_t i = 0;
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, NULL, &value); i++) {
        int64_t id;
        if (!vmt_field_to_int(value, &id)) {
            return vmt_fault_schema(fault, param, "body.%s.%zu: Input should be an integer, got %s", param, i,
                                    vmt_json_type_name(vmt_json_typeof(value)));
        }
        if (id < 0 || id >= (int64_t)c->vocab) {
            return vmt_fault_rule(fault, param, NULL, "%s contains token id %lld, the vocabulary has %u.", param,
                                  (long long)id, c->vocab);
        }
        out[i] = (int32_t)id;
    }
    *ids = out;
    *num_ids = (uint32_t)count;
    return true;
}

static bool read_logit_bias(const vmt_sampling_context *c, vmt_json map, vmt_sampling *out, vmt_fault *fault) {
    size_t count = vmt_json_size(map);
    if (count > VMT_LOGIT_BIAS_MAX) {
        return vmt_fault_rule(fault, "logit_bias", NULL, "logit_bias has %zu entries, the limit is %u.", count,
                              VMT_LOGIT_BIAS_MAX);
    }
    vmt_logit_bias *entries = VMT_ARENA_NEW(c->arena, vmt_logit_bias, count);
    if (!entries) return vmt_fault_other(fault, VMT_FAULT_BUSY, "logit_bias", "no memory for %zu entries", count);
    vmt_str key;
    vmt_json value;
    size_t i = 0;
    for (vmt_json_iter it = vmt_json_iter_begin(map); vmt_json_iter_next(&it, &key, &value); i++) {
        int64_t id;
        double bias;
        if (!vmt_str_to_i64(key, &id)) {
            return vmt_fault_rule(fault, "logit_bias", NULL,
                                  "Found invalid keys in logit_bias: '%.*s' is not an integer.",
                                  (int)VMT_MIN(key.len, 64), key.ptr);
        }
        if (id < 0 || id >= (int64_t)c->vocab) {
            return vmt_fault_rule(fault, "logit_bias", NULL,
                                  "token_id(s) [%lld] in logit_bias contain out-of-vocab token "
                                  "ids. Vocabulary size: %u",
                                  (long long)id, c->vocab);
        }
        if (!vmt_field_to_number(value, &bias)) {
            return vmt_fault_schema(fault, "logit_bias",
                                    "body.logit_bias.%lld: Input should be a finite number, got %s", (long long)id,
                                    vmt_json_type_name(vmt_json_typeof(value)));
        }
        entries[i] = (vmt_logit_bias){(int32_t)id, (float)fmax(-LOGIT_BIAS_BOUND, fmin(LOGIT_BIAS_BOUND, bias))};
    }
    out->logit_bias = entries;
    out->num_logit_bias = (uint32_t)count;
    return true;
}

static bool encode_run(const vmt_sampling_context *c, vmt_str word, bool spaced, vmt_token_run *run,
                       vmt_fault *fault) {
    vmt_buf text = {0};
    if (spaced) vmt_buf_append_byte(&text, ' ');
    vmt_buf_append(&text, word);
    vmt_tokens tokens = {0};
    vmt_err err = {0};
    vmt_status status =
        vmt_tokenizer_encode(c->config->tokenizer, vmt_buf_str(&text), (vmt_encode_options){0}, &tokens, &err);
    vmt_buf_free(&text);
    if (status != VMT_OK) {
        vmt_tokens_free(&tokens);
        return vmt_fault_from_err(fault, &err, "bad_words");
    }
    int32_t *ids = VMT_ARENA_NEW(c->arena, int32_t, tokens.len);
    if (ids && tokens.len) memcpy(ids, tokens.ids, tokens.len * sizeof *ids);
    *run = (vmt_token_run){ids, (uint32_t)tokens.len};
    vmt_tokens_free(&tokens);
    return ids || vmt_fault_other(fault, VMT_FAULT_BUSY, "bad_words", "no memory for bad_words");
}

/* Each word bare; and with a leading space when that changes its first token only, as vLLM does: the second run then
 * is the word in the middle of a text. */
static bool read_bad_words(const vmt_sampling_context *c, vmt_json list, vmt_sampling *out, vmt_fault *fault) {
    size_t count = vmt_json_size(list);
    if (count > BAD_WORDS_FIELD_MAX) {
        return vmt_fault_rule(fault, "bad_words", NULL, "bad_words has %zu entries, the limit is %u.", count,
                              BAD_WORDS_FIELD_MAX);
    }
    vmt_token_run *runs = VMT_ARENA_NEW(c->arena, vmt_token_run, 2 * count);
    if (!runs) return vmt_fault_other(fault, VMT_FAULT_BUSY, "bad_words", "no memory for bad_words");
    uint32_t num_runs = 0;
    vmt_json value;
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, NULL, &value);) {
        vmt_str word;
        if (!vmt_json_get_str(value, &word)) {
            return vmt_fault_schema(fault, "bad_words", "body.bad_words: Input should be a list of strings");
        }
        word = vmt_str_trim(word);
        if (word.len == 0) {
            return vmt_fault_rule(fault, "bad_words", NULL, "bad_words cannot contain an empty string.");
        }
        vmt_token_run bare, spaced;
        if (!encode_run(c, word, false, &bare, fault) || !encode_run(c, word, true, &spaced, fault)) return false;
        if (bare.len == 0) continue;
        runs[num_runs++] = bare;
        if (spaced.len == bare.len && spaced.ids[0] != bare.ids[0]) runs[num_runs++] = spaced;
    }
    out->bad_words = runs;
    out->num_bad_words = num_runs;
    return true;
}

/* -2 none, -1 all, k.  In vmt_sampling: -1 none, INT32_MAX all. */
static bool resolve_logprobs(const vmt_sampling_context *c, const char *what, int64_t wish, const char *param,
                             int32_t *out, vmt_fault *fault) {
    if (wish == VMT_LOGPROBS_NONE) {
        *out = -1;
        return true;
    }
    int64_t count = wish == -1 ? (int64_t)c->vocab : wish;
    int32_t max = c->config->max_logprobs;
    if (max >= 0 && count > max) {
        return vmt_fault_rule(fault, param, NULL,
                              "Requested %s logprobs of %lld, which is greater than max allowed: %d", what,
                              (long long)count, max);
    }
    *out = wish == -1 || count >= (int64_t)c->vocab ? INT32_MAX : (int32_t)count;
    return true;
}

static float or_default(double given, float fallback) {
    return isnan(given) ? fallback : (float)given;
}

static bool resolve_temperature(vmt_sampling *out, const vmt_sampling_fields *f, vmt_fault *fault) {
    if (out->temperature >= GREEDY_BELOW) {
        out->temperature = fmaxf(out->temperature, (float)TEMPERATURE_MIN);
        return true;
    }
    if (f->n > 1) {
        return vmt_fault_rule(fault, "n", NULL, "n must be 1 when using greedy sampling, got %lld.",
                              (long long)f->n);
    }
    out->temperature = 0;
    out->top_p = 1;
    out->top_k = 0;
    out->min_p = 0;
    return true;
}

bool vmt_sampling_resolve(vmt_sampling *out, const vmt_sampling_fields *f, const vmt_sampling_context *c,
                          vmt_logprobs_wish wish, vmt_fault *fault) {
    const vmt_sampling_defaults *d = &c->config->defaults;
    *out = vmt_sampling_default();
    out->temperature = or_default(f->temperature, d->temperature);
    out->top_p = or_default(f->top_p, d->top_p);
    out->min_p = or_default(f->min_p, d->min_p);
    out->repetition_penalty = or_default(f->repetition_penalty, d->repetition_penalty);
    out->presence_penalty = or_default(f->presence_penalty, d->presence_penalty);
    out->frequency_penalty = or_default(f->frequency_penalty, d->frequency_penalty);
    int64_t top_k = f->top_k == VMT_FIELD_UNSET ? d->top_k : f->top_k;
    out->top_k = top_k <= 0 ? 0 : (int32_t)top_k;
    out->has_seed = f->seed != -1;
    out->seed = (uint64_t)f->seed;
    out->min_tokens = (uint32_t)f->min_tokens;
    out->ignore_eos = f->ignore_eos;
    int64_t prompt_wish = f->prompt_logprobs == VMT_FIELD_UNSET ? VMT_LOGPROBS_NONE : f->prompt_logprobs;
    if (!resolve_temperature(out, f, fault) ||
        !resolve_logprobs(c, "sample", wish.num_logprobs, wish.param, &out->num_logprobs, fault) ||
        !resolve_logprobs(c, "prompt", prompt_wish, "prompt_logprobs", &out->num_prompt_logprobs, fault)) {
        return false;
    }
    if (vmt_json_exists(f->stop_token_ids) &&
        !read_ids(c, f->stop_token_ids, "stop_token_ids", VMT_STOP_TOKEN_IDS_MAX, &out->stop_token_ids,
                  &out->num_stop_token_ids, fault)) {
        return false;
    }
    if (vmt_json_exists(f->allowed_token_ids)) {
        if (vmt_json_size(f->allowed_token_ids) == 0) {
            return vmt_fault_rule(fault, "allowed_token_ids", NULL, "allowed_token_ids is not None and empty!");
        }
        if (!read_ids(c, f->allowed_token_ids, "allowed_token_ids", VMT_ALLOWED_TOKEN_IDS_MAX,
                      &out->allowed_token_ids, &out->num_allowed_token_ids, fault)) {
            return false;
        }
    }
    if (vmt_json_exists(f->logit_bias) && !read_logit_bias(c, f->logit_bias, out, fault)) return false;
    return !vmt_json_exists(f->bad_words) || read_bad_words(c, f->bad_words, out, fault);
}

static bool add_stop(vmt_json value, vmt_arena *arena, vmt_str *out, vmt_fault *fault) {
    vmt_str text;
    if (!vmt_json_get_str(value, &text)) {
        return vmt_fault_schema(fault, "stop", "body.stop: Input should be a string or a list of strings, got %s",
                                vmt_json_type_name(vmt_json_typeof(value)));
    }
    if (text.len == 0) return vmt_fault_rule(fault, "stop", NULL, "stop cannot contain an empty string.");
    if (text.len > VMT_STOP_BYTES_MAX) {
        return vmt_fault_rule(fault, "stop", NULL, "a stop string has %zu bytes, the limit is %u.", text.len,
                              VMT_STOP_BYTES_MAX);
    }
    *out = vmt_arena_dup(arena, text);
    return out->ptr || vmt_fault_other(fault, VMT_FAULT_BUSY, "stop", "no memory for stop strings");
}

bool vmt_stop_strings_read(vmt_json stop, vmt_arena *arena, vmt_str **strings, uint32_t *num_strings,
                           vmt_fault *fault) {
    *strings = NULL;
    *num_strings = 0;
    if (!vmt_json_exists(stop)) return true;
    bool is_list = vmt_json_typeof(stop) == VMT_JSON_ARRAY;
    size_t count = is_list ? vmt_json_size(stop) : 1;
    if (count > VMT_REQUEST_STOP_STRINGS_MAX) {
        return vmt_fault_rule(fault, "stop", NULL, "stop has %zu strings, the limit is %u.", count,
                              VMT_REQUEST_STOP_STRINGS_MAX);
    }
    *strings = VMT_ARENA_NEW(arena, vmt_str, count);
    if (!*strings) return vmt_fault_other(fault, VMT_FAULT_BUSY, "stop", "no memory for stop strings");
    *num_strings = (uint32_t)count;
    if (!is_list) return add_stop(stop, arena, *strings, fault);
    vmt_json value;
    size_t i = 0;
    for (vmt_json_iter it = vmt_json_iter_begin(stop); vmt_json_iter_next(&it, NULL, &value); i++) {
        if (!add_stop(value, arena, &(*strings)[i], fault)) return false;
    }
    return true;
}
