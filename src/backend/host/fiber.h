/* backend/host/fiber.h: a stack to run a function on, and the switch between two.
 *
 * A switch keeps what the platform's calling convention says a callee must keep, and makes no system call. */
#ifndef VMT_BACKEND_HOST_FIBER_H
#define VMT_BACKEND_HOST_FIBER_H

#include "base/status.h"

typedef struct vmt_fiber {
    void *sp;     /* while it does not run */
    char *stack;  /* lowest address; NULL: the stack of the OS thread */
    size_t bytes; /* of the stack */
    void *asan;   /* the address sanitizer's own, while it does not run */
    void *tsan;   /* the thread sanitizer's handle */
} vmt_fiber;

/* Page-aligned, with a page behind its end that faults.  VMT_E_NO_MEMORY. */
vmt_status vmt_fiber_create(vmt_fiber *out, size_t stack_bytes, vmt_err *err);
void vmt_fiber_destroy(vmt_fiber *fiber);    /* an all-zero fiber is fine */
void vmt_fiber_adopt_thread(vmt_fiber *out); /* the calling OS thread as a fiber */

/* The fiber's next switch calls entry(), which never returns. */
void vmt_fiber_reset(vmt_fiber *fiber, void (*entry)(void));
/* Leaves `from`, which runs, for `to`; comes back when someone switches to `from`.  is_last: `from` is done with its
 * stack. */
void vmt_fiber_switch(vmt_fiber *from, vmt_fiber *to, bool is_last);
/* The first thing that entry() calls. */
void vmt_fiber_entered(void);

#endif
