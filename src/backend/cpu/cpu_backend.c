/* backend/cpu/cpu_backend.c: the backend face of the thread pool: anonymous maps for buffers. */
#include "backend/cpu/cpu.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/cpu/pool.h"

#define SPIN_NS         50000u /* longer than the gaps inside a step, shorter than anyone notices on an idle server */
#define SPIN_CROWDED_NS 2000u /* more threads than cores: a spinner is in somebody's way */
#define HUGE_PAGE_BYTES ((size_t)2 << 20)

typedef struct cpu_backend {
    vmt_backend base;
    vmt_pool *pool;
    void *shared_scratch;
    size_t shared_scratch_bytes;
    uint64_t num_launches;
} cpu_backend;

static void destroy(vmt_backend *be) {
    cpu_backend *cpu = (cpu_backend *)be;
    vmt_pool_destroy(cpu->pool);
    free(cpu->shared_scratch);
    free(cpu);
}

static size_t round_to_pages(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

static vmt_status buffer_create(vmt_backend *be, vmt_buffer *out, size_t bytes, vmt_err *err) {
    size_t mapped = round_to_pages(VMT_MAX(bytes, 1));
    if (mapped < bytes)
        return vmt_fail(err, VMT_E_NO_MEMORY, "a buffer of %zu bytes does not fit in memory", bytes);
    void *host = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (host == MAP_FAILED) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a buffer of %zu bytes", bytes);
#ifdef MADV_HUGEPAGE
    if (mapped >= HUGE_PAGE_BYTES)
        (void)madvise(host, mapped, MADV_HUGEPAGE); /* a hint: failing changes nothing */
#endif
    *out = (vmt_buffer){.host = host, .bytes = bytes, .device = host};
    return VMT_OK;
}

static vmt_status buffer_wrap(vmt_backend *be, vmt_buffer *out, void *host, size_t bytes, vmt_err *err) {
    *out = (vmt_buffer){.host = host, .bytes = bytes};
    return VMT_OK;
}

static void buffer_destroy(vmt_backend *be, vmt_buffer *buffer) {
    /* device is set on memory of our own only. */
    if (buffer->device != NULL) munmap(buffer->device, round_to_pages(VMT_MAX(buffer->bytes, 1)));
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
        size_t rounded = round_to_pages(bytes);
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
