/* ops/matmul_test.c: every dtype on every instruction set present against the reference, and bit for bit among
 * themselves: over instruction sets, numbers of rows and workers.  Shapes: ragged panels, one row, more than a tile. */
#include "ops/matmul.h"

#include <math.h>
#include <stdlib.h>

#include "backend/cpu/cpu.h"
#include "base/hash.h"
#include "base/rng.h"
#include "base/test.h"

static const vmt_dtype dtypes[] = {VMT_F32,  VMT_F16,  VMT_BF16, VMT_Q8_0, VMT_Q4_0,  VMT_Q4_1, VMT_Q5_0,
                                   VMT_Q5_1, VMT_Q4_K, VMT_Q5_K, VMT_Q6_K, VMT_MXFP4, VMT_Q8_M};

static float normal(uint64_t seed, uint32_t stream, uint64_t i) {
    double u = vmt_rng_uniform(seed, stream, 2 * i), v = vmt_rng_uniform(seed, stream, 2 * i + 1);
    return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

/* Random blocks whose f16 fields are small normal numbers. */
static void fill_blocks(uint64_t seed, vmt_dtype dtype, uint8_t *dst, size_t bytes) {
    const vmt_dtype_info *info = vmt_dtype_get(dtype);
    uint64_t state = seed;
    if (!info->is_quantized) {
        for (size_t i = 0; i < bytes / info->block_bytes; i++) {
            float value = normal(seed, 3, i) * 0.05f;
            uint16_t half = dtype == VMT_F16 ? vmt_f32_to_f16(value) : vmt_f32_to_bf16(value);
            memcpy(dst + i * info->block_bytes, dtype == VMT_F32 ? (void *)&value : (void *)&half,
                   info->block_bytes);
        }
        return;
    }
    for (size_t i = 0; i < bytes; i++) dst[i] = (uint8_t)vmt_splitmix64(&state);
    bool has_two =
        dtype == VMT_Q8_M || dtype == VMT_Q4_1 || dtype == VMT_Q5_1 || dtype == VMT_Q4_K || dtype == VMT_Q5_K;
    for (size_t at = 0, i = 0; at < bytes; at += info->block_bytes, i++) {
        if (dtype == VMT_MXFP4) {
            dst[at] = (uint8_t)(118 + dst[at] % 8);
            continue;
        }
        uint16_t d = vmt_f32_to_f16(normal(seed, 4, i) * 0.01f), m = vmt_f32_to_f16(normal(seed, 5, i) * 0.05f);
        memcpy(dst + at + (dtype == VMT_Q6_K ? 208 : 0), &d, 2);
        if (has_two) memcpy(dst + at + 2, &m, 2);
    }
}

typedef struct problem {
    vmt_backend *be;
    vmt_weight weight;
    vmt_buffer src, x, out;
    uint32_t num_rows, x_stride, out_stride;
    float *bias;
} problem;

static problem make(vmt_test *t, vmt_backend *be, vmt_dtype dtype, uint32_t rows, uint32_t cols,
                    uint32_t num_rows) {
    problem p = {.be = be, .num_rows = num_rows, .x_stride = cols + 3, .out_stride = rows + 5};
    size_t row_bytes;
    vmt_expect(t, vmt_dtype_row_bytes(dtype, cols, &row_bytes));
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_buffer_create(be, &p.src, row_bytes * rows, &err), VMT_OK);
    vmt_expect_eq(t, vmt_buffer_create(be, &p.x, sizeof(float) * num_rows * p.x_stride, &err), VMT_OK);
    vmt_expect_eq(t, vmt_buffer_create(be, &p.out, sizeof(float) * num_rows * p.out_stride, &err), VMT_OK);
    fill_blocks(t->seed + dtype, dtype, p.src.host, p.src.bytes);
    float *x = (float *)p.x.host;
    for (uint32_t i = 0; i < num_rows * p.x_stride; i++) x[i] = normal(t->seed, 1, i);
    p.bias = VMT_ARENA_NEW(t->arena, float, rows);
    for (uint32_t i = 0; i < rows; i++) p.bias[i] = normal(t->seed, 2, i);
    vmt_tensor src = {.buffer = &p.src, .dtype = dtype, .ndim = 2, .shape = {rows, cols}};
    bool packed;
    vmt_expect_eq(t, vmt_weight_init(&p.weight, be, &src, 1, &packed, &err), VMT_OK);
    return p;
}

