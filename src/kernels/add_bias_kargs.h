/* kernels/add_bias_kargs.h: arguments of add_bias.metal. */
#ifndef VMT_KERNELS_ADD_BIAS_KARGS_H
#define VMT_KERNELS_ADD_BIAS_KARGS_H

#ifndef __METAL_VERSION__
#include <stdint.h>
#endif

typedef struct vmt_add_bias_kargs {
    uint32_t num_rows;
    uint32_t cols, stride; /* of a row, multiples of 8 */
    float scale;
} vmt_add_bias_kargs;

#endif
