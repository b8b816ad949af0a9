/* ops/gpu_act_test.c: gated activations and row copies on a GPU. */
#include "ops/gpu_act.h"

#include <math.h>
#include <stdio.h>

#include "backend/test_rig.h"

static const vmt_dtype types[] = {VMT_F32, VMT_F16, VMT_BF16};

static double act_ref(double x, vmt_activation act) {
    switch (act) {
    case VMT_ACT_SILU: return x / (1 + exp(-x));
    case VMT_ACT_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    default: return 0.5 * x * (1 + erf(x / sqrt(2)));
    }
}

static void check_act(vmt_test *t, vmt_dtype dtype, vmt_activation act, uint32_t rows, uint32_t cols) {
    if (!vmt_test_gpu_takes()) return;
    vmt_test_rig rig;
    vmt_test_rig_open(&rig, t);
    vmt_gpu_act_mul_args args = {
        .gate_up = vmt_test_rig_random(&rig, dtype, rows, 2 * cols),
        .out = vmt_test_rig_zeros(&rig, dtype, rows, cols),
        .act = act,
        .count = VMT_COUNT_TOKENS,
    };
    for (uint32_t i = 0; i < rows; i++) { /* far out, where an exponential overflows, and near */
        for (uint32_t j = 0; j < cols; j++) {
            uint64_t at = (uint64_t)i * 2 * cols + j;
            vmt_tensor_put(&args.gate_up, at, vmt_tensor_at(&args.gate_up, at) * (j % 7 == 0 ? 300 : 6));
        }
    }
    vmt_err err = {0};
    vmt_test_rig_recorded(&rig, vmt_gpu_act_mul(rig.program, &args, &err), &err);
    uint32_t counts[VMT_NUM_STEP_COUNTS] = {[VMT_COUNT_TOKENS] = rows};
    vmt_test_rig_run(&rig, counts);
    double *want = VMT_ARENA_NEW(t->arena, double, (size_t)rows *cols);
    for (uint32_t i = 0; i < rows; i++) {
        for (uint32_t j = 0; j < cols; j++) {
            uint64_t at = (uint64_t)i * 2 * cols + j;
            want[i * cols + j] =
                act_ref(vmt_tensor_at(&args.gate_up, at), act) * vmt_tensor_at(&args.gate_up, at + cols);
        }
    }
    char what[64];
    snprintf(what, sizeof what, "activation %d, %u x %u in %s", (int)act, rows, cols, vmt_dtype_get(dtype)->name);
    vmt_test_expect_close(&rig, &args.out, want, what);
    vmt_test_rig_close(&rig);
}

static void gates(vmt_test *t) {
    static const vmt_activation acts[] = {VMT_ACT_SILU, VMT_ACT_GELU_TANH, VMT_ACT_GELU};
    for (size_t d = 0; d < VMT_COUNT(types); d++) {
        for (size_t a = 0; a < VMT_COUNT(acts); a++) {
            check_act(t, types[d], acts[a], 1, 8);
            check_act(t, types[d], acts[a], 3, 1536);
            check_act(t, types[d], acts[a], 2, 2056); /* one thread past a threadgroup */
        }
    }
}

static void adds_a_bias(vmt_test *t) {
    static const uint32_t shapes[][3] = {{1, 8, 8}, {3, 1536, 1544}, {2, 2056, 2064}}; /* rows, cols, stride */
    for (size_t i = 0; i < VMT_COUNT(types) * VMT_COUNT(shapes); i++) {
        if (!vmt_test_gpu_takes()) continue;
        const uint32_t *s = shapes[i / VMT_COUNT(types)], rows = s[0], cols = s[1], stride = s[2];
        vmt_test_rig rig;
        vmt_test_rig_open(&rig, t);
        vmt_gpu_add_bias_args args = {
            .bias = vmt_test_rig_random(&rig, VMT_F32, 1, cols),
            .out = vmt_test_rig_random(&rig, types[i % VMT_COUNT(types)], rows, stride),
            .scale = 0.5f,
            .count = VMT_COUNT_TOKENS,
        };
        double *want = VMT_ARENA_NEW(t->arena, double, (size_t)rows *stride);
        for (uint64_t k = 0; k < (uint64_t)rows * stride; k++) {
            double bias = k % stride < cols ? vmt_tensor_at(&args.bias, k % stride) : 0;
            want[k] = vmt_tensor_at(&args.out, k) + 0.5 * bias;
        }
        vmt_err err = {0};
        vmt_test_rig_recorded(&rig, vmt_gpu_add_bias(rig.program, &args, &err), &err);
        uint32_t counts[VMT_NUM_STEP_COUNTS] = {[VMT_COUNT_TOKENS] = rows};
        vmt_test_rig_run(&rig, counts);
        vmt_test_expect_close(&rig, &args.out, want, "rows with a bias");
        args.bias.shape[1] = 4;
        vmt_expect_eq(t, vmt_gpu_add_bias(rig.program, &args, &err), VMT_E_INVALID);
        vmt_test_rig_close(&rig);
    }
}

