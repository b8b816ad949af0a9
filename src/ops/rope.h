/* ops/rope.h: rotary position embedding in place, in all its scalings, after an optional per-head RMS norm of q, k.
 *
 * The table of inverse frequencies is computed once per model (double precision, as transformers' rope utils define
 * each scaling); cos and sin are computed per position and pair in double, rounded to float, so every chunking
 * agrees. */
#ifndef VMT_OPS_ROPE_H
#define VMT_OPS_ROPE_H

#include "backend/backend.h"

typedef enum vmt_rope_pairing {
    VMT_ROPE_HALVES,      /* pairs (i, i + rotary_dim/2): Hugging Face layout */
    VMT_ROPE_INTERLEAVED, /* pairs (2i, 2i + 1): GGUF's permuted llama layout */
} vmt_rope_pairing;

typedef struct vmt_rope_args {
    vmt_tensor x;    /* F32, in place: heads start at t * stride */
    uint32_t stride; /* elements */
    uint32_t num_tokens;
    uint32_t num_heads;      /* consecutive heads of head_dim: q heads then k heads, when they lie side by side */
    uint32_t num_norm_first; /* of those, the first so many use norm_weight[0], the rest norm_weight[1] */
    uint32_t head_dim, rotary_dim;
    vmt_rope_pairing pairing;
    const float *inv_freq;       /* [rotary_dim / 2], or NULL: norm only, no rotation */
    float attention_factor;      /* multiplies cos and sin (yarn, longrope); 1 usually */
    const float *norm_weight[2]; /* [head_dim] each, or NULL: no norm */
    float norm_eps;
    const int32_t *positions; /* [num_tokens] */
} vmt_rope_args;
vmt_status vmt_rope(vmt_backend *be, const vmt_rope_args *args);

#endif
