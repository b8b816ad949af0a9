/* ops/matmul.h: out = x W^T (+ bias), with W in any dtype of the table, read as it is stored or packed once at load.
 *
 * Batch-invariant: an output element is one fixed sequence of operations over k, whatever the number of rows of x, the
 * number of workers or the instruction set's tile.  Reference: vmt_matmul_ref(). */
#ifndef VMT_OPS_MATMUL_H
#define VMT_OPS_MATMUL_H

#include "backend/backend.h"
#include "base/arena.h"
#include "tensor/matrix.h"

/* A [rows, cols] matrix ready for matmul on one backend. */
typedef struct vmt_weight {
    vmt_matrix src;                     /* as it came from the file; of a packed one only shape and dtype */
    uint32_t rows, cols;                /* out_features, in_features */
    const struct vmt_matmul_kind *kind; /* row of the plan table: layout and kernels */
    vmt_buffer packed;                  /* owned if bytes > 0 */
} vmt_weight;

/* Chooses the layout for this backend and packs in parallel if the table's row wants it.  *packed_out says whether the
 * source is no longer needed.  Several source tensors stacked by rows (q, k, v; gate, up) become one weight when their
 * dtype and cols agree; the caller then gives row offsets in vmt_matmul_out.  Errors name no tensor: the caller
 * does. */
vmt_status vmt_weight_init(vmt_weight *out, vmt_backend *be, const vmt_tensor *parts, uint32_t num_parts,
                           bool *packed_out, vmt_err *err);
/* The same from matrices of a file.  MLX's are repacked row by row to vmt_weight_dtype() first, which keeps their
 * values but for scales and biases as F16 (F32 ones are dequantized). */
vmt_status vmt_weight_init_matrices(vmt_weight *out, vmt_backend *be, const vmt_matrix *parts, uint32_t num_parts,
                                    bool *packed_out, vmt_err *err);
vmt_dtype vmt_weight_dtype(const vmt_matrix *matrix);
void vmt_weight_reset(vmt_weight *weight, vmt_backend *be);
/* Dequantizes row (0 <= row < rows) to cols floats: embedding gather from a tied head, and tests. */
void vmt_weight_row(const vmt_weight *weight, uint32_t row, float *out);

typedef struct vmt_matmul_args {
    const vmt_weight *weight;
    const float *bias; /* [rows] or NULL */
    vmt_tensor x;      /* F32 [num_rows, x_stride]; the first cols elements of a row are used */
    vmt_tensor out;    /* F32 [num_rows, out_stride] */
    uint32_t num_rows;
    uint32_t x_stride, out_stride; /* elements */
    bool accumulate;               /* out += x W^T, for residual streams */
    float out_scale;               /* out (+)= out_scale * (x W^T + bias); 1 usually */
    const uint32_t *row_ids;       /* if not NULL: row i of x is x[row_ids[i]] (logits of selected rows) */
} vmt_matmul_args;

vmt_status vmt_matmul(vmt_backend *be, const vmt_matmul_args *args);

/* Plain C in double accumulation over dequantized weights: what every path is compared with. */
void vmt_matmul_ref(const vmt_matmul_args *args);

#endif
