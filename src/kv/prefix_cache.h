/* kv/prefix_cache.h: the chain of block hashes that names a prefix's content.
 *
 * hash_i = SipHash-128(key, hash_{i-1} | token ids of block i); hash_{-1} is the salt's hash (zero without one).  The
 * key is random per process, so a client can't aim at collisions; ids are compared on a hit all the same. */
#ifndef VMT_KV_PREFIX_CACHE_H
#define VMT_KV_PREFIX_CACHE_H

#include "kv/block_pool.h"

vmt_hash128 vmt_prefix_root(vmt_hash_key key, vmt_str cache_salt);
vmt_hash128 vmt_prefix_next(vmt_hash_key key, vmt_hash128 parent, const int32_t *token_ids, uint32_t block_size);

#endif
