#include "cli/bundle.h"

#include "backend/cpu/cpu.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/bundle_device.h"
#include "cli/bundle_pooling.h"
#include "cli/bundle_text.h"
#include "cli/environment.h"
#include "cli/progress.h"
#include "hub/resolve.h"

#include <stdio.h>
#include <stdlib.h>

#define FAKE_BYTES_MAX   ((size_t)64 << 20) /* scripts of --fake-model */
#define FAKE_CONTEXT_MAX 131072u            /* that --max-model-len may ask for with them */
#define BUNDLE_ARENA_MAX ((size_t)64 << 20) /* paths, templates, config: small things */

const vmt_bundle_options vmt_bundle_defaults = VMT_BUNDLE_DEFAULTS;

static void download_progress(void *ctx, const char *label, uint64_t done, uint64_t total) {
    vmt_progress *bar = ctx;
    if (bar->started_ns == 0) vmt_progress_begin(bar, label, false);
    vmt_progress_update(bar, done, total);
}

static vmt_status find_model(vmt_bundle *bundle, const vmt_bundle_options *options, vmt_err *err) {
    vmt_progress bar = {0};
    vmt_hub_config hub = vmt_environment_hub(bundle->arena);
    if (options->download_dir.len > 0) hub.cache_dir = vmt_arena_dup(bundle->arena, options->download_dir).ptr;
    if (!options->quiet) {
        hub.progress = download_progress;
        hub.progress_ctx = &bar;
    }
    vmt_buf path;
    vmt_buf_init(&path, 0);
    vmt_status status = vmt_hub_resolve(&hub, options->model, &path, err);
    vmt_progress_end(&bar);
    if (status == VMT_OK) {
        bundle->path = (char *)vmt_arena_dup(bundle->arena, vmt_buf_str(&path)).ptr;
        if (bundle->path == NULL) status = vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the model's path");
    }
    vmt_buf_free(&path);
    return status;
}

