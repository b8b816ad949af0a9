#include "backend/test_rig.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

void vmt_test_rig_open(vmt_test_rig *rig, vmt_test *t) {
    vmt_err err = {0};
    *rig = (vmt_test_rig){.t = t, .gpu = vmt_test_gpu_open(t)};
    vmt_test_rig_recorded(rig, vmt_gpu_program_create(&rig->program, rig->gpu, &err), &err);
}

void vmt_test_rig_close(vmt_test_rig *rig) {
    vmt_gpu_program_destroy(rig->program);
    for (uint32_t i = 0; i < rig->num_buffers; i++) vmt_gpu_release(rig->gpu, &rig->buffers[i]);
    vmt_gpu_close(rig->gpu);
}

vmt_tensor vmt_test_rig_zeros(vmt_test_rig *rig, vmt_dtype dtype, uint64_t rows, uint64_t cols) {
    VMT_ASSERT(rig->num_buffers < VMT_TEST_RIG_BUFFERS_MAX);
    vmt_buffer *buffer = &rig->buffers[rig->num_buffers++];
    vmt_tensor tensor = {buffer, 0, dtype, 2, {rows, cols}};
    *buffer = vmt_test_gpu_buffer(rig->t, rig->gpu, vmt_tensor_bytes(&tensor), NULL);
    return tensor;
}

vmt_tensor vmt_test_rig_random(vmt_test_rig *rig, vmt_dtype dtype, uint64_t rows, uint64_t cols) {
    vmt_tensor tensor = vmt_test_rig_zeros(rig, dtype, rows, cols);
    for (uint64_t i = 0; i < rows * cols; i++) {
        double x = 2 * vmt_rng_uniform(rig->t->seed, rig->num_buffers, i) - 1;
        vmt_tensor_put(&tensor, i, dtype == VMT_I8 ? rint(127 * x) : x);
    }
    return tensor;
}

vmt_tensor vmt_test_rig_ints(vmt_test_rig *rig, const void *data, uint64_t rows, uint64_t cols) {
    vmt_tensor tensor = vmt_test_rig_zeros(rig, VMT_I32, rows, cols);
    memcpy(vmt_tensor_data(&tensor), data, vmt_tensor_bytes(&tensor));
    return tensor;
}

void vmt_test_expect_close(vmt_test_rig *rig, const vmt_tensor *got, const double *want, const char *what) {
    double atol = got->dtype == VMT_F32 ? 2e-5 : got->dtype == VMT_F16 ? 1e-3 : 8e-3;
    double rtol = got->dtype == VMT_F32   ? 2e-5
                  : got->dtype == VMT_F16 ? 1e-3
                                          : 8e-3; /* of the type's own rounding */
    for (uint64_t i = 0; i < vmt_tensor_elems(got); i++) {
        double x = vmt_tensor_at(got, i), off = fabs(x - want[i]);
        if (!(off <= atol + rtol * fabs(want[i]))) {
            vmt_test_fail(rig->t, __FILE__, __LINE__, "%s: element %llu is %.9g, want %.9g", what,
                          (unsigned long long)i, x, want[i]);
        }
    }
}

void vmt_test_rig_recorded(vmt_test_rig *rig, vmt_status status, const vmt_err *err) {
    if (status != VMT_OK) vmt_test_fail(rig->t, __FILE__, __LINE__, "%s", err->msg);
}

void vmt_test_rig_run(vmt_test_rig *rig, const uint32_t *counts) {
    vmt_err err = {0};
    vmt_test_rig_recorded(rig, vmt_gpu_begin(rig->gpu, &err), &err);
    vmt_gpu_program_replay(rig->program, counts);
    vmt_test_gpu_finish(rig->t, rig->gpu);
}
