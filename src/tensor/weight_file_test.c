/* tensor/weight_file_test.c: safetensors files and directories of shards, good, broken and mutated. */
#include "tensor/weight_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/test.h"
#include "tensor/safetensors.h"

static const char good_header[] = "{\"__metadata__\":{\"format\":\"pt\"},"
                                  "\"a.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
                                  "\"b\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[24,32]},"
                                  "\"step\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[32,40]},"
                                  "\"scalar\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[40,42]}}";

/* Header (padded to 8) and 42 bytes of data. */
static vmt_buf build(const char *header) {
    vmt_buf buf;
    vmt_buf_init(&buf, 0);
    uint64_t len = (strlen(header) + 7) & ~7ull;
    for (int i = 0; i < 8; i++) vmt_buf_append_byte(&buf, (char)(len >> (8 * i)));
    vmt_buf_append_c(&buf, header);
    while (buf.len < 8 + len) vmt_buf_append_byte(&buf, ' ');
    for (int i = 0; i < 42; i++) vmt_buf_append_byte(&buf, (char)i);
    return buf;
}

static vmt_status parse(vmt_safetensors **out, const void *data, size_t size, vmt_err *err) {
    static vmt_map map;
    map = (vmt_map){.data = data, .size = size};
    return vmt_safetensors_parse(out, &map, "x.safetensors", err);
}

static void reads_a_good_header(vmt_test *t) {
    vmt_buf buf = build(good_header);
    vmt_safetensors *st;
    vmt_expect_eq(t, parse(&st, buf.ptr, buf.len, NULL), VMT_OK);
    vmt_expect_eq(t, vmt_safetensors_count(st), 4);
    const vmt_safetensors_entry *a = vmt_safetensors_get(st, 0), *step = vmt_safetensors_get(st, 2);
    vmt_expect_slice(t, a->name, VMT_STR("a.weight"));
    vmt_expect(t, a->tensor.ndim == 2 && a->tensor.shape[0] == 2 && a->tensor.shape[1] == 3);
    vmt_expect(t, a->tensor.dtype == VMT_F32 && a->tensor.offset == buf.len - 42);
    vmt_expect(t, !step->is_supported);
    vmt_expect(t, vmt_safetensors_get(st, 3)->tensor.ndim == 1);
    vmt_safetensors_destroy(st);
    vmt_buf_free(&buf);
}

/* As MLX writes them. */
static void takes_tensors_at_any_byte(vmt_test *t) {
    vmt_buf buf = build("{\"t\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[3,27]},"
                        "\"q\":{\"dtype\":\"U32\",\"shape\":[1,2],\"data_offsets\":[27,35]}}");
    vmt_safetensors *st;
    vmt_expect_eq(t, parse(&st, buf.ptr, buf.len, NULL), VMT_OK);
    const vmt_safetensors_entry *a = vmt_safetensors_get(st, 0), *q = vmt_safetensors_get(st, 1);
    vmt_expect(t, a->is_supported && a->tensor.offset == buf.len - 42 + 3);
    vmt_expect(t, q->is_supported && q->tensor.dtype == VMT_U32 && q->tensor.offset == buf.len - 42 + 27);
    vmt_safetensors_destroy(st);
    vmt_buf_free(&buf);
}

