/* ops/simd/matmul_neoni8mm.c: quantized weights and two or more rows of x with smmla: a 2 x 2 tile of dot products of 8
 * bytes.
 *
 *      words 2t and 2t + 1 of rows a and b, zipped      8 bytes of x row i, 8 of row i + 1      sums
 *      a: 8 bytes | b: 8 bytes                          i: 8 bytes | i + 1: 8 bytes             a.i  a.i+1  b.i  b.i+1
 *
 * A lone last row meets whatever lies behind it, and those products are not used. */
#if defined(__aarch64__)
#define NEON_ROWS 2
#include "ops/simd/matmul_neon.h"

/* Output rows a and b are lanes 0, 1 (upper: 2, 3) of the vectors; words [begin, begin + 4) of the block. */
VMT_INLINE int32x4_t square(const int8x16_t q[8], const int8x16_t x[4], const bool upper, const int begin) {
    int32x4_t sum = vdupq_n_s32(0);
    VMT_UNROLL for (int t = begin / 2; t < begin / 2 + 2; t++) {
        int32x4_t even = vreinterpretq_s32_s8(q[2 * t]), odd = vreinterpretq_s32_s8(q[2 * t + 1]);
        int32x4_t rows = upper ? vzip2q_s32(even, odd) : vzip1q_s32(even, odd);
        sum = vmmlaq_s32(sum, vreinterpretq_s8_s32(rows), x[t]);
    }
    return sum;
}

VMT_INLINE void neon_dot_rows(const quant_bits bits, const int8x16_t q[8], const int8_t *x,
                              neon_dots out[NEON_ROWS]) {
    int8x16_t both[4];
    VMT_UNROLL for (int t = 0; t < 4; t++) both[t] =
        vcombine_s8(vld1_s8(x + 8 * t), vld1_s8(x + VMT_MM_BLOCK + 8 * t));
    int32x4_t half[2][2]; /* [half of the block][pair of output rows] */
    VMT_UNROLL for (int h = 0; h < 2; h++) {
        half[h][0] = square(q, both, false, 4 * h);
        half[h][1] = square(q, both, true, 4 * h);
    }
    if (bits != BITS_6) {
        half[0][0] = vaddq_s32(half[0][0], half[1][0]);
        half[0][1] = vaddq_s32(half[0][1], half[1][1]);
    }
    VMT_UNROLL for (int h = 0; h < 2; h++) {
        out[0].half[h] = vuzp1q_s32(half[h][0], half[h][1]);
        out[1].half[h] = vuzp2q_s32(half[h][0], half[h][1]);
    }
}

void vmt_mm_quant_neoni8mm(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch) {
    neon_quant(args, range);
}
#else
typedef int vmt_mm_no_neoni8mm;
#endif
