/* model/families.c: the table.  Facts are those of the families' own modeling code in transformers and of llama.cpp's
 * converters. */
#include "model/families.h"

static const vmt_weight_names hf_llama = {
    .embed = "model.embed_tokens",
    .final_norm = "model.norm",
    .head = "lm_head",
    .attn_norm = "model.layers.%u.input_layernorm",
    .mlp_norm = "model.layers.%u.post_attention_layernorm",
    .q = "model.layers.%u.self_attn.q_proj",
    .k = "model.layers.%u.self_attn.k_proj",
    .v = "model.layers.%u.self_attn.v_proj",
    .o = "model.layers.%u.self_attn.o_proj",
    .q_norm = "model.layers.%u.self_attn.q_norm",
    .k_norm = "model.layers.%u.self_attn.k_norm",
    .gate = "model.layers.%u.mlp.gate_proj",
    .up = "model.layers.%u.mlp.up_proj",
    .down = "model.layers.%u.mlp.down_proj",
};

static const vmt_weight_names hf_phi3 = {
    .embed = "model.embed_tokens",
    .final_norm = "model.norm",
    .head = "lm_head",
    .attn_norm = "model.layers.%u.input_layernorm",
    .mlp_norm = "model.layers.%u.post_attention_layernorm",
    .qkv = "model.layers.%u.self_attn.qkv_proj",
    .o = "model.layers.%u.self_attn.o_proj",
    .gate_up = "model.layers.%u.mlp.gate_up_proj",
    .down = "model.layers.%u.mlp.down_proj",
};

static const vmt_weight_names gguf_llama = {
    .embed = "token_embd",
    .final_norm = "output_norm",
    .head = "output",
    .attn_norm = "blk.%u.attn_norm",
    .mlp_norm = "blk.%u.ffn_norm",
    .q = "blk.%u.attn_q",
    .k = "blk.%u.attn_k",
    .v = "blk.%u.attn_v",
    .o = "blk.%u.attn_output",
    .q_norm = "blk.%u.attn_q_norm",
    .k_norm = "blk.%u.attn_k_norm",
    .gate = "blk.%u.ffn_gate",
    .up = "blk.%u.ffn_up",
    .down = "blk.%u.ffn_down",
};

static const vmt_weight_names gguf_phi3 = {
    .embed = "token_embd",
    .final_norm = "output_norm",
    .head = "output",
    .attn_norm = "blk.%u.attn_norm",
    .mlp_norm = "blk.%u.ffn_norm",
    .qkv = "blk.%u.attn_qkv",
    .o = "blk.%u.attn_output",
    .gate_up = "blk.%u.ffn_up", /* the format has no name of its own for the stacked pair */
    .down = "blk.%u.ffn_down",
};

