/* Embeddings, scores and rankings, byte for byte.  After letter c the model's row is -(7 i + c) % 64 / 16 at column i,
 * and 8 more at the next letter. */
#include "api/test_api.h"

#include <math.h>
#include <unistd.h>

#define EMBEDDINGS "/v1/embeddings"
#define SCORE      "/v1/score"
#define RERANK     "/v1/rerank"
#define USAGE(n) \
    "'usage':{'prompt_tokens':" n ",'total_tokens':" n ",'completion_tokens':0,'prompt_tokens_details':null}"
#define RANK_USAGE(n) "'usage':{'prompt_tokens':" n ",'total_tokens':" n "}"
#define LIST(prefix)  "{'id':'" prefix "t','object':'list','created':0,'model':'letters','data':["
#define VECTOR(i, v)  "{'index':" i ",'object':'embedding','embedding':" v "}"
#define A             "[-2.0625,-2.5,-2.9375,-3.375]"
#define B             "[-2.125,-2.5625,-3.0,-3.4375]"
#define MEAN          "[-2.09375,-2.53125,-2.96875,-3.40625]" /* of a and b */

struct row {
    const char *path, *request;
    int status;
    const char *answer;
};

static void embeds(vmt_api_config *config) {
    config->pooling = (vmt_pooling_rules){.task = VMT_TASK_EMBED,
                                          .kind = VMT_POOL_LAST,
                                          .is_matryoshka = true,
                                          .matryoshka_dimensions = {2, 4},
                                          .num_matryoshka_dimensions = 2,
                                          .dimensions = 4,
                                          .width = TEST_VOCAB};
}

static void embeds_means(vmt_api_config *config) {
    embeds(config);
    config->pooling.kind = VMT_POOL_MEAN;
}

/* 'b' is the answer after "a", 'c' is not. */
static void scores(vmt_api_config *config) {
    static const float weight[TEST_VOCAB] = {['b'] = 1, ['c'] = -1};
    config->pooling = (vmt_pooling_rules){
        .task = VMT_TASK_SCORE, .kind = VMT_POOL_LAST, .score_weight = weight, .width = TEST_VOCAB};
}

