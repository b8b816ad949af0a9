#include "backend/host/workers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct vmt_host_workers {
    uint32_t num_workers; /* the caller of run() among them */
    pthread_t *threads;   /* [num_workers - 1] */
    vmt_threadgroup **groups;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t num_jobs; /* begun so far: a worker that saw fewer has work */
    uint32_t num_busy;
    bool is_closing;

    /* The job: written by run() before num_jobs grows. */
    const vmt_host_launch *launches;
    uint32_t num_launches;
    uint32_t *sequence; /* [num_launches] in which order they run */
    uint32_t sequence_cap;
    vmt_lane_order order;
    uint64_t seed;
    uint64_t num_groups; /* of all launches */
    atomic_uint_fast64_t next_group;
    atomic_bool has_failed;
    vmt_err err; /* of the first that failed; under the lock */
};

struct start {
    vmt_host_workers *workers;
    uint32_t worker_idx;
};

static uint64_t num_groups_of(const vmt_host_launch *launch) {
    return (uint64_t)launch->grid[0] * launch->grid[1] * launch->grid[2];
}

/* ---- one worker's part of a job */

static vmt_lane_order order_of(const vmt_host_workers *w, uint32_t launch_idx) {
    static const vmt_lane_order mixed[] = {VMT_LANES_BACKWARD, VMT_LANES_FORWARD, VMT_LANES_RANDOM};
    return w->order != VMT_LANES_MIXED ? w->order : mixed[(w->seed + launch_idx) % VMT_COUNT(mixed)];
}

static vmt_status run_group(const vmt_host_workers *w, vmt_threadgroup *group, uint32_t launch_idx, uint64_t idx,
                            vmt_err *err) {
    const vmt_host_launch *launch = &w->launches[launch_idx];
    const uint32_t *grid = launch->grid;
    vmt_lane_order order = order_of(w, launch_idx);
    if (order == VMT_LANES_BACKWARD) idx = num_groups_of(launch) - 1 - idx;
    vmt_host_lane lane = {
        .buffers = launch->buffers,
        .args = launch->args,
        .group = {(uint32_t)(idx % grid[0]), (uint32_t)(idx / grid[0] % grid[1]),
                  (uint32_t)(idx / grid[0] / grid[1])},
        .grid = {grid[0], grid[1], grid[2]},
    };
    return vmt_threadgroup_run(group, launch->kernel, &lane, order, w->seed + idx, err);
}

static void run_part(vmt_host_workers *w, uint32_t worker_idx) {
    uint64_t begin = 0; /* the first group of sequence[at] */
    uint32_t at = 0;
    while (!atomic_load_explicit(&w->has_failed, memory_order_relaxed)) {
        uint64_t idx = atomic_fetch_add_explicit(&w->next_group, 1, memory_order_relaxed);
        if (idx >= w->num_groups) break;
        while (idx - begin >= num_groups_of(&w->launches[w->sequence[at]])) {
            begin += num_groups_of(&w->launches[w->sequence[at]]);
            at++;
        }
        vmt_err err = {0};
        if (run_group(w, w->groups[worker_idx], w->sequence[at], idx - begin, &err) == VMT_OK) continue;
        pthread_mutex_lock(&w->lock);
        if (!atomic_exchange(&w->has_failed, true)) w->err = err;
        pthread_mutex_unlock(&w->lock);
    }
}

