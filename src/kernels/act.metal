/* act_mul: out = act(gate) * up.                                            reference: vmt_act_mul_ref()
 *
 *   gate_up  [num_rows, 2 * cols]  T   gate first, up at column cols
 *   out      [num_rows, cols]      T
 *
 * Grid      (num_rows, ceil(cols / 2048)); 256 threads, 8 columns each.
 * Requires  cols a multiple of 8.
 * Numerics  float. */
#include <metal_stdlib>
#include "kernels/act_kargs.h"
#include "kernels/activation.h"
#include "kernels/pack8.h"
using namespace metal;

METAL_FUNC float4 act_mul4(float4 gate, float4 up, uint act) {
    return float4(activate(gate.x, act) * up.x, activate(gate.y, act) * up.y, activate(gate.z, act) * up.z,
                  activate(gate.w, act) * up.w);
}

template <typename T>
[[kernel, max_total_threads_per_threadgroup(256)]] void
act_mul(const device T *gate_up [[buffer(0)]], device T *out [[buffer(1)]],
        constant vmt_act_kargs &args [[buffer(2)]], uint3 tg [[threadgroup_position_in_grid]],
        uint tid [[thread_index_in_threadgroup]]) {
    uint col = (tg.y * 256u + tid) * 8u;
    if (col >= args.cols) return;
    const device T *row = gate_up + ulong(tg.x) * (2u * args.cols) + col;
    pack8<T> gates = load8(row), ups = load8(row + args.cols);
    floats8 gate = unpack8(gates), up = unpack8(ups);
    device T *y = out + ulong(tg.x) * args.cols + col;
    store4(y, act_mul4(gate.lo, up.lo, args.act));
    store4(y + 4, act_mul4(gate.hi, up.hi, args.act));
}

// ---- instantiations
template [[host_name("act_mul_f32")]] [[kernel]] decltype(act_mul<float>) act_mul<float>;
template [[host_name("act_mul_f16")]] [[kernel]] decltype(act_mul<half>) act_mul<half>;
template [[host_name("act_mul_bf16")]] [[kernel]] decltype(act_mul<bfloat>) act_mul<bfloat>;
