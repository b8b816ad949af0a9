#include "engine/outbox.h"

#include <pthread.h>
#include <stdlib.h>

struct vmt_outbox {
    pthread_mutex_t lock;
    vmt_link_list ready;
    vmt_outbox_entry *noted; /* the engine's: this step's news, newest first */
};

vmt_outbox *vmt_outbox_create(void) {
    vmt_outbox *outbox = calloc(1, sizeof *outbox);
    if (!outbox) return NULL;
    VMT_ASSERT(pthread_mutex_init(&outbox->lock, NULL) == 0);
    return outbox;
}

void vmt_outbox_destroy(vmt_outbox *outbox) {
    if (!outbox) return;
    VMT_ASSERT(outbox->ready.head == NULL && outbox->noted == NULL);
    pthread_mutex_destroy(&outbox->lock);
    free(outbox);
}

void vmt_outbox_note(vmt_outbox *outbox, vmt_outbox_entry *entry) {
    if (entry->is_noted) return;
    entry->is_noted = true;
    entry->noted = outbox->noted;
    outbox->noted = entry;
}

bool vmt_outbox_send(vmt_outbox *outbox) {
    if (!outbox->noted) return false;
    pthread_mutex_lock(&outbox->lock);
    while (outbox->noted) {
        vmt_outbox_entry *entry = outbox->noted;
        outbox->noted = entry->noted;
        entry->is_noted = false;
        if (!entry->link.is_linked) vmt_link_append(&outbox->ready, &entry->link);
        if (entry->is_ending) atomic_store(&entry->is_ended, true);
    }
    pthread_mutex_unlock(&outbox->lock);
    return true;
}

vmt_generation *vmt_outbox_take(vmt_outbox *outbox) {
    vmt_generation *gen = NULL;
    pthread_mutex_lock(&outbox->lock);
    vmt_link *link = outbox->ready.head;
    if (link) {
        vmt_link_remove(&outbox->ready, link);
        gen = link->gen;
    }
    pthread_mutex_unlock(&outbox->lock);
    return gen;
}

void vmt_outbox_withdraw(vmt_outbox *outbox, vmt_outbox_entry *entry) {
    pthread_mutex_lock(&outbox->lock);
    vmt_link_remove(&outbox->ready, &entry->link);
    pthread_mutex_unlock(&outbox->lock);
}
