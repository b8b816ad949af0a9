/* text/output_parser_test.c: each dialect's text and the events it gives, however it is cut. */
#include "base/buf.h"
#include "base/rng.h"
#include "base/test.h"
#include "base/utf8.h"
#include "text/output_parser.h"

static const char tools_json[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\",\"properties\":{"
    "\"s\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"},\"x\":{\"type\":\"number\"},\"b\":{\"type\":"
    "\"boolean\"},\"o\":{\"type\":\"object\"},\"l\":{\"type\":\"array\"},\"m\":{\"anyOf\":[{\"type\":\"integer\"},"
    "{\"type\":\"null\"}]}}}}},{\"type\":\"function\",\"function\":{\"name\":\"get_weather\"}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"g.h\"}}]";

/* How a transcript reads: [reasoning] "content" name(arguments), broken calls as !text!. */
struct story {
    vmt_buf out;
    vmt_buf args;
    bool has_last, cut_call;
    vmt_output_event_kind last;
    uint32_t num_ended, num_broken, num_deltas;
    bool bad_args;
};

static void on_event(void *ctx, const vmt_output_event *e) {
    struct story *s = ctx;
    bool joins = s->has_last && s->last == e->kind;
    switch (e->kind) {
    case VMT_OUTPUT_REASONING:
    case VMT_OUTPUT_CONTENT:
        if (!joins) vmt_buf_append_c(&s->out, e->kind == VMT_OUTPUT_REASONING ? "<R>" : "<C>");
        vmt_buf_append(&s->out, e->text);
        break;
    case VMT_OUTPUT_CALL_START:
        vmt_buf_printf(&s->out, "<T%u>%.*s", e->call_idx, VMT_STR_ARG(e->name));
        if (e->id.len) vmt_buf_printf(&s->out, "#%.*s", VMT_STR_ARG(e->id));
        vmt_buf_append_byte(&s->out, ' ');
        vmt_buf_clear(&s->args);
        break;
    case VMT_OUTPUT_CALL_ARGS:
        s->num_deltas++;
        vmt_buf_append(&s->out, e->text);
        vmt_buf_append(&s->args, e->text);
        break;
    case VMT_OUTPUT_CALL_END: {
        vmt_json_doc *doc = NULL;
        s->bad_args = s->bad_args || vmt_json_parse(&doc, vmt_buf_str(&s->args), NULL) != VMT_OK ||
                      vmt_json_typeof(vmt_json_root(doc)) != VMT_JSON_OBJECT;
        vmt_json_doc_destroy(doc);
        s->num_ended++;
        break;
    }
    case VMT_OUTPUT_CALL_BROKEN:
        s->num_broken++;
        vmt_buf_append_c(&s->out, "<B>");
        vmt_buf_append(&s->out, e->text);
        break;
    }
    s->has_last = true;
    s->last = e->kind;
}

struct row {
    const char *dialect, *reasoning;
    bool inside;
    const char *text, *want;
};

static void tell(vmt_test *t, const struct row *row, vmt_json tools, vmt_str text, uint64_t *rng, bool was_cut,
                 struct story *s) {
    vmt_buf_clear(&s->out);
    vmt_buf_clear(&s->args);
    *s = (struct story){.out = s->out, .args = s->args};
    const vmt_output_options options = {
        .dialect = row->dialect ? vmt_tool_dialect_find(vmt_str_from(row->dialect)) : NULL,
        .reasoning = row->reasoning ? vmt_reasoning_find(vmt_str_from(row->reasoning)) : NULL,
        .begins_in_reasoning = row->inside,
        .tools = tools,
        .on_event = on_event,
        .ctx = s,
    };
    vmt_expect(t, (options.dialect != NULL) == (row->dialect != NULL));
    vmt_expect(t, (options.reasoning != NULL) == (row->reasoning != NULL));
    vmt_output_parser *p = vmt_output_parser_create(&options);
    vmt_expect(t, p != NULL);
    for (size_t at = 0; at < text.len;) {
        size_t len = rng ? 1 + vmt_splitmix64(rng) % 9 : text.len;
        len = VMT_MIN(len, text.len - at);
        vmt_expect(t, vmt_output_parser_push(p, vmt_str_slice(text, at, at + len)));
        at += len;
    }
    vmt_expect(t, vmt_output_parser_finish(p, was_cut));
    vmt_output_parser_destroy(p);
    if (s->bad_args)
        vmt_test_fail(t, __FILE__, __LINE__, "not an object: %.*s\n from %.*s", VMT_STR_ARG(vmt_buf_str(&s->out)),
                      VMT_STR_ARG(text));
}

