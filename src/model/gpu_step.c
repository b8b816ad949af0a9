/* model/gpu_step.c: see the header. */
#include "model/gpu_step.h"

#define ALIGN 256u

/* Lays lists out one after the other: without a buffer it only counts. */
struct planner {
    vmt_buffer *buffer;
    size_t bytes;
};

static vmt_tensor place(struct planner *p, uint64_t rows, uint64_t cols) {
    rows = VMT_MAX(rows, 1u); /* a list that is never filled has an address, too */
    vmt_tensor t = {p->buffer, p->bytes, VMT_I32, 2, {rows, cols}};
    p->bytes += ((size_t)(rows * cols) * sizeof(int32_t) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    return t;
}

#define WORDS(type) (sizeof(type) / sizeof(int32_t))

static size_t plan(vmt_gpu_step *s, const vmt_gpu_step_shape *c, vmt_buffer *buffer) {
    struct planner p = {buffer, 0};
    uint32_t scored_max = c->logits_max;
    s->token_ids = place(&p, c->tokens_max, 1);
    s->token_sources = place(&p, c->tokens_max, 1);
    s->positions = place(&p, c->tokens_max, 1);
    s->slot_mapping = place(&p, c->tokens_max, 1);
    s->logit_rows = place(&p, c->logits_max, 1);
    s->block_tables = place(&p, c->seqs_max, (c->context_max + c->block_size - 1) / c->block_size);
    s->parts = place(&p, c->attention->parts_max, WORDS(vmt_attention_part));
    s->merges = place(&p, c->attention->merges_max, WORDS(vmt_attention_merge));
    s->tiles = place(&p, c->attention->tiles_max, WORDS(vmt_attention_tile));
    s->samples = place(&p, c->seqs_max, WORDS(vmt_row_sample));
    s->edited = place(&p, c->seqs_max, WORDS(vmt_row_edits));
    s->edits = place(&p, vmt_sample_edits_max(c->vocab, c->context_max), WORDS(vmt_edit));
    s->masks = place(&p, 2 * (uint64_t)c->seqs_max, (c->vocab + 31) / 32);
    s->scored = place(&p, scored_max, WORDS(vmt_row_score));
    s->sampled = place(&p, c->seqs_max, 1);
    s->scores = place(&p, scored_max, WORDS(vmt_score));
    s->tops = place(&p, (uint64_t)scored_max * VMT_SCORE_TOPS_MAX, WORDS(vmt_top));
    return p.bytes;
}

size_t vmt_gpu_step_bytes(const vmt_gpu_step_shape *shape) {
    vmt_gpu_step ignored = {0};
    return plan(&ignored, shape, NULL);
}

vmt_status vmt_gpu_step_create(vmt_gpu_step *out, vmt_gpu *gpu, const vmt_gpu_step_shape *shape, vmt_err *err) {
    size_t bytes = plan(out, shape, &out->buffer);
    return vmt_gpu_alloc(gpu, &out->buffer, bytes, VMT_GPU_SHARED, err);
}

/* ---- filling */

static void put(const vmt_tensor *t, const void *rows, uint32_t num_rows) {
    if (num_rows > 0) memcpy(vmt_tensor_data(t), rows, num_rows * (size_t)t->shape[1] * sizeof(int32_t));
}

static void fill_tables(vmt_gpu_step *step, const vmt_batch *b) {
    size_t width = (size_t)step->block_tables.shape[1], num = VMT_MIN(width, b->block_table_stride);
    int32_t *to = vmt_tensor_data(&step->block_tables);
    for (uint32_t i = 0; i < b->num_seqs; i++) {
        memcpy(to + i * width, b->block_tables + (size_t)i * b->block_table_stride, num * sizeof *to);
    }
}

void vmt_gpu_step_fill(vmt_gpu_step *step, const vmt_gpu_attention_plan *plan, const vmt_batch *b) {
    put(&step->token_ids, b->token_ids, b->num_tokens);
    if (b->token_sources) {
        put(&step->token_sources, b->token_sources, b->num_tokens);
    } else {
        memset(vmt_tensor_data(&step->token_sources), 0xff, b->num_tokens * sizeof(int32_t));
    }
    put(&step->positions, b->positions, b->num_tokens);
    put(&step->slot_mapping, b->slot_mapping, b->num_tokens);
    put(&step->logit_rows, b->logit_rows, b->num_logits);
    fill_tables(step, b);
    vmt_gpu_attention_batch batch = {b->num_seqs, b->cu_seqlens_q, b->seq_lens};
    vmt_gpu_attention_lists lists = {
        .parts = vmt_tensor_data(&step->parts),
        .merges = vmt_tensor_data(&step->merges),
        .tiles = vmt_tensor_data(&step->tiles),
    };
    vmt_gpu_attention_route(plan, &batch, &lists);
    step->counts[VMT_COUNT_TOKENS] = b->num_tokens;
    step->counts[VMT_COUNT_LOGITS] = b->num_logits;
    step->counts[VMT_COUNT_DECODE_SPLITS] = lists.num_parts;
    step->counts[VMT_COUNT_DECODE_MERGES] = lists.num_merges;
    step->counts[VMT_COUNT_PREFILL_TILES] = lists.num_tiles;
}

vmt_status vmt_gpu_step_fill_samples(vmt_gpu_step *step, const vmt_sample_batch *s, vmt_err *err) {
    if (s->num_samples > step->samples.shape[0] || s->num_edits > step->edits.shape[0] ||
        s->num_masks > step->masks.shape[0] || s->num_scored > step->scored.shape[0] ||
        s->num_tops > step->tops.shape[0]) {
        return vmt_fail(err, VMT_E_INTERNAL, "a step of %u samples, %u edits, %u masks, %u scores", s->num_samples,
                        s->num_edits, s->num_masks, s->num_scored);
    }
    put(&step->samples, s->samples, s->num_samples);
    put(&step->edited, s->edited, s->num_edited);
    put(&step->edits, s->edits, s->num_edits);
    put(&step->scored, s->scored, s->num_scored);
    size_t mask_words = (size_t)step->masks.shape[1];
    int32_t *masks = vmt_tensor_data(&step->masks);
    for (uint32_t i = 0; i < s->num_masks; i++) {
        memcpy(masks + i * mask_words, s->masks[i], mask_words * sizeof *masks);
    }
    step->counts[VMT_COUNT_SAMPLES] = s->num_samples;
    step->counts[VMT_COUNT_EDITED] = s->num_edited;
    step->counts[VMT_COUNT_SCORED] = s->num_scored;
    return VMT_OK;
}
