/* ops/gpu_check_attention.c: checks of paged attention.  gpu_checks.h */
#include "ops/gpu_attention.h"
#include "ops/gpu_check_rig.h"
#include "ops/gpu_type.h"

#include <math.h>
#include <string.h>

#define BLOCK_SIZE 16u
#define KV_HEADS   2u
#define SEQS       2u
#define STRIDE     20u /* blocks of a table */
#define NUM_BLOCKS (SEQS * STRIDE + 1)

static const vmt_dtype types[] = {VMT_F32, VMT_F16, VMT_BF16};
static const uint32_t dims[] = {16, 32, 64, 80, 96, 112, 128, 192, 256, 512};
static const uint32_t groups[] = {1, 2, 5}; /* query heads of a KV head: a decode kernel each */
#define NUM_TYPES  VMT_COUNT(types)
#define NUM_DIMS   VMT_COUNT(dims)
#define NUM_GROUPS VMT_COUNT(groups)

/* One row each, the second sequence's context in two parts; or rows that are tiled, behind keys that were there. */
static const struct {
    const char *name;
    uint32_t q_lens[SEQS], seq_lens[SEQS];
} steps[] = {{"decode", {1, 1}, {37, 301}}, {"prefill", {20, 3}, {20, 40}}};

struct scene {
    uint32_t group, dim, cu_seqlens_q[SEQS + 1];
    const uint32_t *seq_lens;
    vmt_gpu_attention_args args;
    vmt_gpu_attention_plan plan;
    vmt_gpu_attention_lists lists;
};

static void make_cache(vmt_gpu_check_rig *rig, struct scene *s, vmt_dtype kv_dtype) {
    vmt_gpu_kv_layout layout = {NUM_BLOCKS, BLOCK_SIZE, KV_HEADS, s->dim, kv_dtype};
    size_t bytes = 0;
    vmt_status status = vmt_gpu_kv_bytes(&layout, &bytes, NULL);
    VMT_ASSERT(status == VMT_OK);
    vmt_tensor memory = vmt_gpu_check_zeros(rig, VMT_I8, 1, bytes);
    size_t end = rig->used;
    s->args.kv = vmt_gpu_kv_at(&layout, &rig->memory, memory.offset);
    vmt_tensor *parts[] = {&s->args.kv.k, &s->args.kv.v, &s->args.kv.k_scale, &s->args.kv.v_scale};
    for (size_t i = 0; i < VMT_COUNT(parts); i++) {
        if (parts[i]->buffer == NULL) continue;
        bool is_scale = i >= 2, is_i8 = parts[i]->dtype == VMT_I8;
        rig->used = parts[i]->offset;
        uint64_t elems = vmt_tensor_elems(parts[i]);
        (void)vmt_gpu_check_random(rig, parts[i]->dtype, 1, elems,
                                   is_scale ? 0.004
                                   : is_i8  ? -127
                                            : -1,
                                   is_scale ? 0.012
                                   : is_i8  ? 127
                                            : 1);
    }
    rig->used = end;
    s->args.block_tables = vmt_gpu_check_zeros(rig, VMT_I32, SEQS, STRIDE);
    for (uint32_t i = 0; i < SEQS * STRIDE; i++) { /* 7 and 40 have no common divisor */
        vmt_tensor_put(&s->args.block_tables, i, 1 + i * 7 % (SEQS * STRIDE));
    }
}

static void make_lists(vmt_gpu_check_rig *rig, struct scene *s) {
    const vmt_gpu_attention_plan *p = &s->plan;
    s->args.plan = p;
    s->args.parts = vmt_gpu_check_zeros(rig, VMT_I32, p->parts_max, sizeof(vmt_attention_part) / 4);
    s->args.merges = vmt_gpu_check_zeros(rig, VMT_I32, p->merges_max, sizeof(vmt_attention_merge) / 4);
    s->args.tiles = vmt_gpu_check_zeros(rig, VMT_I32, VMT_MAX(p->tiles_max, 1u), sizeof(vmt_attention_tile) / 4);
    s->args.partials = vmt_gpu_check_zeros(rig, VMT_F32, 1, p->partials_bytes / sizeof(float));
    s->lists.parts = vmt_tensor_data(&s->args.parts);
    s->lists.merges = vmt_tensor_data(&s->args.merges);
    s->lists.tiles = vmt_tensor_data(&s->args.tiles);
    vmt_gpu_attention_batch batch = {SEQS, s->cu_seqlens_q, s->seq_lens};
    vmt_gpu_attention_route(p, &batch, &s->lists);
}

static double cached(const vmt_gpu_kv *kv, bool is_v, uint64_t head, uint32_t d) {
    const vmt_tensor *t = is_v ? &kv->v : &kv->k, *scales = is_v ? &kv->v_scale : &kv->k_scale;
    double x = vmt_tensor_at(t, head * kv->layout.head_dim + d);
    return scales->buffer != NULL ? x * vmt_tensor_at(scales, head) : x;
}

