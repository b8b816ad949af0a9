/* text/detokenizer.h: ids to text, one token at a time, never half a character.
 *
 * Bytes are held back while they end inside a UTF-8 character; flush() turns what is left into U+FFFD.  The text of
 * all calls together equals vmt_tokenizer_decode() of all ids. */
#ifndef VMT_TEXT_DETOKENIZER_H
#define VMT_TEXT_DETOKENIZER_H

#include "text/tokenizer.h"

typedef struct vmt_detokenizer {
    const vmt_tokenizer *tok; /* borrowed */
    bool skip_special;
    bool at_start; /* nothing emitted yet: decoders that strip a leading space still may */
    uint8_t held[8];
    uint32_t num_held;
} vmt_detokenizer;

/* num_prompt ids before the first pushed one, if the text continues theirs (their text is not emitted). */
void vmt_detokenizer_init(vmt_detokenizer *d, const vmt_tokenizer *tok, bool skip_special);
/* The output continues a text (chat completions after a prompt): no leading-space stripping. */
void vmt_detokenizer_init_mid_text(vmt_detokenizer *d, const vmt_tokenizer *tok, bool skip_special);
void vmt_detokenizer_push(vmt_detokenizer *d, int32_t id, vmt_buf *out);
void vmt_detokenizer_flush(vmt_detokenizer *d, vmt_buf *out);

#endif
