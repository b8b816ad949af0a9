/* ops/gpu_attention.c: see the header. */
#include "ops/gpu_attention.h"
#include "ops/gpu_type.h"

#include <stdio.h>

#define PART_KEYS_MIN 128u
#define PARTS_OUT     8 /* where `out` is bound in the kernels of parts and of tiles */
#define TILES_OUT     8
#define WORDS(type)   (sizeof(type) / sizeof(int32_t))

/* ---- plan */

/* Short contexts need many parts to fill the device, and long ones at most as many as a merge takes.  One sequence of
 * 4,096 keys takes 15 us in parts of 256 and 20 in parts of 512, 64 of them 344 and 315 (H200): one matters more. */
static const struct {
    uint32_t keys_max, part_keys;
} part_sizes[] = {{1024, PART_KEYS_MIN}, {4096, 256}, {65536, 512}, {131072, 1024}};

static uint32_t ceil_div(uint32_t a, uint32_t b) {
    return a / b + (a % b != 0);
}

uint32_t vmt_gpu_attention_part_keys(uint32_t num_keys) {
    for (size_t i = 0; i < VMT_COUNT(part_sizes); i++) {
        if (num_keys <= part_sizes[i].keys_max) return part_sizes[i].part_keys;
    }
    return ceil_div(ceil_div(num_keys, VMT_ATTENTION_PARTS_MAX), PART_KEYS_MIN) * PART_KEYS_MIN;
}

uint32_t vmt_gpu_attention_num_parts(uint32_t num_keys) {
    return ceil_div(num_keys, vmt_gpu_attention_part_keys(num_keys));
}

/* 16x16 fragments of 4 simdgroups: wide heads are shared by 2 or 4 of them (kernels/attention_prefill.metal). */
static uint32_t tile_rows(uint32_t head_dim) {
    return head_dim <= 128 ? 64 : head_dim <= 256 ? 32 : 16;
}

static bool has_tiles(uint32_t head_dim, vmt_dtype dtype) {
    return vmt_gpu_kv_has_tiles(head_dim) && (dtype != VMT_F32 || head_dim <= 256);
}

static const char *tiles_name(uint32_t head_dim, vmt_dtype dtype, vmt_dtype kv_dtype, char *out, size_t cap) {
    snprintf(out, cap, "attention_prefill_d%u%s_%s", head_dim, kv_dtype == VMT_I8 ? "_i8" : "",
             vmt_gpu_type_name(dtype));
    return out;
}

bool vmt_gpu_attention_lacks_tiles(const vmt_gpu *gpu, uint32_t head_dim, vmt_dtype dtype, vmt_dtype kv_dtype) {
    char name[48];
    return has_tiles(head_dim, dtype) &&
           !vmt_gpu_trusts(gpu, tiles_name(head_dim, dtype, kv_dtype, name, sizeof name));
}

vmt_gpu_attention_plan vmt_gpu_attention_plan_make(const vmt_gpu_attention_shape *s) {
    VMT_ASSERT(s->num_kv_heads > 0 && s->num_heads % s->num_kv_heads == 0 && s->num_heads > 0);
    uint32_t group = s->num_heads / s->num_kv_heads, rows = tile_rows(s->head_dim);
    uint32_t chunks = ceil_div(group, rows / 4); /* 4 query rows or more in a tile */
    vmt_gpu_attention_plan plan = {
        .tile_heads = ceil_div(group, chunks),
        .has_tiles = has_tiles(s->head_dim, s->dtype) && !s->lacks_tiles,
    };
    plan.tile_tokens = rows / plan.tile_heads;
    /* A context of n keys has at most n / PART_KEYS_MIN + 1 parts. */
    uint64_t rows_max = plan.has_tiles ? s->seqs_max : s->tokens_max;
    uint64_t by_memory = rows_max + s->kv_tokens_max / PART_KEYS_MIN;
    uint64_t by_length = rows_max * vmt_gpu_attention_num_parts(s->context_max);
    uint64_t partials = VMT_MIN(by_memory, by_length);
    VMT_ASSERT(partials + rows_max <= INT32_MAX);
    plan.partials_max = (uint32_t)partials;
    plan.parts_max = (uint32_t)(partials + rows_max);
    plan.merges_max = (uint32_t)rows_max;
    plan.tiles_max =
        plan.has_tiles ? VMT_MIN(s->seqs_max, s->tokens_max / 2) + s->tokens_max / plan.tile_tokens : 0;
    plan.partials_bytes =
        (size_t)partials * s->num_heads * (s->head_dim + VMT_ATTENTION_PARTIAL_PAD) * sizeof(float);
    return plan;
}

