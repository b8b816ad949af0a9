/* Kernels of the drivers' own tests: fragments, simd functions, atomics.  Not in the product. */
#include <metal_stdlib>
#include "kernels/frag.h"
#include "kernels/copy.h"
#include "kernels/vec.h"
#include "backend/test_kargs.h"
using namespace metal;

constant constexpr uint STRIDE = 24;

/* out = a * b, then next = T(out) * b; rows = maxima and sums of out's rows. */
template <typename T, bool IS_TRANSPOSED>
[[kernel, max_total_threads_per_threadgroup(32)]]
void test_frag(const device T *a [[buffer(0)]],
               const device T *b [[buffer(1)]],
               device float *out [[buffer(2)]],
               device float *next [[buffer(3)]],
               device float *rows [[buffer(4)]],
               constant vmt_test_kargs &args [[buffer(5)]],
               uint lane [[thread_index_in_simdgroup]]) {
    threadgroup T tile_a[16 * STRIDE];
    threadgroup T tile_b[16 * STRIDE];
    threadgroup float tile_c[16 * STRIDE];
    constexpr uint PER_COPY = 16 / sizeof(T);
    for (uint i = lane; i < 256 / PER_COPY; i += 32) {
        uint row = i / (16 / PER_COPY), col = i % (16 / PER_COPY) * PER_COPY;
        copy_16(tile_a + row * STRIDE + col, a + row * 16 + col);
        copy_16(tile_b + row * STRIDE + col, b + row * 16 + col);
    }
    copy_commit();
    copy_wait<0>();
    threadgroup_barrier(mem_flags::mem_threadgroup);
    frag_a<T> fa;
    frag_b<T> fb;
    frag_c fc;
    frag_load_a(fa, tile_a, STRIDE);
    if (IS_TRANSPOSED) {
        frag_load_bt(fb, tile_b, STRIDE);
    } else {
        frag_load_b(fb, tile_b, STRIDE);
    }
    frag_fill(fc, 0.0f);
    frag_mma(fc, fa, fb);
    frag_store(fc, tile_c, STRIDE, lane);
    float2 most = frag_row_max(fc), sum = frag_row_sum(fc);
    rows[frag_row(lane, 0)] = most.x;
    rows[frag_row(lane, 2)] = most.y;
    rows[16 + frag_row(lane, 0)] = sum.x;
    rows[16 + frag_row(lane, 2)] = sum.y;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint i = lane; i < 256; i += 32) out[i] = tile_c[i / 16 * STRIDE + i % 16];
    frag_from_c(fa, fc);
    frag_c fn;
    frag_fill(fn, 0.0f);
    frag_mma(fn, fa, fb);
    frag_scale_rows(fn, float2(args.scale));
    for (uint i = 0; i < 8; i++) next[frag_row(lane, i) * 16 + frag_col(lane, i)] = frag_get(fn, i);
}

/* One row of results per function, 64 lanes each; x is [64]. */
template <typename T>
[[kernel, max_total_threads_per_threadgroup(64)]]
void test_simd(const device T *x [[buffer(0)]],
               device float *out [[buffer(1)]],
               device atomic_uint *counts [[buffer(2)]],
               constant vmt_test_kargs &args [[buffer(3)]],
               uint3 tg [[threadgroup_position_in_grid]],
               uint tid [[thread_index_in_threadgroup]],
               uint lane [[thread_index_in_simdgroup]]) {
    threadgroup atomic_uint total;
    T v = x[tid];
    uint at = tid;
    out[at] = float(simd_sum(float(v)));
    out[at += 64] = float(simd_max(float(v)));
    out[at += 64] = float(simd_min(float(v)));
    out[at += 64] = float(simd_shuffle(float(v), ushort(31 - lane)));
    out[at += 64] = float(simd_shuffle_xor(float(v), ushort(5)));
    out[at += 64] = float(simd_shuffle_down(float(v), ushort(3)));
    out[at += 64] = float(simd_shuffle_up(float(v), ushort(3)));
    out[at += 64] = float(simd_broadcast(float(v), ushort(7)));
    out[at += 64] = float(simd_prefix_inclusive_sum(float(v)));
    out[at += 64] = float(simd_prefix_exclusive_sum(float(v)));
    out[at += 64] = simd_any(float(v) > 30.5f) ? 1.0f : 0.0f;
    out[at += 64] = simd_all(float(v) > 30.5f) ? 1.0f : 0.0f;
    out[at += 64] = float(quad_sum(float(v)));
    out[at += 64] = float(simd_sum(uint(tid)));
    out[at += 64] = float(simd_max(int(tid) - 100));
    if (tid == 0) atomic_store_explicit(&total, 0u, memory_order_relaxed);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    atomic_fetch_add_explicit(&total, tid, memory_order_relaxed);
    atomic_fetch_max_explicit(&counts[1], tid + tg.x, memory_order_relaxed);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (tid == 0) atomic_fetch_add_explicit(&counts[0], atomic_load_explicit(&total, memory_order_relaxed),
                                            memory_order_relaxed);
    float4 w = float4(float(v), 1.0f, 2.0f, 3.0f) * args.scale + float4(1.0f);
    uint4 u = uint4(w);
    vec<T, 4> narrow = vec4_cast<T>(w);
    out[at += 64] = dot(w, float4(1.0f)) + float(u.x + u.w) + float(narrow.y);
    out[at += 64] = as_type<float>(as_type<uint>(float(v)) ^ 0x80000000u) + exp2(1.0f) + precise::rsqrt(4.0f) +
                    clamp(float(v), 1.0f, 2.0f) + fabs(-1.0f) + float(popcount(7u) + clz(1u)) +
                    select(0.0f, 1.0f, lane > 3) + min(float(v), 3.0f) + fma(2.0f, 3.0f, 4.0f);
}

// ---- instantiations
#define TEST_FRAG(type, name)                                                                                          \
    template [[host_name("test_frag_" name)]] [[kernel]] decltype(test_frag<type, false>) test_frag<type, false>;      \
    template [[host_name("test_frag_t_" name)]] [[kernel]] decltype(test_frag<type, true>) test_frag<type, true>;      \
    template [[host_name("test_simd_" name)]] [[kernel]] decltype(test_simd<type>) test_simd<type>;
TEST_FRAG(half, "f16")
TEST_FRAG(bfloat, "bf16")
TEST_FRAG(float, "f32")
