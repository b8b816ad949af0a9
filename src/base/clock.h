/* base/clock.h: time. */
#ifndef VMT_BASE_CLOCK_H
#define VMT_BASE_CLOCK_H

#include <stdint.h>

uint64_t vmt_clock_ns(void);            /* monotonic */
uint64_t vmt_clock_thread_cpu_ns(void); /* that the calling thread has used */
int64_t vmt_clock_unix_s(void);         /* wall clock, seconds */
int64_t vmt_clock_unix_ns(void);        /* wall clock, nanoseconds */

#endif
