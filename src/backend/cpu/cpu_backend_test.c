/* backend/cpu/cpu_backend_test.c: every item runs once, whatever the threads, grain and timing; scratch; detection. */
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "backend/cpu/cpu.h"
#include "base/test.h"

typedef struct counts {
    _Atomic uint32_t *runs; /* per item */
    _Atomic uint32_t num_bad;
    size_t scratch_bytes;
} counts;

static void count_items(const vmt_cpu_task *task) {
    counts *c = *(counts *const *)task->args;
    if (task->worker >= task->num_workers || task->begin >= task->end) atomic_fetch_add(&c->num_bad, 1);
    if (c->scratch_bytes > 0) {
        if ((uintptr_t)task->scratch % 64 != 0) atomic_fetch_add(&c->num_bad, 1);
        memset(task->scratch, (int)task->worker, c->scratch_bytes);
    }
    for (uint32_t i = task->begin; i < task->end; i++) atomic_fetch_add(&c->runs[i], 1);
    for (size_t i = 0; i < c->scratch_bytes; i++) {
        if (((uint8_t *)task->scratch)[i] != (uint8_t)task->worker) atomic_fetch_add(&c->num_bad, 1);
    }
}

static vmt_backend *make(vmt_test *t, uint32_t threads) {
    vmt_backend *be;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_cpu_backend_create(&be, threads, &err), VMT_OK);
    return be;
}

typedef struct cut {
    uint32_t grain;
    bool is_guided;
} cut;

static void run_once(vmt_test *t, vmt_backend *be, uint32_t items, cut cut, size_t scratch_bytes) {
    counts c = {.runs = vmt_arena_calloc(t->arena, items + 1, sizeof(_Atomic uint32_t)),
                .scratch_bytes = scratch_bytes};
    counts *arg = &c;
    vmt_launch launch = {
        .name = "count",
        .args = &arg,
        .args_bytes = sizeof(arg),
        .cpu_fn = count_items,
        .cpu_items = items,
        .cpu_grain = cut.grain,
        .cpu_is_guided = cut.is_guided,
        .scratch_bytes = scratch_bytes,
    };
    vmt_expect_eq(t, vmt_launch_run(be, &launch), VMT_OK);
    for (uint32_t i = 0; i < items; i++) vmt_expect_eq(t, c.runs[i], 1);
    vmt_expect_eq(t, c.runs[items], 0);
    vmt_expect_eq(t, c.num_bad, 0);
}

static void every_item_runs_once(vmt_test *t) {
    static const uint32_t threads[] = {1, 2, 3, 8, 40}, items[] = {0, 1, 2, 3, 7, 64, 1000};
    static const cut cuts[] = {{0, false}, {1, false}, {3, false}, {999, false},
                               {1, true},  {3, true},  {999, true}};
    for (size_t a = 0; a < VMT_COUNT(threads); a++) {
        vmt_backend *be = make(t, threads[a]);
        vmt_expect_eq(t, be->num_workers, threads[a]);
        for (size_t b = 0; b < VMT_COUNT(items); b++) {
            for (size_t c = 0; c < VMT_COUNT(cuts); c++) run_once(t, be, items[b], cuts[c], b * 100);
        }
        vmt_expect_eq(t, vmt_cpu_num_launches(be), VMT_COUNT(items) * VMT_COUNT(cuts));
        vmt_backend_destroy(be);
    }
}

/* Back to back, and with pauses long enough for the workers to fall asleep. */
static void launches_survive_sleep(vmt_test *t) {
    static const uint32_t threads[] = {2, 4, 9};
    for (size_t a = 0; a < VMT_COUNT(threads); a++) {
        vmt_backend *be = make(t, threads[a]);
        for (uint32_t i = 0; i < 3000; i++) {
            vmt_arena_reset(t->arena);
            run_once(t, be, 1 + i % 37, (cut){i % 3, i % 3 > 0 && i % 2 == 1}, 0);
            if (i % 100 != 0) continue;
            struct timespec pause = {.tv_nsec = i * 100};
            nanosleep(&pause, NULL);
        }
        vmt_backend_destroy(be);
    }
}

