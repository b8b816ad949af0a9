/* Every refusal: status and body, byte for byte. */
#include "api/test_api.h"
#include "json/json_writer.h"

#define CHAT        "/v1/chat/completions"
#define COMPLETIONS "/v1/completions"
#define USER        "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]"
#define P           "\"prompt\":\"a\""

#define SCHEMA "Bad Request"
#define RULE   "BadRequestError"

static const struct error_case {
    const char *path, *request;
    int status;
    const char *type, *param, *message; /* param "": null; a message that ends in "..." is a beginning */
} refusals[] = {
    /* the body */
    {COMPLETIONS, "", 400, SCHEMA, "body", "1 validation error:\n  body: JSON decode error: ..."},
    {COMPLETIONS, "{\"prompt\":\"a\"", 400, SCHEMA, "body", "1 validation error:\n  body: JSON decode error: ..."},
    {COMPLETIONS, "[1]", 400, SCHEMA, "body",
     "1 validation error:\n  body: Input should be an object, got an array"},
    {CHAT, "{}", 400, SCHEMA, "messages", "1 validation error:\n  body.messages: Field required"},
    {CHAT, "{\"messages\":\"hi\"}", 400, SCHEMA, "messages",
     "1 validation error:\n  body.messages: Input should be an array, got a string"},
    {COMPLETIONS, "{" P ",\"temperature\":\"warm\"}", 400, SCHEMA, "temperature",
     "1 validation error:\n  body.temperature: Input should be a finite number, got a string"},
    {COMPLETIONS, "{" P ",\"n\":1.5}", 400, SCHEMA, "n",
     "1 validation error:\n  body.n: Input should be an integer, got ..."},
    {COMPLETIONS, "{" P ",\"stream\":\"maybe\"}", 400, SCHEMA, "stream",
     "1 validation error:\n  body.stream: Input should be a boolean, got a string"},
    {COMPLETIONS, "{" P ",\"stop\":[1]}", 400, SCHEMA, "stop",
     "1 validation error:\n  body.stop: Input should be a string or a list of strings, got an integer"},
    {COMPLETIONS, "{" P ",\"truncation_side\":\"up\"}", 400, SCHEMA, "truncation_side",
     "1 validation error:\n  body.truncation_side: Input should be 'left' or 'right'"},
    /* the model */
    {COMPLETIONS, "{\"model\":\"gpt\"," P "}", 404, "NotFoundError", "model", "The model `gpt` does not exist."},
    {CHAT, "{\"model\":\"gpt\"}", 404, "NotFoundError", "model", "The model `gpt` does not exist."},
    /* ranges */
    {COMPLETIONS, "{" P ",\"temperature\":2.5}", 400, RULE, "temperature",
     "temperature must be in [0, 2], got 2.5. (parameter=temperature, value=2.5)"},
    {COMPLETIONS, "{" P ",\"temperature\":-1}", 400, RULE, "temperature",
     "temperature must be in [0, 2], got -1. (parameter=temperature, value=-1)"},
    {COMPLETIONS, "{" P ",\"top_p\":0}", 400, RULE, "top_p",
     "top_p must be in (0, 1], got 0. (parameter=top_p, value=0)"},
    {COMPLETIONS, "{" P ",\"top_k\":-2}", 400, RULE, "top_k",
     "top_k must be 0 (disable), or at least 1, got -2. (parameter=top_k, value=-2)"},
    {COMPLETIONS, "{" P ",\"min_p\":1.5}", 400, RULE, "min_p", "min_p must be in [0, 1], got 1.5. ..."},
    {COMPLETIONS, "{" P ",\"presence_penalty\":3}", 400, RULE, "presence_penalty",
     "presence_penalty must be in [-2, 2], ..."},
    {COMPLETIONS, "{" P ",\"frequency_penalty\":-3}", 400, RULE, "frequency_penalty",
     "frequency_penalty must be in ..."},
    {COMPLETIONS, "{" P ",\"repetition_penalty\":0}", 400, RULE, "repetition_penalty",
     "repetition_penalty must be greater than zero, got 0. (parameter=repetition_penalty, value=0)"},
    {COMPLETIONS, "{" P ",\"n\":0}", 400, RULE, "n", "n must be at least 1 and at most 16384, got 0. ..."},
    {COMPLETIONS, "{" P ",\"n\":129}", 400, RULE, "n", "n is 129, this server's limit is 128. (parameter=n)"},
    {COMPLETIONS, "{" P ",\"n\":2,\"temperature\":0}", 400, RULE, "n",
     "n must be 1 when using greedy sampling, got 2. (parameter=n)"},
    {COMPLETIONS, "{" P ",\"max_tokens\":0}", 400, RULE, "max_tokens",
     "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)"},
    {CHAT, "{" USER ",\"max_tokens\":0}", 400, RULE, "max_tokens",
     "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)"},
    {CHAT, "{" USER ",\"max_completion_tokens\":0}", 400, RULE, "max_completion_tokens",
     "max_completion_tokens must be at least 1, got 0. (parameter=max_completion_tokens, value=0)"},
    {COMPLETIONS, "{" P ",\"min_tokens\":17}", 400, RULE, "min_tokens",
     "min_tokens must be less than or equal to max_tokens=16, got 17. (parameter=min_tokens, value=17)"},
    {COMPLETIONS, "{" P ",\"stop\":\"\"}", 400, RULE, "stop",
     "stop cannot contain an empty string. (parameter=stop)"},
    {COMPLETIONS, "{" P ",\"stop_token_ids\":[260]}", 400, RULE, "stop_token_ids",
     "stop_token_ids contains token id 260, the vocabulary has 260. (parameter=stop_token_ids)"},
    {COMPLETIONS, "{" P ",\"allowed_token_ids\":[]}", 400, RULE, "allowed_token_ids",
     "allowed_token_ids is not None and empty! (parameter=allowed_token_ids)"},
    {COMPLETIONS, "{" P ",\"bad_words\":[\"\"]}", 400, RULE, "bad_words",
     "bad_words cannot contain an empty string. (parameter=bad_words)"},
    {COMPLETIONS, "{" P ",\"logit_bias\":{\"x\":1}}", 400, RULE, "logit_bias",
     "Found invalid keys in logit_bias: 'x' is not an integer. (parameter=logit_bias)"},
    {COMPLETIONS, "{" P ",\"logit_bias\":{\"999\":1}}", 400, RULE, "logit_bias",
     "token_id(s) [999] in logit_bias contain out-of-vocab token ids. Vocabulary size: 260 "
     "(parameter=logit_bias)"},
    {COMPLETIONS, "{" P ",\"logprobs\":21}", 400, RULE, "logprobs",
     "Requested sample logprobs of 21, which is greater than max allowed: 20 (parameter=logprobs)"},
    {COMPLETIONS, "{" P ",\"logprobs\":-1}", 400, RULE, "logprobs",
     "Requested sample logprobs of 260, which is greater than max allowed: 20 (parameter=logprobs)"},
    {COMPLETIONS, "{" P ",\"logprobs\":-2}", 400, RULE, "logprobs",
     "logprobs must be a non-negative value or -1, got -2. ..."},
    {CHAT, "{" USER ",\"top_logprobs\":2}", 400, RULE, "top_logprobs",
     "when using `top_logprobs`, `logprobs` must be set to true. (parameter=top_logprobs)"},
    {CHAT, "{" USER ",\"logprobs\":true,\"top_logprobs\":21}", 400, RULE, "top_logprobs",
     "Requested sample logprobs of 21, which is greater than max allowed: 20 (parameter=top_logprobs)"},
    {COMPLETIONS, "{" P ",\"prompt_logprobs\":21}", 400, RULE, "prompt_logprobs",
     "Requested prompt logprobs of 21, which is greater than max allowed: 20 (parameter=prompt_logprobs)"},
    {COMPLETIONS, "{" P ",\"prompt_logprobs\":1,\"stream\":true}", 400, RULE, "prompt_logprobs",
     "`prompt_logprobs` are not available when `stream=True`. (parameter=prompt_logprobs)"},
    {COMPLETIONS, "{" P ",\"stream_options\":{\"include_usage\":true}}", 400, RULE, "stream_options",
     "Stream options can only be defined when `stream=True`. (parameter=stream_options)"},
    {COMPLETIONS, "{" P ",\"cache_salt\":\"\"}", 400, RULE, "cache_salt",
     "Parameter 'cache_salt' must be a non-empty string if provided. (parameter=cache_salt)"},
    {COMPLETIONS, "{" P ",\"cache_salt\":\"a/b\"}", 400, RULE, "cache_salt", "cache_salt must not contain ..."},
    /* the context */
    {COMPLETIONS, "{" P ",\"max_tokens\":512}", 400, RULE, "input_tokens",
     "This model's maximum context length is 512 tokens. However, you requested 512 output tokens and your prompt "
     "contains "
     "1 input tokens, for a total of 513 tokens. Please reduce the length of the input prompt or the number of "
     "requested "
     "output tokens. (parameter=input_tokens, value=1)"},
    {COMPLETIONS, "{" P ",\"max_tokens\":513}", 400, RULE, "max_tokens",
     "max_tokens=513 cannot be greater than the model's maximum context length of 512 tokens. Please request "
     "fewer output "
     "tokens. (parameter=max_tokens, value=513)"},
    {COMPLETIONS, "{" P ",\"truncate_prompt_tokens\":497}", 400, RULE, "truncate_prompt_tokens",
     "truncate_prompt_tokens value (497) is greater than the input budget of 496 tokens. Please, select a smaller "
     "truncation size. (parameter=truncate_prompt_tokens, value=497)"},
    /* prompts */
    {COMPLETIONS, "{}", 400, RULE, "prompt",
     "Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)"},
    {COMPLETIONS, "{\"prompt\":[]}", 400, RULE, "prompt",
     "Either prompt or prompt_embeds must be provided and ..."},
    {COMPLETIONS, "{\"prompt\":[[]]}", 400, RULE, "prompt",
     "Either prompt or prompt_embeds must be provided and ..."},
    {COMPLETIONS, "{\"prompt\":[260]}", 400, RULE, "prompt",
     "Token id 260 is out of vocabulary (size 260) (parameter=prompt)"},
    {COMPLETIONS, "{\"prompt\":[-1]}", 400, RULE, "prompt", "Token id -1 is out of vocabulary ..."},
    {COMPLETIONS, "{\"prompt\":[\"a\",[1]]}", 400, SCHEMA, "prompt",
     "1 validation error:\n  body.prompt: Input should be ..."},
    {COMPLETIONS, "{\"prompt\":7}", 400, SCHEMA, "prompt",
     "1 validation error:\n  body.prompt: Input should be a string, ..."},
    {COMPLETIONS, "{" P ",\"suffix\":\"x\"}", 400, RULE, "suffix",
     "suffix needs a model that fills in the middle, and this one has no tokens for it. (parameter=suffix)"},
    /* forms of answers */
    {COMPLETIONS, "{" P ",\"response_format\":{}}", 400, SCHEMA, "response_format",
     "1 validation error:\n  body.response_format.type: Field required"},
    {COMPLETIONS, "{" P ",\"response_format\":{\"type\":\"yaml\"}}", 400, SCHEMA, "response_format",
     "1 validation error:\n  body.response_format.type: Input should be 'text', ..."},
    {COMPLETIONS, "{" P ",\"response_format\":{\"type\":\"json_schema\"}}", 400, RULE, "response_format",
     "When response_format type is 'json_schema', the 'json_schema' field must be provided, with a 'schema'. "
     "(parameter=response_format)"},
    {COMPLETIONS,
     "{" P ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{\"$dynamicRef\":\"#\"}}}}",
     400, RULE, "response_format", "response_format: ..."},
    {COMPLETIONS, "{" P ",\"guided_json\":{\"type\":\"colour\"}}", 400, RULE, "guided_json", "guided_json: ..."},
    {COMPLETIONS, "{" P ",\"guided_json\":\"{\"}", 400, RULE, "guided_json", "guided_json: ..."},
    {COMPLETIONS, "{" P ",\"guided_json\":7}", 400, SCHEMA, "guided_json",
     "1 validation error:\n  body.guided_json: Input should be a JSON schema, as an object or in a string"},
    {COMPLETIONS, "{" P ",\"guided_regex\":\"(a\"}", 400, RULE, "guided_regex", "guided_regex: ..."},
    {COMPLETIONS, "{" P ",\"guided_regex\":\"(a|b)*a(a|b){20}\"}", 400, RULE, "guided_regex", "guided_regex: ..."},
    {COMPLETIONS, "{" P ",\"guided_regex\":\"(?=a)a\"}", 400, RULE, "guided_regex", "guided_regex: ..."},
    {COMPLETIONS, "{" P ",\"guided_choice\":[]}", 400, RULE, "guided_choice",
     "guided_choice: choice: the list is empty ..."},
    {COMPLETIONS, "{" P ",\"guided_choice\":[1]}", 400, SCHEMA, "guided_choice",
     "1 validation error:\n  body.guided_choice: Input should be a list of strings"},
    {COMPLETIONS, "{" P ",\"guided_grammar\":\"root ::= x\"}", 400, RULE, "guided_grammar", "guided_grammar: ..."},
    {COMPLETIONS, "{" P ",\"structured_outputs\":{}}", 400, RULE, "structured_outputs",
     "You must use one kind of structured outputs constraint but none are specified. "
     "(parameter=structured_outputs)"},
    {COMPLETIONS, "{" P ",\"structured_outputs\":{\"regex\":\"a\",\"choice\":[\"a\"]}}", 400, RULE,
     "structured_outputs",
     "You can only use one kind of structured outputs constraint but multiple are specified. "
     "(parameter=structured_outputs)"},
    {COMPLETIONS, "{" P ",\"structured_outputs\":{\"regex\":\"a\"},\"guided_regex\":\"b\"}", 400, RULE,
     "guided_regex",
     "guided_regex and structured_outputs.regex say the same thing twice. (parameter=guided_regex)"},
    {COMPLETIONS, "{" P ",\"structured_outputs\":{\"regex\":7}}", 400, SCHEMA, "structured_outputs",
     "1 validation error:\n  body.structured_outputs.regex: Input should be a string"},
    {COMPLETIONS, "{" P ",\"structured_outputs\":{\"structural_tag\":{\"format\":{\"type\":\"poem\"}}}}", 400,
     RULE, "structured_outputs", "structured_outputs: structural tag: the format poem is not supported ..."},
    {COMPLETIONS, "{" P ",\"thinking_token_budget\":-2}", 400, RULE, "thinking_token_budget",
     "thinking_token_budget must be ..."},
    {COMPLETIONS, "{" P ",\"thinking_token_budget\":1}", 400, RULE, "thinking_token_budget",
     "thinking_token_budget needs a chat: ..."},
    {COMPLETIONS,
     "{\"prompt\":[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"],\"n\":128,\"temperature\":1,\"guided_"
     "regex\":\"a\"}",
     400, RULE, "n", "1152 choices are to keep a form, the limit is 1024. (parameter=n)"},
    /* what is not there yet */
    {COMPLETIONS, "{" P ",\"use_beam_search\":true}", 400, RULE, "use_beam_search",
     "use_beam_search is not supported yet. (parameter=use_beam_search)"},
    /* messages and tools */
    {CHAT, "{\"messages\":[]}", 400, RULE, "messages", "messages must not be empty. (parameter=messages)"},
    {CHAT, "{\"messages\":[{\"content\":\"a\"}]}", 400, SCHEMA, "messages",
     "1 validation error:\n  body.messages.0.role: Field required"},
    {CHAT, "{\"messages\":[{\"role\":\"user\"}]}", 400, SCHEMA, "messages",
     "1 validation error:\n  body.messages.0.content: Field required"},
    {CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":7}]}", 400, SCHEMA, "messages",
     "1 validation error:\n  body.messages.0.content: Input should be a string or a list, got an integer"},
    {CHAT,
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"x\"}}]}]}",
     400, RULE, "messages",
     "messages[0] has a part of type 'image_url', but this model takes text only. (parameter=messages)"},
    {CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"smell\"}]}]}", 400, RULE, "messages",
     "Unknown part type: smell (parameter=messages)"},
    {CHAT,
     "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\",\"function\":{"
     "\"name\":\"f\","
     "\"arguments\":\"{\"}}]}]}",
     400, RULE, "messages",
     "messages[0].tool_calls: function.arguments must be a JSON object in a string. (parameter=messages)"},
    {CHAT, "{" USER ",\"tools\":[]}", 400, RULE, "tools",
     "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely. "
     "(parameter=tools)"},
    {CHAT, "{" USER ",\"tool_choice\":\"auto\"}", 400, RULE, "tool_choice",
     "When using `tool_choice`, `tools` must be set. (parameter=tool_choice)"},
    {CHAT,
     "{" USER ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],\"tool_choice\":\"required\"}",
     400, RULE, "tool_choice",
     "tool_choice=\"required\" and named functions require --tool-call-parser to be set (parameter=tool_choice)"},
    {CHAT,
     "{" USER
     ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],\"tool_choice\":{\"type\":\"function\","
     "\"function\":{\"name\":\"g\"}}}",
     400, RULE, "tool_choice",
     "The tool specified in `tool_choice` does not match any of the specified `tools` (parameter=tool_choice)"},
    {CHAT, "{" USER ",\"tools\":[{\"type\":\"function\",\"function\":{}}]}", 400, SCHEMA, "tools",
     "1 validation error:\n  body.tools.0.function.name: Field required"},
    {CHAT, "{" USER ",\"chat_template\":\"x\"}", 400, RULE, "chat_template",
     "Chat template is passed with request, but --trust-request-chat-template is not set. Refused request with "
     "untrusted "
     "chat template. (parameter=chat_template)"},
    {CHAT, "{" USER ",\"continue_final_message\":true}", 400, RULE, "continue_final_message",
     "Cannot set both `continue_final_message` and `add_generation_prompt` to True. "
     "(parameter=continue_final_message)"},
    {CHAT, "{" USER ",\"reasoning_effort\":\"huge\"}", 400, SCHEMA, "reasoning_effort",
     "1 validation error:\n  body.reasoning_effort: Input should be 'none', ..."},
    {CHAT, "{" USER ",\"chat_template_kwargs\":[]}", 400, SCHEMA, "chat_template_kwargs",
     "1 validation error:\n  body.chat_template_kwargs: Input should be an object, got an array"},
    {"/tokenize", "{}", 400, SCHEMA, "prompt", "1 validation error:\n  body.prompt: Field required"},
    {"/detokenize", "{\"tokens\":[-1]}", 400, SCHEMA, "tokens",
     "1 validation error:\n  body.tokens.0: Input should be an integer greater than or equal to 0"},
};

