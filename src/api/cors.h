/* api/cors.h: cross-origin headers, as Starlette's CORSMiddleware sends them. */
#ifndef VMT_API_CORS_H
#define VMT_API_CORS_H

#include "base/arena.h"
#include "http/server.h"

#define VMT_CORS_ENTRIES_MAX 256u /* per list */

typedef struct vmt_cors_list {
    vmt_str *entries;
    uint32_t num_entries;
    bool any; /* "*" is among them */
} vmt_cors_list;

typedef struct vmt_cors {
    vmt_arena *arena;
    vmt_cors_list origins, methods, headers;
    vmt_str methods_text, headers_text; /* ready for the response */
    bool credentials;
} vmt_cors;

typedef struct vmt_cors_config {
    vmt_str origins, methods, headers; /* JSON lists; empty: ["*"] */
    bool credentials;
} vmt_cors_config;

vmt_status vmt_cors_init(vmt_cors *cors, const vmt_cors_config *config, vmt_err *err);
void vmt_cors_reset(vmt_cors *cors);

/* Adds the headers of a simple request.  A preflight is answered here: true, and the exchange is gone. */
bool vmt_cors_handle(const vmt_cors *cors, vmt_http_exchange *x);

#endif
