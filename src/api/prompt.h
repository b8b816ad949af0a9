/* api/prompt.h: from prompts to generations: tokenizing, truncation, the context rule, and everything a job needs
 * before it is submitted.  Text thread. */
#ifndef VMT_API_PROMPT_H
#define VMT_API_PROMPT_H

#include "api/fim.h"
#include "api/job.h"

#define VMT_PROMPTS_MAX       1024u      /* per request */
#define VMT_PROMPT_TOKENS_MAX (1u << 21) /* before truncation */

/* Reads the body and the shared fields: job->fields, model, id, stop strings.  *body stays valid inside parse(). */
bool vmt_job_read_common(vmt_job *job, vmt_json *body);

/* The same without the fields of sampling and streams, which other requests than those that generate ignore. */
bool vmt_job_read_request(vmt_job *job, vmt_json *body);

/* Adds job->prompts[prompt_idx].tokens for a text.  The text must outlive the job if the dialect echoes it. */
bool vmt_prompt_encode(vmt_job *job, uint32_t prompt_idx, vmt_str text, bool add_special);

/* The same for a list of ids, which came in the field `param`.  false without a fault when an element is no integer:
 * the caller has words for that. */
bool vmt_prompt_read_ids(vmt_job *job, uint32_t prompt_idx, vmt_json list, const char *param);

typedef struct vmt_prepare_options {
    int64_t max_tokens; /* VMT_FIELD_UNSET: what is left of the context */
    const char *max_tokens_param;
    vmt_logprobs_wish logprobs;
    const vmt_fim_style *fim; /* the prompt asks for a middle; NULL: it doesn't */
    bool echo_only;           /* max_tokens 0: the prompt alone */
    bool echo_logprobs;       /* prompt logprobs as wide as the sampled ones */
    vmt_pool_kind pooling;    /* with max_tokens 0: a vector instead of text; or NONE */
} vmt_prepare_options;

/* After the prompts are tokenized: truncates, checks lengths, resolves sampling, creates choices and generations. */
bool vmt_job_prepare(vmt_job *job, const vmt_prepare_options *options);

#endif
