#if defined(__x86_64__)
#include "ops/simd/attention_impl.h"
VMT_ATTN_KERNELS_TABLE(avx512);
#endif