static const struct row embeddings[] = {
    {EMBEDDINGS, "{'input':'a'}", 200, LIST("embd-") VECTOR("0", A) "]," USAGE("1") "}"},
    {EMBEDDINGS, "{'model':'letters','input':['a','xb']}", 200,
     LIST("embd-") VECTOR("0", A) "," VECTOR("1", B) "]," USAGE("3") "}"},
    {EMBEDDINGS, "{'input':[97]}", 200, LIST("embd-") VECTOR("0", A) "]," USAGE("1") "}"},
    {EMBEDDINGS, "{'input':[[97],[97,98]],'stream':true,'n':7,'stop':3}", 200,
     LIST("embd-") VECTOR("0", A) "," VECTOR("1", B) "]," USAGE("3") "}"},
    {EMBEDDINGS, "{'input':'a','encoding_format':'base64'}", 200,
     LIST("embd-") VECTOR("0", "'AAAEwAAAIMAAADzAAABYwA=='") "]," USAGE("1") "}"},
    {EMBEDDINGS, "{'input':'a','dimensions':2}", 200,
     LIST("embd-") VECTOR("0", "[-2.0625,-2.5]") "]," USAGE("1") "}"},
    {EMBEDDINGS, "{'input':'a','dimensions':2,'use_activation':true}", 200,
     LIST("embd-") VECTOR("0", "[-0.63638294,-0.7713733]") "]," USAGE("1") "}"},
    {EMBEDDINGS, "{'input':'abc','truncate_prompt_tokens':1}", 200,
     LIST("embd-") VECTOR("0", A) "]," USAGE("1") "}"},
    {EMBEDDINGS, "{'input':'cba','truncate_prompt_tokens':2,'truncation_side':'left'}", 200,
     LIST("embd-") VECTOR("0", A) "]," USAGE("2") "}"},
    {EMBEDDINGS, "{'messages':[{'role':'user','content':'a'}]}", 200,
     LIST("embd-") VECTOR("0", A) "]," USAGE("7") "}"},
    {EMBEDDINGS, "{'input':'a','dimensions':3}", 400,
     "{'error':{'message':'Model \\'letters\\' has vectors of other lengths than dimensions=3. "
     "(parameter=dimensions, value=3)','type':'BadRequestError','param':'dimensions','code':400}}"},
    {EMBEDDINGS, "{'input':{}}", 400,
     "{'error':{'message':'1 validation error:\\n  body.input: Input should be a string, a list of strings, a "
     "list of "
     "token ids or a list of lists of token ids','type':'Bad Request','param':'input','code':400}}"},
    {EMBEDDINGS, "{'input':'a','model':'digits'}", 404,
     "{'error':{'message':'The model `digits` does not "
     "exist.','type':'NotFoundError','param':'model','code':404}}"},
    {EMBEDDINGS, "{'input':''}", 400,
     "{'error':{'message':'input: text 0 has no tokens. "
     "(parameter=input)','type':'BadRequestError','param':'input',"
     "'code':400}}"},
    {"/v1/completions", "{'prompt':'a'}", 501,
     "{'error':{'message':'The model is not served for completions: it makes embeddings; text needs --runner "
     "generate.','type':'NotImplementedError','param':null,'code':501}}"},
    {SCORE, "{'text_1':'a','text_2':['a','xb']}", 200,
     LIST("score-") "{'index':0,'object':'score','score':1.0},{'index':1,'object':'score','score':0.9999923}]"
                    "," USAGE("5") "}"},
    {RERANK, "{'query':'a','documents':['xb','a','aa'],'top_n':2}", 200,
     "{'id':'score-t','model':'letters'," RANK_USAGE(
         "8") ",'results':["
              "{'index':1,'document':{'text':'a','multi_modal':null},'relevance_score':1.0},"
              "{'index':2,'document':{'text':'aa','multi_modal':null},'relevance_score':1.0}]}"},
    {RERANK, "{'query':'a','documents':[]}", 400,
     "{'error':{'message':'At least one text_pair element must be given (parameter=documents)',"
     "'type':'BadRequestError','param':'documents','code':400}}"},
    {"/api/embed", "{'model':'letters','input':[]}", 200,
     "{'model':'letters','embeddings':[],'total_duration':0,'load_duration':0,'prompt_eval_count':0}"},
    {"/api/embed", "{'model':'letters:latest','input':'a','dimensions':2}", 200,
     "{'model':'letters:latest','embeddings':[[-0.63638294,-0.7713733]],'total_duration':0,'load_duration':0,"
     "'prompt_eval_count':1}"},
    {"/api/embed", "{'model':'letters','input':['a',1]}", 400,
     "{'error':'body.input.1: Input should be a string'}"},
    {"/api/embed", "{'input':'a'}", 400, "{'error':'model is required'}"},
    {"/api/embeddings", "{'model':'letters'}", 200, "{'embedding':[]}"},
};

static const struct row means[] = {
    {EMBEDDINGS, "{'input':['ab','b']}", 200,
     LIST("embd-") VECTOR("0", MEAN) "," VECTOR("1", B) "]," USAGE("3") "}"},
    {EMBEDDINGS, "{'input':['ab','b']}", 200, /* again: a prefix that is known changes nothing */
     LIST("embd-") VECTOR("0", MEAN) "," VECTOR("1", B) "]," USAGE("3") "}"},
};

/* After 'a' the logit of 'b' is 8.4375 above that of 'c', after 'b' 7.5625 below. */
static const struct row scoring[] = {
    {SCORE, "{'text_1':'x','text_2':['a','ba','b'],'use_activation':false}", 200,
     LIST("score-") "{'index':0,'object':'score','score':8.4375},{'index':1,'object':'score','score':8.4375},"
                    "{'index':2,'object':'score','score':-7.5625}]," USAGE("7") "}"},
    {RERANK, "{'query':'x','documents':['b','a'],'use_activation':true}", 200,
     "{'id':'score-t','model':'letters'," RANK_USAGE(
         "4") ",'results':["
              "{'index':1,'document':{'text':'a','multi_modal':null},'relevance_score':0.99978346},"
              "{'index':0,'document':{'text':'b','multi_modal':null},'relevance_score':0.0005193049}]}"},
    {EMBEDDINGS, "{'input':'a'}", 501,
     "{'error':{'message':'The model is not served for embeddings: it scores pairs of texts; text needs --runner "
     "generate.','type':'NotImplementedError','param':null,'code':501}}"},
};

