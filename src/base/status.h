/* base/status.h: the one error convention.
 *
 * A function that can fail returns vmt_status (0 is OK) and, when a person will read the reason, takes a vmt_err
 * last.  The message names the thing, the value and the limit.  Wrong calls are bugs: VMT_ASSERT, also in release. */
#ifndef VMT_BASE_STATUS_H
#define VMT_BASE_STATUS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum vmt_status {
    VMT_OK = 0,
    VMT_E_INVALID,     /* the input breaks a rule: a bad field, file or flag */
    VMT_E_NOT_FOUND,   /* a named thing does not exist */
    VMT_E_UNSUPPORTED, /* understood, but this build or model can't do it */
    VMT_E_EXHAUSTED,   /* a named limit was reached: blocks, queue, bytes */
    VMT_E_NO_MEMORY,   /* the allocator said no */
    VMT_E_IO,          /* a file, socket or device failed */
    VMT_E_CANCELLED,   /* given up on request */
    VMT_E_INTERNAL,    /* ours to fix */
} vmt_status;

#define VMT_ERR_MESSAGE_MAX 256
#define VMT_ERR_PARAM_MAX   64

typedef struct vmt_err {
    vmt_status code;
    char param[VMT_ERR_PARAM_MAX]; /* JSON field or flag at fault, dotted path; empty if none */
    char msg[VMT_ERR_MESSAGE_MAX]; /* a sentence, NUL-terminated, cut at 255 bytes on a UTF-8 border */
} vmt_err;

#if defined(__GNUC__)
#define VMT_PRINTF(fmt_idx, arg_idx) __attribute__((format(printf, fmt_idx, arg_idx)))
#define VMT_MUST_USE                 __attribute__((warn_unused_result))
#define VMT_NORETURN                 __attribute__((noreturn))
#define VMT_LIKELY(x)                __builtin_expect(!!(x), 1)
#define VMT_UNLIKELY(x)              __builtin_expect(!!(x), 0)
#else
#error "vmetal is built with gcc or clang"
#endif

/* Fills err (which may be NULL) and returns code, so that `return vmt_fail(err, VMT_E_INVALID, "...", ...)` reads
 * well.  An err that already holds an error keeps it: the first cause wins. */
vmt_status vmt_fail(vmt_err *err, vmt_status code, const char *fmt, ...) VMT_PRINTF(3, 4);
/* The same, and names the JSON field or flag. */
vmt_status vmt_fail_param(vmt_err *err, vmt_status code, const char *param, const char *fmt, ...) VMT_PRINTF(4, 5);
const char *vmt_status_name(vmt_status status);

VMT_NORETURN void vmt_assert_failed(const char *expr, const char *file, int line);
#define VMT_ASSERT(expr) ((expr) ? (void)0 : vmt_assert_failed(#expr, __FILE__, __LINE__))

#define VMT_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define VMT_MIN(a, b)    ((a) < (b) ? (a) : (b))
#define VMT_MAX(a, b)    ((a) > (b) ? (a) : (b))

/* Returns from the caller when a step fails. */
#define VMT_TRY(call)                              \
    do {                                           \
        vmt_status try_status_ = (call);           \
        if (VMT_UNLIKELY(try_status_ != VMT_OK)) { \
            return try_status_;                    \
        }                                          \
    } while (0)

#endif
