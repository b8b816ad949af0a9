/* backend/cuda/api.h: what we use of NVIDIA's driver, of NVRTC and of cuBLASLt, declared here and looked up at run
 * time, so that none is needed to build or to start.  Names, types and values as in cuda.h, nvrtc.h and cublasLt.h. */
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
typedef struct cublasLtContext *cublasLtHandle_t;
typedef struct cublasLtMatmulDesc *cublasLtMatmulDesc_t;
typedef struct cublasLtMatrixLayout *cublasLtMatrixLayout_t;
typedef struct cublasLtMatmulPreference *cublasLtMatmulPreference_t;

enum {
    CUDA_SUCCESS = 0,
    CUDA_ERROR_OUT_OF_MEMORY = 2,
    CUDA_ERROR_NOT_READY = 600,
    CUDA_ERROR_LAUNCH_FAILED = 719,
    CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
    CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR = 81,
    CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97,
    CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK = 111,
    CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8,
    CU_MEMHOSTALLOC_PORTABLE = 1,
    CU_MEMHOSTALLOC_DEVICEMAP = 2,
    CU_STREAM_NON_BLOCKING = 1,
    CU_EVENT_DEFAULT = 0,
    CU_STREAM_CAPTURE_MODE_RELAXED = 2,

    CUBLAS_STATUS_SUCCESS = 0,
    CUDA_R_32F = 0,
    CUDA_R_16F = 2,
    CUDA_R_16BF = 14,
    CUBLAS_COMPUTE_32F = 68,
    CUBLAS_OP_T = 1,
    CUBLASLT_MATRIX_LAYOUT_COLS = 3,
    CUBLASLT_MATMUL_DESC_TRANSA = 3,
    CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES = 1,
    CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK = 3,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES = 5, /* of B, C and D: the next three */
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES = 8,
    CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE = 2,
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

typedef struct CUgraphEdgeData {
    uint8_t from_port, to_port, type, reserved[5];
} CUgraphEdgeData;
#define CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC 1
#define CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC  1

typedef struct cublasLtMatmulAlgo_t {
    uint64_t data[8];
} cublasLtMatmulAlgo_t;
typedef struct cublasLtMatmulHeuristicResult_t {
    cublasLtMatmulAlgo_t algo;
    size_t workspaceSize;
    int state; /* CUBLAS_STATUS_SUCCESS: the rest is valid */
    float wavesCount;
    int reserved[4];
} cublasLtMatmulHeuristicResult_t;

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
    X(cuFuncSetAttribute, func_set_attribute, (CUfunction function, int attribute, int value))                   \
    X(cuLaunchKernel, launch_kernel,                                                                             \
      (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,                 \
       unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream, void **params, void **extra)) \
    X(cuStreamCreate, stream_create, (CUstream * stream, unsigned flags))                                        \
    X(cuStreamDestroy_v2, stream_destroy, (CUstream stream))                                                     \
    X(cuStreamSynchronize, stream_synchronize, (CUstream stream))                                                \
    X(cuStreamBeginCapture_v2, stream_begin_capture, (CUstream stream, int mode))                                \
    X(cuStreamEndCapture, stream_end_capture, (CUstream stream, CUgraph * graph))                                \
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

/* NULL in a driver that has not got it: CUDA 12.3 does. */
#define VMT_CUDA_NEWER_FUNCTIONS(X)                                                                 \
    X(cuGraphAddDependencies_v2, graph_add_dependencies,                                            \
      (CUgraph graph, const CUgraphNode *from, const CUgraphNode *to, const CUgraphEdgeData *edges, \
       size_t num_dependencies))

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

#define VMT_CUBLASLT_FUNCTIONS(X)                                                                              \
    X(cublasLtCreate, create, (cublasLtHandle_t * handle))                                                     \
    X(cublasLtDestroy, destroy, (cublasLtHandle_t handle))                                                     \
    X(cublasLtMatmulDescCreate, desc_create, (cublasLtMatmulDesc_t * desc, int compute_type, int scale_type))  \
    X(cublasLtMatmulDescDestroy, desc_destroy, (cublasLtMatmulDesc_t desc))                                    \
    X(cublasLtMatmulDescSetAttribute, desc_set,                                                                \
      (cublasLtMatmulDesc_t desc, int name, const void *value, size_t bytes))                                  \
    X(cublasLtMatrixLayoutCreate, layout_create,                                                               \
      (cublasLtMatrixLayout_t * layout, int type, uint64_t rows, uint64_t cols, int64_t stride))               \
    X(cublasLtMatrixLayoutDestroy, layout_destroy, (cublasLtMatrixLayout_t layout))                            \
    X(cublasLtMatrixLayoutSetAttribute, layout_set,                                                            \
      (cublasLtMatrixLayout_t layout, int name, const void *value, size_t bytes))                              \
    X(cublasLtMatmulPreferenceCreate, preference_create, (cublasLtMatmulPreference_t * preference))            \
    X(cublasLtMatmulPreferenceDestroy, preference_destroy, (cublasLtMatmulPreference_t preference))            \
    X(cublasLtMatmulPreferenceSetAttribute, preference_set,                                                    \
      (cublasLtMatmulPreference_t preference, int name, const void *value, size_t bytes))                      \
    X(cublasLtMatmulAlgoGetHeuristic, get_heuristic,                                                           \
      (cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, \
       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference, int num_max, \
       cublasLtMatmulHeuristicResult_t *results, int *num_results))                                            \
    X(cublasLtMatmul, matmul,                                                                                  \
      (cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha, const void *a,                   \
       cublasLtMatrixLayout_t a_layout, const void *b, cublasLtMatrixLayout_t b_layout, const void *beta,      \
       const void *c, cublasLtMatrixLayout_t c_layout, void *d, cublasLtMatrixLayout_t d_layout,               \
       const cublasLtMatmulAlgo_t *algo, void *workspace, size_t workspace_bytes, CUstream stream))

typedef struct vmt_cuda_api {
    void *library;
#define VMT_FIELD(name, field, args) int(*field) args;
    VMT_CUDA_DRIVER_FUNCTIONS(VMT_FIELD)
    VMT_CUDA_NEWER_FUNCTIONS(VMT_FIELD)
#undef VMT_FIELD
} vmt_cuda_api;

typedef struct vmt_nvrtc_api {
    void *library;
#define VMT_FIELD(name, field, args) int(*field) args;
    VMT_NVRTC_FUNCTIONS(VMT_FIELD)
#undef VMT_FIELD
} vmt_nvrtc_api;

typedef struct vmt_cublaslt_api {
    void *library;
#define VMT_FIELD(name, field, args) int(*field) args;
    VMT_CUBLASLT_FUNCTIONS(VMT_FIELD)
#undef VMT_FIELD
} vmt_cublaslt_api;

/* VMT_E_UNSUPPORTED: the library, or a function of it, is not there. */
vmt_status vmt_cuda_api_load(vmt_cuda_api *out, vmt_err *err);
vmt_status vmt_nvrtc_api_load(vmt_nvrtc_api *out, vmt_err *err);
vmt_status vmt_cublaslt_api_load(vmt_cublaslt_api *out, vmt_err *err);

#endif
