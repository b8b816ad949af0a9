/* model/model.h: a dense decoder: weights, KV memory, forward; on the CPU or on a GPU.
 *
 * Engine thread only after open().  Weights point into the mapped file or into packed copies (ops/matmul.h); KV memory
 * and scratch are allocated once by vmt_model_kv_create(). */
#ifndef VMT_MODEL_MODEL_H
#define VMT_MODEL_MODEL_H

#include "backend/backend.h"
#include "backend/gpu.h"
#include "model/config.h"
#include "model/runner.h"
#include "tensor/weight_file.h"

typedef struct vmt_model vmt_model;

typedef struct vmt_model_progress { /* called from open(); NULL fn: silent */
    void (*fn)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
    void *ctx;
} vmt_model_progress;

/* weights must outlive the model.  Every tensor is found by the family's name pattern and checked for shape before use:
 * "model.layers.3.mlp.up_proj.weight is [576, 1536], expected [1536, 576]". */
vmt_status vmt_model_open(vmt_model **out, const vmt_model_config *config, const vmt_weight_file *weights,
                          vmt_backend *be, vmt_model_progress progress, vmt_err *err);
/* The same on a GPU, where tensors are read in place (model/gpu_weights.h).  type: of activations, F32, F16 or BF16;
 * VMT_NUM_DTYPES: what the file computes in.  gpu must outlive the model. */
vmt_status vmt_model_open_gpu(vmt_model **out, const vmt_model_config *config, const vmt_weight_file *weights,
                              vmt_gpu *gpu, vmt_dtype type, vmt_err *err);
/* Of a model on a GPU, before kv_create(): runs the checks of ops/gpu_checks.h that concern its formats, its type and
 * its heads.  Kernels that fail them give way to others; kv_create() says which one it can't do without. */
vmt_status vmt_model_check_gpu(const vmt_model *model, vmt_err *err);
void vmt_model_close(vmt_model *model); /* NULL is fine */

const vmt_model_config *vmt_model_get_config(const vmt_model *model);
uint64_t vmt_model_weight_bytes(const vmt_model *model);
/* On a GPU: the type of activations, which its KV cache has too unless it is I8. */
vmt_dtype vmt_model_type(const vmt_model *model);

typedef struct vmt_model_kv_options {
    uint32_t block_size;  /* 8, 16 or 32 */
    vmt_dtype dtype;      /* F32, F16, BF16; on a GPU vmt_model_type() or I8 */
    uint32_t num_blocks;  /* the null block included */
    uint32_t tokens_max;  /* most rows in one step: sizes the scratch */
    uint32_t logits_max;  /* most logit rows in one step */
    uint32_t context_max; /* longest sequence */
    /* a GPU's */
    uint32_t seqs_max;        /* most sequences in one step */
    uint64_t step_timeout_ns; /* a step that takes longer is given up */
} vmt_model_kv_options;
/* Bytes of one block over all layers, K and V. */
size_t vmt_model_kv_block_bytes(const vmt_model *model, uint32_t block_size, vmt_dtype dtype);
/* Bytes of scratch that kv_create() will take beside the blocks. */
size_t vmt_model_scratch_bytes(const vmt_model *model, const vmt_model_kv_options *options);
vmt_status vmt_model_kv_create(vmt_model *model, const vmt_model_kv_options *options, vmt_err *err);

/* After kv_create(). */
vmt_runner vmt_model_runner(vmt_model *model);

#endif
