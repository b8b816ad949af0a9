/* model/gpu_decoder.c: memory of the decoder, steps in flight.  gpu_graph.c records the programs. */
#include "model/gpu_graph.h"

#include "base/checked.h"
#include "model/rope_tables.h"

#include <stdlib.h>
#include <string.h>

#define ALIGN        256u
#define LAST_WAIT_NS UINT64_C(60000000000) /* when the model closes */

/* ---- memory */

static vmt_gpu_kv_layout kv_layout(const vmt_model_config *c, uint32_t num_blocks, uint32_t block_size,
                                   vmt_dtype dtype) {
    return (vmt_gpu_kv_layout){num_blocks, block_size, c->num_kv_heads, c->head_dim, dtype};
}

size_t vmt_gpu_decoder_block_bytes(const vmt_model_config *c, uint32_t block_size, vmt_dtype dtype) {
    size_t heads = (size_t)block_size * c->num_kv_heads;
    size_t elem_bytes = vmt_dtype_get(dtype)->block_bytes;
    size_t scale_bytes = dtype == VMT_I8 ? sizeof(float) : 0;
    return 2 * (size_t)c->num_layers * heads * (c->head_dim * elem_bytes + scale_bytes);
}

struct planner {
    vmt_buffer *buffer;
    size_t bytes;
};

