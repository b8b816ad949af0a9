/* ops/rope_test.c: rotation and per-head norm against the reference in double; instruction sets agree to the bit. */
#include "ops/rope.h"

#include <math.h>

#include "backend/cpu/cpu.h"
#include "base/rng.h"
#include "base/test.h"

static const vmt_isa isas[] = {VMT_ISA_SCALAR, VMT_ISA_AVX2, VMT_ISA_AVX512, VMT_ISA_NEON};

static const struct {
    uint32_t heads, norm_first, head_dim, rotary_dim;
    vmt_rope_pairing pairing;
    bool has_norm;
} shapes[] = {
    {3, 2, 64, 64, VMT_ROPE_HALVES, false},     {3, 2, 64, 64, VMT_ROPE_INTERLEAVED, false},
    {4, 3, 128, 128, VMT_ROPE_HALVES, true},    {2, 1, 96, 72, VMT_ROPE_HALVES, false},
    {2, 1, 24, 10, VMT_ROPE_INTERLEAVED, true}, {5, 4, 80, 0, VMT_ROPE_HALVES, true},
};

static vmt_tensor floats(vmt_test *t, size_t count, uint32_t stream) {
    vmt_buffer *buffer = VMT_ARENA_NEW(t->arena, vmt_buffer, 1);
    float *p = VMT_ARENA_NEW(t->arena, float, count);
    for (size_t i = 0; i < count; i++) p[i] = (float)(4 * vmt_rng_uniform(t->seed, stream, i) - 2);
    *buffer = (vmt_buffer){.host = (uint8_t *)p, .bytes = count * sizeof *p};
    return (vmt_tensor){buffer, 0, VMT_F32, 1, {count}};
}

static void agrees_with_reference(vmt_test *t) {
    static const int32_t positions[] = {0, 1, 17, 4095, 131071};
    enum { TOKENS = VMT_COUNT(positions), PAD = 8 };
    vmt_backend *be;
    vmt_expect_eq(t, vmt_cpu_backend_create(&be, 2, NULL), VMT_OK);
    for (size_t i = 0; i < VMT_COUNT(shapes); i++) {
        uint32_t stride = shapes[i].heads * shapes[i].head_dim + PAD, dim = shapes[i].rotary_dim;
        float inv_freq[64];
        for (uint32_t p = 0; p < dim / 2; p++) inv_freq[p] = powf(10000.0f, -2.0f * (float)p / (float)dim);
        vmt_tensor angles = floats(t, TOKENS * (dim + 1), 1);
        vmt_rope_angles_args angle_args = {inv_freq, 1.25f, dim, positions, TOKENS, angles};
        vmt_expect_eq(t, vmt_rope_angles(be, &angle_args), VMT_OK);
        const float *a = vmt_tensor_data(&angles);
        for (uint32_t p = 0; p < dim / 2; p++) { /* token 2 */
            vmt_expect_near(t, a[2 * dim + p], 1.25 * cos(17.0 * (double)inv_freq[p]), 1e-7);
            vmt_expect_near(t, a[2 * dim + dim / 2 + p], 1.25 * sin(17.0 * (double)inv_freq[p]), 1e-7);
        }
        vmt_tensor norms = floats(t, 2 * shapes[i].head_dim, 2), want = floats(t, TOKENS * stride, 3),
                   first = want;
        const float *norm = vmt_tensor_data(&norms);
        vmt_rope_args args = {
            .x = want,
            .stride = stride,
            .num_tokens = TOKENS,
            .num_heads = shapes[i].heads,
            .num_norm_first = shapes[i].norm_first,
            .head_dim = shapes[i].head_dim,
            .rotary_dim = dim,
            .pairing = shapes[i].pairing,
            .angles = angles,
            .norm_eps = 1e-6f,
        };
        if (shapes[i].has_norm) {
            args.norm_weight[0] = norm;
            args.norm_weight[1] = norm + shapes[i].head_dim;
        }
        vmt_rope_ref(&args);
        const float *w = vmt_tensor_data(&want);
        for (size_t k = 0, seen = 0; k < VMT_COUNT(isas); k++) {
            if (!vmt_isa_present(isas[k])) continue;
            vmt_isa_limit(isas[k]);
            args.x = floats(t, TOKENS * stride, 3);
            vmt_expect_eq(t, vmt_rope(be, &args), VMT_OK);
            const float *g = vmt_tensor_data(&args.x);
            for (size_t j = 0; j < TOKENS * stride; j++) vmt_expect_near(t, g[j], w[j], 3e-6);
            if (seen++ == 0) first = args.x;
            vmt_expect(t, memcmp(vmt_tensor_data(&first), g, TOKENS * stride * sizeof *g) == 0);
        }
        vmt_isa_limit(VMT_NUM_ISAS - 1);
    }
    vmt_backend_destroy(be);
}

static const vmt_test_case cases[] = {
    {"agrees_with_reference", agrees_with_reference},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
