#include "backend/metal/mock_metal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OBJECTS_MAX   65536u
#define POOLS_MAX     16u
#define SETTINGS_MAX  31u
#define SET_BYTES_MAX 4096u

enum kind {
    KIND_CLASS,
    KIND_STRING,
    KIND_ERROR,
    KIND_ARRAY,
    KIND_DEVICE,
    KIND_ARCHITECTURE,
    KIND_COMPILE_OPTIONS,
    KIND_SET_DESCRIPTOR,
    KIND_LIBRARY,
    KIND_FUNCTION,
    KIND_PIPELINE,
    KIND_BUFFER,
    KIND_QUEUE,
    KIND_RESIDENCY_SET,
    KIND_COMMANDS,
    KIND_ENCODER,
    KIND_EVENT,
    NUM_KINDS
};
static const char *const kind_names[NUM_KINDS] = {
    "class",           "string",         "error",          "array",    "device",   "architecture",
    "compile options", "set descriptor", "library",        "function", "pipeline", "buffer",
    "queue",           "residency set",  "command buffer", "encoder",  "event",
};

/* One dispatch as encoded: what to replay on the host driver. */
struct recorded {
    bool is_barrier;
    const vmt_kernel *kernel;
    struct vmt_objc_object *buffers[SETTINGS_MAX];
    size_t offsets[SETTINGS_MAX];
    uint8_t args[VMT_GPU_ARGS_MAX];
    uint32_t grid[3];
};

struct vmt_objc_object {
    enum kind kind;
    int32_t refs;
    char *text;               /* string, error, architecture; library: its source */
    enum kind makes;          /* class */
    const vmt_kernel *kernel; /* function, pipeline */
    /* buffer */
    vmt_buffer memory;
    struct vmt_objc_object *set; /* the residency set that has it */
    bool is_committed;           /* to its set; command buffer: to the queue */
    /* compile options */
    vmt_nsuint language;
    bool has_math;
    /* queue's set */
    bool is_on_queue;
    /* command buffer */
    struct recorded *recorded;
    uint32_t num_recorded, recorded_cap;
    struct vmt_objc_object *encoder, *event;
    uint64_t value; /* event's; command buffer: to signal */
    vmt_nsuint status;
    /* encoder */
    struct vmt_objc_object *commands;
    bool is_ended;
    struct recorded now; /* what is bound */
    uint32_t arg_slot, arg_bytes;
};

static struct {
    vmt_mock_options options;
    vmt_gpu *host;
    vmt_mock_counts counts;
    char complaint[256];
    vmt_id objects[OBJECTS_MAX];
    uint32_t num_objects;
    vmt_id pooled[OBJECTS_MAX];
    uint32_t num_pooled, pools[POOLS_MAX], num_pools;
    vmt_id classes[3];
    vmt_id device, queue;
    vmt_id waiting[64]; /* committed, not run */
    uint32_t num_waiting;
} mock;

static void complain(const char *fmt, ...) VMT_PRINTF(1, 2);
static void complain(const char *fmt, ...) {
    if (mock.complaint[0]) return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(mock.complaint, sizeof mock.complaint, fmt, args);
    va_end(args);
}

/* ---- objects */

static vmt_id make(enum kind kind) {
    vmt_id object = calloc(1, sizeof *object);
    VMT_ASSERT(object != NULL && mock.num_objects < OBJECTS_MAX);
    object->kind = kind;
    object->refs = 1;
    mock.objects[mock.num_objects++] = object;
    return object;
}

static vmt_id make_text(enum kind kind, const char *text) {
    vmt_id object = make(kind);
    object->text = strdup(text);
    return object;
}

static vmt_id autorelease(vmt_id object) {
    if (mock.num_pools == 0) complain("a %s is autoreleased without a pool", kind_names[object->kind]);
    mock.pooled[mock.num_pooled++] = object;
    return object;
}

/* What an object's end must not leave behind.  The shell stays, to catch messages to it. */
static void end_object(vmt_id object) {
    if (object->kind == KIND_BUFFER) {
        for (uint32_t i = 0; i < mock.num_waiting; i++) {
            for (uint32_t r = 0; r < mock.waiting[i]->num_recorded; r++) {
                for (uint32_t b = 0; b < SETTINGS_MAX; b++) {
                    if (mock.waiting[i]->recorded[r].buffers[b] == object)
                        complain("a buffer is released while a command buffer uses it");
                }
            }
        }
        if (mock.host) {
            vmt_gpu_release(mock.host, &object->memory);
        } else if (object->memory.device == NULL) {
            free(object->memory.host);
        }
    }
    if (object->kind == KIND_COMMANDS && object->encoder && !object->encoder->is_ended) {
        complain("a command buffer goes while its encoder is open");
    }
    free(object->text);
    free(object->recorded);
    object->text = NULL;
    object->recorded = NULL;
}

