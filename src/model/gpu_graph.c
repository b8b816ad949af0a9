/* model/gpu_graph.c: a dense decoder as programs of a GPU.  The graph is that of decoder.c. */
#include "model/gpu_graph.h"

#include <math.h>

/* What is being recorded. */
struct graph {
    vmt_gpu_decoder *d;
    const vmt_gpu_step *step;
    const vmt_gpu_step *before; /* of the other flight: what the step before sampled */
    vmt_gpu_program *program;
    uint32_t rows_max;
    vmt_step_count count; /* of rows */
    vmt_err *err;
};

uint32_t vmt_gpu_class_rows(const vmt_gpu_decoder *d, uint32_t class_idx, bool is_tail) {
    uint32_t rows_max = is_tail ? VMT_MIN(d->options.logits_max, d->options.tokens_max) : d->options.tokens_max;
    uint32_t rows[VMT_NUM_GPU_CLASSES] = {1, VMT_GPU_MATMUL_NORM_ROWS, rows_max};
    return VMT_MIN(rows[class_idx], rows_max);
}

/* ---- a vendor's library for products */

static bool has_library(const vmt_gpu_decoder *d, const vmt_gpu_linear *linear, uint32_t rows_max) {
    return vmt_gpu_matmul_has_library(d->gpu, linear->parts, linear->num_parts, d->weights->type, rows_max);
}

static size_t plain_bytes(const vmt_gpu_decoder *d, const vmt_gpu_linear *linear, uint32_t rows_max) {
    return vmt_gpu_matmul_scratch_bytes(d->gpu, linear->parts, linear->num_parts, d->weights->type, rows_max);
}

size_t vmt_gpu_graph_plain_bytes(const vmt_gpu_decoder *d) {
    const vmt_gpu_weights *w = d->weights;
    uint32_t rows_max = vmt_gpu_class_rows(d, VMT_NUM_GPU_CLASSES - 1, false);
    size_t most = plain_bytes(d, &w->head, vmt_gpu_class_rows(d, VMT_NUM_GPU_CLASSES - 1, true));
    for (uint32_t i = 0; i < d->config->num_layers; i++) {
        const vmt_gpu_layer *layer = &w->layers[i];
        const vmt_gpu_linear *linears[] = {&layer->qkv, &layer->o, &layer->gate_up, &layer->down};
        for (size_t k = 0; k < VMT_COUNT(linears); k++) most = VMT_MAX(most, plain_bytes(d, linears[k], rows_max));
    }
    return most;
}

/* ---- blocks */

struct linear_call {
    const vmt_gpu_linear *linear;
    const vmt_tensor *x, *out;
    const vmt_tensor *norm;    /* of x first; NULL: x is ready */
    const vmt_tensor *row_ids; /* NULL: rows of x as they come */
    vmt_gpu_matmul_kind kind;
    float scale;
};

/* norm(x) W^T: in one dispatch where the matmul can. */
static vmt_status add_linear(struct graph *g, const struct linear_call *call) {
    vmt_gpu_decoder *d = g->d;
    const vmt_model_config *c = d->config;
    vmt_gpu_matmul_args args = {
        .num_weights = call->linear->num_parts,
        .type = d->weights->type,
        .x = *call->x,
        .bias = call->linear->bias,
        .kind = call->kind,
        .act = c->act,
        .scale = call->scale,
        .out = *call->out,
        .scratch = d->plain,
        .count = g->count,
        .rows_max = g->rows_max,
    };
    for (uint32_t i = 0; i < args.num_weights; i++) args.weights[i] = call->linear->parts[i];
    if (call->row_ids) args.row_ids = *call->row_ids;
    /* With more rows each threadgroup would norm all of them again: Q4_0, 8 rows, gate and up of an 8B take 92 us on an
     * H200, 63 without, and a norm by itself 3. */
    if (call->norm && g->rows_max == 1) {
        args.norm_weight = *call->norm;
        args.norm_eps = c->norm_eps;
    } else if (call->norm) {
        vmt_tensor normed = d->normed; /* as many rows as may come */
        normed.shape[0] = VMT_MIN(normed.shape[0], call->x->shape[0]);
        vmt_gpu_norm_args norm = {
            .kind = VMT_GPU_NORM_RMS,
            .x = *call->x,
            .weight = *call->norm,
            .out = normed,
            .count = g->count,
            .eps = c->norm_eps,
        };
        norm.out.shape[0] = call->x->shape[0]; /* a tail has fewer rows than a body */
        VMT_TRY(vmt_gpu_norm(g->program, &norm, g->err));
        args.x = normed;
    }
    return vmt_gpu_matmul(g->program, &args, g->err);
}

