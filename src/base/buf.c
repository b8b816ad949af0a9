#include "base/buf.h"
#include "base/checked.h"

#include <stdio.h>
#include <stdlib.h>

#define CAP_FIRST ((size_t)64)

void vmt_buf_init(vmt_buf *buf, size_t cap_max) {
    *buf = (vmt_buf){.cap_max = cap_max};
}

void vmt_buf_free(vmt_buf *buf) {
    free(buf->ptr);
    vmt_buf_init(buf, buf->cap_max);
}

void vmt_buf_clear(vmt_buf *buf) {
    buf->len = 0;
    buf->failed = false;
    if (buf->ptr) buf->ptr[0] = 0;
}

bool vmt_buf_reserve(vmt_buf *buf, size_t extra_bytes) {
    if (buf->failed) return false;
    size_t len_max = buf->cap_max ? buf->cap_max : VMT_BUF_CAP_MAX;
    if (buf->len > len_max || extra_bytes > len_max - buf->len) {
        buf->failed = true;
        return false;
    }
    /* cap counts text only; the NUL has a byte of its own behind it. */
    size_t need = buf->len + extra_bytes;
    if (buf->ptr && need <= buf->cap) return true;
    size_t cap = VMT_MAX(VMT_MAX(need, CAP_FIRST), buf->cap <= len_max / 2 ? 2 * buf->cap : len_max);
    cap = VMT_MIN(cap, VMT_MAX(len_max, need));
    char *ptr = cap < SIZE_MAX ? realloc(buf->ptr, cap + 1) : NULL;
    if (!ptr) {
        buf->failed = true;
        return false;
    }
    buf->ptr = ptr;
    buf->cap = cap;
    buf->ptr[buf->len] = 0;
    return true;
}

void vmt_buf_append(vmt_buf *buf, vmt_str s) {
    if (!vmt_buf_reserve(buf, s.len)) return;
    if (s.len) memcpy(buf->ptr + buf->len, s.ptr, s.len);
    buf->len += s.len;
    buf->ptr[buf->len] = 0;
}

void vmt_buf_append_c(vmt_buf *buf, const char *c_string) {
    vmt_buf_append(buf, vmt_str_from(c_string));
}

void vmt_buf_append_byte(vmt_buf *buf, char byte) {
    vmt_buf_append(buf, (vmt_str){&byte, 1});
}

void vmt_buf_printf(vmt_buf *buf, const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0) {
        buf->failed = true;
    } else if (vmt_buf_reserve(buf, (size_t)len)) {
        vsnprintf(buf->ptr + buf->len, (size_t)len + 1, fmt, again);
        buf->len += (size_t)len;
    }
    va_end(again);
}

void vmt_buf_drop_front(vmt_buf *buf, size_t bytes) {
    VMT_ASSERT(bytes <= buf->len);
    if (bytes == 0) return;
    buf->len -= bytes;
    memmove(buf->ptr, buf->ptr + bytes, buf->len + 1);
}

vmt_status vmt_array_grow(void **array, size_t *cap, size_t need, size_t elem_bytes, size_t count_max) {
    if (need <= *cap) return VMT_OK;
    if (need > count_max) return VMT_E_EXHAUSTED;
    size_t new_cap = *cap <= count_max / 2 ? 2 * *cap : count_max;
    new_cap = VMT_MIN(VMT_MAX(VMT_MAX(new_cap, need), (size_t)8), count_max);
    size_t bytes;
    if (!vmt_mul_size(new_cap, elem_bytes, &bytes)) return VMT_E_NO_MEMORY;
    void *grown = realloc(*array, VMT_MAX(bytes, 1));
    if (!grown) return VMT_E_NO_MEMORY;
    *array = grown;
    *cap = new_cap;
    return VMT_OK;
}