/* ---- route */

struct route {
    const vmt_gpu_attention_plan *plan;
    vmt_gpu_attention_lists *lists;
    uint32_t num_partials;
};

static void add_part(struct route *r, const vmt_attention_part *part) {
    VMT_ASSERT(r->lists->num_parts < r->plan->parts_max);
    r->lists->parts[r->lists->num_parts++] = *part;
}

/* A query row that sees num_keys keys. */
static void add_row(struct route *r, uint32_t seq, uint32_t row, uint32_t num_keys) {
    uint32_t part_keys = vmt_gpu_attention_part_keys(num_keys), num_parts = ceil_div(num_keys, part_keys);
    vmt_attention_part part = {(int32_t)seq, (int32_t)row, (int32_t)num_keys, 0, (int32_t)num_keys, -1};
    if (num_parts == 1 || num_parts > r->plan->partials_max - r->num_partials) {
        add_part(r, &part);
        return;
    }
    VMT_ASSERT(r->lists->num_merges < r->plan->merges_max);
    r->lists->merges[r->lists->num_merges++] =
        (vmt_attention_merge){(int32_t)row, (int32_t)r->num_partials, (int32_t)(r->num_partials + num_parts)};
    for (uint32_t i = 0; i < num_parts; i++) {
        part.key_begin = (int32_t)(i * part_keys);
        part.key_end = (int32_t)VMT_MIN((i + 1) * part_keys, num_keys);
        part.partial = (int32_t)r->num_partials++;
        add_part(r, &part);
    }
}

static void add_tiles(struct route *r, uint32_t seq, uint32_t row, uint32_t num_rows, uint32_t position) {
    uint32_t step = r->plan->tile_tokens;
    for (uint32_t i = ceil_div(num_rows, step); i-- > 0;) { /* the last rows see most keys: they start first */
        VMT_ASSERT(r->lists->num_tiles < r->plan->tiles_max);
        r->lists->tiles[r->lists->num_tiles++] = (vmt_attention_tile){
            .seq = (int32_t)seq,
            .row = (int32_t)(row + i * step),
            .num_rows = (int32_t)VMT_MIN(step, num_rows - i * step),
            .position = (int32_t)(position + i * step),
        };
    }
}

void vmt_gpu_attention_route(const vmt_gpu_attention_plan *plan, const vmt_gpu_attention_batch *batch,
                             vmt_gpu_attention_lists *lists) {
    struct route r = {plan, lists, 0};
    lists->num_parts = lists->num_merges = lists->num_tiles = 0;
    for (uint32_t s = 0; s < batch->num_seqs; s++) {
        uint32_t row = batch->cu_seqlens_q[s], num_rows = batch->cu_seqlens_q[s + 1] - row;
        uint32_t num_keys = batch->seq_lens[s];
        VMT_ASSERT(num_rows <= num_keys && num_keys <= INT32_MAX);
        if (num_rows > 1 && plan->has_tiles) {
            add_tiles(&r, s, row, num_rows, num_keys - num_rows);
        } else {
            for (uint32_t i = 0; i < num_rows; i++) add_row(&r, s, row + i, num_keys - num_rows + 1 + i);
        }
    }
}

/* ---- record */

