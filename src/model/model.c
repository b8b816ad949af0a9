/* model/model.c: ties config, weights and decoder together. */
#include "model/model.h"
#include "model/decoder.h"
#include <stdlib.h>

struct vmt_model {
    vmt_model_config config;
    vmt_backend *be;
    vmt_weights weights;
    vmt_decoder decoder; /* zero until kv_create() */
};

vmt_status vmt_model_open(vmt_model **out, const vmt_model_config *config, const vmt_weight_file *weights,
                          vmt_backend *be, vmt_model_progress progress, vmt_err *err) {
    *out = NULL;
    vmt_model *m = calloc(1, sizeof *m);
    if (m == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a model");
    m->config = *config;
    m->be = be;
    vmt_status status = vmt_weights_load(&m->weights, &m->config, weights, be, progress, err);
    if (status != VMT_OK) {
        vmt_model_close(m);
        return status;
    }
    *out = m;
    return VMT_OK;
}

void vmt_model_close(vmt_model *model) {
    if (model == NULL) return;
    vmt_decoder_reset(&model->decoder);
    vmt_weights_reset(&model->weights, model->be);
    free(model);
}

const vmt_model_config *vmt_model_get_config(const vmt_model *model) {
    return &model->config;
}

uint64_t vmt_model_weight_bytes(const vmt_model *model) {
    return model->weights.bytes;
}

size_t vmt_model_kv_block_bytes(const vmt_model *model, uint32_t block_size, vmt_dtype dtype) {
    vmt_kv_layout layout = {block_size, model->config.num_kv_heads, model->config.head_dim, dtype};
    return 2 * model->config.num_layers * vmt_kv_block_bytes(&layout);
}

size_t vmt_model_scratch_bytes(const vmt_model *model, const vmt_model_kv_options *options) {
    return vmt_decoder_scratch_bytes(&model->config, options, model->be);
}

vmt_status vmt_model_kv_create(vmt_model *model, const vmt_model_kv_options *options, vmt_err *err) {
    vmt_decoder_reset(&model->decoder);
    vmt_status status =
        vmt_decoder_init(&model->decoder, model->be, &model->config, &model->weights, options, err);
    if (status != VMT_OK) vmt_decoder_reset(&model->decoder);
    return status;
}

static vmt_status forward(void *self, const vmt_batch *batch, float **logits, vmt_err *err) {
    vmt_model *m = self;
    return vmt_decoder_forward(&m->decoder, batch, logits, err);
}

vmt_runner vmt_model_runner(vmt_model *model) {
    VMT_ASSERT(model->decoder.be != NULL);
    return (vmt_runner){
        .self = model,
        .vocab = model->config.vocab,
        .hidden = model->config.headless ? model->config.hidden : 0,
        .max_model_len = model->config.context_max,
        .forward = forward,
    };
}
