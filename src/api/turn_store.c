#include "api/turn_store.h"

#include <pthread.h>
#include <stdlib.h>

#define NUM_BUCKETS 4096u /* a power of two */

struct entry {
    vmt_turn turn; /* first */
    struct entry *newer, *older;
    struct entry *next; /* in its bucket, newest first */
    size_t num_bytes;
    uint32_t num_refs; /* the store's own among them */
    int32_t ids[];
};

struct vmt_turn_store {
    pthread_mutex_t mutex;
    vmt_hash_key key;              /* constant */
    struct entry *newest, *oldest; /* under mutex, as all below it */
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

static void unlink_age(vmt_turn_store *store, struct entry *entry) {
    if (entry->newer) {
        entry->newer->older = entry->older;
    } else {
        store->newest = entry->older;
    }
    if (entry->older) {
        entry->older->newer = entry->newer;
    } else {
        store->oldest = entry->newer;
    }
}

static void link_newest(vmt_turn_store *store, struct entry *entry) {
    entry->newer = NULL;
    entry->older = store->newest;
    if (store->newest) {
        store->newest->newer = entry;
    } else {
        store->oldest = entry;
    }
    store->newest = entry;
}

static void drop(vmt_turn_store *store, struct entry *entry) {
    struct entry **at = bucket_of(store, entry->turn.key);
    while (*at != entry) at = &(*at)->next;
    *at = entry->next;
    unlink_age(store, entry);
    store->num_bytes -= entry->num_bytes;
    unref(entry);
}

void vmt_turn_store_destroy(vmt_turn_store *store) {
    if (!store) return;
    while (store->newest) drop(store, store->newest);
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
    link_newest(store, entry);
    store->num_bytes += num_bytes;
    while (store->num_bytes > VMT_TURNS_KEPT_BYTES_MAX) drop(store, store->oldest);
    pthread_mutex_unlock(&store->mutex);
}

uint32_t vmt_turn_store_find(vmt_turn_store *store, uint64_t key, const vmt_turn *found[VMT_TURNS_ALIKE_MAX]) {
    uint32_t count = 0;
    pthread_mutex_lock(&store->mutex);
    for (struct entry *entry = *bucket_of(store, key); entry && count < VMT_TURNS_ALIKE_MAX; entry = entry->next) {
        if (entry->turn.key != key) continue;
        entry->num_refs++;
        unlink_age(store, entry);
        link_newest(store, entry);
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
