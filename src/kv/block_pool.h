/* kv/block_pool.h: a fixed pool of KV-cache blocks, reference counted and findable by content.
 *
 * A block is block_size consecutive token slots; its id is the same in every layer of a cache group.  The pool deals in
 * ids and never in memory: the backend turns an id into an address.  A released block keeps its content hash until it
 * is lent again, so "free" and "cached" are one state and eviction is just reuse.  Reuse order: least recently released
 * first, and within one request tail before head, since a tail is useless without its head.
 *
 * Engine thread only; no locks.  All memory is taken in create(). */
#ifndef VMT_KV_BLOCK_POOL_H
#define VMT_KV_BLOCK_POOL_H

#include "base/hash.h"

typedef struct vmt_block_pool vmt_block_pool;
typedef int32_t vmt_block_id; /* 1 .. num_blocks-1.  0 is the null block: padding writes there, never lent */

#define VMT_BLOCKS_MAX     (1u << 26)
#define VMT_BLOCK_SIZE_MAX 256u

/* num_blocks >= 2.  Fails only for lack of memory, and then *out is NULL and err says how much was asked. */
vmt_status vmt_block_pool_create(vmt_block_pool **out, uint32_t num_blocks, uint32_t block_size, vmt_err *err);
void vmt_block_pool_destroy(vmt_block_pool *pool); /* asserts that every block came back */

/* Lends n blocks with one reference each into ids[0..n).  All or none: VMT_E_EXHAUSTED leaves the pool as it was, and
 * the scheduler then decides whom to preempt. */
vmt_status vmt_block_pool_acquire(vmt_block_pool *pool, uint32_t n, vmt_block_id *ids);
/* One more reference to a block that is lent already. */
void vmt_block_pool_retain(vmt_block_pool *pool, vmt_block_id id);
/* One more reference to the block with this content, or 0.  token_ids [block_size] are compared with what was
 * published, so a hash collision is a miss.  Takes the block back out of the free list if it lay there. */
vmt_block_id vmt_block_pool_share(vmt_block_pool *pool, vmt_hash128 content, const int32_t *token_ids);
/* A lent, full block becomes findable under its content.  If that content is known already under another id, the
 * first stays the findable one. */
void vmt_block_pool_publish(vmt_block_pool *pool, vmt_block_id id, vmt_hash128 content, const int32_t *token_ids);
/* Drops one reference from each.  Pass a request's block table as it stands: reuse order is handled here. */
void vmt_block_pool_release(vmt_block_pool *pool, uint32_t n, const vmt_block_id *ids);

/* Forgets every content hash of free blocks; lent ones stay findable.  For /reset_prefix_cache. */
void vmt_block_pool_forget_all(vmt_block_pool *pool);

uint32_t vmt_block_pool_num_free(const vmt_block_pool *pool);  /* lendable, cached ones included */
uint32_t vmt_block_pool_num_total(const vmt_block_pool *pool); /* without the null block */
uint32_t vmt_block_pool_num_refs(const vmt_block_pool *pool, vmt_block_id id);

/* Free list, counts and hash index agree.  O(num_blocks): tests, and the engine when it has nothing to do. */
void vmt_block_pool_check(const vmt_block_pool *pool);

#endif
