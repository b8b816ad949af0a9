/* model/config_gguf.c: a GGUF header to facts.  Keys are "<architecture>.<name>"; facts the format does not state as a
 * key (biases, tied head, frequency factors) are the presence of a tensor. */
#include "model/config.h"
#include "model/families.h"
#include <math.h>
#include <stdio.h>

struct source {
    const vmt_gguf *gguf;
    const char *arch;
    vmt_err *err;
};

#define KEY_MAX 128

static const char *key_of(const struct source *s, const char *name, char out[KEY_MAX]) {
    snprintf(out, KEY_MAX, "%s.%s", s->arch, name);
    return out;
}

static bool find_tensor(const vmt_gguf *gguf, const char *name, vmt_tensor *out) {
    uint32_t n = vmt_gguf_num_tensors(gguf);
    for (uint32_t i = 0; i < n; i++) {
        if (!vmt_str_eq_c(vmt_gguf_tensor_name(gguf, i), name)) continue;
        *out = vmt_gguf_tensor(gguf, i);
        return true;
    }
    return false;
}

static bool has_layer_tensor(const vmt_gguf *gguf, const char *pattern, const char *ending) {
    if (pattern == NULL) return false;
    vmt_tensor ignored;
    char name[KEY_MAX];
    const char *mark = strstr(pattern, "%u");
    VMT_ASSERT(mark != NULL);
    snprintf(name, sizeof name, "%.*s0%s%s", (int)(mark - pattern), pattern, mark + 2, ending);
    return find_tensor(gguf, name, &ignored);
}

/* A number, or an array that holds the same number for each layer. */
static bool load_u64(const struct source *s, const char *key, uint64_t *out) {
    if (vmt_gguf_u64(s->gguf, key, out)) return true;
    vmt_gguf_array array;
    int32_t values[VMT_LAYERS_MAX];
    if (!vmt_gguf_get_array(s->gguf, key, &array) || array.len == 0 || array.len > VMT_LAYERS_MAX) return false;
    if (!vmt_gguf_array_i32(&array, values) || values[0] < 0) return false;
    for (uint32_t i = 1; i < array.len; i++) {
        if (values[i] != values[0]) return false;
    }
    *out = (uint64_t)values[0];
    return true;
}

static vmt_status get_u32(const struct source *s, const char *name, uint32_t min, uint32_t max, uint32_t *out) {
    char key[KEY_MAX];
    uint64_t v;
    if (!load_u64(s, key_of(s, name, key), &v)) return VMT_OK;
    if (v < min || v > max) {
        return vmt_fail(s->err, VMT_E_INVALID, "GGUF: %s is %llu, supported are %u to %u", key,
                        (unsigned long long)v, min, max);
    }
    *out = (uint32_t)v;
    return VMT_OK;
}

static vmt_status need_u32(const struct source *s, const char *name, uint32_t min, uint32_t max, uint32_t *out) {
    char key[KEY_MAX];
    uint64_t v;
    if (!load_u64(s, key_of(s, name, key), &v)) {
        return vmt_fail(s->err, VMT_E_INVALID, "GGUF: %s is missing, not an integer, or differs between layers",
                        key);
    }
    return get_u32(s, name, min, max, out);
}

static vmt_status get_f64(const struct source *s, const char *name, double *out) {
    char key[KEY_MAX];
    double d;
    if (!vmt_gguf_f64(s->gguf, key_of(s, name, key), &d)) return VMT_OK;
    if (!isfinite(d) || fabs(d) > 1e18) {
        return vmt_fail(s->err, VMT_E_INVALID, "GGUF: %s is %g, which can't be right", key, d);
    }
    *out = d;
    return VMT_OK;
}

static vmt_status get_f32(const struct source *s, const char *name, float *out) {
    double d = (double)*out;
    VMT_TRY(get_f64(s, name, &d));
    *out = (float)d;
    return VMT_OK;
}

static vmt_status read_vocab(vmt_model_config *c, const struct source *s) {
    vmt_tensor embed;
    if (!find_tensor(s->gguf, "token_embd.weight", &embed) || embed.ndim != 2) {
        return vmt_fail(s->err, VMT_E_INVALID, "GGUF: there is no matrix token_embd.weight");
    }
    if (embed.shape[0] > VMT_MODEL_VOCAB_MAX) {
        return vmt_fail(s->err, VMT_E_INVALID, "GGUF: token_embd.weight has %llu rows, the limit is %u",
                        (unsigned long long)embed.shape[0], VMT_MODEL_VOCAB_MAX);
    }
    c->vocab = (uint32_t)embed.shape[0];
    return VMT_OK;
}

