/* tensor/dtype.c: the table of element types, and the 16-bit floats. */
#include "tensor/dtype.h"

#include <string.h>

#include "base/checked.h"
#include "tensor/quant.h"

static uint32_t bits_of(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof(u));
    return u;
}

static float float_of(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof(f));
    return f;
}

float vmt_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exponent = h >> 10 & 31, mantissa = h & 0x3ff;
    if (exponent == 31) return float_of(sign | 0x7f800000 | mantissa << 13);
    if (exponent != 0) return float_of(sign | (exponent + 112) << 23 | mantissa << 13);
    /* Subnormal: the mantissa counts steps of 2^-24, and that product is exact. */
    float magnitude = (float)mantissa * 0x1p-24f;
    return float_of(sign | bits_of(magnitude));
}

uint16_t vmt_f32_to_f16(float f) {
    uint32_t u = bits_of(f);
    uint32_t sign = u >> 16 & 0x8000;
    u &= 0x7fffffff;
    if (u > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (u >> 13 & 0x3ff)); /* NaN stays NaN */
    if (u >= 0x477ff000) return (uint16_t)(sign | 0x7c00);                    /* rounds to 65536 or more */
    if (u < 0x38800000) {
        /* Below 2^-14: adding 0.5 lines the result's last bit up with 2^-24, so the FPU does the rounding. */
        return (uint16_t)(sign | (bits_of(float_of(u) + 0.5f) - 0x3f000000));
    }
    u += 0xfff + (u >> 13 & 1);
    return (uint16_t)(sign | (u - 0x38000000) >> 13);
}

uint16_t vmt_f32_to_bf16(float f) {
    uint32_t u = bits_of(f);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static void dequantize_f32(const void *src, float *dst, size_t elems) {
    memcpy(dst, src, elems * sizeof(float));
}

static void dequantize_f16(const void *src, float *dst, size_t elems) {
    for (size_t i = 0; i < elems; i++) {
        uint16_t h;
        memcpy(&h, (const uint8_t *)src + 2 * i, sizeof(h));
        dst[i] = vmt_f16_to_f32(h);
    }
}

static void dequantize_bf16(const void *src, float *dst, size_t elems) {
    for (size_t i = 0; i < elems; i++) {
        uint16_t b;
        memcpy(&b, (const uint8_t *)src + 2 * i, sizeof(b));
        dst[i] = vmt_bf16_to_f32(b);
    }
}

static const vmt_dtype_info infos[VMT_NUM_DTYPES] = {
    [VMT_F32] = {"F32", 1, 4, false, dequantize_f32},
    [VMT_F16] = {"F16", 1, 2, false, dequantize_f16},
    [VMT_BF16] = {"BF16", 1, 2, false, dequantize_bf16},
    [VMT_I32] = {"I32", 1, 4, false, NULL},
    [VMT_I8] = {"I8", 1, 1, false, NULL},
    [VMT_U32] = {"U32", 1, 4, false, NULL},
    [VMT_U8] = {"U8", 1, 1, false, NULL},
    [VMT_Q8_0] = {"Q8_0", 32, sizeof(vmt_block_q8_0), true, vmt_dequantize_q8_0},
    [VMT_Q4_0] = {"Q4_0", 32, sizeof(vmt_block_q4_0), true, vmt_dequantize_q4_0},
    [VMT_Q4_1] = {"Q4_1", 32, sizeof(vmt_block_q4_1), true, vmt_dequantize_q4_1},
    [VMT_Q5_0] = {"Q5_0", 32, sizeof(vmt_block_q5_0), true, vmt_dequantize_q5_0},
    [VMT_Q5_1] = {"Q5_1", 32, sizeof(vmt_block_q5_1), true, vmt_dequantize_q5_1},
    [VMT_Q4_K] = {"Q4_K", 256, sizeof(vmt_block_q4_k), true, vmt_dequantize_q4_k},
    [VMT_Q5_K] = {"Q5_K", 256, sizeof(vmt_block_q5_k), true, vmt_dequantize_q5_k},
    [VMT_Q6_K] = {"Q6_K", 256, sizeof(vmt_block_q6_k), true, vmt_dequantize_q6_k},
    [VMT_Q8_M] = {"Q8_M", 32, sizeof(vmt_block_q8_m), true, vmt_dequantize_q8_m},
    [VMT_MXFP4] = {"MXFP4", 32, sizeof(vmt_block_mxfp4), true, vmt_dequantize_mxfp4},
};

const vmt_dtype_info *vmt_dtype_get(vmt_dtype dtype) {
    VMT_ASSERT((unsigned)dtype < VMT_NUM_DTYPES);
    return &infos[dtype];
}

bool vmt_dtype_row_bytes(vmt_dtype dtype, uint64_t elems, size_t *out) {
    const vmt_dtype_info *info = vmt_dtype_get(dtype);
    *out = 0;
    if (elems % info->block_elems != 0) return false;
    uint64_t num_blocks = elems / info->block_elems;
    if (num_blocks > SIZE_MAX) return false;
    return vmt_mul_size((size_t)num_blocks, info->block_bytes, out);
}
