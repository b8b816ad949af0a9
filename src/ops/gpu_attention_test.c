/* ops/gpu_attention_test.c: paged attention on a GPU against the formula in double: every head size, type and cache,
 * groups of any ratio, windows, soft caps, sinks, contexts around the borders of blocks, tiles and parts.  What no row
 * may read (slots behind the end, blocks of nobody) is NaN.  And how a step is routed. */
#include "ops/gpu_attention.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/test_rig.h"

#define SEQS_MAX 6u
#define ROW_PAD  8u /* columns of q and out behind the heads */

struct scene {
    uint32_t heads, kv_heads, dim, block_size;
    uint32_t window;
    float soft_cap;
    bool has_sinks, is_i8;
    vmt_dtype dtype;
    uint32_t num_seqs, q_lens[SEQS_MAX], seq_lens[SEQS_MAX];
    uint32_t kv_tokens_max; /* 0: what the sequences have */
};

struct rig {
    vmt_test_rig base;
    vmt_gpu_attention_args args;
    vmt_gpu_attention_plan plan;
    vmt_gpu_attention_lists lists;
    uint32_t cu_seqlens_q[SEQS_MAX + 1];
};

/* ---- building a scene */

static uint32_t blocks_of(const struct scene *s, uint32_t seq) {
    return (s->seq_lens[seq] + s->block_size - 1) / s->block_size;
}

/* Each sequence's content depends on its own index and positions alone, wherever its blocks lie. */
static double content(vmt_test *t, uint32_t stream, uint32_t seq, uint64_t position, uint64_t elem) {
    uint64_t at = ((uint64_t)seq * 1000003 + position) * 40009 + elem;
    uint64_t x = (at + t->seed) * UINT64_C(0x9E3779B97F4A7C15) + stream * UINT64_C(0xD1B54A32D192ED03);
    x = (x ^ x >> 31) * UINT64_C(0xBF58476D1CE4E5B9);
    return (double)((x ^ x >> 29) >> 11) * 0x1p-52 - 1;
}

static void fill_position(vmt_test *t, const struct scene *s, const vmt_gpu_kv *kv, uint32_t seq,
                          uint32_t position, uint64_t slot) {
    for (uint32_t h = 0; h < s->kv_heads; h++) {
        uint64_t head = slot * s->kv_heads + h;
        if (s->is_i8) {
            vmt_tensor_put(&kv->k_scale, head, 0.008 * (1.5 + content(t, 5, seq, position, h)));
            vmt_tensor_put(&kv->v_scale, head, 0.008 * (1.5 + content(t, 6, seq, position, h)));
        }
        for (uint32_t d = 0; d < s->dim; d++) {
            double k = content(t, 1, seq, position, h * s->dim + d),
                   v = content(t, 2, seq, position, h * s->dim + d);
            vmt_tensor_put(&kv->k, head * s->dim + d, s->is_i8 ? rint(127 * k) : k);
            vmt_tensor_put(&kv->v, head * s->dim + d, s->is_i8 ? rint(127 * v) : v);
        }
    }
}

static void make_cache(struct rig *r, const struct scene *s) {
    vmt_test *t = r->base.t;
    uint32_t stride = 1, num_blocks = 2;
    for (uint32_t i = 0; i < s->num_seqs; i++) {
        stride = VMT_MAX(stride, blocks_of(s, i));
        num_blocks += blocks_of(s, i);
    }
    vmt_gpu_kv_layout layout = {num_blocks, s->block_size, s->kv_heads, s->dim, s->is_i8 ? VMT_I8 : s->dtype};
    size_t bytes;
    vmt_expect_eq(t, vmt_gpu_kv_bytes(&layout, &bytes, NULL), VMT_OK);
    vmt_tensor memory = vmt_test_rig_zeros(&r->base, VMT_I8, 1, bytes);
    memset(vmt_tensor_data(&memory), 0xFF, bytes); /* NaN in every float type */
    r->args.kv = vmt_gpu_kv_at(&layout, memory.buffer, 0);
    int32_t *tables = VMT_ARENA_NEW(t->arena, int32_t, (size_t)s->num_seqs *stride);
    memset(tables, 0, (size_t)s->num_seqs * stride * sizeof *tables);
    for (uint32_t i = 0, block = 0; i < s->num_seqs; i++) {
        for (uint32_t b = 0; b < blocks_of(s, i); b++, block++) { /* 1 .. num_blocks - 2, shuffled */
            uint32_t n = num_blocks - 2, step = n % 7 == 0 ? 11 : 7;
            tables[i * stride + b] = (int32_t)(1 + (uint64_t)block * step % n);
        }
        for (uint32_t p = 0; p < s->seq_lens[i]; p++) {
            uint64_t slot = (uint64_t)tables[i * stride + p / s->block_size] * s->block_size + p % s->block_size;
            fill_position(t, s, &r->args.kv, i, p, slot);
        }
    }
    r->args.block_tables = vmt_test_rig_ints(&r->base, tables, s->num_seqs, stride);
}