static const struct row generating[] = {
    {EMBEDDINGS, "{'input':'a'}", 501,
     "{'error':{'message':'The model is not served for embeddings: it generates text; embeddings and scores need "
     "--runner pooling.','type':'NotImplementedError','param':null,'code':501}}"},
    {RERANK, "{'query':'a','documents':['a']}", 501,
     "{'error':{'message':'The model is not served for rerank: it generates text; embeddings and scores need "
     "--runner pooling.','type':'NotImplementedError','param':null,'code':501}}"},
};

/* The answer with " as ', no dates and no durations. */
static vmt_str golden(vmt_test *t, vmt_str body) {
    static const char key[] = "\"total_duration\":";
    vmt_str undated = test_undated(t, body);
    vmt_buf out = {0};
    size_t at = vmt_str_find(undated, VMT_STR(key), 0), end = at;
    if (at != SIZE_MAX) {
        end = at += sizeof key - 1;
        while (undated.ptr[end] >= '0' && undated.ptr[end] <= '9') end++;
        vmt_buf_append(&out, vmt_str_slice(undated, 0, at));
        vmt_buf_append_byte(&out, '0');
    }
    vmt_buf_append(&out, vmt_str_slice(undated, at == SIZE_MAX ? 0 : end, undated.len));
    for (size_t i = 0; i < out.len; i++) {
        if (out.ptr[i] == '"') out.ptr[i] = '\'';
    }
    vmt_str copy = vmt_arena_dup(t->arena, vmt_buf_str(&out));
    vmt_buf_free(&out);
    return copy;
}

static void expect_rows(vmt_test *t, test_api *a, const struct row *rows, size_t num_rows) {
    for (size_t i = 0; i < num_rows; i++) {
        test_answer answer = test_post(t, a, rows[i].path, test_quoted(t, rows[i].request).ptr);
        vmt_expect_slice(t, golden(t, answer.body), vmt_str_from(rows[i].answer));
        vmt_expect_eq(t, answer.status, rows[i].status);
    }
    test_api_stop(a);
}

static void answers_byte_for_byte(vmt_test *t) {
    const test_api_options last = {.adjust = embeds, .is_headless = true};
    const test_api_options mean = {.adjust = embeds_means, .is_headless = true};
    const test_api_options score = {.adjust = scores, .is_headless = true};
    expect_rows(t, test_api_start(t, &last), embeddings, VMT_COUNT(embeddings));
    expect_rows(t, test_api_start(t, &mean), means, VMT_COUNT(means));
    expect_rows(t, test_api_start(t, &score), scoring, VMT_COUNT(scoring));
    expect_rows(t, test_api_start(t, NULL), generating, VMT_COUNT(generating));
}

/* {"input": ["a", "a", ...]} */
static vmt_str many(vmt_test *t, uint32_t count, const char *text) {
    vmt_buf body = {0};
    for (uint32_t i = 0; i < count; i++) vmt_buf_printf(&body, "%s\"%s\"", i ? "," : "{\"input\":[", text);
    vmt_buf_append_c(&body, "]}");
    vmt_str copy = vmt_arena_dup(t->arena, vmt_buf_str(&body));
    vmt_buf_free(&body);
    return copy;
}

static void a_full_queue_takes_none(vmt_test *t) {
    const test_api_options options = {
        .adjust = embeds, .is_headless = true, .waiting_max = 36, .step_ns = UINT64_C(30000000000)};
    test_api *a = test_api_start(t, &options);
    test_answer answer = test_post(t, a, EMBEDDINGS, many(t, 101, "a").ptr); /* 64 run, 36 wait, none ends */
    test_api_set_step_ns(a, 0);
    vmt_expect_eq(t, answer.status, 503);
    vmt_expect(t, vmt_str_find(answer.head, VMT_STR("Retry-After"), 0) != SIZE_MAX);
    test_api_wait_idle(t, a);
    vmt_expect_eq(t, test_post(t, a, EMBEDDINGS, many(t, 100, "a").ptr).status, 200);
    test_api_stop(a);
}

