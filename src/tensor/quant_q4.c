/* tensor/quant_q4.c: 32 elements, 4 bits each.  Byte i of q holds element i low and element i + 16 high.
 *
 *   Q4_0  byte 0      2                     18
 *              [ d:f16 | q0|q16 ... q15|q31 ]                 x[i] = d * (q[i] - 8)
 *   Q4_1  byte 0      2      4                     20
 *              [ d:f16 | m:f16 | q0|q16 ... q15|q31 ]         x[i] = d * q[i] + m */
#include "tensor/quant.h"

#include <math.h>

_Static_assert(sizeof(vmt_block_q4_0) == 18, "file format");
_Static_assert(sizeof(vmt_block_q4_1) == 20, "file format");

void vmt_dequantize_q4_0(const void *src, float *dst, size_t elems) {
    const vmt_block_q4_0 *block = src;
    for (size_t base = 0; base < elems; base += 32, block++) {
        float d = vmt_f16_to_f32(block->d);
        for (size_t i = 0; i < 16; i++) {
            dst[base + i] = d * (float)((block->q[i] & 15) - 8);
            dst[base + i + 16] = d * (float)((block->q[i] >> 4) - 8);
        }
    }
}

void vmt_dequantize_q4_1(const void *src, float *dst, size_t elems) {
    const vmt_block_q4_1 *block = src;
    for (size_t base = 0; base < elems; base += 32, block++) {
        float d = vmt_f16_to_f32(block->d), m = vmt_f16_to_f32(block->m);
        for (size_t i = 0; i < 16; i++) {
            dst[base + i] = d * (float)(block->q[i] & 15) + m;
            dst[base + i + 16] = d * (float)(block->q[i] >> 4) + m;
        }
    }
}

static uint8_t to_nibble(float value) {
    return (uint8_t)fminf(fmaxf(rintf(value), 0), 15);
}

void vmt_quantize_q4_0(const float *src, void *dst, size_t elems) {
    vmt_block_q4_0 *block = dst;
    for (size_t base = 0; base < elems; base += 32, block++) {
        const float *x = src + base;
        float extreme = 0; /* the element of largest magnitude becomes -8 */
        for (size_t i = 0; i < 32; i++) {
            if (fabsf(x[i]) > fabsf(extreme)) extreme = x[i];
        }
        float d = extreme / -8.0f;
        float inv = d != 0 ? 1.0f / d : 0;
        block->d = vmt_f32_to_f16(d);
        for (size_t i = 0; i < 16; i++) {
            block->q[i] = (uint8_t)(to_nibble(x[i] * inv + 8) | to_nibble(x[i + 16] * inv + 8) << 4);
        }
    }
}

void vmt_quantize_q4_1(const float *src, void *dst, size_t elems) {
    vmt_block_q4_1 *block = dst;
    for (size_t base = 0; base < elems; base += 32, block++) {
        const float *x = src + base;
        float low = x[0], high = x[0];
        for (size_t i = 1; i < 32; i++) {
            low = fminf(low, x[i]);
            high = fmaxf(high, x[i]);
        }
        float d = (high - low) / 15.0f;
        float inv = d > 0 ? 1.0f / d : 0;
        block->d = vmt_f32_to_f16(d);
        block->m = vmt_f32_to_f16(low);
        for (size_t i = 0; i < 16; i++) {
            block->q[i] = (uint8_t)(to_nibble((x[i] - low) * inv) | to_nibble((x[i + 16] - low) * inv) << 4);
        }
    }
}
