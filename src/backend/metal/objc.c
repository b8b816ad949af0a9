#include "backend/metal/objc.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

/* ---- the table of selectors */

struct selector_row {
    const char *text, *receiver;
    uint32_t num_args;
};
static const struct selector_row rows[VMT_NUM_SELECTORS] = {
#define SELECTOR(name, receiver, num_args, text) {text, #receiver, num_args},
#include "backend/metal/selectors.def"
#undef SELECTOR
};
enum {
#define SELECTOR(name, receiver, num_args, text) NUM_ARGS_##name = num_args,
#include "backend/metal/selectors.def"
#undef SELECTOR
};

const char *vmt_objc_selector_text(uint32_t selector) {
    return rows[selector].text;
}

uint32_t vmt_objc_selector_num_args(uint32_t selector) {
    return rows[selector].num_args;
}

const char *vmt_objc_selector_receiver(uint32_t selector) {
    return rows[selector].receiver;
}

/* ---- loading */

static const char *const class_names[VMT_NUM_CLASSES] = {
    [VMT_CLASS_STRING] = "NSString",
    [VMT_CLASS_COMPILE_OPTIONS] = "MTLCompileOptions",
    [VMT_CLASS_SET_DESCRIPTOR] = "MTLResidencySetDescriptor",
};

vmt_status vmt_objc_init(vmt_objc *objc, vmt_err *err) {
    for (uint32_t i = 0; i < VMT_NUM_SELECTORS; i++) objc->selectors[i] = objc->register_name(rows[i].text);
    for (uint32_t i = 0; i < VMT_NUM_CLASSES; i++) {
        objc->classes[i] = objc->get_class(class_names[i]);
        if (objc->classes[i] == NULL && i != VMT_CLASS_SET_DESCRIPTOR) {
            return vmt_fail(err, VMT_E_UNSUPPORTED, "this system has no class %s", class_names[i]);
        }
    }
    return VMT_OK;
}

#ifdef __APPLE__

/* Finds a function in a library that stays loaded. */
static vmt_status find(void *library, const char *name, void *out, vmt_err *err) {
    void *address = library != NULL ? dlsym(library, name) : NULL;
    if (address == NULL) return vmt_fail(err, VMT_E_UNSUPPORTED, "Metal is not here: no %s", name);
    memcpy(out, &address, sizeof address);
    return VMT_OK;
}

static uint32_t macos_major(void) {
    char text[32] = {0};
    size_t len = sizeof text - 1;
    if (sysctlbyname("kern.osproductversion", text, &len, NULL, 0) != 0) return 0;
    return (uint32_t)strtoul(text, NULL, 10);
}

/* The I/O registry's "gpu-core-count" of the accelerator. */
static uint32_t gpu_cores(void) {
    typedef unsigned int io_object;
    void *io = dlopen("/System/Library/Frameworks/IOKit.framework/IOKit", RTLD_LAZY);
    void *cf = dlopen("/System/Library/Frameworks/CoreFoundation.framework/CoreFoundation", RTLD_LAZY);
    void *(*matching)(const char *);
    io_object (*get_service)(unsigned int, void *);
    const void *(*get_property)(io_object, const void *, const void *, unsigned int);
    int (*release_object)(io_object);
    const void *(*make_string)(const void *, const char *, unsigned int);
    bool (*get_number)(const void *, long, void *);
    void (*release_value)(const void *);
    if (find(io, "IOServiceMatching", &matching, NULL) ||
        find(io, "IOServiceGetMatchingService", &get_service, NULL) ||
        find(io, "IORegistryEntryCreateCFProperty", &get_property, NULL) ||
        find(io, "IOObjectRelease", &release_object, NULL) ||
        find(cf, "CFStringCreateWithCString", &make_string, NULL) ||
        find(cf, "CFNumberGetValue", &get_number, NULL) || find(cf, "CFRelease", &release_value, NULL)) {
        return 0;
    }
    enum { UTF8 = 0x08000100, SINT32 = 3 };
    int32_t cores = 0;
    io_object service = get_service(0, matching("AGXAccelerator"));
    if (service == 0) return 0;
    const void *key = make_string(NULL, "gpu-core-count", UTF8);
    const void *value = key != NULL ? get_property(service, key, NULL, 0) : NULL;
    if (value != NULL) {
        if (!get_number(value, SINT32, &cores)) cores = 0;
        release_value(value);
    }
    if (key != NULL) release_value(key);
    release_object(service);
    return cores > 0 ? (uint32_t)cores : 0;
}

