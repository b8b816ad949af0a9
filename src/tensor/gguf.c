/* tensor/gguf.c: one pass over the header; after it every recorded offset is known to lie in the file.
 *
 * Layout (ggml/docs/gguf.md): magic, version, tensor count, metadata count; metadata pairs; tensor records; padding
 * to general.alignment; tensor data.  All little-endian, nothing aligned before the data. */
#include "tensor/gguf.h"
#include "base/checked.h"
#include "tensor/weight_file.h"
#include <stdlib.h>

#define ALIGNMENT_DEFAULT 32u
#define KEY_BYTES_MAX     65535u /* the format's own limit */
#define TENSOR_RECORD_MIN 33u    /* name length, one byte of name, ndim, one dimension, type, offset */
#define METADATA_MIN      13u    /* key length, type, one byte of value */

struct entry {
    vmt_str key;
    vmt_gguf_type type;
    size_t offset; /* of the value */
    vmt_gguf_array array;
};

struct record {
    vmt_str name;
    vmt_tensor tensor;
};

struct vmt_gguf {
    vmt_buffer file;
    const char *path;
    struct entry *entries;
    uint32_t num_entries;
    struct record *records;
    uint32_t num_records;
};

struct reader {
    const uint8_t *data;
    size_t size, pos;
    const char *path;
    vmt_err *err;
};

static const struct ggml_type {
    const char *name;
    int dtype; /* vmt_dtype, or -1: known but not supported */
} ggml_types[] = {
    [0] = {"F32", VMT_F32},    [1] = {"F16", VMT_F16},   [2] = {"Q4_0", VMT_Q4_0},  [3] = {"Q4_1", VMT_Q4_1},
    [6] = {"Q5_0", VMT_Q5_0},  [7] = {"Q5_1", VMT_Q5_1}, [8] = {"Q8_0", VMT_Q8_0},  [9] = {"Q8_1", -1},
    [10] = {"Q2_K", -1},       [11] = {"Q3_K", -1},      [12] = {"Q4_K", VMT_Q4_K}, [13] = {"Q5_K", VMT_Q5_K},
    [14] = {"Q6_K", VMT_Q6_K}, [15] = {"Q8_K", -1},      [16] = {"IQ2_XXS", -1},    [17] = {"IQ2_XS", -1},
    [18] = {"IQ3_XXS", -1},    [19] = {"IQ1_S", -1},     [20] = {"IQ4_NL", -1},     [21] = {"IQ3_S", -1},
    [22] = {"IQ2_S", -1},      [23] = {"IQ4_XS", -1},    [24] = {"I8", VMT_I8},     [25] = {"I16", -1},
    [26] = {"I32", VMT_I32},   [27] = {"I64", -1},       [28] = {"F64", -1},        [29] = {"IQ1_M", -1},
    [30] = {"BF16", VMT_BF16}, [34] = {"TQ1_0", -1},     [35] = {"TQ2_0", -1},      [39] = {"MXFP4", VMT_MXFP4},
};

/* Bytes of a fixed-size value; 0 for strings, arrays and numbers the format does not have. */
static size_t value_bytes(uint32_t type) {
    static const uint8_t bytes[] = {
        [VMT_GGUF_U8] = 1,  [VMT_GGUF_I8] = 1,  [VMT_GGUF_U16] = 2, [VMT_GGUF_I16] = 2,
        [VMT_GGUF_U32] = 4, [VMT_GGUF_I32] = 4, [VMT_GGUF_F32] = 4, [VMT_GGUF_BOOL] = 1,
        [VMT_GGUF_U64] = 8, [VMT_GGUF_I64] = 8, [VMT_GGUF_F64] = 8,
    };
    return type < VMT_COUNT(bytes) ? bytes[type] : 0;
}

