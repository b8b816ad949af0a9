/* api/fim.h: fill in the middle: how a model was trained to write what stands between two texts.
 *
 * A family is known by its markers, which are tokens of the vocabulary.  Any thread. */
#ifndef VMT_API_FIM_H
#define VMT_API_FIM_H

#include "text/tokenizer.h"

typedef struct vmt_fim_style vmt_fim_style; /* a row of fim.c */

/* NULL: the model has no such markers. */
const vmt_fim_style *vmt_fim_find(const vmt_tokenizer *tok);
void vmt_fim_write(const vmt_fim_style *style, vmt_str prefix, vmt_str suffix, vmt_buf *out);
/* The token that ends the middle, beside the model's own ends; -1: none. */
int32_t vmt_fim_end(const vmt_fim_style *style, const vmt_tokenizer *tok);

#endif
