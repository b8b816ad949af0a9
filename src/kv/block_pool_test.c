/* kv/block_pool_test.c: exact ids, counts and reuse order; then a seeded walk against a naive model. */
#include "kv/block_pool.h"
#include "base/rng.h"
#include "base/test.h"

static const int32_t tokens_a[4] = {1, 2, 3, 4}, tokens_b[4] = {5, 6, 7, 8}, tokens_c[4] = {9, 10, 11, 12};
static const vmt_hash128 hash_a = {0xa, 1}, hash_b = {0xb, 1}, hash_c = {0xc, 1};

static vmt_block_pool *pool_of(vmt_test *t, uint32_t num_blocks) {
    vmt_block_pool *pool = NULL;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_block_pool_create(&pool, num_blocks, 4, &err), VMT_OK);
    vmt_block_pool_check(pool);
    return pool;
}

static void lends_in_order_and_never_the_null_block(vmt_test *t) {
    vmt_block_pool *pool = pool_of(t, 5);
    vmt_block_id ids[5] = {0};
    vmt_expect_eq(t, vmt_block_pool_num_total(pool), 4);
    vmt_expect_eq(t, vmt_block_pool_acquire(pool, 3, ids), VMT_OK);
    vmt_expect_eq(t, ids[0], 1);
    vmt_expect_eq(t, ids[1], 2);
    vmt_expect_eq(t, ids[2], 3);
    vmt_expect_eq(t, vmt_block_pool_num_free(pool), 1);
    vmt_expect_eq(t, vmt_block_pool_acquire(pool, 2, ids + 3), VMT_E_EXHAUSTED);
    vmt_block_pool_check(pool);
    vmt_expect_eq(t, vmt_block_pool_num_free(pool), 1); /* all or none */
    vmt_expect_eq(t, vmt_block_pool_acquire(pool, 1, ids + 3), VMT_OK);
    vmt_expect_eq(t, ids[3], 4);
    vmt_block_pool_release(pool, 4, ids);
    vmt_block_pool_check(pool);
    vmt_block_pool_destroy(pool);
}

static void reuses_tail_before_head(vmt_test *t) {
    vmt_block_pool *pool = pool_of(t, 7);
    vmt_block_id first[3], second[2], again[6];
    vmt_expect_eq(t, vmt_block_pool_acquire(pool, 3, first), VMT_OK);
    vmt_expect_eq(t, vmt_block_pool_acquire(pool, 2, second), VMT_OK);
    vmt_block_pool_release(pool, 2, second); /* 4 5 */
    vmt_block_pool_release(pool, 3, first);  /* 1 2 3 */
    vmt_block_pool_check(pool);
    vmt_expect_eq(t, vmt_block_pool_acquire(pool, 6, again), VMT_OK);
    const vmt_block_id want[6] = {6, 5, 4, 3, 2, 1};
    for (size_t i = 0; i < 6; i++) vmt_expect_eq(t, again[i], want[i]);
    vmt_block_pool_release(pool, 6, again);
    vmt_block_pool_destroy(pool);
}

static void finds_content_until_the_block_is_lent_again(vmt_test *t) {
    vmt_block_pool *pool = pool_of(t, 3);
    vmt_block_id id, other[2];
    vmt_expect_eq(t, vmt_block_pool_acquire(pool, 1, &id), VMT_OK);
    vmt_block_pool_publish(pool, id, hash_a, tokens_a);
    vmt_block_pool_check(pool);
    vmt_expect_eq(t, vmt_block_pool_share(pool, hash_a, tokens_a), 1);
    vmt_expect_eq(t, vmt_block_pool_num_refs(pool, 1), 2);
    vmt_block_pool_release(pool, 1, &id);
    vmt_expect_eq(t, vmt_block_pool_num_free(pool), 1);
    vmt_block_pool_release(pool, 1, &id);
    vmt_expect_eq(t, vmt_block_pool_num_free(pool), 2);
    vmt_block_pool_check(pool);

    vmt_expect_eq(t, vmt_block_pool_share(pool, hash_a, tokens_a), 1); /* out of the free list */
    vmt_expect_eq(t, vmt_block_pool_num_refs(pool, 1), 1);
    vmt_expect_eq(t, vmt_block_pool_num_free(pool), 1);
    vmt_block_pool_check(pool);
    vmt_block_pool_release(pool, 1, &id);

    vmt_expect_eq(t, vmt_block_pool_acquire(pool, 2, other), VMT_OK);
    vmt_block_pool_check(pool);
    vmt_expect_eq(t, vmt_block_pool_share(pool, hash_a, tokens_a), 0);
    vmt_block_pool_release(pool, 2, other);
    vmt_block_pool_destroy(pool);
}

