/* metal/mock_metal.h: enough of the Objective-C runtime and of Metal to run the driver's own code where neither is.
 *
 * Strict where Apple's would crash, corrupt or be silent: an unknown selector, a message to an object that is gone, an
 * over-release, an autorelease without a pool, a buffer or argument that the kernel does not have, memory that is not
 * resident, a command buffer that is committed while it is encoded.  The first breach is kept as a sentence.  Kernels
 * run on the host driver when the event is waited for, and not before. */
#ifndef VMT_BACKEND_METAL_MOCK_METAL_H
#define VMT_BACKEND_METAL_MOCK_METAL_H

#include "backend/gpu.h"
#include "backend/metal/objc.h"

typedef struct vmt_mock_options {
    uint32_t macos_major;                       /* 14: without residency sets and math modes */
    bool no_device;                             /* MTLCreateSystemDefaultDevice gives NULL; a list still has it */
    bool no_devices;                            /* neither has one */
    bool is_discrete;                           /* a GPU with memory of its own */
    bool refuses_memory;                        /* new buffers are NULL */
    bool refuses_source;                        /* nothing compiles */
    bool fails_commands;                        /* command buffers end with an error */
    const char *missing_selector;               /* objects say that they do not know it */
    bool hangs;                                 /* command buffers never end */
    size_t buffer_bytes_max, working_set_bytes; /* 0: 1 GiB, 4 GiB */
} vmt_mock_options;

/* One mock at a time.  host runs the kernels (borrowed); NULL: nothing runs, command buffers just end. */
void vmt_mock_start(const vmt_mock_options *options, vmt_gpu *host, vmt_objc *objc);
/* What is wrong so far, the objects still alive included when is_over; "" if nothing is. */
const char *vmt_mock_complaint(bool is_over);
void vmt_mock_stop(void);

typedef struct vmt_mock_counts {
    uint32_t num_dispatches, num_barriers, num_sets, num_compiles, num_set_buffer;
} vmt_mock_counts;
vmt_mock_counts vmt_mock_get_counts(void);
vmt_mock_options *vmt_mock_get_options(void); /* may be changed while it runs */

#endif