static void make_rows(struct rig *r, const struct scene *s) {
    uint32_t cols = s->heads * s->dim + ROW_PAD, num_tokens = r->cu_seqlens_q[s->num_seqs];
    r->args.q = vmt_test_rig_zeros(&r->base, s->dtype, num_tokens, cols);
    r->args.out = vmt_test_rig_zeros(&r->base, s->dtype, num_tokens, cols);
    for (uint32_t i = 0; i < s->num_seqs; i++) {
        for (uint32_t row = r->cu_seqlens_q[i]; row < r->cu_seqlens_q[i + 1]; row++) {
            uint32_t position = s->seq_lens[i] - (r->cu_seqlens_q[i + 1] - row);
            for (uint32_t c = 0; c < cols; c++) {
                vmt_tensor_put(&r->args.q, (uint64_t)row * cols + c, content(r->base.t, 3, i, position, c));
                vmt_tensor_put(&r->args.out, (uint64_t)row * cols + c, 77);
            }
        }
    }
}

static void make_lists(struct rig *r, const struct scene *s) {
    vmt_gpu_attention_shape shape = {.num_heads = s->heads,
                                     .num_kv_heads = s->kv_heads,
                                     .head_dim = s->dim,
                                     .dtype = s->dtype,
                                     .seqs_max = s->num_seqs,
                                     .tokens_max = r->cu_seqlens_q[s->num_seqs],
                                     .context_max = 1,
                                     .kv_tokens_max = s->kv_tokens_max};
    for (uint32_t i = 0; i < s->num_seqs; i++) {
        shape.context_max = VMT_MAX(shape.context_max, s->seq_lens[i]);
        if (s->kv_tokens_max == 0) shape.kv_tokens_max += s->seq_lens[i];
    }
    r->plan = vmt_gpu_attention_plan_make(&shape);
    const vmt_gpu_attention_plan *p = &r->plan;
    uint64_t part = sizeof(vmt_attention_part) / 4, merge = sizeof(vmt_attention_merge) / 4;
    r->args.parts = vmt_test_rig_zeros(&r->base, VMT_I32, p->parts_max, part);
    r->args.merges = vmt_test_rig_zeros(&r->base, VMT_I32, p->merges_max, merge);
    r->args.tiles =
        vmt_test_rig_zeros(&r->base, VMT_I32, VMT_MAX(p->tiles_max, 1), sizeof(vmt_attention_tile) / 4);
    r->args.partials = vmt_test_rig_zeros(&r->base, VMT_F32, 1, p->partials_bytes / sizeof(float));
    memset(vmt_tensor_data(&r->args.partials), 0xFF, p->partials_bytes);
    r->lists.parts = vmt_tensor_data(&r->args.parts);
    r->lists.merges = vmt_tensor_data(&r->args.merges);
    r->lists.tiles = vmt_tensor_data(&r->args.tiles);
    vmt_gpu_attention_batch batch = {s->num_seqs, r->cu_seqlens_q, s->seq_lens};
    vmt_gpu_attention_route(p, &batch, &r->lists);
}