/* The body that error.c writes for these, once more by hand. */
static void expect_error(vmt_test *t, test_answer x, const struct error_case *c) {
    vmt_str message = vmt_str_from(c->message);
    bool is_beginning = vmt_str_ends(message, VMT_STR("..."));
    vmt_buf want = {0};
    vmt_buf_append_c(&want, "{\"error\":{\"message\":");
    vmt_json_escape(&want, is_beginning ? vmt_str_slice(message, 0, message.len - 3) : message);
    if (is_beginning) {
        want.len--; /* the closing quote */
    } else {
        vmt_buf_printf(&want, ",\"type\":\"%s\",\"param\":", c->type);
        vmt_buf_printf(&want, c->param[0] ? "\"%s\"" : "null%s", c->param);
        vmt_buf_printf(&want, ",\"code\":%d}}", c->status);
    }
    vmt_str wanted = vmt_arena_dup(t->arena, vmt_buf_str(&want));
    vmt_buf_free(&want);
    vmt_expect_slice(t, is_beginning ? vmt_str_slice(x.body, 0, VMT_MIN(wanted.len, x.body.len)) : x.body, wanted);
    vmt_expect_eq(t, x.status, c->status);
    vmt_json_doc *doc = test_parse(t, x.body);
    vmt_json error = VMT_JSON_AT(vmt_json_root(doc), "error");
    vmt_str text = {0};
    vmt_expect(t, vmt_json_get_str(VMT_JSON_AT(error, "type"), &text));
    vmt_expect_slice(t, text, vmt_str_from(c->type));
    text = VMT_STR("");
    vmt_json_get_str(VMT_JSON_AT(error, "param"), &text);
    vmt_expect_slice(t, text, vmt_str_from(c->param));
    vmt_json_doc_destroy(doc);
}

