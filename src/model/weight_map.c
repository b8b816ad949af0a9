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

/* A checkpoint saved from the decoder without its head has no "model." before its names. */
#define BACKBONE_PREFIX "model."

/* name, or what this file calls it. */
static const char *name_in(const vmt_weight_file *file, const char *name) {
    vmt_tensor ignored;
    size_t skip = strlen(BACKBONE_PREFIX);
    if (strncmp(name, BACKBONE_PREFIX, skip) != 0) return name;
    if (vmt_weight_file_find(file, vmt_str_from(name), &ignored)) return name;
    return vmt_weight_file_find(file, vmt_str_from(name + skip), &ignored) ? name + skip : name;
}

static vmt_status wrong_shape(const char *name, const vmt_tensor *got, const char *want, vmt_err *err) {
    char text[96];
    return vmt_fail(err, VMT_E_INVALID, "%s is %s, expected %s", name, vmt_tensor_describe(got, text, sizeof text),
                    want);
}

/* "a.b.scales" for "a.b.weight". */
static const char *sibling(const char *name, const char *ending, char out[VMT_WEIGHT_NAME_MAX]) {
    snprintf(out, VMT_WEIGHT_NAME_MAX, "%.*s%s", (int)(strlen(name) - strlen(".weight")), name, ending);
    return out;
}

static vmt_status get_mlx(const vmt_weight_file *file, const char *name, uint32_t rows, uint32_t cols,
                          const vmt_tensor *data, vmt_matrix *out, vmt_err *err) {
    char scales_name[VMT_WEIGHT_NAME_MAX], biases_name[VMT_WEIGHT_NAME_MAX];
    vmt_tensor scales, biases;
    VMT_TRY(vmt_weight_file_get(file, vmt_str_from(sibling(name, ".scales", scales_name)), &scales, err));
    bool has_biases = vmt_weight_file_find(file, vmt_str_from(sibling(name, ".biases", biases_name)), &biases);
    char want[80];
    if (data->ndim != 2 || data->shape[0] != rows || data->shape[1] > cols / 4) {
        snprintf(want, sizeof want, "the packed quants of [%u, %u]", rows, cols);
        return wrong_shape(name, data, want, err);
    }
    if (scales.ndim != 2 || scales.shape[1] == 0 || cols % scales.shape[1] != 0) {
        snprintf(want, sizeof want, "a scale per group of %u columns", cols);
        return wrong_shape(scales_name, &scales, want, err);
    }
    vmt_err why = {0};
    vmt_status status =
        vmt_matrix_of_mlx(out, data, &scales, has_biases ? &biases : NULL, (uint32_t)(data->shape[1] * 32 / cols),
                          (uint32_t)(cols / scales.shape[1]), &why);
    if (status != VMT_OK) return vmt_fail(err, status, "%s: %s", name, why.msg);
    if (out->cols == cols) return VMT_OK;
    snprintf(want, sizeof want, "the packed quants of [%u, %u]", rows, cols);
    return wrong_shape(name, data, want, err);
}

vmt_status vmt_weight_map_matrix(const vmt_weight_file *file, const char *name, uint32_t rows, uint32_t cols,
                                 vmt_matrix *out, vmt_err *err) {
    vmt_tensor data;
    name = name_in(file, name);
    VMT_TRY(vmt_weight_file_get(file, vmt_str_from(name), &data, err));
    if (data.dtype == VMT_U32) return get_mlx(file, name, rows, cols, &data, out, err);
    if (data.ndim != 2 || data.shape[0] != rows || data.shape[1] != cols) {
        char want[48];
        snprintf(want, sizeof want, "[%u, %u]", rows, cols);
        return wrong_shape(name, &data, want, err);
    }
    if (vmt_dtype_get(data.dtype)->dequantize == NULL)
        return wrong_shape(name, &data, "a floating-point type", err);
    *out = vmt_matrix_of(&data);
    return VMT_OK;
}

vmt_status vmt_weight_map_vector(const vmt_weight_file *file, const char *name, uint32_t len, vmt_tensor *out,
                                 vmt_err *err) {
    name = name_in(file, name);
    VMT_TRY(vmt_weight_file_get(file, vmt_str_from(name), out, err));
    if (out->ndim == 1 && out->shape[0] == len && vmt_dtype_get(out->dtype)->dequantize != NULL) return VMT_OK;
    char want[48];
    snprintf(want, sizeof want, "[%u]", len);
    return wrong_shape(name, out, want, err);
}
