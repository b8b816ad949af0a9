#include "kv/block_pool.h"

#include <stdlib.h>

#define NONE 0 /* the null block ends every list: it is never lent, free or hashed */

struct block {
    vmt_hash128 hash;
    vmt_block_id prev, next;     /* in the free list, while num_refs is 0 */
    vmt_block_id next_in_bucket; /* while is_hashed */
    uint32_t num_refs;
    bool is_hashed;
};

struct vmt_block_pool {
    struct block *blocks;  /* [num_blocks] */
    vmt_block_id *buckets; /* [bucket_mask + 1] heads of the hash chains */
    int32_t *token_ids;    /* [num_blocks, block_size] what hashed blocks hold */
    uint32_t num_blocks, block_size;
    uint32_t bucket_mask;
    uint32_t num_free;
    vmt_block_id oldest, newest; /* the free list: oldest is lent next */
};

/* ---- the free list */

static void push_newest(vmt_block_pool *pool, vmt_block_id id) {
    struct block *b = &pool->blocks[id];
    b->prev = pool->newest;
    b->next = NONE;
    if (pool->newest != NONE) {
        pool->blocks[pool->newest].next = id;
    } else {
        pool->oldest = id;
    }
    pool->newest = id;
    pool->num_free++;
}

static void unlink_free(vmt_block_pool *pool, vmt_block_id id) {
    struct block *b = &pool->blocks[id];
    if (b->prev != NONE) {
        pool->blocks[b->prev].next = b->next;
    } else {
        pool->oldest = b->next;
    }
    if (b->next != NONE) {
        pool->blocks[b->next].prev = b->prev;
    } else {
        pool->newest = b->prev;
    }
    b->prev = b->next = NONE;
    pool->num_free--;
}

/* ---- the hash index */

static vmt_block_id *bucket_of(const vmt_block_pool *pool, vmt_hash128 hash) {
    return &pool->buckets[hash.lo & pool->bucket_mask];
}

static int32_t *tokens_of(const vmt_block_pool *pool, vmt_block_id id) {
    return pool->token_ids + (size_t)id * pool->block_size;
}

static vmt_block_id find_hash(const vmt_block_pool *pool, vmt_hash128 hash) {
    vmt_block_id id = *bucket_of(pool, hash);
    while (id != NONE && !vmt_hash128_eq(pool->blocks[id].hash, hash)) id = pool->blocks[id].next_in_bucket;
    return id;
}

static void forget_hash(vmt_block_pool *pool, vmt_block_id id) {
    struct block *b = &pool->blocks[id];
    vmt_block_id *link = bucket_of(pool, b->hash);
    while (*link != id) link = &pool->blocks[*link].next_in_bucket;
    *link = b->next_in_bucket;
    b->next_in_bucket = NONE;
    b->is_hashed = false;
}

/* ---- verbs */

static struct block *lent_block(const vmt_block_pool *pool, vmt_block_id id) {
    VMT_ASSERT(id > 0 && (uint32_t)id < pool->num_blocks);
    VMT_ASSERT(pool->blocks[id].num_refs > 0);
    return &pool->blocks[id];
}

vmt_status vmt_block_pool_create(vmt_block_pool **out, uint32_t num_blocks, uint32_t block_size, vmt_err *err) {
    VMT_ASSERT(num_blocks >= 2 && num_blocks <= VMT_BLOCKS_MAX);
    VMT_ASSERT(block_size >= 1 && block_size <= VMT_BLOCK_SIZE_MAX);
    *out = NULL;
    uint32_t num_buckets = 1;
    while (num_buckets < num_blocks) num_buckets *= 2;

    vmt_block_pool *pool = calloc(1, sizeof *pool);
    if (pool) {
        pool->blocks = calloc(num_blocks, sizeof *pool->blocks);
        pool->buckets = calloc(num_buckets, sizeof *pool->buckets);
        pool->token_ids = calloc((size_t)num_blocks * block_size, sizeof *pool->token_ids);
    }
    if (!pool || !pool->blocks || !pool->buckets || !pool->token_ids) {
        vmt_block_pool_destroy(pool);
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory to keep account of %u blocks of %u tokens", num_blocks,
                        block_size);
    }
    pool->num_blocks = num_blocks;
    pool->block_size = block_size;
    pool->bucket_mask = num_buckets - 1;
    for (uint32_t i = 1; i < num_blocks; i++) push_newest(pool, (vmt_block_id)i);
    *out = pool;
    return VMT_OK;
}

void vmt_block_pool_destroy(vmt_block_pool *pool) {
    if (!pool) return;
    VMT_ASSERT(pool->num_blocks == 0 || pool->num_free == pool->num_blocks - 1);
    free(pool->blocks);
    free(pool->buckets);
    free(pool->token_ids);
    free(pool);
}

