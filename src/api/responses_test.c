/* The server in this process: OpenAI's Responses API, byte for byte. */
#include "api/response_items.h"
#include "api/response_store.h"
#include "api/test_api.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RESPONSES "/v1/responses"

/* The answer without dates and without the random ends of ids. */
static vmt_str golden(vmt_test *t, vmt_str body) {
    static const char *const ids[] = {"\"msg_", "\"rs_", "\"fc_"};
    static const char date[] = "\"created_at\":";
    vmt_buf out = {0};
    for (size_t i = 0; i < body.len;) {
        vmt_str rest = vmt_str_slice(body, i, body.len);
        size_t kept = 0, dropped = 0;
        for (size_t k = 0; k < VMT_COUNT(ids); k++) {
            if (!vmt_str_starts(rest, vmt_str_from(ids[k]))) continue;
            kept = strlen(ids[k]);
            while (kept + dropped < rest.len && rest.ptr[kept + dropped] != '"') dropped++;
        }
        if (vmt_str_starts(rest, VMT_STR(date))) {
            kept = sizeof date - 1;
            while (rest.ptr[kept + dropped] >= '0' && rest.ptr[kept + dropped] <= '9') dropped++;
        }
        if (kept == 0) kept = 1;
        vmt_buf_append(&out, vmt_str_slice(rest, 0, kept));
        if (dropped) vmt_buf_append_byte(&out, '*');
        i += kept + dropped;
    }
    vmt_str copy = vmt_arena_dup(t->arena, vmt_buf_str(&out));
    vmt_buf_free(&out);
    return copy;
}

#define HEAD(status, details)                                                                               \
    "{\"id\":\"resp_t\",\"object\":\"response\",\"created_at\":*,\"status\":\"" status "\",\"error\":null," \
    "\"incomplete_details\":" details ",\"model\":\"letters\",\"output\":["
#define TAIL(limit, usage)                                                                                      \
    "],\"background\":false,\"instructions\":null,\"max_output_tokens\":" limit ",\"max_tool_calls\":null,"     \
    "\"metadata\":{},\"parallel_tool_calls\":true,\"previous_response_id\":null,\"prompt_cache_key\":null,"     \
    "\"reasoning\":{\"effort\":null,\"summary\":null},\"safety_identifier\":null,\"service_tier\":\"auto\","    \
    "\"store\":true,\"temperature\":null,\"text\":{\"format\":{\"type\":\"text\"}},\"tool_choice\":\"auto\","   \
    "\"tools\":[],\"top_logprobs\":0,\"top_p\":null,\"truncation\":\"disabled\",\"user\":null,\"usage\":" usage \
    "}"
#define USAGE(input, output, total)                                                                        \
    "{\"input_tokens\":" input ",\"input_tokens_details\":{\"cached_tokens\":0},\"output_tokens\":" output \
    ",\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":" total "}"
#define PART(text) "{\"type\":\"output_text\",\"text\":\"" text "\",\"annotations\":[],\"logprobs\":[]}"
#define MESSAGE(text, status)                                                           \
    "{\"type\":\"message\",\"id\":\"msg_*\",\"role\":\"assistant\",\"content\":[" PART( \
        text) "],\"status\":\"" status "\"}"
#define ERROR(message, type, param, code) \
    "{\"error\":{\"message\":\"" message "\",\"type\":\"" type "\",\"param\":" param ",\"code\":" code "}}"
#define EVENT(type, number, members) \
    "event: " type "\ndata: {\"type\":\"" type "\",\"sequence_number\":" number "," members "}\n\n"
#define INNER "\"output_index\":0,\"item_id\":\"msg_*\",\"content_index\":0,"

