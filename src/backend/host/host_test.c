/* backend/host/host_test.c: the host driver finds planted faults, whatever the order of lanes. */
#include "backend/host/host.h"
#include "backend/test_gpu.h"
#include "backend/test_kargs.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#else
#define HAS_ASAN 0
#endif
#if defined(__SANITIZE_THREAD__)
#define HAS_TSAN 1
#else
#define HAS_TSAN 0
#endif
#define LANES  128u
#define GROUPS 512u

static vmt_gpu *open_with(vmt_test *t, vmt_lane_order order, uint32_t num_workers) {
    vmt_gpu *gpu;
    vmt_err err = {0};
    vmt_host_config config = {.order = order, .num_workers = num_workers, .seed = t->seed};
    vmt_status status = vmt_host_gpu_open(&gpu, &config, &err);
    if (status == VMT_E_UNSUPPORTED) vmt_test_skip(t, "%s", err.msg);
    vmt_expect_eq(t, status, VMT_OK);
    return gpu;
}

/* Runs a kernel of fault_kernels.metal once: gives what wait() says and the sum of out. */
static vmt_status run_groups(vmt_test *t, const char *name, vmt_lane_order order, uint32_t fault,
                             uint32_t num_groups, float *sum, vmt_err *err) {
    vmt_gpu *gpu = open_with(t, order, 2);
    vmt_buffer out = vmt_test_gpu_buffer(t, gpu, LANES * sizeof(float), NULL);
    vmt_test_kargs args = {.fault = fault};
    vmt_gpu_dispatch dispatch = {
        .pipeline = vmt_test_gpu_pipeline(t, gpu, name), .args = &args, .grid = {num_groups, 1, 1}};
    dispatch.buffers[0].buffer = &out;
    uint64_t ticket;
    vmt_expect_eq(t, vmt_gpu_begin(gpu, err), VMT_OK);
    vmt_gpu_dispatch_add(gpu, &dispatch);
    vmt_expect_eq(t, vmt_gpu_commit(gpu, &ticket, err), VMT_OK);
    vmt_status status = vmt_gpu_wait(gpu, ticket, VMT_TEST_GPU_WAIT_NS, err);
    *sum = 0;
    for (uint32_t i = 0; i < LANES; i++) *sum += ((float *)(void *)out.host)[i];
    vmt_gpu_release(gpu, &out);
    vmt_gpu_close(gpu);
    return status;
}

static vmt_status run_fault(vmt_test *t, const char *name, vmt_lane_order order, uint32_t fault, float *sum,
                            vmt_err *err) {
    return run_groups(t, name, order, fault, 1, sum, err);
}

/* Runs the faulty kernel in a process of its own: true when a sanitizer ended it with a report. */
static bool sanitizer_reports(vmt_test *t, const char *name, uint32_t fault, uint32_t num_groups) {
    vmt_err err = {0};
    float sum;
    int how;
    fflush(NULL);
    pid_t child = fork();
    vmt_expect(t, child >= 0);
    if (child == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL) _exit(0);
        run_groups(t, name, VMT_LANES_FORWARD, fault, num_groups, &sum, &err);
        _exit(0);
    }
    vmt_expect_eq(t, waitpid(child, &how, 0), child);
    return !(WIFEXITED(how) && WEXITSTATUS(how) == 0);
}

static const vmt_lane_order orders[] = {VMT_LANES_FORWARD, VMT_LANES_BACKWARD, VMT_LANES_RANDOM};

/* Sum over 0..127. */
#define TOTAL ((float)(LANES * (LANES - 1) / 2))

static void right_kernels_pass(vmt_test *t) {
    static const struct {
        const char *name;
        float sum;
    } rows[] = {{"fault_barrier", 2 * TOTAL}, {"fault_unwritten", LANES * TOTAL},
                {"fault_overrun", TOTAL},     {"fault_simd", LANES * 32},
                {"fault_sites", 32 * TOTAL},  {"fault_return", TOTAL},
                {"fault_skip", TOTAL},        {"fault_halves", TOTAL},
                {"fault_race", TOTAL}};
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        for (size_t o = 0; o < VMT_COUNT(orders); o++) {
            vmt_err err = {0};
            float sum;
            run_fault(t, rows[i].name, orders[o], 0, &sum, &err);
            vmt_expect_str(t, err.msg, "");
            vmt_expect_near(t, sum, rows[i].sum, 0);
        }
    }
}

