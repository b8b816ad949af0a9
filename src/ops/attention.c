/* ops/attention.c: cuts a launch into jobs of ops/simd/attention_kernel.h, and the reference.
 *
 * A job is one sequence, one KV head and a tile of query tokens over all its partitions.  When that gives too few jobs
 * to keep the workers busy (a few long decoding sequences), a sequence's partitions become jobs of their own, whose
 * partials a second launch folds: the same arithmetic in the same order, so the choice shows in no result. */
#include "ops/attention.h"
#include "ops/simd/attention_kernel.h"
#include <math.h>

#define JOBS_PER_WORKER 4u
#define SPLIT_SEQS      2u /* room for the partials of so many decoding sequences of the longest context */

struct seq_plan {
    uint32_t job_begin; /* jobs of a sequence: [tile][kv head][partition if split], the last tile first */
    uint32_t num_tiles;
    uint32_t part_begin, part_end;
    uint32_t fold_begin; /* rows (token, head) of the second launch */
    uint32_t is_split;
    uint64_t partials; /* floats from the start of the partials */
};

struct plan {
    const vmt_attention_args *args;
    struct seq_plan *seqs; /* [num_seqs + 1] */
    float *partials;
    uint32_t tile_tokens, num_jobs, num_folds, group;
};

static size_t seqs_bytes(uint32_t num_seqs) {
    return (((size_t)num_seqs + 1) * sizeof(struct seq_plan) + 63) & ~(size_t)63;
}

size_t vmt_attention_scratch_bytes(const vmt_kv_layout *layout, uint32_t num_heads, uint32_t context_max,
                                   uint32_t tokens_max, uint32_t num_workers) {
    size_t parts = ((size_t)context_max + VMT_ATTN_PARTITION - 1) / VMT_ATTN_PARTITION;
    size_t partials =
        num_workers > 1 ? SPLIT_SEQS * parts * num_heads * vmt_attn_partial_floats(layout->head_dim) : 0;
    return seqs_bytes(tokens_max) + partials * sizeof(float);
}

static uint32_t ceil_div(uint32_t a, uint32_t b) {
    return (a + b - 1) / b;
}

static uint32_t query_len(const vmt_attention_args *a, uint32_t seq) {
    return a->cu_seqlens_q[seq + 1] - a->cu_seqlens_q[seq];
}

/* Partitions that hold a key some row of the sequence sees. */
static void find_parts(const vmt_attention_args *a, uint32_t seq, struct seq_plan *sp) {
    uint32_t pos = a->seq_lens[seq] - query_len(a, seq), window = a->sliding_window;
    uint32_t first = window > 0 && pos + 1 > window ? pos + 1 - window : 0;
    sp->part_begin = first / VMT_ATTN_PARTITION;
    sp->part_end = ceil_div(a->seq_lens[seq], VMT_ATTN_PARTITION);
}

/* Tokens of a tile: as many as share a converted K and V tile well, fewer if workers would starve. */
static uint32_t choose_tile(const vmt_attention_args *a, uint32_t group, uint32_t num_workers) {
    uint32_t tokens = VMT_MAX(1, VMT_ATTN_ROWS_MAX / group);
    for (; tokens > 1 && num_workers > 1; tokens = (tokens + 1) / 2) {
        uint64_t jobs = 0;
        for (uint32_t s = 0; s < a->num_seqs; s++) {
            jobs += (uint64_t)ceil_div(query_len(a, s), tokens) * a->layout.num_kv_heads;
        }
        if (jobs >= (uint64_t)JOBS_PER_WORKER * num_workers || tokens * group <= 12) break;
    }
    return tokens;
}

static void plan_seqs(struct plan *p, bool may_split, size_t partial_floats_max) {
    const vmt_attention_args *a = p->args;
    uint32_t heads = a->layout.num_kv_heads, floats = vmt_attn_partial_floats(a->layout.head_dim);
    uint64_t used = 0;
    p->num_jobs = p->num_folds = 0;
    for (uint32_t s = 0; s < a->num_seqs; s++) {
        struct seq_plan *sp = &p->seqs[s];
        uint32_t q_len = query_len(a, s);
        find_parts(a, s, sp);
        uint32_t parts = sp->part_end - sp->part_begin;
        uint64_t need = (uint64_t)parts * q_len * a->num_heads * floats;
        sp->num_tiles = ceil_div(q_len, p->tile_tokens);
        sp->is_split = may_split && sp->num_tiles == 1 && parts > 1 && used + need <= partial_floats_max;
        sp->job_begin = p->num_jobs;
        sp->fold_begin = p->num_folds;
        sp->partials = used;
        p->num_jobs += sp->num_tiles * heads * (sp->is_split ? parts : 1);
        if (!sp->is_split) continue;
        p->num_folds += q_len * a->num_heads;
        used += need;
    }
    p->seqs[a->num_seqs] = (struct seq_plan){.job_begin = p->num_jobs, .fold_begin = p->num_folds};
}

