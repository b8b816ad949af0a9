/* ops/gpu_kv.c: see the header. */
#include "ops/gpu_kv.h"
#include "base/checked.h"

#define ALIGN        256u
#define HEAD_DIM_MAX 512u

static const uint32_t tiled_head_dims[] = {16, 32, 64, 80, 96, 112, 128, 192, 256, 512};

bool vmt_gpu_kv_has_tiles(uint32_t head_dim) {
    bool found = false;
    for (size_t i = 0; i < VMT_COUNT(tiled_head_dims); i++) found = found || tiled_head_dims[i] == head_dim;
    return found;
}

vmt_status vmt_gpu_kv_check(const vmt_gpu_kv_layout *layout, vmt_err *err) {
    if (layout->head_dim == 0 || layout->head_dim % 8 != 0 || layout->head_dim > HEAD_DIM_MAX) {
        return vmt_fail(err, VMT_E_UNSUPPORTED,
                        "heads of %u elements; the GPU's attention knows multiples of 8 to %u", layout->head_dim,
                        HEAD_DIM_MAX);
    }
    if (layout->block_size != 8 && layout->block_size != 16 && layout->block_size != 32) {
        return vmt_fail(err, VMT_E_INVALID, "block size is %u, supported are 8, 16 and 32", layout->block_size);
    }
    if (layout->dtype != VMT_F32 && layout->dtype != VMT_F16 && layout->dtype != VMT_BF16 &&
        layout->dtype != VMT_I8) {
        return vmt_fail(err, VMT_E_INVALID,
                        "the KV cache can't be of type %s; supported are F32, F16, BF16 and I8",
                        vmt_dtype_get(layout->dtype)->name);
    }
    if (layout->num_kv_heads == 0 || (uint64_t)layout->num_blocks * layout->block_size > INT32_MAX) {
        return vmt_fail(err, VMT_E_INVALID,
                        "a KV cache of %u heads and %u blocks of %u; slots are numbered to 2^31",
                        layout->num_kv_heads, layout->num_blocks, layout->block_size);
    }
    return VMT_OK;
}

static uint64_t num_slots(const vmt_gpu_kv_layout *layout) {
    return (uint64_t)layout->num_blocks * layout->block_size;
}

static size_t round_up(size_t bytes) {
    return (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

/* Bytes of k, and of its scales, each with its padding; false on overflow. */
static bool part_bytes(const vmt_gpu_kv_layout *layout, size_t *elems, size_t *scales) {
    size_t heads;
    *scales = 0;
    if (!vmt_mul_size(num_slots(layout), layout->num_kv_heads, &heads) ||
        !vmt_mul_size(heads, (size_t)layout->head_dim * vmt_dtype_get(layout->dtype)->block_bytes, elems) ||
        (layout->dtype == VMT_I8 && !vmt_mul_size(heads, sizeof(float), scales)) || *elems > SIZE_MAX / 4 ||
        *scales > SIZE_MAX / 4) {
        return false;
    }
    *elems = round_up(*elems);
    *scales = round_up(*scales);
    return true;
}

vmt_status vmt_gpu_kv_bytes(const vmt_gpu_kv_layout *layout, size_t *out, vmt_err *err) {
    size_t elems, scales, half;
    *out = 0;
    if (!part_bytes(layout, &elems, &scales) || !vmt_add_size(elems, scales, &half) ||
        !vmt_mul_size(half, 2, out)) {
        return vmt_fail(err, VMT_E_EXHAUSTED, "%u blocks of KV cache overflow the address space",
                        layout->num_blocks);
    }
    return VMT_OK;
}

vmt_gpu_kv vmt_gpu_kv_at(const vmt_gpu_kv_layout *layout, vmt_buffer *buffer, size_t offset) {
    size_t elems, scales;
    VMT_ASSERT(part_bytes(layout, &elems, &scales) && offset % ALIGN == 0);
    vmt_gpu_kv kv = {
        .layout = *layout,
        .k = {buffer,
              offset,
              layout->dtype,
              4,
              {layout->num_blocks, layout->block_size, layout->num_kv_heads, layout->head_dim}},
    };
    kv.v = kv.k;
    kv.v.offset += elems;
    if (layout->dtype != VMT_I8) return kv;
    kv.k_scale = (vmt_tensor){
        buffer, offset + 2 * elems, VMT_F32, 3, {layout->num_blocks, layout->block_size, layout->num_kv_heads}};
    kv.v_scale = kv.k_scale;
    kv.v_scale.offset += scales;
    return kv;
}