static vmt_status open_config(vmt_bundle *bundle, vmt_err *err) {
    bundle->config = VMT_ARENA_NEW(bundle->arena, vmt_model_config, 1);
    if (bundle->config == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the model's config");
    const vmt_gguf *gguf = vmt_weight_file_gguf(bundle->weights);
    if (gguf != NULL) return vmt_model_config_from_gguf(bundle->config, gguf, err);

    vmt_buf text;
    bool found = false;
    vmt_json_doc *doc = NULL;
    vmt_buf_init(&text, 0);
    vmt_status status = vmt_bundle_read(bundle->path, "config.json", VMT_CONFIG_JSON_MAX, &text, &found, err);
    if (status == VMT_OK && !found) {
        status = vmt_fail(err, VMT_E_NOT_FOUND, "%.160s has no config.json", bundle->path);
    }
    if (status == VMT_OK) status = vmt_json_parse(&doc, vmt_buf_str(&text), err);
    if (status == VMT_OK) status = vmt_model_config_from_json(bundle->config, vmt_json_root(doc), err);
    vmt_json_doc_destroy(doc);
    vmt_buf_free(&text);
    return status;
}

vmt_status vmt_bundle_open_shape(vmt_bundle *out, const vmt_bundle_options *options, vmt_err *err) {
    *out = (vmt_bundle){.arena = vmt_arena_create(BUNDLE_ARENA_MAX)};
    if (out->arena == NULL) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory to open a model");
    vmt_buf_init(&out->tokenizer_config_json, 0);
    VMT_TRY(find_model(out, options, err));
    VMT_TRY(vmt_weight_file_open(&out->weights, out->path, err));
    return open_config(out, err);
}

vmt_status vmt_bundle_open(vmt_bundle *out, const vmt_bundle_options *options, vmt_err *err) {
    VMT_TRY(vmt_bundle_open_shape(out, options, err));
    VMT_TRY(vmt_bundle_open_tokenizer(out, options, err));
    VMT_TRY(vmt_bundle_open_template(out, options, err));
    VMT_TRY(vmt_bundle_open_defaults(out, options, err));
    return vmt_bundle_open_pooling(out, options, err);
}

static vmt_status size_kv(vmt_bundle *bundle, const vmt_bundle_options *options, vmt_model_kv_options *kv,
                          vmt_err *err) {
    uint32_t context = bundle->config->context_max;
    uint32_t wanted = options->max_model_len > 0 ? (uint32_t)VMT_MIN(options->max_model_len, UINT32_MAX) : context;
    uint32_t limit = options->fake_model.len ? VMT_MAX(context, FAKE_CONTEXT_MAX) : context;
    if (options->max_model_len > (int64_t)limit) {
        return vmt_fail_param(err, VMT_E_INVALID, "--max-model-len",
                              "--max-model-len is %lld, the model's context is %u tokens",
                              (long long)options->max_model_len, limit);
    }
    kv->block_size = bundle->block_size = (uint32_t)options->block_size;
    kv->dtype = bundle->kv_dtype;
    kv->context_max = wanted;
    kv->tokens_max = (uint32_t)options->max_num_batched_tokens;
    /* A hidden state is small beside a row of logits: all of a step's may be wanted. */
    kv->logits_max =
        bundle->config->headless ? kv->tokens_max : (uint32_t)options->max_num_seqs + VMT_PROMPT_LOGIT_ROWS;
    kv->seqs_max = (uint32_t)options->max_num_seqs;
    kv->step_timeout_ns = vmt_bundle_step_timeout_ns(bundle, options);
    size_t block_bytes = vmt_model_kv_block_bytes(bundle->model, kv->block_size, kv->dtype);
    bundle->scratch_bytes = vmt_model_scratch_bytes(bundle->model, kv);
    uint64_t budget;
    VMT_TRY(vmt_bundle_kv_budget(bundle, options, 2 * (uint64_t)block_bytes, &budget, err));
    uint64_t blocks = budget / block_bytes;
    /* More blocks than every seat at full length can never be used. */
    uint64_t per_seq = ((uint64_t)wanted + kv->block_size - 1) / kv->block_size;
    blocks = VMT_MIN(blocks, per_seq * (uint64_t)options->max_num_seqs + 1);
    if (options->num_blocks_override > 0) blocks = (uint64_t)options->num_blocks_override;
    blocks = VMT_MIN(blocks, (uint64_t)VMT_BLOCKS_MAX);
    if (blocks < 2) {
        return vmt_fail(
            err, VMT_E_EXHAUSTED,
            "the KV cache's budget is %.0f MB, one block of %u tokens needs %.2f MB and two are the least",
            (double)budget * 1e-6, kv->block_size, (double)block_bytes * 1e-6);
    }
    kv->num_blocks = bundle->num_blocks = (uint32_t)blocks;
    bundle->kv_bytes = blocks * block_bytes;
    uint64_t fits = (blocks - 1) * kv->block_size;
    if (fits < wanted) {
        vmt_log_warn("event=context_reduced max_model_len=%llu asked=%u note=\"the KV budget of %.0f MB holds no "
                     "more; raise it with --kv-cache-memory-bytes\"",
                     (unsigned long long)fits, wanted, (double)budget * 1e-6);
        kv->context_max = (uint32_t)fits;
    }
    bundle->max_model_len = kv->context_max;
    return VMT_OK;
}

static void load_progress(void *ctx, uint64_t done, uint64_t total) {
    vmt_progress_update(ctx, done, total);
}

/* --cpu-isa lowers the process before the backend and the kernels look. */
static vmt_status limit_isa(vmt_str name, vmt_err *err) {
    if (name.len == 0) return VMT_OK;
    for (int isa = 0; isa < VMT_NUM_ISAS; isa++) {
        if (!vmt_str_eq_c(name, vmt_isa_name((vmt_isa)isa))) continue;
        if (!vmt_isa_present((vmt_isa)isa)) {
            return vmt_fail_param(err, VMT_E_INVALID, "--cpu-isa", "this machine has no %s",
                                  vmt_isa_name((vmt_isa)isa));
        }
        vmt_isa_limit((vmt_isa)isa);
        return VMT_OK;
    }
    return vmt_fail_param(err, VMT_E_INVALID, "--cpu-isa", "--cpu-isa %.*s is unknown; `vmetal doctor` lists them",
                          VMT_STR_ARG(name));
}

static vmt_status load_fake(vmt_bundle *bundle, vmt_str path, vmt_err *err) {
    if (bundle->config->headless) {
        return vmt_fail_param(err, VMT_E_UNSUPPORTED, "--fake-model",
                              "--fake-model says texts, it has no embeddings");
    }
    const vmt_runner real = vmt_model_runner(bundle->model);
    const vmt_scripted_runner_config config = {
        .tokenizer = bundle->tokenizer,
        .eos_id = bundle->num_eos_ids ? bundle->eos_ids[0] : vmt_tokenizer_eos(bundle->tokenizer),
        .vocab = real.vocab,
        .max_model_len = bundle->max_model_len,
        .num_blocks = bundle->num_blocks,
        .block_size = bundle->block_size,
    };
    vmt_buf scripts = {0};
    vmt_str name = vmt_arena_dup(bundle->arena, path);
    if (!name.ptr) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for a path");
    vmt_status status = vmt_file_read(&scripts, name.ptr, FAKE_BYTES_MAX, err);
    if (status == VMT_OK) {
        status = vmt_scripted_runner_create(&bundle->fake, vmt_buf_str(&scripts), &config, err);
    }
    vmt_buf_free(&scripts);
    return status;
}

static void log_memory(const vmt_bundle *bundle) {
    const vmt_gpu *gpu = bundle->gpu;
    vmt_log_info(
        "event=memory device=%s weights_mb=%.0f kv_cache_mb=%.0f kv_dtype=%s scratch_mb=%.0f num_blocks=%u "
        "block_size=%u max_model_len=%u threads=%u isa=%s",
        gpu ? gpu->driver : "cpu", (double)bundle->weight_bytes * 1e-6, (double)bundle->kv_bytes * 1e-6,
        vmt_dtype_get(bundle->kv_dtype)->name, (double)bundle->scratch_bytes * 1e-6, bundle->num_blocks,
        bundle->block_size, bundle->max_model_len, gpu ? 0 : bundle->backend->num_workers,
        gpu ? "gpu" : vmt_isa_name(vmt_isa_best()));
}

vmt_status vmt_bundle_load(vmt_bundle *bundle, const vmt_bundle_options *options, vmt_err *err) {
    VMT_TRY(limit_isa(options->cpu_isa, err));
    VMT_TRY(vmt_bundle_open_device(bundle, options, err));
    vmt_progress bar;
    vmt_progress_begin(&bar, "loading weights", options->quiet);
    vmt_model_progress progress = {load_progress, &bar};
    vmt_status status = vmt_bundle_open_model(bundle, options, progress, err);
    vmt_progress_end(&bar);
    if (status != VMT_OK) return status;
    VMT_TRY(vmt_bundle_choose_kv_dtype(bundle, options, err));
    bundle->weight_bytes = vmt_model_weight_bytes(bundle->model);
    vmt_model_kv_options kv = {0};
    VMT_TRY(size_kv(bundle, options, &kv, err));
    VMT_TRY(vmt_bundle_create_kv(bundle, &kv, err));
    log_memory(bundle);
    return options->fake_model.len ? load_fake(bundle, options->fake_model, err) : VMT_OK;
}

/* Most prompt tokens of a step in which others decode.  Processors compute a prompt's rows as fast 128 at a time as
 * 512, and others wait a quarter as long (docs/performance.md); no GPU was asked yet. */
static uint32_t mixed_prefill_tokens(const vmt_bundle *bundle, const vmt_bundle_options *options) {
    const int64_t least = 128, part = 4;
    return bundle->gpu == NULL ? (uint32_t)VMT_MAX(options->max_num_batched_tokens / part, least) : 0;
}

vmt_status vmt_bundle_engine(const vmt_bundle *bundle, const vmt_bundle_options *options,
                             void (*on_progress)(void *ctx), void *ctx, vmt_engine **out, vmt_err *err) {
    vmt_engine_config config = {
        .sched =
            {
                .num_blocks = bundle->num_blocks,
                .block_size = bundle->block_size,
                .max_num_seqs = (uint32_t)options->max_num_seqs,
                .max_num_batched_tokens = (uint32_t)options->max_num_batched_tokens,
                .max_model_len = bundle->max_model_len,
                .long_prefill_token_threshold = (uint32_t)options->long_prefill_token_threshold,
                .mixed_prefill_tokens = mixed_prefill_tokens(bundle, options),
                .max_num_logit_rows = bundle->config->headless ? (uint32_t)options->max_num_batched_tokens : 0,
                .enable_prefix_caching = options->enable_prefix_caching,
                .enable_chunked_prefill = options->enable_chunked_prefill,
                .policy =
                    vmt_str_eq_c(options->scheduling_policy, "priority") ? VMT_SCHED_PRIORITY : VMT_SCHED_FCFS,
                .hash_key = vmt_hash_key_random(),
            },
        .waiting_max = 16384,
        .eos_ids = bundle->eos_ids,
        .num_eos_ids = bundle->num_eos_ids,
        .on_progress = on_progress,
        .on_progress_ctx = ctx,
    };
    vmt_runner runner = bundle->fake ? vmt_scripted_runner_face(bundle->fake) : vmt_model_runner(bundle->model);
    return vmt_engine_create(out, &config, runner, err);
}

void vmt_bundle_close(vmt_bundle *bundle) {
    vmt_scripted_runner_destroy(bundle->fake);
    vmt_model_close(bundle->model);
    vmt_backend_destroy(bundle->backend);
    vmt_gpu_close(bundle->gpu);
    vmt_chat_template_destroy(bundle->chat_template);
    vmt_tokenizer_destroy(bundle->tokenizer);
    vmt_weight_file_close(bundle->weights);
    vmt_buf_free(&bundle->tokenizer_config_json);
    vmt_arena_destroy(bundle->arena);
    *bundle = (vmt_bundle){0};
}
