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

/* The batch first; where it ends. */
static size_t plan_batch(vmt_gpu_step *s, const vmt_gpu_step_shape *c, vmt_buffer *buffer) {
    struct planner p = {buffer, 0};
    (void)place(&p, WORDS(vmt_upload_header), 1);
    s->token_ids = place(&p, c->tokens_max, 1);
    s->token_sources = place(&p, c->tokens_max, 1);
    s->positions = place(&p, c->tokens_max, 1);
    s->slot_mapping = place(&p, c->tokens_max, 1);
    s->logit_rows = place(&p, c->logits_max, 1);
    s->block_tables = place(&p, c->seqs_max, (c->context_max + c->block_size - 1) / c->block_size);
    s->parts = place(&p, c->attention->parts_max, WORDS(vmt_attention_part));
    s->merges = place(&p, c->attention->merges_max, WORDS(vmt_attention_merge));
    s->tiles = place(&p, c->attention->tiles_max, WORDS(vmt_attention_tile));
    return p.bytes;
}

static size_t plan_rest(vmt_gpu_step *s, const vmt_gpu_step_shape *c, vmt_buffer *buffer, size_t begin) {
    struct planner p = {buffer, begin};
    uint32_t scored_max = c->logits_max;
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

size_t vmt_gpu_step_bytes(const vmt_gpu *gpu, const vmt_gpu_step_shape *shape) {
    vmt_gpu_step ignored = {0};
    size_t batch_bytes = plan_batch(&ignored, shape, NULL);
    return plan_rest(&ignored, shape, NULL, batch_bytes) + (gpu->caps.is_unified ? 0 : batch_bytes);
}

vmt_status vmt_gpu_step_create(vmt_gpu_step *out, vmt_gpu *gpu, const vmt_gpu_step_shape *shape, vmt_err *err) {
    bool is_fetched = !gpu->caps.is_unified;
    size_t batch_bytes = plan_batch(out, shape, is_fetched ? &out->fetched : &out->shared);
    size_t bytes = plan_rest(out, shape, &out->shared, batch_bytes);
    out->block_size = shape->block_size;
    if (is_fetched) {
        uint64_t words = batch_bytes / sizeof(int32_t);
        VMT_TRY(vmt_gpu_alloc(gpu, &out->fetched, batch_bytes, VMT_GPU_PRIVATE, err));
        out->upload =
            (vmt_gpu_upload_args){{&out->shared, 0, VMT_I32, 1, {words}}, {&out->fetched, 0, VMT_I32, 1, {words}}};
    }
    return vmt_gpu_alloc(gpu, &out->shared, bytes, VMT_GPU_SHARED, err);
}

void vmt_gpu_step_destroy(vmt_gpu_step *step, vmt_gpu *gpu) {
    vmt_gpu_release(gpu, &step->shared);
    vmt_gpu_release(gpu, &step->fetched);
}

/* ---- filling */

/* The host's side of a tensor of the batch. */
static int32_t *host_of(const vmt_gpu_step *step, const vmt_tensor *t) {
    return (int32_t *)((uint8_t *)step->shared.host + t->offset);
}

static vmt_upload_header *header_of(const vmt_gpu_step *step) {
    return (vmt_upload_header *)step->shared.host;
}

/* num_rows rows of the list are there. */
static void note(const vmt_gpu_step *step, const vmt_tensor *t, uint32_t num_rows) {
    uint32_t begin = (uint32_t)(t->offset / sizeof(int32_t));
    vmt_upload_add(header_of(step), (vmt_upload_list){begin, 1, num_rows * (uint32_t)t->shape[1], 0});
}

static void put_batch(const vmt_gpu_step *step, const vmt_tensor *t, const int32_t *rows, uint32_t num_rows) {
    if (num_rows > 0) memcpy(host_of(step, t), rows, num_rows * sizeof *rows);
    note(step, t, num_rows);
}

/* The blocks that the sequences have, in the columns of the longest. */
static void fill_tables(vmt_gpu_step *step, const vmt_batch *b) {
    uint32_t width = (uint32_t)step->block_tables.shape[1], longest = 0;
    int32_t *to = host_of(step, &step->block_tables);
    for (uint32_t i = 0; i < b->num_seqs; i++) {
        uint32_t num = (b->seq_lens[i] + step->block_size - 1) / step->block_size;
        VMT_ASSERT(num <= width && num <= b->block_table_stride);
        memcpy(to + (size_t)i * width, b->block_tables + (size_t)i * b->block_table_stride, num * sizeof *to);
        longest = VMT_MAX(longest, num);
    }
    uint32_t begin = (uint32_t)(step->block_tables.offset / sizeof(int32_t));
    vmt_upload_add(header_of(step), (vmt_upload_list){begin, b->num_seqs, longest, width});
}

void vmt_gpu_step_fill(vmt_gpu_step *step, const vmt_gpu_attention_plan *plan, const vmt_batch *b) {
    *header_of(step) = (vmt_upload_header){0};
    put_batch(step, &step->token_ids, b->token_ids, b->num_tokens);
    if (b->token_sources) {
        put_batch(step, &step->token_sources, b->token_sources, b->num_tokens);
    } else {
        memset(host_of(step, &step->token_sources), 0xff, b->num_tokens * sizeof(int32_t));
        note(step, &step->token_sources, b->num_tokens);
    }
    put_batch(step, &step->positions, b->positions, b->num_tokens);
    put_batch(step, &step->slot_mapping, b->slot_mapping, b->num_tokens);
    put_batch(step, &step->logit_rows, (const int32_t *)b->logit_rows, b->num_logits);
    fill_tables(step, b);
    vmt_gpu_attention_batch batch = {b->num_seqs, b->cu_seqlens_q, b->seq_lens};
    vmt_gpu_attention_lists lists = {
        .parts = (vmt_attention_part *)host_of(step, &step->parts),
        .merges = (vmt_attention_merge *)host_of(step, &step->merges),
        .tiles = (vmt_attention_tile *)host_of(step, &step->tiles),
    };
    vmt_gpu_attention_route(plan, &batch, &lists);
    note(step, &step->parts, lists.num_parts);
    note(step, &step->merges, lists.num_merges);
    note(step, &step->tiles, lists.num_tiles);
    step->counts[VMT_COUNT_TOKENS] = b->num_tokens;
    step->counts[VMT_COUNT_LOGITS] = b->num_logits;
    step->counts[VMT_COUNT_DECODE_SPLITS] = lists.num_parts;
    step->counts[VMT_COUNT_DECODE_MERGES] = lists.num_merges;
    step->counts[VMT_COUNT_PREFILL_TILES] = lists.num_tiles;
}

static void put(const vmt_tensor *t, const void *rows, uint32_t num_rows) {
    if (num_rows > 0) memcpy(vmt_tensor_data(t), rows, num_rows * (size_t)t->shape[1] * sizeof(int32_t));
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
