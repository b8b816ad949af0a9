#include "backend/metal/selectors.h"

#include "backend/metal/metal_gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MSL_3_1             (3u << 16 | 1u)
#define DISPATCH_CONCURRENT 1u
#define STORAGE_SHARED      0u
#define OPTIONAL            "OPTIONAL_"
#define PROBE_KERNEL        "gather_rows"

enum receiver {
    OBJECT,
    CLASS,
    STRING_CLASS,
    STRING,
    ERROR,
    ARRAY,
    DEVICE,
    ARCHITECTURE,
    COMPILE_OPTIONS,
    LIBRARY,
    PIPELINE,
    BUFFER,
    QUEUE,
    RESIDENCY_SET,
    COMMANDS,
    ENCODER,
    EVENT,
    NUM_RECEIVERS
};
static const char *const receiver_names[NUM_RECEIVERS] = {
    "OBJECT", "CLASS",         "STRING_CLASS",    "STRING",  "ERROR",    "ARRAY",
    "DEVICE", "ARCHITECTURE",  "COMPILE_OPTIONS", "LIBRARY", "PIPELINE", "BUFFER",
    "QUEUE",  "RESIDENCY_SET", "COMMANDS",        "ENCODER", "EVENT"};

struct objects {
    const vmt_objc *o;
    vmt_id of[NUM_RECEIVERS];
    bool is_ours[NUM_RECEIVERS]; /* to release */
};

static void take(struct objects *x, enum receiver receiver, vmt_id object) {
    x->of[receiver] = object;
    x->is_ours[receiver] = true;
}

/* A library of the kernel's text, or NULL and an error. */
static vmt_id compile(struct objects *x, const char *text, vmt_id *error) {
    vmt_mtl_options_set_language(x->o, x->of[COMPILE_OPTIONS], MSL_3_1);
    vmt_mtl_options_set_fast_math(x->o, x->of[COMPILE_OPTIONS], false);
    return vmt_mtl_device_new_library(x->o, x->of[DEVICE], vmt_objc_string(x->o, text), x->of[COMPILE_OPTIONS],
                                      error);
}

/* A library and a pipeline of a small kernel; an error of a text that is none. */
static vmt_status make_compiled(struct objects *x, vmt_err *err) {
    const vmt_kernel *kernel = vmt_kernel_find(PROBE_KERNEL);
    VMT_ASSERT(kernel != NULL);
    size_t bytes = strlen(kernel->source) + strlen(kernel->instantiation) + 2;
    char *text = malloc(bytes);
    vmt_id error = NULL;
    if (text == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a kernel's source");
    snprintf(text, bytes, "%s\n%s", kernel->source, kernel->instantiation);
    take(x, LIBRARY, compile(x, text, &error));
    free(text);
    if (x->of[LIBRARY] == NULL) {
        return vmt_fail(err, VMT_E_IO, "%s does not compile: %.180s", PROBE_KERNEL,
                        vmt_objc_error_text(x->o, error));
    }
    vmt_id function = vmt_mtl_library_new_function(x->o, x->of[LIBRARY], vmt_objc_string(x->o, PROBE_KERNEL));
    if (function != NULL) take(x, PIPELINE, vmt_mtl_device_new_pipeline(x->o, x->of[DEVICE], function, &error));
    vmt_objc_release(x->o, function);
    vmt_id nothing = compile(x, "this is no kernel", &x->of[ERROR]);
    vmt_objc_release(x->o, nothing);
    return VMT_OK;
}

static void make_commands(struct objects *x) {
    x->of[COMMANDS] = vmt_mtl_queue_commands(x->o, x->of[QUEUE]);
    if (x->of[COMMANDS] == NULL) return;
    x->of[ENCODER] = vmt_mtl_commands_encoder(x->o, x->of[COMMANDS], DISPATCH_CONCURRENT);
    if (x->of[ENCODER] != NULL) vmt_mtl_encoder_end(x->o, x->of[ENCODER]); /* and the buffer is never committed */
}

static void make_set(struct objects *x) {
    vmt_id error = NULL;
    if (x->o->classes[VMT_CLASS_SET_DESCRIPTOR] == NULL ||
        !vmt_objc_responds(x->o, x->of[DEVICE], VMT_SEL_device_new_residency_set)) {
        return;
    }
    vmt_id descriptor = vmt_objc_new(x->o, VMT_CLASS_SET_DESCRIPTOR);
    take(x, RESIDENCY_SET, vmt_mtl_device_new_residency_set(x->o, x->of[DEVICE], descriptor, &error));
    vmt_objc_release(x->o, descriptor);
}

static vmt_status make_objects(struct objects *x, const vmt_metal_handles *h, vmt_err *err) {
    *x = (struct objects){.o = h->objc};
    x->of[DEVICE] = x->of[OBJECT] = h->device;
    x->of[QUEUE] = h->queue;
    x->of[EVENT] = h->event;
    x->of[CLASS] = x->of[STRING_CLASS] = h->objc->classes[VMT_CLASS_STRING];
    x->of[STRING] = vmt_objc_string(x->o, "vmetal");
    x->of[ARCHITECTURE] = vmt_mtl_device_architecture_object(x->o, h->device);
    take(x, ARRAY, h->objc->copy_devices());
    take(x, COMPILE_OPTIONS, vmt_objc_new(x->o, VMT_CLASS_COMPILE_OPTIONS));
    take(x, BUFFER, vmt_mtl_device_new_buffer(x->o, h->device, 256, 1u << 8 | STORAGE_SHARED));
    make_set(x);
    make_commands(x);
    return make_compiled(x, err);
}

static void release_objects(struct objects *x) {
    for (size_t i = 0; i < NUM_RECEIVERS; i++) {
        if (x->is_ours[i]) vmt_objc_release(x->o, x->of[i]);
    }
}

/* Asks the receiver of one row.  A kind of which there is no object here is as good as a missing selector. */
static void ask(const struct objects *x, uint32_t selector, vmt_selectors_report *report) {
    const char *receiver = vmt_objc_selector_receiver(selector);
    bool is_optional = strncmp(receiver, OPTIONAL, strlen(OPTIONAL)) == 0;
    if (is_optional) receiver += strlen(OPTIONAL);
    size_t i = 0;
    while (i < NUM_RECEIVERS && strcmp(receiver_names[i], receiver) != 0) i++;
    VMT_ASSERT(i < NUM_RECEIVERS);
    /* Of systems that lack these the driver asks nothing. */
    if (x->of[i] == NULL && (i == RESIDENCY_SET || i == ARCHITECTURE)) return;
    report->num_asked++;
    if (x->of[i] != NULL && vmt_objc_responds(x->o, x->of[i], selector)) return;
    report->num_missing += !is_optional;
    if (report->missing != NULL) {
        report->missing(report->ctx, receiver, vmt_objc_selector_text(selector), is_optional);
    }
}

vmt_status vmt_metal_selectors_check(vmt_gpu *gpu, vmt_selectors_report *report, vmt_err *err) {
    vmt_metal_handles handles;
    struct objects x;
    bool is_metal = vmt_metal_gpu_handles(gpu, &handles);
    VMT_ASSERT(is_metal);
    void *pool = handles.objc->pool_push();
    vmt_status status = make_objects(&x, &handles, err);
    for (uint32_t i = 0; i < VMT_NUM_SELECTORS && status == VMT_OK; i++) ask(&x, i, report);
    release_objects(&x);
    handles.objc->pool_pop(pool);
    return status;
}