/* Runs the scene; the caller closes r->base. */
static void run_scene(struct rig *r, vmt_test *t, const struct scene *s) {
    *r = (struct rig){0};
    vmt_test_rig_open(&r->base, t);
    for (uint32_t i = 0; i < s->num_seqs; i++) r->cu_seqlens_q[i + 1] = r->cu_seqlens_q[i] + s->q_lens[i];
    make_cache(r, s);
    make_rows(r, s);
    make_lists(r, s);
    r->args.plan = &r->plan;
    r->args.num_heads = s->heads;
    r->args.scale = 1.7f / sqrtf((float)s->dim);
    r->args.soft_cap = s->soft_cap;
    r->args.sliding_window = s->window;
    if (s->has_sinks) r->args.sinks = vmt_test_rig_random(&r->base, VMT_F32, 1, s->heads);
    vmt_err err = {0};
    vmt_test_rig_recorded(&r->base, vmt_gpu_attention(r->base.program, &r->args, &err), &err);
    uint32_t counts[VMT_NUM_STEP_COUNTS] = {
        [VMT_COUNT_DECODE_SPLITS] = r->lists.num_parts,
        [VMT_COUNT_DECODE_MERGES] = r->lists.num_merges,
        [VMT_COUNT_PREFILL_TILES] = r->lists.num_tiles,
    };
    vmt_test_rig_run(&r->base, counts);
}

/* ---- reference */

/* One element of a cache, as its type has it. */
static double cached(const struct scene *s, const vmt_gpu_kv *kv, bool is_v, uint64_t head, uint32_t d) {
    double x = vmt_tensor_at(is_v ? &kv->v : &kv->k, head * s->dim + d);
    return s->is_i8 ? x * vmt_tensor_at(is_v ? &kv->v_scale : &kv->k_scale, head) : x;
}

static void row_ref(vmt_test *t, const struct rig *r, const struct scene *s, uint32_t seq, uint32_t row,
                    uint32_t head, double *out) {
    const vmt_gpu_attention_args *a = &r->args;
    uint32_t position = s->seq_lens[seq] - (r->cu_seqlens_q[seq + 1] - row), cols = s->heads * s->dim + ROW_PAD;
    uint32_t first = s->window > 0 && position + 1 > s->window ? position + 1 - s->window : 0;
    double *weights = VMT_ARENA_NEW(t->arena, double, position + 1);
    uint64_t *at = VMT_ARENA_NEW(t->arena, uint64_t, position + 1);
    double max = s->has_sinks ? vmt_tensor_at(&a->sinks, head) : -1e300, sum = 0;
    for (uint32_t key = first; key <= position; key++) {
        uint64_t block =
            (uint64_t)vmt_tensor_at(&a->block_tables, seq * a->block_tables.shape[1] + key / s->block_size);
        at[key] = (block * s->block_size + key % s->block_size) * s->kv_heads + head / (s->heads / s->kv_heads);
        double dot = 0;
        for (uint32_t d = 0; d < s->dim; d++) {
            dot += vmt_tensor_at(&a->q, (uint64_t)row * cols + head * s->dim + d) *
                   cached(s, &a->kv, false, at[key], d);
        }
        dot *= (double)a->scale;
        weights[key] = s->soft_cap > 0 ? (double)s->soft_cap * tanh(dot / (double)s->soft_cap) : dot;
        max = fmax(max, weights[key]);
    }
    if (s->has_sinks) sum = exp(vmt_tensor_at(&a->sinks, head) - max);
    for (uint32_t d = 0; d < s->dim; d++) out[d] = 0;
    for (uint32_t key = first; key <= position; key++) {
        double weight = exp(weights[key] - max);
        sum += weight;
        for (uint32_t d = 0; d < s->dim; d++) out[d] += weight * cached(s, &a->kv, true, at[key], d);
    }
    for (uint32_t d = 0; d < s->dim; d++) out[d] /= sum;
}

/* Relative to the largest output: weights and the result are rounded to the type. */
static double tolerance(const struct scene *s) {
    return s->dtype == VMT_F32 ? 2e-5 : s->dtype == VMT_F16 ? 2e-3 : 1.2e-2;
}