#define DS(x) "<｜tool▁" x "｜>"
static const struct row rows[] = {
    /* hermes */
    {"hermes", NULL, false, "Hello", "<C>Hello"},
    {"hermes", NULL, false, "  \n", "<C>  \n"},
    {"hermes", NULL, false, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"s\": \"a\"}}\n</tool_call>",
     "<T0>f {\"s\": \"a\"}"},
    {"hermes", NULL, false,
     "Sure.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"arguments\": "
     "{\"n\": "
     "[1, {}]}, \"name\": \"g\"}\n</tool_call>\n",
     "<C>Sure.\n<T0>f {}<T1>g {\"n\": [1, {}]}"},
    {"hermes", NULL, false, "<tool_call>{\"name\": \"f\", \"arguments\": {\"s\": \"</tool_call>\\\"}\"}}",
     "<T0>f {\"s\": \"</tool_call>\\\"}\"}"},
    {"hermes", NULL, false, "<tool_call>{\"name\": \"f\"}</tool_call> done", "<T0>f {}<C> done"},
    {"hermes", NULL, false, "<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"n\\\": 1}\"}</tool_call>",
     "<T0>f {\"n\": 1}"},
    {"hermes", NULL, false, "<tool_call>{\"name\": \"f\", \"arguments\": null}</tool_call>", "<T0>f {}"},
    {"hermes", NULL, false, "<tool_call>{\"name\": \"f\", \"arguments\": {\"s\": \"a\nb\"}}</tool_call>",
     "<T0>f {\"s\": \"a\\nb\"}"},
    {"hermes", NULL, false, "<tool_call>{\"name\": \"f\", \"arguments\": {\"n\": 1}</tool_call>\nx",
     "<T0>f {\"n\": 1}<C>\nx"},
    {"hermes", NULL, false, "The <tool_call> tag", "<C>The <tool_call> tag"},
    {"hermes", NULL, false, "<tool_call></tool_call>", "<C><tool_call></tool_call>"},
    {"hermes", NULL, false, "<tool_call><tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>", "<T0>f {}"},
    {"hermes", NULL, false, "<tool_call>{\"arguments\": {}}</tool_call>",
     "<C><tool_call>{\"arguments\": {}}</tool_call>"},
    {"hermes", NULL, false, "<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>",
     "<C><tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>"},
    {"hermes", NULL, false, "<tool_call>{\"name\": \"f\", \"arguments\": {\"n\": 01}}</tool_call> so",
     "<T0>f {\"n\": 0<B><tool_call>{\"name\": \"f\", \"arguments\": {\"n\": 0<C>1}}</tool_call> so"},
    {"hermes", NULL, false, "a <tool", "<C>a <tool"},
    /* reasoning before calls */
    {"hermes", "qwen3", false, "<think>\nhm\n</think>\n\nHi", "<R>\nhm\n<C>\n\nHi"},
    {"hermes", "qwen3", true, "hm</think>\n<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>",
     "<R>hm<T0>f {}"},
    {"hermes", "qwen3", true, "hm <tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>", "<R>hm <T0>f {}"},
    {NULL, "qwen3", false, "\n<think>a</think>b", "<R>a<C>b"},
    {NULL, "qwen3", false, "Hi <think>a</think>", "<C>Hi <think>a</think>"},
    {NULL, "qwen3", false, " <<think", "<C> <<think"},
    {NULL, "deepseek_r1", true, "<think>\na <b </think", "<R>\na <b </think"},
    {NULL, "mistral", false, "[THINK]a[/THINK]b", "<R>a<C>b"},
    {NULL, "granite", false, "Here is my thought process: a Here is my response: b", "<R> a <C> b"},
    {NULL, "seed_oss", false, "<seed:think>a</seed:think>b", "<R>a<C>b"},
    {NULL, "minimax_m2_append_think", true, "a</think>b", "<C>a</think>b"},
    {"gemma4", "gemma4", false, "<|channel>thought\nhm<channel|>Hi", "<R>hm<C>Hi"},
    {"gemma4", "gemma4", false, "<|channel>thin<channel|>Hi", "<R>thin<C>Hi"},
    /* qwen3_coder */
    {"qwen3_coder", NULL, false,
     "Ok\n<tool_call>\n<function=f>\n<parameter=s>\nline \"1\"\n\nline 2\n\n</parameter>\n<parameter=n>\n7\n"
     "</parameter>\n<parameter=x>\n-2.5e3\n</parameter>\n<parameter=b>\nTrue\n</"
     "parameter>\n<parameter=o>\n{\"a\": "
     "[1]}\n</parameter>\n<parameter=l>\n[1, "
     "2]\n</parameter>\n<parameter=m>\nnull\n</parameter>\n<parameter=z>\n5\n"
     "</parameter>\n</function>\n</tool_call>",
     "<C>Ok\n<T0>f {\"s\": \"line \\\"1\\\"\\n\\nline 2\\n\", \"n\": 7, \"x\": -2.5e3, \"b\": true, \"o\": "
     "{\"a\": "
     "[1]}, \"l\": [1, 2], \"m\": null, \"z\": \"5\"}"},
    {"qwen3_coder", NULL, false, "<tool_call>\n<function=f>\n</function>\n</tool_call>\n<function=g>\n</function>",
     "<T0>f {}<T1>g {}"},
    {"qwen3_coder", NULL, false, "<function=f><parameter=n>many</function>", "<T0>f {\"n\": \"many\"}"},
    {"qwen3_xml", NULL, false, "a <function> b", "<C>a <function> b"},
    {"qwen3_coder", NULL, false, "<tool_call>\n<function=f>\n<parameter=s>\nab",
     "<T0>f {\"s\": \"ab<B><tool_call>\n<function=f>\n<parameter=s>\nab"},
    {"qwen3_coder", NULL, false, "<tool_call>\n<function=f>\n<parameter=s>\nab</parameter>",
     "<T0>f {\"s\": \"ab\"}"},
    {"seed_oss", NULL, false,
     "<seed:tool_call>\n<function=f>\n<parameter=n>3</parameter>\n</function>\n</seed:tool_call>",
     "<T0>f {\"n\": 3}"},
    {"minimax_m2", NULL, false,
     "<minimax:tool_call>\n<invoke name=\"f\">\n<parameter name=\"n\">3</parameter>\n</invoke>\n<invoke "
     "name=\"g\">\n</invoke>\n</minimax:tool_call>",
     "<T0>f {\"n\": 3}<T1>g {}"},
    {"deepseek_v32", NULL, false,
     "x\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"s\" "
     "string=\"true\">a b</｜DSML｜parameter>\n<｜DSML｜parameter name=\"z\" "
     "string=\"false\">[1]</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>",
     "<C>x\n\n<T0>f {\"s\": \"a b\", \"z\": [1]}"},
    {"deepseek_v4", NULL, false,
     "<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"f\">\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>", "<T0>f {}"},
    {"glm45", NULL, false,
     "<tool_call>f\n<arg_key>s</arg_key>\n<arg_value>a\nb</arg_value>\n<arg_key>n</arg_key>\n<arg_value>2</"
     "arg_value>\n</tool_call>",
     "<T0>f {\"s\": \"a\\nb\", \"n\": 2}"},
    {"glm47", NULL, false,
     "<tool_call>f</tool_call><tool_call>g<arg_key>k</arg_key><arg_value>v</arg_value></tool_call>",
     "<T0>f {}<T1>g {\"k\": \"v\"}"},
    /* named */
    {"deepseek_v31", NULL, false,
     "Hi" DS("calls▁begin") DS("call▁begin") "f" DS("sep") "{\"n\": 1}" DS("call▁end")
         DS("call▁begin") "g" DS("sep") "{}" DS("call▁end") DS("calls▁end"),
     "<C>Hi<T0>f {\"n\": 1}<T1>g {}"},
    {"deepseek_v3", NULL, false,
     DS("calls▁begin") DS("call▁begin") "function" DS("sep") "f\n```json\n{\"n\": 1}\n```" DS("call▁end")
         DS("calls▁end"),
     "<T0>f {\"n\": 1}"},
    {"kimi_k2", NULL, false,
     "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{\"n\": "
     "1}<|tool_call_end|><|tool_call_begin|>functions.g.h:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_"
     "calls_"
     "section_end|>",
     "<T0>f#functions.f:0 {\"n\": 1}<T1>g.h#functions.g.h:1 {}"},
    /* JSON without end */
    {"mistral", NULL, false,
     "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"n\": 1}}, {\"name\": \"g\", \"arguments\": {}}]",
     "<T0>f {\"n\": 1}<T1>g {}"},
    {"mistral", NULL, false, "[TOOL_CALLS]f{\"n\": 1}[TOOL_CALLS]g[ARGS]{}", "<T0>f {\"n\": 1}<T1>g {}"},
    {"mistral", NULL, false, "x[TOOL_CALLS]f[CALL_ID]abc123def[ARGS]{}", "<C>x<T0>f#abc123def {}"},
    {"mistral", NULL, false, "[TOOL_CALLS] and more {", "<C>[TOOL_CALLS] and more {"},
    {"llama3_json", NULL, false,
     "{\"name\": \"f\", \"parameters\": {\"n\": 1}}; {\"name\": \"get_weather\", \"parameters\": {}}",
     "<T0>f {\"n\": 1}<T1>get_weather {}"},
    {"llama3_json", NULL, false, "<|python_tag|>{\"name\": \"f\", \"arguments\": {}}", "<T0>f {}"},
    {"llama3_json", NULL, false, "{\"name\": \"Bob\", \"parameters\": {}}",
     "<C>{\"name\": \"Bob\", \"parameters\": {}}"},
    {"llama3_json", NULL, false, "Hi {\"name\": \"f\", \"parameters\": {}}",
     "<C>Hi {\"name\": \"f\", \"parameters\": {}}"},
    {"phi4_mini_json", NULL, false, "functools[{\"name\": \"f\", \"arguments\": {\"n\": 1}}]", "<T0>f {\"n\": 1}"},
    {"granite", NULL, false,
     "<|tool_call|>[{\"name\": \"f\", \"arguments\": {\"n\": 1}}, {\"name\": \"g\", \"arguments\": {}}]",
     "<T0>f {\"n\": 1}<T1>g {}"},
    {"granite4", NULL, false, "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>", "<T0>f {}"},
    /* pythonic */
    {"pythonic", NULL, false,
     "[f(s='it\\'s \"x\"', n=-1, b=True, o={'k': [1, None, 'v'], \"e\": {}}, l=[]), get_weather()]",
     "<T0>f {\"s\": \"it's \\\"x\\\"\", \"n\": -1, \"b\": true, \"o\": {\"k\": [1, null, \"v\"], \"e\": {}}, "
     "\"l\": "
     "[]}<T1>get_weather {}"},
    {"pythonic", NULL, false, "[1, 2, 3]", "<C>[1, 2, 3]"},
    {"pythonic", NULL, false, "[see(https://x)]", "<C>[see(https://x)]"},
    {"pythonic", NULL, false, "[f(s=os.path)]", "<T0>f {\"s\": <B>[f(s=os.path<C>)]"},
    {"pythonic", NULL, false, "[g.h(a=\"\\x41\\u00e9\\n\\d\",)]", "<T0>g.h {\"a\": \"\\u0041\\u00e9\\n\\\\d\"}"},
    {"llama4_pythonic", NULL, false, "<|python_start|>[f(n=1)]<|python_end|>", "<T0>f {\"n\": 1}"},
    {"olmo3", NULL, false, "<function_calls>\nf(n=1, b=true)\ng(a=null)\n</function_calls>",
     "<T0>f {\"n\": 1, \"b\": true}<T1>g {\"a\": null}"},
    {"lfm2", NULL, false, "<|tool_call_start|>[f(s=\"x\")]<|tool_call_end|>ok", "<T0>f {\"s\": \"x\"}<C>ok"},
    /* gemma */
    {"gemma4", NULL, false,
     "<|tool_call>call:f{s:<|\"|>a,\"b\"}<|\"|>,n:42,o:{k:<|\"|>v<|\"|>,t:true},l:[1,<|\"|>x<|\"|>,y,[]]}<tool_"
     "call|>",
     "<T0>f {\"s\": \"a,\\\"b\\\"}\", \"n\": 42, \"o\": {\"k\": \"v\", \"t\": true}, \"l\": [1, \"x\", \"y\", "
     "[]]}"},
    {"gemma4", NULL, false, "Hi<|tool_call>call:f{}<turn|>", "<C>Hi<T0>f {}"},
    {"functiongemma", NULL, false, "<start_function_call>call:f{s:<escape>a b<escape>}<end_function_call>",
     "<T0>f {\"s\": \"a b\"}"},
    {"gemma4", NULL, false, "<|tool_call>nope", "<C><|tool_call>nope"},
    /* harmony */
    {"openai", NULL, false,
     "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Hi<|return|>",
     "<R>hm<C>Hi"},
    {"openai", NULL, false,
     "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary to=functions.f "
     "<|constrain|>json<|message|>{\"n\": 1}<|call|>",
     "<R>hm<T0>f {\"n\": 1}"},
    {"openai", NULL, false, " to=functions.f<|channel|>commentary json<|message|>{\"n\": 1}", "<T0>f {\"n\": 1}"},
    {"openai", NULL, false,
     "<|channel|>commentary<|message|>First.<|end|><|start|>assistant "
     "to=functions.f<|channel|>commentary<|message|>",
     "<C>First.<T0>f {}"},
    {"openai", NULL, false, "<|channel|>commentary to=functions.f<|message|>{\"n\": x}<|call|>",
     "<T0>f {\"n\": <B>{\"n\": x<C>}"},
    {"openai", NULL, false, "<|channel|>commentary to=functions.f<|message|>print(1)<|call|>", "<C>print(1)"},
    {"openai", NULL, false, "Just text", "<C>Just text"},
};

