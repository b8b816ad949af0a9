/* tensor/gguf_test.c: a good file built here, each way to break it, and a deterministic fuzz. */
#include "tensor/gguf.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/test.h"

struct writer {
    vmt_buf buf;
    size_t tensor_offset_at, ndim_at, dim_at, type_at, string_len_at, array_len_at, array_type_at, value_type_at;
    size_t alignment_at, tensor_name_len_at;
};

static void put(struct writer *w, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) vmt_buf_append_byte(&w->buf, (char)(value >> (8 * i)));
}

static void put_str(struct writer *w, const char *s) {
    put(w, strlen(s), 8);
    vmt_buf_append_c(&w->buf, s);
}

static void put_key(struct writer *w, const char *key, vmt_gguf_type type) {
    put_str(w, key);
    put(w, type, 4);
}

static void put_metadata(struct writer *w) {
    put_key(w, "general.architecture", VMT_GGUF_STRING);
    w->string_len_at = w->buf.len;
    put_str(w, "llama");
    put_key(w, "general.alignment", VMT_GGUF_U32);
    w->alignment_at = w->buf.len;
    put(w, 64, 4);
    put_key(w, "a.i8", VMT_GGUF_I8);
    w->value_type_at = w->buf.len - 4;
    put(w, 0xff, 1);
    put_key(w, "a.f32", VMT_GGUF_F32);
    put(w, 0x3fc00000, 4); /* 1.5 */
    put_key(w, "a.bool", VMT_GGUF_BOOL);
    put(w, 1, 1);
    put_key(w, "a.u64", VMT_GGUF_U64);
    put(w, UINT64_MAX, 8);
    put_key(w, "a.words", VMT_GGUF_ARRAY);
    w->array_type_at = w->buf.len;
    put(w, VMT_GGUF_STRING, 4);
    w->array_len_at = w->buf.len;
    put(w, 3, 8);
    put_str(w, "one");
    put_str(w, "");
    put_str(w, "three");
    put_key(w, "a.ints", VMT_GGUF_ARRAY);
    put(w, VMT_GGUF_I16, 4);
    put(w, 2, 8);
    put(w, 7, 2);
    put(w, 0xfffe, 2);
}

/* Nine pairs; tensors "m" [2, 32] Q8_0 (68 bytes) and "v" [4] F32 at offset 128. */
static struct writer good_file(void) {
    struct writer w = {0};
    vmt_buf_init(&w.buf, 0);
    vmt_buf_append_c(&w.buf, "GGUF");
    put(&w, 3, 4);
    put(&w, 2, 8);
    put(&w, 8, 8);
    put_metadata(&w);
    w.tensor_name_len_at = w.buf.len;
    put_str(&w, "m");
    w.ndim_at = w.buf.len;
    put(&w, 2, 4);
    w.dim_at = w.buf.len;
    put(&w, 32, 8);
    put(&w, 2, 8);
    w.type_at = w.buf.len;
    put(&w, 8, 4);
    put(&w, 0, 8);
    put_str(&w, "v");
    put(&w, 1, 4);
    put(&w, 4, 8);
    put(&w, 0, 4);
    w.tensor_offset_at = w.buf.len;
    put(&w, 128, 8);
    while (w.buf.len % 64 != 0) put(&w, 0, 1);
    for (int i = 0; i < 128; i++) put(&w, (uint64_t)i, 1);
    put(&w, 0x3f800000, 4);
    put(&w, 0x40000000, 4);
    put(&w, 0, 4);
    put(&w, 0, 4);
    return w;
}

static vmt_status parse(vmt_gguf **out, const void *data, size_t size, vmt_err *err) {
    static vmt_map map;
    map = (vmt_map){.data = data, .size = size};
    return vmt_gguf_parse(out, &map, "x.gguf", err);
}