static const struct golden_case {
    const char *path, *request;
    int status;
    const char *answer;
} goldens[] = {
    {RESPONSES, "{\"input\":\"W\"}", 200,
     HEAD("completed", "null") MESSAGE("XYZ", "completed") TAIL("null", USAGE("7", "4", "11"))},
    {RESPONSES,
     "{\"model\":\"letters\",\"input\":[{\"role\":\"user\",\"content\":\"a\"}],\"max_output_tokens\":2}", 200,
     HEAD("incomplete", "{\"reason\":\"max_output_tokens\"}") MESSAGE("bc", "incomplete")
         TAIL("2", USAGE("7", "2", "9"))},
    {RESPONSES, "{\"input\":\"!\"}", 200,
     HEAD("completed", "null") MESSAGE("", "completed") TAIL("null", USAGE("7", "1", "8"))},
    {RESPONSES, "{\"input\":\"Y\",\"stream\":true}", 200,
     EVENT("response.created", "0", "\"response\":" HEAD("in_progress", "null") TAIL("null", "null")) EVENT(
         "response.in_progress", "1", "\"response\":" HEAD("in_progress", "null") TAIL("null", "null"))
         EVENT("response.output_item.added", "2",
               "\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"msg_*\",\"role\":\"assistant\","
               "\"content\":[],"
               "\"status\":\"in_progress\"}") EVENT("response.content_part.added", "3", INNER "\"part\":" PART(""))
             EVENT("response.output_text.delta", "4", INNER "\"delta\":\"Z\",\"logprobs\":[]")
                 EVENT("response.output_text.done", "5", INNER "\"text\":\"Z\",\"logprobs\":[]")
                     EVENT("response.content_part.done", "6", INNER "\"part\":" PART("Z"))
                         EVENT("response.output_item.done", "7",
                               "\"output_index\":0,\"item\":" MESSAGE("Z", "completed"))
                             EVENT("response.completed", "8",
                                   "\"response\":" HEAD("completed", "null") MESSAGE("Z", "completed")
                                       TAIL("null", USAGE("7", "2", "9")))},
    /* Errors. */
    {RESPONSES, "{}", 400,
     ERROR("1 validation error:\\n  body.input: Field required", "Bad Request", "\"input\"", "400")},
    {RESPONSES, "{\"input\":3}", 400,
     ERROR("1 validation error:\\n  body.input: Input should be a string or a list, got an integer", "Bad Request",
           "\"input\"", "400")},
    {RESPONSES, "{\"input\":[3]}", 400,
     ERROR("1 validation error:\\n  body.input.0: Input should be an object, got an integer", "Bad Request",
           "\"input\"", "400")},
    {RESPONSES, "{\"input\":\"a\",\"prompt\":{\"id\":\"p\"}}", 400,
     ERROR("prompt template is not supported (parameter=prompt)", "BadRequestError", "\"prompt\"", "400")},
    {RESPONSES, "{\"input\":\"a\",\"background\":true}", 400,
     ERROR("background responses are not supported. (parameter=background)", "BadRequestError", "\"background\"",
           "400")},
    {RESPONSES, "{\"input\":\"a\",\"tool_choice\":\"required\"}", 400,
     ERROR(
         "The tool specified in `tool_choice` does not match any of the specified `tools` (parameter=tool_choice)",
         "BadRequestError", "\"tool_choice\"", "400")},
    {RESPONSES, "{\"input\":\"a\",\"previous_response_id\":\"resp_x\"}", 404,
     ERROR("Response with id 'resp_x' not found.", "invalid_request_error", "\"response_id\"", "404")},
    {RESPONSES, "{\"input\":\"a\",\"model\":\"gpt\"}", 404,
     ERROR("The model `gpt` does not exist.", "NotFoundError", "\"model\"", "404")},
    {RESPONSES "/resp_x/cancel", "{}", 404,
     ERROR("Response with id 'resp_x' not found.", "invalid_request_error", "\"response_id\"", "404")},
    {RESPONSES "/resp_t/cancel", "{}", 400,
     ERROR("Cannot cancel a synchronous response. (parameter=response_id)", "BadRequestError", "\"response_id\"",
           "400")},
    {RESPONSES "/resp_t/other", "{}", 404, "{\"detail\":\"Not Found\"}"},
    {RESPONSES,
     "{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"image_url\":\"data:\"}]}]}", 400,
     ERROR("input.0.content has a part of type 'input_image', but this model takes text only. "
           "(parameter=input.0.content)",
           "BadRequestError", "\"input.0.content\"", "400")},
};

