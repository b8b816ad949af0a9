/* The server in this process: Anthropic's Messages API, byte for byte. */
#include "api/messages_blocks.h"
#include "api/test_api.h"

#include <unistd.h>

#define MESSAGES   "/v1/messages"
#define COUNT      "/v1/messages/count_tokens"
#define HEAD       "\"model\":\"letters\",\"max_tokens\":9,"
#define USER(text) "\"messages\":[{\"role\":\"user\",\"content\":\"" text "\"}]"
#define STREAM     ",\"stream\":true"

#define START(input)                                                                                              \
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_t\",\"type\":\"message\"," \
    "\"role\":\"assistant\",\"model\":\"letters\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"    \
    "\"usage\":{\"input_tokens\":" input ",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"      \
    "\"output_tokens\":0}}}\n\n"
#define BLOCK_START                                                                    \
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0," \
    "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
#define BLOCK_STOP "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
#define END(reason, sequence, input, output)                                                                    \
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":" reason                \
    ",\"stop_sequence\":" sequence "},\"usage\":{\"input_tokens\":" input ",\"cache_creation_input_tokens\":0," \
    "\"cache_read_input_tokens\":0,\"output_tokens\":" output "}}\n\n"                                          \
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
#define WHOLE(text, reason, sequence, input, output)                                                          \
    "{\"id\":\"msg_t\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"letters\",\"content\":[{"      \
    "\"type\":\"text\",\"text\":\"" text "\"}],\"stop_reason\":" reason ",\"stop_sequence\":" sequence        \
    ",\"usage\":{\"input_tokens\":" input ",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0," \
    "\"output_tokens\":" output "}}"
#define ERROR(type, message) "{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"" message "\"}}"
#define INVALID(message)     ERROR("invalid_request_error", message)

