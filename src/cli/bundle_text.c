#include "cli/bundle_text.h"

#include "base/file.h"
#include "base/log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

vmt_status vmt_bundle_read(const char *dir, const char *name, size_t bytes_max, vmt_buf *buf, bool *found,
                           vmt_err *err) {
    char path[4096];
    *found = false;
    int len = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (len < 0 || (size_t)len >= sizeof path)
        return vmt_fail(err, VMT_E_INVALID, "path %.64s... is too long", dir);
    if (!vmt_file_exists(path)) return VMT_OK;
    *found = true;
    return vmt_file_read(buf, path, bytes_max, err);
}

/* ---- tokenizer */

static int32_t gguf_id(const vmt_gguf *gguf, const char *key) {
    uint64_t id = 0;
    return vmt_gguf_u64(gguf, key, &id) && id < VMT_VOCAB_MAX ? (int32_t)id : -1;
}

static int32_t gguf_flag(const vmt_gguf *gguf, const char *key) {
    bool on = false;
    return vmt_gguf_bool(gguf, key, &on) ? (int32_t)on : -1;
}

/* Arrays of the header into the arena; a missing optional one stays NULL. */
static vmt_status gguf_arrays(const vmt_gguf *gguf, vmt_arena *arena, vmt_tokenizer_gguf *spec, vmt_err *err) {
    vmt_gguf_array array;
    if (!vmt_gguf_get_array(gguf, "tokenizer.ggml.tokens", &array)) {
        return vmt_fail(err, VMT_E_INVALID, "the GGUF file has no tokenizer (tokenizer.ggml.tokens is missing)");
    }
    if (array.len == 0 || array.len > VMT_VOCAB_MAX) {
        return vmt_fail(err, VMT_E_INVALID, "tokenizer.ggml.tokens has %u entries, the limit is %u", array.len,
                        VMT_VOCAB_MAX);
    }
    spec->num_tokens = array.len;
    vmt_str *tokens = VMT_ARENA_NEW(arena, vmt_str, array.len);
    float *scores = VMT_ARENA_NEW(arena, float, array.len);
    int32_t *kinds = VMT_ARENA_NEW(arena, int32_t, array.len);
    if (tokens == NULL || scores == NULL || kinds == NULL) {
        return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for %u tokens", array.len);
    }
    if (!vmt_gguf_array_strs(&array, tokens)) {
        return vmt_fail(err, VMT_E_INVALID, "tokenizer.ggml.tokens does not hold strings");
    }
    spec->tokens = tokens;
    if (vmt_gguf_get_array(gguf, "tokenizer.ggml.scores", &array) && array.len == spec->num_tokens &&
        vmt_gguf_array_f32(&array, scores)) {
        spec->scores = scores;
    }
    if (vmt_gguf_get_array(gguf, "tokenizer.ggml.token_type", &array) && array.len == spec->num_tokens &&
        vmt_gguf_array_i32(&array, kinds)) {
        spec->kinds = kinds;
    }
    if (vmt_gguf_get_array(gguf, "tokenizer.ggml.merges", &array) && array.len > 0) {
        vmt_str *merges = VMT_ARENA_NEW(arena, vmt_str, array.len);
        if (merges == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for %u merges", array.len);
        if (!vmt_gguf_array_strs(&array, merges)) {
            return vmt_fail(err, VMT_E_INVALID, "tokenizer.ggml.merges does not hold strings");
        }
        spec->merges = merges;
        spec->num_merges = array.len;
    }
    return VMT_OK;
}

static vmt_status tokenizer_from_gguf(vmt_bundle *bundle, const vmt_gguf *gguf, vmt_err *err) {
    vmt_tokenizer_gguf spec = {
        .bos_id = gguf_id(gguf, "tokenizer.ggml.bos_token_id"),
        .eos_id = gguf_id(gguf, "tokenizer.ggml.eos_token_id"),
        .unk_id = gguf_id(gguf, "tokenizer.ggml.unknown_token_id"),
        .pad_id = gguf_id(gguf, "tokenizer.ggml.padding_token_id"),
        .add_bos = gguf_flag(gguf, "tokenizer.ggml.add_bos_token"),
        .add_eos = gguf_flag(gguf, "tokenizer.ggml.add_eos_token"),
        .add_space_prefix = gguf_flag(gguf, "tokenizer.ggml.add_space_prefix"),
    };
    vmt_gguf_str(gguf, "tokenizer.ggml.model", &spec.model);
    vmt_gguf_str(gguf, "tokenizer.ggml.pre", &spec.pre);
    vmt_arena *scratch = vmt_arena_create((size_t)1 << 30);
    if (scratch == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the tokenizer");
    vmt_status status = gguf_arrays(gguf, scratch, &spec, err);
    if (status == VMT_OK) status = vmt_tokenizer_from_gguf(&bundle->tokenizer, &spec, err);
    vmt_arena_destroy(scratch);
    return status;
}

static vmt_status tokenizer_from_dir(vmt_bundle *bundle, const char *dir, vmt_err *err) {
    vmt_buf json;
    bool found = false;
    vmt_buf_init(&json, VMT_TOKENIZER_JSON_MAX);
    vmt_status status = vmt_bundle_read(dir, "tokenizer.json", VMT_TOKENIZER_JSON_MAX, &json, &found, err);
    if (status == VMT_OK && !found) {
        status = vmt_fail(err, VMT_E_NOT_FOUND, "%.160s has no tokenizer.json", dir);
    }
    if (status == VMT_OK) status = vmt_tokenizer_from_json(&bundle->tokenizer, vmt_buf_str(&json), err);
    vmt_buf_free(&json);
    return status;
}

vmt_status vmt_bundle_open_tokenizer(vmt_bundle *bundle, const vmt_bundle_options *options, vmt_err *err) {
    if (options->tokenizer.len > 0) {
        vmt_str dir = vmt_arena_dup(bundle->arena, options->tokenizer);
        return dir.ptr == NULL ? VMT_E_NO_MEMORY : tokenizer_from_dir(bundle, dir.ptr, err);
    }
    const vmt_gguf *gguf = vmt_weight_file_gguf(bundle->weights);
    return gguf != NULL ? tokenizer_from_gguf(bundle, gguf, err) : tokenizer_from_dir(bundle, bundle->path, err);
}

/* ---- chat template */

/* tokenizer_config.json: a string, or a list of {name, template} of which "default" is wanted. */
static vmt_str template_of_config(vmt_json config) {
    vmt_str text = {0};
    vmt_json value = VMT_JSON_AT(config, "chat_template");
    if (vmt_json_get_str(value, &text)) return text;
    vmt_json entry;
    for (vmt_json_iter it = vmt_json_iter_begin(value); vmt_json_iter_next(&it, NULL, &entry);) {
        vmt_str name;
        if (vmt_json_get_str(VMT_JSON_AT(entry, "name"), &name) && vmt_str_eq_c(name, "default")) {
            vmt_json_get_str(VMT_JSON_AT(entry, "template"), &text);
        }
    }
    return text;
}

static vmt_status template_from_dir(vmt_bundle *bundle, vmt_buf *source, vmt_err *err) {
    bool found = false;
    VMT_TRY(vmt_bundle_read(bundle->path, "tokenizer_config.json", VMT_CONFIG_JSON_MAX,
                            &bundle->tokenizer_config_json, &found, err));
    VMT_TRY(vmt_bundle_read(bundle->path, "chat_template.jinja", VMT_TEMPLATE_SOURCE_MAX, source, &found, err));
    if (found || bundle->tokenizer_config_json.len == 0) return VMT_OK;
    vmt_json_doc *doc = NULL;
    vmt_status status = vmt_json_parse(&doc, vmt_buf_str(&bundle->tokenizer_config_json), err);
    if (status == VMT_OK) vmt_buf_append(source, template_of_config(vmt_json_root(doc)));
    vmt_json_doc_destroy(doc);
    return status;
}

static vmt_status template_source(vmt_bundle *bundle, const vmt_bundle_options *options, vmt_buf *source,
                                  vmt_err *err) {
    const vmt_gguf *gguf = vmt_weight_file_gguf(bundle->weights);
    vmt_str text = {0};
    if (gguf == NULL) {
        VMT_TRY(template_from_dir(bundle, source, err));
    } else if (vmt_gguf_str(gguf, "tokenizer.chat_template", &text)) {
        vmt_buf_append(source, text);
    }
    if (options->chat_template.len == 0) return VMT_OK;

    vmt_buf_clear(source);
    vmt_str path = vmt_arena_dup(bundle->arena, options->chat_template);
    if (path.ptr == NULL) return VMT_E_NO_MEMORY;
    if (vmt_file_exists(path.ptr)) return vmt_file_read(source, path.ptr, VMT_TEMPLATE_SOURCE_MAX, err);
    if (vmt_str_find(options->chat_template, VMT_STR("{{"), 0) == SIZE_MAX &&
        vmt_str_find(options->chat_template, VMT_STR("{%"), 0) == SIZE_MAX) {
        return vmt_fail_param(err, VMT_E_NOT_FOUND, "--chat-template",
                              "--chat-template %.128s is neither a file nor a template", path.ptr);
    }
    vmt_buf_append(source, options->chat_template);
    return VMT_OK;
}

vmt_status vmt_bundle_open_template(vmt_bundle *bundle, const vmt_bundle_options *options, vmt_err *err) {
    vmt_buf source;
    vmt_buf_init(&source, 0);
    vmt_status status = template_source(bundle, options, &source, err);
    if (status == VMT_OK && source.len > 0) {
        status = vmt_chat_template_compile(&bundle->chat_template, vmt_buf_str(&source), err);
    }
    vmt_buf_free(&source);
    return status;
}

/* ---- generation defaults */

static void add_eos(vmt_bundle *bundle, int64_t id) {
    if (id < 0 || id >= VMT_VOCAB_MAX || bundle->num_eos_ids == VMT_EOS_IDS_MAX) return;
    for (uint32_t i = 0; i < bundle->num_eos_ids; i++) {
        if (bundle->eos_ids[i] == (int32_t)id) return;
    }
    bundle->eos_ids[bundle->num_eos_ids++] = (int32_t)id;
}

static void add_eos_json(vmt_bundle *bundle, vmt_json value) {
    int64_t id = -1;
    if (vmt_json_get_i64(value, &id)) {
        add_eos(bundle, id);
        return;
    }
    vmt_json entry;
    for (vmt_json_iter it = vmt_json_iter_begin(value); vmt_json_iter_next(&it, NULL, &entry);) {
        if (vmt_json_get_i64(entry, &id)) add_eos(bundle, id);
    }
}

static void set_float(vmt_json object, const char *key, double min, double max, float *out) {
    double value = 0;
    if (!vmt_json_get_f64(vmt_json_member(object, vmt_str_from(key)), &value)) return;
    if (isfinite(value) && value >= min && value <= max) {
        *out = (float)value;
    } else {
        vmt_log_warn("event=generation_config field=%s value=%g note=\"out of range, ignored\"", key, value);
    }
}

static void apply_generation_config(vmt_bundle *bundle, vmt_json config) {
    vmt_sampling_defaults *d = &bundle->defaults;
    set_float(config, "temperature", 0, 2, &d->temperature);
    set_float(config, "top_p", 1e-6, 1, &d->top_p);
    set_float(config, "min_p", 0, 1, &d->min_p);
    set_float(config, "repetition_penalty", 1e-6, 100, &d->repetition_penalty);
    set_float(config, "presence_penalty", -2, 2, &d->presence_penalty);
    set_float(config, "frequency_penalty", -2, 2, &d->frequency_penalty);
    int64_t value = 0;
    if (vmt_json_get_i64(VMT_JSON_AT(config, "top_k"), &value) && value >= -1 && value < VMT_VOCAB_MAX) {
        d->top_k = (int32_t)VMT_MAX(value, 0);
    }
    if (vmt_json_get_i64(VMT_JSON_AT(config, "max_new_tokens"), &value) && value > 0 && value <= UINT32_MAX) {
        d->max_new_tokens = (uint32_t)value;
    }
}

static vmt_status apply_text(vmt_bundle *bundle, vmt_str text, const char *what, bool sampling, vmt_err *err) {
    vmt_json_doc *doc = NULL;
    vmt_err why = {0};
    if (vmt_json_parse(&doc, text, &why) != VMT_OK || vmt_json_typeof(vmt_json_root(doc)) != VMT_JSON_OBJECT) {
        vmt_json_doc_destroy(doc);
        return vmt_fail(err, VMT_E_INVALID, "%s is not a JSON object: %.128s", what, why.msg);
    }
    add_eos_json(bundle, VMT_JSON_AT(vmt_json_root(doc), "eos_token_id"));
    if (sampling) apply_generation_config(bundle, vmt_json_root(doc));
    vmt_json_doc_destroy(doc);
    return VMT_OK;
}

vmt_status vmt_bundle_open_defaults(vmt_bundle *bundle, const vmt_bundle_options *options, vmt_err *err) {
    bundle->defaults = (vmt_sampling_defaults){.temperature = 1, .top_p = 1, .repetition_penalty = 1};
    for (uint32_t i = 0; i < bundle->config->num_eos_ids; i++) add_eos(bundle, bundle->config->eos_ids[i]);
    add_eos(bundle, vmt_tokenizer_eos(bundle->tokenizer));
    const vmt_gguf *gguf = vmt_weight_file_gguf(bundle->weights);
    if (gguf != NULL) {
        add_eos(bundle, gguf_id(gguf, "tokenizer.ggml.eot_token_id"));
        add_eos(bundle, gguf_id(gguf, "tokenizer.ggml.eom_token_id"));
    }
    /* End ids come from the model's own file even where its sampling advice is not wanted. */
    bool vllm = vmt_str_eq_c(options->generation_config, "vllm");
    bool own = vllm || options->generation_config.len == 0 || vmt_str_eq_c(options->generation_config, "auto");
    const char *dir = own ? bundle->path : vmt_arena_dup(bundle->arena, options->generation_config).ptr;
    if (dir == NULL) return VMT_E_NO_MEMORY;
    vmt_buf text;
    bool found = false;
    vmt_buf_init(&text, 0);
    vmt_status status = VMT_OK;
    if (gguf == NULL || !own) {
        status = vmt_bundle_read(dir, "generation_config.json", VMT_CONFIG_JSON_MAX, &text, &found, err);
        if (status == VMT_OK && !found && !own) {
            status = vmt_fail(err, VMT_E_NOT_FOUND, "%.160s has no generation_config.json", dir);
        }
    }
    if (status == VMT_OK && found) {
        status = apply_text(bundle, vmt_buf_str(&text), "generation_config.json", !vllm, err);
    }
    if (status == VMT_OK && options->override_generation_config.len > 0) {
        status =
            apply_text(bundle, options->override_generation_config, "--override-generation-config", true, err);
    }
    vmt_buf_free(&text);
    return status;
}
