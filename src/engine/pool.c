#include "engine/pool.h"

bool vmt_pool_init(vmt_pool *pool, vmt_pool_kind kind, uint32_t width, vmt_arena *arena) {
    VMT_ASSERT(kind != VMT_POOL_NONE);
    *pool = (vmt_pool){.kind = kind, .width = width, .vector = VMT_ARENA_NEW(arena, float, width)};
    if (kind == VMT_POOL_MEAN) pool->sums = VMT_ARENA_NEW(arena, double, width);
    return pool->vector && (pool->sums || kind != VMT_POOL_MEAN);
}

uint32_t vmt_pool_rows(const vmt_pool *pool, uint32_t begin, uint32_t end, uint32_t num_prompt, uint32_t *first) {
    switch (pool->kind) {
    case VMT_POOL_NONE: break;
    case VMT_POOL_LAST: *first = num_prompt - 1; return end == num_prompt;
    case VMT_POOL_CLS: *first = 0; return begin == 0 && pool->num_taken == 0;
    case VMT_POOL_MEAN: *first = VMT_MAX(begin, pool->num_taken); return end > *first ? end - *first : 0;
    }
    return 0;
}

void vmt_pool_take(vmt_pool *pool, const float *rows, uint32_t num_rows) {
    pool->num_taken += num_rows;
    if (pool->kind != VMT_POOL_MEAN) {
        if (num_rows > 0) memcpy(pool->vector, rows, pool->width * sizeof *rows);
        return;
    }
    for (uint32_t r = 0; r < num_rows; r++) {
        const float *row = rows + (size_t)r * pool->width;
        for (uint32_t i = 0; i < pool->width; i++) pool->sums[i] += (double)row[i];
    }
}

void vmt_pool_finish(vmt_pool *pool) {
    VMT_ASSERT(pool->num_taken > 0);
    for (uint32_t i = 0; pool->sums && i < pool->width; i++) {
        pool->vector[i] = (float)(pool->sums[i] / pool->num_taken);
    }
}