static vmt_status read_shape(vmt_model_config *c, const struct source *s) {
    VMT_TRY(need_u32(s, "block_count", 1, VMT_LAYERS_MAX, &c->num_layers));
    VMT_TRY(need_u32(s, "embedding_length", 1, VMT_HIDDEN_MAX, &c->hidden));
    VMT_TRY(need_u32(s, "feed_forward_length", 1, VMT_INTERMEDIATE_MAX, &c->intermediate));
    VMT_TRY(need_u32(s, "attention.head_count", 1, VMT_HEADS_MAX, &c->num_heads));
    c->num_kv_heads = c->num_heads;
    VMT_TRY(get_u32(s, "attention.head_count_kv", 1, c->num_heads, &c->num_kv_heads));
    c->head_dim = c->hidden / c->num_heads;
    VMT_TRY(get_u32(s, "attention.key_length", 1, VMT_HEAD_DIM_MAX, &c->head_dim));
    uint32_t value_dim = c->head_dim;
    VMT_TRY(get_u32(s, "attention.value_length", 1, VMT_HEAD_DIM_MAX, &value_dim));
    if (value_dim != c->head_dim) {
        return vmt_fail(s->err, VMT_E_UNSUPPORTED,
                        "GGUF: value heads of %u beside key heads of %u are not supported", value_dim,
                        c->head_dim);
    }
    c->context_max = c->family->context_default;
    VMT_TRY(get_u32(s, "context_length", 1, VMT_CONTEXT_MAX, &c->context_max));
    c->norm_eps = 1e-6f;
    VMT_TRY(get_f32(s, "attention.layer_norm_rms_epsilon", &c->norm_eps));
    uint32_t experts = 0;
    VMT_TRY(get_u32(s, "expert_count", 0, UINT32_MAX, &experts));
    if (experts > 0) {
        return vmt_fail(s->err, VMT_E_UNSUPPORTED,
                        "GGUF: %s.expert_count is %u; mixtures of experts are not supported", s->arch, experts);
    }
    return read_vocab(c, s);
}

static vmt_status read_facts(vmt_model_config *c, const struct source *s) {
    const vmt_weight_names *n = c->family->gguf_names;
    vmt_tensor ignored;
    c->qkv_bias = has_layer_tensor(s->gguf, n->qkv ? n->qkv : n->q, ".bias");
    c->o_bias = has_layer_tensor(s->gguf, n->o, ".bias");
    c->mlp_bias = has_layer_tensor(s->gguf, n->down, ".bias");
    c->qk_norm = has_layer_tensor(s->gguf, n->q_norm, ".weight");
    c->tied_head = !find_tensor(s->gguf, "output.weight", &ignored);
    c->act = VMT_ACT_SILU;
    c->rope_pairing = c->family->gguf_pairing;
    VMT_TRY(get_f32(s, "attention.scale", &c->attention_scale));
    if (c->family->has_multipliers) {
        VMT_TRY(get_f32(s, "embedding_scale", &c->embedding_multiplier));
        VMT_TRY(get_f32(s, "residual_scale", &c->residual_multiplier));
        VMT_TRY(get_f32(s, "logit_scale", &c->logits_scaling));
    }
    double temperature = 0;
    VMT_TRY(get_f64(s, "attention.temperature_scale", &temperature));
    if (temperature != 0) {
        return vmt_fail(s->err, VMT_E_UNSUPPORTED, "GGUF: %s.attention.temperature_scale is not supported",
                        s->arch);
    }
    if (c->family->no_rope_interval > 0) {
        for (uint32_t i = 0; i < c->num_layers; i++) {
            c->layer_has_rope[i] = (i + 1) % c->family->no_rope_interval != 0;
        }
    }
    if (c->family->window == VMT_WINDOW_ALL) {
        VMT_TRY(get_u32(s, "attention.sliding_window", 0, VMT_CONTEXT_MAX, &c->sliding_window));
        if (c->sliding_window > 0) memset(c->layer_is_sliding, 1, c->num_layers);
    }
    return VMT_OK;
}

static vmt_status read_factors(const struct source *s, const char *name, uint32_t want, float *out, bool *found) {
    vmt_tensor t;
    *found = find_tensor(s->gguf, name, &t);
    if (!*found) return VMT_OK;
    if (t.dtype != VMT_F32 || vmt_tensor_elems(&t) != want) {
        char text[80];
        return vmt_fail(s->err, VMT_E_INVALID, "GGUF: %s is %s, expected [%u] F32", name,
                        vmt_tensor_describe(&t, text, sizeof text), want);
    }
    memcpy(out, vmt_tensor_data(&t), want * sizeof *out);
    for (uint32_t i = 0; i < want; i++) {
        if (out[i] > 0 && isfinite(out[i])) continue;
        return vmt_fail(s->err, VMT_E_INVALID, "GGUF: %s[%u] is %g, it must be positive", name, i, (double)out[i]);
    }
    return VMT_OK;
}

