/* api/api.h: the HTTP API: requests in, answers out.  One row per endpoint in api/routes.c.
 *
 * Loop thread, but for rendering and tokenizing, which run on a few text threads.  The path of a request:
 *   exchange ► route ► parse (JSON to a job, in its own arena) ► text thread: template, tokenizer ► engine
 *   engine progress ► detokenizer ► stop strings ► dialect: delta or final object ► exchange
 * Every accepted request ends in exactly one final message. */
#ifndef VMT_API_API_H
#define VMT_API_API_H

#include "engine/engine.h"
#include "http/server.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

#define VMT_SERVED_NAMES_MAX 64u
#define VMT_API_KEYS_MAX     64u
#define VMT_MATRYOSHKA_MAX   32u /* lengths a model may list */

/* The model's own sampling defaults (generation_config.json and --override-generation-config); fields not set there
 * hold the API's defaults. */
typedef struct vmt_sampling_defaults {
    float temperature, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty;
    int32_t top_k;
    uint32_t max_new_tokens; /* 0: none */
} vmt_sampling_defaults;

/* What the model is, for those who ask; zeroed: unknown. */
typedef struct vmt_model_card {
    const char *architecture; /* as GGUF names it: "llama" */
    const char *quantization; /* "Q4_K", "BF16": most of its weights */
    uint64_t num_parameters;
    uint32_t num_layers, hidden, num_heads, num_kv_heads, context_max;
} vmt_model_card;

typedef enum vmt_task {
    VMT_TASK_GENERATE,
    VMT_TASK_EMBED, /* the engine's runner gives hidden states, which are pooled to a vector */
    VMT_TASK_SCORE, /* one number of the vector says how well a document answers a query */
} vmt_task;

/* What a server that does not generate makes of a prompt. */
typedef struct vmt_pooling_rules {
    vmt_task task;
    vmt_pool_kind kind;
    bool use_activation; /* the default: vectors get length 1, scores go through the logistic */
    /* Matryoshka models: vectors may be cut to these lengths; none listed: to any. */
    bool is_matryoshka;
    uint32_t matryoshka_dimensions[VMT_MATRYOSHKA_MAX], num_matryoshka_dimensions;
    uint32_t dimensions;       /* when a request does not say; 0: all */
    uint32_t width;            /* of a vector, uncut */
    const float *score_weight; /* SCORE: [width] its product with the vector is the logit; borrowed */
    bool has_score_template;   /* chat_template is one of roles "query" and "document" */
    bool has_qwen3_prompt;     /* and without one, pairs are put as Qwen3-Reranker was trained to see them */
    bool has_pad_token;        /* counted once per pair of vectors, as vLLM does */
    bool truncates_left;       /* the tokenizer's side */
} vmt_pooling_rules;

typedef struct vmt_api_config { /* everything is borrowed until destroy */
    vmt_loop *loop;
    vmt_engine *engine; /* NULL while loading: /health says 503, generation 503 */
    const vmt_tokenizer *tokenizer;
    const vmt_chat_template *chat_template; /* NULL: the model has none; chat answers 400 with a hint */
    vmt_str tokenizer_config_json;          /* for /tokenizer_info; empty if none */
    const vmt_str *served_names;            /* [num_served_names], the first is reported */
    uint32_t num_served_names;
    vmt_str model_root;      /* model path, for /v1/models */
    const vmt_str *api_keys; /* [num_api_keys]; none: no auth */
    uint32_t num_api_keys;
    vmt_str root_path;                                /* --root-path */
    vmt_str default_chat_template_kwargs;             /* JSON object or empty */
    vmt_str response_role;                            /* "assistant" */
    vmt_str cors_origins, cors_methods, cors_headers; /* JSON lists */
    bool cors_credentials;
    vmt_sampling_defaults defaults;
    vmt_model_card card;
    vmt_pooling_rules pooling; /* known when the model is */
    int32_t max_logprobs;      /* 20; -1: the vocabulary */
    uint64_t default_seed;     /* --seed; sampling without a request seed draws from it */
    uint32_t stream_interval;  /* tokens per chunk, 1 */
    uint32_t num_text_threads; /* 2 */
    uint32_t requests_max;     /* in progress; more get 503 with Retry-After */
    uint32_t ping_interval_ms; /* SSE comment while nothing was sent for so long; 0: never */
    bool trust_request_chat_template, enable_prompt_tokens_details, force_include_usage, tokenizer_info_endpoint,
        server_load_tracking, request_id_headers, return_tokens_as_token_ids, log_requests, dev_mode;
    vmt_str tool_call_parser; /* a name of text/dialects.c; empty: by the template */
    vmt_str reasoning_parser; /* likewise; "none": reasoning stays in the content */
    bool exclude_tools_when_tool_choice_none;
    int content_format; /* 0 auto, 1 string, 2 openai parts */
    /* Strings for vllm:cache_config_info. */
    uint32_t block_size, num_blocks;
    const char *kv_dtype_name;
    bool enable_prefix_caching;
} vmt_api_config;

typedef struct vmt_api vmt_api;

vmt_status vmt_api_create(vmt_api **out, const vmt_api_config *config, vmt_err *err);
/* After the HTTP server is gone and the engine was stopped. */
void vmt_api_destroy(vmt_api *api);
/* The server's on_request, on_done and error_body hooks. */
void vmt_api_on_request(void *api, vmt_http_exchange *x);
void vmt_api_on_done(void *api, vmt_http_exchange *x, int status, uint64_t duration_ns, uint64_t bytes_out);
void vmt_api_error_body(void *api, const vmt_http_exchange *x, int status, vmt_str message, vmt_buf *out);
/* The engine's on_progress hook: any thread. */
void vmt_api_on_progress(void *api);
/* The model is loaded: config's engine, tokenizer, template, pooling and cache fields replace what create() was given.
 * The parser names were checked there. */
void vmt_api_ready(vmt_api *api, const vmt_api_config *config);
/* Ends every request in progress with an abort (shutdown without grace). */
void vmt_api_abort_all(vmt_api *api);

#endif
