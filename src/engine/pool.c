#include "engine/pool.h"

static vmt_status check(const vmt_pooling *pooling, uint32_t width, vmt_err *err) {
    if (pooling->columns && (pooling->num_columns < 1 || pooling->num_columns > VMT_POOL_COLUMNS_MAX)) {
        return vmt_fail(err, VMT_E_INVALID, "%u columns are to be pooled, it must be 1 to %u",
                        pooling->num_columns, VMT_POOL_COLUMNS_MAX);
    }
    for (uint32_t i = 0; pooling->columns && i < pooling->num_columns; i++) {
        if (pooling->columns[i] >= 0 && (uint32_t)pooling->columns[i] < width) continue;
        return vmt_fail(err, VMT_E_INVALID, "column %d is to be pooled, a row has %u", pooling->columns[i], width);
    }
    return VMT_OK;
}

vmt_status vmt_pool_init(vmt_pool *pool, const vmt_pooling *pooling, uint32_t width, vmt_arena *arena,
                         vmt_err *err) {
    VMT_ASSERT(pooling->kind != VMT_POOL_NONE);
    VMT_TRY(check(pooling, width, err));
    *pool = (vmt_pool){.kind = pooling->kind, .len = pooling->columns ? pooling->num_columns : width};
    pool->vector = VMT_ARENA_NEW(arena, float, pool->len);
    bool ok = pool->vector != NULL;
    if (pool->kind == VMT_POOL_MEAN) {
        pool->sums = VMT_ARENA_NEW(arena, double, pool->len);
        ok = ok && pool->sums;
    }
    if (pooling->columns) {
        int32_t *columns = VMT_ARENA_NEW(arena, int32_t, pool->len);
        if (columns) memcpy(columns, pooling->columns, pool->len * sizeof *columns);
        pool->columns = columns;
        ok = ok && columns;
    }
    return ok ? VMT_OK : vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a vector of %u", pool->len);
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

static float column(const vmt_pool *pool, const float *row, uint32_t i) {
    return row[pool->columns ? (uint32_t)pool->columns[i] : i];
}

void vmt_pool_take(vmt_pool *pool, const float *rows, uint32_t num_rows, uint32_t width) {
    pool->num_taken += num_rows;
    if (pool->kind != VMT_POOL_MEAN) {
        for (uint32_t i = 0; num_rows > 0 && i < pool->len; i++) pool->vector[i] = column(pool, rows, i);
        return;
    }
    for (uint32_t r = 0; r < num_rows; r++) {
        const float *row = rows + (size_t)r * width;
        for (uint32_t i = 0; i < pool->len; i++) pool->sums[i] += (double)column(pool, row, i);
    }
}

void vmt_pool_finish(vmt_pool *pool) {
    VMT_ASSERT(pool->num_taken > 0);
    for (uint32_t i = 0; pool->sums && i < pool->len; i++) {
        pool->vector[i] = (float)(pool->sums[i] / pool->num_taken);
    }
}
