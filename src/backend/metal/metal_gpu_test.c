/* backend/metal/metal_gpu_test.c: the driver's call sequences, lifetimes and errors, against a strict mock of Metal. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/metal/metal_gpu.h"
#include "backend/metal/mock_metal.h"
#include "backend/metal/selectors.h"
#include "base/test.h"

#define SECOND_NS 1000000000u

struct fixture {
    vmt_objc objc;
    vmt_gpu *gpu;
};

static struct fixture start(vmt_test *t, const vmt_mock_options *options) {
    struct fixture f = {0};
    vmt_err err = {0};
    vmt_mock_start(options, NULL, &f.objc);
    vmt_expect_eq(t, vmt_objc_init(&f.objc, &err), VMT_OK);
    vmt_expect_eq(t, vmt_metal_gpu_open_with(&f.gpu, &f.objc, &err), VMT_OK);
    return f;
}

static void stop(vmt_test *t, struct fixture *f) {
    vmt_gpu_close(f->gpu);
    vmt_expect_str(t, vmt_mock_complaint(true), "");
    vmt_mock_stop();
}

/* A dispatch of the table's first kernel: every buffer the same, arguments zero. */
struct any_dispatch {
    vmt_gpu_dispatch dispatch;
    uint8_t args[VMT_GPU_ARGS_MAX];
};

static struct any_dispatch *make_dispatch(vmt_test *t, vmt_gpu *gpu, const vmt_buffer *buffer) {
    struct any_dispatch *any = vmt_arena_calloc(t->arena, 1, sizeof *any);
    const vmt_kernel *kernel = vmt_kernel_at(0);
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_gpu_pipeline_get(gpu, kernel->name, &any->dispatch.pipeline, &err), VMT_OK);
    for (uint32_t i = 0; i < kernel->num_buffers; i++) any->dispatch.buffers[i] = (vmt_gpu_binding){buffer, 0};
    any->dispatch.args = any->args;
    any->dispatch.grid[0] = any->dispatch.grid[1] = any->dispatch.grid[2] = 1;
    return any;
}

static void every_selector_has_its_arguments(vmt_test *t) {
    for (uint32_t i = 0; i < VMT_NUM_SELECTORS; i++) {
        uint32_t colons = 0;
        for (const char *c = vmt_objc_selector_text(i); *c; c++) colons += *c == ':';
        vmt_expect(t, colons == vmt_objc_selector_num_args(i));
    }
}

static void reads_what_the_device_is(vmt_test *t) {
    struct fixture f = start(t, &(vmt_mock_options){.working_set_bytes = (size_t)96 << 30});
    const vmt_gpu_caps *caps = &f.gpu->caps;
    vmt_expect_str(t, caps->name, "Mock M4 Max");
    vmt_expect_eq(t, caps->generation, 16);
    vmt_expect_eq(t, caps->size_class, 's');
    vmt_expect_eq(t, caps->num_cores, 40);
    vmt_expect(t, caps->is_unified);
    vmt_expect(t, caps->working_set_bytes == (size_t)96 << 30);
    stop(t, &f);
}

static void takes_the_first_of_all_devices_without_a_default(vmt_test *t) {
    struct fixture f = start(t, &(vmt_mock_options){.no_device = true});
    stop(t, &f);
}

static void refuses(vmt_test *t, const vmt_mock_options *options, const char *why) {
    vmt_objc objc;
    vmt_gpu *gpu;
    vmt_err err = {0};
    vmt_mock_start(options, NULL, &objc);
    vmt_expect_eq(t, vmt_objc_init(&objc, &err), VMT_OK);
    vmt_expect_eq(t, vmt_metal_gpu_open_with(&gpu, &objc, &err), VMT_E_UNSUPPORTED);
    vmt_expect_str(t, err.msg, why);
    vmt_expect_str(t, vmt_mock_complaint(true), "");
    vmt_mock_stop();
}

static void says_why_it_can_not_open(vmt_test *t) {
    refuses(t, &(vmt_mock_options){.no_devices = true}, "Metal has no device here");
    refuses(t, &(vmt_mock_options){.is_discrete = true},
            "Mock M4 Max has memory of its own; Apple silicon is needed");
}

