#include "cli/bundle_pooling.h"

#include "base/log.h"
#include "cli/bundle_text.h"
#include "model/classifier.h"
#include "model/families.h"

#include <stdio.h>

#define MODULES_MAX 16u /* rows of modules.json */

/* What the sources say so far. */
struct wish {
    vmt_bundle *bundle;
    vmt_pooling_rules rules;
    bool is_pooling;        /* the files or overrides ask for it */
    bool is_pooled_by_file; /* the kind is the model's own */
    bool is_classifier;     /* by its architecture: its weight is in the file */
    int32_t label_ids[VMT_CLASSIFIER_TOKENS_MAX];
    uint32_t num_labels; /* classifier_from_token */
    bool is_two_way;     /* method: of two tokens */
    const char *source;  /* for messages: "config.json", "--hf-overrides", ... */
    vmt_err *err;
};

static vmt_status refuse(const struct wish *w, const char *key, const char *want) {
    return vmt_fail(w->err, VMT_E_INVALID, "%s: %s must be %s", w->source, key, want);
}

static bool is_given(vmt_json value) {
    return vmt_json_exists(value) && !vmt_json_is_null(value);
}

static vmt_status read_bool(const struct wish *w, vmt_json value, const char *key, bool *out) {
    if (!is_given(value) || vmt_json_get_bool(value, out)) return VMT_OK;
    return refuse(w, key, "true or false");
}

/* Parses DIR/NAME; *out is NULL without such a file. */
static vmt_status read_file(const struct wish *w, const char *name, vmt_json_doc **out) {
    vmt_buf text;
    bool found = false;
    *out = NULL;
    vmt_buf_init(&text, 0);
    vmt_err why = {0};
    vmt_status status = vmt_bundle_read(w->bundle->path, name, VMT_CONFIG_JSON_MAX, &text, &found, w->err);
    if (status == VMT_OK && found) {
        status = vmt_json_parse(out, vmt_buf_str(&text), &why);
        if (status != VMT_OK) status = vmt_fail(w->err, status, "%s: %s", name, why.msg);
    }
    vmt_buf_free(&text);
    return status;
}

/* ---- Sentence-Transformers */

