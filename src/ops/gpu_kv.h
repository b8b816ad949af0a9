/* ops/gpu_kv.h: one layer's paged KV cache in a GPU's memory.
 *
 * Keys and values of a token lie side by side per head (the CPU's cache is laid out differently: ops/attention.h):
 *
 *     k, v              [num_blocks, block_size, num_kv_heads, head_dim]   the activations' type, or I8
 *     k_scale, v_scale  [num_blocks, block_size, num_kv_heads]             F32, with I8 alone: x = scale * int8
 *
 * Slot s of the slot mapping is row s of [num_blocks * block_size, ...]. */
#ifndef VMT_OPS_GPU_KV_H
#define VMT_OPS_GPU_KV_H

#include "backend/gpu.h"

typedef struct vmt_gpu_kv_layout {
    uint32_t num_blocks, block_size; /* block_size 8, 16 or 32; slots are numbered below 2^31 */
    uint32_t num_kv_heads, head_dim;
    vmt_dtype dtype; /* F32, F16, BF16 or I8 */
} vmt_gpu_kv_layout;

typedef struct vmt_gpu_kv {
    vmt_gpu_kv_layout layout;
    vmt_tensor k, v;
    vmt_tensor k_scale, v_scale; /* all zero but with I8 */
} vmt_gpu_kv;

/* Head sizes that attention has kernels with tiles for: 16, 32, 64, 80, 96, 112, 128, 192, 256, 512.  Those of other
 * sizes (tests' alone) are prefilled row by row. */
bool vmt_gpu_kv_has_tiles(uint32_t head_dim);
/* The head size is a multiple of 8, to 512. */
vmt_status vmt_gpu_kv_check(const vmt_gpu_kv_layout *layout, vmt_err *err);
/* Bytes of one layer, a multiple of 256; VMT_E_EXHAUSTED past the address space.  The layout passed the check. */
vmt_status vmt_gpu_kv_bytes(const vmt_gpu_kv_layout *layout, size_t *out, vmt_err *err);
/* The layer whose bytes begin at offset, a multiple of 256. */
vmt_gpu_kv vmt_gpu_kv_at(const vmt_gpu_kv_layout *layout, vmt_buffer *buffer, size_t offset);

#endif
