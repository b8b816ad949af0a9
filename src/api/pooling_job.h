/* api/pooling_job.h: what embeddings, scores and reranking share: prompts in, one vector each out.
 *
 * A pooled prompt has no answer text: its vector is there when its choice has finished.  Text is cut as tokenizers cut
 * it: the tokens that the model's post-processor adds stay, so that a model that reads its end-of-text token still
 * finds it. */
#ifndef VMT_API_POOLING_JOB_H
#define VMT_API_POOLING_JOB_H

#include "api/prompt.h"
#include "json/json_writer.h"

#define VMT_POOL_INPUTS_MAX 2048u /* of one request, and documents of one */

/* Text thread.  Room for count prompts; tokens follow by one of the two below. */
bool vmt_pooling_job_begin(vmt_job *job, size_t count, const char *param);
/* The text need not outlive the call. */
bool vmt_pooling_job_encode(vmt_job *job, uint32_t prompt_idx, vmt_str text, bool add_special);
/* After the last: checks lengths and creates the generations. */
bool vmt_pooling_job_prepare(vmt_job *job, const char *param);

/* In on_final(): the vector of a prompt. */
const float *vmt_pooling_job_vector(const vmt_job *job, uint32_t prompt_idx, uint32_t *len);
/* Copies vector[0..len) to out, at length 1 if so wished.  The norm is summed in double. */
void vmt_pooling_normalize(const float *vector, uint32_t len, bool at_length_1, float *out);
/* {"prompt_tokens", "total_tokens", "completion_tokens":0, "prompt_tokens_details":null} */
void vmt_pooling_job_usage(const vmt_job *job, vmt_json_writer *w);

#endif
