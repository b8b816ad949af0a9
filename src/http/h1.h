/* http/h1.h: the head of an HTTP/1 request, strictly.
 *
 * Bytes are gathered up to the empty line, under a cap; then llhttp parses the head in one piece, so that every slice
 * points into it.  llhttp as Debian builds it (not its strict mode) lets some things through that proxies and servers
 * read differently; those are refused here, on the raw bytes and on the result:
 *   bare CR or LF, NUL and other control characters, folded lines, names that are no tokens (a space before the
 *   colon), any Transfer-Encoding but exactly one "chunked", two Hosts or none, extra spaces in the request line. */
#ifndef VMT_HTTP_H1_H
#define VMT_HTTP_H1_H

#include "base/buf.h"

typedef struct vmt_h1_header {
    vmt_str name, value; /* value without white space around it */
} vmt_h1_header;

typedef struct vmt_h1_head {
    vmt_buf raw; /* all slices below point into it, but for the path "/" that an absolute target may imply */
    uint8_t prev;
    size_t line_len;
    bool is_done;

    vmt_str method, target;
    vmt_str path;  /* decoded in place */
    vmt_str query; /* raw */
    vmt_h1_header *headers;
    size_t num_headers, headers_cap, count_max;
    uint8_t minor; /* HTTP/1.minor: 0 or 1 */
    bool keep_alive;
    bool is_chunked, has_length, expects_continue;
    uint64_t content_length;

    int status; /* of the refusal, and why */
    const char *reason;
} vmt_h1_head;

typedef enum vmt_h1_result { VMT_H1_MORE, VMT_H1_DONE, VMT_H1_REFUSED } vmt_h1_result;

void vmt_h1_head_init(vmt_h1_head *head, size_t bytes_max, size_t count_max);
void vmt_h1_head_reset(vmt_h1_head *head);
/* Takes *used bytes of in.  DONE: the slices are valid, and in[*used] begins the body.  Not called again after DONE or
 * REFUSED (status and reason say why). */
vmt_h1_result vmt_h1_head_feed(vmt_h1_head *head, vmt_str in, size_t *used);
/* The first header of that name, or a slice with ptr NULL. */
vmt_str vmt_h1_head_get(const vmt_h1_head *head, vmt_str name);
bool vmt_h1_is_token(vmt_str s);
/* How many bytes of empty lines in begins with: between requests they mean nothing. */
size_t vmt_h1_skip_empty_lines(vmt_str in);

#endif
