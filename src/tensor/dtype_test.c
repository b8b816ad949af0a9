/* tensor/dtype_test.c: every format against vectors of the gguf package, the 16-bit floats over all values. */
#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/test.h"
#include "tensor/quant.h"
#include "tensor/tensor.h"

static bool find_dtype(const char *name, vmt_dtype *out) {
    for (int i = 0; i < VMT_NUM_DTYPES; i++) {
        if (strcmp(vmt_dtype_get((vmt_dtype)i)->name, name) != 0) continue;
        *out = (vmt_dtype)i;
        return true;
    }
    return false;
}

/* tests/golden/make_quant_vectors.py has the record layout. */
static void agrees_with_the_gguf_package(vmt_test *t) {
    vmt_buf file;
    vmt_buf_init(&file, 0);
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_file_read(&file, "tests/golden/quant_vectors.bin", 1 << 20, &err), VMT_OK);
    size_t at = 0, num_formats = 0;
    while (at < file.len) {
        char name[9] = {0};
        uint32_t num_bytes, num_elems;
        vmt_expect(t, file.len - at >= 16);
        memcpy(name, file.ptr + at, 8);
        memcpy(&num_bytes, file.ptr + at + 8, 4);
        memcpy(&num_elems, file.ptr + at + 12, 4);
        at += 16;
        vmt_dtype dtype = VMT_F32;
        vmt_expect(t, find_dtype(name, &dtype));
        size_t row_bytes;
        vmt_expect(t, vmt_dtype_row_bytes(dtype, num_elems, &row_bytes));
        vmt_expect_eq(t, row_bytes, num_bytes);
        vmt_expect(t, file.len - at >= num_bytes + 4 * (size_t)num_elems);
        uint8_t *src = vmt_arena_alloc(t->arena, num_bytes);
        float *got = VMT_ARENA_NEW(t->arena, float, num_elems);
        memcpy(src, file.ptr + at, num_bytes);
        vmt_dtype_get(dtype)->dequantize(src, got, num_elems);
        if (memcmp(got, file.ptr + at + num_bytes, 4 * (size_t)num_elems) != 0) {
            vmt_test_fail(t, __FILE__, __LINE__, "%s differs", name);
        }
        at += num_bytes + 4 * (size_t)num_elems;
        num_formats++;
    }
    vmt_expect_eq(t, num_formats, 12);
    vmt_buf_free(&file);
}

static void f16_round_trips(vmt_test *t) {
    for (uint32_t h = 0; h < 65536; h++) {
        float f = vmt_f16_to_f32((uint16_t)h);
        if ((h & 0x7fff) > 0x7c00) {
            vmt_expect(t, isnan(f) && isnan(vmt_f16_to_f32(vmt_f32_to_f16(f))));
        } else {
            vmt_expect_eq(t, vmt_f32_to_f16(f), h);
        }
    }
}

/* The nearest of two neighbours, and the even one half-way, over every gap between finite values. */
static void f32_to_f16_rounds_to_nearest_even(vmt_test *t) {
    for (uint32_t h = 0; h < 0x7bff; h++) {
        float low = vmt_f16_to_f32((uint16_t)h), high = vmt_f16_to_f32((uint16_t)(h + 1));
        float middle = low + (high - low) / 2;
        vmt_expect_eq(t, vmt_f32_to_f16(middle), h + (h & 1));
        vmt_expect_eq(t, vmt_f32_to_f16(nextafterf(middle, low)), h);
        vmt_expect_eq(t, vmt_f32_to_f16(nextafterf(middle, high)), h + 1);
        vmt_expect_eq(t, vmt_f32_to_f16(-middle), 0x8000 | (h + (h & 1)));
    }
    vmt_expect_eq(t, vmt_f32_to_f16(65519.0f), 0x7bff);
    vmt_expect_eq(t, vmt_f32_to_f16(65520.0f), 0x7c00);
    vmt_expect_eq(t, vmt_f32_to_f16(-INFINITY), 0xfc00);
}

