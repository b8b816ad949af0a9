/* model/weight_map.c: see the header. */
#include "model/weight_map.h"

#include <stdio.h>

const vmt_weight_names *vmt_weight_map_names(const vmt_model_config *config, const vmt_weight_file *file) {
    return vmt_weight_file_gguf(file) ? config->family->gguf_names : config->family->hf_names;
}

static vmt_linear_shape one_part(const char *pattern, uint32_t rows, uint32_t cols, bool has_bias) {
    return (vmt_linear_shape){.parts = {{pattern, rows}}, .num_parts = 1, .cols = cols, .has_bias = has_bias};
}

vmt_layer_shape vmt_weight_map_layer(const vmt_model_config *c, const vmt_weight_names *n) {
    uint32_t q_rows = c->num_heads * c->head_dim, kv_rows = c->num_kv_heads * c->head_dim;
    vmt_layer_shape shape = {
        .qkv = one_part(n->qkv, q_rows + 2 * kv_rows, c->hidden, c->qkv_bias),
        .o = one_part(n->o, c->hidden, q_rows, c->o_bias),
        .gate_up = one_part(n->gate_up, 2 * c->intermediate, c->hidden, c->mlp_bias),
        .down = one_part(n->down, c->hidden, c->intermediate, c->mlp_bias),
    };
    if (!n->qkv) {
        shape.qkv =
            (vmt_linear_shape){{{n->q, q_rows}, {n->k, kv_rows}, {n->v, kv_rows}}, 3, c->hidden, c->qkv_bias};
    }
    if (!n->gate_up) {
        shape.gate_up =
            (vmt_linear_shape){{{n->gate, c->intermediate}, {n->up, c->intermediate}}, 2, c->hidden, c->mlp_bias};
    }
    return shape;
}

vmt_linear_shape vmt_weight_map_head(const vmt_model_config *c, const vmt_weight_names *n) {
    return one_part(c->tied_head ? n->embed : n->head, c->vocab, c->hidden, false);
}

const char *vmt_weight_map_name(const char *pattern, uint32_t layer, const char *ending,
                                char out[VMT_WEIGHT_NAME_MAX]) {
    const char *mark = strstr(pattern, "%u");
    if (mark == NULL) {
        snprintf(out, VMT_WEIGHT_NAME_MAX, "%s%s", pattern, ending);
    } else {
        snprintf(out, VMT_WEIGHT_NAME_MAX, "%.*s%u%s%s", (int)(mark - pattern), pattern, layer, mark + 2, ending);
    }
    return out;
}

static vmt_status wrong_shape(const char *name, const vmt_tensor *got, const char *want, vmt_err *err) {
    char text[96];
    return vmt_fail(err, VMT_E_INVALID, "%s is %s, expected %s", name, vmt_tensor_describe(got, text, sizeof text),
                    want);
}

vmt_status vmt_weight_map_matrix(const vmt_weight_file *file, const char *name, uint32_t rows, uint32_t cols,
                                 vmt_tensor *out, vmt_err *err) {
    VMT_TRY(vmt_weight_file_get(file, vmt_str_from(name), out, err));
    if (out->ndim != 2 || out->shape[0] != rows || out->shape[1] != cols) {
        char want[48];
        snprintf(want, sizeof want, "[%u, %u]", rows, cols);
        return wrong_shape(name, out, want, err);
    }
    if (vmt_dtype_get(out->dtype)->dequantize == NULL) return wrong_shape(name, out, "a floating-point type", err);
    return VMT_OK;
}

vmt_status vmt_weight_map_vector(const vmt_weight_file *file, const char *name, uint32_t len, vmt_tensor *out,
                                 vmt_err *err) {
    VMT_TRY(vmt_weight_file_get(file, vmt_str_from(name), out, err));
    if (out->ndim == 1 && out->shape[0] == len && vmt_dtype_get(out->dtype)->dequantize != NULL) return VMT_OK;
    char want[48];
    snprintf(want, sizeof want, "[%u]", len);
    return wrong_shape(name, out, want, err);
}
