/* Forms of answers, forced calls and thinking budgets over the whole server, with a model whose tokens are known. */
#include "api/test_api.h"

#include <unistd.h>

#define CHAT        "/v1/chat/completions"
#define COMPLETIONS "/v1/completions"

static vmt_str text_at(vmt_test *t, vmt_str body, const char *member, vmt_str *finish) {
    vmt_json_doc *doc = test_parse(t, body);
    vmt_json choice = {0}, choices = VMT_JSON_AT(vmt_json_root(doc), "choices");
    vmt_json_iter it = vmt_json_iter_begin(choices);
    vmt_str text = VMT_STR("(none)"), reason = VMT_STR("(none)");
    if (vmt_json_iter_next(&it, NULL, &choice)) {
        vmt_json message = VMT_JSON_AT(choice, "message"), holder = vmt_json_exists(message) ? message : choice;
        vmt_json_get_str(vmt_json_member(holder, vmt_str_from(member)), &text);
        vmt_json_get_str(VMT_JSON_AT(choice, "finish_reason"), &reason);
    }
    text = vmt_arena_dup(t->arena, text);
    *finish = vmt_arena_dup(t->arena, reason);
    vmt_json_doc_destroy(doc);
    return text;
}

static const struct {
    const char *members, *text, *finish;
} completions[] = {
    /* The model says the next letter where it may. */
    {"'prompt':'a','guided_regex':'[a-z]{5}'", "bcdef", "stop"},
    {"'prompt':'a','guided_choice':['dog','bat']", "bat", "stop"},
    /* Nothing is left to it after the first letter. */
    {"'prompt':'a','guided_regex':'x(abc){9}y','max_tokens':64", "xabcabcabcabcabcabcabcabcabcy", "stop"},
    {"'prompt':'a','guided_regex':'x(abc){9}y','logprobs':1,'max_tokens':64", "xabcabcabcabcabcabcabcabcabcy",
     "stop"},
    {"'prompt':'a','guided_regex':'x(abc){9}y','max_tokens':8", "xabcabca", "length"},
    {"'prompt':'a','guided_regex':'x(abc){9}y','stop':['bc'],'max_tokens':64", "xa", "stop"},
    {"'prompt':'a','guided_regex':'x(abc){9}y','stop_token_ids':[99],'max_tokens':64", "xab", "stop"},
    {"'prompt':'a','guided_regex':'x(abc){9}y','frequency_penalty':2,'max_tokens':64",
     "xabcabcabcabcabcabcabcabcabcy", "stop"},
    /* It may end, and does. */
    {"'prompt':'V','guided_regex':'[W-Z]+','max_tokens':64", "WXYZ", "stop"},
    {"'prompt':'Y','guided_regex':'Z*'", "Z", "stop"},
    {"'prompt':'Y','guided_regex':'Z{3}','ignore_eos':true,'min_tokens':9", "ZZZ", "stop"},
    {"'prompt':'a','structured_outputs':{'json':{'const':{'k':'v'}},'disable_any_whitespace':true}",
     "{\"k\": \"v\"}", "stop"},
    {"'prompt':'a','response_format':{'type':'json_schema','json_schema':{'name':'n','schema':{'enum':['bcd']}}}",
     "\"bcd\"", "stop"},
    {"'prompt':'a','response_format':{'type':'text'},'max_tokens':3", "bcd", "length"},
    {"'prompt':'a','structured_outputs':{'json':{'type':'integer'},'grammar':null},'response_format':{'type':'"
     "json_schema',"
     "'json_schema':{'schema':{'const':7}}}",
     "7", "stop"},
};

static void completions_keep_their_form(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){0});
    for (size_t i = 0; i < VMT_COUNT(completions); i++) {
        for (int streams = 0; streams < 2; streams++) {
            vmt_str request =
                vmt_arena_printf(t->arena, "{%s,\"temperature\":0%s}", test_quoted(t, completions[i].members).ptr,
                                 streams ? ",\"stream\":true" : "");
            test_answer answer = test_post(t, a, COMPLETIONS, request.ptr);
            vmt_str finish, text;
            vmt_expect_eq(t, answer.status, 200);
            if (streams) {
                text = test_stream_text(t, answer.body, 0);
            } else {
                text = text_at(t, answer.body, "text", &finish);
                vmt_expect_slice(t, finish, vmt_str_from(completions[i].finish));
            }
            vmt_expect_slice(t, text, vmt_str_from(completions[i].text));
        }
    }
    test_api_wait_idle(t, a);
    test_api_stop(a);
}

/* ---- reasoning and its budget: <user>a, and the answer stands inside reasoning */

static void adjust_reasoning(vmt_api_config *config) {
    config->reasoning_parser = VMT_STR("deepseek_r1");
}

