/* cli/http_client.h: requests to a server: one that is waited for, or many at once on one thread.
 *
 * A client keeps its connections for the next call.  Callbacks run inside vmt_http_client_poll() and
 * vmt_http_client_call().  on_done may start further calls; on_bytes may not, and neither may destroy the client.
 * Proxies are as the environment says, but never for this machine itself. */
#ifndef VMT_CLI_HTTP_CLIENT_H
#define VMT_CLI_HTTP_CLIENT_H

#include "base/buf.h"

typedef struct vmt_http_client vmt_http_client;

typedef struct vmt_http_reply {
    int status;         /* of HTTP; 0 when no response came, and then err says why */
    vmt_buf body;       /* all of it, unless on_bytes took it; always for a status of 400 and above */
    vmt_err err;        /* also set when the response broke off */
    uint64_t num_bytes; /* of the body */
} vmt_http_reply;

typedef struct vmt_http_call {
    const char *url;
    vmt_str json;                /* POST if ptr is not NULL, else GET; copied */
    const char *bearer;          /* NULL or empty: none */
    const char *unix_socket;     /* instead of the URL's host; NULL: none */
    const char *request_id;      /* X-Request-Id; NULL: none */
    uint32_t connect_timeout_ms; /* 0: 10 s */
    uint32_t idle_timeout_s;     /* without a byte for so long; 0: for ever */
    uint64_t body_bytes_max;     /* kept in reply.body; 0: 64 MiB */
    /* Bytes of a good response as they come; false: stop (VMT_E_CANCELLED).  NULL: they go to reply.body. */
    bool (*on_bytes)(void *ctx, vmt_str bytes);
    /* Once, at the end, whatever happened.  The reply is the client's. */
    void (*on_done)(void *ctx, const vmt_http_reply *reply);
    void *ctx;
} vmt_http_call;

/* ca_file: certificates to trust; NULL: the system's. */
vmt_status vmt_http_client_create(vmt_http_client **out, const char *ca_file, vmt_err *err);
/* Calls that still run end without on_done. */
void vmt_http_client_destroy(vmt_http_client *client);

/* Begins a call; strings may go away after it.  on_done is called unless this fails. */
vmt_status vmt_http_client_start(vmt_http_client *client, const vmt_http_call *call, vmt_err *err);
/* Moves bytes for at most timeout_ms; returns how many calls still run. */
uint32_t vmt_http_client_poll(vmt_http_client *client, uint32_t timeout_ms);

/* One call, waited for (others that run go on meanwhile).  VMT_OK: a whole response of a status below 400 came.
 * Otherwise err has the transport's reason or the server's own words.  reply may be NULL; else free its body. */
vmt_status vmt_http_client_call(vmt_http_client *client, const vmt_http_call *call, vmt_http_reply *reply,
                                vmt_err *err);
/* What a reply says went wrong, as the servers of this field say it; VMT_OK for a good one. */
vmt_status vmt_http_reply_check(const vmt_http_reply *reply, vmt_err *err);

#endif
