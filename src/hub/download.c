#include "hub/download.h"
#include "hub/storage.h"
#include "base/log.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ATTEMPTS_MAX        3 /* in a row without a single new byte */
#define ATTEMPTS_TOTAL_MAX  50
#define RETRY_DELAY_MS      500
#define CONNECT_TIMEOUT_S   20L
#define STALL_TIMEOUT_S     30L /* no byte for so long: try again */
#define REDIRECTS_MAX       10L
#define TEXT_BYTES_MAX      ((size_t)16 << 20)
#define DOWNLOAD_USER_AGENT "vmetal/" VMT_VERSION

/* One request; where its body goes is the caller's. */
struct transfer {
    const vmt_hub_config *config;
    CURL *curl;
    const char *label;
    char curl_error[CURL_ERROR_SIZE];
    vmt_buf *text; /* a text, or else a file: */
    int fd;
    const char *part;
    uint64_t offset;     /* bytes that were there before */
    uint64_t written;    /* in the file now */
    uint64_t size_bytes; /* of the whole file, if known */
    uint64_t range_begin;
    bool has_range, is_body_begun;
    bool is_truncated;     /* the server sent all from the start */
    bool is_range_refused; /* it has nothing that goes on from our bytes */
    vmt_err sink_err;      /* why the body could not be taken */
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_start(void) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* ---- libcurl's callbacks */

static size_t on_header(char *line, size_t size, size_t count, void *arg) {
    struct transfer *tr = arg;
    size_t len = size * count;
    if (len > 5 && strncasecmp(line, "HTTP/", 5) == 0) tr->has_range = false; /* another response: a redirect's */
    static const char name[] = "content-range: bytes ";
    if (len > sizeof name && strncasecmp(line, name, sizeof name - 1) == 0) {
        unsigned long long begin = 0;
        char text[64];
        snprintf(text, sizeof text, "%.*s", (int)(len - sizeof name + 1), line + sizeof name - 1);
        tr->has_range = sscanf(text, "%llu-", &begin) == 1;
        tr->range_begin = begin;
    }
    return len;
}

/* At the first byte of a good response: does it go on from the bytes we have, or begin anew? */
static bool begin_body(struct transfer *tr, long code) {
    if (tr->is_body_begun) return true;
    tr->is_body_begun = true;
    if (code == 206 && tr->has_range && tr->range_begin == tr->offset) return true;
    if (code == 206) {
        tr->is_range_refused = true;
        vmt_fail(&tr->sink_err, VMT_E_IO, "cannot fetch %s: the server sent another range than asked for",
                 tr->label);
        return false;
    }
    tr->is_truncated = tr->offset > 0;
    tr->offset = tr->written = 0;
    if (ftruncate(tr->fd, 0) == 0 && lseek(tr->fd, 0, SEEK_SET) == 0) return true;
    vmt_fail(&tr->sink_err, VMT_E_IO, "cannot write %s: %s", tr->part, strerror(errno));
    return false;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg) {
    struct transfer *tr = arg;
    size_t len = size * count;
    long code = 0;
    curl_easy_getinfo(tr->curl, CURLINFO_RESPONSE_CODE, &code);
    if (code >= 300) return len; /* an error's page */
    if (tr->text) {
        vmt_buf_append(tr->text, (vmt_str){bytes, len});
        if (!tr->text->failed) return len;
        vmt_fail(&tr->sink_err, VMT_E_EXHAUSTED, "cannot fetch %s: it is over %zu bytes", tr->label,
                 TEXT_BYTES_MAX);
        return 0;
    }
    if (!begin_body(tr, code)) return 0;
    if (tr->size_bytes != 0 && len > tr->size_bytes - VMT_MIN(tr->written, tr->size_bytes)) {
        vmt_fail(&tr->sink_err, VMT_E_INVALID, "cannot fetch %s: it is larger than the %llu bytes expected",
                 tr->label, (unsigned long long)tr->size_bytes);
        return 0;
    }
    if (vmt_write_all(tr->fd, tr->part, (vmt_str){bytes, len}, &tr->sink_err) != VMT_OK) return 0;
    tr->written += len;
    return len;
}

static int on_progress(void *arg, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now) {
    struct transfer *tr = arg;
    if (tr->text || !tr->config->progress || !tr->is_body_begun) return 0;
    uint64_t size = tr->size_bytes ? tr->size_bytes : total > 0 ? tr->offset + (uint64_t)total : 0;
    tr->config->progress(tr->config->progress_ctx, tr->label, tr->written, size);
    return 0;
}

/* ---- one request */

static bool set_options(struct transfer *tr, const char *url) {
    CURL *c = tr->curl;
    /* What was asked for over TLS is not taken from elsewhere without. */
    const char *protocols = strncasecmp(url, "https:", 6) == 0 ? "https" : "http,https";
    bool good = curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, protocols) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_MAXREDIRS, REDIRECTS_MAX) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, STALL_TIMEOUT_S) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_USERAGENT, DOWNLOAD_USER_AGENT) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_ERRORBUFFER, tr->curl_error) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_HEADERDATA, tr) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_WRITEDATA, tr) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_XFERINFODATA, tr) == CURLE_OK;
    good = good && curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L) == CURLE_OK;
    if (tr->config->ca_file) good = good && curl_easy_setopt(c, CURLOPT_CAINFO, tr->config->ca_file) == CURLE_OK;
    if (tr->offset > 0) {
        char range[32];
        snprintf(range, sizeof range, "%llu-", (unsigned long long)tr->offset);
        good = good && curl_easy_setopt(c, CURLOPT_RANGE, range) == CURLE_OK;
    }
    return good;
}