static void a_hash_collision_is_a_miss(vmt_test *t) {
    vmt_block_pool *pool = pool_of(t, 4);
    vmt_block_id ids[2];
    vmt_expect_eq(t, vmt_block_pool_acquire(pool, 2, ids), VMT_OK);
    vmt_block_pool_publish(pool, ids[0], hash_a, tokens_a);
    vmt_expect_eq(t, vmt_block_pool_share(pool, hash_a, tokens_b), 0);
    vmt_block_pool_publish(pool, ids[1], hash_a, tokens_b); /* the first stays */
    vmt_block_pool_check(pool);
    vmt_expect_eq(t, vmt_block_pool_share(pool, hash_a, tokens_b), 0);
    vmt_expect_eq(t, vmt_block_pool_share(pool, hash_a, tokens_a), ids[0]);
    vmt_block_pool_release(pool, 1, ids);
    vmt_block_pool_release(pool, 2, ids);
    vmt_block_pool_destroy(pool);
}

static void the_first_of_equal_contents_stays_findable(vmt_test *t) {
    vmt_block_pool *pool = pool_of(t, 4);
    vmt_block_id ids[3];
    vmt_expect_eq(t, vmt_block_pool_acquire(pool, 2, ids), VMT_OK);
    vmt_block_pool_publish(pool, ids[0], hash_a, tokens_a);
    vmt_block_pool_publish(pool, ids[1], hash_a, tokens_a);
    vmt_block_pool_publish(pool, ids[0], hash_a, tokens_a); /* twice is once */
    vmt_block_pool_check(pool);
    ids[2] = vmt_block_pool_share(pool, hash_a, tokens_a);
    vmt_expect_eq(t, ids[2], ids[0]);
    vmt_block_pool_release(pool, 3, ids);
    vmt_block_pool_check(pool);
    vmt_block_pool_destroy(pool);
}

static void forget_all_spares_lent_blocks(vmt_test *t) {
    vmt_block_pool *pool = pool_of(t, 5);
    vmt_block_id ids[3];
    vmt_expect_eq(t, vmt_block_pool_acquire(pool, 3, ids), VMT_OK);
    vmt_block_pool_publish(pool, ids[0], hash_a, tokens_a);
    vmt_block_pool_publish(pool, ids[1], hash_b, tokens_b);
    vmt_block_pool_publish(pool, ids[2], hash_c, tokens_c);
    vmt_block_pool_release(pool, 2, ids + 1);
    vmt_block_pool_forget_all(pool);
    vmt_block_pool_check(pool);
    vmt_expect_eq(t, vmt_block_pool_share(pool, hash_b, tokens_b), 0);
    vmt_expect_eq(t, vmt_block_pool_share(pool, hash_c, tokens_c), 0);
    vmt_expect_eq(t, vmt_block_pool_share(pool, hash_a, tokens_a), ids[0]);
    vmt_block_pool_retain(pool, ids[0]);
    vmt_expect_eq(t, vmt_block_pool_num_refs(pool, ids[0]), 3);
    for (int i = 0; i < 3; i++) vmt_block_pool_release(pool, 1, ids);
    vmt_block_pool_check(pool);
    vmt_block_pool_destroy(pool);
}

/* ---- a seeded walk against a model that knows refs, contents and the order of release */

#define WALK_BLOCKS   24
#define WALK_CONTENTS 12

struct model {
    uint32_t refs[WALK_BLOCKS];
    int content[WALK_BLOCKS]; /* findable content, or -1 */
    uint64_t released[WALK_BLOCKS];
    uint64_t now;
};

static vmt_block_id model_oldest(const struct model *m) {
    vmt_block_id best = 0;
    for (vmt_block_id i = 1; i < WALK_BLOCKS; i++) {
        if (m->refs[i] == 0 && (best == 0 || m->released[i] < m->released[best])) best = i;
    }
    return best;
}

static vmt_block_id model_find(const struct model *m, int content) {
    for (vmt_block_id i = 1; i < WALK_BLOCKS; i++) {
        if (m->content[i] == content) return i;
    }
    return 0;
}

static void content_of(int content, vmt_hash128 *hash, int32_t tokens[4]) {
    *hash = (vmt_hash128){(uint64_t)content / 3, (uint64_t)content}; /* several in one bucket */
    for (int i = 0; i < 4; i++) tokens[i] = content * 7 + i;
}

