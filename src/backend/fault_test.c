/* backend/fault_test.c: planted faults.  The host driver shows a missing barrier in the results; on CUDA the tool of
 * compute-sanitizer that each case names must report it, which bench/h100.py checks.  Without a tool they pass there:
 * what they do wrong goes unnoticed, as planted faults should.  Lanes that return before a barrier (fault_return) are
 * none to synccheck. */
#include "backend/test_gpu.h"
#include "backend/test_kargs.h"

#include <string.h>

#define LANES 128u

/* Runs the kernel with its fault and gives the sum of what it wrote. */
static float run_fault(vmt_test *t, vmt_gpu *gpu, const char *kernel) {
    vmt_buffer out = vmt_test_gpu_buffer(t, gpu, LANES * sizeof(float), NULL);
    vmt_test_kargs args = {.fault = 1};
    vmt_gpu_dispatch dispatch = {
        .pipeline = vmt_test_gpu_pipeline(t, gpu, kernel), .args = &args, .grid = {1, 1, 1}};
    dispatch.buffers[0].buffer = &out;
    vmt_expect_eq(t, vmt_gpu_begin(gpu, NULL), VMT_OK);
    vmt_gpu_dispatch_add(gpu, &dispatch);
    vmt_test_gpu_finish(t, gpu);
    float sum = 0;
    for (uint32_t i = 0; i < LANES; i++) sum += ((float *)(void *)out.host)[i];
    vmt_gpu_release(gpu, &out);
    return sum;
}

/* What the host driver does with these stands in host/host_test.c. */
static void run_on_cuda(vmt_test *t, const char *kernel) {
    vmt_gpu *gpu = vmt_test_gpu_open(t);
    bool is_cuda = strcmp(gpu->driver, "cuda") == 0;
    if (is_cuda) run_fault(t, gpu, kernel);
    vmt_gpu_close(gpu);
    if (!is_cuda) vmt_test_skip(t, "a fault for compute-sanitizer");
}

static void racecheck_a_missing_barrier(vmt_test *t) {
    vmt_gpu *gpu = vmt_test_gpu_open(t);
    bool is_host = strcmp(gpu->driver, "host") == 0;
    float sum = run_fault(t, gpu, "fault_barrier");
    vmt_gpu_close(gpu);
    if (is_host) vmt_expect(t, sum != sum);
}

static void memcheck_a_write_behind_a_buffer(vmt_test *t) {
    run_on_cuda(t, "fault_overrun");
}

static void synccheck_lanes_past_a_barrier(vmt_test *t) {
    run_on_cuda(t, "fault_skip");
}

static void synccheck_halves_at_two_barriers(vmt_test *t) {
    run_on_cuda(t, "fault_halves");
}

static void initcheck_threadgroup_memory_never_written(vmt_test *t) {
    run_on_cuda(t, "fault_unwritten");
}

static const vmt_test_case cases[] = {
    {"racecheck_a_missing_barrier", racecheck_a_missing_barrier},
    {"memcheck_a_write_behind_a_buffer", memcheck_a_write_behind_a_buffer},
    {"synccheck_lanes_past_a_barrier", synccheck_lanes_past_a_barrier},
    {"synccheck_halves_at_two_barriers", synccheck_halves_at_two_barriers},
    {"initcheck_threadgroup_memory_never_written", initcheck_threadgroup_memory_never_written},
    {0},
};
VMT_GPU_TEST_MAIN(cases)
