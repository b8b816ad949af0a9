/* ops/gpu_act.c: see the header. */
#include "ops/gpu_act.h"
#include "kernels/act_kargs.h"
#include "kernels/add_bias_kargs.h"
#include "kernels/gather_kargs.h"
#include "ops/gpu_type.h"

#include <stdio.h>

#define ACT_COLS    2048u /* of a threadgroup */
#define GATHER_VECS 1024u

vmt_status vmt_gpu_act_mul(vmt_gpu_program *program, const vmt_gpu_act_mul_args *a, vmt_err *err) {
    uint64_t rows = a->out.shape[0], cols = a->out.shape[1];
    if (a->out.ndim != 2 || a->gate_up.ndim != 2 || vmt_gpu_type_name(a->out.dtype) == NULL ||
        a->gate_up.dtype != a->out.dtype) {
        return vmt_fail(err, VMT_E_INVALID,
                        "act_mul: gate_up and out are matrices of F32, F16 or BF16, the same for both");
    }
    if (a->gate_up.shape[1] != 2 * cols || a->gate_up.shape[0] < rows || cols == 0 || cols % 8 != 0 ||
        cols > UINT32_MAX / 2) {
        return vmt_fail(err, VMT_E_INVALID,
                        "act_mul: out is [%llu, %llu], gate_up [%llu, %llu]; cols a multiple of 8",
                        (unsigned long long)rows, (unsigned long long)cols,
                        (unsigned long long)a->gate_up.shape[0], (unsigned long long)a->gate_up.shape[1]);
    }
    char name[16];
    snprintf(name, sizeof name, "act_mul_%s", vmt_gpu_type_name(a->out.dtype));
    vmt_act_kargs kargs = {(uint32_t)rows, (uint32_t)cols, (uint32_t)a->act};
    vmt_gpu_op op = {
        .kernel = name,
        .buffers = {a->gate_up, a->out},
        .num_buffers = 2,
        .args = &kargs,
        .args_bytes = sizeof kargs,
        .grid = {(uint32_t)rows, ((uint32_t)cols + ACT_COLS - 1) / ACT_COLS, 1},
        .count = a->count,
        .axis = 0,
        .per_group = 1,
    };
    return vmt_gpu_program_add(program, &op, err);
}

vmt_status vmt_gpu_add_bias(vmt_gpu_program *program, const vmt_gpu_add_bias_args *a, vmt_err *err) {
    uint64_t rows = a->out.shape[0], stride = a->out.shape[1], cols = vmt_tensor_elems(&a->bias);
    if (a->out.ndim != 2 || a->bias.dtype != VMT_F32 || vmt_gpu_type_name(a->out.dtype) == NULL) {
        return vmt_fail(err, VMT_E_INVALID, "add_bias: the bias is F32, out a matrix of F32, F16 or BF16");
    }
    if (cols == 0 || cols > stride || cols % 8 != 0 || stride % 8 != 0 || stride > UINT32_MAX ||
        a->out.offset % 16 != 0 || a->bias.offset % 16 != 0) {
        return vmt_fail(err, VMT_E_INVALID,
                        "add_bias: %llu elements to rows of %llu; both multiples of 8, and on 16 bytes",
                        (unsigned long long)cols, (unsigned long long)stride);
    }
    char name[16];
    snprintf(name, sizeof name, "add_bias_%s", vmt_gpu_type_name(a->out.dtype));
    vmt_add_bias_kargs kargs = {(uint32_t)rows, (uint32_t)cols, (uint32_t)stride, a->scale};
    vmt_gpu_op op = {
        .kernel = name,
        .buffers = {a->bias, a->out},
        .num_buffers = 2,
        .args = &kargs,
        .args_bytes = sizeof kargs,
        .grid = {(uint32_t)rows, ((uint32_t)cols + ACT_COLS - 1) / ACT_COLS, 1},
        .count = a->count,
        .axis = 0,
        .per_group = 1,
    };
    return vmt_gpu_program_add(program, &op, err);
}

vmt_status vmt_gpu_gather(vmt_gpu_program *program, const vmt_gpu_gather_args *a, vmt_err *err) {
    bool has_ids = a->row_ids.buffer != NULL;
    size_t row_bytes;
    if (a->x.ndim != 2 || a->out.ndim != 2 || a->x.dtype != a->out.dtype || a->x.shape[1] != a->out.shape[1]) {
        return vmt_fail(err, VMT_E_INVALID, "gather: x and out are matrices of one type and width");
    }
    if (!vmt_dtype_row_bytes(a->x.dtype, a->x.shape[1], &row_bytes) || row_bytes == 0 || row_bytes % 16 != 0 ||
        row_bytes / 16 > UINT32_MAX) {
        return vmt_fail(err, VMT_E_INVALID,
                        "gather: rows of %llu elements of %s are not whole vectors of 16 bytes",
                        (unsigned long long)a->x.shape[1], vmt_dtype_get(a->x.dtype)->name);
    }
    if (has_ids ? a->row_ids.dtype != VMT_I32 || vmt_tensor_elems(&a->row_ids) < a->out.shape[0]
                : a->x.shape[0] < a->out.shape[0]) {
        return vmt_fail(err, VMT_E_INVALID, "gather: out has %llu rows, more than there are to read",
                        (unsigned long long)a->out.shape[0]);
    }
    uint32_t rows = (uint32_t)a->out.shape[0], vecs = (uint32_t)(row_bytes / 16);
    vmt_gather_kargs kargs = {rows, vecs, has_ids};
    vmt_gpu_op op = {
        .kernel = "gather_rows",
        .buffers = {a->x, has_ids ? a->row_ids : a->x, a->out},
        .num_buffers = 3,
        .args = &kargs,
        .args_bytes = sizeof kargs,
        .grid = {rows, (vecs + GATHER_VECS - 1) / GATHER_VECS, 1},
        .count = a->count,
        .axis = 0,
        .per_group = 1,
    };
    return vmt_gpu_program_add(program, &op, err);
}
