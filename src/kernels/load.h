/* kernels/load.h: four neighbours of any element type as floats, in one load or two. */
#ifndef VMT_KERNELS_LOAD_H
#define VMT_KERNELS_LOAD_H

#include <metal_stdlib>
#include "kernels/vec.h"
using namespace metal;

/* p is a multiple of 8 bytes: files align tensors to no more. */
METAL_FUNC float4 load4(const device float *p) {
    float2 a = *(const device float2 *)p, b = *(const device float2 *)(p + 2);
    return float4(a.x, a.y, b.x, b.y);
}
METAL_FUNC float4 load4(const device half *p) {
    return float4(*(const device half4 *)p);
}
/* By shifts: GPUs before Apple9 can't convert from bfloat. */
METAL_FUNC float4 load4(const device bfloat *p) {
    uint2 v = *(const device uint2 *)p;
    return float4(as_type<float>(v.x << 16), as_type<float>(v.x & 0xffff0000u), as_type<float>(v.y << 16),
                  as_type<float>(v.y & 0xffff0000u));
}

/* p is a multiple of four elements. */
template <typename T> METAL_FUNC void store4(threadgroup T *p, float4 v) {
    *(threadgroup vec<T, 4> *)p = vec4_cast<T>(v);
}

METAL_FUNC float half_of_bits(ushort bits) {
    return float(as_type<half>(bits));
}

/* 2^-n for n in 0 .. 126. */
METAL_FUNC float power_down(uint n) {
    return as_type<float>((127u - n) << 23);
}

#endif
