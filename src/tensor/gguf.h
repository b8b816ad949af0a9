/* tensor/gguf.h: a GGUF v3 (or v2) header: typed metadata and a tensor index over a mapped file.
 *
 * Counts, lengths, types, offsets and alignments come from strangers: each is checked against a named ceiling and the
 * file's size before use.  Strings borrow from the map. */
#ifndef VMT_TENSOR_GGUF_H
#define VMT_TENSOR_GGUF_H

#include "base/file.h"
#include "tensor/tensor.h"

typedef struct vmt_gguf vmt_gguf;

#define VMT_GGUF_METADATA_MAX  (1u << 16) /* key-value pairs */
#define VMT_GGUF_ARRAY_MAX     (1u << 24) /* elements in one array */
#define VMT_GGUF_ALIGNMENT_MAX (1u << 20)

typedef enum vmt_gguf_type { /* the file format's numbers */
                             VMT_GGUF_U8,
                             VMT_GGUF_I8,
                             VMT_GGUF_U16,
                             VMT_GGUF_I16,
                             VMT_GGUF_U32,
                             VMT_GGUF_I32,
                             VMT_GGUF_F32,
                             VMT_GGUF_BOOL,
                             VMT_GGUF_STRING,
                             VMT_GGUF_ARRAY,
                             VMT_GGUF_U64,
                             VMT_GGUF_I64,
                             VMT_GGUF_F64,
} vmt_gguf_type;

/* map and path are borrowed until destroy; path is for messages. */
vmt_status vmt_gguf_parse(vmt_gguf **out, const vmt_map *map, const char *path, vmt_err *err);
void vmt_gguf_destroy(vmt_gguf *gguf);

uint32_t vmt_gguf_num_tensors(const vmt_gguf *gguf);
vmt_str vmt_gguf_tensor_name(const vmt_gguf *gguf, uint32_t idx);
/* Shape already reversed to row-major; buffer and offset are relative to the mapped file. */
vmt_tensor vmt_gguf_tensor(const vmt_gguf *gguf, uint32_t idx);

/* false when the key is absent or of another kind.  Integers of any width that fit are accepted. */
bool vmt_gguf_u64(const vmt_gguf *gguf, const char *key, uint64_t *out);
bool vmt_gguf_f64(const vmt_gguf *gguf, const char *key, double *out);
bool vmt_gguf_bool(const vmt_gguf *gguf, const char *key, bool *out);
bool vmt_gguf_str(const vmt_gguf *gguf, const char *key, vmt_str *out);

typedef struct vmt_gguf_array {
    vmt_gguf_type elem_type;
    uint32_t len;
    const uint8_t
        *data; /* fixed-size elements, maybe unaligned; strings are length-prefixed: use the verbs below */
    size_t bytes;
} vmt_gguf_array;
bool vmt_gguf_get_array(const vmt_gguf *gguf, const char *key, vmt_gguf_array *out);
/* Fills out[0..array->len); false on a wrong element type. */
bool vmt_gguf_array_strs(const vmt_gguf_array *array, vmt_str *out);
bool vmt_gguf_array_f32(const vmt_gguf_array *array, float *out);
bool vmt_gguf_array_i32(const vmt_gguf_array *array, int32_t *out); /* any integer type or bool that fits */

#endif
