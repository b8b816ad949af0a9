#include "backend/cuda/cuda.h"
#include "backend/cuda/compile.h"
#include "backend/cuda/spread.h"
#include "backend/cuda/stream.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CAPABILITY_MIN 80u    /* bfloat matrices, asynchronous copies, warp reductions */
#define OVERLAP_MIN    90u    /* kernels that wait for one another themselves */
#define GRID_YZ_MAX    65535u /* threadgroups along y and z */

struct cuda_gpu {
    vmt_gpu base;
    vmt_cuda_api api;
    CUdevice device;
    vmt_cuda_shared shared;
    CUcontext context;
    vmt_cuda_compiler *compiler;
    vmt_cuda_stream *stream;
    vmt_cublaslt_api cublaslt;
    vmt_cuda_gemm *gemm; /* NULL: there is no cuBLASLt */
    struct pipeline *pipelines;
};

struct pipeline {
    vmt_gpu_pipeline base;
    CUmodule module;
    CUfunction function;
    vmt_cuda_gemm *gemm; /* if the library has this product */
    struct pipeline *next;
};

/* A buffer's memory. */
struct memory {
    CUdeviceptr at;
    void *pinned; /* of the host; NULL: the card's */
};

static struct cuda_gpu *cuda_of(vmt_gpu *gpu) {
    return (struct cuda_gpu *)gpu;
}

/* The driver keeps the current context per OS thread, and ours may change. */
static vmt_status enter(struct cuda_gpu *c, vmt_err *err) {
    CUresult result = c->api.ctx_set_current(c->context);
    return result == CUDA_SUCCESS ? VMT_OK : vmt_cuda_fail(&c->api, result, err, "the CUDA context");
}

/* ---- memory */

static CUresult take_shared(struct cuda_gpu *c, struct memory *m, size_t bytes) {
    CUresult result =
        c->api.mem_host_alloc(&m->pinned, bytes, CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_PORTABLE);
    if (result != CUDA_SUCCESS) return result;
    memset(m->pinned, 0, bytes);
    result = c->api.mem_host_get_device_pointer(&m->at, m->pinned, 0);
    if (result != CUDA_SUCCESS) c->api.mem_free_host(m->pinned);
    return result;
}

static CUresult take_private(struct cuda_gpu *c, struct memory *m, size_t bytes, const void *data) {
    CUresult result = c->api.mem_alloc(&m->at, bytes);
    if (result != CUDA_SUCCESS) return result;
    result = data != NULL ? c->api.memcpy_htod(m->at, data, bytes) : c->api.memset_d8(m->at, 0, bytes);
    /* Setting runs on the default stream, which ours does not wait for. */
    if (result == CUDA_SUCCESS) result = c->api.stream_synchronize(NULL);
    if (result != CUDA_SUCCESS) c->api.mem_free(m->at);
    return result;
}

