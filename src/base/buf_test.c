#include "base/buf.h"
#include "base/checked.h"
#include "base/test.h"

#include <stdlib.h>

static void appends(vmt_test *t) {
    vmt_buf buf;
    vmt_buf_init(&buf, 0);
    vmt_buf_append(&buf, (vmt_str){NULL, 0});
    vmt_buf_append_c(&buf, "one ");
    vmt_buf_append_byte(&buf, '2');
    vmt_buf_printf(&buf, " %s %d", "three", 4);
    vmt_expect_str(t, buf.ptr, "one 2 three 4");
    vmt_buf_drop_front(&buf, 4);
    vmt_expect_str(t, buf.ptr, "2 three 4");
    vmt_buf_drop_front(&buf, buf.len);
    vmt_expect_eq(t, buf.len, 0);
    for (int i = 0; i < 10000; i++) vmt_buf_append_c(&buf, "0123456789");
    vmt_expect_eq(t, buf.len, 100000);
    vmt_expect_eq(t, buf.ptr[100000], 0);
    vmt_expect(t, !buf.failed);
    vmt_buf_free(&buf);
    vmt_buf_append_c(&buf, "again");
    vmt_expect_slice(t, vmt_buf_str(&buf), VMT_STR("again"));
    vmt_buf_free(&buf);
}

static void cap_max_is_exact_and_sticky(vmt_test *t) {
    vmt_buf buf;
    vmt_buf_init(&buf, 100);
    for (int i = 0; i < 10; i++) vmt_buf_append_c(&buf, "0123456789");
    vmt_expect(t, !buf.failed && buf.len == 100);
    vmt_buf_append_byte(&buf, 'x');
    vmt_expect(t, buf.failed && buf.len == 100);
    vmt_buf_drop_front(&buf, 50);
    vmt_buf_append_byte(&buf, 'x');
    vmt_expect_eq(t, buf.len, 50);
    vmt_buf_clear(&buf);
    vmt_expect(t, vmt_buf_reserve(&buf, 100));
    vmt_expect(t, !vmt_buf_reserve(&buf, 101));
    vmt_expect(t, !vmt_buf_reserve(&buf, 1));
    vmt_buf_clear(&buf);
    vmt_expect(t, !vmt_buf_reserve(&buf, SIZE_MAX));
    vmt_buf_free(&buf);
    vmt_expect_eq(t, buf.cap_max, 100);
}

static void array_grows_to_its_ceiling(vmt_test *t) {
    uint32_t *array = NULL;
    size_t cap = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        vmt_expect_eq(t, vmt_array_grow((void **)&array, &cap, i + 1, sizeof *array, 1000), VMT_OK);
        array[i] = i;
    }
    vmt_expect_eq(t, cap, 1000);
    uint32_t *before = array;
    vmt_expect_eq(t, vmt_array_grow((void **)&array, &cap, 1001, sizeof *array, 1000), VMT_E_EXHAUSTED);
    vmt_expect(t, array == before && cap == 1000);
    for (uint32_t i = 0; i < 1000; i++) vmt_expect_eq(t, array[i], i);
    vmt_expect_eq(t, vmt_array_grow((void **)&array, &cap, SIZE_MAX / 2, 4, SIZE_MAX), VMT_E_NO_MEMORY);
    vmt_expect(t, array == before && cap == 1000);
    free(array);
}

static void checked_arithmetic(vmt_test *t) {
    size_t out = 7;
    vmt_expect(t, vmt_add_size(1, 2, &out) && out == 3);
    vmt_expect(t, !vmt_add_size(SIZE_MAX, 1, &out) && out == 0);
    vmt_expect(t, vmt_mul_size(3, 4, &out) && out == 12);
    vmt_expect(t, !vmt_mul_size(SIZE_MAX / 2 + 1, 2, &out) && out == 0);
    vmt_expect(t, vmt_range_fits(0, 10, 10) && vmt_range_fits(10, 0, 10));
    vmt_expect(t, !vmt_range_fits(1, 10, 10) && !vmt_range_fits(UINT64_MAX, 2, 10));
}

static const vmt_test_case cases[] = {
    {"appends", appends},
    {"cap_max_is_exact_and_sticky", cap_max_is_exact_and_sticky},
    {"array_grows_to_its_ceiling", array_grows_to_its_ceiling},
    {"checked_arithmetic", checked_arithmetic},
    {0},
};
VMT_TEST_MAIN(cases)