vmt_status vmt_objc_load(vmt_objc *out, vmt_err *err) {
    *out = (vmt_objc){0};
    void *objc = dlopen("/usr/lib/libobjc.A.dylib", RTLD_LAZY);
    void *foundation = dlopen("/System/Library/Frameworks/Foundation.framework/Foundation", RTLD_LAZY);
    void *metal = dlopen("/System/Library/Frameworks/Metal.framework/Metal", RTLD_LAZY);
    if (foundation == NULL) return vmt_fail(err, VMT_E_UNSUPPORTED, "Metal is not here: no Foundation");
    VMT_TRY(find(objc, "objc_msgSend", &out->msg_send, err));
    VMT_TRY(find(objc, "objc_getClass", &out->get_class, err));
    VMT_TRY(find(objc, "sel_registerName", &out->register_name, err));
    VMT_TRY(find(objc, "objc_autoreleasePoolPush", &out->pool_push, err));
    VMT_TRY(find(objc, "objc_autoreleasePoolPop", &out->pool_pop, err));
    VMT_TRY(find(metal, "MTLCreateSystemDefaultDevice", &out->create_device, err));
    VMT_TRY(find(metal, "MTLCopyAllDevices", &out->copy_devices, err));
    out->macos_major = macos_major();
    out->num_gpu_cores = gpu_cores();
    return vmt_objc_init(out, err);
}

#else

vmt_status vmt_objc_load(vmt_objc *out, vmt_err *err) {
    *out = (vmt_objc){0};
    return vmt_fail(err, VMT_E_UNSUPPORTED, "Metal is on Macs only");
}

#endif

/* ---- objects */

/* objc_msgSend must be called through the method's exact type: variadic arguments travel elsewhere. */
#define SEND(o, selector, num, ret, types) (CHECK(NUM_ARGS_##selector == (num)), (ret(*) types)(o)->msg_send)
#define CHECK(cond)                        ((void)sizeof(char[(cond) ? 1 : -1]))

void vmt_objc_release(const vmt_objc *o, vmt_id object) {
    if (object != NULL) SEND(o, release, 0, void, (vmt_id, vmt_sel))(object, o->selectors[VMT_SEL_release]);
}

static bool responds(const vmt_objc *o, vmt_id object, vmt_sel selector) {
    return SEND(o, responds, 1, bool, (vmt_id, vmt_sel, vmt_sel))(object, o->selectors[VMT_SEL_responds],
                                                                  selector);
}

bool vmt_objc_responds(const vmt_objc *o, vmt_id object, uint32_t selector) {
    return responds(o, object, o->selectors[selector]);
}

vmt_id vmt_objc_new(const vmt_objc *o, vmt_objc_class class) {
    return SEND(o, new, 0, vmt_id, (vmt_id, vmt_sel))(o->classes[class], o->selectors[VMT_SEL_new]);
}

vmt_id vmt_objc_string(const vmt_objc *o, const char *text) {
    return SEND(o, string_utf8, 1, vmt_id, (vmt_id, vmt_sel, const char *))(
        o->classes[VMT_CLASS_STRING], o->selectors[VMT_SEL_string_utf8], text);
}

const char *vmt_objc_utf8(const vmt_objc *o, vmt_id string) {
    if (string == NULL) return "";
    const char *text = SEND(o, utf8, 0, const char *, (vmt_id, vmt_sel))(string, o->selectors[VMT_SEL_utf8]);
    return text != NULL ? text : "";
}

