/* model/model_test.c: whole models against transformers: a tiny random checkpoint per family as safetensors and as GGUF
 * (tests/golden/make_models.py), and SmolLM2-135M if it is at hand (tests/golden/make_smollm2.py). */
#include "model/classifier.h"
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/cpu/cpu.h"
#include "base/file.h"
#include "model/test_golden.h"

#define ROWS_MAX   512u
#define CONTEXT    VMT_GOLDEN_CONTEXT
#define BLOCK_SIZE 16u
#define SEQS_MAX   4u

struct model {
    vmt_test *t;
    vmt_backend *be;
    vmt_weight_file *file;
    vmt_model *model;
    vmt_runner runner;
    uint32_t context_max;
};

static struct model open_model_as(vmt_test *t, const char *weights, const char *config_path, uint32_t threads,
                                  vmt_dtype kv_dtype, bool headless) {
    struct model m = {.t = t, .context_max = CONTEXT};
    vmt_err err = {0};
    vmt_model_progress silent = {NULL, NULL};
    vmt_model_kv_options options = {
        .block_size = BLOCK_SIZE,
        .dtype = kv_dtype,
        .num_blocks = SEQS_MAX * CONTEXT / BLOCK_SIZE + 1,
        .tokens_max = ROWS_MAX,
        .logits_max = headless ? ROWS_MAX : 128,
        .context_max = CONTEXT,
    };
    if (vmt_weight_file_open(&m.file, weights, &err) != VMT_OK)
        vmt_test_fail(t, __FILE__, __LINE__, "%s", err.msg);
    vmt_model_config *config = vmt_golden_config(t, config_path, m.file);
    config->headless = headless;
    if (vmt_cpu_backend_create(&m.be, threads, &err) != VMT_OK ||
        vmt_model_open(&m.model, config, m.file, m.be, silent, &err) != VMT_OK ||
        vmt_model_kv_create(m.model, &options, &err) != VMT_OK) {
        vmt_test_fail(t, __FILE__, __LINE__, "%s: %s", weights, err.msg);
    }
    m.runner = vmt_model_runner(m.model);
    return m;
}

static struct model open_model(vmt_test *t, const char *weights, const char *config_path, uint32_t threads,
                               vmt_dtype kv_dtype) {
    return open_model_as(t, weights, config_path, threads, kv_dtype, false);
}

static void close_model(struct model *m) {
    vmt_model_close(m->model);
    vmt_weight_file_close(m->file);
    vmt_backend_destroy(m->be);
}

struct seq { /* the next tokens of a sequence that lives in a fixed slice of the cache */
    uint32_t slot, begin, end;
    const int32_t *ids; /* all of its tokens */
};

/* One step; logits for the last num_last rows of each sequence. */
static const float *step(struct model *m, const struct seq *seqs, uint32_t num_seqs, uint32_t num_last) {
    enum { STRIDE = CONTEXT / BLOCK_SIZE };
    static int32_t ids[ROWS_MAX], positions[ROWS_MAX], slots[ROWS_MAX], tables[SEQS_MAX * STRIDE];
    static uint32_t cu[SEQS_MAX + 1], lens[SEQS_MAX], rows[ROWS_MAX];
    uint32_t n = 0, num_rows = 0;
    for (uint32_t s = 0; s < num_seqs; s++) {
        for (uint32_t i = 0; i < STRIDE; i++) { /* a slice's blocks, last first */
            tables[s * STRIDE + i] = (int32_t)((seqs[s].slot + 1) * STRIDE - i);
        }
        cu[s] = n;
        lens[s] = seqs[s].end;
        for (uint32_t p = seqs[s].begin; p < seqs[s].end; p++, n++) {
            vmt_expect(m->t, n < ROWS_MAX);
            ids[n] = seqs[s].ids[p];
            positions[n] = (int32_t)p;
            slots[n] = tables[s * STRIDE + p / BLOCK_SIZE] * (int32_t)BLOCK_SIZE + (int32_t)(p % BLOCK_SIZE);
            if (p + num_last >= seqs[s].end) rows[num_rows++] = n;
        }
    }
    cu[num_seqs] = n;
    vmt_batch batch = {
        .num_tokens = n,
        .num_seqs = num_seqs,
        .num_logits = num_rows,
        .token_ids = ids,
        .positions = positions,
        .slot_mapping = slots,
        .cu_seqlens_q = cu,
        .seq_lens = lens,
        .block_tables = tables,
        .block_table_stride = STRIDE,
        .logit_rows = rows,
    };
    float *logits = NULL;
    vmt_err err = {0};
    if (m->runner.forward(m->runner.self, &batch, &logits, &err) != VMT_OK) {
        vmt_test_fail(m->t, __FILE__, __LINE__, "%s", err.msg);
    }
    return logits;
}

