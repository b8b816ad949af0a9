/* kernels/probe_kargs.h: arguments of probe.metal. */
#ifndef VMT_KERNELS_PROBE_KARGS_H
#define VMT_KERNELS_PROBE_KARGS_H

#ifndef __METAL_VERSION__
#include <stdint.h>
#endif

typedef struct vmt_probe_kargs {
    uint32_t stride; /* elements of a row of out */
} vmt_probe_kargs;

#endif
