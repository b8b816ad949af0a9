/* model/weights.c: see the header. */
#include "model/weights.h"
#include "base/arena.h"

#define VECTOR_BYTES_MAX ((size_t)1 << 30) /* norms and biases of the largest model are far below */

struct loader {
    vmt_weights *out;
    const vmt_model_config *config;
    const vmt_weight_names *names;
    const vmt_weight_file *file;
    vmt_backend *be;
    vmt_model_progress progress;
    uint64_t total_bytes;
    vmt_err *err;
};

/* Converts a vector to floats at dst[0..len). */
static vmt_status read_vector(struct loader *l, const char *name, uint32_t len, float *dst) {
    vmt_tensor t;
    VMT_TRY(vmt_weight_map_vector(l->file, name, len, &t, l->err));
    vmt_dtype_get(t.dtype)->dequantize(vmt_tensor_data(&t), dst, len);
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
    char name[VMT_WEIGHT_NAME_MAX];
    float *dst = new_floats(l, len);
    if (dst == NULL) return VMT_E_NO_MEMORY;
    *out = dst;
    return read_vector(l, vmt_weight_map_name(pattern, layer, ".weight", name), len, dst);
}

static void drop_source(struct loader *l, const vmt_matrix *m) {
    vmt_weight_file_drop(l->file, &m->data);
    if (m->scales.buffer != NULL) vmt_weight_file_drop(l->file, &m->scales);
    if (m->biases.buffer != NULL) vmt_weight_file_drop(l->file, &m->biases);
}

/* matrices[begin, end) are packed from one dtype and become one weight. */
static vmt_status init_part(struct loader *l, vmt_linear *lin, const char *name, const vmt_matrix *matrices,
                            uint32_t begin, uint32_t end, bool keep_source) {
    vmt_err why = {0};
    bool packed = false;
    vmt_weight *w = &lin->parts[lin->num_parts];
    vmt_status status = vmt_weight_init_matrices(w, l->be, matrices + begin, end - begin, &packed, &why);
    if (status != VMT_OK) return vmt_fail(l->err, status, "%s: %s", name, why.msg);
    lin->num_parts++;
    for (uint32_t i = begin; i < end; i++) {
        l->out->bytes += vmt_matrix_bytes(&matrices[i]);
        if (packed && !keep_source) drop_source(l, &matrices[i]);
    }
    if (l->progress.fn) l->progress.fn(l->progress.ctx, VMT_MIN(l->out->bytes, l->total_bytes), l->total_bytes);
    return VMT_OK;
}

static vmt_status load_linear(struct loader *l, vmt_linear *lin, uint32_t layer, const vmt_linear_shape *shape) {
    vmt_matrix matrices[VMT_LINEAR_PARTS_MAX];
    uint32_t row_begin[VMT_LINEAR_PARTS_MAX + 1] = {0}, num_parts = shape->num_parts;
    char name[VMT_WEIGHT_NAME_MAX];
    for (uint32_t i = 0; i < num_parts; i++) {
        vmt_weight_map_name(shape->parts[i].pattern, layer, ".weight", name);
        VMT_TRY(vmt_weight_map_matrix(l->file, name, shape->parts[i].rows, shape->cols, &matrices[i], l->err));
        row_begin[i + 1] = row_begin[i] + shape->parts[i].rows;
    }
    lin->rows = row_begin[num_parts];
    lin->cols = shape->cols;
    for (uint32_t i = 0, end; i < num_parts; i = end) {
        vmt_dtype dtype = vmt_weight_dtype(&matrices[i]);
        for (end = i + 1; end < num_parts && vmt_weight_dtype(&matrices[end]) == dtype;) end++;
        lin->row_begin[lin->num_parts] = row_begin[i];
        vmt_weight_map_name(shape->parts[i].pattern, layer, ".weight", name);
        bool is_embed = l->config->tied_head && lin == &l->out->head;
        VMT_TRY(init_part(l, lin, name, matrices, i, end, is_embed));
    }
    if (!shape->has_bias) return VMT_OK;
    float *bias = new_floats(l, lin->rows);
    if (bias == NULL) return VMT_E_NO_MEMORY;
    lin->bias = bias;
    for (uint32_t i = 0; i < num_parts; i++) {
        vmt_weight_map_name(shape->parts[i].pattern, layer, ".bias", name);
        VMT_TRY(read_vector(l, name, shape->parts[i].rows, bias + row_begin[i]));
    }
    return VMT_OK;
}

static vmt_status load_layer(struct loader *l, uint32_t i) {
    const vmt_model_config *c = l->config;
    const vmt_weight_names *n = l->names;
    vmt_layer *layer = &l->out->layers[i];
    vmt_layer_shape shape = vmt_weight_map_layer(c, n);
    VMT_TRY(load_vector(l, n->attn_norm, i, c->hidden, &layer->attn_norm));
    VMT_TRY(load_vector(l, n->mlp_norm, i, c->hidden, &layer->mlp_norm));
    if (c->qk_norm) {
        VMT_TRY(load_vector(l, n->q_norm, i, c->head_dim, &layer->q_norm));
        VMT_TRY(load_vector(l, n->k_norm, i, c->head_dim, &layer->k_norm));
    }
    VMT_TRY(load_linear(l, &layer->qkv, i, &shape.qkv));
    VMT_TRY(load_linear(l, &layer->o, i, &shape.o));
    VMT_TRY(load_linear(l, &layer->gate_up, i, &shape.gate_up));
    return load_linear(l, &layer->down, i, &shape.down);
}

static vmt_status load_ends(struct loader *l) {
    const vmt_model_config *c = l->config;
    char name[VMT_WEIGHT_NAME_MAX];
    vmt_weights *w = l->out;
    vmt_weight_map_name(l->names->embed, 0, ".weight", name);
    VMT_TRY(vmt_weight_map_matrix(l->file, name, c->vocab, c->hidden, &w->embed.src, l->err));
    w->embed.rows = c->vocab;
    w->embed.cols = c->hidden;
    if (!c->tied_head || c->headless) w->bytes += vmt_matrix_bytes(&w->embed.src);
    VMT_TRY(load_vector(l, l->names->final_norm, 0, c->hidden, &w->final_norm));
    if (c->headless) return VMT_OK;
    vmt_linear_shape head = vmt_weight_map_head(c, l->names);
    return load_linear(l, &w->head, 0, &head);
}

vmt_status vmt_weights_load(vmt_weights *out, const vmt_model_config *config, const vmt_weight_file *file,
                            vmt_backend *be, vmt_model_progress progress, vmt_err *err) {
    struct loader l = {
        .out = out,
        .config = config,
        .names = vmt_weight_map_names(config, file),
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
