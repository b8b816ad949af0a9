/* engine/outbox.h: generations with news, on their way to the consumer.  See inbox.h. */
#ifndef VMT_ENGINE_OUTBOX_H
#define VMT_ENGINE_OUTBOX_H

#include "engine/inbox.h"

#include <stdatomic.h>

/* The part of a generation that belongs to an outbox. */
typedef struct vmt_outbox_entry {
    vmt_link link;                  /* under the outbox's lock */
    _Atomic bool is_ended;          /* set under the lock, as the engine's last touch */
    bool is_ending;                 /* the engine's: set is_ended when the news go out */
    bool is_noted;                  /* the engine's: in its list of this step's news */
    struct vmt_outbox_entry *noted; /* the engine's: the next of that list */
} vmt_outbox_entry;

typedef struct vmt_outbox vmt_outbox;
vmt_outbox *vmt_outbox_create(void); /* NULL for lack of memory */
void vmt_outbox_destroy(vmt_outbox *outbox);

/* The engine's: remembers that there is news; send() then shows all at once.  false: there was none. */
void vmt_outbox_note(vmt_outbox *outbox, vmt_outbox_entry *entry);
bool vmt_outbox_send(vmt_outbox *outbox);

/* The consumer's: an entry with news, once each, or NULL. */
vmt_generation *vmt_outbox_take(vmt_outbox *outbox);
/* Before the entry's memory goes. */
void vmt_outbox_withdraw(vmt_outbox *outbox, vmt_outbox_entry *entry);

#endif
