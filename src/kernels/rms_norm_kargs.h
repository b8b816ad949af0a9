#ifndef VMT_KERNELS_RMS_NORM_KARGS_H
#define VMT_KERNELS_RMS_NORM_KARGS_H

#include <stdint.h>

typedef struct vmt_rms_norm_kargs {
    uint32_t num_rows;
    uint32_t hidden; /* elements of a row */
    float epsilon;
} vmt_rms_norm_kargs;

#endif