const char *vmt_objc_error_text(const vmt_objc *o, vmt_id error) {
    if (error == NULL) return "";
    return vmt_objc_utf8(
        o, SEND(o, error_text, 0, vmt_id, (vmt_id, vmt_sel))(error, o->selectors[VMT_SEL_error_text]));
}

long vmt_objc_error_code(const vmt_objc *o, vmt_id error) {
    return SEND(o, error_code, 0, long, (vmt_id, vmt_sel))(error, o->selectors[VMT_SEL_error_code]);
}

const char *vmt_mtl_device_name(const vmt_objc *o, vmt_id device) {
    return vmt_objc_utf8(
        o, SEND(o, device_name, 0, vmt_id, (vmt_id, vmt_sel))(device, o->selectors[VMT_SEL_device_name]));
}

vmt_id vmt_mtl_device_architecture_object(const vmt_objc *o, vmt_id device) {
    if (!vmt_objc_responds(o, device, VMT_SEL_device_architecture)) return NULL;
    return SEND(o, device_architecture, 0, vmt_id, (vmt_id, vmt_sel))(device,
                                                                      o->selectors[VMT_SEL_device_architecture]);
}

const char *vmt_mtl_device_architecture(const vmt_objc *o, vmt_id device) {
    vmt_id architecture = vmt_mtl_device_architecture_object(o, device);
    if (architecture == NULL) return "";
    return vmt_objc_utf8(o, SEND(o, architecture_name, 0, vmt_id,
                                 (vmt_id, vmt_sel))(architecture, o->selectors[VMT_SEL_architecture_name]));
}

vmt_id vmt_mtl_device_wrap_buffer(const vmt_objc *o, vmt_id device, void *host, vmt_nsuint bytes,
                                  vmt_nsuint options) {
    return SEND(o, device_wrap_buffer, 4, vmt_id, (vmt_id, vmt_sel, void *, vmt_nsuint, vmt_nsuint, vmt_id))(
        device, o->selectors[VMT_SEL_device_wrap_buffer], host, bytes, options, NULL);
}

vmt_id vmt_objc_retain(const vmt_objc *o, vmt_id object) {
    return SEND(o, retain, 0, vmt_id, (vmt_id, vmt_sel))(object, o->selectors[VMT_SEL_retain]);
}

vmt_nsuint vmt_objc_array_count(const vmt_objc *o, vmt_id array) {
    return SEND(o, array_count, 0, vmt_nsuint, (vmt_id, vmt_sel))(array, o->selectors[VMT_SEL_array_count]);
}

vmt_id vmt_objc_array_at(const vmt_objc *o, vmt_id array, vmt_nsuint idx) {
    return SEND(o, array_at, 1, vmt_id, (vmt_id, vmt_sel, vmt_nsuint))(array, o->selectors[VMT_SEL_array_at], idx);
}

/* ---- device */

bool vmt_mtl_device_is_unified(const vmt_objc *o, vmt_id device) {
    return SEND(o, device_is_unified, 0, bool, (vmt_id, vmt_sel))(device, o->selectors[VMT_SEL_device_is_unified]);
}

vmt_nsuint vmt_mtl_device_buffer_max(const vmt_objc *o, vmt_id device) {
    return SEND(o, device_buffer_max, 0, vmt_nsuint, (vmt_id, vmt_sel))(device,
                                                                        o->selectors[VMT_SEL_device_buffer_max]);
}

uint64_t vmt_mtl_device_working_set(const vmt_objc *o, vmt_id device) {
    return SEND(o, device_working_set, 0, uint64_t, (vmt_id, vmt_sel))(device,
                                                                       o->selectors[VMT_SEL_device_working_set]);
}

