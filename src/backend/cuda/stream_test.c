/* backend/cuda/stream_test.c: command buffers over a driver that only takes notes: what is launched when, how graphs
 * are put together, completion, failures.  No card and no library. */
#include "backend/cuda/stream.h"
#include "base/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTES_MAX 8192u

/* ---- a driver of notes: "L1:7 " a launch of kernel 1 with argument 7, "G " a graph's launch, "N2(1) " a node of
 * kernel 2 that waits for 1, "E" an empty node */

static struct notes {
    char text[NOTES_MAX];
    size_t len;
    uint64_t num_events_done; /* recorded end events up to this one are done */
    uint64_t num_recorded;
    int next_result; /* of the next launch */
    bool capture_fails;
    int num_alive; /* handles of all kinds */
    uintptr_t next_handle;
} notes;

static void note(const char *text) {
    size_t len = strlen(text);
    VMT_ASSERT(notes.len + len < NOTES_MAX);
    memcpy(notes.text + notes.len, text, len + 1);
    notes.len += len;
}

static const char *taken(void) {
    notes.len = 0;
    return notes.text;
}

static void *handle(void) {
    notes.num_alive++;
    return (void *)++notes.next_handle;
}

static int fake_launch(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                       unsigned bz, unsigned shared, CUstream stream, void **params, void **extra) {
    char text[64];
    const uint32_t *args = params[1]; /* one buffer, then the arguments */
    snprintf(text, sizeof text, "L%u:%u ", (unsigned)(uintptr_t)function, args[0]);
    note(text);
    VMT_ASSERT(bx == 64 && by == 1 && bz == 1 && gx == 3 && gy == 2 && gz == 1 && shared == 0);
    VMT_ASSERT(*(CUdeviceptr *)params[0] == 0x1000 && extra == NULL && stream != NULL);
    int result = notes.next_result;
    notes.next_result = 0;
    return result;
}
static int fake_stream_create(CUstream *out, unsigned flags) {
    *out = handle();
    return 0;
}
static int fake_stream_destroy(CUstream stream) {
    notes.num_alive--;
    return 0;
}
static int fake_stream_synchronize(CUstream stream) {
    return 0;
}

/* An event is a counter of its own: the moment it was recorded at. */
static int fake_event_create(CUevent *out, unsigned flags) {
    uint64_t *at = calloc(1, sizeof *at);
    notes.num_alive++;
    *out = (CUevent)(void *)at;
    return at == NULL;
}
static int fake_event_destroy(CUevent event) {
    notes.num_alive--;
    free((void *)event);
    return 0;
}
static int fake_event_record(CUevent event, CUstream stream) {
    *(uint64_t *)(void *)event = ++notes.num_recorded;
    return 0;
}
static int fake_event_query(CUevent event) {
    if (notes.num_events_done == UINT64_MAX) return 700; /* an illegal address */
    return *(uint64_t *)(void *)event <= notes.num_events_done ? 0 : CUDA_ERROR_NOT_READY;
}
static int fake_elapsed(float *ms, CUevent begin, CUevent end) {
    *ms = 2.5f;
    return 0;
}

