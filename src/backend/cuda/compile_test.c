/* backend/cuda/compile_test.c: kernels to machine code, and the cache.  Skipped where NVRTC is not installed. */
#include "backend/cuda/compile.h"
#include "backend/cuda/cuda.h"
#include "base/test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CAPABILITY 90u

/* Files in a folder; with remove_all they are gone afterwards. */
static uint32_t count_files(const char *dir, bool remove_all) {
    uint32_t count = 0;
    DIR *entries = opendir(dir);
    for (struct dirent *e; entries != NULL && (e = readdir(entries)) != NULL;) {
        if (e->d_name[0] == '.') continue;
        char path[512];
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        count++;
        if (remove_all) unlink(path);
    }
    if (entries != NULL) closedir(entries);
    return count;
}

static const vmt_kernel *a_kernel(vmt_test *t) {
    const vmt_kernel *kernel = vmt_kernel_find("rms_norm_bf16");
    vmt_expect(t, kernel != NULL);
    return kernel;
}

static void compiles_once(vmt_test *t) {
    char dir[] = "/tmp/vmetal-cubins-XXXXXX";
    vmt_cuda_compiler *compiler;
    vmt_buf first, second;
    vmt_err err = {0};
    vmt_buf_init(&first, 0);
    vmt_buf_init(&second, 0);
    vmt_expect(t, mkdtemp(dir) != NULL);
    vmt_expect_eq(t, vmt_cuda_compiler_create(&compiler, CAPABILITY, dir, NULL), VMT_OK);
    vmt_status status = vmt_cuda_compile(compiler, a_kernel(t), &first, &err);
    bool has_compiler = strstr(err.msg, "not installed") == NULL;
    if (has_compiler) vmt_expect_str(t, err.msg, "");
    uint32_t num_files = count_files(dir, false);
    vmt_cuda_compiler_destroy(compiler);

    /* A new one reads what the other wrote; for another card there is nothing yet. */
    vmt_expect_eq(t, vmt_cuda_compiler_create(&compiler, CAPABILITY, dir, NULL), VMT_OK);
    vmt_status again = vmt_cuda_compile(compiler, a_kernel(t), &second, NULL);
    uint32_t num_after = count_files(dir, true);
    vmt_cuda_compiler_destroy(compiler);
    rmdir(dir);
    if (!has_compiler) vmt_test_skip(t, "%s", err.msg);
    vmt_expect_eq(t, status, VMT_OK);
    vmt_expect_eq(t, again, VMT_OK);
    vmt_expect_eq(t, num_files, 1);
    vmt_expect_eq(t, num_after, 1);
    vmt_expect(t, first.len > 100 && memcmp(first.ptr, "\177ELF", 4) == 0);
    vmt_expect(t, first.len == second.len && memcmp(first.ptr, second.ptr, first.len) == 0);
    vmt_buf_free(&first);
    vmt_buf_free(&second);
}

static void reports_the_compilers_message(vmt_test *t) {
    vmt_kernel broken = *a_kernel(t);
    broken.cuda_entry = "extern \"C\" __global__ void rms_norm_bf16() { no_such_name(); }";
    vmt_cuda_compiler *compiler;
    vmt_buf cubin;
    vmt_err err = {0};
    vmt_buf_init(&cubin, 0);
    vmt_expect_eq(t, vmt_cuda_compiler_create(&compiler, CAPABILITY, NULL, NULL), VMT_OK);
    vmt_expect_eq(t, vmt_cuda_compile(compiler, &broken, &cubin, &err), VMT_E_UNSUPPORTED);
    vmt_cuda_compiler_destroy(compiler);
    vmt_buf_free(&cubin);
    if (strstr(err.msg, "not installed") != NULL) vmt_test_skip(t, "%s", err.msg);
    vmt_expect_str(t, err.msg,
                   "rms_norm_bf16 does not compile: entry(1): error: identifier \"no_such_name\" is undefined");
}

/* With a card or without: the answer is a device, or one sentence. */
static void opens_or_says_why(vmt_test *t) {
    vmt_gpu *gpu;
    vmt_err err = {0};
    vmt_status status = vmt_cuda_gpu_open(&gpu, NULL, &err);
    vmt_expect(t, status == VMT_OK ? gpu != NULL : gpu == NULL && err.msg[0] != 0);
    vmt_expect(t, status == VMT_OK || status == VMT_E_UNSUPPORTED);
    vmt_gpu_close(gpu);
}

static const vmt_test_case cases[] = {
    {"compiles_once", compiles_once},
    {"reports_the_compilers_message", reports_the_compilers_message},
    {"opens_or_says_why", opens_or_says_why},
    {0},
};
VMT_TEST_MAIN(cases)
