/* tensor/weight_file.c: one name index over a GGUF file or a set of safetensors shards. */
#include "tensor/weight_file.h"
#include "base/file.h"
#include "json/json.h"
#include "tensor/gguf.h"
#include "tensor/safetensors.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define INDEX_NAME "model.safetensors.index.json"

struct shard {
    char *path;
    vmt_map map;
    vmt_gguf *gguf; /* one of the two */
    vmt_safetensors *st;
};

struct named {
    vmt_str name;
    vmt_tensor tensor;
    vmt_str unsupported; /* dtype that can't be used; empty if the tensor is fine */
    const struct shard *shard;
};

struct vmt_weight_file {
    struct shard *shards;
    uint32_t num_shards;
    struct named *tensors; /* by name */
    uint32_t num_tensors;
    uint64_t bytes;
};

static char *join(const char *dir, vmt_str name) {
    size_t cap = strlen(dir) + name.len + 2;
    char *path = malloc(cap);
    if (path != NULL) snprintf(path, cap, "%s/%.*s", dir, VMT_STR_ARG(name));
    return path;
}

/* Messages show the file's own name: a cache's folders would crowd out the sentence. */
static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* Takes path. */
static vmt_status open_shard(vmt_weight_file *f, char *path, vmt_err *err) {
    if (path == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a file name");
    struct shard *s = &f->shards[f->num_shards++];
    s->path = path;
    VMT_TRY(vmt_map_open(&s->map, path, err));
    bool is_gguf = s->map.size >= 4 && memcmp(s->map.data, "GGUF", 4) == 0;
    if (is_gguf || vmt_str_ends(vmt_str_from(path), VMT_STR(".gguf"))) {
        VMT_TRY(vmt_gguf_parse(&s->gguf, &s->map, base_name(path), err));
        uint64_t splits = 1;
        if (vmt_gguf_u64(s->gguf, "split.count", &splits) && splits > 1) {
            return vmt_fail(err, VMT_E_UNSUPPORTED,
                            "%s: one of %llu split files; merge them with gguf-split first", base_name(path),
                            (unsigned long long)splits);
        }
        return VMT_OK;
    }
    return vmt_safetensors_parse(&s->st, &s->map, base_name(path), err);
}

static vmt_status alloc_shards(vmt_weight_file *f, size_t count, vmt_err *err) {
    f->shards = calloc(count, sizeof *f->shards);
    return f->shards ? VMT_OK : vmt_fail(err, VMT_E_NO_MEMORY, "no memory for %zu weight files", count);
}

static bool is_plain_name(vmt_str name) {
    if (name.len == 0 || name.len > 255 || name.ptr[0] == '.') return false;
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '/' || name.ptr[i] == '\\' || name.ptr[i] == '\0') return false;
    }
    return true;
}

/* Distinct shard names, in order of first use. */
static vmt_status list_shards(vmt_json weight_map, const char *path, vmt_str names[VMT_SHARDS_MAX],
                              uint32_t *count, vmt_err *err) {
    vmt_str tensor, name;
    vmt_json value;
    *count = 0;
    for (vmt_json_iter it = vmt_json_iter_begin(weight_map); vmt_json_iter_next(&it, &tensor, &value);) {
        if (!vmt_json_get_str(value, &name) || !is_plain_name(name)) {
            return vmt_fail(err, VMT_E_INVALID, "%s: the file of tensor '%.*s' is not a plain file name", path,
                            (int)VMT_MIN(tensor.len, 80), tensor.ptr);
        }
        uint32_t i = *count; /* neighbours usually share a shard */
        while (i > 0 && !vmt_str_eq(names[i - 1], name)) i--;
        if (i > 0) continue;
        if (*count == VMT_SHARDS_MAX) {
            return vmt_fail(err, VMT_E_INVALID, "%s: lists more than %u weight files", path, VMT_SHARDS_MAX);
        }
        names[(*count)++] = name;
    }
    if (*count == 0) return vmt_fail(err, VMT_E_INVALID, "%s: weight_map lists no files", path);
    return VMT_OK;
}

