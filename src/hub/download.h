/* hub/download.h: files over HTTP, whole or not at all.
 *
 * Bytes go to PATH.part, which a later try goes on from; only a file whose digest is right gets its name.  Processes
 * that want the same file wait for each other at PATH.lock. */
#ifndef VMT_HUB_DOWNLOAD_H
#define VMT_HUB_DOWNLOAD_H

#include "hub/config.h"

#define VMT_SHA256_HEX_LEN 64

typedef struct vmt_download {
    const char *url;
    const char *path;        /* its folder exists */
    const char *label;       /* for people: progress and errors */
    const char *sha256;      /* lower-case hex; NULL: not checked, and then never resumed */
    uint64_t size_bytes;     /* 0: unknown */
    uint32_t retry_delay_ms; /* before the first retry, doubling; 0: 500 */
} vmt_download;

/* Nothing is fetched when path is there with the right size.  Transient failures are retried a few times. */
vmt_status vmt_download_file(const vmt_hub_config *config, const vmt_download *d, vmt_err *err);

/* A small text, appended to out.  accept may be NULL.  *final_url, if not NULL, gets the address after redirects. */
vmt_status vmt_download_text(const vmt_hub_config *config, const char *url, const char *accept, const char *label,
                             vmt_buf *out, vmt_buf *final_url, vmt_err *err);

#endif
