/* backend/cuda/stream.h: recorded dispatches on their way to the card: launches, graphs, completion. */
#ifndef VMT_BACKEND_CUDA_STREAM_H
#define VMT_BACKEND_CUDA_STREAM_H

#include "backend/cuda/gemm.h"
#include "backend/gpu.h"

typedef struct vmt_cuda_launch {
    CUfunction function;
    const vmt_kernel *kernel;
    vmt_cuda_gemm *gemm; /* does it in the kernel's place where it can; NULL: the kernel does */
    CUdeviceptr buffers[VMT_GPU_BUFFERS_MAX];
    _Alignas(16) uint8_t args[VMT_GPU_ARGS_MAX];
    uint32_t grid[3];
    uint32_t shared_bytes; /* beside the kernel's own */
    uint32_t segment;      /* launches between two barriers have one number */
} vmt_cuda_launch;

typedef struct vmt_cuda_stream vmt_cuda_stream;

/* overlaps: in a graph, kernels that wait come to the card before those they depend on are done (kernels/copy.h); needs
 * compute capability 9. */
vmt_status vmt_cuda_stream_create(vmt_cuda_stream **out, const vmt_cuda_api *api, bool overlaps, vmt_err *err);
void vmt_cuda_stream_destroy(vmt_cuda_stream *stream); /* waits; NULL is fine */

/* The next command buffer.  begin() waits while VMT_GPU_IN_FLIGHT_MAX are on their way. */
vmt_status vmt_cuda_stream_begin(vmt_cuda_stream *stream, vmt_err *err);
/* An all-zero launch to fill in; NULL without memory, and then commit() says so. */
vmt_cuda_launch *vmt_cuda_stream_add(vmt_cuda_stream *stream);
void vmt_cuda_stream_barrier(vmt_cuda_stream *stream);
vmt_status vmt_cuda_stream_commit(vmt_cuda_stream *stream, uint64_t *ticket, vmt_err *err);
/* As vmt_gpu_wait(). */
vmt_status vmt_cuda_stream_wait(vmt_cuda_stream *stream, uint64_t ticket, uint64_t timeout_ns, vmt_err *err);
/* Time on the card of command buffers that are done. */
uint64_t vmt_cuda_stream_gpu_ns(const vmt_cuda_stream *stream);

/* Fills err from a result of the driver: "what: CUDA_ERROR_...". */
vmt_status vmt_cuda_fail(const vmt_cuda_api *api, CUresult result, vmt_err *err, const char *what);

#endif
