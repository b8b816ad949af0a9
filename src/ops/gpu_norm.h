/* ops/gpu_norm.h: RMS and layer norm of the residual stream's rows, recorded into a GPU program.
 *
 *   RMS    out[i] = x[row] / sqrt(mean(x[row]^2) + eps) * weight                             (arXiv:1910.07467)
 *   LAYER  out[i] = (x[row] - mean) / sqrt(mean((x[row] - mean)^2) + eps) * weight + bias    (arXiv:1607.06450)
 *
 * with row = row_ids[i], or i where there are none.  One dispatch.  A family whose weights mean "1 + w" adds the one at
 * load. */
#ifndef VMT_OPS_GPU_NORM_H
#define VMT_OPS_GPU_NORM_H

#include "backend/gpu_program.h"

typedef enum vmt_gpu_norm_kind { VMT_GPU_NORM_RMS, VMT_GPU_NORM_LAYER } vmt_gpu_norm_kind;

typedef struct vmt_gpu_norm_args {
    vmt_gpu_norm_kind kind;
    vmt_tensor x;         /* F32 [rows, cols]; cols a multiple of 4 */
    vmt_tensor row_ids;   /* I32 [out rows] or all zero: each below x's rows; the host checks that */
    vmt_tensor weight;    /* F32 [cols] */
    vmt_tensor bias;      /* F32 [cols] or all zero; LAYER only */
    vmt_tensor out;       /* F32, F16 or BF16 [out rows, cols] */
    vmt_step_count count; /* how many rows: TOKENS or LOGITS; FIXED: all of out's */
    float eps;
} vmt_gpu_norm_args;

vmt_status vmt_gpu_norm_check(const vmt_gpu_norm_args *args, vmt_err *err);
vmt_status vmt_gpu_norm(vmt_gpu_program *program, const vmt_gpu_norm_args *args, vmt_err *err);

#endif
