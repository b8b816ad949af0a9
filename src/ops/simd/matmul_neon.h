/* ops/simd/matmul_neon.h: what the NEON kernels share; the includer says how dot products are made, of
 * NEON_ROWS rows of x at a time.
 *
 * A vector is a quarter of a panel: 4 output rows of 4 bytes.  A block is unpacked for one quarter (8 registers) and
 * then meets every row of x of the activation panel; the accumulators live in the first cache. */
#ifndef VMT_OPS_SIMD_MATMUL_NEON_H
#define VMT_OPS_SIMD_MATMUL_NEON_H

#include "ops/matmul_kernel.h"

#include <arm_neon.h>

typedef enum quant_bits { BITS_4 = 4, BITS_5 = 5, BITS_6 = 6, BITS_8 = 8 } quant_bits;

/* A block's exact dot products with four output rows: in [0], or of its halves if bits is 6. */
typedef struct neon_dots {
    int32x4_t half[2];
} neon_dots;

/* Those of rows i and, if there is one, i + 1 of x (32 bytes each); NEON_ROWS at a time.  Written by the includer. */
VMT_INLINE void neon_dot_rows(const quant_bits bits, const int8x16_t q[8], const int8_t *x,
                              neon_dots out[NEON_ROWS]);

/* Eight vectors of quants of 4 output rows; src is at the block's first byte for them.  At most 6 bits are as good as
 * signed; 8 bits lose their offset of 128 here. */
VMT_INLINE void neon_load_quants(const quant_bits bits, const uint8_t *src, int8x16_t q[8]) {
    uint8x16_t u[8];
    if (bits == BITS_8) {
        VMT_UNROLL for (int j = 0; j < 8; j++) u[j] = veorq_u8(vld1q_u8(src + 64 * j), vdupq_n_u8(0x80));
    } else {
        VMT_UNROLL for (int j = 0; j < 4; j++) {
            uint8x16_t both = vld1q_u8(src + 64 * j);
            u[j] = vandq_u8(both, vdupq_n_u8(15));
            u[j + 4] = vshrq_n_u8(both, 4);
        }
    }
    if (bits == BITS_5) {
        uint8x16_t high = vld1q_u8(src + 256);
        VMT_UNROLL for (int j = 0; j < 8; j++) {
            u[j] = vorrq_u8(u[j], vandq_u8(vshlq_u8(high, vdupq_n_s8((int8_t)(4 - j))), vdupq_n_u8(16)));
        }
    } else if (bits == BITS_6) {
        VMT_UNROLL for (int j = 0; j < 8; j++) {
            uint8x16_t high = vld1q_u8(src + 256 + 64 * (j / 4));
            u[j] = vorrq_u8(u[j], vandq_u8(vshlq_u8(high, vdupq_n_s8((int8_t)(4 - 2 * (j % 4)))), vdupq_n_u8(48)));
        }
    }
    VMT_UNROLL for (int j = 0; j < 8; j++) q[j] = vreinterpretq_s8_u8(u[j]);
}

VMT_INLINE float32x4_t neon_load_f16(const uint8_t *src) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16((const uint16_t *)src)));
}

VMT_INLINE float32x4_t neon_load_bytes(const uint8_t *src, const bool is_signed) {
    uint8x8_t bytes = vcreate_u8(*(const uint32_t *)src);
    if (is_signed) return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(bytes)))));
    return vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(bytes))));
}

typedef struct neon_scales {
    float32x4_t d[2], m;
} neon_scales;

VMT_INLINE neon_scales neon_load_scales(const vmt_mm_args *args, const uint8_t *panel, uint32_t block,
                                        uint32_t quarter) {
    const vmt_matmul_kind *kind = args->kind;
    const uint8_t *scales = panel + args->layout.scales + (size_t)block * kind->scale_bytes;
    const uint8_t *supers = panel + args->layout.supers + (size_t)(block / VMT_MM_SUPER) * kind->super_bytes;
    neon_scales s = {.m = vdupq_n_f32(0)};
    switch (kind->format) {
    case VMT_MM_4KM:
    case VMT_MM_5KM: {
        float32x4_t d = neon_load_f16(supers + 8 * quarter), dmin = neon_load_f16(supers + 32 + 8 * quarter);
        s.d[0] = s.d[1] = vmulq_f32(d, neon_load_bytes(scales + 4 * quarter, false));
        s.m = vnegq_f32(vmulq_f32(dmin, neon_load_bytes(scales + 16 + 4 * quarter, false)));
        break;
    }
    case VMT_MM_6K: {
        float32x4_t d = neon_load_f16(supers + 8 * quarter);
        s.d[0] = vmulq_f32(d, neon_load_bytes(scales + 4 * quarter, true));
        s.d[1] = vmulq_f32(d, neon_load_bytes(scales + 16 + 4 * quarter, true));
        break;
    }
    default:
        s.d[0] = s.d[1] = neon_load_f16(scales + 8 * quarter);
        if (kind->has_min) s.m = neon_load_f16(scales + 32 + 8 * quarter);
        break;
    }
    return s;
}