static void release(vmt_id self, vmt_sel sel) {
    (void)sel;
    if (--self->refs == 0) end_object(self);
}

static vmt_id retain(vmt_id self, vmt_sel sel) {
    (void)sel;
    self->refs++;
    return self;
}

static void *pool_push(void) {
    VMT_ASSERT(mock.num_pools < POOLS_MAX);
    mock.pools[mock.num_pools++] = mock.num_pooled;
    return &mock.pools[mock.num_pools - 1];
}

static void pool_pop(void *pool) {
    if (mock.num_pools == 0 || pool != &mock.pools[mock.num_pools - 1]) {
        complain("pools are popped out of order");
        return;
    }
    uint32_t first = mock.pools[--mock.num_pools];
    while (mock.num_pooled > first) release(mock.pooled[--mock.num_pooled], NULL);
}

/* ---- selectors */

static uintptr_t refuse(void) {
    return 0;
}

static bool is_new_selector(uint32_t idx) {
    static const uint32_t later[] = {VMT_SEL_device_new_residency_set, VMT_SEL_options_set_math_mode,
                                     VMT_SEL_queue_add_set, VMT_SEL_queue_remove_set};
    for (size_t i = 0; i < VMT_COUNT(later); i++) {
        if (later[i] == idx) return true;
    }
    return false;
}

/* Selectors are pointers into a table of their own, whose index is that of selectors.def. */
static char selector_tokens[VMT_NUM_SELECTORS];

static vmt_sel register_name(const char *name) {
    for (uint32_t i = 0; i < VMT_NUM_SELECTORS; i++) {
        if (strcmp(vmt_objc_selector_text(i), name) == 0) return (vmt_sel)&selector_tokens[i];
    }
    complain("a selector \"%s\" that Metal does not have", name);
    return NULL;
}

typedef void (*method)(void);
static method find_method(const struct vmt_objc_object *object, const char *selector);

static bool responds(vmt_id self, vmt_sel sel, vmt_sel asked) {
    (void)sel;
    uint32_t idx = (uint32_t)((char *)asked - selector_tokens);
    if (is_new_selector(idx) && mock.options.macos_major < 15) return false;
    const char *missing = mock.options.missing_selector;
    if (missing != NULL && strcmp(missing, vmt_objc_selector_text(idx)) == 0) return false;
    return find_method(self, vmt_objc_selector_text(idx)) != NULL;
}

/* ---- strings, errors, arrays, classes */

static vmt_id new_object(vmt_id self, vmt_sel sel) {
    (void)sel;
    return make(self->makes);
}

static vmt_id string_utf8(vmt_id self, vmt_sel sel, const char *text) {
    (void)self, (void)sel;
    return autorelease(make_text(KIND_STRING, text));
}

static const char *utf8(vmt_id self, vmt_sel sel) {
    (void)sel;
    return self->text;
}

static vmt_id text_of(vmt_id self, vmt_sel sel) {
    (void)sel;
    return autorelease(make_text(KIND_STRING, self->text));
}

static long error_code(vmt_id self, vmt_sel sel) {
    (void)self, (void)sel;
    return 2;
}

static vmt_nsuint array_count(vmt_id self, vmt_sel sel) {
    (void)self, (void)sel;
    return 1;
}

static vmt_id array_at(vmt_id self, vmt_sel sel, vmt_nsuint idx) {
    (void)self, (void)sel;
    if (idx != 0) complain("index %lu of an array of 1", idx);
    return mock.device;
}

static vmt_id get_class(const char *name) {
    static const char *const names[] = {"NSString", "MTLCompileOptions", "MTLResidencySetDescriptor"};
    static const enum kind makes[] = {KIND_STRING, KIND_COMPILE_OPTIONS, KIND_SET_DESCRIPTOR};
    for (uint32_t i = 0; i < VMT_COUNT(names); i++) {
        if (strcmp(names[i], name) != 0) continue;
        if (makes[i] == KIND_SET_DESCRIPTOR && mock.options.macos_major < 15) return NULL;
        mock.classes[i]->makes = makes[i];
        return mock.classes[i];
    }
    return NULL;
}

