#if defined(__AVX2__)
#define LANES  8
#define PASSES vmt_logit_passes_avx2
#include "engine/logit_passes.inc"
#endif
