/* tensor/quant_k.c: super-blocks of 256 elements, whose sub-blocks have small integer scales.
 *
 *   Q4_K  byte 0      2         4             16             144
 *              [ d:f16 | dmin:f16 | scales[12] | q[128]      ]        8 sub-blocks of 32
 *   Q5_K  byte 0      2         4             16         48             176
 *              [ d:f16 | dmin:f16 | scales[12] | high[32] | q[128]    ]
 *         x[i] = (d * scale) * q[i] - (dmin * min)
 *         q: 32 bytes hold sub-blocks 2c (low nibbles) and 2c + 1 (high nibbles); bit s of high[i] belongs to
 *         element i of sub-block s.
 *         scales: sub-blocks 0..3 have scale and min in the low 6 bits of bytes s and s + 4; of 4..7 the low four
 *         bits are the nibbles of byte s + 4 and the upper two sit on top of bytes s - 4 and s.
 *
 *   Q6_K  byte 0        128         192           208      210
 *              [ q[128] | high[64]  | scales:i8[16] | d:f16 ]         16 sub-blocks of 16
 *         x[i] = (d * scale) * (q[i] - 32)
 *         Each half (128 elements) has 64 bytes of q and 32 of high: element i of quarter t takes a nibble of
 *         q[i + 32 * (t & 1)], high for t >= 2, and bits 2t, 2t + 1 of high[i]. */
#include "tensor/quant.h"

_Static_assert(sizeof(vmt_block_q4_k) == 144, "file format");
_Static_assert(sizeof(vmt_block_q5_k) == 176, "file format");
_Static_assert(sizeof(vmt_block_q6_k) == 210, "file format");

void vmt_k_scale_min(const uint8_t scales[12], uint32_t idx, uint8_t *scale, uint8_t *min) {
    if (idx < 4) {
        *scale = scales[idx] & 63;
        *min = scales[idx + 4] & 63;
    } else {
        *scale = (uint8_t)((scales[idx + 4] & 15) | (scales[idx - 4] >> 6) << 4);
        *min = (uint8_t)((scales[idx + 4] >> 4) | (scales[idx] >> 6) << 4);
    }
}

void vmt_dequantize_q4_k(const void *src, float *dst, size_t elems) {
    const vmt_block_q4_k *block = src;
    for (size_t base = 0; base < elems; base += 256, block++) {
        float d = vmt_f16_to_f32(block->d), dmin = vmt_f16_to_f32(block->dmin);
        for (uint32_t s = 0; s < 8; s++) {
            uint8_t scale, min;
            vmt_k_scale_min(block->scales, s, &scale, &min);
            float step = d * (float)scale, low = dmin * (float)min;
            const uint8_t *q = block->q + s / 2 * 32;
            float *x = dst + base + s * 32;
            for (uint32_t i = 0; i < 32; i++) x[i] = step * (float)(q[i] >> s % 2 * 4 & 15) - low;
        }
    }
}

void vmt_dequantize_q5_k(const void *src, float *dst, size_t elems) {
    const vmt_block_q5_k *block = src;
    for (size_t base = 0; base < elems; base += 256, block++) {
        float d = vmt_f16_to_f32(block->d), dmin = vmt_f16_to_f32(block->dmin);
        for (uint32_t s = 0; s < 8; s++) {
            uint8_t scale, min;
            vmt_k_scale_min(block->scales, s, &scale, &min);
            float step = d * (float)scale, low = dmin * (float)min;
            const uint8_t *q = block->q + s / 2 * 32;
            float *x = dst + base + s * 32;
            for (uint32_t i = 0; i < 32; i++) {
                int value = (q[i] >> s % 2 * 4 & 15) | (block->high[i] >> s & 1) << 4;
                x[i] = step * (float)value - low;
            }
        }
    }
}

void vmt_dequantize_q6_k(const void *src, float *dst, size_t elems) {
    const vmt_block_q6_k *block = src;
    for (size_t base = 0; base < elems; base += 256, block++) {
        float d = vmt_f16_to_f32(block->d);
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t half = i / 128, quarter = i / 32 % 4, lane = i % 32;
            int low = block->q[half * 64 + (quarter & 1) * 32 + lane] >> quarter / 2 * 4 & 15;
            int high = block->high[half * 32 + lane] >> 2 * quarter & 3;
            dst[base + i] = d * (float)block->scales[i / 16] * (float)((low | high << 4) - 32);
        }
    }
}