/* ---- device */

static vmt_id create_device(void) {
    return mock.options.no_device || mock.options.no_devices ? NULL : retain(mock.device, NULL);
}

static vmt_id copy_devices(void) {
    return mock.options.no_devices ? NULL : make(KIND_ARRAY);
}

static vmt_id device_name(vmt_id self, vmt_sel sel) {
    (void)self, (void)sel;
    return autorelease(make_text(KIND_STRING, "Mock M4 Max"));
}

static vmt_id device_architecture(vmt_id self, vmt_sel sel) {
    (void)self, (void)sel;
    return autorelease(make_text(KIND_ARCHITECTURE, "applegpu_g16s"));
}

static bool device_is_unified(vmt_id self, vmt_sel sel) {
    (void)self, (void)sel;
    return !mock.options.is_discrete;
}

static vmt_nsuint device_buffer_max(vmt_id self, vmt_sel sel) {
    (void)self, (void)sel;
    return mock.options.buffer_bytes_max;
}

static uint64_t device_working_set(vmt_id self, vmt_sel sel) {
    (void)self, (void)sel;
    return mock.options.working_set_bytes;
}

static vmt_nsuint device_threadgroup_max(vmt_id self, vmt_sel sel) {
    (void)self, (void)sel;
    return 32768;
}

static vmt_id device_new_queue(vmt_id self, vmt_sel sel) {
    (void)self, (void)sel;
    return mock.queue = make(KIND_QUEUE);
}

static vmt_id device_new_event(vmt_id self, vmt_sel sel) {
    (void)self, (void)sel;
    return make(KIND_EVENT);
}

static vmt_id device_new_buffer(vmt_id self, vmt_sel sel, vmt_nsuint bytes, vmt_nsuint options) {
    (void)self, (void)sel;
    if (options != 1u << 8) complain("a buffer with options %lu; shared and untracked are 256", options);
    if (bytes == 0 || bytes > mock.options.buffer_bytes_max || mock.options.refuses_memory) return NULL;
    vmt_id buffer = make(KIND_BUFFER);
    if (mock.host) {
        VMT_ASSERT(vmt_gpu_alloc(mock.host, &buffer->memory, bytes, VMT_GPU_SHARED, NULL) == VMT_OK);
    } else {
        buffer->memory = (vmt_buffer){.host = malloc(bytes), .bytes = bytes};
    }
    return buffer;
}

static vmt_id device_wrap_buffer(vmt_id self, vmt_sel sel, void *host, vmt_nsuint bytes, vmt_nsuint options,
                                 vmt_id deallocator) {
    (void)self, (void)sel;
    if (options != 1u << 8 || deallocator != NULL) complain("a wrapped buffer with options %lu", options);
    if ((uintptr_t)host % 4096 != 0 || bytes % 4096 != 0) complain("wrapped memory is not whole pages");
    if (mock.options.refuses_memory) return NULL;
    vmt_id buffer = make(KIND_BUFFER);
    if (mock.host) {
        VMT_ASSERT(vmt_gpu_wrap(mock.host, &buffer->memory, host, bytes, NULL) == VMT_OK);
    } else {
        buffer->memory = (vmt_buffer){.host = host, .bytes = bytes, .device = host};
    }
    return buffer;
}

static void *buffer_contents(vmt_id self, vmt_sel sel) {
    (void)sel;
    return self->memory.host;
}

/* ---- residency */

static vmt_id device_new_residency_set(vmt_id self, vmt_sel sel, vmt_id descriptor, vmt_id *error) {
    (void)self, (void)sel, (void)error;
    if (descriptor == NULL || descriptor->kind != KIND_SET_DESCRIPTOR) complain("a set without a descriptor");
    mock.counts.num_sets++;
    return make(KIND_RESIDENCY_SET);
}

static void queue_add_set(vmt_id self, vmt_sel sel, vmt_id set) {
    (void)self, (void)sel;
    if (set->is_on_queue) complain("a residency set is added twice");
    set->is_on_queue = true;
}

static void queue_remove_set(vmt_id self, vmt_sel sel, vmt_id set) {
    (void)self, (void)sel;
    if (!set->is_on_queue) complain("a residency set is removed that is not on the queue");
    set->is_on_queue = false;
}

static void set_add(vmt_id self, vmt_sel sel, vmt_id buffer) {
    (void)sel;
    if (buffer->set != NULL) complain("a buffer is in two residency sets");
    buffer->set = self;
}

