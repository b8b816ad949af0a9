/* ops/attention.h: variable-length attention over the paged KV cache, and writing that cache.
 *
 * One launch serves prefill and decode rows together: sequence i owns query rows [cu_seqlens_q[i], cu_seqlens_q[i+1]),
 * the last of which is position seq_lens[i] - 1.  Keys come from the cache only: write before attending.
 * Batch-invariant: a row's result depends on its own sequence's content and positions, not on how a prefill was
 * chunked, where a cached prefix ended, or what else runs.
 *
 * The CPU cache keeps, per layer and block (T is f32, f16 or bf16):
 *     k [num_kv_heads, head_dim, block_size]    keys side by side: a score is one chain over head_dim
 *     v [num_kv_heads, block_size, head_dim]    an output element is one chain over positions
 * Math: softmax(scale * q k^T + mask) v with a running maximum and sum (arXiv:1805.02867) over paged KV
 * (arXiv:2309.06180).  Query head h reads KV head h / (num_heads / num_kv_heads). */
#ifndef VMT_OPS_ATTENTION_H
#define VMT_OPS_ATTENTION_H

#include "backend/backend.h"

typedef struct vmt_kv_layout {
    uint32_t block_size, num_kv_heads, head_dim;
    vmt_dtype dtype; /* F32, F16 or BF16 */
} vmt_kv_layout;

/* Bytes of K, and of V, of one block in one layer. */
size_t vmt_kv_block_bytes(const vmt_kv_layout *layout);

typedef struct vmt_kv_write_args {
    vmt_kv_layout layout;
    vmt_tensor k, v;             /* F32 rows: element (t, h, d) at t * stride + h * head_dim + d */
    uint32_t k_stride, v_stride; /* elements */
    vmt_tensor k_cache, v_cache; /* this layer's, [num_blocks] blocks as drawn above */
    const int32_t *slot_mapping; /* [num_tokens] block * block_size + offset; negative skips */
    uint32_t num_tokens;
} vmt_kv_write_args;
vmt_status vmt_kv_write(vmt_backend *be, const vmt_kv_write_args *args);

typedef struct vmt_attention_args {
    vmt_kv_layout layout;
    uint32_t num_heads;
    vmt_tensor q, out;             /* F32 [num_tokens, q_stride], [num_tokens, out_stride]; RoPE already applied */
    uint32_t q_stride, out_stride; /* elements */
    vmt_tensor k_cache, v_cache;
    const uint32_t *cu_seqlens_q; /* [num_seqs + 1] */
    const uint32_t *seq_lens;     /* [num_seqs] counts this step's tokens */
    const int32_t *block_tables;  /* [num_seqs, block_table_stride] */
    uint32_t num_seqs, block_table_stride;
    float scale;
    float soft_cap;          /* 0: none; else s = cap * tanh(s / cap) */
    uint32_t sliding_window; /* 0: none; else a query sees itself and the window - 1 positions before it */
    vmt_tensor scratch;      /* vmt_attention_scratch_bytes() of memory, content of no interest */
} vmt_attention_args;
/* context_max: longest sequence; tokens_max: most query rows in one launch. */
size_t vmt_attention_scratch_bytes(const vmt_kv_layout *layout, uint32_t num_heads, uint32_t context_max,
                                   uint32_t tokens_max, uint32_t num_workers);
vmt_status vmt_attention(vmt_backend *be, const vmt_attention_args *args);
void vmt_attention_ref(const vmt_attention_args *args);

#endif
