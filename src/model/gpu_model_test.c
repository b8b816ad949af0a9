/* model/gpu_model_test.c: whole models on a GPU against transformers (tests/golden), and what a step dispatches.
 *
 * Takes the driver's name as its first argument ("host" unless given). */
#include "model/gpu_decoder.h"
#include "model/model.h"

#include <math.h>

#include "backend/test_gpu.h"
#include "base/file.h"
#include "base/log.h"
#include "model/test_golden.h"

#define BLOCK_SIZE 16u
#define SEQS_MAX   4u
#define CONTEXT    256u
#define TOKENS_MAX 64u
#define STRIDE     (CONTEXT / BLOCK_SIZE)
#define TIMEOUT_NS UINT64_C(120000000000)

/* Memory as of a card of its own: logits come to the host piece by piece. */
static bool is_apart;
/* As where a vendor's library multiplies plain matrices: the kernel does what it would. */
static bool has_library;
/* Hidden states instead of logits. */
static bool is_headless;

/* Kernels whose names begin so are distrusted. */
static const char *const *distrusted;

static void distrust(vmt_gpu *gpu) {
    vmt_log_set_level(VMT_LOG_ERROR); /* each is a warning */
    for (const char *const *name = distrusted; name != NULL && *name != NULL; name++) {
        for (uint32_t i = 0; i < vmt_kernel_count(); i++) {
            const vmt_kernel *kernel = vmt_kernel_at(i);
            if (strncmp(kernel->name, *name, strlen(*name)) == 0)
                vmt_gpu_distrust(gpu, kernel, "the test says so");
        }
    }
}

struct model {
    vmt_test *t;
    vmt_gpu *gpu;
    vmt_weight_file *file;
    vmt_model *model;
    vmt_runner runner;
};

static const vmt_model_config *config_of(vmt_test *t, const char *family, const vmt_weight_file *file) {
    vmt_model_config *config = vmt_golden_config(t, vmt_golden_path(t, family, "config.json"), file);
    config->headless = is_headless;
    return config;
}

static struct model open_model(vmt_test *t, const char *family, const char *weights, vmt_dtype type,
                               vmt_dtype kv_dtype) {
    struct model m = {.t = t, .gpu = vmt_test_gpu_open(t)};
    m.gpu->caps.is_unified = m.gpu->caps.is_unified && !is_apart;
    m.gpu->caps.has_gemm = m.gpu->caps.has_gemm || has_library;
    distrust(m.gpu);
    vmt_err err = {0};
    vmt_model_kv_options options = {
        .block_size = BLOCK_SIZE,
        .dtype = kv_dtype,
        .num_blocks = SEQS_MAX * STRIDE + 1,
        .tokens_max = TOKENS_MAX,
        .logits_max = TOKENS_MAX,
        .context_max = CONTEXT,
        .seqs_max = SEQS_MAX,
        .step_timeout_ns = TIMEOUT_NS,
    };
    if (vmt_weight_file_open(&m.file, vmt_golden_path(t, family, weights), &err) != VMT_OK ||
        vmt_model_open_gpu(&m.model, config_of(t, family, m.file), m.file, m.gpu, type, &err) != VMT_OK ||
        vmt_model_kv_create(m.model, &options, &err) != VMT_OK) {
        vmt_test_fail(t, __FILE__, __LINE__, "%s: %s", family, err.msg);
    }
    m.runner = vmt_model_runner(m.model);
    return m;
}

static void close_model(struct model *m) {
    vmt_model_close(m->model);
    vmt_weight_file_close(m->file);
    vmt_gpu_close(m->gpu);
}

struct seq { /* the next tokens of a sequence that lives in a fixed slice of the cache */
    uint32_t slot, begin, end;
    const int32_t *ids; /* all of its tokens; NULL: one token, which the step before sampled as `source` */
    int32_t source;
};

