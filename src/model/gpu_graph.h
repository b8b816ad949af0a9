/* model/gpu_graph.h: the insides of a GPU decoder, shared by gpu_decoder.c (memory, steps) and gpu_graph.c (what is
 * recorded). */
#ifndef VMT_MODEL_GPU_GRAPH_H
#define VMT_MODEL_GPU_GRAPH_H

#include "model/gpu_decoder.h"
#include "model/gpu_readback.h"
#include "model/runner.h"
#include "ops/gpu_act.h"
#include "ops/gpu_embed.h"
#include "ops/gpu_norm.h"
#include "ops/gpu_rope.h"

/* Batch classes: one row, as many as a matmul takes with few rows, any number. */
#define VMT_NUM_GPU_CLASSES 3u

/* A step that may be in flight. */
struct vmt_gpu_flight {
    vmt_gpu_step step;
    vmt_gpu_program *bodies[VMT_NUM_GPU_CLASSES]; /* by rows */
    vmt_gpu_program *tails[VMT_NUM_GPU_CLASSES];  /* by logit rows */
    vmt_gpu_program *draw;
    bool needs_logits;
    uint64_t ticket;
};

struct vmt_gpu_decoder {
    vmt_gpu *gpu;
    const vmt_model_config *config;
    const vmt_gpu_weights *weights;
    vmt_model_kv_options options;
    vmt_gpu_attention_plan attention;

    vmt_buffer *kv_buffers; /* [num_layers] */
    vmt_gpu_kv *kv;         /* [num_layers] */
    vmt_buffer turns_buffer, scratch, logits_buffer;
    void *turns_page; /* what turns_buffer wraps */
    vmt_tensor turns; /* I32 [rotary_dim / 2, 2] */
    float attention_factor;
    vmt_tensor logits; /* F32 [logits_max, vocab]; of a headless model hidden states [logits_max, hidden] */
    vmt_gpu_readback *readback; /* of the logits, where the host does not see them: NULL on unified memory */
    /* in scratch; T is the weights' type of activations */
    vmt_tensor token_ids;   /* I32 [tokens_max] with what the step before sampled in its place */
    vmt_tensor hidden;      /* F32 [tokens_max, hidden] the residual stream */
    vmt_tensor normed;      /* T [tokens_max, hidden] */
    vmt_tensor qkv;         /* T [tokens_max, (num_heads + 2 * num_kv_heads) * head_dim] */
    vmt_tensor attn;        /* T [tokens_max, num_heads * head_dim] */
    vmt_tensor gate_up;     /* T [tokens_max, 2 * intermediate] where gate and up can't share a dispatch */
    vmt_tensor act;         /* T [tokens_max, intermediate] */
    vmt_tensor plain;       /* T [1, elements]: weights dequantized for a library; buffer NULL: none are */
    vmt_tensor angles;      /* F32 [tokens_max, rotary_dim] */
    vmt_tensor last;        /* F32 [logits_max, hidden] logit rows of the residual stream */
    vmt_tensor partials;    /* F32: attention's */
    vmt_tensor saved, best; /* sampling's */

    struct vmt_gpu_flight flights[VMT_FLIGHTS_MAX];
    uint64_t num_launched, num_collected;
    bool is_lost; /* the device failed, and loss says how */
    vmt_err loss;
};

/* The most rows that programs of a class are for. */
uint32_t vmt_gpu_class_rows(const vmt_gpu_decoder *d, uint32_t class_idx, bool is_tail);
/* Bytes that the largest weights need in plain; 0: none go through it. */
size_t vmt_gpu_graph_plain_bytes(const vmt_gpu_decoder *d);
/* Records the programs of flight i.  What they hold is freed by destroy(), also after a failure. */
vmt_status vmt_gpu_graph_record(vmt_gpu_decoder *d, uint32_t i, vmt_err *err);

#endif