static void compare_row(vmt_gpu_check_rig *rig, const struct scene *s, uint32_t seq, uint32_t row, uint32_t head) {
    const vmt_gpu_attention_args *a = &s->args;
    uint32_t num_keys = s->seq_lens[seq] - (s->cu_seqlens_q[seq + 1] - row) + 1;
    uint64_t base = (uint64_t)row * s->group * KV_HEADS * s->dim + head * s->dim;
    double *weights = VMT_ARENA_NEW(rig->arena, double, num_keys),
           *out = VMT_ARENA_NEW(rig->arena, double, s->dim);
    uint64_t *at = VMT_ARENA_NEW(rig->arena, uint64_t, num_keys);
    double most = -INFINITY, sum = 0;
    for (uint32_t key = 0; key < num_keys; key++) {
        uint64_t block = (uint64_t)vmt_tensor_at(&a->block_tables, seq * STRIDE + key / BLOCK_SIZE);
        at[key] = (block * BLOCK_SIZE + key % BLOCK_SIZE) * KV_HEADS + head / s->group;
        for (uint32_t d = 0; d < s->dim; d++) {
            weights[key] += vmt_tensor_at(&a->q, base + d) * cached(&a->kv, false, at[key], d) * (double)a->scale;
        }
        most = fmax(most, weights[key]);
    }
    for (uint32_t key = 0; key < num_keys; key++) {
        double weight = exp(weights[key] - most);
        sum += weight;
        for (uint32_t d = 0; d < s->dim; d++) out[d] += weight * cached(&a->kv, true, at[key], d);
    }
    for (uint32_t d = 0; d < s->dim; d++) {
        vmt_gpu_check_compare(rig, vmt_tensor_at(&a->out, base + d), out[d] / sum);
    }
}

static vmt_status run_attention(vmt_gpu_check_rig *rig, uint32_t variant, bool *is_wanted, vmt_err *err) {
    uint32_t step = variant % 2, v = variant / 2;
    vmt_dtype type = types[v % NUM_TYPES];
    bool is_i8 = v / NUM_TYPES % 2;
    struct scene s = {.group = groups[v / NUM_TYPES / 2 % NUM_GROUPS],
                      .dim = dims[v / NUM_TYPES / 2 / NUM_GROUPS],
                      .seq_lens = steps[step].seq_lens};
    vmt_gpu_check_name(rig, "attention %s d%u x%u%s %s", steps[step].name, s.dim, s.group, is_i8 ? " i8" : "",
                       vmt_gpu_type_name(type));
    uint32_t wanted = rig->selection->head_dim;
    /* A tile's kernel is the same for every group. */
    *is_wanted =
        vmt_gpu_check_wants_type(rig, type) && (wanted == 0 || wanted == s.dim) && (step == 0 || s.group == 2);
    if (!*is_wanted) return VMT_OK;
    for (uint32_t i = 0; i < SEQS; i++) s.cu_seqlens_q[i + 1] = s.cu_seqlens_q[i] + steps[step].q_lens[i];
    uint32_t heads = s.group * KV_HEADS, num_rows = s.cu_seqlens_q[SEQS];
    vmt_gpu_attention_shape shape = {
        .num_heads = heads,
        .num_kv_heads = KV_HEADS,
        .head_dim = s.dim,
        .dtype = type,
        .seqs_max = SEQS,
        .tokens_max = num_rows,
        .context_max = STRIDE * BLOCK_SIZE,
        .kv_tokens_max = NUM_BLOCKS * BLOCK_SIZE,
        .lacks_tiles = step == 0,
    };
    s.plan = vmt_gpu_attention_plan_make(&shape);
    make_cache(rig, &s, is_i8 ? VMT_I8 : type);
    make_lists(rig, &s);
    s.args.num_heads = heads;
    s.args.q = vmt_gpu_check_random(rig, type, num_rows, heads * s.dim, -1, 1);
    s.args.out = vmt_gpu_check_zeros(rig, type, num_rows, heads * s.dim);
    s.args.scale = 1.7f / sqrtf((float)s.dim);
    VMT_TRY(vmt_gpu_attention(rig->program, &s.args, err));
    uint32_t counts[VMT_NUM_STEP_COUNTS] = {
        [VMT_COUNT_DECODE_SPLITS] = s.lists.num_parts,
        [VMT_COUNT_DECODE_MERGES] = s.lists.num_merges,
        [VMT_COUNT_PREFILL_TILES] = s.lists.num_tiles,
    };
    VMT_TRY(vmt_gpu_check_replay(rig, counts, err));
    rig->tolerance = type == VMT_F32 ? 1e-4 : type == VMT_F16 ? 3e-3 : 1.5e-2; /* means of values below 1 */
    for (uint32_t i = 0; i < SEQS; i++) {
        for (uint32_t row = s.cu_seqlens_q[i]; row < s.cu_seqlens_q[i + 1]; row++) {
            for (uint32_t h = 0; h < heads; h++) compare_row(rig, &s, i, row, h);
        }
    }
    return VMT_OK;
}

const vmt_gpu_check_kind vmt_gpu_check_attention = {2 * NUM_TYPES * 2 * NUM_GROUPS * NUM_DIMS, run_attention};
