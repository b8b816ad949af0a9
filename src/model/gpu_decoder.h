/* model/gpu_decoder.h: the graph of decoder.h on a GPU: recorded once, replayed each step.
 *
 *   body   tokens that the step before sampled -> embed -> per layer: norm and qkv, rope and cache write, attention, o,
 *          norm and gate, up, activation, down; of the last layer as far as attention
 *   tail   rows that need logits: o and mlp of the last layer, norm and head
 *   draw   edits, samples, scores (ops/gpu_sample.h)
 *
 * Bodies and tails are recorded for one row, for few and for many; all of them for each step that may be in flight.  A
 * layer is six dispatches for one row, where the norms are fused into the matmuls behind them, eight for more, and one
 * more while some context is long enough to be cut into parts.  Where a vendor's library multiplies, norms, gates and
 * biases are dispatches of their own, and so is each weight that is made plain for it.
 *
 * Engine thread.  All memory is taken in create(). */
#ifndef VMT_MODEL_GPU_DECODER_H
#define VMT_MODEL_GPU_DECODER_H

#include "model/gpu_step.h"
#include "model/gpu_weights.h"
#include "model/model.h"

typedef struct vmt_gpu_decoder vmt_gpu_decoder;

/* Bytes of one block over all layers, and of all that create() takes beside the blocks. */
size_t vmt_gpu_decoder_block_bytes(const vmt_model_config *config, uint32_t block_size, vmt_dtype dtype);
size_t vmt_gpu_decoder_scratch_bytes(const vmt_model_config *config, const vmt_gpu_weights *weights,
                                     const vmt_model_kv_options *options);

/* config and weights are borrowed. */
vmt_status vmt_gpu_decoder_create(vmt_gpu_decoder **out, const vmt_model_config *config,
                                  const vmt_gpu_weights *weights, const vmt_model_kv_options *options,
                                  vmt_err *err);
/* Waits for steps that were given up.  false: one never ends, and its memory is not given back: nor may the weights'
 * be.  NULL is fine. */
bool vmt_gpu_decoder_destroy(vmt_gpu_decoder *decoder);

/* As in model/runner.h. */
vmt_status vmt_gpu_decoder_launch(vmt_gpu_decoder *decoder, const vmt_batch *batch,
                                  const vmt_sample_batch *samples, vmt_err *err);
vmt_status vmt_gpu_decoder_collect(vmt_gpu_decoder *decoder, vmt_sample_outcome *out, vmt_err *err);

/* What a step with these counts [VMT_NUM_STEP_COUNTS] dispatches; its sampling, too, if VMT_COUNT_SAMPLES is not 0. */
vmt_gpu_program_stats vmt_gpu_decoder_stats(const vmt_gpu_decoder *decoder, const uint32_t *counts);

#endif