static void large_answers_are_whole(vmt_test *t) {
    const test_api_options options = {.adjust = embeds, .is_headless = true};
    test_api *a = test_api_start(t, &options);
    test_answer answer = test_post(t, a, EMBEDDINGS, many(t, 2048, "xa").ptr);
    vmt_expect_eq(t, answer.status, 200);
    vmt_json_doc *doc = test_parse(t, answer.body);
    vmt_json data = VMT_JSON_AT(vmt_json_root(doc), "data"), one, number;
    int64_t idx = 0, got;
    for (vmt_json_iter it = vmt_json_iter_begin(data); vmt_json_iter_next(&it, NULL, &one); idx++) {
        double first = 0;
        vmt_json_iter numbers = vmt_json_iter_begin(VMT_JSON_AT(one, "embedding"));
        vmt_expect(t, vmt_json_get_i64(VMT_JSON_AT(one, "index"), &got) && got == idx);
        vmt_expect(t, vmt_json_iter_next(&numbers, NULL, &number) && vmt_json_get_f64(number, &first));
        vmt_expect(t, fabs(first + 2.0625) < 1e-9);
    }
    vmt_expect_eq(t, idx, 2048);
    vmt_json_doc_destroy(doc);
    vmt_expect_eq(t, test_post(t, a, EMBEDDINGS, many(t, 2049, "a").ptr).status, 400);
    test_api_stop(a);
}

static void a_failure_is_one_answer(vmt_test *t) {
    const test_api_options options = {.adjust = embeds, .is_headless = true};
    test_api *a = test_api_start(t, &options);
    test_api_fail(a, 1);
    vmt_expect_eq(t, test_post(t, a, EMBEDDINGS, many(t, 10, "a").ptr).status, 500);
    test_api_wait_idle(t, a);
    vmt_expect_eq(t, test_post(t, a, EMBEDDINGS, many(t, 10, "a").ptr).status, 200);
    test_api_stop(a);
}

/* Who leaves takes the prompts along. */
static void a_peer_that_leaves_ends_its_prompts(vmt_test *t) {
    const test_api_options options = {.adjust = embeds, .is_headless = true, .step_ns = 20000000};
    test_api *a = test_api_start(t, &options);
    int fd = test_open(t, a, EMBEDDINGS, many(t, 2000, "abcabcabc").ptr); /* 32 steps and more */
    for (uint32_t ms = 0; ms < 10000 && vmt_engine_get_stats(test_api_engine(a)).num_steps == 0; ms++) {
        client_sleep_ms(1);
    }
    close(fd);
    test_api_set_step_ns(a, 0);
    test_api_wait_idle(t, a);
    vmt_expect_eq(t, test_post(t, a, EMBEDDINGS, "{\"input\":\"a\"}").status, 200);
    test_api_stop(a);
}

static void an_abort_is_no_vector(vmt_test *t) {
    const test_api_options options = {.adjust = embeds, .is_headless = true, .step_ns = 200000000};
    test_api *a = test_api_start(t, &options);
    int fd = test_open(t, a, EMBEDDINGS, many(t, 2000, "abcabcabc").ptr);
    for (uint32_t ms = 0; ms < 10000 && vmt_engine_get_stats(test_api_engine(a)).num_steps == 0; ms++) {
        client_sleep_ms(1);
    }
    test_api_abort_all(a);
    vmt_str answer = client_read_all(t, fd);
    vmt_expect_eq(t, client_status(answer), 503);
    vmt_expect(t, vmt_str_find(answer, VMT_STR("embedding\""), 0) == SIZE_MAX);
    close(fd);
    test_api_wait_idle(t, a);
    test_api_stop(a);
}

static const vmt_test_case cases[] = {
    {"answers_byte_for_byte", answers_byte_for_byte},
    {"a_full_queue_takes_none", a_full_queue_takes_none},
    {"large_answers_are_whole", large_answers_are_whole},
    {"a_failure_is_one_answer", a_failure_is_one_answer},
    {"a_peer_that_leaves_ends_its_prompts", a_peer_that_leaves_ends_its_prompts},
    {"an_abort_is_no_vector", an_abort_is_no_vector},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
