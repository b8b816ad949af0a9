/* Kernels with planted faults, which the host driver must find: each is right with args.fault 0 and wrong with 1. */
#include <metal_stdlib>
#include "backend/test_kargs.h"
using namespace metal;

/* A barrier is missing: lanes read what their neighbours may not have written yet. */
template <typename T>
[[kernel, max_total_threads_per_threadgroup(128)]]
void fault_barrier(device T *out [[buffer(0)]],
                   constant vmt_test_kargs &args [[buffer(1)]],
                   uint tid [[thread_index_in_threadgroup]]) {
    threadgroup T values[128];
    values[tid] = T(tid);
    if (args.fault == 0) threadgroup_barrier(mem_flags::mem_threadgroup);
    out[tid] = values[(tid + 1) % 128] + values[(tid + 127) % 128];
}

/* The last lane's element of threadgroup memory is read and was never written. */
template <typename T>
[[kernel, max_total_threads_per_threadgroup(128)]]
void fault_unwritten(device T *out [[buffer(0)]],
                     constant vmt_test_kargs &args [[buffer(1)]],
                     uint tid [[thread_index_in_threadgroup]]) {
    threadgroup T values[128];
    if (tid + args.fault < 128) values[tid] = T(tid);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    T sum = T(0);
    for (uint i = 0; i < 128; i++) sum += values[i];
    out[tid] = sum;
}

/* Writes one element behind the buffer. */
template <typename T>
[[kernel, max_total_threads_per_threadgroup(128)]]
void fault_overrun(device T *out [[buffer(0)]],
                   constant vmt_test_kargs &args [[buffer(1)]],
                   uint tid [[thread_index_in_threadgroup]]) {
    out[tid + args.fault] = T(tid);
}

/* Half of a simdgroup skips a simd_sum. */
template <typename T>
[[kernel, max_total_threads_per_threadgroup(128)]]
void fault_simd(device T *out [[buffer(0)]],
                constant vmt_test_kargs &args [[buffer(1)]],
                uint tid [[thread_index_in_threadgroup]]) {
    T sum = T(1);
    if (args.fault == 0 || tid < 16) sum = simd_sum(sum);
    out[tid] = sum;
}

/* Lanes of one simdgroup are in two different simd functions. */
template <typename T>
[[kernel, max_total_threads_per_threadgroup(128)]]
void fault_sites(device T *out [[buffer(0)]],
                 constant vmt_test_kargs &args [[buffer(1)]],
                 uint tid [[thread_index_in_threadgroup]]) {
    T v = T(tid);
    if (args.fault == 1 && tid % 32 < 16) v = simd_max(v);
    else v = simd_sum(v);
    out[tid] = v;
}

/* Some lanes return before a barrier. */
template <typename T>
[[kernel, max_total_threads_per_threadgroup(128)]]
void fault_return(device T *out [[buffer(0)]],
                  constant vmt_test_kargs &args [[buffer(1)]],
                  uint tid [[thread_index_in_threadgroup]]) {
    out[tid] = T(tid);
    if (args.fault == 1 && tid >= 100) return;
    threadgroup_barrier(mem_flags::mem_threadgroup);
}

/* Some lanes go past a barrier. */
template <typename T>
[[kernel, max_total_threads_per_threadgroup(128)]]
void fault_skip(device T *out [[buffer(0)]],
                constant vmt_test_kargs &args [[buffer(1)]],
                uint tid [[thread_index_in_threadgroup]]) {
    threadgroup T values[128];
    values[tid] = T(tid);
    if (args.fault == 0 || tid < 100) threadgroup_barrier(mem_flags::mem_threadgroup);
    out[tid] = values[tid];
}

/* The halves of a simdgroup wait at two different barriers. */
template <typename T>
[[kernel, max_total_threads_per_threadgroup(128)]]
void fault_halves(device T *out [[buffer(0)]],
                  constant vmt_test_kargs &args [[buffer(1)]],
                  uint tid [[thread_index_in_threadgroup]]) {
    threadgroup T values[128];
    values[tid] = T(tid);
    if (args.fault == 1 && tid % 32 < 16) {
        threadgroup_barrier(mem_flags::mem_threadgroup);
        out[tid] = T(0);
    } else {
        threadgroup_barrier(mem_flags::mem_threadgroup);
        out[tid] = values[tid];
    }
}

/* Every threadgroup writes the same elements. */
template <typename T>
[[kernel, max_total_threads_per_threadgroup(128)]]
void fault_race(device T *out [[buffer(0)]],
                constant vmt_test_kargs &args [[buffer(1)]],
                uint3 tg [[threadgroup_position_in_grid]],
                uint tid [[thread_index_in_threadgroup]]) {
    if (args.fault == 1 || tg.x == 0) out[tid] = T(tid);
}

// ---- instantiations
#define FAULT(name) template [[host_name(#name)]] [[kernel]] decltype(name<float>) name<float>;
FAULT(fault_barrier)
FAULT(fault_unwritten)
FAULT(fault_overrun)
FAULT(fault_simd)
FAULT(fault_sites)
FAULT(fault_return)
FAULT(fault_skip)
FAULT(fault_halves)
FAULT(fault_race)