static void run_job(const struct plan *p, uint32_t seq, uint32_t idx, void *scratch) {
    const vmt_attention_args *a = p->args;
    const struct seq_plan *sp = &p->seqs[seq];
    uint32_t parts = sp->part_end - sp->part_begin, per_head = sp->is_split ? parts : 1;
    uint32_t part = idx % per_head, head = idx / per_head % a->layout.num_kv_heads;
    uint32_t tile = sp->num_tiles - 1 - idx / per_head / a->layout.num_kv_heads;
    uint32_t q_len = query_len(a, seq), first = tile * p->tile_tokens;
    uint32_t tokens = VMT_MIN(p->tile_tokens, q_len - first), pos = a->seq_lens[seq] - q_len + first;
    size_t floats = vmt_attn_partial_floats(a->layout.head_dim);
    vmt_attn_job job = {
        .args = a,
        .blocks = a->block_tables + (size_t)seq * a->block_table_stride,
        .kv_head = head,
        .token_begin = a->cu_seqlens_q[seq] + first,
        .num_tokens = tokens,
        .pos_begin = pos,
        .part_begin = sp->part_begin,
        .part_end = ceil_div(pos + tokens, VMT_ATTN_PARTITION),
        .token_stride = a->num_heads * floats,
        .part_stride = (size_t)q_len * a->num_heads * floats,
    };
    if (sp->is_split) {
        job.part_begin = sp->part_begin + part;
        job.part_end = job.part_begin + 1;
        job.partials = p->partials + sp->partials + part * job.part_stride;
    }
    vmt_attn_kernels_get()->run(&job, scratch);
}

/* The last sequence whose first job (or fold) is not after idx. */
static uint32_t seq_of(const struct plan *p, uint32_t idx, bool of_fold) {
    uint32_t lo = 0, hi = p->args->num_seqs;
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if ((of_fold ? p->seqs[mid].fold_begin : p->seqs[mid].job_begin) <= idx)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

static void attention_jobs(const vmt_cpu_task *task) {
    const struct plan *p = task->args;
    for (uint32_t i = task->begin; i < task->end; i++) {
        uint32_t seq = seq_of(p, i, false);
        run_job(p, seq, i - p->seqs[seq].job_begin, task->scratch);
    }
}

static void fold_rows(const vmt_cpu_task *task) {
    const struct plan *p = task->args;
    const vmt_attention_args *a = p->args;
    size_t floats = vmt_attn_partial_floats(a->layout.head_dim);
    for (uint32_t i = task->begin; i < task->end; i++) {
        uint32_t seq = seq_of(p, i, true), row = i - p->seqs[seq].fold_begin;
        const struct seq_plan *sp = &p->seqs[seq];
        uint32_t token = a->cu_seqlens_q[seq] + row / a->num_heads, head = row % a->num_heads;
        float *out = (float *)vmt_tensor_data(&a->out) + (size_t)token * a->out_stride + head * a->layout.head_dim;
        vmt_attn_kernels_get()->fold(p->partials + sp->partials + row * floats,
                                     (size_t)query_len(a, seq) * a->num_heads * floats,
                                     sp->part_end - sp->part_begin, a->layout.head_dim, out);
    }
}

static void check_args(const vmt_attention_args *a) {
    const vmt_kv_layout *l = &a->layout;
    VMT_ASSERT(l->block_size == 8 || l->block_size == 16 || l->block_size == 32);
    VMT_ASSERT(l->head_dim % 8 == 0 && l->head_dim > 0 && l->head_dim <= VMT_ATTN_DIM_MAX);
    VMT_ASSERT(l->num_kv_heads > 0 && a->num_heads % l->num_kv_heads == 0);
    VMT_ASSERT(l->dtype == VMT_F32 || l->dtype == VMT_F16 || l->dtype == VMT_BF16);
    VMT_ASSERT(a->q_stride >= a->num_heads * l->head_dim && a->out_stride >= a->num_heads * l->head_dim);
    VMT_ASSERT(a->scratch.buffer != NULL);
}

vmt_status vmt_attention(vmt_backend *be, const vmt_attention_args *args) {
    check_args(args);
    size_t room = args->scratch.buffer->bytes - args->scratch.offset, head = seqs_bytes(args->num_seqs);
    VMT_ASSERT(head <= room);
    struct plan plan = {
        .args = args,
        .seqs = vmt_tensor_data(&args->scratch),
        .partials = (float *)(void *)((uint8_t *)vmt_tensor_data(&args->scratch) + head),
        .group = args->num_heads / args->layout.num_kv_heads,
    };
    plan.tile_tokens = choose_tile(args, plan.group, be->num_workers);
    plan_seqs(&plan, false, 0);
    if (be->num_workers > 1 && plan.num_jobs < JOBS_PER_WORKER * be->num_workers) {
        plan_seqs(&plan, true, (room - head) / sizeof(float));
    }
    if (plan.num_jobs == 0) return VMT_OK;
    vmt_launch launch = {
        .name = "attention",
        .args = &plan,
        .args_bytes = sizeof plan,
        .cpu_fn = attention_jobs,
        .cpu_items = plan.num_jobs,
        .cpu_grain = 1,
        .scratch_bytes = vmt_attn_work_bytes(&args->layout, plan.tile_tokens * plan.group),
    };
    VMT_TRY(vmt_launch_run(be, &launch));
    if (plan.num_folds == 0) return VMT_OK;
    launch = (vmt_launch){
        .name = "attention_fold",
        .args = &plan,
        .args_bytes = sizeof plan,
        .cpu_fn = fold_rows,
        .cpu_items = plan.num_folds,
    };
    return vmt_launch_run(be, &launch);
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
