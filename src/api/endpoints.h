/* api/endpoints.h: the endpoints that answer at once, and the dialect of /tokenize and /detokenize. */
#ifndef VMT_API_ENDPOINTS_H
#define VMT_API_ENDPOINTS_H

#include "api/job.h"

/* health.c */
void vmt_get_health(vmt_api *api, vmt_http_exchange *x); /* also /ping */
void vmt_get_version(vmt_api *api, vmt_http_exchange *x);
void vmt_get_load(vmt_api *api, vmt_http_exchange *x);
void vmt_get_metrics(vmt_api *api, vmt_http_exchange *x);
/* models.c */
void vmt_get_models(vmt_api *api, vmt_http_exchange *x);
void vmt_get_model(vmt_api *api, vmt_http_exchange *x); /* /v1/models/{id}; the id may hold slashes */
/* tokenize.c */
void vmt_get_tokenizer_info(vmt_api *api, vmt_http_exchange *x);
extern const vmt_dialect vmt_tokenize, vmt_detokenize;
/* dev.c: only with dev_mode */
void vmt_post_reset_prefix_cache(vmt_api *api, vmt_http_exchange *x);
void vmt_get_server_info(vmt_api *api, vmt_http_exchange *x);

#endif
