/* model/decoder.c: see the header. */
#include "model/decoder.h"
#include "base/checked.h"
#include <math.h>

#define SCRATCH_ALIGN 64u

/* Lays tensors out one after the other: with out NULL it only counts. */
struct planner {
    vmt_buffer *buffer;
    size_t bytes;
};

static vmt_tensor place(struct planner *p, uint64_t rows, uint64_t cols) {
    vmt_tensor t = {p->buffer, p->bytes, VMT_F32, 2, {rows, cols}};
    size_t bytes = (size_t)rows * (size_t)cols * sizeof(float);
    p->bytes += (bytes + SCRATCH_ALIGN - 1) & ~(size_t)(SCRATCH_ALIGN - 1);
    return t;
}

static vmt_kv_layout kv_layout(const vmt_model_config *c, uint32_t block_size, vmt_dtype dtype) {
    return (vmt_kv_layout){block_size, c->num_kv_heads, c->head_dim, dtype};
}

static size_t plan_scratch(vmt_decoder *d, const vmt_model_config *c, const vmt_model_kv_options *o,
                           vmt_backend *be, vmt_buffer *buffer) {
    struct planner p = {buffer, 0};
    uint64_t rows = o->tokens_max;
    vmt_kv_layout kv = kv_layout(c, o->block_size, o->dtype);
    size_t work = vmt_attention_scratch_bytes(&kv, c->num_heads, o->context_max, o->tokens_max, be->num_workers);
    d->hidden = place(&p, rows, c->hidden);
    d->normed = place(&p, rows, c->hidden);
    d->qkv = place(&p, rows, (uint64_t)(c->num_heads + 2 * c->num_kv_heads) * c->head_dim);
    d->attn = place(&p, rows, (uint64_t)c->num_heads * c->head_dim);
    d->gate_up = place(&p, rows, 2 * (uint64_t)c->intermediate);
    d->act = place(&p, rows, c->intermediate);
    d->angles = place(&p, rows, c->rotary_dim);
    d->last = place(&p, o->logits_max, c->hidden);
    d->logits = place(&p, c->headless ? 0 : o->logits_max, c->vocab);
    d->work = place(&p, 1, work / sizeof(float) + 1);
    return p.bytes;
}

size_t vmt_decoder_scratch_bytes(const vmt_model_config *config, const vmt_model_kv_options *options,
                                 vmt_backend *be) {
    vmt_decoder ignored = {0};
    return plan_scratch(&ignored, config, options, be, NULL);
}

static vmt_status check_options(const vmt_model_kv_options *o, vmt_err *err) {
    if (o->block_size != 8 && o->block_size != 16 && o->block_size != 32) {
        return vmt_fail(err, VMT_E_INVALID, "block size is %u, supported are 8, 16 and 32", o->block_size);
    }
    if (o->dtype != VMT_F32 && o->dtype != VMT_F16 && o->dtype != VMT_BF16) {
        return vmt_fail(err, VMT_E_INVALID, "the KV cache can't be of type %s; supported are F32, F16 and BF16",
                        vmt_dtype_get(o->dtype)->name);
    }
    if (o->num_blocks < 2 || o->tokens_max == 0 || o->logits_max == 0 || o->context_max == 0) {
        return vmt_fail(err, VMT_E_INVALID,
                        "the KV cache needs 2 blocks or more, and a token, a logit row and a context");
    }
    if ((uint64_t)o->num_blocks * o->block_size > INT32_MAX) {
        return vmt_fail(err, VMT_E_INVALID,
                        "the KV cache would have %u blocks of %u tokens, slots are numbered to 2^31",
                        o->num_blocks, o->block_size);
    }
    return VMT_OK;
}

vmt_status vmt_decoder_init(vmt_decoder *out, vmt_backend *be, const vmt_model_config *config,
                            const vmt_weights *weights, const vmt_model_kv_options *options, vmt_err *err) {
    VMT_TRY(check_options(options, err));
    out->be = be;
    out->config = config;
    out->weights = weights;
    out->options = *options;
    out->kv = kv_layout(config, options->block_size, options->dtype);
    vmt_rope_table_init(&out->rope, config, options->context_max);
    size_t cache_bytes;
    if (!vmt_mul_size(vmt_kv_block_bytes(&out->kv) * 2 * config->num_layers, options->num_blocks, &cache_bytes)) {
        return vmt_fail(err, VMT_E_NO_MEMORY, "%u blocks of KV cache overflow the address space",
                        options->num_blocks);
    }
    VMT_TRY(vmt_buffer_create(be, &out->cache, cache_bytes, err));
    size_t scratch_bytes = plan_scratch(out, config, options, be, &out->scratch);
    return vmt_buffer_create(be, &out->scratch, scratch_bytes, err);
}

void vmt_decoder_reset(vmt_decoder *decoder) {
    if (decoder->be == NULL) return;
    vmt_buffer_destroy(decoder->be, &decoder->cache);
    vmt_buffer_destroy(decoder->be, &decoder->scratch);
    *decoder = (vmt_decoder){0};
}

