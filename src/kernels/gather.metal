/* gather_rows: out[i] = x[row_ids[i]], or x[i]: a copy, whatever the type.
 *
 *   x        [.., row_vecs]        16-byte vectors
 *   row_ids  [num_rows]            int32, if args.has_row_ids
 *   out      [num_rows, row_vecs]  16-byte vectors
 *
 * Grid      (num_rows, ceil(row_vecs / 1024)); 256 threads, 4 vectors each: 64 bytes in flight. */
#include <metal_stdlib>
#include "kernels/gather_kargs.h"
using namespace metal;

constant constexpr uint GATHER_VECS = 4;

template <typename V>
[[kernel, max_total_threads_per_threadgroup(256)]] void
gather_rows(const device V *x [[buffer(0)]], const device int *row_ids [[buffer(1)]], device V *out [[buffer(2)]],
            constant vmt_gather_kargs &args [[buffer(3)]], uint3 tg [[threadgroup_position_in_grid]],
            uint tid [[thread_index_in_threadgroup]]) {
    uint source = args.has_row_ids != 0u ? uint(row_ids[tg.x]) : tg.x;
    const device V *from = x + ulong(source) * args.row_vecs;
    device V *to = out + ulong(tg.x) * args.row_vecs;
    const uint begin = tg.y * (256u * GATHER_VECS) + tid;
    V held[GATHER_VECS];
#pragma unroll
    for (uint i = 0; i < GATHER_VECS; i++) {
        uint v = begin + i * 256u;
        if (v < args.row_vecs) held[i] = from[v];
    }
#pragma unroll
    for (uint i = 0; i < GATHER_VECS; i++) {
        uint v = begin + i * 256u;
        if (v < args.row_vecs) to[v] = held[i];
    }
}

// ---- instantiations
template [[host_name("gather_rows")]] [[kernel]] decltype(gather_rows<uint4>) gather_rows<uint4>;
