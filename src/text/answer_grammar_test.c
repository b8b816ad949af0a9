/* text/answer_grammar_test.c: in every dialect, whatever the grammar of forced calls allows is read as calls that keep
 * to the tools' schemas, and what a model writes by itself is allowed. */
#include "text/answer_grammar.h"
#include "base/rng.h"
#include "base/test.h"
#include "text/grammar.h"

#define EOS          256
#define NUM_TEXTS    60
#define STEPS_MAX    4000
#define DIALECTS_MAX 64

static const char tools_json[] =
    "[{'function':{'name':'get_weather','parameters':{'type':'object','properties':{'city':{'type':'string'},"
    "'days':{'type':'integer'},'unit':{'enum':['C','F']},'near':{'anyOf':[{'type':'string'},{'type':'null'}]},"
    "'ids':{'type':'array','items':{'type':'integer'}}},'required':['city','unit'],'additionalProperties':false}}}"
    ","
    "{'function':{'name':'get_time'}}]";

/* Ends that random bytes would not find. */
static const char *const closers[] = {"\n</parameter>\n",
                                      "</arg_value>\n",
                                      "<|\"|>",
                                      "<escape>",
                                      "\"",
                                      "}",
                                      "]",
                                      "</function>",
                                      "</invoke>",
                                      ")",
                                      "</｜DSML｜parameter>\n",
                                      "</think>",
                                      "<|end|><|start|>assistant"};

static vmt_str quoted(vmt_test *t, const char *text) {
    char *copy =
        vmt_arena_dup(t->arena, vmt_str_from(text)).ptr ? vmt_arena_alloc(t->arena, strlen(text) + 1) : NULL;
    vmt_expect(t, copy != NULL);
    for (size_t i = 0; i <= strlen(text); i++) copy[i] = text[i] == '\'' ? '"' : text[i];
    return (vmt_str){copy, strlen(text)};
}

static vmt_grammar_vocab *byte_vocab(vmt_test *t) {
    vmt_grammar_token *tokens = VMT_ARENA_NEW(t->arena, vmt_grammar_token, 257);
    char *bytes = vmt_arena_alloc(t->arena, 256);
    for (uint32_t i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        tokens[i].bytes = (vmt_str){bytes + i, 1};
    }
    tokens[EOS] = (vmt_grammar_token){VMT_STR("<end>"), true};
    int32_t eos = EOS;
    const vmt_grammar_vocab_config config = {
        .tokens = tokens, .num_tokens = 257, .eos_ids = &eos, .num_eos_ids = 1};
    vmt_grammar_vocab *vocab;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_grammar_vocab_create(&vocab, &config, &err), VMT_OK);
    return vocab;
}

static vmt_grammar *compile(vmt_test *t, const vmt_answer_form *form) {
    vmt_buf text = {0};
    vmt_err err = {0};
    vmt_grammar *grammar;
    const vmt_grammar_options options = {.closed_objects = true};
    if (vmt_answer_grammar_write(form, &text, &err) != VMT_OK ||
        vmt_grammar_from_tags(&grammar, vmt_buf_str(&text), &options, &err) != VMT_OK) {
        vmt_test_fail(t, __FILE__, __LINE__, "%s: %.*s", err.msg, VMT_STR_ARG(vmt_buf_str(&text)));
    }
    vmt_buf_free(&text);
    return grammar;
}

static bool allows(vmt_test *t, vmt_grammar *grammar, vmt_str text) {
    vmt_grammar_vocab *vocab = byte_vocab(t);
    vmt_matcher *m;
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_matcher_create(&m, grammar, vocab, &err), VMT_OK);
    bool ok = vmt_matcher_accept_bytes(m, text, &err) == VMT_OK && vmt_matcher_can_end(m);
    vmt_matcher_destroy(m);
    vmt_grammar_vocab_release(vocab);
    return ok;
}

/* ---- what the parser makes of a text */

struct calls {
    vmt_test *t;
    uint32_t num_ended, num_broken, num_wrong;
    bool is_weather, has_content, has_reasoning;
    vmt_buf args;
};