static void drop(problem *p) {
    vmt_weight_reset(&p->weight, p->be);
    vmt_buffer_destroy(p->be, &p->src);
    vmt_buffer_destroy(p->be, &p->x);
    vmt_buffer_destroy(p->be, &p->out);
}

static vmt_matmul_args args_of(problem *p) {
    return (vmt_matmul_args){
        .weight = &p->weight,
        .x = {.buffer = &p->x, .dtype = VMT_F32, .ndim = 2, .shape = {p->num_rows, p->x_stride}},
        .out = {.buffer = &p->out, .dtype = VMT_F32, .ndim = 2, .shape = {p->num_rows, p->out_stride}},
        .num_rows = p->num_rows,
        .x_stride = p->x_stride,
        .out_stride = p->out_stride,
        .out_scale = 1,
    };
}

/* Rounding an element of x to 8 bits errs by at most half a step, max|x| / 254, evenly spread: over a row the errors
 * add like noise of max|x| / 254 / sqrt(3) * |w|.  x as two BF16 numbers is good to 2^-18 of each element.  Six
 * deviations of either, and for floats the rounding of a chain of k sums. */
static float tolerance(const problem *p, const float *w, const float *x) {
    double w2 = 0, x_max = 0, wx = 0, wx2 = 0;
    for (uint32_t k = 0; k < p->weight.cols; k++) {
        w2 += (double)w[k] * w[k];
        x_max = fmax(x_max, fabsf(x[k]));
        wx += fabs((double)w[k] * x[k]);
        wx2 += pow((double)w[k] * x[k], 2);
    }
    vmt_dtype dtype = p->weight.src.data.dtype;
    double noise = 0;
    if (vmt_dtype_get(dtype)->is_quantized) noise = x_max / 254 * sqrt(w2);
    if (dtype == VMT_BF16) noise = 0x1p-18 * sqrt(wx2);
    return (float)(6 / sqrt(3) * noise + wx * 1e-6 + 1e-6);
}

static void expect_matches(vmt_test *t, problem *p, const vmt_matmul_args *args, const float *want) {
    const float *out = (const float *)p->out.host, *x = (const float *)p->x.host;
    float *w = VMT_ARENA_NEW(t->arena, float, p->weight.cols);
    for (uint32_t n = 0; n < p->weight.rows; n++) {
        vmt_weight_row(&p->weight, n, w);
        for (uint32_t i = 0; i < p->num_rows; i++) {
            float tol = tolerance(p, w, x + (size_t)p->x_stride * (args->row_ids ? args->row_ids[i] : i));
            float got = out[(size_t)i * p->out_stride + n], ref = want[(size_t)i * p->out_stride + n];
            if (fabsf(got - ref) <= tol * fmaxf(fabsf(args->out_scale), 1)) continue;
            vmt_test_fail(t, __FILE__, __LINE__, "%s [%u, %u] x %u rows on %s: row %u out %u is %g, want %g +- %g",
                          vmt_dtype_get(p->weight.src.data.dtype)->name, p->weight.rows, p->weight.cols,
                          p->num_rows, vmt_isa_name(vmt_isa_best()), i, n, (double)got, (double)ref, (double)tol);
        }
    }
}

static vmt_backend *make_backend(vmt_test *t, uint32_t threads) {
    vmt_backend *be;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_cpu_backend_create(&be, threads, &err), VMT_OK);
    return be;
}

static const struct {
    uint32_t rows, cols, num_rows;
} shapes[] = {
    {1, 256, 1},   {15, 256, 2},  {16, 512, 3},   {17, 256, 5},   {33, 768, 7},  {33, 256, 8},   {64, 1536, 9},
    {48, 256, 16}, {40, 512, 17}, {100, 256, 33}, {20, 1024, 64}, {16, 256, 65}, {35, 512, 129},
};
static const struct {
    uint32_t rows, cols, num_rows;
} small_shapes[] = {
    /* blocks of 32 and plain types: few and odd columns */
    {17, 32, 1}, {33, 64, 4}, {16, 96, 13}, {31, 576, 6}, {129, 160, 20},
};

