#include "cli/environment.h"

#include <stdlib.h>

vmt_str vmt_environment_get(const char *name) {
    return vmt_str_from(getenv(name));
}

static vmt_str home_dir(void) {
    vmt_str home = vmt_environment_get("HOME");
    return home.len > 0 ? home : VMT_STR("/tmp");
}

const char *vmt_environment_cache(vmt_arena *arena, const char *name) {
    vmt_str home = home_dir(), cache = vmt_environment_get("XDG_CACHE_HOME");
#if defined(__APPLE__)
    vmt_str base = cache.len > 0 ? cache : vmt_arena_printf(arena, "%.*s/Library/Caches", VMT_STR_ARG(home));
#else
    vmt_str base = cache.len > 0 ? cache : vmt_arena_printf(arena, "%.*s/.cache", VMT_STR_ARG(home));
#endif
    return vmt_arena_printf(arena, "%.*s/vmetal/%s", VMT_STR_ARG(base), name).ptr;
}

vmt_hub_config vmt_environment_hub(vmt_arena *arena) {
    vmt_str home = home_dir();
    vmt_str hf = vmt_environment_get("HF_HOME"), index = vmt_environment_get("PIP_INDEX_URL");
    vmt_hub_config config = {0};
    config.cache_dir = vmt_environment_cache(arena, "models");
    config.hf_home =
        hf.len > 0 ? hf.ptr : vmt_arena_printf(arena, "%.*s/.cache/huggingface", VMT_STR_ARG(home)).ptr;
    config.index_url = index.len > 0 ? index.ptr : NULL;
    vmt_str ca = vmt_environment_get("CURL_CA_BUNDLE");
    if (ca.len == 0) ca = vmt_environment_get("SSL_CERT_FILE");
    config.ca_file = ca.len > 0 ? ca.ptr : NULL;
    config.offline = vmt_str_eq_c(vmt_environment_get("HF_HUB_OFFLINE"), "1");
    return config;
}
