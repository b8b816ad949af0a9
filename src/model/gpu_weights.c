/* model/gpu_weights.c: see the header.
 *
 * Three passes: find every tensor and check its shape, noting what must be copied and where into the block; fill the
 * block; wrap file and block, and point the tensors into the views. */
#include "model/gpu_weights.h"
#include "base/checked.h"

#include <stdlib.h>

#define BLOCK_ALIGN 256u

/* A tensor of the file that goes into the block. */
struct copy {
    vmt_tensor from;
    size_t offset;
    bool to_floats;
};

struct loader {
    vmt_gpu_weights *out;
    const vmt_model_config *config;
    const vmt_weight_names *names;
    const vmt_weight_file *file;
    vmt_tensor **tensors; /* [num_tensors] all that will be pointed into views */
    struct copy *copies;  /* [num_copies] */
    uint32_t num_tensors, num_copies, tensors_max;
    size_t block_bytes;
    vmt_err *err;
};

/* ---- pass 1: find */

static void note(struct loader *l, vmt_tensor *t) {
    VMT_ASSERT(l->num_tensors < l->tensors_max);
    l->tensors[l->num_tensors++] = t;
}

/* Room in the block for so many bytes. */
static size_t reserve(struct loader *l, size_t bytes) {
    size_t offset = l->block_bytes;
    l->block_bytes += (bytes + BLOCK_ALIGN - 1) & ~(size_t)(BLOCK_ALIGN - 1);
    return offset;
}

static void copy_tensor(struct loader *l, const vmt_tensor *from, size_t offset, bool to_floats) {
    VMT_ASSERT(l->num_copies < l->tensors_max);
    l->copies[l->num_copies++] = (struct copy){*from, offset, to_floats};
}

static vmt_tensor floats_at(struct loader *l, uint32_t len) {
    size_t offset = reserve(l, len * sizeof(float));
    return (vmt_tensor){&l->out->block, offset, VMT_F32, 1, {len}};
}

/* A vector, converted to floats at dst. */
static vmt_status find_vector(struct loader *l, const char *name, uint32_t len, size_t offset) {
    vmt_tensor t;
    VMT_TRY(vmt_weight_map_vector(l->file, name, len, &t, l->err));
    copy_tensor(l, &t, offset, true);
    l->out->bytes += vmt_tensor_bytes(&t);
    return VMT_OK;
}

static vmt_status find_norm(struct loader *l, const char *pattern, uint32_t layer, uint32_t len, vmt_tensor *out) {
    char name[VMT_WEIGHT_NAME_MAX];
    *out = floats_at(l, len);
    note(l, out);
    return find_vector(l, vmt_weight_map_name(pattern, layer, ".weight", name), len, out->offset);
}

static void move_if_misplaced(struct loader *l, vmt_tensor *t, uint32_t alignment) {
    if (t->buffer == NULL) return;
    if (t->offset % alignment != 0) {
        /* A .safetensors file begins its tensors at any byte, and a kernel's loads are that wide. */
        vmt_tensor from = *t;
        size_t bytes = vmt_tensor_bytes(t);
        t->offset = reserve(l, bytes);
        t->buffer = &l->out->block;
        copy_tensor(l, &from, t->offset, false);
        l->out->copied_bytes += bytes;
    }
    note(l, t);
}

static vmt_status find_matrix(struct loader *l, const char *name, uint32_t rows, uint32_t cols,
                              vmt_gpu_weight *out) {
    VMT_TRY(vmt_weight_map_matrix(l->file, name, rows, cols, out, l->err));
    l->out->bytes += vmt_matrix_bytes(out);
    return VMT_OK;
}

static vmt_status place_matrix(struct loader *l, const char *name, vmt_gpu_weight *w) {
    uint32_t alignment = vmt_gpu_weight_alignment(w);
    move_if_misplaced(l, &w->data, alignment);
    move_if_misplaced(l, &w->scales, 4);
    move_if_misplaced(l, &w->biases, 4);
    vmt_err why = {0};
    vmt_status status = vmt_gpu_weight_check(w, l->out->type, &why);
    return status == VMT_OK ? VMT_OK : vmt_fail(l->err, status, "%s: %s", name, why.msg);
}

static void keep_rows(vmt_tensor *t, uint32_t begin, uint32_t num_rows) {
    if (t->buffer == NULL) return;
    size_t row_bytes = vmt_tensor_bytes(t) / t->shape[0];
    t->offset += begin * row_bytes;
    t->shape[0] = num_rows;
}

static vmt_gpu_weight rows_of(vmt_gpu_weight w, uint32_t begin, uint32_t num_rows) {
    keep_rows(&w.data, begin, num_rows);
    keep_rows(&w.scales, begin, num_rows);
    keep_rows(&w.biases, begin, num_rows);
    w.rows = num_rows;
    return w;
}

