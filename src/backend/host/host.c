#include "backend/host/host.h"
#include "backend/host/workers.h"
#include "base/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TAIL_BYTES 64u /* behind each buffer: written to by nobody */
#define TAIL_BYTE  0xA5
#if defined(__SANITIZE_ADDRESS__)
#define HAS_TAIL 0 /* the sanitizer sees more */
#else
#define HAS_TAIL 1
#endif

/* A buffer's memory. */
struct memory {
    uint8_t *data;
    size_t bytes;
    bool is_wrapped;
    struct memory *next, *previous;
};

struct command_buffer {
    vmt_host_launch *launches; /* [num_launches] */
    uint32_t num_launches, cap;
    uint32_t segment; /* dispatches between two barriers have one number */
};

struct host_gpu {
    vmt_gpu base;
    vmt_host_config config;
    vmt_host_workers *workers;
    struct pipeline *pipelines;
    bool is_open; /* between begin and commit */

    pthread_t thread; /* runs command buffers */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct memory *memories;
    struct command_buffer
        commands[VMT_GPU_IN_FLIGHT_MAX + 1]; /* ticket % (max + 1); the next one is being encoded */
    uint64_t num_committed, num_done;
    bool is_closing;
    vmt_err failure; /* code != 0: of the first command buffer that failed */
};

struct pipeline {
    vmt_gpu_pipeline base;
    struct pipeline *next;
};

static struct host_gpu *host_of(vmt_gpu *gpu) {
    return (struct host_gpu *)gpu;
}

/* ---- memory */

static vmt_status memory_add(struct host_gpu *h, vmt_buffer *out, struct memory memory, vmt_err *err) {
    struct memory *m = malloc(sizeof *m);
    if (m == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a buffer of %zu bytes", memory.bytes);
    *m = memory;
    pthread_mutex_lock(&h->lock);
    m->next = h->memories;
    if (m->next != NULL) m->next->previous = m;
    h->memories = m;
    pthread_mutex_unlock(&h->lock);
    out->bytes = m->bytes;
    out->device = m;
    return VMT_OK;
}

static vmt_status host_alloc(vmt_gpu *gpu, vmt_buffer *out, size_t bytes, vmt_gpu_memory memory, vmt_err *err) {
    void *data;
    if (posix_memalign(&data, 64, bytes + HAS_TAIL * TAIL_BYTES) != 0) {
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a buffer of %zu bytes", bytes);
    }
    memset(data, 0, bytes);
    if (HAS_TAIL) memset((uint8_t *)data + bytes, TAIL_BYTE, TAIL_BYTES);
    vmt_status status = memory_add(host_of(gpu), out, (struct memory){.data = data, .bytes = bytes}, err);
    if (status != VMT_OK)
        free(data);
    else if (memory == VMT_GPU_SHARED)
        out->host = data;
    return status;
}

static vmt_status host_wrap(vmt_gpu *gpu, vmt_buffer *out, const void *host, size_t bytes, vmt_err *err) {
    uint8_t *data = (uint8_t *)(uintptr_t)host;
    VMT_TRY(memory_add(host_of(gpu), out, (struct memory){.data = data, .bytes = bytes, .is_wrapped = true}, err));
    out->host = data;
    return VMT_OK;
}

static void host_release(vmt_gpu *gpu, vmt_buffer *buffer) {
    struct host_gpu *h = host_of(gpu);
    struct memory *m = buffer->device;
    pthread_mutex_lock(&h->lock);
    if (m->next != NULL) m->next->previous = m->previous;
    if (m->previous != NULL)
        m->previous->next = m->next;
    else
        h->memories = m->next;
    pthread_mutex_unlock(&h->lock);
    if (!m->is_wrapped) free(m->data);
    free(m);
}

/* Nothing was written behind a buffer; the lock is held. */
static vmt_status check_tails(const struct host_gpu *h, vmt_err *err) {
    for (const struct memory *m = h->memories; m != NULL; m = m->next) {
        for (size_t i = 0; HAS_TAIL && !m->is_wrapped && i < TAIL_BYTES; i++) {
            if (m->data[m->bytes + i] == TAIL_BYTE) continue;
            return vmt_fail(err, VMT_E_INTERNAL, "a kernel wrote behind a buffer of %zu bytes, at %zu", m->bytes,
                            m->bytes + i);
        }
    }
    return VMT_OK;
}

/* ---- kernels */

static vmt_status host_pipeline(vmt_gpu *gpu, const vmt_kernel *kernel, vmt_gpu_pipeline **out, vmt_err *err) {
    struct host_gpu *h = host_of(gpu);
    for (struct pipeline *p = h->pipelines; p != NULL; p = p->next) {
        if (p->base.kernel == kernel) *out = &p->base;
    }
    if (*out != NULL) return VMT_OK;
    if (kernel->host == NULL) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "%s: kernels were not built for the host", kernel->name);
    }
    struct pipeline *p = malloc(sizeof *p);
    if (p == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for kernel %s", kernel->name);
    *p = (struct pipeline){.base.kernel = kernel, .next = h->pipelines};
    h->pipelines = p;
    *out = &p->base;
    return VMT_OK;
}

