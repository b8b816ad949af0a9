#include "backend/cuda/stream.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLOTS      (VMT_GPU_IN_FLIGHT_MAX + 1) /* the next one is being recorded */
#define GRAPHS_MAX 32u                         /* kept; the one unused for longest goes */
#define GRAPH_MIN  4u                          /* launches; below it a graph gains nothing */
#define SPIN_NS    UINT64_C(200000)            /* of a wait, before it sleeps between looks */
#define NAP_NS     20000

struct command_buffer {
    vmt_cuda_launch *launches; /* [num_launches] */
    uint32_t num_launches, cap;
    uint32_t segment;
    bool lacks_memory;
    CUevent begin, end;
};

#define KEY_BYTES_MAX (VMT_GPU_BUFFERS_MAX * sizeof(CUdeviceptr) + VMT_GPU_ARGS_MAX + 64) /* of a launch */

/* A list of launches by its hash; a graph from the second time on. */
struct graph {
    vmt_hash128 hash;
    CUgraphExec exec; /* NULL: seen once */
    bool is_refused;  /* can't be made */
    uint64_t last_used;
};

struct vmt_cuda_stream {
    const vmt_cuda_api *api;
    CUstream stream;
    struct command_buffer commands[SLOTS]; /* ticket % SLOTS */
    uint64_t num_committed, num_done;
    uint64_t gpu_ns;
    bool is_recording, overlaps;
    struct graph graphs[GRAPHS_MAX];
    vmt_buf key; /* what tells one list of launches from another */
    vmt_err failure;
};

vmt_status vmt_cuda_fail(const vmt_cuda_api *api, CUresult result, vmt_err *err, const char *what) {
    const char *name = NULL;
    if (api->get_error_name(result, &name) != CUDA_SUCCESS || name == NULL) name = "an unknown error";
    vmt_status status = result == CUDA_ERROR_OUT_OF_MEMORY ? VMT_E_NO_MEMORY : VMT_E_IO;
    return vmt_fail(err, status, "%s: %s (%d)", what, name, result);
}

/* ---- recording */

static struct command_buffer *recording(vmt_cuda_stream *s) {
    return &s->commands[(s->num_committed + 1) % SLOTS];
}

vmt_status vmt_cuda_stream_begin(vmt_cuda_stream *s, vmt_err *err) {
    VMT_ASSERT(!s->is_recording);
    if (s->num_committed - s->num_done >= VMT_GPU_IN_FLIGHT_MAX) {
        VMT_TRY(vmt_cuda_stream_wait(s, s->num_done + 1, VMT_GPU_ROOM_WAIT_NS, err));
    }
    struct command_buffer *c = recording(s);
    c->num_launches = c->segment = 0;
    c->lacks_memory = false;
    s->is_recording = true;
    return VMT_OK;
}

vmt_cuda_launch *vmt_cuda_stream_add(vmt_cuda_stream *s) {
    struct command_buffer *c = recording(s);
    VMT_ASSERT(s->is_recording);
    if (c->num_launches == c->cap) {
        uint32_t cap = VMT_MAX(256, c->cap * 2);
        vmt_cuda_launch *grown = aligned_alloc(16, cap * sizeof *grown);
        c->lacks_memory = c->lacks_memory || grown == NULL;
        if (grown == NULL) return NULL;
        if (c->num_launches > 0) memcpy(grown, c->launches, c->num_launches * sizeof *grown);
        free(c->launches);
        c->launches = grown;
        c->cap = cap;
    }
    vmt_cuda_launch *launch = &c->launches[c->num_launches++];
    memset(launch, 0, sizeof *launch);
    launch->segment = c->segment;
    return launch;
}

void vmt_cuda_stream_barrier(vmt_cuda_stream *s) {
    recording(s)->segment++;
}

/* ---- launching */

/* What the driver wants: an address of each parameter. */
static void params_of(vmt_cuda_launch *launch, void **params) {
    uint32_t num_buffers = launch->kernel->num_buffers;
    for (uint32_t i = 0; i < num_buffers; i++) params[i] = &launch->buffers[i];
    params[num_buffers] = launch->args;
}

