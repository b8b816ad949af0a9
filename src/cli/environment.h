/* cli/environment.h: the one place that reads environment variables. */
#ifndef VMT_CLI_ENVIRONMENT_H
#define VMT_CLI_ENVIRONMENT_H

#include "base/arena.h"
#include "hub/resolve.h"

/* An environment variable, or an empty slice with ptr NULL. */
vmt_str vmt_environment_get(const char *name);
/* Our folder of that name in the user's cache (XDG_CACHE_HOME, HOME), in the arena; it may not be there yet. */
const char *vmt_environment_cache(vmt_arena *arena, const char *name);
/* Cache folders, index address and offline switch for src/hub: XDG_CACHE_HOME, HOME, HF_HOME, HF_HUB_OFFLINE,
 * PIP_INDEX_URL, CURL_CA_BUNDLE, SSL_CERT_FILE.  Strings live in the arena. */
vmt_hub_config vmt_environment_hub(vmt_arena *arena);

#endif
