/* metal/objc.h: Metal from plain C: the Objective-C runtime, one typed function per selector (selectors.def).
 *
 * Nothing above this file and metal_gpu.c sees an object.  Ownership is Objective-C's: what a selector that begins with
 * new gives is the caller's to release; everything else is autoreleased into the innermost pool and must be retained to
 * outlive it.  The runtime is a table of functions found when it is loaded, so that the same driver runs against a mock
 * where there is no Metal. */
#ifndef VMT_BACKEND_METAL_OBJC_H
#define VMT_BACKEND_METAL_OBJC_H

#include "base/status.h"

typedef struct vmt_objc_object *vmt_id;
typedef struct vmt_objc_selector *vmt_sel;
typedef unsigned long vmt_nsuint; /* NSUInteger */

typedef struct vmt_mtl_size { /* MTLSize */
    vmt_nsuint width, height, depth;
} vmt_mtl_size;

enum {
#define SELECTOR(name, receiver, num_args, text) VMT_SEL_##name,
#include "backend/metal/selectors.def"
#undef SELECTOR
    VMT_NUM_SELECTORS
};

typedef enum vmt_objc_class {
    VMT_CLASS_STRING,          /* NSString */
    VMT_CLASS_COMPILE_OPTIONS, /* MTLCompileOptions */
    VMT_CLASS_SET_DESCRIPTOR,  /* MTLResidencySetDescriptor; NULL before macOS 15 */
    VMT_NUM_CLASSES,
} vmt_objc_class;

typedef struct vmt_objc {
    void (*msg_send)(void);
    vmt_id (*get_class)(const char *name);
    vmt_sel (*register_name)(const char *name);
    void *(*pool_push)(void);
    void (*pool_pop)(void *pool);
    vmt_id (*create_device)(void); /* MTLCreateSystemDefaultDevice; may give NULL */
    vmt_id (*copy_devices)(void);  /* MTLCopyAllDevices */
    uint32_t macos_major;          /* 14, 15, 26, ... */
    uint32_t num_gpu_cores;        /* 0: not known */
    /* found by vmt_objc_init() */
    vmt_sel selectors[VMT_NUM_SELECTORS];
    vmt_id classes[VMT_NUM_CLASSES];
} vmt_objc;

/* Loads the system's runtime and frameworks.  VMT_E_UNSUPPORTED: there is no Metal on this system. */
vmt_status vmt_objc_load(vmt_objc *out, vmt_err *err);
/* Finds selectors and classes; the function members are set. */
vmt_status vmt_objc_init(vmt_objc *objc, vmt_err *err);

const char *vmt_objc_selector_text(uint32_t selector);
uint32_t vmt_objc_selector_num_args(uint32_t selector);
/* "DEVICE", "OPTIONAL_QUEUE", ...: whom it is sent to. */
const char *vmt_objc_selector_receiver(uint32_t selector);

void vmt_objc_release(const vmt_objc *o, vmt_id object); /* NULL is fine */
vmt_id vmt_objc_retain(const vmt_objc *o, vmt_id object);
bool vmt_objc_responds(const vmt_objc *o, vmt_id object, uint32_t selector);
vmt_id vmt_objc_new(const vmt_objc *o, vmt_objc_class class);
vmt_id vmt_objc_string(const vmt_objc *o, const char *text); /* autoreleased */
const char *vmt_objc_utf8(const vmt_objc *o, vmt_id string); /* "" for NULL */
/* An NSError's sentence; "" for NULL. */
const char *vmt_objc_error_text(const vmt_objc *o, vmt_id error);
long vmt_objc_error_code(const vmt_objc *o, vmt_id error);
vmt_nsuint vmt_objc_array_count(const vmt_objc *o, vmt_id array);
vmt_id vmt_objc_array_at(const vmt_objc *o, vmt_id array, vmt_nsuint idx);