static void *worker_thread(void *arg) {
    struct start start = *(struct start *)arg;
    vmt_host_workers *w = start.workers;
    free(arg);
    uint64_t num_seen = 0;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (w->num_jobs == num_seen && !w->is_closing) pthread_cond_wait(&w->changed, &w->lock);
        if (w->is_closing) break;
        num_seen = w->num_jobs;
        pthread_mutex_unlock(&w->lock);
        run_part(w, start.worker_idx);
        pthread_mutex_lock(&w->lock);
        if (--w->num_busy == 0) pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- jobs */

/* A random order: nothing forbids it. */
static vmt_status make_sequence(vmt_host_workers *w, vmt_err *err) {
    if (w->num_launches > w->sequence_cap) {
        uint32_t *grown = realloc(w->sequence, w->num_launches * sizeof *grown);
        if (grown == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for %u dispatches", w->num_launches);
        w->sequence = grown;
        w->sequence_cap = w->num_launches;
    }
    uint64_t random = w->seed * UINT64_C(0x9E3779B97F4A7C15) | 1;
    for (uint32_t i = 0; i < w->num_launches; i++) {
        random = random * UINT64_C(6364136223846793005) + 1;
        uint32_t other = (uint32_t)((random >> 33) % (i + 1));
        w->sequence[i] = w->sequence[other];
        w->sequence[other] = i;
    }
    return VMT_OK;
}

vmt_status vmt_host_workers_run(vmt_host_workers *w, const vmt_host_launch *launches, uint32_t num_launches,
                                vmt_lane_order order, uint64_t seed, vmt_err *err) {
    w->launches = launches;
    w->num_launches = num_launches;
    w->order = order;
    w->seed = seed;
    w->num_groups = 0;
    for (uint32_t i = 0; i < num_launches; i++) w->num_groups += num_groups_of(&launches[i]);
    VMT_TRY(make_sequence(w, err));
    atomic_store(&w->next_group, 0);
    atomic_store(&w->has_failed, false);
    w->err = (vmt_err){0};
    bool is_alone = w->num_workers == 1 || w->num_groups == 1;
    if (!is_alone) {
        pthread_mutex_lock(&w->lock);
        w->num_jobs++;
        w->num_busy = w->num_workers - 1;
        pthread_cond_broadcast(&w->changed);
        pthread_mutex_unlock(&w->lock);
    }
    run_part(w, 0);
    pthread_mutex_lock(&w->lock);
    while (w->num_busy > 0) pthread_cond_wait(&w->changed, &w->lock);
    pthread_mutex_unlock(&w->lock);
    return w->err.code == VMT_OK ? VMT_OK : vmt_fail(err, w->err.code, "%s", w->err.msg);
}

/* ---- life */

static vmt_status start_worker(vmt_host_workers *w, uint32_t worker_idx, vmt_err *err) {
    struct start *start = malloc(sizeof *start);
    if (start == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a worker");
    *start = (struct start){w, worker_idx};
    if (pthread_create(&w->threads[worker_idx - 1], NULL, worker_thread, start) != 0) {
        free(start);
        return vmt_fail(err, VMT_E_NO_MEMORY, "no thread for worker %u of the host driver", worker_idx);
    }
    w->num_workers = worker_idx + 1;
    return VMT_OK;
}

vmt_status vmt_host_workers_create(vmt_host_workers **out, uint32_t num_workers, vmt_err *err) {
    vmt_host_workers *w = calloc(1, sizeof *w);
    *out = w;
    if (w == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the host driver's workers");
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    w->threads = calloc(num_workers, sizeof *w->threads);
    w->groups = calloc(num_workers, sizeof(vmt_threadgroup *));
    w->num_workers = 1;
    vmt_status status = VMT_OK;
    if (w->threads == NULL || w->groups == NULL) {
        status = vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the host driver's workers");
    }
    for (uint32_t i = 0; i < num_workers && status == VMT_OK; i++) {
        status = vmt_threadgroup_create(&w->groups[i], err);
        if (status == VMT_OK && i > 0) status = start_worker(w, i, err);
    }
    if (status == VMT_OK) return VMT_OK;
    vmt_host_workers_destroy(w);
    *out = NULL;
    return status;
}

void vmt_host_workers_destroy(vmt_host_workers *w) {
    pthread_mutex_lock(&w->lock);
    w->is_closing = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    for (uint32_t i = 1; i < w->num_workers; i++) pthread_join(w->threads[i - 1], NULL);
    for (uint32_t i = 0; w->groups != NULL && i < w->num_workers; i++) vmt_threadgroup_destroy(w->groups[i]);
    free(w->groups);
    free(w->threads);
    free(w->sequence);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
