/* ops/gpu_upload_test.c: lists of words on their way to a GPU. */
#include "ops/gpu_upload.h"

#include <string.h>

#include "backend/test_rig.h"

#define HEADER_WORDS ((uint32_t)(sizeof(vmt_upload_header) / sizeof(int32_t)))
#define WORDS        (HEADER_WORDS + 70000u)

static void check_lists(vmt_test *t, const vmt_upload_list *lists, uint32_t num_lists) {
    vmt_test_rig rig;
    vmt_test_rig_open(&rig, t);
    vmt_gpu_upload_args args = {vmt_test_rig_zeros(&rig, VMT_I32, WORDS, 1),
                                vmt_test_rig_zeros(&rig, VMT_I32, WORDS, 1)};
    int32_t *from = vmt_tensor_data(&args.from), *to = vmt_tensor_data(&args.to);
    int32_t *want = VMT_ARENA_NEW(t->arena, int32_t, WORDS);
    for (uint32_t i = HEADER_WORDS; i < WORDS; i++) from[i] = (int32_t)i;
    for (uint32_t i = 0; i < num_lists; i++) {
        const vmt_upload_list *l = &lists[i];
        vmt_upload_add((vmt_upload_header *)from, *l);
        for (uint32_t row = 0; row < l->num_rows; row++) {
            memcpy(want + l->begin + row * l->stride, from + l->begin + row * l->stride,
                   l->num_cols * sizeof *want);
        }
    }
    vmt_err err = {0};
    vmt_test_rig_recorded(&rig, vmt_gpu_upload(rig.program, &args, &err), &err);
    vmt_test_rig_run(&rig, (uint32_t[VMT_NUM_STEP_COUNTS]){0});
    vmt_expect(t, memcmp(to, want, WORDS * sizeof *want) == 0);
    vmt_test_rig_close(&rig);
}

static void copies_what_the_header_names(vmt_test *t) {
    const uint32_t at = HEADER_WORDS;
    check_lists(t, NULL, 0);
    check_lists(t, (vmt_upload_list[]){{at, 1, 1, 0}}, 1);
    check_lists(t, (vmt_upload_list[]){{at + 3, 1, 0, 0}, {at + 64, 5, 7, 100}, {at + 1000, 0, 9, 9}}, 3);
    check_lists(t, (vmt_upload_list[]){{at, 1, 70000, 0}}, 1); /* more than a round of all threads */
    check_lists(t, (vmt_upload_list[]){{at, 300, 33, 200}, {at + 60000, 1, 8193, 0}}, 2);
    vmt_upload_list all[VMT_UPLOAD_LISTS_MAX];
    for (uint32_t i = 0; i < VMT_COUNT(all); i++) all[i] = (vmt_upload_list){at + 100 * i, 1, i + 1, 0};
    check_lists(t, all, VMT_COUNT(all));
}

static void refuses_what_does_not_fit(vmt_test *t) {
    vmt_buffer memory = {.bytes = 1 << 20};
    vmt_tensor wide = {&memory, 0, VMT_I32, 1, {WORDS}}, narrow = {&memory, 0, VMT_I32, 1, {HEADER_WORDS - 1}};
    vmt_expect_eq(t, vmt_gpu_upload(NULL, &(vmt_gpu_upload_args){wide, narrow}, NULL), VMT_E_INVALID);
    vmt_expect_eq(t, vmt_gpu_upload(NULL, &(vmt_gpu_upload_args){narrow, narrow}, NULL), VMT_E_INVALID);
}

static const vmt_test_case cases[] = {
    {"copies_what_the_header_names", copies_what_the_header_names},
    {"refuses_what_does_not_fit", refuses_what_does_not_fit},
    {NULL, NULL},
};
VMT_GPU_TEST_MAIN(cases)
