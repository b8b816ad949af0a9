#include "base/rng.h"
#include "base/test.h"

/* The known answers that come with Random123 for philox4x32, 10 rounds. */
static void philox_known_answers(vmt_test *t) {
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } rows[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        const uint32_t *c = rows[i].counter;
        vmt_rng_block got = vmt_philox4x32(rows[i].key[0], rows[i].key[1], c[0], c[1], c[2], c[3]);
        for (int k = 0; k < 4; k++) vmt_expect_eq(t, got.x[k], rows[i].want[k]);
    }
}

static void uniform_moments(vmt_test *t) {
    enum { num_draws = 100000 };
    double sum = 0, sum_squares = 0;
    for (uint64_t i = 0; i < num_draws; i++) {
        double u = vmt_rng_uniform(t->seed, 7, i);
        vmt_expect(t, u > 0 && u < 1);
        sum += u;
        sum_squares += u * u;
    }
    vmt_expect_near(t, sum / num_draws, 0.5, 0.005);
    vmt_expect_near(t, sum_squares / num_draws, 1.0 / 3, 0.005);
}

static void uniform_depends_on_every_argument(vmt_test *t) {
    double u = vmt_rng_uniform(1, 2, 3);
    vmt_expect(t, u == vmt_rng_uniform(1, 2, 3));
    vmt_expect(t, u != vmt_rng_uniform(2, 2, 3));
    vmt_expect(t, u != vmt_rng_uniform(1 + (UINT64_C(1) << 32), 2, 3));
    vmt_expect(t, u != vmt_rng_uniform(1, 3, 3));
    vmt_expect(t, u != vmt_rng_uniform(1, 2, 4));
    vmt_expect(t, u != vmt_rng_uniform(1, 2, 3 + (UINT64_C(1) << 32)));
}

/* First outputs of the public-domain splitmix64.c for state 1234567. */
static void splitmix_known_answers(vmt_test *t) {
    uint64_t state = 1234567;
    vmt_expect(t, vmt_splitmix64(&state) == UINT64_C(6457827717110365317));
    vmt_expect(t, vmt_splitmix64(&state) == UINT64_C(3203168211198807973));
    vmt_expect(t, vmt_splitmix64(&state) == UINT64_C(9817491932198370423));
}

static const vmt_test_case cases[] = {
    {"philox_known_answers", philox_known_answers},
    {"uniform_moments", uniform_moments},
    {"uniform_depends_on_every_argument", uniform_depends_on_every_argument},
    {"splitmix_known_answers", splitmix_known_answers},
    {0},
};
VMT_TEST_MAIN(cases)
