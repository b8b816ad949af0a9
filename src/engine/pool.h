/* engine/pool.h: one vector from the rows of a prompt, as they come step by step.
 *
 *   positions   [ taken | first, first + num_rows: of this step | still to come ]
 *               0         num_taken
 *
 * A preempted prompt runs again from its beginning: rows that were taken are not asked for a second time.  Engine
 * thread; memory is taken in init(). */
#ifndef VMT_ENGINE_POOL_H
#define VMT_ENGINE_POOL_H

#include "engine/engine.h"

typedef struct vmt_pool {
    vmt_pool_kind kind;
    uint32_t width;     /* of a row, and of the vector */
    uint32_t num_taken; /* rows, of MEAN and CLS */
    double *sums;       /* [width] of MEAN; else NULL */
    float *vector;      /* [width] */
} vmt_pool;

/* kind is not NONE.  false: the arena is full. */
VMT_MUST_USE bool vmt_pool_init(vmt_pool *pool, vmt_pool_kind kind, uint32_t width, vmt_arena *arena);
/* MEAN and CLS need rows that a cached prefix would leave out. */
static inline bool vmt_pool_needs_every_row(const vmt_pool *pool) {
    return pool->kind == VMT_POOL_MEAN || pool->kind == VMT_POOL_CLS;
}
/* Of positions [begin, end): from *first on, how many rows to take?  The prompt has num_prompt tokens. */
uint32_t vmt_pool_rows(const vmt_pool *pool, uint32_t begin, uint32_t end, uint32_t num_prompt, uint32_t *first);
/* The rows asked for, [num_rows, width], in order of position. */
void vmt_pool_take(vmt_pool *pool, const float *rows, uint32_t num_rows);
/* After the last row. */
void vmt_pool_finish(vmt_pool *pool);

#endif
