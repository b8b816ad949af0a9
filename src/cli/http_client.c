#include "cli/http_client.h"
#include "json/json.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECT_TIMEOUT_MS 10000
#define BODY_BYTES_MAX     ((uint64_t)64 << 20)
#define CONNECTIONS_MAX    4096L /* kept for the next call */
#define HEADER_BYTES_MAX   4096

struct request {
    struct request *next;
    vmt_http_client *client;
    CURL *curl;
    struct curl_slist *headers;
    char curl_error[CURL_ERROR_SIZE];
    vmt_http_call call; /* its strings are gone */
    vmt_http_reply reply;
    bool is_cancelled;
};

struct vmt_http_client {
    CURLM *multi;
    char *ca_file;
    struct request *requests; /* running */
    uint32_t num_running;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_start(void) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

vmt_status vmt_http_client_create(vmt_http_client **out, const char *ca_file, vmt_err *err) {
    *out = NULL;
    pthread_once(&curl_once, curl_start);
    vmt_http_client *client = calloc(1, sizeof *client);
    if (client) client->multi = curl_multi_init();
    if (client && ca_file) client->ca_file = strdup(ca_file);
    if (!client || !client->multi || (ca_file && !client->ca_file)) {
        vmt_http_client_destroy(client);
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the HTTP client");
    }
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_MAX);
    *out = client;
    return VMT_OK;
}

static void request_free(struct request *r) {
    if (r->curl) curl_easy_cleanup(r->curl);
    curl_slist_free_all(r->headers);
    vmt_buf_free(&r->reply.body);
    free(r);
}

void vmt_http_client_destroy(vmt_http_client *client) {
    if (!client) return;
    while (client->requests) {
        struct request *r = client->requests;
        client->requests = r->next;
        curl_multi_remove_handle(client->multi, r->curl);
        request_free(r);
    }
    if (client->multi) curl_multi_cleanup(client->multi);
    free(client->ca_file);
    free(client);
}

/* ---- one request */

static size_t on_body(char *bytes, size_t size, size_t count, void *arg) {
    struct request *r = arg;
    vmt_str piece = {bytes, size * count};
    long status = 0;
    curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
    r->reply.num_bytes += piece.len;
    if (status < 400 && r->call.on_bytes) {
        r->is_cancelled = !r->call.on_bytes(r->call.ctx, piece);
        return r->is_cancelled ? 0 : piece.len;
    }
    vmt_buf_append(&r->reply.body, piece);
    if (!r->reply.body.failed) return piece.len;
    vmt_fail(&r->reply.err, VMT_E_EXHAUSTED, "the response is over %zu bytes", r->reply.body.cap_max);
    return 0;
}

static bool add_header(struct request *r, const char *name, const char *value) {
    char line[HEADER_BYTES_MAX];
    int len = snprintf(line, sizeof line, "%s: %s", name, value);
    /* A line break in a key would be a header of its own. */
    if (len >= (int)sizeof line || strpbrk(line, "\r\n")) return false;
    struct curl_slist *list = curl_slist_append(r->headers, line);
    if (list) r->headers = list;
    return list != NULL;
}

static bool set_headers(struct request *r, const vmt_http_call *call) {
    bool good = true;
    if (call->json.ptr) good = add_header(r, "Content-Type", "application/json") && add_header(r, "Expect", "");
    if (call->bearer && call->bearer[0]) {
        char value[HEADER_BYTES_MAX];
        int len = snprintf(value, sizeof value, "Bearer %s", call->bearer);
        good = good && len < (int)sizeof value && add_header(r, "Authorization", value);
    }
    if (call->request_id) good = good && add_header(r, "X-Request-Id", call->request_id);
    return good && curl_easy_setopt(r->curl, CURLOPT_HTTPHEADER, r->headers) == CURLE_OK;
}

