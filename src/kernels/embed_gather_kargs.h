/* kernels/embed_gather_kargs.h: arguments of embed_gather.  Read by the host and by kernels. */
#ifndef VMT_KERNELS_EMBED_GATHER_KARGS_H
#define VMT_KERNELS_EMBED_GATHER_KARGS_H

typedef struct vmt_embed_gather_kargs {
    uint32_t num_rows; /* tokens of the step */
    uint32_t cols;
    uint32_t row_bytes;   /* of W's data */
    uint32_t group_shift; /* MLX: log2 of the group's size */
    uint32_t num_ids;     /* rows of W */
    float scale;
} vmt_embed_gather_kargs;

#endif