static void check_arguments(struct calls *c) {
    vmt_json_doc *doc = NULL;
    vmt_str text, key;
    vmt_json value;
    double number;
    if (vmt_json_parse(&doc, vmt_buf_str(&c->args), NULL) != VMT_OK) {
        c->num_wrong++;
        return;
    }
    vmt_json root = vmt_json_root(doc), unit = VMT_JSON_AT(root, "unit"), days = VMT_JSON_AT(root, "days");
    vmt_json near = VMT_JSON_AT(root, "near"), ids = VMT_JSON_AT(root, "ids");
    bool ok = vmt_json_typeof(root) == VMT_JSON_OBJECT;
    if (c->is_weather) {
        ok = ok && vmt_json_get_str(VMT_JSON_AT(root, "city"), &text) && vmt_json_get_str(unit, &text) &&
             (vmt_str_eq_c(text, "C") || vmt_str_eq_c(text, "F")) &&
             (!vmt_json_exists(days) || vmt_json_get_f64(days, &number)) &&
             (!vmt_json_exists(near) || vmt_json_is_null(near) || vmt_json_get_str(near, &text)) &&
             (!vmt_json_exists(ids) || vmt_json_typeof(ids) == VMT_JSON_ARRAY);
    }
    static const char *const known[] = {"city", "days", "unit", "near", "ids"};
    for (vmt_json_iter it = vmt_json_iter_begin(root); vmt_json_iter_next(&it, &key, &value);) {
        bool is_known = false;
        for (size_t i = 0; i < VMT_COUNT(known); i++) is_known = is_known || vmt_str_eq_c(key, known[i]);
        ok = ok && is_known && c->is_weather;
    }
    if (!ok) c->num_wrong++;
    vmt_json_doc_destroy(doc);
}

static void on_event(void *ctx, const vmt_output_event *e) {
    struct calls *c = ctx;
    switch (e->kind) {
    case VMT_OUTPUT_REASONING: c->has_reasoning = true; break;
    case VMT_OUTPUT_CONTENT: c->has_content = true; break;
    case VMT_OUTPUT_CALL_START:
        c->is_weather = vmt_str_eq_c(e->name, "get_weather");
        vmt_buf_clear(&c->args);
        break;
    case VMT_OUTPUT_CALL_ARGS: vmt_buf_append(&c->args, e->text); break;
    case VMT_OUTPUT_CALL_END:
        c->num_ended++;
        check_arguments(c);
        break;
    case VMT_OUTPUT_CALL_BROKEN: c->num_broken++; break;
    }
}

static struct calls parse(vmt_test *t, const vmt_answer_form *form, vmt_str text) {
    struct calls calls = {.t = t};
    const vmt_output_options options = {
        .dialect = form->dialect,
        .reasoning = form->reasoning,
        .begins_in_reasoning = form->place == VMT_REASONING_INSIDE,
        .tools = form->tools,
        .on_event = on_event,
        .ctx = &calls,
    };
    vmt_output_parser *parser = vmt_output_parser_create(&options);
    vmt_expect(t, parser && vmt_output_parser_push(parser, text) && vmt_output_parser_finish(parser, false));
    vmt_output_parser_destroy(parser);
    vmt_buf_free(&calls.args);
    return calls;
}

/* ---- random texts */

static bool try_closer(vmt_matcher *m, uint64_t *seed, vmt_buf *out) {
    size_t first = vmt_splitmix64(seed) % VMT_COUNT(closers);
    for (size_t i = 0; i < VMT_COUNT(closers); i++) {
        vmt_str text = vmt_str_from(closers[(first + i) % VMT_COUNT(closers)]);
        vmt_matcher *trial;
        /* A special token's text inside a JSON string is read as that token: a model can't spell it there. */
        bool is_in_json = vmt_str_starts(text, VMT_STR("<|end|>")) &&
                          vmt_str_find(vmt_buf_str(out), VMT_STR("{"), 0) != SIZE_MAX;
        if (is_in_json) continue;
        if (vmt_matcher_clone(&trial, m, NULL) != VMT_OK) return false;
        bool fits = vmt_matcher_accept_bytes(trial, text, NULL) == VMT_OK;
        vmt_matcher_destroy(trial);
        if (!fits) continue;
        vmt_buf_append(out, text);
        return vmt_matcher_accept_bytes(m, text, NULL) == VMT_OK;
    }
    return false;
}

