/* ops/elementwise.c: see the header.  A launch's item is a row. */
#include "ops/elementwise.h"
#include "ops/simd/row_kernels.h"
#include <math.h>

static float *row_of(const vmt_tensor *t, uint32_t row, uint32_t cols) {
    return (float *)vmt_tensor_data(t) + (size_t)row * cols;
}

static void check_rows(const vmt_tensor *t, uint64_t rows, uint64_t cols) {
    VMT_ASSERT(t->dtype == VMT_F32 && t->offset + rows * cols * sizeof(float) <= t->buffer->bytes);
}

static vmt_status run_rows(vmt_backend *be, const char *name, const void *args, size_t args_bytes, vmt_cpu_fn fn,
                           uint32_t num_rows) {
    if (num_rows == 0) return VMT_OK;
    vmt_launch launch = {
        .name = name,
        .args = args,
        .args_bytes = (uint32_t)args_bytes,
        .cpu_fn = fn,
        .cpu_items = num_rows,
    };
    return vmt_launch_run(be, &launch);
}

static void embed_rows(const vmt_cpu_task *task) {
    const vmt_embed_args *a = task->args;
    const vmt_weight *w = a->weight;
    const vmt_row_kernels *kernels = vmt_row_kernels_get();
    for (uint32_t t = task->begin; t < task->end; t++) {
        float *out = row_of(&a->out, t, w->cols);
        uint32_t id = (uint32_t)a->ids[t];
        if (w->packed.bytes == 0) {
            vmt_matrix_row(&w->src, id, out);
        } else {
            vmt_weight_row(w, id, out);
        }
        if (a->scale != 1.0f) kernels->scale(out, w->cols, a->scale);
    }
}

vmt_status vmt_embed(vmt_backend *be, const vmt_embed_args *args) {
    check_rows(&args->out, args->num_tokens, args->weight->cols);
    return run_rows(be, "embed", args, sizeof *args, embed_rows, args->num_tokens);
}

static void rmsnorm_rows(const vmt_cpu_task *task) {
    const vmt_rmsnorm_args *a = task->args;
    const vmt_row_kernels *kernels = vmt_row_kernels_get();
    for (uint32_t r = task->begin; r < task->end; r++) {
        kernels->rmsnorm(row_of(&a->x, r, a->cols), a->weight, row_of(&a->out, r, a->cols), a->cols, a->eps);
    }
}

vmt_status vmt_rmsnorm(vmt_backend *be, const vmt_rmsnorm_args *args) {
    check_rows(&args->x, args->num_rows, args->cols);
    check_rows(&args->out, args->num_rows, args->cols);
    return run_rows(be, "rmsnorm", args, sizeof *args, rmsnorm_rows, args->num_rows);
}

void vmt_rmsnorm_ref(const vmt_rmsnorm_args *args) {
    for (uint32_t r = 0; r < args->num_rows; r++) {
        const float *x = row_of(&args->x, r, args->cols);
        float *out = row_of(&args->out, r, args->cols);
        double sum = 0;
        for (uint32_t i = 0; i < args->cols; i++) sum += (double)x[i] * (double)x[i];
        double inv = 1.0 / sqrt(sum / args->cols + (double)args->eps);
        for (uint32_t i = 0; i < args->cols; i++) out[i] = (float)((double)x[i] * inv * (double)args->weight[i]);
    }
}

static void gather_rows(const vmt_cpu_task *task) {
    const vmt_gather_rows_args *a = task->args;
    for (uint32_t i = task->begin; i < task->end; i++) {
        memcpy(row_of(&a->out, i, a->cols), row_of(&a->x, a->row_ids[i], a->cols), a->cols * sizeof(float));
    }
}

vmt_status vmt_gather_rows(vmt_backend *be, const vmt_gather_rows_args *args) {
    check_rows(&args->out, args->num_rows, args->cols);
    return run_rows(be, "gather_rows", args, sizeof *args, gather_rows, args->num_rows);
}

static void act_mul_rows(const vmt_cpu_task *task) {
    const vmt_act_mul_args *a = task->args;
    const vmt_row_kernels *kernels = vmt_row_kernels_get();
    for (uint32_t r = task->begin; r < task->end; r++) {
        const float *gate = row_of(&a->gate_up, r, 2 * a->cols);
        kernels->act_mul(gate, gate + a->cols, row_of(&a->out, r, a->cols), a->cols, a->act);
    }
}

vmt_status vmt_act_mul(vmt_backend *be, const vmt_act_mul_args *args) {
    check_rows(&args->gate_up, args->num_rows, 2 * (uint64_t)args->cols);
    check_rows(&args->out, args->num_rows, args->cols);
    return run_rows(be, "act_mul", args, sizeof *args, act_mul_rows, args->num_rows);
}

static double activate(double x, vmt_activation act) {
    switch (act) {
    case VMT_ACT_SILU: return x / (1.0 + exp(-x));
    case VMT_ACT_GELU_TANH: return 0.5 * x * (1.0 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case VMT_ACT_GELU: return 0.5 * x * (1.0 + erf(x * 0.70710678118654752440));
    }
    return 0;
}

void vmt_act_mul_ref(const vmt_act_mul_args *args) {
    for (uint32_t r = 0; r < args->num_rows; r++) {
        const float *gate = row_of(&args->gate_up, r, 2 * args->cols);
        float *out = row_of(&args->out, r, args->cols);
        for (uint32_t i = 0; i < args->cols; i++) {
            out[i] = (float)(activate((double)gate[i], args->act) * (double)gate[args->cols + i]);
        }
    }
}
