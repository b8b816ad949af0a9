/* kernels/gather_kargs.h: arguments of gather.metal. */
#ifndef VMT_KERNELS_GATHER_KARGS_H
#define VMT_KERNELS_GATHER_KARGS_H

#ifndef __METAL_VERSION__
#include <stdint.h>
#endif

typedef struct vmt_gather_kargs {
    uint32_t num_rows; /* of out */
    uint32_t row_vecs; /* 16-byte vectors of a row */
    uint32_t has_row_ids;
} vmt_gather_kargs;

#endif
