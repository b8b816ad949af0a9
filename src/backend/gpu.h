/* backend/gpu.h: a GPU as the ops see it: memory, kernels by name, command buffers, completion.
 *
 * Modelled on Metal, because Metal is the product: asynchronous command buffers, dispatches that may overlap, explicit
 * barriers.  Three drivers: `metal` (metal/), `host` (host/: the same kernels compiled for the CPU, deliberately
 * unfriendly: it finds bugs) and `cuda` (cuda/: the same kernels through NVRTC).
 *
 *   begin ─► dispatch, dispatch, barrier, dispatch ... ─► commit ─► (runs) ─► wait
 *
 * Within a command buffer, dispatches with no barrier between them may run in any order or at once; a barrier orders
 * all before it against all after it.  Command buffers of one device run in the order of their commits, one after the
 * other.  Memory that a dispatch reads or writes belongs to the device from commit() until the command buffer is done.
 *
 * One thread drives a device at a time.  Memory is taken at start and given back at the end: no buffer is created in a
 * steady state. */
#ifndef VMT_BACKEND_GPU_H
#define VMT_BACKEND_GPU_H

#include "kernels/kernels.h"
#include "tensor/tensor.h"

#define VMT_GPU_BUFFERS_MAX     VMT_KERNEL_BUFFERS_MAX
#define VMT_GPU_ARGS_MAX        512u           /* bytes of a dispatch's argument struct (Metal allows 4 KiB) */
#define VMT_GPU_THREADGROUP_MAX 32768u         /* bytes of threadgroup memory of a kernel, on every driver */
#define VMT_GPU_IN_FLIGHT_MAX   8u             /* command buffers committed and not done; begin() past it waits */
#define VMT_GPU_ROOM_WAIT_NS    10000000000ull /* and fails after so long */

typedef struct vmt_gpu vmt_gpu;
typedef struct vmt_gpu_pipeline vmt_gpu_pipeline; /* a kernel ready to run; the device's, until close() */

typedef enum vmt_gpu_memory {
    VMT_GPU_SHARED,  /* the host sees it at buffer.host: inputs and results of a step */
    VMT_GPU_PRIVATE, /* the device's alone where memory is not unified; host is NULL there */
} vmt_gpu_memory;

typedef struct vmt_gpu_caps {
    char name[64];            /* "Apple M4 Max" */
    uint32_t generation;      /* Apple: 13 (M1) .. 17 (M5); 0 elsewhere */
    char size_class;          /* Apple: 'g' base or Pro, 's' Max, 'd' Ultra; 0 elsewhere */
    uint32_t num_cores;       /* GPU cores, or multiprocessors */
    bool is_unified;          /* wrap() is zero-copy; elsewhere it uploads */
    bool has_async_copy;      /* to threadgroup memory, behind the kernel; 16-bit matrices are multiplied, too */
    bool has_gemm;            /* matmul_tiled of plain weights is a call of the vendor's library */
    size_t buffer_bytes_max;  /* longest single buffer */
    size_t working_set_bytes; /* what the system advises to use at most */
    size_t page_bytes;        /* wrap() wants addresses and lengths that are multiples of it */
} vmt_gpu_caps;

typedef struct vmt_gpu_binding {
    const vmt_buffer *buffer; /* of this device */
    size_t offset;            /* bytes; a multiple of 4 */
} vmt_gpu_binding;

typedef struct vmt_gpu_dispatch {
    vmt_gpu_pipeline *pipeline;
    vmt_gpu_binding
        buffers[VMT_GPU_BUFFERS_MAX]; /* [kernel->num_buffers] none absent: a kernel that does not use one
                                                     is given any other */
    const void *args;                 /* [kernel->args_bytes] copied; bound behind the buffers */
    bool is_spread;                   /* evenly over the cores, where the driver can see to it */
    uint32_t grid[3];                 /* threadgroups; of kernel->threads threads each */
} vmt_gpu_dispatch;

typedef struct vmt_gpu_counts { /* since open() */
    uint64_t num_dispatches, num_barriers, num_commits;
    uint64_t gpu_ns; /* time on the device of command buffers that are done */
} vmt_gpu_counts;

