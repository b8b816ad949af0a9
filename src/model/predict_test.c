/* model/predict_test.c: what a step is said to do is what it does: exact counts of golden models, bytes by hand. */
#include "model/predict.h"

#include "backend/plan/plan_gpu.h"
#include "model/test_golden.h"

struct fixture {
    vmt_gpu *gpu;
    vmt_weight_file *file;
    vmt_model_config *config;
    vmt_gpu_weights weights;
};

static struct fixture open_golden(vmt_test *t, const char *family, const char *weights) {
    struct fixture f = {0};
    vmt_err err = {0};
    vmt_gpu_caps caps = {.name = "plan",
                         .is_unified = true,
                         .buffer_bytes_max = (size_t)1 << 30,
                         .working_set_bytes = (size_t)1 << 32,
                         .page_bytes = 4096};
    vmt_expect_eq(t, vmt_plan_gpu_open(&f.gpu, &caps, &err), VMT_OK);
    vmt_expect_eq(t, vmt_weight_file_open(&f.file, vmt_golden_path(t, family, weights), &err), VMT_OK);
    f.config = vmt_golden_config(t, vmt_golden_path(t, family, "config.json"), f.file);
    f.config->context_max = VMT_GOLDEN_CONTEXT;
    vmt_expect_eq(t, vmt_gpu_weights_load(&f.weights, f.config, f.file, f.gpu, VMT_F16, &err), VMT_OK);
    return f;
}

static void close_golden(struct fixture *f) {
    vmt_gpu_weights_reset(&f->weights);
    vmt_weight_file_close(f->file);
    vmt_gpu_close(f->gpu);
}

static uint64_t linear_bytes(const vmt_gpu_linear *l) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < l->num_parts; i++) bytes += vmt_matrix_bytes(&l->parts[i]);
    return bytes;
}

/* Each weight once, and a row of the embedding for each token. */
static uint64_t weight_bytes(const struct fixture *f, uint32_t num_tokens) {
    uint64_t bytes = linear_bytes(&f->weights.head);
    bytes += num_tokens * vmt_matrix_bytes(&f->weights.embed) / f->weights.embed.rows;
    for (uint32_t i = 0; i < f->weights.num_layers; i++) {
        const vmt_gpu_layer *l = &f->weights.layers[i];
        bytes += linear_bytes(&l->qkv) + linear_bytes(&l->o) + linear_bytes(&l->gate_up) + linear_bytes(&l->down);
    }
    return bytes;
}

/* Six dispatches a layer with fused norms, one more where contexts are cut, eight without fused norms; tokens,
 * embedding, angles, the gather of logit rows, the head, and two of the draw. */
static void counts_are_exact(vmt_test *t) {
    static const struct {
        uint32_t batch_size, context, layer, others;
    } steps[] = {{1, 100, 6, 7}, {1, 400, 7, 7}, {2, 128, 8, 8}, {16, 400, 9, 8}, {32, 100, 8, 8}};
    for (size_t i = 0; i < VMT_GOLDEN_FAMILIES; i++) {
        struct fixture f = open_golden(t, vmt_golden_families[i], "");
        for (size_t k = 0; k < VMT_COUNT(steps); k++) {
            vmt_gpu_predict_options options = {steps[k].batch_size, steps[k].context, 100, 64};
            vmt_gpu_predicted_work decode, prefill;
            vmt_err err = {0};
            const vmt_chip *chip = vmt_chip_find(VMT_STR("M4-Max"));
            if (vmt_gpu_predict(f.config, &f.weights, chip, &options, &decode, &prefill, &err) != VMT_OK) {
                vmt_test_fail(t, __FILE__, __LINE__, "%s", err.msg);
            }
            uint32_t want = steps[k].layer * f.config->num_layers + steps[k].others;
            vmt_expect_eq(t, decode.cost.num_dispatches, want);
            vmt_expect_eq(t, decode.layer_dispatches, steps[k].layer);
            vmt_expect_eq(t, decode.other_dispatches, steps[k].others);
            vmt_expect(t, decode.cost.num_barriers > 0 && decode.cost.num_barriers < want);
            vmt_expect_eq(t, prefill.num_steps, 2);
            vmt_expect(t, prefill.layer_dispatches <= 8);
        }
        close_golden(&f);
    }
}

static void bytes_are_those_of_weights_and_cache(vmt_test *t) {
    struct fixture f = open_golden(t, "qwen3", "");
    vmt_gpu_predict_options options = {2, 300, 100, 64};
    vmt_gpu_predicted_work decode, prefill;
    vmt_err err = {0};
    const vmt_chip *chip = vmt_chip_find(VMT_STR("M1"));
    vmt_expect_eq(t, vmt_gpu_predict(f.config, &f.weights, chip, &options, &decode, &prefill, &err), VMT_OK);
    uint64_t key_bytes = 2 * 2 * (uint64_t)f.config->num_kv_heads * f.config->head_dim * f.config->num_layers;
    vmt_expect_eq(t, decode.kv_bytes, 2 * 300 * key_bytes);
    /* The program for few rows is recorded for 16 tokens: their rows of the embedding. */
    vmt_expect_eq(t, decode.cost.bytes, decode.kv_bytes + weight_bytes(&f, 16));
    vmt_expect_eq(t, decode.cost.flops, 0);
    vmt_expect_eq(t, prefill.kv_bytes, (64 + 100) * key_bytes);
    vmt_expect(t, prefill.cost.flops > 2 * 100 * f.config->num_layers * (uint64_t)f.config->hidden);
    vmt_expect_near(t, decode.time.ceiling_ns, (double)decode.cost.bytes / chip->gb_per_s, 1e-6);
    vmt_expect(t, decode.time.total_ns > decode.time.ceiling_ns);
    close_golden(&f);
}

static void windows_bound_what_is_read(vmt_test *t) {
    struct fixture f = open_golden(t, "mistral", "");
    uint32_t window = f.config->sliding_window;
    vmt_expect(t, window > 0 && window < 300);
    vmt_gpu_predict_options options = {1, 300, 300, 300};
    vmt_gpu_predicted_work decode, prefill;
    vmt_err err = {0};
    vmt_expect_eq(
        t, vmt_gpu_predict(f.config, &f.weights, vmt_chip_find(VMT_STR("M1")), &options, &decode, &prefill, &err),
        VMT_OK);
    uint64_t key_bytes = 2 * 2 * (uint64_t)f.config->num_kv_heads * f.config->head_dim * f.config->num_layers;
    vmt_expect_eq(t, decode.kv_bytes, window * key_bytes);
    vmt_expect_eq(t, prefill.kv_bytes, 300 * key_bytes);
    close_golden(&f);
}

static void names_the_option_that_can_not_be(vmt_test *t) {
    struct fixture f = open_golden(t, "llama", "");
    vmt_gpu_predict_options options = {1, 1 << 28, 100, 64};
    vmt_gpu_predicted_work decode, prefill;
    vmt_err err = {0};
    vmt_expect_eq(
        t, vmt_gpu_predict(f.config, &f.weights, vmt_chip_find(VMT_STR("M1")), &options, &decode, &prefill, &err),
        VMT_E_INVALID);
    vmt_expect(t, strstr(err.msg, "a context of 268435456; it can be 1 to ") != NULL);
    close_golden(&f);
}

static const vmt_test_case cases[] = {
    {"counts_are_exact", counts_are_exact},
    {"bytes_are_those_of_weights_and_cache", bytes_are_those_of_weights_and_cache},
    {"windows_bound_what_is_read", windows_bound_what_is_read},
    {"names_the_option_that_can_not_be", names_the_option_that_can_not_be},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