static vmt_json_doc *parse_tools(vmt_test *t) {
    vmt_json_doc *doc = NULL;
    vmt_expect_eq(t, vmt_json_parse(&doc, vmt_str_from(tools_json), NULL), VMT_OK);
    return doc;
}

static void every_dialect_gives_its_events(vmt_test *t) {
    vmt_json_doc *doc = parse_tools(t);
    struct story s = {0};
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        tell(t, &rows[i], vmt_json_root(doc), vmt_str_from(rows[i].text), NULL, false, &s);
        if (!vmt_str_eq_c(vmt_buf_str(&s.out), rows[i].want)) {
            vmt_test_fail(t, __FILE__, __LINE__, "row %zu (%s)\n text %s\n want %s\n got  %.*s", i,
                          rows[i].dialect ? rows[i].dialect : rows[i].reasoning, rows[i].text, rows[i].want,
                          VMT_STR_ARG(vmt_buf_str(&s.out)));
        }
    }
    vmt_buf_free(&s.out);
    vmt_buf_free(&s.args);
    vmt_json_doc_destroy(doc);
}

static void chunks_change_nothing(vmt_test *t) {
    vmt_json_doc *doc = parse_tools(t);
    struct story s = {0};
    uint64_t rng = t->seed;
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        for (uint32_t round = 0; round < 50; round++) {
            tell(t, &rows[i], vmt_json_root(doc), vmt_str_from(rows[i].text), &rng, false, &s);
            vmt_expect_str(t, s.out.ptr, rows[i].want);
        }
    }
    vmt_buf_free(&s.out);
    vmt_buf_free(&s.args);
    vmt_json_doc_destroy(doc);
}

