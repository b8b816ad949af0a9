/* ops/attention_test.c: every instruction set against the reference in double, and bit for bit among themselves: over
 * instruction sets, workers, chunkings of a prefill, and company in the batch.  Lengths cross tiles and partitions. */
#include "ops/attention.h"

#include <math.h>
#include <stdlib.h>

#include "backend/cpu/cpu.h"
#include "base/rng.h"
#include "base/test.h"

struct shape {
    uint32_t heads, kv_heads, dim, block_size;
    vmt_dtype dtype;
    uint32_t len, window;
    float soft_cap;
};

static const struct shape shapes[] = {
    {4, 2, 64, 16, VMT_F16, 150, 0, 0},  {9, 3, 64, 16, VMT_F16, 70, 0, 0},   {3, 3, 128, 32, VMT_BF16, 66, 0, 0},
    {8, 1, 16, 8, VMT_F32, 130, 0, 0},   {14, 2, 80, 16, VMT_F32, 65, 0, 0},  {2, 1, 40, 32, VMT_F16, 129, 0, 0},
    {7, 7, 72, 16, VMT_BF16, 67, 0, 0},  {2, 2, 256, 8, VMT_F16, 64, 0, 0},   {4, 2, 64, 16, VMT_F16, 200, 70, 0},
    {4, 2, 32, 32, VMT_BF16, 140, 1, 0}, {4, 4, 24, 8, VMT_F16, 100, 33, 0},  {6, 2, 96, 16, VMT_F16, 90, 0, 5.0f},
    {4, 1, 16, 16, VMT_F16, 600, 0, 0},  {4, 2, 8, 8, VMT_F16, 1100, 540, 0}, {100, 1, 16, 16, VMT_F32, 20, 0, 0},
    {2, 1, 128, 16, VMT_BF16, 1, 0, 0},  {5, 5, 8, 16, VMT_F16, 31, 0, 0},
};

struct world { /* one sequence's rows and a cache that holds it in shuffled blocks */
    struct shape s;
    float *q, *k, *v, *out;
    int32_t *table;
    uint32_t num_blocks;
    vmt_buffer k_cache, v_cache, scratch, rows[4];
};

static const vmt_isa isas[] = {VMT_ISA_SCALAR, VMT_ISA_AVX2, VMT_ISA_AVX512, VMT_ISA_NEON};

static vmt_backend *backend(vmt_test *t, uint32_t threads) {
    vmt_backend *be;
    vmt_expect_eq(t, vmt_cpu_backend_create(&be, threads, NULL), VMT_OK);
    return be;
}

static float *random_rows(vmt_test *t, size_t count, uint64_t stream) {
    float *p = VMT_ARENA_NEW(t->arena, float, count);
    for (size_t i = 0; i < count; i++) {
        p[i] = (float)(4 * vmt_rng_uniform(t->seed, (uint32_t)stream, i) - 2) * (i % 37 == 0 ? 4.0f : 1.0f);
    }
    return p;
}

static struct world *new_world(vmt_test *t, vmt_backend *be, struct shape s, uint64_t stream) {
    struct world *w = VMT_ARENA_NEW(t->arena, struct world, 1);
    vmt_kv_layout layout = {s.block_size, s.kv_heads, s.dim, s.dtype};
    uint32_t used = (s.len + s.block_size - 1) / s.block_size;
    w->s = s;
    w->num_blocks = used + 3;
    w->q = random_rows(t, (size_t)s.len * s.heads * s.dim, stream);
    w->k = random_rows(t, (size_t)s.len * s.kv_heads * s.dim, stream + 1);
    w->v = random_rows(t, (size_t)s.len * s.kv_heads * s.dim, stream + 2);
    w->out = VMT_ARENA_NEW(t->arena, float, (size_t)s.len *s.heads *s.dim);
    w->table = VMT_ARENA_NEW(t->arena, int32_t, used);
    for (uint32_t i = 0; i < used; i++) w->table[i] = (int32_t)(used - i);
    size_t cache = vmt_kv_block_bytes(&layout) * w->num_blocks;
    vmt_expect_eq(t, vmt_buffer_create(be, &w->k_cache, cache, NULL), VMT_OK);
    vmt_expect_eq(t, vmt_buffer_create(be, &w->v_cache, cache, NULL), VMT_OK);
    size_t work = vmt_attention_scratch_bytes(&layout, s.heads, s.len, s.len, be->num_workers);
    vmt_expect_eq(t, vmt_buffer_create(be, &w->scratch, work, NULL), VMT_OK);
    /* What other sequences left in the blocks must not matter. */
    memset(w->k_cache.host, 0x7e, cache);
    memset(w->v_cache.host, 0x7e, cache);
    return w;
}

