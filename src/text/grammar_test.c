/* text/grammar_test.c: which texts grammars allow, what they refuse, and by which name. */
#include "text/grammar.h"
#include "base/rng.h"
#include "base/test.h"

/* ---- a vocabulary of single bytes, with one special token */

#define EOS 256

static vmt_grammar_vocab *byte_vocab(vmt_test *t) {
    vmt_grammar_token *tokens = VMT_ARENA_NEW(t->arena, vmt_grammar_token, 258);
    char *bytes = vmt_arena_alloc(t->arena, 256);
    for (uint32_t i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        tokens[i].bytes = (vmt_str){bytes + i, 1};
    }
    tokens[EOS] = (vmt_grammar_token){VMT_STR("<end>"), true};
    tokens[257] = (vmt_grammar_token){VMT_STR("<call>"), true};
    int32_t eos = EOS;
    vmt_grammar_vocab *vocab;
    vmt_grammar_vocab_config config = {.tokens = tokens, .num_tokens = 258, .eos_ids = &eos, .num_eos_ids = 1};
    vmt_err err = {0};
    vmt_expect_eq(t, vmt_grammar_vocab_create(&vocab, &config, &err), VMT_OK);
    return vocab;
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

/* One row: a source, texts that are allowed, texts that are not; NULL ends a list. */
struct row {
    const char *source;
    const char *good[8], *bad[8];
};

typedef vmt_status (*compile_fn)(vmt_grammar **out, vmt_str source, vmt_err *err);

static vmt_status from_schema(vmt_grammar **out, vmt_str source, vmt_err *err) {
    return vmt_grammar_from_schema(out, source, NULL, err);
}
static vmt_status from_tags(vmt_grammar **out, vmt_str source, vmt_err *err) {
    return vmt_grammar_from_tags(out, source, NULL, err);
}

static void check_rows(vmt_test *t, const struct row *rows, size_t num_rows, compile_fn compile) {
    for (size_t i = 0; i < num_rows; i++) {
        vmt_grammar *grammar;
        vmt_err err = {0};
        if (compile(&grammar, vmt_str_from(rows[i].source), &err) != VMT_OK) {
            vmt_test_fail(t, __FILE__, __LINE__, "%s: %s", rows[i].source, err.msg);
        }
        for (size_t k = 0; k < VMT_COUNT(rows[i].good) && rows[i].good[k]; k++) {
            if (allows(t, grammar, vmt_str_from(rows[i].good[k]))) continue;
            vmt_test_fail(t, __FILE__, __LINE__, "%s does not allow %s", rows[i].source, rows[i].good[k]);
        }
        for (size_t k = 0; k < VMT_COUNT(rows[i].bad) && rows[i].bad[k]; k++) {
            if (!allows(t, grammar, vmt_str_from(rows[i].bad[k]))) continue;
            vmt_test_fail(t, __FILE__, __LINE__, "%s allows %s", rows[i].source, rows[i].bad[k]);
        }
        vmt_grammar_release(grammar);
    }
}

static void regexes(vmt_test *t) {
    static const struct row rows[] = {
        {"abc", {"abc"}, {"ab", "abcd", ""}},
        {"a|bc|", {"a", "bc", ""}, {"b", "abc"}},
        {"(ab|a)*c?", {"", "aab", "abac"}, {"b", "cc"}},
        {"[a-c^]+", {"a^c"}, {"d", ""}},
        {"[^a-c]", {"d", "\xC3\xA9", "\xF0\x9F\x98\x80"}, {"a", "\xC3", "dd"}},
        {"a{2,3}b{2}c{1,}", {"aabbc", "aaabbccc"}, {"abbc", "aaaabbc", "aabb"}},
        {"(?:x(?<n>y)){0}z", {"z"}, {"xyz"}},
        {"^a$|^b", {"a", "b"}, {"", "ab"}},
        {"\\d+\\.\\d*", {"1.", "12.5"}, {".5", "\xD9\xA1."}},
        {"\\u0041\\x42\\u{1F600}\\cA\\/", {"AB\xF0\x9F\x98\x80\x01/"}, {"AB"}},
        {"\\p{Lu}\\P{L}",
         {"\xC3\x89"
          "1"},
         {"a1", "AB"}},
        {"a.c",
         {"abc", "a\xE2\x82\xAC"
                 "c"},
         {"a\nc", "ac"}},
        {"a*?b+?", {"b", "aabb"}, {"a"}},
        {"[]a", {NULL}, {"a"}},
    };
    check_rows(t, rows, VMT_COUNT(rows) - 1, vmt_grammar_from_regex);
}

static void schemas(vmt_test *t) {
    static const struct row rows[] = {
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"null\"}},"
         "\"required\":[\"b\"],\"additionalProperties\":false}",
         {"{\"b\":null}", "{ \"a\" : 1 ,\n\"b\" : null }"},
         {"{}", "{\"a\":1}", "{\"b\":null,\"a\":1}", "{\"b\":null,}", "{\"b\":null,\"c\":1}"}},
        {"{\"type\":\"object\",\"properties\":{\"ab\":{\"type\":\"integer\"}}}",
         {"{\"ab\":1,\"a\":\"x\",\"abc\":[]}", "{\"\":{}}"},
         {"{\"ab\":\"x\"}", "{\"a\":1,\"ab\":\"x\"}", "{\"\\u0061b\":\"x\"}"}},
        {"{\"type\":\"array\",\"prefixItems\":[{\"const\":1}],\"items\":{\"type\":\"boolean\"},\"minItems\":2,"
         "\"maxItems\":3}",
         {"[1,true]", "[1,true,false]"},
         {"[1]", "[true]", "[1,true,true,true]"}},
        {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
         {"\"ab\"", "\"\xC3\xA9\xF0\x9F\x98\x80\"", "\"\\u00e9\\n\\ud83d\\ude00\""},
         {"\"a\"", "\"abcd\"", "\"\\ud83dab\"", "\"a\nb\""}},
        {"{\"type\":\"string\",\"pattern\":\"^a+$\",\"maxLength\":3}", {"\"a\"", "\"aaa\""}, {"\"aaaa\"", "\"\""}},
        {"{\"type\":\"string\",\"pattern\":\"x\\\\ny\"}", {"\"ax\\nyb\""}, {"\"xy\"", "\"x\\\\ny\""}},
        {"{\"type\":\"integer\",\"minimum\":-3,\"exclusiveMaximum\":120}",
         {"-3", "-1", "0", "7", "119"},
         {"-4", "120", "-0", "01", "1.0", "1000"}},
        {"{\"type\":\"number\",\"exclusiveMinimum\":0.5,\"maximum\":2}",
         {"0.51", "1", "2", "2.00"},
         {"0.5", "0.50", "2.01", "-1", "1e0"}},
        {"{\"type\":\"integer\",\"multipleOf\":15,\"minimum\":1}", {"15", "30", "105"}, {"0", "5", "100", "-15"}},
        {"{\"type\":\"number\",\"multipleOf\":0.25}", {"0.25", "1", "-2.5"}, {"0.3", "0.255"}},
        {"{\"enum\":[1,\"x\",null,[1,{\"a\":2}]]}", {"1", "\"x\"", "null", "[1, {\"a\": 2}]"}, {"2", "[1]"}},
        {"{\"allOf\":[{\"type\":\"object\",\"properties\":{\"a\":{\"minimum\":3}},\"required\":[\"a\"]},"
         "{\"properties\":{\"a\":{\"type\":\"integer\",\"maximum\":5}}}]}",
         {"{\"a\":4}"},
         {"{\"a\":2}", "{\"a\":6}", "{}"}},
        {"{\"$ref\":\"#/$defs/n\",\"$defs\":{\"n\":{\"type\":[\"array\",\"null\"],\"items\":{\"$ref\":\"#/$defs/"
         "n\"}}}}",
         {"null", "[]", "[[[null,[]]]]"},
         {"[1]", "[[]"}},
        {"{\"oneOf\":[{\"type\":\"integer\",\"minimum\":0},{\"type\":\"integer\",\"maximum\":10}]}",
         {"11", "-1"},
         {"5", "0", "10"}},
        {"{\"type\":\"object\",\"properties\":{\"k\":{\"enum\":[\"a\",\"b\"]},\"v\":true},\"required\":[\"k\","
         "\"v\"],"
         "\"if\":{\"properties\":{\"k\":{\"const\":\"a\"}}},\"then\":{\"properties\":{\"v\":{\"type\":\"integer\"}"
         "}},"
         "\"else\":{\"properties\":{\"v\":{\"type\":\"string\"}}}}",
         {"{\"k\":\"a\",\"v\":1}", "{\"k\":\"b\",\"v\":\"x\"}"},
         {"{\"k\":\"a\",\"v\":\"x\"}", "{\"k\":\"b\",\"v\":1}"}},
        {"{\"type\":\"object\",\"patternProperties\":{\"^x\":{\"type\":\"integer\"}},\"additionalProperties\":{"
         "\"type\":"
         "\"null\"}}",
         {"{\"x1\":5,\"y\":null}"},
         {"{\"x1\":null}", "{\"y\":5}"}},
        {"{\"type\":\"object\",\"minProperties\":1,\"maxProperties\":2}",
         {"{\"a\":1}", "{\"a\":1,\"b\":2}"},
         {"{}", "{\"a\":1,\"b\":2,\"c\":3}"}},
        {"{\"type\":\"string\",\"format\":\"date\"}", {"\"2024-02-29\""}, {"\"2023-02-29\"", "\"2024-13-01\""}},
        {"{\"type\":\"string\",\"not\":{\"enum\":[\"a\",\"b\"]}}",
         {"\"c\"", "\"ab\"", "\"\""},
         {"\"a\"", "\"b\"", "1"}},
        {"{\"$schema\":\"http://json-schema.org/draft-07/"
         "schema#\",\"items\":[{\"type\":\"null\"}],\"type\":\"array\","
         "\"additionalItems\":false}",
         {"[]", "[null]"},
         {"[1]", "[null,null]"}},
        {"{\"type\":\"object\",\"dependentRequired\":{\"a\":[\"b\"]},\"properties\":{\"a\":true,\"b\":true}}",
         {"{\"b\":1}", "{\"a\":1,\"b\":1}", "{}"},
         {"{\"a\":1}"}},
    };
    check_rows(t, rows, VMT_COUNT(rows), from_schema);
}