/* Every prefix, and every transcript with bytes changed: calls that end are whole, and any cutting gives the same. */
static void damaged_text_is_safe(vmt_test *t) {
    vmt_json_doc *doc = parse_tools(t);
    struct story whole = {0}, cut = {0};
    uint64_t rng = t->seed + 1;
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        vmt_str text = vmt_arena_dup(t->arena, vmt_str_from(rows[i].text));
        for (size_t len = 0; len <= text.len; len++) {
            if (vmt_utf8_complete_prefix(vmt_str_slice(text, 0, len)) != len) continue;
            bool was_cut = vmt_splitmix64(&rng) & 1;
            tell(t, &rows[i], vmt_json_root(doc), vmt_str_slice(text, 0, len), NULL, was_cut, &whole);
            tell(t, &rows[i], vmt_json_root(doc), vmt_str_slice(text, 0, len), &rng, was_cut, &cut);
            vmt_expect_slice(t, vmt_buf_str(&cut.out), vmt_buf_str(&whole.out));
        }
        for (uint32_t round = 0; round < 200; round++) {
            vmt_buf bad = {0};
            static const char letters[] = "<>{}[]\"'|,:=\\ \nx1";
            vmt_buf_append(&bad, text);
            for (uint64_t n = 1 + vmt_splitmix64(&rng) % 3; bad.len && n > 0; n--) {
                bad.ptr[vmt_splitmix64(&rng) % bad.len] = letters[vmt_splitmix64(&rng) % (sizeof letters - 1)];
            }
            for (size_t b = 0; b < bad.len; b++) {
                if ((unsigned char)bad.ptr[b] >= 0x80) bad.ptr[b] = '<'; /* the input is UTF-8 */
            }
            tell(t, &rows[i], vmt_json_root(doc), vmt_buf_str(&bad), NULL, round & 1, &whole);
            tell(t, &rows[i], vmt_json_root(doc), vmt_buf_str(&bad), &rng, round & 1, &cut);
            vmt_expect_slice(t, vmt_buf_str(&cut.out), vmt_buf_str(&whole.out));
            vmt_buf_free(&bad);
        }
    }
    vmt_buf *bufs[] = {&whole.out, &whole.args, &cut.out, &cut.args};
    for (size_t i = 0; i < VMT_COUNT(bufs); i++) vmt_buf_free(bufs[i]);
    vmt_json_doc_destroy(doc);
}

