/* api/response_store.h: finished responses, kept in memory so that a later request can go on from one.
 *
 * Bounded by count and by bytes; the one that was not asked for the longest goes first.  Any thread. */
#ifndef VMT_API_RESPONSE_STORE_H
#define VMT_API_RESPONSE_STORE_H

#include "base/buf.h"

#define VMT_RESPONSES_KEPT_MAX       1024u
#define VMT_RESPONSES_KEPT_BYTES_MAX ((size_t)256 << 20) /* of all of them */
#define VMT_RESPONSE_KEPT_BYTES_MAX  ((size_t)32 << 20)  /* of one with its history; larger ones are not kept */

typedef struct vmt_response_store vmt_response_store;

vmt_response_store *vmt_response_store_create(void); /* NULL: no memory */
void vmt_response_store_destroy(vmt_response_store *store);

/* items: JSON of the conversation so far, joined by commas; object: the response as JSON.  Copied.  An id that is there
 * already is replaced.  A response that is too large is not kept. */
void vmt_response_store_put(vmt_response_store *store, vmt_str id, vmt_str items, vmt_str object);
/* Append copies to the buffers, which may be NULL.  false: no such response. */
bool vmt_response_store_get(vmt_response_store *store, vmt_str id, vmt_buf *items, vmt_buf *object);
bool vmt_response_store_remove(vmt_response_store *store, vmt_str id);

#endif