static void check_shape(vmt_test *t, vmt_backend *be, vmt_dtype dtype, uint32_t rows, uint32_t cols,
                        uint32_t num_rows) {
    if (!vmt_dtype_get(dtype)->is_quantized) cols -= rows % 7; /* any number of columns */
    problem p = make(t, be, dtype, rows, cols, num_rows);
    vmt_matmul_args args = args_of(&p);
    vmt_isa_limit(VMT_NUM_ISAS - 1);
    vmt_matmul_ref(&args);
    float *want = vmt_arena_alloc(t->arena, p.out.bytes), *first = vmt_arena_alloc(t->arena, p.out.bytes);
    memcpy(want, p.out.host, p.out.bytes);
    bool has_first = false;
    for (int isa = 0; isa < VMT_NUM_ISAS; isa++) {
        if (!vmt_isa_present((vmt_isa)isa)) continue;
        vmt_isa_limit((vmt_isa)isa);
        memset(p.out.host, 0, p.out.bytes);
        vmt_expect_eq(t, vmt_matmul(be, &args), VMT_OK);
        if (!has_first) {
            expect_matches(t, &p, &args, want);
            memcpy(first, p.out.host, p.out.bytes);
        } else if (memcmp(first, p.out.host, p.out.bytes) != 0) {
            vmt_test_fail(t, __FILE__, __LINE__, "%s [%u, %u] x %u: %s differs from scalar",
                          vmt_dtype_get(dtype)->name, rows, cols, num_rows, vmt_isa_name((vmt_isa)isa));
        }
        has_first = true;
    }
    vmt_isa_limit(VMT_NUM_ISAS - 1);
    drop(&p);
}

static void agrees_with_reference_and_among_isas(vmt_test *t) {
    vmt_backend *be = make_backend(t, 2);
    for (size_t d = 0; d < VMT_COUNT(dtypes); d++) {
        for (size_t s = 0; s < VMT_COUNT(shapes); s++) {
            check_shape(t, be, dtypes[d], shapes[s].rows, shapes[s].cols, shapes[s].num_rows);
        }
        if (vmt_dtype_get(dtypes[d])->block_elems == 256) continue;
        for (size_t s = 0; s < VMT_COUNT(small_shapes); s++) {
            check_shape(t, be, dtypes[d], small_shapes[s].rows, small_shapes[s].cols, small_shapes[s].num_rows);
        }
    }
    vmt_backend_destroy(be);
}

/* Row i of a batch has the same bits whatever the size of the batch and the number of workers. */
static void rows_do_not_depend_on_their_batch(vmt_test *t) {
    enum { ROWS = 41, COLS = 512, BATCH_MAX = 70 };
    vmt_backend *backends[] = {make_backend(t, 1), make_backend(t, 2), make_backend(t, 3), make_backend(t, 5)};
    for (size_t d = 0; d < VMT_COUNT(dtypes); d++) {
        problem p = make(t, backends[0], dtypes[d], ROWS, COLS, BATCH_MAX);
        vmt_matmul_args args = args_of(&p);
        vmt_expect_eq(t, vmt_matmul(backends[0], &args), VMT_OK);
        float *want = vmt_arena_alloc(t->arena, p.out.bytes);
        memcpy(want, p.out.host, p.out.bytes);
        for (uint32_t num_rows = 1; num_rows <= BATCH_MAX; num_rows++) {
            memset(p.out.host, 0, p.out.bytes);
            args.num_rows = num_rows;
            vmt_expect_eq(t, vmt_matmul(backends[num_rows % VMT_COUNT(backends)], &args), VMT_OK);
            if (memcmp(want, p.out.host, sizeof(float) * p.out_stride * num_rows) != 0) {
                vmt_test_fail(t, __FILE__, __LINE__, "%s: a batch of %u differs", vmt_dtype_get(dtypes[d])->name,
                              num_rows);
            }
        }
        drop(&p);
    }
    for (size_t i = 0; i < VMT_COUNT(backends); i++) vmt_backend_destroy(backends[i]);
}