/* The flags of a Pooling module's config.json; newer files have "pooling_mode": "lasttoken" instead. */
static const struct {
    const char *flag, *mode;
    vmt_pool_kind kind; /* NONE: not supported */
} pooling_modes[] = {
    {"pooling_mode_lasttoken", "lasttoken", VMT_POOL_LAST},
    {"pooling_mode_mean_tokens", "mean", VMT_POOL_MEAN},
    {"pooling_mode_cls_token", "cls", VMT_POOL_CLS},
    {"pooling_mode_max_tokens", "max", VMT_POOL_NONE},
    {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", VMT_POOL_NONE},
    {"pooling_mode_weightedmean_tokens", "weightedmean", VMT_POOL_NONE},
};

static vmt_status read_pooling_module(struct wish *w, vmt_json config) {
    vmt_str mode = {0};
    uint32_t num_modes = 0;
    vmt_json_get_str(VMT_JSON_AT(config, "pooling_mode"), &mode);
    for (size_t i = 0; i < VMT_COUNT(pooling_modes); i++) {
        bool is_on = false;
        vmt_json_get_bool(vmt_json_member(config, vmt_str_from(pooling_modes[i].flag)), &is_on);
        if (!is_on && !vmt_str_eq_c(mode, pooling_modes[i].mode)) continue;
        num_modes++;
        w->rules.kind = pooling_modes[i].kind;
        if (w->rules.kind == VMT_POOL_NONE) {
            return vmt_fail(w->err, VMT_E_UNSUPPORTED,
                            "%s: pooling by %s is not supported; supported are lasttoken, mean and cls", w->source,
                            pooling_modes[i].mode);
        }
    }
    if (num_modes == 1) return VMT_OK;
    return vmt_fail(w->err, VMT_E_UNSUPPORTED, "%s: %u ways of pooling are on, one is supported", w->source,
                    num_modes);
}

static vmt_status read_pooling_file(struct wish *w, vmt_str dir) {
    char name[256];
    vmt_json_doc *doc = NULL;
    int len = snprintf(name, sizeof name, "%.*s/config.json", VMT_STR_ARG(dir));
    bool leaves = vmt_str_find(dir, VMT_STR(".."), 0) != SIZE_MAX || vmt_str_starts(dir, VMT_STR("/"));
    if (len < 0 || (size_t)len >= sizeof name || leaves) {
        return vmt_fail(w->err, VMT_E_INVALID, "modules.json: path '%.*s' can't be a module's folder",
                        (int)VMT_MIN(dir.len, 64), dir.ptr);
    }
    VMT_TRY(read_file(w, name, &doc));
    if (!doc) return vmt_fail(w->err, VMT_E_NOT_FOUND, "modules.json names %s, which is not there", name);
    w->source = name;
    vmt_status status = read_pooling_module(w, vmt_json_root(doc));
    vmt_json_doc_destroy(doc);
    return status;
}

/* The class behind the last dot: "sentence_transformers.models.Pooling". */
static vmt_str class_of(vmt_str type) {
    size_t begin = type.len;
    while (begin > 0 && type.ptr[begin - 1] != '.') begin--;
    return vmt_str_slice(type, begin, type.len);
}

static vmt_status read_modules(struct wish *w, vmt_json modules) {
    vmt_json module;
    uint32_t num_modules = 0;
    w->rules.use_activation = false;
    for (vmt_json_iter it = vmt_json_iter_begin(modules); vmt_json_iter_next(&it, NULL, &module);) {
        vmt_str type = {0}, dir = {0};
        if (++num_modules > MODULES_MAX) {
            return vmt_fail(w->err, VMT_E_INVALID, "modules.json lists more than %u modules", MODULES_MAX);
        }
        vmt_json_get_str(VMT_JSON_AT(module, "type"), &type);
        vmt_json_get_str(VMT_JSON_AT(module, "path"), &dir);
        vmt_str name = class_of(type);
        if (vmt_str_eq_c(name, "Pooling")) {
            w->is_pooling = w->is_pooled_by_file = true;
            VMT_TRY(read_pooling_file(w, dir));
        } else if (vmt_str_eq_c(name, "Normalize")) {
            w->rules.use_activation = true;
        } else if (!vmt_str_eq_c(name, "Transformer")) {
            return vmt_fail(w->err, VMT_E_UNSUPPORTED,
                            "modules.json: the module %.*s is not supported; supported are Transformer, Pooling "
                            "and Normalize",
                            (int)VMT_MIN(name.len, 64), name.ptr);
        }
    }
    if (!w->is_pooled_by_file) w->rules.use_activation = true;
    return VMT_OK;
}

/* ---- config.json and what overrides it */

static vmt_status read_matryoshka(struct wish *w, vmt_json config) {
    vmt_json value, list = VMT_JSON_AT(config, "matryoshka_dimensions");
    VMT_TRY(read_bool(w, VMT_JSON_AT(config, "is_matryoshka"), "is_matryoshka", &w->rules.is_matryoshka));
    if (!is_given(list)) return VMT_OK;
    w->rules.is_matryoshka = true;
    w->rules.num_matryoshka_dimensions = 0;
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, NULL, &value);) {
        uint64_t length;
        if (!vmt_json_get_u64(value, &length) || length < 1 || length > w->rules.width ||
            w->rules.num_matryoshka_dimensions == VMT_MATRYOSHKA_MAX) {
            return vmt_fail(w->err, VMT_E_INVALID,
                            "%s: matryoshka_dimensions must list at most %u lengths of 1 to %u", w->source,
                            VMT_MATRYOSHKA_MAX, w->rules.width);
        }
        w->rules.matryoshka_dimensions[w->rules.num_matryoshka_dimensions++] = (uint32_t)length;
    }
    return VMT_OK;
}

