/* What surrounds generation: keys, CORS, probes, models, metrics, flags, templates. */
#include "api/test_api.h"

#include <stdio.h>

#define CHAT        "/v1/chat/completions"
#define COMPLETIONS "/v1/completions"
#define JSON        "Content-Type: application/json\r\n"

static bool holds(vmt_str text, const char *needle) {
    return vmt_str_find(text, vmt_str_from(needle), 0) != SIZE_MAX;
}

/* ---- keys */

static void with_keys(vmt_api_config *config) {
    static const vmt_str keys[] = {{"sk-one", 6}, {"sk-two", 6}};
    config->api_keys = keys;
    config->num_api_keys = 2;
}

static void keys(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.adjust = with_keys});
    static const struct {
        const char *path, *headers;
        int status;
    } cases[] = {
        {"/v1/models", NULL, 401},
        {"/v1/models", "Authorization: Bearer sk-one\r\n", 200},
        {"/v1/models", "Authorization: bearer  sk-two\r\n", 200},
        {"/v1/models", "Authorization: Bearer sk-three\r\n", 401},
        {"/v1/models", "Authorization: Bearer sk-on\r\n", 401},
        {"/v1/models", "Authorization: Basic sk-one\r\n", 401},
        {"/v1/models", "Authorization: sk-one\r\n", 401},
        {"/v1/models", "x-api-key: sk-one\r\n", 401},
        {"/v1/nowhere", NULL, 401},
        {"/v1/messages", "x-api-key: sk-one\r\n", 405}, /* past the guard */
        {"/health", NULL, 200},
        {"/metrics", NULL, 200},
        {"/version", NULL, 200},
        {"/nowhere", NULL, 404},
    };
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        test_answer x = test_request(t, a, "GET", cases[i].path, cases[i].headers, VMT_STR(""));
        vmt_expect_eq(t, x.status, cases[i].status);
        if (x.status == 401) vmt_expect_slice(t, x.body, VMT_STR("{\"error\":\"Unauthorized\"}"));
    }
    test_api_stop(a);
}

/* ---- CORS */

static void cors_for_all(vmt_test *t) {
    test_api *a = test_api_start(t, NULL);
    test_answer x = test_request(t, a, "GET", "/version", "Origin: http://a\r\n", VMT_STR(""));
    vmt_expect(t, holds(x.head, "Access-Control-Allow-Origin: *"));
    vmt_expect(t, !holds(test_get(t, a, "/version").head, "Access-Control"));
    x = test_request(t, a, "OPTIONS", CHAT,
                     "Origin: http://a\r\nAccess-Control-Request-Method: POST\r\n"
                     "Access-Control-Request-Headers: authorization,x-b\r\n",
                     VMT_STR(""));
    vmt_expect_eq(t, x.status, 200);
    vmt_expect_slice(t, x.body, VMT_STR("OK"));
    vmt_expect(t, holds(x.head, "Access-Control-Allow-Methods: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"));
    vmt_expect(t, holds(x.head, "Access-Control-Allow-Headers: authorization,x-b"));
    vmt_expect(t, holds(x.head, "Access-Control-Max-Age: 600"));
    vmt_expect_eq(t, test_request(t, a, "OPTIONS", CHAT, NULL, VMT_STR("")).status, 405);
    test_api_stop(a);
}

static void with_cors(vmt_api_config *config) {
    config->cors_origins = VMT_STR("[\"http://a\"]");
    config->cors_methods = VMT_STR("[\"POST\"]");
    config->cors_credentials = true;
}

