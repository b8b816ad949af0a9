#include "cli/serve_options.h"

#include "cli/commands.h"

const vmt_serve_options vmt_serve_defaults = {
    .bundle = VMT_BUNDLE_DEFAULTS,
    .host = {"127.0.0.1", 9},
    .port = 8000,
    .allowed_origins = {"[\"*\"]", 5},
    .allowed_methods = {"[\"*\"]", 5},
    .allowed_headers = {"[\"*\"]", 5},
    .max_incomplete_event_size = 4194304,
    .max_header_count = 256,
    .max_body_bytes = 64 << 20,
    .max_connections = 1024,
    .max_requests = 1024,
    .response_role = {"assistant", 9},
    .content_format = {"auto", 4},
    .max_logprobs = 20,
    .stream_interval = 1,
    .enable_prompt_tokens_details = true,
    .log_level = {"info", 4},
    .log_stats_interval_s = 10,
    .shutdown_timeout_s = 30,
    .ping_interval_ms = 10000,
};

/* Rows with a field, as columns: name, kind, placeholder, field, default, phrase. */
#define ROW(n, k, v, f, d, h)                                                  \
    .name = n, .kind = VMT_FLAG_##k, .value = v, .default_text = d, .help = h, \
    .offset = offsetof(vmt_serve_options, f)
#define SERVER(n, k, v, f, d, h)  .group = "Server", ROW(n, k, v, f, d, h)
#define API(n, k, v, f, d, h)     .group = "Chat and API", ROW(n, k, v, f, d, h)
#define LOGGING(n, k, v, f, d, h) .group = "Logging", ROW(n, k, v, f, d, h)

