/* engine/inbox.h: the two doors between the engine thread and everyone else.
 *
 * Into the engine go generations with notes on them (submitted, cancelled, room made), out of it generations with news.
 * Both are lists threaded through the generations themselves: nothing is allocated, a note posted twice is one note,
 * and the number of generations bounds the lists. */
#ifndef VMT_ENGINE_INBOX_H
#define VMT_ENGINE_INBOX_H

#include "engine/engine.h"

enum { VMT_POST_SUBMIT = 1, VMT_POST_CANCEL = 2, VMT_POST_ROOM = 4 };

/* A generation's place in a list, and whose it is. */
typedef struct vmt_link {
    struct vmt_link *prev, *next;
    vmt_generation *gen;
    bool is_linked;
} vmt_link;

typedef struct vmt_link_list {
    vmt_link *head, *tail;
} vmt_link_list;

void vmt_link_append(vmt_link_list *list, vmt_link *link);
void vmt_link_remove(vmt_link_list *list, vmt_link *link); /* one not in it is left alone */

/* The part of a generation that belongs to an inbox: under its lock. */
typedef struct vmt_inbox_entry {
    vmt_link link;
    uint32_t notes;
    bool is_withdrawn;
} vmt_inbox_entry;

typedef struct vmt_inbox vmt_inbox;
vmt_inbox *vmt_inbox_create(void); /* NULL for lack of memory */
void vmt_inbox_destroy(vmt_inbox *inbox);

/* Any thread.  false: the inbox is closed.  A withdrawn entry takes no notes, which is fine. */
bool vmt_inbox_post(vmt_inbox *inbox, vmt_inbox_entry *entry, uint32_t note);
void vmt_inbox_kick(vmt_inbox *inbox); /* wakes the engine without a note */
void vmt_inbox_close(vmt_inbox *inbox);

/* The engine's: waits for a note, a kick or close. */
void vmt_inbox_wait(vmt_inbox *inbox);
/* The oldest entry with notes, which are taken off it; NULL when there is none. */
vmt_generation *vmt_inbox_take(vmt_inbox *inbox, uint32_t *notes);
/* From now on no note reaches this entry. */
void vmt_inbox_withdraw(vmt_inbox *inbox, vmt_inbox_entry *entry);

#endif
