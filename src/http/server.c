#include "http/internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/loop_base.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_OVER_MAX \
    256 /* connections beyond the limit that may be told so at a time; others just close */

vmt_http_config vmt_http_config_default(void) {
    return (vmt_http_config){
        .port = 8000,
        .connections_max = 4096,
        .header_bytes_max = 1 << 16,
        .header_count_max = 256,
        .body_bytes_max = (uint64_t)64 << 20,
        .bodies_bytes_max = (uint64_t)1 << 30,
        .keep_alive_timeout_s = 5,
        .request_timeout_s = 60,
        .write_timeout_s = 60,
        .write_high_bytes = 1 << 20,
        .write_low_bytes = 1 << 18,
        .drain_timeout_s = 30,
    };
}

const char *vmt_server_date(vmt_http_server *server) {
    int64_t now_s = vmt_clock_unix_s();
    if (now_s != server->date_s) {
        static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
        time_t t = (time_t)now_s;
        struct tm utc;
        gmtime_r(&t, &utc);
        /* Not %a and %b: those follow the locale. */
        char fmt[VMT_HTTP_DATE_MAX];
        snprintf(fmt, sizeof fmt, "%.3s, %%d %.3s %%Y %%H:%%M:%%S GMT", days + 3 * utc.tm_wday,
                 months + 3 * utc.tm_mon);
        strftime(server->date, sizeof server->date, fmt, &utc);
        server->date_s = now_s;
    }
    return server->date;
}

void vmt_server_accept(vmt_http_server *server, evutil_socket_t fd, const char *peer) {
    /* Widened: the limit may be the largest number there is. */
    bool is_flood = server->num_conns >= (uint64_t)server->config.connections_max + CONNECTIONS_OVER_MAX;
    if (is_flood) {
        evutil_closesocket(fd);
    } else if (vmt_conn_create(server, fd, peer) != VMT_OK) {
        vmt_log_warn("http no memory for a connection peer=%s", peer);
    }
}

/* ---- drain */

static void drain_finished(evutil_socket_t fd, short what, void *arg) {
    vmt_http_server *server = arg;
    event_del(server->drain_timer);
    /* The last thing here: done() may destroy the server. */
    if (server->done) server->done(server->done_ctx);
}

static void drain_expired(evutil_socket_t fd, short what, void *arg) {
    vmt_http_server *server = arg;
    if (server->num_open > 0) vmt_log_warn("http drain timeout exchanges=%u", server->num_open);
    for (vmt_conn *conn = server->conns, *next; conn; conn = next) {
        next = conn->next; /* on_gone frees no connection, so next stays */
        vmt_conn_abort(conn);
    }
}

void vmt_server_check_drained(vmt_http_server *server) {
    if (!server->is_draining || server->is_drained || server->num_conns > server->num_lingering) return;
    server->is_drained = true;
    event_active(server->drain_done, 0, 0);
}

void vmt_http_server_drain(vmt_http_server *server, void (*done)(void *ctx), void *ctx) {
    VMT_ASSERT(!server->is_draining);
    server->is_draining = true;
    server->done = done;
    server->done_ctx = ctx;
    vmt_server_close_listeners(server);
    for (vmt_conn *conn = server->conns; conn; conn = conn->next) vmt_conn_kick(conn);
    struct timeval delay = {.tv_sec = server->config.drain_timeout_s};
    event_add(server->drain_timer, &delay);
    vmt_server_check_drained(server);
}

/* ---- create and destroy */

static void check_config(const vmt_http_config *config) {
    VMT_ASSERT(config->on_request != NULL);
    VMT_ASSERT(config->connections_max > 0 && config->header_bytes_max > 0 && config->header_count_max > 0);
    VMT_ASSERT(config->write_low_bytes <= config->write_high_bytes);
}

vmt_status vmt_http_server_create(vmt_http_server **out, vmt_loop *loop, const vmt_http_config *config,
                                  vmt_err *err) {
    *out = NULL;
    check_config(config);
    vmt_http_server *server = calloc(1, sizeof *server);
    if (!server) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the HTTP server");
    server->loop = loop;
    server->config = *config;
    server->config.host = server->config.uds = (vmt_str){0};
    server->config.ssl_cert_file = server->config.ssl_key_file = (vmt_str){0};
    struct event_base *base = vmt_loop_base(loop);
    server->drain_timer = evtimer_new(base, drain_expired, server);
    server->drain_done = event_new(base, -1, 0, drain_finished, server);
    vmt_status status = VMT_OK;
    if (!server->drain_timer || !server->drain_done) {
        status = vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the HTTP server");
    } else if ((config->ssl_cert_file.len == 0) != (config->ssl_key_file.len == 0)) {
        status = vmt_fail(err, VMT_E_INVALID, "TLS needs both a certificate file and a key file");
    } else if (config->ssl_cert_file.len > 0) {
        status = vmt_tls_context_create(&server->tls, config->ssl_cert_file, config->ssl_key_file, err);
    }
    if (status == VMT_OK) status = vmt_server_listen(server, config, err);
    if (status != VMT_OK) {
        vmt_http_server_destroy(server);
        return status;
    }
    *out = server;
    return VMT_OK;
}

void vmt_http_server_destroy(vmt_http_server *server) {
    if (!server) return;
    VMT_ASSERT(server->num_calls == 0); /* not from a handler: the exchange under it would go away */
    vmt_server_close_listeners(server);
    server->is_drained = true; /* nobody is told any more */
    while (server->conns) vmt_conn_abort(server->conns);
    VMT_ASSERT(server->num_open == 0 && server->bodies_bytes == 0);
    if (server->drain_timer) event_free(server->drain_timer);
    if (server->drain_done) event_free(server->drain_done);
    SSL_CTX_free(server->tls);
    free(server->uds_path);
    free(server);
}

uint16_t vmt_http_server_port(const vmt_http_server *server) {
    return server->port;
}

uint32_t vmt_http_server_num_open(const vmt_http_server *server) {
    return server->num_open;
}
