/* ops/kv_write.c: writes a step's keys and values into the paged cache.  A launch's item is a token. */
#include "ops/attention.h"
#include "ops/simd/attention_kernel.h"
#include "ops/simd/row_kernels.h"

size_t vmt_kv_block_bytes(const vmt_kv_layout *layout) {
    size_t elem = layout->dtype == VMT_F32 ? 4 : 2;
    return (size_t)layout->num_kv_heads * layout->head_dim * layout->block_size * elem;
}

/* n floats to the cache's type, step elements apart. */
static void put(vmt_dtype dtype, uint8_t *base, size_t at, size_t step, const float *x, uint32_t n) {
    if (dtype == VMT_F32) {
        float *dst = (float *)(void *)base + at;
        for (uint32_t i = 0; i < n; i++) dst[i * step] = x[i];
    } else if (dtype == VMT_F16) {
        uint16_t *dst = (uint16_t *)(void *)base + at, row[VMT_ATTN_DIM_MAX];
        vmt_row_kernels_get()->to_f16(x, step == 1 ? dst : row, n);
        for (uint32_t i = 0; i < n && step != 1; i++) dst[i * step] = row[i];
    } else {
        uint16_t *dst = (uint16_t *)(void *)base + at;
        for (uint32_t i = 0; i < n; i++) dst[i * step] = vmt_f32_to_bf16(x[i]);
    }
}

static void write_tokens(const vmt_cpu_task *task) {
    const vmt_kv_write_args *a = task->args;
    uint32_t bs = a->layout.block_size, dim = a->layout.head_dim, heads = a->layout.num_kv_heads;
    const float *k = vmt_tensor_data(&a->k), *v = vmt_tensor_data(&a->v);
    uint8_t *k_cache = vmt_tensor_data(&a->k_cache), *v_cache = vmt_tensor_data(&a->v_cache);
    for (uint32_t t = task->begin; t < task->end; t++) {
        if (a->slot_mapping[t] < 0) continue;
        size_t block = (size_t)a->slot_mapping[t] / bs, slot = (size_t)a->slot_mapping[t] % bs;
        for (uint32_t h = 0; h < heads; h++) {
            size_t head = (block * heads + h) * dim * bs;
            put(a->layout.dtype, k_cache, head + slot, bs, k + (size_t)t * a->k_stride + h * dim, dim);
            put(a->layout.dtype, v_cache, head + slot * dim, 1, v + (size_t)t * a->v_stride + h * dim, dim);
        }
    }
}

vmt_status vmt_kv_write(vmt_backend *be, const vmt_kv_write_args *args) {
    VMT_ASSERT(args->layout.head_dim <= VMT_ATTN_DIM_MAX);
    if (args->num_tokens == 0) return VMT_OK;
    vmt_launch launch = {
        .name = "kv_write",
        .args = args,
        .args_bytes = sizeof *args,
        .cpu_fn = write_tokens,
        .cpu_items = args->num_tokens,
    };
    return vmt_launch_run(be, &launch);
}
