/* http/loop.h: the one event loop: timers, signals, and the door for other threads.
 *
 * libevent behind it; nothing above this folder sees libevent.  Everything runs on the thread that calls run(), except
 * vmt_loop_wake(). */
#ifndef VMT_HTTP_LOOP_H
#define VMT_HTTP_LOOP_H

#include "base/status.h"

typedef struct vmt_loop vmt_loop;
typedef struct vmt_timer vmt_timer;
typedef struct vmt_waker vmt_waker;

vmt_status vmt_loop_create(vmt_loop **out, vmt_err *err);
void vmt_loop_destroy(vmt_loop *loop);
/* Until stop(). */
vmt_status vmt_loop_run(vmt_loop *loop, vmt_err *err);
void vmt_loop_stop(vmt_loop *loop);

/* How long turns of the loop keep everybody else waiting: the thread's own time for all callbacks of a turn, so that a
 * busy machine does not count.  Upper bounds of the buckets, inclusive. */
#define VMT_LOOP_TURN_BOUNDS_S {0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05}
#define VMT_LOOP_TURN_BOUNDS   7u
typedef struct vmt_loop_stats {
    uint64_t buckets[VMT_LOOP_TURN_BOUNDS + 1]; /* the last is above all bounds */
    uint64_t num_turns, turn_ns_total, turn_ns_max;
} vmt_loop_stats;
vmt_loop_stats vmt_loop_get_stats(const vmt_loop *loop); /* on the loop's thread */

/* fn runs on the loop after any number of wake() calls from any thread, at least once after the last. */
vmt_waker *vmt_waker_create(vmt_loop *loop, void (*fn)(void *ctx), void *ctx);
void vmt_waker_destroy(vmt_waker *waker); /* no thread may call wake() any more */
void vmt_waker_wake(vmt_waker *waker);

vmt_timer *vmt_timer_create(vmt_loop *loop, void (*fn)(void *ctx), void *ctx);
void vmt_timer_destroy(vmt_timer *timer);
void vmt_timer_start(vmt_timer *timer, uint64_t delay_ns); /* once; starting again moves it */
void vmt_timer_stop(vmt_timer *timer);

/* fn runs on the loop when the process gets the signal.  Until destroy(). */
vmt_status vmt_loop_on_signal(vmt_loop *loop, int signal_number, void (*fn)(void *ctx, int signal_number),
                              void *ctx, vmt_err *err);

#endif
