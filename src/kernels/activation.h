/* kernels/activation.h: the activations of gated layers, by the number that the host passes. */
#ifndef VMT_KERNELS_ACTIVATION_H
#define VMT_KERNELS_ACTIVATION_H

#include <metal_stdlib>

using namespace metal;

/* The order of vmt_activation in ops/elementwise.h. */
#define VMT_KERNEL_ACT_SILU      0u
#define VMT_KERNEL_ACT_GELU_TANH 1u
#define VMT_KERNEL_ACT_GELU      2u

/* x / (1 + e^-y).  The bound keeps the exponential finite; past it the quotient is 0 in every activation type. */
METAL_FUNC float times_sigmoid(float x, float y) {
    return x / (1.0f + exp(min(-y, 80.0f)));
}

/* Error below 2e-7 (Abramowitz and Stegun 7.1.26). */
METAL_FUNC float error_function(float x) {
    float t = 1.0f / (1.0f + 0.3275911f * fabs(x));
    float poly =
        t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    float y = 1.0f - poly * exp(-min(x * x, 80.0f));
    return x < 0.0f ? -y : y;
}

METAL_FUNC float activate(float x, uint act) {
    if (act == VMT_KERNEL_ACT_SILU) return times_sigmoid(x, x);
    /* 0.5 x (1 + tanh(u)) = x sigmoid(2u) */
    if (act == VMT_KERNEL_ACT_GELU_TANH) return times_sigmoid(x, 1.5957691216f * (x + 0.044715f * x * x * x));
    return 0.5f * x * (1.0f + error_function(x * M_SQRT1_2_F));
}

#endif
