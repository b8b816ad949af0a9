#include "backend/cuda/compile.h"
#include "backend/cuda/api.h"
#include "base/file.h"
#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CUBIN_BYTES_MAX ((size_t)64 << 20)
#define CACHE_VERSION   1u /* a part of the name of each file */
#define OPTIONS_MAX     4
#define SHOWN_MAX       160 /* bytes of a compiler's message */

/* The shim's text, put beside the kernel table by tools/kernelgen. */
extern const char vmt_cuda_shim[];

struct vmt_cuda_compiler {
    vmt_nvrtc_api nvrtc;
    bool has_nvrtc;
    uint32_t capability;
    char *cache_dir; /* NULL: none */
};

vmt_status vmt_cuda_compiler_create(vmt_cuda_compiler **out, uint32_t capability, const char *cache_dir,
                                    vmt_err *err) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the CUDA compiler");
    (*out)->capability = capability;
    if (cache_dir != NULL) (*out)->cache_dir = strdup(cache_dir);
    return VMT_OK;
}

/* The library stays: its threads and static objects do not like to be unloaded. */
void vmt_cuda_compiler_destroy(vmt_cuda_compiler *compiler) {
    if (compiler == NULL) return;
    free(compiler->cache_dir);
    free(compiler);
}

/* ---- text */

static vmt_status make_text(vmt_buf *text, const vmt_kernel *kernel, vmt_err *err) {
    vmt_buf_append_c(text, vmt_cuda_shim);
    vmt_buf_append_c(text, "\nnamespace metal {\nnamespace vmt_kernels {\n");
    vmt_buf_append_c(text, kernel->cuda_source);
    vmt_buf_append_c(text, "\n#line 1 \"entry\"\n");
    vmt_buf_append_c(text, kernel->cuda_entry);
    vmt_buf_append_c(text, "\n}\n}\n");
    return text->failed ? vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the text of %s", kernel->name) : VMT_OK;
}

/* ---- cache */

static bool cache_path(const vmt_cuda_compiler *c, const vmt_buf *text, const char *suffix, char *out,
                       size_t cap) {
    if (c->cache_dir == NULL) return false;
    vmt_hash128 hash = vmt_siphash128((vmt_hash_key){c->capability, CACHE_VERSION}, text->ptr, text->len);
    int length = snprintf(out, cap, "%s/%016llx%016llx.cubin%s", c->cache_dir, (unsigned long long)hash.hi,
                          (unsigned long long)hash.lo, suffix);
    return length > 0 && (size_t)length < cap;
}

/* Written aside and renamed, so that a reader never sees half of it.  A cache that can't be written is none. */
static void cache_write(const vmt_cuda_compiler *c, const vmt_buf *text, const vmt_buf *cubin) {
    char path[4096], suffix[32], aside[4096];
    snprintf(suffix, sizeof suffix, ".%ld", (long)getpid());
    if (!cache_path(c, text, "", path, sizeof path) || !cache_path(c, text, suffix, aside, sizeof aside)) return;
    FILE *file = fopen(aside, "wb");
    if (file == NULL) return;
    bool is_good = fwrite(cubin->ptr, 1, cubin->len, file) == cubin->len;
    is_good = fclose(file) == 0 && is_good;
    if (!is_good || rename(aside, path) != 0) unlink(aside);
}

static bool cache_read(const vmt_cuda_compiler *c, const vmt_buf *text, vmt_buf *cubin) {
    char path[4096];
    return cache_path(c, text, "", path, sizeof path) && vmt_file_exists(path) &&
           vmt_file_read(cubin, path, CUBIN_BYTES_MAX, NULL) == VMT_OK && cubin->len > 0;
}

/* ---- the compiler */

/* The first line that speaks of an error. */
static void first_message(const vmt_nvrtc_api *nvrtc, nvrtcProgram program, char *out, size_t cap) {
    size_t bytes = 0;
    snprintf(out, cap, "no message");
    if (nvrtc->get_log_size(program, &bytes) != 0 || bytes == 0) return;
    char *log = malloc(bytes + 1);
    if (log == NULL) return;
    if (nvrtc->get_log(program, log) == 0) {
        log[bytes] = 0;
        const char *at = strstr(log, "error");
        while (at != NULL && at > log && at[-1] != '\n') at--;
        if (at == NULL) at = log;
        snprintf(out, cap, "%.*s", (int)strcspn(at, "\n"), at);
    }
    free(log);
}

static vmt_status compile_text(const vmt_nvrtc_api *nvrtc, nvrtcProgram program, uint32_t capability,
                               const vmt_kernel *kernel, vmt_buf *cubin, vmt_err *err) {
    char arch[32];
    snprintf(arch, sizeof arch, "--gpu-architecture=sm_%u", capability);
    const char *const options[OPTIONS_MAX] = {arch, "--std=c++17", "--device-as-default-execution-space",
                                              "--generate-line-info"};
    if (nvrtc->compile_program(program, OPTIONS_MAX, options) != 0) {
        char message[SHOWN_MAX];
        first_message(nvrtc, program, message, sizeof message);
        return vmt_fail(err, VMT_E_UNSUPPORTED, "%s does not compile: %s", kernel->name, message);
    }
    size_t bytes = 0;
    if (nvrtc->get_cubin_size(program, &bytes) != 0 || bytes == 0 || bytes > CUBIN_BYTES_MAX) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "%s: the compiler made %zu bytes of code", kernel->name, bytes);
    }
    if (!vmt_buf_reserve(cubin, bytes)) {
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the code of %s", kernel->name);
    }
    if (nvrtc->get_cubin(program, cubin->ptr + cubin->len) != 0) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "%s: the compiler kept its code", kernel->name);
    }
    cubin->len += bytes;
    return VMT_OK;
}

static vmt_status compile(vmt_cuda_compiler *c, const vmt_kernel *kernel, const vmt_buf *text, vmt_buf *cubin,
                          vmt_err *err) {
    if (!c->has_nvrtc) VMT_TRY(vmt_nvrtc_api_load(&c->nvrtc, err));
    c->has_nvrtc = true;
    nvrtcProgram program;
    if (c->nvrtc.create_program(&program, text->ptr, kernel->file, 0, NULL, NULL) != 0) {
        return vmt_fail(err, VMT_E_UNSUPPORTED, "%s: the compiler does not take it", kernel->name);
    }
    vmt_status status = compile_text(&c->nvrtc, program, c->capability, kernel, cubin, err);
    c->nvrtc.destroy_program(&program);
    return status;
}

vmt_status vmt_cuda_compile(vmt_cuda_compiler *compiler, const vmt_kernel *kernel, vmt_buf *cubin, vmt_err *err) {
    vmt_buf text;
    vmt_buf_init(&text, CUBIN_BYTES_MAX);
    vmt_status status = make_text(&text, kernel, err);
    if (status == VMT_OK && !cache_read(compiler, &text, cubin)) {
        status = compile(compiler, kernel, &text, cubin, err);
        if (status == VMT_OK) cache_write(compiler, &text, cubin);
    }
    vmt_buf_free(&text);
    return status;
}