static void buffers_are_zeroed_and_aligned(vmt_test *t) {
    vmt_backend *be = make(t, 1);
    static const size_t sizes[] = {0, 1, 4096, 5 << 20};
    for (size_t i = 0; i < VMT_COUNT(sizes); i++) {
        vmt_buffer buffer;
        vmt_err err = {0};
        vmt_expect_eq(t, vmt_buffer_create(be, &buffer, sizes[i], &err), VMT_OK);
        vmt_expect_eq(t, buffer.bytes, sizes[i]);
        vmt_expect(t, (uintptr_t)buffer.host % 4096 == 0);
        for (size_t k = 0; k < sizes[i]; k += 977) vmt_expect_eq(t, buffer.host[k], 0);
        vmt_buffer_destroy(be, &buffer);
        vmt_expect(t, buffer.host == NULL);
        vmt_buffer_destroy(be, &buffer);
    }
    vmt_buffer huge;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_buffer_create(be, &huge, SIZE_MAX - 4096, &err), VMT_E_NO_MEMORY);
    int word = 5;
    vmt_buffer wrapped;
    vmt_expect_eq(t, vmt_buffer_wrap(be, &wrapped, &word, sizeof(word), &err), VMT_OK);
    vmt_expect(t, wrapped.host == (uint8_t *)&word);
    vmt_buffer_destroy(be, &wrapped);
    vmt_backend_destroy(be);
}

static void shared_scratch_grows_and_stays(vmt_test *t) {
    vmt_backend *be = make(t, 1);
    uint8_t *small = vmt_cpu_shared_scratch(be, 100), *again = vmt_cpu_shared_scratch(be, 50);
    vmt_expect(t, small != NULL && small == again && (uintptr_t)small % 64 == 0);
    uint8_t *big = vmt_cpu_shared_scratch(be, 1 << 20);
    vmt_expect(t, big != NULL);
    memset(big, 1, 1 << 20);
    vmt_expect(t, vmt_cpu_shared_scratch(be, 1 << 19) == big);
    vmt_backend_destroy(be);
}

static void the_machine_is_sane(vmt_test *t) {
    vmt_expect(t, vmt_isa_present(VMT_ISA_SCALAR));
    vmt_expect(t, vmt_isa_present(vmt_isa_best()));
    vmt_isa best = vmt_isa_best();
    vmt_isa_limit(VMT_ISA_SCALAR);
    vmt_expect_eq(t, vmt_isa_best(), VMT_ISA_SCALAR);
    vmt_isa_limit(VMT_NUM_ISAS - 1);
    vmt_expect_eq(t, vmt_isa_best(), best);
    for (int i = 0; i < VMT_NUM_ISAS; i++) vmt_expect(t, strlen(vmt_isa_name((vmt_isa)i)) > 0);
    vmt_expect(t, vmt_cpu_cores() >= 1 && vmt_cpu_cores() < 100000);
    vmt_expect(t, vmt_cpu_memory_bytes() > (64u << 20));
    vmt_expect(t, vmt_cpu_memory_available_bytes() <= vmt_cpu_memory_bytes());
    vmt_backend *be;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_cpu_backend_create(&be, VMT_CPU_THREADS_MAX + 1, &err), VMT_E_INVALID);
    vmt_expect_str(t, err.msg, "257 threads asked for, at most 256");
}

static const vmt_test_case cases[] = {
    {"every_item_runs_once", every_item_runs_once},
    {"launches_survive_sleep", launches_survive_sleep},
    {"buffers_are_zeroed_and_aligned", buffers_are_zeroed_and_aligned},
    {"shared_scratch_grows_and_stays", shared_scratch_grows_and_stays},
    {"the_machine_is_sane", the_machine_is_sane},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
