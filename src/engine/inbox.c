#include "engine/inbox.h"

#include <pthread.h>
#include <stdlib.h>

struct vmt_inbox {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    vmt_link_list posted;
    bool is_kicked, is_closed;
};

void vmt_link_append(vmt_link_list *list, vmt_link *link) {
    VMT_ASSERT(!link->is_linked);
    link->prev = list->tail;
    link->next = NULL;
    *(list->tail ? &list->tail->next : &list->head) = link;
    list->tail = link;
    link->is_linked = true;
}

void vmt_link_remove(vmt_link_list *list, vmt_link *link) {
    if (!link->is_linked) return;
    *(link->prev ? &link->prev->next : &list->head) = link->next;
    *(link->next ? &link->next->prev : &list->tail) = link->prev;
    link->prev = link->next = NULL;
    link->is_linked = false;
}

vmt_inbox *vmt_inbox_create(void) {
    vmt_inbox *inbox = calloc(1, sizeof *inbox);
    if (!inbox) return NULL;
    VMT_ASSERT(pthread_mutex_init(&inbox->lock, NULL) == 0);
    VMT_ASSERT(pthread_cond_init(&inbox->changed, NULL) == 0);
    return inbox;
}

void vmt_inbox_destroy(vmt_inbox *inbox) {
    if (!inbox) return;
    VMT_ASSERT(inbox->posted.head == NULL);
    pthread_cond_destroy(&inbox->changed);
    pthread_mutex_destroy(&inbox->lock);
    free(inbox);
}

bool vmt_inbox_post(vmt_inbox *inbox, vmt_inbox_entry *entry, uint32_t note) {
    pthread_mutex_lock(&inbox->lock);
    bool is_open = !inbox->is_closed;
    if (is_open && !entry->is_withdrawn) {
        entry->notes |= note;
        if (!entry->link.is_linked) vmt_link_append(&inbox->posted, &entry->link);
        pthread_cond_signal(&inbox->changed);
    }
    pthread_mutex_unlock(&inbox->lock);
    return is_open;
}

void vmt_inbox_kick(vmt_inbox *inbox) {
    pthread_mutex_lock(&inbox->lock);
    inbox->is_kicked = true;
    pthread_cond_signal(&inbox->changed);
    pthread_mutex_unlock(&inbox->lock);
}

void vmt_inbox_close(vmt_inbox *inbox) {
    pthread_mutex_lock(&inbox->lock);
    inbox->is_closed = true;
    pthread_cond_signal(&inbox->changed);
    pthread_mutex_unlock(&inbox->lock);
}

void vmt_inbox_wait(vmt_inbox *inbox) {
    pthread_mutex_lock(&inbox->lock);
    while (!inbox->posted.head && !inbox->is_kicked && !inbox->is_closed) {
        pthread_cond_wait(&inbox->changed, &inbox->lock);
    }
    inbox->is_kicked = false;
    pthread_mutex_unlock(&inbox->lock);
}

vmt_generation *vmt_inbox_take(vmt_inbox *inbox, uint32_t *notes) {
    vmt_generation *gen = NULL;
    pthread_mutex_lock(&inbox->lock);
    if (inbox->posted.head) {
        vmt_inbox_entry *entry = (vmt_inbox_entry *)inbox->posted.head; /* link is its first member */
        vmt_link_remove(&inbox->posted, &entry->link);
        gen = entry->link.gen;
        *notes = entry->notes;
        entry->notes = 0;
    }
    pthread_mutex_unlock(&inbox->lock);
    return gen;
}

void vmt_inbox_withdraw(vmt_inbox *inbox, vmt_inbox_entry *entry) {
    pthread_mutex_lock(&inbox->lock);
    vmt_link_remove(&inbox->posted, &entry->link);
    entry->is_withdrawn = true;
    pthread_mutex_unlock(&inbox->lock);
}