static void bias_scale_accumulate_and_row_ids(vmt_test *t) {
    static const uint32_t row_ids[] = {4, 4, 0, 17, 3, 9, 1};
    vmt_backend *be = make_backend(t, 2);
    for (size_t d = 0; d < VMT_COUNT(dtypes); d++) {
        for (int isa = 0; isa < VMT_NUM_ISAS; isa++) {
            if (!vmt_isa_present((vmt_isa)isa)) continue;
            vmt_isa_limit((vmt_isa)isa);
            problem p = make(t, be, dtypes[d], 37, 256, 18);
            p.num_rows = VMT_COUNT(row_ids);
            vmt_matmul_args args = args_of(&p);
            args.bias = p.bias;
            args.accumulate = true;
            args.out_scale = -2.5f;
            args.row_ids = row_ids;
            float *out = (float *)p.out.host, *want = vmt_arena_alloc(t->arena, p.out.bytes);
            float *before = vmt_arena_alloc(t->arena, p.out.bytes);
            for (uint32_t i = 0; i < p.out.bytes / sizeof(float); i++) before[i] = out[i] = normal(t->seed, 6, i);
            vmt_matmul_ref(&args);
            memcpy(want, out, p.out.bytes);
            memcpy(out, before, p.out.bytes);
            vmt_expect_eq(t, vmt_matmul(be, &args), VMT_OK);
            expect_matches(t, &p, &args, want);
            /* Nothing outside the rows and columns of the result was touched. */
            for (uint32_t i = 0; i < 18; i++) {
                for (uint32_t n = i < p.num_rows ? 37 : 0; n < p.out_stride; n++) {
                    vmt_expect(t, out[i * p.out_stride + n] == before[i * p.out_stride + n]);
                }
            }
            drop(&p);
        }
    }
    vmt_isa_limit(VMT_NUM_ISAS - 1);
    vmt_backend_destroy(be);
}

static void rows_come_back_as_dequantized(vmt_test *t) {
    vmt_backend *be = make_backend(t, 2);
    for (size_t d = 0; d < VMT_COUNT(dtypes); d++) {
        enum { ROWS = 35, COLS = 512 };
        problem p = make(t, be, dtypes[d], ROWS, COLS, 1);
        float got[COLS], want[COLS];
        for (uint32_t n = 0; n < ROWS; n++) {
            vmt_weight_row(&p.weight, n, got);
            vmt_dtype_get(dtypes[d])->dequantize(p.src.host + p.src.bytes / ROWS * n, want, COLS);
            for (uint32_t k = 0; k < COLS; k++) vmt_expect(t, got[k] == want[k]);
        }
        drop(&p);
    }
    vmt_backend_destroy(be);
}

static void parts_are_stacked_by_rows(vmt_test *t) {
    vmt_backend *be = make_backend(t, 2);
    problem p = make(t, be, VMT_Q4_1, 50, 64, 1);
    vmt_tensor parts[3];
    static const uint32_t counts[] = {20, 13, 17};
    size_t row_bytes = p.src.bytes / 50, at = 0;
    for (int i = 0; i < 3; i++) {
        parts[i] =
            (vmt_tensor){.buffer = &p.src, .offset = at, .dtype = VMT_Q4_1, .ndim = 2, .shape = {counts[i], 64}};
        at += row_bytes * counts[i];
    }
    vmt_weight stacked;
    vmt_err err = {0};
    bool packed;
    vmt_expect_eq(t, vmt_weight_init(&stacked, be, parts, 3, &packed, &err), VMT_OK);
    vmt_expect(t, packed && stacked.rows == 50 && stacked.cols == 64);
    vmt_expect(t, memcmp(stacked.packed.host, p.weight.packed.host, stacked.packed.bytes) == 0);
    vmt_weight_reset(&stacked, be);
    parts[1].shape[1] = 32;
    vmt_expect_eq(t, vmt_weight_init(&stacked, be, parts, 3, &packed, &err), VMT_E_INVALID);
    vmt_expect_str(t, err.msg, "[13, 32] Q4_1 can't be stacked with Q4_1 of 64 columns");
    vmt_tensor ids = {.buffer = &p.src, .dtype = VMT_I32, .ndim = 2, .shape = {4, 4}};
    vmt_expect_eq(t, vmt_weight_init(&stacked, be, &ids, 1, &packed, NULL), VMT_E_UNSUPPORTED);
    drop(&p);
    vmt_backend_destroy(be);
}

/* Zero rows, huge and tiny rows: no NaN where the exact result is finite. */
static void extreme_rows(vmt_test *t) {
    vmt_backend *be = make_backend(t, 1);
    static const float scales[] = {0, 1e-38f, 1e-20f, 1e20f};
    for (size_t d = 0; d < VMT_COUNT(dtypes); d++) {
        problem p = make(t, be, dtypes[d], 17, 256, VMT_COUNT(scales));
        float *x = (float *)p.x.host;
        for (uint32_t i = 0; i < p.num_rows; i++) {
            for (uint32_t k = 0; k < 256; k++) x[i * p.x_stride + k] *= scales[i];
        }
        vmt_matmul_args args = args_of(&p);
        float *want = vmt_arena_alloc(t->arena, p.out.bytes);
        vmt_matmul_ref(&args);
        memcpy(want, p.out.host, p.out.bytes);
        vmt_expect_eq(t, vmt_matmul(be, &args), VMT_OK);
        expect_matches(t, &p, &args, want);
        drop(&p);
    }
    vmt_backend_destroy(be);
}

