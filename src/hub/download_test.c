/* Downloads from a local server that breaks off, forgets ranges, lies and fails. */
#include "base/file.h"
#include "base/test.h"
#include "http/test_server.h"
#include "hub/download.h"
#include "hub/storage.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES  300000u
#define PIECE_BYTES 70000u

struct site {
    char file[FILE_BYTES];
    char sha256[VMT_SHA256_HEX_LEN + 1];
    atomic_uint num_requests, num_resumed;
    char dir[64], path[128], part[160];
    test_server *server;
    vmt_hub_config config;
    atomic_ullong seen_done, seen_total;
    char url[128];
};

static uint64_t asked_offset(vmt_http_exchange *x) {
    vmt_str range = vmt_http_header(x, "range");
    uint64_t offset = 0;
    if (vmt_str_starts(range, VMT_STR("bytes=")) && vmt_str_ends(range, VMT_STR("-"))) {
        (void)vmt_str_to_u64(vmt_str_slice(range, 6, range.len - 1), &offset);
    }
    return offset;
}

static void send_range(struct site *site, vmt_http_exchange *x, uint64_t begin, uint64_t claimed, size_t len_max) {
    char text[64];
    size_t len = VMT_MIN(len_max, (size_t)(FILE_BYTES - begin));
    int text_len =
        snprintf(text, sizeof text, "bytes %llu-%u/%u", (unsigned long long)claimed, FILE_BYTES - 1, FILE_BYTES);
    if (begin > 0 || claimed > 0) {
        atomic_fetch_add(&site->num_resumed, 1);
        vmt_http_add_header(x, "Content-Range", (vmt_str){text, (size_t)text_len});
    }
    vmt_http_respond(x, begin > 0 || claimed > 0 ? 206 : 200, "application/octet-stream",
                     (vmt_str){site->file + begin, len});
}

static void handle(void *ctx, vmt_http_exchange *x) {
    struct site *site = ctx;
    vmt_str path = vmt_http_path(x);
    uint32_t number = atomic_fetch_add(&site->num_requests, 1);
    uint64_t offset = asked_offset(x);
    if (vmt_str_eq(path, VMT_STR("/good"))) {
        send_range(site, x, offset, offset, SIZE_MAX);
    } else if (vmt_str_eq(path, VMT_STR("/pieces"))) { /* each answer ends too early */
        send_range(site, x, offset, offset, PIECE_BYTES);
    } else if (vmt_str_eq(path, VMT_STR("/no-ranges"))) {
        send_range(site, x, 0, 0, number == 0 ? PIECE_BYTES : SIZE_MAX);
    } else if (vmt_str_eq(path, VMT_STR("/wrong-range"))) {
        send_range(site, x, 0, offset > 0 ? offset - 1 : 0, SIZE_MAX);
    } else if (vmt_str_eq(path, VMT_STR("/416")) && offset > 0) {
        vmt_http_respond(x, 416, NULL, (vmt_str){0});
    } else if (vmt_str_eq(path, VMT_STR("/short"))) { /* and has no more */
        vmt_http_respond(x, offset ? 416 : 200, "application/octet-stream",
                         (vmt_str){site->file, offset ? 0 : 1000});
    } else if (vmt_str_eq(path, VMT_STR("/long"))) {
        vmt_http_stream_begin(x, 200, "application/octet-stream");
        vmt_http_stream_write(x, (vmt_str){site->file, FILE_BYTES});
        vmt_http_stream_write(x, VMT_STR("more"));
        vmt_http_stream_end(x);
    } else if (vmt_str_eq(path, VMT_STR("/sometimes")) && number < 2) {
        vmt_http_respond(x, 503, "text/plain", VMT_STR("not now"));
    } else if (vmt_str_eq(path, VMT_STR("/moved"))) {
        vmt_http_add_header(x, "Location", VMT_STR("/good"));
        vmt_http_respond(x, 302, "text/plain", VMT_STR("a page of words"));
    } else if (vmt_str_eq(path, VMT_STR("/sometimes")) || vmt_str_eq(path, VMT_STR("/416"))) {
        send_range(site, x, 0, 0, SIZE_MAX);
    } else if (vmt_str_eq(path, VMT_STR("/broken"))) {
        vmt_http_respond(x, 500, "text/plain", VMT_STR("oh"));
    } else {
        vmt_http_respond(x, 404, "text/plain", VMT_STR("a page of words"));
    }
}

static void on_progress(void *ctx, const char *label, uint64_t done, uint64_t total) {
    struct site *site = ctx;
    VMT_ASSERT(strcmp(label, "THING") == 0 && done <= total);
    atomic_store(&site->seen_done, done);
    atomic_store(&site->seen_total, total);
}