const char *vmt_mtl_device_name(const vmt_objc *o, vmt_id device);
const char *vmt_mtl_device_architecture(const vmt_objc *o, vmt_id device);   /* "applegpu_g16s", or "" */
vmt_id vmt_mtl_device_architecture_object(const vmt_objc *o, vmt_id device); /* autoreleased, or NULL */
bool vmt_mtl_device_is_unified(const vmt_objc *o, vmt_id device);
vmt_nsuint vmt_mtl_device_buffer_max(const vmt_objc *o, vmt_id device);
uint64_t vmt_mtl_device_working_set(const vmt_objc *o, vmt_id device);
vmt_nsuint vmt_mtl_device_threadgroup_max(const vmt_objc *o, vmt_id device);
vmt_id vmt_mtl_device_new_queue(const vmt_objc *o, vmt_id device);
vmt_id vmt_mtl_device_new_event(const vmt_objc *o, vmt_id device);
vmt_id vmt_mtl_device_new_library(const vmt_objc *o, vmt_id device, vmt_id source, vmt_id options, vmt_id *error);
vmt_id vmt_mtl_device_new_pipeline(const vmt_objc *o, vmt_id device, vmt_id function, vmt_id *error);
vmt_id vmt_mtl_device_new_buffer(const vmt_objc *o, vmt_id device, vmt_nsuint bytes, vmt_nsuint options);
vmt_id vmt_mtl_device_wrap_buffer(const vmt_objc *o, vmt_id device, void *host, vmt_nsuint bytes,
                                  vmt_nsuint options);
vmt_id vmt_mtl_device_new_residency_set(const vmt_objc *o, vmt_id device, vmt_id descriptor, vmt_id *error);

void vmt_mtl_options_set_language(const vmt_objc *o, vmt_id options, vmt_nsuint version);
void vmt_mtl_options_set_math_mode(const vmt_objc *o, vmt_id options, long mode);
void vmt_mtl_options_set_fast_math(const vmt_objc *o, vmt_id options, bool is_fast);
vmt_id vmt_mtl_library_new_function(const vmt_objc *o, vmt_id library, vmt_id name);
vmt_nsuint vmt_mtl_pipeline_threads_max(const vmt_objc *o, vmt_id pipeline);
vmt_nsuint vmt_mtl_pipeline_simd_width(const vmt_objc *o, vmt_id pipeline);
vmt_nsuint vmt_mtl_pipeline_threadgroup_bytes(const vmt_objc *o, vmt_id pipeline);
void *vmt_mtl_buffer_contents(const vmt_objc *o, vmt_id buffer);

vmt_id vmt_mtl_queue_commands(const vmt_objc *o, vmt_id queue); /* autoreleased */
void vmt_mtl_queue_add_set(const vmt_objc *o, vmt_id queue, vmt_id set);
void vmt_mtl_queue_remove_set(const vmt_objc *o, vmt_id queue, vmt_id set);
void vmt_mtl_set_add(const vmt_objc *o, vmt_id set, vmt_id buffer);
void vmt_mtl_set_remove(const vmt_objc *o, vmt_id set, vmt_id buffer);
void vmt_mtl_set_commit(const vmt_objc *o, vmt_id set);
void vmt_mtl_set_request(const vmt_objc *o, vmt_id set);
void vmt_mtl_set_end(const vmt_objc *o, vmt_id set);

vmt_id vmt_mtl_commands_encoder(const vmt_objc *o, vmt_id commands, vmt_nsuint dispatch_type); /* autoreleased */
void vmt_mtl_commands_signal(const vmt_objc *o, vmt_id commands, vmt_id event, uint64_t value);
void vmt_mtl_commands_commit(const vmt_objc *o, vmt_id commands);
vmt_nsuint vmt_mtl_commands_status(const vmt_objc *o, vmt_id commands);
vmt_id vmt_mtl_commands_error(const vmt_objc *o, vmt_id commands);
double vmt_mtl_commands_gpu_start(const vmt_objc *o, vmt_id commands); /* seconds */
double vmt_mtl_commands_gpu_end(const vmt_objc *o, vmt_id commands);

void vmt_mtl_encoder_set_pipeline(const vmt_objc *o, vmt_id encoder, vmt_id pipeline);
void vmt_mtl_encoder_set_buffer(const vmt_objc *o, vmt_id encoder, vmt_id buffer, vmt_nsuint offset,
                                vmt_nsuint idx);
void vmt_mtl_encoder_set_offset(const vmt_objc *o, vmt_id encoder, vmt_nsuint offset, vmt_nsuint idx);
void vmt_mtl_encoder_set_bytes(const vmt_objc *o, vmt_id encoder, const void *bytes, vmt_nsuint len,
                               vmt_nsuint idx);
void vmt_mtl_encoder_dispatch(const vmt_objc *o, vmt_id encoder, vmt_mtl_size grid, vmt_mtl_size threads);
void vmt_mtl_encoder_barrier(const vmt_objc *o, vmt_id encoder, vmt_nsuint scope);
void vmt_mtl_encoder_end(const vmt_objc *o, vmt_id encoder);
bool vmt_mtl_event_wait(const vmt_objc *o, vmt_id event, uint64_t value, uint64_t timeout_ms);

#endif