static void cors_for_some(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.adjust = with_cors});
    test_answer x = test_request(t, a, "GET", "/version", "Origin: http://a\r\n", VMT_STR(""));
    vmt_expect(t, holds(x.head, "Access-Control-Allow-Origin: http://a"));
    vmt_expect(t, holds(x.head, "Access-Control-Allow-Credentials: true"));
    x = test_request(t, a, "GET", "/version", "Origin: http://b\r\n", VMT_STR(""));
    vmt_expect(t, !holds(x.head, "Access-Control-Allow-Origin"));
    x = test_request(t, a, "OPTIONS", CHAT, "Origin: http://b\r\nAccess-Control-Request-Method: POST\r\n",
                     VMT_STR(""));
    vmt_expect_eq(t, x.status, 400);
    vmt_expect_slice(t, x.body, VMT_STR("Disallowed CORS origin"));
    x = test_request(t, a, "OPTIONS", CHAT, "Origin: http://a\r\nAccess-Control-Request-Method: PUT\r\n",
                     VMT_STR(""));
    vmt_expect_slice(t, x.body, VMT_STR("Disallowed CORS method"));
    test_api_stop(a);
}

/* ---- probes and flags */

static void probes(vmt_test *t) {
    test_api *a = test_api_start(t, NULL);
    test_answer x = test_get(t, a, "/health");
    vmt_expect_eq(t, x.status, 200);
    vmt_expect_eq(t, x.body.len, 0);
    vmt_expect_eq(t, test_get(t, a, "/ping").status, 200);
    vmt_expect_eq(t, test_request(t, a, "POST", "/ping", NULL, VMT_STR("")).status, 200);
    vmt_expect_slice(t, test_get(t, a, "/version").body, VMT_STR("{\"version\":\"" VMT_VERSION "\"}"));
    vmt_expect_slice(t, test_get(t, a, "/load").body, VMT_STR("{\"server_load\":0}"));
    x = test_get(t, a, "/v1/models/letters");
    vmt_expect_eq(t, x.status, 200);
    vmt_expect_slice(
        t, test_undated(t, x.body),
        VMT_STR("{\"id\":\"letters\",\"object\":\"model\",\"created\":0,\"owned_by\":\"vllm\",\"root\":"
                "\"/models/letters\",\"parent\":null,\"max_model_len\":512,\"permission\":[{\"id\":"
                "\"modelperm-vmetal\",\"object\":\"model_permission\",\"created\":0,\"allow_create_engine\":"
                "false,\"allow_sampling\":true,\"allow_logprobs\":true,\"allow_search_indices\":false,"
                "\"allow_view\":true,\"allow_fine_tuning\":false,\"organization\":\"*\",\"group\":null,"
                "\"is_blocking\":false}]}"));
    x = test_get(t, a, "/v1/models");
    vmt_expect(t, vmt_str_starts(x.body, VMT_STR("{\"object\":\"list\",\"data\":[{\"id\":\"letters\",")));
    test_api_stop(a);
}

static void without_model(vmt_api_config *config) {
    config->engine = NULL;
    config->tokenizer = NULL;
    config->chat_template = NULL;
}

static void while_loading(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.adjust = without_model});
    vmt_expect_eq(t, test_get(t, a, "/health").status, 503);
    vmt_expect_eq(t, test_get(t, a, "/v1/models").status, 200);
    vmt_expect_eq(t, test_get(t, a, "/metrics").status, 200);
    test_answer x = test_post(t, a, CHAT, "{}");
    vmt_expect_eq(t, x.status, 503);
    vmt_expect_slice(t, x.body,
                     VMT_STR("{\"error\":{\"message\":\"the model is not ready\",\"type\":"
                             "\"ServiceUnavailableError\",\"param\":null,\"code\":503}}"));
    test_api_stop(a);
}

static void with_flags(vmt_api_config *config) {
    static const vmt_str names[] = {{"org/letters", 11}, {"second", 6}};
    config->served_names = names;
    config->num_served_names = 2;
    config->root_path = VMT_STR("/llm");
    config->dev_mode = config->tokenizer_info_endpoint = config->request_id_headers = true;
    config->force_include_usage = config->server_load_tracking = true;
    config->enable_prompt_tokens_details = false;
    config->tokenizer_config_json = VMT_STR("{\"eos_token\":\"<|end|>\"}");
    config->trust_request_chat_template = true;
    config->default_chat_template_kwargs = VMT_STR("{\"a\":1,\"b\":2}");
    config->response_role = VMT_STR("poet");
    config->max_logprobs = -1;
}

