#include "api/response_store.h"

#include <pthread.h>
#include <stdlib.h>

struct entry {
    struct entry *newer, *older;
    vmt_str id, items, object; /* in bytes */
    size_t num_bytes;
    char bytes[];
};

struct vmt_response_store {
    pthread_mutex_t mutex;
    struct entry *newest, *oldest; /* under mutex, as all below it */
    uint32_t num_entries;
    size_t num_bytes;
};

vmt_response_store *vmt_response_store_create(void) {
    vmt_response_store *store = calloc(1, sizeof *store);
    if (store) pthread_mutex_init(&store->mutex, NULL);
    return store;
}

static void unlink_entry(vmt_response_store *store, struct entry *entry) {
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
    entry->newer = entry->older = NULL;
    store->num_entries--;
    store->num_bytes -= entry->num_bytes;
}

static void link_newest(vmt_response_store *store, struct entry *entry) {
    entry->newer = NULL;
    entry->older = store->newest;
    if (store->newest) {
        store->newest->newer = entry;
    } else {
        store->oldest = entry;
    }
    store->newest = entry;
    store->num_entries++;
    store->num_bytes += entry->num_bytes;
}

static void drop(vmt_response_store *store, struct entry *entry) {
    unlink_entry(store, entry);
    free(entry);
}

void vmt_response_store_destroy(vmt_response_store *store) {
    if (!store) return;
    while (store->newest) drop(store, store->newest);
    pthread_mutex_destroy(&store->mutex);
    free(store);
}

/* The list is short enough to be walked: 1024 compared ids are a few microseconds. */
static struct entry *find(const vmt_response_store *store, vmt_str id) {
    for (struct entry *entry = store->newest; entry; entry = entry->older) {
        if (vmt_str_eq(entry->id, id)) return entry;
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
    link_newest(store, entry);
    while (store->num_entries > VMT_RESPONSES_KEPT_MAX || store->num_bytes > VMT_RESPONSES_KEPT_BYTES_MAX) {
        drop(store, store->oldest);
    }
    pthread_mutex_unlock(&store->mutex);
}

bool vmt_response_store_get(vmt_response_store *store, vmt_str id, vmt_buf *items, vmt_buf *object) {
    pthread_mutex_lock(&store->mutex);
    struct entry *entry = find(store, id);
    if (entry) {
        unlink_entry(store, entry);
        link_newest(store, entry);
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
