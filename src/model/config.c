/* model/config.c: config.json of transformers 4 and 5 to facts. */
#include "model/config.h"
#include "model/families.h"
#include <math.h>

struct source { /* a JSON object and what to call it in messages */
    vmt_json obj;
    const char *prefix;
    vmt_err *err;
};

static vmt_json member(const struct source *s, const char *key) {
    vmt_json v = vmt_json_member(s->obj, vmt_str_from(key));
    return vmt_json_is_null(v) ? (vmt_json){0} : v; /* null means absent in these files */
}

static vmt_status wrong_type(const struct source *s, const char *key, const char *want, vmt_json got) {
    return vmt_fail(s->err, VMT_E_INVALID, "config.json: %s%s is %s, expected %s", s->prefix, key,
                    vmt_json_type_name(vmt_json_typeof(got)), want);
}

/* Leaves *out alone when the key is absent. */
static vmt_status get_u32(const struct source *s, const char *key, uint32_t min, uint32_t max, uint32_t *out) {
    vmt_json v = member(s, key);
    if (!vmt_json_exists(v)) return VMT_OK;
    uint64_t u;
    if (!vmt_json_get_u64(v, &u)) {
        double d; /* some files write 131072.0 */
        if (!vmt_json_get_f64(v, &d) || !(d >= 0 && d <= (double)UINT32_MAX) || d != floor(d)) {
            return wrong_type(s, key, "a positive integer", v);
        }
        u = (uint64_t)d;
    }
    if (u < min || u > max) {
        return vmt_fail(s->err, VMT_E_INVALID, "config.json: %s%s is %llu, supported are %u to %u", s->prefix, key,
                        (unsigned long long)u, min, max);
    }
    *out = (uint32_t)u;
    return VMT_OK;
}

static vmt_status need_u32(const struct source *s, const char *key, uint32_t min, uint32_t max, uint32_t *out) {
    if (!vmt_json_exists(member(s, key))) {
        return vmt_fail(s->err, VMT_E_INVALID, "config.json: %s%s is missing", s->prefix, key);
    }
    return get_u32(s, key, min, max, out);
}

static vmt_status get_f64(const struct source *s, const char *key, double *out) {
    vmt_json v = member(s, key);
    if (!vmt_json_exists(v)) return VMT_OK;
    double d;
    if (!vmt_json_get_f64(v, &d)) return wrong_type(s, key, "a number", v);
    if (!isfinite(d) || fabs(d) > 1e18) {
        return vmt_fail(s->err, VMT_E_INVALID, "config.json: %s%s is %g, which can't be right", s->prefix, key, d);
    }
    *out = d;
    return VMT_OK;
}

static vmt_status get_f32(const struct source *s, const char *key, float *out) {
    double d = (double)*out;
    VMT_TRY(get_f64(s, key, &d));
    *out = (float)d;
    return VMT_OK;
}

static vmt_status get_bool(const struct source *s, const char *key, bool *out) {
    vmt_json v = member(s, key);
    if (!vmt_json_exists(v) || vmt_json_get_bool(v, out)) return VMT_OK;
    return wrong_type(s, key, "true or false", v);
}

static vmt_status get_str(const struct source *s, const char *key, vmt_str *out) {
    vmt_json v = member(s, key);
    if (!vmt_json_exists(v) || vmt_json_get_str(v, out)) return VMT_OK;
    return wrong_type(s, key, "a string", v);
}

static vmt_status read_family(vmt_model_config *c, const struct source *s) {
    vmt_str arch = {0};
    vmt_json value, list = member(s, "architectures");
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, NULL, &value);) {
        vmt_str name;
        if (!vmt_json_get_str(value, &name)) continue;
        if (arch.len == 0) arch = name;
        c->family = vmt_family_by_hf_arch(name);
        if (c->family != NULL) return VMT_OK;
    }
    char names[180];
    if (arch.len == 0) {
        return vmt_fail(s->err, VMT_E_INVALID, "config.json: architectures is missing; supported are %s",
                        vmt_family_list(false, names, sizeof names));
    }
    return vmt_fail(s->err, VMT_E_UNSUPPORTED, "architecture %.*s is not supported; supported are %s",
                    (int)VMT_MIN(arch.len, 60), arch.ptr, vmt_family_list(false, names, sizeof names));
}