/* On every system: buffers, a kernel, steps in flight, each thing released once. */
static void runs_steps(vmt_test *t) {
    static const uint32_t systems[] = {14, 15, 26};
    for (size_t s = 0; s < VMT_COUNT(systems); s++) {
        struct fixture f = start(t, &(vmt_mock_options){.macos_major = systems[s]});
        vmt_buffer a = {0}, b = {0};
        vmt_err err = {0};
        vmt_expect_eq(t, vmt_gpu_alloc(f.gpu, &a, 1 << 16, VMT_GPU_SHARED, &err), VMT_OK);
        vmt_expect_eq(t, vmt_gpu_alloc(f.gpu, &b, 1 << 16, VMT_GPU_PRIVATE, &err), VMT_OK);
        vmt_expect_eq(t, a.host[0] | a.host[65535], 0);
        struct any_dispatch *first = make_dispatch(t, f.gpu, &a), *second = make_dispatch(t, f.gpu, &b);
        uint64_t ticket = 0;
        for (uint32_t step = 1; step <= 20; step++) {
            vmt_expect_eq(t, vmt_gpu_begin(f.gpu, &err), VMT_OK);
            vmt_gpu_dispatch_add(f.gpu, &first->dispatch);
            vmt_gpu_barrier(f.gpu);
            vmt_gpu_dispatch_add(f.gpu, &second->dispatch);
            vmt_gpu_dispatch_add(f.gpu, &second->dispatch);
            vmt_expect_eq(t, vmt_gpu_commit(f.gpu, &ticket, &err), VMT_OK);
            vmt_expect_eq(t, ticket, step);
        }
        vmt_expect_eq(t, vmt_gpu_wait(f.gpu, ticket, SECOND_NS, &err), VMT_OK);
        vmt_expect_eq(t, vmt_gpu_wait(f.gpu, ticket, SECOND_NS, &err), VMT_OK);
        vmt_mock_counts counts = vmt_mock_get_counts();
        vmt_expect_eq(t, counts.num_dispatches, 60);
        vmt_expect_eq(t, counts.num_barriers, 20);
        vmt_expect_eq(t, counts.num_compiles, 1);
        vmt_expect_eq(t, counts.num_sets, systems[s] < 15 ? 0 : 1);
        /* What is bound already is not bound again. */
        vmt_expect_eq(t, counts.num_set_buffer, 20 * 2 * vmt_kernel_at(0)->num_buffers);
        vmt_gpu_release(f.gpu, &a);
        vmt_gpu_release(f.gpu, &b);
        stop(t, &f);
    }
}

static void wraps_mapped_memory_in_place(vmt_test *t) {
    struct fixture f = start(t, &(vmt_mock_options){0});
    size_t page = f.gpu->caps.page_bytes;
    void *memory = aligned_alloc(page, 4 * page);
    vmt_buffer buffer = {0};
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_gpu_wrap(f.gpu, &buffer, memory, 4 * page, &err), VMT_OK);
    vmt_expect(t, buffer.host == memory);
    vmt_gpu_release(f.gpu, &buffer);
    stop(t, &f);
    free(memory);
}

/* Many small residency sets rather than one: a set holds the 20th part of the working set. */
static void spreads_buffers_over_residency_sets(vmt_test *t) {
    struct fixture f = start(t, &(vmt_mock_options){.working_set_bytes = 20 << 16});
    vmt_buffer buffers[40] = {0};
    vmt_err err = {0};
    for (size_t i = 0; i < VMT_COUNT(buffers); i++) {
        vmt_expect_eq(t, vmt_gpu_alloc(f.gpu, &buffers[i], 40000, VMT_GPU_SHARED, &err), VMT_OK);
    }
    struct any_dispatch *any = make_dispatch(t, f.gpu, &buffers[7]);
    uint64_t ticket = 0;
    vmt_expect_eq(t, vmt_gpu_begin(f.gpu, &err), VMT_OK);
    vmt_gpu_dispatch_add(f.gpu, &any->dispatch);
    vmt_expect_eq(t, vmt_gpu_commit(f.gpu, &ticket, &err), VMT_OK);
    vmt_expect_eq(t, vmt_gpu_wait(f.gpu, ticket, SECOND_NS, &err), VMT_OK);
    vmt_expect_eq(t, vmt_mock_get_counts().num_sets, 32); /* as many as a queue takes */
    for (size_t i = 0; i < VMT_COUNT(buffers); i++) vmt_gpu_release(f.gpu, &buffers[i]);
    stop(t, &f);
}