static int fake_graph_create(CUgraph *out, unsigned flags) {
    *out = handle();
    return 0;
}
static int fake_graph_destroy(CUgraph graph) {
    notes.num_alive--;
    return 0;
}
static void note_node(const char *name, const CUgraphNode *dependencies, size_t count) {
    char text[32];
    note(name);
    for (size_t i = 0; i < count; i++) {
        snprintf(text, sizeof text, "%s%u", i ? "," : "(", (unsigned)(uintptr_t)dependencies[i]);
        note(text);
    }
    note(count ? ") " : " ");
}
/* A kernel's node is known by its function, an empty one by 99. */
static int fake_add_kernel(CUgraphNode *out, CUgraph graph, const CUgraphNode *dependencies, size_t count,
                           const CUDA_KERNEL_NODE_PARAMS *params) {
    char name[16];
    snprintf(name, sizeof name, "N%u", (unsigned)(uintptr_t)params->func);
    *out = (CUgraphNode)(void *)params->func;
    note_node(name, dependencies, count);
    return 0;
}
static int fake_add_empty(CUgraphNode *out, CUgraph graph, const CUgraphNode *dependencies, size_t count) {
    *out = (CUgraphNode)(uintptr_t)99;
    note_node("E", dependencies, count);
    return 0;
}
static int fake_add_dependencies(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                 const CUgraphEdgeData *edges, size_t count) {
    char text[32];
    VMT_ASSERT(count == 1 && edges->from_port == 1 && edges->to_port == 0 && edges->type == 1);
    snprintf(text, sizeof text, "%u>%u ", (unsigned)(uintptr_t)*from, (unsigned)(uintptr_t)*to);
    note(text);
    return 0;
}
static int fake_instantiate(CUgraphExec *out, CUgraph graph, unsigned long long flags) {
    *out = handle();
    return 0;
}
static int fake_exec_destroy(CUgraphExec exec) {
    notes.num_alive--;
    return 0;
}
static int fake_graph_launch(CUgraphExec exec, CUstream stream) {
    note("G ");
    return 0;
}
/* While a stream is captured launches are noted as ever, between brackets. */
static int fake_begin_capture(CUstream stream, int mode) {
    note("[ ");
    return 0;
}
static int fake_end_capture(CUstream stream, CUgraph *graph) {
    note("] ");
    *graph = notes.capture_fails ? NULL : handle();
    return notes.capture_fails ? 901 : 0; /* the capture was invalidated */
}
static int fake_error_name(CUresult result, const char **name) {
    *name = result == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : "CUDA_ERROR_OTHER";
    return 0;
}

static const vmt_cuda_api api = {
    .launch_kernel = fake_launch,
    .stream_create = fake_stream_create,
    .stream_destroy = fake_stream_destroy,
    .stream_synchronize = fake_stream_synchronize,
    .stream_begin_capture = fake_begin_capture,
    .stream_end_capture = fake_end_capture,
    .event_create = fake_event_create,
    .event_destroy = fake_event_destroy,
    .event_record = fake_event_record,
    .event_query = fake_event_query,
    .event_elapsed_time = fake_elapsed,
    .graph_create = fake_graph_create,
    .graph_destroy = fake_graph_destroy,
    .graph_add_kernel_node = fake_add_kernel,
    .graph_add_empty_node = fake_add_empty,
    .graph_add_dependencies = fake_add_dependencies,
    .graph_instantiate = fake_instantiate,
    .graph_exec_destroy = fake_exec_destroy,
    .graph_launch = fake_graph_launch,
    .get_error_name = fake_error_name,
};
static const vmt_kernel kernel = {.name = "fake", .threads = 64, .num_buffers = 1, .args_bytes = 4};
static const vmt_kernel waiting = {
    .name = "waiting", .threads = 64, .num_buffers = 1, .args_bytes = 4, .waits = true}; /* 3, 6, 8 */

/* ---- a library that says "M" for a product */

static int fake_make(void **out) {
    *out = handle();
    return 0;
}
static int fake_drop(void *made) {
    notes.num_alive--;
    return 0;
}
static int fake_lt_create(cublasLtHandle_t *out) {
    return fake_make((void **)out);
}
static int fake_lt_destroy(cublasLtHandle_t made) {
    return fake_drop(made);
}
static int fake_desc_create(cublasLtMatmulDesc_t *out, int compute_type, int scale_type) {
    return fake_make((void **)out);
}
static int fake_desc_destroy(cublasLtMatmulDesc_t made) {
    return fake_drop(made);
}
static int fake_desc_set(cublasLtMatmulDesc_t desc, int name, const void *value, size_t bytes) {
    return 0;
}
static int fake_layout_create(cublasLtMatrixLayout_t *out, int type, uint64_t rows, uint64_t cols,
                              int64_t stride) {
    return fake_make((void **)out);
}
static int fake_layout_destroy(cublasLtMatrixLayout_t made) {
    return fake_drop(made);
}
static int fake_layout_set(cublasLtMatrixLayout_t layout, int name, const void *value, size_t bytes) {
    return 0;
}
static int fake_preference_create(cublasLtMatmulPreference_t *out) {
    return fake_make((void **)out);
}
static int fake_preference_destroy(cublasLtMatmulPreference_t made) {
    return fake_drop(made);
}
static int fake_preference_set(cublasLtMatmulPreference_t preference, int name, const void *value, size_t bytes) {
    return 0;
}
static int fake_heuristic(cublasLtHandle_t lt, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                          cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                          cublasLtMatmulPreference_t preference, int num_max, cublasLtMatmulHeuristicResult_t *out,
                          int *num_results) {
    *num_results = 1;
    return 0;
}
static int fake_matmul(cublasLtHandle_t lt, cublasLtMatmulDesc_t desc, const void *alpha, const void *a,
                       cublasLtMatrixLayout_t al, const void *b, cublasLtMatrixLayout_t bl, const void *beta,
                       const void *c, cublasLtMatrixLayout_t cl, void *d, cublasLtMatrixLayout_t dl,
                       const cublasLtMatmulAlgo_t *algo, void *workspace, size_t workspace_bytes,
                       CUstream stream) {
    note("M ");
    return 0;
}
static int fake_mem_alloc(CUdeviceptr *at, size_t bytes) {
    *at = (uintptr_t)handle();
    return 0;
}
static int fake_mem_free(CUdeviceptr at) {
    notes.num_alive--;
    return 0;
}

