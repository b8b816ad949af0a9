#include "backend/cuda/api.h"

#include <dlfcn.h>
#include <string.h>

struct symbol {
    const char *name;
    size_t offset; /* of the field */
    bool is_newer; /* NULL where it is missing */
};

static const struct symbol driver_symbols[] = {
#define SYMBOL(name, field, args) {#name, offsetof(vmt_cuda_api, field), false},
    VMT_CUDA_DRIVER_FUNCTIONS(SYMBOL)
#undef SYMBOL
#define SYMBOL(name, field, args) {#name, offsetof(vmt_cuda_api, field), true},
        VMT_CUDA_NEWER_FUNCTIONS(SYMBOL)
#undef SYMBOL
};
static const struct symbol nvrtc_symbols[] = {
#define SYMBOL(name, field, args) {#name, offsetof(vmt_nvrtc_api, field), false},
    VMT_NVRTC_FUNCTIONS(SYMBOL)
#undef SYMBOL
};
static const struct symbol cublaslt_symbols[] = {
#define SYMBOL(name, field, args) {#name, offsetof(vmt_cublaslt_api, field), false},
    VMT_CUBLASLT_FUNCTIONS(SYMBOL)
#undef SYMBOL
};
static const char *const driver_names[] = {"libcuda.so.1", NULL};
/* The loader's own path first, then where the toolkit installs itself. */
static const char *const nvrtc_names[] = {
    "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so", "/usr/local/cuda/lib64/libnvrtc.so", NULL,
};
static const char *const cublaslt_names[] = {
    "libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so", "/usr/local/cuda/lib64/libcublasLt.so", NULL,
};

static vmt_status load(void *api, const char *const *names, const struct symbol *symbols, size_t num_symbols,
                       vmt_err *err) {
    void *library = NULL;
    for (size_t i = 0; names[i] != NULL && library == NULL; i++) library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) return vmt_fail(err, VMT_E_UNSUPPORTED, "%s is not installed", names[0]);
    memcpy(api, &library, sizeof library);
    for (size_t i = 0; i < num_symbols; i++) {
        void *function = dlsym(library, symbols[i].name);
        if (function == NULL && !symbols[i].is_newer) {
            return vmt_fail(err, VMT_E_UNSUPPORTED, "%s has no function %s: it is too old", names[0],
                            symbols[i].name);
        }
        memcpy((char *)api + symbols[i].offset, &function, sizeof function);
    }
    return VMT_OK;
}

vmt_status vmt_cuda_api_load(vmt_cuda_api *out, vmt_err *err) {
    return load(out, driver_names, driver_symbols, VMT_COUNT(driver_symbols), err);
}

vmt_status vmt_nvrtc_api_load(vmt_nvrtc_api *out, vmt_err *err) {
    return load(out, nvrtc_names, nvrtc_symbols, VMT_COUNT(nvrtc_symbols), err);
}

vmt_status vmt_cublaslt_api_load(vmt_cublaslt_api *out, vmt_err *err) {
    return load(out, cublaslt_names, cublaslt_symbols, VMT_COUNT(cublaslt_symbols), err);
}
