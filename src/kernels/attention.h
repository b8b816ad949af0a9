/* kernels/attention.h: what the decode and the prefill kernels of paged attention share: scores and the softmax's ends.
 *
 * Scores are kept in units of log2, so that a weight is exp2(score - maximum).  A masked score is finite and small, and
 * its weight is set to 0. */
#ifndef VMT_KERNELS_ATTENTION_H
#define VMT_KERNELS_ATTENTION_H

#include <metal_stdlib>
#include "kernels/attention_kargs.h"

using namespace metal;

#define ATTENTION_NO_SCORE (-1.0e30f)

/* From q k^T to log2 units.  The bound keeps the exponential finite: past it tanh is 1 in float. */
METAL_FUNC float attention_score(float dot, float scale, float soft_cap) {
    float x = dot * scale;
    if (soft_cap == 0.0f) return x * M_LOG2E_F;
    float y = clamp(x / soft_cap, -16.0f, 16.0f);
    float e = exp2(y * (2.0f * M_LOG2E_F));
    return soft_cap * M_LOG2E_F * ((e - 1.0f) / (e + 1.0f));
}

/* The first key that a query at this position sees. */
METAL_FUNC int attention_first_key(int position, uint sliding_window) {
    return sliding_window == 0u ? 0 : max(0, position + 1 - int(sliding_window));
}

#endif
