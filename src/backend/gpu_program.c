#include "backend/gpu_program.h"

#include <stdlib.h>
#include <string.h>

#define RANGES_MAX 256u /* touched since the last barrier; one more brings a barrier */

struct entry {
    vmt_gpu_dispatch dispatch; /* args points into arg_bytes at replay */
    uint32_t args_offset, args_bytes;
    vmt_step_count count;
    uint32_t axis, per_group;
    bool has_barrier;
    uint64_t bytes_read;
};

/* Bytes of a buffer that dispatches since the last barrier have touched. */
struct range {
    const vmt_buffer *buffer;
    size_t begin, end;
    bool is_written, is_apart;
};

struct vmt_gpu_program {
    vmt_gpu *gpu;
    struct entry *entries; /* [num_entries] */
    uint32_t num_entries, entries_cap;
    uint8_t *args; /* [args_bytes] of all entries */
    uint32_t args_bytes, args_cap;
    struct range ranges[RANGES_MAX];
    uint32_t num_ranges;
};

vmt_status vmt_gpu_program_create(vmt_gpu_program **out, vmt_gpu *gpu, vmt_err *err) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a GPU program");
    (*out)->gpu = gpu;
    return VMT_OK;
}

void vmt_gpu_program_destroy(vmt_gpu_program *program) {
    if (program == NULL) return;
    free(program->entries);
    free(program->args);
    free(program);
}

vmt_gpu *vmt_gpu_program_gpu(const vmt_gpu_program *program) {
    return program->gpu;
}

/* ---- barriers */

static bool conflicts(const vmt_gpu_program *p, const struct range *r) {
    for (uint32_t i = 0; i < p->num_ranges; i++) {
        const struct range *seen = &p->ranges[i];
        if (seen->buffer != r->buffer || !(seen->is_written || r->is_written)) continue;
        if (seen->is_apart && r->is_apart) continue;
        if (seen->begin < r->end && r->begin < seen->end) return true;
    }
    return false;
}

static struct range range_of(const vmt_gpu_op *op, uint32_t i, uint32_t written) {
    const vmt_tensor *t = &op->buffers[i];
    return (struct range){t->buffer, t->offset, t->offset + vmt_tensor_bytes(t), written >> i & 1,
                          op->apart >> i & 1};
}

/* Notes what the op touches; true: it must wait for what came before. */
static bool note_ranges(vmt_gpu_program *p, const vmt_gpu_op *op, uint32_t written) {
    bool must_wait = p->num_ranges + op->num_buffers > RANGES_MAX;
    for (uint32_t i = 0; i < op->num_buffers && !must_wait; i++) {
        struct range r = range_of(op, i, written);
        must_wait = conflicts(p, &r);
    }
    if (must_wait) p->num_ranges = 0;
    for (uint32_t i = 0; i < op->num_buffers; i++) p->ranges[p->num_ranges++] = range_of(op, i, written);
    return must_wait;
}

/* ---- recording */

