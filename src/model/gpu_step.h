/* model/gpu_step.h: what one step brings to a GPU and takes back, in memory that both sides see.
 *
 * There is one for each step that may be in flight: the host fills the next while the device reads this one.  The
 * batch, which every layer reads, is fetched to the device's own memory first where memory is not unified
 * (ops/gpu_upload.h). */
#ifndef VMT_MODEL_GPU_STEP_H
#define VMT_MODEL_GPU_STEP_H

#include "model/batch.h"
#include "ops/gpu_attention.h"
#include "ops/gpu_sample.h"
#include "ops/gpu_upload.h"

typedef struct vmt_gpu_step_shape {
    uint32_t vocab, tokens_max, logits_max, seqs_max;
    uint32_t context_max, block_size;
    const vmt_gpu_attention_plan *attention;
} vmt_gpu_step_shape;

typedef struct vmt_gpu_step {
    vmt_buffer shared; /* header, batch, sampling, results */
    vmt_buffer
        fetched; /* header and batch at the same offsets; on unified memory none, and the batch is in shared */
    vmt_gpu_upload_args upload;                                   /* from shared to fetched; else none */
    vmt_tensor token_ids, token_sources, positions, slot_mapping; /* batch: I32 [tokens_max] */
    vmt_tensor logit_rows;                                        /* I32 [logits_max] */
    vmt_tensor block_tables;                          /* I32 [seqs_max, blocks of the longest context] */
    vmt_tensor parts, merges, tiles;                  /* attention's lists */
    vmt_tensor samples, edited, edits, masks, scored; /* as ops/gpu_sample.h has them */
    vmt_tensor sampled, scores, tops;                 /* what comes back */
    uint32_t block_size;
    uint32_t counts[VMT_NUM_STEP_COUNTS];
} vmt_gpu_step;

size_t vmt_gpu_step_bytes(const vmt_gpu *gpu, const vmt_gpu_step_shape *shape);
/* destroy() is due after a failure, too. */
vmt_status vmt_gpu_step_create(vmt_gpu_step *out, vmt_gpu *gpu, const vmt_gpu_step_shape *shape, vmt_err *err);
void vmt_gpu_step_destroy(vmt_gpu_step *step, vmt_gpu *gpu);

/* The batch has been checked. */
void vmt_gpu_step_fill(vmt_gpu_step *step, const vmt_gpu_attention_plan *plan, const vmt_batch *batch);
/* VMT_E_INTERNAL: more than the shape allows. */
vmt_status vmt_gpu_step_fill_samples(vmt_gpu_step *step, const vmt_sample_batch *samples, vmt_err *err);

#endif