static const vmt_flag flags[] = {
    {SERVER("host", STR, "HOST", host, "127.0.0.1",
            "address to listen on: this machine only; --host 0.0.0.0 opens the server to the network, then set "
            "--api-key")},
    {SERVER("port", INT, "PORT", port, "8000", "port to listen on; 0: any free one"), .min = 0, .max = 65535},
    {SERVER("uds", STR, "PATH", uds, NULL, "listen on this Unix socket instead of host and port")},
    {SERVER("api-key", LIST, "KEY", api_key, NULL,
            "keys that clients may send as \"Authorization: Bearer KEY\"; none (and no VLLM_API_KEY): no check")},
    {SERVER("served-model-name", LIST, "NAME", served_model_name, "the MODEL argument",
            "names that requests may use; the first is reported")},
    {SERVER("root-path", STR, "PATH", root_path, NULL, "prefix that a proxy in front leaves on paths")},
    {SERVER("ssl-certfile", STR, "FILE", ssl_certfile, NULL, "serve HTTPS with this certificate chain (PEM)")},
    {SERVER("ssl-keyfile", STR, "FILE", ssl_keyfile, NULL, "the certificate's private key (PEM)")},
    {SERVER("allowed-origins", STR, "JSON", allowed_origins, "[\"*\"]", "CORS: origins, a JSON list")},
    {SERVER("allowed-methods", STR, "JSON", allowed_methods, "[\"*\"]", "CORS: methods, a JSON list")},
    {SERVER("allowed-headers", STR, "JSON", allowed_headers, "[\"*\"]", "CORS: headers, a JSON list")},
    {SERVER("allow-credentials", BOOL, NULL, allow_credentials, NULL, "CORS: let browsers send credentials")},
    {SERVER("max-body-bytes", SIZE, "BYTES", max_body_bytes, "64M", "largest request body; more is answered 413"),
     .min = 1024, .max = 1e12},
    {SERVER("max-connections", INT, "N", max_connections, "1024", "open connections; more are answered 503"),
     .min = 1, .max = 1e6},
    {SERVER("max-requests", INT, "N", max_requests, "1024", "requests in progress; more are answered 503"),
     .min = 1, .max = 1e6},
    {SERVER("h11-max-incomplete-event-size", SIZE, "BYTES", max_incomplete_event_size, "4194304",
            "largest request line and headers together"),
     .min = 1024, .max = 1e9},
    {SERVER("h11-max-header-count", INT, "N", max_header_count, "256", "most headers of a request"), .min = 8,
     .max = 65536},
    {SERVER("shutdown-timeout", INT, "S", shutdown_timeout_s, "30",
            "seconds that requests in progress get when the server is told to stop"),
     .min = 0, .max = 86400},
    {SERVER("config", STR, "FILE", config, NULL, "read flags from a YAML file; the command line wins")},
    {.name = "model",
     .kind = VMT_FLAG_STR,
     .group = "Model",
     .value = "MODEL",
     .offset = offsetof(vmt_serve_options, model)},

#define OWNER vmt_serve_options
#include "cli/bundle_flags.def"
#undef OWNER

    {API("default-chat-template-kwargs", JSON, "JSON", default_chat_template_kwargs, NULL,
         "variables for the chat template that requests may override, e.g. '{\"enable_thinking\": false}'")},
    {API("chat-template-content-format", STR, "FORMAT", content_format, "auto",
         "how messages reach the template: by its text, as strings, or as lists of parts"),
     .choices = "auto|string|openai"},
    {API("trust-request-chat-template", BOOL, NULL, trust_request_chat_template, NULL,
         "let requests bring a chat template of their own")},
    {API(
        "tool-call-parser", STR, "NAME", tool_call_parser, NULL,
        "how the model writes tool calls (hermes, qwen3_coder, llama3_json, mistral, ...); by its chat template")},
    {API("reasoning-parser", STR, "NAME", reasoning_parser, NULL,
         "how the model marks its reasoning (qwen3, deepseek_r1, ...), or none; by its chat template")},
    {API("exclude-tools-when-tool-choice-none", BOOL, NULL, exclude_tools_when_tool_choice_none, NULL,
         "leave tools out of the prompt when tool_choice is \"none\"")},
    {API("fake-model", STR, "FILE", bundle.fake_model, NULL,
         "for tests: answer with the texts of FILE, JSON lines {\"text\", \"match\"}, instead of the model's")},
    {API("response-role", STR, "ROLE", response_role, "assistant", "role of the answers")},
    {API("max-logprobs", INT, "N", max_logprobs, "20", "most log probabilities per token; -1: the vocabulary"),
     .min = -1, .max = 1e7},
    {API("seed", INT, "N", seed, "0", "seed of requests that bring none"), .min = -0x1p63, .max = 0x1p63},
    {API("stream-interval", INT, "N", stream_interval, "1", "tokens per streamed chunk"), .min = 1, .max = 4096},
    {API("ping-interval-ms", INT, "MS", ping_interval_ms, "10000",
         "send an SSE comment when a stream was silent for so long; 0: never"),
     .min = 0, .max = 3600000},
    {API("enable-prompt-tokens-details", BOOL, NULL, enable_prompt_tokens_details, NULL,
         "report cached prompt tokens in usage")},
    {API("enable-force-include-usage", BOOL, NULL, force_include_usage, NULL, "every stream ends with its usage")},
    {API("enable-tokenizer-info-endpoint", BOOL, NULL, tokenizer_info_endpoint, NULL,
         "serve GET /tokenizer_info")},
    {API("enable-server-load-tracking", BOOL, NULL, server_load_tracking, NULL, "count requests for GET /load")},
    {API("enable-request-id-headers", BOOL, NULL, request_id_headers, NULL, "answer with an X-Request-Id header")},
    {API("return-tokens-as-token-ids", BOOL, NULL, return_tokens_as_token_ids, NULL,
         "write tokens of log probabilities as \"token_id:N\"")},

    {LOGGING("log-level", STR, "LEVEL", log_level, "info", "what is logged"), .alias = "uvicorn-log-level",
     .choices = "critical|error|warning|warn|info|debug|trace"},
    {LOGGING("enable-log-requests", BOOL, NULL, log_requests, NULL, "log a line per request; never its text")},
    {LOGGING("disable-uvicorn-access-log", BOOL, NULL, disable_access_log, NULL, "no line per HTTP exchange"),
     .alias = "disable-access-log"},
    {LOGGING("disable-log-stats", BOOL, NULL, disable_log_stats, NULL, "no line of rates while busy")},
    {LOGGING("log-stats-interval", INT, "S", log_stats_interval_s, "10", "seconds between lines of rates"),
     .min = 1, .max = 86400},

#include "cli/engine_compat_flags.def"
#include "cli/server_compat_flags.def"
#include "cli/compat_flags_end.def"
};

const vmt_command vmt_serve_command = {
    .name = "serve",
    .summary = "loads a model and serves it over HTTP",
    .usage = "vmetal serve [MODEL] [flags]",
    .positional = "MODEL",
    .flags = flags,
    .num_flags = VMT_COUNT(flags),
    .positional_offset = offsetof(vmt_serve_options, model_args),
    .positionals_max = 1,
    .example = "vmetal serve SmolLM2-135M-Instruct --port 8000",
    .run = vmt_serve_run,
    .defaults = &vmt_serve_defaults,
    .options_bytes = sizeof(vmt_serve_options),
};