static void check_scene(vmt_test *t, const struct scene *s) {
    if (!vmt_test_gpu_takes()) return;
    struct rig r;
    run_scene(&r, t, s);
    uint32_t cols = s->heads * s->dim + ROW_PAD;
    double *want = VMT_ARENA_NEW(t->arena, double, s->dim);
    for (uint32_t i = 0; i < s->num_seqs; i++) {
        for (uint32_t row = r.cu_seqlens_q[i]; row < r.cu_seqlens_q[i + 1]; row++) {
            for (uint32_t h = 0; h < s->heads; h++) {
                row_ref(t, &r, s, i, row, h, want);
                double max = 0;
                for (uint32_t d = 0; d < s->dim; d++) max = fmax(max, fabs(want[d]));
                for (uint32_t d = 0; d < s->dim; d++) {
                    double got = vmt_tensor_at(&r.args.out, (uint64_t)row * cols + h * s->dim + d);
                    if (fabs(got - want[d]) <= tolerance(s) * max) continue;
                    vmt_test_fail(
                        t, __FILE__, __LINE__,
                        "%s%s, %u/%u heads of %u, blocks of %u: sequence %u of %u keys, row %u, head %u, "
                        "element %u is %.7g, want %.7g",
                        vmt_dtype_get(s->dtype)->name, s->is_i8 ? " over I8" : "", s->heads, s->kv_heads, s->dim,
                        s->block_size, i, s->seq_lens[i], row - r.cu_seqlens_q[i], h, d, got, want[d]);
                }
            }
            for (uint32_t c = s->heads * s->dim; c < cols; c++) {
                vmt_expect_eq(t, vmt_tensor_at(&r.args.out, (uint64_t)row * cols + c), 77);
            }
        }
    }
    vmt_test_rig_close(&r.base);
}

/* ---- cases */

static const vmt_dtype types[] = {VMT_F32, VMT_F16, VMT_BF16};
static const uint32_t dims[] = {16, 32, 64, 80, 96, 112, 128, 192, 256, 512};

static void decodes_every_head_size(vmt_test *t) {
    for (size_t i = 0; i < VMT_COUNT(dims) * VMT_COUNT(types) * 2; i++) {
        struct scene s = {
            .heads = 4,
            .kv_heads = 2,
            .dim = dims[i / 6],
            .block_size = 8u << i % 3,
            .dtype = types[i % 3],
            .is_i8 = i / 3 % 2,
            .num_seqs = 4,
            .q_lens = {1, 1, 0, 1},
            .seq_lens = {1, 37, 5, 201}, /* the last in two parts */
        };
        check_scene(t, &s);
    }
}

static void prefills_every_head_size(vmt_test *t) {
    for (size_t i = 0; i < VMT_COUNT(dims) * VMT_COUNT(types) * 2; i++) {
        struct scene s = {
            .heads = 4,
            .kv_heads = 2,
            .dim = dims[i / 6],
            .block_size = 8u << i % 3,
            .dtype = types[i % 3],
            .is_i8 = i / 3 % 2,
            .num_seqs = 3,
            .q_lens = {2, 35, 3},
            .seq_lens = {2, 35, 50},
        };
        check_scene(t, &s);
    }
}

/* Without fragments of their size every row goes the way of a decode. */
static void serves_heads_of_other_sizes(vmt_test *t) {
    static const uint32_t others[] = {8, 24, 40, 72, 136, 264};
    for (size_t i = 0; i < VMT_COUNT(others); i++) {
        struct scene s = {
            .heads = 4,
            .kv_heads = 2,
            .dim = others[i],
            .block_size = 8,
            .dtype = types[i % 3],
            .num_seqs = 3,
            .q_lens = {1, 9, 3},
            .seq_lens = {150, 9, 140},
        };
        check_scene(t, &s);
    }
}

static void serves_groups_of_any_ratio(vmt_test *t) {
    static const uint32_t groups[] = {1, 2, 3, 4, 5, 7, 8, 16, 17, 71};
    for (size_t i = 0; i < VMT_COUNT(groups) * 2; i++) {
        struct scene s = {
            .heads = groups[i / 2] * 2,
            .kv_heads = 2,
            .dim = i % 2 ? 64 : 192,
            .block_size = 16,
            .dtype = VMT_F16,
            .num_seqs = 3,
            .q_lens = {1, 9, 1},
            .seq_lens = {40, 21, 270},
        };
        check_scene(t, &s);
    }
}

