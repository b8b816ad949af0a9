/* rms_norm: out = x / sqrt(mean(x^2) + epsilon) * weight.   reference: vmt_rms_norm in ops/elementwise.c
 *
 *   x       [num_rows, hidden]   float
 *   weight  [hidden]             float
 *   out     [num_rows, hidden]   T
 *
 * Grid      threadgroups (num_rows, 1, 1); 256 threads.
 * Memory    threadgroup: one float per simdgroup.  A row is read twice.
 * Numerics  float sums, precise rsqrt. */
#include <metal_stdlib>
#include "kernels/rms_norm_kargs.h"
using namespace metal;

constant constexpr uint RMS_NORM_SIMDGROUPS = 8;

template <typename T>
[[kernel, max_total_threads_per_threadgroup(RMS_NORM_SIMDGROUPS * 32)]]
void rms_norm(const device float *x [[buffer(0)]],
              const device float *weight [[buffer(1)]],
              device T *out [[buffer(2)]],
              constant vmt_rms_norm_kargs &args [[buffer(3)]],
              uint3 tg [[threadgroup_position_in_grid]],
              uint tid [[thread_index_in_threadgroup]],
              uint lane [[thread_index_in_simdgroup]],
              uint sg [[simdgroup_index_in_threadgroup]]) {
    threadgroup float partial[RMS_NORM_SIMDGROUPS];
    ulong row = ulong(tg.x) * args.hidden;
    float sum = 0.0f;
    for (uint i = tid; i < args.hidden; i += RMS_NORM_SIMDGROUPS * 32) sum += x[row + i] * x[row + i];
    sum = simd_sum(sum);
    if (lane == 0) partial[sg] = sum;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    sum = 0.0f;
    for (uint i = 0; i < RMS_NORM_SIMDGROUPS; i++) sum += partial[i];
    float scale = precise::rsqrt(sum / float(args.hidden) + args.epsilon);
    for (uint i = tid; i < args.hidden; i += RMS_NORM_SIMDGROUPS * 32) out[row + i] = T(x[row + i] * scale * weight[i]);
}

// ---- instantiations
template [[host_name("rms_norm_f32")]] [[kernel]] decltype(rms_norm<float>) rms_norm<float>;
template [[host_name("rms_norm_f16")]] [[kernel]] decltype(rms_norm<half>) rms_norm<half>;
template [[host_name("rms_norm_bf16")]] [[kernel]] decltype(rms_norm<bfloat>) rms_norm<bfloat>;