static vmt_status read_labels(struct wish *w, vmt_json list) {
    vmt_json value;
    uint32_t n = 0;
    if (!is_given(list)) return VMT_OK;
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, NULL, &value); n++) {
        vmt_str text;
        int32_t id = vmt_json_get_str(value, &text) ? vmt_tokenizer_find(w->bundle->tokenizer, text) : -1;
        if (id < 0 || (uint32_t)id >= w->bundle->config->vocab) {
            return refuse(w, "classifier_from_token", "a list of tokens, each in the vocabulary");
        }
        if (n < VMT_CLASSIFIER_TOKENS_MAX) w->label_ids[n] = id;
    }
    if (n < 1 || n > VMT_CLASSIFIER_TOKENS_MAX) {
        return refuse(w, "classifier_from_token", "one token, or two such as [\"no\", \"yes\"]");
    }
    w->num_labels = n;
    w->is_pooling = true;
    return VMT_OK;
}

static vmt_status read_config(struct wish *w, vmt_json config) {
    VMT_TRY(read_matryoshka(w, config));
    VMT_TRY(read_labels(w, VMT_JSON_AT(config, "classifier_from_token")));
    VMT_TRY(read_bool(w, VMT_JSON_AT(config, "is_original_qwen3_reranker"), "is_original_qwen3_reranker",
                      &w->rules.has_qwen3_prompt));
    vmt_str method = {0};
    vmt_json_get_str(VMT_JSON_AT(config, "method"), &method);
    w->is_two_way |= w->rules.has_qwen3_prompt || vmt_str_eq_c(method, "from_2_way_softmax");
    return VMT_OK;
}

/* "Qwen3ForCausalLM" is as good as "Qwen3ForSequenceClassification" or "Qwen3Model" where a family is meant. */
static vmt_status check_architecture(struct wish *w, vmt_json list) {
    static const char *const endings[] = {"ForCausalLM", "ForSequenceClassification", "Model"};
    vmt_str own = vmt_str_from(w->bundle->config->family->hf_arch), arch = {0};
    vmt_str stem = vmt_str_slice(own, 0, own.len - strlen("ForCausalLM"));
    vmt_json first;
    vmt_json_iter it = vmt_json_iter_begin(list);
    if (!is_given(list)) return VMT_OK;
    if (!vmt_json_iter_next(&it, NULL, &first) || !vmt_json_get_str(first, &arch)) {
        return refuse(w, "architectures", "a list of one name");
    }
    for (size_t i = 0; i < VMT_COUNT(endings); i++) {
        vmt_str ending = vmt_str_from(endings[i]);
        if (arch.len == stem.len + ending.len && vmt_str_starts(arch, stem) && vmt_str_ends(arch, ending)) {
            w->is_pooling |= i > 0;
            w->is_classifier = i == 1;
            return VMT_OK;
        }
    }
    return vmt_fail(w->err, VMT_E_UNSUPPORTED,
                    "%s: architecture %.*s is not supported for this model, which is %s", w->source,
                    (int)VMT_MIN(arch.len, 64), arch.ptr, own.ptr);
}

static vmt_status parse_flag(const struct wish *w, vmt_str text, vmt_json_doc **out) {
    vmt_err why = {0};
    if (vmt_json_parse(out, text, &why) != VMT_OK || vmt_json_typeof(vmt_json_root(*out)) != VMT_JSON_OBJECT) {
        return vmt_fail(w->err, VMT_E_INVALID, "%s is not a JSON object: %.128s", w->source, why.msg);
    }
    return VMT_OK;
}

