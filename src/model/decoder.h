/* model/decoder.h: the graph of a dense decoder over one step's batch.
 *
 *   embed -> per layer: [norm -> qkv -> (qk norm) rope -> write cache -> attention -> o, added to the residual
 *                        norm -> gate, up -> act -> down, added to the residual]
 *         -> rows that need logits: norm -> head, which a headless model leaves out
 *
 * Prefill and decode rows go through together.  After the last layer's attention only logit rows go on.  All memory is
 * taken in create(); forward() allocates nothing. */
#ifndef VMT_MODEL_DECODER_H
#define VMT_MODEL_DECODER_H

#include "model/batch.h"
#include "model/model.h"
#include "model/rope_tables.h"
#include "model/weights.h"
#include "ops/attention.h"

typedef struct vmt_decoder {
    vmt_backend *be;
    const vmt_model_config *config;
    const vmt_weights *weights;
    vmt_model_kv_options options;
    vmt_kv_layout kv;
    vmt_rope_table rope;
    vmt_buffer cache;   /* [num_layers] of K blocks, then V blocks */
    vmt_buffer scratch; /* what follows lies in it */
    vmt_tensor hidden;  /* [tokens_max, hidden] the residual stream */
    vmt_tensor normed;  /* [tokens_max, hidden] */
    vmt_tensor qkv;     /* [tokens_max, (num_heads + 2 * num_kv_heads) * head_dim] */
    vmt_tensor attn;    /* [tokens_max, num_heads * head_dim] */
    vmt_tensor gate_up; /* [tokens_max, 2 * intermediate] */
    vmt_tensor act;     /* [tokens_max, intermediate] */
    vmt_tensor angles;  /* [tokens_max, rotary_dim] */
    vmt_tensor last;    /* [logits_max, hidden] logit rows of the residual stream */
    vmt_tensor logits;  /* [logits_max, vocab]; empty when headless */
    vmt_tensor work;    /* the attention op's own */
} vmt_decoder;

size_t vmt_decoder_scratch_bytes(const vmt_model_config *config, const vmt_model_kv_options *options,
                                 vmt_backend *be);
/* out must be zeroed; reset() also after a failure. */
vmt_status vmt_decoder_init(vmt_decoder *out, vmt_backend *be, const vmt_model_config *config,
                            const vmt_weights *weights, const vmt_model_kv_options *options, vmt_err *err);
void vmt_decoder_reset(vmt_decoder *decoder);
/* *logits: see vmt_runner; with a headless config the hidden states. */
vmt_status vmt_decoder_forward(vmt_decoder *decoder, const vmt_batch *batch, float **logits, vmt_err *err);

#endif