/* Launches a step with logits of the last num_last rows of each sequence, and greedy samples of the last ones. */
static void launch(struct model *m, const struct seq *seqs, uint32_t num_seqs, uint32_t num_last) {
    int32_t ids[TOKENS_MAX], sources[TOKENS_MAX], positions[TOKENS_MAX], slots[TOKENS_MAX],
        tables[SEQS_MAX * STRIDE];
    uint32_t cu[SEQS_MAX + 1], lens[SEQS_MAX], rows[TOKENS_MAX], n = 0, num_rows = 0;
    vmt_row_sample samples[SEQS_MAX];
    for (uint32_t s = 0; s < num_seqs; s++) {
        for (uint32_t i = 0; i < STRIDE; i++) { /* a slice's blocks, last first */
            tables[s * STRIDE + i] = (int32_t)((seqs[s].slot + 1) * STRIDE - i);
        }
        cu[s] = n;
        lens[s] = seqs[s].end;
        for (uint32_t p = seqs[s].begin; p < seqs[s].end; p++, n++) {
            vmt_expect(m->t, n < TOKENS_MAX);
            ids[n] = seqs[s].ids ? seqs[s].ids[p] : 0;
            sources[n] = seqs[s].ids ? -1 : seqs[s].source;
            positions[n] = (int32_t)p;
            slots[n] = tables[s * STRIDE + p / BLOCK_SIZE] * (int32_t)BLOCK_SIZE + (int32_t)(p % BLOCK_SIZE);
            if (p + num_last >= seqs[s].end) rows[num_rows++] = n;
        }
        samples[s] = (vmt_row_sample){.logit_row = num_rows - 1, .mask = -1, .allowed = -1, .top_p = 1};
    }
    cu[num_seqs] = n;
    vmt_batch batch = {
        .num_tokens = n,
        .num_seqs = num_seqs,
        .num_logits = num_rows,
        .token_ids = ids,
        .token_sources = sources,
        .positions = positions,
        .slot_mapping = slots,
        .cu_seqlens_q = cu,
        .seq_lens = lens,
        .block_tables = tables,
        .block_table_stride = STRIDE,
        .logit_rows = rows,
    };
    bool draws = num_last > 0 && !is_headless;
    vmt_sample_batch draw = {.samples = samples, .num_samples = draws ? num_seqs : 0, .needs_logits = true};
    vmt_err err = {0};
    if (m->runner.launch(m->runner.self, &batch, &draw, &err) != VMT_OK) {
        vmt_test_fail(m->t, __FILE__, __LINE__, "%s", err.msg);
    }
}

static vmt_sample_outcome collect(struct model *m) {
    vmt_sample_outcome out;
    vmt_err err = {0};
    if (m->runner.collect(m->runner.self, &out, &err) != VMT_OK) {
        vmt_test_fail(m->t, __FILE__, __LINE__, "%s", err.msg);
    }
    return out;
}

/* The prompt's logits, then greedy tokens, the next step launched before this one's token is known. */
static void expect_golden(vmt_test *t, const char *family, const char *weights, vmt_dtype type, float tolerance) {
    vmt_golden g = vmt_golden_load(t, family);
    struct model m = open_model(t, family, weights, type, type);
    uint32_t vocab = m.runner.vocab;
    struct seq seq = {0, 0, g.prompt_len, g.prompt, -1};
    launch(&m, &seq, 1, g.prompt_len);
    vmt_sample_outcome out = collect(&m);
    for (size_t i = 0; i < (size_t)g.prompt_len * vocab; i++) {
        if (fabsf(out.logits[i] - g.logits[i]) <= tolerance) continue;
        vmt_test_fail(t, __FILE__, __LINE__, "%s/%s: position %zu token %zu: logit %g, transformers has %g",
                      family, weights, i / vocab, i % vocab, (double)out.logits[i], (double)g.logits[i]);
    }
    for (uint32_t i = 0; i < g.greedy_len; i++) {
        int32_t id = out.sampled[0];
        if (id != g.greedy[i]) {
            vmt_test_fail(t, __FILE__, __LINE__, "%s/%s: greedy token %u is %d, transformers has %d", family,
                          weights, i, id, g.greedy[i]);
        }
        uint32_t end = g.prompt_len + i + 1;
        if (i == 0) launch(&m, &(struct seq){0, end - 1, end, NULL, 0}, 1, 1);
        launch(&m, &(struct seq){0, end, end + 1, NULL, 0}, 1, 1); /* two in flight */
        out = collect(&m);
    }
    (void)collect(&m);
    close_model(&m);
}

