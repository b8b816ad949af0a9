/* tensor/tensor.h: memory a device can reach, and typed views of it.
 *
 * Shapes are row-major: shape[ndim-1] is contiguous.  A linear layer's weight is [out_features, in_features], also when
 * it comes from GGUF, whose own dimension order is the reverse. */
#ifndef VMT_TENSOR_TENSOR_H
#define VMT_TENSOR_TENSOR_H

#include "base/str.h"
#include "tensor/dtype.h"

/* Memory owned by a backend.  On unified memory and on the CPU, host is never NULL. */
typedef struct vmt_buffer {
    uint8_t *host;
    size_t bytes;
    void *device; /* the backend's own handle */
} vmt_buffer;

#define VMT_TENSOR_DIMS_MAX 4

typedef struct vmt_tensor {
    vmt_buffer *buffer; /* borrowed */
    size_t offset;      /* bytes from the start of buffer */
    vmt_dtype dtype;
    uint32_t ndim;
    uint64_t shape[VMT_TENSOR_DIMS_MAX];
} vmt_tensor;

static inline void *vmt_tensor_data(const vmt_tensor *t) {
    return t->buffer->host + t->offset;
}
uint64_t vmt_tensor_elems(const vmt_tensor *t);
size_t vmt_tensor_bytes(const vmt_tensor *t);
/* One element of F32, F16, BF16, I32 or I8, rounded to the type: for checks and tests, not for speed. */
double vmt_tensor_at(const vmt_tensor *t, uint64_t idx);
void vmt_tensor_put(const vmt_tensor *t, uint64_t idx, double value);
/* "[576, 49152] Q4_1" into out, cut to cap. */
const char *vmt_tensor_describe(const vmt_tensor *t, char *out, size_t cap);

#endif
