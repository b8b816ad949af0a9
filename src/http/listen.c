#include "http/internal.h"
#include "base/log.h"
#include "http/loop_base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG        1024
#define PAUSE_NS       UINT64_C(100000000) /* before accepting again after a lack of descriptors */
#define HOST_BYTES_MAX 256
#define UDS_MODE       0660

/* ---- accepting */

static void peer_text(char out[VMT_HTTP_PEER_MAX], const struct sockaddr *address) {
    char ip[INET6_ADDRSTRLEN];
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &in->sin_addr, ip, sizeof ip);
        snprintf(out, VMT_HTTP_PEER_MAX, "%s:%u", ip, ntohs(in->sin_port));
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof ip);
        snprintf(out, VMT_HTTP_PEER_MAX, "[%s]:%u", ip, ntohs(in6->sin6_port));
    } else {
        snprintf(out, VMT_HTTP_PEER_MAX, "unix");
    }
}

static void accepted(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                     int address_len, void *arg) {
    vmt_http_server *server = arg;
    char peer[VMT_HTTP_PEER_MAX] = "unix";
    if (!server->uds_path) peer_text(peer, address);
    if (server->is_paused) {
        server->is_paused = false;
        vmt_log_info("http accepting again");
    }
    vmt_server_accept(server, fd, peer);
}

static void resume_fired(evutil_socket_t fd, short what, void *arg) {
    vmt_http_server *server = arg;
    for (uint32_t i = 0; i < server->num_listeners; i++) evconnlistener_enable(server->listeners[i]);
}

/* Without a pause a lack of descriptors would spin: the connection that can't be accepted keeps the socket readable. */
static void accept_failed(struct evconnlistener *listener, void *arg) {
    vmt_http_server *server = arg;
    int code = EVUTIL_SOCKET_ERROR();
    bool is_shortage = code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM;
    if (!is_shortage) {
        vmt_log_debug("http accept failed reason=\"%s\"", strerror(code));
        return;
    }
    if (!server->is_paused) vmt_log_error("http cannot accept, pausing reason=\"%s\"", strerror(code));
    server->is_paused = true;
    for (uint32_t i = 0; i < server->num_listeners; i++) evconnlistener_disable(server->listeners[i]);
    struct timeval delay = vmt_timeval_from_ns(PAUSE_NS);
    event_add(server->resume, &delay);
}

/* Takes fd, which is bound, also when it fails. */
static vmt_status start_listening(vmt_http_server *server, int fd, const char *address, vmt_err *err) {
    VMT_ASSERT(server->num_listeners < VMT_HTTP_LISTENERS_MAX);
    struct evconnlistener *listener = NULL;
    errno = 0;
    if (evutil_make_socket_nonblocking(fd) == 0 && evutil_make_socket_closeonexec(fd) == 0) {
        listener = evconnlistener_new(vmt_loop_base(server->loop), accepted, server,
                                      LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG, fd);
    }
    if (!listener) {
        vmt_status status = vmt_fail(err, VMT_E_IO, "cannot listen on %s: %s", address, strerror(errno));
        close(fd);
        return status;
    }
    evconnlistener_set_error_cb(listener, accept_failed);
    server->listeners[server->num_listeners++] = listener;
    return VMT_OK;
}

/* ---- TCP */

static uint16_t bound_port(int fd) {
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0) return 0;
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

static void set_port(struct sockaddr *address, uint16_t port) {
    if (address->sa_family == AF_INET6) {
        ((struct sockaddr_in6 *)address)->sin6_port = htons(port);
    } else {
        ((struct sockaddr_in *)address)->sin_port = htons(port);
    }
}

static vmt_status listen_on(vmt_http_server *server, struct addrinfo *info, bool is_any_v6, vmt_err *err) {
    /* With port 0 the first address chooses, the others follow. */
    set_port(info->ai_addr, server->port);
    char address[VMT_HTTP_PEER_MAX];
    peer_text(address, info->ai_addr);
    int fd = socket(info->ai_family, SOCK_STREAM, 0);
    if (fd < 0) return vmt_fail(err, VMT_E_IO, "cannot listen on %s: %s", address, strerror(errno));
    int on = 1, v6_only = !is_any_v6; /* "::" is IPv4 too, as people expect of "all interfaces" */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (info->ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only);
    if (bind(fd, info->ai_addr, info->ai_addrlen) != 0) {
        vmt_status status = vmt_fail(err, VMT_E_IO, "cannot listen on %s: %s", address, strerror(errno));
        close(fd);
        return status;
    }
    if (server->port == 0) server->port = bound_port(fd);
    return start_listening(server, fd, address, err);
}

