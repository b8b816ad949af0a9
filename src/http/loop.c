#include "http/loop.h"
#include "base/clock.h"
#include "http/loop_base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DELAY_NS_MAX (UINT64_C(1000000000) * 86400 * 365) /* keeps deadlines far from overflow */

struct signal_watch {
    struct signal_watch *next;
    struct event *event;
    void (*fn)(void *ctx, int signal_number);
    void *ctx;
};

struct vmt_loop {
    struct event_base *base;
    struct signal_watch *signals;
    vmt_loop_stats stats;
    uint32_t num_users; /* timers and wakers */
    bool is_stopped;
};

struct vmt_timer {
    vmt_loop *loop;
    struct event *event;
    void (*fn)(void *ctx);
    void *ctx;
    uint64_t deadline_ns;
};

struct vmt_waker {
    vmt_loop *loop;
    struct event *event;
    void (*fn)(void *ctx);
    void *ctx;
    int read_fd, write_fd;
    atomic_bool is_pending; /* a byte is in the pipe, or about to be */
};

struct event_base *vmt_loop_base(vmt_loop *loop) {
    return loop->base;
}

vmt_status vmt_loop_create(vmt_loop **out, vmt_err *err) {
    *out = NULL;
    vmt_loop *loop = calloc(1, sizeof *loop);
    if (!loop) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the event loop");
    loop->base = event_base_new();
    if (!loop->base) {
        free(loop);
        return vmt_fail(err, VMT_E_IO, "cannot create an event loop: %s", strerror(errno));
    }
    /* A peer that closes is an error code of write(), never the end of the process. */
    struct sigaction action;
    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL) {
        action.sa_handler = SIG_IGN;
        sigaction(SIGPIPE, &action, NULL);
    }
    *out = loop;
    return VMT_OK;
}

void vmt_loop_destroy(vmt_loop *loop) {
    if (!loop) return;
    VMT_ASSERT(loop->num_users == 0);
    while (loop->signals) {
        struct signal_watch *watch = loop->signals;
        loop->signals = watch->next;
        event_free(watch->event);
        free(watch);
    }
    event_base_free(loop->base);
    free(loop);
}

static void count_turn(vmt_loop_stats *stats, uint64_t turn_ns) {
    static const double bounds_s[VMT_LOOP_TURN_BOUNDS] = VMT_LOOP_TURN_BOUNDS_S;
    uint32_t i = 0;
    while (i < VMT_LOOP_TURN_BOUNDS && (double)turn_ns * 1e-9 > bounds_s[i]) i++;
    stats->buckets[i]++;
    stats->num_turns++;
    stats->turn_ns_total += turn_ns;
    stats->turn_ns_max = VMT_MAX(stats->turn_ns_max, turn_ns);
}

vmt_loop_stats vmt_loop_get_stats(const vmt_loop *loop) {
    return loop->stats;
}

