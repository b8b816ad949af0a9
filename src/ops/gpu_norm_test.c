/* ops/gpu_norm_test.c: norms on a GPU against the formula in double.  Rows of a few columns, past a thread's registers,
 * and past those of a wide threadgroup; more rows than a wave; gathered rows. */
#include "ops/gpu_norm.h"

#include <math.h>
#include <stdio.h>

#include "backend/test_rig.h"

static const vmt_dtype types[] = {VMT_F32, VMT_F16, VMT_BF16};

static const struct {
    vmt_gpu_norm_kind kind;
    uint32_t rows, cols;
    bool has_ids, has_bias;
} shapes[] = {
    {VMT_GPU_NORM_RMS, 1, 4, false, false},     {VMT_GPU_NORM_RMS, 5, 64, true, false},
    {VMT_GPU_NORM_RMS, 3, 576, false, false},   {VMT_GPU_NORM_RMS, 70, 1028, true, false},
    {VMT_GPU_NORM_RMS, 2, 4096, false, false},  {VMT_GPU_NORM_RMS, 2, 4100, false, false},
    {VMT_GPU_NORM_RMS, 1, 18944, true, false},  {VMT_GPU_NORM_LAYER, 1, 4, false, true},
    {VMT_GPU_NORM_LAYER, 7, 772, true, true},   {VMT_GPU_NORM_LAYER, 3, 64, false, false},
    {VMT_GPU_NORM_LAYER, 2, 5120, false, true}, {VMT_GPU_NORM_LAYER, 1, 16388, false, false},
};

static void norm_ref(const vmt_gpu_norm_args *a, uint64_t row, double *out) {
    uint64_t cols = a->out.shape[1],
             begin = (a->row_ids.buffer ? (uint64_t)vmt_tensor_at(&a->row_ids, row) : row) * cols;
    double mean = 0, squares = 0;
    for (uint64_t i = 0; i < cols; i++) mean += vmt_tensor_at(&a->x, begin + i) / (double)cols;
    if (a->kind == VMT_GPU_NORM_RMS) mean = 0;
    for (uint64_t i = 0; i < cols; i++) squares += pow(vmt_tensor_at(&a->x, begin + i) - mean, 2);
    for (uint64_t i = 0; i < cols; i++) {
        double x = (vmt_tensor_at(&a->x, begin + i) - mean) / sqrt(squares / (double)cols + (double)a->eps);
        out[i] = x * vmt_tensor_at(&a->weight, i) + (a->bias.buffer ? vmt_tensor_at(&a->bias, i) : 0);
    }
}

static void check_shape(vmt_test *t, size_t shape, vmt_dtype dtype) {
    if (!vmt_test_gpu_takes()) return;
    uint32_t rows = shapes[shape].rows, cols = shapes[shape].cols, source_rows = rows + 3;
    vmt_test_rig rig;
    vmt_test_rig_open(&rig, t);
    vmt_gpu_norm_args args = {
        .kind = shapes[shape].kind,
        .x = vmt_test_rig_random(&rig, VMT_F32, source_rows, cols),
        .weight = vmt_test_rig_random(&rig, VMT_F32, 1, cols),
        .out = vmt_test_rig_zeros(&rig, dtype, rows, cols),
        .count = shape % 2 ? VMT_COUNT_LOGITS : VMT_COUNT_FIXED,
        .eps = 1e-6f,
    };
    if (shapes[shape].has_bias) args.bias = vmt_test_rig_random(&rig, VMT_F32, 1, cols);
    if (shapes[shape].has_ids) {
        int32_t *ids = VMT_ARENA_NEW(t->arena, int32_t, rows);
        for (uint32_t i = 0; i < rows; i++) ids[i] = (int32_t)(source_rows - 1 - i);
        args.row_ids = vmt_test_rig_ints(&rig, ids, 1, rows);
    }
    for (uint32_t i = 0; i < source_rows * cols;
         i++) { /* an offset that a difference of squares would not survive */
        vmt_tensor_put(&args.x, i, vmt_tensor_at(&args.x, i) * 3 + (args.kind == VMT_GPU_NORM_LAYER ? 100 : 0));
    }
    vmt_err err = {0};
    vmt_test_rig_recorded(&rig, vmt_gpu_norm(rig.program, &args, &err), &err);
    uint32_t counts[VMT_NUM_STEP_COUNTS] = {[VMT_COUNT_LOGITS] = rows};
    vmt_test_rig_run(&rig, counts);
    double *want = VMT_ARENA_NEW(t->arena, double, (size_t)rows *cols);
    for (uint32_t r = 0; r < rows; r++) norm_ref(&args, r, want + (size_t)r * cols);
    char what[64];
    snprintf(what, sizeof what, "shape %zu in %s", shape, vmt_dtype_get(dtype)->name);
    vmt_test_expect_close(&rig, &args.out, want, what);
    vmt_test_rig_close(&rig);
}

