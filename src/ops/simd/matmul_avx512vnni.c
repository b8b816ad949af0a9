/* ops/simd/matmul_avx512vnni.c: quantized weights with vpdpbusd: unsigned quants of 16 output rows times four
 * bytes of x, broadcast from memory.
 *
 * A tile is one panel times up to 16 rows of an activation panel: 16 float accumulators and the block's 8 quant
 * vectors fill the registers; a block is unpacked once for all rows of the tile. */
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

/* Rows [first, first + count) of the activation panel that begins at row `row` and is `height` high. */
VMT_BODY void tile(const quant_bits bits, const bool has_min, const uint32_t count, const vmt_mm_args *args,
                   uint32_t panel_idx, uint32_t row, uint32_t height, uint32_t first) {
    const uint8_t *panel = args->panels + panel_idx * args->layout.bytes;
    const uint32_t num_blocks = args->num_blocks, quant_bytes = args->kind->quant_bytes;
    const uint32_t halves = bits == BITS_6 ? 2 : 1;
    const size_t base = (size_t)row * num_blocks;
    const int8_t *x = args->q + (base + first) * VMT_MM_BLOCK;
    const float *d = args->d + base + first, *sum = args->sum + base + first;
    const int32_t *init = args->init + base * halves + first;
    __m512 acc[16];
    VMT_UNROLL_ROWS for (uint32_t i = 0; i < count; i++) acc[i] = _mm512_setzero_ps();
    for (uint32_t b = 0; b < num_blocks; b++) {
        __m512i q[8];
        if (count <= VMT_MM_STREAM_ROWS) vmt_mm_prefetch(args, panel, b, bits * 64);
        zmm_load_quants(bits, panel + (size_t)b * quant_bytes, q);
        const zmm_scales s = zmm_load_scales(args, panel, b);
        VMT_UNROLL_ROWS for (uint32_t i = 0; i < count; i++) {
            const __m512 dx = _mm512_set1_ps(d[i]);
            const int8_t *xi = x + VMT_MM_BLOCK * i;
            if (bits == BITS_6) {
                __m512i low = dot16(_mm512_set1_epi32(init[i]), q, xi);
                __m512i high = dot16(_mm512_set1_epi32(init[height + i]), q + 4, xi + 16);
                acc[i] = _mm512_fmadd_ps(_mm512_mul_ps(s.d[0], dx), _mm512_cvtepi32_ps(low), acc[i]);
                acc[i] = _mm512_fmadd_ps(_mm512_mul_ps(s.d[1], dx), _mm512_cvtepi32_ps(high), acc[i]);
            } else {
                __m512i dot = has_min && bits != BITS_8 ? _mm512_setzero_si512() : _mm512_set1_epi32(init[i]);
                dot = dot16(dot16(dot, q, xi), q + 4, xi + 16);
                acc[i] = _mm512_fmadd_ps(_mm512_mul_ps(s.d[0], dx), _mm512_cvtepi32_ps(dot), acc[i]);
                if (has_min) acc[i] = _mm512_fmadd_ps(s.m, _mm512_set1_ps(sum[i]), acc[i]);
            }
        }
        x += (size_t)VMT_MM_BLOCK * height;
        d += height;
        sum += height;
        init += height * halves;
    }
    const uint32_t end = VMT_MIN(args->num_rows - row, VMT_MM_PANEL); /* beyond lies padding */
    VMT_UNROLL_ROWS for (uint32_t i = 0; i < count; i++) {
        if (first + i < end) zmm_store(args, row + first + i, panel_idx, acc[i]);
    }
}

VMT_BODY void walk(const quant_bits bits, const bool has_min, const vmt_mm_args *args, const vmt_mm_range *range) {
    for (uint32_t panel = range->panel_begin; panel < range->panel_end; panel++) {
        for (uint32_t row = range->row_begin; row < range->row_end; row += VMT_MM_PANEL) {
            uint32_t height = vmt_mm_height(VMT_MIN(range->row_end - row, VMT_MM_PANEL)), first = 0;
            if (height == 16) {
                tile(bits, has_min, 16, args, panel, row, height, 0);
                continue;
            }
            for (; height - first >= 8; first += 8) tile(bits, has_min, 8, args, panel, row, height, first);
            for (; height - first >= 4; first += 4) tile(bits, has_min, 4, args, panel, row, height, first);
            for (; height - first >= 2; first += 2) tile(bits, has_min, 2, args, panel, row, height, first);
            for (; height - first >= 1; first += 1) tile(bits, has_min, 1, args, panel, row, height, first);
        }
    }
}

void vmt_mm_quant_avx512vnni(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch) {
    switch (args->kind->format) {
    case VMT_MM_4D: walk(BITS_4, false, args, range); break;
    case VMT_MM_4DM:
    case VMT_MM_4KM: walk(BITS_4, true, args, range); break;
    case VMT_MM_5D: walk(BITS_5, false, args, range); break;
    case VMT_MM_5DM:
    case VMT_MM_5KM: walk(BITS_5, true, args, range); break;
    case VMT_MM_6K: walk(BITS_6, false, args, range); break;
    case VMT_MM_8D: walk(BITS_8, false, args, range); break;
    case VMT_MM_8DM: walk(BITS_8, true, args, range); break;
    default: VMT_ASSERT(!"a quantized format");
    }
}
#else
typedef int vmt_mm_no_avx512vnni;
#endif
