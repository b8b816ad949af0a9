/* api/embeddings.h: texts to vectors, for OpenAI's clients and for Ollama's. */
#ifndef VMT_API_EMBEDDINGS_H
#define VMT_API_EMBEDDINGS_H

#include "api/job.h"

extern const vmt_dialect vmt_embeddings;        /* POST /v1/embeddings */
extern const vmt_dialect vmt_ollama_embed;      /* POST /api/embed */
extern const vmt_dialect vmt_ollama_embeddings; /* POST /api/embeddings, the older one */

#endif
