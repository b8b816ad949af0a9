/* api/grammars.h: what all requests share of structured output: the model's vocabulary and the compiled grammars.
 *
 * The vocabulary is built by the first request that needs it: it takes longer than a server may take to be ready. */
#ifndef VMT_API_GRAMMARS_H
#define VMT_API_GRAMMARS_H

#include "text/grammar.h"

#include <pthread.h>

#define VMT_GRAMMAR_CACHE_BYTES ((size_t)256 << 20) /* compiled grammars that are kept */

typedef struct vmt_grammars {
    pthread_mutex_t lock;
    vmt_grammar_vocab *vocab; /* NULL: not built yet */
    vmt_grammar_cache *cache;
} vmt_grammars;

vmt_status vmt_grammars_init(vmt_grammars *grammars, vmt_err *err);
void vmt_grammars_reset(vmt_grammars *grammars);

/* Text threads.  A borrowed vocabulary; eos_ids as the engine has them. */
vmt_status vmt_grammars_vocab(vmt_grammars *grammars, const vmt_tokenizer *tokenizer, const int32_t *eos_ids,
                              uint32_t num_eos_ids, vmt_grammar_vocab **out, vmt_err *err);

#endif
