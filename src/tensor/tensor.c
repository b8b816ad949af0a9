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
