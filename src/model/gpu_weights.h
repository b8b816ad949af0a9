/* model/gpu_weights.h: a model's tensors where a GPU reads them: in place.
 *
 * Matrices stay in the mapped file: the file is wrapped in views of whole pages, cut below the device's longest buffer
 * so that no tensor straddles two (views overlap by the pages they share).  Two things are copied, into one block that
 * is wrapped the same way: norms, biases and the like as floats, which are small; and a matrix that a file has at a
 * place its kernel can't load from (vmt_gpu_weight_alignment).
 *
 * Engine thread.  The file outlives the weights. */
#ifndef VMT_MODEL_GPU_WEIGHTS_H
#define VMT_MODEL_GPU_WEIGHTS_H

#include "model/weight_map.h"
#include "ops/gpu_matmul.h"

typedef struct vmt_gpu_linear {
    vmt_gpu_weight parts[VMT_LINEAR_PARTS_MAX];
    uint32_t num_parts;
    vmt_tensor bias; /* F32 [rows of all parts]; buffer NULL: none */
} vmt_gpu_linear;

typedef struct vmt_gpu_layer {
    vmt_tensor attn_norm, mlp_norm; /* F32 [hidden] */
    vmt_tensor q_norm, k_norm;      /* F32 [head_dim], or buffer NULL */
    vmt_gpu_linear qkv, o, down;
    vmt_gpu_linear gate_up; /* gate, then up: a stacked matrix is seen as two */
} vmt_gpu_layer;

typedef struct vmt_gpu_weights {
    vmt_gpu *gpu;
    vmt_dtype type; /* of activations */
    vmt_gpu_weight embed;
    vmt_tensor final_norm;
    vmt_gpu_linear head;
    vmt_gpu_layer *layers; /* [num_layers] */
    uint32_t num_layers;
    uint64_t bytes, copied_bytes; /* of the tensors in use; of these, matrices that had to be copied */
    vmt_buffer block;             /* host memory of what is copied */
    vmt_buffer *views;            /* [num_views] */
    uint32_t num_views;
} vmt_gpu_weights;

/* out must be zeroed; reset() also after a failure.  type: of activations, F32, F16 or BF16; VMT_NUM_DTYPES: what the
 * file computes in, F16 for quantized ones. */
vmt_status vmt_gpu_weights_load(vmt_gpu_weights *out, const vmt_model_config *config, const vmt_weight_file *file,
                                vmt_gpu *gpu, vmt_dtype type, vmt_err *err);
void vmt_gpu_weights_reset(vmt_gpu_weights *weights);

#endif
