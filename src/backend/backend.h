/* backend/backend.h: a device: memory, launches, waiting.  It never learns what an op means.
 *
 * An op (src/ops) checks shapes, plans, and hands over a launch: the kernel's name, constants, buffers and grid for a
 * GPU, and a row function for the CPU.  Launches of one stream run in order unless no barrier lies between them; the
 * CPU backend runs each to its end before launch() returns.  One thread drives a backend at a time. */
#ifndef VMT_BACKEND_BACKEND_H
#define VMT_BACKEND_BACKEND_H

#include "tensor/tensor.h"

#define VMT_LAUNCH_BUFFERS_MAX 16

typedef struct vmt_backend vmt_backend;

/* What a CPU row function sees: items [begin, end) of the launch, on one worker.  Items are independent: how they are
 * cut into ranges must not change any result. */
typedef struct vmt_cpu_task {
    const void *args;     /* the launch's args */
    void *const *buffers; /* [num_buffers] host addresses, offsets applied */
    uint32_t begin, end;
    uint32_t worker, num_workers; /* this worker's index, for per-worker scratch */
    void *scratch;                /* this worker's, at least the launch's scratch_bytes, 64-byte aligned, dirty */
} vmt_cpu_task;
typedef void (*vmt_cpu_fn)(const vmt_cpu_task *task);

typedef struct vmt_launch {
    const char *name; /* the kernel's name, also in traces */
    const void *args; /* kargs struct, at most 4 KiB, copied by a GPU driver */
    uint32_t args_bytes;
    struct {
        const vmt_buffer *buffer;
        size_t offset;
    } buffers[VMT_LAUNCH_BUFFERS_MAX];
    uint32_t num_buffers;
    /* GPU geometry; zero where an op has no kernel yet. */
    uint32_t grid[3], block, threadgroup_bytes;
    /* CPU geometry. */
    vmt_cpu_fn cpu_fn;
    uint32_t cpu_items;
    uint32_t cpu_grain;   /* items a worker takes at a time; 0: an even split */
    bool cpu_is_guided;   /* the first chunks are larger: for items that stream through memory side by side */
    size_t scratch_bytes; /* per worker */
} vmt_launch;

typedef struct vmt_backend_vtable {
    const char *name;
    void (*destroy)(vmt_backend *be);
    vmt_status (*buffer_create)(vmt_backend *be, vmt_buffer *out, size_t bytes, vmt_err *err);
    vmt_status (*buffer_wrap)(vmt_backend *be, vmt_buffer *out, void *host, size_t bytes, vmt_err *err);
    void (*buffer_destroy)(vmt_backend *be, vmt_buffer *buffer);
    vmt_status (*launch)(vmt_backend *be, const vmt_launch *launch);
    void (*barrier)(vmt_backend *be);
    vmt_status (*wait)(vmt_backend *be, vmt_err *err);
} vmt_backend_vtable;

struct vmt_backend {
    const vmt_backend_vtable *vt;
    uint32_t num_workers; /* CPU backend: pool threads, the caller's included; else 1 */
    bool is_cpu;
};

void vmt_backend_destroy(vmt_backend *be); /* NULL is fine */
/* Zeroed, page-aligned device memory. */
vmt_status vmt_buffer_create(vmt_backend *be, vmt_buffer *out, size_t bytes, vmt_err *err);
/* Zero-copy over memory that outlives the buffer (a mapped file). */
vmt_status vmt_buffer_wrap(vmt_backend *be, vmt_buffer *out, void *host, size_t bytes, vmt_err *err);
void vmt_buffer_destroy(vmt_backend *be, vmt_buffer *buffer); /* an all-zero buffer is fine */
vmt_status vmt_launch_run(vmt_backend *be, const vmt_launch *launch);
/* All launches so far are done when it returns. */
vmt_status vmt_backend_wait(vmt_backend *be, vmt_err *err);

#endif
