/* ops/simd/matmul_neondot.c: quantized weights with sdot: four rows' quants times four bytes of x out of a register. */
#if defined(__aarch64__)
#define NEON_ROWS 1
#include "ops/simd/matmul_neon.h"

VMT_INLINE int32x4_t dot(const quant_bits bits, const int8x16_t q[8], const int8_t *x, const int begin,
                         const int count) {
    int32x4_t sum = vdupq_n_s32(0);
    if (begin == 0) {
        int8x16_t x0 = vld1q_s8(x);
        sum = vdotq_laneq_s32(sum, q[0], x0, 0);
        sum = vdotq_laneq_s32(sum, q[1], x0, 1);
        sum = vdotq_laneq_s32(sum, q[2], x0, 2);
        sum = vdotq_laneq_s32(sum, q[3], x0, 3);
    }
    if (begin + count == 8) {
        int8x16_t x1 = vld1q_s8(x + 16);
        sum = vdotq_laneq_s32(sum, q[4], x1, 0);
        sum = vdotq_laneq_s32(sum, q[5], x1, 1);
        sum = vdotq_laneq_s32(sum, q[6], x1, 2);
        sum = vdotq_laneq_s32(sum, q[7], x1, 3);
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

void vmt_mm_quant_neondot(const vmt_mm_args *args, const vmt_mm_range *range, void *scratch) {
    neon_quant(args, range);
}
#else
typedef int vmt_mm_no_neondot;
#endif
