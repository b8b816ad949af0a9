#include "http/internal.h"

#include <limits.h>
#include <openssl/err.h>
#include <stdio.h>

static const char *tls_reason(void) {
    unsigned long code = ERR_get_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    return reason ? reason : "unknown error";
}

/* HTTP/1.1 if the client offers it; one that offers only other protocols is told so by the handshake. */
static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                           unsigned int in_len, void *arg) {
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof ours - 1, in, in_len) != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static bool path_copy(char out[PATH_MAX], vmt_str path) {
    if (path.len >= PATH_MAX || (path.len && memchr(path.ptr, 0, path.len))) return false;
    snprintf(out, PATH_MAX, "%.*s", VMT_STR_ARG(path));
    return true;
}

static vmt_status load(SSL_CTX *tls, const char *cert, const char *key, vmt_err *err) {
    if (SSL_CTX_use_certificate_chain_file(tls, cert) != 1) {
        return vmt_fail(err, VMT_E_INVALID, "cannot use the TLS certificate %s: %s", cert, tls_reason());
    }
    if (SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1) {
        return vmt_fail(err, VMT_E_INVALID, "cannot use the TLS key %s: %s", key, tls_reason());
    }
    if (SSL_CTX_check_private_key(tls) != 1) {
        return vmt_fail(err, VMT_E_INVALID, "the TLS key %s does not belong to the certificate %s", key, cert);
    }
    return VMT_OK;
}

vmt_status vmt_tls_context_create(SSL_CTX **out, vmt_str cert_file, vmt_str key_file, vmt_err *err) {
    *out = NULL;
    char cert[PATH_MAX], key[PATH_MAX];
    if (!path_copy(cert, cert_file) || !path_copy(key, key_file)) {
        return vmt_fail(err, VMT_E_INVALID, "the path of the TLS certificate or key is too long");
    }
    ERR_clear_error();
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (!tls) return vmt_fail(err, VMT_E_NO_MEMORY, "cannot set up TLS: %s", tls_reason());
    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(tls, select_protocol, NULL);
    vmt_status status = load(tls, cert, key, err);
    if (status != VMT_OK) {
        SSL_CTX_free(tls);
        return status;
    }
    *out = tls;
    return VMT_OK;
}
