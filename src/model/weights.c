/* model/weights.c: see the header. */
#include "model/weights.h"
#include "base/arena.h"
#include "model/families.h"
#include <stdio.h>

#define VECTOR_BYTES_MAX ((size_t)1 << 30) /* norms and biases of the largest model are far below */
#define NAME_MAX_BYTES   192
#define BACKBONE_PREFIX  "model."

struct loader {
    vmt_weights *out;
    const vmt_model_config *config;
    const vmt_weight_names *names;
    size_t name_skip; /* bytes of the pattern's "model." that this file's names lack */
    const vmt_weight_file *file;
    vmt_backend *be;
    vmt_model_progress progress;
    uint64_t total_bytes;
    vmt_err *err;
};

/* One matrix of a linear layer. */
struct part {
    const char *pattern;
    uint32_t rows;
};

static const char *name_of(const struct loader *l, const char *pattern, uint32_t layer, const char *ending,
                           char out[NAME_MAX_BYTES]) {
    if (strncmp(pattern, BACKBONE_PREFIX, l->name_skip) == 0) pattern += l->name_skip;
    const char *mark = strstr(pattern, "%u");
    if (mark == NULL) {
        snprintf(out, NAME_MAX_BYTES, "%s%s", pattern, ending);
    } else {
        snprintf(out, NAME_MAX_BYTES, "%.*s%u%s%s", (int)(mark - pattern), pattern, layer, mark + 2, ending);
    }
    return out;
}

static vmt_status wrong_shape(struct loader *l, const char *name, const vmt_tensor *got, const char *want) {
    char text[96];
    return vmt_fail(l->err, VMT_E_INVALID, "%s is %s, expected %s", name,
                    vmt_tensor_describe(got, text, sizeof text), want);
}

static vmt_status get_matrix(struct loader *l, const char *name, uint32_t rows, uint32_t cols, vmt_tensor *out) {
    VMT_TRY(vmt_weight_file_get(l->file, vmt_str_from(name), out, l->err));
    if (out->ndim != 2 || out->shape[0] != rows || out->shape[1] != cols) {
        char want[48];
        snprintf(want, sizeof want, "[%u, %u]", rows, cols);
        return wrong_shape(l, name, out, want);
    }
    if (vmt_dtype_get(out->dtype)->dequantize == NULL) return wrong_shape(l, name, out, "a floating-point type");
    return VMT_OK;
}

/* Converts a vector to floats at dst[0..len). */
static vmt_status read_vector(struct loader *l, const char *name, uint32_t len, float *dst) {
    vmt_tensor t;
    VMT_TRY(vmt_weight_file_get(l->file, vmt_str_from(name), &t, l->err));
    const vmt_dtype_info *info = vmt_dtype_get(t.dtype);
    if (t.ndim != 1 || t.shape[0] != len || info->dequantize == NULL) {
        char want[48];
        snprintf(want, sizeof want, "[%u]", len);
        return wrong_shape(l, name, &t, want);
    }
    info->dequantize(vmt_tensor_data(&t), dst, len);
    l->out->bytes += vmt_tensor_bytes(&t);
    return VMT_OK;
}

static float *new_floats(struct loader *l, uint32_t count) {
    float *p = VMT_ARENA_NEW(l->out->arena, float, count);
    if (p == NULL) (void)vmt_fail(l->err, VMT_E_NO_MEMORY, "no memory for %u floats of norms and biases", count);
    return p;
}

static vmt_status load_vector(struct loader *l, const char *pattern, uint32_t layer, uint32_t len,
                              const float **out) {
    char name[NAME_MAX_BYTES];
    float *dst = new_floats(l, len);
    if (dst == NULL) return VMT_E_NO_MEMORY;
    *out = dst;
    return read_vector(l, name_of(l, pattern, layer, ".weight", name), len, dst);
}