static const struct golden_case {
    const char *path, *request;
    int status;
    const char *answer;
} goldens[] = {
    {MESSAGES, "{" HEAD USER("W") "}", 200, WHOLE("XYZ", "\"end_turn\"", "null", "7", "4")},
    {MESSAGES "?beta=true", "{" HEAD USER("a") "}", 200, WHOLE("bcdefghij", "\"max_tokens\"", "null", "7", "9")},
    {MESSAGES, "{" HEAD USER("!") "}", 200, WHOLE("", "\"end_turn\"", "null", "7", "1")},
    {MESSAGES, "{" HEAD USER("a") ",\"stop_sequences\":[\"q\",\"de\"]}", 200,
     WHOLE("bc", "\"stop_sequence\"", "\"de\"", "7", "4")},
    /* max_tokens beyond the context is cut to it. */
    {MESSAGES, "{\"model\":\"letters\",\"max_tokens\":99999," USER("W") "}", 200,
     WHOLE("XYZ", "\"end_turn\"", "null", "7", "4")},
    /* An assistant's last message goes on. */
    {MESSAGES,
     "{" HEAD
     "\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"MNOPX\"}]}",
     200, WHOLE("YZ", "\"end_turn\"", "null", "23", "3")},
    {MESSAGES, "{" HEAD USER("Y") STREAM "}", 200,
     START("7") BLOCK_START
     "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
     "\"delta\":{\"type\":\"text_delta\",\"text\":\"Z\"}}\n\n" BLOCK_STOP END("\"end_turn\"", "null", "7", "2")},
    {MESSAGES, "{" HEAD USER("!") STREAM "}", 200,
     START("7") BLOCK_START BLOCK_STOP END("\"end_turn\"", "null", "7", "1")},
    {MESSAGES, "{" HEAD USER("a") STREAM ",\"stop_sequences\":[\"b\"]}", 200,
     START("7") BLOCK_START BLOCK_STOP END("\"stop_sequence\"", "\"b\"", "7", "1")},
    {"/anthropic/v1/messages", "{" HEAD USER("W") "}", 200, WHOLE("XYZ", "\"end_turn\"", "null", "7", "4")},
    {"/engines/llama.cpp/v1/messages", "{" HEAD USER("W") "}", 200,
     WHOLE("XYZ", "\"end_turn\"", "null", "7", "4")},
    {"/engines/v1/messages", "{" HEAD USER("W") "}", 200, WHOLE("XYZ", "\"end_turn\"", "null", "7", "4")},
    {COUNT "?beta=true", "{\"model\":\"letters\"," USER("W") "}", 200,
     "{\"input_tokens\":7,\"context_management\":{\"original_input_tokens\":7}}"},
    {COUNT, "{\"model\":\"letters\"}", 400, INVALID("messages: Field required")},
    /* Tools are no error where the model can't call them. */
    {MESSAGES, "{" HEAD USER("W") ",\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"}}]}", 200,
     WHOLE("XYZ", "\"end_turn\"", "null", "7", "4")},
    /* What clients send and this server does not know. */
    {MESSAGES,
     "{" HEAD USER("W") ",\"metadata\":{\"user_id\":\"u\"},\"service_tier\":\"auto\",\"speed\":1,\"thinking\":{"
                        "\"type\":\"adaptive\",\"display\":\"omitted\"},\"context_management\":{\"edits\":[]},"
                        "\"output_config\":{\"effort\":\"ultra\"},\"tools\":[{\"type\":\"web_search_20250305\","
                        "\"name\":\"web_search\"}],\"tool_choice\":{\"type\":\"auto\"}}",
     200, WHOLE("XYZ", "\"end_turn\"", "null", "7", "4")},
    /* Errors. */
    {MESSAGES, "{", 400,
     INVALID("body: JSON decode error: JSON is malformed: a bracket, comma, colon or value is missing or out of "
             "place")},
    {MESSAGES, "[]", 400, INVALID("body: Input should be an object, got an array")},
    {MESSAGES, "{" USER("W") ",\"max_tokens\":1}", 400, INVALID("model: Field required")},
    {MESSAGES, "{\"model\":\"letters\"," USER("W") "}", 400, INVALID("max_tokens: Field required")},
    {MESSAGES, "{\"model\":\"letters\",\"max_tokens\":0," USER("W") "}", 400,
     INVALID("max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)")},
    {MESSAGES, "{\"model\":\"letters\",\"max_tokens\":1}", 400, INVALID("messages: Field required")},
    {MESSAGES, "{" HEAD "\"messages\":[]}", 400, INVALID("messages must not be empty. (parameter=messages)")},
    {MESSAGES, "{\"model\":\"claude\",\"max_tokens\":1," USER("W") "}", 404,
     ERROR("not_found_error", "The model `claude` does not exist.")},
    {MESSAGES, "{" HEAD "\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}", 400,
     INVALID("messages.0.role: Input should be 'user', 'assistant' or 'system'")},
    {MESSAGES, "{" HEAD "\"messages\":[{\"role\":\"user\"}]}", 400,
     INVALID("messages.0.content: Input should be a string or a list")},
    {MESSAGES,
     "{" HEAD "\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"user\",\"content\":[{\"type\":"
     "\"image\",\"source\":{\"type\":\"url\",\"url\":\"http://x\"}}]}]}",
     400,
     INVALID("messages.1.content has a block of type 'image', but this model takes text only. "
             "(parameter=messages.1.content)")},
    {MESSAGES, "{" HEAD "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\"}]}]}", 400,
     INVALID("messages.0.content: a block of type 'tool_result' needs 'tool_use_id'")},
    {MESSAGES, "{" HEAD USER("W") ",\"system\":3}", 400,
     INVALID("system: Input should be a string or a list, got an integer")},
    {MESSAGES, "{" HEAD USER("W") ",\"tool_choice\":{\"type\":\"all\"}}", 400,
     INVALID("tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'")},
    {MESSAGES, "{" HEAD USER("W") ",\"temperature\":9}", 400,
     INVALID("temperature must be in [0, 2], got 9. (parameter=temperature, value=9)")},
};

static void answers_byte_for_byte(vmt_test *t) {
    test_api *a = test_api_start(t, NULL);
    for (size_t i = 0; i < VMT_COUNT(goldens); i++) {
        test_answer answer = test_post(t, a, goldens[i].path, goldens[i].request);
        vmt_expect_eq(t, answer.status, goldens[i].status);
        vmt_expect_slice(t, answer.body, vmt_str_from(goldens[i].answer));
    }
    test_api_stop(a);
}

/* ---- what the template is shown */

/* But for the server's own question where it puts system messages. */
#define SHOWING                                                                                            \
    "{% if messages[0].content == 'qz-one' %}{% for m in messages %}{{ m.content }}{% endfor %}{% else %}" \
    "{{ raise_exception((messages | tojson) ~ (tools | tojson if tools else '')) }}{% endif %}"

static vmt_chat_template *showing; /* destroyed by the case */

static void show_messages(vmt_api_config *config) {
    vmt_err err = {0};
    VMT_ASSERT(vmt_chat_template_compile(&showing, VMT_STR(SHOWING), &err) == VMT_OK);
    config->chat_template = showing;
}