static void flags(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.adjust = with_flags});
    vmt_expect_slice(t, test_get(t, a, "/tokenizer_info").body, VMT_STR("{\"eos_token\":\"<|end|>\"}"));
    vmt_expect_slice(t, test_request(t, a, "POST", "/reset_prefix_cache", NULL, VMT_STR("")).body,
                     VMT_STR("{\"success\":true}"));
    vmt_expect(t, vmt_str_starts(test_get(t, a, "/server_info").body, VMT_STR("{\"vllm_config\":{\"model\":")));
    vmt_expect_eq(t, test_get(t, a, "/llm/v1/models").status, 200);
    vmt_expect_eq(t, test_get(t, a, "/v1/models/org/letters").status, 200);
    vmt_expect_eq(t, test_get(t, a, "/llmx").status, 404);
    test_answer x = test_request(t, a, "GET", "/version", "X-Request-Id: mine\r\n", VMT_STR(""));
    vmt_expect(t, holds(x.head, "X-Request-Id: mine"));
    x = test_post(t, a, COMPLETIONS, "{\"model\":\"second\",\"prompt\":\"a\",\"max_tokens\":1,\"stream\":true}");
    vmt_expect(t, holds(x.body, "\"model\":\"second\""));
    vmt_expect(
        t, holds(x.body,
                 "\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"total_tokens\":2,\"completion_tokens\":1}}"));
    x = test_post(t, a, COMPLETIONS, "{\"prompt\":\"a\",\"max_tokens\":1,\"logprobs\":-1}");
    vmt_expect_eq(t, x.status, 200);
    vmt_expect(t, client_count(x.body, ":-") > 120);
    vmt_expect(t, holds(x.body, "\"prompt_tokens_details\":null"));
    x = test_post(t, a, CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"W\"}],\"stream\":true}");
    vmt_expect(t, holds(x.body, "\"delta\":{\"role\":\"poet\",\"content\":\"\"}"));
    x = test_request(t, a, "POST", COMPLETIONS, JSON,
                     VMT_STR("{\"prompt\":\"a\",\"max_tokens\":1,\"request_id\":\"r1\"}"));
    vmt_expect(t, holds(x.body, "\"id\":\"cmpl-r1\""));
    test_api_stop(a);
}

/* What a template sees: the request's own template prints it. */
static const struct {
    const char *members, *tmpl, *want;
} renderings[] = {
    {"\"tools\":[{\"function\":{\"parameters\":{\"type\":\"object\"},\"strict\":true,\"name\":\"f\"},\"type\":"
     "\"function\"}],"
     "\"tool_choice\":\"none\"",
     "{{ tools | tojson }}",
     "[{\\\"type\\\": \\\"function\\\", \\\"function\\\": {\\\"name\\\": \\\"f\\\", \\\"parameters\\\": "
     "{\\\"type\\\": "
     "\\\"object\\\"}, \\\"strict\\\": true}}]"},
    {"\"user\":\"x\"",
     "{{ tools is none }} {{ documents is none }} {{ add_generation_prompt }} {{ bos_token }}{{ eos_token }}",
     "True True True <|begin|><|end|>"},
    {"\"chat_template_kwargs\":{\"b\":3,\"c\":[4]},\"add_generation_prompt\":false",
     "{{ a }} {{ b }} {{ c }} {{ add_generation_prompt }}", "1 3 [4] False"},
    {"\"reasoning_effort\":\"none\"", "{{ reasoning_effort }} {{ enable_thinking }}", "none False"},
    {"\"reasoning_effort\":\"low\",\"chat_template_kwargs\":{\"enable_thinking\":false}",
     "{{ reasoning_effort }} {{ enable_thinking }}", "low False"},
    {"\"documents\":[{\"title\":\"t\"}]", "{{ documents[0].title }}", "t"},
};