/* Inputs made without libm, so that the bits of the results are a constant of the arithmetic, not of the machine. */
static void bits_are_the_same_on_every_machine(vmt_test *t) {
    static const uint64_t want[VMT_NUM_DTYPES] = {
        [VMT_F32] = 0x41f826e2ee39e3c1,  [VMT_F16] = 0x7952612de7c19d58,  [VMT_BF16] = 0x12e7c061f9f06d57,
        [VMT_Q8_0] = 0x3d66e7c926f728a5, [VMT_Q4_0] = 0xa8dc2bd1c809c64d, [VMT_Q4_1] = 0x315de00798c62fff,
        [VMT_Q5_0] = 0xa5eb1b5960c30289, [VMT_Q5_1] = 0xcf895d6f65cd696e, [VMT_Q4_K] = 0xbfe87d09f4ad6ca6,
        [VMT_Q5_K] = 0xfb080b4e57e2e3bc, [VMT_Q6_K] = 0x4ad32d53a6ad2ab7, [VMT_MXFP4] = 0x6bf0cdfa4799c571,
        [VMT_Q8_M] = 0x74a4361245795d1f,
    };
    enum { ROWS = 19, COLS = 512, NUM_ROWS = 21 };
    vmt_backend *be = make_backend(t, 2);
    for (size_t d = 0; d < VMT_COUNT(dtypes); d++) {
        problem p = make(t, be, dtypes[d], ROWS, COLS, NUM_ROWS);
        vmt_weight_reset(&p.weight, be);
        const vmt_dtype_info *info = vmt_dtype_get(dtypes[d]);
        uint64_t state = 99;
        for (size_t at = 0; at < p.src.bytes; at++) p.src.host[at] = (uint8_t)vmt_splitmix64(&state);
        for (size_t at = 0; at < p.src.bytes; at += info->block_bytes) { /* f16 fields and floats: near 0.01 */
            uint8_t *block = p.src.host + at, exponent = (uint8_t)(0x20 | (block[1] & 3));
            if (dtypes[d] == VMT_F32)
                block[3] = 0x3c;
            else if (dtypes[d] == VMT_BF16)
                block[1] = 0x3c;
            else if (dtypes[d] == VMT_Q6_K)
                block[209] = exponent;
            else if (dtypes[d] == VMT_MXFP4)
                block[0] = (uint8_t)(120 | (block[0] & 3));
            else
                block[1] = exponent;
            if (dtypes[d] == VMT_MXFP4) continue;
            if (info->block_bytes > 2 && dtypes[d] != VMT_F32) block[3] = (uint8_t)(0xa0 | (block[3] & 3));
        }
        float *x = (float *)p.x.host;
        for (uint32_t i = 0; i < NUM_ROWS * p.x_stride; i++)
            x[i] = (float)(int32_t)vmt_splitmix64(&state) * 0x1p-31f;
        vmt_tensor src = {.buffer = &p.src, .dtype = dtypes[d], .ndim = 2, .shape = {ROWS, COLS}};
        bool packed;
        vmt_expect_eq(t, vmt_weight_init(&p.weight, be, &src, 1, &packed, NULL), VMT_OK);
        vmt_matmul_args args = args_of(&p);
        vmt_expect_eq(t, vmt_matmul(be, &args), VMT_OK);
        uint64_t got = vmt_hash_fast(p.out.host, p.out.bytes);
        if (got != want[dtypes[d]]) {
            vmt_test_fail(t, __FILE__, __LINE__, "%s: bits hash to 0x%016llx", info->name,
                          (unsigned long long)got);
        }
        drop(&p);
    }
    vmt_backend_destroy(be);
}

static const vmt_test_case cases[] = {
    {"agrees_with_reference_and_among_isas", agrees_with_reference_and_among_isas},
    {"rows_do_not_depend_on_their_batch", rows_do_not_depend_on_their_batch},
    {"bias_scale_accumulate_and_row_ids", bias_scale_accumulate_and_row_ids},
    {"rows_come_back_as_dequantized", rows_come_back_as_dequantized},
    {"parts_are_stacked_by_rows", parts_are_stacked_by_rows},
    {"extreme_rows", extreme_rows},
    {"bits_are_the_same_on_every_machine", bits_are_the_same_on_every_machine},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
