#include "base/hash.h"

#include <unistd.h>
#if __has_include(<sys/random.h>)
#include <sys/random.h>
#endif

#define ENTROPY_BYTES_MAX ((size_t)256) /* what one getentropy() call may give, by its contract */

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotl(uint64_t x, int bits) {
    return (x << bits) | (x >> (64 - bits));
}

static inline uint64_t load_le64(const uint8_t *p, size_t len) {
    uint64_t x = 0;
    for (size_t i = 0; i < len; i++) x |= (uint64_t)p[i] << (8 * i);
    return x;
}

static inline void sip_round(struct sip *s) {
    s->v0 += s->v1;
    s->v1 = rotl(s->v1, 13) ^ s->v0;
    s->v0 = rotl(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotl(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotl(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotl(s->v1, 17) ^ s->v2;
    s->v2 = rotl(s->v2, 32);
}

static inline void sip_absorb(struct sip *s, uint64_t word) {
    s->v3 ^= word;
    sip_round(s);
    sip_round(s);
    s->v0 ^= word;
}

static inline uint64_t sip_finish(struct sip *s) {
    for (int i = 0; i < 4; i++) sip_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

static struct sip sip_message(vmt_hash_key key, uint64_t v1_tweak, const uint8_t *data, size_t len) {
    struct sip s = {
        .v0 = key.k0 ^ UINT64_C(0x736f6d6570736575),
        .v1 = key.k1 ^ UINT64_C(0x646f72616e646f6d) ^ v1_tweak,
        .v2 = key.k0 ^ UINT64_C(0x6c7967656e657261),
        .v3 = key.k1 ^ UINT64_C(0x7465646279746573),
    };
    size_t whole = len & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8) sip_absorb(&s, load_le64(data + i, 8));
    uint64_t tail = (uint64_t)len << 56;
    if (len > whole) tail |= load_le64(data + whole, len - whole);
    sip_absorb(&s, tail);
    return s;
}

uint64_t vmt_siphash64(vmt_hash_key key, const void *data, size_t len) {
    struct sip s = sip_message(key, 0, data, len);
    s.v2 ^= 0xff;
    return sip_finish(&s);
}

vmt_hash128 vmt_siphash128(vmt_hash_key key, const void *data, size_t len) {
    struct sip s = sip_message(key, 0xee, data, len);
    s.v2 ^= 0xee;
    vmt_hash128 out;
    out.lo = sip_finish(&s);
    s.v1 ^= 0xdd;
    out.hi = sip_finish(&s);
    return out;
}

uint64_t vmt_hash_fast(const void *data, size_t len) {
    const uint8_t *p = data;
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < len; i++) h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    /* FNV's low bits mix poorly and tables index by them. */
    h ^= h >> 32;
    h *= UINT64_C(0xd6e8feb86659fd93);
    return h ^ (h >> 32);
}

void vmt_random_bytes(void *buf, size_t len) {
    uint8_t *p = buf;
    while (len > 0) {
        size_t part = VMT_MIN(len, ENTROPY_BYTES_MAX);
        VMT_ASSERT(getentropy(p, part) == 0);
        p += part;
        len -= part;
    }
}

vmt_hash_key vmt_hash_key_random(void) {
    vmt_hash_key key;
    vmt_random_bytes(&key, sizeof key);
    return key;
}