static void names_the_kernel_that_does_not_compile(vmt_test *t) {
    struct fixture f = start(t, &(vmt_mock_options){.refuses_source = true});
    vmt_gpu_pipeline *pipeline;
    vmt_err err = {0};
    const char *name = vmt_kernel_at(0)->name;
    vmt_expect_eq(t, vmt_gpu_pipeline_get(f.gpu, name, &pipeline, &err), VMT_E_UNSUPPORTED);
    vmt_expect(t, strstr(err.msg, name) && strstr(err.msg, "error: refused"));
    stop(t, &f);
}

static void says_how_much_memory_was_refused(vmt_test *t) {
    struct fixture f = start(t, &(vmt_mock_options){.refuses_memory = true, .buffer_bytes_max = 1 << 20});
    vmt_buffer buffer;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_gpu_alloc(f.gpu, &buffer, 4096, VMT_GPU_SHARED, &err), VMT_E_NO_MEMORY);
    vmt_expect_str(t, err.msg, "Mock M4 Max: Metal refused to give 4096 bytes; 4294967296 are advised in all");
    err = (vmt_err){0};
    vmt_expect_eq(t, vmt_gpu_alloc(f.gpu, &buffer, (1 << 20) + 1, VMT_GPU_SHARED, &err), VMT_E_NO_MEMORY);
    vmt_expect_str(t, err.msg, "Mock M4 Max: a buffer of 1048577 bytes, the longest is 1048576");
    stop(t, &f);
}

/* A failed command buffer signals nothing: the wait must end all the same, and the device refuse what follows. */
static void survives_a_failed_command_buffer(vmt_test *t) {
    struct fixture f = start(t, &(vmt_mock_options){.fails_commands = true});
    vmt_buffer buffer = {0};
    vmt_err err = {0};
    uint64_t ticket = 0;
    vmt_expect_eq(t, vmt_gpu_alloc(f.gpu, &buffer, 4096, VMT_GPU_SHARED, &err), VMT_OK);
    struct any_dispatch *any = make_dispatch(t, f.gpu, &buffer);
    vmt_expect_eq(t, vmt_gpu_begin(f.gpu, &err), VMT_OK);
    vmt_gpu_dispatch_add(f.gpu, &any->dispatch);
    vmt_expect_eq(t, vmt_gpu_commit(f.gpu, &ticket, &err), VMT_OK);
    vmt_expect_eq(t, vmt_gpu_wait(f.gpu, ticket, SECOND_NS, &err), VMT_E_IO);
    vmt_expect_str(t, err.msg, "Mock M4 Max failed: code 2, Caused GPU Timeout Error");
    vmt_expect_eq(t, vmt_gpu_begin(f.gpu, NULL), VMT_E_IO);
    vmt_gpu_release(f.gpu, &buffer);
    stop(t, &f);
}

