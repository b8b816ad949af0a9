/* tensor/safetensors.h: the header of one safetensors file: a tensor index over a mapped file.
 *
 * Layout: u64 header length, that many bytes of JSON {"name": {"dtype", "shape", "data_offsets"}}, tensor data.
 * MLX writes the header unpadded: a tensor may start at any byte, and whoever reads it must not count on more.
 * Offsets and shapes of every tensor are checked here; a tensor whose dtype we can't compute with is only refused when
 * it is asked for, since checkpoints carry integer buffers nobody reads. */
#ifndef VMT_TENSOR_SAFETENSORS_H
#define VMT_TENSOR_SAFETENSORS_H

#include "base/file.h"
#include "tensor/tensor.h"

typedef struct vmt_safetensors vmt_safetensors;

#define VMT_SAFETENSORS_HEADER_MAX 100000000u /* bytes; the limit of the reference implementation */

typedef struct vmt_safetensors_entry {
    vmt_str name;
    vmt_str dtype;     /* as the file spells it */
    bool is_supported; /* else tensor is empty */
    vmt_tensor tensor;
} vmt_safetensors_entry;

/* map and path are borrowed until destroy. */
vmt_status vmt_safetensors_parse(vmt_safetensors **out, const vmt_map *map, const char *path, vmt_err *err);
void vmt_safetensors_destroy(vmt_safetensors *st); /* NULL is fine */

uint32_t vmt_safetensors_count(const vmt_safetensors *st);
const vmt_safetensors_entry *vmt_safetensors_get(const vmt_safetensors *st, uint32_t idx);

#endif
