/* ops/simd/matmul_zmm.h: what the AVX-512, VNNI and AMX kernels share: blocks of a panel in registers, and the finish.
 *
 * Inline bodies: `bits` and the like are constants where these are called, so that each use keeps only its case.
 * What differs among formats per block, not per row of x, is a switch at run time: it costs little and saves code. */
#ifndef VMT_OPS_SIMD_MATMUL_ZMM_H
#define VMT_OPS_SIMD_MATMUL_ZMM_H

#include "ops/matmul_kernel.h"

#include <immintrin.h>

typedef enum quant_bits { BITS_4 = 4, BITS_5 = 5, BITS_6 = 6, BITS_8 = 8 } quant_bits;

typedef struct zmm_scales { /* lanes are output rows */
    __m512 d[2], m;         /* d[1] only for half blocks */
} zmm_scales;

/* Eight vectors of unsigned quants: vector j, byte 4r + i is element 4j + i of row r. */
VMT_INLINE void zmm_load_quants(const quant_bits bits, const uint8_t *src, __m512i q[8]) {
    if (bits == BITS_8) {
        VMT_UNROLL for (int j = 0; j < 8; j++) q[j] = _mm512_load_si512(src + 64 * j);
        return;
    }
    const __m512i nibble = _mm512_set1_epi8(15);
    VMT_UNROLL for (int j = 0; j < 4; j++) {
        __m512i both = _mm512_load_si512(src + 64 * j);
        q[j] = _mm512_and_si512(both, nibble);
        q[j + 4] = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
    }
    enum { OR_AND = 0xf8 }; /* a | (b & c) */
    if (bits == BITS_5) {
        const __m512i bit = _mm512_set1_epi8(16);
        __m512i high = _mm512_load_si512(src + 256);
        /* Bit j of each byte to bit 4; what crosses a byte border is masked away. */
        VMT_UNROLL for (int j = 0; j < 8; j++) {
            __m512i moved = j < 4 ? _mm512_slli_epi16(high, 4 - j) : _mm512_srli_epi16(high, j - 4);
            q[j] = _mm512_ternarylogic_epi32(q[j], moved, bit, OR_AND);
        }
    } else if (bits == BITS_6) {
        const __m512i pair = _mm512_set1_epi8(48);
        VMT_UNROLL for (int j = 0; j < 8; j++) {
            __m512i high = _mm512_load_si512(src + 256 + 64 * (j / 4));
            int t = j % 4;
            __m512i moved = t < 2 ? _mm512_slli_epi16(high, 4 - 2 * t) : _mm512_srli_epi16(high, 2 * t - 4);
            q[j] = _mm512_ternarylogic_epi32(q[j], moved, pair, OR_AND);
        }
    }
}

VMT_INLINE __m512 zmm_load_f16(const uint8_t *src) {
    return _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)src));
}

VMT_INLINE __m512 zmm_load_u8(const uint8_t *src) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *)src)));
}

VMT_INLINE __m512 zmm_load_i8(const uint8_t *src) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_load_si128((const __m128i *)src)));
}

VMT_INLINE zmm_scales zmm_load_scales(const vmt_mm_args *args, const uint8_t *panel, uint32_t block) {
    const vmt_matmul_kind *kind = args->kind;
    const uint8_t *scales = panel + args->layout.scales + (size_t)block * kind->scale_bytes;
    const uint8_t *supers = panel + args->layout.supers + (size_t)(block / VMT_MM_SUPER) * kind->super_bytes;
    zmm_scales s = {.m = _mm512_setzero_ps()};
    switch (kind->format) {
    case VMT_MM_4KM:
    case VMT_MM_5KM: {
        s.d[0] = s.d[1] = _mm512_mul_ps(zmm_load_f16(supers), zmm_load_u8(scales));
        __m512 low = _mm512_mul_ps(zmm_load_f16(supers + 32), zmm_load_u8(scales + 16));
        s.m = _mm512_xor_ps(low, _mm512_set1_ps(-0.0f));
        break;
    }
    case VMT_MM_6K: {
        __m512 d = zmm_load_f16(supers);
        s.d[0] = _mm512_mul_ps(d, zmm_load_i8(scales));
        s.d[1] = _mm512_mul_ps(d, zmm_load_i8(scales + 16));
        break;
    }
    default:
        s.d[0] = s.d[1] = zmm_load_f16(scales);
        if (kind->has_min) s.m = zmm_load_f16(scales + 32);
        break;
    }
    return s;
}

/* v = acc + bias, times out_scale, plus what was there: the last steps of an output element. */
VMT_INLINE void zmm_store(const vmt_mm_args *args, uint32_t row, uint32_t panel, __m512 acc) {
    uint32_t begin = panel * VMT_MM_PANEL, count = VMT_MIN(args->rows - begin, VMT_MM_PANEL);
    __mmask16 lanes = (__mmask16)((1u << count) - 1);
    float *out = args->out + args->out_stride * row + begin;
    if (args->bias) acc = _mm512_add_ps(acc, _mm512_maskz_loadu_ps(lanes, args->bias + begin));
    acc = _mm512_mul_ps(acc, _mm512_set1_ps(args->out_scale));
    if (args->accumulate) acc = _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, out), acc);
    _mm512_mask_storeu_ps(out, lanes, acc);
}

#endif
