#include "base/arena.h"
#include "base/test.h"

static void cap_is_exact(vmt_test *t) {
    vmt_arena *arena = vmt_arena_create(100);
    vmt_expect(t, vmt_arena_alloc(arena, 60) != NULL);
    vmt_expect(t, vmt_arena_alloc(arena, 41) == NULL);
    vmt_expect_eq(t, vmt_arena_used(arena), 60);
    vmt_expect(t, vmt_arena_alloc(arena, 40) != NULL);
    vmt_expect(t, vmt_arena_alloc(arena, 1) == NULL);
    vmt_arena_reset(arena);
    vmt_expect_eq(t, vmt_arena_used(arena), 0);
    vmt_expect(t, vmt_arena_alloc(arena, 100) != NULL);
    vmt_arena_destroy(arena);
    vmt_arena_destroy(NULL);
}

static void overflow_is_refused(vmt_test *t) {
    vmt_arena *arena = vmt_arena_create(SIZE_MAX);
    vmt_expect(t, vmt_arena_alloc(arena, SIZE_MAX) == NULL);
    vmt_expect(t, vmt_arena_alloc(arena, SIZE_MAX - 8) == NULL);
    vmt_expect(t, vmt_arena_calloc(arena, SIZE_MAX / 2, 3) == NULL);
    vmt_expect(t, vmt_arena_dup(arena, (vmt_str){"x", SIZE_MAX}).ptr == NULL);
    vmt_expect_eq(t, vmt_arena_used(arena), 0);
    vmt_expect(t, vmt_arena_alloc(arena, 16) != NULL);
    vmt_arena_destroy(arena);
}

static void allocations_are_aligned_and_apart(vmt_test *t) {
    enum { count = 2000 };
    uint8_t *ptrs[count];
    size_t sizes[count];
    uint64_t state = t->seed;
    for (int i = 0; i < count; i++) {
        sizes[i] = i % 97 == 0 ? 70000 : vmt_arena_used(t->arena) * 31 % 300 + (state & 1);
        ptrs[i] = vmt_arena_alloc(t->arena, sizes[i]);
        vmt_expect(t, ptrs[i] && (uintptr_t)ptrs[i] % 16 == 0);
        memset(ptrs[i], i & 0xff, sizes[i]);
    }
    for (int i = 0; i < count; i++) {
        for (size_t k = 0; k < sizes[i]; k++) {
            if (ptrs[i][k] != (i & 0xff)) vmt_test_fail(t, __FILE__, __LINE__, "allocation %d was overwritten", i);
        }
    }
}

static void zero_bytes_are_unique(vmt_test *t) {
    void *a = vmt_arena_alloc(t->arena, 0), *b = vmt_arena_alloc(t->arena, 0);
    vmt_expect(t, a && b && a != b);
}

static void calloc_zeroes_reused_memory(vmt_test *t) {
    memset(vmt_arena_alloc(t->arena, 1000), 0xAB, 1000);
    vmt_arena_reset(t->arena);
    uint32_t *x = VMT_ARENA_NEW(t->arena, uint32_t, 250);
    for (int i = 0; i < 250; i++) vmt_expect_eq(t, x[i], 0);
}

static void dup_and_printf_end_in_nul(vmt_test *t) {
    vmt_str s = vmt_arena_dup(t->arena, (vmt_str){"hello", 4});
    vmt_expect_str(t, s.ptr, "hell");
    vmt_expect_eq(t, s.len, 4);
    vmt_expect(t, vmt_arena_dup(t->arena, (vmt_str){NULL, 0}).ptr != NULL);
    vmt_str p = vmt_arena_printf(t->arena, "%d-%s", 42, "x");
    vmt_expect_str(t, p.ptr, "42-x");

    vmt_arena *tiny = vmt_arena_create(4);
    vmt_expect(t, vmt_arena_printf(tiny, "%s", "four").ptr == NULL);
    vmt_expect_slice(t, vmt_arena_printf(tiny, "%s", "thr"), VMT_STR("thr"));
    vmt_arena_destroy(tiny);
}

static const vmt_test_case cases[] = {
    {"cap_is_exact", cap_is_exact},
    {"overflow_is_refused", overflow_is_refused},
    {"allocations_are_aligned_and_apart", allocations_are_aligned_and_apart},
    {"zero_bytes_are_unique", zero_bytes_are_unique},
    {"calloc_zeroes_reused_memory", calloc_zeroes_reused_memory},
    {"dup_and_printf_end_in_nul", dup_and_printf_end_in_nul},
    {0},
};
VMT_TEST_MAIN(cases)