static void arguments_stream(vmt_test *t) {
    vmt_json_doc *doc = parse_tools(t);
    struct story s = {0};
    static const struct row cases[] = {
        {"hermes", NULL, false,
         "<tool_call>{\"name\":\"f\",\"arguments\":{\"s\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}}", ""},
        {"qwen3_coder", NULL, false,
         "<function=f><parameter=s>aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa</parameter></function>", ""},
        {"pythonic", NULL, false, "[f(s='aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')]", ""},
    };
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        uint64_t rng = t->seed;
        tell(t, &cases[i], vmt_json_root(doc), vmt_str_from(cases[i].text), &rng, false, &s);
        vmt_expect(t, s.num_deltas >= 5 && s.num_ended == 1);
    }
    vmt_buf_free(&s.out);
    vmt_buf_free(&s.args);
    vmt_json_doc_destroy(doc);
}

/* A cut by the token limit voids what is unclosed; a call that was whole stays. */
static void a_limit_breaks_open_calls(vmt_test *t) {
    vmt_json_doc *doc = parse_tools(t);
    struct story s = {0};
    const struct row row = {"qwen3_coder", NULL, false, "<function=f><parameter=n>1</parameter>", ""};
    tell(t, &row, vmt_json_root(doc), vmt_str_from(row.text), NULL, true, &s);
    vmt_expect_eq(t, s.num_ended, 0);
    vmt_expect_eq(t, s.num_broken, 1);
    const struct row hermes = {"hermes", NULL, false, "<tool_call>{\"name\":\"f\",\"arguments\":{}", ""};
    tell(t, &hermes, vmt_json_root(doc), vmt_str_from(hermes.text), NULL, true, &s);
    vmt_expect_eq(t, s.num_ended, 1);
    vmt_buf_free(&s.out);
    vmt_buf_free(&s.args);
    vmt_json_doc_destroy(doc);
}