static void answers_byte_for_byte(vmt_test *t) {
    test_api *a = test_api_start(t, NULL);
    for (size_t i = 0; i < VMT_COUNT(goldens); i++) {
        test_answer answer = test_post(t, a, goldens[i].path, goldens[i].request);
        vmt_expect_eq(t, answer.status, goldens[i].status);
        vmt_expect_slice(t, golden(t, answer.body), vmt_str_from(goldens[i].answer));
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
    const char *request, *shown; /* with ' for " */
} shown_cases[] = {
    {"{'instructions':'I','input':[{'role':'developer','content':'D'},{'type':'message','role':'user','content':[{"
     "'type':'input_text','text':'a'},{'type':'input_text','text':'b'}]}]}",
     "[{'role': 'system', 'content': 'I'}, {'role': 'system', 'content': 'D'}, {'role': 'user', 'content': "
     "'a\\nb'}]"},
    /* Neighbours of the assistant are one message. */
    {"{'input':[{'type':'reasoning','summary':[],'content':[{'type':'reasoning_text','text':'hm'}],"
     "'encrypted_content':'x'},{'type':'message','role':'assistant','content':[{'type':'output_text','text':'a'}]}"
     ","
     "{'type':'function_call','call_id':'c1','name':'f','namespace':'n','arguments':'{}'},{'type':"
     "'function_call_output','call_id':'c1','output':'r'}]}",
     "[{'role': 'assistant', 'content': 'a', 'tool_calls': [{'id': 'c1', 'type': 'function', 'function': {'name': "
     "'n__f', 'arguments': {}}}], 'reasoning': 'hm', 'reasoning_content': 'hm'}, {'role': 'tool', 'content': 'r', "
     "'tool_call_id': 'c1'}]"},
    {"{'input':[{'type':'custom_tool_call','call_id':'c','name':'p','input':'x'},{'type':'custom_tool_call_output'"
     ","
     "'call_id':'c','output':[{'type':'input_text','text':'ok'}]},{'type':'web_search_call','id':'w'},{'type':"
     "'item_reference','id':'i'}]}",
     "[{'role': 'assistant', 'content': '', 'tool_calls': [{'id': 'c', 'type': 'function', 'function': {'name': "
     "'p', "
     "'arguments': {'input': 'x'}}}]}, {'role': 'tool', 'content': 'ok', 'tool_call_id': 'c'}]"},
    {"{'input':'u','tools':[{'type':'web_search'},{'type':'namespace','name':'n','tools':[{'type':'function','"
     "name':"
     "'f','parameters':{'type':'object'}}]},{'type':'custom','name':'p'}]}",
     "[{'role': 'user', 'content': 'u'}][{'type': 'function', 'function': {'name': 'n__f', 'parameters': {'type': "
     "'object'}}}]"},
    {"{'input':[]}", "[{'role': 'user', 'content': ''}]"},
};

static void shows_the_template_what_chat_would(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.adjust = show_messages});
    for (size_t i = 0; i < VMT_COUNT(shown_cases); i++) {
        vmt_str shown;
        test_answer answer = test_post(t, a, RESPONSES, test_quoted(t, shown_cases[i].request).ptr);
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

/* ---- kept responses */

static void goes_on_from_a_former_response(vmt_test *t) {
    test_api *a = test_api_start(t, NULL);
    test_post(t, a, RESPONSES, "{\"input\":\"W\",\"instructions\":\"not inherited\"}");
    test_answer kept = test_get(t, a, RESPONSES "/resp_t");
    vmt_expect_eq(t, kept.status, 200);
    vmt_expect(t, vmt_str_find(kept.body, VMT_STR("\"text\":\"XYZ\""), 0) != SIZE_MAX);
    /* "<user>W<assistant>XYZ<user>W" */
    test_answer second = test_post(t, a, RESPONSES, "{\"input\":\"W\",\"previous_response_id\":\"resp_t\"}");
    vmt_expect(t, vmt_str_find(second.body, VMT_STR("\"usage\":{\"input_tokens\":28,"), 0) != SIZE_MAX);
    test_answer gone = test_request(t, a, "DELETE", RESPONSES "/resp_t", NULL, VMT_STR(""));
    vmt_expect_slice(t, gone.body, VMT_STR("{\"id\":\"resp_t\",\"object\":\"response\",\"deleted\":true}"));
    vmt_expect_eq(t, test_get(t, a, RESPONSES "/resp_t").status, 404);
    test_post(t, a, RESPONSES, "{\"input\":\"W\",\"store\":false}");
    vmt_expect_eq(t, test_get(t, a, RESPONSES "/resp_t").status, 404);
    test_api_stop(a);
}

static void keeps_the_latest(vmt_test *t) {
    vmt_response_store *store = vmt_response_store_create();
    vmt_buf items = {0};
    char id[16];
    for (uint32_t i = 0; i < VMT_RESPONSES_KEPT_MAX; i++) {
        snprintf(id, sizeof id, "r%u", i);
        vmt_response_store_put(store, vmt_str_from(id), VMT_STR("{}"), VMT_STR("{}"));
    }
    vmt_expect(t, vmt_response_store_get(store, VMT_STR("r0"), NULL, NULL));
    vmt_response_store_put(store, VMT_STR("new"), VMT_STR("1"), VMT_STR("2"));
    vmt_expect(t, vmt_response_store_get(store, VMT_STR("r0"), NULL, NULL));
    vmt_expect(t, !vmt_response_store_get(store, VMT_STR("r1"), NULL, NULL));
    vmt_response_store_put(store, VMT_STR("new"), VMT_STR("3"), VMT_STR("4"));
    vmt_expect(t, vmt_response_store_get(store, VMT_STR("new"), &items, &items));
    vmt_expect_slice(t, vmt_buf_str(&items), VMT_STR("34"));
    vmt_buf_free(&items);
    vmt_expect(t, vmt_response_store_remove(store, VMT_STR("new")));
    vmt_expect(t, !vmt_response_store_remove(store, VMT_STR("new")));
    /* By bytes: each is a sixteenth of what all may have. */
    size_t len = VMT_RESPONSES_KEPT_BYTES_MAX / 16;
    char *text = calloc(len, 1);
    VMT_ASSERT(text != NULL);
    for (uint32_t i = 0; i < 17; i++) {
        snprintf(id, sizeof id, "big%u", i);
        vmt_response_store_put(store, vmt_str_from(id), (vmt_str){text, len - 256}, VMT_STR(""));
    }
    vmt_expect(t, !vmt_response_store_get(store, VMT_STR("big0"), NULL, NULL));
    vmt_expect(t, vmt_response_store_get(store, VMT_STR("big16"), NULL, NULL));
    free(text);
    vmt_response_store_destroy(store);
}

/* ---- early events and failures */

static void a_failing_model_is_a_failed_response(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.step_ns = UINT64_C(100) * 1000000});
    int fd = test_open(t, a, RESPONSES, "{\"input\":\"a\",\"stream\":true}");
    vmt_buf text = {0};
    /* Before the model has said anything. */
    vmt_expect(t, client_read_until(fd, &text, "event: response.in_progress"));
    vmt_expect(t, vmt_str_find(vmt_buf_str(&text), VMT_STR("output_text"), 0) == SIZE_MAX);
    test_api_fail(a, 1);
    vmt_expect(t, client_read_until(fd, &text, "event: response.failed"));
    vmt_expect(t, client_read_until(
                      fd, &text,
                      "\"error\":{\"code\":\"server_error\",\"message\":\"the model failed as it was told\"}"));
    vmt_buf_free(&text);
    close(fd);
    test_api_stop(a);
}