static const vmt_cublaslt_api library = {
    .create = fake_lt_create,
    .destroy = fake_lt_destroy,
    .desc_create = fake_desc_create,
    .desc_destroy = fake_desc_destroy,
    .desc_set = fake_desc_set,
    .layout_create = fake_layout_create,
    .layout_destroy = fake_layout_destroy,
    .layout_set = fake_layout_set,
    .preference_create = fake_preference_create,
    .preference_destroy = fake_preference_destroy,
    .preference_set = fake_preference_set,
    .get_heuristic = fake_heuristic,
    .matmul = fake_matmul,
};
static const vmt_cuda_api memory = {.mem_alloc = fake_mem_alloc, .mem_free = fake_mem_free};

static vmt_cuda_gemm *gemm; /* of launches of kernel 5; NULL: the kernel does it */

/* ---- tests */

static vmt_cuda_stream *start(vmt_test *t) {
    vmt_cuda_stream *s;
    notes = (struct notes){0};
    vmt_expect_eq(t, vmt_cuda_stream_create(&s, &api, false, NULL), VMT_OK);
    return s;
}

/* kernels: "12|3": launches of kernels 1 and 2, a barrier, 3.  Their argument is arg. */
static uint64_t commit(vmt_test *t, vmt_cuda_stream *s, const char *kernels, uint32_t arg) {
    uint64_t ticket;
    vmt_expect_eq(t, vmt_cuda_stream_begin(s, NULL), VMT_OK);
    for (const char *at = kernels; *at != 0; at++) {
        if (*at == '|') {
            vmt_cuda_stream_barrier(s);
            continue;
        }
        vmt_cuda_launch *launch = vmt_cuda_stream_add(s);
        vmt_expect(t, launch != NULL);
        launch->function = (CUfunction)(uintptr_t)(*at - '0');
        launch->kernel = strchr("368", *at) ? &waiting : &kernel;
        launch->buffers[0] = 0x1000;
        launch->grid[0] = 3;
        launch->grid[1] = 2;
        launch->grid[2] = 1;
        memcpy(launch->args, &arg, sizeof arg);
        if (*at == '5' && gemm != NULL) {
            launch->gemm = gemm;
            memcpy(launch->args, &(vmt_matmul_kargs){.num_rows = arg, .rows_0 = 8}, sizeof(vmt_matmul_kargs));
        }
    }
    vmt_expect_eq(t, vmt_cuda_stream_commit(s, &ticket, NULL), VMT_OK);
    return ticket;
}

static void nothing_runs_before_commit(vmt_test *t) {
    vmt_cuda_stream *s = start(t);
    vmt_expect_eq(t, commit(t, s, "12|3", 7), 1);
    vmt_expect_str(t, taken(), "L1:7 L2:7 L3:7 ");
    notes.num_events_done = notes.num_recorded;
    vmt_expect_eq(t, vmt_cuda_stream_wait(s, 1, 1000, NULL), VMT_OK);
    vmt_expect_eq(t, vmt_cuda_stream_gpu_ns(s), 2500000);
    vmt_cuda_stream_destroy(s);
    vmt_expect_eq(t, notes.num_alive, 0);
}

