#include "backend/metal/metal_gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Metal's constants, as its headers number them. */
#define STORAGE_SHARED_UNTRACKED \
    (1u << 8) /* MTLResourceStorageModeShared | MTLResourceHazardTrackingModeUntracked */
#define DISPATCH_CONCURRENT 1u
#define BARRIER_BUFFERS     1u
#define STATUS_COMPLETED    4u
#define STATUS_ERROR        5u
#define MATH_RELAXED        1 /* keeps infinities and NaN, allows the rest */
#define BUFFER_SLOTS        31u

#define SIMD_WIDTH      32u
#define SETS_MAX        32u  /* residency sets of a queue: Metal's limit */
#define SET_PART        20u  /* a set holds at most the working set's 20th part, or one buffer */
#define WAIT_SLICE_MS   100u /* a failed command buffer signals nothing: its status is looked at so often */
#define CHIP_PAGE_BYTES 16384u

struct metal_buffer {
    vmt_id object;
    vmt_id set; /* the residency set that holds it, or NULL */
    size_t bytes;
    struct metal_buffer *next_pending; /* not in a set yet */
};

struct metal_pipeline {
    vmt_gpu_pipeline base;
    vmt_id object;
    struct metal_pipeline *next;
};

struct residency_set {
    vmt_id object;
    size_t bytes;
};

struct commands {
    vmt_id object; /* retained */
    uint64_t ticket;
};

struct metal_gpu {
    vmt_gpu base;
    vmt_objc objc;
    vmt_id device, queue, event;
    struct metal_pipeline *pipelines;
    struct metal_buffer *pending;
    struct residency_set sets[SETS_MAX];
    uint32_t num_sets;
    bool has_sets; /* the system knows residency sets */

    /* the open command buffer */
    void *pool;
    vmt_id commands, encoder;
    vmt_id bound[BUFFER_SLOTS]; /* what the encoder's slots hold */
    size_t bound_offsets[BUFFER_SLOTS];
    vmt_id bound_pipeline;

    struct commands in_flight[VMT_GPU_IN_FLIGHT_MAX]; /* oldest first */
    uint32_t num_in_flight;
    uint64_t num_tickets;
    bool is_dead;
    char death[128];
};

static struct metal_gpu *metal(vmt_gpu *gpu) {
    return (struct metal_gpu *)gpu;
}

/* ---- memory */

static vmt_status take_buffer(struct metal_gpu *m, vmt_buffer *out, vmt_id object, size_t bytes, const char *what,
                              vmt_err *err) {
    struct metal_buffer *b = object != NULL ? calloc(1, sizeof *b) : NULL;
    if (b == NULL) {
        vmt_objc_release(&m->objc, object);
        return vmt_fail(err, VMT_E_NO_MEMORY, "%s: Metal refused to %s %zu bytes; %zu are advised in all",
                        m->base.caps.name, what, bytes, m->base.caps.working_set_bytes);
    }
    *b = (struct metal_buffer){.object = object, .bytes = bytes, .next_pending = m->pending};
    m->pending = b;
    *out = (vmt_buffer){.host = vmt_mtl_buffer_contents(&m->objc, object), .bytes = bytes, .device = b};
    return VMT_OK;
}

static vmt_status metal_alloc(vmt_gpu *gpu, vmt_buffer *out, size_t bytes, vmt_gpu_memory memory, vmt_err *err) {
    struct metal_gpu *m = metal(gpu);
    (void)memory; /* one memory: what is private to a GPU elsewhere gains nothing here */
    vmt_id object = vmt_mtl_device_new_buffer(&m->objc, m->device, bytes, STORAGE_SHARED_UNTRACKED);
    VMT_TRY(take_buffer(m, out, object, bytes, "give", err));
    memset(out->host, 0, bytes);
    return VMT_OK;
}

static vmt_status metal_wrap(vmt_gpu *gpu, vmt_buffer *out, const void *host, size_t bytes, vmt_err *err) {
    struct metal_gpu *m = metal(gpu);
    vmt_id object = vmt_mtl_device_wrap_buffer(&m->objc, m->device, (void *)host, bytes, STORAGE_SHARED_UNTRACKED);
    return take_buffer(m, out, object, bytes, "map", err);
}

