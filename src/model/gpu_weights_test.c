/* model/gpu_weights_test.c: tensors stay where the file has them, whatever the longest buffer; what can't is copied. */
#include "model/gpu_weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "backend/test_gpu.h"
#include "base/file.h"
#include "model/test_golden.h"

#define PAGE_BYTES 4096u /* the host driver's, or a part of them */

struct loaded {
    vmt_gpu *gpu;
    vmt_weight_file *file;
    vmt_model_config *config;
    vmt_gpu_weights weights;
    vmt_err err;
    vmt_status status;
};

static struct loaded load(vmt_test *t, const char *path, size_t buffer_bytes_max) {
    struct loaded l = {.gpu = vmt_test_gpu_open(t)};
    if (buffer_bytes_max > 0) l.gpu->caps.buffer_bytes_max = buffer_bytes_max;
    vmt_expect_eq(t, vmt_weight_file_open(&l.file, path, &l.err), VMT_OK);
    l.config = vmt_golden_config(t, vmt_golden_path(t, "llama", "config.json"), l.file);
    l.status = vmt_gpu_weights_load(&l.weights, l.config, l.file, l.gpu, VMT_BF16, &l.err);
    return l;
}

static void unload(struct loaded *l) {
    vmt_gpu_weights_reset(&l->weights);
    vmt_weight_file_close(l->file);
    vmt_gpu_close(l->gpu);
}

/* The view's bytes are the file's. */
static void expect_matrix(vmt_test *t, const struct loaded *l, const vmt_gpu_weight *w, const char *name) {
    vmt_tensor want;
    vmt_expect(t, vmt_weight_file_find(l->file, vmt_str_from(name), &want));
    vmt_expect(t, w->data.offset + vmt_tensor_bytes(&w->data) <= w->data.buffer->bytes);
    vmt_expect_eq(t, w->data.offset % vmt_gpu_weight_alignment(w), 0);
    vmt_expect_eq(t, vmt_tensor_bytes(&w->data), vmt_tensor_bytes(&want));
    vmt_expect(t, memcmp(vmt_tensor_data(&w->data), vmt_tensor_data(&want), vmt_tensor_bytes(&want)) == 0);
}

static void expect_all(vmt_test *t, const struct loaded *l) {
    if (l->status != VMT_OK) vmt_test_fail(t, __FILE__, __LINE__, "%s", l->err.msg);
    expect_matrix(t, l, &l->weights.embed, "model.embed_tokens.weight");
    expect_matrix(t, l, &l->weights.head.parts[0], "lm_head.weight");
    for (uint32_t i = 0; i < l->weights.num_layers; i++) {
        const vmt_gpu_layer *layer = &l->weights.layers[i];
        const struct {
            const vmt_gpu_weight *weight;
            const char *pattern;
        } matrices[] = {
            {&layer->qkv.parts[0], "model.layers.%u.self_attn.q_proj"},
            {&layer->qkv.parts[1], "model.layers.%u.self_attn.k_proj"},
            {&layer->qkv.parts[2], "model.layers.%u.self_attn.v_proj"},
            {&layer->o.parts[0], "model.layers.%u.self_attn.o_proj"},
            {&layer->gate_up.parts[0], "model.layers.%u.mlp.gate_proj"},
            {&layer->gate_up.parts[1], "model.layers.%u.mlp.up_proj"},
            {&layer->down.parts[0], "model.layers.%u.mlp.down_proj"},
        };
        char name[VMT_WEIGHT_NAME_MAX];
        for (size_t k = 0; k < VMT_COUNT(matrices); k++) {
            expect_matrix(t, l, matrices[k].weight, vmt_weight_map_name(matrices[k].pattern, i, ".weight", name));
        }
        vmt_tensor norm;
        float want[64];
        vmt_weight_map_name("model.layers.%u.input_layernorm", i, ".weight", name);
        vmt_expect(t, vmt_weight_file_find(l->file, vmt_str_from(name), &norm));
        vmt_dtype_get(norm.dtype)->dequantize(vmt_tensor_data(&norm), want, 64);
        vmt_expect(t, memcmp(vmt_tensor_data(&layer->attn_norm), want, sizeof want) == 0);
    }
}

static void the_file_is_wrapped_in_place(vmt_test *t) {
    struct loaded l = load(t, vmt_golden_path(t, "llama", ""), 0);
    expect_all(t, &l);
    vmt_expect_eq(t, l.weights.copied_bytes, 0);
    vmt_expect_eq(t, l.weights.num_views, 2); /* the file, and the block of norms */
    vmt_expect(t, l.weights.bytes > 100000);
    unload(&l);
}

static void views_are_cut_under_the_longest_buffer(vmt_test *t) {
    /* The largest tensor has 32 KB and may touch nine pages. */
    struct loaded l = load(t, vmt_golden_path(t, "llama", ""), 9 * PAGE_BYTES);
    expect_all(t, &l);
    vmt_expect(t, l.weights.num_views >= 5);
    for (uint32_t i = 0; i < l.weights.num_views; i++) {
        vmt_expect(t, l.weights.views[i].bytes <= 9 * PAGE_BYTES);
    }
    unload(&l);
    l = load(t, vmt_golden_path(t, "llama", ""), 4 * PAGE_BYTES);
    vmt_expect_eq(t, l.status, VMT_E_NO_MEMORY);
    vmt_expect(t, strstr(l.err.msg, "a weight of 32768 bytes, the longest buffer of") == l.err.msg);
    unload(&l);
}

/* The same file with a header longer by two spaces: no matrix lies where its kernel could load from. */
static void a_misplaced_matrix_is_copied(vmt_test *t) {
    vmt_buf in, out;
    vmt_buf_init(&in, 0);
    vmt_buf_init(&out, 0);
    vmt_expect_eq(t, vmt_file_read(&in, vmt_golden_path(t, "llama", "model.safetensors"), 1 << 20, NULL), VMT_OK);
    uint64_t header_bytes;
    memcpy(&header_bytes, in.ptr, sizeof header_bytes);
    uint64_t longer = header_bytes + 2;
    vmt_buf_append(&out, (vmt_str){(const char *)&longer, sizeof longer});
    vmt_buf_append(&out, (vmt_str){in.ptr + 8, header_bytes});
    vmt_buf_append_c(&out, "  ");
    vmt_buf_append(&out, (vmt_str){in.ptr + 8 + header_bytes, in.len - 8 - header_bytes});
    const char *base = getenv("TMPDIR");
    char path[256];
    snprintf(path, sizeof path, "%s/vmt_gpu_weights_XXXXXX.safetensors", base ? base : "/tmp");
    int fd = mkstemps(path, (int)strlen(".safetensors"));
    vmt_expect(t, fd >= 0 && write(fd, out.ptr, out.len) == (ssize_t)out.len);
    close(fd);
    struct loaded l = load(t, path, 0);
    expect_all(t, &l);
    vmt_expect(t, l.weights.copied_bytes > 100000);
    unload(&l);
    unlink(path);
    vmt_buf_free(&in);
    vmt_buf_free(&out);
}

static const vmt_test_case cases[] = {
    {"the_file_is_wrapped_in_place", the_file_is_wrapped_in_place},
    {"views_are_cut_under_the_longest_buffer", views_are_cut_under_the_longest_buffer},
    {"a_misplaced_matrix_is_copied", a_misplaced_matrix_is_copied},
    {NULL, NULL},
};
VMT_GPU_TEST_MAIN(cases)