static vmt_status listen_tcp(vmt_http_server *server, const vmt_http_config *config, vmt_err *err) {
    char host[HOST_BYTES_MAX] = "127.0.0.1";
    if (config->host.len >= sizeof host) return vmt_fail(err, VMT_E_INVALID, "the host name is too long");
    if (config->host.len > 0) snprintf(host, sizeof host, "%.*s", VMT_STR_ARG(config->host));

    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *infos = NULL;
    int code = getaddrinfo(host, NULL, &hints, &infos);
    if (code != 0) return vmt_fail(err, VMT_E_INVALID, "cannot listen on host '%s': %s", host, gai_strerror(code));
    server->port = config->port;
    vmt_err first = {0};
    vmt_status status = VMT_OK;
    for (struct addrinfo *i = infos; i && server->num_listeners < VMT_HTTP_LISTENERS_MAX; i = i->ai_next) {
        if (i->ai_family != AF_INET && i->ai_family != AF_INET6) continue;
        vmt_status one = listen_on(server, i, strcmp(host, "::") == 0, &first);
        if (one != VMT_OK) status = one;
    }
    freeaddrinfo(infos);
    /* A name may have an address of a family that this machine lacks: one that works is enough. */
    if (server->num_listeners > 0) return VMT_OK;
    if (status == VMT_OK) return vmt_fail(err, VMT_E_IO, "cannot listen on host '%s': it has no address", host);
    if (err) *err = first;
    return status;
}

/* ---- Unix sockets */

/* A socket that nobody listens on any more is removed; anything else at that path is left alone. */
static vmt_status clear_stale(const struct sockaddr_un *address, vmt_err *err) {
    const char *path = address->sun_path;
    struct stat info;
    if (lstat(path, &info) != 0) {
        if (errno == ENOENT) return VMT_OK;
        return vmt_fail(err, VMT_E_IO, "cannot listen on %s: %s", path, strerror(errno));
    }
    if (!S_ISSOCK(info.st_mode)) {
        return vmt_fail(err, VMT_E_INVALID, "cannot listen on %s: it exists and is not a socket", path);
    }
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0) return vmt_fail(err, VMT_E_IO, "cannot listen on %s: %s", path, strerror(errno));
    int rc = connect(fd, (const struct sockaddr *)address, sizeof *address);
    int code = errno;
    close(fd);
    if (rc == 0 || code != ECONNREFUSED) {
        return vmt_fail(err, VMT_E_IO, "cannot listen on %s: %s", path,
                        rc == 0 ? "another process serves there" : strerror(code));
    }
    if (unlink(path) != 0) return vmt_fail(err, VMT_E_IO, "cannot replace %s: %s", path, strerror(errno));
    return VMT_OK;
}

static vmt_status listen_uds(vmt_http_server *server, vmt_str path, vmt_err *err) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path.len >= sizeof address.sun_path || memchr(path.ptr, 0, path.len)) {
        return vmt_fail(err, VMT_E_INVALID, "the Unix socket's path has %zu bytes, the limit is %zu", path.len,
                        sizeof address.sun_path - 1);
    }
    memcpy(address.sun_path, path.ptr, path.len);
    VMT_TRY(clear_stale(&address, err));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        vmt_status status = vmt_fail(err, VMT_E_IO, "cannot listen on %s: %s", address.sun_path, strerror(errno));
        if (fd >= 0) close(fd);
        return status;
    }
    struct stat info = {0};
    server->uds_path = strdup(address.sun_path);
    /* Before listen(): until then nobody can connect, whatever the umask was. */
    if (!server->uds_path || chmod(address.sun_path, UDS_MODE) != 0 || lstat(address.sun_path, &info) != 0) {
        vmt_status status = vmt_fail(err, VMT_E_IO, "cannot set up %s: %s", address.sun_path, strerror(errno));
        close(fd);
        unlink(address.sun_path);
        return status;
    }
    server->uds_dev = (uint64_t)info.st_dev;
    server->uds_ino = (uint64_t)info.st_ino;
    return start_listening(server, fd, address.sun_path, err);
}

/* ---- both */

vmt_status vmt_server_listen(vmt_http_server *server, const vmt_http_config *config, vmt_err *err) {
    server->resume = evtimer_new(vmt_loop_base(server->loop), resume_fired, server);
    if (!server->resume) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the HTTP server");
    return config->uds.len > 0 ? listen_uds(server, config->uds, err) : listen_tcp(server, config, err);
}

void vmt_server_close_listeners(vmt_http_server *server) {
    for (uint32_t i = 0; i < server->num_listeners; i++) evconnlistener_free(server->listeners[i]);
    server->num_listeners = 0;
    if (server->resume) event_free(server->resume);
    server->resume = NULL;
    struct stat info;
    bool is_ours = server->uds_ino && lstat(server->uds_path, &info) == 0 && S_ISSOCK(info.st_mode) &&
                   (uint64_t)info.st_dev == server->uds_dev && (uint64_t)info.st_ino == server->uds_ino;
    if (is_ours) unlink(server->uds_path);
    server->uds_ino = 0;
}