/* parts[begin, end) share a dtype and become one weight. */
static vmt_status init_part(struct loader *l, vmt_linear *lin, const char *name, const vmt_tensor *tensors,
                            uint32_t begin, uint32_t end, bool keep_source) {
    vmt_err why = {0};
    bool packed = false;
    vmt_weight *w = &lin->parts[lin->num_parts];
    vmt_status status = vmt_weight_init(w, l->be, tensors + begin, end - begin, &packed, &why);
    if (status != VMT_OK) return vmt_fail(l->err, status, "%s: %s", name, why.msg);
    lin->num_parts++;
    for (uint32_t i = begin; i < end; i++) {
        l->out->bytes += vmt_tensor_bytes(&tensors[i]);
        if (packed && !keep_source) vmt_weight_file_drop(l->file, &tensors[i]);
    }
    if (l->progress.fn) l->progress.fn(l->progress.ctx, VMT_MIN(l->out->bytes, l->total_bytes), l->total_bytes);
    return VMT_OK;
}

static vmt_status load_linear(struct loader *l, vmt_linear *lin, uint32_t layer, const struct part *parts,
                              uint32_t num_parts, uint32_t cols, bool has_bias) {
    vmt_tensor tensors[VMT_LINEAR_PARTS_MAX];
    uint32_t row_begin[VMT_LINEAR_PARTS_MAX + 1] = {0};
    char name[NAME_MAX_BYTES];
    for (uint32_t i = 0; i < num_parts; i++) {
        name_of(l, parts[i].pattern, layer, ".weight", name);
        VMT_TRY(get_matrix(l, name, parts[i].rows, cols, &tensors[i]));
        row_begin[i + 1] = row_begin[i] + parts[i].rows;
    }
    lin->rows = row_begin[num_parts];
    lin->cols = cols;
    for (uint32_t i = 0, end; i < num_parts; i = end) {
        for (end = i + 1; end < num_parts && tensors[end].dtype == tensors[i].dtype;) end++;
        lin->row_begin[lin->num_parts] = row_begin[i];
        name_of(l, parts[i].pattern, layer, ".weight", name);
        bool is_embed = l->config->tied_head && lin == &l->out->head;
        VMT_TRY(init_part(l, lin, name, tensors, i, end, is_embed));
    }
    if (!has_bias) return VMT_OK;
    float *bias = new_floats(l, lin->rows);
    if (bias == NULL) return VMT_E_NO_MEMORY;
    lin->bias = bias;
    for (uint32_t i = 0; i < num_parts; i++) {
        name_of(l, parts[i].pattern, layer, ".bias", name);
        VMT_TRY(read_vector(l, name, parts[i].rows, bias + row_begin[i]));
    }
    return VMT_OK;
}

static vmt_status load_layer(struct loader *l, uint32_t i) {
    const vmt_model_config *c = l->config;
    const vmt_weight_names *n = l->names;
    vmt_layer *layer = &l->out->layers[i];
    uint32_t q_rows = c->num_heads * c->head_dim, kv_rows = c->num_kv_heads * c->head_dim;
    struct part q_k_v[] = {{n->q, q_rows}, {n->k, kv_rows}, {n->v, kv_rows}}, qkv = {n->qkv, q_rows + 2 * kv_rows};
    struct part gate_and_up[] = {{n->gate, c->intermediate}, {n->up, c->intermediate}};
    struct part gate_up = {n->gate_up, 2 * c->intermediate}, o = {n->o, c->hidden}, down = {n->down, c->hidden};

    VMT_TRY(load_vector(l, n->attn_norm, i, c->hidden, &layer->attn_norm));
    VMT_TRY(load_vector(l, n->mlp_norm, i, c->hidden, &layer->mlp_norm));
    if (c->qk_norm) {
        VMT_TRY(load_vector(l, n->q_norm, i, c->head_dim, &layer->q_norm));
        VMT_TRY(load_vector(l, n->k_norm, i, c->head_dim, &layer->k_norm));
    }
    VMT_TRY(load_linear(l, &layer->qkv, i, n->qkv ? &qkv : q_k_v, n->qkv ? 1 : 3, c->hidden, c->qkv_bias));
    VMT_TRY(load_linear(l, &layer->o, i, &o, 1, q_rows, c->o_bias));
    VMT_TRY(load_linear(l, &layer->gate_up, i, n->gate_up ? &gate_up : gate_and_up, n->gate_up ? 1 : 2, c->hidden,
                        c->mlp_bias));
    return load_linear(l, &layer->down, i, &down, 1, c->intermediate, c->mlp_bias);
}

