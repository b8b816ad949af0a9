/* The server in this process: the API of Ollama's clients, byte for byte. */
#include "api/ollama.h"
#include "api/test_api.h"

#include <unistd.h>

#define CHAT     "/api/chat"
#define GENERATE "/api/generate"

/* The answer with quotes as ' and without times, durations and random ids. */
static vmt_str golden(vmt_test *t, vmt_str body) {
    static const char *const keys[] = {"'created_at':'",   "'total_duration':", "'prompt_eval_duration':",
                                       "'eval_duration':", "'modified_at':'",   "'digest':'"};
    char *bytes = vmt_arena_alloc(t->arena, body.len + 1);
    for (size_t i = 0; i < body.len; i++) bytes[i] = (char)(body.ptr[i] == '"' ? '\'' : body.ptr[i]);
    vmt_str all = {bytes, body.len};
    vmt_buf out = {0};
    for (size_t i = 0; i < all.len;) {
        vmt_str rest = vmt_str_slice(all, i, all.len);
        size_t kept = 1, dropped = 0;
        for (size_t k = 0; k < VMT_COUNT(keys); k++) {
            if (!vmt_str_starts(rest, vmt_str_from(keys[k]))) continue;
            kept = strlen(keys[k]);
            while (!strchr("',}", rest.ptr[kept + dropped])) dropped++;
        }
        vmt_buf_append(&out, vmt_str_slice(rest, 0, kept));
        if (dropped) vmt_buf_append_byte(&out, '*');
        i += kept + dropped;
    }
    vmt_str copy = vmt_arena_dup(t->arena, vmt_buf_str(&out));
    vmt_buf_free(&out);
    return copy;
}

#define HEAD           "{'model':'letters','created_at':'*',"
#define SAID(text)     "'message':{'role':'assistant','content':'" text "'},"
#define RESPONSE(text) "'response':'" text "',"
#define COUNTS(input, output)                                                                      \
    "'total_duration':*,'load_duration':0,'prompt_eval_count':" input ",'prompt_eval_duration':*," \
    "'eval_count':" output ",'eval_duration':*}"
#define DONE(reason) "'done':true,'done_reason':'" reason "'"
#define USER(text)   "'messages':[{'role':'user','content':'" text "'}]"

static const struct golden_case {
    const char *path, *request;
    int status;
    const char *answer;
} goldens[] = {
    {CHAT, "{'model':'letters','stream':false," USER("W") "}", 200,
     HEAD SAID("XYZ") DONE("stop") "," COUNTS("7", "4")},
    {CHAT, "{'model':'letters'," USER("Y") "}", 200,
     HEAD SAID("Z") "'done':false}\n" HEAD SAID("") DONE("stop") "," COUNTS("7", "2") "\n"},
    {CHAT,
     "{'model':'letters:latest','stream':false,'keep_alive':'5m','options':{'num_predict':2,'num_ctx':4096,"
     "'temperature':0.8,'top_k':1,'repeat_penalty':1.0,'seed':-1,'stop':['q']}," USER("a") "}",
     200, "{'model':'letters:latest','created_at':'*'," SAID("bc") DONE("length") "," COUNTS("7", "2")},
    {CHAT, "{'model':'letters','stream':false,'options':{'stop':'d','num_predict':-1}," USER("a") "}", 200,
     HEAD SAID("bc") DONE("stop") "," COUNTS("7", "3")},
    {CHAT, "{'model':'letters','messages':[]}", 200, HEAD SAID("") DONE("load") "}\n"},
    {GENERATE, "{'model':'letters','prompt':'W','stream':false,'system':'S'}", 200,
     HEAD RESPONSE("XYZ") DONE("stop") "," COUNTS("16", "4")},
    {GENERATE, "{'model':'letters','prompt':'Y','raw':true}", 200,
     HEAD RESPONSE("Z") "'done':false}\n" HEAD RESPONSE("") DONE("stop") "," COUNTS("1", "2") "\n"},
    {GENERATE, "{'model':'letters'}", 200, HEAD RESPONSE("") DONE("load") "}\n"},
    {GENERATE, "{'name':'letters','keep_alive':0}", 200, HEAD RESPONSE("") DONE("unload") "}\n"},
    {"/api/pull", "{'model':'letters'}", 200, "{'status':'success'}\n"},
    {"/api/show", "{'name':'letters'}", 200,
     "{'modelfile':'','parameters':'','template':'','details':{'parent_model':'','format':'safetensors','family':'"
     "',"
     "'families':[],'parameter_size':'','quantization_level':''},'model_info':{'general.architecture':'vmetal',"
     "'vmetal.context_length':512},'modified_at':'*','capabilities':['completion']}"},
    /* Errors. */
    {CHAT, "{", 400,
     "{'error':'body: JSON decode error: JSON is malformed: a bracket, comma, colon or value is missing or out of "
     "place'}"},
    {CHAT, "{}", 400, "{'error':'model is required'}"},
    {CHAT, "{'model':'nowhere'}", 404, "{'error':'model 'nowhere' not found'}"},
    {CHAT, "{'model':'letters','messages':[{'role':'who','content':'x'}]}", 400,
     "{'error':'body.messages.0.role: Input should be 'system', 'user', 'assistant' or 'tool''}"},
    {CHAT, "{'model':'letters','messages':[{'role':'user','content':'x','images':['AA==']}]}", 400,
     "{'error':'images were given, but this model takes text only. (parameter=images)'}"},
    {GENERATE, "{'model':'letters','prompt':'a','suffix':'b'}", 400,
     "{'error':'suffix needs a model that fills in the middle, and this one has no tokens for it. "
     "(parameter=suffix)'}"},
    {CHAT, "{'model':'letters','tools':[{'type':'function','function':{'name':'f'}}]," USER("x") "}", 400,
     "{'error':'letters does not support tools'}"},
    {"/api/pull", "{'model':'other'}", 404, "{'error':'model 'other' not found'}"},
    {"/api/embed", "{'model':'letters','input':'a'}", 501,
     "{'error':'The model is not served for ollama_embed: it generates text; embeddings and scores need --runner "
     "pooling.'}"},
    {"/api/create", "{}", 501, "{'error':'/api/create is not supported by this server'}"},
};

