#if defined(__aarch64__)
#include "ops/simd/attention_impl.h"
VMT_ATTN_KERNELS_TABLE(neon);
#endif
