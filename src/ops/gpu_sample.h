/* ops/gpu_sample.h: a step's tokens, drawn on a GPU: what ops/sample.h describes, recorded into a program. */
#ifndef VMT_OPS_GPU_SAMPLE_H
#define VMT_OPS_GPU_SAMPLE_H

#include "backend/gpu_program.h"
#include "ops/sample.h"

/* out[i] = sources[i] < 0 ? token_ids[i] : previous[sources[i]].  All I32 [tokens_max] but previous. */
typedef struct vmt_gpu_resolve_tokens_args {
    vmt_tensor token_ids, sources, previous, out;
} vmt_gpu_resolve_tokens_args;
/* Counts VMT_COUNT_TOKENS. */
vmt_status vmt_gpu_resolve_tokens(vmt_gpu_program *program, const vmt_gpu_resolve_tokens_args *args, vmt_err *err);

/* Rows of lists are I32 [rows, sizeof(struct) / 4]. */
typedef struct vmt_gpu_sample_args {
    vmt_tensor logits;   /* F32 [logits_max, vocab]; edited, and restored behind the draw */
    vmt_tensor samples;  /* vmt_row_sample [samples_max] */
    vmt_tensor edited;   /* vmt_row_edits [samples_max] */
    vmt_tensor edits;    /* vmt_edit [edits_max] */
    vmt_tensor masks;    /* I32 [masks_max, (vocab + 31) / 32] */
    vmt_tensor scored;   /* vmt_row_score [scored_max] */
    vmt_tensor previous; /* I32 [samples_max] what the step before sampled */
    vmt_tensor saved;    /* I32 [edits_max + samples_max] scratch */
    vmt_tensor best;     /* vmt_sample_best [samples_max * vmt_gpu_sample_chunks(vocab)] scratch */
    vmt_tensor sampled;  /* I32 [samples_max] */
    vmt_tensor scores;   /* vmt_score [scored_max] */
    vmt_tensor tops;     /* vmt_top [tops_max] */
} vmt_gpu_sample_args;

uint32_t vmt_gpu_sample_chunks(uint32_t vocab);
/* Counts VMT_COUNT_SAMPLES, VMT_COUNT_EDITED and VMT_COUNT_SCORED: two dispatches, and one or two for each of the
 * others that is not 0. */
vmt_status vmt_gpu_sample(vmt_gpu_program *program, const vmt_gpu_sample_args *args, vmt_err *err);

#endif