static void safetensors_give_the_tokens_of_transformers(vmt_test *t) {
    for (size_t i = 0; i < VMT_GOLDEN_FAMILIES; i++) expect_golden(t, vmt_golden_families[i], "", VMT_F32, 1e-3f);
}

static void gguf_gives_the_tokens_of_transformers(vmt_test *t) {
    for (size_t i = 0; i < VMT_GOLDEN_FAMILIES; i++)
        expect_golden(t, vmt_golden_families[i], "model.gguf", VMT_F32, 1e-3f);
}

/* Scales of BF16, so activations of BF16; the layers' bits and groups differ (tests/golden/make_mlx.py). */
static void mlx_gives_the_tokens_of_transformers(vmt_test *t) {
    expect_golden(t, "mlx", "", VMT_BF16, 0.3f);
}

/* With activations and cache as they are served: near the reference, and a step's company does not show. */
static void expect_near(vmt_test *t, vmt_dtype type, vmt_dtype kv_dtype, float tolerance) {
    vmt_golden g = vmt_golden_load(t, "qwen3");
    struct model m = open_model(t, "qwen3", "", type, kv_dtype);
    uint32_t vocab = m.runner.vocab;
    /* Two prefills of unlike length and one whose last row is a decode. */
    launch(&m, &(struct seq){2, 0, 15, g.prompt, -1}, 1, 1);
    (void)collect(&m);
    struct seq seqs[] = {{2, 15, 16, g.prompt, -1}, {0, 0, g.prompt_len, g.prompt, -1}, {1, 0, 9, g.prompt, -1}};
    uint32_t lens[] = {16, g.prompt_len, 9};
    launch(&m, seqs, 3, 1);
    vmt_sample_outcome out = collect(&m);
    double worst = 0;
    for (uint32_t s = 0; s < 3; s++) {
        const float *want = g.logits + (size_t)(lens[s] - 1) * vocab;
        for (uint32_t i = 0; i < vocab; i++) {
            worst = fmax(worst, fabs((double)out.logits[(size_t)s * vocab + i] - (double)want[i]));
        }
    }
    if (worst > (double)tolerance) vmt_test_fail(t, __FILE__, __LINE__, "logits differ by up to %g", worst);
    vmt_expect(t, worst > 0);
    close_model(&m);
}

static void logits_are_read_back_from_a_card(vmt_test *t) {
    is_apart = true;
    expect_golden(t, "qwen2", "", VMT_F32, 1e-3f);
    is_apart = false;
}

static void headless_models_give_the_states_of_transformers(vmt_test *t) {
    is_headless = true;
    for (size_t i = 0; i < VMT_GOLDEN_FAMILIES; i++) {
        const char *family = vmt_golden_families[i];
        vmt_golden g = vmt_golden_load(t, family);
        vmt_str want = vmt_golden_read(t, vmt_golden_path(t, family, "hidden.bin"));
        struct model m = open_model(t, family, i % 2 ? "" : "model.gguf", VMT_F32, VMT_F32);
        vmt_expect_eq(t, want.len, g.prompt_len * m.runner.hidden * sizeof(float));
        launch(&m, &(struct seq){0, 0, g.prompt_len, g.prompt, -1}, 1, g.prompt_len);
        vmt_sample_outcome out = collect(&m);
        for (size_t k = 0; k < (size_t)g.prompt_len * m.runner.hidden; k++) {
            float w;
            memcpy(&w, want.ptr + k * sizeof w, sizeof w);
            vmt_expect_near(t, out.logits[k], w, 1e-3);
        }
        close_model(&m);
    }
    is_headless = false;
}

