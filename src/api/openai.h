/* api/openai.h: the dialects of OpenAI's generation endpoints. */
#ifndef VMT_API_OPENAI_H
#define VMT_API_OPENAI_H

#include "api/job.h"

extern const vmt_dialect vmt_openai_chat;        /* POST /v1/chat/completions */
extern const vmt_dialect vmt_openai_completions; /* POST /v1/completions */

#endif
