/* backend/cpu/cpu_backend.c: the backend face of the thread pool, and its memory.
 *
 * Buffers are cut off slabs of huge pages.  A layer's weight is a megabyte or so: in pages of its own it would be read
 * through 4 KiB pages, at whose borders the hardware prefetcher stops.  A slab is never handed out twice, so that
 * buffers begin as zeros, and goes when its last buffer does. */
#include "backend/cpu/cpu.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/cpu/pool.h"

#define SPIN_NS         50000u /* longer than the gaps inside a step, shorter than anyone notices on an idle server */
#define SPIN_CROWDED_NS 2000u /* more threads than cores: a spinner is in somebody's way */
#define HUGE_PAGE_BYTES ((size_t)2 << 20)
#define SLAB_BYTES      ((size_t)32 << 20)

typedef struct slab {
    uint8_t *map; /* what munmap wants; base is the first huge page border in it */
    size_t map_bytes;
    uint8_t *base;
    size_t bytes, used;
    uint32_t num_buffers;
} slab;

typedef struct cpu_backend {
    vmt_backend base;
    vmt_pool *pool;
    void *shared_scratch;
    size_t shared_scratch_bytes;
    slab *open_slab; /* has room; NULL before the first buffer */
    uint64_t num_launches;
} cpu_backend;

static size_t round_up(size_t bytes, size_t step) {
    return (bytes + step - 1) / step * step;
}

static slab *slab_create(size_t bytes) {
    slab *s = calloc(1, sizeof(*s));
    if (s == NULL) return NULL;
    s->bytes = round_up(bytes, HUGE_PAGE_BYTES);
    s->map_bytes = s->bytes + HUGE_PAGE_BYTES;
    void *map = MAP_FAILED;
    if (s->map_bytes > bytes)
        map = mmap(NULL, s->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        free(s);
        return NULL;
    }
    s->map = map;
    s->base = (uint8_t *)round_up((uintptr_t)map, HUGE_PAGE_BYTES);
#ifdef MADV_HUGEPAGE
    (void)madvise(s->base, s->bytes, MADV_HUGEPAGE); /* a hint: failing changes nothing */
#endif
    return s;
}

static void slab_destroy(slab *s) {
    if (s == NULL) return;
    munmap(s->map, s->map_bytes);
    free(s);
}

static void destroy(vmt_backend *be) {
    cpu_backend *cpu = (cpu_backend *)be;
    vmt_pool_destroy(cpu->pool);
    if (cpu->open_slab != NULL && cpu->open_slab->num_buffers == 0) slab_destroy(cpu->open_slab);
    free(cpu->shared_scratch);
    free(cpu);
}

static vmt_status buffer_create(vmt_backend *be, vmt_buffer *out, size_t bytes, vmt_err *err) {
    cpu_backend *cpu = (cpu_backend *)be;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), taken = round_up(VMT_MAX(bytes, 1), page);
    slab *s = cpu->open_slab;
    if (taken < bytes)
        return vmt_fail(err, VMT_E_NO_MEMORY, "a buffer of %zu bytes does not fit in memory", bytes);
    if (s == NULL || s->bytes - s->used < taken) {
        s = slab_create(VMT_MAX(taken, SLAB_BYTES));
        if (s == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a buffer of %zu bytes", bytes);
        slab *open = cpu->open_slab;
        if (open == NULL || open->bytes - open->used < s->bytes - taken) {
            if (open != NULL && open->num_buffers == 0) slab_destroy(open);
            cpu->open_slab = s;
        }
    }
    *out = (vmt_buffer){.host = s->base + s->used, .bytes = bytes, .device = s};
    s->used += taken;
    s->num_buffers++;
    return VMT_OK;
}

static vmt_status buffer_wrap(vmt_backend *be, vmt_buffer *out, void *host, size_t bytes, vmt_err *err) {
    *out = (vmt_buffer){.host = host, .bytes = bytes};
    return VMT_OK;
}

