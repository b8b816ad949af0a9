/* ops/simd/matmul_neon.c: all kernels for plain NEON, which every 64-bit ARM has.
 *
 * Without sdot, products of bytes are added up in 16 bits.  A lane of a vector's half takes one product per vector,
 * so that 8 vectors of up to 5 bits fit (8 * 31 * 127), 4 of 6 bits and 2 of 8 bits, before neighbours are added. */
#if defined(__aarch64__)
#define NEON_ROWS 1
#include "ops/simd/matmul_neon.h"

#include <string.h>

VMT_INLINE int32x4_t dot(const quant_bits bits, const int8x16_t q[8], const int8_t *x, const int begin,
                         const int count) {
    const int per_group = bits == BITS_8 ? 2 : count;
    int32x4_t sum = vdupq_n_s32(0);
    int16x8_t low = vdupq_n_s16(0), high = low;
    VMT_UNROLL for (int j = begin; j < begin + count; j++) {
        int32_t word;
        memcpy(&word, x + 4 * j, sizeof(word));
        int8x16_t xj = vreinterpretq_s8_s32(vdupq_n_s32(word));
        low = vmlal_s8(low, vget_low_s8(q[j]), vget_low_s8(xj));
        high = vmlal_high_s8(high, q[j], xj);
        if ((j - begin) % per_group != per_group - 1) continue;
        sum = vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
        low = high = vdupq_n_s16(0);
    }
    return sum;
}

VMT_INLINE void neon_dot_rows(const quant_bits bits, const int8x16_t q[8], const int8_t *x,
                              neon_dots out[NEON_ROWS]) {
    if (bits == BITS_6) {
        out->half[0] = dot(bits, q, x, 0, 4);
        out->half[1] = dot(bits, q, x, 4, 4);
    } else {
        out->half[0] = dot(bits, q, x, 0, 8);
    }
}

void vmt_mm_quant_neon(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch) {
    neon_quant(args, range);
}

VMT_INLINE float32x4_t load_weights(const vmt_mm_format f, const uint8_t *src) {
    return f == VMT_MM_F32 ? vld1q_f32((const float *)src) : neon_load_f16(src);
}

/* height rows of x times width panels: 4 * height * width accumulators, at most 16. */
VMT_BODY void float_tile(const vmt_mm_format f, const uint32_t height, const uint32_t width,
                         const vmt_mm_args *args, uint32_t panel_idx, uint32_t row) {
    const uint32_t lane_bytes = f == VMT_MM_F32 ? 4 : 2;
    const float *x[4];
    float32x4_t acc[16];
    VMT_UNROLL_ROWS for (uint32_t i = 0; i < height; i++) x[i] = vmt_mm_x_row(args, row + i);
    VMT_UNROLL_ROWS for (uint32_t a = 0; a < 4 * height * width; a++) acc[a] = vdupq_n_f32(0);
    const uint8_t *w = args->panels + panel_idx * args->layout.bytes;
    for (size_t k = 0; k < args->cols; k++, w += 16 * lane_bytes) {
        VMT_UNROLL_ROWS for (uint32_t p = 0; p < 4 * width; p++) {
            const uint8_t *src = w + p / 4 * args->layout.bytes + 4 * lane_bytes * (p % 4);
            float32x4_t wk = load_weights(f, src);
            VMT_UNROLL_ROWS for (uint32_t i = 0; i < height; i++) {
                acc[p * height + i] = vfmaq_n_f32(acc[p * height + i], wk, x[i][k]);
            }
        }
    }
    VMT_UNROLL_ROWS for (uint32_t p = 0; p < 4 * width; p++) {
        VMT_UNROLL_ROWS for (uint32_t i = 0; i < height; i++) {
            neon_store(args, row + i, panel_idx * VMT_MM_PANEL + 4 * p, acc[p * height + i]);
        }
    }
}

VMT_BODY void float_walk(const vmt_mm_format f, const vmt_mm_args *args, const vmt_mm_range *range) {
    uint32_t single = range->row_begin + (range->row_end - range->row_begin) / 4 * 4;
    for (uint32_t panel = range->panel_begin; panel < range->panel_end; panel++) {
        for (uint32_t row = range->row_begin; row < single; row += 4) float_tile(f, 4, 1, args, panel, row);
    }
    uint32_t panel = range->panel_begin;
    for (; panel + 4 <= range->panel_end; panel += 4) {
        for (uint32_t row = single; row < range->row_end; row++) float_tile(f, 1, 4, args, panel, row);
    }
    for (; panel < range->panel_end; panel++) {
        for (uint32_t row = single; row < range->row_end; row++) float_tile(f, 1, 1, args, panel, row);
    }
}

void vmt_mm_float_neon(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch) {
    switch (args->kind->format) {
    case VMT_MM_F32: float_walk(VMT_MM_F32, args, range); break;
    case VMT_MM_F16: float_walk(VMT_MM_F16, args, range); break;
    default: VMT_ASSERT(!"a float format");
    }
}

/* One block of one row into q; returns its scale, and the sums of q over the two halves. */
VMT_INLINE float quantize_block(const float *x, int8_t *q, int32_t sums[2]) {
    float32x4_t v[8], largest = vdupq_n_f32(0);
    for (int j = 0; j < 8; j++) {
        v[j] = vld1q_f32(x + 4 * j);
        largest = vmaxnmq_f32(largest, vabsq_f32(v[j]));
    }
    float top = vmaxnmvq_f32(largest);
    bool is_zero = top < VMT_MM_TINY;
    float inverse = is_zero ? 0 : 127.0f / top;
    for (int half = 0; half < 2; half++) {
        int32x4_t i32[4];
        for (int j = 0; j < 4; j++) i32[j] = vcvtnq_s32_f32(vmulq_n_f32(v[4 * half + j], inverse));
        int16x8_t low = vcombine_s16(vqmovn_s32(i32[0]), vqmovn_s32(i32[1]));
        int16x8_t high = vcombine_s16(vqmovn_s32(i32[2]), vqmovn_s32(i32[3]));
        int8x16_t bytes = vcombine_s8(vqmovn_s16(low), vqmovn_s16(high));
        vst1q_s8(q + 16 * half, bytes);
        sums[half] = vaddlvq_s8(bytes);
    }
    return is_zero ? 0 : top * VMT_MM_STEP;
}

void vmt_mm_quantize_neon(const vmt_mm_args *args, uint32_t panel_idx, uint32_t block_begin, uint32_t block_end) {
    static const float zeros[VMT_MM_BLOCK];
    const uint32_t row_begin = panel_idx * VMT_MM_PANEL,
                   num_rows = VMT_MIN(args->num_rows - row_begin, VMT_MM_PANEL);
    const uint32_t height = vmt_mm_height(num_rows);
    for (uint32_t i = 0; i < height; i++) {
        const float *x = i < num_rows ? vmt_mm_x_row(args, row_begin + i) : NULL;
        for (uint32_t b = block_begin; b < block_end; b++) {
            const size_t block_at = (size_t)row_begin * args->num_blocks + (size_t)b * height;
            int32_t sums[2];
            float d = quantize_block(x ? x + (size_t)b * VMT_MM_BLOCK : zeros,
                                     args->q + (block_at + i) * VMT_MM_BLOCK, sums);
            vmt_mm_put_scales(args, block_at, height, i, d, sums);
        }
    }
}
#else
typedef int vmt_mm_no_neon;
#endif
