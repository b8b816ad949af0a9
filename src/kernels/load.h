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
METAL_FUNC float4 tile4(const threadgroup float *p) {
    return *(const threadgroup float4 *)p;
}
METAL_FUNC float4 tile4(const threadgroup half *p) {
    return float4(*(const threadgroup half4 *)p);
}
METAL_FUNC float4 tile4(const threadgroup bfloat *p) {
    uint2 v = *(const threadgroup uint2 *)p;
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

/* An element as it lies in memory, and the float that it stands for: a load is issued in one place, used in another. */
METAL_FUNC uint load_bits(const device float *p) {
    return *(const device uint *)p;
}
METAL_FUNC uint load_bits(const device half *p) {
    return *(const device ushort *)p;
}
METAL_FUNC uint load_bits(const device bfloat *p) {
    return *(const device ushort *)p;
}
template <typename T> struct element {};
template <> struct element<float> {
    static float of_bits(uint bits) { return as_type<float>(bits); }
};
template <> struct element<half> {
    static float of_bits(uint bits) { return half_of_bits(ushort(bits)); }
};
template <> struct element<bfloat> {
    static float of_bits(uint bits) { return as_type<float>(bits << 16); }
};

/* 4 * N bytes from data + at, which is a multiple of 2, in loads of whole words; data is a multiple of 4 bytes. */
template <uint N> METAL_FUNC void load_words(const device uchar *data, uint at, thread uint *w) {
    const device uint *p = (const device uint *)(data + (at & ~3u));
    uint raw[N + 1], shift = (at & 2u) * 8u;
#pragma unroll
    for (uint i = 0; i < N; i++) raw[i] = p[i];
    raw[N] = *(const device ushort *)(data + at + 4 * N - 2);
#pragma unroll
    for (uint i = 0; i < N; i++) w[i] = uint((ulong(raw[i]) | ulong(raw[i + 1]) << 32) >> shift);
}

/* 2^-n for n in 0 .. 126. */
METAL_FUNC float power_down(uint n) {
    return as_type<float>((127u - n) << 23);
}

/* Bits of the floats 2048 and 128, for nibbles below.  zero is 0, which no compiler can know: they stay in registers.
 * A logic instruction of a GPU has room for one constant, and a second one would be fetched anew for every nibble. */
METAL_FUNC uint2 nibble_exponents(uint zero) {
    return uint2(simd_broadcast_first(0x45000000u | zero), simd_broadcast_first(0x43000000u | zero));
}

/* The 8 nibbles of a word as floats, the lowest first: nibble i is q[i] * factor(i) - zero(i).  For activations in 16
 * bits four bits and an exponent are put together, for converting integers takes GPUs longer: a nibble at bit s of a
 * mantissa adds 2^(23 - s), which costs the sums a few of float's bits.  With float activations all are kept. */
template <typename T> struct nibbles {
    enum { IS_SHORT = sizeof(T) == 2 };
    static float factor(uint i) { return IS_SHORT ? 1.0f : power_down(4 * i); }
    static float zero(uint i) { return !IS_SHORT ? 0.0f : i == 0 || i == 3 || i == 5 ? 2048.0f : 128.0f; }
    static void decode(uint w, uint2 exponents, thread float *q) {
        if (IS_SHORT) {
            uint left = w << 12, right = w >> 8;
            q[0] = as_type<float>((left & 0x0000f000u) | exponents.x);
            q[1] = as_type<float>((left & 0x000f0000u) | exponents.y);
            q[2] = as_type<float>((w << 8 & 0x000f0000u) | exponents.y);
            q[3] = as_type<float>((w & 0x0000f000u) | exponents.x);
            q[4] = as_type<float>((w & 0x000f0000u) | exponents.y);
            q[5] = as_type<float>((right & 0x0000f000u) | exponents.x);
            q[6] = as_type<float>((right & 0x000f0000u) | exponents.y);
            q[7] = as_type<float>((w >> 12 & 0x000f0000u) | exponents.y);
        } else {
#pragma unroll
            for (uint i = 0; i < 8; i++) q[i] = float(w & 15u << 4 * i);
        }
    }
};

#endif