static void masks_caps_and_sinks(vmt_test *t) {
    static const uint32_t windows[] = {0, 1, 7, 16, 100};
    for (size_t i = 0; i < VMT_COUNT(windows) * 4; i++) {
        struct scene s = {
            .heads = 6,
            .kv_heads = 2,
            .dim = i % 2 ? 64 : 128,
            .block_size = 8,
            .window = windows[i / 4],
            .soft_cap = i % 4 >= 2 ? 1.5f : 0,
            .has_sinks = i % 4 != 2,
            .dtype = i % 3 == 0 ? VMT_F32 : VMT_F16,
            .num_seqs = 4,
            .q_lens = {1, 30, 1, 70},
            .seq_lens = {140, 30, 600, 130},
        };
        check_scene(t, &s);
    }
}

static void cuts_contexts_at_every_border(vmt_test *t) {
    static const uint32_t lens[][SEQS_MAX] = {{127, 128, 129, 255, 256, 513}, {1024, 1025, 8, 9, 15, 2500}};
    for (size_t i = 0; i < VMT_COUNT(lens) * 2; i++) {
        struct scene s = {
            .heads = 2,
            .kv_heads = 1,
            .dim = i % 2 ? 32 : 256,
            .block_size = 32,
            .has_sinks = true,
            .dtype = VMT_F32,
            .num_seqs = SEQS_MAX,
            .q_lens = {1, 1, 1, 1, 1, 1},
        };
        memcpy(s.seq_lens, lens[i / 2], sizeof s.seq_lens);
        check_scene(t, &s);
        s.kv_tokens_max = 256; /* room for a few partial results alone: contexts that do not fit run in one part */
        check_scene(t, &s);
    }
}

/* ---- a row's result is its own */

static const uint8_t *row_bytes(const struct rig *r, uint32_t row) {
    return (const uint8_t *)vmt_tensor_data(&r->args.out) +
           row * (vmt_tensor_bytes(&r->args.out) / r->args.out.shape[0]);
}

static void expect_same_rows(vmt_test *t, const struct scene *a, uint32_t a_row, const struct scene *b,
                             uint32_t b_row, uint32_t num_rows) {
    if (!vmt_test_gpu_takes()) return;
    struct rig r;
    run_scene(&r, t, a);
    size_t bytes = vmt_tensor_bytes(&r.args.out) / r.args.out.shape[0] - 2 * ROW_PAD;
    uint8_t *want = vmt_arena_alloc(t->arena, num_rows * bytes);
    for (uint32_t i = 0; i < num_rows; i++) memcpy(want + i * bytes, row_bytes(&r, a_row + i), bytes);
    vmt_test_rig_close(&r.base);
    run_scene(&r, t, b);
    for (uint32_t i = 0; i < num_rows; i++) {
        vmt_expect(t, memcmp(want + i * bytes, row_bytes(&r, b_row + i), bytes) == 0);
    }
    vmt_test_rig_close(&r.base);
}

static void answers_alone_as_together(vmt_test *t) {
    struct scene alone = {.heads = 8, .kv_heads = 2, .dim = 64, .block_size = 16, .dtype = VMT_F16, .num_seqs = 1};
    alone.q_lens[0] = 1;
    alone.seq_lens[0] = 1500;
    struct scene together = alone;
    together.num_seqs = 4;
    memcpy(together.q_lens, (uint32_t[SEQS_MAX]){1, 40, 1, 1}, sizeof together.q_lens);
    memcpy(together.seq_lens, (uint32_t[SEQS_MAX]){1500, 50, 300, 1}, sizeof together.seq_lens);
    expect_same_rows(t, &alone, 0, &together, 0, 1);
}

static void answers_whole_as_in_chunks(vmt_test *t) {
    struct scene whole = {
        .heads = 6, .kv_heads = 2, .dim = 128, .block_size = 16, .dtype = VMT_F16, .num_seqs = 1};
    for (uint32_t window = 0; window <= 40; window += 40) {
        whole.window = window;
        whole.q_lens[0] = whole.seq_lens[0] = 110;
        struct scene chunk = whole;
        chunk.q_lens[0] = 37; /* rows 73 .. 109 */
        expect_same_rows(t, &whole, 73, &chunk, 0, 37);
    }
}

