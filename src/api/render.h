/* api/render.h: the text threads, which do what must not hold up the loop: parse bodies, render templates, tokenize,
 * and format very large answers.
 *
 * A job belongs to the pool from push() until take_done(), and nobody else touches what the two share meanwhile.  The
 * threads share one queue, so a long prompt holds up one thread only (base/queue has a single receiver). */
#ifndef VMT_API_RENDER_H
#define VMT_API_RENDER_H

#include "base/status.h"

#define VMT_TEXT_THREADS_MAX 64u

typedef struct vmt_text_pool vmt_text_pool;

/* Embedded in the job. */
typedef struct vmt_text_work {
    void (*run)(struct vmt_text_work *work); /* on a text thread */
    struct vmt_text_work *next;
} vmt_text_work;

/* wake runs on a text thread whenever finished work begins to wait. */
vmt_status vmt_text_pool_create(vmt_text_pool **out, uint32_t num_threads, uint32_t works_max,
                                void (*wake)(void *ctx), void *ctx, vmt_err *err);
/* Joins the threads; work not begun is dropped unrun: its owner still has it. */
void vmt_text_pool_destroy(vmt_text_pool *pool);

/* false: works_max are waiting already. */
VMT_MUST_USE bool vmt_text_pool_push(vmt_text_pool *pool, vmt_text_work *work);
/* Finished work in order of finishing, or NULL. */
vmt_text_work *vmt_text_pool_take_done(vmt_text_pool *pool);

#endif