static const struct {
    const char *members, *reasoning, *content, *finish;
} chats[] = {
    {"'thinking_token_budget':4", "bcde", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "stop"},
    {"'thinking_token_budget':0", "(none)", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "stop"},
    {"'thinking_token_budget':-1,'max_tokens':5", "bcdef", "(none)", "length"},
    {"'thinking_token_budget':2,'guided_choice':['YES','NO']", "bc", "NO", "stop"},
    {"'thinking_token_budget':2,'response_format':{'type':'json_schema','json_schema':{'schema':{'const':1}}}",
     "bc", "1", "stop"},
    {"'thinking_token_budget':2,'guided_grammar':'root ::= \\'X\\' [YZ]'", "bc", "XY", "stop"},
    {"'thinking_token_budget':2,'response_format':{'type':'structural_tag','format':{'type':'const_string','value'"
     ":'QR'}}",
     "bc", "QR", "stop"},
    {"'thinking_token_budget':2,'response_format':{'type':'structural_tag','triggers':['<'],'structures':[{'begin'"
     ":'<a>',"
     "'schema':{'const':1},'end':'</a>'}]}",
     "bc", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "stop"},
    {"'include_reasoning':false,'thinking_token_budget':2,'guided_regex':'[A-C]{3}'", "(none)", "ABC", "stop"},
};

static void forms_begin_behind_reasoning(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.adjust = adjust_reasoning});
    for (size_t i = 0; i < VMT_COUNT(chats); i++) {
        vmt_str request = vmt_arena_printf(
            t->arena, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"temperature\":0,%s}",
            test_quoted(t, chats[i].members).ptr);
        test_answer answer = test_post(t, a, CHAT, request.ptr);
        vmt_str finish;
        vmt_expect_eq(t, answer.status, 200);
        vmt_expect_slice(t, text_at(t, answer.body, "reasoning", &finish), vmt_str_from(chats[i].reasoning));
        vmt_expect_slice(t, text_at(t, answer.body, "content", &finish), vmt_str_from(chats[i].content));
        vmt_expect_slice(t, finish, vmt_str_from(chats[i].finish));
    }
    test_api_wait_idle(t, a);
    test_api_stop(a);
}

/* ---- forced calls */

static void adjust_tools(vmt_api_config *config) {
    config->tool_call_parser = VMT_STR("hermes");
}

static void a_forced_call_is_all_there_is(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.adjust = adjust_tools});
    static const char *const choices[] = {"'required'", "{'type':'function','function':{'name':'f'}}"};
    for (size_t i = 0; i < VMT_COUNT(choices); i++) {
        vmt_str members =
            vmt_arena_printf(t->arena,
                             "{'messages':[{'role':'user','content':'a'}],'temperature':0,'parallel_tool_calls':"
                             "false,'tools':[{'type':"
                             "'function','function':{'name':'f','parameters':{'properties':{'k':{'const':'v'}},'"
                             "required':['k']}}}],"
                             "'tool_choice':%s,'logit_bias':{'32':-100,'10':-100,'9':-100,'13':-100}}",
                             choices[i]);
        test_answer answer = test_post(t, a, CHAT, test_quoted(t, members.ptr).ptr);
        vmt_str finish;
        vmt_expect_eq(t, answer.status, 200);
        vmt_expect_slice(t, text_at(t, answer.body, "content", &finish), VMT_STR("(none)"));
        vmt_expect_slice(t, finish, i == 0 ? VMT_STR("tool_calls") : VMT_STR("stop"));
        bool has_call =
            vmt_str_find(answer.body, VMT_STR("\"name\":\"f\",\"arguments\":\"{\\\"k\\\":\\\"v\\\"}\""), 0) !=
            SIZE_MAX;
        vmt_expect(t, has_call);
    }
    test_api_wait_idle(t, a);
    test_api_stop(a);
}

/* Matchers die with their job, also when the client leaves in the middle. */
static void clients_may_leave(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.step_ns = 200000});
    for (int i = 0; i < 20; i++) {
        int fd = test_open(
            t, a, COMPLETIONS,
            "{\"prompt\":\"a\",\"n\":3,\"temperature\":1,\"max_tokens\":400,\"stream\":true,\"guided_regex\":"
            "\"([a-z]{3}abcabcabcabc)*\"}");
        usleep((useconds_t)(1000 * i));
        close(fd);
    }
    test_api_wait_idle(t, a);
    test_api_stop(a);
}

static const vmt_test_case cases[] = {
    {"completions_keep_their_form", completions_keep_their_form},
    {"forms_begin_behind_reasoning", forms_begin_behind_reasoning},
    {"a_forced_call_is_all_there_is", a_forced_call_is_all_there_is},
    {"clients_may_leave", clients_may_leave},
    {0},
};

VMT_TEST_MAIN(cases)
