/* http/loop_base.h: the libevent base behind a loop.  For this folder only. */
#ifndef VMT_HTTP_LOOP_BASE_H
#define VMT_HTTP_LOOP_BASE_H

#include "http/loop.h"

#include <event2/event.h>

struct event_base *vmt_loop_base(vmt_loop *loop);

/* Rounded up: a timer never fires before its time. */
static inline struct timeval vmt_timeval_from_ns(uint64_t ns) {
    uint64_t us = ns / 1000 + (ns % 1000 != 0);
    return (struct timeval){.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};
}

#endif
