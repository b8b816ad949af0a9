#include "base/huge.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"

#define HUGE_PAGE_BYTES ((size_t)2 << 20)

void *vmt_huge_calloc(size_t count, size_t size) {
    size_t bytes;
    if (!vmt_mul_size(count, size, &bytes) || bytes > SIZE_MAX - HUGE_PAGE_BYTES) return NULL;
#ifdef MADV_HUGEPAGE
    void *memory;
    if (bytes < HUGE_PAGE_BYTES / 4) return calloc(1, bytes);
    bytes = (bytes + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    if (posix_memalign(&memory, HUGE_PAGE_BYTES, bytes) != 0) return NULL;
    (void)madvise(memory, bytes, MADV_HUGEPAGE); /* a hint: failing changes nothing */
    return memset(memory, 0, bytes);
#else
    return calloc(1, bytes);
#endif
}