vmt_nsuint vmt_mtl_device_threadgroup_max(const vmt_objc *o, vmt_id device) {
    return SEND(o, device_threadgroup_max, 0, vmt_nsuint,
                (vmt_id, vmt_sel))(device, o->selectors[VMT_SEL_device_threadgroup_max]);
}

vmt_id vmt_mtl_device_new_queue(const vmt_objc *o, vmt_id device) {
    return SEND(o, device_new_queue, 0, vmt_id, (vmt_id, vmt_sel))(device, o->selectors[VMT_SEL_device_new_queue]);
}

vmt_id vmt_mtl_device_new_event(const vmt_objc *o, vmt_id device) {
    return SEND(o, device_new_event, 0, vmt_id, (vmt_id, vmt_sel))(device, o->selectors[VMT_SEL_device_new_event]);
}

vmt_id vmt_mtl_device_new_library(const vmt_objc *o, vmt_id device, vmt_id source, vmt_id options, vmt_id *error) {
    return SEND(o, device_new_library, 3, vmt_id, (vmt_id, vmt_sel, vmt_id, vmt_id, vmt_id *))(
        device, o->selectors[VMT_SEL_device_new_library], source, options, error);
}

vmt_id vmt_mtl_device_new_pipeline(const vmt_objc *o, vmt_id device, vmt_id function, vmt_id *error) {
    return SEND(o, device_new_pipeline, 2, vmt_id, (vmt_id, vmt_sel, vmt_id, vmt_id *))(
        device, o->selectors[VMT_SEL_device_new_pipeline], function, error);
}

vmt_id vmt_mtl_device_new_buffer(const vmt_objc *o, vmt_id device, vmt_nsuint bytes, vmt_nsuint options) {
    return SEND(o, device_new_buffer, 2, vmt_id, (vmt_id, vmt_sel, vmt_nsuint, vmt_nsuint))(
        device, o->selectors[VMT_SEL_device_new_buffer], bytes, options);
}

vmt_id vmt_mtl_device_new_residency_set(const vmt_objc *o, vmt_id device, vmt_id descriptor, vmt_id *error) {
    return SEND(o, device_new_residency_set, 2, vmt_id, (vmt_id, vmt_sel, vmt_id, vmt_id *))(
        device, o->selectors[VMT_SEL_device_new_residency_set], descriptor, error);
}

/* ---- compiling */

void vmt_mtl_options_set_language(const vmt_objc *o, vmt_id options, vmt_nsuint version) {
    SEND(o, options_set_language, 1, void,
         (vmt_id, vmt_sel, vmt_nsuint))(options, o->selectors[VMT_SEL_options_set_language], version);
}

void vmt_mtl_options_set_math_mode(const vmt_objc *o, vmt_id options, long mode) {
    SEND(o, options_set_math_mode, 1, void,
         (vmt_id, vmt_sel, long))(options, o->selectors[VMT_SEL_options_set_math_mode], mode);
}

void vmt_mtl_options_set_fast_math(const vmt_objc *o, vmt_id options, bool is_fast) {
    SEND(o, options_set_fast_math, 1, void,
         (vmt_id, vmt_sel, bool))(options, o->selectors[VMT_SEL_options_set_fast_math], is_fast);
}

vmt_id vmt_mtl_library_new_function(const vmt_objc *o, vmt_id library, vmt_id name) {
    return SEND(o, library_new_function, 1, vmt_id,
                (vmt_id, vmt_sel, vmt_id))(library, o->selectors[VMT_SEL_library_new_function], name);
}

vmt_nsuint vmt_mtl_pipeline_threads_max(const vmt_objc *o, vmt_id pipeline) {
    return SEND(o, pipeline_threads_max, 0, vmt_nsuint,
                (vmt_id, vmt_sel))(pipeline, o->selectors[VMT_SEL_pipeline_threads_max]);
}

vmt_nsuint vmt_mtl_pipeline_simd_width(const vmt_objc *o, vmt_id pipeline) {
    return SEND(o, pipeline_simd_width, 0, vmt_nsuint,
                (vmt_id, vmt_sel))(pipeline, o->selectors[VMT_SEL_pipeline_simd_width]);
}

