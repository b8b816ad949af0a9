#if defined(__x86_64__)
#include "ops/simd/row_kernels_impl.h"
VMT_ROW_KERNELS_TABLE(avx512);
#endif