static vmt_status check_lists(const vmt_gpu_attention_args *a, vmt_err *err) {
    const vmt_gpu_attention_plan *plan = a->plan;
    const struct {
        const char *name;
        const vmt_tensor *tensor;
        uint64_t words;
    } lists[] = {
        {"parts", &a->parts, plan->parts_max * WORDS(vmt_attention_part)},
        {"merges", &a->merges, plan->merges_max * WORDS(vmt_attention_merge)},
        {"tiles", &a->tiles, plan->tiles_max * WORDS(vmt_attention_tile)},
        {"partials", &a->partials, plan->partials_bytes / sizeof(float)},
    };
    for (size_t i = 0; i < VMT_COUNT(lists); i++) {
        uint64_t words = vmt_tensor_elems(lists[i].tensor);
        if (lists[i].words == 0) continue;
        if (lists[i].tensor->buffer == NULL || words < lists[i].words ||
            (lists[i].tensor->dtype != VMT_I32 && lists[i].tensor->dtype != VMT_F32)) {
            return vmt_fail(err, VMT_E_INVALID, "attention: %s has %llu words, the plan wants %llu", lists[i].name,
                            (unsigned long long)words, (unsigned long long)lists[i].words);
        }
    }
    if (a->block_tables.ndim != 2 || a->block_tables.dtype != VMT_I32 || a->block_tables.shape[1] > UINT32_MAX) {
        return vmt_fail(err, VMT_E_INVALID, "attention: the block tables are I32 [sequences, blocks]");
    }
    if (a->sinks.buffer != NULL && (a->sinks.dtype != VMT_F32 || vmt_tensor_elems(&a->sinks) != a->num_heads)) {
        return vmt_fail(err, VMT_E_INVALID, "attention: %llu sinks, there are %u heads",
                        (unsigned long long)vmt_tensor_elems(&a->sinks), a->num_heads);
    }
    return VMT_OK;
}

vmt_status vmt_gpu_attention_check(const vmt_gpu_attention_args *a, vmt_err *err) {
    const vmt_gpu_kv_layout *l = &a->kv.layout;
    VMT_TRY(vmt_gpu_kv_check(l, err));
    if (a->num_heads == 0 || a->num_heads % l->num_kv_heads != 0) {
        return vmt_fail(err, VMT_E_INVALID, "attention: %u query heads, %u KV heads; a multiple is wanted",
                        a->num_heads, l->num_kv_heads);
    }
    const vmt_tensor *rows[] = {&a->q, &a->out};
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        if (rows[i]->ndim != 2 || rows[i]->dtype != a->q.dtype || vmt_gpu_type_name(a->q.dtype) == NULL ||
            rows[i]->shape[1] < (uint64_t)a->num_heads * l->head_dim || rows[i]->shape[1] % 8 != 0 ||
            rows[i]->shape[1] > UINT32_MAX || rows[i]->offset % 16 != 0) {
            return vmt_fail(err, VMT_E_INVALID, "attention: %s does not hold rows of %u heads of %u",
                            i == 0 ? "q" : "out", a->num_heads, l->head_dim);
        }
    }
    if (l->dtype != a->q.dtype && l->dtype != VMT_I8) {
        return vmt_fail(err, VMT_E_INVALID,
                        "attention: q is of type %s, the KV cache of %s; it has the same or I8",
                        vmt_dtype_get(a->q.dtype)->name, vmt_dtype_get(l->dtype)->name);
    }
    if (!(a->scale > 0) || !(a->soft_cap >= 0)) {
        return vmt_fail(err, VMT_E_INVALID, "attention: scale %g, soft cap %g", (double)a->scale,
                        (double)a->soft_cap);
    }
    return check_lists(a, err);
}

static uint32_t shift_of(uint32_t power_of_two) {
    return (uint32_t)__builtin_ctz(power_of_two);
}

static vmt_attention_kargs kargs_of(const vmt_gpu_attention_args *a, uint32_t tile_heads) {
    const vmt_gpu_kv_layout *l = &a->kv.layout;
    return (vmt_attention_kargs){
        .num_heads = a->num_heads,
        .num_kv_heads = l->num_kv_heads,
        .head_dim = l->head_dim,
        .tile_heads = tile_heads,
        .head_chunks = ceil_div(a->num_heads / l->num_kv_heads, tile_heads),
        .q_stride = (uint32_t)a->q.shape[1],
        .out_stride = (uint32_t)a->out.shape[1],
        .table_stride = (uint32_t)a->block_tables.shape[1],
        .block_shift = shift_of(l->block_size),
        .sliding_window = a->sliding_window,
        .has_sinks = a->sinks.buffer != NULL,
        .scale = a->scale,
        .soft_cap = a->soft_cap,
    };
}

