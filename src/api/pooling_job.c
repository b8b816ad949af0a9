#include "api/pooling_job.h"
#include "api/usage.h"

#include <math.h>

#define NORM_MIN 1e-12 /* a vector of zeros stays one */

bool vmt_pooling_job_begin(vmt_job *job, size_t count, const char *param) {
    if (count > 2 * (size_t)VMT_POOL_INPUTS_MAX) {
        return vmt_fault_rule(&job->fault, param, NULL, "%zu texts are to be pooled, the limit is %u.", count,
                              2 * VMT_POOL_INPUTS_MAX);
    }
    if (!job->fields.truncation_side.ptr) {
        bool is_left = job->api->config.pooling.truncates_left;
        job->fields.truncation_side = is_left ? VMT_STR("left") : VMT_STR("right");
    }
    job->num_prompts = (uint32_t)count;
    job->prompts = vmt_job_alloc(job, count, sizeof *job->prompts);
    return job->prompts != NULL;
}

/* tokens is [before | bare | after]: keeps what stands around and of the middle as much as fits. */
static void cut_middle(vmt_tokens *tokens, const vmt_tokens *bare, size_t keep, bool cuts_left) {
    size_t num_around = tokens->len - bare->len, before = 0;
    size_t bare_bytes = bare->len * sizeof *bare->ids;
    while (before < num_around && memcmp(tokens->ids + before, bare->ids, bare_bytes) != 0) before++;
    size_t num_kept = keep - num_around, num_after = num_around - before;
    int32_t *middle = tokens->ids + before;
    if (cuts_left) memmove(middle, middle + (bare->len - num_kept), num_kept * sizeof *middle);
    memmove(middle + num_kept, middle + bare->len, num_after * sizeof *middle);
    tokens->len = keep;
}

bool vmt_pooling_job_encode(vmt_job *job, uint32_t prompt_idx, vmt_str text, bool add_special) {
    vmt_prompt *prompt = &job->prompts[prompt_idx];
    int64_t wanted = job->fields.truncate_prompt_tokens;
    bool ok = vmt_prompt_encode(job, prompt_idx, text, add_special);
    prompt->text = (vmt_str){0};
    if (!ok || wanted == VMT_FIELD_UNSET) return ok;
    size_t keep = wanted < 0 ? vmt_engine_max_model_len(job->api->config.engine) : (size_t)wanted;
    if (prompt->tokens.len <= keep) return true;
    vmt_tokens bare = {0};
    vmt_err err = {0};
    const vmt_encode_options options = {.tokens_max = VMT_PROMPT_TOKENS_MAX};
    vmt_status status = vmt_tokenizer_encode(job->api->config.tokenizer, text, options, &bare, &err);
    bool has_middle = status == VMT_OK && bare.len <= prompt->tokens.len && prompt->tokens.len - bare.len <= keep;
    if (has_middle) {
        cut_middle(&prompt->tokens, &bare, keep, vmt_str_eq_c(job->fields.truncation_side, "left"));
    }
    vmt_tokens_free(&bare);
    return status == VMT_OK || vmt_fault_from_err(&job->fault, &err, NULL);
}

bool vmt_pooling_job_prepare(vmt_job *job, const char *param) {
    const vmt_prepare_options options = {
        .max_tokens = 0,
        .logprobs = {VMT_LOGPROBS_NONE, NULL},
        .pooling = job->api->config.pooling.kind,
    };
    for (uint32_t i = 0; i < job->num_prompts; i++) {
        if (job->prompts[i].tokens.len > 0 && job->fields.truncate_prompt_tokens != 0) continue;
        return vmt_fault_rule(&job->fault, param, NULL, "%s: text %u has no tokens.", param, i);
    }
    return vmt_job_prepare(job, &options);
}

const float *vmt_pooling_job_vector(const vmt_job *job, uint32_t prompt_idx, uint32_t *len) {
    return vmt_generation_pooled(job->gens[prompt_idx].gen, len);
}

void vmt_pooling_normalize(const float *vector, uint32_t len, bool at_length_1, float *out) {
    double sum = 0;
    for (uint32_t i = 0; at_length_1 && i < len; i++) sum += (double)vector[i] * (double)vector[i];
    double scale = at_length_1 ? 1.0 / fmax(sqrt(sum), NORM_MIN) : 1.0;
    for (uint32_t i = 0; i < len; i++) out[i] = (float)((double)vector[i] * scale);
}

void vmt_pooling_job_usage(const vmt_job *job, vmt_json_writer *w) {
    vmt_usage usage = vmt_usage_of_job(job);
    vmt_json_key(w, "usage");
    vmt_usage_write(w, &usage, VMT_USAGE_NULL_DETAILS);
}