/* The second of the same is made into a graph, in which a barrier is a dependency; the third only launches it. */
static void what_repeats_becomes_a_graph(vmt_test *t) {
    vmt_cuda_stream *s = start(t);
    notes.num_events_done = UINT64_MAX - 1;
    const char *kernels = "123|4|56|78|9";
    commit(t, s, kernels, 1);
    vmt_expect_str(t, taken(), "L1:1 L2:1 L3:1 L4:1 L5:1 L6:1 L7:1 L8:1 L9:1 ");
    commit(t, s, kernels, 1);
    vmt_expect_str(t, taken(), "N1 N2 N3 N4(1,2,3) N5(4) N6(4) E(5,6) N7(99) N8(99) N9(7,8) G ");
    commit(t, s, kernels, 1);
    vmt_expect_str(t, taken(), "G ");
    /* Other arguments, other barriers: other lists. */
    commit(t, s, kernels, 2);
    vmt_expect_str(t, taken(), "L1:2 L2:2 L3:2 L4:2 L5:2 L6:2 L7:2 L8:2 L9:2 ");
    commit(t, s, "1234|56|78|9", 1);
    vmt_expect_str(t, taken(), "L1:1 L2:1 L3:1 L4:1 L5:1 L6:1 L7:1 L8:1 L9:1 ");
    commit(t, s, kernels, 1);
    vmt_expect_str(t, taken(), "G ");
    vmt_cuda_stream_destroy(s);
    vmt_expect_eq(t, notes.num_alive, 0);
}

/* Kernels that wait come early, but for those behind an empty node. */
static void kernels_come_early(vmt_test *t) {
    vmt_cuda_stream *s;
    notes = (struct notes){.num_events_done = UINT64_MAX - 1};
    vmt_expect_eq(t, vmt_cuda_stream_create(&s, &api, true, NULL), VMT_OK);
    commit(t, s, "12|3|45|67|8", 1);
    taken();
    commit(t, s, "12|3|45|67|8", 1);
    vmt_expect_str(t, taken(), "N1 N2 N3 1>3 2>3 N4(3) N5(3) E(4,5) N6(99) N7(99) N8 6>8 7>8 G ");
    vmt_cuda_stream_destroy(s);
    vmt_expect_eq(t, notes.num_alive, 0);
    vmt_cuda_api older = api;
    older.graph_add_dependencies = NULL;
    vmt_expect_eq(t, vmt_cuda_stream_create(&s, &older, true, NULL), VMT_OK);
    commit(t, s, "1|2|3|4", 1);
    taken();
    commit(t, s, "1|2|3|4", 1);
    vmt_expect_str(t, taken(), "N1 N2(1) N3(2) N4(3) G ");
    vmt_cuda_stream_destroy(s);
}

/* With a library's calls among them launches are captured, one after the other; where that fails they go as before. */
static void what_a_library_does_is_captured(vmt_test *t) {
    vmt_cuda_stream *s = start(t);
    notes.num_events_done = UINT64_MAX - 1;
    vmt_expect_eq(t, vmt_cuda_gemm_create(&gemm, &memory, &library, NULL), VMT_OK);
    commit(t, s, "12|5|34", 1);
    vmt_expect_str(t, taken(), "L1:1 L2:1 M L3:1 L4:1 ");
    commit(t, s, "12|5|34", 1);
    vmt_expect_str(t, taken(), "[ L1:1 L2:1 M L3:1 L4:1 ] G ");
    commit(t, s, "12|5|34", 1);
    vmt_expect_str(t, taken(), "G ");
    commit(t, s, "55|55", 2);
    notes.capture_fails = true;
    taken();
    commit(t, s, "55|55", 2);
    vmt_expect_str(t, taken(), "[ M M M M ] M M M M ");
    commit(t, s, "55|55", 2);
    vmt_expect_str(t, taken(), "M M M M ");
    vmt_cuda_stream_destroy(s);
    vmt_cuda_gemm_destroy(gemm);
    gemm = NULL;
    vmt_expect_eq(t, notes.num_alive, 0);
}

static void old_graphs_make_room(vmt_test *t) {
    vmt_cuda_stream *s = start(t);
    notes.num_events_done = UINT64_MAX - 1;
    commit(t, s, "1234", 1000);
    commit(t, s, "1234", 1000);
    for (uint32_t i = 0; i < 200; i++) commit(t, s, "1234", i / 2);
    taken();
    commit(t, s, "1234", 99);
    vmt_expect_str(t, taken(), "G ");
    commit(t, s, "1234", 1000);
    vmt_expect_str(t, taken(), "L1:1000 L2:1000 L3:1000 L4:1000 ");
    vmt_cuda_stream_destroy(s);
    vmt_expect_eq(t, notes.num_alive, 0);
}

