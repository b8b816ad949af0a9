/* backend/cpu/pool.c: see pool.h for the protocol. */
#include "backend/cpu/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"

#define CACHE_LINE    64u
#define CLOSED        0x80000000u
#define SEQ_ONE       ((uint64_t)1 << 32)
#define POLLS_PER_NOW 32u /* looks at the gate between looks at the clock */

typedef struct worker {
    vmt_pool *pool;
    uint32_t idx;
    pthread_t thread;
    void *scratch;
} worker;

struct vmt_pool {
    _Alignas(CACHE_LINE) _Atomic uint64_t gate;
    _Alignas(CACHE_LINE) _Atomic uint64_t next_chunk; /* 64 bits: late takers push it past num_chunks */
    _Alignas(CACHE_LINE) vmt_pool_job job;
    uint32_t num_chunks, chunk_items;
    size_t scratch_bytes;
    uint64_t spin_ns;
    uint32_t num_threads, num_started;
    worker *workers; /* [num_threads]; 0 is the caller */

    _Alignas(CACHE_LINE) _Atomic uint32_t num_asleep;
    _Atomic bool caller_asleep, stopping;
    pthread_mutex_t lock; /* only for falling asleep and waking */
    pthread_cond_t work_cond, done_cond;
};

static inline void cpu_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory"); /* yield is a no-op on most cores */
#endif
}

static inline uint32_t seq_of(uint64_t gate) {
    return (uint32_t)(gate >> 32);
}

static inline uint32_t inside_of(uint64_t gate) {
    return (uint32_t)gate & ~CLOSED;
}

/* next_chunk counts items here. */
static void take_guided(vmt_pool *pool, vmt_cpu_task *task) {
    const uint32_t num_items = pool->job.num_items;
    uint64_t begin = atomic_load_explicit(&pool->next_chunk, memory_order_relaxed), end;
    for (;;) {
        do {
            if (begin >= num_items) return;
            uint64_t share = (num_items - begin) / (2 * pool->num_threads);
            end = VMT_MIN(begin + VMT_MAX(share, pool->chunk_items), num_items);
        } while (!atomic_compare_exchange_weak_explicit(&pool->next_chunk, &begin, end, memory_order_relaxed,
                                                        memory_order_relaxed));
        task->begin = (uint32_t)begin;
        task->end = (uint32_t)end;
        pool->job.fn(task);
        begin = atomic_load_explicit(&pool->next_chunk, memory_order_relaxed);
    }
}

static void take_chunks(vmt_pool *pool, worker *self) {
    const vmt_pool_job *job = &pool->job;
    vmt_cpu_task task = {
        .args = job->args,
        .buffers = job->buffers,
        .worker = self->idx,
        .num_workers = pool->num_threads,
        .scratch = self->scratch,
    };
    if (job->is_guided) {
        take_guided(pool, &task);
        return;
    }
    for (;;) {
        uint64_t chunk = atomic_fetch_add_explicit(&pool->next_chunk, 1, memory_order_relaxed);
        if (chunk >= pool->num_chunks) return;
        if (job->grain == 0) {
            /* num_items * chunk / num_chunks: parts differ by one item at most. */
            task.begin = (uint32_t)(job->num_items * chunk / pool->num_chunks);
            task.end = (uint32_t)(job->num_items * (chunk + 1) / pool->num_chunks);
        } else {
            uint64_t begin = chunk * pool->chunk_items;
            task.begin = (uint32_t)begin;
            task.end = (uint32_t)VMT_MIN(begin + pool->chunk_items, job->num_items);
        }
        job->fn(&task);
    }
}

/* Waits for a launch newer than seen_seq.  false: the pool stops. */
static bool wait_for_work(vmt_pool *pool, uint32_t seen_seq) {
    uint64_t deadline = 0;
    for (uint32_t polls = 0;; polls++) {
        uint64_t gate = atomic_load_explicit(&pool->gate, memory_order_acquire);
        if (seq_of(gate) != seen_seq) return true;
        if (polls % POLLS_PER_NOW == 0) {
            uint64_t now = vmt_clock_ns();
            if (deadline == 0) deadline = now + pool->spin_ns;
            if (now >= deadline) break;
        }
        cpu_relax();
    }
    pthread_mutex_lock(&pool->lock);
    /* Announce the sleep before the last look at the gate; the caller opens the gate before it looks at num_asleep. */
    atomic_fetch_add(&pool->num_asleep, 1);
    while (seq_of(atomic_load(&pool->gate)) == seen_seq && !atomic_load(&pool->stopping)) {
        pthread_cond_wait(&pool->work_cond, &pool->lock);
    }
    atomic_fetch_sub(&pool->num_asleep, 1);
    pthread_mutex_unlock(&pool->lock);
    return !atomic_load(&pool->stopping);
}

/* false when the launch is already over. */
static bool join(vmt_pool *pool, uint64_t *gate) {
    *gate = atomic_load_explicit(&pool->gate, memory_order_acquire);
    while ((*gate & CLOSED) == 0) {
        if (atomic_compare_exchange_weak_explicit(&pool->gate, gate, *gate + 1, memory_order_acquire,
                                                  memory_order_acquire)) {
            return true;
        }
    }
    return false;
}

