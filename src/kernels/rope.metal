/* rope.metal: q, k and v on their way from the projection to attention.    reference: ops/gpu_rope_test.c */
#include <metal_stdlib>
#include "kernels/copy.h"
#include "kernels/pack8.h"
#include "kernels/rope_kargs.h"
using namespace metal;

/* rope_angles: cosines and sines of a step's positions, once for all layers.
 *
 *   turns      [num_pairs, 2]             uint32  low and high word of the turns per position, times 2^64
 *   positions  [num_rows]                 int32   not negative
 *   out        [num_rows, 2 * num_pairs]  float   cosines of all pairs, then sines
 *
 * Math      position * turns modulo 2^64 is exact, its upper word is the angle in units of 2^-32 turn.  The nearest
 *           quarter turn is taken off and the rest, within 1/8 turn, goes into Taylor series: error below 1e-7.
 * Grid      a threadgroup of 64 threads a row. */
METAL_FUNC float2 cos_sin_of_turn(uint angle) {
    uint quarter = (angle + 0x20000000u) >> 30;
    float x = float(as_type<int>(angle - (quarter << 30))) * 1.46291807927e-9f; /* 2 pi / 2^32 */
    float y = x * x;
    float s = x + x * y * (-1.0f / 6.0f + y * (1.0f / 120.0f + y * (-1.0f / 5040.0f + y * (1.0f / 362880.0f))));
    float c = 1.0f + y * (-0.5f + y * (1.0f / 24.0f + y * (-1.0f / 720.0f + y * (1.0f / 40320.0f))));
    float2 turned = (quarter & 1u) != 0u ? float2(-s, c) : float2(c, s);
    return (quarter & 2u) != 0u ? -turned : turned;
}

template <typename T>
[[kernel, max_total_threads_per_threadgroup(64)]] void
rope_angles(const device uint *turns [[buffer(0)]], const device int *positions [[buffer(1)]],
            device T *out [[buffer(2)]], constant vmt_rope_angles_kargs &args [[buffer(3)]],
            uint3 tg [[threadgroup_position_in_grid]], uint tid [[thread_index_in_threadgroup]]) {
    wait_for_previous();
    ulong position = ulong(uint(positions[tg.x]));
    device T *row = out + ulong(tg.x) * (2u * args.num_pairs);
    for (uint i = tid; i < args.num_pairs; i += 64u) {
        ulong turn = (ulong(turns[2u * i + 1u]) << 32) | ulong(turns[2u * i]);
        float2 angle = cos_sin_of_turn(uint((position * turn) >> 32)) * args.attention_factor;
        row[i] = angle.x;
        row[args.num_pairs + i] = angle.y;
    }
}

/* rope: norms and turns heads, writes q in place and k, v into the cache.
 *
 *   qkv               [num_rows, stride]                  T      q heads, k heads, v heads from column 0
 *   angles            [num_rows, rotary_dim]              float  from rope_angles
 *   q_norm, k_norm    [head_dim]                          float  if args.has_norm
 *   slots             [num_rows]                          int32  row of the caches; negative: not written
 *   k_cache, v_cache  [slots, num_kv_heads, head_dim]     C      T, or int8
 *   k_scale, v_scale  [slots, num_kv_heads]               float  written with int8
 *
 * Math      norm: x / sqrt(mean(x^2) + eps) * weight.  Turn of a pair: (a cos - b sin, b cos + a sin); pairs are
 *           (i, i + rotary_dim / 2), or (2i, 2i + 1) when interleaved.  int8: scale = max |x| / 127.
 * Grid      (num_rows, ceil((num_heads + 2 num_kv_heads) / 4)); 128 threads, a head a simdgroup.
 * Memory    registers alone: a lane holds 4 elements (UNITS times), two pairs of one turn's kind.
 * Requires  head_dim a multiple of 4, at most 128 * UNITS. */
template <typename C, uint UNITS>
METAL_FUNC void write_cache(device C *cache, device float *scales, thread const float2 *a, thread const float2 *b,
                            thread const uint2 *at, ulong head, uint head_dim, uint units, uint lane) {
    float inv = 1.0f;
    if (sizeof(C) == 1) {
        float max_abs = 0.0f;
#pragma unroll
        for (uint i = 0; i < UNITS; i++) {
            max_abs = max(max_abs, max(max(fabs(a[i].x), fabs(a[i].y)), max(fabs(b[i].x), fabs(b[i].y))));
        }
        max_abs = simd_max(max_abs);
        inv = max_abs > 0.0f ? 127.0f / max_abs : 0.0f;
        if (lane == 0) scales[head] = max_abs / 127.0f;
    }
    device C *to = cache + head * head_dim;
#pragma unroll
    for (uint i = 0; i < UNITS; i++) {
        if (lane + 32u * i >= units) break;
        store2(to + at[i].x, a[i] * inv);
        store2(to + at[i].y, b[i] * inv);
    }
}

