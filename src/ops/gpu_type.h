/* ops/gpu_type.h: how kernel names call the type of activations. */
#ifndef VMT_OPS_GPU_TYPE_H
#define VMT_OPS_GPU_TYPE_H

#include "tensor/dtype.h"

/* "f32", "f16" or "bf16"; NULL for other types. */
static inline const char *vmt_gpu_type_name(vmt_dtype dtype) {
    switch (dtype) {
    case VMT_F32: return "f32";
    case VMT_F16: return "f16";
    case VMT_BF16: return "bf16";
    default: return NULL;
    }
}

#endif
