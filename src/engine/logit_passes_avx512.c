#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define LANES  16
#define PASSES vmt_logit_passes_avx512
#include "engine/logit_passes.inc"
#endif