static void grammars(vmt_test *t) {
    static const struct row rows[] = {
        {"root ::= expr\nexpr ::= expr [-+] term | term\nterm ::= \"(\" expr \")\" | [0-9]+ # left recursion",
         {"1+2-(3+4)", "7"},
         {"1+", "(1", "+1"}},
        {"root ::= \"a\" root \"b\" | \"\"", {"", "ab", "aabb"}, {"aab", "ba"}},
        {"root ::= x{2,3} (\"y\" |\n \"z\")? \nx ::= [a-b] | \"\\u00e9\"",
         {"ab", "a\xC3\xA9"
                "by"},
         {"a", "abab", "abyz"}},
        {"root ::= a a\na ::= b*\nb ::= \"b\" | a", {"", "bbb"}, {"c"}},
        {"start: WORD (\",\" WORD)~0..2 [\"!\"] -> list\nWORD: \"A\"..\"C\" /x+/ | \"no\"i // terminals are "
         "rules\n",
         {"Ax", "NO,Bxx!", "nO,no,no"},
         {"A", "Ax,", "no,no,no,no"}},
    };
    check_rows(t, rows, VMT_COUNT(rows), vmt_grammar_from_ebnf);
}

static void tags(vmt_test *t) {
    static const struct row rows[] = {
        {"{\"structures\":[{\"begin\":\"<f>\",\"schema\":{\"type\":\"integer\"},\"end\":\"</"
         "f>\"}],\"triggers\":[\"<f\"]}",
         {"", "a < b", "x<f>12</f>y<f>3</f>"},
         {"<f", "<f>x</f>", "<f>1", "<fg"}},
        {"{\"format\":{\"type\":\"sequence\",\"elements\":[{\"type\":\"const_string\",\"value\":\"go "
         "\"},{\"type\":\"tag\","
         "\"begin\":\"[\",\"content\":{\"type\":\"any_text\"},\"end\":\"]]\"}]}}",
         {"go []]", "go [a]b]]"},
         {"go [a]", "go [a]]b]]"}},
        {"{\"format\":{\"type\":\"triggered_tags\",\"triggers\":[\"<\"],\"at_least_one\":true,\"stop_after_"
         "first\":true,"
         "\"tags\":[{\"begin\":\"<a>\",\"content\":{\"type\":\"regex\",\"pattern\":\"x+\"},\"end\":[\"</"
         "a>\",\";\"]}]}}",
         {"hm <a>xx</a>", "<a>x;"},
         {"hm", "<a>x;y", "<a></a>"}},
    };
    check_rows(t, rows, VMT_COUNT(rows), from_tags);
}