static void half_precision_stays_near(vmt_test *t) {
    expect_near(t, VMT_F32, VMT_F32, 1e-3f);
    expect_near(t, VMT_F16, VMT_F16, 0.02f);
    expect_near(t, VMT_BF16, VMT_BF16, 0.15f);
    expect_near(t, VMT_F32, VMT_I8, 0.1f);
    expect_near(t, VMT_F16, VMT_I8, 0.1f);
}

/* Norms, gates and picked rows apart; weights of the MLX model made plain. */
static void a_library_multiplies_many_rows(vmt_test *t) {
    has_library = true;
    expect_near(t, VMT_F16, VMT_F16, 0.02f);
    expect_near(t, VMT_BF16, VMT_BF16, 0.15f);
    expect_golden(t, "mlx", "", VMT_BF16, 0.3f);
    for (size_t i = 0; i < VMT_GOLDEN_FAMILIES; i++) {
        expect_golden(t, vmt_golden_families[i], i % 2 ? "" : "model.gguf", VMT_F16, 0.03f);
    }
    has_library = false;
}

/* Of steps of a model whose weights are plain already, or are made plain for a library: 7 of a layer, and the head. */
static void expect_dispatches(vmt_test *t, const char *family, bool is_library) {
    vmt_gpu *gpu = vmt_test_gpu_open(t);
    vmt_weight_file *file;
    vmt_gpu_weights weights = {0};
    vmt_gpu_decoder *decoder;
    vmt_err err = {0};
    gpu->caps.has_gemm = is_library;
    vmt_expect_eq(t, vmt_weight_file_open(&file, vmt_golden_path(t, family, ""), &err), VMT_OK);
    vmt_model_config *config = vmt_golden_config(t, vmt_golden_path(t, family, "config.json"), file);
    vmt_model_kv_options options = {
        .block_size = 16,
        .dtype = VMT_BF16,
        .num_blocks = 65,
        .tokens_max = 64,
        .logits_max = 64,
        .context_max = 512,
        .seqs_max = 32,
    };
    vmt_expect_eq(t, vmt_gpu_weights_load(&weights, config, file, gpu, VMT_BF16, &err), VMT_OK);
    vmt_expect_eq(t, weights.copied_bytes, 0);
    vmt_expect_eq(t, vmt_gpu_decoder_create(&decoder, config, &weights, &options, &err), VMT_OK);
    size_t scratch_bytes = vmt_gpu_decoder_scratch_bytes(config, &weights, &options);
    gpu->caps.has_gemm = false; /* what is made plain is the difference */
    scratch_bytes -= vmt_gpu_decoder_scratch_bytes(config, &weights, &options);
    gpu->caps.has_gemm = is_library;
    bool is_plain = weights.head.parts[0].data.dtype == VMT_BF16;
    const vmt_gpu_layer *l = &weights.layers[0];
    const vmt_tensor *biases[] = {&l->qkv.bias, &l->o.bias, &l->gate_up.bias, &l->down.bias};
    vmt_expect(t, (scratch_bytes > 0) == (is_library && !is_plain));
    uint32_t num_biases = 0, made = is_plain ? 0 : 1;
    for (size_t i = 0; i < VMT_COUNT(biases); i++) num_biases += biases[i]->buffer != NULL;
    uint32_t few = is_library && is_plain ? 9 + num_biases : 8, few_others = is_library && is_plain ? 7 : 6;
    uint32_t many = is_library ? 9 + 7 * made + num_biases : 8, many_others = is_library ? 7 + made : 6;
    const struct {
        uint32_t rows, merges, per_layer, others;
    } steps[] = {
        {1, 0, 6, 5}, {1, 1, 7, 5}, {2, 0, few, few_others}, {16, 0, few, few_others}, {32, 0, many, many_others},
    };
    for (size_t k = 0; k < VMT_COUNT(steps); k++) {
        uint32_t n = steps[k].rows;
        uint32_t counts[VMT_NUM_STEP_COUNTS] = {[VMT_COUNT_TOKENS] = n,
                                                [VMT_COUNT_LOGITS] = n,
                                                [VMT_COUNT_DECODES] = n,
                                                [VMT_COUNT_DECODE_SPLITS] = n,
                                                [VMT_COUNT_DECODE_MERGES] = steps[k].merges};
        vmt_gpu_program_stats stats = vmt_gpu_decoder_stats(decoder, counts);
        uint32_t want = steps[k].per_layer * config->num_layers + steps[k].others;
        want += !gpu->caps.is_unified; /* the batch is fetched */
        if (stats.num_dispatches != want) {
            vmt_test_fail(t, __FILE__, __LINE__, "%s: %u rows take %u dispatches, expected %u", family, n,
                          stats.num_dispatches, want);
        }
    }
    vmt_gpu_decoder_destroy(decoder);
    vmt_gpu_weights_reset(&weights);
    vmt_weight_file_close(file);
    vmt_gpu_close(gpu);
}

