/* base/str.h: strings are slices (pointer, length).  They borrow; NUL-terminated text exists at the OS border only. */
#ifndef VMT_BASE_STR_H
#define VMT_BASE_STR_H

#include "base/status.h"
#include <string.h>

typedef struct vmt_str {
    const char *ptr; /* not NUL-terminated; may be NULL when len is 0 */
    size_t len;
} vmt_str;

/* A literal. */
#define VMT_STR(literal) ((vmt_str){(literal), sizeof(literal) - 1})
/* printf("%.*s", VMT_STR_ARG(s)) */
#define VMT_STR_ARG(s) ((int)(s).len), ((s).ptr ? (s).ptr : "")

static inline vmt_str vmt_str_from(const char *c_string) {
    return (vmt_str){c_string, c_string ? strlen(c_string) : 0};
}
static inline vmt_str vmt_str_slice(vmt_str s, size_t begin, size_t end) {
    VMT_ASSERT(begin <= end && end <= s.len);
    return (vmt_str){s.ptr ? s.ptr + begin : NULL, end - begin};
}
static inline bool vmt_str_eq(vmt_str a, vmt_str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline bool vmt_str_eq_c(vmt_str a, const char *b) {
    return vmt_str_eq(a, vmt_str_from(b));
}
static inline bool vmt_str_starts(vmt_str s, vmt_str prefix) {
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}
static inline bool vmt_str_ends(vmt_str s, vmt_str suffix) {
    return s.len >= suffix.len &&
           (suffix.len == 0 || memcmp(s.ptr + s.len - suffix.len, suffix.ptr, suffix.len) == 0);
}
bool vmt_str_eq_nocase(vmt_str a, vmt_str b); /* ASCII */
/* Bytewise order, a shorter prefix first: <0, 0, >0. */
int vmt_str_compare(vmt_str a, vmt_str b);
/* Index of the first occurrence at or after from, or SIZE_MAX. */
size_t vmt_str_find(vmt_str s, vmt_str needle, size_t from);
vmt_str vmt_str_trim(vmt_str s); /* ASCII white space off both ends */

/* Whole-string numbers, no white space; false on anything else or overflow. */
bool vmt_str_to_i64(vmt_str s, int64_t *out);
bool vmt_str_to_u64(vmt_str s, uint64_t *out);
bool vmt_str_to_f64(vmt_str s, double *out);

#endif