static void set_remove(vmt_id self, vmt_sel sel, vmt_id buffer) {
    (void)sel;
    if (buffer->set != self) complain("a buffer is taken out of a set that does not have it");
    buffer->set = NULL;
    buffer->is_committed = false;
}

static void set_commit(vmt_id self, vmt_sel sel) {
    (void)sel;
    for (uint32_t i = 0; i < mock.num_objects; i++) {
        if (mock.objects[i]->kind == KIND_BUFFER && mock.objects[i]->set == self)
            mock.objects[i]->is_committed = true;
    }
}

static void set_nothing(vmt_id self, vmt_sel sel) {
    (void)self, (void)sel;
}

/* ---- compiling */

static void options_set_language(vmt_id self, vmt_sel sel, vmt_nsuint version) {
    (void)sel;
    vmt_nsuint newest = mock.options.macos_major >= 26   ? 4u << 16
                        : mock.options.macos_major >= 15 ? 196610
                                                         : 196609;
    if (version < 196609 || version > newest)
        complain("language version %lu on macOS %u", version, mock.options.macos_major);
    self->language = version;
}

static void options_set_math_mode(vmt_id self, vmt_sel sel, long mode) {
    (void)sel;
    if (mode < 0 || mode > 2) complain("math mode %ld", mode);
    self->has_math = true;
}

static void options_set_fast_math(vmt_id self, vmt_sel sel, bool is_fast) {
    (void)sel, (void)is_fast;
    self->has_math = true;
}

static vmt_id device_new_library(vmt_id self, vmt_sel sel, vmt_id source, vmt_id options, vmt_id *error) {
    (void)self, (void)sel;
    if (options == NULL || options->language == 0 || !options->has_math) {
        complain("a library is compiled without a language version or a math mode");
    }
    mock.counts.num_compiles++;
    if (mock.options.refuses_source || strstr(source->text, "[[kernel]]") == NULL) {
        *error = autorelease(make_text(KIND_ERROR, "program_source:1:1: error: refused"));
        return NULL;
    }
    return make_text(KIND_LIBRARY, source->text);
}

/* A library has the kernel if it is that kernel's whole text and its instantiation. */
static vmt_id library_new_function(vmt_id self, vmt_sel sel, vmt_id name) {
    (void)sel;
    const vmt_kernel *kernel = vmt_kernel_find(name->text);
    if (kernel == NULL || strncmp(self->text, kernel->source, strlen(kernel->source)) != 0 ||
        strstr(self->text + strlen(kernel->source), kernel->instantiation) == NULL) {
        return NULL;
    }
    vmt_id function = make(KIND_FUNCTION);
    function->kernel = kernel;
    return function;
}

static vmt_id device_new_pipeline(vmt_id self, vmt_sel sel, vmt_id function, vmt_id *error) {
    (void)self, (void)sel, (void)error;
    vmt_id pipeline = make(KIND_PIPELINE);
    pipeline->kernel = function->kernel;
    return pipeline;
}

static vmt_nsuint pipeline_threads_max(vmt_id self, vmt_sel sel) {
    (void)sel;
    return self->kernel->threads;
}

static vmt_nsuint pipeline_simd_width(vmt_id self, vmt_sel sel) {
    (void)self, (void)sel;
    return 32;
}

static vmt_nsuint pipeline_threadgroup_bytes(vmt_id self, vmt_sel sel) {
    (void)sel;
    return self->kernel->threadgroup_bytes;
}

/* ---- command buffers */

static vmt_id queue_commands(vmt_id self, vmt_sel sel) {
    (void)self, (void)sel;
    return autorelease(make(KIND_COMMANDS));
}

static vmt_id commands_encoder(vmt_id self, vmt_sel sel, vmt_nsuint dispatch_type) {
    (void)sel;
    if (dispatch_type > 1) complain("dispatch type %lu", dispatch_type);
    vmt_id encoder = autorelease(make(KIND_ENCODER));
    encoder->commands = self;
    self->encoder = encoder;
    return encoder;
}

static void commands_signal(vmt_id self, vmt_sel sel, vmt_id event, uint64_t value) {
    (void)sel;
    if (self->encoder && !self->encoder->is_ended) complain("an event is encoded while an encoder is open");
    self->event = event;
    self->value = value;
}