/* Results are wrong in every order: what was not written yet is NaN. */
static void a_missing_barrier_shows(vmt_test *t) {
    for (size_t o = 0; o < VMT_COUNT(orders); o++) {
        vmt_err err = {0};
        float sum;
        run_fault(t, "fault_barrier", orders[o], 1, &sum, &err);
        vmt_expect(t, sum != sum);
    }
}

static void unwritten_memory_shows(vmt_test *t) {
    for (size_t o = 0; o < VMT_COUNT(orders); o++) {
        vmt_err err = {0};
        float sum;
        run_fault(t, "fault_unwritten", orders[o], 1, &sum, &err);
        vmt_expect(t, sum != sum);
    }
}

static void an_overrun_fails(vmt_test *t) {
    vmt_err err = {0};
    float sum;
    if (HAS_ASAN) {
        vmt_expect(t, !sanitizer_reports(t, "fault_overrun", 0, 1));
        vmt_expect(t, sanitizer_reports(t, "fault_overrun", 1, 1));
        return;
    }
    vmt_expect_eq(t, run_fault(t, "fault_overrun", VMT_LANES_FORWARD, 1, &sum, &err), VMT_E_IO);
    vmt_expect_str(t, err.msg, "a kernel wrote behind a buffer of 512 bytes, at 512");
}

/* Threadgroups run on several threads, and the thread sanitizer sees what they share. */
static void a_race_of_threadgroups_is_reported(vmt_test *t) {
    if (!HAS_TSAN) vmt_test_skip(t, "the thread sanitizer finds it");
    vmt_expect(t, !sanitizer_reports(t, "fault_race", 0, GROUPS));
    vmt_expect(t, sanitizer_reports(t, "fault_race", 1, GROUPS));
}

static void expect_report(vmt_test *t, const char *name, vmt_lane_order order, const char *want) {
    vmt_err err = {0};
    float sum;
    vmt_expect_eq(t, run_fault(t, name, order, 1, &sum, &err), VMT_E_IO);
    if (strstr(err.msg, want) == NULL)
        vmt_test_fail(t, __FILE__, __LINE__, "\"%s\" is not in \"%s\"", want, err.msg);
}

static void stuck_lanes_are_listed(vmt_test *t) {
    for (size_t o = 0; o < VMT_COUNT(orders); o++) {
        expect_report(t, "fault_simd", orders[o],
                      "16 lanes (0 ..) wait in simd_sum at fault_kernels.metal:48; 112 lanes "
                      "(16 ..) are done");
        expect_report(t, "fault_return", orders[o],
                      "100 lanes (0 ..) wait in threadgroup_barrier at "
                      "fault_kernels.metal:72; 28 lanes (100 ..) are done");
        expect_report(t, "fault_skip", orders[o],
                      "100 lanes (0 ..) wait in threadgroup_barrier at "
                      "fault_kernels.metal:83; 28 lanes (100 ..) are done");
        expect_report(t, "fault_sites", orders[o], "at the same time");
        expect_report(t, "fault_halves", orders[o], "at the same time");
    }
}

/* A buffer that is read and written must be one parameter. */
static void the_same_memory_twice_fails(vmt_test *t) {
    vmt_gpu *gpu = open_with(t, VMT_LANES_FORWARD, 1);
    vmt_buffer x = vmt_test_gpu_buffer(t, gpu, LANES * sizeof(float), NULL);
    vmt_test_kargs args = {0};
    vmt_gpu_dispatch dispatch = {
        .pipeline = vmt_test_gpu_pipeline(t, gpu, "test_simd_f32"), .args = &args, .grid = {1, 1, 1}};
    uint64_t ticket;
    vmt_err err = {0};
    for (uint32_t i = 0; i < 3; i++) dispatch.buffers[i] = (vmt_gpu_binding){&x, i == 2 ? 256 : 0};
    vmt_expect_eq(t, vmt_gpu_begin(gpu, NULL), VMT_OK);
    vmt_gpu_dispatch_add(gpu, &dispatch);
    vmt_expect_eq(t, vmt_gpu_commit(gpu, &ticket, NULL), VMT_OK);
    vmt_expect_eq(t, vmt_gpu_wait(gpu, ticket, VMT_TEST_GPU_WAIT_NS, &err), VMT_E_IO);
    vmt_expect_str(t, err.msg, "test_simd_f32: buffers 0 and 1 are the same memory, and it writes to one");
    vmt_gpu_release(gpu, &x);
    vmt_gpu_close(gpu);
}