static void gives_up_on_a_step_that_hangs(vmt_test *t) {
    struct fixture f = start(t, &(vmt_mock_options){.hangs = true});
    vmt_buffer buffer = {0};
    vmt_err err = {0};
    uint64_t ticket = 0;
    vmt_expect_eq(t, vmt_gpu_alloc(f.gpu, &buffer, 4096, VMT_GPU_SHARED, &err), VMT_OK);
    struct any_dispatch *any = make_dispatch(t, f.gpu, &buffer);
    vmt_expect_eq(t, vmt_gpu_begin(f.gpu, &err), VMT_OK);
    vmt_gpu_dispatch_add(f.gpu, &any->dispatch);
    vmt_expect_eq(t, vmt_gpu_commit(f.gpu, &ticket, &err), VMT_OK);
    vmt_expect_eq(t, vmt_gpu_wait(f.gpu, ticket, 20000000, &err), VMT_E_EXHAUSTED);
    vmt_expect_str(t, err.msg, "Mock M4 Max did not finish a step within 20 ms");
    vmt_mock_get_options()->hangs = false;
    vmt_expect_eq(t, vmt_gpu_wait(f.gpu, ticket, SECOND_NS, &err), VMT_OK);
    vmt_gpu_release(f.gpu, &buffer);
    stop(t, &f);
}

struct missed {
    char selector[64], receiver[32];
    bool is_optional;
};

static void note_missing(void *ctx, const char *receiver, const char *selector, bool is_optional) {
    struct missed *m = ctx;
    snprintf(m->selector, sizeof m->selector, "%s", selector);
    snprintf(m->receiver, sizeof m->receiver, "%s", receiver);
    m->is_optional = is_optional;
}

static vmt_selectors_report ask_selectors(vmt_test *t, const vmt_mock_options *options, struct missed *missed) {
    struct fixture f = start(t, options);
    vmt_selectors_report report = {.missing = note_missing, .ctx = missed};
    vmt_err err = {0};
    *missed = (struct missed){0};
    vmt_expect_eq(t, vmt_metal_selectors_check(f.gpu, &report, &err), VMT_OK);
    stop(t, &f);
    return report;
}

static void asks_for_every_selector(vmt_test *t) {
    struct missed missed;
    vmt_selectors_report report = ask_selectors(t, &(vmt_mock_options){0}, &missed);
    vmt_expect_eq(t, report.num_asked, VMT_NUM_SELECTORS);
    vmt_expect_eq(t, report.num_missing, 0);
    vmt_expect_str(t, missed.selector, "");
    /* An older system lacks what the driver asks for first, and nothing else. */
    report = ask_selectors(t, &(vmt_mock_options){.macos_major = 14}, &missed);
    vmt_expect_eq(t, report.num_missing, 0);
    vmt_expect(t, missed.is_optional);
}

static void names_a_selector_that_is_missing(vmt_test *t) {
    struct missed missed;
    for (uint32_t i = 0; i < VMT_NUM_SELECTORS; i++) {
        const char *text = vmt_objc_selector_text(i);
        bool is_optional = strncmp(vmt_objc_selector_receiver(i), "OPTIONAL_", 9) == 0;
        bool is_twice = strcmp(text, "commit") == 0 || strcmp(text, "name") == 0;
        if (is_optional) continue;
        vmt_selectors_report report = ask_selectors(t, &(vmt_mock_options){.missing_selector = text}, &missed);
        vmt_expect_eq(t, report.num_missing, is_twice ? 2 : 1);
        vmt_expect_str(t, missed.selector, text);
        vmt_expect(t, !missed.is_optional);
    }
}

static const vmt_test_case cases[] = {
    {"every_selector_has_its_arguments", every_selector_has_its_arguments},
    {"reads_what_the_device_is", reads_what_the_device_is},
    {"takes_the_first_of_all_devices_without_a_default", takes_the_first_of_all_devices_without_a_default},
    {"says_why_it_can_not_open", says_why_it_can_not_open},
    {"runs_steps", runs_steps},
    {"wraps_mapped_memory_in_place", wraps_mapped_memory_in_place},
    {"spreads_buffers_over_residency_sets", spreads_buffers_over_residency_sets},
    {"names_the_kernel_that_does_not_compile", names_the_kernel_that_does_not_compile},
    {"says_how_much_memory_was_refused", says_how_much_memory_was_refused},
    {"survives_a_failed_command_buffer", survives_a_failed_command_buffer},
    {"gives_up_on_a_step_that_hangs", gives_up_on_a_step_that_hangs},
    {"asks_for_every_selector", asks_for_every_selector},
    {"names_a_selector_that_is_missing", names_a_selector_that_is_missing},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