vmt_nsuint vmt_mtl_pipeline_threadgroup_bytes(const vmt_objc *o, vmt_id pipeline) {
    return SEND(o, pipeline_threadgroup_bytes, 0, vmt_nsuint,
                (vmt_id, vmt_sel))(pipeline, o->selectors[VMT_SEL_pipeline_threadgroup_bytes]);
}

/* ---- memory */

void *vmt_mtl_buffer_contents(const vmt_objc *o, vmt_id buffer) {
    return SEND(o, buffer_contents, 0, void *, (vmt_id, vmt_sel))(buffer, o->selectors[VMT_SEL_buffer_contents]);
}

/* ---- queue and residency */

vmt_id vmt_mtl_queue_commands(const vmt_objc *o, vmt_id queue) {
    return SEND(o, queue_commands, 0, vmt_id, (vmt_id, vmt_sel))(queue, o->selectors[VMT_SEL_queue_commands]);
}

void vmt_mtl_queue_add_set(const vmt_objc *o, vmt_id queue, vmt_id set) {
    SEND(o, queue_add_set, 1, void, (vmt_id, vmt_sel, vmt_id))(queue, o->selectors[VMT_SEL_queue_add_set], set);
}

void vmt_mtl_queue_remove_set(const vmt_objc *o, vmt_id queue, vmt_id set) {
    SEND(o, queue_remove_set, 1, void, (vmt_id, vmt_sel, vmt_id))(queue, o->selectors[VMT_SEL_queue_remove_set],
                                                                  set);
}

void vmt_mtl_set_add(const vmt_objc *o, vmt_id set, vmt_id buffer) {
    SEND(o, set_add, 1, void, (vmt_id, vmt_sel, vmt_id))(set, o->selectors[VMT_SEL_set_add], buffer);
}

void vmt_mtl_set_remove(const vmt_objc *o, vmt_id set, vmt_id buffer) {
    SEND(o, set_remove, 1, void, (vmt_id, vmt_sel, vmt_id))(set, o->selectors[VMT_SEL_set_remove], buffer);
}

void vmt_mtl_set_commit(const vmt_objc *o, vmt_id set) {
    SEND(o, set_commit, 0, void, (vmt_id, vmt_sel))(set, o->selectors[VMT_SEL_set_commit]);
}

void vmt_mtl_set_request(const vmt_objc *o, vmt_id set) {
    SEND(o, set_request, 0, void, (vmt_id, vmt_sel))(set, o->selectors[VMT_SEL_set_request]);
}

void vmt_mtl_set_end(const vmt_objc *o, vmt_id set) {
    SEND(o, set_end, 0, void, (vmt_id, vmt_sel))(set, o->selectors[VMT_SEL_set_end]);
}

/* ---- command buffers */

vmt_id vmt_mtl_commands_encoder(const vmt_objc *o, vmt_id commands, vmt_nsuint dispatch_type) {
    return SEND(o, commands_encoder, 1, vmt_id,
                (vmt_id, vmt_sel, vmt_nsuint))(commands, o->selectors[VMT_SEL_commands_encoder], dispatch_type);
}

void vmt_mtl_commands_signal(const vmt_objc *o, vmt_id commands, vmt_id event, uint64_t value) {
    SEND(o, commands_signal, 2, void,
         (vmt_id, vmt_sel, vmt_id, uint64_t))(commands, o->selectors[VMT_SEL_commands_signal], event, value);
}

void vmt_mtl_commands_commit(const vmt_objc *o, vmt_id commands) {
    SEND(o, commands_commit, 0, void, (vmt_id, vmt_sel))(commands, o->selectors[VMT_SEL_commands_commit]);
}