/* Issue: at most 8 dispatches a layer in a decode step, 6 where norms are fused.  Beside the layers: tokens, embedding,
 * angles, the gather of logit rows, the head.  For a library gates, biases and the tail's rows are apart too. */
static void a_layer_is_few_dispatches(vmt_test *t) {
    for (size_t i = 0; i < VMT_GOLDEN_FAMILIES; i++) {
        expect_dispatches(t, vmt_golden_families[i], false);
        expect_dispatches(t, vmt_golden_families[i], true);
    }
}

/* A step that does not end in time is lost, and the device with it: nothing hangs, each later step fails at once. */
static void a_step_that_takes_too_long_is_given_up(vmt_test *t) {
    struct model m = open_model(t, "llama", "", VMT_F32, VMT_F32);
    vmt_golden g = vmt_golden_load(t, "llama");
    vmt_model_kv_options options = {
        .block_size = BLOCK_SIZE,
        .dtype = VMT_F32,
        .num_blocks = SEQS_MAX * STRIDE + 1,
        .tokens_max = TOKENS_MAX,
        .logits_max = TOKENS_MAX,
        .context_max = CONTEXT,
        .seqs_max = SEQS_MAX,
        .step_timeout_ns = 1,
    };
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_model_kv_create(m.model, &options, &err), VMT_OK);
    m.runner = vmt_model_runner(m.model);
    struct seq seq = {0, 0, g.prompt_len, g.prompt, -1};
    launch(&m, &seq, 1, 1);
    launch(&m, &(struct seq){0, g.prompt_len, g.prompt_len + 1, NULL, 0}, 1, 1);
    vmt_sample_outcome out;
    vmt_status status = m.runner.collect(m.runner.self, &out, &err);
    if (status == VMT_OK) status = m.runner.collect(m.runner.self, &out, &err); /* a fast device: one of the two */
    if (status == VMT_OK) { /* or a driver that runs a step in commit() */
        close_model(&m);
        vmt_test_skip(t, "%s was done before anyone waited", vmt_golden_families[0]);
    }
    vmt_expect(t, strstr(err.msg, "did not finish a step within 1e-09 seconds") != NULL);
    vmt_expect_eq(t, m.runner.collect(m.runner.self, &out, NULL), VMT_E_IO);
    vmt_batch batch = {.num_tokens = 1};
    vmt_sample_batch none = {0};
    vmt_expect_eq(t, m.runner.launch(m.runner.self, &batch, &none, NULL), VMT_E_IO);
    close_model(&m);
}