static vmt_status record_parts(vmt_gpu_program *program, const vmt_gpu_attention_args *a, vmt_err *err) {
    const vmt_gpu_kv *kv = &a->kv;
    uint32_t group = a->num_heads / kv->layout.num_kv_heads, dim = kv->layout.head_dim;
    uint32_t heads = group <= 2 ? group : 4; /* a lane holds 16 floats for each */
    bool is_i8 = kv->layout.dtype == VMT_I8;
    char name[48];
    snprintf(name, sizeof name, "attention_decode_d%u_h%u%s_%s",
             dim <= 64    ? 64u
             : dim <= 128 ? 128u
             : dim <= 256 ? 256u
                          : 512u,
             heads, is_i8 ? "_i8" : "", vmt_gpu_type_name(a->q.dtype));
    vmt_attention_kargs kargs = kargs_of(a, heads);
    vmt_gpu_op op = {
        .kernel = name,
        .buffers = {a->q, kv->k, kv->v, is_i8 ? kv->k_scale : kv->k, is_i8 ? kv->v_scale : kv->v, a->block_tables,
                    a->parts, kargs.has_sinks ? a->sinks : a->parts, a->out, a->partials},
        .num_buffers = 10,
        .apart = 1u << PARTS_OUT, /* rows of tiles are other rows */
        .args = &kargs,
        .args_bytes = sizeof kargs,
        .grid = {kv->layout.num_kv_heads * kargs.head_chunks, 1, 1},
        .count = VMT_COUNT_DECODE_SPLITS,
        .axis = 1,
        .per_group = 1,
    };
    return vmt_gpu_program_add(program, &op, err);
}

static vmt_status record_tiles(vmt_gpu_program *program, const vmt_gpu_attention_args *a, vmt_err *err) {
    const vmt_gpu_kv *kv = &a->kv;
    bool is_i8 = kv->layout.dtype == VMT_I8;
    char name[48];
    tiles_name(kv->layout.head_dim, a->q.dtype, kv->layout.dtype, name, sizeof name);
    vmt_attention_kargs kargs = kargs_of(a, a->plan->tile_heads);
    vmt_gpu_op op = {
        .kernel = name,
        .buffers = {a->q, kv->k, kv->v, is_i8 ? kv->k_scale : kv->k, is_i8 ? kv->v_scale : kv->v, a->block_tables,
                    a->tiles, kargs.has_sinks ? a->sinks : a->tiles, a->out},
        .num_buffers = 9,
        .apart = 1u << TILES_OUT,
        .args = &kargs,
        .args_bytes = sizeof kargs,
        .grid = {kv->layout.num_kv_heads * kargs.head_chunks, 1, 1},
        .count = VMT_COUNT_PREFILL_TILES,
        .axis = 1,
        .per_group = 1,
    };
    return vmt_gpu_program_add(program, &op, err);
}

static vmt_status record_merges(vmt_gpu_program *program, const vmt_gpu_attention_args *a, vmt_err *err) {
    char name[32];
    snprintf(name, sizeof name, "attention_merge_%s", vmt_gpu_type_name(a->q.dtype));
    vmt_attention_kargs kargs = kargs_of(a, 1);
    vmt_gpu_op op = {
        .kernel = name,
        .buffers = {a->partials, a->merges, kargs.has_sinks ? a->sinks : a->partials, a->out},
        .num_buffers = 4,
        .args = &kargs,
        .args_bytes = sizeof kargs,
        .grid = {a->num_heads, 1, 1},
        .count = VMT_COUNT_DECODE_MERGES,
        .axis = 1,
        .per_group = 1,
    };
    return vmt_gpu_program_add(program, &op, err);
}

vmt_status vmt_gpu_attention(vmt_gpu_program *program, const vmt_gpu_attention_args *a, vmt_err *err) {
    VMT_TRY(vmt_gpu_attention_check(a, err));
    VMT_TRY(record_parts(program, a, err));
    if (a->plan->has_tiles) VMT_TRY(record_tiles(program, a, err));
    return record_merges(program, a, err);
}