static const struct shown_case {
    const char *members, *shown; /* with ' for " */
} shown_cases[] = {
    /* System blocks are joined as they are, without the one that differs with each request. */
    {"'system':[{'type':'text','text':'x-anthropic-billing-header: "
     "cch=1'},{'type':'text','text':'A','cache_control':"
     "{'type':'ephemeral'}},{'type':'text','text':'B'}],'messages':[{'role':'user','content':'u'}]",
     "[{'role': 'system', 'content': 'AB'}, {'role': 'user', 'content': 'u'}]"},
    {"'system':'S','messages':[{'role':'user','content':[{'type':'text','text':'a'},{'type':'text','text':'b'}]},"
     "{'role':'system','content':'later'}]",
     "[{'role': 'system', 'content': 'S'}, {'role': 'user', 'content': 'a\\nb'}, {'role': 'system', 'content': "
     "'later'}]"},
    {"'messages':[{'role':'assistant','content':[{'type':'thinking','thinking':'hm','signature':'?'},{'type':"
     "'redacted_thinking','data':'x'},{'type':'text','text':'a'},{'type':'tool_use','id':'t1','name':'f','input':{"
     "'x':1}}]}]",
     "[{'role': 'assistant', 'content': 'a', 'tool_calls': [{'id': 't1', 'type': 'function', 'function': {'name': "
     "'f', 'arguments': {'x': 1}}}], 'reasoning': 'hm', 'reasoning_content': 'hm'}]"},
    {"'messages':[{'role':'user','content':[{'type':'tool_result','tool_use_id':'t1','content':[{'type':'text',"
     "'text':'r'},{'type':'text','text':'s'}]},{'type':'tool_result','tool_use_id':'t2','is_error':true},{'type':"
     "'text','text':'u'}]}]",
     "[{'role': 'tool', 'content': 'r\\ns', 'tool_call_id': 't1'}, {'role': 'tool', 'content': '', "
     "'tool_call_id': "
     "'t2'}, {'role': 'user', 'content': 'u'}]"},
    /* Documents and what nobody has heard of. */
    {"'messages':[{'role':'user','content':[{'type':'document','source':{'type':'text','data':'d'}},{'type':"
     "'search_result','content':[{'type':'text','text':'s'}]},{'type':'new'},{'type':'document','source':{'type':"
     "'base64','data':'AA=='}}]}]",
     "[{'role': 'user', 'content': 'd\\ns'}]"},
    {"'messages':[{'role':'user','content':'u'}],'tools':[{'name':'f','description':'d','strict':true,'input_"
     "schema':"
     "{'properties':{}}},{'type':'bash_20250124','name':'bash'}]",
     "[{'role': 'user', 'content': 'u'}][{'type': 'function', 'function': {'name': 'f', 'description': 'd', "
     "'parameters': {'type': 'object', 'properties': {}}, 'strict': true}}]"},
};

static void shows_the_template_what_chat_would(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.adjust = show_messages});
    for (size_t i = 0; i < VMT_COUNT(shown_cases); i++) {
        vmt_str members = test_quoted(t, shown_cases[i].members), shown;
        vmt_str request = vmt_arena_printf(t->arena, "{" HEAD "%s}", members.ptr);
        test_answer answer = test_post(t, a, COUNT, request.ptr);
        vmt_expect_eq(t, answer.status, 400);
        vmt_json_doc *doc = test_parse(t, answer.body);
        vmt_json error = VMT_JSON_AT(vmt_json_root(doc), "error");
        vmt_expect(t, vmt_json_get_str(VMT_JSON_AT(error, "message"), &shown));
        vmt_expect_slice(t, shown, test_quoted(t, shown_cases[i].shown));
        vmt_json_doc_destroy(doc);
    }
    test_api_stop(a);
    vmt_chat_template_destroy(showing);
}

#define SYSTEM_FIRST                                                        \
    "{% for m in messages %}{% if m.role == 'system' and not loop.first %}" \
    "{{ raise_exception('system must be first') }}{% endif %}<{{ m.role }}>{{ m.content }}{% endfor %}"

static void wants_system_first(vmt_api_config *config) {
    vmt_err err = {0};
    VMT_ASSERT(vmt_chat_template_compile(&showing, VMT_STR(SYSTEM_FIRST), &err) == VMT_OK);
    config->chat_template = showing;
}

