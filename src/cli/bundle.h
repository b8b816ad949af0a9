/* cli/bundle.h: everything one MODEL argument stands for, opened: weights, config, tokenizer, template, defaults, and
 * an engine over them.  `serve`, `bench throughput`, `bench latency` and `tokenize` share it. */
#ifndef VMT_CLI_BUNDLE_H
#define VMT_CLI_BUNDLE_H

#include "api/api.h"
#include "backend/backend.h"
#include "cli/scripted_runner.h"
#include "engine/engine.h"
#include "model/model.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

typedef struct vmt_bundle_options {
    vmt_str model;                           /* path or name, as typed */
    vmt_str tokenizer;                       /* another path, or empty */
    vmt_str chat_template;                   /* file, or single-line text; or empty */
    vmt_str generation_config;               /* auto | vllm | folder */
    vmt_str override_generation_config;      /* JSON object or empty */
    vmt_str download_dir;                    /* cache folder instead of the user's; or empty */
    int64_t max_model_len;                   /* -1: the model's, reduced to what fits */
    double memory_utilization;               /* of available memory, 0..1 */
    int64_t kv_cache_memory_bytes;           /* > 0 overrides */
    vmt_str kv_cache_dtype;                  /* auto | float32 | float16 | bfloat16 | int8 */
    vmt_str device;                          /* auto | cpu | metal | cuda | host */
    vmt_str dtype;                           /* of activations on a GPU: auto | float32 | float16 | bfloat16 */
    int64_t block_size, num_blocks_override; /* 0: from memory */
    int64_t max_num_seqs, max_num_batched_tokens, long_prefill_token_threshold;
    bool enable_prefix_caching, enable_chunked_prefill;
    vmt_str scheduling_policy;
    int64_t step_timeout_ms;             /* of a GPU; 0: a minute, an hour for the host driver */
    int64_t threads;                     /* 0: one per core */
    vmt_str runner;                      /* auto | generate | pooling */
    vmt_str convert;                     /* auto | none | embed | classify */
    vmt_str hf_overrides, pooler_config; /* JSON objects or empty */
    vmt_str cpu_isa;    /* instruction set to stay below: a name of vmt_isa_name(); empty: the machine's best */
    vmt_str fake_model; /* file of scripts for cli/scripted_runner.h, said in the model's place; or empty */
    bool quiet;         /* no progress bars */
} vmt_bundle_options;

/* A constant expression, so that each command's defaults can hold it. */
#define VMT_BUNDLE_DEFAULTS               \
    {                                     \
        .generation_config = {"auto", 4}, \
        .max_model_len = -1,              \
        .kv_cache_dtype = {"auto", 4},    \
        .device = {"auto", 4},            \
        .dtype = {"auto", 4},             \
        .block_size = 16,                 \
        .max_num_seqs = 256,              \
        .max_num_batched_tokens = 512,    \
        .enable_prefix_caching = true,    \
        .enable_chunked_prefill = true,   \
        .scheduling_policy = {"fcfs", 4}, \
        .runner = {"auto", 4},            \
        .convert = {"auto", 4},           \
    }
extern const vmt_bundle_options vmt_bundle_defaults;

typedef struct vmt_bundle {
    vmt_arena *arena;
    char *path; /* where the model is */
    vmt_weight_file *weights;
    vmt_model_config *config;
    vmt_backend *backend; /* the CPU; or */
    vmt_gpu *gpu;         /* a GPU */
    vmt_model *model;
    vmt_scripted_runner *fake; /* NULL: the model runs */
    vmt_tokenizer *tokenizer;
    vmt_chat_template *chat_template; /* NULL: none */
    vmt_buf tokenizer_config_json;
    vmt_sampling_defaults defaults;
    vmt_pooling_rules pooling;
    int32_t eos_ids[VMT_EOS_IDS_MAX];
    uint32_t num_eos_ids;
    /* decided by vmt_bundle_load */
    uint32_t block_size, num_blocks, max_model_len;
    uint64_t kv_bytes, weight_bytes, scratch_bytes;
    vmt_dtype kv_dtype;
} vmt_bundle;

/* Finds (fetching if need be) and opens what says the model's shape: path, mapped weights, config.  `bench predict`
 * stops here. */
vmt_status vmt_bundle_open_shape(vmt_bundle *out, const vmt_bundle_options *options, vmt_err *err);
/* The same, and the text half: tokenizer, template, defaults.  `tokenize` stops here. */
vmt_status vmt_bundle_open(vmt_bundle *out, const vmt_bundle_options *options, vmt_err *err);
/* Loads weights, sizes the KV cache from the memory budget, and logs the plan: what goes where, what was reduced. */
vmt_status vmt_bundle_load(vmt_bundle *bundle, const vmt_bundle_options *options, vmt_err *err);
/* An engine over a loaded bundle; on_progress as in engine.h. */
vmt_status vmt_bundle_engine(const vmt_bundle *bundle, const vmt_bundle_options *options,
                             void (*on_progress)(void *ctx), void *ctx, vmt_engine **out, vmt_err *err);
void vmt_bundle_close(vmt_bundle *bundle); /* after its engine is gone; a zeroed bundle is fine */

#endif
