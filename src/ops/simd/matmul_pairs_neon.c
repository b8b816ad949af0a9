#if defined(__aarch64__)
#include "ops/simd/matmul_pairs_impl.h"
VMT_MM_PAIRS_KERNELS(neon);
#else
typedef int vmt_mm_no_pairs_neon;
#endif