static void special_tokens_may_be_tags(vmt_test *t) {
    vmt_grammar_vocab *vocab = byte_vocab(t);
    vmt_grammar_options options = {.vocab = vocab};
    vmt_grammar *grammar;
    vmt_matcher *m;
    vmt_err err = {0};
    uint32_t bits[VMT_MASK_WORDS(258)];
    vmt_str source =
        VMT_STR("{\"structures\":[{\"begin\":\"<call>\",\"schema\":{\"type\":\"null\"},\"end\":\".\"}],"
                "\"triggers\":[\"<call>\"]}");
    vmt_expect_eq(t, vmt_grammar_from_tags(&grammar, source, &options, &err), VMT_OK);
    vmt_expect_eq(t, vmt_matcher_create(&m, grammar, vocab, &err), VMT_OK);
    vmt_expect_eq(t, vmt_matcher_mask(m, bits, VMT_COUNT(bits), &err), VMT_OK);
    vmt_expect(t, bits[257 / 32] >> (257 % 32) & 1);
    vmt_expect_eq(t, vmt_matcher_accept(m, 257, &err), VMT_OK);
    vmt_expect_eq(t, vmt_matcher_accept_bytes(m, VMT_STR("null."), &err), VMT_OK);
    vmt_expect(t, vmt_matcher_can_end(m));
    vmt_matcher_destroy(m);
    vmt_grammar_release(grammar);
    vmt_grammar_vocab_release(vocab);
}