/* What happened, in words, and whether another try may help. */
static vmt_status judge(struct transfer *tr, CURLcode code, bool *may_retry, vmt_err *err) {
    *may_retry = tr->is_range_refused;
    if (tr->sink_err.code != VMT_OK) return vmt_fail(err, tr->sink_err.code, "%s", tr->sink_err.msg);
    if (code != CURLE_OK) {
        *may_retry = code != CURLE_URL_MALFORMAT && code != CURLE_UNSUPPORTED_PROTOCOL &&
                     code != CURLE_PEER_FAILED_VERIFICATION && code != CURLE_TOO_MANY_REDIRECTS &&
                     code != CURLE_SSL_CACERT_BADFILE && code != CURLE_OUT_OF_MEMORY;
        const char *reason = tr->curl_error[0] ? tr->curl_error : curl_easy_strerror(code);
        return vmt_fail(err, VMT_E_IO, "cannot fetch %s: %s", tr->label, reason);
    }
    long http = 0;
    curl_easy_getinfo(tr->curl, CURLINFO_RESPONSE_CODE, &http);
    if (http == 200 || http == 206) return VMT_OK;
    tr->is_range_refused = http == 416 && tr->offset > 0;
    *may_retry = http == 408 || tr->is_range_refused || http == 429 || http >= 500;
    vmt_status status = http == 404 ? VMT_E_NOT_FOUND : VMT_E_IO;
    return vmt_fail(err, status, "cannot fetch %s: the server answered with HTTP status %ld", tr->label, http);
}

