/* backend/cpu/pool.h: the CPU backend's threads.
 *
 * One launch at a time.  Its items are cut into chunks, and every thread takes the next chunk until none is left; the
 * launch is over when all chunks are taken and every thread that joined has left.  A worker that was asleep or
 * preempted never joins, so a launch does not wait for it: with more threads than cores, or busy neighbours, it is
 * only slower.
 *
 *   caller   fill the job | gate: open, seq + 1 | take chunks ... none left | gate: closed | wait: nobody inside
 *   worker   spin on gate, then sleep | join: gate + 1 if still open | take chunks | leave: gate - 1 | spin ...
 *
 *   gate, 64 bits:   [ seq : 32 | closed : 1 | threads inside : 31 ]
 *
 * The job's fields change only while the gate is closed and nobody is inside. */
#ifndef VMT_BACKEND_CPU_POOL_H
#define VMT_BACKEND_CPU_POOL_H

#include "backend/backend.h"

typedef struct vmt_pool vmt_pool;

/* num_threads counts the caller.  spin_ns: how long an idle worker polls before it sleeps. */
vmt_status vmt_pool_create(vmt_pool **out, uint32_t num_threads, uint64_t spin_ns, vmt_err *err);
void vmt_pool_destroy(vmt_pool *pool); /* NULL is fine */

/* Runs fn over [0, num_items) in chunks of grain items (0: an even split) and returns when all is done.  Guided chunks
 * begin as a thread's half of an even split and shrink, with what is left, to grain. */
typedef struct vmt_pool_job {
    vmt_cpu_fn fn;
    const void *args;
    void *const *buffers;
    uint32_t num_items, grain;
    bool is_guided;
    size_t scratch_bytes; /* per worker */
} vmt_pool_job;
vmt_status vmt_pool_run(vmt_pool *pool, const vmt_pool_job *job);

#endif