static vmt_status read_shape(vmt_model_config *c, const struct source *s) {
    VMT_TRY(need_u32(s, "num_hidden_layers", 1, VMT_LAYERS_MAX, &c->num_layers));
    VMT_TRY(need_u32(s, "hidden_size", 1, VMT_HIDDEN_MAX, &c->hidden));
    VMT_TRY(need_u32(s, "intermediate_size", 1, VMT_INTERMEDIATE_MAX, &c->intermediate));
    VMT_TRY(need_u32(s, "num_attention_heads", 1, VMT_HEADS_MAX, &c->num_heads));
    VMT_TRY(need_u32(s, "vocab_size", 1, VMT_MODEL_VOCAB_MAX, &c->vocab));
    c->num_kv_heads = c->num_heads;
    VMT_TRY(get_u32(s, "num_key_value_heads", 1, c->num_heads, &c->num_kv_heads));
    c->head_dim = c->hidden / c->num_heads;
    VMT_TRY(get_u32(s, "head_dim", 1, VMT_HEAD_DIM_MAX, &c->head_dim));
    c->context_max = c->family->context_default;
    VMT_TRY(get_u32(s, "max_position_embeddings", 1, VMT_CONTEXT_MAX, &c->context_max));
    c->norm_eps = 1e-6f;
    return get_f32(s, "rms_norm_eps", &c->norm_eps);
}

static vmt_status read_activation(vmt_model_config *c, const struct source *s) {
    static const struct {
        const char *name;
        vmt_activation act;
    } names[] = {
        {"silu", VMT_ACT_SILU},
        {"swish", VMT_ACT_SILU},
        {"gelu", VMT_ACT_GELU},
        {"gelu_new", VMT_ACT_GELU_TANH},
        {"gelu_pytorch_tanh", VMT_ACT_GELU_TANH},
    };
    vmt_str act = VMT_STR("silu");
    VMT_TRY(get_str(s, "hidden_act", &act));
    for (size_t i = 0; i < VMT_COUNT(names); i++) {
        if (!vmt_str_eq_c(act, names[i].name)) continue;
        c->act = names[i].act;
        return VMT_OK;
    }
    return vmt_fail(s->err, VMT_E_UNSUPPORTED,
                    "config.json: hidden_act '%.*s' is not supported; supported are silu, gelu, gelu_pytorch_tanh",
                    (int)VMT_MIN(act.len, 40), act.ptr);
}

static vmt_status read_facts(vmt_model_config *c, const struct source *s) {
    const vmt_family *f = c->family;
    bool attention_bias = false, mlp_bias = false;
    VMT_TRY(get_bool(s, "attention_bias", &attention_bias));
    VMT_TRY(get_bool(s, "mlp_bias", &mlp_bias));
    c->qkv_bias = f->qkv_bias == VMT_FACT_CONFIG ? attention_bias : f->qkv_bias == VMT_FACT_YES;
    c->o_bias = f->o_bias == VMT_FACT_CONFIG ? attention_bias : f->o_bias == VMT_FACT_YES;
    c->mlp_bias = f->mlp_bias == VMT_FACT_CONFIG ? mlp_bias : f->mlp_bias == VMT_FACT_YES;
    c->qk_norm = f->qk_norm == VMT_FACT_YES;
    c->tied_head = f->tied_head_default;
    VMT_TRY(get_bool(s, "tie_word_embeddings", &c->tied_head));
    if (f->has_multipliers) {
        VMT_TRY(get_f32(s, "embedding_multiplier", &c->embedding_multiplier));
        VMT_TRY(get_f32(s, "residual_multiplier", &c->residual_multiplier));
        c->attention_scale = 1.0f; /* the family's own default, not 1/sqrt(head_dim) */
        VMT_TRY(get_f32(s, "attention_multiplier", &c->attention_scale));
        VMT_TRY(get_f32(s, "logits_scaling", &c->logits_scaling));
    }
    vmt_str dtype = {0};
    VMT_TRY(get_str(s, "torch_dtype", &dtype));
    VMT_TRY(get_str(s, "dtype", &dtype));
    c->dtype = VMT_F32;
    if (vmt_str_eq_c(dtype, "bfloat16")) c->dtype = VMT_BF16;
    if (vmt_str_eq_c(dtype, "float16")) c->dtype = VMT_F16;
    return VMT_OK;
}

