/* ops/simd/matmul_pairs.c: BF16 weights in plain C. */
#include "ops/simd/matmul_pairs_impl.h"
VMT_MM_PAIRS_KERNELS(scalar);
