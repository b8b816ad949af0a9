#include "base/clock.h"
#include "base/status.h"

#include <time.h>

static int64_t read_ns(clockid_t clock) {
    struct timespec now;
    VMT_ASSERT(clock_gettime(clock, &now) == 0);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

uint64_t vmt_clock_ns(void) {
    return (uint64_t)read_ns(CLOCK_MONOTONIC);
}

uint64_t vmt_clock_thread_cpu_ns(void) {
    return (uint64_t)read_ns(CLOCK_THREAD_CPUTIME_ID);
}

int64_t vmt_clock_unix_s(void) {
    return read_ns(CLOCK_REALTIME) / 1000000000;
}

int64_t vmt_clock_unix_ns(void) {
    return read_ns(CLOCK_REALTIME);
}