static vmt_status grow(void **array, uint32_t *cap, uint32_t want, size_t element, vmt_err *err) {
    if (want <= *cap) return VMT_OK;
    uint32_t cap_new = VMT_MAX(want, *cap * 2);
    void *grown = realloc(*array, cap_new * element);
    if (grown == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a GPU program");
    *array = grown;
    *cap = cap_new;
    return VMT_OK;
}

static vmt_status check_op(const vmt_gpu_op *op, const vmt_kernel *kernel, vmt_err *err) {
    if (op->num_buffers != kernel->num_buffers || op->args_bytes != kernel->args_bytes) {
        return vmt_fail(err, VMT_E_INVALID, "%s: %u buffers and %u bytes of arguments, it takes %u and %u",
                        op->kernel, op->num_buffers, op->args_bytes, kernel->num_buffers, kernel->args_bytes);
    }
    if (op->args_bytes > VMT_GPU_ARGS_MAX || (op->count != VMT_COUNT_FIXED && op->args_bytes < sizeof(uint32_t))) {
        return vmt_fail(err, VMT_E_INVALID, "%s: %u bytes of arguments, the limit is %u", op->kernel,
                        op->args_bytes, VMT_GPU_ARGS_MAX);
    }
    for (uint32_t i = 0; i < op->num_buffers; i++) {
        const vmt_tensor *t = &op->buffers[i];
        if (t->buffer == NULL || t->offset + vmt_tensor_bytes(t) > t->buffer->bytes || t->offset % 4 != 0) {
            return vmt_fail(err, VMT_E_INVALID, "%s: buffer %u does not hold its tensor at offset %zu", op->kernel,
                            i, t->offset);
        }
    }
    VMT_ASSERT(op->axis < 3 && (op->count == VMT_COUNT_FIXED || op->per_group > 0));
    return VMT_OK;
}

vmt_status vmt_gpu_program_add(vmt_gpu_program *program, const vmt_gpu_op *op, vmt_err *err) {
    vmt_gpu_pipeline *pipeline;
    VMT_TRY(vmt_gpu_pipeline_get(program->gpu, op->kernel, &pipeline, err));
    VMT_TRY(check_op(op, pipeline->kernel, err));
    uint32_t args_room = (op->args_bytes + 15u) & ~15u;
    VMT_TRY(grow((void **)&program->entries, &program->entries_cap, program->num_entries + 1, sizeof(struct entry),
                 err));
    VMT_TRY(grow((void **)&program->args, &program->args_cap, program->args_bytes + args_room, 1, err));
    struct entry *e = &program->entries[program->num_entries++];
    *e = (struct entry){
        .dispatch = {.pipeline = pipeline,
                     .is_spread = op->is_spread,
                     .grid = {op->grid[0], op->grid[1], op->grid[2]}},
        .args_offset = program->args_bytes,
        .args_bytes = op->args_bytes,
        .count = op->count,
        .axis = op->axis,
        .per_group = op->per_group,
        .has_barrier = note_ranges(program, op, pipeline->kernel->written),
        .bytes_read = op->bytes_read,
    };
    for (uint32_t i = 0; i < op->num_buffers; i++) {
        e->dispatch.buffers[i] = (vmt_gpu_binding){op->buffers[i].buffer, op->buffers[i].offset};
    }
    if (op->args_bytes > 0) memcpy(program->args + program->args_bytes, op->args, op->args_bytes);
    program->args_bytes += args_room;
    return VMT_OK;
}

/* ---- replay */

/* A barrier of an entry that is left out still holds for those after it. */
void vmt_gpu_program_replay(vmt_gpu_program *program, const uint32_t *counts) {
    bool must_wait = false;
    for (uint32_t i = 0; i < program->num_entries; i++) {
        struct entry *e = &program->entries[i];
        must_wait = must_wait || e->has_barrier;
        e->dispatch.args = program->args + e->args_offset;
        if (e->count != VMT_COUNT_FIXED) {
            uint32_t count = counts[e->count];
            if (count == 0) continue;
            memcpy(program->args + e->args_offset, &count, sizeof count);
            e->dispatch.grid[e->axis] = (count + e->per_group - 1) / e->per_group;
        }
        if (must_wait) vmt_gpu_barrier(program->gpu);
        must_wait = false;
        vmt_gpu_dispatch_add(program->gpu, &e->dispatch);
    }
}

vmt_gpu_program_stats vmt_gpu_program_get_stats(const vmt_gpu_program *program, const uint32_t *counts) {
    vmt_gpu_program_stats stats = {0};
    bool must_wait = false;
    for (uint32_t i = 0; i < program->num_entries; i++) {
        const struct entry *e = &program->entries[i];
        must_wait = must_wait || e->has_barrier;
        if (e->count != VMT_COUNT_FIXED && counts[e->count] == 0) continue;
        stats.num_dispatches++;
        stats.num_barriers += must_wait;
        stats.bytes_read += e->bytes_read;
        must_wait = false;
    }
    return stats;
}

uint32_t vmt_gpu_program_kernels(const vmt_gpu_program *program, const uint32_t *counts, const vmt_kernel **out,
                                 uint32_t num_max) {
    uint32_t num = 0;
    for (uint32_t i = 0; i < program->num_entries; i++) {
        const struct entry *e = &program->entries[i];
        if (e->count != VMT_COUNT_FIXED && counts[e->count] == 0) continue;
        if (num < num_max) out[num] = e->dispatch.pipeline->kernel;
        num++;
    }
    return num;
}
