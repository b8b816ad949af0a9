/* api/routes.h: the table of endpoints. */
#ifndef VMT_API_ROUTES_H
#define VMT_API_ROUTES_H

#include "api/job.h"

enum {
    VMT_ROUTE_PREFIX = 1,          /* the path is followed by something */
    VMT_ROUTE_NO_HTTP_METRICS = 2, /* probes are not counted */
    VMT_ROUTE_DEV_MODE = 4,        /* exists only with dev_mode */
    VMT_ROUTE_TOKENIZER_INFO = 8,  /* exists only with tokenizer_info_endpoint */
    VMT_ROUTE_ANY_MEDIA = 16,      /* the body is JSON whatever its Content-Type says */
};

typedef struct vmt_route {
    const char *method, *path;
    vmt_handler handler;        /* one of these two */
    const vmt_dialect *dialect; /* takes a JSON body */
    unsigned flags;
} vmt_route;

extern const vmt_route vmt_routes[];
extern const uint32_t vmt_num_routes;

/* Index of the route, or -1 with the answer's status in *status: 404 or 405.  On 405 *allowed is the method of a route
 * with that path. */
int32_t vmt_route_find(const vmt_api_config *config, vmt_str method, vmt_str path, int *status,
                       const char **allowed);

/* Docker Model Runner's names for the same routes: /engines[/{backend}]/v1/... and /anthropic/v1/... without what comes
 * before the route.  Other paths as they are. */
vmt_str vmt_route_rewrite(vmt_str path);

#endif