static void distrusted_kernels_give_way(vmt_test *t) {
    static const char *const lists[][4] = {{"matvec_", "matmul_tiled_", "attention_prefill_", NULL},
                                           {"matmul_few_", "matmul_tiled_", NULL}};
    for (size_t i = 0; i < VMT_COUNT(lists); i++) {
        distrusted = lists[i];
        expect_golden(t, "qwen3", "", VMT_F32, 1e-3f);
    }
    distrusted = NULL;
}

/* What nothing can take the place of is named. */
static void a_kernel_that_is_needed_is_named(vmt_test *t) {
    vmt_gpu *gpu = vmt_test_gpu_open(t);
    vmt_weight_file *file;
    vmt_model *model;
    vmt_err err = {0};
    vmt_model_kv_options options = {16, VMT_F32, 9, 16, 16, 64, 2, TIMEOUT_NS};
    vmt_expect_eq(t, vmt_weight_file_open(&file, vmt_golden_path(t, "llama", ""), &err), VMT_OK);
    vmt_expect_eq(t, vmt_model_open_gpu(&model, config_of(t, "llama", file), file, gpu, VMT_F32, &err), VMT_OK);
    vmt_expect_eq(t, vmt_model_check_gpu(model, &err), VMT_OK);
    vmt_expect(t, gpu->distrusted == NULL);
    vmt_gpu_distrust(gpu, vmt_kernel_find("rope_f32"), "the test says so");
    vmt_expect_eq(t, vmt_model_kv_create(model, &options, &err), VMT_E_UNSUPPORTED);
    vmt_expect(t, strstr(err.msg, "kernel rope_f32 does not work on ") != NULL);
    vmt_model_close(model);
    vmt_weight_file_close(file);
    vmt_gpu_close(gpu);
}

/* Fewer rows of logits than tokens, and more than a norm can be fused for. */
static void a_tail_may_be_shorter_than_a_body(vmt_test *t) {
    vmt_gpu *gpu = vmt_test_gpu_open(t);
    vmt_weight_file *file;
    vmt_model *model;
    vmt_err err = {0};
    vmt_model_kv_options options = {16, VMT_F32, 9, 64, 20, 64, 2, TIMEOUT_NS};
    vmt_expect_eq(t, vmt_weight_file_open(&file, vmt_golden_path(t, "llama", ""), &err), VMT_OK);
    vmt_expect_eq(t, vmt_model_open_gpu(&model, config_of(t, "llama", file), file, gpu, VMT_F32, &err), VMT_OK);
    if (vmt_model_kv_create(model, &options, &err) != VMT_OK) vmt_test_fail(t, __FILE__, __LINE__, "%s", err.msg);
    vmt_model_close(model);
    vmt_weight_file_close(file);
    vmt_gpu_close(gpu);
}

static const vmt_test_case cases[] = {
    {"safetensors_give_the_tokens_of_transformers", safetensors_give_the_tokens_of_transformers},
    {"gguf_gives_the_tokens_of_transformers", gguf_gives_the_tokens_of_transformers},
    {"mlx_gives_the_tokens_of_transformers", mlx_gives_the_tokens_of_transformers},
    {"logits_are_read_back_from_a_card", logits_are_read_back_from_a_card},
    {"headless_models_give_the_states_of_transformers", headless_models_give_the_states_of_transformers},
    {"half_precision_stays_near", half_precision_stays_near},
    {"a_library_multiplies_many_rows", a_library_multiplies_many_rows},
    {"a_layer_is_few_dispatches", a_layer_is_few_dispatches},
    {"a_step_that_takes_too_long_is_given_up", a_step_that_takes_too_long_is_given_up},
    {"distrusted_kernels_give_way", distrusted_kernels_give_way},
    {"a_kernel_that_is_needed_is_named", a_kernel_that_is_needed_is_named},
    {"a_tail_may_be_shorter_than_a_body", a_tail_may_be_shorter_than_a_body},
    {NULL, NULL},
};
VMT_GPU_TEST_MAIN(cases)
