/* text/word_cache.h: words seen before and their ids, so that most words of a text cost one cache line.
 *
 * Short words (most) lie in sets of two per line; longer ones have a line each, and so have short ones of more than
 * three tokens, beside an entry that says so.  A full set forgets its older word.
 * One cache belongs to one scratch and one tokenizer. */
#ifndef VMT_TEXT_WORD_CACHE_H
#define VMT_TEXT_WORD_CACHE_H

#include "text/vocab.h"

#define VMT_CACHE_SHORT_SETS (1u << 15) /* 2 MiB; lines are fetched ahead, so it may outgrow a core's cache */
#define VMT_CACHE_LONG_SLOTS (1u << 14) /* 1 MiB */
#define VMT_CACHE_SHORT_MAX  15u        /* bytes of a short word */
#define VMT_CACHE_LONG_MAX   32u
#define VMT_CACHE_SHORT_IDS  3u
#define VMT_CACHE_LONG_IDS   7u

typedef struct vmt_short_key {
    uint64_t lo, hi; /* the bytes, zero-padded; the length in the top byte.  A word is never empty: 0 is no word */
} vmt_short_key;

typedef struct vmt_short_entry {
    vmt_short_key key;
    int32_t ids[VMT_CACHE_SHORT_IDS];
    uint32_t num_ids; /* more than VMT_CACHE_SHORT_IDS: they are among the long ones, if not forgotten */
} vmt_short_entry;

typedef struct vmt_short_set {
    vmt_short_entry way[2]; /* the newer first */
} vmt_short_set;

typedef struct vmt_long_entry {
    uint64_t key[4];
    uint8_t len; /* 0: empty */
    uint8_t num_ids;
    uint8_t unused[2];
    int32_t ids[VMT_CACHE_LONG_IDS];
} vmt_long_entry;

typedef struct vmt_word_cache {
    vmt_short_set *sets;
    vmt_long_entry *slots;
    void *memory;
} vmt_word_cache;

bool vmt_word_cache_init(vmt_word_cache *cache);
void vmt_word_cache_reset(vmt_word_cache *cache);

/* 1 <= len <= VMT_CACHE_SHORT_MAX.  Memory up to readable_end may be loaded. */
static inline vmt_short_key vmt_short_key_of(const uint8_t *word, size_t len, const uint8_t *readable_end) {
    vmt_short_key key;
    if (VMT_LIKELY(word + 16 <= readable_end)) {
        memcpy(&key, word, 16);
        uint32_t over = 8 * (uint32_t)len; /* bits */
        key.hi = over <= 64 ? 0 : key.hi & (UINT64_MAX >> (128 - over));
        key.lo = over >= 64 ? key.lo : key.lo & (UINT64_MAX >> (64 - over));
    } else {
        key.lo = vmt_load_upto8(word, VMT_MIN(len, 8));
        key.hi = len > 8 ? vmt_load_upto8(word + 8, len - 8) : 0;
    }
    key.hi |= (uint64_t)len << 56;
    return key;
}

static inline vmt_short_set *vmt_short_set_of(const vmt_word_cache *cache, vmt_short_key key, uint64_t seed) {
    uint64_t h = vmt_mix64(key.lo ^ seed, key.hi ^ 0x9E3779B97F4A7C15u);
    return &cache->sets[h >> 20 & (VMT_CACHE_SHORT_SETS - 1)];
}

static inline const vmt_short_entry *vmt_short_find(const vmt_short_set *set, vmt_short_key key) {
    if (((set->way[0].key.lo ^ key.lo) | (set->way[0].key.hi ^ key.hi)) == 0) return &set->way[0];
    if (((set->way[1].key.lo ^ key.lo) | (set->way[1].key.hi ^ key.hi)) == 0) return &set->way[1];
    return NULL;
}

void vmt_short_put(vmt_short_set *set, vmt_short_key key, const int32_t *ids, size_t num_ids);

/* 1 <= len <= VMT_CACHE_LONG_MAX.  The slot where the word is or belongs; *hit says which. */
vmt_long_entry *vmt_long_slot(const vmt_word_cache *cache, const uint8_t *word, size_t len, vmt_hash_key seed,
                              bool *hit);
void vmt_long_put(vmt_long_entry *slot, const uint8_t *word, size_t len, const int32_t *ids, size_t num_ids);

#endif
