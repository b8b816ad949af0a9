/* ops/attention.c: see the header. */
#include "ops/attention.h"
#include <math.h>

size_t vmt_attention_scratch_bytes(const vmt_kv_layout *layout, uint32_t num_heads, uint32_t context_max,
                                   uint32_t tokens_max, uint32_t num_workers) {
    return 64;
}

static double cache_at(const vmt_tensor *cache, size_t idx) {
    const uint8_t *p = vmt_tensor_data(cache);
    if (cache->dtype == VMT_F32) return (double)((const float *)(const void *)p)[idx];
    uint16_t h = ((const uint16_t *)(const void *)p)[idx];
    return (double)(cache->dtype == VMT_F16 ? vmt_f16_to_f32(h) : vmt_bf16_to_f32(h));
}

struct ref_row { /* one query head at one position */
    const float *q;
    float *out;
    const int32_t *blocks;
    uint32_t kv_head, first, last; /* keys [first, last] */
};

static double score_ref(const vmt_attention_args *a, const struct ref_row *row, uint32_t key) {
    uint32_t bs = a->layout.block_size, dim = a->layout.head_dim;
    size_t head = ((size_t)row->blocks[key / bs] * a->layout.num_kv_heads + row->kv_head) * dim * bs;
    double dot = 0;
    for (uint32_t d = 0; d < dim; d++) dot += (double)row->q[d] * cache_at(&a->k_cache, head + d * bs + key % bs);
    dot *= (double)a->scale;
    return a->soft_cap > 0 ? (double)a->soft_cap * tanh(dot / (double)a->soft_cap) : dot;
}

static void row_ref(const vmt_attention_args *a, const struct ref_row *row) {
    uint32_t bs = a->layout.block_size, dim = a->layout.head_dim;
    double max = -INFINITY, sum = 0, acc[512] = {0};
    VMT_ASSERT(dim <= VMT_COUNT(acc));
    for (uint32_t key = row->first; key <= row->last; key++) max = fmax(max, score_ref(a, row, key));
    for (uint32_t key = row->first; key <= row->last; key++) {
        double p = exp(score_ref(a, row, key) - max);
        size_t head = ((size_t)row->blocks[key / bs] * a->layout.num_kv_heads + row->kv_head) * dim * bs;
        sum += p;
        for (uint32_t d = 0; d < dim; d++) acc[d] += p * cache_at(&a->v_cache, head + key % bs * dim + d);
    }
    for (uint32_t d = 0; d < dim; d++) row->out[d] = (float)(acc[d] / sum);
}

void vmt_attention_ref(const vmt_attention_args *args) {
    const float *q = vmt_tensor_data(&args->q);
    float *out = vmt_tensor_data(&args->out);
    uint32_t group = args->num_heads / args->layout.num_kv_heads, dim = args->layout.head_dim;
    for (uint32_t s = 0; s < args->num_seqs; s++) {
        uint32_t begin = args->cu_seqlens_q[s], end = args->cu_seqlens_q[s + 1];
        for (uint32_t t = begin; t < end; t++) {
            uint32_t pos = args->seq_lens[s] - (end - t), window = args->sliding_window;
            for (uint32_t h = 0; h < args->num_heads; h++) {
                struct ref_row row = {
                    .q = q + (size_t)t * args->q_stride + h * dim,
                    .out = out + (size_t)t * args->out_stride + h * dim,
                    .blocks = args->block_tables + (size_t)s * args->block_table_stride,
                    .kv_head = h / group,
                    .first = window > 0 && pos + 1 > window ? pos + 1 - window : 0,
                    .last = pos,
                };
                row_ref(args, &row);
            }
        }
    }
}

vmt_status vmt_attention(vmt_backend *be, const vmt_attention_args *args) {
    vmt_attention_ref(args);
    return VMT_OK;
}
