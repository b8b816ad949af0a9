#include "backend/gpu.h"
#include "backend/cuda/cuda.h"
#include "backend/host/host.h"
#include "backend/metal/metal_gpu.h"
#include "base/log.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

/* ---- drivers */

struct driver {
    const char *name;
    vmt_status (*open)(vmt_gpu **out, const char *argument, vmt_err *err); /* argument: behind ':', or NULL */
};

static vmt_status open_metal(vmt_gpu **out, const char *argument, vmt_err *err) {
    return vmt_metal_gpu_open(out, err);
}
static vmt_status open_host(vmt_gpu **out, const char *argument, vmt_err *err) {
    return vmt_host_gpu_open(out, NULL, err);
}
static vmt_status open_cuda(vmt_gpu **out, const char *argument, vmt_err *err) {
    return vmt_cuda_gpu_open(out, &(vmt_cuda_config){.cache_dir = argument}, err);
}

static vmt_status open_cuda_kernels(vmt_gpu **out, const char *argument, vmt_err *err) {
    return vmt_cuda_gpu_open(out, &(vmt_cuda_config){.cache_dir = argument, .is_without_library = true}, err);
}

static const struct driver drivers[] = {
    {"metal", open_metal},
    {"cuda", open_cuda},
    {"cuda-kernels", open_cuda_kernels},
    {"host", open_host},
};

vmt_status vmt_gpu_open(vmt_gpu **out, const char *name, vmt_err *err) {
    size_t len = strcspn(name, ":");
    const char *argument = name[len] == ':' ? name + len + 1 : NULL;
    *out = NULL;
    for (size_t i = 0; i < VMT_COUNT(drivers); i++) {
        const struct driver *d = &drivers[i];
        if (strlen(d->name) == len && memcmp(d->name, name, len) == 0) return d->open(out, argument, err);
    }
    return vmt_fail(err, VMT_E_UNSUPPORTED, "there is no GPU driver named \"%s\"", name);
}

void vmt_gpu_close(vmt_gpu *gpu) {
    if (gpu == NULL) return;
    free(gpu->distrusted);
    gpu->vt->close(gpu);
}

/* ---- memory */

vmt_status vmt_gpu_alloc(vmt_gpu *gpu, vmt_buffer *out, size_t bytes, vmt_gpu_memory memory, vmt_err *err) {
    *out = (vmt_buffer){0};
    if (bytes > gpu->caps.buffer_bytes_max) {
        return vmt_fail(err, VMT_E_NO_MEMORY, "%s: a buffer of %zu bytes, the longest is %zu", gpu->caps.name,
                        bytes, gpu->caps.buffer_bytes_max);
    }
    return gpu->vt->alloc(gpu, out, VMT_MAX(bytes, 1), memory, err);
}

vmt_status vmt_gpu_wrap(vmt_gpu *gpu, vmt_buffer *out, const void *host, size_t bytes, vmt_err *err) {
    size_t page = gpu->caps.page_bytes;
    VMT_ASSERT((uintptr_t)host % page == 0 && bytes % page == 0 && bytes > 0);
    VMT_ASSERT(bytes <= gpu->caps.buffer_bytes_max);
    *out = (vmt_buffer){0};
    return gpu->vt->wrap(gpu, out, host, bytes, err);
}

void vmt_gpu_release(vmt_gpu *gpu, vmt_buffer *buffer) {
    if (buffer->bytes != 0) gpu->vt->release(gpu, buffer);
    *buffer = (vmt_buffer){0};
}

/* ---- kernels */

vmt_status vmt_gpu_pipeline_get(vmt_gpu *gpu, const char *kernel, vmt_gpu_pipeline **out, vmt_err *err) {
    const vmt_kernel *row = vmt_kernel_find(kernel);
    *out = NULL;
    if (row == NULL) return vmt_fail(err, VMT_E_NOT_FOUND, "there is no kernel named %s", kernel);
    if (!vmt_gpu_trusts(gpu, kernel)) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "kernel %s does not work on %s", kernel, gpu->caps.name);
    }
    vmt_err why = {0};
    vmt_status status = gpu->vt->pipeline(gpu, row, out, &why);
    if (status == VMT_E_UNSUPPORTED) vmt_gpu_distrust(gpu, row, why.msg);
    return status == VMT_OK ? VMT_OK : vmt_fail(err, status, "%s", why.msg);
}

static uint32_t idx_of(const vmt_kernel *kernel) {
    uint32_t i = 0;
    while (i < vmt_kernel_count() && vmt_kernel_at(i) != kernel) i++;
    return i;
}

void vmt_gpu_distrust(vmt_gpu *gpu, const vmt_kernel *kernel, const char *reason) {
    uint32_t idx = idx_of(kernel), count = vmt_kernel_count();
    if (idx == count) return; /* of tests alone */
    if (gpu->distrusted == NULL) gpu->distrusted = calloc(count, 1);
    VMT_ASSERT(gpu->distrusted != NULL);
    if (gpu->distrusted[idx]) return;
    gpu->distrusted[idx] = 1;
    vmt_log_warn("event=kernel_distrusted device=%s kernel=%s reason=\"%.200s\"", gpu->driver, kernel->name,
                 reason);
}

bool vmt_gpu_trusts(const vmt_gpu *gpu, const char *kernel) {
    const vmt_kernel *row = gpu->distrusted != NULL ? vmt_kernel_find(kernel) : NULL;
    return row == NULL || !gpu->distrusted[idx_of(row)];
}

/* ---- command buffers */

vmt_status vmt_gpu_begin(vmt_gpu *gpu, vmt_err *err) {
    return gpu->vt->begin(gpu, err);
}

void vmt_gpu_dispatch_add(vmt_gpu *gpu, const vmt_gpu_dispatch *dispatch) {
    const uint32_t *grid = dispatch->grid;
    VMT_ASSERT(grid[0] > 0 && grid[1] > 0 && grid[2] > 0);
    gpu->counts.num_dispatches++;
    gpu->vt->dispatch(gpu, dispatch);
}

void vmt_gpu_barrier(vmt_gpu *gpu) {
    gpu->counts.num_barriers++;
    gpu->vt->barrier(gpu);
}

vmt_status vmt_gpu_commit(vmt_gpu *gpu, uint64_t *ticket, vmt_err *err) {
    gpu->counts.num_commits++;
    return gpu->vt->commit(gpu, ticket, err);
}

vmt_status vmt_gpu_wait(vmt_gpu *gpu, uint64_t ticket, uint64_t timeout_ns, vmt_err *err) {
    return gpu->vt->wait(gpu, ticket, timeout_ns, err);
}