/* One value per layer: 0 or 1, or a layer type. */
static vmt_status read_no_rope(vmt_model_config *c, const struct source *s) {
    uint32_t interval = c->family->no_rope_interval, i = 0;
    memset(c->layer_has_rope, 1, sizeof c->layer_has_rope);
    if (interval == 0) return VMT_OK;
    VMT_TRY(get_u32(s, "no_rope_layer_interval", 1, VMT_LAYERS_MAX, &interval));
    for (i = 0; i < c->num_layers; i++) c->layer_has_rope[i] = (i + 1) % interval != 0;
    vmt_json value, list = member(s, "no_rope_layers");
    if (!vmt_json_exists(list)) return VMT_OK;
    i = 0;
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, NULL, &value); i++) {
        uint64_t v;
        if (!vmt_json_get_u64(value, &v) || v > 1) return wrong_type(s, "no_rope_layers[i]", "0 or 1", value);
        if (i < c->num_layers) c->layer_has_rope[i] = (uint8_t)v; /* 1 means that it has RoPE, despite the name */
    }
    if (i == c->num_layers) return VMT_OK;
    return vmt_fail(s->err, VMT_E_INVALID, "config.json: no_rope_layers has %u entries, num_hidden_layers is %u",
                    i, c->num_layers);
}

static vmt_status read_layer_types(vmt_model_config *c, const struct source *s, vmt_json list) {
    uint32_t i = 0;
    vmt_json value;
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, NULL, &value); i++) {
        vmt_str type;
        if (!vmt_json_get_str(value, &type)) return wrong_type(s, "layer_types[i]", "a string", value);
        bool sliding = vmt_str_eq_c(type, "sliding_attention");
        if (!sliding && !vmt_str_eq_c(type, "full_attention")) {
            return vmt_fail(s->err, VMT_E_UNSUPPORTED,
                            "config.json: layer type '%.*s' is not supported; supported are full_attention and "
                            "sliding_attention",
                            (int)VMT_MIN(type.len, 40), type.ptr);
        }
        if (i < c->num_layers) c->layer_is_sliding[i] = sliding;
    }
    if (i == c->num_layers) return VMT_OK;
    return vmt_fail(s->err, VMT_E_INVALID, "config.json: layer_types has %u entries, num_hidden_layers is %u", i,
                    c->num_layers);
}

static vmt_status read_window(vmt_model_config *c, const struct source *s) {
    vmt_window_rule rule = c->family->window;
    uint32_t window = 0, first = c->num_layers;
    bool use = rule == VMT_WINDOW_ALL;
    if (rule == VMT_WINDOW_NONE) return VMT_OK;
    VMT_TRY(get_u32(s, "sliding_window", 0, VMT_CONTEXT_MAX, &window));
    if (!use) VMT_TRY(get_bool(s, "use_sliding_window", &use));
    VMT_TRY(get_u32(s, "max_window_layers", 0, UINT32_MAX, &first));
    if (!use || window == 0) return VMT_OK;
    c->sliding_window = window;
    vmt_json list = member(s, "layer_types");
    if (vmt_json_exists(list)) return read_layer_types(c, s, list);
    for (uint32_t i = 0; i < c->num_layers; i++) {
        c->layer_is_sliding[i] = rule == VMT_WINDOW_ALL || (rule == VMT_WINDOW_UPPER_LAYERS && i >= first) ||
                                 (rule == VMT_WINDOW_NO_ROPE && !c->layer_has_rope[i]);
    }
    return VMT_OK;
}

