/* model/test_golden.c: see the header. */
#include "model/test_golden.h"
#include "base/buf.h"
#include "base/file.h"

const char *const vmt_golden_families[VMT_GOLDEN_FAMILIES] = {"llama", "llama_tied", "mistral", "qwen2",
                                                              "qwen3", "phi3",       "granite", "smollm3"};

vmt_str vmt_golden_read(vmt_test *t, const char *path) {
    vmt_buf buf;
    vmt_err err = {0};
    vmt_buf_init(&buf, 0);
    if (vmt_file_read(&buf, path, (size_t)1 << 28, &err) != VMT_OK)
        vmt_test_fail(t, __FILE__, __LINE__, "%s", err.msg);
    vmt_str copy = vmt_arena_dup(t->arena, vmt_buf_str(&buf));
    vmt_buf_free(&buf);
    return copy;
}

vmt_json_doc *vmt_golden_parse(vmt_test *t, const char *path) {
    vmt_json_doc *doc;
    vmt_expect_eq(t, vmt_json_parse(&doc, vmt_golden_read(t, path), NULL), VMT_OK);
    return doc;
}

uint32_t vmt_golden_ids(vmt_test *t, vmt_json list, int32_t *out, uint32_t max) {
    uint32_t n = 0;
    vmt_json v;
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, NULL, &v); n++) {
        int64_t id = 0;
        vmt_expect(t, n < max && vmt_json_get_i64(v, &id));
        out[n] = (int32_t)id;
    }
    return n;
}

const char *vmt_golden_path(vmt_test *t, const char *family, const char *file) {
    return vmt_arena_printf(t->arena, VMT_GOLDEN "%s/%s", family, file).ptr;
}

vmt_golden vmt_golden_load(vmt_test *t, const char *family) {
    vmt_golden g = {0};
    vmt_json_doc *doc = vmt_golden_parse(t, vmt_golden_path(t, family, "expected.json"));
    vmt_json root = vmt_json_root(doc);
    g.prompt_len = vmt_golden_ids(t, VMT_JSON_AT(root, "prompt"), g.prompt, VMT_GOLDEN_CONTEXT);
    g.greedy_len = vmt_golden_ids(t, VMT_JSON_AT(root, "greedy"), g.greedy, VMT_GOLDEN_GREEDY_MAX);
    vmt_json_doc_destroy(doc);
    vmt_str raw = vmt_golden_read(t, vmt_golden_path(t, family, "logits.bin"));
    vmt_expect_eq(t, raw.len % (g.prompt_len * sizeof(float)), 0);
    float *logits = vmt_arena_alloc(t->arena, raw.len);
    memcpy(logits, raw.ptr, raw.len);
    g.logits = logits;
    return g;
}

vmt_model_config *vmt_golden_config(vmt_test *t, const char *config_path, const vmt_weight_file *file) {
    vmt_model_config *config = VMT_ARENA_NEW(t->arena, vmt_model_config, 1);
    vmt_err err = {0};
    vmt_status status;
    if (vmt_weight_file_gguf(file) != NULL) {
        status = vmt_model_config_from_gguf(config, vmt_weight_file_gguf(file), &err);
    } else {
        vmt_json_doc *doc = vmt_golden_parse(t, config_path);
        status = vmt_model_config_from_json(config, vmt_json_root(doc), &err);
        vmt_json_doc_destroy(doc);
    }
    if (status != VMT_OK) vmt_test_fail(t, __FILE__, __LINE__, "%s", err.msg);
    return config;
}
