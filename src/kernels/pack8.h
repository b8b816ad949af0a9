/* kernels/pack8.h: 8 neighbouring elements as they lie in memory, and stores and loads of 2, 4 and 8 as floats.
 *
 * A pack is loaded with one access of 16 bytes (8 for int8, two of 16 for float) and unpacked when it is used, so that
 * several loads are in flight while they cost 4 registers each.  Addresses are multiples of the access. */
#ifndef VMT_KERNELS_PACK8_H
#define VMT_KERNELS_PACK8_H

#include <metal_stdlib>

using namespace metal;

template <typename T> struct pack8;
template <> struct pack8<float> {
    float4 lo, hi;
};
template <> struct pack8<half> {
    uint4 raw;
};
template <> struct pack8<bfloat> {
    uint4 raw;
};
template <> struct pack8<char> {
    uint2 raw;
};

METAL_FUNC pack8<float> load8(const device float *p) {
    pack8<float> x;
    x.lo = *(const device float4 *)p;
    x.hi = *(const device float4 *)(p + 4);
    return x;
}
METAL_FUNC pack8<half> load8(const device half *p) {
    pack8<half> x;
    x.raw = *(const device uint4 *)p;
    return x;
}
METAL_FUNC pack8<bfloat> load8(const device bfloat *p) {
    pack8<bfloat> x;
    x.raw = *(const device uint4 *)p;
    return x;
}
METAL_FUNC pack8<char> load8(const device char *p) {
    pack8<char> x;
    x.raw = *(const device uint2 *)p;
    return x;
}

METAL_FUNC void zero8(thread pack8<float> &x) {
    x.lo = float4(0.0f);
    x.hi = float4(0.0f);
}
METAL_FUNC void zero8(thread pack8<half> &x) {
    x.raw = uint4(0u);
}
METAL_FUNC void zero8(thread pack8<bfloat> &x) {
    x.raw = uint4(0u);
}
METAL_FUNC void zero8(thread pack8<char> &x) {
    x.raw = uint2(0u);
}

/* bfloat is the upper half of a float: no conversion instruction is needed, which M1 and M2 do not have. */
METAL_FUNC float2 bfloats_of(uint word) {
    return float2(as_type<float>(word << 16), as_type<float>(word & 0xffff0000u));
}
METAL_FUNC float2 halves_of(uint word) {
    half2 h = as_type<half2>(word);
    return float2(float(h.x), float(h.y));
}
METAL_FUNC float4 chars_of(uint word) {
    return float4(float(as_type<int>(word << 24) >> 24), float(as_type<int>(word << 16) >> 24),
                  float(as_type<int>(word << 8) >> 24), float(as_type<int>(word) >> 24));
}

struct floats8 {
    float4 lo, hi;
};

METAL_FUNC floats8 unpack8(pack8<float> x) {
    floats8 y;
    y.lo = x.lo;
    y.hi = x.hi;
    return y;
}
METAL_FUNC floats8 unpack8(pack8<half> x) {
    float2 a = halves_of(x.raw.x), b = halves_of(x.raw.y), c = halves_of(x.raw.z), d = halves_of(x.raw.w);
    floats8 y;
    y.lo = float4(a.x, a.y, b.x, b.y);
    y.hi = float4(c.x, c.y, d.x, d.y);
    return y;
}
METAL_FUNC floats8 unpack8(pack8<bfloat> x) {
    float2 a = bfloats_of(x.raw.x), b = bfloats_of(x.raw.y), c = bfloats_of(x.raw.z), d = bfloats_of(x.raw.w);
    floats8 y;
    y.lo = float4(a.x, a.y, b.x, b.y);
    y.hi = float4(c.x, c.y, d.x, d.y);
    return y;
}
METAL_FUNC floats8 unpack8(pack8<char> x) {
    floats8 y;
    y.lo = chars_of(x.raw.x);
    y.hi = chars_of(x.raw.y);
    return y;
}

METAL_FUNC void to_array(floats8 x, thread float *y) {
    y[0] = x.lo.x;
    y[1] = x.lo.y;
    y[2] = x.lo.z;
    y[3] = x.lo.w;
    y[4] = x.hi.x;
    y[5] = x.hi.y;
    y[6] = x.hi.z;
    y[7] = x.hi.w;
}

/* Scaled, as the type of the activations, into threadgroup memory. */
METAL_FUNC void stage8(threadgroup float *p, pack8<char> x, float scale) {
    floats8 y = unpack8(x);
    *(threadgroup float4 *)p = y.lo * scale;
    *(threadgroup float4 *)(p + 4) = y.hi * scale;
}
METAL_FUNC void stage8(threadgroup half *p, pack8<char> x, float scale) {
    floats8 y = unpack8(x);
    *(threadgroup half4 *)p = half4(y.lo * scale);
    *(threadgroup half4 *)(p + 4) = half4(y.hi * scale);
}
METAL_FUNC void stage8(threadgroup bfloat *p, pack8<char> x, float scale) {
    floats8 y = unpack8(x);
    *(threadgroup bfloat4 *)p = bfloat4(y.lo * scale);
    *(threadgroup bfloat4 *)(p + 4) = bfloat4(y.hi * scale);
}

METAL_FUNC float2 load2(const device float *p) {
    return *(const device float2 *)p;
}
METAL_FUNC float2 load2(const device half *p) {
    return halves_of(*(const device uint *)p);
}
METAL_FUNC float2 load2(const device bfloat *p) {
    return bfloats_of(*(const device uint *)p);
}

METAL_FUNC void store2(device float *p, float2 x) {
    *(device float2 *)p = x;
}
METAL_FUNC void store2(device half *p, float2 x) {
    *(device half2 *)p = half2(half(x.x), half(x.y));
}
METAL_FUNC void store2(device bfloat *p, float2 x) {
    *(device bfloat2 *)p = bfloat2(bfloat(x.x), bfloat(x.y));
}
METAL_FUNC void store2(device char *p, float2 x) {
    *(device char2 *)p = char2(char(int(rint(x.x))), char(int(rint(x.y))));
}

METAL_FUNC void store4(device float *p, float4 x) {
    *(device float4 *)p = x;
}
METAL_FUNC void store4(device half *p, float4 x) {
    *(device half4 *)p = half4(half(x.x), half(x.y), half(x.z), half(x.w));
}
METAL_FUNC void store4(device bfloat *p, float4 x) {
    *(device bfloat4 *)p = bfloat4(bfloat(x.x), bfloat(x.y), bfloat(x.z), bfloat(x.w));
}

#endif
