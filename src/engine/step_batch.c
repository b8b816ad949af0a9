#include "engine/step_batch.h"
#include "engine/generation.h"

#include <stdlib.h>

struct vmt_step_batch {
    uint32_t block_size, num_logits_max;
    /* [max_num_batched_tokens] */
    int32_t *token_ids, *token_sources, *positions, *slot_mapping;
    uint32_t *cu_seqlens_q; /* [max_num_seqs + 1] */
    uint32_t *seq_lens;     /* [max_num_seqs] */
    int32_t *block_tables;  /* [max_num_seqs, blocks of the longest sequence] */
    uint32_t *logit_rows;   /* [num_logits_max] */
    vmt_row_plan *plans;    /* [max_num_seqs] */
    vmt_batch view;
};

vmt_status vmt_step_batch_create(vmt_step_batch **out, const vmt_sched_config *c, vmt_err *err) {
    *out = NULL;
    vmt_step_batch *b = calloc(1, sizeof *b);
    if (!b) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the step's batch");
    size_t num_tokens = c->max_num_batched_tokens, num_seqs = c->max_num_seqs;
    size_t num_blocks = c->max_model_len / c->block_size + 1;
    b->block_size = c->block_size;
    b->num_logits_max = c->max_num_seqs + c->max_num_logit_rows;
    b->token_ids = calloc(num_tokens, sizeof *b->token_ids);
    b->token_sources = calloc(num_tokens, sizeof *b->token_sources);
    b->positions = calloc(num_tokens, sizeof *b->positions);
    b->slot_mapping = calloc(num_tokens, sizeof *b->slot_mapping);
    b->cu_seqlens_q = calloc(num_seqs + 1, sizeof *b->cu_seqlens_q);
    b->seq_lens = calloc(num_seqs, sizeof *b->seq_lens);
    b->block_tables = calloc(num_seqs * num_blocks, sizeof *b->block_tables);
    b->logit_rows = calloc(b->num_logits_max, sizeof *b->logit_rows);
    b->plans = calloc(num_seqs, sizeof *b->plans);
    if (!b->token_ids || !b->token_sources || !b->positions || !b->slot_mapping || !b->cu_seqlens_q ||
        !b->seq_lens || !b->block_tables || !b->logit_rows || !b->plans) {
        vmt_step_batch_destroy(b);
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for batches of %zu tokens and %zu sequences", num_tokens,
                        num_seqs);
    }
    *out = b;
    return VMT_OK;
}

void vmt_step_batch_destroy(vmt_step_batch *b) {
    if (!b) return;
    free(b->token_ids);
    free(b->token_sources);
    free(b->positions);
    free(b->slot_mapping);
    free(b->cu_seqlens_q);
    free(b->seq_lens);
    free(b->block_tables);
    free(b->logit_rows);
    free(b->plans);
    free(b);
}

/* The rows of one sequence, from row `row` on. */
static void fill_rows(vmt_step_batch *b, const vmt_scheduled *scheduled, uint32_t row) {
    const vmt_seq *seq = scheduled->seq;
    uint32_t position = seq->num_computed_tokens, n = scheduled->num_new_tokens;
    memcpy(b->token_ids + row, seq->tokens + position, n * sizeof *b->token_ids);
    memset(b->token_sources + row, 0xff, n * sizeof *b->token_sources);
    if (position + n + seq->num_expected > seq->num_tokens) { /* a row of its own, of the token expected last */
        VMT_ASSERT(n == 1 && seq->num_expected == 1);
        b->token_ids[row] = 0;
        b->token_sources[row] = (int32_t)((const vmt_sequence *)seq)->last_sample;
    }
    uint32_t block = position / b->block_size, offset = position % b->block_size;
    for (uint32_t i = 0; i < n; i++) {
        b->positions[row + i] = (int32_t)(position + i);
        b->slot_mapping[row + i] = seq->blocks[block] * (int32_t)b->block_size + (int32_t)offset;
        if (++offset == b->block_size) {
            offset = 0;
            block++;
        }
    }
}

/* Row p of a prompt scores token p + 1, once; the last row is sampled from when the sequence is up to date. */
static vmt_row_plan plan_logits(vmt_step_batch *b, const vmt_scheduled *scheduled, uint32_t row) {
    const vmt_seq *seq = scheduled->seq;
    const vmt_sequence *s = (const vmt_sequence *)seq;
    uint32_t begin = seq->num_computed_tokens, end = begin + scheduled->num_new_tokens;
    vmt_row_plan plan = {
        .first_logit = b->view.num_logits,
        .samples = scheduled->samples && !s->gen->echo_only,
    };
    if (s->gen->pool.kind != VMT_POOL_NONE) {
        uint32_t first;
        plan.num_pooled = vmt_pool_rows(&s->gen->pool, begin, end, seq->num_prompt_tokens, &first);
        for (uint32_t i = 0; i < plan.num_pooled; i++) {
            b->logit_rows[b->view.num_logits++] = row + (first + i - begin);
        }
    } else if (seq->skip_prefix_cache) {
        plan.first_scored = VMT_MAX(begin + 1, s->gen->num_scored);
        uint32_t end_scored = VMT_MIN(end + 1, seq->num_prompt_tokens);
        plan.num_scored = end_scored > plan.first_scored ? end_scored - plan.first_scored : 0;
        for (uint32_t i = 0; i < plan.num_scored; i++) {
            b->logit_rows[b->view.num_logits++] = row + (plan.first_scored + i - 1 - begin);
        }
    }
    if (plan.samples) b->logit_rows[b->view.num_logits++] = row + scheduled->num_new_tokens - 1;
    VMT_ASSERT(b->view.num_logits <= b->num_logits_max);
    return plan;
}

const vmt_batch *vmt_step_batch_fill(vmt_step_batch *b, const vmt_step *step, const vmt_row_plan **plans) {
    uint32_t stride = 1;
    for (uint32_t i = 0; i < step->num_scheduled; i++) {
        stride = VMT_MAX(stride, step->scheduled[i].seq->num_blocks);
    }
    b->view = (vmt_batch){
        .num_tokens = step->num_tokens,
        .num_seqs = step->num_scheduled,
        .token_ids = b->token_ids,
        .token_sources = b->token_sources,
        .positions = b->positions,
        .slot_mapping = b->slot_mapping,
        .cu_seqlens_q = b->cu_seqlens_q,
        .seq_lens = b->seq_lens,
        .block_tables = b->block_tables,
        .block_table_stride = stride,
        .logit_rows = b->logit_rows,
    };
    uint32_t row = 0;
    for (uint32_t i = 0; i < step->num_scheduled; i++) {
        const vmt_scheduled *scheduled = &step->scheduled[i];
        const vmt_seq *seq = scheduled->seq;
        int32_t *table = b->block_tables + (size_t)i * stride;
        memcpy(table, seq->blocks, seq->num_blocks * sizeof *table);
        memset(table + seq->num_blocks, 0, (stride - seq->num_blocks) * sizeof *table);
        b->cu_seqlens_q[i] = row;
        b->seq_lens[i] = seq->num_computed_tokens + scheduled->num_new_tokens;
        fill_rows(b, scheduled, row);
        b->plans[i] = plan_logits(b, scheduled, row);
        row += scheduled->num_new_tokens;
    }
    VMT_ASSERT(row == step->num_tokens);
    b->cu_seqlens_q[step->num_scheduled] = row;
    *plans = b->plans;
    return &b->view;
}