static void what_templates_see(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.adjust = with_flags});
    for (size_t i = 0; i < VMT_COUNT(renderings); i++) {
        vmt_str request = vmt_arena_printf(t->arena,
                                           "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"max_tokens\":"
                                           "1,\"return_prompt_text\":true,%s,"
                                           "\"chat_template\":\"%s\"}",
                                           renderings[i].members, renderings[i].tmpl);
        test_answer x = test_post(t, a, CHAT, request.ptr);
        vmt_str want = vmt_arena_printf(t->arena, "\"prompt_text\":\"%s\"", renderings[i].want);
        if (!holds(x.body, want.ptr)) {
            vmt_test_fail(t, __FILE__, __LINE__, "wanted %s in %.*s", want.ptr, VMT_STR_ARG(x.body));
        }
    }
    /* The template's own complaint is the message. */
    test_answer x = test_post(t, a, CHAT,
                              "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"chat_template\":"
                              "\"{{ raise_exception('Roles must alternate') }}\"}");
    vmt_expect_eq(t, x.status, 400);
    vmt_expect(t, holds(x.body, "Roles must alternate"));
    x = test_post(t, a, CHAT,
                  "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"chat_template\":\"{% if %}\"}");
    vmt_expect_eq(t, x.status, 400);
    vmt_expect(t, holds(x.body, "\"param\":\"chat_template\""));
    test_api_stop(a);
}

/* ---- metrics */