/* An allowed byte, a printable one if there is any. */
static int32_t pick(const uint32_t *bits, uint64_t *seed) {
    int32_t printable = -1, other = -1;
    uint32_t num_printable = 0, num_other = 0;
    for (int32_t id = 0; id < EOS; id++) {
        bool is_printable = id == '\n' || (id >= 32 && id < 127);
        if (!(bits[id / 32] >> (id % 32) & 1)) continue;
        if (is_printable && vmt_splitmix64(seed) % ++num_printable == 0) printable = id;
        if (!is_printable && vmt_splitmix64(seed) % ++num_other == 0) other = id;
    }
    return printable >= 0 ? printable : other;
}

/* false: it did not come to an end. */
static bool generate(vmt_test *t, vmt_grammar *grammar, vmt_grammar_vocab *vocab, uint64_t *seed, vmt_buf *out) {
    vmt_matcher *m;
    vmt_err err = {0};
    uint32_t bits[VMT_MASK_WORDS(257)];
    bool ended = false;
    vmt_expect_eq(t, vmt_matcher_create(&m, grammar, vocab, &err), VMT_OK);
    for (uint32_t i = 0; i < STEPS_MAX && !ended; i++) {
        vmt_expect_eq(t, vmt_matcher_mask(m, bits, VMT_COUNT(bits), &err), VMT_OK);
        bool may_end = bits[EOS / 32] >> (EOS % 32) & 1;
        if (may_end && vmt_splitmix64(seed) % 2) {
            ended = true;
        } else if (vmt_splitmix64(seed) % 3 != 0 || !try_closer(m, seed, out)) {
            int32_t id = pick(bits, seed);
            if (id < 0) {
                ended = may_end;
                break;
            }
            vmt_buf_append_byte(out, (char)id);
            vmt_expect_eq(t, vmt_matcher_accept(m, id, &err), VMT_OK);
        }
    }
    vmt_matcher_destroy(m);
    return ended;
}

static uint32_t each_dialect(vmt_test *t, const vmt_tool_dialect **list) {
    vmt_buf names = {0};
    uint32_t num = 0;
    vmt_tool_dialect_names(&names);
    vmt_str left = vmt_buf_str(&names);
    while (left.len) {
        size_t end = vmt_str_find(left, VMT_STR(", "), 0);
        vmt_str name = end == SIZE_MAX ? left : vmt_str_slice(left, 0, end);
        list[num] = vmt_tool_dialect_find(name);
        vmt_expect(t, list[num] != NULL && ++num < DIALECTS_MAX);
        left = end == SIZE_MAX ? (vmt_str){0} : vmt_str_slice(left, end + 2, left.len);
    }
    vmt_buf_free(&names);
    return num;
}

