/* ops/simd/row_kernels.h: the row functions of the elementwise ops, of RoPE and of writing the cache, one table per
 * instruction set. */
#ifndef VMT_OPS_SIMD_ROW_KERNELS_H
#define VMT_OPS_SIMD_ROW_KERNELS_H

#include "ops/elementwise.h"
#include "ops/rope.h"

typedef struct vmt_row_kernels {
    /* out may be x */
    void (*rmsnorm)(const float *x, const float *weight, float *out, uint32_t cols, float eps);
    void (*act_mul)(const float *gate, const float *up, float *out, uint32_t cols, vmt_activation act);
    /* angles: pairs cosines, then pairs sines */
    void (*rope_halves)(float *x, const float *angles, uint32_t pairs);
    void (*rope_interleaved)(float *x, const float *angles, uint32_t pairs);
    void (*scale)(float *x, uint32_t cols, float scale);
    void (*to_f16)(const float *x, uint16_t *out, uint32_t cols); /* as vmt_f32_to_f16() */
} vmt_row_kernels;

/* The one for this machine. */
const vmt_row_kernels *vmt_row_kernels_get(void);

extern const vmt_row_kernels vmt_row_kernels_scalar;
#if defined(__x86_64__)
extern const vmt_row_kernels vmt_row_kernels_avx2, vmt_row_kernels_avx512;
#elif defined(__aarch64__)
extern const vmt_row_kernels vmt_row_kernels_neon;
#endif

#endif