template <typename T, typename C, uint UNITS>
[[kernel, max_total_threads_per_threadgroup(128)]] void
rope(device T *qkv [[buffer(0)]], const device float *angles [[buffer(1)]], const device float *q_norm [[buffer(2)]],
     const device float *k_norm [[buffer(3)]], const device int *slots [[buffer(4)]],
     device C *k_cache [[buffer(5)]], device C *v_cache [[buffer(6)]], device float *k_scale [[buffer(7)]],
     device float *v_scale [[buffer(8)]], constant vmt_rope_kargs &args [[buffer(9)]],
     uint3 tg [[threadgroup_position_in_grid]], uint lane [[thread_index_in_simdgroup]],
     uint sg [[simdgroup_index_in_threadgroup]]) {
    wait_for_previous();
    const uint head = tg.y * 4u + sg;
    if (head >= args.num_heads + 2u * args.num_kv_heads) return;
    const bool is_q = head < args.num_heads, is_v = head >= args.num_heads + args.num_kv_heads;
    const uint units = args.head_dim / 4u, turning = is_v ? 0u : args.rotary_dim / 4u, pairs = args.rotary_dim / 2u;
    device T *x = qkv + ulong(tg.x) * args.stride + head * args.head_dim;
    float2 a[UNITS], b[UNITS];
    uint2 at[UNITS];
    float squares = 0.0f;
#pragma unroll
    for (uint i = 0; i < UNITS; i++) {
        uint u = lane + 32u * i;
        bool is_split = u < turning && args.is_interleaved == 0u;
        at[i] = is_split ? uint2(2u * u, 2u * u + pairs) : uint2(4u * u, 4u * u + 2u);
        a[i] = u < units ? load2(x + at[i].x) : float2(0.0f);
        b[i] = u < units ? load2(x + at[i].y) : float2(0.0f);
        squares += dot(a[i], a[i]) + dot(b[i], b[i]);
    }
    if (args.has_norm != 0u && !is_v) {
        const device float *weight = is_q ? q_norm : k_norm;
        float inv = precise::rsqrt(simd_sum(squares) / float(args.head_dim) + args.norm_eps);
#pragma unroll
        for (uint i = 0; i < UNITS; i++) {
            if (lane + 32u * i >= units) break;
            a[i] = a[i] * inv * load2(weight + at[i].x);
            b[i] = b[i] * inv * load2(weight + at[i].y);
        }
    }
    const device float *row = angles + ulong(tg.x) * args.rotary_dim;
#pragma unroll
    for (uint i = 0; i < UNITS; i++) {
        uint u = lane + 32u * i;
        if (u >= turning) break;
        float2 c = load2(row + 2u * u), s = load2(row + pairs + 2u * u), p = a[i], q = b[i];
        if (args.is_interleaved == 0u) {
            a[i] = p * c - q * s;
            b[i] = q * c + p * s;
        } else {
            a[i] = float2(p.x * c.x - p.y * s.x, p.y * c.x + p.x * s.x);
            b[i] = float2(q.x * c.y - q.y * s.y, q.y * c.y + q.x * s.y);
        }
    }
    if (is_q) {
#pragma unroll
        for (uint i = 0; i < UNITS; i++) {
            if (lane + 32u * i >= units) break;
            store2(x + at[i].x, a[i]);
            store2(x + at[i].y, b[i]);
        }
        return;
    }
    const int slot = slots[tg.x];
    if (slot < 0) return;
    const uint kv_head = head - args.num_heads - (is_v ? args.num_kv_heads : 0u);
    const ulong row_head = ulong(uint(slot)) * args.num_kv_heads + kv_head;
    write_cache<C, UNITS>(is_v ? v_cache : k_cache, is_v ? v_scale : k_scale, a, b, at, row_head, args.head_dim, units,
                          lane);
}

// ---- instantiations
#define ROPE(name, T, C, units) template [[host_name(name)]] [[kernel]] decltype(rope<T, C, units>) rope<T, C, units>;
#define ROPE_TYPE(type, T)                        \
    ROPE("rope_" #type, T, T, 1)                  \
    ROPE("rope_i8_" #type, T, char, 1)            \
    ROPE("rope_wide_" #type, T, T, 4)             \
    ROPE("rope_wide_i8_" #type, T, char, 4)
ROPE_TYPE(f32, float)
ROPE_TYPE(f16, half)
ROPE_TYPE(bf16, bfloat)
template [[host_name("rope_angles")]] [[kernel]] decltype(rope_angles<float>) rope_angles<float>;
