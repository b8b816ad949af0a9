/* tensor/tensor.c: sizes and names of tensors. */
#include "tensor/tensor.h"

#include <inttypes.h>
#include <stdio.h>

uint64_t vmt_tensor_elems(const vmt_tensor *t) {
    uint64_t elems = 1;
    for (uint32_t i = 0; i < t->ndim; i++) {
        /* Readers check shapes against the file; a product past 64 bits here is a bug of ours. */
        VMT_ASSERT(!__builtin_mul_overflow(elems, t->shape[i], &elems));
    }
    return elems;
}

size_t vmt_tensor_bytes(const vmt_tensor *t) {
    const vmt_dtype_info *info = vmt_dtype_get(t->dtype);
    uint64_t elems = vmt_tensor_elems(t), bytes;
    VMT_ASSERT(t->ndim == 0 || t->shape[t->ndim - 1] % info->block_elems == 0);
    VMT_ASSERT(!__builtin_mul_overflow(elems / info->block_elems, (uint64_t)info->block_bytes, &bytes));
    VMT_ASSERT(bytes <= SIZE_MAX);
    return (size_t)bytes;
}

double vmt_tensor_at(const vmt_tensor *tensor, uint64_t idx) {
    const void *data = vmt_tensor_data(tensor);
    switch (tensor->dtype) {
    case VMT_F32: return (double)((const float *)data)[idx];
    case VMT_F16: return (double)vmt_f16_to_f32(((const uint16_t *)data)[idx]);
    case VMT_BF16: return (double)vmt_bf16_to_f32(((const uint16_t *)data)[idx]);
    case VMT_I32: return (double)((const int32_t *)data)[idx];
    case VMT_I8: return (double)((const int8_t *)data)[idx];
    default: VMT_ASSERT(!"F32, F16, BF16, I32 or I8"); return 0;
    }
}

void vmt_tensor_put(const vmt_tensor *tensor, uint64_t idx, double value) {
    void *data = vmt_tensor_data(tensor);
    switch (tensor->dtype) {
    case VMT_F32: ((float *)data)[idx] = (float)value; break;
    case VMT_F16: ((uint16_t *)data)[idx] = vmt_f32_to_f16((float)value); break;
    case VMT_BF16: ((uint16_t *)data)[idx] = vmt_f32_to_bf16((float)value); break;
    case VMT_I32: ((int32_t *)data)[idx] = (int32_t)value; break;
    case VMT_I8: ((int8_t *)data)[idx] = (int8_t)value; break;
    default: VMT_ASSERT(!"F32, F16, BF16, I32 or I8");
    }
}

const char *vmt_tensor_describe(const vmt_tensor *t, char *out, size_t cap) {
    char text[160]; /* four 20-digit numbers, separators and the longest dtype name fit */
    size_t len = 1;
    text[0] = '[';
    for (uint32_t i = 0; i < t->ndim && i < VMT_TENSOR_DIMS_MAX; i++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%" PRIu64, i ? ", " : "", t->shape[i]);
    }
    snprintf(text + len, sizeof(text) - len, "] %s", vmt_dtype_get(t->dtype)->name);
    if (cap > 0) snprintf(out, cap, "%s", text);
    return out;
}