static int32_t argmax(const float *x, uint32_t n) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++) {
        if (x[i] > x[best]) best = i;
    }
    return (int32_t)best;
}

static void expect_golden(vmt_test *t, const char *family, const char *weights, float tolerance) {
    vmt_golden g = vmt_golden_load(t, family);
    struct model m =
        open_model(t, vmt_golden_path(t, family, weights), vmt_golden_path(t, family, "config.json"), 2, VMT_F32);
    uint32_t vocab = m.runner.vocab;
    struct seq seq = {0, 0, g.prompt_len, g.prompt};
    const float *logits = step(&m, &seq, 1, g.prompt_len);
    for (size_t i = 0; i < (size_t)g.prompt_len * vocab; i++) {
        if (fabsf(logits[i] - g.logits[i]) <= tolerance) continue;
        vmt_test_fail(t, __FILE__, __LINE__, "%s/%s: position %zu token %zu: logit %g, transformers has %g",
                      family, weights, i / vocab, i % vocab, (double)logits[i], (double)g.logits[i]);
    }
    const float *last = logits + (size_t)(g.prompt_len - 1) * vocab;
    for (uint32_t i = 0; i < g.greedy_len; i++) {
        int32_t id = argmax(last, vocab);
        if (id != g.greedy[i]) {
            vmt_test_fail(t, __FILE__, __LINE__, "%s/%s: greedy token %u is %d, transformers has %d", family,
                          weights, i, id, g.greedy[i]);
        }
        g.prompt[g.prompt_len + i] = id;
        seq = (struct seq){0, g.prompt_len + i, g.prompt_len + i + 1, g.prompt};
        last = step(&m, &seq, 1, 1);
    }
    close_model(&m);
}

static void safetensors_give_the_logits_of_transformers(vmt_test *t) {
    for (size_t i = 0; i < VMT_GOLDEN_FAMILIES; i++) expect_golden(t, vmt_golden_families[i], "", 1e-3f);
}

static void gguf_gives_the_logits_of_transformers(vmt_test *t) {
    for (size_t i = 0; i < VMT_GOLDEN_FAMILIES; i++) expect_golden(t, vmt_golden_families[i], "model.gguf", 1e-3f);
}

/* MLX's quants of 2 to 8 bits, of other bits and groups from layer to layer (tests/golden/make_mlx.py).  Greedy tokens
 * are those of transformers; logits, of a deviation of 2.5, differ by what rounding activations to 8 bits does. */
static void mlx_gives_the_tokens_of_transformers(vmt_test *t) {
    expect_golden(t, "mlx", "", 0.3f);
}

/* All tokens of `ids` in the cache, cut as the sizes say; a copy of the last row's logits. */
static float *chunked(struct model *m, uint32_t slot, const int32_t *ids, uint32_t len, const uint32_t *sizes,
                      uint32_t num_sizes) {
    const float *logits = NULL;
    for (uint32_t at = 0, i = 0; at < len; i++) {
        struct seq seq = {slot, at, VMT_MIN(len, at + sizes[i % num_sizes]), ids};
        logits = step(m, &seq, 1, 1);
        at = seq.end;
    }
    float *copy = VMT_ARENA_NEW(m->t->arena, float, m->runner.vocab);
    memcpy(copy, logits, m->runner.vocab * sizeof *copy);
    return copy;
}