static void systems_are_merged_where_they_must_be(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.adjust = wants_system_first});
    test_answer answer = test_post(t, a, COUNT,
                                   "{" HEAD "\"system\":\"S\",\"messages\":[{\"role\":\"user\",\"content\":\"u\"},"
                                   "{\"role\":\"system\",\"content\":\"L\"}]}");
    vmt_expect_eq(t, answer.status, 200);
    /* "<system>S<user>u<user><system-reminder>\nL\n</system-reminder>" */
    vmt_expect(t, vmt_str_starts(answer.body, VMT_STR("{\"input_tokens\":60,")));
    test_api_stop(a);
    vmt_chat_template_destroy(showing);
}

/* ---- prompt cache */

static void resent_history_is_cached(vmt_test *t) {
    static const char format[] =
        "{" HEAD
        "\"system\":[{\"type\":\"text\",\"text\":\"x-anthropic-billing-header: cch=%s\"},{\"type\":\"text\","
        "\"text\":\"a system prompt that is longer than a few blocks of the cache\"}]," USER("hello a") "}";
    test_api *a = test_api_start(t, NULL);
    test_post(t, a, MESSAGES, vmt_arena_printf(t->arena, format, "0123").ptr);
    test_answer again = test_post(t, a, MESSAGES, vmt_arena_printf(t->arena, format, "abcdef").ptr);
    vmt_expect(t, vmt_str_find(again.body, VMT_STR("\"input_tokens\":2,"), 0) != SIZE_MAX);
    vmt_expect(t, vmt_str_find(again.body, VMT_STR("\"cache_read_input_tokens\":80,"), 0) != SIZE_MAX);
    test_api_stop(a);
}

/* ---- auth, pings, failures */

static void lock(vmt_api_config *config) {
    static const vmt_str keys[] = {{"secret", 6}};
    config->api_keys = keys;
    config->num_api_keys = 1;
}

static void keys_come_in_either_header(vmt_test *t) {
    static const struct {
        const char *path, *headers;
        int status;
    } cases[] = {
        {MESSAGES, "", 401},
        {MESSAGES, "x-api-key: wrong\r\n", 401},
        {MESSAGES, "x-api-key: secret\r\n", 200},
        {MESSAGES, "Authorization: Bearer secret\r\n", 200},
        {"/anthropic/v1/messages", "", 401},
        {"/anthropic/v1/messages", "x-api-key: secret\r\nanthropic-version: 2026-10-21\r\nanthropic-beta: a,b\r\n",
         200},
    };
    test_api *a = test_api_start(t, &(test_api_options){.adjust = lock});
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        vmt_str headers = vmt_arena_printf(t->arena, "Content-Type: application/json\r\n%s", cases[i].headers);
        test_answer answer =
            test_request(t, a, "POST", cases[i].path, headers.ptr, VMT_STR("{" HEAD USER("W") "}"));
        vmt_expect_eq(t, answer.status, cases[i].status);
        if (answer.status == 401) {
            vmt_expect_slice(t, answer.body, VMT_STR(ERROR("authentication_error", "invalid x-api-key")));
        }
    }
    test_api_stop(a);
}

static void ping_soon(vmt_api_config *config) {
    config->ping_interval_ms = 20;
}

static void pings_while_nothing_is_said(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.adjust = ping_soon, .step_ns = UINT64_C(150) * 1000000});
    test_answer answer = test_post(t, a, MESSAGES, "{" HEAD USER("!") STREAM "}");
    vmt_expect_eq(t, answer.status, 200);
    vmt_expect(t, vmt_str_starts(answer.body, VMT_STR("event: ping\ndata: {\"type\":\"ping\"}\n\n")));
    vmt_expect(t,
               vmt_str_ends(answer.body, VMT_STR("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")));
    test_api_stop(a);
}

static void a_failing_model_is_an_error_event(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.step_ns = UINT64_C(5) * 1000000});
    int fd = test_open(t, a, MESSAGES, "{\"model\":\"letters\",\"max_tokens\":400," USER("a") STREAM "}");
    vmt_buf text = {0};
    vmt_expect(t, client_read_until(fd, &text, "content_block_delta"));
    test_api_fail(a, 1);
    vmt_expect(t, client_read_until(fd, &text, ERROR("api_error", "the model failed as it was told")));
    vmt_expect(t, vmt_str_find(vmt_buf_str(&text), VMT_STR("event: error\n"), 0) != SIZE_MAX);
    vmt_buf_free(&text);
    close(fd);
    test_api_stop(a);
}

/* ---- blocks */

static void append_event(void *ctx, const char *name, const vmt_buf *data) {
    vmt_buf_printf(ctx, "%s %.*s\n", name, VMT_STR_ARG(vmt_buf_str(data)));
}