vmt_nsuint vmt_mtl_commands_status(const vmt_objc *o, vmt_id commands) {
    return SEND(o, commands_status, 0, vmt_nsuint, (vmt_id, vmt_sel))(commands,
                                                                      o->selectors[VMT_SEL_commands_status]);
}

vmt_id vmt_mtl_commands_error(const vmt_objc *o, vmt_id commands) {
    return SEND(o, commands_error, 0, vmt_id, (vmt_id, vmt_sel))(commands, o->selectors[VMT_SEL_commands_error]);
}

double vmt_mtl_commands_gpu_start(const vmt_objc *o, vmt_id commands) {
    return SEND(o, commands_gpu_start, 0, double, (vmt_id, vmt_sel))(commands,
                                                                     o->selectors[VMT_SEL_commands_gpu_start]);
}

double vmt_mtl_commands_gpu_end(const vmt_objc *o, vmt_id commands) {
    return SEND(o, commands_gpu_end, 0, double, (vmt_id, vmt_sel))(commands,
                                                                   o->selectors[VMT_SEL_commands_gpu_end]);
}

/* ---- encoding */

void vmt_mtl_encoder_set_pipeline(const vmt_objc *o, vmt_id encoder, vmt_id pipeline) {
    SEND(o, encoder_set_pipeline, 1, void,
         (vmt_id, vmt_sel, vmt_id))(encoder, o->selectors[VMT_SEL_encoder_set_pipeline], pipeline);
}

void vmt_mtl_encoder_set_buffer(const vmt_objc *o, vmt_id encoder, vmt_id buffer, vmt_nsuint offset,
                                vmt_nsuint idx) {
    SEND(o, encoder_set_buffer, 3, void, (vmt_id, vmt_sel, vmt_id, vmt_nsuint, vmt_nsuint))(
        encoder, o->selectors[VMT_SEL_encoder_set_buffer], buffer, offset, idx);
}

void vmt_mtl_encoder_set_offset(const vmt_objc *o, vmt_id encoder, vmt_nsuint offset, vmt_nsuint idx) {
    SEND(o, encoder_set_offset, 2, void, (vmt_id, vmt_sel, vmt_nsuint, vmt_nsuint))(
        encoder, o->selectors[VMT_SEL_encoder_set_offset], offset, idx);
}

void vmt_mtl_encoder_set_bytes(const vmt_objc *o, vmt_id encoder, const void *bytes, vmt_nsuint len,
                               vmt_nsuint idx) {
    SEND(o, encoder_set_bytes, 3, void, (vmt_id, vmt_sel, const void *, vmt_nsuint, vmt_nsuint))(
        encoder, o->selectors[VMT_SEL_encoder_set_bytes], bytes, len, idx);
}

void vmt_mtl_encoder_dispatch(const vmt_objc *o, vmt_id encoder, vmt_mtl_size grid, vmt_mtl_size threads) {
    SEND(o, encoder_dispatch, 2, void, (vmt_id, vmt_sel, vmt_mtl_size, vmt_mtl_size))(
        encoder, o->selectors[VMT_SEL_encoder_dispatch], grid, threads);
}

void vmt_mtl_encoder_barrier(const vmt_objc *o, vmt_id encoder, vmt_nsuint scope) {
    SEND(o, encoder_barrier, 1, void, (vmt_id, vmt_sel, vmt_nsuint))(encoder,
                                                                     o->selectors[VMT_SEL_encoder_barrier], scope);
}

void vmt_mtl_encoder_end(const vmt_objc *o, vmt_id encoder) {
    SEND(o, encoder_end, 0, void, (vmt_id, vmt_sel))(encoder, o->selectors[VMT_SEL_encoder_end]);
}

/* ---- completion */

bool vmt_mtl_event_wait(const vmt_objc *o, vmt_id event, uint64_t value, uint64_t timeout_ms) {
    return SEND(o, event_wait, 2, bool,
                (vmt_id, vmt_sel, uint64_t, uint64_t))(event, o->selectors[VMT_SEL_event_wait], value, timeout_ms);
}
