#if defined(__x86_64__)
#include "ops/simd/matmul_pairs_impl.h"
VMT_MM_PAIRS_KERNELS(avx512);
#else
typedef int vmt_mm_no_pairs_avx512;
#endif