static void waits_are_bounded(vmt_test *t) {
    vmt_cuda_stream *s = start(t);
    vmt_err err = {0};
    commit(t, s, "1", 1);
    commit(t, s, "2", 1);
    vmt_expect_eq(t, vmt_cuda_stream_wait(s, 2, 1000000, &err), VMT_E_EXHAUSTED);
    vmt_expect_str(t, err.msg, "the GPU was not done within 0.001 s");
    notes.num_events_done = 2; /* the first one's begin and end */
    vmt_expect_eq(t, vmt_cuda_stream_wait(s, 1, 0, NULL), VMT_OK);
    vmt_expect_eq(t, vmt_cuda_stream_wait(s, 2, 0, NULL), VMT_E_EXHAUSTED);
    notes.num_events_done = 4;
    vmt_expect_eq(t, vmt_cuda_stream_wait(s, 2, 0, NULL), VMT_OK);
    vmt_expect_eq(t, vmt_cuda_stream_wait(s, 1, 0, NULL), VMT_OK);
    vmt_cuda_stream_destroy(s);
}

static void a_failure_is_named_and_stays(vmt_test *t) {
    vmt_cuda_stream *s = start(t);
    vmt_err err = {0};
    uint64_t ticket;
    commit(t, s, "1", 1);
    notes.num_events_done = UINT64_MAX;
    vmt_expect_eq(t, vmt_cuda_stream_wait(s, 1, 1000, &err), VMT_E_IO);
    vmt_expect_str(t, err.msg, "a command buffer failed: CUDA_ERROR_ILLEGAL_ADDRESS (700)");
    notes.num_events_done = 100;
    vmt_expect_eq(t, vmt_cuda_stream_wait(s, 1, 1000, NULL), VMT_E_IO);
    vmt_cuda_stream_destroy(s);

    s = start(t);
    err = (vmt_err){0};
    notes.next_result = 1;
    vmt_expect_eq(t, vmt_cuda_stream_begin(s, NULL), VMT_OK);
    *vmt_cuda_stream_add(s) = (vmt_cuda_launch){.kernel = &kernel, .buffers = {0x1000}, .grid = {3, 2, 1}};
    vmt_expect_eq(t, vmt_cuda_stream_commit(s, &ticket, &err), VMT_E_IO);
    vmt_expect_str(t, err.msg, "a command buffer was refused: CUDA_ERROR_OTHER (1)");
    vmt_cuda_stream_destroy(s);
    vmt_expect_eq(t, notes.num_alive, 0);
}

/* No more than VMT_GPU_IN_FLIGHT_MAX on their way: the next begin() waits for the oldest. */
static void the_queue_has_an_end(vmt_test *t) {
    vmt_cuda_stream *s = start(t);
    for (uint32_t i = 0; i < VMT_GPU_IN_FLIGHT_MAX; i++) commit(t, s, "1", i);
    notes.num_events_done = 2;
    vmt_expect_eq(t, commit(t, s, "1", 0), VMT_GPU_IN_FLIGHT_MAX + 1);
    vmt_expect_eq(t, vmt_cuda_stream_gpu_ns(s), 2500000);
    vmt_expect_eq(t, vmt_cuda_stream_wait(s, 2, 0, NULL), VMT_E_EXHAUSTED);
    vmt_cuda_stream_destroy(s);
}

static const vmt_test_case cases[] = {
    {"nothing_runs_before_commit", nothing_runs_before_commit},
    {"what_repeats_becomes_a_graph", what_repeats_becomes_a_graph},
    {"kernels_come_early", kernels_come_early},
    {"what_a_library_does_is_captured", what_a_library_does_is_captured},
    {"old_graphs_make_room", old_graphs_make_room},
    {"waits_are_bounded", waits_are_bounded},
    {"a_failure_is_named_and_stays", a_failure_is_named_and_stays},
    {"the_queue_has_an_end", the_queue_has_an_end},
    {0},
};
VMT_TEST_MAIN(cases)
