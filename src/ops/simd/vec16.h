/* ops/simd/vec16.h: sixteen floats, on any instruction set, with one meaning.
 *
 * Kernels are written once against these verbs and compiled once per instruction set.  Each verb is exact or correctly
 * rounded lane by lane, and reductions have one fixed tree, so every build gives the same bits.  For kernel sources
 * only: a file that includes this is compiled for one instruction set and must not be reached on a machine without. */
#ifndef VMT_OPS_SIMD_VEC16_H
#define VMT_OPS_SIMD_VEC16_H

#include "tensor/dtype.h"
#include <math.h>
#include <string.h>

#define VF_LANES 16u
/* Plain C, and sanitizer builds, gain nothing from kernels expanded for each number of rows, and both together take
 * minutes to build when vectors of 16 plain floats are inlined everywhere. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define VF_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define VF_SANITIZED 1
#endif
#endif
#if !defined(__AVX2__) && !defined(__ARM_NEON)
#define VF_PLAIN_C 1
#endif
#if defined(VF_SANITIZED) || defined(VF_PLAIN_C)
#define VF_SMALL_CODE 1
#endif

/* VF_UNROLL: full unrolling of small loops with constant bounds, so that arrays of vectors become registers. */
#if defined(VF_SANITIZED) && defined(VF_PLAIN_C)
#define VF_INLINE static __attribute__((noinline, unused))
#define VF_UNROLL
#elif defined(VF_SMALL_CODE)
#define VF_INLINE static inline __attribute__((unused))
#define VF_UNROLL
#elif defined(__clang__)
#define VF_INLINE static inline __attribute__((always_inline, unused))
#define VF_UNROLL _Pragma("unroll")
#else
#define VF_INLINE static inline __attribute__((always_inline, unused))
#define VF_UNROLL _Pragma("GCC unroll 16")
#endif

