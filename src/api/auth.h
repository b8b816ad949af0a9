/* api/auth.h: API keys.  Keys are kept as keyed hashes and compared in constant time. */
#ifndef VMT_API_AUTH_H
#define VMT_API_AUTH_H

#include "api/api.h"
#include "base/hash.h"

typedef struct vmt_auth {
    vmt_hash_key hash_key;
    vmt_hash128 keys[VMT_API_KEYS_MAX];
    uint32_t num_keys; /* 0: no auth */
} vmt_auth;

vmt_status vmt_auth_init(vmt_auth *auth, const vmt_str *keys, uint32_t num_keys, vmt_err *err);
/* May this request to path go on?  True for paths and methods that are not guarded. */
bool vmt_auth_allows(const vmt_auth *auth, vmt_str path, const vmt_http_exchange *x);

/* The body of the 401, in the form that the path's clients know. */
vmt_str vmt_auth_refusal(vmt_str path);

#endif