static void chunks_and_company_show_in_no_bit(vmt_test *t) {
    static const uint32_t whole[] = {CONTEXT}, odd[] = {5, 1, 7, 13}, single[] = {1};
    for (size_t i = 0; i < VMT_GOLDEN_FAMILIES; i++) {
        vmt_golden g = vmt_golden_load(t, vmt_golden_families[i]);
        struct model m = open_model(t, vmt_golden_path(t, vmt_golden_families[i], ""),
                                    vmt_golden_path(t, vmt_golden_families[i], "config.json"), 3, VMT_F16);
        size_t bytes = m.runner.vocab * sizeof(float);
        for (uint32_t p = 0; p < g.greedy_len; p++) g.prompt[g.prompt_len + p] = g.greedy[p];
        uint32_t len = g.prompt_len + g.greedy_len;
        const float *alone = chunked(&m, 0, g.prompt, len, whole, 1);
        vmt_expect(t, memcmp(alone, chunked(&m, 1, g.prompt, len, odd, 4), bytes) == 0);
        vmt_expect(t, memcmp(alone, chunked(&m, 2, g.prompt, len, single, 1), bytes) == 0);
        /* Three sequences in a step: the second ends as the first did, the third is a decode row. */
        (void)chunked(&m, 3, g.prompt + 3, 40, whole, 1);
        const float *third = chunked(&m, 3, g.prompt + 3, 41, whole, 1);
        (void)chunked(&m, 1, g.prompt, len - 9, whole, 1);
        (void)chunked(&m, 3, g.prompt + 3, 40, whole, 1);
        struct seq batch[] = {{0, 0, 30, g.prompt + 7}, {1, len - 9, len, g.prompt}, {3, 40, 41, g.prompt + 3}};
        const float *logits = step(&m, batch, 3, 1);
        vmt_expect(t, memcmp(alone, logits + m.runner.vocab, bytes) == 0);
        vmt_expect(t, memcmp(third, logits + 2 * m.runner.vocab, bytes) == 0);
        close_model(&m);
    }
}

/* A classifier of two tokens is the difference of their logits, which transformers gave. */
static void expect_classifier(const struct model *m, const vmt_golden *g, const float *rows) {
    static const int32_t ids[] = {3, 200};
    const vmt_model_config *config = vmt_model_get_config(m->model);
    float *weight = VMT_ARENA_NEW(m->t->arena, float, config->hidden);
    vmt_err err = {0};
    for (uint32_t num_ids = 1; num_ids <= 2; num_ids++) {
        vmt_expect_eq(m->t, vmt_classifier_from_tokens(weight, config, m->file, ids, num_ids, &err), VMT_OK);
        for (uint32_t p = 0; p < g->prompt_len; p++) {
            const float *logits = g->logits + (size_t)p * config->vocab;
            float want = num_ids == 2 ? logits[ids[1]] - logits[ids[0]] : logits[ids[0]], got = 0;
            for (uint32_t i = 0; i < config->hidden; i++) got += rows[(size_t)p * config->hidden + i] * weight[i];
            vmt_expect(m->t, fabsf(got - want) <= 2e-3f);
        }
    }
    vmt_expect_eq(m->t, vmt_classifier_from_file(weight, config, m->file, &err), VMT_E_NOT_FOUND);
}

