/* metal/metal_gpu.h: the Metal driver.
 *
 * One queue; a command buffer has one concurrent compute encoder; memory is shared and untracked, ordered by the
 * program's own barriers.  Buffers are put into residency sets before the first commit that could use them.  Kernels
 * are compiled one by one from the table's text when they are first asked for.  Command buffers are waited for through
 * a shared event with a bound, never for ever; after one has failed the device refuses work. */
#ifndef VMT_BACKEND_METAL_METAL_GPU_H
#define VMT_BACKEND_METAL_METAL_GPU_H

#include "backend/gpu.h"
#include "backend/metal/objc.h"

/* VMT_E_UNSUPPORTED: no Metal, or no GPU with unified memory. */
vmt_status vmt_metal_gpu_open(vmt_gpu **out, vmt_err *err);
/* The same over a runtime that is loaded already; objc is copied. */
vmt_status vmt_metal_gpu_open_with(vmt_gpu **out, const vmt_objc *objc, vmt_err *err);
/* For metal/selectors.h; the device's, until it is closed. */
typedef struct vmt_metal_handles {
    const vmt_objc *objc;
    vmt_id device, queue, event;
} vmt_metal_handles;
/* false: not a device of this driver. */
bool vmt_metal_gpu_handles(vmt_gpu *gpu, vmt_metal_handles *out);

#endif
