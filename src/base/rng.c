#include "base/rng.h"

#define PHILOX_ROUNDS 10

vmt_rng_block vmt_philox4x32(uint32_t key0, uint32_t key1, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3) {
    for (int i = 0; i < PHILOX_ROUNDS; i++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0;
        uint64_t b = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ key0;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ key1;
        c1 = (uint32_t)b;
        c3 = (uint32_t)a;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return (vmt_rng_block){{c0, c1, c2, c3}};
}

double vmt_rng_uniform(uint64_t seed, uint32_t stream, uint64_t counter) {
    vmt_rng_block block = vmt_philox4x32((uint32_t)seed, (uint32_t)(seed >> 32), (uint32_t)counter,
                                         (uint32_t)(counter >> 32), stream, 0);
    uint64_t bits = ((uint64_t)block.x[0] << 32 | block.x[1]) >> 12;
    /* Odd multiples of 2^-53: exact in a double, and neither end can be reached by rounding. */
    return (double)(2 * bits + 1) * 0x1p-53;
}

uint64_t vmt_splitmix64(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}
