/* backend/cuda/compile_bench.c: compiles kernels for CUDA into a cache folder, which needs NVRTC and no GPU.
 *
 * usage: compile_bench CAPABILITY FOLDER [PART PARTS [NAME]]     such as: compile_bench 90 ./cubins 0 4 q4_0
 * Takes every PARTS-th kernel from PART on, so that several processes share the work; those alone that have NAME in
 * their own. */
#include "backend/cuda/compile.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    if (argc != 3 && argc != 5 && argc != 6) {
        fprintf(stderr, "usage: compile_bench CAPABILITY FOLDER [PART PARTS [NAME]]\n");
        return 2;
    }
    uint32_t part = argc >= 5 ? (uint32_t)strtoul(argv[3], NULL, 10) : 0;
    uint32_t num_parts = argc >= 5 ? (uint32_t)strtoul(argv[4], NULL, 10) : 1;
    uint32_t num_failed = 0;
    vmt_cuda_compiler *compiler;
    vmt_err err = {0};
    if (vmt_cuda_compiler_create(&compiler, (uint32_t)strtoul(argv[1], NULL, 10), argv[2], &err) != VMT_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    for (uint32_t i = part; i < vmt_kernel_count() && num_parts > 0; i += num_parts) {
        if (argc == 6 && strstr(vmt_kernel_at(i)->name, argv[5]) == NULL) continue;
        uint64_t began_ns = vmt_clock_ns();
        vmt_buf cubin;
        vmt_buf_init(&cubin, 0);
        err = (vmt_err){0};
        vmt_status status = vmt_cuda_compile(compiler, vmt_kernel_at(i), &cubin, &err);
        num_failed += status != VMT_OK;
        printf("%s,%.2f,%zu,%s\n", vmt_kernel_at(i)->name, (double)(vmt_clock_ns() - began_ns) / 1e9, cubin.len,
               err.msg);
        vmt_buf_free(&cubin);
    }
    vmt_cuda_compiler_destroy(compiler);
    return num_failed > 0;
}
