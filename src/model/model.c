/* model/model.c: ties config, weights and decoder together. */
#include "model/model.h"
#include "model/decoder.h"
#include "base/clock.h"
#include "base/log.h"
#include "model/gpu_decoder.h"
#include "ops/gpu_checks.h"
#include <stdlib.h>

#define GPU_FORMATS_MAX 64u /* more formats and columns than a file has */

struct vmt_model {
    vmt_model_config config;
    vmt_backend *be;
    vmt_weights weights;
    vmt_decoder decoder; /* zero until kv_create() */
    /* on a GPU, instead of be, weights and decoder */
    vmt_gpu *gpu;
    vmt_gpu_weights gpu_weights;
    vmt_gpu_decoder *gpu_decoder; /* NULL until kv_create() */
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

vmt_status vmt_model_open_gpu(vmt_model **out, const vmt_model_config *config, const vmt_weight_file *weights,
                              vmt_gpu *gpu, vmt_dtype type, vmt_err *err) {
    *out = NULL;
    vmt_model *m = calloc(1, sizeof *m);
    if (m == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a model");
    m->config = *config;
    m->gpu = gpu;
    vmt_status status = vmt_gpu_weights_load(&m->gpu_weights, &m->config, weights, gpu, type, err);
    if (status != VMT_OK) {
        vmt_model_close(m);
        return status;
    }
    *out = m;
    return VMT_OK;
}

static uint32_t add_formats(const vmt_gpu_linear *linear, vmt_matrix *out, uint32_t num) {
    for (uint32_t i = 0; i < linear->num_parts; i++) {
        bool is_known = false;
        for (uint32_t k = 0; k < num; k++)
            is_known = is_known || vmt_gpu_weights_alike(&linear->parts[i], &out[k]);
        if (!is_known && num < GPU_FORMATS_MAX) out[num++] = linear->parts[i];
    }
    return num;
}

vmt_status vmt_model_check_gpu(const vmt_model *m, vmt_err *err) {
    const vmt_gpu_weights *w = &m->gpu_weights;
    vmt_matrix formats[GPU_FORMATS_MAX] = {w->embed};
    uint32_t num = add_formats(&w->head, formats, 1);
    for (uint32_t i = 0; i < w->num_layers; i++) {
        num = add_formats(&w->layers[i].qkv, formats, num);
        num = add_formats(&w->layers[i].o, formats, num);
        num = add_formats(&w->layers[i].gate_up, formats, num);
        num = add_formats(&w->layers[i].down, formats, num);
    }
    vmt_gpu_check_selection selection = {w->type, formats, num, m->config.head_dim};
    vmt_gpu_check_counts counts;
    uint64_t begin_ns = vmt_clock_ns();
    VMT_TRY(vmt_gpu_checks_run(m->gpu, &selection, NULL, NULL, &counts, err));
    vmt_log_info("event=gpu_checked device=%s checks=%u wrong=%u ms=%.0f", m->gpu->driver, counts.num_checks,
                 counts.num_wrong, (double)(vmt_clock_ns() - begin_ns) * 1e-6);
    return VMT_OK;
}

void vmt_model_close(vmt_model *model) {
    if (model == NULL) return;
    bool is_idle = vmt_gpu_decoder_destroy(model->gpu_decoder);
    if (model->gpu && is_idle) vmt_gpu_weights_reset(&model->gpu_weights);
    vmt_decoder_reset(&model->decoder);
    vmt_weights_reset(&model->weights, model->be);
    free(model);
}

const vmt_model_config *vmt_model_get_config(const vmt_model *model) {
    return &model->config;
}

uint64_t vmt_model_weight_bytes(const vmt_model *model) {
    return model->gpu ? model->gpu_weights.bytes : model->weights.bytes;
}

vmt_dtype vmt_model_type(const vmt_model *model) {
    VMT_ASSERT(model->gpu != NULL);
    return model->gpu_weights.type;
}

size_t vmt_model_kv_block_bytes(const vmt_model *model, uint32_t block_size, vmt_dtype dtype) {
    if (model->gpu) return vmt_gpu_decoder_block_bytes(&model->config, block_size, dtype);
    vmt_kv_layout layout = {block_size, model->config.num_kv_heads, model->config.head_dim, dtype};
    return 2 * model->config.num_layers * vmt_kv_block_bytes(&layout);
}

size_t vmt_model_scratch_bytes(const vmt_model *model, const vmt_model_kv_options *options) {
    if (model->gpu) return vmt_gpu_decoder_scratch_bytes(&model->config, &model->gpu_weights, options);
    return vmt_decoder_scratch_bytes(&model->config, options, model->be);
}

vmt_status vmt_model_kv_create(vmt_model *model, const vmt_model_kv_options *options, vmt_err *err) {
    if (model->gpu) {
        if (!vmt_gpu_decoder_destroy(model->gpu_decoder)) {
            return vmt_fail(err, VMT_E_IO, "a step of the GPU does not end");
        }
        model->gpu_decoder = NULL;
        return vmt_gpu_decoder_create(&model->gpu_decoder, &model->config, &model->gpu_weights, options, err);
    }
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

static vmt_status launch(void *self, const vmt_batch *batch, const vmt_sample_batch *samples, vmt_err *err) {
    vmt_model *m = self;
    return vmt_gpu_decoder_launch(m->gpu_decoder, batch, samples, err);
}

static vmt_status collect(void *self, vmt_sample_outcome *out, vmt_err *err) {
    vmt_model *m = self;
    return vmt_gpu_decoder_collect(m->gpu_decoder, out, err);
}

vmt_runner vmt_model_runner(vmt_model *model) {
    bool is_gpu = model->gpu != NULL;
    VMT_ASSERT(is_gpu ? model->gpu_decoder != NULL : model->decoder.be != NULL);
    return (vmt_runner){
        .self = model,
        .vocab = model->config.vocab,
        .hidden = model->config.headless ? model->config.hidden : 0,
        .max_model_len = model->config.context_max,
        .forward = is_gpu ? NULL : forward,
        .launch = is_gpu ? launch : NULL,
        .collect = is_gpu ? collect : NULL,
    };
}
