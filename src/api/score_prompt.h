/* api/score_prompt.h: a query and a document as the one prompt that a reranker judges.  Text thread.
 *
 * By a chat template that was given for it (roles "query" and "document"), or as Qwen3-Reranker was trained, or, as
 * vLLM does for other decoders, one text behind the other. */
#ifndef VMT_API_SCORE_PROMPT_H
#define VMT_API_SCORE_PROMPT_H

#include "api/job.h"

typedef struct vmt_score_pair {
    vmt_str query, document;
    vmt_str instruction;      /* what to judge by; empty: the model's own words */
    vmt_json template_kwargs; /* further variables of the template, or absent */
} vmt_score_pair;

/* Appends the prompt to out.  false: job->fault. */
bool vmt_score_prompt_write(vmt_job *job, const vmt_score_pair *pair, vmt_buf *out);

#endif