static void free_world(vmt_backend *be, struct world *w) {
    vmt_buffer_destroy(be, &w->k_cache);
    vmt_buffer_destroy(be, &w->v_cache);
    vmt_buffer_destroy(be, &w->scratch);
}

static vmt_tensor view(vmt_buffer *buffer, const float *host, size_t floats) {
    *buffer = (vmt_buffer){.host = (uint8_t *)(uintptr_t)host, .bytes = floats * sizeof *host};
    return (vmt_tensor){buffer, 0, VMT_F32, 1, {floats}};
}

static vmt_tensor whole(vmt_buffer *buffer) {
    return (vmt_tensor){buffer, 0, VMT_F32, 1, {buffer->bytes / 4}};
}

static void write_rows(vmt_test *t, vmt_backend *be, struct world *w, uint32_t begin, uint32_t end) {
    struct shape s = w->s;
    uint32_t stride = s.kv_heads * s.dim;
    int32_t *slots = VMT_ARENA_NEW(t->arena, int32_t, end - begin);
    for (uint32_t i = begin; i < end; i++) {
        slots[i - begin] = w->table[i / s.block_size] * (int32_t)s.block_size + (int32_t)(i % s.block_size);
    }
    vmt_kv_write_args args = {
        .layout = {s.block_size, s.kv_heads, s.dim, s.dtype},
        .k = view(&w->rows[0], w->k + (size_t)begin * stride, (size_t)(end - begin) * stride),
        .v = view(&w->rows[1], w->v + (size_t)begin * stride, (size_t)(end - begin) * stride),
        .k_stride = stride,
        .v_stride = stride,
        .k_cache = whole(&w->k_cache),
        .v_cache = whole(&w->v_cache),
        .slot_mapping = slots,
        .num_tokens = end - begin,
    };
    args.k_cache.dtype = args.v_cache.dtype = s.dtype;
    vmt_expect_eq(t, vmt_kv_write(be, &args), VMT_OK);
}

/* Args for rows [begin, end) of the sequence; cu and seq_lens live in the caller. */
static vmt_attention_args attend_args(struct world *w, float *out, uint32_t begin, uint32_t end, uint32_t cu[2],
                                      uint32_t *seq_len) {
    struct shape s = w->s;
    uint32_t stride = s.heads * s.dim;
    cu[0] = 0;
    cu[1] = end - begin;
    *seq_len = end;
    vmt_attention_args args = {
        .layout = {s.block_size, s.kv_heads, s.dim, s.dtype},
        .num_heads = s.heads,
        .q = view(&w->rows[2], w->q + (size_t)begin * stride, (size_t)(end - begin) * stride),
        .out = view(&w->rows[3], out + (size_t)begin * stride, (size_t)(end - begin) * stride),
        .q_stride = stride,
        .out_stride = stride,
        .k_cache = whole(&w->k_cache),
        .v_cache = whole(&w->v_cache),
        .cu_seqlens_q = cu,
        .seq_lens = seq_len,
        .block_tables = w->table,
        .num_seqs = 1,
        .block_table_stride = (s.len + s.block_size - 1) / s.block_size,
        .scale = 1.0f / sqrtf((float)s.dim),
        .soft_cap = s.soft_cap,
        .sliding_window = s.window,
        .scratch = whole(&w->scratch),
    };
    args.k_cache.dtype = args.v_cache.dtype = s.dtype;
    return args;
}

