/* tensor/quant_q5.c: 32 elements, 5 bits each: low four as in Q4, and bit i of the 32-bit word high is element i's.
 *
 *   Q5_0  byte 0      2           6                     22
 *              [ d:f16 | high:u32 | q0|q16 ... q15|q31 ]              x[i] = d * (q[i] - 16)
 *   Q5_1  byte 0      2      4           8                     24
 *              [ d:f16 | m:f16 | high:u32 | q0|q16 ... q15|q31 ]      x[i] = d * q[i] + m */
#include "tensor/quant.h"

_Static_assert(sizeof(vmt_block_q5_0) == 22, "file format");
_Static_assert(sizeof(vmt_block_q5_1) == 24, "file format");

static int high_bit(const uint8_t high[4], size_t i) {
    return (high[i / 8] >> (i % 8) & 1) << 4;
}

void vmt_dequantize_q5_0(const void *src, float *dst, size_t elems) {
    const vmt_block_q5_0 *block = src;
    for (size_t base = 0; base < elems; base += 32, block++) {
        float d = vmt_f16_to_f32(block->d);
        for (size_t i = 0; i < 16; i++) {
            dst[base + i] = d * (float)(((block->q[i] & 15) | high_bit(block->high, i)) - 16);
            dst[base + i + 16] = d * (float)(((block->q[i] >> 4) | high_bit(block->high, i + 16)) - 16);
        }
    }
}

void vmt_dequantize_q5_1(const void *src, float *dst, size_t elems) {
    const vmt_block_q5_1 *block = src;
    for (size_t base = 0; base < elems; base += 32, block++) {
        float d = vmt_f16_to_f32(block->d), m = vmt_f16_to_f32(block->m);
        for (size_t i = 0; i < 16; i++) {
            dst[base + i] = d * (float)((block->q[i] & 15) | high_bit(block->high, i)) + m;
            dst[base + i + 16] = d * (float)((block->q[i] >> 4) | high_bit(block->high, i + 16)) + m;
        }
    }
}
