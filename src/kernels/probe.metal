/* probe_frag: does a lane hold the elements of a fragment that frag.h says it holds?
 *
 *   a     [16, 16]      T, any content
 *   b     [16, 16]      T, any content
 *   out   [3, 16, 16]   float: a through C and A, then a b, then 16 * row + column of each place
 *   rows  [2, 16]       float: maximum and sum of the rows of a b
 *
 * out[0]: C is set element by element at (frag_row, frag_col), becomes A by frag_from_c and is multiplied by the unit
 * matrix: it is a again only if the lanes hold what they claim.  out[2]: a place that no lane claims keeps what the
 * host has put there.
 *
 * Grid      1; 32 threads.
 * Memory    4.6 KB of threadgroup memory at most.
 * Reference ops/gpu_self_test.c. */
#include <metal_stdlib>
#include "kernels/frag.h"
#include "kernels/probe_kargs.h"
using namespace metal;

constant constexpr uint PROBE_STRIDE = 24;

template <typename T>
[[kernel, max_total_threads_per_threadgroup(32)]] void
probe_frag(const device T *a [[buffer(0)]], const device T *b [[buffer(1)]], device float *out [[buffer(2)]],
           device float *rows [[buffer(3)]], constant vmt_probe_kargs &args [[buffer(4)]],
           uint lane [[thread_index_in_simdgroup]]) {
    threadgroup T tile_a[16 * PROBE_STRIDE];
    threadgroup T tile_b[16 * PROBE_STRIDE];
    threadgroup T unit[16 * PROBE_STRIDE];
    for (uint i = lane; i < 256u; i += 32u) {
        uint row = i / 16u, col = i % 16u;
        tile_a[row * PROBE_STRIDE + col] = a[i];
        tile_b[row * PROBE_STRIDE + col] = b[i];
        unit[row * PROBE_STRIDE + col] = T(row == col ? 1.0f : 0.0f);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    frag_a<T> fa;
    frag_b<T> fb, fu;
    frag_c fc, moved;
    frag_load_a(fa, tile_a, PROBE_STRIDE);
    frag_load_b(fb, tile_b, PROBE_STRIDE);
    frag_load_b(fu, unit, PROBE_STRIDE);
    frag_fill(fc, 0.0f);
    frag_mma(fc, fa, fb);
    float2 most = frag_row_max(fc), sum = frag_row_sum(fc);
    frag_fill(moved, 0.0f);
#pragma unroll
    for (uint i = 0; i < 8; i++) frag_set(moved, i, float(a[frag_row(lane, i) * 16u + frag_col(lane, i)]));
    frag_a<T> fm;
    frag_from_c(fm, moved);
    frag_fill(moved, 0.0f);
    frag_mma(moved, fm, fu);
#pragma unroll
    for (uint i = 0; i < 8; i++) {
        uint row = frag_row(lane, i), col = frag_col(lane, i), at = row * args.stride + col;
        out[at] = frag_get(moved, i);
        out[16u * args.stride + at] = frag_get(fc, i);
        out[32u * args.stride + at] = float(row * 16u + col);
    }
    rows[frag_row(lane, 0)] = most.x; /* lanes that share a row have the same */
    rows[frag_row(lane, 2)] = most.y;
    rows[16u + frag_row(lane, 0)] = sum.x;
    rows[16u + frag_row(lane, 2)] = sum.y;
}

// ---- instantiations
template [[host_name("probe_frag_f32")]] [[kernel]] decltype(probe_frag<float>) probe_frag<float>;
template [[host_name("probe_frag_f16")]] [[kernel]] decltype(probe_frag<half>) probe_frag<half>;
template [[host_name("probe_frag_bf16")]] [[kernel]] decltype(probe_frag<bfloat>) probe_frag<bfloat>;
