/* backend/test_rig.h: a device, a program and tensors with known content, for tests and benchmarks of GPU ops. */
#ifndef VMT_BACKEND_TEST_RIG_H
#define VMT_BACKEND_TEST_RIG_H

#include "backend/gpu_program.h"
#include "backend/test_gpu.h"

#define VMT_TEST_RIG_BUFFERS_MAX 32u

typedef struct vmt_test_rig {
    vmt_test *t;
    vmt_gpu *gpu;
    vmt_gpu_program *program;
    vmt_buffer buffers[VMT_TEST_RIG_BUFFERS_MAX];
    uint32_t num_buffers; /* each random tensor has its own stream of numbers */
} vmt_test_rig;

/* Skips the case where the driver can't be had. */
void vmt_test_rig_open(vmt_test_rig *rig, vmt_test *t);
void vmt_test_rig_close(vmt_test_rig *rig);

/* [rows, cols] in a buffer of its own: zeros; numbers in [-1, 1), or in [-127, 127] for I8; the integers of data. */
vmt_tensor vmt_test_rig_zeros(vmt_test_rig *rig, vmt_dtype dtype, uint64_t rows, uint64_t cols);
vmt_tensor vmt_test_rig_random(vmt_test_rig *rig, vmt_dtype dtype, uint64_t rows, uint64_t cols);
vmt_tensor vmt_test_rig_ints(vmt_test_rig *rig, const void *data, uint64_t rows, uint64_t cols);

/* Each element of got within atol + rtol * |want| of want [elements]; the tolerances of got's type. */
void vmt_test_expect_close(vmt_test_rig *rig, const vmt_tensor *got, const double *want, const char *what);

/* Ends the case with err's message if the op could not be recorded. */
void vmt_test_rig_recorded(vmt_test_rig *rig, vmt_status status, const vmt_err *err);
/* Runs the program once; counts [VMT_NUM_STEP_COUNTS]. */
void vmt_test_rig_run(vmt_test_rig *rig, const uint32_t *counts);

#endif
