#include "api/render.h"

#include <pthread.h>
#include <stdlib.h>

struct list {
    vmt_text_work *first, *last;
};

struct vmt_text_pool {
    pthread_mutex_t mutex;
    pthread_cond_t has_work;
    struct list waiting, done; /* under mutex, as all below it */
    uint32_t num_waiting, works_max;
    bool is_closing;
    void (*wake)(void *ctx);
    void *ctx;
    uint32_t num_threads;
    pthread_t threads[VMT_TEXT_THREADS_MAX];
};

static void append(struct list *list, vmt_text_work *work) {
    work->next = NULL;
    if (list->last) {
        list->last->next = work;
    } else {
        list->first = work;
    }
    list->last = work;
}

static vmt_text_work *take_first(struct list *list) {
    vmt_text_work *work = list->first;
    if (!work) return NULL;
    list->first = work->next;
    if (!list->first) list->last = NULL;
    work->next = NULL;
    return work;
}

static void *thread_main(void *arg) {
    vmt_text_pool *pool = arg;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (!pool->is_closing && !pool->waiting.first) pthread_cond_wait(&pool->has_work, &pool->mutex);
        if (pool->is_closing) break;
        vmt_text_work *work = take_first(&pool->waiting);
        pool->num_waiting--;
        pthread_mutex_unlock(&pool->mutex);
        work->run(work);
        pthread_mutex_lock(&pool->mutex);
        bool was_empty = !pool->done.first;
        append(&pool->done, work);
        if (was_empty) pool->wake(pool->ctx);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

vmt_status vmt_text_pool_create(vmt_text_pool **out, uint32_t num_threads, uint32_t works_max,
                                void (*wake)(void *ctx), void *ctx, vmt_err *err) {
    *out = NULL;
    if (num_threads < 1 || num_threads > VMT_TEXT_THREADS_MAX) {
        return vmt_fail(err, VMT_E_INVALID, "text threads: %u, must be 1 to %u", num_threads,
                        VMT_TEXT_THREADS_MAX);
    }
    vmt_text_pool *pool = calloc(1, sizeof *pool);
    if (!pool) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the text threads");
    pool->works_max = works_max;
    pool->wake = wake;
    pool->ctx = ctx;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->has_work, NULL);
    for (; pool->num_threads < num_threads; pool->num_threads++) {
        if (pthread_create(&pool->threads[pool->num_threads], NULL, thread_main, pool) != 0) {
            vmt_text_pool_destroy(pool);
            return vmt_fail(err, VMT_E_NO_MEMORY, "the system refused text thread %u of %u", pool->num_threads + 1,
                            num_threads);
        }
    }
    *out = pool;
    return VMT_OK;
}

void vmt_text_pool_destroy(vmt_text_pool *pool) {
    if (!pool) return;
    pthread_mutex_lock(&pool->mutex);
    pool->is_closing = true;
    pthread_cond_broadcast(&pool->has_work);
    pthread_mutex_unlock(&pool->mutex);
    for (uint32_t i = 0; i < pool->num_threads; i++) pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->has_work);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

bool vmt_text_pool_push(vmt_text_pool *pool, vmt_text_work *work) {
    pthread_mutex_lock(&pool->mutex);
    bool has_room = pool->num_waiting < pool->works_max;
    if (has_room) {
        append(&pool->waiting, work);
        pool->num_waiting++;
        pthread_cond_signal(&pool->has_work);
    }
    pthread_mutex_unlock(&pool->mutex);
    return has_room;
}

vmt_text_work *vmt_text_pool_take_done(vmt_text_pool *pool) {
    pthread_mutex_lock(&pool->mutex);
    vmt_text_work *work = take_first(&pool->done);
    pthread_mutex_unlock(&pool->mutex);
    return work;
}
