#include "backend/test_gpu.h"
#include "backend/metal/metal_gpu.h"
#include "backend/metal/mock_metal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Made by tools/kernelgen of the .metal files of this folder. */
extern const vmt_kernel vmt_test_kernels[];
extern const uint32_t vmt_test_kernels_count;

static const char *driver = "host";
static vmt_gpu *kept_open; /* cuda: keeps the context between cases */

/* Of the problems asked about, those whose number is idx modulo num_shares. */
static struct {
    uint32_t idx, num_shares, next;
} share = {0, 1, 0};

/* The Metal driver over a mock of Metal that runs kernels on the host driver. */
static vmt_gpu *under_mock; /* the host driver's device while a mock runs */

static vmt_status open_mock(vmt_gpu **out, vmt_err *err) {
    vmt_objc objc;
    VMT_TRY(vmt_gpu_open(&under_mock, "host", err));
    vmt_mock_start(&(vmt_mock_options){0}, under_mock, &objc);
    VMT_TRY(vmt_objc_init(&objc, err));
    return vmt_metal_gpu_open_with(out, &objc, err);
}

/* false: the driver broke a rule of Metal's, or left something behind. */
static bool end_mock(void) {
    if (under_mock == NULL) return true;
    const char *complaint = vmt_mock_complaint(true);
    bool is_good = complaint[0] == 0;
    if (!is_good) fprintf(stderr, "mock Metal: %s\n", complaint);
    vmt_mock_stop();
    vmt_gpu_close(under_mock);
    under_mock = NULL;
    return is_good;
}

bool vmt_test_gpu_takes(void) {
    return share.next++ % share.num_shares == share.idx;
}

vmt_gpu *vmt_test_gpu_open(vmt_test *t) {
    vmt_gpu *gpu;
    vmt_err err = {0};
    if (!end_mock()) vmt_test_fail(t, __FILE__, __LINE__, "the case before this one broke Metal's rules");
    bool is_mock = strcmp(driver, "mock") == 0;
    vmt_status status = is_mock ? open_mock(&gpu, &err) : vmt_gpu_open(&gpu, driver, &err);
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

vmt_gpu_pipeline *vmt_test_gpu_pipeline(vmt_test *t, vmt_gpu *gpu, const char *name) {
    const vmt_kernel *kernel = vmt_kernel_find(name);
    vmt_gpu_pipeline *pipeline = NULL;
    vmt_err err = {0};
    for (uint32_t i = 0; i < vmt_test_kernels_count; i++) {
        if (strcmp(vmt_test_kernels[i].name, name) == 0) kernel = &vmt_test_kernels[i];
    }
    if (kernel == NULL) vmt_test_fail(t, __FILE__, __LINE__, "there is no kernel %s", name);
    if (gpu->vt->pipeline(gpu, kernel, &pipeline, &err) != VMT_OK) {
        vmt_test_fail(t, __FILE__, __LINE__, "%s: %s", name, err.msg);
    }
    return pipeline;
}

void vmt_test_gpu_finish(vmt_test *t, vmt_gpu *gpu) {
    uint64_t ticket;
    vmt_err err = {0};
    vmt_status status = vmt_gpu_commit(gpu, &ticket, &err);
    if (status == VMT_OK) status = vmt_gpu_wait(gpu, ticket, VMT_TEST_GPU_WAIT_NS, &err);
    if (status != VMT_OK) vmt_test_fail(t, __FILE__, __LINE__, "%s", err.msg);
}

static bool takes_driver(char *arg) {
    static const char *const drivers[] = {"host", "cuda", "cuda-kernels", "metal", "mock"};
    for (size_t i = 0; i < VMT_COUNT(drivers); i++) {
        size_t len = strlen(drivers[i]);
        if (strncmp(arg, drivers[i], len) != 0 || (arg[len] != 0 && arg[len] != ':')) continue;
        driver = arg;
        return true;
    }
    return false;
}

static bool takes_share(const char *arg) {
    uint32_t nth, count;
    char rest;
    if (sscanf(arg, "%" SCNu32 "/%" SCNu32 "%c", &nth, &count, &rest) != 2) return false;
    VMT_ASSERT(nth >= 1 && nth <= count);
    share.idx = nth - 1;
    share.num_shares = count;
    return true;
}

int vmt_test_gpu_run(const char *file, const vmt_test_case *cases, int argc, char **argv) {
    while (argc > 1 && (takes_driver(argv[1]) || takes_share(argv[1]))) {
        argv[1] = argv[0];
        argv++;
        argc--;
    }
    if (strncmp(driver, "cuda", 4) == 0 && vmt_gpu_open(&kept_open, driver, NULL) != VMT_OK) kept_open = NULL;
    int result = vmt_test_run(file, cases, argc, argv);
    vmt_gpu_close(kept_open);
    return end_mock() ? result : 1;
}
