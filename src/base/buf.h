/* base/buf.h: a growing byte buffer with a cap, and growth for plain arrays.
 *
 * Appends after a failure do nothing: write the whole text, then look at `failed` once. */
#ifndef VMT_BASE_BUF_H
#define VMT_BASE_BUF_H

#include "base/str.h"

typedef struct vmt_buf {
    char *ptr; /* owned; NUL-terminated whenever non-NULL */
    size_t len;
    size_t cap;
    size_t cap_max; /* 0 means VMT_BUF_CAP_MAX */
    bool failed;    /* memory or cap_max refused an append */
} vmt_buf;

#define VMT_BUF_CAP_MAX ((size_t)1 << 31) /* no text of ours comes near 2 GiB */

void vmt_buf_init(vmt_buf *buf, size_t cap_max);
void vmt_buf_free(vmt_buf *buf);  /* leaves it empty and usable */
void vmt_buf_clear(vmt_buf *buf); /* keeps the memory, clears failed */
bool vmt_buf_reserve(vmt_buf *buf, size_t extra_bytes);
void vmt_buf_append(vmt_buf *buf, vmt_str s);
void vmt_buf_append_c(vmt_buf *buf, const char *c_string);
void vmt_buf_append_byte(vmt_buf *buf, char byte);
void vmt_buf_printf(vmt_buf *buf, const char *fmt, ...) VMT_PRINTF(2, 3);
void vmt_buf_drop_front(vmt_buf *buf, size_t bytes);
static inline vmt_str vmt_buf_str(const vmt_buf *buf) {
    return (vmt_str){buf->ptr, buf->len};
}

/* Grows *array (elements of elem_bytes) so that it holds at least need elements, doubling; count_max is the named
 * ceiling.  VMT_E_EXHAUSTED past it, VMT_E_NO_MEMORY from the system; the array is then as it was. */
vmt_status vmt_array_grow(void **array, size_t *cap, size_t need, size_t elem_bytes, size_t count_max);

#endif
