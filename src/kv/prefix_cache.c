#include "kv/prefix_cache.h"

vmt_hash128 vmt_prefix_root(vmt_hash_key key, vmt_str cache_salt) {
    if (cache_salt.len == 0) return (vmt_hash128){0, 0};
    return vmt_siphash128(key, cache_salt.ptr, cache_salt.len);
}

vmt_hash128 vmt_prefix_next(vmt_hash_key key, vmt_hash128 parent, const int32_t *token_ids, uint32_t block_size) {
    VMT_ASSERT(block_size >= 1 && block_size <= VMT_BLOCK_SIZE_MAX);
    struct {
        vmt_hash128 parent;
        int32_t token_ids[VMT_BLOCK_SIZE_MAX];
    } message; /* only the filled part is hashed */
    message.parent = parent;
    memcpy(message.token_ids, token_ids, block_size * sizeof *token_ids);
    return vmt_siphash128(key, &message, sizeof message.parent + block_size * sizeof *token_ids);
}