static vmt_tensor place(struct planner *p, vmt_dtype dtype, uint64_t rows, uint64_t cols) {
    vmt_tensor t = {p->buffer, p->bytes, dtype, 2, {VMT_MAX(rows, 1u), cols}};
    p->bytes += (vmt_tensor_bytes(&t) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    return t;
}

/* Columns of a row of logits, or of the hidden state in its place. */
static uint32_t logits_cols(const vmt_model_config *c) {
    return c->headless ? c->hidden : c->vocab;
}

static uint32_t logits_max(const vmt_model_kv_options *o) {
    return VMT_MIN(o->logits_max, o->tokens_max);
}

static size_t plan_scratch(vmt_gpu_decoder *d, vmt_buffer *buffer) {
    struct planner p = {buffer, 0};
    const vmt_model_config *c = d->config;
    const vmt_model_kv_options *o = &d->options;
    vmt_dtype type = d->weights->type;
    uint32_t rows = o->tokens_max;
    d->token_ids = place(&p, VMT_I32, rows, 1);
    d->hidden = place(&p, VMT_F32, rows, c->hidden);
    d->normed = place(&p, type, rows, c->hidden);
    d->qkv = place(&p, type, rows, (uint64_t)(c->num_heads + 2 * c->num_kv_heads) * c->head_dim);
    d->attn = place(&p, type, rows, (uint64_t)c->num_heads * c->head_dim);
    d->gate_up = place(&p, type, rows, 2 * (uint64_t)c->intermediate);
    d->act = place(&p, type, rows, c->intermediate);
    size_t plain_bytes = vmt_gpu_graph_plain_bytes(d);
    if (plain_bytes > 0) d->plain = place(&p, type, 1, plain_bytes / vmt_dtype_get(type)->block_bytes);
    d->angles = place(&p, VMT_F32, rows, VMT_MAX(c->rotary_dim, 4u));
    d->last = place(&p, VMT_F32, logits_max(o), c->hidden);
    d->partials = place(&p, VMT_F32, 1, d->attention.partials_bytes / sizeof(float) + 1);
    d->saved = place(&p, VMT_I32, vmt_sample_edits_max(c->vocab, o->context_max) + (uint64_t)o->seqs_max, 1);
    d->best = place(&p, VMT_I32, (uint64_t)o->seqs_max * vmt_gpu_sample_chunks(c->vocab), 2);
    return p.bytes;
}

static void plan(vmt_gpu_decoder *d) {
    const vmt_model_config *c = d->config;
    const vmt_model_kv_options *o = &d->options;
    vmt_gpu_attention_shape shape = {
        .num_heads = c->num_heads,
        .num_kv_heads = c->num_kv_heads,
        .head_dim = c->head_dim,
        .dtype = d->weights->type,
        .seqs_max = o->seqs_max,
        .tokens_max = o->tokens_max,
        .context_max = o->context_max,
        .kv_tokens_max = (uint64_t)o->num_blocks * o->block_size,
        .lacks_tiles = vmt_gpu_attention_lacks_tiles(d->weights->gpu, c->head_dim, d->weights->type, o->dtype),
    };
    d->attention = vmt_gpu_attention_plan_make(&shape);
}

static vmt_gpu_step_shape step_shape(const vmt_gpu_decoder *d) {
    const vmt_model_kv_options *o = &d->options;
    return (vmt_gpu_step_shape){
        .vocab = d->config->vocab,
        .tokens_max = o->tokens_max,
        .logits_max = logits_max(o),
        .seqs_max = o->seqs_max,
        .context_max = o->context_max,
        .block_size = o->block_size,
        .attention = &d->attention,
    };
}

size_t vmt_gpu_decoder_scratch_bytes(const vmt_model_config *config, const vmt_gpu_weights *weights,
                                     const vmt_model_kv_options *options) {
    vmt_gpu_decoder *d = calloc(1, sizeof *d);
    if (d == NULL) return SIZE_MAX;
    d->gpu = weights->gpu;
    d->config = config;
    d->weights = weights;
    d->options = *options;
    plan(d);
    vmt_gpu_step_shape shape = step_shape(d);
    size_t bytes = plan_scratch(d, NULL) + (size_t)logits_max(options) * logits_cols(config) * sizeof(float);
    bytes += VMT_FLIGHTS_MAX * vmt_gpu_step_bytes(d->weights->gpu, &shape);
    free(d);
    return bytes;
}

static vmt_status take_kv(vmt_gpu_decoder *d, vmt_err *err) {
    const vmt_model_kv_options *o = &d->options;
    vmt_gpu_kv_layout layout = kv_layout(d->config, o->num_blocks, o->block_size, o->dtype);
    size_t bytes;
    VMT_TRY(vmt_gpu_kv_check(&layout, err));
    if (o->dtype != d->weights->type && o->dtype != VMT_I8) {
        return vmt_fail(err, VMT_E_INVALID, "a KV cache of %s; on a GPU it holds the model's %s, or I8",
                        vmt_dtype_get(o->dtype)->name, vmt_dtype_get(d->weights->type)->name);
    }
    VMT_TRY(vmt_gpu_kv_bytes(&layout, &bytes, err));
    d->kv_buffers = calloc(d->config->num_layers, sizeof *d->kv_buffers);
    d->kv = calloc(d->config->num_layers, sizeof *d->kv);
    if (d->kv_buffers == NULL || d->kv == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a KV cache");
    for (uint32_t i = 0; i < d->config->num_layers; i++) {
        VMT_TRY(vmt_gpu_alloc(d->gpu, &d->kv_buffers[i], bytes, VMT_GPU_PRIVATE, err));
        d->kv[i] = vmt_gpu_kv_at(&layout, &d->kv_buffers[i], 0);
    }
    return VMT_OK;
}

static vmt_status take_rope(vmt_gpu_decoder *d, vmt_err *err) {
    vmt_rope_table table;
    uint32_t num_pairs = VMT_MAX(d->config->rotary_dim / 2, 1u);
    vmt_rope_table_init(&table, d->config, d->options.context_max);
    d->attention_factor = table.attention_factor;
    size_t page = d->gpu->caps.page_bytes;
    size_t bytes = (num_pairs * 2 * sizeof(uint32_t) + page - 1) / page * page;
    d->turns_page = aligned_alloc(page, bytes);
    if (d->turns_page == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a table of frequencies");
    memset(d->turns_page, 0, bytes);
    vmt_gpu_rope_turns(table.inv_freq, d->config->rotary_dim / 2, d->turns_page);
    d->turns = (vmt_tensor){&d->turns_buffer, 0, VMT_I32, 2, {num_pairs, 2}};
    return vmt_gpu_wrap(d->gpu, &d->turns_buffer, d->turns_page, bytes, err);
}

/* The host reads them where a request wants more of them than a device scores. */
static vmt_status take_logits(vmt_gpu_decoder *d, vmt_err *err) {
    uint32_t num_rows = logits_max(&d->options);
    bool is_seen = d->gpu->caps.is_unified;
    size_t bytes;
    if (!vmt_mul_size((size_t)num_rows * sizeof(float), logits_cols(d->config), &bytes) ||
        bytes > SIZE_MAX - VMT_GPU_READBACK_ALIGN) {
        return vmt_fail(err, VMT_E_NO_MEMORY, "%u rows of logits overflow the address space", num_rows);
    }
    bytes = (bytes + VMT_GPU_READBACK_ALIGN - 1) / VMT_GPU_READBACK_ALIGN * VMT_GPU_READBACK_ALIGN;
    VMT_TRY(vmt_gpu_alloc(d->gpu, &d->logits_buffer, bytes, is_seen ? VMT_GPU_SHARED : VMT_GPU_PRIVATE, err));
    d->logits = (vmt_tensor){&d->logits_buffer, 0, VMT_F32, 2, {num_rows, logits_cols(d->config)}};
    return is_seen ? VMT_OK : vmt_gpu_readback_create(&d->readback, d->gpu, &d->logits_buffer, err);
}

static vmt_status take_memory(vmt_gpu_decoder *d, vmt_err *err) {
    const vmt_model_kv_options *o = &d->options;
    if (o->num_blocks < 2 || o->tokens_max == 0 || o->logits_max == 0 || o->context_max == 0 || o->seqs_max == 0) {
        return vmt_fail(err, VMT_E_INVALID, "a step needs a token, a sequence, a logit row and a context");
    }
    plan(d);
    vmt_gpu_step_shape shape = step_shape(d);
    VMT_TRY(take_kv(d, err));
    VMT_TRY(take_rope(d, err));
    VMT_TRY(vmt_gpu_alloc(d->gpu, &d->scratch, plan_scratch(d, &d->scratch), VMT_GPU_PRIVATE, err));
    VMT_TRY(take_logits(d, err));
    for (uint32_t i = 0; i < VMT_FLIGHTS_MAX; i++) {
        VMT_TRY(vmt_gpu_step_create(&d->flights[i].step, d->gpu, &shape, err));
    }
    return VMT_OK;
}

vmt_status vmt_gpu_decoder_create(vmt_gpu_decoder **out, const vmt_model_config *config,
                                  const vmt_gpu_weights *weights, const vmt_model_kv_options *options,
                                  vmt_err *err) {
    *out = NULL;
    vmt_gpu_decoder *d = calloc(1, sizeof *d);
    if (d == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a decoder");
    d->gpu = weights->gpu;
    d->config = config;
    d->weights = weights;
    d->options = *options;
    vmt_status status = take_memory(d, err);
    for (uint32_t i = 0; i < VMT_FLIGHTS_MAX && status == VMT_OK; i++) status = vmt_gpu_graph_record(d, i, err);
    if (status != VMT_OK) {
        (void)vmt_gpu_decoder_destroy(d);
        return status;
    }
    *out = d;
    return VMT_OK;
}

bool vmt_gpu_decoder_destroy(vmt_gpu_decoder *d) {
    if (d == NULL) return true;
    uint64_t last = VMT_MAX(d->flights[0].ticket, d->flights[1].ticket);
    _Static_assert(VMT_FLIGHTS_MAX == 2, "the last ticket is one of two");
    if (last > 0 && vmt_gpu_wait(d->gpu, last, LAST_WAIT_NS, NULL) == VMT_E_EXHAUSTED) return false;
    for (uint32_t i = 0; i < VMT_FLIGHTS_MAX; i++) {
        struct vmt_gpu_flight *f = &d->flights[i];
        for (uint32_t k = 0; k < VMT_NUM_GPU_CLASSES; k++) {
            vmt_gpu_program_destroy(f->bodies[k]);
            vmt_gpu_program_destroy(f->tails[k]);
        }
        vmt_gpu_program_destroy(f->draw);
        vmt_gpu_step_destroy(&f->step, d->gpu);
    }
    for (uint32_t i = 0; d->kv_buffers && i < d->config->num_layers; i++) {
        vmt_gpu_release(d->gpu, &d->kv_buffers[i]);
    }
    vmt_gpu_readback_destroy(d->readback);
    vmt_gpu_release(d->gpu, &d->turns_buffer);
    free(d->turns_page);
    vmt_gpu_release(d->gpu, &d->scratch);
    vmt_gpu_release(d->gpu, &d->logits_buffer);
    free(d->kv_buffers);
    free(d->kv);
    free(d);
    return true;
}

/* ---- steps */

static uint32_t class_of(const vmt_gpu_decoder *d, uint32_t num_rows, bool is_tail) {
    uint32_t k = 0;
    while (num_rows > vmt_gpu_class_rows(d, k, is_tail)) k++;
    return k;
}

static vmt_status check_batch(const vmt_gpu_decoder *d, const vmt_batch *b, vmt_err *err) {
    const vmt_model_kv_options *o = &d->options;
    vmt_batch_limits limits = {
        .vocab = d->config->vocab,
        .num_blocks = o->num_blocks,
        .block_size = o->block_size,
        .tokens_max = o->tokens_max,
        .logits_max = logits_max(o),
        .context_max = o->context_max,
    };
    if (b->num_seqs > o->seqs_max) {
        return vmt_fail(err, VMT_E_INTERNAL, "a step of %u sequences; the limit is %u", b->num_seqs, o->seqs_max);
    }
    return vmt_batch_check(b, &limits, err);
}

static vmt_status encode_forward(vmt_gpu_decoder *d, const struct vmt_gpu_flight *f, vmt_err *err) {
    const uint32_t *counts = f->step.counts;
    VMT_TRY(vmt_gpu_begin(d->gpu, err));
    vmt_gpu_program_replay(f->bodies[class_of(d, counts[VMT_COUNT_TOKENS], false)], counts);
    if (counts[VMT_COUNT_LOGITS] > 0) {
        vmt_gpu_barrier(d->gpu);
        vmt_gpu_program_replay(f->tails[class_of(d, counts[VMT_COUNT_LOGITS], true)], counts);
    }
    return VMT_OK;
}

/* While constraints are asked for their masks the device may begin already. */
static vmt_status encode_draw(vmt_gpu_decoder *d, struct vmt_gpu_flight *f, const vmt_sample_batch *samples,
                              vmt_err *err) {
    bool is_split = samples->num_masks > 0 && samples->wait_for_masks;
    if (is_split) VMT_TRY(vmt_gpu_commit(d->gpu, &f->ticket, err));
    if (samples->wait_for_masks) samples->wait_for_masks(samples->wait_ctx);
    VMT_TRY(vmt_gpu_step_fill_samples(&f->step, samples, err));
    if (is_split) VMT_TRY(vmt_gpu_begin(d->gpu, err));
    vmt_gpu_barrier(d->gpu);
    vmt_gpu_program_replay(f->draw, f->step.counts);
    return vmt_gpu_commit(d->gpu, &f->ticket, err);
}

vmt_status vmt_gpu_decoder_launch(vmt_gpu_decoder *d, const vmt_batch *batch, const vmt_sample_batch *samples,
                                  vmt_err *err) {
    VMT_ASSERT(d->num_launched - d->num_collected < VMT_FLIGHTS_MAX);
    if (d->is_lost) return vmt_fail(err, VMT_E_IO, "%s", d->loss.msg);
    VMT_TRY(check_batch(d, batch, err));
    struct vmt_gpu_flight *f = &d->flights[d->num_launched % VMT_FLIGHTS_MAX];
    f->needs_logits = samples->needs_logits;
    vmt_gpu_step_fill(&f->step, &d->attention, batch);
    vmt_status status = encode_forward(d, f, &d->loss);
    if (status == VMT_OK) status = encode_draw(d, f, samples, &d->loss);
    if (status != VMT_OK) { /* a command buffer that was begun can't be taken back */
        d->is_lost = true;
        return vmt_fail(err, VMT_E_IO, "%s", d->loss.msg);
    }
    d->num_launched++;
    return VMT_OK;
}

/* The device has failed or hangs.  What runs behind a lost step was made of its results, and one that hangs may never
 * end. */
static vmt_status lose(vmt_gpu_decoder *d, vmt_status status, const vmt_err *why, vmt_err *err) {
    d->is_lost = true;
    if (status == VMT_E_EXHAUSTED) {
        vmt_fail(&d->loss, VMT_E_IO, "%s did not finish a step within %g seconds", d->gpu->caps.name,
                 (double)d->options.step_timeout_ns * 1e-9);
    } else {
        d->loss = *why;
    }
    return vmt_fail(err, VMT_E_IO, "%s", d->loss.msg);
}

static vmt_status see_logits(vmt_gpu_decoder *d, const struct vmt_gpu_flight *f, const float **out, vmt_err *err) {
    size_t bytes = f->step.counts[VMT_COUNT_LOGITS] * (size_t)logits_cols(d->config) * sizeof(float);
    const void *copy = NULL;
    if (d->readback == NULL) {
        *out = vmt_tensor_data(&d->logits);
        return VMT_OK;
    }
    vmt_err why = {0};
    vmt_status status = vmt_gpu_readback_take(d->readback, bytes, d->options.step_timeout_ns, &copy, &why);
    *out = copy;
    return status == VMT_OK ? VMT_OK : lose(d, status, &why, err);
}

vmt_status vmt_gpu_decoder_collect(vmt_gpu_decoder *d, vmt_sample_outcome *out, vmt_err *err) {
    VMT_ASSERT(d->num_collected < d->num_launched);
    struct vmt_gpu_flight *f = &d->flights[d->num_collected++ % VMT_FLIGHTS_MAX];
    if (d->is_lost) return vmt_fail(err, VMT_E_IO, "%s", d->loss.msg);
    vmt_err why = {0};
    vmt_status status = vmt_gpu_wait(d->gpu, f->ticket, d->options.step_timeout_ns, &why);
    if (status != VMT_OK) return lose(d, status, &why, err);
    *out = (vmt_sample_outcome){
        .sampled = vmt_tensor_data(&f->step.sampled),
        .scores = vmt_tensor_data(&f->step.scores),
        .tops = vmt_tensor_data(&f->step.tops),
    };
    return f->needs_logits ? see_logits(d, f, &out->logits, err) : VMT_OK;
}

/* What a program adds that stands behind a barrier. */
static void add_stats(vmt_gpu_program_stats *stats, const vmt_gpu_program *program, const uint32_t *counts) {
    vmt_gpu_program_stats more = vmt_gpu_program_get_stats(program, counts);
    stats->num_dispatches += more.num_dispatches;
    stats->num_barriers += more.num_barriers + 1;
    stats->bytes_read += more.bytes_read;
}

vmt_gpu_program_stats vmt_gpu_decoder_stats(const vmt_gpu_decoder *d, const uint32_t *counts) {
    const struct vmt_gpu_flight *f = &d->flights[0];
    vmt_gpu_program_stats stats =
        vmt_gpu_program_get_stats(f->bodies[class_of(d, counts[VMT_COUNT_TOKENS], false)], counts);
    if (counts[VMT_COUNT_LOGITS] > 0) {
        add_stats(&stats, f->tails[class_of(d, counts[VMT_COUNT_LOGITS], true)], counts);
    }
    if (counts[VMT_COUNT_SAMPLES] > 0) add_stats(&stats, f->draw, counts);
    return stats;
}
