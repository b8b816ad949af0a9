/* backend/host/host.h: the GPU driver that runs kernels on the CPU, to find their bugs.
 *
 * Unfriendly where Metal may be: work runs after commit, on other threads; dispatches between two barriers run in any
 * order; threadgroup memory is poisoned; a private buffer has no host address.  A kernel that breaks a rule (see
 * threadgroup.h) or writes behind a buffer fails its command buffer. */
#ifndef VMT_BACKEND_HOST_HOST_H
#define VMT_BACKEND_HOST_HOST_H

#include "backend/gpu.h"
#include "backend/host/threadgroup.h"

#define VMT_HOST_WORKERS_MAX 32u

typedef struct vmt_host_config {
    vmt_lane_order order;
    uint32_t num_workers; /* OS threads; 0: one per processor */
    uint64_t seed;        /* of the random orders */
} vmt_host_config;

/* config NULL: all zero.  VMT_E_UNSUPPORTED where the kernels were not built for the host. */
vmt_status vmt_host_gpu_open(vmt_gpu **out, const vmt_host_config *config, vmt_err *err);

#endif
