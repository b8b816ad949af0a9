/* text/scratch.h: the working memory of one encoding: word cache, merge arrays, text buffers, output.
 *
 * A tokenizer keeps a few for reuse: a thread takes one for the length of a call, so that a cache survives from call
 * to call and nothing is locked. */
#ifndef VMT_TEXT_SCRATCH_H
#define VMT_TEXT_SCRATCH_H

#include "text/tokenizer.h"
#include "text/word_cache.h"

#define VMT_WORD_BATCH      128u /* words handed over at once: their cache lines are fetched ahead */
#define VMT_TEXT_STAGES_MAX 16u  /* normalizer or pre-tokenizer steps in a row */

typedef struct vmt_scratch {
    vmt_word_cache cache; /* for models that use one */
    vmt_tokens *out;      /* of the running call */
    size_t out_max;       /* ids; SIZE_MAX if unlimited */
    vmt_err *err;
    const uint8_t *readable_end; /* loads may run up to here past a word's end */
    /* Merging. */
    int32_t *ids;
    int32_t *next, *prev;
    uint32_t *ranks;
    int32_t *merged; /* what the pairs of these ranks become */
    uint64_t *heap;
    size_t merge_cap; /* elements of each of the above */
    /* Text. */
    vmt_buf text[2];                    /* normalizer steps, in turn */
    vmt_buf stage[VMT_TEXT_STAGES_MAX]; /* pre-tokenizer steps that change text */
    vmt_buf valid;                      /* the input with U+FFFD for what is not UTF-8 */
    void *regex_match;                  /* pcre2_match_data, made on first use */
    void *regex_context;
    void *lattice; /* Unigram */
    size_t lattice_cap;
} vmt_scratch;

vmt_scratch *vmt_scratch_create(bool with_cache);
void vmt_scratch_destroy(vmt_scratch *scratch);
/* Room for n more ids. */
vmt_status vmt_scratch_grow_out(vmt_scratch *scratch, size_t n);
/* Room for n symbols in the merge arrays. */
vmt_status vmt_scratch_reserve_merge(vmt_scratch *scratch, size_t n);

static inline vmt_status vmt_scratch_emit(vmt_scratch *scratch, int32_t id) {
    vmt_tokens *out = scratch->out;
    if (VMT_UNLIKELY(out->len == out->cap)) VMT_TRY(vmt_scratch_grow_out(scratch, 1));
    out->ids[out->len++] = id;
    return VMT_OK;
}

#endif