static void answers_byte_for_byte(vmt_test *t) {
    test_api *a = test_api_start(t, NULL);
    for (size_t i = 0; i < VMT_COUNT(goldens); i++) {
        test_answer answer = test_post(t, a, goldens[i].path, test_quoted(t, goldens[i].request).ptr);
        vmt_expect_eq(t, answer.status, goldens[i].status);
        vmt_expect_slice(t, golden(t, answer.body), vmt_str_from(goldens[i].answer));
    }
    test_api_stop(a);
}

static void tells_of_its_model(vmt_test *t) {
    static const struct {
        const char *method, *path;
        int status;
        const char *body;
    } cases[] = {
        {"GET", "/", 200, "Ollama is running"},
        {"HEAD", "/", 200, ""},
        {"GET", "/api/version", 200, "{'version':'0.14.0'}"},
        {"HEAD", "/api/version", 200, ""},
        {"HEAD", "/api/tags", 200, ""},
        {"GET", "/api/tags", 200,
         "{'models':[{'name':'letters:latest','model':'letters:latest','size':0,'digest':'*','details':{"
         "'parent_model':'','format':'safetensors','family':'','families':[],'parameter_size':'',"
         "'quantization_level':''},'modified_at':'*','capabilities':['completion']}]}"},
        {"GET", "/api/ps", 200,
         "{'models':[{'name':'letters:latest','model':'letters:latest','size':0,'digest':'*','details':{"
         "'parent_model':'','format':'safetensors','family':'','families':[],'parameter_size':'',"
         "'quantization_level':''},'expires_at':'2318-01-01T00:00:00Z','size_vram':0,'context_length':512}]}"},
        {"DELETE", "/api/delete", 501, "{'error':'/api/delete is not supported by this server'}"},
    };
    test_api *a = test_api_start(t, NULL);
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        test_answer answer = test_request(t, a, cases[i].method, cases[i].path, NULL, VMT_STR(""));
        vmt_expect_eq(t, answer.status, cases[i].status);
        vmt_expect_slice(t, golden(t, answer.body), vmt_str_from(cases[i].body));
    }
    test_api_stop(a);
}

/* curl -d sends a form's media type, and the key guards these routes too. */
static void lock(vmt_api_config *config) {
    static const vmt_str keys[] = {{"secret", 6}};
    config->api_keys = keys;
    config->num_api_keys = 1;
}

static void takes_any_media_type_but_not_anyone(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.adjust = lock});
    vmt_str body = test_quoted(t, "{'model':'letters'," USER("Y") "}");
    test_answer refused =
        test_request(t, a, "POST", CHAT, "Content-Type: application/x-www-form-urlencoded\r\n", body);
    vmt_expect_eq(t, refused.status, 401);
    vmt_expect_slice(t, refused.body, VMT_STR("{\"error\":\"unauthorized\"}"));
    test_answer answer =
        test_request(t, a, "POST", CHAT,
                     "Content-Type: application/x-www-form-urlencoded\r\nAuthorization: Bearer secret\r\n", body);
    vmt_expect_eq(t, answer.status, 200);
    vmt_expect(t, vmt_str_find(answer.head, VMT_STR("application/x-ndjson"), 0) != SIZE_MAX);
    test_api_stop(a);
}

static void a_failing_model_is_a_last_line(vmt_test *t) {
    test_api *a = test_api_start(t, &(test_api_options){.step_ns = UINT64_C(5) * 1000000});
    vmt_str request = test_quoted(t, "{'model':'letters','options':{'num_predict':400}," USER("a") "}");
    int fd = test_open(t, a, CHAT, request.ptr);
    vmt_buf text = {0};
    vmt_expect(t, client_read_until(fd, &text, "\"done\":false"));
    test_api_fail(a, 1);
    vmt_expect(t, client_read_until(fd, &text, "{\"error\":\"the model failed as it was told\"}\n"));
    vmt_buf_free(&text);
    close(fd);
    test_api_stop(a);
}

static const vmt_test_case cases[] = {
    {"answers_byte_for_byte", answers_byte_for_byte},
    {"tells_of_its_model", tells_of_its_model},
    {"takes_any_media_type_but_not_anyone", takes_any_media_type_but_not_anyone},
    {"a_failing_model_is_a_last_line", a_failing_model_is_a_last_line},
    {0},
};
VMT_TEST_MAIN(cases)