static void reads_a_good_file(vmt_test *t) {
    struct writer w = good_file();
    vmt_gguf *g;
    vmt_err err = {0};
    vmt_expect_eq(t, parse(&g, w.buf.ptr, w.buf.len, &err), VMT_OK);
    uint64_t u;
    double d;
    bool b;
    vmt_str s, words[3];
    vmt_gguf_array array;
    int32_t ints[2];
    vmt_expect(t, vmt_gguf_str(g, "general.architecture", &s) && vmt_str_eq_c(s, "llama"));
    vmt_expect(t, vmt_gguf_u64(g, "general.alignment", &u) && u == 64);
    vmt_expect(t, !vmt_gguf_u64(g, "a.i8", &u) && vmt_gguf_f64(g, "a.i8", &d) && d == -1);
    vmt_expect(t, vmt_gguf_f64(g, "a.f32", &d) && d == 1.5);
    vmt_expect(t, vmt_gguf_bool(g, "a.bool", &b) && b);
    vmt_expect(t, vmt_gguf_u64(g, "a.u64", &u) && u == UINT64_MAX);
    vmt_expect(t, !vmt_gguf_u64(g, "a.f32", &u) && !vmt_gguf_str(g, "absent", &s));
    vmt_expect(t,
               vmt_gguf_get_array(g, "a.words", &array) && array.len == 3 && vmt_gguf_array_strs(&array, words));
    vmt_expect(t, vmt_str_eq_c(words[0], "one") && words[1].len == 0 && vmt_str_eq_c(words[2], "three"));
    vmt_expect(t, !vmt_gguf_array_i32(&array, ints));
    vmt_expect(t, vmt_gguf_get_array(g, "a.ints", &array) && vmt_gguf_array_i32(&array, ints));
    vmt_expect(t, ints[0] == 7 && ints[1] == -2);
    vmt_expect_eq(t, vmt_gguf_num_tensors(g), 2);
    vmt_tensor m = vmt_gguf_tensor(g, 0), v = vmt_gguf_tensor(g, 1);
    vmt_expect(t, m.ndim == 2 && m.shape[0] == 2 && m.shape[1] == 32 && m.dtype == VMT_Q8_0);
    vmt_expect(t, v.offset - m.offset == 128 && m.offset % 64 == 0 && ((float *)vmt_tensor_data(&v))[1] == 2.0f);
    vmt_expect_slice(t, vmt_gguf_tensor_name(g, 1), VMT_STR("v"));
    vmt_gguf_destroy(g);
    vmt_buf_free(&w.buf);
}

/* Overwrites bytes at `at` with value and expects the sentence. */
static void expect_broken(vmt_test *t, size_t at, uint64_t value, size_t bytes, const char *sentence) {
    struct writer w = good_file();
    vmt_gguf *g;
    vmt_err err = {0};
    for (size_t i = 0; i < bytes; i++) w.buf.ptr[at + i] = (char)(value >> (8 * i));
    vmt_expect(t, parse(&g, w.buf.ptr, w.buf.len, &err) != VMT_OK);
    if (strstr(err.msg, sentence) == NULL) vmt_expect_str(t, err.msg, sentence);
    vmt_buf_free(&w.buf);
}

static void refuses_each_broken_field(vmt_test *t) {
    struct writer w = good_file();
    vmt_buf_free(&w.buf);
    expect_broken(t, 0, 0, 1, "x.gguf: not a GGUF file (it begins with 00 47 55 46)");
    expect_broken(t, 4, 1, 4, "x.gguf: GGUF version 1, supported are 2 and 3");
    expect_broken(t, 8, UINT64_MAX, 8, "the header claims 18446744073709551615 tensors, the limit for its");
    expect_broken(t, 16, 1u << 20, 8, "the header claims 1048576 metadata pairs, the limit for its");
    expect_broken(t, 24, UINT64_MAX, 8, "a metadata key is 18446744073709551615 bytes long");
    expect_broken(t, w.string_len_at, (uint64_t)1 << 63, 8, "a metadata string is 9223372036854775808 bytes long");
    expect_broken(t, w.value_type_at, 13, 4, "metadata 'a.i8' has type 13, the format knows 0 to 12");
    expect_broken(t, w.array_type_at, 9, 4, "array 'a.words' has element type 9, which is not supported");
    expect_broken(t, w.array_len_at, (uint64_t)1 << 40, 8,
                  "array 'a.words' has 1099511627776 elements, the limit is");
    expect_broken(t, w.array_len_at, 1u << 20, 8, "bytes long, only");
    expect_broken(t, w.alignment_at, 48, 4, "general.alignment is 48, it must be a power of two");
    expect_broken(t, w.alignment_at, 0, 4, "general.alignment is 0, it must be a power of two");
    expect_broken(t, w.tensor_name_len_at, 0, 8, "a tensor's name is 0 bytes long, the limit is 256");
    expect_broken(t, w.ndim_at, 5, 4, "tensor 'm' has 5 dimensions, 1 to 4 are supported");
    expect_broken(t, w.ndim_at, 0, 4, "tensor 'm' has 0 dimensions, 1 to 4 are supported");
    expect_broken(t, w.dim_at, 0, 8, "tensor 'm' has an impossible shape (a dimension of 0)");
    expect_broken(t, w.dim_at, UINT64_MAX, 8, "tensor 'm' has an impossible shape");
    expect_broken(t, w.dim_at, 33, 8, "tensor 'm' has rows of 33 elements, Q8_0 needs a multiple of 32");
    expect_broken(t, w.dim_at, 64000, 8, "tensor 'm' (2 x 64000 Q8_0 at data offset 0) ends past the file's");
    expect_broken(t, w.type_at, 10, 4, "tensor 'm' has type Q2_K (10); supported are");
    expect_broken(t, w.type_at, 4, 4, "tensor 'm' has type unknown (4); supported are");
    expect_broken(t, w.tensor_offset_at, 129, 8, "tensor 'v' starts at offset 129, not a multiple of 64");
    expect_broken(t, w.tensor_offset_at, UINT64_MAX - 63, 8, "ends past the file's");
    expect_broken(t, w.tensor_offset_at, 192, 8, "ends past the file's");
}