static vmt_status read_scaling(vmt_model_config *c, const struct source *s) {
    char key[KEY_MAX];
    vmt_str type = VMT_STR("none");
    (void)vmt_gguf_str(s->gguf, key_of(s, "rope.scaling.type", key), &type);
    VMT_TRY(get_f64(s, "rope.scaling.factor", &c->rope_factor));
    VMT_TRY(get_f64(s, "rope.scaling.attn_factor", &c->rope_attention_factor));
    VMT_TRY(get_u32(s, "rope.scaling.original_context_length", 1, VMT_CONTEXT_MAX, &c->rope_original_context));
    if (c->rope_original_context == 0) c->rope_original_context = c->context_max;
    if (vmt_str_eq_c(type, "linear")) c->rope_scaling = VMT_ROPE_LINEAR;
    if (vmt_str_eq_c(type, "yarn")) {
        c->rope_scaling = VMT_ROPE_YARN;
        c->yarn_beta_fast = 32.0;
        c->yarn_beta_slow = 1.0;
        VMT_TRY(get_f64(s, "rope.scaling.yarn_beta_fast", &c->yarn_beta_fast));
        VMT_TRY(get_f64(s, "rope.scaling.yarn_beta_slow", &c->yarn_beta_slow));
    }
    bool needs_factor = c->rope_scaling == VMT_ROPE_LINEAR || c->rope_scaling == VMT_ROPE_YARN;
    if (needs_factor && c->rope_factor < 1.0) {
        return vmt_fail(s->err, VMT_E_INVALID, "GGUF: %s.rope.scaling.factor is %g, it must be at least 1",
                        s->arch, c->rope_factor);
    }
    bool found = false, found_long = false;
    VMT_TRY(read_factors(s, "rope_freqs.weight", c->rotary_dim / 2, c->longrope_short, &found));
    if (found) c->rope_scaling = VMT_ROPE_GGUF_FACTORS;
    VMT_TRY(read_factors(s, "rope_factors_short.weight", c->rotary_dim / 2, c->longrope_short, &found));
    VMT_TRY(read_factors(s, "rope_factors_long.weight", c->rotary_dim / 2, c->longrope_long, &found_long));
    if (found && found_long) c->rope_scaling = VMT_ROPE_LONGROPE;
    return VMT_OK;
}

static vmt_status read_rope(vmt_model_config *c, const struct source *s) {
    c->rope_theta = 10000.0; /* the format's default */
    VMT_TRY(get_f64(s, "rope.freq_base", &c->rope_theta));
    if (!(c->rope_theta > 1.0)) {
        return vmt_fail(s->err, VMT_E_INVALID, "GGUF: %s.rope.freq_base is %g, it must be above 1", s->arch,
                        c->rope_theta);
    }
    c->rotary_dim = c->head_dim;
    VMT_TRY(get_u32(s, "rope.dimension_count", 2, c->head_dim, &c->rotary_dim));
    return read_scaling(c, s);
}

static void read_tokens(vmt_model_config *c, const vmt_gguf *gguf) {
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"};
    uint64_t id;
    if (vmt_gguf_u64(gguf, "tokenizer.ggml.bos_token_id", &id) && id < c->vocab) c->bos_id = (int32_t)id;
    for (size_t i = 0; i < VMT_COUNT(keys); i++) {
        if (!vmt_gguf_u64(gguf, keys[i], &id) || id >= c->vocab) continue;
        if (c->num_eos_ids == 1 && c->eos_ids[0] == (int32_t)id) continue;
        c->eos_ids[c->num_eos_ids++] = (int32_t)id;
    }
}

static vmt_dtype most_common_dtype(const vmt_gguf *gguf) {
    uint64_t elems[VMT_NUM_DTYPES] = {0};
    vmt_dtype best = VMT_F32;
    for (uint32_t i = 0; i < vmt_gguf_num_tensors(gguf); i++) {
        vmt_tensor t = vmt_gguf_tensor(gguf, i);
        elems[t.dtype] += vmt_tensor_elems(&t);
        if (elems[t.dtype] > elems[best]) best = t.dtype;
    }
    return best;
}

vmt_status vmt_model_config_from_gguf(vmt_model_config *out, const vmt_gguf *gguf, vmt_err *err) {
    vmt_model_config_init(out);
    vmt_str arch;
    char names[180];
    if (!vmt_gguf_str(gguf, "general.architecture", &arch)) {
        return vmt_fail(err, VMT_E_INVALID, "GGUF: general.architecture is missing");
    }
    out->family = vmt_family_by_gguf_arch(arch);
    if (out->family == NULL) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "GGUF: architecture '%.*s' is not supported; supported are %s",
                        (int)VMT_MIN(arch.len, 60), arch.ptr, vmt_family_list(true, names, sizeof names));
    }
    struct source s = {gguf, out->family->gguf_arch, err};
    VMT_TRY(read_shape(out, &s));
    VMT_TRY(read_facts(out, &s));
    VMT_TRY(read_rope(out, &s));
    read_tokens(out, gguf);
    out->dtype = most_common_dtype(gguf);
    return vmt_model_config_check(out, err);
}