static vmt_status take(struct cuda_gpu *c, vmt_buffer *out, size_t bytes, vmt_gpu_memory memory, const void *data,
                       vmt_err *err) {
    VMT_TRY(enter(c, err));
    struct memory *m = calloc(1, sizeof *m);
    if (m == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a buffer of %zu bytes", bytes);
    CUresult result = memory == VMT_GPU_SHARED ? take_shared(c, m, bytes) : take_private(c, m, bytes, data);
    if (result != CUDA_SUCCESS) {
        char what[64];
        free(m);
        snprintf(what, sizeof what, "a buffer of %zu bytes", bytes);
        return vmt_cuda_fail(&c->api, result, err, what);
    }
    *out = (vmt_buffer){.host = m->pinned, .bytes = bytes, .device = m};
    return VMT_OK;
}

static vmt_status cuda_alloc(vmt_gpu *gpu, vmt_buffer *out, size_t bytes, vmt_gpu_memory memory, vmt_err *err) {
    return take(cuda_of(gpu), out, bytes, memory, NULL, err);
}

static vmt_status cuda_wrap(vmt_gpu *gpu, vmt_buffer *out, const void *host, size_t bytes, vmt_err *err) {
    VMT_TRY(take(cuda_of(gpu), out, bytes, VMT_GPU_PRIVATE, host, err));
    out->host = (uint8_t *)(uintptr_t)host;
    return VMT_OK;
}

static void cuda_release(vmt_gpu *gpu, vmt_buffer *buffer) {
    struct cuda_gpu *c = cuda_of(gpu);
    struct memory *m = buffer->device;
    if (enter(c, NULL) == VMT_OK) {
        if (m->pinned != NULL)
            c->api.mem_free_host(m->pinned);
        else
            c->api.mem_free(m->at);
    }
    free(m);
}

/* ---- kernels */

static vmt_status load_kernel(struct cuda_gpu *c, struct pipeline *p, const vmt_buf *cubin, vmt_err *err) {
    CUresult result = c->api.module_load_data(&p->module, cubin->ptr);
    if (result == CUDA_SUCCESS) {
        result = c->api.module_get_function(&p->function, p->module, p->base.kernel->name);
        if (result == CUDA_SUCCESS && p->base.kernel->waits) {
            int bytes = (int)(c->shared.group - p->base.kernel->threadgroup_bytes);
            result =
                c->api.func_set_attribute(p->function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes);
        }
        if (result != CUDA_SUCCESS) c->api.module_unload(p->module);
    }
    return result == CUDA_SUCCESS ? VMT_OK : vmt_cuda_fail(&c->api, result, err, p->base.kernel->name);
}

static vmt_status cuda_pipeline(vmt_gpu *gpu, const vmt_kernel *kernel, vmt_gpu_pipeline **out, vmt_err *err) {
    struct cuda_gpu *c = cuda_of(gpu);
    for (struct pipeline *p = c->pipelines; p != NULL; p = p->next) {
        if (p->base.kernel != kernel) continue;
        *out = &p->base;
        return VMT_OK;
    }
    VMT_TRY(enter(c, err));
    struct pipeline *p = calloc(1, sizeof *p);
    if (p == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for kernel %s", kernel->name);
    p->base.kernel = kernel;
    if (vmt_cuda_gemm_knows(kernel)) p->gemm = c->gemm;
    vmt_buf cubin;
    vmt_buf_init(&cubin, 0);
    vmt_status status = vmt_cuda_compile(c->compiler, kernel, &cubin, err);
    if (status == VMT_OK) status = load_kernel(c, p, &cubin, err);
    vmt_buf_free(&cubin);
    if (status != VMT_OK) {
        free(p);
        return status;
    }
    p->next = c->pipelines;
    c->pipelines = p;
    *out = &p->base;
    return VMT_OK;
}

/* ---- command buffers */

static vmt_status cuda_begin(vmt_gpu *gpu, vmt_err *err) {
    VMT_TRY(enter(cuda_of(gpu), err));
    return vmt_cuda_stream_begin(cuda_of(gpu)->stream, err);
}

/* Bytes of threadgroup memory beside the kernel's own. */
static uint32_t padding_of(const struct cuda_gpu *c, const vmt_gpu_dispatch *d) {
    const vmt_kernel *kernel = d->pipeline->kernel;
    if (!d->is_spread || !kernel->waits) return 0;
    uint64_t num_groups = (uint64_t)d->grid[0] * d->grid[1] * d->grid[2];
    return vmt_cuda_spread_bytes(c->shared, num_groups, c->base.caps.num_cores, kernel->threadgroup_bytes);
}

static void cuda_dispatch(vmt_gpu *gpu, const vmt_gpu_dispatch *d) {
    const vmt_kernel *kernel = d->pipeline->kernel;
    VMT_ASSERT(kernel->args_bytes <= VMT_GPU_ARGS_MAX);
    VMT_ASSERT(d->grid[1] <= GRID_YZ_MAX && d->grid[2] <= GRID_YZ_MAX);
    vmt_cuda_launch *launch = vmt_cuda_stream_add(cuda_of(gpu)->stream);
    if (launch == NULL) return;
    launch->function = ((struct pipeline *)d->pipeline)->function;
    launch->kernel = kernel;
    launch->gemm = ((struct pipeline *)d->pipeline)->gemm;
    memcpy(launch->grid, d->grid, sizeof launch->grid);
    launch->shared_bytes = padding_of(cuda_of(gpu), d);
    if (kernel->args_bytes > 0) memcpy(launch->args, d->args, kernel->args_bytes);
    for (uint32_t i = 0; i < kernel->num_buffers; i++) {
        const struct memory *m = d->buffers[i].buffer->device;
        VMT_ASSERT(d->buffers[i].offset < d->buffers[i].buffer->bytes);
        launch->buffers[i] = m->at + d->buffers[i].offset;
    }
}

static void cuda_barrier(vmt_gpu *gpu) {
    vmt_cuda_stream_barrier(cuda_of(gpu)->stream);
}

static vmt_status cuda_commit(vmt_gpu *gpu, uint64_t *ticket, vmt_err *err) {
    VMT_TRY(enter(cuda_of(gpu), err));
    return vmt_cuda_stream_commit(cuda_of(gpu)->stream, ticket, err);
}

static vmt_status cuda_wait(vmt_gpu *gpu, uint64_t ticket, uint64_t timeout_ns, vmt_err *err) {
    struct cuda_gpu *c = cuda_of(gpu);
    VMT_TRY(enter(c, err));
    vmt_status status = vmt_cuda_stream_wait(c->stream, ticket, timeout_ns, err);
    gpu->counts.gpu_ns = vmt_cuda_stream_gpu_ns(c->stream);
    return status;
}

/* ---- life */

static void cuda_close(vmt_gpu *gpu) {
    struct cuda_gpu *c = cuda_of(gpu);
    if (c->context != NULL && enter(c, NULL) == VMT_OK) {
        vmt_cuda_stream_destroy(c->stream);
        vmt_cuda_gemm_destroy(c->gemm);
        for (struct pipeline *p = c->pipelines; p != NULL; p = p->next) c->api.module_unload(p->module);
    }
    while (c->pipelines != NULL) {
        struct pipeline *p = c->pipelines;
        c->pipelines = p->next;
        free(p);
    }
    vmt_cuda_compiler_destroy(c->compiler);
    if (c->context != NULL) c->api.primary_ctx_release(c->device);
    free(c);
}

static const vmt_gpu_vtable cuda_vtable = {
    .close = cuda_close,
    .alloc = cuda_alloc,
    .wrap = cuda_wrap,
    .release = cuda_release,
    .pipeline = cuda_pipeline,
    .begin = cuda_begin,
    .dispatch = cuda_dispatch,
    .barrier = cuda_barrier,
    .commit = cuda_commit,
    .wait = cuda_wait,
};

static vmt_status find_device(struct cuda_gpu *c, uint32_t device_idx, uint32_t *capability, vmt_err *err) {
    const vmt_cuda_api *api = &c->api;
    int count = 0, major = 0, minor = 0, cores = 0, shared_core = 0, shared_group = 0, shared_reserved = 0;
    CUresult result = api->init(0);
    if (result == CUDA_SUCCESS) result = api->device_get_count(&count);
    if (result != CUDA_SUCCESS) {
        vmt_err reason = {0};
        vmt_cuda_fail(api, result, &reason, "NVIDIA's driver is installed but finds no GPU");
        return vmt_fail(err, VMT_E_UNSUPPORTED, "%s", reason.msg);
    }
    if (device_idx >= (uint32_t)count) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "there is no CUDA device %u: %d found", device_idx, count);
    }
    vmt_gpu_caps *caps = &c->base.caps;
    size_t bytes = 0;
    result = api->device_get(&c->device, (int)device_idx);
    if (result == CUDA_SUCCESS) result = api->device_get_name(caps->name, sizeof caps->name, c->device);
    if (result == CUDA_SUCCESS) result = api->device_total_mem(&bytes, c->device);
    if (result == CUDA_SUCCESS) {
        api->device_get_attribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, c->device);
        api->device_get_attribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, c->device);
        api->device_get_attribute(&cores, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, c->device);
        api->device_get_attribute(&shared_core, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR,
                                  c->device);
        api->device_get_attribute(&shared_group, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, c->device);
        api->device_get_attribute(&shared_reserved, CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK,
                                  c->device);
        result = api->primary_ctx_retain(&c->context, c->device);
    }
    if (result != CUDA_SUCCESS) return vmt_cuda_fail(api, result, err, "the CUDA device");
    *capability = (uint32_t)(major * 10 + minor);
    if (*capability < CAPABILITY_MIN) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "%s has compute capability %d.%d, the kernels need %u.%u",
                        caps->name, major, minor, CAPABILITY_MIN / 10, CAPABILITY_MIN % 10);
    }
    caps->num_cores = (uint32_t)cores;
    c->shared.core = (uint32_t)shared_core;
    c->shared.group = (uint32_t)shared_group;
    c->shared.reserved = (uint32_t)shared_reserved;
    caps->has_async_copy = true;
    caps->buffer_bytes_max = caps->working_set_bytes = bytes;
    caps->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    return VMT_OK;
}