static bool is_this_machine(const char *url) {
    CURLU *u = curl_url();
    char *host = NULL;
    bool is_local =
        u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        (strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 || strcmp(host, "[::1]") == 0);
    curl_free(host);
    curl_url_cleanup(u);
    return is_local;
}

static bool set_options(struct request *r, const vmt_http_call *call) {
    CURL *c = r->curl;
    long connect_ms = call->connect_timeout_ms ? (long)call->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    bool good = curl_easy_setopt(c, CURLOPT_URL, call->url) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, connect_ms) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_USERAGENT, "vmetal/" VMT_VERSION) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_ERRORBUFFER, r->curl_error) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_WRITEDATA, r) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_PRIVATE, r) == CURLE_OK;
    if (is_this_machine(call->url)) good = good && curl_easy_setopt(c, CURLOPT_NOPROXY, "*") == CURLE_OK;
    if (call->idle_timeout_s) {
        good = good && curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK;
        good = good && curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)call->idle_timeout_s) == CURLE_OK;
    }
    if (call->unix_socket)
        good = good && curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, call->unix_socket) == CURLE_OK;
    if (r->client->ca_file) good = good && curl_easy_setopt(c, CURLOPT_CAINFO, r->client->ca_file) == CURLE_OK;
    if (call->json.ptr) {
        good = good && curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->json.len) == CURLE_OK;
        good =
            good && curl_easy_setopt(c, CURLOPT_COPYPOSTFIELDS, call->json.len ? call->json.ptr : "") == CURLE_OK;
    }
    return good && set_headers(r, call);
}

vmt_status vmt_http_client_start(vmt_http_client *client, const vmt_http_call *call, vmt_err *err) {
    struct request *r = calloc(1, sizeof *r);
    if (!r) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a request");
    r->client = client;
    r->call = *call;
    uint64_t body_max = call->body_bytes_max ? call->body_bytes_max : BODY_BYTES_MAX;
    vmt_buf_init(&r->reply.body, (size_t)VMT_MIN(body_max, (uint64_t)VMT_BUF_CAP_MAX));
    r->curl = curl_easy_init();
    if (!r->curl || !set_options(r, call)) {
        vmt_status status = vmt_fail(err, VMT_E_INVALID,
                                     "cannot send a request to %.100s: its address or a header "
                                     "is not usable",
                                     call->url);
        request_free(r);
        return status;
    }
    if (curl_multi_add_handle(client->multi, r->curl) != CURLM_OK) {
        request_free(r);
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a request");
    }
    r->next = client->requests;
    client->requests = r;
    client->num_running++;
    return VMT_OK;
}

static void finish(struct request *r, CURLcode code) {
    vmt_http_client *client = r->client;
    for (struct request **at = &client->requests; *at; at = &(*at)->next) {
        if (*at != r) continue;
        *at = r->next;
        break;
    }
    client->num_running--;
    long status = 0;
    curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
    r->reply.status = (int)status;
    if (r->is_cancelled) {
        vmt_fail(&r->reply.err, VMT_E_CANCELLED, "cancelled");
    } else if (code == CURLE_OPERATION_TIMEDOUT && status == 0 && r->call.idle_timeout_s) {
        vmt_fail(&r->reply.err, VMT_E_IO, "no answer: %s", r->curl_error);
    } else if (code != CURLE_OK) {
        vmt_fail(&r->reply.err, VMT_E_IO, "%s", r->curl_error[0] ? r->curl_error : curl_easy_strerror(code));
    }
    curl_multi_remove_handle(client->multi, r->curl);
    if (r->call.on_done) r->call.on_done(r->call.ctx, &r->reply);
    request_free(r);
}

