/* tensor/safetensors.c: the JSON header, checked entry by entry. */
#include "tensor/safetensors.h"
#include "base/checked.h"
#include "json/json.h"
#include "tensor/weight_file.h"
#include <stdlib.h>

struct vmt_safetensors {
    vmt_buffer file;
    const char *path;
    vmt_json_doc *doc; /* names borrow from it */
    vmt_safetensors_entry *entries;
    uint32_t num_entries;
};

static const struct st_dtype {
    const char *name;
    uint32_t bytes;
    int dtype; /* vmt_dtype, or -1: known, not computed with */
} st_dtypes[] = {
    {"F32", 4, VMT_F32}, {"F16", 2, VMT_F16}, {"BF16", 2, VMT_BF16}, {"F64", 8, -1},     {"I64", 8, -1},
    {"I32", 4, -1},      {"I16", 2, -1},      {"I8", 1, -1},         {"U8", 1, VMT_U8},  {"U16", 2, -1},
    {"U32", 4, VMT_U32}, {"U64", 8, -1},      {"BOOL", 1, -1},       {"F8_E4M3", 1, -1}, {"F8_E5M2", 1, -1},
};

static int shown(vmt_str s) {
    return (int)VMT_MIN(s.len, 80);
}

static const struct st_dtype *find_dtype(vmt_str name) {
    for (size_t i = 0; i < VMT_COUNT(st_dtypes); i++) {
        if (vmt_str_eq_c(name, st_dtypes[i].name)) return &st_dtypes[i];
    }
    return NULL;
}

/* dims past VMT_TENSOR_DIMS_MAX are multiplied into *elems but not kept. */
static vmt_status read_shape(vmt_json value, const char *path, vmt_str name, uint64_t shape[VMT_TENSOR_DIMS_MAX],
                             size_t *ndim, size_t *elems, vmt_err *err) {
    vmt_json_iter it = vmt_json_iter_begin(value);
    vmt_json dim;
    bool overflow = false;
    *ndim = 0;
    *elems = 1;
    for (; vmt_json_iter_next(&it, NULL, &dim); ++*ndim) {
        uint64_t v;
        if (!vmt_json_get_u64(dim, &v)) {
            return vmt_fail(err, VMT_E_INVALID, "%s: the shape of tensor '%.*s' holds %s", path, shown(name),
                            name.ptr, vmt_json_type_name(vmt_json_typeof(dim)));
        }
        if (*ndim < VMT_TENSOR_DIMS_MAX) shape[*ndim] = v;
        if (v > SIZE_MAX || !vmt_mul_size(*elems, (size_t)v, elems)) overflow = true;
    }
    if (overflow) {
        return vmt_fail(err, VMT_E_INVALID, "%s: the shape of tensor '%.*s' overflows 64 bits", path, shown(name),
                        name.ptr);
    }
    return VMT_OK;
}

static vmt_status read_offsets(vmt_json value, const char *path, vmt_str name, size_t data_bytes, size_t *begin,
                               size_t *bytes, vmt_err *err) {
    uint64_t ends[2] = {0, 0};
    size_t n = 0;
    vmt_json v;
    for (vmt_json_iter it = vmt_json_iter_begin(value); vmt_json_iter_next(&it, NULL, &v); n++) {
        if (n >= 2 || !vmt_json_get_u64(v, &ends[n])) {
            n = 3;
            break;
        }
    }
    if (n != 2) {
        return vmt_fail(err, VMT_E_INVALID, "%s: data_offsets of tensor '%.*s' are not two numbers", path,
                        shown(name), name.ptr);
    }
    if (ends[0] > ends[1] || ends[1] > data_bytes) {
        return vmt_fail(err, VMT_E_INVALID, "%s: tensor '%.*s' lies at [%llu, %llu) of %zu data bytes", path,
                        shown(name), name.ptr, (unsigned long long)ends[0], (unsigned long long)ends[1],
                        data_bytes);
    }
    *begin = (size_t)ends[0];
    *bytes = (size_t)(ends[1] - ends[0]);
    return VMT_OK;
}