static void bf16_rounds_to_nearest_even(vmt_test *t) {
    static const struct {
        float in;
        uint16_t want;
    } cases[] = {
        {1.0f, 0x3f80},          {0x1.01p0f, 0x3f80},  {0x1.03p0f, 0x3f82}, /* both half-way */
        {0x1.010002p0f, 0x3f81}, {-0x1.03p0f, 0xbf82}, {INFINITY, 0x7f80},  {0x1.fffffep127f, 0x7f80}, {0, 0},
    };
    for (size_t i = 0; i < VMT_COUNT(cases); i++) vmt_expect_eq(t, vmt_f32_to_bf16(cases[i].in), cases[i].want);
    vmt_expect(t, isnan(vmt_bf16_to_f32(vmt_f32_to_bf16(NAN))));
}

static void encoders_stay_within_a_step(vmt_test *t) {
    static const struct {
        vmt_dtype dtype;
        void (*quantize)(const float *src, void *dst, size_t elems);
        float tol; /* of the block's largest magnitude: half a step and the scale's f16 rounding */
    } cases[] = {
        {VMT_Q8_0, vmt_quantize_q8_0, 0.006f},
        {VMT_Q4_0, vmt_quantize_q4_0, 0.130f}, /* +8 steps is not representable: one whole step there */
        {VMT_Q4_1, vmt_quantize_q4_1, 0.070f},
    };
    enum { ELEMS = 4096 };
    float *x = VMT_ARENA_NEW(t->arena, float, ELEMS), *y = VMT_ARENA_NEW(t->arena, float, ELEMS);
    for (uint32_t i = 0; i < ELEMS; i++) x[i] = (float)(vmt_rng_uniform(t->seed, 0, i) * 2 - 1);
    for (size_t c = 0; c < VMT_COUNT(cases); c++) {
        size_t bytes;
        vmt_expect(t, vmt_dtype_row_bytes(cases[c].dtype, ELEMS, &bytes));
        void *blocks = vmt_arena_alloc(t->arena, bytes);
        cases[c].quantize(x, blocks, ELEMS);
        vmt_dtype_get(cases[c].dtype)->dequantize(blocks, y, ELEMS);
        for (uint32_t i = 0; i < ELEMS; i++) vmt_expect_near(t, y[i], x[i], cases[c].tol);
    }
}

static void sizes_and_names(vmt_test *t) {
    size_t bytes;
    vmt_expect(t, vmt_dtype_row_bytes(VMT_Q4_K, 512, &bytes));
    vmt_expect_eq(t, bytes, 288);
    vmt_expect(t, !vmt_dtype_row_bytes(VMT_Q4_K, 300, &bytes));
    vmt_expect(t, !vmt_dtype_row_bytes(VMT_F32, UINT64_MAX / 2, &bytes));
    vmt_tensor w = {.dtype = VMT_Q4_1, .ndim = 2, .shape = {49152, 576}};
    char text[64];
    vmt_expect_str(t, vmt_tensor_describe(&w, text, sizeof(text)), "[49152, 576] Q4_1");
    vmt_expect_str(t, vmt_tensor_describe(&w, text, 6), "[4915");
    vmt_expect_eq(t, vmt_tensor_elems(&w), 49152 * 576);
    vmt_expect_eq(t, vmt_tensor_bytes(&w), 49152 * 576 / 32 * 20);
}

static const vmt_test_case cases[] = {
    {"agrees_with_the_gguf_package", agrees_with_the_gguf_package},
    {"f16_round_trips", f16_round_trips},
    {"f32_to_f16_rounds_to_nearest_even", f32_to_f16_rounds_to_nearest_even},
    {"bf16_rounds_to_nearest_even", bf16_rounds_to_nearest_even},
    {"encoders_stay_within_a_step", encoders_stay_within_a_step},
    {"sizes_and_names", sizes_and_names},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
