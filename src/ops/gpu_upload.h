/* ops/gpu_upload.h: the lists that a step brings, from memory that the host fills to the device's own.
 *
 * Where memory is not unified, kernels that read the host's wait for the bus, each of them in every layer: one dispatch
 * fetches what all of them read.  Which lists are how long follows from a header in the host's memory, so that the
 * dispatch is the same in every step. */
#ifndef VMT_OPS_GPU_UPLOAD_H
#define VMT_OPS_GPU_UPLOAD_H

#include "backend/gpu_program.h"
#include "kernels/upload_kargs.h"

typedef struct vmt_gpu_upload_args {
    vmt_tensor from; /* I32 [words] VMT_GPU_SHARED, begins with a vmt_upload_header */
    vmt_tensor to;   /* I32 [words] as many; the header itself does not arrive */
} vmt_gpu_upload_args;
vmt_status vmt_gpu_upload(vmt_gpu_program *program, const vmt_gpu_upload_args *args, vmt_err *err);

/* The host's side: names one list more.  The caller sees to it that it lies behind the header and within the words. */
void vmt_upload_add(vmt_upload_header *header, vmt_upload_list list);

#endif