/* ---- items */

static void append_event(void *ctx, const char *name, const vmt_buf *data) {
    vmt_buf_printf(ctx, "%.*s\n", VMT_STR_ARG(vmt_buf_str(data)));
}

static const vmt_answer_event one_of_each[] = {
    {.kind = VMT_ANSWER_REASONING, .text = {"hm", 2}},
    {.kind = VMT_ANSWER_CONTENT, .text = {"a", 1}},
    {.kind = VMT_ANSWER_CALL_START, .name = {"n__f", 4}, .id = {"c1", 2}},
    {.kind = VMT_ANSWER_CALL_ARGS, .text = {"{}", 2}},
    {.kind = VMT_ANSWER_CALL_END},
    {.kind = VMT_ANSWER_CALL_START, .name = {"g", 1}, .id = {"c2", 2}},
    {.kind = VMT_ANSWER_CALL_BROKEN, .text = {"<g>", 3}},
};

static const char stream_of_each[] =
    "{\"type\":\"response.output_item.added\",\"sequence_number\":0,\"output_index\":0,\"item\":{\"type\":"
    "\"reasoning\",\"id\":\"rs_*\",\"summary\":[],\"content\":[],\"encrypted_content\":null,\"status\":\"in_"
    "progress\"}}\n"
    "{\"type\":\"response.reasoning_part.added\",\"sequence_number\":1,\"output_index\":0,\"item_id\":\"rs_*\","
    "\"content_index\":0,\"part\":{\"type\":\"reasoning_text\",\"text\":\"\"}}\n"
    "{\"type\":\"response.reasoning_text.delta\",\"sequence_number\":2,\"output_index\":0,\"item_id\":\"rs_*\","
    "\"content_index\":0,\"delta\":\"hm\"}\n"
    "{\"type\":\"response.reasoning_text.done\",\"sequence_number\":3,\"output_index\":0,\"item_id\":\"rs_*\","
    "\"content_index\":0,\"text\":\"hm\"}\n"
    "{\"type\":\"response.reasoning_part.done\",\"sequence_number\":4,\"output_index\":0,\"item_id\":\"rs_*\","
    "\"content_index\":0,\"part\":{\"type\":\"reasoning_text\",\"text\":\"hm\"}}\n"
    "{\"type\":\"response.output_item.done\",\"sequence_number\":5,\"output_index\":0,\"item\":{\"type\":"
    "\"reasoning\",\"id\":\"rs_*\",\"summary\":[],\"content\":[{\"type\":\"reasoning_text\",\"text\":\"hm\"}],"
    "\"encrypted_content\":null,\"status\":\"completed\"}}\n"
    "{\"type\":\"response.output_item.added\",\"sequence_number\":6,\"output_index\":1,\"item\":{\"type\":"
    "\"message\",\"id\":\"msg_*\",\"role\":\"assistant\",\"content\":[],\"status\":\"in_progress\"}}\n"
    "{\"type\":\"response.content_part.added\",\"sequence_number\":7,\"output_index\":1,\"item_id\":\"msg_*\","
    "\"content_index\":0,\"part\":{\"type\":\"output_text\",\"text\":\"\",\"annotations\":[],\"logprobs\":[]}}\n"
    "{\"type\":\"response.output_text.delta\",\"sequence_number\":8,\"output_index\":1,\"item_id\":\"msg_*\","
    "\"content_index\":0,\"delta\":\"a\",\"logprobs\":[]}\n"
    "{\"type\":\"response.output_text.done\",\"sequence_number\":9,\"output_index\":1,\"item_id\":\"msg_*\","
    "\"content_index\":0,\"text\":\"a\",\"logprobs\":[]}\n"
    "{\"type\":\"response.content_part.done\",\"sequence_number\":10,\"output_index\":1,\"item_id\":\"msg_*\","
    "\"content_index\":0,\"part\":{\"type\":\"output_text\",\"text\":\"a\",\"annotations\":[],\"logprobs\":[]}}\n"
    "{\"type\":\"response.output_item.done\",\"sequence_number\":11,\"output_index\":1,\"item\":{\"type\":"
    "\"message\",\"id\":\"msg_*\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"a\","
    "\"annotations\":[],\"logprobs\":[]}],\"status\":\"completed\"}}\n"
    "{\"type\":\"response.output_item.added\",\"sequence_number\":12,\"output_index\":2,\"item\":{\"type\":"
    "\"function_call\",\"id\":\"fc_*\",\"call_id\":\"c1\",\"name\":\"f\",\"namespace\":\"n\",\"arguments\":\"\","
    "\"status\":\"in_progress\"}}\n"
    "{\"type\":\"response.function_call_arguments.delta\",\"sequence_number\":13,\"output_index\":2,\"item_id\":"
    "\"fc_*\",\"delta\":\"{}\"}\n"
    "{\"type\":\"response.function_call_arguments.done\",\"sequence_number\":14,\"output_index\":2,\"item_id\":"
    "\"fc_*\",\"arguments\":\"{}\",\"name\":\"f\"}\n"
    "{\"type\":\"response.output_item.done\",\"sequence_number\":15,\"output_index\":2,\"item\":{\"type\":"
    "\"function_call\",\"id\":\"fc_*\",\"call_id\":\"c1\",\"name\":\"f\",\"namespace\":\"n\",\"arguments\":\"{}\","
    "\"status\":\"completed\"}}\n"
    "{\"type\":\"response.output_item.added\",\"sequence_number\":16,\"output_index\":3,\"item\":{\"type\":"
    "\"function_call\",\"id\":\"fc_*\",\"call_id\":\"c2\",\"name\":\"g\",\"arguments\":\"\",\"status\":\"in_"
    "progress\"}}\n"
    "{\"type\":\"response.function_call_arguments.done\",\"sequence_number\":17,\"output_index\":3,\"item_id\":"
    "\"fc_*\",\"arguments\":\"\",\"name\":\"g\"}\n"
    "{\"type\":\"response.output_item.done\",\"sequence_number\":18,\"output_index\":3,\"item\":{\"type\":"
    "\"function_call\",\"id\":\"fc_*\",\"call_id\":\"c2\",\"name\":\"g\",\"arguments\":\"\",\"status\":"
    "\"incomplete\"}}\n"
    "{\"type\":\"response.output_item.added\",\"sequence_number\":19,\"output_index\":4,\"item\":{\"type\":"
    "\"message\",\"id\":\"msg_*\",\"role\":\"assistant\",\"content\":[],\"status\":\"in_progress\"}}\n"
    "{\"type\":\"response.content_part.added\",\"sequence_number\":20,\"output_index\":4,\"item_id\":\"msg_*\","
    "\"content_index\":0,\"part\":{\"type\":\"output_text\",\"text\":\"\",\"annotations\":[],\"logprobs\":[]}}\n"
    "{\"type\":\"response.output_text.delta\",\"sequence_number\":21,\"output_index\":4,\"item_id\":\"msg_*\","
    "\"content_index\":0,\"delta\":\"<g>\",\"logprobs\":[]}\n"
    "{\"type\":\"response.output_text.done\",\"sequence_number\":22,\"output_index\":4,\"item_id\":\"msg_*\","
    "\"content_index\":0,\"text\":\"<g>\",\"logprobs\":[]}\n"
    "{\"type\":\"response.content_part.done\",\"sequence_number\":23,\"output_index\":4,\"item_id\":\"msg_*\","
    "\"content_index\":0,\"part\":{\"type\":\"output_text\",\"text\":\"<g>\",\"annotations\":[],\"logprobs\":[]}}"
    "\n"
    "{\"type\":\"response.output_item.done\",\"sequence_number\":24,\"output_index\":4,\"item\":{\"type\":"
    "\"message\",\"id\":\"msg_*\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"<g>\","
    "\"annotations\":[],\"logprobs\":[]}],\"status\":\"completed\"}}\n";