static void refuses_broken_headers(vmt_test *t) {
    static const struct {
        const char *entry, *sentence;
    } broken[] = {
        {"\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,20]",
         "has 6 elements of F32 but 20 bytes of data"},
        {"\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[24,0]", "lies at [24, 0) of 42 data bytes"},
        {"\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[20,44]", "lies at [20, 44) of 42 data bytes"},
        {"\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[18446744073709551615,24]", "of 42 data bytes"},
        {"\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0]",
         "data_offsets of tensor 't' are not two numbers"},
        {"\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24,5]", "are not two numbers"},
        {"\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[-8,16]", "are not two numbers"},
        {"\"dtype\":\"F32\",\"shape\":[2,\"3\"],\"data_offsets\":[0,24]",
         "the shape of tensor 't' holds a string"},
        {"\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,24]", "overflows 64 bits"},
        {"\"dtype\":\"F32\",\"shape\":[2,3]", "tensor 't' lacks dtype, shape or data_offsets"},
        {"\"dtype\":7,\"shape\":[2,3],\"data_offsets\":[0,24]", "tensor 't' lacks dtype, shape or data_offsets"},
    };
    for (size_t i = 0; i < VMT_COUNT(broken); i++) {
        vmt_buf buf = build(vmt_arena_printf(t->arena, "{\"t\":{%s}}", broken[i].entry).ptr);
        vmt_safetensors *st;
        vmt_err err = {0};
        vmt_expect(t, parse(&st, buf.ptr, buf.len, &err) != VMT_OK);
        if (strstr(err.msg, broken[i].sentence) == NULL) vmt_expect_str(t, err.msg, broken[i].sentence);
        vmt_buf_free(&buf);
    }
    vmt_safetensors *st;
    vmt_err err = {0};
    vmt_expect(t, parse(&st, "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, &err) != VMT_OK);
    vmt_expect(t, strstr(err.msg, "the header claims 18446744073709551615 bytes, the limit is 100000000") != NULL);
    err = (vmt_err){0};
    vmt_expect(t, parse(&st, "\2\0\0\0\0\0\0\0[]", 10, &err) != VMT_OK);
    vmt_expect(t, strstr(err.msg, "the header is an array, expected an object") != NULL);
    err = (vmt_err){0};
    vmt_expect(t, parse(&st, "\2\0\0\0\0\0\0\0{]", 10, &err) != VMT_OK);
    vmt_expect(t, strstr(err.msg, "x.safetensors: the header is not JSON") != NULL);
}

static void survives_mutation(vmt_test *t) {
    static const char alphabet[] = "0123456789{}[],:\"\\-.eE\0\xff\x80 tfn";
    vmt_buf buf = build(good_header);
    uint64_t state = t->seed, end_ns = vmt_clock_ns() + 800000000ull;
    char *data = malloc(buf.len);
    uint32_t parsed = 0;
    for (uint32_t round = 0; round < 100000 && vmt_clock_ns() < end_ns; round++) {
        size_t len = vmt_splitmix64(&state) % 8 ? buf.len : vmt_splitmix64(&state) % buf.len;
        memcpy(data, buf.ptr, buf.len);
        for (uint64_t n = 1 + vmt_splitmix64(&state) % 3; n > 0; n--) {
            data[vmt_splitmix64(&state) % buf.len] = alphabet[vmt_splitmix64(&state) % (sizeof alphabet - 1)];
        }
        vmt_safetensors *st;
        vmt_err err = {0};
        if (parse(&st, data, len, &err) != VMT_OK) {
            vmt_expect(t, err.msg[0] != '\0');
            continue;
        }
        for (uint32_t i = 0; i < vmt_safetensors_count(st); i++) {
            const vmt_safetensors_entry *e = vmt_safetensors_get(st, i);
            if (!e->is_supported) continue;
            vmt_expect(t, vmt_tensor_bytes(&e->tensor) + e->tensor.offset <= len);
        }
        vmt_safetensors_destroy(st);
        parsed++;
    }
    vmt_expect(t, parsed > 10);
    free(data);
    vmt_buf_free(&buf);
}

/* ---- directories ---- */

static const char *new_dir(vmt_test *t) {
    const char *base = getenv("TMPDIR");
    char *path = vmt_arena_alloc(t->arena, 256);
    snprintf(path, 256, "%s/vmt_weights_XXXXXX", base ? base : "/tmp");
    vmt_expect(t, mkdtemp(path) != NULL);
    return path;
}

static const char *write_file(vmt_test *t, const char *dir, const char *name, vmt_str content) {
    const char *path = vmt_arena_printf(t->arena, "%s/%s", dir, name).ptr;
    FILE *f = fopen(path, "wb");
    vmt_expect(t, f != NULL && fwrite(content.ptr, 1, content.len, f) == content.len);
    fclose(f);
    return path;
}

static void remove_dir(vmt_test *t, const char *dir) {
    static const char *const names[] = {"model.safetensors.index.json", "one.safetensors", "two.safetensors",
                                        "one.gguf", "two.gguf"};
    for (size_t i = 0; i < VMT_COUNT(names); i++) {
        (void)unlink(vmt_arena_printf(t->arena, "%s/%s", dir, names[i]).ptr);
    }
    vmt_expect_eq(t, rmdir(dir), 0);
}

static vmt_buf shard(const char *name) {
    char header[200];
    snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}}", name);
    return build(header);
}

static void opens_shards(vmt_test *t) {
    const char *dir = new_dir(t);
    vmt_buf one = shard("first"), two = build(good_header);
    write_file(t, dir, "one.safetensors", vmt_buf_str(&one));
    vmt_weight_file *f;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_weight_file_open(&f, dir, &err), VMT_OK); /* the only file */
    vmt_expect_eq(t, vmt_weight_file_count(f), 1);
    vmt_weight_file_close(f);
    write_file(t, dir, "two.safetensors", vmt_buf_str(&two));
    vmt_expect_eq(t, vmt_weight_file_open(&f, dir, &err), VMT_E_INVALID);
    vmt_expect(t, strstr(err.msg, "2 *.safetensors files but no model.safetensors.index.json") != NULL);
    write_file(t, dir, "model.safetensors.index.json",
               VMT_STR("{\"weight_map\":{\"first\":\"one.safetensors\",\"a.weight\":\"two.safetensors\","
                       "\"b\":\"two.safetensors\"}}"));
    err = (vmt_err){0};
    vmt_expect_eq(t, vmt_weight_file_open(&f, dir, &err), VMT_OK);
    vmt_tensor tensor;
    vmt_expect(t, vmt_weight_file_find(f, VMT_STR("first"), &tensor) && tensor.shape[1] == 3);
    vmt_expect(t, vmt_weight_file_find(f, VMT_STR("b"), &tensor) && tensor.dtype == VMT_BF16);
    vmt_expect(t, !vmt_weight_file_find(f, VMT_STR("step"), &tensor) && vmt_weight_file_gguf(f) == NULL);
    vmt_expect_eq(t, vmt_weight_file_get(f, VMT_STR("step"), &tensor, &err), VMT_E_UNSUPPORTED);
    vmt_expect_str(t, err.msg, "two.safetensors: tensor 'step' has dtype I64; supported are F32, F16 and BF16");
    vmt_expect_eq(t, vmt_weight_file_bytes(f), 24 + 24 + 8 + 2);
    vmt_expect_slice(t, vmt_weight_file_name(f, 0), VMT_STR("a.weight"));
    vmt_weight_file_close(f);
    vmt_buf_free(&one);
    vmt_buf_free(&two);
    remove_dir(t, dir);
}

