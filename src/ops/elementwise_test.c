/* ops/elementwise_test.c: row ops against their references in double, and bit for bit over instruction sets. */
#include "ops/elementwise.h"

#include <math.h>

#include "backend/cpu/cpu.h"
#include "base/rng.h"
#include "base/test.h"

static const vmt_isa isas[] = {VMT_ISA_SCALAR, VMT_ISA_AVX2, VMT_ISA_AVX512, VMT_ISA_NEON};
static const uint32_t widths[] = {1, 7, 16, 31, 64, 576, 1001}; /* no vector width divides the odd ones */

static vmt_tensor floats(vmt_test *t, size_t count, uint32_t stream, float spread) {
    vmt_buffer *buffer = VMT_ARENA_NEW(t->arena, vmt_buffer, 1);
    float *p = VMT_ARENA_NEW(t->arena, float, count);
    for (size_t i = 0; i < count; i++) p[i] = spread * (float)(2 * vmt_rng_uniform(t->seed, stream, i) - 1);
    *buffer = (vmt_buffer){.host = (uint8_t *)p, .bytes = count * sizeof *p};
    return (vmt_tensor){buffer, 0, VMT_F32, 1, {count}};
}

static vmt_backend *backend(vmt_test *t) {
    vmt_backend *be;
    vmt_expect_eq(t, vmt_cpu_backend_create(&be, 2, NULL), VMT_OK);
    return be;
}

/* got within rel of want, or abs; and the same bits as the first instruction set's. */
static void expect_rows(vmt_test *t, const vmt_tensor *got, const vmt_tensor *want, vmt_tensor *first,
                        bool is_first, double rel, double abs) {
    size_t n = want->shape[0];
    const float *g = vmt_tensor_data(got), *w = vmt_tensor_data(want);
    for (size_t i = 0; i < n; i++) vmt_expect_near(t, g[i], w[i], rel * fabs((double)w[i]) + abs);
    if (is_first)
        memcpy(vmt_tensor_data(first), g, n * sizeof *g);
    else
        vmt_expect(t, memcmp(vmt_tensor_data(first), g, n * sizeof *g) == 0);
}

static void rmsnorm_agrees(vmt_test *t) {
    vmt_backend *be = backend(t);
    for (size_t i = 0; i < VMT_COUNT(widths); i++) {
        uint32_t cols = widths[i], rows = 5;
        vmt_tensor x = floats(t, rows * cols, 1, 8.0f), weight = floats(t, cols, 2, 2.0f);
        vmt_tensor want = floats(t, rows * cols, 3, 0), got = floats(t, rows * cols, 3, 0), first = got;
        first = floats(t, rows * cols, 3, 0);
        vmt_rmsnorm_args args = {x, want, vmt_tensor_data(&weight), rows, cols, 1e-5f};
        vmt_rmsnorm_ref(&args);
        args.out = got;
        for (size_t k = 0, seen = 0; k < VMT_COUNT(isas); k++) {
            if (!vmt_isa_present(isas[k])) continue;
            vmt_isa_limit(isas[k]);
            vmt_expect_eq(t, vmt_rmsnorm(be, &args), VMT_OK);
            expect_rows(t, &got, &want, &first, seen++ == 0, 2e-6, 1e-9);
        }
        vmt_isa_limit(VMT_NUM_ISAS - 1);
        args.out = x; /* in place */
        vmt_expect_eq(t, vmt_rmsnorm(be, &args), VMT_OK);
        vmt_expect(t, memcmp(vmt_tensor_data(&x), vmt_tensor_data(&first), rows * cols * sizeof(float)) == 0);
    }
    vmt_backend_destroy(be);
}