static void spaces(vmt_test *t) {
    static const struct {
        vmt_grammar_options options;
        const char *text;
        bool is_allowed;
    } rows[] = {
        {{.space = VMT_SPACE_ANY}, "{\n \"a\" : [ 1 ,2 ] }", true},
        {{.space = VMT_SPACE_COMPACT}, "{\"a\": [1, 2]}", true},
        {{.space = VMT_SPACE_COMPACT}, "{\"a\":[1,2]}", true},
        {{.space = VMT_SPACE_COMPACT}, "{ \"a\":[1,2]}", false},
        {{.space = VMT_SPACE_COMPACT}, "{\"a\":  [1]}", false},
        {{.space_pattern = {"[ ]?", 4}}, "{ \"a\" : [ 1 ] }", true},
        {{.space_pattern = {"[ ]?", 4}}, "{  \"a\":[1]}", false},
        {{.closed_objects = true}, "{\"a\":[1]}", true},
        {{.closed_objects = true}, "{\"a\":[1],\"b\":2}", false},
    };
    vmt_str schema = VMT_STR("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\"}}}");
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        vmt_grammar *grammar;
        vmt_err err = {0};
        vmt_expect_eq(t, vmt_grammar_from_schema(&grammar, schema, &rows[i].options, &err), VMT_OK);
        vmt_expect_eq(t, allows(t, grammar, vmt_str_from(rows[i].text)), rows[i].is_allowed);
        vmt_grammar_release(grammar);
    }
}

/* ---- refusals */

static void expect_refused(vmt_test *t, compile_fn compile, const char *source, vmt_status status,
                           const char *part) {
    vmt_grammar *grammar;
    vmt_err err = {0};
    vmt_expect_eq(t, compile(&grammar, vmt_str_from(source), &err), status);
    if (vmt_str_find(vmt_str_from(err.msg), vmt_str_from(part), 0) != SIZE_MAX) return;
    vmt_test_fail(t, __FILE__, __LINE__, "%.60s: \"%s\" does not say \"%s\"", source, err.msg, part);
}

