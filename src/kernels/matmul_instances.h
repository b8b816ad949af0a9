/* kernels/matmul_instances.h: KERNEL(format, type, T) for every format of weights and type of activations. */
#ifndef VMT_KERNELS_MATMUL_INSTANCES_H
#define VMT_KERNELS_MATMUL_INSTANCES_H

#include "kernels/quant_dense.h"
#include "kernels/quant_gguf.h"
#include "kernels/quant_k.h"
#include "kernels/quant_mlx.h"

/* clang-format off */
#define VMT_MATMUL_TYPES(KERNEL, format) \
    KERNEL(format, f32, float) KERNEL(format, f16, half) KERNEL(format, bf16, bfloat)
#define VMT_MATMUL_FORMATS(KERNEL)                                                                        \
    VMT_MATMUL_TYPES(KERNEL, f32)    VMT_MATMUL_TYPES(KERNEL, f16)   VMT_MATMUL_TYPES(KERNEL, bf16)       \
    VMT_MATMUL_TYPES(KERNEL, mlx2)   VMT_MATMUL_TYPES(KERNEL, mlx3)  VMT_MATMUL_TYPES(KERNEL, mlx4)       \
    VMT_MATMUL_TYPES(KERNEL, mlx5)   VMT_MATMUL_TYPES(KERNEL, mlx6)  VMT_MATMUL_TYPES(KERNEL, mlx8)       \
    VMT_MATMUL_TYPES(KERNEL, mlxfp4) VMT_MATMUL_TYPES(KERNEL, mxfp4) VMT_MATMUL_TYPES(KERNEL, q8_0)       \
    VMT_MATMUL_TYPES(KERNEL, q4_0)   VMT_MATMUL_TYPES(KERNEL, q4_1)  VMT_MATMUL_TYPES(KERNEL, q5_0)       \
    VMT_MATMUL_TYPES(KERNEL, q5_1)   VMT_MATMUL_TYPES(KERNEL, q4_k)  VMT_MATMUL_TYPES(KERNEL, q5_k)       \
    VMT_MATMUL_TYPES(KERNEL, q6_k)
/* EACH(format) for those that are no plain numbers. */
#define VMT_MATMUL_QUANTIZED(EACH)                                                                        \
    EACH(mlx2) EACH(mlx3) EACH(mlx4) EACH(mlx5) EACH(mlx6) EACH(mlx8) EACH(mlxfp4) EACH(mxfp4) EACH(q8_0) \
    EACH(q4_0) EACH(q4_1) EACH(q5_0) EACH(q5_1) EACH(q4_k) EACH(q5_k) EACH(q6_k)
/* clang-format on */

#endif