static void forget_pending(struct metal_gpu *m, struct metal_buffer *b) {
    struct metal_buffer **link = &m->pending;
    while (*link != NULL && *link != b) link = &(*link)->next_pending;
    if (*link != NULL) *link = b->next_pending;
}

static void metal_release(vmt_gpu *gpu, vmt_buffer *buffer) {
    struct metal_gpu *m = metal(gpu);
    struct metal_buffer *b = buffer->device;
    forget_pending(m, b);
    if (b->set != NULL) {
        vmt_mtl_set_remove(&m->objc, b->set, b->object);
        vmt_mtl_set_commit(&m->objc, b->set);
    }
    vmt_objc_release(&m->objc, b->object);
    free(b);
}

/* A set with room for bytes more, or a new one.  NULL: the system has no more of them. */
static struct residency_set *set_for(struct metal_gpu *m, size_t bytes) {
    size_t room = m->base.caps.working_set_bytes / SET_PART;
    struct residency_set *last = m->num_sets > 0 ? &m->sets[m->num_sets - 1] : NULL;
    if (last != NULL && (last->bytes + bytes <= room || m->num_sets == SETS_MAX)) return last;
    vmt_id descriptor = vmt_objc_new(&m->objc, VMT_CLASS_SET_DESCRIPTOR), error = NULL;
    vmt_id object = vmt_mtl_device_new_residency_set(&m->objc, m->device, descriptor, &error);
    vmt_objc_release(&m->objc, descriptor);
    if (object == NULL) return last;
    last = &m->sets[m->num_sets++];
    *last = (struct residency_set){object, 0};
    vmt_mtl_queue_add_set(&m->objc, m->queue, object);
    return last;
}

/* Puts new buffers into residency sets: without, the system may un-wire weights between requests.  Costly, so done once
 * for all that was allocated since the last commit: in effect, at load. */
static void make_resident(struct metal_gpu *m) {
    if (m->pending == NULL) return;
    uint32_t first = m->num_sets > 0 ? m->num_sets - 1 : 0;
    while (m->pending != NULL) {
        struct metal_buffer *b = m->pending;
        m->pending = b->next_pending;
        b->next_pending = NULL;
        struct residency_set *set = m->has_sets ? set_for(m, b->bytes) : NULL;
        if (set == NULL) continue;
        set->bytes += b->bytes;
        b->set = set->object;
        vmt_mtl_set_add(&m->objc, set->object, b->object);
    }
    for (uint32_t i = first; i < m->num_sets; i++) {
        vmt_mtl_set_commit(&m->objc, m->sets[i].object);
        vmt_mtl_set_request(&m->objc, m->sets[i].object);
    }
}

/* ---- kernels */

/* The newest language that is known to take our kernels: never the default, which follows the linked SDK. */
static vmt_nsuint language_version(const struct metal_gpu *m) {
    enum { MSL_3_1 = 3 << 16 | 1, MSL_3_2 = 3 << 16 | 2, MSL_4_0 = 4 << 16 };
    if (m->objc.macos_major >= 26) return MSL_4_0;
    return m->objc.macos_major >= 15 ? MSL_3_2 : MSL_3_1;
}

static vmt_id compile_options(const struct metal_gpu *m) {
    const vmt_objc *o = &m->objc;
    vmt_id options = vmt_objc_new(o, VMT_CLASS_COMPILE_OPTIONS);
    vmt_mtl_options_set_language(o, options, language_version(m));
    if (vmt_objc_responds(o, options, VMT_SEL_options_set_math_mode)) {
        vmt_mtl_options_set_math_mode(o, options, MATH_RELAXED);
    } else {
        vmt_mtl_options_set_fast_math(o, options, false);
    }
    return options;
}

