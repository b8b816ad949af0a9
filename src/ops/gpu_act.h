/* ops/gpu_act.h: elementwise row ops of a GPU program that no other kernel's epilogue has taken in. */
#ifndef VMT_OPS_GPU_ACT_H
#define VMT_OPS_GPU_ACT_H

#include "backend/gpu_program.h"
#include "ops/elementwise.h"

/* out[t][i] = act(gate[t][i]) * up[t][i]; gate and up share rows of gate_up: gate first, up at column cols. */
typedef struct vmt_gpu_act_mul_args {
    vmt_tensor gate_up; /* F32, F16 or BF16 [rows, 2 * cols]; cols a multiple of 8 */
    vmt_tensor out;     /* the same type [rows, cols] */
    vmt_activation act;
    vmt_step_count count; /* FIXED: all of out's rows */
} vmt_gpu_act_mul_args;
vmt_status vmt_gpu_act_mul(vmt_gpu_program *program, const vmt_gpu_act_mul_args *args, vmt_err *err);

/* out[t][i] += scale * bias[i], for i below bias's elements. */
typedef struct vmt_gpu_add_bias_args {
    vmt_tensor bias; /* F32 [cols]; cols a multiple of 8 */
    vmt_tensor out;  /* F32, F16 or BF16 [rows, stride]; stride a multiple of 8, at least cols */
    float scale;
    vmt_step_count count; /* FIXED: all of out's rows */
} vmt_gpu_add_bias_args;
vmt_status vmt_gpu_add_bias(vmt_gpu_program *program, const vmt_gpu_add_bias_args *args, vmt_err *err);

/* out[i] = x[row_ids[i]], or x[i] where there are none: a copy. */
typedef struct vmt_gpu_gather_args {
    vmt_tensor x;         /* [rows, cols] of any type; a row's bytes a multiple of 16 */
    vmt_tensor row_ids;   /* I32 [out rows] or all zero: each below x's rows; the host checks that */
    vmt_tensor out;       /* the same type [out rows, cols] */
    vmt_step_count count; /* FIXED: all of out's rows */
} vmt_gpu_gather_args;
vmt_status vmt_gpu_gather(vmt_gpu_program *program, const vmt_gpu_gather_args *args, vmt_err *err);

#endif