static vmt_status read_factors(const struct source *s, const char *key, uint32_t want, float *out) {
    vmt_json value, list = member(s, key);
    uint32_t n = 0;
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, NULL, &value); n++) {
        double d;
        if (!vmt_json_get_f64(value, &d) || !(d > 0) || !isfinite(d)) {
            return wrong_type(s, key, "a list of positive numbers", value);
        }
        if (n < want) out[n] = (float)d;
    }
    if (n == want) return VMT_OK;
    return vmt_fail(s->err, VMT_E_INVALID, "config.json: %s%s has %u entries, half of the rotary dimension is %u",
                    s->prefix, key, n, want);
}

static double yarn_mscale(double factor, double mscale) {
    return factor <= 1.0 ? 1.0 : 0.1 * mscale * log(factor) + 1.0;
}

static vmt_status read_yarn(vmt_model_config *c, const struct source *s) {
    double mscale = 0, mscale_all = 0;
    c->yarn_beta_fast = 32.0;
    c->yarn_beta_slow = 1.0;
    VMT_TRY(get_f64(s, "beta_fast", &c->yarn_beta_fast));
    VMT_TRY(get_f64(s, "beta_slow", &c->yarn_beta_slow));
    VMT_TRY(get_f64(s, "mscale", &mscale));
    VMT_TRY(get_f64(s, "mscale_all_dim", &mscale_all));
    if (c->rope_attention_factor == 0 && mscale != 0 && mscale_all != 0) {
        c->rope_attention_factor = yarn_mscale(c->rope_factor, mscale) / yarn_mscale(c->rope_factor, mscale_all);
    }
    bool truncate = true;
    VMT_TRY(get_bool(s, "truncate", &truncate));
    if (truncate) return VMT_OK;
    return vmt_fail(s->err, VMT_E_UNSUPPORTED, "config.json: %struncate = false is not supported", s->prefix);
}

static vmt_status read_scaling(vmt_model_config *c, const struct source *s, vmt_str type) {
    static const struct {
        const char *name;
        vmt_rope_scaling scaling;
    } names[] = {
        {"default", VMT_ROPE_PLAIN},   {"linear", VMT_ROPE_LINEAR}, {"llama3", VMT_ROPE_LLAMA3},
        {"yarn", VMT_ROPE_YARN},       {"su", VMT_ROPE_LONGROPE},   {"longrope", VMT_ROPE_LONGROPE},
        {"dynamic", VMT_ROPE_DYNAMIC},
    };
    size_t i = 0;
    while (i < VMT_COUNT(names) && !vmt_str_eq_c(type, names[i].name)) i++;
    if (i == VMT_COUNT(names)) {
        return vmt_fail(
            s->err, VMT_E_UNSUPPORTED,
            "config.json: rope type '%.*s' is not supported; supported are default, linear, llama3, yarn, "
            "longrope, dynamic",
            (int)VMT_MIN(type.len, 40), type.ptr);
    }
    c->rope_scaling = names[i].scaling;
    VMT_TRY(get_f64(s, "factor", &c->rope_factor));
    VMT_TRY(get_f64(s, "attention_factor", &c->rope_attention_factor));
    VMT_TRY(get_u32(s, "original_max_position_embeddings", 1, VMT_CONTEXT_MAX, &c->rope_original_context));
    if (c->rope_original_context == 0) c->rope_original_context = c->context_max;
    bool needs_factor = c->rope_scaling != VMT_ROPE_PLAIN && c->rope_scaling != VMT_ROPE_LONGROPE;
    if (needs_factor && !(c->rope_factor >= 1.0)) {
        return vmt_fail(s->err, VMT_E_INVALID, "config.json: %sfactor is %g, it must be at least 1", s->prefix,
                        c->rope_factor);
    }
    if (c->rope_scaling == VMT_ROPE_LLAMA3) {
        c->rope_low_freq_factor = 1.0;
        c->rope_high_freq_factor = 4.0;
        VMT_TRY(get_f64(s, "low_freq_factor", &c->rope_low_freq_factor));
        VMT_TRY(get_f64(s, "high_freq_factor", &c->rope_high_freq_factor));
    }
    if (c->rope_scaling == VMT_ROPE_YARN) VMT_TRY(read_yarn(c, s));
    if (c->rope_scaling == VMT_ROPE_LONGROPE) {
        VMT_TRY(read_factors(s, "short_factor", c->rotary_dim / 2, c->longrope_short));
        VMT_TRY(read_factors(s, "long_factor", c->rotary_dim / 2, c->longrope_long));
    }
    return VMT_OK;
}

