/* cli/serve_options.h: what the flags of `vmetal serve` fill. */
#ifndef VMT_CLI_SERVE_OPTIONS_H
#define VMT_CLI_SERVE_OPTIONS_H

#include "cli/bundle.h"
#include "cli/flags.h"

typedef struct vmt_serve_options {
    vmt_flag_list model_args; /* positional MODEL */
    vmt_str model;            /* --model */
    vmt_bundle_options bundle;
    /* server */
    vmt_str host;
    int64_t port;
    vmt_str uds;
    vmt_flag_list served_model_name, api_key;
    vmt_str root_path;
    vmt_str ssl_keyfile, ssl_certfile;
    vmt_str allowed_origins, allowed_methods, allowed_headers;
    bool allow_credentials;
    int64_t max_incomplete_event_size, max_header_count;
    int64_t max_body_bytes, max_connections, max_requests;
    int64_t shutdown_timeout_s;
    /* API */
    vmt_str default_chat_template_kwargs, response_role, content_format, tool_call_parser, reasoning_parser;
    bool exclude_tools_when_tool_choice_none;
    bool trust_request_chat_template, enable_prompt_tokens_details, force_include_usage, tokenizer_info_endpoint,
        server_load_tracking, request_id_headers, return_tokens_as_token_ids;
    int64_t max_logprobs, seed, stream_interval, ping_interval_ms;
    /* logs */
    bool log_requests, disable_log_stats, disable_access_log;
    vmt_str log_level;
    int64_t log_stats_interval_s;
    vmt_str config; /* --config FILE.yaml */
} vmt_serve_options;

extern const vmt_serve_options vmt_serve_defaults;
extern const vmt_flag vmt_serve_flags[];
extern const uint32_t vmt_num_serve_flags;

/* What vmt_serve_command (serve_flags.c, beside its rows) runs.  Returns the exit code. */
int vmt_serve_run(const void *options);

#endif
