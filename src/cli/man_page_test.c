/* man_page_test.c: docs/vmetal.1 is what the tables say. */
#include "base/test.h"

#include "base/file.h"
#include "cli/man_page.h"

static void the_committed_page_is_current(vmt_test *t) {
    vmt_buf want, have;
    vmt_err err = {0};
    vmt_buf_init(&want, 0);
    vmt_buf_init(&have, 0);
    vmt_man_page(&want);
    if (vmt_file_read(&have, "docs/vmetal.1", 1 << 24, &err) != VMT_OK) {
        vmt_test_fail(t, __FILE__, __LINE__, "%s", err.msg);
    }
    /* When this fails: build/vmetal man-page > docs/vmetal.1 */
    vmt_expect_slice(t, vmt_buf_str(&have), vmt_buf_str(&want));
    vmt_buf_free(&want);
    vmt_buf_free(&have);
}

static void commands_are_sound(vmt_test *t) {
    for (uint32_t i = 0; i < vmt_num_commands; i++) {
        const vmt_command *c = vmt_commands[i];
        vmt_expect(t, c->name != NULL && c->usage != NULL && c->run != NULL);
        vmt_expect(t, c->num_flags <= VMT_FLAGS_MAX);
        for (uint32_t k = 0; k < c->num_flags; k++) {
            for (uint32_t m = k + 1; m < c->num_flags; m++) {
                if (strcmp(c->flags[k].name, c->flags[m].name) == 0) {
                    vmt_test_fail(t, __FILE__, __LINE__, "%s has --%s twice", c->name, c->flags[k].name);
                }
            }
        }
    }
}

static const vmt_test_case cases[] = {
    {"the_committed_page_is_current", the_committed_page_is_current},
    {"commands_are_sound", commands_are_sound},
    {0},
};
VMT_TEST_MAIN(cases)