static void activations_agree(vmt_test *t) {
    static const vmt_activation acts[] = {VMT_ACT_SILU, VMT_ACT_GELU_TANH, VMT_ACT_GELU};
    vmt_backend *be = backend(t);
    for (size_t i = 0; i < VMT_COUNT(widths) * VMT_COUNT(acts); i++) {
        uint32_t cols = widths[i / VMT_COUNT(acts)], rows = 3;
        vmt_tensor gate_up = floats(t, 2 * rows * cols, 4, 12.0f);
        vmt_tensor want = floats(t, rows * cols, 5, 0), got = floats(t, rows * cols, 5, 0);
        vmt_tensor first = floats(t, rows * cols, 5, 0);
        vmt_act_mul_args args = {gate_up, want, rows, cols, acts[i % VMT_COUNT(acts)]};
        vmt_act_mul_ref(&args);
        args.out = got;
        for (size_t k = 0, seen = 0; k < VMT_COUNT(isas); k++) {
            if (!vmt_isa_present(isas[k])) continue;
            vmt_isa_limit(isas[k]);
            vmt_expect_eq(t, vmt_act_mul(be, &args), VMT_OK);
            expect_rows(t, &got, &want, &first, seen++ == 0, 1e-6, 2e-5);
        }
        vmt_isa_limit(VMT_NUM_ISAS - 1);
    }
    vmt_backend_destroy(be);
}

static void extreme_gates_stay_finite(vmt_test *t) {
    static const float extremes[] = {-3e38f, -1e4f,  -200.0f, -88.1f, -87.0f, -0.0f,
                                     0.0f,   1e-40f, 87.5f,   200.0f, 1e4f};
    vmt_backend *be = backend(t);
    uint32_t cols = VMT_COUNT(extremes);
    vmt_tensor gate_up = floats(t, 2 * cols, 6, 0), out = floats(t, cols, 6, 0);
    float *g = vmt_tensor_data(&gate_up);
    for (uint32_t i = 0; i < cols; i++) {
        g[i] = extremes[i];
        g[cols + i] = 1.0f;
    }
    vmt_act_mul_args args = {gate_up, out, 1, cols, VMT_ACT_SILU};
    vmt_expect_eq(t, vmt_act_mul(be, &args), VMT_OK);
    const float *o = vmt_tensor_data(&out);
    for (uint32_t i = 0; i < cols; i++) {
        double want = extremes[i] < -80 ? 0 : (double)extremes[i] / (1 + exp(-(double)extremes[i]));
        vmt_expect_near(t, o[i], want, fabs(want) * 1e-6 + 4.0);
        if (extremes[i] > -1e5f) vmt_expect_near(t, o[i], want, fabs(want) * 1e-6 + 1e-33);
    }
    vmt_backend_destroy(be);
}

static void gathers_and_embeds(vmt_test *t) {
    vmt_backend *be = backend(t);
    vmt_tensor table = floats(t, 6 * 5, 7, 1.0f), out = floats(t, 4 * 5, 8, 0);
    const uint32_t rows[] = {5, 0, 0, 3};
    const int32_t ids[] = {5, 0, 0, 3};
    const float *src = vmt_tensor_data(&table), *o = vmt_tensor_data(&out);
    vmt_gather_rows_args gather = {table, out, rows, 4, 5};
    vmt_expect_eq(t, vmt_gather_rows(be, &gather), VMT_OK);
    for (uint32_t i = 0; i < 20; i++) vmt_expect(t, o[i] == src[rows[i / 5] * 5 + i % 5]);
    table.ndim = 2;
    table.shape[0] = 6;
    table.shape[1] = 5;
    vmt_weight weight = {.src = vmt_matrix_of(&table), .rows = 6, .cols = 5};
    vmt_embed_args embed = {&weight, ids, 4, out, 3.0f};
    vmt_expect_eq(t, vmt_embed(be, &embed), VMT_OK);
    for (uint32_t i = 0; i < 20; i++) vmt_expect(t, o[i] == 3.0f * src[rows[i / 5] * 5 + i % 5]);
    gather.num_rows = 0;
    vmt_expect_eq(t, vmt_gather_rows(be, &gather), VMT_OK);
    vmt_backend_destroy(be);
}

static const vmt_test_case cases[] = {
    {"rmsnorm_agrees", rmsnorm_agrees},
    {"activations_agree", activations_agree},
    {"extreme_gates_stay_finite", extreme_gates_stay_finite},
    {"gathers_and_embeds", gathers_and_embeds},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