static vmt_status open_listed(vmt_weight_file *f, const char *dir, const char *path, vmt_json weight_map,
                              vmt_err *err) {
    vmt_str *names = calloc(VMT_SHARDS_MAX, sizeof *names);
    if (names == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a list of weight files");
    uint32_t count;
    vmt_status status = list_shards(weight_map, path, names, &count, err);
    if (status == VMT_OK) status = alloc_shards(f, count, err);
    for (uint32_t i = 0; status == VMT_OK && i < count; i++) status = open_shard(f, join(dir, names[i]), err);
    free(names);
    return status;
}

static vmt_status open_index(vmt_weight_file *f, const char *dir, const char *path, vmt_err *err) {
    vmt_buf text;
    vmt_buf_init(&text, 0);
    vmt_json_doc *doc = NULL;
    vmt_status status = vmt_file_read(&text, path, VMT_SAFETENSORS_HEADER_MAX, err);
    vmt_err json_err = {0};
    if (status == VMT_OK && vmt_json_parse(&doc, vmt_buf_str(&text), &json_err) != VMT_OK) {
        status = vmt_fail(err, VMT_E_INVALID, "%s: not JSON: %s", path, json_err.msg);
    }
    if (status == VMT_OK) {
        status = open_listed(f, dir, path, VMT_JSON_AT(vmt_json_root(doc), "weight_map"), err);
    }
    vmt_json_doc_destroy(doc);
    vmt_buf_free(&text);
    return status;
}

/* The only file in dir whose name ends so; *found counts them.  NULL if there is not exactly one, or no memory. */
static char *only_file(const char *dir, const char *ending, uint32_t *found) {
    char *path = NULL;
    DIR *d = opendir(dir);
    *found = 0;
    if (d == NULL) return NULL;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.' || !vmt_str_ends(vmt_str_from(e->d_name), vmt_str_from(ending))) continue;
        if ((*found)++ == 0) path = join(dir, vmt_str_from(e->d_name));
    }
    closedir(d);
    if (*found != 1) {
        free(path);
        path = NULL;
    }
    return path;
}

/* A directory without an index: model.safetensors, or the only *.safetensors there is, or the only *.gguf. */
static vmt_status open_single(vmt_weight_file *f, const char *dir, vmt_err *err) {
    char *path = join(dir, VMT_STR("model.safetensors"));
    uint32_t num_safetensors = 1, num_gguf = 0;
    if (path != NULL && !vmt_file_exists(path)) {
        free(path);
        path = only_file(dir, ".safetensors", &num_safetensors);
        if (num_safetensors == 0) path = only_file(dir, ".gguf", &num_gguf);
    }
    if (path == NULL) {
        if (num_safetensors > 1) {
            return vmt_fail(err, VMT_E_INVALID, "%s: %u *.safetensors files but no " INDEX_NAME, dir,
                            num_safetensors);
        }
        if (num_gguf > 1) {
            return vmt_fail(err, VMT_E_INVALID, "%s: %u *.gguf files; name the one to open", dir, num_gguf);
        }
        if (num_safetensors + num_gguf > 0) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a file name");
        return vmt_fail(err, VMT_E_NOT_FOUND, "%s: no *.safetensors or *.gguf file in this directory", dir);
    }
    vmt_status status = alloc_shards(f, 1, err);
    if (status != VMT_OK) {
        free(path);
        return status;
    }
    return open_shard(f, path, err);
}

static vmt_status open_directory(vmt_weight_file *f, const char *dir, vmt_err *err) {
    char *path = join(dir, VMT_STR(INDEX_NAME));
    if (path == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a file name");
    vmt_status status = vmt_file_exists(path) ? open_index(f, dir, path, err) : open_single(f, dir, err);
    free(path);
    return status;
}

static int by_name(const void *a, const void *b) {
    return vmt_str_compare(((const struct named *)a)->name, ((const struct named *)b)->name);
}

static void add_shard(vmt_weight_file *f, const struct shard *s) {
    uint32_t count = s->gguf ? vmt_gguf_num_tensors(s->gguf) : vmt_safetensors_count(s->st);
    for (uint32_t i = 0; i < count; i++) {
        struct named *n = &f->tensors[f->num_tensors++];
        n->shard = s;
        if (s->gguf != NULL) {
            n->name = vmt_gguf_tensor_name(s->gguf, i);
            n->tensor = vmt_gguf_tensor(s->gguf, i);
        } else {
            const vmt_safetensors_entry *e = vmt_safetensors_get(s->st, i);
            n->name = e->name;
            n->tensor = e->tensor;
            if (!e->is_supported) n->unsupported = e->dtype.len ? e->dtype : VMT_STR("?");
        }
        if (n->unsupported.len == 0) f->bytes += vmt_tensor_bytes(&n->tensor);
    }
}

static vmt_status build_index(vmt_weight_file *f, vmt_err *err) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < f->num_shards; i++) {
        const struct shard *s = &f->shards[i];
        total += s->gguf ? vmt_gguf_num_tensors(s->gguf) : vmt_safetensors_count(s->st);
    }
    if (total > VMT_TENSORS_MAX) {
        return vmt_fail(err, VMT_E_INVALID, "%s: %llu tensors in all files, the limit is %u", f->shards[0].path,
                        (unsigned long long)total, VMT_TENSORS_MAX);
    }
    f->tensors = calloc(total + 1, sizeof *f->tensors);
    if (f->tensors == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the index of tensors");
    for (uint32_t i = 0; i < f->num_shards; i++) add_shard(f, &f->shards[i]);
    qsort(f->tensors, f->num_tensors, sizeof *f->tensors, by_name);
    for (uint32_t i = 1; i < f->num_tensors; i++) {
        if (by_name(&f->tensors[i - 1], &f->tensors[i]) != 0) continue;
        return vmt_fail(err, VMT_E_INVALID, "%s: tensor '%.*s' occurs twice", base_name(f->tensors[i].shard->path),
                        (int)VMT_MIN(f->tensors[i].name.len, 80), f->tensors[i].name.ptr);
    }
    return VMT_OK;
}

