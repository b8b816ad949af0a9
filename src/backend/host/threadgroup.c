#include "backend/host/threadgroup.h"
#include "backend/host/fiber.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#if defined(HAS_ASAN)
#include <sanitizer/asan_interface.h>
#define POISON(address, bytes)   __asan_poison_memory_region((address), (bytes))
#define UNPOISON(address, bytes) __asan_unpoison_memory_region((address), (bytes))
#define STACK_BYTES              ((size_t)256 << 10)
#define GAP_BYTES                64u /* between arrays; an access there is reported */
#else
#define POISON(address, bytes)   ((void)0)
#define UNPOISON(address, bytes) ((void)0)
#define STACK_BYTES              ((size_t)64 << 10)
#define GAP_BYTES                0u
#endif

#define LANES_MAX       1024u
#define SIMDGROUP_LANES 32u
#define SIMDGROUPS_MAX  (LANES_MAX / SIMDGROUP_LANES)
#define MEMORY_MAX      32768u /* of threadgroup memory, as on every Apple GPU */
#define ARRAYS_MAX      32u
#define POISON_BYTE     0xFF
#define ARRAY_ALIGN     16u

enum lane_state { LANE_READY, LANE_AT_BARRIER, LANE_AT_EXCHANGE, LANE_DONE };

struct lane {
    vmt_fiber fiber;
    enum lane_state state;
    vmt_host_site site; /* where it waits */
    uint32_t num_arrays, memory_used;
    uint32_t parity; /* which of the simdgroup's two sets of slots its next exchange takes */
    vmt_host_lane view;
};

/* Two sets of slots: a lane can't be in the exchange after the next before all have read this one. */
struct simdgroup {
    _Alignas(64) uint8_t slots[2][SIMDGROUP_LANES * VMT_HOST_SLOT_BYTES];
    uint32_t num_waiting;
};

struct vmt_threadgroup {
    struct lane lanes[LANES_MAX];
    struct simdgroup simdgroups[SIMDGROUPS_MAX];
    uint16_t ready[LANES_MAX]; /* ring of lanes that can run */
    uint32_t ready_begin, num_ready;
    uint32_t num_lanes, num_done, num_at_barrier;
    uint32_t current;
    bool is_broken;
    vmt_lane_order order;
    uint64_t random;
    const vmt_kernel *kernel;
    vmt_fiber caller;
    vmt_err err; /* when is_broken */
    uint32_t array_bytes[ARRAYS_MAX];
    _Alignas(64) uint8_t memory[MEMORY_MAX + ARRAYS_MAX * (GAP_BYTES + ARRAY_ALIGN)];
};

static _Thread_local vmt_threadgroup *active;

/* The address of a thread-local must be looked up behind each switch: out of line. */
__attribute__((noinline)) static vmt_threadgroup *get_active(void) {
    __asm__ volatile("" ::: "memory");
    return active;
}

/* ---- life */

vmt_status vmt_threadgroup_create(vmt_threadgroup **out, vmt_err *err) {
    size_t bytes = (sizeof **out + 63) / 64 * 64;
    *out = aligned_alloc(64, bytes);
    if (*out == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a threadgroup's lanes");
    memset(*out, 0, bytes);
    return VMT_OK;
}

void vmt_threadgroup_destroy(vmt_threadgroup *group) {
    if (group == NULL) return;
    for (uint32_t i = 0; i < LANES_MAX; i++) vmt_fiber_destroy(&group->lanes[i].fiber);
    UNPOISON(group->memory, sizeof group->memory);
    free(group);
}

/* ---- who runs next */

static uint32_t next_random(vmt_threadgroup *g, uint32_t below) {
    g->random ^= g->random << 13;
    g->random ^= g->random >> 7;
    g->random ^= g->random << 17;
    return (uint32_t)((g->random >> 32) * below >> 32);
}

static void push_ready(vmt_threadgroup *g, uint32_t lane_idx) {
    g->lanes[lane_idx].state = LANE_READY;
    g->ready[(g->ready_begin + g->num_ready++) % LANES_MAX] = (uint16_t)lane_idx;
}

/* Lanes [begin, begin + count) that are in `state`, but for the one that runs, in the order asked for. */
static void wake(vmt_threadgroup *g, uint32_t begin, uint32_t count, enum lane_state state) {
    uint32_t first = g->num_ready;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t lane_idx = begin + (g->order == VMT_LANES_BACKWARD ? count - 1 - i : i);
        if (g->lanes[lane_idx].state == state) push_ready(g, lane_idx);
    }
    if (g->order != VMT_LANES_RANDOM) return;
    for (uint32_t i = g->num_ready; i > first + 1; i--) {
        uint32_t other = first + next_random(g, i - first);
        uint16_t *a = &g->ready[(g->ready_begin + i - 1) % LANES_MAX];
        uint16_t *b = &g->ready[(g->ready_begin + other) % LANES_MAX];
        uint16_t kept = *a;
        *a = *b;
        *b = kept;
    }
}