static void metrics(vmt_test *t) {
    test_api *a = test_api_start(t, NULL);
    static const char *const from_the_start[] = {
        "vllm:num_requests_running{engine=\"0\",model_name=\"letters\"} 0\n",
        "vllm:num_requests_waiting_by_reason{engine=\"0\",model_name=\"letters\",reason=\"capacity\"} 0\n",
        "vllm:engine_sleep_state{engine=\"0\",model_name=\"letters\",sleep_state=\"awake\"} 1\n",
        "vllm:external_prefix_cache_hits_total{",
        "vllm:mm_cache_queries_total{",
        "vllm:prompt_tokens_by_source_total{engine=\"0\",model_name=\"letters\",source=\"external_kv_transfer\"} "
        "0\n",
        "vllm:request_success_total{engine=\"0\",model_name=\"letters\",finished_reason=\"stop\"} 0\n",
        "vllm:request_success_total{engine=\"0\",model_name=\"letters\",finished_reason=\"repetition\"} 0\n",
        "# TYPE vllm:iteration_tokens_total histogram\n",
        "vllm:iteration_tokens_total_bucket{engine=\"0\",model_name=\"letters\",le=\"16384.0\"} 0\n",
        "vllm:time_to_first_token_seconds_bucket{engine=\"0\",model_name=\"letters\",le=\"0.001\"} 0\n",
        "vllm:time_to_first_token_seconds_bucket{engine=\"0\",model_name=\"letters\",le=\"2560.0\"} 0\n",
        "vllm:inter_token_latency_seconds_bucket{engine=\"0\",model_name=\"letters\",le=\"0.025\"} 0\n",
        "vllm:e2e_request_latency_seconds_bucket{engine=\"0\",model_name=\"letters\",le=\"7680.0\"} 0\n",
        "vllm:request_prompt_tokens_bucket{engine=\"0\",model_name=\"letters\",le=\"500.0\"} 0\n",
        "vllm:request_params_n_bucket{engine=\"0\",model_name=\"letters\",le=\"20.0\"} 0\n",
        "vllm:request_time_per_output_token_seconds_count{engine=\"0\",model_name=\"letters\"} 0\n",
        "vllm:cache_config_info{block_size=\"16\",cache_dtype=\"f16\",enable_prefix_caching=\"True\",engine="
        "\"0\",",
    };
    test_answer x = test_get(t, a, "/metrics");
    vmt_expect(t, holds(x.head, "content-type: text/plain; version=0.0.4; charset=utf-8"));
    for (size_t i = 0; i < VMT_COUNT(from_the_start); i++) {
        if (!holds(x.body, from_the_start[i])) vmt_test_fail(t, __FILE__, __LINE__, "no %s", from_the_start[i]);
    }
    vmt_expect(t, !holds(x.body, "le=\"1000.0\"} 0\nvllm:request_prompt_tokens")); /* buckets end at the context */

    test_post(t, a, COMPLETIONS, "{\"prompt\":[\"abcd\",\"W\"],\"max_tokens\":10}");
    test_post(t, a, COMPLETIONS, "{\"prompt\":\"a\",\"max_tokens\":5,\"stream\":true}");
    test_post(t, a, COMPLETIONS, "{}");
    test_get(t, a, "/nowhere");
    static const char *const afterwards[] = {
        "vllm:prompt_tokens_total{engine=\"0\",model_name=\"letters\"} 6\n",
        "vllm:generation_tokens_total{engine=\"0\",model_name=\"letters\"} 19\n",
        "vllm:request_success_total{engine=\"0\",model_name=\"letters\",finished_reason=\"stop\"} 1\n",
        "vllm:request_success_total{engine=\"0\",model_name=\"letters\",finished_reason=\"length\"} 2\n",
        "vllm:request_generation_tokens_sum{engine=\"0\",model_name=\"letters\"} 19\n",
        "vllm:request_prompt_tokens_bucket{engine=\"0\",model_name=\"letters\",le=\"1.0\"} 2\n",
        "vllm:time_to_first_token_seconds_count{engine=\"0\",model_name=\"letters\"} 3\n",
        "vllm:inter_token_latency_seconds_count{engine=\"0\",model_name=\"letters\"} 16\n",
        "vllm:request_queue_time_seconds_count{engine=\"0\",model_name=\"letters\"} 3\n",
        "vllm:num_requests_running{engine=\"0\",model_name=\"letters\"} 0\n",
        "http_requests_total{handler=\"/v1/completions\",method=\"POST\",status=\"2xx\"} 2\n",
        "http_requests_total{handler=\"/v1/completions\",method=\"POST\",status=\"4xx\"} 1\n",
        "http_requests_total{handler=\"none\",method=\"OTHER\",status=\"4xx\"} 1\n",
        "http_request_duration_seconds_count{handler=\"/v1/completions\",method=\"POST\"} 3\n",
        "http_request_duration_highr_seconds_bucket{le=\"+Inf\"} 4\n",
    };
    test_api_wait_idle(t, a);
    x = test_get(t, a, "/metrics");
    for (size_t i = 0; i < VMT_COUNT(afterwards); i++) {
        if (!holds(x.body, afterwards[i])) vmt_test_fail(t, __FILE__, __LINE__, "no %s", afterwards[i]);
    }
    vmt_expect(t, !holds(x.body, "handler=\"/metrics\""));
    test_api_stop(a);
}

/* The second request finds the first one's blocks. */
static void cached_tokens(vmt_test *t) {
    test_api *a = test_api_start(t, NULL);
    vmt_buf request = {0};
    vmt_buf_append_c(&request, "{\"max_tokens\":1,\"prompt\":\"");
    for (int i = 0; i < 50; i++) vmt_buf_append_byte(&request, 'q');
    vmt_buf_append_c(&request, "\"}");
    vmt_expect(t, holds(test_post(t, a, COMPLETIONS, request.ptr).body, "{\"cached_tokens\":0}"));
    test_api_wait_idle(t, a);
    vmt_expect(t, holds(test_post(t, a, COMPLETIONS, request.ptr).body, "{\"cached_tokens\":48}"));
    vmt_buf_free(&request);
    test_api_stop(a);
}

static const vmt_test_case cases[] = {
    {"keys", keys},
    {"cors_for_all", cors_for_all},
    {"cors_for_some", cors_for_some},
    {"probes", probes},
    {"while_loading", while_loading},
    {"flags", flags},
    {"what_templates_see", what_templates_see},
    {"metrics", metrics},
    {"cached_tokens", cached_tokens},
    {0},
};
VMT_TEST_MAIN(cases)