static const vmt_family families[] = {
    {
        .hf_arch = "LlamaForCausalLM",
        .gguf_arch = "llama",
        .hf_names = &hf_llama,
        .gguf_names = &gguf_llama,
        .gguf_pairing = VMT_ROPE_INTERLEAVED,
        .qkv_bias = VMT_FACT_CONFIG,
        .o_bias = VMT_FACT_CONFIG,
        .mlp_bias = VMT_FACT_CONFIG,
        .rope_theta_default = 10000.0,
        .context_default = 2048,
    },
    {
        .hf_arch = "MistralForCausalLM",
        .gguf_arch = "mistral3",
        .hf_names = &hf_llama,
        .gguf_names = &gguf_llama,
        .gguf_pairing = VMT_ROPE_INTERLEAVED,
        .window = VMT_WINDOW_ALL,
        .rope_theta_default = 10000.0,
        .context_default = 131072,
    },
    {
        .hf_arch = "Qwen2ForCausalLM",
        .gguf_arch = "qwen2",
        .hf_names = &hf_llama,
        .gguf_names = &gguf_llama,
        .gguf_pairing = VMT_ROPE_HALVES,
        .qkv_bias = VMT_FACT_YES,
        .window = VMT_WINDOW_UPPER_LAYERS,
        .rope_theta_default = 10000.0,
        .context_default = 32768,
    },
    {
        .hf_arch = "Qwen3ForCausalLM",
        .gguf_arch = "qwen3",
        .hf_names = &hf_llama,
        .gguf_names = &gguf_llama,
        .gguf_pairing = VMT_ROPE_HALVES,
        .qkv_bias = VMT_FACT_CONFIG,
        .o_bias = VMT_FACT_CONFIG,
        .qk_norm = VMT_FACT_YES,
        .window = VMT_WINDOW_UPPER_LAYERS,
        .rope_theta_default = 10000.0,
        .context_default = 32768,
    },
    {
        .hf_arch = "Phi3ForCausalLM",
        .gguf_arch = "phi3",
        .hf_names = &hf_phi3,
        .gguf_names = &gguf_phi3,
        .gguf_pairing = VMT_ROPE_HALVES,
        .window = VMT_WINDOW_ALL,
        .rope_theta_default = 10000.0,
        .context_default = 4096,
    },
    {
        .hf_arch = "GraniteForCausalLM",
        .gguf_arch = "granite",
        .hf_names = &hf_llama,
        .gguf_names = &gguf_llama,
        .gguf_pairing = VMT_ROPE_INTERLEAVED,
        .qkv_bias = VMT_FACT_CONFIG,
        .o_bias = VMT_FACT_CONFIG,
        .mlp_bias = VMT_FACT_CONFIG,
        .has_multipliers = true,
        .rope_theta_default = 10000.0,
        .context_default = 2048,
    },
    {
        .hf_arch = "SmolLM3ForCausalLM",
        .gguf_arch = "smollm3",
        .hf_names = &hf_llama,
        .gguf_names = &gguf_llama,
        .gguf_pairing = VMT_ROPE_INTERLEAVED,
        .qkv_bias = VMT_FACT_CONFIG,
        .o_bias = VMT_FACT_CONFIG,
        .mlp_bias = VMT_FACT_CONFIG,
        .tied_head_default = true,
        .window = VMT_WINDOW_NO_ROPE,
        .no_rope_interval = 4,
        .rope_theta_default = 2000000.0,
        .context_default = 32768,
    },
};

/* "Qwen3Model" is the decoder of "Qwen3ForCausalLM" without its head, "Qwen3ForSequenceClassification" has another. */
static bool shares_decoder(vmt_str arch, vmt_str causal) {
    static const char *const endings[] = {"Model", "ForSequenceClassification"};
    vmt_str stem = vmt_str_slice(causal, 0, causal.len - strlen("ForCausalLM"));
    for (size_t i = 0; i < VMT_COUNT(endings); i++) {
        vmt_str ending = vmt_str_from(endings[i]);
        if (arch.len == stem.len + ending.len && vmt_str_starts(arch, stem) && vmt_str_ends(arch, ending))
            return true;
    }
    return false;
}

const vmt_family *vmt_family_by_hf_arch(vmt_str arch) {
    for (size_t i = 0; i < VMT_COUNT(families); i++) {
        vmt_str own = vmt_str_from(families[i].hf_arch);
        if (vmt_str_eq(arch, own) || shares_decoder(arch, own)) return &families[i];
    }
    return NULL;
}

const vmt_family *vmt_family_by_gguf_arch(vmt_str arch) {
    for (size_t i = 0; i < VMT_COUNT(families); i++) {
        if (vmt_str_eq_c(arch, families[i].gguf_arch)) return &families[i];
    }
    return NULL;
}

const char *vmt_family_list(bool gguf, char *out, size_t cap) {
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < VMT_COUNT(families); i++) {
        const char *name = gguf ? families[i].gguf_arch : families[i].hf_arch;
        const char *comma = i ? ", " : "";
        size_t need = strlen(name) + strlen(comma);
        if (len + need >= cap) break;
        memcpy(out + len, comma, strlen(comma));
        memcpy(out + len + strlen(comma), name, strlen(name) + 1);
        len += need;
    }
    return out;
}
