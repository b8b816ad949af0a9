#include "backend/plan/plan_gpu.h"

#include <stdlib.h>

struct plan_gpu {
    vmt_gpu base;
    vmt_gpu_pipeline *pipelines; /* [vmt_kernel_count()] */
    uint64_t num_tickets;
};

static void plan_close(vmt_gpu *gpu) {
    struct plan_gpu *p = (struct plan_gpu *)gpu;
    free(p->pipelines);
    free(p);
}

static vmt_status plan_alloc(vmt_gpu *gpu, vmt_buffer *out, size_t bytes, vmt_gpu_memory memory, vmt_err *err) {
    *out = (vmt_buffer){.bytes = bytes};
    if (memory == VMT_GPU_PRIVATE) return VMT_OK;
    out->host = out->device = calloc(1, bytes); /* device: what release() gives back */
    if (out->host != NULL) return VMT_OK;
    *out = (vmt_buffer){0};
    return vmt_fail(err, VMT_E_NO_MEMORY, "%s: no memory for %zu bytes", gpu->caps.name, bytes);
}

static vmt_status plan_wrap(vmt_gpu *gpu, vmt_buffer *out, const void *host, size_t bytes, vmt_err *err) {
    (void)gpu, (void)err;
    *out = (vmt_buffer){.host = (uint8_t *)host, .bytes = bytes};
    return VMT_OK;
}

static void plan_release(vmt_gpu *gpu, vmt_buffer *buffer) {
    (void)gpu;
    free(buffer->device);
}

static vmt_status plan_pipeline(vmt_gpu *gpu, const vmt_kernel *kernel, vmt_gpu_pipeline **out, vmt_err *err) {
    struct plan_gpu *p = (struct plan_gpu *)gpu;
    for (uint32_t i = 0; i < vmt_kernel_count(); i++) {
        if (vmt_kernel_at(i) != kernel) continue;
        p->pipelines[i].kernel = kernel;
        *out = &p->pipelines[i];
        return VMT_OK;
    }
    return vmt_fail(err, VMT_E_NOT_FOUND, "kernel %s is not in the table", kernel->name);
}

static vmt_status plan_begin(vmt_gpu *gpu, vmt_err *err) {
    (void)gpu, (void)err;
    return VMT_OK;
}

static void plan_dispatch(vmt_gpu *gpu, const vmt_gpu_dispatch *dispatch) {
    (void)gpu, (void)dispatch;
}

static void plan_barrier(vmt_gpu *gpu) {
    (void)gpu;
}

static vmt_status plan_commit(vmt_gpu *gpu, uint64_t *ticket, vmt_err *err) {
    (void)err;
    *ticket = ++((struct plan_gpu *)gpu)->num_tickets;
    return VMT_OK;
}

static vmt_status plan_wait(vmt_gpu *gpu, uint64_t ticket, uint64_t timeout_ns, vmt_err *err) {
    (void)gpu, (void)ticket, (void)timeout_ns, (void)err;
    return VMT_OK;
}

static const vmt_gpu_vtable vtable = {
    .close = plan_close,
    .alloc = plan_alloc,
    .wrap = plan_wrap,
    .release = plan_release,
    .pipeline = plan_pipeline,
    .begin = plan_begin,
    .dispatch = plan_dispatch,
    .barrier = plan_barrier,
    .commit = plan_commit,
    .wait = plan_wait,
};

vmt_status vmt_plan_gpu_open(vmt_gpu **out, const vmt_gpu_caps *caps, vmt_err *err) {
    *out = NULL;
    struct plan_gpu *p = calloc(1, sizeof *p);
    vmt_gpu_pipeline *pipelines = calloc(VMT_MAX(vmt_kernel_count(), 1u), sizeof *pipelines);
    if (p == NULL || pipelines == NULL) {
        free(p);
        free(pipelines);
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a plan");
    }
    p->base = (vmt_gpu){.vt = &vtable, .driver = "plan", .caps = *caps};
    p->pipelines = pipelines;
    *out = &p->base;
    return VMT_OK;
}