/* num_halves 2: a matrix that stands for two with half the rows each. */
static vmt_status find_linear(struct loader *l, vmt_gpu_linear *lin, uint32_t layer, const vmt_linear_shape *shape,
                              uint32_t num_halves) {
    char name[VMT_WEIGHT_NAME_MAX];
    uint32_t num_rows = 0;
    for (uint32_t i = 0; i < shape->num_parts; i++) {
        const vmt_linear_part *part = &shape->parts[i];
        vmt_gpu_weight whole;
        vmt_weight_map_name(part->pattern, layer, ".weight", name);
        VMT_TRY(find_matrix(l, name, part->rows, shape->cols, &whole));
        uint32_t num_pieces = shape->num_parts == 1 ? num_halves : 1, piece_rows = part->rows / num_pieces;
        for (uint32_t k = 0; k < num_pieces; k++) {
            vmt_gpu_weight *w = &lin->parts[lin->num_parts++];
            *w = rows_of(whole, k * piece_rows, piece_rows);
            VMT_TRY(place_matrix(l, name, w));
        }
        num_rows += part->rows;
    }
    if (!shape->has_bias) return VMT_OK;
    lin->bias = floats_at(l, num_rows);
    note(l, &lin->bias);
    size_t offset = lin->bias.offset;
    for (uint32_t i = 0; i < shape->num_parts; i++) {
        vmt_weight_map_name(shape->parts[i].pattern, layer, ".bias", name);
        VMT_TRY(find_vector(l, name, shape->parts[i].rows, offset));
        offset += shape->parts[i].rows * sizeof(float);
    }
    return VMT_OK;
}

static vmt_status find_layer(struct loader *l, uint32_t i) {
    const vmt_model_config *c = l->config;
    const vmt_weight_names *n = l->names;
    vmt_gpu_layer *layer = &l->out->layers[i];
    vmt_layer_shape shape = vmt_weight_map_layer(c, n);
    VMT_TRY(find_norm(l, n->attn_norm, i, c->hidden, &layer->attn_norm));
    VMT_TRY(find_norm(l, n->mlp_norm, i, c->hidden, &layer->mlp_norm));
    if (c->qk_norm) {
        VMT_TRY(find_norm(l, n->q_norm, i, c->head_dim, &layer->q_norm));
        VMT_TRY(find_norm(l, n->k_norm, i, c->head_dim, &layer->k_norm));
    }
    VMT_TRY(find_linear(l, &layer->qkv, i, &shape.qkv, 1));
    VMT_TRY(find_linear(l, &layer->o, i, &shape.o, 1));
    VMT_TRY(find_linear(l, &layer->gate_up, i, &shape.gate_up, 2));
    return find_linear(l, &layer->down, i, &shape.down, 1);
}

static vmt_status find_all(struct loader *l) {
    const vmt_model_config *c = l->config;
    char name[VMT_WEIGHT_NAME_MAX];
    vmt_gpu_weights *w = l->out;
    vmt_weight_map_name(l->names->embed, 0, ".weight", name);
    VMT_TRY(find_matrix(l, name, c->vocab, c->hidden, &w->embed));
    VMT_TRY(place_matrix(l, name, &w->embed));
    VMT_TRY(find_norm(l, l->names->final_norm, 0, c->hidden, &w->final_norm));
    for (uint32_t i = 0; i < c->num_layers; i++) VMT_TRY(find_layer(l, i));
    if (c->headless) return VMT_OK;
    if (c->tied_head) {
        w->head = (vmt_gpu_linear){.parts = {w->embed}, .num_parts = 1};
        note(l, &w->head.parts[0].data);
        if (w->embed.scales.buffer) note(l, &w->head.parts[0].scales);
        if (w->embed.biases.buffer) note(l, &w->head.parts[0].biases);
        return VMT_OK;
    }
    vmt_linear_shape head = vmt_weight_map_head(c, l->names);
    return find_linear(l, &w->head, 0, &head, 1);
}

/* ---- pass 2: copy */

static vmt_status fill_block(struct loader *l) {
    vmt_gpu_weights *w = l->out;
    size_t page = w->gpu->caps.page_bytes, bytes = (l->block_bytes + page) / page * page; /* never empty */
    w->block.host = aligned_alloc(page, bytes);
    if (w->block.host == NULL) {
        return vmt_fail(l->err, VMT_E_NO_MEMORY, "no memory for %zu bytes of copied weights", bytes);
    }
    w->block.bytes = bytes;
    memset(w->block.host + l->block_bytes, 0, bytes - l->block_bytes);
    for (uint32_t i = 0; i < l->num_copies; i++) {
        const struct copy *c = &l->copies[i];
        uint8_t *to = w->block.host + c->offset;
        if (c->to_floats) {
            vmt_dtype_get(c->from.dtype)
                ->dequantize(vmt_tensor_data(&c->from), (float *)(void *)to, vmt_tensor_elems(&c->from));
        } else {
            memcpy(to, vmt_tensor_data(&c->from), vmt_tensor_bytes(&c->from));
            vmt_weight_file_drop(l->file, &c->from);
        }
    }
    return VMT_OK;
}

