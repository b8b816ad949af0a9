#include "base/clock.h"
#include "base/queue.h"
#include "base/test.h"

#include <pthread.h>
#include <stdatomic.h>

#define MS UINT64_C(1000000)

static void count_wake(void *ctx) {
    atomic_fetch_add((atomic_int *)ctx, 1);
}

static void order_and_capacity(vmt_test *t) {
    int items[4];
    atomic_int num_wakes = 0;
    vmt_queue *queue = vmt_queue_create(3, count_wake, &num_wakes);
    vmt_expect(t, vmt_queue_try_pop(queue) == NULL);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 3; i++) vmt_expect(t, vmt_queue_push(queue, &items[i]));
        vmt_expect(t, !vmt_queue_push(queue, &items[3]));
        vmt_expect_eq(t, vmt_queue_len(queue), 3);
        vmt_expect_eq(t, atomic_load(&num_wakes), round + 1);
        vmt_expect(t, vmt_queue_try_pop(queue) == &items[0]);
        vmt_expect(t, vmt_queue_pop(queue, 0) == &items[1]);
        vmt_expect(t, vmt_queue_pop(queue, UINT64_MAX) == &items[2]);
    }
    vmt_queue_destroy(queue);
}

static void timeout_kick_and_close(vmt_test *t) {
    int item;
    vmt_queue *queue = vmt_queue_create(2, NULL, NULL);
    uint64_t start_ns = vmt_clock_ns();
    vmt_expect(t, vmt_queue_pop(queue, 20 * MS) == NULL);
    vmt_expect(t, vmt_clock_ns() - start_ns >= 20 * MS);

    vmt_queue_kick(queue);
    vmt_expect(t, vmt_queue_pop(queue, UINT64_MAX) == NULL);
    /* The kick is used up: this waits its time out. */
    start_ns = vmt_clock_ns();
    vmt_expect(t, vmt_queue_pop(queue, 5 * MS) == NULL);
    vmt_expect(t, vmt_clock_ns() - start_ns >= 5 * MS);

    vmt_expect(t, vmt_queue_push(queue, &item));
    vmt_queue_close(queue);
    vmt_expect(t, !vmt_queue_push(queue, &item));
    vmt_expect(t, vmt_queue_pop(queue, UINT64_MAX) == &item);
    vmt_expect(t, vmt_queue_pop(queue, UINT64_MAX) == NULL);
    vmt_queue_destroy(queue);
    vmt_queue_destroy(NULL);
}

enum { num_senders = 4, num_per_sender = 5000 };

struct sender {
    pthread_t thread;
    vmt_queue *queue;
    uint32_t values[num_per_sender];
};

static void *send_all(void *arg) {
    struct sender *sender = arg;
    for (uint32_t i = 0; i < num_per_sender; i++) {
        sender->values[i] = i;
        while (!vmt_queue_push(sender->queue, &sender->values[i])) sched_yield();
    }
    return NULL;
}

static void many_senders_one_receiver(vmt_test *t) {
    vmt_queue *queue = vmt_queue_create(64, NULL, NULL);
    struct sender *senders = VMT_ARENA_NEW(t->arena, struct sender, num_senders);
    uint32_t next[num_senders] = {0};
    for (int s = 0; s < num_senders; s++) {
        senders[s].queue = queue;
        vmt_expect_eq(t, pthread_create(&senders[s].thread, NULL, send_all, &senders[s]), 0);
    }
    bool in_order = true;
    for (uint32_t n = 0; n < num_senders * num_per_sender; n++) {
        uint32_t *item = vmt_queue_pop(queue, UINT64_MAX);
        size_t s = (size_t)((char *)item - (char *)senders) / sizeof *senders;
        in_order = in_order && *item == next[s]++;
    }
    for (int s = 0; s < num_senders; s++) pthread_join(senders[s].thread, NULL);
    vmt_expect(t, in_order);
    vmt_queue_destroy(queue);
}

static void *pop_once(void *arg) {
    return vmt_queue_pop(arg, UINT64_MAX);
}

static void close_wakes_a_waiting_receiver(vmt_test *t) {
    vmt_queue *queue = vmt_queue_create(1, NULL, NULL);
    pthread_t thread;
    vmt_expect_eq(t, pthread_create(&thread, NULL, pop_once, queue), 0);
    vmt_queue_close(queue);
    void *item = queue;
    pthread_join(thread, &item);
    vmt_expect(t, item == NULL);
    vmt_queue_destroy(queue);
}

static const vmt_test_case cases[] = {
    {"order_and_capacity", order_and_capacity},
    {"timeout_kick_and_close", timeout_kick_and_close},
    {"many_senders_one_receiver", many_senders_one_receiver},
    {"close_wakes_a_waiting_receiver", close_wakes_a_waiting_receiver},
    {0},
};
VMT_TEST_MAIN(cases)