static void commands_commit(vmt_id self, vmt_sel sel) {
    (void)sel;
    if (self->is_committed) complain("a command buffer is committed twice");
    if (self->encoder == NULL || !self->encoder->is_ended) complain("a command buffer is committed while encoded");
    self->is_committed = true;
    self->status = 2;
    VMT_ASSERT(mock.num_waiting < VMT_COUNT(mock.waiting));
    mock.waiting[mock.num_waiting++] = self;
}

static void run_recorded(const struct recorded *r) {
    if (r->is_barrier) {
        vmt_gpu_barrier(mock.host);
        return;
    }
    vmt_gpu_dispatch dispatch = {.args = r->args, .grid = {r->grid[0], r->grid[1], r->grid[2]}};
    VMT_ASSERT(vmt_gpu_pipeline_get(mock.host, r->kernel->name, &dispatch.pipeline, NULL) == VMT_OK);
    for (uint32_t i = 0; i < r->kernel->num_buffers; i++) {
        dispatch.buffers[i] = (vmt_gpu_binding){&r->buffers[i]->memory, r->offsets[i]};
    }
    vmt_gpu_dispatch_add(mock.host, &dispatch);
}

static void run_commands(vmt_id commands) {
    uint64_t ticket;
    commands->status = mock.options.fails_commands ? 5 : 4;
    if (mock.options.fails_commands) return;
    commands->event->value = commands->value;
    if (mock.host == NULL) return;
    VMT_ASSERT(vmt_gpu_begin(mock.host, NULL) == VMT_OK);
    for (uint32_t i = 0; i < commands->num_recorded; i++) run_recorded(&commands->recorded[i]);
    VMT_ASSERT(vmt_gpu_commit(mock.host, &ticket, NULL) == VMT_OK);
    VMT_ASSERT(vmt_gpu_wait(mock.host, ticket, 600000000000u, NULL) == VMT_OK);
}

/* A wait of a moment ends before anything is done. */
static bool event_wait(vmt_id self, vmt_sel sel, uint64_t value, uint64_t timeout_ms) {
    (void)sel;
    if (timeout_ms <= 1) return self->value >= value;
    while (!mock.options.hangs && self->value < value && mock.num_waiting > 0) {
        run_commands(mock.waiting[0]);
        mock.num_waiting--;
        memmove(mock.waiting, mock.waiting + 1, mock.num_waiting * sizeof *mock.waiting);
        if (mock.options.fails_commands) return false;
    }
    return self->value >= value;
}

static vmt_nsuint commands_status(vmt_id self, vmt_sel sel) {
    (void)sel;
    return self->status;
}

static vmt_id commands_error(vmt_id self, vmt_sel sel) {
    (void)sel;
    return self->status == 5 ? autorelease(make_text(KIND_ERROR, "Caused GPU Timeout Error")) : NULL;
}

static double commands_gpu_start(vmt_id self, vmt_sel sel) {
    (void)self, (void)sel;
    return 1.0;
}

static double commands_gpu_end(vmt_id self, vmt_sel sel) {
    (void)self, (void)sel;
    return 1.5;
}

/* ---- encoding */

static bool is_open(vmt_id encoder) {
    if (encoder->is_ended) complain("an encoder is used after its end");
    return !encoder->is_ended;
}

static void encoder_set_pipeline(vmt_id self, vmt_sel sel, vmt_id pipeline) {
    (void)sel;
    if (is_open(self)) self->now.kernel = pipeline->kernel;
}

static void encoder_set_offset(vmt_id self, vmt_sel sel, vmt_nsuint offset, vmt_nsuint idx) {
    (void)sel;
    if (idx >= SETTINGS_MAX || self->now.buffers[idx] == NULL) {
        complain("an offset for slot %lu, which has no buffer", idx);
        return;
    }
    if (offset % 4 != 0 || offset >= self->now.buffers[idx]->memory.bytes)
        complain("offset %lu of a buffer", offset);
    self->now.offsets[idx] = offset;
}

static void encoder_set_buffer(vmt_id self, vmt_sel sel, vmt_id buffer, vmt_nsuint offset, vmt_nsuint idx) {
    if (!is_open(self)) return;
    mock.counts.num_set_buffer++;
    if (idx >= SETTINGS_MAX || buffer == NULL || buffer->kind != KIND_BUFFER) {
        complain("slot %lu gets no buffer", idx);
        return;
    }
    if (mock.options.macos_major >= 15 && (!buffer->is_committed || !buffer->set->is_on_queue)) {
        complain("a buffer is used that is not resident");
    }
    self->now.buffers[idx] = buffer;
    if (self->arg_slot == idx) self->arg_bytes = 0;
    encoder_set_offset(self, sel, offset, idx);
}

