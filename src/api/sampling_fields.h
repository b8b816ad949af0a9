/* api/sampling_fields.h: the request fields that chat and text completions share, and how they become vmt_sampling.
 *
 * Read (field table), then resolve (defaults of the model, rules between fields), both on a text thread.  What the
 * resolved sampling points to lies in the request's arena. */
#ifndef VMT_API_SAMPLING_FIELDS_H
#define VMT_API_SAMPLING_FIELDS_H

#include "api/api.h"
#include "api/fields.h"
#include "api/structured_fields.h"
#include "text/stop.h"

#define VMT_REQUEST_STOP_STRINGS_MAX VMT_STOP_STRINGS_MAX
#define VMT_CACHE_SALT_MAX           128u /* characters */
#define VMT_REQUEST_ID_MAX           256u /* bytes */

typedef struct vmt_sampling_fields {
    vmt_str model;
    bool stream, include_usage, continuous_usage_stats;
    vmt_json stream_options;
    double temperature, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty; /* NAN: not given */
    int64_t top_k, seed, n, min_tokens, prompt_logprobs, truncate_prompt_tokens, stream_interval, priority;
    vmt_json stop, stop_token_ids, logit_bias, allowed_token_ids, bad_words;
    bool include_stop_str_in_output, ignore_eos, skip_special_tokens, return_token_ids, return_tokens_as_token_ids;
    vmt_str truncation_side, request_id, cache_salt;
    vmt_structured_fields structured;
    int64_t thinking_token_budget; /* VMT_FIELD_UNSET or -1: none */
    vmt_json logprob_token_ids, repetition_detection;
    bool use_beam_search;
} vmt_sampling_fields;

/* Fills the defaults and reads the few fields that every kind of request has: model, request_id, truncation, priority,
 * cache_salt. */
bool vmt_request_fields_read(vmt_sampling_fields *fields, vmt_json body, vmt_fault *fault);
/* Likewise with all of them; applies the rules that concern single fields. */
bool vmt_sampling_fields_read(vmt_sampling_fields *fields, vmt_json body, vmt_fault *fault);

/* What resolve() needs beside the fields. */
typedef struct vmt_sampling_context {
    const vmt_api_config *config;
    vmt_arena *arena;
    uint32_t vocab;
} vmt_sampling_context;

/* num_logprobs: -2 none, -1 all, else how many; param names the field it came from.  max_tokens is left to
 * vmt_sampling_set_max_tokens(): it depends on the prompt's length. */
typedef struct vmt_logprobs_wish {
    int64_t num_logprobs;
    const char *param;
} vmt_logprobs_wish;
#define VMT_LOGPROBS_NONE (-2)

bool vmt_sampling_resolve(vmt_sampling *out, const vmt_sampling_fields *fields,
                          const vmt_sampling_context *context, vmt_logprobs_wish wish, vmt_fault *fault);

/* The stop strings as copies in the arena. */
bool vmt_stop_strings_read(vmt_json stop, vmt_arena *arena, vmt_str **strings, uint32_t *num_strings,
                           vmt_fault *fault);

#endif
