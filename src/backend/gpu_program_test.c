/* backend/gpu_program_test.c: where barriers fall, what a replay leaves out, what is refused; on a device that only
 * takes notes. */
#include "backend/gpu_program.h"
#include "base/test.h"

#include <stdio.h>
#include <string.h>

#define CALLS_MAX 64
#define BARRIER   UINT32_MAX
#define BUF_BYTES 4096

/* What the device was told: BARRIER, or a dispatch's grid along x and the first word of its arguments. */
struct notes {
    vmt_gpu base;
    vmt_gpu_pipeline pipeline;
    uint32_t grids[CALLS_MAX], counts[CALLS_MAX], num_calls;
};

static vmt_status take_pipeline(vmt_gpu *gpu, const vmt_kernel *kernel, vmt_gpu_pipeline **out, vmt_err *err) {
    (void)err;
    struct notes *n = (struct notes *)gpu;
    n->pipeline.kernel = kernel;
    *out = &n->pipeline;
    return VMT_OK;
}

static void take_dispatch(vmt_gpu *gpu, const vmt_gpu_dispatch *dispatch) {
    struct notes *n = (struct notes *)gpu;
    n->grids[n->num_calls] = dispatch->grid[0];
    memcpy(&n->counts[n->num_calls++], dispatch->args, 4);
}

static void take_barrier(vmt_gpu *gpu) {
    struct notes *n = (struct notes *)gpu;
    n->grids[n->num_calls++] = BARRIER;
}

static const vmt_gpu_vtable vtable = {
    .pipeline = take_pipeline,
    .dispatch = take_dispatch,
    .barrier = take_barrier,
};

/* A kernel of the table that reads its first buffer, writes its last and no other. */
static const vmt_kernel *reader_and_writer(vmt_test *t) {
    for (uint32_t i = 0; i < vmt_kernel_count(); i++) {
        const vmt_kernel *k = vmt_kernel_at(i);
        if (k->num_buffers >= 2 && k->written == 1u << (k->num_buffers - 1) && k->args_bytes >= 8) return k;
    }
    vmt_test_fail(t, __FILE__, __LINE__, "no kernel of the kind that the test wants");
    return NULL;
}

struct fixture {
    struct notes notes;
    vmt_gpu_program *program;
    const vmt_kernel *kernel;
    vmt_buffer buffers[3];
    uint32_t args[VMT_GPU_ARGS_MAX / 4];
};

static struct fixture *start(vmt_test *t) {
    struct fixture *f = vmt_arena_calloc(t->arena, 1, sizeof *f);
    f->notes.base = (vmt_gpu){.vt = &vtable, .driver = "notes"};
    for (size_t i = 0; i < VMT_COUNT(f->buffers); i++) f->buffers[i] = (vmt_buffer){.bytes = BUF_BYTES};
    f->kernel = reader_and_writer(t);
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_gpu_program_create(&f->program, &f->notes.base, &err), VMT_OK);
    return f;
}

static vmt_tensor bytes_of(struct fixture *f, uint32_t buffer, size_t begin, size_t end) {
    return (vmt_tensor){&f->buffers[buffer], begin, VMT_F32, 1, {(end - begin) / 4}};
}

static vmt_gpu_op op_of(struct fixture *f, vmt_tensor from, vmt_tensor to) {
    vmt_gpu_op op = {
        .kernel = f->kernel->name,
        .num_buffers = f->kernel->num_buffers,
        .args = f->args,
        .args_bytes = f->kernel->args_bytes,
        .grid = {1, 1, 1},
    };
    for (uint32_t i = 0; i < op.num_buffers; i++) op.buffers[i] = i + 1 < op.num_buffers ? from : to;
    return op;
}

static void add(vmt_test *t, struct fixture *f, vmt_tensor from, vmt_tensor to) {
    vmt_gpu_op op = op_of(f, from, to);
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_gpu_program_add(f->program, &op, &err), VMT_OK);
}

/* "d" for a dispatch, "|" for a barrier. */
static void expect_calls(vmt_test *t, struct fixture *f, const uint32_t *counts, const char *want) {
    char got[CALLS_MAX + 1] = {0};
    f->notes.num_calls = 0;
    vmt_gpu_program_replay(f->program, counts);
    for (uint32_t i = 0; i < f->notes.num_calls; i++) got[i] = f->notes.grids[i] == BARRIER ? '|' : 'd';
    vmt_expect_str(t, got, want);
    vmt_gpu_program_stats stats = vmt_gpu_program_get_stats(f->program, counts);
    uint32_t num_barriers = 0;
    for (const char *c = want; *c; c++) num_barriers += *c == '|';
    vmt_expect_eq(t, stats.num_barriers, num_barriers);
    vmt_expect_eq(t, stats.num_dispatches, strlen(want) - num_barriers);
}

static const uint32_t no_counts[VMT_NUM_STEP_COUNTS];

