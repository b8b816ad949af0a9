/* embed_gather: out[i] = scale * W[token_ids[i]], dequantized.   reference: vmt_matrix_row in tensor/matrix.c
 *
 *   data, scales, biases   W, as tensor/matrix.h has it; absent ones are never read
 *   token_ids  [num_rows]        int
 *   out        [num_rows, cols]  float
 *
 * Grid      threadgroups (num_rows, ceil(cols / 2048)); 128 threads, each takes 16 neighbouring columns.
 * Numerics  exactly the format's value times scale, one rounding each.  An id that is no row gives zeros. */
#include <metal_stdlib>
#include "kernels/copy.h"
#include "kernels/embed_gather_kargs.h"
#include "kernels/matmul_instances.h"
using namespace metal;

template <typename F, typename T>
[[kernel, max_total_threads_per_threadgroup(128)]]
void embed_gather(const device uchar *data [[buffer(0)]],
                  const device uchar *scales [[buffer(1)]],
                  const device uchar *biases [[buffer(2)]],
                  const device int *token_ids [[buffer(3)]],
                  device float *out [[buffer(4)]],
                  constant vmt_embed_gather_kargs &args [[buffer(5)]],
                  uint3 tg [[threadgroup_position_in_grid]],
                  uint tid [[thread_index_in_threadgroup]]) {
    wait_for_previous();
    uint column = (tg.y * 128 + tid) * 16, id = uint(token_ids[tg.x]);
    if (column >= args.cols) return;
    bool is_row = id < args.num_ids;
    F row;
    row.open(data, scales, biases, is_row ? id : 0, args.row_bytes, args.cols, args.group_shift);
    float w[16];
    row.run(column, w);
    device float *to = out + ulong(tg.x) * args.cols + column;
    uint count = min(args.cols - column, 16u);
    for (uint i = 0; i < count; i++) to[i] = is_row ? args.scale * w[i] : 0.0f;
}

// ---- instantiations
#define EMBED_GATHER(format, type, T)                                     \
    template [[host_name("embed_gather_" #format "_" #type)]] [[kernel]] \
    decltype(embed_gather<quant_##format<T>, T>) embed_gather<quant_##format<T>, T>;
VMT_MATMUL_FORMATS(EMBED_GATHER)
