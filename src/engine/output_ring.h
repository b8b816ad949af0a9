/* engine/output_ring.h: the tokens of one sequence on their way from the engine to its reader.
 *
 *   slots   [ taken | held | waiting ........ | free ]
 *                   tail                      head           counters, slot = counter % capacity
 *
 * One writer (the engine thread), one reader.  The reader holds the slot it took last until its next call, so that
 * what the slot points to stays readable.  A reader that fell behind is waited for: the engine sets wants_room, and
 * whoever of the two finds the ring half empty afterwards clears it.  That side alone lets the sequence go on. */
#ifndef VMT_ENGINE_OUTPUT_RING_H
#define VMT_ENGINE_OUTPUT_RING_H

#include "engine/sampler.h"

#include <stdatomic.h>

typedef struct vmt_output_ring {
    vmt_sample *slots; /* [capacity] */
    uint32_t capacity; /* >= 2 */
    _Atomic uint32_t head, tail;
    _Atomic bool wants_room;
    uint32_t num_held; /* the reader's: 0 or 1 */
} vmt_output_ring;

/* capacity >= 2 slots with num_top entries each.  false: the arena is full. */
VMT_MUST_USE bool vmt_output_ring_init(vmt_output_ring *ring, vmt_arena *arena, uint32_t capacity,
                                       uint32_t num_top);

/* The writer's: the slot to fill, which there must be; then push() shows it to the reader. */
vmt_sample *vmt_output_ring_slot(vmt_output_ring *ring);
void vmt_output_ring_push(vmt_output_ring *ring);
/* After push(), with num_coming more on their way: true when the writer has to stop until the reader's take() returned
 * *made_room. */
VMT_MUST_USE bool vmt_output_ring_is_full(vmt_output_ring *ring, uint32_t num_coming);
/* Still waiting for the reader. */
bool vmt_output_ring_wants_room(vmt_output_ring *ring);

/* The reader's: the next token, or NULL; lets go of the one before.  *made_room: the writer waits to be told. */
const vmt_sample *vmt_output_ring_take(vmt_output_ring *ring, bool *made_room);
uint32_t vmt_output_ring_pending(const vmt_output_ring *ring);

#endif
