/* ops/simd/attention_kernel.h: attention of one group of query heads over part of one sequence.
 *
 * Keys are walked in tiles of VMT_ATTN_TILE, tiles in partitions of VMT_ATTN_PARTITION; both are aligned to absolute
 * positions.  Within a partition softmax runs online; partitions are folded into a total in ascending order.  A row's
 * operations depend on its own position and keys only, so it does not matter which rows stand in a job with it, nor
 * whether its partitions ran in one job or in several whose partials were folded later:
 *
 *     keys        0 ......... 511 | 512 ....... 1023 | 1024 .. position
 *     one job     online softmax  > online softmax   > online softmax  > out         (> : fold)
 *     three jobs  partial 0       , partial 1        , partial 2         then fold 0 > 1 > 2 > out */
#ifndef VMT_OPS_SIMD_ATTENTION_KERNEL_H
#define VMT_OPS_SIMD_ATTENTION_KERNEL_H

#include "ops/attention.h"

#define VMT_ATTN_TILE      64u
#define VMT_ATTN_PARTITION 512u
#define VMT_ATTN_ROWS_MAX  96u /* query rows of a job, unless one token has more heads per group */
#define VMT_ATTN_DIM_MAX   512u

typedef struct vmt_attn_job {
    const vmt_attention_args *args;
    const int32_t *blocks; /* the sequence's block table */
    uint32_t kv_head;
    uint32_t token_begin; /* first row of q and out */
    uint32_t num_tokens;
    uint32_t pos_begin;            /* position of the first token */
    uint32_t part_begin, part_end; /* partitions */
    float *partials;               /* NULL: write out.  Else [part][row] of partial_floats(), row = token, head */
    size_t part_stride;            /* floats from one partition's partials to the next one's */
    size_t token_stride;           /* floats from one token's partials to the next one's */
} vmt_attn_job;

/* A row's partial: maximum and padding [16], sums by lane [16], output [dim, padded]. */
static inline uint32_t vmt_attn_dim_padded(uint32_t dim) {
    return (dim + 15) & ~15u;
}
static inline uint32_t vmt_attn_partial_floats(uint32_t dim) {
    return 32 + vmt_attn_dim_padded(dim);
}

typedef struct vmt_attn_kernels {
    /* work: vmt_attn_work_bytes(), 64-byte aligned */
    void (*run)(const vmt_attn_job *job, void *work);
    /* Folds num_parts partials of one row, part_stride floats apart, and writes dim floats. */
    void (*fold)(float *partials, size_t part_stride, uint32_t num_parts, uint32_t dim, float *out);
} vmt_attn_kernels;

size_t vmt_attn_work_bytes(const vmt_kv_layout *layout, uint32_t rows);
const vmt_attn_kernels *vmt_attn_kernels_get(void);

extern const vmt_attn_kernels vmt_attn_kernels_scalar;
#if defined(__x86_64__)
extern const vmt_attn_kernels vmt_attn_kernels_avx2, vmt_attn_kernels_avx512;
#elif defined(__aarch64__)
extern const vmt_attn_kernels vmt_attn_kernels_neon;
#endif

#endif