/* Nothing that was asked for is left undone in silence. */
static vmt_status check_names(const struct wish *w, vmt_json object, const char *const *known, size_t num_known) {
    vmt_str key;
    vmt_json value;
    for (vmt_json_iter it = vmt_json_iter_begin(object); vmt_json_iter_next(&it, &key, &value);) {
        bool is_known = vmt_json_is_null(value);
        for (size_t i = 0; i < num_known; i++) is_known |= vmt_str_eq_c(key, known[i]);
        if (!is_known) {
            return vmt_fail_param(w->err, VMT_E_UNSUPPORTED, w->source, "%s: %.*s is not supported", w->source,
                                  (int)VMT_MIN(key.len, 64), key.ptr);
        }
    }
    return VMT_OK;
}

static vmt_status read_overrides(struct wish *w, vmt_str text) {
    static const char *const known[] = {"architectures",         "is_matryoshka", "matryoshka_dimensions",
                                        "classifier_from_token", "method",        "is_original_qwen3_reranker"};
    vmt_json_doc *doc = NULL;
    if (text.len == 0) return VMT_OK;
    w->source = "--hf-overrides";
    vmt_status status = parse_flag(w, text, &doc);
    if (status == VMT_OK) status = check_names(w, vmt_json_root(doc), known, VMT_COUNT(known));
    if (status == VMT_OK) status = check_architecture(w, VMT_JSON_AT(vmt_json_root(doc), "architectures"));
    if (status == VMT_OK) status = read_config(w, vmt_json_root(doc));
    vmt_json_doc_destroy(doc);
    return status;
}

/* ---- --pooler-config */

static vmt_status read_pooler(struct wish *w, vmt_json config) {
    static const struct {
        const char *name;
        vmt_pool_kind kind;
    } kinds[] = {{"LAST", VMT_POOL_LAST}, {"MEAN", VMT_POOL_MEAN}, {"CLS", VMT_POOL_CLS}};
    vmt_json type = VMT_JSON_AT(config, "pooling_type");
    vmt_str name;
    uint64_t dimensions;
    if (!is_given(type)) type = VMT_JSON_AT(config, "seq_pooling_type");
    if (is_given(type)) {
        size_t i = 0;
        if (!vmt_json_get_str(type, &name)) return refuse(w, "pooling_type", "LAST, MEAN or CLS");
        while (i < VMT_COUNT(kinds) && !vmt_str_eq_nocase(name, vmt_str_from(kinds[i].name))) i++;
        if (i == VMT_COUNT(kinds)) return refuse(w, "pooling_type", "LAST, MEAN or CLS");
        w->rules.kind = kinds[i].kind;
    }
    VMT_TRY(read_bool(w, VMT_JSON_AT(config, "normalize"), "normalize", &w->rules.use_activation));
    VMT_TRY(read_bool(w, VMT_JSON_AT(config, "use_activation"), "use_activation", &w->rules.use_activation));
    if (!is_given(VMT_JSON_AT(config, "dimensions"))) return VMT_OK;
    if (!vmt_json_get_u64(VMT_JSON_AT(config, "dimensions"), &dimensions) || dimensions < 1 ||
        dimensions > w->rules.width) {
        return vmt_fail(w->err, VMT_E_INVALID, "%s: dimensions must be 1 to %u", w->source, w->rules.width);
    }
    w->rules.dimensions = (uint32_t)dimensions;
    return VMT_OK;
}

static vmt_status read_pooler_config(struct wish *w, vmt_str text) {
    static const char *const known[] = {"pooling_type", "seq_pooling_type", "use_activation", "normalize",
                                        "dimensions"};
    vmt_json_doc *doc = NULL;
    if (text.len == 0) return VMT_OK;
    w->source = "--pooler-config";
    vmt_status status = parse_flag(w, text, &doc);
    if (status == VMT_OK) status = check_names(w, vmt_json_root(doc), known, VMT_COUNT(known));
    if (status == VMT_OK) status = read_pooler(w, vmt_json_root(doc));
    vmt_json_doc_destroy(doc);
    return status;
}

/* ---- the model's own files */