static struct site *site_open(vmt_test *t) {
    setenv("no_proxy", "127.0.0.1", 1);
    struct site *site = VMT_ARENA_NEW(t->arena, struct site, 1);
    for (size_t i = 0; i < FILE_BYTES; i++) site->file[i] = (char)(i * i >> 7);
    snprintf(site->dir, sizeof site->dir, "/tmp/vmetal_dl_XXXXXX");
    vmt_expect(t, mkdtemp(site->dir) != NULL);
    snprintf(site->path, sizeof site->path, "%s/file", site->dir);
    snprintf(site->part, sizeof site->part, "%s.part", site->path);
    int fd = open(site->path, O_RDWR | O_CREAT, 0600);
    vmt_expect_eq(t, vmt_write_all(fd, site->path, (vmt_str){site->file, FILE_BYTES}, NULL), VMT_OK);
    vmt_expect_eq(t, vmt_file_sha256(fd, site->path, site->sha256, NULL), VMT_OK);
    close(fd);
    unlink(site->path);
    vmt_http_config config = test_server_config();
    config.on_request = handle;
    config.ctx = site;
    site->server = test_server_start(t, &config);
    site->config = (vmt_hub_config){.progress = on_progress, .progress_ctx = site};
    return site;
}

static uint32_t num_files(const char *dir) {
    uint32_t count = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d)) != NULL;) count += e->d_name[0] != '.';
    closedir(d);
    return count;
}

static void site_close(struct site *site) {
    test_server_stop(site->server);
    unlink(site->path);
    unlink(site->part);
    VMT_ASSERT(rmdir(site->dir) == 0); /* no lock stays behind */
}

static vmt_download download(struct site *site, const char *target) {
    snprintf(site->url, sizeof site->url, "http://127.0.0.1:%u/%s", test_server_port(site->server), target);
    atomic_store(&site->num_requests, 0);
    atomic_store(&site->num_resumed, 0);
    return (vmt_download){.url = site->url,
                          .path = site->path,
                          .label = "THING",
                          .sha256 = site->sha256,
                          .size_bytes = FILE_BYTES,
                          .retry_delay_ms = 1};
}

static void expect_file(vmt_test *t, struct site *site) {
    vmt_buf text;
    vmt_buf_init(&text, 0);
    vmt_expect_eq(t, vmt_file_read(&text, site->path, FILE_BYTES, NULL), VMT_OK);
    bool is_same = text.len == FILE_BYTES && memcmp(text.ptr, site->file, FILE_BYTES) == 0;
    vmt_buf_free(&text);
    vmt_expect(t, is_same);
    vmt_expect_eq(t, num_files(site->dir), 1);
}

static void put_part(vmt_test *t, struct site *site, size_t len, bool is_right) {
    int fd = open(site->part, O_RDWR | O_CREAT | O_TRUNC, 0600);
    vmt_expect_eq(t, vmt_write_all(fd, site->part, (vmt_str){site->file + !is_right, len}, NULL), VMT_OK);
    close(fd);
}

static void files_arrive_whole(vmt_test *t) {
    static const struct {
        const char *target;
        size_t part_bytes;
        bool is_part_right;
        uint32_t num_requests, num_resumed;
    } cases[] = {
        {"good", 0, true, 1, 0},
        {"moved", 0, true, 2, 0},
        {"good", 1000, true, 1, 1},
        {"good", FILE_BYTES, true, 0, 0}, /* only the name was missing */
        {"good", 1000, false, 2, 1},      /* from another file: found out, and fetched again */
        {"good", FILE_BYTES - 1, false, 2, 1},
        {"pieces", 0, true, 5, 4},
        {"no-ranges", 0, true, 2, 0},
        {"no-ranges", 5000, true, 2, 0},
        {"wrong-range", 5000, true, 2, 1},
        {"416", 5000, true, 2, 0},
        {"sometimes", 0, true, 3, 0},
    };
    struct site *site = site_open(t);
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        vmt_download d = download(site, cases[i].target);
        if (cases[i].part_bytes) put_part(t, site, cases[i].part_bytes, cases[i].is_part_right);
        vmt_err err = {0};
        if (vmt_download_file(&site->config, &d, &err))
            vmt_test_fail(t, __FILE__, __LINE__, "%zu: %s", i, err.msg);
        expect_file(t, site);
        if (atomic_load(&site->num_requests) != cases[i].num_requests) {
            vmt_test_fail(t, __FILE__, __LINE__, "case %zu: %u requests", i, atomic_load(&site->num_requests));
        }
        vmt_expect_eq(t, atomic_load(&site->num_resumed), cases[i].num_resumed);
        if (cases[i].num_requests) vmt_expect_eq(t, atomic_load(&site->seen_done), FILE_BYTES);
        if (cases[i].num_requests) vmt_expect_eq(t, atomic_load(&site->seen_total), FILE_BYTES);
        /* There now: nothing is asked, also offline. */
        d = download(site, "nowhere");
        site->config.offline = true;
        vmt_expect_eq(t, vmt_download_file(&site->config, &d, &err), VMT_OK);
        site->config.offline = false;
        vmt_expect_eq(t, atomic_load(&site->num_requests), 0);
        unlink(site->path);
    }
    site_close(site);
}