/* The library of one kernel: its file's text and the line that instantiates it. */
static vmt_status compile_library(struct metal_gpu *m, const vmt_kernel *kernel, vmt_id *library, vmt_err *err) {
    const vmt_objc *o = &m->objc;
    size_t bytes = strlen(kernel->source) + strlen(kernel->instantiation) + 2;
    char *text = malloc(bytes);
    if (text == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "%s: no memory for its source", kernel->name);
    snprintf(text, bytes, "%s\n%s", kernel->source, kernel->instantiation);
    vmt_id options = compile_options(m), error = NULL;
    *library = vmt_mtl_device_new_library(o, m->device, vmt_objc_string(o, text), options, &error);
    vmt_objc_release(o, options);
    free(text);
    if (*library != NULL) return VMT_OK;
    return vmt_fail(err, VMT_E_UNSUPPORTED, "kernel %s does not compile: %.180s", kernel->name,
                    vmt_objc_error_text(o, error));
}

static vmt_status check_pipeline(struct metal_gpu *m, vmt_id pipeline, const vmt_kernel *kernel, vmt_err *err) {
    vmt_nsuint threads = vmt_mtl_pipeline_threads_max(&m->objc, pipeline);
    vmt_nsuint width = vmt_mtl_pipeline_simd_width(&m->objc, pipeline);
    vmt_nsuint bytes = vmt_mtl_pipeline_threadgroup_bytes(&m->objc, pipeline);
    if (threads >= kernel->threads && width == SIMD_WIDTH && bytes <= VMT_GPU_THREADGROUP_MAX) return VMT_OK;
    return vmt_fail(err, VMT_E_UNSUPPORTED,
                    "kernel %s: simdgroups of %lu, %lu threads and %lu bytes; it needs %u, %u and at most %u",
                    kernel->name, width, threads, bytes, SIMD_WIDTH, kernel->threads, VMT_GPU_THREADGROUP_MAX);
}

static vmt_status build_pipeline(struct metal_gpu *m, const vmt_kernel *kernel, vmt_id *out, vmt_err *err) {
    const vmt_objc *o = &m->objc;
    vmt_id library, error = NULL;
    *out = NULL;
    VMT_TRY(compile_library(m, kernel, &library, err));
    vmt_id function = vmt_mtl_library_new_function(o, library, vmt_objc_string(o, kernel->name));
    vmt_status status = VMT_OK;
    if (function == NULL) {
        status = vmt_fail(err, VMT_E_UNSUPPORTED, "kernel %s is not in the library of its own text", kernel->name);
    } else {
        *out = vmt_mtl_device_new_pipeline(o, m->device, function, &error);
        if (*out == NULL) {
            status = vmt_fail(err, VMT_E_UNSUPPORTED, "kernel %s can't be made ready: %.180s", kernel->name,
                              vmt_objc_error_text(o, error));
        }
    }
    if (status == VMT_OK) status = check_pipeline(m, *out, kernel, err);
    if (status != VMT_OK) vmt_objc_release(o, *out);
    vmt_objc_release(o, function);
    vmt_objc_release(o, library);
    return status;
}

static vmt_status metal_pipeline(vmt_gpu *gpu, const vmt_kernel *kernel, vmt_gpu_pipeline **out, vmt_err *err) {
    struct metal_gpu *m = metal(gpu);
    for (struct metal_pipeline *p = m->pipelines; p != NULL; p = p->next) {
        if (p->base.kernel != kernel) continue;
        *out = &p->base;
        return VMT_OK;
    }
    struct metal_pipeline *p = calloc(1, sizeof *p);
    if (p == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "%s: no memory for its pipeline", kernel->name);
    void *pool = m->objc.pool_push();
    vmt_status status = build_pipeline(m, kernel, &p->object, err);
    m->objc.pool_pop(pool);
    if (status != VMT_OK) {
        free(p);
        return status;
    }
    p->base.kernel = kernel;
    p->next = m->pipelines;
    m->pipelines = p;
    *out = &p->base;
    return VMT_OK;
}

/* ---- command buffers */

static vmt_status dead(const struct metal_gpu *m, vmt_err *err) {
    return vmt_fail(err, VMT_E_IO, "%s failed: %s", m->base.caps.name, m->death);
}

