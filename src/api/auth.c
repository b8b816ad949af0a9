#include "api/auth.h"

vmt_status vmt_auth_init(vmt_auth *auth, const vmt_str *keys, uint32_t num_keys, vmt_err *err) {
    *auth = (vmt_auth){.hash_key = vmt_hash_key_random()};
    if (num_keys > VMT_API_KEYS_MAX) {
        return vmt_fail_param(err, VMT_E_INVALID, "--api-key", "%u API keys, the limit is %u", num_keys,
                              VMT_API_KEYS_MAX);
    }
    for (uint32_t i = 0; i < num_keys; i++)
        auth->keys[i] = vmt_siphash128(auth->hash_key, keys[i].ptr, keys[i].len);
    auth->num_keys = num_keys;
    return VMT_OK;
}

static bool is_guarded(vmt_str path) {
    static const char *const prefixes[] = {"/v1", "/v2", "/inference", "/api"};
    for (size_t i = 0; i < VMT_COUNT(prefixes); i++) {
        if (vmt_str_starts(path, vmt_str_from(prefixes[i]))) return true;
    }
    return false;
}

/* Every key is looked at, and the hash hides how many bytes agreed. */
static bool knows(const vmt_auth *auth, vmt_str key) {
    vmt_hash128 given = vmt_siphash128(auth->hash_key, key.ptr, key.len);
    uint64_t is_known = 0;
    for (uint32_t i = 0; i < auth->num_keys; i++) {
        uint64_t differs = (given.lo ^ auth->keys[i].lo) | (given.hi ^ auth->keys[i].hi);
        is_known |= differs == 0;
    }
    return is_known != 0;
}

bool vmt_auth_allows(const vmt_auth *auth, vmt_str path, const vmt_http_exchange *x) {
    if (auth->num_keys == 0 || !is_guarded(path) || vmt_str_eq_c(vmt_http_method(x), "OPTIONS")) return true;
    vmt_str header = vmt_http_header(x, "Authorization");
    size_t space = vmt_str_find(header, VMT_STR(" "), 0);
    if (space != SIZE_MAX && vmt_str_eq_nocase(vmt_str_slice(header, 0, space), VMT_STR("Bearer")) &&
        knows(auth, vmt_str_trim(vmt_str_slice(header, space, header.len)))) {
        return true;
    }
    /* Anthropic's clients send their key in a header of its own. */
    vmt_str own = vmt_http_header(x, "x-api-key");
    return own.ptr && vmt_str_starts(path, VMT_STR("/v1/messages")) && knows(auth, own);
}

vmt_str vmt_auth_refusal(vmt_str path) {
    if (vmt_str_starts(path, VMT_STR("/v1/messages"))) {
        return VMT_STR("{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\",\"message\":\"invalid "
                       "x-api-key\"}}");
    }
    if (vmt_str_starts(path, VMT_STR("/api/"))) return VMT_STR("{\"error\":\"unauthorized\"}");
    return VMT_STR("{\"error\":\"Unauthorized\"}");
}