static void names_what_is_not_supported(vmt_test *t) {
    static const struct {
        compile_fn compile;
        vmt_status status;
        const char *source, *part;
    } rows[] = {
        {from_schema, VMT_E_UNSUPPORTED, "{\"uniqueItems\":true}", "uniqueItems"},
        {from_schema, VMT_E_UNSUPPORTED, "{\"properties\":{\"a\":{\"contains\":{}}}}",
         "contains is not supported at /a"},
        {from_schema, VMT_E_UNSUPPORTED, "{\"format\":\"zebra\"}", "zebra"},
        {from_schema, VMT_E_UNSUPPORTED, "{\"not\":{\"items\":{}}}", "not"},
        {from_schema, VMT_E_UNSUPPORTED, "{\"$ref\":\"http://x/y\"}", "$ref"},
        {from_schema, VMT_E_UNSUPPORTED, "{\"$dynamicRef\":\"#a\"}", "$dynamicRef"},
        {from_schema, VMT_E_UNSUPPORTED, "{\"minProperties\":3}", "minProperties"},
        {from_schema, VMT_E_INVALID, "{\"$ref\":\"#/nowhere\"}", "#/nowhere"},
        {from_schema, VMT_E_INVALID, "{\"type\":\"strin\"}", "type"},
        {from_schema, VMT_E_INVALID, "{\"minLength\":-1}", "minLength"},
        {from_schema, VMT_E_INVALID, "false", "false"},
        {from_schema, VMT_E_INVALID, "{\"type\":\"string\",\"minLength\":3,\"maxLength\":2}", "no text"},
        {from_schema, VMT_E_INVALID, "{\"pattern\":\"(\"}", "( without its )"},
        {from_schema, VMT_E_INVALID, "{", ""},
        {vmt_grammar_from_regex, VMT_E_UNSUPPORTED, "(?=a)", "look-ahead"},
        {vmt_grammar_from_regex, VMT_E_UNSUPPORTED, "(a)\\1", "back-reference"},
        {vmt_grammar_from_regex, VMT_E_UNSUPPORTED, "\\bx", "word border"},
        {vmt_grammar_from_regex, VMT_E_INVALID, "a**", "repeat"},
        {vmt_grammar_from_regex, VMT_E_INVALID, "[a", "]"},
        {vmt_grammar_from_ebnf, VMT_E_INVALID, "root ::= foo", "foo"},
        {vmt_grammar_from_ebnf, VMT_E_INVALID, "root ::= root \"a\"", "no text"},
        {vmt_grammar_from_ebnf, VMT_E_UNSUPPORTED, "start: \"a\"\n%ignore \" \"", "%"},
        {from_tags, VMT_E_UNSUPPORTED, "{\"format\":{\"type\":\"qwen_xml_parameter\"}}", "qwen_xml_parameter"},
    };
    for (size_t i = 0; i < VMT_COUNT(rows); i++) {
        expect_refused(t, rows[i].compile, rows[i].source, rows[i].status, rows[i].part);
    }
}

static char *repeated(vmt_test *t, const char *text, size_t n) {
    size_t len = strlen(text);
    char *out = vmt_arena_alloc(t->arena, len * n + 1);
    for (size_t i = 0; i < n; i++) memcpy(out + i * len, text, len);
    out[len * n] = 0;
    return out;
}

