/* backend/cuda/spread_test.c: as many threadgroups fit on a multiprocessor as are its share. */
#include "backend/cuda/spread.h"
#include "base/test.h"

static const vmt_cuda_shared h100 = {.core = 233472, .group = 232448, .reserved = 1024};
#define CORES 132u

static uint64_t fit(uint32_t own, uint32_t more) {
    return h100.core / ((uint64_t)own + more + h100.reserved);
}

static void a_multiprocessor_takes_its_share(vmt_test *t) {
    static const uint32_t owns[] = {0, 16, 4096, 20480, 32768, 49152};
    for (size_t i = 0; i < VMT_COUNT(owns); i++) {
        for (uint64_t groups = 1; groups < 16 * CORES; groups++) {
            uint64_t share = (groups + CORES - 1) / CORES;
            uint32_t more = vmt_cuda_spread_bytes(h100, groups, CORES, owns[i]);
            vmt_expect(t, owns[i] + more <= h100.group);
            if (fit(owns[i], 0) < share) {
                vmt_expect_eq(t, more, 0); /* and it takes several turns */
            } else {
                vmt_expect_eq(t, fit(owns[i], more), share);
            }
        }
    }
}

static void many_ask_for_nothing(vmt_test *t) {
    vmt_expect_eq(t, vmt_cuda_spread_bytes(h100, 0, CORES, 0), 0);
    vmt_expect_eq(t, vmt_cuda_spread_bytes(h100, UINT64_MAX, 1, 0), 0);
    vmt_expect_eq(t, vmt_cuda_spread_bytes(h100, (uint64_t)1 << 40, CORES, 49152), 0);
    vmt_expect_eq(t, vmt_cuda_spread_bytes(h100, CORES, CORES, h100.group), 0);
}

static const vmt_test_case cases[] = {
    {"a_multiprocessor_takes_its_share", a_multiprocessor_takes_its_share},
    {"many_ask_for_nothing", many_ask_for_nothing},
    {0},
};
VMT_TEST_MAIN(cases)
