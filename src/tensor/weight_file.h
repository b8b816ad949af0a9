/* tensor/weight_file.h: named tensors in memory-mapped files, whichever the format.
 *
 * open() looks at the path: a .gguf file, a directory with *.safetensors (one file, or model.safetensors.index.json and
 * its shards) or with one *.gguf, or one .safetensors file.  Every offset, count and shape is checked before anything
 * is handed out.  Tensors point into the maps: they live until close(). */
#ifndef VMT_TENSOR_WEIGHT_FILE_H
#define VMT_TENSOR_WEIGHT_FILE_H

#include "tensor/tensor.h"

typedef struct vmt_weight_file vmt_weight_file;
typedef struct vmt_gguf vmt_gguf; /* tensor/gguf.h */

#define VMT_TENSORS_MAX     (1u << 17) /* tensors in a model */
#define VMT_TENSOR_NAME_MAX 256u       /* bytes in a tensor's name */
#define VMT_SHARDS_MAX      1024u      /* files in a model */

vmt_status vmt_weight_file_open(vmt_weight_file **out, const char *path, vmt_err *err);
void vmt_weight_file_close(vmt_weight_file *file);

/* false if there is no tensor of that name.  The tensor's buffer is the mapped file (read-only). */
bool vmt_weight_file_find(const vmt_weight_file *file, vmt_str name, vmt_tensor *out);
/* The same, and says why not: absent, or of a dtype this build can't use (which find() treats as absent). */
vmt_status vmt_weight_file_get(const vmt_weight_file *file, vmt_str name, vmt_tensor *out, vmt_err *err);
uint32_t vmt_weight_file_count(const vmt_weight_file *file);
vmt_str vmt_weight_file_name(const vmt_weight_file *file, uint32_t tensor_idx);
/* The GGUF header, or NULL for safetensors. */
const vmt_gguf *vmt_weight_file_gguf(const vmt_weight_file *file);
/* Sum of all tensors' bytes. */
uint64_t vmt_weight_file_bytes(const vmt_weight_file *file);
/* The tensor's content was copied elsewhere: its pages need not stay in memory. */
void vmt_weight_file_drop(const vmt_weight_file *file, const vmt_tensor *tensor);

#endif
