/* ops/elementwise.h: the small row ops between matmuls: embedding gather, RMS norm, gated activation, row gather. */
#ifndef VMT_OPS_ELEMENTWISE_H
#define VMT_OPS_ELEMENTWISE_H

#include "ops/matmul.h"

/* out[t] = scale * W[ids[t]].  Ids must lie below weight->rows (checked by the caller at admission). */
typedef struct vmt_embed_args {
    const vmt_weight *weight;
    const int32_t *ids; /* [num_tokens] */
    uint32_t num_tokens;
    vmt_tensor out; /* F32 [num_tokens, cols] */
    float scale;
} vmt_embed_args;
vmt_status vmt_embed(vmt_backend *be, const vmt_embed_args *args);

/* out[t] = x[t] / sqrt(mean(x[t]^2) + eps) * weight       (arXiv:1910.07467); out may be x */
typedef struct vmt_rmsnorm_args {
    vmt_tensor x, out;   /* F32 [num_rows, cols] */
    const float *weight; /* [cols] */
    uint32_t num_rows, cols;
    float eps;
} vmt_rmsnorm_args;
vmt_status vmt_rmsnorm(vmt_backend *be, const vmt_rmsnorm_args *args);
void vmt_rmsnorm_ref(const vmt_rmsnorm_args *args);

/* out[i] = x[row_ids[i]] */
typedef struct vmt_gather_rows_args {
    vmt_tensor x, out; /* F32 [.., cols] */
    const uint32_t *row_ids;
    uint32_t num_rows, cols;
} vmt_gather_rows_args;
vmt_status vmt_gather_rows(vmt_backend *be, const vmt_gather_rows_args *args);

typedef enum vmt_activation { VMT_ACT_SILU, VMT_ACT_GELU_TANH, VMT_ACT_GELU } vmt_activation;

/* out[t][i] = act(gate[t][i]) * up[t][i]; gate and up share rows of gate_up: gate first, up at column cols. */
typedef struct vmt_act_mul_args {
    vmt_tensor gate_up; /* F32 [num_rows, 2 * cols] */
    vmt_tensor out;     /* F32 [num_rows, cols] */
    uint32_t num_rows, cols;
    vmt_activation act;
} vmt_act_mul_args;
vmt_status vmt_act_mul(vmt_backend *be, const vmt_act_mul_args *args);
void vmt_act_mul_ref(const vmt_act_mul_args *args);

#endif
