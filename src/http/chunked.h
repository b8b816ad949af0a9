/* http/chunked.h: a chunked request body (RFC 9112 section 7.1), strictly.
 *
 * Ours and not llhttp's: outside its strict mode llhttp takes any two bytes for the CRLF that ends a chunk, which is
 * how one request is read as two.  Extensions and trailers are checked for their form, counted, and dropped. */
#ifndef VMT_HTTP_CHUNKED_H
#define VMT_HTTP_CHUNKED_H

#include "base/str.h"

#define VMT_CHUNKED_META_BYTES_MAX \
    16384 /* extensions and trailers of one body: nobody needs them, few send them */

typedef enum vmt_chunked_result {
    VMT_CHUNKED_MORE, /* in is used up */
    VMT_CHUNKED_DATA, /* *data is a piece of the body, inside in */
    VMT_CHUNKED_DONE, /* in[*used] begins the next request */
    VMT_CHUNKED_BAD,
} vmt_chunked_result;

typedef struct vmt_chunked {
    uint8_t state;
    uint8_t num_digits;
    uint32_t meta_bytes;
    uint64_t left_bytes; /* of the chunk being read: what the peer has announced */
} vmt_chunked;

/* All zero is the start.  Call again with the rest of in after DATA; never after DONE or BAD. */
vmt_chunked_result vmt_chunked_next(vmt_chunked *c, vmt_str in, size_t *used, vmt_str *data);

#endif