/* Without the library its kernels run: slower, and right. */
static void find_gemm(struct cuda_gpu *c) {
    vmt_err why = {0};
    vmt_status status = vmt_cublaslt_api_load(&c->cublaslt, &why);
    if (status == VMT_OK) status = vmt_cuda_gemm_create(&c->gemm, &c->api, &c->cublaslt, &why);
    c->base.caps.has_gemm = status == VMT_OK;
    if (status != VMT_OK) vmt_log_info("event=no_cublaslt reason=\"%s\"", why.msg);
}

vmt_status vmt_cuda_gpu_open(vmt_gpu **out, const vmt_cuda_config *config, vmt_err *err) {
    static const vmt_cuda_config plain;
    uint32_t capability = 0;
    if (config == NULL) config = &plain;
    *out = NULL;
    struct cuda_gpu *c = calloc(1, sizeof *c);
    if (c == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the CUDA driver");
    c->base = (vmt_gpu){.vt = &cuda_vtable, .driver = "cuda"};
    vmt_status status = vmt_cuda_api_load(&c->api, err);
    if (status == VMT_OK) status = find_device(c, config->device_idx, &capability, err);
    if (status == VMT_OK) status = vmt_cuda_compiler_create(&c->compiler, capability, config->cache_dir, err);
    if (status == VMT_OK) status = enter(c, err);
    if (status == VMT_OK) status = vmt_cuda_stream_create(&c->stream, &c->api, capability >= OVERLAP_MIN, err);
    if (status != VMT_OK) {
        cuda_close(&c->base);
        return status;
    }
    if (!config->is_without_library) find_gemm(c);
    *out = &c->base;
    return VMT_OK;
}
