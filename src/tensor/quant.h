/* tensor/quant.h: the block formats' layouts and their plain C codecs.  Inside tensor/ and for the matmul's packers.
 *
 * Every struct is the file format's own: no padding, little-endian, and blocks in a mapped file may lie on any 2-byte
 * border.  Dequantization is exactly the formula shown in each file, in float, one rounding per operation. */
#ifndef VMT_TENSOR_QUANT_H
#define VMT_TENSOR_QUANT_H

#include "tensor/dtype.h"

typedef struct vmt_block_q8_0 {
    uint16_t d;
    int8_t q[32];
} vmt_block_q8_0;

typedef struct vmt_block_q4_0 {
    uint16_t d;
    uint8_t q[16];
} vmt_block_q4_0;

typedef struct vmt_block_q4_1 {
    uint16_t d, m;
    uint8_t q[16];
} vmt_block_q4_1;

typedef struct vmt_block_q5_0 {
    uint16_t d;
    uint8_t high[4];
    uint8_t q[16];
} vmt_block_q5_0;

typedef struct vmt_block_q5_1 {
    uint16_t d, m;
    uint8_t high[4];
    uint8_t q[16];
} vmt_block_q5_1;

typedef struct vmt_block_q4_k {
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t q[128];
} vmt_block_q4_k;

typedef struct vmt_block_q5_k {
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t high[32];
    uint8_t q[128];
} vmt_block_q5_k;

typedef struct vmt_block_q6_k {
    uint8_t q[128];
    uint8_t high[64];
    int8_t scales[16];
    uint16_t d;
} vmt_block_q6_k;

typedef struct vmt_block_mxfp4 {
    uint8_t e;
    uint8_t q[16];
} vmt_block_mxfp4;

typedef struct vmt_block_q8_m {
    uint16_t d, m;
    int8_t q[32];
} vmt_block_q8_m;

/* 2^(e - 127), also where that is subnormal; e2m1's 16 values by code. */
float vmt_e8m0_to_f32(uint8_t e);
extern const float vmt_e2m1_values[16];

/* The 6-bit scale and min of sub-block idx (0..7) out of the 12 bytes that Q4_K and Q5_K share. */
void vmt_k_scale_min(const uint8_t scales[12], uint32_t idx, uint8_t *scale, uint8_t *min);

void vmt_dequantize_q8_0(const void *src, float *dst, size_t elems);
void vmt_dequantize_q4_0(const void *src, float *dst, size_t elems);
void vmt_dequantize_q4_1(const void *src, float *dst, size_t elems);
void vmt_dequantize_q5_0(const void *src, float *dst, size_t elems);
void vmt_dequantize_q5_1(const void *src, float *dst, size_t elems);
void vmt_dequantize_q4_k(const void *src, float *dst, size_t elems);
void vmt_dequantize_q5_k(const void *src, float *dst, size_t elems);
void vmt_dequantize_q6_k(const void *src, float *dst, size_t elems);
void vmt_dequantize_mxfp4(const void *src, float *dst, size_t elems);
void vmt_dequantize_q8_m(const void *src, float *dst, size_t elems);

/* Round-to-nearest encoders for tests and benchmarks: valid blocks, no search for the best scale. */
void vmt_quantize_q8_0(const float *src, void *dst, size_t elems);
void vmt_quantize_q4_0(const float *src, void *dst, size_t elems);
void vmt_quantize_q4_1(const float *src, void *dst, size_t elems);

#endif
