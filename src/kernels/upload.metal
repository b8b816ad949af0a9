/* upload: lists of words from memory that the host fills to the same places of the device's own.
 *
 *   from  [..]  a vmt_upload_header, and the lists that it names
 *   to    [..]  as long; what no list covers keeps what it had
 *
 * Grid      (args.num_threadgroups), at least one for each list; 256 threads.  Threadgroups take lists in turn, so that
 *           all lists are on the way at once.
 * Memory    threadgroup: the header, read once by each: the host's memory is a bus away. */
#include <metal_stdlib>
#include "kernels/copy.h"
#include "kernels/upload_kargs.h"
using namespace metal;

constant constexpr uint HEADER_WORDS = 4 + 4 * VMT_UPLOAD_LISTS_MAX;

template <typename W>
[[kernel, max_total_threads_per_threadgroup(256)]] void
upload(const device W *from [[buffer(0)]], device W *to [[buffer(1)]], constant vmt_upload_kargs &args [[buffer(2)]],
       uint3 tg [[threadgroup_position_in_grid]], uint tid [[thread_index_in_threadgroup]]) {
    threadgroup uint header[HEADER_WORDS];
    wait_for_previous();
    if (tid < HEADER_WORDS) header[tid] = from[tid];
    threadgroup_barrier(mem_flags::mem_threadgroup);
    uint num_lists = min(header[0], uint(VMT_UPLOAD_LISTS_MAX));
    if (num_lists == 0) return;
    uint i = tg.x % num_lists, num_groups = (args.num_threadgroups - i + num_lists - 1) / num_lists;
    uint begin = header[4 + 4 * i], num_rows = header[5 + 4 * i], num_cols = header[6 + 4 * i];
    uint stride = header[7 + 4 * i], num_words = num_rows * num_cols;
    for (uint word = tg.x / num_lists * 256u + tid; word < num_words; word += num_groups * 256u) {
        uint at = begin + word / num_cols * stride + word % num_cols;
        to[at] = from[at];
    }
}

// ---- instantiations
template [[host_name("upload")]] [[kernel]] decltype(upload<uint>) upload<uint>;
