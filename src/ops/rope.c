/* ops/rope.c: see the header.  A launch's item is a token. */
#include "ops/rope.h"
#include "ops/simd/row_kernels.h"
#include <math.h>

static void angles_of_tokens(const vmt_cpu_task *task) {
    const vmt_rope_angles_args *a = task->args;
    uint32_t pairs = a->rotary_dim / 2;
    for (uint32_t t = task->begin; t < task->end; t++) {
        float *row = (float *)vmt_tensor_data(&a->out) + (size_t)t * a->rotary_dim;
        for (uint32_t i = 0; i < pairs; i++) {
            double angle = (double)a->positions[t] * (double)a->inv_freq[i];
            row[i] = (float)(cos(angle) * (double)a->attention_factor);
            row[pairs + i] = (float)(sin(angle) * (double)a->attention_factor);
        }
    }
}

vmt_status vmt_rope_angles(vmt_backend *be, const vmt_rope_angles_args *args) {
    VMT_ASSERT(args->rotary_dim % 2 == 0);
    if (args->num_tokens == 0) return VMT_OK;
    vmt_launch launch = {
        .name = "rope_angles",
        .args = args,
        .args_bytes = sizeof *args,
        .cpu_fn = angles_of_tokens,
        .cpu_items = args->num_tokens,
    };
    return vmt_launch_run(be, &launch);
}

static const float *angles_at(const vmt_rope_args *a, uint32_t token) {
    return a->rotary_dim ? (const float *)vmt_tensor_data(&a->angles) + (size_t)token * a->rotary_dim : NULL;
}

static void rope_tokens(const vmt_cpu_task *task) {
    const vmt_rope_args *a = task->args;
    const vmt_row_kernels *kernels = vmt_row_kernels_get();
    uint32_t pairs = a->rotary_dim / 2;
    for (uint32_t t = task->begin; t < task->end; t++) {
        float *head = (float *)vmt_tensor_data(&a->x) + (size_t)t * a->stride;
        const float *angles = angles_at(a, t);
        for (uint32_t h = 0; h < a->num_heads; h++, head += a->head_dim) {
            const float *weight = a->norm_weight[h >= a->num_norm_first];
            if (weight != NULL) kernels->rmsnorm(head, weight, head, a->head_dim, a->norm_eps);
            if (pairs == 0) continue;
            if (a->pairing == VMT_ROPE_HALVES)
                kernels->rope_halves(head, angles, pairs);
            else
                kernels->rope_interleaved(head, angles, pairs);
        }
    }
}

vmt_status vmt_rope(vmt_backend *be, const vmt_rope_args *args) {
    VMT_ASSERT(args->rotary_dim <= args->head_dim && args->rotary_dim % 2 == 0);
    VMT_ASSERT((uint64_t)args->num_heads * args->head_dim <= args->stride);
    if (args->num_tokens == 0) return VMT_OK;
    vmt_launch launch = {
        .name = "rope",
        .args = args,
        .args_bytes = sizeof *args,
        .cpu_fn = rope_tokens,
        .cpu_items = args->num_tokens,
    };
    return vmt_launch_run(be, &launch);
}

static void norm_ref(float *x, const float *weight, uint32_t n, float eps) {
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    double inv = 1.0 / sqrt(sum / n + (double)eps);
    for (uint32_t i = 0; i < n; i++) x[i] = (float)((double)x[i] * inv * (double)weight[i]);
}

void vmt_rope_ref(const vmt_rope_args *args) {
    uint32_t pairs = args->rotary_dim / 2;
    bool halves = args->pairing == VMT_ROPE_HALVES;
    for (uint32_t t = 0; t < args->num_tokens; t++) {
        const float *angles = angles_at(args, t);
        for (uint32_t h = 0; h < args->num_heads; h++) {
            float *x = (float *)vmt_tensor_data(&args->x) + (size_t)t * args->stride + h * args->head_dim;
            const float *weight = args->norm_weight[h >= args->num_norm_first];
            if (weight != NULL) norm_ref(x, weight, args->head_dim, args->norm_eps);
            for (uint32_t i = 0; i < pairs; i++) {
                float *a = x + (halves ? i : 2 * i), *b = x + (halves ? i + pairs : 2 * i + 1);
                double c = (double)angles[i], s = (double)angles[pairs + i], va = (double)*a, vb = (double)*b;
                *a = (float)(va * c - vb * s);
                *b = (float)(vb * c + va * s);
            }
        }
    }
}
