/* ops/simd/matmul_avx512.c: plain float weights, and quantizing x.
 *
 * Float tiles are two panels times 12 rows of x: 24 accumulators, each one chain of FMAs along k.  Few rows take four
 * panels, or the chains would wait for themselves. */
#if defined(__x86_64__)
#include "ops/simd/matmul_zmm.h"

VMT_INLINE __m512 load_weights(const vmt_mm_format f, const uint8_t *src) {
    return f == VMT_MM_F32 ? _mm512_load_ps(src) : zmm_load_f16(src);
}

VMT_BODY void tile(const vmt_mm_format f, const uint32_t height, const uint32_t width, const vmt_mm_args *args,
                   uint32_t panel_idx, uint32_t row) {
    const uint32_t step = f == VMT_MM_F32 ? 64 : 32;
    const uint8_t *w = args->panels + panel_idx * args->layout.bytes;
    const size_t panel_bytes = args->layout.bytes;
    const float *x[12];
    __m512 acc[24]; /* [height, width] */
    VMT_UNROLL_ROWS for (uint32_t i = 0; i < height; i++) x[i] = vmt_mm_x_row(args, row + i);
    VMT_UNROLL_ROWS for (uint32_t a = 0; a < width * height; a++) acc[a] = _mm512_setzero_ps();
    for (size_t k = 0; k < args->cols; k++, w += step) {
        __m512 wk[4];
        VMT_UNROLL_ROWS for (uint32_t p = 0; p < width; p++) wk[p] = load_weights(f, w + p * panel_bytes);
        VMT_UNROLL_ROWS for (uint32_t i = 0; i < height; i++) {
            const __m512 xk = _mm512_set1_ps(x[i][k]);
            VMT_UNROLL_ROWS for (uint32_t p = 0; p < width; p++) {
                acc[i * width + p] = _mm512_fmadd_ps(wk[p], xk, acc[i * width + p]);
            }
        }
    }
    VMT_UNROLL_ROWS for (uint32_t a = 0; a < width * height; a++) {
        zmm_store(args, row + a / width, panel_idx + a % width, acc[a]);
    }
}

VMT_BODY void walk(const vmt_mm_format f, const vmt_mm_args *args, const vmt_mm_range *range) {
    /* Pairs of panels for as many dozens of rows as there are, then the rest of the rows. */
    const uint32_t dozens = range->row_begin + (range->row_end - range->row_begin) / 12 * 12;
    const uint32_t pairs = range->panel_begin + (range->panel_end - range->panel_begin) / 2 * 2;
    for (uint32_t panel = range->panel_begin; panel < pairs; panel += 2) {
        for (uint32_t row = range->row_begin; row < dozens; row += 12) tile(f, 12, 2, args, panel, row);
    }
    for (uint32_t row = range->row_begin; pairs < range->panel_end && row < dozens; row += 4) {
        tile(f, 4, 1, args, pairs, row);
    }
    uint32_t panel = range->panel_begin;
    for (; panel + 4 <= range->panel_end; panel += 4) {
        uint32_t row = dozens;
        for (; row + 4 <= range->row_end; row += 4) tile(f, 4, 4, args, panel, row);
        for (; row + 2 <= range->row_end; row += 2) tile(f, 2, 4, args, panel, row);
        if (row < range->row_end) tile(f, 1, 4, args, panel, row);
    }
    for (; panel < range->panel_end; panel++) {
        uint32_t row = dozens;
        for (; row + 4 <= range->row_end; row += 4) tile(f, 4, 1, args, panel, row);
        for (; row < range->row_end; row++) tile(f, 1, 1, args, panel, row);
    }
}

void vmt_mm_float_avx512(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch) {
    switch (args->kind->format) {
    case VMT_MM_F32: walk(VMT_MM_F32, args, range); break;
    case VMT_MM_F16: walk(VMT_MM_F16, args, range); break;
    default: VMT_ASSERT(!"a float format");
    }
}

void vmt_mm_quantize_avx512(const vmt_mm_args *args, uint32_t panel_idx, uint32_t block_begin,
                            uint32_t block_end) {
    const uint32_t row_begin = panel_idx * VMT_MM_PANEL,
                   num_rows = VMT_MIN(args->num_rows - row_begin, VMT_MM_PANEL);
    const uint32_t height = vmt_mm_height(num_rows);
    for (uint32_t i = 0; i < height; i++) {
        const float *x = i < num_rows ? vmt_mm_x_row(args, row_begin + i) : NULL;
        for (uint32_t b = block_begin; b < block_end; b++) {
            const size_t block_at = (size_t)row_begin * args->num_blocks + (size_t)b * height;
            int8_t *q = args->q + (block_at + i) * VMT_MM_BLOCK;
            __m512 low = _mm512_setzero_ps(), high = low;
            if (x) {
                low = _mm512_loadu_ps(x + (size_t)b * VMT_MM_BLOCK);
                high = _mm512_loadu_ps(x + (size_t)b * VMT_MM_BLOCK + 16);
            }
            float top = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(low), _mm512_abs_ps(high)));
            bool is_zero = top < VMT_MM_TINY;
            __m512 inverse = _mm512_set1_ps(is_zero ? 0 : 127.0f / top);
            __m512i q0 = _mm512_cvtps_epi32(_mm512_mul_ps(low, inverse));
            __m512i q1 = _mm512_cvtps_epi32(_mm512_mul_ps(high, inverse));
            _mm_store_si128((__m128i *)q, _mm512_cvtsepi32_epi8(q0));
            _mm_store_si128((__m128i *)(q + 16), _mm512_cvtsepi32_epi8(q1));
            int32_t sums[2];
            if (args->kind->has_halves) {
                sums[0] = _mm512_reduce_add_epi32(q0);
                sums[1] = _mm512_reduce_add_epi32(q1);
            } else {
                sums[0] = _mm512_reduce_add_epi32(_mm512_add_epi32(q0, q1));
                sums[1] = 0;
            }
            vmt_mm_put_scales(args, block_at, height, i, is_zero ? 0 : top * VMT_MM_STEP, sums);
        }
    }
}
#else
typedef int vmt_mm_no_avx512;
#endif
