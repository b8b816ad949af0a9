/* base/huge_test.c: zeroed, aligned where it is huge, refused where it can't be. */
#include "base/huge.h"

#include <stdlib.h>

#include "base/test.h"

static void is_zeroed_and_aligned(vmt_test *t) {
    static const size_t counts[] = {1, 1000, 65536, 70000, 400000};
    for (size_t i = 0; i < VMT_COUNT(counts); i++) {
        uint64_t *memory = vmt_huge_calloc(counts[i], sizeof(*memory)), sum = 0;
        vmt_expect(t, memory != NULL && (uintptr_t)memory % 16 == 0);
        for (size_t k = 0; k < counts[i]; k++) sum |= memory[k], memory[k] = k;
        vmt_expect_eq(t, sum, 0);
        free(memory);
    }
}

static void refuses_what_overflows(vmt_test *t) {
    /* volatile: the compiler would warn of the size it can see. */
    volatile size_t most = SIZE_MAX;
    vmt_expect(t, vmt_huge_calloc(most / 2, 3) == NULL);
    vmt_expect(t, vmt_huge_calloc(most, 1) == NULL);
}

static const vmt_test_case cases[] = {
    {"is_zeroed_and_aligned", is_zeroed_and_aligned},
    {"refuses_what_overflows", refuses_what_overflows},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