static CUresult launch_one(vmt_cuda_stream *s, vmt_cuda_launch *launch) {
    if (launch->gemm != NULL) {
        bool is_done;
        const vmt_matmul_kargs *args = (const vmt_matmul_kargs *)(const void *)launch->args;
        CUresult result =
            vmt_cuda_gemm_run(launch->gemm, launch->kernel, launch->buffers, args, s->stream, &is_done);
        if (is_done || result != CUDA_SUCCESS) return result;
    }
    void *params[VMT_GPU_BUFFERS_MAX + 1];
    params_of(launch, params);
    return s->api->launch_kernel(launch->function, launch->grid[0], launch->grid[1], launch->grid[2],
                                 launch->kernel->threads, 1, 1, launch->shared_bytes, s->stream, params, NULL);
}

static CUresult launch_all(vmt_cuda_stream *s, struct command_buffer *c) {
    CUresult result = CUDA_SUCCESS;
    for (uint32_t i = 0; i < c->num_launches && result == CUDA_SUCCESS; i++) {
        result = launch_one(s, &c->launches[i]);
    }
    return result;
}

/* The node's threadgroups come while the last of these run. */
static CUresult depend_early(vmt_cuda_stream *s, CUgraph graph, CUgraphNode node, const CUgraphNode *dependencies,
                             size_t num_dependencies) {
    static const CUgraphEdgeData early = {
        .from_port = CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC,
        .type = CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC,
    };
    CUresult result = CUDA_SUCCESS;
    for (size_t i = 0; i < num_dependencies && result == CUDA_SUCCESS; i++) {
        result = s->api->graph_add_dependencies(graph, &dependencies[i], &node, &early, 1);
    }
    return result;
}

/* Nodes of a segment depend on all of the one before; where both have several, an empty node stands between. */
static CUresult add_segment(vmt_cuda_stream *s, CUgraph graph, struct command_buffer *c, uint32_t begin,
                            uint32_t end, CUgraphNode *nodes, uint32_t previous) {
    const vmt_cuda_api *api = s->api;
    CUgraphNode joint, *dependencies = nodes + previous;
    size_t num_dependencies = begin - previous;
    if (num_dependencies > 1 && end - begin > 1) {
        CUresult result = api->graph_add_empty_node(&joint, graph, dependencies, num_dependencies);
        if (result != CUDA_SUCCESS) return result;
        dependencies = &joint;
        num_dependencies = 1;
    }
    for (uint32_t i = begin; i < end; i++) {
        vmt_cuda_launch *launch = &c->launches[i];
        void *params[VMT_GPU_BUFFERS_MAX + 1];
        params_of(launch, params);
        CUDA_KERNEL_NODE_PARAMS node = {
            .func = launch->function,
            .gridDimX = launch->grid[0],
            .gridDimY = launch->grid[1],
            .gridDimZ = launch->grid[2],
            .blockDimX = launch->kernel->threads,
            .blockDimY = 1,
            .blockDimZ = 1,
            .sharedMemBytes = launch->shared_bytes,
            .kernelParams = params,
        };
        bool is_early = s->overlaps && launch->kernel->waits && dependencies != &joint;
        size_t num_late = is_early ? 0 : num_dependencies;
        CUresult result =
            api->graph_add_kernel_node(&nodes[i], graph, num_late ? dependencies : NULL, num_late, &node);
        if (result == CUDA_SUCCESS && is_early)
            result = depend_early(s, graph, nodes[i], dependencies, num_dependencies);
        if (result != CUDA_SUCCESS) return result;
    }
    return CUDA_SUCCESS;
}

static CUresult make_graph(vmt_cuda_stream *s, struct command_buffer *c, CUgraphExec *out) {
    CUgraph graph;
    CUresult result = s->api->graph_create(&graph, 0);
    if (result != CUDA_SUCCESS) return result;
    CUgraphNode *nodes = calloc(c->num_launches, sizeof(CUgraphNode));
    if (nodes == NULL) result = CUDA_ERROR_OUT_OF_MEMORY;
    for (uint32_t previous = 0, begin = 0; begin < c->num_launches && result == CUDA_SUCCESS;) {
        uint32_t end = begin + 1;
        while (end < c->num_launches && c->launches[end].segment == c->launches[begin].segment) end++;
        result = add_segment(s, graph, c, begin, end, nodes, previous);
        previous = begin;
        begin = end;
    }
    if (result == CUDA_SUCCESS) result = s->api->graph_instantiate(out, graph, 0);
    free(nodes);
    s->api->graph_destroy(graph);
    return result;
}

