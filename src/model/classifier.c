#include "model/classifier.h"
#include "model/families.h"

#include <stdio.h>

#define NAME_MAX_BYTES  192
#define SCORE_NAME      "score.weight"
#define GGUF_NAME       "cls.output.weight"
#define BACKBONE_PREFIX "model."
#define BLOCK_ELEMS_MAX 256 /* of the largest quantized type */

/* A matrix of `rows` rows whose rows can be read. */
static vmt_status get_matrix(const vmt_weight_file *file, vmt_str name, uint32_t rows, uint32_t cols,
                             vmt_tensor *out, vmt_err *err) {
    char text[96];
    VMT_TRY(vmt_weight_file_get(file, name, out, err));
    if (out->ndim == 2 && out->shape[0] == rows && out->shape[1] == cols &&
        vmt_dtype_get(out->dtype)->dequantize) {
        return VMT_OK;
    }
    return vmt_fail(err, VMT_E_UNSUPPORTED, "%.*s is %s, expected [%u, %u] of a floating-point type",
                    VMT_STR_ARG(name), vmt_tensor_describe(out, text, sizeof text), rows, cols);
}

/* out += scale * row, a block of the type at a time. */
static void add_row(const vmt_tensor *matrix, uint32_t row, float scale, float *out) {
    const vmt_dtype_info *info = vmt_dtype_get(matrix->dtype);
    float elems[BLOCK_ELEMS_MAX];
    size_t blocks_per_row = matrix->shape[1] / info->block_elems;
    const uint8_t *block = (const uint8_t *)vmt_tensor_data(matrix) + row * blocks_per_row * info->block_bytes;
    VMT_ASSERT(info->block_elems <= BLOCK_ELEMS_MAX && matrix->shape[1] % info->block_elems == 0);
    for (size_t b = 0; b < blocks_per_row; b++, block += info->block_bytes) {
        info->dequantize(block, elems, info->block_elems);
        for (uint32_t i = 0; i < info->block_elems; i++) *out++ += scale * elems[i];
    }
}

vmt_status vmt_classifier_from_tokens(float *weight, const vmt_model_config *c, const vmt_weight_file *file,
                                      const int32_t *ids, uint32_t num_ids, vmt_err *err) {
    VMT_ASSERT(num_ids >= 1 && num_ids <= VMT_CLASSIFIER_TOKENS_MAX);
    const vmt_weight_names *names = vmt_weight_file_gguf(file) ? c->family->gguf_names : c->family->hf_names;
    char text[NAME_MAX_BYTES];
    vmt_tensor head;
    snprintf(text, sizeof text, "%s.weight", c->tied_head ? names->embed : names->head);
    vmt_str name = vmt_str_from(text), prefix = VMT_STR(BACKBONE_PREFIX);
    /* Saved from the decoder alone, names lack their beginning. */
    if (vmt_str_starts(name, prefix) && !vmt_weight_file_find(file, name, &head)) {
        name = vmt_str_slice(name, prefix.len, name.len);
    }
    VMT_TRY(get_matrix(file, name, c->vocab, c->hidden, &head, err));
    memset(weight, 0, c->hidden * sizeof *weight);
    float scale = 1.0f / c->logits_scaling;
    for (uint32_t i = 0; i < num_ids; i++) {
        bool is_less = num_ids == 2 && i == 0;
        VMT_ASSERT(ids[i] >= 0 && (uint32_t)ids[i] < c->vocab);
        add_row(&head, (uint32_t)ids[i], is_less ? -scale : scale, weight);
    }
    return VMT_OK;
}

vmt_status vmt_classifier_from_file(float *weight, const vmt_model_config *c, const vmt_weight_file *file,
                                    vmt_err *err) {
    bool is_gguf = vmt_weight_file_gguf(file) != NULL;
    vmt_str name = is_gguf ? VMT_STR(GGUF_NAME) : VMT_STR(SCORE_NAME);
    vmt_tensor score;
    bool is_pair = is_gguf && vmt_weight_file_find(file, name, &score) && score.ndim == 2 && score.shape[0] == 2;
    VMT_TRY(get_matrix(file, name, is_pair ? 2 : 1, c->hidden, &score, err));
    memset(weight, 0, c->hidden * sizeof *weight);
    add_row(&score, 0, 1, weight);
    if (is_pair) add_row(&score, 1, -1, weight);
    return VMT_OK;
}
