/* model/weights.h: a model's tensors, found by the family's names, checked for shape, made ready for matmul. */
#ifndef VMT_MODEL_WEIGHTS_H
#define VMT_MODEL_WEIGHTS_H

#include "model/config.h"
#include "model/model.h"
#include "model/weight_map.h"
#include "ops/matmul.h"
#include "tensor/weight_file.h"

/* One linear layer over up to three matrices that read the same input; their rows stand one after the other in its
 * output.  Matrices of one dtype are stacked into one weight; mixed dtypes stay apart. */
typedef struct vmt_linear {
    vmt_weight parts[VMT_LINEAR_PARTS_MAX];
    uint32_t row_begin[VMT_LINEAR_PARTS_MAX];
    uint32_t num_parts, rows, cols;
    const float *bias; /* [rows] or NULL */
} vmt_linear;

typedef struct vmt_layer {
    const float *attn_norm, *mlp_norm;
    const float *q_norm, *k_norm; /* [head_dim] or NULL */
    vmt_linear qkv, o, gate_up, down;
} vmt_layer;

typedef struct vmt_weights {
    vmt_weight embed; /* the file's tensor as it is: only rows are read */
    const float *final_norm;
    vmt_linear head;
    vmt_layer *layers; /* [num_layers] */
    uint32_t num_layers;
    vmt_arena *arena; /* norms, biases, layers */
    uint64_t bytes;   /* of the tensors in use */
} vmt_weights;

/* weights must be zeroed.  After a failure vmt_weights_reset() frees what was there. */
vmt_status vmt_weights_load(vmt_weights *out, const vmt_model_config *config, const vmt_weight_file *file,
                            vmt_backend *be, vmt_model_progress progress, vmt_err *err);
void vmt_weights_reset(vmt_weights *weights, vmt_backend *be);

#endif