static void forced_calls_are_read(vmt_test *t) {
    const vmt_tool_dialect *dialects[DIALECTS_MAX];
    uint32_t num = each_dialect(t, dialects);
    vmt_grammar_vocab *vocab = byte_vocab(t);
    vmt_json_doc *doc;
    uint64_t seed = 11;
    vmt_expect_eq(t, vmt_json_parse(&doc, quoted(t, tools_json), NULL), VMT_OK);
    for (uint32_t i = 0; i < 2 * num; i++) {
        const vmt_answer_form form = {
            .dialect = dialects[i / 2],
            .tools = vmt_json_root(doc),
            .calls = VMT_CALLS_MUST,
            .only_one_call = i % 2,
        };
        vmt_grammar *grammar = compile(t, &form);
        uint32_t num_ended = 0;
        for (uint32_t k = 0; k < NUM_TEXTS; k++) {
            vmt_buf text = {0};
            if (generate(t, grammar, vocab, &seed, &text)) {
                struct calls calls = parse(t, &form, vmt_buf_str(&text));
                num_ended++;
                if (calls.num_ended == 0 || calls.num_broken || calls.num_wrong || calls.has_content ||
                    (form.only_one_call && calls.num_ended != 1)) {
                    vmt_test_fail(t, __FILE__, __LINE__, "%s: %u calls, %u broken, %u wrong, content %d: %.*s",
                                  vmt_tool_dialect_name(form.dialect), calls.num_ended, calls.num_broken,
                                  calls.num_wrong, calls.has_content, VMT_STR_ARG(vmt_buf_str(&text)));
                }
            }
            vmt_buf_free(&text);
        }
        if (num_ended < NUM_TEXTS / 2) {
            vmt_test_fail(t, __FILE__, __LINE__, "%s: %u of %d texts ended", vmt_tool_dialect_name(form.dialect),
                          num_ended, NUM_TEXTS);
        }
        vmt_grammar_release(grammar);
    }
    vmt_json_doc_destroy(doc);
    vmt_grammar_vocab_release(vocab);
}

/* As models write them. */
#define PARIS "{\"city\": \"Paris\", \"unit\": \"C\"}"
static const struct {
    const char *dialect, *text;
} written[] = {
    {"hermes", "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": " PARIS "}\n</tool_call>\n"
               "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_call>"},
    {"qwen3_coder",
     "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n3\n"
     "</parameter>\n<parameter=unit>\nC\n</parameter>\n</function>\n</tool_call>"},
    {"glm45",
     "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n<arg_key>unit</arg_key>\n"
     "<arg_value>C</arg_value>\n</tool_call>"},
    {"mistral", "[TOOL_CALLS]get_weather" PARIS},
    {"mistral", "[TOOL_CALLS]get_weather[ARGS]" PARIS "[TOOL_CALLS]get_time[ARGS]{}"},
    {"mistral", "[TOOL_CALLS][{\"name\": \"get_weather\", \"arguments\": " PARIS "}]"},
    {"llama3_json", "{\"name\": \"get_weather\", \"parameters\": " PARIS "}"},
    {"llama4_pythonic", "[get_weather(city=\"Paris\", unit='C'), get_time()]"},
    {"openai",
     "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather "
     "<|constrain|>json<|message|>" PARIS},
    {"gemma4",
     "<|tool_call>call:get_weather{city:<|\"|>Paris<|\"|>,days:3,unit:<|\"|>C<|\"|>,ids:[1,2]}<tool_call|>"},
    {"kimi_k2",
     "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>" PARIS
     "<|tool_call_end|><|tool_calls_section_end|>"},
    {"deepseek_v3", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n" PARIS
                    "\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"},
    {"deepseek_v31", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>" PARIS
                     "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"},
    {"deepseek_v32",
     "<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"get_weather\">\n<｜DSML｜parameter name=\"city\" "
     "string=\"true\">Paris</｜DSML｜parameter>\n<｜DSML｜parameter name=\"unit\" string=\"true\">C"
     "</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>"},
};

static void what_models_write_is_allowed(vmt_test *t) {
    vmt_json_doc *doc;
    vmt_expect_eq(t, vmt_json_parse(&doc, quoted(t, tools_json), NULL), VMT_OK);
    for (size_t i = 0; i < VMT_COUNT(written); i++) {
        static const vmt_call_rule rules[] = {VMT_CALLS_MUST, VMT_CALLS_MAY};
        for (size_t k = 0; k < VMT_COUNT(rules); k++) {
            const vmt_answer_form form = {
                .dialect = vmt_tool_dialect_find(vmt_str_from(written[i].dialect)),
                .tools = vmt_json_root(doc),
                .calls = rules[k],
            };
            vmt_grammar *grammar = compile(t, &form);
            if (!allows(t, grammar, vmt_str_from(written[i].text))) {
                vmt_test_fail(t, __FILE__, __LINE__, "%s, rule %d: %s", written[i].dialect, (int)rules[k],
                              written[i].text);
            }
            vmt_grammar_release(grammar);
        }
    }
    vmt_json_doc_destroy(doc);
}

