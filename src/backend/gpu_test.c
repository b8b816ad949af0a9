/* backend/gpu_test.c: a driver end to end: memory, dispatches, order, results.  argv[1]: the driver, default host. */
#include "backend/test_gpu.h"
#include "kernels/rms_norm_kargs.h"

#include <math.h>

#define ROWS   3u
#define HIDDEN 1001u

static void runs_a_kernel(vmt_test *t) {
    vmt_gpu *gpu = vmt_test_gpu_open(t);
    vmt_gpu_pipeline *pipeline;
    vmt_expect_eq(t, vmt_gpu_pipeline_get(gpu, "rms_norm_f32", &pipeline, NULL), VMT_OK);
    vmt_buffer x = vmt_test_gpu_buffer(t, gpu, ROWS * HIDDEN * sizeof(float), NULL);
    vmt_buffer weight = vmt_test_gpu_buffer(t, gpu, HIDDEN * sizeof(float), NULL);
    vmt_buffer out = vmt_test_gpu_buffer(t, gpu, ROWS * HIDDEN * sizeof(float), NULL);
    float *in = (float *)(void *)x.host, *w = (float *)(void *)weight.host, *got = (float *)(void *)out.host;
    for (uint32_t i = 0; i < ROWS * HIDDEN; i++) in[i] = (float)(i * 37 % 101) / 101.0f - 0.5f;
    for (uint32_t i = 0; i < HIDDEN; i++) w[i] = 1.0f + (float)(i % 7);

    vmt_rms_norm_kargs args = {.num_rows = ROWS, .hidden = HIDDEN, .epsilon = 1e-5f};
    vmt_gpu_dispatch dispatch = {.pipeline = pipeline, .args = &args, .grid = {ROWS, 1, 1}};
    dispatch.buffers[0].buffer = &x;
    dispatch.buffers[1].buffer = &weight;
    dispatch.buffers[2].buffer = &out;
    vmt_expect_eq(t, vmt_gpu_begin(gpu, NULL), VMT_OK);
    vmt_gpu_dispatch_add(gpu, &dispatch);
    vmt_test_gpu_finish(t, gpu);

    for (uint32_t row = 0; row < ROWS; row++) {
        double sum = 0;
        for (uint32_t i = 0; i < HIDDEN; i++) sum += (double)in[row * HIDDEN + i] * in[row * HIDDEN + i];
        double scale = 1.0 / sqrt(sum / HIDDEN + 1e-5);
        for (uint32_t i = 0; i < HIDDEN; i++) {
            vmt_expect_near(t, got[row * HIDDEN + i], in[row * HIDDEN + i] * scale * w[i], 1e-4);
        }
    }
    vmt_gpu_release(gpu, &x);
    vmt_gpu_release(gpu, &weight);
    vmt_gpu_release(gpu, &out);
    vmt_gpu_close(gpu);
}

static const vmt_test_case cases[] = {
    {"runs_a_kernel", runs_a_kernel},
    {0},
};
VMT_GPU_TEST_MAIN(cases)