static const vmt_answer_event one_of_each[] = {
    {.kind = VMT_ANSWER_REASONING, .text = {"hm", 2}},
    {.kind = VMT_ANSWER_REASONING, .text = {"!", 1}},
    {.kind = VMT_ANSWER_CONTENT, .text = {"a", 1}},
    {.kind = VMT_ANSWER_CALL_START, .name = {"f", 1}, .id = {"t1", 2}},
    {.kind = VMT_ANSWER_CALL_ARGS, .text = {"{\"x\":", 5}},
    {.kind = VMT_ANSWER_CALL_ARGS, .text = {"1}", 2}},
    {.kind = VMT_ANSWER_CALL_END},
    {.kind = VMT_ANSWER_CALL_START, .name = {"g", 1}, .id = {"t2", 2}},
    {.kind = VMT_ANSWER_CALL_BROKEN, .text = {"<g>", 3}},
};

static const char stream_of_each[] =
    "content_block_start "
    "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\","
    "\"signature\":\"\"}}\n"
    "content_block_delta "
    "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"hm\"}}\n"
    "content_block_delta "
    "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"!\"}}\n"
    "content_block_delta "
    "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":"
    "\"vmetal9039df2e9e388aa2\"}}\n"
    "content_block_stop {\"type\":\"content_block_stop\",\"index\":0}\n"
    "content_block_start "
    "{\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n"
    "content_block_delta "
    "{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n"
    "content_block_stop {\"type\":\"content_block_stop\",\"index\":1}\n"
    "content_block_start "
    "{\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t1\","
    "\"name\":\"f\",\"input\":{}}}\n"
    "content_block_delta "
    "{\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{"
    "\\\"x\\\":\"}}\n"
    "content_block_delta "
    "{\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"1}"
    "\"}}\n"
    "content_block_stop {\"type\":\"content_block_stop\",\"index\":2}\n"
    "content_block_start "
    "{\"type\":\"content_block_start\",\"index\":3,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t2\","
    "\"name\":\"g\",\"input\":{}}}\n"
    "content_block_stop {\"type\":\"content_block_stop\",\"index\":3}\n"
    "content_block_start "
    "{\"type\":\"content_block_start\",\"index\":4,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n"
    "content_block_delta "
    "{\"type\":\"content_block_delta\",\"index\":4,\"delta\":{\"type\":\"text_delta\",\"text\":\"<g>\"}}\n"
    "content_block_stop {\"type\":\"content_block_stop\",\"index\":4}\n";
static const char whole_of_each[] =
    "{\"type\":\"thinking\",\"thinking\":\"hm!\",\"signature\":\"vmetal9039df2e9e388aa2\"},{\"type\":\"text\","
    "\"text\":\"a\"},{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"f\",\"input\":{\"x\":1}},{\"type\":\"text\","
    "\"text\":\"<g>\"}";

static void events_become_blocks(vmt_test *t) {
    vmt_buf text = {0};
    vmt_blocks stream = {.send = append_event, .ctx = &text}, whole = {0};
    for (size_t i = 0; i < VMT_COUNT(one_of_each); i++) {
        vmt_blocks_take(&stream, &one_of_each[i]);
        vmt_blocks_take(&whole, &one_of_each[i]);
    }
    vmt_blocks_finish(&stream);
    vmt_blocks_finish(&whole);
    vmt_expect_slice(t, vmt_buf_str(&text), VMT_STR(stream_of_each));
    vmt_expect_slice(t, vmt_buf_str(&whole.content), VMT_STR(whole_of_each));
    vmt_expect_eq(t, stream.num_calls, 1);
    vmt_expect_eq(t, whole.num_calls, 1);
    vmt_blocks_free(&stream);
    vmt_blocks_free(&whole);
    vmt_buf_free(&text);
}

static const vmt_test_case cases[] = {
    {"answers_byte_for_byte", answers_byte_for_byte},
    {"shows_the_template_what_chat_would", shows_the_template_what_chat_would},
    {"systems_are_merged_where_they_must_be", systems_are_merged_where_they_must_be},
    {"resent_history_is_cached", resent_history_is_cached},
    {"keys_come_in_either_header", keys_come_in_either_header},
    {"pings_while_nothing_is_said", pings_while_nothing_is_said},
    {"a_failing_model_is_an_error_event", a_failing_model_is_an_error_event},
    {"events_become_blocks", events_become_blocks},
    {0},
};
VMT_TEST_MAIN(cases)
