/* ops/gpu_norm.c: see the header. */
#include "ops/gpu_norm.h"
#include "kernels/norm_kargs.h"
#include "ops/gpu_type.h"

#include <stdio.h>

#define WIDE_COLS 4096u /* past it a row of 256 threads no longer fits their registers */

vmt_status vmt_gpu_norm_check(const vmt_gpu_norm_args *a, vmt_err *err) {
    uint64_t cols = a->out.shape[1];
    bool has_bias = a->bias.buffer != NULL;
    if (a->x.ndim != 2 || a->out.ndim != 2 || a->x.dtype != VMT_F32 || vmt_gpu_type_name(a->out.dtype) == NULL) {
        return vmt_fail(err, VMT_E_INVALID, "norm: x is F32 [rows, cols], out F32, F16 or BF16 [rows, cols]");
    }
    if (a->x.shape[1] != cols || cols == 0 || cols % 4 != 0 || cols > UINT32_MAX) {
        return vmt_fail(err, VMT_E_INVALID,
                        "norm: x has %llu columns, out %llu; they must be equal and a multiple of 4",
                        (unsigned long long)a->x.shape[1], (unsigned long long)cols);
    }
    if (a->weight.dtype != VMT_F32 || vmt_tensor_elems(&a->weight) != cols) {
        return vmt_fail(err, VMT_E_INVALID, "norm: the weight has %llu elements, the row %llu",
                        (unsigned long long)vmt_tensor_elems(&a->weight), (unsigned long long)cols);
    }
    if (has_bias &&
        (a->kind != VMT_GPU_NORM_LAYER || a->bias.dtype != VMT_F32 || vmt_tensor_elems(&a->bias) != cols)) {
        return vmt_fail(err, VMT_E_INVALID, "norm: the bias has %llu elements, the row %llu; an RMS norm has none",
                        (unsigned long long)vmt_tensor_elems(&a->bias), (unsigned long long)cols);
    }
    if (a->row_ids.buffer != NULL ? a->row_ids.dtype != VMT_I32 || vmt_tensor_elems(&a->row_ids) < a->out.shape[0]
                                  : a->x.shape[0] < a->out.shape[0]) {
        return vmt_fail(err, VMT_E_INVALID, "norm: out has %llu rows, more than there are to read",
                        (unsigned long long)a->out.shape[0]);
    }
    return VMT_OK;
}

vmt_status vmt_gpu_norm(vmt_gpu_program *program, const vmt_gpu_norm_args *a, vmt_err *err) {
    VMT_TRY(vmt_gpu_norm_check(a, err));
    uint32_t rows = (uint32_t)a->out.shape[0], cols = (uint32_t)a->out.shape[1];
    bool has_ids = a->row_ids.buffer != NULL, has_bias = a->bias.buffer != NULL;
    char name[32];
    snprintf(name, sizeof name, "%s_norm%s_%s", a->kind == VMT_GPU_NORM_RMS ? "rms" : "layer",
             cols > WIDE_COLS ? "_wide" : "", vmt_gpu_type_name(a->out.dtype));
    vmt_norm_kargs kargs = {rows, cols, has_ids, has_bias, a->eps};
    vmt_gpu_op op = {
        .kernel = name,
        .buffers = {a->x, has_ids ? a->row_ids : a->x, a->weight, has_bias ? a->bias : a->weight, a->out},
        .num_buffers = 5,
        .args = &kargs,
        .args_bytes = sizeof kargs,
        .grid = {rows, 1, 1},
        .count = a->count,
        .axis = 0,
        .per_group = 1,
    };
    return vmt_gpu_program_add(program, &op, err);
}