/* After a fault, the message stays, and nothing more runs. */
static void a_failed_device_stays_failed(vmt_test *t) {
    vmt_gpu *gpu = open_with(t, VMT_LANES_FORWARD, 1);
    vmt_buffer out = vmt_test_gpu_buffer(t, gpu, LANES * sizeof(float), NULL);
    for (uint32_t fault = 2; fault-- > 0;) {
        vmt_test_kargs args = {.fault = fault};
        vmt_gpu_dispatch dispatch = {
            .pipeline = vmt_test_gpu_pipeline(t, gpu, "fault_return"), .args = &args, .grid = {1, 1, 1}};
        dispatch.buffers[0].buffer = &out;
        uint64_t ticket;
        vmt_expect_eq(t, vmt_gpu_begin(gpu, NULL), VMT_OK);
        vmt_gpu_dispatch_add(gpu, &dispatch);
        vmt_expect_eq(t, vmt_gpu_commit(gpu, &ticket, NULL), VMT_OK);
        vmt_expect_eq(t, vmt_gpu_wait(gpu, ticket, VMT_TEST_GPU_WAIT_NS, NULL), VMT_E_IO);
    }
    vmt_gpu_release(gpu, &out);
    vmt_gpu_close(gpu);
}

/* A wait that is too short says so, and the work is not lost. */
static void waits_no_longer_than_told(vmt_test *t) {
    vmt_gpu *gpu = open_with(t, VMT_LANES_MIXED, 0);
    vmt_buffer out = vmt_test_gpu_buffer(t, gpu, LANES * sizeof(float), NULL);
    vmt_test_kargs args = {0};
    vmt_gpu_dispatch dispatch = {
        .pipeline = vmt_test_gpu_pipeline(t, gpu, "fault_barrier"), .args = &args, .grid = {1, 1, 1}};
    dispatch.buffers[0].buffer = &out;
    uint64_t ticket;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_gpu_begin(gpu, NULL), VMT_OK);
    for (uint32_t i = 0; i < 2000; i++) {
        vmt_gpu_dispatch_add(gpu, &dispatch);
        vmt_gpu_barrier(gpu);
    }
    vmt_expect_eq(t, vmt_gpu_commit(gpu, &ticket, NULL), VMT_OK);
    vmt_expect_eq(t, vmt_gpu_wait(gpu, ticket, 0, &err), VMT_E_EXHAUSTED);
    vmt_expect_str(t, err.msg, "the GPU was not done within 0.000 s");
    vmt_expect_eq(t, vmt_gpu_wait(gpu, ticket, VMT_TEST_GPU_WAIT_NS, NULL), VMT_OK);
    vmt_expect_near(t, ((float *)(void *)out.host)[5], 10, 0);
    vmt_gpu_release(gpu, &out);
    vmt_gpu_close(gpu);
}

static void private_memory_has_no_host_address(vmt_test *t) {
    vmt_gpu *gpu = open_with(t, VMT_LANES_MIXED, 1);
    vmt_buffer buffer;
    vmt_expect_eq(t, vmt_gpu_alloc(gpu, &buffer, 100, VMT_GPU_PRIVATE, NULL), VMT_OK);
    vmt_expect(t, buffer.host == NULL && buffer.bytes == 100);
    vmt_gpu_release(gpu, &buffer);
    vmt_expect_eq(t, vmt_gpu_alloc(gpu, &buffer, 0, VMT_GPU_SHARED, NULL), VMT_OK);
    vmt_gpu_release(gpu, &buffer);
    vmt_gpu_release(gpu, &buffer);
    vmt_gpu_close(gpu);
}

static const vmt_test_case cases[] = {
    {"right_kernels_pass", right_kernels_pass},
    {"a_missing_barrier_shows", a_missing_barrier_shows},
    {"unwritten_memory_shows", unwritten_memory_shows},
    {"an_overrun_fails", an_overrun_fails},
    {"a_race_of_threadgroups_is_reported", a_race_of_threadgroups_is_reported},
    {"stuck_lanes_are_listed", stuck_lanes_are_listed},
    {"the_same_memory_twice_fails", the_same_memory_twice_fails},
    {"a_failed_device_stays_failed", a_failed_device_stays_failed},
    {"waits_no_longer_than_told", waits_no_longer_than_told},
    {"private_memory_has_no_host_address", private_memory_has_no_host_address},
    {0},
};
VMT_TEST_MAIN(cases)
