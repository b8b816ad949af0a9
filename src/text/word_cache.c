#include "text/word_cache.h"
#include <stdlib.h>

#define LINE 64u

bool vmt_word_cache_init(vmt_word_cache *cache) {
    _Static_assert(sizeof(vmt_short_set) == LINE && sizeof(vmt_long_entry) == LINE, "one line each");
    size_t short_bytes = VMT_CACHE_SHORT_SETS * sizeof *cache->sets;
    /* calloc, so that pages no word has touched cost nothing; aligned by hand. */
    cache->memory = calloc(1, short_bytes + VMT_CACHE_LONG_SLOTS * sizeof *cache->slots + LINE);
    if (!cache->memory) return false;
    uintptr_t begin = ((uintptr_t)cache->memory + LINE - 1) & ~(uintptr_t)(LINE - 1);
    cache->sets = (vmt_short_set *)begin;
    cache->slots = (vmt_long_entry *)(begin + short_bytes);
    return true;
}

void vmt_word_cache_reset(vmt_word_cache *cache) {
    free(cache->memory);
    *cache = (vmt_word_cache){0};
}

void vmt_short_put(vmt_short_set *set, vmt_short_key key, const int32_t *ids, size_t num_ids) {
    set->way[1] = set->way[0];
    set->way[0].key = key;
    memcpy(set->way[0].ids, ids, VMT_MIN(num_ids, VMT_CACHE_SHORT_IDS) * sizeof *ids);
    set->way[0].num_ids = (uint32_t)num_ids;
}

static void long_key(const uint8_t *word, size_t len, uint64_t key[4]) {
    memset(key, 0, 4 * sizeof *key);
    memcpy(key, word, len);
}

vmt_long_entry *vmt_long_slot(const vmt_word_cache *cache, const uint8_t *word, size_t len, vmt_hash_key seed,
                              bool *hit) {
    uint64_t key[4];
    long_key(word, len, key);
    uint64_t h = vmt_mix64(key[0] ^ seed.k0, key[1] ^ seed.k1 ^ len);
    h = vmt_mix64(h ^ key[2], key[3] ^ 0xD6E8FEB86659FD93u);
    vmt_long_entry *slot = &cache->slots[(h ^ h >> 32) & (VMT_CACHE_LONG_SLOTS - 1)];
    *hit = slot->len == len && memcmp(slot->key, key, sizeof key) == 0;
    return slot;
}

void vmt_long_put(vmt_long_entry *slot, const uint8_t *word, size_t len, const int32_t *ids, size_t num_ids) {
    if (num_ids > VMT_CACHE_LONG_IDS) return;
    long_key(word, len, slot->key);
    slot->len = (uint8_t)len;
    slot->num_ids = (uint8_t)num_ids;
    memcpy(slot->ids, ids, num_ids * sizeof *ids);
}
