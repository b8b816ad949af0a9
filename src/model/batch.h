/* model/batch.h: what one step runs, as plain arrays.  Filled by the engine, read by the model; no ownership.
 *
 * Prefill and decode rows stand together: sequence i owns rows [cu_seqlens_q[i], cu_seqlens_q[i+1]). */
#ifndef VMT_MODEL_BATCH_H
#define VMT_MODEL_BATCH_H

#include "base/status.h"

typedef struct vmt_batch {
    uint32_t num_tokens, num_seqs, num_logits;
    const int32_t *token_ids;     /* [num_tokens] */
    const int32_t *token_sources; /* [num_tokens] -1, or the sample of the step launched before whose token stands
                                   * here instead: it is not known yet.  NULL: all are known */
    const int32_t *positions;     /* [num_tokens] */
    const int32_t *slot_mapping;  /* [num_tokens] block id * block_size + offset */
    const uint32_t *cu_seqlens_q; /* [num_seqs + 1] */
    const uint32_t *seq_lens;     /* [num_seqs] tokens in the sequence after this step */
    const int32_t *block_tables;  /* [num_seqs, block_table_stride]; unused entries 0 */
    uint32_t block_table_stride;
    const uint32_t *logit_rows; /* [num_logits] rows whose logits are wanted, ascending */
} vmt_batch;

typedef struct vmt_batch_limits {
    uint32_t vocab, num_blocks, block_size;
    uint32_t tokens_max, logits_max, context_max;
} vmt_batch_limits;
/* Every id, slot and length lies within the limits; VMT_E_INTERNAL says which does not. */
vmt_status vmt_batch_check(const vmt_batch *batch, const vmt_batch_limits *limits, vmt_err *err);

#endif
