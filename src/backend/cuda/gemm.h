/* backend/cuda/gemm.h: products of plain matrices by cuBLASLt, NVIDIA's library, in the place of a kernel of ours.
 *
 * matmul_tiled_f16_f16 and matmul_tiled_bf16_bf16 say what is computed: a launch of one of them is given to run(),
 * which hands it to the library: a product for each weight, or for neighbours in memory together.  What the library has
 * no call for (biases, picked rows, gates) is left to the kernel.  Sums are float here as there, in another order.
 *
 * How the library is to do it is asked once per shape and kept; numbers of rows share an answer with those near them.
 * The device's thread; the context is current. */
#ifndef VMT_BACKEND_CUDA_GEMM_H
#define VMT_BACKEND_CUDA_GEMM_H

#include "backend/cuda/api.h"
#include "kernels/kernels.h"
#include "kernels/matmul_kargs.h"

typedef struct vmt_cuda_gemm vmt_cuda_gemm;

/* Both tables are borrowed.  Takes 32 MiB of the card. */
vmt_status vmt_cuda_gemm_create(vmt_cuda_gemm **out, const vmt_cuda_api *api, const vmt_cublaslt_api *cublaslt,
                                vmt_err *err);
void vmt_cuda_gemm_destroy(vmt_cuda_gemm *gemm); /* after what was launched is done; NULL is fine */

/* A kernel whose launches run() takes. */
bool vmt_cuda_gemm_knows(const vmt_kernel *kernel);
/* Launches what the kernel would have done; buffers [kernel->num_buffers] as the kernel takes them.  *is_done false
 * with CUDA_SUCCESS: nothing was launched, and the kernel must be. */
CUresult vmt_cuda_gemm_run(vmt_cuda_gemm *gemm, const vmt_kernel *kernel, const CUdeviceptr *buffers,
                           const vmt_matmul_kargs *args, CUstream stream, bool *is_done);

#endif