/* transformers 4: rope_theta, rope_scaling, partial_rotary_factor at the top; 5: all inside rope_parameters. */
static vmt_status read_rope(vmt_model_config *c, const struct source *s) {
    struct source r = {member(s, "rope_parameters"), "rope_parameters.", s->err};
    if (!vmt_json_exists(r.obj)) r = (struct source){member(s, "rope_scaling"), "rope_scaling.", s->err};
    double partial = 1.0;
    c->rope_theta = c->family->rope_theta_default;
    VMT_TRY(get_f64(s, "rope_theta", &c->rope_theta));
    VMT_TRY(get_f64(&r, "rope_theta", &c->rope_theta));
    VMT_TRY(get_f64(s, "partial_rotary_factor", &partial));
    VMT_TRY(get_f64(&r, "partial_rotary_factor", &partial));
    if (!(c->rope_theta > 1.0)) {
        return vmt_fail(s->err, VMT_E_INVALID, "config.json: rope_theta is %g, it must be above 1", c->rope_theta);
    }
    if (!(partial > 0 && partial <= 1.0)) {
        return vmt_fail(s->err, VMT_E_INVALID, "config.json: partial_rotary_factor is %g, it must be in (0, 1]",
                        partial);
    }
    c->rotary_dim = (uint32_t)(c->head_dim * partial);
    VMT_TRY(get_u32(s, "original_max_position_embeddings", 1, VMT_CONTEXT_MAX, &c->rope_original_context));
    vmt_str type = VMT_STR("default");
    VMT_TRY(get_str(&r, "type", &type));
    VMT_TRY(get_str(&r, "rope_type", &type));
    return read_scaling(c, &r, type);
}

static vmt_status read_tokens(vmt_model_config *c, const struct source *s) {
    vmt_json v = member(s, "bos_token_id"), e = member(s, "eos_token_id"), one;
    int64_t id;
    if (vmt_json_get_i64(v, &id) && id >= 0 && id < INT32_MAX) c->bos_id = (int32_t)id;
    if (vmt_json_get_i64(e, &id) && id >= 0 && id < INT32_MAX) c->eos_ids[c->num_eos_ids++] = (int32_t)id;
    for (vmt_json_iter it = vmt_json_iter_begin(e); vmt_json_iter_next(&it, NULL, &one);) {
        if (!vmt_json_get_i64(one, &id) || id < 0 || id >= INT32_MAX) {
            return wrong_type(s, "eos_token_id[i]", "a token id", one);
        }
        if (c->num_eos_ids == VMT_EOS_IDS_MAX) {
            return vmt_fail(s->err, VMT_E_INVALID, "config.json: eos_token_id lists more than %u ids",
                            VMT_EOS_IDS_MAX);
        }
        c->eos_ids[c->num_eos_ids++] = (int32_t)id;
    }
    return VMT_OK;
}

/* MLX's section (and its copy under the other name) has a mode, or older ones none: then it is affine.  Its bits and
 * groups, of all layers or of some, are not read here: the tensors' shapes say them. */
