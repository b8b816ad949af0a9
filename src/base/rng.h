/* base/rng.h: counter-based random numbers (Philox4x32-10, Salmon et al. 2011).
 *
 * A draw is a pure function of (seed, stream, counter): a request with a seed gets the same numbers whatever else
 * runs beside it, and a GPU can compute the same ones. */
#ifndef VMT_BASE_RNG_H
#define VMT_BASE_RNG_H

#include "base/status.h"

typedef struct vmt_rng_block {
    uint32_t x[4];
} vmt_rng_block;

/* Checked against the Random123 known-answer vectors. */
vmt_rng_block vmt_philox4x32(uint32_t key0, uint32_t key1, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3);
/* Uniform in (0, 1), 53 bits, for draw `counter` of `stream` under `seed`. */
double vmt_rng_uniform(uint64_t seed, uint32_t stream, uint64_t counter);

/* splitmix64, for tests, jitter and ids; advances *state. */
uint64_t vmt_splitmix64(uint64_t *state);

#endif
