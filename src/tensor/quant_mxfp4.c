/* tensor/quant_mxfp4.c: 32 elements of 4-bit floats (e2m1) under one power of two (OCP Microscaling, MXFP4).
 *
 *   GGUF  byte 0      1                     17
 *              [ e:u8 | q0|q16 ... q15|q31 ]                  x[i] = 2^(e - 127) * e2m1(q[i])
 *   MLX keeps the quants of a row in order, eight to a word, and the exponents in a tensor of their own. */
#include "tensor/quant.h"

#include <string.h>

_Static_assert(sizeof(vmt_block_mxfp4) == 17, "file format");

const float vmt_e2m1_values[16] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, 0, -0.5f, -1, -1.5f, -2, -3, -4, -6};

float vmt_e8m0_to_f32(uint8_t e) {
    uint32_t bits =
        e == 0 ? 0x00400000 : (uint32_t)e << 23; /* 2^-127 is subnormal; 255 stands for NaN, here +inf */
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

void vmt_dequantize_mxfp4(const void *src, float *dst, size_t elems) {
    const vmt_block_mxfp4 *block = src;
    for (size_t base = 0; base < elems; base += 32, block++) {
        float d = vmt_e8m0_to_f32(block->e);
        for (size_t i = 0; i < 16; i++) {
            dst[base + i] = d * vmt_e2m1_values[block->q[i] & 15];
            dst[base + i + 16] = d * vmt_e2m1_values[block->q[i] >> 4];
        }
    }
}
