/* kernels/kernels.h: the table of kernels, made from the .metal files by tools/kernelgen at build time.
 *
 * A kernel's buffers come first, at [[buffer(0)]] and up, then its argument struct at the next index.  How many threads
 * a threadgroup has is the kernel's own [[max_total_threads_per_threadgroup(n)]]. */
#ifndef VMT_KERNELS_KERNELS_H
#define VMT_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#define VMT_KERNEL_BUFFERS_MAX 24u

/* The host driver's entry, called once per thread: a vmt_host_lane (backend/host/lane.h).  Opaque here. */
typedef void (*vmt_host_kernel_fn)(void *lane);

typedef struct vmt_kernel {
    const char *name;   /* "rms_norm_bf16" */
    const char *file;   /* "rms_norm.metal" */
    const char *source; /* the file's text with its headers, without instantiations: Metal Shading Language */
    const char *instantiation; /* the line that makes this kernel of the source's template */
    const char *cuda_source;   /* the same text as C++ behind cuda/shim.h, without entries */
    const char *cuda_entry;    /* the __global__ function of this kernel's name */
    bool waits;                /* itself, for the dispatches that it depends on: copy.h */
    uint32_t threads;          /* of a threadgroup: whole simdgroups of 32 */
    uint32_t num_buffers;
    uint32_t written; /* bit i: buffer i is not const */
    uint32_t args_bytes;
    uint32_t threadgroup_bytes; /* static */
    vmt_host_kernel_fn host;    /* NULL where the kernels were not built for the host */
} vmt_kernel;

/* NULL when there is none. */
const vmt_kernel *vmt_kernel_find(const char *name);
uint32_t vmt_kernel_count(void);
const vmt_kernel *vmt_kernel_at(uint32_t kernel_idx);

#endif