static void names_the_limits(vmt_test *t) {
    expect_refused(t, vmt_grammar_from_regex, "(a|b)*a(a|b){18}", VMT_E_EXHAUSTED, "65536 automaton states");
    expect_refused(t, vmt_grammar_from_regex, "((a{1000}){1000}){1000}", VMT_E_EXHAUSTED, "524288 states");
    expect_refused(t, vmt_grammar_from_regex, "a{1000000}", VMT_E_EXHAUSTED, "100000");
    expect_refused(t, vmt_grammar_from_regex, repeated(t, "(", 300), VMT_E_EXHAUSTED, "deeper than 256");
    expect_refused(t, vmt_grammar_from_ebnf, vmt_arena_printf(t->arena, "root ::= %s", repeated(t, "(", 300)).ptr,
                   VMT_E_EXHAUSTED, "deeper than 256");
    expect_refused(t, from_schema, repeated(t, "{\"not\":", 300), VMT_E_INVALID, "");
    expect_refused(t, vmt_grammar_from_regex, repeated(t, "a", VMT_GRAMMAR_SOURCE_MAX + 1), VMT_E_EXHAUSTED,
                   "1048576");
    /* Alternatives of alternatives, each pair a schema of its own. */
    vmt_str any_of =
        vmt_arena_printf(t->arena, "{\"anyOf\":[{\"minimum\":1},{\"maximum\":2},{\"multipleOf\":3}]},");
    char *all = repeated(t, any_of.ptr, 20);
    vmt_str schema = vmt_arena_printf(t->arena, "{\"allOf\":[%s{}]}", all);
    expect_refused(t, from_schema, schema.ptr, VMT_E_EXHAUSTED, "");
}

/* ---- hostile input */

static void mutants_do_no_harm(vmt_test *t) {
    static const char *const seeds[] = {
        "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"minimum\":-3.5,\"multipleOf\":0.5},"
        "\"b\":{"
        "\"pattern\":\"^[a-z]+$\",\"maxLength\":9}},\"required\":[\"b\"],\"patternProperties\":{\"x\":{}}}",
        "{\"oneOf\":[{\"$ref\":\"#/$defs/"
        "a\"},{\"not\":{\"required\":[\"z\"]}}],\"$defs\":{\"a\":{\"items\":[{},{\"enum\":"
        "[1,\"b\",{}]}],\"minItems\":2,\"allOf\":[{\"if\":{\"const\":1},\"then\":false}]}}}",
        "^(a|[^b-d]{2,5})*\\u00e9(?:x|\\d+?)$",
        "root ::= (\"a\" [^x-z]* | foo{2,4})+\nfoo ::= root? \"\\x41\" | . # end",
        "start: A (\",\" b)* -> x\nA: /a+/ | \"q\"i\nb: \"a\"..\"c\"~2..3\n%import common.INT\n",
        "{\"format\":{\"type\":\"triggered_tags\",\"triggers\":[\"<\"],\"tags\":[{\"begin\":\"<a\",\"content\":{"
        "\"type\":"
        "\"json_schema\",\"json_schema\":{\"type\":\"array\"}},\"end\":\">\"}]}}",
    };
    static const compile_fn compilers[] = {from_schema, vmt_grammar_from_regex, vmt_grammar_from_ebnf, from_tags};
    vmt_grammar_vocab *vocab = byte_vocab(t);
    uint32_t bits[VMT_MASK_WORDS(258)];
    for (uint32_t round = 0; round < 4000; round++) {
        char text[512];
        const char *seed = seeds[vmt_splitmix64(&t->seed) % VMT_COUNT(seeds)];
        size_t len = strlen(seed);
        memcpy(text, seed, len);
        for (uint32_t k = vmt_splitmix64(&t->seed) % 6; k > 0; k--) {
            size_t at = vmt_splitmix64(&t->seed) % len, from = vmt_splitmix64(&t->seed) % len;
            size_t n = VMT_MIN(vmt_splitmix64(&t->seed) % 8, len - VMT_MAX(at, from));
            if (vmt_splitmix64(&t->seed) % 3 == 0)
                text[at] = (char)vmt_splitmix64(&t->seed);
            else
                memmove(text + at, text + from, n);
        }
        vmt_grammar *grammar;
        vmt_matcher *m;
        vmt_err err = {0};
        compile_fn compile = compilers[vmt_splitmix64(&t->seed) % VMT_COUNT(compilers)];
        if (compile(&grammar, (vmt_str){text, len}, &err) != VMT_OK) {
            vmt_expect(t, err.msg[0] != 0);
            continue;
        }
        vmt_expect_eq(t, vmt_matcher_create(&m, grammar, vocab, &err), VMT_OK);
        for (uint32_t step = 0; step < 20; step++) {
            if (vmt_matcher_mask(m, bits, VMT_COUNT(bits), &err) != VMT_OK) break;
            uint32_t id = (uint32_t)(vmt_splitmix64(&t->seed) % 257), tries = 0;
            while (!(bits[id / 32] >> (id % 32) & 1) && tries++ < 257) id = (id + 1) % 257;
            vmt_expect(t, tries < 257);
            vmt_expect_eq(t, vmt_matcher_accept(m, (int32_t)id, &err), VMT_OK);
            if (id == EOS) break;
        }
        vmt_matcher_destroy(m);
        vmt_grammar_release(grammar);
    }
    vmt_grammar_vocab_release(vocab);
}