vmt_status vmt_weight_file_open(vmt_weight_file **out, const char *path, vmt_err *err) {
    *out = NULL;
    vmt_weight_file *f = calloc(1, sizeof *f);
    if (f == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "%s: no memory for its index", path);
    vmt_status status;
    if (vmt_dir_exists(path)) {
        status = open_directory(f, path, err);
    } else {
        status = alloc_shards(f, 1, err);
        if (status == VMT_OK) status = open_shard(f, strdup(path), err);
    }
    if (status == VMT_OK) status = build_index(f, err);
    if (status != VMT_OK) {
        vmt_weight_file_close(f);
        return status;
    }
    *out = f;
    return VMT_OK;
}

void vmt_weight_file_close(vmt_weight_file *file) {
    if (file == NULL) return;
    for (uint32_t i = 0; i < file->num_shards; i++) {
        struct shard *s = &file->shards[i];
        vmt_gguf_destroy(s->gguf);
        vmt_safetensors_destroy(s->st);
        vmt_map_close(&s->map);
        free(s->path);
    }
    free(file->shards);
    free(file->tensors);
    free(file);
}

static const struct named *find(const vmt_weight_file *f, vmt_str name) {
    struct named key = {.name = name};
    return bsearch(&key, f->tensors, f->num_tensors, sizeof *f->tensors, by_name);
}

bool vmt_weight_file_find(const vmt_weight_file *file, vmt_str name, vmt_tensor *out) {
    const struct named *n = find(file, name);
    if (n == NULL || n->unsupported.len > 0) return false;
    *out = n->tensor;
    return true;
}

vmt_status vmt_weight_file_get(const vmt_weight_file *file, vmt_str name, vmt_tensor *out, vmt_err *err) {
    const struct named *n = find(file, name);
    if (n == NULL) {
        return vmt_fail(err, VMT_E_NOT_FOUND, "%s: there is no tensor '%.*s'", base_name(file->shards[0].path),
                        VMT_STR_ARG(name));
    }
    if (n->unsupported.len > 0) {
        return vmt_fail(err, VMT_E_UNSUPPORTED,
                        "%s: tensor '%.*s' has dtype %.*s; supported are F32, F16 and BF16",
                        base_name(n->shard->path), VMT_STR_ARG(name), (int)VMT_MIN(n->unsupported.len, 20),
                        n->unsupported.ptr);
    }
    *out = n->tensor;
    return VMT_OK;
}

uint32_t vmt_weight_file_count(const vmt_weight_file *file) {
    return file->num_tensors;
}

vmt_str vmt_weight_file_name(const vmt_weight_file *file, uint32_t tensor_idx) {
    VMT_ASSERT(tensor_idx < file->num_tensors);
    return file->tensors[tensor_idx].name;
}

const vmt_gguf *vmt_weight_file_gguf(const vmt_weight_file *file) {
    return file->shards[0].gguf;
}

uint64_t vmt_weight_file_bytes(const vmt_weight_file *file) {
    return file->bytes;
}

void vmt_weight_file_drop(const vmt_weight_file *file, const vmt_tensor *tensor) {
    for (uint32_t i = 0; i < file->num_shards; i++) {
        const vmt_map *map = &file->shards[i].map;
        if (map->data == tensor->buffer->host) vmt_map_drop(map, tensor->offset, vmt_tensor_bytes(tensor));
    }
}
