/* ops/simd/matmul_avx512vnni.c: quantized weights with vpdpbusd: unsigned quants of 16 output rows times four
 * bytes of x, broadcast from memory.
 *
 * A tile is one panel times up to 16 rows of x: 16 float accumulators and the block's 8 quant vectors fill the
 * registers; a block is unpacked once for all rows of the tile. */
#if defined(__x86_64__)
#include "ops/simd/matmul_zmm.h"

#include <string.h>

VMT_INLINE __m512i broadcast4(const int8_t *src) {
    int32_t word;
    memcpy(&word, src, sizeof(word));
    return _mm512_set1_epi32(word);
}

VMT_INLINE __m512i dot16(__m512i acc, const __m512i *q, const int8_t *x) {
    VMT_UNROLL for (int j = 0; j < 4; j++) acc = _mm512_dpbusd_epi32(acc, q[j], broadcast4(x + 4 * j));
    return acc;
}

VMT_INLINE void tile(const vmt_mm_format f, const uint32_t height, const vmt_mm_args *args, uint32_t panel_idx,
                     uint32_t row, uint32_t num_rows) {
    const uint8_t *panel = args->panels + panel_idx * args->layout.bytes, *quants = panel;
    const vmt_mm_layout layout = args->layout;
    const uint32_t num_blocks = args->num_blocks;
    size_t base = (size_t)row * num_blocks;
    const int8_t *x = args->q + base * VMT_MM_BLOCK;
    const float *d = args->d + base, *sum = args->sum + base;
    const int32_t *init = args->init + base * (f == VMT_MM_6K ? 2 : 1);
    __m512 acc[16];
    VMT_UNROLL for (uint32_t i = 0; i < height; i++) acc[i] = _mm512_setzero_ps();
    for (uint32_t b = 0; b < num_blocks; b++) {
        __m512i q[8];
        zmm_load_quants(f, quants, q);
        const zmm_scales s = zmm_load_scales(f, &layout, panel, b);
        VMT_UNROLL for (uint32_t i = 0; i < height; i++) {
            const __m512 dx = _mm512_set1_ps(d[i]);
            const int8_t *xi = x + VMT_MM_BLOCK * i;
            if (f == VMT_MM_6K) {
                __m512i low = dot16(_mm512_set1_epi32(init[i]), q, xi);
                __m512i high = dot16(_mm512_set1_epi32(init[height + i]), q + 4, xi + 16);
                acc[i] = _mm512_fmadd_ps(_mm512_mul_ps(s.d[0], dx), _mm512_cvtepi32_ps(low), acc[i]);
                acc[i] = _mm512_fmadd_ps(_mm512_mul_ps(s.d[1], dx), _mm512_cvtepi32_ps(high), acc[i]);
            } else {
                __m512i dot = zmm_has_min(f) ? _mm512_setzero_si512() : _mm512_set1_epi32(init[i]);
                /* Two chains: the wait for one of eight would be longer than the window that hides it. */
                dot = _mm512_add_epi32(dot16(dot, q, xi), dot16(_mm512_setzero_si512(), q + 4, xi + 16));
                acc[i] = _mm512_fmadd_ps(_mm512_mul_ps(s.d[0], dx), _mm512_cvtepi32_ps(dot), acc[i]);
                if (zmm_has_min(f)) acc[i] = _mm512_fmadd_ps(s.m, _mm512_set1_ps(sum[i]), acc[i]);
            }
        }
        quants += zmm_quant_bytes(f);
        x += (size_t)VMT_MM_BLOCK * height;
        d += height;
        sum += height;
        init += height * (f == VMT_MM_6K ? 2 : 1);
    }
    VMT_UNROLL for (uint32_t i = 0; i < height; i++) {
        if (i < num_rows) zmm_store(args, row + i, panel_idx, acc[i]);
    }
}

VMT_INLINE void walk(const vmt_mm_format f, const vmt_mm_args *args, const vmt_mm_range *range) {
    for (uint32_t panel = range->panel_begin; panel < range->panel_end; panel++) {
        for (uint32_t row = range->row_begin; row < range->row_end; row += VMT_MM_PANEL) {
            uint32_t n = VMT_MIN(range->row_end - row, VMT_MM_PANEL);
            switch (vmt_mm_height(n)) {
            case 1: tile(f, 1, args, panel, row, n); break;
            case 2: tile(f, 2, args, panel, row, n); break;
            case 3: tile(f, 3, args, panel, row, n); break;
            case 4: tile(f, 4, args, panel, row, n); break;
            case 8: tile(f, 8, args, panel, row, n); break;
            case 12: tile(f, 12, args, panel, row, n); break;
            default: tile(f, 16, args, panel, row, n); break;
            }
        }
    }
}

void vmt_mm_quant_avx512vnni(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch) {
    switch (args->kind->format) {
    case VMT_MM_4D: walk(VMT_MM_4D, args, range); break;
    case VMT_MM_4DM: walk(VMT_MM_4DM, args, range); break;
    case VMT_MM_5D: walk(VMT_MM_5D, args, range); break;
    case VMT_MM_5DM: walk(VMT_MM_5DM, args, range); break;
    case VMT_MM_8D: walk(VMT_MM_8D, args, range); break;
    case VMT_MM_4KM: walk(VMT_MM_4KM, args, range); break;
    case VMT_MM_5KM: walk(VMT_MM_5KM, args, range); break;
    case VMT_MM_6K: walk(VMT_MM_6K, args, range); break;
    default: VMT_ASSERT(!"a quantized format");
    }
}
#else
typedef int vmt_mm_no_avx512vnni;
#endif
