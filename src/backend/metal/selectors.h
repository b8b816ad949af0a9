/* metal/selectors.h: does this system know every selector that the driver sends?  An unknown one would end the process.
 */
#ifndef VMT_BACKEND_METAL_SELECTORS_H
#define VMT_BACKEND_METAL_SELECTORS_H

#include "backend/gpu.h"
#include "backend/metal/objc.h"

typedef struct vmt_selectors_report {
    /* One that its receiver does not know.  is_optional: the driver asks before it sends it. */
    void (*missing)(void *ctx, const char *receiver, const char *selector, bool is_optional);
    void *ctx;
    uint32_t num_asked, num_missing; /* optional ones that are missing are not counted */
} vmt_selectors_report;

/* Makes an object of each kind that selectors.def names and asks it.  gpu: a device of metal_gpu.h, with no command
 * buffer open.  VMT_E_IO: an object could not be made. */
vmt_status vmt_metal_selectors_check(vmt_gpu *gpu, vmt_selectors_report *report, vmt_err *err);

#endif