uint32_t vmt_http_client_poll(vmt_http_client *client, uint32_t timeout_ms) {
    int num_running = 0, num_left;
    curl_multi_perform(client->multi, &num_running);
    CURLMsg *message = curl_multi_info_read(client->multi, &num_left);
    if (!message && num_running > 0) {
        curl_multi_poll(client->multi, NULL, 0, (int)VMT_MIN(timeout_ms, 1u << 30), NULL);
        curl_multi_perform(client->multi, &num_running);
        message = curl_multi_info_read(client->multi, &num_left);
    }
    for (; message; message = curl_multi_info_read(client->multi, &num_left)) {
        if (message->msg != CURLMSG_DONE) continue;
        CURLcode code = message->data.result;
        char *owner = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &owner);
        finish((struct request *)(void *)owner, code);
    }
    return client->num_running;
}

/* ---- waiting for one */

struct waiting {
    const vmt_http_call *call;
    vmt_http_reply *reply;
    bool is_done;
};

static bool pass_bytes(void *ctx, vmt_str bytes) {
    struct waiting *w = ctx;
    return w->call->on_bytes(w->call->ctx, bytes);
}

static void keep_reply(void *ctx, const vmt_http_reply *reply) {
    struct waiting *w = ctx;
    w->reply->status = reply->status;
    w->reply->err = reply->err;
    w->reply->num_bytes = reply->num_bytes;
    vmt_buf_append(&w->reply->body, vmt_buf_str(&reply->body));
    if (w->call->on_done) w->call->on_done(w->call->ctx, reply);
    w->is_done = true;
}

vmt_status vmt_http_client_call(vmt_http_client *client, const vmt_http_call *call, vmt_http_reply *reply,
                                vmt_err *err) {
    vmt_http_reply own;
    vmt_http_reply *r = reply ? reply : &own;
    *r = (vmt_http_reply){0};
    struct waiting w = {.call = call, .reply = r};
    vmt_http_call wrapped = *call;
    wrapped.on_bytes = call->on_bytes ? pass_bytes : NULL;
    wrapped.on_done = keep_reply;
    wrapped.ctx = &w;
    vmt_status status = vmt_http_client_start(client, &wrapped, err);
    if (status == VMT_OK) {
        while (!w.is_done) vmt_http_client_poll(client, 1000);
        status = vmt_http_reply_check(r, err);
    }
    if (!reply) vmt_buf_free(&own.body);
    return status;
}

/* ---- errors in words */

/* {"error": {"message": ...}}, {"error": "..."}, {"detail": "..."}, {"message": "..."} */
static bool error_text(vmt_json root, vmt_str *out) {
    vmt_json error = VMT_JSON_AT(root, "error");
    return vmt_json_get_str(VMT_JSON_AT(error, "message"), out) || vmt_json_get_str(error, out) ||
           vmt_json_get_str(VMT_JSON_AT(root, "detail"), out) ||
           vmt_json_get_str(VMT_JSON_AT(root, "message"), out);
}

vmt_status vmt_http_reply_check(const vmt_http_reply *reply, vmt_err *err) {
    if (reply->err.code != VMT_OK && (reply->status < 400 || reply->body.len == 0)) {
        return vmt_fail(err, reply->err.code, "%s", reply->err.msg);
    }
    if (reply->status < 400) return VMT_OK;
    vmt_status status = reply->status == 404   ? VMT_E_NOT_FOUND
                        : reply->status < 500  ? VMT_E_INVALID
                        : reply->status == 503 ? VMT_E_EXHAUSTED
                                               : VMT_E_IO;
    vmt_json_doc *doc = NULL;
    vmt_str text = {0};
    bool has_text = vmt_json_parse(&doc, vmt_buf_str(&reply->body), NULL) == VMT_OK &&
                    error_text(vmt_json_root(doc), &text) && text.len > 0;
    if (has_text) {
        vmt_fail(err, status, "%.*s (HTTP status %d)", VMT_STR_ARG(text), reply->status);
    } else {
        vmt_fail(err, status, "the server answered with HTTP status %d", reply->status);
    }
    vmt_json_doc_destroy(doc);
    return status;
}
