/* engine/logit_row.h: passes over one row of logits, in blocks of 64, and selection among (logit, id) keys.
 *
 * Every pass reads the row once, in the widest vectors the processor has, and sums come out the same to the last bit on
 * all of them (logit_passes.h). */
#ifndef VMT_ENGINE_LOGIT_ROW_H
#define VMT_ENGINE_LOGIT_ROW_H

#include "base/status.h"
#include "engine/logit_passes.h"

#define VMT_ROW_BLOCKS(n) (((n) + VMT_ROW_BLOCK - 1) / VMT_ROW_BLOCK)

/* A logit and its id in one number: greater means a higher logit or, on ties, a lower id. */
typedef uint64_t vmt_logit_key;
vmt_logit_key vmt_logit_key_of(float logit, uint32_t id);
float vmt_logit_key_logit(vmt_logit_key key);
static inline uint32_t vmt_logit_key_id(vmt_logit_key key) {
    return ~(uint32_t)key;
}

/* The weight of a logit: exp((logit - max) * inv_temp), 0 below e^-87, for a NaN and for minus infinity. */
typedef struct vmt_row_weights {
    const float *row; /* [n] */
    uint32_t n;
    float max, inv_temp;
} vmt_row_weights;
float vmt_row_weight(const vmt_row_weights *w, float logit);

/* The maximum of each block, and of all; NaNs are passed over.  Minus infinity if there is nothing else. */
float vmt_row_block_max(const float *row, uint32_t n, float *block_max);
/* The lowest id whose logit is max, given the blocks' maxima. */
uint32_t vmt_row_first(const float *row, uint32_t n, const float *block_max, float max);
uint32_t vmt_row_count_greater(const float *row, uint32_t n, float logit);

/* Sums of weights of the logits whose key is at least cut: one per block, and the whole.  block_max lets it pass over
 * blocks that hold none. */
double vmt_row_sums(const vmt_row_weights *w, const float *block_max, vmt_logit_key cut, double *block_sums);
/* The first id, in order of ids, up to which the weights of keys >= cut reach target. */
uint32_t vmt_row_draw(const vmt_row_weights *w, vmt_logit_key cut, const double *block_sums, double target);

/* weights [VMT_ROW_BLOCKS(n) * 64] of all logits >= floor, 0 for the others and for what fills the last block. */
void vmt_row_weigh(const vmt_row_weights *w, float floor, float *weights);
/* sums[k]: the weights, as vmt_row_weigh left them, of logits >= bounds[k]. */
void vmt_row_sums_above(const vmt_row_weights *w, const float *weights, const float bounds[VMT_NUM_THRESHOLDS],
                        double sums[VMT_NUM_THRESHOLDS]);

/* Keys of all logits in [floor, ceiling], in order of ids.  Minus infinity is never among them. */
uint32_t vmt_row_collect(const float *row, uint32_t n, const float *block_max, float floor, float ceiling,
                         vmt_logit_key *keys);

/* Moves the k greatest keys to the front, in any order.  k <= n. */
void vmt_keys_select(vmt_logit_key *keys, uint32_t n, uint32_t k);
void vmt_keys_sort(vmt_logit_key *keys, uint32_t n); /* greatest first */
/* The least key of the shortest head, in descending order, whose weights reach target; the last key if none does.
 * Reorders keys.  n >= 1. */
vmt_logit_key vmt_keys_select_mass(const vmt_row_weights *w, vmt_logit_key *keys, uint32_t n, double target);

#endif
