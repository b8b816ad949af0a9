/* kernels/dequantize_kargs.h: arguments of dequantize.  Read by the host and by kernels. */
#ifndef VMT_KERNELS_DEQUANTIZE_KARGS_H
#define VMT_KERNELS_DEQUANTIZE_KARGS_H

#define VMT_DEQUANTIZE_THREADS 256u
#define VMT_DEQUANTIZE_VALUES  32u /* of a thread */

typedef struct vmt_dequantize_kargs {
    uint32_t num_rows; /* of out */
    uint32_t cols;
    uint32_t row_bytes;   /* of W's data */
    uint32_t group_shift; /* MLX: log2 of the group's size */
    uint32_t first_row;   /* of W */
} vmt_dequantize_kargs;

#endif
