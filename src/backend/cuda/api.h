/* backend/cuda/api.h: what we use of NVIDIA's driver and of NVRTC, declared here and looked up at run time, so that
 * neither is needed to build or to start.  Names, types and values as in cuda.h and nvrtc.h. */
#ifndef VMT_BACKEND_CUDA_API_H
#define VMT_BACKEND_CUDA_API_H

#include "base/status.h"

typedef int CUresult; /* 0: success */
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphNode_st *CUgraphNode;
typedef struct CUgraphExec_st *CUgraphExec;
typedef struct nvrtcProgram_st *nvrtcProgram;
typedef int nvrtcResult;

enum {
    CUDA_SUCCESS = 0,
    CUDA_ERROR_OUT_OF_MEMORY = 2,
    CUDA_ERROR_NOT_READY = 600,
    CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
    CU_MEMHOSTALLOC_PORTABLE = 1,
    CU_MEMHOSTALLOC_DEVICEMAP = 2,
    CU_STREAM_NON_BLOCKING = 1,
    CU_EVENT_DEFAULT = 0,
};

typedef struct CUDA_KERNEL_NODE_PARAMS {
    CUfunction func;
    unsigned gridDimX, gridDimY, gridDimZ;
    unsigned blockDimX, blockDimY, blockDimZ;
    unsigned sharedMemBytes;
    void **kernelParams;
    void **extra;
    void *kern; /* CUkernel and CUcontext: NULL, as func is given */
    CUcontext ctx;
} CUDA_KERNEL_NODE_PARAMS; /* version 2, of CUDA 12 */

/* X(name in the library, our field, arguments) */
#define VMT_CUDA_DRIVER_FUNCTIONS(X)                                                                             \
    X(cuInit, init, (unsigned flags))                                                                            \
    X(cuDriverGetVersion, driver_get_version, (int *version))                                                    \
    X(cuDeviceGetCount, device_get_count, (int *count))                                                          \
    X(cuDeviceGet, device_get, (CUdevice * device, int ordinal))                                                 \
    X(cuDeviceGetName, device_get_name, (char *name, int len, CUdevice device))                                  \
    X(cuDeviceGetAttribute, device_get_attribute, (int *value, int attribute, CUdevice device))                  \
    X(cuDeviceTotalMem_v2, device_total_mem, (size_t *bytes, CUdevice device))                                   \
    X(cuDevicePrimaryCtxRetain, primary_ctx_retain, (CUcontext * context, CUdevice device))                      \
    X(cuDevicePrimaryCtxRelease_v2, primary_ctx_release, (CUdevice device))                                      \
    X(cuCtxSetCurrent, ctx_set_current, (CUcontext context))                                                     \
    X(cuMemAlloc_v2, mem_alloc, (CUdeviceptr * at, size_t bytes))                                                \
    X(cuMemFree_v2, mem_free, (CUdeviceptr at))                                                                  \
    X(cuMemsetD8_v2, memset_d8, (CUdeviceptr at, unsigned char value, size_t bytes))                             \
    X(cuMemHostAlloc, mem_host_alloc, (void **at, size_t bytes, unsigned flags))                                 \
    X(cuMemFreeHost, mem_free_host, (void *at))                                                                  \
    X(cuMemHostGetDevicePointer_v2, mem_host_get_device_pointer, (CUdeviceptr * at, void *host, unsigned flags)) \
    X(cuMemcpyHtoD_v2, memcpy_htod, (CUdeviceptr to, const void *from, size_t bytes))                            \
    X(cuModuleLoadData, module_load_data, (CUmodule * module, const void *image))                                \
    X(cuModuleUnload, module_unload, (CUmodule module))                                                          \
    X(cuModuleGetFunction, module_get_function, (CUfunction * function, CUmodule module, const char *name))      \
    X(cuLaunchKernel, launch_kernel,                                                                             \
      (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,                 \
       unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream, void **params, void **extra)) \
    X(cuStreamCreate, stream_create, (CUstream * stream, unsigned flags))                                        \
    X(cuStreamDestroy_v2, stream_destroy, (CUstream stream))                                                     \
    X(cuStreamSynchronize, stream_synchronize, (CUstream stream))                                                \
    X(cuEventCreate, event_create, (CUevent * event, unsigned flags))                                            \
    X(cuEventDestroy_v2, event_destroy, (CUevent event))                                                         \
    X(cuEventRecord, event_record, (CUevent event, CUstream stream))                                             \
    X(cuEventQuery, event_query, (CUevent event))                                                                \
    X(cuEventElapsedTime, event_elapsed_time, (float *ms, CUevent begin, CUevent end))                           \
    X(cuGraphCreate, graph_create, (CUgraph * graph, unsigned flags))                                            \
    X(cuGraphDestroy, graph_destroy, (CUgraph graph))                                                            \
    X(cuGraphAddKernelNode_v2, graph_add_kernel_node,                                                            \
      (CUgraphNode * node, CUgraph graph, const CUgraphNode *dependencies, size_t num_dependencies,              \
       const CUDA_KERNEL_NODE_PARAMS *params))                                                                   \
    X(cuGraphAddEmptyNode, graph_add_empty_node,                                                                 \
      (CUgraphNode * node, CUgraph graph, const CUgraphNode *dependencies, size_t num_dependencies))             \
    X(cuGraphInstantiateWithFlags, graph_instantiate,                                                            \
      (CUgraphExec * exec, CUgraph graph, unsigned long long flags))                                             \
    X(cuGraphExecDestroy, graph_exec_destroy, (CUgraphExec exec))                                                \
    X(cuGraphLaunch, graph_launch, (CUgraphExec exec, CUstream stream))                                          \
    X(cuGetErrorName, get_error_name, (CUresult result, const char **name))

#define VMT_NVRTC_FUNCTIONS(X)                                                                                    \
    X(nvrtcVersion, version, (int *major, int *minor))                                                            \
    X(nvrtcCreateProgram, create_program,                                                                         \
      (nvrtcProgram * program, const char *source, const char *name, int num_headers, const char *const *headers, \
       const char *const *header_names))                                                                          \
    X(nvrtcDestroyProgram, destroy_program, (nvrtcProgram * program))                                             \
    X(nvrtcCompileProgram, compile_program, (nvrtcProgram program, int num_options, const char *const *options))  \
    X(nvrtcGetCUBINSize, get_cubin_size, (nvrtcProgram program, size_t *bytes))                                   \
    X(nvrtcGetCUBIN, get_cubin, (nvrtcProgram program, char *cubin))                                              \
    X(nvrtcGetProgramLogSize, get_log_size, (nvrtcProgram program, size_t *bytes))                                \
    X(nvrtcGetProgramLog, get_log, (nvrtcProgram program, char *log))

typedef struct vmt_cuda_api {
    void *library;
#define VMT_FIELD(name, field, args) int(*field) args;
    VMT_CUDA_DRIVER_FUNCTIONS(VMT_FIELD)
#undef VMT_FIELD
} vmt_cuda_api;

typedef struct vmt_nvrtc_api {
    void *library;
#define VMT_FIELD(name, field, args) int(*field) args;
    VMT_NVRTC_FUNCTIONS(VMT_FIELD)
#undef VMT_FIELD
} vmt_nvrtc_api;

/* VMT_E_UNSUPPORTED: the library, or a function of it, is not there. */
vmt_status vmt_cuda_api_load(vmt_cuda_api *out, vmt_err *err);
vmt_status vmt_nvrtc_api_load(vmt_nvrtc_api *out, vmt_err *err);

#endif