/* A library's calls become nodes only as the stream sees them: one after the other. */
static CUresult capture_graph(vmt_cuda_stream *s, struct command_buffer *c, CUgraphExec *out) {
    CUgraph graph = NULL;
    CUresult result = s->api->stream_begin_capture(s->stream, CU_STREAM_CAPTURE_MODE_RELAXED);
    if (result != CUDA_SUCCESS) return result;
    result = launch_all(s, c);
    CUresult ended = s->api->stream_end_capture(s->stream, &graph);
    if (result == CUDA_SUCCESS) result = ended;
    if (result == CUDA_SUCCESS) result = s->api->graph_instantiate(out, graph, 0);
    if (graph != NULL) s->api->graph_destroy(graph);
    return result;
}

static bool has_gemm(const struct command_buffer *c) {
    uint32_t i = 0;
    while (i < c->num_launches && c->launches[i].gemm == NULL) i++;
    return i < c->num_launches;
}

static vmt_hash128 hash_launches(vmt_cuda_stream *s, const struct command_buffer *c) {
    vmt_buf_clear(&s->key);
    for (uint32_t i = 0; i < c->num_launches; i++) {
        const vmt_cuda_launch *launch = &c->launches[i];
        uint8_t key[KEY_BYTES_MAX];
        size_t at = 0, buffers_bytes = launch->kernel->num_buffers * sizeof launch->buffers[0];
        memcpy(key, &launch->kernel, sizeof launch->kernel);
        at += sizeof launch->kernel;
        memcpy(key + at, &launch->segment, sizeof launch->segment);
        at += sizeof launch->segment;
        memcpy(key + at, launch->grid, sizeof launch->grid);
        at += sizeof launch->grid;
        memcpy(key + at, launch->buffers, buffers_bytes);
        at += buffers_bytes;
        memcpy(key + at, launch->args, launch->kernel->args_bytes);
        at += launch->kernel->args_bytes;
        vmt_buf_append(&s->key, (vmt_str){(const char *)key, at});
    }
    return vmt_siphash128((vmt_hash_key){0, 0}, s->key.ptr, s->key.len);
}

/* The row of these launches; a new one takes the place of the one unused for longest. */
static struct graph *find_graph(vmt_cuda_stream *s, const struct command_buffer *c) {
    vmt_hash128 hash = hash_launches(s, c);
    struct graph *oldest = &s->graphs[0];
    for (uint32_t i = 0; i < GRAPHS_MAX; i++) {
        struct graph *g = &s->graphs[i];
        if (g->last_used > 0 && vmt_hash128_eq(g->hash, hash)) return g;
        if (g->last_used < oldest->last_used) oldest = g;
    }
    if (oldest->exec != NULL) s->api->graph_exec_destroy(oldest->exec);
    *oldest = (struct graph){.hash = hash};
    return oldest;
}

static CUresult submit(vmt_cuda_stream *s, struct command_buffer *c) {
    if (c->num_launches < GRAPH_MIN) return launch_all(s, c);
    struct graph *graph = find_graph(s, c);
    if (s->key.failed) return CUDA_ERROR_OUT_OF_MEMORY;
    bool is_known = graph->last_used > 0;
    graph->last_used = s->num_committed + 1;
    if (!is_known) return launch_all(s, c);
    if (graph->exec == NULL && !graph->is_refused && has_gemm(c)) {
        graph->is_refused = capture_graph(s, c, &graph->exec) != CUDA_SUCCESS;
    } else if (graph->exec == NULL && !graph->is_refused) {
        CUresult result = make_graph(s, c, &graph->exec);
        if (result != CUDA_SUCCESS) return result;
    }
    if (graph->is_refused) return launch_all(s, c);
    return s->api->graph_launch(graph->exec, s->stream);
}