static void a_barrier_stands_where_bytes_meet(vmt_test *t) {
    struct fixture *f = start(t);
    add(t, f, bytes_of(f, 0, 0, 1024), bytes_of(f, 1, 0, 1024));    /* first */
    add(t, f, bytes_of(f, 0, 0, 1024), bytes_of(f, 1, 1024, 2048)); /* same source, other bytes: beside it */
    add(t, f, bytes_of(f, 1, 512, 1536), bytes_of(f, 2, 0, 1024));  /* reads what both wrote */
    add(t, f, bytes_of(f, 0, 0, 4), bytes_of(f, 1, 1532, 1536));    /* writes what the last one reads */
    add(t, f, bytes_of(f, 0, 0, 4), bytes_of(f, 1, 1528, 1532));    /* next to it */
    add(t, f, bytes_of(f, 0, 0, 4), bytes_of(f, 1, 1528, 1536));    /* over both */
    expect_calls(t, f, no_counts, "dd|d|dd|d");
    vmt_gpu_program_destroy(f->program);
}

/* The last buffer is the one that is written. */
static void ops_that_keep_apart_stand_side_by_side(vmt_test *t) {
    struct fixture *f = start(t);
    for (uint32_t i = 0; i < 3; i++) {
        vmt_gpu_op op = op_of(f, bytes_of(f, 0, 0, 1024), bytes_of(f, 1, 0, 1024));
        op.apart = i < 2 ? 1u << (op.num_buffers - 1) : 0;
        vmt_err err = {0};
        vmt_expect_eq(t, vmt_gpu_program_add(f->program, &op, &err), VMT_OK);
    }
    expect_calls(t, f, no_counts, "dd|d"); /* the third does not say so */
    vmt_gpu_program_destroy(f->program);
}

/* What a left-out dispatch would have waited for, its successors wait for. */
static void a_count_of_zero_leaves_out_and_keeps_order(vmt_test *t) {
    struct fixture *f = start(t);
    vmt_err err = {0};
    add(t, f, bytes_of(f, 0, 0, 1024), bytes_of(f, 1, 0, 1024));
    vmt_gpu_op op = op_of(f, bytes_of(f, 1, 0, 1024), bytes_of(f, 2, 0, 1024));
    op.count = VMT_COUNT_TOKENS;
    op.per_group = 4;
    vmt_expect_eq(t, vmt_gpu_program_add(f->program, &op, &err), VMT_OK);
    add(t, f, bytes_of(f, 1, 0, 1024), bytes_of(f, 2, 1024, 2048));
    expect_calls(t, f, no_counts, "d|d");
    uint32_t counts[VMT_NUM_STEP_COUNTS] = {[VMT_COUNT_TOKENS] = 9};
    expect_calls(t, f, counts, "d|dd");
    vmt_expect_eq(t, f->notes.grids[2], 3); /* ceil(9 / 4) */
    vmt_expect_eq(t, f->notes.counts[2], 9);
    vmt_expect_eq(t, f->notes.counts[3], 0); /* a fixed dispatch keeps its arguments */
    vmt_gpu_program_destroy(f->program);
}

static void says_what_does_not_fit(vmt_test *t) {
    struct fixture *f = start(t);
    char want[256];
    vmt_err err = {0};
    vmt_gpu_op op = op_of(f, bytes_of(f, 0, 0, 1024), bytes_of(f, 1, 0, 1024));
    op.kernel = "no_such_kernel";
    vmt_expect_eq(t, vmt_gpu_program_add(f->program, &op, &err), VMT_E_NOT_FOUND);
    vmt_expect_str(t, err.msg, "there is no kernel named no_such_kernel");
    err = (vmt_err){0};
    op.kernel = f->kernel->name;
    op.buffers[0] = bytes_of(f, 0, 0, BUF_BYTES + 4);
    vmt_expect_eq(t, vmt_gpu_program_add(f->program, &op, &err), VMT_E_INVALID);
    snprintf(want, sizeof want, "%s: buffer 0 does not hold its tensor at offset 0", op.kernel);
    vmt_expect_str(t, err.msg, want);
    err = (vmt_err){0};
    op.num_buffers--;
    vmt_expect_eq(t, vmt_gpu_program_add(f->program, &op, &err), VMT_E_INVALID);
    snprintf(want, sizeof want, "%s: %u buffers and %u bytes of arguments, it takes %u and %u", op.kernel,
             op.num_buffers, op.args_bytes, op.num_buffers + 1, op.args_bytes);
    vmt_expect_str(t, err.msg, want);
    vmt_gpu_program_destroy(f->program);
}

static const vmt_test_case cases[] = {
    {"a_barrier_stands_where_bytes_meet", a_barrier_stands_where_bytes_meet},
    {"ops_that_keep_apart_stand_side_by_side", ops_that_keep_apart_stand_side_by_side},
    {"a_count_of_zero_leaves_out_and_keeps_order", a_count_of_zero_leaves_out_and_keeps_order},
    {"says_what_does_not_fit", says_what_does_not_fit},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