static void encoder_set_bytes(vmt_id self, vmt_sel sel, const void *bytes, vmt_nsuint len, vmt_nsuint idx) {
    (void)sel;
    if (!is_open(self)) return;
    if (len == 0 || len > SET_BYTES_MAX || len > VMT_GPU_ARGS_MAX || idx >= SETTINGS_MAX) {
        complain("%lu bytes for slot %lu", len, idx);
        return;
    }
    memcpy(self->now.args, bytes, len);
    self->arg_slot = (uint32_t)idx;
    self->arg_bytes = (uint32_t)len;
    self->now.buffers[idx] = NULL;
}

static struct recorded *record(vmt_id encoder) {
    vmt_id commands = encoder->commands;
    if (commands->num_recorded == commands->recorded_cap) {
        commands->recorded_cap = commands->recorded_cap * 2 + 16;
        commands->recorded = realloc(commands->recorded, commands->recorded_cap * sizeof *commands->recorded);
        VMT_ASSERT(commands->recorded != NULL);
    }
    struct recorded *r = &commands->recorded[commands->num_recorded++];
    *r = encoder->now;
    return r;
}

static void encoder_dispatch(vmt_id self, vmt_sel sel, vmt_mtl_size grid, vmt_mtl_size threads) {
    (void)sel;
    const vmt_kernel *kernel = self->now.kernel;
    if (!is_open(self)) return;
    if (kernel == NULL) {
        complain("a dispatch without a pipeline");
        return;
    }
    if (threads.width != kernel->threads || threads.height != 1 || threads.depth != 1) {
        complain("%s has %u threads, %lu came", kernel->name, kernel->threads, threads.width);
    }
    if (grid.width == 0 || grid.height == 0 || grid.depth == 0) complain("%s: an empty grid", kernel->name);
    for (uint32_t i = 0; i < kernel->num_buffers; i++) {
        if (self->now.buffers[i] == NULL) complain("%s: slot %u is empty", kernel->name, i);
    }
    if (kernel->args_bytes > 0 &&
        (self->arg_slot != kernel->num_buffers || self->arg_bytes != kernel->args_bytes)) {
        complain("%s: %u bytes of arguments at slot %u", kernel->name, self->arg_bytes, self->arg_slot);
    }
    mock.counts.num_dispatches++;
    struct recorded *r = record(self);
    r->grid[0] = (uint32_t)grid.width;
    r->grid[1] = (uint32_t)grid.height;
    r->grid[2] = (uint32_t)grid.depth;
}

static void encoder_barrier(vmt_id self, vmt_sel sel, vmt_nsuint scope) {
    (void)sel;
    if (scope != 1) complain("a barrier of scope %lu; buffers are 1", scope);
    if (!is_open(self)) return;
    mock.counts.num_barriers++;
    record(self)->is_barrier = true;
}

static void encoder_end(vmt_id self, vmt_sel sel) {
    (void)sel;
    if (is_open(self)) self->is_ended = true;
}

/* ---- dispatch of messages */