/* Endless markers, endless nesting, endless names: linear time, bounded state, all of it text or calls. */
static void hostile_text_is_bounded(vmt_test *t) {
    vmt_json_doc *doc = parse_tools(t);
    static const char *const units[] = {"<tool_call>",
                                        "[",
                                        "{\"a\":",
                                        "{",
                                        "<function=",
                                        "<|channel|>",
                                        "[TOOL_CALLS]",
                                        "<think>",
                                        "<|tool_call>call:f{a:",
                                        "f(a=[",
                                        "<parameter=x>",
                                        "\\",
                                        "\"",
                                        "<|start|>",
                                        "<arg_key>"};
    static const char *const starts[] = {"",
                                         "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":",
                                         "[f(s=",
                                         "<|tool_call>call:f{o:",
                                         "<function=f><parameter=s>",
                                         "<tool_call>",
                                         "[TOOL_CALLS]"};
    static const char *const names[] = {"hermes", "qwen3_coder", "glm45",       "pythonic",    "gemma4",
                                        "openai", "mistral",     "llama3_json", "deepseek_v31"};
    struct story s = {0};
    for (size_t n = 0; n < VMT_COUNT(names); n++) {
        for (size_t b = 0; b < VMT_COUNT(starts); b++) {
            for (size_t u = 0; u < VMT_COUNT(units); u++) {
                vmt_buf text = {0};
                vmt_buf_append_c(&text, starts[b]);
                while (text.len < 20000) vmt_buf_append_c(&text, units[u]);
                const struct row row = {names[n], "qwen3", false, "", ""};
                tell(t, &row, vmt_json_root(doc), vmt_buf_str(&text), NULL, false, &s);
                vmt_buf_free(&text);
            }
        }
    }
    vmt_buf_free(&s.out);
    vmt_buf_free(&s.args);
    vmt_json_doc_destroy(doc);
}