static vmt_status perform(struct transfer *tr, const char *url, const char *accept, vmt_buf *final_url,
                          bool *may_retry, vmt_err *err) {
    *may_retry = false;
    pthread_once(&curl_once, curl_start);
    tr->curl = curl_easy_init();
    struct curl_slist *headers = NULL;
    if (tr->curl && accept) headers = curl_slist_append(NULL, accept);
    vmt_status status;
    if (!tr->curl || (accept && !headers)) {
        status = vmt_fail(err, VMT_E_NO_MEMORY, "no memory to fetch %s", tr->label);
    } else if (!set_options(tr, url) || curl_easy_setopt(tr->curl, CURLOPT_HTTPHEADER, headers) != CURLE_OK) {
        status = vmt_fail(err, VMT_E_INTERNAL, "cannot fetch %s: libcurl refuses an option", tr->label);
    } else {
        CURLcode code = curl_easy_perform(tr->curl);
        status = judge(tr, code, may_retry, err);
        char *effective = NULL;
        curl_easy_getinfo(tr->curl, CURLINFO_EFFECTIVE_URL, &effective);
        if (final_url && effective) vmt_buf_append_c(final_url, effective);
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(tr->curl);
    return status;
}

static void sleep_ms(uint64_t ms) {
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {}
}

static vmt_status check_online(const vmt_hub_config *config, const char *label, vmt_err *err) {
    if (!config->offline) return VMT_OK;
    return vmt_fail(err, VMT_E_NOT_FOUND, "cannot fetch %s: offline mode is on", label);
}

/* ---- texts */

vmt_status vmt_download_text(const vmt_hub_config *config, const char *url, const char *accept, const char *label,
                             vmt_buf *out, vmt_buf *final_url, vmt_err *err) {
    VMT_TRY(check_online(config, label, err));
    size_t len_before = out->len;
    for (uint32_t attempt = 0;; attempt++) {
        vmt_buf text;
        vmt_buf_init(&text, TEXT_BYTES_MAX);
        if (final_url) vmt_buf_clear(final_url);
        struct transfer tr = {.config = config, .label = label, .text = &text, .fd = -1};
        vmt_err reason = {0};
        bool may_retry;
        vmt_status status = perform(&tr, url, accept, final_url, &may_retry, &reason);
        if (status == VMT_OK) vmt_buf_append(out, vmt_buf_str(&text));
        vmt_buf_free(&text);
        if (status == VMT_OK && !out->failed) return VMT_OK;
        out->len = len_before;
        if (status == VMT_OK) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for %s", label);
        if (!may_retry || attempt + 1 == ATTEMPTS_MAX) return vmt_fail(err, status, "%s", reason.msg);
        sleep_ms((uint64_t)RETRY_DELAY_MS << attempt);
    }
}

/* ---- files */

/* How much of the part can be kept. */
static vmt_status usable_bytes(const vmt_download *d, int fd, const char *part, uint64_t *out, vmt_err *err) {
    struct stat info;
    if (fstat(fd, &info) != 0) return vmt_fail(err, VMT_E_IO, "cannot read %s: %s", part, strerror(errno));
    *out = (uint64_t)info.st_size;
    bool is_usable = d->sha256 && (d->size_bytes == 0 || *out <= d->size_bytes);
    if (!is_usable) *out = 0;
    if (ftruncate(fd, (off_t)*out) != 0 || lseek(fd, (off_t)*out, SEEK_SET) < 0) {
        return vmt_fail(err, VMT_E_IO, "cannot write %s: %s", part, strerror(errno));
    }
    return VMT_OK;
}

/* Until the part is whole.  *was_resumed: some of it is from an earlier call, or from another response. */
static vmt_status fill_part(const vmt_hub_config *config, const vmt_download *d, int fd, const char *part,
                            bool *was_resumed, vmt_err *err) {
    uint64_t delay_ms = d->retry_delay_ms ? d->retry_delay_ms : RETRY_DELAY_MS;
    uint32_t num_fruitless = 0;
    for (uint32_t attempt = 0; attempt < ATTEMPTS_TOTAL_MAX; attempt++) {
        uint64_t offset;
        VMT_TRY(usable_bytes(d, fd, part, &offset, err));
        if (offset > 0 && offset == d->size_bytes) return VMT_OK;
        struct transfer tr = {.config = config,
                              .label = d->label,
                              .fd = fd,
                              .part = part,
                              .offset = offset,
                              .written = offset,
                              .size_bytes = d->size_bytes};
        vmt_err reason = {0};
        bool may_retry;
        vmt_status status = perform(&tr, d->url, NULL, NULL, &may_retry, &reason);
        *was_resumed = offset > 0 && !tr.is_truncated;
        if (status == VMT_OK && d->size_bytes != 0 && tr.written < d->size_bytes) {
            may_retry = true;
            status = vmt_fail(&reason, VMT_E_IO, "cannot fetch %s: it ended after %llu of %llu bytes", d->label,
                              (unsigned long long)tr.written, (unsigned long long)d->size_bytes);
        }
        if (status == VMT_OK) return VMT_OK;
        if (tr.is_range_refused && ftruncate(fd, 0) != 0) may_retry = false;
        num_fruitless = tr.written > offset ? 0 : num_fruitless + 1;
        if (!may_retry || num_fruitless == ATTEMPTS_MAX) return vmt_fail(err, status, "%s", reason.msg);
        vmt_log_debug("fetch again label=\"%s\" bytes=%llu reason=\"%s\"", d->label,
                      (unsigned long long)tr.written, reason.msg);
        sleep_ms(num_fruitless ? delay_ms << (num_fruitless - 1) : 0);
    }
    return vmt_fail(err, VMT_E_IO, "cannot fetch %s: the connection broke %d times", d->label, ATTEMPTS_TOTAL_MAX);
}

/* A part with the wrong digest is emptied. */
static vmt_status check_digest(const vmt_download *d, int fd, const char *part, vmt_err *err) {
    if (!d->sha256) return VMT_OK;
    char hex[VMT_SHA256_HEX_LEN + 1];
    VMT_TRY(vmt_file_sha256(fd, part, hex, err));
    if (strcmp(hex, d->sha256) == 0) return VMT_OK;
    if (ftruncate(fd, 0) != 0) vmt_log_warn("cannot empty path=%s", part);
    return vmt_fail(err, VMT_E_INVALID, "%s is not what was expected: its SHA-256 is %s and not %s", d->label, hex,
                    d->sha256);
}

static vmt_status fetch_locked(const vmt_hub_config *config, const vmt_download *d, vmt_err *err) {
    if (vmt_file_has_size(d->path, d->size_bytes)) return VMT_OK; /* another process was quicker */
    char part[VMT_HUB_PATH_MAX];
    VMT_TRY(vmt_path_suffix(part, d->path, ".part", err));
    int fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return vmt_fail(err, VMT_E_IO, "cannot write %s: %s", part, strerror(errno));
    vmt_err reason = {0};
    bool was_resumed = false;
    vmt_status status = fill_part(config, d, fd, part, &was_resumed, &reason);
    if (status == VMT_OK) {
        status = check_digest(d, fd, part, &reason);
        /* The old bytes may have been of another version of the file: once more, all of it. */
        if (status == VMT_E_INVALID && was_resumed) {
            reason = (vmt_err){0};
            status = fill_part(config, d, fd, part, &was_resumed, &reason);
            if (status == VMT_OK) status = check_digest(d, fd, part, &reason);
        }
    }
    if (status == VMT_OK) return vmt_file_publish(fd, part, d->path, err);
    close(fd);
    if (vmt_file_has_size(part, 0)) {
        struct stat info;
        if (stat(part, &info) == 0 && info.st_size == 0) unlink(part);
    }
    return vmt_fail(err, status, "%s", reason.msg);
}

vmt_status vmt_download_file(const vmt_hub_config *config, const vmt_download *d, vmt_err *err) {
    if (vmt_file_has_size(d->path, d->size_bytes)) return VMT_OK;
    VMT_TRY(check_online(config, d->label, err));
    vmt_file_lock lock;
    VMT_TRY(vmt_file_lock_acquire(&lock, d->path, err));
    vmt_status status = fetch_locked(config, d, err);
    vmt_file_lock_release(&lock);
    return status;
}
