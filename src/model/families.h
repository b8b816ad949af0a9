/* model/families.h: one row per model family, stating its published facts.
 *
 * The graph never asks for a family's name: it reads facts.  A row says where facts come from: fixed by the family, or
 * a field of config.json.  A new family whose data flow is the same is a row; a new block (mixture of experts, latent
 * attention) is a new file beside decoder.c, chosen by a fact in the row. */
#ifndef VMT_MODEL_FAMILIES_H
#define VMT_MODEL_FAMILIES_H

#include "model/config.h"

/* Tensor names; "%u" stands for the layer.  NULL: the family has no such tensor.  Weights end in ".weight", biases in
 * ".bias": the patterns here leave that ending out. */
typedef struct vmt_weight_names {
    const char *embed, *final_norm, *head;
    const char *attn_norm, *mlp_norm;
    const char *q, *k, *v; /* three matrices, or */
    const char *qkv;       /* one with their rows stacked */
    const char *o, *q_norm, *k_norm;
    const char *gate, *up; /* two matrices, or */
    const char *gate_up;   /* one with their rows stacked */
    const char *down;
} vmt_weight_names;

typedef enum vmt_fact { /* where a yes-or-no fact comes from */
                        VMT_FACT_NO,
                        VMT_FACT_YES,
                        VMT_FACT_CONFIG, /* the field of config.json, or the tensor's presence in GGUF */
} vmt_fact;

typedef enum vmt_window_rule { /* which layers slide, unless config.json lists layer_types */
                               VMT_WINDOW_NONE,
                               VMT_WINDOW_ALL,          /* sliding_window holds for each layer, null: none */
                               VMT_WINDOW_UPPER_LAYERS, /* use_sliding_window, from max_window_layers upwards */
                               VMT_WINDOW_NO_ROPE,      /* use_sliding_window, in the layers without RoPE */
} vmt_window_rule;

typedef struct vmt_family {
    const char *hf_arch;   /* config.json: architectures[0] */
    const char *gguf_arch; /* general.architecture */
    const vmt_weight_names *hf_names, *gguf_names;
    vmt_rope_pairing gguf_pairing; /* llama.cpp stores q and k of some families with rows permuted */
    vmt_fact qkv_bias, o_bias, mlp_bias, qk_norm;
    bool tied_head_default;
    vmt_window_rule window;
    uint32_t no_rope_interval; /* each so-manieth layer lacks RoPE; 0: none */
    bool has_multipliers;      /* embedding, residual, attention, logits */
    double rope_theta_default;
    uint32_t context_default;
} vmt_family;

/* NULL when there is none. */
const vmt_family *vmt_family_by_hf_arch(vmt_str arch);
const vmt_family *vmt_family_by_gguf_arch(vmt_str arch);
/* "LlamaForCausalLM, Qwen2ForCausalLM, ..." for messages, cut to cap. */
const char *vmt_family_list(bool gguf, char *out, size_t cap);

#endif