/* Lanes begin .. begin + 3 of output row `row` (of x). */
VMT_INLINE void neon_store(const vmt_mm_args *args, uint32_t row, uint32_t begin, float32x4_t acc) {
    if (begin >= args->rows) return;
    float *out = args->out + args->out_stride * row + begin;
    uint32_t count = VMT_MIN(args->rows - begin, 4);
    float bias[4] = {0}, old[4] = {0}, result[4];
    if (count == 4) {
        if (args->bias) acc = vaddq_f32(acc, vld1q_f32(args->bias + begin));
        acc = vmulq_n_f32(acc, args->out_scale);
        if (args->accumulate) acc = vaddq_f32(vld1q_f32(out), acc);
        vst1q_f32(out, acc);
        return;
    }
    for (uint32_t r = 0; r < count; r++) {
        if (args->bias) bias[r] = args->bias[begin + r];
        old[r] = out[r];
    }
    if (args->bias) acc = vaddq_f32(acc, vld1q_f32(bias));
    acc = vmulq_n_f32(acc, args->out_scale);
    if (args->accumulate) acc = vaddq_f32(vld1q_f32(old), acc);
    vst1q_f32(result, acc);
    for (uint32_t r = 0; r < count; r++) out[r] = result[r];
}

/* acc, and one block of row i of the activation panel whose block begins at element `at`. */
VMT_INLINE float32x4_t neon_add_block(const quant_bits bits, const bool has_min, const vmt_mm_args *args,
                                      const neon_scales *s, size_t at, uint32_t height, uint32_t i,
                                      const neon_dots *dots, float32x4_t acc) {
    const bool has_init = !has_min && bits != BITS_8;
    const float dx = args->d[at + i];
    int32x4_t low = dots->half[0];
    if (bits == BITS_6) {
        const int32_t *init = args->init + 2 * at + i;
        low = vaddq_s32(vdupq_n_s32(init[0]), low);
        int32x4_t high = vaddq_s32(vdupq_n_s32(init[height]), dots->half[1]);
        acc = vfmaq_f32(acc, vmulq_n_f32(s->d[0], dx), vcvtq_f32_s32(low));
        return vfmaq_f32(acc, vmulq_n_f32(s->d[1], dx), vcvtq_f32_s32(high));
    }
    if (has_init) low = vaddq_s32(low, vdupq_n_s32(args->init[at + i]));
    acc = vfmaq_f32(acc, vmulq_n_f32(s->d[0], dx), vcvtq_f32_s32(low));
    return has_min ? vfmaq_n_f32(acc, s->m, args->sum[at + i]) : acc;
}

VMT_BODY void neon_tile(const quant_bits bits, const bool has_min, const vmt_mm_args *args, uint32_t panel_idx,
                        uint32_t row, uint32_t num_rows) {
    const uint8_t *panel = args->panels + panel_idx * args->layout.bytes;
    const uint32_t height = vmt_mm_height(num_rows);
    float32x4_t acc[4][VMT_MM_PANEL];
    for (uint32_t i = 0; i < num_rows; i++) acc[0][i] = acc[1][i] = acc[2][i] = acc[3][i] = vdupq_n_f32(0);
    for (uint32_t b = 0; b < args->num_blocks; b++) {
        const size_t at = (size_t)row * args->num_blocks + (size_t)b * height;
        const int8_t *x = args->q + at * VMT_MM_BLOCK;
        for (uint32_t quarter = 0; quarter < 4; quarter++) {
            int8x16_t q[8];
            neon_load_quants(bits, panel + (size_t)b * args->kind->quant_bytes + 16 * quarter, q);
            const neon_scales s = neon_load_scales(args, panel, b, quarter);
            for (uint32_t i = 0; i < num_rows; i += NEON_ROWS) {
                neon_dots dots[NEON_ROWS];
                neon_dot_rows(bits, q, x + (size_t)VMT_MM_BLOCK * i, dots);
                VMT_UNROLL for (uint32_t j = 0; j < NEON_ROWS; j++) {
                    if (i + j >= num_rows) break;
                    acc[quarter][i + j] =
                        neon_add_block(bits, has_min, args, &s, at, height, i + j, &dots[j], acc[quarter][i + j]);
                }
            }
        }
    }
    for (uint32_t i = 0; i < num_rows; i++) {
        for (uint32_t quarter = 0; quarter < 4; quarter++) {
            neon_store(args, row + i, panel_idx * VMT_MM_PANEL + 4 * quarter, acc[quarter][i]);
        }
    }
}

VMT_BODY void neon_walk(const quant_bits bits, const bool has_min, const vmt_mm_args *args,
                        const vmt_mm_range *range) {
    for (uint32_t panel = range->panel_begin; panel < range->panel_end; panel++) {
        for (uint32_t row = range->row_begin; row < range->row_end; row += VMT_MM_PANEL) {
            neon_tile(bits, has_min, args, panel, row, VMT_MIN(range->row_end - row, VMT_MM_PANEL));
        }
    }
}

VMT_INLINE void neon_quant(const vmt_mm_args *args, const vmt_mm_range *range) {
    switch (args->kind->format) {
    case VMT_MM_4D: neon_walk(BITS_4, false, args, range); break;
    case VMT_MM_4DM:
    case VMT_MM_4KM: neon_walk(BITS_4, true, args, range); break;
    case VMT_MM_5D: neon_walk(BITS_5, false, args, range); break;
    case VMT_MM_5DM:
    case VMT_MM_5KM: neon_walk(BITS_5, true, args, range); break;
    case VMT_MM_6K: neon_walk(BITS_6, false, args, range); break;
    case VMT_MM_8D: neon_walk(BITS_8, false, args, range); break;
    case VMT_MM_8DM: neon_walk(BITS_8, true, args, range); break;
    default: VMT_ASSERT(!"a quantized format");
    }
}

#endif