/* ---- the cache */

static void cache_keeps_and_evicts(vmt_test *t) {
    vmt_grammar *a, *b, *c;
    vmt_err err = {0};
    vmt_grammar_options compact = {.space = VMT_SPACE_COMPACT};
    vmt_str schema = VMT_STR("{\"type\":\"array\"}");
    vmt_grammar_cache *cache = vmt_grammar_cache_create((size_t)1 << 20);
    vmt_expect_eq(t, vmt_grammar_cache_get(cache, &a, VMT_GRAMMAR_SCHEMA, schema, NULL, &err), VMT_OK);
    vmt_expect_eq(t, vmt_grammar_cache_get(cache, &b, VMT_GRAMMAR_SCHEMA, schema, NULL, &err), VMT_OK);
    vmt_expect_eq(t, vmt_grammar_cache_get(cache, &c, VMT_GRAMMAR_SCHEMA, schema, &compact, &err), VMT_OK);
    vmt_expect(t, a == b && a != c);
    vmt_grammar_release(b);
    vmt_grammar_release(c);
    for (uint32_t i = 0; i < 300; i++) { /* more than fits: the first one is long out of use */
        vmt_str regex = vmt_arena_printf(t->arena, "[a-z]{%u}(x|y|z|[0-9]+)*", 20 + i);
        vmt_expect_eq(t, vmt_grammar_cache_get(cache, &b, VMT_GRAMMAR_REGEX, regex, NULL, &err), VMT_OK);
        vmt_grammar_release(b);
    }
    vmt_expect_eq(t, vmt_grammar_cache_get(cache, &b, VMT_GRAMMAR_SCHEMA, schema, NULL, &err), VMT_OK);
    vmt_expect(t, a != b);
    vmt_expect(t, allows(t, a, VMT_STR("[1, 2]")));
    vmt_grammar_release(a);
    vmt_grammar_release(b);
    vmt_expect_eq(t, vmt_grammar_cache_get(cache, &a, VMT_GRAMMAR_CHOICE, VMT_STR("[\"a\",\"bc\"]"), NULL, &err),
                  VMT_OK);
    vmt_expect(t, allows(t, a, VMT_STR("bc")) && !allows(t, a, VMT_STR("b")));
    vmt_grammar_release(a);
    vmt_expect_eq(t, vmt_grammar_cache_get(cache, &a, VMT_GRAMMAR_JSON_OBJECT, VMT_STR(""), NULL, &err), VMT_OK);
    vmt_expect(t, allows(t, a, VMT_STR("{\"a\":[{}]}")) && !allows(t, a, VMT_STR("[]")));
    vmt_grammar_release(a);
    vmt_expect_eq(t, vmt_grammar_cache_get(cache, &a, VMT_GRAMMAR_CHOICE, VMT_STR("[1]"), NULL, &err),
                  VMT_E_INVALID);
    vmt_grammar_cache_destroy(cache);
}

static const vmt_test_case cases[] = {
    {"regexes", regexes},
    {"schemas", schemas},
    {"grammars", grammars},
    {"tags", tags},
    {"special_tokens_may_be_tags", special_tokens_may_be_tags},
    {"spaces", spaces},
    {"names_what_is_not_supported", names_what_is_not_supported},
    {"names_the_limits", names_the_limits},
    {"mutants_do_no_harm", mutants_do_no_harm},
    {"cache_keeps_and_evicts", cache_keeps_and_evicts},
    {0},
};

VMT_TEST_MAIN(cases)
