#if defined(__aarch64__)
#include "ops/simd/row_kernels_impl.h"
VMT_ROW_KERNELS_TABLE(neon);
#endif
