/* tensor/matrix.h: a weight matrix as its file has it: one tensor, or MLX's quants with scales and biases beside them.
 *
 *   plain, GGUF   data [rows, cols] of its dtype
 *   MLX affine    data U32 [rows, cols * bits / 32], scales and biases [rows, cols / group_size] of F32, F16 or BF16:
 *                 w = scale * q + bias.  A row is one little-endian stream of bits: element i lies at bit i * bits.
 *   MLX mxfp4     data U32 [rows, cols / 8], scales U8 [rows, cols / 32]: w = 2^(scale - 127) * e2m1(q); no biases
 *
 * MLX writes its files without padding: tensors of a .safetensors file may lie at any byte. */
#ifndef VMT_TENSOR_MATRIX_H
#define VMT_TENSOR_MATRIX_H

#include "tensor/tensor.h"

typedef struct vmt_matrix {
    vmt_tensor data;
    vmt_tensor scales, biases; /* buffer NULL: there are none */
    uint32_t rows, cols;
    uint32_t bits, group_size; /* MLX; 0 elsewhere */
} vmt_matrix;

/* Bits 2, 3, 4, 5, 6, 8; groups of 32, 64 or 128 elements. */
#define VMT_MLX_GROUP_MIN 32u

/* data is a matrix of two dimensions, of a type that can be dequantized. */
vmt_matrix vmt_matrix_of(const vmt_tensor *data);
/* Puts an MLX matrix together; biases NULL: mxfp4.  VMT_E_INVALID says which shape or type does not fit. */
vmt_status vmt_matrix_of_mlx(vmt_matrix *out, const vmt_tensor *data, const vmt_tensor *scales,
                             const vmt_tensor *biases, uint32_t bits, uint32_t group_size, vmt_err *err);

static inline bool vmt_matrix_is_mlx(const vmt_matrix *m) {
    return m->bits != 0;
}
/* What the file spends on it. */
uint64_t vmt_matrix_bytes(const vmt_matrix *m);
/* "affine 4-bit, groups of 64" or the dtype's name, into out. */
const char *vmt_matrix_describe(const vmt_matrix *m, char *out, size_t cap);

/* MLX: the quants of a row, cols of them, as they are packed. */
void vmt_matrix_quants(const vmt_matrix *m, uint32_t row, uint8_t *out);
/* MLX: a row's scales and biases, cols / group_size of each; biases are 0 for mxfp4. */
void vmt_matrix_affine(const vmt_matrix *m, uint32_t row, float *scales, float *biases);

/* One row to cols floats, plain C: the reference of every fast path.  In host memory. */
void vmt_matrix_row(const vmt_matrix *m, uint32_t row, float *out);

#endif
