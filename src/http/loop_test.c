/* The loop: timers in order, signals, stop, and wakers under many threads. */
#include "base/clock.h"
#include "base/test.h"
#include "http/loop.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define MS UINT64_C(1000000)

struct state {
    vmt_loop *loop;
    vmt_timer *again;
    int order[8];
    int num_fired;
    uint64_t fired_ns;
};

static void note(struct state *s, int what) {
    if (s->num_fired < 8) s->order[s->num_fired++] = what;
    s->fired_ns = vmt_clock_ns();
}

static void first(void *ctx) {
    note(ctx, 1);
}

static void second(void *ctx) {
    struct state *s = ctx;
    note(s, 2);
    if (s->num_fired < 3) {
        vmt_timer_start(s->again, 5 * MS);
    } else {
        vmt_loop_stop(s->loop);
    }
}

static void timers_fire_in_order(vmt_test *t) {
    struct state s = {0};
    vmt_expect_eq(t, vmt_loop_create(&s.loop, NULL), VMT_OK);
    vmt_timer *one = vmt_timer_create(s.loop, first, &s);
    vmt_timer *never = vmt_timer_create(s.loop, first, &s);
    s.again = vmt_timer_create(s.loop, second, &s);
    uint64_t begin_ns = vmt_clock_ns();
    vmt_timer_start(s.again, 20 * MS);
    vmt_timer_start(one, 500 * MS);
    vmt_timer_start(one, 10 * MS); /* moves it */
    vmt_timer_start(never, 15 * MS);
    vmt_timer_stop(never);
    vmt_expect_eq(t, vmt_loop_run(s.loop, NULL), VMT_OK);
    vmt_expect_eq(t, s.num_fired, 3);
    vmt_expect(t, s.order[0] == 1 && s.order[1] == 2 && s.order[2] == 2);
    vmt_expect(t, s.fired_ns - begin_ns >= 25 * MS);
    vmt_timer_destroy(one);
    vmt_timer_destroy(never);
    vmt_timer_destroy(s.again);
    vmt_loop_stop(s.loop); /* before run(): run() returns at once */
    vmt_expect_eq(t, vmt_loop_run(s.loop, NULL), VMT_OK);
    vmt_loop_destroy(s.loop);
}

static void on_signal(void *ctx, int signal_number) {
    struct state *s = ctx;
    note(s, signal_number);
    vmt_loop_stop(s->loop);
}

static void raise_it(void *ctx) {
    raise(SIGUSR1);
}

static void signals_arrive(vmt_test *t) {
    struct state s = {0};
    vmt_expect_eq(t, vmt_loop_create(&s.loop, NULL), VMT_OK);
    vmt_expect_eq(t, vmt_loop_on_signal(s.loop, SIGUSR1, on_signal, &s, NULL), VMT_OK);
    vmt_timer *timer = vmt_timer_create(s.loop, raise_it, NULL);
    vmt_timer_start(timer, 0);
    vmt_expect_eq(t, vmt_loop_run(s.loop, NULL), VMT_OK);
    vmt_expect(t, s.num_fired == 1 && s.order[0] == SIGUSR1);
    vmt_timer_destroy(timer);
    vmt_loop_destroy(s.loop);
}

#define NUM_SENDERS 4
#define NUM_WAKES   20000

struct door {
    vmt_loop *loop;
    vmt_waker *waker;
    atomic_uint num_posted;
    uint32_t num_seen, num_calls;
};

static void look(void *ctx) {
    struct door *door = ctx;
    door->num_calls++;
    door->num_seen = atomic_load(&door->num_posted);
    if (door->num_seen == NUM_SENDERS * NUM_WAKES) vmt_loop_stop(door->loop);
}

static void *send_many(void *arg) {
    struct door *door = arg;
    for (int i = 0; i < NUM_WAKES; i++) {
        atomic_fetch_add(&door->num_posted, 1);
        vmt_waker_wake(door->waker);
    }
    return NULL;
}

/* A lost wake-up leaves this running for ever. */
static void wakers_lose_nothing(vmt_test *t) {
    struct door door = {0};
    vmt_expect_eq(t, vmt_loop_create(&door.loop, NULL), VMT_OK);
    door.waker = vmt_waker_create(door.loop, look, &door);
    vmt_expect(t, door.waker != NULL);
    pthread_t senders[NUM_SENDERS];
    for (int i = 0; i < NUM_SENDERS; i++) pthread_create(&senders[i], NULL, send_many, &door);
    vmt_expect_eq(t, vmt_loop_run(door.loop, NULL), VMT_OK);
    for (int i = 0; i < NUM_SENDERS; i++) pthread_join(senders[i], NULL);
    vmt_expect_eq(t, door.num_seen, NUM_SENDERS * NUM_WAKES);
    vmt_expect(t, door.num_calls >= 1 && door.num_calls <= NUM_SENDERS * NUM_WAKES);
    vmt_waker_destroy(door.waker);
    vmt_loop_destroy(door.loop);
}

/* Works for so long, then ends the loop. */
static void work(void *ctx) {
    uint64_t begin_ns = vmt_clock_thread_cpu_ns();
    while (vmt_clock_thread_cpu_ns() - begin_ns < 3 * MS) {}
    vmt_loop_stop(ctx);
}

static void turns_are_timed(vmt_test *t) {
    vmt_loop *loop = NULL;
    vmt_expect_eq(t, vmt_loop_create(&loop, NULL), VMT_OK);
    vmt_timer *timer = vmt_timer_create(loop, work, loop);
    vmt_timer_start(timer, 30 * MS); /* waiting costs nothing */
    vmt_expect_eq(t, vmt_loop_run(loop, NULL), VMT_OK);
    vmt_loop_stats stats = vmt_loop_get_stats(loop);
    uint64_t count = 0;
    for (uint32_t i = 0; i <= VMT_LOOP_TURN_BOUNDS; i++) count += stats.buckets[i];
    vmt_expect_eq(t, count, stats.num_turns);
    vmt_expect(t, stats.turn_ns_max >= 3 * MS && stats.turn_ns_max < 30 * MS);
    vmt_expect(t, stats.turn_ns_total >= stats.turn_ns_max);
    for (uint32_t i = 0; i < 4; i++) vmt_expect(t, stats.buckets[i] < stats.num_turns); /* up to 2.5 ms: others */
    vmt_timer_destroy(timer);
    vmt_loop_destroy(loop);
}

static const vmt_test_case cases[] = {
    {"timers_fire_in_order", timers_fire_in_order},
    {"signals_arrive", signals_arrive},
    {"wakers_lose_nothing", wakers_lose_nothing},
    {"turns_are_timed", turns_are_timed},
    {0},
};

VMT_TEST_MAIN(cases)