static vmt_status read_entry(vmt_safetensors *st, vmt_str name, vmt_json value, size_t data_begin, vmt_err *err) {
    vmt_json shape = VMT_JSON_AT(value, "shape"), offsets = VMT_JSON_AT(value, "data_offsets");
    vmt_safetensors_entry *e = &st->entries[st->num_entries];
    *e = (vmt_safetensors_entry){.name = name};
    if (name.len == 0 || name.len > VMT_TENSOR_NAME_MAX) {
        return vmt_fail(err, VMT_E_INVALID, "%s: a tensor's name is %zu bytes long, the limit is %u", st->path,
                        name.len, VMT_TENSOR_NAME_MAX);
    }
    if (!vmt_json_get_str(VMT_JSON_AT(value, "dtype"), &e->dtype) || vmt_json_typeof(shape) != VMT_JSON_ARRAY ||
        vmt_json_typeof(offsets) != VMT_JSON_ARRAY) {
        return vmt_fail(err, VMT_E_INVALID, "%s: tensor '%.*s' lacks dtype, shape or data_offsets", st->path,
                        shown(name), name.ptr);
    }
    size_t ndim = 0, elems = 0, begin = 0, bytes = 0, want = 0;
    uint64_t dims[VMT_TENSOR_DIMS_MAX] = {0};
    VMT_TRY(read_shape(shape, st->path, name, dims, &ndim, &elems, err));
    VMT_TRY(read_offsets(offsets, st->path, name, st->file.bytes - data_begin, &begin, &bytes, err));
    const struct st_dtype *dtype = find_dtype(e->dtype);
    if (dtype != NULL && (!vmt_mul_size(elems, dtype->bytes, &want) || want != bytes)) {
        return vmt_fail(err, VMT_E_INVALID, "%s: tensor '%.*s' has %zu elements of %s but %zu bytes of data",
                        st->path, shown(name), name.ptr, elems, dtype->name, bytes);
    }
    if (dtype != NULL && dtype->dtype >= 0 && ndim <= VMT_TENSOR_DIMS_MAX && elems > 0) {
        e->is_supported = true;
        e->tensor = (vmt_tensor){&st->file, data_begin + begin, (vmt_dtype)dtype->dtype, (uint32_t)ndim, {0}};
        memcpy(e->tensor.shape, dims, sizeof dims);
        if (ndim == 0) { /* a scalar */
            e->tensor.ndim = 1;
            e->tensor.shape[0] = 1;
        }
    }
    st->num_entries++;
    return VMT_OK;
}

static vmt_status read_all(vmt_safetensors *st, vmt_err *err) {
    const uint8_t *data = st->file.host;
    if (st->file.bytes < 8) {
        return vmt_fail(err, VMT_E_INVALID, "%s: not a safetensors file (only %zu bytes)", st->path,
                        st->file.bytes);
    }
    uint64_t header_bytes = 0;
    for (int i = 0; i < 8; i++) header_bytes |= (uint64_t)data[i] << (8 * i);
    if (header_bytes > VMT_SAFETENSORS_HEADER_MAX || header_bytes > st->file.bytes - 8) {
        return vmt_fail(err, VMT_E_INVALID,
                        "%s: the header claims %llu bytes, the limit is %u and the file has %zu", st->path,
                        (unsigned long long)header_bytes, VMT_SAFETENSORS_HEADER_MAX, st->file.bytes);
    }
    vmt_err json_err = {0};
    if (vmt_json_parse(&st->doc, (vmt_str){(const char *)data + 8, (size_t)header_bytes}, &json_err) != VMT_OK) {
        return vmt_fail(err, VMT_E_INVALID, "%s: the header is not JSON: %s", st->path, json_err.msg);
    }
    vmt_json root = vmt_json_root(st->doc), value;
    if (vmt_json_typeof(root) != VMT_JSON_OBJECT) {
        return vmt_fail(err, VMT_E_INVALID, "%s: the header is %s, expected an object", st->path,
                        vmt_json_type_name(vmt_json_typeof(root)));
    }
    size_t count = vmt_json_size(root);
    if (count > VMT_TENSORS_MAX) {
        return vmt_fail(err, VMT_E_INVALID, "%s: the header lists %zu tensors, the limit is %u", st->path, count,
                        VMT_TENSORS_MAX);
    }
    st->entries = calloc(count + 1, sizeof *st->entries);
    if (st->entries == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "%s: no memory for its header", st->path);
    vmt_str name;
    for (vmt_json_iter it = vmt_json_iter_begin(root); vmt_json_iter_next(&it, &name, &value);) {
        if (vmt_str_eq_c(name, "__metadata__")) continue;
        VMT_TRY(read_entry(st, name, value, 8 + (size_t)header_bytes, err));
    }
    return VMT_OK;
}

vmt_status vmt_safetensors_parse(vmt_safetensors **out, const vmt_map *map, const char *path, vmt_err *err) {
    *out = NULL;
    vmt_safetensors *st = calloc(1, sizeof *st);
    if (st == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "%s: no memory for its header", path);
    st->file = (vmt_buffer){.host = (uint8_t *)(uintptr_t)map->data, .bytes = map->size};
    st->path = path;
    vmt_status status = read_all(st, err);
    if (status != VMT_OK) {
        vmt_safetensors_destroy(st);
        return status;
    }
    *out = st;
    return VMT_OK;
}

void vmt_safetensors_destroy(vmt_safetensors *st) {
    if (st == NULL) return;
    vmt_json_doc_destroy(st->doc);
    free(st->entries);
    free(st);
}

uint32_t vmt_safetensors_count(const vmt_safetensors *st) {
    return st->num_entries;
}

const vmt_safetensors_entry *vmt_safetensors_get(const vmt_safetensors *st, uint32_t idx) {
    VMT_ASSERT(idx < st->num_entries);
    return &st->entries[idx];
}
