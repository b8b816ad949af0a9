/* text/tokenizer_private.h: the inside of a tokenizer, for the files that build it and read it. */
#ifndef VMT_TEXT_TOKENIZER_PRIVATE_H
#define VMT_TEXT_TOKENIZER_PRIVATE_H

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/decoder.h"
#include "text/normalizer.h"
#include "text/pretokenize.h"
#include "text/scratch.h"
#include "text/unigram.h"
#include "text/vocab.h"
#include <stdatomic.h>

#define VMT_TEMPLATE_IDS_MAX 16u /* ids the post-processor puts before or after a text */
#define VMT_MERGE_BATCH      32u /* merges looked up together: their table slots are fetched ahead */
#define VMT_SCRATCH_KEPT     16u /* idle scratches kept for reuse */

typedef enum vmt_model_kind { VMT_MODEL_BPE, VMT_MODEL_UNIGRAM } vmt_model_kind;

struct vmt_tokenizer {
    vmt_vocab vocab;
    vmt_model_kind kind;
    vmt_bpe bpe;
    vmt_unigram unigram;
    vmt_normalizer normalizer;
    vmt_pretokenizer pre;
    vmt_token_decoder decoder;
    vmt_added_set added_raw;        /* looked for in the text as it comes */
    vmt_added_set added_normalized; /* looked for after normalization */
    bool spaces_for_markers; /* keys, and the text the model sees, have a space where the vocabulary has U+2581 */
    int32_t prefix[VMT_TEMPLATE_IDS_MAX], suffix[VMT_TEMPLATE_IDS_MAX];
    uint32_t num_prefix, num_suffix;
    int32_t bos_id, eos_id;
    _Atomic(vmt_scratch *) idle[VMT_SCRATCH_KEPT];
};

typedef struct vmt_added_spec {
    vmt_str text; /* borrowed */
    vmt_added_token token;
    bool normalized;
} vmt_added_spec;

/* Building, in this order: create; fill normalizer, pre, decoder; init the vocabulary and set every token's spelling;
 * finish_vocab; the model; finish_added; finish. */
vmt_tokenizer *vmt_tokenizer_create(vmt_err *err);
/* Refuses an id twice and text that is too long. */
vmt_status vmt_tokenizer_set_token(vmt_tokenizer *tok, int32_t id, vmt_str spelling, vmt_err *err);
/* Keys of all tokens, and the look-up by key.  may_use_spaces: no added token's matching depends on the markers. */
vmt_status vmt_tokenizer_finish_vocab(vmt_tokenizer *tok, bool may_use_spaces, vmt_err *err);
/* left, right and result of each rule, or -1, by the spellings of the two parts.  num_pairs <= VMT_MERGE_BATCH. */
vmt_status vmt_tokenizer_find_merges(const vmt_tokenizer *tok, const vmt_str (*pairs)[2], uint32_t num_pairs,
                                     vmt_merge_rule *rules, vmt_err *err);
/* The vocabulary grows if ids lie past its end. */
vmt_status vmt_tokenizer_finish_added(vmt_tokenizer *tok, const vmt_added_spec *added, uint32_t num_added,
                                      vmt_err *err);

vmt_scratch *vmt_tokenizer_take_scratch(const vmt_tokenizer *tok);
void vmt_tokenizer_return_scratch(const vmt_tokenizer *tok, vmt_scratch *scratch);

#endif
