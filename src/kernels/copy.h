/* kernels/copy.h: 16 bytes from device to threadgroup memory, behind the reader's back where the device can.
 *
 *   copy_16(to, from) ... copy_commit();  ...  copy_wait<N>();  threadgroup_barrier(...)
 *
 * copy_16_cached(): of what other threadgroups read as well.
 * copy_wait<N>: all but this thread's last N commits have arrived.  Both addresses are multiples of 16.
 * Apple and the host copy at once; CUDA (backend/cuda/copy.h) in the background.
 *
 * wait_for_previous(): CUDA brings a kernel's threadgroups to the card while what it depends on still runs, if every
 * kernel of its file calls this.  Until then they may read what no dispatch ever writes, which are weights, and write
 * nothing. */
#ifndef VMT_KERNELS_COPY_H
#define VMT_KERNELS_COPY_H

#include <metal_stdlib>
using namespace metal;

template <typename T> METAL_FUNC void copy_16(threadgroup T *to, const device T *from) {
    *(threadgroup uint4 *)to = *(const device uint4 *)from;
}
template <typename T> METAL_FUNC void copy_16_cached(threadgroup T *to, const device T *from) {
    copy_16(to, from);
}
METAL_FUNC void copy_commit() {}
template <int N> METAL_FUNC void copy_wait() {}

METAL_FUNC void wait_for_previous() {}

#endif
