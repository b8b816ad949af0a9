/* ops/gpu_embed.h: out[i] = scale * W[token_ids[i]], rows dequantized where the file has them. */
#ifndef VMT_OPS_GPU_EMBED_H
#define VMT_OPS_GPU_EMBED_H

#include "ops/gpu_matmul.h"

typedef struct vmt_gpu_embed_args {
    vmt_gpu_weight weight;
    vmt_dtype type;       /* T, of MLX scales */
    vmt_tensor token_ids; /* I32 [rows]; ids lie below weight.rows (the host or the sampler made sure) */
    vmt_tensor out;       /* F32 [rows, cols]: the residual stream */
    float scale;
    vmt_step_count count; /* VMT_COUNT_TOKENS; VMT_COUNT_FIXED: rows_max rows */
    uint32_t rows_max;
} vmt_gpu_embed_args;

vmt_status vmt_gpu_embed(vmt_gpu_program *program, const vmt_gpu_embed_args *args, vmt_err *err);

#endif