static void buffer_destroy(vmt_backend *be, vmt_buffer *buffer) {
    slab *s = buffer->device;
    if (s == NULL) return; /* wrapped */
    VMT_ASSERT(s->num_buffers > 0);
    if (--s->num_buffers > 0) {
        /* The address range stays taken; its memory goes back. */
        (void)madvise(buffer->host, round_up(VMT_MAX(buffer->bytes, 1), (size_t)sysconf(_SC_PAGESIZE)),
                      MADV_DONTNEED);
        return;
    }
    cpu_backend *cpu = (cpu_backend *)be;
    if (cpu->open_slab == s) cpu->open_slab = NULL;
    slab_destroy(s);
}

static vmt_status launch(vmt_backend *be, const vmt_launch *l) {
    cpu_backend *cpu = (cpu_backend *)be;
    VMT_ASSERT(l->cpu_fn != NULL);
    void *buffers[VMT_LAUNCH_BUFFERS_MAX];
    for (uint32_t i = 0; i < l->num_buffers; i++) {
        VMT_ASSERT(l->buffers[i].offset <= l->buffers[i].buffer->bytes);
        buffers[i] = l->buffers[i].buffer->host + l->buffers[i].offset;
    }
    cpu->num_launches++;
    return vmt_pool_run(cpu->pool, &(vmt_pool_job){
                                       .fn = l->cpu_fn,
                                       .args = l->args,
                                       .buffers = buffers,
                                       .num_items = l->cpu_items,
                                       .grain = l->cpu_grain,
                                       .is_guided = l->cpu_is_guided,
                                       .scratch_bytes = l->scratch_bytes,
                                   });
}

static void barrier(vmt_backend *be) {
    /* Each launch has run to its end. */
}

static vmt_status wait_all(vmt_backend *be, vmt_err *err) {
    return VMT_OK;
}

static const vmt_backend_vtable cpu_vtable = {
    .name = "cpu",
    .destroy = destroy,
    .buffer_create = buffer_create,
    .buffer_wrap = buffer_wrap,
    .buffer_destroy = buffer_destroy,
    .launch = launch,
    .barrier = barrier,
    .wait = wait_all,
};

vmt_status vmt_cpu_backend_create(vmt_backend **out, uint32_t num_threads, vmt_err *err) {
    *out = NULL;
    if (num_threads > VMT_CPU_THREADS_MAX) {
        return vmt_fail(err, VMT_E_INVALID, "%u threads asked for, at most %u", num_threads, VMT_CPU_THREADS_MAX);
    }
    uint32_t cores = vmt_cpu_cores();
    if (num_threads == 0) num_threads = VMT_MIN(cores, VMT_CPU_THREADS_MAX);
    cpu_backend *cpu = calloc(1, sizeof(*cpu));
    if (cpu == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the CPU backend");
    cpu->base = (vmt_backend){.vt = &cpu_vtable, .num_workers = num_threads, .is_cpu = true};
    (void)vmt_isa_best(); /* asks the kernel for what it must allow, before there are threads */
    vmt_status status =
        vmt_pool_create(&cpu->pool, num_threads, num_threads > cores ? SPIN_CROWDED_NS : SPIN_NS, err);
    if (status != VMT_OK) {
        free(cpu);
        return status;
    }
    *out = &cpu->base;
    return VMT_OK;
}

void *vmt_cpu_shared_scratch(vmt_backend *be, size_t bytes) {
    VMT_ASSERT(be->is_cpu);
    cpu_backend *cpu = (cpu_backend *)be;
    if (bytes > cpu->shared_scratch_bytes) {
        void *grown;
        size_t rounded = round_up(bytes, 4096);
        if (posix_memalign(&grown, 64, rounded) != 0) return NULL;
        free(cpu->shared_scratch);
        cpu->shared_scratch = grown;
        cpu->shared_scratch_bytes = rounded;
    }
    return cpu->shared_scratch;
}

uint64_t vmt_cpu_num_launches(const vmt_backend *be) {
    VMT_ASSERT(be->is_cpu);
    return ((const cpu_backend *)be)->num_launches;
}
