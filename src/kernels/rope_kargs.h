/* kernels/rope_kargs.h: arguments of rope.metal. */
#ifndef VMT_KERNELS_ROPE_KARGS_H
#define VMT_KERNELS_ROPE_KARGS_H

#ifndef __METAL_VERSION__
#include <stdint.h>
#endif

typedef struct vmt_rope_angles_kargs {
    uint32_t num_rows; /* tokens */
    uint32_t num_pairs;
    float attention_factor;
} vmt_rope_angles_kargs;

typedef struct vmt_rope_kargs {
    uint32_t num_rows; /* tokens */
    uint32_t num_heads, num_kv_heads, head_dim;
    uint32_t stride;     /* elements of a row of qkv, a multiple of 4 */
    uint32_t rotary_dim; /* a multiple of 4; 0: nothing turns */
    uint32_t is_interleaved;
    uint32_t has_norm;
    float norm_eps;
} vmt_rope_kargs;

#endif
