/* ops/gpu_check_rig.h: what one check of gpu_checks.h works with: tensors in a shared buffer, a program, a verdict. */
#ifndef VMT_OPS_GPU_CHECK_RIG_H
#define VMT_OPS_GPU_CHECK_RIG_H

#include "backend/gpu_program.h"
#include "base/arena.h"
#include "ops/gpu_checks.h"

typedef struct vmt_gpu_check_rig {
    vmt_gpu *gpu;
    const vmt_gpu_check_selection *selection;
    vmt_gpu_program *program;
    vmt_buffer memory; /* tensors lie in it, one behind the other */
    size_t used;
    vmt_arena *arena; /* references */
    uint64_t rng;
    char name[64];
    double worst, tolerance;
    uint8_t *has_run; /* [vmt_kernel_count()] */
    const vmt_kernel *kernels[16];
    uint32_t num_kernels; /* of the last run */
} vmt_gpu_check_rig;

/* A kind of check in a number of variants.  run() begins with vmt_gpu_check_name() and returns VMT_OK with
 * *is_wanted false for a variant that is not selected. */
typedef struct vmt_gpu_check_kind {
    uint32_t num_variants;
    vmt_status (*run)(vmt_gpu_check_rig *rig, uint32_t variant, bool *is_wanted, vmt_err *err);
} vmt_gpu_check_kind;

extern const vmt_gpu_check_kind vmt_gpu_check_frag, vmt_gpu_check_matmul, vmt_gpu_check_fused, vmt_gpu_check_embed,
    vmt_gpu_check_dequantize, vmt_gpu_check_library, vmt_gpu_check_norm, vmt_gpu_check_act, vmt_gpu_check_bias,
    vmt_gpu_check_gather, vmt_gpu_check_rope, vmt_gpu_check_angles, vmt_gpu_check_attention, vmt_gpu_check_sample,
    vmt_gpu_check_tokens, vmt_gpu_check_upload;

void vmt_gpu_check_name(vmt_gpu_check_rig *rig, const char *fmt, ...) VMT_PRINTF(2, 3);
/* Activations of this type are selected. */
bool vmt_gpu_check_wants_type(const vmt_gpu_check_rig *rig, vmt_dtype type);

/* [rows, cols] of zeros, or of numbers in [low, high). */
vmt_tensor vmt_gpu_check_zeros(vmt_gpu_check_rig *rig, vmt_dtype dtype, uint64_t rows, uint64_t cols);
vmt_tensor vmt_gpu_check_random(vmt_gpu_check_rig *rig, vmt_dtype dtype, uint64_t rows, uint64_t cols, double low,
                                double high);

/* Replays the program once and waits.  counts [VMT_NUM_STEP_COUNTS]. */
vmt_status vmt_gpu_check_replay(vmt_gpu_check_rig *rig, const uint32_t *counts, vmt_err *err);
/* Sets the tolerance to what a result of that type is held to. */
void vmt_gpu_check_tolerate(vmt_gpu_check_rig *rig, vmt_dtype type);
void vmt_gpu_check_compare(vmt_gpu_check_rig *rig, double got, double want);

#endif
