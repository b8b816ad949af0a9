/* tensor/dtype.h: element types, plain and block-quantized, one table row each.
 *
 * A quantized type stores block_elems consecutive elements of a row in block_bytes bytes; rows are whole blocks. */
#ifndef VMT_TENSOR_DTYPE_H
#define VMT_TENSOR_DTYPE_H

#include "base/status.h"

typedef enum vmt_dtype {
    VMT_F32,
    VMT_F16,
    VMT_BF16,
    VMT_I32,
    VMT_I8,
    VMT_U32, /* words of packed quants */
    VMT_U8,  /* exponents of mxfp4 */
    VMT_Q8_0,
    VMT_Q4_0,
    VMT_Q4_1,
    VMT_Q5_0,
    VMT_Q5_1,
    VMT_Q4_K,
    VMT_Q5_K,
    VMT_Q6_K,
    VMT_MXFP4,
    VMT_Q8_M, /* in no file: what MLX's 6 and 8 bits become on a CPU */
    VMT_NUM_DTYPES,
} vmt_dtype;

typedef struct vmt_dtype_info {
    const char *name; /* "F16", "Q4_K" */
    uint32_t block_elems, block_bytes;
    bool is_quantized;
    /* One row, plain C: the reference every fast path is checked against.  elems is a multiple of block_elems.
     * NULL for integer types. */
    void (*dequantize)(const void *src, float *dst, size_t elems);
} vmt_dtype_info;

const vmt_dtype_info *vmt_dtype_get(vmt_dtype dtype);
/* Bytes of elems elements in a row; false on overflow or when elems is not whole blocks. */
bool vmt_dtype_row_bytes(vmt_dtype dtype, uint64_t elems, size_t *out);

float vmt_f16_to_f32(uint16_t h);
uint16_t vmt_f32_to_f16(float f); /* round to nearest even */
static inline float vmt_bf16_to_f32(uint16_t b) {
    union {
        uint32_t u;
        float f;
    } v = {(uint32_t)b << 16};
    return v.f;
}
uint16_t vmt_f32_to_bf16(float f); /* round to nearest even */

#endif