static vmt_status add_attention(struct graph *g, uint32_t layer_idx) {
    vmt_gpu_decoder *d = g->d;
    const vmt_model_config *c = d->config;
    const vmt_gpu_layer *layer = &d->weights->layers[layer_idx];
    struct linear_call qkv = {
        .linear = &layer->qkv,
        .x = &d->hidden,
        .out = &d->qkv,
        .norm = &layer->attn_norm,
        .kind = VMT_GPU_MATMUL_STORE,
        .scale = 1,
    };
    VMT_TRY(add_linear(g, &qkv));
    bool rotates = c->layer_has_rope[layer_idx];
    vmt_gpu_rope_args rope = {
        .qkv = d->qkv,
        .num_heads = c->num_heads,
        .rotary_dim = rotates ? c->rotary_dim : 0,
        .pairing = c->rope_pairing,
        .q_norm = layer->q_norm,
        .k_norm = layer->k_norm,
        .norm_eps = c->norm_eps,
        .slot_mapping = g->step->slot_mapping,
        .kv = d->kv[layer_idx],
    };
    if (rotates) rope.angles = d->angles;
    VMT_TRY(vmt_gpu_rope(g->program, &rope, g->err));
    vmt_gpu_attention_args attention = {
        .plan = &d->attention,
        .num_heads = c->num_heads,
        .q = d->qkv,
        .out = d->attn,
        .kv = d->kv[layer_idx],
        .block_tables = g->step->block_tables,
        .parts = g->step->parts,
        .merges = g->step->merges,
        .tiles = g->step->tiles,
        .partials = d->partials,
        .scale = c->attention_scale != 0 ? c->attention_scale : 1.0f / sqrtf((float)c->head_dim),
        .sliding_window = c->layer_is_sliding[layer_idx] ? c->sliding_window : 0,
    };
    return vmt_gpu_attention(g->program, &attention, g->err);
}

/* What follows attention, on the residual stream's rows; row_ids: which rows of attention they belong to. */
static vmt_status add_rest(struct graph *g, uint32_t layer_idx, const vmt_tensor *residual,
                           const vmt_tensor *row_ids) {
    vmt_gpu_decoder *d = g->d;
    const vmt_model_config *c = d->config;
    const vmt_gpu_layer *layer = &d->weights->layers[layer_idx];
    vmt_tensor picked = d->qkv; /* attention has read it */
    bool picks_apart = row_ids != NULL && has_library(d, &layer->o, g->rows_max);
    if (picks_apart) {
        picked.shape[0] = residual->shape[0];
        picked.shape[1] = d->attn.shape[1];
        vmt_gpu_gather_args gather = {.x = d->attn, .row_ids = *row_ids, .out = picked, .count = g->count};
        VMT_TRY(vmt_gpu_gather(g->program, &gather, g->err));
    }
    struct linear_call o = {
        .linear = &layer->o,
        .x = picks_apart ? &picked : &d->attn,
        .out = residual,
        .row_ids = picks_apart ? NULL : row_ids,
        .kind = VMT_GPU_MATMUL_RESIDUAL,
        .scale = c->residual_multiplier,
    };
    VMT_TRY(add_linear(g, &o));
    bool is_gated = vmt_gpu_weights_alike(&layer->gate_up.parts[0], &layer->gate_up.parts[1]) &&
                    !has_library(d, &layer->gate_up, g->rows_max);
    struct linear_call gate_up = {
        .linear = &layer->gate_up,
        .x = residual,
        .out = is_gated ? &d->act : &d->gate_up,
        .norm = &layer->mlp_norm,
        .kind = is_gated ? VMT_GPU_MATMUL_GATED : VMT_GPU_MATMUL_STORE,
        .scale = 1,
    };
    VMT_TRY(add_linear(g, &gate_up));
    if (!is_gated) {
        vmt_gpu_act_mul_args act = {.gate_up = d->gate_up, .out = d->act, .act = c->act, .count = g->count};
        VMT_TRY(vmt_gpu_act_mul(g->program, &act, g->err));
    }
    struct linear_call down = {
        .linear = &layer->down,
        .x = &d->act,
        .out = residual,
        .kind = VMT_GPU_MATMUL_RESIDUAL,
        .scale = c->residual_multiplier,
    };
    return add_linear(g, &down);
}

/* ---- programs */

