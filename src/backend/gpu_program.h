/* backend/gpu_program.h: a recorded list of dispatches with its barriers, replayed each step.
 *
 * A model records its step once per batch class; a step then only fills in how many rows there are.  Barriers are found
 * while recording: a dispatch that touches bytes which an earlier one since the last barrier has written, or writes
 * bytes which one has read, gets a barrier before it (RAW, WAW, WAR).  What a kernel writes is known from its source
 * (vmt_kernel.written).
 *
 * A dispatch whose size follows the step names one of the step's counts: at replay its grid along `axis` becomes
 * ceil(count / per_group), and the first field of its argument struct, a uint32_t, becomes the count.  A count of 0
 * leaves the dispatch out.
 *
 * The engine's thread; memory is taken while recording, replay allocates nothing. */
#ifndef VMT_BACKEND_GPU_PROGRAM_H
#define VMT_BACKEND_GPU_PROGRAM_H

#include "backend/gpu.h"

/* The counts of a step. */
typedef enum vmt_step_count {
    VMT_COUNT_FIXED,         /* the grid is as recorded */
    VMT_COUNT_TOKENS,        /* rows of the step */
    VMT_COUNT_LOGITS,        /* rows whose logits are wanted */
    VMT_COUNT_DECODES,       /* sequences with one row */
    VMT_COUNT_DECODE_SPLITS, /* parts of their contexts, over all of them */
    VMT_COUNT_DECODE_MERGES, /* those among them whose context has more than one part */
    VMT_COUNT_PREFILL_TILES, /* tiles of query rows of the other sequences */
    VMT_COUNT_SAMPLES,       /* rows that a token is drawn from */
    VMT_COUNT_EDITED,        /* those whose logits are edited first */
    VMT_COUNT_SCORED,        /* rows that a token is scored in */
    VMT_NUM_STEP_COUNTS,
} vmt_step_count;

typedef struct vmt_gpu_program vmt_gpu_program;

typedef struct vmt_gpu_op {
    const char *kernel;
    vmt_tensor buffers[VMT_GPU_BUFFERS_MAX]; /* [num_buffers] the bytes of each tensor are what may be touched */
    uint32_t num_buffers;
    uint32_t apart;   /* bit i: ops that say so too touch other rows of buffer i: no barrier for its sake */
    const void *args; /* copied; with a count, args[0..4) is overwritten at replay */
    uint32_t args_bytes;
    uint32_t grid[3];
    bool is_spread; /* as a dispatch's */
    vmt_step_count count;
    uint32_t axis, per_group; /* grid[axis] = ceil(count / per_group) */
    uint64_t bytes_read;      /* of weights, for predictions; 0: not known */
} vmt_gpu_op;

vmt_status vmt_gpu_program_create(vmt_gpu_program **out, vmt_gpu *gpu, vmt_err *err);
void vmt_gpu_program_destroy(vmt_gpu_program *program); /* NULL is fine */
/* Finds the pipeline, checks buffers and arguments against the kernel's row, adds the barrier if one is due.
 * VMT_E_INVALID names the kernel and what does not fit. */
vmt_status vmt_gpu_program_add(vmt_gpu_program *program, const vmt_gpu_op *op, vmt_err *err);

vmt_gpu *vmt_gpu_program_gpu(const vmt_gpu_program *program);

/* Encodes the program into the open command buffer.  counts [VMT_NUM_STEP_COUNTS]; counts[VMT_COUNT_FIXED] is not
 * read. */
void vmt_gpu_program_replay(vmt_gpu_program *program, const uint32_t *counts);

typedef struct vmt_gpu_program_stats {
    uint32_t num_dispatches, num_barriers;
    uint64_t bytes_read;
} vmt_gpu_program_stats;
/* Of what a replay with these counts does. */
vmt_gpu_program_stats vmt_gpu_program_get_stats(const vmt_gpu_program *program, const uint32_t *counts);
/* The kernels that a replay with these counts dispatches, in order and as often as it does; how many there are, which
 * may be more than the first num_max that are written. */
uint32_t vmt_gpu_program_kernels(const vmt_gpu_program *program, const uint32_t *counts, const vmt_kernel **out,
                                 uint32_t num_max);

#endif
