/* base/checked.h: arithmetic on sizes that come from a file or a client.  false means overflow; *out is then 0. */
#ifndef VMT_BASE_CHECKED_H
#define VMT_BASE_CHECKED_H

#include "base/status.h"

VMT_MUST_USE static inline bool vmt_add_size(size_t a, size_t b, size_t *out) {
    if (!__builtin_add_overflow(a, b, out)) return true;
    *out = 0;
    return false;
}
VMT_MUST_USE static inline bool vmt_mul_size(size_t a, size_t b, size_t *out) {
    if (!__builtin_mul_overflow(a, b, out)) return true;
    *out = 0;
    return false;
}
/* True when [offset, offset + len) lies inside [0, total). */
VMT_MUST_USE static inline bool vmt_range_fits(uint64_t offset, uint64_t len, uint64_t total) {
    return len <= total && offset <= total - len;
}

#endif
