#include "api/grammars.h"

vmt_status vmt_grammars_init(vmt_grammars *g, vmt_err *err) {
    g->cache = vmt_grammar_cache_create(VMT_GRAMMAR_CACHE_BYTES);
    if (!g->cache) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the cache of grammars");
    VMT_ASSERT(pthread_mutex_init(&g->lock, NULL) == 0);
    return VMT_OK;
}

void vmt_grammars_reset(vmt_grammars *g) {
    if (!g->cache) return;
    vmt_grammar_cache_destroy(g->cache);
    if (g->vocab) vmt_grammar_vocab_release(g->vocab);
    pthread_mutex_destroy(&g->lock);
    *g = (vmt_grammars){0};
}

vmt_status vmt_grammars_vocab(vmt_grammars *g, const vmt_tokenizer *tokenizer, const int32_t *eos_ids,
                              uint32_t num_eos_ids, vmt_grammar_vocab **out, vmt_err *err) {
    vmt_status status = VMT_OK;
    pthread_mutex_lock(&g->lock);
    if (!g->vocab) status = vmt_grammar_vocab_from_tokenizer(&g->vocab, tokenizer, eos_ids, num_eos_ids, err);
    *out = g->vocab;
    pthread_mutex_unlock(&g->lock);
    return status;
}