struct method_row {
    enum kind kind;
    const char *selector;
    method fn;
};
#define ROW(kind, selector, fn) {kind, selector, (method)(fn)}
static const struct method_row methods[] = {
    ROW(NUM_KINDS, "retain", retain), /* any object */
    ROW(NUM_KINDS, "release", release),
    ROW(NUM_KINDS, "respondsToSelector:", responds),
    ROW(KIND_CLASS, "new", new_object),
    ROW(KIND_CLASS, "stringWithUTF8String:", string_utf8),
    ROW(KIND_STRING, "UTF8String", utf8),
    ROW(KIND_ERROR, "localizedDescription", text_of),
    ROW(KIND_ERROR, "code", error_code),
    ROW(KIND_ARRAY, "count", array_count),
    ROW(KIND_ARRAY, "objectAtIndex:", array_at),
    ROW(KIND_DEVICE, "name", device_name),
    ROW(KIND_DEVICE, "architecture", device_architecture),
    ROW(KIND_ARCHITECTURE, "name", text_of),
    ROW(KIND_DEVICE, "hasUnifiedMemory", device_is_unified),
    ROW(KIND_DEVICE, "maxBufferLength", device_buffer_max),
    ROW(KIND_DEVICE, "recommendedMaxWorkingSetSize", device_working_set),
    ROW(KIND_DEVICE, "maxThreadgroupMemoryLength", device_threadgroup_max),
    ROW(KIND_DEVICE, "newCommandQueue", device_new_queue),
    ROW(KIND_DEVICE, "newSharedEvent", device_new_event),
    ROW(KIND_DEVICE, "newLibraryWithSource:options:error:", device_new_library),
    ROW(KIND_DEVICE, "newComputePipelineStateWithFunction:error:", device_new_pipeline),
    ROW(KIND_DEVICE, "newBufferWithLength:options:", device_new_buffer),
    ROW(KIND_DEVICE, "newBufferWithBytesNoCopy:length:options:deallocator:", device_wrap_buffer),
    ROW(KIND_DEVICE, "newResidencySetWithDescriptor:error:", device_new_residency_set),
    ROW(KIND_COMPILE_OPTIONS, "setLanguageVersion:", options_set_language),
    ROW(KIND_COMPILE_OPTIONS, "setMathMode:", options_set_math_mode),
    ROW(KIND_COMPILE_OPTIONS, "setFastMathEnabled:", options_set_fast_math),
    ROW(KIND_LIBRARY, "newFunctionWithName:", library_new_function),
    ROW(KIND_PIPELINE, "maxTotalThreadsPerThreadgroup", pipeline_threads_max),
    ROW(KIND_PIPELINE, "threadExecutionWidth", pipeline_simd_width),
    ROW(KIND_PIPELINE, "staticThreadgroupMemoryLength", pipeline_threadgroup_bytes),
    ROW(KIND_BUFFER, "contents", buffer_contents),
    ROW(KIND_QUEUE, "commandBufferWithUnretainedReferences", queue_commands),
    ROW(KIND_QUEUE, "addResidencySet:", queue_add_set),
    ROW(KIND_QUEUE, "removeResidencySet:", queue_remove_set),
    ROW(KIND_RESIDENCY_SET, "addAllocation:", set_add),
    ROW(KIND_RESIDENCY_SET, "removeAllocation:", set_remove),
    ROW(KIND_RESIDENCY_SET, "commit", set_commit),
    ROW(KIND_RESIDENCY_SET, "requestResidency", set_nothing),
    ROW(KIND_RESIDENCY_SET, "endResidency", set_nothing),
    ROW(KIND_COMMANDS, "computeCommandEncoderWithDispatchType:", commands_encoder),
    ROW(KIND_COMMANDS, "encodeSignalEvent:value:", commands_signal),
    ROW(KIND_COMMANDS, "commit", commands_commit),
    ROW(KIND_COMMANDS, "status", commands_status),
    ROW(KIND_COMMANDS, "error", commands_error),
    ROW(KIND_COMMANDS, "GPUStartTime", commands_gpu_start),
    ROW(KIND_COMMANDS, "GPUEndTime", commands_gpu_end),
    ROW(KIND_ENCODER, "setComputePipelineState:", encoder_set_pipeline),
    ROW(KIND_ENCODER, "setBuffer:offset:atIndex:", encoder_set_buffer),
    ROW(KIND_ENCODER, "setBufferOffset:atIndex:", encoder_set_offset),
    ROW(KIND_ENCODER, "setBytes:length:atIndex:", encoder_set_bytes),
    ROW(KIND_ENCODER, "dispatchThreadgroups:threadsPerThreadgroup:", encoder_dispatch),
    ROW(KIND_ENCODER, "memoryBarrierWithScope:", encoder_barrier),
    ROW(KIND_ENCODER, "endEncoding", encoder_end),
    ROW(KIND_EVENT, "waitUntilSignaledValue:timeoutMS:", event_wait),
};

static method find_method(const struct vmt_objc_object *object, const char *selector) {
    for (size_t i = 0; i < VMT_COUNT(methods); i++) {
        bool is_whose = methods[i].kind == object->kind || methods[i].kind == NUM_KINDS;
        if (is_whose && strcmp(methods[i].selector, selector) == 0) return methods[i].fn;
    }
    return NULL;
}

