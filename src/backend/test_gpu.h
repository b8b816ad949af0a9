/* backend/test_gpu.h: what tests of kernels share: the device they run on, buffers filled and read back.
 *
 * A test program takes the driver's name as its first argument ("host" unless given; "cuda:/some/folder" keeps
 * compiled kernels there; "cuda-kernels" is without NVIDIA's library; "mock" is the Metal driver over
 * metal/mock_metal.h); then, such as 2/8, which share of its problems it tries: where a tool makes kernels a hundred
 * times slower, eight processes do together what one does alone; and then, as every test program, a case's name.  It
 * ends with VMT_GPU_TEST_MAIN(cases).
 *
 * On CUDA the context lives as long as the program, as making one takes longer than most cases: a kernel that breaks
 * it fails the cases after its own too. */
#ifndef VMT_BACKEND_TEST_GPU_H
#define VMT_BACKEND_TEST_GPU_H

#include "backend/gpu.h"
#include "base/test.h"

#define VMT_TEST_GPU_WAIT_NS UINT64_C(120000000000)

/* Is the next problem of this process's share?  Asked before each problem of cases that try many. */
bool vmt_test_gpu_takes(void);
/* The device the program was told to use; a case is skipped when it can't be had. */
vmt_gpu *vmt_test_gpu_open(vmt_test *t);
/* Shared memory of that many bytes, filled from data unless NULL.  Ends the case when there is none. */
vmt_buffer vmt_test_gpu_buffer(vmt_test *t, vmt_gpu *gpu, size_t bytes, const void *data);
/* A kernel of the product or of the drivers' own tests. */
vmt_gpu_pipeline *vmt_test_gpu_pipeline(vmt_test *t, vmt_gpu *gpu, const char *name);
/* Commits the open command buffer and waits; a failure ends the case with its message. */
void vmt_test_gpu_finish(vmt_test *t, vmt_gpu *gpu);

int vmt_test_gpu_run(const char *file, const vmt_test_case *cases, int argc, char **argv);
#define VMT_GPU_TEST_MAIN(cases)                                \
    int main(int argc, char **argv) {                           \
        return vmt_test_gpu_run(__FILE__, (cases), argc, argv); \
    }

#endif
