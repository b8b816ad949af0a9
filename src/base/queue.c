#include "base/queue.h"
#include "base/clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct vmt_queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void (*wake)(void *ctx);
    void *ctx;
    bool is_closed, is_kicked;
    uint32_t capacity, head, count; /* items[head] is the oldest */
    void *items[];
};

vmt_queue *vmt_queue_create(uint32_t capacity, void (*wake)(void *ctx), void *ctx) {
    VMT_ASSERT(capacity >= 1);
    vmt_queue *queue = calloc(1, sizeof *queue + (size_t)capacity * sizeof(void *));
    if (!queue) return NULL;
    queue->capacity = capacity;
    queue->wake = wake;
    queue->ctx = ctx;
    VMT_ASSERT(pthread_mutex_init(&queue->lock, NULL) == 0);
#if defined(__APPLE__)
    VMT_ASSERT(pthread_cond_init(&queue->changed, NULL) == 0);
#else
    pthread_condattr_t attr;
    VMT_ASSERT(pthread_condattr_init(&attr) == 0);
    VMT_ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    VMT_ASSERT(pthread_cond_init(&queue->changed, &attr) == 0);
    pthread_condattr_destroy(&attr);
#endif
    return queue;
}

void vmt_queue_destroy(vmt_queue *queue) {
    if (!queue) return;
    VMT_ASSERT(queue->count == 0);
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}

bool vmt_queue_push(vmt_queue *queue, void *item) {
    VMT_ASSERT(item != NULL);
    pthread_mutex_lock(&queue->lock);
    if (queue->is_closed || queue->count == queue->capacity) {
        pthread_mutex_unlock(&queue->lock);
        return false;
    }
    queue->items[((uint64_t)queue->head + queue->count) % queue->capacity] = item;
    bool was_empty = queue->count++ == 0;
    if (was_empty) pthread_cond_signal(&queue->changed);
    /* Once the lock is open the receiver may take the item and destroy the queue. */
    void (*wake)(void *ctx) = queue->wake;
    void *ctx = queue->ctx;
    pthread_mutex_unlock(&queue->lock);
    if (was_empty && wake) wake(ctx);
    return true;
}

static void *take(vmt_queue *queue) {
    if (queue->count == 0) return NULL;
    void *item = queue->items[queue->head];
    queue->head = queue->head + 1 == queue->capacity ? 0 : queue->head + 1;
    queue->count--;
    return item;
}

void *vmt_queue_try_pop(vmt_queue *queue) {
    pthread_mutex_lock(&queue->lock);
    void *item = take(queue);
    pthread_mutex_unlock(&queue->lock);
    return item;
}

/* One wait for a change, until deadline_ns of vmt_clock_ns() at the latest. */
static void wait_changed(vmt_queue *queue, uint64_t now_ns, uint64_t deadline_ns) {
    if (deadline_ns == UINT64_MAX) {
        pthread_cond_wait(&queue->changed, &queue->lock);
        return;
    }
#if defined(__APPLE__)
    uint64_t left_ns = deadline_ns - now_ns;
    struct timespec left = {(time_t)(left_ns / 1000000000u), (long)(left_ns % 1000000000u)};
    pthread_cond_timedwait_relative_np(&queue->changed, &queue->lock, &left);
#else
    (void)now_ns;
    struct timespec until = {(time_t)(deadline_ns / 1000000000u), (long)(deadline_ns % 1000000000u)};
    pthread_cond_timedwait(&queue->changed, &queue->lock, &until);
#endif
}

void *vmt_queue_pop(vmt_queue *queue, uint64_t timeout_ns) {
    uint64_t now_ns = vmt_clock_ns();
    uint64_t deadline_ns = timeout_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + timeout_ns;
    pthread_mutex_lock(&queue->lock);
    while (queue->count == 0 && !queue->is_kicked && !queue->is_closed && now_ns < deadline_ns) {
        wait_changed(queue, now_ns, deadline_ns);
        now_ns = vmt_clock_ns();
    }
    /* An item serves a pending kick too: either way the receiver is awake and looks around. */
    queue->is_kicked = false;
    void *item = take(queue);
    pthread_mutex_unlock(&queue->lock);
    return item;
}

void vmt_queue_kick(vmt_queue *queue) {
    pthread_mutex_lock(&queue->lock);
    queue->is_kicked = true;
    pthread_cond_signal(&queue->changed);
    void (*wake)(void *ctx) = queue->wake;
    void *ctx = queue->ctx;
    pthread_mutex_unlock(&queue->lock);
    if (wake) wake(ctx);
}

void vmt_queue_close(vmt_queue *queue) {
    pthread_mutex_lock(&queue->lock);
    queue->is_closed = true;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}

uint32_t vmt_queue_len(vmt_queue *queue) {
    pthread_mutex_lock(&queue->lock);
    uint32_t count = queue->count;
    pthread_mutex_unlock(&queue->lock);
    return count;
}
