/* engine/params_check.c: what a generation may ask for. */
#include "engine/generation.h"

#include <math.h>

static vmt_status check_ids(const char *param, const int32_t *ids, uint32_t n, uint32_t vocab, vmt_err *err) {
    for (uint32_t i = 0; i < n; i++) {
        if (ids[i] >= 0 && (uint32_t)ids[i] < vocab) continue;
        return vmt_fail_param(err, VMT_E_INVALID, param, "token id %d is not in the vocabulary of %u", ids[i],
                              vocab);
    }
    return VMT_OK;
}

static vmt_status check_count(const char *param, uint32_t n, uint32_t max, vmt_err *err) {
    if (n <= max) return VMT_OK;
    return vmt_fail_param(err, VMT_E_INVALID, param, "%s has %u entries, the limit is %u", param, n, max);
}

/* low <= x <= high, or low < x when above_low; NaN never passes. */
static vmt_status check_range(const char *param, float x, float low, float high, bool above_low, vmt_err *err) {
    if ((above_low ? x > low : x >= low) && x <= high) return VMT_OK;
    return vmt_fail_param(err, VMT_E_INVALID, param, "%s is %g, it must be %s %g and at most %g", param, (double)x,
                          above_low ? "above" : "at least", (double)low, (double)high);
}

static vmt_status check_numbers(const vmt_sampling *s, vmt_err *err) {
    const float big = 1e30f;
    VMT_TRY(check_range("temperature", s->temperature, 0, big, false, err));
    VMT_TRY(check_range("top_p", s->top_p, 0, 1, true, err));
    VMT_TRY(check_range("min_p", s->min_p, 0, 1, false, err));
    VMT_TRY(check_range("repetition_penalty", s->repetition_penalty, 0, big, true, err));
    VMT_TRY(check_range("presence_penalty", s->presence_penalty, -big, big, false, err));
    VMT_TRY(check_range("frequency_penalty", s->frequency_penalty, -big, big, false, err));
    if (s->top_k < 0)
        return vmt_fail_param(err, VMT_E_INVALID, "top_k", "top_k is %d, it must not be negative", s->top_k);
    if (s->num_logprobs < -1) {
        return vmt_fail_param(err, VMT_E_INVALID, "logprobs", "logprobs is %d, it must be at least -1",
                              s->num_logprobs);
    }
    if (s->num_prompt_logprobs < -1) {
        return vmt_fail_param(err, VMT_E_INVALID, "prompt_logprobs",
                              "prompt_logprobs is %d, it must be at least -1", s->num_prompt_logprobs);
    }
    return VMT_OK;
}

static vmt_status check_lists(const vmt_sampling *s, uint32_t vocab, vmt_err *err) {
    VMT_TRY(check_count("stop_token_ids", s->num_stop_token_ids, VMT_STOP_TOKEN_IDS_MAX, err));
    VMT_TRY(check_ids("stop_token_ids", s->stop_token_ids, s->num_stop_token_ids, vocab, err));
    VMT_TRY(check_count("logit_bias", s->num_logit_bias, VMT_LOGIT_BIAS_MAX, err));
    for (uint32_t i = 0; i < s->num_logit_bias; i++) {
        VMT_TRY(check_ids("logit_bias", &s->logit_bias[i].token_id, 1, vocab, err));
        VMT_TRY(check_range("logit_bias", s->logit_bias[i].bias, -1e30f, 1e30f, false, err));
    }
    VMT_TRY(check_count("bad_words", s->num_bad_words, VMT_BAD_WORDS_MAX, err));
    for (uint32_t i = 0; i < s->num_bad_words; i++) {
        if (s->bad_words[i].len == 0) {
            return vmt_fail_param(err, VMT_E_INVALID, "bad_words", "bad_words[%u] has no tokens", i);
        }
        VMT_TRY(check_ids("bad_words", s->bad_words[i].ids, s->bad_words[i].len, vocab, err));
    }
    if (!s->allowed_token_ids) return VMT_OK;
    if (s->num_allowed_token_ids == 0) {
        return vmt_fail_param(err, VMT_E_INVALID, "allowed_token_ids", "allowed_token_ids is empty");
    }
    VMT_TRY(check_count("allowed_token_ids", s->num_allowed_token_ids, VMT_MIN(vocab, VMT_ALLOWED_TOKEN_IDS_MAX),
                        err));
    return check_ids("allowed_token_ids", s->allowed_token_ids, s->num_allowed_token_ids, vocab, err);
}

/* A runner of hidden states has no logits to sample from, and one of logits no hidden states to pool. */
static vmt_status check_task(const vmt_generation_params *params, const vmt_generation_limits *limits,
                             vmt_err *err) {
    if (params->pooling == VMT_POOL_NONE) {
        if (limits->hidden == 0) return VMT_OK;
        return vmt_fail(err, VMT_E_UNSUPPORTED, "the model was loaded to pool hidden states, it can't generate");
    }
    if (limits->hidden == 0) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "the model was loaded to generate, it gives no hidden states");
    }
    if (params->n == 1 && !params->constraints) return VMT_OK;
    return vmt_fail_param(err, VMT_E_INVALID, "n", "n is %u, a pooled prompt has one answer", params->n);
}

vmt_status vmt_generation_params_check(const vmt_generation_params *params, const vmt_generation_limits *limits,
                                       vmt_err *err) {
    const vmt_sampling *s = &params->sampling;
    VMT_TRY(check_task(params, limits, err));
    if (params->n < 1 || params->n > VMT_GENERATION_N_MAX) {
        return vmt_fail_param(err, VMT_E_INVALID, "n", "n is %u, it must be 1 to %u", params->n,
                              VMT_GENERATION_N_MAX);
    }
    if (params->num_prompt < 1) return vmt_fail_param(err, VMT_E_INVALID, "prompt", "the prompt has no tokens");
    /* An answer needs room for one token at least. */
    uint32_t num_prompt_max = limits->max_model_len - (params->echo_only ? 0 : 1);
    if (params->num_prompt > num_prompt_max) {
        return vmt_fail_param(err, VMT_E_INVALID, "prompt",
                              "the prompt is %u tokens, the model's context is %u with the answer",
                              params->num_prompt, limits->max_model_len);
    }
    VMT_TRY(check_ids("prompt", params->prompt, params->num_prompt, limits->vocab, err));
    VMT_TRY(check_numbers(s, err));
    if (!params->echo_only && s->max_tokens < 1) {
        return vmt_fail_param(err, VMT_E_INVALID, "max_tokens", "max_tokens is 0, it must be at least 1");
    }
    if (s->min_tokens > s->max_tokens) {
        return vmt_fail_param(err, VMT_E_INVALID, "min_tokens", "min_tokens is %u, more than max_tokens, %u",
                              s->min_tokens, s->max_tokens);
    }
    return check_lists(s, limits->vocab, err);
}