/* Parts and tiles write different rows of one tensor; the merge needs the parts. */
static void runs_parts_beside_tiles(vmt_test *t) {
    struct scene s = {.heads = 4, .kv_heads = 2, .dim = 64, .block_size = 16, .dtype = VMT_F16, .num_seqs = 2};
    memcpy(s.q_lens, (uint32_t[SEQS_MAX]){1, 3}, sizeof s.q_lens);
    memcpy(s.seq_lens, (uint32_t[SEQS_MAX]){300, 3}, sizeof s.seq_lens);
    struct rig r;
    run_scene(&r, t, &s);
    uint32_t counts[VMT_NUM_STEP_COUNTS] = {
        [VMT_COUNT_DECODE_SPLITS] = 3, [VMT_COUNT_DECODE_MERGES] = 1, [VMT_COUNT_PREFILL_TILES] = 1};
    vmt_gpu_program_stats stats = vmt_gpu_program_get_stats(r.base.program, counts);
    vmt_expect_eq(t, stats.num_dispatches, 3);
    vmt_expect_eq(t, stats.num_barriers, 1);
    counts[VMT_COUNT_DECODE_MERGES] = counts[VMT_COUNT_PREFILL_TILES] = 0; /* a short decode is one dispatch */
    stats = vmt_gpu_program_get_stats(r.base.program, counts);
    vmt_expect_eq(t, stats.num_dispatches, 1);
    vmt_expect_eq(t, stats.num_barriers, 0);
    vmt_test_rig_close(&r.base);
}

/* ---- plan and route */

static void plans_parts_by_length_alone(vmt_test *t) {
    static const uint32_t want[][3] = {
        {1, 128, 1},       {128, 128, 1},       {129, 128, 2},       {1024, 128, 8},
        {1025, 256, 5},    {4096, 256, 16},     {4097, 512, 9},      {65536, 512, 128},
        {65537, 1024, 65}, {131072, 1024, 128}, {131073, 1152, 114}, {1 << 27, 1 << 20, 128},
    };
    for (size_t i = 0; i < VMT_COUNT(want); i++) {
        vmt_expect_eq(t, vmt_gpu_attention_part_keys(want[i][0]), want[i][1]);
        vmt_expect_eq(t, vmt_gpu_attention_num_parts(want[i][0]), want[i][2]);
    }
    for (uint32_t n = 1; n < 1u << 27; n += 1 + n / 50) {
        vmt_expect(t, vmt_gpu_attention_num_parts(n) <= VMT_ATTENTION_PARTS_MAX);
        vmt_expect(t, vmt_gpu_attention_part_keys(n) % 128 == 0);
    }
}

static void plans_tiles_by_head_size(vmt_test *t) {
    static const uint32_t want[][5] = {/* heads, kv heads, dim: heads and rows of a tile */
                                       {32, 32, 128, 1, 64}, {32, 8, 128, 4, 16}, {28, 4, 128, 7, 9},
                                       {9, 3, 64, 3, 21},    {64, 8, 64, 8, 8},   {71, 1, 64, 15, 4},
                                       {8, 4, 256, 2, 16},   {16, 1, 512, 4, 4}};
    for (size_t i = 0; i < VMT_COUNT(want); i++) {
        vmt_gpu_attention_shape shape = {want[i][0], want[i][1], want[i][2], VMT_F16, 4, 100, 1000, 4000, false};
        vmt_gpu_attention_plan plan = vmt_gpu_attention_plan_make(&shape);
        vmt_expect_eq(t, plan.tile_heads, want[i][3]);
        vmt_expect_eq(t, plan.tile_tokens, want[i][4]);
        vmt_expect(t, plan.has_tiles);
    }
}