static void run_chunks(vmt_test *t, vmt_backend *be, struct world *w, float *out, const uint32_t *sizes,
                       uint32_t num_sizes) {
    for (uint32_t at = 0, i = 0; at < w->s.len; i++) {
        uint32_t end = VMT_MIN(at + sizes[i % num_sizes], w->s.len), cu[2], seq_len;
        write_rows(t, be, w, at, end);
        vmt_attention_args args = attend_args(w, out, at, end, cu, &seq_len);
        vmt_expect_eq(t, vmt_attention(be, &args), VMT_OK);
        at = end;
    }
}

static void agrees_with_reference(vmt_test *t) {
    vmt_backend *be = backend(t, 2);
    for (size_t i = 0; i < VMT_COUNT(shapes); i++) {
        struct world *w = new_world(t, be, shapes[i], 10 * i);
        uint32_t len = w->s.len, stride = w->s.heads * w->s.dim, cu[2], seq_len;
        uint32_t begin = len > 300 ? len - 5 : 0; /* the reference takes its time */
        run_chunks(t, be, w, w->out, &len, 1);
        float *want = VMT_ARENA_NEW(t->arena, float, (size_t)len *stride);
        vmt_attention_args args = attend_args(w, want, begin, len, cu, &seq_len);
        vmt_attention_ref(&args);
        for (size_t j = (size_t)begin * stride; j < (size_t)len * stride; j++) {
            if (fabsf(w->out[j] - want[j]) <= 1e-5f) continue;
            vmt_test_fail(t, __FILE__, __LINE__, "shape %zu row %zu element %zu: %g, expected %g", i, j / stride,
                          j % stride, (double)w->out[j], (double)want[j]);
        }
        free_world(be, w);
    }
    vmt_backend_destroy(be);
}

static void expect_same(vmt_test *t, const struct world *w, const float *got, size_t shape, const char *what) {
    size_t stride = (size_t)w->s.heads * w->s.dim;
    for (size_t i = 0; i < w->s.len * stride; i++) {
        if (memcmp(&got[i], &w->out[i], sizeof *got) == 0) continue;
        vmt_test_fail(t, __FILE__, __LINE__,
                      "shape %zu, %s: row %zu element %zu is %.9g, expected the bits of %.9g", shape, what,
                      i / stride, i % stride, (double)got[i], (double)w->out[i]);
    }
}

static void chunking_shows_in_no_bit(vmt_test *t) {
    static const uint32_t odd[] = {7, 13, 1, 64, 31, 2, 129, 5}, single[] = {1}, blocks[] = {48, 1, 1, 80};
    static const struct {
        const uint32_t *sizes;
        uint32_t count;
        const char *what;
    } plans[] = {{odd, 8, "odd chunks"}, {single, 1, "token by token"}, {blocks, 4, "whole blocks"}};
    vmt_backend *bes[] = {backend(t, 1), backend(t, 5)};
    for (size_t i = 0; i < VMT_COUNT(shapes); i++) {
        for (size_t b = 0; b < VMT_COUNT(bes); b++) {
            struct world *w = new_world(t, bes[1], shapes[i], 10 * i);
            uint32_t len = w->s.len;
            run_chunks(t, bes[0], w, w->out, &len, 1);
            float *got = VMT_ARENA_NEW(t->arena, float, (size_t)len * w->s.heads * w->s.dim);
            run_chunks(t, bes[b], w, got, &len, 1);
            expect_same(t, w, got, i, "more workers");
            for (size_t p = 0; p < VMT_COUNT(plans); p++) {
                run_chunks(t, bes[b], w, got, plans[p].sizes, plans[p].count);
                expect_same(t, w, got, i, plans[p].what);
            }
            free_world(bes[1], w);
        }
    }
    for (size_t b = 0; b < VMT_COUNT(bes); b++) vmt_backend_destroy(bes[b]);
}