static void leave(vmt_pool *pool) {
    uint64_t gate = atomic_fetch_sub(&pool->gate, 1) - 1;
    if ((gate & CLOSED) == 0 || inside_of(gate) != 0 || !atomic_load(&pool->caller_asleep)) return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_signal(&pool->done_cond);
    pthread_mutex_unlock(&pool->lock);
}

static void *worker_main(void *ctx) {
    worker *self = ctx;
    vmt_pool *pool = self->pool;
    uint32_t seen_seq = 0;
    while (wait_for_work(pool, seen_seq)) {
        uint64_t gate;
        bool joined = join(pool, &gate);
        seen_seq = seq_of(gate);
        if (!joined) continue;
        take_chunks(pool, self);
        leave(pool);
    }
    return NULL;
}

static void wake_workers(vmt_pool *pool) {
    if (atomic_load(&pool->num_asleep) == 0) return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->work_cond);
    pthread_mutex_unlock(&pool->lock);
}

/* The gate is closed; waits until nobody is inside. */
static void wait_for_leavers(vmt_pool *pool) {
    uint64_t deadline = 0;
    for (uint32_t polls = 0;; polls++) {
        if (inside_of(atomic_load_explicit(&pool->gate, memory_order_acquire)) == 0) return;
        if (polls % POLLS_PER_NOW == POLLS_PER_NOW - 1) {
            uint64_t now = vmt_clock_ns();
            if (deadline == 0) deadline = now + pool->spin_ns;
            if (now >= deadline) break;
        }
        cpu_relax();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->caller_asleep, true);
    while (inside_of(atomic_load(&pool->gate)) != 0) pthread_cond_wait(&pool->done_cond, &pool->lock);
    atomic_store(&pool->caller_asleep, false);
    pthread_mutex_unlock(&pool->lock);
}

static vmt_status grow_scratch(vmt_pool *pool, size_t bytes) {
    if (bytes <= pool->scratch_bytes) return VMT_OK;
    bytes = (bytes + 4095) / 4096 * 4096;
    for (uint32_t i = 0; i < pool->num_threads; i++) {
        void *grown;
        if (posix_memalign(&grown, CACHE_LINE, bytes) != 0) return VMT_E_NO_MEMORY;
        free(pool->workers[i].scratch);
        pool->workers[i].scratch = grown;
    }
    pool->scratch_bytes = bytes;
    return VMT_OK;
}

vmt_status vmt_pool_run(vmt_pool *pool, const vmt_pool_job *job) {
    if (job->num_items == 0) return VMT_OK;
    VMT_ASSERT(!job->is_guided || job->grain > 0);
    VMT_TRY(grow_scratch(pool, job->scratch_bytes));
    pool->job = *job;
    pool->chunk_items = job->grain;
    pool->num_chunks = job->grain == 0 ? VMT_MIN(pool->num_threads, job->num_items)
                                       : job->num_items / job->grain + (job->num_items % job->grain != 0);
    atomic_store_explicit(&pool->next_chunk, 0, memory_order_relaxed);
    if (pool->num_chunks == 1 || pool->num_threads == 1) {
        take_chunks(pool, &pool->workers[0]);
        return VMT_OK;
    }
    uint64_t gate = atomic_load_explicit(&pool->gate, memory_order_relaxed);
    VMT_ASSERT((uint32_t)gate == CLOSED);
    atomic_store(&pool->gate, gate + SEQ_ONE - CLOSED);
    wake_workers(pool);
    take_chunks(pool, &pool->workers[0]);
    atomic_fetch_or(&pool->gate, CLOSED);
    wait_for_leavers(pool);
    return VMT_OK;
}

vmt_status vmt_pool_create(vmt_pool **out, uint32_t num_threads, uint64_t spin_ns, vmt_err *err) {
    *out = NULL;
    VMT_ASSERT(num_threads >= 1);
    void *memory;
    if (posix_memalign(&memory, CACHE_LINE, sizeof(vmt_pool)) != 0) {
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a pool of %u threads", num_threads);
    }
    vmt_pool *pool = memory;
    *pool = (vmt_pool){.num_threads = num_threads, .spin_ns = spin_ns};
    atomic_init(&pool->gate, CLOSED);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work_cond, NULL);
    pthread_cond_init(&pool->done_cond, NULL);
    pool->workers = calloc(num_threads, sizeof(worker));
    if (pool->workers == NULL) {
        vmt_pool_destroy(pool);
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a pool of %u threads", num_threads);
    }
    for (uint32_t i = 0; i < num_threads; i++) {
        pool->workers[i].pool = pool;
        pool->workers[i].idx = i;
        if (i == 0) continue;
        int rc = pthread_create(&pool->workers[i].thread, NULL, worker_main, &pool->workers[i]);
        if (rc != 0) {
            vmt_pool_destroy(pool);
            return vmt_fail(err, VMT_E_EXHAUSTED, "thread %u of %u: %s", i, num_threads, strerror(rc));
        }
        pool->num_started++;
    }
    *out = pool;
    return VMT_OK;
}

void vmt_pool_destroy(vmt_pool *pool) {
    if (pool == NULL) return;
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->stopping, true);
    pthread_cond_broadcast(&pool->work_cond);
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 1; i <= pool->num_started; i++) pthread_join(pool->workers[i].thread, NULL);
    for (uint32_t i = 0; pool->workers != NULL && i < pool->num_threads; i++) free(pool->workers[i].scratch);
    free(pool->workers);
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->work_cond);
    pthread_cond_destroy(&pool->done_cond);
    free(pool);
}
