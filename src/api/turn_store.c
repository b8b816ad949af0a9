#include "api/turn_store.h"
#include "base/recency.h"

#include <pthread.h>
#include <stdlib.h>

#define NUM_BUCKETS 4096u /* a power of two */

struct entry {
    vmt_turn turn; /* first */
    vmt_recency_link use;
    struct entry *next; /* in its bucket, newest first */
    size_t num_bytes;
    uint32_t num_refs; /* the store's own among them */
    int32_t ids[];
};

struct vmt_turn_store {
    pthread_mutex_t mutex;
    vmt_hash_key key; /* constant */
    vmt_recency uses; /* under mutex, as all below it */
    struct entry *buckets[NUM_BUCKETS];
    size_t num_bytes;
};

vmt_turn_store *vmt_turn_store_create(void) {
    vmt_turn_store *store = calloc(1, sizeof *store);
    if (!store) return NULL;
    pthread_mutex_init(&store->mutex, NULL);
    store->key = vmt_hash_key_random();
    return store;
}

static struct entry **bucket_of(vmt_turn_store *store, uint64_t key) {
    return &store->buckets[key & (NUM_BUCKETS - 1)];
}

static void unref(struct entry *entry) {
    if (--entry->num_refs == 0) free(entry);
}

static void drop(vmt_turn_store *store, struct entry *entry) {
    struct entry **at = bucket_of(store, entry->turn.key);
    while (*at != entry) at = &(*at)->next;
    *at = entry->next;
    vmt_recency_remove(&store->uses, &entry->use);
    store->num_bytes -= entry->num_bytes;
    unref(entry);
}

static struct entry *oldest(const vmt_turn_store *store) {
    return VMT_RECENCY_ENTRY(store->uses.oldest, struct entry, use);
}

void vmt_turn_store_destroy(vmt_turn_store *store) {
    if (!store) return;
    while (store->uses.oldest) drop(store, oldest(store));
    pthread_mutex_destroy(&store->mutex);
    free(store);
}

void vmt_turn_store_put(vmt_turn_store *store, const vmt_turn *turn) {
    if (turn->num_ids > VMT_TURN_TOKENS_MAX) return;
    size_t ids_bytes = turn->num_ids * sizeof *turn->ids, num_bytes = sizeof(struct entry) + ids_bytes;
    struct entry *entry = malloc(num_bytes);
    if (!entry) return;
    *entry = (struct entry){.turn = *turn, .num_bytes = num_bytes, .num_refs = 1};
    if (ids_bytes) memcpy(entry->ids, turn->ids, ids_bytes);
    entry->turn.ids = entry->ids;
    pthread_mutex_lock(&store->mutex);
    for (struct entry *old = *bucket_of(store, turn->key); old; old = old->next) {
        if (old->turn.key != turn->key || !vmt_hash128_eq(old->turn.before, turn->before)) continue;
        drop(store, old);
        break;
    }
    entry->next = *bucket_of(store, turn->key);
    *bucket_of(store, turn->key) = entry;
    vmt_recency_add(&store->uses, &entry->use);
    store->num_bytes += num_bytes;
    while (store->num_bytes > VMT_TURNS_KEPT_BYTES_MAX) drop(store, oldest(store));
    pthread_mutex_unlock(&store->mutex);
}

uint32_t vmt_turn_store_find(vmt_turn_store *store, uint64_t key, const vmt_turn *found[VMT_TURNS_ALIKE_MAX]) {
    uint32_t count = 0;
    pthread_mutex_lock(&store->mutex);
    for (struct entry *entry = *bucket_of(store, key); entry && count < VMT_TURNS_ALIKE_MAX; entry = entry->next) {
        if (entry->turn.key != key) continue;
        entry->num_refs++;
        vmt_recency_touch(&store->uses, &entry->use);
        found[count++] = &entry->turn;
    }
    pthread_mutex_unlock(&store->mutex);
    return count;
}

void vmt_turn_store_release(vmt_turn_store *store, const vmt_turn *turn) {
    struct entry *entry = (struct entry *)(uintptr_t)turn;
    pthread_mutex_lock(&store->mutex);
    unref(entry);
    pthread_mutex_unlock(&store->mutex);
}

uint64_t vmt_turn_store_hash(const vmt_turn_store *store, vmt_str text) {
    return vmt_siphash64(store->key, text.ptr ? text.ptr : "", text.len);
}

vmt_hash128 vmt_turn_store_root(const vmt_turn_store *store, vmt_str cache_salt) {
    return vmt_siphash128(store->key, cache_salt.ptr ? cache_salt.ptr : "", cache_salt.len);
}