static void refuses_every_truncation(vmt_test *t) {
    struct writer w = good_file();
    for (size_t len = 0; len < w.buf.len; len++) {
        uint8_t *copy = malloc(len + 1); /* exact, so that the address sanitizer sees a read past the end */
        memcpy(copy, w.buf.ptr, len);
        uint8_t *exact = realloc(copy, len ? len : 1);
        vmt_gguf *g;
        vmt_err err = {0};
        vmt_expect(t, parse(&g, exact, len, &err) != VMT_OK && err.msg[0] != '\0' && g == NULL);
        free(exact);
    }
    vmt_buf_free(&w.buf);
}

/* Reads everything that a parsed header offers. */
static void touch_all(const vmt_gguf *g) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < vmt_gguf_num_tensors(g); i++) {
        vmt_tensor tensor = vmt_gguf_tensor(g, i);
        const uint8_t *p = vmt_tensor_data(&tensor);
        size_t bytes = vmt_tensor_bytes(&tensor);
        sum += p[0] + p[bytes - 1] + vmt_gguf_tensor_name(g, i).len;
    }
    static const char *const arrays[] = {"a.words", "a.ints"};
    for (size_t i = 0; i < VMT_COUNT(arrays); i++) {
        vmt_gguf_array a;
        if (!vmt_gguf_get_array(g, arrays[i], &a)) continue;
        vmt_str *strs = calloc(a.len + 1, sizeof *strs);
        int32_t *ints = calloc(a.len + 1, sizeof *ints);
        float *floats = calloc(a.len + 1, sizeof *floats);
        if (vmt_gguf_array_strs(&a, strs)) {
            for (uint32_t k = 0; k < a.len; k++) sum += strs[k].len ? (uint8_t)strs[k].ptr[strs[k].len - 1] : 0;
        }
        (void)vmt_gguf_array_i32(&a, ints);
        (void)vmt_gguf_array_f32(&a, floats);
        free(strs);
        free(ints);
        free(floats);
    }
    volatile uint64_t keep = sum;
    (void)keep;
}

static void survives_mutation(vmt_test *t) {
    static const uint64_t values[] = {0,          1,          0x7f,       0x80,       0xff, 0xffff,
                                      0x7fffffff, 0xffffffff, UINT64_MAX, 1ull << 63, 9,    8};
    struct writer w = good_file();
    uint64_t state = t->seed, end_ns = vmt_clock_ns() + 1000000000ull;
    uint32_t parsed = 0;
    uint8_t *data = malloc(w.buf.len);
    for (uint32_t round = 0; round < 200000 && vmt_clock_ns() < end_ns; round++) {
        memcpy(data, w.buf.ptr, w.buf.len);
        for (uint64_t n = 1 + vmt_splitmix64(&state) % 3; n > 0; n--) {
            size_t at = vmt_splitmix64(&state) % w.buf.len, width = (size_t)1 << vmt_splitmix64(&state) % 4;
            uint64_t value = values[vmt_splitmix64(&state) % VMT_COUNT(values)];
            if (vmt_splitmix64(&state) % 2) value = vmt_splitmix64(&state) % 300;
            for (size_t i = 0; i < width && at + i < w.buf.len; i++) data[at + i] = (uint8_t)(value >> (8 * i));
        }
        vmt_gguf *g;
        vmt_err err = {0};
        if (parse(&g, data, w.buf.len, &err) != VMT_OK) {
            vmt_expect(t, err.msg[0] != '\0');
            continue;
        }
        touch_all(g);
        vmt_gguf_destroy(g);
        parsed++;
    }
    vmt_expect(t, parsed > 10);
    free(data);
    vmt_buf_free(&w.buf);
}

static const vmt_test_case cases[] = {
    {"reads_a_good_file", reads_a_good_file},
    {"refuses_each_broken_field", refuses_each_broken_field},
    {"refuses_every_truncation", refuses_every_truncation},
    {"survives_mutation", survives_mutation},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