static void agrees_with_the_formula(vmt_test *t) {
    for (size_t s = 0; s < VMT_COUNT(shapes); s++) {
        for (size_t d = 0; d < VMT_COUNT(types); d++) check_shape(t, s, types[d]);
    }
}

static void runs_as_many_rows_as_the_step_has(vmt_test *t) {
    vmt_test_rig rig;
    vmt_test_rig_open(&rig, t);
    vmt_gpu_norm_args args = {
        .x = vmt_test_rig_random(&rig, VMT_F32, 4, 64),
        .weight = vmt_test_rig_random(&rig, VMT_F32, 1, 64),
        .out = vmt_test_rig_zeros(&rig, VMT_F32, 4, 64),
        .count = VMT_COUNT_TOKENS,
    };
    vmt_err err = {0};
    vmt_test_rig_recorded(&rig, vmt_gpu_norm(rig.program, &args, &err), &err);
    uint32_t counts[VMT_NUM_STEP_COUNTS] = {[VMT_COUNT_TOKENS] = 2};
    vmt_test_rig_run(&rig, counts);
    for (uint32_t i = 0; i < 128; i++) vmt_expect(t, vmt_tensor_at(&args.out, i) != 0);
    for (uint32_t i = 128; i < 256; i++) vmt_expect(t, vmt_tensor_at(&args.out, i) == 0);
    vmt_test_rig_close(&rig);
}

static void refuses_what_does_not_fit(vmt_test *t) {
    vmt_buffer memory = {.bytes = 1 << 20};
    vmt_gpu_norm_args good =
                          {
                              .x = {&memory, 0, VMT_F32, 2, {8, 64}},
                              .weight = {&memory, 0, VMT_F32, 1, {64}},
                              .out = {&memory, 0, VMT_BF16, 2, {8, 64}},
                          },
                      args = good;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_gpu_norm_check(&args, &err), VMT_OK);
    args.weight.shape[0] = 63;
    vmt_expect_eq(t, vmt_gpu_norm_check(&args, &err), VMT_E_INVALID);
    vmt_expect_str(t, err.msg, "norm: the weight has 63 elements, the row 64");
    args = good;
    args.bias = args.weight; /* an RMS norm has none */
    vmt_expect_eq(t, vmt_gpu_norm_check(&args, NULL), VMT_E_INVALID);
    args = good;
    args.x.shape[1] = args.out.shape[1] = args.weight.shape[0] = 62; /* not whole vectors */
    vmt_expect_eq(t, vmt_gpu_norm_check(&args, NULL), VMT_E_INVALID);
    args = good;
    args.x.shape[0] = 7; /* out has 8 rows */
    vmt_expect_eq(t, vmt_gpu_norm_check(&args, NULL), VMT_E_INVALID);
    args = good;
    args.out.dtype = VMT_I8;
    vmt_expect_eq(t, vmt_gpu_norm_check(&args, NULL), VMT_E_INVALID);
}

static const vmt_test_case cases[] = {
    {"agrees_with_the_formula", agrees_with_the_formula},
    {"runs_as_many_rows_as_the_step_has", runs_as_many_rows_as_the_step_has},
    {"refuses_what_does_not_fit", refuses_what_does_not_fit},
    {NULL, NULL},
};
VMT_GPU_TEST_MAIN(cases)
