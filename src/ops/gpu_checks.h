/* ops/gpu_checks.h: are the kernels right on this device?  Small problems with known content, each against a scalar
 * reference in double precision: every weight format in every regime of matmul and made plain, products of a library,
 * embeddings, norms, activations, biases, RoPE with its KV write, attention that decodes and that prefills with heads
 * of every size, sampling; and a probe of where lanes hold the elements of a fragment (kernels/frag.h), which Apple
 * does not document.
 *
 * A kernel that does not compile or misses its tolerance is distrusted from then on (backend/gpu.h): ops take another
 * way where there is one.  The thread that drives the device; one buffer is taken and given back. */
#ifndef VMT_OPS_GPU_CHECKS_H
#define VMT_OPS_GPU_CHECKS_H

#include "backend/gpu.h"
#include "tensor/matrix.h"

/* Which checks: those that a model needs.  All zero but type, which is VMT_NUM_DTYPES: all there are. */
typedef struct vmt_gpu_check_selection {
    vmt_dtype type;            /* of activations; VMT_NUM_DTYPES: each */
    const vmt_matrix *weights; /* [num_weights] the formats of these; NULL: each */
    uint32_t num_weights;
    uint32_t head_dim; /* 0: each */
} vmt_gpu_check_selection;

typedef struct vmt_gpu_check_result {
    const char *name;        /* "matmul_tiled q4_k f16" */
    double worst, tolerance; /* the greatest |got - want| / (1 + |want|); NaN counts as infinite */
    const char *failure;     /* why it could not run: "kernel ... does not compile: ..."; NULL: it ran */
    bool is_right;
    const char *kernel;   /* the one that is distrusted for it; NULL if it is right */
    const char *fallback; /* what takes its place; NULL: nothing does */
} vmt_gpu_check_result;

typedef struct vmt_gpu_check_counts {
    uint32_t num_checks, num_wrong, num_stuck; /* wrong ones without anything in their place */
    uint32_t num_kernels_run;                  /* different ones */
} vmt_gpu_check_counts;

/* report (may be NULL) is called after each check; result is valid during the call.  Fails only if the device does:
 * no memory, or a command buffer that ends badly or never. */
vmt_status vmt_gpu_checks_run(vmt_gpu *gpu, const vmt_gpu_check_selection *selection,
                              void (*report)(void *ctx, const vmt_gpu_check_result *result), void *ctx,
                              vmt_gpu_check_counts *out, vmt_err *err);

/* Compiles every kernel of the table.  report is called for those that do not: name and reason. */
vmt_status vmt_gpu_checks_compile(vmt_gpu *gpu, void (*report)(void *ctx, const char *kernel, const char *reason),
                                  void *ctx, uint32_t *num_failed, vmt_err *err);

#endif
