/* backend/cuda/cuda.h: the GPU driver for NVIDIA's cards: the same kernels through NVRTC.
 *
 * A command buffer is recorded and goes to one stream at commit.  One that was committed before byte for byte (a decode
 * step of the same batch) goes as a graph, in which dispatches between two barriers may overlap.  Private memory is the
 * card's; shared memory is the host's, seen through the bus: for the small arrays of a step. */
#ifndef VMT_BACKEND_CUDA_CUDA_H
#define VMT_BACKEND_CUDA_CUDA_H

#include "backend/gpu.h"

typedef struct vmt_cuda_config {
    const char *cache_dir; /* an existing folder for compiled kernels; NULL: compile each time */
    uint32_t device_idx;
    bool is_without_library; /* kernels multiply what cuBLASLt could */
} vmt_cuda_config;

/* config NULL: all zero.  VMT_E_UNSUPPORTED: no driver, no card, or one older than compute capability 8.0. */
vmt_status vmt_cuda_gpu_open(vmt_gpu **out, const vmt_cuda_config *config, vmt_err *err);

#endif