static void expect_hidden(vmt_test *t, const char *family, const char *weights) {
    vmt_golden g = vmt_golden_load(t, family);
    const char *config = vmt_golden_path(t, family, "config.json");
    struct model m = open_model_as(t, vmt_golden_path(t, family, weights), config, 2, VMT_F32, true);
    uint32_t hidden = m.runner.hidden;
    vmt_str want = vmt_golden_read(t, vmt_golden_path(t, family, "hidden.bin"));
    vmt_expect_eq(t, want.len, (size_t)g.prompt_len * hidden * sizeof(float));
    const float *reference = (const float *)(const void *)want.ptr;
    struct seq seq = {0, 0, g.prompt_len, g.prompt};
    const float *rows = step(&m, &seq, 1, g.prompt_len);
    for (size_t i = 0; i < (size_t)g.prompt_len * hidden; i++) {
        if (fabsf(rows[i] - reference[i]) <= 1e-4f) continue;
        vmt_test_fail(t, __FILE__, __LINE__, "%s/%s: position %zu column %zu: %g, transformers has %g", family,
                      weights, i / hidden, i % hidden, (double)rows[i], (double)reference[i]);
    }
    expect_classifier(&m, &g, rows);
    /* Row by row, and beside another sequence, the bits are the same. */
    size_t row_bytes = hidden * sizeof(float);
    float *whole = VMT_ARENA_NEW(t->arena, float, (size_t)g.prompt_len *hidden);
    memcpy(whole, rows, g.prompt_len * row_bytes);
    for (uint32_t p = 0; p < g.prompt_len; p++) {
        seq = (struct seq){1, p, p + 1, g.prompt};
        vmt_expect(t, memcmp(step(&m, &seq, 1, 1), whole + (size_t)p * hidden, row_bytes) == 0);
    }
    struct seq batch[] = {{2, 0, 9, g.prompt + 5}, {3, 0, g.prompt_len, g.prompt}};
    rows = step(&m, batch, 2, g.prompt_len);
    vmt_expect(t, memcmp(rows + 9 * (size_t)hidden, whole, g.prompt_len * row_bytes) == 0);
    close_model(&m);
}

static void headless_models_give_the_states_of_transformers(vmt_test *t) {
    for (size_t i = 0; i < VMT_GOLDEN_FAMILIES; i++) {
        expect_hidden(t, vmt_golden_families[i], "");
        expect_hidden(t, vmt_golden_families[i], "model.gguf");
    }
}

static void a_step_may_want_no_logits(vmt_test *t) {
    vmt_golden g = vmt_golden_load(t, "llama");
    struct model m =
        open_model(t, vmt_golden_path(t, "llama", ""), vmt_golden_path(t, "llama", "config.json"), 1, VMT_BF16);
    struct seq seq = {0, 0, 10, g.prompt};
    (void)step(&m, &seq, 1, 0);
    close_model(&m);
}

static void a_wrong_shape_names_the_tensor(vmt_test *t) {
    vmt_weight_file *file;
    vmt_backend *be;
    vmt_model *model;
    vmt_err err = {0};
    vmt_model_progress silent = {NULL, NULL};
    vmt_expect_eq(t, vmt_cpu_backend_create(&be, 1, NULL), VMT_OK);
    vmt_expect_eq(t, vmt_weight_file_open(&file, vmt_golden_path(t, "llama", ""), NULL), VMT_OK);
    vmt_model_config *config = vmt_golden_config(t, vmt_golden_path(t, "llama", "config.json"), file);
    config->intermediate = 80;
    vmt_expect_eq(t, vmt_model_open(&model, config, file, be, silent, &err), VMT_E_INVALID);
    vmt_expect_str(t, err.msg, "model.layers.0.mlp.gate_proj.weight is [64, 64] BF16, expected [80, 64]");
    config->intermediate = 64;
    config->num_layers = 3;
    err = (vmt_err){0};
    vmt_expect_eq(t, vmt_model_open(&model, config, file, be, silent, &err), VMT_E_NOT_FOUND);
    vmt_expect_str(t, err.msg, "model.safetensors: there is no tensor 'model.layers.2.input_layernorm.weight'");
    vmt_weight_file_close(file);
    vmt_backend_destroy(be);
}

