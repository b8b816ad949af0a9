/* backend/host/workers.h: OS threads that run the threadgroups of dispatches between two barriers, in no good order. */
#ifndef VMT_BACKEND_HOST_WORKERS_H
#define VMT_BACKEND_HOST_WORKERS_H

#include "backend/gpu.h"
#include "backend/host/threadgroup.h"

typedef struct vmt_host_launch {
    const vmt_kernel *kernel;
    void *buffers[VMT_GPU_BUFFERS_MAX];
    _Alignas(16) uint8_t args[VMT_GPU_ARGS_MAX];
    uint32_t grid[3];
    uint32_t segment;
} vmt_host_launch;

typedef struct vmt_host_workers vmt_host_workers;

vmt_status vmt_host_workers_create(vmt_host_workers **out, uint32_t num_workers, vmt_err *err);
void vmt_host_workers_destroy(vmt_host_workers *workers);

/* Runs all of them and returns when they are done; the caller is a worker too. */
vmt_status vmt_host_workers_run(vmt_host_workers *workers, const vmt_host_launch *launches, uint32_t num_launches,
                                vmt_lane_order order, uint64_t seed, vmt_err *err);

#endif
