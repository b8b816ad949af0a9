/* text/charsmap.h: SentencePiece's precompiled normalization rules: a double-array trie from byte strings to offsets
 * in a block of NUL-terminated replacements. */
#ifndef VMT_TEXT_CHARSMAP_H
#define VMT_TEXT_CHARSMAP_H

#include "base/buf.h"

typedef struct vmt_charsmap vmt_charsmap;

/* base64 as in a tokenizer.json.  Sizes and offsets are checked here or where they are followed. */
vmt_status vmt_charsmap_create(vmt_charsmap **out, vmt_str base64, vmt_err *err);
void vmt_charsmap_destroy(vmt_charsmap *map);
/* Appends the normalized text: grapheme by grapheme, as `tokenizers` applies the rules. */
void vmt_charsmap_apply(const vmt_charsmap *map, vmt_str text, vmt_buf *out);

#endif