static vmt_status check_mlx(const struct source *s, vmt_json q) {
    vmt_str mode = VMT_STR("affine");
    (void)vmt_json_get_str(VMT_JSON_AT(q, "mode"), &mode);
    if (vmt_str_eq_c(mode, "affine") || vmt_str_eq_c(mode, "mxfp4")) return VMT_OK;
    return vmt_fail(s->err, VMT_E_UNSUPPORTED,
                    "config.json: quantization mode '%.*s' is not supported; supported are affine and mxfp4",
                    (int)VMT_MIN(mode.len, 40), mode.ptr);
}

static vmt_status check_quantization(const struct source *s) {
    vmt_json mlx = member(s, "quantization"), q = member(s, "quantization_config");
    if (vmt_json_typeof(mlx) == VMT_JSON_OBJECT) return check_mlx(s, mlx);
    if (!vmt_json_exists(q)) return VMT_OK;
    vmt_str method = VMT_STR("?");
    (void)vmt_json_get_str(VMT_JSON_AT(q, "quant_method"), &method);
    return vmt_fail(
        s->err, VMT_E_UNSUPPORTED,
        "config.json: quantization '%.*s' is not supported; use the unquantized checkpoint or a GGUF file",
        (int)VMT_MIN(method.len, 40), method.ptr);
}

vmt_status vmt_model_config_from_json(vmt_model_config *out, vmt_json config, vmt_err *err) {
    vmt_model_config_init(out);
    struct source s = {config, "", err};
    if (vmt_json_typeof(config) != VMT_JSON_OBJECT) {
        return vmt_fail(err, VMT_E_INVALID, "config.json is %s, expected an object",
                        vmt_json_type_name(vmt_json_typeof(config)));
    }
    VMT_TRY(read_family(out, &s));
    VMT_TRY(check_quantization(&s));
    VMT_TRY(read_shape(out, &s));
    VMT_TRY(read_activation(out, &s));
    VMT_TRY(read_facts(out, &s));
    VMT_TRY(read_no_rope(out, &s));
    VMT_TRY(read_window(out, &s));
    VMT_TRY(read_rope(out, &s));
    VMT_TRY(read_tokens(out, &s));
    return vmt_model_config_check(out, err);
}

void vmt_model_config_init(vmt_model_config *config) {
    memset(config, 0, sizeof *config);
    config->embedding_multiplier = config->residual_multiplier = config->logits_scaling = 1.0f;
    config->bos_id = -1;
    memset(config->layer_has_rope, 1, sizeof config->layer_has_rope);
}

vmt_status vmt_model_config_check(const vmt_model_config *c, vmt_err *err) {
    if (c->num_heads % c->num_kv_heads != 0) {
        return vmt_fail(err, VMT_E_INVALID, "model config: %u heads are not a multiple of %u key-value heads",
                        c->num_heads, c->num_kv_heads);
    }
    if (c->head_dim < 8 || c->head_dim > VMT_HEAD_DIM_MAX || c->head_dim % 8 != 0) {
        return vmt_fail(err, VMT_E_UNSUPPORTED,
                        "model config: head_dim is %u, supported are multiples of 8 up to %u", c->head_dim,
                        VMT_HEAD_DIM_MAX);
    }
    if (c->rotary_dim < 2 || c->rotary_dim > c->head_dim || c->rotary_dim % 2 != 0) {
        return vmt_fail(err, VMT_E_INVALID, "model config: the rotary dimension is %u, head_dim is %u",
                        c->rotary_dim, c->head_dim);
    }
    if (!(c->norm_eps >= 0 && c->norm_eps < 1)) {
        return vmt_fail(err, VMT_E_INVALID, "model config: the norm's epsilon is %g", (double)c->norm_eps);
    }
    if (!(c->logits_scaling != 0) || !isfinite(c->logits_scaling)) {
        return vmt_fail(err, VMT_E_INVALID, "model config: logits_scaling is %g", (double)c->logits_scaling);
    }
    return VMT_OK;
}