vmt_status vmt_cuda_stream_commit(vmt_cuda_stream *s, uint64_t *ticket, vmt_err *err) {
    struct command_buffer *c = recording(s);
    VMT_ASSERT(s->is_recording);
    s->is_recording = false;
    if (c->lacks_memory) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for %u dispatches", c->num_launches);
    CUresult result = s->api->event_record(c->begin, s->stream);
    if (result == CUDA_SUCCESS) result = submit(s, c);
    if (result == CUDA_SUCCESS) result = s->api->event_record(c->end, s->stream);
    if (result != CUDA_SUCCESS) return vmt_cuda_fail(s->api, result, err, "a command buffer was refused");
    *ticket = ++s->num_committed;
    return VMT_OK;
}

/* ---- completion */

/* Notes that the next command buffer is done. */
static void retire(vmt_cuda_stream *s) {
    struct command_buffer *c = &s->commands[++s->num_done % SLOTS];
    float ms = 0;
    if (s->api->event_elapsed_time(&ms, c->begin, c->end) == CUDA_SUCCESS)
        s->gpu_ns += (uint64_t)((double)ms * 1e6);
}

static void nap(uint64_t waited_ns) {
    struct timespec pause = {.tv_nsec = NAP_NS};
    if (waited_ns > SPIN_NS) nanosleep(&pause, NULL);
}

vmt_status vmt_cuda_stream_wait(vmt_cuda_stream *s, uint64_t ticket, uint64_t timeout_ns, vmt_err *err) {
    uint64_t began_ns = vmt_clock_ns();
    VMT_ASSERT(ticket <= s->num_committed);
    while (s->num_done < ticket && s->failure.code == VMT_OK) {
        CUresult result = s->api->event_query(s->commands[(s->num_done + 1) % SLOTS].end);
        uint64_t waited_ns = vmt_clock_ns() - began_ns;
        if (result == CUDA_SUCCESS) {
            retire(s);
        } else if (result != CUDA_ERROR_NOT_READY) {
            vmt_cuda_fail(s->api, result, &s->failure, "a command buffer failed");
        } else if (waited_ns >= timeout_ns) {
            return vmt_fail(err, VMT_E_EXHAUSTED, "the GPU was not done within %.3f s", (double)timeout_ns / 1e9);
        } else {
            nap(waited_ns);
        }
    }
    return s->failure.code == VMT_OK ? VMT_OK : vmt_fail(err, VMT_E_IO, "%s", s->failure.msg);
}

uint64_t vmt_cuda_stream_gpu_ns(const vmt_cuda_stream *s) {
    return s->gpu_ns;
}

/* ---- life */

vmt_status vmt_cuda_stream_create(vmt_cuda_stream **out, const vmt_cuda_api *api, bool overlaps, vmt_err *err) {
    vmt_cuda_stream *s = calloc(1, sizeof *s);
    *out = NULL;
    if (s == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a CUDA stream");
    s->api = api;
    s->overlaps = overlaps && api->graph_add_dependencies != NULL;
    vmt_buf_init(&s->key, 0);
    CUresult result = api->stream_create(&s->stream, CU_STREAM_NON_BLOCKING);
    for (uint32_t i = 0; i < SLOTS && result == CUDA_SUCCESS; i++) {
        result = api->event_create(&s->commands[i].begin, CU_EVENT_DEFAULT);
        if (result == CUDA_SUCCESS) result = api->event_create(&s->commands[i].end, CU_EVENT_DEFAULT);
    }
    if (result != CUDA_SUCCESS) {
        vmt_cuda_stream_destroy(s);
        return vmt_cuda_fail(api, result, err, "a CUDA stream");
    }
    *out = s;
    return VMT_OK;
}

void vmt_cuda_stream_destroy(vmt_cuda_stream *s) {
    if (s == NULL) return;
    if (s->stream != NULL) s->api->stream_synchronize(s->stream);
    for (uint32_t i = 0; i < GRAPHS_MAX; i++) {
        if (s->graphs[i].exec != NULL) s->api->graph_exec_destroy(s->graphs[i].exec);
    }
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (s->commands[i].begin != NULL) s->api->event_destroy(s->commands[i].begin);
        if (s->commands[i].end != NULL) s->api->event_destroy(s->commands[i].end);
        free(s->commands[i].launches);
    }
    if (s->stream != NULL) s->api->stream_destroy(s->stream);
    vmt_buf_free(&s->key);
    free(s);
}
