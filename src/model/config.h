/* model/config.h: a model's published facts, from config.json or a GGUF header, checked against named ceilings. */
#ifndef VMT_MODEL_CONFIG_H
#define VMT_MODEL_CONFIG_H

#include "json/json.h"
#include "ops/elementwise.h"
#include "ops/rope.h"
#include "tensor/gguf.h"

#define VMT_LAYERS_MAX       1024u
#define VMT_HIDDEN_MAX       (1u << 17)
#define VMT_INTERMEDIATE_MAX (1u << 19)
#define VMT_MODEL_VOCAB_MAX  (1u << 22)
#define VMT_HEADS_MAX        1024u
#define VMT_HEAD_DIM_MAX     512u
#define VMT_CONTEXT_MAX      (1u << 27)
#define VMT_EOS_IDS_MAX      16u
#define VMT_ROPE_DIM_MAX     VMT_HEAD_DIM_MAX

typedef enum vmt_rope_scaling {
    VMT_ROPE_PLAIN,
    VMT_ROPE_LINEAR,
    VMT_ROPE_LLAMA3,
    VMT_ROPE_YARN,
    VMT_ROPE_LONGROPE,
    VMT_ROPE_DYNAMIC,
    VMT_ROPE_GGUF_FACTORS, /* rope_freqs.weight in the file */
} vmt_rope_scaling;

typedef struct vmt_model_config {
    const struct vmt_family *family; /* row of model/families.c */
    uint32_t num_layers, hidden, intermediate, num_heads, num_kv_heads, head_dim, vocab;
    uint32_t context_max; /* max_position_embeddings */
    float norm_eps;
    vmt_activation act;
    bool tied_head;
    bool headless; /* the head is neither loaded nor run: hidden states after the final norm are the output */
    bool qkv_bias, o_bias, mlp_bias, qk_norm;
    uint32_t sliding_window;                /* 0: none */
    uint8_t layer_has_rope[VMT_LAYERS_MAX]; /* SmolLM3's layers without RoPE */
    uint8_t layer_is_sliding[VMT_LAYERS_MAX];
    /* rope */
    double rope_theta;
    uint32_t rotary_dim;
    vmt_rope_pairing rope_pairing;
    vmt_rope_scaling rope_scaling;
    double rope_factor, rope_low_freq_factor, rope_high_freq_factor;
    uint32_t rope_original_context;
    double yarn_beta_fast, yarn_beta_slow, rope_attention_factor; /* attention_factor 0: derive it */
    /* divisors of the frequencies, below and above the original context; GGUF factors are in longrope_short */
    float longrope_short[VMT_ROPE_DIM_MAX / 2], longrope_long[VMT_ROPE_DIM_MAX / 2];
    /* multipliers (Granite); 1 elsewhere.  attention_scale 0: 1/sqrt(head_dim) */
    float embedding_multiplier, residual_multiplier, attention_scale, logits_scaling;
    vmt_dtype dtype; /* torch_dtype, or the GGUF's most common type */
    int32_t bos_id;  /* -1 if absent */
    int32_t eos_ids[VMT_EOS_IDS_MAX];
    uint32_t num_eos_ids;
} vmt_model_config;

/* Fails with a sentence that names the architecture or field at fault and lists what is supported. */
vmt_status vmt_model_config_from_json(vmt_model_config *out, vmt_json config, vmt_err *err);
vmt_status vmt_model_config_from_gguf(vmt_model_config *out, const vmt_gguf *gguf, vmt_err *err);
/* For the two above: neutral values, and the relations that must hold between fields. */
void vmt_model_config_init(vmt_model_config *config);
vmt_status vmt_model_config_check(const vmt_model_config *config, vmt_err *err);

#endif
