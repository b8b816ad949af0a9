/* ops/gpu_dequantize.h: out = rows of a matrix as plain numbers, on a GPU: for matmuls of many rows where a library
 * multiplies these (vmt_gpu_caps.has_gemm). */
#ifndef VMT_OPS_GPU_DEQUANTIZE_H
#define VMT_OPS_GPU_DEQUANTIZE_H

#include "ops/gpu_matmul.h"

typedef struct vmt_gpu_dequantize_args {
    vmt_gpu_weight weight; /* of another type than out */
    uint32_t first_row;
    vmt_tensor out; /* F16 or BF16, the type [num_rows, cols]: rows first_row .. + num_rows */
} vmt_gpu_dequantize_args;
vmt_status vmt_gpu_dequantize(vmt_gpu_program *program, const vmt_gpu_dequantize_args *args, vmt_err *err);

#endif