static vmt_status load_ends(struct loader *l) {
    const vmt_model_config *c = l->config;
    char name[NAME_MAX_BYTES];
    vmt_weights *w = l->out;
    name_of(l, l->names->embed, 0, ".weight", name);
    VMT_TRY(get_matrix(l, name, c->vocab, c->hidden, &w->embed.src));
    w->embed.rows = c->vocab;
    w->embed.cols = c->hidden;
    if (!c->tied_head || c->headless) w->bytes += vmt_tensor_bytes(&w->embed.src);
    VMT_TRY(load_vector(l, l->names->final_norm, 0, c->hidden, &w->final_norm));
    if (c->headless) return VMT_OK;
    struct part head = {c->tied_head ? l->names->embed : l->names->head, c->vocab};
    return load_linear(l, &w->head, 0, &head, 1, c->hidden, false);
}

/* A checkpoint saved from the decoder without its head has no "model." before its names. */
static size_t name_skip(const struct loader *l) {
    char name[NAME_MAX_BYTES];
    vmt_tensor ignored;
    vmt_str full = vmt_str_from(name_of(l, l->names->embed, 0, ".weight", name));
    if (!vmt_str_starts(full, VMT_STR(BACKBONE_PREFIX))) return 0;
    if (vmt_weight_file_find(l->file, full, &ignored)) return 0;
    size_t skip = strlen(BACKBONE_PREFIX);
    vmt_str bare = vmt_str_slice(full, skip, full.len);
    return vmt_weight_file_find(l->file, bare, &ignored) ? skip : 0;
}

vmt_status vmt_weights_load(vmt_weights *out, const vmt_model_config *config, const vmt_weight_file *file,
                            vmt_backend *be, vmt_model_progress progress, vmt_err *err) {
    const vmt_family *family = config->family;
    struct loader l = {
        .out = out,
        .config = config,
        .names = vmt_weight_file_gguf(file) ? family->gguf_names : family->hf_names,
        .file = file,
        .be = be,
        .progress = progress,
        .total_bytes = vmt_weight_file_bytes(file),
        .err = err,
    };
    out->arena = vmt_arena_create(VECTOR_BYTES_MAX);
    if (out->arena != NULL) out->layers = VMT_ARENA_NEW(out->arena, vmt_layer, config->num_layers);
    if (out->layers == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for %u layers", config->num_layers);
    out->num_layers = config->num_layers;
    l.name_skip = name_skip(&l);
    for (uint32_t i = 0; i < config->num_layers; i++) VMT_TRY(load_layer(&l, i));
    VMT_TRY(load_ends(&l));
    if (progress.fn) progress.fn(progress.ctx, l.total_bytes, l.total_bytes);
    return VMT_OK;
}

static void reset_linear(vmt_linear *lin, vmt_backend *be) {
    for (uint32_t i = 0; i < lin->num_parts; i++) vmt_weight_reset(&lin->parts[i], be);
    lin->num_parts = 0;
}

void vmt_weights_reset(vmt_weights *weights, vmt_backend *be) {
    for (uint32_t i = 0; i < weights->num_layers; i++) {
        vmt_layer *layer = &weights->layers[i];
        reset_linear(&layer->qkv, be);
        reset_linear(&layer->o, be);
        reset_linear(&layer->gate_up, be);
        reset_linear(&layer->down, be);
    }
    reset_linear(&weights->head, be);
    vmt_arena_destroy(weights->arena);
    *weights = (vmt_weights){0};
}