static vmt_status record_body(struct graph *g) {
    vmt_gpu_decoder *d = g->d;
    const vmt_model_config *c = d->config;
    if (g->step->fetched.bytes > 0) VMT_TRY(vmt_gpu_upload(g->program, &g->step->upload, g->err));
    vmt_gpu_resolve_tokens_args tokens = {
        .token_ids = g->step->token_ids,
        .sources = g->step->token_sources,
        .previous = g->before->sampled,
        .out = d->token_ids,
    };
    VMT_TRY(vmt_gpu_resolve_tokens(g->program, &tokens, g->err));
    vmt_gpu_embed_args embed = {
        .weight = d->weights->embed,
        .type = d->weights->type,
        .token_ids = d->token_ids,
        .out = d->hidden,
        .scale = c->embedding_multiplier,
        .count = VMT_COUNT_TOKENS,
        .rows_max = g->rows_max,
    };
    VMT_TRY(vmt_gpu_embed(g->program, &embed, g->err));
    if (c->rotary_dim > 0) {
        vmt_gpu_rope_angles_args angles = {
            .turns = d->turns,
            .positions = g->step->positions,
            .out = d->angles,
            .attention_factor = d->attention_factor,
        };
        VMT_TRY(vmt_gpu_rope_angles(g->program, &angles, g->err));
    }
    for (uint32_t i = 0; i < c->num_layers; i++) {
        VMT_TRY(add_attention(g, i));
        if (i + 1 < c->num_layers) VMT_TRY(add_rest(g, i, &d->hidden, NULL));
    }
    return VMT_OK;
}

static vmt_status record_tail(struct graph *g) {
    vmt_gpu_decoder *d = g->d;
    const vmt_model_config *c = d->config;
    vmt_gpu_gather_args gather = {
        .x = d->hidden, .row_ids = g->step->logit_rows, .out = d->last, .count = VMT_COUNT_LOGITS};
    VMT_TRY(vmt_gpu_gather(g->program, &gather, g->err));
    VMT_TRY(add_rest(g, c->num_layers - 1, &d->last, &g->step->logit_rows));
    if (c->headless) {
        vmt_gpu_norm_args norm = {
            .kind = VMT_GPU_NORM_RMS,
            .x = d->last,
            .weight = d->weights->final_norm,
            .out = d->logits,
            .count = VMT_COUNT_LOGITS,
            .eps = c->norm_eps,
        };
        return vmt_gpu_norm(g->program, &norm, g->err);
    }
    struct linear_call head = {
        .linear = &d->weights->head,
        .x = &d->last,
        .out = &d->logits,
        .norm = &d->weights->final_norm,
        .kind = VMT_GPU_MATMUL_LOGITS,
        .scale = 1.0f / c->logits_scaling,
    };
    return add_linear(g, &head);
}

static vmt_status record_draw(struct graph *g) {
    vmt_gpu_decoder *d = g->d;
    vmt_gpu_sample_args args = {
        .logits = d->logits,
        .samples = g->step->samples,
        .edited = g->step->edited,
        .edits = g->step->edits,
        .masks = g->step->masks,
        .scored = g->step->scored,
        .previous = g->before->sampled,
        .saved = d->saved,
        .best = d->best,
        .sampled = g->step->sampled,
        .scores = g->step->scores,
        .tops = g->step->tops,
    };
    return vmt_gpu_sample(g->program, &args, g->err);
}

static vmt_status record(struct graph *g, vmt_gpu_program **out, vmt_status (*fn)(struct graph *g)) {
    VMT_TRY(vmt_gpu_program_create(out, g->d->gpu, g->err));
    g->program = *out;
    return fn(g);
}

vmt_status vmt_gpu_graph_record(vmt_gpu_decoder *d, uint32_t i, vmt_err *err) {
    struct vmt_gpu_flight *f = &d->flights[i];
    struct graph g = {
        .d = d,
        .step = &f->step,
        .before = &d->flights[(i + VMT_FLIGHTS_MAX - 1) % VMT_FLIGHTS_MAX].step,
        .err = err,
    };
    for (uint32_t k = 0; k < VMT_NUM_GPU_CLASSES; k++) {
        g.count = VMT_COUNT_TOKENS;
        g.rows_max = vmt_gpu_class_rows(d, k, false);
        VMT_TRY(record(&g, &f->bodies[k], record_body));
        g.count = VMT_COUNT_LOGITS;
        g.rows_max = vmt_gpu_class_rows(d, k, true);
        VMT_TRY(record(&g, &f->tails[k], record_tail));
    }
    return d->config->headless ? vmt_gpu_program_create(&f->draw, d->gpu, err) : record(&g, &f->draw, record_draw);
}