/* Runs the next ready lane, or the caller when there is none. */
static void leave(vmt_threadgroup *g, vmt_fiber *from, bool is_last) {
    vmt_fiber *to = &g->caller;
    if (g->num_ready > 0 && !g->is_broken) {
        g->current = g->ready[g->ready_begin];
        g->ready_begin = (g->ready_begin + 1) % LANES_MAX;
        g->num_ready--;
        to = &g->lanes[g->current].fiber;
    }
    if (to != from) vmt_fiber_switch(from, to, is_last);
}

static void lane_main(void) {
    vmt_fiber_entered();
    vmt_threadgroup *g = get_active();
    struct lane *lane = &g->lanes[g->current];
    g->kernel->host(&lane->view);
    g = get_active();
    lane->state = LANE_DONE;
    g->num_done++;
    leave(g, &lane->fiber, true);
    VMT_ASSERT(!"a lane that is done runs again");
}

/* A broken rule: the lane never goes on, and the caller reports. */
static void break_off(vmt_threadgroup *g) {
    g->is_broken = true;
    leave(g, &g->lanes[g->current].fiber, false);
    VMT_ASSERT(!"a broken kernel runs on");
}

/* ---- what kernels call */

static bool same_site(const vmt_host_site *a, const vmt_host_site *b) {
    return a->op == b->op && a->file == b->file && a->line == b->line;
}

/* The current lane is the last of these to arrive: have the others come to the same place? */
static void check_sites(vmt_threadgroup *g, uint32_t begin, uint32_t count, enum lane_state state,
                        const vmt_host_site *site) {
    for (uint32_t i = begin; i < begin + count; i++) {
        const struct lane *other = &g->lanes[i];
        if (other->state != state || same_site(&other->site, site)) continue;
        vmt_fail(&g->err, VMT_E_INTERNAL,
                 "%s: lane %u is in %s at %s:%d and lane %u in %s at %s:%d at the same time", g->kernel->name,
                 g->current, site->op, site->file, site->line, i, other->site.op, other->site.file,
                 other->site.line);
        break_off(g);
    }
}

void vmt_host_barrier(vmt_host_site site) {
    vmt_threadgroup *g = get_active();
    struct lane *lane = &g->lanes[g->current];
    if (++g->num_at_barrier == g->num_lanes) {
        check_sites(g, 0, g->num_lanes, LANE_AT_BARRIER, &site);
        g->num_at_barrier = 0;
        wake(g, 0, g->num_lanes, LANE_AT_BARRIER);
        if (g->order == VMT_LANES_FORWARD) return;
        /* The last to arrive is not always the first to go. */
        push_ready(g, g->current);
        leave(g, &lane->fiber, false);
        return;
    }
    lane->state = LANE_AT_BARRIER;
    lane->site = site;
    leave(g, &lane->fiber, false);
}

const void *vmt_host_exchange(const void *value, uint32_t bytes, vmt_host_combine_fn combine, vmt_host_site site) {
    vmt_threadgroup *g = get_active();
    uint32_t lane_idx = g->current, simdgroup_idx = lane_idx / SIMDGROUP_LANES;
    struct lane *lane = &g->lanes[lane_idx];
    struct simdgroup *simdgroup = &g->simdgroups[simdgroup_idx];
    uint8_t *slots = simdgroup->slots[lane->parity];
    VMT_ASSERT(bytes <= VMT_HOST_SLOT_BYTES);
    lane->parity ^= 1;
    memcpy(slots + lane_idx % SIMDGROUP_LANES * VMT_HOST_SLOT_BYTES, value, bytes);
    if (++simdgroup->num_waiting < SIMDGROUP_LANES) {
        lane->state = LANE_AT_EXCHANGE;
        lane->site = site;
        leave(g, &lane->fiber, false);
        return slots;
    }
    check_sites(g, simdgroup_idx * SIMDGROUP_LANES, SIMDGROUP_LANES, LANE_AT_EXCHANGE, &site);
    simdgroup->num_waiting = 0;
    if (combine != NULL) combine(slots);
    wake(g, simdgroup_idx * SIMDGROUP_LANES, SIMDGROUP_LANES, LANE_AT_EXCHANGE);
    return slots;
}

uint32_t vmt_host_lane_idx(void) {
    return get_active()->current % SIMDGROUP_LANES;
}

