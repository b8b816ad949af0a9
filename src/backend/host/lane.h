/* backend/host/lane.h: what a kernel compiled for the host sees of its threadgroup.
 *
 * Each thread of a threadgroup (a lane) is a fiber.  It runs until it meets a barrier or a simd operation, and then the
 * next lane runs: so a lane sees what others wrote only where the kernel has a right to see it. */
#ifndef VMT_BACKEND_HOST_LANE_H
#define VMT_BACKEND_HOST_LANE_H

#include <stdint.h>

#if defined(__cplusplus)
extern "C" {
#endif

typedef struct vmt_host_lane {
    void *const *buffers; /* [num_buffers] addresses, offsets applied */
    const void *args;
    uint32_t group[3], grid[3]; /* this threadgroup's position, and how many there are */
    uint32_t thread_idx;
} vmt_host_lane;

/* Where a lane waits, for reports: "simd_sum", "rms_norm.metal", 41. */
typedef struct vmt_host_site {
    const char *op, *file;
    int line;
} vmt_host_site;

#define VMT_HOST_SLOT_BYTES 64u /* a lane's part of an exchange */

/* A call that must not be moved into one arm of a branch. */
#if defined(__clang__)
#define VMT_CONVERGENT __attribute__((convergent, noinline))
#else
#define VMT_CONVERGENT __attribute__((noinline))
#endif

VMT_CONVERGENT void vmt_host_barrier(vmt_host_site site);

/* Puts the lane's value (bytes <= VMT_HOST_SLOT_BYTES) beside those of its simdgroup and waits until all 32 are there;
 * combine, unless NULL, then sees them once and may change them.  Gives the 32 slots, VMT_HOST_SLOT_BYTES apart, valid
 * until the lane's next exchange. */
typedef void (*vmt_host_combine_fn)(void *slots);
VMT_CONVERGENT const void *vmt_host_exchange(const void *value, uint32_t bytes, vmt_host_combine_fn combine,
                                             vmt_host_site site);

VMT_CONVERGENT uint32_t vmt_host_lane_idx(void); /* in its simdgroup */

/* The next array of threadgroup memory; every lane asks for the same ones in the same order.  Never written: poison. */
VMT_CONVERGENT void *vmt_host_threadgroup_array(uint32_t bytes);

#if defined(__cplusplus)
}
#endif

#endif