static void refuses_bad_indexes(vmt_test *t) {
    static const struct {
        const char *index, *sentence;
    } broken[] = {
        {"{\"weight_map\":{\"a\":\"../one.safetensors\"}}", "the file of tensor 'a' is not a plain file name"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "the file of tensor 'a' is not a plain file name"},
        {"{\"weight_map\":{\"a\":\"..\"}}", "the file of tensor 'a' is not a plain file name"},
        {"{\"weight_map\":{\"a\":\"\"}}", "the file of tensor 'a' is not a plain file name"},
        {"{\"weight_map\":{\"a\":7}}", "the file of tensor 'a' is not a plain file name"},
        {"{\"weight_map\":{}}", "weight_map lists no files"},
        {"[]", "weight_map lists no files"},
        {"{", "not JSON"},
        {"{\"weight_map\":{\"a\":\"absent.safetensors\"}}", "absent.safetensors"},
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}", "tensor 'first' occurs twice"},
    };
    const char *dir = new_dir(t);
    vmt_buf one = shard("first");
    write_file(t, dir, "one.safetensors", vmt_buf_str(&one));
    write_file(t, dir, "two.safetensors", vmt_buf_str(&one));
    for (size_t i = 0; i < VMT_COUNT(broken); i++) {
        write_file(t, dir, "model.safetensors.index.json", vmt_str_from(broken[i].index));
        vmt_weight_file *f;
        vmt_err err = {0};
        vmt_expect(t, vmt_weight_file_open(&f, dir, &err) != VMT_OK && f == NULL);
        if (strstr(err.msg, broken[i].sentence) == NULL) vmt_expect_str(t, err.msg, broken[i].sentence);
    }
    vmt_buf_free(&one);
    remove_dir(t, dir);
}

static void an_empty_directory_or_file_is_no_model(vmt_test *t) {
    const char *dir = new_dir(t);
    vmt_weight_file *f;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_weight_file_open(&f, dir, &err), VMT_E_NOT_FOUND);
    vmt_expect(t, strstr(err.msg, "no *.safetensors or *.gguf file in this directory") != NULL);
    const char *path = write_file(t, dir, "one.safetensors", VMT_STR(""));
    err = (vmt_err){0};
    vmt_expect_eq(t, vmt_weight_file_open(&f, path, &err), VMT_E_INVALID);
    vmt_expect_str(t, err.msg, "one.safetensors: not a safetensors file (only 0 bytes)");
    remove_dir(t, dir);
}

/* Docker Model Runner's bundles are folders with model.gguf in them. */
static void a_directory_may_hold_one_gguf(vmt_test *t) {
    const char *dir = new_dir(t);
    vmt_weight_file *f;
    vmt_err err = {0}, same = {0};
    const char *path = write_file(t, dir, "one.gguf", VMT_STR("GGUF?"));
    vmt_expect_eq(t, vmt_weight_file_open(&f, path, &same), VMT_E_INVALID);
    vmt_expect_eq(t, vmt_weight_file_open(&f, dir, &err), VMT_E_INVALID);
    vmt_expect_str(t, err.msg, same.msg);
    write_file(t, dir, "two.gguf", VMT_STR("GGUF?"));
    err = (vmt_err){0};
    vmt_expect_eq(t, vmt_weight_file_open(&f, dir, &err), VMT_E_INVALID);
    vmt_expect(t, strstr(err.msg, "2 *.gguf files; name the one to open") != NULL);
    remove_dir(t, dir);
}

static const vmt_test_case cases[] = {
    {"reads_a_good_header", reads_a_good_header},
    {"takes_tensors_at_any_byte", takes_tensors_at_any_byte},
    {"refuses_broken_headers", refuses_broken_headers},
    {"survives_mutation", survives_mutation},
    {"opens_shards", opens_shards},
    {"refuses_bad_indexes", refuses_bad_indexes},
    {"an_empty_directory_or_file_is_no_model", an_empty_directory_or_file_is_no_model},
    {"a_directory_may_hold_one_gguf", a_directory_may_hold_one_gguf},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
