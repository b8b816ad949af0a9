/* engine/logit_passes.h: the inner loops of logit_row.c, once per instruction set.
 *
 * logit_passes.inc holds their text, in vectors of LANES floats; logit_passes_base.c, _avx2.c and _avx512.c compile it
 * with 4, 8 and 16 lanes.  Sums always run in 16 lanes and meet in the same order, and nothing is contracted to a fused
 * multiply-add: every variant gives the same bits. */
#ifndef VMT_ENGINE_LOGIT_PASSES_H
#define VMT_ENGINE_LOGIT_PASSES_H

#include <stdbool.h>
#include <stdint.h>

#define VMT_ROW_BLOCK      64u
#define VMT_NUM_THRESHOLDS 4u

typedef struct vmt_logit_passes {
    /* Of each of num_blocks blocks of 64: the greatest, NaNs passed over; minus infinity if there is nothing else. */
    void (*block_max)(const float *p, uint32_t num_blocks, float *block_max);
    /* The weights exp((x - max) * inv_temp) of logits >= floor, 0 for others, and their sum per block.  Either of
     * weights [num_blocks * 64] and block_sums [num_blocks] may be NULL. */
    void (*weigh)(const float *p, uint32_t num_blocks, float max, float inv_temp, float floor, float *weights,
                  double *block_sums);
    uint32_t (*count_greater)(const float *p, uint32_t num_blocks, float bound);
    bool (*has_between)(const float *p, float floor,
                        float ceiling); /* one block has a logit in [floor, ceiling] */
    /* sums[k] += the weights [n] of logits >= bounds[k]; n is a multiple of 64. */
    void (*sums_above)(const float *logits, const float *weights, uint32_t n, const float *bounds, double *sums);
} vmt_logit_passes;

extern const vmt_logit_passes vmt_logit_passes_base;
#if defined(__x86_64__)
extern const vmt_logit_passes vmt_logit_passes_avx2, vmt_logit_passes_avx512;
#endif

#endif
