/* backend/cuda/spread.h: threadgroups dealt out evenly to the card's multiprocessors.
 *
 * Threadgroups that come early take the room that others leave, and so some multiprocessors would have more of them to
 * do than others.  With so much threadgroup memory, unused, one has no room for more than its share. */
#ifndef VMT_BACKEND_CUDA_SPREAD_H
#define VMT_BACKEND_CUDA_SPREAD_H

#include <stdint.h>

typedef struct vmt_cuda_shared {
    uint32_t core;     /* bytes of threadgroup memory of a multiprocessor */
    uint32_t group;    /* ... that a threadgroup may have */
    uint32_t reserved; /* ... that the driver takes of each threadgroup's */
} vmt_cuda_shared;

/* Bytes beside its own that a threadgroup asks for; 0 where no more than a share fits anyway.  own <= group, num_cores
 * > 0. */
uint32_t vmt_cuda_spread_bytes(vmt_cuda_shared shared, uint64_t num_groups, uint32_t num_cores, uint32_t own);

#endif