/* ---- pass 3: wrap */

static int by_place(const void *a, const void *b) {
    const vmt_tensor *x = *(vmt_tensor *const *)a, *y = *(vmt_tensor *const *)b;
    if (x->buffer != y->buffer) return (uintptr_t)x->buffer < (uintptr_t)y->buffer ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* How many of tensors [begin, num_tensors), in order of place, one view holds; where it begins and ends. */
static uint32_t plan_view(const struct loader *l, uint32_t begin, size_t *first_byte, size_t *last_byte) {
    const vmt_gpu_caps *caps = &l->out->gpu->caps;
    const vmt_tensor *first = l->tensors[begin];
    size_t page = caps->page_bytes;
    *first_byte = first->offset / page * page;
    *last_byte = *first_byte;
    uint32_t n = 0;
    for (uint32_t i = begin; i < l->num_tensors && l->tensors[i]->buffer == first->buffer; i++, n++) {
        size_t end = (l->tensors[i]->offset + vmt_tensor_bytes(l->tensors[i]) + page - 1) / page * page;
        if (end - *first_byte > caps->buffer_bytes_max) break;
        *last_byte = VMT_MAX(*last_byte, end);
    }
    return n;
}

static vmt_status wrap_all(struct loader *l) {
    vmt_gpu_weights *w = l->out;
    qsort(l->tensors, l->num_tensors, sizeof *l->tensors, by_place);
    w->views = calloc(l->num_tensors, sizeof *w->views); /* at most one each */
    if (w->views == NULL) return vmt_fail(l->err, VMT_E_NO_MEMORY, "no memory for %u views", l->num_tensors);
    for (uint32_t i = 0, n; i < l->num_tensors; i += n) {
        size_t begin, end;
        const vmt_buffer *source = l->tensors[i]->buffer;
        n = plan_view(l, i, &begin, &end);
        if (n == 0) {
            return vmt_fail(l->err, VMT_E_NO_MEMORY, "a weight of %zu bytes, the longest buffer of %s is %zu",
                            vmt_tensor_bytes(l->tensors[i]), w->gpu->caps.name, w->gpu->caps.buffer_bytes_max);
        }
        vmt_buffer *view = &w->views[w->num_views];
        VMT_TRY(vmt_gpu_wrap(w->gpu, view, source->host + begin, end - begin, l->err));
        w->num_views++;
        for (uint32_t k = i; k < i + n; k++) {
            l->tensors[k]->buffer = view;
            l->tensors[k]->offset -= begin;
        }
    }
    return VMT_OK;
}

/* ---- verbs */

/* Quantized files compute in half precision; MLX says its type in the scales, which config.json repeats. */
static vmt_dtype type_of(const vmt_model_config *config) {
    return config->dtype == VMT_F32 || config->dtype == VMT_BF16 ? config->dtype : VMT_F16;
}

static vmt_status load(struct loader *l) {
    VMT_TRY(find_all(l));
    VMT_TRY(fill_block(l));
    return wrap_all(l);
}

vmt_status vmt_gpu_weights_load(vmt_gpu_weights *out, const vmt_model_config *config, const vmt_weight_file *file,
                                vmt_gpu *gpu, vmt_dtype type, vmt_err *err) {
    struct loader l = {
        .out = out,
        .config = config,
        .names = vmt_weight_map_names(config, file),
        .file = file,
        .tensors_max =
            64 + config->num_layers * 48, /* 4 linear layers of up to 3 parts, 3 tensors each; vectors */
        .err = err,
    };
    out->gpu = gpu;
    out->type = type != VMT_NUM_DTYPES ? type : type_of(config);
    out->num_layers = config->num_layers;
    out->layers = calloc(config->num_layers, sizeof *out->layers);
    l.tensors = calloc(l.tensors_max, sizeof(vmt_tensor *));
    l.copies = calloc(l.tensors_max, sizeof *l.copies);
    vmt_status status = VMT_E_NO_MEMORY;
    if (out->layers && l.tensors && l.copies) {
        status = load(&l);
    } else {
        status = vmt_fail(err, status, "no memory for %u layers", config->num_layers);
    }
    free(l.tensors);
    free(l.copies);
    return status;
}

void vmt_gpu_weights_reset(vmt_gpu_weights *weights) {
    for (uint32_t i = 0; i < weights->num_views; i++) vmt_gpu_release(weights->gpu, &weights->views[i]);
    free(weights->views);
    free(weights->layers);
    free(weights->block.host);
    *weights = (vmt_gpu_weights){0};
}