#if defined(__AVX512F__)
#include <immintrin.h>
typedef __m512 vf;
VF_INLINE vf vf_load(const float *p) {
    return _mm512_loadu_ps(p);
}
VF_INLINE void vf_store(float *p, vf a) {
    _mm512_storeu_ps(p, a);
}
VF_INLINE vf vf_set1(float x) {
    return _mm512_set1_ps(x);
}
VF_INLINE vf vf_add(vf a, vf b) {
    return _mm512_add_ps(a, b);
}
VF_INLINE vf vf_sub(vf a, vf b) {
    return _mm512_sub_ps(a, b);
}
VF_INLINE vf vf_mul(vf a, vf b) {
    return _mm512_mul_ps(a, b);
}
VF_INLINE vf vf_div(vf a, vf b) {
    return _mm512_div_ps(a, b);
}
VF_INLINE vf vf_max(vf a, vf b) {
    return _mm512_max_ps(a, b);
}
VF_INLINE vf vf_min(vf a, vf b) {
    return _mm512_min_ps(a, b);
}
VF_INLINE vf vf_fma(vf a, vf b, vf c) {
    return _mm512_fmadd_ps(a, b, c);
}
/* 2^n for an integer n held as magic + n: shifts the low bits of its representation into the exponent. */
VF_INLINE vf vf_scale_exponent(vf a, vf magic_n) {
    __m512i n = _mm512_slli_epi32(_mm512_castps_si512(magic_n), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), n));
}
/* a < b ? x : y */
VF_INLINE vf vf_select_lt(vf a, vf b, vf x, vf y) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
VF_INLINE vf vf_load_f16(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
VF_INLINE vf vf_load_bf16(const uint16_t *p) {
    __m256i h = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
VF_INLINE void vf_store_f16(uint16_t *p, vf a) {
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
/* Sixteen (even, odd) pairs of bf16, 64 bytes. */
VF_INLINE vf vf_load_even(const uint16_t *p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
}
VF_INLINE vf vf_load_odd(const uint16_t *p) {
    __m512i odd = _mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32((int)0xffff0000));
    return _mm512_castsi512_ps(odd);
}

#elif defined(__AVX2__)
#include <immintrin.h>
typedef struct vf {
    __m256 a, b;
} vf;
VF_INLINE vf vf_load(const float *p) {
    return (vf){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
VF_INLINE void vf_store(float *p, vf x) {
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
VF_INLINE vf vf_set1(float x) {
    return (vf){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
VF_INLINE vf vf_add(vf x, vf y) {
    return (vf){_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
}
VF_INLINE vf vf_sub(vf x, vf y) {
    return (vf){_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
}
VF_INLINE vf vf_mul(vf x, vf y) {
    return (vf){_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}
VF_INLINE vf vf_div(vf x, vf y) {
    return (vf){_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
}
VF_INLINE vf vf_max(vf x, vf y) {
    return (vf){_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
}
VF_INLINE vf vf_min(vf x, vf y) {
    return (vf){_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)};
}
VF_INLINE vf vf_fma(vf x, vf y, vf z) {
    return (vf){_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
VF_INLINE __m256 vf_scale_exponent_half(__m256 x, __m256 magic_n) {
    __m256i n = _mm256_slli_epi32(_mm256_castps_si256(magic_n), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), n));
}
VF_INLINE vf vf_scale_exponent(vf x, vf n) {
    return (vf){vf_scale_exponent_half(x.a, n.a), vf_scale_exponent_half(x.b, n.b)};
}
VF_INLINE vf vf_select_lt(vf a, vf b, vf x, vf y) {
    return (vf){_mm256_blendv_ps(y.a, x.a, _mm256_cmp_ps(a.a, b.a, _CMP_LT_OQ)),
                _mm256_blendv_ps(y.b, x.b, _mm256_cmp_ps(a.b, b.b, _CMP_LT_OQ))};
}
VF_INLINE __m256 vf_f16_half(const uint16_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}
VF_INLINE __m256 vf_bf16_half(const uint16_t *p) {
    __m128i h = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
VF_INLINE vf vf_load_f16(const uint16_t *p) {
    return (vf){vf_f16_half(p), vf_f16_half(p + 8)};
}
VF_INLINE vf vf_load_bf16(const uint16_t *p) {
    return (vf){vf_bf16_half(p), vf_bf16_half(p + 8)};
}
VF_INLINE void vf_store_f16(uint16_t *p, vf x) {
    const int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_cvtps_ph(x.a, nearest));
    _mm_storeu_si128((__m128i *)(void *)(p + 8), _mm256_cvtps_ph(x.b, nearest));
}
VF_INLINE __m256i vf_pairs_half(const uint16_t *p) {
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}
VF_INLINE vf vf_load_even(const uint16_t *p) {
    return (vf){_mm256_castsi256_ps(_mm256_slli_epi32(vf_pairs_half(p), 16)),
                _mm256_castsi256_ps(_mm256_slli_epi32(vf_pairs_half(p + 16), 16))};
}
VF_INLINE vf vf_load_odd(const uint16_t *p) {
    const __m256i odd = _mm256_set1_epi32((int)0xffff0000);
    return (vf){_mm256_castsi256_ps(_mm256_and_si256(vf_pairs_half(p), odd)),
                _mm256_castsi256_ps(_mm256_and_si256(vf_pairs_half(p + 16), odd))};
}

#elif defined(__ARM_NEON)
#include <arm_neon.h>
typedef struct vf {
    float32x4_t q[4];
} vf;
#define VF_EACH(expr)                                       \
    vf r_;                                                  \
    VF_UNROLL for (int i = 0; i < 4; i++) r_.q[i] = (expr); \
    return r_
VF_INLINE vf vf_load(const float *p) {
    VF_EACH(vld1q_f32(p + 4 * i));
}
VF_INLINE void vf_store(float *p, vf x) {
    VF_UNROLL for (int i = 0; i < 4; i++) vst1q_f32(p + 4 * i, x.q[i]);
}
VF_INLINE vf vf_set1(float x) {
    VF_EACH(vdupq_n_f32(x));
}
VF_INLINE vf vf_add(vf x, vf y) {
    VF_EACH(vaddq_f32(x.q[i], y.q[i]));
}
VF_INLINE vf vf_sub(vf x, vf y) {
    VF_EACH(vsubq_f32(x.q[i], y.q[i]));
}
VF_INLINE vf vf_mul(vf x, vf y) {
    VF_EACH(vmulq_f32(x.q[i], y.q[i]));
}
VF_INLINE vf vf_div(vf x, vf y) {
    VF_EACH(vdivq_f32(x.q[i], y.q[i]));
}
/* x86's rule for equal and unordered operands: the second one. */
VF_INLINE vf vf_max(vf x, vf y) {
    VF_EACH(vbslq_f32(vcgtq_f32(x.q[i], y.q[i]), x.q[i], y.q[i]));
}
VF_INLINE vf vf_min(vf x, vf y) {
    VF_EACH(vbslq_f32(vcltq_f32(x.q[i], y.q[i]), x.q[i], y.q[i]));
}
VF_INLINE vf vf_fma(vf x, vf y, vf z) {
    VF_EACH(vfmaq_f32(z.q[i], x.q[i], y.q[i]));
}
VF_INLINE vf vf_scale_exponent(vf x, vf n) {
    VF_EACH(vreinterpretq_f32_u32(
        vaddq_u32(vreinterpretq_u32_f32(x.q[i]), vshlq_n_u32(vreinterpretq_u32_f32(n.q[i]), 23))));
}
VF_INLINE vf vf_select_lt(vf a, vf b, vf x, vf y) {
    VF_EACH(vbslq_f32(vcltq_f32(a.q[i], b.q[i]), x.q[i], y.q[i]));
}
VF_INLINE vf vf_load_f16(const uint16_t *p) {
    VF_EACH(vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))));
}
VF_INLINE vf vf_load_bf16(const uint16_t *p) {
    VF_EACH(vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)));
}
VF_INLINE void vf_store_f16(uint16_t *p, vf x) {
    VF_UNROLL for (int i = 0; i < 4; i++) vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(x.q[i])));
}
VF_INLINE uint32x4_t vf_pairs_quarter(const uint16_t *p) {
    return vreinterpretq_u32_u16(vld1q_u16(p));
}
VF_INLINE vf vf_load_even(const uint16_t *p) {
    VF_EACH(vreinterpretq_f32_u32(vshlq_n_u32(vf_pairs_quarter(p + 8 * i), 16)));
}
VF_INLINE vf vf_load_odd(const uint16_t *p) {
    VF_EACH(vreinterpretq_f32_u32(vandq_u32(vf_pairs_quarter(p + 8 * i), vdupq_n_u32(0xffff0000))));
}

#else
typedef struct vf {
    float x[16];
} vf;
#define VF_EACH(expr)                              \
    vf r_;                                         \
    for (int i = 0; i < 16; i++) r_.x[i] = (expr); \
    return r_
VF_INLINE vf vf_load(const float *p) {
    VF_EACH(p[i]);
}
VF_INLINE void vf_store(float *p, vf a) {
    memcpy(p, a.x, sizeof a.x);
}
VF_INLINE vf vf_set1(float x) {
    VF_EACH(x);
}
VF_INLINE vf vf_add(vf a, vf b) {
    VF_EACH(a.x[i] + b.x[i]);
}
VF_INLINE vf vf_sub(vf a, vf b) {
    VF_EACH(a.x[i] - b.x[i]);
}
VF_INLINE vf vf_mul(vf a, vf b) {
    VF_EACH(a.x[i] * b.x[i]);
}
VF_INLINE vf vf_div(vf a, vf b) {
    VF_EACH(a.x[i] / b.x[i]);
}
VF_INLINE vf vf_max(vf a, vf b) {
    VF_EACH(a.x[i] > b.x[i] ? a.x[i] : b.x[i]);
}
VF_INLINE vf vf_min(vf a, vf b) {
    VF_EACH(a.x[i] < b.x[i] ? a.x[i] : b.x[i]);
}
VF_INLINE vf vf_fma(vf a, vf b, vf c) {
    VF_EACH(fmaf(a.x[i], b.x[i], c.x[i]));
}
VF_INLINE float vf_scale_exponent_1(float a, float magic_n) {
    uint32_t bits, n;
    memcpy(&bits, &a, 4);
    memcpy(&n, &magic_n, 4);
    bits += n << 23;
    memcpy(&a, &bits, 4);
    return a;
}
VF_INLINE vf vf_scale_exponent(vf a, vf n) {
    VF_EACH(vf_scale_exponent_1(a.x[i], n.x[i]));
}
VF_INLINE vf vf_select_lt(vf a, vf b, vf x, vf y) {
    VF_EACH(a.x[i] < b.x[i] ? x.x[i] : y.x[i]);
}
VF_INLINE vf vf_load_f16(const uint16_t *p) {
    VF_EACH(vmt_f16_to_f32(p[i]));
}
VF_INLINE vf vf_load_bf16(const uint16_t *p) {
    VF_EACH(vmt_bf16_to_f32(p[i]));
}
VF_INLINE void vf_store_f16(uint16_t *p, vf a) {
    for (int i = 0; i < 16; i++) p[i] = vmt_f32_to_f16(a.x[i]);
}
VF_INLINE vf vf_load_even(const uint16_t *p) {
    VF_EACH(vmt_bf16_to_f32(p[2 * i]));
}
VF_INLINE vf vf_load_odd(const uint16_t *p) {
    VF_EACH(vmt_bf16_to_f32(p[2 * i + 1]));
}
#endif

/* The first n < 16 lanes; the rest are zero. */
VF_INLINE vf vf_load_part(const float *p, size_t n) {
    float tmp[16] = {0};
    memcpy(tmp, p, n * sizeof *p);
    return vf_load(tmp);
}
VF_INLINE void vf_store_part(float *p, vf a, size_t n) {
    float tmp[16];
    vf_store(tmp, a);
    memcpy(p, tmp, n * sizeof *p);
}

/* Lane i meets lane i + 8, then + 4, + 2, + 1. */
VF_INLINE float vf_sum(vf a) {
    float t[16];
    vf_store(t, a);
    for (int i = 0; i < 8; i++) t[i] += t[i + 8];
    for (int i = 0; i < 4; i++) t[i] += t[i + 4];
    return (t[0] + t[2]) + (t[1] + t[3]);
}
VF_INLINE float vf_largest(vf a) {
    float t[16];
    vf_store(t, a);
    for (int i = 0; i < 8; i++) t[i] = t[i] > t[i + 8] ? t[i] : t[i + 8];
    for (int i = 0; i < 4; i++) t[i] = t[i] > t[i + 4] ? t[i] : t[i + 4];
    for (int i = 0; i < 2; i++) t[i] = t[i] > t[i + 2] ? t[i] : t[i + 2];
    return t[0] > t[1] ? t[0] : t[1];
}

/* e^x to within 2 ulp: x = n ln 2 + r with |r| <= ln 2 / 2, a degree-6 polynomial in r (Taylor coefficients fitted by
 * Remez, as in Cephes' expf), times 2^n.  Below -87 it is 0, above 88 it stays at e^88: neither end makes a denormal or
 * an infinity. */
VF_INLINE vf vf_exp(vf x) {
    const vf magic = vf_set1(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    vf clamped = vf_min(vf_max(x, vf_set1(-87.0f)), vf_set1(88.0f));
    vf magic_n = vf_fma(clamped, vf_set1(1.44269504088896341f), magic);
    vf n = vf_sub(magic_n, magic);
    vf r = vf_fma(n, vf_set1(-0.693359375f), clamped);
    r = vf_fma(n, vf_set1(2.12194440e-4f), r);
    vf p = vf_set1(1.9875691500e-4f);
    p = vf_fma(p, r, vf_set1(1.3981999507e-3f));
    p = vf_fma(p, r, vf_set1(8.3334519073e-3f));
    p = vf_fma(p, r, vf_set1(4.1665795894e-2f));
    p = vf_fma(p, r, vf_set1(1.6666665459e-1f));
    p = vf_fma(p, r, vf_set1(5.0000001201e-1f));
    p = vf_fma(vf_mul(r, r), p, vf_add(r, vf_set1(1.0f)));
    return vf_select_lt(x, vf_set1(-87.0f), vf_set1(0.0f), vf_scale_exponent(p, magic_n));
}

/* tanh x = 1 - 2 / (e^2x + 1): absolute error of a few 1e-7, which is what its callers need. */
VF_INLINE vf vf_tanh(vf x) {
    vf e = vf_exp(vf_add(x, x));
    return vf_sub(vf_set1(1.0f), vf_div(vf_set1(2.0f), vf_add(e, vf_set1(1.0f))));
}

#endif
