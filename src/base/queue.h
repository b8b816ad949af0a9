/* base/queue.h: a bounded queue of pointers between threads: many senders, one receiver.
 *
 * Sending gives the pointer away.  A full queue is an answer, not a wait.  The receiver either blocks on it (engine,
 * workers) or is woken through a callback (the event loop). */
#ifndef VMT_BASE_QUEUE_H
#define VMT_BASE_QUEUE_H

#include "base/status.h"

typedef struct vmt_queue vmt_queue;

/* capacity >= 1.  wake, if not NULL, runs on the sender's thread when the queue turns non-empty. */
vmt_queue *vmt_queue_create(uint32_t capacity, void (*wake)(void *ctx), void *ctx);
void vmt_queue_destroy(vmt_queue *queue); /* asserts that it is empty */

/* false when full or closed: the caller still owns item. */
VMT_MUST_USE bool vmt_queue_push(vmt_queue *queue, void *item);
/* NULL when empty. */
void *vmt_queue_try_pop(vmt_queue *queue);
/* Waits up to timeout_ns (UINT64_MAX: for ever) for an item, a kick or close.  NULL for the latter two. */
void *vmt_queue_pop(vmt_queue *queue, uint64_t timeout_ns);
/* Wakes the receiver without an item. */
void vmt_queue_kick(vmt_queue *queue);
/* No more pushes; pops drain what is left, then give NULL at once. */
void vmt_queue_close(vmt_queue *queue);
uint32_t vmt_queue_len(vmt_queue *queue);

#endif
