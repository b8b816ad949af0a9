/* api/openai_format.h: the parts that OpenAI's responses and stream chunks have in common. */
#ifndef VMT_API_OPENAI_FORMAT_H
#define VMT_API_OPENAI_FORMAT_H

#include "api/job.h"
#include "api/usage.h"

/* {"id":..,"object":..,"created":..,"model":.. and leaves the object open. */
void vmt_openai_begin(vmt_json_writer *w, const vmt_job *job, const char *object);
/* The value of finish_reason and of stop_reason. */
void vmt_openai_finish_reason(vmt_json_writer *w, const vmt_choice *choice);
void vmt_openai_stop_reason(vmt_json_writer *w, const vmt_job *job, const vmt_choice *choice);
/* A list of ids, or null when is_wanted is false. */
void vmt_openai_choice_ids(vmt_json_writer *w, const vmt_choice *choice, bool is_wanted);
void vmt_openai_prompt_ids(vmt_json_writer *w, const vmt_prompt *prompt, bool is_wanted);
/* prompt_logprobs as asked for, or null. */
void vmt_openai_prompt_logprobs(vmt_json_writer *w, const vmt_job *job, const vmt_job_gen *gen);
/* "usage": with prompt_tokens_details as configured; null or left out if they are off. */
void vmt_openai_usage(vmt_json_writer *w, const vmt_job *job, const vmt_usage *usage, bool leave_out_null);
bool vmt_openai_wants_usage_chunk(const vmt_job *job);
/* The chunk with empty choices, if wanted, and [DONE]. */
void vmt_openai_end_stream(vmt_job *job, const char *object, bool has_fingerprint);

#endif