void *vmt_host_threadgroup_array(uint32_t bytes) {
    vmt_threadgroup *g = get_active();
    struct lane *lane = &g->lanes[g->current];
    uint32_t idx = lane->num_arrays++, room = (bytes + ARRAY_ALIGN - 1) / ARRAY_ALIGN * ARRAY_ALIGN;
    uint32_t offset = lane->memory_used + idx * GAP_BYTES;
    lane->memory_used += room;
    if (idx >= ARRAYS_MAX || lane->memory_used > MEMORY_MAX) {
        vmt_fail(&g->err, VMT_E_INTERNAL,
                 "%s: %u bytes of threadgroup memory in %u arrays, the limits are %u and %u", g->kernel->name,
                 lane->memory_used, idx + 1, MEMORY_MAX, ARRAYS_MAX);
        break_off(g);
    }
    if (g->array_bytes[idx] != 0 && g->array_bytes[idx] != bytes) {
        vmt_fail(&g->err, VMT_E_INTERNAL, "%s: threadgroup array %u has %u bytes in one lane and %u in another",
                 g->kernel->name, idx, bytes, g->array_bytes[idx]);
        break_off(g);
    }
    if (g->array_bytes[idx] == 0) {
        UNPOISON(g->memory + offset, bytes);
        memset(g->memory + offset, POISON_BYTE, bytes);
    }
    g->array_bytes[idx] = bytes;
    return g->memory + offset;
}

/* ---- one threadgroup */

/* "96 lanes (0 ..) wait in simd_sum at x.metal:41; 32 lanes (32 ..) are done" */
static void report_stuck(vmt_threadgroup *g) {
    char text[VMT_ERR_MESSAGE_MAX];
    bool is_told[LANES_MAX] = {false};
    size_t at = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < g->num_lanes && at < sizeof text; i++) {
        const struct lane *lane = &g->lanes[i];
        uint32_t count = 0;
        if (is_told[i]) continue;
        for (uint32_t j = i; j < g->num_lanes; j++) {
            const struct lane *other = &g->lanes[j];
            if (other->state != lane->state) continue;
            if (lane->state != LANE_DONE && !same_site(&lane->site, &other->site)) continue;
            is_told[j] = true;
            count++;
        }
        int length =
            lane->state == LANE_DONE
                ? snprintf(text + at, sizeof text - at, "%s%u lanes (%u ..) are done", at ? "; " : "", count, i)
                : snprintf(text + at, sizeof text - at, "%s%u lanes (%u ..) wait in %s at %s:%d", at ? "; " : "",
                           count, i, lane->site.op, lane->site.file, lane->site.line);
        at += (size_t)length;
    }
    vmt_fail(&g->err, VMT_E_INTERNAL, "%s: %s", g->kernel->name, text);
}

static vmt_status prepare(vmt_threadgroup *g, const vmt_kernel *kernel, const vmt_host_lane *view, vmt_err *err) {
    VMT_ASSERT(kernel->threads > 0 && kernel->threads <= LANES_MAX && kernel->threads % SIMDGROUP_LANES == 0);
    g->num_lanes = kernel->threads;
    g->kernel = kernel;
    g->num_done = g->num_at_barrier = g->num_ready = g->ready_begin = 0;
    g->is_broken = false;
    g->err = (vmt_err){0};
    memset(g->array_bytes, 0, sizeof g->array_bytes);
    POISON(g->memory, sizeof g->memory);
    for (uint32_t i = 0; i < g->num_lanes / SIMDGROUP_LANES; i++) g->simdgroups[i].num_waiting = 0;
    for (uint32_t i = 0; i < g->num_lanes; i++) {
        struct lane *lane = &g->lanes[i];
        if (lane->fiber.stack == NULL) VMT_TRY(vmt_fiber_create(&lane->fiber, STACK_BYTES, err));
        vmt_fiber_reset(&lane->fiber, lane_main);
        lane->state = LANE_READY;
        lane->num_arrays = lane->memory_used = lane->parity = 0;
        lane->view = *view;
        lane->view.thread_idx = i;
    }
    wake(g, 0, g->num_lanes, LANE_READY);
    return VMT_OK;
}

vmt_status vmt_threadgroup_run(vmt_threadgroup *group, const vmt_kernel *kernel, const vmt_host_lane *lane,
                               vmt_lane_order order, uint64_t seed, vmt_err *err) {
    group->order = order;
    group->random = seed * UINT64_C(0x9E3779B97F4A7C15) | 1;
    VMT_TRY(prepare(group, kernel, lane, err));
    active = group;
    if (group->caller.stack == NULL) vmt_fiber_adopt_thread(&group->caller);
    leave(group, &group->caller, false);
    active = NULL;
    if (!group->is_broken && group->num_done == group->num_lanes) return VMT_OK;
    if (!group->is_broken) report_stuck(group);
    /* What the lanes left on their stacks is marked for the address sanitizer: take new ones. */
    for (uint32_t i = 0; i < group->num_lanes; i++) vmt_fiber_destroy(&group->lanes[i].fiber);
    return vmt_fail(err, VMT_E_INTERNAL, "%s", group->err.msg);
}
