#define LANES  4
#define PASSES vmt_logit_passes_base
#include "engine/logit_passes.inc"
