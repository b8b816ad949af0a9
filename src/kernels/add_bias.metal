/* add_bias: out += scale * bias.                                            reference: ops/gpu_act_test.c
 *
 *   bias  [cols]              float
 *   out   [num_rows, stride]  T      columns from cols on are left as they are
 *
 * Grid      (num_rows, ceil(cols / 2048)); 256 threads, 8 columns each.
 * Requires  cols and stride multiples of 8.
 * Numerics  float, rounded to T once. */
#include <metal_stdlib>
#include "kernels/add_bias_kargs.h"
#include "kernels/pack8.h"
using namespace metal;

template <typename T>
[[kernel, max_total_threads_per_threadgroup(256)]] void
add_bias(const device float *bias [[buffer(0)]], device T *out [[buffer(1)]],
         constant vmt_add_bias_kargs &args [[buffer(2)]], uint3 tg [[threadgroup_position_in_grid]],
         uint tid [[thread_index_in_threadgroup]]) {
    uint col = (tg.y * 256u + tid) * 8u;
    if (col >= args.cols) return;
    device T *y = out + ulong(tg.x) * args.stride + col;
    pack8<T> sums = load8(y);
    pack8<float> biases = load8(bias + col);
    floats8 sum = unpack8(sums);
    store4(y, sum.lo + biases.lo * args.scale);
    store4(y + 4, sum.hi + biases.hi * args.scale);
}

// ---- instantiations
template [[host_name("add_bias_f32")]] [[kernel]] decltype(add_bias<float>) add_bias<float>;
template [[host_name("add_bias_f16")]] [[kernel]] decltype(add_bias<half>) add_bias<half>;
template [[host_name("add_bias_bf16")]] [[kernel]] decltype(add_bias<bfloat>) add_bias<bfloat>;
