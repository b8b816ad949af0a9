/* tensor/quant_q8_0.c: 32 elements, 8 bits each.
 *
 *   Q8_0  byte 0      2                                34
 *              [ d:f16 | q0 q1 ...              q31 :i8 ]           x[i] = d * q[i]
 *   Q8_M  byte 0      2      4                                36
 *              [ d:f16 | m:f16 | q0 q1 ...              q31 :i8 ]   x[i] = d * q[i] + m */
#include "tensor/quant.h"

#include <math.h>

_Static_assert(sizeof(vmt_block_q8_0) == 34, "file format");
_Static_assert(sizeof(vmt_block_q8_m) == 36, "no padding");

void vmt_dequantize_q8_0(const void *src, float *dst, size_t elems) {
    const vmt_block_q8_0 *block = src;
    for (size_t base = 0; base < elems; base += 32, block++) {
        float d = vmt_f16_to_f32(block->d);
        for (size_t i = 0; i < 32; i++) dst[base + i] = d * (float)block->q[i];
    }
}

void vmt_dequantize_q8_m(const void *src, float *dst, size_t elems) {
    const vmt_block_q8_m *block = src;
    for (size_t base = 0; base < elems; base += 32, block++) {
        float d = vmt_f16_to_f32(block->d), m = vmt_f16_to_f32(block->m);
        for (size_t i = 0; i < 32; i++) dst[base + i] = d * (float)block->q[i] + m;
    }
}

void vmt_quantize_q8_0(const float *src, void *dst, size_t elems) {
    vmt_block_q8_0 *block = dst;
    for (size_t base = 0; base < elems; base += 32, block++) {
        float abs_max = 0;
        for (size_t i = 0; i < 32; i++) abs_max = fmaxf(abs_max, fabsf(src[base + i]));
        float d = abs_max / 127.0f;
        float inv = d > 0 ? 1.0f / d : 0;
        block->d = vmt_f32_to_f16(d);
        for (size_t i = 0; i < 32; i++) block->q[i] = (int8_t)lrintf(src[base + i] * inv);
    }
}
