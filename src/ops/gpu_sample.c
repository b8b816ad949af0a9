#include "ops/gpu_sample.h"

#define THREADS 256u

uint32_t vmt_gpu_sample_chunks(uint32_t vocab) {
    return (vocab + VMT_SAMPLE_CHUNK - 1) / VMT_SAMPLE_CHUNK;
}

vmt_status vmt_gpu_resolve_tokens(vmt_gpu_program *program, const vmt_gpu_resolve_tokens_args *args,
                                  vmt_err *err) {
    vmt_resolve_tokens_kargs kargs = {0};
    vmt_gpu_op op = {
        .kernel = "resolve_tokens",
        .buffers = {args->token_ids, args->sources, args->previous, args->out},
        .num_buffers = 4,
        .args = &kargs,
        .args_bytes = sizeof kargs,
        .grid = {1, 1, 1},
        .count = VMT_COUNT_TOKENS,
        .axis = 0,
        .per_group = THREADS,
    };
    return vmt_gpu_program_add(program, &op, err);
}

static vmt_status check_list(const vmt_tensor *t, uint64_t rows, size_t row_bytes, const char *what,
                             vmt_err *err) {
    if (t->buffer != NULL && vmt_tensor_bytes(t) >= rows * row_bytes) return VMT_OK;
    return vmt_fail(err, VMT_E_INVALID, "sample: %s has %zu bytes, %llu rows of %zu are needed", what,
                    t->buffer ? vmt_tensor_bytes(t) : 0, (unsigned long long)rows, row_bytes);
}

static vmt_status check(const vmt_gpu_sample_args *a, vmt_err *err) {
    if (a->logits.buffer == NULL || a->logits.dtype != VMT_F32 || a->logits.ndim != 2 || a->samples.ndim != 2) {
        return vmt_fail(err, VMT_E_INVALID, "sample: logits must be F32 [rows, vocab]");
    }
    uint64_t vocab = a->logits.shape[1], samples_max = a->samples.shape[0], edits_max = a->edits.shape[0];
    VMT_TRY(check_list(&a->samples, samples_max, sizeof(vmt_row_sample), "samples", err));
    VMT_TRY(check_list(&a->edited, samples_max, sizeof(vmt_row_edits), "edited", err));
    VMT_TRY(check_list(&a->edits, edits_max, sizeof(vmt_edit), "edits", err));
    VMT_TRY(check_list(&a->masks, a->masks.shape[0], (vocab + 31) / 32 * 4, "masks", err));
    VMT_TRY(check_list(&a->scored, a->scored.shape[0], sizeof(vmt_row_score), "scored", err));
    VMT_TRY(check_list(&a->previous, samples_max, 4, "previous", err));
    VMT_TRY(check_list(&a->saved, edits_max + samples_max, 4, "saved", err));
    VMT_TRY(check_list(&a->best, samples_max * vmt_gpu_sample_chunks((uint32_t)vocab), sizeof(vmt_sample_best),
                       "best", err));
    VMT_TRY(check_list(&a->sampled, samples_max, 4, "sampled", err));
    return check_list(&a->scores, a->scored.shape[0], sizeof(vmt_score), "scores", err);
}

/* A threadgroup for each row that the step counts. */
static vmt_gpu_op row_op(const char *kernel, vmt_step_count count, const void *kargs, uint32_t kargs_bytes) {
    return (vmt_gpu_op){.kernel = kernel,
                        .args = kargs,
                        .args_bytes = kargs_bytes,
                        .grid = {1, 1, 1},
                        .count = count,
                        .axis = 0,
                        .per_group = 1};
}

static void bind(vmt_gpu_op *op, const vmt_tensor *const *tensors, uint32_t num_tensors) {
    for (uint32_t i = 0; i < num_tensors; i++) op->buffers[i] = *tensors[i];
    op->num_buffers = num_tensors;
}

static vmt_status add_edits(vmt_gpu_program *program, const vmt_gpu_sample_args *a, const char *kernel,
                            vmt_err *err) {
    vmt_sample_edit_kargs kargs = {.vocab = (uint32_t)a->logits.shape[1],
                                   .edits_max = (uint32_t)a->edits.shape[0]};
    vmt_gpu_op op = row_op(kernel, VMT_COUNT_EDITED, &kargs, sizeof kargs);
    bind(&op, (const vmt_tensor *[]){&a->logits, &a->edited, &a->edits, &a->previous, &a->saved}, 5);
    return vmt_gpu_program_add(program, &op, err);
}

vmt_status vmt_gpu_sample(vmt_gpu_program *program, const vmt_gpu_sample_args *a, vmt_err *err) {
    VMT_TRY(check(a, err));
    uint32_t vocab = (uint32_t)a->logits.shape[1];
    vmt_sample_kargs kargs = {.vocab = vocab, .num_chunks = vmt_gpu_sample_chunks(vocab)};
    vmt_score_kargs score_kargs = {.vocab = vocab};
    VMT_TRY(add_edits(program, a, "sample_edit", err));

    vmt_gpu_op op = row_op("sample_max", VMT_COUNT_SAMPLES, &kargs, sizeof kargs);
    op.grid[1] = kargs.num_chunks;
    bind(&op, (const vmt_tensor *[]){&a->logits, &a->samples, &a->masks, &a->best}, 4);
    VMT_TRY(vmt_gpu_program_add(program, &op, err));

    op = row_op("sample_pick", VMT_COUNT_SAMPLES, &kargs, sizeof kargs);
    bind(&op, (const vmt_tensor *[]){&a->logits, &a->samples, &a->masks, &a->best, &a->sampled}, 5);
    VMT_TRY(vmt_gpu_program_add(program, &op, err));

    VMT_TRY(add_edits(program, a, "sample_restore", err));
    op = row_op("score_rows", VMT_COUNT_SCORED, &score_kargs, sizeof score_kargs);
    bind(&op, (const vmt_tensor *[]){&a->logits, &a->scored, &a->sampled, &a->scores, &a->tops}, 5);
    return vmt_gpu_program_add(program, &op, err);
}
