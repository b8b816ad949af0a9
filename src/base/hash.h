/* base/hash.h: keyed hashes.  Tables that strangers can fill use them with a per-process random key. */
#ifndef VMT_BASE_HASH_H
#define VMT_BASE_HASH_H

#include "base/str.h"

typedef struct vmt_hash128 {
    uint64_t lo, hi;
} vmt_hash128;

static inline bool vmt_hash128_eq(vmt_hash128 a, vmt_hash128 b) {
    return a.lo == b.lo && a.hi == b.hi;
}
static inline bool vmt_hash128_is_zero(vmt_hash128 a) {
    return (a.lo | a.hi) == 0;
}

typedef struct vmt_hash_key {
    uint64_t k0, k1;
} vmt_hash_key;

/* From the operating system's random source; aborts the process if there is none. */
vmt_hash_key vmt_hash_key_random(void);
/* SipHash-2-4, 64 and 128 bit outputs (Aumasson and Bernstein 2012); checked against the reference vectors. */
uint64_t vmt_siphash64(vmt_hash_key key, const void *data, size_t len);
vmt_hash128 vmt_siphash128(vmt_hash_key key, const void *data, size_t len);
/* Unkeyed and fast (FNV-1a with a final mix): only for tables whose keys we choose ourselves. */
uint64_t vmt_hash_fast(const void *data, size_t len);

/* Fills buf from the operating system's random source. */
void vmt_random_bytes(void *buf, size_t len);

#endif