static void routes_each_row(vmt_test *t) {
    vmt_gpu_attention_shape shape = {32, 8, 128, VMT_BF16, 5, 64, 1024, 2048, false};
    vmt_gpu_attention_plan plan = vmt_gpu_attention_plan_make(&shape);
    vmt_attention_part parts[32];
    vmt_attention_merge merges[8];
    vmt_attention_tile tiles[16];
    vmt_expect(t, plan.parts_max <= VMT_COUNT(parts) && plan.merges_max <= VMT_COUNT(merges));
    vmt_expect(t, plan.tiles_max <= VMT_COUNT(tiles));
    vmt_gpu_attention_lists lists = {.parts = parts, .merges = merges, .tiles = tiles};
    uint32_t cu[] = {0, 1, 1, 21, 22, 23}, lens[] = {600, 9, 50, 128, 300};
    vmt_gpu_attention_batch batch = {5, cu, lens};
    vmt_gpu_attention_route(&plan, &batch, &lists);
    static const vmt_attention_part want_parts[] = {
        {0, 0, 600, 0, 128, 0},   {0, 0, 600, 128, 256, 1},  {0, 0, 600, 256, 384, 2},
        {0, 0, 600, 384, 512, 3}, {0, 0, 600, 512, 600, 4},  {3, 21, 128, 0, 128, -1},
        {4, 22, 300, 0, 128, 5},  {4, 22, 300, 128, 256, 6}, {4, 22, 300, 256, 300, 7},
    };
    static const vmt_attention_merge want_merges[] = {{0, 0, 5}, {22, 5, 8}};
    static const vmt_attention_tile want_tiles[] = {{2, 17, 4, 46}, {2, 1, 16, 30}};
    vmt_expect_eq(t, lists.num_parts, VMT_COUNT(want_parts));
    vmt_expect_eq(t, lists.num_merges, VMT_COUNT(want_merges));
    vmt_expect_eq(t, lists.num_tiles, VMT_COUNT(want_tiles));
    vmt_expect(t, memcmp(parts, want_parts, sizeof want_parts) == 0);
    vmt_expect(t, memcmp(merges, want_merges, sizeof want_merges) == 0);
    vmt_expect(t, memcmp(tiles, want_tiles, sizeof want_tiles) == 0);
}

static void refuses_what_does_not_fit(vmt_test *t) {
    struct scene s = {.heads = 4, .kv_heads = 2, .dim = 64, .block_size = 16, .dtype = VMT_F16, .num_seqs = 1};
    s.q_lens[0] = s.seq_lens[0] = 1;
    struct rig r;
    run_scene(&r, t, &s);
    vmt_gpu_attention_args args = r.args;
    vmt_err err = {0};
    args.num_heads = 3;
    vmt_expect_eq(t, vmt_gpu_attention_check(&args, &err), VMT_E_INVALID);
    vmt_expect_str(t, err.msg, "attention: 3 query heads, 2 KV heads; a multiple is wanted");
    args = r.args;
    args.kv.layout.dtype = VMT_F32;
    vmt_expect_eq(t, vmt_gpu_attention_check(&args, NULL), VMT_E_INVALID);
    args = r.args;
    args.parts.shape[0]--;
    vmt_expect_eq(t, vmt_gpu_attention_check(&args, NULL), VMT_E_INVALID);
    args = r.args;
    args.sinks = (vmt_tensor){args.q.buffer, 0, VMT_F32, 1, {5}};
    vmt_expect_eq(t, vmt_gpu_attention_check(&args, NULL), VMT_E_INVALID);
    args = r.args;
    args.scale = 0;
    vmt_expect_eq(t, vmt_gpu_attention_check(&args, NULL), VMT_E_INVALID);
    args = r.args;
    args.out.shape[1] = 248;
    vmt_expect_eq(t, vmt_gpu_attention_check(&args, NULL), VMT_E_INVALID);
    vmt_test_rig_close(&r.base);
}

static const vmt_test_case cases[] = {
    {"decodes_every_head_size", decodes_every_head_size},
    {"prefills_every_head_size", prefills_every_head_size},
    {"serves_heads_of_other_sizes", serves_heads_of_other_sizes},
    {"serves_groups_of_any_ratio", serves_groups_of_any_ratio},
    {"masks_caps_and_sinks", masks_caps_and_sinks},
    {"cuts_contexts_at_every_border", cuts_contexts_at_every_border},
    {"answers_alone_as_together", answers_alone_as_together},
    {"answers_whole_as_in_chunks", answers_whole_as_in_chunks},
    {"runs_parts_beside_tiles", runs_parts_beside_tiles},
    {"plans_parts_by_length_alone", plans_parts_by_length_alone},
    {"plans_tiles_by_head_size", plans_tiles_by_head_size},
    {"routes_each_row", routes_each_row},
    {"refuses_what_does_not_fit", refuses_what_does_not_fit},
    {NULL, NULL},
};
VMT_GPU_TEST_MAIN(cases)