/* ---- encoding */

static struct command_buffer *encoding(struct host_gpu *h) {
    return &h->commands[(h->num_committed + 1) % VMT_COUNT(h->commands)];
}

static vmt_status host_begin(vmt_gpu *gpu, vmt_err *err) {
    struct host_gpu *h = host_of(gpu);
    VMT_ASSERT(!h->is_open);
    pthread_mutex_lock(&h->lock);
    uint64_t num_committed = h->num_committed;
    pthread_mutex_unlock(&h->lock);
    if (num_committed > VMT_GPU_IN_FLIGHT_MAX - 1) {
        VMT_TRY(vmt_gpu_wait(gpu, num_committed - (VMT_GPU_IN_FLIGHT_MAX - 1), VMT_GPU_ROOM_WAIT_NS, err));
    }
    encoding(h)->num_launches = encoding(h)->segment = 0;
    h->is_open = true;
    return VMT_OK;
}

/* Two parameters of a kernel are the same memory only where none of them writes: CUDA's are `restrict`.  The device
 * fails, as by any other rule that a dispatch breaks. */
static void check_aliases(struct host_gpu *h, const vmt_gpu_dispatch *d) {
    const vmt_kernel *kernel = d->pipeline->kernel;
    for (uint32_t i = 0; i < kernel->num_buffers; i++) {
        if ((kernel->written >> i & 1) == 0) continue;
        for (uint32_t j = 0; j < kernel->num_buffers; j++) {
            if (j == i || d->buffers[j].buffer != d->buffers[i].buffer) continue;
            if (d->buffers[j].offset != d->buffers[i].offset) continue;
            pthread_mutex_lock(&h->lock);
            vmt_fail(&h->failure, VMT_E_INTERNAL,
                     "%s: buffers %u and %u are the same memory, and it writes to one", kernel->name,
                     VMT_MIN(i, j), VMT_MAX(i, j));
            pthread_mutex_unlock(&h->lock);
        }
    }
}

static void host_dispatch(vmt_gpu *gpu, const vmt_gpu_dispatch *d) {
    struct command_buffer *c = encoding(host_of(gpu));
    const vmt_kernel *kernel = d->pipeline->kernel;
    VMT_ASSERT(host_of(gpu)->is_open && kernel->args_bytes <= VMT_GPU_ARGS_MAX);
    check_aliases(host_of(gpu), d);
    if (c->num_launches == c->cap) {
        c->cap = VMT_MAX(64, c->cap * 2);
        c->launches = realloc(c->launches, c->cap * sizeof *c->launches);
        VMT_ASSERT(c->launches != NULL);
    }
    vmt_host_launch *launch = &c->launches[c->num_launches++];
    *launch = (vmt_host_launch){.kernel = kernel, .segment = c->segment};
    memcpy(launch->grid, d->grid, sizeof launch->grid);
    if (kernel->args_bytes > 0) memcpy(launch->args, d->args, kernel->args_bytes);
    for (uint32_t i = 0; i < kernel->num_buffers; i++) {
        const struct memory *m = d->buffers[i].buffer->device;
        VMT_ASSERT(d->buffers[i].offset < m->bytes && d->buffers[i].offset % 4 == 0);
        launch->buffers[i] = m->data + d->buffers[i].offset;
    }
}

static void host_barrier(vmt_gpu *gpu) {
    encoding(host_of(gpu))->segment++;
}

static vmt_status host_commit(vmt_gpu *gpu, uint64_t *ticket, vmt_err *err) {
    struct host_gpu *h = host_of(gpu);
    VMT_ASSERT(h->is_open);
    h->is_open = false;
    pthread_mutex_lock(&h->lock);
    *ticket = ++h->num_committed;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    return VMT_OK;
}

static vmt_status host_wait(vmt_gpu *gpu, uint64_t ticket, uint64_t timeout_ns, vmt_err *err) {
    struct host_gpu *h = host_of(gpu);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + timeout_ns % UINT64_C(1000000000);
    until.tv_sec += (time_t)(timeout_ns / UINT64_C(1000000000) + ns / UINT64_C(1000000000));
    until.tv_nsec = (long)(ns % UINT64_C(1000000000));
    pthread_mutex_lock(&h->lock);
    VMT_ASSERT(ticket <= h->num_committed);
    int timed_out = 0;
    while (h->num_done < ticket && timed_out == 0)
        timed_out = pthread_cond_timedwait(&h->changed, &h->lock, &until);
    bool is_done = h->num_done >= ticket;
    vmt_err failure = h->failure;
    pthread_mutex_unlock(&h->lock);
    if (!is_done) {
        return vmt_fail(err, VMT_E_EXHAUSTED, "the GPU was not done within %.3f s", (double)timeout_ns / 1e9);
    }
    return failure.code == VMT_OK ? VMT_OK : vmt_fail(err, VMT_E_IO, "%s", failure.msg);
}

