/* text/grammar_answers.c: the cache of what states say without their stacks: a hash table and a list by last use, under
 * one lock that is held for a look-up only. */
#include "text/grammar_private.h"

#include <stdlib.h>

#define NUM_BUCKETS 16384u

struct vmt_mask_cache {
    pthread_mutex_t lock;
    size_t bytes, bytes_max;
    vmt_mask_answer *newest, *oldest;
    vmt_mask_answer *buckets[NUM_BUCKETS];
};

vmt_mask_cache *vmt_mask_cache_create(size_t bytes_max) {
    vmt_mask_cache *cache = calloc(1, sizeof *cache);
    if (!cache) return NULL;
    VMT_ASSERT(pthread_mutex_init(&cache->lock, NULL) == 0);
    cache->bytes_max = bytes_max;
    return cache;
}

void vmt_mask_answer_release(vmt_mask_answer *answer) {
    if (answer && atomic_fetch_sub(&answer->num_refs, 1) == 1) free(answer);
}

static void unlink_use(vmt_mask_cache *cache, vmt_mask_answer *a) {
    if (a->newer)
        a->newer->older = a->older;
    else
        cache->newest = a->older;
    if (a->older)
        a->older->newer = a->newer;
    else
        cache->oldest = a->newer;
}

static void link_newest(vmt_mask_cache *cache, vmt_mask_answer *a) {
    a->newer = NULL;
    a->older = cache->newest;
    if (cache->newest)
        cache->newest->newer = a;
    else
        cache->oldest = a;
    cache->newest = a;
}

static void evict(vmt_mask_cache *cache, vmt_mask_answer *a) {
    vmt_mask_answer **at = &cache->buckets[a->hash % NUM_BUCKETS];
    while (*at != a) at = &(*at)->next;
    *at = a->next;
    unlink_use(cache, a);
    cache->bytes -= a->bytes;
    vmt_mask_answer_release(a);
}

void vmt_mask_cache_destroy(vmt_mask_cache *cache) {
    if (!cache) return;
    while (cache->oldest) evict(cache, cache->oldest);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

/* The content is a keyed hash already. */
static uint32_t hash_key(const vmt_mask_key *key) {
    uint64_t h = key->rule.lo ^ ((uint64_t)key->state << 32 | (uint32_t)key->room << 16 | key->need);
    h *= 0x9E3779B97F4A7C15u;
    return (uint32_t)(h >> 32);
}

static bool keys_equal(const vmt_mask_key *a, const vmt_mask_key *b) {
    return vmt_hash128_eq(a->rule, b->rule) && a->state == b->state && a->room == b->room && a->need == b->need;
}

static vmt_mask_answer *look_up(vmt_mask_cache *cache, const vmt_mask_key *key, uint32_t hash) {
    vmt_mask_answer *a = cache->buckets[hash % NUM_BUCKETS];
    while (a && !(a->hash == hash && keys_equal(&a->key, key))) a = a->next;
    return a;
}

vmt_mask_answer *vmt_mask_cache_find(vmt_mask_cache *cache, const vmt_mask_key *key) {
    pthread_mutex_lock(&cache->lock);
    vmt_mask_answer *a = look_up(cache, key, hash_key(key));
    if (a) {
        atomic_fetch_add_explicit(&a->num_refs, 1, memory_order_relaxed);
        if (cache->newest != a) {
            unlink_use(cache, a);
            link_newest(cache, a);
        }
    }
    pthread_mutex_unlock(&cache->lock);
    return a;
}

void vmt_mask_cache_put(vmt_mask_cache *cache, const vmt_mask_answer *answer) {
    size_t bytes = sizeof *answer + ((size_t)answer->num_tokens + answer->num_exits) * sizeof(uint32_t);
    vmt_mask_answer *a = bytes <= cache->bytes_max ? malloc(bytes) : NULL;
    if (!a) return;
    *a = *answer;
    a->bytes = bytes;
    a->hash = hash_key(&answer->key);
    atomic_init(&a->num_refs, 1);
    a->tokens = (uint32_t *)(a + 1);
    a->exits = a->tokens + a->num_tokens;
    if (a->num_tokens > 0) memcpy(a->tokens, answer->tokens, a->num_tokens * sizeof *a->tokens);
    if (a->num_exits > 0) memcpy(a->exits, answer->exits, a->num_exits * sizeof *a->exits);
    pthread_mutex_lock(&cache->lock);
    if (look_up(cache, &a->key, a->hash)) { /* another thread was faster */
        free(a);
    } else {
        while (cache->bytes + bytes > cache->bytes_max) evict(cache, cache->oldest);
        a->next = cache->buckets[a->hash % NUM_BUCKETS];
        cache->buckets[a->hash % NUM_BUCKETS] = a;
        link_newest(cache, a);
        cache->bytes += bytes;
    }
    pthread_mutex_unlock(&cache->lock);
}