static const char whole_of_each[] =
    "{\"type\":\"reasoning\",\"id\":\"rs_*\",\"summary\":[],\"content\":[{\"type\":\"reasoning_text\",\"text\":"
    "\"hm\"}],\"encrypted_content\":null,\"status\":\"completed\"},{\"type\":\"message\",\"id\":\"msg_*\","
    "\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"a\",\"annotations\":[],\"logprobs\":"
    "[]}],\"status\":\"completed\"},{\"type\":\"function_call\",\"id\":\"fc_*\",\"call_id\":\"c1\",\"name\":\"f\","
    "\"namespace\":\"n\",\"arguments\":\"{}\",\"status\":\"completed\"},{\"type\":\"message\",\"id\":\"msg_*\","
    "\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"<g>\",\"annotations\":[],"
    "\"logprobs\":[]}],\"status\":\"completed\"}";

static void events_become_items(vmt_test *t) {
    static const vmt_response_tool tools[] = {{{"n__f", 4}, {"n", 1}, {"f", 1}}};
    vmt_buf text = {0};
    vmt_response_items stream = {.send = append_event, .ctx = &text, .tools = tools, .num_tools = 1};
    vmt_response_items whole = {.tools = tools, .num_tools = 1};
    for (size_t i = 0; i < VMT_COUNT(one_of_each); i++) {
        vmt_response_items_take(&stream, &one_of_each[i]);
        vmt_response_items_take(&whole, &one_of_each[i]);
    }
    vmt_response_items_finish(&stream, "completed");
    vmt_response_items_finish(&whole, "completed");
    vmt_expect_slice(t, golden(t, vmt_buf_str(&text)), VMT_STR(stream_of_each));
    vmt_expect_slice(t, golden(t, vmt_buf_str(&whole.output)), VMT_STR(whole_of_each));
    vmt_response_items_free(&stream);
    vmt_response_items_free(&whole);
    vmt_buf_free(&text);
}

static const vmt_test_case cases[] = {
    {"answers_byte_for_byte", answers_byte_for_byte},
    {"shows_the_template_what_chat_would", shows_the_template_what_chat_would},
    {"goes_on_from_a_former_response", goes_on_from_a_former_response},
    {"keeps_the_latest", keeps_the_latest},
    {"a_failing_model_is_a_failed_response", a_failing_model_is_a_failed_response},
    {"events_become_items", events_become_items},
    {0},
};
VMT_TEST_MAIN(cases)