/* ---- running */

static vmt_status run_commands(struct host_gpu *h, const struct command_buffer *c, uint64_t ticket, vmt_err *err) {
    for (uint32_t begin = 0, end = 0; begin < c->num_launches; begin = end) {
        while (end < c->num_launches && c->launches[end].segment == c->launches[begin].segment) end++;
        VMT_TRY(vmt_host_workers_run(h->workers, c->launches + begin, end - begin, h->config.order,
                                     h->config.seed + ticket, err));
    }
    pthread_mutex_lock(&h->lock);
    vmt_status status = check_tails(h, err);
    pthread_mutex_unlock(&h->lock);
    return status;
}

static void *run_thread(void *arg) {
    struct host_gpu *h = arg;
    pthread_mutex_lock(&h->lock);
    for (;;) {
        while (h->num_done == h->num_committed && !h->is_closing) pthread_cond_wait(&h->changed, &h->lock);
        if (h->num_done == h->num_committed) break;
        uint64_t ticket = h->num_done + 1;
        bool has_failed = h->failure.code != VMT_OK;
        pthread_mutex_unlock(&h->lock);
        vmt_err err = {0};
        uint64_t began_ns = vmt_clock_ns();
        if (!has_failed) run_commands(h, &h->commands[ticket % VMT_COUNT(h->commands)], ticket, &err);
        uint64_t took_ns = vmt_clock_ns() - began_ns;
        pthread_mutex_lock(&h->lock);
        if (err.code != VMT_OK) h->failure = err;
        h->base.counts.gpu_ns += took_ns;
        h->num_done = ticket;
        pthread_cond_broadcast(&h->changed);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

/* ---- life */

static void host_close(vmt_gpu *gpu) {
    struct host_gpu *h = host_of(gpu);
    pthread_mutex_lock(&h->lock);
    h->is_closing = true;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    VMT_ASSERT(h->memories == NULL);
    vmt_host_workers_destroy(h->workers);
    while (h->pipelines != NULL) {
        struct pipeline *p = h->pipelines;
        h->pipelines = p->next;
        free(p);
    }
    for (size_t i = 0; i < VMT_COUNT(h->commands); i++) free(h->commands[i].launches);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static const vmt_gpu_vtable host_vtable = {
    .close = host_close,
    .alloc = host_alloc,
    .wrap = host_wrap,
    .release = host_release,
    .pipeline = host_pipeline,
    .begin = host_begin,
    .dispatch = host_dispatch,
    .barrier = host_barrier,
    .commit = host_commit,
    .wait = host_wait,
};

static vmt_status check_build(vmt_err *err) {
    if (vmt_kernel_count() > 0 && vmt_kernel_at(0)->host == NULL) {
        return vmt_fail(err, VMT_E_UNSUPPORTED,
                        "this build has no kernels for the host: it was made without clang 17 or newer");
    }
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "kernels for the host need a processor with AVX2 and FMA");
    }
#endif
    return VMT_OK;
}

vmt_status vmt_host_gpu_open(vmt_gpu **out, const vmt_host_config *config, vmt_err *err) {
    *out = NULL;
    VMT_TRY(check_build(err));
    struct host_gpu *h = calloc(1, sizeof *h);
    if (h == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the host driver");
    if (config != NULL) h->config = *config;
    long num_processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (h->config.num_workers == 0) h->config.num_workers = num_processors > 0 ? (uint32_t)num_processors : 1;
    h->config.num_workers = VMT_MIN(h->config.num_workers, VMT_HOST_WORKERS_MAX);
    vmt_status status = vmt_host_workers_create(&h->workers, h->config.num_workers, err);
    if (status != VMT_OK) {
        free(h);
        return status;
    }
    h->base = (vmt_gpu){.vt = &host_vtable, .driver = "host"};
    h->base.caps = (vmt_gpu_caps){
        .num_cores = h->config.num_workers,
        .is_unified = true,
        .has_async_copy = true, /* it has not: what is built for it is tested here */
        .buffer_bytes_max = (size_t)1 << 40,
        .working_set_bytes = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE),
        .page_bytes = (size_t)sysconf(_SC_PAGESIZE),
    };
    snprintf(h->base.caps.name, sizeof h->base.caps.name, "kernels on the CPU");
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    if (pthread_create(&h->thread, NULL, run_thread, h) != 0) {
        vmt_host_workers_destroy(h->workers);
        free(h);
        return vmt_fail(err, VMT_E_NO_MEMORY, "no thread for the host driver");
    }
    *out = &h->base;
    return VMT_OK;
}