static void refused(vmt_test *t) {
    test_api *a = test_api_start(t, NULL);
    for (size_t i = 0; i < VMT_COUNT(refusals); i++) {
        expect_error(t, test_post(t, a, refusals[i].path, refusals[i].request), &refusals[i]);
    }
    test_api_stop(a);
}

/* prefix, unit repeated count times with commas, suffix. */
static const char *repeated(vmt_test *t, const char *prefix, const char *unit, size_t count, const char *suffix) {
    vmt_buf text = {0};
    vmt_buf_append_c(&text, prefix);
    for (size_t i = 0; i < count; i++) {
        if (i) vmt_buf_append_byte(&text, ',');
        vmt_buf_append_c(&text, unit);
    }
    vmt_buf_append_c(&text, suffix);
    vmt_str copy = vmt_arena_dup(t->arena, vmt_buf_str(&text));
    vmt_buf_free(&text);
    return copy.ptr;
}

static void over_the_limits(vmt_test *t) {
    test_api *a = test_api_start(t, NULL);
    const struct error_case limits[] = {
        {CHAT, repeated(t, "{\"messages\":[", "{\"role\":\"user\",\"content\":\"a\"}", 16385, "]}"), 400, RULE,
         "messages", "messages has 16385 entries, the limit is 16384. (parameter=messages)"},
        {CHAT, repeated(t, "{\"messages\":[{\"role\":\"user\",\"content\":[", "\"a\"", 16385, "]}]}"), 400, RULE,
         "messages", "messages[0] has 16385 parts, the limit is 16384. (parameter=messages)"},
        {CHAT,
         repeated(t, "{" USER ",\"tools\":[", "{\"type\":\"function\",\"function\":{\"name\":\"f\"}}", 10000,
                  "]}"),
         400, RULE, "tools", "tools has 10000 entries, the limit is 1024. (parameter=tools)"},
        {COMPLETIONS, repeated(t, "{\"prompt\":[", "\"a\"", 1025, "]}"), 400, RULE, "prompt",
         "prompt has 1025 prompts, the limit is 1024. (parameter=prompt)"},
        {COMPLETIONS, repeated(t, "{\"temperature\":1,\"n\":128,\"prompt\":[", "\"a\"", 1024, "]}"), 400, RULE,
         "n", "1024 prompts times n=128 are 131072 choices, the limit is 16384. (parameter=n)"},
        {COMPLETIONS, repeated(t, "{" P ",\"stop\":[", "\"x\"", 65, "]}"), 400, RULE, "stop",
         "stop has 65 strings, the limit is 64. (parameter=stop)"},
        {COMPLETIONS, repeated(t, "{" P ",\"stop_token_ids\":[", "1", 1025, "]}"), 400, RULE, "stop_token_ids",
         "stop_token_ids has 1025 entries, the limit is 1024. (parameter=stop_token_ids)"},
        {COMPLETIONS, repeated(t, "{" P ",\"bad_words\":[", "\"x\"", 513, "]}"), 400, RULE, "bad_words",
         "bad_words has 513 entries, the limit is 512. (parameter=bad_words)"},
        {COMPLETIONS, repeated(t, "{\"prompt\":[", "97", 512, "]}"), 400, RULE, "input_tokens",
         "This model's maximum context length is 512 tokens. However, your request has 512 input tokens. ..."},
        {COMPLETIONS, repeated(t, "{\"prompt\":\"", "a", 5000, "\"}"), 400, RULE, "input_tokens",
         "This model's maximum context length is 512 tokens. However, your request has at least 513 input tokens. "
         "..."},
        {CHAT, repeated(t, "{" USER ",\"chat_template_kwargs\":{", "\"k\":1", 257, "}}"), 400, RULE,
         "chat_template_kwargs",
         "chat_template_kwargs has 257 members, the limit is 256. (parameter=chat_template_kwargs)"},
    };
    for (size_t i = 0; i < VMT_COUNT(limits); i++) {
        expect_error(t, test_post(t, a, limits[i].path, limits[i].request), &limits[i]);
    }
    /* Nesting is the parser's limit. */
    vmt_buf deep = {0};
    vmt_buf_append_c(&deep, "{\"prompt\":\"a\",\"x\":");
    for (int i = 0; i < 300; i++) vmt_buf_append_byte(&deep, '[');
    for (int i = 0; i < 300; i++) vmt_buf_append_byte(&deep, ']');
    vmt_buf_append_byte(&deep, '}');
    test_answer x = test_post(t, a, COMPLETIONS, deep.ptr);
    vmt_buf_free(&deep);
    vmt_expect_eq(t, x.status, 400);
    test_api_stop(a);
}