static void instruction_sets_agree_to_the_bit(vmt_test *t) {
    vmt_backend *be = backend(t, 2);
    for (size_t i = 0; i < VMT_COUNT(shapes); i++) {
        struct world *w = new_world(t, be, shapes[i], 10 * i);
        uint32_t len = w->s.len, sizes[] = {len - len / 3, 1, 3};
        float *got = VMT_ARENA_NEW(t->arena, float, (size_t)len * w->s.heads * w->s.dim);
        run_chunks(t, be, w, w->out, &len, 1);
        for (size_t k = 0; k < VMT_COUNT(isas); k++) {
            if (!vmt_isa_present(isas[k])) continue;
            vmt_isa_limit(isas[k]);
            run_chunks(t, be, w, got, sizes, 3);
            expect_same(t, w, got, i, vmt_isa_name(isas[k]));
        }
        vmt_isa_limit(VMT_NUM_ISAS - 1);
        free_world(be, w);
    }
    vmt_backend_destroy(be);
}

/* A long decode beside a prefill and an idle sequence, against each alone. */
static void company_in_the_batch_shows_in_no_bit(vmt_test *t) {
    struct shape s = {6, 2, 64, 16, VMT_F16, 1200, 0, 0};
    vmt_backend *be = backend(t, 3);
    struct world *w = new_world(t, be, s, 7);
    uint32_t stride = s.heads * s.dim, len = s.len;
    run_chunks(t, be, w, w->out, &len, 1);
    /* One cache, three views of the same tokens: rows 1199, 100..189, none. */
    uint32_t cu[4] = {0, 1, 91, 91}, lens[3] = {1200, 190, 50}, tables = (s.len + 15) / 16;
    int32_t *table = VMT_ARENA_NEW(t->arena, int32_t, 3 * tables);
    for (uint32_t i = 0; i < 3; i++) memcpy(table + i * tables, w->table, tables * sizeof *table);
    float *q = VMT_ARENA_NEW(t->arena, float, (size_t)91 * stride),
          *out = VMT_ARENA_NEW(t->arena, float, (size_t)91 * stride);
    memcpy(q, w->q + (size_t)1199 * stride, stride * sizeof *q);
    memcpy(q + stride, w->q + (size_t)100 * stride, 90 * stride * sizeof *q);
    uint32_t cu_one[2], seq_len;
    vmt_attention_args args = attend_args(w, out, 0, 1, cu_one, &seq_len);
    args.q = view(&w->rows[2], q, (size_t)91 * stride);
    args.out = view(&w->rows[3], out, (size_t)91 * stride);
    args.cu_seqlens_q = cu;
    args.seq_lens = lens;
    args.block_tables = table;
    args.num_seqs = 3;
    args.block_table_stride = tables;
    vmt_expect_eq(t, vmt_attention(be, &args), VMT_OK);
    vmt_expect(t, memcmp(out, w->out + (size_t)1199 * stride, stride * sizeof *out) == 0);
    vmt_expect(t, memcmp(out + stride, w->out + (size_t)100 * stride, 90 * stride * sizeof *out) == 0);
    free_world(be, w);
    vmt_backend_destroy(be);
}