/* Looks at the oldest command buffer after it has ended, and lets go of it. */
static void retire_oldest(struct metal_gpu *m) {
    const vmt_objc *o = &m->objc;
    void *pool = o->pool_push();
    vmt_id object = m->in_flight[0].object;
    vmt_nsuint status = vmt_mtl_commands_status(o, object);
    if (status == STATUS_ERROR) {
        vmt_id error = vmt_mtl_commands_error(o, object);
        if (!m->is_dead) {
            snprintf(m->death, sizeof m->death, "code %ld, %s", vmt_objc_error_code(o, error),
                     vmt_objc_error_text(o, error));
        }
        m->is_dead = true;
    } else if (status == STATUS_COMPLETED) { /* the event comes a moment earlier */
        double seconds = vmt_mtl_commands_gpu_end(o, object) - vmt_mtl_commands_gpu_start(o, object);
        if (seconds > 0) m->base.counts.gpu_ns += (uint64_t)(seconds * 1e9);
    }
    vmt_objc_release(o, object);
    m->num_in_flight--;
    memmove(m->in_flight, m->in_flight + 1, m->num_in_flight * sizeof *m->in_flight);
    o->pool_pop(pool);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The oldest command buffer has ended, well or not; false: not within the time. */
static bool wait_oldest(struct metal_gpu *m, uint64_t deadline_ns) {
    const struct commands *c = &m->in_flight[0];
    for (;;) {
        uint64_t now = now_ns();
        uint64_t left_ms = now < deadline_ns ? (deadline_ns - now + 999999) / 1000000 : 0;
        if (vmt_mtl_event_wait(&m->objc, m->event, c->ticket, VMT_MIN(left_ms, WAIT_SLICE_MS))) return true;
        if (vmt_mtl_commands_status(&m->objc, c->object) >= STATUS_COMPLETED) return true;
        if (left_ms == 0) return false;
    }
}

static vmt_status metal_wait(vmt_gpu *gpu, uint64_t ticket, uint64_t timeout_ns, vmt_err *err) {
    struct metal_gpu *m = metal(gpu);
    uint64_t deadline_ns = now_ns() + timeout_ns;
    while (m->num_in_flight > 0 && m->in_flight[0].ticket <= ticket) {
        if (!wait_oldest(m, deadline_ns)) {
            return vmt_fail(err, VMT_E_EXHAUSTED, "%s did not finish a step within %llu ms", m->base.caps.name,
                            (unsigned long long)(timeout_ns / 1000000));
        }
        retire_oldest(m);
    }
    return m->is_dead ? dead(m, err) : VMT_OK;
}

static vmt_status metal_begin(vmt_gpu *gpu, vmt_err *err) {
    struct metal_gpu *m = metal(gpu);
    VMT_ASSERT(m->encoder == NULL);
    if (m->is_dead) return dead(m, err);
    if (m->num_in_flight == VMT_GPU_IN_FLIGHT_MAX) {
        VMT_TRY(metal_wait(gpu, m->in_flight[0].ticket, VMT_GPU_ROOM_WAIT_NS, err));
    }
    make_resident(m);
    m->pool = m->objc.pool_push();
    m->commands = vmt_objc_retain(&m->objc, vmt_mtl_queue_commands(&m->objc, m->queue));
    if (m->commands != NULL) m->encoder = vmt_mtl_commands_encoder(&m->objc, m->commands, DISPATCH_CONCURRENT);
    if (m->encoder == NULL) {
        vmt_objc_release(&m->objc, m->commands);
        m->objc.pool_pop(m->pool);
        m->commands = NULL;
        return vmt_fail(err, VMT_E_IO, "%s gives no command buffer", m->base.caps.name);
    }
    memset(m->bound, 0, sizeof m->bound);
    m->bound_pipeline = NULL;
    return VMT_OK;
}

static void bind(struct metal_gpu *m, const vmt_gpu_binding *binding, uint32_t slot) {
    vmt_id object = ((const struct metal_buffer *)binding->buffer->device)->object;
    if (m->bound[slot] != object) {
        vmt_mtl_encoder_set_buffer(&m->objc, m->encoder, object, binding->offset, slot);
    } else if (m->bound_offsets[slot] != binding->offset) {
        vmt_mtl_encoder_set_offset(&m->objc, m->encoder, binding->offset, slot);
    }
    m->bound[slot] = object;
    m->bound_offsets[slot] = binding->offset;
}

static void metal_dispatch(vmt_gpu *gpu, const vmt_gpu_dispatch *dispatch) {
    struct metal_gpu *m = metal(gpu);
    const vmt_objc *o = &m->objc;
    const vmt_kernel *kernel = dispatch->pipeline->kernel;
    vmt_id pipeline = ((struct metal_pipeline *)dispatch->pipeline)->object;
    if (m->bound_pipeline != pipeline) vmt_mtl_encoder_set_pipeline(o, m->encoder, pipeline);
    m->bound_pipeline = pipeline;
    for (uint32_t i = 0; i < kernel->num_buffers; i++) bind(m, &dispatch->buffers[i], i);
    if (kernel->args_bytes > 0) {
        vmt_mtl_encoder_set_bytes(o, m->encoder, dispatch->args, kernel->args_bytes, kernel->num_buffers);
        m->bound[kernel->num_buffers] = NULL;
    }
    vmt_mtl_size grid = {dispatch->grid[0], dispatch->grid[1], dispatch->grid[2]};
    vmt_mtl_encoder_dispatch(o, m->encoder, grid, (vmt_mtl_size){kernel->threads, 1, 1});
}

static void metal_barrier(vmt_gpu *gpu) {
    struct metal_gpu *m = metal(gpu);
    vmt_mtl_encoder_barrier(&m->objc, m->encoder, BARRIER_BUFFERS);
}

static vmt_status metal_commit(vmt_gpu *gpu, uint64_t *ticket, vmt_err *err) {
    struct metal_gpu *m = metal(gpu);
    const vmt_objc *o = &m->objc;
    (void)err;
    *ticket = ++m->num_tickets;
    vmt_mtl_encoder_end(o, m->encoder);
    vmt_mtl_commands_signal(o, m->commands, m->event, *ticket);
    vmt_mtl_commands_commit(o, m->commands);
    m->in_flight[m->num_in_flight++] = (struct commands){m->commands, *ticket};
    m->commands = m->encoder = NULL;
    o->pool_pop(m->pool);
    return VMT_OK;
}

/* ---- open, close */

static void metal_close(vmt_gpu *gpu) {
    struct metal_gpu *m = metal(gpu);
    const vmt_objc *o = &m->objc;
    VMT_ASSERT(m->encoder == NULL && m->pending == NULL);
    /* What still runs after that is left to the system, with the memory it uses. */
    if (m->num_in_flight > 0) (void)metal_wait(gpu, m->num_tickets, VMT_GPU_ROOM_WAIT_NS, NULL);
    while (m->num_in_flight > 0) retire_oldest(m);
    while (m->pipelines != NULL) {
        struct metal_pipeline *p = m->pipelines;
        m->pipelines = p->next;
        vmt_objc_release(o, p->object);
        free(p);
    }
    for (uint32_t i = 0; i < m->num_sets; i++) {
        vmt_mtl_set_end(o, m->sets[i].object);
        vmt_mtl_queue_remove_set(o, m->queue, m->sets[i].object);
        vmt_objc_release(o, m->sets[i].object);
    }
    vmt_objc_release(o, m->event);
    vmt_objc_release(o, m->queue);
    vmt_objc_release(o, m->device);
    free(m);
}

static const vmt_gpu_vtable vtable = {
    .close = metal_close,
    .alloc = metal_alloc,
    .wrap = metal_wrap,
    .release = metal_release,
    .pipeline = metal_pipeline,
    .begin = metal_begin,
    .dispatch = metal_dispatch,
    .barrier = metal_barrier,
    .commit = metal_commit,
    .wait = metal_wait,
};

/* "applegpu_g16s": generation 16, size class 's'. */
static void read_architecture(vmt_gpu_caps *caps, const char *architecture) {
    const char *mark = strstr(architecture, "_g");
    if (mark == NULL) return;
    char *end;
    caps->generation = (uint32_t)strtoul(mark + 2, &end, 10);
    caps->size_class = *end;
}

static void read_caps(struct metal_gpu *m) {
    const vmt_objc *o = &m->objc;
    vmt_gpu_caps *caps = &m->base.caps;
    snprintf(caps->name, sizeof caps->name, "%s", vmt_mtl_device_name(o, m->device));
    read_architecture(caps, vmt_mtl_device_architecture(o, m->device));
    caps->num_cores = o->num_gpu_cores;
    caps->is_unified = vmt_mtl_device_is_unified(o, m->device);
    caps->buffer_bytes_max = vmt_mtl_device_buffer_max(o, m->device) / CHIP_PAGE_BYTES * CHIP_PAGE_BYTES;
    caps->working_set_bytes = (size_t)vmt_mtl_device_working_set(o, m->device);
    long page = sysconf(_SC_PAGESIZE);
    caps->page_bytes = page > 0 ? (size_t)page : CHIP_PAGE_BYTES;
}

/* The default device, or the first of all where there is no default (without a screen). */
static vmt_id find_device(const vmt_objc *o) {
    vmt_id device = o->create_device();
    if (device != NULL) return device;
    vmt_id all = o->copy_devices();
    if (all != NULL && vmt_objc_array_count(o, all) > 0) device = vmt_objc_retain(o, vmt_objc_array_at(o, all, 0));
    vmt_objc_release(o, all);
    return device;
}

static vmt_status start(struct metal_gpu *m, vmt_err *err) {
    const vmt_objc *o = &m->objc;
    m->device = find_device(o);
    if (m->device == NULL) return vmt_fail(err, VMT_E_UNSUPPORTED, "Metal has no device here");
    read_caps(m);
    if (!m->base.caps.is_unified) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "%s has memory of its own; Apple silicon is needed",
                        m->base.caps.name);
    }
    if (vmt_mtl_device_threadgroup_max(o, m->device) < VMT_GPU_THREADGROUP_MAX) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "%s has %lu bytes of threadgroup memory, %u are needed",
                        m->base.caps.name, vmt_mtl_device_threadgroup_max(o, m->device), VMT_GPU_THREADGROUP_MAX);
    }
    m->queue = vmt_mtl_device_new_queue(o, m->device);
    m->event = vmt_mtl_device_new_event(o, m->device);
    if (m->queue == NULL || m->event == NULL) {
        return vmt_fail(err, VMT_E_IO, "%s gives no command queue", m->base.caps.name);
    }
    m->has_sets = o->classes[VMT_CLASS_SET_DESCRIPTOR] != NULL &&
                  vmt_objc_responds(o, m->device, VMT_SEL_device_new_residency_set) &&
                  vmt_objc_responds(o, m->queue, VMT_SEL_queue_add_set);
    return VMT_OK;
}

vmt_status vmt_metal_gpu_open_with(vmt_gpu **out, const vmt_objc *objc, vmt_err *err) {
    *out = NULL;
    struct metal_gpu *m = calloc(1, sizeof *m);
    if (m == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the GPU");
    m->base = (vmt_gpu){.vt = &vtable, .driver = "metal"};
    m->objc = *objc;
    void *pool = objc->pool_push();
    vmt_status status = start(m, err);
    objc->pool_pop(pool);
    if (status != VMT_OK) {
        metal_close(&m->base);
        return status;
    }
    *out = &m->base;
    return VMT_OK;
}

vmt_status vmt_metal_gpu_open(vmt_gpu **out, vmt_err *err) {
    vmt_objc objc;
    *out = NULL;
    VMT_TRY(vmt_objc_load(&objc, err));
    return vmt_metal_gpu_open_with(out, &objc, err);
}

bool vmt_metal_gpu_handles(vmt_gpu *gpu, vmt_metal_handles *out) {
    const struct metal_gpu *m = metal(gpu);
    if (strcmp(gpu->driver, "metal") != 0) return false;
    *out = (vmt_metal_handles){&m->objc, m->device, m->queue, m->event};
    return true;
}