static vmt_status read_folder(struct wish *w) {
    vmt_json_doc *doc;
    vmt_str arch = {0}, side = {0};
    VMT_TRY(read_file(w, "modules.json", &doc));
    w->source = "modules.json";
    vmt_status status = doc ? read_modules(w, vmt_json_root(doc)) : VMT_OK;
    vmt_json_doc_destroy(doc);
    if (status != VMT_OK) return status;
    VMT_TRY(read_file(w, "config.json", &doc));
    w->source = "config.json";
    if (doc) {
        vmt_json_iter it = vmt_json_iter_begin(VMT_JSON_AT(vmt_json_root(doc), "architectures"));
        vmt_json first;
        if (vmt_json_iter_next(&it, NULL, &first)) vmt_json_get_str(first, &arch);
        w->is_classifier = vmt_str_ends(arch, VMT_STR("ForSequenceClassification"));
        w->is_pooling |= w->is_classifier || vmt_str_ends(arch, VMT_STR("Model"));
        status = read_config(w, vmt_json_root(doc));
    }
    vmt_json_doc_destroy(doc);
    if (status != VMT_OK || w->bundle->tokenizer_config_json.len == 0) return status;
    VMT_TRY(vmt_json_parse(&doc, vmt_buf_str(&w->bundle->tokenizer_config_json), w->err));
    vmt_json config = vmt_json_root(doc);
    w->rules.has_pad_token = is_given(VMT_JSON_AT(config, "pad_token"));
    vmt_json_get_str(VMT_JSON_AT(config, "truncation_side"), &side);
    w->rules.truncates_left = vmt_str_eq_c(side, "left");
    vmt_json_doc_destroy(doc);
    return VMT_OK;
}

/* llama.cpp's converter gives Qwen3-Reranker these labels, and its prompt goes with them. */
static vmt_status read_gguf_labels(struct wish *w, const vmt_gguf *gguf) {
    char key[96];
    vmt_gguf_array array;
    vmt_str labels[2] = {{0}};
    snprintf(key, sizeof key, "%s.classifier.output_labels", w->bundle->config->family->gguf_arch);
    w->is_classifier = true;
    if (!vmt_gguf_get_array(gguf, key, &array)) return VMT_OK;
    bool is_yes_no = array.len == 2 && vmt_gguf_array_strs(&array, labels) && vmt_str_eq_c(labels[0], "yes") &&
                     vmt_str_eq_c(labels[1], "no");
    w->rules.has_qwen3_prompt = is_yes_no;
    if (is_yes_no || array.len == 1) return VMT_OK;
    return vmt_fail(w->err, VMT_E_UNSUPPORTED, "GGUF: %s has %u labels; one is supported, or \"yes\" and \"no\"",
                    key, array.len);
}

/* llama.cpp's numbers: 0 none, 1 mean, 2 cls, 3 last, 4 rank. */
static vmt_status read_gguf(struct wish *w, const vmt_gguf *gguf) {
    static const vmt_pool_kind kinds[] = {VMT_POOL_NONE, VMT_POOL_MEAN, VMT_POOL_CLS, VMT_POOL_LAST,
                                          VMT_POOL_LAST};
    enum { RANK = 4 };
    char key[96];
    uint64_t type = 0, id;
    w->rules.has_pad_token = vmt_gguf_u64(gguf, "tokenizer.ggml.padding_token_id", &id);
    snprintf(key, sizeof key, "%s.pooling_type", w->bundle->config->family->gguf_arch);
    if (!vmt_gguf_u64(gguf, key, &type) || type == 0) return VMT_OK;
    if (type >= VMT_COUNT(kinds)) {
        return vmt_fail(w->err, VMT_E_UNSUPPORTED,
                        "GGUF: %s is %llu; supported are 1 (mean), 2 (cls), 3 (last) and 4 (rank)", key,
                        (unsigned long long)type);
    }
    w->is_pooling = w->is_pooled_by_file = true;
    w->rules.kind = kinds[type];
    return type == RANK ? read_gguf_labels(w, gguf) : VMT_OK;
}

