#include "engine/mask_worker.h"

#include <pthread.h>
#include <stdlib.h>

struct vmt_mask_worker {
    vmt_masked **jobs; /* [num_jobs_max] */
    uint32_t num_jobs_max, num_added;
    bool has_thread, was_refused; /* the engine's */
    pthread_t thread;

    /* under the lock */
    pthread_mutex_t lock;
    pthread_cond_t posted, done;
    uint32_t num_jobs, num_taken, num_done;
    bool is_stopping;
};

vmt_masked *vmt_masked_create(vmt_arena *arena, const vmt_constraint *constraint, uint32_t vocab) {
    vmt_masked *masked = VMT_ARENA_NEW(arena, vmt_masked, 1);
    if (!masked) return NULL;
    masked->constraint = *constraint;
    masked->num_words = VMT_CONSTRAINT_WORDS(vocab);
    masked->bits = VMT_ARENA_NEW(arena, uint32_t, masked->num_words);
    return masked->bits ? masked : NULL;
}

vmt_status vmt_mask_worker_create(vmt_mask_worker **out, uint32_t num_jobs_max, vmt_err *err) {
    *out = NULL;
    vmt_mask_worker *w = calloc(1, sizeof *w);
    if (!w) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the engine");
    w->num_jobs_max = num_jobs_max;
    w->jobs = calloc(VMT_MAX(num_jobs_max, 1u), sizeof *w->jobs);
    VMT_ASSERT(pthread_mutex_init(&w->lock, NULL) == 0);
    VMT_ASSERT(pthread_cond_init(&w->posted, NULL) == 0 && pthread_cond_init(&w->done, NULL) == 0);
    if (!w->jobs) {
        vmt_mask_worker_destroy(w);
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the engine");
    }
    *out = w;
    return VMT_OK;
}

void vmt_mask_worker_destroy(vmt_mask_worker *w) {
    if (!w) return;
    if (w->has_thread) {
        pthread_mutex_lock(&w->lock);
        w->is_stopping = true;
        pthread_cond_signal(&w->posted);
        pthread_mutex_unlock(&w->lock);
        pthread_join(w->thread, NULL);
    }
    pthread_cond_destroy(&w->posted);
    pthread_cond_destroy(&w->done);
    pthread_mutex_destroy(&w->lock);
    free(w->jobs);
    free(w);
}

static void run_job(vmt_masked *job) {
    const vmt_constraint *c = &job->constraint;
    job->is_free = false;
    job->err = (vmt_err){0};
    job->status = c->mask(c->self, job->bits, job->num_words, &job->is_free, &job->err);
}

/* Takes and does one job; false: there is none.  The lock is held before and after. */
static bool do_one(vmt_mask_worker *w) {
    if (w->num_taken == w->num_jobs) return false;
    vmt_masked *job = w->jobs[w->num_taken++];
    pthread_mutex_unlock(&w->lock);
    run_job(job);
    pthread_mutex_lock(&w->lock);
    if (++w->num_done == w->num_jobs) pthread_cond_signal(&w->done);
    return true;
}

static void *run_thread(void *arg) {
    vmt_mask_worker *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!w->is_stopping) {
        if (!do_one(w)) pthread_cond_wait(&w->posted, &w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

void vmt_mask_worker_add(vmt_mask_worker *w, vmt_masked *job) {
    VMT_ASSERT(w->num_added < w->num_jobs_max);
    w->jobs[w->num_added++] = job;
}

void vmt_mask_worker_post(vmt_mask_worker *w) {
    if (w->num_added == 0) return;
    if (!w->has_thread && !w->was_refused) {
        w->has_thread = pthread_create(&w->thread, NULL, run_thread, w) == 0;
        w->was_refused = !w->has_thread;
    }
    pthread_mutex_lock(&w->lock);
    VMT_ASSERT(w->num_done == w->num_jobs);
    w->num_jobs = w->num_added;
    w->num_taken = w->num_done = 0;
    pthread_cond_signal(&w->posted);
    pthread_mutex_unlock(&w->lock);
}

void vmt_mask_worker_wait(vmt_mask_worker *w) {
    if (w->num_added == 0) return;
    pthread_mutex_lock(&w->lock);
    while (do_one(w)) {}
    while (w->num_done < w->num_jobs) pthread_cond_wait(&w->done, &w->lock);
    w->num_jobs = w->num_taken = w->num_done = 0;
    w->num_added = 0;
    pthread_mutex_unlock(&w->lock);
}
