/* model/gpu_readback.h: the host's copy of a buffer that only the device sees, on demand: where memory is not unified.
 *
 * It goes through a small window that both see, piece by piece.  Engine thread; memory is taken in create(). */
#ifndef VMT_MODEL_GPU_READBACK_H
#define VMT_MODEL_GPU_READBACK_H

#include "backend/gpu_program.h"

#define VMT_GPU_READBACK_ALIGN 4096u /* what the buffer's length must be a multiple of */

typedef struct vmt_gpu_readback vmt_gpu_readback;

vmt_status vmt_gpu_readback_create(vmt_gpu_readback **out, vmt_gpu *gpu, vmt_buffer *buffer, vmt_err *err);
void vmt_gpu_readback_destroy(vmt_gpu_readback *readback); /* NULL is fine */
/* The first so many bytes, as what was committed so far leaves them; valid until the next call. */
vmt_status vmt_gpu_readback_take(vmt_gpu_readback *readback, size_t bytes, uint64_t timeout_ns, const void **out,
                                 vmt_err *err);

#endif
