#include "api/response_store.h"
#include "base/recency.h"

#include <pthread.h>
#include <stdlib.h>

struct entry {
    vmt_recency_link use;
    vmt_str id, items, object; /* in bytes */
    size_t num_bytes;
    char bytes[];
};

struct vmt_response_store {
    pthread_mutex_t mutex;
    vmt_recency uses; /* under mutex, as all below it */
    uint32_t num_entries;
    size_t num_bytes;
};

vmt_response_store *vmt_response_store_create(void) {
    vmt_response_store *store = calloc(1, sizeof *store);
    if (store) pthread_mutex_init(&store->mutex, NULL);
    return store;
}

static struct entry *entry_of(vmt_recency_link *use) {
    return VMT_RECENCY_ENTRY(use, struct entry, use);
}

static void drop(vmt_response_store *store, struct entry *entry) {
    vmt_recency_remove(&store->uses, &entry->use);
    store->num_entries--;
    store->num_bytes -= entry->num_bytes;
    free(entry);
}

void vmt_response_store_destroy(vmt_response_store *store) {
    if (!store) return;
    while (store->uses.oldest) drop(store, entry_of(store->uses.oldest));
    pthread_mutex_destroy(&store->mutex);
    free(store);
}

/* The list is short enough to be walked: 1024 compared ids are a few microseconds. */
static struct entry *find(const vmt_response_store *store, vmt_str id) {
    for (vmt_recency_link *use = store->uses.newest; use; use = use->older) {
        if (vmt_str_eq(entry_of(use)->id, id)) return entry_of(use);
    }
    return NULL;
}

static vmt_str copy_into(char **at, vmt_str s) {
    char *begin = *at;
    if (s.len) memcpy(begin, s.ptr, s.len);
    *at += s.len;
    return (vmt_str){begin, s.len};
}

void vmt_response_store_put(vmt_response_store *store, vmt_str id, vmt_str items, vmt_str object) {
    size_t num_bytes = sizeof(struct entry) + id.len + items.len + object.len;
    if (num_bytes > VMT_RESPONSE_KEPT_BYTES_MAX) return;
    struct entry *entry = malloc(num_bytes);
    if (!entry) return;
    *entry = (struct entry){.num_bytes = num_bytes};
    char *at = entry->bytes;
    entry->id = copy_into(&at, id);
    entry->items = copy_into(&at, items);
    entry->object = copy_into(&at, object);
    pthread_mutex_lock(&store->mutex);
    struct entry *old = find(store, id);
    if (old) drop(store, old);
    vmt_recency_add(&store->uses, &entry->use);
    store->num_entries++;
    store->num_bytes += num_bytes;
    while (store->num_entries > VMT_RESPONSES_KEPT_MAX || store->num_bytes > VMT_RESPONSES_KEPT_BYTES_MAX) {
        drop(store, entry_of(store->uses.oldest));
    }
    pthread_mutex_unlock(&store->mutex);
}

bool vmt_response_store_get(vmt_response_store *store, vmt_str id, vmt_buf *items, vmt_buf *object) {
    pthread_mutex_lock(&store->mutex);
    struct entry *entry = find(store, id);
    if (entry) {
        vmt_recency_touch(&store->uses, &entry->use);
        if (items) vmt_buf_append(items, entry->items);
        if (object) vmt_buf_append(object, entry->object);
    }
    pthread_mutex_unlock(&store->mutex);
    return entry != NULL;
}

bool vmt_response_store_remove(vmt_response_store *store, vmt_str id) {
    pthread_mutex_lock(&store->mutex);
    struct entry *entry = find(store, id);
    if (entry) drop(store, entry);
    pthread_mutex_unlock(&store->mutex);
    return entry != NULL;
}
