/* ops/gpu_rope.h: what happens to q, k and v between their projection and attention, in one dispatch: per-head RMS norm
 * of q and k, rotary position embedding, and the KV write.  And the angles of a step, once for all layers.
 *
 * q is changed in place; k and v go into the cache and stay as they were in the rows.  With an I8 cache the kernel
 * computes each head's scale, max |x| / 127. */
#ifndef VMT_OPS_GPU_ROPE_H
#define VMT_OPS_GPU_ROPE_H

#include "backend/gpu_program.h"
#include "ops/gpu_kv.h"
#include "ops/rope.h"

/* Cosines and sines of a step's positions.  The GPU reduces an angle exactly: a frequency is kept as the fraction of a
 * turn that one position adds, in 64 bits of fixed point, so position * fraction modulo one turn is an integer product.
 * Within 1e-6 of double precision at any position. */
typedef struct vmt_gpu_rope_angles_args {
    vmt_tensor turns;     /* I32 [rotary_dim / 2, 2] from vmt_gpu_rope_turns() */
    vmt_tensor positions; /* I32 [tokens_max] */
    vmt_tensor out; /* F32 [tokens_max, rotary_dim]: a row holds the cosines of all pairs, then their sines */
    float attention_factor; /* multiplies both */
} vmt_gpu_rope_angles_args;
/* out [num_pairs, 2]: low and high word of each inverse frequency's fraction of a turn. */
void vmt_gpu_rope_turns(const float *inv_freq, uint32_t num_pairs, uint32_t *out);
vmt_status vmt_gpu_rope_angles(vmt_gpu_program *program, const vmt_gpu_rope_angles_args *args, vmt_err *err);

typedef struct vmt_gpu_rope_args {
    vmt_tensor
        qkv; /* F32, F16 or BF16 [tokens_max, stride]: q heads, k heads, v heads side by side from column 0 */
    uint32_t num_heads;
    uint32_t rotary_dim; /* the first so many elements of a head turn, a multiple of 4; 0: none do */
    vmt_rope_pairing pairing;
    vmt_tensor angles;         /* F32 [tokens_max, rotary_dim]; all zero if rotary_dim is 0 */
    vmt_tensor q_norm, k_norm; /* F32 [head_dim], or both all zero: no norm */
    float norm_eps;
    vmt_tensor slot_mapping; /* I32 [tokens_max] slot in the cache; negative: nothing is written */
    vmt_gpu_kv kv;           /* of qkv's type, or I8 */
} vmt_gpu_rope_args;

vmt_status vmt_gpu_rope_check(const vmt_gpu_rope_args *args, vmt_err *err);
/* Counts VMT_COUNT_TOKENS. */
vmt_status vmt_gpu_rope(vmt_gpu_program *program, const vmt_gpu_rope_args *args, vmt_err *err);

#endif
