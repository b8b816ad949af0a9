/* backend/cuda/compile.h: a kernel's text to machine code: NVRTC, and a cache of files. */
#ifndef VMT_BACKEND_CUDA_COMPILE_H
#define VMT_BACKEND_CUDA_COMPILE_H

#include "base/buf.h"
#include "kernels/kernels.h"

typedef struct vmt_cuda_compiler vmt_cuda_compiler;

/* capability: 90 for sm_90.  cache_dir: an existing folder, or NULL for none; copied.  NVRTC is opened when something
 * is not in the cache. */
vmt_status vmt_cuda_compiler_create(vmt_cuda_compiler **out, uint32_t capability, const char *cache_dir,
                                    vmt_err *err);
void vmt_cuda_compiler_destroy(vmt_cuda_compiler *compiler); /* NULL is fine */

/* Appends the kernel's cubin.  VMT_E_UNSUPPORTED: it does not compile, with the compiler's first message, or there is
 * no compiler. */
vmt_status vmt_cuda_compile(vmt_cuda_compiler *compiler, const vmt_kernel *kernel, vmt_buf *cubin, vmt_err *err);

#endif