/* One of the layer's two caches. */
static vmt_tensor layer_cache(vmt_decoder *d, uint32_t layer, bool is_v) {
    size_t half = vmt_kv_block_bytes(&d->kv) * d->options.num_blocks;
    return (vmt_tensor){&d->cache,
                        half * (2 * (size_t)layer + is_v),
                        d->kv.dtype,
                        2,
                        {d->options.num_blocks, (uint64_t)d->kv.num_kv_heads * d->kv.head_dim * d->kv.block_size}};
}

static vmt_tensor at_column(vmt_tensor t, uint32_t column) {
    t.offset += column * sizeof(float);
    return t;
}

struct linear_call {
    const vmt_linear *linear;
    const vmt_tensor *x, *out;
    uint32_t num_rows;
    bool accumulate;
    float scale;
    const uint32_t *row_ids;
};

static vmt_status run_linear(vmt_decoder *d, const struct linear_call *call) {
    const vmt_linear *lin = call->linear;
    if (call->num_rows == 0) return VMT_OK;
    for (uint32_t i = 0; i < lin->num_parts; i++) {
        vmt_matmul_args args = {
            .weight = &lin->parts[i],
            .bias = lin->bias ? lin->bias + lin->row_begin[i] : NULL,
            .x = *call->x,
            .out = at_column(*call->out, lin->row_begin[i]),
            .num_rows = call->num_rows,
            .x_stride = (uint32_t)call->x->shape[1],
            .out_stride = (uint32_t)call->out->shape[1],
            .accumulate = call->accumulate,
            .out_scale = call->scale,
            .row_ids = call->row_ids,
        };
        VMT_TRY(vmt_matmul(d->be, &args));
    }
    return VMT_OK;
}

static vmt_status run_norm(vmt_decoder *d, const vmt_tensor *x, const vmt_tensor *out, const float *weight,
                           uint32_t num_rows) {
    vmt_rmsnorm_args args = {
        .x = *x,
        .out = *out,
        .weight = weight,
        .num_rows = num_rows,
        .cols = d->config->hidden,
        .eps = d->config->norm_eps,
    };
    return vmt_rmsnorm(d->be, &args);
}

static vmt_status run_rope(vmt_decoder *d, const vmt_layer *layer, uint32_t layer_idx, const vmt_batch *batch) {
    const vmt_model_config *c = d->config;
    bool rotate = c->layer_has_rope[layer_idx];
    if (!rotate && !c->qk_norm) return VMT_OK;
    vmt_rope_args args = {
        .x = d->qkv,
        .stride = (uint32_t)d->qkv.shape[1],
        .num_tokens = batch->num_tokens,
        .num_heads = c->num_heads + c->num_kv_heads,
        .num_norm_first = c->num_heads,
        .head_dim = c->head_dim,
        .rotary_dim = rotate ? c->rotary_dim : 0,
        .pairing = c->rope_pairing,
        .angles = d->angles,
        .norm_weight = {layer->q_norm, layer->k_norm},
        .norm_eps = c->norm_eps,
    };
    return vmt_rope(d->be, &args);
}

static vmt_status run_attention(vmt_decoder *d, uint32_t layer_idx, const vmt_batch *batch) {
    const vmt_model_config *c = d->config;
    vmt_tensor k_cache = layer_cache(d, layer_idx, false), v_cache = layer_cache(d, layer_idx, true);
    uint32_t stride = (uint32_t)d->qkv.shape[1];
    vmt_kv_write_args write = {
        .layout = d->kv,
        .k = at_column(d->qkv, c->num_heads * c->head_dim),
        .v = at_column(d->qkv, (c->num_heads + c->num_kv_heads) * c->head_dim),
        .k_stride = stride,
        .v_stride = stride,
        .k_cache = k_cache,
        .v_cache = v_cache,
        .slot_mapping = batch->slot_mapping,
        .num_tokens = batch->num_tokens,
    };
    VMT_TRY(vmt_kv_write(d->be, &write));
    vmt_attention_args args = {
        .layout = d->kv,
        .num_heads = c->num_heads,
        .q = d->qkv,
        .out = d->attn,
        .q_stride = stride,
        .out_stride = (uint32_t)d->attn.shape[1],
        .k_cache = k_cache,
        .v_cache = v_cache,
        .cu_seqlens_q = batch->cu_seqlens_q,
        .seq_lens = batch->seq_lens,
        .block_tables = batch->block_tables,
        .num_seqs = batch->num_seqs,
        .block_table_stride = batch->block_table_stride,
        .scale = c->attention_scale != 0 ? c->attention_scale : 1.0f / sqrtf((float)c->head_dim),
        .sliding_window = c->layer_is_sliding[layer_idx] ? c->sliding_window : 0,
        .scratch = d->work,
    };
    return vmt_attention(d->be, &args);
}

