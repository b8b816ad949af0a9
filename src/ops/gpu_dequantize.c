/* ops/gpu_dequantize.c: see the header. */
#include "ops/gpu_dequantize.h"
#include "kernels/dequantize_kargs.h"

static vmt_status check(const vmt_gpu_dequantize_args *a, vmt_err *err) {
    VMT_TRY(vmt_gpu_weight_check(&a->weight, a->out.dtype, err));
    char text[96];
    if ((a->out.dtype != VMT_F16 && a->out.dtype != VMT_BF16) || a->out.ndim != 2 || a->out.offset % 16 != 0 ||
        a->out.shape[1] != a->weight.cols || vmt_tensor_elems(&a->out) > INT32_MAX ||
        a->weight.data.dtype == a->out.dtype) {
        return vmt_fail(err, VMT_E_INVALID, "dequantize: %u columns of %s into %s", a->weight.cols,
                        vmt_dtype_get(a->weight.data.dtype)->name,
                        vmt_tensor_describe(&a->out, text, sizeof text));
    }
    if (a->first_row + a->out.shape[0] > a->weight.rows) {
        return vmt_fail(err, VMT_E_INVALID, "dequantize: rows %u to %llu of %u", a->first_row,
                        a->first_row + (unsigned long long)a->out.shape[0], a->weight.rows);
    }
    return VMT_OK;
}

vmt_status vmt_gpu_dequantize(vmt_gpu_program *program, const vmt_gpu_dequantize_args *a, vmt_err *err) {
    VMT_TRY(check(a, err));
    const vmt_gpu_weight *w = &a->weight;
    size_t row_bytes = 0;
    bool fits = vmt_dtype_row_bytes(w->data.dtype, w->data.shape[1], &row_bytes);
    VMT_ASSERT(fits && row_bytes <= UINT32_MAX);
    vmt_dequantize_kargs kargs = {
        .num_rows = (uint32_t)a->out.shape[0],
        .cols = w->cols,
        .row_bytes = (uint32_t)row_bytes,
        .group_shift = w->group_size ? (uint32_t)__builtin_ctz(w->group_size) : 0,
        .first_row = a->first_row,
    };
    uint32_t units = kargs.num_rows * ((w->cols + VMT_DEQUANTIZE_VALUES - 1) / VMT_DEQUANTIZE_VALUES);
    char name[64];
    vmt_gpu_op op = {
        .kernel = vmt_gpu_weight_kernel("dequantize", w, a->out.dtype, name, sizeof name),
        .buffers = {w->data, w->scales.buffer ? w->scales : w->data, w->biases.buffer ? w->biases : w->data,
                    a->out},
        .num_buffers = 4,
        .args = &kargs,
        .args_bytes = sizeof kargs,
        .grid = {(units + VMT_DEQUANTIZE_THREADS - 1) / VMT_DEQUANTIZE_THREADS, 1, 1},
        .bytes_read = vmt_matrix_bytes(w) / w->rows * kargs.num_rows,
    };
    return vmt_gpu_program_add(program, &op, err);
}
