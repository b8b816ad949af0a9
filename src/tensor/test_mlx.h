/* tensor/test_mlx.h: the records of tests/golden/mlx_vectors.bin, for tests: quantized matrices and what MLX makes of
 * them.  tests/golden/make_mlx.py has the layout. */
#ifndef VMT_TENSOR_TEST_MLX_H
#define VMT_TENSOR_TEST_MLX_H

#include "base/test.h"
#include "tensor/matrix.h"

typedef struct vmt_mlx_vector {
    const char *name;  /* "affine 4-bit, groups of 64, BF16 scales", of x in F32 for mxfp4 */
    vmt_matrix matrix; /* in memory of the test's arena, at odd addresses as in a file of MLX */
    vmt_tensor x;      /* [num_x, cols] of the vector's type */
    const float *rows; /* [rows, cols]: mx.dequantize in float32 */
    const float *y;    /* [num_x, rows]: mx.quantized_matmul */
    uint32_t num_x;
} vmt_mlx_vector;

#define VMT_MLX_VECTORS_MAX 32u

/* How many there are; out [VMT_MLX_VECTORS_MAX]. */
uint32_t vmt_test_mlx_vectors(vmt_test *t, vmt_mlx_vector *out);

#endif