static void walk_acquire(vmt_test *t, vmt_block_pool *pool, struct model *m, uint32_t n) {
    vmt_block_id ids[WALK_BLOCKS];
    uint32_t num_free = vmt_block_pool_num_free(pool);
    vmt_status status = vmt_block_pool_acquire(pool, n, ids);
    vmt_expect_eq(t, status, num_free >= n ? VMT_OK : VMT_E_EXHAUSTED);
    if (status != VMT_OK) return;
    for (uint32_t i = 0; i < n; i++) {
        vmt_expect_eq(t, ids[i], model_oldest(m));
        m->refs[ids[i]] = 1;
        m->content[ids[i]] = -1;
    }
}

static void walk_release(vmt_block_pool *pool, struct model *m, uint64_t r) {
    vmt_block_id ids[WALK_BLOCKS];
    uint32_t n = 0;
    for (vmt_block_id i = 1; i < WALK_BLOCKS; i++) {
        if (m->refs[i] > 0 && (r >> i) % 3 == 0) ids[n++] = i;
    }
    vmt_block_pool_release(pool, n, ids);
    for (uint32_t i = n; i-- > 0;) {
        if (--m->refs[ids[i]] == 0) m->released[ids[i]] = ++m->now;
    }
}

static void walk_content(vmt_test *t, vmt_block_pool *pool, struct model *m, uint64_t r, bool is_publish) {
    vmt_hash128 hash;
    int32_t tokens[4];
    int content = (int)(r % WALK_CONTENTS);
    content_of(content, &hash, tokens);
    if (!is_publish) {
        vmt_block_id want = model_find(m, content);
        vmt_expect_eq(t, vmt_block_pool_share(pool, hash, tokens), want);
        if (want) m->refs[want]++;
        return;
    }
    vmt_block_id id = (vmt_block_id)(1 + (r >> 8) % (WALK_BLOCKS - 1));
    if (m->refs[id] == 0 || m->content[id] >= 0) return;
    vmt_block_pool_publish(pool, id, hash, tokens);
    if (model_find(m, content) == 0) m->content[id] = content;
}

static void agrees_with_a_naive_model(vmt_test *t) {
    uint64_t rng = t->seed;
    for (int round = 0; round < 20; round++) {
        vmt_block_pool *pool = pool_of(t, WALK_BLOCKS);
        struct model m = {.now = WALK_BLOCKS};
        for (int i = 0; i < WALK_BLOCKS; i++) m.content[i] = -1, m.released[i] = (uint64_t)i;
        for (int step = 0; step < 2000; step++) {
            uint64_t r = vmt_splitmix64(&rng);
            switch (vmt_splitmix64(&rng) % 8) {
            case 0:
            case 1: walk_acquire(t, pool, &m, 1 + (uint32_t)(r % 6)); break;
            case 2: walk_release(pool, &m, r); break;
            case 3:
            case 4: walk_content(t, pool, &m, r, true); break;
            case 5:
            case 6: walk_content(t, pool, &m, r, false); break;
            default:
                if (r % 50 != 0) break;
                vmt_block_pool_forget_all(pool);
                for (int i = 1; i < WALK_BLOCKS; i++) m.content[i] = m.refs[i] ? m.content[i] : -1;
            }
            vmt_block_pool_check(pool);
            for (vmt_block_id i = 1; i < WALK_BLOCKS; i++) {
                vmt_expect_eq(t, vmt_block_pool_num_refs(pool, i), m.refs[i]);
            }
        }
        for (vmt_block_id i = 1; i < WALK_BLOCKS; i++) {
            while (m.refs[i]-- > 0) vmt_block_pool_release(pool, 1, &i);
        }
        vmt_block_pool_destroy(pool);
    }
}

static const vmt_test_case cases[] = {
    {"lends_in_order_and_never_the_null_block", lends_in_order_and_never_the_null_block},
    {"reuses_tail_before_head", reuses_tail_before_head},
    {"finds_content_until_the_block_is_lent_again", finds_content_until_the_block_is_lent_again},
    {"a_hash_collision_is_a_miss", a_hash_collision_is_a_miss},
    {"the_first_of_equal_contents_stays_findable", the_first_of_equal_contents_stays_findable},
    {"forget_all_spares_lent_blocks", forget_all_spares_lent_blocks},
    {"agrees_with_a_naive_model", agrees_with_a_naive_model},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