/* ---- forms of answers: what they allow and what not */

static const char strict_json[] =
    "[{'function':{'name':'f','strict':true,'parameters':{'type':'object','properties':{'n':{'type':'integer'}},"
    "'required':['n'],'additionalProperties':false}}},{'function':{'name':'g'}}]";

#define F_CALL(args) "<tool_call>\n{\"name\": \"f\", \"arguments\": " args "}\n</tool_call>"
#define G_CALL(args) "<tool_call>\n{\"name\": \"g\", \"arguments\": " args "}\n</tool_call>"

static const struct {
    const char *dialect, *reasoning;
    vmt_reasoning_place place;
    vmt_call_rule calls;
    const char *named, *content;
    const char *good[6], *bad[6];
} forms[] = {
    {"hermes",
     NULL,
     VMT_REASONING_NONE,
     VMT_CALLS_MAY,
     NULL,
     NULL,
     {"", "Hello", F_CALL("{\"n\": 1}"), "Let me see.\n" F_CALL("{\"n\": 1}"), G_CALL("{\"x\": [1]}")},
     {F_CALL("{}"), F_CALL("{\"n\": \"1\"}"), "<tool_call>x", "Hi " F_CALL("{\"n\": 1, \"o\": 2}")}},
    {"hermes",
     NULL,
     VMT_REASONING_NONE,
     VMT_CALLS_MUST,
     "f",
     NULL,
     {F_CALL("{\"n\": 1}")},
     {"", "Hello", G_CALL("{}"), "Hi" F_CALL("{\"n\": 1}")}},
    {"hermes",
     NULL,
     VMT_REASONING_NONE,
     VMT_CALLS_MAY,
     NULL,
     "{\"type\":\"regex\",\"pattern\":\"[0-9]+\"}",
     {"42", F_CALL("{\"n\": 1}"), G_CALL("{}")},
     {"", "x", "4" F_CALL("{\"n\": 1}")}},
    {"hermes",
     "qwen3",
     VMT_REASONING_INSIDE,
     VMT_CALLS_MUST,
     "f",
     NULL,
     {"hm</think>" F_CALL("{\"n\": 1}"), "</think>" F_CALL("{\"n\": 1}")},
     {"hm", F_CALL("{\"n\": 1}"), "hm" F_CALL("{\"n\": 1}") "</think>" F_CALL("{\"n\": 1}")}},
    {NULL,
     "qwen3",
     VMT_REASONING_MAY,
     VMT_CALLS_NONE,
     NULL,
     "{\"type\":\"choice\",\"choices\":[\"yes\",\"no\"]}",
     {"yes", "<think>\nhm\n</think>no"},
     {"<think>no", "hm</think>yes", "yesno", "<think>a</think>"}},
    {NULL,
     "gemma4",
     VMT_REASONING_MAY,
     VMT_CALLS_NONE,
     NULL,
     "{\"type\":\"const_string\",\"value\":\"1\"}",
     {"1", "<|channel>thought\nhm<channel|>1"},
     {"<|channel>hm<channel|>1"}},
    {"openai",
     "openai_gptoss",
     VMT_REASONING_MAY,
     VMT_CALLS_NONE,
     NULL,
     "{\"type\":\"json_schema\",\"json_schema\":{\"type\":\"integer\"}}",
     {"<|channel|>final<|message|>42",
      "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>4"},
     {"42", "<|channel|>final<|message|>x", "<|channel|>analysis<|message|>hm"}},
    {"openai",
     NULL,
     VMT_REASONING_NONE,
     VMT_CALLS_MAY,
     NULL,
     NULL,
     {"<|channel|>final<|message|>Hi",
      "<|channel|>commentary<|message|>So.<|end|><|start|>assistant<|channel|>commentary "
      "to=functions.f <|constrain|>json<|message|>{\"n\": 1}"},
     {"<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}"}},
    {"llama3_json",
     NULL,
     VMT_REASONING_NONE,
     VMT_CALLS_MAY,
     NULL,
     NULL,
     {"", "Hello {x}", "{\"name\": \"f\", \"parameters\": {\"n\": 1}}"},
     {"{\"name\": \"f\", \"parameters\": {}}", "{", "  {\"a\": 1}"}},
};