static void paths_and_methods(vmt_test *t) {
    test_api *a = test_api_start(t, NULL);
    test_answer x = test_get(t, a, "/nowhere");
    vmt_expect_eq(t, x.status, 404);
    vmt_expect_slice(t, x.body, VMT_STR("{\"detail\":\"Not Found\"}"));
    x = test_get(t, a, COMPLETIONS);
    vmt_expect_eq(t, x.status, 405);
    vmt_expect_slice(t, x.body, VMT_STR("{\"detail\":\"Method Not Allowed\"}"));
    vmt_expect(t, vmt_str_find(x.head, VMT_STR("Allow: POST"), 0) != SIZE_MAX);
    x = test_request(t, a, "POST", COMPLETIONS, "Content-Type: text/plain\r\n", VMT_STR("{}"));
    vmt_expect_eq(t, x.status, 400);
    vmt_expect_slice(
        t, x.body,
        VMT_STR("{\"error\":{\"message\":\"1 validation error:\\n  Unsupported Media Type: Only "
                "'application/json' is allowed\",\"type\":\"Bad Request\",\"param\":null,\"code\":400}}"));
    x = test_request(t, a, "POST", "/detokenize", "Content-Type: Application/JSON ; charset=utf-8\r\n",
                     VMT_STR("{\"tokens\":[]}"));
    vmt_expect_eq(t, x.status, 200);
    /* Flags that are off. */
    vmt_expect_eq(t, test_get(t, a, "/tokenizer_info").status, 404);
    vmt_expect_eq(t, test_get(t, a, "/server_info").status, 404);
    x = test_get(t, a, "/v1/models/other");
    vmt_expect_eq(t, x.status, 404);
    vmt_expect_slice(t, x.body,
                     VMT_STR("{\"error\":{\"message\":\"The model `other` does not exist.\",\"type\":"
                             "\"NotFoundError\",\"param\":\"model\",\"code\":404}}"));
    /* The HTTP server's own refusals have the same shape. */
    x.body = client_talk(t, test_api_port(a), VMT_STR("GET / HTTP/1.1\r\n\r\n"));
    vmt_expect_eq(t, client_status(x.body), 400);
    vmt_expect(t, vmt_str_find(x.body, VMT_STR("{\"error\":{\"message\":\""), 0) != SIZE_MAX);
    test_api_stop(a);
}

static const vmt_test_case cases[] = {
    {"refused", refused},
    {"over_the_limits", over_the_limits},
    {"paths_and_methods", paths_and_methods},
    {0},
};
VMT_TEST_MAIN(cases)
