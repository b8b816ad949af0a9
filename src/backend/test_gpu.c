#include "backend/test_gpu.h"

#include <string.h>

static const char *driver = "host";

vmt_gpu *vmt_test_gpu_open(vmt_test *t) {
    vmt_gpu *gpu;
    vmt_err err = {0};
    vmt_status status = vmt_gpu_open(&gpu, driver, &err);
    if (status == VMT_E_UNSUPPORTED) vmt_test_skip(t, "%s", err.msg);
    if (status != VMT_OK) vmt_test_fail(t, __FILE__, __LINE__, "%s: %s", driver, err.msg);
    return gpu;
}

vmt_buffer vmt_test_gpu_buffer(vmt_test *t, vmt_gpu *gpu, size_t bytes, const void *data) {
    vmt_buffer buffer;
    vmt_err err = {0};
    if (vmt_gpu_alloc(gpu, &buffer, bytes, VMT_GPU_SHARED, &err) != VMT_OK) {
        vmt_test_fail(t, __FILE__, __LINE__, "%s", err.msg);
    }
    if (data != NULL) memcpy(buffer.host, data, bytes);
    return buffer;
}

void vmt_test_gpu_finish(vmt_test *t, vmt_gpu *gpu) {
    uint64_t ticket;
    vmt_err err = {0};
    vmt_status status = vmt_gpu_commit(gpu, &ticket, &err);
    if (status == VMT_OK) status = vmt_gpu_wait(gpu, ticket, VMT_TEST_GPU_WAIT_NS, &err);
    if (status != VMT_OK) vmt_test_fail(t, __FILE__, __LINE__, "%s", err.msg);
}

int vmt_test_gpu_run(const char *file, const vmt_test_case *cases, int argc, char **argv) {
    static const char *const drivers[] = {"host", "cuda", "metal"};
    for (size_t i = 0; i < VMT_COUNT(drivers) && argc > 1; i++) {
        if (strcmp(argv[1], drivers[i]) != 0) continue;
        driver = drivers[i];
        argv[1] = argv[0];
        argv++;
        argc--;
        break;
    }
    return vmt_test_run(file, cases, argc, argv);
}