/* Adds the attention block's output to `hidden`, or, for the last layer, gathers the logit rows of the residual stream
 * into `last` and adds only theirs. */
static vmt_status attention_block(vmt_decoder *d, uint32_t layer_idx, const vmt_batch *batch, bool is_last) {
    const vmt_layer *layer = &d->weights->layers[layer_idx];
    VMT_TRY(run_norm(d, &d->hidden, &d->normed, layer->attn_norm, batch->num_tokens));
    struct linear_call qkv = {&layer->qkv, &d->normed, &d->qkv, batch->num_tokens, false, 1.0f, NULL};
    VMT_TRY(run_linear(d, &qkv));
    VMT_TRY(run_rope(d, layer, layer_idx, batch));
    VMT_TRY(run_attention(d, layer_idx, batch));
    struct linear_call o = {
        &layer->o, &d->attn, &d->hidden, batch->num_tokens, true, d->config->residual_multiplier, NULL};
    if (is_last) {
        vmt_gather_rows_args gather = {d->hidden, d->last, batch->logit_rows, batch->num_logits,
                                       d->config->hidden};
        VMT_TRY(vmt_gather_rows(d->be, &gather));
        o.out = &d->last;
        o.num_rows = batch->num_logits;
        o.row_ids = batch->logit_rows;
    }
    return run_linear(d, &o);
}

static vmt_status mlp_block(vmt_decoder *d, const vmt_layer *layer, const vmt_tensor *residual,
                            uint32_t num_rows) {
    const vmt_model_config *c = d->config;
    VMT_TRY(run_norm(d, residual, &d->normed, layer->mlp_norm, num_rows));
    struct linear_call gate_up = {&layer->gate_up, &d->normed, &d->gate_up, num_rows, false, 1.0f, NULL};
    VMT_TRY(run_linear(d, &gate_up));
    vmt_act_mul_args act = {d->gate_up, d->act, num_rows, c->intermediate, c->act};
    VMT_TRY(vmt_act_mul(d->be, &act));
    struct linear_call down = {&layer->down, &d->act, residual, num_rows, true, c->residual_multiplier, NULL};
    return run_linear(d, &down);
}

static vmt_status run_head(vmt_decoder *d, const vmt_batch *batch) {
    VMT_TRY(run_norm(d, &d->last, &d->normed, d->weights->final_norm, batch->num_logits));
    if (d->config->headless) return VMT_OK;
    float scale = 1.0f / d->config->logits_scaling;
    struct linear_call head = {&d->weights->head, &d->normed, &d->logits, batch->num_logits, false, scale, NULL};
    return run_linear(d, &head);
}

static vmt_status run_step(vmt_decoder *d, const vmt_batch *batch) {
    const vmt_model_config *c = d->config;
    vmt_embed_args embed = {&d->weights->embed, batch->token_ids, batch->num_tokens, d->hidden,
                            c->embedding_multiplier};
    VMT_TRY(vmt_embed(d->be, &embed));
    vmt_rope_angles_args angles = {
        .inv_freq = d->rope.inv_freq,
        .attention_factor = d->rope.attention_factor,
        .rotary_dim = c->rotary_dim,
        .positions = batch->positions,
        .num_tokens = batch->num_tokens,
        .out = d->angles,
    };
    VMT_TRY(vmt_rope_angles(d->be, &angles));
    for (uint32_t i = 0; i < c->num_layers; i++) {
        bool is_last = i + 1 == c->num_layers;
        VMT_TRY(attention_block(d, i, batch, is_last));
        const vmt_tensor *residual = is_last ? &d->last : &d->hidden;
        VMT_TRY(mlp_block(d, &d->weights->layers[i], residual, is_last ? batch->num_logits : batch->num_tokens));
    }
    return run_head(d, batch);
}

static vmt_status check_batch(const vmt_decoder *d, const vmt_batch *b, vmt_err *err) {
    const vmt_model_kv_options *o = &d->options;
    vmt_batch_limits limits = {
        .vocab = d->config->vocab,
        .num_blocks = o->num_blocks,
        .block_size = o->block_size,
        .tokens_max = o->tokens_max,
        .logits_max = VMT_MIN(o->logits_max, o->tokens_max),
        .context_max = o->context_max,
    };
    return vmt_batch_check(b, &limits, err);
}

vmt_status vmt_decoder_forward(vmt_decoder *decoder, const vmt_batch *batch, float **logits, vmt_err *err) {
    VMT_TRY(check_batch(decoder, batch, err));
    *logits = vmt_tensor_data(decoder->config->headless ? &decoder->normed : &decoder->logits);
    if (batch->num_tokens == 0) return VMT_OK;
    vmt_status status = run_step(decoder, batch);
    if (status != VMT_OK) return vmt_fail(err, status, "the step's launch failed: %s", vmt_status_name(status));
    return vmt_backend_wait(decoder->be, err);
}