/* ---- the decision */

static vmt_status open_classifier(struct wish *w) {
    const vmt_bundle *b = w->bundle;
    if (w->num_labels == 2 && !w->is_two_way) {
        return vmt_fail(w->err, VMT_E_UNSUPPORTED,
                        "classifier_from_token has two tokens; their scores are compared with \"method\": "
                        "\"from_2_way_softmax\" or \"is_original_qwen3_reranker\": true, and not otherwise");
    }
    float *weight = VMT_ARENA_NEW(b->arena, float, b->config->hidden);
    if (!weight) return vmt_fail(w->err, VMT_E_NO_MEMORY, "no memory for the classifier");
    w->rules.score_weight = weight;
    if (w->num_labels == 0) return vmt_classifier_from_file(weight, b->config, b->weights, w->err);
    return vmt_classifier_from_tokens(weight, b->config, b->weights, w->label_ids, w->num_labels, w->err);
}

static vmt_status decide(struct wish *w, const vmt_bundle_options *options) {
    bool is_auto = vmt_str_eq_c(options->runner, "auto"), embeds = vmt_str_eq_c(options->convert, "embed");
    bool classifies = vmt_str_eq_c(options->convert, "classify"),
         has_classifier = w->is_classifier || w->num_labels;
    bool pools = is_auto ? w->is_pooling || embeds || classifies : vmt_str_eq_c(options->runner, "pooling");
    w->rules.task = VMT_TASK_GENERATE;
    if (!pools) return VMT_OK;
    if (classifies && !has_classifier) {
        return vmt_fail_param(w->err, VMT_E_INVALID, "--convert",
                              "--convert classify needs the tokens to judge by, for example --hf-overrides "
                              "'{\"classifier_from_token\": [\"no\", \"yes\"]}'");
    }
    w->rules.task = has_classifier && !embeds ? VMT_TASK_SCORE : VMT_TASK_EMBED;
    if (w->rules.task == VMT_TASK_EMBED) return VMT_OK;
    /* A reranker often carries the chat template of the model it was made from: only one that was given counts. */
    w->rules.has_score_template = options->chat_template.len > 0;
    return open_classifier(w);
}

static void log_plan(const vmt_pooling_rules *rules) {
    static const char *const kinds[] = {"NONE", "LAST", "MEAN", "CLS"};
    if (rules->task == VMT_TASK_GENERATE) return;
    vmt_log_info("event=pooling task=%s pooling_type=%s use_activation=%s dimensions=%u matryoshka=%s",
                 rules->task == VMT_TASK_EMBED ? "embed" : "score", kinds[rules->kind],
                 rules->use_activation ? "true" : "false", rules->dimensions ? rules->dimensions : rules->width,
                 rules->is_matryoshka ? "true" : "false");
}

vmt_status vmt_bundle_open_pooling(vmt_bundle *bundle, const vmt_bundle_options *options, vmt_err *err) {
    struct wish w = {
        .bundle = bundle,
        .rules = {.kind = VMT_POOL_LAST, .use_activation = true, .width = bundle->config->hidden},
        .err = err,
    };
    const vmt_gguf *gguf = vmt_weight_file_gguf(bundle->weights);
    /* What only matters to pooling must not keep a model from generating. */
    bool generates = vmt_str_eq_c(options->runner, "generate");
    if (!generates) VMT_TRY(gguf ? read_gguf(&w, gguf) : read_folder(&w));
    VMT_TRY(read_overrides(&w, options->hf_overrides));
    VMT_TRY(read_pooler_config(&w, options->pooler_config));
    VMT_TRY(decide(&w, options));
    bundle->pooling = w.rules;
    bundle->config->headless = w.rules.task != VMT_TASK_GENERATE;
    log_plan(&w.rules);
    return VMT_OK;
}
