/* base/test_allocs.h: counts a thread's allocations, for tests of what allocates nothing.
 *
 * A program that calls this has malloc() and its family replaced by ones that count and then call the C library's. */
#ifndef VMT_BASE_TEST_ALLOCS_H
#define VMT_BASE_TEST_ALLOCS_H

#include <stdbool.h>
#include <stdint.h>

/* false: the C library does not let us look, or a sanitizer looks already; the count is 0 then. */
bool vmt_test_can_count_allocs(void);
/* Of the calling thread, so far. */
uint64_t vmt_test_num_allocs(void);

#endif
