#include "engine/output_ring.h"

bool vmt_output_ring_init(vmt_output_ring *ring, vmt_arena *arena, uint32_t capacity, uint32_t num_top) {
    VMT_ASSERT(capacity >= 2);
    ring->capacity = capacity;
    atomic_init(&ring->head, 0);
    atomic_init(&ring->tail, 0);
    atomic_init(&ring->wants_room, false);
    ring->num_held = 0;
    ring->slots = VMT_ARENA_NEW(arena, vmt_sample, capacity);
    if (!ring->slots) return false;
    if (num_top == 0) return true;
    vmt_token_logprob *tops = VMT_ARENA_NEW(arena, vmt_token_logprob, (size_t)capacity * num_top);
    for (uint32_t i = 0; tops && i < capacity; i++) ring->slots[i].top = tops + (size_t)i * num_top;
    return tops != NULL;
}

/* ---- the writer */

vmt_sample *vmt_output_ring_slot(vmt_output_ring *ring) {
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    VMT_ASSERT(head - atomic_load_explicit(&ring->tail, memory_order_acquire) < ring->capacity);
    return &ring->slots[head % ring->capacity];
}

void vmt_output_ring_push(vmt_output_ring *ring) {
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

static bool is_half_empty(const vmt_output_ring *ring) {
    return atomic_load(&ring->head) - atomic_load(&ring->tail) <= ring->capacity / 2;
}

bool vmt_output_ring_is_full(vmt_output_ring *ring, uint32_t num_coming) {
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    if (head - tail + num_coming < ring->capacity) return false;
    /* The reader moves tail and then looks at wants_room, we the other way round: one of us sees the other. */
    atomic_store(&ring->wants_room, true);
    return !(is_half_empty(ring) && atomic_exchange(&ring->wants_room, false));
}

bool vmt_output_ring_wants_room(vmt_output_ring *ring) {
    return atomic_load(&ring->wants_room);
}

/* ---- the reader */

const vmt_sample *vmt_output_ring_take(vmt_output_ring *ring, bool *made_room) {
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    *made_room = false;
    if (ring->num_held > 0) {
        ring->num_held = 0;
        atomic_store(&ring->tail, ++tail);
        *made_room =
            atomic_load(&ring->wants_room) && is_half_empty(ring) && atomic_exchange(&ring->wants_room, false);
    }
    if (atomic_load_explicit(&ring->head, memory_order_acquire) == tail) return NULL;
    ring->num_held = 1;
    return &ring->slots[tail % ring->capacity];
}

uint32_t vmt_output_ring_pending(const vmt_output_ring *ring) {
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    return atomic_load_explicit(&ring->head, memory_order_acquire) - tail - ring->num_held;
}
