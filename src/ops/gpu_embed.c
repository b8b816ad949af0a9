/* ops/gpu_embed.c: see the header. */
#include "ops/gpu_embed.h"
#include "kernels/embed_gather_kargs.h"

#include <stdio.h>

#define GROUP_COLS 2048u /* that a threadgroup takes */

static vmt_status check(const vmt_gpu_embed_args *args, vmt_err *err) {
    VMT_TRY(vmt_gpu_weight_check(&args->weight, args->type, err));
    char text[96];
    if (args->token_ids.buffer == NULL || args->token_ids.dtype != VMT_I32) {
        return vmt_fail(err, VMT_E_INVALID, "embed: token ids must be I32");
    }
    if (args->out.buffer == NULL || args->out.dtype != VMT_F32 || args->out.ndim != 2 ||
        args->out.shape[1] != args->weight.cols || args->rows_max == 0) {
        return vmt_fail(err, VMT_E_INVALID, "embed: %u rows of %u columns into %s", args->rows_max,
                        args->weight.cols, vmt_tensor_describe(&args->out, text, sizeof text));
    }
    return VMT_OK;
}

vmt_status vmt_gpu_embed(vmt_gpu_program *program, const vmt_gpu_embed_args *args, vmt_err *err) {
    VMT_TRY(check(args, err));
    const vmt_gpu_weight *w = &args->weight;
    size_t row_bytes = 0;
    bool fits = vmt_dtype_row_bytes(w->data.dtype, w->data.shape[1], &row_bytes);
    VMT_ASSERT(fits && row_bytes <= UINT32_MAX);
    vmt_embed_gather_kargs kargs = {
        .num_rows = args->rows_max,
        .cols = w->cols,
        .row_bytes = (uint32_t)row_bytes,
        .group_shift = w->group_size ? (uint32_t)__builtin_ctz(w->group_size) : 0,
        .num_ids = w->rows,
        .scale = args->scale,
    };
    char name[64];
    vmt_gpu_op op = {
        .kernel = vmt_gpu_weight_kernel("embed_gather", w, args->type, name, sizeof name),
        .buffers = {w->data, w->scales.buffer ? w->scales : w->data, w->biases.buffer ? w->biases : w->data,
                    args->token_ids, args->out},
        .num_buffers = 5,
        .args = &kargs,
        .args_bytes = sizeof kargs,
        .grid = {args->rows_max, (w->cols + GROUP_COLS - 1) / GROUP_COLS, 1},
        .count = args->count,
        .axis = 0,
        .per_group = 1,
        .bytes_read = (uint64_t)args->rows_max * row_bytes,
    };
    return vmt_gpu_program_add(program, &op, err);
}
