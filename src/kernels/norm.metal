/* norm.metal: RMS and layer norm of rows.                                  reference: ops/gpu_norm_test.c
 *
 *   x        [.., cols]        float
 *   row_ids  [num_rows]        int32  which rows of x, if args.has_row_ids
 *   weight   [cols]            float
 *   bias     [cols]            float  if args.has_bias
 *   out      [num_rows, cols]  T
 *
 * Grid      one threadgroup a row; 256 threads, or 1024 (_wide) for rows past 4096 columns.
 * Memory    threadgroup: a float a simdgroup.  A thread keeps 16 values of the row in registers; what lies beyond
 *           (4096 and 16384 columns) is read again.
 * Requires  cols a multiple of 4, rows 16-byte aligned.
 * Numerics  float; the layer norm's variance is the mean of squared distances, not a difference of squares. */
#include <metal_stdlib>
#include "kernels/pack8.h"
#include "kernels/norm_kargs.h"

using namespace metal;

constant constexpr uint NORM_VECS = 4;

/* Reached by all threads.  The first barrier also ends the sums' last use. */
METAL_FUNC float threadgroup_sum(float x, threadgroup float *sums, uint lane, uint sg, uint num_sgs) {
    x = simd_sum(x);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (lane == 0) sums[sg] = x;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return simd_sum(lane < num_sgs ? sums[lane] : 0.0f);
}

METAL_FUNC float4 centered(float4 x, float mean, bool is_there) {
    return is_there ? x - mean : float4(0.0f);
}

template <typename T, bool IS_LAYER, uint THREADS>
METAL_FUNC void norm_row(const device float *x, const device float *weight, const device float *bias, device T *out,
                         constant vmt_norm_kargs &args, threadgroup float *sums, uint tid, uint lane, uint sg) {
    const device float4 *row = (const device float4 *)x;
    const uint vecs = args.cols / 4u;
    float4 held[NORM_VECS];
    float mean = 0.0f;
#pragma unroll
    for (uint i = 0; i < NORM_VECS; i++) {
        uint v = tid + i * THREADS;
        held[i] = v < vecs ? row[v] : float4(0.0f);
    }
    if (IS_LAYER) {
        float sum = 0.0f;
#pragma unroll
        for (uint i = 0; i < NORM_VECS; i++) sum += held[i].x + held[i].y + held[i].z + held[i].w;
        for (uint v = tid + NORM_VECS * THREADS; v < vecs; v += THREADS) {
            float4 y = row[v];
            sum += y.x + y.y + y.z + y.w;
        }
        mean = threadgroup_sum(sum, sums, lane, sg, THREADS / 32u) / float(args.cols);
    }
    float squares = 0.0f;
#pragma unroll
    for (uint i = 0; i < NORM_VECS; i++) {
        held[i] = centered(held[i], mean, tid + i * THREADS < vecs);
        squares += dot(held[i], held[i]);
    }
    for (uint v = tid + NORM_VECS * THREADS; v < vecs; v += THREADS) {
        float4 y = row[v] - mean;
        squares += dot(y, y);
    }
    squares = threadgroup_sum(squares, sums, lane, sg, THREADS / 32u);
    const float inv = precise::rsqrt(squares / float(args.cols) + args.eps);
    const device float4 *weights = (const device float4 *)weight;
    const device float4 *biases = (const device float4 *)bias;
#pragma unroll
    for (uint i = 0; i < NORM_VECS; i++) {
        uint v = tid + i * THREADS;
        if (v >= vecs) break;
        float4 y = held[i] * inv * weights[v];
        if (IS_LAYER && args.has_bias != 0u) y += biases[v];
        store4(out + 4u * v, y);
    }
    for (uint v = tid + NORM_VECS * THREADS; v < vecs; v += THREADS) {
        float4 y = (row[v] - mean) * inv * weights[v];
        if (IS_LAYER && args.has_bias != 0u) y += biases[v];
        store4(out + 4u * v, y);
    }
}

METAL_FUNC ulong norm_source(const device int *row_ids, constant vmt_norm_kargs &args, uint row) {
    uint source = args.has_row_ids != 0u ? uint(row_ids[row]) : row;
    return ulong(source) * args.cols;
}

template <typename T, bool IS_LAYER, uint THREADS>
[[kernel, max_total_threads_per_threadgroup(THREADS)]] void
norm_rows(const device float *x [[buffer(0)]], const device int *row_ids [[buffer(1)]],
     const device float *weight [[buffer(2)]], const device float *bias [[buffer(3)]], device T *out [[buffer(4)]],
     constant vmt_norm_kargs &args [[buffer(5)]], uint3 tg [[threadgroup_position_in_grid]],
     uint tid [[thread_index_in_threadgroup]], uint lane [[thread_index_in_simdgroup]],
     uint sg [[simdgroup_index_in_threadgroup]]) {
    threadgroup float sums[THREADS / 32];
    norm_row<T, IS_LAYER, THREADS>(x + norm_source(row_ids, args, tg.x), weight, bias,
                                   out + ulong(tg.x) * args.cols, args, sums, tid, lane, sg);
}

// ---- instantiations
#define NORM(name, is_layer, threads, type, T)                 \
    template [[host_name(#name "_" #type)]] [[kernel]] decltype( \
        norm_rows<T, is_layer, threads>) norm_rows<T, is_layer, threads>;
#define NORM_TYPES(name, is_layer, threads)    \
    NORM(name, is_layer, threads, f32, float) \
    NORM(name, is_layer, threads, f16, half)  \
    NORM(name, is_layer, threads, bf16, bfloat)
NORM_TYPES(rms_norm, false, 256)
NORM_TYPES(rms_norm_wide, false, 1024)
NORM_TYPES(layer_norm, true, 256)
NORM_TYPES(layer_norm_wide, true, 1024)
