/* api/rerank.h: how well texts answer a text: by the angle between their vectors, or by the word of a reranker. */
#ifndef VMT_API_RERANK_H
#define VMT_API_RERANK_H

#include "api/job.h"

extern const vmt_dialect vmt_scoring; /* POST /score, /v1/score */
extern const vmt_dialect vmt_rerank;  /* POST /rerank, /v1/rerank, /v2/rerank */

#endif