/* Called by the trampoline below with a message's receiver and selector: what to jump to. */
method vmt_mock_lookup(vmt_id self, vmt_sel sel);
method vmt_mock_lookup(vmt_id self, vmt_sel sel) {
    uint32_t idx = (uint32_t)((char *)sel - selector_tokens);
    if (self == NULL) return (method)refuse; /* Objective-C: a message to nil gives 0 */
    const char *text = idx < VMT_NUM_SELECTORS ? vmt_objc_selector_text(idx) : "?";
    if (self->refs <= 0) {
        complain("%s is sent to a %s that is gone", text, kind_names[self->kind]);
        return (method)refuse;
    }
    method fn = is_new_selector(idx) && mock.options.macos_major < 15 ? NULL : find_method(self, text);
    if (fn == NULL) complain("a %s does not know %s", kind_names[self->kind], text);
    return fn != NULL ? fn : (method)refuse;
}

/* objc_msgSend: finds the method and jumps to it with every argument where it was. */
void vmt_mock_msg_send(void);
#if defined(__x86_64__)
__asm__(".text\n.globl vmt_mock_msg_send\n.type vmt_mock_msg_send, @function\nvmt_mock_msg_send:\n"
        "  pushq %rdi\n  pushq %rsi\n  pushq %rdx\n  pushq %rcx\n  pushq %r8\n  pushq %r9\n  subq $8, %rsp\n"
        "  call vmt_mock_lookup@PLT\n"
        "  addq $8, %rsp\n  popq %r9\n  popq %r8\n  popq %rcx\n  popq %rdx\n  popq %rsi\n  popq %rdi\n"
        "  jmp *%rax\n.size vmt_mock_msg_send, .-vmt_mock_msg_send\n");
#elif defined(__aarch64__) && defined(__linux__)
__asm__(".text\n.globl vmt_mock_msg_send\n.type vmt_mock_msg_send, %function\nvmt_mock_msg_send:\n"
        "  stp x0, x1, [sp, #-80]!\n  stp x2, x3, [sp, #16]\n  stp x4, x5, [sp, #32]\n  stp x6, x7, [sp, #48]\n"
        "  stp x8, x30, [sp, #64]\n  bl vmt_mock_lookup\n  mov x16, x0\n"
        "  ldp x8, x30, [sp, #64]\n  ldp x6, x7, [sp, #48]\n  ldp x4, x5, [sp, #32]\n  ldp x2, x3, [sp, #16]\n"
        "  ldp x0, x1, [sp], #80\n  br x16\n.size vmt_mock_msg_send, .-vmt_mock_msg_send\n");
#else
void vmt_mock_msg_send(void) {
    VMT_ASSERT(!"the mock runs on Linux only");
}
#endif

/* ---- the mock */

void vmt_mock_start(const vmt_mock_options *options, vmt_gpu *host, vmt_objc *objc) {
    memset(&mock, 0, sizeof mock);
    mock.options = *options;
    mock.host = host;
    if (mock.options.macos_major == 0) mock.options.macos_major = 26;
    if (mock.options.buffer_bytes_max == 0) mock.options.buffer_bytes_max = (size_t)1 << 30;
    if (mock.options.working_set_bytes == 0) mock.options.working_set_bytes = (size_t)4 << 30;
    for (uint32_t i = 0; i < VMT_COUNT(mock.classes); i++) mock.classes[i] = make(KIND_CLASS);
    mock.device = make(KIND_DEVICE);
    *objc = (vmt_objc){
        .msg_send = vmt_mock_msg_send,
        .get_class = get_class,
        .register_name = register_name,
        .pool_push = pool_push,
        .pool_pop = pool_pop,
        .create_device = create_device,
        .copy_devices = copy_devices,
        .macos_major = mock.options.macos_major,
        .num_gpu_cores = 40,
    };
}

const char *vmt_mock_complaint(bool is_over) {
    for (uint32_t i = 0; is_over && i < mock.num_objects; i++) {
        const struct vmt_objc_object *object = mock.objects[i];
        int32_t ours = object->kind == KIND_CLASS || object->kind == KIND_DEVICE;
        if (object->refs != ours) complain("a %s has %d references left", kind_names[object->kind], object->refs);
    }
    if (is_over && mock.num_pools > 0) complain("%u pools are open", mock.num_pools);
    return mock.complaint;
}

void vmt_mock_stop(void) {
    for (uint32_t i = 0; i < mock.num_objects; i++) {
        free(mock.objects[i]->text);
        free(mock.objects[i]->recorded);
        free(mock.objects[i]);
    }
    memset(&mock, 0, sizeof mock);
}

vmt_mock_counts vmt_mock_get_counts(void) {
    return mock.counts;
}

vmt_mock_options *vmt_mock_get_options(void) {
    return &mock.options;
}
