#include "model/batch.h"

/* The engine made this batch: a breach is our own bug, and must not become a write outside the cache. */
static vmt_status check_rows(const vmt_batch *b, const vmt_batch_limits *limits, vmt_err *err) {
    int64_t num_slots = (int64_t)limits->num_blocks * limits->block_size;
    for (uint32_t i = 0; i < b->num_tokens; i++) {
        if (b->token_ids[i] < 0 || (uint32_t)b->token_ids[i] >= limits->vocab || b->positions[i] < 0 ||
            b->slot_mapping[i] >= num_slots) {
            return vmt_fail(err, VMT_E_INTERNAL, "row %u: token %d, position %d, slot %d; vocab %u, %lld slots", i,
                            b->token_ids[i], b->positions[i], b->slot_mapping[i], limits->vocab,
                            (long long)num_slots);
        }
    }
    return VMT_OK;
}

static vmt_status check_sequence(const vmt_batch *b, const vmt_batch_limits *limits, uint32_t s, vmt_err *err) {
    uint32_t q_len = b->cu_seqlens_q[s + 1] - b->cu_seqlens_q[s];
    uint64_t room = (uint64_t)b->block_table_stride * limits->block_size;
    if (b->cu_seqlens_q[s + 1] > b->num_tokens || b->cu_seqlens_q[s] > b->cu_seqlens_q[s + 1] ||
        q_len > b->seq_lens[s] || b->seq_lens[s] > room || b->seq_lens[s] > limits->context_max) {
        return vmt_fail(err, VMT_E_INTERNAL, "sequence %u: %u rows of %u tokens, room for %llu, context of %u", s,
                        q_len, b->seq_lens[s], (unsigned long long)room, limits->context_max);
    }
    uint32_t used = (b->seq_lens[s] + limits->block_size - 1) / limits->block_size;
    for (uint32_t i = 0; i < used; i++) {
        int32_t id = b->block_tables[(size_t)s * b->block_table_stride + i];
        if (id < 0 || (uint32_t)id >= limits->num_blocks) {
            return vmt_fail(err, VMT_E_INTERNAL, "sequence %u: block %d of %u", s, id, limits->num_blocks);
        }
    }
    return VMT_OK;
}

vmt_status vmt_batch_check(const vmt_batch *b, const vmt_batch_limits *limits, vmt_err *err) {
    if (b->num_tokens > limits->tokens_max || b->num_logits > limits->logits_max || b->num_seqs > b->num_tokens ||
        b->num_logits > b->num_tokens) {
        return vmt_fail(err, VMT_E_INTERNAL, "a step of %u tokens and %u logit rows; the limits are %u and %u",
                        b->num_tokens, b->num_logits, limits->tokens_max, limits->logits_max);
    }
    VMT_TRY(check_rows(b, limits, err));
    for (uint32_t s = 0; s < b->num_seqs; s++) VMT_TRY(check_sequence(b, limits, s, err));
    for (uint32_t i = 0; i < b->num_logits; i++) {
        if (b->logit_rows[i] >= b->num_tokens) {
            return vmt_fail(err, VMT_E_INTERNAL, "logit row %u of %u tokens", b->logit_rows[i], b->num_tokens);
        }
    }
    return VMT_OK;
}
