/* kv/prefix_cache_test.c: equal prefixes have equal chains; salt, key, order and parent all count. */
#include "kv/prefix_cache.h"
#include "base/test.h"

static const vmt_hash_key key = {1, 2};

static void no_salt_is_the_zero_root(vmt_test *t) {
    vmt_expect(t, vmt_hash128_is_zero(vmt_prefix_root(key, (vmt_str){0})));
    vmt_expect(t, !vmt_hash128_is_zero(vmt_prefix_root(key, VMT_STR("a"))));
    vmt_expect(t, !vmt_hash128_eq(vmt_prefix_root(key, VMT_STR("a")), vmt_prefix_root(key, VMT_STR("b"))));
}

static void chains_agree_exactly_on_equal_prefixes(vmt_test *t) {
    int32_t a[8] = {1, 2, 3, 4, 5, 6, 7, 8}, b[8] = {1, 2, 3, 4, 5, 6, 7, 9};
    vmt_hash128 root = vmt_prefix_root(key, (vmt_str){0});
    vmt_hash128 a1 = vmt_prefix_next(key, root, a, 4), b1 = vmt_prefix_next(key, root, b, 4);
    vmt_expect(t, vmt_hash128_eq(a1, b1));
    vmt_hash128 a2 = vmt_prefix_next(key, a1, a + 4, 4), b2 = vmt_prefix_next(key, b1, b + 4, 4);
    vmt_expect(t, !vmt_hash128_eq(a2, b2));
    /* The same ids behind another parent, salt or key are other content. */
    vmt_expect(t, !vmt_hash128_eq(a2, vmt_prefix_next(key, root, a + 4, 4)));
    vmt_hash128 salted = vmt_prefix_root(key, VMT_STR("tenant"));
    vmt_expect(t, !vmt_hash128_eq(a1, vmt_prefix_next(key, salted, a, 4)));
    vmt_expect(t, !vmt_hash128_eq(a1, vmt_prefix_next((vmt_hash_key){1, 3}, root, a, 4)));
    vmt_expect(t, !vmt_hash128_eq(a1, vmt_prefix_next(key, root, a, 5)));
}

static const vmt_test_case cases[] = {
    {"no_salt_is_the_zero_root", no_salt_is_the_zero_root},
    {"chains_agree_exactly_on_equal_prefixes", chains_agree_exactly_on_equal_prefixes},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
