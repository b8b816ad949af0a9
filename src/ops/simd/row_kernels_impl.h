/* ops/simd/row_kernels_impl.h: bodies of row_kernels.h.  Included once by each row_kernels_<isa>.c, which then defines
 * its table with VMT_ROW_KERNELS_TABLE. */
#ifndef VMT_OPS_SIMD_ROW_KERNELS_IMPL_H
#define VMT_OPS_SIMD_ROW_KERNELS_IMPL_H

#include "ops/simd/row_kernels.h"
#include "ops/simd/vec16.h"

/* Sum of squares: lane i takes elements i, i + 16, ...: one order whatever the width of the machine. */
static void rmsnorm(const float *x, const float *weight, float *out, uint32_t cols, float eps) {
    uint32_t whole = cols - cols % VF_LANES, rest = cols - whole;
    vf sum = vf_set1(0.0f);
    for (uint32_t i = 0; i < whole; i += VF_LANES) {
        vf v = vf_load(x + i);
        sum = vf_fma(v, v, sum);
    }
    if (rest > 0) {
        vf v = vf_load_part(x + whole, rest);
        sum = vf_fma(v, v, sum);
    }
    vf inv = vf_set1(1.0f / sqrtf(vf_sum(sum) / (float)cols + eps));
    for (uint32_t i = 0; i < whole; i += VF_LANES) {
        vf_store(out + i, vf_mul(vf_mul(vf_load(x + i), inv), vf_load(weight + i)));
    }
    if (rest > 0) {
        vf v = vf_mul(vf_mul(vf_load_part(x + whole, rest), inv), vf_load_part(weight + whole, rest));
        vf_store_part(out + whole, v, rest);
    }
}

VF_INLINE vf silu(vf x) {
    return vf_div(x, vf_add(vf_set1(1.0f), vf_exp(vf_sub(vf_set1(0.0f), x))));
}

/* 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) */
VF_INLINE vf gelu_tanh(vf x) {
    vf cubic = vf_mul(vf_mul(x, x), vf_mul(x, vf_set1(0.044715f)));
    vf t = vf_tanh(vf_mul(vf_set1(0.797884560802865f), vf_add(x, cubic)));
    return vf_mul(vf_mul(vf_set1(0.5f), x), vf_add(vf_set1(1.0f), t));
}

/* 0.5 x (1 + erf(x / sqrt 2)) */
VF_INLINE vf gelu(vf x) {
    float t[VF_LANES];
    vf_store(t, x);
    for (uint32_t i = 0; i < VF_LANES; i++) t[i] = 0.5f * t[i] * (1.0f + erff(t[i] * 0.707106781186547f));
    return vf_load(t);
}

#define ACT_MUL_LOOP(act)                                                                         \
    do {                                                                                          \
        for (uint32_t i = 0; i < whole; i += VF_LANES) {                                          \
            vf_store(out + i, vf_mul(act(vf_load(gate + i)), vf_load(up + i)));                   \
        }                                                                                         \
        if (rest > 0) {                                                                           \
            vf v = vf_mul(act(vf_load_part(gate + whole, rest)), vf_load_part(up + whole, rest)); \
            vf_store_part(out + whole, v, rest);                                                  \
        }                                                                                         \
    } while (0)

static void act_mul(const float *gate, const float *up, float *out, uint32_t cols, vmt_activation kind) {
    uint32_t whole = cols - cols % VF_LANES, rest = cols - whole;
    switch (kind) {
    case VMT_ACT_SILU: ACT_MUL_LOOP(silu); break;
    case VMT_ACT_GELU_TANH: ACT_MUL_LOOP(gelu_tanh); break;
    case VMT_ACT_GELU: ACT_MUL_LOOP(gelu); break;
    }
}

/* (a, b) turns to (a cos - b sin, b cos + a sin), each one rounded product and one fma. */
static void rope_halves(float *x, const float *angles, uint32_t pairs) {
    const float *cosines = angles, *sines = angles + pairs;
    uint32_t i = 0;
    for (; i + VF_LANES <= pairs; i += VF_LANES) {
        vf a = vf_load(x + i), b = vf_load(x + pairs + i), c = vf_load(cosines + i), s = vf_load(sines + i);
        vf_store(x + i, vf_fma(vf_sub(vf_set1(0.0f), b), s, vf_mul(a, c)));
        vf_store(x + pairs + i, vf_fma(a, s, vf_mul(b, c)));
    }
    for (; i < pairs; i++) {
        float a = x[i], b = x[pairs + i];
        x[i] = fmaf(-b, sines[i], a * cosines[i]);
        x[pairs + i] = fmaf(a, sines[i], b * cosines[i]);
    }
}

static void rope_interleaved(float *x, const float *angles, uint32_t pairs) {
    for (uint32_t i = 0; i < pairs; i++) {
        float a = x[2 * i], b = x[2 * i + 1], c = angles[i], s = angles[pairs + i];
        x[2 * i] = fmaf(-b, s, a * c);
        x[2 * i + 1] = fmaf(a, s, b * c);
    }
}

static void scale_row(float *x, uint32_t cols, float scale) {
    for (uint32_t i = 0; i < cols; i++) x[i] *= scale;
}

static void to_f16(const float *x, uint16_t *out, uint32_t cols) {
    uint32_t i = 0;
    for (; i + VF_LANES <= cols; i += VF_LANES) vf_store_f16(out + i, vf_load(x + i));
    for (; i < cols; i++) out[i] = vmt_f32_to_f16(x[i]);
}

#define VMT_ROW_KERNELS_TABLE(isa)                  \
    const vmt_row_kernels vmt_row_kernels_##isa = { \
        .rmsnorm = rmsnorm,                         \
        .act_mul = act_mul,                         \
        .rope_halves = rope_halves,                 \
        .rope_interleaved = rope_interleaved,       \
        .scale = scale_row,                         \
        .to_f16 = to_f16,                           \
    }

#endif
