/* metal/chips.h: what Apple's chips can do, and what a step on one of them would cost.
 *
 * Published and reported figures, none of them measured by us: memory bandwidth and sizes are Apple's specifications,
 * core counts those of the largest part; the costs of a dispatch, a barrier and a command buffer, and the share of the
 * bandwidth that a matrix-vector product reaches, come from public measurements of other engines. */
#ifndef VMT_BACKEND_METAL_CHIPS_H
#define VMT_BACKEND_METAL_CHIPS_H

#include "base/str.h"

typedef struct vmt_chip {
    const char *name;    /* "M4-Max" */
    uint32_t num_cores;  /* GPU cores of the largest part */
    uint32_t gb_per_s;   /* memory bandwidth, 10^9 bytes */
    double tflops;       /* of the shader cores, float32 and float16 alike */
    uint32_t memory_gib; /* most that is sold */
    uint32_t generation; /* 13 is M1 */
} vmt_chip;

/* By name, case and '-' or ' ' aside; NULL when there is none. */
const vmt_chip *vmt_chip_find(vmt_str name);
/* "M1, M1-Pro, ..." into out, cut to cap. */
const char *vmt_chip_list(char *out, size_t cap);

/* What one step does. */
typedef struct vmt_step_cost {
    uint64_t bytes; /* read: weights, KV cache */
    uint64_t flops; /* of matrix products over many rows; 0 for decode */
    uint32_t num_dispatches, num_barriers;
} vmt_step_cost;

typedef struct vmt_step_prediction {
    double ceiling_ns; /* the bytes at the full bandwidth, or the flops at the full rate, if that is longer */
    double memory_ns;  /* the bytes at the share of the bandwidth that kernels reach */
    double compute_ns; /* the flops at the share of the rate that kernels reach */
    double gaps_ns;    /* between dependent dispatches, and of the command buffer */
    double total_ns;   /* the longer of memory and compute, and the gaps */
} vmt_step_prediction;

vmt_step_prediction vmt_chip_predict(const vmt_chip *chip, const vmt_step_cost *cost);

#endif