typedef struct vmt_gpu_vtable {
    void (*close)(vmt_gpu *gpu);
    vmt_status (*alloc)(vmt_gpu *gpu, vmt_buffer *out, size_t bytes, vmt_gpu_memory memory, vmt_err *err);
    vmt_status (*wrap)(vmt_gpu *gpu, vmt_buffer *out, const void *host, size_t bytes, vmt_err *err);
    void (*release)(vmt_gpu *gpu, vmt_buffer *buffer);
    vmt_status (*pipeline)(vmt_gpu *gpu, const vmt_kernel *kernel, vmt_gpu_pipeline **out, vmt_err *err);
    vmt_status (*begin)(vmt_gpu *gpu, vmt_err *err);
    void (*dispatch)(vmt_gpu *gpu, const vmt_gpu_dispatch *dispatch);
    void (*barrier)(vmt_gpu *gpu);
    vmt_status (*commit)(vmt_gpu *gpu, uint64_t *ticket, vmt_err *err);
    vmt_status (*wait)(vmt_gpu *gpu, uint64_t ticket, uint64_t timeout_ns, vmt_err *err);
} vmt_gpu_vtable;

/* A driver's own struct begins with this. */
struct vmt_gpu {
    const vmt_gpu_vtable *vt;
    const char *driver; /* "metal", "host", "cuda" */
    vmt_gpu_caps caps;
    vmt_gpu_counts counts;
    uint8_t *distrusted; /* [vmt_kernel_count()] or NULL: none is */
};
struct vmt_gpu_pipeline {
    const vmt_kernel *kernel;
};

/* name: "metal", "cuda" or "host"; "cuda-kernels" is cuda without NVIDIA's library.  "cuda:/some/folder" keeps compiled
 * kernels in that folder, which exists.
 * VMT_E_UNSUPPORTED: it can't be had here, and why. */
vmt_status vmt_gpu_open(vmt_gpu **out, const char *name, vmt_err *err);
void vmt_gpu_close(vmt_gpu *gpu); /* waits for what runs; after every buffer was released; NULL is fine */

/* Zeroed memory; what the driver rounds bytes up to is not seen. */
vmt_status vmt_gpu_alloc(vmt_gpu *gpu, vmt_buffer *out, size_t bytes, vmt_gpu_memory memory, vmt_err *err);
/* Host memory that outlives the buffer and is never written while it lives (a mapped file): seen in place where memory
 * is unified, uploaded elsewhere.  host and bytes are multiples of caps.page_bytes; bytes at most
 * caps.buffer_bytes_max. */
vmt_status vmt_gpu_wrap(vmt_gpu *gpu, vmt_buffer *out, const void *host, size_t bytes, vmt_err *err);
void vmt_gpu_release(vmt_gpu *gpu, vmt_buffer *buffer); /* an all-zero buffer is fine */

/* The kernel of that name, compiled if it was not yet.  VMT_E_NOT_FOUND: there is none; VMT_E_UNSUPPORTED: it does not
 * compile here; err has the kernel's name and the compiler's first message. */
vmt_status vmt_gpu_pipeline_get(vmt_gpu *gpu, const char *kernel, vmt_gpu_pipeline **out, vmt_err *err);

/* A kernel that was found wrong on this device is not handed out any more: pipeline_get() fails, and ops that have
 * another way take it.  One that does not compile is distrusted by itself.  Each is logged once, with its reason. */
void vmt_gpu_distrust(vmt_gpu *gpu, const vmt_kernel *kernel, const char *reason);
bool vmt_gpu_trusts(const vmt_gpu *gpu, const char *kernel); /* true for names that there are none of */

/* Encoding.  begin() opens a command buffer, commit() closes it and gives its ticket (1, 2, ...). */
vmt_status vmt_gpu_begin(vmt_gpu *gpu, vmt_err *err);
void vmt_gpu_dispatch_add(vmt_gpu *gpu, const vmt_gpu_dispatch *dispatch);
void vmt_gpu_barrier(vmt_gpu *gpu);
vmt_status vmt_gpu_commit(vmt_gpu *gpu, uint64_t *ticket, vmt_err *err);
/* The command buffer and all before it are done.  VMT_E_EXHAUSTED: not within timeout_ns; VMT_E_IO: it failed, with
 * the driver's reason.  After a failure the device must be closed.  A ticket may be waited for again. */
vmt_status vmt_gpu_wait(vmt_gpu *gpu, uint64_t ticket, uint64_t timeout_ns, vmt_err *err);

#endif