vmt_status vmt_block_pool_acquire(vmt_block_pool *pool, uint32_t n, vmt_block_id *ids) {
    VMT_ASSERT(n > 0);
    if (pool->num_free < n) return VMT_E_EXHAUSTED;
    for (uint32_t i = 0; i < n; i++) {
        vmt_block_id id = pool->oldest;
        struct block *b = &pool->blocks[id];
        VMT_ASSERT(b->num_refs == 0);
        unlink_free(pool, id);
        /* The hash dies here and not in release(): until this moment the block was still a prefix hit. */
        if (b->is_hashed) forget_hash(pool, id);
        b->num_refs = 1;
        ids[i] = id;
    }
    return VMT_OK;
}

void vmt_block_pool_retain(vmt_block_pool *pool, vmt_block_id id) {
    struct block *b = lent_block(pool, id);
    VMT_ASSERT(b->num_refs < UINT32_MAX);
    b->num_refs++;
}

vmt_block_id vmt_block_pool_share(vmt_block_pool *pool, vmt_hash128 content, const int32_t *token_ids) {
    vmt_block_id id = find_hash(pool, content);
    if (id == NONE) return NONE;
    if (memcmp(tokens_of(pool, id), token_ids, pool->block_size * sizeof *token_ids) != 0) return NONE;
    if (pool->blocks[id].num_refs == 0) unlink_free(pool, id);
    pool->blocks[id].num_refs++;
    return id;
}

void vmt_block_pool_publish(vmt_block_pool *pool, vmt_block_id id, vmt_hash128 content, const int32_t *token_ids) {
    struct block *b = lent_block(pool, id);
    if (b->is_hashed) {
        VMT_ASSERT(vmt_hash128_eq(b->hash, content)); /* a full block never changes */
        return;
    }
    if (find_hash(pool, content) != NONE) return;
    vmt_block_id *bucket = bucket_of(pool, content);
    b->hash = content;
    b->is_hashed = true;
    b->next_in_bucket = *bucket;
    *bucket = id;
    memcpy(tokens_of(pool, id), token_ids, pool->block_size * sizeof *token_ids);
}

void vmt_block_pool_release(vmt_block_pool *pool, uint32_t n, const vmt_block_id *ids) {
    for (uint32_t i = n; i-- > 0;) {
        struct block *b = lent_block(pool, ids[i]);
        if (--b->num_refs == 0) push_newest(pool, ids[i]);
    }
}

void vmt_block_pool_forget_all(vmt_block_pool *pool) {
    for (vmt_block_id id = pool->oldest; id != NONE; id = pool->blocks[id].next) {
        if (pool->blocks[id].is_hashed) forget_hash(pool, id);
    }
}

uint32_t vmt_block_pool_num_free(const vmt_block_pool *pool) {
    return pool->num_free;
}

uint32_t vmt_block_pool_num_total(const vmt_block_pool *pool) {
    return pool->num_blocks - 1;
}

uint32_t vmt_block_pool_num_refs(const vmt_block_pool *pool, vmt_block_id id) {
    VMT_ASSERT(id >= 0 && (uint32_t)id < pool->num_blocks);
    return pool->blocks[id].num_refs;
}

/* ---- check */

static void check_free_list(const vmt_block_pool *pool) {
    uint32_t num_free = 0;
    vmt_block_id prev = NONE;
    for (vmt_block_id id = pool->oldest; id != NONE; id = pool->blocks[id].next) {
        VMT_ASSERT(id > 0 && (uint32_t)id < pool->num_blocks);
        VMT_ASSERT(pool->blocks[id].num_refs == 0);
        VMT_ASSERT(pool->blocks[id].prev == prev);
        VMT_ASSERT(++num_free < pool->num_blocks); /* else the list runs in a circle */
        prev = id;
    }
    VMT_ASSERT(pool->newest == prev);
    VMT_ASSERT(pool->num_free == num_free);

    uint32_t num_unreferenced = 0;
    for (uint32_t i = 1; i < pool->num_blocks; i++) num_unreferenced += pool->blocks[i].num_refs == 0;
    VMT_ASSERT(num_unreferenced == num_free);
}

static void check_index(const vmt_block_pool *pool) {
    uint32_t num_indexed = 0, num_hashed = 0;
    for (uint32_t i = 0; i <= pool->bucket_mask; i++) {
        for (vmt_block_id id = pool->buckets[i]; id != NONE; id = pool->blocks[id].next_in_bucket) {
            const struct block *b = &pool->blocks[id];
            VMT_ASSERT(b->is_hashed && (b->hash.lo & pool->bucket_mask) == i);
            VMT_ASSERT(find_hash(pool, b->hash) == id); /* no content twice */
            VMT_ASSERT(++num_indexed < pool->num_blocks);
        }
    }
    for (uint32_t i = 1; i < pool->num_blocks; i++) num_hashed += pool->blocks[i].is_hashed;
    VMT_ASSERT(num_hashed == num_indexed);
}

void vmt_block_pool_check(const vmt_block_pool *pool) {
    const struct block *null_block = &pool->blocks[NONE];
    VMT_ASSERT(null_block->num_refs == 0 && !null_block->is_hashed);
    check_free_list(pool);
    check_index(pool);
}
