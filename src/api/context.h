/* api/context.h: the state of the API that its endpoints share.  Internal to src/api.
 *
 * Loop thread; text threads read config, which does not change while a request is with them. */
#ifndef VMT_API_CONTEXT_H
#define VMT_API_CONTEXT_H

#include "api/api.h"
#include "api/auth.h"
#include "api/choice_output.h"
#include "api/cors.h"
#include "api/grammars.h"
#include "api/metrics.h"
#include "api/render.h"

#include <stdatomic.h>

typedef struct vmt_job vmt_job;

struct vmt_api {
    vmt_api_config config;
    vmt_auth auth;
    vmt_cors cors;
    vmt_metrics metrics;
    vmt_output_rules output_rules;
    vmt_grammars grammars;
    vmt_text_pool *text_pool;
    vmt_waker *text_waker;     /* a text thread has finished a job */
    vmt_waker *progress_waker; /* the engine has published something */
    vmt_timer *ping_timer;
    struct vmt_response_store *responses;
    struct vmt_turn_store *turns; /* the model's own, as sampled */

    vmt_job *jobs; /* every job that still has memory, newest first */
    uint32_t num_jobs;
    uint32_t num_generating;    /* what /load shows */
    _Atomic uint64_t num_seeds; /* seeds drawn for requests that gave none */
    char fingerprint[64];
    int64_t created_unix_ns;
    uint64_t model_bytes; /* of the model's file; 0: it is none */
};

/* A route's handler answers, or makes a job that will. */
typedef void (*vmt_handler)(vmt_api *api, vmt_http_exchange *x);

/* Whole answers from the loop's thread. */
void vmt_api_respond_json(vmt_http_exchange *x, int status, const vmt_buf *body);
void vmt_api_respond_detail(vmt_http_exchange *x, int status, const char *detail); /* {"detail":"..."} */
/* The path with --root-path taken off. */
vmt_str vmt_api_path(const vmt_api *api, const vmt_http_exchange *x);
/* Index of a served name, or -1.  Null and empty mean the first. */
int32_t vmt_api_find_model(const vmt_api_config *config, vmt_str name);
/* The engine is there and works. */
bool vmt_api_is_ready(const vmt_api *api);

#endif