static void forms_of_answers(vmt_test *t) {
    vmt_json_doc *doc;
    vmt_expect_eq(t, vmt_json_parse(&doc, quoted(t, strict_json), NULL), VMT_OK);
    for (size_t i = 0; i < VMT_COUNT(forms); i++) {
        const vmt_answer_form form = {
            .dialect = forms[i].dialect ? vmt_tool_dialect_find(vmt_str_from(forms[i].dialect)) : NULL,
            .reasoning = forms[i].reasoning ? vmt_reasoning_find(vmt_str_from(forms[i].reasoning)) : NULL,
            .place = forms[i].place,
            .tools = vmt_json_root(doc),
            .named = forms[i].named ? vmt_str_from(forms[i].named) : (vmt_str){0},
            .calls = forms[i].calls,
            .content = forms[i].content ? vmt_str_from(forms[i].content) : (vmt_str){0},
        };
        vmt_grammar *grammar = compile(t, &form);
        for (size_t k = 0; k < VMT_COUNT(forms[i].good); k++) {
            for (int is_good = 0; is_good < 2; is_good++) {
                const char *text = is_good ? forms[i].good[k] : forms[i].bad[k];
                if (text && allows(t, grammar, vmt_str_from(text)) != is_good) {
                    vmt_test_fail(t, __FILE__, __LINE__, "form %zu, %s: %s", i, is_good ? "good" : "bad", text);
                }
            }
        }
        vmt_grammar_release(grammar);
    }
    vmt_json_doc_destroy(doc);
}

/* ---- what can't be held is named */

static void names_what_a_dialect_cannot_say(vmt_test *t) {
    static const struct {
        const char *dialect, *tools, *named;
    } rows[] = {
        {"hermes", "[{'function':{'name':'a b'}}]", "a b"},
        {"hermes", "[{'function':{'name':'f','parameters':{'type':'array'}}}]", "must be of type object"},
        {"qwen3_coder", "[{'function':{'name':'f','parameters':{'anyOf':[]}}}]", "anyOf"},
        {"qwen3_coder",
         "[{'function':{'name':'f','strict':true,'parameters':{'properties':{'s':{'type':'string',"
         "'pattern':'a+'}}}}}]",
         "'s' is a string with more than a type"},
        {"qwen3_coder", "[{'function':{'name':'f','parameters':{'required':['s']}}}]", "'s' is required"},
        {"glm45", "[{'function':{'name':'f','parameters':{'properties':{'a b':{}}}}}]", "'a b' is a name"},
        {"gemma4", "[{'function':{'name':'f','parameters':{'properties':{'o':{'type':'object'}}}}}]",
         "'o' is an object"},
    };
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        vmt_json_doc *doc;
        vmt_buf out = {0};
        vmt_err err = {0};
        vmt_expect_eq(t, vmt_json_parse(&doc, quoted(t, rows[i].tools), NULL), VMT_OK);
        const vmt_answer_form form = {
            .dialect = vmt_tool_dialect_find(vmt_str_from(rows[i].dialect)),
            .tools = vmt_json_root(doc),
            .calls = VMT_CALLS_MUST,
        };
        vmt_expect(t, vmt_answer_grammar_write(&form, &out, &err) != VMT_OK);
        if (!strstr(err.msg, rows[i].named)) {
            vmt_test_fail(t, __FILE__, __LINE__, "row %zu: %s", i, err.msg);
        }
        vmt_buf_free(&out);
        vmt_json_doc_destroy(doc);
    }
}

static const vmt_test_case cases[] = {
    {"forced_calls_are_read", forced_calls_are_read},
    {"what_models_write_is_allowed", what_models_write_is_allowed},
    {"forms_of_answers", forms_of_answers},
    {"names_what_a_dialect_cannot_say", names_what_a_dialect_cannot_say},
    {0},
};

VMT_TEST_MAIN(cases)
