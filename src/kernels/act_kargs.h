/* kernels/act_kargs.h: arguments of act.metal. */
#ifndef VMT_KERNELS_ACT_KARGS_H
#define VMT_KERNELS_ACT_KARGS_H

#ifndef __METAL_VERSION__
#include <stdint.h>
#endif

typedef struct vmt_act_kargs {
    uint32_t num_rows;
    uint32_t cols; /* of out, a multiple of 8 */
    uint32_t act;  /* VMT_KERNEL_ACT_* of kernels/activation.h */
} vmt_act_kargs;

#endif
