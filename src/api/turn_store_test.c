/* The store of turns: what is found, what is replaced, what goes first. */
#include "api/turn_store.h"
#include "base/test.h"

#include <pthread.h>
#include <stdlib.h>

static vmt_turn turn_of(uint64_t key, uint64_t before, const int32_t *ids, uint32_t num_ids) {
    return (vmt_turn){.key = key, .before = {before, 1}, .before_bytes = before, .ids = ids, .num_ids = num_ids};
}

static void finds_the_turns_of_a_key(vmt_test *t) {
    vmt_turn_store *store = vmt_turn_store_create();
    const vmt_turn *found[VMT_TURNS_ALIKE_MAX];
    int32_t ids[] = {1, 2, 3, 4};
    const vmt_turn turns[] = {turn_of(7, 1, ids, 2), turn_of(8, 1, ids, 3), turn_of(7, 2, ids, 4)};
    for (size_t i = 0; i < VMT_COUNT(turns); i++) vmt_turn_store_put(store, &turns[i]);
    memset(ids, 0, sizeof ids); /* copied */
    vmt_expect_eq(t, vmt_turn_store_find(store, 9, found), 0);
    vmt_expect_eq(t, vmt_turn_store_find(store, 7, found), 2);
    vmt_expect_eq(t, found[0]->before_bytes, 2); /* the newest first */
    vmt_expect_eq(t, found[0]->num_ids, 4);
    vmt_expect_eq(t, found[0]->ids[3], 4);
    vmt_expect_eq(t, found[1]->ids[1], 2);
    for (uint32_t i = 0; i < 2; i++) vmt_turn_store_release(store, found[i]);
    vmt_turn_store_destroy(store);
}

static void the_same_place_is_replaced(vmt_test *t) {
    vmt_turn_store *store = vmt_turn_store_create();
    const vmt_turn *found[VMT_TURNS_ALIKE_MAX], *again[VMT_TURNS_ALIKE_MAX];
    const int32_t first[] = {1, 2}, second[] = {3};
    const vmt_turn turns[] = {turn_of(7, 5, first, 2), turn_of(7, 5, second, 1)};
    vmt_turn_store_put(store, &turns[0]);
    vmt_expect_eq(t, vmt_turn_store_find(store, 7, found), 1);
    vmt_turn_store_put(store, &turns[1]);
    vmt_expect_eq(t, vmt_turn_store_find(store, 7, again), 1);
    vmt_expect_eq(t, again[0]->ids[0], 3);
    vmt_expect_eq(t, found[0]->ids[1], 2); /* who holds the old one keeps it */
    vmt_turn_store_release(store, again[0]);
    vmt_turn_store_release(store, found[0]);
    vmt_turn_store_destroy(store);
}

static void the_unasked_for_goes_first(vmt_test *t) {
    vmt_turn_store *store = vmt_turn_store_create();
    const vmt_turn *found[VMT_TURNS_ALIKE_MAX];
    const uint32_t each = VMT_TURN_TOKENS_MAX,
                   fit = (uint32_t)(VMT_TURNS_KEPT_BYTES_MAX / (each * sizeof(int32_t)));
    int32_t *ids = calloc(each, sizeof *ids);
    for (uint32_t i = 0; i < fit; i++) {
        const vmt_turn turn = turn_of(i, i, ids, each);
        vmt_turn_store_put(store, &turn);
        /* The first is asked for again and again. */
        vmt_expect_eq(t, vmt_turn_store_find(store, 0, found), 1);
        vmt_turn_store_release(store, found[0]);
    }
    vmt_expect_eq(t, vmt_turn_store_find(store, 1, found), 0);
    vmt_expect_eq(t, vmt_turn_store_find(store, fit - 1, found), 1);
    vmt_turn_store_release(store, found[0]);
    /* One that is too long is not kept, and drives nothing out. */
    const vmt_turn long_one = turn_of(999, 1, ids, each + 1);
    vmt_turn_store_put(store, &long_one);
    vmt_expect_eq(t, vmt_turn_store_find(store, 999, found), 0);
    vmt_expect_eq(t, vmt_turn_store_find(store, 0, found), 1);
    vmt_turn_store_release(store, found[0]);
    free(ids);
    vmt_turn_store_destroy(store);
}

#define NUM_THREADS 4
#define NUM_ROUNDS  2000u

/* Puts, finds and reads in turns of few keys, so that what one thread reads another replaces. */
static void *work(void *arg) {
    vmt_turn_store *store = arg;
    int32_t ids[64];
    uint64_t sum = 0;
    for (uint32_t i = 0; i < NUM_ROUNDS; i++) {
        const vmt_turn *found[VMT_TURNS_ALIKE_MAX];
        for (uint32_t k = 0; k < VMT_COUNT(ids); k++) ids[k] = (int32_t)i;
        const vmt_turn turn = turn_of(i % 7, i % 3, ids, VMT_COUNT(ids));
        vmt_turn_store_put(store, &turn);
        uint32_t count = vmt_turn_store_find(store, i % 5, found);
        for (uint32_t k = 0; k < count; k++) {
            /* A turn is whole. */
            sum += found[k]->ids[0] != found[k]->ids[found[k]->num_ids - 1];
            vmt_turn_store_release(store, found[k]);
        }
    }
    return (void *)(uintptr_t)sum;
}

static void threads_share_it(vmt_test *t) {
    vmt_turn_store *store = vmt_turn_store_create();
    pthread_t threads[NUM_THREADS];
    for (size_t i = 0; i < NUM_THREADS; i++) vmt_expect_eq(t, pthread_create(&threads[i], NULL, work, store), 0);
    for (size_t i = 0; i < NUM_THREADS; i++) {
        void *num_torn = NULL;
        pthread_join(threads[i], &num_torn);
        vmt_expect(t, num_torn == NULL);
    }
    vmt_turn_store_destroy(store);
}

static void salts_are_apart(vmt_test *t) {
    vmt_turn_store *store = vmt_turn_store_create();
    vmt_expect(t,
               vmt_hash128_eq(vmt_turn_store_root(store, VMT_STR("a")), vmt_turn_store_root(store, VMT_STR("a"))));
    vmt_expect(
        t, !vmt_hash128_eq(vmt_turn_store_root(store, VMT_STR("a")), vmt_turn_store_root(store, (vmt_str){0})));
    vmt_turn_store_destroy(store);
}

static const vmt_test_case cases[] = {
    {"finds_the_turns_of_a_key", finds_the_turns_of_a_key},
    {"the_same_place_is_replaced", the_same_place_is_replaced},
    {"the_unasked_for_goes_first", the_unasked_for_goes_first},
    {"threads_share_it", threads_share_it},
    {"salts_are_apart", salts_are_apart},
    {0},
};
VMT_TEST_MAIN(cases)