static void negative_slots_are_skipped(vmt_test *t) {
    vmt_backend *be = backend(t, 1);
    struct shape s = {1, 1, 16, 8, VMT_F32, 2, 0, 0};
    struct world *w = new_world(t, be, s, 3);
    int32_t slots[2] = {-1, 9};
    vmt_kv_write_args args = {
        .layout = {8, 1, 16, VMT_F32},
        .k = view(&w->rows[0], w->k, 32),
        .v = view(&w->rows[1], w->v, 32),
        .k_stride = 16,
        .v_stride = 16,
        .k_cache = whole(&w->k_cache),
        .v_cache = whole(&w->v_cache),
        .slot_mapping = slots,
        .num_tokens = 2,
    };
    memset(w->k_cache.host, 0, w->k_cache.bytes);
    vmt_expect_eq(t, vmt_kv_write(be, &args), VMT_OK);
    const float *cache = (const float *)(const void *)w->k_cache.host;
    for (uint32_t i = 0; i < 256; i++) { /* block 1, offset 1: column 1 of [16, 8] */
        bool is_slot = i >= 128 && i % 8 == 1;
        vmt_expect(t, cache[i] == (is_slot ? w->k[16 + (i - 128) / 8] : 0.0f));
    }
    free_world(be, w);
    vmt_backend_destroy(be);
}

/* Ties, denormals, overflow, and a tail no vector covers, on every instruction set. */
static void writes_f16_as_the_plain_conversion(vmt_test *t) {
    enum { DIM = 40, SIZE = 8 };
    static const float odd[] = {0.0f,     -0.0f,    1.0f + 0x1p-11f, 1.0f + 3 * 0x1p-11f,
                                65504.0f, 65519.0f, 65520.0f,        -1e30f,
                                0x1p-14f, 0x1p-15f, 0x1.8p-24f,      0x1p-25f,
                                1e-30f,   INFINITY, -INFINITY,       0.333333f};
    vmt_backend *be = backend(t, 1);
    struct shape s = {1, 1, DIM, SIZE, VMT_F16, 1, 0, 0};
    struct world *w = new_world(t, be, s, 1);
    int32_t slot = 3;
    for (uint32_t d = 0; d < DIM; d++) w->k[d] = w->v[d] = odd[d % VMT_COUNT(odd)];
    vmt_kv_write_args args = {
        .layout = {SIZE, 1, DIM, VMT_F16},
        .k = view(&w->rows[0], w->k, DIM),
        .v = view(&w->rows[1], w->v, DIM),
        .k_stride = DIM,
        .v_stride = DIM,
        .k_cache = whole(&w->k_cache),
        .v_cache = whole(&w->v_cache),
        .slot_mapping = &slot,
        .num_tokens = 1,
    };
    for (int isa = 0; isa < VMT_NUM_ISAS; isa++) {
        if (!vmt_isa_present((vmt_isa)isa)) continue;
        vmt_isa_limit((vmt_isa)isa);
        vmt_expect_eq(t, vmt_kv_write(be, &args), VMT_OK);
        const uint16_t *k = (const uint16_t *)(const void *)w->k_cache.host;
        const uint16_t *v = (const uint16_t *)(const void *)w->v_cache.host;
        for (uint32_t d = 0; d < DIM; d++) {
            vmt_expect_eq(t, k[d * SIZE + 3], vmt_f32_to_f16(w->k[d]));
            vmt_expect_eq(t, v[3 * DIM + d], vmt_f32_to_f16(w->v[d]));
        }
        memset(w->k_cache.host, 0, w->k_cache.bytes);
        memset(w->v_cache.host, 0, w->v_cache.bytes);
    }
    vmt_isa_limit(VMT_NUM_ISAS - 1);
    free_world(be, w);
    vmt_backend_destroy(be);
}

static const vmt_test_case cases[] = {
    {"agrees_with_reference", agrees_with_reference},
    {"chunking_shows_in_no_bit", chunking_shows_in_no_bit},
    {"instruction_sets_agree_to_the_bit", instruction_sets_agree_to_the_bit},
    {"company_in_the_batch_shows_in_no_bit", company_in_the_batch_shows_in_no_bit},
    {"negative_slots_are_skipped", negative_slots_are_skipped},
    {"writes_f16_as_the_plain_conversion", writes_f16_as_the_plain_conversion},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
