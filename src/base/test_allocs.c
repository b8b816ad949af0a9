#include "base/test_allocs.h"

#include <errno.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#endif
#if defined(__GLIBC__) && !defined(IS_SANITIZED) && !defined(VMT_TEST_PLAIN) /* a static C library has its own */
#define CAN_COUNT 1
#else
#define CAN_COUNT 0
#endif

static _Thread_local uint64_t num_allocs;

bool vmt_test_can_count_allocs(void) {
    return CAN_COUNT;
}

uint64_t vmt_test_num_allocs(void) {
    return num_allocs;
}

#if CAN_COUNT
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *ptr, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size) {
    num_allocs++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    num_allocs++;
    return __libc_calloc(count, size);
}

void *realloc(void *ptr, size_t size) {
    num_allocs++;
    return __libc_realloc(ptr, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    num_allocs++;
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
    num_allocs++;
    void *memory = __libc_memalign(alignment, size);
    if (memory == NULL) return ENOMEM;
    *out = memory;
    return 0;
}
#endif