static uint64_t load_le(const uint8_t *p, size_t bytes) {
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static vmt_status take(struct reader *r, size_t bytes, const char *what, const uint8_t **out) {
    if (!vmt_range_fits(r->pos, bytes, r->size)) {
        return vmt_fail(r->err, VMT_E_INVALID, "%s: the file ends inside %s (%zu bytes wanted at byte %zu of %zu)",
                        r->path, what, bytes, r->pos, r->size);
    }
    *out = r->data + r->pos;
    r->pos += bytes;
    return VMT_OK;
}

static vmt_status take_u32(struct reader *r, const char *what, uint32_t *out) {
    const uint8_t *p;
    VMT_TRY(take(r, 4, what, &p));
    *out = (uint32_t)load_le(p, 4);
    return VMT_OK;
}

static vmt_status take_u64(struct reader *r, const char *what, uint64_t *out) {
    const uint8_t *p;
    VMT_TRY(take(r, 8, what, &p));
    *out = load_le(p, 8);
    return VMT_OK;
}

static vmt_status take_str(struct reader *r, const char *what, vmt_str *out) {
    uint64_t len;
    VMT_TRY(take_u64(r, what, &len));
    if (len > r->size - r->pos) {
        return vmt_fail(r->err, VMT_E_INVALID, "%s: %s is %llu bytes long, only %zu are left in the file", r->path,
                        what, (unsigned long long)len, r->size - r->pos);
    }
    *out = (vmt_str){(const char *)r->data + r->pos, (size_t)len};
    r->pos += (size_t)len;
    return VMT_OK;
}

static int shown(vmt_str s) {
    return (int)VMT_MIN(s.len, 80);
}

static vmt_status take_array(struct reader *r, struct entry *e) {
    uint32_t type;
    uint64_t len;
    VMT_TRY(take_u32(r, "a metadata array", &type));
    VMT_TRY(take_u64(r, "a metadata array", &len));
    if (type != VMT_GGUF_STRING && value_bytes(type) == 0) {
        return vmt_fail(r->err, VMT_E_INVALID, "%s: array '%.*s' has element type %u, which is not supported",
                        r->path, shown(e->key), e->key.ptr, type);
    }
    if (len > VMT_GGUF_ARRAY_MAX) {
        return vmt_fail(r->err, VMT_E_INVALID, "%s: array '%.*s' has %llu elements, the limit is %u", r->path,
                        shown(e->key), e->key.ptr, (unsigned long long)len, VMT_GGUF_ARRAY_MAX);
    }
    size_t begin = r->pos;
    if (type == VMT_GGUF_STRING) {
        vmt_str s;
        for (uint64_t i = 0; i < len; i++) VMT_TRY(take_str(r, "a string of a metadata array", &s));
    } else {
        const uint8_t *p;
        VMT_TRY(take(r, (size_t)len * value_bytes(type), "a metadata array", &p));
    }
    e->array = (vmt_gguf_array){(vmt_gguf_type)type, (uint32_t)len, r->data + begin, r->pos - begin};
    return VMT_OK;
}

static vmt_status take_entry(struct reader *r, struct entry *e) {
    uint32_t type;
    VMT_TRY(take_str(r, "a metadata key", &e->key));
    if (e->key.len == 0 || e->key.len > KEY_BYTES_MAX) {
        return vmt_fail(r->err, VMT_E_INVALID, "%s: a metadata key is %zu bytes long, the limit is %u", r->path,
                        e->key.len, KEY_BYTES_MAX);
    }
    VMT_TRY(take_u32(r, "a metadata type", &type));
    e->type = (vmt_gguf_type)type;
    e->offset = r->pos;
    if (type == VMT_GGUF_ARRAY) return take_array(r, e);
    if (type == VMT_GGUF_STRING) {
        vmt_str s;
        return take_str(r, "a metadata string", &s);
    }
    size_t bytes = value_bytes(type);
    if (bytes == 0) {
        return vmt_fail(r->err, VMT_E_INVALID, "%s: metadata '%.*s' has type %u, the format knows 0 to 12",
                        r->path, shown(e->key), e->key.ptr, type);
    }
    const uint8_t *p;
    return take(r, bytes, "a metadata value", &p);
}

static vmt_status take_shape(struct reader *r, struct record *rec) {
    vmt_tensor *t = &rec->tensor;
    VMT_TRY(take_u32(r, "a tensor's dimension count", &t->ndim));
    if (t->ndim == 0 || t->ndim > VMT_TENSOR_DIMS_MAX) {
        return vmt_fail(r->err, VMT_E_INVALID, "%s: tensor '%.*s' has %u dimensions, 1 to %d are supported",
                        r->path, shown(rec->name), rec->name.ptr, t->ndim, VMT_TENSOR_DIMS_MAX);
    }
    uint64_t elems = 1;
    for (uint32_t i = t->ndim; i-- > 0;) { /* the file lists the contiguous dimension first */
        VMT_TRY(take_u64(r, "a tensor's shape", &t->shape[i]));
        if (t->shape[i] == 0 || __builtin_mul_overflow(elems, t->shape[i], &elems) || elems > (UINT64_MAX >> 4)) {
            return vmt_fail(r->err, VMT_E_INVALID,
                            "%s: tensor '%.*s' has an impossible shape (a dimension of %llu)", r->path,
                            shown(rec->name), rec->name.ptr, (unsigned long long)t->shape[i]);
        }
    }
    return VMT_OK;
}

static vmt_status take_dtype(struct reader *r, struct record *rec) {
    uint32_t type;
    VMT_TRY(take_u32(r, "a tensor's type", &type));
    const struct ggml_type *known = type < VMT_COUNT(ggml_types) ? &ggml_types[type] : NULL;
    if (known == NULL || known->name == NULL || known->dtype < 0) {
        return vmt_fail(
            r->err, VMT_E_UNSUPPORTED,
            "%s: tensor '%.*s' has type %s (%u); supported are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, "
            "Q8_0, Q4_K, Q5_K and Q6_K",
            r->path, shown(rec->name), rec->name.ptr, known && known->name ? known->name : "unknown", type);
    }
    rec->tensor.dtype = (vmt_dtype)known->dtype;
    return VMT_OK;
}

/* offset here is still relative to the data section. */
static vmt_status take_record(struct reader *r, struct record *rec, uint32_t alignment) {
    VMT_TRY(take_str(r, "a tensor's name", &rec->name));
    if (rec->name.len == 0 || rec->name.len > VMT_TENSOR_NAME_MAX) {
        return vmt_fail(r->err, VMT_E_INVALID, "%s: a tensor's name is %zu bytes long, the limit is %u", r->path,
                        rec->name.len, VMT_TENSOR_NAME_MAX);
    }
    VMT_TRY(take_shape(r, rec));
    VMT_TRY(take_dtype(r, rec));
    uint64_t offset;
    VMT_TRY(take_u64(r, "a tensor's offset", &offset));
    if (offset % alignment != 0) {
        return vmt_fail(r->err, VMT_E_INVALID, "%s: tensor '%.*s' starts at offset %llu, not a multiple of %u",
                        r->path, shown(rec->name), rec->name.ptr, (unsigned long long)offset, alignment);
    }
    rec->tensor.offset = (size_t)offset;
    return VMT_OK;
}

static vmt_status place_record(const struct reader *r, struct record *rec, size_t data_begin) {
    vmt_tensor *t = &rec->tensor;
    const vmt_dtype_info *info = vmt_dtype_get(t->dtype);
    uint64_t cols = t->shape[t->ndim - 1], rows = vmt_tensor_elems(t) / cols;
    size_t row_bytes, bytes;
    if (!vmt_dtype_row_bytes(t->dtype, cols, &row_bytes)) {
        return vmt_fail(r->err, VMT_E_INVALID,
                        "%s: tensor '%.*s' has rows of %llu elements, %s needs a multiple of %u", r->path,
                        shown(rec->name), rec->name.ptr, (unsigned long long)cols, info->name, info->block_elems);
    }
    if (rows > SIZE_MAX || !vmt_mul_size((size_t)rows, row_bytes, &bytes) ||
        !vmt_range_fits(t->offset, bytes, r->size - data_begin)) {
        return vmt_fail(r->err, VMT_E_INVALID,
                        "%s: tensor '%.*s' (%llu x %llu %s at data offset %zu) ends past the file's %zu bytes",
                        r->path, shown(rec->name), rec->name.ptr, (unsigned long long)rows,
                        (unsigned long long)cols, info->name, t->offset, r->size);
    }
    t->offset += data_begin;
    return VMT_OK;
}

static vmt_status read_head(struct reader *r, uint64_t *num_tensors, uint64_t *num_entries) {
    const uint8_t *magic;
    uint32_t version;
    VMT_TRY(take(r, 4, "the header", &magic));
    if (memcmp(magic, "GGUF", 4) != 0) {
        return vmt_fail(r->err, VMT_E_INVALID, "%s: not a GGUF file (it begins with %02x %02x %02x %02x)", r->path,
                        magic[0], magic[1], magic[2], magic[3]);
    }
    VMT_TRY(take_u32(r, "the header", &version));
    if (version != 2 && version != 3) {
        return vmt_fail(r->err, VMT_E_UNSUPPORTED, "%s: GGUF version %u, supported are 2 and 3 (little-endian)",
                        r->path, version);
    }
    VMT_TRY(take_u64(r, "the header", num_tensors));
    VMT_TRY(take_u64(r, "the header", num_entries));
    uint64_t tensors_fit = (r->size - r->pos) / TENSOR_RECORD_MIN, entries_fit = (r->size - r->pos) / METADATA_MIN;
    if (*num_tensors > VMT_MIN(VMT_TENSORS_MAX, tensors_fit)) {
        return vmt_fail(r->err, VMT_E_INVALID,
                        "%s: the header claims %llu tensors, the limit for its %zu bytes is %llu", r->path,
                        (unsigned long long)*num_tensors, r->size,
                        (unsigned long long)VMT_MIN(VMT_TENSORS_MAX, tensors_fit));
    }
    if (*num_entries > VMT_MIN(VMT_GGUF_METADATA_MAX, entries_fit)) {
        return vmt_fail(r->err, VMT_E_INVALID,
                        "%s: the header claims %llu metadata pairs, the limit for its %zu bytes is %llu", r->path,
                        (unsigned long long)*num_entries, r->size,
                        (unsigned long long)VMT_MIN(VMT_GGUF_METADATA_MAX, entries_fit));
    }
    return VMT_OK;
}

static vmt_status read_alignment(const vmt_gguf *g, uint32_t *out, vmt_err *err) {
    uint64_t v = ALIGNMENT_DEFAULT;
    (void)vmt_gguf_u64(g, "general.alignment", &v);
    if (v < 8 || v > VMT_GGUF_ALIGNMENT_MAX || (v & (v - 1)) != 0) {
        return vmt_fail(err, VMT_E_INVALID,
                        "%s: general.alignment is %llu, it must be a power of two from 8 to %u", g->path,
                        (unsigned long long)v, VMT_GGUF_ALIGNMENT_MAX);
    }
    *out = (uint32_t)v;
    return VMT_OK;
}

static vmt_status read_all(vmt_gguf *g, struct reader *r) {
    uint64_t num_tensors = 0, num_entries = 0;
    VMT_TRY(read_head(r, &num_tensors, &num_entries));
    g->entries = calloc(num_entries + 1, sizeof *g->entries);
    g->records = calloc(num_tensors + 1, sizeof *g->records);
    if (g->entries == NULL || g->records == NULL) {
        return vmt_fail(r->err, VMT_E_NO_MEMORY, "%s: no memory for its header", r->path);
    }
    for (; g->num_entries < num_entries; g->num_entries++) VMT_TRY(take_entry(r, &g->entries[g->num_entries]));

    uint32_t alignment = ALIGNMENT_DEFAULT;
    VMT_TRY(read_alignment(g, &alignment, r->err));
    for (; g->num_records < num_tensors; g->num_records++) {
        struct record *rec = &g->records[g->num_records];
        rec->tensor.buffer = &g->file;
        VMT_TRY(take_record(r, rec, alignment));
    }
    size_t data_begin;
    if (!vmt_add_size(r->pos, alignment - 1, &data_begin)) data_begin = r->size;
    data_begin = VMT_MIN(data_begin & ~(size_t)(alignment - 1), r->size);
    for (uint32_t i = 0; i < g->num_records; i++) VMT_TRY(place_record(r, &g->records[i], data_begin));
    return VMT_OK;
}

vmt_status vmt_gguf_parse(vmt_gguf **out, const vmt_map *map, const char *path, vmt_err *err) {
    *out = NULL;
    vmt_gguf *g = calloc(1, sizeof *g);
    if (g == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "%s: no memory for its header", path);
    g->file = (vmt_buffer){.host = (uint8_t *)(uintptr_t)map->data, .bytes = map->size};
    g->path = path;
    struct reader r = {map->data, map->size, 0, path, err};
    vmt_status status = read_all(g, &r);
    if (status != VMT_OK) {
        vmt_gguf_destroy(g);
        return status;
    }
    *out = g;
    return VMT_OK;
}

void vmt_gguf_destroy(vmt_gguf *gguf) {
    if (gguf == NULL) return;
    free(gguf->entries);
    free(gguf->records);
    free(gguf);
}

uint32_t vmt_gguf_num_tensors(const vmt_gguf *gguf) {
    return gguf->num_records;
}

vmt_str vmt_gguf_tensor_name(const vmt_gguf *gguf, uint32_t idx) {
    VMT_ASSERT(idx < gguf->num_records);
    return gguf->records[idx].name;
}

vmt_tensor vmt_gguf_tensor(const vmt_gguf *gguf, uint32_t idx) {
    VMT_ASSERT(idx < gguf->num_records);
    return gguf->records[idx].tensor;
}

static const struct entry *find(const vmt_gguf *g, const char *key) {
    vmt_str k = vmt_str_from(key);
    for (uint32_t i = 0; i < g->num_entries; i++) {
        if (vmt_str_eq(g->entries[i].key, k)) return &g->entries[i];
    }
    return NULL;
}

/* The value as int64 or, past its range, uint64 (*is_big); false for non-integers. */
static bool load_int(vmt_gguf_type type, const uint8_t *p, int64_t *out, bool *is_big) {
    *is_big = false;
    switch (type) {
    case VMT_GGUF_U8:
    case VMT_GGUF_BOOL: *out = p[0]; return true;
    case VMT_GGUF_I8: *out = (int8_t)p[0]; return true;
    case VMT_GGUF_U16: *out = (int64_t)load_le(p, 2); return true;
    case VMT_GGUF_I16: *out = (int16_t)load_le(p, 2); return true;
    case VMT_GGUF_U32: *out = (int64_t)load_le(p, 4); return true;
    case VMT_GGUF_I32: *out = (int32_t)load_le(p, 4); return true;
    case VMT_GGUF_I64: *out = (int64_t)load_le(p, 8); return true;
    case VMT_GGUF_U64:
        *out = (int64_t)load_le(p, 8);
        *is_big = *out < 0;
        return true;
    default: return false;
    }
}

static double load_float(vmt_gguf_type type, const uint8_t *p) {
    if (type == VMT_GGUF_F32) {
        uint32_t bits = (uint32_t)load_le(p, 4);
        float f;
        memcpy(&f, &bits, sizeof f);
        return (double)f;
    }
    uint64_t bits = load_le(p, 8);
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

bool vmt_gguf_u64(const vmt_gguf *gguf, const char *key, uint64_t *out) {
    const struct entry *e = find(gguf, key);
    int64_t v;
    bool is_big;
    if (e == NULL || e->type == VMT_GGUF_BOOL || !load_int(e->type, gguf->file.host + e->offset, &v, &is_big)) {
        return false;
    }
    if (v < 0 && !is_big) return false;
    *out = (uint64_t)v;
    return true;
}

bool vmt_gguf_f64(const vmt_gguf *gguf, const char *key, double *out) {
    const struct entry *e = find(gguf, key);
    int64_t v;
    bool is_big;
    if (e == NULL || e->type == VMT_GGUF_BOOL) return false;
    const uint8_t *p = gguf->file.host + e->offset;
    if (e->type == VMT_GGUF_F32 || e->type == VMT_GGUF_F64) {
        *out = load_float(e->type, p);
        return true;
    }
    if (!load_int(e->type, p, &v, &is_big)) return false;
    *out = is_big ? (double)(uint64_t)v : (double)v;
    return true;
}

bool vmt_gguf_bool(const vmt_gguf *gguf, const char *key, bool *out) {
    const struct entry *e = find(gguf, key);
    if (e == NULL || e->type != VMT_GGUF_BOOL) return false;
    *out = gguf->file.host[e->offset] != 0;
    return true;
}

bool vmt_gguf_str(const vmt_gguf *gguf, const char *key, vmt_str *out) {
    const struct entry *e = find(gguf, key);
    if (e == NULL || e->type != VMT_GGUF_STRING) return false;
    const uint8_t *p = gguf->file.host + e->offset;
    *out = (vmt_str){(const char *)p + 8, (size_t)load_le(p, 8)};
    return true;
}

bool vmt_gguf_get_array(const vmt_gguf *gguf, const char *key, vmt_gguf_array *out) {
    const struct entry *e = find(gguf, key);
    if (e == NULL || e->type != VMT_GGUF_ARRAY) return false;
    *out = e->array;
    return true;
}

bool vmt_gguf_array_strs(const vmt_gguf_array *array, vmt_str *out) {
    if (array->elem_type != VMT_GGUF_STRING) return false;
    const uint8_t *p = array->data;
    for (uint32_t i = 0; i < array->len; i++) {
        size_t len = (size_t)load_le(p, 8);
        out[i] = (vmt_str){(const char *)p + 8, len};
        p += 8 + len;
    }
    return true;
}

bool vmt_gguf_array_f32(const vmt_gguf_array *array, float *out) {
    if (array->elem_type != VMT_GGUF_F32 && array->elem_type != VMT_GGUF_F64) return false;
    size_t bytes = value_bytes(array->elem_type);
    for (uint32_t i = 0; i < array->len; i++) {
        out[i] = (float)load_float(array->elem_type, array->data + i * bytes);
    }
    return true;
}

bool vmt_gguf_array_i32(const vmt_gguf_array *array, int32_t *out) {
    size_t bytes = value_bytes(array->elem_type);
    for (uint32_t i = 0; i < array->len; i++) {
        int64_t v;
        bool is_big;
        if (!load_int(array->elem_type, array->data + i * bytes, &v, &is_big)) return false;
        if (is_big || v < INT32_MIN || v > INT32_MAX) return false;
        out[i] = (int32_t)v;
    }
    return true;
}