static bool stands_in(const void *ctx, vmt_str word) {
    return vmt_str_find(vmt_str_from(ctx), word, 0) != SIZE_MAX;
}

static void templates_tell_their_dialect(vmt_test *t) {
    static const struct {
        const char *text, *dialect, *reasoning;
    } cases[] = {
        {"return a json object within <tool_call></tool_call> ... </think>", "hermes", "qwen3"},
        {"<tool_call>\n<function=example", "qwen3_coder", NULL},
        {"<tool_call>{function-name}\n<arg_key>", "glm45", NULL},
        {"[TOOL_CALLS]", "mistral", NULL},
        {"<|python_tag|>", "llama3_json", NULL},
        {"<|channel|>analysis ... commentary", "openai", "openai_gptoss"},
        {"<|tool_call>call: <|channel>thought", "gemma4", "gemma4"},
        {"<｜tool▁sep｜>", "deepseek_v31", NULL},
        {"<｜tool▁sep｜> ```json", "deepseek_v3", NULL},
        {"<|im_start|>", NULL, NULL},
    };
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        const vmt_template_facts facts = {stands_in, cases[i].text};
        const vmt_tool_dialect *dialect = vmt_tool_dialect_detect(&facts);
        const vmt_reasoning_style *style = vmt_reasoning_detect(&facts);
        vmt_expect_str(t, dialect ? vmt_tool_dialect_name(dialect) : "", cases[i].dialect ? cases[i].dialect : "");
        vmt_expect_str(t, style ? vmt_reasoning_name(style) : "", cases[i].reasoning ? cases[i].reasoning : "");
    }
}

static void prompts_tell_where_answers_begin(vmt_test *t) {
    const vmt_reasoning_style *qwen = vmt_reasoning_find(VMT_STR("qwen3"));
    static const struct {
        const char *prompt;
        bool by_name, off, inside;
    } cases[] = {
        {"<|im_start|>assistant\n<think>\n", false, false, true},
        {"<|im_start|>assistant\n<think>\n\n</think>\n\n", true, false, false},
        {"<|im_start|>assistant\n", false, false, false},
        {"<|im_start|>assistant\n", true, false, true},
        {"<|im_start|>assistant\n", true, true, false},
    };
    for (size_t i = 0; i < VMT_COUNT(cases); i++) {
        const vmt_reasoning_hints hints = {vmt_str_from(cases[i].prompt), cases[i].by_name, cases[i].off};
        vmt_expect_eq(t, vmt_reasoning_begins_inside(qwen, &hints), cases[i].inside);
    }
}

static const vmt_test_case cases[] = {
    {"every_dialect_gives_its_events", every_dialect_gives_its_events},
    {"chunks_change_nothing", chunks_change_nothing},
    {"damaged_text_is_safe", damaged_text_is_safe},
    {"arguments_stream", arguments_stream},
    {"a_limit_breaks_open_calls", a_limit_breaks_open_calls},
    {"hostile_text_is_bounded", hostile_text_is_bounded},
    {"templates_tell_their_dialect", templates_tell_their_dialect},
    {"prompts_tell_where_answers_begin", prompts_tell_where_answers_begin},
    {NULL, NULL},
};
VMT_TEST_MAIN(cases)