static const char *smollm2_path(vmt_test *t) {
    const char *path = getenv("VMT_SMOLLM2"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (path != NULL) return path;
    vmt_str dir = cache ? vmt_str_from(cache) : vmt_arena_printf(t->arena, "%s/.cache", home ? home : "");
    return vmt_arena_printf(t->arena, "%.*s/vmetal/models/SmolLM2-135M-Instruct.Q4_1.gguf", VMT_STR_ARG(dir)).ptr;
}

/* The reference's own tokens are fed, so that each position is compared whatever happened before it. */
static uint32_t count_other_choices(struct model *m, vmt_json one, uint32_t case_idx) {
    vmt_test *t = m->t;
    int32_t ids[CONTEXT];
    double margins[VMT_GOLDEN_GREEDY_MAX];
    uint32_t num_margins = 0, others = 0;
    vmt_json v;
    uint32_t prompt_len = vmt_golden_ids(t, VMT_JSON_AT(one, "prompt"), ids, CONTEXT);
    uint32_t num_tokens = vmt_golden_ids(t, VMT_JSON_AT(one, "tokens"), ids + prompt_len, CONTEXT - prompt_len);
    for (vmt_json_iter it = vmt_json_iter_begin(VMT_JSON_AT(one, "margins")); vmt_json_iter_next(&it, NULL, &v);) {
        vmt_expect(t, num_margins < VMT_GOLDEN_GREEDY_MAX && vmt_json_get_f64(v, &margins[num_margins++]));
    }
    vmt_expect_eq(t, num_margins, num_tokens);
    struct seq seq = {0, 0, prompt_len + num_tokens - 1, ids};
    const float *logits = step(m, &seq, 1, num_tokens);
    for (uint32_t i = 0; i < num_tokens; i++) {
        int32_t got = argmax(logits + (size_t)i * m->runner.vocab, m->runner.vocab), want = ids[prompt_len + i];
        if (got == want) continue;
        printf("prompt %u token %u: %d, transformers has %d by %.3f nat\n", case_idx, i, got, want, margins[i]);
        vmt_expect(t, margins[i] <= 0.5);
        others++;
    }
    return others;
}

static void smollm2_chooses_the_tokens_of_transformers(vmt_test *t) {
    const char *path = smollm2_path(t);
    if (!vmt_file_exists(path)) vmt_test_skip(t, "%s is not there", path);
    struct model m = open_model(t, path, NULL, 2, VMT_F16);
    vmt_json_doc *doc = vmt_golden_parse(t, VMT_GOLDEN "smollm2.json");
    vmt_json one;
    uint32_t num_cases = 0, others = 0;
    for (vmt_json_iter it = vmt_json_iter_begin(VMT_JSON_AT(vmt_json_root(doc), "cases"));
         vmt_json_iter_next(&it, NULL, &one); num_cases++) {
        others += count_other_choices(&m, one, num_cases);
    }
    printf("%u prompts, %u tokens chosen otherwise, each within 0.5 nat\n", num_cases, others);
    vmt_expect(t, num_cases >= 8);
    vmt_json_doc_destroy(doc);
    close_model(&m);
}

static const vmt_test_case cases[] = {
    {"safetensors_give_the_logits_of_transformers", safetensors_give_the_logits_of_transformers},
    {"gguf_gives_the_logits_of_transformers", gguf_gives_the_logits_of_transformers},
    {"mlx_gives_the_tokens_of_transformers", mlx_gives_the_tokens_of_transformers},
    {"chunks_and_company_show_in_no_bit", chunks_and_company_show_in_no_bit},
    {"headless_models_give_the_states_of_transformers", headless_models_give_the_states_of_transformers},
    {"a_step_may_want_no_logits", a_step_may_want_no_logits},
    {"a_wrong_shape_names_the_tensor", a_wrong_shape_names_the_tensor},
    {"smollm2_chooses_the_tokens_of_transformers", smollm2_chooses_the_tokens_of_transformers},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
