/* kernels/vec.h: conversions of vectors whose element type is a template parameter. */
#ifndef VMT_KERNELS_VEC_H
#define VMT_KERNELS_VEC_H

#include <metal_stdlib>
using namespace metal;

template <typename To, typename From> METAL_FUNC vec<To, 4> vec4_cast(vec<From, 4> v) {
    vec<To, 4> out;
    out.x = To(v.x);
    out.y = To(v.y);
    out.z = To(v.z);
    out.w = To(v.w);
    return out;
}
template <typename To, typename From> METAL_FUNC vec<To, 2> vec2_cast(vec<From, 2> v) {
    vec<To, 2> out;
    out.x = To(v.x);
    out.y = To(v.y);
    return out;
}

#endif
