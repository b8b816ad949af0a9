/* model/gpu_readback.c: see the header. */
#include "model/gpu_readback.h"

#include <stdlib.h>

#include "ops/gpu_act.h"

#define WINDOW_BYTES ((size_t)8 << 20)

struct vmt_gpu_readback {
    vmt_gpu *gpu;
    vmt_buffer window;
    vmt_gpu_program **pieces; /* [num_pieces] */
    uint32_t num_pieces;
    uint8_t *copy; /* [bytes] */
};

static vmt_status record_piece(vmt_gpu_readback *r, vmt_buffer *buffer, uint32_t i, vmt_err *err) {
    size_t begin = i * WINDOW_BYTES, bytes = VMT_MIN(WINDOW_BYTES, buffer->bytes - begin);
    uint64_t num_rows = bytes / VMT_GPU_READBACK_ALIGN, cols = VMT_GPU_READBACK_ALIGN / sizeof(float);
    vmt_gpu_gather_args args = {
        .x = {buffer, begin, VMT_F32, 2, {num_rows, cols}},
        .out = {&r->window, 0, VMT_F32, 2, {num_rows, cols}},
        .count = VMT_COUNT_FIXED,
    };
    VMT_TRY(vmt_gpu_program_create(&r->pieces[i], r->gpu, err));
    return vmt_gpu_gather(r->pieces[i], &args, err);
}

vmt_status vmt_gpu_readback_create(vmt_gpu_readback **out, vmt_gpu *gpu, vmt_buffer *buffer, vmt_err *err) {
    VMT_ASSERT(buffer->bytes % VMT_GPU_READBACK_ALIGN == 0);
    vmt_gpu_readback *r = *out = calloc(1, sizeof *r);
    if (r == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory to read logits back");
    r->gpu = gpu;
    r->num_pieces = (uint32_t)((buffer->bytes + WINDOW_BYTES - 1) / WINDOW_BYTES);
    r->pieces = calloc(r->num_pieces, sizeof(vmt_gpu_program *));
    r->copy = malloc(buffer->bytes);
    if (r->pieces == NULL || r->copy == NULL) {
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a copy of %zu bytes of logits", buffer->bytes);
    }
    VMT_TRY(vmt_gpu_alloc(gpu, &r->window, VMT_MIN(WINDOW_BYTES, buffer->bytes), VMT_GPU_SHARED, err));
    for (uint32_t i = 0; i < r->num_pieces; i++) VMT_TRY(record_piece(r, buffer, i, err));
    return VMT_OK;
}

void vmt_gpu_readback_destroy(vmt_gpu_readback *r) {
    if (r == NULL) return;
    for (uint32_t i = 0; r->pieces && i < r->num_pieces; i++) vmt_gpu_program_destroy(r->pieces[i]);
    vmt_gpu_release(r->gpu, &r->window);
    free(r->pieces);
    free(r->copy);
    free(r);
}

vmt_status vmt_gpu_readback_take(vmt_gpu_readback *r, size_t bytes, uint64_t timeout_ns, const void **out,
                                 vmt_err *err) {
    static const uint32_t no_counts[VMT_NUM_STEP_COUNTS];
    for (size_t begin = 0; begin < bytes; begin += WINDOW_BYTES) {
        uint64_t ticket;
        VMT_TRY(vmt_gpu_begin(r->gpu, err));
        vmt_gpu_program_replay(r->pieces[begin / WINDOW_BYTES], no_counts);
        VMT_TRY(vmt_gpu_commit(r->gpu, &ticket, err));
        VMT_TRY(vmt_gpu_wait(r->gpu, ticket, timeout_ns, err));
        memcpy(r->copy + begin, r->window.host, VMT_MIN(WINDOW_BYTES, bytes - begin));
    }
    *out = r->copy;
    return VMT_OK;
}
