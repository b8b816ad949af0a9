/* The dialects that translate their requests, over bodies whose values are of the wrong kind: whatever comes, the
 * answer is a success or the request's own fault, in the dialect's own form. */
#include "api/test_api.h"
#include "base/rng.h"

#define NUM_ROUNDS  400u
#define SWAPS_MAX   3u
#define NUM_PALETTE VMT_COUNT(palette)

static const char *const palette[] = {
    "null",
    "true",
    "3",
    "-1",
    "1e99",
    "\"\"",
    "\"x\"",
    "\"user\"",
    "[]",
    "{}",
    "[[]]",
    "[3]",
    "[null]",
    "{\"type\":\"text\"}",
    "{\"type\":\"image\"}",
    "{\"type\":3}",
};

static const struct seed {
    const char *path, *error_begins, *body; /* with ' for " */
} seeds[] = {
    {"/v1/messages", "{\"type\":\"error\"",
     "{'model':'letters','max_tokens':4,'stream':true,'system':[{'type':'text','text':'s'}],'messages':[{'role':'"
     "user',"
     "'content':[{'type':'text','text':'a'},{'type':'document','source':{'type':'content','content':[{'type':'"
     "text',"
     "'text':'d'}]}}]},{'role':'assistant','content':[{'type':'thinking','thinking':'h','signature':'s'},{'type':"
     "'tool_use','id':'t','name':'f','input':{'x':1}}]},{'role':'user','content':[{'type':'tool_result','tool_use_"
     "id':"
     "'t','content':[{'type':'text','text':'r'}]}]}],'tools':[{'name':'web','type':'web_1'}],'tool_choice':{'type'"
     ":"
     "'auto'},'thinking':{'type':'enabled','budget_tokens':9},'output_config':{'effort':'low','format':null},"
     "'stop_sequences':['q'],'chat_template_kwargs':{'k':1}}"},
    {"/v1/messages/count_tokens", "{\"type\":\"error\"",
     "{'model':'letters','messages':[{'role':'user','content':'a'}],'system':'s','tools':[{'name':'f','"
     "description':"
     "'d','input_schema':{'type':'object','properties':{}}}],'tool_choice':{'type':'none'}}"},
    {"/v1/responses", "{\"error\":{",
     "{'model':'letters','max_output_tokens':4,'instructions':'i','input':[{'role':'user','content':'a'},{'type':"
     "'reasoning','content':[{'type':'reasoning_text','text':'h'}]},{'type':'function_call','call_id':'c','name':'"
     "f',"
     "'namespace':'n','arguments':'{}'},{'type':'function_call_output','call_id':'c','output':[{'type':'input_"
     "text',"
     "'text':'o'}]},{'type':'custom_tool_call','name':'p','input':'x'},{'type':'local_shell_call','action':{}},{'"
     "type':"
     "'message','role':'developer','content':[{'type':'input_text','text':'t'}]}],'tools':[{'type':'namespace','"
     "name':"
     "'n','tools':[]},{'type':'web_search'}],'tool_choice':'auto','reasoning':{'effort':'low'},'text':{'format':{"
     "'type':'text'}},'store':true,'include':['x'],'metadata':{'a':'b'}}"},
    {"/api/chat", "{\"error\":\"",
     "{'model':'letters','messages':[{'role':'user','content':'a','images':[]},{'role':'assistant','content':'b',"
     "'thinking':'h','tool_calls':[{'id':'c','function':{'name':'f','arguments':{}}}]},{'role':'tool','tool_name':"
     "'f',"
     "'tool_call_id':'c','content':'r'}],'tools':[],'format':'','options':{'num_predict':4,'temperature':0.5,'"
     "stop':["
     "'q'],'repeat_penalty':1.1},'think':false,'keep_alive':'5m','stream':true}"},
    {"/api/generate", "{\"error\":\"",
     "{'model':'letters','prompt':'a','system':'s','raw':false,'options':{'num_predict':4},'suffix':'','template':"
     "'',"
     "'context':[1,2],'images':[],'think':'low'}"},
};

/* The end of the JSON value that begins at begin. */
static size_t end_of_value(vmt_str body, size_t begin) {
    uint32_t depth = 0;
    bool in_string = false;
    for (size_t i = begin; i < body.len; i++) {
        char c = body.ptr[i];
        if (c == '"') in_string = !in_string;
        if (in_string) continue;
        if (c == '[' || c == '{') depth++;
        if (depth == 0 && (c == ',' || c == ']' || c == '}')) return i;
        if (c == ']' || c == '}') depth--;
    }
    return body.len;
}

/* body with the value behind a colon taken out for one of the palette. */
static vmt_str swap_value(vmt_test *t, vmt_str body, uint64_t *state) {
    uint32_t num_colons = 0;
    for (size_t i = 0; i < body.len; i++) num_colons += body.ptr[i] == ':';
    uint32_t wanted = num_colons ? (uint32_t)(vmt_splitmix64(state) % num_colons) : 0;
    for (size_t i = 0; i < body.len; i++) {
        if (body.ptr[i] != ':' || wanted-- > 0) continue;
        size_t end = end_of_value(body, i + 1);
        return vmt_arena_printf(t->arena, "%.*s%s%.*s", VMT_STR_ARG(vmt_str_slice(body, 0, i + 1)),
                                palette[vmt_splitmix64(state) % NUM_PALETTE],
                                VMT_STR_ARG(vmt_str_slice(body, end, body.len)));
    }
    return body;
}

static void wrong_values_are_the_requests_fault(vmt_test *t) {
    test_api *a = test_api_start(t, NULL);
    uint64_t state = 11;
    for (size_t s = 0; s < VMT_COUNT(seeds); s++) {
        vmt_str seed = test_quoted(t, seeds[s].body);
        vmt_expect_eq(t, test_post(t, a, seeds[s].path, seed.ptr).status, 200);
        for (uint32_t round = 0; round < NUM_ROUNDS; round++) {
            vmt_str body = seed;
            uint64_t num_swaps = 1 + vmt_splitmix64(&state) % SWAPS_MAX;
            for (uint64_t i = 0; i < num_swaps; i++) body = swap_value(t, body, &state);
            test_answer answer = test_post(t, a, seeds[s].path, body.ptr);
            bool is_known = answer.status == 200 || answer.status == 400 || answer.status == 404;
            if (!is_known) vmt_test_fail(t, __FILE__, __LINE__, "%d for %s", answer.status, body.ptr);
            if (answer.status != 200)
                vmt_expect(t, vmt_str_starts(answer.body, vmt_str_from(seeds[s].error_begins)));
        }
    }
    test_api_stop(a);
}

static const vmt_test_case cases[] = {
    {"wrong_values_are_the_requests_fault", wrong_values_are_the_requests_fault},
    {0},
};
VMT_TEST_MAIN(cases)
