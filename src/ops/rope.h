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

/* cos and sin of a step's positions, once for all layers. */
typedef struct vmt_rope_angles_args {
    const float *inv_freq;  /* [rotary_dim / 2] */
    float attention_factor; /* multiplies cos and sin (yarn, longrope); 1 usually */
    uint32_t rotary_dim;
    const int32_t *positions; /* [num_tokens] */
    uint32_t num_tokens;
    vmt_tensor out; /* F32 [num_tokens, rotary_dim]: a row holds the cosines of all pairs, then their sines */
} vmt_rope_angles_args;
vmt_status vmt_rope_angles(vmt_backend *be, const vmt_rope_angles_args *args);

typedef struct vmt_rope_args {
    vmt_tensor x;    /* F32, in place: heads start at t * stride */
    uint32_t stride; /* elements */
    uint32_t num_tokens;
    uint32_t num_heads;      /* consecutive heads of head_dim: q heads then k heads, when they lie side by side */
    uint32_t num_norm_first; /* of those, the first so many use norm_weight[0], the rest norm_weight[1] */
    uint32_t head_dim;
    uint32_t rotary_dim; /* the first so many elements of a head turn; 0: norm only */
    vmt_rope_pairing pairing;
    vmt_tensor angles;           /* from vmt_rope_angles(); unused if rotary_dim is 0 */
    const float *norm_weight[2]; /* [head_dim] each, or NULL: no norm */
    float norm_eps;
} vmt_rope_args;
vmt_status vmt_rope(vmt_backend *be, const vmt_rope_args *args);
void vmt_rope_ref(const vmt_rope_args *args);

#endif
