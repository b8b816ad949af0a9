/* backend/metal/chips_test.c: chips by name, and a prediction worked out by hand. */
#include "backend/metal/chips.h"
#include "base/test.h"

#include <string.h>

static void finds_a_chip_however_it_is_written(vmt_test *t) {
    static const char *const names[] = {"M4-Max", "m4 max", "M4_MAX", "m4-max"};
    for (size_t i = 0; i < VMT_COUNT(names); i++) {
        const vmt_chip *chip = vmt_chip_find(vmt_str_from(names[i]));
        vmt_expect(t, chip != NULL);
        vmt_expect_str(t, chip->name, "M4-Max");
    }
    vmt_expect(t, vmt_chip_find(vmt_str_from("M4-Ma")) == NULL);
    vmt_expect(t, vmt_chip_find(vmt_str_from("M4-Maxx")) == NULL);
    vmt_expect(t, vmt_chip_find(vmt_str_from("")) == NULL);
    char list[256];
    vmt_expect_eq(t, strncmp(vmt_chip_list(list, sizeof list), "M1, M1-Pro, ", 12), 0);
}

/* 546 MB on an M4 Max: 1 ms at 546 GB/s; 100 dispatches and 50 barriers add 10 and 65 us, the command buffer 20. */
static void predicts_a_decode_step(vmt_test *t) {
    vmt_step_cost cost = {.bytes = 546000000, .num_dispatches = 100, .num_barriers = 50};
    vmt_step_prediction p = vmt_chip_predict(vmt_chip_find(vmt_str_from("M4-Max")), &cost);
    vmt_expect_near(t, p.ceiling_ns, 1e6, 1);
    vmt_expect_near(t, p.memory_ns, 1e6 / 0.85, 1);
    vmt_expect_near(t, p.gaps_ns, 95000, 1);
    vmt_expect_near(t, p.total_ns, 1e6 / 0.85 + 95000, 1);
}

/* Compute-bound: 16.2 TFLOP at 16.2 TFLOP/s is a second at full rate. */
static void predicts_a_prefill_step(vmt_test *t) {
    vmt_step_cost cost = {.bytes = 546000000, .flops = 16200000000000};
    vmt_step_prediction p = vmt_chip_predict(vmt_chip_find(vmt_str_from("M4-Max")), &cost);
    vmt_expect_near(t, p.ceiling_ns, 1e9, 1);
    vmt_expect_near(t, p.total_ns, 1e9 / 0.65 + 20000, 1);
}

static const vmt_test_case cases[] = {
    {"finds_a_chip_however_it_is_written", finds_a_chip_however_it_is_written},
    {"predicts_a_decode_step", predicts_a_decode_step},
    {"predicts_a_prefill_step", predicts_a_prefill_step},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
