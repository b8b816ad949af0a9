/* backend/host/threadgroup.h: runs one threadgroup of a kernel, lane by lane, on the calling OS thread.
 *
 * Lanes switch at barriers and simd operations only.  When no lane can go on and some are not done, the kernel broke a
 * rule (a simd_sum that some lanes skip, a barrier after an early return), and the error lists the lanes by what they
 * wait for.  Threadgroup memory holds a poison until the kernel writes it: 0xFF bytes, NaN in every float type. */
#ifndef VMT_BACKEND_HOST_THREADGROUP_H
#define VMT_BACKEND_HOST_THREADGROUP_H

#include "backend/host/lane.h"
#include "base/status.h"
#include "kernels/kernels.h"

/* In which order lanes that could all run do run. */
typedef enum vmt_lane_order {
    VMT_LANES_MIXED, /* each dispatch takes the next of the other three */
    VMT_LANES_FORWARD,
    VMT_LANES_BACKWARD,
    VMT_LANES_RANDOM,
} vmt_lane_order;

typedef struct vmt_threadgroup vmt_threadgroup; /* stacks and memory for one threadgroup at a time; one thread's */

vmt_status vmt_threadgroup_create(vmt_threadgroup **out, vmt_err *err);
void vmt_threadgroup_destroy(vmt_threadgroup *group); /* NULL is fine */

/* order is not MIXED; seed matters to RANDOM.  VMT_E_INTERNAL: the kernel broke a rule. */
vmt_status vmt_threadgroup_run(vmt_threadgroup *group, const vmt_kernel *kernel, const vmt_host_lane *lane,
                               vmt_lane_order order, uint64_t seed, vmt_err *err);

#endif
