/* model/rope_tables.h: inverse frequencies of each RoPE scaling, computed once in double precision.
 *
 * Formulas are those of transformers' modeling_rope_utils.  Scalings that depend on the sequence length (longrope,
 * dynamic) are fixed by the longest sequence the model will be run with, so that cached keys stay valid as a sequence
 * grows. */
#ifndef VMT_MODEL_ROPE_TABLES_H
#define VMT_MODEL_ROPE_TABLES_H

#include "model/config.h"

typedef struct vmt_rope_table {
    float inv_freq[VMT_ROPE_DIM_MAX / 2]; /* the first rotary_dim / 2 are used */
    float attention_factor;               /* multiplies cos and sin */
} vmt_rope_table;

/* context_max: the longest sequence. */
void vmt_rope_table_init(vmt_rope_table *out, const vmt_model_config *config, uint32_t context_max);

#endif
