/* kernels/norm_kargs.h: arguments of norm.metal. */
#ifndef VMT_KERNELS_NORM_KARGS_H
#define VMT_KERNELS_NORM_KARGS_H

#ifndef __METAL_VERSION__
#include <stdint.h>
#endif

typedef struct vmt_norm_kargs {
    uint32_t num_rows; /* of out */
    uint32_t cols;     /* a multiple of 4 */
    uint32_t has_row_ids, has_bias;
    float eps;
} vmt_norm_kargs;

#endif