vmt_status vmt_loop_run(vmt_loop *loop, vmt_err *err) {
    int rc = 0;
    uint64_t before_ns = vmt_clock_thread_cpu_ns();
    while (!loop->is_stopped && rc == 0) {
        rc = event_base_loop(loop->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
        uint64_t now_ns = vmt_clock_thread_cpu_ns();
        count_turn(&loop->stats, now_ns - before_ns);
        before_ns = now_ns;
    }
    loop->is_stopped = false;
    return rc < 0 ? vmt_fail(err, VMT_E_IO, "the event loop failed: %s", strerror(errno)) : VMT_OK;
}

void vmt_loop_stop(vmt_loop *loop) {
    loop->is_stopped = true;
    event_base_loopbreak(loop->base);
}

/* ---- signals */

static void signal_fired(evutil_socket_t signal_number, short what, void *arg) {
    struct signal_watch *watch = arg;
    watch->fn(watch->ctx, (int)signal_number);
}

vmt_status vmt_loop_on_signal(vmt_loop *loop, int signal_number, void (*fn)(void *ctx, int signal_number),
                              void *ctx, vmt_err *err) {
    struct signal_watch *watch = calloc(1, sizeof *watch);
    if (!watch) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory to watch signal %d", signal_number);
    *watch = (struct signal_watch){.next = loop->signals, .fn = fn, .ctx = ctx};
    watch->event = evsignal_new(loop->base, signal_number, signal_fired, watch);
    if (!watch->event || event_add(watch->event, NULL) != 0) {
        if (watch->event) event_free(watch->event);
        free(watch);
        return vmt_fail(err, VMT_E_IO, "cannot watch signal %d: %s", signal_number, strerror(errno));
    }
    loop->signals = watch;
    return VMT_OK;
}

/* ---- timers */

static void timer_add(vmt_timer *timer, uint64_t now_ns) {
    uint64_t left_ns = timer->deadline_ns > now_ns ? timer->deadline_ns - now_ns : 0;
    struct timeval delay = vmt_timeval_from_ns(left_ns);
    VMT_ASSERT(event_add(timer->event, &delay) == 0);
}

static void timer_fired(evutil_socket_t fd, short what, void *arg) {
    vmt_timer *timer = arg;
    /* libevent counts from the time it cached at the start of the turn, so it may be early by a turn's length. */
    uint64_t now_ns = vmt_clock_ns();
    if (now_ns < timer->deadline_ns) {
        timer_add(timer, now_ns);
        return;
    }
    timer->fn(timer->ctx);
}

vmt_timer *vmt_timer_create(vmt_loop *loop, void (*fn)(void *ctx), void *ctx) {
    vmt_timer *timer = calloc(1, sizeof *timer);
    if (!timer) return NULL;
    *timer = (vmt_timer){.loop = loop, .fn = fn, .ctx = ctx};
    timer->event = evtimer_new(loop->base, timer_fired, timer);
    if (!timer->event) {
        free(timer);
        return NULL;
    }
    loop->num_users++;
    return timer;
}

void vmt_timer_destroy(vmt_timer *timer) {
    if (!timer) return;
    timer->loop->num_users--;
    event_free(timer->event);
    free(timer);
}

void vmt_timer_start(vmt_timer *timer, uint64_t delay_ns) {
    uint64_t now_ns = vmt_clock_ns();
    timer->deadline_ns = now_ns + VMT_MIN(delay_ns, DELAY_NS_MAX);
    timer_add(timer, now_ns);
}

void vmt_timer_stop(vmt_timer *timer) {
    event_del(timer->event);
}

/* ---- wakers */

static void waker_fired(evutil_socket_t fd, short what, void *arg) {
    vmt_waker *waker = arg;
    char bytes[16];
    ssize_t got = read(waker->read_fd, bytes, sizeof bytes);
    (void)got;
    /* Cleared after the read and before fn: a wake from here on leaves a byte of its own, an earlier one has already
     * published what fn is to see. */
    atomic_exchange_explicit(&waker->is_pending, false, memory_order_acq_rel);
    waker->fn(waker->ctx);
}

static bool set_pipe_flags(int fd) {
    return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

vmt_waker *vmt_waker_create(vmt_loop *loop, void (*fn)(void *ctx), void *ctx) {
    vmt_waker *waker = calloc(1, sizeof *waker);
    int fds[2];
    if (!waker || pipe(fds) != 0) {
        free(waker);
        return NULL;
    }
    *waker = (vmt_waker){.loop = loop, .fn = fn, .ctx = ctx, .read_fd = fds[0], .write_fd = fds[1]};
    atomic_init(&waker->is_pending, false);
    if (set_pipe_flags(fds[0]) && set_pipe_flags(fds[1])) {
        waker->event = event_new(loop->base, fds[0], EV_READ | EV_PERSIST, waker_fired, waker);
    }
    if (!waker->event || event_add(waker->event, NULL) != 0) {
        if (waker->event) event_free(waker->event);
        close(fds[0]);
        close(fds[1]);
        free(waker);
        return NULL;
    }
    loop->num_users++;
    return waker;
}

void vmt_waker_destroy(vmt_waker *waker) {
    if (!waker) return;
    waker->loop->num_users--;
    event_free(waker->event);
    close(waker->read_fd);
    close(waker->write_fd);
    free(waker);
}

void vmt_waker_wake(vmt_waker *waker) {
    if (atomic_exchange_explicit(&waker->is_pending, true, memory_order_acq_rel)) return;
    /* The pipe holds at most a byte or two, so only a signal can get in the way. */
    ssize_t put;
    do put = write(waker->write_fd, "", 1);
    while (put < 0 && errno == EINTR);
}
