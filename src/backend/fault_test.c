/* backend/fault_test.c: planted faults on any device.  The host driver shows them in the results; on CUDA the sanitizer
 * must name them, which bench/h100.py checks. */
#include "backend/test_gpu.h"
#include "backend/test_kargs.h"

#include <string.h>

#define LANES 128u

static void a_missing_barrier_runs(vmt_test *t) {
    vmt_gpu *gpu = vmt_test_gpu_open(t);
    vmt_buffer out = vmt_test_gpu_buffer(t, gpu, LANES * sizeof(float), NULL);
    vmt_test_kargs args = {.fault = 1};
    vmt_gpu_dispatch dispatch = {
        .pipeline = vmt_test_gpu_pipeline(t, gpu, "fault_barrier"), .args = &args, .grid = {1, 1, 1}};
    dispatch.buffers[0].buffer = &out;
    vmt_expect_eq(t, vmt_gpu_begin(gpu, NULL), VMT_OK);
    vmt_gpu_dispatch_add(gpu, &dispatch);
    vmt_test_gpu_finish(t, gpu);
    float sum = 0;
    for (uint32_t i = 0; i < LANES; i++) sum += ((float *)(void *)out.host)[i];
    bool is_host = strcmp(gpu->driver, "host") == 0;
    vmt_gpu_release(gpu, &out);
    vmt_gpu_close(gpu);
    if (is_host) vmt_expect(t, sum != sum);
}

static const vmt_test_case cases[] = {
    {"a_missing_barrier_runs", a_missing_barrier_runs},
    {0},
};
VMT_GPU_TEST_MAIN(cases)