static void check_gather(vmt_test *t, vmt_dtype dtype, uint32_t cols, bool has_ids) {
    if (!vmt_test_gpu_takes()) return;
    static const int32_t ids[] = {4, 0, 4, 2};
    enum { ROWS = VMT_COUNT(ids) };
    vmt_test_rig rig;
    vmt_test_rig_open(&rig, t);
    vmt_gpu_gather_args args = {
        .x = vmt_test_rig_random(&rig, dtype, 5, cols),
        .out = vmt_test_rig_zeros(&rig, dtype, ROWS, cols),
        .count = VMT_COUNT_LOGITS,
    };
    if (has_ids) args.row_ids = vmt_test_rig_ints(&rig, ids, 1, ROWS);
    vmt_err err = {0};
    vmt_test_rig_recorded(&rig, vmt_gpu_gather(rig.program, &args, &err), &err);
    uint32_t counts[VMT_NUM_STEP_COUNTS] = {[VMT_COUNT_LOGITS] = ROWS};
    vmt_test_rig_run(&rig, counts);
    for (uint64_t i = 0; i < ROWS; i++) {
        for (uint64_t j = 0; j < cols; j++) {
            double want = vmt_tensor_at(&args.x, (has_ids ? (uint64_t)ids[i] : i) * cols + j);
            vmt_expect(t, vmt_tensor_at(&args.out, i * cols + j) == want);
        }
    }
    vmt_test_rig_close(&rig);
}

static void gathers_and_copies(vmt_test *t) {
    check_gather(t, VMT_F32, 4, true);
    check_gather(t, VMT_F32, 4100, true); /* one vector past a threadgroup */
    check_gather(t, VMT_F16, 2088, true);
    check_gather(t, VMT_BF16, 576, false);
    check_gather(t, VMT_I8, 16, false);
}

static void refuses_what_does_not_fit(vmt_test *t) {
    vmt_buffer memory = {.bytes = 1 << 20};
    vmt_tensor wide = {&memory, 0, VMT_F16, 2, {4, 128}}, narrow = {&memory, 0, VMT_F16, 2, {4, 60}};
    vmt_gpu_act_mul_args act = {.gate_up = wide, .out = narrow};
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_gpu_act_mul(NULL, &act, &err), VMT_E_INVALID);
    vmt_expect_str(t, err.msg, "act_mul: out is [4, 60], gate_up [4, 128]; cols a multiple of 8");
    vmt_gpu_gather_args gather = {.x = narrow, .out = narrow};
    err = (vmt_err){0};
    vmt_expect_eq(t, vmt_gpu_gather(NULL, &gather, &err), VMT_E_INVALID);
    vmt_expect_str(t, err.msg, "gather: rows of 60 elements of F16 are not whole vectors of 16 bytes");
    gather = (vmt_gpu_gather_args){.x = wide, .out = wide};
    gather.out.shape[0] = 5;
    vmt_expect_eq(t, vmt_gpu_gather(NULL, &gather, NULL), VMT_E_INVALID);
}

static const vmt_test_case cases[] = {
    {"gates", gates},
    {"adds_a_bias", adds_a_bias},
    {"gathers_and_copies", gathers_and_copies},
    {"refuses_what_does_not_fit", refuses_what_does_not_fit},
    {NULL, NULL},
};
VMT_GPU_TEST_MAIN(cases)
