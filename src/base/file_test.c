#include "base/file.h"
#include "base/test.h"

#include <stdlib.h>
#include <unistd.h>

static const char *make_file(vmt_test *t, const char *text, size_t len) {
    vmt_str path = vmt_arena_dup(t->arena, VMT_STR("/tmp/vmt_file_test_XXXXXX"));
    int fd = mkstemp((char *)path.ptr);
    vmt_expect(t, fd >= 0);
    vmt_expect(t, write(fd, text, len) == (ssize_t)len);
    close(fd);
    return path.ptr;
}

static void reads_a_whole_file(vmt_test *t) {
    const char *path = make_file(t, "hello", 5);
    vmt_buf buf;
    vmt_err err = {0};
    vmt_buf_init(&buf, 0);
    vmt_buf_append_c(&buf, "> ");
    vmt_expect_eq(t, vmt_file_read(&buf, path, 5, &err), VMT_OK);
    vmt_expect_str(t, buf.ptr, "> hello");
    vmt_expect_eq(t, vmt_file_read(&buf, path, 4, &err), VMT_E_EXHAUSTED);
    vmt_expect(t, strstr(err.msg, "5 bytes") && strstr(err.msg, "4"));
    vmt_expect_str(t, buf.ptr, "> hello");
    vmt_buf_free(&buf);
    unlink(path);
}

static void maps_a_file(vmt_test *t) {
    size_t len = 100000;
    char *text = vmt_arena_alloc(t->arena, len);
    for (size_t i = 0; i < len; i++) text[i] = (char)(i * 7);
    const char *path = make_file(t, text, len);
    vmt_map map;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_map_open(&map, path, &err), VMT_OK);
    vmt_expect(t, map.size == len && memcmp(map.data, text, len) == 0);
    vmt_map_will_need(&map, 5000, 20000);
    vmt_map_drop(&map, 5000, 20000);
    vmt_map_drop(&map, 0, len);
    vmt_expect(t, memcmp(map.data, text, len) == 0);
    vmt_map_close(&map);
    vmt_expect(t, map.data == NULL && map.size == 0);
    unlink(path);
}

static void an_empty_file_is_a_map(vmt_test *t) {
    const char *path = make_file(t, "", 0);
    vmt_map map;
    vmt_expect_eq(t, vmt_map_open(&map, path, NULL), VMT_OK);
    vmt_expect(t, map.data == NULL && map.size == 0);
    vmt_map_will_need(&map, 0, 0);
    vmt_map_close(&map);
    unlink(path);
}

static void errors_name_the_path(vmt_test *t) {
    vmt_map map;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_map_open(&map, "/nowhere/at/all", &err), VMT_E_NOT_FOUND);
    vmt_expect(t, strstr(err.msg, "/nowhere/at/all") != NULL);
    err = (vmt_err){0};
    vmt_expect_eq(t, vmt_map_open(&map, "/tmp", &err), VMT_E_INVALID);
    vmt_expect(t, strstr(err.msg, "not a regular file") != NULL);
    vmt_expect(t, vmt_dir_exists("/tmp") && !vmt_file_exists("/tmp"));
    vmt_expect(t, !vmt_dir_exists("/nowhere") && !vmt_file_exists("/nowhere"));
}

static const vmt_test_case cases[] = {
    {"reads_a_whole_file", reads_a_whole_file},
    {"maps_a_file", maps_a_file},
    {"an_empty_file_is_a_map", an_empty_file_is_a_map},
    {"errors_name_the_path", errors_name_the_path},
    {0},
};
VMT_TEST_MAIN(cases)