static void failures_leave_no_file(vmt_test *t) {
    static const struct {
        const char *target;
        vmt_status status;
        const char *message;
        bool keeps_part;
    } cases[] = {
        {"nowhere", VMT_E_NOT_FOUND, "cannot fetch THING: the server answered with HTTP status 404", false},
        {"broken", VMT_E_IO, "cannot fetch THING: the server answered with HTTP status 500", false},
        {"short", VMT_E_IO, "", false},
        {"long", VMT_E_INVALID, "cannot fetch THING: it is larger than the 300000 bytes expected", true},
    };
    struct site *site = site_open(t);
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        vmt_download d = download(site, cases[i].target);
        vmt_err err = {0};
        vmt_status status = vmt_download_file(&site->config, &d, &err);
        if (status != cases[i].status) vmt_test_fail(t, __FILE__, __LINE__, "%zu: %d %s", i, (int)status, err.msg);
        if (cases[i].message[0]) vmt_expect_str(t, err.msg, cases[i].message);
        vmt_expect(t, !vmt_file_exists(site->path));
        unlink(site->part);
        vmt_expect_eq(t, num_files(site->dir), 0);
    }
    /* The wrong digest: named, and nothing is kept. */
    vmt_download d = download(site, "good");
    char other[VMT_SHA256_HEX_LEN + 1];
    memset(other, 'a', sizeof other - 1);
    other[sizeof other - 1] = 0;
    d.sha256 = other;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_download_file(&site->config, &d, &err), VMT_E_INVALID);
    vmt_expect(t, strstr(err.msg, site->sha256) && strstr(err.msg, other));
    vmt_expect_eq(t, num_files(site->dir), 0);
    /* Nobody there; no such name; offline. */
    d = download(site, "good");
    d.url = "http://127.0.0.1:1/x";
    err = (vmt_err){0};
    vmt_expect_eq(t, vmt_download_file(&site->config, &d, &err), VMT_E_IO);
    vmt_expect(t, strstr(err.msg, "cannot fetch THING: Failed to connect") != NULL);
    site->config.offline = true;
    err = (vmt_err){0};
    vmt_expect_eq(t, vmt_download_file(&site->config, &d, &err), VMT_E_NOT_FOUND);
    vmt_expect_str(t, err.msg, "cannot fetch THING: offline mode is on");
    site_close(site);
}

/* What has arrived of a download that failed is not fetched again. */
static void a_part_survives_a_failure(vmt_test *t) {
    struct site *site = site_open(t);
    put_part(t, site, 250000, true);
    vmt_download d = download(site, "broken");
    vmt_expect_eq(t, vmt_download_file(&site->config, &d, NULL), VMT_E_IO);
    vmt_expect(t, vmt_file_has_size(site->part, 250000));
    d = download(site, "good");
    vmt_expect_eq(t, vmt_download_file(&site->config, &d, NULL), VMT_OK);
    vmt_expect_eq(t, atomic_load(&site->num_resumed), 1);
    expect_file(t, site);
    site_close(site);
}

struct racer {
    struct site *site;
    vmt_download d;
    vmt_status status;
};

static void *race(void *arg) {
    struct racer *racer = arg;
    racer->status = vmt_download_file(&racer->site->config, &racer->d, NULL);
    return NULL;
}

/* Locks belong to open files, so threads stand in for processes. */
static void rivals_fetch_once(vmt_test *t) {
    struct site *site = site_open(t);
    struct racer racers[6];
    pthread_t threads[6];
    vmt_download d = download(site, "pieces");
    for (int i = 0; i < 6; i++) {
        racers[i] = (struct racer){.site = site, .d = d, .status = VMT_E_INTERNAL};
        pthread_create(&threads[i], NULL, race, &racers[i]);
    }
    for (int i = 0; i < 6; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 6; i++) vmt_expect_eq(t, racers[i].status, VMT_OK);
    vmt_expect_eq(t, atomic_load(&site->num_requests), 5);
    expect_file(t, site);
    site_close(site);
}

static void texts_are_read(vmt_test *t) {
    struct site *site = site_open(t);
    (void)download(site, "moved");
    vmt_buf text, url;
    vmt_buf_init(&text, 0);
    vmt_buf_init(&url, 0);
    vmt_expect_eq(t, vmt_download_text(&site->config, site->url, "Accept: x/y", "TEXT", &text, &url, NULL),
                  VMT_OK);
    vmt_expect(t, text.len == FILE_BYTES && vmt_str_ends(vmt_buf_str(&url), VMT_STR("/good")));
    (void)download(site, "nowhere");
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_download_text(&site->config, site->url, NULL, "TEXT", &text, NULL, &err),
                  VMT_E_NOT_FOUND);
    vmt_expect_eq(t, text.len, FILE_BYTES);
    err = (vmt_err){0};
    vmt_expect_eq(t, vmt_download_text(&site->config, "ftp://127.0.0.1/x", NULL, "TEXT", &text, NULL, &err),
                  VMT_E_IO);
    vmt_buf_free(&text);
    vmt_buf_free(&url);
    site_close(site);
}

static const vmt_test_case cases[] = {
    {"files_arrive_whole", files_arrive_whole},
    {"failures_leave_no_file", failures_leave_no_file},
    {"a_part_survives_a_failure", a_part_survives_a_failure},
    {"rivals_fetch_once", rivals_fetch_once},
    {"texts_are_read", texts_are_read},
    {0},
};

VMT_TEST_MAIN(cases)
