/* api/usage.h: token counts as OpenAI clients read them. */
#ifndef VMT_API_USAGE_H
#define VMT_API_USAGE_H

#include "api/job.h"

typedef struct vmt_usage {
    uint64_t prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens;
    bool has_reasoning; /* a reasoning parser was at work: reasoning_tokens is written */
} vmt_usage;

typedef enum vmt_usage_details {
    VMT_USAGE_NO_DETAILS,   /* prompt_tokens_details is left out */
    VMT_USAGE_NULL_DETAILS, /* and here null */
    VMT_USAGE_DETAILS,
} vmt_usage_details;

/* Of the whole request so far: prompts once, choices summed. */
vmt_usage vmt_usage_of_job(const vmt_job *job);
/* Of one choice and its prompt, for running usage in a stream. */
vmt_usage vmt_usage_of_choice(const vmt_job *job, const vmt_choice *choice);
void vmt_usage_write(vmt_json_writer *w, const vmt_usage *usage, vmt_usage_details details);

#endif
